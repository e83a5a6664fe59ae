"""`variations` and `storyboard`: many takes as one batch; what fails does not stop the others."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bpy

from ...protocol import codec
from ...protocol.errors import FarplaneError
from ...protocol.shot import Prompt, RenderSettings, Shot
from ...protocol.shotfile import shot_to_json
from .. import storyboard, takes
from ..batch import RECORD, Batch, Entry, Member, Record
from ..client import Client
from ..output import OutputFolder, StagedFiles
from ..reporting import Cancelled, Reporter, Stop
from ..scene import ShotPlan
from ..takes import Take
from ..variations import Grid, expand
from .choice import label
from .link import (
    CANCEL_SECONDS,
    Ended,
    Listener,
    check_model,
    check_upload,
    connect,
    draft,
    enquire,
    follow,
    must_look,
    takes_colours,
)
from .reading import check_room, extract, planned, say_what_is_read, scene_prompt, scene_settings, wants_colours
from .single import PARTLY, Copy, save_copy


def run_variations(
    scene: bpy.types.Scene, options: argparse.Namespace, folder: OutputFolder, report: Reporter, stop: Stop
) -> int:
    """`variations`: every combination of the prompt's alternatives, a sheet for every shot of the scene."""
    prompt = scene_prompt(scene, options)
    grid = expand(prompt.text)
    settings = scene_settings(scene, options)
    plans = planned(scene, options, report)
    roots = [folder.path if len(plans) == 1 else folder.path / _numbered(i, p.name) for i, p in enumerate(plans)]
    work = _Work(folder, report, stop, options.overwrite)
    for plan, root in zip(plans, roots, strict=True):
        record = Record(root, "variations", _title(prompt.text, plan, plans), grid.rows, grid.columns)
        work.begin(record, [_entry_of(root, index, grid) for index in range(len(grid.cells))])
    options.colours = wants_colours(scene, options)
    size = check_room(scene, plans, options, folder.path, takes=len(grid.cells))
    with work.connected(options, settings, [len(plan.frames) for plan in plans], size) as (batch, settings):
        for plan, record in zip(plans, work.records, strict=True):
            shot = extract(scene, plan, Prompt(grid.cells[0].text, prompt.negative), options, report, stop, work.listen)
            first: StagedFiles | None = None
            for index, (entry, cell) in enumerate(zip(record.entries, grid.cells, strict=True)):
                asked = replace(shot, prompt=Prompt(cell.text, prompt.negative))
                chosen = replace(settings, seed=settings.seed + index) if options.vary_seed else settings
                files = work.send(batch, entry, asked, chosen, plan, first)
                first = first or files
        work.follow()
    return work.conclude("variations", {"scene": label(scene)})


def run_storyboard(
    scene: bpy.types.Scene, options: argparse.Namespace, folder: OutputFolder, report: Reporter, stop: Stop
) -> int:
    """`storyboard`: a draft of every camera marker's shot, laid as an animatic into a copy of the scene."""
    prompt = scene_prompt(scene, options)
    shots = storyboard.board_shots(scene, prompt.text, options.frames)
    if options.prompt is not None:  # given on the command line: for all of them
        shots = tuple(replace(shot, prompt=prompt.text) for shot in shots)
    for shot in shots:
        try:
            Prompt(shot.prompt, prompt.negative).validate()
        except FarplaneError as error:
            raise FarplaneError("prompt", f"{error.problem} for {shot.marker}", error.remedy) from error
    say_what_is_read(scene, [shot.plan for shot in shots], options, report)
    settings = scene_settings(scene, options)
    options.draft = options.steps is None and not options.final
    work = _Work(folder, report, stop, options.overwrite)
    across = min(4, len(shots))
    title = Path(bpy.data.filepath).stem or scene.name
    record = Record(folder.path, "storyboard", title, ("",) * -(-len(shots) // across), ("",) * across)
    places = [folder.path / _numbered(index, shot.plan.name) for index, shot in enumerate(shots)]
    work.begin(
        record,
        [
            Entry(shot.plan.name, place, shot.prompt, *divmod(index, across), first=shot.plan.frames[0], stop=shot.stop)
            for index, (shot, place) in enumerate(zip(shots, places, strict=True))
        ],
    )
    options.colours = wants_colours(scene, options)
    size = check_room(scene, [shot.plan for shot in shots], options, folder.path)
    with work.connected(options, settings, [len(shot.plan.frames) for shot in shots], size) as (batch, settings):
        for one, entry in zip(shots, record.entries, strict=True):
            asked = Prompt(one.prompt, prompt.negative)
            try:
                shot = extract(scene, one.plan, asked, options, report, stop, work.listen)
            except Ended:
                raise
            except FarplaneError as error:  # nothing in view of this camera: the others go on
                work.failed(entry, error)
                continue
            work.send(batch, entry, shot, settings, one.plan, None)
        work.follow()
    frames = storyboard.frames_of(record)
    laid = Copy()

    def lay(copy: Copy) -> bool:
        storyboard.lay(scene, frames, uuid.uuid4().hex, title)
        return True

    if options.land and any(frame.take is not None for frame in frames):
        laid = save_copy(folder.path, "storyboard", lay)
    told = {"scene": label(scene), "blend": laid.path, "not_landed": laid.problems}
    return work.conclude("storyboard", told) or (PARTLY if laid.problems else 0)


@dataclass
class _Work:
    """One batch from its folders to its result.

    records : one per sheet.  Takes that were whole when it ended stay; nothing else does.
    """

    folder: OutputFolder
    report: Reporter
    stop: Stop
    overwrite: bool
    records: list[Record] = field(default_factory=list)
    _batch: Batch | None = None
    _listener: Listener | None = None
    _client: Client | None = None
    _members: dict[Path, Member] = field(default_factory=dict)
    _entries: dict[int, Entry] = field(default_factory=dict)  # by the member's identity
    _errors: list[FarplaneError] = field(default_factory=list)
    _staged: ExitStack = field(default_factory=ExitStack)

    def begin(self, record: Record, entries: list[Entry]) -> None:
        """Note what will be made.  Raises FarplaneError, before any work, where it would replace something."""
        if (record.folder / RECORD).exists() and not self.overwrite:
            problem = f"{record.folder} already holds a batch"
            raise FarplaneError("output folder", problem, "Choose another folder, or add --overwrite")
        self.folder.begin(record.folder)
        for entry in entries:
            self.folder.begin(entry.take)
        record.entries = entries
        self.records.append(record)

    @contextmanager
    def connected(
        self, options: argparse.Namespace, settings: RenderSettings, frames: Sequence[int], size: tuple[int, int]
    ) -> Iterator[tuple[Batch, RenderSettings]]:
        """A batch of shots of so many `frames` on the backend; on the way out, by an error too, all is stopped and what is whole is kept."""
        client = self._client = Client(options.backend, options.server_key, options.config)
        client.start()
        try:
            answer = connect(client, self.stop)
            check_model(answer, settings)
            options.colours = takes_colours(answer, options.colours, self.report)
            check_upload(answer, max(frames), size, reference=False, colours=options.colours)
            asked = codec.outline(
                "batch", max(frames), size, Prompt("any"), settings, reference=False, base_colour=options.colours
            )
            enquire(client, asked, must_look(options.backend, settings), self.report, self.stop)
            batch = self._batch = Batch(client, self._tell)
            self._listener = Listener(client, batch.receive, self.report)
            with self._staged:
                try:
                    yield batch, draft(answer, settings) if options.draft else settings
                except BaseException as error:
                    if isinstance(error, Ended):
                        batch.abandon()
                    else:
                        self._stop_all(batch)
                    self._settle()
                    raise
                self._settle()
        finally:
            client.close()

    def listen(self) -> None:
        """Take what has come while the scene is read."""
        assert self._listener is not None
        self._listener.listen()

    def send(
        self,
        batch: Batch,
        entry: Entry,
        shot: Shot,
        settings: RenderSettings,
        plan: ShotPlan,
        same: StagedFiles | None,
    ) -> StagedFiles:
        """Open the entry's take and send its shot; return its staged files, whose depth others may share."""
        files = self._staged.enter_context(StagedFiles(entry.take))
        if same is None:
            files.add_passes(shot)
        else:
            files.share_passes(same)
        data = shot_to_json(shot, files.depth, plan.camera, settings)
        take = Take.create(entry.take, data, overwrite=self.overwrite)
        member = batch.add(entry.name, take, shot, settings, files.commit)
        self._members[entry.take] = member
        self._entries[id(member)] = entry
        return files

    def follow(self) -> None:
        """Wait for everything.  Raises Cancelled, or Ended when the connection stays away."""
        batch, client = self._batch, self._client
        assert batch is not None
        assert client is not None
        follow(client, batch.receive, lambda: batch.ended, self.report, self.stop)

    def failed(self, entry: Entry, error: FarplaneError) -> None:
        """Note and tell that one of them has failed."""
        entry.problem = f"{error.field.capitalize()}: {error.problem}"
        self._errors.append(error)
        self.report("failed", name=entry.name, field=error.field, problem=error.problem, remedy=error.remedy)

    def conclude(self, command: str, more: dict[str, Any]) -> int:
        """Tell the result and return the exit code.  Raises the first error when nothing came of it."""
        entries = [entry for record in self.records for entry in record.entries]
        if not any(entry.whole for entry in entries) and self._errors:
            raise self._errors[0]
        sheets = [str(record.folder / "contact.png") for record in self.records if (record.folder / RECORD).exists()]
        told = [self._told(entry) for entry in entries]
        self.folder.keep()
        self.report("result", command=command, folder=str(self.folder.path), contact=sheets, takes=told, **more)
        return PARTLY if self._errors else 0

    def _told(self, entry: Entry) -> dict[str, Any]:
        member = self._members.get(entry.take)
        state = member.state if member is not None else "failed"
        job = member.job if member is not None else ""
        folder = str(entry.take) if state == "done" else None
        problem = {"problem": entry.problem} if entry.problem else {}
        return {"name": entry.name, "state": state, "folder": folder, "prompt": entry.prompt, "job": job, **problem}

    def _tell(self, member: Member) -> None:
        entry = self._entries[id(member)]
        if member.state == "done":
            self.folder.keep(entry.take)
            batch = self._batch
            assert batch is not None
            done, total = batch.count("done"), sum(len(record.entries) for record in self.records)
            self.report("done", name=member.name, folder=str(entry.take), step=done, total=total)
        elif member.problem is not None:
            self.failed(entry, member.problem)
        elif member.stage and not member.ended:
            self.report("progress", name=member.name, stage=member.stage, step=member.step, total=member.total)

    def _stop_all(self, batch: Batch) -> None:
        """Stop what runs and wait until the backend says so, or cannot say anything any more."""
        batch.cancel()
        assert self._client is not None
        try:
            follow(self._client, batch.receive, lambda: batch.ended, self.report, Stop(CANCEL_SECONDS))
        except (Cancelled, FarplaneError):
            batch.abandon()

    def _settle(self) -> None:
        """Write records and sheets of what is whole; drop the rest."""
        for record in self.records:
            for entry in record.entries:
                member = self._members.get(entry.take)
                if member is None or member.state != "done":
                    entry.problem = entry.problem or "Cancelled"
                    self.folder.drop(entry.take)
            if any(entry.whole for entry in record.entries):
                record.ended = True
                record.save()
                record.write_sheet()
                self.folder.keep(record.folder)


def _entry_of(root: Path, index: int, grid: Grid) -> Entry:
    cell = grid.cells[index]
    words = " - ".join(word for word in cell.words if word)
    return Entry(cell.name, root / _numbered(index, words or "plain"), cell.text, cell.row, cell.column)


def _numbered(index: int, name: str) -> str:
    """A folder's name that sorts as the batch does; two shots whose names a file system confuses stay two."""
    return f"{index + 1:02d} {takes.folder_name(name)}"


def _title(prompt: str, plan: ShotPlan, plans: tuple[ShotPlan, ...]) -> str:
    return prompt if len(plans) == 1 else f"{plan.name}: {prompt}"
