"""The server: the only user of ZeroMQ in the backend.  Moves bytes between sockets and `Dispatch`; no torch here.

One thread polls two things: the ROUTER socket, and a plain socket pair on which other threads (the worker's reader,
the upload checker, a signal) knock after putting something into the inbox.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import zmq

from ...protocol import pairing
from ...protocol.errors import FarplaneError
from ...protocol.events import ModelInfo
from ...protocol.pairing import Published
from ...protocol.schema import MAX_PART, MAX_PARTS
from . import keys
from .dispatch import KILL_SECONDS, Dispatch
from .incoming import Checked
from .jobs import JobStore
from .peer import Peer
from .supervisor import Heard

log = logging.getLogger("farplane.service")

DEFAULT_PORT = 46347
PIPELINE = "farplane.backend.pipeline.render:run_job"

MAX_PEERS = 1024  # connections remembered; the longest silent one is dropped
MAX_OUTBOX = 8192  # messages that wait for a peer that does not read; then it is dropped
HIGH_WATER = 64  # messages inside libzmq, per peer and direction: 64 MiB of chunks at most
CHUNKS_A_TURN = 4  # per peer, so that one download does not hold up the others
TICK_MS = 1000
CONGESTED_MS = 20  # until a peer whose pipe is full is tried again

Models = Sequence[ModelInfo] | Callable[[], Sequence[ModelInfo]]
Longest = Callable[[str], int | None]


def any_length(model: str) -> int | None:
    """Models that render shots of any length."""


class Server:
    """A backend on one address.  Make it, `open` it and `run` it in one thread; `stop` it from any."""

    def __init__(
        self,
        host: str,
        port: int,
        config_dir: Path,
        data_dir: Path,
        pipeline: str = PIPELINE,
        models: Models = (),
        kill_seconds: float = KILL_SECONDS,
        longest: Longest = any_length,
    ) -> None:
        self._host, self._port = host, port
        self._config, self._data = config_dir, data_dir
        self._pipeline, self._kill_seconds = pipeline, kill_seconds
        self._models = models if callable(models) else lambda: models
        self._longest = longest
        self._peers: OrderedDict[bytes, Peer] = OrderedDict()
        self._inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._knock, self._knocked = socket.socketpair()
        self._knock.setblocking(False)
        self._knocked.setblocking(False)
        self._stopping = threading.Event()
        self.address = ""
        self.public_key = ""

    def open(self) -> None:
        """Bind, publish, start the worker.  Raises FarplaneError when the keys, the folder or the port are not ours."""
        pair = keys.backend_keys(self._config)
        self.public_key = pair.public
        self._held = keys.hold(self._config)
        try:
            self._store = JobStore(self._data)
        except BaseException:
            os.close(self._held)
            raise
        self._context = zmq.Context()
        try:
            # First the doorkeeper: a server without one would let everybody in.
            keys.Doorkeeper(self._context, self._config)
            self._router = self._bind(pair)
        except BaseException:
            self._context.term()
            self._store.close()
            os.close(self._held)
            raise
        self._dispatch = Dispatch(
            self._store,
            self._pipeline,
            self._models,
            self._longest,
            package_version(),
            self._post,
            self._kill_seconds,
            partial(keys.may_name_model, self._config),
        )
        # Who listens on every address is reached on this machine by the loopback one.
        local = self.address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        pairing.publish(self._config, Published(local, self.public_key, os.getpid()))

    def _bind(self, pair: pairing.KeyPair) -> zmq.Socket:
        router = self._context.socket(zmq.ROUTER)
        router.linger = 0
        router.curve_server = True
        router.curve_secretkey = pair.secret.encode()
        router.curve_publickey = pair.public.encode()
        router.zap_domain = keys.ZAP_DOMAIN
        router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without a doorkeeper, nobody
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)  # an error instead of silence when a peer is gone or full
        router.setsockopt(zmq.HANDSHAKE_IVL, 2000)
        router.setsockopt(zmq.HEARTBEAT_IVL, 1000)
        router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 5000)
        router.setsockopt(zmq.HEARTBEAT_TTL, 5000)
        router.setsockopt(zmq.MAXMSGSIZE, MAX_PART)
        router.setsockopt(zmq.BACKLOG, 256)
        router.setsockopt(zmq.SNDHWM, HIGH_WATER)
        router.setsockopt(zmq.RCVHWM, HIGH_WATER)
        router.setsockopt(zmq.IPV6, 1 if ":" in self._host else 0)
        host = f"[{self._host}]" if ":" in self._host else self._host
        try:
            router.bind(f"tcp://{host}:{self._port or '*'}")
        except zmq.ZMQError as error:
            router.close()
            if error.errno == errno.EADDRINUSE:
                raise FarplaneError(
                    "port", f"{self._port} is taken", "Stop what uses it or give another --port"
                ) from None
            raise FarplaneError(
                "host", f"{self._host} cannot be bound ({error})", "Use an address of this machine"
            ) from None
        endpoint = router.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(endpoint, bytes)
        self.address = endpoint.rstrip(b"\0").decode()
        return router

    def stop(self) -> None:
        """End `run`, soon.  From any thread or a signal handler."""
        self._stopping.set()
        self._wake()

    def run(self, alive: Callable[[], bool] = lambda: True) -> None:
        """Serve until `stop`, or until `alive` (asked once a second) says no."""
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._knocked.fileno(), zmq.POLLIN)
        wait, tick_at = 0, 0.0
        try:
            while not self._stopping.is_set():
                ready = dict(poller.poll(wait))
                if self._router in ready:
                    self._guarded(self._receive)
                if self._knocked.fileno() in ready:
                    self._guarded(self._empty_inbox)
                now = time.monotonic()
                if now >= tick_at:
                    tick_at = now + TICK_MS / 1000
                    self._guarded(self._dispatch.tick, now)
                    if not alive():
                        break
                wait = self._send()
        finally:
            self.close()

    def close(self) -> None:
        """Withdraw, stop the worker, free the port."""
        pairing.withdraw(self._config, os.getpid())
        self._dispatch.close()
        self._router.close(linger=200)  # the last words to clients that read
        self._context.term()
        self._store.close()
        os.close(self._held)
        self._knock.close()
        self._knocked.close()

    def _post(self, thing: object) -> None:
        self._inbox.put(thing)
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):  # full: it is awake already; closed: it is over
            self._knock.send(b"!")

    @staticmethod
    def _guarded(step: Callable[..., None], *values: Any) -> None:
        """Whatever goes wrong with one message, the next one is served."""
        try:
            step(*values)
        except Exception:
            log.exception("unexpected")

    def _empty_inbox(self) -> None:
        with suppress(BlockingIOError):
            while self._knocked.recv(4096):
                pass
        while not self._inbox.empty():
            thing = self._inbox.get()
            if isinstance(thing, Heard):
                self._guarded(self._dispatch.hear, thing)
            elif isinstance(thing, Checked):
                self._guarded(self._dispatch.checked, thing)

    def _receive(self) -> None:
        """Take in what has arrived, up to a turn's worth."""
        for _ in range(HIGH_WATER):
            try:
                identity = self._router.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            parts: list[bytes] = []
            key = ""
            while self._router.getsockopt(zmq.RCVMORE):
                frame = self._router.recv(copy=False)
                if len(parts) <= MAX_PARTS:  # one more shows that there were too many; the rest is let go
                    parts.append(frame.bytes)
                    key = str(frame.get("User-Id"))
            self._guarded(self._dispatch.receive, self._peer(identity, key), parts)

    def _peer(self, identity: bytes, key: str) -> Peer:
        peer = self._peers.get(identity)
        if peer is None or peer.key != key:
            self._forget(identity)
            while len(self._peers) >= MAX_PEERS:
                self._forget(next(iter(self._peers)))
            peer = self._peers[identity] = Peer(key)
            self._dispatch.peers.append(peer)
        self._peers.move_to_end(identity)
        return peer

    def _forget(self, identity: bytes) -> None:
        peer = self._peers.pop(identity, None)
        if peer is not None:
            self._dispatch.leave(peer)

    def _send(self) -> int:
        """Send what waits.  Returns how many milliseconds the loop may sleep."""
        wait = TICK_MS
        for identity, peer in list(self._peers.items()):
            try:
                if self._send_to(identity, peer):
                    wait = 0
            except zmq.Again:
                if len(peer.outbox) > MAX_OUTBOX:
                    self._forget(identity)
                wait = min(wait, CONGESTED_MS)
            except zmq.ZMQError as error:
                if error.errno != errno.EHOSTUNREACH:
                    log.error("send: %s", error)
                self._forget(identity)
        return wait

    def _send_to(self, identity: bytes, peer: Peer) -> bool:
        """Send all messages of a peer and a few chunks; True when chunks are left.  Raises zmq.Again when it is full."""
        while peer.outbox:
            self._router.send_multipart([identity, *peer.outbox[0]], zmq.NOBLOCK)
            peer.outbox.popleft()
        for _ in range(CHUNKS_A_TURN):
            parts = peer.next_chunk()
            if parts is None:
                return False
            peer.outbox.append(parts)
            self._router.send_multipart([identity, *parts], zmq.NOBLOCK)
            peer.outbox.popleft()
        return bool(peer.fetches)


def serve(
    host: str,
    port: int,
    config_dir: Path,
    data_dir: Path,
    pipeline: str = PIPELINE,
    models: Models = (),
    parent_pid: int | None = None,
    longest: Longest = any_length,
) -> None:
    """Serve until SIGINT or SIGTERM; blocks.  Prints one line of JSON when it can be reached.

    host, port : where to listen; port 0 takes a free one.  config_dir : keys and known clients.
    data_dir : queue, uploads and results.  pipeline : ``module:function``, what the worker runs.
    models : what clients may choose from, or a function that says so at each hello.
    parent_pid : end when this process has ended.  longest : frames of the longest shot of a model by its name, None
    for any.
    Raises FarplaneError when the port, the folders or the keys cannot be used.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    server = Server(host, port, config_dir, data_dir, pipeline, models, longest=longest)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop())
    server.open()
    line = {"ready": True, "address": server.address, "public_key": server.public_key, "pid": os.getpid()}
    print(json.dumps(line), flush=True)
    if warning := keys.exposure(host, int(server.address.rpartition(":")[2])):
        log.warning("%s", warning)
    server.run(lambda: parent_pid is None or _is_alive(parent_pid))


def package_version() -> str:
    """Farplane's own version, as installed."""
    try:
        return version("farplane")
    except PackageNotFoundError:
        return "unknown"


def _is_alive(pid: int) -> bool:
    if os.name == "posix" and os.getppid() == pid:
        return True
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
