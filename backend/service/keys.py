"""Who may talk to this backend: its own key pair, the list of known clients, and the doorkeeper that asks it.

libzmq asks the doorkeeper (ZAP, ZeroMQ RFC 27) during the CURVE handshake; a stranger's connection ends there,
before the backend's own socket has seen a byte of it.  The list is read anew for every handshake, so adding or
deleting a file in ``clients/`` takes effect on the next connection.

Who may name a model by its folder's path: the user whose backend it is, and for the folders that the file
``models.txt`` of the configuration allows (one absolute path a line, # begins a comment), everybody who may connect.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import stat
import threading
from pathlib import Path

import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from ...protocol import pairing
from ...protocol.errors import FarplaneError
from ...protocol.invitation import Invitation
from ...protocol.pairing import KeyPair
from . import folders

ZAP_DOMAIN = b"farplane"
ALLOWED_MODELS = "models.txt"
# What a configuration folder holds; on macOS the backend's data lies in it too.
_OURS = re.compile(r"[\w-]+\.key|backend\.json|clients|models\.txt|lock|data")


def backend_keys(config: Path) -> KeyPair:
    """The backend's key pair, made on first use.

    Raises FarplaneError when the file is unusable, or when other users could add clients.
    """
    pair = pairing.key_pair(config, "backend", zmq.curve_keypair)
    for folder in (config, config / "clients"):
        if os.name == "posix" and folder.exists() and folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise FarplaneError("keys", f"other users can write to {folder}", f"Run: chmod 700 {folder}")
    return pair


def hold(config: Path, data: Path) -> int:
    """Claim a configuration for this process, until it ends or closes the handle that is returned.

    data : the backend's data folder, noted in the lock for `farplane doctor`.
    Takes from other users what an older version let them read.  Raises FarplaneError when another backend runs on it.
    """
    try:
        folders.make_folder(config)
        handle = folders.lock(config / "lock")
        os.truncate(handle, 0)
        os.write(handle, os.fsencode(data.absolute()))
    except BlockingIOError:
        running = pairing.find_backend(config)
        which = f" (process {running.pid} at {running.address})" if running else ""
        problem = f"another backend{which} is using {config}"
        raise FarplaneError(
            "configuration", problem, "Use that one, stop it, or give this one its own --config"
        ) from None
    except OSError as error:
        problem = f"{config} cannot be used ({error.strerror})"
        raise FarplaneError("configuration", problem, "Give a --config folder of yours") from error
    folders.tighten(config, lambda name: _OURS.fullmatch(name) is not None)
    return handle


def data_of(config: Path) -> Path | None:
    """The data folder of the backend that ran last on a configuration, or None."""
    try:
        return Path(os.fsdecode((config / "lock").read_bytes())) if (config / "lock").stat().st_size else None
    except OSError:  # none yet; on Windows, one that is held
        return None


def may_name_model(config: Path, key: str, path: str) -> bool:
    """Whether the client with this public key may name a model by its folder's path.

    The disk is asked only for what lies inside an allowed folder, so that the answer tells nothing of any other.
    """
    return (key != "" and key == _own_client(config)) or any(_is_inside(path, root) for root in _allowed_models(config))


def _own_client(config: Path) -> str:
    """The public key of the user whose backend this is, or nothing when no client of theirs has run yet."""
    try:
        return pairing.key_pair(config, "client", _no_pair).public
    except FarplaneError:
        return ""


def _no_pair() -> tuple[bytes, bytes]:
    raise FarplaneError("keys", "there is no client here yet", "Start one")


def _allowed_models(config: Path) -> list[Path]:
    """The folders of models.txt; lines that are no absolute path are passed over."""
    with contextlib.suppress(OSError, ValueError):
        lines = (line.partition("#")[0].strip() for line in (config / ALLOWED_MODELS).read_text("utf-8").splitlines())
        return [Path(line) for line in lines if line and Path(line).is_absolute()]
    return []


def _is_inside(path: str, root: Path) -> bool:
    """Whether a path is `root` or lies in it, first as it is written, then as the disk resolves its links."""
    if not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(root)):
        return False
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        return Path(path).resolve().is_relative_to(root.resolve())
    return False


def exposure(host: str, port: int) -> str:
    """What listening on this address means for the network, in one line; nothing for an address of this machine alone.

    host : as bound: a numeric address, a name, * for all.
    """
    try:
        address = ipaddress.ip_address("0.0.0.0" if host == "*" else host.partition("%")[0])
    except ValueError:
        return "" if host in ("localhost", "lo") else _exposure(f"on {host}", port)
    mapped = getattr(address, "ipv4_mapped", None) or address
    if mapped.is_loopback:
        return ""
    return _exposure("on every network of this machine" if mapped.is_unspecified else f"on {host}", port)


def _exposure(where: str, port: int) -> str:
    return (
        f"listening {where}: whoever reaches port {port} can try to connect. Only clients that you paired get in "
        "(`farplane clients list`) and all is encrypted, but keep the port off the internet; --host 127.0.0.1 is for "
        "this machine alone"
    )


def add_client(config: Path, key: str, name: str = "") -> Path:
    """`farplane clients add KEY`: let a client on another machine connect.  Returns the file that says so."""
    return pairing.allow_client(config, key, name)


def invite(config: Path, address: str, name: str) -> Invitation:
    """`farplane pair NAME`: make a key pair for a client on another machine, let it connect, and return the invitation.

    Raises FarplaneError for an address or a name that is none, or one that is taken.
    """
    public, secret = (half.decode() for half in zmq.curve_keypair())
    invitation = Invitation(address, backend_keys(config).public, secret)
    invitation.line()  # before anybody is let in
    path = config / "clients" / f"{name}.pub"
    if name and path.exists():
        raise FarplaneError("name", f"{name} is paired already", f"Choose another name, or delete {path}")
    pairing.allow_client(config, public, name)
    return invitation


def outer_address(config: Path, port: int, host: str = "") -> str:
    """`tcp://host:port` by which other machines reach the backend of this one.

    host : this machine's name or address there; found out when empty.  port : unless a running backend says its own.
    Raises FarplaneError where the machine has no network.
    """
    if not host:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect(("192.0.2.1", 9))  # sends nothing; the system only chooses a way out
                host = probe.getsockname()[0]
        except OSError as error:
            raise FarplaneError("host", "this machine has no network address", "Name one with --host") from error
    published = pairing.find_backend(config)
    return f"tcp://{host}:{published.address.rpartition(':')[2] if published else port}"


def answers(address: str) -> bool:
    """Whether something listens at `tcp://host:port`, as far as this machine can tell."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2.0):
            return True
    except (OSError, ValueError):
        return False


def holds_key(address: str, public_key: str, seconds: float = 3.0) -> bool:
    """Whether the backend with this public key answers at `tcp://host:port`: only who has its secret can shake hands.

    A key made for this one question is enough: that the backend does not know it is an answer as well.
    """
    context = zmq.Context()
    probe = context.socket(zmq.DEALER)
    probe.linger = 0
    answers = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    monitor = probe.get_monitor_socket(answers | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED)
    try:
        probe.curve_serverkey = public_key.encode()
        probe.curve_publickey, probe.curve_secretkey = zmq.curve_keypair()
        probe.setsockopt(zmq.RECONNECT_IVL, -1)
        probe.connect(address)
        return bool(monitor.poll(round(seconds * 1000)) and recv_monitor_message(monitor)["event"] & answers)
    except zmq.ZMQError:  # no address
        return False
    finally:
        probe.disable_monitor()
        monitor.close()
        probe.close()
        context.term()


class Doorkeeper:
    """A thread that answers libzmq's question whether a key is known.  Make it before the server binds."""

    def __init__(self, context: zmq.Context, config: Path) -> None:
        self._config = config
        self._socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind("inproc://zeromq.zap.01")
        self._thread = threading.Thread(target=self._run, name="farplane-doorkeeper", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._socket:
            while True:
                try:
                    self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
                except zmq.ContextTerminated:
                    return

    def _answer(self, request: list[bytes]) -> list[bytes]:
        version, sequence, domain, _address, _identity, mechanism, *credentials = request
        key = z85.encode(credentials[0]).decode() if len(credentials) == 1 and len(credentials[0]) == 32 else ""
        try:
            allowed = pairing.allowed_clients(self._config)
        except OSError:  # an unreadable list knows nobody
            allowed = set()
        known = version == b"1.0" and domain == ZAP_DOMAIN and mechanism == b"CURVE" and key in allowed
        if not known:
            return [b"1.0", sequence, b"400", b"unknown key", b"", b""]
        return [b"1.0", sequence, b"200", b"OK", key.encode(), b""]  # the key becomes the messages' User-Id
