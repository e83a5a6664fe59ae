"""How a command talks: events out as lines on standard output, requests to stop in.  No bpy."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO, Any

LAST_SECONDS = 30.0  # from the parent's end until we end the hard way


class Cancelled(Exception):
    """Ctrl-C, SIGTERM, or a parent that is gone."""


class Stop:
    """Turns the first signal into a request that the work looks at between two steps; the second ends at once."""

    def __init__(self) -> None:
        self.requested = False
        self._signalled = False

    def check(self) -> None:
        if self.requested:
            raise Cancelled

    def request(self, number: int = 0, frame: FrameType | None = None) -> None:
        if number and self._signalled:
            os._exit(130)
        self._signalled = self._signalled or number != 0  # the parent's end may come beside its signal
        self.requested = True

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.request) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: Blender's own, in C

    def when_parent_ends(self) -> None:
        """Stop when standard input ends, which it does when the parent that holds its other end is gone."""

        def wait() -> None:
            with suppress(OSError, ValueError):
                while os.read(0, 1):  # not sys.stdin: a thread that holds its lock aborts Python at exit
                    pass
            self.request()
            time.sleep(LAST_SECONDS)
            os._exit(130)

        threading.Thread(target=wait, name="farplane-parent", daemon=True).start()


class Reporter:
    """Writes one event a line: JSON, or words when a person looks at a terminal."""

    def __init__(self, out: IO[str]) -> None:
        self._out, self._words = out, out.isatty()

    def __call__(self, event: str, **values: Any) -> None:
        if self._words:
            text = " ".join(f"{value}" for value in values.values() if not isinstance(value, (list, dict)))
            line = f"{event}: {text}"
        else:
            line = json.dumps({"event": event, **values}, ensure_ascii=False)
        self._out.write(line + "\n")
        self._out.flush()

    def progress(self, stage: str, step: int, total: int) -> None:
        self("progress", stage=stage, step=step, total=total)


@contextmanager
def own_stdout(out: IO[str] | None) -> Iterator[IO[str]]:
    """Keep standard output to ourselves: what Blender and its libraries print goes to standard error from now on.

    Also afterwards: what C has buffered is written when the process ends, and would follow our last line.
    """
    if out is not None:
        yield out
        return
    sys.stdout.flush()
    ours = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(ours, "w", encoding="utf-8", errors="replace") as stream:
        yield stream
