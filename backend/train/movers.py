"""Vehicles and walking figures: simple solids beside the heightfield, whose motion is known.

They are drawn from a random stream of their own: a seed's terrain, light, camera and words stay what they were without
them.  A mover goes straight along its free way and stands at its end.  Frames of reference: a mover's origin is on the
ground under it, x ahead, y to its left, z up; a part's origin is its joint or its centre (solids.py).

Legend: M movers, P parts of all of them, T times in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .materials import FIGURE, VEHICLE

SEEN_AS = {VEHICLE: "cars", FIGURE: "people"}  # the words' names in prompts.py
STRIDE = 1.45  # metres of two steps of a person 1.75 m tall


@dataclass(frozen=True, eq=False)
class Movers:
    """What moves by itself in a world.

    kind [M] uint8: VEHICLE or FIGURE; start [M, 3] metres at time 0; climb [M] metres up a metre ahead; heading [M]
    radians from +x; speed [M] m/s; way [M] metres until it stands; stride [M] metres of a cycle of its limbs;
    half [M, 3] and the blockout's boxes: half sizes; kept [M]: whether an artist's blockout has it;
    owner [P] the mover of a part, in order; parent [P] another part, or -1; joint [P, 3] in the mover's axes or those
    of the parent; swing [P, 4]: the turn about y is a + b sin(2 pi s / stride + c) + d s after s metres;
    shape [P], size [P, 6], look [P, 4] as in solids.py.
    """

    kind: NDArray[np.uint8]
    start: NDArray[np.float64]
    climb: NDArray[np.float64]
    heading: NDArray[np.float64]
    speed: NDArray[np.float64]
    way: NDArray[np.float64]
    stride: NDArray[np.float64]
    half: NDArray[np.float64]
    kept: NDArray[np.bool_]
    owner: NDArray[np.int64]
    parent: NDArray[np.int64]
    joint: NDArray[np.float64]
    swing: NDArray[np.float64]
    shape: NDArray[np.int64]
    size: NDArray[np.float64]
    look: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.kind)

    def travelled(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Metres [T, M] gone along the way."""
        return np.minimum(self.speed[None] * np.asarray(times, np.float64)[:, None], self.way[None])

    def positions(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Origins [T, M, 3], not brought back into the world's period."""
        ahead = np.stack([np.cos(self.heading), np.sin(self.heading), self.climb], -1)
        return self.start[None] + self.travelled(times)[..., None] * ahead[None]

    def poses(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """world_from_mover [T, M, 4, 4]."""
        out = np.zeros((len(times), len(self), 4, 4))
        c, s = np.cos(self.heading), np.sin(self.heading)
        out[..., 0, 0], out[..., 0, 1], out[..., 1, 0], out[..., 1, 1] = c, -s, s, c
        out[..., 2, 2] = out[..., 3, 3] = 1.0
        out[..., :3, 3] = self.positions(times)
        return out

    def part_poses(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """world_from_part [T, P, 4, 4]."""
        gone = self.travelled(times)[:, self.owner]
        a, b, c, d = self.swing.T
        turn = a + b * np.sin(2 * np.pi * gone / self.stride[self.owner] + c) + d * gone
        local = np.zeros((*turn.shape, 4, 4))
        local[..., 0, 0] = local[..., 2, 2] = np.cos(turn)
        local[..., 0, 2], local[..., 2, 0] = -np.sin(turn), np.sin(turn)  # a positive turn swings a leg forward
        local[..., 1, 1] = local[..., 3, 3] = 1.0
        local[..., :3, 3] = self.joint
        out = self.poses(times)[:, self.owner] @ local
        deeper = np.flatnonzero(self.parent >= 0)
        for q in deeper[np.argsort(self._depth()[deeper], kind="stable")]:
            out[:, q] = out[:, self.parent[q]] @ local[:, q]
        return out

    def _depth(self) -> NDArray[np.int64]:
        """How many parents each part has [P]."""
        depth, up = np.zeros(len(self.parent), np.int64), self.parent.copy()
        while (up >= 0).any():
            depth += up >= 0
            up = np.where(up >= 0, self.parent[up], -1)
        return depth

    def chosen(self, keep: NDArray[np.bool_]) -> Movers:
        """Only those movers [M] that are kept."""
        parts = keep[self.owner]
        number, place = np.cumsum(keep) - 1, np.cumsum(parts) - 1
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        own = {name: v[parts if name in _OF_PARTS else keep] for name, v in values.items()}
        own["owner"] = number[own["owner"]]
        own["parent"] = np.where(own["parent"] >= 0, place[own["parent"]], -1)
        return Movers(**own)

    def clear_of(
        self, eyes: NDArray[np.float64], times: NDArray[np.float64], extent: float, room: float = 1.2
    ) -> Movers:
        """Those that never come within `room` metres of the camera at eyes [T, 3]."""
        off = self.positions(times) - eyes[:, None]
        off[..., :2] -= extent * np.round(off[..., :2] / extent)
        around = np.hypot(self.half[:, 0], self.half[:, 1]) + room
        near = (np.hypot(off[..., 0], off[..., 1]) < around) & (np.abs(off[..., 2]) < 2 * self.half[:, 2] + room)
        return self.chosen(~near.any(0))

    def as_boxes(self) -> Movers:
        """The blockout's: one box for each mover that an artist would have."""
        some = self.chosen(self.kept)
        count = len(some)
        boxes = np.concatenate([some.half, some.half[:, :1], np.zeros((count, 1)), some.half[:, 1:2]], 1)
        zeros = np.zeros(count, np.int64)
        values = {f.name: getattr(some, f.name) for f in fields(some)}
        values |= {
            "owner": np.arange(count), "parent": zeros - 1, "shape": zeros, "size": boxes, "swing": np.zeros((count, 4)),
            "look": np.zeros((count, 4)), "joint": some.half * np.array([0.0, 0.0, 1.0]),
        }  # fmt: skip
        return Movers(**values)


_OF_PARTS = ("owner", "parent", "joint", "swing", "shape", "size", "look")


@dataclass(frozen=True, eq=False)
class Staged:
    """entries [F, E, 10] and parts [F, Q, 19] float64, looks [Q, 4], as in solids.py; numbers [Q]: each part's place
    among the movers' parts, owners [Q] its mover, kinds [Q] that one's kind."""

    entries: NDArray[np.float64]
    parts: NDArray[np.float64]
    looks: NDArray[np.float64]
    numbers: NDArray[np.int32]
    kinds: NDArray[np.uint8]


SMALLEST = 0.004  # of the picture's height: lower movers are left out


def stage(
    movers: Movers | None,
    times: NDArray[np.float64],
    K: NDArray[np.float64],
    world_from_camera: NDArray[np.float64],
    width: int,
    height: int,
    extent: float,
    sun: NDArray[np.float64],
) -> Staged:
    """The movers that the frames of a track may show, the nearest copy of each in the periodic world.

    sun: unit vector towards it; where a mover's shadow falls counts as part of it.
    """
    count = len(K)
    if movers is None or not len(movers):
        return Staged(
            np.zeros((count, 0, 10)), np.zeros((count, 0, 19)), np.zeros((0, 4)), np.zeros(0, np.int32),
            np.zeros(0, np.uint8),
        )  # fmt: skip
    middle = movers.positions(times) + np.array([0.0, 0.0, 1.0]) * movers.half[:, 2:]
    radius = np.linalg.norm(movers.half, axis=1)
    eyes = world_from_camera[:, :3, 3]
    off = middle - eyes[:, None]
    shift = np.zeros_like(middle)
    shift[..., :2] = -extent * np.round(off[..., :2] / extent)
    middle = middle + shift
    rect, shown = _rectangles(middle, radius, K, world_from_camera, width, height)
    low = math.sqrt(max(1 - sun[2] ** 2, 0.0)) / max(sun[2], 0.15)
    flat = np.array([*(-sun[:2] / max(math.hypot(*sun[:2]), 1e-9)), 0.0])
    cast = middle + (flat * low - np.array([0.0, 0.0, 1.0])) * movers.half[:, 2:]
    other, fallen = _rectangles(cast, radius * 1.15 + low * movers.half[:, 2], K, world_from_camera, width, height)
    rect[..., ::2], rect[..., 1::2] = (
        np.minimum(rect[..., ::2], other[..., ::2]),
        np.maximum(rect[..., 1::2], other[..., 1::2]),
    )
    distance = np.linalg.norm(middle - eyes[:, None], axis=-1)
    tall = 2 * movers.half[:, 2] * K[:, 1, 1][:, None] / np.maximum(distance, 0.1) / height
    inside = (rect[..., 1] > 0) & (rect[..., 0] < width) & (rect[..., 3] > 0) & (rect[..., 2] < height)
    shown = (shown | fallen) & inside & (tall > SMALLEST)
    ever = shown.any(0)
    some = movers.chosen(ever)
    used = np.flatnonzero(ever[movers.owner])
    poses = some.part_poses(times)
    poses[..., :3, 3] += shift[:, ever][:, some.owner]
    bodies = np.concatenate([some.shape[:, None], some.size], 1).astype(np.float64)
    parts = np.concatenate(
        [
            poses[..., :3, :3].reshape(count, -1, 9),
            poses[..., :3, 3],
            np.broadcast_to(bodies, (count, *bodies.shape)),
        ],
        -1,
    )
    ends = np.searchsorted(some.owner, np.arange(len(some) + 1))
    entries = np.zeros((count, int(shown.sum(1).max(initial=0)), 10))
    entries[..., 0], entries[..., 1] = 1.0, 0.0
    index = np.cumsum(ever) - 1
    for f in range(count):
        which = np.flatnonzero(shown[f])
        which = which[np.argsort(distance[f, which])]
        k = index[which]
        entries[f, : len(which)] = np.concatenate(
            [rect[f, which], middle[f, which], radius[which, None] * 1.02, ends[k, None], ends[k + 1, None]], 1
        )
    return Staged(entries, np.ascontiguousarray(parts), some.look, used.astype(np.int32), some.kind[some.owner])


def _rectangles(
    centre: NDArray[np.float64],
    radius: NDArray[np.float64],
    K: NDArray[np.float64],
    world_from_camera: NDArray[np.float64],
    width: int,
    height: int,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Pixels u0, u1, v0, v1 [F, M, 4] that hold all of a sphere, and whether any of it is before the camera."""
    R, eye = world_from_camera[:, :3, :3], world_from_camera[:, :3, 3]
    local = np.einsum("fmc,fck->fmk", centre - eye[:, None], R)
    z = local[..., 2]
    r = np.broadcast_to(radius, z.shape)
    out = np.empty((*z.shape, 4))
    near, far = np.maximum(z - r, 1e-6), np.maximum(z + r, 1e-6)
    for axis, place in ((0, 0), (1, 2)):
        f, c = K[:, axis, axis][:, None], K[:, axis, 2][:, None]
        low, high = local[..., axis] - r, local[..., axis] + r
        out[..., place] = f * np.minimum(low / near, low / far) + c
        out[..., place + 1] = f * np.maximum(high / near, high / far) + c
    close = z < r + 0.05
    out[close] = (0.0, width, 0.0, height)
    return out, z > -r


__all__ = ["SEEN_AS", "Movers", "Staged", "stage"]
