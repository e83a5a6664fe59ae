"""The server's end of the worker process: start it, give it a job, hear from it, stop it.

The two talk in JSON lines over the worker's standard input and output; big things go through files.  Whatever the
worker says comes as a `Heard` through the `post` callable that the server gives (called from a reader thread).
The worker leads a process group of its own, so that nothing it started outlives it and Ctrl-C does not reach it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .folders import open_private

MAX_LINE = 64 << 10  # bytes; the longest true line is a failure's texts
MAX_LOG = 8 << 20  # bytes of worker.log before it begins anew
# torch's threads sleep while they wait for each other, instead of spinning: beside one busy program per core a render
# takes 2.3 times its idle time then, not 4 (docs/benchmarks.md).  They read it once, when torch is loaded.
THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class Heard:
    """One line of a worker, or its end.  said : the line's object; None when the process has ended."""

    worker: Worker
    said: dict[str, Any] | None


class Worker:
    """One worker process.  job : what it is at, or None.  usable : it can take another job."""

    def __init__(self, pipeline: str, log: Path, post: Callable[[Heard], None]) -> None:
        self.job: str | None = None
        self.attempt = 0
        self.usable = True
        self._post = post
        with open_private(log, "ab" if log.exists() and log.stat().st_size < MAX_LOG else "wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "farplane.backend.service.worker", "--pipeline", pipeline],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=THREADS | os.environ,
                start_new_session=True,
            )
        threading.Thread(target=self._listen, name="farplane-worker-reader", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, job: str, attempt: int, folder: Path) -> None:
        """Give it a job whose files lie in `folder`."""
        self.job, self.attempt = job, attempt
        self._say({"do": "run", "job": job, "attempt": attempt, "folder": str(folder)})

    def check(self, model: str) -> None:
        """Ask it whether a model would load; it answers while it is at a job, too."""
        self._say({"do": "check", "model": model})

    def cancel(self) -> None:
        """Ask it to stop its job."""
        self._say({"do": "cancel", "job": self.job})

    def kill(self) -> None:
        """End it and all it started, now."""
        self.usable = False
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(OSError):
            self._process.kill()

    def stop(self) -> None:
        """End it and wait; whatever it has said to be on disk is."""
        self.kill()
        self._process.wait()

    def last_words(self) -> tuple[str, str, str]:
        """(field, problem, remedy) for a worker that ended in the middle of a job."""
        code = self._process.wait()
        if code == -signal.SIGKILL or code == 137:
            problem = "the system killed the render process, most often because memory ran out"
            return "memory", problem, "Lower the resolution or render fewer frames, and close other programs"
        if os.name == "posix" and code == -signal.SIGBUS:
            problem = "the render process lost a file that it worked in: its disk is full or gone"
            return "disk", problem, "Free some space on the backend's machine, there and in its TMPDIR"
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        problem = f"the render process ended by itself, {how}"
        return "backend", problem, "Render again; if it ends again, worker.log in the backend's data folder says why"

    def _say(self, command: dict[str, Any]) -> None:
        with suppress(OSError):  # a worker that has ended is noticed by its reader
            self._process.stdin.write(json.dumps(command).encode() + b"\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]

    def _listen(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while line := stream.readline(MAX_LINE):
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if isinstance(said, dict):
                self._post(Heard(self, said))
        self._process.wait()
        self._post(Heard(self, None))
