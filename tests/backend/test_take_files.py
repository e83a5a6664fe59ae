"""A take's folder read back: the same arrays, and one clear error for each thing that can be wrong with it."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from farplane.addon.base_colour import write_colours
from farplane.backend.pipeline.exr import encode_depth, encode_exr
from farplane.backend.take_files import read_plate, read_take_shot, with_reference
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, Shot
from farplane.protocol.shotfile import depth_name, shot_to_json

T, H, W = 3, 34, 46
FIRST = 101


@pytest.fixture
def shot() -> Shot:
    rng = np.random.default_rng(7)
    K = np.tile(np.array([[50.0, 0, W / 2], [0, 50.0, H / 2], [0, 0, 1]]), (T, 1, 1))
    pose = np.tile(np.eye(4), (T, 1, 1))
    pose[:, 0, 3] = np.arange(T) * 0.1
    z = rng.uniform(1, 9, (T, H, W)).astype(np.float32)
    z[:, :5] = np.inf
    frames = tuple(range(FIRST, FIRST + T))
    prompt = Prompt("a valley", "fog")
    return Shot("S", frames, (W, H), Fraction(24000, 1001), CameraTrack(K, pose), DepthPass(z, 1.0, 9.0), prompt)


@pytest.fixture
def take(tmp_path: Path, shot: Shot) -> Path:
    paths = {frame: depth_name(frame) for frame in shot.frames}
    (tmp_path / "shot.json").write_text(json.dumps(shot_to_json(shot, paths)))
    for index, frame in enumerate(shot.frames):
        (tmp_path / paths[frame]).write_bytes(encode_depth(shot.depth.z[index]))
        for stem, value in (("plate", 0.25), ("reference", 3.0)):
            rgb = np.full((H, W, 3), value + index, np.float32)
            (tmp_path / f"{stem}.{frame:04d}.exr").write_bytes(encode_exr(rgb, {}))
    return tmp_path


def test_a_take_comes_back_as_it_was(take: Path, shot: Shot) -> None:
    back = read_take_shot(take)
    assert (back.frames, back.resolution, back.fps, back.prompt) == (
        shot.frames,
        shot.resolution,
        shot.fps,
        shot.prompt,
    )
    np.testing.assert_array_equal(back.camera.K, shot.camera.K)
    np.testing.assert_array_equal(back.camera.world_from_camera, shot.camera.world_from_camera)
    np.testing.assert_array_equal(back.depth.z, shot.depth.z)
    # 0.25 + index and 3 + index are exact in half floats
    np.testing.assert_array_equal(read_plate(take, back)[:, 0, 0, 0], [0.25, 1.25, 2.25])
    reference = with_reference(take, back).reference
    assert reference is not None
    np.testing.assert_array_equal(reference[:, 3, 4, 1], [3, 4, 5])


def test_without_a_reference_there_is_none(take: Path) -> None:
    for path in take.glob("reference.*"):
        path.unlink()
    assert with_reference(take, read_take_shot(take)).reference is None


@pytest.fixture
def told(take: Path, shot: Shot) -> np.ndarray:
    """The take with base colours, as the add-on writes them; returned: the colours."""
    rng = np.random.default_rng(9)
    colours = rng.integers(0, 256, (T, H, W, 4), np.uint8)
    colours[..., 3] = 255 * np.isfinite(shot.depth.z)
    with_them = replace(shot, base_colour=colours)
    paths = {frame: depth_name(frame) for frame in shot.frames}
    (take / "shot.json").write_text(json.dumps(shot_to_json(with_them, paths)))
    for index, frame in enumerate(shot.frames):
        (take / f"base_colour.{frame:04d}.png").write_bytes(write_colours(colours[index]))
    return colours


def test_base_colours_come_back_to_the_bit(take: Path, told: np.ndarray) -> None:
    back = read_take_shot(take)
    np.testing.assert_array_equal(back.base_colour, told)
    back.validate()


def test_a_take_without_base_colours_has_none(take: Path) -> None:
    assert read_take_shot(take).base_colour is None


COLOURS_BROKEN = {
    "gone": ("base colour", lambda p: p.unlink()),
    "cut": ("base colour", lambda p: p.write_bytes(p.read_bytes()[:-200])),
    "no picture": ("base colour", lambda p: p.write_bytes(b"text")),
    "a JPEG": ("base colour", lambda p: Image.new("RGB", (W, H)).save(p, "JPEG")),
    "another size": ("base colour", lambda p: p.write_bytes(write_colours(np.zeros((8, 8, 4), np.uint8)))),
    "no alpha": ("base colour", lambda p: Image.new("RGB", (W, H)).save(p)),
    "half an alpha": ("base colour", lambda p: p.write_bytes(write_colours(np.full((H, W, 4), 128, np.uint8)))),
    "path outside": ("shot.json", lambda p: first_frame(p.parent, base_colour="../base_colour.0101.png")),
    "not in every frame": ("shot.json", lambda p: without_first(p.parent)),
}


def without_first(take: Path) -> None:
    frames = json.loads((take / "shot.json").read_text())["frames"]
    del frames[0]["base_colour"]
    edited(take, frames=frames)


@pytest.mark.parametrize("name", COLOURS_BROKEN)
@pytest.mark.usefixtures("told")
def test_broken_base_colours_are_named(take: Path, name: str) -> None:
    field, damage = COLOURS_BROKEN[name]
    damage(take / "base_colour.0102.png")
    with pytest.raises(FarplaneError) as error:
        read_take_shot(take)
    assert error.value.field == field


def edited(take: Path, **changes: object) -> None:
    data = json.loads((take / "shot.json").read_text())
    data.update(changes)
    (take / "shot.json").write_text(json.dumps(data))


def first_frame(take: Path, **changes: object) -> None:
    frames = json.loads((take / "shot.json").read_text())["frames"]
    frames[0].update(changes)
    edited(take, frames=frames)


def told_frame(take: Path, **changes: object) -> None:
    frames = json.loads((take / "shot.json").read_text())["frames"]
    frames = [frame | {"frame_K": frame["K"]} for frame in frames]
    edited(take, frames=frames, frame={"resolution": [1920, 1080], "pixel_aspect": 1.0} | changes)


BROKEN = {
    "no folder": ("take", lambda t: [p.unlink() for p in t.iterdir()] and t.rmdir()),
    "no shot.json": ("take", lambda t: (t / "shot.json").unlink()),
    "text": ("shot.json", lambda t: (t / "shot.json").write_text("{")),
    "a list": ("shot.json", lambda t: (t / "shot.json").write_text("[]")),
    "deep nesting": ("shot.json", lambda t: (t / "shot.json").write_text("[" * 100_000)),
    "no frames": ("shot.json", lambda t: (t / "shot.json").write_text("{}")),
    "huge": ("resolution", lambda t: edited(t, resolution=[32768, 32768])),
    "tiny": ("resolution", lambda t: edited(t, resolution=[47, 3])),
    "a frame that is none": ("frame", lambda t: told_frame(t, resolution=[0, 1080])),
    "half a frame": ("shot.json", lambda t: edited(t, frame={"resolution": [1920, 1080], "pixel_aspect": 1.0})),
    "a frame of words": ("shot.json", lambda t: edited(t, frame="wide")),
    "not a size": ("shot.json", lambda t: edited(t, resolution="big")),
    "NaN in K": ("camera", lambda t: first_frame(t, K=[[float("nan"), 0, 1], [0, 1, 1], [0, 0, 1]])),
    "zero pose": ("camera", lambda t: first_frame(t, world_from_camera=np.zeros((4, 4)).tolist())),
    "path outside": ("shot.json", lambda t: first_frame(t, depth="../depth.0101.exr")),
    "path from the root": ("shot.json", lambda t: first_frame(t, depth="/etc/hostname")),
    "depth gone": ("depth", lambda t: (t / "depth.0102.exr").unlink()),
    "depth cut": ("depth", lambda t: (t / "depth.0102.exr").write_bytes((t / "depth.0102.exr").read_bytes()[:-40])),
    "depth of another size": ("depth", lambda t: (t / "depth.0102.exr").write_bytes(encode_depth(np.ones((8, 8))))),
    "depth of zeros": ("depth", lambda t: (t / "depth.0102.exr").write_bytes(encode_depth(np.zeros((H, W))))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_shot_is_named(take: Path, name: str) -> None:
    field, damage = BROKEN[name]
    damage(take)
    with pytest.raises(FarplaneError) as error:
        read_take_shot(take)
    assert error.value.field == field


@pytest.mark.parametrize("damage", ["gone", "cut", "small"])
def test_a_broken_plate_is_named(take: Path, damage: str) -> None:
    shot, path = read_take_shot(take), take / "plate.0102.exr"
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    else:
        path.write_bytes(encode_exr(np.ones((8, 8, 3), np.float32), {}))
    with pytest.raises(FarplaneError, match=r"plate\.0102\.exr"):
        read_plate(take, shot)


def test_a_second_shot_of_the_same_scene_is_read_by_name(take: Path, shot: Shot) -> None:
    later = replace(shot, name="S2", frames=tuple(f + T for f in shot.frames))
    data = json.loads((take / "shot.json").read_text())
    for index, frame in enumerate(later.frames):
        (take / depth_name(frame)).write_bytes(encode_depth(shot.depth.z[index]))
    other = shot_to_json(later, {f: depth_name(f) for f in later.frames})
    edited(take, shots=data["shots"] + other["shots"], frames=data["frames"] + other["frames"])
    assert read_take_shot(take, "S2").frames == later.frames
    assert read_take_shot(take).frames == shot.frames
