"""Baking trees and buildings into a heightfield, with their material and a number that tells one from the next."""

from __future__ import annotations

from dataclasses import dataclass, field

import numba
import numpy as np
from numpy.typing import NDArray

from .materials import CONIFER, GROUND, TREE, WALL
from .noise import Field


@dataclass(frozen=True)
class Streets:
    """A grid of `count` streets each way, one every `pitch` metres from 0 on, `width` metres between the houses' blocks
    less a pavement of `walk` metres on each side."""

    count: int
    pitch: float
    width: float
    walk: float


@dataclass(eq=False)
class Draft:
    """A world being built.

    rng: its only source of chance; cell: metres a cell; height, simplified: [n, n] metres; material: [n, n] uint8;
    tone: [n, n] uint8, one number per tree, house or field, from which its colour is taken (128 where there is none);
    crown: [n, n] metres that a tree stands above its ground; streets: of a city.
    """

    rng: np.random.Generator
    cell: float
    height: Field
    simplified: Field
    material: NDArray[np.uint8] = field(init=False)
    tone: NDArray[np.uint8] = field(init=False)
    crown: Field = field(init=False)
    streets: Streets | None = None

    def __post_init__(self) -> None:
        self.height = np.ascontiguousarray(self.height, np.float32)
        self.simplified = np.ascontiguousarray(self.simplified, np.float32)
        self.material = np.full(self.height.shape, GROUND, np.uint8)
        self.tone = np.full(self.height.shape, 128, np.uint8)
        self.crown = np.zeros(self.height.shape, np.float32)

    @property
    def n(self) -> int:
        return self.height.shape[0]


@numba.njit(cache=True)
def _plant(height, material, tone, base, x, y, radius, tall, shape, mark, hue, ragged):
    """Bake trees (shape 0 cone, 1 dome) at cell positions into a periodic heightfield."""
    n = height.shape[0]
    for i in range(x.shape[0]):
        reach = int(radius[i]) + 1
        ground = base[int(y[i]) % n, int(x[i]) % n]
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                cx, cy = int(x[i]) + dx, int(y[i]) + dy
                d = np.sqrt((cx + 0.5 - x[i]) ** 2 + (cy + 0.5 - y[i]) ** 2) / radius[i]
                if d >= 1.0:
                    continue
                h = np.sin(cx * 12.9898 + cy * 78.233) * 43758.5453
                rough = ragged * (h - np.floor(h))
                if shape[i] == 0:
                    top = ground + tall[i] * (1.0 - d) * (1.0 - 0.5 * rough)
                else:
                    top = ground + tall[i] * (0.25 + 0.75 * np.sqrt(1.0 - d * d)) * (1.0 - rough)
                if top > height[cy % n, cx % n]:
                    height[cy % n, cx % n] = top
                    material[cy % n, cx % n] = mark[i]
                    tone[cy % n, cx % n] = hue[i]


@numba.njit(cache=True)
def _bake_boxes(height, material, tone, base, boxes, mark, hue, gable):
    """Bake boxes; rows are (x0, y0, x1, y1, wall, ridge) in cells and metres; gable adds a pitched roof."""
    n = height.shape[0]
    for i in range(boxes.shape[0]):
        x0, y0, x1, y1, wall, ridge = boxes[i]
        ground = base[int((y0 + y1) / 2) % n, int((x0 + x1) / 2) % n]
        for cy in range(int(y0), int(y1)):
            for cx in range(int(x0), int(x1)):
                top = ground + wall
                if gable:
                    across = (
                        abs((cy - (y0 + y1) / 2) / (y1 - y0))
                        if x1 - x0 > y1 - y0
                        else abs((cx - (x0 + x1) / 2) / (x1 - x0))
                    )
                    top += ridge * (1.0 - 2.0 * across)
                if top > height[cy % n, cx % n]:
                    height[cy % n, cx % n] = top
                    material[cy % n, cx % n] = mark
                    tone[cy % n, cx % n] = hue[i]


def scatter(
    draft: Draft, where: NDArray[np.bool_], count: int, radius: float, tall: float, conifers: float, kept: float = 0.6
) -> None:
    """Plant `count` trees where the mask allows; the blockout keeps a share of them as plainer ones.

    radius, tall: of a middling tree, metres; conifers: their share.
    """
    rng, n = draft.rng, draft.n
    y, x = rng.integers(0, n, (2, count * 3))
    keep = np.flatnonzero(where[y, x])[:count]
    x, y = x[keep] + rng.random(len(keep)), y[keep] + rng.random(len(keep))
    size = rng.uniform(0.65, 1.35, len(keep))
    conifer = rng.random(len(keep)) < conifers
    shape = np.where(conifer, 0, 1).astype(np.int64)
    mark = np.where(conifer, CONIFER, TREE).astype(np.uint8)
    hue = rng.integers(0, 256, len(keep)).astype(np.uint8)
    reach = radius * size / draft.cell
    base, base_simple = draft.height.copy(), draft.simplified.copy()
    wide = np.where(conifer, 0.8, 1.15)
    _plant(draft.height, draft.material, draft.tone, base, x, y, reach * wide, tall * size, shape, mark, hue, 0.22)
    np.maximum(draft.crown, draft.height - base, out=draft.crown)
    block = rng.random(len(keep)) < kept
    spare = np.zeros_like(draft.material)
    _plant(
        draft.simplified, spare, spare, base_simple, x[block], y[block], reach[block], tall * size[block] * 0.95,
        shape[block], mark[block], hue[block], 0.0,
    )  # fmt: skip


def build(
    draft: Draft,
    boxes: NDArray[np.float64],
    *,
    mark: int = WALL,
    gable: bool = False,
    blockout: bool | None = None,
    level: bool = True,
) -> None:
    """Bake boxes [B, 6] (x0, y0, x1, y1 in cells, wall and ridge in metres) into the world and its blockout.

    blockout: whether the blockout's boxes have gables too; None leaves the boxes out of the blockout.
    level: stand each on the ground as it is now; else on z = 0.
    """
    if not len(boxes):
        return
    hue = draft.rng.integers(0, 256, len(boxes)).astype(np.uint8)
    boxes = np.asarray(boxes, np.float64)
    flat = np.zeros_like(draft.height)
    ground, simple = (draft.height.copy(), draft.simplified.copy()) if level else (flat, flat)
    _bake_boxes(draft.height, draft.material, draft.tone, ground, boxes, mark, hue, gable)
    if blockout is not None:
        spare = np.zeros_like(draft.material)
        _bake_boxes(draft.simplified, spare, spare, simple, boxes, mark, hue, blockout)
