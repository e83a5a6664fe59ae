"""`farplane render` looks at the model's files before a minute goes into the scene."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from farplane.backend import render_scene
from farplane.backend.model.autoencoder import PixelCodec
from farplane.backend.model.config import PlateDiTConfig
from farplane.backend.model.dit import PlateDiT
from farplane.backend.model.weights import Checkpoint, load_transformer, save_checkpoint
from farplane.backend.model.words import WordEncoder
from farplane.backend.render_scene import Order
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import Prompt, RenderSettings

FARPLANE = PlateDiTConfig(
    patch_size=(1, 8, 8), num_attention_heads=2, attention_head_dim=12, in_channels=12, out_channels=12, text_dim=10,
    ffn_dim=20, num_layers=1, vace_layers=(0,), vace_in_channels=12, prediction="x0",
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


@pytest.mark.parametrize("make", [farplane_folder, wan_folder])
@pytest.mark.parametrize("case", BAD)
def test_a_bad_checkpoint_is_told_before_blender_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path], case: str
) -> None:
    def begun(*_: object) -> None:
        raise AssertionError("work began")

    monkeypatch.setattr(render_scene.blender, "find_blender", begun)
    (tmp_path / "scene.blend").write_bytes(b"BLENDER")
    inner = make(tmp_path / "model")
    settings = RenderSettings(model=str(tmp_path / "model"))
    order = Order(tmp_path / "scene.blend", tmp_path / "out", Prompt("fog"), settings)
    order.validate()  # as it is, nothing is wrong with it
    damage, words = BAD[case]
    damage(inner)
    with pytest.raises(FarplaneError, match=words) as caught:
        render_scene.render(order, None)  # type: ignore[arg-type]  nothing may be printed yet
    assert caught.value.field == "model"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", ["tokenizer", "text_encoder", "vae"])
def test_a_wan_folder_that_lacks_a_part(tmp_path: Path, part: str) -> None:
    wan_folder(tmp_path / "model")
    (tmp_path / "model" / part).rmdir()
    (tmp_path / "scene.blend").write_bytes(b"BLENDER")
    order = Order(tmp_path / "scene.blend", tmp_path / "out", None, RenderSettings(model=str(tmp_path / "model")))
    with pytest.raises(FarplaneError, match=f"has no {part} folder"):
        order.validate()
