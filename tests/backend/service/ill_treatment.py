"""What ill-treats a backend and watches it: a line that breaks, and the memory of a process tree."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

import psutil

from farplane.protocol import pairing


def tree_memory(pid: int) -> int:
    """Resident bytes of a process and all that it started."""
    total = 0
    for process in (root := psutil.Process(pid), *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


class Watch:
    """The most memory that a process tree has while the work inside runs, above what it had before."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self.most = self.before = tree_memory(pid)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self) -> None:
        while not self._over.wait(0.05):
            self.most = max(self.most, tree_memory(self._pid))

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def added(self) -> int:
        return (self.most - self.before) >> 20


class Line:
    """A TCP relay that can be cut, reset, or go silent without a word."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lines: list[socket.socket] = []
        self.open = threading.Event()
        self.open.set()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            ours, _ = self._listener.accept()
            published = pairing.find_backend(self._config)
            assert published is not None
            theirs = socket.create_connection(("127.0.0.1", int(published.address.rsplit(":", 1)[1])))
            self._lines += [ours, theirs]
            for source, sink in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self.open.wait()
                sink.sendall(data)
        except OSError:
            pass
        for line in (source, sink):
            line.close()

    def cut(self, *, reset: bool) -> None:
        lines, self._lines = self._lines, []
        for line in lines:
            try:
                if reset:
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            if reset:
                line.close()
