"""How long a take will take, from what earlier ones took with the same backend and model.

The history is a small JSON file in the extension's own folder.  Work is counted in pixels x frames x steps; what a
job waited in a queue is not counted.
"""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...protocol.errors import FarplaneError
from . import preferences
from .session import Job, duration, keep_hint, session, user_folder
from .summary import Summary
from .translations import say

MAX_RECORDS = 200
NEAREST = 5  # earlier takes that an estimate rests on


@dataclass(frozen=True)
class Record:
    """One finished take.  backend : its address, empty for this machine.  seconds : from Generate to the last file."""

    backend: str
    model: str
    pixels: int
    frames: int
    steps: int
    seconds: float

    @property
    def work(self) -> float:
        """What the time is in proportion to."""
        return float(self.pixels * self.frames * max(1, self.steps))


@dataclass(frozen=True)
class Estimate:
    """seconds : the expected time.  takes : how many earlier takes say so."""

    seconds: float
    takes: int

    @property
    def text(self) -> str:
        """As the panel says it."""
        return say("about {}", duration(self.seconds))


def estimate(history: list[Record], wanted: Record) -> Estimate | None:
    """The median of the nearest earlier takes, carried over by their work; None without any of this kind."""
    same = [r for r in history if (r.backend, r.model) == (wanted.backend, wanted.model) and r.seconds > 0]
    if not same or wanted.work <= 0:
        return None
    same.reverse()  # among equals the newest count: a machine may have become faster
    nearest = sorted(same, key=lambda r: abs(math.log(r.work / wanted.work)))[:NEAREST]
    return Estimate(statistics.median(r.seconds * wanted.work / r.work for r in nearest), len(nearest))


_history: list[Record] | None = None


def history() -> list[Record]:
    """What is known, oldest first; read once."""
    global _history
    if _history is None:
        _history = _read(_path())
    return _history


def record(job: Job) -> None:
    """Learn from a job that has just ended; the session calls it."""
    if job.outcome != "finished" or not job.take.seconds:
        return
    summary = Summary.read(job.take)
    width, height = summary.size
    found = next((model for model in session.models if model.name == summary.model), None)
    steps = summary.steps or (found.steps if found is not None else 0)
    seconds = job.take.seconds + job.prepared
    known = history()
    known.append(Record(backend(), summary.model, width * height, len(job.take.expected), steps, round(seconds, 2)))
    del known[:-MAX_RECORDS]
    data = json.dumps([asdict(item) for item in known]).encode()
    keep_hint(_path(), data)


def backend() -> str:
    """Which backend an estimate is for."""
    return preferences.settings().address


def _path() -> Path:
    return user_folder("history") / "takes.json"


def _read(path: Path) -> list[Record]:
    found = []
    try:
        rows: Any = json.loads(path.read_bytes()) if path.is_file() else []
    except (OSError, ValueError):
        return []
    for row in rows if isinstance(rows, list) else []:
        try:
            item = Record(**row)
            if item.work > 0 and 0 < item.seconds < 1e7:
                found.append(item)
        except (TypeError, ValueError, FarplaneError):
            continue
    return found[-MAX_RECORDS:]


def register() -> None:
    """Learn from every job that ends."""
    session.when_ended.append(record)


def unregister() -> None:
    """No longer."""
    global _history
    _history = None
    if record in session.when_ended:
        session.when_ended.remove(record)
