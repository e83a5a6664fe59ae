"""Things made of beams that stand beside the heightfield, where it cannot go: under a crane one sees through.

They are movers that never move (movers.py), so their depth, shadows and place among the frames are those of vehicles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .materials import WALL
from .movers import Movers
from .solids import BLOCK, PAINT

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Beam:
    """A block.  half: its half sizes; at: its middle, metres from the thing's foot (x ahead, y to its left, z up);
    tilt: radians that its x axis points up; top: half length, shift and half width of its top, None for its foot's."""

    half: Vector
    at: Vector
    colour: Sequence[float] | NDArray[np.float64]
    tilt: float = 0.0
    top: Vector | None = None


@dataclass(frozen=True)
class Thing:
    """beams: none below z = 0; place: its foot in the world; heading: radians from +X; kept: the blockout has it."""

    beams: Sequence[Beam]
    place: Vector
    heading: float
    kept: bool = True


def strut(start: Vector, end: Vector, thick: float, colour: Sequence[float] | NDArray[np.float64]) -> Beam:
    """A beam between two points of one y, `thick` metres wide."""
    run, rise = end[0] - start[0], end[2] - start[2]
    half = (0.5 * math.hypot(run, rise), 0.5 * thick, 0.5 * thick)
    middle = (0.5 * (start[0] + end[0]), start[1], 0.5 * (start[2] + end[2]))
    return Beam(half, middle, colour, math.atan2(rise, run))


def standing(things: Sequence[Thing]) -> Movers | None:
    """The things as movers that stay where they are; None for none."""
    if not things:
        return None
    beams = [beam for thing in things for beam in thing.beams]
    count, parts = len(things), len(beams)
    size = [(*b.half, *(b.top or (b.half[0], 0.0, b.half[1]))) for b in beams]
    return Movers(
        kind=np.full(count, WALL, np.uint8),
        start=np.array([thing.place for thing in things], np.float64),
        climb=np.zeros(count),
        heading=np.array([thing.heading for thing in things], np.float64),
        speed=np.zeros(count),
        way=np.zeros(count),
        stride=np.ones(count),
        half=np.array([_reach(thing.beams) for thing in things]),
        kept=np.array([thing.kept for thing in things]),
        owner=np.repeat(np.arange(count), [len(thing.beams) for thing in things]),
        parent=np.full(parts, -1),
        joint=np.array([beam.at for beam in beams], np.float64),
        swing=np.array([(beam.tilt, 0.0, 0.0, 0.0) for beam in beams]),
        shape=np.full(parts, BLOCK),
        size=np.array(size, np.float64),
        look=np.array([(*beam.colour, PAINT) for beam in beams], np.float64),
    )


def _reach(beams: Sequence[Beam]) -> Vector:
    """Half sizes of a box on the ground around all beams."""
    x = y = z = 0.0
    for beam in beams:
        a, b, h = beam.half
        long, _, wide = beam.top or (a, 0.0, b)
        c, s = abs(math.cos(beam.tilt)), abs(math.sin(beam.tilt))
        a = max(a, long + abs(beam.top[1] if beam.top else 0.0))
        x = max(x, abs(beam.at[0]) + c * a + s * h)
        y = max(y, abs(beam.at[1]) + max(b, wide))
        z = max(z, beam.at[2] + s * a + c * h)
    return x, y, 0.5 * z


# --- harbour ---------------------------------------------------------------------------------------------------------


def quay_crane(
    rng: np.random.Generator, place: Vector, heading: float, paint: NDArray[np.float64], tall: float
) -> list[Thing]:
    """A container crane on four legs, its boom over the water ahead (+x), or raised; the ropes are no part of a blockout."""
    gauge, wide, up = 9.0, 8.0, bool(rng.random() < 0.3)
    white, dark = np.array([0.62, 0.62, 0.60]), np.array([0.06, 0.06, 0.065])
    beams = [Beam((0.8, 0.7, 0.5 * tall), (x, y, 0.5 * tall), paint) for x in (-gauge, gauge) for y in (-wide, wide)]
    beams += [Beam((0.7, wide + 2.0, 0.7), (x, 0, 2.2), paint) for x in (-gauge, gauge)]
    beams += [Beam((gauge, 0.6, 0.8), (0, y, 0.42 * tall), paint) for y in (-wide, wide)]
    beams += [Beam((0.7, wide, 0.9), (x, 0, tall), paint) for x in (-gauge, gauge)]
    for y in (-2.6, 2.6):
        beams.append(Beam((16.0, 0.55, 1.2), (-6.0, y, tall + 2.0), paint))  # over the land
        end = (gauge + 12.0, y, tall + 34.0) if up else (gauge + 36.0, y, tall + 2.0)
        beams.append(strut((gauge, y, tall + 2.0), end, 1.8, paint))
        beams.append(Beam((0.6, 0.5, 9.0), (gauge, y, tall + 9.0), paint))
    beams.append(Beam((0.6, 2.6, 0.6), (gauge, 0, tall + 17.4), paint))
    beams.append(Beam((4.5, 3.0, 2.3), (-14.0, 0, tall + 5.5), white))  # the machine house
    ropes = []
    for y in (-2.6, 2.6):
        ropes.append(strut((gauge, y, tall + 17.5), (-20.0, y, tall + 3.0), 0.35, paint))
        if not up:
            ropes.append(strut((gauge, y, tall + 17.5), (gauge + 32.0, y, tall + 3.0), 0.35, paint))
    if not up:
        x, low = float(rng.uniform(14.0, 36.0)), float(rng.uniform(12.0, tall - 6.0))
        ropes.append(Beam((2.0, 2.4, 0.5), (x, 0, tall + 0.6), dark))  # the trolley and its cabin
        ropes.append(Beam((1.0, 1.2, 1.3), (x - 3.5, 0, tall - 0.6), white))
        ropes += [Beam((0.08, 0.08, 0.5 * (tall - low)), (x, y, 0.5 * (tall + low)), dark) for y in (-4.0, 4.0)]
        ropes.append(Beam((1.22, 6.1, 1.3), (x, 0, low - 1.3), 0.06 + 0.5 * rng.random(3) ** 2))  # a container
    return [Thing(beams, place, heading), Thing(ropes, place, heading, kept=False)]


def yard_crane(rng: np.random.Generator, place: Vector, heading: float, paint: NDArray[np.float64]) -> list[Thing]:
    """A gantry on wheels that straddles a row of containers, wide along x."""
    wide, tall = 11.5, 19.0
    beams = [Beam((0.45, 0.5, 0.5 * tall), (x, y, 0.5 * tall), paint) for x in (-wide, wide) for y in (-4.0, 4.0)]
    beams += [Beam((wide + 1.0, 0.45, 0.9), (0, y, tall), paint) for y in (-4.0, 4.0)]
    beams += [Beam((0.7, 5.5, 0.6), (x, 0, 0.9), paint) for x in (-wide, wide)]
    beams.append(Beam((1.4, 3.6, 0.8), (float(rng.uniform(-8, 8)), 0, tall + 1.4), np.array([0.6, 0.6, 0.58])))
    return [Thing(beams, place, heading)]


# --- quarry ----------------------------------------------------------------------------------------------------------

YELLOW, RUBBER, STEEL = np.array([0.66, 0.40, 0.02]), np.array([0.02, 0.02, 0.02]), np.array([0.20, 0.20, 0.21])


def excavator(rng: np.random.Generator, place: Vector, heading: float) -> list[Thing]:
    """A digger on tracks, some five metres high, its bucket ahead."""
    lift = float(rng.uniform(0.55, 0.95))
    knee = (1.5 + 6.0 * math.cos(lift), 0.0, 2.2 + 6.0 * math.sin(lift))
    hand = (knee[0] + 2.6, 0.0, max(knee[2] - 4.2, 0.9))
    beams = [Beam((2.6, 0.4, 0.6), (0, y, 0.6), RUBBER, top=(2.2, 0.0, 0.4)) for y in (-1.5, 1.5)]
    beams += [
        Beam((2.3, 1.7, 0.75), (-0.6, 0, 2.0), YELLOW, top=(2.2, 0.0, 1.6)),
        Beam((0.9, 0.7, 0.8), (0.9, 0.9, 3.4), np.array([0.03, 0.035, 0.04]), top=(0.7, 0.0, 0.6)),
        Beam((1.0, 1.6, 0.5), (-2.4, 0, 3.0), STEEL),
        strut((1.5, 0.0, 2.2), knee, 0.8, YELLOW),
        strut(knee, hand, 0.6, YELLOW),
        Beam((0.8, 0.9, 0.6), (hand[0], 0, max(hand[2], 0.7)), STEEL, top=(1.0, 0.2, 0.9)),
    ]
    return [Thing(beams, place, heading)]


def dump_truck(rng: np.random.Generator, place: Vector, heading: float) -> list[Thing]:
    """A quarry's lorry: a body that widens to its rim, some of them loaded, on six high wheels."""
    beams = [Beam((0.85, 0.45, 0.85), (x, y, 0.85), RUBBER) for x in (2.9, -1.6, -3.4) for y in (-1.5, 1.5)]
    beams += [
        Beam((4.4, 1.2, 0.3), (0, 0, 1.5), STEEL),
        Beam((3.0, 1.5, 0.9), (-1.5, 0, 2.7), YELLOW, top=(3.6, -0.2, 1.9)),
        Beam((1.1, 1.5, 1.1), (3.2, 0, 2.7), YELLOW, top=(0.9, -0.1, 1.4)),
        Beam((1.05, 1.35, 0.35), (3.35, 0, 3.1), np.array([0.02, 0.025, 0.03])),
    ]
    if rng.random() < 0.6:
        beams.append(Beam((3.0, 1.5, 0.5), (-1.6, 0, 4.0), np.array([0.42, 0.38, 0.32]), top=(1.2, 0.0, 0.5)))
    return [Thing(beams, place, heading)]


def conveyor(place: Vector, heading: float, long: float, tall: float) -> list[Thing]:
    """A belt that rises ahead to `tall` metres, on trestles."""
    belt = strut((-0.5 * long, 0.0, 1.8), (0.5 * long, 0.0, tall), 1.3, YELLOW * 0.6 + STEEL * 0.4)
    beams = [Beam((belt.half[0], 1.0, 0.5), belt.at, belt.colour, belt.tilt)]
    for share in (0.3, 0.62, 0.94):
        high = 1.8 + share * (tall - 1.8)
        beams += [Beam((0.25, 0.25, 0.5 * high), ((share - 0.5) * long, y, 0.5 * high), STEEL) for y in (-1.0, 1.0)]
    beams.append(Beam((1.6, 1.6, 1.6), (-0.5 * long, 0, 1.7), STEEL, top=(2.4, 0.0, 2.4)))  # the hopper
    return [Thing(beams, place, heading)]


__all__ = [
    "Beam", "Thing", "conveyor", "dump_truck", "excavator", "quay_crane", "standing", "strut", "yard_crane",
]  # fmt: skip
