"""How long a take will take, from what earlier ones took with the same backend and model.

The history is a small JSON file in the extension's own folder.  Work is counted in pixels x frames x steps; what a
job waited in a queue is not counted.
"""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...protocol.errors import FarplaneError
from ..takes import Take
from . import preferences
from .catalogue import model_info
from .message import duration
from .session import Job, keep_hint, session, user_folder
from .summary import Summary
from .translations import say

MAX_RECORDS = 200
NEAREST = 5  # earlier takes that an estimate rests on


@dataclass(frozen=True)
class Record:
    """One finished take.

    backend : its address, empty for this machine.  seconds : from Generate to the last file.  stages : seconds of each
    stage, "reading" for all before the upload; empty where nobody looked.
    """

    backend: str
    model: str
    pixels: int
    frames: int
    steps: int
    seconds: float
    stages: dict[str, float] = field(default_factory=dict)

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
    stages = {name: round(seconds, 2) for name, seconds in job.seconds.items()} | {"reading": round(job.prepared, 2)}
    seconds = round(job.take.seconds + job.prepared, 2)
    known = history()
    known.append(replace(wanted_of(job.take), seconds=seconds, stages=stages if job.prepared else {}))
    del known[:-MAX_RECORDS]
    data = json.dumps([asdict(item) for item in known]).encode()
    keep_hint(_path(), data)


def wanted_of(take: Take) -> Record:
    """What a take asks for, without its time; reads its files."""
    summary = Summary.read(take)
    return wanted(summary.model, summary.steps, summary.size, len(take.expected))


def wanted(model: str, steps: int, size: tuple[int, int], frames: int) -> Record:
    """What is asked for: steps of 0 are the model's own."""
    found = model_info(model)
    return Record(backend(), model, size[0] * size[1], frames, steps or (found.steps if found else 0), 0.0)


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
            if not all(isinstance(value, (int, float)) for value in item.stages.values()):
                continue
            if item.work > 0 and 0 < item.seconds < 1e7:
                found.append(item)
        except (TypeError, ValueError, AttributeError, FarplaneError):
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
