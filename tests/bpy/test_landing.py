"""A take landed in a scene, each way: real pixels read back, frame for frame.

The scene and its takes are those of landing_scene.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
pytest.importorskip("OpenEXR")

import landing_scene  # noqa: E402
from landing_scene import HOT, ROUNDING, STEPPED, H, W, grey, make_take, plate_pixels, quad, rendered  # noqa: E402
from whole_file import changes, whole_file  # noqa: E402

from farplane.addon.landing import land, remove  # noqa: E402

scene = landing_scene.scene

NEXT_TO_HOT_IN_WINDOW = 0.01  # Cycles' pixel filter is 0.01 px wide: linear texture lookup mixes that much in


# ---- each kind, by its pixels -------------------------------------------------------------------------------


def test_projection_shows_each_frame_exactly(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["projection"])
    for frame, shown in ((2, 11), (10, 11), (11, 11), (12, 12), (13, 13), (14, 14), (15, 14), (99, 14)):
        picture = rendered(scene, frame, tmp_path)
        # grey pixels away from the hot one: the same half-float value comes back
        np.testing.assert_allclose(picture[20:, 20:], grey(shown), rtol=ROUNDING)
        assert picture[HOT[1], HOT[0]] == pytest.approx(4.0, abs=4 * NEXT_TO_HOT_IN_WINDOW)


def test_a_take_that_tells_no_camera_is_seen_through_whichever_looks(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    (take / "shot.json").write_text(json.dumps({"frames": [{"frame": n} for n in (11, 12, 13, 14)]}))
    land(scene, scene.camera, take, ["projection"])
    scene.camera.location.x = 1.0
    np.testing.assert_allclose(rendered(scene, 12, tmp_path)[20:, 20:], grey(12), rtol=ROUNDING)


def test_projection_goes_on_what_was_chosen_only(scene: Any, tmp_path: Path) -> None:
    near = quad("Near", z=5, size=0.6, emission=0.25)
    twin = bpy.data.objects.new("Twin", near.data)  # shares the mesh and its material
    twin.location = (1.2, 0, 5)
    scene.collection.objects.link(twin)
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["projection"], objects=[twin, bpy.data.objects["Ground"]])
    assert near.active_material.name == "Near material"
    picture = rendered(scene, 12, tmp_path)
    assert picture[H // 2, W // 2, 0] == 0.25
    assert picture[H // 2, W - 8, 0] == pytest.approx(grey(12), rel=ROUNDING)


def test_strip_plays_each_frame_exactly(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["strip"])
    assert not scene.render.use_sequencer, "a scene without strips goes on rendering its 3D view"
    scene.render.use_sequencer = True
    for frame in (11, 12, 14):
        picture = rendered(scene, frame, tmp_path)
        np.testing.assert_array_equal(picture, plate_pixels(frame).astype(np.float32))
    for frame in (10, 15):
        assert not rendered(scene, frame, tmp_path).any()


def test_strip_leaves_an_edit_its_channels(scene: Any, tmp_path: Path) -> None:
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strips.new_effect(name="Mine", type="COLOR", channel=1, frame_start=1, **length(40))
    before = whole_file()
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["strip"])
    assert scene.render.use_sequencer
    ours = next(strip for strip in strips if strip.name != "Mine")
    assert (ours.channel, ours.frame_final_start, ours.frame_final_end) == (2, 11, 15)
    remove(scene, take)
    assert changes(before) == []


def length(frames: int) -> dict:
    return {"length": frames} if bpy.app.version >= (5, 0, 0) else {"frame_end": 1 + frames}


def evaluated_background(scene: Any, frame: int, index: int = 0) -> tuple[int, bool]:
    """(file number, shown) of the camera's background at a frame, by Blender's own rule (image.cc)."""
    scene.frame_set(frame)
    camera = scene.camera.evaluated_get(bpy.context.evaluated_depsgraph_get())
    user = camera.data.background_images[index].image_user
    inside = 0 <= frame - user.frame_start + 1 <= user.frame_duration
    clamped = min(max(frame - user.frame_start + 1, 0), user.frame_duration)
    return clamped + user.frame_offset, inside


def test_background_follows_the_shot(scene: Any, tmp_path: Path) -> None:
    """Background images draw in a window only; what Blender computes their file from is read here (gui/ looks)."""
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["background"])
    data = scene.camera.data
    image = data.background_images[0].image
    assert data.show_background_images
    assert image.source == "SEQUENCE"
    assert image.colorspace_settings.name == "Linear Rec.709", "whatever the file's header says"
    assert [evaluated_background(scene, n) for n in (10, 11, 12, 13, 14, 15)] == [
        (11, False), (11, True), (12, True), (13, True), (14, True), (14, False),
    ]  # fmt: skip


# ---- frame step, ranges -------------------------------------------------------------------------------------


def test_a_frame_step_holds_each_frame_until_the_next(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take", STEPPED)
    land(scene, scene.camera, take, ["projection", "background", "strip"])
    expected = [(99, 100), (100, 100), (101, 100), (102, 100), (103, 103), (107, 106), (109, 109), (110, 109)]
    for frame, shown in expected:
        assert rendered(scene, frame, tmp_path)[20, 20, 0] == pytest.approx(grey(shown), rel=ROUNDING), (
            f"projection at {frame}"
        )
        assert evaluated_background(scene, frame)[0] == shown, f"background at {frame}"
    scene.render.use_sequencer = True
    for frame, shown in expected[1:-1]:
        assert rendered(scene, frame, tmp_path)[20, 20, 0] == grey(shown), f"strip at {frame}"
    scene.render.use_sequencer = False
    remove(scene, take)
    bpy.data.objects.remove(bpy.data.objects["Ground"])
    land(scene, scene.camera, take, ["compositor"])
    for frame, shown in expected[1:-1]:
        assert rendered(scene, frame, tmp_path)[20, 20, 0] == grey(shown), f"compositor at {frame}"


def test_two_shots_of_one_camera_share_a_scene(scene: Any, tmp_path: Path) -> None:
    bpy.data.objects.remove(bpy.data.objects["Ground"])
    kinds = ["background", "compositor", "strip"]
    before = whole_file()
    first = make_take(tmp_path / "shot 1" / "a", (1, 3, 5))
    second = make_take(tmp_path / "shot 2" / "a", (8, 10, 12))
    land(scene, scene.camera, first, kinds)
    land(scene, scene.camera, second, kinds)
    for frame, shown in ((1, 1), (4, 3), (5, 5), (9, 8), (12, 12)):
        assert rendered(scene, frame, tmp_path)[20, 20, 0] == grey(shown)
        assert (shown, True) in (evaluated_background(scene, frame, 0), evaluated_background(scene, frame, 1))
    assert not rendered(scene, 7, tmp_path).any()
    remove(scene, first)  # the second one's keys move up with its background image
    assert evaluated_background(scene, 11) == (10, True)
    assert rendered(scene, 9, tmp_path)[20, 20, 0] == grey(8)
    remove(scene, second)
    assert changes(before) == []
