"""The Farplane tab in the 3D View's sidebar: what panels share, the Shot panel, and the timer behind them.

takes_panel.py has the takes, backend_panel.py the backend.
"""

from __future__ import annotations

import textwrap
import traceback
from typing import Any

import bpy

from ...protocol.errors import FarplaneError
from .. import passes
from . import batch, compare, depth_view, estimate, overlay, presets, resume, view
from .catalogue import model_info
from .generate import current_plan, manual_range, panel_settings, plate_size
from .meter import meter
from .operators import generation_line, redraw, running_generation
from .properties import model_trouble
from .session import Job, Message, session, shot_folder
from .thumbnails import icon_of_bytes
from .translations import say

BUSY_SECONDS, IDLE_SECONDS = 0.1, 0.5
SHOWN_JOBS = 4
_fault = ""  # the last one that the timer told


class _Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Farplane"


class FARPLANE_PT_shot(_Panel, bpy.types.Panel):
    """What is sent, what is asked for, and how far it is."""

    bl_label = "Shot"

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        """The presets' button."""
        presets.draw_header(self.layout)

    def draw(self, context: bpy.types.Context) -> None:
        """Top to bottom in the order of work."""
        session.wanted = True
        layout, asked = self.layout, context.scene.farplane
        layout.use_property_decorate = False
        _draw_plan(layout, context)
        column = layout.column(align=True)
        column.prop(asked, "prompt", text="", icon="TEXT", placeholder="Prompt")
        column.prop(asked, "negative", text="", icon="REMOVE", placeholder="Negative")
        if running_generation() is None:
            row = layout.row()
            row.scale_y = 1.4
            row.operator("farplane.generate", icon="RENDER_ANIMATION")
        _draw_work(layout, context)
        if session.message is not None:
            _draw_message(layout, context, session.message)


class FARPLANE_PT_settings(_Panel, bpy.types.Panel):
    """How it is made."""

    bl_label = "Settings"
    bl_parent_id = "FARPLANE_PT_shot"

    def draw(self, context: bpy.types.Context) -> None:
        """Model, colours, size, quality, seed."""
        layout, asked = self.layout, context.scene.farplane
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        column.prop(asked, "model")
        model = model_info(asked.model_name)
        if model is not None and (trouble := model_trouble(model)):
            _draw_text(column, context, trouble, "ERROR")
        for name, part in (("use_colours", "base_colour"), ("use_sun", "sun")):
            column.prop(asked, name)
            if getattr(asked, name) and session.connection == "connected" and part not in session.takes_also:
                _draw_text(column, context, say("The backend is older than this, and does without"), "INFO")
        column.prop(asked, "size")
        column.prop(asked, "quality")
        if asked.quality == "CUSTOM":
            column.prop(asked, "steps")
        row = column.row(align=True)
        field = row.row(align=True)
        field.active = asked.seed_locked
        field.prop(asked, "seed")
        row.prop(asked, "seed_locked", text="", icon="LOCKED" if asked.seed_locked else "UNLOCKED")
        row.operator("farplane.new_seed", text="", icon="FILE_REFRESH")


class FARPLANE_PT_depth(_Panel, bpy.types.Panel):
    """The range of depth that is sent, and a look at it."""

    bl_label = "Depth"
    bl_parent_id = "FARPLANE_PT_shot"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Automatic or by hand, and over the camera's frame."""
        layout, asked, shown = self.layout, context.scene.farplane, context.window_manager.farplane
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(asked, "depth_auto")
        column = layout.column(align=True)
        column.active = not asked.depth_auto
        column.prop(asked, "near")
        column.prop(asked, "far")
        try:
            manual_range(context.scene)
        except FarplaneError as error:
            _draw_message(layout, context, Message.of(error))
        button = layout.row()
        button.use_property_split = False  # its name on the button, not beside it
        button.prop(shown, "show_depth", toggle=True, icon="IMAGE_ZDEPTH")
        frame = depth_view.latest()
        if frame is not None:
            facts = layout.column(align=True)
            _fact(facts, say("Frame {}", frame.frame), f"{frame.near:.4g} m – {frame.far:.4g} m")
        if shown.show_depth:
            _draw_way_to_camera(layout, context)


class FARPLANE_PT_preview(_Panel, bpy.types.Panel):
    """What lies over the camera's frame in the viewport."""

    bl_label = "Viewport"
    bl_parent_id = "FARPLANE_PT_shot"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """The picture that forms, and how much it covers."""
        layout, shown = self.layout, context.window_manager.farplane
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(shown, "live")
        layout.prop(shown, "opacity")
        if shown.live != "OFF":
            _draw_way_to_camera(layout, context)


def _draw_plan(layout: Any, context: bpy.types.Context) -> None:
    """Which camera, which frames, how many pixels, how long; or why there is no shot."""
    scene = context.scene
    column = layout.column(align=True)
    try:
        plan = current_plan(scene)
    except FarplaneError as error:
        column.prop(scene, "camera", text="")
        _draw_message(layout, context, Message.of(error))
        return
    if scene.camera is not None and plan.camera == scene.camera.name:
        column.prop(scene, "camera", text="")
    else:
        column.label(text=plan.camera, icon="CAMERA_DATA")
    width, height = plate_size(scene)
    facts = layout.column(align=True)
    facts.scale_y = 0.9
    if any(marker.camera is not None for marker in scene.timeline_markers):
        _fact(facts, say("Shot"), plan.name)
    _fact(facts, say("Frames"), say("{} to {} ({})", plan.frames[0], plan.frames[-1], len(plan.frames)))
    _fact(facts, say("Plate"), f"{width} x {height} px")
    _fact(facts, say("Time"), _expected_time(scene, len(plan.frames), width * height))


def _expected_time(scene: bpy.types.Scene, frames: int, pixels: int) -> str:
    """From this machine's own history, or the admission that there is none."""
    settings = panel_settings(scene)
    model = model_info(settings.model)
    steps = settings.steps or (model.steps if model is not None else 0)
    wanted = estimate.Record(estimate.backend(), settings.model, pixels, frames, steps, 0.0)
    found = estimate.estimate(estimate.history(), wanted)
    return say("no history yet") if found is None else found.text


def _fact(layout: Any, name: str, value: str) -> None:
    """A name and a value in Blender's own two columns."""
    row = layout.split(factor=0.3)
    left = row.row()
    left.alignment = "RIGHT"
    left.active = False
    left.label(text=name, translate=False)
    row.label(text=value, translate=False)


def _draw_work(layout: Any, context: bpy.types.Context) -> None:
    """How far the work is, with Cancel beside it: the shot that is read, then the jobs."""
    generation = running_generation()
    if generation is not None:
        row = layout.row(align=True)
        row.progress(factor=generation.done / max(1, generation.total), text=generation_line(generation))
        row.operator("farplane.cancel", text="", icon="CANCEL")
    shown = session.job
    icon = icon_of_bytes(shown.preview) if shown is not None and shown.preview else 0
    if icon:
        layout.template_icon(icon_value=icon, scale=7)
    jobs = [job for job in session.jobs.values() if not job.outcome]
    column = layout.column(align=True)
    for job in sorted(jobs, key=lambda job: job is not shown)[:SHOWN_JOBS]:
        _draw_job(column, job)
    if len(jobs) > SHOWN_JOBS:
        column.label(text=say("and {} more", len(jobs) - SHOWN_JOBS), translate=False)
    if session.lost is not None:
        _draw_message(layout, context, session.lost)


def _draw_job(layout: Any, job: Job) -> None:
    row = layout.row(align=True)
    row.progress(factor=job.fraction, text=job.line)
    button = row.row(align=True)
    button.enabled = not job.cancelling
    button.operator("farplane.cancel", text="", icon="CANCEL").job = job.id


def _draw_way_to_camera(layout: Any, context: bpy.types.Context) -> None:
    """What is drawn over the camera's frame is seen through the camera only."""
    space = context.space_data
    if space is not None and space.type == "VIEW_3D" and space.region_3d.view_perspective != "CAMERA":
        layout.operator("view3d.view_camera", text="View Through Camera", icon="CAMERA_DATA")


def _draw_message(layout: Any, context: bpy.types.Context, message: Message) -> None:
    """The message and its remedy, wrapped to the sidebar's width."""
    column = layout.column(align=True)
    _draw_text(column, context, say(message.text), "ERROR" if message.is_error else "INFO")
    _draw_text(column, context, say(message.remedy), "BLANK1")


def _draw_text(layout: Any, context: bpy.types.Context, text: str, icon: str = "BLANK1", lines: int = 8) -> None:
    """A text wrapped to the sidebar's width, its first line with an icon."""
    width = context.region.width if context.region else 300
    scale = context.preferences.system.ui_scale if context.preferences else 1.0
    letters = max(18, int((width / scale - 70) / 6.5))
    for line in textwrap.wrap(text, letters, max_lines=lines, placeholder=" …"):
        layout.label(text=line, icon=icon, translate=False)
        icon = "BLANK1"


# ---- the timer ----------------------------------------------------------------------------------------------


def timer() -> float:
    """`tick` for Blender, which never again calls a timer that raised: one fault of ours must not end all jobs' way."""
    global _fault
    try:
        return tick()
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        if told != _fault:  # not twice a second
            traceback.print_exc()
        _fault = told
        session.message = Message.of(FarplaneError("farplane", told, "Please report this"))
        redraw()
        return IDLE_SECONDS


def tick() -> float:
    """Connect once the panel was seen, take what came, draw if anything changed; return seconds until the next one."""
    if _sweep():
        return BUSY_SECONDS
    shown = changed = False
    try:
        needed = session.wanted or bool(session.jobs)
        if needed and session.client is None and session.connection == "off":
            session.connect()
    except FarplaneError as error:
        session.problem, session.connection, changed = Message.of(error), "disconnected", True
    try:
        with meter.tick("timer"):
            changed = session.poll() or changed
            resume.step()
            changed = batch.lay_waiting() or changed
            _list_takes()
            view.sync()
            shown = compare.refresh() | overlay.refresh()
        with meter.tick("depth"):
            shown = depth_view.refresh() or shown
    except FarplaneError as error:  # a full disk, say: no word about the connection
        session.message, changed = Message.of(error), True
    if changed:
        redraw()
    if shown:
        view.redraw_views()
    return BUSY_SECONDS if session.jobs or depth_view.is_open() else IDLE_SECONDS


def _sweep() -> bool:
    """Remove a stand-in that an undo or a saved file brought back, or that had to stay while the artist rendered; a tick's
    work by itself.  Returns whether there was one."""
    if running_generation() is not None or depth_view.is_open() or passes.is_rendering():
        return False
    if not any(scene.name.startswith(passes.PREFIX) for scene in bpy.data.scenes):
        return False
    with meter.tick("sweep"):
        passes.remove_leftovers()
    return True


def _list_takes() -> None:
    """Look for takes when the scene, the shot or the file is another one."""
    scene = bpy.context.scene
    if session.wanted and scene is not None and running_generation() is None:
        try:
            session.list_takes(shot_folder(scene, current_plan(scene).name), unless_listed=True)
        except FarplaneError:
            return  # no shot to have takes of; the panel says why


CLASSES = (FARPLANE_PT_shot, FARPLANE_PT_settings, FARPLANE_PT_depth, FARPLANE_PT_preview)


def register() -> None:
    """Register the panels, and in a window the timer."""
    if not bpy.app.background:
        bpy.app.timers.register(timer, first_interval=IDLE_SECONDS, persistent=True)


def unregister() -> None:
    """Remove them."""
    global _fault
    _fault = ""
    if bpy.app.timers.is_registered(timer):
        bpy.app.timers.unregister(timer)
