"""RMS norm of queries or keys across all heads, then rotary position in time, height and width.

Legend: B clips, N = T*H*W tokens (T slowest), D = heads * dim channels.  A head's channels are split into a time, a
height and a width part; inside each, neighbouring channels (2i, 2i+1) are rotated together by position * frequency i.
Computed in float32 whatever x's dtype (float64 for float64), with one rounding at the end.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .dispatch import Implementation, compute_dtype, use_triton


def rope3d_tables(
    T: int, H: int, W: int, head_dim: int, theta: float = 10000.0, device: torch.device | str | None = None
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every token's rotations, each [T*H*W, head_dim/2] float32.

    Height and width get 2 * (head_dim // 6) channels each, time the rest, as in Wan.  Angles are computed in float64.
    Raises ValueError when head_dim is odd or under 6.
    """
    if head_dim % 2 or head_dim < 6:
        raise ValueError(f"head_dim must be even and at least 6, got {head_dim}")
    side = 2 * (head_dim // 6)
    angles = []
    for length, channels, axis in ((T, head_dim - 2 * side, 0), (H, side, 1), (W, side, 2)):
        exponent = torch.arange(0, channels, 2, dtype=torch.float64) / channels
        table = torch.arange(length, dtype=torch.float64)[:, None] * theta**-exponent
        shape = [1, 1, 1, channels // 2]
        shape[axis] = length
        angles.append(table.view(shape).expand(T, H, W, channels // 2))
    angle = torch.cat(angles, dim=-1).reshape(T * H * W, head_dim // 2)
    return angle.cos().float().to(device), angle.sin().float().to(device)


def qk_norm_rope(
    x: Tensor,
    weight: Tensor,
    cos: Tensor | None,
    sin: Tensor | None,
    eps: float,
    heads: int,
    *,
    implementation: Implementation = "auto",
) -> Tensor:
    """RMS-normalise x over all its channels, weight it, rotate it; returns [B, N, heads, dim] in x's dtype.

    x : [B, N, heads * dim], float64, float32, bfloat16 or float16; channels contiguous, else any strides.
    weight : [heads * dim].
    cos, sin : [N, dim/2] from `rope3d_tables`; both None for cross-attention, which is not rotated.
    implementation : "auto" takes Triton on CUDA and torch elsewhere; "reference" and "triton" force one.

    Differentiable in x and weight.  ValueError on shapes that do not fit.
    """
    _check(x, weight, cos, sin, heads)
    if use_triton(x, implementation):
        raise NotImplementedError
    return qk_norm_rope_reference(x, weight, cos, sin, eps, heads)


def qk_norm_rope_reference(
    x: Tensor, weight: Tensor, cos: Tensor | None, sin: Tensor | None, eps: float, heads: int
) -> Tensor:
    """The definition, in plain torch.  Complex numbers, because the strided form costs 2-4 times as much on a CPU."""
    B, N, _ = x.shape
    dtype = compute_dtype(x)
    wide = x.to(dtype)
    y = wide * weight.to(dtype) * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    if cos is None or sin is None:
        return y.view(B, N, heads, -1).to(x.dtype)
    turn = torch.complex(cos.to(dtype), sin.to(dtype))[:, None]  # [N, 1, dim/2]
    rotated = torch.view_as_complex(y.view(B, N, heads, -1, 2)) * turn
    return torch.view_as_real(rotated).flatten(-2).to(x.dtype)


def _check(x: Tensor, weight: Tensor, cos: Tensor | None, sin: Tensor | None, heads: int) -> None:
    if x.ndim != 3 or x.shape[2] % heads:
        raise ValueError(f"x must be [B, N, {heads} heads * dim], got {tuple(x.shape)}")
    N, D = x.shape[1:]
    if weight.shape != (D,):
        raise ValueError(f"weight must be [{D}], got {tuple(weight.shape)}")
    if (cos is None) != (sin is None):
        raise ValueError("give both cos and sin, or neither")
    if cos is not None and sin is not None:
        half = D // heads // 2
        if (D // heads) % 2 or cos.shape != (N, half) or sin.shape != (N, half):
            raise ValueError(f"cos and sin must be [{N}, {half}], got {tuple(cos.shape)} and {tuple(sin.shape)}")
