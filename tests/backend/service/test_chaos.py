"""Server killed, client gone, line cut, at random moments: every frame arrives, and is the one an undisturbed run makes."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import painter
import pytest
from conftest import BOUND, Caller, Child, make_shot

from farplane.protocol import events, pairing
from farplane.protocol.shot import RenderSettings


class Relay:
    """A TCP relay between clients and whichever backend is published, that can cut all its lines."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lines: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            ours, _ = self._listener.accept()
            published = pairing.find_backend(self._config)
            port = int(published.address.rsplit(":", 1)[1]) if published else 9
            try:
                theirs = socket.create_connection(("127.0.0.1", port))
            except OSError:
                ours.close()
                continue
            self._lines += [ours, theirs]
            for source, sink in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for line in (source, sink):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        lines, self._lines = self._lines, []
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_whatever_falls_every_frame_arrives(
    seed: int, spawn: Callable[..., Child], call: Callable[..., Caller], tmp_path: Path
) -> None:
    rng = random.Random(seed)
    config = tmp_path / "config"
    child = spawn()
    relay = Relay(config)
    key = child.ready["public_key"]
    first = call()  # makes this user's key known
    first.until(events.Connected)
    first.client.close()
    caller = call(relay.address, key)
    shots = [make_shot("steady", frames=frames, size=(352, 256)) for frames in (7, 12, 5)]
    jobs = [caller.client.submit(shot, RenderSettings(seed=number)) for number, shot in enumerate(shots)]
    frames: dict[str, dict[int, bytes]] = {job: {} for job in jobs}
    ended: dict[str, events.Event] = {}
    actions = ["kill", "kill", *["vanish"] * 3, *["cut"] * 4]  # two kills: a job has three attempts
    rng.shuffle(actions)
    deadline = time.monotonic() + BOUND
    next_action = time.monotonic() + 1
    while len(ended) < 3 and time.monotonic() < deadline:
        for event in caller.client.poll():
            if isinstance(event, events.FrameReady):
                frames[event.job][event.frame] = event.exr
            elif isinstance(event, (events.Finished, events.Failed, events.Cancelled)):
                ended[event.job] = event
        if actions and time.monotonic() > next_action:
            action = actions.pop()
            if action == "kill":
                child.kill()
                child = spawn()
            elif action == "cut":
                relay.cut()
            else:
                caller.client.close()
                caller = call(relay.address, key)
                for number, job in enumerate(jobs):  # what a program does that remembers only its UUIDs and scenes
                    if job not in ended:
                        caller.client.submit(shots[number], RenderSettings(seed=number), job)
            next_action = time.monotonic() + rng.uniform(0.05, 1.5)
        time.sleep(0.01)
    assert ended == {job: events.Finished(job, len(shot.frames) + 1) for job, shot in zip(jobs, shots, strict=True)}
    for number, (job, shot) in enumerate(zip(jobs, shots, strict=True)):
        assert frames[job] == {frame: painter.expected(frame, 352, 256, number) for frame in shot.frames}
