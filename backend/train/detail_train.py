"""Train the detail stage: crops of large renders, given the same picture at a quarter of the size.

At work the small picture comes from the transformer, not from a render.  So most crops are given what the transformer
really painted of that frame (drafts.py), brought to the render's colours by a wide blur of their difference: its soft
edges, spilt colours and grids stay, for the network to mend.  They are told as a trust of nothing.  The others are
given a render made worse by a drawn amount, and the network is told how much (`trust`): smoothed along its surfaces
but not across their edges, a little blurred, and laid over with soft noise.

Legend: M crops, H rows, W columns of the large picture, h = H / 4, w = W / 4.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ...protocol.errors import FarplaneError
from ..model.detail import FACTOR, RESIDUAL, DetailConfig, DetailNet, add_detail, enlarge, fine_part
from ..model.weights import load_checkpoint
from ..model.words import OWN, WordEncoder, respelt
from ..pipeline.colour import linear_to_display, logc3_decode
from ..pipeline.geometry import Look, surface_channels
from .adversary import Critic, Duel, exported_critic
from .data import ClipStore, is_untold, look_of
from .patterns import clip_pattern
from .prompts import vocabulary, write_prompt
from .told_colours import Manner
from .train import CODE_MEAN, CODE_STD, Shown
from .world import Attributes

Frames = NDArray[np.float32]
CRITIC_HASTE = 2.0  # its learning rate, of the network's


@dataclass(frozen=True)
class DetailRecipe:
    """Everything that decides the outcome; written beside the checkpoint."""

    channels: int = 64
    blocks: int = 2
    full_channels: int = 32
    batch: int = 8
    crop: int = 128
    crops_a_frame: int = 4
    learning_rate: float = 1.2e-3
    warmup: int = 100
    ema: float = 0.998
    radius: float = 4.0  # of the smoothing, px of the small picture, at no trust
    blur: float = 1.0  # deviation of a blur beside it, at the most
    noise: float = 0.05  # deviation of the soft noise at no trust, in standardised code
    pure_noise: float = 0.3
    drafted: float = 0.8  # crops given the transformer's own picture, where it was drawn
    corrected: tuple[float, float] = (2.5, 8.0)  # deviation of the blur that brings it to the render's colours, px
    magnified: float = 0.5  # crops whose noise is as seen from nearer than where it was drawn
    text_dropout: float = 0.1
    look_dropout: float = 0.05
    pattern_dropout: float = 0.05
    base_dropout: float = 0.3  # as in train.Recipe
    exact: float = 0.5  # as in train.Recipe
    adversarial: float = 0.0  # the critic's pull against the squared error's (adversary.py); 0: no critic
    judged_from: float = 0.3  # noise level of the crops that the critic sees
    coarse: float = 0.75  # share of the squared error, beside a critic, that is of 4 x 4 squares' means
    seed: int = 2


@dataclass(frozen=True, eq=False)
class DetailBatch:
    """large [M, 3, H, W], small [M, 3, h, w], surface [M, C, H, W], noise [M, 3, H, W], trust [M],
    words [M, V]; dry [M]: without rain or snow before the lens."""

    large: Tensor
    small: Tensor
    surface: Tensor
    noise: Tensor
    trust: Tensor
    words: Tensor
    dry: Tensor

    def to(self, device: str) -> DetailBatch:
        return DetailBatch(*(getattr(self, field.name).to(device) for field in fields(self)))


def smoothed(picture: Frames, guide: Frames, radius: int, step: float = 0.02) -> Frames:
    """A picture [h, w, 3] without its texture: He, Sun and Tang's guided filter (2013), which keeps the edges of
    `guide` [h, w] that are higher than about `step` and averages within `radius` pixels elsewhere."""
    size = 2 * radius + 1

    def mean(values: NDArray) -> Frames:
        return np.asarray(cv2.boxFilter(values, -1, (size, size), borderType=cv2.BORDER_REFLECT_101), np.float32)

    middle, colours = mean(guide)[..., None], mean(picture)
    spread = mean(guide * guide)[..., None] - middle**2
    slope = (mean(guide[..., None] * picture) - middle * colours) / (spread + step**2)
    return mean(slope) * guide[..., None] + mean(colours - slope * middle)


def worsen(small: Frames, guide: Frames, trust: float, recipe: DetailRecipe, rng: np.random.Generator) -> Frames:
    """A small picture [h, w, 3] over depth `guide` [h, w] (surface channel 1) as the first stage would have it."""
    lost = 1.0 - trust
    radius = round(recipe.radius * lost**1.5)
    if radius:
        small = smoothed(small, guide, radius)
    if (blur := lost * recipe.blur * rng.random()) > 0.2:
        small = np.asarray(cv2.GaussianBlur(small, (0, 0), blur, borderType=cv2.BORDER_REFLECT_101), np.float32)
    soft = rng.standard_normal(small.shape, np.float32)
    size = rng.uniform(0.6, 2.5)
    soft = np.asarray(cv2.GaussianBlur(soft, (0, 0), size)) * (3.5 * size)  # back to a deviation of about 1
    return small + np.float32(lost * recipe.noise * rng.random()) * soft


def make_detail_batch(
    store: ClipStore, encoder: WordEncoder, recipe: DetailRecipe, rng: np.random.Generator
) -> DetailBatch:
    """Draw frames, mirror half of them, cut crops out."""
    parts: list[list[NDArray]] = [[], [], [], []]  # large, small, surface, noise
    trusts: list[float] = []
    prompts: list[str] = []
    dry: list[bool] = []
    while len(trusts) < recipe.batch:
        exact, index = bool(rng.random() < recipe.exact), int(rng.integers(len(store)))
        code, depth, row = store.load_fine(index, exact)
        draft = store.load_draft(index, exact)
        K = row["K"][row["fine"]][None] * np.array([FACTOR, FACTOR, 1.0])[:, None]
        pose = row["world_from_camera"][row["fine"]][None]
        kept = store.load_pattern(index, fine=True)
        chance = None if kept is None or rng.random() < recipe.pattern_dropout else kept[None]
        base = None if is_untold(row, recipe.base_dropout, rng) else store.load_base(index, exact, fine=True)[None]
        shown = Shown(code[None].astype(np.float32), depth[None], K, pose, Look(*row["look"]), chance, base)
        mirrored = rng.random() < 0.5
        frames, depths, K, pose, look, chance, base = shown.mirrored() if mirrored else shown
        told = None if rng.random() < recipe.look_dropout else look
        surface = surface_channels(depths, K, pose, look=told, pattern=chance, base_colour=base, exact=exact)[0]
        prompt = write_prompt(Attributes(**row["attributes"]), row["move"], rng, seen=row.get("seen", ()))
        large = np.ascontiguousarray((frames[0] - CODE_MEAN) / CODE_STD)
        height, width = large.shape[:2]
        if draft is not None:
            painted = ((draft[:, ::-1] if mirrored else draft).astype(np.float32) - CODE_MEAN) / CODE_STD
            draft = recoloured(painted, halved(large), rng.uniform(*recipe.corrected))
        for _ in range(recipe.crops_a_frame):
            top = int(rng.integers((height - recipe.crop) // FACTOR + 1)) * FACTOR
            left = int(rng.integers((width - recipe.crop) // FACTOR + 1)) * FACTOR
            cut = np.s_[top : top + recipe.crop, left : left + recipe.crop]
            part = large[cut]
            if draft is not None and rng.random() < recipe.drafted:
                trust, few = 0.0, recipe.crop // FACTOR
                small = draft[top // FACTOR : top // FACTOR + few, left // FACTOR : left // FACTOR + few]
            else:
                trust = float(rng.random())
                guide = np.ascontiguousarray(surface[1][cut][FACTOR // 2 :: FACTOR, FACTOR // 2 :: FACTOR])
                small = worsen(halved(part), guide, trust, recipe, rng)
            noise = drawn_noise(part.shape, recipe, rng)
            first = [a.transpose(2, 0, 1) for a in (part, small, noise)]  # channels first
            for values, value in zip(parts, (first[0], first[1], surface[:, *cut], first[2]), strict=True):
                values.append(value)
            trusts.append(trust)
            dry.append(row["attributes"]["weather"] not in ("rain", "snowfall"))
            prompts.append("" if rng.random() < recipe.text_dropout else prompt)
    crops, smalls, surfaces, noises = (torch.from_numpy(np.stack(values)) for values in parts)
    return DetailBatch(crops, smalls, surfaces, noises, torch.tensor(trusts), encoder.bag(prompts), torch.tensor(dry))


def recoloured(draft: Frames, small: Frames, deviation: float) -> Frames:
    """A draft [h, w, 3] in the colours of the render `small`: their difference is added, blurred by `deviation` px."""
    wrong = np.ascontiguousarray(small - draft)
    return draft + np.asarray(cv2.GaussianBlur(wrong, (0, 0), deviation, borderType=cv2.BORDER_REFLECT_101), np.float32)


def drawn_noise(shape: tuple[int, ...], recipe: DetailRecipe, rng: np.random.Generator) -> Frames:
    """White noise [H, W, 3]; some of it as a camera sees it that has come nearer since it was drawn on the surfaces:
    looked up by the nearest pixel at up to three times the size, and aslant (geometry.warped_noise does so)."""
    height, width, colours = shape
    if rng.random() >= recipe.magnified:
        return rng.standard_normal(shape, np.float32)
    down, right = 1.0 / rng.uniform(1.0, 3.0, 2)
    slant = rng.uniform(-0.3, 0.3)
    y, x = np.mgrid[:height, :width]
    fresh = rng.standard_normal((height, 2 * width + height, colours), np.float32)  # as wide as the slant needs
    return fresh[(y * down).astype(int), (x * right + slant * y + (height + width) / 2).astype(int)]


def halved(large: Frames) -> Frames:
    """The mean of each FACTOR x FACTOR square, [H, W, 3] to [h, w, 3]."""
    height, width = large.shape[:2]
    squares = large.reshape(height // FACTOR, FACTOR, width // FACTOR, FACTOR, 3)
    return squares.mean((1, 3), dtype=np.float32)


class DetailPlan:
    """The detail stage, trained on crops (loop.Plan)."""

    def __init__(self, recipe: DetailRecipe, store: ClipStore) -> None:
        self.recipe, self.store = recipe, store
        self.encoder = WordEncoder(vocabulary(), 1)  # for its word list
        self.learning_rate, self.warmup = recipe.learning_rate, recipe.warmup
        self.ema, self.seed = recipe.ema, recipe.seed
        words = len(self.encoder.vocabulary) + OWN
        self.shape = DetailConfig(recipe.channels, recipe.blocks, recipe.full_channels, words=words)
        self.duel: Duel | None = None
        if recipe.adversarial:
            self.duel = Duel(Critic(words), recipe.adversarial, CRITIC_HASTE * recipe.learning_rate)

    def make_model(self) -> DetailNet:
        return DetailNet(self.shape)

    def optimisers(self, model: nn.Module) -> list[torch.optim.Optimizer]:
        return [torch.optim.AdamW(model.parameters(), lr=self.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)]

    def make_batch(self, rng: np.random.Generator) -> DetailBatch:
        self.store.refresh()
        return make_detail_batch(self.store, self.encoder, self.recipe, rng)

    def to_device(self, batch: DetailBatch, device: str) -> DetailBatch:
        return batch.to(device)

    def loss(self, model: nn.Module, batch: DetailBatch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        base = enlarge(batch.small, (batch.large.shape[2], batch.large.shape[3]))
        target = fine_part((batch.large - base) / RESIDUAL)
        level = torch.rand(len(target), generator=generator)
        level[torch.rand(len(target), generator=generator) < self.recipe.pure_noise] = 1.0
        level = level.to(target.device)
        s = level[:, None, None, None]
        noisy = (1 - s) * target + s * batch.noise
        with torch.autocast(target.device.type, torch.bfloat16):
            guess = model(noisy, level, base, batch.surface, batch.trust, batch.words)
        guess = fine_part(guess.float())
        error = (guess - target).square()
        # Lamps and window frames are few and far from the mean: past three deviations they count by distance.
        error = torch.where(error < 9.0, error, 6.0 * error.clamp(min=1e-6).sqrt() - 9.0).mean((1, 2, 3))
        weight = 1 / level.clamp(min=0.3)
        if self.duel is None:
            return (error * weight).mean(), error.detach()
        squares = F.avg_pool2d(guess - target, FACTOR).square().mean((1, 2, 3))
        wrong = (error + self.recipe.coarse * (squares - error)) * weight
        # Drops and flakes lie before the picture, not on its surfaces; detail that clings to these must not learn them.
        # At low levels the noisy picture shows the detail already.
        judged = batch.dry & (level >= self.recipe.judged_from)
        return wrong.mean() + self._judged(
            self.duel, model, guess, target, batch.words, judged, wrong.mean()
        ), error.detach()

    @staticmethod
    def _judged(
        duel: Duel, model: nn.Module, guess: Tensor, target: Tensor, words: Tensor, judged: Tensor, wrong: Tensor
    ) -> Tensor:
        """What the critic says of the `judged` crops, after a lesson of its own."""
        assert isinstance(model, DetailNet)
        duel.to(str(guess.device))
        duel.teach(target[judged], guess[judged], words[judged])
        if not judged.any():
            return guess.new_zeros(())
        return duel.loss(guess[judged], words[judged], wrong, model.last.weight)

    def clips(self) -> int:
        return len(self.store)

    def draw(self, model: nn.Module, path: Path) -> None:
        """Held-out frames: the small picture nearly trusted and what is made of it, hardly trusted and made, render."""
        from PIL import Image

        from .sheets import SHEET, held_out_clip

        rows = []
        for index in range(5):
            fine = held_out_clip(index, 448, 256, 1)
            large = ((encode(fine.linear[0])) - CODE_MEAN) / CODE_STD
            assert fine.exact is not None
            look = look_of(fine.world, fine.world.seed)
            seen = fine.exact, fine.camera.K, fine.camera.world_from_camera
            base = fine.base_colour(Manner(), exact=True)
            geometry = surface_channels(*seen, look=look, pattern=clip_pattern(fine.world, *seen), base_colour=base)
            shrunk = halved(large)
            guide = np.ascontiguousarray(geometry[0, 1, FACTOR // 2 :: FACTOR, FACTOR // 2 :: FACTOR])
            told = torch.from_numpy(geometry), self.encoder.bag([SHEET[index][2]])
            noise = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 256, 448), np.float32))
            shown = []
            for trust in (0.9, 0.2):
                worse = worsen(shrunk, guide, trust, self.recipe, np.random.default_rng(1))
                small = torch.from_numpy(worse.transpose(2, 0, 1).copy())[None]
                made = add_detail(model, small, *told, noise, trust=trust, steps=4)  # type: ignore[arg-type]
                shown += [enlarge(small, (256, 448))[0], made[0]]
            shown.append(torch.from_numpy(large.transpose(2, 0, 1).copy()))
            rows.append(np.concatenate([display(picture) for picture in shown], 1))
        Image.fromarray(np.concatenate(rows)).save(path)

    def exported(self, folder: Path) -> dict[str, Any]:
        kept = load_checkpoint(folder)
        if kept.detail is None:
            raise FarplaneError("start-from", f"{folder} has no detail stage", "Train that stage from nothing")
        weights, spellings = kept.detail.state_dict(), (kept.text.vocabulary, self.encoder.vocabulary)
        table = respelt(weights["words.weight"].T, *spellings)
        weights |= {"words.weight": table.T.contiguous()}
        return {"ema": weights, "duel": exported_critic(folder, *spellings)}

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
