"""The user's configuration folder: who may talk to whom.  Plain files; no sockets, no cryptography.

Both sides read and write the same folder when they run for the same user on one machine, and need no typing::

    backend.key         the backend's key pair, 0600          made by the backend
    client.key          this user's key pair, 0600            made by the first client
    client-HASH.key     the same, for one remote backend      from its invitation (invitation.py)
    backend.json        address, public key, pid              published by a running backend, 0600
    lock                held by a running backend             one configuration has one
    models.txt          folders of models for any client      written by hand, if at all
    clients/NAME.pub    public keys that may connect          a local client adds its own; `farplane clients add`

A key is 32 bytes as 40 characters of Z85 (ZeroMQ RFC 32).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .errors import FarplaneError

KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_MAX_FILE = 4096  # bytes; nothing in the folder is longer


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair, both halves as 40 characters of Z85."""

    public: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Published:
    """Where a running backend can be reached."""

    address: str
    public_key: str
    pid: int


def config_dir() -> Path:
    """The user's folder: $FARPLANE_CONFIG, or the platform's own place for an application's settings."""
    if chosen := os.environ.get("FARPLANE_CONFIG"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", Path.home() / "AppData" / "Roaming")) / "farplane"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "farplane"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "farplane"


def check_key(key: str, name: str = "key") -> str:
    """Return `key`, or raise FarplaneError when it is not 40 characters of Z85."""
    if not KEY.fullmatch(key):
        raise FarplaneError(name, "it is not a Farplane key", "Copy all 40 characters, as `farplane serve` prints them")
    return key


def key_pair(folder: Path, name: str, make: Callable[[], tuple[bytes, bytes]]) -> KeyPair:
    """Read ``NAME.key``; make it with `make` (public, secret) when there is none.

    Two processes that come first at the same time end with the same pair.
    Raises FarplaneError when others may read the file or it is damaged.
    """
    path = folder / f"{name}.key"
    if not path.exists():
        _make_folder(folder)
        public, secret = make()
        text = json.dumps({"public": public.decode(), "secret": secret.decode()})
        _write_private(path, text, keep=True)
    try:
        text = _read(path)
    except OSError as error:
        raise FarplaneError("keys", f"{path} cannot be read ({error.strerror})", "Check its permissions") from error
    except ValueError:
        text = ""
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise FarplaneError("keys", f"{path} can be read by other users", f"Run: chmod 600 {path}")
    try:
        loaded = json.loads(text)
        return KeyPair(check_key(loaded["public"]), check_key(loaded["secret"]))
    except (ValueError, KeyError, TypeError, RecursionError, FarplaneError) as error:
        raise FarplaneError("keys", f"{path} is damaged", "Delete it; a new pair is made on the next start") from error


def write_pair(folder: Path, name: str, pair: KeyPair) -> None:
    """Write ``NAME.key`` anew.  Raises FarplaneError when the folder cannot be written."""
    _make_folder(folder)
    _write_private(folder / f"{name}.key", json.dumps({"public": pair.public, "secret": pair.secret}))


def remote_client(server_key: str) -> str:
    """The name of the key pair that an invitation brought for the backend with this public key."""
    return "client-" + hashlib.sha256(server_key.encode()).hexdigest()[:16]


def publish(folder: Path, published: Published) -> None:
    """Say where this machine's backend listens."""
    _make_folder(folder)
    text = json.dumps({"address": published.address, "public_key": published.public_key, "pid": published.pid})
    _write_private(folder / "backend.json", text)


def withdraw(folder: Path, pid: int) -> None:
    """Remove what `publish` wrote, unless another backend has published since."""
    published = find_backend(folder)
    if published is not None and published.pid == pid:
        with contextlib.suppress(OSError):
            (folder / "backend.json").unlink()


def find_backend(folder: Path) -> Published | None:
    """The published backend of this machine, or None."""
    try:
        loaded = json.loads(_read(folder / "backend.json"))
        return Published(str(loaded["address"]), check_key(loaded["public_key"]), int(loaded["pid"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, FarplaneError):
        return None


def published_key(folder: Path, address: str) -> str:
    """The public key of the backend at `address` when it is this machine's own.

    Raises FarplaneError for any other: its key must be given.
    """
    published = find_backend(folder)
    if published is None or published.address != address.replace("//localhost:", "//127.0.0.1:"):
        problem = f"the backend at {address} is not this machine's own, and its key was not given"
        raise FarplaneError("backend key", problem, "Give the public key that `farplane serve` prints there")
    return published.public_key


def allow_client(folder: Path, key: str, name: str = "") -> Path:
    """Let the owner of this public key connect.  Returns the file that says so; deleting it ends that."""
    check_key(key)
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,64}", name):
        raise FarplaneError("name", f"{name!r} is no plain name", "Use letters, digits, - and _")
    _make_folder(folder / "clients")
    path = folder / "clients" / f"{name or hashlib.sha256(key.encode()).hexdigest()[:16]}.pub"
    if not path.exists() or _read(path).strip() != key:
        _write_private(path, key + "\n")
    return path


def allowed_clients(folder: Path) -> set[str]:
    """The public keys that may connect; files that hold no key are passed over."""
    keys = set()
    for path in (folder / "clients").glob("*.pub"):
        with contextlib.suppress(OSError, ValueError):
            if KEY.fullmatch(key := _read(path).strip()):
                keys.add(key)
    return keys


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MAX_FILE).decode()


def _make_folder(folder: Path) -> None:
    try:
        for path in (*reversed(folder.parents), folder):  # mkdir(parents=True) would leave the parents to the umask
            if not path.is_dir():
                path.mkdir(0o700, exist_ok=True)
    except OSError as error:
        raise FarplaneError(
            "configuration", f"{folder} cannot be made ({error.strerror})", "Set FARPLANE_CONFIG to a folder of yours"
        ) from error


def _write_private(path: Path, text: str, *, keep: bool = False) -> None:
    """Write whole or not at all, readable by the owner only.  keep : an existing file wins."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if keep:
            try:
                os.link(temporary, path)  # unlike rename, never replaces
            except FileExistsError:
                pass
            except OSError:  # a file system without hard links
                os.replace(temporary, path)
        else:
            os.replace(temporary, path)
    except OSError as error:
        raise FarplaneError(
            "configuration", f"{path} cannot be written ({error.strerror})", "Set FARPLANE_CONFIG to a folder of yours"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
