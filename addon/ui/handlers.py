"""Handlers of Blender's: added with the add-on, gone with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy


def add(handlers: dict[str, Callable[..., None]]) -> None:
    """Add {name of a list in bpy.app.handlers: function}; a persistent one stays when another file is opened."""
    for name, handler in handlers.items():
        getattr(bpy.app.handlers, name).append(handler)


def remove(handlers: dict[str, Callable[..., None]]) -> None:
    """Remove those that are there."""
    for name, handler in handlers.items():
        there: list[Any] = getattr(bpy.app.handlers, name)
        if handler in there:
            there.remove(handler)
