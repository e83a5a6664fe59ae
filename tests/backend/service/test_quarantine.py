"""A wrong clock, a lost queue, a damaged one: every result is still there, most of them for the client that asks."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import painter
import pytest
from conftest import SETTINGS, Backend, Caller, make_shot, start_backend

from farplane.backend import doctor
from farplane.backend.service import dispatch, quarantine
from farplane.protocol import codec, events

Make = Callable[..., Caller]
DAY = 86400.0


def rendered(call: Make, frames: int = 5) -> str:
    """A finished job of this user's own client."""
    caller = call()
    job = caller.client.submit(make_shot(frames=frames), SETTINGS)
    assert isinstance(caller.end(job), events.Finished)
    caller.client.close()
    return job


def fetched(call: Make, job: str, frames: int = 5) -> None:
    """Ask for a job by its UUID alone; its frames are the bytes that the painter makes."""
    caller = call()
    caller.client.attach(job)
    assert isinstance(caller.end(job), events.Finished)
    numbers = make_shot(frames=frames).frames
    assert caller.frames(job) == {number: painter.expected(number, 96, 64, SETTINGS.seed) for number in numbers}
    caller.client.close()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("frame.*.exr")}


def started(tmp_path: Path) -> Backend:
    return start_backend(tmp_path / "config", tmp_path / "data")


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


@pytest.fixture
def finished(tmp_path: Path, call: Make) -> str:
    """A job that is finished, in the data folder of a backend that has stopped."""
    backend = started(tmp_path)
    job = rendered(call)
    backend.stop()
    return job


def test_a_clock_that_is_days_ahead_deletes_nothing(
    tmp_path: Path, call: Make, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    before = files(data / "jobs" / finished)
    real = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + 15 * DAY)
        backend = started(tmp_path)
        wait_for(lambda: not (data / "jobs" / finished).exists())
        backend.stop()
    (batch,) = quarantine.batches(data)
    assert files(batch.folder) == before
    assert (batch.jobs, batch.why) == (1, quarantine.REASONS["expired"])

    # What the doctor says about it, done as it says: the client that asks for its job gets it.
    monkeypatch.setenv("FARPLANE_CONFIG", str(tmp_path / "config"))
    (line,) = doctor.set_aside()
    assert line.state == "warn"
    assert str(batch.folder) in line.found
    assert f"move what you want back into {data / 'jobs'}" in line.remedy
    (batch.folder / finished).rename(data / "jobs" / finished)
    backend = started(tmp_path)
    fetched(call, finished)
    backend.stop()
    (line,) = doctor.set_aside()
    assert line.state == "ok"


def test_a_clock_that_was_behind_deletes_nothing(tmp_path: Path, call: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a battery begins in 1970; then the time is set, while the backend runs."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: 100.0 + time.monotonic())
    backend = started(tmp_path)
    job = rendered(call)
    monkeypatch.setattr(time, "time", real)
    backend.server._dispatch._store.forget_older(dispatch.KEEP_SECONDS)  # what the next hour's tick does
    assert len(files(tmp_path / "data" / "quarantine")) == 5
    assert not (tmp_path / "data" / "jobs" / job).exists()
    backend.stop()


@pytest.mark.parametrize("loss", ["deleted", "empty", "garbage", "cut", "another program's", "hole"])
def test_a_lost_or_damaged_queue_is_made_anew(tmp_path: Path, call: Make, finished: str, loss: str) -> None:
    data = tmp_path / "data"
    path = data / "jobs.sqlite"
    for rest in data.glob("jobs.sqlite-*"):
        rest.unlink()
    content = path.read_bytes()
    if loss == "deleted":
        path.unlink()
    elif loss == "empty":
        path.write_bytes(b"")
    elif loss == "garbage":
        path.write_bytes(bytes(range(256)) * 64)
    elif loss == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif loss == "hole":
        path.write_bytes(content[:4096] + bytes(len(content) - 4096))
    else:
        path.unlink()
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE jobs (something TEXT)")
        other.close()
    damaged = path.read_bytes() if path.exists() else b""
    backend = started(tmp_path)
    fetched(call, finished)
    new = rendered(call, frames=3)  # and the next job is taken
    fetched(call, new, frames=3)
    backend.stop()
    kept = list((data / "quarantine").rglob("jobs.sqlite"))
    assert len(kept) == (0 if loss in ("deleted", "empty") else 1)
    if loss == "another program's":  # it may have got tables of ours
        with sqlite3.connect(kept[0]) as other:
            assert other.execute("SELECT COUNT(something) FROM jobs").fetchone() == (0,)
        other.close()
    elif kept:
        assert kept[0].read_bytes() == damaged


def test_results_without_a_record_are_set_aside(tmp_path: Path, call: Make, finished: str) -> None:
    """An older version's folders, a running job's frames, a damaged record: nobody's any more, and kept."""
    data = tmp_path / "data"
    old, torn, upload = (codec.new_job() for _ in range(3))
    for job, record in ((old, None), (torn, b'{"owner": 3')):
        shutil.copytree(data / "jobs" / finished, data / "jobs" / job)
        (data / "jobs" / job / "job.json").unlink()
        if record:
            (data / "jobs" / job / "job.json").write_bytes(record)
    (data / "jobs" / upload).mkdir()
    shutil.copy(data / "jobs" / finished / "submit.json", data / "jobs" / upload)
    (data / "jobs" / codec.new_job()).mkdir()  # an upload that had only begun
    for path in data.glob("jobs.sqlite*"):
        path.unlink()
    backend = started(tmp_path)
    fetched(call, finished)
    backend.stop()
    assert {path.name for path in (data / "jobs").iterdir()} == {finished}
    (batch,) = quarantine.batches(data)
    assert {path.name for path in batch.folder.iterdir()} == {old, torn, upload, "about.json"}
    assert len(files(batch.folder / old)) == len(files(batch.folder / torn)) == 5
    assert batch.why == quarantine.REASONS["unknown"]


def test_another_clients_job_is_not_taken_over_with_the_folder(tmp_path: Path, call: Make, finished: str) -> None:
    """A queue that is made anew still knows whose job it was."""
    (tmp_path / "data" / "jobs.sqlite").unlink()
    backend = started(tmp_path)
    (tmp_path / "config" / "client.key").unlink()
    other = call()  # makes a key of its own
    other.client.attach(finished)
    failed = other.until(events.Failed)
    assert isinstance(failed, events.Failed)
    assert "does not know it" in failed.problem
    backend.stop()


def test_what_is_set_aside_goes_after_days_of_running_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "frame.1.exr").write_bytes(b"a frame")
    runs = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: runs[0])
    aside = quarantine.Quarantine(tmp_path)
    aside.take(tmp_path / "job", "expired")
    monkeypatch.setattr(time, "time", lambda: 1e12)
    for _ in range(3):  # restarts count nothing
        aside = quarantine.Quarantine(tmp_path)
        aside.age()
        runs[0] += 2 * DAY
        aside.age()
    (batch,) = quarantine.batches(tmp_path)
    assert batch.left == pytest.approx(DAY)
    assert (batch.folder / "job" / "frame.1.exr").exists()
    runs[0] += DAY
    aside.age()
    assert not batch.folder.exists()


def test_a_folder_that_cannot_be_set_aside_stays(tmp_path: Path, call: Make, finished: str) -> None:
    """A file in the quarantine's place: nothing can be moved there, so nothing is deleted."""
    data = tmp_path / "data"
    shutil.copytree(data / "jobs" / finished, data / "jobs" / (other := codec.new_job()))
    (data / "jobs" / other / "job.json").unlink()
    (data / "quarantine").write_bytes(b"")
    backend = started(tmp_path)
    backend.server._dispatch._store.forget_older(-1)
    fetched(call, finished)
    backend.stop()
    assert len(files(data / "jobs" / other)) == 5
