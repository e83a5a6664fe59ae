"""A storyboard in the sequencer: the markers' shots, frame for frame, with their prompts, and gone again as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
OpenEXR = pytest.importorskip("OpenEXR")

from farplane.addon import storyboard  # noqa: E402
from farplane.addon.exr import write_rgb  # noqa: E402
from farplane.addon.landing import land, landed  # noqa: E402
from farplane.addon.landing import remove as remove_landed  # noqa: E402
from farplane.addon.storyboard import Frame  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402

W, H = 96, 64


@pytest.fixture
def scene() -> Any:
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 30
    scene.render.resolution_x, scene.render.resolution_y = W, H
    for name, frame in (("wide", 1), ("close", 11), ("end", 20)):
        camera = bpy.data.objects.new(name, bpy.data.cameras.new(name))
        scene.collection.objects.link(camera)
        scene.timeline_markers.new(name, frame=frame).camera = camera
    scene.camera = bpy.data.objects["wide"]
    scene.sequence_editor_clear()  # some Blenders begin with an empty one
    return scene


def plate(folder: Path, frames: range, base: float) -> Path:
    """A plate whose frame n is grey base + n/64, exact in half float."""
    folder.mkdir(parents=True)
    for number in frames:
        pixels = np.full((H, W, 3), base + number / 64, np.float32)
        (folder / f"plate.{number:04d}.exr").write_bytes(write_rgb(pixels))
    return folder


def strips(scene: Any) -> list[Any]:
    editor = scene.sequence_editor
    if editor is None:
        return []
    return list(editor.strips if hasattr(editor, "strips") else editor.sequences)


def ours(scene: Any) -> list[str]:
    """The custom properties that we have left on a scene."""
    return [key for key in scene.keys() if key.startswith("farplane")]  # noqa: SIM118  (bpy's own kind)


def spans(scene: Any, kind: str) -> list[tuple[str, int, int, int]]:
    found = [s for s in strips(scene) if s.type == kind]
    return sorted((s.name, s.channel, int(s.frame_final_start), int(s.frame_final_end)) for s in found)


def rendered(scene: Any, frame: int, folder: Path) -> np.ndarray:
    """The sequencer's picture at a frame, scene-linear float."""
    render = scene.render
    render.use_sequencer = True
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format, render.image_settings.color_depth = "OPEN_EXR", "32"
    scene.frame_set(frame)
    render.filepath = str(folder / "seen.exr")
    bpy.ops.render.render(write_still=True, scene=scene.name)
    with OpenEXR.File(render.filepath, separate_channels=True) as file:
        channels = file.parts[0].channels
        return np.stack([channels[name].pixels for name in "RGB"], -1)


def test_the_markers_are_the_shots(scene: Any) -> None:
    storyboard.set_marker_prompt(scene, "close", "a face in fog")
    shots = storyboard.board_shots(scene, "a wide valley")
    assert [(s.plan.name, s.marker, s.prompt, s.plan.frames[0], s.plan.frames[-1], s.stop) for s in shots] == [
        ("wide", "wide", "a wide valley", 1, 10, 11),
        ("close", "close", "a face in fog", 11, 19, 20),
        ("end", "end", "a wide valley", 20, 30, 31),
    ]
    part = storyboard.board_shots(scene, "x", (5, 14))
    assert [(s.plan.name, s.plan.frames[0], s.stop) for s in part] == [("wide", 5, 11), ("close", 11, 15)]
    storyboard.set_marker_prompt(scene, "close", " ")
    assert storyboard.PROMPTS not in scene, "nothing is left of the last one"


def test_two_markers_of_one_name_share_its_prompt_and_stay_two_shots(scene: Any) -> None:
    scene.timeline_markers["end"].name = "close"
    storyboard.set_marker_prompt(scene, "close", "fog")
    shots = storyboard.board_shots(scene, "x")
    assert [(s.plan.name, s.prompt) for s in shots] == [("wide", "x"), ("close 11", "fog"), ("close 20", "fog")]


def test_of_alternatives_a_storyboard_takes_the_first(scene: Any) -> None:
    storyboard.set_marker_prompt(scene, "end", "night")
    shots = storyboard.board_shots(scene, "a valley at {dawn|noon}")
    assert [shot.prompt for shot in shots] == ["a valley at dawn", "a valley at dawn", "night"]
    with pytest.raises(FarplaneError, match="not closed"):
        storyboard.board_shots(scene, "a valley at {dawn")


def test_without_camera_markers_it_says_how_to_make_one(scene: Any) -> None:
    for marker in scene.timeline_markers:
        marker.camera = None
    with pytest.raises(FarplaneError, match="Bind Camera to Markers"):
        storyboard.board_shots(scene, "x")


def test_every_frame_shows_its_own_picture(scene: Any, tmp_path: Path) -> None:
    """The second shot has a frame step of 3 and stops short: the frame before stays until the third begins."""
    frames = [
        Frame("wide", "a wide valley", plate(tmp_path / "a", range(1, 11), 0.0), 1, 11),
        Frame("close", "a face", plate(tmp_path / "b", range(11, 19, 3), 1.0), 11, 20),
        Frame("end", "night", None, 20, 31),
    ]
    assert storyboard.lay(scene, frames, "id1", "Board") == 1
    assert not scene.render.use_sequencer, "the scene goes on rendering its 3D view"
    assert spans(scene, "IMAGE") == [("close", 1, 11, 20), ("wide", 1, 1, 11)]
    texts = [("close prompt", 2, 11, 20), ("end prompt", 2, 20, 31), ("wide prompt", 2, 1, 11)]
    assert spans(scene, "TEXT") == texts
    assert {s.name: s.text for s in strips(scene) if s.type == "TEXT"}["close prompt"] == "a face"
    for frame, value in ((1, 1 / 64), (10, 10 / 64), (11, 1 + 11 / 64), (13, 1 + 11 / 64), (14, 1 + 14 / 64)):
        seen = rendered(scene, frame, tmp_path)
        assert (seen[: H // 3] == value).all(), f"frame {frame}"  # above the words
    assert (rendered(scene, 19, tmp_path)[: H // 3] == 1 + 17 / 64).all()
    seen = rendered(scene, 10, tmp_path)
    assert (seen[H // 2 :] != 10 / 64).any(), "the prompt stands at the foot"


def test_a_draft_of_another_size_fills_the_picture(scene: Any, tmp_path: Path) -> None:
    """Drafts have the model's size, not the scene's."""
    scene.render.resolution_x, scene.render.resolution_y = 2 * W, 2 * H
    storyboard.lay(scene, [Frame("wide", "x", plate(tmp_path / "a", range(1, 3), 0.5), 1, 3)], "id1", "Board")
    seen = rendered(scene, 2, tmp_path)
    assert seen.shape[:2] == (2 * H, 2 * W)
    # half a source pixel at the border is blended with what lies beside the strip
    assert (seen[2:H, 2:-2] == 0.5 + 2 / 64).all()


def test_what_the_artist_has_stays_and_everything_of_ours_goes(scene: Any, tmp_path: Path) -> None:
    editor = scene.sequence_editor_create()
    own = editor.strips if hasattr(editor, "strips") else editor.sequences
    by_length = "length" in own.bl_rna.functions["new_effect"].parameters.keys()  # noqa: SIM118
    own.new_effect(
        name="Mine", type="COLOR", channel=3, frame_start=5, **({"length": 50} if by_length else {"frame_end": 55})
    )
    scene.sequencer_colorspace_settings.name = "sRGB"
    before = [(s.name, s.channel, s.frame_final_start, s.frame_final_end) for s in strips(scene)]
    blocks = {name: len(getattr(bpy.data, name)) for name in ("images", "fonts", "texts", "actions", "node_groups")}
    first = [Frame("wide", "valley", plate(tmp_path / "a", range(1, 11), 0.0), 1, 11)]
    assert storyboard.lay(scene, first, "id1", "Board 1") == 4
    assert scene.render.use_sequencer, "it had strips of the artist's, so it renders them as before"
    assert storyboard.lay(scene, first, "id2", "Board 2") == 6, "a second one replaces nothing"
    assert storyboard.laid(scene) == {"id1": "Board 1", "id2": "Board 2"}
    storyboard.remove(scene, "id1")
    assert storyboard.laid(scene) == {"id2": "Board 2"}
    assert "Linear" in scene.sequencer_colorspace_settings.name
    storyboard.remove(scene, "id2")
    assert [(s.name, s.channel, s.frame_final_start, s.frame_final_end) for s in strips(scene)] == before
    assert scene.sequencer_colorspace_settings.name == "sRGB"
    assert {name: len(getattr(bpy.data, name)) for name in blocks} == blocks
    assert not ours(scene)


@pytest.mark.parametrize("first_out", ["storyboard", "strip"])
def test_beside_a_landed_strip_either_may_go_first(scene: Any, tmp_path: Path, first_out: str) -> None:
    """Both want linear light; the setting of before comes back with the last of them."""
    scene.sequencer_colorspace_settings.name = "sRGB"
    take = plate(tmp_path / "a", range(1, 11), 0.0)
    land(scene, scene.camera, take, ["strip"])
    storyboard.lay(scene, [Frame("wide", "valley", take, 1, 11)], "id1", "Board")
    removals = {
        "storyboard": lambda: storyboard.remove(scene, "id1"),
        "strip": lambda: remove_landed(scene, landed(scene)[0].id),
    }
    removals.pop(first_out)()
    assert "Linear" in scene.sequencer_colorspace_settings.name
    assert len(strips(scene)) == (1 if first_out == "storyboard" else 2)
    removals.popitem()[1]()
    assert scene.sequencer_colorspace_settings.name == "sRGB"
    assert scene.sequence_editor is None


def test_an_error_halfway_leaves_nothing(scene: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    good = Frame("wide", "valley", plate(tmp_path / "a", range(1, 11), 0.0), 1, 11)
    with pytest.raises(FarplaneError, match="holds no plate"):
        storyboard.lay(scene, [good, Frame("close", "x", empty, 11, 20)], "id1", "Board")
    with pytest.raises(FarplaneError, match="no shots"):
        storyboard.lay(scene, [], "id1", "Board")
    with pytest.raises(FarplaneError, match="no shots"):
        storyboard.lay(scene, [good, Frame("dusk", "a variation's", None, 0, 0)], "id1", "Board")
    assert scene.sequence_editor is None
    assert not ours(scene)


def test_a_storyboard_survives_saving_and_moving(scene: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(home / "shot.blend"))
    take = plate(home / "farplane" / "wide" / "take 001", range(1, 11), 0.25)
    storyboard.lay(scene, [Frame("wide", "é" * 400, take, 1, 11)], "id1", "Board")
    bpy.ops.wm.save_mainfile()
    moved = tmp_path / "elsewhere"
    home.rename(moved)
    bpy.ops.wm.open_mainfile(filepath=str(moved / "shot.blend"))
    scene = bpy.context.scene
    assert storyboard.laid(scene) == {"id1": "Board"}
    assert (rendered(scene, 7, tmp_path)[0] == 0.25 + 7 / 64).all()
    (text,) = [s.text for s in strips(scene) if s.type == "TEXT"]
    assert len(text.encode()) <= storyboard.MAX_TEXT
    assert text.endswith("…")
    storyboard.remove(scene, "id1")
    assert scene.sequence_editor is None
