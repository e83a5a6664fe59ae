"""The detail stage over a shot: sizes, seeds, noise that clings, stopping."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from farplane.backend.model.detail import (
    FACTOR,
    RESIDUAL,
    DetailConfig,
    DetailNet,
    add_detail,
    detail_step,
    enlarge,
)
from farplane.backend.pipeline import detail
from farplane.backend.pipeline.canvas import whole
from farplane.backend.pipeline.colour import srgb_decode, srgb_encode
from farplane.backend.pipeline.detail import DetailPlan, detailed, resampled, resampled_colour
from farplane.backend.pipeline.geometry import Look, shot_scale, surface_channels
from farplane.backend.pipeline.job import Cancelled
from farplane.backend.pipeline.pattern import Pattern, pattern_channels
from farplane.backend.train.cameras import look
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, Shot

SIZE = (12, 8)  # of the small plate, width and height
LARGE = whole((96, 64), (FACTOR * SIZE[0], FACTOR * SIZE[1]))


def make_shot(frames: int = 3, width: int = 96, height: int = 64) -> Shot:
    """A slope under a sky, the camera sliding along it."""
    pose = np.stack([look(np.array([0.2 * t, 0.1 * t, 2.0]), 0.3, -0.2) for t in range(frames)])
    K = np.repeat([[[80.0, 0, width / 2], [0, 80.0, height / 2], [0, 0, 1]]], frames, 0)
    z = np.broadcast_to(np.linspace(12, 4, height, dtype=np.float32)[:, None], (frames, height, width)).copy()
    z[:, : height // 4] = np.inf
    camera = CameraTrack(K, pose)
    return Shot("t", tuple(range(frames)), (width, height), Fraction(24), camera, DepthPass(z, 1.0, 20.0), Prompt("x"))


@pytest.fixture(scope="module")
def net() -> DetailNet:
    torch.manual_seed(2)
    net = DetailNet(DetailConfig(channels=8, blocks=1))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


@pytest.fixture
def small() -> torch.Tensor:
    return torch.randn(3, 3, SIZE[1], SIZE[0], generator=torch.Generator().manual_seed(6))


def nothing(*_: object) -> None:
    pass


WORDS = torch.tensor([[0.3, 0.7]])
PLAN = DetailPlan(trust=0.5, steps=2, seed=7, look=Look.of_seed(7), shown=1, words=WORDS)


def test_every_frame_is_four_times_as_large_and_repeatable(net: DetailNet, small: torch.Tensor) -> None:
    made = detailed(net, small, make_shot(), LARGE, PLAN, nothing, nothing)
    assert made.shape == (3, 3, FACTOR * SIZE[1], FACTOR * SIZE[0])
    assert torch.equal(made, detailed(net, small, make_shot(), LARGE, PLAN, nothing, nothing))
    assert not torch.equal(made, detailed(net, small, make_shot(), LARGE, replace(PLAN, seed=8), nothing, nothing))


def test_a_frame_alone_is_what_the_network_makes_of_it(net: DetailNet, small: torch.Tensor) -> None:
    shot = make_shot(1)
    made = detailed(net, small[:1], shot, LARGE, PLAN, nothing, nothing)
    depth, camera = resampled(shot, LARGE, np.arange(1))
    noise = np.random.Generator(np.random.Philox([7, 1])).standard_normal((*depth.shape, 3), np.float32)
    seen = depth, camera.K, camera.world_from_camera
    chance = pattern_channels(Pattern.of_seed(7), *seen, typical=shot_scale(shot.depth.z)[1])
    surface = torch.from_numpy(surface_channels(*seen, look=Look.of_seed(7), pattern=chance))
    again = add_detail(
        net, small[:1], surface, WORDS, torch.from_numpy(noise.transpose(0, 3, 1, 2).copy()), trust=0.5, steps=2
    )
    # The estimate goes by way of the picture and back (where frames agree), which rounds its last bit; the network counts
    # in bfloat16 and may turn that into a bit of its own (4e-3) of a value that the last step weighs with RESIDUAL's .4
    # and less: 2 of 4,608 values differ, by 5e-5.
    torch.testing.assert_close(made, again, rtol=1e-4, atol=1e-4)


def coloured(seed: int = 9) -> Shot:
    """make_shot with a texture of chance below its sky."""
    shot, rng = make_shot(), np.random.default_rng(seed)
    base = rng.integers(0, 256, (3, 64, 96, 4)).astype(np.uint8)
    base[..., 3] = np.where(np.isfinite(shot.depth.z) & (rng.random((3, 64, 96)) < 0.9), 255, 0)
    return replace(shot, base_colour=base)


def test_a_base_colour_is_the_light_around_it_on_its_own_surface() -> None:
    """By hand for some pixels of a picture half as large: the told ones of nine whose depth is within 3%."""
    told, size = coloured(), (48, 32)
    near = np.where(np.arange(96) < 50, 1.0, 0.4).astype(np.float32)  # an edge across the slope
    told = replace(told, depth=DepthPass(told.depth.z * near, 0.1, 20.0))
    taken = resampled_colour(told, whole(told.resolution, size), np.arange(3))
    assert taken is not None
    assert told.base_colour is not None
    for i, j in ((20, 24), (20, 25), (9, 3), (31, 47), (7, 10)):
        y, x = 2 * i + 1, 2 * j + 1
        around = [(a, b) for a in range(y - 1, y + 2) for b in range(x - 1, x + 2)]
        own, z = told.depth.z[1, y, x], told.depth.z[1]
        lights = []
        for a, b in around:
            a, b = min(a, 63), min(b, 95)
            if told.base_colour[1, a, b, 3] and abs(z[a, b] - own) < 0.03 * own:
                lights.append(srgb_decode(told.base_colour[1, a, b, :3] / 255.0))
        expected = np.round(255 * srgb_encode(np.mean(lights, 0))) if told.base_colour[1, y, x, 3] else np.zeros(3)
        np.testing.assert_allclose(taken[1, i, j, :3], expected, atol=1)  # the order of a sum, rounded
        assert taken[1, i, j, 3] == told.base_colour[1, y, x, 3]
    assert resampled_colour(make_shot(), whole((96, 64), size), np.arange(3)) is None


def test_one_colour_stays_itself_at_any_size() -> None:
    shot = coloured()
    assert shot.base_colour is not None
    base = shot.base_colour.copy()
    base[..., :3] = (200, 30, 90)
    for size in ((96, 64), (48, 32), (36, 28), (8, 4)):
        taken = resampled_colour(replace(shot, base_colour=base), whole(shot.resolution, size), np.array([0, 2]))
        assert taken is not None
        assert taken.shape == (2, size[1], size[0], 4)
        assert set(map(tuple, taken.reshape(-1, 4).tolist())) <= {(200, 30, 90, 255), (0, 0, 0, 0)}


def test_base_colours_count(net: DetailNet, small: torch.Tensor) -> None:
    told = coloured()
    assert told.base_colour is not None
    made = detailed(net, small, told, LARGE, PLAN, nothing, nothing)
    assert torch.equal(made, detailed(net, small, told, LARGE, PLAN, nothing, nothing))
    assert not torch.equal(made, detailed(net, small, make_shot(), LARGE, PLAN, nothing, nothing))
    hidden = told.base_colour.copy()
    hidden[..., :3][hidden[..., 3] == 0] = 99  # what is not told is not looked at
    assert torch.equal(made, detailed(net, small, replace(told, base_colour=hidden), LARGE, PLAN, nothing, nothing))


def test_a_long_shot_whose_surfaces_are_not_kept_is_the_same(
    net: DetailNet, small: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = detailed(net, small, make_shot(), LARGE, PLAN, nothing, nothing)
    monkeypatch.setattr(detail, "KEPT_BYTES", 0)
    assert torch.equal(kept, detailed(net, small, make_shot(), LARGE, PLAN, nothing, nothing))


def test_steps_are_told_with_a_picture(net: DetailNet, small: torch.Tensor) -> None:
    seen: list[tuple[int, torch.Tensor]] = []
    made = detailed(net, small, make_shot(), LARGE, PLAN, lambda step, picture: seen.append((step, picture)), nothing)
    assert [step for step, _ in seen] == [1, 2]
    torch.testing.assert_close(seen[-1][1], made[1:2])  # at the end the estimate is the plate


def test_noise_that_says_nothing_leaves_the_enlarged_plate(small: torch.Tensor) -> None:
    """An untrained network estimates no residual: after the last step none of the noise is left."""
    untrained = DetailNet(DetailConfig(channels=8, blocks=1)).eval()
    made = detailed(untrained, small, make_shot(), LARGE, PLAN, nothing, nothing)
    torch.testing.assert_close(made, enlarge(small, (32, 48)))
    assert RESIDUAL > 0


def test_a_cancel_is_heard_before_the_next_frame(net: DetailNet, small: torch.Tensor) -> None:
    left = [2]

    def check() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        detailed(net, small, make_shot(), LARGE, PLAN, nothing, check)
    assert left[0] == -1


def test_cameras_follow_the_size() -> None:
    shot = make_shot()
    depth, camera = resampled(shot, whole(shot.resolution, (48, 32)), np.array([2, 0]))
    np.testing.assert_allclose(camera.K[0, :2], shot.camera.K[2, :2] / 2)
    np.testing.assert_array_equal(camera.world_from_camera[1], shot.camera.world_from_camera[0])
    np.testing.assert_array_equal(depth[0], shot.depth.z[2, 1::2, 1::2])


def stripes(like: torch.Tensor) -> torch.Tensor:
    """1 and -1 in turn along the columns, two pixels each: fine by any measure."""
    return (1.0 - 2.0 * (torch.arange(like.shape[-1]) // 2 % 2)).expand_as(like)


def test_frames_agree_while_they_are_soft_and_end_alone(small: torch.Tensor, monkeypatch) -> None:
    class Restless(torch.nn.Module):
        """Draws stripes of another height in every frame, until the last step leaves what there is."""

        def forward(self, noisy, level, base, surface, trust, words):
            return noisy if level < 0.3 else torch.randn(1, 3, 1, 1) * stripes(noisy)

    shot, plan = make_shot(), replace(PLAN, steps=4)

    def apart() -> float:
        torch.manual_seed(1)
        made = detailed(Restless(), small[:1].expand(3, -1, -1, -1), shot, LARGE, plan, nothing, nothing)  # type: ignore[arg-type]
        heights = (made * stripes(made)).mean((-2, -1))
        return float((heights[1:] - heights[:-1]).abs().mean())

    agreed = apart()
    monkeypatch.setattr(detail, "ALONE", 1.0)
    # Averaged with one and two frames before it, a frame's height is 0.71 and 0.58 times as far from the next one's.
    assert agreed < 0.8 * apart()


def test_a_step_goes_to_the_lower_level_along_the_estimate() -> None:
    """A net that takes away just the noise it is told of, against (1 - s) x0 + s noise written out."""

    class Denoiser(torch.nn.Module):
        def forward(self, noisy, level, base, surface, trust, words):
            return noisy * (1 - level)[:, None, None, None]

    state = stripes(torch.ones(1, 3, 16, 16))
    arguments = (torch.zeros(1, 3, 16, 16), torch.zeros(1, 10, 16, 16), WORDS, 0.5, 0.2, 0.0)
    now, estimate = detail_step(Denoiser(), state, *arguments)  # type: ignore[arg-type]
    torch.testing.assert_close(estimate, 0.5 * state)
    # noise = (1 - 0.5 * 0.5) / 0.5 = 1.5, and at level 0.2: 0.8 * 0.5 + 0.2 * 1.5
    torch.testing.assert_close(now, 0.7 * state)
