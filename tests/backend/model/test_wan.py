"""The whole way through a Wan folder against WanVACEPipeline: same seed, UniPC, guidance."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from farplane.backend.model.autoencoder import WanCodec
from farplane.backend.model.presets import FoundModel, find_model
from farplane.backend.model.sampling import UniPCSolver, denoise, guided
from farplane.backend.model.text import UMT5Encoder
from farplane.backend.model.weights import load_transformer
from farplane.backend.pipeline import wan
from farplane.backend.pipeline.canvas import fitted
from farplane.backend.pipeline.colour import srgb_decode
from farplane.backend.pipeline.conditioning import inverse_depth_video, letterbox, vace_pack
from farplane.backend.pipeline.job import Cancelled
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, RenderSettings, Shot

# Three steps of two passes through three layers each, then a decoder: float32 noise of 1e-7 grows to about 1e-6.
WHOLE_PIPELINE = 1e-4


def make_shot(frames: int, width: int, height: int, text: str = "a valley at dusk", negative: str = "blur") -> Shot:
    z = np.random.default_rng(frames).uniform(2, 40, (frames, height, width)).astype(np.float32)
    z[:, : height // 4] = np.inf
    K = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    camera = CameraTrack(np.repeat(K[None], frames, 0), np.repeat(np.eye(4)[None], frames, 0))
    numbers = tuple(range(1, frames + 1))
    depth = DepthPass(z, 0.1, 100.0)
    return Shot("test", numbers, (width, height), Fraction(24), camera, depth, Prompt(text, negative)).validate()


def ignore(step: int, total: int, preview: wan.Preview) -> None:
    """A listener that does not listen."""


@pytest.mark.parametrize(
    ("frames", "width", "height", "guidance"), [(9, 48, 32, 5.0), (6, 32, 48, 3.0), (5, 32, 32, 1.0)]
)
def test_generate_equals_the_pipeline(
    pipeline: Any, wan_folder: Path, frames: int, width: int, height: int, guidance: float
) -> None:
    shot = make_shot(frames, width, height)
    found = find_model(str(wan_folder))
    steps: list[tuple[int, int]] = []

    def listen(step: int, total: int, preview: wan.Preview) -> None:
        steps.append((step, total))
        assert preview().shape == (height, width, 3)

    got, canvas = wan.generate(
        shot, RenderSettings(model=str(wan_folder), seed=7, steps=3, guidance=guidance), found, listen
    )

    padded = -(-(frames - 1) // 4) * 4 + 1
    video = inverse_depth_video(shot.depth.z, canvas)
    video = np.concatenate([video, np.repeat(video[-1:], padded - frames, 0)])
    pipeline.scheduler.set_timesteps(3)  # a scheduler remembers; start it afresh
    theirs = pipeline(
        shot.prompt.text,
        shot.prompt.negative,
        video=video[None, ..., None].repeat(3, -1),
        height=height,
        width=width,
        num_frames=padded,
        num_inference_steps=3,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(7),
        output_type="np",
    ).frames[0]
    want = srgb_decode(theirs[:frames])
    assert got.shape == (frames, height, width, 3)
    assert got.dtype == np.float32
    assert np.linalg.norm(got - want) / np.linalg.norm(want) < WHOLE_PIPELINE
    assert np.abs(got - want).max() < WHOLE_PIPELINE
    assert want.std() > 0.01  # a blank picture would agree with anything blank
    assert steps == [(1, 3), (2, 3), (3, 3)]


@torch.no_grad()
def test_latents_with_mask_and_references_equal_the_pipeline(pipeline: Any, wan_folder: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(2)
    video = rng.random((1, 9, 32, 48, 3), np.float32)
    mask = np.ones((1, 9, 32, 48, 3), np.float32)
    mask[:, :4] = 0
    pictures = [rng.integers(0, 256, (40, 24, 3), dtype=np.uint8), rng.integers(0, 256, (16, 80, 3), dtype=np.uint8)]
    want = pipeline(
        "a coast",
        "fog",
        video=video,
        mask=mask,
        reference_images=[Image.fromarray(p) for p in pictures],
        conditioning_scale=[0.5, 1.5],
        height=32,
        width=48,
        num_frames=9,
        num_inference_steps=4,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(11),
        output_type="latent",
    ).frames

    codec = WanCodec.load(wan_folder, torch.device("cpu"))
    as_tensor = torch.from_numpy(video).permute(0, 4, 1, 2, 3) * 2 - 1
    kept = torch.from_numpy(mask).permute(0, 4, 1, 2, 3)[:, :1]
    control = vace_pack(codec, as_tensor, kept, [letterbox(p, (32, 48)) for p in pictures])
    texts = UMT5Encoder(wan_folder, torch.device("cpu"), torch.float32).encode(["a coast", "fog"])
    net = load_transformer(wan_folder / "transformer")
    scale = torch.tensor([0.5, 1.5])
    model = guided(
        lambda x, t: net(x, t, texts[:1], control, scale), lambda x, t: net(x, t, texts[1:], control, scale), 4.0
    )
    noise = torch.randn((1, 16, 5, 4, 6), generator=torch.Generator().manual_seed(11))
    got = denoise(model, noise, UniPCSolver(4, 3.0), "flow")
    assert float((got - want).norm() / want.norm()) < WHOLE_PIPELINE


def test_text_equals_the_pipelines(pipeline: Any, wan_folder: Path) -> None:
    prompts = ["a valley  at dusk &amp; fog", "", "snow " * 600]
    with torch.no_grad():
        want = pipeline._get_t5_prompt_embeds(prompts, max_sequence_length=512)
    assert torch.isfinite(want).all()
    encoder = UMT5Encoder(wan_folder, torch.device("cpu"), torch.float32)
    assert torch.equal(encoder.encode(prompts), want)


def test_prompts_are_encoded_once(wan_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cpu")
    wan._prompts.clear()
    first = wan.encode_prompts(wan_folder, ("fog", "snow", "fog"), device, torch.float32)
    monkeypatch.setattr(wan, "UMT5Encoder", None)  # a second encoding would call it
    again = wan.encode_prompts(wan_folder, ("snow", "fog"), device, torch.float32)
    assert torch.equal(first[0], first[2])
    assert torch.equal(again[0], first[1])
    assert torch.equal(again[1], first[0])
    assert not torch.equal(first[0], first[1])
    wan._prompts.clear()
    with pytest.raises(TypeError):
        wan.encode_prompts(wan_folder, ("fog",), device, torch.float32)


def test_a_cancel_stops_at_the_next_step(wan_folder: Path) -> None:
    seen: list[int] = []

    def stop(step: int, total: int, preview: wan.Preview) -> None:
        seen.append(step)
        if step == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        wan.generate(make_shot(5, 32, 32), RenderSettings(steps=9, seed=1), find_model(str(wan_folder)), stop)
    assert seen == [1, 2]


def test_two_experts_share_the_steps(wan_folder: Path, tmp_path: Path) -> None:
    """Wan2.2's layout.  A second transformer with the boundary at 0 is never asked, at 1.0 it does all but the start."""
    folder = tmp_path / "two"
    shutil.copytree(wan_folder, folder)
    shutil.copytree(folder / "transformer", folder / "transformer_2")
    weights = folder / "transformer_2" / "diffusion_pytorch_model.safetensors"
    from safetensors.torch import load_file, save_file

    save_file({k: v * 1.1 for k, v in load_file(weights).items()}, weights)
    settings, shot = RenderSettings(steps=3, seed=5, guidance=1.0), make_shot(5, 32, 32)
    results = []
    for boundary in (None, 0.0, 0.9, 1.0):
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(json.dumps({**index, "boundary_ratio": boundary}))
        results.append(wan.generate(shot, settings, find_model(str(folder)), ignore)[0])
    assert np.array_equal(results[0], results[1])
    assert not np.allclose(results[0], results[2], atol=1e-3)
    assert not np.allclose(results[2], results[3], atol=1e-3)


def test_too_many_frames_are_refused_before_any_work(wan_folder: Path) -> None:
    found = find_model(str(wan_folder))
    short = FoundModel(replace(found.preset, clip=5), found.folder)
    with pytest.raises(FarplaneError, match="frames: 6 frames are more than the 5"):
        wan.generate(make_shot(6, 32, 32), RenderSettings(), short, ignore)


@pytest.mark.parametrize(
    ("resolution", "limit", "want"),
    [
        ((832, 480), 832 * 480, (832, 480)),
        ((1920, 1080), 832 * 480, (832, 480)),
        ((1080, 1920), 832 * 480, (480, 832)),
        ((100, 60), 832 * 480, (112, 64)),
        ((4096, 32), 832 * 480, (4096, 32)),
        ((32, 8192), 10000, (16, 624)),
    ],
)
def test_the_canvas_has_whole_patches(resolution: tuple[int, int], limit: int, want: tuple[int, int]) -> None:
    width, height = resolution
    canvas = fitted(make_shot(2, width, height), limit, 16)
    assert canvas.size == want
    assert canvas.seen[0] >= width
    assert canvas.seen[1] >= height


@pytest.mark.parametrize("part", ["tokenizer", "text_encoder", "vae", "transformer"])
def test_a_folder_with_a_part_missing(wan_folder: Path, tmp_path: Path, part: str) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(wan_folder, folder)
    shutil.rmtree(folder / part)
    wan._prompts.clear()
    with pytest.raises(FarplaneError, match="model: "):
        wan.generate(make_shot(5, 32, 32), RenderSettings(steps=1), find_model(str(folder)), ignore)


@pytest.mark.parametrize("part", ["vae", "text_encoder"])
def test_a_folder_with_a_part_truncated(wan_folder: Path, tmp_path: Path, part: str) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(wan_folder, folder)
    (weights,) = (folder / part).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1000])
    wan._prompts.clear()
    with pytest.raises(FarplaneError, match=r"cut does not load"):
        wan.generate(make_shot(5, 32, 32), RenderSettings(steps=1), find_model(str(folder)), ignore)
