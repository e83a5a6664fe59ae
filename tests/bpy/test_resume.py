"""Blender is killed in the middle of a job and opened again: the plate comes, whole, once.

Two Blender processes and a backend process; the backend's pipeline is the service tests' painter, whose frames can
be computed here, byte for byte.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

import farplane  # noqa: E402
from farplane.addon import takes  # noqa: E402
from farplane.addon.claim import Claims  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.addon.ui import panels, resume  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402
from farplane.backend.private import PrivateBackend, private_backend  # noqa: E402
from farplane.protocol import codec  # noqa: E402

HERE = Path(__file__).parent
PAINTER = HERE.parent / "backend" / "service"
FRAMES, SIZE, SEED = (11, 12, 13, 14, 15, 16), (64, 36), 7
BOUND = 240.0  # seconds; only ends a hang on a starved machine

spec = importlib.util.spec_from_file_location("painter", PAINTER / "painter.py")
assert spec is not None
assert spec.loader is not None
painter = importlib.util.module_from_spec(spec)
spec.loader.exec_module(painter)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """While this file is absent the painter stops in the middle of a plate."""
    return tmp_path_factory.mktemp("gate") / "open"


@pytest.fixture(scope="module")
def backend(gate: Path) -> Iterator[PrivateBackend]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(PAINTER), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PAINTER_GATE", str(gate))
        with private_backend("painter:paint") as running:
            running.published()
            yield running


@pytest.fixture
def blend(tmp_path: Path, gate: Path, backend: PrivateBackend, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A saved shot of six frames that asks for a plate which stops halfway."""
    gate.unlink(missing_ok=True)
    monkeypatch.setenv("FARPLANE_CONFIG", str(backend.config))
    monkeypatch.setenv("BLENDER_USER_RESOURCES", str(tmp_path / "resources"))
    return make_blend(tmp_path / "shot.blend", "halfway there")


def make_blend(path: Path, prompt: str) -> Path:
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    farplane.register()
    scene = bpy.context.scene
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    mesh = bpy.data.meshes.new("Quad")
    mesh.from_pydata([(-1, -1, -5), (1, -1, -5), (1, 1, -5), (-1, 1, -6)], [], [(0, 1, 2, 3)])
    for obj in (camera, bpy.data.objects.new("Quad", mesh)):
        scene.collection.objects.link(obj)
    scene.camera = camera
    scene.frame_start, scene.frame_end = FRAMES[0], FRAMES[-1]
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.farplane.prompt, scene.farplane.model_name = prompt, "/painter"
    scene.farplane.seed, scene.farplane.size = SEED, "SCENE"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    farplane.unregister()
    return path


def blender(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Run resume_use.py; return its exit code and what it told."""
    command = [sys.executable, str(HERE / "resume_use.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stdout[-2000:] + done.stderr[-2000:]
    return done.returncode, json.loads(lines[-1])


def check_whole(take: Take) -> None:
    """Every file is what the painter paints, and what take.json says."""
    assert take.finished
    assert list(take.frames()) == list(FRAMES)
    for frame, path in take.frames().items():
        data = path.read_bytes()
        assert data == painter.expected(frame, *SIZE, SEED)
        assert take.files[path.name] == hashlib.sha256(data).hexdigest()
    assert (take.state, take.ended) == ("pending", ""), "the artist decides, not the second Blender"


@pytest.mark.parametrize("meanwhile", ["finished", "running"])
def test_a_killed_blender_finds_its_job_again(blend: Path, gate: Path, meanwhile: str) -> None:
    code, first = blender(blend, "begin", "3")
    assert code == -signal.SIGKILL
    take = Take.open(Path(first["take"]))
    assert (take.job, bool(take.backend), take.finished) == (first["job"], True, "")
    assert len(take.frames()) == 3
    if meanwhile == "finished":
        gate.touch()
        time.sleep(1)  # most often enough to finish; the other case is right as well
    else:
        subprocess.Popen([sys.executable, "-c", f"import time; time.sleep(3); open({str(gate)!r}, 'w')"])
    code, second = blender(blend, "again")
    assert code == 0
    assert second == {"jobs": [first["job"]], "message": "take 001 is here", "listed": ["take 001"]}
    check_whole(Take.open(take.folder))


def test_a_shot_that_never_left_is_sent_from_its_files(blend: Path, gate: Path) -> None:
    gate.touch()
    code, first = blender(blend, "begin", "-1")
    assert code == -signal.SIGKILL
    take = Take.open(Path(first["take"]))
    assert (take.job, take.backend) == (first["job"], "")
    code, second = blender(blend, "again")
    assert (code, second["jobs"]) == (0, [first["job"]])
    check_whole(Take.open(take.folder))


def test_what_is_sent_twice_stays_one_job(blend: Path, gate: Path) -> None:
    """Killed between the backend's word and our note of it: the files give the same bytes as Blender did."""
    _, first = blender(blend, "begin", "2")
    take = Take.open(Path(first["take"]))
    take.backend = ""
    take.save()
    gate.touch()
    code, _ = blender(blend, "again")
    assert code == 0
    check_whole(Take.open(take.folder))


# ---- in one process -----------------------------------------------------------------------------------------


@pytest.fixture
def opened(blend: Path) -> Iterator[Path]:
    """The add-on registered and the shot opened; its takes' folder."""
    farplane.register()
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    yield blend.parent / "farplane" / "Scene"
    farplane.unregister()


def make_take(folder: Path, **words: str) -> Take:
    """A take whose job is gone, with one frame."""
    frames = [{"frame": n, "camera": "Camera"} for n in FRAMES]
    take = Take.create(takes.next_folder(folder), {"frames": frames}, job=codec.new_job())
    data = painter.expected(11, *SIZE, SEED)
    take.write_frame(11, data, hashlib.sha256(data).hexdigest())
    for name, value in words.items():
        setattr(take, name, value)
    take.save()
    return take


def tick_until(wanted: Callable[[], Any]) -> None:
    deadline = time.monotonic() + BOUND
    while not wanted():
        assert time.monotonic() < deadline, f"{session.jobs} {session.message} {session.problem}"
        panels.tick()
        time.sleep(0.01)


def settle() -> None:
    """Until nothing is looked for and no job is followed."""
    panels.tick()
    tick_until(lambda: not session.disk.busy and not session.jobs)


def test_a_job_that_the_backend_forgot_is_told_once(opened: Path, backend: PrivateBackend) -> None:
    session.connect()
    tick_until(lambda: session.connection == "connected")
    take = make_take(opened, backend=session.client.target()[1])
    resume.request()
    tick_until(lambda: session.jobs)
    settle()
    assert "does not know it" in session.message.text
    assert Take.open(take.folder).ended == "failed"
    session.message = None
    resume.request()
    settle()
    assert session.message is None


def test_a_job_of_another_backend_is_left_for_it(opened: Path) -> None:
    take = make_take(opened, backend="0" * 40)
    resume.request()
    tick_until(lambda: session.jobs)
    settle()
    assert session.message.text == "take 001 is made by another backend"
    assert Take.open(take.folder) == take, "nothing of it changed"


@pytest.mark.parametrize("words", [{"ended": "cancelled"}, {"finished": "2026-01-01"}, {"job": ""}, {"backend": ""}])
def test_what_is_over_or_cannot_be_sent_is_not_followed(opened: Path, words: dict[str, str]) -> None:
    make_take(opened, **({"backend": "0" * 40} | words))
    resume.request()
    panels.tick()
    session.disk.flush()
    assert not session.jobs


def test_opening_a_file_looks_for_its_jobs(opened: Path, blend: Path) -> None:
    settle()
    take = make_take(opened, backend="0" * 40)
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    panels.tick()
    session.disk.flush()
    assert list(session.jobs) == [take.job]
    assert session.jobs[take.job].scene == "Scene"


def test_a_cancelled_job_is_over(opened: Path) -> None:
    bpy.ops.farplane.generate()
    tick_until(lambda: session.job is not None and session.job.take.frames())
    folder = session.job.take.folder
    bpy.ops.farplane.cancel()
    tick_until(lambda: not session.jobs)
    assert Take.open(folder).ended == "cancelled"
    resume.request()
    settle()


def test_of_two_blenders_one_follows(opened: Path, backend: PrivateBackend) -> None:
    take = make_take(opened, backend="0" * 40)
    code = (
        "import sys, pathlib; from farplane.addon.claim import Claims; claims = Claims();"
        f"print(claims.take(pathlib.Path({str(backend.config)!r}), {take.job!r}), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline().strip() == "True"
    resume.request()
    panels.tick()
    session.disk.flush()
    assert not session.jobs
    other.kill()  # its lock goes with it
    other.wait()
    resume.request()
    panels.tick()
    session.disk.flush()
    assert list(session.jobs) == [take.job]


def test_claims_leave_no_files(tmp_path: Path) -> None:
    claims, rival = Claims(), Claims()
    assert claims.take(tmp_path, "a")
    assert claims.take(tmp_path, "a"), "one's own"
    assert not rival.take(tmp_path, "a")
    claims.keep_only(set())
    assert rival.take(tmp_path, "a")
    rival.keep_only(set())
    assert not list((tmp_path / "following").iterdir())
