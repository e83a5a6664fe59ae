"""Uploads as the backend keeps them in mind while they come, and whose turn it is.  No sockets.

Several connections may offer one job: a client after a break, two programs with one shot.  Each has a window of its
own and hears every answer; a byte is kept when the first of them has sent it.  So no connection depends on another.

Of one key only a few uploads are under way at a time, the next ones wait for their first credit.  An upload that
nobody is connected for rests without a file handle, and ends when it has rested for REST_SECONDS.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...protocol.events import ProtocolError, RemoteProtocolError, Submit
from ...protocol.schema import CHUNK
from .peer import Peer
from .refusals import Need
from .spool import Upload, read_submit

REST_SECONDS = 120.0  # without a connection that wants it
SILENT_SECONDS = 600.0  # with connections, all of which say nothing at all
OPEN_OF_KEY, OPEN_IN_ALL = 4, 64  # uploads under way at a time


def need_of(folder: Path) -> Need:
    """What an accepted job takes up; nothing for one whose files are gone, which its run will tell."""
    try:
        return Need.of(read_submit(folder))
    except (OSError, ProtocolError):
        return Need(0, 0)


@dataclass
class Window:
    """What one connection may send: bytes from `at` on, up to `granted`.  granted = -1 : nothing was asked for yet."""

    at: int = 0
    granted: int = -1

    def take(self, offset: int, size: int, total: int) -> None:
        """Note an arrived chunk.  Raises RemoteProtocolError unless it is the next one and was asked for."""
        if offset != self.at or offset + size > self.granted:
            raise RemoteProtocolError(f"upload: {size} bytes at {offset} were not asked for")
        if size != min(CHUNK, total - offset):
            raise RemoteProtocolError(f"upload: a chunk of {size} bytes is neither full nor the last")
        self.at += size


@dataclass(eq=False)
class Incoming:
    """An upload and who wants it.

    senders : a window for each connection.  rests : monotonic seconds since when there is none of them.
    checking : all bytes are here.  cancelled : not wanted any more.  need : what it takes up.
    asking : since when the worker has been asked whether its model loads; until it answers, no byte is asked for.
    """

    upload: Upload
    owner: str
    digest: str
    need: Need
    senders: dict[Peer, Window] = field(default_factory=dict)
    rests: float = field(default_factory=time.monotonic)
    checking: bool = False
    cancelled: bool = False
    asking: float | None = None

    @property
    def submit(self) -> Submit:
        return self.upload.submit

    @property
    def job(self) -> str:
        return self.upload.submit.job

    @property
    def under_way(self) -> bool:
        """Whether it takes one of its key's turns."""
        return self.checking or any(window.granted >= 0 for window in self.senders.values())

    def grant(self, peer: Peer, chunks: int) -> tuple[int, int]:
        """Extend a sender's credit: (offset, chunks) to tell it; no chunks where it has been asked for everything."""
        window, total = self.senders[peer], self.upload.total
        if window.granted < 0:
            window.at = window.granted = self.upload.offset
        begin, window.granted = window.granted, min(total, window.granted + chunks * CHUNK)
        return begin, chunks if begin < total else 0


@dataclass(frozen=True)
class Checked:
    """A whole upload was looked at.  error : None, or why it is refused."""

    job: str
    error: BaseException | None


class Uploads:
    """All uploads that are no jobs yet, by job, in the order in which they came."""

    def __init__(self) -> None:
        self._all: dict[str, Incoming] = {}

    def __iter__(self) -> Iterator[Incoming]:
        return iter(list(self._all.values()))

    def get(self, job: str) -> Incoming | None:
        return self._all.get(job)

    def add(self, coming: Incoming) -> None:
        self._all[coming.job] = coming

    def remove(self, job: str) -> None:
        self._all.pop(job, None)

    def of(self, owner: str) -> list[Incoming]:
        """Those of one key."""
        return [coming for coming in self._all.values() if coming.owner == owner]

    def leave(self, peer: Peer) -> list[tuple[Incoming, OSError]]:
        """A connection is gone.  Returns the uploads whose last bytes the disk would not keep, and why."""
        broken = []
        for coming in self._all.values():
            if coming.senders.pop(peer, None) is not None and not coming.senders:
                coming.rests = time.monotonic()
                try:
                    if not coming.checking:
                        coming.upload.rest()
                except OSError as error:
                    broken.append((coming, error))
        return broken

    def turns(self) -> Iterator[tuple[Incoming, Peer]]:
        """Whoever may have a first credit now, in order."""
        under_way = [coming.owner for coming in self._all.values() if coming.under_way]
        for coming in self:
            waiting = [peer for peer, window in coming.senders.items() if window.granted < 0]
            if not waiting or coming.checking or coming.asking is not None:
                continue
            if not coming.under_way:
                if under_way.count(coming.owner) >= OPEN_OF_KEY or len(under_way) >= OPEN_IN_ALL:
                    continue
                under_way.append(coming.owner)
            for peer in waiting:
                yield coming, peer

    def overdue(self, now: float) -> list[Incoming]:
        """Those that nobody goes on with."""
        return [
            coming
            for coming in self._all.values()
            if not coming.checking
            and (
                all(now - peer.heard > SILENT_SECONDS for peer in coming.senders)
                if coming.senders
                else now - coming.rests > REST_SECONDS
            )
        ]
