"""A take as an image strip in the scene's sequencer, in linear light."""

from __future__ import annotations

from typing import Any

import bpy

from .plate import TAG, Plate, blend_path, linear_name
from .record import Entry, recall, remember

KIND = "strip"


def land(scene: bpy.types.Scene, plate: Plate) -> None:
    """Add one strip from the shot's first frame to its last, on the first channel that is free there.

    A scene that had no strips goes on rendering its 3D view: the Sequencer switch of its output is put off.
    """
    editor = prepare(scene)
    add_pictures(editor, plate, f"Farplane {plate.name}", _free_channel(editor, plate), plate.last + 1)


def prepare(scene: bpy.types.Scene) -> Any:
    """Return the scene's sequence editor, made and set to linear light if need be; `release` undoes that."""
    editor = scene.sequence_editor
    had_strips = editor is not None and len(strips_of(editor)) > 0
    space = scene.sequencer_colorspace_settings
    remember(
        scene,
        KIND,
        {"editor": editor is not None, "space": space.name, "use_sequencer": scene.render.use_sequencer},
    )
    space.name = linear_name(space)
    if not had_strips:
        scene.render.use_sequencer = False
    return scene.sequence_editor_create() if editor is None else editor


def add_pictures(editor: Any, plate: Plate, name: str, channel: int, stop: int) -> Any:
    """Add a tagged image strip of the plate, from its first frame to the one before `stop`, and return it.

    Frame n shows frame n; where the plate has none (a frame step, the end) the one before it stays.  The plate's frame
    is the scene's: whatever its pixel count, it fills the picture.
    """
    held = plate.held()
    shown = [held.get(frame, plate.last) for frame in range(plate.first, stop)]
    strip = strips_of(editor).new_image(
        name=name,
        filepath=str(plate.files[plate.first]),
        channel=channel,
        frame_start=plate.first,
        fit_method="STRETCH",
    )
    strip[TAG] = plate.id
    for number in shown[1:]:
        strip.elements.append(plate.files[number].name)
    strip.directory = blend_path(plate.folder).rstrip("/\\") + "/"
    strip.frame_final_duration = len(shown)
    strip.colorspace_settings.name = linear_name(strip)
    return strip


def remove(scene: bpy.types.Scene, entry: Entry) -> None:
    """Remove the strip, and with the last one the sequencer's settings."""
    remove_tagged(scene, entry.id)
    release(scene)


def remove_tagged(scene: bpy.types.Scene, identity: str) -> None:
    """Remove the strips that carry a landing's id."""
    editor = scene.sequence_editor
    if editor is not None:
        for strip in [strip for strip in strips_of(editor) if strip.get(TAG) == identity]:
            strips_of(editor).remove(strip)


def release(scene: bpy.types.Scene) -> None:
    """Put back what `prepare` changed, once no strip of ours is left."""
    editor = scene.sequence_editor
    if editor is not None and any(TAG in strip for strip in strips_of(editor)):
        return

    def restore(before: dict[str, Any]) -> None:
        space = scene.sequencer_colorspace_settings
        if space.name == linear_name(space):
            space.name = before["space"]
        if not scene.render.use_sequencer:
            scene.render.use_sequencer = bool(before["use_sequencer"])
        if not before["editor"] and scene.sequence_editor is not None and not len(strips_of(scene.sequence_editor)):
            scene.sequence_editor_clear()

    recall(scene, KIND, restore)


def strips_of(editor: Any) -> Any:
    """The strips of a sequence editor."""
    return editor.strips if hasattr(editor, "strips") else editor.sequences  # `sequences` before 4.4


def _free_channel(editor: Any, plate: Plate) -> int:
    taken = {
        strip.channel
        for strip in strips_of(editor)
        if strip.frame_final_start <= plate.last and strip.frame_final_end > plate.first
    }
    return next(channel for channel in range(1, len(taken) + 2) if channel not in taken)
