"""Render a World in scene-linear HDR with exact depth, on CPU threads.

A two-level height maximum lets a ray skip empty air exactly; near the surface it steps by a cell.  Shading is
sun with marched soft shadows, sky light, water with a Fresnel mirror, snow, foliage by season, lit windows at
night, exponential haze.  Colours are scene-linear Rec.709, exposed so that mid-grey is about 0.18 by day.

Legend: frames [T, H, W, 3], depth [T, H, W] camera-plane metres, cameras in OpenCV axes.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from . import shading as at
from .light import Light, make_light
from .materials import KINDS
from .shading import COARSE, HAZE, KIND, SEA, VEIL, ceiling_hit, hashed, march, sky
from .surfaces import INTERIOR, SKY_KIND, shade_ceiling, shade_surface, shade_water
from .world import Ceiling, World

_OFFSETS = np.array([[0.25, 0.75], [0.75, 0.25], [0.25, 0.25], [0.75, 0.75]])


def render(
    world: World,
    K: NDArray,
    world_from_camera: NDArray,
    width: int,
    height: int,
    samples: int = 2,
    time_step: float = 1 / 24,
) -> NDArray[np.float32]:
    """Frames [T, H, W, 3] of a camera track; samples 1 … 4 a pixel; time_step: seconds between frames, for water,
    clouds, rain and snow (nothing that has depth moves)."""
    light = make_light(world.attributes, world.seed)
    offsets = np.array([[0.5, 0.5]]) if samples == 1 else _OFFSETS[:samples]
    lights = np.stack([light.sun, light.sun_colour, light.zenith, light.horizon])
    frames = _shade_frames(
        world.height, block_maximum(world.height), float(world.height.max()), world.material, world.tone,
        world.texture, world.cloud, world.extent, lights, _params(world, light), np.linalg.inv(K),
        np.ascontiguousarray(world_from_camera, np.float64), width, height, offsets, time_step,
    )  # fmt: skip
    if light.fall:
        bright = 1.3 * light.horizon + 0.3 * light.zenith
        _precipitation(frames, light.fall, bright, float(world.seed % 997), time_step)
    return frames


def _params(world: World, light: Light) -> NDArray[np.float64]:
    params = np.zeros(at.PARAMS)
    params[at.HAZE], params[at.VEIL], params[at.COVER] = light.haze, light.veil, light.cover
    params[at.LAMPS], params[at.STARS], params[at.STORM] = light.lamps, light.stars, light.storm
    params[at.WET], params[at.WINTER], params[at.AUTUMN] = light.wet, light.winter, light.autumn
    params[at.DISC], params[at.DISC_SIZE] = light.disc, light.disc_size
    params[at.SEA], params[at.KIND] = world.sea, KINDS.index(world.attributes.kind)
    params[at.STYLE] = world.style
    params[at.CEILING_Z], params[at.BAY], params[at.SKYLIGHT] = _ceiling_values(world.ceiling)
    return params


def _ceiling_values(ceiling: Ceiling | None) -> tuple[float, float, float]:
    return (ceiling.z, ceiling.bay, ceiling.skylight) if ceiling else (0.0, 1.0, 0.0)


def blockout_depth(
    world: World, K: NDArray, world_from_camera: NDArray, width: int, height: int
) -> NDArray[np.float32]:
    """Depth [T, H, W] of the simplified world: what an artist's blockout would give."""
    return trace_depth(world.simplified, world.extent, world.sea, K, world_from_camera, width, height, world.ceiling)


def exact_depth(world: World, K: NDArray, world_from_camera: NDArray, width: int, height: int) -> NDArray[np.float32]:
    """Depth [T, H, W] of the world itself."""
    return trace_depth(world.height, world.extent, world.sea, K, world_from_camera, width, height, world.ceiling)


def block_maximum(height: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest height of each COARSE x COARSE block and its one-cell rim (bilinear sampling reads the rim)."""
    n = height.shape[0]
    rim = height
    for axis in (0, 1):
        rim = np.maximum(np.maximum(rim, np.roll(rim, 1, axis)), np.roll(rim, -1, axis))
    return rim.reshape(n // COARSE, COARSE, n // COARSE, COARSE).max((1, 3))


def trace_depth(
    heights: NDArray[np.float32],
    extent: float,
    sea: bool,
    K: NDArray,
    world_from_camera: NDArray,
    width: int,
    height: int,
    ceiling: Ceiling | None = None,
) -> NDArray[np.float32]:
    """Camera-plane depth [T, H, W] at pixel centres of any periodic heightfield, inf where nothing is hit.

    sea: with a plane at z = 0; ceiling: with a level plane above, open at its skylights.
    """
    return _depth_frames(
        heights, block_maximum(heights), float(heights.max()), extent, float(sea), *_ceiling_values(ceiling),
        np.linalg.inv(K), np.ascontiguousarray(world_from_camera, np.float64), width, height,
    )  # fmt: skip


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


@numba.njit(parallel=True, fastmath=True, cache=True)
def _shade_frames(
    heights, blocks, peak, material, tones, texture, cloud, extent, lights, params_in, inverse, pose,
    width, height, offsets, time_step,
):  # fmt: skip
    frames = inverse.shape[0]
    out = np.zeros((frames, height, width, 3), np.float32)
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


@numba.njit(parallel=True, fastmath=True, cache=True)
def _precipitation(frames, fall, bright, seed, time_step):
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


@numba.njit(parallel=True, fastmath=False, cache=True)
def _depth_frames(heights, blocks, peak, extent, sea, ceiling_z, bay, skylight, inverse, pose, width, height):
    frames = inverse.shape[0]
    out = np.full((frames, height, width), np.inf, np.float32)
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
