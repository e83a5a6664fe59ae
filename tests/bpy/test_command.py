"""addon/command.py and backend/blender.py: `shot` and `render` from outside, with a real backend and real files."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
psutil = pytest.importorskip("psutil")
OpenEXR = pytest.importorskip("OpenEXR")

from farplane.addon.command import main  # noqa: E402
from farplane.backend import blender  # noqa: E402
from farplane.backend.private import private_backend  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402

PAINTER = Path(__file__).parent.parent / "backend" / "service"
PATIENCE = 120.0  # seconds; a bound for a hang on a busy machine, not a measure


def build(path, frames=(1, 4), cameras=1, size=(64, 48), compress=False):
    """A floor and a box under one camera, or one camera per marker; saved to `path`."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = frames
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.render.fps, scene.render.fps_base = 24, 1.001
    bpy.ops.mesh.primitive_plane_add(size=200)
    bpy.ops.mesh.primitive_cube_add(location=(0, 0, 1))
    for index in range(cameras):
        camera = bpy.data.objects.new(f"cam {index}", bpy.data.cameras.new(f"cam {index}"))
        camera.location, camera.rotation_euler = (index, -9, 3), (1.3, 0, 0)
        camera.keyframe_insert("location", frame=frames[0])
        camera.location.x += 1
        camera.keyframe_insert("location", frame=frames[1])
        scene.collection.objects.link(camera)
        scene.camera = scene.camera or camera
        if cameras > 1:
            scene.timeline_markers.new(f"shot {index}", frame=frames[0] + 3 * index).camera = camera
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=compress)
    return path


@pytest.fixture
def blend(tmp_path):
    return build(tmp_path / "street.blend")


def said(*arguments):
    """Run the command in this process: (exit code, the events it wrote)."""
    out = io.StringIO()
    code = main([str(a) for a in arguments], out)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def refused(*arguments):
    """The FarplaneError of a command that must fail for the artist's own mistake, as (field, problem, remedy)."""
    code, told = said(*arguments)
    assert code == 1, told
    assert [event["event"] for event in told if event["event"] != "progress"] == ["error"]
    assert told[-1]["remedy"]
    return told[-1]["field"], told[-1]["problem"]


# -- shot -------------------------------------------------------------------------------------------------------------


def test_shot_writes_json_and_float_depth(blend, tmp_path):
    out = tmp_path / "deep" / "out"
    code, told = said(blend, "shot", "--out", out, "--size", "80x60")
    assert code == 0
    assert told[-1]["event"] == "result"
    assert sorted(os.listdir(out)) == [f"depth.{n:04d}.exr" for n in range(1, 5)] + ["shot.json"]
    data = json.loads((out / "shot.json").read_text())
    assert data["resolution"] == [80, 60]
    assert data["fps"] == [24000, 1001]
    assert [entry["frame"] for entry in data["frames"]] == [1, 2, 3, 4]
    hits = []
    for entry in data["frames"]:
        assert entry["camera"] == "cam 0"
        (part,) = OpenEXR.File(str(out / entry["depth"]), separate_channels=True).parts
        assert list(part.channels) == ["Z"]
        z = part.channels["Z"].pixels
        assert z.dtype == np.float32
        assert z.shape == (60, 80)
        # The floor, in closed form: depth of the ray that meets z = 0.
        K, pose = np.array(entry["K"]), np.array(entry["world_from_camera"])
        ray = pose[:3, :3] @ np.linalg.solve(K, [2.5, 57.5, 1])
        assert z[57, 2] == pytest.approx(-pose[2, 3] / ray[2], rel=1e-5)
        hits.append(np.isfinite(z))
        assert z[hits[-1]].min() >= data["near"] > 0
        assert z[hits[-1]].max() <= data["far"]
    assert 0.2 < np.mean(hits) < 0.99  # sky above the horizon, floor below
    assert not np.isnan(np.array(hits)).any()


def test_shot_of_a_scene_with_cuts_holds_every_camera(tmp_path):
    path = build(tmp_path / "cuts.blend", frames=(1, 6), cameras=2)
    code, told = said(path, "shot", "--out", tmp_path / "out")
    assert code == 0
    data = json.loads((tmp_path / "out" / "shot.json").read_text())
    assert [entry["camera"] for entry in data["frames"]] == ["cam 0"] * 3 + ["cam 1"] * 3
    assert [(shot["name"], shot["first"], shot["last"]) for shot in data["shots"]] == [
        ("shot 0", 1, 3),
        ("shot 1", 4, 6),
    ]
    assert [shot["name"] for shot in told[-1]["shots"]] == ["shot 0", "shot 1"]
    x = [entry["world_from_camera"][0][3] for entry in data["frames"]]
    assert x[:3] == pytest.approx([0, 0.1, 0.35], abs=0.06)  # ease in
    assert min(x[3:]) > 1


def test_the_prompt_comes_from_the_scene_unless_given(tmp_path):
    path = build(tmp_path / "a.blend", frames=(1, 2))
    bpy.context.scene["farplane_prompt"] = "fog over a moor"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    said(path, "shot", "--out", tmp_path / "own")
    assert json.loads((tmp_path / "own" / "shot.json").read_text())["prompt"] == "fog over a moor"
    said(path, "shot", "--out", tmp_path / "given", "--prompt", "rain", "--negative", "sun")
    data = json.loads((tmp_path / "given" / "shot.json").read_text())
    assert (data["prompt"], data["negative"]) == ("rain", "sun")


def test_a_driver_that_was_not_run_is_told(tmp_path):
    """Python in a file is not run without the artist's leave; what stands still for it is not passed over."""
    path = build(tmp_path / "a.blend", frames=(1, 2))
    driver = bpy.data.objects["cam 0"].driver_add("rotation_euler", 2).driver
    driver.expression = "bpy.data.scenes[0].frame_current * 0.01"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    code, told = said(path, "shot", "--out", tmp_path / "out")
    assert code == 0
    (warning,) = [event["text"] for event in told if event["event"] == "warning"]
    assert "was not run" in warning


# -- refused, with nothing written ------------------------------------------------------------------------------------


def damage(path, kind):
    data = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "text":
        path.write_text("not a scene" * 100)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "missing":
        path.unlink()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kind", ["truncated", "text", "empty", "missing"])
def test_broken_scenes(tmp_path, kind, compress):
    path = build(tmp_path / "a.blend", frames=(1, 2), compress=compress)
    damage(path, kind)
    field, problem = refused(path, "shot", "--out", tmp_path / "out")
    assert field == "scene"
    assert ("does not exist" if kind == "missing" else "damaged") in problem
    assert not (tmp_path / "out").exists()


def test_a_scene_from_a_newer_blender(blend, tmp_path):
    """The header of a file that this Blender cannot read names a version two ahead."""
    data = blend.read_bytes()
    major, minor = bpy.app.version[:2]
    old, new = f"v{major:02d}{minor:02d}".encode(), f"v{major + 2:02d}{minor:02d}".encode()
    assert data[12:17] == old
    blend.write_bytes(data[:12] + new + data[17 : len(data) // 2])
    field, problem = refused(blend, "shot", "--out", tmp_path / "out")
    assert field == "scene"
    assert f"saved by Blender {major + 2}.{minor}" in problem


def test_a_whole_scene_from_a_newer_blender(tmp_path, blend):
    """One that this Blender opens all the same, compressed (by gzip, which it still reads, as it reads zstd)."""
    data = blend.read_bytes()
    major, minor = bpy.app.version[:2]
    path = tmp_path / "newer.blend"
    path.write_bytes(gzip.compress(data[:12] + f"v{major + 2:02d}{minor:02d}".encode() + data[17:]))
    field, problem = refused(path, "shot", "--out", tmp_path / "out")
    assert field == "scene"
    assert f"saved by Blender {major + 2}.{minor}" in problem


def test_blenders_own_word_for_a_newer_file():
    from farplane.addon.commands.reading import _version_in

    newer = "Error: a.blend: File saved by a newer version of Blender (6.1), Blender 6.0 or later is needed to open it."
    assert _version_in(newer) == (6, 1)
    assert _version_in("Error: Failed to read blend file 'a.blend', not a blend file") == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "field", "words"),
    [
        (["--frames", "1-1"], "frames", "1 frame"),
        (["--frames", "1-10000"], "frames", "10000 frames"),
        (["--frames", "nine"], "frames", "no range"),
        (["--size", "0x0"], "resolution", "out of range"),
        (["--size", "63x48"], "resolution", "odd"),
        (["--size", "32768x32768"], "resolution", "out of range"),
        (["--size", "large"], "resolution", "no size"),
        (["--prompt", "x" * 100_000], "prompt", "bytes long"),
        (["--wrong"], "arguments", "unrecognized"),
    ],
)
def test_bad_options(blend, tmp_path, arguments, field, words):
    told = refused(blend, "shot", "--out", tmp_path / "out", *arguments)
    assert told[0] == field
    assert words in told[1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ([], "prompt"),
        (["--prompt", "  "], "prompt"),
        (["--prompt", "fog", "--seed", "-1"], "seed"),
        (["--prompt", "fog", "--seed", "many"], "arguments"),
        (["--prompt", "fog", "--steps", "9999"], "steps"),
        (["--prompt", "fog", "--guidance", "nan"], "guidance"),
        (["--prompt", "fog", "--compression", "LZW"], "compression"),
        (["--prompt", "fog", "--backend", "tcp://127.0.0.1:9"], "backend key"),
    ],
)
def test_bad_render_options(blend, tmp_path, arguments, field):
    told = refused(blend, "render", "--out", tmp_path / "out", "--config", tmp_path / "config", *arguments)
    assert told[0] == field
    assert not (tmp_path / "out").exists()


def test_no_backend(blend, tmp_path):
    """Found out before the scene is rendered: no progress at all."""
    code, told = said(blend, "render", "--out", tmp_path / "out", "--prompt", "fog", "--config", tmp_path / "config")
    assert code == 1
    assert [event["event"] for event in told] == ["error"]
    assert told[0]["field"] == "backend"
    assert "farplane serve" in told[0]["remedy"]


def test_a_folder_that_holds_a_plate_is_left_alone(blend, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "plate.0001.exr").write_bytes(b"a plate")
    (out / "notes.txt").write_text("mine")
    assert refused(blend, "shot", "--out", out)[0] == "output folder"
    assert sorted(os.listdir(out)) == ["notes.txt", "plate.0001.exr"]
    code, _ = said(blend, "shot", "--out", out, "--overwrite")
    assert code == 0
    assert (out / "plate.0001.exr").read_bytes() == b"a plate"  # `shot` makes no plate, so it replaces none


def test_a_failure_halfway_leaves_the_folder_as_it_was(tmp_path):
    """The second camera has nothing in view: the first one's depth is not left behind."""
    path = build(tmp_path / "cuts.blend", frames=(1, 6), cameras=2)
    bpy.data.objects["cam 1"].rotation_euler = (3.0, 0, 0)
    bpy.data.objects["cam 1"].animation_data_clear()
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert refused(path, "shot", "--out", out)[0] == "depth"
    assert os.listdir(out) == ["notes.txt"]


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["shot"], 4 * (480 * (640 * 4 + 16))),
        (["render", "--prompt", "fog"], 4 * 480 * 640 * (6 + 2 * 4 + 6)),  # plate, depth twice, the scene's own render
        (["render", "--prompt", "fog", "--no-reference", "--no-land"], 4 * 480 * 640 * (6 + 4)),
        (["variations", "--prompt", "{fog|sun|rain}"], 3 * 4 * 480 * 640 * (6 + 4)),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_a_disk_without_room_is_told_before_any_work(tmp_path, monkeypatch, arguments, needed, there):
    """No progress, and no word of the backend that is not there: neither was looked at yet."""
    path = build(tmp_path / "a.blend", size=(640, 480))
    out = tmp_path / "out"
    if there:
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: type("usage", (), {"free": needed}))
    words = [path, *arguments, "--out", out]
    code, told = said(*words, *([] if arguments == ["shot"] else ["--config", tmp_path / "config"]))
    assert code == 1
    assert [event["event"] for event in told] == ["error"]
    assert told[0]["field"] == "output folder"
    assert "MiB free, and the shot may need" in told[0]["problem"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.blend", "out"][: 1 + there]
    assert not there or os.listdir(out) == ["notes.txt"]
    # Enough, with room for reports and files' own headers: the next thing that is missing is told, or the shot is read.
    monkeypatch.setattr(shutil, "disk_usage", lambda place: type("usage", (), {"free": needed + (3 * 65 << 20)}))
    code, told = said(*words, *([] if arguments == ["shot"] else ["--config", tmp_path / "config"]))
    assert code == (0 if arguments == ["shot"] else 1)
    assert told[-1].get("field") == (None if arguments == ["shot"] else "backend")


def test_a_shot_over_the_backends_limit_is_told_before_it_is_read():
    from farplane.addon.commands.link import check_upload
    from farplane.protocol.events import Connected

    largest = Connected((), "1", 16 << 30)
    check_upload(largest, 1440, (1920, 1080), reference=False)  # 11.9 GB of depth
    check_upload(Connected((), "1"), 1440, (4096, 4096), reference=True)  # it did not say
    with pytest.raises(FarplaneError, match=r"45562 MiB are more than the backend takes .*--no-reference"):
        check_upload(largest, 1440, (1920, 1080), reference=True)


# -- as a child process, with a backend -------------------------------------------------------------------------------


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


def test_a_crash_of_blender_is_one_clear_error(monkeypatch, tmp_path):
    """A program that dies like a Blender out of memory, after some chatter that is no event."""
    program = tmp_path / "crash"
    program.write_text(
        '#!/bin/sh\necho "Blender 5.0.1"\n[ "$1" = --version ] || { echo "{}" ; echo last words >&2; kill -9 $$; }\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("FARPLANE_BLENDER", str(program))
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
    program.chmod(0o755)
    monkeypatch.setenv("FARPLANE_BLENDER", str(program))
    assert blender.find_blender().kind == "program"
    run(None, blend, "shot", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "shot.json").is_file()


@pytest.mark.parametrize("text", ["Blender 4.1.1", "Blender 2.93.0"])
def test_a_blender_that_is_too_old(monkeypatch, tmp_path, text):
    program = tmp_path / "blender"
    program.write_text(f"#!/bin/sh\necho {text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("FARPLANE_BLENDER", str(program))
    with pytest.raises(FarplaneError, match=r"4\.2 or later"):
        blender.find_blender()


def test_the_child_gets_no_secrets(monkeypatch, tmp_path):
    program = tmp_path / "blender"
    program.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then echo Blender 5.0.1; else env >&2; fi\nenv > "$0.env"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("FARPLANE_BLENDER", str(program))
    monkeypatch.setenv("SOME_TOKEN", "hush")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    with pytest.raises(FarplaneError):
        blender.run_command(["a.blend", "shot"], lambda event: None, extra_environment={"FARPLANE_CONFIG": "here"})
    seen = Path(f"{program}.env").read_text()
    assert "hush" not in seen
    assert "PYTHONPATH" not in seen
    assert "FARPLANE_CONFIG=here" in seen
    assert "PATH=" in seen


def test_registered_with_blender():
    """`blender -c farplane`: registered, listed, run by Blender's own dispatch, and taken away again."""
    from farplane.addon import command

    command.register()
    try:
        assert len(command._registered) == 1
        assert command.execute(["shot"]) == 1  # no --out: one clear error, no exception into Blender
    finally:
        command.unregister()
    assert command._registered == []
