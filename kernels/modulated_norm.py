"""Adaptive LayerNorm: normalise a token, then scale and shift it by what the timestep says; and the same after adding
a transformer branch to the residual stream, in one pass.

Legend: B clips, N tokens, D channels.  Statistics and modulation are computed in float32 whatever the tokens' dtype
(float64 for float64 tokens), with one rounding at the end, as the Wan transformer's blocks do.

Gradients: the Triton path has a Triton backward of its own, which recomputes the statistics from the saved tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .dispatch import Implementation, cdiv, compute_dtype, launch, row_block, rows_contiguous, use_triton_rows

if TYPE_CHECKING:
    import triton.language as tl

FORWARD_ROWS = 4  # tokens a program, so that a clip's scale and shift are read once for four
BACKWARD_ROWS = 32  # tokens whose gradients for scale and shift are summed in registers


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
    if use_triton_rows(x, implementation):
        return _ModulatedLayerNorm.apply(x, scale, shift, eps)  # type: ignore[return-value]
    return modulated_layer_norm_reference(x, scale, shift, eps)


def residual_modulated_layer_norm(
    x: Tensor,
    branch: Tensor,
    gate: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    eps: float = 1e-6,
    *,
    implementation: Implementation = "auto",
) -> tuple[Tensor, Tensor]:
    """h = x + branch * gate, and `modulated_layer_norm` of h; returns (h, normalised h), each [B, N, D] in x's dtype.

    x : [B, N, D], the residual stream.  branch : [B, N, D], what attention or feed-forward made of it, any float dtype.
    gate : [B, 1, D] or [B, N, D], any float dtype; None: 1.
    The rest as in `modulated_layer_norm`.  h is rounded to x's dtype before it is normalised, as if the two steps stood
    apart.  Differentiable in all five tensors.  ValueError on shapes that do not fit.
    """
    _check(x, scale, shift)
    if branch.shape != x.shape or (gate is not None and gate.shape not in (x[:, :1].shape, x.shape)):
        raise ValueError(
            f"branch must be {tuple(x.shape)} and gate that or one per clip, got {tuple(branch.shape)}"
            f" and {None if gate is None else tuple(gate.shape)}"
        )
    if use_triton_rows(x, implementation):
        return _ResidualModulatedLayerNorm.apply(x, branch, gate, scale, shift, eps)  # type: ignore[return-value]
    return residual_modulated_layer_norm_reference(x, branch, gate, scale, shift, eps)


def modulated_layer_norm_reference(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """The definition, in plain torch."""
    dtype = compute_dtype(x)
    weight, bias = 1 + scale.to(dtype), shift.to(dtype)
    size = (x.shape[-1],)
    if scale.shape[1] == 1:
        # One fused pass a clip instead of three over all of them: half the time on a CPU, forward and backward.
        # (Feeding bfloat16 tokens in directly is faster still, but gets the gradient of scale wrong by 5%.)
        clips = zip(x.to(dtype), weight[:, 0], bias[:, 0])
        return torch.stack([F.layer_norm(tokens, size, w, b, eps) for tokens, w, b in clips]).to(x.dtype)
    return torch.addcmul(bias, F.layer_norm(x.to(dtype), size, None, None, eps), weight).to(x.dtype)


def residual_modulated_layer_norm_reference(
    x: Tensor, branch: Tensor, gate: Tensor | None, scale: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """The definition, in plain torch."""
    dtype = compute_dtype(x)
    added = x.to(dtype) + branch if gate is None else torch.addcmul(x.to(dtype), branch.to(dtype), gate.to(dtype))
    h = added.to(x.dtype)
    return h, modulated_layer_norm_reference(h, scale, shift, eps)


def _check(x: Tensor, scale: Tensor, shift: Tensor) -> None:
    if x.ndim != 3:
        raise ValueError(f"tokens must be [B, N, D], got {tuple(x.shape)}")
    B, N, D = x.shape
    if scale.shape not in ((B, 1, D), (B, N, D)) or shift.shape != scale.shape:
        raise ValueError(
            f"scale and shift must both be [{B}, 1 or {N}, {D}], got {tuple(scale.shape)} and {tuple(shift.shape)}"
        )


# ----------------------------------------------------------------------------------------------------------- Triton


def _forward_kernel(
    x_ptr, scale_ptr, shift_ptr, y_ptr, branch_ptr, gate_ptr, h_ptr,
    N, D, eps, x_b, x_n, scale_b, scale_n, shift_b, shift_n, branch_b, branch_n, gate_b, gate_n,
    PER_TOKEN: tl.constexpr, RESIDUAL: tl.constexpr, GATED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """A program normalises ROWS tokens of one clip.

    *_b and *_n are strides (gate_n is 0 for one gate per clip); y and h are contiguous.  Without RESIDUAL there is
    neither branch nor h, without GATED no gate, and their pointers are not read.
    """
    column = tl.arange(0, COLUMNS)
    inside = column < D
    b = tl.program_id(1).to(tl.int64)
    first = tl.program_id(0).to(tl.int64) * ROWS  # 64 bits: N * D of four long clips does not fit 31
    weight = 1 + tl.load(scale_ptr + b * scale_b + column, mask=inside, other=0.0).to(tl.float32)
    bias = tl.load(shift_ptr + b * shift_b + column, mask=inside, other=0.0).to(tl.float32)
    for row in range(first, tl.minimum(first + ROWS, N)):
        x = tl.load(x_ptr + b * x_b + row * x_n + column, mask=inside, other=0.0).to(tl.float32)
        if RESIDUAL:
            branch = tl.load(branch_ptr + b * branch_b + row * branch_n + column, mask=inside, other=0.0).to(tl.float32)
            if GATED:
                branch *= tl.load(gate_ptr + b * gate_b + row * gate_n + column, mask=inside, other=0.0).to(tl.float32)
            h = (x + branch).to(h_ptr.dtype.element_ty)
            tl.store(h_ptr + (b * N + row) * D + column, h, mask=inside)
            x = h.to(tl.float32)
        centred = tl.where(inside, x - tl.sum(x, axis=0) / D, 0.0)
        rstd = 1 / tl.sqrt(tl.sum(centred * centred, axis=0) / D + eps)
        if PER_TOKEN:
            weight = 1 + tl.load(scale_ptr + b * scale_b + row * scale_n + column, mask=inside, other=0.0).to(
                tl.float32
            )
            bias = tl.load(shift_ptr + b * shift_b + row * shift_n + column, mask=inside, other=0.0).to(tl.float32)
        y = centred * rstd * weight + bias
        tl.store(y_ptr + (b * N + row) * D + column, y.to(y_ptr.dtype.element_ty), mask=inside)


def _backward_kernel(
    x_ptr, scale_ptr, dy_ptr, dh_ptr, dx_ptr, dscale_ptr, dshift_ptr,
    N, D, eps, x_b, x_n, scale_b, scale_n, dy_b, dy_n, dh_b, dh_n,
    PER_TOKEN: tl.constexpr, RESIDUAL: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Gradients of ROWS tokens of one clip.

    dscale and dshift are contiguous float32: [B, N, D] if PER_TOKEN, else [B, blocks, D], to be summed over blocks.
    With n = normalised x and g = dy * (1 + scale):  dx = (g - mean(g) - n * mean(g * n)) / std,
    plus dh, the gradient of x's other use, if RESIDUAL.
    """
    column = tl.arange(0, COLUMNS)
    inside = column < D
    b = tl.program_id(1).to(tl.int64)
    block = tl.program_id(0).to(tl.int64)
    first = block * ROWS
    dscale = tl.full((COLUMNS,), 0.0, tl.float32)
    dshift = tl.full((COLUMNS,), 0.0, tl.float32)
    for row in range(first, tl.minimum(first + ROWS, N)):
        x = tl.load(x_ptr + b * x_b + row * x_n + column, mask=inside, other=0.0).to(tl.float32)
        centred = tl.where(inside, x - tl.sum(x, axis=0) / D, 0.0)
        rstd = 1 / tl.sqrt(tl.sum(centred * centred, axis=0) / D + eps)
        normed = centred * rstd
        dy = tl.load(dy_ptr + b * dy_b + row * dy_n + column, mask=inside, other=0.0).to(tl.float32)
        # Read again for every token: held, the widest rows would not fit the registers, and it comes from the cache.
        at = b * scale_b
        if PER_TOKEN:
            at += row * scale_n
        g = dy * (1 + tl.load(scale_ptr + at + column, mask=inside, other=0.0).to(tl.float32))
        if PER_TOKEN:
            tl.store(dscale_ptr + (b * N + row) * D + column, dy * normed, mask=inside)
            tl.store(dshift_ptr + (b * N + row) * D + column, dy, mask=inside)
        else:
            dscale += dy * normed
            dshift += dy
        dx = (g - tl.sum(g, axis=0) / D - normed * (tl.sum(g * normed, axis=0) / D)) * rstd
        if RESIDUAL:
            dx += tl.load(dh_ptr + b * dh_b + row * dh_n + column, mask=inside, other=0.0).to(tl.float32)
        tl.store(dx_ptr + (b * N + row) * D + column, dx.to(dx_ptr.dtype.element_ty), mask=inside)
    if not PER_TOKEN:
        out = (b * tl.num_programs(0) + block) * D
        tl.store(dscale_ptr + out + column, dscale, mask=inside)
        tl.store(dshift_ptr + out + column, dshift, mask=inside)


def _launch_forward(
    x: Tensor, scale: Tensor, shift: Tensor, eps: float, branch: Tensor | None = None, gate: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(h, y); h is x itself when no branch is added."""
    B, N, D = x.shape
    x, scale, shift = rows_contiguous(x), rows_contiguous(scale), rows_contiguous(shift)
    added = x if branch is None else rows_contiguous(branch)
    factor = x if gate is None else rows_contiguous(gate)
    y = torch.empty((B, N, D), dtype=x.dtype, device=x.device)
    h = x if branch is None else torch.empty((B, N, D), dtype=x.dtype, device=x.device)
    columns, warps = row_block(D)
    launch(
        _forward_kernel, (cdiv(N, FORWARD_ROWS), B),
        x, scale, shift, y, added, factor, h,
        N, D, eps, *x.stride()[:2], *scale.stride()[:2], *shift.stride()[:2], *added.stride()[:2],
        factor.stride(0), factor.stride(1) if factor.shape[1] == N else 0,
        PER_TOKEN=scale.shape[1] == N, RESIDUAL=branch is not None, GATED=gate is not None,
        ROWS=FORWARD_ROWS, COLUMNS=columns, num_warps=warps,
    )  # fmt: skip
    return h, y


def _launch_backward(
    x: Tensor, scale: Tensor, eps: float, dy: Tensor, dh: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x in its dtype and of scale and shift in float32, in scale's shape."""
    B, N, D = x.shape
    scale, dy = rows_contiguous(scale), rows_contiguous(dy)
    other = dy if dh is None else rows_contiguous(dh)
    per_token = scale.shape[1] == N
    blocks = cdiv(N, BACKWARD_ROWS)
    dx = torch.empty((B, N, D), dtype=x.dtype, device=x.device)
    dscale, dshift = torch.empty((2, B, N if per_token else blocks, D), dtype=torch.float32, device=x.device)
    columns, warps = row_block(D)
    launch(
        _backward_kernel, (blocks, B),
        x, scale, dy, other, dx, dscale, dshift,
        N, D, eps, *x.stride()[:2], *scale.stride()[:2], *dy.stride()[:2], *other.stride()[:2],
        PER_TOKEN=per_token, RESIDUAL=dh is not None, ROWS=BACKWARD_ROWS, COLUMNS=columns, num_warps=warps,
    )  # fmt: skip
    if not per_token:
        dscale, dshift = dscale.sum(1, keepdim=True), dshift.sum(1, keepdim=True)
    return dx, dscale, dshift


class _ModulatedLayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:  # type: ignore[override]
        x, y = _launch_forward(x, scale, shift, eps)
        ctx.save_for_backward(x, scale)
        ctx.eps, ctx.shift_dtype = eps, shift.dtype
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, scale = ctx.saved_tensors
        dx, dscale, dshift = _launch_backward(x, scale, ctx.eps, dy)
        return dx, dscale.to(scale.dtype), dshift.to(ctx.shift_dtype), None


class _ResidualModulatedLayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, branch: Tensor, gate: Tensor | None, scale: Tensor, shift: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        h, y = _launch_forward(x, scale, shift, eps, branch, gate)
        ctx.save_for_backward(h, scale, branch, gate)
        ctx.eps, ctx.shift_dtype = eps, shift.dtype
        return h, y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dh: Tensor, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        h, scale, branch, gate = ctx.saved_tensors
        dx, dscale, dshift = _launch_backward(h, scale, ctx.eps, dy, dh)
        if gate is None:
            dbranch, dgate = dx.to(branch.dtype), None
        else:
            dbranch = (dx.float() * gate).to(branch.dtype)
            dgate = (dx.float() * branch).sum_to_size(gate.shape).to(gate.dtype)
        return dx, dbranch, dgate, dscale.to(scale.dtype), dshift.to(ctx.shift_dtype), None
