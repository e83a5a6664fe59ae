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
    """The longest ticks since the last `reset`, in seconds, per kind of tick.

    worst : our own time on the clock.  work : of the main thread's processor time alone, which other programs on a
    busy machine do not lengthen.  blender : Blender's own time on the clock in the tick that had most of it.
    """

    worst: dict[str, float] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    blender: dict[str, float] = field(default_factory=dict)
    ticks: int = 0

    @contextmanager
    def tick(self, kind: str) -> Iterator[None]:
        """Measure one tick."""
        began, worked, outside = time.perf_counter(), time.thread_time(), passes.seconds_in_blender()
        try:
            yield
        finally:
            inside = [after - before for after, before in zip(passes.seconds_in_blender(), outside, strict=True)]
            self.ticks += 1
            self._raise(self.worst, kind, time.perf_counter() - began - inside[0])
            self._raise(self.work, kind, time.thread_time() - worked - inside[1])
            self._raise(self.blender, kind, inside[0])

    @staticmethod
    def _raise(of: dict[str, float], kind: str, seconds: float) -> None:
        of[kind] = max(seconds, of.get(kind, 0.0))

    @property
    def longest(self) -> float:
        """The longest tick of any kind, our own time on the clock in seconds."""
        return max(self.worst.values(), default=0.0)

    def report(self) -> dict[str, float]:
        """For a test's or a bug report's line: milliseconds."""
        return {
            "ticks": self.ticks,
            "longest_ms": round(1e3 * self.longest, 1),
            "most_work_ms": round(1e3 * max(self.work.values(), default=0.0), 1),
            "blenders_own_ms": round(1e3 * max(self.blender.values(), default=0.0), 1),
        }

    def reset(self) -> None:
        """Begin anew."""
        self.worst.clear()
        self.work.clear()
        self.blender.clear()
        self.ticks = 0


meter = Meter()
