"""The procedural world: deterministic, varied, and its depth true to its cameras."""

import numpy as np
import pytest

from farplane.backend.pipeline.geometry import Look
from farplane.backend.train.cameras import look, random_path
from farplane.backend.train.data import ClipStore, make_shard, render_clip
from farplane.backend.train.light import make_light
from farplane.backend.train.raymarch import exact_depth, render, trace_depth
from farplane.backend.train.world import KINDS, SEASONS, TIMES, WEATHERS, Attributes, make_world, random_attributes


@pytest.fixture(scope="module")
def village():
    return make_world(77, Attributes("village", "noon", "clear", "summer"))


def test_a_seed_is_one_clip():
    first, second = (render_clip(31, 5, 48, 32) for _ in range(2))
    np.testing.assert_array_equal(first.linear, second.linear)
    np.testing.assert_array_equal(first.depth, second.depth)
    assert first.attributes == second.attributes
    assert not np.array_equal(first.linear, render_clip(32, 5, 48, 32).linear)


def test_attributes_are_drawn_evenly_and_independently():
    drawn = [random_attributes(seed) for seed in range(3000)]
    for values, name in ((KINDS, "kind"), (TIMES, "time"), (WEATHERS, "weather"), (SEASONS, "season")):
        share = [np.mean([getattr(a, name) == value for a in drawn]) for value in values]
        # 3000 draws: a share's standard deviation is under 0.009; 4 of them.
        np.testing.assert_allclose(share, 1 / len(values), atol=0.036)
    both = np.mean([a.time == "night" and a.weather == "fog" for a in drawn])
    assert abs(both - 1 / 35) < 0.015


def test_depth_of_flat_ground_is_analytic():
    flat = np.zeros((64, 64), np.float32)
    pose = look(np.array([10.0, 12.0, 3.0]), heading=0.7, pitch=-0.4, roll=0.1)
    K = np.array([[[70.0, 0, 31], [0, 70.0, 17], [0, 0, 1]]])
    z = trace_depth(flat, 64.0, False, K, pose[None], 57, 41)[0]
    v, u = np.meshgrid(np.arange(41) + 0.5, np.arange(57) + 0.5, indexing="ij")
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K[0]).T @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        expected = np.where(rays[..., 2] < 0, -3.0 / rays[..., 2], np.inf)
    seen = expected < 100  # the tracer ends at 2.2 extents
    # The bisection's last bracket is a step of half a cell over 2**7: 0.004 m along the ray.
    np.testing.assert_allclose(z[seen], expected[seen], atol=0.02)
    assert np.isinf(z[~np.isfinite(expected)]).all()


def test_depth_agrees_between_two_cameras(village):
    path = random_path(village, 5, 9, 96, 56)
    K, pose = path.K[[0, 8]], path.world_from_camera[[0, 8]].copy()
    pose[1] = pose[0]
    pose[1, :3, 3] += pose[0, :3, 0] * 0.4  # 0.4 m to the right
    z = trace_depth(village.height, village.extent, False, K, pose, 96, 56)
    v, u = np.nonzero(np.isfinite(z[0]))
    points = np.linalg.inv(K[0]) @ np.stack([u + 0.5, v + 0.5, np.ones(len(u))]) * z[0][v, u]
    moved = points - np.array([[0.4], [0], [0]])
    uv = K[1] @ moved
    x, y = np.floor(uv[0] / uv[2]).astype(int), np.floor(uv[1] / uv[2]).astype(int)
    inside = (x >= 0) & (x < 96) & (y >= 0) & (y < 56)
    other = z[1][y[inside], x[inside]]
    # Nearest pixel: sloping ground differs by the slope times half a pixel, and some points are hidden.
    assert np.mean(np.abs(other - moved[2][inside]) < 0.05 * moved[2][inside]) > 0.9


def test_light_follows_the_attributes():
    def brightness(time, weather="clear", season="summer"):
        world = make_world(91, Attributes("forest", time, weather, season))
        path = random_path(world, 91, 1, 48, 32)
        return render(world, path.K, path.world_from_camera, 48, 32)[0]

    noon, night, dusk = brightness("noon"), brightness("night"), brightness("dusk")
    assert noon.mean() > 5 * night.mean()
    assert dusk[..., 0].mean() / dusk[..., 2].mean() > 1.08 * noon[..., 0].mean() / noon[..., 2].mean()
    # Fog lifts the blacks: it lies between the lens and everything.
    assert np.percentile(brightness("noon", "fog"), 10) > 1.5 * np.percentile(noon, 10)
    assert brightness("noon", season="winter").mean() > 1.15 * noon.mean()


def sky_of(time, weather="clear"):
    """Colours of the sky at its zenith, and just over the horizon before and behind the sun; of a flat world."""
    world = make_world(40, Attributes("hills", time, weather, "summer"))
    sun = make_light(world.attributes, world.seed).sun
    before = np.arctan2(sun[1], sun[0])
    eye = np.array([0.0, 0.0, world.height.max() + 5.0])
    K = np.array([[[400.0, 0, 8], [0, 400.0, 8], [0, 0, 1]]])  # 2.3 degrees wide
    # Beside the sun's disc and its glow, a few degrees over the horizon.
    poses = [look(eye, before, 1.5), look(eye, before + 0.6, 0.07), look(eye, before + np.pi, 0.07)]
    return [render(world, K, pose[None], 16, 16)[0].mean((0, 1)) for pose in poses]


@pytest.mark.parametrize(("time", "least"), [("dawn", 1.15), ("dusk", 1.5), ("bluehour", 1.5)])  # a dawn is pink
def test_a_low_sun_warms_its_own_side_of_the_horizon_only(time, least):
    zenith, before, behind = sky_of(time)
    assert zenith[2] > 1.8 * zenith[0]  # blue above
    assert before[0] / before[2] > least * behind[0] / behind[2]
    assert before.mean() > zenith.mean()
    # By noon both sides are the same; the clouds differ.
    _, before, behind = sky_of("noon", "haze")
    assert abs(before[0] / before[2] - behind[0] / behind[2]) < 0.15


def test_shadows_of_a_low_sun_are_cooler_than_its_light():
    world = make_world(40, Attributes("arctic", "dusk", "clear", "summer"))
    path = random_path(world, 3, 1, 64, 36)
    linear = render(world, path.K, path.world_from_camera, 64, 36)[0]
    depth = exact_depth(world, path.K, path.world_from_camera, 64, 36)[0]
    near = linear[depth < 150]  # snow, before much air lies between
    assert len(near) > 300
    luminance = near.mean(-1)
    warmth = near[:, 0] / near[:, 2]
    bright, dark = luminance > np.quantile(luminance, 0.95), luminance < np.quantile(luminance, 0.3)
    assert warmth[bright].mean() > 1.3 * warmth[dark].mean()


def test_renders_hold_real_highlights():
    world = make_world(12, Attributes("city", "night", "clear", "summer"))
    path = random_path(world, 12, 1, 96, 64)
    linear = render(world, path.K, path.world_from_camera, 96, 64)
    assert np.isfinite(linear).all()
    assert (linear >= 0).all()
    assert linear.max() > 1.0  # lit windows


def test_the_blockout_is_simpler_but_the_same_place(village):
    rough = lambda h: np.abs(np.diff(h, axis=0)).mean()  # noqa: E731
    assert rough(village.simplified) < rough(village.height)
    assert np.corrcoef(village.simplified.ravel(), village.height.ravel())[0, 1] > 0.9


def test_shards_are_whole_and_resume(tmp_path):
    made = make_shard(tmp_path, 3, frames=5, size=(32, 16))
    before = made.stat().st_mtime_ns
    assert make_shard(tmp_path, 3, frames=5, size=(32, 16)) == made
    assert made.stat().st_mtime_ns == before
    store = ClipStore(tmp_path)
    assert len(store) == 16
    code, depth, row = store.load(7)
    assert code.shape == (5, 16, 32, 3)
    assert depth.shape == (5, 16, 32)
    fine, fine_depth, _ = store.load_fine(7)
    assert (fine.shape, fine_depth.shape) == ((64, 128, 3), (64, 128))
    # The large frame is the small one's: its mean over 4 x 4 pixels is the same picture but for where samples fell.
    mean = fine.astype(np.float32).reshape(16, 4, 32, 4, 3).mean((1, 3))
    assert np.abs(mean - code[row["fine"]]).mean() < 0.03
    assert not store.upright(7)
    again = render_clip(row["seed"], 5, 32, 16, attributes=Attributes(**row["attributes"]))
    hit = np.isfinite(again.depth)
    np.testing.assert_array_equal(np.isfinite(depth), hit)
    # log2 metres in float16 between 0 and 16: steps of 2**-7 at the far end, 0.3% after rounding.
    np.testing.assert_allclose(depth[hit], again.depth[hit], rtol=0.003)
    _, exact, _ = store.load(7, exact=True)
    own = exact_depth(again.world, again.camera.K, again.camera.world_from_camera, 32, 16)
    hit = np.isfinite(own)
    np.testing.assert_array_equal(np.isfinite(exact), hit)
    np.testing.assert_allclose(exact[hit], own[hit], rtol=0.003)
    assert store.load_fine(7, exact=True)[1].shape == (64, 128)
    # The look told is that of the light it was rendered in.
    told, sun = Look(*row["look"]), make_light(again.attributes, row["seed"]).sun
    np.testing.assert_allclose((np.cos(told.azimuth), np.sin(told.azimuth)), sun[:2] / np.hypot(*sun[:2]), atol=1e-9)
    assert told.palette == again.world.style
