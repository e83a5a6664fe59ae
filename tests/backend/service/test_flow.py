"""The whole wire, with real sockets, a real worker process and real EXR files."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import painter
import pytest
from conftest import SETTINGS, Backend, Caller, make_shot

from farplane.protocol import codec, events
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import RenderSettings

Make = Callable[..., Caller]


def paint_here(frames: tuple[int, ...], size: tuple[int, int], seed: int) -> dict[int, bytes]:
    """What the worker must deliver, painted by this process."""
    return {frame: painter.expected(frame, *size, seed) for frame in frames}


def test_a_shot_goes_up_and_its_frames_come_back(backend: Backend, call: Make) -> None:
    caller, shot = call(), make_shot(reference=True)
    job = caller.client.submit(shot, SETTINGS)
    assert caller.end(job) == events.Finished(job, items=6)
    assert caller.frames(job) == paint_here(shot.frames, shot.resolution, 7)
    for frame in caller.of(events.FrameReady, job):
        assert hashlib.sha256(frame.exr).hexdigest() == frame.sha256
    (report,) = caller.of(events.ArtifactReady, job)
    # The worker has read the very depth that was sent: its mean, computed there, is ours.
    z = shot.depth.z[shot.depth.z < float("inf")]
    assert report.name == "report.json"
    assert report.data == b'{"depth_mean": %f}' % z.mean()
    kinds = [type(event) for event in caller.heard]
    assert kinds.index(events.Connected) < kinds.index(events.Uploading) < kinds.index(events.Accepted)
    assert kinds[-1] is events.Finished
    assert caller.of(events.Progress)[0].stage == "conditioning"
    assert all(event.png == painter.PNG for event in caller.of(events.Preview))
    assert caller.of(events.Preview)


@pytest.mark.parametrize("part", ["colours", "sun"])
def test_what_is_told_besides_reaches_the_worker_byte_for_byte(backend: Backend, call: Make, part: str) -> None:
    """Through the upload, the disk and the worker's memory; the backend says beforehand that it takes it."""
    caller, shot = call(), make_shot(part, reference=True, base_colour=True, sun=True)
    told = shot.base_colour if part == "colours" else shot.sun
    assert told is not None
    job = caller.client.submit(shot, SETTINGS)
    assert caller.end(job) == events.Finished(job, items=6)
    (connected,) = caller.of(events.Connected)
    assert connected.takes == {"base_colour", "sun", "frame"}
    assert "+" not in connected.version
    (report,) = caller.of(events.ArtifactReady, job)
    assert report.data.decode() == hashlib.sha256(told.tobytes()).hexdigest()


def test_base_colours_that_are_none_are_refused(backend: Backend, call: Make) -> None:
    """By the backend itself: the client, which would refuse them too, is passed by."""
    caller, shot = call(), make_shot(base_colour=True)
    assert shot.base_colour is not None
    spoilt = shot.base_colour.copy()
    spoilt[-1, -1, -1, 3] = 7
    job = codec.new_job()
    caller.client._command(caller.client._conversation.submit, job, replace(shot, base_colour=spoilt), SETTINGS)
    failed = caller.end(job)
    assert isinstance(failed, events.Failed)
    assert (failed.field, failed.problem) == ("base colour", "its alpha is neither 0 nor 255")


def test_arrays_and_frames_of_many_chunks(backend: Backend, call: Make) -> None:
    """8 MiB up (over a window's worth) and frames of several chunks down."""
    caller, shot = call(), make_shot(frames=3, size=(1024, 704))
    assert sum(array.nbytes for array in (shot.depth.z, shot.camera.K)) > codec.CHUNK * 8
    job = caller.client.submit(shot, SETTINGS)
    assert isinstance(caller.end(job), events.Finished)
    assert caller.frames(job) == paint_here(shot.frames, shot.resolution, 7)
    assert min(len(frame) for frame in caller.frames(job).values()) > 2 * codec.CHUNK


def test_a_client_that_vanishes_gets_everything_by_uuid(backend: Backend, call: Make) -> None:
    first, plain = call(), make_shot()
    running = first.client.submit(plain, SETTINGS)
    first.until(events.Accepted)
    first.client.close()  # in the middle of it
    second = call()
    second.client.attach(running)
    assert isinstance(second.end(running), events.Finished)
    assert second.frames(running) == paint_here(plain.frames, plain.resolution, 7)
    assert not first.of(events.Finished)
    second.client.attach(running)  # and once more, from the beginning
    second.heard.clear()
    assert isinstance(second.end(running), events.Finished)
    assert second.frames(running) == paint_here(plain.frames, plain.resolution, 7)
    unknown = codec.new_job()
    second.client.attach(unknown)
    failed = second.end(unknown)
    assert isinstance(failed, events.Failed)
    assert "does not know" in failed.problem


def test_the_same_uuid_is_one_job_and_another_shot_under_it_is_refused(backend: Backend, call: Make) -> None:
    one, two, shot = call(), call(), make_shot()
    job = codec.new_job()
    for caller in (one, two):
        caller.client.submit(shot, SETTINGS, job)
    assert one.client.submit(shot, SETTINGS, job) == job
    for caller in (one, two):  # two connections at the same upload: one sends it, both get everything
        assert isinstance(caller.end(job), events.Finished)
        assert caller.frames(job) == paint_here(shot.frames, shot.resolution, 7)
    three = call()
    three.client.submit(shot, SETTINGS, job)  # long done: no second upload, the same results
    assert isinstance(three.end(job), events.Finished)
    assert three.frames(job) == paint_here(shot.frames, shot.resolution, 7)
    assert not three.of(events.Uploading)
    assert backend.server._store._db.execute("SELECT COUNT(*), MAX(attempt) FROM jobs").fetchone() == (1, 1)
    for other, settings in ((make_shot(frames=6), SETTINGS), (shot, RenderSettings(seed=8))):
        four = call()
        four.client.submit(other, settings, job)
        refused = four.end(job)
        assert isinstance(refused, events.Failed)
        assert "UUID" in refused.problem
        three.client.submit(other, settings, job)  # known to this client itself
        refused = three.end(job)
        assert isinstance(refused, events.Failed)
        assert "UUID" in refused.problem


def test_jobs_run_one_after_another_and_know_their_place(backend: Backend, call: Make) -> None:
    caller = call()
    slow = caller.client.submit(make_shot("slow"), SETTINGS)
    caller.until(lambda event: isinstance(event, events.Progress) and event.stage == "denoise")
    queued = [caller.client.submit(make_shot(), RenderSettings(seed=seed)) for seed in (1, 2)]
    caller.until(lambda event: event == events.Accepted(queued[1], 2))
    assert events.Accepted(queued[0], 1) in caller.heard
    caller.client.cancel(slow)
    assert isinstance(caller.end(slow), events.Cancelled)
    for job in queued:
        assert isinstance(caller.end(job), events.Finished)
    assert events.Accepted(queued[1], 1) in caller.heard  # it moved up
    order = [event.job for event in caller.heard if isinstance(event, events.Finished)]
    assert order == queued


def test_cancel_while_running_waiting_and_uploading(backend: Backend, call: Make) -> None:
    caller = call()
    slow = caller.client.submit(make_shot("slow"), SETTINGS)
    caller.until(lambda event: isinstance(event, events.Progress) and event.stage == "denoise")
    waiting = caller.client.submit(make_shot(), SETTINGS)
    caller.until(lambda event: isinstance(event, events.Accepted) and event.job == waiting)
    caller.client.cancel(waiting)
    assert isinstance(caller.end(waiting), events.Cancelled)
    uploading = caller.client.submit(make_shot(frames=8, size=(1024, 512)), SETTINGS)
    caller.client.cancel(uploading)
    assert isinstance(caller.end(uploading), events.Cancelled)
    caller.client.cancel(slow)
    caller.until(events.Cancelling)
    assert isinstance(caller.end(slow), events.Cancelled)
    step = caller.of(events.Progress, slow)[-1].step
    assert step < 2000  # it was stopped, not waited for
    job = caller.client.submit(make_shot(), SETTINGS)
    assert isinstance(caller.end(job), events.Finished)
    caller.client.cancel(job)  # too late: what is done stays done
    assert isinstance(caller.end(job), events.Finished)
    assert len(caller.of(events.Finished, job)) == 2


def test_a_worker_that_does_not_stop_is_killed_and_the_next_job_works(backend: Backend, call: Make) -> None:
    caller = call()
    deaf = caller.client.submit(make_shot("deaf"), SETTINGS)
    caller.until(lambda event: isinstance(event, events.Progress) and event.stage == "denoise")
    pid = backend.server._dispatch._worker.pid
    caller.client.cancel(deaf)
    caller.until(events.Cancelling)
    assert isinstance(caller.end(deaf), events.Cancelled)
    job = caller.client.submit(make_shot(), SETTINGS)
    assert isinstance(caller.end(job), events.Finished)
    assert backend.server._dispatch._worker.pid != pid


@pytest.mark.parametrize(
    ("mode", "name", "words"),
    [
        ("exit", "backend", "exit code 3"),
        ("killed", "memory", "killed the render process"),
        ("memory", "memory", "did not fit"),
        ("cuda", "memory", "did not fit"),
        ("full", "disk", "disk is full"),
        ("mistake", "checkpoint", "it is missing"),
        ("bug", "backend", "ZeroDivisionError: a bug"),
    ],
)
def test_every_end_of_a_worker_is_one_clear_failure(
    backend: Backend, call: Make, mode: str, name: str, words: str
) -> None:
    caller = call()
    bad = caller.client.submit(make_shot(mode), SETTINGS)
    good = caller.client.submit(make_shot(), SETTINGS)
    failed = caller.end(bad)
    assert isinstance(failed, events.Failed)
    assert failed.field == name
    assert words in failed.problem
    assert failed.remedy
    assert isinstance(caller.end(good), events.Finished)
    assert len(caller.of(events.Failed)) == 1


def test_what_cannot_be_rendered_is_refused_before_it_is_sent(backend: Backend, call: Make) -> None:
    caller = call()
    shot = make_shot(frames=2)
    object.__setattr__(shot.prompt, "text", "  ")
    with pytest.raises(FarplaneError, match="prompt"):
        caller.client.submit(shot, SETTINGS)
    with pytest.raises(FarplaneError, match="steps"):
        caller.client.submit(make_shot(), RenderSettings(steps=1000))
    with pytest.raises(FarplaneError, match="UUID"):
        caller.client.submit(make_shot(), SETTINGS, "../../etc/passwd")


def test_results_go_when_they_are_forgotten(backend: Backend, call: Make, tmp_path: Path) -> None:
    caller = call()
    job = caller.client.submit(make_shot(), SETTINGS)
    caller.end(job)
    folder = tmp_path / "data" / "jobs" / job
    assert sorted(path.name for path in folder.iterdir()) == [
        "attempt-1",
        "job.json",
        "submit.json",
    ]  # the upload is gone
    caller.client.forget(job)
    deadline = time.monotonic() + 30
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not folder.exists()
    caller.client.attach(job)
    assert isinstance(caller.end(job), events.Failed)
