"""Rotary tables and the normed, rotated queries and keys against diffusers' own Wan attention, and their edges."""

from __future__ import annotations

import pytest
import torch

from farplane.kernels import qk_norm_rope, rope3d_tables

EPS = 1e-6


@pytest.mark.parametrize("dim", [6, 8, 10, 12, 20, 64, 128])
def test_tables_equal_diffusers(dim):
    wan = pytest.importorskip("diffusers.models.transformers.transformer_wan")
    T, H, W = 5, 7, 3
    cos, sin = wan.WanRotaryPosEmbed(dim, (1, 2, 2), 64)(torch.zeros(1, 16, T, 2 * H, 2 * W))
    ours = rope3d_tables(T, H, W, dim)
    assert torch.equal(ours[0].repeat_interleave(2, dim=-1), cos[0, :, 0])
    assert torch.equal(ours[1].repeat_interleave(2, dim=-1), sin[0, :, 0])


@pytest.mark.parametrize("rotated", [True, False])
@pytest.mark.parametrize(("B", "heads", "dim", "grid"), [(2, 3, 12, (3, 5, 2)), (1, 1, 8, (1, 1, 1))])
def test_equals_diffusers_wan_attention(monkeypatch, B, heads, dim, grid, rotated):
    """What diffusers' WanAttention hands to the dispatcher as query and key, caught on the way."""
    wan = pytest.importorskip("diffusers.models.transformers.transformer_wan")
    torch.manual_seed(11)
    D, N = heads * dim, grid[0] * grid[1] * grid[2]
    attention = wan.WanAttention(D, heads, dim, eps=EPS, processor=wan.WanAttnProcessor())
    torch.nn.init.normal_(attention.norm_q.weight)
    torch.nn.init.normal_(attention.norm_k.weight)
    caught = []
    monkeypatch.setattr(wan, "dispatch_attention_fn", lambda q, k, v, **_: caught.append((q, k)) or q)
    x = torch.randn(B, N, D)
    table = wan.WanRotaryPosEmbed(dim, (1, 1, 1), 64)(torch.zeros(1, 1, *grid)) if rotated else None
    with torch.no_grad():
        attention(x, rotary_emb=table)
        cos, sin = rope3d_tables(*grid, dim) if rotated else (None, None)
        for true, linear, norm in zip(
            caught[0], (attention.to_q, attention.to_k), (attention.norm_q, attention.norm_k)
        ):
            y = qk_norm_rope(linear(x), norm.weight, cos, sin, EPS, heads)
            assert y.shape == true.shape
            # The same few float32 operations in another order: 8 roundings of the largest value.
            assert (y - true).abs().max() <= 8 * 2.0**-24 * true.abs().max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once(dtype):
    generator = torch.Generator().manual_seed(2)
    x, weight = torch.randn(2, 6, 24, generator=generator).to(dtype), torch.randn(24, generator=generator)
    cos, sin = rope3d_tables(1, 3, 2, 12)
    y = qk_norm_rope(x, weight, cos, sin, EPS, 2)
    expected = qk_norm_rope(x.double(), weight.double(), cos, sin, EPS, 2)
    assert y.dtype == dtype
    # Half a step of the result's dtype, plus float32's own roundings before it.
    allowed = 0.5 * torch.finfo(dtype).eps * expected.abs() + 8 * 2.0**-24 * expected.abs().max()
    assert ((y - expected).abs() <= allowed).all()


@pytest.mark.parametrize("rotated", [True, False])
def test_gradients_are_the_derivatives(rotated):
    x, weight = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((2, 4, 12), (12,)))
    cos, sin = rope3d_tables(1, 2, 2, 6) if rotated else (None, None)
    assert torch.autograd.gradcheck(lambda *t: qk_norm_rope(*t, cos, sin, EPS, 2), (x, weight))


def test_scores_depend_on_distance_alone():
    """The point of rotary positions: shifting query and key together changes nothing."""
    cos, sin = rope3d_tables(4, 4, 4, 24)
    q, k = (torch.randn(1, 1, 24, dtype=torch.float64).expand(1, 64, 24) for _ in range(2))
    weight = torch.ones(24, dtype=torch.float64)
    q, k = (qk_norm_rope(t, weight, cos, sin, EPS, 1)[0, :, 0].view(4, 4, 4, 24) for t in (q, k))
    near = (q[0, 1, 2] * k[1, 2, 0]).sum()
    far = (q[2, 2, 3] * k[3, 3, 1]).sum()
    assert abs(near - far) < 1e-5  # the tables are float32: 24 products of numbers near 1


def test_a_part_of_a_fused_projection_is_taken_as_it_is():
    qkv = torch.randn(2, 5, 36)
    weight = torch.randn(12)
    part = qk_norm_rope(qkv[..., 12:24], weight, None, None, EPS, 2)
    assert torch.equal(part, qk_norm_rope(qkv[..., 12:24].contiguous(), weight, None, None, EPS, 2))


def test_wrong_shapes_are_refused():
    x, weight = torch.zeros(1, 4, 12), torch.ones(12)
    cos, sin = rope3d_tables(1, 2, 2, 6)
    with pytest.raises(ValueError, match="heads"):
        qk_norm_rope(x, weight, cos, sin, EPS, 5)
    with pytest.raises(ValueError, match="weight"):
        qk_norm_rope(x, weight[:6], cos, sin, EPS, 2)
    with pytest.raises(ValueError, match="cos and sin"):
        qk_norm_rope(x, weight, cos[:3], sin[:3], EPS, 2)
    with pytest.raises(ValueError, match="both"):
        qk_norm_rope(x, weight, cos, None, EPS, 2)
    for dim in (4, 7):
        with pytest.raises(ValueError, match="head_dim"):
            rope3d_tables(1, 1, 1, dim)
