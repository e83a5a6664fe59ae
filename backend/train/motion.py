"""The motion of what each pixel shows, in space: known, because the world knows where everything goes.

Vehicles, figures and their limbs turn and travel as their parts do; leaves go where the wind takes them; all else rests.
Water and clouds change their pattern and have no motion here: their surfaces stay where they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .frames import blown_points
from .light import make_wind
from .raymarch import Surfaces
from .world import World


def world_points(depth: NDArray, K: NDArray, world_from_camera: NDArray) -> NDArray[np.float64]:
    """Points [H, W, 3] in the world at a frame's camera-plane depth [H, W], at pixel centres; not finite in the sky."""
    v, u = np.meshgrid(np.arange(depth.shape[0]) + 0.5, np.arange(depth.shape[1]) + 0.5, indexing="ij")
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K).T
    with np.errstate(invalid="ignore"):
        return (rays * depth[..., None].astype(np.float64)) @ world_from_camera[:3, :3].T + world_from_camera[:3, 3]


def scene_flow(
    world: World, surfaces: Surfaces, K: NDArray, world_from_camera: NDArray, frame: int, seconds: float
) -> NDArray[np.float64]:
    """Metres [H, W, 3], world axes, that the point at each pixel of a frame travels from its time to time `seconds`.

    surfaces: of trace_surfaces with the same cameras.  Zero in the sky.
    """
    depth, part, now = surfaces.depth[frame], surfaces.part[frame], float(surfaces.times[frame])
    points = world_points(depth, K[frame], world_from_camera[frame])
    out = np.zeros_like(points)
    still = np.isfinite(depth) & (part < 0)
    if world.crown is not None:
        x, y = np.ascontiguousarray(points[still][:, :2].T)
        cell = world.extent / world.height.shape[0]
        out[still, :2] = blown_points(world.crown, cell, x, y, now, seconds, *make_wind(world.attributes, world.seed))
    moving = part >= 0
    if world.movers is not None and moving.any():
        before, after = world.movers.part_poses(np.array([now, seconds]))
        which = part[moving]
        # The nearest copy in the periodic world is what the camera sees.
        middle = before[which, :3, 3]
        copy = np.zeros_like(middle)
        copy[:, :2] = world.extent * np.round((points[moving][:, :2] - middle[:, :2]) / world.extent)
        local = np.einsum("pji,pj->pi", before[which, :3, :3], points[moving] - copy - middle)
        out[moving] = np.einsum("pij,pj->pi", after[which, :3, :3], local) + after[which, :3, 3] + copy - points[moving]
    return out
