"""The motion of what each pixel shows, in space: known, because the world knows where everything goes.

Vehicles, figures and their limbs turn and travel as their parts do; leaves go where the wind takes them; all else rests.
Water and clouds change their pattern and have no motion here: their surfaces stay where they are.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from .light import make_wind
from .raymarch import Surfaces
from .shading import bend
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
        out[still, :2] = _blown(world.crown, cell, x, y, now, seconds, *make_wind(world.attributes, world.seed))
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


@numba.njit(cache=True)
def _blown(crown, cell, xs, ys, now, later, wind_x, wind_y):
    """Metres [P, 2] that points of the bent surface travel between two times."""
    out = np.zeros((xs.shape[0], 2))
    for k in range(xs.shape[0]):
        bx, by = bend(crown, cell, xs[k], ys[k], now, wind_x, wind_y)
        if bx == 0.0 and by == 0.0:
            continue
        rx, ry = xs[k] - bx, ys[k] - by  # where it hangs in still air
        x, y = xs[k], ys[k]
        for _ in range(
            12
        ):  # the place whose bend comes from there: a fixed point, since treetops bend less than they lean
            bx, by = bend(crown, cell, x, y, later, wind_x, wind_y)
            x, y = rx + bx, ry + by
        out[k, 0], out[k, 1] = x - xs[k], y - ys[k]
    return out
