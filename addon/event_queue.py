"""Events on their way from the client's thread to whoever polls it.  No sockets, no bpy."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict

from ..protocol import events
from ..protocol.events import Event


class EventQueue:
    """Events for the caller, in order and bounded: of what repeats itself only the newest is kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: OrderedDict[object, Event] = OrderedDict()
        self._count = itertools.count()
        self.size = 0  # bytes of frames and artifacts

    def put(self, event: Event) -> None:
        key: object = next(self._count)
        if isinstance(event, (events.Connected, events.Disconnected)):
            key = "connection"
        elif isinstance(event, (events.Preview, events.Uploading, events.Accepted)):
            key = (type(event), event.job)
        elif isinstance(event, events.Progress):
            key = (type(event), event.job, event.stage)
        with self._lock:
            self._waiting.pop(key, None)
            self._waiting[key] = event
            self.size += _bytes(event)

    def take(self) -> list[Event]:
        with self._lock:
            taken, self._waiting = list(self._waiting.values()), OrderedDict()
            self.size = 0
        return taken


def _bytes(event: Event) -> int:
    if isinstance(event, events.FrameReady):
        return len(event.exr)
    return len(event.data) if isinstance(event, events.ArtifactReady) else 0
