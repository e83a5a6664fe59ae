"""The detail stage's network and its sampler."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from farplane.backend.model.detail import (
    COARSE,
    MARGIN,
    RESIDUAL,
    DetailConfig,
    DetailNet,
    add_detail,
    detail_levels,
    detail_step,
    enlarge,
    fine_part,
)


def make_net(seed: int = 3, **kw: int) -> DetailNet:
    torch.manual_seed(seed)
    net = DetailNet(DetailConfig(channels=8, blocks=1, full_channels=8, words=3, **kw))
    for parameter in net.parameters():  # zeros (the last layer begins as such) would hide mistakes
        torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


WORDS = torch.tensor([[0.0, 0.25, 0.75]])


def given(pictures: int = 2, height: int = 24, width: int = 40) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(5)
    shape = (pictures, 3, height, width)
    return torch.randn(shape), torch.randn(shape), torch.randn(pictures, DetailConfig.surface_channels, height, width)


def test_an_untrained_network_adds_nothing() -> None:
    noisy, small, surface = given()
    net = DetailNet(DetailConfig(channels=8, blocks=1, words=3))
    out = net(noisy, torch.ones(2), small, surface, torch.ones(2), WORDS.expand(2, -1))
    assert out.shape == noisy.shape
    assert not out.any()


def test_pictures_of_a_batch_do_not_touch() -> None:
    noisy, small, surface = given()
    net, words = make_net(), torch.eye(3)[:2]
    level, trust = torch.tensor([0.3, 0.9]), torch.tensor([1.0, 0.2])
    both = net(noisy, level, small, surface, trust, words)
    for i in range(2):
        one = slice(i, i + 1)
        alone = net(noisy[one], level[one], small[one], surface[one], trust[one], words[one])
        # Convolutions of one and of two pictures may sum in another order: float32's own error.
        torch.testing.assert_close(both[one], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("changed", ["noisy", "level", "small", "surface", "trust", "words"])
def test_everything_it_is_told_counts(changed: str) -> None:
    noisy, small, surface = given()
    values = {
        "noisy": noisy,
        "level": torch.full((2,), 0.5),
        "small": small,
        "surface": surface,
        "trust": torch.full((2,), 0.5),
        "words": WORDS.expand(2, -1),
    }
    net = make_net()
    first = net(**values)
    values[changed] = values[changed] * 0.5 + 0.1
    assert (net(**values) - first).abs().max() > 1e-4


def test_one_step_is_the_estimate_itself() -> None:
    noisy, _, surface = given(1)
    small = torch.randn(1, 3, 6, 10)
    net = make_net()
    made = add_detail(net, small, surface, WORDS, noisy, trust=0.4, steps=1)
    base = F.interpolate(small, (24, 40), mode="bilinear", align_corners=False)
    wide = [F.pad(a, [MARGIN] * 4, mode="reflect") for a in (noisy, base, surface)]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        residual = net(wide[0], torch.ones(1), *wide[1:], torch.tensor([0.4]), WORDS).float()
    residual = residual[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    torch.testing.assert_close(made, base + RESIDUAL * fine_part(residual))


def test_euler_steps_keep_the_noise_they_should() -> None:
    """From level a to b with estimate x, state (1 - a) x + a n becomes (1 - b) x + b n."""
    noise, _, surface = given(1)
    net = DetailNet(DetailConfig(channels=8, blocks=1, words=3)).eval()  # estimates zero
    state, estimate = detail_step(net, 0.8 * noise, torch.zeros_like(noise), surface, WORDS, 0.8, 0.2, 1.0)
    assert not estimate.any()
    torch.testing.assert_close(state, 0.2 * noise)


@pytest.mark.parametrize("wave", [96.0, 48.0, 24.0])
def test_what_is_coarse_is_left_to_the_small_picture(wave: float) -> None:
    """Means of squares and a linear enlargement keep sinc(8 / wave) ** 3 of a wave along each axis; the rest is fine."""
    x = torch.arange(192.0)
    rows, columns = torch.cos(2 * torch.pi * x / wave)[:, None], torch.sin(2 * torch.pi * (x + 3) / wave)[None]
    kept = float(np.sinc(COARSE / wave)) ** 3
    for plane, axes in ((rows.expand(192, 192), 1), (columns.expand(192, 192), 1), (rows * columns, 2)):
        picture = plane[None, None].expand(1, 3, 192, 192)
        inside = (..., slice(48, -48), slice(48, -48))  # a border's square has no neighbour to go over to
        left = float(fine_part(picture)[inside].std() / picture[inside].std())
        assert left == pytest.approx(1 - kept**axes, abs=0.12)  # ripples of the squares, which the formula leaves out


@pytest.mark.parametrize("wave", [2.0, 4.0, 8.0])
def test_what_is_fine_is_the_detail_stages_own(wave: float) -> None:
    plane = torch.cos(2 * torch.pi * (torch.arange(64.0) + 0.3) / wave).expand(1, 3, 64, 64)
    torch.testing.assert_close(fine_part(plane), plane, rtol=0, atol=1e-5)  # a square holds whole waves: no mean
    assert fine_part(torch.full((1, 3, 16, 24), 0.7)).abs().max() < 1e-6


def test_levels() -> None:
    assert detail_levels(4) == [1.0, 0.75, 0.5, 0.25, 0.0]
    with pytest.raises(ValueError, match="0 steps"):
        detail_levels(0)


def test_enlarged_pictures_keep_their_place() -> None:
    """A ramp stays the ramp: the large pixel's centre at (x + .5) / 4 of the small one's axis."""
    small = torch.arange(10.0).view(1, 1, 1, 10).expand(1, 3, 4, 10)
    large = enlarge(small, (16, 40))
    inner = (torch.arange(40.0) + 0.5) / 4 - 0.5
    torch.testing.assert_close(large[0, 0, 0, 2:-2], inner[2:-2])
