"""What a render evaluates, handed to a function of ours while Blender renders.

Blender evaluates a scene for a render apart from what the viewport shows: with the modifiers, levels and visibilities of
renders, Background Sets and instances.  Python is given that dependency graph in two places only, in windows as in the
background (measured in bpy 4.2, 4.5, 5.0 and 5.2; docs/decisions/stand-in-scene.md):

- a render engine's own `render`: ENGINE draws nothing and lets somebody look;
- `frame_change_post`, which Blender calls with the graph of a render just before its engine reads it: there whatever
  the graph has made of the artist's datablocks may be changed, for this one render, and the datablocks themselves stay
  as they are.

Neither is there for longer than it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import bpy

ENGINE = "FARPLANE_READING"
_PACKAGE = __name__.removesuffix(".evaluation")
Look = Callable[[bpy.types.Depsgraph], None]

_looks: list[Look] = []


class ReadingEngine(bpy.types.RenderEngine):
    """Renders nothing; the dependency graph is shown to who asked for it."""

    bl_idname, bl_label = ENGINE, "Farplane reads the scene"
    bl_use_image_save = False  # a file would take more than twice the time of the rest

    def render(self, depsgraph: bpy.types.Depsgraph) -> None:
        """Once for each view layer that is rendered."""
        for look in _looks:
            look(depsgraph)


def enter() -> None:
    """Let a scene's engine be ENGINE.  Artists could choose it from now on, so `leave` soon."""
    if not ReadingEngine.is_registered:
        bpy.utils.register_class(ReadingEngine)


def leave() -> None:
    """Take the engine away, after no scene has it any more; safe to call twice."""
    if ReadingEngine.is_registered:
        bpy.utils.unregister_class(ReadingEngine)


unregister = leave  # with the add-on, also in the middle of a shot


@contextmanager
def shown_to(look: Look) -> Iterator[None]:
    """Renders by ENGINE within call `look` with the graph of each view layer; what it raises ends the block."""
    kept = _Kept(look)
    _looks.append(kept)
    try:
        yield
    finally:
        _looks.remove(kept)
    kept.raise_error()


@contextmanager
def changed_by(change: Look, scene: bpy.types.Scene) -> Iterator[None]:
    """Renders of `scene` within call `change` with their graph before their engine reads it; what it raises ends the block."""
    kept = _Kept(change)

    def handler(_: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> None:
        if depsgraph is not None and depsgraph.mode == "RENDER" and depsgraph.scene == scene:
            if has_other_handlers():
                depsgraph.update()
            kept(depsgraph)

    bpy.app.handlers.frame_change_post.append(handler)
    try:
        yield
    finally:
        bpy.app.handlers.frame_change_post.remove(handler)
    kept.raise_error()


def has_other_handlers() -> bool:
    """Whether somebody else's Python changes the file as frames go by.

    Blender would evaluate what it has changed once more behind our back, and our changes would be lost: so that is done
    first.  The graph then no longer knows what has changed since the last frame: let the engine keep nothing from it.
    """
    handlers = bpy.app.handlers
    return any(_is_foreign(one) for one in (*handlers.frame_change_pre, *handlers.frame_change_post))


def _is_foreign(handler: Any) -> bool:
    return not getattr(handler, "__module__", "").startswith(_PACKAGE)


class _Kept:
    """A function whose error is kept: Blender would print it and render on."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._error: Exception | None = None

    def __call__(self, depsgraph: bpy.types.Depsgraph) -> None:
        try:
            self._look(depsgraph)
        except Exception as error:
            self._error = self._error or error

    def raise_error(self) -> None:
        if self._error is not None:
            raise self._error
