"""The convolutional head of PlateDiT for latents that are pixels: a small U-Net at full resolution.

The tokens give it the picture's plan, the noisy input and the control volume its exact edges.  Tokens read out by a
linear layer leave squares, and two flat convolutions see seven pixels and leave blotches of ten.  So the
tokens speak at the coarsest level alone, and convolutions carry what they say down to the pixels.

Legend: B clips, T latent frames, H rows, W columns, N tokens, D token width, C channels, M = B * T pictures.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PixelBlock(nn.Module):
    """Residual 3x3 convolution, group-normed and modulated by the timestep."""

    def __init__(self, channels: int, time_dim: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(math.gcd(8, channels), channels)
        self.time_proj = nn.Linear(time_dim, 2 * channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x [M, C, H, W], time [M, D] -> [M, C, H, W]."""
        scale, shift = self.time_proj(F.silu(time))[:, :, None, None].chunk(2, dim=1)
        return x + self.conv(F.silu(self.norm(x) * (1 + scale) + shift))


def run_blocks(blocks: nn.Module, x: Tensor, time: Tensor) -> Tensor:
    """One block after another; x [M, C, H, W], time [M, D]."""
    for block in cast(nn.ModuleList, blocks):
        x = block(x, time)
    return x


def doubled(x: Tensor) -> Tensor:
    """[M, C, H, W] at twice the size, every value four times.

    Four values of a place's own (a pixel shuffle) differ by their place as well as by what they show, and a short
    training leaves that on the picture as a weave.
    """
    return F.interpolate(x, scale_factor=2, mode="nearest")


class PixelHead(nn.Module):
    """U-Net over the pictures of a clip; level i has channels * 2**i channels at 1 / 2**i of the size.

    levels : two or more; 2**(levels - 1) must divide the patch.
    """

    def __init__(
        self,
        dim: int,
        patch: tuple[int, int],
        in_channels: int,
        channels: int,
        blocks: int,
        levels: int,
        out_channels: int,
    ) -> None:
        super().__init__()
        self.patch = patch
        coarse = 2 ** (levels - 1)
        self.conv_in = nn.Conv2d(in_channels, channels, 3, padding=1)
        widths = [channels * 2**i for i in range(levels)]
        stack = [nn.ModuleList([PixelBlock(width, dim) for _ in range(blocks)]) for width in widths]
        self.blocks = stack[0]  # the last ones at full size
        self.down = nn.ModuleList([nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths)])
        self.up = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairwise(widths)])
        self.before = nn.ModuleList([PixelBlock(width, dim) for width in widths[:-1]])
        self.deeper = nn.ModuleList(stack[1:])
        self.plan = nn.Linear(dim, widths[-1] * patch[0] * patch[1] // coarse**2)
        self.conv_out = nn.Conv2d(channels, out_channels, 3, padding=1)

    def _pictures(self, values: Tensor, rows: int, columns: int, size: tuple[int, int]) -> Tensor:
        """[B, N, s1 * s2 * C] with s1 x s2 = `size` values a token -> [M, rows * s1, columns * s2, C]."""
        x = values.view(-1, rows, columns, size[0], size[1], values.shape[-1] // (size[0] * size[1]))
        return x.transpose(2, 3).reshape(-1, rows * size[0], columns * size[1], x.shape[-1])

    def forward(self, tokens: Tensor, time: Tensor, latents: Tensor, control: Tensor) -> Tensor:
        """tokens [B, N, D], time [B, 1|N, D], latents and control [B, C, T, H, W] -> [B, out_channels, T, H, W]."""
        B, _, T, H, W = latents.shape
        ph, pw = self.patch
        # Channels last throughout: the layout in which CPU and GPU convolutions are fastest.
        given = [a.permute(0, 2, 3, 4, 1).flatten(0, 1).to(tokens.dtype) for a in (latents, control)]
        if time.shape[1] > 1:  # per-token timesteps: one per latent frame is kept, their mean
            time = time.unflatten(1, (T, -1)).mean(2)
        time = time.expand(B, T, -1).flatten(0, 1).to(self.conv_out.weight.dtype)

        x = self.conv_in(torch.cat(given, dim=-1).permute(0, 3, 1, 2))
        kept: list[Tensor] = []
        for before, down in zip(self.before, self.down, strict=True):
            x = before(x, time)
            kept.append(x)
            x = down(x)
        coarse = 2 ** len(self.down)
        plan = self._pictures(self.plan(tokens), H // ph, W // pw, (ph // coarse, pw // coarse))
        x = x + plan.permute(0, 3, 1, 2)
        for blocks, up, skip in zip(reversed(self.deeper), reversed(self.up), reversed(kept), strict=True):
            x = doubled(up(run_blocks(blocks, x, time))) + skip
        return self.conv_out(run_blocks(self.blocks, x, time)).unflatten(0, (B, T)).transpose(1, 2)
