"""Render a World in scene-linear HDR with exact depth, on CPU threads.

A two-level height maximum lets a ray skip empty air exactly; near the surface it steps by a cell.  Shading is
sun with marched soft shadows, sky light, water with a Fresnel mirror, snow, foliage by season, lit windows at
night, exponential haze.  Colours are scene-linear Rec.709, exposed so that mid-grey is about 0.18 by day.

Legend: frames [T, H, W, 3], depth [T, H, W] camera-plane metres, cameras in OpenCV axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import shading as at
from .frames import depth_frames, precipitation, shade_frames, surface_frames
from .light import Light, make_light
from .materials import KINDS
from .shading import COARSE
from .world import Ceiling, World

_OFFSETS = np.array([[0.25, 0.75], [0.75, 0.25], [0.25, 0.25], [0.75, 0.75]])


def render(
    world: World,
    K: NDArray,
    world_from_camera: NDArray,
    width: int,
    height: int,
    samples: int = 2,
    time_step: float = 1 / 24,
) -> NDArray[np.float32]:
    """Frames [T, H, W, 3] of a camera track; samples 1 … 4 a pixel; time_step: seconds between frames, for water,
    clouds, rain and snow (nothing that has depth moves)."""
    light = make_light(world.attributes, world.seed)
    offsets = np.array([[0.5, 0.5]]) if samples == 1 else _OFFSETS[:samples]
    lights = np.stack([light.sun, light.sun_colour, light.zenith, light.horizon])
    frames = shade_frames(
        world.height, block_maximum(world.height), float(world.height.max()), world.material, world.tone,
        world.texture, world.cloud, world.extent, lights, _params(world, light), np.linalg.inv(K),
        np.ascontiguousarray(world_from_camera, np.float64), width, height, offsets, time_step,
    )  # fmt: skip
    if light.fall:
        bright = 1.3 * light.horizon + 0.3 * light.zenith
        precipitation(frames, light.fall, bright, float(world.seed % 997), time_step)
    return frames


def _params(world: World, light: Light) -> NDArray[np.float64]:
    params = np.zeros(at.PARAMS)
    params[at.HAZE], params[at.VEIL], params[at.COVER] = light.haze, light.veil, light.cover
    params[at.LAMPS], params[at.STARS], params[at.STORM] = light.lamps, light.stars, light.storm
    params[at.WET], params[at.WINTER], params[at.AUTUMN] = light.wet, light.winter, light.autumn
    params[at.DISC], params[at.DISC_SIZE] = light.disc, light.disc_size
    params[at.SEA], params[at.KIND] = world.sea, KINDS.index(world.attributes.kind)
    params[at.STYLE] = world.style
    params[at.CEILING_Z], params[at.BAY], params[at.SKYLIGHT] = _ceiling_values(world.ceiling)
    return params


def _ceiling_values(ceiling: Ceiling | None) -> tuple[float, float, float]:
    return (ceiling.z, ceiling.bay, ceiling.skylight) if ceiling else (0.0, 1.0, 0.0)


def blockout_depth(
    world: World, K: NDArray, world_from_camera: NDArray, width: int, height: int
) -> NDArray[np.float32]:
    """Depth [T, H, W] of the simplified world: what an artist's blockout would give."""
    return trace_depth(world.simplified, world.extent, world.sea, K, world_from_camera, width, height, world.ceiling)


def exact_depth(world: World, K: NDArray, world_from_camera: NDArray, width: int, height: int) -> NDArray[np.float32]:
    """Depth [T, H, W] of the world itself."""
    return trace_depth(world.height, world.extent, world.sea, K, world_from_camera, width, height, world.ceiling)


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What each pixel's centre shows: depth [T, H, W] camera-plane metres (inf: nothing); normal [T, H, W, 3] world
    axes, unit length (0: nothing), over a pixel's width; material [T, H, W] uint8 of materials.py, NOTHING for the sky;
    tone [T, H, W] uint8, the number of the tree, house or field (0 for water, ceilings and sky): with the material it
    is the object's mask."""

    depth: NDArray[np.float32]
    normal: NDArray[np.float32]
    material: NDArray[np.uint8]
    tone: NDArray[np.uint8]


def trace_surfaces(world: World, K: NDArray, world_from_camera: NDArray, width: int, height: int) -> Surfaces:
    """Exact depth, normals and object masks of the world itself."""
    depth = exact_depth(world, K, world_from_camera, width, height)
    normal, material, tone = surface_frames(
        world.height, world.material, world.tone, world.extent, float(world.sea), _ceiling_values(world.ceiling)[0],
        np.linalg.inv(K), np.ascontiguousarray(world_from_camera, np.float64), depth,
    )  # fmt: skip
    return Surfaces(depth, normal, material, tone)


def block_maximum(height: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest height of each COARSE x COARSE block and its one-cell rim (bilinear sampling reads the rim)."""
    n = height.shape[0]
    rim = height
    for axis in (0, 1):
        rim = np.maximum(np.maximum(rim, np.roll(rim, 1, axis)), np.roll(rim, -1, axis))
    return rim.reshape(n // COARSE, COARSE, n // COARSE, COARSE).max((1, 3))


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
    return depth_frames(
        heights, block_maximum(heights), float(heights.max()), extent, float(sea), *_ceiling_values(ceiling),
        np.linalg.inv(K), np.ascontiguousarray(world_from_camera, np.float64), width, height,
    )  # fmt: skip
