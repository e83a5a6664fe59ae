"""What the detail stage should predict: the clean residual, as it does (x0), or the flow's velocity (noise less residual).

    OMP_NUM_THREADS=1 python scripts/bench_prediction.py --data runs/data --steps 400     # ten minutes of one core

Two networks of the same size and the same first weights see the same crops, levels and noise, each with the squared error
of what it predicts.  Measured on crops of shards that neither saw: the mean square error of the residual that follows from
the prediction at four noise levels, in the residual's own variance, and, after twelve steps from pure noise, the error of
4 x 4 squares' means (does it keep its place) and the high-pass RMS beside the render's (is there enough of it).

The first stage has no such choice: it is shown no noise, so the best velocity is the mean of noise that it cannot know
less its estimate, the same network with another sign.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from farplane.backend.model.detail import RESIDUAL, DetailConfig, DetailNet, detail_levels, enlarge, fine_part
from farplane.backend.train.data import ClipStore
from farplane.backend.train.detail_train import DetailBatch, DetailPlan, DetailRecipe
from farplane.backend.train.loop import schedule

KINDS = ("x0", "velocity")
LEVELS = (1.0, 0.7, 0.4, 0.1)
TESTED = 6  # batches


@dataclass(frozen=True, eq=False)
class Crops:
    """residual, base and noise [M, 3, H, W]; the batch they come from."""

    residual: Tensor
    base: Tensor
    noise: Tensor
    batch: DetailBatch

    @staticmethod
    def of(batch: DetailBatch) -> Crops:
        base = enlarge(batch.small, (batch.large.shape[2], batch.large.shape[3]))
        return Crops(fine_part((batch.large - base) / RESIDUAL), base, batch.noise, batch)


def clean(kind: str, predicted: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
    """The residual that follows from a prediction at levels [M]."""
    return predicted if kind == "x0" else noisy - level[:, None, None, None] * predicted


def predict(net: DetailNet, crops: Crops, noisy: Tensor, level: Tensor) -> Tensor:
    """What the network says, [M, 3, H, W]."""
    batch = crops.batch
    with torch.autocast("cpu", torch.bfloat16):
        return net(noisy, level, crops.base, batch.surface, batch.trust, batch.words).float()


def train(kind: str, batches: list[Crops], channels: int, rate: float) -> DetailNet:
    """A network taught on these crops, in order."""
    torch.manual_seed(0)
    words, surface = batches[0].batch.words.shape[1], batches[0].batch.surface.shape[1]
    net = DetailNet(DetailConfig(channels, 1, 16, surface, words))
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    levels = torch.Generator().manual_seed(1)
    for step, crops in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = rate * schedule(step, len(batches), step, 20)
        level = torch.rand(len(crops.residual), generator=levels)
        s = level[:, None, None, None]
        noisy = (1 - s) * crops.residual + s * crops.noise
        wanted = crops.residual if kind == "x0" else crops.noise - crops.residual
        loss = (predict(net, crops, noisy, level) - wanted).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return net.eval()


@torch.no_grad()
def sampled(net: DetailNet, kind: str, crops: Crops, steps: int = 12) -> Tensor:
    """Residuals [M, 3, H, W] by Euler steps from noise."""
    state = crops.noise
    for upper, lower in pairwise(detail_levels(steps)):
        level = torch.full((len(state),), upper)
        residual = fine_part(clean(kind, predict(net, crops, state, level), state, level))
        state = residual + (lower / upper) * (state - residual)
    return state


def high_pass(pictures: Tensor) -> float:
    """RMS of what a blur of 5 x 5 takes away."""
    return float((pictures - F.avg_pool2d(pictures, 5, 1, 2)).square().mean().sqrt())


@torch.no_grad()
def measured(net: DetailNet, kind: str, tests: list[Crops]) -> list[float]:
    """Errors at LEVELS, of squares' means after sampling, and the high-pass RMS over the render's."""
    rows = []
    for crops in tests:
        variance, row = float(crops.residual.square().mean()), []
        for value in LEVELS:
            level = torch.full((len(crops.residual),), value)
            noisy = (1 - value) * crops.residual + value * crops.noise
            found = fine_part(clean(kind, predict(net, crops, noisy, level), noisy, level))
            row.append(float((found - crops.residual).square().mean()) / variance)
        made = sampled(net, kind, crops)
        squares = (
            F.avg_pool2d(made - crops.residual, 4).square().mean() / F.avg_pool2d(crops.residual, 4).square().mean()
        )
        ours, renders = (high_pass(crops.base + RESIDUAL * part) for part in (made, crops.residual))
        rows.append([*row, float(squares), ours / renders])
    return np.mean(rows, 0).tolist()


def table(rows: dict[str, list[float]]) -> str:
    """Markdown."""
    names = [*(f"error at {level:g}" for level in LEVELS), "4 x 4 squares, twelve steps", "high-pass, of the render's"]
    lines = [f"| predicts | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    return "\n".join([*lines, *(f"| {kind} | {' | '.join(f'{v:.3f}' for v in row)} |" for kind, row in rows.items())])


def drawn(plan: DetailPlan, count: int, seed: int) -> list[Crops]:
    """Batches of crops."""
    rng = np.random.default_rng(seed)
    return [Crops.of(plan.make_batch(rng)) for _ in range(count)]


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="shards of clips; the last of them is for the test")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1.2e-3)
    args = parser.parse_args(argv)
    store, kept = ClipStore(args.data), ClipStore(args.data)
    last = max(row["shard"] for row in store.rows)
    kept.rows = [row for row in store.rows if row["shard"] == last]
    store.rows = [row for row in store.rows if row["shard"] != last]
    recipe = replace(DetailRecipe(), crop=args.crop)
    batches, tests = drawn(DetailPlan(recipe, store), args.steps, 0), drawn(DetailPlan(recipe, kept), TESTED, 1)
    rows = {kind: measured(train(kind, batches, args.channels, args.rate), kind, tests) for kind in KINDS}
    print(f"{args.steps} steps of {recipe.batch} crops of {args.crop} px, {args.channels} channels\n\n{table(rows)}")


if __name__ == "__main__":
    main()
