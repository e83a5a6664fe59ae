"""The add-on registered in a real Blender, against a real backend process: the panel's way without its window.

The backend's pipeline is the service tests' painter; the first word of the prompt says what it does.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

import farplane  # noqa: E402
from farplane.addon.landing import landed  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.addon.ui import generate, panels, preferences  # noqa: E402
from farplane.addon.ui.message import duration  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402


def error_of(action: Callable[[], Any]) -> str:
    """The report of an operator that fails."""
    with pytest.raises(RuntimeError) as caught:
        action()
    return str(caught.value)


def test_from_the_prompt_to_the_landed_take_and_back(connected: Any, tmp_path: Path, poll_until: Any) -> None:
    scene = connected
    scene.farplane.seed, scene.farplane.size = 7, "SCENE"
    bpy.ops.farplane.generate()
    assert session.job is not None
    poll_until(lambda: session.job is None)

    folder = tmp_path / "farplane" / "Scene" / "take 001"
    take = Take.open(folder)
    assert (take.state, list(take.frames())) == ("pending", [11, 13, 15])
    names = {path.name for path in folder.iterdir()}
    assert names == {f"{kind}.{n:04d}.exr" for kind in ("plate", "depth") for n in (11, 13, 15)} | {
        "shot.json", "take.json", "report.json", "thumbnail.png",
    }  # fmt: skip
    assert take.shot()["settings"]["seed"] == 7
    assert take.shot()["frames"][1]["depth"] == "depth.0013.exr"
    assert session.message.text == "take 001 is here"
    assert [found.folder for found in session.takes] == [folder]

    bpy.ops.farplane.accept(folder=str(folder), note="the light is right")
    decided = Take.open(folder)
    assert (decided.state, decided.note) == ("accepted", "the light is right")
    bpy.ops.farplane.land(folder=str(folder), kinds={"background", "strip"})
    assert landed(scene)[0].kinds == ("background", "strip")
    assert {getattr(each, "sequencer_scene", scene) for each in bpy.data.workspaces} == {scene}  # 5.0: else unseen
    assert scene.camera.data.background_images[0].image.filepath == "//farplane/Scene/take 001/plate.0011.exr"
    bpy.ops.farplane.remove(landing_id=landed(scene)[0].id)
    assert not landed(scene)
    assert not scene.camera.data.background_images

    bpy.ops.farplane.generate()  # the next take gets the next folder
    poll_until(lambda: session.job is None)
    assert [found.name for found in session.takes] == ["take 002", "take 001"]
    bpy.ops.farplane.reject(folder=str(folder.with_name("take 002")))
    rejected = Take.open(folder.with_name("take 002"))
    assert (rejected.state, bool(rejected.author), bool(rejected.decided)) == ("rejected", True, True)


def test_cancel_stops_the_job_and_leaves_no_empty_take(connected: Any, tmp_path: Path, poll_until: Any) -> None:
    connected.farplane.prompt = "slow river"
    bpy.ops.farplane.generate()
    poll_until(lambda: session.job is not None and session.job.stage == "denoise")
    assert "Denoising" in session.job.line
    bpy.ops.farplane.cancel()
    assert session.job.line == "Cancelling"
    assert not bpy.ops.farplane.cancel.poll(), "once is enough"
    poll_until(lambda: session.job is None)
    assert session.message.text == "Cancelled"
    assert not list((tmp_path / "farplane" / "Scene").iterdir())


@pytest.mark.parametrize("trouble", ["mistake", "killed", "memory"])
def test_a_failure_is_told_with_its_remedy_and_the_next_job_works(
    connected: Any, trouble: str, poll_until: Any
) -> None:
    connected.farplane.prompt = f"{trouble} in the hills"
    bpy.ops.farplane.generate()
    poll_until(lambda: session.job is None)
    assert session.message.is_error
    assert session.message.remedy
    assert not session.takes
    connected.farplane.prompt = "plain again"
    bpy.ops.farplane.generate()
    poll_until(lambda: session.job is None)
    assert not session.message.is_error
    assert len(session.takes) == 1


@pytest.mark.parametrize("when", ["before it is sent", "while it runs"])
def test_a_closed_connection_is_picked_up_again(connected: Any, when: str, poll_until: Any) -> None:
    bpy.ops.farplane.generate()
    if when == "while it runs":
        poll_until(lambda: session.job is None or session.job.stage == "denoise")
    session.disconnect()
    poll_until(lambda: session.job is None)  # the timer connects again, and sends the job or asks for it by its UUID
    assert session.takes[0].whole


def test_without_a_backend_nothing_is_read_from_the_scene(scene: Any) -> None:
    before = len(bpy.data.scenes), len(bpy.data.objects)
    text = error_of(bpy.ops.farplane.generate)
    assert "No backend is running on this machine. Start one" in text
    assert session.message.is_error
    assert session.job is None
    assert (len(bpy.data.scenes), len(bpy.data.objects)) == before
    assert not (Path(bpy.data.filepath).parent / "farplane").exists()


def test_an_unknown_model_is_refused_before_any_work(connected: Any) -> None:
    connected.farplane.model_name = "farplane-xxl"
    assert connected.farplane.model == "farplane-xxl", "the scene keeps its model though nobody offers it"
    assert "unknown to the backend" in error_of(bpy.ops.farplane.generate)


def test_a_disk_without_room_is_told_before_any_work(connected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: type("usage", (), {"free": 30 << 20}))
    assert "has 30 MiB free, and the shot may need 33 MiB" in error_of(bpy.ops.farplane.generate)
    assert not bpy.data.scenes[1:], "nothing was read"
    assert not (Path(bpy.data.filepath).parent / "farplane").exists()


def test_mistakes_in_the_scene_are_told(connected: Any) -> None:
    connected.camera.data.type = "ORTHO"
    assert "orthographic" in error_of(bpy.ops.farplane.generate)
    connected.camera = None
    assert "Add a camera" in error_of(bpy.ops.farplane.generate)
    assert not bpy.data.scenes[1:], "no stand-in scene is left"
    connected.farplane.prompt = "  "
    assert not bpy.ops.farplane.generate.poll()
    assert "does not exist" in error_of(lambda: bpy.ops.farplane.land(folder="//farplane/nothing"))


def test_the_shot_at_the_current_frame_is_sent(connected: Any, poll_until: Any) -> None:
    scene = connected
    second = bpy.data.objects.new("Second", scene.camera.data)
    second.location = (0.5, 0, 10)
    scene.collection.objects.link(second)
    scene.frame_step, scene.frame_end = 1, 20
    for name, frame, camera in (("wide", 11, scene.camera), ("close", 16, second)):
        scene.timeline_markers.new(name, frame=frame).camera = camera
    for frame, expected in ((12, "wide"), (17, "close"), (200, "wide")):
        scene.frame_set(frame)
        assert generate.current_plan(scene).name == expected
    scene.frame_set(18)
    bpy.ops.farplane.generate()
    poll_until(lambda: session.job is None)
    take = session.takes[0]
    assert take.folder.parent.name == "close"
    assert list(take.frames()) == [16, 17, 18, 19, 20]
    bpy.ops.farplane.land(folder=str(take.folder))
    assert landed(scene)[0].camera == second


def test_the_plate_has_the_scenes_shape_and_about_the_models_size(connected: Any, poll_until: Any) -> None:
    session.connect()
    poll_until(lambda: session.connection == "connected")
    connected.farplane.model, connected.farplane.size = "farplane-s", "MODEL"
    largest = max(w * h for w, h in session.models[0].sizes)
    render = connected.render
    for width, height in ((1920, 1080), (1080, 1920), (2048, 857), (1000, 1000)):
        render.resolution_x, render.resolution_y = width, height
        w, h = generate.plate_size(connected)
        assert min(abs(w - h * width / height), abs(h - w * height / width)) <= 0.5  # half a pixel of a side
        assert w * h == pytest.approx(largest, rel=0.25)  # about as many pixels as the model likes
    render.resolution_x, render.resolution_y = 1080, 1919  # odd
    connected.farplane.size = "SCENE"
    assert generate.plate_size(connected) == (1080, 1919)


def test_the_prompt_is_the_scenes_own(scene: Any) -> None:
    """The command line and scripts read and write the same texts."""
    scene["farplane_prompt"], scene["farplane_negative"] = "a valley", "people"
    assert (scene.farplane.prompt, scene.farplane.negative) == ("a valley", "people")
    scene.farplane.prompt = "a coast"
    assert scene["farplane_prompt"] == "a coast"


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("tcp://127.0.0.1:5", True),
        ("tcp://localhost:65535", True),
        ("tcp://[::1]:7410", True),
        ("tcp://10.0.0.7:7410", False),
        ("tcp://render.studio:7410", False),
        ("tcp://localhost.evil.org:7410", False),
    ],
)
def test_only_other_machines_need_online_access(address: str, loopback: bool) -> None:
    assert preferences.is_loopback(address) == loopback
    if loopback or bpy.app.online_access:
        preferences.check_address(preferences.Settings(address))
    else:
        with pytest.raises(FarplaneError, match="online access is off"):
            preferences.check_address(preferences.Settings(address))


@pytest.mark.parametrize(
    "address", ["localhost:5", "http://localhost:5", "tcp://a b:5", "tcp://localhost", "tcp://h:70000"]
)
def test_a_malformed_address_is_told(address: str) -> None:
    with pytest.raises(FarplaneError, match="no address"):
        preferences.check_address(preferences.Settings(address))


def test_register_and_unregister_twice_leave_nothing(scene: Any) -> None:
    farplane.unregister()

    def traces() -> dict:
        return {
            "types": sorted(name for name in dir(bpy.types) if "farplane" in name.lower()),
            "operators": sorted(dir(bpy.ops.farplane)),
            "property": hasattr(bpy.types.Scene, "farplane"),
            "threads": [t.name for t in threading.enumerate() if "farplane" in t.name],
            "timer": bpy.app.timers.is_registered(panels.timer),
        }

    registered = []
    for _ in range(2):
        clean = {"types": [], "operators": [], "property": False, "threads": [], "timer": False}
        assert traces() == clean
        farplane.register()
        registered.append(traces()["operators"])
        assert {"generate", "cancel", "land", "remove"} < set(registered[0])
        session.connect()
        session.disk.do(lambda: None)
        assert sorted(traces()["threads"]) == ["farplane-client", "farplane-disk"]
        farplane.unregister()
    assert registered[0] == registered[1]
    farplane.register()  # the fixture unregisters


def test_a_failed_registration_leaves_nothing(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    farplane.unregister()
    monkeypatch.setattr(panels, "register", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        farplane.register()
    assert not dir(bpy.ops.farplane)
    assert not hasattr(bpy.types.Scene, "farplane")
    monkeypatch.undo()
    farplane.register()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (59, "59 s"), (89, "89 s"), (150, "2 min"), (3600, "60 min"), (9000, "2 h")]
)
def test_times_are_told_as_precisely_as_they_deserve(seconds: float, text: str) -> None:
    assert duration(seconds) == text
