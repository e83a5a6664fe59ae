"""Example scenes for `farplane evaluate --cycles`: the whole way is asked for once, and its take read back."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from farplane.backend import cycles_takes
from farplane.backend.cycles_takes import take_of
from farplane.backend.pipeline.exr import encode_depth, encode_exr
from farplane.backend.render_scene import Order
from farplane.backend.train.cases import Size
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, RenderSettings, Shot
from farplane.protocol.shotfile import depth_name, shot_to_json

SIZE = Size(64, 32, 3)


class Blender:
    """Writes what the whole way writes: a plate, enlarged from half its size or not, and the scene's own render."""

    def __init__(self, *, upscaled: str = "", reference: bool = True) -> None:
        self.orders: list[Order] = []
        self.upscaled, self.reference = upscaled, reference

    def __call__(self, order: Order, _: object) -> None:
        self.orders.append(order)
        assert order.size is not None
        assert order.frames is not None
        (width, height), (first, last) = order.size, order.frames
        frames, count = tuple(range(first, last + 1)), last - first + 1
        K = np.tile(np.array([[50.0, 0, width / 2], [0, 50.0, height / 2], [0, 0, 1]]), (count, 1, 1))
        track = CameraTrack(K, np.tile(np.eye(4), (count, 1, 1)))
        z = np.full((count, height, width), 5.0, np.float32)
        shot = Shot("S", frames, order.size, Fraction(24), track, DepthPass(z, 1.0, 9.0), Prompt("a valley"))
        order.out.mkdir(parents=True)
        paths = {frame: depth_name(frame) for frame in frames}
        (order.out / "shot.json").write_text(json.dumps(shot_to_json(shot, paths)))
        header = {"farplane:upscaled": self.upscaled} if self.upscaled else {}
        checks = np.indices((height, width)).sum(0) % 2  # whose halves are all .5
        for index, frame in enumerate(frames):
            (order.out / paths[frame]).write_bytes(encode_depth(z[index]))
            rgb = np.repeat(checks[..., None], 3, -1).astype(np.float32)
            (order.out / f"plate.{frame:04d}.exr").write_bytes(encode_exr(rgb, header))
            if self.reference:
                light = np.full((height, width, 3), 3.0 + index, np.float32)
                (order.out / f"reference.{frame:04d}.exr").write_bytes(encode_exr(light, {}))
        (order.out / "report.json").write_text("{}")


def test_the_whole_way_is_gone_once_and_the_take_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blender = Blender()
    monkeypatch.setattr(cycles_takes, "render", blender)
    scene, folder = tmp_path / "valley.blend", tmp_path / "cases" / "take"
    settings = RenderSettings(seed=4)
    shot, plate, render = take_of(scene, folder, settings, SIZE)
    again = take_of(scene, folder, settings, SIZE)
    (order,) = blender.orders
    assert (order.scene, order.frames, order.size, order.settings) == (scene, (1, 3), (64, 32), settings)
    assert order.prompt is None  # the scene's own
    assert order.reference
    assert shot.prompt.text == "a valley"
    assert plate.shape == render.shape == (3, 32, 64, 3)
    np.testing.assert_array_equal(render[:, 0, 0, 0], [3, 4, 5])
    for a, b in zip((plate, render), again[1:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_enlarged_plate_is_measured_at_the_size_it_was_made_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cycles_takes, "render", Blender(upscaled="depth-guided from 32x16"))
    _, plate, render = take_of(tmp_path / "valley.blend", tmp_path / "take", RenderSettings(), SIZE)
    assert plate.shape == (3, 16, 32, 3)
    np.testing.assert_array_equal(plate, np.full_like(plate, 0.5))
    assert render.shape == (3, 32, 64, 3)


def test_a_take_without_the_scenes_own_render_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cycles_takes, "render", Blender(reference=False))
    with pytest.raises(FarplaneError) as caught:
        take_of(tmp_path / "valley.blend", tmp_path / "take", RenderSettings(), SIZE)
    assert caught.value.field == "reference"
