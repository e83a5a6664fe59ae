"""Takes that were made before a file was first saved go along when it is saved: they then lie beside it.

Before the file is written they are put where they will belong (as hard links where the disk allows it, else copied),
and what is landed of them is pointed there, so that the written file is right.  Once it is known that the open file is
that file, the first ones go.  Where only a copy was saved the copy has takes of its own, and the open file keeps its.
Where it cannot be done (a full disk) the takes stay, stay in the list, and go along with the next save.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ...protocol.errors import FarplaneError
from .. import batch as batches
from .. import takes
from ..landing.plate import absolute
from ..landing.sequencer import strips_of
from . import batch, handlers, places
from .message import Message
from .session import session


@dataclass
class _Move:
    """What is under way between a save's beginning and its end.  moved : {a take's or batch's folder: its new one}."""

    target: Path
    file: Path
    homes: list[Path]
    moved: dict[Path, Path] = field(default_factory=dict)
    roots: dict[int, list[Path]] = field(default_factory=dict)  # of each scene, as they were
    records: list[tuple[Any, str]] = field(
        default_factory=list
    )  # what is written down of landings, and the folder there


_move: _Move | None = None
_startup: dict[int, dict[str, str]] = {}  # what a startup file must not hold, by scene, while it is written


@persistent
def _before(*arguments: Any) -> None:
    """A file is about to be written: its path, or nothing for the startup file."""
    global _move
    path = arguments[0] if arguments and isinstance(arguments[0], str) else ""
    if not path:
        _strip()
        return
    homes = places.homes()
    if not homes:
        return
    session.disk.flush()  # nothing is written into them now
    relative = next((s.farplane.folder for s in bpy.data.scenes if s.farplane.folder.startswith("//")), places.BESIDE)
    file = Path(path).absolute()
    move = _Move(Path(os.path.normpath(file.parent / relative[2:])), file, homes)
    try:
        for home in homes:
            _copy_home(home, move)
    except (OSError, shutil.Error, FarplaneError) as error:
        _discard(move.moved.values())
        told = error.problem if isinstance(error, FarplaneError) else str(error)
        problem = f"the takes made before the first save stay in {homes[0]} ({told})"
        session.message = Message.of(FarplaneError("output folder", problem, "Save again once there is room"))
        return
    move.records = _point(move.moved, file)
    for scene in bpy.data.scenes:
        kept = move.roots[scene.session_uid] = places.kept_roots(scene)
        if set(kept) & set(homes):
            places.write_roots(scene, [move.target if folder in homes else folder for folder in kept])
    _move = move


@persistent
def _after(*_: Any) -> None:
    """It is written: the open file is that file, or a copy was saved."""
    global _move
    _unstrip()
    move, _move = _move, None
    if move is None:
        return
    if bpy.data.filepath and Path(bpy.data.filepath).absolute() == move.file:
        _follow(move.moved)
        _discard(move.moved)
        for home in move.homes:
            _remove_empty(home)
    else:
        _undo(move)


@persistent
def _failed(*_: Any) -> None:
    """It could not be written."""
    global _move
    _unstrip()
    move, _move = _move, None
    if move is not None:
        _undo(move)
        _discard(move.moved.values())


# ---- on the disk --------------------------------------------------------------------------------------------


def _copy_home(home: Path, move: _Move) -> None:
    """Put all takes and batches of an unsaved file where they will belong.  Raises OSError, FarplaneError."""
    records: list[batches.Record] = []
    for shot in takes.children(home):
        for folder in [shot] if (shot / batches.RECORD).is_file() else takes.children(shot):
            parent = move.target if folder == shot else move.target / shot.name
            if (folder / batches.RECORD).is_file():
                records.append(batches.Record.open(folder))
            move.moved[folder] = _copy(folder, parent)
    for record in records:
        record.folder = move.moved[record.folder]
        for entry in record.entries:
            entry.take = move.moved.get(entry.take, entry.take)
        record.save()


def _copy(folder: Path, parent: Path) -> Path:
    """A folder once more in `parent`, under its own name or the next free number: whole or not at all."""
    parent.mkdir(parents=True, exist_ok=True)
    kind = folder.name.rpartition(" ")[0]
    place = parent / folder.name
    if os.path.lexists(place):
        free = {"variations": "variations", "storyboard": "storyboard"}.get(kind)
        place = takes.next_folder(parent) if free is None else batches.next_folder(parent, free)  # type: ignore[arg-type]
    scratch = parent / f".farplane-{uuid.uuid4().hex}"
    try:
        shutil.copytree(folder, scratch, symlinks=True, copy_function=_link)
        scratch.rename(place)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return place


def _link(source: str, target: str) -> None:
    """Files of ours are replaced and never written into, so two names of one file stay apart."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target, follow_symlinks=False)


def _discard(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_empty(home: Path) -> None:
    for folder in (*takes.children(home), home):
        try:
            folder.rmdir()
        except OSError:  # something of the artist's own lies there
            continue


# ---- in the file --------------------------------------------------------------------------------------------


def _point(moved: Mapping[Path, Path], file: Path) -> list[tuple[Any, str]]:
    """Point what is landed to the new folders; return the records of landings with the folders as they were.

    Blender makes absolute paths relative in a first save, if that is wanted.
    """
    before: list[tuple[Any, str]] = []
    for image in (*bpy.data.images, *bpy.data.movieclips):
        if (path := _new_place(image.filepath, moved)) is not None:
            image.filepath = str(path)
    for scene in bpy.data.scenes:
        for strip in strips_of(scene.sequence_editor) if scene.sequence_editor is not None else ():
            if (path := _new_place(getattr(strip, "directory", ""), moved)) is not None:
                strip.directory = f"{path}/"
        landed: Any = scene.get("farplane_landed") or {}
        for record in [landed[key] for key in landed.keys()]:  # noqa: SIM118  (an ID property group iterates in its own way)
            if (path := _new_place(record["folder"], moved)) is not None:
                before.append((record, record["folder"]))
                record["folder"] = _beside(path, file)
    return before


def _new_place(path: str, moved: Mapping[Path, Path]) -> Path | None:
    """The path under its new folder; None where it lies in none that moved."""
    if not path:
        return None
    here = absolute(path)
    found = next((old for old in moved if here.is_relative_to(old)), None)
    return None if found is None else moved[found] / here.relative_to(found)


def _beside(path: Path, file: Path) -> str:
    try:
        return "//" + Path(os.path.relpath(path, file.parent)).as_posix()
    except ValueError:  # another drive on Windows
        return str(path)


def _undo(move: _Move) -> None:
    """The open file keeps its takes where they were."""
    for record, folder in move.records:
        record["folder"] = folder
    _point({new: old for old, new in move.moved.items()}, move.file)
    for scene in bpy.data.scenes:
        if scene.session_uid in move.roots:
            places.write_roots(scene, move.roots[scene.session_uid])


def _follow(moved: Mapping[Path, Path]) -> None:
    """What is under way goes on in the new folders, and the list shows those."""
    for job in session.jobs.values():
        job.take.folder = moved.get(job.take.folder, job.take.folder)
        job.batch = str(moved.get(Path(job.batch), job.batch)) if job.batch else ""
    batch.follow(moved)
    view = bpy.context.window_manager.farplane
    view.compare = str(moved.get(Path(view.compare), view.compare)) if view.compare else ""
    for item in view.takes:
        item.name = item.folder = str(moved.get(Path(item.folder), item.folder))
    session.forget_list()
    for image in bpy.data.images:
        if any(absolute(image.filepath).is_relative_to(new) for new in moved.values() if image.filepath):
            image.reload()


def _strip() -> None:
    """A startup file is every new file's beginning: it has no takes."""
    for scene in bpy.data.scenes:
        _startup[scene.session_uid] = {key: scene[key] for key in (places.ROOTS, places.FOLDER) if key in scene}
        for key in _startup[scene.session_uid]:
            del scene[key]


def _unstrip() -> None:
    for scene in bpy.data.scenes:
        for key, value in _startup.pop(scene.session_uid, {}).items():
            scene[key] = value
    _startup.clear()


HANDLERS = {"save_pre": _before, "save_post": _after, "save_post_fail": _failed}


def register() -> None:
    """Be there when a file is saved."""
    handlers.add(HANDLERS)


def unregister() -> None:
    """No longer."""
    handlers.remove(HANDLERS)
