"""The detail stage over a shot: every frame to FACTOR times its size, with noise that clings to the surfaces.

The network sees one frame at a time.  Its estimates are averaged along the surfaces with those of the frames before
(fusion.Trail) while they are still soft, so that frames settle on the same detail; the last steps sharpen each alone.

Legend: T frames, h and w the small plate's size, H = 4h and W = 4w the large one's (model.detail.FACTOR).
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
from ..model.detail import RESIDUAL, DetailNet, detail_levels, detail_step, enlarge
from .canvas import Canvas, colours_beyond, depth_on
from .colour import srgb_decode, srgb_encode
from .fusion import Trail
from .geometry import Look, shot_scale, surface_channels, warped_noise
from .pattern import Pattern, pattern_channels, unit_of
from .warp import Camera
from .windows import modelled_windows

ALONE = 0.1  # the noise level from which every frame is drawn by itself; above it, frames agree on every estimate
SAME_DEPTH = 0.03  # of the depth: past this another surface lends no colour
KEPT_BYTES = 2**28  # of the surfaces of a shot's first frames, 40 of 448 x 256


_LIGHT = srgb_decode(np.arange(256) / 255.0)  # of 8-bit codes


@dataclass(frozen=True)
class DetailPlan:
    """trust : how far the small plate is believed, 0 … 1; steps; seed of noise and pattern; look; shown : frame of the preview;
    words [1, V] : the prompt (WordEncoder.bag); windows [T, H, W] : resampled_windows at the large size."""

    trust: float
    steps: int
    seed: int
    look: Look
    shown: int
    words: Tensor
    windows: NDArray[np.uint8] | None = None


def resampled(shot: Shot, canvas: Canvas, frames: NDArray) -> tuple[NDArray[np.float32], CameraTrack]:
    """Depth [len(frames), H, W] of the canvas by nearest pixel, going on beside the frame, and the cameras with K in its
    pixels."""
    return depth_on(canvas, [shot.depth.z[t] for t in frames]), canvas.camera(shot.camera, frames)


def resampled_colour(shot: Shot, canvas: Canvas, frames: NDArray) -> NDArray[np.uint8] | None:
    """The shot's base colours [len(frames), H, W, 4] on the canvas, mirrored beside the frame; None: untold.

    Told where `resampled` takes its depth from a told pixel.  The colour is the mean, in light, of the told pixels
    around it that lie about as deep: a texture sampled once a pixel flickers, and a mean over an edge is no colour.
    """
    if shot.base_colour is None:
        return None
    rows, columns = canvas.rows(), canvas.columns()
    inside = np.stack([_colour_around(shot.base_colour[t], shot.depth.z[t], rows, columns) for t in frames])
    return colours_beyond(inside, *canvas.around())


def resampled_windows(shot: Shot, canvas: Canvas, frames: NDArray) -> NDArray[np.uint8] | None:
    """The windows [len(frames), H, W] that the shot's colours show on the canvas (windows.py); None: no colours."""
    base_colour = resampled_colour(shot, canvas, frames)
    if base_colour is None:
        return None
    depth, camera = resampled(shot, canvas, frames)
    metres = depth * np.float32(unit_of(shot_scale(shot.depth.z)[1]))
    return modelled_windows(base_colour, metres, camera.K, camera.world_from_camera)


def _colour_around(base: NDArray, depth: NDArray, rows: NDArray, columns: NDArray) -> NDArray[np.uint8]:
    """[H, W, 4] the colours about the given rows and columns of one frame."""
    light = _LIGHT[base[..., :3]]
    own = depth[rows][:, columns]
    total = np.zeros((*own.shape, 3), np.float32)
    count = np.zeros(own.shape, np.float32)
    for down in _around(base.shape[0] / len(rows)):
        for right in _around(base.shape[1] / len(columns)):
            at = np.ix_(np.clip(rows + down, 0, len(base) - 1), np.clip(columns + right, 0, base.shape[1] - 1))
            with np.errstate(invalid="ignore"):  # infinity less itself
                alike = (base[at][..., 3] > 0) & (np.abs(depth[at] - own) < SAME_DEPTH * own)
            total += np.where(alike[..., None], light[at], 0.0)
            count += alike
    told = (base[rows][:, columns][..., 3] > 0) & (count > 0)
    code = np.round(255.0 * srgb_encode(total / np.maximum(count, 1.0)[..., None]))
    return np.concatenate([np.where(told[..., None], code, 0.0), 255.0 * told[..., None]], -1).astype(np.uint8)


def _around(pixels: float) -> NDArray[np.int_]:
    """Steps to the pixels that are averaged: those of the target's pixel, three at least and nine of many."""
    reach = max(1.0, (pixels - 1.0) / 2.0)
    return np.unique(np.round(np.linspace(-reach, reach, min(9, 2 * round(reach) + 1))).astype(int))


class _Surfaces:
    """What the network is told of each frame's geometry [1, C, H, W]: every step asks, so the first frames are kept.

    depth [T, H, W], its cameras, base colours [T, H, W, 4] and the windows that they show [T, H, W]; seed : of the
    pattern; typical : median depth of the shot in metres.
    """

    def __init__(
        self,
        depth: NDArray[np.float32],
        camera: CameraTrack,
        base_colour: NDArray[np.uint8] | None,
        windows: NDArray[np.uint8] | None,
        seed: int,
        look: Look,
        typical: float,
    ) -> None:
        self._depth, self._camera, self._typical = depth, camera, typical
        self._base, self._windows = base_colour, windows
        self._scale, self._look, self._pattern = shot_scale(depth), look, Pattern.of_seed(seed)
        self._kept: dict[int, Tensor] = {}

    def of(self, t: int) -> Tensor:
        """Of frame t."""
        if t in self._kept:
            return self._kept[t]
        one, camera = slice(t, t + 1), self._camera
        seen = self._depth[one], camera.K[one], camera.world_from_camera[one]
        base, made = (None if told is None else told[one] for told in (self._base, self._windows))
        chance = pattern_channels(self._pattern, *seen, frames=np.array([t]), typical=self._typical, made=made)
        told = surface_channels(
            *seen,
            scale=self._scale,
            like=camera,
            look=self._look,
            pattern=chance,
            base_colour=base,
        )
        surface = torch.from_numpy(told)
        if (len(self._kept) + 1) * surface.nbytes <= KEPT_BYTES:
            self._kept[t] = surface
        return surface


def detailed(
    net: DetailNet,
    small: Tensor,
    shot: Shot,
    canvas: Canvas,
    plan: DetailPlan,
    on_step: Callable[[int, Tensor], None],
    check: Callable[[], None],
) -> Tensor:
    """A plate [T, 3, h, w] in standardised code at the large size, [T, 3, H, W], which `canvas` is of.

    on_step gets the steps done and the shown frame [1, 3, H, W]; check is called before every frame; either may raise.
    """
    width, height = canvas.size
    depth, camera = resampled(shot, canvas, np.arange(len(small)))
    fresh = np.random.Generator(np.random.Philox([plan.seed, 1])).standard_normal((*depth.shape, 3), np.float32)
    noise = warped_noise(fresh, depth, camera.K, camera.world_from_camera)
    del fresh
    # In place of the noise, frame by frame: a minute of frames is held once.
    state = torch.from_numpy(np.ascontiguousarray(noise.transpose(0, 3, 1, 2)))
    colours = resampled_colour(shot, canvas, np.arange(len(small)))
    surfaces = _Surfaces(depth, camera, colours, plan.windows, plan.seed, plan.look, shot_scale(shot.depth.z)[1])
    for step, (level, lower) in enumerate(pairwise(detail_levels(plan.steps)), 1):
        shown, trail = small[:1], Trail()
        for t in range(len(small)):
            check()
            base = enlarge(small[t : t + 1], (height, width))
            given = state[t : t + 1].to(small.device)
            told = surfaces.of(t).to(small.device), plan.words.to(small.device)
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
