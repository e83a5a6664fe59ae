"""One connection as the backend sees it: what may be said, what waits to be sent.  No sockets."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from ...protocol import codec, events
from ...protocol.events import FETCH, LocalProtocolError, Message
from ...protocol.schema import CHUNK
from ...protocol.session import Session
from .refusals import clip

log = logging.getLogger("farplane.service")

IN_PIPE = 4  # messages inside libzmq on their way to one peer; what it does not read waits here
READ_SECONDS = 10.0  # for which a file that cannot be read just now is tried again
READ_PAUSE = 0.25

Parts = list[bytes | memoryview]


@dataclass
class Sending:
    """An open fetch: `left` bytes of a file from `offset` on.

    failing : monotonic seconds since when it cannot be read.  again : when it is tried again.
    """

    job: str
    item: events.Item
    path: Path
    offset: int
    left: int
    failing: float | None = None
    again: float = 0.0


@dataclass(eq=False)
class Peer:
    """One connection.

    key : its client's public key.  program : what it said in its hello.  outbox : said, not sent.  fetches : asked, not answered.
    heard : monotonic seconds of its last message.  waiting : bytes in the outbox.
    unread : bytes at most that libzmq and the system hold for it; the server knows when they are gone.
    """

    key: str
    program: str = ""
    session: Session = field(default_factory=lambda: Session("backend"))
    outbox: deque[Parts] = field(default_factory=deque)
    fetches: deque[Sending] = field(default_factory=deque)
    heard: float = field(default_factory=time.monotonic)
    waiting: int = 0
    taken: int = 0  # messages that libzmq has taken in all
    _given: deque[int] = field(default_factory=lambda: deque(maxlen=IN_PIPE + 1))

    @property
    def ended(self) -> bool:
        """Whether its session is over; it is sent what waits, and that is all."""
        return self.session.connection == "closed"

    @property
    def unread(self) -> int:
        return sum(self._given)

    def say(self, message: Message) -> None:
        """Queue a message; raises LocalProtocolError when the session's table does not have it."""
        parts = codec.encode(message)
        self.session.send(message)
        self.outbox.append(parts)
        self.waiting += _size(parts)

    def tell(self, message: Message) -> bool:
        """Queue a message if it may come now; False where it may not.  For news, which are nobody's answer."""
        if not self.session.may_send(message):
            return False
        self.say(message)
        return True

    def end(self, name: str, problem: str, remedy: str) -> None:
        """Tell it why its session is over.  Nothing can be said to it after that."""
        self.fetches.clear()
        self.tell(events.Refused(None, *clip(name, problem, remedy)))
        self.session.connection = "closed"

    def given(self) -> None:
        """The outbox's first message was handed to libzmq."""
        size = _size(self.outbox.popleft())
        self.waiting -= size
        self._given.append(size)
        self.taken += 1

    def read(self) -> None:
        """Everything that was handed on has left this machine."""
        self._given.clear()

    def queue_chunk(self) -> bool:
        """Put the next chunk of its open fetches into the outbox; False when there is none to be had now.

        A file that cannot be read (no handle free, a disk that does not answer) is tried again for READ_SECONDS; after
        that, and for one that is gone, the fetch is refused.
        """
        now = time.monotonic()
        while self.fetches and (sending := self.fetches[0]).again <= now:
            try:
                data = _read(sending)
            except OSError as error:
                self._unreadable(sending, error, now)
                continue
            try:
                self.say(events.Chunk(sending.job, sending.item, sending.offset, data))
            except LocalProtocolError as error:
                log.warning("chunk of %s not sent: %s", sending.job, error)
                self.fetches.popleft()
                continue
            sending.failing = None
            sending.offset += len(data)
            sending.left -= len(data)
            if not sending.left:
                self.fetches.popleft()
            return True
        return False

    def _unreadable(self, sending: Sending, error: OSError, now: float) -> None:
        """Try the first fetch again later, or refuse it and what else is fetched of its item."""
        sending.failing = now if sending.failing is None else sending.failing
        if isinstance(error, FileNotFoundError) or now - sending.failing >= READ_SECONDS:
            log.error("%s of job %s cannot be read: %s", sending.item, sending.job, error)
            what = (sending.job, sending.item)
            self.fetches = deque(other for other in self.fetches if (other.job, other.item) != what)
            problem = f"the backend cannot read {sending.item} from its disk ({error.strerror or error})"
            remedy = "Fetch it again later, or render the shot again"
            self.tell(events.Refused(sending.job, *clip(FETCH, problem, remedy)))
        else:
            sending.again = now + READ_PAUSE


def _read(sending: Sending) -> bytes:
    """The next chunk's bytes.  Raises OSError; FileNotFoundError also for a file that is shorter than it was."""
    size = min(CHUNK, sending.left)
    with sending.path.open("rb") as file:
        file.seek(sending.offset)
        data = file.read(size)
    if len(data) != size:
        raise FileNotFoundError(2, "it is shorter than it was")
    return data


def _size(parts: Parts) -> int:
    return sum(len(part) for part in parts)
