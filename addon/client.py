"""The client: one thread that owns the socket to the backend, and two queues.  No bpy.

Usage, from any one thread (Blender's main thread, or the command line)::

    client = Client()              # the backend of this machine
    client.start()
    job = client.submit(shot, settings)
    ...
    for event in client.poll():    # from a timer; never blocks
        ...
    client.close()

The thread connects, and connects again whenever the connection breaks; what a broken connection interrupted goes
on by itself (conversation.py).  A socket lives for one connection only, so nothing stale is ever sent.
"""

from __future__ import annotations

import atexit
import logging
import math
import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..protocol import codec, events, pairing
from ..protocol.errors import FarplaneError
from ..protocol.events import Event, RemoteProtocolError, VersionMismatch
from ..protocol.schema import FROM_BACKEND, MAX_PART, MAX_PARTS
from ..protocol.shot import RenderSettings, Shot
from .conversation import Conversation
from .event_queue import EventQueue

log = logging.getLogger("farplane.client")

MAX_HELD = 128 << 20  # bytes of results that wait for `poll`; above it nothing more is fetched
ANSWER_SECONDS = 5.0  # from connecting to the backend's welcome
RETRY_SECONDS = (0.25, 0.5, 1.0, 2.0)  # between attempts; the last one again and again
CLOSE_SECONDS = 2.0
FLUSH_MS = 300  # for a last cancel to leave
HIGH_WATER = 64  # messages inside libzmq

SILENCE_SECONDS = 120.0  # a backend that is there and says nothing has this long: its machine may be busy
LOOK_SECONDS = 1.0  # for a machine to say whether anything listens at the backend's port
HEARTBEAT_MS = 1000
SILENT_MS = 15000  # without an answer to a heartbeat; libzmq's thread answers, so this is a machine with no time at all

Problem = tuple[str, str]  # what is wrong, what to do

NOBODY = ("no backend is running on this machine", "Start one with `farplane serve`")
NO_ANSWER = "Check that `farplane serve` runs there and that the address is right"
UNKNOWN_KEY = "On the backend's machine run: farplane clients add -- '{key}'"
WRONG_KEY = "Copy the backend's public key again; `farplane serve` prints it"
LOST = ("the connection to the backend broke", "Nothing is lost: the job goes on and the client connects again")


class Client:
    """A connection to one backend that looks after itself.

    Parameters
    ----------
    address : ``tcp://host:port``; empty for the backend of this machine, whose address and key are read from
        the configuration folder.
    server_key : the backend's public key (40 characters); empty together with `address`, or where that is the address
        of this machine's own backend.
    config_dir : where this user's keys lie; the platform's own folder when None.
    """

    def __init__(self, address: str = "", server_key: str = "", config_dir: Path | None = None) -> None:
        self._config = config_dir or pairing.config_dir()
        self._address = address
        self._server_key = server_key
        self._keys: pairing.KeyPair | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._commands: queue.SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]] = queue.SimpleQueue()
        self._events = EventQueue()
        self._conversation = Conversation(self._events.put, self._room)
        self._said: Problem | None = None  # the last Disconnected
        self._starved = False  # results wait on the backend until `poll` makes room
        self._silent_since: float | None = None
        self._welcomed_by: tuple[str, str] | None = None  # address and key that are known to be right
        self._knock, self._knocked = socket.socketpair()
        self._knock.setblocking(False)
        self._knocked.setblocking(False)

    def start(self) -> None:
        """Begin to connect, in a thread.  Raises FarplaneError when pyzmq is missing or the keys are unusable."""
        try:
            import zmq
        except ImportError as error:
            problem = "pyzmq is missing, without it there is no way to the backend"
            raise FarplaneError("add-on", problem, "Install Farplane's zip for this Blender again") from error
        if self._address and not self._server_key:
            self._server_key = pairing.published_key(self._config, self._address)
        own = pairing.find_backend(self._config)
        local = not self._address or (own is not None and own.public_key == self._server_key)
        if self._address:
            pairing.check_key(self._server_key, "server key")
        invited = pairing.remote_client(self._server_key)
        name = invited if self._address and (self._config / f"{invited}.key").exists() else "client"
        self._keys = pairing.key_pair(self._config, name, zmq.curve_keypair)
        if local:
            pairing.allow_client(self._config, self._keys.public, "local")
        atexit.register(self.close)
        self._thread = threading.Thread(target=self._run, name="farplane-client", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and wait for it, 2 s at most.  Jobs on the backend go on."""
        self._closing.set()
        self._wake()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
            atexit.unregister(self.close)

    @property
    def public_key(self) -> str:
        """This client's own public key, what `farplane clients add` takes; empty before `start`."""
        return self._keys.public if self._keys else ""

    @property
    def is_waiting(self) -> bool:
        """Whether a backend is there that has not answered yet, as on a machine that has no time for it."""
        since = self._silent_since
        return since is not None and time.monotonic() - since < SILENCE_SECONDS

    def submit(self, shot: Shot, settings: RenderSettings, job: str | None = None) -> str:
        """Queue a shot and return its job's UUID at once.

        The upload happens in the thread, now or when there is a backend.  Raises FarplaneError for a shot that
        cannot be rendered.  The same `job` with the same shot is one job, however often it is submitted.
        """
        shot.validate()
        settings.validate()
        job = codec.new_job() if job is None else self._checked(job)
        self._command(self._conversation.submit, job, shot, settings)
        return job

    def enquire(self, outline: events.Submit, *, look: bool) -> str:
        """Ask whether the backend would take such a shot (`codec.outline`); return the enquiry's UUID at once.

        Admissible or Failed comes by `poll`, once.  look : not before the backend has looked into the model's files,
        which may take a minute where its worker has just started.
        """
        self._command(self._conversation.enquire, outline, look)
        return outline.job

    def cancel(self, job: str) -> None:
        """Ask for a job to be stopped; Cancelling and Cancelled come by `poll`."""
        self._command(self._conversation.cancel, self._checked(job))

    def attach(self, job: str) -> None:
        """Ask again for everything of a job: its state, every frame and artifact so far, and all to come."""
        self._command(self._conversation.attach, self._checked(job))

    def forget(self, job: str) -> None:
        """Let the backend delete an ended job's results; call it when they are safe here."""
        self._command(self._conversation.forget, self._checked(job))

    def poll(self) -> list[Event]:
        """Everything since the last call, in order.  Never blocks.

        Of progress, previews and upload counts that were not fetched in time only the newest is kept.
        """
        taken = self._events.take()
        if self._starved:
            self._wake()
        return taken

    @staticmethod
    def _checked(job: str) -> str:
        try:
            return codec.check_job(job)
        except events.LocalProtocolError:
            raise FarplaneError("job", f"{job!r} is no job's UUID", "Use what submit returned") from None

    def _command(self, what: Callable[..., None], *values: Any) -> None:
        self._commands.put((what, values))
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):  # full: it is awake already; closed: it is over
            self._knock.send(b"!")

    def _room(self, coming: int, size: int) -> bool:
        """Whether to fetch `size` bytes more while `coming` bytes are on their way."""
        held = self._events.size
        fits = held + coming == 0 or held + coming + size <= MAX_HELD
        self._starved = not fits and held > 0
        return fits

    # -------------------------------------------------------------------------------------------------
    # The thread

    def _run(self) -> None:
        import zmq

        context = zmq.Context()
        pauses = iter(RETRY_SECONDS)
        try:
            while not self._closing.is_set():
                try:
                    ended = _Connection(self, context).talk()
                except Exception as error:
                    log.exception("client")
                    ended = _Ended((f"the client met an error of its own ({error!r})", "Please report this"))
                self._conversation.lost()
                if self._closing.is_set():
                    break
                if not self._waits_out(ended):
                    self._say_disconnected(ended.problem, ended.welcomed)
                pauses = iter(RETRY_SECONDS) if ended.welcomed else pauses
                self._pause(next(pauses, RETRY_SECONDS[-1]))
        finally:
            context.term()
            self._knock.close()
            self._knocked.close()

    def welcomed(self) -> None:
        """The backend has answered.  In the thread."""
        self._silent_since, self._welcomed_by = None, self.target()

    def _waits_out(self, ended: _Ended) -> bool:
        """Whether to say nothing of a break and to connect again: the backend is there and was only silent.

        A machine whose cores are all taken answers late.  What was never welcomed with a key that somebody copied may
        be silent because of the key: that is said at once.
        """
        if ended.welcomed:
            self._pause(RETRY_SECONDS[0])  # what dies closes its connections a moment before its port
        target = self.target()
        knows_key = not self._address or target == self._welcomed_by
        if not (ended.silent and target and (knows_key or ended.shook_hands) and _listens(target[0])):
            self._silent_since = None
            return False
        self._silent_since = self._silent_since or time.monotonic()
        return self.is_waiting

    def _say_disconnected(self, problem: Problem, welcomed: bool) -> None:
        if welcomed or problem != self._said:
            self._said = problem
            self._events.put(events.Disconnected(*problem))

    def _pause(self, seconds: float) -> None:
        """Wait, but not with the caller's commands."""
        import zmq

        poller = zmq.Poller()
        poller.register(self._knocked.fileno(), zmq.POLLIN)
        until = time.monotonic() + seconds
        while not self._closing.is_set() and (left := until - time.monotonic()) > 0:
            if poller.poll(milliseconds(left)):
                self.obey()

    def obey(self) -> None:
        """Carry out what the caller has asked for.  In the thread."""
        with suppress(BlockingIOError):
            while self._knocked.recv(4096):
                pass
        while not self._commands.empty():
            what, values = self._commands.get()
            try:
                what(*values)
            except Exception:
                log.exception("a command failed")

    def target(self) -> tuple[str, str] | None:
        """Address and key of the backend; read anew each time, a restarted one may have moved."""
        if self._address:
            return self._address, self._server_key
        published = pairing.find_backend(self._config)
        return (published.address, published.public_key) if published else None


@dataclass(frozen=True)
class _Ended:
    """How a connection ended.  silent : nobody said why.  shook_hands : the keys were right."""

    problem: Problem
    silent: bool = False
    shook_hands: bool = False
    welcomed: bool = False


class _Connection:
    """One socket, from connecting to the break."""

    def __init__(self, client: Client, context: Any) -> None:
        self._client = client
        self._conversation = client._conversation
        self._context = context
        self._stage = "connecting"  # -> "shaking hands" -> "greeting" -> "open"
        self._address = ""
        self._was_silent = False

    def talk(self) -> _Ended:
        """Connect and talk until something ends it."""
        import zmq

        target = self._client.target()
        if target is None:
            return _Ended(NOBODY)
        self._address, server_key = target
        dealer = self._context.socket(zmq.DEALER)
        monitor = None
        try:
            self._set_options(dealer, server_key)
            monitor = dealer.get_monitor_socket(zmq.EVENT_ALL)
            problem = self._dial(dealer) or self._loop(dealer, monitor)
            return _Ended(problem, self._was_silent, self._stage in ("greeting", "open"), self._stage == "open")
        finally:
            if monitor is not None:
                dealer.disable_monitor()
                monitor.close()
            dealer.close(linger=FLUSH_MS if self._client._closing.is_set() and self._stage == "open" else 0)

    def _dial(self, dealer: Any) -> Problem | None:
        import zmq

        try:
            dealer.connect(self._address)
        except zmq.ZMQError as error:
            return f"{self._address!r} is no address ({error})", "Give it as tcp://host:port"
        return None

    def _set_options(self, dealer: Any, server_key: str) -> None:
        import zmq

        keys = self._client._keys
        assert keys is not None
        dealer.curve_serverkey = server_key.encode()
        dealer.curve_publickey = keys.public.encode()
        dealer.curve_secretkey = keys.secret.encode()
        dealer.setsockopt(zmq.RECONNECT_IVL, -1)  # a new socket instead
        dealer.setsockopt(zmq.HANDSHAKE_IVL, 5000)
        dealer.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        dealer.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENT_MS)
        dealer.setsockopt(zmq.HEARTBEAT_TTL, SILENT_MS)
        dealer.setsockopt(zmq.MAXMSGSIZE, MAX_PART)
        dealer.setsockopt(zmq.SNDHWM, HIGH_WATER)
        dealer.setsockopt(zmq.RCVHWM, HIGH_WATER)
        dealer.setsockopt(zmq.IPV6, 1 if "[" in self._address else 0)

    def _loop(self, dealer: Any, monitor: Any) -> Problem:
        import zmq

        client = self._client
        knocked = client._knocked.fileno()
        poller = zmq.Poller()
        poller.register(monitor, zmq.POLLIN)
        poller.register(knocked, zmq.POLLIN)
        deadline = time.monotonic() + ANSWER_SECONDS
        client.obey()
        while True:
            closing = client._closing.is_set()
            if closing:
                client.obey()  # a last cancel
            self._conversation.fetch()
            full = self._send(dealer)
            if closing or self._conversation.restart:
                return LOST
            poller.register(dealer, zmq.POLLIN | (zmq.POLLOUT if full else 0))
            left = None if self._stage == "open" else milliseconds(deadline - time.monotonic())
            ready = dict(poller.poll(left))
            if not ready and left is not None and time.monotonic() >= deadline:
                return self._silence()
            if knocked in ready:
                client.obey()
            if ready.get(dealer, 0) & zmq.POLLIN and (problem := self._receive(dealer)):
                return problem
            if monitor in ready and (problem := self._watch(monitor)):
                return problem

    def _send(self, dealer: Any) -> bool:
        """Send what waits; True when the socket is full."""
        import zmq

        out = self._conversation.out
        try:
            while out:
                dealer.send_multipart(out[0], zmq.NOBLOCK)
                out.popleft()
        except zmq.Again:
            return True
        return False

    def _receive(self, dealer: Any) -> Problem | None:
        """Take what has arrived, a turn's worth."""
        import zmq

        for _ in range(HIGH_WATER):
            try:
                parts = [dealer.recv(zmq.NOBLOCK)]
            except zmq.Again:
                return None
            while dealer.getsockopt(zmq.RCVMORE):
                part = dealer.recv()
                if len(parts) <= MAX_PARTS:
                    parts.append(part)
            try:
                message = codec.decode(parts, FROM_BACKEND)
                self._conversation.receive(message)  # type: ignore[arg-type]
            except VersionMismatch as error:
                return f"{error}", "Install the same Farplane version on both sides"
            except RemoteProtocolError as error:
                return f"the backend cannot be understood ({error})", "Install the same Farplane version on both sides"
            if isinstance(message, events.Welcome):
                self._stage = "open"
                self._client.welcomed()
            elif isinstance(message, events.Refused) and message.job is None:
                return f"the backend refuses to talk: {message.problem}", message.remedy
        return None

    def _watch(self, monitor: Any) -> Problem | None:
        """What libzmq tells about the connection itself."""
        import zmq
        from zmq.utils.monitor import recv_monitor_message

        while monitor.poll(0):
            event = recv_monitor_message(monitor)["event"]
            if event == zmq.EVENT_CONNECTED:
                self._stage = "shaking hands"
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._stage = "greeting"
                self._conversation.connected()
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                return "the backend does not know this client's key", UNKNOWN_KEY.format(key=self._client.public_key)
            elif event in (
                zmq.EVENT_DISCONNECTED,
                zmq.EVENT_CLOSED,
                zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
                zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
            ):
                return self._silence()
        return None

    def _silence(self) -> Problem:
        """Why nobody talks (any more), by how far it had come."""
        self._was_silent = True
        if self._stage == "connecting":
            return f"nothing answers at {self._address}", NO_ANSWER
        if self._stage == "shaking hands":
            return f"what answers at {self._address} does not have the expected key", WRONG_KEY
        if self._stage == "greeting":
            return f"the backend at {self._address} does not answer", "Restart `farplane serve` there"
        return LOST


def _listens(address: str) -> bool:
    """Whether anything accepts connections at ``tcp://host:port``."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), LOOK_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def milliseconds(seconds: float) -> int:
    """For a poller, rounded up: rounding down would make it spin."""
    return max(0, math.ceil(seconds * 1000))
