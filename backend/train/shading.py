"""What a ray sees: compiled marching through a heightfield.  Colours of surfaces are in surfaces.py.

`params` is a vector whose places the constants below name.  `lights` [4, 3]: direction to the sun, its colour, zenith,
horizon.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ..pipeline.pattern import hashed, sample

__all__ = ["Scene", "bend", "ceiling_hit", "hashed", "march", "sample", "shadow", "sky", "wave"]

COARSE = 16  # cells a side of one block of the height maximum
(
    HAZE, VEIL, COVER, LAMPS, STARS, STORM, WET, WINTER, AUTUMN, DISC, DISC_SIZE,
    SEA, KIND, CEILING_Z, BAY, SKYLIGHT, STYLE, NOW, WIND_X, WIND_Y, PAINT,
) = range(21)  # fmt: skip
PARAMS = 21
CROWN_STEP = 0.25  # metres that one step of a crown's height is


class Scene(NamedTuple):
    """All that the compiled functions read: a world under its light, before the cameras of F frames.

    heights [n, n] float32 metres, blocks [n/COARSE, n/COARSE] their maximum, peak the largest; material, tones [n, n]
    uint8; texture, cloud float32 noise; extent metres a side; lights [4, 3]; params [F, PARAMS]; inverse [F, 3, 3] of
    the camera matrices; pose [F, 4, 4] world from camera; offsets [S, 2] of the samples in a pixel; crown [n, n] uint8
    how high trees stand, in CROWN_STEP; entries, parts, looks: what moves (solids.py); numbers [Q] int32, kinds [Q]
    uint8: each part's place among all, and its mover's kind.
    """

    heights: NDArray[np.float32]
    blocks: NDArray[np.float32]
    peak: float
    material: NDArray[np.uint8]
    tones: NDArray[np.uint8]
    texture: NDArray[np.float32]
    cloud: NDArray[np.float32]
    extent: float
    lights: NDArray[np.float64]
    params: NDArray[np.float64]
    inverse: NDArray[np.float64]
    pose: NDArray[np.float64]
    offsets: NDArray[np.float64]
    crown: NDArray[np.uint8]
    entries: NDArray[np.float64]
    parts: NDArray[np.float64]
    looks: NDArray[np.float64]
    numbers: NDArray[np.int32]
    kinds: NDArray[np.uint8]


@numba.njit(fastmath=True)
def wave(turns):
    """Like a sine of 2 pi turns and as smooth to the eye, out of two parabolas: rays ask for it at every step."""
    u = 2.0 * (turns - math.floor(turns)) - 1.0
    return -4.0 * u * (1.0 - abs(u))


@numba.njit(fastmath=True)
def bend(crown, cell, x, y, now, wind_x, wind_y):
    """How far (metres in x and y) the wind has carried what stands at a place: none at a tree's foot, most at its top.

    wind: metres for each metre of height.  The surface over a place is that of the calm world at the place less this.
    """
    n = crown.shape[0]
    a, b = x / cell, y / cell
    if crown[int(math.floor(b + 0.5)) & (n - 1), int(math.floor(a + 0.5)) & (n - 1)] == 0:
        return 0.0, 0.0
    # A gust that travels over the country, and each tree's own swing.
    gust = 0.5 + 0.3 * wave(0.27 * now - 0.018 * x + 0.011 * y) + 0.2 * wave(0.73 * now + 0.049 * x + 0.068 * y)
    lean = gust * CROWN_STEP * sample(crown, a, b)
    return wind_x * lean, wind_y * lean


@numba.njit(fastmath=True)
def height_in_wind(heights, crown, cell, x, y, now, wind_x, wind_y):
    """The heightfield over a place while trees bend."""
    bx, by = bend(crown, cell, x, y, now, wind_x, wind_y)
    return sample(heights, (x - bx) / cell, (y - by) / cell)


@numba.njit(fastmath=True)
def march(heights, blocks, peak, cell, ox, oy, oz, dx, dy, dz, far, pixel, crown, now, wind_x, wind_y):
    """Distance along a unit ray to the heightfield, or -1.  pixel: angle of a pixel, sets the step far away."""
    m = blocks.shape[0]
    calm = wind_x == 0.0 and wind_y == 0.0
    block = COARSE * cell
    t = 0.02
    last = 0.0
    for _ in range(700):
        if t > far:
            return -1.0
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        if z > peak:
            if dz >= 0:
                return -1.0
            last = t
            t += max((peak - z) / dz, 0.0) + 0.02 * cell
            continue
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
        if calm:
            gap = z - sample(heights, x / cell, y / cell)
        else:
            gap = z - height_in_wind(heights, crown, cell, x, y, now, wind_x, wind_y)
        if gap < 0:
            low, high = last, t
            for _ in range(7):
                mid = 0.5 * (low + high)
                x, y = ox + mid * dx, oy + mid * dy
                if calm:
                    under = sample(heights, x / cell, y / cell)
                else:
                    under = height_in_wind(heights, crown, cell, x, y, now, wind_x, wind_y)
                if oz + mid * dz < under:
                    high = mid
                else:
                    low = mid
            return high
        last = t
        t += max(0.55 * cell, 0.5 * pixel * t, 0.08 * gap)
    return -1.0


@numba.njit(fastmath=True)
def ceiling_hit(ox, oy, oz, dx, dy, dz, ceiling_z, bay, skylight):
    """Distance to the ceiling's plane, -1 where the ray never meets it or leaves through a skylight."""
    if dz < 1e-6 or oz > ceiling_z:
        return -1.0
    t = (ceiling_z - oz) / dz
    u, v = (ox + t * dx) / bay, (oy + t * dy) / bay
    if abs(u - math.floor(u) - 0.5) < 0.5 * skylight and abs(v - math.floor(v) - 0.5) < 0.5 * skylight:
        return -1.0
    return t


@numba.njit(fastmath=True)
def shadow(heights, blocks, cell, x, y, z, sx, sy, sz):
    """Share of the sun seen, 0…1, with a penumbra."""
    t, seen = 1.5 * cell, 1.0
    block, m = COARSE * cell, blocks.shape[0]
    for _ in range(70):
        px, py, pz = x + t * sx, y + t * sy, z + t * sz
        if pz > blocks[int(math.floor(py / block)) & (m - 1), int(math.floor(px / block)) & (m - 1)]:
            t += 0.35 * block
            continue
        gap = pz - sample(heights, px / cell, py / cell)
        if gap < 0:
            return 0.0
        seen = min(seen, 14.0 * gap / t)
        t += max(0.7 * cell, 0.5 * gap)
    return seen


@numba.njit(fastmath=True)
def sky(dx, dy, dz, lights, params, cloud, below, out):
    """Sky colour in a direction: clouds, the sun's or moon's glow and disc, stars.  below: a sea of clouds under us."""
    cover, storm, drift = params[COVER], params[STORM], 0.4 * params[NOW]
    up = max(dz, 0.0)
    facing = dx * lights[0, 0] + dy * lights[0, 1] + dz * lights[0, 2]
    # A low sun: a flat band of its colour at the horizon, strong on its side; its glow is smaller than a high one's.
    low = min(max(1.35 - 4.0 * lights[0, 2], 0.0), 1.0)
    blend = math.exp(-(5.0 + 5.0 * low) * up)
    twilight = low > 0.5 and params[STARS] > 0.0  # the sun itself is gone, its light stands in the air
    toward = max(0.5 + 0.5 * facing, 0.0)
    band = low * (math.exp(-11.0 * up) * (0.04 + 0.30 * toward**4) + 0.06 * math.exp(-4.0 * up) * toward**3)
    glow = (
        math.exp(-(22.0 + 40.0 * low) * (1.0 - facing)) * (0.55 - 0.27 * low) + math.exp(-400.0 * (1.0 - facing)) * 2.0
    )
    if twilight:
        glow, band = 0.0, 4.2 * band
    spent = 1.0 - 0.75 * low * toward**4  # of the horizon's own blue little is left before the sun
    amount, thick, lit, value = 0.0, 0.0, 1.0, 0.0
    side = dz
    if below and dz < 0:
        side, cover = -dz, 0.62 + 0.4 * cover
    closed = params[COVER] > 0.7 and not below
    if side > 0.01 and cover > 0.02:
        scale = 46.0 / (side + 0.12)
        u, v = dx * scale + drift, dy * scale
        value = sample(cloud, u, v) + 0.30 * sample(cloud, u * 4.1, v * 4.1) + 0.10 * sample(cloud, u * 11.0, v * 11.0)
        depth = max(value + 3.2 * cover - 1.75, 0.0)
        thick = min(0.75 * depth, 1.0)
        amount = min(2.4 * depth, 1.0)  # a heap's edge is sharp, its body thick
        amount = amount * amount * (3.0 - 2.0 * amount) * min(side * 9.0, 1.0)
        if closed:
            amount = max(amount, min(2.6 * (cover - 0.6), 1.0) * min(side * (13.0 + 14.0 * storm), 1.0))
        # What lies towards the light shades: a high sun lights tops, which from the side are the upper edges.
        lean = 0.05 * (1.0 - low)
        su, sv = u + lights[0, 0] * 5 - lean * dx * scale, v + lights[0, 1] * 5 - lean * dy * scale
        ahead = sample(cloud, su, sv) + 0.30 * sample(cloud, su * 4.1, sv * 4.1)
        lit = min(max(0.66 + (0.95 if closed else 0.75) * (value - ahead), 0.12), 1.3)
    haze_over = max(cover - 0.5, 0.0) * 1.8 if not below else 0.0
    slit = (2.4 - 1.6 * storm) * band if closed else 0.0  # light that comes in under the cover
    rim = storm * (0.7 - 0.45 * low) * math.exp(-20.0 * up)
    dark = 1.0 - storm * 0.76
    heavy = min(max(1.0 - 0.36 * value, 0.4), 1.7)  # where a closed cover is thick little comes through
    for c in range(3):
        clear = (
            lights[2, c] * (1.0 - blend)
            + lights[3, c] * (blend * spent + rim)
            + lights[1, c] * (glow + band) * (1.0 - min(haze_over, 0.95))
        )
        shade = lights[2, c] * 0.45 + lights[3, c] * 0.40
        bright = (shade * (0.75 + 0.4 * lit) + 0.40 * lights[1, c] * lit) * (1.10 - 0.50 * thick)
        if below:
            bright *= min(max(0.82 + 0.24 * value, 0.5), 1.15)  # hollows of the sea of clouds are dim
        elif closed:
            bright = shade * (0.55 + 0.8 * lit) * heavy * dark * (1.0 + rim)
        disc = lights[1, c] * params[DISC] if facing > params[DISC_SIZE] else 0.0
        out[c] = clear * (1.0 - amount) + bright * amount + disc * (1.0 - amount) + slit * lights[1, c]
    if params[STARS] > 0 and dz > 0.0:
        # Stereographic cells, one star in some of them.
        u, v = dx / (1.0 + dz) * 120.0, dy / (1.0 + dz) * 120.0
        fu, fv = math.floor(u), math.floor(v)
        chance = hashed(fu, fv, 1.0)
        if chance > 0.965:
            r2 = (u - fu - 0.5) ** 2 + (v - fv - 0.5) ** 2
            star = max(1.0 - r2 * 6.0, 0.0) * (chance - 0.965) * 16.0 * params[STARS] * min(dz * 6.0, 1.0)
            for c in range(3):
                out[c] += star * (1.0 - amount) * (1.0 - min(max(params[COVER] - 0.45, 0.0) * 3.0, 1.0))
    if below and dz < 0.06:
        mist = math.exp(-30.0 * abs(dz))
        for c in range(3):
            out[c] = out[c] * (1.0 - 0.8 * mist) + lights[3, c] * 0.8 * mist
