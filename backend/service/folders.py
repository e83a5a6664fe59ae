"""Folders and files that only their owner can read, and a lock that ends with its process.

Modes are given when a thing is made, so the umask decides nothing.  What an older version left open is closed by
`tighten` at the start.  On Windows the user's own folders are private by their place.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

log = logging.getLogger("farplane.service")

FOLDER, FILE = 0o700, 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents, all of them for the owner only.  Raises OSError."""
    for path in (*reversed(folder.parents), folder):
        if not path.is_dir():
            path.mkdir(FOLDER, exist_ok=True)


def open_private(path: Path, mode: str) -> IO[bytes]:
    """`path.open(mode)` of a binary file that, where it is new, only its owner can read.  Raises OSError."""
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, FILE))


def tighten(folder: Path, ours: Callable[[str], bool]) -> None:
    """Take from other users what an older version gave them: 0700 for folders and 0600 for files, links left alone.

    ours : whether an entry of this name is the backend's.  A folder that holds anything else is somebody's own, such
    as /tmp or a share: it keeps its mode, and the log says so.
    """
    if os.name != "posix" or not folder.is_dir():
        return
    names = os.listdir(folder)
    for name in filter(ours, names):
        path = folder / name
        _tighten(path)
        if path.is_dir() and not path.is_symlink():
            for parent, folders, files in os.walk(path):
                for inner in (*folders, *files):
                    _tighten(Path(parent, inner))
    if all(map(ours, names)):
        _tighten(folder)
    elif folder.stat().st_mode & _OTHERS:
        log.warning("%s holds other things too, so other users may still list it", folder)


def _tighten(path: Path) -> None:
    with suppress(OSError):  # gone since, or somebody else's
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & _OTHERS:
            path.chmod(FOLDER if stat.S_ISDIR(mode) else FILE)


def lock(path: Path) -> int:
    """Hold a file until this process ends, however it ends; closing the handle that is returned ends it sooner.

    Raises BlockingIOError when another process holds it, OSError when it cannot be made.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, FILE)
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            try:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            except OSError as error:
                raise BlockingIOError(str(error)) from error
    except BaseException:
        os.close(handle)
        raise
    return handle
