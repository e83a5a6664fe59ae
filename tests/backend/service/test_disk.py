"""The system says no: no file handle, no room for the queue's file.  Words, no lost job, and none that runs twice.

The limits are set on the running backend from outside (`prlimit`), so what fails is the real call.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import BOUND, SETTINGS, Caller, Child, make_shot
from raw import Raw, known

from farplane.protocol import codec, events, pairing

Make = Callable[..., Caller]
Spawn = Callable[..., Child]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prlimit")


@contextmanager
def limited(child: Child, what: int, limit: int) -> Iterator[None]:
    """Another soft limit for the backend's own process; its worker keeps the one it began with."""
    import resource

    soft, hard = resource.prlimit(child.process.pid, what)
    resource.prlimit(child.process.pid, what, (limit, hard))
    try:
        yield
    finally:
        if child.process.poll() is None:
            resource.prlimit(child.process.pid, what, (soft, hard))


def no_handles(child: Child):
    """Nothing more can be opened; what is open stays so (a limit of 0 would forbid `poll`, too)."""
    import resource

    taken = {int(link.name) for link in Path(f"/proc/{child.process.pid}/fd").iterdir()}
    return limited(child, resource.RLIMIT_NOFILE, min(set(range(len(taken) + 1)) - taken))


def no_room(child: Child):
    """No file may grow beyond 0 bytes: every write of the backend fails."""
    import resource

    return limited(child, resource.RLIMIT_FSIZE, 0)


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + BOUND
    while not what():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def rendered(child: Child, config: Path) -> tuple[Raw, str, list[events.ItemInfo]]:
    """A client whose job has finished and who has fetched nothing."""
    peer = Raw(child.ready["address"], child.ready["public_key"], known(config))
    peer.greet()
    submit, buffers = codec.describe(codec.new_job(), make_shot(), SETTINGS)
    message, items = peer.offer(submit, buffers), []
    while not isinstance(message, events.Finished):
        items += message.items if isinstance(message, events.Items) else []
        message = peer.hear()
        assert message is not None
    return peer, submit.job, items


def test_results_are_sent_as_soon_as_they_can_be_read_again(spawn: Spawn, tmp_path: Path) -> None:
    child = spawn()
    peer, job, items = rendered(child, tmp_path / "config")
    with no_handles(child):
        for info in items:
            peer.say(events.Fetch(job, info.item, 0, 8))
        assert peer.hear(1500) is None
    for info in items:
        chunk = peer.hear()
        assert isinstance(chunk, events.Chunk)
        assert (chunk.item, len(chunk.data)) == (info.item, info.size)
    peer.close()


def test_results_that_cannot_be_read_are_refused_and_the_job_is_as_it_was(spawn: Spawn, tmp_path: Path) -> None:
    child = spawn("import farplane.backend.service.peer as peer; peer.READ_SECONDS = 1.0")
    peer, job, items = rendered(child, tmp_path / "config")
    with no_handles(child):
        for info in items[:2]:
            peer.say(events.Fetch(job, info.item, 0, 8))
        for info in items[:2]:
            refused = peer.hear()
            assert isinstance(refused, events.Refused)
            assert (refused.job, refused.field) == (job, "fetch")
            assert str(info.item) in refused.problem
            assert "Too many open files" in refused.problem
    peer.say(events.Fetch(job, items[0].item, 0, 8))
    assert isinstance(peer.hear(), events.Chunk)
    peer.say(events.Attach(job))
    assert peer.until(events.Finished) == events.Finished(job, len(items))
    peer.close()


def test_a_result_that_is_gone_is_refused_at_once(spawn: Spawn, tmp_path: Path) -> None:
    child = spawn()
    peer, job, items = rendered(child, tmp_path / "config")
    for path in (tmp_path / "data" / "jobs" / job).glob("attempt-*/frame.*.exr"):
        path.unlink()
    peer.say(events.Fetch(job, items[0].item, 0, 8))
    refused = peer.hear()
    assert isinstance(refused, events.Refused)
    assert (refused.job, refused.field) == (job, "fetch")
    peer.say(events.Fetch(job, "report.json", 0, 8))
    assert isinstance(peer.hear(), events.Chunk)
    peer.close()


def test_the_add_on_gets_all_frames_over_a_moment_without_handles(spawn: Spawn, call: Make, tmp_path: Path) -> None:
    """The same with Farplane's own client, while the job runs: each frame arrives, none twice."""
    child, caller = spawn(), call()
    shot = make_shot("halfway", frames=6)
    job = caller.client.submit(shot, SETTINGS)
    caller.until(lambda event: isinstance(event, events.FrameReady))
    with no_handles(child):
        (tmp_path / "gate").touch()
        time.sleep(2)
    assert isinstance(caller.end(job), events.Finished)
    assert set(caller.frames(job)) == set(shot.frames)


def row_of(tmp_path: Path, job: str) -> tuple[str, int]:
    with sqlite3.connect(tmp_path / "data" / "jobs.sqlite") as db:
        return db.execute("SELECT state, attempt FROM jobs WHERE id = ?", (job,)).fetchone()


def test_a_full_queue_file_is_words_and_its_job_does_not_run_twice(spawn: Spawn, call: Make, tmp_path: Path) -> None:
    """The queue's file takes nothing more while a job ends, and the backend is killed before it does."""
    log = tmp_path / "log"
    child, caller = spawn(stderr=log), call()
    job = caller.client.submit(make_shot("halfway", frames=4), SETTINGS)
    waiting = caller.client.submit(make_shot(), SETTINGS)
    caller.until(lambda event: isinstance(event, events.Accepted) and event.job == waiting)
    caller.until(lambda event: isinstance(event, events.FrameReady) and event.frame == 1)
    with no_room(child):
        (tmp_path / "gate").touch()
        failed = caller.end(job)
        assert isinstance(failed, events.Failed)
        assert failed.field == "disk"
        assert "Free some space" in failed.remedy
        assert row_of(tmp_path, job) == ("running", 1)  # it could not be written
        caller.client.attach(job)
        assert caller.end(job) == failed  # and is known all the same
        time.sleep(1.5)
        child.kill()
    assert "Traceback" not in log.read_text()
    again = spawn()
    assert isinstance(caller.end(waiting), events.Finished)  # who waited is served
    assert row_of(tmp_path, job) == ("failed", 1)  # not a second attempt
    caller.client.attach(job)
    failed = caller.end(job)
    assert isinstance(failed, events.Failed)
    assert "disk was full" in failed.problem
    again.kill()


def test_a_queue_file_that_has_room_again_goes_on_by_itself(spawn: Spawn, call: Make, tmp_path: Path) -> None:
    log = tmp_path / "log"
    child, caller = spawn(stderr=log), call()
    job = caller.client.submit(make_shot("halfway", frames=4), SETTINGS)
    waiting = caller.client.submit(make_shot(), SETTINGS)
    caller.until(lambda event: isinstance(event, events.Accepted) and event.job == waiting)
    caller.until(lambda event: isinstance(event, events.FrameReady) and event.frame == 1)
    with no_room(child):
        caller.client.cancel(job)  # the wish cannot be written either
        assert isinstance(caller.end(job), events.Cancelled)
        refused = caller.end(caller.client.submit(make_shot(frames=3), SETTINGS))
        assert isinstance(refused, events.Failed)
        assert refused.field == "disk"
        time.sleep(1.5)
        assert row_of(tmp_path, waiting) == ("queued", 0)
    assert isinstance(caller.end(waiting), events.Finished)
    assert row_of(tmp_path, job) == ("cancelled", 1)
    assert "Traceback" not in log.read_text()
    assert not list((tmp_path / "data" / "jobs").glob("*/ended"))


def test_a_hang_up_is_an_orderly_end(spawn: Spawn, call: Make, tmp_path: Path) -> None:
    """SIGHUP, as a closed terminal sends it: like SIGTERM, the job waits and its attempt does not count."""
    child, caller = spawn(), call()
    job = caller.client.submit(make_shot("halfway", frames=2), SETTINGS)
    caller.until(events.FrameReady)
    child.process.send_signal(signal.SIGHUP)
    assert child.process.wait(BOUND) == 0
    assert pairing.find_backend(tmp_path / "config") is None
    assert row_of(tmp_path, job) == ("queued", 0)


def test_a_backend_under_nohup_stays(spawn: Spawn, call: Make, tmp_path: Path) -> None:
    child = spawn("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    child.process.send_signal(signal.SIGHUP)
    caller = call()
    assert isinstance(caller.end(caller.client.submit(make_shot(), SETTINGS)), events.Finished)
    assert json.loads((tmp_path / "config" / "backend.json").read_text())["pid"] == child.process.pid
