"""A backend for one render: `farplane serve` on a free loopback port, with keys and data of its own, gone afterwards."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..protocol.errors import FarplaneError
from ..protocol.pairing import Published, find_backend
from .pipeline.scratch import temporary_fault

START_SECONDS = 60.0  # a cold disk and a busy machine included; a warm start takes under one
STOP_SECONDS = 12.0  # longer than the backend gives its own worker (10 s)
MIN_FREE_BYTES = 16 << 20  # for keys, a queue and a log; what a shot needs beside them the backend says itself
LOG_TAIL = 2000  # characters of the log that an error quotes from


@dataclass
class PrivateBackend:
    """A running private backend.

    config : its configuration folder; a client that gets it as FARPLANE_CONFIG pairs without typing.
    log : what the server and its worker wrote.
    """

    process: subprocess.Popen[bytes]
    config: Path
    log: Path

    def published(self) -> Published:
        """Wait until it can be reached.  Raises FarplaneError when it ends or keeps silent."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if (found := find_backend(self.config)) is not None:
                return found
            self.check()
            time.sleep(0.05)
        raise FarplaneError("backend", f"it did not start within {START_SECONDS:.0f} s", "Run `farplane doctor`")

    def check(self) -> None:
        """Raise FarplaneError when the server has ended, with the last thing it said."""
        if self.process.poll() is not None:
            _check_room(self.config.parent)  # its last words would be on the same disk
            raise FarplaneError("backend", f"it ended by itself: {self.last_words()}", "Run `farplane doctor`")

    def last_words(self) -> str:
        """The last line of its log that says something."""
        text = self.log.read_text(errors="replace")[-LOG_TAIL:] if self.log.exists() else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.process.returncode}"


@contextmanager
def private_backend(pipeline: str = "") -> Iterator[PrivateBackend]:
    """Start a backend of our own; stop it and remove all it made when the work inside ends, however it ends.

    It watches this process by its id, so it also ends when we are killed.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="farplane-backend-"))
        config, data, log, scratch = folder / "config", folder / "data", folder / "log", folder / "tmp"
        scratch.mkdir()
    except OSError as error:
        raise temporary_fault(error) from error
    # What its libraries leave in the place for temporary files goes with it, too.
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    command = [sys.executable, "-m", "farplane.backend.cli", "serve", "--host", "127.0.0.1", "--port", "0"]
    command += ["--config", str(config), "--data", str(data), "--parent-pid", str(os.getpid())]
    if pipeline:
        command += ["--pipeline", pipeline]
    try:
        _check_room(folder)
        with log.open("wb") as stream:
            # A group of its own: Ctrl-C in the terminal reaches us, and we stop the backend in order.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=environment,
                start_new_session=True,
            )
        try:
            yield PrivateBackend(process, config, log)
        finally:
            stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_room(folder: Path) -> None:
    """Raise FarplaneError when the disk for temporary files is full, or as good as."""
    if shutil.disk_usage(folder).free < MIN_FREE_BYTES:
        raise temporary_fault(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), MIN_FREE_BYTES)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server: ask, wait, then insist on its whole group."""
    if process.poll() is None:
        process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        except KeyboardInterrupt:  # a second Ctrl-C: no more patience
            _kill_group(process)
            raise
    _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
