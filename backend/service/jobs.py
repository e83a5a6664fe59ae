"""The queue on disk: one SQLite file that says which jobs there are, how far they are and what they made.

Durable by WAL with synchronous=FULL: what was said to a client is still true after a power cut.  States::

    queued -> running -> finished | failed | cancelled
    queued -> cancelled           running -> cancelling -> cancelled (or finished, when it was quicker)
    running -> queued             the backend fell or was stopped; at most MAX_ATTEMPTS runs
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from ...protocol.errors import FarplaneError
from ...protocol.events import Item, ItemInfo
from .spool import item_file

MAX_ATTEMPTS = 3
ENDED = ("finished", "failed", "cancelled")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, -- the queue's order
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,                   -- the public key of the client that sent it
    digest TEXT NOT NULL,                  -- of what was sent, to know it again
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    field TEXT NOT NULL DEFAULT '', problem TEXT NOT NULL DEFAULT '', remedy TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL, ended REAL
);
CREATE TABLE IF NOT EXISTS items (
    job TEXT NOT NULL, item TEXT NOT NULL, -- a JSON number or string
    size INTEGER NOT NULL, sha256 TEXT NOT NULL, attempt INTEGER NOT NULL,
    PRIMARY KEY (job, item)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class JobRow:
    """One job as the queue knows it.  attempt : runs begun.  fault : (field, problem, remedy) of a failed one."""

    id: str
    owner: str
    digest: str
    state: str
    attempt: int
    fault: tuple[str, str, str]


class JobStore:
    """The queue of one data folder.  Only one process may hold it; all calls come from one thread."""

    def __init__(self, data: Path) -> None:
        """Open or make the folder.  Raises FarplaneError when it cannot be used or another backend holds it."""
        try:
            (data / "jobs").mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(data / "lock")
            self._db = sqlite3.connect(data / "jobs.sqlite", isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except BlockingIOError as error:
            raise FarplaneError(
                "data", f"another backend is using {data}", "Stop it, or give this one another --data folder"
            ) from error
        except (OSError, sqlite3.Error) as error:
            raise FarplaneError("data", f"{data} cannot be used ({error})", "Give a --data folder of yours") from error
        self.data = data

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def folder(self, job: str) -> Path:
        """Where a job's files are.  job : checked by the codec, so it is a plain folder name."""
        return self.data / "jobs" / job

    def get(self, job: str) -> JobRow | None:
        rows = self._rows("WHERE id = ?", job)
        return rows[0] if rows else None

    def accept(self, job: str, owner: str, digest: str) -> None:
        """Put a job whose files are on disk at the queue's end."""
        self._db.execute(
            "INSERT INTO jobs (id, owner, digest, state, created) VALUES (?, ?, ?, 'queued', ?)",
            (job, owner, digest, time.time()),
        )

    def queued(self) -> list[str]:
        """Waiting jobs, the next one first."""
        return [row[0] for row in self._db.execute("SELECT id FROM jobs WHERE state = 'queued' ORDER BY seq")]

    def position(self, job: str) -> int:
        """Jobs ahead of this one, the running one included; 0 for a job that does not wait."""
        waiting = self.queued()
        if job not in waiting:
            return 0
        running = self._db.execute("SELECT COUNT(*) FROM jobs WHERE state IN ('running', 'cancelling')").fetchone()[0]
        return waiting.index(job) + running

    def start(self, job: str) -> int:
        """Mark a job as running; returns the attempt's number, from 1."""
        self._db.execute("UPDATE jobs SET state = 'running', attempt = attempt + 1 WHERE id = ?", (job,))
        return self._db.execute("SELECT attempt FROM jobs WHERE id = ?", (job,)).fetchone()[0]

    def set_cancelling(self, job: str) -> None:
        """Note the wish, so that it outlives the backend."""
        self._db.execute("UPDATE jobs SET state = 'cancelling' WHERE id = ? AND state = 'running'", (job,))

    def put_back(self, job: str) -> None:
        """The backend is being stopped in order: the running job waits again and this attempt does not count."""
        self._db.execute(
            "UPDATE jobs SET state = 'queued', attempt = attempt - 1 WHERE id = ? AND state = 'running'", (job,)
        )

    def end(self, job: str, state: str, fault: tuple[str, str, str] = ("", "", "")) -> None:
        """Close a job; its upload is deleted, its results stay."""
        self._db.execute(
            "UPDATE jobs SET state = ?, field = ?, problem = ?, remedy = ?, ended = ? WHERE id = ?",
            (state, *fault, time.time(), job),
        )
        (self.folder(job) / "input.bin").unlink(missing_ok=True)
        kept = {row[0] for row in self._db.execute("SELECT DISTINCT attempt FROM items WHERE job = ?", (job,))}
        for path in self.folder(job).glob("attempt-*"):
            if int(path.name.removeprefix("attempt-")) not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def add_item(self, job: str, attempt: int, info: ItemInfo) -> None:
        """Note a result that is on disk; a later attempt's replaces an earlier one's."""
        self._db.execute(
            "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?)",
            (job, json.dumps(info.item), info.size, info.sha256, attempt),
        )

    def items(self, job: str) -> list[ItemInfo]:
        """A job's results: frames in ascending order, then artifacts."""
        rows = self._db.execute("SELECT item, size, sha256 FROM items WHERE job = ?", (job,))
        infos = [ItemInfo(json.loads(item), size, sha256) for item, size, sha256 in rows]
        return sorted(infos, key=lambda info: (isinstance(info.item, str), info.item))

    def item(self, job: str, item: Item) -> tuple[Path, int] | None:
        """The file and size in bytes of a result, or None when there is none (any more)."""
        query = "SELECT size, attempt FROM items WHERE job = ? AND item = ?"
        row = self._db.execute(query, (job, json.dumps(item))).fetchone()
        if row is None:
            return None
        path = self.folder(job) / f"attempt-{row[1]}" / item_file(item)
        return (path, row[0]) if path.is_file() and path.stat().st_size == row[0] else None

    def waiting_of(self, owner: str) -> int:
        """How many of a client's jobs have not ended."""
        query = "SELECT COUNT(*) FROM jobs WHERE owner = ? AND state IN ('queued', 'running', 'cancelling')"
        return self._db.execute(query, (owner,)).fetchone()[0]

    def forget(self, job: str) -> None:
        """Delete an ended job and all its files."""
        self._db.execute("DELETE FROM items WHERE job = ?", (job,))
        self._db.execute("DELETE FROM jobs WHERE id = ?", (job,))
        shutil.rmtree(self.folder(job), ignore_errors=True)

    def forget_older(self, seconds: float) -> None:
        """Delete jobs that ended longer ago than that."""
        for (job,) in self._db.execute("SELECT id FROM jobs WHERE ended < ?", (time.time() - seconds,)).fetchall():
            self.forget(job)

    def recover(self) -> None:
        """After a start: queue what was running when the last backend fell, clear away what was never accepted."""
        for row in self._rows("WHERE state = 'cancelling'"):
            self.end(row.id, "cancelled")
        for row in self._rows("WHERE state = 'running'"):
            if row.attempt >= MAX_ATTEMPTS:
                problem = f"the backend stopped {row.attempt} times while rendering it"
                self.end(row.id, "failed", ("backend", problem, "Lower the resolution or render fewer frames"))
            else:
                self._db.execute("UPDATE jobs SET state = 'queued' WHERE id = ?", (row.id,))
        known = {row[0] for row in self._db.execute("SELECT id FROM jobs")}
        for folder in (self.data / "jobs").iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def _rows(self, where: str, *values: object) -> list[JobRow]:
        query = f"SELECT id, owner, digest, state, attempt, field, problem, remedy FROM jobs {where}"
        return [JobRow(*row[:5], fault=row[5:]) for row in self._db.execute(query, values).fetchall()]


def _lock(path: Path) -> int:
    """Hold a file until this process ends.  Raises BlockingIOError when another process does."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            try:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            except OSError as error:
                raise BlockingIOError(str(error)) from error
    except BaseException:
        os.close(handle)
        raise
    return handle
