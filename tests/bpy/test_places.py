"""Takes go with their file: made before the first save, after Save As, in a folder of the artist's, in other files."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
OpenEXR = pytest.importorskip("OpenEXR")

import farplane  # noqa: E402
from farplane.addon import landing  # noqa: E402
from farplane.addon.batch import Entry, Record  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.addon.ui import carrying, panels, places  # noqa: E402
from farplane.addon.ui.session import Job, session  # noqa: E402


@pytest.fixture
def home(scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A new file that was never saved, with a camera; the user's own folder is an empty one."""
    monkeypatch.setattr(places, "user_folder", lambda name: tmp_path / "user" / name)
    begin()
    return tmp_path / "user" / "takes"


def begin() -> Any:
    """File > New: with a camera that looks at a square."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    scene.camera.location.z = 5
    mesh = bpy.data.meshes.new("Square")
    mesh.from_pydata([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], [], [(0, 1, 2, 3)])
    scene.collection.objects.link(bpy.data.objects.new("Square", mesh))
    scene.frame_start, scene.frame_end = 1, 2
    scene.render.resolution_x, scene.render.resolution_y = 8, 4
    return scene


def make(name: str = "Scene") -> Take:
    """A take of two frames where Generate would put it, kept in the scene as Generate does."""
    scene = bpy.context.scene
    places.keep_folder(scene, name)
    folder = places.shot_folder(scene, name)
    number = 1 + len(list(folder.glob("take *")))
    frames = [{"frame": n, "camera": "Camera"} for n in (1, 2)]
    take = Take.create(folder / f"take {number:03d}", {"frames": frames, "prompt": "hills", "resolution": [8, 4]})
    for frame in take.expected:
        path = folder / "scratch.exr"
        rgb = np.full((4, 8, 3), 0.1 * number, np.float16)
        OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, {"RGB": rgb}).write(
            str(path)
        )
        data = path.read_bytes()
        path.unlink()
        take.write_frame(frame, data, hashlib.sha256(data).hexdigest())
    take.finish()
    return take


def listed() -> list[Path]:
    """What the Takes panel lists now; it is read anew."""
    session.forget_list()
    session.wanted = True
    for _ in range(2):
        panels.tick()
        session.disk.flush()
    panels.view.sync()
    return [Path(item.folder) for item in bpy.context.window_manager.farplane.takes]


def save(path: Path, **values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(path), **values)


def test_takes_of_an_unsaved_file_are_no_other_files(home: Path) -> None:
    first = make().folder
    assert first.is_relative_to(home)
    assert listed() == [first]
    begin()
    assert listed() == []
    second = make().folder
    assert listed() == [second]
    assert first.parent != second.parent


def test_they_follow_the_first_save(home: Path, tmp_path: Path) -> None:
    made = make()
    made.accept("the light is right", "Ana")
    before = {path.name: path.read_bytes() for path in made.folder.iterdir()}
    save(tmp_path / "shots" / "first.blend")
    place = tmp_path / "shots" / "farplane" / "Scene" / "take 001"
    assert listed() == [place]
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert list(home.iterdir()) == [], "nothing is left where they were"
    assert make().folder == place.with_name("take 002")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shots" / "first.blend"))
    assert listed() == [place.with_name("take 002"), place]


def test_a_neighbour_of_the_same_name_keeps_its_takes(home: Path, tmp_path: Path) -> None:
    """Two files in one folder whose scenes are both called Scene: numbers go on, nothing is replaced."""
    make()
    save(tmp_path / "first.blend")
    begin()
    theirs = make()
    shot = tmp_path / "farplane" / "Scene"
    kept = (shot / "take 001" / "plate.0001.exr").read_bytes()
    batch = Record(theirs.folder.with_name("variations 001"), "variations", "hills", ("",), ("",))
    batch.entries = [Entry("hills", theirs.folder, "hills")]
    batch.folder.mkdir()
    batch.save()
    plate = (theirs.folder / "plate.0001.exr").read_bytes()
    save(tmp_path / "second.blend")
    assert (shot / "take 001" / "plate.0001.exr").read_bytes() == kept
    assert (shot / "take 002" / "plate.0001.exr").read_bytes() == plate
    assert Record.open(shot / "variations 001").entries[0].take == shot / "take 002"


@pytest.mark.parametrize("kinds", [{"background"}, {"strip"}, {"projection"}, {"compositor"}])
def test_what_was_landed_before_is_right_in_the_written_file(home: Path, tmp_path: Path, kinds: set[str]) -> None:
    """Read by a Blender that knows nothing of the add-on: every file it names is there."""
    made = make()
    for frame in made.expected:
        (made.folder / f"depth.{frame:04d}.exr").write_bytes(depth(frame))
    landing.land(bpy.context.scene, bpy.context.scene.camera, made.folder, kinds)
    save(tmp_path / "there" / "shot.blend")
    place = tmp_path / "there" / "farplane" / "Scene" / "take 001"
    assert landing.landed(bpy.context.scene)[0].folder == place
    farplane.unregister()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "there" / "shot.blend"))
    named = [Path(bpy.path.abspath(image.filepath)) for image in bpy.data.images if image.source == "SEQUENCE"]
    editor = bpy.context.scene.sequence_editor
    for strip in landing.sequencer.strips_of(editor) if editor else ():
        named.append(Path(bpy.path.abspath(strip.directory)) / strip.elements[0].filename)
    farplane.register()
    assert named
    for path in named:
        assert path.is_file(), path
        assert path.is_relative_to(place)
    landing.remove(bpy.context.scene, "take 001")
    assert not landing.landed(bpy.context.scene)


def depth(frame: int) -> bytes:
    from farplane.addon.exr import write_channel

    return write_channel(np.full((4, 8), 5.0, np.float32))


def test_save_a_copy_gives_the_copy_its_own_and_the_open_file_keeps_its(home: Path, tmp_path: Path) -> None:
    made = make()
    landing.land(bpy.context.scene, bpy.context.scene.camera, made.folder, {"background"})
    save(tmp_path / "copy.blend", copy=True)
    assert not bpy.data.filepath
    assert listed() == [made.folder]
    assert landing.landed(bpy.context.scene)[0].folder == made.folder
    image = next(image for image in bpy.data.images if "farplane_take" in image)
    assert Path(bpy.path.abspath(image.filepath)).parent == made.folder
    theirs = Take.open(tmp_path / "farplane" / "Scene" / "take 001")
    theirs.accept()
    assert Take.open(made.folder).state == "pending", "two takes, not two names of one"


def test_a_save_that_fails_leaves_all_as_it_was(home: Path, tmp_path: Path) -> None:
    made = make()
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "shot.blend").mkdir()  # nobody can write a file over a folder
    with pytest.raises(RuntimeError):
        save(tmp_path / "closed" / "shot.blend")
    assert listed() == [made.folder]
    assert not list((tmp_path / "closed").rglob("take.json"))


def test_a_place_that_cannot_be_written_keeps_them_and_says_so(home: Path, tmp_path: Path) -> None:
    made = make()
    (tmp_path / "farplane").write_text("a file in the way")
    save(tmp_path / "shot.blend")
    assert session.message is not None
    assert f"stay in {made.folder.parent.parent}" in session.message.text
    assert listed() == [made.folder], "they are still in the list"
    (tmp_path / "farplane").unlink()
    bpy.ops.wm.save_mainfile()
    assert listed() == [tmp_path / "farplane" / "Scene" / "take 001"], "and go along with the next save"


def test_a_job_that_runs_goes_on_in_the_new_place(home: Path, tmp_path: Path) -> None:
    made = make()
    session.jobs["job"] = Job("job", made, "Scene")
    save(tmp_path / "shot.blend")
    place = tmp_path / "farplane" / "Scene" / "take 001"
    assert session.jobs["job"].take.folder == place
    made.write_thumbnail(b"\x89PNG\r\n\x1a\n picture")
    assert (place / "thumbnail.png").is_file()


def test_the_startup_file_takes_no_takes_along(home: Path, tmp_path: Path) -> None:
    """Blender calls its handlers with an empty path for it: what it keeps must not name this file's takes."""
    make()
    scene = bpy.context.scene
    kept = scene[places.ROOTS]
    carrying._before("")
    assert places.ROOTS not in scene
    carrying._after("")
    assert scene[places.ROOTS] == kept


def test_save_as_elsewhere_keeps_the_takes_in_the_list(home: Path, tmp_path: Path) -> None:
    make()
    save(tmp_path / "a" / "shot.blend")
    save(tmp_path / "b" / "shot.blend")
    first = tmp_path / "a" / "farplane" / "Scene" / "take 001"
    assert listed() == [first]
    bpy.ops.wm.save_mainfile()
    second = make().folder
    assert second == tmp_path / "b" / "farplane" / "Scene" / "take 001"
    assert listed() == [second, first]
    bpy.ops.farplane.accept(folder=str(first))
    assert Take.open(first).state == "accepted", "and can be worked with"
    assert set(listed()) == {second, first}


def test_a_folder_of_the_artists_own(home: Path, tmp_path: Path) -> None:
    scene = bpy.context.scene
    first = make().folder
    scene.farplane.folder = str(tmp_path / "plates")
    second = make().folder
    assert second == tmp_path / "plates" / "Scene" / "take 001"
    assert set(listed()) == {first, second}, "choosing another folder hides none"
    scene.farplane.folder = "//renders/plates"
    assert make().folder.is_relative_to(home), "an unsaved file has no folder of its own yet"
    save(tmp_path / "shot.blend")
    assert (tmp_path / "renders" / "plates" / "Scene" / "take 001").is_dir()
    assert places.shot_folder(scene, "Scene") == tmp_path / "renders" / "plates" / "Scene"
    assert len(listed()) == 3


def test_a_read_only_disk_names_the_setting(connected: Any, tmp_path: Path) -> None:
    place = tmp_path / "closed"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=100m", "none", place], capture_output=True).returncode:
        pytest.skip("only root may mount a disk")
    try:
        connected.farplane.folder = str(place)
        with pytest.raises(RuntimeError, match="Choose another Takes Folder in the Settings panel"):
            bpy.ops.farplane.generate()
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_folder_that_moved_with_its_file_is_found(home: Path, tmp_path: Path) -> None:
    make()
    save(tmp_path / "here" / "shot.blend")
    os.rename(tmp_path / "here", tmp_path / "there")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "there" / "shot.blend"))
    assert listed() == [tmp_path / "there" / "farplane" / "Scene" / "take 001"]


def test_a_new_file_has_no_messages_of_the_one_before(home: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        bpy.ops.farplane.accept()
    assert session.message is not None
    begin()
    assert session.message is None
    assert session.listed == []
