"""Several takes that were asked for together: sent, told and cancelled as one, and one sheet of all.  No bpy.

`Record` is what lies on the disk, ``batch.json`` beside the sheet: which takes belong together and what each is
called.  How far they are is read from the takes themselves, so a record is good in a Blender that was opened later.
`Batch` is the jobs while they run, through one client.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..protocol import events
from ..protocol.errors import FarplaneError
from ..protocol.events import Event
from ..protocol.shot import RenderSettings, Shot
from . import contact, takes
from .client import Client
from .contact import Tile
from .exr import read_rgb
from .takes import Take

Kind = Literal["variations", "storyboard"]
State = Literal["waiting", "queued", "running", "done", "failed", "cancelled"]

RECORD, SHEET = "batch.json", "contact.png"
MAX_QUEUED = 64  # jobs of one batch on the backend at a time; it takes 100 of a client
MAX_MEMBERS = 1024


# -- on the disk ------------------------------------------------------------------------------------------------------


@dataclass
class Entry:
    """One take of a batch.

    name : the chosen words, or the shot's name.  take : its folder.  row, column : its place on the sheet.
    problem : why there is no plate, once that is known.
    first, stop : of a storyboard's shot, its first frame and the one after its last.
    """

    name: str
    take: Path
    prompt: str
    row: int = 0
    column: int = 0
    problem: str = ""
    first: int = 0
    stop: int = 0

    @property
    def open(self) -> bool:
        """Whether something may still come."""
        if self.problem:
            return False
        with suppress(FarplaneError):
            take = Take.open(self.take)
            return not (take.whole or take.ended)
        return False

    @property
    def whole(self) -> bool:
        """Whether its plate is there."""
        with suppress(FarplaneError):
            return not self.problem and Take.open(self.take).whole
        return False


@dataclass
class Record:
    """What belongs together.

    folder : where batch.json and the sheet lie.  title : the prompt as it was written, or the scene's name.
    rows, columns : names on the sheet, empty texts for none.  ended : nothing is under way any more.
    """

    folder: Path
    kind: Kind
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    entries: list[Entry] = field(default_factory=list)
    ended: bool = False

    @staticmethod
    def open(folder: Path) -> Record:
        """Read the record in `folder`.  Raises FarplaneError if there is none or it is damaged."""
        raw = takes.read_json(folder / RECORD)
        try:
            kind: Kind = "storyboard" if raw["kind"] == "storyboard" else "variations"
            entries = [_entry(folder, one) for one in raw["takes"][:MAX_MEMBERS]]
            rows, columns = (tuple(str(name) for name in raw[key])[:MAX_MEMBERS] for key in ("rows", "columns"))
            return Record(folder, kind, str(raw["title"]), rows, columns, entries, bool(raw.get("ended")))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FarplaneError("batch", f"{folder / RECORD} is damaged", "Render the variations again") from error

    def save(self) -> None:
        """Write batch.json; paths are relative to it.  Raises FarplaneError."""
        told = [
            {
                "name": one.name,
                "take": Path(os.path.relpath(one.take, self.folder)).as_posix(),
                "prompt": one.prompt,
                "row": one.row,
                "column": one.column,
                "problem": one.problem,
                "frames": [one.first, one.stop],
            }
            for one in self.entries
        ]
        value: dict[str, Any] = {"version": 1, "kind": self.kind, "title": self.title, "ended": self.ended}
        value |= {"rows": list(self.rows), "columns": list(self.columns), "takes": told}
        text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
        takes.write_atomic(self.folder / RECORD, text.encode())

    def settle(self) -> bool:
        """Once nothing is under way any more: note that, and make the sheet if there is a plate.  Returns whether.

        For another thread than Blender's main one, as `write_sheet`.  Raises FarplaneError.
        """
        if any(one.open for one in self.entries):
            self.save()
            return False
        for one in self.entries:
            if not one.whole:
                one.problem = one.problem or "Not finished"
        self.ended = True
        if any(one.whole for one in self.entries):
            self.write_sheet()
        self.save()
        return True

    def write_sheet(self) -> Path:
        """Make the contact sheet from the takes as they lie there now, and return its path.  Raises FarplaneError.

        Takes a second for dozens of takes: not for Blender's main thread.
        """
        tiles: list[list[Tile]] = [[] for _ in self.rows]
        for one in sorted(self.entries, key=lambda one: (one.row, one.column)):
            line = tiles[min(one.row, len(tiles) - 1)]
            line += [Tile(None)] * (one.column - len(line))
            line.append(self._tile(one))
        path = self.folder / SHEET
        takes.write_atomic(path, contact.png(contact.sheet(self.title, self.rows, self.columns, tiles)))
        return path

    def _tile(self, one: Entry) -> Tile:
        caption = one.take.name if self.kind == "variations" else f"{one.name}: {one.prompt}"
        if not one.whole:
            return Tile(None, caption, one.problem or "Not finished")
        try:
            files = list(takes.plate_frames(one.take).values())
            return Tile(contact.thumbnail(read_rgb(files[len(files) // 2])), caption)
        except (FarplaneError, IndexError) as error:
            return Tile(None, caption, str(error))


def _entry(folder: Path, raw: dict[str, Any]) -> Entry:
    row, column = int(raw["row"]), int(raw["column"])
    if not (0 <= row < MAX_MEMBERS and 0 <= column < MAX_MEMBERS):
        raise ValueError("a place is out of range")
    take = Path(os.path.normpath(folder / str(raw["take"])))
    first, stop = (int(number) for number in raw["frames"])
    return Entry(str(raw["name"]), take, str(raw["prompt"]), row, column, str(raw.get("problem", "")), first, stop)


def records_in(folder: Path) -> list[Record]:
    """The records in the folders of `folder`, newest first."""
    found = []
    for path in takes.children(folder):
        with suppress(FarplaneError, OSError):
            found.append(((path / RECORD).stat().st_mtime, Record.open(path)))
    return [record for _, record in sorted(found, key=lambda pair: pair[0], reverse=True)]


def next_folder(parent: Path, kind: Kind) -> Path:
    """The first of ``variations 001``, ``variations 002`` … (or ``storyboard …``) that is free in `parent`."""
    numbers = [p.name[len(kind) + 1 :] for p in takes.children(parent) if p.name.startswith(f"{kind} ")]
    return parent / f"{kind} {1 + max((int(n) for n in numbers if n.isdecimal()), default=0):03d}"


# -- while it runs ----------------------------------------------------------------------------------------------------


@dataclass
class Member:
    """One job of a batch.

    keep : called when all its frames are here, before the take is declared whole.  problem : why it failed.
    step of total in stage : how far it is.
    """

    name: str
    take: Take
    keep: Callable[[], object]
    job: str = ""
    state: State = "waiting"
    problem: FarplaneError | None = None
    stage: str = ""
    step: int = 0
    total: int = 0
    unsent: tuple[Shot, RenderSettings] | None = field(default=None, repr=False)

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.state in ("done", "failed", "cancelled")


class Batch:
    """Jobs that belong together, through one client that the caller polls.

    members : in the order they were added.  One that fails does not stop the others.
    tell : called with a member after each of its events.
    """

    def __init__(self, client: Client, tell: Callable[[Member], object] = lambda member: None) -> None:
        self.members: list[Member] = []
        self.cancelling = False
        self._client, self._tell = client, tell
        self._by_job: dict[str, Member] = {}
        self._waiting: deque[Member] = deque()

    def add(
        self, name: str, take: Take, shot: Shot, settings: RenderSettings, keep: Callable[[], object] = lambda: None
    ) -> Member:
        """Send a shot whose take is open, now or when the queue has room."""
        member = Member(name, take, keep, unsent=(shot, settings))
        self.members.append(member)
        self._waiting.append(member)
        self._send()
        return member

    def receive(self, event: Event) -> None:
        """Take one of the client's events; those of other jobs and of the connection are passed over."""
        member = self._by_job.get(getattr(event, "job", ""))
        if member is None or member.ended:
            return
        try:
            self._about(member, event)
        except FarplaneError as error:  # a damaged frame, a full disk: this job is over
            self._client.cancel(member.job)
            self._end(member, "failed", error)
        self._tell(member)
        self._send()

    def cancel(self) -> None:
        """Ask for everything that has not ended to be stopped: last come, first stopped, so that nothing moves up."""
        self.cancelling = True
        while self._waiting:
            member = self._waiting.pop()
            self._end(member, "cancelled")
            self._tell(member)
        for member in reversed(self.members):
            if not member.ended:
                self._client.cancel(member.job)

    def abandon(self) -> None:
        """Give up what has not ended: the backend cannot be reached any more."""
        for member in self.members:
            if not member.ended:
                self._end(member, "cancelled")

    @property
    def ended(self) -> bool:
        """Whether nothing is under way."""
        return all(member.ended for member in self.members)

    def count(self, *states: State) -> int:
        """How many members are in one of `states`."""
        return sum(member.state in states for member in self.members)

    def _send(self) -> None:
        while self._waiting and self.count("queued", "running") < MAX_QUEUED:
            member = self._waiting.popleft()
            assert member.unsent is not None
            member.job = member.take.job = self._client.submit(*member.unsent)
            member.take.save()
            member.state = "queued"
            self._by_job[member.job] = member

    def _about(self, member: Member, event: Event) -> None:
        match event:
            case events.Uploading():
                member.stage, member.step, member.total = "upload", event.sent, event.total
            case events.Accepted():
                member.unsent = None  # the depth of dozens of shots is not kept for nothing
            case events.Progress():
                member.state = "running"
                member.stage, member.step, member.total = event.stage, event.step, event.total
            case events.FrameReady():
                member.take.write_frame(event.frame, event.exr, event.sha256)
            case events.ArtifactReady():
                member.take.write_artifact(event.name, event.data, event.sha256)
            case events.Finished():
                member.keep()
                member.take.finish()
                self._end(member, "done")
                self._client.forget(member.job)
            case events.Failed():
                self._end(member, "failed", FarplaneError(event.field, event.problem, event.remedy))
            case events.Cancelled() if self.cancelling:
                self._end(member, "cancelled")
                self._client.forget(member.job)
            case events.Cancelled():
                error = FarplaneError("job", "it was cancelled on the backend", "Render it again")
                self._end(member, "failed", error)

    def _end(self, member: Member, state: State, problem: FarplaneError | None = None) -> None:
        member.state, member.problem, member.unsent = state, problem, None
        if state != "done":
            member.take.abandon()
