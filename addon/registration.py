"""Registers everything of the add-on with Blender, in order, and takes it away again."""

from __future__ import annotations

from types import ModuleType

import bpy

from . import command, evaluation
from .ui import (
    backend_panel,
    batch_panel,
    carrying,
    catalogue,
    compare,
    depth_view,
    estimate,
    landed,
    operators,
    overlay,
    panels,
    places,
    preferences,
    presets,
    progress,
    properties,
    resume,
    saving,
    scope_panel,
    takes_operators,
    takes_panel,
    thumbnails,
    translations,
    view,
)

# In this order: what others use comes first, and panels stand in the sidebar as they stand here.
_MODULES = (
    evaluation,
    translations,
    preferences,
    properties,
    places,
    thumbnails,
    view,
    overlay,
    operators,
    takes_operators,
    compare,
    depth_view,
    estimate,
    catalogue,
    progress,
    presets,
    panels,
    scope_panel,
    batch_panel,
    takes_panel,
    backend_panel,
    resume,
    saving,
    carrying,
    landed,
    command,
)


def register() -> None:
    """Register all modules; if one fails, those before it are removed again."""
    done = []
    try:
        for module in _MODULES:
            _enter(module)
            done.append(module)
    except BaseException:
        for module in reversed(done):
            _leave(module)
        raise


def unregister() -> None:
    """Remove everything, in the opposite order."""
    for module in reversed(_MODULES):
        _leave(module)


def _enter(module: ModuleType) -> None:
    """A module's CLASSES, then whatever else its own `register` does; all of it or nothing."""
    classes = []
    try:
        for cls in getattr(module, "CLASSES", ()):
            bpy.utils.register_class(cls)
            classes.append(cls)
        if hasattr(module, "register"):
            module.register()
    except BaseException:
        for cls in reversed(classes):
            bpy.utils.unregister_class(cls)
        raise


def _leave(module: ModuleType) -> None:
    if hasattr(module, "unregister"):
        module.unregister()
    for cls in reversed(getattr(module, "CLASSES", ())):
        bpy.utils.unregister_class(cls)
