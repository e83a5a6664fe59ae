"""The life of a landing: removed, replaced, landed again, saved, moved, refused; the scene as before once it is gone.

The scene and its takes are those of landing_scene.py.
"""

from __future__ import annotations

import itertools
import json
import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")
pytest.importorskip("OpenEXR")

import landing_scene  # noqa: E402
from landing_scene import ROUNDING, STEPPED, glow, grey, make_take, quad, rendered  # noqa: E402
from whole_file import changes, whole_file  # noqa: E402

from farplane.addon import landing, takes  # noqa: E402
from farplane.addon.landing import KINDS, land, landed, remove, unprepared  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402

scene = landing_scene.scene


@pytest.mark.parametrize("frames", [(11, 12, 13, 14), STEPPED])
@pytest.mark.parametrize("kinds", [*[(kind,) for kind in KINDS], KINDS])
def test_removal_leaves_the_scene_as_before(scene: Any, tmp_path: Path, kinds: tuple, frames: tuple) -> None:
    furnished(scene)
    before = whole_file()
    take = make_take(tmp_path / "take", frames)
    result = land(scene, scene.camera, take, kinds)
    assert result.kinds == tuple(kinds)
    assert [item.id for item in landed(scene)] == [result.id]
    assert changes(before)
    remove(scene, take)
    assert not landed(scene)
    assert changes(before) == []


def furnished(scene: Any) -> None:
    """Objects with the ways a material can be bound, and a camera with animation and a picture of its own."""
    scene.camera.data.lens = 35
    scene.camera.data.keyframe_insert("lens", frame=1)
    picture = bpy.data.images.new("Artist's", 4, 4)
    scene.camera.data.background_images.new().image = picture
    scene.camera.data.show_background_images = False
    on_data = quad("On data", z=1, size=1, emission=0.5)
    twin = bpy.data.objects.new("Twin", on_data.data)
    on_object = quad("On object", z=1, size=1, emission=0.5)
    on_object.material_slots[0].link = "OBJECT"
    on_object.material_slots[0].material = glow("Own", 1)
    on_object.data.materials.append(None)
    bare = quad("Bare", z=1, size=1)
    bare_twin = bpy.data.objects.new("Bare twin", bare.data)
    text = bpy.data.objects.new("Text", bpy.data.curves.new("Text", "FONT"))
    for obj in (twin, bare_twin, text):
        scene.collection.objects.link(obj)
    bpy.context.view_layer.update()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[::2])
def test_takes_of_several_cameras_come_and_go_in_any_order(scene: Any, tmp_path: Path, order: tuple) -> None:
    furnished(scene)
    before = whole_file()
    takes_made = []
    for index in range(3):
        camera = bpy.data.objects.new(f"Camera {index}", scene.camera.data if index else bpy.data.cameras.new("C"))
        takes_made.append(make_take(tmp_path / f"{index}", tuple(range(10 * index + 1, 10 * index + 5))))
        objects = [bpy.data.objects[("On data", "Bare", "Bare twin")[index]]]
        land(scene, camera, takes_made[-1], objects=objects)
    for index in order:
        remove(scene, takes_made[index])
    for obj in [obj for obj in bpy.data.objects if obj.users == 0]:
        data = obj.data
        bpy.data.objects.remove(obj)
        if data.users == 0:
            bpy.data.cameras.remove(data)
    assert changes(before) == []


def test_landing_again_is_the_same_landing(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    before = whole_file()
    first = land(scene, scene.camera, take, ["background"])
    second = land(scene, scene.camera, take, KINDS)
    third = land(scene, scene.camera, take, KINDS)
    assert first.id == second.id == third.id
    assert len(scene.camera.data.background_images) == 1
    assert len([image for image in bpy.data.images if "farplane_take" in image]) == 1
    remove(scene, take, ["background", "strip"])
    assert landed(scene)[0].kinds == ("projection", "compositor")
    remove(scene, first.id)
    assert changes(before) == []


def test_a_large_scene_is_landed_in_small_steps(scene: Any, tmp_path: Path) -> None:
    """A window does some of them per tick: a step is one material's copy, or one object's slots, never all of them."""
    for index in range(30):
        quad(f"Rock {index}", z=1, size=1, emission=0.1 * index)
    take = make_take(tmp_path / "take")
    before = whole_file()
    steps = landing.land_in_steps(scene, scene.camera, take, KINDS)
    made = [len(bpy.data.materials)]
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result = end.value
            break
        made.append(len(bpy.data.materials))
    assert result.kinds == KINDS
    assert made[-1] == made[0] + 31, "the ground's, that has none, too"
    assert max(after - earlier for earlier, after in itertools.pairwise(made)) == 1
    assert len(made) > 60
    remove(scene, take)
    assert changes(before) == []


@pytest.mark.parametrize("after", [1, 5, 20, 30])
def test_a_landing_that_ends_in_the_middle_leaves_the_scene_as_before(scene: Any, tmp_path: Path, after: int) -> None:
    """Blender closes, say, between two ticks."""
    for index in range(15):
        quad(f"Rock {index}", z=1, size=1, emission=0.1 * index)
    before = whole_file()
    steps = landing.land_in_steps(scene, scene.camera, make_take(tmp_path / "take"), ["background", "projection"])
    for _ in range(after):
        next(steps)
    assert changes(before)
    steps.close()
    assert changes(before) == []


def test_only_an_accepted_take_replaces_another(scene: Any, tmp_path: Path) -> None:
    before = whole_file()
    old = make_take(tmp_path / "shot" / "old")
    land(scene, scene.camera, old)
    with_old = whole_file()
    new = make_take(tmp_path / "shot" / "new")
    with pytest.raises(FarplaneError, match="shot/old is landed in its place"):
        land(scene, scene.camera, new)
    assert changes(with_old) == []
    takes.Take.open(new).accept()
    land(scene, scene.camera, new)
    assert [item.folder for item in landed(scene)] == [new]
    assert len(scene.camera.data.background_images) == 1
    remove(scene, "shot/new")
    assert changes(before) == []


def test_mistakes_change_nothing(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    (tmp_path / "empty").mkdir()
    before = whole_file()
    camera, ground = scene.camera, bpy.data.objects["Ground"]
    wrong: dict[str, Callable[[], Any]] = {
        "camera": lambda: land(scene, None, take),
        "active camera": lambda: land(scene, ground, take),
        "holds no plate": lambda: land(scene, camera, tmp_path / "empty"),
        "does not exist": lambda: land(scene, camera, tmp_path / "absent"),
        "no way to land": lambda: land(scene, camera, take, ["hologram"]),
        "nothing is no way": lambda: land(scene, camera, take, []),
        "no geometry": lambda: land(scene, camera, take, ["projection"], objects=[camera]),
        "not landed": lambda: remove(scene, take),
    }
    for words, action in wrong.items():
        with pytest.raises(FarplaneError, match=words):
            action()
        assert changes(before) == [], words


def test_an_artists_changes_are_kept_on_removal(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take)
    ground = bpy.data.objects["Ground"]
    ground.material_slots[0].material = glow("Chosen since", 1)
    scene.sequencer_colorspace_settings.name = "ACEScg"
    bpy.data.objects.remove(scene.camera)
    remove(scene, take)
    assert ground.material_slots[0].material.name == "Chosen since"
    assert scene.sequencer_colorspace_settings.name == "ACEScg"
    assert not landed(scene)


def test_a_saved_scene_finds_its_plate_on_another_disk(scene: Any, tmp_path: Path) -> None:
    """Saved beside its takes, the whole folder can move."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(here / "shot.blend"))
    take = make_take(here / "farplane" / "Scene" / "take")
    land(scene, scene.camera, take)
    bpy.ops.wm.save_as_mainfile(filepath=str(here / "shot.blend"))
    os.rename(here, there)
    bpy.ops.wm.open_mainfile(filepath=str(there / "shot.blend"))
    scene = bpy.context.scene
    assert landed(scene)[0].folder == there / "farplane" / "Scene" / "take"
    image = scene.camera.data.background_images[0].image
    assert image.filepath.startswith("//")
    assert rendered(scene, 12, tmp_path)[20, 20, 0] == pytest.approx(grey(12), rel=ROUNDING)
    scene.render.use_sequencer = True
    assert rendered(scene, 13, tmp_path)[20, 20, 0] == grey(13)
    remove(scene, "Scene/take")
    assert not [image for image in bpy.data.images if "farplane_take" in image]
    assert bpy.data.objects["Ground"].material_slots[:] == []


def test_unused_originals_survive_a_save(scene: Any, tmp_path: Path) -> None:
    """While a projection stands in, Blender would purge an own material that nothing else uses."""
    ground = bpy.data.objects["Ground"]
    ground.data.materials.append(None)
    ground.material_slots[0].link = "OBJECT"
    ground.material_slots[0].material = glow("Only here", 1)
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["projection"])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    remove(bpy.context.scene, take)
    slot = bpy.data.objects["Ground"].material_slots[0]
    assert (slot.link, slot.material.name) == ("OBJECT", "Only here")


def test_landing_reads_depth_only_from_inside_the_take(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take", depth=10.0)
    outside = tmp_path / "outside.exr"
    outside.write_bytes((take / "depth.0011.exr").read_bytes())
    for name in ("../outside.exr", str(outside), "link.exr", 5, None):
        shot = {"frames": [{"frame": n, "depth": name} for n in (11, 12, 13, 14)]}
        (take / "shot.json").write_text(json.dumps(shot))
        if not (take / "link.exr").is_symlink():
            (take / "link.exr").symlink_to(outside)
        land(scene, scene.camera, take, ["compositor"])
        assert len([image for image in bpy.data.images if "farplane_depth" in image]) == 0
        remove(scene, take)


def test_a_take_that_cannot_be_written_to_lands_without_its_depth(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take", depth=10.0)
    (take / "blender").write_text("a file where the folder would be")
    result = land(scene, scene.camera, take, ["compositor"])
    assert result.kinds == ("compositor",)
    assert not [image for image in bpy.data.images if "farplane_depth" in image]


def test_what_a_landing_by_depth_needs_can_be_written_by_a_thread(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take", depth=10.0)
    assert unprepared(take, ["background", "strip"]) == []
    for kind in ("projection", "compositor"):
        assert len(unprepared(take, [kind])) == 4
    needed = unprepared(take, ["projection", "strip"])
    with ThreadPoolExecutor(1) as thread:
        for write in needed[1:]:
            thread.submit(write).result()
    assert len(unprepared(take, ["compositor"])) == 1
    needed[0]()
    written = {path: path.stat().st_mtime_ns for path in (take / "blender").iterdir()}
    assert len(written) == 4
    needed[0]()  # asked for twice, written once
    land(scene, scene.camera, take, ["projection", "compositor"])
    assert {path: path.stat().st_mtime_ns for path in (take / "blender").iterdir()} == written
    (take / "depth.0012.exr").unlink()
    assert unprepared(take, ["compositor"]) == [], "without all of its depth it lands without any"


def test_a_broken_frame_is_told_before_anything_changes(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    (take / "plate.0011.exr").write_bytes(struct.pack("<I", 20000630) + b"rubbish")
    before = whole_file()
    with pytest.raises(FarplaneError, match="cannot be read"):
        land(scene, scene.camera, take)
    assert changes(before) == []


def test_kinds_are_what_the_design_says() -> None:
    assert landing.KINDS == ("background", "projection", "compositor", "strip")
