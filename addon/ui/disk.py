"""One thread for everything that waits for a disk, so that the window never does.  No bpy.

Work is done in the order it was given; what came of it is handed over in `poll`, on the caller's thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from ...protocol.errors import FarplaneError

Then = Callable[[Any], object]


class Disk:
    """A worker that starts with its first task and ends with `close`.

    held : bytes that wait to be written.
    """

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[Callable[[], Any], Then | None, int] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Then | None, Any, int]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._open = 0  # tasks whose result was not handed over yet
        self.held = 0

    @property
    def busy(self) -> bool:
        """Whether anything is waited for."""
        return self._open > 0

    def do(self, work: Callable[[], Any], then: Then | None = None, size: int = 0) -> None:
        """Queue `work`; `poll` later gives what it returned, or the FarplaneError it raised, to `then`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="farplane-disk", daemon=True)
            self._thread.start()
        self._open += 1
        self.held += size
        self._tasks.put((work, then, size))

    def poll(self) -> bool:
        """Hand over what is ready; return whether anything was.  Never blocks."""
        changed = False
        while True:
            try:
                then, result, size = self._results.get_nowait()
            except queue.Empty:
                return changed
            changed = True
            self._open -= 1
            self.held -= size
            if then is not None:
                then(result)
            elif isinstance(result, BaseException):
                raise result

    def flush(self) -> None:
        """Wait until everything is done and handed over: for the end of Blender, and for scripts."""
        while self.busy:
            if not self.poll():
                time.sleep(0.002)

    def close(self) -> None:
        """Finish what was given, hand nothing over any more, and end the thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._tasks.put(None)
            thread.join()
        self._results = queue.SimpleQueue()
        self._open = self.held = 0

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            work, then, size = task
            try:
                result: Any = work()
            except FarplaneError as error:
                result = error
            except Exception as error:  # a fault of ours: told, not lost with the thread
                result = FarplaneError("farplane", f"{type(error).__name__}: {error}", "Please report this")
            self._results.put((then, result, size))
            # Not held until the next one: a picture's texture goes with the window's thread.
            del task, work, then, result
