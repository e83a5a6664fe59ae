"""Who may not talk gets nothing, and who talks nonsense hurts only itself."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq
from conftest import BOUND, SETTINGS, Backend, Caller, make_shot, start_backend
from raw import Raw, known

from farplane.backend.service import keys, refusals, spool
from farplane.protocol import codec, events
from farplane.protocol.errors import FarplaneError
from farplane.protocol.schema import MAX_PART, NAMES

Make = Callable[..., Caller]


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One backend for all: it must survive every one of these tests."""
    folder = tmp_path_factory.mktemp("backend")
    started = start_backend(folder / "config", folder / "data")
    yield started
    started.stop()


@pytest.fixture
def raw(backend: Backend) -> Iterator[Callable[..., Raw]]:
    made: list[Raw] = []

    def make(pair: tuple[bytes, bytes] | None = None, address: str = "", server_key: str = "") -> Raw:
        made.append(
            Raw(
                address or backend.server.address,
                server_key or backend.server.public_key,
                pair or known(backend.config),
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


class Tap:
    """A TCP relay that counts what the backend sends."""

    def __init__(self, address: str) -> None:
        host, port = address.removeprefix("tcp://").rsplit(":", 1)
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent = b""
        self.closed = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        ours, _ = self._listener.accept()
        theirs = socket.create_connection(self._target)
        threading.Thread(target=self._up, args=(ours, theirs), daemon=True).start()
        while data := theirs.recv(65536):
            self.sent += data
            ours.sendall(data)
        ours.shutdown(socket.SHUT_RDWR)
        self.closed.set()

    @staticmethod
    def _up(ours: socket.socket, theirs: socket.socket) -> None:
        try:
            while data := ours.recv(65536):
                theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_a_stranger_gets_no_application_byte(backend: Backend, raw: Callable[..., Raw]) -> None:
    tap, peers = Tap(backend.server.address), set(backend.server._peers)
    stranger = raw(zmq.curve_keypair(), tap.address)
    stranger.say(events.Hello("let me in"))
    stranger.say(events.Attach(codec.new_job()))
    assert zmq.EVENT_HANDSHAKE_FAILED_AUTH in stranger.until_closed()
    assert stranger.hear(200) is None
    # The whole of CURVE's handshake (RFC 26): greeting 64, WELCOME 2 + 168, and an ERROR command of 2 + 10.
    assert tap.closed.wait(BOUND)
    assert len(tap.sent) == 64 + 170 + 12
    assert b"ERROR" in tap.sent[-12:]
    assert set(backend.server._peers) == peers  # the application never saw it


@pytest.mark.parametrize(
    "words", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(47)]
)
def test_other_protocols_are_cut_off(backend: Backend, words: bytes) -> None:
    """A silent peer, a browser, and ZMTP without CURVE: at most a greeting (64 bytes), then the line is closed."""
    host, port = backend.server.address.removeprefix("tcp://").rsplit(":", 1)
    with socket.create_connection((host, int(port))) as line:
        line.settimeout(BOUND)
        line.sendall(words)
        heard = b""
        try:
            while data := line.recv(4096):
                heard += data
        except ConnectionResetError:
            pass
    assert len(heard) <= 64


def test_the_artist_is_told_about_an_unknown_key_and_then_let_in(backend: Backend, call: Make, tmp_path: Path) -> None:
    caller = call(backend.server.address, backend.server.public_key, tmp_path / "another machine")
    lost = caller.until(events.Disconnected)
    assert "does not know this client's key" in lost.problem
    assert caller.client.public_key in lost.remedy
    keys.add_client(backend.config, caller.client.public_key, "laptop")
    caller.until(events.Connected)  # by itself


def test_the_artist_is_told_about_a_wrong_server_key(backend: Backend, call: Make) -> None:
    caller = call(backend.server.address, zmq.curve_keypair()[0].decode())
    assert "expected key" in caller.until(events.Disconnected).problem
    job = caller.client.submit(make_shot(), SETTINGS)  # waits for better times
    caller.client.cancel(job)
    assert caller.end(job) == events.Cancelled(job)


def test_the_key_of_this_machines_own_backend_need_not_be_given(backend: Backend, call: Make) -> None:
    """An address alone, as `farplane render --backend` may have it."""
    call(backend.server.address, config=backend.config).until(events.Connected)
    for path in (backend.config / "clients").glob("*.pub"):
        path.unlink()
    call(backend.server.address, backend.server.public_key, backend.config).until(events.Connected)
    with pytest.raises(FarplaneError, match="its key was not given"):
        call("tcp://127.0.0.1:9", config=backend.config)


def test_another_version_is_told_which_one_is_spoken_here(backend: Backend, raw: Callable[..., Raw]) -> None:
    peer = raw()
    header = json.loads(bytes(codec.encode(events.Hello("from the future"))[0]))
    peer.send(json.dumps({**header, "v": 2, "something": "new"}).encode())
    refused = peer.hear()
    assert isinstance(refused, events.Refused)
    assert (refused.job, refused.field) == (None, "version")
    assert "version 2" in refused.problem
    assert "version 1" in refused.problem


def test_a_backend_of_another_version_is_named(call: Make, tmp_path: Path) -> None:
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    public, secret = zmq.curve_keypair()
    router.curve_server, router.curve_secretkey, router.linger = True, secret, 0
    port = router.bind_to_random_port("tcp://127.0.0.1")
    caller = call(f"tcp://127.0.0.1:{port}", public.decode())
    identity, _ = router.recv_multipart()
    router.send_multipart([identity, b'{"v":9,"type":"welcome","all":"different"}'])
    lost = caller.until(events.Disconnected)
    assert "version 9" in lost.problem
    assert "same Farplane version" in lost.remedy
    router.close()
    context.term()


@pytest.mark.parametrize(
    "parts",
    [
        [b"not json"],
        [b"{}"],
        [b""],
        [b'{"v":1,"type":"hello"}'],
        [b'{"v":1,"type":"welcome","backend":"me","models":[],"max_upload":1}'],  # the other side's word
        [b'{"v":1,"type":"hello","client":"x","extra":1}'],
        [b'{"v":1,"type":"hello","client":"x"}'] * 9,
        [b'{"v":1,"type":"hello","client":"x"}'] + [b"x"] * 2000,
        [b"[" * 100_000],
        [b" " * (codec.MAX_HEADER + 1)],
    ],
)
def test_nonsense_ends_a_session_and_nothing_else(
    backend: Backend, raw: Callable[..., Raw], call: Make, parts: list[bytes]
) -> None:
    good, bad = raw(), raw()
    assert isinstance(good.greet(), events.Welcome)
    bad.send(*parts)
    refused = bad.hear()
    assert isinstance(refused, events.Refused)
    assert refused.job is None
    bad.say(events.Hello("sorry"))  # too late in this connection
    bad.say(events.Attach(codec.new_job()))
    assert bad.hear(200) is None
    job = codec.new_job()
    good.say(events.Attach(job))
    assert isinstance(good.hear(), events.Refused)
    assert good.hear(0) is None


def test_a_part_over_the_limit_cuts_the_line(backend: Backend, raw: Callable[..., Raw]) -> None:
    peer = raw()
    peer.greet()
    peer.send(b"x" * (MAX_PART + 1))
    assert zmq.EVENT_DISCONNECTED in peer.until_closed()
    assert peer.hear(0) is None


def offer(peer: Raw, shot=None, **changes: object) -> tuple[events.Submit, list[memoryview]]:
    """Greet, submit; returns what was submitted."""
    peer.greet()
    submit, buffers = codec.describe(codec.new_job(), shot or make_shot(), SETTINGS)
    submit = events.Submit(**{**vars(submit), **changes})
    peer.say(submit)
    return submit, buffers


def test_no_byte_goes_up_without_credit(backend: Backend, raw: Callable[..., Raw]) -> None:
    peer = raw()
    submit, buffers = offer(peer, make_shot(frames=12, size=(1024, 512)))  # 24 MiB
    assert peer.hear() == events.Credit(submit.job, 0, 8)
    for offset, data in codec.pieces(buffers, 0, 9):
        peer.say(events.Upload(submit.job, offset, data))
    said = [message for _ in range(6) if (message := peer.hear(500)) is not None]
    # Each four chunks bring credit for four more; the ninth is inside it, so nothing is wrong yet.
    assert said == [events.Credit(submit.job, 8 << 20, 4), events.Credit(submit.job, 12 << 20, 4)]
    for offset, data in codec.pieces(buffers, 20 << 20, 1):
        peer.say(events.Upload(submit.job, offset, data))
    refused = peer.hear()
    assert isinstance(refused, events.Refused)
    assert "not asked for" in refused.problem


def send_all(peer: Raw, submit: events.Submit, buffers: list[memoryview]) -> events.Message | None:
    """Upload by credit; returns the first answer that is none."""
    while isinstance(message := peer.hear(), events.Credit):
        for offset, data in codec.pieces(buffers, message.offset, message.chunks):
            peer.say(events.Upload(submit.job, offset, data))
    return message


def test_a_damaged_upload_is_refused(backend: Backend, raw: Callable[..., Raw]) -> None:
    peer = raw()
    submit, buffers = offer(peer)
    damaged = bytearray(buffers[2])
    damaged[1000] ^= 1
    refused = send_all(peer, submit, [*buffers[:2], memoryview(damaged)])
    assert isinstance(refused, events.Refused)
    assert (refused.job, refused.problem) == (submit.job, "it arrived damaged")
    peer.say(submit)  # and again, whole
    assert send_all(peer, submit, buffers) == events.Accepted(submit.job, 0)


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0])
def test_a_bad_depth_is_refused_whoever_sends_it(backend: Backend, raw: Callable[..., Raw], value: float) -> None:
    peer = raw()
    z = make_shot().depth.z.copy()
    z[-1, -1, -1] = value
    submit, buffers = codec.describe(codec.new_job(), make_shot(), SETTINGS)
    bad = z.reshape(-1).view(np.uint8).data
    info = events.ArrayInfo("z", "<f4", z.shape, hashlib.sha256(bad).hexdigest())
    submit = events.Submit(**{**vars(submit), "arrays": (*submit.arrays[:2], info)})
    peer.greet()
    peer.say(submit)
    refused = send_all(peer, submit, [*buffers[:2], bad])
    assert isinstance(refused, events.Refused)
    assert refused.field == "depth"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"frames": (1,)}, "frames"),
        ({"resolution": (30, 64)}, "resolution"),
        ({"resolution": (32768, 2)}, "resolution"),
        ({"prompt": events.Prompt(" ")}, "prompt"),
        ({"settings": events.RenderSettings(model="\0")}, "model"),
    ],
)
def test_a_bad_shot_is_refused_before_a_byte_of_it_is_asked_for(
    backend: Backend, raw: Callable[..., Raw], changes: dict, name: str
) -> None:
    peer = raw()
    submit, _ = offer(peer, **changes)
    refused = peer.hear()
    assert isinstance(refused, events.Refused)
    assert (refused.job, refused.field) == (submit.job, name)


def test_arrays_must_fit_the_shot(backend: Backend, raw: Callable[..., Raw]) -> None:
    peer = raw()
    offer(peer, resolution=(64, 96))
    refused = peer.hear()
    assert isinstance(refused, events.Refused)
    assert refused.job is None
    assert "do not fit" in refused.problem


def test_one_client_cannot_touch_another_ones_job(backend: Backend, raw: Callable[..., Raw], call: Make) -> None:
    owner = call(config=backend.config)
    job = owner.client.submit(make_shot(), SETTINGS)
    owner.end(job)
    for message in (events.Attach(job), events.Submit(**{**vars(codec.describe(job, make_shot(), SETTINGS)[0])})):
        thief = raw()
        thief.greet()
        thief.say(message)
        refused = thief.hear()
        assert isinstance(refused, events.Refused)
        assert refused.job == job
        thief.say(events.Fetch(job, -1, 0, 1))  # may not come: nothing was accepted
        assert isinstance(thief.hear(), events.Refused)
    thief = raw()
    thief.greet()
    thief.say(events.Forget(job))
    assert thief.hear() == events.Forgotten(job)  # it learns nothing, and nothing is gone
    owner.client.attach(job)
    assert isinstance(owner.end(job), events.Finished)


def test_frames_only_come_when_fetched(backend: Backend, raw: Callable[..., Raw]) -> None:
    """A client that asks for nothing is sent no chunk; one that asks gets just that."""
    peer = raw()
    submit, buffers = offer(peer)
    message = send_all(peer, submit, buffers)
    items: dict = {}
    heard: list = []
    while not isinstance(message, events.Finished):
        assert message is not None
        heard.append(message)
        assert NAMES[type(message)] in ("accepted", "progress", "preview", "items")
        items.update({info.item: info for info in message.items} if isinstance(message, events.Items) else {})
        message = peer.hear()
    # The picture forming is shown while it forms: that of the first step before the second step is done.
    first = next(at for at, said in enumerate(heard) if isinstance(said, events.Preview))
    second = next(at for at, said in enumerate(heard) if isinstance(said, events.Progress) and said.step > 1)
    assert heard[second].stage == "denoise"
    assert first < second
    peer.say(events.Fetch(submit.job, -1, 100, 8))
    chunk = peer.hear()
    assert isinstance(chunk, events.Chunk)
    assert (chunk.item, chunk.offset, len(chunk.data)) == (-1, 100, items[-1].size - 100)
    assert peer.hear(200) is None
    peer.say(events.Fetch(submit.job, "contact.png", 0, 1))
    refused = peer.hear()  # the painter makes none
    assert isinstance(refused, events.Refused)
    assert (refused.job, refused.field) == (submit.job, "fetch")
    peer.say(events.Attach(submit.job))
    assert peer.hear() == events.Accepted(submit.job, 0)
    assert isinstance(peer.hear(), events.Items)
    assert peer.hear() == events.Finished(submit.job, 6)  # as before


def test_a_full_disk_refuses_the_upload_and_the_next_one_works(
    backend: Backend, call: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = call(config=backend.config)
    jobs = backend.server._store.data / "jobs"
    before = set(jobs.iterdir())  # an upload that another test broke off rests for two minutes

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(spool.Upload, "write", full)
        failed = caller.end(caller.client.submit(make_shot(), SETTINGS))
        assert isinstance(failed, events.Failed)
        assert failed.field == "disk"
        assert "No space left" in failed.problem
    with monkeypatch.context() as patch:
        patch.setattr(spool, "write_durable", full)  # the last write, in the helper thread
        failed = caller.end(caller.client.submit(make_shot(), SETTINGS))
        assert isinstance(failed, events.Failed)
        assert failed.field == "disk"
    with monkeypatch.context() as patch:
        patch.setattr(refusals, "SPARE_DISK", 1 << 60)
        failed = caller.end(caller.client.submit(make_shot(), SETTINGS))
        assert isinstance(failed, events.Failed)
        assert "MiB left" in failed.problem
    job = caller.client.submit(make_shot(), SETTINGS)
    assert isinstance(caller.end(job), events.Finished)
    assert set(jobs.iterdir()) - before == {jobs / job}
    assert not list((jobs / job).glob("input.*"))  # nothing of the failed ones is left


def test_a_frame_that_rots_on_the_backends_disk_is_never_handed_on(backend: Backend, call: Make) -> None:
    caller = call(config=backend.config)
    job = caller.client.submit(make_shot(), SETTINGS)
    caller.end(job)
    path, _ = backend.server._store.item(job, 3) or pytest.fail("no frame")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    caller.heard.clear()
    caller.client.attach(job)
    failed = caller.end(job)
    assert isinstance(failed, events.Failed)
    assert "3 arrived damaged" in failed.problem
    assert 3 not in caller.frames(job)


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_list_of_clients_that_others_can_write_is_refused(tmp_path: Path) -> None:
    keys.backend_keys(tmp_path)
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients").chmod(0o777)
    with pytest.raises(FarplaneError, match="chmod 700"):
        keys.backend_keys(tmp_path)
