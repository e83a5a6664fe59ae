"""protocol/shotfile.py: both ways, through real JSON text."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, RenderSettings, SceneFrame, Shot
from farplane.protocol.shotfile import (
    base_colour_paths,
    depth_name,
    settings_from_json,
    shot_from_json,
    shot_names,
    shot_to_json,
    shots_to_json,
)


def make_shot(seed=0, frames=(1, 3, 5), fps=Fraction(24000, 1001), name="dolly"):
    rng = np.random.default_rng(seed)
    count = len(frames)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    poses[:, :3, :3] *= np.sign(np.linalg.det(poses[:, :3, :3]))[:, None, None]
    poses[:, :3, 3] = rng.normal(size=(count, 3)) * 100
    K = np.tile(np.eye(3), (count, 1, 1))
    K[:, 0, 0], K[:, 1, 1], K[:, :2, 2] = rng.uniform(40, 80, count), 60.0, rng.uniform(0, 64, (count, 2))
    z = rng.uniform(1, 50, (count, 32, 64)).astype(np.float32)
    z[:, 0] = np.inf
    return Shot(
        name, tuple(frames), (64, 32), fps, CameraTrack(K, poses), DepthPass(z, 1.0, 50.0), Prompt("fog", "rain")
    )


def through_text(data):
    return json.loads(json.dumps(data, allow_nan=False))


@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 1001))
def test_round_trip_is_exact(seed, numerator, denominator):
    """Doubles survive JSON bit for bit, the frame rate as a fraction."""
    shot = make_shot(seed, fps=Fraction(numerator, denominator)).validate()
    paths = {frame: depth_name(frame) for frame in shot.frames}
    back = shot_from_json(through_text(shot_to_json(shot, paths, "Camera")), shot.depth.z)
    assert (back.name, back.frames, back.resolution, back.fps) == (shot.name, shot.frames, shot.resolution, shot.fps)
    assert back.prompt == shot.prompt
    assert (back.depth.near, back.depth.far) == (shot.depth.near, shot.depth.far)
    np.testing.assert_array_equal(back.camera.K, shot.camera.K)
    np.testing.assert_array_equal(back.camera.world_from_camera, shot.camera.world_from_camera)
    np.testing.assert_array_equal(back.depth.z, shot.depth.z)
    back.validate()


def test_the_fields_the_format_promises():
    shot = make_shot()
    data = through_text(shot_to_json(shot, {f: depth_name(f) for f in shot.frames}, "Cam.001"))
    assert data["resolution"] == [64, 32]
    assert data["fps"] == [24000, 1001]
    assert (data["near"], data["far"]) == (1.0, 50.0)
    assert [entry["frame"] for entry in data["frames"]] == [1, 3, 5]
    for entry in data["frames"]:
        assert set(entry) == {"frame", "camera", "K", "world_from_camera", "depth"}
        assert entry["camera"] == "Cam.001"
        assert np.shape(entry["K"]) == (3, 3)
        assert np.shape(entry["world_from_camera"]) == (4, 4)
        assert entry["depth"] == f"depth.{entry['frame']:04d}.exr"


def test_several_shots_in_one_file_stay_apart():
    one = make_shot(1, frames=(1, 2, 3), name="wide")
    two = replace(make_shot(2, frames=(4, 5), name="close"), depth=DepthPass(np.full((2, 32, 64), 7.0), 0.5, 90.0))
    data = through_text(shots_to_json([one, two], ["A", "B"]))
    assert shot_names(data) == ("wide", "close")
    assert (data["near"], data["far"]) == (0.5, 90.0)
    assert [entry["camera"] for entry in data["frames"]] == ["A", "A", "A", "B", "B"]
    back = shot_from_json(data, two.depth.z, "close")
    assert back.frames == (4, 5)
    assert (back.depth.near, back.depth.far) == (0.5, 90.0)
    np.testing.assert_array_equal(back.camera.K, two.camera.K)
    with pytest.raises(FarplaneError, match="Name one of wide, close"):
        shot_from_json(data, two.depth.z)
    with pytest.raises(FarplaneError, match="middle is not in the file"):
        shot_from_json(data, two.depth.z, "middle")


def test_the_scenes_frame_is_told_with_its_camera_or_not_at_all():
    shot = make_shot()
    K = shot.camera.K * [[7.5], [4.25], [1.0]]
    K[:, 0, 0] += np.arange(len(K))  # an animated lens
    frame = SceneFrame((1920, 1080), 1.5, K)
    data = through_text(shot_to_json(replace(shot, frame=frame)))
    back = shot_from_json(data, shot.depth.z).frame
    assert (back.resolution, back.pixel_aspect) == ((1920, 1080), 1.5)
    np.testing.assert_array_equal(back.K, K)
    assert shot_from_json(through_text(shot_to_json(shot)), shot.depth.z).frame is None  # files until 0.3
    del data["frames"][1]["frame_K"]
    with pytest.raises(FarplaneError, match="it has no 'frame_K'"):
        shot_from_json(data, shot.depth.z)


def test_a_sun_is_told_in_every_frame_or_in_none():
    shot = make_shot()
    sun = np.array([[0.6, 0, 0.8], [0, 1, 0], [0.36, 0.48, 0.8]])
    data = through_text(shot_to_json(replace(shot, sun=sun)))
    np.testing.assert_array_equal(shot_from_json(data, shot.depth.z).sun, sun)
    assert shot_from_json(through_text(shot_to_json(shot)), shot.depth.z).sun is None
    del data["frames"][1]["sun"]
    with pytest.raises(FarplaneError, match="it has no 'sun'"):
        shot_from_json(data, shot.depth.z)


def test_base_colours_lie_beside_the_depth():
    shot = make_shot()
    told = replace(shot, base_colour=np.full((3, 32, 64, 4), 255, np.uint8))
    plain = through_text(shots_to_json([shot, told], ["A", "B"], {f: f"near/{depth_name(f)}" for f in shot.frames}))
    files = [base_colour_paths(plain["frames"][:3]), base_colour_paths(plain["frames"][3:])]
    assert files == [[], [f"near/base_colour.{f:04d}.png" for f in shot.frames]]
    with pytest.raises(FarplaneError, match="3 of 6 frames"):
        base_colour_paths(plain["frames"])
    assert base_colour_paths(through_text(shot_to_json(told))["frames"]) == []  # no files at all
    back = shot_from_json(through_text(shot_to_json(told)), told.depth.z, base_colour=told.base_colour)
    np.testing.assert_array_equal(back.base_colour, told.base_colour)


def test_settings_come_back():
    settings = RenderSettings("m", 2**53 - 1, 7, 2.5, "DWAB")
    assert settings_from_json(through_text(shot_to_json(make_shot(), settings=settings))) == settings
    assert settings_from_json(shot_to_json(make_shot())) == RenderSettings()
    with pytest.raises(FarplaneError, match=r"shot\.json"):
        settings_from_json({"settings": {"unknown": 1}})


@pytest.mark.parametrize("key", ["resolution", "fps", "frames", "shots"])
@pytest.mark.parametrize("value", [None, [], "x", [None]])
def test_damaged_files_are_told(key, value):
    data = shot_to_json(make_shot())
    z = np.ones((3, 32, 64), np.float32)
    data[key] = value
    with pytest.raises(FarplaneError):
        shot_from_json(data, z).validate()
    del data[key]
    with pytest.raises(FarplaneError, match="damaged"):
        shot_from_json(data, z)
