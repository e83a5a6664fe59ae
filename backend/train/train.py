"""Train farplane-s: `farplane train --out runs/farplane-s`, on a CPU or a GPU, resuming from its last checkpoint.

Data is rendered on the way (data.py) or beforehand; the network is PlateDiT on standardised LogC3 pixels, x0
prediction under a flow-matching schedule, noise carried along the blockout's geometry.  detail_train.py trains the
stage that enlarges its pictures.

Legend: B clips, T frames, R references (0 or 1), G latent frames (groups of 4), H rows, W columns.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...protocol.shot import CameraTrack
from ..model.autoencoder import PixelCodec
from ..model.dit import PlateDiT, PlateDiTConfig
from ..model.weights import Checkpoint, load_checkpoint, save_checkpoint
from ..model.words import WordEncoder, respelt
from ..pipeline.geometry import Look, warped_noise, without_blotches
from ..pipeline.pixel_conditioning import (
    CONTROL_CHANNELS,
    RESTART,
    Condition,
    make_condition,
    network_input,
    network_time,
    pack_frames,
    pack_references,
)
from .data import ClipStore, is_untold
from .loop import Processes, Run
from .prompts import vocabulary, write_prompt
from .world import Attributes

IMAGES = 3  # single frames for one clip: both cost the same
REFERENCE_SHARE = (0.5, 0.9)  # of a picture's sides that a reference shows
CODE_MEAN, CODE_STD = 0.345, 0.13  # of LogC3 code over the training renders


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome; written beside the checkpoint."""

    patch: int = 16
    dim: int = 192
    heads: int = 3
    ffn: int = 576
    layers: int = 6
    vace_layers: tuple[int, ...] = (0, 3)
    text_dim: int = 96
    head_channels: int = 40
    head_blocks: int = 2
    head_levels: int = 4
    batch: int = 4  # clips, or IMAGES times as many single frames
    image_batches: float = 0.65  # a clip's frames are alike: single ones show the network three times as much
    stills: float = 0.8  # of the single frames, from shards of single frames; the others out of clips
    learning_rate: float = 1e-3
    warmup: int = 60
    ema: float = 0.998
    text_dropout: float = 0.1
    depth_dropout: float = 0.08
    camera_dropout: float = 0.1
    look_dropout: float = 0.05
    pattern_dropout: float = 0.05
    base_dropout: float = 0.3  # blockouts without colours
    exact: float = 0.7  # clips told by the depth of the render itself, the others by a rough blockout's
    word_dropout: float = 0.03  # words left out, as a word that is not in the vocabulary is
    editing: float = 0.5  # clips of which something is known: first frame, both ends, a start, all but a region
    reference: float = 0.2  # batches that are given a reference: another picture of the same scene
    reference_look_dropout: float = 0.5  # look_dropout there, so that light and palette are read off the reference
    reference_text_dropout: float = 0.4  # text_dropout there: kind, time and weather too
    first_step: float = 1.0  # clips that train the step from nothing; the others are noisy up to RESTART
    seed: int = 1

    def transformer(self) -> PlateDiTConfig:
        """The network's configuration."""
        return PlateDiTConfig(
            patch_size=(1, self.patch, self.patch),
            num_attention_heads=self.heads,
            attention_head_dim=self.dim // self.heads,
            in_channels=12,
            out_channels=12,
            text_dim=self.text_dim,
            ffn_dim=self.ffn,
            num_layers=self.layers,
            vace_layers=self.vace_layers,
            vace_in_channels=CONTROL_CHANNELS,
            camera_channels=24,
            prediction="x0",
            pixel_head_channels=self.head_channels,
            pixel_head_blocks=self.head_blocks,
            pixel_head_levels=self.head_levels,
        )


class Model(nn.Module):
    """Transformer and text encoder, trained together."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.transformer = PlateDiT(recipe.transformer())
        self.text = WordEncoder(vocabulary(), recipe.text_dim)

    def forward(self, noisy: Tensor, level: Tensor, prompts: list[str], condition: Condition) -> Tensor:
        """Estimate x0 [B, 12, R+G, H, W] from noisy latents at noise levels [B] in 0 … 1."""
        hidden, mask = self.text(prompts)
        return self.transformer(
            network_input(noisy, level),
            network_time(level),
            hidden,
            condition.control,
            camera=condition.camera,
            encoder_mask=mask,
        )


class Shown(NamedTuple):
    """Frames and all that is told of them.  code [T, H, W, 3], depth [T, H, W], K [T, 3, 3], pose [T, 4, 4];
    pattern [T, P, H, W] and base [T, H, W, 4] or None."""

    code: NDArray
    depth: NDArray
    K: NDArray
    pose: NDArray
    look: Look
    pattern: NDArray | None = None
    base: NDArray | None = None

    def mirrored(self) -> Shown:
        """The same in a world mirrored along X: left and right change places, cameras stay right-handed."""
        K = self.K.copy()
        K[:, 0, 2] = self.depth.shape[2] - K[:, 0, 2]
        flip = np.diag([-1.0, 1.0, 1.0, 1.0])
        return Shown(
            self.code[:, :, ::-1],
            np.ascontiguousarray(self.depth[:, :, ::-1]),
            K,
            flip @ self.pose @ flip,
            self.look._replace(azimuth=math.pi - self.look.azimuth),
            None if self.pattern is None else np.ascontiguousarray(self.pattern[..., ::-1]),
            None if self.base is None else self.base[:, :, ::-1],
        )


def draw_known(rng: np.random.Generator, shape: tuple[int, ...], recipe: Recipe) -> NDArray[np.bool_]:
    """[T, H, W] what of a clip is given: nothing, its first frame, both ends, a start to extend, all but a region.

    Of a single frame nothing is given, or all but a region: its first frame would be all of it.
    """
    known = np.zeros(shape, bool)
    if rng.random() >= recipe.editing:
        return known
    task = rng.integers(4)
    count, height, width = shape
    if task == 3:
        h, w = (int(rng.uniform(0.25, 0.8) * side) for side in (height, width))
        top, left = int(rng.integers(height - h)), int(rng.integers(width - w))
        known[:] = True
        known[:, top : top + h, left : left + w] = False
    elif count > 1:
        known[: int(rng.integers(2, 6)) if task == 2 else 1] = True
        known[-1] = task == 1
    return known


def draw_reference(rng: np.random.Generator, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """[1, H, W, 3] a reference: a piece of one of a scene's pictures [T, H, W, 3], enlarged and perhaps mirrored.

    Never a whole picture as it stands, or the way to please would be to copy it.
    """
    picture = pictures[rng.integers(len(pictures))]
    height, width = picture.shape[:2]
    share = rng.uniform(*REFERENCE_SHARE)
    h, w = round(share * height), round(share * width)
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    piece = picture[top : top + h, left : left + w]
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    enlarged = cv2.resize(np.ascontiguousarray(piece), (width, height), interpolation=cv2.INTER_LINEAR)
    return enlarged[None].astype(np.float32)


@dataclass(frozen=True, eq=False)
class Batch:
    """x0 and noise [B, 12, R+G, H, W]; condition; prompts; references: R, the same for all clips."""

    x0: Tensor
    noise: Tensor
    condition: Condition
    prompts: list[str]
    references: int = 0


def make_batch(clips: ClipStore, images: ClipStore, recipe: Recipe, rng: np.random.Generator) -> Batch:
    """Draw clips or single frames of one shape, augment them, drop conditions, carry noise along their geometry.

    All of a batch have a reference or none has: latents of one batch are equally long.
    """
    x0, noise, conditions, prompts = [], [], [], []
    referred = rng.random() < recipe.reference
    look_dropout = recipe.reference_look_dropout if referred else recipe.look_dropout
    text_dropout = recipe.reference_text_dropout if referred else recipe.text_dropout
    single = rng.random() < recipe.image_batches
    store = images if single and rng.random() < recipe.stills else clips
    first = int(rng.integers(len(store)))
    alike = [i for i in range(len(store)) if store.upright(i) == store.upright(first)]
    for index in (first, *rng.choice(alike, recipe.batch * (IMAGES if single else 1) - 1)):
        exact = bool(rng.random() < recipe.exact)
        code, depth, row = store.load(int(index), exact)
        reference = standardised(draw_reference(rng, code.astype(np.float32))) if referred else None
        chosen = slice(t := int(rng.integers(len(code))), t + 1) if single else slice(None)
        code, depth = code[chosen].astype(np.float32), depth[chosen]
        kept = store.load_pattern(int(index))
        chance = None if kept is None else kept[chosen]
        base = None if is_untold(row, recipe.base_dropout, rng) else store.load_base(int(index), exact)[chosen]
        shown = Shown(code, depth, row["K"][chosen], row["world_from_camera"][chosen], Look(*row["look"]), chance, base)
        code, depth, K, pose, look, chance, base = shown.mirrored() if rng.random() < 0.5 else shown
        frames = standardised(code)
        known = draw_known(rng, depth.shape, recipe)
        told = None if rng.random() < recipe.depth_dropout else depth
        conditions.append(
            make_condition(
                told,
                CameraTrack(K, pose),
                (frames.shape[1], frames.shape[2]),
                known_frames=frames,
                known=known,
                references=reference,
                with_camera=rng.random() >= recipe.camera_dropout,
                look=None if rng.random() < look_dropout else look,
                pattern=None if rng.random() < recipe.pattern_dropout else chance,
                base_colour=base,
                exact=exact,
            )
        )
        fresh = rng.standard_normal(frames.shape, np.float32)
        latents = [pack_frames(frames), pack_frames(without_blotches(warped_noise(fresh, told, K, pose)))]
        if reference is not None:
            apart = without_blotches(rng.standard_normal(reference.shape, np.float32))
            front = [pack_references(reference), pack_references(apart)]
            latents = [torch.cat(pair, 1) for pair in zip(front, latents, strict=True)]
        x0.append(latents[0])
        noise.append(latents[1])
        text = write_prompt(Attributes(**row["attributes"]), row["move"], rng, seen=row.get("seen", ()))
        text = " ".join(word for word in text.split() if rng.random() >= recipe.word_dropout)
        prompts.append("" if rng.random() < text_dropout else text)
    return Batch(torch.stack(x0), torch.stack(noise), Condition.stack(conditions), prompts, int(referred))


def standardised(code: NDArray) -> NDArray[np.float32]:
    """LogC3 code [..., 3] as the network has it."""
    return np.ascontiguousarray((code - CODE_MEAN) / CODE_STD, dtype=np.float32)


def loss_of(model: nn.Module, batch: Batch, recipe: Recipe, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Flow-weighted x0 loss of what is to be made: not of references.  Returns (loss, per-clip x0 error)."""
    size = len(batch.prompts)
    device = batch.x0.device
    level = 0.02 + (RESTART + 0.03) * torch.rand(size, generator=generator)
    level[torch.rand(size, generator=generator) < recipe.first_step] = 1.0
    level = level.to(device)
    s = level[:, None, None, None, None]
    noisy = (1 - s) * batch.x0 + s * batch.noise
    with torch.autocast(device.type, torch.bfloat16):
        guess = model(noisy, level, batch.prompts, batch.condition)
    made = slice(batch.references, None)
    error = (guess[:, :, made].float() - batch.x0[:, :, made]).square().mean((1, 2, 3, 4))
    # The flow's own weight, 1/s^2, spends the gradient on grain (its samples kept the noise's blotches); a flat one
    # spends it on layout alone.
    weight = 1.0 / level.clamp(min=0.3)
    return (error * weight).mean(), error.detach()


def optimisers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for everything else."""
    matrices, rest = [], []
    for name, parameter in model.named_parameters():
        inner = "blocks" in name and parameter.ndim == 2 and "head." not in name
        (matrices if inner else rest).append(parameter)
    return [
        torch.optim.Muon(matrices, lr=recipe.learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01),
    ]


class BasePlan:
    """The transformer and the word encoder, trained on clips (loop.Plan)."""

    def __init__(self, recipe: Recipe, store: ClipStore, images: ClipStore) -> None:
        self.recipe, self.store, self.images = recipe, store, images
        self.learning_rate, self.warmup, self.ema, self.seed = (
            recipe.learning_rate,
            recipe.warmup,
            recipe.ema,
            recipe.seed,
        )

    def make_model(self) -> Model:
        return Model(self.recipe)

    def optimisers(self, model: nn.Module) -> list[torch.optim.Optimizer]:
        return optimisers(model, self.recipe)

    def make_batch(self, rng: np.random.Generator) -> Batch:
        self.store.refresh()
        images = self.images if self.images.refresh() else self.store
        return make_batch(self.store, images, self.recipe, rng)

    def to_device(self, batch: Batch, device: str) -> Batch:
        condition = batch.condition.to(device)
        return replace(batch, x0=batch.x0.to(device), noise=batch.noise.to(device), condition=condition)

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return loss_of(model, batch, self.recipe, generator)

    def clips(self) -> int:
        return len(self.store) + len(self.images)

    def draw(self, model: nn.Module, path: Path) -> None:
        from .sheets import draw_sheet

        draw_sheet(model, path)

    def exported(self, folder: Path) -> dict[str, Any]:
        kept = load_checkpoint(folder)
        parts = {"transformer.": kept.transformer, "text.": kept.text}
        weights = {name + key: value for name, part in parts.items() for key, value in part.state_dict().items()}
        table = "text.embedding.weight"
        return {"ema": weights | {table: respelt(weights[table], kept.text.vocabulary, vocabulary())}}

    def config(self) -> dict[str, Any]:
        return asdict(self.recipe)


def export(run: Path, folder: Path) -> None:
    """Turn the averaged weights of a run's two stages into the checkpoint folder that `--model` takes."""
    from .adversary import export_critic
    from .detail_train import DetailPlan, DetailRecipe

    def kept(stage: str) -> dict[str, Any]:
        return torch.load(run / stage / "last.pt", map_location="cpu", weights_only=True)

    base = kept("base")
    recipe = Recipe(**base["recipe"] | {"vace_layers": tuple(base["recipe"]["vace_layers"])})
    model = Model(recipe)
    model.load_state_dict(base["ema"])
    notes = {"recipe": base["recipe"], "state": base["state"], "data": "procedural world, backend/train/world.py"}
    detail, fine = None, {}
    if (run / "detail" / "last.pt").exists():
        fine = kept("detail")
        detail = DetailPlan(DetailRecipe(**fine["recipe"]), ClipStore(run)).make_model()
        detail.load_state_dict(fine["ema"])
        notes |= {"detail_recipe": fine["recipe"], "detail_state": fine["state"]}
    codec = PixelCodec((CODE_MEAN, CODE_MEAN, CODE_MEAN), (CODE_STD, CODE_STD, CODE_STD))
    save_checkpoint(folder, Checkpoint(model.transformer, model.text, codec, detail, notes))
    if "duel" in fine:
        export_critic(fine["duel"], folder)


def wait_for(store: ClipStore) -> None:
    """Return when the renderers have made enough to begin with."""
    while len(store) < 64:
        print(f"waiting for data in {store.folder} ({len(store)} clips)", flush=True)
        time.sleep(10)
        store.refresh()


def start_renderers(args: argparse.Namespace) -> list[subprocess.Popen[bytes]]:
    """Begin to render clips, and single frames beside them; shards that are there are kept."""
    started = []
    for folder, options in ((args.data, []), (args.images, ["--images"])):
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "farplane.backend.train.data", str(folder), *options]
        command += ["--shards", f"0:{args.shards}", "--processes", str(max(1, args.renderers // 2))]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    return started


def train_stages(args: argparse.Namespace) -> None:
    """The stages that were asked for; between the two the first one paints what the second one learns from."""
    from .detail_train import DetailPlan, DetailRecipe
    from .drafts import write_drafts

    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if args.device == "cuda" else args.device
    given = {"batch": args.batch, "learning_rate": args.learning_rate}
    chosen = {name: value for name, value in given.items() if value is not None}

    def train(stage: str, plan: BasePlan | DetailPlan) -> bool:
        run = Run(args.out / stage, plan, device, args.start_from)
        begun = run.state.step
        run.train(args.minutes, 60 * args.sheets)
        return run.state.step > begun

    if args.stage in ("base", "all"):
        recipe = Recipe(**chosen, first_step=args.first_step)
        learnt = train("base", BasePlan(recipe, ClipStore(args.data), ClipStore(args.images)))
        if args.stage == "all":
            processes = Processes.join(device)
            if processes.rank == 0:
                # What an earlier network painted has other faults.  Gone first: a resumed run draws what is missing.
                for stale in args.data.glob("*.draft.npy") if learnt else ():
                    stale.unlink()
                write_drafts(args.out, args.data)
            processes.meet()
    if args.stage in ("detail", "all"):
        recipe = DetailRecipe(**chosen, adversarial=args.adversarial)
        train("detail", DetailPlan(recipe, ClipStore(args.data)))  # a new store: drafts are read with their shards


def main(argv: list[str] | None = None) -> None:
    """Entry of `farplane train`: OUT/base, what it paints of the data, and OUT/detail; or `--stage` alone."""
    parser = argparse.ArgumentParser(prog="farplane train", description="Train farplane-s; run again to resume.")
    parser.add_argument("--out", type=Path, default=Path("runs/farplane-s"))
    parser.add_argument("--data", type=Path, default=Path("runs/data"))
    parser.add_argument("--images", type=Path, default=Path("runs/images"), help="shards of single frames, if any")
    parser.add_argument("--stage", choices=("base", "detail", "all"), default="all")
    parser.add_argument("--minutes", type=float, default=90.0, help="computing time of each stage over every resume")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--shards", type=int, default=220, help="shards of clips, and as many of single frames, to render"
    )
    parser.add_argument(
        "--renderers", type=int, default=1, help="processes that render data meanwhile (two at least), 0 for none"
    )
    parser.add_argument("--batch", type=int, help="clips of the base stage, crops of the detail stage, at once")
    parser.add_argument("--learning-rate", type=float, help="of both stages; their recipes have one each")
    parser.add_argument(
        "--adversarial", type=float, default=0.0, help="how far a critic is heard in the detail stage (0.5: half)"
    )
    parser.add_argument(
        "--start-from", type=Path, help="take fitting weights from a stage's folder of another run, or a checkpoint's"
    )
    parser.add_argument("--sheets", type=float, default=10.0, help="minutes between sheets of samples")
    parser.add_argument("--first-step", type=float, default=Recipe.first_step, help="Recipe.first_step")
    parser.add_argument("--export", type=Path, help="only write the run's checkpoint folder there")
    args = parser.parse_args(argv)
    if args.export:
        export(args.out, args.export)
        return
    leader = os.environ.get("RANK", "0") == "0"
    renderers = start_renderers(args) if args.renderers and leader else []
    try:
        wait_for(ClipStore(args.data))
        train_stages(args)
    finally:
        for renderer in renderers:
            renderer.terminate()


if __name__ == "__main__":
    main()
