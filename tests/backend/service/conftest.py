"""A backend in a child process or in this one, clients, and small shots for the service's tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from farplane.addon.client import Client
from farplane.backend.service.server import Server
from farplane.protocol import events
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, RenderSettings, Shot

HERE = Path(__file__).parent
BOUND = 240.0  # seconds; only ends a hang on a starved machine, nothing here should take a tenth of it

sys.path.insert(0, str(HERE))  # painter: the tests compare with what it paints


@pytest.fixture(autouse=True, scope="session")
def _worker_finds_painter() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


def make_shot(
    mode: str = "plain",
    frames: int = 5,
    size: tuple[int, int] = (96, 64),
    reference: bool = False,
    base_colour: bool = False,
    sun: bool = False,
) -> Shot:
    """A shot whose depth differs from pixel to pixel; `mode` tells the painter what to do."""
    width, height = size
    rng = np.random.default_rng(frames * 7919 + width)
    K = np.tile(np.array([[90.0, 0, width / 2], [0, 90, height / 2], [0, 0, 1]]), (frames, 1, 1))
    pose = np.tile(np.eye(4), (frames, 1, 1))
    pose[:, 0, 3] = np.linspace(0, 2, frames)
    z = rng.uniform(1, 80, (frames, height, width)).astype(np.float32)
    z[:, 0, 0] = np.inf
    colours = rng.integers(0, 256, (frames, height, width, 4), np.uint8)
    colours[..., 3] = 255 * np.isfinite(z)
    return Shot(
        name="Küste 01",
        frames=tuple(range(-1, -1 + 2 * frames, 2)),
        resolution=size,
        fps=Fraction(24000, 1001),
        camera=CameraTrack(K, pose),
        depth=DepthPass(z, 0.5, 100.0),
        prompt=Prompt(f"{mode} a cliff in the evening 🌊", "people"),
        reference=rng.random((frames, height, width, 3), np.float32) if reference else None,
        base_colour=colours if base_colour else None,
        sun=np.tile([0.48, -0.6, 0.64], (frames, 1)) if sun else None,
    )


@dataclass
class Caller:
    """A client, and everything it has heard."""

    client: Client
    heard: list[events.Event] = field(default_factory=list)
    waiting: list[events.Event] = field(default_factory=list)  # heard, but no `until` has looked at them

    def until(self, wanted: Callable[[events.Event], bool] | type, seconds: float = BOUND) -> events.Event:
        """Poll until an event of this kind (or that fits) comes; returns it."""
        fits = (lambda event: isinstance(event, wanted)) if isinstance(wanted, type) else wanted
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            came = self.client.poll()
            self.heard += came
            self.waiting += came
            # What comes after the wanted event is for the next call: on a starved machine two jobs end in one poll.
            while self.waiting:
                if fits(event := self.waiting.pop(0)):
                    return event
            time.sleep(0.01)
        raise AssertionError(f"nothing like {wanted} came: {self.heard[-8:]}")

    def end(self, job: str) -> events.Event:
        """Poll until the job has ended; returns how."""
        kinds = (events.Finished, events.Failed, events.Cancelled)
        return self.until(lambda event: isinstance(event, kinds) and event.job == job)

    def of(self, kind: type, job: str = "") -> list:
        return [event for event in self.heard if isinstance(event, kind) and (not job or event.job == job)]  # type: ignore[attr-defined]

    def frames(self, job: str) -> dict[int, bytes]:
        """Frames heard, each once."""
        got = self.of(events.FrameReady, job)
        assert len({event.frame for event in got}) == len(got), "a frame came twice"
        return {event.frame: event.exr for event in got}


@dataclass
class Backend:
    """A server in this process, in a thread of its own."""

    server: Server
    thread: threading.Thread
    config: Path

    def stop(self) -> None:
        self.server.stop()
        self.thread.join(BOUND)
        assert not self.thread.is_alive()


def start_backend(config: Path, data: Path, **options: object) -> Backend:
    opened = threading.Event()
    box: list = []

    def run() -> None:
        try:
            settings = {"pipeline": "painter:paint", **options}
            server = Server("127.0.0.1", 0, config, data, **settings)  # type: ignore[arg-type]
            server.open()
            box.append(server)
        finally:
            opened.set()
        server.run()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert opened.wait(BOUND)
    assert box
    return Backend(box[0], thread, config)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    started = start_backend(tmp_path / "config", tmp_path / "data", kill_seconds=1.0)
    yield started
    started.stop()


@pytest.fixture
def call(tmp_path: Path) -> Iterator[Callable[..., Caller]]:
    """Make clients; all are closed at the end."""
    made: list[Client] = []

    def make(address: str = "", key: str = "", config: Path | None = None) -> Caller:
        client = Client(address, key, config or tmp_path / "config")
        client.start()
        made.append(client)
        return Caller(client)

    yield make
    for client in made:
        client.close()


@dataclass
class Child:
    """`serve` in a process of its own, to be killed."""

    process: subprocess.Popen
    ready: dict

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    made: list[subprocess.Popen] = []

    def start(before: str = "", stderr: Path | None = None, **options: object) -> Child:
        """before : Python that is run first, for other limits.  stderr : where the log goes."""
        code = (
            "from pathlib import Path\n"
            f"{before}\n"
            "from farplane.backend.service.server import serve\n"
            f"serve('127.0.0.1', 0, Path({str(tmp_path / 'config')!r}), Path({str(tmp_path / 'data')!r}), 'painter:paint', **{options!r})"
        )
        environment = {**os.environ, "PAINTER_GATE": str(tmp_path / "gate")}
        log = None if stderr is None else stderr.open("wb")
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=log, env=environment)
        made.append(process)
        assert process.stdout is not None
        return Child(process, json.loads(process.stdout.readline()))

    yield start
    for process in made:
        process.kill()
        process.wait()


SETTINGS = RenderSettings(seed=7)
