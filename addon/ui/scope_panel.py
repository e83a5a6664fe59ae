"""The panel Foreground: what is never sent, what alone is sent, and how many objects that leaves; files that are missing.

Counting looks at every object, and missing files ask the disk: both are done by the timer, only while the panel is
seen, and the disk's thread asks.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

import bpy
from bpy.props import EnumProperty, IntProperty

from ...protocol.errors import FarplaneError
from .. import scope
from ..commands.choice import label
from ..missing import Wanted, wanted_files
from ..scene import one_frame_shots
from .operators import FINISHED, RUNNING, _Operator
from .panels import ORDER, _draw_text, _Panel, is_narrow
from .session import session
from .translations import say

LOOK_SECONDS = 15.0  # from one look for missing files to the next
SHARE = 0.02  # of the main thread that counting may take: a look that took 20 ms is followed by a second's rest
SHOWN_FILES = 4
MOST_FRAMES = 1440  # of a shot

_given: dict[tuple[str, str, str], tuple[str, str, str]] = {}  # Blender keeps no copy of a dynamic enum's texts


@dataclass
class _State:
    counted: scope.Summary | None = None
    seen: Any = None  # what `counted` was made from
    rest_until: float = 0.0
    wanted: list[Wanted] = field(
        default_factory=list
    )  # files of the scene, made from `named`; and when they were looked for
    named: Any = None
    looked: float = 0.0
    missing: list[Wanted] = field(default_factory=list)


_state = _State()


def refresh() -> bool:
    """Count what is sent and look for missing files, where anything may have changed; whether what is drawn did.

    The timer calls it.
    """
    scene = bpy.context.scene
    if scene is None or not session.wanted or time.monotonic() < _state.rest_until:
        return False
    began = time.monotonic()
    changed = _count(scene)
    _look_for_files(scene)
    _state.rest_until = time.monotonic() + (time.monotonic() - began) / SHARE
    return changed


def _count(scene: bpy.types.Scene) -> bool:
    seen = scope.fingerprint(scene)
    if seen == _state.seen:
        return False
    before = _state.counted
    _state.seen, _state.counted = seen, scope.summary(scene)
    return before != _state.counted


def _look_for_files(scene: bpy.types.Scene) -> None:
    """Ask the disk now and then; and which files the scene wants, which takes a look at all of it, only where names changed."""
    kinds = (bpy.data.libraries, bpy.data.images, bpy.data.cache_files, bpy.data.volumes, bpy.data.fonts)
    paths = [
        (block.session_uid, block.filepath, block.users) for kind in (*kinds, bpy.data.movieclips) for block in kind
    ]
    named = scene.session_uid, scene.frame_start, scene.frame_end, paths
    if named != _state.named:
        frames = range(scene.frame_start, min(scene.frame_end, scene.frame_start + MOST_FRAMES) + 1)
        _state.named, _state.wanted, _state.missing = named, wanted_files(scene, frames), []
    elif time.monotonic() - _state.looked < LOOK_SECONDS:
        return
    _state.looked = time.monotonic()
    wanted = _state.wanted

    def found(missing: Any) -> None:
        if not isinstance(missing, FarplaneError) and _state.wanted is wanted:
            _state.missing = missing

    session.disk.do(lambda: [one for one in wanted if one.is_missing()], found)


def sent_line() -> str:
    """How much is sent: ``63 objects, 1 left out``."""
    counted = _state.counted
    if counted is None:
        return ""
    line = say("1 object") if counted.sent == 1 else say("{} objects", counted.sent)
    if counted.left_out:
        line += ", " + say("{} left out", counted.left_out)
    if counted.unseen:
        line += ", " + say("{} not seen by the camera", counted.unseen)
    return line


def draw_warnings(layout: Any, context: bpy.types.Context) -> None:
    """What a shot will lack, for the Shot panel: files that are missing, markers that are no shot."""
    if _state.missing and _state.named[0] == context.scene.session_uid:
        names = [os.path.basename(one.path) or one.what for one in _state.missing]
        more = say("and {} more", len(names) - SHOWN_FILES) if len(names) > SHOWN_FILES else ""
        text = say("Missing: {}", ", ".join(names[:SHOWN_FILES])) + (f" {more}" if more else "")
        _draw_text(layout, context, text, "ERROR")
    lone = one_frame_shots(context.scene)
    if lone:
        _draw_text(
            layout, context, say("No shot, as it has one frame: {}", ", ".join(name for name, _ in lone)), "INFO"
        )


class FARPLANE_PT_scope(_Panel, bpy.types.Panel):
    """What is sent of the scene, and what is not."""

    bl_label = "Foreground"
    bl_order = ORDER["scope"]
    bl_options = {"DEFAULT_CLOSED"}  # how much is sent stands in the Shot panel as well

    def draw(self, context: bpy.types.Context) -> None:
        """The counts, what is left out, and what alone is sent."""
        layout, scene = self.layout, context.scene
        session.wanted = True
        layout.use_property_decorate = False
        _draw_text(layout, context, sent_line() or "…", "RESTRICT_RENDER_OFF", lines=3)
        column = layout.column(align=True)
        for index, block in enumerate(scope.listed(scene)):
            row = column.row(align=True)
            is_collection = isinstance(block, bpy.types.Collection)
            row.label(
                text=label(block), icon="OUTLINER_COLLECTION" if is_collection else "OBJECT_DATA", translate=False
            )
            row.operator("farplane.foreground_remove", text="", icon="X", emboss=False).index = index
        both = column.column(align=True) if is_narrow(context) else column.row(align=True)
        both.operator("farplane.foreground_add", text="Selected", icon="ADD")
        both.operator("farplane.foreground_collection", text="Collection", icon="OUTLINER_COLLECTION")
        row = layout.row(align=True)
        chosen = scope.set_collection(scene)
        row.operator(
            "farplane.set_choose",
            text=say("Set: everything else") if chosen is None else say("Set: {}", label(chosen)),
            icon="OUTLINER_COLLECTION",
            translate=False,
        )
        if chosen is not None:
            row.operator("farplane.set_clear", text="", icon="X")


# ---- operators ------------------------------------------------------------------------------------------------------


class _Edit(_Operator):
    """Writes the scene's own custom properties, so Blender's undo takes it back."""

    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A linked scene says itself what is sent of it."""
        return context.scene is not None and context.scene.is_editable

    @staticmethod
    def ended() -> set[str]:
        """Count at once."""
        _state.rest_until = 0.0
        return FINISHED


class FARPLANE_OT_foreground_add(_Edit):
    """Never send the selected objects: they stay in your own renders, in front of the plate"""

    bl_idname = "farplane.foreground_add"
    bl_label = "Add Selected to Foreground"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Something must be selected."""
        if not context.selected_objects:
            cls.poll_message_set("Select the objects first")
            return False
        return super().poll(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Each once."""
        scope.set_listed(context.scene, [*scope.listed(context.scene), *context.selected_objects])
        return self.ended()


def _collections(self: Any, context: Any) -> list[tuple[str, str, str]]:
    """Collections of the scene and of its instances, by their session_uid: names alone do not do where files are linked."""
    scene = (context or bpy.context).scene
    found = dict.fromkeys(scene.collection.children_recursive)
    found |= dict.fromkeys(o.instance_collection for o in scene.objects if o.instance_collection is not None)
    items = [(str(one.session_uid), label(one), "") for one in sorted(found, key=lambda one: one.name.lower())]
    return [_given.setdefault(item, item) for item in items] or [_given.setdefault(("", "", ""), ("", "", ""))]


class _Choose(_Edit):
    """Asks for a collection by a search; bl_property is the enum that it fills."""

    bl_property = "collection"

    def invoke(self, context: bpy.types.Context, event: Any) -> set[str]:
        """Blender's own search over the collections' names."""
        context.window_manager.invoke_search_popup(self)
        return RUNNING

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Give the collection to `use`, unless it is gone meanwhile."""
        for one in bpy.data.collections:
            if str(one.session_uid) == self.collection:  # type: ignore[attr-defined]
                self.use(context.scene, one)
                return self.ended()
        return self.tell(FarplaneError("collection", "it is gone", "Choose another one"))

    def use(self, scene: bpy.types.Scene, collection: bpy.types.Collection) -> None:
        """What is done with it."""
        raise NotImplementedError


class FARPLANE_OT_foreground_collection(_Choose):
    """Never send what is in a collection, or in an instance of it: it stays in your own renders, in front of the plate"""

    bl_idname = "farplane.foreground_collection"
    bl_label = "Add Collection to Foreground"

    collection: EnumProperty(name="Collection", items=_collections)  # type: ignore[valid-type]

    def use(self, scene: bpy.types.Scene, collection: bpy.types.Collection) -> None:
        """Each once."""
        scope.set_listed(scene, [*scope.listed(scene), collection])


class FARPLANE_OT_foreground_remove(_Edit):
    """Send it again"""

    bl_idname = "farplane.foreground_remove"
    bl_label = "Remove from Foreground"

    index: IntProperty(options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Those that are gone are forgotten, too."""
        there = scope.listed(context.scene)
        scope.set_listed(context.scene, [block for index, block in enumerate(there) if index != self.index])
        return self.ended()


class FARPLANE_OT_set_choose(_Choose):
    """Send only what is in one collection; without one, everything that renders and is not foreground"""

    bl_idname = "farplane.set_choose"
    bl_label = "Choose the Set"

    collection: EnumProperty(name="Collection", items=_collections)  # type: ignore[valid-type]

    def use(self, scene: bpy.types.Scene, collection: bpy.types.Collection) -> None:
        """One at a time."""
        scope.set_set_collection(scene, collection)


class FARPLANE_OT_set_clear(_Edit):
    """Send everything that renders and is not foreground"""

    bl_idname = "farplane.set_clear"
    bl_label = "Clear the Set"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Nothing else changes."""
        scope.set_set_collection(context.scene, None)
        return self.ended()


CLASSES = (
    FARPLANE_OT_foreground_add,
    FARPLANE_OT_foreground_collection,
    FARPLANE_OT_foreground_remove,
    FARPLANE_OT_set_choose,
    FARPLANE_OT_set_clear,
    FARPLANE_PT_scope,
)


def register() -> None:
    """Nothing beside the classes."""


def unregister() -> None:
    """Forget what was counted."""
    global _state
    _state = _State()
