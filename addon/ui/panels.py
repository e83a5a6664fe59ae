"""The Farplane tab in the 3D View's sidebar: what panels share, the Shot panel, its settings, and the timer behind them.

takes_panel.py has the takes, scope_panel.py what is sent, batch_panel.py several takes at once, backend_panel.py the
backend.  They stand in the order of work (`ORDER`).  Nothing that comes by itself moves a button away from under the
mouse: progress, messages and the backend's state share one line, the forming picture has its take's place, and what
the Takes panel's buttons say is said below them.
"""

from __future__ import annotations

import traceback
from typing import Any

import blf
import bpy
from bpy.app.handlers import persistent

from ...protocol.errors import FarplaneError
from .. import landing, passes
from ..variations import has_alternatives
from . import (
    batch,
    compare,
    depth_view,
    estimate,
    local_backend,
    operators,
    overlay,
    preferences,
    presets,
    progress,
    resume,
    view,
)
from .catalogue import model_info
from .generate import current_plan, manual_range, panel_settings, plate_size
from .message import Message
from .meter import meter
from .operators import redraw, running_generation
from .properties import model_trouble
from .session import session
from .translations import say

BUSY_SECONDS, IDLE_SECONDS = 0.1, 0.5
FONT = 0  # Blender's own, as blf numbers it
NARROW = 230  # pixels at a UI scale of 1: a sidebar below it has one button a row
_MARGIN = 84  # the same: tabs, borders and icon beside a text
# Where panels stand in the tab, from above.
ORDER = {
    name: place
    for place, name in enumerate(("shot", "takes", "scope", "settings", "depth", "preview", "batch", "backend"))
}
_fault = ""  # the last one that the timer told


class _Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Farplane"


class FARPLANE_PT_shot(_Panel, bpy.types.Panel):
    """What is sent, what is asked for, and how far it is."""

    bl_label = "Shot"
    bl_order = ORDER["shot"]

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
        _draw_generate(layout, context)
        _draw_state(layout, context)
        from .scope_panel import draw_warnings  # it takes its frame from here

        draw_warnings(layout, context)


class FARPLANE_PT_settings(_Panel, bpy.types.Panel):
    """How it is made."""

    bl_label = "Settings"
    bl_order = ORDER["settings"]
    bl_options = {"DEFAULT_CLOSED"}

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
        column.prop(asked, "folder")


class FARPLANE_PT_depth(_Panel, bpy.types.Panel):
    """The range of depth that is sent, and a look at it."""

    bl_label = "Depth"
    bl_order = ORDER["depth"]
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
    bl_order = ORDER["preview"]
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
    from .scope_panel import sent_line  # it takes its frame from here

    _fact(facts, say("Sent"), sent_line() or "…")
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


def _draw_generate(layout: Any, context: bpy.types.Context) -> None:
    """The button; where the prompt holds alternatives, one for each thing that may be meant."""
    prompt = context.scene.farplane.prompt
    if not has_alternatives(prompt):
        row = layout.row()
        row.scale_y = 1.4
        row.operator("farplane.generate", icon="RENDER_ANIMATION")
        return
    both = layout.column(align=True) if is_narrow(context) else layout.row(align=True)
    both.scale_y = 1.4
    label = operators.variations_label(prompt)
    both.operator("farplane.variations", text=label, icon="LIGHTPROBE_VOLUME", translate=False)
    both.operator("farplane.generate", text="As Written", icon="RENDER_ANIMATION").literal = True


def _draw_state(layout: Any, context: bpy.types.Context) -> None:
    """One line: how far everything is, else what happened last, else whether there is a backend.  Errors take more."""
    told, work = session.message, progress.overall()
    told = None if told is None or told.of_takes else told
    if work is not None:
        row = layout.row(align=True)
        row.progress(factor=work.fraction, text=work.short if is_narrow(context) else work.line)
        row.operator("farplane.cancel", text="", icon="CANCEL")
        if session.lost is not None:
            _draw_message(layout, context, session.lost)
    elif told is None:
        _draw_backend(layout, context)
    if told is not None and told.is_error:
        _draw_message(layout, context, told, dismiss=True)
    elif told is not None and work is None:
        row = layout.row(align=True)
        row.label(text=say(told.text), icon="INFO", translate=False)
        row.operator("farplane.dismiss", text="", icon="X", emboss=False)


def _draw_backend(layout: Any, context: bpy.types.Context) -> None:
    """Whether somebody is there to make a plate, and the button for it where nobody is."""
    row = layout.row(align=True)
    elsewhere = bool(preferences.settings().address)
    if session.connection == "connected":
        row.label(text="Backend connected", icon="CHECKMARK")
    elif session.connection == "connecting" or local_backend.is_running():
        row.label(text="Connecting", icon="SORTTIME")
    elif elsewhere:
        row.label(text="Backend not connected", icon="UNLINKED")
        row.operator("farplane.connect", text="", icon="FILE_REFRESH")
    elif local_backend.state() == "absent":
        row.label(text="No backend", icon="UNLINKED")
        row.operator("farplane.install_help", text="Install", icon="QUESTION")
    else:
        row.label(text="No backend", icon="UNLINKED")
        row.operator("farplane.start_backend", text="Start", icon="PLAY")


def is_narrow(context: bpy.types.Context) -> bool:
    """Whether the sidebar has no room for two buttons with a name in a row."""
    return context.region is not None and context.region.width / _scale(context) < NARROW


def _scale(context: bpy.types.Context) -> float:
    """Of the interface; without a window Blender has none."""
    return (context.preferences.system.ui_scale if context.preferences else 0.0) or 1.0


def _draw_way_to_camera(layout: Any, context: bpy.types.Context) -> None:
    """What is drawn over the camera's frame is seen through the camera only."""
    space = context.space_data
    if space is not None and space.type == "VIEW_3D" and space.region_3d.view_perspective != "CAMERA":
        layout.operator("view3d.view_camera", text="View Through Camera", icon="CAMERA_DATA")


def _draw_message(layout: Any, context: bpy.types.Context, message: Message, *, dismiss: bool = False) -> None:
    """The message and its remedy, wrapped to the sidebar's width; with a small x that puts it away."""
    row = layout.row()
    column, less = row.column(align=True), 30 if dismiss else 0
    _draw_text(column, context, say(message.text), "ERROR" if message.is_error else "INFO", less=less)
    _draw_text(column, context, say(message.remedy), "BLANK1", less=less)
    if dismiss:
        row.operator("farplane.dismiss", text="", icon="X", emboss=False)


def _draw_text(
    layout: Any, context: bpy.types.Context, text: str, icon: str = "BLANK1", lines: int = 8, less: int = 0
) -> None:
    """A text wrapped to the sidebar's width, its first line with an icon.  less : pixels taken by something beside it."""
    for line in _wrapped(context, text, lines, less):
        layout.label(text=line, icon=icon, translate=False)
        icon = "BLANK1"


def _across(line: str, size: float) -> float:
    """Pixels that a line takes in Blender's own font; without a window there may be none."""
    blf.size(FONT, size)
    return blf.dimensions(FONT, line)[0] or 0.6 * size * len(line)


def _wrapped(context: bpy.types.Context, text: str, lines: int, less: int) -> list[str]:
    """The text in lines as Blender draws them, measured in its own letters; the last one says if there is more."""
    scale = _scale(context)
    width = (context.region.width if context.region else 300) - (_MARGIN + less) * scale
    points = context.preferences.ui_styles[0].widget.points if context.preferences else 11

    def fits(line: str) -> bool:
        return _across(line, points * scale) <= max(width, 60 * scale)

    found, line = [], ""
    for word in text.split():
        while not fits(word) and len(word) > 1:  # a path, say: cut where it ends
            cut = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or fits(f"{line} {word[:n]}".strip()))
            found.append(f"{line} {word[:cut]}".strip())
            line, word = "", word[cut:]
        longer = f"{line} {word}".strip()
        if line and not fits(longer):
            found.append(line)
            longer = word
        line = longer
    found += [line] if line else []
    return found if len(found) <= lines else [*found[: lines - 1], f"{found[lines - 1]} …"]


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
            from .scope_panel import refresh as count_what_is_sent

            changed = count_what_is_sent() or changed
            if session.outlived(_landed):
                session.message, changed = None, True
            operators.tell_notices()
            if not bpy.app.background:
                progress.show_status()
        with meter.tick("depth"):
            shown = depth_view.refresh() or shown
    except FarplaneError as error:  # a full disk, say: no word about the connection
        session.message, changed = Message.of(error), True
    if changed:
        redraw()
    if shown:
        view.redraw_views()
    busy = session.jobs or running_generation() is not None or depth_view.is_open()
    return BUSY_SECONDS if busy else IDLE_SECONDS


def _landed() -> set[str]:
    """The ids of all landings of the file."""
    return {item.id for scene in bpy.data.scenes for item in landing.landed(scene)}


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
        found = view.shown_places(scene)
        if found:
            session.list_takes(found[0], found[1:], unless_listed=True)


@persistent
def _another_file(*_: Any) -> None:
    """What was said and listed was of the one before."""
    session.message = None
    session.notices.clear()
    session.forget_list()
    view.forget()


CLASSES = (FARPLANE_PT_shot, FARPLANE_PT_settings, FARPLANE_PT_depth, FARPLANE_PT_preview)


def register() -> None:
    """Register the panels, and in a window the timer."""
    bpy.app.handlers.load_post.append(_another_file)
    if not bpy.app.background:
        bpy.app.timers.register(timer, first_interval=IDLE_SECONDS, persistent=True)


def unregister() -> None:
    """Remove them."""
    global _fault
    _fault = ""
    bpy.app.handlers.load_post.remove(_another_file)
    if bpy.app.timers.is_registered(timer):
        bpy.app.timers.unregister(timer)
