"""One colour for one place: the first stage's pictures averaged along the shot's surfaces.

Each window of frames is painted by itself, and each frame of it a little otherwise; what differs pulses.  The depth
says which pixels of other frames show the same point, and their mean pulses less and lies truer on the surface.  It is
taken of small, soft pictures, before the detail stage draws what must stay sharp.

What moves by itself (waves, clouds) is averaged over the time it takes to move.

Legend: T frames, H rows, W columns, C channels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .warp import Camera, carry

REACH = 16  # frames to either side
TRAIL = 3  # frames before, where they come one by one


class Trail:
    """Frames that come one after the other, each averaged with the TRAIL before it."""

    def __init__(self) -> None:
        self._kept: deque[tuple[NDArray[np.float32], NDArray, Camera]] = deque(maxlen=TRAIL)

    def fused(self, frame: NDArray[np.float32], depth: NDArray, camera: Camera) -> NDArray[np.float32]:
        """The mean [H, W, C] of a frame and of those before it, where they see the same point."""
        total, weight = frame.copy(), np.ones(depth.shape, np.float32)
        for earlier, its_depth, its_camera in self._kept:
            seen = carry(earlier, its_depth, its_camera, depth, camera, border=0)
            total += seen.visible[..., None] * seen.picture
            weight += seen.visible
        self._kept.append((frame, depth, camera))
        return total / weight[..., None]


def fused(
    frames: NDArray[np.float32],
    depth: NDArray,
    K: NDArray,
    world_from_camera: NDArray,
    reach: int = REACH,
    check: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """Every pixel as the mean of those within `reach` frames that see its point, [T, H, W, C]; nearer ones weigh more.

    frames [T, H, W, C], any encoding; depth [T, H, W] metres, inf for sky; K [T, 3, 3] pixels; world_from_camera
    [T, 4, 4] OpenCV.  A pixel that no other frame sees stays as it is.  check is called before every frame and may
    raise to stop.
    """
    frames = np.ascontiguousarray(frames, np.float32)
    cameras = [Camera(k, pose) for k, pose in zip(K, world_from_camera, strict=True)]
    out = np.empty_like(frames)
    for u in range(len(frames)):
        check()
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
