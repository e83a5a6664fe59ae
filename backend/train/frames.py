"""The loops over frames, rows and pixels on the processor's cores.

numba keeps compiled code on disk and looks only at the file of the function it keeps.  These functions call into
other files, so a checksum of those is a value the functions close over: it is part of the cache's key.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np

from .pixels import WORK, pixel_base, pixel_colour, pixel_depth, pixel_fall, pixel_surface
from .shading import bend

COMPILED = ("materials", "shading", "albedo", "solids", "surfaces", "pixels")  # what the loops call into


def _source() -> int:
    """Checksum of the other compiled files."""
    folder = Path(__file__).parent
    return zlib.crc32(b"".join((folder / f"{name}.py").read_bytes() for name in COMPILED))


def _compiled(source: int) -> tuple[Callable, Callable, Callable, Callable, Callable, Callable]:
    """The loops: colours, depth, normals with materials, base colours, rain and snow; points in the wind."""

    @numba.njit(parallel=True, fastmath=True, cache=True)
    def shade_frames(scene, width, height):
        """Colours [F, H, W, 3]."""
        frames = scene.inverse.shape[0]
        out = np.zeros((frames, height, width, 3), np.float32)
        if source < 0:
            return out
        for row in numba.prange(frames * height):
            work = np.zeros(WORK)
            for j in range(width):
                pixel_colour(scene, row // height, row % height, j, work, out)
        return out

    @numba.njit(parallel=True, cache=True)
    def depth_frames(scene, width, height):
        """Depth [F, H, W]."""
        frames = scene.inverse.shape[0]
        out = np.empty((frames, height, width), np.float32)
        if source < 0:
            return out
        for row in numba.prange(frames * height):
            work = np.zeros(WORK)
            for j in range(width):
                pixel_depth(scene, row // height, row % height, j, work, out)
        return out

    @numba.njit(parallel=True, cache=True)
    def surface_frames(scene, depth):
        """Normals [F, H, W, 3], materials, tones and movers' parts [F, H, W] at a depth."""
        frames, height, width = depth.shape
        normal = np.zeros((frames, height, width, 3), np.float32)
        marks = np.zeros((frames, height, width), np.uint8)
        objects = np.zeros((frames, height, width), np.uint8)
        part_of = np.zeros((frames, height, width), np.int32)
        if source < 0:
            return normal, marks, objects, part_of
        for row in numba.prange(frames * height):
            work = np.zeros(WORK)
            for j in range(width):
                pixel_surface(scene, row // height, row % height, j, depth, work, normal, marks, objects, part_of)
        return normal, marks, objects, part_of

    @numba.njit(parallel=True, fastmath=True, cache=True)
    def base_frames(scene, depth, normal, marks, tones, part_of, textured):
        """Albedo [F, H, W, 3] of what surface_frames found at a depth."""
        frames, height, width = depth.shape
        out = np.zeros((frames, height, width, 3), np.float32)
        if source < 0:
            return out
        for row in numba.prange(frames * height):
            work = np.zeros(WORK)
            for j in range(width):
                f, i = row // height, row % height
                pixel_base(scene, f, i, j, depth, normal, marks, tones, part_of, textured, work, out)
        return out

    @numba.njit(parallel=True, fastmath=True, cache=True)
    def fall_frames(frames, fall, bright, seed, times):
        """Rain (fall 1) or snow (2) over frames, in place."""
        count, height, width = frames.shape[0], frames.shape[1], frames.shape[2]
        if source < 0:
            return
        for row in numba.prange(count * height):
            f = row // height
            for j in range(width):
                pixel_fall(f, row % height, j, fall, bright, seed, times[f], frames)

    @numba.njit(cache=True)
    def blown_points(crown, cell, xs, ys, now, later, wind_x, wind_y):
        """Metres [P, 2] that points of the bent surface travel between two times."""
        out = np.zeros((xs.shape[0], 2))
        if source < 0:
            return out
        for k in range(xs.shape[0]):
            bx, by = bend(crown, cell, xs[k], ys[k], now, wind_x, wind_y)
            if bx == 0.0 and by == 0.0:
                continue
            rx, ry = xs[k] - bx, ys[k] - by  # where it hangs in still air
            x, y = xs[k], ys[k]
            for _ in range(
                12
            ):  # the place whose bend leads back there; it shrinks, since crowns are no steeper than 1 / wind
                bx, by = bend(crown, cell, x, y, later, wind_x, wind_y)
                x, y = rx + bx, ry + by
            out[k, 0], out[k, 1] = x - xs[k], y - ys[k]
        return out

    return shade_frames, depth_frames, surface_frames, base_frames, fall_frames, blown_points


shade_frames, depth_frames, surface_frames, base_frames, fall_frames, blown_points = _compiled(_source())
