"""What farplane-s is told of geometry, against analytic scenes."""

import numpy as np
import pytest
import torch

from farplane.backend.model.autoencoder import pack_time, unpack_time
from farplane.backend.pipeline.geometry import (
    Look,
    growth,
    pack_groups,
    plucker_rays,
    shot_scale,
    surface_channels,
    warped_noise,
    without_blotches,
)
from farplane.backend.pipeline.pixel_conditioning import (
    CAMERA_CHANNELS,
    CONTROL_CHANNELS,
    SHOWN,
    make_condition,
    pack_frames,
    unpack_frames,
)
from farplane.backend.train.cameras import look
from farplane.protocol.shot import CameraTrack

H, W = 37, 53


def ground_scene(frames=5, scale=1.0):
    """A camera gliding over the plane z = 0: depth [T, H, W], K, poses."""
    K = np.repeat([[[60.0, 0, W / 2], [0, 60.0, H / 2], [0, 0, 1]]], frames, 0)
    pose = np.stack([look(np.array([0.3 * t, -0.2 * t, 2.0]) * scale, 0.4, -0.3) for t in range(frames)])
    v, u = np.meshgrid(np.arange(H) + 0.5, np.arange(W) + 0.5, indexing="ij")
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K[0]).T
    down = np.einsum("hwc,tc->thw", rays, pose[:, 2, :3])
    with np.errstate(divide="ignore"):
        z = np.where(down < -1e-3, -pose[:, 2, 3, None, None] / down, np.inf)
    return z.astype(np.float32), K, pose


def test_ground_faces_up_and_sky_is_sky():
    depth, K, pose = ground_scene()
    out = surface_channels(depth, K, pose)
    hit = np.isfinite(depth)
    np.testing.assert_array_equal(out[:, 2], np.where(hit, -1, 1))
    np.testing.assert_array_equal(surface_channels(depth, K, pose, exact=False)[:, 2], ~hit)  # a blockout's: 0
    # Float32 depth differences at 60 px focal length: a degree far away.
    near = hit & (depth < 15)
    np.testing.assert_allclose(out[:, 5][near], 1.0, atol=2e-3)
    assert np.abs(out[:, 3][near]).max() < 0.05


def test_scale_does_not_matter():
    small, K, pose = ground_scene()
    large, _, far_pose = ground_scene(scale=1000.0)
    # The same picture in metres and kilometres: float32 rounding of depth only, amplified by differences.
    np.testing.assert_allclose(surface_channels(small, K, pose), surface_channels(large, K, far_pose), atol=6e-3)


def test_a_look_tells_what_faces_the_sun():
    """A camera that looks along +Y at a wall across its way: the sun behind the camera lights it, no other part."""
    K = np.array([[[60.0, 0, W / 2], [0, 60.0, H / 2], [0, 0, 1]]])
    pose = look(np.array([3.0, -2.0, 1.5]), np.pi / 2, 0.0)[None]
    wall = np.full((1, H, W), 5.0, np.float32)
    for azimuth, facing in ((-np.pi / 2, 1.0), (np.pi / 2, -1.0), (0.0, 0.0), (-0.75 * np.pi, np.sqrt(0.5))):
        out = surface_channels(wall, K, pose, look=Look(azimuth, 0.25))
        np.testing.assert_allclose(out[0, 7], facing, atol=1e-5)
        np.testing.assert_array_equal(out[0, 9], -0.5)
    # Along the sun's azimuth the level part of a viewing ray is the cosine of its elevation, in the sky as well.
    sky = surface_channels(np.full((1, H, W), np.inf, np.float32), K, pose, look=Look(np.pi / 2, 0.25))
    up = np.arctan((H / 2 - 4.5) / 60.0)  # of row 4, in the column next to the middle
    np.testing.assert_allclose(sky[0, 8, 4, W // 2], np.cos(up), atol=1e-4)
    assert not sky[0, 7].any()
    assert not surface_channels(wall, K, pose)[:, 7:].any()


def test_a_seed_draws_its_look():
    looks = [Look.of_seed(seed) for seed in range(200)]
    assert looks[3] == Look.of_seed(3)
    assert len(set(looks)) == 200
    # Even draws: the mean of 200 has a deviation of .02 of the range; five of them.
    assert abs(np.mean([a.palette for a in looks]) - 0.5) < 0.1
    assert abs(np.mean([a.azimuth for a in looks]) - np.pi) < 0.1 * 2 * np.pi


def test_windows_of_a_shot_are_told_alike():
    """With the shot's own scale and first camera a frame's surface does not depend on the window it is in."""
    depth, K, pose = ground_scene(9)
    whole = shot_scale(depth), CameraTrack(K, pose)
    both = [
        make_condition(depth[s], CameraTrack(K[s], pose[s]), (H, W), look=Look(1.0, 0.5), whole=whole).control
        for s in (slice(0, 5), slice(4, 9))
    ]
    planes = CONTROL_CHANNELS // 4
    # Frame 4 is the last of the first window's second group, and all four copies of the second's first.
    np.testing.assert_array_equal(both[0][0, 3 * planes :, 1], both[1][0, :planes, 0])
    alone = make_condition(depth, CameraTrack(K, pose), (H, W), look=Look(1.0, 0.5)).control
    np.testing.assert_array_equal(alone[0, 3 * planes :, 1], both[0][0, 3 * planes :, 1])


def test_rays_point_where_pixels_look():
    _, K, pose = ground_scene()
    rays = plucker_rays(K, pose, H, W, 2.0)
    np.testing.assert_allclose(np.linalg.norm(rays[:, :3], axis=1), 1, atol=1e-6)
    relative = np.linalg.inv(pose[0]) @ pose[3]
    pixel = np.array([11.5, 20.5, 1.0])
    direction = relative[:3, :3] @ np.linalg.inv(K[3]) @ pixel
    direction /= np.linalg.norm(direction)
    np.testing.assert_allclose(rays[3, :3, 20, 11], direction, atol=1e-6)
    np.testing.assert_allclose(rays[3, 3:, 20, 11], np.cross(relative[:3, 3] / 2, direction), atol=1e-6)
    assert np.abs(rays[0, 3:]).max() == 0


def test_noise_clings_to_the_ground():
    depth, K, pose = ground_scene(9)
    fresh = np.random.default_rng(5).standard_normal((9, H, W, 3), np.float32)
    noise = warped_noise(fresh, depth, K, pose)
    first, last = (8, 4) if growth(depth, K, pose) > 1 else (0, 4)  # in the order they are filled
    np.testing.assert_array_equal(noise[first], fresh[first])
    # A ground point of the last frame, found in the first by projection, carries its value there.
    inverse, move = np.linalg.inv(K[last]), np.linalg.inv(pose[first]) @ pose[last]
    same = total = 0
    for v in range(H):
        for u in range(W):
            z = depth[last, v, u]
            if not z < 6:  # past that, half a row of ground is 3% of its depth
                continue
            q = K[first] @ (move[:3, :3] @ (inverse @ [u + 0.5, v + 0.5, 1.0] * z) + move[:3, 3])
            x, y = int(np.floor(q[0] / q[2])), int(np.floor(q[1] / q[2]))
            if 0 <= x < W and 0 <= y < H and np.isfinite(depth[first, y, x]):
                total += 1
                same += np.array_equal(noise[last, v, u], noise[first, y, x])
    assert total > 150
    assert same / total > 0.99
    # Still unit Gaussian: 9 * 37 * 53 * 3 values, many shared; a generous 5%.
    assert abs(noise.std() - 1) < 0.05


@pytest.mark.parametrize("steps", [1, -1])
def test_a_shot_that_comes_nearer_is_carried_from_its_end(steps):
    """A wall 10 m ahead, nearer by 0.8 m a frame, or farther; every pixel of the nearest frame is drawn afresh."""
    depth = np.stack([np.full((H, W), 10.0 - 0.8 * t, np.float32) for t in range(5)])[::steps]
    K = np.repeat([[[60.0, 0, W / 2], [0, 60.0, H / 2], [0, 0, 1]]], 5, 0)
    pose = np.repeat(np.eye(4)[None], 5, 0)
    pose[:, 2, 3] = 10.0 - depth[:, 0, 0]
    assert growth(depth, K, pose) == pytest.approx((10 / 6.8) ** steps, rel=1e-6)  # depth is float32
    fresh = np.random.default_rng(3).standard_normal((5, H, W, 3)).astype(np.float32)
    noise = warped_noise(fresh, depth, K, pose)
    nearest, farthest = (4, 0)[::steps]
    np.testing.assert_array_equal(noise[nearest], fresh[nearest])
    alike = (noise[farthest][:, 1:, 0] == noise[farthest][:, :-1, 0]).mean()
    assert alike == 0  # no value lies twice beside itself: seen from farther, pixels are left out, not repeated
    assert not np.array_equal(noise[farthest][5:-5, 5:-5], fresh[farthest][5:-5, 5:-5])


def test_growth_counts_the_lens_and_nothing_unseen():
    K = np.repeat([[[60.0, 0, W / 2], [0, 60.0, H / 2], [0, 0, 1]]], 2, 0)
    pose = np.repeat(np.eye(4)[None], 2, 0)
    K[1, :2, :2] *= 1.5
    assert growth(np.full((2, H, W), 5.0, np.float32), K, pose) == pytest.approx(1.5)
    assert growth(np.full((2, H, W), np.inf, np.float32), K, pose) == 1.0
    pose[1] = np.diag([-1.0, 1.0, -1.0, 1.0])  # turned about: nothing is seen twice
    assert growth(np.full((2, H, W), 5.0, np.float32), K, pose) == 1.0


def test_noise_does_not_leak_through_an_occluder():
    depth = np.full((2, H, W), 10.0, np.float32)
    depth[0, :, :20] = 2.0  # frame 0 sees a near wall there, frame 1 does not
    K = np.repeat([[[60.0, 0, W / 2], [0, 60.0, H / 2], [0, 0, 1]]], 2, 0)
    pose = np.repeat(np.eye(4)[None], 2, 0)
    fresh = np.random.default_rng(6).standard_normal((2, H, W, 3), np.float32)
    noise = warped_noise(fresh, depth, K, pose)
    np.testing.assert_array_equal(noise[1, :, :20], fresh[1, :, :20])
    np.testing.assert_array_equal(noise[1, :, 20:], fresh[0, :, 20:])


@pytest.mark.parametrize("count", [1, 5, 9, 33])
def test_packing_is_the_codecs_own(count):
    frames = np.random.default_rng(7).standard_normal((count, 6, 5, 3), np.float32)
    latents = pack_frames(frames)
    torch.testing.assert_close(
        latents[None], pack_time(torch.from_numpy(frames.transpose(3, 0, 1, 2)[None].copy())), rtol=0, atol=0
    )
    np.testing.assert_allclose(unpack_frames(latents), frames, atol=1e-6)  # the mean of four equal floats
    np.testing.assert_allclose(unpack_time(latents[None])[0].numpy().transpose(1, 2, 3, 0), frames, atol=1e-6)
    assert pack_groups(frames.transpose(0, 3, 1, 2)).shape == (12, (count + 3) // 4, 6, 5)


def test_condition_holds_known_frames_and_mask():
    depth, K, pose = ground_scene(9)
    code = np.random.default_rng(8).standard_normal((9, H, W, 3)).astype(np.float32)
    known = np.zeros(9, bool)
    known[[0, 8]] = True
    condition = make_condition(depth, CameraTrack(K, pose), (H, W), known_frames=code, known=known)
    assert condition.control.shape == (1, CONTROL_CHANNELS, 3, H, W)
    assert condition.camera.shape == (1, CAMERA_CHANNELS, 3, H, W)
    planes = condition.control[0].reshape(4, -1, 3, H, W)
    assert planes[:, 6, 0].sum() == 0  # frame 0, four times: known
    assert set(np.unique(planes[:3, 6, 2])) == {SHOWN, 1.0}  # to be made: shown by 0 or 8, or by neither
    assert not planes[:3, :3, 2].any(), "nothing is kept there"
    assert planes[3, 6, 2].sum() == 0  # frame 8
    np.testing.assert_array_equal(planes[3, :3, 2].numpy(), code[8].transpose(2, 0, 1))
    text_only = make_condition(None, CameraTrack(K, pose), (H, W), with_camera=False)
    assert text_only.camera.abs().sum() == 0
    assert text_only.control[:, :].sum() == 9 * H * W + 3 * H * W  # the mask alone, frame 0 counted four times


def test_noise_without_blotches_keeps_its_grain():
    noise = np.random.default_rng(9).standard_normal((2, 96, 128, 3), np.float32)
    out = without_blotches(noise)
    means = lambda x: x.reshape(2, 6, 16, 8, 16, 3).mean((2, 4)).std()  # noqa: E731
    # Means of 16-px squares hold waves from 16 px up: the long ones keep a fifth, those near 16 px a half.
    assert means(out) < 0.5 * means(noise)
    # A Gaussian of 2.5 px holds 1 / (4 pi 2.5^2) = 1.3% of white noise's variance.
    assert abs(out.std() / noise.std() - 1) < 0.02
