"""`variations` and `storyboard` as commands, against a real backend whose pipeline paints (service/painter.py).

The first word of each prompt says what the painter does: plain, slow (until it is cancelled), mistake (it fails).
"""

from __future__ import annotations

import io
import json
import os
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

from farplane.addon.batch import Record, records_in  # noqa: E402
from farplane.addon.command import EXIT_CODES, execute, main  # noqa: E402
from farplane.addon.storyboard import laid, remove, set_marker_prompt  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.backend.private import PrivateBackend  # noqa: E402

PAINTER = Path(__file__).parent.parent / "backend" / "service"


@pytest.fixture
def blend(tmp_path: Path) -> Path:
    """A floor and three cameras; the third looks at the sky.  Markers are added by the tests that want them."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 6
    scene.render.resolution_x, scene.render.resolution_y = 64, 36
    mesh = bpy.data.meshes.new("Floor")
    mesh.from_pydata([(-9, -9, 0), (9, -9, 0), (9, 9, 0), (-9, 9, 0)], [], [(0, 1, 2, 3)])
    scene.collection.objects.link(bpy.data.objects.new("Floor", mesh))
    for name, tilt in (("wide", 0.0), ("close", 0.2), ("sky", 3.1)):
        camera = bpy.data.objects.new(name, bpy.data.cameras.new(name))
        camera.location, camera.rotation_euler = (0, 0, 5), (tilt, 0, 0)
        scene.collection.objects.link(camera)
    scene.camera = bpy.data.objects["wide"]
    path = tmp_path / "street.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    return path


def with_markers(blend: Path, *names: str) -> Any:
    scene = bpy.context.scene
    for index, name in enumerate(names):
        scene.timeline_markers.new(name, frame=1 + 2 * index).camera = bpy.data.objects[name]
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    return scene


class Listening(io.StringIO):
    """What a command says, and a look at each event as it comes."""

    def __init__(self, on_event: Callable[[dict[str, Any]], object]) -> None:
        super().__init__()
        self._on_event = on_event

    def write(self, text: str) -> int:
        self._on_event(json.loads(text))
        return super().write(text)


def run(
    backend: PrivateBackend, *arguments: Any, on_event: Callable[[dict[str, Any]], object] = lambda event: None
) -> tuple[int, list[dict[str, Any]]]:
    """The command in this process: (exit code, its events)."""
    out = Listening(on_event)
    # A path for a model, which the server leaves to its pipeline.
    code = main([*map(str, arguments), "--model", "/painter", "--config", str(backend.config)], out)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def listing(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def png_size(path: Path) -> tuple[int, int]:
    return struct.unpack(">II", path.read_bytes()[16:24])


def test_a_grid_of_takes_and_its_sheet(backend: PrivateBackend, blend: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prompt = "plain valley, {dawn|noon}, {snow|}"
    code, told = run(backend, blend, "variations", "--out", out, "--prompt", prompt, "--seed", "7")
    assert code == 0, told[-1]
    names = ["01 dawn - snow", "02 dawn", "03 noon - snow", "04 noon"]
    assert listing(out) == [*names, "batch.json", "contact.png"]
    takes = [Take.open(out / name) for name in names]
    assert all(take.whole and take.state == "pending" for take in takes)
    prompts = [take.shot()["prompt"] for take in takes]
    assert prompts[:2] == ["plain valley, dawn, snow", "plain valley, dawn"]
    assert [take.shot()["settings"]["seed"] for take in takes] == [7] * 4
    assert len({take.job for take in takes}) == 4
    for take in takes:
        assert {f"{kind}.{n:04d}.exr" for kind in ("depth", "plate") for n in range(1, 7)} <= set(listing(take.folder))
    # the same seed and shot: the painter knows nothing else, so the plates are one another's
    assert len({(take.folder / "plate.0003.exr").read_bytes() for take in takes}) == 1
    result = told[-1]
    assert [one["state"] for one in result["takes"]] == ["done"] * 4
    assert result["contact"] == [str(out / "contact.png")]
    assert [event["name"] for event in told if event["event"] == "done"] == [
        "dawn, snow", "dawn, (nothing)", "noon, snow", "noon, (nothing)",
    ]  # fmt: skip
    depth = [event for event in told if event["event"] == "progress" and event["stage"] == "depth"]
    assert len(depth) == 6, "the scene is read once"
    width, height = png_size(out / "contact.png")
    assert width > 2 * 64
    assert height > 2 * 36
    record = Record.open(out)  # and once more in another Blender
    assert (record.title, record.rows, record.columns) == (prompt, ("dawn", "noon"), ("snow", "(nothing)"))
    assert record.ended
    assert all(entry.whole for entry in record.entries)
    assert [found.folder for found in records_in(tmp_path)] == [out]


def test_seeds_vary_when_asked_to(backend: PrivateBackend, blend: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--prompt", "plain {a|b}", "--seed", "3", "--vary-seed"]
    code, _ = run(backend, blend, "variations", "--out", out, *words)
    assert code == 0
    assert [Take.open(out / name).shot()["settings"]["seed"] for name in ("01 a", "02 b")] == [3, 4]
    assert (out / "01 a" / "plate.0001.exr").read_bytes() != (out / "02 b" / "plate.0001.exr").read_bytes()
    code, told = run(backend, blend, "variations", "--out", out, *words)
    assert (code, told[-1]["field"]) == (1, "output folder"), "nothing is replaced unasked"
    code, told = run(backend, blend, "variations", "--out", out, *words[:2], "--seed", "9", "--overwrite")
    assert code == 0
    assert Take.open(out / "02 b").shot()["settings"]["seed"] == 9


def test_one_that_fails_does_not_stop_the_others(backend: PrivateBackend, blend: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, told = run(backend, blend, "variations", "--out", out, "--prompt", "{mistake|plain} {dawn|noon}")
    assert code == 3
    failed = [event for event in told if event["event"] == "failed"]
    assert [(event["name"], event["field"], event["remedy"]) for event in failed] == [
        ("mistake, dawn", "checkpoint", "Fetch it"),
        ("mistake, noon", "checkpoint", "Fetch it"),
    ]
    assert [one["state"] for one in told[-1]["takes"]] == ["failed", "failed", "done", "done"]
    assert listing(out) == ["03 plain - dawn", "04 plain - noon", "batch.json", "contact.png"]
    assert "Checkpoint: it is missing" in Record.open(out).entries[0].problem


def test_when_all_fail_nothing_is_left(backend: PrivateBackend, blend: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, told = run(backend, blend, "variations", "--out", out, "--prompt", "mistake {a|b}")
    assert (code, told[-1]["event"], told[-1]["field"]) == (1, "error", "checkpoint")
    assert not out.exists()


def test_cancel_midway_stops_all_and_keeps_what_is_whole(backend: PrivateBackend, blend: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def interrupt(event: dict[str, Any]) -> None:
        if event.get("stage") == "denoise" and event.get("name", "").startswith("slow"):
            signal.raise_signal(signal.SIGINT)

    seen: list[str] = []

    def once(event: dict[str, Any]) -> None:
        if not seen and event.get("stage") == "denoise" and event.get("name", "").startswith("slow"):
            seen.append(event["name"])
            interrupt(event)

    prompt = "{plain|slow|deaf} {hills|coast}"
    code, told = run(backend, blend, "variations", "--out", out, "--prompt", prompt, on_event=once)
    assert (code, told[-1]["event"]) == (130, "cancelled")
    assert seen == ["slow, hills"]
    assert listing(out) == ["01 plain - hills", "02 plain - coast", "batch.json", "contact.png"]
    assert all(Take.open(out / name).whole for name in listing(out)[:2])
    assert [entry.problem for entry in Record.open(out).entries] == ["", "", *["Cancelled"] * 4]
    # the queue is empty again: the next job is not behind 2000 slow steps
    code, told = run(
        backend, blend, "render", "--out", tmp_path / "next", "--prompt", "plain", "--no-reference", "--no-land"
    )
    assert code == 0
    assert all(event.get("position", 0) == 0 for event in told)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("plain {a|{b|c}}", "inside of braces"),
        ("plain " + "{a|b}" * 7, "= 128 variations"),
        ("plain {a|b", "not closed"),
    ],
)
def test_mistakes_in_the_braces_cost_nothing(
    backend: PrivateBackend, blend: Path, tmp_path: Path, prompt: str, words: str
) -> None:
    code, told = run(backend, blend, "variations", "--out", tmp_path / "out", "--prompt", prompt)
    assert code == 1
    assert [event["event"] for event in told] == ["error"]
    assert told[0]["field"] == "prompt"
    assert words in told[0]["problem"]
    assert not (tmp_path / "out").exists()


def test_a_storyboard_is_laid_into_a_copy(backend: PrivateBackend, blend: Path, tmp_path: Path) -> None:
    """The third camera is nowhere: its shot is told to have failed, and has words but no picture."""
    bpy.data.objects["sky"].delta_location.x = float("nan")
    scene = with_markers(blend, "wide", "close", "sky")
    scene["farplane_prompt"] = "plain valley"
    set_marker_prompt(scene, "close", "plain face in fog")
    bpy.ops.wm.save_mainfile()
    before = blend.read_bytes()
    out = tmp_path / "out"
    code, told = run(backend, blend, "storyboard", "--out", out)
    assert code == 3
    assert [event["name"] for event in told if event["event"] == "failed"] == ["sky"]
    names = ["01 wide", "02 close", "batch.json", "contact.png", "street_storyboard.blend"]
    assert listing(out) == names
    assert blend.read_bytes() == before, "the scene itself is not touched"
    assert [list(Take.open(out / name).frames()) for name in names[:2]] == [[1, 2], [3, 4]]
    assert Take.open(out / "02 close").shot()["prompt"] == "plain face in fog"
    moved = tmp_path / "elsewhere"
    out.rename(moved)
    bpy.ops.wm.open_mainfile(filepath=str(moved / "street_storyboard.blend"))
    scene = bpy.context.scene
    editor = scene.sequence_editor
    strips = sorted(
        editor.strips if hasattr(editor, "strips") else editor.sequences, key=lambda s: (s.channel, s.frame_start)
    )
    spans = [(s.type, s.channel, int(s.frame_final_start), int(s.frame_final_end)) for s in strips]
    assert spans == [("IMAGE", 1, 1, 3), ("IMAGE", 1, 3, 5), ("TEXT", 2, 1, 3), ("TEXT", 2, 3, 5), ("TEXT", 2, 5, 7)]
    assert [s.text for s in strips if s.type == "TEXT"] == ["plain valley", "plain face in fog", "plain valley"]
    picture = bpy.path.abspath(strips[1].directory) + strips[1].elements[0].filename
    assert Path(picture).resolve() == (moved / "02 close" / "plate.0003.exr").resolve()
    ((identity, title),) = laid(scene).items()
    assert title == "street"
    remove(scene, identity)
    assert not laid(scene)


def test_a_storyboard_wants_markers_and_prompts(backend: PrivateBackend, blend: Path, tmp_path: Path) -> None:
    code, told = run(backend, blend, "storyboard", "--out", tmp_path / "out", "--prompt", "plain")
    assert (code, told[-1]["field"]) == (1, "storyboard")
    with_markers(blend, "wide", "close")
    code, told = run(backend, blend, "storyboard", "--out", tmp_path / "out")
    assert (code, told[-1]["field"]) == (1, "prompt")
    assert "wide" in told[-1]["problem"]


# -- the registered command: words for people -------------------------------------------------------------------------


def said(*arguments: Any) -> tuple[int, str]:
    out = io.StringIO()
    return execute([str(argument) for argument in arguments], out), out.getvalue()


def test_lines_for_people_and_json_on_request(backend: PrivateBackend, blend: Path, tmp_path: Path) -> None:
    words = ["variations", "--prompt", "{plain|mistake} hills", "--model", "/painter", "--config", backend.config]
    code, text = said(*words, "--out", tmp_path / "out")
    assert code == 3
    lines = text.splitlines()
    assert f"plain: done (1 of 2), {tmp_path / 'out' / '01 plain'}" in lines
    assert "mistake: failed: checkpoint: it is missing. Fetch it" in lines
    assert lines[-2:] == [f"done: {tmp_path / 'out'}", str(tmp_path / "out" / "contact.png")]
    assert len([line for line in lines if line.startswith("depth")]) == 1, "a stage is one line in a log"
    code, text = said(*words, "--out", tmp_path / "again", "--json")
    assert code == 3
    assert json.loads(text.splitlines()[-1])["event"] == "result"
    code, text = said("variations", "--out", tmp_path / "none", "--prompt", "{a")
    assert code == 1
    assert text == "error: prompt: a { is not closed. Add the }, or write \\{ for the character itself\n"


@pytest.mark.parametrize("words", [["--help"], ["render", "-h"], ["variations", "--help"], ["storyboard", "--help"]])
def test_help_says_the_exit_codes(blend: Path, words: list[str]) -> None:
    code, text = said(*words)
    assert code == 0
    for line in EXIT_CODES.splitlines():
        assert line.strip() in text
    assert "blender -b SHOT.blend -c farplane" in text


def test_a_remote_backend_needs_online_access(blend: Path, tmp_path: Path) -> None:
    if bpy.app.online_access:
        pytest.skip("this Blender was started with online access")
    words = ["--prompt", "x", "--backend", "tcp://render.studio:7410", "--backend-key", "k" * 40]
    code, text = said("render", "--out", tmp_path / "out", *words)
    assert code == 1
    assert "online access is off" in text


def test_the_scenes_own_panel_is_what_a_farm_renders(backend: PrivateBackend, blend: Path, tmp_path: Path) -> None:
    """Where the add-on is enabled, what the command line leaves out is what the artist set."""
    import farplane

    farplane.register()
    try:
        asked = bpy.context.scene.farplane
        asked.prompt, asked.seed, asked.model_name = "plain {a|b}", 11, "/painter"
        code, text = said(
            "render", "--out", tmp_path / "out", "--config", backend.config, "--no-reference", "--no-land"
        )
    finally:
        farplane.unregister()
    assert code == 0, text
    assert "`variations` renders each alternative" in text
    shot = Take.open(tmp_path / "out").shot()
    assert (shot["prompt"], shot["settings"]["seed"]) == ("plain {a|b}", 11)
