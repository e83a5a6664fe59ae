"""A whole job in one process: a small farplane checkpoint in, EXR files and the report out."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from farplane.backend.model.autoencoder import PixelCodec
from farplane.backend.model.config import PlateDiTConfig
from farplane.backend.model.dit import PlateDiT
from farplane.backend.model.weights import Checkpoint, save_checkpoint
from farplane.backend.model.words import WordEncoder
from farplane.backend.pipeline.exr import decode_plate
from farplane.backend.pipeline.job import Cancelled, Job
from farplane.backend.pipeline.pixel_conditioning import CAMERA_CHANNELS, CONTROL_CHANNELS
from farplane.backend.pipeline.render import run_job
from farplane.backend.train.cameras import look
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, RenderSettings, Shot

W, H, FRAMES = 224, 128, 6


class Collected:
    """A sink that keeps everything in order."""

    def __init__(self):
        self.calls, self.frames, self.artifacts, self.previews = [], {}, {}, []

    def progress(self, stage, step, total):
        self.calls.append((stage, step, total))

    def preview(self, step, png):
        self.previews.append(png)

    def frame(self, number, exr):
        self.frames[number] = exr

    def artifact(self, name, data):
        self.artifacts[name] = data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("models") / "tiny"
    config = PlateDiTConfig(
        patch_size=(1, 8, 8), num_attention_heads=2, attention_head_dim=12, in_channels=12, out_channels=12, text_dim=10,
        ffn_dim=20, num_layers=1, vace_layers=(0,), vace_in_channels=CONTROL_CHANNELS, camera_channels=CAMERA_CHANNELS,
        prediction="x0", pixel_head_channels=8,
    )  # fmt: skip
    save_checkpoint(path, Checkpoint(PlateDiT(config), WordEncoder(["valley"], 10), PixelCodec((0.3,) * 3, (0.1,) * 3)))
    return path


@pytest.fixture
def job(folder):
    pose = np.stack([look(np.array([0.2 * t, 0, 2.0]), 0.3, -0.2) for t in range(FRAMES)])
    K = np.repeat([[[150.0, 0, W / 2], [0, 150.0, H / 2], [0, 0, 1]]], FRAMES, 0)
    z = np.full((FRAMES, H, W), 6.0, np.float32)
    z[:, : H // 3] = np.inf
    shot = Shot(
        "valley", tuple(range(1001, 1001 + 2 * FRAMES, 2)), (W, H), Fraction(24000, 1001), CameraTrack(K, pose),
        DepthPass(z, 1.0, 10.0), Prompt("valley of dragons"),
    )  # fmt: skip
    settings = RenderSettings(model=str(folder), seed=9, steps=2, guidance=1.0)
    return Job("0b1f6a52-6d8e-4d1e-9d8e-6f2f3d1c2b7a", shot, settings)


def test_a_job_gives_every_frame_and_file(job):
    sink = Collected()
    run_job(job, sink, lambda: False)
    assert list(sink.frames) == list(job.shot.frames)
    assert list(sink.artifacts) == ["report.json", "report.png", "contact.png", "preview.mp4"]
    header, rgb = decode_plate(sink.frames[1003])
    assert rgb.shape == (H, W, 3)
    assert np.isfinite(rgb).all()
    assert header["farplane:job"] == job.id
    assert header["farplane:seed"] == "9"
    assert header["farplane:hdr"] == "native"
    assert header["farplane:upscaled"].startswith("guided ")
    report = json.loads(sink.artifacts["report.json"])
    assert report["prompt"] == "valley of dragons"
    words, depth = report["notes"]
    assert words == "not in this model's vocabulary: of, dragons"
    assert "the depth hardly changes" in depth  # one wall, however the camera moves: no honest set does that
    assert sink.artifacts["contact.png"][:4] == sink.previews[0][:4] == b"\x89PNG"
    assert b"ftyp" in sink.artifacts["preview.mp4"][:64]
    stages = list(dict.fromkeys(stage for stage, _, _ in sink.calls))
    assert [s for s in stages if s != "decode"] == ["conditioning", "denoise", "write", "measure"]
    for stage in ("conditioning", "denoise", "decode", "write", "measure"):
        last = [call for call in sink.calls if call[0] == stage][-1]
        assert last[1] == last[2], stage


def test_the_same_job_twice_is_the_same_picture(job):
    first, second = Collected(), Collected()
    run_job(job, first, lambda: False)
    run_job(job, second, lambda: False)
    for number in job.shot.frames:
        np.testing.assert_array_equal(decode_plate(first.frames[number])[1], decode_plate(second.frames[number])[1])


@pytest.mark.parametrize("stage", ["denoise", "decode", "write"])
def test_stops_at_any_stage(job, stage):
    sink = Collected()
    with pytest.raises(Cancelled):
        run_job(job, sink, lambda: any(call[0] == stage for call in sink.calls))
    assert "report.json" not in sink.artifacts


def test_a_model_that_is_not_there(job):
    with pytest.raises(FarplaneError, match="model"):
        run_job(replace(job, settings=replace(job.settings, model="/nowhere/at/all")), Collected(), lambda: False)
