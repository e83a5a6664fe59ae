"""The judge: a small network that reads kind, time, weather and season from a picture, taught on real renders only.

It says whether a plate shows what its prompt asked for, and its last layer but one gives the features that
likeness.py compares.  No plate and no weight of farplane-s has any part in it.  It learns from clips rendered for it
(seeds of its own, the pairs of attributes that training leaves out among them), and from training shards where given.

Legend: N pictures, H rows, W columns; a picture is [3, 64, 112] LogC3 code, D features.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..pipeline.colour import logc3_encode
from .data import ClipStore, render_clip
from .prompts import HELD_OUT_PAIRS
from .world import KINDS, SEASONS, TIMES, WEATHERS, WITHOUT_SEASON, Attributes, random_attributes

HEADS = {"kind": KINDS, "time": TIMES, "weather": WEATHERS, "season": SEASONS}
WITHOUT_WEATHER = ("interior",)  # its windows show too little of it
SIZE = (112, 64)  # width, height of what the judge looks at
FEATURES = 128
CLIP_FRAMES = 9
SEEDS = 600_000  # its own renders start here: below the training worlds', above the held-out ones
HELD_BACK = 8  # every so many of its own clips are kept to tell how good it is
NEW_PAIRS = 8  # every so many show a pair of attributes that training leaves out
UNKNOWN = -100  # a label that no loss is taken of


def asked(attributes: Attributes) -> dict[str, str]:
    """Name and value of what can be seen of a world's attributes; a prompt that says all says these."""
    values = {"kind": attributes.kind, "time": attributes.time}
    if attributes.kind not in WITHOUT_WEATHER:
        values["weather"] = attributes.weather
    if attributes.kind not in WITHOUT_SEASON:
        values["season"] = attributes.season
    return values


def labels_of(attributes: Attributes) -> list[int]:
    """One number per head, UNKNOWN where it cannot be seen."""
    values = asked(attributes)
    return [tuple(HEADS[name]).index(values[name]) if name in values else UNKNOWN for name in HEADS]


class Judge(nn.Module):
    """Pictures [N, 3, 64, 112] (upright ones too) to D features, and these to logits per attribute."""

    def __init__(self) -> None:
        super().__init__()

        def layer(a: int, b: int, size: int, stride: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(a, b, size, stride, size // 2, bias=False), nn.BatchNorm2d(b), nn.SiLU())

        self.body = nn.Sequential(
            layer(3, 24, 5, 2), nn.MaxPool2d(2), layer(24, 48, 3, 2), layer(48, 48, 3, 1),
            layer(48, 96, 3, 1), layer(96, 96, 3, 1), layer(96, 128, 3, 2), layer(128, 128, 3, 1),
        )  # fmt: skip
        self.last = nn.Sequential(nn.Dropout(0.2), nn.Linear(256, FEATURES), nn.SiLU())
        self.heads = nn.ModuleDict({name: nn.Linear(FEATURES, len(values)) for name, values in HEADS.items()})

    def features(self, pictures: Tensor) -> Tensor:
        """[N, D], of the middle and the extremes of what the last convolution sees anywhere."""
        seen = self.body((pictures - 0.345) / 0.13)
        return self.last(torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], 1))

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        features = self.features(pictures)
        return {name: head(features) for name, head in self.heads.items()}


def shrink(code: NDArray) -> NDArray[np.float32]:
    """LogC3 frames [T, H, W, 3] to [T, 3, 64, 112] by area; upright ones to [T, 3, 112, 64]."""
    size = SIZE[::-1] if code.shape[2] >= code.shape[1] else SIZE
    pictures = torch.from_numpy(np.ascontiguousarray(code.transpose(0, 3, 1, 2), dtype=np.float32))
    return pictures.numpy() if pictures.shape[2:] == size else F.interpolate(pictures, size, mode="area").numpy()


def pictures_of(linear: NDArray) -> NDArray[np.float32]:
    """The first, middle and last of scene-linear frames [T, H, W, 3], as the judge sees them."""
    chosen = np.unique([0, len(linear) // 2, len(linear) - 1])
    return shrink(logc3_encode(np.asarray(linear[chosen], np.float32)))


# --- what it learns from ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Lessons:
    """pictures [N, 3, 64, 112] float16; labels [N, heads]; kept: [N] true for those it never learns from."""

    pictures: NDArray[np.float16]
    labels: NDArray[np.int64]
    kept: NDArray[np.bool_]


def own_lessons(folder: Path, clips: int, say: Callable[[str], None]) -> Lessons:
    """Render `clips` clips, three frames of each; what an earlier run made is kept, in parts of 32 clips."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures, labels, kept = [], [], []
    for start in range(0, clips, 32):
        path = folder / f"{start:05d}.npz"
        if not path.exists():
            made = [_own_clip(start + i) for i in range(32)]
            scratch = path.with_suffix(".tmp.npz")
            np.savez(scratch, pictures=np.stack([m[0] for m in made]), labels=np.array([m[1] for m in made]))
            scratch.replace(path)
            say(f"the judge's own renders: {start + 32}/{clips} clips")
        with np.load(path) as part:
            pictures.append(part["pictures"])
            labels.append(part["labels"])
            kept.append((start + np.arange(32)) % HELD_BACK == 0)
    count = pictures[0].shape[1]
    return Lessons(
        np.concatenate(pictures).reshape(-1, 3, SIZE[1], SIZE[0]),
        np.repeat(np.concatenate(labels), count, 0),
        np.repeat(np.concatenate(kept), count),
    )


def _own_clip(index: int) -> tuple[NDArray[np.float16], list[int]]:
    attributes = random_attributes(SEEDS + index)
    if index % NEW_PAIRS == 1:
        pairs = sorted(HELD_OUT_PAIRS)
        kind, time = pairs[index // NEW_PAIRS % len(pairs)]
        attributes = replace(attributes, kind=kind, time=time)
    clip = render_clip(SEEDS + index, CLIP_FRAMES, *SIZE, attributes=attributes)
    return pictures_of(clip.linear).astype(np.float16), labels_of(attributes)


def shard_lessons(store: ClipStore, most: int = 2000) -> Lessons:
    """The same from training shards, evenly spread; upright clips are left out."""
    pictures, labels = [], []
    for i in np.linspace(0, len(store) - 1, min(most, len(store))).astype(int):
        code, _, row = store.load(int(i))
        if code.shape[1] > code.shape[2]:
            continue
        pictures.append(shrink(code[[0, len(code) // 2, len(code) - 1]]).astype(np.float16))
        labels.append(labels_of(Attributes(**row["attributes"])))
    if not pictures:
        return Lessons(np.empty((0, 3, SIZE[1], SIZE[0]), np.float16), np.empty((0, 4), np.int64), np.empty(0, bool))
    return Lessons(np.concatenate(pictures), np.repeat(np.array(labels), 3, 0), np.zeros(3 * len(pictures), bool))


# --- learning and judging --------------------------------------------------------------------------------------------


def train_judge(lessons: Lessons, steps: int = 420, batch: int = 64, seed: int = 0) -> Judge:
    """About three minutes of one core; the same lessons give the same judge."""
    torch.manual_seed(seed)
    learn = np.flatnonzero(~lessons.kept)
    x = torch.from_numpy(lessons.pictures[learn])
    y = torch.from_numpy(lessons.labels[learn])
    judge = Judge().train()
    optimiser = torch.optim.AdamW(judge.parameters(), lr=3e-3, weight_decay=0.05)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps, pct_start=0.2)
    for _ in range(steps):
        part = torch.randint(len(x), (batch,))
        logits = judge(_blemished(x[part].float()))
        wrong = [F.cross_entropy(logits[name], y[part, i], ignore_index=UNKNOWN) for i, name in enumerate(HEADS)]
        optimiser.zero_grad()
        torch.stack([torch.nan_to_num(w) for w in wrong]).sum().backward()  # NaN: no label of that head in the batch
        optimiser.step()
        rate.step()
    return judge.eval()


def _blemished(batch: Tensor) -> Tensor:
    """Mirrored, grained or softened at random: a plate may be softer or rougher than a render and still be a sunset."""
    if torch.rand(()) < 0.5:
        batch = batch.flip(3)
    batch = batch + torch.randn_like(batch) * 0.03 * torch.rand(())
    softness = torch.rand(())
    if softness < 0.4:
        size = 3 if softness < 0.25 else 5
        batch = F.avg_pool2d(batch, size, 1, size // 2, count_include_pad=False)
    return batch


@torch.no_grad()
def look(judge: Judge, pictures: NDArray) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
    """Probabilities [N, values] by head, and features [N, D], of pictures [N, 3, H, W]."""
    features = torch.cat(
        [judge.features(torch.from_numpy(pictures[i : i + 64]).float()) for i in range(0, len(pictures), 64)]
    )
    probabilities = {name: head(features).softmax(-1).numpy() for name, head in judge.heads.items()}
    return probabilities, features.numpy()


def votes(judge: Judge, pictures: NDArray) -> dict[str, str]:
    """What one clip's pictures show, by the mean of their probabilities."""
    probabilities, _ = look(judge, pictures)
    return {name: HEADS[name][int(p.mean(0).argmax())] for name, p in probabilities.items()}


def accuracy(judge: Judge, lessons: Lessons) -> dict[str, float]:
    """Share of the kept-back clips (three pictures each, one vote) that the judge reads rightly, by head."""
    index = np.flatnonzero(lessons.kept)
    probabilities, _ = look(judge, lessons.pictures[index])
    labels = lessons.labels[index][::3]
    out = {}
    for i, name in enumerate(HEADS):
        said = probabilities[name].reshape(len(labels), 3, -1).mean(1).argmax(-1)
        known = labels[:, i] != UNKNOWN
        if known.any():
            out[name] = float((said == labels[:, i])[known].mean())
    return out


def ready_judge(
    folder: Path, data: Path | None, clips: int, fingerprint: str, say: Callable[[str], None]
) -> tuple[Judge, dict[str, float]]:
    """The judge of a folder, taught once for each state of the world (`fingerprint`), and its accuracy by head."""
    path, about = folder / f"judge-{fingerprint}-{clips}.pt", folder / f"judge-{fingerprint}-{clips}.json"
    judge = Judge().eval()
    if path.exists() and about.exists():
        judge.load_state_dict(torch.load(path, weights_only=True))
        return judge, json.loads(about.read_text())
    lessons = own_lessons(folder / f"lessons-{fingerprint}", clips, say)
    if data is not None and data.is_dir():
        more = shard_lessons(ClipStore(data))
        lessons = Lessons(*(np.concatenate(pair) for pair in zip(_parts(lessons), _parts(more), strict=True)))
    say(f"teaching the judge on {int((~lessons.kept).sum())} pictures")
    judge = train_judge(lessons)
    right = accuracy(judge, lessons)
    torch.save(judge.state_dict(), path)
    about.write_text(json.dumps(right))
    return judge, right


def _parts(lessons: Lessons) -> tuple[NDArray, NDArray, NDArray]:
    return lessons.pictures, lessons.labels, lessons.kept
