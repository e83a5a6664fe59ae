"""A take: one folder with one plate, what was asked for, and what the artist decided about it.  No bpy.

A folder holds::

    take.json            state (pending | accepted | rejected), author, note, title, times, SHA-256 of every file
    shot.json            what was sent
    plate.0001.exr …     one file per frame, named by its absolute frame number
    report.json report.png contact.png preview.mp4
    thumbnail.png        the last picture that formed while it was made

The backend says a frame's number or an artifact's name from a closed set; the file's name is made here, so
nothing that came over the wire can choose a path.  Every file is written beside its place, flushed to the
disk and renamed, so that a file is either whole or absent.  Symbolic links are never followed.

A plate that is already there is replaced only with ``overwrite=True``, and even then only by `Take.finish`:
until the new plate is whole its files wait in a hidden folder, so a failed or cancelled job loses nothing.
"""

from __future__ import annotations

import errno
import getpass
import hashlib
import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ..protocol.errors import FarplaneError
from ..protocol.events import ARTIFACTS

State = Literal["pending", "accepted", "rejected"]


MAX_FRAME = 1048574  # Blender's MAXFRAME
MAX_NOTE = 4000  # characters
MAX_TITLE = 120
THUMBNAIL = "thumbnail.png"
DEPTH_FOLDER = "blender"  # the depth once more, as Blender reads it: addon/landing/depth.py
_WORDS = ("job", "backend", "created", "finished", "ended", "decided", "author", "note", "title")  # in take.json
_MAX_JSON = 64 << 20  # bytes; a shot.json of 1440 frames is under 2 MiB
_EXR_MAGIC = b"\x76\x2f\x31\x01"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PLATE = re.compile(r"plate\.(\d{4,7})\.exr")
_DEPTH = re.compile(r"depth\.\d{4,7}\.exr")
_COLOURS = re.compile(r"base_colour\.\d{4,7}\.png")
_NUMBERED = re.compile(r"take \d{3,9}")
_STAGING = re.compile(r"\.farplane-[0-9a-f]{32}")


def plate_name(number: int) -> str:
    """Return the file name of frame `number`: ``plate.0012.exr``.  Raises FarplaneError out of 0 … 1048574."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_FRAME:
        raise FarplaneError("frame", f"{number!r} is no frame number", f"Use frames from 0 to {MAX_FRAME}")
    return f"plate.{number:04d}.exr"


def folder_name(text: str) -> str:
    """A shot's name as a folder's: nothing that a file system gives a meaning to."""
    return "".join(c if c.isalnum() or c in " -_" else "_" for c in text).strip()[:80] or "shot"


def next_folder(shot_folder: Path) -> Path:
    """Return the first of ``take 001``, ``take 002`` … that does not exist yet in `shot_folder`."""
    number = 1 + max((int(p.name[5:]) for p in children(shot_folder) if _NUMBERED.fullmatch(p.name)), default=0)
    return shot_folder / f"take {number:03d}"


def takes_in(shot_folder: Path) -> list[Take]:
    """Return the takes in `shot_folder`, newest first; folders that hold none are passed over."""
    found = []
    for path in children(shot_folder):
        with suppress(FarplaneError):
            found.append(Take.open(path))
    return sorted(found, key=lambda take: (take.created, take.name), reverse=True)


def children(folder: Path) -> list[Path]:
    """The folders in `folder`; none if it cannot be read."""
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []


def plate_frames(folder: Path) -> dict[int, Path]:
    """Return {frame number: file} of the plate files in `folder`, ascending; links and folders are left out."""
    found: dict[int, Path] = {}
    with file_errors(folder, "read"):
        for entry in os.scandir(folder):
            match = _PLATE.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False) and plate_name(int(match[1])) == entry.name:
                found[int(match[1])] = Path(entry.path)
    return dict(sorted(found.items()))


@dataclass
class Take:
    """One take on disk.  Make one with `Take.create`, come back to one with `Take.open`.

    folder : where it lies.  job : the job's UUID, or empty.
    expected : the frame numbers that were asked for; only these can be written.
    backend : public key of the backend that accepted the job, or empty.  ended : how the job ended, unless `finished`.
    title : the artist's own name for it.  seconds : how long the backend worked on it, 0 when unknown.
    """

    folder: Path
    expected: tuple[int, ...]
    job: str = ""
    state: State = "pending"
    created: str = ""
    finished: str = ""
    decided: str = ""
    author: str = ""
    note: str = ""
    title: str = ""
    backend: str = ""
    ended: str = ""
    seconds: float = 0.0
    files: dict[str, str] = field(default_factory=dict)  # name -> SHA-256, hexadecimal
    _staging: Path | None = None

    @staticmethod
    def create(folder: Path, shot_json: dict[str, Any], *, overwrite: bool = False, job: str = "") -> Take:
        """Begin a pending take in `folder`, made if absent, and write its shot.json.

        Raises FarplaneError if the folder holds a plate (unless `overwrite`), is a link, is read-only or full,
        or if `shot_json` names no frames.
        """
        folder = Path(folder)
        expected = _expected(shot_json)
        _refuse_link(folder)
        with file_errors(folder, "write"):
            folder.mkdir(parents=True, exist_ok=True)
        holds_plate = bool(plate_frames(folder))
        if holds_plate and not overwrite:
            raise FarplaneError(
                "output folder", f"{folder} already holds a plate", "Choose another folder, or allow overwriting"
            )
        _sweep(folder)
        take = Take(folder, expected, job=job, created=_now())
        if holds_plate:
            take._staging = folder / f".farplane-{uuid.uuid4().hex}"
            with file_errors(folder, "write"):
                take._staging.mkdir()
        _write_json(take._place / "shot.json", shot_json)
        take.save()
        return take

    @staticmethod
    def open(folder: Path) -> Take:
        """Read the take in `folder`.  Raises FarplaneError if there is none or its take.json is broken."""
        folder = Path(folder)
        _refuse_link(folder)
        raw = read_json(folder / "take.json")
        state = raw.get("state")
        if state not in ("pending", "accepted", "rejected"):
            raise FarplaneError("take", f"{folder / 'take.json'} has no valid state", "Delete take.json, or the take")
        take = Take(folder, _expected(read_json(folder / "shot.json")), state=state)
        for key in _WORDS:
            setattr(take, key, str(raw.get(key, "")))
        seconds = raw.get("seconds")
        take.seconds = float(seconds) if isinstance(seconds, (int, float)) and 0 <= seconds < 1e9 else 0.0
        files = raw.get("files")
        take.files = {str(name): str(digest) for name, digest in files.items()} if isinstance(files, dict) else {}
        return take

    # ---- writing what comes back -------------------------------------------------------------------------

    def write_frame(self, number: int, data: bytes, sha256: str) -> Path:
        """Write one EXR frame and return its path.

        Raises FarplaneError for a frame that was not asked for, bytes that are no EXR or do not hash to
        `sha256`, and for a disk that is full or read-only.
        """
        name = plate_name(number)
        if number not in self.expected:
            raise FarplaneError("frame", f"frame {number} was not asked for", "Check the backend's version")
        if not data.startswith(_EXR_MAGIC):
            raise FarplaneError("frame", f"frame {number} is no EXR file", "Check the backend's version")
        return self._write(name, data, sha256)

    def write_artifact(self, name: str, data: bytes, sha256: str) -> Path:
        """Write one of ARTIFACTS and return its path.  Raises FarplaneError as `write_frame` does."""
        if name not in ARTIFACTS:
            raise FarplaneError(
                "artifact", f"{name!r} is not one of {', '.join(ARTIFACTS)}", "Check the backend's version"
            )
        return self._write(name, data, sha256)

    def write_thumbnail(self, png: bytes) -> None:
        """Keep a small picture of the plate; bytes that are no PNG are passed over."""
        if png.startswith(_PNG_MAGIC):
            self._write(THUMBNAIL, png, hashlib.sha256(png).hexdigest())

    def finish(self) -> None:
        """Declare the take whole.  Only now is an earlier plate in the folder replaced.

        Raises FarplaneError naming the frames that are missing.
        """
        missing = [number for number in self.expected if plate_name(number) not in self.files]
        if missing:
            raise FarplaneError(
                "frames",
                f"{len(missing)} of {len(self.expected)} are missing, the first is {missing[0]}",
                "Render again",
            )
        self.finished = _now()
        self.save()
        if self._staging is not None:
            self._replace_old()

    def abandon(self) -> None:
        """Drop what was staged over an older plate; that plate stays as it was.  Without one, keep what came."""
        if self._staging is not None:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None

    def discard(self) -> None:
        """Delete what was written for a take that never got a frame, and its folder if nothing else is in it."""
        with suppress(OSError, FarplaneError):
            if not self.frames():
                self._remove_files()

    def end(self, how: str) -> None:
        """The job is over: ``finished``, ``cancelled`` or ``failed``.  A take without a frame is discarded."""
        self.discard()
        if not self.finished and (self.folder / "take.json").is_file():
            self.ended = how
            self.save()

    def delete(self) -> None:
        """Delete the take's own files, and its folder if nothing else is in it.  Raises FarplaneError."""
        with file_errors(self.folder, "write"):
            self._remove_files()

    def _remove_files(self) -> None:
        """take.json goes last: what is left after an error is still a take."""
        depth = self.folder / DEPTH_FOLDER
        if depth.is_dir() and not depth.is_symlink():
            for path in depth.iterdir():
                if _DEPTH.fullmatch(path.name):
                    path.unlink()
            with suppress(OSError):
                depth.rmdir()
        fixed = {"shot.json", THUMBNAIL, *ARTIFACTS}
        for path in list(self.folder.iterdir()):
            if path.name in fixed or any(one.fullmatch(path.name) for one in (_PLATE, _DEPTH, _COLOURS)):
                path.unlink()
        (self.folder / "take.json").unlink(missing_ok=True)
        with suppress(OSError):  # something of the artist's own lies there
            self.folder.rmdir()

    # ---- the artist's decision ---------------------------------------------------------------------------

    def accept(self, note: str = "", author: str = "") -> None:
        """Record that the artist takes this plate.  Raises FarplaneError while it is not finished."""
        if not self.finished:
            raise FarplaneError("take", "it is not finished", "Wait for its last frame, or render it again")
        self._decide("accepted", note, author)

    def reject(self, note: str = "", author: str = "") -> None:
        """Record that the artist does not take this plate.  Its files stay."""
        self._decide("rejected", note, author)

    def undecide(self, author: str = "") -> None:
        """Take the decision back; the note stays."""
        self._decide("pending", self.note, author)

    def describe(self, *, title: str | None = None, note: str | None = None) -> None:
        """Give the take another name or note, whatever was decided.  Raises FarplaneError, then nothing changed."""
        before = self.title, self.note
        self.title = self.title if title is None else " ".join(title.split())[:MAX_TITLE]
        self.note = self.note if note is None else note[:MAX_NOTE]
        try:
            self.save()
        except FarplaneError:
            self.title, self.note = before
            raise

    # ---- reading -----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def label(self) -> str:
        """The artist's own name for it, else the folder's."""
        return self.title or self.folder.name

    @property
    def whole(self) -> bool:
        """Whether every frame that was asked for has come."""
        return bool(self.finished)

    def frames(self) -> dict[int, Path]:
        """Return {frame number: file} of the frames that are in the folder."""
        return plate_frames(self.folder)

    def shot(self) -> dict[str, Any]:
        """Return shot.json."""
        return read_json(self.folder / "shot.json")

    # ---- inside ------------------------------------------------------------------------------------------

    @property
    def _place(self) -> Path:
        return self._staging or self.folder

    def _write(self, name: str, data: bytes, sha256: str) -> Path:
        digest = hashlib.sha256(data).hexdigest()
        if digest != sha256.lower():
            raise FarplaneError("transfer", f"{name} arrived damaged (SHA-256 differs)", "Fetch the job again")
        path = self._place / name
        write_atomic(path, data)
        self.files[name] = digest
        return path

    def _decide(self, state: State, note: str, author: str) -> None:
        before = self.state, self.decided, self.author, self.note
        self.state, self.decided = state, _now()
        self.author, self.note = (author or _user())[:200], note[:MAX_NOTE]
        try:
            self.save()
        except FarplaneError:
            self.state, self.decided, self.author, self.note = before
            raise

    def save(self) -> None:
        """Write take.json."""
        told = {"version": 1} | {key: getattr(self, key) for key in ("state", *_WORDS, "seconds", "files")}
        _write_json(self._place / "take.json", told)

    def _replace_old(self) -> None:
        """Move the staged files into the folder, then remove what the new take has not."""
        staging = self._place
        new = [*sorted(self.files), "shot.json", "take.json"]  # take.json last: it vouches for the others
        old = {path.name for path in plate_frames(self.folder).values()} | set(ARTIFACTS)
        with file_errors(self.folder, "write"):
            for name in new:
                os.replace(staging / name, self.folder / name)
            for name in old - set(new):
                with suppress(FileNotFoundError):
                    (self.folder / name).unlink()
            staging.rmdir()
        _flush_folder(self.folder)
        self._staging = None


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path`: whole or not at all, flushed to the disk.  A link at `path` is replaced, not followed.

    Raises FarplaneError when the folder is read-only, the disk is full, or the path cannot be written.
    """
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with file_errors(path.parent, "write"):
        handle = os.open(scratch, flags, 0o666)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(scratch, path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
    _flush_folder(path.parent)


def check_writable(folder: Path) -> None:
    """Make and remove a file in `folder`, or in the nearest one above it while it is not there yet.

    Raises FarplaneError when that cannot be done.
    """
    place = next(p for p in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(p))
    probe = place / f".farplane-{uuid.uuid4().hex}"
    with file_errors(place, "write"):
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        probe.unlink()


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of at most 64 MiB from a plain file.  Raises FarplaneError if that is not what it is."""
    with file_errors(path, "read"):
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as stream:
            plain = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
            data = stream.read(_MAX_JSON + 1) if plain else b""
    try:
        value = json.loads(data) if len(data) <= _MAX_JSON else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise FarplaneError("take", f"{path} is not readable as JSON", "Render the take again, or restore the file")
    return value


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_atomic(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def _expected(shot_json: dict[str, Any]) -> tuple[int, ...]:
    """The frame numbers of a shot.json, each a valid one."""
    try:
        numbers = [int(entry["frame"]) for entry in shot_json["frames"]]
    except (KeyError, TypeError, ValueError):
        numbers = []
    if not numbers:
        raise FarplaneError("shot.json", "it names no frames", "Extract the shot again")
    for number in numbers:
        plate_name(number)
    return tuple(sorted(set(numbers)))


def _sweep(folder: Path) -> None:
    """Remove what a killed process left: staged folders and half-written files of ours."""
    with file_errors(folder, "write"):
        for entry in list(os.scandir(folder)):
            if _STAGING.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif re.fullmatch(r"\.[\w.]+\.[0-9a-f]{32}\.part", entry.name) and entry.is_file(follow_symlinks=False):
                os.unlink(entry.path)


def _refuse_link(folder: Path) -> None:
    if os.path.islink(folder):  # unlike Path.is_symlink, no error where the parent is closed
        raise FarplaneError("output folder", f"{folder} is a symbolic link", "Name the folder it points to")


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where folders can be flushed (not on Windows)."""
    if os.name != "posix":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def file_errors(path: Path, doing: Literal["read", "write"]) -> Iterator[None]:
    """Say an OSError in the artist's words."""
    try:
        yield
    except OSError as error:
        raise _in_words(error, path, doing) from error


def _in_words(error: OSError, path: Path, doing: str) -> FarplaneError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return FarplaneError(
            "output folder", f"the disk of {path} is full", "Free some space, or choose another folder"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        problem = f"{path} cannot be read" if doing == "read" else f"{path} cannot be written to"
        return FarplaneError("output folder", problem, "Choose a folder that is yours")
    if error.errno == errno.ENOENT and doing == "read":
        return FarplaneError("take", f"{path} does not exist", "Choose the folder of a take")
    if error.errno == errno.ELOOP:
        return FarplaneError("take", f"{path} is a symbolic link", "Put the file itself there")
    return FarplaneError("output folder", f"{path}: {error.strerror or error}", "Choose another folder")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no login name: a container, a service
        return "unknown"
