"""Camera moves as artists make them, over a World.

K [T, 3, 3] pixels, world_from_camera [T, 4, 4] in OpenCV axes, both float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .world import World

MOVES = ("dolly", "truck", "crane", "orbit", "pan", "tilt", "handheld", "zoom", "drone", "static")


@dataclass(frozen=True, eq=False)
class Path:
    """move: one of MOVES; K, world_from_camera: the track."""

    move: str
    K: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]


def look(position: NDArray, heading: float, pitch: float, roll: float = 0.0) -> NDArray[np.float64]:
    """world_from_camera for a camera at `position` looking along heading (radians from +X, to the left) and pitch (up)."""
    forward = np.array([math.cos(pitch) * math.cos(heading), math.cos(pitch) * math.sin(heading), math.sin(pitch)])
    right = np.array([math.sin(heading), -math.cos(heading), 0.0])
    down = np.cross(forward, right)
    c, s = math.cos(roll), math.sin(roll)
    out = np.eye(4)
    out[:3, 0], out[:3, 1], out[:3, 2], out[:3, 3] = c * right + s * down, c * down - s * right, forward, position
    return out


def ground(world: World, x: float, y: float) -> float:
    """Height under a point, the water's surface where there is sea."""
    n = world.height.shape[0]
    cell = world.extent / n
    z = float(world.height[int(y / cell) % n, int(x / cell) % n])
    return max(z, 0.0) if world.sea else z


def random_path(world: World, seed: int, frames: int, width: int, height: int) -> Path:
    """A move through open space with visible parallax, by seed."""
    rng = np.random.default_rng([seed, 4])
    kind, extent = world.attributes.kind, world.extent
    street = kind in ("city", "village")
    lens = float(np.exp(rng.uniform(math.log(16), math.log(70))))
    focal = lens / 36.0 * max(width, height)
    best = None
    for _ in range(24):
        x, y = rng.uniform(0, extent, 2)
        low, high = {
            "city": (1.6, 14),
            "village": (1.7, 12),
            "forest": (2, 25),
            "desert": (2, 40),
            "coast": (2, 45),
        }.get(kind, (4, 120))
        z = ground(world, x, y) + float(np.exp(rng.uniform(math.log(low), math.log(high))))
        heading = rng.uniform(0, 2 * math.pi)
        clear = _clearance(world, x, y, z, heading)
        if best is None or clear > best[0]:
            best = (clear, x, y, z, heading)
        if clear > (14 if street else 70 if kind == "alpine" else 30):
            break
    assert best is not None
    clear, x, y, z, heading = best
    pitch = math.radians(rng.uniform(-14, 9) - (6 if z - ground(world, x, y) > 25 else 0))
    move = str(rng.choice(MOVES))
    # The travel is a share of the free distance, so that near things pass and far ones hold.
    travel = min(clear, 90.0) * rng.uniform(0.02, 0.12) * (frames - 1) / 8 * rng.choice([-1, 1])
    turn = math.radians(rng.uniform(1.5, 7.0)) * (frames - 1) / 8 * rng.choice([-1, 1])
    ease = np.linspace(0, 1, frames)
    if rng.random() < 0.4:
        ease = ease * ease * (3 - 2 * ease)
    shake = np.cumsum(rng.normal(0, 1, (frames, 3)), 0) * math.radians(0.12)
    poses, Ks = [], []
    for t, k in enumerate(ease):
        p, h, q, r, f = np.array([x, y, z]), heading, pitch, 0.0, focal
        along, aside = np.array([math.cos(h), math.sin(h), 0]), np.array([math.sin(h), -math.cos(h), 0])
        if move == "dolly":
            p = p + along * abs(travel) * k
        elif move == "truck":
            p = p + aside * travel * 0.6 * k
        elif move == "crane":
            p, q = p + np.array([0, 0, abs(travel) * 0.5 * k]), q - 0.4 * abs(turn) * k
        elif move == "orbit":
            p, h = p + aside * travel * 0.6 * k, h + travel * 0.6 * k / max(0.7 * clear, 6.0)
        elif move == "pan":
            h = h + turn * k
        elif move == "tilt":
            q = q + 0.5 * turn * k
        elif move == "handheld":
            p, h, q, r = p + along * abs(travel) * 0.4 * k, h + shake[t, 0], q + shake[t, 1], 0.5 * shake[t, 2]
        elif move == "zoom":
            f = focal * (1 + 0.25 * k * abs(turn) / 0.1)
        elif move == "drone":
            p = p + along * abs(travel) * k + np.array([0, 0, 0.25 * abs(travel) * k])
            h, r = h + 0.5 * turn * k, 0.3 * turn * k
        p[2] = max(p[2], ground(world, p[0], p[1]) + 1.2)
        poses.append(look(p, h, q, r))
        Ks.append([[f, 0, width / 2], [0, f, height / 2], [0, 0, 1]])
    return Path(move, np.array(Ks, np.float64), np.array(poses))


def _clearance(world: World, x: float, y: float, z: float, heading: float) -> float:
    """Free metres ahead at the camera's height, over three nearby headings."""
    out = 1e9
    for turn in (-0.25, 0.0, 0.25):
        d = 1.0
        while d < 150 and ground(world, x + d * math.cos(heading + turn), y + d * math.sin(heading + turn)) < z - 0.3:
            d *= 1.12
        out = min(out, d)
    return out
