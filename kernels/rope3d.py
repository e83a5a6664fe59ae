"""RMS norm of queries or keys across all heads, then rotary position in time, height and width.

Legend: B clips, N = T*H*W tokens (T slowest), D = heads * dim channels.  A head's channels are split into a time, a
height and a width part; inside each, neighbouring channels (2i, 2i+1) are rotated together by position * frequency i.
Computed in float32 whatever x's dtype (float64 for float64), with one rounding at the end.

Gradients: the Triton path has a Triton backward of its own, which recomputes the norm from the saved x.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .dispatch import Implementation, cdiv, compute_dtype, launch, row_block, rows_contiguous, use_triton_rows

if TYPE_CHECKING:
    import triton.language as tl

FORWARD_ROWS = 4  # tokens a program, so that the weight is read once for four
BACKWARD_ROWS = 32  # tokens whose gradients for the weight are summed in registers


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
    if use_triton_rows(x, implementation):
        return _QKNormRope.apply(x, weight, cos, sin, eps, heads)  # type: ignore[return-value]
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


# ----------------------------------------------------------------------------------------------------------- Triton


def _forward_kernel(
    x_ptr, weight_ptr, cos_ptr, sin_ptr, y_ptr,
    N, D, half, eps, x_b, x_n,
    ROTATE: tl.constexpr, ROWS: tl.constexpr, PAIRS: tl.constexpr,
):  # fmt: skip
    """A program handles ROWS tokens of one clip, as pairs (2i, 2i+1) of channels.  half = dim / 2; y is contiguous."""
    channel = tl.arange(0, 2 * PAIRS)
    inside = channel < D
    pair = tl.arange(0, PAIRS)
    b = tl.program_id(1).to(tl.int64)
    first = tl.program_id(0).to(tl.int64) * ROWS
    weight = tl.load(weight_ptr + channel, mask=inside, other=0.0).to(tl.float32)
    for row in range(first, tl.minimum(first + ROWS, N)):
        x = tl.load(x_ptr + b * x_b + row * x_n + channel, mask=inside, other=0.0).to(tl.float32)
        rrms = 1 / tl.sqrt(tl.sum(x * x, axis=0) / D + eps)
        y = x * weight * rrms
        if ROTATE:
            real, imaginary = tl.split(tl.reshape(y, (PAIRS, 2)))
            cos = tl.load(cos_ptr + row * half + pair % half, mask=pair * 2 < D, other=0.0)
            sin = tl.load(sin_ptr + row * half + pair % half, mask=pair * 2 < D, other=0.0)
            y = tl.reshape(tl.join(real * cos - imaginary * sin, real * sin + imaginary * cos), (2 * PAIRS,))
        tl.store(y_ptr + (b * N + row) * D + channel, y.to(y_ptr.dtype.element_ty), mask=inside)


def _backward_kernel(
    x_ptr, weight_ptr, cos_ptr, sin_ptr, dy_ptr, dx_ptr, dweight_ptr,
    N, D, half, eps, x_b, x_n, dy_b, dy_n,
    ROTATE: tl.constexpr, ROWS: tl.constexpr, PAIRS: tl.constexpr,
):  # fmt: skip
    """Gradients of ROWS tokens of one clip; dweight [B, blocks, D] float32 is to be summed over clips and blocks.

    With t = (dy rotated back) * weight:  dx = (t - x * mean(t * x) / rms^2) / rms.  In this order, gradient first and x
    never normalised, the widest rows fit the registers.
    """
    channel = tl.arange(0, 2 * PAIRS)
    inside = channel < D
    pair = tl.arange(0, PAIRS)
    b = tl.program_id(1).to(tl.int64)
    block = tl.program_id(0).to(tl.int64)
    first = block * ROWS
    dweight = tl.full((2 * PAIRS,), 0.0, tl.float32)
    for row in range(first, tl.minimum(first + ROWS, N)):
        g = tl.load(dy_ptr + b * dy_b + row * dy_n + channel, mask=inside, other=0.0).to(tl.float32)
        if ROTATE:
            real, imaginary = tl.split(tl.reshape(g, (PAIRS, 2)))
            cos = tl.load(cos_ptr + row * half + pair % half, mask=pair * 2 < D, other=0.0)
            sin = tl.load(sin_ptr + row * half + pair % half, mask=pair * 2 < D, other=0.0)
            g = tl.reshape(tl.join(real * cos + imaginary * sin, imaginary * cos - real * sin), (2 * PAIRS,))
        x = tl.load(x_ptr + b * x_b + row * x_n + channel, mask=inside, other=0.0).to(tl.float32)
        rrms = 1 / tl.sqrt(tl.sum(x * x, axis=0) / D + eps)
        dweight += g * (x * rrms)
        # Read again for every token: held, the widest rows would not fit the registers, and it comes from the cache.
        t = g * tl.load(weight_ptr + channel, mask=inside, other=0.0).to(tl.float32)
        dx = (t - x * (tl.sum(t * x, axis=0) * rrms * rrms / D)) * rrms
        tl.store(dx_ptr + (b * N + row) * D + channel, dx.to(dx_ptr.dtype.element_ty), mask=inside)
    tl.store(dweight_ptr + (b * tl.num_programs(0) + block) * D + channel, dweight, mask=inside)


class _QKNormRope(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, weight: Tensor, cos: Tensor | None, sin: Tensor | None, eps: float, heads: int
    ) -> Tensor:
        B, N, D = x.shape
        x, weight = rows_contiguous(x), weight.contiguous()
        if cos is not None and sin is not None:
            cos, sin = cos.float().contiguous(), sin.float().contiguous()
        y = torch.empty((B, N, heads, D // heads), dtype=x.dtype, device=x.device)
        columns, warps = row_block(D)
        launch(
        _forward_kernel, (cdiv(N, FORWARD_ROWS), B),
            x, weight, weight if cos is None else cos, weight if sin is None else sin, y,
            N, D, D // heads // 2, eps, *x.stride()[:2],
            ROTATE=cos is not None, ROWS=FORWARD_ROWS, PAIRS=columns // 2, num_warps=warps,
        )  # fmt: skip
        ctx.save_for_backward(x, weight, cos, sin)
        ctx.eps, ctx.heads = eps, heads
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, cos, sin = ctx.saved_tensors
        B, N, D = x.shape
        dy = dy.reshape(B, N, D)  # from attention it often comes as [B, heads, N, dim] seen through a transpose
        dy = rows_contiguous(dy)
        dx = torch.empty((B, N, D), dtype=x.dtype, device=x.device)
        blocks = cdiv(N, BACKWARD_ROWS)
        dweight = torch.empty((B, blocks, D), dtype=torch.float32, device=x.device)
        columns, warps = row_block(D)
        launch(
        _backward_kernel, (blocks, B),
            x, weight, weight if cos is None else cos, weight if sin is None else sin, dy, dx, dweight,
            N, D, D // ctx.heads // 2, ctx.eps, *x.stride()[:2], *dy.stride()[:2],
            ROTATE=cos is not None, ROWS=BACKWARD_ROWS, PAIRS=columns // 2, num_warps=warps,
        )  # fmt: skip
        return dx, dweight.sum((0, 1)).to(weight.dtype), None, None, None, None
