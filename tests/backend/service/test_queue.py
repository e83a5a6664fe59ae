"""A long queue costs nobody an answer: the same backend with ten jobs waiting, and with hundreds."""

from __future__ import annotations

import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zmq
from conftest import BOUND, SETTINGS, Child, make_shot
from raw import Raw, known

from farplane.protocol import codec, events

CLIENTS = 10
JITTER = 0.05  # seconds: the scheduler of a machine with other work; below it an answer counts as just as quick


@dataclass
class Crowd:
    """Ten clients with a key each, one of which only asks and takes the time of each answer."""

    peers: list[Raw]
    prober: Raw
    owner: dict[str, Raw] = field(default_factory=dict)
    buffers: dict[str, list[memoryview]] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    finished: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def probe(self) -> None:
        """In a thread of its own, so that what the others have to do here is not in the time of an answer."""
        while not self.done.is_set():
            job, asked = codec.new_job(), time.monotonic()
            self.prober.say(events.Attach(job))
            parts = self.prober.parts(round(BOUND * 1000))
            self.answers.append(time.monotonic() - asked)
            assert parts is not None
            assert json.loads(parts[0])["job"] == job
            time.sleep(0.005)

    def submit(self, jobs: int) -> None:
        for number in range(jobs):
            submit, buffers = codec.describe(codec.new_job(), make_shot(frames=2), SETTINGS)
            self.buffers[submit.job] = buffers
            self.owner[submit.job] = peer = self.peers[number % CLIENTS]
            peer.say(submit)

    def turn(self) -> None:
        """Hear what has come, and send what was asked for."""
        poller = zmq.Poller()
        for peer in self.peers:
            poller.register(peer.socket, zmq.POLLIN)
        ready = dict(poller.poll(50))
        for peer in self.peers:
            while peer.socket in ready and (parts := peer.parts(0)):
                self._hear(peer, json.loads(parts[0]))

    def _hear(self, peer: Raw, message: dict) -> None:
        if message["type"] == "credit":
            peer.upload(message["job"], self.buffers[message["job"]], events.Credit(message["job"], 0, 8))
        elif message["type"] == "accepted":
            self.accepted.add(message["job"])
        elif message["type"] == "finished":
            self.finished.append(time.monotonic())
        else:
            assert message["type"] in ("progress", "preview", "items"), message

    def until(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + BOUND
        while not what():
            assert time.monotonic() < deadline, f"{len(self.accepted)} accepted, {len(self.finished)} finished"
            self.turn()


def crowd(child: Child, config: Path) -> Crowd:
    peers = [Raw(child.ready["address"], child.ready["public_key"], known(config, str(n))) for n in range(CLIENTS + 1)]
    for peer in peers:
        assert isinstance(peer.greet(), events.Welcome)
    return Crowd(peers[1:], peers[0])


@dataclass
class Measured:
    """Seconds of each answer while so many jobs were taken in and ran, and how many ended in a second (by the median pause)."""

    answers: list[float]
    rate: float

    @property
    def slowest(self) -> float:
        return max(self.answers)

    @property
    def slow(self) -> float:
        """The slowest but for one in a hundred, which is the disk's affair or another program's."""
        return sorted(self.answers)[-1 - len(self.answers) // 100]


def compare(child: Child, config: Path, jobs: int, count: int) -> tuple[Measured, Measured]:
    """With ten jobs waiting, as each that ends is followed by another, and with `jobs`; over `count` that end."""
    many = crowd(child, config)
    prober = threading.Thread(target=many.probe)
    prober.start()
    measured = []
    for waiting in (CLIENTS, jobs):
        many.finished.clear()
        many.answers.clear()
        many.submit(waiting)
        many.until(lambda: len(many.accepted) == len(many.owner))
        first = len(many.finished)  # the rate is that of jobs which end after the last of these has been taken in
        while len(many.finished) < first + count:
            many.turn()
            if waiting == CLIENTS and len(many.owner) - len(many.finished) < CLIENTS:
                many.submit(1)
        times = many.finished[max(first, 1) - 1 :]
        between = statistics.median(after - before for before, after in itertools.pairwise(times))
        measured.append(Measured(list(many.answers), 1 / between))
        if waiting == CLIENTS:  # all of them, so that nothing of the first part is in the second
            many.until(lambda: len(many.finished) == len(many.owner))
    many.done.set()
    prober.join()
    for peer in (*many.peers, many.prober):
        peer.close()
    return measured[0], measured[1]


def test_a_hundred_waiting_jobs_slow_no_answer(spawn: Callable[..., Child], tmp_path: Path) -> None:
    ten, hundred = compare(spawn(), tmp_path / "config", 100, 15)
    assert hundred.slow <= 3 * max(ten.slow, JITTER), f"{hundred.slow * 1e3:.0f} ms instead of {ten.slow * 1e3:.0f} ms"
    # The figure is 10% (below); over 15 jobs of a busy machine the rate itself is known to a third.
    assert hundred.rate >= ten.rate * 2 / 3, f"{hundred.rate:.2f} jobs a second instead of {ten.rate:.2f}"


@pytest.mark.slow
def test_six_hundred_waiting_jobs_slow_no_answer(spawn: Callable[..., Child], tmp_path: Path) -> None:
    """Before: 20 s at 400 jobs, and no answer in 60 s at 600."""
    ten, many = compare(spawn(), tmp_path / "config", 600, 60)
    print(f"slowest answer {ten.slowest * 1e3:.0f} ms, then {many.slowest * 1e3:.0f} ms")
    print(f"99 of 100 answers {ten.slow * 1e3:.0f} ms, then {many.slow * 1e3:.0f} ms")
    print(f"{ten.rate:.2f}, then {many.rate:.2f} jobs a second")
    assert many.slow <= 3 * max(ten.slow, JITTER)
    assert many.slowest <= 3 * max(ten.slowest, JITTER)
    assert many.rate >= ten.rate * 0.9
