"""The definition of the reprojection against a plain loop, a plane's own equation, and cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from farplane.kernels import reproject

INF = math.inf


def camera(H: int, W: int, focal: float, turn=(0.0, 0.0, 0.0), place=(0.0, 0.0, 0.0)) -> tuple[np.ndarray, np.ndarray]:
    """K and world_from_camera; turn is a rotation vector in radians, place in metres."""
    K = np.array([[focal, 0, W / 2], [0, focal, H / 2], [0, 0, 1.0]])
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    pose[:3, 3] = place
    return K, pose


def carry(depth: np.ndarray, color: np.ndarray, source, target, size=None, **options):
    """One picture through the public op, back as numpy."""
    matrices = [torch.from_numpy(m)[None] for m in (*source, *target)]
    seen = reproject(torch.from_numpy(depth)[None], torch.from_numpy(color)[None], *matrices, size, **options)
    return tuple(t[0].numpy() for t in seen)


def carry_by_loop(depth, color, source, target, size):
    """The same, pixel by pixel through world space: another way round than the op's homographies."""
    (K, pose), (target_K, target_pose) = source, target
    H, W = depth.shape
    seen, found = np.zeros((len(color), *size)), np.full(size, False)
    z_buffer = np.full(size, np.inf)
    target_from_world = np.linalg.inv(target_pose)
    for i in range(H):
        for j in range(W):
            z = float(depth[i, j])
            if not z > 0:
                continue
            ray = np.linalg.solve(K, [j + 0.5, i + 0.5, 1])
            if z == np.inf:
                point = target_from_world[:3, :3] @ (pose[:3, :3] @ ray)
                deep = np.inf if point[2] > 0 else -1.0
            else:
                world = pose[:3, :3] @ (z * ray) + pose[:3, 3]
                point = target_from_world[:3, :3] @ world + target_from_world[:3, 3]
                deep = point[2]
            if deep <= 0:
                continue
            column, row = np.floor((target_K @ point)[:2] / point[2] + 1e-6).astype(int)
            if not (0 <= row < size[0] and 0 <= column < size[1]):
                continue
            if not found[row, column] or deep < z_buffer[row, column]:
                z_buffer[row, column], seen[:, row, column], found[row, column] = deep, color[:, i, j], True
    return seen, z_buffer, found


@pytest.mark.parametrize("seed", range(4))
def test_equals_a_plain_loop(seed):
    random = np.random.default_rng(seed)
    H, W, size = 19, 27, (23, 22)
    depth = random.uniform(1, 6, (H, W)).astype(np.float32)
    depth[random.random((H, W)) < 0.2] = np.inf
    depth[0, :4] = np.nan, 0, -1, -np.inf
    color = random.normal(size=(3, H, W)).astype(np.float32)
    source = camera(H, W, 24, random.normal(0, 0.1, 3), random.normal(0, 0.3, 3))
    target = camera(*size, 30, random.normal(0, 0.1, 3), random.normal(0, 0.3, 3))
    seen, z, found = carry(depth, color, source, target, size)
    true_seen, true_z, true_found = carry_by_loop(depth, color, source, target, size)
    # Random depths tie with probability zero, so that the choice of pixels must be the same one.
    assert np.array_equal(found, true_found)
    assert np.array_equal(seen, true_seen.astype(np.float32))
    assert np.allclose(z, true_z, rtol=2.0**-23, atol=0)  # one step of float32
    assert 0.1 < found.mean() < 1  # the random cameras do look at the same things, and not at all of them


def test_a_plane_lies_where_its_equation_says():
    """A slanted plane seen by a moved camera: depth from intersecting that camera's rays with the plane."""
    H, W, focal = 60, 80, 70.0
    normal, distance = np.array([0.3, -0.2, 1.0]), 4.0  # normal . point = distance, in world space
    source, target = camera(H, W, focal), camera(H, W, focal, (0.02, -0.05, 0.03), (0.2, 0.1, -0.3))

    def depth_of(view) -> np.ndarray:
        K, pose = view
        x, y = np.meshgrid(np.arange(W) + 0.5, np.arange(H) + 0.5)
        rays = np.stack((x, y, np.ones_like(x)), -1) @ np.linalg.inv(K).T @ pose[:3, :3].T
        return (distance - normal @ pose[:3, 3]) / (rays @ normal)

    _, z, found = carry(depth_of(source).astype(np.float32), np.zeros((1, H, W), np.float32), source, target)
    # A splat may sit half a pixel beside the centre its depth is compared at: the plane's slope over 0.5 px each way.
    expected = depth_of(target)
    slope = np.abs(np.gradient(expected)).sum(0).max()
    assert found[5:-10, 10:-5].mean() > 0.9
    assert np.abs(z - expected)[found].max() <= 0.5 * slope * 1.1
    assert np.abs(z - expected)[found].max() > 0.05 * slope  # so the bound is not an idle one


def test_the_same_camera_changes_nothing():
    random = np.random.default_rng(0)
    depth = random.uniform(0.1, 1000, (31, 45)).astype(np.float32)
    depth[:7] = INF
    color = random.normal(size=(2, 31, 45)).astype(np.float32)
    view = camera(31, 45, 33.3, (0.3, 0.2, 0.1), (5, 6, 7))
    seen, z, found = carry(depth, color, view, view)
    assert found.all()
    assert np.array_equal(seen, color)
    assert np.allclose(z, depth, rtol=2.0**-23, atol=0)  # R'R is the unit matrix up to float64's rounding


@pytest.mark.parametrize("pixels", [1, 3, -2])
def test_a_sideways_move_shifts_by_focal_length_over_depth(pixels):
    H, W, focal, z = 6, 12, 20.0, 5.0
    color = np.arange(H * W, dtype=np.float32).reshape(1, H, W)
    seen, _, found = carry(
        np.full((H, W), z, np.float32),
        color,
        camera(H, W, focal),
        camera(H, W, focal, place=(pixels * z / focal, 0, 0)),  # x to the right: the picture goes left
    )
    assert np.array_equal(seen[found[None]], np.roll(color, -pixels, 2)[found[None]])
    assert found.sum() == H * (W - abs(pixels))


def test_half_a_pixel_falls_on_one_side_everywhere():
    """Exact ties: every centre lands on the edge of two pixels, and none may leave a hole or land on another."""
    H, W, focal, z = 5, 64, 20.0, 5.0
    random = np.random.default_rng(1)
    color = random.normal(size=(1, H, W)).astype(np.float32)
    for half in (0.5, -0.5):
        _, _, found = carry(
            np.full((H, W), z, np.float32),
            color,
            camera(H, W, focal),
            camera(H, W, focal, place=(half * z / focal, 0, 0)),
        )
        assert found[:, 1:-1].all()


def test_down_is_down():
    """OpenCV axes: a camera that sinks (its y grows) sees the picture go up."""
    H, W, focal, z = 9, 5, 10.0, 2.0
    color = np.zeros((1, H, W), np.float32)
    color[0, 6] = 1
    seen, _, _ = carry(
        np.full((H, W), z, np.float32), color, camera(H, W, focal), camera(H, W, focal, place=(0, 2 * z / focal, 0))
    )
    assert seen[0, 4].all()


def test_the_sky_turns_but_does_not_move():
    H, W, focal = 8, 16, 40.0
    color = np.arange(H * W, dtype=np.float32).reshape(1, H, W)
    sky = np.full((H, W), INF, np.float32)
    seen, z, found = carry(sky, color, camera(H, W, focal), camera(H, W, focal, place=(100, -50, 20)))
    assert found.all()
    assert np.array_equal(seen, color)
    assert (z == INF).all()
    angle = math.atan2(4, focal)  # turning right by 4 pixels at the middle of the picture
    seen, z, found = carry(sky, color, camera(H, W, focal), camera(H, W, focal, (0, angle, 0)))
    middle = seen[0, H // 2, : W // 2]
    assert found[H // 2, W // 2 - 4]
    assert abs(middle[W // 2 - 4] - color[0, H // 2, W // 2]) <= 1  # a pixel's centre lies half a pixel off the axis
    assert (z[found] == INF).all()


def test_the_nearest_wins_and_of_equals_the_first():
    depth = np.array([[3.0, 2.0, INF, 2.0]], np.float32)
    color = np.array([[[30.0, 20.0, 99.0, 21.0]]], np.float32)
    # A target of one pixel, whose lens squeezes the row into it.
    K = np.array([[0.01, 0, 0.5], [0, 0.01, 0.5], [0, 0, 1.0]])
    seen, z, found = carry(depth, color, camera(1, 4, 4.0), (K, np.eye(4)), (1, 1))
    assert found.all()
    assert seen.item() == 20
    assert z.item() == 2


def test_what_is_behind_the_target_is_not_seen():
    H, W = 6, 6
    depth = np.full((H, W), 2.0, np.float32)
    color = np.ones((1, H, W), np.float32)
    seen, z, found = carry(depth, color, camera(H, W, 6.0), camera(H, W, 6.0, place=(0, 0, 3)))
    assert not found.any()
    assert not seen.any()
    assert (z == INF).all()


def test_colour_gradients_go_back_to_where_the_colour_came_from():
    torch.manual_seed(0)
    depth = 2 + torch.rand(1, 7, 9)
    color = torch.randn(1, 2, 7, 9, dtype=torch.float64, requires_grad=True)
    source, target = camera(7, 9, 8.0), camera(7, 9, 8.0, (0, 0.1, 0), (0.3, 0, 0.1))
    views = [torch.from_numpy(m)[None] for m in (*source, *target)]
    assert torch.autograd.gradcheck(lambda c: reproject(depth, c, *views).color, (color,))


def test_wrong_shapes_are_refused():
    depth, color = torch.ones(1, 4, 5), torch.ones(1, 3, 4, 5)
    K, pose = torch.eye(3)[None], torch.eye(4)[None]
    with pytest.raises(ValueError, match="depth must be"):
        reproject(depth, color[..., :4], K, pose, K, pose)
    with pytest.raises(ValueError, match="depth must be"):
        reproject(depth[0], color, K, pose, K, pose)
    with pytest.raises(ValueError, match="cameras must be"):
        reproject(depth, color, K, pose, K[0], pose)
    with pytest.raises(ValueError, match="cameras must be"):
        reproject(depth, color, K, pose[:, :3], K, pose)
    with pytest.raises(ValueError, match="pixels"):
        reproject(depth, color, K, pose, K, pose, (0, 4))
