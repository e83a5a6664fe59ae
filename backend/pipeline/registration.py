"""How far from its place a plate lands in the scene, in pixels of the scene's own resolution.

A plate is laid over the scene's frame from edge to edge.  Two things can be off then: the lens (the plate's K, brought
to the scene's pixels, is not what the scene's own program projects: a plate of another camera is stretched into the
frame) and the picture (its edges do not lie where the depth has its silhouettes: it was moved or stretched after the
model).  The first is exact.  The second is read from the picture: to a tenth of a pixel of the plate where there are
many silhouettes, to half a one where they are few and run along the rows, since depth has one sample a pixel.

Legend: T frames, H rows, W columns; N silhouette pixels, D = 2 R + 1 shifts, tiles 3 x 3 over the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...protocol.shot import Shot
from .edges import depth_steps
from .lock import spread

GRID = 9  # places along a side at which the lens is compared
TILES = 3
FRAMES = 6  # that are read for the picture
MOST_EDGES = 20_000  # of a frame
REACH = 0.02  # of the frame's width: the farthest shift that is looked for, 6 px at least
ENOUGH = 60  # silhouette pixels of a tile
CLEAR, MOST_CLEAR = 1.25, 10.0  # how far a tile's best shift must stand out of its usual one, and counts at most
FINE, COARSE = 0.8, 12.0  # px: what an edge is smoothed by, and its surroundings
LENS_OFF, PICTURE_OFF = 0.2, 1.5  # px of the scene, of the plate: past this it is told

Grey = Callable[[int], NDArray[np.float32]]


class Offset(NamedTuple):
    """Pixels of the scene's resolution over a grid of places in its frame."""

    median: float
    worst: float


@dataclass(frozen=True)
class Registration:
    """resolution : (W, H) of the scene, in whose pixels the rest is; the plate's own where the shot does not tell it.

    lens : the plate's cameras against the scene's; None where the scene's are not told.
    picture : its edges against the depth's; None where there are too few to tell.  tiles : of 9, that could be read.
    pixel : the width of a pixel of the plate.
    """

    resolution: tuple[int, int]
    lens: Offset | None
    picture: Offset | None
    tiles: int
    pixel: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        lens, picture = (None if part is None else part._asdict() for part in (self.lens, self.picture))
        parts = {"lens": lens, "picture": picture, "tiles": self.tiles, "pixel": self.pixel}
        return {"resolution": list(self.resolution), **parts}


def registration(shot: Shot, grey: Grey) -> Registration:
    """Of a plate; grey(t) is frame t's luma [H, W] in any display encoding."""
    scene = shot.resolution if shot.frame is None else shot.frame.resolution
    picture, tiles = _picture_offset(shot, grey, scene)
    return Registration(scene, lens_offset(shot), picture, tiles, scene[0] / shot.resolution[0])


def registration_notes(found: Registration) -> tuple[str, ...]:
    """What the artist should know: nothing where the plate lies in its place."""
    width, height = found.resolution
    notes = []
    if found.lens is not None and found.lens.worst > LENS_OFF:
        notes.append(
            f"frame: the plate's camera is not the scene's: it lands up to {found.lens.worst:.1f} px off in "
            f"{width}x{height}; read the shot again with this version"
        )
    if found.picture is not None and found.picture.worst > PICTURE_OFF * found.pixel:
        notes.append(f"frame: the picture's edges lie up to {found.picture.worst:.1f} px off those of the depth")
    return tuple(notes)


def registration_line(told: Any) -> str:
    """One line of what a report says of it (`Registration.to_json`); empty where it says nothing."""
    try:
        parts = [
            f"{what} {told[name]['median']:.2f} px off in the median, {told[name]['worst']:.2f} px at the worst"
            for name, what in (("lens", "the camera"), ("picture", "the picture's edges"))
            if told[name] is not None
        ]
        where = "In the scene's frame ({} x {}, ".format(*told["resolution"])
        return f"{where}a pixel of the plate is {told['pixel']:.3g}): {'; '.join(parts)}." if parts else ""
    except (KeyError, IndexError, TypeError, ValueError):  # an older report, or one changed by hand
        return ""


def lens_offset(shot: Shot) -> Offset | None:
    """How far from the scene's own projection the plate's pixels land, over a grid of its frame in all frames."""
    if shot.frame is None:
        return None
    (w, h), (width, height) = shot.resolution, shot.frame.resolution
    places = np.linspace(0.0, 1.0, GRID)
    u, v = (side.ravel() for side in np.meshgrid(places * w, places * h))
    pixels = np.stack([u, v, np.ones_like(u)])
    lands = np.stack([u * width / w, v * height / h])
    found = []
    for K, own in zip(shot.camera.K, shot.frame.K, strict=True):
        seen = own @ np.linalg.inv(K) @ pixels
        found.append(np.hypot(*(seen[:2] / seen[2] - lands)))
    return Offset(float(np.median(found)), float(np.max(found)))


# -- the picture ------------------------------------------------------------------------------------------------------


class _Axis:
    """What the frames show of shifts along one axis, tile by tile.

    match : [9, D] summed strength of the picture's edges at each shift from a silhouette.  count, place : [9] silhouette
    pixels, and the sum of where they lie along the axis, 0 … 1.
    """

    def __init__(self, reach: int) -> None:
        self.reach = reach
        self.match = np.zeros((TILES * TILES, 2 * reach + 1))
        self.count, self.place = np.zeros(TILES * TILES), np.zeros(TILES * TILES)

    def add(self, grey: NDArray[np.float32], steps: NDArray[np.bool_]) -> None:
        """A frame: grey [H, W] and where a silhouette lies between columns, [H, W - 1]."""
        rows, columns = np.nonzero(steps)
        thin = max(1, -(-len(rows) // MOST_EDGES))
        rows, columns = rows[::thin], columns[::thin]
        height, width = steps.shape
        tile = rows * TILES // height * TILES + columns * TILES // width
        strength = np.pad(_edge_strength(grey), ((0, 0), (self.reach, self.reach)), constant_values=1.0)
        at = strength[rows[:, None], columns[:, None] + np.arange(2 * self.reach + 1)]
        for index in range(TILES * TILES):
            inside = tile == index
            self.match[index] += at[inside].sum(0)
            self.count[index] += inside.sum()
            self.place[index] += ((columns[inside] + 1.0) / (width + 1)).sum()

    def shifts(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """(place 0 … 1, shift in pixels, weight) of the tiles that can be read."""
        found = []
        for match, count, place in zip(self.match, self.count, self.place, strict=True):
            if count < ENOUGH:
                continue
            profile = match / count
            best, usual = int(profile.argmax()), float(np.median(profile))
            if not 0 < best < len(profile) - 1 or profile[best] < CLEAR * usual:
                continue
            before, peak, after = profile[best - 1 : best + 2]
            bend = before - 2 * peak + after
            shift = best - self.reach + (0.5 * (before - after) / bend if bend < 0 else 0.0)
            clear = min(peak / max(usual, 1e-3), MOST_CLEAR)
            found.append((place / count, shift, (clear - 1.0) * np.sqrt(count)))
        place, shift, weight = np.array(found).reshape(-1, 3).T
        return place, shift, weight


def _edge_strength(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """[H, W - 1] how much the picture changes between columns, as a multiple of what is usual around there."""
    change = np.abs(np.diff(np.asarray(grey, np.float32), axis=1))
    around = cv2.GaussianBlur(change, (0, 0), COARSE)
    fine = cv2.GaussianBlur(change, (0, 0), FINE)
    return np.asarray(fine / (around + 1e-3 * float(change.mean()) + 1e-9), np.float32)


def _picture_offset(shot: Shot, grey: Grey, scene: tuple[int, int]) -> tuple[Offset | None, int]:
    """A move and a stretch of the picture against its depth, as one offset for each axis; and the tiles it was read in."""
    w, h = shot.resolution
    axes = [_Axis(max(6, round(REACH * side))) for side in (w, h)]
    for t in spread(len(shot.frames), FRAMES):
        picture, depth = grey(int(t)), shot.depth.z[t]
        axes[0].add(picture, depth_steps(depth))
        axes[1].add(np.ascontiguousarray(picture.T), depth_steps(np.ascontiguousarray(depth.T)))
    read = [axis.shifts() for axis in axes]
    tiles = min(len(shift) for _, shift, _ in read)
    if tiles < TILES:
        return None, tiles
    places = np.linspace(0.0, 1.0, GRID)
    moved = [_line(*found)(places) * side / own for found, side, own in zip(read, scene, (w, h), strict=True)]
    off = np.hypot(*np.meshgrid(*moved))
    return Offset(float(np.median(off)), float(off.max())), tiles


def _line(place: NDArray, shift: NDArray, weight: NDArray) -> Callable[[NDArray], NDArray]:
    """The line through the tiles' shifts, a tile far off the others left out; level where they lie side by side."""
    usual = np.median(shift)
    near = np.abs(shift - usual) <= max(2.0, 3.0 * float(np.median(np.abs(shift - usual))))
    place, shift, weight = place[near], shift[near], weight[near]
    level = float(np.average(shift, weights=weight))
    if np.ptp(place) < 1 / TILES:
        return lambda at: np.full_like(at, level)
    slope, start = np.polyfit(place, shift, 1, w=np.sqrt(weight))
    return lambda at: slope * at + start
