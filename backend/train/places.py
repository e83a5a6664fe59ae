"""The shapes of built places: village, city, interior."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .baking import Draft, Streets, build, scatter
from .landforms import CELLS
from .materials import FLOOR, GROUND, PAVING, ROAD, STONE, WALL, WOOD
from .noise import fractal_noise, smooth


def village(rng: np.random.Generator, cell: float) -> Draft:
    """Houses with gables along lanes, a church, gardens."""
    n = CELLS
    height = 9 * fractal_noise(rng, n, 3.6, longest=1.5) + 0.2 * fractal_noise(rng, n, 1.6, longest=30)
    draft = Draft(rng, cell, height.astype(np.float32), smooth(height.astype(np.float32), 5.0))
    lane = np.abs(fractal_noise(rng, n, 3.4, longest=2.0))
    draft.material[lane < 0.05] = ROAD
    boxes = []
    wanted = int(rng.integers(70, 190))
    for _ in range(wanted * 4):
        w, d = rng.uniform(8, 17, 2) / cell
        x, y = rng.uniform(0, n, 2)
        at = lane[int(y + d / 2) % n, int(x + w / 2) % n]
        if 0.1 < at < 0.45 and len(boxes) < wanted:  # houses stand by the lane, not on it
            boxes.append((x, y, x + w, y + d, rng.uniform(3.2, 6.5), rng.uniform(3, 5.5)))
    if rng.random() < 0.6:  # a church tower
        x, y = rng.uniform(0, n, 2)
        boxes.append((x, y, x + 7 / cell, y + 7 / cell, 24.0, 12.0))
    build(draft, np.array(boxes), gable=True, blockout=bool(rng.random() < 0.5))
    free = (draft.material == GROUND) & (fractal_noise(rng, n, 2.0) > 0.1)
    scatter(draft, free, int(rng.integers(200, 900)), 3.0, 7.0, 0.2, kept=0.6)
    return draft


def city(rng: np.random.Generator, cell: float) -> Draft:
    """Blocks of buildings on a grid of streets, towers among them, parks, trees at the kerb."""
    n = CELLS
    draft = Draft(rng, cell, np.zeros((n, n), np.float32), np.zeros((n, n), np.float32))
    draft.material[:] = ROAD
    blocks = int(rng.integers(5, 9))
    pitch, street = n / blocks, rng.uniform(14, 26) / cell
    draft.streets = Streets(blocks, pitch * cell, street * cell, 2.5)
    skyline, spread = rng.uniform(11, 34), rng.uniform(0.35, 0.7)
    boxes: list[tuple[float, ...]] = []
    for by in range(blocks):
        for bx in range(blocks):
            x0, y0, side = bx * pitch + street / 2, by * pitch + street / 2, pitch - street
            walk = 2.5 / cell
            square = (slice(int(y0 - walk), int(y0 + side + walk)), slice(int(x0 - walk), int(x0 + side + walk)))
            park = rng.random() < 0.1
            draft.material[square] = GROUND if park else PAVING
            draft.height[square] = 0.15
            if park:
                continue
            cuts = np.sort(np.concatenate([[0, 1], rng.uniform(0.25, 0.75, int(rng.integers(0, 3)))]))
            for a, b in pairwise(cuts):
                for c, d in ((0, 0.5), (0.5, 1)):
                    tall = min(skyline * rng.lognormal(0, spread), 150.0)
                    box = (x0 + a * side, y0 + c * side, x0 + b * side - 1, y0 + d * side - 1)
                    boxes.append((*box, tall, rng.uniform(1, 3)))
    build(draft, np.array(boxes), gable=bool(rng.random() < 0.2), blockout=False, level=False)
    # Roof structures that a blockout leaves out.
    tops = np.array(boxes)[rng.random(len(boxes)) < 0.6]
    inset = (tops[:, 2:4] - tops[:, :2]) * rng.uniform(0.15, 0.35, (len(tops), 1))
    tops[:, :2] += inset
    tops[:, 2:4] -= inset
    tops[:, 4] += rng.uniform(2, 6, len(tops))
    build(draft, tops, level=False)
    kerb = draft.material == PAVING
    scatter(draft, kerb, int(rng.integers(60, 500)), 2.0, 7.0, 0.05, kept=0.5)
    park = draft.material == GROUND
    scatter(draft, park, int(rng.integers(100, 300)), 3.0, 9.0, 0.1, kept=0.6)
    return draft


def interior(rng: np.random.Generator, cell: float, ceiling: float) -> Draft:
    """Rooms between walls as high as the ceiling, with doorways, pillars and furniture of plain boxes."""
    n = CELLS
    draft = Draft(rng, cell, np.zeros((n, n), np.float32), np.zeros((n, n), np.float32))
    draft.material[:] = FLOOR
    hall = ceiling > 4.5
    rooms = int(rng.integers(2, 4)) if hall else int(rng.integers(4, 8))
    pitch, thick, top = n / rooms, 0.3 / cell, ceiling + 0.3
    walls, pillars, things = [], [], []
    for i in range(rooms):
        for k in range(rooms):
            for along in (0, 1):  # the wall on the low side, with a doorway or wholly open
                x, y = i * pitch, k * pitch
                if rng.random() < 0.2:
                    continue
                door, wide = rng.uniform(0.25, 0.65) * pitch, rng.uniform(1.2, 3.5) / cell
                for a, b in ((0.0, door), (door + wide, pitch)):
                    if b > a:
                        walls.append(
                            (x + a, y, x + b, y + thick, top, 0) if along == 0 else (x, y + a, x + thick, y + b, top, 0)
                        )
    if hall:
        step, side = rng.uniform(4.0, 7.0) / cell, rng.uniform(0.5, 1.1) / cell
        count = int(n / step)
        for i in range(count):
            for k in range(0, count, int(rng.integers(1, 3))):
                x, y = (i + 0.5) * n / count, (k + 0.5) * n / count
                pillars.append((x, y, x + side, y + side, top, 0))
    for _ in range(int(rng.integers(150, 420))):
        x, y = rng.uniform(0, n, 2)
        low, size = (
            (0.75, (0.8, 2.4)),  # a table
            (0.45, (0.5, 2.2)),  # a bench, a sofa
            (rng.uniform(1.6, 2.2), (0.4, 1.4)),  # a shelf
            (rng.uniform(0.4, 1.3), (0.4, 1.3)),  # a crate
        )[int(rng.integers(4))]
        w, d = rng.uniform(*size, 2) / cell
        things.append((x, y, x + w, y + d, low, 0))
    build(draft, np.array(walls), mark=WALL, blockout=False, level=False)
    build(draft, np.array(pillars), mark=STONE, blockout=False, level=False)
    objects = np.array(things)
    big = objects[:, 4] * (objects[:, 2] - objects[:, 0]) * cell > 0.7
    build(draft, objects[big], mark=WOOD, blockout=False, level=False)
    build(draft, objects[~big], mark=WOOD, level=False)
    return draft
