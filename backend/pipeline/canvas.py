"""Where a shot's frame lies in the picture that a model makes.

A model has sides of its own and square pixels; a shot has any sides, and pixels of any shape.  The frame is never
stretched between them: it is put into the model's picture as the camera sees it, and where the two differ in shape the
picture shows a few of the shot's pixels more on each side, a wider view through the same camera.  There surfaces and
colours go on as they end at the frame's edge.  The frame is cut out again when its files are written, so every pixel of
a file was painted.

Legend: T frames, W x H the shot's pixels, w x h the model's.  Pixel centres lie at +0.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...protocol.shot import CameraTrack, Shot

ROOM = 1.15  # of a model's largest area: whole patches around a frame may take a seventh more
OVER_COSTS = 1.5  # a picture that is larger by 1% has to show the frame in 1.5% more pixels

Sides = tuple[int, int]


@dataclass(frozen=True)
class Canvas:
    """A model's picture of a shot's frame.

    resolution : (W, H) of the shot.  size : (w, h) of the picture.
    left, right, top, bottom : how many of the shot's pixels the picture shows beside the frame.
    """

    resolution: Sides
    size: Sides
    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    @property
    def seen(self) -> Sides:
        """What the picture shows, in the shot's pixels: the frame and what is beside it."""
        width, height = self.resolution
        return self.left + width + self.right, self.top + height + self.bottom

    @property
    def frame_size(self) -> Sides:
        """(w, h) that the frame takes of the picture, to the nearest pixel."""
        (w, h), (width, height), (wide, high) = self.size, self.resolution, self.seen
        return max(1, round(w * width / wide)), max(1, round(h * height / high))

    def times(self, factor: int) -> Canvas:
        """The same view in `factor` times as many pixels a side."""
        sides = self.size[0] * factor, self.size[1] * factor
        return Canvas(self.resolution, sides, self.left, self.right, self.top, self.bottom)

    def camera(self, track: CameraTrack, frames: NDArray | Sequence[int]) -> CameraTrack:
        """The cameras of these frames with K in the picture's pixels."""
        (w, h), (wide, high) = self.size, self.seen
        moved = track.K[frames] + np.array([[0, 0, self.left], [0, 0, self.top], [0, 0, 0]])
        return CameraTrack(moved * np.array([w / wide, h / high, 1.0])[:, None], track.world_from_camera[frames])

    def rows(self) -> NDArray[np.int_]:
        """The shot's rows that stand for the picture's rows whose centres lie in the frame; `around` says how many do
        not."""
        return _inside(self.size[1], self.seen[1], self.top, self.resolution[1])[1]

    def columns(self) -> NDArray[np.int_]:
        """The same of columns."""
        return _inside(self.size[0], self.seen[0], self.left, self.resolution[0])[1]

    def around(self) -> tuple[Sides, Sides]:
        """Picture rows (above, below) and columns (left, right) whose centres lie beside the frame."""
        above, rows = _inside(self.size[1], self.seen[1], self.top, self.resolution[1])
        before, columns = _inside(self.size[0], self.seen[0], self.left, self.resolution[0])
        return (above, self.size[1] - above - len(rows)), (before, self.size[0] - before - len(columns))

    def cut(self, picture: NDArray) -> NDArray:
        """The frame [H, W, …] of a picture in the shot's own pixels, [H + top + bottom, W + left + right, …]."""
        width, height = self.resolution
        return picture[self.top : self.top + height, self.left : self.left + width]

    def widened(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """A frame's full-size depth [H, W] with as much around it as the picture shows, the edge repeated."""
        return np.pad(depth, ((self.top, self.bottom), (self.left, self.right)), mode="edge")


def whole(resolution: Sides, size: Sides) -> Canvas:
    """A picture that shows the frame and nothing else, whatever that does to the pixels' shape."""
    return Canvas(resolution, size)


def fitted(shot: Shot, max_pixels: int, multiple: int) -> Canvas:
    """The picture in which a model renders a shot: square pixels, sides of whole multiples, about max_pixels at most and
    no more than the shot has, the frame as large in it as it can be."""
    (width, height), aspect = shot.resolution, shot.pixel_aspect
    if abs(aspect - 1.0) < 0.5 / min(width, height):
        aspect = 1.0  # the shot's own shape is no nearer to the scene's than half a pixel
    share = min(1.0, math.sqrt(max_pixels / (width * height)))
    largest = 1.0 / math.sqrt(aspect)  # picture pixels to a row of the shot, where none of its pixels is drawn finer
    limit = max(ROOM * max_pixels, multiple**2)

    def scale(size: Sides) -> float:
        return min(size[0] / (width * aspect), size[1] / height, largest)

    ideal = width * aspect * share * largest, height * share * largest
    around = [{max(1, math.floor(side / multiple)), math.ceil(side / multiple)} for side in ideal]
    choices = [(w * multiple, h * multiple) for w in around[0] for h in around[1]]
    choices = [size for size in choices if size[0] * size[1] <= limit] or [_narrow(ideal, max_pixels, multiple)]

    def worth(size: Sides) -> tuple[float, int]:
        over = math.log(max(1.0, size[0] * size[1] / max_pixels))
        shown = min(scale(size), share * largest)
        return round(2.0 * math.log(shown) - OVER_COSTS * over, 9), -size[0] * size[1]

    size = max(choices, key=worth)
    # Whole pixels of the shot, so that cutting the frame out again is exact; the picture's are square to half a one a side.
    wide, high = max(width, round(size[0] / (scale(size) * aspect))), max(height, round(size[1] / scale(size)))
    left, top = (wide - width) // 2, (high - height) // 2
    return Canvas((width, height), size, left, wide - width - left, top, high - height - top)


def _narrow(ideal: tuple[float, float], most: float, multiple: int) -> Sides:
    """One patch across the shorter side, as many along the longer one as there is room for."""
    long = max(1, int(most) // multiple**2) * multiple
    return (long, multiple) if ideal[0] >= ideal[1] else (multiple, long)


def _inside(count: int, seen: int, before: int, length: int) -> tuple[int, NDArray[np.int_]]:
    """Of `count` pixels over `seen` of the shot's: how many lie before the frame, and the shot's pixels for those in it."""
    at = (np.arange(count) + 0.5) * seen / count - before
    inside = np.flatnonzero((at >= 0) & (at < length))
    return int(inside[0]), at[inside].astype(int)


def depth_on(canvas: Canvas, depth: Sequence[NDArray[np.float32]] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth [T, H, W] of a shot's frames on the canvas, [T, h, w] by nearest pixel, going on beside the frame."""
    rows, columns = canvas.rows(), canvas.columns()
    return depth_beyond(np.stack([z[rows][:, columns] for z in depth]), *canvas.around())


# -- beyond the frame -------------------------------------------------------------------------------------------------


def depth_beyond(depth: NDArray[np.float32], rows: Sides, columns: Sides) -> NDArray[np.float32]:
    """Depth [T, H, W] with so many (above, below) and (left, right) more, surfaces going on as they end.

    Over a plane 1 / z is linear in the pixel, so an odd reflection of it goes on along the plane.
    """
    if not any((*rows, *columns)):
        return depth
    near = 1.0 / depth
    wide = np.pad(near, ((0, 0), rows, columns), mode="reflect", reflect_type="odd")
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / np.clip(wide, 0.0, 2.0 * near.max()), np.float32)


def colours_beyond(colours: NDArray[np.uint8], rows: Sides, columns: Sides) -> NDArray[np.uint8]:
    """Colours [T, H, W, …] with so many more on each side, mirrored."""
    if not any((*rows, *columns)):
        return colours
    return np.pad(colours, ((0, 0), rows, columns, *[(0, 0)] * (colours.ndim - 3)), mode="reflect")
