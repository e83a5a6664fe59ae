"""Procedural worlds: what farplane-s is trained on.

A world is a periodic heightfield (terrain, trees and buildings baked in) with a material per cell, a light
(time of day, weather) and a season.  Everything follows from one integer seed; nothing is read from disk, so
every training frame has one ledger row: this folder.  ``simplified`` gives the same world as an artist would
block it out: smooth hills for mountains, plain boxes for houses, small things missing.

Legend: n cells a side, L metres a side, heights in metres, arrays indexed [row = y, column = x].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import landforms, places, unseen
from .baking import Draft
from .landforms import CELLS
from .materials import CONIFER, KINDS, SEASONS, TIMES, TREE, WEATHERS, WITHOUT_SEASON
from .movers import Movers
from .noise import Field, fractal_noise
from .shading import CROWN_STEP
from .traffic import make_movers

# Metres a side: a street needs half-metre cells, a mountain range does not.
EXTENT = {
    "alpine": 4000.0, "desert": 1500.0, "canyon": 1300.0, "coast": 1700.0, "sea": 1500.0, "hills": 1400.0,
    "forest": 620.0, "arctic": 1200.0, "village": 640.0, "city": 560.0, "ruins": 300.0, "interior": 72.0, "sky": 1000.0,
    "quarry": 540.0, "harbour": 512.0,
}  # fmt: skip
WIDEST_CELL = 2.0  # metres: in wider cells a tree's sway is lost
WITH_WATER = ("coast", "sea", "arctic", "harbour")


@dataclass(frozen=True)
class Attributes:
    """What a prompt may say of a world."""

    kind: str
    time: str
    weather: str
    season: str


@dataclass(frozen=True)
class Ceiling:
    """A level ceiling over the whole world: height z in metres; bays of `bay` metres a side, each with a lamp and, if
    `skylight` > 0, a square opening to the sky of that share of the bay's side."""

    z: float
    bay: float
    skylight: float


@dataclass(frozen=True, eq=False)
class World:
    """height, simplified: [n, n] float32 metres; material, tone: [n, n] uint8 (materials.py; a number per object);
    extent: metres a side (periodic); sea: has a water plane at z = 0; texture: [256, 256] float32 unit-variance noise
    for surface detail; cloud: [512, 512] float32 unit-variance noise; style: 0 … 1, picks among a kind's palettes;
    crown: [n, n] uint8, how high trees stand, in CROWN_STEP, None where none sways; movers: None where nothing goes;
    structures: what stands beside the heightfield (structures.py), only in worlds without movers; paint: a number by
    which things have other hues than nature's, 0: none has."""

    seed: int
    attributes: Attributes
    extent: float
    height: Field
    simplified: Field
    material: NDArray[np.uint8]
    tone: NDArray[np.uint8]
    sea: bool
    texture: Field
    cloud: Field
    style: float
    ceiling: Ceiling | None
    crown: NDArray[np.uint8] | None = None
    movers: Movers | None = None
    structures: Movers | None = None
    paint: int = 0


def random_attributes(seed: int, kinds: tuple[str, ...] = KINDS) -> Attributes:
    """Attributes drawn evenly and independently, so that no word predicts another."""
    rng = np.random.default_rng([seed, 1])
    return Attributes(
        kind=str(rng.choice(kinds)),
        time=str(rng.choice(TIMES)),
        weather=str(rng.choice(WEATHERS)),
        season=str(rng.choice(SEASONS)),
    )


def make_world(seed: int, attributes: Attributes | None = None) -> World:
    """Build the world of a seed; `attributes` overrides the drawn ones but not the geometry's randomness."""
    attributes = attributes or random_attributes(seed)
    rng = np.random.default_rng([seed, 2])
    kind, extent = attributes.kind, EXTENT[attributes.kind]
    ceiling = _ceiling(rng, extent) if kind == "interior" else None
    draft, structures = _draft(kind, rng, extent / CELLS, ceiling)
    return World(
        seed=seed,
        attributes=attributes,
        extent=extent,
        height=draft.height,
        simplified=draft.simplified,
        material=draft.material,
        tone=draft.tone,
        sea=kind in WITH_WATER,
        texture=fractal_noise(rng, 256, 1.1),
        cloud=fractal_noise(rng, 512, 2.6),
        style=float(rng.random()),
        ceiling=ceiling,
        crown=_crown(draft) if draft.crown.any() and extent / CELLS < WIDEST_CELL else None,
        movers=make_movers(np.random.default_rng([seed, 6]), kind, draft),
        structures=structures,
    )


def _crown(draft: Draft) -> NDArray[np.uint8]:
    """Heights of trees in CROWN_STEP."""
    trees = np.where((draft.material == TREE) | (draft.material == CONIFER), draft.crown, 0.0)
    return np.clip(np.round(trees / CROWN_STEP), 0, 255).astype(np.uint8)


def _ceiling(rng: np.random.Generator, extent: float) -> Ceiling:
    """A room's at 2.6 … 3.6 m, or a hall's, twice as high."""
    z = rng.uniform(2.6, 3.6) * (1.0 if rng.random() < 0.5 else 2.2)
    bay = extent / round(extent / rng.uniform(3.5, 6.0))
    return Ceiling(float(z), float(bay), float(rng.uniform(0.25, 0.6)) if rng.random() < 0.5 else 0.0)


def _draft(kind: str, rng: np.random.Generator, cell: float, ceiling: Ceiling | None) -> tuple[Draft, Movers | None]:
    if kind in unseen.BUILDERS:
        return unseen.BUILDERS[kind](rng, cell)
    if kind == "interior":
        assert ceiling is not None
        return places.interior(rng, cell, ceiling.z), None
    builder = getattr(places if kind in ("village", "city") else landforms, kind)
    return builder(rng, cell), None


__all__ = [
    "CELLS", "EXTENT", "KINDS", "SEASONS", "TIMES", "WEATHERS", "WITHOUT_SEASON",
    "Attributes", "Ceiling", "World", "make_world", "random_attributes",
]  # fmt: skip
