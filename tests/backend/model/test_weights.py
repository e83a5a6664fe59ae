"""Checkpoints: round trips, Wan folders, and every way a folder can be bad."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from farplane.backend.model import weights
from farplane.backend.model.autoencoder import PixelCodec
from farplane.backend.model.dit import PlateDiT, PlateDiTConfig
from farplane.backend.model.weights import (
    Checkpoint,
    check_weights,
    load_checkpoint,
    load_transformer,
    save_checkpoint,
)
from farplane.backend.model.words import WordEncoder
from farplane.protocol.errors import FarplaneError

CONFIG = PlateDiTConfig(
    patch_size=(1, 8, 8),
    num_attention_heads=2,
    attention_head_dim=16,
    in_channels=12,
    out_channels=12,
    text_dim=8,
    freq_dim=32,
    ffn_dim=40,
    num_layers=2,
    vace_layers=(0,),
    vace_in_channels=5,
    camera_channels=24,
    prediction="x0",
    pixel_head_channels=8,
)


def make_checkpoint(seed: int = 0) -> Checkpoint:
    torch.manual_seed(seed)
    codec = PixelCodec((0.3, 0.31, 0.35), (0.2, 0.21, 0.25))
    text = WordEncoder(["valley", "dusk", "fog"], CONFIG.text_dim)
    return Checkpoint(PlateDiT(CONFIG).eval(), text.eval(), codec, notes={"clips": 12, "worlds": "procedural"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small farplane checkpoint in three shards."""
    path = tmp_path / "farplane-t"
    save_checkpoint(path, make_checkpoint())
    return path


@torch.no_grad()
def test_round_trip(tmp_path: Path) -> None:
    made = make_checkpoint()
    save_checkpoint(tmp_path / "a", made)
    read = load_checkpoint(tmp_path / "a")
    assert read.transformer.config == CONFIG
    assert read.codec == made.codec
    assert read.notes == made.notes
    assert read.text.vocabulary == made.text.vocabulary
    assert {p.dtype for p in read.transformer.parameters()} == {torch.float32}
    stored = {k: v.half().float() for k, v in made.transformer.state_dict().items()}
    assert all(torch.equal(v, stored[k]) for k, v in read.transformer.state_dict().items())
    made.transformer.load_state_dict(stored)
    made.text.load_state_dict({k: v.half().float() for k, v in made.text.state_dict().items()})
    outputs = []
    for each in (made, read):
        hidden, mask = each.text(["fog valley", ""])
        x, control, rays = torch.ones(2, 12, 2, 16, 16), torch.ones(2, 5, 2, 16, 16), torch.ones(2, 24, 2, 16, 16)
        time = torch.tensor([3.0, 900.0])
        outputs.append(each.transformer(x, time, hidden, control, camera=rays, encoder_mask=mask))
    assert torch.equal(outputs[0], outputs[1])


def test_shards_are_small_and_float16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SHARD_BYTES", 2**16 + 40_000)
    save_checkpoint(tmp_path / "a", make_checkpoint())
    shards = sorted((tmp_path / "a").glob("*.safetensors"))
    assert len(shards) > 2
    largest = max(v.numel() * 2 for s in shards for v in load_file(s).values())
    for shard in shards:
        assert shard.stat().st_size <= max(weights.SHARD_BYTES, largest + 2**16)
        assert {v.dtype for v in load_file(shard).values()} == {torch.float16}
    load_checkpoint(tmp_path / "a")


def test_saving_replaces_whole_and_keeps_the_card(folder: Path) -> None:
    (folder / "README.md").write_text("card")
    (folder / "stray.safetensors").write_bytes(b"x")
    save_checkpoint(folder, make_checkpoint(seed=1))
    assert (folder / "README.md").read_text() == "card"
    assert not (folder / "stray.safetensors").exists()
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    load_checkpoint(folder)


def test_what_does_not_fit_float16_is_not_written(tmp_path: Path) -> None:
    checkpoint = make_checkpoint()
    with torch.no_grad():
        checkpoint.transformer.head.conv_out.bias[0] = 1e6
    with pytest.raises(ValueError, match=r"conv_out\.bias is not finite"):
        save_checkpoint(tmp_path / "a", checkpoint)
    assert list(tmp_path.iterdir()) == []


def test_wan_transformer_loads_and_keeps_float_parts(wan_folder: Path, pipeline: Any) -> None:
    theirs = pipeline.transformer.state_dict()
    exact = load_transformer(wan_folder / "transformer")
    assert all(torch.equal(v, theirs[k]) for k, v in exact.state_dict().items())
    half = load_transformer(wan_folder / "transformer", dtype=torch.bfloat16)
    assert half.blocks[0].scale_shift_table.dtype == torch.float32
    assert half.condition_embedder.time_embedder.linear_1.weight.dtype == torch.float32
    assert half.proj_out.weight.dtype == torch.bfloat16


def test_wan_transformer_in_shards(pipeline: Any, tmp_path: Path) -> None:
    pipeline.transformer.save_pretrained(tmp_path / "t", max_shard_size="100KB")
    assert len(list((tmp_path / "t").glob("*.safetensors"))) > 2
    theirs = pipeline.transformer.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in load_transformer(tmp_path / "t").state_dict().items())


def shard(folder: Path) -> Path:
    return sorted(folder.glob("*.safetensors"))[0]


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """In memory: what load_file gives lies in the file itself, which these tests write over."""
    return {key: value.clone() for key, value in load_file(path).items()}


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = tensors_of(shard(folder))
    change(tensors)
    save_file(tensors, shard(folder))


def edit_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def edit_index(folder: Path, change: Callable[[dict[str, str]], None]) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    change(index["weight_map"])
    path.write_text(json.dumps(index))


def as_pickle(folder: Path) -> None:
    tensors = tensors_of(shard(folder))
    for path in folder.glob("model*"):
        path.unlink()
    torch.save(tensors, folder / "pytorch_model.bin")


def repeat_in_header(folder: Path) -> None:
    raw = shard(folder).read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = raw[8 : 8 + length].strip()
    name, entry = next((k, v) for k, v in json.loads(header).items() if k != "__metadata__")
    header = header[:-1] + b"," + json.dumps({name: entry}).encode()[1:]
    shard(folder).write_bytes(struct.pack("<Q", len(header)) + header + raw[8 + length :])


def repeat_across_shards(folder: Path) -> None:
    tensors = tensors_of(shard(folder))
    save_file(dict(list(tensors.items())[:1]), folder / "model-extra.safetensors")
    edit_index(folder, lambda where: where.update({list(tensors)[1]: "model-extra.safetensors"}))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "config.json is missing"),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "config no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json is not readable JSON"),
    "config a list": (lambda f: (f / "config.json").write_text("[]"), "config.json is not a JSON object"),
    "config binary": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\0"), "config.json is not readable JSON"),
    "other format": (lambda f: edit_config(f, format="onnx"), "is no farplane-checkpoint of version 1"),
    "later version": (lambda f: edit_config(f, version=2), "is no farplane-checkpoint of version 1"),
    "no transformer": (lambda f: edit_config(f, transformer=None), "does not describe a model"),
    "unknown key": (lambda f: edit_config(f, transformer={**CONFIG.to_dict(), "moe": 8}), "unknown configuration keys"),
    "unknown codec": (lambda f: edit_config(f, codec={"kind": "jpeg"}), "does not describe a model"),
    "no weights": (lambda f: [p.unlink() for p in f.glob("model*")], "model.safetensors is missing"),
    "a pickle": (as_pickle, "pytorch_model.bin is a pickle"),
    "a pickle renamed": (
        lambda f: torch.save(tensors_of(shard(f)), shard(f)),
        r"safetensors is a pickle under another name",
    ),
    "an old pickle renamed": (
        lambda f: shard(f).write_bytes(pickle.dumps({"a": 1}, protocol=2)),
        r"safetensors is a pickle under another name",
    ),
    "truncated": (lambda f: shard(f).write_bytes(shard(f).read_bytes()[:-7]), r"safetensors is truncated or damaged"),
    "truncated header": (lambda f: shard(f).write_bytes(shard(f).read_bytes()[:60]), "is truncated or damaged"),
    "empty": (lambda f: shard(f).write_bytes(b""), "is truncated or damaged"),
    "shard missing": (lambda f: shard(f).unlink(), r"00001\.safetensors is missing"),
    "index leads away": (
        lambda f: edit_index(f, lambda where: where.update({next(iter(where)): "../config.json"})),
        "has no sound weight_map",
    ),
    "index names too much": (
        lambda f: edit_index(f, lambda where: where.update({"transformer.ghost": shard(f).name})),
        r"weights that its shards lack \(transformer.ghost\)",
    ),
    "repeated in a file": (repeat_in_header, r"safetensors repeats text\.embedding"),
    "repeated in two files": (repeat_across_shards, r"extra\.safetensors repeats the weight text\."),
    "wrong shape": (
        lambda f: rewrite(f, lambda t: t.update({"transformer.head.conv_out.bias": torch.zeros(3)})),
        r"conv_out.bias of shape \[3\], not \[12\]",
    ),
    "integers": (
        lambda f: rewrite(
            f, lambda t: t.update({"transformer.head.conv_out.bias": torch.zeros(12, dtype=torch.int32)})
        ),
        "in torch.int32",
    ),
    "other size": (
        lambda f: edit_config(f, transformer={**CONFIG.to_dict(), "ffn_dim": 48}),
        r"of shape \[40",
    ),
    "more layers": (
        lambda f: edit_config(f, transformer={**CONFIG.to_dict(), "num_layers": 3}),
        "lacks weights",
    ),
    "unknown weights": (
        lambda f: rewrite(f, lambda t: t.update({"vae.weight": torch.zeros(3)})),
        r"holds unknown weights \(vae.weight\)",
    ),
    "unknown layer": (
        lambda f: rewrite(f, lambda t: t.update({"transformer.extra": torch.zeros(3)})),
        r"has unknown weights \(extra\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_checkpoints_are_refused_in_words(folder: Path, case: str) -> None:
    damage, words = BAD[case]
    check_weights(folder, "farplane")  # as it is, nothing is wrong with it
    damage(folder)
    with pytest.raises(FarplaneError, match=words) as caught:
        load_checkpoint(folder)
    assert caught.value.field == "model"
    assert caught.value.remedy
    assert str(folder.parent) not in str(caught.value)  # a backend does not tell its paths
    with pytest.raises(FarplaneError) as beforehand:  # from the files' headers alone
        check_weights(folder, "farplane")
    assert str(beforehand.value) == str(caught.value)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: edit_config(f, _class_name="WanTransformer3DModel"), "is a WanTransformer3DModel, not a VACE"),
        (lambda f: edit_config(f, image_dim=1280), "image_dim"),
        (lambda f: edit_config(f, text_dim=33), r"shape \[44, 32\], not \[44, 33\]"),
        (lambda f: shard(f).write_bytes(shard(f).read_bytes()[:-1]), "truncated"),
        (lambda f: shard(f).rename(f / "diffusion_pytorch_model.bin"), "is a pickle"),
    ],
)
def test_bad_wan_transformers_are_refused(
    wan_folder: Path, tmp_path: Path, damage: Callable[[Path], object], words: str
) -> None:
    shutil.copytree(wan_folder / "transformer", tmp_path / "transformer")
    damage(tmp_path / "transformer")
    with pytest.raises(FarplaneError, match=words):
        load_transformer(tmp_path / "transformer")


BORROWED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no words": (lambda f: (f / "tokenizer" / "tokenizer.json").unlink(), "tokenizer has no tokenizer.json"),
    "text cut": (lambda f: cut(f / "text_encoder"), r"text_encoder/model\.safetensors is truncated or damaged"),
    "text missing": (lambda f: shard(f / "text_encoder").unlink(), r"text_encoder/model\.safetensors is missing"),
    "text pickled": (lambda f: torch.save({}, shard(f / "text_encoder")), "is a pickle under another name"),
    "other text": (
        lambda f: rewrite(f / "text_encoder", lambda t: t.update({"shared.weight": torch.zeros(39, 24)})),
        r"text_encoder has words of shape \[39, 24\], and the transformer reads words of 32 numbers",
    ),
    "vae cut": (lambda f: cut(f / "vae"), r"vae/diffusion_pytorch_model\.safetensors is truncated or damaged"),
    "vae missing": (lambda f: shard(f / "vae").unlink(), r"vae/diffusion_pytorch_model\.safetensors is missing"),
    "vae pickled": (lambda f: torch.save({}, shard(f / "vae")), "is a pickle under another name"),
    "vae no config": (lambda f: (f / "vae" / "config.json").unlink(), r"vae/config\.json is missing"),
    "other vae": (lambda f: edit_config(f / "vae", z_dim=48), "vae makes 48 channels, and the transformer reads 16"),
}


def cut(folder: Path) -> None:
    shard(folder).write_bytes(shard(folder).read_bytes()[:-7])


@pytest.mark.parametrize("case", BORROWED)
def test_what_libraries_load_of_a_wan_folder_is_checked_by_its_headers(
    wan_folder: Path, tmp_path: Path, case: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(wan_folder, folder)
    check_weights(folder, "wan")
    damage, words = BORROWED[case]
    damage(folder)
    with pytest.raises(FarplaneError, match=words) as caught:
        check_weights(folder, "wan")
    assert caught.value.field == "model"
    assert caught.value.remedy


def test_a_sound_file_may_begin_like_a_pickle(tmp_path: Path) -> None:
    """A header of 640 bytes makes a file that begins 0x80 0x02, as a pickle does."""
    entries: dict[str, Any] = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    header = json.dumps(entries).encode().ljust(640)
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", 640) + header + b"\0" * 8)
    assert weights.read_tensors(tmp_path, "model")["a"].tolist() == [0.0, 0.0]
