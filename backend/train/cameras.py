"""Camera moves as artists make them, over a World.

K [T, 3, 3] pixels, world_from_camera [T, 4, 4] in OpenCV axes, both float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .materials import CONIFER, FIELD, ICE, ROAD, ROCK, SAND, STONE, TREE, WALL, WOOD
from .world import World

MOVES = ("dolly", "truck", "crane", "orbit", "pan", "tilt", "handheld", "zoom", "dollyzoom", "drone", "static")
SENSOR = 36.0  # millimetres across the longer side
_TRIES = 14
# Heights above the ground (metres) from which a kind is looked at, and the free way ahead that is enough.
_HEIGHTS = {
    "alpine": (3, 140), "desert": (2, 40), "canyon": (2, 70), "coast": (2, 50), "sea": (1.5, 30), "hills": (2, 60),
    "forest": (1.7, 26), "arctic": (1.8, 40), "village": (1.7, 16), "city": (1.6, 45), "ruins": (1.5, 10),
    "interior": (1.1, 2.0), "sky": (10, 500), "quarry": (1.7, 45), "harbour": (1.7, 40),
}  # fmt: skip
_ENOUGH = {
    "alpine": 70.0, "city": 14.0, "village": 14.0, "ruins": 8.0, "interior": 3.0, "forest": 14.0, "harbour": 16.0,
}  # fmt: skip

# The materials a kind is known by, and how tall such a thing is (metres).
_SUBJECTS = {
    "village": ((WALL,), 9.0), "city": ((WALL,), 30.0), "ruins": ((STONE,), 5.0), "arctic": ((ICE,), 8.0),
    "forest": ((TREE, CONIFER), 12.0), "canyon": ((ROCK,), 60.0), "hills": ((FIELD,), 25.0),
    "quarry": ((ROCK, SAND), 40.0), "harbour": ((WOOD,), 24.0),
}  # fmt: skip
# Where one stands more often than anywhere else.
_STANDS = {"quarry": (ROCK, ROAD, SAND)}


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


@dataclass(frozen=True)
class _View:
    """A place to look from: position (metres), heading and pitch (radians), free metres ahead, focal (pixels)."""

    x: float
    y: float
    z: float
    heading: float
    pitch: float
    clear: float
    focal: float


def random_path(world: World, seed: int, frames: int, width: int, height: int) -> Path:
    """A move through open space with visible parallax, by seed.

    Of several places the one is taken whose first frame is composed best (`_composition`).
    """
    rng = np.random.default_rng([seed, 4])
    move = str(rng.choice(MOVES))
    focal = _lens(rng) / SENSOR * max(width, height)
    best, best_score = None, -math.inf
    for _ in range(_TRIES):
        view = _draw_view(world, rng, focal, height)
        score = _composition(world, view, width, height)
        if score > best_score:
            best, best_score = view, score
        if score > 0.75:
            break
    assert best is not None
    return _move(world, rng, best, move, frames, width, height)


def _lens(rng: np.random.Generator) -> float:
    """Millimetres, 12 to 200, log-uniform; four in five between 16 and 85."""
    low, high = (16.0, 85.0) if rng.random() < 0.8 else (12.0, 200.0)
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))


def _draw_view(world: World, rng: np.random.Generator, focal: float, height: int) -> _View:
    kind = world.attributes.kind
    low, high = _HEIGHTS[kind]
    x, y = rng.uniform(0, world.extent, 2)
    heading = rng.uniform(0, 2 * math.pi)
    if kind in _SUBJECTS and rng.random() < 0.75:
        x, y, heading = _facing_a_subject(world, rng, focal, height)
    if kind in _STANDS and rng.random() < 0.8:
        x, y = _place_on(world, rng, _STANDS[kind])
    rise = float(np.exp(rng.uniform(math.log(low), math.log(high))))
    if kind == "sky":
        z, pitch = rise, math.atan(rng.uniform(-0.25, 1.6) * height / focal)
        return _View(x, y, z, rng.uniform(0, 2 * math.pi), min(pitch, 1.2), 100.0, focal)
    blocked = world.ceiling is not None and ground(world, x, y) > 1.0
    z = rise if world.ceiling else ground(world, x, y) + rise
    clear = 0.0 if blocked else _clearance(world, x, y, z, heading)
    # The horizon's place in the frame, as a share of the height from its middle: never far outside it.
    horizon = rng.uniform(-0.24, 0.30) if rise < 20 else rng.uniform(0.0, 0.42)
    pitch = -math.atan(horizon * height / focal)
    return _View(x, y, z, heading, pitch, clear, focal)


def _place_on(world: World, rng: np.random.Generator, marks: tuple[int, ...]) -> tuple[float, float]:
    """A place (x, y) on one of some materials."""
    cells = np.flatnonzero(np.isin(world.material, marks))
    row, col = divmod(int(rng.choice(cells)), world.material.shape[1])
    cell = world.extent / world.material.shape[1]
    return (col + 0.5) * cell, (row + 0.5) * cell


def _facing_a_subject(world: World, rng: np.random.Generator, focal: float, height: int) -> tuple[float, float, float]:
    """A place (x, y) and heading from which a thing the kind is known by stands in the frame at a telling size."""
    n = world.material.shape[0]
    cell = world.extent / n
    marks, tall = _SUBJECTS[world.attributes.kind]
    col = row = 0
    for _ in range(200):
        row, col = (int(v) for v in rng.integers(0, n, 2))
        if world.material[row, col] in marks:
            break
    # As far off as makes it 20 to 80% of the frame's height.
    distance = tall * focal / height / rng.uniform(0.2, 0.8)
    distance = min(max(distance, 0.8 * tall), 0.3 * world.extent)
    heading = rng.uniform(0, 2 * math.pi)
    x, y = (col + 0.5) * cell - distance * math.cos(heading), (row + 0.5) * cell - distance * math.sin(heading)
    return x, y, heading + rng.normal(0, 0.12) * min(1.0, height / focal)


def _composition(world: World, view: _View, width: int, height: int) -> float:
    """How well a frame is filled, -1 … 1: some surface and some air, near and middle and far, no wall before the lens."""
    from .raymarch import exact_depth

    kind = world.attributes.kind
    if kind == "sky":
        return 1.0
    if view.clear == 0.0:
        return -2.0
    wide = 24
    tall = max(round(wide * height / width), 6)
    scale = wide / width
    K = np.array([[[view.focal * scale, 0, wide / 2], [0, view.focal * scale, tall / 2], [0, 0, 1]]])
    pose = look(np.array([view.x, view.y, view.z]), view.heading, view.pitch)
    # By what stands still: who walks past does not choose the view.
    still = replace(world, crown=None, movers=None)
    z = exact_depth(still, K, pose[None], wide, tall)[0]
    seen = np.isfinite(z)
    share = float(seen.mean())
    if share < 0.1:
        return -1.0 + share
    near, middle, far = np.percentile(z[seen], (5, 50, 95))
    enough = _ENOUGH.get(kind, 30.0)
    score = 0.25 * min(share / 0.3, 1.0) + 0.2 * min(math.log(far / near) / 2.0, 1.0) + 0.2 * min(middle / enough, 1.0)
    score += 0.15 * min(view.clear / enough, 1.0)
    if kind == "sea":
        return score + 0.2
    if kind == "interior":
        return score + 0.2 - 0.5 * (float((z < 1.2).mean()) > 0.3)
    score += 0.1 * (1 - share > 0.03)  # some sky
    # Steps in depth are the silhouettes that make a picture.
    inverse = np.where(seen, 1.0 / np.maximum(z, 1e-3), 0.0) * middle
    steps = float((np.abs(np.diff(inverse, axis=1)) > 0.25).mean() + (np.abs(np.diff(inverse, axis=0)) > 0.25).mean())
    return score + 0.1 * min(steps / 0.12, 1.0) - 0.5 * (float((z < 0.3 * enough).mean()) > 0.3)


def _move(world: World, rng: np.random.Generator, view: _View, move: str, frames: int, width: int, height: int) -> Path:
    """The track of a move from a view.  Travel is a share of the free way, so that near things pass and far ones hold."""
    clear, focal = view.clear, view.focal
    long = (frames - 1) / 8
    # A long lens shows small moves: keep what crosses the picture alike.
    calm = min(1.0, 1.1 * width / focal)
    travel = min(clear, 90.0) * rng.uniform(0.02, 0.12) * long * rng.choice([-1, 1]) * calm
    turn = math.radians(rng.uniform(1.5, 7.0)) * long * rng.choice([-1, 1]) * calm
    ease = np.linspace(0, 1, frames)
    if rng.random() < 0.4:
        ease = ease * ease * (3 - 2 * ease)
    shake = np.cumsum(rng.normal(0, 1, (frames, 3)), 0) * math.radians(0.12) * calm
    subject = max(0.7 * clear, 4.0)
    poses, Ks = [], []
    for t, k in enumerate(ease):
        p, h, q, r, f = np.array([view.x, view.y, view.z]), view.heading, view.pitch, 0.0, focal
        along, aside = np.array([math.cos(h), math.sin(h), 0]), np.array([math.sin(h), -math.cos(h), 0])
        if move == "dolly":
            p = p + along * abs(travel) * k
        elif move == "truck":
            p = p + aside * travel * 0.6 * k
        elif move == "crane":
            p, q = p + np.array([0, 0, abs(travel) * 0.5 * k]), q - 0.4 * abs(turn) * k
        elif move == "orbit":
            p, h = p + aside * travel * 0.6 * k, h + travel * 0.6 * k / subject
        elif move == "pan":
            h = h + turn * k
        elif move == "tilt":
            q = q + 0.5 * turn * k
        elif move == "handheld":
            p, h, q, r = p + along * abs(travel) * 0.4 * k, h + shake[t, 0], q + shake[t, 1], 0.5 * shake[t, 2]
        elif move == "zoom":
            f = focal * (1 + 0.25 * k * abs(turn) / 0.1)
        elif move == "dollyzoom":  # towards the subject while the lens widens, so that the subject keeps its size
            p, f = p + along * abs(travel) * k, focal * (1 - abs(travel) * k / (subject + abs(travel)))
        elif move == "drone":
            p = p + along * abs(travel) * k + np.array([0, 0, 0.25 * abs(travel) * k])
            h, r = h + 0.5 * turn * k, 0.3 * turn * k
        if world.ceiling:
            p[2] = min(p[2], world.ceiling.z - 0.3)
        p[2] = max(p[2], ground(world, p[0], p[1]) + (0.5 if world.ceiling else 1.2))
        poses.append(look(p, h, q, r))
        Ks.append([[f, 0, width / 2], [0, f, height / 2], [0, 0, 1]])
    return Path(move, np.array(Ks, np.float64), np.array(poses))


def _clearance(world: World, x: float, y: float, z: float, heading: float) -> float:
    """Free metres ahead at the camera's height, over three nearby headings."""
    out = 1e9
    first = 0.4 if world.ceiling else 1.0
    for turn in (-0.25, 0.0, 0.25):
        d = first
        while d < 150 and ground(world, x + d * math.cos(heading + turn), y + d * math.sin(heading + turn)) < z - 0.3:
            d *= 1.12
        out = min(out, d)
    return out
