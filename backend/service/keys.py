"""Who may talk to this backend: its own key pair, the list of known clients, and the doorkeeper that asks it.

libzmq asks the doorkeeper (ZAP, ZeroMQ RFC 27) during the CURVE handshake; a stranger's connection ends there,
before the backend's own socket has seen a byte of it.  The list is read anew for every handshake, so adding or
deleting a file in ``clients/`` takes effect on the next connection.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import zmq
from zmq.utils import z85

from ...protocol import pairing
from ...protocol.errors import FarplaneError
from ...protocol.invitation import Invitation
from ...protocol.pairing import KeyPair

ZAP_DOMAIN = b"farplane"


def backend_keys(config: Path) -> KeyPair:
    """The backend's key pair, made on first use.

    Raises FarplaneError when the file is unusable, or when other users could add clients.
    """
    pair = pairing.key_pair(config, "backend", zmq.curve_keypair)
    for folder in (config, config / "clients"):
        if os.name == "posix" and folder.exists() and folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise FarplaneError("keys", f"other users can write to {folder}", f"Run: chmod 700 {folder}")
    return pair


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
