"""The codecs that bench_codecs.py compares (the picture itself, PCA of patches, a small autoencoder) and the training
pictures they are fitted to.

Legend: B pictures, C latent channels, P rows and columns of a patch, H rows, W columns, h = H / P, w = W / P.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from farplane.backend.model.detail import FACTOR
from farplane.backend.pipeline.geometry import RAY_CHANNELS, SURFACE_CHANNELS, Look
from farplane.backend.pipeline.pixel_conditioning import make_condition
from farplane.backend.train.data import ClipStore
from farplane.backend.train.train import CODE_MEAN, CODE_STD
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import CameraTrack

KEPT_BACK = 2  # of the training shards, the last: bench_codecs.py reads its probe on them

# --- codecs ----------------------------------------------------------------------------------------------------------


class Codec(Protocol):
    """factor P; channels C; values of a latent cell to a pixel: C / P^2."""

    factor: int
    channels: int

    def encode(self, pictures: Tensor) -> Tensor:
        """Standardised code [B, 3, H, W] to [B, C, h, w]."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """The inverse, as far as there is one."""
        ...


class Pixels:
    """The picture itself, what farplane-s uses."""

    factor, channels = 1, 3

    def encode(self, pictures: Tensor) -> Tensor:
        return pictures

    def decode(self, latents: Tensor) -> Tensor:
        return latents


class Patches:
    """PCA of P x P patches.  mean [3PP]; basis [3PP, C] orthonormal columns, the widest deviation first."""

    def __init__(self, factor: int, mean: Tensor, basis: Tensor) -> None:
        self.factor, self.channels = factor, basis.shape[1]
        self.mean, self.basis = mean, basis

    def encode(self, pictures: Tensor) -> Tensor:
        return project(pictures, self.mean, self.basis, self.factor)

    def decode(self, latents: Tensor) -> Tensor:
        return rebuild(latents, self.mean, self.basis, self.factor)


def project(pictures: Tensor, mean: Tensor, basis: Tensor, factor: int) -> Tensor:
    """[B, 3, H, W] to [B, C, h, w]: every patch along the basis [3PP, C]."""
    patches = F.pixel_unshuffle(pictures, factor) - mean[:, None, None]
    return F.conv2d(patches, basis.T[:, :, None, None])


def rebuild(latents: Tensor, mean: Tensor, basis: Tensor, factor: int) -> Tensor:
    """[B, C, h, w] to [B, 3, H, W]."""
    return F.pixel_shuffle(F.conv2d(latents, basis[:, :, None, None]) + mean[:, None, None], factor)


def principal(pictures: Iterable[Tensor], factor: int) -> tuple[Tensor, Tensor, Tensor]:
    """(mean [3PP], basis [3PP, 3PP], deviation [3PP]) of the patches of pictures [3, H, W]; fewer columns of the basis
    are the best basis of fewer."""
    size = 3 * factor**2
    total, square, seen = torch.zeros(size, dtype=torch.float64), torch.zeros(size, size, dtype=torch.float64), 0
    for picture in pictures:
        patches = F.pixel_unshuffle(picture[None], factor)[0].flatten(1).T.double()
        total, square, seen = total + patches.sum(0), square + patches.T @ patches, seen + len(patches)
    mean = total / seen
    variance, basis = torch.linalg.eigh(square / seen - torch.outer(mean, mean))
    deviation = variance.flip(0).clamp(min=0).sqrt()
    return mean.float(), basis.flip(1).float().contiguous(), deviation.float()


class Autoencoder(nn.Module):
    """Strided convolutions down and up again, about 0.3M parameters, on top of a PCA of the same budget.

    The convolutions end in zeros, so training starts at what PCA gives, and what it wins in its minutes is what a
    network adds.  A start from random weights spends such a budget on colours and edges that PCA has in seconds.
    """

    mean: Tensor

    def __init__(self, factor: int, mean: Tensor, basis: Tensor, scale: Tensor) -> None:
        """mean [3PP], basis [3PP, C] : of a PCA; scale : [C] deviations of its latents, by which they are divided."""
        super().__init__()
        self.factor, self.channels = factor, basis.shape[1]
        self.register_buffer("mean", mean)
        self.analysis, self.synthesis = nn.Parameter(basis / scale), nn.Parameter(basis * scale)
        widths = (24, 64, 88)[: factor.bit_length() - 1]
        down: list[nn.Module] = []
        for before, after in zip((3, *widths), widths):
            down += [nn.Conv2d(before, after, 4, 2, 1), nn.SiLU()]
        down += [nn.Conv2d(widths[-1], widths[-1], 3, 1, 1), nn.SiLU(), nn.Conv2d(widths[-1], self.channels, 1)]
        up: list[nn.Module] = [nn.Conv2d(self.channels, widths[-1], 3, 1, 1), nn.SiLU()]
        for before, after in zip(widths[::-1], (*widths[-2::-1], 3)):
            up += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.SiLU()]
        self.down, self.up = nn.Sequential(*down), nn.Sequential(*up[:-1])
        for last in (self.down[-1], self.up[-1]):
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def encode(self, pictures: Tensor) -> Tensor:
        return project(pictures, self.mean, self.analysis, self.factor) + self.down(pictures)

    def decode(self, latents: Tensor) -> Tensor:
        return rebuild(latents, self.mean, self.synthesis, self.factor) + self.up(latents)


# --- training pictures -----------------------------------------------------------------------------------------------


class Pictures:
    """The large frames of training shards, in standardised code; the last KEPT_BACK shards are the probe's test."""

    def __init__(self, folder: Path, names: list[str] | None = None) -> None:
        """names : of the shards, all that are there by default."""
        self.store = ClipStore(folder)
        rows = self.store.rows
        self.names = names or sorted({row["shard"] for row in rows})
        if len(self.names) <= KEPT_BACK:
            problem = f"{folder} holds {len(self.names)} training shards, and {KEPT_BACK} are kept back"
            raise FarplaneError("data", problem, "Give a folder that farplane train filled, or none")
        self.taught = [i for i, row in enumerate(rows) if row["shard"] in self.names[:-KEPT_BACK]]
        self.kept_back = [i for i, row in enumerate(rows) if row["shard"] in self.names[-KEPT_BACK:]]

    def picture(self, index: int) -> Tensor:
        """[3, H, W]."""
        code, _, _ = self.store.load_fine(index)
        return standard(code.astype(np.float32))

    def crops(self, count: int, side: int, rng: np.random.Generator) -> Tensor:
        """[B, 3, side, side] of the taught frames, half of them mirrored."""
        out = []
        for index in rng.choice(self.taught, count):
            code, _, _ = self.store.load_fine(int(index))
            top, left = (int(rng.integers(0, n - side + 1)) for n in code.shape[:2])
            part = standard(code[top : top + side, left : left + side].astype(np.float32))
            out.append(part.flip(2) if rng.random() < 0.5 else part)
        return torch.stack(out)

    def conditions(self, index: int) -> Tensor:
        """[24, H, W]: surface channels and rays of a large frame, base colours, pattern and look told."""
        _, depth, row = self.store.load_fine(index, exact=True)
        chosen = row["fine"]
        K = row["K"][chosen][None] * np.array([FACTOR, FACTOR, 1.0])[:, None]
        pattern = self.store.load_pattern(index, fine=True)
        condition = make_condition(
            depth[None], CameraTrack(K, row["world_from_camera"][chosen][None]), depth.shape, look=Look(*row["look"]),
            pattern=None if pattern is None else pattern[None],
            base_colour=self.store.load_base(index, exact=True, fine=True)[None],
        )  # fmt: skip
        surface = condition.control[0, :, 0].unflatten(0, (4, -1))[0, -SURFACE_CHANNELS:]  # one of four equal copies
        return torch.cat([surface, condition.camera[0, :RAY_CHANNELS, 0]])

    def attributes(self, index: int) -> set[str]:
        """What the prompt says: kind, time, weather, season."""
        return {f"{name} {value}" for name, value in self.store.rows[index]["attributes"].items()}


def standard(code: NDArray[np.float32]) -> Tensor:
    """LogC3 code [H, W, 3] to standardised [3, H, W]."""
    scaled = (code - np.float32(CODE_MEAN)) / np.float32(CODE_STD)
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))


# --- training an autoencoder -----------------------------------------------------------------------------------------


class OutOfTime(Exception):
    """--minutes are over."""


@dataclass(frozen=True)
class Recipe:
    """seconds : of processor time in which the learning rate falls to nothing."""

    seconds: float
    batch: int = 6
    side: int = 96
    learning_rate: float = 2e-3
    seed: int = 3


def loss_of(net: Autoencoder, crops: Tensor) -> Tensor:
    """Squared error with a little absolute error, in standardised code."""
    error = net.decode(net.encode(crops)) - crops
    return error.square().mean() + 0.1 * error.abs().mean()


def train(net: Autoencoder, pictures: Pictures, recipe: Recipe, path: Path, until: Callable[[], float]) -> list[float]:
    """Train in place and return the mean loss of every tenth of the time; kept in `path` every ten seconds, and
    taken up from there.

    until : seconds of processor time that this start has left.  Raises OutOfTime when they are over.
    """
    begun = [net.analysis, net.synthesis]  # good already: they follow slowly
    fresh = [*net.down.parameters(), *net.up.parameters()]
    optimiser = torch.optim.Adam([{"params": fresh}, {"params": begun}])
    step, spent, losses = 0, 0.0, [[] for _ in range(10)]
    if path.exists():
        kept = torch.load(path, weights_only=True)
        net.load_state_dict(kept["net"])
        optimiser.load_state_dict(kept["optimiser"])
        step, spent, losses = kept["step"], kept["spent"], kept["losses"]
    saved = spent

    def save() -> None:
        state = {"net": net.state_dict(), "optimiser": optimiser.state_dict()}
        scratch = path.with_suffix(".tmp")
        torch.save(state | {"step": step, "spent": spent, "losses": losses}, scratch)
        os.replace(scratch, path)

    while spent < recipe.seconds:
        began = process_time()
        rate = recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * spent / recipe.seconds)) * min(1.0, (step + 1) / 20)
        for group, share in zip(optimiser.param_groups, (1.0, 0.1), strict=True):
            group["lr"] = share * rate
        loss = loss_of(net, pictures.crops(recipe.batch, recipe.side, np.random.default_rng([recipe.seed, step])))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses[min(9, int(10 * spent / recipe.seconds))].append(float(loss.detach()))
        step, spent = step + 1, spent + process_time() - began
        if spent - saved > 10 or until() < 0:
            save()
            saved = spent
        if until() < 0:
            raise OutOfTime
    save()
    return [statistics.mean(part) for part in losses if part]
