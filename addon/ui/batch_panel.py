"""The sub-panels Variations and Storyboard, and what their buttons do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty

from ...protocol.errors import FarplaneError
from .. import batch, storyboard
from ..batch import Record
from ..variations import expand
from . import operators
from .batch import (
    Run,
    active,
    begin_storyboard,
    begin_variations,
    forget_all,
    latest,
    lay,
    look,
    when_ended,
)
from .generate import current_plan
from .message import Message
from .operators import (
    FINISHED,
    FARPLANE_OT_generate,
    _Operator,
    new_seed,
    redraw,
    refuse_while_rendering,
    running_generation,
)
from .panels import ORDER, _draw_message, _Panel
from .places import root as root_of
from .places import shot_folder
from .session import session
from .translations import say

SHOWN_SHOTS = 12
_looked: tuple[Path, ...] = ()  # where the panels have looked for batches


class _Begin(_Operator):
    """Reads shots in the background of the window, as Generate does, and leaves the rest to the batch."""

    bl_options = {"REGISTER"}

    _timer: Any = None
    modal = FARPLANE_OT_generate.modal
    cancel = FARPLANE_OT_generate.cancel
    _leave = FARPLANE_OT_generate._leave
    _work = staticmethod(FARPLANE_OT_generate._work)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """One shot is read at a time."""
        if running_generation() is not None:
            cls.poll_message_set("A shot is being read already")
            return False
        return True

    def begin(self, scene: bpy.types.Scene) -> Run:
        """What is to be made.  Raises FarplaneError."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        """The whole way to the submitted jobs at once: background mode and scripts."""
        try:
            self.begin(context.scene).run()
        except FarplaneError as error:
            return self.tell(error)
        return FINISHED

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Begin; the passes are read in `modal`, a little per tick."""
        if bpy.app.background:
            return self.execute(context)
        try:
            operators._generation = self.begin(context.scene)  # type: ignore[assignment]
        except FarplaneError as error:
            return self.tell(error)
        session.message = None
        window_manager = context.window_manager
        self._timer = window_manager.event_timer_add(0.01, window=context.window)
        window_manager.progress_begin(0, 100)
        window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}


class FARPLANE_OT_variations(_Begin):
    """Make a take for every combination of the alternatives in the prompt, and a contact sheet of them all"""

    bl_idname = "farplane.variations"
    bl_label = "Generate Variations"

    def begin(self, scene: bpy.types.Scene) -> Run:
        """Another seed for the whole grid, unless it is locked."""
        expand(scene.farplane.prompt)
        new_seed(scene)
        return begin_variations(scene)


class FARPLANE_OT_storyboard(_Begin):
    """Make a draft of the shot of every camera marker, and lay them into the sequencer with their prompts"""

    bl_idname = "farplane.storyboard"
    bl_label = "Generate Storyboard"

    def begin(self, scene: bpy.types.Scene) -> Run:
        """All shots with one seed."""
        return begin_storyboard(scene)


class FARPLANE_OT_cancel_batch(_Operator):
    """Stop every job of this batch. Takes that are whole stay"""

    bl_idname = "farplane.cancel_batch"
    bl_label = "Cancel Batch"
    bl_options = {"REGISTER"}

    folder: StringProperty(options={"SKIP_SAVE", "HIDDEN"})  # type: ignore[valid-type]

    def execute(self, context: bpy.types.Context) -> set[str]:
        """What is read stops at its next tick, jobs within a denoise step."""
        for run in [*active("variations"), *active("storyboard")]:
            if str(run.record.folder) == self.folder:
                if running_generation() is run:  # type: ignore[comparison-overlap]
                    operators._generation = None
                run.close()
                run.cancel()
        redraw()
        return FINISHED


class FARPLANE_OT_show_sheet(_Operator):
    """Show the contact sheet in an Image Editor"""

    bl_idname = "farplane.show_sheet"
    bl_label = "Contact Sheet"
    bl_options = {"REGISTER"}

    folder: StringProperty(subtype="DIR_PATH", options={"SKIP_SAVE", "HIDDEN"})  # type: ignore[valid-type]

    def execute(self, context: bpy.types.Context) -> set[str]:
        """In the editor that shows one already, else in a window of its own."""
        path = Path(self.folder) / batch.SHEET
        if not path.is_file():
            return self.tell(FarplaneError("contact sheet", "it is not there", "Wait until the batch has ended"))
        try:
            show_picture(context, path)
        except RuntimeError:  # a damaged file
            return self.tell(FarplaneError("contact sheet", "it cannot be read", "Render the variations again"))
        return FINISHED


def show_picture(context: bpy.types.Context, path: Path) -> bpy.types.Image:
    """Show a picture file in Blender.  Raises RuntimeError where it is none."""
    image = bpy.data.images.load(str(path), check_existing=True)
    image.reload()
    if bpy.app.background:
        return image
    windows = context.window_manager.windows
    editors = [(w, a) for w in windows for a in w.screen.areas if a.type == "IMAGE_EDITOR"]
    shown = next((e for e in editors if e[1].spaces.active.image in (image, None) or _is_sheet(e[1])), None)
    if shown is None:
        bpy.ops.wm.window_new()
        window = windows[-1]
        area = window.screen.areas[0]
        area.type = "IMAGE_EDITOR"
        shown = window, area
    window, area = shown
    area.spaces.active.image = image
    region = next(region for region in area.regions if region.type == "WINDOW")
    with context.temp_override(window=window, area=area, region=region):
        bpy.ops.image.view_all(fit_view=True)
    return image


def _is_sheet(area: bpy.types.Area) -> bool:
    """Whether an Image Editor shows a contact sheet of ours."""
    path = Path(bpy.path.abspath(area.spaces.active.image.filepath))
    return path.name == batch.SHEET and (path.parent / batch.RECORD).is_file()


class FARPLANE_OT_lay_storyboard(_Operator):
    """Lay this storyboard into the sequencer, on channels of its own"""

    bl_idname = "farplane.lay_storyboard"
    bl_label = "Lay in Sequencer"
    bl_options = {"REGISTER", "UNDO"}

    folder: StringProperty(subtype="DIR_PATH", options={"SKIP_SAVE", "HIDDEN"})  # type: ignore[valid-type]

    def execute(self, context: bpy.types.Context) -> set[str]:
        """As when its last draft came."""
        try:
            refuse_while_rendering()
            lay(context.scene, Record.open(Path(self.folder)))
        except FarplaneError as error:
            return self.tell(error)
        redraw()
        return FINISHED


class FARPLANE_OT_remove_storyboard(_Operator):
    """Take this storyboard out of the sequencer again. Its takes stay"""

    bl_idname = "farplane.remove_storyboard"
    bl_label = "Remove Storyboard"
    bl_options = {"REGISTER", "UNDO"}

    storyboard_id: StringProperty(options={"SKIP_SAVE", "HIDDEN"})  # type: ignore[valid-type]

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Its strips, and with the last one the sequencer's settings."""
        try:
            refuse_while_rendering()
        except FarplaneError as error:
            return self.tell(error)
        if self.storyboard_id not in storyboard.laid(context.scene):
            return self.tell(FarplaneError("storyboard", "it is not in the sequencer", "Choose one that is"))
        storyboard.remove(context.scene, self.storyboard_id)
        redraw()
        return FINISHED


class FARPLANE_OT_marker_prompt(_Operator):
    """Write what this marker's shot should show. Empty, it is the scene's prompt"""

    bl_idname = "farplane.marker_prompt"
    bl_label = "Prompt of Marker"
    bl_options = {"REGISTER", "UNDO"}

    marker: StringProperty(options={"SKIP_SAVE", "HIDDEN"})  # type: ignore[valid-type]
    prompt: StringProperty(  # type: ignore[valid-type]
        name="Prompt", description="What this shot should show. Empty, it is the scene's prompt", options={"SKIP_SAVE"}
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask in a dialogue."""
        self.prompt = storyboard.marker_prompt(context.scene, self.marker)
        return context.window_manager.invoke_props_dialog(self, width=480)

    def draw(self, context: bpy.types.Context) -> None:
        """One wide field."""
        self.layout.prop(self, "prompt", text="", placeholder=context.scene.farplane.prompt)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Kept in the scene, by the marker's name."""
        if self.marker not in context.scene.timeline_markers:
            return self.tell(FarplaneError("marker", "it is not in the timeline", "Choose one that is"))
        storyboard.set_marker_prompt(context.scene, self.marker, self.prompt)
        redraw()
        return FINISHED


# ---- the panels ---------------------------------------------------------------------------------------------


class FARPLANE_PT_batch(_Panel, bpy.types.Panel):
    """Several takes at once."""

    bl_label = "Batch"
    bl_order = ORDER["batch"]
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Its parts say it."""


class FARPLANE_PT_variations(_Panel, bpy.types.Panel):
    """How many takes the prompt's alternatives make, and the batches of them."""

    bl_label = "Variations"
    bl_parent_id = "FARPLANE_PT_batch"

    def draw(self, context: bpy.types.Context) -> None:
        """The grid in numbers, the button, what runs, and the last sheet."""
        layout, asked = self.layout, context.scene.farplane
        layout.use_property_decorate = False
        ready = False
        try:
            grid = expand(asked.prompt)
            ready = len(grid.cells) > 1
            if ready:
                sizes = " x ".join(str(len(group)) for group in grid.groups)
                count = len(grid.cells)
                text = say("{} = {} takes", sizes, count) if len(grid.groups) > 1 else say("{} takes", count)
                layout.label(text=text, icon="MESH_GRID", translate=False)
            else:
                layout.label(text="Write alternatives as {dawn|noon}", icon="INFO")
        except FarplaneError as error:
            if asked.prompt.strip():
                _draw_message(layout, context, Message.of(error))
            else:
                layout.label(text="Write alternatives as {dawn|noon}", icon="INFO")
        layout.prop(asked, "vary_seed")
        row = layout.row()
        row.enabled = ready
        row.operator("farplane.variations", icon="LIGHTPROBE_VOLUME")
        _draw_runs(layout, "variations")
        found = _latest(context.scene, "variations")
        if found is not None:
            _draw_sheet(layout, found)


class FARPLANE_PT_storyboard(_Panel, bpy.types.Panel):
    """The shots of the camera markers, and the animatics in the sequencer."""

    bl_label = "Storyboard"
    bl_parent_id = "FARPLANE_PT_batch"

    def draw(self, context: bpy.types.Context) -> None:
        """A row for each shot with its prompt, the button, what runs, and what is laid."""
        layout, scene = self.layout, context.scene
        try:
            shots = storyboard.board_shots(scene, scene.farplane.prompt)
        except FarplaneError as error:
            told = Message.of(error)
            begun = any(marker.camera is not None for marker in scene.timeline_markers)
            # without a marker nothing is wrong: it says how to begin
            _draw_message(layout, context, told if begun else Message(told.text, told.remedy))
        else:
            column = layout.column(align=True)
            for shot in shots[:SHOWN_SHOTS]:
                _draw_shot(column, scene, shot)
            if len(shots) > SHOWN_SHOTS:
                column.label(text=say("and {} more", len(shots) - SHOWN_SHOTS), translate=False)
            layout.operator("farplane.storyboard", icon="SEQUENCE")
        _draw_runs(layout, "storyboard")
        found = _latest(scene, "storyboard")
        laid = storyboard.laid(scene)
        if found is not None:
            _draw_sheet(layout, found)
            if found.folder.name not in laid.values():
                layout.operator("farplane.lay_storyboard", icon="SEQ_SEQUENCER").folder = str(found.folder)
        for identity, title in laid.items():
            row = layout.row()
            row.label(text=title, icon="SEQ_SEQUENCER", translate=False)
            row.operator("farplane.remove_storyboard", text="", icon="TRASH").storyboard_id = identity


def _draw_shot(layout: Any, scene: bpy.types.Scene, shot: storyboard.BoardShot) -> None:
    """The marker, its frames, and its own prompt or the scene's, greyed."""
    row = layout.row(align=True)
    split = row.split(factor=0.42, align=True)
    split.label(text=f"{shot.plan.frames[0]}  {shot.marker}", icon="MARKER_HLT", translate=False)
    words = split.row(align=True)
    words.active = bool(storyboard.marker_prompt(scene, shot.marker))
    words.label(text=shot.prompt or say("no prompt"), translate=False)
    row.operator("farplane.marker_prompt", text="", icon="GREASEPENCIL").marker = shot.marker


def _draw_runs(layout: Any, kind: str) -> None:
    for run in active(kind):
        total = len(run.record.entries)
        row = layout.row(align=True)
        row.progress(factor=run.finished / max(1, total), text=say("{} of {} takes", run.finished, total))
        row.operator("farplane.cancel_batch", text="", icon="CANCEL").folder = str(run.record.folder)


def _draw_sheet(layout: Any, record: Record) -> None:
    row = layout.row(align=True)
    row.label(text=record.folder.name, icon="IMAGE_REFERENCE", translate=False)
    row.operator("farplane.show_sheet").folder = str(record.folder)


def _latest(scene: bpy.types.Scene, kind: str) -> Record | None:
    """The newest batch of a kind; looks for them, in another thread, when the shot is another one."""
    global _looked
    root = root_of(scene)
    try:
        shot = shot_folder(scene, current_plan(scene).name)
    except FarplaneError:
        shot = root
    if _looked != (root, shot):
        _looked = (root, shot)
        look(_looked, redraw)
    return latest(root if kind == "storyboard" else shot, kind)


def _look_again(job: Any) -> None:
    """A job has ended, and perhaps its batch; the sheet is made before this looks."""
    global _looked
    when_ended(job)
    _looked = ()


CLASSES = (
    FARPLANE_OT_variations,
    FARPLANE_OT_storyboard,
    FARPLANE_OT_cancel_batch,
    FARPLANE_OT_show_sheet,
    FARPLANE_OT_lay_storyboard,
    FARPLANE_OT_remove_storyboard,
    FARPLANE_OT_marker_prompt,
    FARPLANE_PT_batch,
    FARPLANE_PT_variations,
    FARPLANE_PT_storyboard,
)


def register() -> None:
    """Register operators and panels, and hear of jobs that end."""
    session.when_ended.append(_look_again)


def unregister() -> None:
    """Remove them."""
    global _looked
    session.when_ended.remove(_look_again)
    forget_all()
    _looked = ()
