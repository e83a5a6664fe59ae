"""References in farplane-s's pack: a latent frame of their own in front, as in VACE."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from farplane.backend.pipeline.conditioning import vace_pack
from farplane.backend.pipeline.geometry import GROUP
from farplane.backend.pipeline.pixel_conditioning import (
    CAMERA_CHANNELS,
    CONTROL_CHANNELS,
    Condition,
    make_condition,
    pack_references,
)
from farplane.protocol.shot import CameraTrack

H, W, T, G = 24, 40, 9, 3


def condition(references: np.ndarray | None) -> Condition:
    rng = np.random.default_rng(3)
    K = np.tile([[40.0, 0.0, W / 2], [0.0, 40.0, H / 2], [0.0, 0.0, 1.0]], (T, 1, 1))
    pose = np.tile(np.eye(4), (T, 1, 1))
    pose[:, 0, 3] = np.linspace(0.0, 1.0, T)
    depth = rng.uniform(2.0, 30.0, (T, H, W)).astype(np.float32)
    return make_condition(depth, CameraTrack(K, pose), (H, W), references=references)


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((count, H, W, 3)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_references_stand_in_front_and_change_nothing_behind(count: int) -> None:
    plain, told = condition(None), condition(pictures(count))
    assert told.control.shape == (1, CONTROL_CHANNELS, count + G, H, W)
    assert told.camera.shape == (1, CAMERA_CHANNELS, count + G, H, W)
    assert torch.equal(told.control[:, :, count:], plain.control)
    assert torch.equal(told.camera[:, :, count:], plain.camera)
    assert not told.camera[:, :, :count].any(), "a reference was seen by no camera of the shot"


def test_a_reference_is_a_known_frame_without_a_surface() -> None:
    shown = pictures(2)
    planes = condition(shown).control[0].unflatten(0, (GROUP, -1))  # [4, C, R+G, H, W]
    for place, picture in enumerate(shown[::-1]):  # the last one comes first
        for copy in planes[:, :, place]:
            np.testing.assert_array_equal(copy[:3].numpy(), picture.transpose(2, 0, 1))
            assert not copy[3:].any(), "nothing to be changed, mask 0, no surface"


def test_base_colours_stand_behind_the_pattern() -> None:
    """Read back from the volume: the 8-bit code in -1 … 1 and a 1 where told; the rest as without."""
    rng = np.random.default_rng(8)
    K = np.tile([[40.0, 0.0, W / 2], [0.0, 40.0, H / 2], [0.0, 0.0, 1.0]], (T, 1, 1))
    camera = CameraTrack(K, np.tile(np.eye(4), (T, 1, 1)))
    depth = rng.uniform(2.0, 30.0, (T, H, W)).astype(np.float32)
    base = rng.integers(0, 256, (T, H, W, 4)).astype(np.uint8)
    base[..., 3] = 255 * (rng.random((T, H, W)) < 0.7)
    plain = make_condition(depth, camera, (H, W)).control[0].unflatten(0, (GROUP, -1))
    told = make_condition(depth, camera, (H, W), base_colour=base).control[0].unflatten(0, (GROUP, -1))
    assert torch.equal(told[:, :-4], plain[:, :-4])
    assert not plain[:, -4:].any()
    for frame in range(T):
        group, place = (frame + 3) // GROUP, (frame + 3) % GROUP
        code, alpha = told[place, -4:-1, group].permute(1, 2, 0).numpy(), told[place, -1, group].numpy()
        np.testing.assert_array_equal(alpha, base[frame, ..., 3] / 255)
        here = alpha > 0
        # float32 of numbers up to 255: exact to a hundredth of a step.
        np.testing.assert_allclose((code[here] + 1) * 127.5, base[frame, ..., :3][here], atol=0.01)
        assert not code[~here].any()
    bare = make_condition(None, camera, (H, W), base_colour=base).control[0].unflatten(0, (GROUP, -1))
    assert not bare[:, -4:].any(), "colours are told with a depth"


def test_latents_of_references_are_what_the_control_volume_shows() -> None:
    shown = pictures(2)
    kept = condition(shown).control[0].unflatten(0, (GROUP, -1))[:, :3, :2]
    assert torch.equal(pack_references(shown), kept.flatten(0, 1))


def test_the_order_is_that_of_the_large_models_pack() -> None:
    """Independent of this module: vace_pack is held to diffusers' own pipeline in its tests."""

    class Averages:
        """A codec whose latent says what a picture's mean is."""

        def encode(self, frames: torch.Tensor) -> torch.Tensor:
            t = (frames.shape[2] + 3) // 4
            return frames.mean((1, 2, 3, 4)).expand(1, 4, t, 4, 6)

    large = [torch.full((3, 32, 48), value) for value in (0.25, 0.5)]
    pack = vace_pack(Averages(), torch.zeros(1, 3, 5, 32, 48), torch.ones(1, 1, 5, 32, 48), large)  # type: ignore[arg-type]
    small = np.stack([np.full((H, W, 3), value, np.float32) for value in (0.25, 0.5)])
    control = condition(small).control
    assert [float(pack[0, 0, i].mean()) for i in range(2)] == [float(control[0, 0, i].mean()) for i in range(2)]
