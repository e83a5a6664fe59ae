"""A backend that is there and does not answer, as on a machine whose cores are all taken: the client waits it out."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import BOUND, SETTINGS, Caller, Child, make_shot

from farplane.addon import client as addon_client
from farplane.addon.commands import link
from farplane.addon.reporting import Stop
from farplane.protocol import events

Spawn, Make = Callable[..., Child], Callable[..., Caller]


@contextmanager
def no_time_for(child: Child) -> Iterator[None]:
    """The backend's process gets no time at all; its machine still accepts connections for it."""
    os.kill(child.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(child.process.pid, signal.SIGCONT)


def wait_until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + BOUND
    while not what():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def test_a_silent_backend_is_waited_for_in_the_middle_of_a_job(
    spawn: Spawn, call: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeats' patience is over several times, and nobody is told that anything broke."""
    monkeypatch.setattr(addon_client, "SILENT_MS", 300)
    monkeypatch.setattr(addon_client, "ANSWER_SECONDS", 0.5)
    child, caller = spawn(), call()
    shot = make_shot("halfway", frames=6)
    job = caller.client.submit(shot, SETTINGS)
    caller.until(lambda event: isinstance(event, events.FrameReady) and event.frame == shot.frames[2])
    with no_time_for(child):
        wait_until(lambda: caller.client.is_waiting)
    (tmp_path / "gate").touch()
    assert isinstance(caller.end(job), events.Finished)
    assert set(caller.frames(job)) == set(shot.frames)  # each once
    assert not caller.of(events.Disconnected)
    assert not caller.client.is_waiting


def test_a_backend_that_has_no_time_yet_is_waited_for(
    spawn: Spawn, call: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line's own wait, too, goes beyond what it gives a backend that is not there."""
    monkeypatch.setattr(addon_client, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(link, "CONNECT_SECONDS", 0.5)
    child = spawn()
    with no_time_for(child):
        caller = call()
        wait_until(lambda: caller.client.is_waiting)
        assert caller.client.poll() == []
    assert isinstance(link.connect(caller.client, Stop()), events.Connected)


def test_a_backend_that_stays_silent_is_told_in_the_end(
    spawn: Spawn, call: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addon_client, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(addon_client, "SILENCE_SECONDS", 1.0)
    child = spawn()
    with no_time_for(child):
        caller = call()
        lost = caller.until(events.Disconnected)
        assert "expected key" in lost.problem or "does not answer" in lost.problem
        assert not caller.client.is_waiting
    caller.until(events.Connected)


def test_a_backend_that_has_died_is_told_at_once(spawn: Spawn, call: Make) -> None:
    """Nothing listens there any more: that is no silence to wait out."""
    child, caller = spawn(), call()
    caller.until(events.Connected)
    child.kill()
    assert caller.until(events.Disconnected).problem == addon_client.LOST[0]
    assert not caller.client.is_waiting
