"""Rain and falling snow, drawn over a plate as particles that fall through the shot.

Drops and flakes belong to no surface.  A network whose detail clings to the surfaces can only glue them there, so where
the prompt asks for them they are particles of their own: they fall in metres and seconds, the camera moves through
them, what stands before them hides them, and an open shutter draws them long.  The report says so.

Legend: T frames, H rows, W columns, N particles in a box of side L that repeats in every direction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...protocol.shot import CameraTrack, Shot
from .canvas import Canvas
from .detail import resampled

SHUTTER = 0.5  # of a frame's time
USUAL_FOCAL = 0.9  # focal length in picture widths at which a particle has its own size
NEAREST = 0.08  # of the box: nearer particles would be blots
PALE = 0.65  # how much of their colour is none: water is white, whatever it falls before
BLURRED = 0.4  # the least share of its light that a particle in motion keeps
_DRAWN = 16.0  # cv2 draws at sixteenths of a pixel with shift 4


@dataclass(frozen=True)
class Fall:
    """How something falls.  speed m/s downwards; drift m/s sideways at the most; sway m; radius m; per cubic metre;
    reach m from the camera; cover 0 … 1 of one particle; glow: its light as a multiple of the shot's median."""

    name: str
    speed: float
    drift: float
    sway: float
    radius: float
    density: float
    reach: float
    cover: float
    glow: float


SNOW = Fall("snow", 1.3, 0.7, 0.12, 0.014, 1.2, 10.0, 0.85, 4.0)
RAIN = Fall("rain", 8.0, 1.2, 0.0, 0.006, 1.5, 10.0, 0.5, 2.5)
_SNOW_WORDS = frozenset(["snowfall", "snowstorm", "snowflakes", "snowing"])
_RAIN_WORDS = frozenset(["rain", "rainy", "pouring", "shower"])
_INDOORS = frozenset(["interior", "room", "hall", "inside", "indoors", "indoor", "loft"])


def asked_fall(words: list[str]) -> Fall | None:
    """What a prompt's words (as the model reads them, in order) ask to fall; snow that falls or is in the air is meant,
    not snow on the ground.  Nothing falls indoors."""
    told = set(words)
    if told & _INDOORS:
        return None
    snow = told & _SNOW_WORDS or ("snow" in told and ("falling" in told or "snow in the air" in " ".join(words)))
    return SNOW if snow else RAIN if told & _RAIN_WORDS else None


def draw_fall(
    frames: NDArray[np.float32],
    shot: Shot,
    canvas: Canvas,
    fall: Fall,
    seed: int,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Draw it over frames [T, H, W, 3] scene-linear of the canvas, in place; seed and shot decide every particle.

    check is called before every frame and may raise to stop.
    """
    rng = np.random.Generator(np.random.Philox([seed, 5]))
    # A longer lens looks farther into the fall: as if it were larger, so that it never thins out.
    lens = float(np.mean(shot.camera.K[:, 0, 0])) / (USUAL_FOCAL * shot.resolution[0])
    side = 2.0 * fall.reach * lens
    count = round(fall.density * (2.0 * fall.reach) ** 3)
    places = rng.random((count, 3)) * side
    sizes = fall.radius * lens * rng.uniform(0.6, 1.4, count)
    phase = rng.random((count, 2)) * 2 * np.pi
    wind = np.append(rng.uniform(-1, 1, 2) * fall.drift, -fall.speed) * lens
    ground = np.median(frames[:: max(1, len(frames) // 8)], (0, 1, 2))
    light = np.asarray(fall.glow * (PALE * ground.mean() + (1 - PALE) * ground), np.float32)

    def world(seconds: float) -> NDArray[np.float64]:
        moved = places + wind * seconds
        moved[:, :2] += fall.sway * lens * np.sin(phase + 2.1 * seconds)
        return moved

    for t, frame in enumerate(frames):
        check()
        depth, camera = resampled(shot, canvas, np.array([t]))
        seconds = float(t / shot.fps)
        ends = (world(seconds), world(seconds + SHUTTER / float(shot.fps)))
        cover = _cover(ends, camera, depth[0], sizes, side, fall)
        frame += cover[..., None] * (light - frame)


def _cover(
    ends: tuple[NDArray, NDArray], camera: CameraTrack, depth: NDArray, sizes: NDArray, side: float, fall: Fall
) -> NDArray[np.float32]:
    """[H, W] in 0 … 1: how much of each pixel the particles hide.

    ends : [N, 3] metres where they are as the shutter opens and closes.  camera : one.  depth [H, W] metres.
    """
    height, width = depth.shape
    K, pose = camera.K[0], camera.world_from_camera[0]
    centre = pose[:3, 3] + 0.5 * side * pose[:3, 2]
    wrapped = (ends[0] - centre + 0.5 * side) % side - 0.5 * side + centre
    first = _seen(wrapped, K, pose)
    last = _seen(wrapped + ends[1] - ends[0], K, pose)
    z = first[:, 2]
    off = np.abs(first[:, :2] - [width / 2, height / 2]) - [width / 2, height / 2]
    inside = (z > NEAREST * side) & (off < 0.05 * width).all(1) & (last[:, 2] > 0)
    x, y = (np.clip(first[:, i], 0, limit - 1).astype(int) for i, limit in ((0, width), (1, height)))
    chosen = np.flatnonzero(inside & (z < depth[y, x]))
    chosen = chosen[np.argsort(-z[chosen])]
    first, last = first[chosen, :2], last[chosen, :2]
    thick = 2.0 * sizes[chosen] * K[0, 0] / z[chosen]
    length = np.hypot(*(last - first).T)
    # What is thinner than a pixel covers part of it; what moves covers each place for part of the time.
    share = np.minimum(thick, 1.0) * np.clip(1.5 * np.maximum(thick, 1.0) / (length + 1e-6), BLURRED, 1.0)
    shades = np.round(255 * fall.cover * share).astype(int).tolist()
    begin, end = (np.round((p - 0.5) * _DRAWN).astype(int).tolist() for p in (first, last))
    drawn = np.zeros((height, width), np.uint8)
    for a, b, shade, size in zip(begin, end, shades, np.maximum(1, np.round(thick)).astype(int).tolist(), strict=True):
        cv2.line(drawn, a, b, shade, size, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(drawn, (3, 3), 0.6)
    return np.asarray(soft, np.float32) / np.float32(255.0)


def _seen(places: NDArray, K: NDArray, world_from_camera: NDArray) -> NDArray[np.float64]:
    """[N, 3]: pixel x and y (centres at +0.5) and depth of points in the world, metres."""
    local = np.asarray((places - world_from_camera[:3, 3]) @ world_from_camera[:3, :3], np.float64)
    z = local[:, 2].copy()
    z[np.abs(z) < 1e-6] = 1e-6
    x = (K[0, 0] * local[:, 0] + K[0, 1] * local[:, 1]) / z + K[0, 2]
    y = K[1, 1] * local[:, 1] / z + K[1, 2]
    return np.stack((x, y, z), 1)
