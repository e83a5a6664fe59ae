"""The detail stage: a small convolutional diffusion model that takes a plate to four times its size, frame by frame.

The transformer settles light, weather and layout on a small picture.  What a large one adds (edges where the exact
depth has them, windows, foliage, grain of rock) is local: it follows from the small picture, the full-size geometry
and chance.  Chance is noise that clings to the surfaces (pipeline/geometry.py), so detail clings too.

The network predicts what is missing from the enlarged small picture, the residual, in units of RESIDUAL, and is
sampled in few steps: (1 - s) * residual + s * noise from s = 1 to 0.  It adds only what is finer than COARSE pixels:
colour and layout stay the small picture's (docs/decisions/detail-adds-only-what-is-fine.md).

Legend: M pictures, C channels, H rows, W columns (multiples of 8).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import timestep_features
from .pixel_head import PixelBlock, doubled, run_blocks

RESIDUAL = 0.4  # deviation of the residual, in standardised code (standard deviation of a plate: 1)
FACTOR = 4  # the small picture's size to the large one's
COARSE = 8  # pixels: means of such squares are the small picture's to say
TIME_FEATURES = 64
MARGIN = 8  # pixels painted beyond each border and cut off


@dataclass(frozen=True)
class DetailConfig:
    """channels : at half size; twice as many at a quarter, three times at an eighth.  blocks : at each size, each way.

    full_channels : at full size, where there are two convolutions.  surface_channels : of the geometry it is given
    (geometry.surface_channels).  words : of the vocabulary (WordEncoder.bag).
    """

    channels: int = 48
    blocks: int = 2
    full_channels: int = 32
    surface_channels: int = 18
    words: int = 2

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class DetailNet(nn.Module):
    """U-Net over half-size tiles (two by two pixels to a place), modulated by noise level and trust."""

    def __init__(self, config: DetailConfig) -> None:
        super().__init__()
        self.config = config
        c, time_dim = config.channels, 4 * config.channels
        widths = [c, 2 * c, 3 * c]
        self.time = nn.Sequential(nn.Linear(2 * TIME_FEATURES, time_dim), nn.SiLU(), nn.Linear(time_dim, time_dim))
        self.conv_in = nn.Conv2d(4 * (6 + config.surface_channels), c, 3, padding=1)
        self.before = nn.ModuleList(self._stack(width, time_dim) for width in widths[:-1])
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.middle = self._stack(widths[-1], time_dim)
        self.words = nn.Linear(config.words, time_dim, bias=False)
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.after = nn.ModuleList(self._stack(width, time_dim) for width in widths[:-1])
        full = config.full_channels
        self.conv_out = nn.Conv2d(c, full, 1)
        self.full_in = nn.Conv2d(full + 6 + config.surface_channels, full, 3, padding=1)
        self.last = nn.Conv2d(full, 3, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(cast(Tensor, self.last.bias))
        nn.init.zeros_(self.words.weight)

    def _stack(self, width: int, time_dim: int) -> nn.ModuleList:
        return nn.ModuleList(PixelBlock(width, time_dim) for _ in range(self.config.blocks))

    def forward(
        self, noisy: Tensor, level: Tensor, small: Tensor, surface: Tensor, trust: Tensor, words: Tensor
    ) -> Tensor:
        """The residual [M, 3, H, W], in units of RESIDUAL.

        noisy [M, 3, H, W] at noise levels `level` [M] in 0 … 1; small [M, 3, H, W] the small picture enlarged
        (`enlarge`), standardised code; surface [M, C, H, W]; trust [M] in 0 … 1: how far the small picture is to be
        believed (1: to the pixel; 0: colour and light only); words [M, config.words] the prompt's share of each word.
        """
        features = torch.cat([timestep_features(1000.0 * v, TIME_FEATURES) for v in (level, trust)], dim=-1)
        weights = self.conv_in.weight.dtype
        time = self.time(features.to(weights)) + self.words(words.to(weights))
        given = torch.cat((noisy, small, surface), dim=1).contiguous(memory_format=torch.channels_last)
        x = self.conv_in(F.pixel_unshuffle(given, 2))
        kept = []
        for stack, down in zip(self.before, self.down, strict=True):
            x = run_blocks(stack, x, time)
            kept.append(x)
            x = down(x)
        x = run_blocks(self.middle, x, time)
        for stack, up, skip in zip(reversed(self.after), reversed(self.up), reversed(kept), strict=True):
            x = run_blocks(stack, doubled(up(x)) + skip, time)
        fine = doubled(self.conv_out(x))
        return self.last(F.silu(self.full_in(torch.cat((fine, given.to(fine.dtype)), dim=1))))


def fine_part(residual: Tensor) -> Tensor:
    """A residual [M, 3, H, W] without what is coarse: its means of COARSE x COARSE squares, enlarged, are taken off."""
    coarse = F.avg_pool2d(residual, COARSE)
    return residual - F.interpolate(coarse, residual.shape[2:], mode="bilinear", align_corners=False)


def enlarge(small: Tensor, size: tuple[int, int]) -> Tensor:
    """Small pictures [M, 3, h, w] at (H, W), bilinear: what the residual is measured from."""
    return F.interpolate(small, size, mode="bilinear", align_corners=False)


def detail_levels(steps: int) -> list[float]:
    """Noise levels 1 … 0 of `steps` Euler steps; ValueError below one."""
    if steps < 1:
        raise ValueError(f"{steps} steps are no schedule")
    return [1.0 - i / steps for i in range(steps + 1)]


@torch.no_grad()
def detail_step(
    net: DetailNet,
    state: Tensor,
    base: Tensor,
    surface: Tensor,
    words: Tensor,
    level: float,
    lower: float,
    trust: float,
) -> tuple[Tensor, Tensor]:
    """One Euler step from noise `level` to `lower`: (new state, estimate of the residual), [M, 3, H, W] float32.

    state : the noisy residual; base : the small pictures, enlarged.  surface [M, C, H, W]; words [1|M, V].
    """
    levels, trusts = (torch.full((len(state),), value, device=state.device) for value in (level, trust))
    wider = [F.pad(a, [MARGIN] * 4, mode="reflect") for a in (state, base, surface)]  # or the border gets a rim
    with torch.autocast(state.device.type, torch.bfloat16):
        residual = net(wider[0], levels, *wider[1:], trusts, words.expand(len(state), -1)).float()
    residual = fine_part(residual[..., MARGIN:-MARGIN, MARGIN:-MARGIN])
    return residual + (lower / level) * (state - residual), residual


def add_detail(
    net: DetailNet,
    small: Tensor,
    surface: Tensor,
    words: Tensor,
    noise: Tensor,
    *,
    trust: float,
    steps: int,
) -> Tensor:
    """Pictures [M, 3, H, W] in standardised code from small ones [M, 3, h, w], surface and noise at H x W, and words
    [1|M, V]."""
    base, state = enlarge(small, (noise.shape[2], noise.shape[3])), noise
    for level, lower in pairwise(detail_levels(steps)):
        state, _ = detail_step(net, state, base, surface, words, level, lower, trust)
    return base + RESIDUAL * state
