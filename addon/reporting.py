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

QUIET_SECONDS = 10.0
LAST_SECONDS = 30.0  # from the parent's end until we end the hard way


class Cancelled(Exception):
    """Ctrl-C, SIGTERM, or a parent that is gone."""


class Stop:
    """Turns the first signal into a request that the work looks at between two steps; the second ends at once.

    patience : seconds after which `check` raises by itself.
    """

    def __init__(self, patience: float = float("inf")) -> None:
        self.requested = False
        self._signalled = False
        self._until = time.monotonic() + patience

    def check(self) -> None:
        """Raise Cancelled once that was asked for."""
        if self.requested or time.monotonic() > self._until:
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
    """Writes one event a line: as JSON for programs, in words for people.

    words : which of the two.  In words, progress is told when a stage is done, and once in QUIET_SECONDS before.
    """

    def __init__(self, out: IO[str], words: bool = False) -> None:
        self._out, self._words = out, words
        self._told: dict[str, float] = {}  # stage -> when it was told last
        self._noted: set[str] = set()

    def __call__(self, event: str, **values: Any) -> None:
        """Tell an event."""
        if self._words:
            line = self._in_words(event, values)
            if line is None:
                return
        else:
            line = json.dumps({"event": event, **values}, ensure_ascii=False)
        self._out.write(line + "\n")
        self._out.flush()

    def progress(self, stage: str, step: int, total: int) -> None:
        """Tell that `step` of `total` is done."""
        self("progress", stage=stage, step=step, total=total)

    def note(self, text: str) -> None:
        """Tell something to know of, once."""
        if text not in self._noted:
            self._noted.add(text)
            self("note", text=text)

    def _in_words(self, event: str, values: dict[str, Any]) -> str | None:
        """One line, or None where there is nothing new to say to a person."""
        of = f"{values['name']}: " if values.get("name") else ""
        match event:
            case "progress":
                return self._progress(of, values)
            case "done":
                return f"{of}done ({values['step']} of {values['total']}), {values['folder']}"
            case "queued":
                return f"{of}{values['position']} jobs are ahead" if values["position"] else None
            case "failed" | "error":
                text = f"{values['field']}: {values['problem']}. {values['remedy']}"
                return f"{of}failed: {text}" if event == "failed" else f"error: {text}"
            case "disconnected":
                return f"backend: {values['problem']}. {values['remedy']}"
            case "warning" | "note" | "scene":
                return f"{event}: {values['text']}"
            case "result":
                made = [values.get("blend"), *values.get("contact", ())]
                lost = [f"not landed: {one['text']}" for one in values.get("not_landed", ())]
                return "\n".join([f"done: {values['folder']}", *(str(path) for path in made if path), *lost])
        return ": ".join([event, *(str(value) for value in values.values())])

    def _progress(self, of: str, values: dict[str, Any]) -> str | None:
        stage, step, total = values["stage"], values["step"], values["total"]
        now = time.monotonic()
        if step < total and now - self._told.setdefault(of + stage, now) < QUIET_SECONDS:
            return None
        self._told[of + stage] = now
        share = f"{step} of {total}" if total < 100_000 else f"{round(100 * step / total)}%"  # the upload's are bytes
        return f"{of}{stage} {share}"


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
