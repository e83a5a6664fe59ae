"""The Farplane tab in the 3D View's sidebar: Shot and Takes; backend_panel.py has the Backend."""

from __future__ import annotations

import tempfile
import textwrap
from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews

from ...protocol.errors import FarplaneError
from .. import landing
from ..takes import Take
from . import resume
from .generate import current_plan, plate_size
from .meter import meter
from .operators import generation_line, redraw, running_generation
from .session import Message, session, shot_folder

SHOWN_TAKES = 6
BUSY_SECONDS, IDLE_SECONDS = 0.1, 0.5

_STATE_ICONS = {"pending": "TIME", "accepted": "CHECKMARK", "rejected": "X"}
_previews: Any = None
_preview_shown = b""


class _Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Farplane"


class FARPLANE_PT_shot(_Panel, bpy.types.Panel):
    """What is sent, what is asked for, and how far it is."""

    bl_label = "Shot"

    def draw(self, context: bpy.types.Context) -> None:
        """Top to bottom in the order of work."""
        session.wanted = True
        layout, asked = self.layout, context.scene.farplane
        layout.use_property_decorate = False
        _draw_plan(layout, context.scene)
        column = layout.column(align=True)
        column.prop(asked, "prompt", text="", icon="TEXT", placeholder="Prompt")
        column.prop(asked, "negative", text="", icon="REMOVE", placeholder="Negative")
        column = layout.column(align=True)
        column.use_property_split = True
        column.prop(asked, "model")
        column.prop(asked, "size")
        row = column.row(align=True)
        row.prop(asked, "seed")
        row.operator("farplane.new_seed", text="", icon="FILE_REFRESH")
        column.prop(asked, "steps")
        _draw_work(layout)
        if session.message is not None:
            _draw_message(layout, context, session.message)


class FARPLANE_PT_takes(_Panel, bpy.types.Panel):
    """The takes of this shot, newest first."""

    bl_label = "Takes"

    def draw(self, context: bpy.types.Context) -> None:
        """How to land, then one row per take."""
        layout, scene = self.layout, context.scene
        if not session.takes:
            layout.label(text="No takes of this shot yet", icon="INFO")
        else:
            grid = layout.grid_flow(row_major=True, columns=2, even_columns=True, align=True)
            grid.prop(scene.farplane, "kinds", expand=True)
            landed = {item.folder: item for item in landing.landed(scene)}
            for take in session.takes[:SHOWN_TAKES]:
                _draw_take(layout, take, landed.pop(take.folder.absolute(), None))
            if len(session.takes) > SHOWN_TAKES:
                layout.label(text=f"and {len(session.takes) - SHOWN_TAKES} older ones")
        others = [i for i in landing.landed(scene) if i.folder not in {t.folder.absolute() for t in session.takes}]
        for item in others:  # from another shot, or whose files are gone
            row = layout.row()
            row.label(text=item.name, icon="LINKED")
            row.operator("farplane.remove", text="", icon="TRASH").landing_id = item.id


def _draw_plan(layout: Any, scene: bpy.types.Scene) -> None:
    """Which camera, which frames, how many pixels; or why there is no shot."""
    try:
        plan = current_plan(scene)
    except FarplaneError as error:
        column = layout.column(align=True)
        column.label(text=Message.of(error).text, icon="ERROR")
        column.label(text=error.remedy, icon="BLANK1")
        return
    width, height = plate_size(scene)
    column = layout.column(align=True)
    column.label(text=plan.camera, icon="CAMERA_DATA")
    frames = f"{plan.frames[0]} to {plan.frames[-1]}, {len(plan.frames)} frames"
    column.label(text=f"{frames}, {width} x {height} px", icon="BLANK1")


def _draw_work(layout: Any) -> None:
    """Generate, or how far the work is with Cancel beside it."""
    generation, job = running_generation(), session.job
    if generation is None and job is None:
        row = layout.row()
        row.scale_y = 1.4
        row.operator("farplane.generate", icon="RENDER_ANIMATION")
        return
    if job is not None and job.preview and _previews is not None:
        icon = _preview_icon(job.preview)
        if icon:
            layout.template_icon(icon_value=icon, scale=7)
    row = layout.row(align=True)
    if generation is not None:
        row.progress(factor=generation.done / generation.total, text=generation_line(generation))
    elif job is not None:
        row.progress(factor=job.fraction, text=job.line)
    row.operator("farplane.cancel", text="", icon="CANCEL")


def _draw_message(layout: Any, context: bpy.types.Context, message: Message) -> None:
    """The message and its remedy, wrapped to the sidebar's width."""
    column = layout.column(align=True)
    width = context.region.width if context.region else 300
    scale = context.preferences.system.ui_scale if context.preferences else 1.0
    letters = max(18, int((width / scale - 60) / 6.5))
    icon = "ERROR" if message.is_error else "INFO"
    for text in (message.text, message.remedy):
        for line in textwrap.wrap(text, letters):
            column.label(text=line, icon=icon)
            icon = "BLANK1"


def _draw_take(layout: Any, take: Take, landed: landing.Landed | None) -> None:
    """State, name, and what can be done with it."""
    row = layout.row(align=True)
    row.label(text=take.name, icon=_STATE_ICONS[take.state] if take.whole else "ERROR")
    if not take.whole:
        row.label(text="incomplete")
        return
    row.operator("farplane.land", text="Land").folder = str(take.folder)
    if landed is not None:
        row.operator("farplane.remove", text="", icon="TRASH").landing_id = landed.id
    else:
        part = row.row(align=True)
        part.enabled = take.state != "rejected"
        part.operator("farplane.reject", text="", icon="X").folder = str(take.folder)


def _preview_icon(png: bytes) -> int:
    """An icon of the picture that is forming; Blender loads such icons from files only."""
    global _preview_shown
    if png != _preview_shown:
        _preview_shown = png
        _previews.clear()
        folder = Path(bpy.app.tempdir or tempfile.gettempdir())
        path = folder / "farplane-preview.png"
        try:
            path.write_bytes(png)
            _previews.load("preview", str(path), "IMAGE")
        except (OSError, RuntimeError):
            return 0
    return _previews["preview"].icon_id if "preview" in _previews else 0


# ---- the timer ----------------------------------------------------------------------------------------------


def tick() -> float:
    """The window's timer: connect once the panel was seen, take what came, draw if anything changed."""
    try:
        needed = session.wanted or session.job is not None
        if needed and session.client is None and session.connection == "off":
            session.connect()
        with meter.tick("timer"):
            changed = session.poll()
            resume.step()
            _list_takes()
    except FarplaneError as error:
        session.problem, session.connection, changed = Message.of(error), "disconnected", True
    if changed:
        redraw()
    return BUSY_SECONDS if session.job is not None else IDLE_SECONDS


def _list_takes() -> None:
    """Look for takes when the scene, the shot or the file is another one."""
    scene = bpy.context.scene
    if session.wanted and scene is not None and running_generation() is None:
        try:
            session.list_takes(shot_folder(scene, current_plan(scene).name), unless_listed=True)
        except FarplaneError:
            return  # no shot to have takes of; the panel says why


CLASSES = (FARPLANE_PT_shot, FARPLANE_PT_takes)


def register() -> None:
    """Register the panels, and in a window the timer."""
    global _previews
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    if not bpy.app.background:
        _previews = bpy.utils.previews.new()
        bpy.app.timers.register(tick, first_interval=IDLE_SECONDS, persistent=True)


def unregister() -> None:
    """Remove them."""
    global _previews
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    if _previews is not None:
        bpy.utils.previews.remove(_previews)
        _previews = None
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
