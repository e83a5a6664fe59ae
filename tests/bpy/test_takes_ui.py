"""Takes in the panel: the list, decisions, names, comparison, deletion; presets, depth range and the estimate."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
OpenEXR = pytest.importorskip("OpenEXR")

from farplane.addon import landing  # noqa: E402
from farplane.addon.client import NO_ANSWER  # noqa: E402
from farplane.addon.exr import write_channel  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.addon.ui import compare, depth_view, estimate, generate, overlay, panels, takes_panel  # noqa: E402
from farplane.addon.ui.estimate import Record  # noqa: E402
from farplane.addon.ui.message import Message  # noqa: E402
from farplane.addon.ui.places import shot_folder  # noqa: E402
from farplane.addon.ui.session import Job, session  # noqa: E402
from farplane.addon.ui.summary import Summary  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402
from farplane.protocol.events import ModelInfo  # noqa: E402

W, H = 8, 4
MODEL = ModelInfo("small", "A small one", 21.0, "ready", ((112, 64),), 4, 12, 1.5)


def exr(value: float, folder: Path, compression: Any = OpenEXR.ZIP_COMPRESSION) -> bytes:
    """A plate of one grey, its upper left pixel white."""
    size = (H, W) if compression == OpenEXR.ZIP_COMPRESSION else (64, 64)
    rgb = np.full((*size, 3), value, np.float16)
    rgb[0, 0] = 1.0
    path = folder / "scratch.exr"
    OpenEXR.File({"compression": compression, "type": OpenEXR.scanlineimage}, {"RGB": rgb}).write(str(path))
    data = path.read_bytes()
    path.unlink()
    return data


def make_take(scene: Any, number: int, value: float = 0.25, created: str = "", **settings: Any) -> Take:
    import hashlib

    folder = shot_folder(scene, "Scene") / f"take {number:03d}"
    data = {
        "frames": [{"frame": n, "camera": "Camera"} for n in (11, 13, 15)],
        "prompt": f"hills {number}", "negative": "people", "resolution": [W, H],
        "settings": {"model": "small", "seed": 40 + number, "steps": 5} | settings,
    }  # fmt: skip
    take = Take.create(folder, data)
    for frame in take.expected:
        plate = exr(value, folder)
        take.write_frame(frame, plate, hashlib.sha256(plate).hexdigest())
    report = json.dumps({"plate": {"lock": [{"k": 4, "median": 9.0}, {"k": 1, "median": 0.21, "p95": 0.8}]}}).encode()
    take.write_artifact("report.json", report, hashlib.sha256(report).hexdigest())
    take.created = created or f"2026-11-22T10:00:{number:02d}+00:00"
    take.seconds = 8.4
    take.finish()
    return take


@pytest.fixture
def view(scene: Any) -> Any:
    """The window's own properties, with two takes listed, the newer one chosen."""
    make_take(scene, 1)
    make_take(scene, 2, value=0.5)
    return listed(scene)


def listed(scene: Any) -> Any:
    session.list_takes(shot_folder(scene, "Scene"))
    session.disk.flush()
    found = bpy.context.window_manager.farplane
    panels.view.sync()
    return found


def names(view: Any) -> list[str]:
    return [Path(item.folder).name for item in view.takes]


def error_of(action: Any) -> str:
    with pytest.raises(RuntimeError) as caught:
        action()
    return str(caught.value)


# ---- the list -----------------------------------------------------------------------------------------------


def test_the_newest_take_comes_first_and_the_chosen_one_stays_chosen(scene: Any, view: Any) -> None:
    assert names(view) == ["take 002", "take 001"]
    view.take_index = 1
    panels.view.sync()
    assert view.chosen().take.name == "take 001"
    make_take(scene, 3)
    assert names(listed(scene)) == ["take 003", "take 002", "take 001"]
    assert view.chosen().take.name == "take 003", "a new one is what the artist waits for"
    view.take_index = 2
    bpy.ops.farplane.delete_take(folder=view.takes[1].folder)
    panels.view.sync()
    assert (names(view), view.chosen().take.name) == (["take 003", "take 001"], "take 001")


def test_what_the_list_says_of_a_take(view: Any) -> None:
    item = view.chosen()
    summary = item.summary
    assert (summary.prompt, summary.negative, summary.seed, summary.steps) == ("hills 2", "people", 42, 5)
    assert (summary.size, summary.lock, summary.lock_95) == ((W, H), 0.21, 0.8)
    assert takes_panel._short(item) == "0.21 px  8 s"
    assert takes_panel._facts(item) == [
        "Seed 42, 5 steps",
        f"{W} x {H} px, 8 s",
        "Lock 0.21 px, 95% 0.80",
        "Not decided",
    ]


def test_a_damaged_report_says_nothing_and_breaks_nothing(scene: Any) -> None:
    take = make_take(scene, 1)
    for broken in (b"{", b"[]", b'{"plate": {"lock": [7, null]}}', b'{"plate": {"lock": [{"k": 1, "median": "x"}]}}'):
        (take.folder / "report.json").write_bytes(broken)
        assert Summary.read(take).lock is None


def test_what_the_report_notes_is_said_with_the_take(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from the file, a few of them, whole lines only; and drawn under the take that is chosen."""
    take = make_take(scene, 1)
    told = [f"depth: a hole in frame {n}" for n in range(9)]
    (take.folder / "report.json").write_text(json.dumps({"notes": [told[0], 7, "", *told[1:]]}))
    item = listed(scene).chosen()
    assert item.summary.notes == tuple(told[:4])
    drawn: list[str] = []
    monkeypatch.setattr(takes_panel, "_draw_text", lambda column, context, text, icon, lines: drawn.append(text))
    takes_panel._draw_words(MagicMock(), bpy.context, item)
    assert drawn == ["hills 1", *told[:4]]
    for broken in ({"notes": "text"}, {"notes": {"a": 1}}, {}):
        (take.folder / "report.json").write_text(json.dumps(broken))
        assert Summary.read(take).notes == ()


def test_the_list_is_searched_in_names_prompts_and_notes(view: Any) -> None:
    view.chosen().take.describe(note="Best Light")
    for wanted, found in (("hills 1", [0, 1]), ("LIGHT", [1, 0]), ("take 00", [1, 1]), ("zebra", [0, 0])):
        stand_in = SimpleNamespace(filter_name=wanted, bitflag_filter_item=1)
        flags, _ = takes_panel.FARPLANE_UL_takes.filter_items(stand_in, bpy.context, view, "takes")
        assert flags == found, wanted


# ---- decisions ----------------------------------------------------------------------------------------------


def test_decisions_are_written_beside_the_take_and_can_be_taken_back(view: Any) -> None:
    folder = view.chosen().take.folder
    view.note = "the light is right"
    bpy.ops.farplane.accept()
    raw = json.loads((folder / "take.json").read_text())
    assert (raw["state"], raw["note"], bool(raw["author"])) == ("accepted", "the light is right", True)
    assert raw["decided"].endswith("+00:00")
    assert view.chosen().take.state == "accepted", "the list knows at once"
    view.note = "on second thought"
    assert Take.open(folder).state == "accepted", "a note is no decision"
    bpy.ops.farplane.accept()
    assert Take.open(folder).state == "pending"
    bpy.ops.farplane.reject()
    again = Take.open(folder)
    assert (again.state, again.note) == ("rejected", "on second thought")
    assert "rejected" in error_of(lambda: bpy.ops.farplane.land(folder=str(folder)))
    assert Take.open(folder).frames(), "its files stay"


def test_landing_is_no_decision(scene: Any, view: Any) -> None:
    bpy.ops.farplane.land(kinds={"background"})
    assert view.chosen().take.state == "pending"
    assert landing.landed(scene)[0].kinds == ("background",)
    view.take_index = 1
    assert "Accept this take first" in error_of(lambda: bpy.ops.farplane.land(kinds={"background"}))
    bpy.ops.farplane.accept()
    bpy.ops.farplane.land(kinds={"background"})
    assert [item.name for item in landing.landed(scene)] == ["Scene/take 001"]


def test_one_kind_is_removed_and_the_others_stay(scene: Any, view: Any) -> None:
    bpy.ops.farplane.land(kinds={"background", "projection"})
    item = landing.landed(scene)[0]
    bpy.ops.farplane.remove(landing_id=item.id, kinds={"background"})
    assert landing.landed(scene)[0].kinds == ("projection",)
    bpy.ops.farplane.remove(landing_id=item.id)
    assert landing.landed(scene) == []


def test_a_name_is_the_takes_own_and_its_folder_stays(view: Any) -> None:
    folder = view.chosen().take.folder
    bpy.ops.farplane.rename_take(name="  golden \n hour ")
    assert view.chosen().take.label == "golden hour"
    assert view.chosen().take.folder == folder
    bpy.ops.farplane.rename_take(name="")
    assert Take.open(folder).label == "take 002"


def test_settings_are_used_again(scene: Any, view: Any) -> None:
    scene.farplane.seed_locked = False
    bpy.ops.farplane.use_settings()
    asked = scene.farplane
    assert (asked.prompt, asked.negative, asked.model_name, asked.seed) == ("hills 2", "people", "small", 42)
    assert (asked.quality, asked.steps, asked.seed_locked) == ("CUSTOM", 5, True)
    settings = generate.panel_settings(scene)
    assert (settings.model, settings.seed, settings.steps) == ("small", 42, 5)


@pytest.mark.skipif(sys.platform != "linux", reason="Blender opens a folder by xdg-open there alone")
def test_the_folder_is_shown_by_the_system(
    scene: Any, view: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "xdg-open"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$1" > "{tmp_path}/told" && mv "{tmp_path}/told" "{tmp_path}/opened"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    bpy.ops.farplane.show_folder()
    deadline = time.monotonic() + 30  # only ends a hang
    while not (tmp_path / "opened").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert Path((tmp_path / "opened").read_text().strip()) == shot_folder(scene, "Scene") / "take 002"


def test_deleting_takes_what_is_ours_and_nothing_landed(scene: Any, view: Any) -> None:
    folder = view.chosen().take.folder
    bpy.ops.farplane.land(kinds={"background"})
    assert "Remove it from the scene first" in error_of(lambda: bpy.ops.farplane.delete_take())
    bpy.ops.farplane.remove(landing_id=landing.landed(scene)[0].id)
    (folder / "retouched.psd").write_bytes(b"the artist's own")
    (folder / "blender").mkdir(exist_ok=True)
    (folder / "blender" / "depth.0011.exr").write_bytes(b"")
    bpy.ops.farplane.delete_take()
    assert [path.name for path in folder.iterdir()] == ["retouched.psd"]
    panels.view.sync()
    assert names(view) == ["take 001"]
    bpy.ops.farplane.delete_take(folder=view.takes[0].folder)
    assert not (folder.parent / "take 001").exists()


@pytest.mark.parametrize("name", ["accept", "reject", "delete_take", "rename_take", "land"])
def test_a_take_that_is_being_made_is_left_alone(view: Any, name: str) -> None:
    take = view.chosen().take
    session.jobs["job"] = Job("job", take, "Scene")
    assert "still being made" in error_of(getattr(bpy.ops.farplane, name))
    assert Take.open(take.folder).state == "pending"


def test_without_a_connection_cancel_ends_the_job_here(scene: Any) -> None:
    take = Take.create(shot_folder(scene, "Scene") / "take 001", {"frames": [{"frame": 11}]}, job="job")
    session.jobs["job"] = Job("job", take, "Scene")
    session.connection = "disconnected"
    session.problem = Message("Nothing answers at tcp://127.0.0.1:1", NO_ANSWER, True)
    assert session.lost.remedy.startswith("Start it"), "what listened on this machine has ended"
    bpy.ops.farplane.cancel(job="job")
    session.disk.flush()
    assert session.jobs == {}
    assert (session.message.text, session.message.is_error) == ("Cancelled", False)
    assert not take.folder.exists(), "nothing had come"


# ---- over the camera's frame --------------------------------------------------------------------------------


def test_two_takes_meet_at_the_split(scene: Any, view: Any) -> None:
    scene.frame_set(14)
    bpy.ops.farplane.compare()
    assert Path(view.compare).name == "take 002"
    assert view.chosen().take.name == "take 001", "the other one is chosen by itself"
    session.disk.flush()
    assert compare.refresh()
    left, right = overlay.shown(compare.OWNER)
    assert (left.left, left.right, right.left, right.right) == (0.0, 0.5, 0.5, 1.0)
    assert (left.label, right.label) == ("take 002", "take 001")
    assert left.picture.light[1, 1, 0] == pytest.approx(0.5, abs=1e-3)  # half floats in the files
    assert right.picture.light[1, 1, 0] == pytest.approx(0.25, abs=1e-3)
    assert right.picture.light[-1, 0] == pytest.approx([1, 1, 1, 1]), "the plate's first row is the picture's last"
    assert not compare.refresh(), "nothing is read or drawn anew without a change"
    view.split = 0.2
    assert compare.refresh()
    assert overlay.part((100, 0, 300, 90), overlay.shown(compare.OWNER)[1]) == pytest.approx((140, 0, 300, 90))
    bpy.ops.farplane.compare()
    assert (view.compare, overlay.shown(compare.OWNER)) == ("", [])


def test_a_comparison_ends_where_a_frame_cannot_be_read(view: Any) -> None:
    for path in view.chosen().take.frames().values():
        path.write_bytes(b"\x76\x2f\x31\x01 no more")
    bpy.ops.farplane.compare()
    session.disk.flush()
    compare.refresh()
    assert view.compare == ""
    assert session.message.is_error
    assert overlay.shown(compare.OWNER) == []


def test_the_depth_that_is_shown_is_the_depth_that_is_sent(scene: Any) -> None:
    scene.objects["Cube"].location.z = 3
    with depth_view.begin(scene, 12) as reading:
        frame = depth_view.read(reading)
    assert frame.z.shape == (36, 64)
    assert frame.z[18, 32] == pytest.approx(7.0, rel=1e-6)
    assert np.isinf(frame.z[0, 0])
    picture = depth_view.picture(np.array([[2.0, 4.0], [8.0, np.inf]], np.float32), 2.0, 8.0).light
    assert picture[1, 0, 0] == 1.0
    code = (1 / 4 - 1 / 8) / (1 / 2 - 1 / 8)  # on the screen, as sRGB: IEC 61966-2-1
    assert picture[1, 1, 0] == pytest.approx(((code + 0.055) / 1.055) ** 2.4, abs=1e-4)
    assert picture[0, 0, 0] == 0.0
    assert picture[0, 1, 2] > picture[0, 1, 0], "the sky is told from what is merely far"
    view = bpy.context.window_manager.farplane
    view.show_depth = True
    assert depth_view.refresh()
    assert overlay.shown(depth_view.OWNER) == [], "the disk's thread colours it"
    session.disk.flush()
    assert len(overlay.shown(depth_view.OWNER)) == 1
    assert not depth_view.refresh(), "nothing changed"
    scene.farplane.depth_auto, scene.farplane.near, scene.farplane.far = False, 1.0, 20.0
    first = overlay.shown(depth_view.OWNER)
    assert depth_view.refresh(), "another range is only coloured anew"
    session.disk.flush()
    assert overlay.shown(depth_view.OWNER) != first
    assert depth_view.latest().frame == scene.frame_current
    scene.farplane.far = 30.0
    assert depth_view.refresh()
    view.show_depth = False
    assert depth_view.refresh()
    session.disk.flush()
    assert overlay.shown(depth_view.OWNER) == [], "not even by what the thread was still at"


# ---- what will be sent --------------------------------------------------------------------------------------


def test_an_empty_range_of_depth_is_told(scene: Any) -> None:
    asked = scene.farplane
    assert generate.manual_range(scene) is None
    asked.depth_auto, asked.near, asked.far = False, 5.0, 5.0
    with pytest.raises(FarplaneError, match="not before"):
        generate.manual_range(scene)
    scene.unit_settings.scale_length = 0.01
    asked.far = 500.0
    assert generate.manual_range(scene) == pytest.approx((0.05, 5.0)), "metres, whatever the scene's unit"


def test_quality_is_a_number_of_steps(scene: Any) -> None:
    session.models = (MODEL,)
    asked = scene.farplane
    asked.model_name = "small"
    for quality, steps in (("DRAFT", 4), ("FINAL", 0), ("CUSTOM", 30)):
        asked.quality, asked.steps = quality, 30
        assert generate.panel_settings(scene).steps == steps
    assert generate.draft_steps("unheard of") == 0


def test_a_seed_changes_only_when_it_is_not_locked(scene: Any) -> None:
    asked = scene.farplane
    asked.seed = 7
    panels.redraw()
    from farplane.addon.ui import operators

    operators.new_seed(scene)
    assert asked.seed == 7
    asked.seed_locked = False
    seeds = set()
    for _ in range(8):
        operators.new_seed(scene)
        seeds.add(asked.seed)
    assert len(seeds) > 1


def test_presets_bring_prompt_and_settings_back(scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLENDER_USER_SCRIPTS", str(tmp_path / "scripts"))
    (tmp_path / "scripts").mkdir()
    asked = scene.farplane
    asked.prompt, asked.quality, asked.depth_auto, asked.far = 'dusk, "golden"', "DRAFT", False, 321.0
    bpy.ops.farplane.shot_preset_add(name="Golden Dusk")
    files = list((tmp_path / "scripts").rglob("Golden_Dusk.py"))
    assert len(files) == 1, "a file that can be shared"
    asked.prompt, asked.quality, asked.depth_auto, asked.far = "noon", "FINAL", True, 1.0
    bpy.ops.script.execute_preset(filepath=str(files[0]), menu_idname="FARPLANE_PT_shot_presets")
    assert (asked.prompt, asked.quality, asked.depth_auto, asked.far) == ('dusk, "golden"', "DRAFT", False, 321.0)


# ---- the estimate -------------------------------------------------------------------------------------------


def test_an_estimate_rests_on_this_models_own_history() -> None:
    wanted = Record("", "small", 1000, 10, 12, 0)
    assert estimate.estimate([], wanted) is None
    other = [Record("", "large", 1000, 10, 12, 900.0), Record("tcp://a:1", "small", 1000, 10, 12, 900.0)]
    assert estimate.estimate(other, wanted) is None, "another model or backend says nothing"
    one = estimate.estimate([*other, Record("", "small", 1000, 5, 6, 10.0)], wanted)
    assert one is not None
    assert (one.seconds, one.takes) == (40.0, 1), "four times the work"
    far = [Record("", "small", 10**6, 100, 50, 1.0)] * 20
    near = [Record("", "small", 1000, 10, 12, s) for s in (8.0, 9.0, 30.0, 9.5, 10.0)]
    said = estimate.estimate(far + near, wanted)
    assert said is not None
    assert said.seconds == 9.5, "the median of the five nearest: one slow day does not count"


def test_a_finished_job_is_learnt_from(connected: Any, poll_until: Any, tmp_path: Path) -> None:
    connected.farplane.quality, connected.farplane.steps = "CUSTOM", 4
    assert estimate.history() == []
    bpy.ops.farplane.generate()
    poll_until(lambda: session.job is None and not session.disk.busy)
    (record,) = estimate.history()
    assert (record.model, record.pixels, record.frames, record.steps) == ("/painter", 64 * 36, 3, 4)
    assert record.seconds >= session.takes[0].seconds > 0
    estimate.unregister()  # as after a restart
    estimate.register()
    assert estimate.history() == [record]
    path = tmp_path / "user" / "history" / "takes.json"
    for broken in (b"{", b'[1, {"model": 3}, {"backend": "", "model": "x", "seconds": -1}]', b"null"):
        path.write_bytes(broken)
        assert estimate._read(path) == []


def test_our_own_time_per_tick_is_counted_apart_from_blenders(connected: Any, poll_until: Any) -> None:
    from farplane.addon import passes
    from farplane.addon.ui.meter import meter

    meter.reset()
    before = passes.seconds_in_blender()
    bpy.ops.farplane.generate()
    poll_until(lambda: session.job is None)
    assert passes.seconds_in_blender()[0] > before[0], "renders are Blender's"
    assert meter.ticks > 0
    assert meter.longest > 0
    with meter.tick("probe"), passes.blenders_own():
        time.sleep(0.05)
    assert meter.blender["probe"] >= 0.05
    with meter.tick("sleep"):
        time.sleep(0.05)
    assert meter.worst["sleep"] >= 0.05
    assert meter.work["sleep"] < 0.05, "sleeping is no work"
    assert meter.report()["ticks"] == meter.ticks


# ---- a compression that this Blender may not know -----------------------------------------------------------


def test_htj2k_lands_or_says_what_to_do(scene: Any) -> None:
    import hashlib

    take = make_take(scene, 1)
    for frame in take.expected:
        data = exr(0.25, take.folder, OpenEXR.HTJ2K32_COMPRESSION)
        take.write_frame(frame, data, hashlib.sha256(data).hexdigest())
    take.save()
    before = len(bpy.data.images)
    if bpy.app.version >= (5, 2, 0):
        bpy.ops.farplane.land(folder=str(take.folder), kinds={"background"})
        return
    text = error_of(lambda: bpy.ops.farplane.land(folder=str(take.folder), kinds={"background"}))
    assert "HTJ2K" in text
    assert "ZIP" in text
    assert (landing.landed(scene), len(bpy.data.images)) == ([], before)


def test_a_depth_file_is_no_plate(tmp_path: Path) -> None:
    from farplane.addon.exr import is_htj2k

    path = tmp_path / "depth.exr"
    path.write_bytes(write_channel(np.ones((2, 2), np.float32)))
    assert not is_htj2k(path)
    path.write_bytes(b"nothing")
    assert not is_htj2k(path)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Blender opens a folder by the system itself")
def test_without_a_program_to_show_a_folder_it_says_so(
    view: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    text = error_of(bpy.ops.farplane.show_folder)
    assert "has no program to show" in text
    assert "Traceback" not in text
