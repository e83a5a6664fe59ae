"""Camera moves: by seed, rigid, in the open, and looking at something."""

import numpy as np
import pytest

from farplane.backend.train.cameras import MOVES, SENSOR, random_path
from farplane.backend.train.raymarch import exact_depth
from farplane.backend.train.world import Attributes, make_world


def world_of(kind, seed=5):
    return make_world(seed, Attributes(kind, "noon", "clear", "summer"))


@pytest.fixture(scope="module")
def hills():
    return world_of("hills")


@pytest.fixture(scope="module")
def paths(hills):
    return [random_path(hills, seed, 9, 56, 32) for seed in range(90)]


def test_a_seed_is_one_path(hills, paths):
    again = random_path(hills, 11, 9, 56, 32)
    np.testing.assert_array_equal(again.world_from_camera, paths[11].world_from_camera)
    np.testing.assert_array_equal(again.K, paths[11].K)


def test_every_move_and_lens_comes_up(paths):
    assert {p.move for p in paths} == set(MOVES)
    lens = np.array([p.K[0, 0, 0] for p in paths]) / 56 * SENSOR
    assert lens.min() >= 12
    assert lens.max() <= 200
    assert np.mean((lens > 16) & (lens < 85)) > 0.7
    assert lens.max() / lens.min() > 6


def test_poses_are_rigid(paths):
    for path in paths:
        R = path.world_from_camera[:, :3, :3]
        np.testing.assert_allclose(R @ R.transpose(0, 2, 1), np.broadcast_to(np.eye(3), R.shape), atol=1e-12)
        assert (np.linalg.det(R) > 0).all()


def test_moves_do_what_they_say(paths):
    for path in paths:
        p, f = path.world_from_camera[:, :3, 3], path.K[:, 0, 0]
        travel = np.linalg.norm(p - p[0], axis=1)
        if path.move in ("pan", "tilt", "zoom", "static"):
            assert np.allclose(travel, 0)
        if path.move in ("dolly", "truck", "orbit", "dollyzoom", "drone"):
            assert travel[-1] > 0
        assert (np.ptp(f) > 0) == (path.move in ("zoom", "dollyzoom"))
        if path.move == "dollyzoom":
            # The subject at distance D keeps its size: focal / (D - travel) is constant, so focal falls evenly.
            flat = np.hypot(*(p - p[0])[:, :2].T)
            D = flat[-1] / (1 - f[-1] / f[0])
            np.testing.assert_allclose(f / (D - flat), f[0] / D, rtol=1e-9)


def test_every_move_is_the_one_it_is_called(paths):
    found = set()
    for path in paths:
        p, R = path.world_from_camera[:, :3, 3] - path.world_from_camera[0, :3, 3], path.world_from_camera[:, :3, :3]
        right, _, ahead = R[0].T
        level = ahead * [1, 1, 0] / np.hypot(*ahead[:2])
        heading = np.unwrap(np.arctan2(R[:, 1, 2], R[:, 0, 2]))
        pitch, roll = np.arcsin(R[:, 2, 2]), np.abs(R[:, 2, 0])
        turned, tilted = abs(heading[-1] - heading[0]) > 1e-4, abs(pitch[-1] - pitch[0]) > 1e-5
        lifted = p[:, 2].max() > 1e-3
        if path.move == "static":
            np.testing.assert_array_equal(path.world_from_camera, np.repeat(path.world_from_camera[:1], 9, 0))
        elif path.move in ("dolly", "dollyzoom"):
            assert (p[-1] @ level) > 0.99 * np.hypot(*p[-1, :2])
            assert not turned
            assert not tilted
        elif path.move == "truck":
            assert abs(p[-1] @ right) > 0.99 * np.hypot(*p[-1, :2])
            assert not turned
        elif path.move == "crane":
            assert lifted
            assert np.hypot(*p[-1, :2]) == 0
            assert tilted
        elif path.move == "orbit":  # sideways, turning towards the subject: right of it, it is to the left
            assert abs(p[-1] @ right) > 0.99 * np.hypot(*p[-1, :2])
            assert (heading[-1] - heading[0]) * (p[-1] @ right) > 0
        elif path.move == "pan":
            assert turned
            assert not tilted
        elif path.move == "tilt":
            assert tilted
            assert not turned
        elif path.move == "drone":
            assert p[-1] @ level > 0
            assert lifted
            assert turned
            assert roll.max() > 0
        elif path.move == "handheld":
            assert turned
            assert tilted
            assert len(set(np.sign(np.diff(heading)))) > 1 or len(set(np.sign(np.diff(pitch)))) > 1  # it shakes
        elif path.move == "zoom":
            assert not turned
            assert path.K[-1, 0, 0] > path.K[0, 0, 0]
        found.add(path.move)
    assert found == set(MOVES)


@pytest.mark.parametrize("kind", ["alpine", "canyon", "city", "ruins", "arctic"])
def test_clips_look_at_something(kind):
    world = world_of(kind, 8)
    share = []
    for seed in range(8):
        path = random_path(world, seed, 2, 56, 32)
        K = path.K[:1] * np.array([0.5, 0.5, 1.0])[:, None]
        z = exact_depth(world, K, path.world_from_camera[:1], 28, 16)
        share.append(np.isfinite(z).mean())
    assert np.mean(np.array(share) >= 0.25) >= 0.85


def test_indoors_the_camera_stays_below_the_ceiling():
    world = world_of("interior")
    for seed in range(12):
        z = random_path(world, seed, 9, 56, 32).world_from_camera[:, 2, 3]
        assert (z < world.ceiling.z).all()
        assert (z > 0.3).all()
