"""Variations and the storyboard by their operators, against a real backend: the window's way without its window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

import farplane  # noqa: E402
from farplane.addon import storyboard  # noqa: E402
from farplane.addon.batch import Record  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.addon.ui import batch, resume  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402


def settled() -> bool:
    return not session.jobs and not session.disk.busy and not batch.active("variations") + batch.active("storyboard")


@pytest.fixture
def marked(connected: Any) -> Any:
    """Three cameras, each bound to a marker; the third one is scaled to nothing and cannot be read."""
    scene = connected
    scene.frame_step, scene.frame_start, scene.frame_end = 1, 1, 6
    for index, name in enumerate(("wide", "close", "flat")):
        camera = bpy.data.objects.new(name, scene.camera.data)
        camera.location, camera.scale = (0.1 * index, 0, 10), (name != "flat",) * 3
        scene.collection.objects.link(camera)
        scene.timeline_markers.new(name, frame=1 + 2 * index).camera = camera
    return scene


def test_a_grid_becomes_takes_of_the_shot_and_a_sheet(connected: Any, tmp_path: Path, poll_until: Any) -> None:
    asked = connected.farplane
    asked.prompt, asked.seed, asked.size = "{plain|mistake} hills, {dawn|noon}", 5, "SCENE"
    bpy.ops.farplane.variations()
    (run,) = batch.active("variations")
    assert len(run.jobs) == 4
    poll_until(settled)
    shot = tmp_path / "farplane" / "Scene"
    assert sorted(path.name for path in shot.iterdir()) == ["take 001", "take 002", "variations 001"]
    assert session.message.text == "2 of 4 takes are here"
    record = Record.open(shot / "variations 001")
    assert record.ended
    assert [entry.whole for entry in record.entries] == [True, True, False, False]
    assert "it is missing" in record.entries[2].problem
    assert (record.folder / "contact.png").read_bytes().startswith(b"\x89PNG")
    takes = [Take.open(shot / name) for name in ("take 001", "take 002")]
    assert [take.shot()["prompt"] for take in takes] == ["plain hills, dawn", "plain hills, noon"]
    assert {take.shot()["settings"]["seed"] for take in takes} == {5}
    asked.prompt, asked.vary_seed = "plain {a|b}", True
    bpy.ops.farplane.variations()
    poll_until(settled)
    seeds = [Take.open(e.take).shot()["settings"]["seed"] for e in Record.open(shot / "variations 002").entries]
    assert seeds == [5, 6]


def test_one_cancel_stops_all(connected: Any, tmp_path: Path, poll_until: Any) -> None:
    connected.farplane.prompt = "{plain|slow} {a|b|c}"
    bpy.ops.farplane.variations()
    (run,) = batch.active("variations")
    poll_until(lambda: run.finished == 3 and session.job is not None and session.job.stage == "denoise")
    bpy.ops.farplane.cancel_batch(folder=str(run.record.folder))
    assert all(job.cancelling for job in session.jobs.values())
    poll_until(settled)
    record = Record.open(run.record.folder)
    assert [entry.whole for entry in record.entries] == [True] * 3 + [False] * 3
    assert {entry.problem for entry in record.entries[3:]} == {"Cancelled"}
    connected.farplane.prompt = "plain again"
    bpy.ops.farplane.generate()  # the queue is free
    poll_until(settled)
    assert session.takes[0].whole


def test_a_mistake_in_the_braces_is_told(connected: Any, tmp_path: Path) -> None:
    connected.farplane.prompt = "a {b|{c|d}}"
    with pytest.raises(RuntimeError, match="inside of braces"):
        bpy.ops.farplane.variations()
    assert not batch.active("variations")
    assert not (tmp_path / "farplane").exists()


def test_drafts_of_all_markers_become_an_animatic(marked: Any, tmp_path: Path, poll_until: Any) -> None:
    bpy.ops.farplane.marker_prompt(marker="close", prompt="plain face")
    bpy.ops.farplane.storyboard()
    poll_until(settled)
    assert session.message.text == "2 of 3 takes are here"
    ((identity, title),) = storyboard.laid(marked).items()
    assert title == "storyboard 001"
    assert {getattr(each, "sequencer_scene", marked) for each in bpy.data.workspaces} == {marked}  # 5.0: else unseen
    strips = storyboard.strips_of(marked.sequence_editor)
    found = sorted((s.type, int(s.frame_final_start), int(s.frame_final_end)) for s in strips)
    assert found == [("IMAGE", 1, 3), ("IMAGE", 3, 5), ("TEXT", 1, 3), ("TEXT", 3, 5), ("TEXT", 5, 7)]
    assert Take.open(tmp_path / "farplane" / "close" / "take 001").shot()["prompt"] == "plain face"
    folder = tmp_path / "farplane" / "storyboard 001"
    assert (folder / "contact.png").is_file()
    bpy.ops.farplane.remove_storyboard(storyboard_id=identity)
    assert not storyboard.laid(marked)
    bpy.ops.farplane.lay_storyboard(folder=str(folder))
    assert list(storyboard.laid(marked).values()) == ["storyboard 001"]
    with pytest.raises(RuntimeError, match="not in the sequencer"):
        bpy.ops.farplane.remove_storyboard(storyboard_id=identity)


def test_a_storyboard_is_laid_after_a_render_of_the_artists(
    marked: Any, monkeypatch: pytest.MonkeyPatch, poll_until: Any
) -> None:
    """It may be the sequencer that Blender renders."""
    marked.farplane.prompt = "plain hills"
    with monkeypatch.context() as patch:
        bpy.ops.farplane.storyboard()
        patch.setattr(batch, "is_rendering", lambda: True)
        poll_until(settled)
        assert session.message.text == "2 of 3 takes are here"
        assert not storyboard.laid(marked)
    poll_until(lambda: bool(storyboard.laid(marked)))
    assert list(storyboard.laid(marked).values()) == ["storyboard 001"]


def test_a_renamed_scene_and_a_deleted_camera_while_a_storyboard_is_read(
    marked: Any, tmp_path: Path, poll_until: Any
) -> None:
    """The other shots go on, and are laid into the scene, whatever it is called by now."""
    marked.farplane.prompt = "plain hills"
    run = batch.begin_storyboard(marked)
    while len(run.jobs) == 0:
        assert not run.step()
    marked.name = "Night"
    bpy.data.objects.remove(bpy.data.objects["close"])
    run.run()
    poll_until(settled)
    record = Record.open(tmp_path / "farplane" / "storyboard 001")
    assert [entry.whole for entry in record.entries] == [True, False, False]
    assert "close is gone from Night" in record.entries[1].problem
    assert list(storyboard.laid(marked).values()) == ["storyboard 001"]


def test_a_scene_deleted_while_a_storyboard_is_read_is_told(marked: Any, tmp_path: Path, poll_until: Any) -> None:
    marked.farplane.prompt = "plain hills"
    bpy.context.window_manager.windows[0].scene = bpy.data.scenes.new("Second")
    run = batch.begin_storyboard(marked)
    while len(run.jobs) == 0:
        assert not run.step()
    bpy.data.scenes.remove(marked)
    with pytest.raises(FarplaneError, match="gone"):
        run.run()
    poll_until(settled)
    assert [scene.name for scene in bpy.data.scenes] == ["Second"], "no stand-in is left"


def test_without_markers_it_says_what_to_do(connected: Any) -> None:
    with pytest.raises(RuntimeError, match="Bind Camera to Markers"):
        bpy.ops.farplane.storyboard()


def test_a_batch_that_was_under_way_when_blender_closed(marked: Any, tmp_path: Path, poll_until: Any) -> None:
    """The add-on goes while drafts are made, and comes again in a file that was opened anew."""
    marked.farplane.prompt = "steady hills"  # 0.2 s a frame
    bpy.ops.wm.save_mainfile()
    bpy.ops.farplane.storyboard()
    poll_until(lambda: any(job.stage == "write" for job in session.jobs.values()))
    farplane.unregister()
    assert not session.jobs
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    farplane.register()
    bpy.context.scene.farplane.model_name = "/painter"
    session.wanted = True
    resume._wanted = True
    folder = tmp_path / "farplane" / "storyboard 001"
    poll_until(lambda: Record.open(folder).ended and settled())
    assert [entry.whole for entry in Record.open(folder).entries] == [True, True, False]
    assert (folder / "contact.png").is_file()
    assert list(storyboard.laid(bpy.context.scene).values()) == ["storyboard 001"]


def test_generate_takes_no_alternatives_at_their_word(connected: Any, poll_until: Any) -> None:
    """Unless it is said that they are meant so; an escaped brace is only a brace."""
    connected.farplane.prompt = "plain {dawn|noon}"
    with pytest.raises(RuntimeError, match="holds alternatives in braces"):
        bpy.ops.farplane.generate()
    assert not session.jobs
    bpy.ops.farplane.generate(literal=True)
    poll_until(settled)
    assert session.takes[0].shot()["prompt"] == "plain {dawn|noon}"
    connected.farplane.prompt = "plain \\{dawn\\}"
    bpy.ops.farplane.generate()
    poll_until(settled)
    assert session.takes[0].shot()["prompt"] == "plain {dawn}"


def test_the_contact_sheet_is_shown_in_blender(connected: Any, tmp_path: Path, poll_until: Any) -> None:
    connected.farplane.prompt = "plain {a|b}"
    bpy.ops.farplane.variations()
    poll_until(settled)
    folder = tmp_path / "farplane" / "Scene" / "variations 001"
    bpy.ops.farplane.show_sheet(folder=str(folder))
    (image,) = [image for image in bpy.data.images if image.filepath.endswith("contact.png")]
    assert all(image.size)
    with pytest.raises(RuntimeError, match="it is not there"):
        bpy.ops.farplane.show_sheet(folder=str(tmp_path))
