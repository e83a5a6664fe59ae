"""Procedural worlds: what farplane-s is trained on.

A world is a periodic heightfield (terrain, trees and buildings baked in) with a material per cell, a light
(time of day, weather) and a season.  Everything follows from one integer seed; nothing is read from disk, so
every training frame has one ledger row: this file.  ``simplified`` gives the same world as an artist would
block it out: smooth hills for mountains, plain boxes for houses, small things missing.

Legend: n cells a side, L metres a side, heights in metres, arrays indexed [row = y, column = x].
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
from numpy.typing import NDArray

KINDS = ("alpine", "desert", "coast", "forest", "village", "city")
TIMES = ("dawn", "noon", "dusk", "night")
WEATHERS = ("clear", "overcast", "fog")
SEASONS = ("summer", "autumn", "winter")

GROUND, ROCK, SAND, TREE, WALL, ROAD, CONIFER = range(7)
CELLS = 1024
# Metres a side: a street needs half-metre cells, a mountain range does not.
EXTENT = {"alpine": 4000.0, "desert": 2000.0, "coast": 1700.0, "forest": 820.0, "village": 640.0, "city": 530.0}

Heights = NDArray[np.float32]


@dataclass(frozen=True)
class Attributes:
    """What a prompt may say of a world."""

    kind: str
    time: str
    weather: str
    season: str


@dataclass(frozen=True, eq=False)
class World:
    """height, simplified: [n, n] float32 metres; material: [n, n] uint8; extent: metres a side (periodic);
    sea: has a water plane at z = 0; texture: [256, 256] float32 unit-variance noise for surface detail;
    cloud: [512, 512] float32 unit-variance noise."""

    seed: int
    attributes: Attributes
    extent: float
    height: Heights
    simplified: Heights
    material: NDArray[np.uint8]
    sea: bool
    texture: Heights
    cloud: Heights


def random_attributes(seed: int, kinds: tuple[str, ...] = KINDS) -> Attributes:
    """Attributes drawn evenly and independently, so that no word predicts another."""
    rng = np.random.default_rng([seed, 1])
    return Attributes(
        kind=str(rng.choice(kinds)),
        time=str(rng.choice(TIMES)),
        weather=str(rng.choice(WEATHERS)),
        season=str(rng.choice(SEASONS)),
    )


def make_world(seed: int, attributes: Attributes | None = None) -> World:
    """Build the world of a seed; `attributes` overrides the drawn ones but not the geometry's randomness."""
    attributes = attributes or random_attributes(seed)
    rng = np.random.default_rng([seed, 2])
    extent = EXTENT[attributes.kind]
    height, simplified, material = _BUILDERS[attributes.kind](rng, extent / CELLS)
    return World(
        seed=seed,
        attributes=attributes,
        extent=extent,
        height=np.ascontiguousarray(height, np.float32),
        simplified=np.ascontiguousarray(simplified, np.float32),
        material=material,
        sea=attributes.kind == "coast",
        texture=fractal_noise(rng, 256, 1.1),
        cloud=fractal_noise(rng, 512, 2.6),
    )


def fractal_noise(rng: np.random.Generator, n: int, beta: float, longest: float = 0.0) -> Heights:
    """Periodic fractional Brownian noise [n, n], zero mean, unit variance, power ~ 1/k**beta.

    longest : shortest wave number kept at full strength (0 keeps all long waves).
    """
    k = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None]) * n
    k[0, 0] = 1.0
    amplitude = k ** (-beta / 2 - 0.5) * np.exp(-((longest / k) ** 2))
    amplitude[0, 0] = 0.0
    spectrum = amplitude * np.exp(2j * np.pi * rng.random(k.shape))
    field = np.fft.irfft2(spectrum, s=(n, n))
    return ((field - field.mean()) / field.std()).astype(np.float32)


def smooth(field: Heights, cells: float) -> Heights:
    """Periodic Gaussian blur with a standard deviation in cells."""
    n = field.shape[0]
    k2 = np.fft.fftfreq(n)[:, None] ** 2 + np.fft.rfftfreq(n)[None] ** 2
    return np.fft.irfft2(np.fft.rfft2(field) * np.exp(-2 * (np.pi * cells) ** 2 * k2), s=(n, n)).astype(np.float32)


def _slope(height: Heights, cell: float) -> Heights:
    gy = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) / (2 * cell)
    gx = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / (2 * cell)
    return np.hypot(gx, gy).astype(np.float32)


@numba.njit(cache=True)
def _plant(height, material, base, x, y, radius, tall, shape, mark):
    """Bake trees (shape 0 cone, 1 dome) at cell positions into a periodic heightfield."""
    n = height.shape[0]
    for i in range(x.shape[0]):
        reach = int(radius[i]) + 1
        ground = base[int(y[i]) % n, int(x[i]) % n]
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                cx, cy = int(x[i]) + dx, int(y[i]) + dy
                d = np.sqrt((cx + 0.5 - x[i]) ** 2 + (cy + 0.5 - y[i]) ** 2) / radius[i]
                if d >= 1.0:
                    continue
                if shape[i] == 0:
                    top = ground + tall[i] * (1.0 - d)
                else:
                    top = ground + tall[i] * (0.35 + 0.65 * np.sqrt(1.0 - d * d))
                if top > height[cy % n, cx % n]:
                    height[cy % n, cx % n] = top
                    material[cy % n, cx % n] = mark[i]


@numba.njit(cache=True)
def _build(height, material, base, boxes, gable):
    """Bake houses: boxes rows are (x0, y0, x1, y1, wall, ridge) in cells and metres; gable adds the roof."""
    n = height.shape[0]
    for i in range(boxes.shape[0]):
        x0, y0, x1, y1, wall, ridge = boxes[i]
        ground = base[int((y0 + y1) / 2) % n, int((x0 + x1) / 2) % n]
        for cy in range(int(y0), int(y1)):
            for cx in range(int(x0), int(x1)):
                top = ground + wall
                if gable:
                    across = (
                        abs((cy - (y0 + y1) / 2) / (y1 - y0))
                        if x1 - x0 > y1 - y0
                        else abs((cx - (x0 + x1) / 2) / (x1 - x0))
                    )
                    top += ridge * (1.0 - 2.0 * across)
                if top > height[cy % n, cx % n]:
                    height[cy % n, cx % n] = top
                    material[cy % n, cx % n] = WALL


def _scatter(rng, height, simplified, material, where, count, radius, tall, conifer_share, cell, kept=0.6):
    """Plant `count` trees where the mask allows; the blockout keeps a share of them as plainer ones."""
    n = height.shape[0]
    y, x = rng.integers(0, n, (2, count * 3))
    keep = np.flatnonzero(where[y, x])[:count]
    x, y = x[keep] + rng.random(len(keep)), y[keep] + rng.random(len(keep))
    size = rng.uniform(0.7, 1.3, len(keep))
    conifer = rng.random(len(keep)) < conifer_share
    shape = np.where(conifer, 0, 1).astype(np.int64)
    mark = np.where(conifer, CONIFER, TREE).astype(np.uint8)
    base, base_simple = height.copy(), simplified.copy()
    _plant(height, material, base, x, y, radius * size / cell * np.where(conifer, 0.8, 1.15), tall * size, shape, mark)
    block = rng.random(len(keep)) < kept
    unused = np.zeros_like(material)
    _plant(
        simplified,
        unused,
        base_simple,
        x[block],
        y[block],
        radius * size[block] / cell,
        tall * size[block] * 0.95,
        shape[block],
        mark[block],
    )


def _alpine(rng, cell):
    n = CELLS
    shape = fractal_noise(rng, n, 3.8, longest=1.5)
    ridges = 1.0 - np.abs(fractal_noise(rng, n, 3.2, longest=2.5))
    height = (
        120 * shape + 100 * ridges * np.clip(shape + 0.6, 0, 2) + 5 * fractal_noise(rng, n, 2.2, longest=20)
    ).astype(np.float32)
    floor = np.percentile(height, 35)
    height = np.where(height < floor, floor + (height - floor) * 0.12, height).astype(np.float32)
    simplified = smooth(height, 5.0)
    material = np.where(_slope(height, cell) > 0.72, ROCK, GROUND).astype(np.uint8)
    low = (height < np.percentile(height, 60)) & (_slope(simplified, cell) < 0.55) & (fractal_noise(rng, n, 2.2) > -0.3)
    _scatter(rng, height, simplified, material, low, int(rng.integers(1500, 7000)), 8.0, 20.0, 0.95, cell, kept=0.5)
    return height, simplified, material


def _desert(rng, cell):
    n = CELLS
    mesa_field = fractal_noise(rng, n, 3.0, longest=2.0)
    height = np.zeros((n, n), np.float32)
    for level, rise in ((0.55, 45.0), (0.95, 40.0), (1.5, 45.0)):
        height += rise * np.clip((mesa_field + 0.07 * fractal_noise(rng, n, 1.8) - level) * 9, 0, 1)
    rock = height > 3
    wind = fractal_noise(rng, n, 2.4, longest=6.0)
    dunes = 1.0 - np.abs(np.sin(np.linspace(0, 2 * np.pi * rng.integers(5, 12), n)[None] + 1.6 * wind))
    height += np.where(rock, 2.2 * fractal_noise(rng, n, 1.7), 11 * dunes * (0.6 + 0.4 * smooth(wind, 8))).astype(
        np.float32
    )
    height = smooth(height, 0.6)
    material = np.where(rock, ROCK, SAND).astype(np.uint8)
    simplified = smooth(height, 4.0)
    _scatter(rng, height, simplified, material, ~rock, int(rng.integers(0, 250)), 2.5, 4.0, 0.1, cell, kept=0.3)
    return height, simplified, material


def _coast(rng, cell):
    n = CELLS
    height = 26 * fractal_noise(rng, n, 3.3, longest=1.2) + 1.6 * fractal_noise(rng, n, 1.8, longest=12) - 6
    height = np.where(height > 4, 4 + (height - 4) * 1.5 + 14 * np.clip((height - 4) / 6, 0, 1), height).astype(
        np.float32
    )
    slope = _slope(height, cell)
    material = np.full((n, n), GROUND, np.uint8)
    material[slope > 0.75] = ROCK
    material[(height < 5) & (slope < 0.75)] = SAND
    simplified = smooth(height, 3.5)
    _scatter(
        rng,
        height,
        simplified,
        material,
        (height > 8) & (slope < 0.6),
        int(rng.integers(100, 1600)),
        5.0,
        9.0,
        0.3,
        cell,
    )
    return height, simplified, material


def _forest(rng, cell):
    n = CELLS
    height = (15 * fractal_noise(rng, n, 3.5, longest=1.5) + 0.5 * fractal_noise(rng, n, 1.8, longest=20)).astype(
        np.float32
    )
    simplified = smooth(height, 5.0)
    material = np.full((n, n), GROUND, np.uint8)
    patches = fractal_noise(rng, n, 2.2) > rng.uniform(-0.6, 0.3)
    _scatter(
        rng,
        height,
        simplified,
        material,
        patches,
        int(rng.integers(2500, 8000)),
        3.6,
        11.0,
        rng.random(),
        cell,
        kept=0.75,
    )
    return height, simplified, material


def _village(rng, cell):
    n = CELLS
    height = (9 * fractal_noise(rng, n, 3.4, longest=1.5) + 0.25 * fractal_noise(rng, n, 1.6, longest=30)).astype(
        np.float32
    )
    simplified = smooth(height, 5.0)
    material = np.full((n, n), GROUND, np.uint8)
    path = np.abs(fractal_noise(rng, n, 3.2, longest=2.0)) < 0.05
    material[path] = ROAD
    boxes = []
    for _ in range(int(rng.integers(50, 170))):
        w, d = rng.uniform(8, 17, 2) / cell
        x, y = rng.uniform(0, n, 2)
        boxes.append((x, y, x + w, y + d, rng.uniform(3.5, 7), rng.uniform(2.5, 5)))
    if rng.random() < 0.5:  # a church tower
        x, y = rng.uniform(0, n, 2)
        boxes.append((x, y, x + 7 / cell, y + 7 / cell, 24.0, 9.0))
    houses, ground, ground_simple = np.array(boxes), height.copy(), simplified.copy()
    _build(height, material, ground, houses, True)
    _build(simplified, np.zeros_like(material), ground_simple, houses, rng.random() < 0.5)
    free = (material == GROUND) & (fractal_noise(rng, n, 2.0) > 0.1)
    _scatter(rng, height, simplified, material, free, int(rng.integers(200, 900)), 3.0, 8.0, 0.25, cell, kept=0.6)
    return height, simplified, material


def _city(rng, cell):
    n = CELLS
    height = np.zeros((n, n), np.float32)
    material = np.full((n, n), ROAD, np.uint8)
    blocks = int(rng.integers(6, 10))
    pitch = n / blocks
    street = rng.uniform(11, 20) / cell
    boxes: list[tuple[float, ...]] = []
    skyline = rng.uniform(10, 26)
    for by in range(blocks):
        for bx in range(blocks):
            x0, y0 = bx * pitch + street / 2, by * pitch + street / 2
            side = pitch - street
            if rng.random() < 0.1:  # a park
                material[int(y0) : int(y0 + side), int(x0) : int(x0 + side)] = GROUND
                continue
            parts = int(rng.integers(1, 4))
            cuts = np.sort(np.concatenate([[0, 1], rng.uniform(0.25, 0.75, parts - 1)]))
            for a, b in pairwise(cuts):
                for c, d in ((0, 0.5), (0.5, 1)):
                    tall = skyline * rng.lognormal(0, 0.55)
                    boxes.append(
                        (x0 + a * side, y0 + c * side, x0 + b * side - 1, y0 + d * side - 1, tall, rng.uniform(1, 3))
                    )
    houses, flat = np.array(boxes), height.copy()
    simplified = height.copy()
    _build(simplified, np.zeros_like(material), flat, houses, False)
    _build(height, material, flat, houses, rng.random() < 0.25)
    # Roof structures and parapets that a blockout leaves out.
    tops = houses[rng.random(len(houses)) < 0.6].copy()
    inset = (tops[:, 2:4] - tops[:, :2]) * rng.uniform(0.15, 0.35, (len(tops), 1))
    tops[:, :2] += inset
    tops[:, 2:4] -= inset
    tops[:, 4] += rng.uniform(2, 5, len(tops))
    _build(height, material, flat, tops, False)
    kerb = np.zeros((n, n), bool)
    line = (np.arange(n) % pitch - street / 2 * 0.8) % pitch
    kerb[:, (line < 1.5)] = True
    kerb[(line < 1.5), :] = True
    _scatter(
        rng,
        height,
        simplified,
        material,
        kerb & (material == ROAD),
        int(rng.integers(60, 400)),
        2.2,
        7.0,
        0.05,
        cell,
        kept=0.5,
    )
    return height, simplified, material


_BUILDERS = {
    "alpine": _alpine,
    "desert": _desert,
    "coast": _coast,
    "forest": _forest,
    "village": _village,
    "city": _city,
}
