"""Variations and the storyboard in the window: many takes asked for with one click, followed and cancelled as one.

A batch's takes are ordinary takes of their shots.  What makes them one lies beside them, in ``variations 001`` or
``storyboard 001``: which they are, and when all have ended the contact sheet.  Whether they have ended is read from
the takes, so a batch that was under way when Blender closed is finished by the next one (resume.py follows its jobs).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bpy

from ...protocol.errors import FarplaneError
from ...protocol.shot import Prompt
from .. import batch, storyboard
from ..batch import Entry, Record, records_in
from ..passes import is_rendering
from ..scene import ShotPlan
from ..variations import expand
from .generate import Ask, Generation, current_plan, find_scene, panel_prompt, panel_settings
from .message import Message
from .places import root, shot_folder
from .session import Job, session
from .translations import say
from .view import show_in_sequencer

_active: dict[Path, Run] = {}
_to_lay: list[tuple[int, Record]] = []  # a scene's session_uid, and the storyboard that is laid into it


@dataclass
class Part:
    """One shot that is read for a batch, and the entries of the record that its jobs become."""

    plan: ShotPlan
    asks: list[Ask]
    entries: list[Entry]


class Run:
    """A batch from its first shot to its sheet; `step`, `stage`, `done`, `total`, `waits`, `gives_way` and `close` as a Generation's.

    record : what lies on the disk.  jobs : the UUIDs that were sent and have not ended.
    """

    def __init__(self, scene: bpy.types.Scene, record: Record, parts: Sequence[Part], *, draft: bool) -> None:
        """Begin with the first shot.  Raises FarplaneError before any work."""
        self.record = record
        self.jobs: set[str] = set()
        self.sent = False  # every shot has been read
        self.scene_uid = scene.session_uid
        self._parts, self._at, self._draft = list(parts), 0, draft
        self._generation = self._begin(scene)
        _active[record.folder] = self

    def _begin(self, scene: bpy.types.Scene) -> Generation:
        part = self._parts[self._at]
        generation = Generation(scene, plan=part.plan, asks=part.asks, batch=str(self.record.folder))
        generation._is_draft = self._draft
        return generation

    @property
    def stage(self) -> str:
        """The stage of the step that comes next."""
        return self._generation.stage

    @property
    def waits(self) -> bool:
        """Whether the next step only looks whether somebody else is done."""
        return self._generation.waits

    @property
    def gives_way(self) -> bool:
        """Whether a render of the artist's goes first just now."""
        return self._generation.gives_way

    @property
    def done(self) -> int:
        """Frames of this stage that are finished."""
        return self._generation.done

    @property
    def total(self) -> int:
        """Frames of this stage."""
        return self._generation.total

    @property
    def reading(self) -> Generation:
        """The shot that is read just now."""
        return self._generation

    @property
    def unsent(self) -> list[int]:
        """How many takes each shot will become that was not sent yet."""
        return [len(part.asks) for part in self._parts[self._at :]]

    def step(self) -> bool:
        """Do the next frame; return True once every shot is sent.  Raises FarplaneError."""
        part = self._parts[self._at]
        try:
            if not self._generation.step():
                return False
            for entry, job in zip(part.entries, self._generation.jobs, strict=True):
                entry.take = job.take.folder
                self.jobs.add(job.id)
        except FarplaneError as error:
            of_this_shot = self._generation.stage not in ("connect", "enquire") or error.field in ("camera", "frames")
            if not of_this_shot or len(self._parts) == 1:
                raise
            for entry in part.entries:  # its camera is gone or sees nothing, or it is too long: the others go on
                entry.problem = Message.of(error).text
        self._generation.close()
        self._at += 1
        if self._at < len(self._parts):
            scene = find_scene(self.scene_uid)
            if scene is None:
                raise FarplaneError("scene", "it is gone", "Start again")
            self._generation = self._begin(scene)
            return False
        self.sent = True
        session.disk.do(self._save)
        if not self.jobs:
            _settle(self)
        return True

    def _save(self) -> None:
        self.record.folder.mkdir(parents=True, exist_ok=True)
        self.record.save()

    def close(self) -> None:
        """Remove what reading has made.  Before all was sent this gives the batch up, with all that it has sent."""
        self._generation.close()
        if not self.sent:
            self.sent = True
            for part in self._parts[self._at :]:
                for entry in part.entries:
                    entry.problem = entry.problem or say("Cancelled")
            self.cancel()
            if self.jobs:
                session.disk.do(self._save)
            else:
                _active.pop(self.record.folder, None)

    def cancel(self) -> None:
        """Stop every job of the batch, the last one first, so that none moves up."""
        for job in reversed([job for job in session.jobs if job in self.jobs]):
            session.cancel(job)

    @property
    def finished(self) -> int:
        """Entries of which nothing more comes."""
        return len(self.record.entries) - len(self.jobs) - sum(len(p.entries) for p in self._parts[self._at :])

    def run(self) -> None:
        """All steps, one after the other: for background mode and scripts.  Raises FarplaneError."""
        try:
            while not self.step():
                if self.waits:
                    time.sleep(0.01)
        finally:
            self.close()


def begin_variations(scene: bpy.types.Scene) -> Run:
    """A take for every combination of the alternatives in the panel's prompt.  Raises FarplaneError."""
    prompt, settings, plan = panel_prompt(scene), panel_settings(scene), current_plan(scene)
    grid = expand(scene.farplane.prompt.strip())
    folder = batch.next_folder(shot_folder(scene, plan.name), "variations")
    vary = scene.farplane.vary_seed
    asks: list[Ask] = []
    for index, cell in enumerate(grid.cells):
        asks.append((Prompt(cell.text, prompt.negative), replace(settings, seed=settings.seed + index * vary)))
    entries = [Entry(cell.name, folder, cell.text, cell.row, cell.column) for cell in grid.cells]
    record = Record(folder, "variations", scene.farplane.prompt.strip(), grid.rows, grid.columns, entries)
    return Run(scene, record, [Part(plan, asks, entries)], draft=scene.farplane.quality == "DRAFT")


def begin_storyboard(scene: bpy.types.Scene) -> Run:
    """A draft of the shot of every camera marker.  Raises FarplaneError, for a shot without a prompt too."""
    prompt, settings = panel_prompt(scene), panel_settings(scene)
    shots = storyboard.board_shots(scene, prompt.text)
    folder = batch.next_folder(root(scene), "storyboard")
    across = min(4, len(shots))
    parts = []
    for index, shot in enumerate(shots):
        if not shot.prompt.strip():
            raise FarplaneError("prompt", f"{shot.marker} has none", "Write one for the scene, or for this marker")
        row, column = divmod(index, across)
        entry = Entry(shot.plan.name, folder, shot.prompt, row, column, first=shot.plan.frames[0], stop=shot.stop)
        parts.append(Part(shot.plan, [(Prompt(shot.prompt, prompt.negative), settings)], [entry]))
    entries = [entry for part in parts for entry in part.entries]
    rows = -(-len(shots) // across)
    record = Record(folder, "storyboard", folder.name, ("",) * rows, ("",) * across, entries)
    return Run(scene, record, parts, draft=True)


def active(kind: str) -> list[Run]:
    """The batches of a kind that are under way."""
    return [run for run in _active.values() if run.record.kind == kind]


# ---- how they end -------------------------------------------------------------------------------------------


def when_ended(job: Job) -> None:
    """One of the session's jobs is over: its batch may be over with it."""
    run = _active.get(Path(job.batch)) if job.batch else None
    if run is not None:
        run.jobs.discard(job.id)
        if job.outcome != "finished":
            for entry in run.record.entries:
                if entry.take == job.take.folder:
                    entry.problem = session.message.text if session.message is not None else say("Cancelled")
        if run.sent and not run.jobs:
            _settle(run)
    else:  # perhaps followed again after Blender was closed: only the disk knows its batch
        session.disk.do(lambda: _settle_on_disk(job.take.folder), _settled_on_disk)


def _settle(run: Run) -> None:
    """Write the sheet in the disk's thread, then lay the storyboard."""

    def then(told: Any) -> None:
        _active.pop(run.record.folder, None)
        if isinstance(told, FarplaneError):
            session.message = Message.of(told)
        else:
            _conclude(run.record, find_scene(run.scene_uid))

    session.disk.do(run.record.settle, then)


def _settle_on_disk(take: Path) -> Record | None:
    """The record that a take belongs to, if that was the last of it.  In the disk's thread."""
    for parent in (take.parent, take.parent.parent):
        for record in records_in(parent):
            if not record.ended and any(entry.take == take for entry in record.entries) and record.settle():
                return record
    return None


def _settled_on_disk(told: Any) -> None:
    if isinstance(told, FarplaneError):
        session.message = Message.of(told)
    elif told is not None:
        _conclude(told, bpy.context.scene)


def _conclude(record: Record, scene: Any) -> None:
    """Tell how a batch ended; a storyboard is laid into the scene it was asked for in, while that is open."""
    whole, total = sum(entry.whole for entry in record.entries), len(record.entries)
    remedy = say("Look at the contact sheet") if whole else say("Look at what went wrong, and try again")
    session.message = Message(say("{} of {} takes are here", whole, total), remedy, not whole)
    session.notices.append(session.message)
    if record.kind == "storyboard" and whole and scene is not None:
        _to_lay.append((scene.session_uid, record))
        lay_waiting()


def lay_waiting() -> bool:
    """Lay the storyboards that are whole, unless the artist renders: their sequencer may be what is rendered.  The timer calls
    it.  Returns whether there was one."""
    if not _to_lay or is_rendering():
        return False
    for uid, record in _to_lay:
        scene = find_scene(uid)
        try:
            if scene is not None:
                lay(scene, record)
        except FarplaneError as error:
            session.message = Message.of(error)
    _to_lay.clear()
    return True


def lay(scene: bpy.types.Scene, record: Record) -> None:
    """Lay a storyboard into the sequencer, as a step that can be undone.  Raises FarplaneError."""
    storyboard.lay(scene, storyboard.frames_of(record), uuid.uuid4().hex, record.folder.name)
    show_in_sequencer(scene)
    if not bpy.app.background and bpy.ops.ed.undo_push.poll():
        bpy.ops.ed.undo_push(message=say("Lay Storyboard"))


# ---- what there is ------------------------------------------------------------------------------------------

_listed: dict[Path, list[Record]] = {}  # by the folder that was looked in


def latest(parent: Path, kind: str) -> Record | None:
    """The newest batch in a folder that has ended, as far as the disk's thread has looked."""
    return next((record for record in _listed.get(parent, ()) if record.kind == kind and record.ended), None)


def look(parents: Sequence[Path], redraw: Callable[[], object]) -> None:
    """Read which batches there are, in the disk's thread."""

    def show(told: Any) -> None:
        if isinstance(told, dict):
            _listed.update(told)
            redraw()

    session.disk.do(lambda: {parent: records_in(parent) for parent in parents}, show)


def follow(moved: Mapping[Path, Path]) -> None:
    """Takes and batches lie elsewhere now (carrying.py): {old folder: new one}."""
    for old, run in list(_active.items()):
        for entry in run.record.entries:
            entry.take = moved.get(entry.take, entry.take)
        if old in moved:
            run.record.folder = moved[old]
            _active[moved[old]] = _active.pop(old)
    _listed.clear()


def forget_all() -> None:
    """The add-on is going."""
    _active.clear()
    _to_lay.clear()
    _listed.clear()
