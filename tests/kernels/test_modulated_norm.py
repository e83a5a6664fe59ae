"""The definition of the modulated norm against diffusers' own modules, and its edges."""

from __future__ import annotations

import pytest
import torch

from farplane.kernels import modulated_layer_norm, residual_modulated_layer_norm

EPS = 1e-6


def tensors(B: int, N: int, D: int, per_token: bool, dtype: torch.dtype, seed: int = 3) -> list[torch.Tensor]:
    """x in dtype; scale and shift in float32, strided as the six parts of one modulation are."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(B, N, D, generator=generator).to(dtype)
    parts = torch.randn(B, N if per_token else 1, 6, D, generator=generator).unbind(2)
    return [x, parts[1], parts[4]]


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("B", "N", "D"), [(2, 37, 24), (1, 1, 6), (3, 5, 129)])
def test_equals_the_norm_of_diffusers_wan_block(B, N, D, dtype, per_token):
    normalization = pytest.importorskip("diffusers.models.normalization")
    norm = normalization.FP32LayerNorm(D, EPS, elementwise_affine=False)
    x, scale, shift = tensors(B, N, D, per_token, dtype)
    expected = (norm(x.float()) * (1 + scale) + shift).type_as(x)  # WanTransformerBlock.forward
    y = modulated_layer_norm(x, scale, shift, EPS)
    assert y.dtype == dtype
    # Two orders of the same float32 operations: 8 roundings apart, and then one step of the result's own dtype.
    error = (y.double() - expected.double()).abs()
    step = 0 if dtype == torch.float32 else torch.finfo(dtype).eps * expected.double().abs()
    assert (error <= step + 8 * 2.0**-24 * expected.double().abs().max()).all()


def test_equals_the_gated_residual_of_diffusers_wan_block():
    normalization = pytest.importorskip("diffusers.models.normalization")
    norm = normalization.FP32LayerNorm(24, EPS, elementwise_affine=False)
    x, scale, shift = tensors(2, 7, 24, False, torch.bfloat16)
    branch, gate, _ = tensors(2, 7, 24, True, torch.bfloat16, seed=4)
    h, y = residual_modulated_layer_norm(x, branch, gate, scale, shift, EPS)
    true_h = (x.float() + branch * gate).type_as(x)
    plain_h, _ = residual_modulated_layer_norm(x, branch, None, scale, shift, EPS)
    assert torch.equal(plain_h, x + branch)
    # addcmul may multiply and add in one rounding: one step of bfloat16 at most, 2**-7 of the value.
    assert ((h - true_h).abs().double() <= 2.0**-7 * true_h.abs().double()).all()
    expected = (norm(h.float()) * (1 + scale) + shift).type_as(x)
    assert ((y - expected).abs().double() <= 2.0**-7 * expected.abs().double() + 1e-6).all()


@pytest.mark.parametrize("per_token", [False, True])
def test_gradients_are_the_derivatives(per_token):
    x, scale, shift = (t.double().requires_grad_() for t in tensors(2, 3, 6, per_token, torch.float64))
    gate = torch.randn(2, 1, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *t: modulated_layer_norm(*t, EPS), (x, scale, shift))
    assert torch.autograd.gradcheck(
        lambda x, gate, *t: residual_modulated_layer_norm(x, x * x, gate, *t, EPS), (x, gate, scale, shift)
    )


def test_bfloat16_tokens_get_float32_gradients_for_the_modulation():
    """A shortcut that feeds bfloat16 into layer_norm gets these wrong by 5%: sums of 500 terms kept in 8 bits."""
    x, scale, shift = (t.requires_grad_() for t in tensors(1, 500, 32, False, torch.bfloat16))
    scale, shift = scale.detach().requires_grad_(), shift.detach().requires_grad_()
    dy = torch.randn(x.shape, generator=torch.Generator().manual_seed(5)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):  # as in training; it must change nothing here
        gradients = torch.autograd.grad(modulated_layer_norm(x, scale, shift, EPS), (scale, shift), dy)
    inputs = [t.detach().double().requires_grad_() for t in (x, scale, shift)]
    expected = torch.autograd.grad(modulated_layer_norm(*inputs, EPS), inputs[1:], dy.double())
    for actual, true in zip(gradients, expected):
        assert actual.dtype == torch.float32
        # float32 sums of 500 terms of either sign: a few dozen roundings at most.
        assert (actual - true).abs().max() <= 64 * 2.0**-24 * true.abs().max()


def test_a_constant_row_becomes_the_shift():
    x, scale, shift = torch.full((1, 2, 16), 3.0), torch.randn(1, 1, 16), torch.randn(1, 1, 16)
    assert torch.equal(modulated_layer_norm(x, scale, shift, EPS), shift.expand(1, 2, 16))


def test_no_tokens_are_no_error():
    x, one = torch.zeros(2, 0, 16), torch.zeros(2, 1, 16)
    assert modulated_layer_norm(x, one, one, EPS).shape == (2, 0, 16)


def test_wrong_shapes_are_refused():
    x, one = torch.zeros(2, 5, 16), torch.zeros(2, 1, 16)
    for wrong in (torch.zeros(2, 16), torch.zeros(1, 1, 16), torch.zeros(2, 3, 16), torch.zeros(2, 1, 8)):
        with pytest.raises(ValueError, match="scale and shift"):
            modulated_layer_norm(x, wrong, wrong, EPS)
    with pytest.raises(ValueError, match="scale and shift"):
        modulated_layer_norm(x, one, torch.zeros(2, 5, 16), EPS)
    with pytest.raises(ValueError, match=r"\[B, N, D\]"):
        modulated_layer_norm(x[0], one, one, EPS)
    with pytest.raises(ValueError, match="branch"):
        residual_modulated_layer_norm(x, x[:, :4], None, one, one, EPS)
    with pytest.raises(ValueError, match="gate"):
        residual_modulated_layer_norm(x, x, torch.zeros(2, 3, 16), one, one, EPS)
