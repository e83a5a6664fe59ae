"""What one pixel shows: its colour, depth, surface, and the rain before it.

Compiled.  The loops over pixels are in frames.py (processor) and device.py (CUDA); both call these functions, so the
two cannot drift apart.  Legend: f frame, i row, j column; scene as in shading.py; `work` [WORK] is working space.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from .albedo import INTERIOR, SKY_KIND, surface_colour
from .materials import CEILING, NOTHING, WATER
from .shading import (
    BAY,
    CEILING_Z,
    HAZE,
    KIND,
    NOW,
    SEA,
    SKYLIGHT,
    VEIL,
    WIND_X,
    WIND_Y,
    bend,
    ceiling_hit,
    hashed,
    march,
    sample,
    sky,
)
from .solids import FAR, meet_solids, shade_of_solids
from .surfaces import grain_of, octaves, shade_ceiling, shade_solid, shade_surface, shade_water, surface_at

REACH = 2.2  # extents that a ray goes over land
HORIZON = 6.0  # extents that it goes over water
WORK = 11  # a colour with what surfaces.py needs beside it [0:7], a normal [7:11]


@numba.njit(fastmath=True)
def _veil(dz, veil, lights, out):
    """Haze before the sky, thicker towards the horizon."""
    if veil > 0:
        hidden = 1.0 - math.exp(-veil / (max(dz, 0.0) + 0.08) * 0.3)
        for c in range(3):
            out[c] = out[c] * (1 - hidden) + lights[3, c] * hidden


@numba.njit(fastmath=True, forceinline=True)
def _radiance(scene, params, f, u, v, ox, oy, oz, dx, dy, dz, pixel, out):
    """Colour of a ray from o along d through (u, v) of frame f into out[0:3]; pixel: the angle of a pixel."""
    extent, lights = scene.extent, scene.lights
    cell = extent / scene.heights.shape[0]
    kind = int(params[KIND])
    far = REACH * extent
    if kind == SKY_KIND:
        sky(dx, dy, dz, lights, params, scene.cloud, True, out)
        _veil(dz if dz > 0 else 0.25 * -dz, 0.35 * params[VEIL], lights, out)
        return
    water = (-oz / dz) if params[SEA] > 0 and dz < -1e-5 else -1.0
    if water > HORIZON * extent:
        water = -1.0
    if water > 0:
        far = min(far, water + cell)
    overhead = -1.0
    if kind == INTERIOR:
        overhead = ceiling_hit(ox, oy, oz, dx, dy, dz, params[CEILING_Z], params[BAY], params[SKYLIGHT])
        if overhead > 0:
            far = min(far, overhead)
    movers, solid, part = scene.entries.shape[1] > 0, FAR, -1
    if movers:
        solid, part = meet_solids(scene.entries[f], scene.parts[f], u, v, ox, oy, oz, dx, dy, dz, out[7:])
        far = min(far, solid)
    t = march(
        scene.heights, scene.blocks, scene.peak, cell, ox, oy, oz, dx, dy, dz, far, pixel,
        scene.crown, params[NOW], params[WIND_X], params[WIND_Y],
    )  # fmt: skip
    if part >= 0 and (t < 0 or solid < t) and not 0 < overhead < solid and not 0 < water < solid:
        t = solid
        px, py, pz = ox + t * dx, oy + t * dy, oz + t * dz
        nx, ny, nz = out[7], out[8], out[9]
        sun, _ = shade_of_solids(
            scene.entries[f], scene.parts[f], u, v, px + 0.02 * nx, py + 0.02 * ny, pz + 0.02 * nz,
            lights[0, 0], lights[0, 1], lights[0, 2], out[7:],
        )  # fmt: skip
        shade_solid(scene, params, scene.looks[part], px, py, pz, nx, ny, nz, dx, dy, dz, sun, out)
    elif overhead > 0 and (t < 0 or overhead < t):
        t = overhead
        shade_ceiling(ox + t * dx, oy + t * dy, t, pixel, lights, params, out)
    elif water > 0 and (t < 0 or water < t):
        t = water
        shade_water(scene, params, ox + t * dx, oy + t * dy, t, dx, dy, dz, pixel, out)
    elif t < 0:
        sky(dx, dy, dz, lights, params, scene.cloud, False, out)
        _veil(dz, params[VEIL], lights, out)
        return
    else:
        px, py, pz = ox + t * dx, oy + t * dy, oz + t * dz
        sun, free = 1.0, 1.0
        if movers:
            sun, free = shade_of_solids(
                scene.entries[f], scene.parts[f], u, v, px, py, pz + 0.01, lights[0, 0], lights[0, 1], lights[0, 2],
                out[7:],
            )  # fmt: skip
        shade_surface(scene, params, px, py, pz, dx, dy, dz, t, pixel, sun, free, out)
    seen = math.exp(-params[HAZE] * t)
    facing = max(dx * lights[0, 0] + dy * lights[0, 1] + dz * lights[0, 2], 0.0)
    for c in range(3):
        out[c] = out[c] * seen + (lights[3, c] * 0.95 + 0.25 * lights[1, c] * facing**6) * (1 - seen)


@numba.njit(fastmath=True, forceinline=True)
def pixel_colour(scene, f, i, j, work, out):
    """Adds the mean of a pixel's samples, scene-linear Rec.709, to out [F, H, W, 3]."""
    inverse, pose, offsets, params = scene.inverse, scene.pose, scene.offsets, scene.params[f]
    count = offsets.shape[0]
    for s in range(count):
        u, v = j + offsets[s, 0], i + offsets[s, 1]
        cx = inverse[f, 0, 0] * u + inverse[f, 0, 2]
        cy = inverse[f, 1, 1] * v + inverse[f, 1, 2]
        dx = pose[f, 0, 0] * cx + pose[f, 0, 1] * cy + pose[f, 0, 2]
        dy = pose[f, 1, 0] * cx + pose[f, 1, 1] * cy + pose[f, 1, 2]
        dz = pose[f, 2, 0] * cx + pose[f, 2, 1] * cy + pose[f, 2, 2]
        inv = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz)
        _radiance(
            scene, params, f, u, v, pose[f, 0, 3], pose[f, 1, 3], pose[f, 2, 3], dx * inv, dy * inv, dz * inv,
            inverse[f, 0, 0], work,
        )  # fmt: skip
        for c in range(3):
            out[f, i, j, c] += max(work[c], 0.0) / count


@numba.njit(forceinline=True)
def pixel_depth(scene, f, i, j, work, out):
    """Camera-plane metres at a pixel's centre into out [F, H, W]; inf where nothing is hit."""
    inverse, pose, params = scene.inverse, scene.pose, scene.params[f]
    cell = scene.extent / scene.heights.shape[0]
    ox, oy, oz = pose[f, 0, 3], pose[f, 1, 3], pose[f, 2, 3]
    cx = inverse[f, 0, 0] * (j + 0.5) + inverse[f, 0, 2]
    cy = inverse[f, 1, 1] * (i + 0.5) + inverse[f, 1, 2]
    norm = math.sqrt(cx * cx + cy * cy + 1.0)
    dx = (pose[f, 0, 0] * cx + pose[f, 0, 1] * cy + pose[f, 0, 2]) / norm
    dy = (pose[f, 1, 0] * cx + pose[f, 1, 1] * cy + pose[f, 1, 2]) / norm
    dz = (pose[f, 2, 0] * cx + pose[f, 2, 1] * cy + pose[f, 2, 2]) / norm
    t = march(
        scene.heights, scene.blocks, scene.peak, cell, ox, oy, oz, dx, dy, dz, REACH * scene.extent, inverse[f, 0, 0],
        scene.crown, params[NOW], params[WIND_X], params[WIND_Y],
    )  # fmt: skip
    if params[SEA] > 0 and dz < -1e-5:
        water = -oz / dz
        if 0 < water < HORIZON * scene.extent and (t < 0 or water < t):
            t = water
    if params[CEILING_Z] > 0:
        overhead = ceiling_hit(ox, oy, oz, dx, dy, dz, params[CEILING_Z], params[BAY], params[SKYLIGHT])
        if overhead > 0 and (t < 0 or overhead < t):
            t = overhead
    if scene.entries.shape[1] > 0:
        solid, part = meet_solids(
            scene.entries[f], scene.parts[f], j + 0.5, i + 0.5, ox, oy, oz, dx, dy, dz, work
        )  # fmt: skip
        if part >= 0 and (t < 0 or solid < t):
            t = solid
    out[f, i, j] = t / norm if t > 0 else np.inf


@numba.njit(forceinline=True)
def point_at(inverse, pose, i, j, z):
    """World point at depth z of a pixel's centre; inverse [3, 3], pose [4, 4] of one camera."""
    cx = (inverse[0, 0] * (j + 0.5) + inverse[0, 2]) * z
    cy = (inverse[1, 1] * (i + 0.5) + inverse[1, 2]) * z
    x = pose[0, 0] * cx + pose[0, 1] * cy + pose[0, 2] * z + pose[0, 3]
    y = pose[1, 0] * cx + pose[1, 1] * cy + pose[1, 2] * z + pose[1, 3]
    return x, y, pose[2, 0] * cx + pose[2, 1] * cy + pose[2, 2] * z + pose[2, 3]


@numba.njit(forceinline=True)
def pixel_surface(scene, f, i, j, depth, work, normal, marks, objects, part_of):
    """What lies at a pixel's depth [F, H, W]: unit normal [F, H, W, 3], material, tone and mover's part [F, H, W]."""
    inverse, pose, params = scene.inverse, scene.pose, scene.params[f]
    z = depth[f, i, j]
    marks[f, i, j], part_of[f, i, j] = NOTHING, -1
    if z == np.inf:
        return
    cell = scene.extent / scene.heights.shape[0]
    x, y, up = point_at(inverse[f], pose[f], i, j, z)
    if scene.entries.shape[1] > 0:
        ox, oy, oz = pose[f, 0, 3], pose[f, 1, 3], pose[f, 2, 3]
        t = math.sqrt((x - ox) ** 2 + (y - oy) ** 2 + (up - oz) ** 2)
        solid, part = meet_solids(
            scene.entries[f], scene.parts[f], j + 0.5, i + 0.5, ox, oy, oz, (x - ox) / t, (y - oy) / t, (up - oz) / t,
            work,
        )  # fmt: skip
        if part >= 0 and abs(solid - t) < 1e-5 * t + 1e-5:  # the depth is a float32
            for c in range(3):
                normal[f, i, j, c] = work[c]
            marks[f, i, j], part_of[f, i, j] = scene.kinds[part], scene.numbers[part]
            return
    if params[WIND_X] != 0.0 or params[WIND_Y] != 0.0:
        bx, by = bend(scene.crown, cell, x, y, params[NOW], params[WIND_X], params[WIND_Y])
        x, y = x - bx, y - by
    ground = sample(scene.heights, x / cell, y / cell)
    near = 1e-4 * z + 1e-4  # the depth is a float32
    if params[SEA] > 0 and ground < 0 and abs(up) < near:
        normal[f, i, j, 2], marks[f, i, j] = 1.0, WATER
    elif params[CEILING_Z] > 0 and abs(up - params[CEILING_Z]) < near and ground < params[CEILING_Z] - near:
        normal[f, i, j, 2], marks[f, i, j] = -1.0, CEILING
    else:
        gx, gy, a, b = surface_at(scene.heights, scene.material, cell, x / cell, y / cell, z * inverse[f, 0, 0])
        inv = 1.0 / math.sqrt(gx * gx + gy * gy + 1.0)
        normal[f, i, j, 0], normal[f, i, j, 1], normal[f, i, j, 2] = -gx * inv, -gy * inv, inv
        marks[f, i, j], objects[f, i, j] = scene.material[a, b], scene.tones[a, b]


@numba.njit(fastmath=True, forceinline=True)
def pixel_base(scene, f, i, j, depth, normal, marks, tones, part_of, textured, work, out):
    """Albedo of what pixel_surface found at a pixel's depth into out [F, H, W, 3], without windows and lamps; textured:
    with the surface's grain.  Zero for the sky."""
    mark, part = marks[f, i, j], part_of[f, i, j]
    if mark == NOTHING:
        return
    if part >= 0:
        for q in range(scene.numbers.shape[0]):  # looks are of the parts on this stage, part_of counts all there are
            if scene.numbers[q] == part:
                for c in range(3):
                    out[f, i, j, c] = scene.looks[q, c]
        return
    if mark == WATER or mark == CEILING:
        for c in range(3):
            out[f, i, j, c] = (0.02, 0.07, 0.09)[c] if mark == WATER else (0.62, 0.60, 0.56)[c]
        return
    inverse, params = scene.inverse, scene.params[f]
    z = depth[f, i, j]
    x, y, up = point_at(inverse[f], scene.pose[f], i, j, z)
    nx, ny, nz = normal[f, i, j, 0], normal[f, i, j, 1], normal[f, i, j, 2]
    foot, grain, patch = 1e3, 0.0, 0.0
    if not textured:
        up = 2.0  # one bed of rock, one band of a wall
    else:
        foot, steep = z * inverse[f, 0, 0], nz < 0.447  # a rise of two over a run of one, as in shade_surface
        u, v = (x, up) if steep and abs(ny) > abs(nx) else ((y, up) if steep else (x, y))
        fine, mid, wide = octaves(scene.texture, int(params[KIND]) == INTERIOR, u, v, foot)
        grain, patch = grain_of(fine, mid, wide)
    surface_colour(mark, tones[f, i, j], nx, ny, nz, x, y, up, grain, patch, foot, params, work)
    for c in range(3):
        out[f, i, j, c] = work[c]


@numba.njit(fastmath=True, forceinline=True)
def pixel_fall(f, i, j, fall, bright, seed, time, out):
    """A rain streak or snowflake before the lens over out [F, H, W, 3]; sizes in parts of the picture's height."""
    height = out.shape[1]
    x, y = (j + 0.5) / height, (i + 0.5) / height
    cover = 0.0
    if fall == 1:
        for layer in range(2):
            columns = (42.0, 62.0)[layer]
            u = (x + 0.06 * y) * columns
            column = math.floor(u)
            v = y * (3.0, 5.0)[layer] - time * (7.0, 9.0)[layer] + 13.0 * hashed(column, seed, layer + 1.0)
            drop = hashed(column, math.floor(v), seed + layer)
            if drop > 0.72:
                part = v - math.floor(v)
                cover = max(cover, 0.24 * part * (1 - part) * 4 * (drop - 0.55))
    else:
        for layer in range(3):
            scale = (9.0, 15.0, 24.0)[layer]
            u = x * scale + (0.9, 0.6, 0.4)[layer] * time + layer * 0.37
            v = y * scale - (3.4, 3.0, 2.8)[layer] * time
            a, b = math.floor(u), math.floor(v)
            if hashed(a, b, seed + layer) > 0.66:
                px = 0.18 + 0.64 * hashed(a, b, seed + 11.0)
                py = 0.18 + 0.64 * hashed(a, b, seed + 17.0)
                r2 = (u - a - px) ** 2 + (v - b - py) ** 2
                flake = max(1.0 - r2 / (0.012 + 0.02 * hashed(b, a, seed)), 0.0)
                cover = max(cover, (0.85, 0.75, 0.6)[layer] * flake)
    if cover > 0:
        for c in range(3):
            out[f, i, j, c] = out[f, i, j, c] * (1 - cover) + bright[c] * cover
