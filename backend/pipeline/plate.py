"""A shot through farplane-s: windows of nine frames, denoised together so that a shot of any length is one plate.

The state of the sampler is the whole shot in standardised LogC3 code, [1, 3, T, H, W].  At every step each window of
frames is packed, given to the transformer with its own geometry and rays, and unpacked; where windows overlap their
estimates are averaged.  All windows share one noise, carried along the shot's surfaces (geometry.warped_noise), so
they agree on what a surface looks like before the average is taken.

Legend: T frames, H rows, W columns, N frames of a window (the model's training clip).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...protocol.errors import FarplaneError
from ...protocol.shot import CameraTrack, RenderSettings, Shot
from ..model.autoencoder import pack_time, unpack_time
from ..model.detail import FACTOR
from ..model.presets import FoundModel
from ..model.sampling import EulerSolver, denoise
from ..model.weights import Checkpoint, load_checkpoint, network_configs
from ..model.words import WordEncoder
from .canvas import Canvas, colours_beyond, depth_beyond, fitted
from .colour import logc3_decode
from .detail import DetailPlan, detailed, resampled, resampled_colour, resampled_windows
from .fusion import fused
from .geometry import SURFACE_CHANNELS, Look, shot_scale, warped_noise, without_blotches
from .pattern import Pattern, pattern_channels
from .pixel_conditioning import CONTROL_CHANNELS, RESTART, Condition, make_condition, network_input, network_time
from .wan import OnStep

HDR = "native"  # the network was trained on scene-linear light and makes values above 1 itself
BORDER = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]])  # the principal point's place in K
STRIDE = 4  # frames between windows: every frame but the ends is seen by two


Pictures = TypeVar("Pictures", Tensor, NDArray[np.uint8])


@dataclass(frozen=True, eq=False)
class ModelShot:
    """The shot as the network sees it: T >= N frames at the network's size, the shot's own `count` first.

    typical : median depth in metres.  pattern : [T, P, H, W] what chance decides (pattern_channels), None: untold.
    base_colour : [T, H, W, 4] the shot's, None: untold.  windows : those it shows, at FACTOR times the size (windows.py).
    """

    count: int
    depth: NDArray[np.float32]
    camera: CameraTrack
    typical: float
    pattern: NDArray[np.float32] | None = None
    base_colour: NDArray[np.uint8] | None = None
    windows: NDArray[np.uint8] | None = None

    def patterned(self, seed: int) -> ModelShot:
        """The same with the pattern that a seed draws."""
        seen = self.depth, self.camera.K, self.camera.world_from_camera
        made = None if self.windows is None else self.windows[:, FACTOR // 2 :: FACTOR, FACTOR // 2 :: FACTOR]
        pattern = pattern_channels(Pattern.of_seed(seed), *seen, typical=self.typical, made=made)
        return replace(self, pattern=pattern)


class Question(NamedTuple):
    """One of the answers that guidance weighs.  negative : asked with the negative prompt; geometry : with depth."""

    weight: float
    negative: bool = False
    geometry: bool = True


def questions(guidance: float, geometry_guidance: float) -> list[Question]:
    """What to ask the network: full + (g - 1) (full - negative prompt) + (d - 1) (full - no depth).

    Text and depth are guided apart, each from what the network paints when it is not told (Brooks et al. 2023, eq. 3,
    summed about the full answer).  At 1 or below a guidance asks nothing.
    """
    text, depth = max(guidance - 1.0, 0.0), max(geometry_guidance - 1.0, 0.0)
    asked = [Question(1.0 + text + depth)]
    if text:
        asked.append(Question(-text, negative=True))
    if depth:
        asked.append(Question(-depth, geometry=False))
    return asked


@functools.lru_cache(maxsize=1)
def loaded(folder: Path, device: str) -> Checkpoint:
    """The checkpoint of a folder, kept in memory between jobs."""
    check_conditions(folder)
    return load_checkpoint(folder, device)


def check_conditions(folder: Path) -> None:
    """Raise FarplaneError for a model that an earlier or later Farplane was made for: it is told other conditions than
    this one has.  Only its configuration is read."""
    transformer, detail = network_configs(folder)
    takes = [(transformer.vace_in_channels, CONTROL_CHANNELS)]
    if detail is not None:
        takes.append((detail.surface_channels, SURFACE_CHANNELS))
    for its, ours in takes:
        if its != ours:
            raise FarplaneError(
                "model",
                f"{folder.name} takes {its} channels of conditions, and this version of Farplane has {ours}",
                "Choose the model that ships with this version, or run the version that this model came with",
            )


def generate(
    shot: Shot, settings: RenderSettings, found: FoundModel, on_step: OnStep, check: Callable[[], None] = lambda: None
) -> tuple[NDArray[np.float32], Canvas]:
    """Render a shot: [T, h, w, 3] scene-linear float32, and the canvas that says where the shot's frame lies in it: the
    network's own for the shot's aspect, or FACTOR times that where the checkpoint has a detail stage.

    on_step is called after every step, `check` before every window and frame; either may raise to stop.
    """
    preset = found.preset
    device = "cuda" if torch.cuda.is_available() else "cpu"
    checkpoint = loaded(found.folder, device)
    steps, guidance = settings.steps or preset.steps, settings.guidance or preset.guidance
    base_steps, fine_steps = (steps, 0) if checkpoint.detail is None else (preset.base_steps, steps)
    total_steps = base_steps + fine_steps
    margin = checkpoint.transformer.config.patch_size[1]
    canvas = fitted(shot, preset.max_pixels, margin)
    told = overscanned(fit_shot(shot, canvas, preset.clip), margin).patterned(settings.seed)
    starts = window_starts(len(told.depth), preset.clip)
    asked = questions(guidance, preset.geometry_guidance)
    look = Look.of_seed(settings.seed).lit_from(shot.sun)

    def condition_of(start: int) -> Condition:
        parts = [window_condition(told, start, preset.clip, look, with_depth=q.geometry) for q in asked]
        return Condition.stack(parts).to(device)

    conditions = [condition_of(start) for start in starts]
    texts = [shot.prompt.negative if question.negative else shot.prompt.text for question in asked]
    with torch.no_grad():
        hidden, mask = checkpoint.text(texts)

    def model(state: Tensor, timestep: Tensor) -> Tensor:
        sigma = timestep / 1000.0
        total, weight = torch.zeros_like(state), torch.zeros(state.shape[2], device=state.device)
        for start, condition in zip(starts, conditions, strict=True):
            check()
            part = slice(start, start + preset.clip)
            noisy = network_input(pack_time(state[:, :, part]), sigma).expand(len(asked), -1, -1, -1, -1)
            with torch.autocast(device, torch.bfloat16):
                out = checkpoint.transformer(
                    noisy,
                    network_time(sigma).expand(len(asked)),
                    hidden,
                    condition.control,
                    camera=condition.camera,
                    encoder_mask=mask,
                ).float()
            x0 = torch.einsum("q,qctyx->ctyx", out.new_tensor([q.weight for q in asked]), out)[None]
            share = window_weight(preset.clip).to(device)
            total[:, :, part] += unpack_time(x0) * share[None, None, :, None, None]
            weight[part] += share
        return total / weight[None, None, :, None, None]

    def to_linear(standard: Tensor) -> NDArray[np.float32]:
        """[T, 3, h, w] to [T, h, w, 3]."""
        code = standard.permute(0, 2, 3, 1).float().cpu().numpy()
        code = code * np.array(checkpoint.codec.std, np.float32) + np.array(checkpoint.codec.mean, np.float32)
        return np.maximum(logc3_decode(code), 0.0).astype(np.float32)

    middle = told.count // 2

    def report(step: int, x0: Tensor) -> None:
        on_step(step, total_steps, lambda: to_linear(cropped(x0[:, :, middle].float(), margin))[0])

    def report_fine(step: int, picture: Tensor) -> None:
        on_step(base_steps + step, total_steps, lambda: to_linear(picture)[0])

    noise = torch.from_numpy(shot_noise(told, settings.seed).transpose(3, 0, 1, 2)[None].copy()).to(device)
    state = denoise(model, noise, EulerSolver(base_steps, preset.shift, RESTART), "x0", report)
    count, track = told.count, told.camera
    wide = state[0].permute(1, 2, 3, 0)[:count].cpu().numpy()
    locked = fused(wide, told.depth[:count], track.K[:count], track.world_from_camera[:count], check=check)
    plate = cropped(torch.from_numpy(locked).permute(0, 3, 1, 2).to(device), margin)
    if checkpoint.detail is not None:
        words = checkpoint.text.bag([shot.prompt.text])
        windows = None if told.windows is None else cropped(told.windows[:count], FACTOR * margin)
        canvas = canvas.times(FACTOR)
        plan = DetailPlan(preset.detail_trust, fine_steps, settings.seed, look, middle, words, windows)
        plate = detailed(checkpoint.detail, plate, shot, canvas, plan, report_fine, check)
    return to_linear(plate), canvas


def known_words(shot: Shot, found: FoundModel) -> list[str]:
    """The prompt's words as the model reads them, in order."""
    return words_of(found).known_words(shot.prompt.text)


def prompt_notes(shot: Shot, found: FoundModel) -> tuple[str, ...]:
    """What the report says of a prompt: words the model never saw (the shot is rendered all the same)."""
    text = words_of(found)
    notes = []
    if replaced := text.replaced_words(shot.prompt.text):
        notes.append("read as: " + ", ".join(f"{word} as {known}" for word, known in replaced.items()))
    if unknown := text.unknown_words(shot.prompt.text):
        notes.append(f"not in this model's vocabulary: {', '.join(unknown)}")
    return tuple(notes)


def words_of(found: FoundModel) -> WordEncoder:
    """The word encoder of a model, with its vocabulary."""
    return loaded(found.folder, "cuda" if torch.cuda.is_available() else "cpu").text


def fit_shot(shot: Shot, canvas: Canvas, clip: int) -> ModelShot:
    """The shot on the network's canvas, at least `clip` frames long (the last repeated)."""
    count = len(shot.frames)
    frames = np.minimum(np.arange(max(count, clip)), count - 1)
    depth, camera = resampled(shot, canvas, frames)
    colours = resampled_colour(shot, canvas, frames)
    windows = resampled_windows(shot, canvas.times(FACTOR), np.arange(count))
    windows = None if windows is None else windows[frames]  # looked for once in a frame that is repeated
    return ModelShot(count, depth, camera, shot_scale(shot.depth.z)[1], base_colour=colours, windows=windows)


def overscanned(shot: ModelShot, margin: int) -> ModelShot:
    """The same with `margin` pixels more on every side, surfaces going on as they end and the cameras seeing farther:
    a convolution knows less at a picture's border, and paints a rim there.
    """
    camera = CameraTrack(shot.camera.K + margin * BORDER, shot.camera.world_from_camera)
    sides, finer = (margin, margin), (FACTOR * margin, FACTOR * margin)
    depth = depth_beyond(shot.depth, sides, sides)
    base_colour, windows = shot.base_colour, shot.windows
    if base_colour is not None:
        base_colour = colours_beyond(base_colour, sides, sides)
    if windows is not None:
        windows = colours_beyond(windows, finer, finer)
    return replace(shot, depth=depth, camera=camera, base_colour=base_colour, windows=windows)


def cropped(pictures: Pictures, margin: int) -> Pictures:
    """[..., H, W] without the overscan."""
    return pictures[..., margin:-margin, margin:-margin]


def window_starts(count: int, clip: int) -> list[int]:
    """First frames of the windows that cover `count` >= `clip` frames; the last is moved back to end with the shot."""
    return sorted({*range(0, count - clip, STRIDE), count - clip})


def window_weight(clip: int) -> Tensor:
    """[clip] weights, highest in the middle of a window, where the network sees frames on both sides."""
    ramp = torch.arange(clip) + 1.0
    return torch.minimum(ramp, ramp.flip(0))


def window_condition(
    shot: ModelShot, start: int, clip: int, look: Look | None = None, *, with_depth: bool = True
) -> Condition:
    """Surface and rays of one window; rays start at its own first camera, scale and heading are the shot's own, so
    that a surface is told alike in every window."""
    part = slice(start, start + clip)
    camera = CameraTrack(shot.camera.K[part], shot.camera.world_from_camera[part])
    depth = shot.depth[part] if with_depth else None
    pattern = None if shot.pattern is None else shot.pattern[part]
    whole, size = (shot_scale(shot.depth), shot.camera), (shot.depth.shape[1], shot.depth.shape[2])
    base_colour = None if shot.base_colour is None else shot.base_colour[part]
    return make_condition(depth, camera, size, look=look, pattern=pattern, base_colour=base_colour, whole=whole)


def shot_noise(shot: ModelShot, seed: int) -> NDArray[np.float32]:
    """[T, H, W, 3] noise of a seed, the same on every machine and device."""
    fresh = np.random.Generator(np.random.Philox(seed)).standard_normal((*shot.depth.shape, 3), np.float32)
    return without_blotches(warped_noise(fresh, shot.depth, shot.camera.K, shot.camera.world_from_camera))
