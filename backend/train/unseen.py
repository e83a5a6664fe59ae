"""Kinds of scene that training never shows, so that an evaluation can tell knowing a place from having learnt it by heart:
a quarry and a harbour.

Nothing draws them by chance; they are asked for by name.  Their surfaces are coloured as those of a known kind are
(LOOKS_LIKE), their shapes are not.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .albedo import hashed
from .baking import Draft, build, scatter
from .landforms import CELLS
from .materials import GROUND, PAVING, ROAD, ROCK, SAND, STONE, WALL, WOOD
from .movers import Movers
from .noise import fractal_noise, slope, smooth
from .structures import Thing, conveyor, dump_truck, excavator, quay_crane, standing, yard_crane

LOOKS_LIKE = {"quarry": "coast", "harbour": "city"}
QUAY = 2.6  # metres above the water
CONTAINER = (2.44, 12.19, 2.6)  # wide, long and high, metres
_PAINTS = ((0.03, 0.10, 0.38), (0.50, 0.05, 0.03), (0.62, 0.36, 0.02), (0.55, 0.55, 0.54), (0.02, 0.25, 0.22))


def quarry(rng: np.random.Generator, cell: float) -> tuple[Draft, Movers | None]:
    """A terraced pit whose benches wind down as one road, spoil heaps and sheds on its rim, diggers and lorries."""
    n = CELLS
    height = 5 * fractal_noise(rng, n, 4.0, longest=1.5)
    # Distance inside the rim [n, n], metres: a closed curve with a few lobes, ragged as blasting leaves it.
    middle = rng.uniform(0.4, 0.6, 2) * n
    v, u = (np.mgrid[:n, :n] - middle[:, None, None]) * cell
    angle, radius = np.arctan2(v, u), np.hypot(u, v)
    rim = rng.uniform(150, 200) * np.ones_like(angle)
    for lobe in (2, 3, 5):
        rim *= 1 + rng.uniform(0.02, 0.16) / lobe**0.5 * np.cos(lobe * angle + rng.uniform(0, 2 * np.pi))
    plain = (rim - radius).astype(np.float32)
    inside = plain + 3.5 * fractal_noise(rng, n, 2.6, longest=8) + 0.5 * fractal_noise(rng, n, 1.8)
    wide, drop, benches = rng.uniform(13, 19), rng.uniform(8, 13), int(rng.integers(4, 7))
    turn = (angle / (2 * np.pi) * rng.choice([-1, 1])) % 1.0
    level, along = _benches(inside, wide, benches, turn)
    smooth_level, _ = _benches(plain, wide, benches, turn)
    pit = level > 0
    # The land is levelled towards the rim, so that the pit's depth is even.
    height *= np.clip(-inside / 60, 0, 1)
    ground = height - drop * level
    ground += np.where(pit, 0.35, 0.15) * fractal_noise(rng, n, 1.7) * np.where(along > 0.3, 0.3, 1.0)
    draft = Draft(rng, cell, ground.astype(np.float32), smooth((height - drop * smooth_level).astype(np.float32), 1.5))
    draft.material[pit] = ROCK
    draft.material[pit & (along > 0.4) & (along < 0.85)] = ROAD
    floor = level >= benches
    draft.material[floor] = np.where(fractal_noise(rng, n, 2.4) > 0.2, SAND, ROAD)[floor]
    flat = slope(draft.simplified, cell) < 0.22
    heaps = _places(rng, (plain < -12) & (plain > -70) & flat, int(rng.integers(5, 12)))
    for at in [*heaps, *_places(rng, floor, int(rng.integers(1, 4)))]:
        tall = rng.uniform(9, 20) if plain[at] < 0 else rng.uniform(4, 8)
        _heap(draft, at, float(tall))
    sheds = []
    for row, col in _places(rng, (plain < -14) & (plain > -60) & flat, int(rng.integers(3, 7))):
        w, d = rng.uniform(10, 30, 2) / cell
        sheds.append((col, row, col + w, row + d, rng.uniform(6, 16), rng.uniform(2, 4)))
    build(draft, np.array(sheds), gable=True, blockout=True)
    boulders = np.array(_places(rng, pit & flat, int(rng.integers(60, 260))), np.float64).reshape(-1, 2)[:, ::-1]
    size = rng.uniform(0.7, 2.6, (len(boulders), 2)) / cell
    tops = rng.uniform(0.5, 1.8, (len(boulders), 1))
    build(draft, np.concatenate([boulders, boulders + size, tops, 0 * tops], 1), mark=ROCK)
    country = (plain < -40) & (draft.material == GROUND) & (fractal_noise(rng, n, 2.2) > 0.1)
    scatter(draft, country, int(rng.integers(200, 1500)), 3.2, 8.0, 0.4)
    level_ground = pit & (slope(draft.height, cell) < 0.25) & (along > 0.3)
    things: list[Thing] = []
    for make, most in ((excavator, 7), (dump_truck, 12)):
        for at in _places(rng, level_ground, int(rng.integers(2, most))):
            things += make(rng, _point(draft, at), float(rng.uniform(0, 2 * np.pi)))
    for at in [*_places(rng, floor, 2), *_places(rng, (plain < -20) & (plain > -60) & flat, 3)]:
        things += conveyor(_point(draft, at), float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(24, 45)), 13.0)
    return draft, standing(things)


def _benches(
    inside: NDArray, wide: float, benches: int, turn: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many benches deep each cell lies, 0 … benches, and where on its bench, 0 at the foot of the face above … 1.

    Each bench falls by one in a turn, so that all of them are one road down.
    """
    steps = inside / wide + turn
    along = (steps % 1.0 - 0.16) / 0.84
    level = np.floor(steps) + np.clip((steps % 1.0) / 0.16, 0, 1) - turn
    return np.where(inside > 0, np.clip(level, 0, benches), 0.0), np.where(inside > 0, along, 0.0)


def _heap(draft: Draft, at: tuple[int, int], tall: float) -> None:
    """A cone of loose stone at the angle it comes to rest at, in the world and in its blockout."""
    n, ratio = draft.n, math.tan(math.radians(34.0))
    reach = int(tall / ratio / draft.cell) + 2
    rows, cols = (np.arange(a - reach, a + reach + 1) for a in at)
    away = np.hypot(rows[:, None] - at[0], cols[None] - at[1]) * draft.cell
    index = np.ix_(rows % n, cols % n)
    rough = 1 + 0.05 * np.sin(3 * np.arctan2(rows[:, None] - at[0], cols[None] - at[1]) + tall)
    cone = draft.height[at] + tall - ratio * np.maximum(away * rough, 0.12 * tall)
    higher = cone > draft.height[index]
    draft.height[index] = np.maximum(draft.height[index], cone)
    draft.material[index] = np.where(higher, SAND, draft.material[index])
    plain = draft.simplified[at] + tall - ratio * away
    draft.simplified[index] = np.maximum(draft.simplified[index], plain)


def _places(rng: np.random.Generator, where: NDArray[np.bool_], count: int) -> list[tuple[int, int]]:
    """`count` cells (row, column) of a mask, fewer if it has none."""
    cells = np.flatnonzero(where)
    if not len(cells):
        return []
    rows, cols = np.unravel_index(rng.choice(cells, count), where.shape)
    return list(zip(rows.tolist(), cols.tolist(), strict=True))


def _point(draft: Draft, at: tuple[int, int]) -> tuple[float, float, float]:
    """A cell's middle in the world."""
    return at[1] * draft.cell, at[0] * draft.cell, float(draft.height[at])


def harbour(rng: np.random.Generator, cell: float) -> tuple[Draft, Movers | None]:
    """A container port: two quays along a basin, stacks, sheds and tanks behind them, ships beside, cranes above.

    The quays run along y, the basin lies between x = edge and the world's end.
    """
    n = CELLS
    extent = n * cell
    edge = extent - rng.uniform(130, 200)
    x = (np.arange(n) + 0.5) * cell
    land = np.broadcast_to(x < edge, (n, n))
    height = np.where(land, QUAY, -9.0).astype(np.float32)
    draft = Draft(rng, cell, height, height.copy())
    draft.material[:] = PAVING
    draft.material[:, (x > edge - 26) & (x < edge - 4)] = ROAD
    paint = np.array(_PAINTS[int(rng.integers(len(_PAINTS)))])
    tall = float(rng.uniform(26, 36))
    things: list[Thing] = []
    ships = [
        *_ships(draft, rng, edge + 1.5, 1.0, extent),
        *(_ships(draft, rng, extent - 1.5, -1.0, extent) if rng.random() < 0.7 else []),
    ]
    for quay, heading, most in ((edge, 0.0, 7), (extent, math.pi, 4)):
        for at in _spread(rng, [s for s in ships if (s[0] == heading)], int(rng.integers(2, most)), extent):
            # The front legs stand 3 m behind the edge.
            foot = quay - 12.0 if heading == 0.0 else quay + 12.0
            things += quay_crane(rng, (foot, at, QUAY), heading, paint, tall)
    things += _yard(draft, rng, edge, extent)
    _masts(draft, rng, edge, extent)
    return draft, standing(things)


def _spread(
    rng: np.random.Generator, ships: list[tuple[float, float, float]], count: int, extent: float
) -> list[float]:
    """Places along a quay at least 24 m apart, most of them beside ships (heading, from, to)."""
    out: list[float] = []
    for _ in range(60):
        if len(out) == count:
            break
        low, high = (0.0, extent) if not ships or rng.random() < 0.25 else ships[int(rng.integers(len(ships)))][1:]
        at = float(rng.uniform(low + 15, high - 15))
        if all(abs((at - other + extent / 2) % extent - extent / 2) > 24 for other in out):
            out.append(at)
    return out


def _ships(
    draft: Draft, rng: np.random.Generator, side: float, away: float, extent: float
) -> list[tuple[float, float, float]]:
    """Container ships moored at x = side, reaching into the basin (away 1: to +x); (crane's heading, from, to) of each."""
    out = []
    start = float(rng.uniform(0, 60))
    while start < extent - 190 and len(out) < 2:
        long, beam = float(rng.uniform(120, 185)), float(rng.uniform(20, 28))
        _ship(draft, rng, side + away * beam / 2, start, long, beam)
        out.append((0.0 if away > 0 else math.pi, start, start + long))
        start += long + float(rng.uniform(20, 160))
    return out


def _ship(draft: Draft, rng: np.random.Generator, middle: float, start: float, long: float, beam: float) -> None:
    """A hull with a pointed bow, containers on its deck, the bridge at the stern."""
    n, cell = draft.n, draft.cell
    y, x = ((np.arange(n) + 0.5) * cell for _ in range(2))
    s = (y - start) / long
    s = s if rng.random() < 0.5 else 1 - s
    taper = np.sqrt(np.clip(1 - (np.clip(s - 0.78, 0, 1) / 0.22) ** 2, 0, 1)) * ((s > 0) & (s < 1))
    hull = np.abs(x[None] - middle) < (0.5 * beam * taper)[:, None]
    deck = 7.5 + 3.0 * np.clip((s - 0.88) / 0.04, 0, 1)[:, None]
    _raise(
        draft,
        hull,
        np.broadcast_to(deck, hull.shape),
        WOOD,
        _tone(rng, *((0.7, 0.85), (0.86, 1.0), (0.0, 0.5))[int(rng.integers(3))]),
    )
    aft = np.broadcast_to(((s > 0.05) & (s < 0.13))[:, None], hull.shape)
    _raise(
        draft,
        hull & aft & (np.abs(x[None] - middle) < 0.46 * beam),
        np.full(hull.shape, 29.0),
        WALL,
        int(rng.integers(256)),
    )
    wide, deep, high = CONTAINER
    rows, most = int((beam - 2) / (wide + 0.1)), int(rng.integers(2, 7))
    hold = (s > 0.16) & (s < 0.8)
    bays = np.arange(start, start + long, deep + 1.2)
    for bay in bays:
        inside = (y > bay) & (y < bay + deep)
        if not inside.any() or not hold[inside].all():
            continue
        for row in range(rows):
            levels = int(np.clip(rng.integers(most - 1, most + 1), 0, 6))
            left = middle + (row - rows / 2) * (wide + 0.1)
            where = inside[:, None] & ((x > left) & (x < left + wide))[None]
            _raise(
                draft, where, np.full(where.shape, 7.5 + high * levels), WOOD, int(rng.integers(256)), blockout=False
            )
        block = inside[:, None] & hull & (np.abs(x[None] - middle) < rows / 2 * (wide + 0.1))
        draft.simplified[block] = 7.5 + high * (most - 0.5)


def _raise(
    draft: Draft, where: NDArray[np.bool_], top: NDArray, mark: int, tone: int, *, blockout: bool = True
) -> None:
    """Raise cells to a height above the water."""
    draft.height[where], draft.material[where], draft.tone[where] = top[where], mark, tone
    if blockout:
        draft.simplified[where] = top[where]


def _tone(rng: np.random.Generator, low: float, high: float) -> int:
    """A number whose wood is painted in a colour of albedo.py: brown under 0.5, white to 0.7, teal to 0.85, red."""
    fits = [tone for tone in range(256) if low < hashed.py_func(float(tone), 4.0, 4.0) <= high]
    return int(rng.choice(fits))


def _yard(draft: Draft, rng: np.random.Generator, edge: float, extent: float) -> list[Thing]:
    """Blocks of stacked containers in rows, some of their lots taken by sheds, offices or tanks; gantries over some."""
    cell = draft.cell
    wide, deep, high = CONTAINER
    things: list[Thing] = []
    paint = np.array(_PAINTS[int(rng.integers(len(_PAINTS)))])
    boxes: list[tuple[float, ...]] = []
    sheds: list[tuple[float, ...]] = []
    offices: list[tuple[float, ...]] = []
    across = np.arange(36.0, edge - 54.0, 30.0)
    pitch = extent / 4
    for x in across:
        draft.material[:, int((x - 8) / cell) : int((x - 1) / cell)] = ROAD
        for lot in range(4):
            y, use = lot * pitch + 8.0, rng.random()
            if x < 60 and use < 0.55:
                sheds.append((x, y, x + 22, y + rng.uniform(50, pitch - 16), rng.uniform(8, 12), rng.uniform(2, 4)))
            elif use < 0.06:
                _tanks(draft, rng, x, y, pitch)
            elif use < 0.12:
                offices.append((x, y, x + rng.uniform(12, 20), y + rng.uniform(18, 30), rng.uniform(9, 24), 0.0))
            elif use < 0.94:
                mean, count = rng.uniform(1.2, 4.6), int(rng.integers(5, int((pitch - 14) / (deep + 0.6)) + 1))
                for bay in range(count):
                    for row in range(6):
                        levels = int(np.clip(round(rng.normal(mean, 0.9)), 0, 6))
                        if levels:
                            left, low = x + row * (wide + 0.3), y + bay * (deep + 0.6)
                            boxes.append((left, low, left + wide, low + deep, levels * high, 0.0))
                block = (
                    slice(int(y / cell), int((y + count * (deep + 0.6)) / cell)),
                    slice(int(x / cell), int((x + 16.4) / cell)),
                )
                draft.simplified[block] = QUAY + mean * high
                if rng.random() < 0.35:
                    foot = (x + 8.2, y + float(rng.uniform(10, count * deep - 10)), QUAY)
                    things += yard_crane(rng, foot, 0.0, paint)
    for made, mark, gable in ((boxes, WOOD, False), (offices, WALL, False), (sheds, STONE, True)):
        rows = np.array(made, np.float64).reshape(-1, 6)
        rows[:, :4] /= cell
        build(draft, rows, mark=mark, gable=gable, blockout=None if mark == WOOD else gable)
    return things


def _tanks(draft: Draft, rng: np.random.Generator, x: float, y: float, pitch: float) -> None:
    """A row of round white tanks."""
    n, cell = draft.n, draft.cell
    rows, cols = ((np.arange(n) + 0.5) * cell for _ in range(2))
    radius, tall = float(rng.uniform(7, 11)), float(rng.uniform(9, 16))
    for at in np.arange(y + radius, y + pitch - 16 - radius, 2 * radius + 3):
        where = np.hypot(rows[:, None] - at, cols[None] - x - 11.0) < radius
        _raise(draft, where, np.full(where.shape, QUAY + tall), WOOD, _tone(rng, 0.51, 0.7))


def _masts(draft: Draft, rng: np.random.Generator, edge: float, extent: float) -> None:
    """Posts for floodlights along the quay's road; too thin for a blockout."""
    where = np.zeros((draft.n, draft.n), bool)
    for y in np.arange(float(rng.uniform(0, 40)), extent, 55.0):
        where[int(y / draft.cell) % draft.n, int((edge - 30.0) / draft.cell)] = True
    _raise(draft, where, np.full(where.shape, QUAY + 22.0), WOOD, _tone(rng, 0.51, 0.7), blockout=False)


BUILDERS = {"quarry": quarry, "harbour": harbour}

__all__ = ["BUILDERS", "LOOKS_LIKE", "harbour", "quarry"]
