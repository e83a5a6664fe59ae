"""The Triton kernels on a real device against the definition in float64.  `pytest -m gpu tests/kernels`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from farplane.kernels import (
    modulated_layer_norm,
    qk_norm_rope,
    reproject,
    residual_modulated_layer_norm,
    rope3d_tables,
)

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
EPS = 1e-6


def normal(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator("cuda").manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator, device="cuda").to(dtype).requires_grad_()


def wide(*tensors: Tensor) -> list[Tensor]:
    return [t.detach().double().requires_grad_() for t in tensors]


def assert_close(actual: Tensor, expected: Tensor, name: str) -> None:
    """One step of the result's dtype (half a step from rounding, the rest where a sum lies on the edge), and float32's
    own roundings: 64 of the largest value, for sums over up to 8192 channels or 2,000 tokens of terms of either sign."""
    step = 0 if actual.dtype == torch.float32 else torch.finfo(actual.dtype).eps * expected.abs()
    allowed = step + 64 * 2.0**-24 * expected.abs().max()
    error = (actual.double() - expected).abs()
    assert (error <= allowed).all(), f"{name}: off by up to {error.max():.3g}"  # a NaN fails too


@pytest.fixture(autouse=True)
def poisoned_outputs():
    """torch fills fresh memory with NaN while this is on."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize(("B", "N", "D"), [(2, 1001, 384), (1, 37, 1536), (2, 65, 5120), (3, 7, 129)])
def test_norm(B, N, D, per_token, dtype):
    x, M = normal(B, N, D, dtype=dtype), N if per_token else 1
    scale, shift, dy = normal(B, M, D), normal(B, M, D, seed=1), normal(B, N, D, dtype=dtype, seed=2).detach()
    y = modulated_layer_norm(x, scale, shift, EPS, implementation="triton")
    inputs = wide(x, scale, shift)
    true = modulated_layer_norm(*inputs, EPS, implementation="reference")
    assert_close(y, true, "y")
    gradients = torch.autograd.grad(y, (x, scale, shift), dy)
    for actual, expected in zip(gradients, torch.autograd.grad(true, inputs, dy.double())):
        assert_close(actual, expected, "gradient")


@pytest.mark.parametrize("dtype", DTYPES)
def test_residual_norm(dtype):
    B, N, D = 2, 333, 1536
    x, branch = normal(B, N, D, dtype=dtype), normal(B, N, D, dtype=dtype, seed=1)
    gate, scale, shift = (normal(B, 1, D, seed=seed) for seed in (2, 3, 4))
    h, y = residual_modulated_layer_norm(x, branch, gate, scale, shift, EPS, implementation="triton")
    assert_close(h, x.double() + branch.double() * gate.double(), "h")
    assert_close(y, modulated_layer_norm(*wide(h, scale, shift), EPS, implementation="reference"), "y")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rotated", [True, False])
@pytest.mark.parametrize(
    ("B", "grid", "heads", "dim"), [(2, (3, 15, 26), 12, 128), (1, (2, 3, 5), 40, 128), (2, (9, 8, 16), 6, 64)]
)
def test_rope(B, grid, heads, dim, rotated, dtype):
    N, D = grid[0] * grid[1] * grid[2], heads * dim
    x, weight = normal(B, N, D, dtype=dtype), normal(D)
    cos, sin = rope3d_tables(*grid, dim, device="cuda") if rotated else (None, None)
    dy = normal(B, heads, N, dim, dtype=dtype).detach().transpose(1, 2)
    y = qk_norm_rope(x, weight, cos, sin, EPS, heads, implementation="triton")
    inputs = wide(x, weight)
    true = qk_norm_rope(*inputs, cos, sin, EPS, heads, implementation="reference")
    assert_close(y, true, "y")
    gradients = torch.autograd.grad(y, (x, weight), dy)
    for actual, expected in zip(gradients, torch.autograd.grad(true, inputs, dy.double())):
        assert_close(actual, expected, "gradient")


def test_reprojection_is_that_of_the_cpu_and_repeats_itself():
    H, W = 360, 640
    generator = torch.Generator().manual_seed(1)
    depth = 2 + 6 * torch.rand(1, H, W, generator=generator)
    depth[:, :60] = torch.inf
    color = torch.randn(1, 3, H, W, generator=generator)
    K = torch.tensor([[[600.0, 0, 320], [0, 600, 180], [0, 0, 1]]])
    pose, target = torch.eye(4)[None], torch.eye(4)[None].clone()
    target[0, :3, 3] = torch.tensor([0.3, -0.1, 0.7])
    expected = reproject(depth, color, K, pose, K, target, implementation="reference")
    runs = [reproject(depth.cuda(), color.cuda(), K, pose, K, target, implementation="triton") for _ in range(3)]
    for run in runs:
        # Positions differ by a fused multiply-add's 1e-13 px: not one of 230,400 pixels should choose another place.
        assert torch.equal(run.mask.cpu(), expected.mask)
        assert torch.equal(run.color.cpu(), expected.color)
        # z q_z is rounded to float32 after a fused or an unfused sum: one step at most.
        assert torch.allclose(run.depth.cpu(), expected.depth, rtol=2.0**-23, atol=0)
        assert torch.equal(run.depth, runs[0].depth)
