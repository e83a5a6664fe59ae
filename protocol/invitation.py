"""An invitation: the one line that pairs a client with a backend on another machine.  No sockets, no cryptography.

`farplane pair NAME` on the backend's machine prints it, and the artist pastes it into Blender::

    farplane://render.studio:46347/<keys>

``<keys>`` is URL-safe Base64 of a 4-byte check (the start of the SHA-256 of everything else), the backend's public
key, and the secret key that was made for this client (each 40 characters of Z85, pairing.py).  Without the secret the
client uses the key it has.  The secret makes the line worth as much as a password.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .errors import FarplaneError
from .pairing import KEY, KeyPair, check_key, remote_client, write_pair

_LINE = re.compile(r"farplane://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})/([A-Za-z0-9_-]+)=*")
_CHECK = 4  # bytes


@dataclass(frozen=True)
class Invitation:
    """What the line says.  address : ``tcp://host:port``.  secret : of the client's key pair, or empty."""

    address: str
    server_key: str
    secret: str = field(default="", repr=False)

    def line(self) -> str:
        """The line to paste.  Raises FarplaneError when a part of it is wrong."""
        place = self.address.removeprefix("tcp://")
        keys = (check_key(self.server_key) + (check_key(self.secret) if self.secret else "")).encode()
        token = base64.urlsafe_b64encode(_check(place, keys) + keys).decode().rstrip("=")
        line = f"farplane://{place}/{token}"
        if not _LINE.fullmatch(line):
            raise FarplaneError("address", f"{self.address} is no address", "Write it as tcp://host:port")
        return line

    @staticmethod
    def read(text: str) -> Invitation:
        """Read a pasted line; blanks and line breaks that came along are passed over.

        Raises FarplaneError for a text that is no invitation, or not a whole one.
        """
        match = _LINE.fullmatch("".join(text.split()).strip("\"'`<>"))
        if not match:
            raise FarplaneError(
                "pairing line", "this is none", "Copy the line that 'farplane pair' prints on the backend's machine"
            )
        host, port, token = match.groups()
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        except (ValueError, binascii.Error):
            raw = b""
        check, keys = raw[:_CHECK], raw[_CHECK:]
        server, secret = keys[:40].decode("ascii", "replace"), keys[40:].decode("ascii", "replace")
        whole = (
            check == _check(f"{host}:{port}", keys) and KEY.fullmatch(server) and (not secret or KEY.fullmatch(secret))
        )
        if not whole or not 0 < int(port) < 65536:
            raise FarplaneError("pairing line", "it is damaged or incomplete", "Copy the whole line again")
        return Invitation(f"tcp://{host}:{port}", server, secret)

    def keep(self, folder: Path, public_of: Callable[[bytes], bytes]) -> None:
        """Store the client's key pair for this backend, if the line brings one.

        public_of : makes the public key out of the secret one, both 40 bytes of Z85 (``zmq.curve_public``).
        """
        if self.secret:
            pair = KeyPair(public_of(self.secret.encode()).decode(), self.secret)
            write_pair(folder, remote_client(self.server_key), pair)


def _check(place: str, keys: bytes) -> bytes:
    return hashlib.sha256(place.encode() + b"/" + keys).digest()[:_CHECK]
