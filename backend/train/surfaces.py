"""Colours of surfaces, and the light that leaves them towards a ray.  Compiled with the marching of shading.py."""

from __future__ import annotations

import math

import numba

from .materials import (
    CONIFER,
    FIELD,
    FLOOR,
    GROUND,
    ICE,
    KINDS,
    PAVING,
    ROAD,
    ROCK,
    SAND,
    SNOW,
    STONE,
    TREE,
    WALL,
    WOOD,
)  # fmt: skip
from .shading import (
    AUTUMN,
    BAY,
    CEILING_Z,
    KIND,
    LAMPS,
    NOW,
    SKYLIGHT,
    STYLE,
    WET,
    WINTER,
    hashed,
    march,
    sample,
    shadow,
    sky,
)  # fmt: skip

ALPINE, DESERT, CANYON, COAST, SEA_KIND, HILLS, FOREST, ARCTIC, VILLAGE, CITY, RUINS, INTERIOR, SKY_KIND = range(13)
assert KINDS[CITY] == "city"
assert KINDS[INTERIOR] == "interior"


@numba.njit(fastmath=True)
def _ground(kind, style, autumn, steep, patch):
    """Bare or grassy ground of a kind, before snow."""
    r, g, b = 0.13, 0.20, 0.05
    if kind == ALPINE:
        r, g, b = 0.12, 0.155, 0.055
    elif kind == HILLS:
        r, g, b = 0.16, 0.25, 0.055
    elif kind == FOREST:
        r, g, b = 0.10, 0.11, 0.04
    elif kind == COAST:
        r, g, b = 0.19, 0.24, 0.08
    elif kind == CANYON:
        return 0.46, 0.23, 0.11
    elif kind == RUINS:
        if style < 0.45:
            return 0.44, 0.34, 0.21
        r, g, b = 0.17, 0.21, 0.07
    if autumn > 0:
        r, g, b = 0.34, 0.20, 0.05
    if steep and kind != HILLS:
        r, g, b = 0.5 * r + 0.12, 0.5 * g + 0.10, 0.5 * b + 0.07
    elif patch > 0.8:
        r, g, b = 0.75 * r + 0.06, 0.75 * g + 0.05, 0.75 * b + 0.015
    return r, g, b


@numba.njit(fastmath=True)
def _field(tone, u, v, foot, autumn):
    """Crops by field: wheat, rape, green, soil, lavender, hay; in rows."""
    pick = hashed(tone, 3.0, 1.0)
    if pick < 0.22:
        r, g, b = 0.52, 0.39, 0.12
    elif pick < 0.40:
        r, g, b = 0.66, 0.55, 0.03
    elif pick < 0.62:
        r, g, b = 0.10, 0.27, 0.05
    elif pick < 0.80:
        r, g, b = 0.22, 0.12, 0.065
    elif pick < 0.90:
        r, g, b = 0.27, 0.17, 0.42
    else:
        r, g, b = 0.36, 0.40, 0.13
    if autumn > 0:
        r, g, b = 0.35 * r + 0.24, 0.35 * g + 0.13, 0.35 * b + 0.035
    turn = tone * 0.7
    row = math.sin((u * math.cos(turn) + v * math.sin(turn)) * 1.6) * min(max(1.4 - foot * 0.8, 0.0), 1.0)
    shade = 1.0 + 0.22 * row
    return r * shade, g * shade, b * shade


@numba.njit(fastmath=True)
def _leaves(tone, autumn, winter, patch):
    """Broad-leaved trees by season and by tree."""
    t = tone / 255.0
    if autumn > 0:
        if t < 0.4:
            return 0.50, 0.22 + 0.06 * patch, 0.03
        if t < 0.75:
            return 0.45, 0.10, 0.025
        return 0.52, 0.36, 0.05
    if winter > 0.5:
        return 0.12 + 0.04 * t, 0.09 + 0.03 * t, 0.075
    return 0.055 + 0.09 * t, 0.125 + 0.08 * t, 0.025 + 0.02 * t


@numba.njit(fastmath=True)
def _house(kind, tone):
    """Render or stone of a facade by house."""
    a, b = hashed(tone, 1.0, 2.0), hashed(tone, 5.0, 8.0)
    if kind == VILLAGE:
        if a < 0.5:
            return 0.70 + 0.1 * b, 0.66 + 0.08 * b, 0.56 + 0.06 * b  # white and cream plaster
        if a < 0.75:
            return 0.60, 0.42 + 0.1 * b, 0.20  # ochre
        return 0.36 + 0.08 * b, 0.22 + 0.06 * b, 0.14  # brick, timber
    if a < 0.22:
        return 0.40, 0.16 + 0.05 * b, 0.10  # brick
    if a < 0.45:
        return 0.52 + 0.1 * b, 0.46 + 0.1 * b, 0.36 + 0.08 * b  # sandstone
    if a < 0.75:
        return 0.34 + 0.12 * b, 0.34 + 0.12 * b, 0.35 + 0.12 * b  # concrete
    return 0.12 + 0.06 * b, 0.17 + 0.06 * b, 0.22 + 0.08 * b  # glass and steel


@numba.njit(fastmath=True)
def _facade(kind, tone, u, v, foot, lamps, out):
    """Windows on a wall; u along it, v up, in metres.  Writes albedo, emission and gloss."""
    glass_tower = kind == CITY and hashed(tone, 1.0, 2.0) >= 0.75
    wide, tall = (3.2, 3.1) if kind == VILLAGE else (3.0 + 1.4 * hashed(tone, 2.0, 2.0), 3.3)
    fu, fv = u / wide, v / tall
    iu, iv = math.floor(fu), math.floor(fv)
    fu, fv = fu - iu, fv - iv
    ribbon = kind == CITY and (glass_tower or hashed(tone, 9.0, 1.0) < 0.25)
    left, low = (0.05, 0.25) if ribbon else (0.27, 0.26)
    inside = left < fu < 1 - left and low < fv < 0.82
    near = min(max(1.9 - foot * 1.1, 0.0), 1.0)  # windows melt into a mean where a pixel holds one
    share = near * (1.0 if inside else 0.0) + (1 - near) * (1 - 2 * left) * (0.82 - low)
    if v < tall and kind == CITY and near > 0:  # shop fronts
        share = max(share, near * (1.0 if 0.06 < fu < 0.94 and fv < 0.8 else 0.0))
    for c in range(3):
        out[c] = out[c] * (1 - share) + (0.03, 0.045, 0.06)[c] * share
    out[6] = 0.55 * share
    if lamps > 0:
        on = hashed(iu, iv, tone) < 0.15 + 0.35 * lamps
        power = 2.4 * min(lamps, 1.0) * (0.4 + 0.9 * hashed(iv, iu, 7.0)) * (1.0 if on else 0.0)
        power = near * power + (1 - near) * 0.55 * lamps
        if v < tall and kind == CITY:
            power = lamps * (0.35 + 1.5 * hashed(iu, 3.0, tone))
        cold = hashed(iu, iv, 4.0) < 0.25
        out[3] += power * share
        out[4] += power * share * (0.85 if cold else 0.60)
        out[5] += power * share * (0.75 if cold else 0.26)


@numba.njit(fastmath=True)
def _floor(style, x, y, foot):
    """Planks, tiles in two colours, concrete or carpet."""
    near = min(max(1.5 - foot * 3.0, 0.0), 1.0)
    if style < 0.35:
        board = hashed(math.floor(y / 0.16), math.floor(x / 1.6 + hashed(math.floor(y / 0.16), 1.0, 1.0)), 2.0) - 0.5
        k = 1.0 + 0.5 * board * near
        return 0.34 * k, 0.18 * k, 0.08 * k
    if style < 0.7:
        odd = (math.floor(x / 0.6) + math.floor(y / 0.6)) % 2 - 0.5
        k = 0.36 + 0.5 * odd * near
        return k * 1.05, k, 0.92 * k
    if style < 0.85:
        return 0.24, 0.235, 0.23
    return 0.30, 0.05, 0.05


@numba.njit(fastmath=True)
def surface_colour(mark, tone, nx, ny, nz, x, y, z, grain, patch, foot, params, out):
    """Fills out: albedo [0:3], emitted light [3:6], gloss [6]."""
    kind, style, autumn, winter = int(params[KIND]), params[STYLE], params[AUTUMN], params[WINTER]
    out[3], out[4], out[5], out[6] = 0.0, 0.0, 0.0, 0.0
    r, g, b = 0.2, 0.2, 0.2
    rough, snowy = 1.0, True
    if mark == GROUND:
        r, g, b = _ground(kind, style, autumn, nz < 0.74, patch)
    elif mark == FIELD:
        r, g, b = _field(tone, x, y, foot, autumn)
    elif mark == ROCK:
        layer = math.sin(z * 0.45 + 1.2 * patch)
        r, g, b = 0.26, 0.25, 0.25
        if kind == CANYON:
            r, g, b = 0.56 + 0.12 * layer, 0.23 + 0.085 * layer, 0.10 + 0.05 * layer
        elif kind == COAST and style < 0.4:
            r, g, b = 0.66, 0.61, 0.52
        elif kind == COAST and style < 0.7:
            r, g, b = 0.38, 0.27, 0.17
        elif kind == SEA_KIND:
            r, g, b = 0.13, 0.12, 0.11
        elif kind == DESERT:
            r, g, b = 0.30, 0.19, 0.12
    elif mark == SAND:
        r, g, b = 0.68, 0.56, 0.38
        if kind == DESERT:
            r, g, b = 0.62 + 0.08 * style, 0.40 - 0.09 * style, 0.15 - 0.04 * style
        rough = 0.55
    elif mark == TREE:
        r, g, b = _leaves(tone, autumn, winter, patch)
        if kind == CANYON:
            r, g, b = 0.17, 0.19, 0.08
        rough = 1.3
    elif mark == CONIFER:
        t = tone / 255.0
        r, g, b = 0.038 + 0.03 * t, 0.09 + 0.055 * t, 0.042 + 0.02 * t
        rough = 1.3
    elif mark == ROAD:
        r, g, b = (0.085, 0.085, 0.09) if kind == CITY else (0.30, 0.24, 0.17)
        rough = 0.5
    elif mark == PAVING:
        r, g, b = 0.27, 0.26, 0.25
        rough = 0.4
    elif mark == SNOW or mark == ICE:
        r, g, b = (0.84, 0.88, 0.94) if mark == SNOW else (0.48, 0.72, 0.86)
        rough, snowy = 0.25 if mark == SNOW else 0.5, False
    elif mark == STONE:
        r, g, b = 0.56, 0.48, 0.35
        if kind == INTERIOR:
            r, g, b = 0.55, 0.52, 0.47
        course = z / 0.55
        joint = course - math.floor(course)
        if nz < 0.5 and joint < 0.16:
            k = 1.0 - 0.35 * min(max(1.3 - foot * 4.0, 0.0), 1.0)
            r, g, b = r * k, g * k, b * k
    elif mark == FLOOR:
        r, g, b = _floor(style, x, y, foot)
        rough, out[6] = 0.3, 0.12
    elif mark == WOOD:
        a = hashed(tone, 4.0, 4.0)
        r, g, b = 0.24, 0.12, 0.05
        if a > 0.85:
            r, g, b = 0.48, 0.05, 0.04
        elif a > 0.7:
            r, g, b = 0.04, 0.24, 0.26
        elif a > 0.5:
            r, g, b = 0.62, 0.60, 0.56
        rough = 0.5
    elif mark == WALL and kind == INTERIOR:
        pick = int(style * 40) % 4
        r, g, b = 0.66, 0.62, 0.54
        if pick == 1:
            r, g, b = 0.30, 0.42, 0.45
        elif pick == 2:
            r, g, b = 0.55, 0.28, 0.18
        elif pick == 3:
            r, g, b = 0.40, 0.45, 0.30
        if z < 0.9 and style > 0.4:
            r, g, b = 0.55 * r, 0.5 * g, 0.45 * b
        rough, snowy = 0.3, False
    elif mark == WALL:
        r, g, b = _house(kind, tone)
        rough = 0.35
        if nz >= 0.5:  # a roof
            if kind == VILLAGE:
                r, g, b = (0.42, 0.15, 0.075) if hashed(tone, 7.0, 7.0) < 0.7 else (0.15, 0.15, 0.165)
            else:
                r, g, b = 0.20, 0.195, 0.19
    snow = 0.0
    if winter > 0 and snowy:
        needed = 0.40 if mark == CONIFER or mark == TREE else 0.60
        needed += 0.25 * (1.0 - winter)
        snow = min(max((nz - needed + 0.10 * grain) * 7.0, 0.0), 1.0) * (0.4 if mark == ROAD else 0.95)
        if mark == CONIFER or mark == TREE:
            snow *= 0.65
        if winter < 1.0:
            snow *= min(max(0.5 + 0.8 * patch, 0.0), 1.0)
    detail = min(max(1.0 + rough * (0.24 * grain + 0.12 * patch), 0.35), 1.9)
    if snow > 0:
        detail = detail * (1 - 0.75 * snow) + 0.75 * snow
    if params[WET] > 0 and snow < 0.5 and kind != INTERIOR:
        dark = 1.0 - 0.35 * params[WET] * max(nz, 0.0)
        r, g, b = r * dark, g * dark, b * dark
        if mark == ROAD or mark == PAVING or mark == ROCK or mark == STONE:
            out[6] = max(out[6], 0.5 * params[WET] * max(nz, 0.0))
        else:
            out[6] = max(out[6], 0.10 * params[WET] * max(nz, 0.0))
    out[0] = (r * (1 - snow) + 0.80 * snow) * detail
    out[1] = (g * (1 - snow) + 0.84 * snow) * detail
    out[2] = (b * (1 - snow) + 0.92 * snow) * detail


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
def shade_surface(
    heights, blocks, material, tones, texture, cloud, cell, lights, params, px, py, pz, dx, dy, dz, t, pixel, out
):
    """Light leaving a terrain point towards a ray of direction d at distance t.  out [7] holds the colour in [0:3]."""
    n = heights.shape[0]
    cx, cy = px / cell, py / cell
    e = max(0.6, 0.5 * t * pixel / cell)
    gx = (sample(heights, cx + e, cy) - sample(heights, cx - e, cy)) / (2 * e * cell)
    gy = (sample(heights, cx, cy + e) - sample(heights, cx, cy - e)) / (2 * e * cell)
    row, col = int(math.floor(cy + 0.5)) & (n - 1), int(math.floor(cx + 0.5)) & (n - 1)
    mark = material[row, col]
    steep = gx * gx + gy * gy > 4.0
    if steep and (mark == ROAD or mark == GROUND or mark == PAVING or mark == FLOOR):
        # A wall rises over one cell, whose lower half is nearest to the street's cell: look uphill for the wall.
        run = 1.2 / max(math.sqrt(gx * gx + gy * gy), 1e-6)
        up_row, up_col = int(math.floor(cy + gy * run + 0.5)) & (n - 1), int(math.floor(cx + gx * run + 0.5)) & (n - 1)
        uphill = material[up_row, up_col]
        if uphill == WALL or uphill == STONE or uphill == WOOD:
            mark, row, col = uphill, up_row, up_col
    tone = tones[row, col]
    kind = int(params[KIND])
    foot = t * pixel
    # Octaves of grain, faded where a pixel covers more than a grain; finer indoors.
    u, v = (px, pz) if steep and abs(gy) > abs(gx) else ((py, pz) if steep else (px, py))
    scale = 6.0 if kind == INTERIOR else 1.0
    fine = sample(texture, u * 9.0 * scale, v * 9.0 * scale) * min(max(1.2 - foot * 5.0 * scale, 0.0), 1.0)
    mid = sample(texture, u * 1.7 * scale, v * 1.7 * scale) * min(max(1.3 - foot * 0.9 * scale, 0.0), 1.0)
    wide = sample(texture, u * 0.22 * scale, v * 0.22 * scale) * min(max(1.5 - foot * 0.12 * scale, 0.0), 1.0)
    grain, patch = 0.55 * fine + 0.75 * mid, 0.6 * mid + 0.8 * wide
    inv = 1.0 / math.sqrt(gx * gx + gy * gy + 1.0)
    nx, ny, nz = -gx * inv, -gy * inv, inv
    surface_colour(mark, tone, nx, ny, nz, px, py, pz, grain, patch, foot, params, out)
    if mark == WALL and nz < 0.5 and (kind == CITY or kind == VILLAGE):
        _facade(kind, float(tone), py if abs(nx) > abs(ny) else px, pz, foot, params[LAMPS], out)
    elif mark != WALL and mark != ROAD and mark != PAVING and mark != FLOOR and mark != WOOD:
        bump = 0.12 if mark == SAND or mark == SNOW else 0.24
        nx, ny = nx + bump * (0.7 * mid + 0.5 * wide), ny + bump * (0.7 * fine + 0.3 * wide)
    lit = nx * lights[0, 0] + ny * lights[0, 1] + nz * lights[0, 2]
    if lit > 0 and lights[1, 0] > 0.004:
        lit *= shadow(heights, blocks, cell, px, py, pz + 0.05 * cell, lights[0, 0], lights[0, 1], lights[0, 2])
    else:
        lit = 0.0
    # Ambient occlusion from the height of the surroundings.
    around = 0.25 * (
        sample(heights, cx + 5, cy)
        + sample(heights, cx - 5, cy)
        + sample(heights, cx, cy + 5)
        + sample(heights, cx, cy - 5)
    )
    occlusion = 1.0 / (1.0 + max(around - pz, 0.0) / (5 * cell) * 0.9)
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
        warm = (1.0, 0.62, 0.28)[c]
        add = mirror0 if c == 0 else (mirror1 if c == 1 else mirror2)
        out[c] = out[c] * (lights[1, c] * lit + 1.15 * ambient + street * warm) + out[3 + c] + add


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
def shade_water(
    heights, blocks, peak, material, tones, texture, cloud, extent, lights, params, px, py, t, dx, dy, dz, pixel, out
):
    """Water at z = 0: waves that move, the mirrored world, shallows, foam."""
    cell = extent / heights.shape[0]
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
    hit = march(heights, blocks, peak, cell, px, py, 0.02, rx, ry, rz, 0.5 * extent, pixel * 3)
    if hit > 0:
        shade_surface(
            heights, blocks, material, tones, texture, cloud, cell, lights, params,
            px + hit * rx, py + hit * ry, hit * rz, rx, ry, rz, t + hit, pixel, out,
        )  # fmt: skip
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
