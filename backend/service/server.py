"""The server: the only user of ZeroMQ in the backend.  Moves bytes between sockets and `Dispatch`; no torch here.

One thread polls three things: the ROUTER socket, its monitor (lines.py), and a plain socket pair on which other threads
(the worker's reader, the upload checker, a signal) knock after putting something into the inbox.  A turn of its loop is
bounded in everything that it does, so that no crowd of messages keeps it from the next one.

What a client does not read is bounded: libzmq holds IN_PIPE messages for it, further chunks wait on the disk, further
words in its outbox.  Over the limits of its key or of all, it is sent no chunk; over those of outboxes, and when it takes
nothing for STUCK_SECONDS, its connection is closed.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections import Counter, OrderedDict
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
from . import keys, process
from .dispatch import KILL_SECONDS, Dispatch
from .incoming import Checked
from .jobs import JobStore
from .lines import Lines
from .peer import IN_PIPE, READ_PAUSE, Peer
from .supervisor import Heard

log = logging.getLogger("farplane.service")

DEFAULT_PORT = 46347
PIPELINE = "farplane.backend.pipeline.render:run_job"

MAX_PEERS, PEERS_OF_KEY = 1024, 64  # connections in all, and with one key
MAX_OUTBOX, OUTBOX_OF_KEY, OUTBOX_IN_ALL = 16 << 20, 64 << 20, 256 << 20  # bytes that wait for who does not read
UNREAD_OF_KEY, UNREAD_IN_ALL = 64 << 20, 256 << 20  # bytes handed on and not read; above it no chunk follows
STUCK_SECONDS = 60.0  # without taking a byte of what it was sent
CLOSE_SECONDS = 1.0  # for the last words to leave
HIGH_WATER = 16  # messages inside libzmq on their way from one peer
TURN_SECONDS = 0.01  # for what has arrived; then what is to be said goes out
CHUNKS_A_TURN = 4  # per peer, so that one download does not hold up the others
TICK_MS = 1000
CONGESTED_MS = 5  # until a peer whose pipe is full is tried again
PLACES_MS = 20  # until the next places in the queue are told
SPARE_HANDLES = 192  # of them, not for connections

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
        self._peers: OrderedDict[bytes, Peer] = OrderedDict()  # the longest silent one first
        self._closing: dict[bytes, float] = {}  # connections that are over: when to close them
        self._stuck: dict[bytes, tuple[int, float]] = {}  # bytes that the system held for a peer, and since when
        self._max_peers = MAX_PEERS
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
        self._held = keys.hold(self._config, self._data)
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
        self._max_peers = min(MAX_PEERS, max(16, process.handles() - SPARE_HANDLES))
        try:
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
        except BaseException:
            self._lines.close()
            self._router.close()
            self._context.term()
            self._store.close()
            os.close(self._held)
            raise
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
        router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 15000)  # a machine with no time for libzmq's own thread
        router.setsockopt(zmq.HEARTBEAT_TTL, 15000)
        router.setsockopt(zmq.MAXMSGSIZE, MAX_PART)
        router.setsockopt(zmq.BACKLOG, 256)
        router.setsockopt(zmq.SNDHWM, IN_PIPE)
        router.setsockopt(zmq.RCVHWM, HIGH_WATER)
        router.setsockopt(zmq.IPV6, 1 if ":" in self._host else 0)
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._lines = Lines(self._context, router)
        try:
            router.bind(f"tcp://{host}:{self._port or '*'}")
        except zmq.ZMQError as error:
            self._lines.close()
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
        poller.register(self._lines.socket, zmq.POLLIN)
        wait, tick_at = 0, 0.0
        try:
            while not self._stopping.is_set():
                ready = dict(poller.poll(wait))
                if self._lines.socket in ready:
                    self._guarded(self._look_at_lines)
                if self._router in ready:
                    self._guarded(self._receive)
                if self._knocked.fileno() in ready or not self._inbox.empty():
                    self._guarded(self._empty_inbox)
                now = time.monotonic()
                if now >= tick_at:
                    tick_at = now + TICK_MS / 1000
                    self._guarded(self._dispatch.tick, now)
                    self._guarded(self._tick, now)
                    if not alive():
                        break
                more = self._guarded(self._dispatch.listeners.tell_places, now)
                wait = self._guarded(self._send)
                wait = TICK_MS if wait is None else wait  # never spin on what goes wrong
                if not self._inbox.empty():
                    wait = 0
                elif more:
                    wait = min(wait, PLACES_MS)
        finally:
            self.close()

    def close(self) -> None:
        """Withdraw, stop the worker, free the port."""
        pairing.withdraw(self._config, os.getpid())
        self._dispatch.close()
        self._lines.close()
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
    def _guarded(step: Callable[..., Any], *values: Any) -> Any:
        """Whatever goes wrong with one message, the next one is served."""
        try:
            return step(*values)
        except Exception:
            log.exception("unexpected")
            return None

    def _empty_inbox(self) -> None:
        with suppress(BlockingIOError):
            while self._knocked.recv(4096):
                pass
        until = time.monotonic() + TURN_SECONDS
        while time.monotonic() < until:
            try:
                thing = self._inbox.get_nowait()
            except queue.Empty:
                return
            if isinstance(thing, Heard):
                self._guarded(self._dispatch.hear, thing)
            elif isinstance(thing, Checked):
                self._guarded(self._dispatch.checked, thing)

    def _receive(self) -> None:
        """Take in what has arrived, up to a turn's worth."""
        self._look_at_lines()  # a client may come again under the name that it gave itself
        until = time.monotonic() + TURN_SECONDS
        while time.monotonic() < until:
            try:
                identity = self._router.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            parts: list[bytes] = []
            key, line = "", -1
            while self._router.getsockopt(zmq.RCVMORE):
                frame = self._router.recv(copy=False)
                if len(parts) <= MAX_PARTS:  # one more shows that there were too many; the rest is let go
                    parts.append(frame.bytes)
                    key, line = str(frame.get("User-Id")), self._lines.of(frame)
            if (peer := self._peer(identity, key, line)) is not None:
                self._guarded(self._dispatch.receive, peer, parts)

    def _peer(self, identity: bytes, key: str, line: int) -> Peer | None:
        """Who says something; None for who is not listened to any more."""
        peer = self._peers.get(identity)
        if peer is not None and peer.key != key:
            self._forget(identity)
            peer = None
        if peer is None and identity not in self._closing:
            self._look_at_lines()  # the dead first
            self._lines.know(line, identity)
            peer = self._peers[identity] = Peer(key)
            self._dispatch.listeners.join(peer)
            self._make_room(peer)
        if peer is None or peer.ended:
            return None
        self._peers.move_to_end(identity)
        return peer

    def _make_room(self, newcomer: Peer) -> None:
        """Keep to the number of connections: of one key the newest has to go, of all one of who has the most."""
        held = Counter(peer.key for peer in self._peers.values() if not peer.ended)
        if held[newcomer.key] > PEERS_OF_KEY:
            problem = f"{PEERS_OF_KEY} connections of this client's key are open already"
            self._dispatch.end_session(newcomer, "connections", problem, "Close some of them, or use a key of its own")
        elif sum(held.values()) > self._max_peers:
            greediest = held.most_common(1)[0][0]
            theirs = [peer for peer in self._peers.values() if peer.key == greediest and not peer.ended]
            idle = next((peer for peer in theirs if not peer.session.follows), theirs[0])
            problem = "the backend has as many connections as it can hold, and this one was silent for the longest"
            self._dispatch.end_session(idle, "connections", problem, "Connect again when there is something to say")

    def _look_at_lines(self) -> None:
        """Forget whose connection has ended."""
        for identity in self._lines.ended():
            self._forget(identity)

    def _forget(self, identity: bytes) -> None:
        """A connection is gone."""
        peer = self._peers.pop(identity, None)
        self._closing.pop(identity, None)
        self._stuck.pop(identity, None)
        self._lines.forget(identity)
        if peer is not None:
            self._dispatch.leave(peer)

    def _drop(self, identity: bytes, why: str) -> None:
        """Be done with a client that does not read: no word would reach it."""
        peer = self._peers[identity]
        log.warning("a connection of %s is closed: %s", peer.key[:8], why)
        self._close(identity)

    def _close(self, identity: bytes) -> None:
        """Close a connection; what it said that has not been looked at yet is passed over."""
        self._lines.cut(identity)
        if (peer := self._peers.pop(identity, None)) is not None:
            self._dispatch.leave(peer)
        self._stuck.pop(identity, None)
        self._closing[identity] = math.inf  # until its line has ended

    def _tick(self, now: float) -> None:
        """Close what is over, and look at who does not read."""
        for identity, at in list(self._closing.items()):
            if now >= at:
                self._close(identity)
        for identity, peer in list(self._peers.items()):
            if peer.unread:
                self._look_at_unread(identity, peer, now)
        for limit, key in ((OUTBOX_OF_KEY, True), (OUTBOX_IN_ALL, False)):
            self._bound_outboxes(limit, by_key=key)

    def _look_at_unread(self, identity: bytes, peer: Peer, now: float) -> None:
        """Note whether a peer takes what it was sent."""
        held = self._lines.unsent(identity)
        if held is None and not peer.waiting:
            held = 0  # this system does not say; what is not read shows when there is more to send
        if held == 0:
            peer.read()
            self._stuck.pop(identity, None)
            return
        before, since = self._stuck.get(identity, (math.inf, now))
        if held is None:
            held = -peer.taken
        # What the system holds grows for a while with what it is given; only what it gets rid of was taken.
        self._stuck[identity] = (held, now if held < before else since)
        if now - self._stuck[identity][1] > STUCK_SECONDS:
            self._drop(identity, f"it has taken nothing for {STUCK_SECONDS:.0f} s")

    def _bound_outboxes(self, limit: int, *, by_key: bool) -> None:
        """Drop who has the most waiting, until no key (or all together) has more than `limit` bytes."""
        waiting = Counter({identity: peer.waiting for identity, peer in self._peers.items() if peer.waiting})
        held: Counter[str] = Counter()
        for identity, size in waiting.items():
            held[self._peers[identity].key if by_key else ""] += size
        for identity, size in waiting.most_common():
            key = self._peers[identity].key if by_key else ""
            if held[key] > limit:
                held[key] -= size
                self._drop(identity, f"{size >> 20} MiB wait for it")

    def _send(self) -> int:
        """Send what waits.  Returns how many milliseconds the loop may sleep."""
        wait = TICK_MS
        for identity, peer in list(self._peers.items()):
            try:
                wait = min(wait, self._send_to(identity, peer))
            except zmq.Again:
                if peer.waiting > MAX_OUTBOX:
                    self._drop(identity, f"{peer.waiting >> 20} MiB wait for it")
                wait = min(wait, CONGESTED_MS)
            except zmq.ZMQError as error:
                if error.errno != errno.EHOSTUNREACH:
                    log.error("send: %s", error)
                self._forget(identity)
            else:
                if peer.ended:
                    self._peers.pop(identity)
                    self._closing[identity] = time.monotonic() + CLOSE_SECONDS
        return wait

    def _send_to(self, identity: bytes, peer: Peer) -> int:
        """Send all messages of a peer and a few chunks.  Returns in how many milliseconds there may be more to send.

        Raises zmq.Again when its pipe is full.
        """
        for _ in range(CHUNKS_A_TURN + 1):
            while peer.outbox:
                self._router.send_multipart([identity, *peer.outbox[0]], zmq.NOBLOCK)
                peer.given()
            if not peer.fetches:
                return TICK_MS
            if not self._may_take_chunk(peer):
                return CONGESTED_MS
            if not peer.queue_chunk() and not peer.outbox:
                return round(READ_PAUSE * 1000)
        return 0

    def _may_take_chunk(self, peer: Peer) -> bool:
        """Whether what its key and all have not read leaves room; whoever has read everything gets one in any case."""
        holders = {identity: other for identity, other in self._peers.items() if other.unread}
        if not self._over(peer, holders):
            return True
        for identity, other in holders.items():
            if self._lines.unsent(identity) == 0:
                other.read()
        return not self._over(peer, holders)

    @staticmethod
    def _over(peer: Peer, holders: dict[bytes, Peer]) -> bool:
        own = sum(other.unread for other in holders.values() if other.key == peer.key)
        return own > UNREAD_OF_KEY or (own > 0 and sum(other.unread for other in holders.values()) > UNREAD_IN_ALL)


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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(process.OneLine("%(asctime)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    process.take_handles()
    server = Server(host, port, config_dir, data_dir, pipeline, models, longest=longest)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and (name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN):  # nohup
            signal.signal(number, lambda *_: server.stop())
    server.open()
    line = {"ready": True, "address": server.address, "public_key": server.public_key, "pid": os.getpid()}
    print(json.dumps(line), flush=True)
    if warning := keys.exposure(host, int(server.address.rpartition(":")[2])):
        log.warning("%s", warning)
    server.run(lambda: parent_pid is None or process.is_alive(parent_pid))


def package_version() -> str:
    """Farplane's own version, as installed."""
    try:
        return version("farplane")
    except PackageNotFoundError:
        return "unknown"
