"""PlateDiT: the video transformer that turns noise, a control video, a camera and a text into a plate.

A strict superset of diffusers' WanVACETransformer3DModel: same parameter names, same configuration keys, so
Wan2.1-VACE loads unchanged (the image-embedding keys, which no VACE model uses, must be null).  On top of it, all absent or inert unless the configuration asks for them: a camera
branch (`cam.*`), per-token timesteps, a convolutional head for pixel latents (`head.*`).

Legend: B batch, C channels, T latent frames, H and W latent rows and columns, N tokens, L text tokens, D width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...kernels import modulated_layer_norm
from .config import PlateDiTConfig
from .layers import (
    CameraBranch,
    ConditionEmbedder,
    MainBlock,
    RotaryEmbedding3D,
    VaceBlock,
)
from .pixel_head import PixelHead

__all__ = ["PlateDiT", "PlateDiTConfig"]


class PlateDiT(nn.Module):
    """The transformer.  `PlateDiT(config)` is initialised for training; weights.py loads over it."""

    def __init__(self, config: PlateDiTConfig) -> None:
        super().__init__()
        self.config = config
        dim, patch = config.dim, config.patch_size
        block = (dim, config.ffn_dim, config.num_attention_heads, config.cross_attn_norm, config.eps)

        self.rope = RotaryEmbedding3D(config.attention_head_dim, patch, config.rope_max_seq_len)
        self.patch_embedding = nn.Conv3d(config.in_channels, dim, patch, stride=patch)
        self.vace_patch_embedding = nn.Conv3d(config.vace_in_channels, dim, patch, stride=patch)
        self.condition_embedder = ConditionEmbedder(dim, config.freq_dim, config.text_dim)
        self.blocks = nn.ModuleList([MainBlock(*block) for _ in range(config.num_layers)])
        self.vace_blocks = nn.ModuleList([VaceBlock(*block, first=i == 0) for i in range(len(config.vace_layers))])
        # A head has its own way from the tokens; a linear one beside it would add squares the size of a patch.
        headed = config.pixel_head_channels > 0
        self.proj_out = None if headed else nn.Linear(dim, config.out_channels * math.prod(patch))
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)

        self.cam = CameraBranch(config.camera_channels, dim, patch) if config.camera_channels else None
        self.head = None
        if headed:
            self.head = PixelHead(
                dim,
                patch[1:],
                config.in_channels + config.vace_in_channels,
                config.pixel_head_channels,
                config.pixel_head_blocks,
                config.pixel_head_levels,
                config.out_channels,
            )
        self.gradient_checkpointing = False
        self._initialise()

    def _initialise(self) -> None:
        """For training from nothing: Xavier throughout, biases zero, a small output."""
        for name, module in self.named_modules():
            if name.startswith(("cam.", "head.")):
                continue
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for embedding in (self.patch_embedding, self.vace_patch_embedding):
            nn.init.xavier_uniform_(embedding.weight.flatten(1))
        if self.proj_out is not None:
            nn.init.normal_(self.proj_out.weight, std=0.02)

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        control_hidden_states: Tensor,
        control_hidden_states_scale: Tensor | None = None,
        *,
        camera: Tensor | None = None,
        encoder_mask: Tensor | None = None,
    ) -> Tensor:
        """Predict the flow or x0 (config.prediction) of noisy latents.

        hidden_states : [B, in_channels, T, H, W] noisy latents; T, H and W are multiples of the patch.
        timestep : [B], or [B, N] for one per token, in 0 (clean) … 1000 (noise).
        encoder_hidden_states : [B, L, text_dim].  encoder_mask : [B, L] bool, True where a word is; None: all.
            A row without any True has no meaning: keep one token.
        control_hidden_states : [B, vace_in_channels, T, H, W], the VACE pack.  Without a pixel head it may have fewer
            latent frames: the last ones then have no control.
        control_hidden_states_scale : [len(vace_layers)], strength of each hint; None: 1.
        camera : [B, camera_channels, T, H, W] rays, or None.
        Returns [B, out_channels, T, H, W].
        """
        self._check(hidden_states, control_hidden_states, control_hidden_states_scale, camera)
        rope = self.rope(hidden_states)
        x = self._tokens(self.patch_embedding, hidden_states)
        control = self._tokens(self.vace_patch_embedding, control_hidden_states)
        control = F.pad(control, (0, 0, 0, x.shape[1] - control.shape[1]))
        if camera is not None and self.cam is not None:
            rays = self.cam(camera)
            x, control = x + rays, control + rays

        time, modulation, text = self.condition_embedder(timestep, encoder_hidden_states)
        mask = None if encoder_mask is None else encoder_mask[:, None, None, :]

        hint_of: dict[int, Tensor] = {}
        for i, (layer, block) in enumerate(zip(self.config.vace_layers, self.vace_blocks)):
            control, hint = self._run(block, control, x, text, modulation, rope, mask)
            hint_of[layer] = hint if control_hidden_states_scale is None else hint * control_hidden_states_scale[i]
        for i, block in enumerate(self.blocks):
            x = self._run(block, x, hint_of.get(i), text, modulation, rope, mask)

        shift, scale = (self.scale_shift_table + time[:, :, None]).unbind(2)
        x = modulated_layer_norm(x, scale, shift, self.config.eps)
        if self.head is not None:
            return self.head(x, time + _mean_text(text, encoder_mask), hidden_states, control_hidden_states)
        assert self.proj_out is not None  # one or the other
        return self._unpatchify(self.proj_out(x), hidden_states.shape)

    def _check(self, latents: Tensor, control: Tensor, scale: Tensor | None, camera: Tensor | None) -> None:
        size = latents.shape[2:]
        if any(n % p for n, p in zip(size, self.config.patch_size)):
            raise ValueError(f"latents {tuple(size)} are no multiple of the patch {self.config.patch_size}")
        fits = control.shape[3:] == size[1:] and control.shape[2] <= size[0]
        if not fits or (self.head is not None and control.shape[2] < size[0]):
            raise ValueError(f"control {tuple(control.shape)} does not fit latents {tuple(latents.shape)}")
        if camera is not None and camera.shape[2:] != size:
            raise ValueError(f"camera {tuple(camera.shape)} does not fit latents {tuple(latents.shape)}")
        if scale is not None and scale.shape != (len(self.config.vace_layers),):
            raise ValueError(f"{tuple(scale.shape)} scales for {len(self.config.vace_layers)} VACE layers")

    def _tokens(self, embedding: nn.Conv3d, volume: Tensor) -> Tensor:
        # The residual stream keeps the weights' dtype: under autocast it stays float32.
        return embedding(volume).flatten(2).transpose(1, 2).to(embedding.weight.dtype)

    def _run(self, block: nn.Module, *args: Any) -> Any:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(block, *args, use_reentrant=False)
        return block(*args)

    def _unpatchify(self, patches: Tensor, shape: torch.Size) -> Tensor:
        """[B, N, pt*ph*pw*C] -> [B, C, T, H, W]."""
        B, _, T, H, W = shape
        pt, ph, pw = self.config.patch_size
        volume = patches.reshape(B, T // pt, H // ph, W // pw, pt, ph, pw, -1)
        return volume.permute(0, 7, 1, 4, 2, 5, 3, 6).reshape(B, -1, T, H, W)


def _mean_text(text: Tensor, mask: Tensor | None) -> Tensor:
    """[B, L, D] -> [B, 1, D] over the words that are there: light and weather, which the head needs everywhere."""
    if mask is None:
        return text.float().mean(1, keepdim=True)
    weight = mask[:, :, None].float()
    return (text.float() * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1.0)
