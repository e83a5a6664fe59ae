"""Render a World in scene-linear HDR with exact depth, on the processor's cores or a CUDA device.

A two-level height maximum lets a ray skip empty air exactly; near the surface it steps by a cell.  Shading is
sun with marched soft shadows, sky light, water with a Fresnel mirror, snow, foliage by season, lit windows at
night, exponential haze.  Colours are scene-linear Rec.709, exposed so that mid-grey is about 0.18 by day.

Legend: frames [T, H, W, 3], depth [T, H, W] camera-plane metres, cameras in OpenCV axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...protocol.errors import FarplaneError
from . import frames
from . import shading as at
from .light import make_light, make_wind
from .materials import KINDS
from .movers import stage
from .shading import COARSE, Scene
from .unseen import LOOKS_LIKE
from .world import Attributes, Ceiling, World

_OFFSETS = np.array([[0.25, 0.75], [0.75, 0.25], [0.25, 0.25], [0.75, 0.75]])


class Loops(Protocol):
    """The loops over pixels: frames.py on the processor, device.py on CUDA."""

    def shade_frames(self, scene: Scene, width: int, height: int) -> NDArray[np.float32]: ...
    def depth_frames(self, scene: Scene, width: int, height: int) -> NDArray[np.float32]: ...
    def surface_frames(
        self, scene: Scene, depth: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int32]]: ...
    def fall_frames(
        self, frames: NDArray[np.float32], fall: int, bright: NDArray, seed: float, times: NDArray
    ) -> None: ...


def loops(device: str) -> Loops:
    """The loops of a device, cpu or cuda; FarplaneError where there is none."""
    if device == "cpu":
        return frames
    if device != "cuda":
        raise FarplaneError("device", f"the world is rendered on cpu or cuda, not on {device}", "Give one of the two.")
    from . import device as cuda_loops

    cuda_loops.require_device()
    return cuda_loops


STEP = 1 / 24  # seconds between frames


def render(
    world: World,
    K: NDArray,
    world_from_camera: NDArray,
    width: int,
    height: int,
    samples: int = 2,
    time_step: float = STEP,
    *,
    first: int = 0,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Frames [T, H, W, 3] of a camera track; samples 1 … 4 a pixel; time_step: seconds between frames, for all that
    moves by itself; first: the shot's number of the first of these frames; device: cpu or cuda."""
    run = loops(device)
    light = make_light(world.attributes, world.seed)
    times = (first + np.arange(len(K), dtype=np.float64)) * time_step
    scene = scene_of(world, K, world_from_camera, width, height, times, samples=samples)
    linear = run.shade_frames(scene, width, height)
    if light.fall:
        bright = 1.3 * light.horizon + 0.3 * light.zenith
        run.fall_frames(linear, light.fall, bright, float(world.seed % 997), times)
    return linear


def scene_of(
    world: World,
    K: NDArray,
    world_from_camera: NDArray,
    width: int,
    height: int,
    times: NDArray[np.float64],
    *,
    simplified: bool = False,
    samples: int = 1,
) -> Scene:
    """What the loops read; times: seconds of the frames; simplified: the blockout, still but for the movers it has."""
    light = make_light(world.attributes, world.seed)
    heights = world.simplified if simplified else world.height
    kind, params = world.attributes.kind, np.zeros((len(K), at.PARAMS))
    for place, value in (
        (at.HAZE, light.haze), (at.VEIL, light.veil), (at.COVER, light.cover), (at.LAMPS, light.lamps),
        (at.STARS, light.stars), (at.STORM, light.storm), (at.WET, light.wet), (at.WINTER, light.winter),
        (at.AUTUMN, light.autumn), (at.DISC, light.disc), (at.DISC_SIZE, light.disc_size), (at.SEA, world.sea),
        (at.KIND, KINDS.index(LOOKS_LIKE.get(kind, kind))), (at.STYLE, world.style), (at.BAY, 1.0), (at.NOW, times),
        (at.PAINT, world.paint),
    ):  # fmt: skip
        params[:, place] = value
    if world.ceiling:
        params[:, at.CEILING_Z], params[:, at.BAY] = world.ceiling.z, world.ceiling.bay
        params[:, at.SKYLIGHT] = world.ceiling.skylight
    rim, crown = 1, np.zeros((1, 1), np.uint8)
    if world.crown is not None and not simplified:
        crown, wind = world.crown, make_wind(world.attributes, world.seed)
        params[:, [at.WIND_X, at.WIND_Y]] = wind
        furthest = math.hypot(*wind) * at.CROWN_STEP * float(crown.max())
        rim += math.ceil(furthest * heights.shape[0] / world.extent)
    movers = world.movers.as_boxes() if simplified and world.movers is not None else world.movers
    if world.structures is not None:
        assert movers is None, "a part's number tells one mover from another only within one set of them"
        movers = world.structures.chosen(world.structures.kept) if simplified else world.structures
    pose = np.ascontiguousarray(world_from_camera, np.float64)
    staged = stage(movers, times, K, pose, width, height, world.extent, light.sun)
    return Scene(
        heights, block_maximum(heights, rim), float(heights.max()), world.material, world.tone, world.texture,
        world.cloud, world.extent, np.stack([light.sun, light.sun_colour, light.zenith, light.horizon]), params,
        np.linalg.inv(K), pose, np.array([[0.5, 0.5]]) if samples == 1 else _OFFSETS[:samples], crown,
        staged.entries, staged.parts, staged.looks, staged.numbers, staged.kinds,
    )  # fmt: skip


def blockout_depth(
    world: World,
    K: NDArray,
    world_from_camera: NDArray,
    width: int,
    height: int,
    time_step: float = STEP,
    *,
    first: int = 0,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Depth [T, H, W] of the simplified world: what an artist's blockout would give.  Most vehicles and half of the
    figures are boxes in it, the others are left out."""
    times = (first + np.arange(len(K), dtype=np.float64)) * time_step
    scene = scene_of(world, K, world_from_camera, width, height, times, simplified=True)
    return loops(device).depth_frames(scene, width, height)


def exact_depth(
    world: World,
    K: NDArray,
    world_from_camera: NDArray,
    width: int,
    height: int,
    time_step: float = STEP,
    *,
    first: int = 0,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Depth [T, H, W] of the world itself."""
    times = (first + np.arange(len(K), dtype=np.float64)) * time_step
    return loops(device).depth_frames(scene_of(world, K, world_from_camera, width, height, times), width, height)


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What each pixel's centre shows: depth [T, H, W] camera-plane metres (inf: nothing); normal [T, H, W, 3] world
    axes, unit length (0: nothing), over a pixel's width; material [T, H, W] uint8 of materials.py, NOTHING for the sky;
    tone [T, H, W] uint8, the number of the tree, house or field (0 for water, ceilings and sky): with the material it
    is the object's mask; part [T, H, W] int32, which of world.movers' or structures' parts it is, -1 for all else; times
    [T] seconds."""

    depth: NDArray[np.float32]
    normal: NDArray[np.float32]
    material: NDArray[np.uint8]
    tone: NDArray[np.uint8]
    part: NDArray[np.int32]
    times: NDArray[np.float64]

    def mover(self, world: World) -> NDArray[np.int32]:
        """Number [T, H, W] of the vehicle or figure that a pixel shows, -1 for all else."""
        if world.movers is None:
            return np.full_like(self.part, -1)
        return np.where(self.part >= 0, world.movers.owner[self.part], -1).astype(np.int32)


def trace_surfaces(
    world: World,
    K: NDArray,
    world_from_camera: NDArray,
    width: int,
    height: int,
    time_step: float = STEP,
    *,
    first: int = 0,
    device: str = "cpu",
) -> Surfaces:
    """Exact depth, normals and object masks of the world itself."""
    run = loops(device)
    times = (first + np.arange(len(K), dtype=np.float64)) * time_step
    scene = scene_of(world, K, world_from_camera, width, height, times)
    depth = run.depth_frames(scene, width, height)
    return Surfaces(depth, *run.surface_frames(scene, depth), times)


def block_maximum(height: NDArray[np.float32], rim: int = 1) -> NDArray[np.float32]:
    """Largest height of each COARSE x COARSE block and of `rim` cells around it: one for bilinear sampling, more where
    the wind may carry what stands there into the block."""
    for axis in (0, 1):
        n = height.shape[axis]
        index = (np.arange(0, n, COARSE)[:, None] + np.arange(-rim, COARSE + rim)) % n
        height = np.take(height, index.ravel(), axis)
        split = (*height.shape[:axis], -1, COARSE + 2 * rim, *height.shape[axis + 1 :])
        height = height.reshape(split).max(axis + 1)
    return height


def trace_depth(
    heights: NDArray[np.float32],
    extent: float,
    sea: bool,
    K: NDArray,
    world_from_camera: NDArray,
    width: int,
    height: int,
    ceiling: Ceiling | None = None,
) -> NDArray[np.float32]:
    """Camera-plane depth [T, H, W] at pixel centres of any periodic heightfield, inf where nothing is hit.

    sea: with a plane at z = 0; ceiling: with a level plane above, open at its skylights.
    """
    none = np.zeros((1, 1), np.uint8)
    noise = np.zeros((1, 1), np.float32)
    bare = World(
        0, Attributes(KINDS[0], "noon", "clear", "summer"), extent, heights, heights, none, none, sea, noise, noise,
        0.0, ceiling,
    )  # fmt: skip
    return exact_depth(bare, K, world_from_camera, width, height)
