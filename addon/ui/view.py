"""What the window shows, kept with the window and not in the file: the shot whose takes are listed, the chosen one, what
lies over the camera's frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ...protocol.errors import FarplaneError
from ..takes import Take
from . import places
from .generate import current_plan, draft_steps
from .message import Message
from .session import session
from .summary import Listed, Summary
from .thumbnails import icon_of, icon_of_bytes
from .translations import say


def _redraw(self: Any, context: Any) -> None:
    redraw_views()


def redraw_views() -> None:
    """Draw all 3D views again."""
    for window in bpy.context.window_manager.windows if bpy.context.window_manager else ():
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


def show_in_sequencer(scene: bpy.types.Scene) -> None:
    """Sequencers that show no scene yet show this one: from 5.0 on it is chosen by hand, in each workspace."""
    for workspace in bpy.data.workspaces:
        if getattr(workspace, "sequencer_scene", scene) is None:
            workspace.sequencer_scene = scene


def _read_note(self: Any) -> str:
    item = self.chosen()
    return item.take.note if item is not None else ""


def _write_note(self: Any, text: str) -> None:
    item = self.chosen()
    if item is None or text == item.take.note or session.is_being_made(item.take.folder):
        return
    try:
        item.take.describe(note=text)
        session.reread(item.take.folder.parent)
    except FarplaneError as error:
        session.message = Message.of(error)


GALLERY = 96  # takes with a picture in the gallery, the newest; a picture each is kept by Blender
_NO_PICTURE = bpy.types.UILayout.bl_rna.functions["prop"].parameters["icon"].enum_items["IMAGE_DATA"].value
_kept: dict[str, str] = {}  # Blender keeps no copy of a dynamic enum's texts: each stays as it was given


def _gallery(self: Any, context: Any) -> list[tuple[str, str, str, int, int]]:
    """The takes of the list as pictures, in its order."""
    found = [(place, session.find(Path(item.folder))) for place, item in enumerate(self.takes)]
    shown = [(p, item) for p, item in found if item is not None and (p < GALLERY or p == self.take_index)]
    items = []
    for place, item in shown:
        label = f"{short_label(item.take)}  {distinction(item)}".strip()
        key, label, tip = (_kept.setdefault(t, t) for t in (str(item.take.folder), label, item.summary.prompt))
        items.append((key, label, tip, picture_of(item) or _NO_PICTURE, place))
    return items


def picture_of(item: Listed) -> int:
    """A take's icon: of the picture that forms while it is made.  0 where there is none yet."""
    job = next((job for job in session.jobs.values() if job.take.folder == item.take.folder), None)
    return icon_of_bytes(job.preview, job.id) if job is not None else icon_of(item.summary.picture)


def short_label(take: Take) -> str:
    """The artist's own name for it, else its number alone: what tells it from the others needs the room."""
    return take.label.removeprefix("take ")


_distinctions: tuple[list[Listed], dict[Path, str]] = ([], {})  # of the list as it was when they were made


def distinction(item: Listed) -> str:
    """What tells a take from the others of the list, in a few words."""
    global _distinctions
    if _distinctions[0] is not session.listed:
        _distinctions = session.listed, distinctions(session.listed)
    return _distinctions[1].get(item.take.folder, "")


def distinctions(items: list[Listed]) -> dict[Path, str]:
    """What tells each take from the others: words that not every prompt has, the seed if there are several, a draft."""
    words = {item.take.folder: [w.strip(" ,.;:") for w in item.summary.prompt.split()] for item in items}
    common = set.intersection(*map(set, words.values())) if words else set()
    seeds = {item.summary.seed for item in items}
    told = {}
    for item in items:
        own = [word for word in words[item.take.folder] if word and word not in common][:4]
        parts = [" ".join(own), f"#{item.summary.seed}" if len(seeds) > 1 else "", quality(item.summary)]
        told[item.take.folder] = "  ".join(part for part in parts if part)
    return told


def quality(summary: Summary) -> str:
    """How a take was made, where that is not the model's own way."""
    if not summary.steps:
        return ""
    return say("draft") if summary.steps == draft_steps(summary.model) else say("{} steps", summary.steps)


class FarplaneTakeItem(bpy.types.PropertyGroup):
    """One row of the list; what it shows is looked up by its folder."""

    folder: StringProperty()  # type: ignore[valid-type]


class FarplaneView(bpy.types.PropertyGroup):
    """WindowManager.farplane."""

    takes: CollectionProperty(type=FarplaneTakeItem)  # type: ignore[valid-type]
    take_index: IntProperty(name="Take", description="The chosen take", update=_redraw)  # type: ignore[valid-type]
    gallery: EnumProperty(  # type: ignore[valid-type]
        name="Takes",
        description="The chosen take. Click for all takes of this shot as pictures",
        items=_gallery,
        get=lambda self: self.take_index,
        set=lambda self, place: setattr(self, "take_index", place),
    )
    shot: StringProperty(  # type: ignore[valid-type]
        name="Shot", description="Whose takes are listed. Empty follows the timeline", update=_redraw
    )
    note: StringProperty(  # type: ignore[valid-type]
        name="Note",
        description="Your note about this take, written beside it",
        get=_read_note,
        set=_write_note,
    )
    show_depth: BoolProperty(  # type: ignore[valid-type]
        name="Show Depth",
        description="Show the depth that will be sent over the camera's frame: near is white, far is black",
        update=_redraw,
    )
    live: EnumProperty(  # type: ignore[valid-type]
        name="Live Preview",
        description="Show the picture that is forming in the camera's frame",
        items=(
            ("OFF", "Off", "Only in the panel"),
            ("BACK", "Behind", "Behind the scene, as a background image"),
            ("FRONT", "In Front", "Over the scene"),
        ),
        update=_redraw,
    )
    opacity: FloatProperty(  # type: ignore[valid-type]
        name="Opacity",
        description="How much of it covers the scene",
        subtype="FACTOR",
        default=1.0,
        min=0.0,
        max=1.0,
        update=_redraw,
    )
    compare: StringProperty()  # type: ignore[valid-type]
    split: FloatProperty(  # type: ignore[valid-type]
        name="Split",
        description="Left of it the take that was marked for comparison, right of it the chosen one",
        subtype="FACTOR",
        default=0.5,
        min=0.0,
        max=1.0,
        update=_redraw,
    )

    def chosen(self) -> Any:
        """The Listed take that is chosen, or None."""
        if not 0 <= self.take_index < len(self.takes):
            return None
        return session.find(Path(self.takes[self.take_index].folder))

    def show(self, folders: list[str]) -> None:
        """Make the list be these takes, newest first.  The chosen one stays, unless a new one has come."""
        before = [item.folder for item in self.takes]
        if folders == before:
            return
        chosen = before[self.take_index] if 0 <= self.take_index < len(before) else ""
        self.takes.clear()
        for folder in folders:
            item = self.takes.add()
            item.name = item.folder = folder
        came = bool(folders) and folders[0] not in before
        self.take_index = 0 if came or chosen not in folders else folders.index(chosen)


def sync() -> None:
    """Bring the list up to what the session knows."""
    window_manager = bpy.context.window_manager
    if window_manager is not None:
        window_manager.farplane.show([str(item.take.folder) for item in session.listed])


def shown_places(scene: bpy.types.Scene) -> tuple[Path, ...]:
    """Where the takes lie that the list shows: of the shot that was chosen, else of the one at the current frame."""
    shot = bpy.context.window_manager.farplane.shot
    if shot:
        return tuple(folder / shot for folder in places.roots(scene))
    try:
        return places.places(scene, current_plan(scene).name)
    except FarplaneError:  # no shot to have takes of; the panel says why
        return ()


def current_shot(scene: bpy.types.Scene) -> str:
    """What the folder of the shot at the current frame is called; empty where there is none."""
    try:
        return places.shot_folder(scene, current_plan(scene).name).name
    except FarplaneError:
        return ""


def forget() -> None:
    """Another file is open: nothing of the one before is marked or chosen."""
    if bpy.context.window_manager is not None:
        shown = bpy.context.window_manager.farplane
        shown.shot = shown.compare = ""


CLASSES = (FarplaneTakeItem, FarplaneView)


def register() -> None:
    """Register WindowManager.farplane."""
    bpy.types.WindowManager.farplane = PointerProperty(type=FarplaneView)


def unregister() -> None:
    """Remove it."""
    del bpy.types.WindowManager.farplane
