"""Conditioning of farplane-s: known frames, mask, surface and rays, packed four frames to a latent frame.

The control volume has 100 channels: inactive 12 (known frames, 0 elsewhere), reactive 12 (frames to be made, as other
known frames show them, 0 where none does), mask 4 (1 = make it, 1/2 = make it, the reactive channels show what was
there, 0 = keep it), surface 72 (geometry.surface_channels).  The camera has 24: Plücker rays.  A dropped condition is
zero throughout; no real surface is, so the network can tell.  A reference picture is a known latent frame of its own in
front, as in VACE: no surface, no rays, and what is painted there is thrown away.

Legend: B clips, T = 4n+1 frames, R references, G = n+1 latent frames, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...protocol.shot import CameraTrack
from .carrying import carried
from .geometry import (
    GROUP,
    RAY_CHANNELS,
    SURFACE_CHANNELS,
    Look,
    pack_groups,
    plucker_rays,
    shot_scale,
    surface_channels,
)

COLOURS = 3
SHOWN = 0.5  # the mask's value where a known frame shows what is to be made
RESTART = 0.7  # the noise level after the first step
NOISE_SCALE = 6.0  # how much louder the noise would be, were it measured on an 8 x 8 patch's mean rather than a pixel
CONTROL_CHANNELS = GROUP * (2 * COLOURS + 1 + SURFACE_CHANNELS)
CAMERA_CHANNELS = GROUP * RAY_CHANNELS


@dataclass(frozen=True, eq=False)
class Condition:
    """control : [B, 100, R+G, H, W] float32; camera : [B, 24, R+G, H, W] float32."""

    control: Tensor
    camera: Tensor

    @staticmethod
    def stack(parts: list[Condition]) -> Condition:
        """Clips of one size into one batch."""
        return Condition(torch.cat([p.control for p in parts]), torch.cat([p.camera for p in parts]))

    def to(self, device: str | torch.device) -> Condition:
        """The same on a device."""
        return Condition(self.control.to(device), self.camera.to(device))


def make_condition(
    depth: NDArray[np.float32] | None,
    camera: CameraTrack,
    size: tuple[int, int],
    *,
    known_frames: NDArray[np.float32] | None = None,
    known: NDArray[np.bool_] | None = None,
    references: NDArray[np.float32] | None = None,
    with_camera: bool = True,
    look: Look | None = None,
    pattern: NDArray[np.float32] | None = None,
    base_colour: NDArray[np.uint8] | None = None,
    whole: tuple[tuple[float, float], CameraTrack] | None = None,
    exact: bool = True,
) -> Condition:
    """The condition of one clip.

    depth : [T, H, W] metres or None (text only).  size : (H, W).
    known_frames : [T, H, W, 3] standardised code, read where known ([T] or [T, H, W]) is True: whole frames to go on
    from, or all but a region to be made anew.  With a depth they are carried to the other frames (carrying.carried).
    references : [R, H, W, 3] standardised code, pictures whose look is to be followed.  The noise gains as many latent
    frames in front (pack_references); as in vace_pack, the last reference comes first.  Training shows at most one.
    look : the light and palette of the picture; None leaves them open, and so does a depth of None.
    pattern : [T, 4, H, W] what chance decides of clouds, grain and windows (pattern.pattern_channels), told with a depth.
    base_colour : [T, H, W, 4] the shot's (shot.Shot.base_colour), told with a depth.
    whole : (scale, cameras) of the shot these frames are a window of, so that all its windows are told alike.
    exact : the depth is that of the picture to be made, not of a rough stand-in for it.
    """
    count, (height, width) = len(camera.K), size
    if count % GROUP != 1:
        raise ValueError(f"{count} frames are not 4n+1")
    planes = np.zeros((count, 2 * COLOURS + 1 + SURFACE_CHANNELS, height, width), np.float32)
    planes[:, 2 * COLOURS] = 1.0
    if known_frames is not None and known is not None:
        kept = np.broadcast_to(known.reshape(count, *known.shape[1:] or (1, 1)), (count, height, width))
        planes[:, :COLOURS] = np.where(kept[..., None], known_frames, 0.0).transpose(0, 3, 1, 2)
        planes[:, 2 * COLOURS] = ~kept
        if depth is not None and kept.any():
            shown, found = carried(known_frames, kept, depth, camera)
            planes[:, COLOURS : 2 * COLOURS] = shown.transpose(0, 3, 1, 2)
            planes[:, 2 * COLOURS][found] = SHOWN
    if depth is not None:
        scale, like = (shot_scale(depth), camera) if whole is None else whole
        planes[:, 2 * COLOURS + 1 :] = surface_channels(
            depth,
            camera.K,
            camera.world_from_camera,
            scale=scale,
            like=like,
            look=look,
            pattern=pattern,
            base_colour=base_colour,
            exact=exact,
        )
    rays = np.zeros((count, RAY_CHANNELS, height, width), np.float32)
    if with_camera:
        typical = 1.0 if depth is None else (shot_scale(depth) if whole is None else whole[0])[1]
        rays = plucker_rays(camera.K, camera.world_from_camera, height, width, typical)
    clip = Condition(torch.from_numpy(pack_groups(planes))[None], torch.from_numpy(pack_groups(rays))[None])
    return clip if references is None else _behind(references, clip)


def _behind(references: NDArray[np.float32], clip: Condition) -> Condition:
    """The condition [1, C, G, H, W] of a clip with its references [R, H, W, 3] in front."""
    pictures = pack_references(references)
    places = pictures.shape[1:]
    known = torch.zeros(GROUP, CONTROL_CHANNELS // GROUP, *places)
    known[:, :COLOURS] = pictures.unflatten(0, (GROUP, COLOURS))
    return Condition(
        torch.cat([known.flatten(0, 1)[None], clip.control], 2),
        torch.cat([torch.zeros(1, CAMERA_CHANNELS, *places), clip.camera], 2),
    )


def network_time(sigma: Tensor) -> Tensor:
    """The timestep in 0 … 1000 that the network is told for noise levels sigma in 0 … 1.

    Neighbouring pixels are so alike that a picture's plan is settled at levels from 0.85 to 0.99.  Told sigma itself,
    the network kept the noise's blotches there; this scale gives those levels half of its range.
    """
    return 1000.0 * sigma / (NOISE_SCALE - (NOISE_SCALE - 1.0) * sigma)


def network_input(noisy: Tensor, sigma: Tensor) -> Tensor:
    """Noisy latents [B, 12, G, H, W] as the network is shown them: nothing at all at sigma [B] = 1.

    There the noise says nothing of the picture; a small network that sees it takes it for something, and paints
    squares.  So the first step is a plain estimate from the conditions, and noise comes in from RESTART down.
    """
    return noisy * (sigma < 1).to(noisy.dtype)[:, None, None, None, None]


def pack_frames(frames: NDArray[np.float32]) -> Tensor:
    """[T, H, W, 3] to latents [12, G, H, W]."""
    return torch.from_numpy(pack_groups(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))))


def pack_references(pictures: NDArray[np.float32]) -> Tensor:
    """[R, H, W, 3] to latents [12, R, H, W]: a latent frame of four copies each, the last picture first."""
    copies = np.repeat(pictures[::-1, None], GROUP, 1).transpose(1, 4, 0, 2, 3)
    return torch.from_numpy(copies.reshape(GROUP * COLOURS, *copies.shape[2:]).astype(np.float32))


def unpack_frames(latents: Tensor) -> NDArray[np.float32]:
    """Latents [12, G, H, W] to [T, H, W, 3]; frame 0 is the mean of its four copies."""
    _, groups, height, width = latents.shape
    frames = latents.float().cpu().numpy().transpose(1, 0, 2, 3).reshape(groups * GROUP, COLOURS, height, width)
    first = frames[:GROUP].mean(0, keepdims=True)
    return np.asarray(np.concatenate([first, frames[GROUP:]]).transpose(0, 2, 3, 1), np.float32)
