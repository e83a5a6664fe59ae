"""Frames into latents and back: the codec switch.

Legend: B clips, T frames (4n + 1), H and W rows and columns; latents [B, C, t, h, w] with t = n + 1.  The first frame
makes the first latent frame by itself, every four after it one more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ...protocol.errors import FarplaneError
from .text import missing_package

TIME_FACTOR = 4


class Codec(Protocol):
    """What the pipeline asks of a codec."""

    @property
    def channels(self) -> int:
        """Latent channels C."""
        ...

    @property
    def factor(self) -> int:
        """Pixels to a latent, along a row or a column."""
        ...

    def encode(self, frames: Tensor) -> Tensor:
        """Frames [B, 3, T, H, W] to standardised latents [B, C, t, h, w]."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """The inverse of encode."""
        ...


def latent_frames(frames: int) -> int:
    """Latent frames that 4n + 1 frames make.  ValueError for any other count."""
    if frames < 1 or frames % TIME_FACTOR != 1:
        raise ValueError(f"{frames} frames are not 4n + 1")
    return (frames - 1) // TIME_FACTOR + 1


def padded_count(frames: int) -> int:
    """The smallest 4n + 1 that holds `frames` frames."""
    return -(-(frames - 1) // TIME_FACTOR) * TIME_FACTOR + 1


def pack_time(frames: Tensor) -> Tensor:
    """Put four frames into the channels of one: [B, C, 4n + 1, H, W] -> [B, 4C, n + 1, H, W], frame-major.

    Channel f * C + c of latent frame t is channel c of frame 4(t - 1) + 1 + f; latent frame 0 is frame 0 four times.
    """
    B, C, T, H, W = frames.shape
    t = latent_frames(T)
    whole = torch.cat((frames[:, :, :1].expand(-1, -1, TIME_FACTOR - 1, -1, -1), frames), dim=2)
    return whole.unflatten(2, (t, TIME_FACTOR)).permute(0, 3, 1, 2, 4, 5).reshape(B, TIME_FACTOR * C, t, H, W)


def unpack_time(packed: Tensor) -> Tensor:
    """The inverse of pack_time; frame 0 is the mean of its four copies."""
    frames = packed.unflatten(1, (TIME_FACTOR, -1)).permute(0, 2, 3, 1, 4, 5).flatten(2, 3)
    first = frames[:, :, :TIME_FACTOR].mean(2, keepdim=True)
    return torch.cat((first, frames[:, :, TIME_FACTOR:]), dim=2)


@dataclass(frozen=True)
class PixelCodec:
    """No compression: four LogC3-coded frames to a latent frame, standardised to mean 0 and deviation 1.

    mean, std : of the training pictures' LogC3 code, per colour channel.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "std", tuple(self.std))
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean} and std {self.std} must be three numbers each, std above 0")

    channels = 3 * TIME_FACTOR
    factor = 1

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        return tuple(like.new_tensor(values).view(1, 3, 1, 1, 1) for values in (self.mean, self.std))  # type: ignore[return-value]

    def encode(self, frames: Tensor) -> Tensor:
        """LogC3 code [B, 3, 4n + 1, H, W] to [B, 12, n + 1, H, W]."""
        mean, std = self._statistics(frames)
        return pack_time((frames - mean) / std)

    def decode(self, latents: Tensor) -> Tensor:
        """[B, 12, n + 1, H, W] to LogC3 code [B, 3, 4n + 1, H, W]."""
        mean, std = self._statistics(latents)
        return unpack_time(latents) * std + mean

    def to_config(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"kind": "pixel", "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PixelCodec:
        """The inverse of to_config.  ValueError for another kind of codec."""
        if config.get("kind") != "pixel":
            raise ValueError(f"codec {config.get('kind')!r} is not 'pixel'")
        return cls(config["mean"], config["std"])


class WanCodec:
    """AutoencoderKLWan through diffusers: display-coded frames in [-1, 1], 8 x 8 x 4, posterior mode."""

    def __init__(self, vae: Any) -> None:
        self.vae = vae.eval()

    @classmethod
    def load(cls, folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> WanCodec:
        """Read the `vae` part of a Wan folder."""
        try:
            from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
        except ImportError as error:
            raise missing_package("diffusers") from error
        if not (folder / "vae" / "config.json").is_file():
            raise FarplaneError("model", f"{folder.name} has no vae folder", "Download the whole model again")
        try:
            vae: Any = AutoencoderKLWan.from_pretrained(
                folder / "vae", torch_dtype=dtype, local_files_only=True, use_safetensors=True
            )
        except Exception as error:  # diffusers raises many kinds for one thing: the folder is not whole
            problem = f"the autoencoder of {folder.name} does not load ({str(error).splitlines()[0][:200]})"
            raise FarplaneError("model", problem, "Download the model's vae folder again") from error
        return cls(vae.to(device))

    @property
    def channels(self) -> int:
        return self.vae.config.z_dim

    @property
    def factor(self) -> int:
        return 2 ** len(self.vae.temperal_downsample)

    def _statistics(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        config = self.vae.config
        shape = (1, config.z_dim, 1, 1, 1)
        mean = torch.tensor(config.latents_mean, device=self.vae.device, dtype=dtype).view(shape)
        scale = 1.0 / torch.tensor(config.latents_std, device=self.vae.device, dtype=dtype).view(shape)
        return mean, scale

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """Frames [B, 3, 4n + 1, H, W] in [-1, 1] to float32 latents [B, 16, n + 1, H / 8, W / 8]."""
        mean, scale = self._statistics(torch.float32)
        mode = self.vae.encode(frames.to(self.vae.device, self.vae.dtype)).latent_dist.mode()
        return (mode.float() - mean) * scale

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """The inverse, clamped by the autoencoder to [-1, 1]; float32."""
        mean, scale = self._statistics(self.vae.dtype)
        latents = latents.to(self.vae.device, self.vae.dtype) / scale + mean
        return self.vae.decode(latents, return_dict=False)[0].float()
