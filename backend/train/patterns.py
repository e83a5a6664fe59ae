"""What chance decided of a training clip's pattern, from the world it was rendered of (pipeline/pattern.py)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..pipeline.pattern import BAY, GLASS, STEEP, WALL, Pattern, hashed, pattern_channels
from . import materials
from .raymarch import trace_surfaces
from .world import World


def clip_pattern(
    world: World, depth: NDArray, K: NDArray, pose: NDArray, first: int = 0, astray: bool = False
) -> NDArray[np.float32]:
    """[T, P, H, W] of a clip of `world` with exact depth [T, H, W]; first: the number of its first frame; astray: the
    windows lie elsewhere than the world has them, as a seed's do on a wall whose windows an artist made."""
    count, height, width = depth.shape
    walls = None
    if has_windows(world):
        shown = trace_surfaces(world, K, pose, width, height, first=first)
        walls = house_bays(world.attributes.kind, shown.material, shown.tone)
        if astray:
            walls[..., 4:] = np.random.default_rng([world.seed, 13]).uniform(0.25, 0.75, 2)
    fields = Pattern(world.texture, world.cloud)
    numbers = first + np.arange(count)
    return pattern_channels(fields, depth, K, pose, frames=numbers, walls=walls, windows_on=STEEP, rounder_than=0.0)


def has_windows(world: World) -> bool:
    """Whether the world draws windows on its walls (surfaces.shade_surface)."""
    return world.attributes.kind in ("city", "village")


def house_bays(kind: str, material: NDArray[np.uint8], tone: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[T, H, W, BAY] bays of windows as albedo.facade draws them, by house; pattern.WALL where no wall is."""
    rows = np.zeros((256, BAY), np.float32)
    for number in range(256):
        ribbon = hashed(number, 1.0, 2.0) >= 0.75 or hashed(number, 9.0, 1.0) < 0.25
        if kind == "village":
            rows[number, :4] = 3.2, 3.1, 0.27, number
        else:
            rows[number, :4] = 3.0 + 1.4 * hashed(number, 2.0, 2.0), 3.3, 0.05 if ribbon else 0.27, number
    return np.where((material == materials.WALL)[..., None], rows[tone], np.asarray(WALL, np.float32))


def glazing(
    world: World, depth: NDArray, K: NDArray, pose: NDArray, upward: NDArray, marks: NDArray, tones: NDArray
) -> NDArray[np.float32]:
    """[T, H, W] share of each pixel that is a window in a wall, at any depth [T, H, W].

    upward, marks, tones [T, H, W]: the normal's upward part, the material and the house there.  Where a pixel covers
    more than a window it is the windows' share of the wall.
    """
    if not has_windows(world):
        return np.zeros(depth.shape, np.float32)
    bays = house_bays(world.attributes.kind, marks, tones)
    told = pattern_channels(
        Pattern(world.texture, world.cloud), depth, K, pose, walls=bays, windows_on=STEEP, rounder_than=0.0
    )[:, 3]
    covered = np.where(np.isfinite(depth), depth, 0.0) / K[:, :1, :1]  # metres, about
    near = np.clip(1.9 - 1.1 * covered, 0.0, 1.0)
    wall = (marks == materials.WALL) & (upward < STEEP)
    return (wall * (near * (told > 0) + (1.0 - near) * (1.0 - 2.0 * bays[..., 2]) * GLASS)).astype(np.float32)
