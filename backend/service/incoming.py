"""Uploads as the backend keeps them in mind while they come.  No sockets."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from .peer import Peer
from .spool import Upload


@dataclass(eq=False)
class Incoming:
    """An upload and who wants it; the last of `peers` sends it.

    touched : monotonic seconds of its last byte.  checking : all bytes are here.  cancelled : not wanted any more.
    asking : the worker has not said yet whether its model loads; until then no byte of it is asked for.
    """

    upload: Upload
    owner: str
    digest: str
    peers: list[Peer]
    touched: float = field(default_factory=time.monotonic)
    checking: bool = False
    cancelled: bool = False
    asking: bool = False


@dataclass(frozen=True)
class Checked:
    """A whole upload was looked at.  error : None, or why it is refused."""

    job: str
    error: BaseException | None
