"""What chance decided of a training clip's pattern, from the world it was rendered of (pipeline/pattern.py)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..pipeline.pattern import STEEP, WALL, Pattern, hashed, pattern_channels
from . import materials
from .raymarch import trace_surfaces
from .world import World


def clip_pattern(world: World, depth: NDArray, K: NDArray, pose: NDArray, first: int = 0) -> NDArray[np.float32]:
    """[T, P, H, W] of a clip of `world` with exact depth [T, H, W]; first: the number of its first frame."""
    count, height, width = depth.shape
    walls = None
    if world.attributes.kind in ("city", "village"):
        shown = trace_surfaces(world, K, pose, width, height, first=first)
        walls = house_bays(world.attributes.kind, shown.material, shown.tone)
    fields = Pattern(world.texture, world.cloud)
    numbers = first + np.arange(count)
    return pattern_channels(fields, depth, K, pose, frames=numbers, walls=walls, windows_on=STEEP, rounder_than=0.0)


def house_bays(kind: str, material: NDArray[np.uint8], tone: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[T, H, W, 4] bays of windows as albedo.facade draws them, by house; pattern.WALL where no wall is."""
    rows = np.empty((256, 4), np.float32)
    for number in range(256):
        ribbon = hashed(number, 1.0, 2.0) >= 0.75 or hashed(number, 9.0, 1.0) < 0.25
        if kind == "village":
            rows[number] = 3.2, 3.1, 0.27, number
        else:
            rows[number] = 3.0 + 1.4 * hashed(number, 2.0, 2.0), 3.3, 0.05 if ribbon else 0.27, number
    return np.where((material == materials.WALL)[..., None], rows[tone], np.asarray(WALL, np.float32))
