"""Registers everything of the add-on with Blender, in order, and takes it away again."""

from __future__ import annotations

from . import command
from .ui import backend_panel, operators, panels, preferences, properties, resume, translations

_MODULES = (translations, preferences, properties, operators, panels, backend_panel, resume, command)


def register() -> None:
    """Register all modules; if one fails, those before it are removed again."""
    done = []
    try:
        for module in _MODULES:
            module.register()
            done.append(module)
    except BaseException:
        for module in reversed(done):
            module.unregister()
        raise


def unregister() -> None:
    """Remove everything, in the opposite order."""
    for module in reversed(_MODULES):
        module.unregister()
