"""What a PlateDiT is made of, as plain values: no torch here, so that the table of models loads at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Prediction = Literal["flow", "x0"]


@dataclass(frozen=True)
class PlateDiTConfig:
    """The configuration; the first group of keys is diffusers' own.

    patch_size : latent frames, rows and columns to a token.
    vace_layers : the main blocks that take a hint; 0 must be among them.
    camera_channels : channels of the ray input, 0 for none; 24 is 4 frames x 6 Plücker channels.
    prediction : what the output means, to sampling.py: the flow (noise - x0) or x0 itself.
    pixel_head_* : width of the convolutional head (0 for none), its blocks at each size, how many sizes it works at.
    """

    patch_size: tuple[int, int, int] = (1, 2, 2)
    num_attention_heads: int = 40
    attention_head_dim: int = 128
    in_channels: int = 16
    out_channels: int = 16
    text_dim: int = 4096
    freq_dim: int = 256
    ffn_dim: int = 13824
    num_layers: int = 40
    cross_attn_norm: bool = True
    qk_norm: str | None = "rms_norm_across_heads"
    eps: float = 1e-6
    image_dim: int | None = None
    added_kv_proj_dim: int | None = None
    rope_max_seq_len: int = 1024
    pos_embed_seq_len: int | None = None
    vace_layers: tuple[int, ...] = (0, 5, 10, 15, 20, 25, 30, 35)
    vace_in_channels: int = 96

    camera_channels: int = 0
    prediction: Prediction = "flow"
    pixel_head_channels: int = 0
    pixel_head_blocks: int = 2
    pixel_head_levels: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch_size", tuple(self.patch_size))
        object.__setattr__(self, "vace_layers", tuple(self.vace_layers))
        if self.out_channels is None:
            object.__setattr__(self, "out_channels", self.in_channels)
        if 0 not in self.vace_layers or max(self.vace_layers) >= self.num_layers:
            raise ValueError(f"vace_layers {self.vace_layers} must hold 0 and stay below num_layers {self.num_layers}")
        if self.attention_head_dim % 2:
            raise ValueError(f"attention_head_dim {self.attention_head_dim} must be even for the rotary embedding")
        if self.image_dim is not None or self.added_kv_proj_dim is not None:
            raise ValueError("image_dim and added_kv_proj_dim (image-to-video transformers) are not VACE's")
        if self.prediction not in ("flow", "x0"):
            raise ValueError(f"prediction {self.prediction!r} is neither 'flow' nor 'x0'")
        if self.pixel_head_levels < 2:
            raise ValueError(f"pixel_head_levels {self.pixel_head_levels} must be 2 at least")
        halvings = self.pixel_head_levels - 1
        if self.pixel_head_channels and any(side % 2**halvings for side in self.patch_size[1:]):
            raise ValueError(f"patch {self.patch_size} does not halve {halvings} times")
        if self.pixel_head_channels and self.patch_size[0] != 1:
            raise ValueError("the pixel head needs a patch of one latent frame")

    @property
    def dim(self) -> int:
        """Inner width D."""
        return self.num_attention_heads * self.attention_head_dim

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PlateDiTConfig:
        """Read a config.json; keys that begin with an underscore are diffusers' notes and are passed over."""
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(k for k in values if k not in known and not k.startswith("_"))
        if unknown:
            raise ValueError(f"unknown configuration keys: {', '.join(unknown)}")
        return cls(**{k: v for k, v in values.items() if k in known})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; from_dict reads them back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}
