"""Depth, normals and masks of planes and slopes against formulas; what moves and what does not."""

import numpy as np
import pytest

from farplane.backend.train.cameras import look
from farplane.backend.train.frames import _source
from farplane.backend.train.materials import CEILING, CONIFER, FLOOR, GROUND, NOTHING, ROCK, TREE, WATER, WITHOUT_SEASON
from farplane.backend.train.raymarch import exact_depth, render, trace_depth, trace_surfaces
from farplane.backend.train.world import Attributes, Ceiling, World, make_world

K = np.array([[[41.0, 0, 25.3], [0, 43.0, 17.9], [0, 0, 1]]])
SIZE = (51, 35)


def rays(pose):
    """World rays [H, W, 3] with a camera-plane depth of 1."""
    v, u = np.meshgrid(np.arange(SIZE[1]) + 0.5, np.arange(SIZE[0]) + 0.5, indexing="ij")
    return np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K[0]).T @ pose[:3, :3].T


def world_of(height, kind="hills", mark=GROUND, sea=False, ceiling=None, extent=64.0):
    height = np.ascontiguousarray(height, np.float32)
    flat = np.zeros((256, 256), np.float32)
    return World(
        0, Attributes(kind, "noon", "clear", "summer"), extent, height, height, np.full(height.shape, mark, np.uint8),
        np.full(height.shape, 7, np.uint8), sea, flat, np.zeros((512, 512), np.float32), 0.5, ceiling,
    )  # fmt: skip


def test_a_room_is_its_floor_its_ceiling_and_its_skylights():
    world = world_of(np.zeros((64, 64)), "interior", FLOOR, ceiling=Ceiling(3.1, 4.0, 0.4))
    pose = look(np.array([9.3, 12.2, 1.7]), heading=0.4, pitch=0.35, roll=0.2)
    d = rays(pose)
    up = np.maximum(d[..., 2], 1e-9)
    top = 1.4 / up
    bay = (np.stack([9.3 + top * d[..., 0], 12.2 + top * d[..., 1]], -1) / 4.0) % 1.0
    inside = np.abs(bay - 0.5)
    edge = (np.abs(inside - 0.2).min(-1) < 1e-3) | (np.abs(d[..., 2]) < 0.02)
    opening = (inside < 0.2).all(-1)
    with np.errstate(divide="ignore"):
        expected = np.where(d[..., 2] < 0, -1.7 / d[..., 2], np.where(opening, np.inf, top))
    surfaces = trace_surfaces(world, K, pose[None], *SIZE)
    z = surfaces.depth[0]
    sure = ~edge & ~(expected > 100)  # the floor's tracer ends at 2.2 extents
    sure |= opening & (d[..., 2] > 0.02) & ~edge
    assert opening[sure].any()
    hit = sure & np.isfinite(expected)
    # The floor is found by bisection to 0.004 m along the ray, the ceiling exactly.
    np.testing.assert_allclose(z[hit], expected[hit], atol=0.02)
    assert np.isinf(z[sure & ~np.isfinite(expected)]).all()
    over, under = hit & (d[..., 2] > 0), hit & (d[..., 2] < 0)
    assert (surfaces.material[0][over] == CEILING).all()
    assert (surfaces.material[0][under] == FLOOR).all()
    np.testing.assert_array_equal(surfaces.normal[0][over], np.broadcast_to([0, 0, -1], (over.sum(), 3)))


def test_water_is_a_plane_and_the_sky_is_nothing():
    pose = look(np.array([20.0, 31.0, 2.5]), heading=-1.1, pitch=-0.05)
    sea = trace_surfaces(world_of(np.full((64, 64), -30.0), "sea", ROCK, sea=True), K, pose[None], *SIZE)
    d = rays(pose)
    with np.errstate(divide="ignore"):
        expected = np.where(d[..., 2] < 0, -2.5 / d[..., 2], np.inf)
    near = expected < 200  # six extents along the ray
    np.testing.assert_allclose(sea.depth[0][near], expected[near], rtol=1e-4)
    assert (sea.material[0][near] == WATER).all()
    above = d[..., 2] > 0
    assert (sea.material[0][above] == NOTHING).all()
    assert (sea.normal[0][above] == 0).all()
    world = make_world(4, Attributes("sky", "noon", "clear", "summer"))
    down = look(np.array([1.0, 2.0, 300.0]), 0.3, -0.6)
    assert np.isinf(exact_depth(world, K, down[None], *SIZE)).all()


def test_normals_follow_the_slope():
    n, extent, rise = 256, 64.0, 1.5
    y, x = np.mgrid[:n, :n] * (2 * np.pi / n)
    world = world_of(rise * np.sin(2 * x) * np.cos(3 * y))
    pose = look(np.array([30.0, 17.0, 9.0]), 2.2, -0.9)
    got = trace_surfaces(world, K, pose[None], *SIZE)
    z = got.depth[0]
    hit = np.isfinite(z) & (z < 25)
    p = rays(pose)[hit] * z[hit][:, None] + pose[:3, 3]
    a = p[:, :2] * (2 * np.pi / extent)
    slope = np.stack(
        [2 * np.cos(2 * a[:, 0]) * np.cos(3 * a[:, 1]), -3 * np.sin(2 * a[:, 0]) * np.sin(3 * a[:, 1])], -1
    ) * (rise * 2 * np.pi / extent)
    expected = np.concatenate([-slope, np.ones((len(slope), 1))], 1)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert hit.sum() > 500
    np.testing.assert_allclose(np.linalg.norm(got.normal[0][hit], axis=-1), 1.0, atol=1e-5)
    # Taken over a pixel's width and from bilinear cells of a quarter of a metre: within 3 degrees.
    assert np.degrees(np.arccos(np.clip((got.normal[0][hit] * expected).sum(-1), -1, 1))).max() < 3.0
    assert (got.material[0][hit] == GROUND).all()
    assert (got.tone[0][hit] == 7).all()


def test_only_water_air_and_trees_move():
    world = make_world(9, Attributes("coast", "noon", "clear", "summer"))
    row, col = np.argwhere(world.height > 15)[1234]
    at = np.array([col, row]) * world.extent / world.height.shape[0]
    pose = np.repeat(look(np.array([*at, world.height[row, col] + 25.0]), 1.0, -0.25)[None], 2, 0)
    both = np.repeat(K, 2, 0)
    still = render(world, both, pose, *SIZE, 1, time_step=0.0)
    moving = render(world, both, pose, *SIZE, 1, time_step=0.25)
    np.testing.assert_array_equal(still[0], still[1])
    np.testing.assert_array_equal(still[0], moving[0])
    seen = trace_surfaces(world, K, pose[:1], *SIZE).material[0]
    changed = (moving[0] != moving[1]).any(-1)
    assert changed[seen == WATER].mean() > 0.9
    assert not changed[~np.isin(seen, (WATER, NOTHING, TREE, CONIFER))].any()


@pytest.mark.parametrize("kind", WITHOUT_SEASON)
def test_a_season_shows_only_where_it_is_told(kind):
    pose = look(np.array([30.0, 30.0, 1.6]), 0.7, -0.1)

    def picture(season, weather="clear"):
        return render(make_world(21, Attributes(kind, "noon", weather, season)), K, pose[None], *SIZE, 1)

    np.testing.assert_array_equal(picture("summer"), picture("winter"))


def test_hours_come_in_order_of_their_light():
    world = {t: make_world(17, Attributes("hills", t, "clear", "summer")) for t in ("noon", "bluehour", "night")}
    pose = look(np.array([300.0, 300.0, 90.0]), 0.7, -0.1)
    light = {t: render(w, K, pose[None], *SIZE, 1)[0].mean((0, 1)) for t, w in world.items()}
    assert light["noon"].mean() > 2 * light["bluehour"].mean() > 4 * light["night"].mean()
    assert light["bluehour"][2] > 1.3 * light["bluehour"][0]  # it is blue


def test_the_cache_follows_every_compiled_file():
    # numba would keep using old machine code when only a called file changed; the checksum is part of its key.
    from farplane.backend.train import frames

    assert _source() in [cell.cell_contents for cell in frames.shade_frames.py_func.__closure__]
    assert trace_depth(np.zeros((64, 64), np.float32), 64.0, False, K, np.eye(4)[None], 5, 4).shape == (1, 4, 5)
