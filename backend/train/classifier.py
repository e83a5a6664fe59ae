"""The judge: a small network that reads kind, time, weather and season from a picture, taught on real renders only.

It says whether a plate shows what its prompt asked for, and its last layer but one gives the features that
likeness.py compares.  No plate and no weight of farplane-s has any part in it.  It learns from clips rendered for it
(seeds of its own, the pairs of attributes that training leaves out among them), and from training shards where given:
clips and single frames.  Half of its own clips are kept from it; they tell how well it reads, and what it takes for what.

Legend: N pictures, H rows, W columns; a picture is [3, 64, 112] LogC3 code, D features, V values of a head.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..pipeline.colour import logc3_encode
from .cameras import random_path
from .data import ClipStore
from .prompts import HELD_OUT_PAIRS
from .raymarch import render
from .world import KINDS, SEASONS, TIMES, WEATHERS, WITHOUT_SEASON, Attributes, make_world, random_attributes

HEADS = {"kind": KINDS, "time": TIMES, "weather": WEATHERS, "season": SEASONS}
WITHOUT_WEATHER = ("interior",)  # its windows show too little of it
SIZE = (112, 64)  # width, height of what the judge looks at
FEATURES = 128
CLIP_FRAMES, SEEN_FRAMES = 9, (0, 4, 8)
SEEDS = 600_000  # its own renders start here: below the training worlds', above the held-out ones
HELD_BACK = 2  # every so many of its own clips are kept to tell how good it is
NEW_PAIRS = 8  # every so many show a pair of attributes that training leaves out
MOST_PICTURES = 12_000  # of a folder of shards
STEPS, BATCH, SMOOTHING = 1100, 64, 0.05
RECIPE = 2  # of the network and of how it learns; a new number teaches again
UNKNOWN = -100  # a label that no loss is taken of


def asked(attributes: Attributes) -> dict[str, str]:
    """Name and value of what can be seen of a world's attributes; a prompt that says all says these."""
    values = {"kind": attributes.kind, "time": attributes.time}
    if attributes.kind not in KINDS:  # a kind that it was never taught
        del values["kind"]
    if attributes.kind not in WITHOUT_WEATHER:
        values["weather"] = attributes.weather
    if attributes.kind not in WITHOUT_SEASON:
        values["season"] = attributes.season
    return values


def labels_of(attributes: Attributes) -> list[int]:
    """One number per head, UNKNOWN where it cannot be seen."""
    values = asked(attributes)
    return [tuple(HEADS[name]).index(values[name]) if name in values else UNKNOWN for name in HEADS]


def _layer(a: int, b: int, size: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, size, stride, size // 2, bias=False), nn.BatchNorm2d(b), nn.SiLU())


class Residual(nn.Module):
    """A picture's channels and two convolutions of them, added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _layer(channels, channels, 3, 1)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.second(self.first(x)))


class Judge(nn.Module):
    """Pictures [N, 3, 64, 112] (upright ones too) to D features, and these to logits per attribute."""

    def __init__(self) -> None:
        super().__init__()
        # A quarter of the size is kept for two convolutions: streaks of rain and flakes are a pixel wide.
        self.body = nn.Sequential(
            _layer(3, 24, 5, 2), _layer(24, 48, 3, 2), Residual(48),
            _layer(48, 96, 3, 2), Residual(96), _layer(96, 160, 3, 2), Residual(160),
        )  # fmt: skip
        self.last = nn.Sequential(nn.Dropout(0.2), nn.Linear(320, FEATURES), nn.SiLU())
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
    """pictures [N, 3, 64, 112] float16; labels [N, heads]; kept [N]: true for those it never learns from.

    turned [N]: true for upright pictures, which lie on their side here (rows and columns exchanged).
    """

    pictures: NDArray[np.float16]
    labels: NDArray[np.int64]
    kept: NDArray[np.bool_]
    turned: NDArray[np.bool_]


def joined(parts: Sequence[Lessons]) -> Lessons:
    """Several as one."""
    return Lessons(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Lessons)))


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
    flat = np.concatenate(pictures).reshape(-1, 3, SIZE[1], SIZE[0])
    return Lessons(
        flat,
        np.repeat(np.concatenate(labels), count, 0),
        np.repeat(np.concatenate(kept), count),
        np.zeros(len(flat), bool),
    )


def _own_clip(index: int) -> tuple[NDArray[np.float16], list[int]]:
    """What pictures_of gives of a clip of CLIP_FRAMES, without rendering the frames between."""
    attributes, seed = random_attributes(SEEDS + index), SEEDS + index
    if index % NEW_PAIRS == 1:
        pairs = sorted(HELD_OUT_PAIRS)
        kind, time = pairs[index // NEW_PAIRS % len(pairs)]
        attributes = replace(attributes, kind=kind, time=time)
    world = make_world(seed, attributes)
    path = random_path(world, seed, CLIP_FRAMES, *SIZE)
    chosen = list(SEEN_FRAMES)
    linear = render(world, path.K[chosen], path.world_from_camera[chosen], *SIZE, 2, (chosen[1] - chosen[0]) / 24)
    return pictures_of(linear).astype(np.float16), labels_of(attributes)


def shard_lessons(store: ClipStore, most: int = MOST_PICTURES) -> Lessons:
    """The same from training shards, evenly spread: three frames of a clip, its large one too, or the only one."""
    pictures, labels, turned = [], [], []
    each = 1 if not len(store) or len(store.load(0)[0]) == 1 else 3
    for i in np.linspace(0, len(store) - 1, min(most // each, len(store))).astype(int):
        code, _, row = store.load(int(i))
        seen = [shrink(code[np.unique([0, len(code) // 2, len(code) - 1])])]
        if "fine" in row:  # as large plates are seen: one pixel from many
            seen.append(shrink(store.load_fine(int(i))[0][None]))
        upright = code.shape[1] > code.shape[2]
        for frames in seen:
            pictures.append((frames.transpose(0, 1, 3, 2) if upright else frames).astype(np.float16))
            labels += [labels_of(Attributes(**row["attributes"]))] * len(frames)
            turned += [upright] * len(frames)
    if not pictures:
        return Lessons(
            np.empty((0, 3, SIZE[1], SIZE[0]), np.float16), np.empty((0, len(HEADS)), np.int64), np.empty(0, bool), np.empty(0, bool)
        )  # fmt: skip
    return Lessons(np.concatenate(pictures), np.array(labels), np.zeros(len(labels), bool), np.array(turned))


# --- learning and judging --------------------------------------------------------------------------------------------


def train_judge(lessons: Lessons, steps: int = STEPS, batch: int = BATCH, seed: int = 0) -> Judge:
    """About eight minutes of one core; the same lessons give the same judge."""
    torch.manual_seed(seed)
    learn = ~lessons.kept
    pools = [torch.from_numpy(np.flatnonzero(learn & (lessons.turned == side))) for side in (False, True)]
    upright = len(pools[1]) / int(learn.sum())
    x, y = torch.from_numpy(lessons.pictures), torch.from_numpy(lessons.labels)
    judge = Judge().train()
    optimiser = torch.optim.AdamW(judge.parameters(), lr=3e-3, weight_decay=0.05)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps, pct_start=0.2)
    for _ in range(steps):
        turned = bool(torch.rand(()) < upright)
        pool = pools[turned]
        part = pool[torch.randint(len(pool), (batch,))]
        seen = x[part].float()
        logits = judge(_blemished(seen.transpose(2, 3) if turned else seen))
        wrong = [
            F.cross_entropy(logits[name], y[part, i], ignore_index=UNKNOWN, label_smoothing=SMOOTHING)
            for i, name in enumerate(HEADS)
        ]
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
        size = 3 if softness < 0.3 else 5
        batch = F.avg_pool2d(batch, size, 1, size // 2, count_include_pad=False)
    return batch


@torch.no_grad()
def look(judge: Judge, pictures: NDArray) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
    """Probabilities [N, V] by head, and features [N, D], of pictures [N, 3, H, W], each seen with its mirror image."""
    parts = (torch.from_numpy(pictures[i : i + 64]).float() for i in range(0, len(pictures), 64))
    features = torch.cat([(judge.features(part) + judge.features(part.flip(3))) / 2 for part in parts])
    probabilities = {name: head(features).softmax(-1).numpy() for name, head in judge.heads.items()}
    return probabilities, features.numpy()


def votes(judge: Judge, pictures: NDArray) -> dict[str, str]:
    """What one clip's pictures show, by the mean of their probabilities."""
    probabilities, _ = look(judge, pictures)
    return {name: HEADS[name][int(p.mean(0).argmax())] for name, p in probabilities.items()}


@dataclass(frozen=True)
class Reading:
    """How well a judge reads real renders.  clips: kept from it, three pictures and one vote each; taught: pictures it
    learned from; tables: by head, how many clips show a value (row) and were read as one (column), in HEADS' order."""

    clips: int
    taught: int
    tables: dict[str, list[list[int]]]

    @property
    def right(self) -> dict[str, float]:
        """Share of the clips that were read rightly, by head; heads that no clip has a label for are left out."""
        sums = {name: (np.trace(table), np.sum(table)) for name, table in self.tables.items()}
        return {name: float(good / count) for name, (good, count) in sums.items() if count}


def read_kept(judge: Judge, lessons: Lessons) -> Reading:
    """Have the judge read the clips that were kept from it."""
    index = np.flatnonzero(lessons.kept)
    probabilities, _ = look(judge, lessons.pictures[index])
    labels = lessons.labels[index][::3]
    tables = {}
    for i, (name, values) in enumerate(HEADS.items()):
        said = probabilities[name].reshape(len(labels), 3, -1).mean(1).argmax(-1)
        known = labels[:, i] != UNKNOWN
        table = np.zeros((len(values), len(values)), int)
        np.add.at(table, (labels[known, i], said[known]), 1)
        tables[name] = table.tolist()
    return Reading(len(labels), int((~lessons.kept).sum()), tables)


def ready_judge(
    folder: Path, data: Sequence[Path], clips: int, fingerprint: str, say: Callable[[str], None]
) -> tuple[Judge, Reading]:
    """The judge of a folder and how well it reads.

    It is taught once for each state of the world (`fingerprint`), number of its own clips and set of names of the
    folders of shards; shards that were added since do not teach it again.
    """
    names = "".join(f"-{name}" for name in sorted(d.resolve().name for d in data))
    path = folder / f"judge-{RECIPE}-{fingerprint}-{clips}{names}.pt"
    about = path.with_suffix(".json")
    judge = Judge().eval()
    if path.exists() and about.exists():
        judge.load_state_dict(torch.load(path, weights_only=True))
        return judge, Reading(**json.loads(about.read_text()))
    lessons = joined(
        [own_lessons(folder / f"lessons-{fingerprint}", clips, say), *(shard_lessons(ClipStore(d)) for d in data)]
    )
    say(f"teaching the judge on {int((~lessons.kept).sum())} pictures (minutes)")
    judge = train_judge(lessons)
    reading = read_kept(judge, lessons)
    torch.save(judge.state_dict(), path)
    about.write_text(json.dumps(asdict(reading)))
    return judge, reading
