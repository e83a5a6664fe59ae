"""A small classifier of time, weather and kind: trained on real renders only, it judges whether a plate shows its prompt.

Legend: M pictures, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..pipeline.colour import logc3_encode
from .data import ClipStore
from .world import KINDS, SEASONS, TIMES, WEATHERS

HEADS = {"time": TIMES, "weather": WEATHERS, "kind": KINDS, "season": SEASONS}
SIZE = (32, 56)


class AttributeClassifier(nn.Module):
    """LogC3 pictures [M, 3, 32, 56] to one set of logits per attribute."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 48, 64, 96)
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.SiLU(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(96 * 2 * 3, 128), nn.SiLU())
        self.heads = nn.ModuleDict({name: nn.Linear(128, len(values)) for name, values in HEADS.items()})

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        features = self.body((pictures - 0.345) / 0.13)
        return {name: head(features) for name, head in self.heads.items()}


def shrink(code: NDArray) -> NDArray[np.float32]:
    """LogC3 frames [T, H, W, 3] to [T, 3, 32, 56] by area."""
    return F.interpolate(
        torch.from_numpy(np.ascontiguousarray(code.transpose(0, 3, 1, 2), dtype=np.float32)), SIZE, mode="area"
    ).numpy()


def train_classifier(store: ClipStore, epochs: int = 16, seed: int = 0) -> AttributeClassifier:
    """Fit on every clip of a store, three frames of each, mirrored at random."""
    torch.manual_seed(seed)
    pictures, labels = [], {name: [] for name in HEADS}
    for i in range(len(store)):
        code, _, row = store.load(i)
        pictures.append(shrink(code[[0, 4, 8]]))
        for name, values in HEADS.items():
            labels[name] += [values.index(row["attributes"][name])] * 3
    x = torch.from_numpy(np.concatenate(pictures))
    y = {name: torch.tensor(values) for name, values in labels.items()}
    model = AttributeClassifier()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    steps = epochs * (len(x) // 64)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    model.train()
    for _ in range(epochs):
        for part in torch.randperm(len(x))[: len(x) // 64 * 64].split(64):
            batch = x[part].flip(3) if torch.rand(()) < 0.5 else x[part]
            # Grain and softness must not tell: a plate may be softer or rougher than a render and still be a sunset.
            batch = batch + torch.randn_like(batch) * 0.03 * torch.rand(())
            if torch.rand(()) < 0.4:
                batch = F.avg_pool2d(batch, 3, 1, 1)
            loss = torch.stack([F.cross_entropy(logits, y[name][part]) for name, logits in model(batch).items()]).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
    return model.eval()


@dataclass(frozen=True)
class Votes:
    """What the classifier saw in one clip, by the mean of its frames' probabilities."""

    time: str
    weather: str
    kind: str
    season: str


@torch.no_grad()
def classify(model: AttributeClassifier, linear: NDArray) -> Votes:
    """Attributes of scene-linear frames [T, H, W, 3]."""
    logits = model(torch.from_numpy(shrink(logc3_encode(np.asarray(linear, np.float32)))))
    return Votes(**{name: HEADS[name][int(value.softmax(-1).mean(0).argmax())] for name, value in logits.items()})
