"""Adaptive LayerNorm: normalise a token, then scale and shift it by what the timestep says.

Legend: B clips, N tokens, D channels.  Statistics and modulation are computed in float32 whatever the tokens' dtype
(float64 for float64 tokens), with one rounding at the end, as the Wan transformer's blocks do.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .dispatch import Implementation, compute_dtype, use_triton


def modulated_layer_norm(
    x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-6, *, implementation: Implementation = "auto"
) -> Tensor:
    """LayerNorm(x) * (1 + scale) + shift, without learned affine; returns [B, N, D] in x's dtype.

    x : [B, N, D], float64, float32, bfloat16 or float16.
    scale, shift : [B, 1, D] or [B, N, D] (one set per clip, or one per token), any float dtype.
    implementation : "auto" takes Triton on CUDA and torch elsewhere; "reference" and "triton" force one.

    Differentiable in x, scale and shift.  ValueError on shapes that do not fit.
    """
    _check(x, scale, shift)
    if use_triton(x, implementation):
        raise NotImplementedError
    return modulated_layer_norm_reference(x, scale, shift, eps)


def modulated_layer_norm_reference(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """The definition, in plain torch."""
    dtype = compute_dtype(x)
    weight, bias = 1 + scale.to(dtype), shift.to(dtype)
    size = (x.shape[-1],)
    if scale.shape[1] == 1:
        # One fused pass a clip instead of three over all of them: half the time on a CPU, forward and backward.
        clips = zip(x.to(dtype), weight[:, 0], bias[:, 0])
        return torch.stack([F.layer_norm(tokens, size, w, b, eps) for tokens, w, b in clips]).to(x.dtype)
    return torch.addcmul(bias, F.layer_norm(x.to(dtype), size, None, None, eps), weight).to(x.dtype)


def _check(x: Tensor, scale: Tensor, shift: Tensor) -> None:
    if x.ndim != 3:
        raise ValueError(f"tokens must be [B, N, D], got {tuple(x.shape)}")
    B, N, D = x.shape
    if scale.shape not in ((B, 1, D), (B, N, D)) or shift.shape != scale.shape:
        raise ValueError(
            f"scale and shift must both be [{B}, 1 or {N}, {D}], got {tuple(scale.shape)} and {tuple(shift.shape)}"
        )
