"""The panel Foreground, and Show Depth, which must show exactly what is sent after every change that changes it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from farplane.addon import scope  # noqa: E402
from farplane.addon.ui import depth_view, scope_panel  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402


@pytest.fixture
def staged(scene: Any) -> Any:
    """A hero in a collection of his own over the square, a prop that a collection instances, and a second layer."""
    hero = bpy.data.collections.new("Hero")
    scene.collection.children.link(hero)
    square = scene.objects["Cube"].data
    for name, x in (("hero", 0.5), ("hat", -0.5)):
        obj = bpy.data.objects.new(name, square)
        obj.location, obj.scale = (x, 0, 2), (0.3, 0.3, 1)
        hero.objects.link(obj)
    props = bpy.data.collections.new("Props")
    prop = bpy.data.objects.new("prop", square)
    prop.scale, prop.location = (0.2, 0.2, 1), (0, 0.5, 3)
    props.objects.link(prop)
    empty = bpy.data.objects.new("props", None)
    empty.instance_type, empty.instance_collection = "COLLECTION", props
    scene.collection.objects.link(empty)
    smoothed = objects("Cube").modifiers.new("smooth", "SUBSURF")
    smoothed.show_viewport, smoothed.render_levels = False, 2
    objects("hat").keyframe_insert("location", frame=1)
    objects("hat").location.y = 0.6
    objects("hat").keyframe_insert("location", frame=40)
    scene.frame_set(12)
    bpy.context.view_layer.update()
    return scene


def layer(name: str = "Hero") -> Any:
    return bpy.context.view_layer.layer_collection.children[name]


def objects(name: str) -> Any:
    return bpy.data.objects[name]


def move_to_place(scene: Any) -> None:
    place = bpy.data.collections.new("Hidden")
    place.hide_render = True
    scene.collection.children.link(place)
    bpy.data.collections["Hero"].objects.unlink(objects("hat"))
    place.objects.link(objects("hat"))


def a_set_of_another_scene(scene: Any) -> None:
    behind = bpy.data.scenes.new("behind")
    wall = bpy.data.objects.new("wall", objects("Cube").data)
    wall.scale, wall.location.z = (3, 3, 1), -4
    behind.collection.objects.link(wall)
    scene.background_set = behind


# Each makes the depth another one.  What moves or shapes an object Blender tells, in a window; none of these it
# tells everywhere, and 5.2 says nothing of an excluded collection.
CHANGES: dict[str, Callable[[Any], object]] = {
    "a collection held out": lambda scene: setattr(layer(), "holdout", True),
    "a collection indirect only": lambda scene: setattr(layer(), "indirect_only", True),
    "a collection excluded": lambda scene: setattr(layer(), "exclude", True),
    "a collection hidden from rendering": lambda scene: setattr(bpy.data.collections["Hero"], "hide_render", True),
    "an instanced collection hidden": lambda scene: setattr(bpy.data.collections["Props"], "hide_render", True),
    "an object not visible to the camera": lambda scene: setattr(objects("hero"), "visible_camera", False),
    "an object held out": lambda scene: setattr(objects("hero"), "is_holdout", True),
    "an object hidden from rendering": lambda scene: setattr(objects("hero"), "hide_render", True),
    "an object moved to another collection": move_to_place,
    "an object of the Foreground": lambda scene: scope.set_listed(scene, [objects("hero")]),
    "a collection of the Foreground": lambda scene: scope.set_listed(scene, [bpy.data.collections["Hero"]]),
    "a part of an instance of the Foreground": lambda scene: scope.set_listed(scene, [objects("prop")]),
    "a Set": lambda scene: scope.set_set_collection(scene, bpy.data.collections["Hero"]),
    "a Background Set": a_set_of_another_scene,
    "an object moved that the viewport does not evaluate": lambda scene: setattr(objects("prop").location, "z", 4.0),
    "the shape of the pixels": lambda scene: setattr(scene.render, "pixel_aspect_y", 1.5),
    "the scene's unit": lambda scene: setattr(scene.unit_settings, "scale_length", 0.5),
    "what renders subdivide": lambda scene: (
        setattr(scene.render, "simplify_subdivision_render", 0),
        setattr(scene.render, "use_simplify", True),
    ),
    "time that is stretched": lambda scene: setattr(scene.render, "frame_map_new", 50),
    "an instance that shows another collection": lambda scene: setattr(
        objects("props"), "instance_collection", bpy.data.collections["Hero"]
    ),
}


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks of the timer until the depth has come to rest."""
    monkeypatch.setattr(depth_view, "REST_SECONDS", -1.0)  # no wait for an artist who goes on dragging
    for _ in range(4):
        depth_view.refresh()


@pytest.mark.parametrize("change", CHANGES)
def test_show_depth_is_what_is_sent_after_every_change(
    staged: Any, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    bpy.context.window_manager.farplane.show_depth = True
    settle(monkeypatch)
    first = depth_view.latest().z
    CHANGES[change](staged)
    settle(monkeypatch)
    shown = depth_view.latest().z
    with depth_view.begin(staged, staged.frame_current) as reading:
        sent = depth_view.read(reading).z
    np.testing.assert_array_equal(shown, sent)
    assert not np.array_equal(shown, first), "the change is one"
    settle(monkeypatch)
    assert depth_view.latest().z is shown, "nothing is rendered while nothing changes"
    bpy.context.window_manager.farplane.show_depth = False
    depth_view.refresh()


def test_an_edit_just_after_one_that_changed_nothing(staged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Blender tells of our own stand-in is no edit; what it tells of something else meanwhile is one."""
    bpy.app.handlers.depsgraph_update_post.append(depth_view._edited)
    try:
        bpy.context.window_manager.farplane.show_depth = True
        settle(monkeypatch)
        is_counted = True
        for _ in range(6):
            edits = depth_view._state.edits
            objects("Cube").data.update()  # tells of an edit, and is none
            bpy.context.view_layer.update()
            is_counted = depth_view._state.edits > edits
            if not is_counted:
                break
            for _ in range(2):
                depth_view.refresh()
        assert not is_counted, "no end of renders"
        assert depth_view._state.quiet
        first = depth_view.latest()
        hat = objects("hat")
        hat.data = hat.data.copy()
        for point in hat.data.vertices:
            point.co.z += 1
        bpy.context.view_layer.update()
        settle(monkeypatch)
        assert not np.array_equal(depth_view.latest().z, first.z)
    finally:
        bpy.app.handlers.depsgraph_update_post.remove(depth_view._edited)


def look() -> str:
    """What the panel's line says after the timer's next look."""
    session.wanted = True
    scope_panel._state.rest_until = 0.0
    scope_panel.refresh()
    return scope_panel.sent_line()


def test_the_panels_buttons_and_their_count(staged: Any) -> None:
    assert look() == "4 objects"  # the square, the hero's two, and the instance
    with bpy.context.temp_override(selected_objects=[objects("hat")]):
        bpy.ops.farplane.foreground_add()
        bpy.ops.farplane.foreground_add()
    assert scope.listed(staged) == [objects("hat")]
    assert look() == "3 objects, 1 left out"
    bpy.ops.farplane.foreground_collection(collection=str(bpy.data.collections["Props"].session_uid))
    assert look() == "2 objects, 2 left out"
    bpy.ops.farplane.foreground_remove(index=0)
    assert scope.listed(staged) == [bpy.data.collections["Props"]]
    bpy.ops.farplane.set_choose(collection=str(bpy.data.collections["Hero"].session_uid))
    assert scope.set_collection(staged) == bpy.data.collections["Hero"]
    assert look() == "2 objects, 2 left out"
    layer().holdout = True
    assert look() == "0 objects, 2 left out, 2 not seen by the camera"
    bpy.ops.farplane.set_clear()
    assert scope.SET_KEY not in staged
    bpy.ops.farplane.foreground_remove(index=0)
    assert scope.FOREGROUND_KEY not in staged


def test_the_foreground_is_undone_in_one_step(staged: Any) -> None:
    bpy.ops.ed.undo_push(message="before")
    uid = str(bpy.data.collections["Hero"].session_uid)
    bpy.ops.farplane.foreground_collection("EXEC_DEFAULT", True, collection=uid)
    assert [block.name for block in scope.listed(bpy.context.scene)] == ["Hero"]
    bpy.ops.ed.undo()
    assert scope.listed(bpy.context.scene) == []
    bpy.ops.ed.redo()
    assert [block.name for block in scope.listed(bpy.context.scene)] == ["Hero"]


def test_missing_files_are_found_while_the_panel_is_seen(staged: Any, tmp_path: Path) -> None:
    picture = bpy.data.images.new("wood", 4, 4)
    picture.filepath_raw, picture.file_format = str(tmp_path / "wood.png"), "PNG"
    picture.save()
    picture.source = "FILE"
    material = bpy.data.materials.new("wood")
    material.use_nodes = True
    material.node_tree.nodes.new("ShaderNodeTexImage").image = picture
    objects("Cube").data.materials.append(material)
    os.unlink(tmp_path / "wood.png")
    look()
    session.disk.flush()
    assert [str(one) for one in scope_panel._state.missing] == ["wood.png (image wood)"]


def test_counting_a_large_scene_gives_the_window_time(staged: Any) -> None:
    """A look that took long is followed by a rest that is as much longer; a second one at once does nothing."""
    look()
    assert scope_panel._state.rest_until > time.monotonic()
    objects("hat").hide_render = True
    scope_panel._state.rest_until = time.monotonic() + 60
    assert not scope_panel.refresh()
    assert scope_panel.sent_line() == "4 objects"
    assert look() == "3 objects"
