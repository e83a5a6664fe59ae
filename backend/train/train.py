"""Train farplane-s: `farplane train --out runs/farplane-s`, on a CPU or a GPU, resuming from its last checkpoint.

Data is rendered on the way (data.py) or beforehand; the network is PlateDiT on standardised LogC3 pixels, x0
prediction under a flow-matching schedule, noise carried along the blockout's geometry.  Stages go from small to
full resolution: a small picture teaches layout and light sixteen times a second, the full one teaches detail.

Legend: B clips, T frames, G latent frames (groups of 4), H rows, W columns.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...protocol.shot import CameraTrack
from ..model.autoencoder import PixelCodec
from ..model.dit import PlateDiT, PlateDiTConfig
from ..model.weights import Checkpoint, save_checkpoint
from ..model.words import WordEncoder
from ..pipeline.geometry import warped_noise, without_blotches
from ..pipeline.pixel_conditioning import NOISE_SCALE, Condition, make_condition, network_time, pack_frames
from .data import ClipStore
from .prompts import vocabulary, write_prompt
from .world import Attributes

CODE_MEAN, CODE_STD = 0.345, 0.13  # of LogC3 code over the training renders


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome; written beside the checkpoint."""

    dim: int = 256
    heads: int = 4
    ffn: int = 768
    layers: int = 6
    vace_layers: tuple[int, ...] = (0, 3)
    text_dim: int = 96
    head_channels: int = 64
    head_blocks: int = 2
    batch: int = 2  # clips at full resolution, three times as many at half
    learning_rate: float = 2e-3
    warmup: int = 60
    ema: float = 0.998
    small_share: float = 1.0  # of the time budget, spent at half resolution; a CPU has no time for more
    text_dropout: float = 0.1
    depth_dropout: float = 0.08
    camera_dropout: float = 0.1
    word_dropout: float = 0.03  # words made unknown, so that an unknown word means nothing in particular
    first_frame: float = 0.12
    noise_spread: float = 1.4  # of the logit of the noise level, measured on a patch's mean
    pure_noise: float = 0.25
    seed: int = 1

    def transformer(self) -> PlateDiTConfig:
        """The network's configuration."""
        return PlateDiTConfig(
            patch_size=(1, 8, 8),
            num_attention_heads=self.heads,
            attention_head_dim=self.dim // self.heads,
            in_channels=12,
            out_channels=12,
            text_dim=self.text_dim,
            ffn_dim=self.ffn,
            num_layers=self.layers,
            vace_layers=self.vace_layers,
            vace_in_channels=56,
            camera_channels=24,
            prediction="x0",
            pixel_head_channels=self.head_channels,
            pixel_head_blocks=self.head_blocks,
        )


class Model(torch.nn.Module):
    """Transformer and text encoder, trained together."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.transformer = PlateDiT(recipe.transformer())
        self.text = WordEncoder(vocabulary(), recipe.text_dim)

    def forward(self, noisy: Tensor, level: Tensor, prompts: list[str], condition: Condition) -> Tensor:
        """Estimate x0 [B, 12, G, H, W] from noisy latents at noise levels [B] in 0 … 1."""
        hidden, mask = self.text(prompts)
        return self.transformer(
            noisy, network_time(level), hidden, condition.control, camera=condition.camera, encoder_mask=mask
        )


def halve(code: NDArray, depth: NDArray, K: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Half resolution: mean colour, nearest surface, K in the new pixels."""
    t, h, w = depth.shape
    small = code.reshape(t, h // 2, 2, w // 2, 2, 3).mean((2, 4))
    near = depth.reshape(t, h // 2, 2, w // 2, 2).min((2, 4))
    return small, near, K * np.array([0.5, 0.5, 1.0])[:, None]


def mirror(code: NDArray, depth: NDArray, K: NDArray, pose: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """The same clip in a world mirrored along X: left and right change places, cameras stay right-handed."""
    K = K.copy()
    K[:, 0, 2] = depth.shape[2] - K[:, 0, 2]
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    return code[:, :, ::-1], np.ascontiguousarray(depth[:, :, ::-1]), K, flip @ pose @ flip


@dataclass(frozen=True, eq=False)
class Batch:
    """x0 and noise [B, 12, G, H, W]; condition; prompts."""

    x0: Tensor
    noise: Tensor
    condition: Condition
    prompts: list[str]


def make_batch(store: ClipStore, recipe: Recipe, rng: np.random.Generator, small: bool, size: int) -> Batch:
    """Draw clips, augment them, drop conditions, and carry noise along their geometry."""
    x0, noise, conditions, prompts = [], [], [], []
    for index in rng.integers(0, len(store), size):
        code, depth, row = store.load(int(index))
        code = code.astype(np.float32)
        K, pose = row["K"], row["world_from_camera"]
        if small:
            code, depth, K = halve(code, depth, K)
        if rng.random() < 0.5:
            code, depth, K, pose = mirror(code, depth, K, pose)
        frames = np.ascontiguousarray((code - CODE_MEAN) / CODE_STD, dtype=np.float32)
        known = np.zeros(len(frames), bool)
        known[0] = rng.random() < recipe.first_frame
        shown = None if rng.random() < recipe.depth_dropout else depth
        conditions.append(
            make_condition(
                shown,
                CameraTrack(K, pose),
                (frames.shape[1], frames.shape[2]),
                known_frames=frames,
                known=known,
                with_camera=rng.random() >= recipe.camera_dropout,
            )
        )
        x0.append(pack_frames(frames))
        fresh = rng.standard_normal(frames.shape, np.float32)
        noise.append(pack_frames(without_blotches(warped_noise(fresh, shown, K, pose))))
        text = write_prompt(Attributes(**row["attributes"]), row["move"], rng)
        text = " ".join("xyzzy" if rng.random() < recipe.word_dropout else word for word in text.split())
        prompts.append("" if rng.random() < recipe.text_dropout else text)
    return Batch(torch.stack(x0), torch.stack(noise), Condition.stack(conditions), prompts)


class Prefetcher:
    """Makes batches in a thread; the heavy parts release the interpreter's lock."""

    def __init__(self, store: ClipStore, recipe: Recipe, seed: int) -> None:
        self.small = True
        self._store, self._recipe, self._rng = store, recipe, np.random.default_rng([recipe.seed, seed])
        self._ready: queue.Queue[tuple[bool, Batch]] = queue.Queue(3)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            small = self.small
            size = self._recipe.batch * (3 if small else 1)
            self._ready.put((small, make_batch(self._store, self._recipe, self._rng, small, size)))

    def next(self, small: bool) -> Batch:
        """The next batch of the wanted resolution."""
        self.small = small
        while True:
            made, batch = self._ready.get()
            if made == small:
                return batch


def loss_of(
    model: Model, batch: Batch, recipe: Recipe, generator: torch.Generator, bf16: bool
) -> tuple[Tensor, Tensor]:
    """Flow-weighted x0 loss.  Returns (loss, per-clip x0 error)."""
    size = len(batch.prompts)
    device = batch.x0.device
    level = torch.sigmoid(torch.randn(size, generator=generator) * recipe.noise_spread + math.log(NOISE_SCALE))
    level[torch.rand(size, generator=generator) < recipe.pure_noise] = 1.0
    level = level.to(device)
    s = level[:, None, None, None, None]
    noisy = (1 - s) * batch.x0 + s * batch.noise
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        guess = model(noisy, level, batch.prompts, batch.condition)
    error = (guess.float() - batch.x0).square().mean((1, 2, 3, 4))
    # The flow's own weight, 1/s^2, spends the gradient on grain (its samples kept the noise's blotches); a flat one
    # spends it on layout alone.
    weight = 1.0 / level.clamp(min=0.3)
    return (error * weight).mean(), error.detach()


def optimisers(model: Model, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for everything else."""
    matrices, rest = [], []
    for name, parameter in model.named_parameters():
        inner = "blocks" in name and parameter.ndim == 2 and "head." not in name
        (matrices if inner else rest).append(parameter)
    return [
        torch.optim.Muon(matrices, lr=recipe.learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01),
    ]


@dataclass
class State:
    """Where a run stands."""

    step: int = 0
    seconds: float = 0.0
    clips: int = 0


def schedule(seconds: float, budget: float, step: int, recipe: Recipe) -> float:
    """Learning-rate factor: warm-up, then flat, then a cosine over the last 60% of the time."""
    done = min(seconds / budget, 1.0)
    decay = 1.0 if done < 0.4 else 0.5 + 0.5 * math.cos(math.pi * (done - 0.4) / 0.6)
    return min(1.0, (step + 1) / recipe.warmup) * (0.03 + 0.97 * decay)


def save(out: Path, model: Model, ema: Model, optims: list, state: State, recipe: Recipe) -> None:
    """Write the checkpoint beside the old one, then replace it."""
    scratch = out / "last.tmp"
    torch.save(
        {
            "model": model.state_dict(),
            "ema": ema.state_dict(),
            "optimisers": [o.state_dict() for o in optims],
            "state": asdict(state),
            "recipe": asdict(recipe),
        },
        scratch,
    )
    os.replace(scratch, out / "last.pt")


def train(out: Path, data: Path, minutes: float, recipe: Recipe, device: str, sheet_every: float = 600.0) -> None:
    """Train until `minutes` of computing are spent in all, over any number of runs."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    torch.set_flush_denormal(True)  # a CPU multiplies vanishing momenta a hundred times slower otherwise
    model, ema = Model(recipe).to(device), Model(recipe).to(device)
    ema.load_state_dict(model.state_dict())
    optims = optimisers(model, recipe)
    state = State()
    if (out / "last.pt").exists():
        kept = torch.load(out / "last.pt", map_location=device, weights_only=True)
        model.load_state_dict(kept["model"])
        ema.load_state_dict(kept["ema"])
        for optim, values in zip(optims, kept["optimisers"], strict=True):
            optim.load_state_dict(values)
        state = State(**kept["state"])
    store = ClipStore(data)
    while len(store) < 64:
        print(f"waiting for data in {data} ({len(store)} clips)", flush=True)
        time.sleep(10)
        store.refresh()
    batches = Prefetcher(store, recipe, state.step)
    generator = torch.Generator().manual_seed(recipe.seed * 1000 + state.step)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters / 1e6:.2f}M parameters, {len(store)} clips, from step {state.step}", flush=True)
    log = (out / "log.csv").open("a")
    rows = csv.writer(log)
    budget = minutes * 60
    clock = time.monotonic()
    saved = sheet = state.seconds
    recent: list[tuple[float, float]] = []
    while state.seconds < budget:
        small = state.seconds < recipe.small_share * budget
        batch = batches.next(small)
        if device != "cpu":
            batch = Batch(batch.x0.to(device), batch.noise.to(device), batch.condition.to(device), batch.prompts)
        rate = recipe.learning_rate * schedule(state.seconds, budget, state.step, recipe)
        for optim in optims:
            for group in optim.param_groups:
                group["lr"] = rate
        loss, error = loss_of(model, batch, recipe, generator, bf16=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if torch.isfinite(norm):
            for optim in optims:
                optim.step()
        for optim in optims:
            optim.zero_grad(set_to_none=True)
        keep = min(recipe.ema, (state.step + 1) / (state.step + 20))
        with torch.no_grad():
            for a, b in zip(ema.parameters(), model.parameters(), strict=True):
                a.lerp_(b, 1 - keep)
        now = time.monotonic()
        state = State(state.step + 1, state.seconds + now - clock, state.clips + len(batch.prompts))
        clock = now
        recent.append((float(loss.detach()), float(error.mean())))
        if state.step % 20 == 0:
            mean = np.mean(recent, 0)
            recent.clear()
            row = [
                state.step,
                round(state.seconds, 1),
                state.clips,
                int(small),
                round(mean[0], 5),
                round(mean[1], 5),
                round(float(norm), 3),
                f"{rate:.2e}",
            ]
            rows.writerow(row)
            log.flush()
            print(*row, f"{len(store)} clips", flush=True)
            store.refresh()
        if state.seconds - sheet > sheet_every:
            sheet = state.seconds
            save(out, model, ema, optims, state, recipe)
            from .sheets import draw_curves, draw_sheet

            draw_sheet(ema, out / f"sheet-{state.step:06d}.png", small)
            draw_curves(out / "log.csv", out / "curves.png")
            clock = time.monotonic()
        elif state.seconds - saved > 90:
            saved = state.seconds
            save(out, model, ema, optims, state, recipe)
    save(out, model, ema, optims, state, recipe)


def export(run: Path, folder: Path) -> None:
    """Turn a run's averaged weights into the checkpoint folder that `--model` takes."""
    kept = torch.load(run / "last.pt", map_location="cpu", weights_only=True)
    recipe = Recipe(**kept["recipe"] | {"vace_layers": tuple(kept["recipe"]["vace_layers"])})
    model = Model(recipe)
    model.load_state_dict(kept["ema"])
    codec = PixelCodec((CODE_MEAN, CODE_MEAN, CODE_MEAN), (CODE_STD, CODE_STD, CODE_STD))
    notes = {"recipe": kept["recipe"], "state": kept["state"], "data": "procedural world, backend/train/world.py"}
    save_checkpoint(folder, Checkpoint(model.transformer, model.text, codec, notes))


def main(argv: list[str] | None = None) -> None:
    """Entry of `farplane train`."""
    parser = argparse.ArgumentParser(prog="farplane train", description="Train farplane-s; run again to resume.")
    parser.add_argument("--out", type=Path, default=Path("runs/farplane-s"))
    parser.add_argument("--data", type=Path, default=Path("runs/data"))
    parser.add_argument("--minutes", type=float, default=90.0, help="computing time in all, over every resume")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--shards", type=int, default=220, help="shards of 16 clips to render while training")
    parser.add_argument("--renderers", type=int, default=1, help="processes that render data meanwhile, 0 for none")
    parser.add_argument("--batch", type=int, default=Recipe.batch)
    parser.add_argument("--export", type=Path, help="only write the run's checkpoint folder there")
    args = parser.parse_args(argv)
    if args.export:
        export(args.out, args.export)
        return
    renderer = None
    if args.renderers:
        command = [sys.executable, "-m", "farplane.backend.train.data", str(args.data)]
        command += ["--shards", f"0:{args.shards}", "--processes", str(args.renderers)]
        args.data.mkdir(parents=True, exist_ok=True)
        renderer = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        train(args.out, args.data, args.minutes, Recipe(batch=args.batch), args.device)
    finally:
        if renderer is not None:
            renderer.terminate()


if __name__ == "__main__":
    main()
