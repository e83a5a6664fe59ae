"""The models there are, in one table, and how a name or a path becomes one of them.  No torch here."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ...protocol.errors import FarplaneError
from ...protocol.events import ModelInfo
from .config import PlateDiTConfig

Kind = Literal["farplane", "wan"]

CHECKPOINTS = Path(__file__).parent / "checkpoints"
MODELS_VARIABLE = "FARPLANE_MODELS"  # a folder that holds downloaded model folders, by preset name


@dataclass(frozen=True)
class Preset:
    """One row: what a model is and how it likes to run.

    kind : a farplane folder or a Wan folder in diffusers' layout.  sizes : (W, H) it renders best.
    max_pixels : a frame's largest area.  clip : frames of its training clips, 4n + 1.
    steps, guidance, shift : the sampler's defaults.  Where a checkpoint has a detail stage, `steps` are its own, the
    transformer takes base_steps, and detail_trust says how far its picture is believed (0 … 1).  geometry_guidance : how
    much farther than the network's own answer to go from what it would paint without the depth.  config : the
    transformer's, where the weights are not ours.  source : where its weights come from.
    """

    name: str
    title: str
    kind: Kind
    sizes: tuple[tuple[int, int], ...]
    max_pixels: int
    clip: int
    steps: int
    guidance: float
    shift: float
    source: str = ""
    config: PlateDiTConfig | None = None
    base_steps: int = 1
    geometry_guidance: float = 1.0
    detail_trust: float = 0.6

    @property
    def longest(self) -> int | None:
        """Frames of the longest shot that it renders; None where windows carry it over any."""
        return self.clip if self.kind == "wan" else None


_SIZE_480 = ((832, 480), (480, 832))
_SIZE_720 = ((1280, 720), (720, 1280), *_SIZE_480)

PRESETS: tuple[Preset, ...] = (
    Preset(
        name="farplane-s",
        title="Farplane small: runs anywhere, ships with Farplane",
        kind="farplane",
        sizes=((448, 256), (256, 448)),
        max_pixels=112 * 64,  # of the transformer's picture; the detail stage makes it four times as wide and high
        clip=9,
        steps=12,
        guidance=1.15,
        shift=1.0,
        detail_trust=0.0,
        geometry_guidance=1.3,
        source="ships with Farplane",
    ),
    Preset(
        name="wan2.1-vace-1.3b",
        title="Wan2.1-VACE 1.3B: 480p, a GPU with 12 GB",
        kind="wan",
        sizes=_SIZE_480,
        max_pixels=832 * 480,
        clip=81,
        steps=30,
        guidance=5.0,
        shift=3.0,
        source="Wan-AI/Wan2.1-VACE-1.3B-diffusers",
        config=PlateDiTConfig(num_attention_heads=12, ffn_dim=8960, num_layers=30, vace_layers=tuple(range(0, 30, 2))),
    ),
    Preset(
        name="wan2.1-vace-14b",
        title="Wan2.1-VACE 14B: 720p, a GPU with 80 GB",
        kind="wan",
        sizes=_SIZE_720,
        max_pixels=1280 * 720,
        clip=81,
        steps=30,
        guidance=5.0,
        shift=5.0,
        source="Wan-AI/Wan2.1-VACE-14B-diffusers",
        config=PlateDiTConfig(num_attention_heads=40, ffn_dim=13824, num_layers=40, vace_layers=tuple(range(0, 40, 5))),
    ),
)


@dataclass(frozen=True)
class FoundModel:
    """A model whose folder is there."""

    preset: Preset
    folder: Path


def find_model(name: str) -> FoundModel:
    """The model of a preset's name, or of a folder's path.  FarplaneError when it is not there or not a model."""
    for preset in PRESETS:
        if name == preset.name:
            folder = folder_of(preset)
            if folder is None:
                remedy = f"Download {preset.source} and give its path as the model, or set {MODELS_VARIABLE}"
                raise FarplaneError("model", f"the weights of {name} are not on this machine", remedy)
            return FoundModel(preset, folder)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        names = ", ".join(preset.name for preset in PRESETS)
        raise FarplaneError("model", f"{name!r} is neither a model's name nor a folder", f"Use {names} or a path")
    if (folder / "transformer").is_dir():
        return FoundModel(_wan_preset(folder), folder)
    if (folder / "config.json").is_file():
        return FoundModel(replace(PRESETS[0], name=folder.name, title=f"Farplane checkpoint {folder.name}"), folder)
    raise FarplaneError(
        "model",
        f"{folder.name} holds neither config.json nor a transformer folder",
        "Give a farplane checkpoint or a Wan-VACE folder in diffusers' layout",
    )


def longest_shot(name: str) -> int | None:
    """Frames of the longest shot that the model of a preset's name renders; None for any, and for another name."""
    return next((preset.longest for preset in PRESETS if preset.name == name), None)


def folder_of(preset: Preset) -> Path | None:
    """Where a preset's weights lie, or None."""
    places = [CHECKPOINTS / preset.name]
    if os.environ.get(MODELS_VARIABLE):
        root = Path(os.environ[MODELS_VARIABLE]).expanduser()
        places += [root / preset.name, root / Path(preset.source).name]
    mark = "config.json" if preset.kind == "farplane" else "transformer/config.json"
    return next((place for place in places if (place / mark).is_file()), None)


def offered() -> tuple[ModelInfo, ...]:
    """The table as the backend tells it to its clients."""
    return tuple(_info(preset, folder_of(preset)) for preset in PRESETS)


def _info(preset: Preset, folder: Path | None) -> ModelInfo:
    size = sum(f.stat().st_size for f in folder.rglob("*.safetensors")) / 1e6 if folder else 0.0
    state = "ready" if folder else "missing"
    return ModelInfo(preset.name, preset.title, round(size, 1), state, preset.sizes, 4, preset.steps, preset.guidance)


def _wan_preset(folder: Path) -> Preset:
    """The row whose transformer a Wan folder holds; the 1.3B's habits for any other."""
    generic = replace(PRESETS[1], title=f"Wan-VACE folder {folder.name}", config=None)
    try:
        config = PlateDiTConfig.from_dict(json.loads((folder / "transformer" / "config.json").read_text()))
    except (OSError, ValueError, TypeError):
        return replace(generic, name=folder.name)  # weights.py says what is wrong when it loads
    row = next((preset for preset in PRESETS if preset.config == config), generic)
    return replace(row, name=folder.name)
