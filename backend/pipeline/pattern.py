"""What chance decides of a picture's pattern, told as channels: clouds, the grain of ground and rock, windows in walls.

A network that is not told where the clouds are paints the mean of all skies, which has none.  The training world draws
its patterns from noise fields and from a grid on its walls, by world position (train/shading.py, surfaces.py); the same
fields, looked up where a pixel lies, are told to both stages in training.  At work a seed draws others.  A pattern
clings to its surface, and to the sky it drifts over, by construction.

Legend: T frames, H rows, W columns; depth [T, H, W] camera-plane metres, inf for sky; K [T, 3, 3] pixels;
pose [T, 4, 4] world_from_camera in OpenCV axes, metres, z up.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from .geometry import PATTERN_CHANNELS, camera_normal, pixel_ray, turned
from .windows import PANE, UPRIGHT

GROUND_SIDE, SKY_SIDE = 256, 512
GROUND_SLOPE, SKY_SLOPE = 1.1, 2.6  # of the fields' spectra
GRAIN = (0.22, 1.7, 9.0)  # cells of the ground's field in a metre
FADE = ((1.5, 0.12), (1.3, 0.9), (1.2, 5.0))  # of a size: a - b * metres that a pixel covers
CLOUD = (1.0, 4.1, 11.0)  # of the sky's scale
DRIFT = 0.4 / 24  # cells a frame
WALL = (3.6, 3.2, 0.27, -1.0)  # width and height of a window's bay in metres, its left edge in parts; no house's number
STEEP = 0.447  # a normal's upward part at most: a rise of two over a run of one
ROUND = 6.0  # metres: what bends on a smaller radius (a tree's crown, a lamp post) is no built wall
SPAN = 1.2  # metres between the places whose depths tell a bend: on a round thing of flat faces more than one face
USUAL = (5.0, 1000.0)  # metres: typical depths of training shots

Frames = NDArray[np.float32]


class Pattern(NamedTuple):
    """The fields of a seed.  ground [GROUND_SIDE, GROUND_SIDE], sky [SKY_SIDE, SKY_SIDE], periodic, unit variance."""

    ground: Frames
    sky: Frames

    @staticmethod
    def of_seed(seed: int) -> Pattern:
        """The pattern that a seed draws, the same on every machine."""
        rng = np.random.Generator(np.random.Philox([seed, 3]))
        return Pattern(fractal_noise(rng, GROUND_SIDE, GROUND_SLOPE), fractal_noise(rng, SKY_SIDE, SKY_SLOPE))


def fractal_noise(rng: np.random.Generator, n: int, beta: float, longest: float = 0.0) -> Frames:
    """Periodic fractional Brownian noise [n, n], zero mean, unit variance, power ~ 1/k**beta.

    longest : shortest wave number kept at full strength (0 keeps all long waves).
    """
    k = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None]) * n
    k[0, 0] = 1.0
    amplitude = k ** (-beta / 2 - 0.5) * np.exp(-((longest / k) ** 2))
    amplitude[0, 0] = 0.0
    spectrum = amplitude * np.exp(2j * np.pi * rng.random(k.shape))
    field = np.fft.irfft2(spectrum, s=(n, n))
    return ((field - field.mean()) / field.std()).astype(np.float32)


def pattern_channels(
    pattern: Pattern,
    depth: Frames,
    K: NDArray,
    pose: NDArray,
    *,
    frames: NDArray | None = None,
    typical: float = 100.0,
    walls: Frames | None = None,
    windows_on: float = UPRIGHT,
    rounder_than: float = ROUND,
    made: NDArray[np.uint8] | None = None,
) -> Frames:
    """[T, PATTERN_CHANNELS, H, W] of what the cameras see; about -3 … 3, the windows 0 (wall) or 0.2 … 1.

    frames : [T] the frames' numbers, for the clouds' drift; None: 0 … T-1.
    typical : median depth of the shot in metres: one far from USUAL is taken for another unit of length.
    walls : [T, H, W, 4] a window's bay as in WALL, where the wall that a pixel shows has its own.
    windows_on : the upward part of a normal up to which a surface has windows.  Training told them on every STEEP one,
    and the network had to see which is a wall; at work what is not upright (a fir, a crag) is told none.
    rounder_than : metres of radius under which a surface is told none either; training: 0, any.
    made : [T, H, W] windows.modelled_windows, which stand in place of the pattern's own; None: there are none.
    """
    numbers = np.arange(len(depth)) if frames is None else np.asarray(frames)
    given = np.empty((0, 0, 0, 4), np.float32) if walls is None else np.ascontiguousarray(walls, np.float32)
    return _pattern(
        np.ascontiguousarray(depth, np.float32),
        np.linalg.inv(K),
        np.ascontiguousarray(pose, np.float64),
        pattern.ground,
        pattern.sky,
        numbers.astype(np.float64) * DRIFT,
        float(unit_of(typical)),
        given,
        windows_on,
        rounder_than,
        np.zeros((0, 0, 0), np.uint8) if made is None else np.ascontiguousarray(made),
    )


def unit_of(typical: float) -> float:
    """Metres in a unit of a shot whose median depth is `typical`, as far as that can be told."""
    return min(max(typical, USUAL[0]), USUAL[1]) / typical


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def sample(field, x, y):
    """Bilinear, periodic; x, y in cells of a field whose sides are powers of two."""
    wrap = field.shape[0] - 1
    fx, fy = math.floor(x), math.floor(y)
    ax, ay = np.float32(x - fx), np.float32(y - fy)
    x0, y0 = int(fx) & wrap, int(fy) & wrap
    x1, y1 = (x0 + 1) & wrap, (y0 + 1) & wrap
    top = field[y0, x0] * (1 - ax) + field[y0, x1] * ax
    low = field[y1, x0] * (1 - ax) + field[y1, x1] * ax
    return top * (1 - ay) + low * ay


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def hashed(a, b, c):
    """A number 0 … 1 that looks like chance."""
    h = math.sin(a * 12.9898 + b * 78.233 + c * 37.719) * 43758.5453
    return h - math.floor(h)


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def _clouds(sky, dx, dy, dz, pixel, drift, out):
    """Three sizes of the sky's field (whose waves are long) in a unit direction, each gone where a pixel covers many cells."""
    side = abs(dz)
    scale = 46.0 / (side + 0.12)
    u, v = dx * scale + drift, dy * scale
    cells = pixel * 46.0 / (side + 0.12) ** 2  # that a pixel covers of the widest, along the steeper way
    for size in range(3):
        k = CLOUD[size]
        fade = min(max(1.6 - 0.02 * k * cells, 0.0), 1.0) * min(side * 9.0, 1.0)
        out[size] = fade * sample(sky, u * k, v * k)


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def _window(along, across, up, foot, bay, anywhere):
    """0 on the wall, 0.2 … 1 in a window (another number in each bay), gone where a pixel covers more than one;
    anywhere: all of the bay is window."""
    wide, tall, left, house = bay[0], bay[1], bay[2], bay[3]
    if house < 0.0:
        house = math.floor(across / 4.0)
    fu, fv = along / wide, up / tall
    iu, iv = math.floor(fu), math.floor(fv)
    fu, fv = fu - iu, fv - iv
    near = min(max(1.9 - 1.1 * foot, 0.0), 1.0)
    low = 0.25
    if anywhere or (left < fu < 1.0 - left and low < fv < 0.82):
        return near * (1.0 - 0.8 * hashed(iu, iv, house))
    return 0.0


@numba.njit(error_model="numpy", nogil=True, cache=True)  # no fastmath: it takes infinity for a number
def _is_round(depth, f, i, j, step, limit):
    """Whether a surface bends along the row by more than `limit` of its 1 / z over `step` pixels; over a plane that is
    linear in the pixel.  Of three stencils the flattest counts: the others may step over a silhouette.  What is narrower
    than all of them is round."""
    width, here = depth.shape[2], 1.0 / depth[f, i, j]
    for first in (-1, -2, 0):
        a, b, c = j + first * step, j + (first + 1) * step, j + (first + 2) * step
        if a >= 0 and c < width:
            bend = 1.0 / depth[f, i, a] - 2.0 / depth[f, i, b] + 1.0 / depth[f, i, c]
            if abs(bend) <= limit * here:
                return False
    return True


@numba.njit(error_model="numpy", nogil=True, cache=True)  # no fastmath: it takes infinity for a number
def _pattern(depth, inverse, pose, ground, sky, drift, unit, walls, windows_on, rounder_than, made):
    count, height, width = depth.shape
    out = np.zeros((count, PATTERN_CHANNELS, height, width), np.float32)
    at, value, bay = np.zeros((2, 3)), np.zeros(3), np.zeros(4)
    for f in range(count):
        m, k = pose[f], inverse[f]
        for i in range(height):
            for j in range(width):
                z = depth[f, i, j]
                rx, ry = pixel_ray(k, i, j)
                length = math.sqrt(rx * rx + ry * ry + 1.0)
                dx, dy, dz = turned(m, rx, ry, 1.0)
                dx, dy, dz = dx / length, dy / length, dz / length
                if not z < np.inf:
                    _clouds(sky, dx, dy, dz, k[0, 0], drift[f], value)
                    for c in range(3):
                        out[f, c, i, j] = value[c]
                    continue
                t = z * length
                px, py, pz = (m[0, 3] + t * dx) * unit, (m[1, 3] + t * dy) * unit, (m[2, 3] + t * dz) * unit
                nx, ny, nz = camera_normal(depth, f, i, j, k, at)
                gx, gy, gz = turned(m, nx, ny, nz)
                steep = abs(gz) < STEEP
                u, v = px, py
                if steep:
                    u, v = (px, pz) if abs(gy) > abs(gx) else (py, pz)
                foot = t * unit * k[0, 0]
                for size in range(3):
                    fade = min(max(FADE[size][0] - FADE[size][1] * foot, 0.0), 1.0)
                    if fade > 0.0:
                        out[f, size, i, j] = fade * sample(ground, u * GRAIN[size], v * GRAIN[size])
                known = made[f, i, j] if made.shape[0] > 0 else 0
                glazed = known == PANE or (known == 0 and steep and abs(gz) < windows_on)
                if glazed and known == 0 and rounder_than > 0.0:
                    # A radius R bends 1 / z by a step's angle times its metres over R.
                    step = int(min(max(SPAN / foot, 1.0), 16.0))
                    glazed = not _is_round(depth, f, i, j, step, step * step * k[0, 0] * foot / rounder_than)
                if glazed:
                    for c in range(4):
                        bay[c] = WALL[c] if walls.shape[0] == 0 else walls[f, i, j, c]
                    along, across = (px, py) if abs(gy) > abs(gx) else (py, px)
                    out[f, 3, i, j] = _window(along, across, pz, foot, bay, known == PANE)
    return out
