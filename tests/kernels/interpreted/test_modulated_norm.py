"""The Triton kernels of kernels/modulated_norm.py against the definition in float64."""

from __future__ import annotations

import pytest
import torch

from farplane.kernels import modulated_layer_norm, residual_modulated_layer_norm

# Odd in every way: one token, one channel over a power of two, more tokens than a program sums, several programs.
SHAPES = [(2, 37, 24), (1, 5, 129), (3, 1, 7), (1, 67, 16)]
EPS = 1e-6


def wide(*tensors: torch.Tensor | None) -> list[torch.Tensor | None]:
    """The same values in float64, as leaves."""
    return [None if t is None else t.detach().double().requires_grad_() for t in tensors]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize(("B", "N", "D"), SHAPES)
def test_norm_and_its_gradients(random, close, B, N, D, per_token, dtype):
    x = random(B, N, D, dtype=dtype)
    scale, shift = random(B, N if per_token else 1, D), random(B, N if per_token else 1, D)
    dy = random(B, N, D, dtype=dtype).detach()

    y = modulated_layer_norm(x, scale, shift, EPS, implementation="triton")
    gradients = torch.autograd.grad(y, (x, scale, shift), dy)
    inputs = wide(x, scale, shift)
    expected = modulated_layer_norm(*inputs, EPS, implementation="reference")

    assert y.dtype == dtype
    close(y, expected, "y")
    for name, actual, true in zip(
        ("x", "scale", "shift"), gradients, torch.autograd.grad(expected, inputs, dy.double())
    ):
        close(actual, true, f"gradient of {name}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gate_tokens", [None, 1, "N"])
@pytest.mark.parametrize(("B", "N", "D", "per_token"), [(2, 35, 24, False), (1, 5, 129, True), (3, 1, 7, False)])
def test_residual_norm_and_its_gradients(random, close, B, N, D, per_token, gate_tokens, dtype):
    x, branch = random(B, N, D, dtype=dtype), random(B, N, D, dtype=dtype)
    gate = None if gate_tokens is None else random(B, N if gate_tokens == "N" else 1, D)
    scale, shift = random(B, N if per_token else 1, D), random(B, N if per_token else 1, D)
    dh, dy = random(B, N, D, dtype=dtype).detach(), random(B, N, D, dtype=dtype).detach()

    h, y = residual_modulated_layer_norm(x, branch, gate, scale, shift, EPS, implementation="triton")
    leaves = [t for t in (x, branch, gate, scale, shift) if t is not None]
    gradients = torch.autograd.grad((h, y), leaves, (dh, dy))

    inputs = wide(x, branch, gate, scale, shift)
    true_h = inputs[0] + inputs[1] * (1.0 if gate is None else inputs[2])
    close(h, true_h, "h")
    # From here on with the kernel's own h: had it been rounded the other way, y and the gradients would follow.
    true_h.data.copy_(h.detach())
    true_y = modulated_layer_norm(true_h, *inputs[3:], EPS, implementation="reference")
    close(y, true_y, "y")
    wide_leaves = [t for t in inputs if t is not None]
    names = [n for n, t in zip(("x", "branch", "gate", "scale", "shift"), inputs) if t is not None]
    true = torch.autograd.grad((true_h, true_y), wide_leaves, (dh.double(), dy.double()))
    for name, actual, expected in zip(names, gradients, true):
        if dtype == torch.bfloat16 and name in ("branch", "gate"):
            # The gradient of h is itself rounded to bfloat16 before it goes on, as it is when the steps stand apart.
            step = 2.0**-7 * expected.abs().max() * (N if name == "gate" and gate_tokens == 1 else 1) ** 0.5
            assert (actual - expected).abs().max() <= 2 * step, name
        else:
            close(actual, expected, f"gradient of {name}")


def test_the_gradient_may_come_expanded(random, close):
    """`y.sum().backward()` hands over one number seen as a whole tensor."""
    x, scale, shift = random(2, 5, 24), random(2, 1, 24), random(2, 1, 24)
    modulated_layer_norm(x, scale, shift, EPS, implementation="triton").sum().backward()
    inputs = wide(x, scale, shift)
    modulated_layer_norm(*inputs, EPS, implementation="reference").sum().backward()
    for actual, expected in zip((x, scale, shift), inputs):
        close(actual.grad, expected.grad, "gradient")
