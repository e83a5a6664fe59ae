"""The detail stage over a shot: every frame to FACTOR times its size, with noise that clings to the surfaces.

The network sees one frame at a time.  Its estimates are averaged along the surfaces with those of the frames before
(fusion.Trail) while they are still soft, so that frames settle on the same detail; the last steps sharpen each alone.

Legend: T frames, h and w the small plate's size, H = FACTOR * h and W = FACTOR * w the large one's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...protocol.shot import CameraTrack, Shot
from ..model.detail import FACTOR, RESIDUAL, DetailNet, detail_levels, detail_step, enlarge
from .fusion import Trail
from .geometry import Look, shot_scale, surface_channels, warped_noise
from .warp import Camera

ALONE = 0.1  # the noise level from which every frame is drawn by itself; above it, frames agree on every estimate


@dataclass(frozen=True)
class DetailPlan:
    """trust : how far the small plate is believed, 0 … 1; steps; seed of noise and look; shown : frame of the preview;
    words [1, V] : the prompt (WordEncoder.bag)."""

    trust: float
    steps: int
    seed: int
    shown: int
    words: Tensor


def resampled(shot: Shot, size: tuple[int, int], frames: NDArray) -> tuple[NDArray[np.float32], CameraTrack]:
    """Depth [len(frames), H, W] by nearest pixel at (W, H) = `size`, and the cameras with K in its pixels."""
    (width, height), (w, h) = shot.resolution, size
    rows = ((np.arange(h) + 0.5) * height / h).astype(int)
    columns = ((np.arange(w) + 0.5) * width / w).astype(int)
    K = shot.camera.K[frames] * np.array([w / width, h / height, 1.0])[:, None]
    depth = np.stack([shot.depth.z[t][rows][:, columns] for t in frames])
    return depth, CameraTrack(K, shot.camera.world_from_camera[frames])


def detailed(
    net: DetailNet,
    small: Tensor,
    shot: Shot,
    plan: DetailPlan,
    on_step: Callable[[int, Tensor], None],
    check: Callable[[], None],
) -> Tensor:
    """A plate [T, 3, h, w] in standardised code at the large size, [T, 3, H, W].

    on_step gets the steps done and the shown frame [1, 3, H, W]; check is called before every frame; either may raise.
    """
    height, width = (FACTOR * n for n in small.shape[2:])
    depth, camera = resampled(shot, (width, height), np.arange(len(small)))
    fresh = np.random.Generator(np.random.Philox([plan.seed, 1])).standard_normal((*depth.shape, 3), np.float32)
    noise = warped_noise(fresh, depth, camera.K, camera.world_from_camera)
    del fresh
    # In place of the noise, frame by frame: a minute of frames is held once.
    state = torch.from_numpy(np.ascontiguousarray(noise.transpose(0, 3, 1, 2)))
    scale, look = shot_scale(depth), Look.of_seed(plan.seed)
    for step, (level, lower) in enumerate(pairwise(detail_levels(plan.steps)), 1):
        shown, trail = small[:1], Trail()
        for t in range(len(small)):
            check()
            one = slice(t, t + 1)
            surface = surface_channels(
                depth[one], camera.K[one], camera.world_from_camera[one], scale=scale, like=camera, look=look
            )
            base = enlarge(small[t : t + 1], (height, width))
            given = state[t : t + 1].to(small.device)
            told = torch.from_numpy(surface).to(small.device), plan.words.to(small.device)
            now, residual = detail_step(net, given, base, *told, level, lower, plan.trust)
            if lower > ALONE:
                picture = (base + RESIDUAL * residual)[0].permute(1, 2, 0).cpu().numpy()
                agreed = trail.fused(picture, depth[t], Camera(camera.K[t], camera.world_from_camera[t]))
                residual = (torch.from_numpy(agreed).permute(2, 0, 1)[None].to(base.device) - base) / RESIDUAL
                now = residual + (lower / level) * (given - residual)
            state[t] = (base + RESIDUAL * now if lower == 0 else now)[0].cpu()
            if t == plan.shown:
                shown = base + RESIDUAL * residual
        on_step(step, shown)
    return state
