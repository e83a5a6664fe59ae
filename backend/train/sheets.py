"""Pictures drawn while training runs: sampled sheets of held-out worlds, and the curves.  Judge by these."""

from __future__ import annotations

import csv
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..model.sampling import flow_sigmas
from ..pipeline.colour import linear_to_display, logc3_decode
from ..pipeline.geometry import warped_noise, without_blotches
from ..pipeline.pixel_conditioning import RESTART, make_condition, pack_frames, unpack_frames
from .data import SIZE, Clip, look_of, render_clip
from .patterns import clip_pattern
from .told_colours import Manner
from .world import Attributes

if TYPE_CHECKING:
    from torch import nn

SHEET = (
    (11, Attributes("alpine", "dawn", "clear", "summer"), "a mountain valley, at dawn, clear sky, summer"),
    (12, Attributes("city", "night", "clear", "summer"), "a city street at night, clear sky"),
    (13, Attributes("village", "noon", "clear", "winter"), "a village, at noon, clear sky, covered in snow"),
    (14, Attributes("coast", "dusk", "clear", "summer"), "a rocky coast, sunset, clear sky"),
    (15, Attributes("forest", "noon", "overcast", "autumn"), "a forest, at noon, overcast, autumn"),
    (16, Attributes("desert", "noon", "clear", "summer"), "a desert canyon, at noon, clear sky"),
    (17, Attributes("forest", "dawn", "fog", "summer"), "wooded hills, at dawn, thick fog"),
    (12, Attributes("city", "noon", "overcast", "winter"), "a city street, at noon, overcast, snow"),
)


@cache
def held_out_clip(index: int, width: int, height: int, frames: int = 9) -> Clip:
    """A clip of the sheet, rendered once a process."""
    seed, attributes, _ = SHEET[index]
    return render_clip(seed, frames, width, height, attributes=attributes, exact=True, samples=4)


@torch.no_grad()
def sample(
    model: nn.Module, clip: Clip, prompt: str, steps: int = 1, guidance: float = 1.0, seed: int = 0
) -> NDArray[np.float32]:
    """Scene-linear frames [T, H, W, 3] by Euler steps on the x0-predicting network."""
    from .train import CODE_MEAN, CODE_STD

    device = next(model.parameters()).device
    camera = clip.camera
    size = clip.depth.shape[1], clip.depth.shape[2]
    look = look_of(clip.world, clip.world.seed)  # the render's own, so that the two may be compared
    depth = clip.depth if clip.exact is None else clip.exact
    chance = clip_pattern(clip.world, depth, camera.K, camera.world_from_camera)
    exact = depth is clip.exact
    base = clip.base_colour(Manner(), exact)
    condition = make_condition(depth, camera, size, look=look, pattern=chance, base_colour=base, exact=exact).to(device)
    fresh = np.random.default_rng(seed).standard_normal(clip.linear.shape, np.float32)
    noise = pack_frames(without_blotches(warped_noise(fresh, depth, camera.K, camera.world_from_camera)))
    x = noise[None].to(device)
    for s, lower in pairwise(flow_sigmas(steps, 1.0, RESTART)):
        with torch.autocast(device.type, torch.bfloat16):
            x0 = model(x, s.expand(1).to(device), [prompt], condition).float()
            if guidance != 1.0:
                plain = model(x, s.expand(1).to(device), [""], condition).float()
                x0 = plain + guidance * (x0 - plain)
        x = x0 + (lower / s) * (x - x0)
    code = unpack_frames(x[0]) * CODE_STD + CODE_MEAN
    return np.maximum(logc3_decode(code), 0.0)


def draw_sheet(model: nn.Module, path: Path) -> None:
    """Depth, render and three frames of a sample for held-out worlds, in rows."""
    rows = []
    for index, (_, _, prompt) in enumerate(SHEET):
        clip = held_out_clip(index, *SIZE)
        made = sample(model, clip, prompt)
        assert clip.exact is not None
        depth = np.sqrt(np.clip(3 / clip.exact[0], 0, 1))[..., None].repeat(3, -1)
        row = [
            (depth * 255).astype(np.uint8),
            *linear_to_display(clip.linear[[0, -1]]),
            *linear_to_display(made[[0, 4, -1]]),
        ]
        picture = Image.fromarray(np.concatenate(row, 1))
        picture = picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.LANCZOS)
        ImageDraw.Draw(picture).text((4, 2), prompt, fill=(255, 255, 0))
        rows.append(np.asarray(picture))
    Image.fromarray(np.concatenate(rows)).save(path)


def draw_curves(log: Path, path: Path) -> None:
    """Loss and x0 error over computing time."""
    from matplotlib.figure import Figure

    rows = np.array([[float(v) for v in row] for row in csv.reader(log.open())])
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, column, name in ((axes[0], 3, "loss (weighted)"), (axes[1], 4, "x0 error")):
        axis.plot(rows[:, 1] / 60, rows[:, column], alpha=0.3)
        span = min(15, len(rows))  # entries of the running mean: single batches differ more than an hour's learning
        mean = np.convolve(rows[:, column], np.full(span, 1.0 / span), "valid")
        axis.plot(rows[len(rows) - len(mean) :, 1] / 60, mean, color="C0")
        axis.set(xlabel="computing minutes", ylabel=name, yscale="log")
    figure.savefig(path, dpi=100)
