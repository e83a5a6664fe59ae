"""A picture with depth, seen from another camera: every pixel is carried over and the nearest wins.

Legend: B pictures, C channels, H rows, W columns (TH, TW of the target).  Depth is camera-plane z in metres, `inf` at
infinity.  K in pixels, pixel centres at +0.5; world_from_camera has OpenCV axes (x right, y down, z forward).

A pixel p = (x, y, 1) of the source with inverse depth w = 1/z lands, in the target's picture, at the q of

    q = A p + w a        A = K_t R K_s^-1,  a = K_t T,  target_from_source = [R | T]

divided by its third component q_z, and is z q_z deep there.  At infinity w = 0 and only the rotation is left: no case
of its own.  Positions are computed in float64, so that both implementations choose the same pixel.

The z-buffer holds one 64-bit key a target pixel: the bits of the float32 depth (for positive numbers they sort as the
numbers do), then the source pixel's index.  The least key wins, whatever the order of arrival: the result is
deterministic, and of two equally deep pixels the first in memory is seen.

The pipeline carries known frames to the others with it (backend/pipeline/carrying.py).  Where a picture is measured and
for noise, it looks up backwards, which is exact to parts of a pixel (docs/decisions/reprojection-kernel.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from .dispatch import Implementation, cdiv, launch, use_triton

if TYPE_CHECKING:
    import triton.language as tl

EMPTY = 2**63 - 1  # the key of a pixel that nothing reached
INDEX = 2**32 - 1  # the bits of a key that hold the source pixel
# Added before rounding down to a pixel, so that a shift by exactly half a pixel falls on one side in every rounding.
NUDGE = 1e-6
PIXELS = 512  # a program of a kernel


class Reprojected(NamedTuple):
    """What the target camera sees of the source picture.

    color : [B, C, TH, TW] in the source's dtype, 0 where nothing landed; differentiable in the source's colour.
    depth : [B, TH, TW] float32 metres, `inf` at infinity and where nothing landed; carries no gradient.
    mask : [B, TH, TW] bool, True where something landed.
    """

    color: Tensor
    depth: Tensor
    mask: Tensor


def reproject(
    depth: Tensor,
    color: Tensor,
    K: Tensor,
    world_from_camera: Tensor,
    target_K: Tensor,
    target_world_from_camera: Tensor,
    size: tuple[int, int] | None = None,
    *,
    implementation: Implementation = "auto",
) -> Reprojected:
    """Splat each source pixel onto the one target pixel in which its centre lands; the nearest to the camera stays.

    depth : [B, H, W] float.  A pixel whose depth is NaN or not above 0 is left out.
    color : [B, C, H, W] float; C may be 0.
    K, target_K : [B, 3, 3], last row 0 0 1.  world_from_camera, target_world_from_camera : [B, 4, 4], rigid.
    size : (TH, TW) of the target; None: as the source.
    implementation : "auto" takes Triton on CUDA and torch elsewhere; "reference" and "triton" force one.

    Where the target looks closer than the source did, single-pixel splats leave holes: the mask says so.
    ValueError on shapes that do not fit.
    """
    TH, TW = _check(depth, color, (K, target_K), (world_from_camera, target_world_from_camera), size)
    transfer = _transfer(K, world_from_camera, target_K, target_world_from_camera).to(depth.device)
    if use_triton(depth, implementation) and depth.numel():
        keys = _launch_splat(depth, transfer, TH, TW)
        color, target_depth, mask = _Resolve.apply(color, keys)  # type: ignore[misc]
        return Reprojected(color, target_depth, mask)
    return _resolve_reference(color, splat_reference(depth, transfer, TH, TW))


def splat_reference(depth: Tensor, transfer: Tensor, TH: int, TW: int) -> Tensor:
    """The z-buffer [B, TH, TW] int64 of depth [B, H, W], under transfer [B, 3, 4] = [A | a]."""
    B, H, W = depth.shape
    z = depth.double()
    x = torch.arange(W, dtype=torch.float64, device=z.device) + 0.5
    y = (torch.arange(H, dtype=torch.float64, device=z.device) + 0.5)[:, None]
    m = transfer[..., None, None].unbind(1)
    qx, qy, qz = (r[:, 0] * x + r[:, 1] * y + r[:, 2] + r[:, 3] / z for r in m)
    column, row = torch.floor(qx / qz + NUDGE), torch.floor(qy / qz + NUDGE)
    seen = (z > 0) & (qz > 0) & (column >= 0) & (column < TW) & (row >= 0) & (row < TH)
    source = torch.arange(H * W, device=z.device).view(H, W)
    key = ((z * qz).float().view(torch.int32).long() << 32) | source
    picture = torch.arange(B, device=z.device)[:, None, None]
    target = (picture * TH + row) * TW + column
    keys = torch.full((B * TH * TW,), EMPTY, dtype=torch.int64, device=z.device)
    return keys.scatter_reduce_(0, target[seen].long(), key[seen], "amin").view(B, TH, TW)


def _resolve_reference(color: Tensor, keys: Tensor) -> Reprojected:
    """What the z-buffer shows."""
    mask = keys != EMPTY
    source = torch.where(mask, keys & INDEX, 0).flatten(1)[:, None].expand(-1, color.shape[1], -1)
    seen = color.flatten(2).gather(2, source).unflatten(2, keys.shape[1:])
    depth = (keys >> 32).int().view(torch.float32)
    return Reprojected(torch.where(mask[:, None], seen, 0), torch.where(mask, depth, torch.inf), mask)


def _transfer(K: Tensor, world_from_camera: Tensor, target_K: Tensor, target_world_from_camera: Tensor) -> Tensor:
    """[A | a] of every pair of cameras, [B, 3, 4] float64."""
    K, pose, target_K, target_pose = (m.double() for m in (K, world_from_camera, target_K, target_world_from_camera))
    target_from_world = target_pose[:, :3, :3].transpose(1, 2)  # rigid: the inverse rotation is the transpose
    R = target_from_world @ pose[:, :3, :3]
    T = target_from_world @ (pose[:, :3, 3:] - target_pose[:, :3, 3:])
    return torch.cat((target_K @ R @ torch.linalg.inv(K), target_K @ T), dim=2)


def _check(
    depth: Tensor,
    color: Tensor,
    Ks: tuple[Tensor, Tensor],
    poses: tuple[Tensor, Tensor],
    size: tuple[int, int] | None,
) -> tuple[int, int]:
    """The target's (rows, columns)."""
    if depth.ndim != 3 or color.ndim != 4 or color.shape[::2] != depth.shape[:2] or color.shape[3] != depth.shape[2]:
        raise ValueError(
            f"depth must be [B, H, W] and color [B, C, H, W], got {tuple(depth.shape)} and {tuple(color.shape)}"
        )
    B, H, W = depth.shape
    if any(K.shape != (B, 3, 3) for K in Ks) or any(pose.shape != (B, 4, 4) for pose in poses):
        shapes = [tuple(m.shape) for m in (*Ks, *poses)]
        raise ValueError(f"cameras must be [{B}, 3, 3] and [{B}, 4, 4], got {shapes}")
    TH, TW = (H, W) if size is None else size
    if min(TH, TW) < 1 or max(H * W, TH * TW) >= 2**31:
        raise ValueError(f"pictures must have 1 to 2**31 - 1 pixels, got {H}x{W} and {TH}x{TW}")
    return TH, TW


# ----------------------------------------------------------------------------------------------------------- Triton


def _splat_kernel(
    depth_ptr, transfer_ptr, keys_ptr, H, W, TH, TW, NUDGE: tl.constexpr, PIXELS: tl.constexpr
):  # fmt: skip
    """A program carries PIXELS source pixels of one picture over.  All tensors are contiguous."""
    b = tl.program_id(1).to(tl.int64)
    source = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    inside = source < H * W
    z = tl.load(depth_ptr + b * H * W + source, mask=inside, other=-1.0).to(tl.float64)
    x = (source % W).to(tl.float64) + 0.5
    y = (source // W).to(tl.float64) + 0.5
    m = transfer_ptr + b * 12
    qx = tl.load(m) * x + tl.load(m + 1) * y + tl.load(m + 2) + tl.load(m + 3) / z
    qy = tl.load(m + 4) * x + tl.load(m + 5) * y + tl.load(m + 6) + tl.load(m + 7) / z
    qz = tl.load(m + 8) * x + tl.load(m + 9) * y + tl.load(m + 10) + tl.load(m + 11) / z
    column = tl.floor(qx / qz + NUDGE)
    row = tl.floor(qy / qz + NUDGE)
    seen = inside & (z > 0) & (qz > 0) & (column >= 0) & (column < TW) & (row >= 0) & (row < TH)
    bits = (z * qz).to(tl.float32).to(tl.int32, bitcast=True).to(tl.int64)
    key = (bits << 32) | source.to(tl.int64)
    target = tl.where(seen, row, 0.0).to(tl.int64) * TW + tl.where(seen, column, 0.0).to(tl.int64)
    tl.atomic_min(keys_ptr + b * TH * TW + target, key, mask=seen, sem="relaxed")


def _resolve_kernel(
    keys_ptr, color_ptr, seen_ptr, depth_ptr, mask_ptr,
    C, S, P, EMPTY: tl.constexpr, INDEX: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """A program reads PIXELS keys of one picture.  S source and P target pixels; all tensors are contiguous."""
    b = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    inside = pixel < P
    key = tl.load(keys_ptr + b * P + pixel, mask=inside, other=EMPTY)
    found = key != EMPTY
    z = (key >> 32).to(tl.int32).to(tl.float32, bitcast=True)
    tl.store(depth_ptr + b * P + pixel, tl.where(found, z, float("inf")), mask=inside)
    tl.store(mask_ptr + b * P + pixel, found, mask=inside)
    source = key & INDEX
    for c in range(C):
        value = tl.load(color_ptr + (b * C + c) * S + source, mask=found, other=0.0)
        tl.store(seen_ptr + (b * C + c) * P + pixel, value, mask=inside)


def _launch_splat(depth: Tensor, transfer: Tensor, TH: int, TW: int) -> Tensor:
    B, H, W = depth.shape
    keys = torch.full((B, TH, TW), EMPTY, dtype=torch.int64, device=depth.device)
    launch(
        _splat_kernel, (cdiv(H * W, PIXELS), B),
        depth.detach().contiguous(), transfer.contiguous(), keys, H, W, TH, TW,
        NUDGE=NUDGE, PIXELS=PIXELS, num_warps=8,
    )  # fmt: skip
    return keys


class _Resolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, color: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        B, C, H, W = color.shape
        TH, TW = keys.shape[1:]
        seen = torch.empty((B, C, TH, TW), dtype=color.dtype, device=color.device)
        depth = torch.empty((B, TH, TW), dtype=torch.float32, device=color.device)
        mask = torch.empty((B, TH, TW), dtype=torch.bool, device=color.device)
        launch(
        _resolve_kernel, (cdiv(TH * TW, PIXELS), B),
            keys, color.contiguous(), seen, depth, mask, C, H * W, TH * TW,
            EMPTY=EMPTY, INDEX=INDEX, PIXELS=PIXELS, num_warps=4,
        )  # fmt: skip
        ctx.save_for_backward(keys)
        ctx.source = (H, W)
        ctx.mark_non_differentiable(depth, mask)
        return seen, depth, mask

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dseen: Tensor, ddepth: Tensor, dmask: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (keys,) = ctx.saved_tensors
        found = keys != EMPTY
        source = torch.where(found, keys & INDEX, 0).flatten(1)[:, None].expand(-1, dseen.shape[1], -1)
        # A source pixel lands once at most, so nothing but zeros is ever added up: deterministic on a GPU too.
        H, W = ctx.source
        dcolor = dseen.new_zeros((*dseen.shape[:2], H * W))
        dcolor.scatter_add_(2, source, torch.where(found[:, None], dseen, 0).flatten(2))
        return dcolor.unflatten(2, (H, W)), None
