"""A take landed behind the camera: the set out of its way in the viewport, the same for F12, an undo for each click."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
pytest.importorskip("OpenEXR")

from landing_scene import glow, grey, make_take, quad, rendered  # noqa: E402
from stateful_use import NO_REGION, Layout, push  # noqa: E402
from whole_file import changes, whole_file  # noqa: E402

from farplane.addon import landing, scope  # noqa: E402
from farplane.addon.landing import foreground, set_view  # noqa: E402
from farplane.addon.ui import takes_panel  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402


@pytest.fixture
def take(scene: Any, tmp_path: Path) -> Path:
    """Of a scene with a ground that glows and a hero before it, who is in the Foreground."""
    scene.frame_step = 1
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.render.resolution_x, scene.render.resolution_y = 48, 32
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_depth, settings.color_mode = "OPEN_EXR", "32", "RGB"
    bpy.data.objects["Cube"].scale = (5, 5, 1)
    bpy.data.meshes["Cube"].materials.append(glow("Ground", 0.75))
    scope.set_listed(scene, [quad("Hero", z=5, size=0.6, emission=0.25)])
    bpy.context.view_layer.update()
    return make_take(tmp_path / "farplane" / "Scene" / "take")


def panel_draws() -> None:
    """With its buttons for what is landed."""
    takes_panel.FARPLANE_PT_landing.draw(SimpleNamespace(layout=Layout()), NO_REGION)


def land(take: Path, *kinds: str) -> None:
    bpy.ops.farplane.land(folder=str(take), kinds=set(kinds))
    panel_draws()


def test_the_set_is_hidden_in_the_viewport_alone(scene: Any, take: Path, tmp_path: Path) -> None:
    ground, hero = bpy.data.objects["Cube"], bpy.data.objects["Hero"]
    mine = quad("Hidden by the artist", z=1, size=1)
    mine.hide_set(True)
    other = scene.view_layers.new("Other")
    land(take, "background")
    before, picture = whole_file(), rendered(scene, 12, tmp_path)
    bpy.ops.farplane.hide_set()
    panel_draws()
    assert (ground.hide_get(), hero.hide_get(), mine.hide_get()) == (True, False, True)
    assert not ground.hide_get(view_layer=other)
    assert not ground.visible_get()
    np.testing.assert_array_equal(rendered(scene, 12, tmp_path), picture)
    bpy.ops.farplane.hide_set()
    assert (ground.hide_get(), mine.hide_get()) == (False, True)
    assert changes(before) == []


def test_it_is_remembered_in_the_file_and_ends_with_the_landing(scene: Any, take: Path, tmp_path: Path) -> None:
    land(take, "background")
    bpy.ops.farplane.hide_set()
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    scene = bpy.context.scene
    assert set_view.is_hidden(scene)
    assert bpy.data.objects["Cube"].hide_get()
    bpy.ops.farplane.remove(landing_id=landing.landed(scene)[0].id)
    assert not bpy.data.objects["Cube"].hide_get()
    assert not set_view.is_hidden(scene)


def test_what_the_artist_shows_again_is_not_ours_any_more(scene: Any, take: Path) -> None:
    land(take, "background")
    bpy.ops.farplane.hide_set()
    bpy.data.objects["Cube"].hide_set(False)
    assert not set_view.is_hidden(scene)
    bpy.ops.farplane.hide_set()
    assert bpy.data.objects["Cube"].hide_get()
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    assert not set_view.is_hidden(scene)
    panel_draws()


def test_with_nothing_to_hide_it_says_so(scene: Any, take: Path) -> None:
    land(take, "background")
    bpy.data.objects["Cube"].hide_set(True)
    with pytest.raises(RuntimeError, match="nothing of it is shown"):
        bpy.ops.farplane.hide_set()
    assert not set_view.is_hidden(scene)


def is_of_memory(change: str) -> bool:
    """Whether only where something lies in memory is another place: an undo reads the file anew."""
    earlier, _, later = re.sub(r"0x[0-9a-f]+", "", change.split(": ", 1)[1]).partition(" -> ")
    return earlier == later


@pytest.mark.parametrize("click", ["hide", "f12"])
def test_each_click_is_one_undo(scene: Any, take: Path, click: str) -> None:
    land(take, "background")
    push()
    before = whole_file()
    if click == "hide":
        bpy.ops.farplane.hide_set()
    else:
        land(take, "compositor")
    assert changes(before)
    push()
    bpy.ops.ed.undo()
    left = [change for change in changes(before) if not change.startswith("/all_ids/WinMan/")]  # 5.2 lists it there
    assert [change for change in left if not is_of_memory(change)] == []
    bpy.ops.ed.redo()
    scene = bpy.context.scene
    assert set_view.is_hidden(scene) if click == "hide" else foreground.of(scene) is not None


def test_f12_shows_the_plate_once_it_is_asked_for(scene: Any, take: Path, tmp_path: Path) -> None:
    land(take, "background")
    assert "F12 is without it" in session.message.text
    assert rendered(scene, 12, tmp_path)[24, 4, 0] == 0.75
    land(take, "compositor")
    assert "F12 shows the plate, the Foreground and its shadow" in session.message.text
    picture = rendered(scene, 12, tmp_path)
    assert (picture[16, 24, 0], picture[24, 4, 0]) == (0.25, grey(12))
    assert landing.landed(scene)[0].kinds == ("background", "compositor")
    bpy.ops.farplane.remove(landing_id=landing.landed(scene)[0].id, kinds={"compositor"})
    assert rendered(scene, 12, tmp_path)[24, 4, 0] == 0.75
    assert landing.landed(scene)[0].kinds == ("background",)


def test_what_f12_shows_is_told_as_it_is(scene: Any, take: Path) -> None:
    scene.render.engine = "BLENDER_WORKBENCH"
    land(take, "compositor")
    assert "this needs Cycles" in session.message.text
    scope.set_listed(scene, [])
    land(take, "compositor")
    assert "the plate alone" in session.message.text


def test_a_save_and_a_render_bring_our_scene_up_to_date(scene: Any, take: Path, tmp_path: Path) -> None:
    land(take, "compositor")
    ours = foreground.of(scene)
    assert ours is not None
    scene.cycles.samples = 7
    bpy.ops.wm.save_mainfile()
    assert ours.cycles.samples == 7
    scope.set_listed(scene, [bpy.data.objects["Hero"], quad("Late", z=6, size=0.3, emission=0.5)])
    assert rendered(scene, 12, tmp_path)[16, 24, 0] == 0.5
