"""The Triton kernels of kernels/rope3d.py against the definition in float64."""

from __future__ import annotations

import pytest
import torch

from farplane.kernels import qk_norm_rope, rope3d_tables

EPS = 1e-6
# (B, frames, rows, columns, heads, dim): one token, odd grids, pairs that are no power of two, several programs.
SHAPES = [(2, 1, 7, 5, 2, 12), (1, 3, 1, 1, 3, 30), (2, 1, 1, 1, 1, 6), (1, 1, 11, 6, 1, 16)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rotated", [True, False])
@pytest.mark.parametrize(("B", "T", "H", "W", "heads", "dim"), SHAPES)
def test_norm_rotation_and_their_gradients(random, close, B, T, H, W, heads, dim, rotated, dtype):
    N, D = T * H * W, heads * dim
    x, weight = random(B, N, D, dtype=dtype), random(D)
    cos, sin = rope3d_tables(T, H, W, dim) if rotated else (None, None)
    dy = random(B, heads, N, dim, dtype=dtype).detach().transpose(1, 2)  # as attention hands it back

    y = qk_norm_rope(x, weight, cos, sin, EPS, heads, implementation="triton")
    gradients = torch.autograd.grad(y, (x, weight), dy)
    inputs = [t.detach().double().requires_grad_() for t in (x, weight)]
    expected = qk_norm_rope(*inputs, cos, sin, EPS, heads, implementation="reference")

    assert y.dtype == dtype
    assert y.shape == (B, N, heads, dim)
    close(y, expected, "y")
    for name, actual, true in zip(("x", "weight"), gradients, torch.autograd.grad(expected, inputs, dy.double())):
        close(actual, true, f"gradient of {name}")


def test_cross_attention_takes_odd_head_sizes(random, close):
    x, weight = random(1, 3, 15), random(15)
    y = qk_norm_rope(x, weight, None, None, EPS, 3, implementation="triton")
    close(y, qk_norm_rope(x.double(), weight.double(), None, None, EPS, 3, implementation="reference"), "y")
