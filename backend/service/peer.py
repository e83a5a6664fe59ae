"""One connection as the backend sees it: what may be said, what waits to be sent.  No sockets."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from ...protocol import codec, events
from ...protocol.events import LocalProtocolError, Message
from ...protocol.schema import CHUNK
from ...protocol.session import Session

log = logging.getLogger("farplane.service")


@dataclass
class Sending:
    """An open fetch: `left` bytes of a file from `offset` on."""

    job: str
    item: events.Item
    path: Path
    offset: int
    left: int


@dataclass(eq=False)
class Peer:
    """One connection.  key : its client's public key.  outbox : said, not sent.  fetches : asked, not answered."""

    key: str
    session: Session = field(default_factory=lambda: Session("backend"))
    outbox: deque[list[bytes | memoryview]] = field(default_factory=deque)
    fetches: deque[Sending] = field(default_factory=deque)

    def say(self, message: Message) -> None:
        """Queue a message; raises LocalProtocolError when the session's table does not have it."""
        parts = codec.encode(message)
        self.session.send(message)
        self.outbox.append(parts)

    def next_chunk(self) -> list[bytes | memoryview] | None:
        """The parts of the next chunk of its open fetches, or None."""
        while self.fetches:
            sending = self.fetches[0]
            size = min(CHUNK, sending.left)
            try:
                with sending.path.open("rb") as file:
                    file.seek(sending.offset)
                    data = file.read(size)
                if len(data) != size:
                    raise OSError("the file is shorter than it was")
                message = events.Chunk(sending.job, sending.item, sending.offset, data)
                parts = codec.encode(message)
                self.session.send(message)
            except (OSError, LocalProtocolError) as error:
                log.warning("chunk of %s not sent: %s", sending.job, error)
                self.fetches.popleft()
                continue
            sending.offset += size
            sending.left -= size
            if not sending.left:
                self.fetches.popleft()
            return parts
        return None
