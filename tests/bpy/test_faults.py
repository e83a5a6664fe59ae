"""When something goes wrong that nobody thought of: it is told once, and the add-on goes on working."""

from __future__ import annotations

import errno
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

import farplane  # noqa: E402
from farplane.addon import passes  # noqa: E402
from farplane.addon.scene import Extraction, plan_shots  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.addon.ui import catalogue, depth_view, estimate, generate, operators, panels  # noqa: E402
from farplane.addon.ui.message import Message  # noqa: E402
from farplane.addon.ui.session import Job, session  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402
from farplane.protocol.events import ModelInfo  # noqa: E402

DISK_FULL = FarplaneError("output folder", "the disk is full", "Free some space")


def raises(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def leftovers() -> list[str]:
    blocks = (bpy.data.scenes, bpy.data.objects, bpy.data.cameras, bpy.data.node_groups)
    return [block.name for kind in blocks for block in kind if block.name.startswith(passes.PREFIX)]


# ---- the timer ----------------------------------------------------------------------------------------------


def test_a_fault_does_not_end_the_timer(scene: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Blender drops a timer that raised; jobs would come home no more until it is started anew."""
    with monkeypatch.context() as patch:
        patch.setattr(panels.view, "sync", raises(ValueError("not thought of")))
        assert panels.timer() == panels.timer() == panels.IDLE_SECONDS
    assert capsys.readouterr().err.count("Traceback") == 1, "in the console, but not twice a second"
    assert session.message.text == "Farplane: ValueError: not thought of"
    assert session.message.remedy == "Please report this"
    session.message = None
    assert panels.timer() in (panels.IDLE_SECONDS, panels.BUSY_SECONDS)
    assert session.message is None


def test_a_full_disk_is_no_word_about_the_connection(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "connection", "connected")
    session.disk.do(raises(DISK_FULL))
    while session.message is None:
        panels.tick()
    assert session.message == Message.of(DISK_FULL)
    assert session.connection == "connected"
    assert session.problem is None


# ---- Generate -----------------------------------------------------------------------------------------------


class Reading:
    """A generation in whose step something unthought-of happens."""

    waits, done, total, stage = False, 0, 1, "depth"
    closed = gives_way = False

    def step(self) -> bool:
        raise ValueError("not thought of")

    def close(self) -> None:
        self.closed = True


class Modal:
    """The operator as Blender holds it."""

    modal = operators.FARPLANE_OT_generate.modal
    _leave = operators.FARPLANE_OT_generate._leave
    _work = staticmethod(operators.FARPLANE_OT_generate._work)
    _timer: Any = "timer"


@pytest.mark.parametrize("workspace", [None, SimpleNamespace(status_text_set=lambda text: None)])
def test_generate_can_be_pressed_again_after_a_fault(
    scene: Any, monkeypatch: pytest.MonkeyPatch, workspace: Any
) -> None:
    """workspace : None where the window is closing."""
    removed: list[Any] = []
    manager = SimpleNamespace(event_timer_remove=removed.append, progress_end=lambda: None)
    reading = Reading()
    monkeypatch.setattr(operators, "_generation", reading)
    context: Any = SimpleNamespace(window_manager=manager, workspace=workspace)
    with pytest.raises(ValueError, match="not thought of"):
        Modal().modal(context, SimpleNamespace(type="TIMER", value="NOTHING"))
    assert reading.closed
    assert removed == ["timer"]
    assert operators.running_generation() is None
    assert operators.FARPLANE_OT_generate.poll(bpy.context)


def test_a_render_of_the_artists_goes_first(connected: Any, poll_until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    generation = generate.Generation(connected)
    while generation.stage != "depth":
        generation.step()
    with monkeypatch.context() as patch:
        patch.setattr(generate, "is_rendering", lambda: True)
        for _ in range(5):
            assert not generation.step()
        assert (generation.stage, generation.done, generation.waits) == ("depth", 0, True)
    generation.run()
    poll_until(lambda: session.job is None)
    assert session.takes[0].whole


def test_the_artists_render_counts_for_no_estimate(
    connected: Any, poll_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = generate.Generation(connected)
    while generation.stage != "depth":
        generation.step()
    with monkeypatch.context() as patch:
        patch.setattr(generate, "is_rendering", lambda: True)
        generation.step()
        assert generation.gives_way
        assert operators.generation_line(generation) == "Waiting for your render"
    assert generation._gave_way is not None
    generation._gave_way -= 7200  # they rendered for two hours
    generation._began -= 7200
    generation.run()
    assert not generation.gives_way
    assert generation.jobs[0].prepared < 3600
    poll_until(lambda: session.job is None)


@pytest.mark.parametrize("renders", [True, False])
def test_esc_during_a_render_is_meant_for_it(scene: Any, monkeypatch: pytest.MonkeyPatch, renders: bool) -> None:
    reading = Reading()
    reading.gives_way = renders
    manager = SimpleNamespace(event_timer_remove=lambda timer: None, progress_end=lambda: None)
    context: Any = SimpleNamespace(window_manager=manager, workspace=None)
    monkeypatch.setattr(operators, "_generation", reading)
    done = Modal().modal(context, SimpleNamespace(type="ESC", value="PRESS"))
    assert done == ({"PASS_THROUGH"} if renders else {"CANCELLED"})
    assert reading.closed is not renders


def test_no_stand_in_is_made_beside_a_render_of_the_artists(
    connected: Any, poll_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = generate.Generation(connected)
    with monkeypatch.context() as patch:
        patch.setattr(generate, "is_rendering", lambda: True)
        while not generation._enquiries or None in map(session.enquiries.get, generation._enquiries):
            generation.step()
            time.sleep(0.01)
        for _ in range(5):
            assert not generation.step()
        assert (generation.stage, generation.waits) == ("enquire", True)
        assert not leftovers()
    generation.run()
    poll_until(lambda: session.job is None)
    assert session.takes[0].whole


def test_the_depth_view_waits_for_a_render_of_the_artists(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bpy.context.window_manager.farplane.show_depth = True
    with monkeypatch.context() as patch:
        patch.setattr(depth_view, "is_rendering", lambda: True)
        assert not depth_view.refresh()
        assert depth_view.latest() is None
    assert depth_view.refresh()
    assert depth_view.latest() is not None
    with monkeypatch.context() as patch:
        patch.setattr(depth_view, "is_rendering", lambda: True)
        depth_view.refresh()
        assert depth_view.is_open(), "and so does taking its stand-in away"
    panels.tick()
    assert not leftovers()
    bpy.context.window_manager.farplane.show_depth = False


@pytest.mark.parametrize("end", ["cancel", "save", "unregister"])
def test_nothing_is_taken_out_of_the_file_during_a_render(
    connected: Any, monkeypatch: pytest.MonkeyPatch, poll_until: Any, end: str
) -> None:
    """The thread that renders goes through the file's lists: a few lines without an add-on crash Blender by that
    (docs/artist-checks.md).  What had to stay goes afterwards, and no file shows it to anybody.
    """
    generation = generate.Generation(connected)
    monkeypatch.setattr(operators, "_generation", generation)
    while (generation.stage, generation.done) != ("depth", 1):
        generation.step()
    path = bpy.data.filepath
    with monkeypatch.context() as patch:
        for module in (passes, generate, depth_view):
            patch.setattr(module, "is_rendering", lambda: True)
        generation.step()
        if end == "cancel":
            bpy.ops.farplane.cancel()
        elif end == "save":
            bpy.ops.wm.save_mainfile()
        else:
            farplane.unregister()
            farplane.register()
        panels.tick()
        assert passes.PREFIX in leftovers()
    if end == "save":
        generation.run()
        monkeypatch.setattr(operators, "_generation", None)
        poll_until(lambda: session.job is None)
        assert session.takes[0].whole, "the reading went on"
        assert not leftovers()
        bpy.ops.wm.open_mainfile(filepath=path)
    panels.tick()
    assert not leftovers()
    assert len(bpy.data.scenes) == 1


def test_the_artists_render_result_is_left_to_them(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made while a shot was read, and not looked at just now: an end of the reading takes nothing of theirs."""
    with Extraction(scene, plan_shots(scene)[0], engine="CYCLES") as extraction:
        extraction.keep_result()
        while not extraction.step():
            pass
    assert "Render Result" in bpy.data.images
    bpy.data.images.remove(bpy.data.images["Render Result"])
    with Extraction(scene, plan_shots(scene)[0], engine="CYCLES") as extraction:
        while not extraction.step():
            pass
    assert "Render Result" not in bpy.data.images


def test_what_is_landed_stays_during_a_render(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "is_rendering", lambda: True)
    for operator, values in (
        (bpy.ops.farplane.remove, {"landing_id": "a"}),
        (bpy.ops.farplane.lay_storyboard, {"folder": "a"}),
        (bpy.ops.farplane.remove_storyboard, {"storyboard_id": "a"}),
    ):
        with pytest.raises(RuntimeError, match=r"it is being rendered\. Wait for the render, or stop it"):
            operator(**values)


# ---- the stand-in -------------------------------------------------------------------------------------------


def test_the_last_scene_deleted_while_it_is_read(scene: Any) -> None:
    """Blender counts the stand-in as a scene, and lets the artist delete their only one: it must not stay instead."""
    with Extraction(scene, plan_shots(scene)[0], engine="CYCLES") as extraction:
        extraction.step()
        bpy.data.scenes.remove(scene)
        assert [item.name for item in bpy.data.scenes] == [passes.PREFIX]
    assert [item.name for item in bpy.data.scenes] == ["Scene"]
    assert bpy.context.window.scene == bpy.data.scenes[0]
    assert not leftovers()
    panels.tick()


def test_the_depth_views_stand_in_goes_in_a_tick_of_its_own(scene: Any) -> None:
    """In a large scene Blender takes 30 ms to remove it."""
    bpy.context.window_manager.farplane.show_depth = True
    assert panels.tick() == panels.BUSY_SECONDS, "it is not to stay for long"
    assert depth_view.latest() is not None
    assert passes.PREFIX in leftovers()
    scene.camera.location.x += 1  # would be rendered next
    first = depth_view.latest()
    assert panels.tick() == panels.IDLE_SECONDS
    assert not leftovers()
    assert depth_view.latest() is first, "nothing else in that tick"
    bpy.context.window_manager.farplane.show_depth = False
    panels.tick()


@pytest.mark.parametrize("end", ["save", "undo", "unregister", "switch off", "delete the scene"])
def test_the_depth_views_stand_in_is_nobodys_business(scene: Any, end: str) -> None:
    """Whatever comes between the two ticks: it is in no file, and nothing of it is left."""
    bpy.ops.ed.undo_push(message="a")
    bpy.ops.ed.undo_push(message="b")
    bpy.context.window_manager.farplane.show_depth = True
    depth_view.refresh()
    assert depth_view.is_open()
    if end == "save":
        copy = str(Path(bpy.data.filepath).with_name("copy.blend"))
        bpy.ops.wm.save_as_mainfile(filepath=copy, copy=True)
        with bpy.data.libraries.load(copy) as (inside, _):
            assert list(inside.scenes) == [scene.name]
    elif end == "undo":
        bpy.ops.ed.undo()
    elif end == "unregister":
        farplane.unregister()
        farplane.register()
        assert not depth_view.is_open()
    elif end == "switch off":
        bpy.context.window_manager.farplane.show_depth = False
    else:
        bpy.data.scenes.remove(scene)
    bpy.context.window_manager.farplane.show_depth = False
    panels.tick()
    assert not depth_view.is_open()
    assert not leftovers()
    assert len(bpy.data.scenes) == 1


def test_generate_while_the_depth_views_stand_in_stands(connected: Any, poll_until: Any) -> None:
    """Each removes its own: the depth view's end does not take the one away that passes are read from."""
    bpy.context.window_manager.farplane.show_depth = True
    generation = generate.Generation(connected)
    while generation.stage in ("connect", "enquire"):
        if generation.waits and not depth_view.is_open():
            depth_view.refresh()
        generation.step()
    generation.step()
    assert len([name for name in leftovers() if name == passes.PREFIX]) == 1
    depth_view.refresh()
    assert not depth_view.is_open()
    assert passes.PREFIX in leftovers()
    bpy.context.window_manager.farplane.show_depth = False
    generation.run()
    poll_until(lambda: session.job is None)
    assert session.takes[0].whole


def test_an_edit_right_after_the_depth_was_read_counts(scene: Any) -> None:
    """Blender tells of our stand-in's going as of an edit of the collections; of the artist's it tells which object."""

    def told_of(*blocks: Any) -> int:
        before = depth_view._state.edits
        told = {"is_updated_geometry": True, "is_updated_transform": False, "is_updated_shading": False}
        updates = [SimpleNamespace(id=block, **told) for block in blocks]
        depth_view._edited(scene, SimpleNamespace(updates=updates))
        return depth_view._state.edits - before

    bpy.context.window_manager.farplane.show_depth = True
    panels.tick()
    panels.tick()
    assert depth_view._state.quiet
    assert told_of(scene.collection) == 0
    assert told_of(scene.collection, bpy.data.objects["Cube"]) == 1
    panels.tick()  # that edit is seen, and changes nothing in the depth: perhaps it was none
    depth_view._state.changed = 0.0
    for _ in range(2):
        panels.tick()
    assert told_of(bpy.data.objects["Cube"]) == 0, "no end of renders"
    for _ in range(depth_view.QUIET_LOOKS):
        panels.tick()
    assert told_of(scene.collection) == 1
    bpy.context.window_manager.farplane.show_depth = False
    panels.tick()
    panels.tick()


def test_no_room_for_temporary_files(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "mkdtemp", raises(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(FarplaneError, match="Free some space for temporary files"):
        Extraction(scene, plan_shots(scene)[0], engine="CYCLES")
    assert not leftovers()


def test_a_render_that_is_looked_at_stays(scene: Any) -> None:
    """The artist's own, made while the shot was read."""
    area = bpy.context.window.screen.areas[0]
    kind = area.type
    with Extraction(scene, plan_shots(scene)[0], engine="CYCLES") as extraction:
        while not extraction.step():
            pass
        area.type = "IMAGE_EDITOR"
        area.spaces.active.image = bpy.data.images["Render Result"]
    assert "Render Result" in bpy.data.images
    area.spaces.active.image = None
    area.type = kind
    bpy.data.images.remove(bpy.data.images["Render Result"])
    with Extraction(scene, plan_shots(scene)[0], engine="CYCLES") as extraction:
        while not extraction.step():
            pass
    assert "Render Result" not in bpy.data.images


# ---- jobs and what is remembered ------------------------------------------------------------------------------


def test_the_first_end_of_a_job_is_the_one_that_is_told(scene: Any, tmp_path: Path) -> None:
    """A full disk cancels the job; the backend's word that it is cancelled must not hide why."""
    take = Take.create(tmp_path / "take", {"frames": [{"frame": 1}]}, job="a")
    job = Job("a", take, "Scene")
    session.follow(job)
    ended: list[str] = []
    listener = lambda job: ended.append(job.outcome)  # noqa: E731
    session.when_ended.append(listener)
    session._end(job, "failed", Message.of(DISK_FULL))
    session._end(job, "cancelled", Message("Cancelled"))
    session.disk.flush()
    session.when_ended.remove(listener)
    assert ended == ["failed"]
    assert session.message == Message.of(DISK_FULL)
    assert not session.jobs


@pytest.mark.parametrize("module", [catalogue, estimate])
def test_a_history_that_cannot_be_kept_costs_nothing(
    scene: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: Any
) -> None:
    (tmp_path / "file").write_text("where the folder would be")
    monkeypatch.setattr(module, "user_folder", lambda name: tmp_path / "file" / name)
    if module is catalogue:
        monkeypatch.setattr(catalogue, "_told", None)
        monkeypatch.setattr(session, "models", (ModelInfo("m", "M", 1.0, "ready", ((64, 36),), 1, 4, 1.0),))
        catalogue.remember()
    else:
        monkeypatch.setattr(estimate, "_history", None)
        assert estimate.history() == []
    panels._draw_plan(SimpleNamespace(column=lambda **_: Column(), row=Column), bpy.context)
    session.disk.flush()


class Column:
    """A layout that draws nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: Column()
