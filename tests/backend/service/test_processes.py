"""Processes that are killed: nothing that was acknowledged is lost, and nothing is left over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import painter
import psutil
import pytest
from conftest import BOUND, SETTINGS, Caller, Child, make_shot, start_backend

from farplane.backend.service.jobs import MAX_ATTEMPTS, JobStore
from farplane.backend.service.server import Server
from farplane.protocol import codec, events, pairing
from farplane.protocol.errors import FarplaneError
from farplane.protocol.events import ItemInfo
from farplane.protocol.shot import RenderSettings

Make = Callable[..., Caller]
Spawn = Callable[..., Child]


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + BOUND
    while not what():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def worker_of(child: Child) -> psutil.Process:
    wait_for(lambda: psutil.Process(child.process.pid).children())
    return psutil.Process(child.process.pid).children()[0]


def test_the_queue_outlives_a_killed_backend(spawn: Spawn, call: Make, tmp_path: Path) -> None:
    """SIGKILL in the middle of a job with two more waiting; the same client gets every frame of all three."""
    first, caller = spawn(), call()
    shots = [make_shot("halfway", frames=6), make_shot(frames=3), make_shot(frames=4)]
    jobs = [caller.client.submit(shot, RenderSettings(seed=seed)) for seed, shot in enumerate(shots)]
    caller.until(lambda event: event == events.Accepted(jobs[2], 2))
    caller.until(lambda event: isinstance(event, events.FrameReady) and event.frame == shots[0].frames[2])
    worker = worker_of(first)
    first.kill()
    wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)  # it dies with its server
    caller.until(events.Disconnected)
    (tmp_path / "gate").touch()
    spawn()
    for seed, (job, shot) in enumerate(zip(jobs, shots, strict=True)):
        assert isinstance(caller.end(job), events.Finished)
        # Each frame once, and the bytes that an uninterrupted run makes.
        assert caller.frames(job) == {frame: painter.expected(frame, 96, 64, seed) for frame in shot.frames}
    ends = [event.job for event in caller.heard if isinstance(event, events.Finished)]
    assert ends == jobs  # the queue's order is kept


def test_a_stopped_backend_puts_its_job_back(spawn: Spawn, call: Make, tmp_path: Path) -> None:
    """SIGTERM: in order, the address is withdrawn, and the interrupted attempt does not count."""
    first, caller = spawn(), call()
    job = caller.client.submit(make_shot("halfway", frames=2), SETTINGS)
    caller.until(events.FrameReady)
    assert pairing.find_backend(tmp_path / "config") is not None
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(BOUND) == 0
    assert pairing.find_backend(tmp_path / "config") is None
    store = JobStore(tmp_path / "data")
    row = store.get(job)
    store.close()
    assert row is not None
    assert (row.state, row.attempt) == ("queued", 0)
    (tmp_path / "gate").touch()
    spawn()
    assert isinstance(caller.end(job), events.Finished)


def test_a_backend_that_keeps_falling_gives_up_on_the_job(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    store.accept(codec.new_job(), "owner", "digest")
    (job,) = store.queued()
    (store.folder(job) / "attempt-1").mkdir(parents=True)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert store.start(job) == attempt
        store.close()  # the backend falls
        store = JobStore(tmp_path)
        store.recover()
    row = store.get(job)
    assert row is not None
    assert row.state == "failed"
    assert "3 times" in row.fault[1]
    store.close()


def test_a_wish_to_cancel_outlives_the_backend(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    job = codec.new_job()
    store.accept(job, "owner", "digest")
    store.folder(job).mkdir()
    store.start(job)
    store.set_cancelling(job)
    store.close()
    store = JobStore(tmp_path)
    (tmp_path / "jobs" / "half an upload").mkdir()
    store.recover()
    row = store.get(job)
    assert row is not None
    assert row.state == "cancelled"
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == [job]  # what was never accepted is cleared away
    store.close()


def test_a_later_attempt_replaces_what_an_earlier_one_made(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    job = codec.new_job()
    store.accept(job, "owner", "digest")
    for attempt in (1, 2):
        store.start(job)
        folder = store.folder(job) / f"attempt-{attempt}"
        folder.mkdir(parents=True)
        (folder / "frame.-7.exr").write_bytes(b"x" * attempt)
        store.add_item(job, attempt, ItemInfo(-7, attempt, f"{attempt}" * 64))
    assert store.items(job) == [ItemInfo(-7, 2, "2" * 64)]
    assert store.item(job, -7) == (store.folder(job) / "attempt-2" / "frame.-7.exr", 2)
    store.end(job, "finished")
    assert [path.name for path in store.folder(job).glob("attempt-*")] == ["attempt-2"]
    (store.folder(job) / "attempt-2" / "frame.-7.exr").write_bytes(b"cut")  # not what was promised
    assert store.item(job, -7) is None
    store.forget_older(-1)
    assert store.get(job) is None
    assert not store.folder(job).exists()
    store.close()


def test_two_backends_cannot_share_a_data_folder(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "data")
    with pytest.raises(FarplaneError, match="another backend"):
        Server("127.0.0.1", 0, tmp_path / "config", tmp_path / "data").open()
    store.close()


def test_a_taken_port_and_a_wrong_host_are_named(tmp_path: Path) -> None:
    first = start_backend(tmp_path / "one", tmp_path / "data-one")
    port = int(first.server.address.rsplit(":", 1)[1])
    with pytest.raises(FarplaneError, match=f"{port} is taken"):
        Server("127.0.0.1", port, tmp_path / "two", tmp_path / "data-two").open()
    first.stop()
    with pytest.raises(FarplaneError, match="cannot be bound"):
        Server("192.0.2.1", 0, tmp_path / "two", tmp_path / "data-two").open()


def test_the_server_process_has_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, farplane.backend.service.server\n"
        "print([name for name in ('torch', 'diffusers', 'OpenEXR', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_backend_ends_with_the_process_it_was_made_for(spawn: Spawn) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    child = spawn(parent_pid=parent.pid)
    worker = worker_of(child)
    parent.kill()
    parent.wait()
    child.process.wait(BOUND)
    wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.skipif(os.name != "posix", reason="process groups")
def test_what_the_worker_started_ends_with_it(tmp_path: Path) -> None:
    """A pipeline with a child process of its own (the encode pool); the server's end closes standard input."""
    (tmp_path / "pipe.py").write_text(
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '3600'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(f'{{child.pid}} ')\n"
    )
    command = [sys.executable, "-m", "farplane.backend.service.worker", "--pipeline", "pipe:run"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True)
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith(" "))
    child = psutil.Process(int((tmp_path / "pid").read_text()))
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(BOUND) == -signal.SIGKILL
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_pipeline_that_cannot_be_loaded_is_named(tmp_path: Path, call: Make) -> None:
    server_options = {"models": lambda: ()}
    backend = start_backend(tmp_path / "config", tmp_path / "data", pipeline="no.such:thing", **server_options)
    caller = call()
    for _ in range(2):
        failed = caller.end(caller.client.submit(make_shot(), SETTINGS))
        assert isinstance(failed, events.Failed)
        assert "cannot be loaded" in failed.problem
        assert "farplane doctor" in failed.remedy
    backend.stop()


def test_the_ready_line_is_what_is_published(spawn: Spawn, tmp_path: Path) -> None:
    child = spawn()
    published = json.loads((tmp_path / "config" / "backend.json").read_text())
    assert child.ready == {"ready": True, **published}
    assert published["pid"] == child.process.pid


def test_models_are_offered_and_only_those_are_taken(tmp_path: Path, call: Make) -> None:
    models = (
        events.ModelInfo("farplane-s", "Ours", 30.0, "ready", ((192, 108),), 4, 20, 3.5),
        events.ModelInfo("wan-1.3b", "Wan", 2800.0, "missing", ((832, 480),), 4, 30, 5.0),
    )
    backend = start_backend(tmp_path / "config", tmp_path / "data", models=models)
    caller = call()
    connected = caller.until(events.Connected)
    assert isinstance(connected, events.Connected)
    assert connected.models == models
    for name, words in (("wan-1.3b", "not on the backend's machine"), ("farplane-x", "unknown")):
        failed = caller.end(caller.client.submit(make_shot(), RenderSettings(model=name)))
        assert isinstance(failed, events.Failed)
        assert failed.field == "model"
        assert words in failed.problem
    assert isinstance(caller.end(caller.client.submit(make_shot(), RenderSettings(model="/a/folder"))), events.Finished)
    backend.stop()


def test_a_backend_that_comes_later_is_found(tmp_path: Path, call: Make) -> None:
    caller = call()
    lost = caller.until(events.Disconnected)
    assert isinstance(lost, events.Disconnected)
    assert "no backend is running" in lost.problem
    assert "farplane serve" in lost.remedy
    job = caller.client.submit(make_shot(), SETTINGS)
    backend = start_backend(tmp_path / "config", tmp_path / "data")
    assert isinstance(caller.end(job), events.Finished)
    backend.stop()
    caller.until(events.Disconnected)
    gone = call("tcp://127.0.0.1:9", pairing.key_pair(tmp_path / "x", "backend", _pair).public)
    lost = gone.until(events.Disconnected)
    assert isinstance(lost, events.Disconnected)
    assert "nothing answers" in lost.problem


def _pair() -> tuple[bytes, bytes]:
    import zmq

    return zmq.curve_keypair()
