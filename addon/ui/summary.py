"""A take in the few words that a list has room for, read once from its files.  No bpy."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...protocol.errors import FarplaneError
from .. import takes
from ..takes import Take

Stamp = tuple[int, int]
NOTES = 4
MAX_LISTED = 500  # takes of one shot that a list shows


@dataclass(frozen=True)
class Summary:
    """What was asked for and what came of it.

    size : (W, H) pixels, (0, 0) when unknown.  steps : as asked for, 0 is the model's own number.
    lock, lock_95 : camera lock from each frame to the next, median and 95th percentile in pixels; None when it was
        not measured, and then `unmeasured` says why.
    picture : a small PNG, or None.
    """

    prompt: str = ""
    negative: str = ""
    colours: bool = False  # base colours were sent
    sun: bool = False  # where the sun lamp stands was sent
    model: str = ""
    seed: int = 0
    steps: int = 0
    size: tuple[int, int] = (0, 0)
    lock: float | None = None
    lock_95: float | None = None
    unmeasured: str = ""
    notes: tuple[str, ...] = ()
    picture: Path | None = None

    @staticmethod
    def read(take: Take) -> Summary:
        """Read shot.json and report.json of `take`; whatever is missing or broken stays at its default."""
        shot = _json(take.folder / "shot.json")
        settings = _dict(shot, "settings")
        report = _json(take.folder / "report.json")
        lock = _first_lock(report)
        pictures = (take.folder / name for name in (takes.THUMBNAIL, "contact.png"))
        return Summary(
            prompt=_text(shot, "prompt"),
            negative=_text(shot, "negative"),
            colours=_told(shot, "base_colour"),
            sun=_told(shot, "sun"),
            model=_text(settings, "model"),
            seed=_whole(settings.get("seed")),
            steps=_whole(settings.get("steps")),
            size=_size(shot.get("resolution")),
            lock=_number(lock.get("median")),
            lock_95=_number(lock.get("p95")),
            unmeasured=_text(lock, "reason"),
            notes=(*_texts(shot, "notes"), *_texts(report, "notes"))[:NOTES],
            picture=next((path for path in pictures if path.is_file() and not path.is_symlink()), None),
        )


def _told(shot: dict[str, Any], name: str) -> bool:
    """Whether the shot's frames have an optional part."""
    frames = shot.get("frames")
    return isinstance(frames, list) and any(isinstance(frame, dict) and name in frame for frame in frames)


@dataclass(frozen=True)
class Listed:
    """One take of a list."""

    take: Take
    summary: Summary


class Shelf:
    """Reads the takes of shots; what did not change on the disk since is not read again."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Stamp, Listed]] = {}
        self._lock = threading.Lock()

    def read(self, *shot_folders: Path) -> list[Listed]:
        """Return the takes in `shot_folders`, newest first.  From any thread."""
        with self._lock:
            listed = [item for folder in shot_folders for item in self._read(folder)]
        listed.sort(key=lambda item: (item.take.created, item.take.name), reverse=True)
        return listed[:MAX_LISTED]

    def shots(self, *roots: Path) -> tuple[tuple[str, int], ...]:
        """Return the names of the shots under `roots` that have takes, each with how many.  From any thread."""
        counts: dict[str, int] = {}
        for shot in (shot for root in roots for shot in takes.children(root)):
            found = sum((folder / "take.json").is_file() for folder in takes.children(shot))
            if found:
                counts[shot.name] = counts.get(shot.name, 0) + found
        return tuple(sorted(counts.items()))

    def _read(self, shot_folder: Path) -> list[Listed]:
        listed = []
        for folder in takes.children(shot_folder):
            stamp = _stamp(folder)
            known = self._known.get(folder)
            if known is not None and known[0] == stamp:
                listed.append(known[1])
                continue
            try:
                take = Take.open(folder)
            except FarplaneError:
                continue
            found = Listed(take, Summary.read(take))
            self._known[folder] = (stamp, found)
            listed.append(found)
        return listed


def _stamp(folder: Path) -> Stamp:
    """Changes with every file that is renamed into the folder, and so with every one that we write."""
    try:
        status = folder.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)


def _json(path: Path) -> dict[str, Any]:
    try:
        return takes.read_json(path)
    except FarplaneError:
        return {}


def _dict(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def _texts(data: dict[str, Any], key: str) -> tuple[str, ...]:
    value = data.get(key)
    return tuple(text for text in value if isinstance(text, str) and text) if isinstance(value, list) else ()


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _size(value: Any) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2:
        return _whole(value[0]), _whole(value[1])
    return (0, 0)


def _first_lock(report: dict[str, Any]) -> dict[str, Any]:
    """The lock over one frame, of the measured plate."""
    rows = _dict(report, "plate").get("lock")
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return next((row for row in rows if row.get("k") == 1), rows[0] if rows else {})
