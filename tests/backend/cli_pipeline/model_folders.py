"""Small model folders, whole and spoiled, for tests of what is said about them before any work."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from farplane.backend.model.autoencoder import PixelCodec
from farplane.backend.model.config import PlateDiTConfig
from farplane.backend.model.dit import PlateDiT
from farplane.backend.model.weights import Checkpoint, load_transformer, save_checkpoint
from farplane.backend.model.words import WordEncoder
from farplane.backend.pipeline.pixel_conditioning import CONTROL_CHANNELS

REFERENCE = Path(__file__).parents[1] / "model" / "conftest.py"

FARPLANE = PlateDiTConfig(
    patch_size=(1, 8, 8), num_attention_heads=2, attention_head_dim=12, in_channels=12, out_channels=12, text_dim=10,
    ffn_dim=20, num_layers=1, vace_layers=(0,), vace_in_channels=CONTROL_CHANNELS, prediction="x0",
)  # fmt: skip
WAN = PlateDiTConfig(
    num_attention_heads=2, attention_head_dim=22, text_dim=32, ffn_dim=50, num_layers=2, vace_layers=(0,)
)


def farplane_folder(folder: Path) -> Path:
    """A small checkpoint of ours; returns where its config and weights lie."""
    save_checkpoint(
        folder, Checkpoint(PlateDiT(FARPLANE), WordEncoder(["fog"], 10), PixelCodec((0.3,) * 3, (0.1,) * 3))
    )
    return folder


def wan_folder(folder: Path) -> Path:
    """The files of a Wan folder in diffusers' layout, as far as they are looked at."""
    for part in ("tokenizer", "text_encoder", "vae", "transformer"):
        (folder / part).mkdir(parents=True)
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    (folder / "text_encoder" / "config.json").write_text('{"vocab_size": 5}')
    save_file({"shared.weight": torch.zeros(5, 32)}, folder / "text_encoder" / "model.safetensors")
    (folder / "vae" / "config.json").write_text('{"z_dim": 16}')
    save_file({"a": torch.zeros(2)}, folder / "vae" / "diffusion_pytorch_model.safetensors")
    inner = folder / "transformer"
    (inner / "config.json").write_text(json.dumps(WAN.to_dict() | {"_class_name": "WanVACETransformer3DModel"}))
    save_file(PlateDiT(WAN).state_dict(), inner / "diffusion_pytorch_model.safetensors")
    load_transformer(inner)
    return inner


def weights_of(folder: Path) -> Path:
    return sorted(folder.glob("*.safetensors"))[0]


def cut(folder: Path) -> None:
    weights_of(folder).write_bytes(weights_of(folder).read_bytes()[:-7])


def pickled(folder: Path) -> None:
    torch.save({"a": torch.zeros(2)}, weights_of(folder))


def other_shape(folder: Path) -> None:
    tensors = {key: value.clone() for key, value in load_file(weights_of(folder)).items()}
    name = next(key for key in tensors if key.endswith("norm2.bias"))
    save_file(tensors | {name: torch.zeros(3)}, weights_of(folder))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda folder: weights_of(folder).unlink(), "is missing"),
    "truncated": (cut, "is truncated or damaged"),
    "a pickle": (pickled, "is a pickle under another name"),
    "another shape": (other_shape, r"norm2\.bias of shape \[3\], not \["),
    "no config": (lambda folder: (folder / "config.json").write_text("{"), "config.json is not readable JSON"),
}


def saved_by_diffusers(folder: Path) -> Path:
    """The tiny random WanVACEPipeline of the model's tests, as diffusers itself writes it.  Needs the `wan` extra."""
    import diffusers

    spec = importlib.util.spec_from_file_location("wan_reference", REFERENCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make_pipeline(diffusers).save_pretrained(folder, safe_serialization=True)
    return folder
