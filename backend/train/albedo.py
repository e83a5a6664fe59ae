"""Colours of surfaces by material, kind and season.  Compiled; called by surfaces.py.

Legend: albedo 0 … 1 scene-linear Rec.709; x, y, z world metres; nx, ny, nz the unit normal; tone the object's number
0 … 255; grain, patch noise of two sizes; foot metres that a pixel covers; params as named in shading.py.
"""

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
from .shading import AUTUMN, KIND, PAINT, STYLE, WET, WINTER, hashed

ALPINE, DESERT, CANYON, COAST, SEA_KIND, HILLS, FOREST, ARCTIC, VILLAGE, CITY, RUINS, INTERIOR, SKY_KIND = range(13)
assert KINDS[CITY] == "city"
assert KINDS[INTERIOR] == "interior"


@numba.njit(fastmath=True)
def _ground(kind, style, autumn, steep, patch):
    """Bare or grassy ground of a kind, before snow."""
    r, g, b = 0.085, 0.145, 0.036
    if kind == ALPINE:
        r, g, b = 0.10, 0.155, 0.050
    elif kind == HILLS:
        r, g, b = 0.095, 0.165, 0.040
    elif kind == FOREST:
        r, g, b = 0.10, 0.11, 0.04
    elif kind == COAST:
        r, g, b = 0.14, 0.195, 0.065
    elif kind == CANYON:
        return 0.46, 0.23, 0.11
    elif kind == RUINS:
        if style < 0.45:
            return 0.44, 0.34, 0.21
        r, g, b = 0.17, 0.21, 0.07
    if autumn > 0:
        r, g, b = 0.185, 0.140, 0.048
    if steep and kind != HILLS:
        share = 0.25 if kind == VILLAGE or kind == FOREST else 0.5
        return r + share * (0.24 - r), g + share * (0.20 - g), b + share * (0.14 - b)
    # Patches: lush and dark where it is damp, drier and paler where it is not.
    dry = min(max(0.5 * patch, -0.5), 0.6)
    if autumn > 0:
        dry *= 0.5
    return r * (1.0 + 0.75 * dry) + 0.01 * max(dry, 0.0), g * (1.0 + 0.22 * dry), b * (1.0 + 0.5 * dry)


@numba.njit(fastmath=True)
def _rock(kind, style, x, y, z, patch, foot):
    """Granite, limestone or slate, in tilted beds of two thicknesses."""
    r, g, b = 0.25, 0.245, 0.245
    if style < 0.35:
        r, g, b = 0.34, 0.325, 0.295
    elif style > 0.75:
        r, g, b = 0.20, 0.19, 0.185
    across = z + (style - 0.5) * (0.7 * x + 0.4 * y)
    thin = math.sin(across * 0.75 + 2.6 * patch) * min(max(1.4 - 0.25 * foot, 0.0), 1.0)
    thick = math.sin(across * 0.17 + 1.7 * patch)
    k = 1.0 + 0.13 * thin + 0.20 * thick
    return r * k, g * k, b * (k - 0.05 * thick)


@numba.njit(fastmath=True)
def _cracks(grain, patch, foot):
    """Dark lines where a noise passes a level, of two sizes; 1 where there is none, as on a bare sample (both 0)."""
    wide = max(1.0 - 6.5 * abs(patch - 0.5), 0.0) * min(max(1.5 - 0.14 * foot, 0.0), 1.0)
    fine = max(1.0 - 4.5 * abs(grain + 0.55), 0.0) * min(max(1.3 - 0.9 * foot, 0.0), 1.0)
    return (1.0 - 0.22 * wide) * (1.0 - 0.30 * fine)


@numba.njit(fastmath=True)
def _field(tone, u, v, foot, autumn):
    """Crops by field: wheat, rape, green, soil, lavender, hay; in rows."""
    pick = hashed(tone, 3.0, 1.0)
    if pick < 0.17:
        r, g, b = 0.38, 0.285, 0.125
    elif pick < 0.25:
        r, g, b = 0.40, 0.36, 0.06
    elif pick < 0.46:
        r, g, b = 0.060, 0.175, 0.040
    elif pick < 0.66:
        r, g, b = 0.105, 0.215, 0.045
    elif pick < 0.80:
        r, g, b = 0.17, 0.105, 0.068
    elif pick < 0.87:
        r, g, b = 0.22, 0.15, 0.33
    else:
        r, g, b = 0.19, 0.235, 0.085
    if autumn > 0:
        r, g, b = 0.35 * r + 0.14, 0.35 * g + 0.09, 0.35 * b + 0.035
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
            return 0.37, 0.155 + 0.04 * patch, 0.026
        if t < 0.75:
            return 0.30, 0.068, 0.022
        return 0.38, 0.255, 0.045
    if winter > 0.5:
        return 0.060 + 0.03 * t, 0.056 + 0.027 * t, 0.055 + 0.022 * t  # bare twigs
    return 0.048 + 0.062 * t, 0.098 + 0.062 * t, 0.024 + 0.016 * t


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
        return 0.42 + 0.14 * b, 0.42 + 0.13 * b, 0.41 + 0.12 * b  # concrete
    return 0.22 + 0.10 * b, 0.25 + 0.10 * b, 0.28 + 0.11 * b  # glass and steel


@numba.njit(fastmath=True)
def facade(kind, tone, u, v, foot, lamps, out):
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
    # Frames and shutters stand out from the wall by day; a share of the panes has a blind or a curtain behind.
    beside = min(fu - left, 1.0 - left - fu) * wide
    above = min(fv - low, 0.82 - fv) * tall
    trim = near * min(max(1.6 - foot * 3.0, 0.0), 1.0)
    shop = v < tall and kind == CITY
    frame = inside and not shop and (min(beside, above) < 0.11 or (not ribbon and abs(fu - 0.5) * wide < 0.05))
    shutter = kind == VILLAGE and -0.62 < beside < 0.0 and above > 0.0 and hashed(tone, 6.0, 3.0) < 0.6
    hue, pane = hashed(tone, 3.0, 9.0), hashed(iu, iv, tone)
    blind = 0.42 * near * max(pane - 0.66, 0.0) * 3.0
    for c in range(3):
        glass = (0.018, 0.024, 0.032)[c] + blind * (0.80, 0.76, 0.66)[c]
        out[c] = out[c] * (1 - share) + glass * share
        if frame:
            out[c] += trim * ((0.66, 0.65, 0.61)[c] * (0.45 if glass_tower else 1.0) - out[c])
        elif shutter:
            green, blue, brown = (0.05, 0.13, 0.08)[c], (0.08, 0.14, 0.24)[c], (0.17, 0.08, 0.04)[c]
            out[c] += trim * ((green if hue < 0.4 else (blue if hue < 0.65 else brown)) - out[c])
    if frame:
        share *= 1.0 - trim
    out[6] = (0.9 - 0.5 * min(blind, 1.0)) * share
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
def _painted(paint, thing, tone, r, g, b):
    """A colour in the hue that an artist chose instead; two things of five keep their own."""
    if hashed(paint, thing, tone) < 0.4:
        return r, g, b
    hue = 2.0 * math.pi * hashed(thing, tone, paint)
    level, strength = hashed(tone, paint, thing) - 0.5, 0.3 + 1.1 * hashed(paint, tone, thing + 3.0)
    red = r * math.exp(level + strength * math.cos(hue))
    green = g * math.exp(level + strength * math.cos(hue - 2.0 * math.pi / 3.0))
    blue = b * math.exp(level + strength * math.cos(hue + 2.0 * math.pi / 3.0))
    return min(red, 0.85), min(green, 0.85), min(blue, 0.85)


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
        r, g, b = _rock(kind, style, x, y, z, patch, foot)
        if kind == CANYON:
            layer = 0.75 * math.sin(z * 0.45 + 0.8 * patch)
            layer += 0.6 * math.sin(z * 1.9 + 0.5 * patch) * min(max(1.4 - 0.5 * foot, 0.0), 1.0)
            r, g, b = 0.50 + 0.13 * layer, 0.215 + 0.09 * layer, 0.10 + 0.055 * layer
        elif kind == COAST and style < 0.4:
            r, g, b = 0.66, 0.61, 0.52
        elif kind == COAST and style < 0.7:
            r, g, b = 0.38, 0.27, 0.17
        elif kind == SEA_KIND:
            r, g, b = 0.13, 0.12, 0.11
        elif kind == DESERT:
            r, g, b = 0.30, 0.19, 0.12
        crack = _cracks(grain, patch, foot)
        r, g, b, rough = r * crack, g * crack, b * crack, 0.9 if kind == CANYON else 1.1
    elif mark == SAND:
        r, g, b = 0.68, 0.56, 0.38
        if kind == DESERT:
            r, g, b = 0.62 + 0.08 * style, 0.40 - 0.09 * style, 0.15 - 0.04 * style
        rough = 0.55
    elif mark == TREE:
        r, g, b = _leaves(tone, autumn, winter, patch)
        if kind == CANYON:
            r, g, b = 0.17, 0.19, 0.08
        rough = 2.0
    elif mark == CONIFER:
        t = tone / 255.0
        r, g, b = 0.038 + 0.03 * t, 0.09 + 0.055 * t, 0.042 + 0.02 * t
        if winter > 0.5:
            r, g, b = 0.55 * r, 0.50 * g, 0.60 * b
        tier = 1.0 + 0.22 * math.sin(4.2 * z + 2.0 * grain) * min(max(1.5 - 1.2 * foot, 0.0), 1.0)  # of boughs
        r, g, b, rough = r * tier, g * tier, b * tier, 1.7
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
    if params[PAINT] > 0 and mark != SNOW and mark != ICE:
        own = mark == TREE or mark == CONIFER or mark == WALL or mark == WOOD or mark == FIELD
        roof = 20.0 if mark == WALL and nz >= 0.5 else 0.0
        r, g, b = _painted(params[PAINT], mark + roof, tone + 1.0 if own else 0.0, r, g, b)
    snow = 0.0
    if winter > 0 and snowy:
        needed = 0.40 if mark == CONIFER or mark == TREE else 0.60
        needed += 0.25 * (1.0 - winter)
        snow = min(max((nz - needed + 0.10 * grain) * 7.0, 0.0), 1.0) * 0.95
        if mark == ROAD:
            snow *= 0.4 if kind == CITY else 0.75
        elif mark == CONIFER:  # laden boughs, dark between and underneath
            snow *= min(max(0.62 + 0.45 * grain, 0.12), 0.9)
        elif mark == TREE:  # snow lies on twigs here and there
            snow = min(max(0.22 + 0.25 * grain + 0.22 * (nz - 0.5), 0.04), 0.5) * winter
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
