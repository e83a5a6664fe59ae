"""Windows that an artist made: dark panes in a brighter wall, read off the base colours of a blockout.

The pattern of a seed puts windows on every wall (pattern.py).  Where the blockout has its own, they stand in their place:
a network that is told a window where the colours show a pane lights it by night, and leaves the wall beside it a wall.

Legend: T frames, H rows, W columns.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from .colour import luminance, srgb_decode
from .geometry import camera_normal, turned

WALL, PANE = 1, 2  # of modelled_windows; 0: nothing is known
DARK = 0.08, 0.14  # a pane's luminance and its brightest primary at most: dark glass; bricks are redder
SHARE = 0.35  # of the brightest wall around it, at most
BRIGHT = 0.14  # luminance of that wall at least
AROUND = 2.5  # metres within which that wall begins
LARGEST = 2.2  # metres: what is dark further than this in every direction is no window
WINDOWED = 5.0  # metres from a pane within which a wall has no windows but those that were made
SLENDER, BEFORE = 2.5, 0.8  # metres: a post or a tree is less than twice as wide and stands further before the wall
REACH = 6  # neighbourhoods reach 1, 2, 4 … 2**REACH pixels
UPRIGHT = 0.2  # a normal's upward part at most: a built wall, 78 degrees

Frame = NDArray[np.float32]


def modelled_windows(base_colour: NDArray[np.uint8], depth: Frame, K: NDArray, pose: NDArray) -> NDArray[np.uint8]:
    """[T, H, W] WALL or PANE where an artist's windows are near, else 0.

    base_colour [T, H, W, 4] and depth [T, H, W] of the shot in metres, inf for sky; K [T, 3, 3] pixels; pose [T, 4, 4]
    world_from_camera.
    """
    upright = _upright(depth, np.linalg.inv(K), np.ascontiguousarray(pose, np.float64))
    out = np.zeros(upright.shape, np.uint8)
    for frame, (colour, standing, z) in enumerate(zip(base_colour, upright, depth, strict=True)):
        told = standing & (colour[..., 3] > 0)
        if not told.any():
            continue
        size = _Neighbourhood(np.where(told, z, 1.0) / np.float32(K[frame, 0, 0]))
        light = srgb_decode(colour[..., :3].astype(np.float32) / 255.0).astype(np.float32)
        bright = np.where(told, luminance(light), np.float32(0.0))
        brightest = size.highest(bright, AROUND)
        dark = told & (bright < DARK[0]) & (light.max(-1) < DARK[1])
        large = size.highest(-size.highest((~dark).astype(np.float32), LARGEST), LARGEST) == 0  # its opening
        pane = dark & ~large & (bright < SHARE * brightest) & (brightest > BRIGHT) & ~_stands_before(size, z)
        near = size.highest(pane.astype(np.float32), WINDOWED) > 0
        out[frame] = np.where(pane, PANE, np.where(told & near, WALL, 0))
    return out


@numba.njit(error_model="numpy", nogil=True, cache=True)  # no fastmath: it takes infinity for a number
def _upright(depth, inverse, pose):
    """[T, H, W] whether a surface stands as upright as a built wall."""
    out, at = np.zeros(depth.shape, np.bool_), np.zeros((2, 3))
    for f in range(depth.shape[0]):
        for i in range(depth.shape[1]):
            for j in range(depth.shape[2]):
                if depth[f, i, j] < np.inf:
                    x, y, z = camera_normal(depth, f, i, j, inverse[f], at)
                    out[f, i, j] = abs(turned(pose[f], x, y, z)[2]) < UPRIGHT
    return out


def _stands_before(size: _Neighbourhood, depth: Frame) -> NDArray[np.bool_]:
    """Where something slender stands before what is around it: a greyscale opening of 1 / depth takes it away, and
    leaves planes alone."""
    inverse = (1.0 / depth).astype(np.float32)
    opened = size.highest(-size.highest(-inverse, SLENDER), SLENDER)
    return 1.0 / np.maximum(opened, 1e-9) - depth > BEFORE


class _Neighbourhood:
    """Squares around each pixel, as large as so many metres look there, to the next power of two."""

    def __init__(self, covered: Frame) -> None:
        """covered [H, W]: metres that a pixel covers."""
        self._covered = np.log2(np.maximum(covered, 1e-6))

    def highest(self, values: Frame, metres: float) -> Frame:
        """The largest of values [H, W] around each pixel."""
        power = np.clip(np.rint(np.log2(metres) - self._covered), 0, REACH).astype(np.int8)
        out = np.zeros_like(values)
        for which in np.unique(power):
            side = 2 * 2 ** int(which) + 1
            np.copyto(out, cv2.dilate(values, np.ones((side, side), np.uint8)), where=power == which)
        return out
