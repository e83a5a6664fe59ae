"""Which scene and which camera a command works on, when a file has several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

from ...protocol.errors import FarplaneError
from ..landing import foreground
from ..passes import PREFIX

_SHOWN = 20


def choose_scene(name: str | None) -> bpy.types.Scene:
    """The scene of that name, or the one that the file was saved with open.

    Raises FarplaneError, with the names there are, where there is none of it.
    """
    if name is None:
        return bpy.context.scene
    scenes = artists_scenes()
    scene = _named(scenes, name)
    if scene is None:
        raise FarplaneError("scene", f"the file has none named {name!r}", _choice(scenes))
    if bpy.context.window is not None:
        bpy.context.window.scene = scene  # what is landed is saved with this scene open
    return scene


def artists_scenes() -> list[bpy.types.Scene]:
    """The file's scenes without those of ours: the stand-in, and what renders the foreground of a landed take."""
    return [scene for scene in bpy.data.scenes if not scene.name.startswith(PREFIX) and not foreground.is_ours(scene)]


def choose_camera(scene: bpy.types.Scene, name: str | None) -> bpy.types.Object | None:
    """The camera of that name in the scene; None, where none is asked for, leaves it to markers and the active camera.

    Raises FarplaneError, with the names there are, where there is none of it.
    """
    if name is None:
        return None
    there = dict.fromkeys([scene.camera, *scene.objects])
    cameras = [obj for obj in there if obj is not None and obj.type == "CAMERA"]
    camera = _named(cameras, name)
    if camera is None:
        raise FarplaneError("camera", f"scene {scene.name!r} has none named {name!r}", _choice(cameras))
    return camera


def label(block: Any) -> str:
    """The name to choose it by; of a linked one with its library, as it may have a local twin."""
    return block.name if block.library is None else f"{block.name} [{bpy.path.basename(block.library.filepath)}]"


def _named(blocks: Sequence[Any], name: str) -> Any:
    """The block with this label, else with this plain name; a local one goes before a linked one."""
    by_label = [block for block in blocks if label(block) == name]
    by_name = sorted((block for block in blocks if block.name == name), key=lambda block: block.library is not None)
    return next(iter([*by_label, *by_name]), None)


def _choice(blocks: Sequence[Any]) -> str:
    names = sorted(label(block) for block in blocks)
    if not names:
        return "Add one, and save the file"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"Choose one of {', '.join(repr(name) for name in names[:_SHOWN])}{more}"
