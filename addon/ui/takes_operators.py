"""What the artist does with takes: decide, compare, rename, use again, delete; land and remove."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ...protocol.errors import FarplaneError
from .. import landing
from ..materials import has_colours
from ..passes import is_rendering
from ..sun import has_sun
from ..takes import Take
from . import preferences
from .landed import in_f12
from .message import STAGE_NAMES, Message
from .operators import CANCELLED, FINISHED, RUNNING, TICK_SECONDS, _Operator, redraw, refuse_while_rendering
from .properties import LANDING_KINDS
from .session import session
from .summary import Listed, Summary
from .translations import filled, say
from .view import show_in_sequencer, shown_places


def selected() -> Listed | None:
    """The take that is chosen in the list."""
    window_manager = bpy.context.window_manager
    if window_manager is None:
        return None
    view = window_manager.farplane
    if not 0 <= view.take_index < len(view.takes):
        return None
    return session.find(Path(view.takes[view.take_index].folder))


class _TakeOperator(_Operator):
    """Works on the take in `folder`, or on the chosen one where that is empty."""

    of_takes = True

    folder: StringProperty(  # type: ignore[valid-type]
        name="Take", description="The take's folder. Empty for the chosen one", options={"SKIP_SAVE", "HIDDEN"}
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Scripts name the folder; buttons need a take to be chosen, or name it too."""
        return True

    def take(self) -> Take:
        """Read it anew from the disk.  Raises FarplaneError."""
        if self.folder:
            folder = Path(bpy.path.abspath(self.folder))
        else:
            found = selected()
            if found is None:
                raise FarplaneError("take", "none is chosen", "Choose one in the list of takes")
            folder = found.take.folder
        if session.is_being_made(folder):
            raise FarplaneError("take", f"{folder.name} is still being made", "Wait for it, or cancel its job")
        return Take.open(folder)

    said: Message | None = None  # what this very operator had to say

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Do `work`, tell what is wrong, and show the list as it is now."""
        try:
            take = self.take()
            self.work(context, take)
        except FarplaneError as error:
            return self.tell(error)
        return self.show(take)

    def show(self, take: Take) -> set[str]:
        """The list as it is now; what was said before of takes, or of this one, is over."""
        told = session.message
        if told is not None and (told.of_takes or told.take == take.folder) and told is not self.said:
            session.message = None
        session.reread(take.folder.parent)
        redraw()
        return FINISHED

    def work(self, context: bpy.types.Context, take: Take) -> None:
        """Raises FarplaneError."""
        raise NotImplementedError


class FARPLANE_OT_accept(_TakeOperator):
    """Take this plate. The decision, your name and the time are written beside it"""

    bl_idname = "farplane.accept"
    bl_label = "Accept Take"
    bl_options = {"REGISTER"}

    note: StringProperty(name="Note", options={"SKIP_SAVE"})  # type: ignore[valid-type]

    def work(self, context: bpy.types.Context, take: Take) -> None:
        """Once more takes the decision back."""
        if take.state == "accepted":
            take.undecide(author=preferences.settings().author)
        else:
            take.accept(self.note or take.note, preferences.settings().author)


class FARPLANE_OT_reject(_TakeOperator):
    """Do not take this plate. The decision is written beside it, its files stay"""

    bl_idname = "farplane.reject"
    bl_label = "Reject Take"
    bl_options = {"REGISTER"}

    note: StringProperty(name="Note", options={"SKIP_SAVE"})  # type: ignore[valid-type]

    def work(self, context: bpy.types.Context, take: Take) -> None:
        """Once more takes the decision back."""
        if take.state == "rejected":
            take.undecide(author=preferences.settings().author)
        else:
            take.reject(self.note or take.note, preferences.settings().author)


class FARPLANE_OT_rename_take(_TakeOperator):
    """Give this take a name. Its folder keeps its own"""

    bl_idname = "farplane.rename_take"
    bl_label = "Rename Take"
    bl_options = {"REGISTER"}
    bl_property = "name"

    name: StringProperty(name="Name", options={"SKIP_SAVE"})  # type: ignore[valid-type]

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the name."""
        try:
            self.name = self.take().label
        except FarplaneError as error:
            return self.tell(error)
        return context.window_manager.invoke_props_dialog(self)

    def work(self, context: bpy.types.Context, take: Take) -> None:
        """An empty name gives the folder's back."""
        take.describe(title=self.name)


class FARPLANE_OT_use_settings(_TakeOperator):
    """Put this take's prompt, seed, model, steps and use of colours and sun back into the Shot panel"""

    bl_idname = "farplane.use_settings"
    bl_label = "Use These Settings"
    bl_options = {"REGISTER", "UNDO"}

    def work(self, context: bpy.types.Context, take: Take) -> None:
        """The seed is locked, or it would be another one at the next Generate."""
        asked, summary = context.scene.farplane, Summary.read(take)
        asked.prompt, asked.negative = summary.prompt, summary.negative
        asked.model_name = summary.model or asked.model_name
        asked.seed, asked.seed_locked = min(summary.seed, 2**31 - 1), True
        asked.quality, asked.steps = ("CUSTOM" if summary.steps else "FINAL"), summary.steps
        if summary.colours or has_colours(context.scene):  # else there were none to tell, and there are none now
            asked.use_colours = summary.colours
        if summary.sun or has_sun(context.scene):
            asked.use_sun = summary.sun


class FARPLANE_OT_show_folder(_TakeOperator):
    """Open this take's folder in the system's file browser"""

    bl_idname = "farplane.show_folder"
    bl_label = "Show Folder"
    bl_options = {"REGISTER"}

    def work(self, context: bpy.types.Context, take: Take) -> None:
        """On Linux Blender's own way ends in a traceback where xdg-open is missing."""
        if sys.platform != "linux":
            bpy.ops.wm.path_open(filepath=str(take.folder))
            return
        program = shutil.which("xdg-open")
        try:
            if program is None:
                raise OSError
            subprocess.Popen([program, str(take.folder)], stderr=subprocess.DEVNULL, start_new_session=True)
        except OSError as error:
            context.window_manager.clipboard = str(take.folder)
            problem = f"this system has no program to show {take.folder}"
            raise FarplaneError("folder", problem, "Its path is in the clipboard") from error


class FARPLANE_OT_delete_take(_TakeOperator):
    """Delete this take's files from the disk. This cannot be undone"""

    bl_idname = "farplane.delete_take"
    bl_label = "Delete Take"
    bl_options = {"REGISTER"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask first."""
        try:
            take = self.take()
            _refuse_landed(take)
        except FarplaneError as error:
            return self.tell(error)
        return context.window_manager.invoke_confirm(
            self,
            event,
            title=say("Delete Take"),
            message=say("Delete {} from the disk? This cannot be undone", take.label),
            confirm_text=say("Delete"),
            icon="WARNING",
        )

    def work(self, context: bpy.types.Context, take: Take) -> None:
        """Only what Farplane wrote; anything else in the folder stays."""
        _refuse_landed(take)
        take.delete()


@dataclass
class _Files:
    """The files that a landing waits for; lives on where Blender has ended the operator.  written : so far."""

    total: int
    written: int = 0
    stopped: bool = False

    def write(self, one: Callable[[], None]) -> None:
        """In the disk's thread."""
        if not self.stopped:
            one()

    def count(self, told: Any) -> None:
        """One is written, or cannot be: then the landing goes without depth, as it would by itself."""
        self.written += 1


class FARPLANE_OT_land(_TakeOperator):
    """Put this take into the scene"""

    bl_idname = "farplane.land"
    bl_label = "Land Take"
    bl_options = {"REGISTER", "UNDO"}

    kinds: EnumProperty(  # type: ignore[valid-type]
        name="Land As", items=LANDING_KINDS, options={"ENUM_FLAG", "SKIP_SAVE"}
    )
    bake: BoolProperty(  # type: ignore[valid-type]
        name="Bake to UVs",
        description="Project this frame only, in the meshes' own coordinates, so that it moves with them",
        options={"SKIP_SAVE"},
    )

    _timer: Any = None
    _files: Any = None
    _steps: Iterator[None] | None = None  # of a landing that has begun
    _take: Any = None

    @classmethod
    def description(cls, context: bpy.types.Context, properties: Any) -> str:
        """What this kind of landing does."""
        if properties.bake:
            return say("Project this frame only, in the meshes' own coordinates, so that it moves with them")
        chosen = [item for item in LANDING_KINDS if item[0] in properties.kinds]
        return say(chosen[0][2]) if len(chosen) == 1 else say("Put this take into the scene")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Have the disk's thread write what the landing needs, then land, a little per tick; small ones at once."""
        if bpy.app.background:
            return self.execute(context)
        try:
            needed = landing.unprepared(self.take().folder, self._kinds(context.scene))
        except FarplaneError as error:
            return self.tell(error)
        self._files = _Files(len(needed))
        self._scene_uid = context.scene.session_uid
        for write in needed:
            session.disk.do(partial(self._files.write, write), self._files.count)
        return self._wait(context) if needed or is_rendering() else self._go_on(context)

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Wait for the disk's thread and for a render of the artist's, where Esc leaves the scene as it is; then land, and
        nothing comes in between.
        """
        if self._steps is not None:
            return self._go_on(context) if event.type == "TIMER" else RUNNING
        if event.type == "ESC" and event.value == "PRESS" and not is_rendering():  # Blender ends the render by it
            self.cancel(context)
            session.message = Message(say("Cancelled"))
            redraw()
            return CANCELLED
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        session.disk.poll()
        if self._files.written < self._files.total:
            line = say("{} {} of {}", say(STAGE_NAMES["files"]), self._files.written, self._files.total)
            context.workspace.status_text_set(f"{line}    |    {say('Esc: Cancel')}")
            return {"PASS_THROUGH"}
        if is_rendering():
            context.workspace.status_text_set(say("Waiting for your render"))
            return {"PASS_THROUGH"}
        if context.scene.session_uid != self._scene_uid:
            self.cancel(context)
            return self.tell(FarplaneError("scene", "another one is shown now", "Land the take again"))
        return self._go_on(context)

    def cancel(self, context: bpy.types.Context) -> None:
        """It waits no longer: all is done, or Blender ends the operator."""
        if self._files is not None:
            self._files.stopped = True
        self._steps = None
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            context.workspace.status_text_set(None)
            self._timer = None

    def _wait(self, context: bpy.types.Context) -> set[str]:
        """For the next tick."""
        if self._timer is None:
            self._timer = context.window_manager.event_timer_add(0.02, window=context.window)
            context.window_manager.modal_handler_add(self)
        return RUNNING

    def _go_on(self, context: bpy.types.Context) -> set[str]:
        """Land for the time of a tick; return whether that was all."""
        until = time.monotonic() + TICK_SECONDS
        try:
            if self._steps is None:
                self._take = self.take()
                self._steps = self.steps(context, self._take)
            for _ in self._steps:
                if time.monotonic() >= until:
                    return self._wait(context)
        except FarplaneError as error:
            self.cancel(context)
            return self.tell(error)
        except BaseException:  # a fault of ours: Blender ends the operator
            self.cancel(context)
            raise
        self.cancel(context)
        return self.show(self._take)

    def _kinds(self, scene: bpy.types.Scene) -> set[str]:
        """As this operator says, or as the panel does."""
        return set(self.kinds) or set(scene.farplane.kinds)

    def work(self, context: bpy.types.Context, take: Take) -> None:
        """All at once."""
        for _ in self.steps(context, take):
            pass

    def steps(self, context: bpy.types.Context, take: Take) -> Iterator[None]:
        """Land as this operator says, or as the panel does, some milliseconds per step.  Raises FarplaneError."""
        scene = context.scene
        if take.state == "rejected":
            raise FarplaneError("take", f"{take.label} is rejected", "Accept it, or choose another one")
        chosen = [obj for obj in context.selected_objects if landing.reach.is_shown(obj)]
        kinds = self._kinds(scene)
        baked = None
        if self.bake:
            baked = max((n for n in take.expected if n <= scene.frame_current), default=min(take.expected))
            chosen = [obj for obj in chosen or landing.projection.surfaces(scene) if obj.type == "MESH"]
        landed = yield from landing.land_in_steps(
            scene, camera_of(take, scene), take.folder, kinds, objects=chosen or None, baked=baked
        )
        made = kinds - set(landed.failed)
        if "strip" in made:
            show_in_sequencer(scene)
        self.said = session.message = _landed_message(take, scene, landed)
        names = [say(label) for kind, label, *_ in LANDING_KINDS if kind in made]
        self.report({"INFO"}, say("Landed {} as {}", landed.name, ", ".join(names)))


class FARPLANE_OT_remove(_Operator):
    """Take a landed take out of the scene again. Its files stay"""

    bl_idname = "farplane.remove"
    bl_label = "Remove from Scene"
    bl_options = {"REGISTER", "UNDO"}
    of_takes = True

    landing_id: StringProperty(options={"SKIP_SAVE", "HIDDEN"})  # type: ignore[valid-type]
    kinds: EnumProperty(  # type: ignore[valid-type]
        name="Landed As", items=LANDING_KINDS, options={"ENUM_FLAG", "SKIP_SAVE"}
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove these kinds of it, or every kind."""
        try:
            refuse_while_rendering()
            landing.remove(context.scene, self.landing_id, set(self.kinds) or landing.KINDS)
        except FarplaneError as error:
            return self.tell(error)
        if session.message is not None and session.message.of_takes:
            session.message = None
        redraw()
        return FINISHED


class FARPLANE_OT_show_shot(_Operator):
    """List the takes of this shot"""

    bl_idname = "farplane.show_shot"
    bl_label = "Show Takes of Shot"
    bl_options = {"INTERNAL"}

    shot: StringProperty(options={"SKIP_SAVE", "HIDDEN"})  # type: ignore[valid-type]

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Until another one is chosen, or the next Generate; empty, the list follows the timeline again."""
        context.window_manager.farplane.shot = self.shot
        found = shown_places(context.scene)
        if found:
            session.list_takes(found[0], found[1:])
        redraw()
        return FINISHED


def _landed_message(take: Take, scene: bpy.types.Scene, landed: landing.Landed) -> Message:
    """That it is landed, what F12 shows of it, which ways could not be made, and what was left out."""
    shown = in_f12(scene, landed)
    lines = [say("{} is landed. {}", take.label, shown) if shown else say("{} is landed", take.label)]
    labels = {kind: say(label) for kind, label, *_ in LANDING_KINDS}
    for kind, error in landed.failed.items():
        lines.append(say("Not as {}: {}", labels[kind], filled(error.problem)))
    lines += [filled(note) for note in landed.notes]
    remedy = next((filled(error.remedy) for error in landed.failed.values()), "")
    return Message(". ".join(line.rstrip(".") for line in lines), remedy, landing=landed.id, of_takes=True)


def camera_of(take: Take, scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The camera that the take was made for, if it is still there, else the active one.

    Of several with its name, linked and local, it is the one that the timeline shows in the take's first frame.
    """
    frames = take.shot().get("frames", [])
    first = frames[0] if frames and isinstance(frames[0], dict) else {}
    name, number = first.get("camera", ""), first.get("frame", 0)
    markers = sorted((m for m in scene.timeline_markers if m.camera is not None), key=lambda marker: marker.frame)
    bound = [marker.camera for marker in markers if isinstance(number, int) and marker.frame <= number]
    there = [*reversed(bound), scene.camera, *(marker.camera for marker in markers), *scene.objects]
    named = [obj for obj in there if obj is not None and obj.type == "CAMERA" and obj.name == name]
    return named[0] if named else scene.camera


def _refuse_landed(take: Take) -> None:
    """Raise FarplaneError while a scene of this file shows the take."""
    folder = take.folder.absolute()
    for scene in bpy.data.scenes:
        if any(item.folder == folder for item in landing.landed(scene)):
            problem = f"{take.label} is landed in {scene.name}"
            raise FarplaneError("take", problem, "Remove it from the scene first")


CLASSES = (
    FARPLANE_OT_accept,
    FARPLANE_OT_reject,
    FARPLANE_OT_rename_take,
    FARPLANE_OT_use_settings,
    FARPLANE_OT_show_folder,
    FARPLANE_OT_delete_take,
    FARPLANE_OT_land,
    FARPLANE_OT_remove,
    FARPLANE_OT_show_shot,
)
