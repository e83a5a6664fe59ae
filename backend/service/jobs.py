"""The queue on disk: one SQLite file that says which jobs there are, how far they are and what they made.

Durable by WAL with synchronous=FULL: what was said to a client is still true after a power cut.  States::

    queued -> running -> finished | failed | cancelled
    queued -> cancelled           running -> cancelling -> cancelled (or finished, when it was quicker)
    running -> queued             the backend fell or was stopped; at most MAX_ATTEMPTS runs
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ...protocol.errors import FarplaneError
from ...protocol.events import Item, ItemInfo
from . import folders, quarantine
from .spool import item_file

log = logging.getLogger("farplane.service")

MAX_ATTEMPTS = 3
ENDED = ("finished", "failed", "cancelled")
ENDED_FILE = "ended"  # in a job's folder while the queue's file does not know the end; its size says which of ENDED
COMPLAIN_SECONDS = 60.0
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
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, seq);
"""
_UNFINISHED = "('queued', 'running', 'cancelling')"


_OURS = re.compile(r"jobs|jobs\.sqlite(-\w+)?|lock|[\w.-]+\.log|quarantine")  # what a data folder holds
JOB_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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
            folders.make_folder(data / "jobs")
            self._lock = folders.lock(data / "lock")
            folders.tighten(data, lambda name: _OURS.fullmatch(name) is not None)
            self._aside = quarantine.Quarantine(data)
            self._new = not (data / "jobs.sqlite").exists()
            self._db = self._open(data / "jobs.sqlite")
        except BlockingIOError as error:
            raise FarplaneError(
                "data", f"another backend is using {data}", "Stop it, or give this one another --data folder"
            ) from error
        except (OSError, sqlite3.Error) as error:
            raise FarplaneError("data", f"{data} cannot be used ({error})", "Give a --data folder of yours") from error
        self.data = data
        self._unwritten: dict[str, tuple[str, tuple[str, str, str]]] = {}  # ends that the queue's file did not take
        self._complain_at = 0.0

    def _open(self, path: Path) -> sqlite3.Connection:
        """The queue's file; one that is damaged is set aside, and the queue begins anew."""
        try:
            return _open(path)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            log.error("%s is damaged (%s)", path, error)
            self._new = True
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                if (path.parent / name).exists():
                    self._aside.take(path.parent / name, "damaged-queue")
            return _open(path)

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
        rows = self._db.execute("SELECT id FROM jobs WHERE state = 'queued' ORDER BY seq")
        return [job for (job,) in rows if job not in self._unwritten]

    def position(self, job: str) -> int:
        """Jobs ahead of this one, the running one included; 0 for a job that does not wait."""
        row = self._db.execute("SELECT state, seq FROM jobs WHERE id = ?", (job,)).fetchone()
        if row is None or row[0] != "queued":
            return 0
        ahead = self._db.execute("SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND seq < ?", (row[1],))
        return ahead.fetchone()[0] + self.running()

    def running(self) -> int:
        """How many jobs have begun and not ended."""
        rows = self._db.execute("SELECT id FROM jobs WHERE state IN ('running', 'cancelling')")
        return sum(job not in self._unwritten for (job,) in rows)

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
        """Close a job; its upload is deleted, its results stay.

        A disk that is too full for the queue's file does not undo the end: it is known here, `settle` writes it as soon
        as there is room, and a file beside the job's own, which takes no room, says it to the next backend.
        """
        _mark_ended(self.folder(job), state)
        self._unwritten[job] = (state, fault)
        self.settle()

    def settle(self) -> bool:
        """Write the ends that the queue's file would not take.  False while it still does not."""
        for job, (state, fault) in list(self._unwritten.items()):
            try:
                self._write_end(job, state, fault)
            except sqlite3.Error as error:
                self.complain("the end of job %s is not in the queue's file yet: %s", job, error)
                return False
            del self._unwritten[job]
            try:
                self._tidy(job)
            except OSError as error:
                log.error("the folder of job %s: %s", job, error)
        return True

    def complain(self, words: str, *values: object) -> None:
        """Log what is wrong with the queue's file, once a minute."""
        if time.monotonic() >= self._complain_at:  # a full disk is met every second
            self._complain_at = time.monotonic() + COMPLAIN_SECONDS
            log.error(words, *values)

    def _write_end(self, job: str, state: str, fault: tuple[str, str, str]) -> None:
        self._db.execute(
            "UPDATE jobs SET state = ?, field = ?, problem = ?, remedy = ?, ended = ? WHERE id = ?",
            (state, *fault, time.time(), job),
        )

    def _tidy(self, job: str) -> None:
        """Delete what an ended job does not need."""
        for name in (ENDED_FILE, "input.bin"):
            (self.folder(job) / name).unlink(missing_ok=True)
        kept = {row[0] for row in self._db.execute("SELECT DISTINCT attempt FROM items WHERE job = ?", (job,))}
        for path in self.folder(job).glob("attempt-*"):
            if int(path.name.removeprefix("attempt-")) not in kept:
                shutil.rmtree(path, ignore_errors=True)
        if kept:
            self._record(job)

    def _record(self, job: str) -> None:
        """Keep an ended job's row beside its results, so that they outlive the queue's file."""
        query = "SELECT owner, digest, state, attempt, field, problem, remedy, created FROM jobs WHERE id = ?"
        owner, digest, state, attempt, *fault, created = self._db.execute(query, (job,)).fetchone()
        items = self._db.execute("SELECT item, size, sha256, attempt FROM items WHERE job = ?", (job,))
        row = {"owner": owner, "digest": digest, "state": state, "attempt": attempt, "fault": fault, "created": created}
        try:
            quarantine.write_record(
                self.folder(job), row | {"items": [[json.loads(item), *rest] for item, *rest in items]}
            )
        except OSError as error:  # the queue has it as well
            log.error("the record of job %s: %s", job, error)

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

    def unfinished(self) -> dict[str, str]:
        """The owners of all jobs that have not ended, by job."""
        rows = self._db.execute(f"SELECT id, owner FROM jobs WHERE state IN {_UNFINISHED}")
        return {job: owner for job, owner in rows if job not in self._unwritten}

    def forget(self, job: str) -> None:
        """Delete an ended job and all its files."""
        self._db.execute("DELETE FROM items WHERE job = ?", (job,))
        self._db.execute("DELETE FROM jobs WHERE id = ?", (job,))
        shutil.rmtree(self.folder(job), ignore_errors=True)

    def forget_older(self, seconds: float) -> None:
        """Forget jobs that ended longer ago than that.  Their results are set aside: the clock may be wrong."""
        for (job,) in self._db.execute("SELECT id FROM jobs WHERE ended < ?", (time.time() - seconds,)).fetchall():
            if any(self.folder(job).glob("attempt-*")):
                if quarantine.read_record(self.folder(job)) is None:
                    self._record(job)
                try:
                    self._aside.take(self.folder(job), "expired")
                except OSError as error:
                    log.error("job %s cannot be set aside and stays: %s", job, error)
                    continue
            self.forget(job)
        self._aside.age()

    def recover(self) -> None:
        """After a start: queue what was running when the last backend fell, take in ended jobs that the queue does not
        know but their folders do, set aside other results, clear away what was never accepted."""
        for row in self._rows("WHERE state = 'cancelling'"):
            self.end(row.id, "cancelled")
        for row in self._rows("WHERE state IN ('queued', 'running')"):
            if (state := _marked_ended(self.folder(row.id))) is not None:
                fault = ("backend", "its disk was full when the job failed, and the reason is lost", "Render it again")
                self.end(row.id, state, fault if state == "failed" else ("", "", ""))
            elif row.state == "queued":
                continue
            elif row.attempt >= MAX_ATTEMPTS:
                problem = f"the backend stopped {row.attempt} times while rendering it"
                self.end(row.id, "failed", ("backend", problem, "Lower the resolution or render fewer frames"))
            else:
                self._db.execute("UPDATE jobs SET state = 'queued' WHERE id = ?", (row.id,))
        known = {row[0] for row in self._db.execute("SELECT id FROM jobs")}
        for folder in sorted((self.data / "jobs").iterdir()):
            if folder.name not in known and not self._take_in(folder):
                self._clear(folder)

    def _take_in(self, folder: Path) -> bool:
        """Put an ended job back into the queue from its own record.  False when it has none."""
        record = quarantine.read_record(folder) if JOB_NAME.fullmatch(folder.name) else None
        if record is None:
            return False
        log.warning("job %s was not in the queue and is taken in from its folder", folder.name)
        self._db.execute(
            "INSERT INTO jobs (id, owner, digest, state, attempt, field, problem, remedy, created, ended)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                folder.name,
                *(record[name] for name in ("owner", "digest", "state", "attempt")),
                *record["fault"],
                record["created"],
                time.time(),  # its time begins anew: the clock may have been what was wrong
            ),
        )
        self._db.executemany(
            "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?)",
            [(folder.name, json.dumps(item), *rest) for item, *rest in record["items"]],
        )
        return True

    def _clear(self, folder: Path) -> None:
        """Delete what was never accepted.  Results, and whatever a lost queue may have accepted, are set aside."""
        if any(folder.glob("attempt-*")) or (self._new and (folder / "submit.json").exists()):
            try:
                self._aside.take(folder, "unknown")
            except OSError as error:
                log.error("%s cannot be set aside and stays: %s", folder, error)
        else:
            shutil.rmtree(folder, ignore_errors=True)

    def _rows(self, where: str, *values: object) -> list[JobRow]:
        query = f"SELECT id, owner, digest, state, attempt, field, problem, remedy FROM jobs {where}"
        rows = [JobRow(*row[:5], fault=row[5:]) for row in self._db.execute(query, values).fetchall()]
        ends = self._unwritten
        return [replace(row, state=ends[row.id][0], fault=ends[row.id][1]) if row.id in ends else row for row in rows]


def _mark_ended(folder: Path, state: str) -> None:
    """Turn a job's upload, which is not needed any more, into a file that says how it ended.  Takes no room."""
    with suppress(OSError):
        (folder / "input.bin").replace(folder / ENDED_FILE)
    with suppress(OSError):
        os.truncate(folder / ENDED_FILE, ENDED.index(state) + 1)


def _marked_ended(folder: Path) -> str | None:
    """What `_mark_ended` has said, None where it has not."""
    try:
        return ENDED[(folder / ENDED_FILE).stat().st_size - 1]
    except (OSError, IndexError):
        return None


def _open(path: Path) -> sqlite3.Connection:
    """Open or make the queue's file.  Raises OSError, sqlite3.Error; sqlite3.DatabaseError for a damaged one."""
    with folders.open_private(path, "ab"):  # SQLite gives its other two files the mode of this one
        pass
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        if (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)
        db.executescript(_SCHEMA)
        db.execute("SELECT id, owner, digest, state, attempt, field, created, ended FROM jobs LIMIT 1").fetchall()
        db.execute("SELECT job, item, size, sha256, attempt FROM items LIMIT 1").fetchall()
    except BaseException:
        db.close()
        raise
    return db


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is at fault, not the disk, its permissions or another program."""
    code = getattr(error, "sqlite_errorcode", None)  # None: found by quick_check
    return code is None or code & 0xFF in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
