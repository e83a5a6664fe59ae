"""The TCP connections below the ROUTER socket: which have ended, and how to close one.

A ROUTER never says that a peer is gone, and has no call that closes one.  But libzmq's monitor tells of every connection
that begins and ends by its file descriptor, and each message says by which descriptor it came.  What the two say is put
together here.  libzmq closes a descriptor only after it has told of the end, and a new connection that is given the same
number is told of before its first message can be read; so whoever looks at the monitor before it notes a newcomer never
takes one connection for another.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import suppress

import zmq
from zmq.utils.monitor import recv_monitor_message

_ADDRESS = "inproc://farplane-lines"


class Lines:
    """Make it before the ROUTER binds, close it before the ROUTER.  socket : readable when there is news."""

    def __init__(self, context: zmq.Context, router: zmq.Socket) -> None:
        self._router = router
        router.monitor(_ADDRESS, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self.socket = context.socket(zmq.PAIR)
        self.socket.linger = 0
        self.socket.rcvhwm = 0  # libzmq's own thread would wait for us
        self.socket.connect(_ADDRESS)
        self._by_line: dict[int, set[bytes]] = {}
        self._line_of: dict[bytes, int] = {}

    def close(self) -> None:
        self._router.disable_monitor()
        self.socket.close()

    @staticmethod
    def of(frame: zmq.Frame) -> int:
        """The descriptor by which a message came, -1 where it is not known."""
        with suppress(zmq.ZMQError):
            return frame.get(zmq.SRCFD)  # type: ignore[return-value]
        return -1

    def know(self, line: int, identity: bytes) -> None:
        """Note who is at the other end of a connection.  Look at `ended` before."""
        if line >= 0:
            self._by_line.setdefault(line, set()).add(identity)
            self._line_of[identity] = line

    def ended(self) -> Iterator[bytes]:
        """Whose connections have ended since the last call."""
        while self.socket.poll(0):
            line = recv_monitor_message(self.socket)["value"]
            # A connection that begins with this number: whoever had it before is gone, too.
            yield from list(self._by_line.pop(int(line), ()))

    def forget(self, identity: bytes) -> None:
        line = self._line_of.pop(identity, -1)
        if identity in self._by_line.get(line, ()):
            self._by_line[line].discard(identity)

    def cut(self, identity: bytes) -> None:
        """Close the connection; that it has ended is then told like any other end.

        Not where a second peer has come by the same number: one of them is gone, and it may be this one.
        """
        if len(self._by_line.get(line := self._line_of.get(identity, -1), ())) == 1:
            with suppress(OSError), socket.fromfd(line, socket.AF_INET, socket.SOCK_STREAM) as copy:
                copy.shutdown(socket.SHUT_RDWR)

    def unsent(self, identity: bytes) -> int | None:
        """Bytes that the system holds for a connection and the other end has not taken; None where it does not say."""
        if not sys.platform.startswith("linux") or (line := self._line_of.get(identity, -1)) not in self._by_line:
            return None
        import fcntl
        import termios

        held = bytearray(4)
        try:
            fcntl.ioctl(line, termios.TIOCOUTQ, held)
        except OSError:
            return None
        return int.from_bytes(held, sys.byteorder)
