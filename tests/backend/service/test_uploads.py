"""Shots on their way in: refused as early as can be, bounded for each key, and gone when their client is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import BOUND, SETTINGS, Backend, make_shot, start_backend
from raw import Raw, known

from farplane.backend.service import incoming, refusals
from farplane.protocol import codec, events
from farplane.protocol.shot import CameraTrack, DepthPass, Shot

Connect = Callable[..., Raw]


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One backend for all that need no limits of their own: it must survive every one of these tests."""
    folder = tmp_path_factory.mktemp("backend")
    started = start_backend(folder / "config", folder / "data")
    yield started
    started.stop()


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    made: list[Raw] = []

    def make(backend: Backend, pair: tuple[bytes, bytes] | None = None) -> Raw:
        made.append(Raw(backend.server.address, backend.server.public_key, pair or known(backend.config)))
        assert isinstance(made[-1].greet(), events.Welcome)
        return made[-1]

    yield make
    for one in made:
        one.close()


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + BOUND
    while not what():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def big(frames: int = 12) -> tuple[events.Submit, list[memoryview]]:
    """A shot of 2 MiB a frame."""
    return codec.describe(codec.new_job(), make_shot(frames=frames, size=(1024, 512)), SETTINGS)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"name": "SEQ/010"}, "name", "slash"),
        ({"name": "SEQ\\010"}, "name", "slash"),
        ({"name": "a\x1b[31mred"}, "name", "control"),
        ({"name": "a\u2028b"}, "name", "control"),
        ({"name": " "}, "name", "empty"),
        ({"name": "x" * 201}, "name", "200"),
        ({"near": 100.0, "far": 0.5}, "depth", "near 100 and far 0.5"),
        ({"near": 2.0, "far": 2.0}, "depth", "no range"),
        ({"near": 0.0}, "depth", "no range"),
        ({"near": -1.0}, "depth", "no range"),
        ({"far": 1e300}, "depth", "1e+300"),
        ({"fps": Fraction(0)}, "fps", "0 is out of range"),
        ({"fps": Fraction(1001)}, "fps", "1001"),
        ({"fps": Fraction(1, 9007199254740992)}, "fps", "out of range"),
        ({"fps": Fraction(2**40, 2**39 + 1)}, "fps", "out of range"),
        ({"frames": (2**31 - 2, 2**31 - 1)}, "frames", "2147483647"),
        ({"frames": (2**31, 2**32)}, "frames", "4294967296"),
        ({"frames": (-(2**31), 0)}, "frames", "-2147483648"),
        ({"frames": tuple(range(1, 14_400_000, 10_000))}, "frames", "14390001"),
    ],
)
def test_what_a_header_can_show_is_refused_at_the_header(
    backend: Backend, connect: Connect, changes: dict, field: str, words: str
) -> None:
    peer = connect(backend)
    shot = make_shot(frames=len(changes.get("frames", "12345")))
    submit, _ = codec.describe(codec.new_job(), shot, SETTINGS)
    peer.say(events.Submit(**{**vars(submit), **changes}))
    refused = peer.hear()
    assert isinstance(refused, events.Refused)
    assert (refused.job, refused.field) == (submit.job, field)
    assert words in refused.problem
    assert "version" not in refused.remedy


def with_camera(shot: Shot, change: Callable[[np.ndarray, np.ndarray], None]) -> Shot:
    K, poses = shot.camera.K.copy(), shot.camera.world_from_camera.copy()
    change(K, poses)
    return Shot(**{**vars(shot), "camera": CameraTrack(K, poses)})


def far_away(_: np.ndarray, poses: np.ndarray) -> None:
    poses[1, 0, 3] = 1e300


def huge_axes(_: np.ndarray, poses: np.ndarray) -> None:
    poses[1, :3, :3] *= 1e300


def nowhere(_: np.ndarray, poses: np.ndarray) -> None:
    poses[1, 2, 3] = np.nan


def mirrored(_: np.ndarray, poses: np.ndarray) -> None:
    poses[:, 0, :3] *= -1


def wide_lens(K: np.ndarray, _: np.ndarray) -> None:
    K[0, 0, 0] = 1e-300


def long_lens(K: np.ndarray, _: np.ndarray) -> None:
    K[0, 0, 0] = 1e300


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (far_away, "1e+300 m away"),
        (huge_axes, "scaled, sheared or mirrored"),
        (nowhere, "NaN"),
        (mirrored, "mirrored"),
        (wide_lens, "focal length"),
        (long_lens, "1e+300 pixels"),
    ],
)
def test_a_camera_that_is_none_is_refused_after_the_first_chunk(
    backend: Backend, connect: Connect, change: Callable, words: str
) -> None:
    """It lies at the stream's beginning: the other 23 MiB need not be sent."""
    peer = connect(backend)
    shot = with_camera(make_shot(frames=12, size=(1024, 512)), change)
    submit, buffers = codec.describe(codec.new_job(), shot, SETTINGS)
    peer.say(submit)
    assert isinstance(peer.hear(), events.Credit)
    for offset, data in codec.pieces(buffers, 0, 1):
        peer.say(events.Upload(submit.job, offset, data))
    refused = peer.hear()
    assert isinstance(refused, events.Refused)
    assert (refused.job, refused.field) == (submit.job, "camera")
    assert words in refused.problem


@pytest.mark.parametrize("value", [3e38, 1e10, 1e-30])
def test_a_depth_that_is_no_place_is_refused(backend: Backend, connect: Connect, value: float) -> None:
    """3e38 and Blender's own 1e10 are what programs write where nothing is hit."""
    peer, shot = connect(backend), make_shot()
    z = shot.depth.z.copy()
    z[2, :8] = value
    submit, buffers = codec.describe(
        codec.new_job(), Shot(**{**vars(shot), "depth": DepthPass(z, 0.5, 100.0)}), SETTINGS
    )
    refused = peer.offer(submit, buffers)
    assert isinstance(refused, events.Refused)
    assert (refused.job, refused.field) == (submit.job, "depth")
    if value > 1:
        assert f"{value:.3g} m" in refused.problem
        assert "inf where nothing is hit" in refused.remedy


def handles(jobs: Path) -> int:
    """Uploads that this process, in which the backend runs, has open below a folder."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # gone since
            target = os.readlink(link)
            count += target.startswith(str(jobs)) and target.endswith("input.part")
    return count


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts handles in /proc")
def test_unfinished_uploads_hold_few_handles_and_end_with_their_client(
    tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred shots offered and begun by one client; it leaves.  Another client is served all the time."""
    monkeypatch.setattr(incoming, "REST_SECONDS", 1.0)
    backend = start_backend(tmp_path / "config", tmp_path / "data")
    jobs, pair = tmp_path / "data" / "jobs", known(backend.config)
    peer = connect(backend, pair)
    shots = [big(2) for _ in range(refusals.MAX_WAITING)]
    for submit, _ in shots:
        peer.say(submit)
    credits = [peer.hear() for _ in range(incoming.OPEN_OF_KEY)]
    for (submit, buffers), credit in zip(shots, credits, strict=False):
        assert credit == events.Credit(submit.job, 0, 8)
        for offset, data in codec.pieces(buffers, 0, 1):
            peer.say(events.Upload(submit.job, offset, data))
    assert peer.hear(300) is None  # the others wait for their turn
    peer.say(big(2)[0])
    refused = peer.hear()
    assert isinstance(refused, events.Refused)
    assert refused.field == "queue"
    until(lambda: len(list(jobs.glob("*/input.part"))) == incoming.OPEN_OF_KEY)
    assert handles(jobs) <= incoming.OPEN_OF_KEY
    other = connect(backend)
    submit, buffers = big(2)
    assert other.offer(submit, buffers) == events.Accepted(submit.job, 0)
    peer.close()
    until(lambda: not handles(jobs))  # at once
    until(lambda: len(list(jobs.iterdir())) == 1)  # the other one's
    again = connect(backend, pair)
    submit, buffers = big(2)
    assert isinstance(again.offer(submit, buffers), events.Accepted)  # the quota is whole again
    backend.stop()


def test_uploads_of_one_key_take_turns(backend: Backend, connect: Connect) -> None:
    """More shots at once than may be under way: all are sent, in order, none is refused."""
    peer = connect(backend)
    shots = {submit.job: (submit, buffers) for submit, buffers in (big(2) for _ in range(3 * incoming.OPEN_OF_KEY))}
    for submit, _ in shots.values():
        peer.say(submit)
    accepted: list[str] = []
    while len(accepted) < len(shots):
        message = peer.hear()
        assert isinstance(
            message, (events.Credit, events.Accepted, events.Progress, events.Preview, events.Items, events.Finished)
        )
        if isinstance(message, events.Credit):
            peer.upload(message.job, shots[message.job][1], message)
        elif isinstance(message, events.Accepted) and message.job not in accepted:
            accepted.append(message.job)
    assert accepted == list(shots)


def test_a_client_that_is_gone_may_come_back_and_go_on(
    tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the two minutes; and one that is connected and sends nothing yet is not gone."""
    monkeypatch.setattr(incoming, "REST_SECONDS", 2.0)
    backend = start_backend(tmp_path / "config", tmp_path / "data")
    pair = known(backend.config)
    first, slow = connect(backend, pair), connect(backend)
    submit, buffers = big()
    late, late_buffers = big(2)
    slow.say(late)
    credit = slow.hear()
    assert isinstance(credit, events.Credit)
    first.say(submit)
    assert isinstance(first.hear(), events.Credit)
    for offset, data in codec.pieces(buffers, 0, 2):
        first.say(events.Upload(submit.job, offset, data))
    until(lambda: sum(path.stat().st_size for path in (tmp_path / "data").glob("jobs/*/input.part")) == 2 << 20)
    first.close()
    second = connect(backend, pair)
    second.say(submit)
    answer = second.hear()
    assert answer == events.Credit(submit.job, 2 << 20, 8)
    second.upload(submit.job, buffers, answer)
    while isinstance(message := second.hear(), events.Credit):
        second.upload(submit.job, buffers, message)
    assert isinstance(message, events.Accepted)
    time.sleep(2 * incoming.REST_SECONDS)
    slow.upload(late.job, late_buffers, credit)
    assert isinstance(slow.hear(), events.Accepted)
    backend.stop()


def test_space_is_promised_once(tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for one more shot: of two offered at once the second is refused, and taken when the first is given up."""
    backend = start_backend(tmp_path / "config", tmp_path / "data")
    one, two = connect(backend), connect(backend)
    first, _ = big()
    second, buffers = big()
    need = refusals.Need.of(first)
    free = refusals.shutil.disk_usage(backend.config).free
    # Enough for the shot and half of another; the disk is not ours alone, a margin of a hundred MiB is neither.
    monkeypatch.setattr(refusals, "ARTIFACT_BYTES", 0)
    monkeypatch.setattr(refusals, "SPARE_DISK", free - need.upload - need.plate - (need.upload + need.frames) // 2)
    one.say(first)
    assert isinstance(one.hear(), events.Credit)
    two.say(second)
    refused = two.hear()
    assert isinstance(refused, events.Refused)
    assert refused.field == "disk"
    assert "for the shots before it" in refused.problem
    one.say(events.Cancel(first.job))
    assert one.hear() == events.Cancelled(first.job)
    assert isinstance(two.offer(second, buffers), events.Accepted)
    backend.stop()


def test_the_bytes_of_one_key_are_bounded(backend: Backend, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "MAX_BYTES", refusals.Need.of(big()[0]).upload * 3 // 2)
    pair = known(backend.config)
    one, two, other = connect(backend, pair), connect(backend, pair), connect(backend)
    for peer, kind in ((one, events.Credit), (two, events.Refused), (other, events.Credit)):
        peer.say(big()[0])
        answer = peer.hear()
        assert isinstance(answer, kind)
        if isinstance(answer, events.Refused):
            assert answer.field == "queue"
