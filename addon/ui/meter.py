"""How long our own code holds Blender's main thread.

A tick is one call of a timer, a modal operator or a panel.  What Blender itself needs in it (a render, the
evaluation of a frame) is counted apart: `passes.blenders_own`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .. import passes


@dataclass
class Meter:
    """The longest ticks since the last `reset`, in seconds.

    worst : per kind of tick, our own time.  blender : per kind, Blender's own in the tick that had most of it.
    """

    worst: dict[str, float] = field(default_factory=dict)
    blender: dict[str, float] = field(default_factory=dict)
    ticks: int = 0

    @contextmanager
    def tick(self, kind: str) -> Iterator[None]:
        """Measure one tick."""
        began, outside = time.perf_counter(), passes.seconds_in_blender()
        try:
            yield
        finally:
            inside = passes.seconds_in_blender() - outside
            own = time.perf_counter() - began - inside
            self.ticks += 1
            self.worst[kind] = max(own, self.worst.get(kind, 0.0))
            self.blender[kind] = max(inside, self.blender.get(kind, 0.0))

    @property
    def longest(self) -> float:
        """The longest tick of any kind, our own time in seconds."""
        return max(self.worst.values(), default=0.0)

    def reset(self) -> None:
        """Begin anew."""
        self.worst.clear()
        self.blender.clear()
        self.ticks = 0


meter = Meter()
