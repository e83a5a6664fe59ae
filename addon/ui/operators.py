"""What every operator of ours shares, and the first of them: generate, cancel, another seed, messages put away."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any

import bpy
from bpy.props import BoolProperty, StringProperty

from ...protocol.errors import FarplaneError
from ..passes import is_rendering
from ..variations import expand, has_alternatives
from .generate import Generation
from .message import STAGE_NAMES, Message
from .meter import meter
from .session import session
from .translations import say

TICK_SECONDS = 0.02  # of work per tick while the window stays responsive; one pass may take longer

FINISHED, CANCELLED, RUNNING = {"FINISHED"}, {"CANCELLED"}, {"RUNNING_MODAL"}
_generation: Generation | None = None  # the one whose passes are being read, for the panel


def running_generation() -> Generation | None:
    """The generation whose passes are being read just now."""
    return _generation


class _Operator(bpy.types.Operator):
    """Common to all of ours: an error is told in the status bar and stays in the panel.

    of_takes : its buttons stand in the Takes panel, and what it says is said below them.
    """

    of_takes = False

    def tell(self, error: FarplaneError) -> set[str]:
        """Report an error and cancel."""
        session.message = replace(Message.of(error), of_takes=self.of_takes)
        redraw()
        self.report({"ERROR"}, f"{session.message.text}. {session.message.remedy}")
        return CANCELLED


class FARPLANE_OT_generate(_Operator):
    """Read cameras and depth from the scene, and send the shot to the backend"""

    bl_idname = "farplane.generate"
    bl_label = "Generate"
    bl_options = {"REGISTER"}

    literal: BoolProperty(  # type: ignore[valid-type]
        name="As Written",
        description="Send the prompt's braces as they stand, and make one take of it",
        options={"SKIP_SAVE"},
    )

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
            if self._is_ambiguous(context.scene):
                raise FarplaneError(
                    "prompt", "it holds alternatives in braces", "Make variations of it, or generate it as written"
                )
            new_seed(context.scene)
            session.message = None
            Generation(context.scene).run()
        except FarplaneError as error:
            return self.tell(error)
        return FINISHED

    def _is_ambiguous(self, scene: bpy.types.Scene) -> bool:
        """Whether the prompt may mean several takes, and nobody has said that it means one."""
        return not self.literal and has_alternatives(scene.farplane.prompt)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Begin; the passes are read in `modal`, a little per tick."""
        global _generation
        if bpy.app.background:
            return self.execute(context)
        if self._is_ambiguous(context.scene):  # from F3 or a shortcut: the panel has a button for each
            context.window_manager.popup_menu(_ask_which, title="The prompt holds alternatives", icon="QUESTION")
            return CANCELLED
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


class FARPLANE_OT_dismiss(_Operator):
    """Put this message away"""

    bl_idname = "farplane.dismiss"
    bl_label = "Dismiss"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Nothing else changes."""
        session.message = None
        redraw()
        return FINISHED


class FARPLANE_OT_notice(_Operator):
    """Tell in the status bar how something ended"""

    bl_idname = "farplane.notice"
    bl_label = "Notice"
    bl_options = {"INTERNAL"}

    text: StringProperty(options={"SKIP_SAVE", "HIDDEN"})  # type: ignore[valid-type]
    is_error: BoolProperty(options={"SKIP_SAVE", "HIDDEN"})  # type: ignore[valid-type]

    _timer: Any = None

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Blender shows what an operator reports from an event, not what a script's call does: wait for one."""
        self._timer = context.window_manager.event_timer_add(0.01, window=context.window)
        context.window_manager.modal_handler_add(self)
        return RUNNING

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """The first event will do."""
        self.cancel(context)
        self.report({"ERROR" if self.is_error else "INFO"}, self.text)
        return {"FINISHED", "PASS_THROUGH"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends it, or it is done."""
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None


class FARPLANE_OT_new_seed(_Operator):
    """Choose another seed"""

    bl_idname = "farplane.new_seed"
    bl_label = "New Seed"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Any number that is easy to write down."""
        context.scene.farplane.seed = random.randrange(100_000)
        return FINISHED


def _ask_which(menu: Any, context: bpy.types.Context) -> None:
    """The two things that Generate may mean."""
    layout = menu.layout
    layout.operator_context = "INVOKE_DEFAULT"
    text = variations_label(context.scene.farplane.prompt)
    layout.operator("farplane.variations", text=text, icon="LIGHTPROBE_VOLUME", translate=False)
    layout.operator("farplane.generate", text="Generate as Written", icon="RENDER_ANIMATION").literal = True


def variations_label(prompt: str) -> str:
    """How many takes a prompt's alternatives make; without the number where the braces are wrong."""
    try:
        return say("{} Variations", len(expand(prompt).cells))
    except FarplaneError:
        return say("Variations")


def tell_notices() -> None:
    """Say in the status bar what has ended since the last call, without a click; the timer calls it."""
    windows = bpy.context.window_manager.windows
    told, session.notices = session.notices, []
    if bpy.app.background or not windows:
        return
    for message in told:
        with bpy.context.temp_override(window=windows[0]):
            bpy.ops.farplane.notice("INVOKE_DEFAULT", text=say("Farplane: {}", message.text), is_error=message.is_error)


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
    FARPLANE_OT_dismiss,
    FARPLANE_OT_notice,
    FARPLANE_OT_new_seed,
)


def unregister() -> None:
    """Remove them, stopping what runs: the passes and the client."""
    global _generation
    if _generation is not None:
        _generation.close()
        _generation = None
    session.close()
