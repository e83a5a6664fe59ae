"""backend/blender.py: the command as a child process, with a real backend, real files and real signals."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")
psutil = pytest.importorskip("psutil")
OpenEXR = pytest.importorskip("OpenEXR")

import command_use  # noqa: E402

from farplane.addon import landing  # noqa: E402
from farplane.addon.command import main  # noqa: E402
from farplane.backend import blender  # noqa: E402
from farplane.backend.private import private_backend  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402

PAINTER = Path(__file__).parent.parent / "backend" / "service"
PATIENCE = 120.0  # seconds; a bound for a hang on a busy machine, not a measure

blend = command_use.blend


@pytest.fixture(scope="module")
def backend():
    """A real server and worker whose pipeline paints gradients (tests/backend/service/painter.py)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PAINTER))
        with private_backend("painter:paint") as running:
            running.published()
            yield running


def run(backend, *arguments, on_event=lambda event: None):
    # A path for a model, which the server leaves to its pipeline: this test wants no checkpoint.
    words = [*arguments, "--model", "/painter", "--no-reference"] if arguments[1] == "render" else arguments
    environment = {} if backend is None else {"FARPLANE_CONFIG": str(backend.config)}
    return blender.run_command(words, on_event, extra_environment=environment)


def painted(frame, seed=0):
    sys.path.insert(0, str(PAINTER))
    try:
        import painter
    finally:
        sys.path.remove(str(PAINTER))
    return painter.expected(frame, 64, 48, seed)


@pytest.fixture
def linked_camera(blend, tmp_path):
    """The same scene with its camera linked from another file: of the four landings, one cannot be made there."""
    camera = bpy.data.objects["cam 0"]
    bpy.data.libraries.write(str(tmp_path / "rig.blend"), {camera})
    bpy.data.objects.remove(camera)
    with bpy.data.libraries.load(str(tmp_path / "rig.blend"), link=True) as (_, into):
        into.objects = ["cam 0"]
    scene = bpy.context.scene
    scene.collection.objects.link(into.objects[0])
    scene.camera = into.objects[0]
    twin = bpy.data.objects.new("cam 0", bpy.data.cameras.new("twin"))  # looks elsewhere, and nobody looks through it
    scene.collection.objects.link(twin)
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    return blend


def test_a_landing_that_failed_is_said_last_and_is_exit_code_3(backend, linked_camera, tmp_path):
    """The others are there; in the command inside Blender as in `farplane render`."""
    out = tmp_path / "out"
    words = ["render", "--prompt", "plain", "--model", "/painter", "--no-reference", "--config", str(backend.config)]
    said = io.StringIO()
    assert main([str(linked_camera), *words, "--out", str(out)], said) == 3
    result = json.loads(said.getvalue().splitlines()[-1])
    assert (result["event"], [one["kind"] for one in result["not_landed"]]) == ("result", ["background"])
    bpy.ops.wm.open_mainfile(filepath=result["blend"])
    (item,) = landing.landed(bpy.context.scene)
    assert set(item.kinds) == {"projection", "compositor", "strip"}
    assert item.camera.library is not None

    words = ["--prompt=plain", "--no-reference", f"--out={out}", "--overwrite", "--pipeline=painter:paint"]
    done = subprocess.run(
        [sys.executable, "-m", "farplane.backend.cli", "render", str(linked_camera), *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(PAINTER), "TERM": "dumb", "COLUMNS": "200"},
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("not landed: Scene, background: cam 0 is linked from another file")


def test_render_brings_the_plate_home_and_lands_it(backend, blend, tmp_path):
    out, told = tmp_path / "out", []
    result = run(backend, blend, "render", "--out", out, "--prompt", "plain", "--seed", "7", on_event=told.append)
    for frame in range(1, 5):
        assert (out / f"plate.{frame:04d}.exr").read_bytes() == painted(frame, seed=7)
    stages = list(dict.fromkeys(event["stage"] for event in told if event["event"] == "progress"))
    assert stages == ["camera", "depth", "upload", "conditioning", "denoise", "write", "measure", "land"]
    data = json.loads((out / "shot.json").read_text())
    assert data["settings"]["seed"] == 7
    assert data["frames"][0]["camera"] == "cam 0"
    assert (out / data["frames"][3]["depth"]).is_file()
    assert json.loads((out / "take.json").read_text())["job"] == result["shots"][0]["job"]
    assert not [name for name in os.listdir(out) if name.startswith(".")]

    landed = Path(result["blend"])
    assert landed == out / "street_farplane.blend"
    moved = tmp_path / "elsewhere"
    out.rename(moved)  # the copy finds its plate by a relative path
    bpy.ops.wm.open_mainfile(filepath=str(moved / landed.name))
    (background,) = bpy.data.objects["cam 0"].data.background_images
    image = background.image
    assert image.source == "SEQUENCE"
    assert Path(bpy.path.abspath(image.filepath)).resolve() == (moved / "plate.0001.exr").resolve()
    assert not [i.filepath for i in bpy.data.images if i.filepath and not i.filepath.startswith("//")]


def test_a_second_render_needs_overwrite(backend, blend, tmp_path):
    out = tmp_path / "out"
    run(backend, blend, "render", "--out", out, "--prompt", "plain", "--no-land")
    with pytest.raises(FarplaneError, match="already holds a plate"):
        run(backend, blend, "render", "--out", out, "--prompt", "plain", "--seed", "1", "--no-land")
    assert (out / "plate.0001.exr").read_bytes() == painted(1)
    run(backend, blend, "render", "--out", out, "--prompt", "plain", "--seed", "1", "--no-land", "--overwrite")
    assert (out / "plate.0001.exr").read_bytes() == painted(1, seed=1)


def test_a_job_that_fails_says_why_and_costs_nothing(backend, blend, tmp_path):
    out = tmp_path / "out"
    run(backend, blend, "render", "--out", out, "--prompt", "plain", "--no-land")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(FarplaneError, match="checkpoint: it is missing"):
        run(backend, blend, "render", "--out", out, "--prompt", "mistake", "--overwrite")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    with pytest.raises(FarplaneError, match="checkpoint"):
        run(backend, blend, "render", "--out", tmp_path / "new", "--prompt", "mistake")
    assert not (tmp_path / "new").exists()


def test_cancel_stops_the_job_and_leaves_nothing(backend, blend, tmp_path):
    """What Ctrl-C does in the parent: an exception out of the event loop, while the backend denoises."""

    def interrupt(event):
        if event["event"] == "progress" and event["stage"] == "denoise":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(backend, blend, "render", "--out", tmp_path / "out", "--prompt", "slow", on_event=interrupt)
    assert not (tmp_path / "out").exists()
    # The worker is free again: the next job does not wait for 2000 slow steps.
    run(backend, blend, "render", "--out", tmp_path / "next", "--prompt", "plain", "--no-land")


def test_a_signal_to_the_child_is_a_cancel(backend, blend, tmp_path):
    def terminate(event):
        if event["event"] == "progress" and event["stage"] == "denoise":
            for child in psutil.Process().children():
                if any("bootstrap.py" in word for word in child.cmdline()):
                    child.send_signal(signal.SIGTERM)

    with pytest.raises(blender.Cancelled):
        run(backend, blend, "render", "--out", tmp_path / "out", "--prompt", "slow", on_event=terminate)
    assert not (tmp_path / "out").exists()


PARENT = """
import sys
from farplane.backend.blender import run_command

def show(event):
    print(event["event"], event.get("stage"), flush=True)

run_command(sys.argv[1:], show, extra_environment={"FARPLANE_CONFIG": sys.argv[-1]})
"""


def test_the_child_ends_when_its_parent_is_killed(backend, blend, tmp_path):
    """SIGKILL: nobody is left to tell the child, only the pipe's end."""
    words = [blend, "render", "--out", tmp_path / "out", "--prompt", "slow", "--model", "/painter", "--no-reference"]
    arguments = [sys.executable, "-c", PARENT, *map(str, words), "--config", str(backend.config)]
    parent = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    threading.Timer(PATIENCE, parent.kill).start()
    for line in parent.stdout:
        if line.split() == ["progress", "denoise"]:
            break
    (child,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    child.wait(PATIENCE)  # raises TimeoutExpired when it lives on
    for _ in range(100):
        if not (tmp_path / "out").exists():
            break
        time.sleep(0.05)
    assert not (tmp_path / "out").exists()


def play_blender(monkeypatch, program: Path) -> None:
    """Make a script the Blender that is found."""
    program.chmod(0o755)
    monkeypatch.setenv("FARPLANE_BLENDER", str(program))


def test_a_crash_of_blender_is_one_clear_error(monkeypatch, tmp_path):
    """A program that dies like a Blender out of memory, after some chatter that is no event."""
    program = tmp_path / "crash"
    program.write_text(
        '#!/bin/sh\necho "Blender 5.0.1"\n[ "$1" = --version ] || { echo "{}" ; echo last words >&2; kill -9 $$; }\n'
    )
    play_blender(monkeypatch, program)
    assert blender.find_blender().version == "5.0.1"
    with pytest.raises(FarplaneError, match="Blender: it was ended by signal 9: last words"):
        blender.run_command(["a.blend", "shot"], lambda event: None)


def test_a_program_in_the_modules_place(monkeypatch, blend, tmp_path):
    """A `blender` program: its own arguments first, then ours; here played by a Python with bpy."""
    program = tmp_path / "blender"
    program.write_text(
        f"#!{sys.executable} -P\n"
        "import runpy, sys\n"
        "if sys.argv[1:] == ['--version']: sys.exit(print('Blender 5.0.1'))\n"
        "assert sys.argv[1:3] == ['--background', '--factory-startup'], sys.argv\n"
        "print('Blender 5.0.1 (hash abc)')\n"
        "sys.argv = [sys.argv[0], *sys.argv[sys.argv.index('--python') + 1:]]\n"
        "runpy.run_path(sys.argv[1], run_name='__main__')\n"
    )
    play_blender(monkeypatch, program)
    assert blender.find_blender().kind == "program"
    run(None, blend, "shot", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "shot.json").is_file()


@pytest.mark.parametrize("text", ["Blender 4.1.1", "Blender 2.93.0"])
def test_a_blender_that_is_too_old(monkeypatch, tmp_path, text):
    program = tmp_path / "blender"
    program.write_text(f"#!/bin/sh\necho {text}\n")
    play_blender(monkeypatch, program)
    with pytest.raises(FarplaneError, match=r"4\.2 or later"):
        blender.find_blender()


def test_the_child_gets_no_secrets(monkeypatch, tmp_path):
    program = tmp_path / "blender"
    program.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then echo Blender 5.0.1; else env >&2; fi\nenv > "$0.env"\n'
    )
    play_blender(monkeypatch, program)
    monkeypatch.setenv("SOME_TOKEN", "hush")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    with pytest.raises(FarplaneError):
        blender.run_command(["a.blend", "shot"], lambda event: None, extra_environment={"FARPLANE_CONFIG": "here"})
    seen = Path(f"{program}.env").read_text()
    assert "hush" not in seen
    assert "PYTHONPATH" not in seen
    assert "FARPLANE_CONFIG=here" in seen
    assert "PATH=" in seen
