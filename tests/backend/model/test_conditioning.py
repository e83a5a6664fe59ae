"""The 96-channel pack against WanVACEPipeline's own preparation, and depth as Wan wants to see it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from farplane.backend.model.autoencoder import WanCodec
from farplane.backend.pipeline.canvas import whole
from farplane.backend.pipeline.conditioning import (
    depth_control,
    inverse_depth_video,
    letterbox,
    mask_channels,
    vace_pack,
)


def pictures(rng: np.random.Generator, sizes: list[tuple[int, int]]) -> list[np.ndarray]:
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


@pytest.mark.parametrize(
    ("frames", "height", "width", "references"),
    [
        (1, 32, 48, []),
        (5, 48, 32, [(40, 24)]),
        (9, 32, 32, [(33, 71), (64, 16)]),
        (17, 16, 64, [(8, 8), (100, 37), (50, 50)]),
    ],
)
def test_pack_equals_the_pipelines(pipeline: Any, frames: int, height: int, width: int, references: list) -> None:
    from PIL import Image

    rng = np.random.default_rng(frames)
    video = rng.random((1, frames, height, width, 3), np.float32)
    # Soft masks with whole blocks and whole frames kept, some values right at the threshold.
    mask = rng.random((1, frames, height, width, 1), np.float32).round(1)
    mask[:, :, :8, :16] = 0
    mask[:, 0] = 0
    images = pictures(rng, references)
    theirs = pipeline.preprocess_conditions(
        video,
        np.repeat(mask, 3, -1),
        [Image.fromarray(i) for i in images] or None,
        1,
        height,
        width,
        frames,
        torch.float32,
        "cpu",
    )
    their_video, their_mask, their_references = theirs
    latents = pipeline.prepare_video_latents(their_video, their_mask, their_references, None, "cpu")
    want = torch.cat((latents, pipeline.prepare_masks(their_mask, their_references)), dim=1)

    mine = [letterbox(i, (height, width)) for i in images]
    for a, b in zip(mine, their_references[0], strict=True):
        assert torch.equal(a, b)
    # The mask goes in as the pipeline's image processor left it: 2m - 1 and back rounds the last bit.
    got = vace_pack(WanCodec(pipeline.vae), their_video, their_mask[:, :1], mine)
    assert got.shape == (1, 96, len(images) + (frames - 1) // 4 + 1, height // 8, width // 8)
    assert torch.equal(got, want)


def test_depth_control_equals_the_pipelines_video(pipeline: Any) -> None:
    z = np.random.default_rng(3).uniform(1, 90, (6, 32, 48)).astype(np.float32)
    got = depth_control(z, whole((48, 32), (48, 32)))
    shown = inverse_depth_video(z, whole((48, 32), (48, 32)))
    padded = np.concatenate([shown, shown[-1:], shown[-1:], shown[-1:]])[None, ..., None].repeat(3, -1)
    want, mask, _ = pipeline.preprocess_conditions(padded, None, None, 1, 32, 48, 9, torch.float32, "cpu")
    assert torch.equal(got, want)
    assert torch.equal(mask, torch.ones_like(want))


def frame_read(T: int) -> list[list[int]]:
    """Which frames each latent frame's mask is read from: one frame kept at a time."""
    reads: list[list[int]] = []
    for frame in range(T):
        mask = torch.ones(1, 1, T, 16, 16)
        mask[:, :, frame] = 0
        channels = mask_channels(mask)
        reads.append([t for t in range(channels.shape[2]) if float(channels[0, :, t].max()) == 0])
    return reads


def test_mask_is_sampled_nearest_exact() -> None:
    """facts/models.md: 81 frames are read at 1, 5, 9 … 79; a kept first or last frame leaves all ones."""
    read = [frame for frame, latents in enumerate(frame_read(81)) if latents]
    assert len(read) == 21
    assert read[:3] == [1, 5, 9]
    assert read[-1] == 79
    assert 0 not in read
    assert 80 not in read


def test_mask_tiles_become_channels() -> None:
    mask = torch.zeros(1, 1, 1, 32, 32)
    mask[0, 0, 0, 8 + 3, 16 + 5] = 1
    channels = mask_channels(mask, references=2)
    assert channels.shape == (1, 64, 3, 4, 4)
    assert channels.nonzero().tolist() == [[0, 3 * 8 + 5, 2, 1, 2]]


def test_depth_is_inverse_near_white_and_stretched_frame_by_frame() -> None:
    z = np.full((3, 16, 16), np.inf, np.float32)
    z[0, 8:], z[0, 0, 0] = 2.0, 1.0
    z[1, 8:] = 50.0  # far away, and still the frame's nearest
    video = inverse_depth_video(z, whole((16, 16), (16, 16)))
    assert video.dtype == np.float32
    assert video[0, 0, 0] == 1.0
    assert np.allclose(video[0, 8:], 0.5)
    assert np.all(video[0, 1:8] == 0)
    assert np.all(video[1, 8:] == 1)
    assert np.all(video[2] == 0)  # nothing hit at all: as far as the sky in other frames


def test_depth_is_averaged_when_it_shrinks() -> None:
    rng = np.random.default_rng(0)
    z = rng.uniform(1, 3, (1, 64, 96)).astype(np.float32)
    video = inverse_depth_video(z, whole((96, 64), (24, 16)))
    means = (1 / z).reshape(1, 16, 4, 24, 4).mean((2, 4))
    want = (means - means.min()) / (means.max() - means.min())
    assert np.allclose(video, want, atol=1e-5)  # float32 sums of 16 values


class CountingCodec:
    """Four channels that say what they were given; no diffusers needed."""

    channels, factor = 4, 8

    def encode(self, frames: Tensor) -> Tensor:
        small = torch.nn.functional.avg_pool3d(frames.mean(1, keepdim=True), (1, 8, 8))
        return small[:, :, ::4].expand(-1, 4, -1, -1, -1)

    def decode(self, latents: Tensor) -> Tensor:
        raise NotImplementedError


def test_the_last_reference_comes_first() -> None:
    """diffusers puts each reference before what stands there, so their order turns round."""
    video, mask = torch.zeros(1, 3, 5, 16, 16), torch.ones(1, 1, 5, 16, 16)
    pack = vace_pack(CountingCodec(), video, mask, [torch.full((3, 16, 16), v) for v in (0.25, 0.75)])
    assert pack[0, 0, :, 0, 0].tolist() == [0.75, 0.25, 0.0, 0.0]
    assert float(pack[0, 4:8, :2].abs().max()) == 0  # a reference is nothing to be changed
    assert pack[0, 8, :, 0, 0].tolist() == [0, 0, 1, 1]


def test_a_speck_of_a_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        letterbox(np.zeros((5, 40, 3), np.uint8), (16, 16))
