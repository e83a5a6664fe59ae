"""What the materials of a blockout say of a world's colours: the base colour that a shot sends (shot.Shot.base_colour).

An artist gives a house one colour, all firs another, and the meadow a third, roughly; some paint the season, some
leave things as they are, a few use textures.  So the world's own albedo is told, coarsened as a clip's seed draws.

Legend: T frames, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..pipeline.colour import srgb_encode
from . import frames
from . import shading as at
from .materials import CONIFER, FIELD, GROUND, ICE, NOTHING, ROCK, SAND, SNOW, TREE, WALL
from .raymarch import STEP, loops, scene_of
from .world import World

MATERIALS = 18
OPEN_GROUND = (GROUND, ROCK, SAND, FIELD, SNOW, ICE)
MISSING = 1.5  # metres that a tree stands above the blockout where the blockout has none


@dataclass(frozen=True)
class Manner:
    """How an artist colours a blockout.

    seasonal: as the season has it, else as in summer; textured: with the grain of the surface, else one colour to an
    object; one_ground: all open ground as the commonest of it; one_tree, one_house: all trees, all houses alike, of
    this number, or -1; roofs: in a colour of their own; gain [MATERIALS, 3]: of each material's colour; silent
    [MATERIALS]: left without one.
    """

    seasonal: bool = False
    textured: bool = False
    one_ground: bool = True
    one_tree: int = 128
    one_house: int = -1
    roofs: bool = True
    gain: NDArray[np.float64] = field(default_factory=lambda: np.ones((MATERIALS, 3)))
    silent: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(MATERIALS, bool))

    @staticmethod
    def of_seed(seed: int) -> Manner:
        """One for a clip of the training; Manner() itself is what evaluations tell."""
        rng = np.random.default_rng([seed, 11])
        seasonal, textured, ground, trees, houses, walls = rng.random(6) < (0.4, 0.3, 0.5, 0.6, 0.2, 0.15)
        tree, house = rng.integers(256, size=2)
        light, tint = rng.normal(0.0, 0.25, (MATERIALS, 1)), rng.normal(0.0, 0.1, (MATERIALS, 3))
        return Manner(
            seasonal=bool(seasonal),
            textured=bool(textured),
            one_ground=bool(ground),
            one_tree=int(tree) if trees else -1,
            one_house=int(house) if houses else -1,
            roofs=not walls,
            gain=np.exp(light + tint),
            silent=(rng.random(MATERIALS) < 0.25) & (rng.random() < 0.3),
        )

    @staticmethod
    def of_world(world: World) -> Manner:
        """That of a world of the training.  What an artist painted in a hue of its own is told as it is, but for a little
        of lightness and tint that all has in common, or there would be nothing to learn from it."""
        manner = Manner.of_seed(world.seed)
        if not world.paint:
            return manner
        return Manner(
            seasonal=manner.seasonal,
            textured=manner.textured,
            one_ground=False,
            one_tree=-1,
            gain=np.repeat(manner.gain[:1] ** 0.4, MATERIALS, 0),
        )


def told_colours(
    world: World,
    depth: NDArray[np.float32],
    K: NDArray,
    pose: NDArray,
    manner: Manner,
    *,
    simplified: bool,
    first: int = 0,
    device: str = "cpu",
) -> NDArray[np.uint8]:
    """[T, H, W, 4] base colours at a depth [T, H, W] of the world, or of its blockout (`simplified`); sRGB code, and
    255 where told; first: the number of the first frame; device: as for raymarch.trace_surfaces."""
    times = (first + np.arange(len(K), dtype=np.float64)) * STEP
    height, width = depth.shape[1:]
    scene = scene_of(world, K, pose, width, height, times, simplified=simplified)
    if simplified:
        scene = scene._replace(material=_without_missing_trees(world))
    params = scene.params.copy()
    params[:, at.WET] = 0.0
    if not manner.seasonal:
        params[:, [at.WINTER, at.AUTUMN]] = 0.0
    scene = scene._replace(params=params)
    normal, marks, tones, parts = loops(device).surface_frames(scene, depth)
    normal, marks, tones = _coarsened(normal, marks, tones, manner)
    albedo = frames.base_frames(scene, depth, normal, marks, tones, parts, manner.textured)
    nothing = marks == NOTHING
    index = np.where(nothing, 0, marks)
    told = ~(nothing | manner.silent[index]) & np.isfinite(albedo).all(-1)
    chosen = np.where(told[..., None], np.clip(albedo * manner.gain[index], 0.0, 1.0), 0.0).astype(np.float32)
    code = np.round(255.0 * srgb_encode(chosen))
    out = np.concatenate([np.where(told[..., None], code, 0.0), 255.0 * told[..., None]], -1)
    return out.astype(np.uint8)


def _coarsened(
    normal: NDArray[np.float32], marks: NDArray[np.uint8], tones: NDArray[np.uint8], manner: Manner
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
    """Surfaces as the artist tells them apart."""
    ground, walls = np.isin(marks, OPEN_GROUND), marks == WALL
    if manner.one_ground and ground.any():
        marks = np.where(ground, np.bincount(marks[ground]).argmax().astype(np.uint8), marks)
        normal = np.where(ground[..., None], np.array([0, 0, 1], np.float32), normal)
    for alike, number in (((marks == TREE) | (marks == CONIFER), manner.one_tree), (walls, manner.one_house)):
        if number >= 0:
            tones = np.where(alike, np.uint8(number), tones)
    if not manner.roofs:
        normal = np.where(walls[..., None], np.array([1, 0, 0], np.float32), normal)
    return np.ascontiguousarray(normal), np.ascontiguousarray(marks), np.ascontiguousarray(tones)


def _without_missing_trees(world: World) -> NDArray[np.uint8]:
    """The material map of the blockout: ground where it leaves a tree out."""
    lacking = world.height - world.simplified > MISSING
    tree = (world.material == TREE) | (world.material == CONIFER)
    return np.where(lacking & tree, np.uint8(GROUND), world.material)
