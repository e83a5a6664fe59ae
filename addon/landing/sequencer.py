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
    editor = scene.sequence_editor
    had_strips = editor is not None and len(_strips(editor)) > 0
    space = scene.sequencer_colorspace_settings
    remember(
        scene,
        KIND,
        {"editor": editor is not None, "space": space.name, "use_sequencer": scene.render.use_sequencer},
    )
    space.name = linear_name(space)
    if not had_strips:
        scene.render.use_sequencer = False
    if editor is None:
        editor = scene.sequence_editor_create()
    held = plate.held()
    strip = _strips(editor).new_image(
        name=f"Farplane {plate.name}",
        filepath=str(plate.files[plate.first]),
        channel=_free_channel(editor, plate),
        frame_start=plate.first,
        fit_method="ORIGINAL",
    )
    strip[TAG] = plate.id
    for shown in list(held.values())[1:]:
        strip.elements.append(plate.files[shown].name)
    strip.directory = blend_path(plate.folder).rstrip("/\\") + "/"
    strip.frame_final_duration = len(held)
    strip.colorspace_settings.name = linear_name(strip)


def remove(scene: bpy.types.Scene, entry: Entry) -> None:
    """Remove the strip, and with the last one the sequencer's settings."""
    editor = scene.sequence_editor
    if editor is not None:
        for strip in [strip for strip in _strips(editor) if strip.get(TAG) == entry.id]:
            _strips(editor).remove(strip)

    def restore(before: dict[str, Any]) -> None:
        space = scene.sequencer_colorspace_settings
        if space.name == linear_name(space):
            space.name = before["space"]
        if not scene.render.use_sequencer:
            scene.render.use_sequencer = bool(before["use_sequencer"])
        if not before["editor"] and scene.sequence_editor is not None and not len(_strips(scene.sequence_editor)):
            scene.sequence_editor_clear()

    recall(scene, KIND, restore)


def _strips(editor: Any) -> Any:
    return editor.strips if hasattr(editor, "strips") else editor.sequences  # `sequences` before 4.4


def _free_channel(editor: Any, plate: Plate) -> int:
    taken = {
        strip.channel
        for strip in _strips(editor)
        if strip.frame_final_start <= plate.last and strip.frame_final_end > plate.first
    }
    return next(channel for channel in range(1, len(taken) + 2) if channel not in taken)
