"""What the known pixels of a shot show of its other frames: the nearest known frame that sees a place says its colour.

Legend: T frames, H rows, W columns, S known frames.  depth [T, H, W] camera-plane metres, inf for sky.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...kernels import reproject
from ...protocol.shot import CameraTrack

SOURCES = 6  # known frames that are asked for one frame, the nearest in time first
SAME = 0.03  # of the depth: past this another surface was carried there


def carried(
    frames: NDArray[np.float32], known: NDArray[np.bool_], depth: NDArray[np.float32], camera: CameraTrack
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What known pixels show of unknown ones.

    frames : [T, H, W, 3] any encoding, read where known [T, H, W] is True.
    Returns (picture [T, H, W, 3] float32, found [T, H, W]): found is False on known pixels and wherever no known frame
    sees the place; picture is 0 there.

    A frame's picture is carried by its own depth (kernels.reproject, whose z-buffer lets the nearest win) and then
    held against the depth of the frame it lands in: what shows through the gaps between its pixels is left out.
    """
    picture, found = np.zeros(frames.shape, np.float32), np.zeros(known.shape, np.bool_)
    given = np.flatnonzero(known.any((1, 2)))
    for t in np.flatnonzero(~known.all((1, 2))):
        sources = given[given != t]
        sources = sources[np.argsort(np.abs(sources - t), kind="stable")][:SOURCES]
        if not len(sources):
            continue
        seen, there = _seen_from(frames[sources], known[sources], depth[sources], camera, sources, int(t))
        fits = there & _same(seen[:, 3], depth[t]) & ~known[t]
        first = fits & (np.cumsum(fits, 0) == 1)
        picture[t] = np.where(first[..., None], seen[:, :3].transpose(0, 2, 3, 1), 0.0).sum(0)
        found[t] = first.any(0)
    return picture, found


def _seen_from(
    frames: NDArray, known: NDArray, depth: NDArray, camera: CameraTrack, sources: NDArray, t: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The known pixels of `sources` as frame t sees them: [S, 4, H, W] colour and depth, [S, H, W] where any are."""

    def matrices(of: NDArray, index: NDArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(of[index], np.float64))

    target = np.full(len(sources), t)
    seen = reproject(
        torch.from_numpy(np.where(known, depth, np.nan)),  # NaN is left out
        torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2), np.float32)),
        matrices(camera.K, sources),
        matrices(camera.world_from_camera, sources),
        matrices(camera.K, target),
        matrices(camera.world_from_camera, target),
    )
    return torch.cat((seen.color, seen.depth[:, None]), 1).numpy(), seen.mask.numpy()


def _same(depth: NDArray, own: NDArray) -> NDArray[np.bool_]:
    """Where carried depth [S, H, W] is that of the frame's own surface [H, W], or both are sky."""
    sky = np.isinf(own)
    finite = np.where(sky, 1.0, own)
    return np.where(sky, np.isinf(depth), np.abs(depth - finite) < SAME * finite)
