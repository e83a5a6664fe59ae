"""The stand-in that passes are rendered from (passes.py) is nobody's business: it is in no file, and in no undo step.

Before a file is written or another one is read it goes, and comes back with the next step of the reading.  Before an
undo or redo it goes for good: Blender then frees and moves datablocks as it likes, so the reading is over, with an
error that says so.  Blender's autosave calls no handler, and an undo step that was taken while a shot was read holds
the stand-in, too: what those bring back goes as soon as it is there.
"""

from __future__ import annotations

from typing import Any

from bpy.app.handlers import persistent

from .. import passes, scene
from . import handlers


@persistent
def _pause(*_: Any) -> None:
    scene.pause_all()


@persistent
def _end(*_: Any) -> None:
    scene.end_all()


@persistent
def _sweep(*_: Any) -> None:
    passes.remove_leftovers()


HANDLERS = {
    "save_pre": _pause,
    "load_pre": _pause,
    "undo_pre": _end,
    "redo_pre": _end,
    "load_post": _sweep,
    "undo_post": _sweep,
    "redo_post": _sweep,
}


def register() -> None:
    """Be there when that happens."""
    handlers.add(HANDLERS)


def unregister() -> None:
    """No longer."""
    handlers.remove(HANDLERS)
