"""Rays against the solid parts of things that move: blocks with sloping sides, limbs, wheels.

Compiled.  Legend: `entries` [F, E, 10] are the movers that frame f may show: the rectangle of pixels u0, u1, v0, v1 in
which they or their shadows can be seen (u1 < u0: no entry), a sphere around them x, y, z, r, and their parts' range;
`parts` [F, Q, 19] each part's world_from_part rotation row by row, origin, shape and six sizes; `looks` [Q, 4] colour
and finish.  `hit` [4] is working space: the normal at a hit.
"""

from __future__ import annotations

import math

import numba

BLOCK, LIMB, WHEEL = range(3)
CLOTH, PAINT, GLASS, HEADLIGHT, TAILLIGHT = range(5)
FAR = 1e9


@numba.njit(fastmath=True)
def _block(ox, oy, oz, dx, dy, dz, part, hit):
    """A box of half sizes a, b, h whose top is a rectangle of half sizes c, e moved by s along x; else FAR."""
    a, b, h, c, s, e = part[13], part[14], part[15], part[16], part[17], part[18]
    enter, leave = -FAR, FAR
    front, back, side = 0.5 * (c + s - a) / h, 0.5 * (c - s - a) / h, 0.5 * (e - b) / h
    for k in range(6):
        nx, ny, nz, limit = 0.0, 0.0, 0.0, h
        if k == 0:
            nx, nz, limit = 1.0, -front, a + front * h
        elif k == 1:
            nx, nz, limit = -1.0, -back, a + back * h
        elif k == 2:
            ny, nz, limit = 1.0, -side, b + side * h
        elif k == 3:
            ny, nz, limit = -1.0, -side, b + side * h
        elif k == 4:
            nz = 1.0
        else:
            nz = -1.0
        away = nx * dx + ny * dy + nz * dz
        room = limit - (nx * ox + ny * oy + nz * oz)
        if abs(away) < 1e-12:
            if room < 0:
                return FAR
        elif away < 0:
            t = room / away
            if t > enter:
                enter = t
                hit[0], hit[1], hit[2] = nx, ny, nz
        else:
            leave = min(leave, room / away)
    return enter if 1e-4 < enter < leave else FAR


@numba.njit(fastmath=True)
def _limb(ox, oy, oz, dx, dy, dz, part, hit):
    """A capsule of radius r from the origin down to z = -length; else FAR."""
    r, length = part[13], part[14]
    qa, qb, qc = dx * dx + dy * dy, ox * dx + oy * dy, ox * ox + oy * oy - r * r
    inside = qb * qb - qa * qc
    if qa > 1e-12 and inside >= 0:
        t = (-qb - math.sqrt(inside)) / qa
        z = oz + t * dz
        if t > 1e-4 and -length < z < 0:
            hit[0], hit[1], hit[2] = ox + t * dx, oy + t * dy, 0.0
            return t
    best = FAR
    for k in range(2):
        cz = oz + (length if k == 1 else 0.0)
        half = ox * dx + oy * dy + cz * dz
        inside = half * half - (ox * ox + oy * oy + cz * cz - r * r)
        if inside >= 0:
            t = -half - math.sqrt(inside)
            z = cz + t * dz
            if 1e-4 < t < best and (z >= 0 if k == 0 else z <= 0):
                best = t
                hit[0], hit[1], hit[2] = ox + t * dx, oy + t * dy, z
    return best


@numba.njit(fastmath=True)
def _wheel(ox, oy, oz, dx, dy, dz, part, hit):
    """A cylinder of radius r along y, half as wide as `half`; else FAR."""
    r, half = part[13], part[14]
    if abs(dy) > 1e-12:
        cap = half if dy < 0 else -half
        t = (cap - oy) / dy
        x, z = ox + t * dx, oz + t * dz
        if t > 1e-4 and x * x + z * z < r * r:
            hit[0], hit[1], hit[2] = 0.0, (1.0 if dy < 0 else -1.0), 0.0
            return t
    qa, qb, qc = dx * dx + dz * dz, ox * dx + oz * dz, ox * ox + oz * oz - r * r
    inside = qb * qb - qa * qc
    if qa > 1e-12 and inside >= 0:
        t = (-qb - math.sqrt(inside)) / qa
        if t > 1e-4 and abs(oy + t * dy) < half:
            hit[0], hit[1], hit[2] = ox + t * dx, 0.0, oz + t * dz
            return t
    return FAR


@numba.njit(fastmath=True)
def meet_part(part, ox, oy, oz, dx, dy, dz, hit):
    """Distance along a unit ray to a part, FAR if it misses; the normal, in the part's axes and of any length, in hit."""
    rx, ry, rz = ox - part[9], oy - part[10], oz - part[11]
    lx = part[0] * rx + part[3] * ry + part[6] * rz
    ly = part[1] * rx + part[4] * ry + part[7] * rz
    lz = part[2] * rx + part[5] * ry + part[8] * rz
    ex = part[0] * dx + part[3] * dy + part[6] * dz
    ey = part[1] * dx + part[4] * dy + part[7] * dz
    ez = part[2] * dx + part[5] * dy + part[8] * dz
    if part[12] == BLOCK:
        return _block(lx, ly, lz, ex, ey, ez, part, hit)
    if part[12] == LIMB:
        return _limb(lx, ly, lz, ex, ey, ez, part, hit)
    return _wheel(lx, ly, lz, ex, ey, ez, part, hit)


@numba.njit(fastmath=True)
def _near_sphere(entry, ox, oy, oz, dx, dy, dz):
    """Whether a ray meets the sphere around a mover."""
    cx, cy, cz = entry[4] - ox, entry[5] - oy, entry[6] - oz
    along = cx * dx + cy * dy + cz * dz
    away = cx * cx + cy * cy + cz * cz - along * along
    return along > -entry[7] and away < entry[7] * entry[7]


@numba.njit(fastmath=True)
def meet_solids(entries, parts, u, v, ox, oy, oz, dx, dy, dz, hit):
    """(distance, part) of the first solid on a ray through pixel (u, v), FAR and -1 if none; world normal in hit[0:3].

    entries [E, 10] and parts [Q, 19] of one frame.
    """
    best, which = FAR, -1
    nx, ny, nz = 0.0, 0.0, 0.0
    for e in range(entries.shape[0]):
        entry = entries[e]
        if u < entry[0] or u > entry[1] or v < entry[2] or v > entry[3]:
            continue
        if not _near_sphere(entry, ox, oy, oz, dx, dy, dz):
            continue
        for q in range(int(entry[8]), int(entry[9])):
            t = meet_part(parts[q], ox, oy, oz, dx, dy, dz, hit)
            if t < best:
                best, which = t, q
                nx, ny, nz = hit[0], hit[1], hit[2]
    if which >= 0:
        p = parts[which]
        inv = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz)
        hit[0] = (p[0] * nx + p[1] * ny + p[2] * nz) * inv
        hit[1] = (p[3] * nx + p[4] * ny + p[5] * nz) * inv
        hit[2] = (p[6] * nx + p[7] * ny + p[8] * nz) * inv
    return best, which


@numba.njit(fastmath=True)
def shade_of_solids(entries, parts, u, v, px, py, pz, sx, sy, sz, hit):
    """(sun, open): shares of the sun (in direction s) and of the sky that the movers leave to a point near them."""
    sun, free = 1.0, 1.0
    for e in range(entries.shape[0]):
        entry = entries[e]
        if u < entry[0] or u > entry[1] or v < entry[2] or v > entry[3]:
            continue
        cx, cy, r = entry[4] - px, entry[5] - py, entry[7]
        free = min(free, 1.0 - 0.55 * math.exp(-2.2 * (cx * cx + cy * cy) / (r * r)))
        if sun > 0 and _near_sphere(entry, px, py, pz, sx, sy, sz):
            for q in range(int(entry[8]), int(entry[9])):
                if meet_part(parts[q], px, py, pz, sx, sy, sz, hit) < FAR:
                    sun = 0.0
                    break
    return sun, free
