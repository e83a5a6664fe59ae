"""One Blender per job: of several on a machine, the one that follows a job holds its claim.  No bpy.

A claim is a lock on ``following/UUID`` in the configuration folder.  The system gives it up when its process ends,
however it ends.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO


class Claims:
    """The claims that this process holds, by job."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Path, IO[bytes]]] = {}

    def take(self, folder: Path, job: str) -> bool:
        """Claim a job; False when another process follows it.  Where no lock can be had, nobody else can either."""
        if job in self._held:
            return True
        path = folder / "following" / job
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            stream = path.open("ab")
        except OSError:
            return True
        if not _lock(stream):
            stream.close()
            return False
        self._held[job] = (path, stream)
        return True

    def keep_only(self, jobs: set[str]) -> None:
        """Give up the claims on all other jobs."""
        for job in set(self._held) - jobs:
            path, stream = self._held.pop(job)
            with suppress(OSError):  # gone before it is unlocked: who opens it later makes a new one
                path.unlink()
            stream.close()
            with suppress(OSError):  # where an open file cannot be removed
                path.unlink(missing_ok=True)


if sys.platform == "win32":
    import msvcrt

    def _lock(stream: IO[bytes]) -> bool:
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(stream: IO[bytes]) -> bool:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
        return os.fstat(stream.fileno()).st_nlink > 0  # else its holder removed it between our open and our lock
