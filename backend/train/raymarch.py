"""Render a World in scene-linear HDR with exact depth, on CPU threads.

A two-level height maximum lets a ray skip empty air exactly; near the surface it steps by a cell.  Shading is
sun with marched soft shadows, sky light, water with a Fresnel mirror, snow, foliage by season, lit windows at
night, exponential haze.  Colours are scene-linear Rec.709, exposed so that mid-grey is about 0.18 by day.

Legend: frames [T, H, W, 3], depth [T, H, W] camera-plane metres, cameras in OpenCV axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from .world import CONIFER, GROUND, ROAD, ROCK, SAND, TREE, WALL, Attributes, World

COARSE = 16  # cells a side of one block of the height maximum


@dataclass(frozen=True, eq=False)
class Light:
    """Sun (or moon) direction towards it, colours scene-linear, haze per metre at extent 1000 m, cloud cover 0…1."""

    sun: NDArray[np.float64]
    sun_colour: NDArray[np.float64]
    zenith: NDArray[np.float64]
    horizon: NDArray[np.float64]
    haze: float
    cover: float
    night: float
    winter: float
    autumn: float


_SKY = {  # altitude range (degrees), sun, zenith, horizon
    "dawn": ((4, 13), (1.7, 0.92, 0.75), (0.20, 0.24, 0.42), (0.85, 0.47, 0.50)),
    "noon": ((42, 72), (2.9, 2.75, 2.5), (0.12, 0.28, 0.72), (0.52, 0.70, 0.95)),
    "dusk": ((3, 10), (2.3, 0.85, 0.26), (0.09, 0.09, 0.26), (1.20, 0.42, 0.12)),
    "night": ((25, 60), (0.10, 0.125, 0.21), (0.008, 0.014, 0.045), (0.026, 0.038, 0.085)),
}


def make_light(attributes: Attributes, seed: int) -> Light:
    """The light of a time of day under a weather, varied by seed."""
    rng = np.random.default_rng([seed, 3])
    (low, high), sun, zenith, horizon = _SKY[attributes.time]
    altitude, azimuth = math.radians(rng.uniform(low, high)), rng.uniform(0, 2 * math.pi)
    tint = rng.uniform(0.9, 1.1, 3)
    sun_c, zen, hor = (np.array(c) * tint * rng.uniform(0.85, 1.15) for c in (sun, zenith, horizon))
    haze, cover = rng.uniform(0.05, 0.35), rng.uniform(0.0, 0.45)
    if attributes.weather != "clear":
        grey = 0.35 * zen.mean() + 0.65 * hor.mean()
        mix = np.array([grey, grey, grey * 1.04]) * (0.7 if attributes.weather == "overcast" else 1.0)
        zen, hor = 0.2 * zen + 0.8 * mix * 0.8, 0.3 * hor + 0.7 * mix * 1.1
        sun_c = sun_c * (0.10 if attributes.weather == "overcast" else 0.16)
        cover = rng.uniform(0.85, 1.0)
    if attributes.weather == "overcast":
        haze = rng.uniform(0.3, 0.8)
    if attributes.weather == "fog":
        haze = rng.uniform(5.0, 11.0)
        zen = hor
    direction = np.array(
        [math.cos(altitude) * math.cos(azimuth), math.cos(altitude) * math.sin(azimuth), math.sin(altitude)]
    )
    return Light(
        sun=direction,
        sun_colour=sun_c,
        zenith=zen,
        horizon=hor,
        haze=haze,
        cover=cover,
        night=1.0 if attributes.time == "night" else (0.35 if attributes.time == "dusk" else 0.0),
        winter=1.0 if attributes.season == "winter" else 0.0,
        autumn=1.0 if attributes.season == "autumn" else 0.0,
    )


def render(
    world: World, K: NDArray, world_from_camera: NDArray, width: int, height: int, samples: int = 2
) -> NDArray[np.float32]:
    """Frames [T, H, W, 3] of a camera track; samples 1 … 4 a pixel."""
    light = make_light(world.attributes, world.seed)
    blocks = block_maximum(world.height)
    offsets = (
        np.array([[0.5, 0.5]])
        if samples == 1
        else (np.array([[0.25, 0.75], [0.75, 0.25], [0.25, 0.25], [0.75, 0.75]])[:samples])
    )
    lights = np.stack([light.sun, light.sun_colour, light.zenith, light.horizon])
    params = np.array([light.haze / 1000.0, light.cover, light.night, light.winter, light.autumn, float(world.sea)])
    return _shade_frames(
        world.height, blocks, world.material, world.texture, world.cloud, world.extent, lights, params,
        np.linalg.inv(K), world_from_camera, width, height, offsets,
    )  # fmt: skip


def blockout_depth(
    world: World, K: NDArray, world_from_camera: NDArray, width: int, height: int
) -> NDArray[np.float32]:
    """Depth [T, H, W] of the simplified world: what an artist's blockout would give."""
    return trace_depth(world.simplified, world.extent, world.sea, K, world_from_camera, width, height)


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
) -> NDArray[np.float32]:
    """Camera-plane depth [T, H, W] at pixel centres of any periodic heightfield, inf where nothing is hit."""
    blocks = block_maximum(heights)
    return _depth_frames(heights, blocks, extent, float(sea), np.linalg.inv(K), world_from_camera, width, height)


@numba.njit(fastmath=True, inline="always")
def _sample(field, x, y):
    """Bilinear, periodic; x, y in cells.  Sides are powers of two, so that wrapping is a mask."""
    wrap = field.shape[0] - 1
    fx, fy = math.floor(x), math.floor(y)
    ax, ay = np.float32(x - fx), np.float32(y - fy)
    x0, y0 = int(fx) & wrap, int(fy) & wrap
    x1, y1 = (x0 + 1) & wrap, (y0 + 1) & wrap
    top = field[y0, x0] * (1 - ax) + field[y0, x1] * ax
    low = field[y1, x0] * (1 - ax) + field[y1, x1] * ax
    return top * (1 - ay) + low * ay


@numba.njit(fastmath=True)
def _march(heights, blocks, cell, ox, oy, oz, dx, dy, dz, far, pixel):
    """Distance along a unit ray to the heightfield, or -1.  pixel: angle of a pixel, sets the step far away."""
    m = blocks.shape[0]
    block = COARSE * cell
    t = 0.02
    last = 0.0
    for _ in range(700):
        if t > far:
            return -1.0
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        bx, by = math.floor(x / block), math.floor(y / block)
        top = blocks[int(by) & (m - 1), int(bx) & (m - 1)]
        if z > top:
            # Nothing in this block is as high: go on to its edge, or to where the ray sinks to its top.
            tx = ((bx + (1.0 if dx > 0 else 0.0)) * block - x) / dx if abs(dx) > 1e-9 else 1e9
            ty = ((by + (1.0 if dy > 0 else 0.0)) * block - y) / dy if abs(dy) > 1e-9 else 1e9
            skip = min(tx, ty)
            if dz < 0:
                skip = min(skip, (top - z) / dz)
            last = t
            t += max(skip, 0.0) + 0.02 * cell
            continue
        gap = z - _sample(heights, x / cell, y / cell)
        if gap < 0:
            low, high = last, t
            for _ in range(7):
                mid = 0.5 * (low + high)
                if oz + mid * dz < _sample(heights, (ox + mid * dx) / cell, (oy + mid * dy) / cell):
                    high = mid
                else:
                    low = mid
            return high
        last = t
        t += max(0.55 * cell, 0.5 * pixel * t, 0.08 * gap)
    return -1.0


@numba.njit(fastmath=True)
def _shadow(heights, blocks, cell, x, y, z, sx, sy, sz):
    """Share of the sun seen, 0…1, with a penumbra."""
    t, seen = 1.5 * cell, 1.0
    block, m = COARSE * cell, blocks.shape[0]
    for _ in range(70):
        px, py, pz = x + t * sx, y + t * sy, z + t * sz
        if pz > blocks[int(math.floor(py / block)) & (m - 1), int(math.floor(px / block)) & (m - 1)]:
            t += 0.35 * block
            continue
        gap = pz - _sample(heights, px / cell, py / cell)
        if gap < 0:
            return 0.0
        seen = min(seen, 14.0 * gap / t)
        t += max(0.7 * cell, 0.5 * gap)
    return seen


@numba.njit(fastmath=True)
def _sky(dx, dy, dz, lights, params, cloud, out):
    """Sky colour in a direction, with clouds, the sun's glow and disc, stars at night."""
    cover, night = params[1], params[2]
    up = max(dz, 0.0)
    blend = math.exp(-5.0 * up)
    facing = dx * lights[0, 0] + dy * lights[0, 1] + dz * lights[0, 2]
    glow = math.exp(-22.0 * (1.0 - facing)) * 0.55 + math.exp(-400.0 * (1.0 - facing)) * 2.5
    disc = 60.0 if facing > 0.9998 else 0.0
    amount = 0.0
    shade = 1.0
    if dz > 0.01 and cover > 0.02:
        u, v = dx / (dz + 0.12) * 46.0, dy / (dz + 0.12) * 46.0
        value = _sample(cloud, u, v) + 0.25 * _sample(cloud, u * 4.1, v * 4.1)
        amount = min(max((value + 3.2 * cover - 1.75) * 0.9, 0.0), 1.0) * min(dz * 9.0, 1.0)
        shade = 1.0 - 0.35 * min(max(_sample(cloud, u + lights[0, 0] * 5, v + lights[0, 1] * 5) + 0.5, 0.0), 1.0)
    for c in range(3):
        clear = (
            lights[2, c] * (1.0 - blend)
            + lights[3, c] * blend
            + lights[1, c] * glow * (1.0 - 0.9 * max(cover - 0.5, 0.0) * 2)
        )
        bright = (0.30 * lights[1, c] + 0.75 * lights[3, c] + 0.35 * lights[2, c]) * shade
        if cover > 0.8:
            bright = (0.55 * lights[3, c] + 0.5 * lights[2, c]) * (0.65 + 0.5 * shade)
        out[c] = (
            clear * (1.0 - amount)
            + bright * amount
            + lights[1, c] * disc * (1.0 - amount) * (1.0 if cover < 0.5 else 0.0)
        )
    if night > 0.9 and dz > 0.02 and cover < 0.6:
        h = (
            math.sin(math.floor(dx * 300) * 12.9898 + math.floor(dy * 300) * 78.233 + math.floor(dz * 300) * 37.719)
            * 43758.5453
        )
        if h - math.floor(h) > 0.9975:
            for c in range(3):
                out[c] += 0.35 * (1.0 - amount)


@numba.njit(fastmath=True)
def _hash(a, b, c):
    h = math.sin(a * 12.9898 + b * 78.233 + c * 37.719) * 43758.5453
    return h - math.floor(h)


@numba.njit(fastmath=True)
def _albedo(mark, nx, ny, nz, x, y, z, grain, patch, params, out):
    """Surface colour by material, slope, season; returns emitted light (lit windows)."""
    winter, autumn = params[3], params[4]
    emit = 0.0
    r, g, b = 0.13, 0.17, 0.055  # summer grass
    if mark == GROUND:
        if autumn > 0:
            r, g, b = 0.26, 0.17, 0.055
        if nz < 0.74:
            r, g, b = 0.20, 0.185, 0.165
        elif patch > 0.8:
            r, g, b = 0.7 * r + 0.07, 0.7 * g + 0.05, 0.7 * b + 0.03
    elif mark == ROCK:
        r, g, b = 0.23, 0.205, 0.18
        layer = math.sin(z * 0.55 + 1.5 * patch)
        if params[6] > 0:
            r, g, b = 0.42 + 0.07 * layer, 0.22 + 0.04 * layer, 0.12 + 0.02 * layer
    elif mark == SAND:
        r, g, b = 0.50, 0.36, 0.20
    elif mark == TREE:
        r, g, b = 0.065, 0.115, 0.03
        if autumn > 0:
            r, g, b = 0.42, 0.15 + 0.08 * patch, 0.03
        elif winter > 0:
            r, g, b = 0.11, 0.09, 0.075
    elif mark == CONIFER:
        r, g, b = 0.035, 0.075, 0.035
    elif mark == ROAD:
        r, g, b = 0.10, 0.10, 0.105
    elif mark == WALL:
        tone = _hash(math.floor(x / 21.0), math.floor(y / 21.0), 3.0)
        r, g, b = 0.24 + 0.28 * tone, 0.22 + 0.2 * tone, 0.19 + 0.15 * tone
        if nz < 0.5:
            along = y if abs(nx) > abs(ny) else x
            u, v = along / 2.9, z / 3.1
            fu, fv = u - math.floor(u), v - math.floor(v)
            if 0.24 < fu < 0.76 and 0.28 < fv < 0.8:
                r, g, b = 0.035, 0.042, 0.055
                if params[2] > 0 and _hash(math.floor(u), math.floor(v), tone) < 0.45:
                    emit = 2.6 * params[2] * (0.5 + _hash(math.floor(v), math.floor(u), 7.0))
        elif tone > 0.5:
            r, g, b = 0.30, 0.13, 0.09
        else:
            r, g, b = 0.16, 0.15, 0.15
    snow = 0.0
    if winter > 0 and mark != SAND:
        needed = 0.42 if mark == CONIFER or mark == TREE else 0.62
        snow = min(max((nz - needed + 0.10 * grain) * 7.0, 0.0), 1.0) * (0.45 if mark == ROAD else 0.95)
        if mark == CONIFER:
            snow *= 0.7
    if snow == 0.0 and winter > 0 and mark == SAND:
        snow = min(max((nz - 0.8 + 0.1 * grain) * 5.0, 0.0), 0.5)
    detail = 1.0 + 0.24 * grain + 0.12 * patch
    detail = min(max(detail, 0.35), 1.9)
    if snow > 0:
        detail = detail * (1 - 0.75 * snow) + 0.75 * snow
    out[0] = (r * (1 - snow) + 0.78 * snow) * detail
    out[1] = (g * (1 - snow) + 0.82 * snow) * detail
    out[2] = (b * (1 - snow) + 0.90 * snow) * detail
    return emit


@numba.njit(fastmath=True)
def _surface(heights, blocks, material, texture, cell, lights, params, px, py, pz, t, pixel, out):
    """Light leaving a terrain point at distance t."""
    n = heights.shape[0]
    cx, cy = px / cell, py / cell
    e = max(0.6, 0.5 * t * pixel / cell)
    gx = (_sample(heights, cx + e, cy) - _sample(heights, cx - e, cy)) / (2 * e * cell)
    gy = (_sample(heights, cx, cy + e) - _sample(heights, cx, cy - e)) / (2 * e * cell)
    mark = material[int(math.floor(cy + 0.5)) & (n - 1), int(math.floor(cx + 0.5)) & (n - 1)]
    steep = gx * gx + gy * gy > 4.0
    if steep and (mark == ROAD or mark == GROUND):
        # A wall rises over one cell, whose lower half is nearest to the street's cell: look uphill for the wall.
        run = 1.2 / max(math.sqrt(gx * gx + gy * gy), 1e-6)
        uphill = material[
            int(math.floor(cy + gy * run + 0.5)) & (n - 1), int(math.floor(cx + gx * run + 0.5)) & (n - 1)
        ]
        if uphill == WALL:
            mark = WALL
    # Two octaves of grain, faded where a pixel covers more than a grain.
    u, v = (px, pz) if steep and abs(gy) > abs(gx) else ((py, pz) if steep else (px, py))
    foot = t * pixel
    fine = _sample(texture, u * 9.0, v * 9.0) * min(max(1.2 - foot * 5.0, 0.0), 1.0)
    mid = _sample(texture, u * 1.7, v * 1.7) * min(max(1.3 - foot * 0.9, 0.0), 1.0)
    wide = _sample(texture, u * 0.22, v * 0.22) * min(max(1.5 - foot * 0.12, 0.0), 1.0)
    grain, patch = 0.55 * fine + 0.75 * mid, 0.6 * mid + 0.8 * wide
    bump = 0.0 if mark == WALL or mark == ROAD else 0.22
    inv = 1.0 / math.sqrt(gx * gx + gy * gy + 1.0)
    nx, ny, nz = -gx * inv, -gy * inv, inv
    emit = _albedo(mark, nx, ny, nz, px, py, pz, grain, patch, params, out)
    nx, ny = nx + bump * mid * 0.7, ny + bump * fine * 0.7
    lit = nx * lights[0, 0] + ny * lights[0, 1] + nz * lights[0, 2]
    if lit > 0:
        lit *= _shadow(heights, blocks, cell, px, py, pz + 0.05 * cell, lights[0, 0], lights[0, 1], lights[0, 2])
    else:
        lit = 0.0
    # Ambient occlusion from the height of the surroundings.
    around = 0.25 * (
        _sample(heights, cx + 5, cy)
        + _sample(heights, cx - 5, cy)
        + _sample(heights, cx, cy + 5)
        + _sample(heights, cx, cy - 5)
    )
    occlusion = 1.0 / (1.0 + max(around - pz, 0.0) / (5 * cell) * 0.9)
    street = 0.0
    if params[2] > 0 and (mark == ROAD or mark == WALL) and nz > -1:
        street = 0.10 * params[2] * math.exp(-max(pz, 0.0) * 0.10) * (1.0 if mark == ROAD or nz < 0.5 else 0.0)
    for c in range(3):
        ambient = (0.55 * lights[2, c] * (0.5 + 0.5 * nz) + 0.45 * lights[3, c] * (0.9 - 0.4 * nz)) * occlusion
        warm = (1.0, 0.62, 0.28)[c]
        out[c] = out[c] * (lights[1, c] * lit + 1.15 * ambient + street * warm * 5.0) + emit * warm


@numba.njit(fastmath=True)
def _radiance(heights, blocks, material, texture, cloud, extent, lights, params, ox, oy, oz, dx, dy, dz, pixel, out):
    cell = extent / heights.shape[0]
    far = 2.2 * extent
    t = _march(heights, blocks, cell, ox, oy, oz, dx, dy, dz, far, pixel)
    water = (-oz / dz) if params[5] > 0 and dz < -1e-5 else -1.0
    if water > 0 and water < 6 * extent and (t < 0 or water < t):
        px, py = ox + water * dx, oy + water * dy
        fade = 1.0 / (1.0 + water * pixel * 2.5)
        wx = 0.10 * fade * _sample(texture, px * 1.3, py * 2.1)
        wy = 0.10 * fade * _sample(texture, py * 1.7 + 31.0, px * 1.1)
        rx, ry, rz = dx - 2 * dz * wx, dy - 2 * dz * wy, abs(dz) + 0.02
        inv = 1.0 / math.sqrt(rx * rx + ry * ry + rz * rz)
        rx, ry, rz = rx * inv, ry * inv, rz * inv
        mirror = np.zeros(3)
        hit = _march(heights, blocks, cell, px, py, 0.02, rx, ry, rz, 0.5 * extent, pixel * 3)
        if hit > 0:
            _surface(
                heights,
                blocks,
                material,
                texture,
                cell,
                lights,
                params,
                px + hit * rx,
                py + hit * ry,
                hit * rz,
                water + hit,
                pixel,
                mirror,
            )
        else:
            _sky(rx, ry, rz, lights, params, cloud, mirror)
        fresnel = 0.03 + 0.97 * (1.0 - min(abs(dz) + 0.06, 1.0)) ** 5
        shallow = math.exp(min(_sample(heights, px / cell, py / cell), 0.0) * 0.25)
        for c in range(3):
            deep = (0.012, 0.045, 0.06)[c] + shallow * (0.05, 0.10, 0.085)[c]
            foam = 0.5 * min(max((shallow - 0.90) * 8.0, 0.0), 1.0)
            light = 0.35 * lights[1, c] * max(lights[0, 2], 0.1) + 0.8 * lights[2, c] + 0.2 * lights[3, c]
            out[c] = (deep + foam) * light * (1 - fresnel) + mirror[c] * fresnel
        t = water
    elif t < 0:
        _sky(dx, dy, dz, lights, params, cloud, out)
        fogged = 1.0 - math.exp(-params[0] * 300.0 / max(dz + 0.06, 0.03)) if params[0] > 0.003 else 0.0
        for c in range(3):
            out[c] = out[c] * (1 - fogged) + lights[3, c] * fogged
        return
    else:
        _surface(
            heights,
            blocks,
            material,
            texture,
            cell,
            lights,
            params,
            ox + t * dx,
            oy + t * dy,
            oz + t * dz,
            t,
            pixel,
            out,
        )
    seen = math.exp(-params[0] * t)
    facing = max(dx * lights[0, 0] + dy * lights[0, 1] + dz * lights[0, 2], 0.0)
    for c in range(3):
        out[c] = out[c] * seen + (lights[3, c] * 0.95 + 0.25 * lights[1, c] * facing**6) * (1 - seen)


@numba.njit(parallel=True, fastmath=True, cache=True)
def _shade_frames(
    heights, blocks, material, texture, cloud, extent, lights, params_in, inverse, pose, width, height, offsets
):
    frames = inverse.shape[0]
    out = np.zeros((frames, height, width, 3), np.float32)
    params = np.zeros(7)
    params[:6] = params_in
    params[6] = 1.0 if (material == SAND).mean() > 0.25 and params_in[5] == 0 else 0.0
    for row in numba.prange(frames * height):
        f, i = row // height, row % height
        colour = np.zeros(3)
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
                    heights, blocks, material, texture, cloud, extent, lights, params,
                    pose[f, 0, 3], pose[f, 1, 3], pose[f, 2, 3], dx * inv, dy * inv, dz * inv, pixel, colour,
                )  # fmt: skip
                for c in range(3):
                    out[f, i, j, c] += colour[c] / offsets.shape[0]
    return out


@numba.njit(parallel=True, fastmath=False, cache=True)
def _depth_frames(heights, blocks, extent, sea, inverse, pose, width, height):
    frames = inverse.shape[0]
    out = np.full((frames, height, width), np.inf, np.float32)
    cell = extent / heights.shape[0]
    for row in numba.prange(frames * height):
        f, i = row // height, row % height
        for j in range(width):
            cx = inverse[f, 0, 0] * (j + 0.5) + inverse[f, 0, 2]
            cy = inverse[f, 1, 1] * (i + 0.5) + inverse[f, 1, 2]
            norm = math.sqrt(cx * cx + cy * cy + 1.0)
            dx = (pose[f, 0, 0] * cx + pose[f, 0, 1] * cy + pose[f, 0, 2]) / norm
            dy = (pose[f, 1, 0] * cx + pose[f, 1, 1] * cy + pose[f, 1, 2]) / norm
            dz = (pose[f, 2, 0] * cx + pose[f, 2, 1] * cy + pose[f, 2, 2]) / norm
            t = _march(
                heights,
                blocks,
                cell,
                pose[f, 0, 3],
                pose[f, 1, 3],
                pose[f, 2, 3],
                dx,
                dy,
                dz,
                2.2 * extent,
                inverse[f, 0, 0],
            )
            if sea > 0 and dz < -1e-5:
                water = -pose[f, 2, 3] / dz
                if 0 < water < 6 * extent and (t < 0 or water < t):
                    t = water
            if t > 0:
                out[f, i, j] = t / norm
    return out
