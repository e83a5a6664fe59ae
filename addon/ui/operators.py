"""What every operator of ours shares, and the first of them: generate, cancel, another seed."""

from __future__ import annotations

import random
import time
from typing import Any

import bpy
from bpy.props import StringProperty

from ...protocol.errors import FarplaneError
from ..passes import is_rendering
from .generate import Generation
from .meter import meter
from .session import STAGE_NAMES, Message, session
from .translations import say

TICK_SECONDS = 0.02  # of work per tick while the window stays responsive; one pass may take longer

FINISHED, CANCELLED, RUNNING = {"FINISHED"}, {"CANCELLED"}, {"RUNNING_MODAL"}
_generation: Generation | None = None  # the one whose passes are being read, for the panel


def running_generation() -> Generation | None:
    """The generation whose passes are being read just now."""
    return _generation


class _Operator(bpy.types.Operator):
    """Common to all of ours: an error is told in the status bar and stays in the panel."""

    def tell(self, error: FarplaneError) -> set[str]:
        """Report an error and cancel."""
        session.message = Message.of(error)
        redraw()
        self.report({"ERROR"}, f"{session.message.text}. {session.message.remedy}")
        return CANCELLED


class FARPLANE_OT_generate(_Operator):
    """Read cameras and depth from the scene, and send the shot to the backend"""

    bl_idname = "farplane.generate"
    bl_label = "Generate"
    bl_options = {"REGISTER"}

    _timer: Any = None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """One job at a time, and something to ask for."""
        if _generation is not None:
            cls.poll_message_set("A shot is being read already")
            return False
        if not context.scene.farplane.prompt.strip():
            cls.poll_message_set("Write a prompt first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """The whole way to the submitted job at once: background mode and scripts."""
        try:
            new_seed(context.scene)
            Generation(context.scene).run()
        except FarplaneError as error:
            return self.tell(error)
        return FINISHED

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Begin; the passes are read in `modal`, a little per tick."""
        global _generation
        if bpy.app.background:
            return self.execute(context)
        try:
            new_seed(context.scene)
            _generation = Generation(context.scene)
        except FarplaneError as error:
            return self.tell(error)
        session.message = None
        window_manager = context.window_manager
        self._timer = window_manager.event_timer_add(0.01, window=context.window)
        window_manager.progress_begin(0, 100)
        window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Work for a moment on each timer event; Esc and the panel's Cancel stop."""
        generation = _generation
        if generation is None:  # Cancel was pressed
            return self._leave(context, Message("Cancelled"))
        if event.type == "ESC" and event.value == "PRESS" and not generation.gives_way:  # Blender ends the render by it
            return self._leave(context, Message("Cancelled"))
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            with meter.tick("generate"):
                finished = self._work(generation)
        except FarplaneError as error:
            self._leave(context, None)
            return self.tell(error)
        except BaseException:  # a fault of ours: Blender ends the operator, which must not go on in the panel
            self._leave(context, None)
            raise
        if finished:
            self._leave(context, None)
            return FINISHED
        share = generation.done / max(1, generation.total)
        context.window_manager.progress_update(100 * share)
        line = generation_line(generation)
        context.workspace.status_text_set(line if generation.gives_way else f"{line}    |    {say('Esc: Cancel')}")
        redraw()
        return RUNNING

    @staticmethod
    def _work(generation: Generation) -> bool:
        """Steps for a moment; one of them may take longer, where Blender renders.  Returns whether all is done."""
        until = time.monotonic() + TICK_SECONDS
        while not generation.step():
            if generation.waits or time.monotonic() >= until:
                return False
        return True

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator: another file is opened, or it quits."""
        self._leave(context, None)

    def _leave(self, context: bpy.types.Context, message: Message | None) -> set[str]:
        global _generation
        generation, _generation = _generation, None
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
            context.window_manager.progress_end()
            if context.workspace is not None:  # None where the window is closing
                context.workspace.status_text_set(None)
        if generation is not None:
            generation.close()
        if message is not None:
            session.message = message
        redraw()
        return CANCELLED


class FARPLANE_OT_cancel(_Operator):
    """Stop the running job. Nothing that is landed changes"""

    bl_idname = "farplane.cancel"
    bl_label = "Cancel"
    bl_options = {"REGISTER"}

    job: StringProperty(options={"SKIP_SAVE", "HIDDEN"})  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only while something runs."""
        return _generation is not None or any(not job.cancelling for job in session.jobs.values())

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Reading passes stops at its next tick, a job within a denoise step.  Without `job`: everything."""
        global _generation
        if _generation is not None and not self.job:
            _generation.close()
            _generation = None
        session.cancel(self.job or None)
        redraw()
        return FINISHED


class FARPLANE_OT_new_seed(_Operator):
    """Choose another seed"""

    bl_idname = "farplane.new_seed"
    bl_label = "New Seed"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Any number that is easy to write down."""
        context.scene.farplane.seed = random.randrange(100_000)
        return FINISHED


def new_seed(scene: bpy.types.Scene) -> None:
    """Another seed, unless it is locked: any number that is easy to write down."""
    if not scene.farplane.seed_locked:
        scene.farplane.seed = random.randrange(100_000)


def generation_line(generation: Generation) -> str:
    """Where a generation stands, in the artist's words."""
    if generation.gives_way:
        return say("Waiting for your render")
    stage = say(STAGE_NAMES[generation.stage])
    if generation.waits and generation.done == 0:
        return stage
    return say("{} {} of {}", stage, generation.done, generation.total)


def refuse_while_rendering() -> None:
    """Raise FarplaneError while the artist renders: Blender crashes when something is taken out of the file meanwhile."""
    if is_rendering():
        raise FarplaneError("scene", "it is being rendered", "Wait for the render, or stop it")


def redraw() -> None:
    """Draw the sidebars of all 3D views again."""
    for window in bpy.context.window_manager.windows if bpy.context.window_manager else ():
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


CLASSES = (
    FARPLANE_OT_generate,
    FARPLANE_OT_cancel,
    FARPLANE_OT_new_seed,
)


def unregister() -> None:
    """Remove them, stopping what runs: the passes and the client."""
    global _generation
    if _generation is not None:
        _generation.close()
        _generation = None
    session.close()
