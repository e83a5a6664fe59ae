"""What the window shows, kept with the window and not in the file: the chosen take, what lies over the camera's frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ...protocol.errors import FarplaneError
from .session import Message, session


def _redraw(self: Any, context: Any) -> None:
    redraw_views()


def redraw_views() -> None:
    """Draw all 3D views again."""
    for window in bpy.context.window_manager.windows if bpy.context.window_manager else ():
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


def show_in_sequencer(scene: bpy.types.Scene) -> None:
    """Sequencers that show no scene yet show this one: from 5.0 on it is chosen by hand, in each workspace."""
    for workspace in bpy.data.workspaces:
        if getattr(workspace, "sequencer_scene", scene) is None:
            workspace.sequencer_scene = scene


def _read_note(self: Any) -> str:
    item = self.chosen()
    return item.take.note if item is not None else ""


def _write_note(self: Any, text: str) -> None:
    item = self.chosen()
    if item is None or text == item.take.note or session.is_being_made(item.take.folder):
        return
    try:
        item.take.describe(note=text)
        session.reread(item.take.folder.parent)
    except FarplaneError as error:
        session.message = Message.of(error)


class FarplaneTakeItem(bpy.types.PropertyGroup):
    """One row of the list; what it shows is looked up by its folder."""

    folder: StringProperty()  # type: ignore[valid-type]


class FarplaneView(bpy.types.PropertyGroup):
    """WindowManager.farplane."""

    takes: CollectionProperty(type=FarplaneTakeItem)  # type: ignore[valid-type]
    take_index: IntProperty(name="Take", description="The chosen take", update=_redraw)  # type: ignore[valid-type]
    note: StringProperty(  # type: ignore[valid-type]
        name="Note",
        description="Your note about this take, written beside it",
        get=_read_note,
        set=_write_note,
    )
    show_depth: BoolProperty(  # type: ignore[valid-type]
        name="Show Depth",
        description="Show the depth that will be sent over the camera's frame: near is white, far is black",
        update=_redraw,
    )
    live: EnumProperty(  # type: ignore[valid-type]
        name="Live Preview",
        description="Show the picture that is forming in the camera's frame",
        items=(
            ("OFF", "Off", "Only in the panel"),
            ("BACK", "Behind", "Behind the scene, as a background image"),
            ("FRONT", "In Front", "Over the scene"),
        ),
        update=_redraw,
    )
    opacity: FloatProperty(  # type: ignore[valid-type]
        name="Opacity",
        description="How much of it covers the scene",
        subtype="FACTOR",
        default=1.0,
        min=0.0,
        max=1.0,
        update=_redraw,
    )
    compare: StringProperty()  # type: ignore[valid-type]
    split: FloatProperty(  # type: ignore[valid-type]
        name="Split",
        description="Left of it the take that was marked for comparison, right of it the chosen one",
        subtype="FACTOR",
        default=0.5,
        min=0.0,
        max=1.0,
        update=_redraw,
    )

    def chosen(self) -> Any:
        """The Listed take that is chosen, or None."""
        if not 0 <= self.take_index < len(self.takes):
            return None
        return session.find(Path(self.takes[self.take_index].folder))

    def show(self, folders: list[str]) -> None:
        """Make the list be these takes, newest first.  The chosen one stays, unless a new one has come."""
        before = [item.folder for item in self.takes]
        if folders == before:
            return
        chosen = before[self.take_index] if 0 <= self.take_index < len(before) else ""
        self.takes.clear()
        for folder in folders:
            item = self.takes.add()
            item.name = item.folder = folder
        came = bool(folders) and folders[0] not in before
        self.take_index = 0 if came or chosen not in folders else folders.index(chosen)


def sync() -> None:
    """Bring the list up to what the session knows."""
    window_manager = bpy.context.window_manager
    if window_manager is not None:
        window_manager.farplane.show([str(item.take.folder) for item in session.listed])


CLASSES = (FarplaneTakeItem, FarplaneView)


def register() -> None:
    """Register WindowManager.farplane."""
    bpy.types.WindowManager.farplane = PointerProperty(type=FarplaneView)


def unregister() -> None:
    """Remove it."""
    del bpy.types.WindowManager.farplane
