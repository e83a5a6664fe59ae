"""The Takes panel: whose takes, the list, the chosen one with the gallery behind its picture, what can be done with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from .. import landing
from .landed import draw as draw_landed
from .message import duration
from .panels import ORDER, _draw_message, _draw_text, _draw_way_to_camera, _Panel, is_narrow
from .properties import LANDING_KINDS
from .session import session
from .summary import Listed
from .translations import filled, say
from .view import current_shot, distinction, picture_of, short_label

_STATE_ICONS = {"pending": "DOT", "accepted": "CHECKMARK", "rejected": "X"}
_STATE_TEXTS = {"pending": "Not decided", "accepted": "Accepted", "rejected": "Rejected"}
PICTURE, POPUP, FACTS = 5.0, 8.0, 4  # of the chosen take and of the gallery, in Blender's own units; lines beside it
SHOWN_SHOTS = 3  # others that are offered where this one has no takes


class FARPLANE_UL_takes(bpy.types.UIList):
    """Takes with their pictures."""

    def draw_item(
        self,
        context: bpy.types.Context,
        layout: Any,
        data: Any,
        item: Any,
        icon: int,
        active_data: Any,
        active_property: str,
        index: int = 0,
        flt_flag: int = 0,
    ) -> None:
        """Picture, name, camera lock, state."""
        found = session.find(Path(item.folder))
        if found is None:
            layout.label(text=Path(item.folder).name, icon="ERROR")
            return
        take = found.take
        row = layout.row(align=True)
        row.active = take.state != "rejected"
        picture, label = picture_of(found), f"{short_label(take)}  {distinction(found)}"
        if is_narrow(context):
            row.label(text=label, translate=False)
        elif picture:
            row.label(text=label, icon_value=picture, translate=False)
        else:
            row.label(text=label, icon="IMAGE_DATA", translate=False)
        right = row.row(align=True)
        right.alignment = "RIGHT"
        if not is_narrow(context):
            right.label(text=_short(found), translate=False)
        right.label(text="", icon=_state_icon(found))

    def draw_filter(self, context: bpy.types.Context, layout: Any) -> None:
        """A search field."""
        layout.prop(self, "filter_name", text="", icon="VIEWZOOM")

    def filter_items(self, context: bpy.types.Context, data: Any, prop: str) -> tuple[list[int], list[int]]:
        """What is searched for may stand in the name, the prompt or the note."""
        wanted = self.filter_name.casefold()
        if not wanted:
            return [], []
        flags = []
        for item in getattr(data, prop):
            found = session.find(Path(item.folder))
            text = "" if found is None else f"{found.take.label} {found.summary.prompt} {found.take.note}"
            flags.append(self.bitflag_filter_item if wanted in text.casefold() else 0)
        return flags, []


class FARPLANE_MT_take(bpy.types.Menu):
    """What else can be done with the chosen take"""

    bl_idname = "FARPLANE_MT_take"
    bl_label = "Take"

    def draw(self, context: bpy.types.Context) -> None:
        """Least dangerous first."""
        layout = self.layout
        layout.operator("farplane.use_settings", icon="COPYDOWN")
        layout.operator("farplane.rename_take", icon="GREASEPENCIL")
        layout.operator("farplane.show_folder", icon="FILE_FOLDER")
        layout.separator()
        layout.operator("farplane.delete_take", icon="TRASH")


class FARPLANE_MT_shots(bpy.types.Menu):
    """Whose takes are listed"""

    bl_idname = "FARPLANE_MT_shots"
    bl_label = "Shots"

    def draw(self, context: bpy.types.Context) -> None:
        """The shot at the current frame, then every shot that has takes."""
        layout, shown = self.layout, context.window_manager.farplane.shot
        layout.operator("farplane.show_shot", text="At the Current Frame", icon="TIME").shot = ""
        layout.separator()
        for name, count in session.shots:
            icon = "LAYER_ACTIVE" if name == shown else "BLANK1"
            layout.operator("farplane.show_shot", text=f"{name}  ({count})", icon=icon, translate=False).shot = name


class FARPLANE_PT_takes(_Panel, bpy.types.Panel):
    """The takes of this shot, newest first."""

    bl_label = "Takes"
    bl_order = ORDER["takes"]

    def draw(self, context: bpy.types.Context) -> None:
        """Which shot, the list, then the chosen one: its picture, what it is, the decision."""
        layout, view = self.layout, context.window_manager.farplane
        _draw_shots(layout, context)
        if not len(view.takes):
            layout.label(text="No takes of this shot yet", icon="INFO")
            column = layout.column(align=True)
            for name, count in session.shots[:SHOWN_SHOTS]:  # camera markers were added, say: they are not gone
                text = say("Show {} of {}", count, name)
                column.operator("farplane.show_shot", text=text, icon="RENDERLAYERS", translate=False).shot = name
            return
        row = layout.row()
        row.template_list("FARPLANE_UL_takes", "", view, "takes", view, "take_index", rows=3, maxrows=6)
        side = row.column(align=True)
        side.menu("FARPLANE_MT_take", icon="DOWNARROW_HLT", text="")
        side.separator()
        side.operator("farplane.compare", icon="MOD_MIRROR", text="", depress=bool(view.compare))
        if view.compare:
            layout.prop(view, "split", slider=True)
            _draw_way_to_camera(layout, context)
        found = view.chosen()
        if found is not None:
            _draw_chosen(layout, context, found)


class FARPLANE_PT_landing(_Panel, bpy.types.Panel):
    """Where the chosen take stands in the scene, and what else is landed."""

    bl_label = "Landing"
    bl_parent_id = "FARPLANE_PT_takes"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only with something to land or to remove."""
        found = context.window_manager.farplane.chosen()
        return (found is not None and found.take.whole) or bool(landing.landed(context.scene))

    def draw(self, context: bpy.types.Context) -> None:
        """One button per kind, pressed while the take is landed so."""
        layout, found = self.layout, context.window_manager.farplane.chosen()
        landed = landing.landed(context.scene)
        folder = found.take.folder.absolute() if found is not None else None
        if found is not None and found.take.whole:
            here = next((item for item in landed if item.folder == folder), None)
            columns = 1 if is_narrow(context) else 2
            grid = layout.grid_flow(row_major=True, columns=columns, even_columns=True, align=True)
            grid.enabled = found.take.state != "rejected"
            for kind, label, _, icon, _ in LANDING_KINDS:
                if here is not None and kind in here.kinds:
                    button = grid.operator("farplane.remove", text=label, icon=icon, depress=True)
                    button.landing_id = here.id
                else:
                    button = grid.operator("farplane.land", text=label, icon=icon)
                    button.folder = str(found.take.folder)
                button.kinds = {kind}
            row = layout.row()
            row.enabled = grid.enabled
            button = row.operator("farplane.land", text="Bake to UVs", icon="UV")
            button.folder, button.kinds, button.bake = str(found.take.folder), {"projection"}, True
            if here is not None:
                draw_landed(layout, context.scene, here)
        others = [item for item in landed if item.folder != folder]
        if others:
            column = layout.column(align=True)
            for item in others:
                row = column.row(align=True)
                row.label(text=item.name, icon="LINKED")
                row.operator("farplane.remove", text="", icon="X", emboss=False).landing_id = item.id


class FARPLANE_PT_take_words(_Panel, bpy.types.Panel):
    """What the chosen take was asked for, what its report notes, and what the buttons above had to say.

    At the end, since it is as long as it is: it moves no button.
    """

    bl_label = "About This Take"
    bl_parent_id = "FARPLANE_PT_takes"
    bl_options = {"HIDE_HEADER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only with something to say."""
        told = session.message
        return (told is not None and told.of_takes) or context.window_manager.farplane.chosen() is not None

    def draw(self, context: bpy.types.Context) -> None:
        """The message, then the words."""
        layout, found = self.layout, context.window_manager.farplane.chosen()
        if session.message is not None and session.message.of_takes:
            _draw_message(layout, context, session.message, dismiss=True)
        if found is not None:
            _draw_words(layout, context, found)


def _draw_shots(layout: Any, context: bpy.types.Context) -> None:
    """Whose takes these are, as soon as there is more than one shot to choose from; camera markers make shots."""
    shown, here = context.window_manager.farplane.shot, current_shot(context.scene)
    name = shown or here
    others = [shot for shot, _ in session.shots if shot != name]
    if not shown and not others:
        return
    row = layout.row(align=True)
    row.menu("FARPLANE_MT_shots", text=name or say("No shot"), icon="OUTLINER_OB_CAMERA", translate=False)
    if shown:
        row.operator("farplane.show_shot", text="", icon="X").shot = ""


def _state_icon(found: Listed) -> str:
    if session.is_being_made(found.take.folder):
        return "SORTTIME"
    return _STATE_ICONS[found.take.state] if found.take.whole else "ERROR"


def _short(found: Listed) -> str:
    """What a row says beside the name: the camera lock and the time."""
    if session.is_being_made(found.take.folder) or not found.take.whole:
        return ""
    lock, seconds = found.summary.lock, found.take.seconds
    parts = ["" if lock is None else f"{lock:.2f} px", duration(seconds) if seconds else ""]
    return "  ".join(part for part in parts if part)


def _draw_chosen(layout: Any, context: bpy.types.Context, found: Listed) -> None:
    """Picture and facts, then the decision: of one height for every take, so that its buttons stay where they are."""
    take, view = found.take, context.window_manager.farplane
    narrow = is_narrow(context)
    row = layout.column() if narrow else layout.row()
    row.template_icon_view(view, "gallery", show_labels=True, scale=PICTURE, scale_popup=POPUP)
    facts = row.column(align=True)
    facts.scale_y = 0.9
    lines = _facts(found)
    for line in [*lines, *[""] * (FACTS - len(lines))]:
        facts.label(text=line, translate=False)
    row = layout.column(align=True) if narrow else layout.row(align=True)
    row.enabled = take.whole and not session.is_being_made(take.folder)
    row.operator("farplane.accept", text="Accept", icon="CHECKMARK", depress=take.state == "accepted")
    row.operator("farplane.reject", text="Reject", icon="X", depress=take.state == "rejected")
    row = layout.row()
    row.enabled = not session.is_being_made(take.folder)
    row.prop(view, "note", text="", icon="GREASEPENCIL", placeholder="Note")


def _draw_words(layout: Any, context: bpy.types.Context, found: Listed) -> None:
    """The prompt; then why it is not whole, or what the report notes."""
    take, summary = found.take, found.summary
    column = layout.column(align=True)
    column.scale_y = 0.9
    _draw_text(column, context, summary.prompt or say("No prompt"), "TEXT", lines=3)
    if session.is_being_made(take.folder):
        return
    if not take.whole:
        _draw_text(column, context, say("Not all of its frames have come. Generate it again"), "ERROR", lines=3)
        return
    for note in summary.notes:
        _draw_text(column, context, filled(note), "INFO", lines=3)


def _facts(found: Listed) -> list[str]:
    """Seed and steps, size and time, the measured camera lock, and the decision, a line each."""
    summary, take = found.summary, found.take
    seed = say("Seed {}", summary.seed)
    if summary.steps:
        seed = say("{}, {} steps", seed, summary.steps)
    size = f"{summary.size[0]} x {summary.size[1]} px" if summary.size != (0, 0) else ""
    time = duration(take.seconds) if take.seconds else ""
    lines = [seed, ", ".join(part for part in (size, time) if part)]
    if take.whole:
        decided = f", {take.author}, {take.decided[:10]}" if take.decided else ""
        lines += [_lock_line(found), f"{say(_STATE_TEXTS[take.state])}{decided}"]
    return [line for line in lines if line]


def _lock_line(found: Listed) -> str:
    """The measured camera lock, or that there is none."""
    summary = found.summary
    if summary.lock is None:
        return say("Lock not readable") if summary.unmeasured else say("Lock not measured")
    lock = say("Lock {} px", f"{summary.lock:.2f}")
    return lock if summary.lock_95 is None else f"{lock}, 95% {summary.lock_95:.2f}"


CLASSES = (
    FARPLANE_UL_takes,
    FARPLANE_MT_take,
    FARPLANE_MT_shots,
    FARPLANE_PT_takes,
    FARPLANE_PT_landing,
    FARPLANE_PT_take_words,
)
