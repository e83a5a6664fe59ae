"""What a Wan-VACE transformer is shown: a control video, a mask and references, packed into 96 channels.

Legend: B clips, T = 4n + 1 frames, H rows, W columns (multiples of 16), t = n + 1 latent frames, h = H / 8, w = W / 8,
R references.  Videos are display-coded in [-1, 1], masks 1 where the picture is to be made and 0 where it is kept.

The 96 channels are [inactive 16, reactive 16, mask 64]; references stand before the video in time.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..model.autoencoder import TIME_FACTOR, Codec, padded_count
from .canvas import Canvas

PATCH = 2  # latent rows and columns to a token
MASK_FACTOR = 8


def inverse_depth_video(z: NDArray[np.float32], canvas: Canvas) -> NDArray[np.float32]:
    """Depth as Wan's depth annotator draws it: inverse, stretched to 0 … 1 in each frame, near is white.

    z : [T, H0, W0] metres, inf where nothing is hit.  canvas : of the result [T, H, W].
    Frames in which everything is equally far are mid grey, those of sky alone black.  Small sides are averaged.
    """
    video = np.stack([_drawn(frame, canvas) for frame in z])
    low, high = video.min((1, 2), keepdims=True), video.max((1, 2), keepdims=True)
    spread = high - low
    flat = spread <= 1e-6 * np.maximum(high, 1e-6)
    return np.where(flat, np.where(high > 0, 0.5, 0.0), (video - low) / np.where(flat, 1.0, spread)).astype(np.float32)


def _drawn(z: NDArray[np.float32], canvas: Canvas) -> NDArray[np.float32]:
    """One frame's inverse depth [H, W] on the canvas, planes going on beside the frame, no nearer than what is in it."""
    inverse = np.divide(1.0, z, out=np.zeros_like(z, dtype=np.float32), where=np.isfinite(z))
    beside = (canvas.top, canvas.bottom), (canvas.left, canvas.right)
    if any(map(any, beside)):
        wide = np.pad(inverse, beside, mode="reflect", reflect_type="odd")
        inverse = np.clip(wide, inverse.min(), inverse.max())
    W, H = canvas.size
    shrinks = inverse.shape[0] >= H and inverse.shape[1] >= W
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(inverse, (W, H), interpolation=method), np.float32)


def depth_control(z: NDArray[np.float32], canvas: Canvas) -> Tensor:
    """The control video of a depth pass: [1, 3, T, H, W] in [-1, 1], T padded to 4n + 1 with the last frame."""
    video = inverse_depth_video(z, canvas)
    extra = padded_count(len(video)) - len(video)
    video = np.concatenate([video, np.repeat(video[-1:], extra, 0)])
    return torch.from_numpy(video * 2 - 1)[None, None].expand(1, 3, -1, -1, -1).contiguous()


def vace_pack(codec: Codec, video: Tensor, mask: Tensor, references: Sequence[Tensor] = ()) -> Tensor:
    """The 96-channel pack [B, 96, R + t, h, w].

    video : [B, 3, T, H, W]; grey (0) where nothing is known.  mask : [B, 1, T, H, W] in 0 … 1, cut at .5 for the
    video and left as it is for its own channels, as diffusers does.  references : [3, H, W] each, from `letterbox`;
    each is put before what stands there already, so the last one comes first.
    """
    make = (mask > 0.5).to(video.dtype)
    latents = torch.cat((codec.encode(video * (1 - make)), codec.encode(video * make)), dim=1)
    for reference in references:
        picture = reference[None, :, None].expand(video.shape[0], -1, -1, -1, -1)
        kept = codec.encode(picture)
        latents = torch.cat((torch.cat((kept, torch.zeros_like(kept)), dim=1), latents), dim=2)
    return torch.cat((latents, mask_channels(mask, len(references)).to(latents)), dim=1)


def mask_channels(mask: Tensor, references: int = 0) -> Tensor:
    """A mask [B, 1, T, H, W] as 64 channels [B, 64, R + t, h, w]: each 8 x 8 tile becomes channels, zeros for references.

    Time is sampled `nearest-exact`: of 81 frames 1, 5, … 79 are read after frame 1, so a single kept first or last
    frame leaves no trace here.
    """
    B, _, T, H, W = mask.shape
    h, w = (side // (MASK_FACTOR * PATCH) * PATCH for side in (H, W))
    tiles = mask.reshape(B, T, h, MASK_FACTOR, w, MASK_FACTOR).permute(0, 3, 5, 1, 2, 4).flatten(1, 2)
    t = (T + TIME_FACTOR - 1) // TIME_FACTOR
    sampled = F.interpolate(tiles, size=(t, h, w), mode="nearest-exact")
    return torch.cat((sampled.new_zeros(B, sampled.shape[1], references, h, w), sampled), dim=2)


def letterbox(picture: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """A reference [H0, W0, 3] 8-bit, fitted whole into (H, W) on white: [3, H, W] in [-1, 1].

    As diffusers: sides are first brought to multiples of 8 by Lanczos, then scaled bilinearly.
    """
    from PIL import Image

    image = Image.fromarray(picture)
    width, height = (side - side % MASK_FACTOR for side in image.size)
    if min(width, height) < MASK_FACTOR:
        raise ValueError(f"a reference of {image.size} is too small")
    whole = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS), np.float32) / 255.0
    tensor = 2.0 * torch.from_numpy(whole).permute(2, 0, 1)[None] - 1.0
    H, W = size
    scale = min(H / height, W / width)
    high, wide = int(height * scale), int(width * scale)
    canvas = torch.ones(3, H, W)
    top, left = (H - high) // 2, (W - wide) // 2
    canvas[:, top : top + high, left : left + wide] = F.interpolate(tensor, size=(high, wide), mode="bilinear")[0]
    return canvas
