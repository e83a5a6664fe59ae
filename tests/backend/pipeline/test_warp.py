"""Carrying pictures through depth, against the ray-caster's own geometry and points projected by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from farplane.backend.pipeline.warp import Camera, carry, lookup, motion


def camera(rendered, t: int) -> Camera:
    return Camera(rendered.scene.K[t], rendered.scene.pose[t])


@pytest.mark.parametrize(("t", "u"), [(0, 8), (8, 0), (3, 4)])
def test_a_pixel_lands_where_its_world_point_projects(boxes, t: int, u: int) -> None:
    scene, rng = boxes.scene, np.random.default_rng(t)
    at = lookup(camera(boxes, t), boxes.depth[u], camera(boxes, u))
    rows, columns = rng.integers(0, scene.height, 200), rng.integers(0, scene.width, 200)
    for row, column in zip(rows, columns):
        z = boxes.depth[u, row, column]
        if np.isinf(z):
            continue
        p = np.linalg.solve(scene.K[u], [column + 0.5, row + 0.5, 1.0]) * z
        world = scene.pose[u, :3, :3] @ p + scene.pose[u, :3, 3]
        seen = scene.pose[t, :3, :3].T @ (world - scene.pose[t, :3, 3])
        x, y, one = scene.K[t] @ seen / seen[2]
        assert one == 1
        # float32 at coordinates of some hundred pixels: 1e-4 px.
        assert (at.x[row, column], at.y[row, column]) == pytest.approx((x, y), abs=1e-3)
        assert at.inverse_depth[row, column] == pytest.approx(1 / seen[2], rel=1e-5)


def test_sky_moves_with_the_rotation_only(boxes) -> None:
    scene = boxes.scene
    at = lookup(camera(boxes, 0), np.full((scene.height, scene.width), np.inf, np.float32), camera(boxes, 8))
    d = scene.pose[0, :3, :3].T @ scene.pose[8, :3, :3] @ np.linalg.solve(scene.K[8], [40.5, 30.5, 1.0])
    assert (at.x[30, 40], at.y[30, 40]) == pytest.approx((scene.K[0] @ d / d[2])[:2].tolist(), abs=1e-3)
    assert (at.inverse_depth == 0).all()


def test_the_same_camera_gives_the_same_picture(small: Callable) -> None:
    rendered = small(97, 61, 2)
    one = camera(rendered, 0)
    got = carry(rendered.rgb[0], rendered.depth[0], one, rendered.depth[0], one, border=0)
    # remap's weights are rounded to 1/32 pixel, and an exact pixel stays exact.
    np.testing.assert_allclose(got.picture, rendered.rgb[0], atol=2e-3)
    assert got.visible.mean() > 0.97  # all but a pixel beside the steps in depth


@pytest.mark.parametrize(("t", "u"), [(0, 1), (0, 4), (0, 8), (8, 0)])
def test_a_carried_render_is_the_other_render_where_it_is_visible(boxes, t: int, u: int) -> None:
    got = carry(boxes.rgb[t], boxes.depth[t], camera(boxes, t), boxes.depth[u], camera(boxes, u))
    error = np.abs(got.picture - boxes.rgb[u]).mean(-1)
    assert np.median(error[got.visible]) < 0.005
    assert np.median(error[got.visible]) < 0.2 * np.median(
        np.abs(boxes.rgb[t] - boxes.rgb[u]).mean(-1)[~np.isinf(boxes.depth[u])]
    )
    assert got.visible.mean() > 0.5


def test_what_was_hidden_or_out_of_frame_is_not_visible(boxes) -> None:
    """A world point is visible when the ray-caster's depth along the line to it says so."""
    t, u, border = 0, 8, 8
    scene = boxes.scene
    at = lookup(camera(boxes, t), boxes.depth[u], camera(boxes, u))
    got = carry(boxes.rgb[t], boxes.depth[t], camera(boxes, t), boxes.depth[u], camera(boxes, u), border=border)
    column, row = np.floor(at.x).astype(int), np.floor(at.y).astype(int)
    inside = (column >= border) & (column < scene.width - border) & (row >= border) & (row < scene.height - border)
    assert not got.visible[~inside].any()
    assert not got.visible[:border].any()
    assert not got.visible[:, -border:].any()
    seen = np.full(inside.shape, np.nan)
    seen[inside] = boxes.depth[t][row[inside], column[inside]]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = seen * at.inverse_depth  # 1: the same surface; under 1: something nearer stood before it
    hidden = inside & (ratio < 0.9)
    assert hidden.sum() > 500  # the scene does hide things
    # The nearest pixel's depth and the bilinear one differ only along edges.
    assert got.visible[hidden].mean() < 0.02
    plain = inside & (np.abs(ratio - 1) < 0.005)
    plain[:border], plain[-border:], plain[:, :border], plain[:, -border:] = False, False, False, False
    assert got.visible[plain].mean() > 0.95


def test_motion_is_zero_between_equal_cameras_and_the_parallax_else() -> None:
    K = np.array([[100.0, 0, 32], [0, 100.0, 24], [0, 0, 1]])
    left, right = np.eye(4), np.eye(4)
    right[0, 3] = 0.5
    depth = np.full((48, 64), 10.0, np.float32)
    assert motion(lookup(Camera(K, left), depth, Camera(K, left))).max() < 1e-4
    # 100 px focal length x 0.5 m / 10 m
    np.testing.assert_allclose(motion(lookup(Camera(K, left), depth, Camera(K, right))), 5.0, atol=1e-4)
