"""What the command line checks before any work begins: frame ranges, sizes, the scene file, the output folder."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..protocol.errors import FarplaneError
from ..protocol.pairing import check_key, config_dir, published_key
from ..protocol.shot import validate_resolution

MIN_FREE_BYTES = 64 * 2**20
PLATE = re.compile(r"plate\.-?\d+\.exr")
# What a run of ours may leave in an output folder: a take's files, their scratch copies, the landed scene.
OURS = re.compile(
    r"(plate|depth|reference)\.\d+\.exr|base_colour\.\d+\.png|(shot|take|report)\.json|(report|contact)\.png|preview\.mp4"
    r"|blender|\.farplane-[\w-]+|\..+\.part|\.?.+_farplane(\.\d+)?\.blend[1@]?"
)
SCRATCH = re.compile(r"\.farplane-[\w-]+|\..+\.part|\..+_farplane\.\d+\.blend[1@]?")


def parse_frames(text: str) -> tuple[int, int] | None:
    """Read `A-B` as (first, last), both included; None for an empty text (the scene's own range).

    Raises FarplaneError for anything else.  The length is judged where the scene's frame step is known.
    """
    if not text:
        return None
    match = re.fullmatch(r"\s*(-?\d{1,7})\s*-\s*(-?\d{1,7})\s*", text)
    if match is None:
        raise FarplaneError("frames", f"{text!r} is no range", "Write it as 1-24")
    first, last = int(match[1]), int(match[2])
    if last <= first:
        raise FarplaneError("frames", f"{text!r} holds fewer than 2 frames", "Write the first frame, then the last")
    if first < 0:
        raise FarplaneError("frames", f"{first} is below zero", "Move the shot to frames from 0 up")
    return first, last


def parse_size(text: str) -> tuple[int, int] | None:
    """Read `WxH` as (W, H) pixels; None for an empty text (the scene's own).  Raises FarplaneError."""
    if not text:
        return None
    match = re.fullmatch(r"\s*(\d{1,9})\s*[x×]\s*(\d{1,9})\s*", text)
    if match is None:
        raise FarplaneError("resolution", f"{text!r} is no size", "Write it as 960x540")
    width, height = int(match[1]), int(match[2])
    validate_resolution(width, height)
    return width, height


def data_dir() -> Path:
    """Where a backend keeps its queue and results: $FARPLANE_DATA, or the platform's place for a user's data."""
    if chosen := os.environ.get("FARPLANE_DATA"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "farplane"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "farplane" / "data"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "farplane"


def check_scene(path: Path) -> None:
    """Raise FarplaneError unless `path` is a file that can be read."""
    if not path.exists():
        raise FarplaneError("scene", f"{path} does not exist", "Give the path of a .blend file")
    if path.is_dir():
        raise FarplaneError("scene", f"{path} is a folder", "Give the path of a .blend file")
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise FarplaneError("scene", f"{path} cannot be read ({error.strerror})", "Check its permissions") from error
    if empty:
        raise FarplaneError("scene", f"{path} is empty", "Save the scene again")


def check_backend(address: str, key: str) -> None:
    """Raise FarplaneError unless `address` is tcp://host:port (or empty, then without a key) and its key is known."""
    if not address:
        if key:
            raise FarplaneError("backend key", "there is no --backend it belongs to", "Give --backend tcp://host:port")
        return
    match = re.fullmatch(r"tcp://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})", address)
    if match is None or not 0 < int(match[2]) < 65536:
        raise FarplaneError("backend", f"{address!r} is no address", "Write it as tcp://host:port")
    if key:
        check_key(key, "backend key")
    else:
        published_key(config_dir(), address)


@contextmanager
def output_folder(folder: Path, *, overwrite: bool, for_shot: bool = False) -> Iterator[None]:
    """Make `folder` ready to hold a take; when the work inside ends in an error or Ctrl-C, as if it never began.

    The child that works in it cleans up after itself; this is for a child that was killed.  Only files of a take
    that were not there before are removed; a take that is whole, an older plate and the artist's own files stay.

    for_shot : a shot is to be written, which replaces another one only if it may.

    Raises FarplaneError before any work for a folder that is a file or a link to nothing, cannot be written, lies on a
    full disk, or holds a plate while `overwrite` is off.
    """
    made = _make(folder)
    before: set[str] | None = None
    try:
        _check_plate(folder, overwrite)
        if for_shot and not overwrite and (folder / "shot.json").exists():
            raise FarplaneError(
                "output folder", f"{folder} already holds a shot", "Choose another folder, or add --overwrite"
            )
        _check_writable(folder)
        check_space(folder, MIN_FREE_BYTES)
        before = set(os.listdir(folder))
        yield
    except BaseException:
        if before is not None:
            _remove_new(folder, before)
        for path in made:  # innermost first; rmdir removes nothing that holds something
            with suppress(OSError):
                path.rmdir()
        raise


def check_space(folder: Path, needed: int) -> None:
    """Raise FarplaneError when the disk of `folder` has fewer than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise FarplaneError(
            "output folder",
            f"the disk of {folder} has {free / 2**20:.0f} MiB free, and about {needed / 2**20:.0f} MiB are needed",
            "Free some space, or choose another folder",
        )


def _make(folder: Path) -> list[Path]:
    """Make `folder` and return the folders that were not there, innermost first."""
    if folder.is_symlink() and not folder.is_dir():
        raise FarplaneError(
            "output folder", f"{folder} is a link that leads to no folder", "Make the folder, or name it"
        )
    missing = []
    for path in (folder, *folder.parents):
        if path.exists():
            break
        missing.append(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _in_words(folder, error) from error
    return missing


def _remove_new(folder: Path, before: set[str]) -> None:
    """Remove the files of a take that came into `folder` since `before` was listed; of a whole take, only scraps."""
    pattern = SCRATCH if _is_whole(folder) else OURS
    for name in set(os.listdir(folder)) - before:
        path = folder / name
        if pattern.fullmatch(name) is None:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_whole(folder: Path) -> bool:
    """Whether take.json says that every frame of the take is there."""
    try:
        take = json.loads((folder / "take.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(take, dict) and bool(take.get("finished"))


def _check_plate(folder: Path, overwrite: bool) -> None:
    if not overwrite and any(PLATE.fullmatch(name) for name in os.listdir(folder)):
        raise FarplaneError(
            "output folder", f"{folder} already holds a plate", "Choose another folder, or add --overwrite"
        )


def _check_writable(folder: Path) -> None:
    """Really write: permissions alone say nothing about read-only disks, quotas or root."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".farplane-") as probe:
            probe.write(bytes(4096))
            probe.flush()
    except OSError as error:
        raise _in_words(folder, error) from error


def _in_words(folder: Path, error: OSError) -> FarplaneError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FarplaneError("output folder", f"the disk of {folder} is full", "Free some space, or choose another")
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return FarplaneError("output folder", f"{folder} is a file, or lies inside one", "Choose another folder")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return FarplaneError("output folder", f"{folder} cannot be written to", "Choose a folder that is yours")
    return FarplaneError("output folder", f"{folder}: {error.strerror}", "Choose another folder")
