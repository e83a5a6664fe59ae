"""What goes on with a landed take: the set hidden in the viewport, what F12 shows, and our scene kept as the artist's is."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.handlers import persistent

from ...protocol.errors import FarplaneError
from .. import scope
from ..landing import Landed, compositor, foreground, set_view
from ..passes import is_rendering
from . import handlers
from .operators import FINISHED, _Operator, redraw
from .translations import say

_SECONDS = 0.5  # between looks at whether the artist changed what a render shows
_WATCHED = ("SCENE", "COLLECTION", "WORLD")  # kinds of datablocks that tell of such a change
_is_changed = False


class FARPLANE_OT_hide_set(_Operator):
    """Hide the set in the viewport, so that the plate behind the camera shows. Renders are not changed"""

    bl_idname = "farplane.hide_set"
    bl_label = "Hide Set"
    bl_options = {"REGISTER", "UNDO"}
    of_takes = True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Once more shows it again."""
        scene = context.scene
        if set_view.is_hidden(scene):
            set_view.show(scene)
        elif not set_view.hide(scene, context.view_layer):
            problem = "nothing of it is shown in this view layer"
            return self.tell(FarplaneError("set", problem, "Show the set, or see what is in the Foreground"))
        redraw()
        return FINISHED


def draw(layout: Any, scene: bpy.types.Scene, here: Landed) -> None:
    """Beside a take that is landed behind the camera: the same for F12, and the set out of its way."""
    if "background" not in here.kinds:
        return
    row = layout.row(align=True)
    is_in_render = "compositor" in here.kinds
    button = row.operator(
        "farplane.remove" if is_in_render else "farplane.land",
        text="Show in F12",
        icon="RENDER_STILL",
        depress=is_in_render,
    )
    button.kinds = {"compositor"}
    if is_in_render:
        button.landing_id = here.id
    else:
        button.folder = str(here.folder)
    hidden = set_view.is_hidden(scene)
    row.operator("farplane.hide_set", text="Hide Set", icon="HIDE_ON" if hidden else "HIDE_OFF", depress=hidden)


def in_f12(scene: bpy.types.Scene, here: Landed) -> str:
    """What F12 shows of a scene with this take landed in it."""
    if "compositor" not in here.kinds:
        if "background" in here.kinds and here.kinds == ("background",):
            return say("It stands behind the scene in the viewport; F12 is without it until Show in F12 is on")
        return ""
    if not scope.foreground(scene):
        return say("F12 shows the plate alone, since nothing is in the Foreground")
    if not foreground.holds_out_set(scene):
        return say("F12 shows the plate and all of the Foreground before it, without shadow: this needs Cycles")
    if not foreground.shows_shadow(scene):
        return say("F12 shows the plate and the Foreground, without its shadow: that needs Cycles")
    return say("F12 shows the plate, the Foreground and its shadow")


# ---- our scene ------------------------------------------------------------------------------------------------


def keep_up() -> None:
    """Have our scenes be as the artist's are."""
    for scene in bpy.data.scenes:
        compositor.keep_up(scene)


@persistent
def _note(_: Any, depsgraph: Any) -> None:
    global _is_changed
    _is_changed = _is_changed or any(depsgraph.id_type_updated(kind) for kind in _WATCHED)


@persistent
def _before_a_save(*_: Any) -> None:
    keep_up()


@persistent
def _before_a_render(*_: Any) -> None:
    if bpy.app.background:  # in a window Blender draws meanwhile, and the timer has done it
        keep_up()


def _look() -> float:
    global _is_changed
    if _is_changed and not is_rendering():
        _is_changed = False
        keep_up()
    return _SECONDS


CLASSES = (FARPLANE_OT_hide_set,)
HANDLERS = {"depsgraph_update_post": _note, "save_pre": _before_a_save, "render_init": _before_a_render}


def register() -> None:
    """Watch for changes."""
    handlers.add(HANDLERS)
    if not bpy.app.background:
        bpy.app.timers.register(_look, first_interval=_SECONDS, persistent=True)


def unregister() -> None:
    """No longer."""
    if bpy.app.timers.is_registered(_look):
        bpy.app.timers.unregister(_look)
    handlers.remove(HANDLERS)
