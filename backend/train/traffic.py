"""Who and what moves in a world: cars and buses on a city's streets and a village's lanes, people wherever one walks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .baking import Draft, Streets
from .materials import FIGURE, FLOOR, GROUND, PAVING, ROAD, SAND, VEHICLE
from .movers import STRIDE, Movers
from .solids import BLOCK, CLOTH, GLASS, HEADLIGHT, LIMB, PAINT, TAILLIGHT, WHEEL

WALKABLE = (GROUND, ROAD, PAVING, SAND, FLOOR)
# Tries at a place for a figure, and the share of them made on roads.
_CROWD = {"village": (900, 0.7), "ruins": (300, 0.0), "interior": (150, 0.0), "city": (300, 0.0)}
_PAINTS = (
    (0.55, 0.55, 0.56), (0.70, 0.70, 0.69), (0.02, 0.02, 0.022), (0.12, 0.125, 0.13), (0.30, 0.02, 0.02),
    (0.03, 0.07, 0.25), (0.05, 0.10, 0.07), (0.62, 0.42, 0.02),
)  # fmt: skip
_SKINS = ((0.50, 0.31, 0.22), (0.35, 0.19, 0.11), (0.16, 0.08, 0.045), (0.60, 0.40, 0.31))
_DARK = (0.02, 0.02, 0.022)
_PANE = (0.02, 0.025, 0.03)


@dataclass(frozen=True)
class _Part:
    shape: int
    size: tuple[float, ...]
    colour: Sequence[float] | NDArray
    finish: int
    joint: tuple[float, float, float]
    swing: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    parent: int = -1


@dataclass(frozen=True)
class _Mover:
    kind: int
    start: tuple[float, float, float]
    heading: float
    speed: float
    way: float
    climb: float = 0.0


def make_movers(rng: np.random.Generator, kind: str, draft: Draft) -> Movers | None:
    """The movers of a place; one in five has no vehicles, one in five nobody; None where nothing of the kind goes."""
    if kind not in _CROWD:
        return None
    traffic, crowd = (float(rng.uniform(0.4, 1.5)) if rng.random() < 0.8 else 0.0 for _ in range(2))
    movers: list[_Mover] = []
    if draft.streets:
        movers += [m for m in _on_streets(rng, draft.streets, traffic, crowd) if _free(draft, m)]
    elif kind == "village" and traffic:
        movers += _on_lanes(rng, draft, round(40 * traffic))
    tries, on_roads = _CROWD[kind]
    ends = [_end(m, seconds) for m in movers for seconds in (0.0, 1.5, 3.0)] if kind == "village" else []
    for figure in _on_foot(rng, draft, round(tries * crowd), on_roads):
        if all(math.dist(_end(figure, seconds), end) > 3.5 for seconds in (0.0, 4.0) for end in ends):
            movers.append(figure)
    return assembled(rng, movers) if movers else None


def _on_streets(rng: np.random.Generator, streets: Streets, traffic: float, crowd: float) -> list[_Mover]:
    """Cars keep right.  On one of the two axes they drive, on the other they wait; some are parked at the kerb."""
    count, pitch, half = streets.count, streets.pitch, streets.width / 2
    road = half - streets.walk
    green = int(rng.integers(2))
    out: list[_Mover] = []

    def put(kind: int, axis: int, street: int, along: float, aside: float, speed: float, way: float, z: float) -> None:
        """aside: metres to the right of the street's middle, seen along the way it goes (up the axis or down)."""
        sign = 1.0 if aside > 0 else -1.0
        middle = street * pitch
        x, y = (along, middle - aside) if axis == 0 else (middle + aside, along)
        heading = (0.0 if axis == 0 else math.pi / 2) + (0.0 if sign > 0 else math.pi)
        if kind == FIGURE and rng.random() < 0.5:
            heading += math.pi
        out.append(_Mover(kind, (x, y, z), heading, speed, way))

    for axis in (0, 1):
        for street in range(count):
            for side in (-1, 1):
                lane = side * max(0.45 * (road - 2.0), 1.2)
                speed = float(rng.uniform(6, 13)) if axis == green else 0.0
                for slot in np.arange(0, count * pitch - 8, 12.0):
                    along = float(slot + rng.uniform(0, 3))
                    crossing = abs((along + pitch / 2) % pitch - pitch / 2) < half + 4
                    if rng.random() < 0.30 * traffic and not (crossing and axis != green):
                        put(VEHICLE, axis, street, along, lane, speed, math.inf, 0.0)
                for slot in np.arange(0, count * pitch - 6, 6.5):
                    along = float(slot + rng.uniform(0, 0.6))
                    crossing = abs((along + pitch / 2) % pitch - pitch / 2) < half + 6
                    if road > 4.3 and rng.random() < 0.4 * traffic and not crossing:
                        put(VEHICLE, axis, street, along, side * (road - 1.1), 0.0, 0.0, 0.0)
                for slot in np.arange(0, count * pitch - 4, 5.0):
                    along = float(slot + rng.uniform(0, 3.5))
                    crossing = abs((along + pitch / 2) % pitch - pitch / 2) < half + 1
                    if rng.random() < 0.35 * crowd and not crossing:
                        aside = side * (road + rng.uniform(0.6, streets.walk - 0.4))
                        walks = rng.random() < 0.75
                        put(FIGURE, axis, street, along, aside, _pace(rng) if walks else 0.0, 12.0, 0.15)
    return out


def _free(draft: Draft, mover: _Mover) -> bool:
    """Whether no tree stands on a figure's way or over a parked car."""
    d = np.arange(0.0, min(mover.way, 12.0) + 0.5, 0.5)
    col, row = (
        np.floor((at + d * turn) / draft.cell + 0.5).astype(int) % draft.n
        for at, turn in ((mover.start[0], math.cos(mover.heading)), (mover.start[1], math.sin(mover.heading)))
    )
    return bool((draft.height[row, col] < 0.3).all()) or mover.speed > 3.0


def _end(mover: _Mover, seconds: float) -> tuple[float, float]:
    """Where a mover is after a time, x and y."""
    gone = min(mover.speed * seconds, mover.way)
    return mover.start[0] + gone * math.cos(mover.heading), mover.start[1] + gone * math.sin(mover.heading)


def _pace(rng: np.random.Generator) -> float:
    return float(rng.uniform(0.9, 1.6))


def _on_lanes(rng: np.random.Generator, draft: Draft, count: int) -> list[_Mover]:
    """Cars on a village's lanes, along the longest free way; where it is short they are parked."""
    rows, cols = np.nonzero(draft.material == ROAD)
    out: list[_Mover] = []
    if not len(rows):
        return out
    for _ in range(count):
        k = int(rng.integers(len(rows)))
        x, y = (cols[k] + 0.5) * draft.cell, (rows[k] + 0.5) * draft.cell
        turns = rng.uniform(0, 2 * math.pi) + np.arange(16) * (math.pi / 8)
        ways = [_free_way(draft, x, y, float(h), 60.0, (ROAD,), 1.0) for h in turns]
        best = int(np.argmax(ways))
        if ways[best] < 4.5 or any(math.hypot(m.start[0] - x, m.start[1] - y) < 12 for m in out):
            continue
        way, heading = ways[best] - 4.0, float(turns[best])
        speed = float(rng.uniform(4, 8)) if way > 15 else 0.0
        z, climb = _slope(draft, x, y, heading, max(way, 2.0))
        out.append(_Mover(VEHICLE, (x, y, z), heading, speed, way, climb))
    return out


def _on_foot(rng: np.random.Generator, draft: Draft, tries: int, on_roads: float) -> list[_Mover]:
    """People wherever there is room to stand, walking as far as it is free and even."""
    n, cell = draft.n, draft.cell
    rows, cols = np.nonzero(draft.material == ROAD)
    out: list[_Mover] = []
    for _ in range(tries):
        x, y = (float(v) for v in rng.uniform(0, n * cell, 2))
        if len(rows) and rng.random() < on_roads:
            k = int(rng.integers(len(rows)))
            x, y = (cols[k] + 0.5) * cell, (rows[k] + 0.5) * cell
        heading = float(rng.uniform(0, 2 * math.pi))
        way = _free_way(draft, x, y, heading, 9.0, WALKABLE, 0.35)
        if way < 0.5:
            continue
        walks = way > 2.0 and rng.random() < 0.75
        z, climb = _slope(draft, x, y, heading, max(way - 0.5, 0.5))
        if abs(climb) < 0.35:
            out.append(_Mover(FIGURE, (x, y, z), heading, _pace(rng) if walks else 0.0, way - 0.5, climb))
    return out


def _free_way(
    draft: Draft, x: float, y: float, heading: float, longest: float, marks: tuple[int, ...], room: float
) -> float:
    """Metres ahead over cells of the given materials, `room` metres to each side free as well and nothing high."""
    d = np.arange(-0.5, longest, max(0.5, 0.5 * draft.cell))
    c, s = math.cos(heading), math.sin(heading)
    aside = np.array([-room, 0.0, room])[:, None]
    col = np.floor((x + d * c - aside * s) / draft.cell + 0.5).astype(int) % draft.n
    row = np.floor((y + d * s + aside * c) / draft.cell + 0.5).astype(int) % draft.n
    ground = draft.height[row, col]
    even = np.abs(ground - (ground[1, 0] + np.linspace(0, 1, len(d)) * (ground[1, -1] - ground[1, 0]))) < 0.45
    free = (np.isin(draft.material[row, col], marks) & (np.abs(ground - ground[1, :1]) < 0.25 + 0.4 * np.abs(d))).all(0)
    free &= even.all(0) | (longest > 20)
    stop = int(np.argmin(free)) if not free.all() else len(d)
    return float(d[stop - 1]) if stop else 0.0


def _slope(draft: Draft, x: float, y: float, heading: float, way: float) -> tuple[float, float]:
    """Height under a point and metres climbed a metre on the straight line to the end of its way."""

    def under(px: float, py: float) -> float:
        fx, fy = px / draft.cell, py / draft.cell
        c, r = math.floor(fx), math.floor(fy)
        ax, ay, n, h = fx - c, fy - r, draft.n, draft.height
        top = h[r % n, c % n] * (1 - ax) + h[r % n, (c + 1) % n] * ax
        low = h[(r + 1) % n, c % n] * (1 - ax) + h[(r + 1) % n, (c + 1) % n] * ax
        return float(top * (1 - ay) + low * ay)

    z = under(x, y)
    return z, (under(x + way * math.cos(heading), y + way * math.sin(heading)) - z) / way


def assembled(rng: np.random.Generator, movers: Sequence[_Mover]) -> Movers:
    """Bodies for the movers."""
    makes = {
        kind: [_arrays(make(rng)) for _ in range(min(_BODIES, sum(m.kind == kind for m in movers)))]
        for kind, make in ((VEHICLE, _vehicle), (FIGURE, _figure))
    }
    bodies = [makes[m.kind][int(rng.integers(len(makes[m.kind])))] for m in movers]
    counts = np.array([len(body.shape) for body in bodies])
    first = np.repeat(np.cumsum(counts) - counts, counts)
    parent = np.concatenate([body.parent for body in bodies])
    vehicle = np.array([m.kind == VEHICLE for m in movers])
    return Movers(
        kind=np.array([m.kind for m in movers], np.uint8),
        start=np.array([m.start for m in movers], np.float64),
        climb=np.array([m.climb for m in movers]),
        heading=np.array([m.heading for m in movers]),
        speed=np.array([m.speed for m in movers]),
        way=np.array([m.way for m in movers]),
        stride=np.array([body.stride for body in bodies]),
        half=np.array([body.half for body in bodies]),
        kept=rng.random(len(movers)) < np.where(vehicle, 0.75, 0.5),
        owner=np.repeat(np.arange(len(movers)), counts),
        parent=np.where(parent >= 0, parent + first, -1),
        joint=np.concatenate([body.joint for body in bodies]),
        swing=np.concatenate([body.swing for body in bodies]),
        shape=np.concatenate([body.shape for body in bodies]),
        size=np.concatenate([body.size for body in bodies]),
        look=np.concatenate([body.look for body in bodies]),
    )


_BODIES = 24  # different ones of a kind in a world


@dataclass(frozen=True, eq=False)
class _Body:
    """A body's parts as arrays, as in Movers."""

    half: tuple[float, float, float]
    stride: float
    parent: NDArray[np.int64]
    joint: NDArray[np.float64]
    swing: NDArray[np.float64]
    shape: NDArray[np.int64]
    size: NDArray[np.float64]
    look: NDArray[np.float64]


def _arrays(body: Body) -> _Body:
    parts, half, stride = body
    size = np.zeros((len(parts), 6))
    for row, part in zip(size, parts, strict=True):
        row[: len(part.size)] = part.size
    return _Body(
        half,
        stride,
        parent=np.array([p.parent for p in parts]),
        joint=np.array([p.joint for p in parts]),
        swing=np.array([p.swing for p in parts]),
        shape=np.array([p.shape for p in parts]),
        size=size,
        look=np.array([(*p.colour, p.finish) for p in parts], np.float64),
    )


Body = tuple[list[_Part], tuple[float, float, float], float]


def _block(half: tuple[float, float, float], top: tuple[float, float, float]) -> tuple[float, ...]:
    """Sizes of a block: half sizes; the top's half length, shift and half width."""
    return (*half, *top)


def _vehicle(rng: np.random.Generator) -> Body:
    """A saloon, an estate, a van or a bus."""
    paint = np.array(_PAINTS[int(rng.integers(len(_PAINTS)))]) * rng.uniform(0.8, 1.2)
    pick = rng.random()
    make: Callable = _car if pick < 0.8 else _van
    return make(paint, pick) if pick < 0.93 else _bus(paint)


def _wheels(radius: float, axles: tuple[float, ...], track: float) -> list[_Part]:
    roll = (0.0, 0.0, 0.0, -1.0 / radius)
    tyre = [
        _Part(WHEEL, (radius, 0.12), _DARK, CLOTH, (x, side * (track - 0.12), radius), roll)
        for x in axles
        for side in (-1, 1)
    ]
    return tyre + [
        _Part(WHEEL, (0.55 * radius, 0.125), (0.35, 0.35, 0.36), PAINT, (x, side * (track - 0.12), radius), roll)
        for x in axles
        for side in (-1, 1)
    ]


def _lamps(length: float, width: float, height: float) -> list[_Part]:
    out = []
    for side in (-1, 1):
        at = side * (width - 0.28)
        out.append(
            _Part(BLOCK, _block((0.04, 0.2, 0.08), (0.03, 0, 0.2)), (0.7, 0.7, 0.7), HEADLIGHT, (length, at, height))
        )
        out.append(
            _Part(
                BLOCK,
                _block((0.04, 0.2, 0.08), (0.03, 0, 0.2)),
                (0.3, 0.01, 0.01),
                TAILLIGHT,
                (-length, at, height + 0.08),
            )
        )
    return out


def _car(paint: NDArray, pick: float) -> Body:
    long, wide = (2.2, 0.9)
    estate = pick > 0.45
    roof, rear = (1.05, -0.45) if estate else (0.72, -0.2)
    body = [
        _Part(BLOCK, _block((long, wide, 0.16), (long, 0, wide)), _DARK, CLOTH, (0, 0, 0.36)),
        _Part(BLOCK, _block((long, wide, 0.22), (long - 0.12, 0, wide - 0.08)), paint, PAINT, (0, 0, 0.70)),
        _Part(
            BLOCK,
            _block((1.62 if estate else 1.35, wide - 0.1, 0.25), (roof, rear + 0.25, 0.62)),
            _PANE,
            GLASS,
            (-0.25, 0, 1.15),
        ),
        _Part(BLOCK, _block((roof + 0.02, 0.64, 0.03), (roof - 0.08, 0, 0.56)), paint, PAINT, (rear, 0, 1.42)),
        _Part(BLOCK, _block((0.05, wide - 0.13, 0.24), (0.05, -0.02, 0.64)), paint, PAINT, (-0.30, 0, 1.15)),
    ]
    return body + _wheels(0.33, (-1.35, 1.35), wide) + _lamps(long, wide, 0.68), (2.26, 0.92, 0.73), 1.0


def _van(paint: NDArray, pick: float) -> Body:
    del pick
    long, wide = 2.6, 1.0
    body = [
        _Part(BLOCK, _block((long, wide, 0.14), (long, 0, wide)), _DARK, CLOTH, (0, 0, 0.40)),
        _Part(BLOCK, _block((long, wide, 0.38), (long - 0.25, -0.2, wide)), paint, PAINT, (0, 0, 0.90)),
        _Part(
            BLOCK, _block((long - 0.27, wide, 0.45), (long - 0.62, -0.35, wide - 0.1)), paint, PAINT, (-0.2, 0, 1.70)
        ),
        _Part(BLOCK, _block((0.62, wide + 0.01, 0.3), (0.35, -0.2, wide - 0.06)), _PANE, GLASS, (1.5, 0, 1.62)),
    ]
    return body + _wheels(0.35, (-1.6, 1.65), wide) + _lamps(long, wide, 0.80), (2.66, 1.02, 1.08), 1.0


def _bus(paint: NDArray) -> Body:
    long, wide = 5.6, 1.25
    body = [
        _Part(BLOCK, _block((long, wide, 0.15), (long, 0, wide)), _DARK, CLOTH, (0, 0, 0.45)),
        _Part(BLOCK, _block((long, wide, 0.45), (long, 0, wide)), paint, PAINT, (0, 0, 1.05)),
        _Part(
            BLOCK, _block((long - 0.02, wide - 0.02, 0.48), (long - 0.08, 0, wide - 0.05)), _PANE, GLASS, (0, 0, 1.98)
        ),
        _Part(BLOCK, _block((long, wide, 0.2), (long - 0.1, 0, wide - 0.12)), paint, PAINT, (0, 0, 2.66)),
    ]
    body += [
        _Part(BLOCK, _block((0.07, wide, 0.5), (0.07, 0, wide - 0.02)), paint, PAINT, (x, 0, 1.98))
        for x in (-4.2, -2.8, -1.4, 0.0, 1.4, 2.8, 4.2)
    ]
    return body + _wheels(0.48, (-3.3, 3.6), wide) + _lamps(long, wide, 0.85), (5.66, 1.27, 1.43), 1.0


def _figure(rng: np.random.Generator) -> Body:
    """Somebody of 1.55 to 1.9 m, dressed in two colours, some in a long coat or skirt."""
    k = float(rng.uniform(1.55, 1.9)) / 1.75
    phase = float(rng.uniform(0, 2 * math.pi))
    upper, lower = rng.uniform(0.03, 0.5, 3) * rng.uniform(0.3, 1.2), rng.uniform(0.02, 0.16, 3)
    upper = 0.45 * upper.mean() + 0.55 * upper  # few dress in pure colours
    lower = 0.6 * lower.mean() + 0.4 * lower
    skin, hair = _SKINS[int(rng.integers(len(_SKINS)))], rng.uniform(0.01, 0.12) * np.array([1.0, 0.75, 0.5])
    shoes = (0.03, 0.025, 0.02)

    def at(x: float, y: float, z: float) -> tuple[float, float, float]:
        return k * x, k * y, k * z

    def block(half: tuple[float, float, float], top: tuple[float, float, float]) -> tuple[float, ...]:
        return tuple(k * v for v in (*half, *top))

    def limb(radius: float, length: float) -> tuple[float, float]:
        return k * radius, k * length

    parts = [
        _Part(BLOCK, block((0.11, 0.155, 0.17), (0.12, 0, 0.215)), upper, CLOTH, at(0, 0, 1.13)),
        _Part(BLOCK, block((0.12, 0.215, 0.09), (0.07, 0, 0.09)), upper, CLOTH, at(0, 0, 1.385)),
        _Part(BLOCK, block((0.11, 0.165, 0.08), (0.11, 0, 0.155)), lower, CLOTH, at(0, 0, 0.89)),
        _Part(LIMB, limb(0.055, 0.12), skin, CLOTH, at(0, 0, 1.56)),
        _Part(LIMB, limb(0.095, 0.07), skin, CLOTH, at(0.015, 0, 1.655)),
        _Part(LIMB, limb(0.105, 0.03), hair, CLOTH, at(-0.015, 0, 1.665)),
    ]
    for side in (-1, 1):
        turn = phase + (math.pi if side > 0 else 0.0)
        thigh = len(parts)
        parts += [
            _Part(LIMB, limb(0.085, 0.40), lower, CLOTH, at(0, side * 0.095, 0.86), (0.08, 0.42, turn, 0.0)),
            _Part(LIMB, limb(0.062, 0.38), lower, CLOTH, at(0, 0, -0.42), (-0.30, 0.28, turn + 0.9, 0.0), thigh),
            _Part(
                BLOCK,
                block((0.13, 0.05, 0.035), (0.09, -0.03, 0.04)),
                shoes,
                CLOTH,
                at(0.05, 0, -0.40),
                (0.1, 0.15, turn, 0.0),
                thigh + 1,
            ),
            _Part(LIMB, limb(0.048, 0.30), upper, CLOTH, at(0, side * 0.245, 1.40), (-0.05, 0.34, turn + math.pi, 0.0)),
            _Part(LIMB, limb(0.042, 0.27), upper, CLOTH, at(0, 0, -0.30), (0.25, 0.15, turn + math.pi, 0.0), thigh + 3),
            _Part(LIMB, limb(0.045, 0.03), skin, CLOTH, at(0, 0, -0.31), parent=thigh + 4),
        ]
    if rng.random() < 0.3:
        parts.append(_Part(BLOCK, block((0.16, 0.22, 0.2), (0.12, 0, 0.165)), upper, CLOTH, at(0, 0, 0.77)))
    return parts, (0.42 * k, 0.32 * k, 0.89 * k), STRIDE * k
