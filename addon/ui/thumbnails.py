"""Pictures as Blender icons: takes in their list, the one that is forming.

Blender loads such icons from files only, in the background, and keeps them in a collection of ours.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews

from .session import Job, session

MAX_KEPT = 300

_icons: Any = None
_forming: dict[str, bytes] = {}  # by job


def icon_of(path: Path | None) -> int:
    """The icon of a picture file; 0 where there is none."""
    if _icons is None or path is None:
        return 0
    try:
        key = f"{path}|{path.stat().st_mtime_ns}"
    except OSError:
        return 0
    return _load(key, path)


def icon_of_bytes(png: bytes, job: str) -> int:
    """The icon of the picture that is forming in a job."""
    if _icons is None or not png.startswith(b"\x89PNG"):
        return 0
    key = f"forming {job}"
    if png != _forming.get(job):
        _forming[job] = png
        _icons.pop(key, None)
        path = _write(png, f"farplane-forming-{job}.png")
        return 0 if path is None else _load(key, path)
    return _icons[key].icon_id if key in _icons else 0


def forget_forming(job: Job) -> None:
    """It has ended: its take has a picture of its own."""
    if _forming.pop(job.id, None) is not None:
        _icons.pop(f"forming {job.id}", None)
        _place(f"farplane-forming-{job.id}.png").unlink(missing_ok=True)


def _write(png: bytes, name: str) -> Path | None:
    path = _place(name)
    try:
        path.write_bytes(png)
    except OSError:
        return None
    return path


def _place(name: str) -> Path:
    return Path(bpy.app.tempdir or tempfile.gettempdir()) / name


def _load(key: str, path: Path) -> int:
    if key not in _icons:
        if len(_icons) >= MAX_KEPT:
            _icons.clear()
        try:
            _icons.load(key, str(path), "IMAGE")
        except (KeyError, RuntimeError):
            return 0
    return _icons[key].icon_id


def register() -> None:
    """Make the collection, where there is a window to show it."""
    global _icons
    if not bpy.app.background:
        _icons = bpy.utils.previews.new()
    session.when_ended.append(forget_forming)


def unregister() -> None:
    """Free it."""
    global _icons
    if forget_forming in session.when_ended:
        session.when_ended.remove(forget_forming)
    if _icons is not None:
        bpy.utils.previews.remove(_icons)
    _icons = None
    _forming.clear()
