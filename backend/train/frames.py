"""The compiled loops over frames, rows and pixels.

numba keeps compiled code on disk and looks only at the file of the function it keeps.  These functions call into four
other files, so a checksum of those is a value the functions close over: it is part of the cache's key.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np

from . import shading as at
from .albedo import INTERIOR, SKY_KIND
from .materials import CEILING, NOTHING, WATER
from .shading import HAZE, KIND, SEA, VEIL, ceiling_hit, hashed, march, sample, sky
from .surfaces import shade_ceiling, shade_surface, shade_water, surface_at


def _source() -> int:
    """Checksum of the other compiled files."""
    folder = Path(__file__).parent
    return zlib.crc32(
        b"".join((folder / f"{n}.py").read_bytes() for n in ("materials", "shading", "albedo", "surfaces"))
    )


@numba.njit(fastmath=True)
def _radiance(
    heights, blocks, peak, material, tones, texture, cloud, extent, lights, params, ox, oy, oz, dx, dy, dz, pixel, out
):
    """Colour of a ray into out[0:3]; out [7] is working space."""
    cell = extent / heights.shape[0]
    kind = int(params[KIND])
    far = 2.2 * extent
    if kind == SKY_KIND:
        sky(dx, dy, dz, lights, params, cloud, True, out)
        _veil(dz if dz > 0 else 0.25 * -dz, 0.35 * params[VEIL], lights, out)
        return
    water = (-oz / dz) if params[SEA] > 0 and dz < -1e-5 else -1.0
    if water > 6 * extent:
        water = -1.0
    if water > 0:
        far = min(far, water + cell)
    overhead = -1.0
    if kind == INTERIOR:
        overhead = ceiling_hit(ox, oy, oz, dx, dy, dz, params[at.CEILING_Z], params[at.BAY], params[at.SKYLIGHT])
        if overhead > 0:
            far = min(far, overhead)
    t = march(heights, blocks, peak, cell, ox, oy, oz, dx, dy, dz, far, pixel)
    if overhead > 0 and (t < 0 or overhead < t):
        t = overhead
        shade_ceiling(ox + t * dx, oy + t * dy, t, pixel, lights, params, out)
    elif water > 0 and (t < 0 or water < t):
        t = water
        shade_water(
            heights, blocks, peak, material, tones, texture, cloud, extent, lights, params,
            ox + t * dx, oy + t * dy, t, dx, dy, dz, pixel, out,
        )  # fmt: skip
    elif t < 0:
        sky(dx, dy, dz, lights, params, cloud, False, out)
        _veil(dz, params[VEIL], lights, out)
        return
    else:
        shade_surface(
            heights, blocks, material, tones, texture, cloud, cell, lights, params,
            ox + t * dx, oy + t * dy, oz + t * dz, dx, dy, dz, t, pixel, out,
        )  # fmt: skip
    seen = math.exp(-params[HAZE] * t)
    facing = max(dx * lights[0, 0] + dy * lights[0, 1] + dz * lights[0, 2], 0.0)
    for c in range(3):
        out[c] = out[c] * seen + (lights[3, c] * 0.95 + 0.25 * lights[1, c] * facing**6) * (1 - seen)


@numba.njit(fastmath=True)
def _veil(dz, veil, lights, out):
    """Haze before the sky, thicker towards the horizon."""
    if veil > 0:
        hidden = 1.0 - math.exp(-veil / (max(dz, 0.0) + 0.08) * 0.3)
        for c in range(3):
            out[c] = out[c] * (1 - hidden) + lights[3, c] * hidden


def _compiled(source: int) -> tuple[Callable, Callable, Callable]:
    """The loops that call other files: colours, depth, normals with materials."""

    @numba.njit(parallel=True, fastmath=True, cache=True)
    def shade_frames(
        heights, blocks, peak, material, tones, texture, cloud, extent, lights, params_in, inverse, pose,
        width, height, offsets, time_step,
    ):  # fmt: skip
        frames = inverse.shape[0]
        out = np.zeros((frames, height, width, 3), np.float32)
        if source < 0:
            return out
        for row in numba.prange(frames * height):
            f, i = row // height, row % height
            colour = np.zeros(7)
            params = params_in.copy()
            params[at.NOW] = f * time_step
            pixel = inverse[f, 0, 0]
            for j in range(width):
                for s in range(offsets.shape[0]):
                    u, v = j + offsets[s, 0], i + offsets[s, 1]
                    cx = inverse[f, 0, 0] * u + inverse[f, 0, 2]
                    cy = inverse[f, 1, 1] * v + inverse[f, 1, 2]
                    dx = pose[f, 0, 0] * cx + pose[f, 0, 1] * cy + pose[f, 0, 2]
                    dy = pose[f, 1, 0] * cx + pose[f, 1, 1] * cy + pose[f, 1, 2]
                    dz = pose[f, 2, 0] * cx + pose[f, 2, 1] * cy + pose[f, 2, 2]
                    inv = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz)
                    _radiance(
                        heights, blocks, peak, material, tones, texture, cloud, extent, lights, params,
                        pose[f, 0, 3], pose[f, 1, 3], pose[f, 2, 3], dx * inv, dy * inv, dz * inv, pixel, colour,
                    )  # fmt: skip
                    for c in range(3):
                        out[f, i, j, c] += max(colour[c], 0.0) / offsets.shape[0]
        return out

    @numba.njit(parallel=True, fastmath=False, cache=True)
    def depth_frames(heights, blocks, peak, extent, sea, ceiling_z, bay, skylight, inverse, pose, width, height):
        frames = inverse.shape[0]
        out = np.full((frames, height, width), np.inf, np.float32)
        if source < 0:
            return out
        cell = extent / heights.shape[0]
        for row in numba.prange(frames * height):
            f, i = row // height, row % height
            ox, oy, oz = pose[f, 0, 3], pose[f, 1, 3], pose[f, 2, 3]
            for j in range(width):
                cx = inverse[f, 0, 0] * (j + 0.5) + inverse[f, 0, 2]
                cy = inverse[f, 1, 1] * (i + 0.5) + inverse[f, 1, 2]
                norm = math.sqrt(cx * cx + cy * cy + 1.0)
                dx = (pose[f, 0, 0] * cx + pose[f, 0, 1] * cy + pose[f, 0, 2]) / norm
                dy = (pose[f, 1, 0] * cx + pose[f, 1, 1] * cy + pose[f, 1, 2]) / norm
                dz = (pose[f, 2, 0] * cx + pose[f, 2, 1] * cy + pose[f, 2, 2]) / norm
                t = march(heights, blocks, peak, cell, ox, oy, oz, dx, dy, dz, 2.2 * extent, inverse[f, 0, 0])
                if sea > 0 and dz < -1e-5:
                    water = -oz / dz
                    if 0 < water < 6 * extent and (t < 0 or water < t):
                        t = water
                if ceiling_z > 0:
                    overhead = ceiling_hit(ox, oy, oz, dx, dy, dz, ceiling_z, bay, skylight)
                    if overhead > 0 and (t < 0 or overhead < t):
                        t = overhead
                if t > 0:
                    out[f, i, j] = t / norm
        return out

    @numba.njit(parallel=True, fastmath=False, cache=True)
    def surface_frames(heights, material, tones, extent, sea, ceiling_z, inverse, pose, depth):
        frames, height, width = depth.shape
        normal = np.zeros((frames, height, width, 3), np.float32)
        marks = np.full((frames, height, width), NOTHING, np.uint8)
        objects = np.zeros((frames, height, width), np.uint8)
        if source < 0:
            return normal, marks, objects
        cell = extent / heights.shape[0]
        for row in numba.prange(frames * height):
            f, i = row // height, row % height
            for j in range(width):
                z = depth[f, i, j]
                if z == np.inf:
                    continue
                cx = (inverse[f, 0, 0] * (j + 0.5) + inverse[f, 0, 2]) * z
                cy = (inverse[f, 1, 1] * (i + 0.5) + inverse[f, 1, 2]) * z
                x = pose[f, 0, 0] * cx + pose[f, 0, 1] * cy + pose[f, 0, 2] * z + pose[f, 0, 3]
                y = pose[f, 1, 0] * cx + pose[f, 1, 1] * cy + pose[f, 1, 2] * z + pose[f, 1, 3]
                up = pose[f, 2, 0] * cx + pose[f, 2, 1] * cy + pose[f, 2, 2] * z + pose[f, 2, 3]
                ground = sample(heights, x / cell, y / cell)
                near = 1e-4 * z + 1e-4  # the depth is a float32
                if sea > 0 and ground < 0 and abs(up) < near:
                    normal[f, i, j, 2], marks[f, i, j] = 1.0, WATER
                elif ceiling_z > 0 and abs(up - ceiling_z) < near and ground < ceiling_z - near:
                    normal[f, i, j, 2], marks[f, i, j] = -1.0, CEILING
                else:
                    gx, gy, a, b = surface_at(heights, material, cell, x / cell, y / cell, z * inverse[f, 0, 0])
                    inv = 1.0 / math.sqrt(gx * gx + gy * gy + 1.0)
                    normal[f, i, j, 0], normal[f, i, j, 1], normal[f, i, j, 2] = -gx * inv, -gy * inv, inv
                    marks[f, i, j], objects[f, i, j] = material[a, b], tones[a, b]
        return normal, marks, objects

    return shade_frames, depth_frames, surface_frames


shade_frames, depth_frames, surface_frames = _compiled(_source())


@numba.njit(parallel=True, fastmath=True, cache=True)
def precipitation(frames, fall, bright, seed, time_step):
    """Rain streaks or snowflakes before the lens, in place; sizes in parts of the picture's height."""
    count, height, width = frames.shape[0], frames.shape[1], frames.shape[2]
    for row in numba.prange(count * height):
        f, i = row // height, row % height
        now = f * time_step
        for j in range(width):
            x, y = (j + 0.5) / height, (i + 0.5) / height
            cover = 0.0
            if fall == 1:
                for layer in range(2):
                    columns = (42.0, 62.0)[layer]
                    u = (x + 0.06 * y) * columns
                    column = math.floor(u)
                    v = y * (3.0, 5.0)[layer] - now * (7.0, 9.0)[layer] + 13.0 * hashed(column, seed, layer + 1.0)
                    drop = hashed(column, math.floor(v), seed + layer)
                    if drop > 0.72:
                        part = v - math.floor(v)
                        cover = max(cover, 0.24 * part * (1 - part) * 4 * (drop - 0.55))
            else:
                for layer in range(3):
                    scale = (9.0, 15.0, 24.0)[layer]
                    u, v = (
                        x * scale + (0.9, 0.6, 0.4)[layer] * now + layer * 0.37,
                        y * scale - (3.4, 3.0, 2.8)[layer] * now,
                    )
                    a, b = math.floor(u), math.floor(v)
                    if hashed(a, b, seed + layer) > 0.66:
                        px = 0.18 + 0.64 * hashed(a, b, seed + 11.0)
                        py = 0.18 + 0.64 * hashed(a, b, seed + 17.0)
                        r2 = (u - a - px) ** 2 + (v - b - py) ** 2
                        cover = max(
                            cover, (0.85, 0.75, 0.6)[layer] * max(1.0 - r2 / (0.012 + 0.02 * hashed(b, a, seed)), 0.0)
                        )
            if cover > 0:
                for c in range(3):
                    frames[f, i, j, c] = frames[f, i, j, c] * (1 - cover) + bright[c] * cover
