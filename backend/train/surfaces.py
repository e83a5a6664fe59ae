"""The light that leaves a surface towards a ray: ground and things, rooms, ceilings, water.

Compiled.  `out` [7] is working space: albedo [0:3], emitted light [3:6] and gloss [6] on the way, the colour in [0:3] at
the end.  Legend: d the ray, p the point hit, t metres between them, pixel the angle of a pixel.
"""

from __future__ import annotations

import math

import numba

from .albedo import ARCTIC, CITY, COAST, INTERIOR, SEA_KIND, VILLAGE, facade, surface_colour
from .materials import CONIFER, FIELD, FLOOR, GROUND, PAVING, ROAD, ROCK, SAND, SNOW, STONE, TREE, WALL, WOOD
from .shading import (
    BAY,
    CEILING_Z,
    KIND,
    LAMPS,
    NOW,
    SKYLIGHT,
    STYLE,
    WET,
    WIND_X,
    WIND_Y,
    bend,
    march,
    sample,
    shadow,
    sky,
)
from .solids import GLASS, HEADLIGHT, PAINT, TAILLIGHT


@numba.njit(fastmath=True)
def lamp_light(x, y, z, nx, ny, nz, height, bay, power):
    """Light of the nearest of a grid of lamps hung at `height`, bays of `bay` metres; no shadow."""
    lx, ly = (math.floor(x / bay) + 0.5) * bay - x, (math.floor(y / bay) + 0.5) * bay - y
    lz = height - z
    d2 = lx * lx + ly * ly + lz * lz + 0.15
    cosine = (nx * lx + ny * ly + nz * lz) / math.sqrt(d2)
    edge = max(1.0 - (lx * lx + ly * ly) / (0.56 * bay * bay), 0.15)
    return power * (0.25 + 0.75 * max(cosine, 0.0)) * edge / d2


@numba.njit(fastmath=True)
def _indoor(mark, x, y, z, nx, ny, nz, lit, occlusion, lights, params, out):
    """Daylight from windows and skylights, lamps in every bay, windows that show the sky."""
    zc, bay, sky_side, style = params[CEILING_Z], params[BAY], params[SKYLIGHT], params[STYLE]
    top = (zc - z) / max(lights[0, 2], 0.02)
    u, v = (x + top * lights[0, 0]) / bay, (y + top * lights[0, 1]) / bay
    open_sky = abs(u - math.floor(u) - 0.5) < 0.5 * sky_side and abs(v - math.floor(v) - 0.5) < 0.5 * sky_side
    if not open_sky:
        lit = 0.0
    lamps = max(params[LAMPS], 0.12)
    bulb = lamp_light(x, y, z, nx, ny, nz, zc - 0.25, bay, 0.24 * lamps * zc * zc)
    emit = 0.0
    if mark == WALL and abs(nz) < 0.5:
        along = y if abs(nx) > abs(ny) else x
        wide = 2.4 + 1.6 * style
        w = along / wide
        w = w - math.floor(w)
        high = z / zc
        if 0.24 < w < 0.76 and 0.32 < high < 0.86:
            frame = abs(w - 0.5) < 0.015 or abs(high - 0.6) < 0.012
            emit = 0.0 if frame else 1.0
    for c in range(3):
        day = 0.5 * lights[2, c] + 0.7 * lights[3, c] + 0.06 * lights[1, c]
        ambient = day * (0.34 + 0.5 * sky_side * max(nz, 0.0) + 0.08 * nz) * occlusion
        warm = (1.0, 0.68, 0.36)[c]
        if emit > 0:
            out[c] = (1.6 * lights[3, c] + 0.6 * lights[2, c] + 0.2 * lights[1, c]) * (1.15 - 0.35 * z / zc)
        else:
            out[c] = out[c] * (1.5 * lights[1, c] * lit + ambient + bulb * warm * (0.4 + 0.6 * occlusion)) + out[3 + c]


@numba.njit(fastmath=True)
def surface_at(heights, material, cell, cx, cy, foot):
    """Slope (gx, gy: rise over run) at a point of the heightfield, in cells, and the cell (row, col) it shows.

    foot: metres that a pixel covers there, over which the slope is taken.
    """
    n = heights.shape[0]
    e = max(0.6, 0.5 * foot / cell)
    gx = (sample(heights, cx + e, cy) - sample(heights, cx - e, cy)) / (2 * e * cell)
    gy = (sample(heights, cx, cy + e) - sample(heights, cx, cy - e)) / (2 * e * cell)
    row, col = int(math.floor(cy + 0.5)) & (n - 1), int(math.floor(cx + 0.5)) & (n - 1)
    mark = material[row, col]
    rise = gx * gx + gy * gy
    if rise > 1.2 and (mark == ROAD or mark == GROUND or mark == PAVING or mark == FLOOR or mark == FIELD):
        # A wall or a tree rises over one cell, whose lower half is nearest to the ground's cell: look uphill for it.
        run = 1.2 / math.sqrt(rise)
        up_row, up_col = int(math.floor(cy + gy * run + 0.5)) & (n - 1), int(math.floor(cx + gx * run + 0.5)) & (n - 1)
        uphill = material[up_row, up_col]
        grown = uphill == TREE or uphill == CONIFER
        if grown or (rise > 4.0 and (uphill == WALL or uphill == STONE or uphill == WOOD)):
            return gx, gy, up_row, up_col
    return gx, gy, row, col


@numba.njit(fastmath=True)
def octaves(texture, indoors, u, v, foot):
    """(fine, mid, wide) noise at a place of a surface, each faded where a pixel (`foot` metres) covers more than a grain
    of it; finer indoors."""
    scale = 6.0 if indoors else 1.0
    fine = sample(texture, u * 9.0 * scale, v * 9.0 * scale) * min(max(1.2 - foot * 5.0 * scale, 0.0), 1.0)
    mid = sample(texture, u * 1.7 * scale, v * 1.7 * scale) * min(max(1.3 - foot * 0.9 * scale, 0.0), 1.0)
    wide = sample(texture, u * 0.22 * scale, v * 0.22 * scale) * min(max(1.5 - foot * 0.12 * scale, 0.0), 1.0)
    return fine, mid, wide


@numba.njit(fastmath=True)
def grain_of(fine, mid, wide):
    """(grain, patch) that surface_colour draws from octaves."""
    return 0.55 * fine + 0.75 * mid, 0.6 * mid + 0.8 * wide


@numba.njit(fastmath=True)
def shade_surface(scene, params, px, py, pz, dx, dy, dz, t, pixel, sun, free, out):
    """Light leaving a terrain point towards a ray of direction d at distance t.  out [7] holds the colour in [0:3].

    sun, free: shares of the sun and of the sky that things which move leave to it.
    """
    heights, material, texture, lights = scene.heights, scene.material, scene.texture, scene.lights
    cell = scene.extent / heights.shape[0]
    if params[WIND_X] != 0.0 or params[WIND_Y] != 0.0:  # look at the leaf where it hangs in still air
        bx, by = bend(scene.crown, cell, px, py, params[NOW], params[WIND_X], params[WIND_Y])
        px, py = px - bx, py - by
    cx, cy = px / cell, py / cell
    gx, gy, row, col = surface_at(heights, material, cell, cx, cy, t * pixel)
    mark, steep = material[row, col], gx * gx + gy * gy > 4.0
    tone = scene.tones[row, col]
    kind = int(params[KIND])
    foot = t * pixel
    u, v = (px, pz) if steep and abs(gy) > abs(gx) else ((py, pz) if steep else (px, py))
    fine, mid, wide = octaves(texture, kind == INTERIOR, u, v, foot)
    grain, patch = grain_of(fine, mid, wide)
    inv = 1.0 / math.sqrt(gx * gx + gy * gy + 1.0)
    nx, ny, nz = -gx * inv, -gy * inv, inv
    surface_colour(mark, tone, nx, ny, nz, px, py, pz, grain, patch, foot, params, out)
    if mark == WALL and nz < 0.5 and (kind == CITY or kind == VILLAGE):
        facade(kind, float(tone), py if abs(nx) > abs(ny) else px, pz, foot, params[LAMPS], out)
    elif mark != WALL and mark != ROAD and mark != PAVING and mark != FLOOR and mark != WOOD:
        bump = 0.24
        if mark == SAND or mark == SNOW:
            bump = 0.12
        elif mark == ROCK or mark == TREE or mark == CONIFER:
            bump = 0.42
        nx, ny = nx + bump * (0.7 * mid + 0.5 * wide), ny + bump * (0.7 * fine + 0.3 * wide)
    lit = nx * lights[0, 0] + ny * lights[0, 1] + nz * lights[0, 2]
    if lit > 0 and lights[1, 0] > 0.004:
        lit *= sun * shadow(
            heights, scene.blocks, cell, px, py, pz + 0.05 * cell, lights[0, 0], lights[0, 1], lights[0, 2]
        )
    else:
        lit = 0.0
    # Ambient occlusion from the height of the surroundings.
    around = 0.25 * (
        sample(heights, cx + 5, cy)
        + sample(heights, cx - 5, cy)
        + sample(heights, cx, cy + 5)
        + sample(heights, cx, cy - 5)
    )
    occlusion = free / (1.0 + max(around - pz, 0.0) / (5 * cell) * 0.9)
    if kind == INTERIOR:
        _indoor(mark, px, py, pz, nx, ny, nz, lit, occlusion, lights, params, out)
        return
    street = 0.0
    if params[LAMPS] > 0 and (kind == CITY or kind == VILLAGE) and (mark != WALL or nz < 0.5):
        level = 0.0 if kind == CITY else sample(heights, cx, cy)
        street = lamp_light(px, py, pz - level, nx, ny, nz, 6.0, 24.0, 16.0 * params[LAMPS])
        if kind == CITY:
            street *= math.exp(-0.08 * max(pz, 0.0))
    gloss = out[6]
    mirror0, mirror1, mirror2 = 0.0, 0.0, 0.0
    if gloss > 0.02:
        k = -2.0 * (dx * nx + dy * ny + dz * nz)
        fresnel = gloss * (0.12 + 0.88 * (1.0 - min(0.5 * abs(k), 1.0)) ** 4)
        rz = abs(dz + k * nz)
        for c in range(3):
            tint = lights[2, c] * min(2.0 * rz, 1.0) + lights[3, c] * (1.0 - min(2.0 * rz, 1.0))
            add = fresnel * (tint * occlusion + 2.0 * street * (1.0, 0.62, 0.28)[c])
            if c == 0:
                mirror0 = add
            elif c == 1:
                mirror1 = add
            else:
                mirror2 = add
    for c in range(3):
        ambient = (0.55 * lights[2, c] * (0.5 + 0.5 * nz) + 0.45 * lights[3, c] * (0.9 - 0.4 * nz)) * occlusion
        ambient += 0.20 * lights[1, c] * max(lights[0, 2], 0.0) * (0.5 - 0.5 * nz) * occlusion  # back from the ground
        warm = (1.0, 0.62, 0.28)[c]
        add = mirror0 if c == 0 else (mirror1 if c == 1 else mirror2)
        out[c] = out[c] * (lights[1, c] * lit + 1.15 * ambient + street * warm) + out[3 + c] + add


@numba.njit(fastmath=True)
def shade_solid(scene, params, look, px, py, pz, nx, ny, nz, dx, dy, dz, sun, out):
    """Light leaving a part of a mover at p with normal n towards a ray of direction d; sun: its share that is free."""
    lights = scene.lights
    cell = scene.extent / scene.heights.shape[0]
    kind, finish = int(params[KIND]), int(look[3])
    indoors = kind == INTERIOR
    lit = nx * lights[0, 0] + ny * lights[0, 1] + nz * lights[0, 2]
    if lit > 0 and sun > 0 and lights[1, 0] > 0.004 and not indoors:
        x, y, z = px + 0.05 * nx, py + 0.05 * ny, pz + 0.05
        lit *= sun * shadow(scene.heights, scene.blocks, cell, x, y, z, lights[0, 0], lights[0, 1], lights[0, 2])
    else:
        lit = 0.0
    lamp = 0.0
    lamps = params[LAMPS]
    if indoors:
        zc = params[CEILING_Z]
        lamp = lamp_light(px, py, pz, nx, ny, nz, zc - 0.25, params[BAY], 0.24 * max(lamps, 0.12) * zc * zc)
    elif lamps > 0 and (kind == CITY or kind == VILLAGE):
        level = 0.0 if kind == CITY else sample(scene.heights, px / cell, py / cell)
        lamp = lamp_light(px, py, pz - level, nx, ny, nz, 6.0, 24.0, 16.0 * lamps)
    gloss = 0.0
    if finish == PAINT:
        gloss = 0.35
    elif finish == GLASS:
        gloss = 0.9
    k = -2.0 * (dx * nx + dy * ny + dz * nz)
    fresnel = gloss * (0.10 + 0.90 * (1.0 - min(0.5 * abs(k), 1.0)) ** 4)
    rz = dz + k * nz
    for c in range(3):
        warm = (1.0, 0.62, 0.28)[c]
        if indoors:
            day = 0.5 * lights[2, c] + 0.7 * lights[3, c] + 0.06 * lights[1, c]
            ambient = 0.36 * day * (0.75 + 0.25 * nz)
        else:
            ambient = 1.15 * (0.55 * lights[2, c] * (0.5 + 0.5 * nz) + 0.45 * lights[3, c] * (0.9 - 0.4 * nz)) * 0.85
        up = min(max(2.0 * rz, 0.0), 1.0)
        mirror = lights[2, c] * up + lights[3, c] * (1.0 - up)
        if rz < 0 or indoors:
            mirror *= 0.3  # the street, the room
        out[c] = look[c] * (lights[1, c] * lit + ambient + lamp * warm) + fresnel * (mirror + 0.5 * lamp * warm)
        if finish == HEADLIGHT and lamps > 0.1:
            out[c] += (5.0, 4.6, 3.8)[c] * lamps * max(-dx * nx - dy * ny - dz * nz, 0.15)
        elif finish == TAILLIGHT and lamps > 0.1:
            out[c] += (2.6, 0.10, 0.04)[c] * lamps


@numba.njit(fastmath=True)
def shade_ceiling(x, y, t, pixel, lights, params, out):
    """The ceiling from below: plaster or beams, a lamp in each bay."""
    bay, style, side = params[BAY], params[STYLE], params[SKYLIGHT]
    u, v = x / bay, y / bay
    u, v = u - math.floor(u) - 0.5, v - math.floor(v) - 0.5
    beams = style > 0.55
    beam = beams and abs(u) > 0.44
    off = 0.0 if side == 0 else 0.5 * side + 0.06
    lamp = (abs(u) - off) ** 2 + v * v < (0.32 / bay) ** 2
    lamps = max(params[LAMPS], 0.12)
    for c in range(3):
        warm = (1.0, 0.68, 0.36)[c]
        base = (0.20, 0.11, 0.06)[c] if beam else (0.62, 0.60, 0.56)[c]
        day = 0.5 * lights[2, c] + 0.7 * lights[3, c] + 0.05 * lights[1, c]
        bounce = day * 0.30 + 0.14 * lamps * warm * max(1.0 - (u * u + v * v) * 2.2, 0.2)
        out[c] = base * bounce + (4.5 * lamps * warm if lamp else 0.0)


@numba.njit(fastmath=True)
def shade_water(scene, params, px, py, t, dx, dy, dz, pixel, out):
    """Water at z = 0: waves that move, the mirrored world, shallows, foam."""
    heights, texture, cloud, lights = scene.heights, scene.texture, scene.cloud, scene.lights
    cell = scene.extent / heights.shape[0]
    now, rough = params[NOW], 1.0 + 1.6 * params[WET]
    kind = int(params[KIND])
    fade = 1.0 / (1.0 + t * pixel * 2.5)
    wx = 0.10 * fade * sample(texture, px * 1.3 + 2.2 * now, py * 2.1)
    wy = 0.10 * fade * sample(texture, py * 1.7 + 31.0, px * 1.1 - 1.9 * now)
    crest = 0.0
    if kind == SEA_KIND or kind == COAST:
        swell_fade = 1.0 / (1.0 + t * pixel * 0.25)
        sx, sy = px * 0.9 + 3.0 * now, py * 0.5
        crest = sample(cloud, sx, sy)
        big = (0.20 if kind == SEA_KIND else 0.09) * rough * swell_fade
        wx += big * (sample(cloud, sx + 1.5, sy) - crest)
        wy += big * (sample(cloud, sx, sy + 1.5) - crest)
    rx, ry, rz = dx - 2 * dz * wx, dy - 2 * dz * wy, abs(dz) + 0.02
    inv = 1.0 / math.sqrt(rx * rx + ry * ry + rz * rz)
    rx, ry, rz = rx * inv, ry * inv, rz * inv
    hit = march(
        heights,
        scene.blocks,
        scene.peak,
        cell,
        px,
        py,
        0.02,
        rx,
        ry,
        rz,
        0.5 * scene.extent,
        pixel * 3,
        scene.crown,
        0.0,
        0.0,
        0.0,
    )
    if hit > 0:
        shade_surface(scene, params, px + hit * rx, py + hit * ry, hit * rz, rx, ry, rz, t + hit, pixel, 1.0, 1.0, out)
    else:
        sky(rx, ry, rz, lights, params, cloud, False, out)
    tilt = min(max(abs(dz) - (dx * wx + dy * wy), 0.02), 1.0)
    fresnel = 0.03 + 0.97 * (1.0 - min(tilt + 0.05, 1.0)) ** 5
    shallow = math.exp(min(sample(heights, px / cell, py / cell), 0.0) * 0.25)
    foam = 0.5 * min(max((shallow - 0.90) * 8.0, 0.0), 1.0)
    if kind == SEA_KIND or kind == COAST:
        foam += (
            0.55
            * min(
                max((crest + 0.5 * sample(texture, px * 2.0 + 2.0 * now, py * 2.0) - 2.6 + 0.75 * rough) * 1.2, 0.0),
                1.0,
            )
            * fade
        )
    for c in range(3):
        deep = (0.010, 0.050, 0.075)[c] + shallow * (0.03, 0.16, 0.14)[c]
        if kind == ARCTIC:
            deep = (0.006, 0.020, 0.032)[c] + shallow * (0.03, 0.12, 0.14)[c]
        light = 0.35 * lights[1, c] * max(lights[0, 2], 0.1) + 0.8 * lights[2, c] + 0.2 * lights[3, c]
        out[c] = (deep + foam) * light * (1 - fresnel) + out[c] * fresnel
