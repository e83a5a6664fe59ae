"""What the server asks of the system as a process: file handles, a log of single lines, whether another one lives."""

from __future__ import annotations

import logging
import os
from contextlib import suppress

HANDLES = 1 << 16  # files and connections that the process asks the system for


class OneLine(logging.Formatter):
    """Writes what a client or a file is called so that it cannot end the line, or colour it, or turn it around."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def take_handles() -> None:
    """Ask for as many file handles as the system lets this process have, HANDLES at most."""
    if os.name == "posix":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = HANDLES if hard == resource.RLIM_INFINITY else min(HANDLES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def handles() -> int:
    """How many files and connections this process may have open."""
    if os.name != "posix":
        return HANDLES
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return HANDLES if soft == resource.RLIM_INFINITY else soft


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    if os.name == "posix" and os.getppid() == pid:
        return True
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
