"""The folder a command writes to: checked before any work, as it was after a failure.  No bpy."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..protocol.errors import FarplaneError
from ..protocol.shot import Shot
from ..protocol.shotfile import base_colour_name, depth_name
from . import takes
from .base_colour import write_colours
from .exr import write_channel, write_rgb

# What we may have made in a folder of ours, and nothing else.
_OURS = re.compile(
    r"(plate|depth|reference)\.\d{4,7}\.exr|base_colour\.\d{4,7}\.png|(shot|take|report|batch)\.json|(report|contact)\.png|preview\.mp4"
    r"|\.farplane-(stage-)?[0-9a-f]{32}|\..+\.part"
)
_STAGE = ".farplane-stage-"


def reference_name(frame: int) -> str:
    """The file name of a frame of the scene's own render: ``reference.0012.exr``."""
    return f"reference.{frame:04d}.exr"


class OutputFolder:
    """An output folder, made if absent; when the work inside fails, what the work made in it is removed again.

    path : absolute; where a link to a folder is named, that folder, since a show's root often is one.
    for_shot : for `shot`, which replaces a shot only if it may.  Raises FarplaneError on entry for a link that leads
    nowhere, a folder that cannot be written or is full, or one that holds a plate while `overwrite` is off.
    """

    def __init__(self, path: Path, *, overwrite: bool = False, for_shot: bool = False) -> None:
        self.path = path.absolute()
        self._overwrite, self._for_shot = overwrite, for_shot
        self._made: list[Path] = []  # folders that were not there, innermost first
        self._before: dict[Path, set[str]] = {}
        self._kept: set[Path] = set()
        self._begun: list[Path] = []

    def __enter__(self) -> OutputFolder:
        self.path = _followed(self.path)
        chain = (self.path, *self.path.parents)
        self._made = [p for p in chain if not os.path.lexists(p)]
        try:
            _in_words(self.path, lambda: self.path.mkdir(parents=True, exist_ok=True))
            self._probe()
            for left in self.path.glob(f"{_STAGE}*"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            self._before[self.path] = set(os.listdir(self.path))
            self.refuse_plate(self.path)
            if self._for_shot and not self._overwrite and os.path.lexists(self.path / "shot.json"):
                raise FarplaneError(
                    "output folder", f"{self.path} already holds a shot", "Choose another folder, or add --overwrite"
                )
        except BaseException:
            self._remove_made()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for place in self._begun:
            self.drop(place)
        if kind is None:
            return
        for child in [p for p in self.path.iterdir() if p.is_dir() and not p.is_symlink()]:
            if child.name not in self._before[self.path] and child not in self._kept:
                self._remove_ours(child, set())
                with suppress(OSError):
                    child.rmdir()
        if self.path not in self._kept:
            self._remove_ours(self.path, self._before[self.path])
        self._remove_made()

    def begin(self, place: Path) -> None:
        """Say that something will be made in `place`, below or at this folder: what is not kept is dropped.

        Raises FarplaneError if it holds a plate that may not be overwritten.
        """
        self.refuse_plate(place)
        if place != self.path:
            self._before[place] = set(os.listdir(place)) if place.is_dir() else set()
            self._begun.append(place)

    def drop(self, place: Path) -> None:
        """Remove what was made in a place that was begun and not kept, and its folders if nothing else is in them."""
        if place in self._kept or not place.is_dir():
            return
        self._remove_ours(place, self._before[place])
        for folder in (place, *place.parents):
            if folder == self.path:
                break
            with suppress(OSError):
                folder.rmdir()

    def keep(self, path: Path | None = None) -> None:
        """What is in `path` (the folder itself when None) is whole: a later failure leaves it."""
        self._kept.add(path or self.path)

    def refuse_plate(self, folder: Path) -> None:
        """Raise FarplaneError if `folder` holds a plate, unless it may be overwritten."""
        if not self._overwrite and folder.is_dir() and takes.plate_frames(folder):
            raise FarplaneError(
                "output folder", f"{folder} already holds a plate", "Choose another folder, or add --overwrite"
            )

    def _probe(self) -> None:
        """Really write: permissions alone say nothing about read-only disks, quotas or a full disk."""
        probe = self.path / f".farplane-{uuid.uuid4().hex}"
        try:
            takes.write_atomic(probe, bytes(4096))
        finally:
            with suppress(OSError):
                probe.unlink()

    def _remove_ours(self, folder: Path, before: set[str]) -> None:
        for name in set(os.listdir(folder)) - before:
            if _OURS.fullmatch(name) is None:
                continue
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _remove_made(self) -> None:
        for path in self._made:
            with suppress(OSError):  # rmdir removes nothing that holds something
                path.rmdir()


def _followed(path: Path) -> Path:
    """The folder that a link leads to, or the path as it is.  Raises FarplaneError for a link to nothing or to itself."""
    if not path.is_symlink():
        return path
    real = Path(os.path.realpath(path))
    if not real.is_dir():
        raise FarplaneError("output folder", f"{path} is a link that leads to no folder", "Make the folder, or name it")
    return real


class StagedFiles:
    """Depth, base colours and reference files of shots, kept in a hidden folder until all of them are whole.

    depth : {frame: file name} of what was added, as shot.json names it.
    """

    def __init__(self, folder: Path) -> None:
        self.depth: dict[int, str] = {}
        self._shared: list[str] = []  # what `share_passes` gives another one
        self._folder = folder
        self._staging = folder / f"{_STAGE}{uuid.uuid4().hex}"

    def __enter__(self) -> StagedFiles:
        _in_words(self._folder, lambda: self._staging.mkdir(parents=True))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._staging, ignore_errors=True)

    def add_passes(self, shot: Shot) -> None:
        """Stage depth.####.exr of every frame: float32, one channel Z, inf where nothing is hit.

        And base_colour.####.png, where the shot tells them.
        """
        for index, frame in enumerate(shot.frames):
            self._write(depth_name(frame), write_channel(shot.depth.z[index], window=shot.screen_window(index)))
            self.depth[frame] = depth_name(frame)
            if shot.base_colour is not None:
                self._write(base_colour_name(frame), write_colours(shot.base_colour[index]))
                self._shared.append(base_colour_name(frame))
            self._shared.append(depth_name(frame))

    def add_reference(self, shot: Shot) -> None:
        """Stage reference.####.exr of every frame, where the shot has a reference: half RGB, scene-linear."""
        if shot.reference is not None:
            for index, frame in enumerate(shot.frames):
                self._write(reference_name(frame), write_rgb(shot.reference[index], shot.screen_window(index)))

    def share_passes(self, other: StagedFiles) -> None:
        """Stage the same depth and base colours as `other` has staged: the same files where the disk can, else copies."""
        self.depth, self._shared = dict(other.depth), list(other._shared)
        for name in self._shared:
            source, target = other._staging / name, self._staging / name
            try:
                os.link(source, target)
            except OSError:
                _in_words(self._folder, lambda source=source, target=target: shutil.copyfile(source, target))

    def commit(self, shot_json: dict[str, Any] | None = None) -> None:
        """Move the files into place, and write shot.json last."""
        for path in sorted(self._staging.iterdir()):
            _in_words(self._folder, lambda path=path: os.replace(path, self._folder / path.name))
        if shot_json is not None:
            text = json.dumps(shot_json, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
            takes.write_atomic(self._folder / "shot.json", text.encode())

    def _write(self, name: str, data: bytes) -> None:
        takes.write_atomic(self._staging / name, data)


def _in_words(path: Path, action: Callable[[], object]) -> None:
    """Do something with files; an OSError is told in the artist's words."""
    with takes.file_errors(path, "write"):
        action()
