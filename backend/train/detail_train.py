"""Train the detail stage: crops of large renders, given the same picture at a quarter of the size.

At work the small picture comes from the transformer, not from a render, so here it is made worse by a drawn amount
and the network is told how much (`trust`): blurred, and laid over with soft noise such as an unfinished plate has.

Legend: M crops, H rows, W columns of the large picture, h = H / 4, w = W / 4.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..model.detail import FACTOR, RESIDUAL, DetailConfig, DetailNet, add_detail, enlarge
from ..pipeline.colour import linear_to_display, logc3_decode
from ..pipeline.geometry import surface_channels
from .data import ClipStore
from .train import CODE_MEAN, CODE_STD, mirror

Frames = NDArray[np.float32]


@dataclass(frozen=True)
class DetailRecipe:
    """Everything that decides the outcome; written beside the checkpoint."""

    channels: int = 64
    blocks: int = 2
    batch: int = 8
    crop: int = 128
    crops_a_frame: int = 4
    learning_rate: float = 1.2e-3
    warmup: int = 100
    ema: float = 0.998
    blur: float = 1.3  # px of the small picture, at no trust
    noise: float = 0.35  # deviation of the soft noise at no trust, in standardised code
    pure_noise: float = 0.3
    seed: int = 2


@dataclass(frozen=True, eq=False)
class DetailBatch:
    """large [M, 3, H, W], small [M, 3, h, w], surface [M, 7, H, W], noise [M, 3, H, W], trust [M]."""

    large: Tensor
    small: Tensor
    surface: Tensor
    noise: Tensor
    trust: Tensor

    def to(self, device: str) -> DetailBatch:
        return DetailBatch(*(a.to(device) for a in (self.large, self.small, self.surface, self.noise, self.trust)))


def worsen(small: Frames, trust: float, recipe: DetailRecipe, rng: np.random.Generator) -> Frames:
    """A small picture [h, w, 3] as an unfinished plate would have it."""
    lost = 1.0 - trust
    if lost * recipe.blur > 0.2:
        blurred = cv2.GaussianBlur(small, (0, 0), lost * recipe.blur, borderType=cv2.BORDER_REFLECT_101)
        small = np.asarray(blurred, np.float32)
    soft = rng.standard_normal(small.shape, np.float32)
    size = rng.uniform(0.6, 2.5)
    soft = np.asarray(cv2.GaussianBlur(soft, (0, 0), size)) * (3.5 * size)  # back to a deviation of about 1
    return small + np.float32(lost * recipe.noise * rng.random()) * soft


def make_detail_batch(store: ClipStore, recipe: DetailRecipe, rng: np.random.Generator) -> DetailBatch:
    """Draw frames, mirror half of them, cut crops out."""
    parts: list[list[NDArray]] = [[], [], [], []]  # large, small, surface, noise
    trusts: list[float] = []
    while len(trusts) < recipe.batch:
        code, depth, row = store.load_fine(int(rng.integers(len(store))))
        K = row["K"][row["fine"]][None] * np.array([FACTOR, FACTOR, 1.0])[:, None]
        pose = row["world_from_camera"][row["fine"]][None]
        frames, depths = code[None].astype(np.float32), depth[None]
        if rng.random() < 0.5:
            frames, depths, K, pose = mirror(frames, depths, K, pose)
        surface = surface_channels(depths, K, pose)[0]
        large = np.ascontiguousarray((frames[0] - CODE_MEAN) / CODE_STD)
        height, width = large.shape[:2]
        for _ in range(recipe.crops_a_frame):
            top = int(rng.integers((height - recipe.crop) // FACTOR + 1)) * FACTOR
            left = int(rng.integers((width - recipe.crop) // FACTOR + 1)) * FACTOR
            cut = np.s_[top : top + recipe.crop, left : left + recipe.crop]
            part = large[cut]
            trust = float(rng.random())
            small = worsen(halved(part), trust, recipe, rng)
            noise = rng.standard_normal(part.shape, np.float32)
            first = [a.transpose(2, 0, 1) for a in (part, small, noise)]  # channels first
            for values, value in zip(parts, (first[0], first[1], surface[:, *cut], first[2]), strict=True):
                values.append(value)
            trusts.append(trust)
    crops, smalls, surfaces, noises = (torch.from_numpy(np.stack(values)) for values in parts)
    return DetailBatch(crops, smalls, surfaces, noises, torch.tensor(trusts))


def halved(large: Frames) -> Frames:
    """The mean of each FACTOR x FACTOR square, [H, W, 3] to [h, w, 3]."""
    height, width = large.shape[:2]
    squares = large.reshape(height // FACTOR, FACTOR, width // FACTOR, FACTOR, 3)
    return squares.mean((1, 3), dtype=np.float32)


class DetailPlan:
    """The detail stage, trained on crops (loop.Plan)."""

    def __init__(self, recipe: DetailRecipe, store: ClipStore) -> None:
        self.recipe, self.store = recipe, store
        self.learning_rate, self.warmup = recipe.learning_rate, recipe.warmup
        self.ema, self.seed = recipe.ema, recipe.seed

    def make_model(self) -> DetailNet:
        return DetailNet(DetailConfig(self.recipe.channels, self.recipe.blocks))

    def optimisers(self, model: nn.Module) -> list[torch.optim.Optimizer]:
        return [torch.optim.AdamW(model.parameters(), lr=self.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)]

    def make_batch(self, rng: np.random.Generator) -> DetailBatch:
        self.store.refresh()
        return make_detail_batch(self.store, self.recipe, rng)

    def to_device(self, batch: DetailBatch, device: str) -> DetailBatch:
        return batch.to(device)

    def loss(self, model: nn.Module, batch: DetailBatch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        base = enlarge(batch.small, (batch.large.shape[2], batch.large.shape[3]))
        target = (batch.large - base) / RESIDUAL
        level = torch.rand(len(target), generator=generator)
        level[torch.rand(len(target), generator=generator) < self.recipe.pure_noise] = 1.0
        level = level.to(target.device)
        s = level[:, None, None, None]
        noisy = (1 - s) * target + s * batch.noise
        with torch.autocast(target.device.type, torch.bfloat16):
            guess = model(noisy, level, base, batch.surface, batch.trust)
        error = (guess.float() - target).square()
        # Lamps and window frames are few and far from the mean: past three deviations they count by distance.
        error = torch.where(error < 9.0, error, 6.0 * error.clamp(min=1e-6).sqrt() - 9.0).mean((1, 2, 3))
        return (error / level.clamp(min=0.3)).mean(), error.detach()

    def clips(self) -> int:
        return len(self.store)

    def draw(self, model: nn.Module, path: Path) -> None:
        """Held-out frames: small picture, detail at full and at half trust, render."""
        from PIL import Image

        from .sheets import held_out_clip

        rows = []
        for index in range(5):
            fine = held_out_clip(index, 448, 256, 1)
            large = ((encode(fine.linear[0])) - CODE_MEAN) / CODE_STD
            small = torch.from_numpy(halved(large).transpose(2, 0, 1).copy())[None]
            surface = torch.from_numpy(surface_channels(fine.depth, fine.camera.K, fine.camera.world_from_camera))
            noise = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 256, 448), np.float32))
            made = [add_detail(model, small, surface, noise, trust=t, steps=4)[0] for t in (0.9, 0.4)]  # type: ignore[arg-type]
            shown = [enlarge(small, (256, 448))[0], *made, torch.from_numpy(large.transpose(2, 0, 1).copy())]
            rows.append(np.concatenate([display(picture) for picture in shown], 1))
        Image.fromarray(np.concatenate(rows)).save(path)

    def config(self) -> dict[str, Any]:
        return asdict(self.recipe)


def encode(linear: Frames) -> Frames:
    """LogC3 code."""
    from ..pipeline.colour import logc3_encode

    return np.asarray(logc3_encode(linear), np.float32)


def display(picture: Tensor) -> NDArray[np.uint8]:
    """Standardised code [3, H, W] as a viewer shows it, [H, W, 3]."""
    code = picture.float().cpu().numpy().transpose(1, 2, 0) * CODE_STD + CODE_MEAN
    return linear_to_display(np.maximum(logc3_decode(code), 0.0).astype(np.float32))
