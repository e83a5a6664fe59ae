"""Codecs there and back; the word encoder; the table of models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from farplane.backend.model.autoencoder import (
    PixelCodec,
    WanCodec,
    latent_frames,
    pack_time,
    padded_count,
    unpack_time,
)
from farplane.backend.model.presets import PRESETS, find_model, folder_of, offered
from farplane.backend.model.words import MAX_WORDS, OWN, WordEncoder, respelt
from farplane.protocol.errors import FarplaneError

CODEC = PixelCodec((0.3, 0.4, 0.5), (0.1, 0.2, 0.4))


@pytest.mark.parametrize("frames", [1, 5, 9, 17])
def test_pixel_codec_there_and_back(frames: int) -> None:
    code = torch.rand(2, 3, frames, 6, 10, generator=torch.Generator().manual_seed(frames))
    latents = CODEC.encode(code)
    assert latents.shape == (2, 12, (frames - 1) // 4 + 1, 6, 10)
    assert torch.allclose(CODEC.decode(latents), code, atol=1e-6)


def test_channels_are_frame_major() -> None:
    frames = torch.arange(9.0).view(1, 1, 9, 1, 1) * 10 + torch.arange(3.0).view(1, 3, 1, 1, 1)
    packed = pack_time(frames)[0, :, :, 0, 0]
    assert packed[:, 0].tolist() == [0, 1, 2] * 4
    assert packed[:, 1].tolist() == [10, 11, 12, 20, 21, 22, 30, 31, 32, 40, 41, 42]
    assert packed[:, 2].tolist() == [50, 51, 52, 60, 61, 62, 70, 71, 72, 80, 81, 82]


def test_the_first_frame_is_the_mean_of_its_copies() -> None:
    packed = torch.zeros(1, 12, 2, 1, 1)
    packed[0, ::3, 0] = torch.tensor([1.0, 2.0, 3.0, 6.0]).view(4, 1, 1)
    assert unpack_time(packed)[0, 0, 0, 0, 0] == 3.0


def test_standardised_by_channel() -> None:
    code = torch.tensor(CODEC.mean).view(1, 3, 1, 1, 1) + torch.tensor(CODEC.std).view(1, 3, 1, 1, 1)
    assert torch.allclose(CODEC.encode(code), torch.ones(1, 12, 1, 1, 1))


def test_trainings_packing_is_the_codecs() -> None:
    conditioning = pytest.importorskip("farplane.backend.pipeline.pixel_conditioning")
    frames = np.random.default_rng(0).random((9, 4, 6, 3), np.float32)
    packed = conditioning.pack_frames(frames)
    ours = pack_time(torch.from_numpy(frames.transpose(3, 0, 1, 2))[None])[0]
    assert torch.equal(packed, ours)
    assert np.allclose(conditioning.unpack_frames(packed), frames, atol=1e-6)


@pytest.mark.parametrize("frames", [0, 2, 4, 8, -3])
def test_frame_counts_that_no_latent_has(frames: int) -> None:
    with pytest.raises(ValueError, match="4n"):
        latent_frames(frames)


def test_padding() -> None:
    assert [padded_count(n) for n in (1, 2, 5, 6, 9, 80, 81, 82)] == [1, 5, 5, 9, 9, 81, 81, 85]


def test_codec_configuration() -> None:
    assert PixelCodec.from_config(json.loads(json.dumps(CODEC.to_config()))) == CODEC
    with pytest.raises(ValueError, match="std"):
        PixelCodec((0, 0, 0), (1, 0, 1))


def test_wan_codec_decodes_as_the_pipeline(pipeline: Any) -> None:
    codec = WanCodec(pipeline.vae)
    assert (codec.channels, codec.factor) == (16, 8)
    frames = torch.rand(1, 3, 9, 16, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1
    latents = codec.encode(frames)
    assert latents.shape == (1, 16, 3, 2, 3)
    config = pipeline.vae.config
    mean, std = (torch.tensor(v).view(1, 16, 1, 1, 1) for v in (config.latents_mean, config.latents_std))
    with torch.no_grad():
        mode = pipeline.vae.encode(frames).latent_dist.mode()
        want = pipeline.vae.decode(mode).sample
    assert torch.allclose(latents * std + mean, mode, atol=1e-5)
    assert torch.allclose(codec.decode(latents), want, atol=1e-5)


def make_words() -> WordEncoder:
    torch.manual_seed(0)
    return WordEncoder(["snow", "valley", "night", "forest", "2"], 6)


def testwords_of_a_prompt() -> None:
    encoder = make_words()
    assert encoder.words("A Snow-covered forést; at NIGHT, 2 trees_") == [
        "a", "snow", "covered", "forest", "at", "night", "2", "trees",
    ]  # fmt: skip
    assert encoder.unknown_words("snow, lava, Snow and lava") == ["lava", "and"]
    assert encoder.unknown_words("夜の森 valley") == ["夜の森"]
    assert encoder.unknown_words("snow " * MAX_WORDS + "valley") == ["valley"]
    assert encoder.unknown_words("") == []


def test_phrases_of_a_prompt() -> None:
    encoder = WordEncoder(["at", "night", "in", "a", "forest", "deep", "the", "covered", "snow"], 6)

    def read(prompt: str) -> list[tuple[str, str]]:
        return [(" ".join(r.said), " ".join(w or "?" for w in r.known)) for r in encoder.read(prompt)]

    assert read("Deep in the woods in the dead of night!") == [
        ("deep in the woods", "a forest"), ("in the dead of night", "at night"),
    ]  # fmt: skip
    assert read("a snowy forest") == [("a", "a"), ("snowy", "covered in snow"), ("forest", "forest")]
    assert read("in the dead, of night") == [
        ("in", "in"), ("the", "the"), ("dead", "?"), ("of", "?"), ("night", "night"),
    ], "a phrase does not go over a comma"  # fmt: skip
    assert read("rolling hills") == [("rolling", "?"), ("hills", "?")], "its words are not taught here"
    assert encoder.known_words("dead of night, lava") == ["at", "night"]
    assert encoder.replaced_words("dead of night, lava") == {"dead of night": "at night"}
    assert encoder.unknown_words("dead of night, lava") == ["lava"]
    assert encoder.ids("dead of night") == encoder.ids("at night")
    almost = "night " * (MAX_WORDS - 1)
    assert encoder.unknown_words(almost + "dead of night") == ["dead", "of", "night"], "it would not fit whole"
    assert len(encoder.ids(almost + "dead of night")) == MAX_WORDS - 1


@torch.no_grad()
def test_hidden_and_mask() -> None:
    encoder = make_words()
    hidden, mask = encoder(["snow valley night", "", "Valley!", "glacier"])
    assert hidden.shape == (4, 3, 6)
    assert mask.tolist() == [[True] * 3, [True, False, False], [True, False, False], [True, False, False]]
    # A prompt reads the same alone as in a batch, and word order matters.
    for i, prompt in enumerate(["snow valley night", "", "Valley!", "glacier"]):
        alone, _ = encoder([prompt])
        assert torch.equal(alone[0], hidden[i][mask[i]])
    assert not torch.equal(encoder(["snow valley"])[0], encoder(["valley snow"])[0])
    assert torch.equal(hidden[1, 0], hidden[3, 0])  # what is unknown is left out, and here nothing else is said
    assert encoder(["snow " * 500])[0].shape == (1, MAX_WORDS, 6)


def test_word_encoder_learns_and_is_saved_by_its_configuration() -> None:
    encoder = make_words()
    encoder(["snow"])[0].sum().backward()
    gradient = encoder.embedding.weight.grad
    assert gradient is not None
    assert int((gradient.abs().sum(1) > 0).sum()) == 1
    again = WordEncoder.from_config(json.loads(json.dumps(encoder.to_config())))
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again(["night snow"])[0], encoder(["night snow"])[0])


def test_wan_rows_are_wans() -> None:
    """Parameter counts of facts/models.md, [C]: 2.15B and 17.3B."""
    from farplane.backend.model.dit import PlateDiT

    counts = {}
    for preset in PRESETS:
        if preset.config is not None:
            with torch.device("meta"):
                counts[preset.name] = sum(p.numel() for p in PlateDiT(preset.config).parameters()) / 1e9
    assert counts["wan2.1-vace-1.3b"] == pytest.approx(2.15, abs=0.02)
    assert counts["wan2.1-vace-14b"] == pytest.approx(17.3, abs=0.1)


def test_a_folder_is_found_by_its_path(wan_folder: Path) -> None:
    found = find_model(str(wan_folder))
    assert found.folder == wan_folder
    assert found.preset.kind == "wan"
    assert found.preset.name == "tiny-vace"


def test_a_wan_folder_takes_the_row_of_its_transformer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = PRESETS[2]
    assert row.config is not None
    part = tmp_path / row.name / "transformer"
    part.mkdir(parents=True)
    (part / "config.json").write_text(json.dumps({"_class_name": "WanVACETransformer3DModel", **row.config.to_dict()}))
    assert find_model(str(tmp_path / row.name)).preset.max_pixels == row.max_pixels
    assert folder_of(row) is None
    monkeypatch.setenv("FARPLANE_MODELS", str(tmp_path))
    assert find_model(row.name).folder == tmp_path / row.name
    assert {info.name: info.state for info in offered()}[row.name] == "ready"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wan2.1-vace-14b", "weights of wan2.1-vace-14b are not on this machine"),
        ("nonesuch", "neither a model's name nor a folder"),
        ("", "neither|holds neither"),
        (".", "holds neither config.json nor a transformer"),
    ],
)
def test_models_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str) -> None:
    monkeypatch.delenv("FARPLANE_MODELS", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FarplaneError, match=words):
        find_model(name)


def test_the_table_needs_no_torch() -> None:
    """`farplane models` and the server's list must not wait for torch."""
    code = "import sys, farplane.backend.model.presets as p; p.offered(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_bag_is_each_words_share() -> None:
    encoder = WordEncoder(["dusk", "valley"], 4)
    bags = encoder.bag(["a valley, valley at DUSK", ""])
    # "a" and "at" are unknown here, and left out.
    torch.testing.assert_close(bags, torch.tensor([[0.0, 0.0, 1 / 3, 2 / 3], [1.0, 0.0, 0.0, 0.0]]))


def test_a_table_of_words_goes_over_to_another_vocabulary() -> None:
    known, wanted = ["dusk", "fir", "noon"], ["cars", "dusk", "noon"]
    table = torch.arange(2.0 * (OWN + 3)).reshape(-1, 2)
    made = respelt(table, known, wanted)
    own, mean, dusk, noon = [[0, 1], [2, 3]], [6, 7], [4, 5], [8, 9]
    assert made.tolist() == [*own, mean, dusk, noon]
    assert torch.equal(respelt(table, known, known), table)
