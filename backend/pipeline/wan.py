"""A shot through a Wan-VACE folder: PlateDiT for its transformer, its autoencoder and umT5 through their libraries.

Legend: T frames, H rows, W columns; latents [1, 16, t, h, w].
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...protocol.errors import FarplaneError
from ...protocol.shot import RenderSettings, Shot, validate_length
from ..model.autoencoder import WanCodec
from ..model.presets import FoundModel
from ..model.sampling import Model, UniPCSolver, denoise, guided
from ..model.text import UMT5Encoder
from ..model.weights import load_transformer, read_json
from .canvas import Canvas, fitted
from .colour import srgb_decode
from .conditioning import PATCH, depth_control, vace_pack

Preview = Callable[[], NDArray[np.float32]]
OnStep = Callable[[int, int, Preview], None]
"""(steps done, steps in all, a function that makes the forming first frame [H, W, 3] scene-linear); raises to stop."""

HDR = "display"  # farplane:hdr of these frames: an SDR model, linearised, nothing invented
KEPT_PROMPTS = 32

_prompts: OrderedDict[tuple[str, int, str], Tensor] = OrderedDict()


def generate(
    shot: Shot, settings: RenderSettings, found: FoundModel, on_step: OnStep
) -> tuple[NDArray[np.float32], Canvas]:
    """Render a shot: [T, H, W, 3] scene-linear float32 in 0 … 1, and the canvas that the frame lies in.

    Frames are padded to 4n + 1 with the last one and trimmed again.  FarplaneError for a folder that does not load.
    """
    folder, preset = found.folder, found.preset
    validate_length(len(shot.frames), preset.longest, preset.name)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    steps, guidance = settings.steps or preset.steps, settings.guidance or preset.guidance
    prompts = (shot.prompt.text, shot.prompt.negative) if guidance > 1 else (shot.prompt.text,)
    texts = [text.to(device, dtype) for text in encode_prompts(folder, prompts, device, dtype)]

    codec = WanCodec.load(folder, device)
    canvas = fitted(shot, preset.max_pixels, codec.factor * PATCH)
    video = depth_control(shot.depth.z, canvas).to(device)
    control = vace_pack(codec, video, torch.ones_like(video[:, :1]))
    model = load_experts(folder, control.to(dtype), texts, guidance, device, dtype)

    generator = torch.Generator().manual_seed(settings.seed)  # on the CPU: one seed is one noise on every device
    noise = torch.randn((1, codec.channels, *control.shape[2:]), generator=generator).to(device)
    solver = UniPCSolver(steps, preset.shift, _scheduler(folder))

    def report(step: int, x0: Tensor) -> None:
        on_step(step, steps, lambda: to_linear(codec.decode(x0[:, :, :1]))[0])

    latents = denoise(model, noise, solver, "flow", report)
    del model
    return to_linear(codec.decode(latents))[: len(shot.frames)], canvas


def encode_prompts(folder: Path, prompts: tuple[str, ...], device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """[1, 512, D] for each prompt.  The text encoder (11 GB in Wan) is in memory only while it encodes."""
    stamp = (
        str(folder.resolve()),
        (folder / "text_encoder").stat().st_mtime_ns if (folder / "text_encoder").is_dir() else 0,
    )
    missing = [prompt for prompt in dict.fromkeys(prompts) if (*stamp, prompt) not in _prompts]
    if missing:
        encoder = UMT5Encoder(folder, device, dtype)
        for prompt, hidden in zip(missing, encoder.encode(missing)):
            _prompts[*stamp, prompt] = hidden[None].cpu()
        encoder.close()
    texts = [_prompts[*stamp, prompt] for prompt in prompts]
    while len(_prompts) > KEPT_PROMPTS:
        _prompts.popitem(last=False)
    return texts


def load_experts(
    folder: Path, control: Tensor, texts: list[Tensor], guidance: float, device: torch.device, dtype: torch.dtype
) -> Model:
    """The guided model of a folder.  Wan2.2 has two transformers: one above the boundary timestep, one below."""
    index = read_json(folder / "model_index.json") if (folder / "model_index.json").is_file() else {}
    boundary = float(index.get("boundary_ratio") or 0.0)
    experts = [load_transformer(folder / "transformer", device, dtype)]
    if boundary and (folder / "transformer_2").is_dir():
        experts.append(load_transformer(folder / "transformer_2", device, dtype))
    expected = control.shape[1]
    for expert in experts:
        if expert.config.vace_in_channels != expected:
            raise FarplaneError(
                "model",
                f"{folder.name} takes {expert.config.vace_in_channels} control channels, not {expected}",
                "Use a Wan-VACE folder whose transformer and vae belong together",
            )

    def with_text(text: Tensor) -> Model:
        def model(latents: Tensor, timestep: Tensor) -> Tensor:
            low = len(experts) > 1 and float(timestep[0]) < boundary * 1000
            return experts[1 if low else 0](latents.to(dtype), timestep, text, control)

        return model

    return guided(with_text(texts[0]), with_text(texts[-1]), guidance)


def to_linear(frames: Tensor) -> NDArray[np.float32]:
    """The autoencoder's frames [1, 3, T, H, W] in [-1, 1] to scene-linear [T, H, W, 3]: the sRGB curve undone."""
    code = (frames[0].float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0)
    return np.ascontiguousarray(srgb_decode(code.cpu().numpy()))


def _scheduler(folder: Path) -> dict | None:
    """The folder's own sampler settings when they are UniPC's, else None."""
    path = folder / "scheduler" / "scheduler_config.json"
    config = read_json(path) if path.is_file() else {}
    return config if config.get("_class_name") == "UniPCMultistepScheduler" else None
