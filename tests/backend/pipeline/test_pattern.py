"""What is told of clouds, grain and windows: where the fields are read, that it clings, and what fades."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from farplane.backend.pipeline.geometry import BASE_CHANNELS, PLAIN_CHANNELS, SURFACE_CHANNELS, surface_channels
from farplane.backend.pipeline.pattern import (
    CLOUD,
    DRIFT,
    FADE,
    GRAIN,
    PATTERN_CHANNELS,
    STEEP,
    USUAL,
    WALL,
    Pattern,
    fractal_noise,
    pattern_channels,
)

W, H = 90, 50
K = np.array([[[80.0, 0.0, W / 2], [0.0, 80.0, H / 2], [0.0, 0.0, 1.0]]])
LEVEL = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1.0]])  # looks along +Y, z up
PATTERN = Pattern.of_seed(5)


def camera(x: float, y: float, z: float, turn: float = 0.0, down: float = 0.0) -> NDArray[np.float64]:
    """[1, 4, 4] at a place, turned about z and tilted down."""
    c, s, e, f = np.cos(turn), np.sin(turn), np.cos(down), np.sin(down)
    tilt = np.array([[1.0, 0, 0], [0, e, f], [0, -f, e]])  # camera axes: x right, y down, z forward
    pose = np.eye(4)
    pose[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]) @ LEVEL[:3, :3] @ tilt
    pose[:3, 3] = x, y, z
    return pose[None]


def rays(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """[H, W, 3] world directions whose camera-plane depth is 1."""
    v, u = np.mgrid[:H, :W] + 0.5
    pixels = np.stack([u, v, np.ones_like(u)], -1)
    return pixels @ (pose[0, :3, :3] @ np.linalg.inv(K[0])).T


def on_plane(pose: NDArray[np.float64], axis: int, at: float) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Depth [1, H, W] of the plane `axis` = `at`, inf where it is behind, and the points [H, W, 3] it shows."""
    d = rays(pose)
    with np.errstate(divide="ignore"):
        z = (at - pose[0, axis, 3]) / d[..., axis]
    z = np.where((z > 0) & np.isfinite(z), z, np.inf)
    return z[None].astype(np.float32), pose[0, :3, 3] + np.where(np.isfinite(z), z, 0.0)[..., None] * d


def looked_up(field: NDArray, u: NDArray, v: NDArray) -> NDArray:
    """The field by SciPy: rows are v, columns u."""
    return map_coordinates(field.astype(np.float64), [v, u], order=1, mode="grid-wrap")


@pytest.mark.parametrize("size", range(3))
def test_the_ground_is_read_by_place(size: int) -> None:
    pose = camera(3.0, -8.0, 2.0, turn=0.3, down=0.5)
    depth, point = on_plane(pose, 2, 0.0)
    out = pattern_channels(PATTERN, depth, K, pose)[0, size]
    foot = np.linalg.norm(point - pose[0, :3, 3], axis=-1) / K[0, 0, 0]
    fade = np.clip(FADE[size][0] - FADE[size][1] * foot, 0.0, 1.0)
    expected = fade * looked_up(PATTERN.ground, point[..., 0] * GRAIN[size], point[..., 1] * GRAIN[size])
    seen = np.isfinite(depth[0])
    # Depth is float32: a point is known to 1e-6 of some metres, the field's slope is a few units a cell.
    np.testing.assert_allclose(out[seen], expected[seen], atol=2e-3)
    assert expected[seen].std() > 0.05


def test_one_point_has_one_value_through_a_shot() -> None:
    """Two cameras on one wall: where the second sees what the first sees, it is told the same."""
    first, second = camera(0.0, 0.0, 3.0), camera(1.5, 2.0, 3.4, turn=0.1)
    (near, _), (far, points) = on_plane(first, 1, 14.0), on_plane(second, 1, 14.0)
    a, b = (pattern_channels(PATTERN, z, K, pose)[0] for z, pose in ((near, first), (far, second)))
    local = points - first[0, :3, 3]
    u, v = (K[0, 0, 0] * local[..., 0] / local[..., 1] + W / 2, H / 2 - K[0, 1, 1] * local[..., 2] / local[..., 1])
    inside = (u > 1) & (u < W - 1) & (v > 1) & (v < H - 1)
    there = map_coordinates(a[0].astype(np.float64), [v[inside] - 0.5, u[inside] - 0.5], order=1)
    assert inside.mean() > 0.5
    # The widest size changes by its slope within a pixel, which the lookup between pixels smooths.
    assert np.abs(there - b[0][inside]).max() < 0.05
    assert np.ptp(b[0][inside]) > 0.5


def test_clouds_keep_their_direction_and_drift() -> None:
    sky = np.full((3, H, W), np.inf, np.float32)
    poses = np.concatenate([camera(100.0 * i, 0.0, 2.0, down=-0.6) for i in range(3)])
    K3 = np.repeat(K, 3, 0)
    still = pattern_channels(PATTERN, sky, K3, poses, frames=np.zeros(3))
    np.testing.assert_array_equal(still[0], still[2])
    d = rays(poses[:1])
    d /= np.linalg.norm(d, axis=-1, keepdims=True)
    scale = 46.0 / (d[..., 2] + 0.12)
    moved = pattern_channels(PATTERN, sky[:1], K, poses[:1], frames=np.array([24 * 60]))[0]
    for size in range(2):
        k = CLOUD[size]
        for out, drift in ((still[0], 0.0), (moved, 24 * 60 * DRIFT)):
            expected = looked_up(PATTERN.sky, (d[..., 0] * scale + drift) * k, d[..., 1] * scale * k)
            high = d[..., 2] > 0.45  # nearer to the horizon all fade
            np.testing.assert_allclose(out[size][high], expected[high], atol=1e-3)
    assert not still[:, 3].any(), "no windows in the sky"
    assert still[0, 0].std() > 0.1


def test_windows_are_on_walls_alone_and_as_many_as_the_bays_say() -> None:
    pose = camera(0.0, 0.0, 12.0)
    wall, _ = on_plane(pose, 1, 30.0)
    ground, _ = on_plane(camera(0.0, 0.0, 12.0, down=0.8), 2, 0.0)
    out = pattern_channels(PATTERN, wall, K, pose)[0, 3]
    assert not pattern_channels(PATTERN, ground, K, camera(0.0, 0.0, 12.0, down=0.8))[0, 3].any()
    share = (1 - 2 * WALL[2]) * (0.82 - 0.25)
    # The wall shows 9 bays by 6; a pixel is a tenth of one: each side is known to about 3%.
    assert (out > 0).mean() == pytest.approx(share, rel=0.1)
    assert out[out > 0].min() >= 0.2
    assert out.max() <= 1.0
    assert len(np.unique(out[out > 0].round(4))) > 20, "each window has a number of its own"
    far, _ = on_plane(pose, 1, 300.0)
    assert not pattern_channels(PATTERN, far, K, pose)[0, 3].any(), "a pixel that holds several shows none"


@pytest.mark.parametrize(
    ("degrees", "at_work", "in_training"), [(90, True, True), (80, True, True), (74, False, True), (60, False, False)]
)
def test_what_is_not_upright_has_no_windows_at_work(degrees: float, at_work: bool, in_training: bool) -> None:
    """A slope through (0, 30, 12) that leans away from the camera: the normal's upward part is its angle's cosine."""
    pose = camera(0.0, 0.0, 12.0)
    d, lean = rays(pose), 1.0 / np.tan(np.radians(degrees))
    z = (30.0 / (d[..., 1] - lean * d[..., 2]))[None].astype(np.float32)
    assert bool(pattern_channels(PATTERN, z, K, pose)[0, 3].any()) is at_work
    assert bool(pattern_channels(PATTERN, z, K, pose, windows_on=STEEP)[0, 3].any()) is in_training


def upright_cylinder(pose: np.ndarray, radius: float, facets: int = 0) -> np.ndarray:
    """Depth [1, H, W] of a cylinder whose axis stands 30 metres before the camera; in `facets` flat sides, if given."""
    d = rays(pose)
    if facets:
        around = 2 * np.pi * (np.arange(facets) + 0.5) / facets
        normal = np.stack([np.sin(around), -np.cos(around)])
        apothem = radius * np.cos(np.pi / facets)
        towards = d[..., :2] @ normal
        with np.errstate(divide="ignore"):
            t = (apothem + 30.0 * normal[1]) / towards  # each side's plane; entered where its normal looks back
        enter = np.where(towards < 0, t, -np.inf).max(-1)
        leave = np.where(towards > 0, t, np.inf).min(-1)
        return np.where(enter < leave, enter, np.inf)[None].astype(np.float32)
    a, b, c = (d[..., :2] ** 2).sum(-1), -60.0 * d[..., 1], 900.0 - radius**2
    with np.errstate(invalid="ignore"):
        return np.nan_to_num((-b - np.sqrt(b * b - 4 * a * c)) / (2 * a), nan=np.inf)[None].astype(np.float32)


@pytest.mark.parametrize(("radius", "facets", "windows"), [(3, 0, False), (20, 0, True), (3, 16, False), (9, 4, True)])
def test_what_is_round_has_no_windows_at_work(radius: float, facets: int, windows: bool) -> None:
    """A tree's crown is upright too, at its waist; a large round tower and a square one are built."""
    pose = camera(0.0, 0.0, 12.0)
    z = upright_cylinder(pose, radius, facets)
    assert np.isfinite(z).mean() > 0.1
    assert bool(pattern_channels(PATTERN, z, K, pose)[0, 3].any()) is windows
    assert pattern_channels(PATTERN, z, K, pose, rounder_than=0.0)[0, 3].any()


def test_a_wall_may_have_bays_of_its_own() -> None:
    pose = camera(0.0, 0.0, 12.0)
    wall, _ = on_plane(pose, 1, 30.0)
    walls = np.broadcast_to(np.float32([7.2, 3.2, 0.05, 3.0]), (1, H, W, 4))
    out = pattern_channels(PATTERN, wall, K, pose, walls=walls)[0, 3]
    assert (out > 0).mean() == pytest.approx(0.9 * 0.57, rel=0.1)


def test_another_unit_of_length_is_taken_for_one() -> None:
    """A blockout in centimetres: a hundred times as deep, its pattern is that of the deepest usual shot."""
    pose, big = camera(0.0, 0.0, 200.0, down=0.6), camera(0.0, 0.0, 20_000.0, down=0.6)
    (depth, _), (deep, _) = on_plane(pose, 2, 0.0), on_plane(big, 2, 0.0)
    one = pattern_channels(PATTERN, depth, K, pose, typical=USUAL[1])
    other = pattern_channels(PATTERN, deep, K, big, typical=100.0 * USUAL[1])
    np.testing.assert_allclose(one, other, atol=0.02)  # float32 metres, a hundred times as coarse
    assert one.any()


def test_a_seed_draws_its_own() -> None:
    same, other = Pattern.of_seed(5), Pattern.of_seed(6)
    for a, b, c in zip(PATTERN, same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert abs(np.corrcoef(a.ravel(), c.ravel())[0, 1]) < 0.5
        assert a.mean() == pytest.approx(0.0, abs=1e-5)
        assert a.std() == pytest.approx(1.0, rel=1e-4)


def test_a_field_has_the_spectrum_it_was_asked_for() -> None:
    beta, n = 2.0, 256
    power = np.abs(np.fft.fft2(fractal_noise(np.random.default_rng(1), n, beta))) ** 2
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(n) * n, np.fft.fftfreq(n) * n))
    bins = [(4, 6), (40, 60)]
    low, high = (power[(k >= a) & (k < b)].mean() for a, b in bins)
    # Amplitude ~ k^(-beta/2 - 1/2) in two dimensions: power falls by ten to the beta + 1 a decade.
    assert np.log10(low / high) == pytest.approx(beta + 1.0, abs=0.15)


def test_it_is_told_behind_the_plain_channels_and_nothing_without() -> None:
    pose = camera(0.0, 0.0, 12.0)
    wall, _ = on_plane(pose, 1, 30.0)
    chance = pattern_channels(PATTERN, wall, K, pose)
    told, untold = surface_channels(wall, K, pose, pattern=chance), surface_channels(wall, K, pose)
    assert SURFACE_CHANNELS == PLAIN_CHANNELS + PATTERN_CHANNELS + BASE_CHANNELS == told.shape[1]
    np.testing.assert_array_equal(told[:, PLAIN_CHANNELS:-BASE_CHANNELS], chance)
    np.testing.assert_array_equal(told[:, :PLAIN_CHANNELS], untold[:, :PLAIN_CHANNELS])
    assert not untold[:, PLAIN_CHANNELS:].any()
