"""What artists do to a file while a plate is made of it: nothing of theirs is lost, and every trouble is told.

Against a real backend process with the service tests' painter.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

from farplane.addon.landing import landed  # noqa: E402
from farplane.addon.passes import PREFIX  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.addon.ui import generate, panels  # noqa: E402
from farplane.addon.ui.places import shot_folder  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402
from farplane.protocol.shotfile import depth_name  # noqa: E402


def started(scene: Any, stage: str) -> generate.Generation:
    """A generation that has come to `stage`."""
    generation = generate.Generation(scene)
    while generation.stage != stage:
        assert not generation.step()
    return generation


def steps_until_trouble(generation: generate.Generation) -> FarplaneError:
    with pytest.raises(FarplaneError) as caught:
        generation.run()
    assert not [scene for scene in bpy.data.scenes if scene.name.startswith(PREFIX)], "the stand-in goes"
    return caught.value


def leftovers() -> list[str]:
    """Stand-in datablocks of any kind."""
    blocks = (bpy.data.scenes, bpy.data.objects, bpy.data.cameras, bpy.data.node_groups)
    return [block.name for kind in blocks for block in kind if block.name.startswith(PREFIX)]


@pytest.mark.parametrize("stage", ["connect", "camera"])
def test_a_camera_deleted_while_it_is_read_is_told(connected: Any, stage: str) -> None:
    generation = started(connected, stage)
    bpy.data.objects.remove(connected.camera)
    error = steps_until_trouble(generation)
    assert error.field in ("camera", "scene")
    assert "gone" in error.problem or "deleted" in error.problem
    assert error.remedy
    assert not leftovers()
    assert not (Path(bpy.data.filepath).parent / "farplane").exists(), "no take was begun"


def test_a_camera_deleted_after_it_was_read_is_not_missed(connected: Any, poll_until: Any, tmp_path: Path) -> None:
    generation = started(connected, "depth")
    bpy.data.objects.remove(connected.camera)
    generation.run()
    poll_until(lambda: session.job is None)
    take = session.takes[0] if session.takes else Take.open(tmp_path / "farplane" / "Scene" / "take 001")
    assert take.whole
    with pytest.raises(RuntimeError, match="Give the scene an active camera"):
        bpy.ops.farplane.land(folder=str(take.folder))
    other = bpy.data.objects.new("Other", bpy.data.cameras.new("Other"))
    connected.collection.objects.link(other)
    connected.camera = other
    bpy.ops.farplane.land(folder=str(take.folder))
    assert landed(connected)[0].camera == other


@pytest.mark.parametrize("stage", ["connect", "depth"])
def test_a_scene_renamed_mid_job_keeps_its_takes(connected: Any, poll_until: Any, stage: str) -> None:
    folder = shot_folder(connected, "Scene")
    generation = started(connected, stage)
    connected.name = "Night"
    generation.run()
    poll_until(lambda: session.job is None)
    session.wanted = True
    poll_until(lambda: not session.disk.busy)
    if stage == "depth":  # its first take has begun: later ones stand beside it
        assert shot_folder(connected, "Night") == folder
        assert [take.folder for take in session.takes] == [folder / "take 001"]
    assert Take.open(folder / "take 001").whole


def test_a_scene_deleted_mid_job_leaves_the_job_alone(connected: Any, poll_until: Any, tmp_path: Path) -> None:
    second = bpy.data.scenes.new("Second")
    generation = started(connected, "depth")
    bpy.context.window_manager.windows[0].scene = second
    bpy.data.scenes.remove(connected)
    generation.run()
    poll_until(lambda: session.job is None)
    assert Take.open(tmp_path / "farplane" / "Scene" / "take 001").whole
    assert not leftovers()


def test_another_file_opened_mid_job_leaves_the_job_alone(connected: Any, poll_until: Any, tmp_path: Path) -> None:
    connected.farplane.prompt = "steady hills"
    bpy.ops.farplane.generate()
    bpy.ops.wm.save_as_mainfile(filepath=bpy.data.filepath)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    poll_until(lambda: session.job is None)
    assert Take.open(tmp_path / "farplane" / "Scene" / "take 001").whole
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    session.wanted = True
    poll_until(lambda: bool(session.takes) and not session.disk.busy)
    assert [item.folder for item in bpy.context.window_manager.farplane.takes] == [str(session.takes[0].folder)]
    assert bpy.context.scene.farplane.prompt == "steady hills"


@pytest.mark.parametrize("stage", ["camera", "depth"])
def test_a_scene_saved_mid_job_is_the_artists_own(connected: Any, poll_until: Any, tmp_path: Path, stage: str) -> None:
    """What is in the file, read without the add-on; and the reading goes on, with the same numbers."""
    generation = started(connected, stage)
    generation.step()
    assert leftovers()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "mid.blend"), copy=True)
    with bpy.data.libraries.load(str(tmp_path / "mid.blend")) as (held, _):
        blocks = {kind: sorted(getattr(held, kind)) for kind in ("scenes", "objects", "cameras", "node_groups")}
    assert blocks == {"scenes": ["Scene"], "objects": ["Camera", "Cube"], "cameras": ["Camera"], "node_groups": []}
    assert not leftovers()
    while generation.stage != "files":
        assert not generation.step()
    assert not leftovers(), "the end of the reading takes it away as ever"
    generation.run()
    poll_until(lambda: session.job is None)
    bpy.ops.farplane.generate()  # the same shot, nothing saved meanwhile
    poll_until(lambda: session.job is None)
    after, before = session.takes
    assert before.whole
    assert [f["world_from_camera"] for f in before.shot()["frames"]] == [
        f["world_from_camera"] for f in after.shot()["frames"]
    ]
    for name in (depth_name(frame) for frame in before.expected):
        assert (before.folder / name).read_bytes() == (after.folder / name).read_bytes()


def test_a_scene_deleted_and_saved_while_it_is_read_is_told(connected: Any, tmp_path: Path) -> None:
    generation = started(connected, "depth")
    bpy.context.window_manager.windows[0].scene = bpy.data.scenes.new("Second")
    bpy.data.scenes.remove(connected)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "mid.blend"), copy=True)
    assert "Start again" in steps_until_trouble(generation).remedy


def test_a_file_that_was_left_with_a_stand_in_is_swept(connected: Any) -> None:
    """An autosave has no handler: what it left goes when the file is open."""
    bpy.data.scenes.new(f"{PREFIX} scene")
    bpy.data.objects.new(f"{PREFIX} camera", bpy.data.cameras.new(f"{PREFIX} camera"))
    panels.tick()
    assert not leftovers()


def test_undo_and_redo_mid_job(connected: Any, poll_until: Any) -> None:
    bpy.ops.ed.undo_push(message="before")
    connected.farplane.prompt = "steady river"
    bpy.ops.ed.undo_push(message="prompt")
    bpy.ops.farplane.generate()
    if not bpy.ops.ed.undo.poll():
        pytest.skip("this Blender has no undo in the background")
    bpy.ops.ed.undo()
    bpy.ops.ed.redo()
    poll_until(lambda: session.job is None)
    assert session.takes[0].whole
    scene = bpy.context.scene
    bpy.ops.farplane.land(folder=str(session.takes[0].folder), kinds={"background", "projection", "strip"})
    bpy.ops.ed.undo_push(message="landed")
    bpy.ops.ed.undo()
    scene = bpy.context.scene
    assert landed(scene) == []
    assert not [image for image in bpy.data.images if "farplane_take" in image]
    bpy.ops.ed.redo()
    scene = bpy.context.scene
    assert landed(scene)[0].kinds == ("background", "projection", "strip")
    bpy.ops.farplane.remove(landing_id=landed(scene)[0].id)
    assert not scene.camera.data.background_images


def test_an_undo_while_passes_are_read_is_told(connected: Any) -> None:
    bpy.ops.ed.undo_push(message="before")
    connected.frame_step = 1
    bpy.ops.ed.undo_push(message="step")
    generation = started(connected, "depth")
    if not bpy.ops.ed.undo.poll():
        generation.close()
        pytest.skip("this Blender has no undo in the background")
    bpy.ops.ed.undo()
    assert "Start again" in steps_until_trouble(generation).remedy
    panels.tick()
    assert not leftovers()


def test_a_scene_without_a_world(connected: Any, poll_until: Any) -> None:
    connected.world = None
    connected.farplane.depth_auto = False
    connected.farplane.near, connected.farplane.far = 4.0, 24.0
    bpy.ops.farplane.generate()
    poll_until(lambda: session.job is None)
    take = session.takes[0]
    assert take.whole
    assert (take.shot()["near"], take.shot()["far"]) == (4.0, 24.0), "the range set by hand is what is sent"
    bpy.ops.farplane.land(folder=str(take.folder), kinds={"projection", "compositor"})
    bpy.ops.farplane.remove(landing_id=landed(connected)[0].id)
    assert connected.world is None


def test_several_scenes_keep_their_takes_and_landings_apart(connected: Any, poll_until: Any) -> None:
    second = connected.copy()
    second.name = "Second"
    second.farplane.prompt = "plain second"
    for scene in (connected, second):
        bpy.context.window_manager.windows[0].scene = scene
        bpy.ops.farplane.generate()
        poll_until(lambda: session.job is None)
        session.wanted = True
        poll_until(lambda: not session.disk.busy)
        assert [take.folder.parent.name for take in session.takes] == [scene.name]
        bpy.ops.farplane.land(folder=str(session.takes[0].folder), kinds={"strip"})
    assert [item.name for item in landed(connected)] == ["Scene/take 001"]
    assert [item.name for item in landed(second)] == ["Second/take 001"]
    bpy.ops.farplane.remove(landing_id=landed(second)[0].id)
    assert len(landed(connected)) == 1
    assert landed(second) == []


def test_a_linked_camera(connected: Any, poll_until: Any, tmp_path: Path) -> None:
    """It is read as any other, also where a local one has its name; what cannot be kept in it is refused."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"), copy=True)
    local = connected.camera
    local.location = (0, 0, 30)  # so that a mistaken one would show in the depth
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_, wanted):
        wanted.objects = ["Camera"]
    linked = wanted.objects[0]
    assert linked.library is not None
    assert linked.name == local.name
    connected.collection.objects.link(linked)
    connected.camera = linked
    bpy.ops.farplane.generate()
    poll_until(lambda: session.job is None)
    take = session.takes[0]
    assert take.shot()["frames"][0]["world_from_camera"][2][3] == pytest.approx(10)
    with pytest.raises(RuntimeError, match="library override"):
        bpy.ops.farplane.land(folder=str(take.folder), kinds={"background"})
    assert landed(connected) == []
    assert not [image for image in bpy.data.images if "farplane_take" in image], "nothing half done is left"
    bpy.ops.farplane.land(folder=str(take.folder), kinds={"projection", "compositor", "strip"})
    bpy.ops.farplane.remove(landing_id=landed(connected)[0].id)


def test_a_take_moved_with_its_scene_is_found(connected: Any, poll_until: Any, tmp_path: Path) -> None:
    """The folder with scene and takes goes to another machine: images, strips and the list all find their files."""
    bpy.ops.farplane.generate()
    poll_until(lambda: session.job is None)
    bpy.ops.farplane.land(
        folder=str(session.takes[0].folder), kinds={"background", "projection", "compositor", "strip"}
    )
    bpy.ops.wm.save_mainfile()
    here, there = tmp_path / "here", tmp_path / "elsewhere" / "shot"
    here.mkdir()
    for path in (tmp_path / "farplane", tmp_path / "shot.blend"):
        shutil.move(path, here / path.name)
    shutil.move(here, there)
    bpy.ops.wm.open_mainfile(filepath=str(there / "shot.blend"))
    scene = bpy.context.scene
    item = landed(scene)[0]
    assert item.folder == there / "farplane" / "Scene" / "take 001"
    images = [image for image in bpy.data.images if "farplane_take" in image]
    assert images
    for image in images:
        assert Path(bpy.path.abspath(image.filepath)).is_file(), image.filepath
        assert all(image.size)
    session.wanted = True
    poll_until(lambda: not session.disk.busy and bool(session.takes))
    assert session.takes[0].folder == item.folder
    bpy.ops.farplane.remove(landing_id=item.id)
    assert not [image for image in bpy.data.images if "farplane_take" in image]
