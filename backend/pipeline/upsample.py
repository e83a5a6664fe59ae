"""A plate at the model's size, brought to the shot's own: its edges go where the full-size depth has them.

Legend: h, w the model's size; H, W the shot's; rgb scene-linear; depth in metres, `inf` for sky.

On a surface the picture is enlarged by a cubic that leaves slopes where they are (Catmull and Rom's; OpenCV's moves them
by up to .05 of a small pixel, in waves).  Around silhouettes each full-size pixel is a mean of the sixteen
small ones around it, weighted by distance in the picture, by nearness of surface in log depth, and by whether the
small pixel is itself a mix of two surfaces (joint bilateral upsampling, Kopf et al. 2007).  Where none of them lies
on the pixel's surface (a pole thinner than a small pixel) distance alone decides.

Means are taken in log light, so that a sun beside a ridge neither rings nor bleeds, and the cubic is held between
its neighbours' values.  Depth has one sample a pixel, so silhouettes would be stairs: they are softened by .5 px.
Nothing here adds detail: the plate's header says that it was enlarged.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from .edges import depth_edges
from .warp import inverse_depth

BLACK = 1e-3  # linear light added before the logarithm, so that black is a number
DEPTH_SIGMA = 0.06  # of log depth: a surface 6% off has 60% of the weight, 20% off 0.4%
REACH_SIGMA = 0.7  # small pixels
MIXED = 0.02  # weight of a small pixel that lies on a silhouette
OFF_SURFACE = 1e-6  # weight of a small pixel on another surface: decides only where there is no other
SKY = 1e-7  # inverse metres that stand for infinity: 10,000 km
MISMATCH = 0.05  # of inverse depth: past this the enlarged small depth is not the full-size one
SOFTEN_SIGMA = 0.5  # px


@numba.njit(cache=True, fastmath=True)
def _joint(
    out: NDArray, where: NDArray, light: NDArray, depth_low: NDArray, mixed: NDArray, depth_full: NDArray
) -> None:
    """Fill out[where] from log light [h, w, 3] by the sixteen small pixels around; depths are logarithms."""
    height, width = depth_full.shape
    h, w = depth_low.shape
    reach, depth = 0.5 / REACH_SIGMA**2, 0.5 / DEPTH_SIGMA**2
    for row in range(height):
        y = (row + 0.5) * h / height - 0.5
        first_row = int(np.floor(y)) - 1
        for column in range(width):
            if not where[row, column]:
                continue
            x = (column + 0.5) * w / width - 0.5
            first_column = int(np.floor(x)) - 1
            total = red = green = blue = np.float32(0)
            for j in range(first_row, first_row + 4):
                jj = min(max(j, 0), h - 1)
                for i in range(first_column, first_column + 4):
                    ii = min(max(i, 0), w - 1)
                    off = depth_low[jj, ii] - depth_full[row, column]
                    weight = np.exp(-off * off * depth) * (MIXED if mixed[jj, ii] else 1.0) + OFF_SURFACE
                    weight *= np.exp(-((x - i) ** 2 + (y - j) ** 2) * reach)
                    total += weight
                    red += weight * light[jj, ii, 0]
                    green += weight * light[jj, ii, 1]
                    blue += weight * light[jj, ii, 2]
            out[row, column, 0] = red / total
            out[row, column, 1] = green / total
            out[row, column, 2] = blue / total


@numba.njit(cache=True, nogil=True)
def _cubic_rows(out: NDArray, picture: NDArray) -> None:
    """Fill out [H, w, 3] from picture [h, w, 3] by a Catmull-Rom spline along the columns, the edge repeated."""
    height, h = out.shape[0], picture.shape[0]
    for row in range(height):
        at = (row + 0.5) * h / height - 0.5
        first = int(np.floor(at))
        f = at - first
        a = np.float32(((2.0 - f) * f - 1.0) * f / 2.0)
        b = np.float32((3.0 * f - 5.0) * f * f / 2.0 + 1.0)
        c = np.float32(((4.0 - 3.0 * f) * f + 1.0) * f / 2.0)
        d = np.float32((f - 1.0) * f * f / 2.0)
        i, j = min(max(first - 1, 0), h - 1), min(max(first, 0), h - 1)
        k, m = min(max(first + 1, 0), h - 1), min(max(first + 2, 0), h - 1)
        for column in range(out.shape[1]):
            for channel in range(3):
                out[row, column, channel] = (
                    a * picture[i, column, channel]
                    + b * picture[j, column, channel]
                    + c * picture[k, column, channel]
                    + d * picture[m, column, channel]
                )


def _enlarged(picture: NDArray[np.float32], like: NDArray) -> NDArray[np.float32]:
    """A picture [h, w, 3] at the size of `like` [H, W]."""
    height, width = like.shape[:2]
    high = np.empty((height, picture.shape[1], 3), np.float32)
    _cubic_rows(high, picture)
    wide = np.empty((width, height, 3), np.float32)
    _cubic_rows(wide, np.ascontiguousarray(high.transpose(1, 0, 2)))
    return np.ascontiguousarray(wide.transpose(1, 0, 2))


def _resize(array: NDArray, like: NDArray, how: int) -> NDArray[np.float32]:
    height, width = like.shape[:2]
    return np.asarray(cv2.resize(array, (width, height), interpolation=how), np.float32)


def _grow(mask: NDArray[np.bool_], reach: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)), np.uint8)


def smaller(frames: NDArray, size: tuple[int, int]) -> NDArray[np.float32]:
    """An enlarged plate [T, H, W, 3] back at the size (w, h) it was made at, by area."""
    return np.stack([np.asarray(cv2.resize(f, size, interpolation=cv2.INTER_AREA), np.float32) for f in frames])


def upsample_guided(rgb_low: NDArray, depth_low: NDArray, depth_full: NDArray) -> NDArray[np.float32]:
    """Enlarge a frame to its full-size depth, [h, w, 3] to [H, W, 3] float32 scene-linear, zero or above.

    depth_low [h, w] is the depth the frame was made for, depth_full [H, W] the shot's own.  Equal sizes give the
    frame back unchanged; a smaller shot gets an area mean.  Both sides may scale differently.
    """
    rgb_low = np.ascontiguousarray(rgb_low, np.float32)
    if rgb_low.shape[:2] == depth_full.shape:
        return rgb_low.copy()
    if rgb_low.shape[0] >= depth_full.shape[0] and rgb_low.shape[1] >= depth_full.shape[1]:
        return _resize(rgb_low, depth_full, cv2.INTER_AREA)
    light = np.log(np.maximum(rgb_low, 0) + np.float32(BLACK))
    near_low, near_full = inverse_depth(depth_low), inverse_depth(depth_full)

    square = np.ones((3, 3), np.uint8)
    out = _enlarged(light, depth_full)
    np.minimum(out, _resize(np.asarray(cv2.dilate(light, square)), depth_full, cv2.INTER_LINEAR), out=out)
    np.maximum(out, _resize(np.asarray(cv2.erode(light, square)), depth_full, cv2.INTER_LINEAR), out=out)

    # A silhouette in the small depth spoils the cubic two pixels around; one that only the full depth has, itself.
    mixed = depth_edges(depth_low, both_sides=True)
    where = _resize(_grow(mixed, 2), depth_full, cv2.INTER_NEAREST) > 0
    enlarged = _resize(near_low, depth_full, cv2.INTER_LINEAR)
    where |= np.abs(enlarged - near_full) > MISMATCH * np.maximum(enlarged, near_full)
    _joint(out, where, light, -np.log(near_low + SKY), mixed, -np.log(near_full + SKY))

    edges = depth_edges(depth_full, both_sides=True)
    if edges.any():
        soft = cv2.GaussianBlur(out, (3, 3), SOFTEN_SIGMA)
        out[edges] = np.asarray(soft)[edges]
    return np.maximum(np.exp(out) - np.float32(BLACK), 0)
