"""Pictures as Blender icons: takes in their list, the one that is forming.

Blender loads such icons from files only, in the background, and keeps them in a collection of ours.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews

MAX_KEPT = 300

_icons: Any = None
_forming: bytes = b""


def icon_of(path: Path | None) -> int:
    """The icon of a picture file; 0 where there is none."""
    if _icons is None or path is None:
        return 0
    try:
        key = f"{path}|{path.stat().st_mtime_ns}"
    except OSError:
        return 0
    return _load(key, path)


def icon_of_bytes(png: bytes) -> int:
    """The icon of the one picture that is forming."""
    global _forming
    if _icons is None or not png.startswith(b"\x89PNG"):
        return 0
    if png != _forming:
        _forming = png
        _icons.pop("forming", None)
        path = _write(png, "farplane-forming.png")
        return 0 if path is None else _load("forming", path)
    return _icons["forming"].icon_id if "forming" in _icons else 0


def _write(png: bytes, name: str) -> Path | None:
    path = Path(bpy.app.tempdir or tempfile.gettempdir()) / name
    try:
        path.write_bytes(png)
    except OSError:
        return None
    return path


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


def unregister() -> None:
    """Free it."""
    global _icons, _forming
    if _icons is not None:
        bpy.utils.previews.remove(_icons)
    _icons, _forming = None, b""
