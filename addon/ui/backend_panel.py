"""The Backend panel: start and stop, pair with another machine, the queue, and what to do where it does not connect."""

from __future__ import annotations

from typing import Any

import bpy

from ...protocol.errors import FarplaneError
from . import local_backend, preferences
from .operators import FINISHED, _Operator, redraw
from .panels import _draw_message, _Panel
from .session import Message, session


class FARPLANE_OT_connect(_Operator):
    """Connect to the backend again, with the preferences as they are now"""

    bl_idname = "farplane.connect"
    bl_label = "Connect"
    bl_options = {"REGISTER"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """The answer comes by the timer."""
        session.disconnect()
        try:
            session.connect()
        except FarplaneError as error:
            session.problem = Message.of(error)
            session.connection = "disconnected"
            return self.tell(error)
        redraw()
        return FINISHED


class FARPLANE_OT_start_backend(_Operator):
    """Start the backend on this machine; it ends with Blender"""

    bl_idname = "farplane.start_backend"
    bl_label = "Start Backend"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Once is enough."""
        return not local_backend.is_running()

    def execute(self, context: bpy.types.Context) -> set[str]:
        """The client finds it by itself."""
        try:
            local_backend.start()
            session.connect()
        except FarplaneError as error:
            return self.tell(error)
        return FINISHED


class FARPLANE_OT_stop_backend(_Operator):
    """Stop the backend that was started from here"""

    bl_idname = "farplane.stop_backend"
    bl_label = "Stop Backend"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only what we started."""
        return local_backend.is_running()

    def execute(self, context: bpy.types.Context) -> set[str]:
        """It finishes what it writes, then ends."""
        local_backend.ask_to_stop()
        return FINISHED


class FARPLANE_PT_backend(_Panel, bpy.types.Panel):
    """The connection, and what to do where there is none."""

    bl_label = "Backend"

    def draw(self, context: bpy.types.Context) -> None:
        """State, remedy, start and stop."""
        layout = self.layout
        state, icon = _connection()
        layout.label(text=state, icon=icon)
        if session.problem is not None:
            _draw_message(layout, context, session.problem)
        if preferences.settings().address:
            layout.operator("farplane.connect", icon="FILE_REFRESH")
            return
        if local_backend.is_running():
            layout.operator("farplane.stop_backend", icon="PAUSE")
        elif session.connection != "connected":
            layout.operator("farplane.start_backend", icon="PLAY")


def _connection() -> tuple[str, str]:
    """The state of the connection as text and icon."""
    where = preferences.settings().address or "this machine"
    if session.connection == "connected":
        return f"Connected to {where}", "CHECKMARK"
    if session.connection == "connecting":
        return f"Connecting to {where}", "SORTTIME"
    return ("Not connected", "UNLINKED")


CLASSES: tuple[Any, ...] = (
    FARPLANE_OT_connect,
    FARPLANE_OT_start_backend,
    FARPLANE_OT_stop_backend,
    FARPLANE_PT_backend,
)


def register() -> None:
    """Register the panel and its operators."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Remove them, and stop the backend that we started."""
    local_backend.stop()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
