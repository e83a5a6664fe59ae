"""Undo, redo and another file while a shot is read: Blender frees what it likes, and the reading never touches it.

The sequences are the shortest that ended Blender, or left a stand-in in the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from farplane.addon import scope  # noqa: E402
from farplane.addon.passes import PREFIX  # noqa: E402
from farplane.addon.scene import Extraction, plan_shots  # noqa: E402
from farplane.addon.ui import saving  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402

FRAMES = 3  # of the scene in conftest.py
STAGES = {"camera": 1, "depth": FRAMES + 1}  # stage -> steps after which it is under way


def push(number: int = 0) -> None:
    """What any operator of the artist's does at its end; by `number` something of the file is another."""
    (bpy.data.worlds.get("Sky") or bpy.data.worlds.new("Sky")).color = (number / 10, 0, 0)
    bpy.ops.ed.undo_push(message="by the artist")


def reading(steps: int = 0) -> Extraction:
    """Of depth and base colours, which are read together."""
    extraction = Extraction(bpy.context.scene, plan_shots(bpy.context.scene)[0], engine="CYCLES", colours=True)
    for _ in range(steps):
        extraction.step()
    return extraction


def whole_depth() -> np.ndarray:
    with reading(2 * FRAMES) as extraction:
        shot = extraction.shot()
        assert shot.base_colour is not None
        assert ((shot.base_colour[..., 3] > 0) == np.isfinite(shot.depth.z)).all()
        return shot.depth.z


def leftovers() -> list[str]:
    """Stand-in datablocks of any kind."""
    blocks = (bpy.data.scenes, bpy.data.objects, bpy.data.cameras, bpy.data.node_groups, bpy.data.collections)
    return [block.name for kind in blocks for block in kind if block.name.startswith(PREFIX)]


@pytest.fixture(autouse=True)
def painted(scene: Any) -> None:
    """Something in the scene has a colour; and of a collection and of an instance a part is Foreground."""
    both = bpy.data.collections.new("Both")
    scene.collection.children.link(both)
    pieces = [bpy.data.objects.new(name, bpy.data.meshes["Cube"]) for name in ("Hero", "Rock")]
    for piece in pieces:
        both.objects.link(piece)
    instance = bpy.data.objects.new("Instance", None)
    instance.instance_type, instance.instance_collection = "COLLECTION", both
    scene.collection.objects.link(instance)
    scope.set_listed(scene, pieces[:1])
    paint = bpy.data.materials.new("Paint")
    paint.use_nodes = True
    paint.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.6, 0.05, 0.05, 1)
    bpy.data.meshes["Cube"].materials.append(paint)
    bpy.ops.wm.save_mainfile()


@pytest.fixture
def steps(scene: Any) -> Any:
    """The scene, with three steps to undo."""
    for number in range(3):
        push(number)
    assert bpy.ops.ed.undo.poll()
    return scene


@pytest.mark.parametrize("stage", list(STAGES))
@pytest.mark.parametrize("pushed", [False, True])
def test_an_undo_ends_the_reading(steps: Any, stage: str, pushed: bool) -> None:
    """pushed : the artist did something meanwhile, so that the undo's own steps hold the stand-in."""
    before = whole_depth()
    extraction = reading(STAGES[stage])
    if pushed:
        push(5)
        extraction.step()
        push(6)
    assert leftovers()
    bpy.ops.ed.undo()
    assert not leftovers(), "an undo brings none back, not for a moment"
    for _ in range(2):  # asked again, it says so again
        with pytest.raises(FarplaneError, match="undone while it was read") as caught:
            extraction.step()
        assert caught.value.remedy == "Start again"
    extraction.close()
    while bpy.ops.ed.redo.poll():
        bpy.ops.ed.redo()
        assert not leftovers(), "nor does a redo"
    np.testing.assert_array_equal(whole_depth(), before)


def test_a_redo_ends_the_reading(steps: Any) -> None:
    bpy.ops.ed.undo()
    with reading(STAGES["depth"]) as extraction:
        bpy.ops.ed.redo()
        assert not leftovers()
        with pytest.raises(FarplaneError, match="Start again"):
            extraction.step()


def test_an_undo_after_a_save_ends_the_reading(steps: Any) -> None:
    """The save has put the stand-in away; the next step must not make it from what the undo freed."""
    with reading(STAGES["depth"]) as extraction:
        bpy.ops.wm.save_mainfile()
        assert not leftovers()
        bpy.ops.ed.undo()
        with pytest.raises(FarplaneError, match="Start again"):
            extraction.step()
        assert not leftovers()


def test_an_undo_of_the_camera_that_is_read(scene: Any) -> None:
    push()
    camera = bpy.data.objects.new("Second", bpy.data.cameras.new("Second"))
    camera.location = (0, 0, 5)
    scene.collection.objects.link(camera)
    scene.camera = camera
    push()
    with reading(STAGES["camera"]) as extraction:
        bpy.ops.ed.undo()
        assert "Second" not in bpy.data.objects
        with pytest.raises(FarplaneError, match="Start again"):
            extraction.step()


def test_an_undo_after_all_is_read_costs_nothing(steps: Any) -> None:
    with reading(2 * FRAMES) as extraction:
        bpy.ops.ed.undo()
        assert extraction.step()
        assert extraction.shot().depth.z.shape == (FRAMES, 36, 64)


def test_many_readings_and_undos(steps: Any) -> None:
    """Blender gives freed memory out again: what still pointed there would meet somebody else's."""
    for number in range(8):
        extraction = reading(number % (2 * FRAMES))
        push(number)
        bpy.ops.ed.undo()
        bpy.data.objects.remove(bpy.data.objects.new("passing", bpy.data.cameras.new("passing")))
        if number % 2:
            bpy.ops.ed.redo()
        extraction.close()
        assert not leftovers()
    assert whole_depth().shape == (FRAMES, 36, 64)


def test_a_camera_deleted_after_it_was_read_is_not_missed_after_a_save(scene: Any) -> None:
    with reading(STAGES["depth"]) as extraction:
        bpy.ops.wm.save_mainfile()
        bpy.data.objects.remove(scene.camera)
        while not extraction.step():
            pass
        assert extraction.shot().depth.z.shape == (FRAMES, 36, 64)


def test_another_file_opened_ends_the_reading(scene: Any) -> None:
    with reading(STAGES["depth"]) as extraction:
        bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
        assert not leftovers()
        with pytest.raises(FarplaneError, match="Start again"):
            extraction.step()
        assert not leftovers()


def test_a_file_that_cannot_be_opened_costs_nothing(scene: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.blend").write_bytes(b"BLENDER-v400 and then nothing")
    with reading(STAGES["depth"]) as extraction:
        with pytest.raises(RuntimeError):
            bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "broken.blend"))
        while not extraction.step():
            pass


@pytest.mark.parametrize("operator", ["open_mainfile", "recover_auto_save"])
def test_a_recovered_autosave_is_the_artists_own(scene: Any, tmp_path: Path, operator: str) -> None:
    """Blender writes it without calling a handler, so it may hold a stand-in; opened, it holds none.

    It leaves out a scene that nobody uses, as the stand-in is by itself; an earlier one's was used by its own nodes.
    """
    path = tmp_path / "autosave.blend"
    with reading(STAGES["depth"]):
        bpy.data.scenes[PREFIX].use_fake_user = True
        bpy.app.handlers.save_pre.remove(saving.HANDLERS["save_pre"])
        bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)
        bpy.app.handlers.save_pre.append(saving.HANDLERS["save_pre"])
    with bpy.data.libraries.load(str(path)) as (held, _):
        assert PREFIX in held.scenes, "else nothing is shown here"
    getattr(bpy.ops.wm, operator)(filepath=str(path))
    assert not leftovers()
    assert [item.name for item in bpy.data.scenes] == ["Scene"]
    assert bpy.context.scene.camera.name == "Camera"
    assert whole_depth().shape == (FRAMES, 36, 64)


def test_the_handlers_stay_with_the_next_file(scene: Any) -> None:
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    for name, handler in saving.HANDLERS.items():
        assert getattr(bpy.app.handlers, name).count(handler) == 1, name
