"""The detail stage's network and its sampler."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from farplane.backend.model.detail import (
    MARGIN,
    RESIDUAL,
    DetailConfig,
    DetailNet,
    add_detail,
    detail_levels,
    detail_step,
    enlarge,
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
    torch.testing.assert_close(made, base + RESIDUAL * residual)


def test_euler_steps_keep_the_noise_they_should() -> None:
    """From level a to b with estimate x, state (1 - a) x + a n becomes (1 - b) x + b n."""
    noise, _, surface = given(1)
    net = DetailNet(DetailConfig(channels=8, blocks=1, words=3)).eval()  # estimates zero
    state, estimate = detail_step(net, 0.8 * noise, torch.zeros_like(noise), surface, WORDS, 0.8, 0.2, 1.0)
    assert not estimate.any()
    torch.testing.assert_close(state, 0.2 * noise)


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
