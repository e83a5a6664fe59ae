"""A file that is saved while a shot is read from it: without the stand-in that the passes are rendered from.

The stand-in (passes.py) goes before the file is written, and comes back with the next step of the reading.
"""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.handlers import persistent

from .. import scene


@persistent
def _before_save(*_: Any) -> None:
    scene.pause_all()


def register() -> None:
    """Be there before each save."""
    bpy.app.handlers.save_pre.append(_before_save)


def unregister() -> None:
    """No longer."""
    bpy.app.handlers.save_pre.remove(_before_save)
