"""Who is told what has happened to a job, and where the waiting ones stand.  No sockets.

What is said to one listener never depends on another: a word that one of them may not hear now is left out for it.
"""

from __future__ import annotations

import time

from ...protocol import events
from ...protocol.events import Message
from ...protocol.schema import WINDOW
from .jobs import JobStore
from .peer import Peer

TOLD_AT_ONCE = 16  # places in the queue that are told in one turn
TOLD_PAUSE = 0.02  # seconds between such turns: news of hundreds of places leave room for answers
FOLLOWED = ("queued", "running", "cancelling")  # states of a job on a connection that wants to hear of it


class Listeners:
    """The connections whose sessions go on."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._peers: dict[Peer, None] = {}
        self._moved: dict[str, None] = {}  # waiting jobs whose place is to be told, in the order in which to do it
        self._told_at = 0.0

    def join(self, peer: Peer) -> None:
        self._peers[peer] = None

    def leave(self, peer: Peer) -> None:
        """It listens to nothing and is sent nothing from here on."""
        self._peers.pop(peer, None)
        peer.fetches.clear()

    def broadcast(self, message: Message) -> None:
        """Say it to every peer that follows the job."""
        for peer in self._peers:
            if isinstance(message, events.Preview) and len(peer.outbox) >= WINDOW:
                continue  # it does not keep up; a picture that is late is worth nothing
            if peer.session.job(message.job) in FOLLOWED:  # type: ignore[union-attr]
                peer.tell(message)

    def move_up(self) -> None:
        """The queue has moved: tell everybody their place, the first ones now and the others by `tell_places`.

        Who waits to be told keeps his turn, so that in a long and quick queue all are told at times.
        """
        waiting = dict.fromkeys(self._store.queued())
        self._moved = {job: None for job in (*self._moved, *waiting) if job in waiting}
        self.tell_places(time.monotonic())

    def tell_places(self, now: float) -> bool:
        """Tell a few waiting jobs their place in the queue; True when others are left."""
        if not self._moved or now < self._told_at + TOLD_PAUSE:
            return bool(self._moved)
        self._told_at = now
        ahead = self._store.running()
        places = {job: place + ahead for place, job in enumerate(self._store.queued())}
        for job in list(self._moved)[:TOLD_AT_ONCE]:
            del self._moved[job]
            for peer in self._peers:
                if job in places and peer.session.job(job) == "queued":
                    peer.tell(events.Accepted(job, places[job]))
        return bool(self._moved)
