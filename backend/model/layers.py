"""The building blocks of PlateDiT: embeddings, attention, transformer blocks, the pixel head.

Legend: B batch, N tokens (latent frames x rows x columns of patches), L text tokens, D inner width
(heads x head_dim), T latent frames, H and W latent rows and columns.

Every parameter that Wan has carries the name it has in diffusers' WanVACETransformer3DModel, so weights load
without renaming.  Norms, modulation and rotary embedding are computed in float32 whatever the weights' dtype.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...kernels import modulated_layer_norm, qk_norm_rope, residual_modulated_layer_norm, rope3d_tables

# Above this many scores (0.5 GB in bfloat16) attention never writes them out.
MAX_SCORES = 2**28


class Rope(NamedTuple):
    """Rotary table of one latent volume.  cos, sin : [N, head_dim / 2] float32."""

    cos: Tensor
    sin: Tensor


def gated_add(x: Tensor, y: Tensor, gate: Tensor) -> Tensor:
    """x + y * gate in float32, returned in x's dtype."""
    return (x.float() + y * gate).to(x.dtype)


class RotaryEmbedding3D(nn.Module):
    """Wan's rotary table: head_dim is split into time, row and column parts, theta 10000."""

    def __init__(
        self, head_dim: int, patch_size: tuple[int, int, int], max_length: int, theta: float = 10000.0
    ) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.patch_size = patch_size
        self.max_length = max_length
        self.theta = theta
        self._tables: dict[tuple, Rope] = {}  # by grid and device: the same few shapes come again and again

    def forward(self, latents: Tensor) -> Rope:
        """The table for latents [B, C, T, H, W].  ValueError when a side is longer than `max_length` patches."""
        t, h, w = (size // patch for size, patch in zip(latents.shape[2:], self.patch_size))
        if max(t, h, w) > self.max_length:
            raise ValueError(f"a latent volume of {(t, h, w)} patches exceeds the rotary table's {self.max_length}")
        key = (t, h, w, latents.device)
        if key not in self._tables:
            if len(self._tables) >= 8:
                self._tables.clear()
            self._tables[key] = Rope(*rope3d_tables(t, h, w, self.head_dim, self.theta, latents.device))
        return self._tables[key]


class TwoLinear(nn.Module):
    """linear_1, an activation, linear_2: the shape of Wan's time and text embedders."""

    def __init__(self, in_dim: int, out_dim: int, activation: nn.Module) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_dim, out_dim)
        self.activation = activation
        self.linear_2 = nn.Linear(out_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(self.activation(self.linear_1(x)))


def timestep_features(timestep: Tensor, dim: int) -> Tensor:
    """[cos, sin] features of timesteps [M] in 0 … 1000, period 10000 -> [M, dim] float32."""
    half = dim // 2
    frequency = torch.exp(torch.arange(half, dtype=torch.float32, device=timestep.device) * (-math.log(10000.0) / half))
    angle = timestep.float()[:, None] * frequency
    return F.pad(torch.cat((angle.cos(), angle.sin()), dim=-1), (0, dim % 2))


class ConditionEmbedder(nn.Module):
    """Timesteps and text into the inner width."""

    def __init__(self, dim: int, freq_dim: int, text_dim: int) -> None:
        super().__init__()
        self.freq_dim = freq_dim
        self.time_embedder = TwoLinear(freq_dim, dim, nn.SiLU())
        self.time_proj = nn.Linear(dim, 6 * dim)
        self.text_embedder = TwoLinear(text_dim, dim, nn.GELU(approximate="tanh"))

    def forward(self, timestep: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """timestep [B] or [B, N], text [B, L, text_dim] -> time [B, 1|N, D], modulation [B, 1|N, 6, D], text [B, L, D].

        The first two are float32: bfloat16 cannot tell neighbouring timesteps apart.
        """
        # Few timesteps differ within a batch, so each is embedded once and then handed to its tokens.
        each, index = torch.unique(timestep, return_inverse=True)
        with torch.autocast(timestep.device.type, enabled=False):
            weight = self.time_embedder.linear_1.weight
            time = self.time_embedder(timestep_features(each, self.freq_dim).to(weight.dtype))
            modulation = self.time_proj(F.silu(time).to(self.time_proj.weight.dtype)).unflatten(-1, (6, -1))
        if timestep.ndim == 1:
            index = index[:, None]
        return time.float()[index], modulation.float()[index], self.text_embedder(text)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention.  q, k, v [B, heads, N|L, head_dim], mask [B, 1, 1, L] bool -> as q.

    On a CPU in bfloat16, written-out matrix products take 40-45% of the time of SDPA's CPU kernel, forward and
    backward (one AVX-512 core, 1344 tokens, 4 x 64): oneDNN multiplies in bfloat16, the kernel in float32.
    """
    scores_size = q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2]
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and scores_size <= MAX_SCORES:
        with torch.autocast("cpu", enabled=False):
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
            if mask is not None:
                scores = scores.masked_fill(~mask, -math.inf)
            return torch.softmax(scores, dim=-1) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class Attention(nn.Module):
    """Multi-head attention with RMS-normed queries and keys; self-attention when no context is given."""

    def __init__(self, dim: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.eps = eps
        self.to_q = nn.Linear(dim, dim)
        self.to_k = nn.Linear(dim, dim)
        self.to_v = nn.Linear(dim, dim)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])
        self.norm_q = nn.RMSNorm(dim, eps=eps)
        self.norm_k = nn.RMSNorm(dim, eps=eps)

    def forward(
        self, x: Tensor, context: Tensor | None = None, rope: Rope | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """x [B, N, D]; context [B, L, D] or None; mask [B, 1, 1, L] bool, True where attended -> [B, N, D]."""
        source = x if context is None else context
        cos, sin = (None, None) if rope is None else rope
        q = qk_norm_rope(self.to_q(x), self.norm_q.weight, cos, sin, self.eps, self.heads)
        k = qk_norm_rope(self.to_k(source), self.norm_k.weight, cos, sin, self.eps, self.heads)
        v = self.to_v(source).unflatten(-1, (self.heads, -1))
        out = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), mask)
        return self.to_out[0](out.transpose(1, 2).flatten(2))


class GeluProjection(nn.Module):
    """Linear, then GELU (tanh)."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """Two linears around a GELU.  Index 1 of `net` is a dropout in diffusers: it keeps the names in step."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GeluProjection(dim, hidden), nn.Identity(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Block(nn.Module):
    """Self-attention, cross-attention to the text and feed-forward, modulated by the timestep."""

    def __init__(self, dim: int, ffn_dim: int, heads: int, cross_attn_norm: bool, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.attn1 = Attention(dim, heads, eps)
        self.attn2 = Attention(dim, heads, eps)
        self.norm2 = nn.LayerNorm(dim, eps) if cross_attn_norm else None
        self.ffn = FeedForward(dim, ffn_dim)
        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def _text_query(self, x: Tensor) -> Tensor:
        if self.norm2 is None:
            return x
        weight, bias = self.norm2.weight.float(), self.norm2.bias.float()
        return F.layer_norm(x.float(), x.shape[-1:], weight, bias, self.eps).to(x.dtype)

    def transform(self, x: Tensor, text: Tensor, modulation: Tensor, rope: Rope, mask: Tensor | None) -> Tensor:
        """x [B, N, D], text [B, L, D], modulation [B, 1|N, 6, D] float32, mask [B, 1, 1, L] -> [B, N, D]."""
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = (self.scale_shift_table + modulation).unbind(2)
        x = gated_add(x, self.attn1(modulated_layer_norm(x, scale, shift, self.eps), rope=rope), gate)
        out = self.attn2(self._text_query(x), text, mask=mask)
        x, normed = residual_modulated_layer_norm(x, out, None, ffn_scale, ffn_shift, self.eps)
        return gated_add(x, self.ffn(normed), ffn_gate)


class MainBlock(Block):
    """A block of the main branch; the control branch's hint, if it gets one, is added to what it made."""

    def forward(
        self, x: Tensor, hint: Tensor | None, text: Tensor, modulation: Tensor, rope: Rope, mask: Tensor | None
    ) -> Tensor:
        x = self.transform(x, text, modulation, rope, mask)
        return x if hint is None else x + hint


class VaceBlock(Block):
    """A block of the control branch: carries the control tokens on and gives the main branch a hint."""

    def __init__(self, dim: int, ffn_dim: int, heads: int, cross_attn_norm: bool, eps: float, *, first: bool) -> None:
        super().__init__(dim, ffn_dim, heads, cross_attn_norm, eps)
        self.proj_in = nn.Linear(dim, dim) if first else None
        self.proj_out = nn.Linear(dim, dim)

    def forward(
        self, control: Tensor, x: Tensor, text: Tensor, modulation: Tensor, rope: Rope, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """control and main tokens [B, N, D] -> (control tokens, hint), [B, N, D] each."""
        if self.proj_in is not None:
            control = self.proj_in(control) + x
        control = self.transform(control, text, modulation, rope, mask)
        return control, self.proj_out(control)


class CameraBranch(nn.Module):
    """Plücker rays as tokens.  Its last layer starts at zero, so an untrained branch changes nothing."""

    def __init__(self, channels: int, dim: int, patch_size: tuple[int, int, int]) -> None:
        super().__init__()
        self.patch_embedding = nn.Conv3d(channels, dim, patch_size, stride=patch_size)
        self.proj = nn.Linear(dim, dim)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, rays: Tensor) -> Tensor:
        """rays [B, C, T, H, W] -> [B, N, D]."""
        return self.proj(F.silu(self.patch_embedding(rays).flatten(2).transpose(1, 2)))
