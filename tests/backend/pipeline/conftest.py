"""An analytic scene with exact cameras and depth: textured boxes on a textured plane, ray-cast and supersampled.

It shares no code with the package: what the instruments read is held against this scene's own geometry.
World Z up; cameras OpenCV (x right, y down, z forward); depth is camera z, inf in the sky; colour scene-linear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, Shot


@numba.njit(inline="always")
def _hash(ix: int, iy: int, seed: int) -> float:
    h = (ix * 374761393 + iy * 668265263 + seed * 974634541) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF) / 65535.0


@numba.njit
def _noise(x: float, y: float, seed: int) -> float:
    """Value noise in [0, 1], smooth over unit cells."""
    fx, fy = np.floor(x), np.floor(y)
    ix, iy = int(fx), int(fy)
    u, v = x - fx, y - fy
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    top = _hash(ix, iy, seed) * (1 - u) + _hash(ix + 1, iy, seed) * u
    low = _hash(ix, iy + 1, seed) * (1 - u) + _hash(ix + 1, iy + 1, seed) * u
    return top * (1 - v) + low * v


@numba.njit
def _texture(x: float, y: float, seed: int, footprint: float) -> float:
    """Octaves of noise, each left out where a pixel (`footprint` metres wide) could not carry it."""
    value, size = 0.0, 2.0
    for octave in range(9):
        fade = min(1.0, max(0.0, size / footprint - 1.5))
        value += fade * (_noise(x / size, y / size, seed + 17 * octave) - 0.5) * 0.9 * 0.8**octave
        size *= 0.5
    return value


@numba.njit
def _ray(o: NDArray, d: NDArray, boxes: NDArray, pixel: float) -> tuple[float, float, float]:
    """Distance along d (inf: sky), brightness and material tint of what the ray hits."""
    t, which, axis = np.inf, -1, 2
    if d[2] < -1e-9:
        t = -o[2] / d[2]
    for b in range(boxes.shape[0]):
        near, far, side = -np.inf, np.inf, 0
        for a in range(3):
            inv = 1.0 / d[a] if abs(d[a]) > 1e-12 else 1e12
            t0, t1 = (boxes[b, a] - o[a]) * inv, (boxes[b, a + 3] - o[a]) * inv
            if t0 > t1:
                t0, t1 = t1, t0
            if t0 > near:
                near, side = t0, a
            far = min(far, t1)
        if near < far and 1e-6 < near < t:
            t, which, axis = near, b, side
    if t > 400.0:
        return np.inf, 0.8, 0.0
    p0, p1, p2 = o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]
    slope = abs(d[axis]) / np.sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2])
    footprint = pixel * t / max(slope, 0.05)
    if axis == 0:
        value = _texture(p1, p2, 101 + 7 * which, footprint)
    elif axis == 1:
        value = _texture(p0, p2, 211 + 7 * which, footprint)
    else:
        value = _texture(p0, p1, 307 + 7 * which, footprint)
    light = (0.45, 0.7, 1.0)[axis]
    return t, light * 0.35 * np.exp(1.6 * value), 0.5 + 0.5 * np.sin(which * 2.4)


@numba.njit
def _render(K: NDArray, pose: NDArray, width: int, height: int, boxes: NDArray, samples: int) -> tuple:
    rgb, depth = np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)
    origin, direction = pose[:3, 3].copy(), np.zeros(3)
    pixel = 1.0 / K[0, 0]
    for y in range(height):
        for x in range(width):
            for s in range(samples * samples + 1):  # the last ray is the pixel's centre, for the depth
                centre = s == samples * samples
                i, j = (0.5, 0.5) if centre else ((s % samples + 0.5) / samples, (s // samples + 0.5) / samples)
                cx, cy = (x + i - K[0, 2]) / K[0, 0], (y + j - K[1, 2]) / K[1, 1]
                for a in range(3):
                    direction[a] = pose[a, 0] * cx + pose[a, 1] * cy + pose[a, 2]
                t, value, tint = _ray(origin, direction, boxes, pixel)
                if centre:
                    depth[y, x] = t  # the ray's camera z is 1, so t is camera z
                else:
                    share = value / (samples * samples)
                    sky = t == np.inf
                    rgb[y, x, 0] += share * (0.6 if sky else 1.1 - 0.3 * tint)
                    rgb[y, x, 1] += share * (0.8 if sky else 0.95)
                    rgb[y, x, 2] += share * (1.2 if sky else 0.75 + 0.3 * tint)
    return rgb, depth


@dataclass(frozen=True)
class Scene:
    """Boxes on a plane and a camera that travels past them.  K [T, 3, 3], pose [T, 4, 4] OpenCV."""

    width: int
    height: int
    boxes: NDArray[np.float64]
    K: NDArray[np.float64]
    pose: NDArray[np.float64]

    def render(self, t: int, *, yaw_px: float = 0.0, samples: int = 3) -> tuple[NDArray, NDArray]:
        """RGB [H, W, 3] and depth [H, W] of frame t; `yaw_px` turns the camera by that many pixels at its axis."""
        angle = np.arctan(yaw_px / self.K[t, 0, 0])
        turn = np.eye(4)
        turn[0, 0] = turn[2, 2] = np.cos(angle)
        turn[0, 2], turn[2, 0] = np.sin(angle), -np.sin(angle)
        return _render(self.K[t], self.pose[t] @ turn, self.width, self.height, self.boxes, samples)

    def shot(self, depth: NDArray, reference: NDArray | None = None, first: int = 101) -> Shot:
        """The Shot of this scene, numbered from `first`."""
        track = CameraTrack(self.K, self.pose)
        passes = DepthPass(depth, 0.5, 400.0)
        frames = tuple(range(first, first + len(self.K)))
        size = (self.width, self.height)
        fps = Fraction(24000, 1001)
        return Shot("boxes", frames, size, fps, track, passes, Prompt("grey blocks"), reference=reference)


def look_at(eye: NDArray, target: NDArray) -> NDArray[np.float64]:
    """OpenCV pose of a level camera at `eye` that looks at `target`."""
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    pose[:3, 3] = eye
    return pose


def make_scene(width: int = 448, height: int = 256, count: int = 9, seed: int = 5, focal: float = 420.0) -> Scene:
    """Eighteen boxes in front of a camera that trucks, rises and pushes in."""
    rng = np.random.default_rng(seed)
    boxes = np.zeros((18, 6))
    for b in range(18):
        x, y = rng.uniform(-9, 9), rng.uniform(4, 26)
        half, tall = rng.uniform(0.5, 1.6, 2), rng.uniform(0.6, 5.0)
        boxes[b] = [x - half[0], y - half[1], 0.0, x + half[0], y + half[1], tall]
    travel = np.linspace(0, 1, count)[:, None]
    eyes = np.array([-1.5, -6.0, 2.2]) + travel * np.array([1.6, 1.8, 0.4])
    pose = np.stack([look_at(eye, np.array([0.3, 12.0, 1.8])) for eye in eyes])
    K = np.array([[focal * width / 448, 0, width / 2], [0, focal * width / 448, height / 2], [0, 0, 1.0]])
    return Scene(width, height, boxes, np.repeat(K[None], count, 0), pose)


@dataclass(frozen=True)
class Rendered:
    """A scene with its clean render: rgb [T, H, W, 3], depth [T, H, W]."""

    scene: Scene
    rgb: NDArray[np.float32]
    depth: NDArray[np.float32]

    @property
    def shot(self) -> Shot:
        return self.scene.shot(self.depth)

    def shot_with_reference(self) -> Shot:
        return replace(self.shot, reference=self.rgb)


def render_all(scene: Scene, **options: int) -> Rendered:
    """Every frame of the scene."""
    frames = [scene.render(t, **options) for t in range(len(scene.K))]
    return Rendered(scene, np.stack([f[0] for f in frames]), np.stack([f[1] for f in frames]))


@pytest.fixture(scope="session")
def boxes() -> Rendered:
    """448x256, 9 frames, as in the instrument's calibration."""
    return render_all(make_scene())


@pytest.fixture(scope="session")
def small() -> Callable[..., Rendered]:
    """Renders a scene of any size: small(width, height, count, seed)."""

    def make(width: int = 96, height: int = 64, count: int = 3, seed: int = 5) -> Rendered:
        return render_all(make_scene(width, height, count, seed), samples=2)

    return make
