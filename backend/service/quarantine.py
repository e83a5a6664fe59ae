"""What the backend would delete on doubtful grounds is set aside first: a wrong clock or a lost queue costs no result.

``DATA/quarantine/TIME-REASON/`` holds job folders as they were (or a damaged queue), and about.json: why, and for how
long the backend has run since.  After KEEP_SECONDS of *running*, counted by a clock that nobody sets, it is deleted;
whoever needs the space deletes it sooner.

A job that has ended carries its own record, job.json.  So a folder that is moved back into ``DATA/jobs`` is taken in
at the next start, and a queue that was lost is made anew from the folders.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .folders import make_folder
from .spool import write_durable

log = logging.getLogger("farplane.service")

NAME, ABOUT, RECORD = "quarantine", "about.json", "job.json"
KEEP_SECONDS = 7 * 86400.0  # of running
REASONS = {
    "expired": "older than the backend keeps results, by its machine's clock",
    "unknown": "the queue does not know these jobs",
    "damaged-queue": "the queue's file could not be read",
}
ENDS = ("finished", "failed", "cancelled")


@dataclass(frozen=True)
class Batch:
    """What was set aside together.  jobs : folders of jobs.  left : seconds of running until it is deleted."""

    folder: Path
    why: str
    jobs: int
    size: int
    left: float


class Quarantine:
    """The quarantine of one data folder, for the process that holds the folder."""

    def __init__(self, data: Path) -> None:
        self._root = data / NAME
        self._since = time.monotonic()
        self._batches: dict[str, Path] = {}

    def take(self, path: Path, reason: str) -> None:
        """Move a folder or file here.  reason : a key of REASONS.  Raises OSError; then it is where it was."""
        batch = self._batches.get(reason)
        if batch is None or not batch.is_dir() or (batch / path.name).exists():
            batch = self._new_batch(reason)
        path.rename(batch / path.name)
        log.warning("%s is set aside in %s: %s", path.name, batch, REASONS[reason])

    def _new_batch(self, reason: str) -> Path:
        stem = f"{time.strftime('%Y-%m-%dT%H%M%S')}-{reason}"
        batch = next(path for n in range(1, 10**6) if not (path := self._root / f"{stem}-{n}").exists())
        make_folder(batch)
        _write_about(batch, reason, 0.0)
        self._batches[reason] = batch
        return batch

    def age(self) -> None:
        """Count the time that has run since the last call, and delete what has had its time."""
        now = time.monotonic()
        ran, self._since = now - self._since, now
        for batch in _folders(self._root):
            reason, before = _read_about(batch)
            if before + ran >= KEEP_SECONDS:
                log.warning("%s is deleted: it was here for %.0f days of running", batch, (before + ran) / 86400)
                shutil.rmtree(batch, ignore_errors=True)
                continue
            with suppress(OSError):  # a full disk: it is kept longer
                _write_about(batch, reason, before + ran)


def batches(data: Path) -> list[Batch]:
    """What lies in the quarantine of a data folder, the oldest first.  Changes nothing."""
    found = []
    for folder in _folders(data / NAME):
        reason, ran = _read_about(folder)
        files = [path for path in folder.rglob("*") if path.is_file() and path.name != ABOUT]
        if files:
            jobs = sum(path.is_dir() for path in folder.iterdir())
            size = sum(path.stat().st_size for path in files)
            found.append(Batch(folder, REASONS.get(reason, reason), jobs, size, max(0.0, KEEP_SECONDS - ran)))
    return found


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Keep what the queue knows of an ended job beside its results.  Raises OSError."""
    write_durable(folder / RECORD, json.dumps(record).encode())


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of an ended job, with every value of the kind that the queue holds; None where there is no whole one.

    owner, digest, state; attempt: int; fault: three texts; created: seconds; items: [item, size, sha256, attempt].
    """
    try:
        record = json.loads((folder / RECORD).read_bytes())
        texts = [record["owner"], record["digest"], record["state"], *record["fault"]]
        items = [(item, int(size), str(digest), int(attempt)) for item, size, digest, attempt in record["items"]]
        sound = (
            all(isinstance(text, str) for text in texts)
            and len(texts) == 6
            and record["state"] in ENDS
            and all(
                isinstance(item, str | int) and re.fullmatch("[0-9a-f]{64}", digest) for item, _, digest, _ in items
            )
        )
        kept = {"attempt": int(record["attempt"]), "created": float(record["created"]), "items": items}
        return {**record, **kept} if sound else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _write_about(batch: Path, reason: str, ran: float) -> None:
    about = {"reason": reason, "why": REASONS.get(reason, reason), "ran": round(ran, 1)}
    write_durable(batch / ABOUT, json.dumps(about).encode())


def _read_about(batch: Path) -> tuple[str, float]:
    """(reason, seconds run); of an unreadable one, as if it had just come."""
    try:
        about = json.loads((batch / ABOUT).read_bytes())
        return str(about["reason"]), max(0.0, float(about["ran"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "unknown", 0.0
