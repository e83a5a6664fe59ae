"""One colour for one place: the first stage's pictures averaged along the shot's surfaces.

Each window of frames is painted by itself, and each frame of it a little otherwise; what differs pulses.  The depth
says which pixels of other frames show the same point, and their mean pulses less and lies truer on the surface.  It is
taken of small, soft pictures, before the detail stage draws what must stay sharp.

What moves by itself (waves, clouds) is averaged over the time it takes to move.

Legend: T frames, H rows, W columns, C channels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .warp import Camera, carry

REACH = 16  # frames to either side


def fused(
    frames: NDArray[np.float32], depth: NDArray, K: NDArray, world_from_camera: NDArray, reach: int = REACH
) -> NDArray[np.float32]:
    """Every pixel as the mean of those within `reach` frames that see its point, [T, H, W, C]; nearer ones weigh more.

    frames [T, H, W, C], any encoding; depth [T, H, W] metres, inf for sky; K [T, 3, 3] pixels; world_from_camera
    [T, 4, 4] OpenCV.  A pixel that no other frame sees stays as it is.
    """
    frames = np.ascontiguousarray(frames, np.float32)
    cameras = [Camera(k, pose) for k, pose in zip(K, world_from_camera, strict=True)]
    out = np.empty_like(frames)
    for u in range(len(frames)):
        total, weight = frames[u].copy(), np.ones(depth.shape[1:], np.float32)
        for t in range(max(0, u - reach), min(len(frames), u + reach + 1)):
            if t == u:
                continue
            share = np.float32(1.0 - abs(t - u) / (reach + 1))
            seen = carry(frames[t], depth[t], cameras[t], depth[u], cameras[u], border=0)
            total += share * seen.visible[..., None] * seen.picture
            weight += share * seen.visible
        out[u] = total / weight[..., None]
    return out
