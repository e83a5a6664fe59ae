"""The set hidden in the viewport, so that the plate behind the camera shows, with the foreground before it.

It is hidden as the artist's own H hides: in one view layer, in no render, on linked objects too.  What we hid is noted
in the scene, so that only that comes back; what the artist had hidden stays hidden.
"""

from __future__ import annotations

from typing import Any

import bpy

from . import foreground

_HIDDEN = "farplane_set_hidden"  # on the scene: a group of pointers, and the view layer's name


def is_hidden(scene: bpy.types.Scene) -> bool:
    """Whether we hid the set, and the artist has not shown all of it again."""
    layer = _layer(scene)
    return layer is not None and any(obj.hide_get(view_layer=layer) for obj in _noted(scene, layer))


def hide(scene: bpy.types.Scene, layer: bpy.types.ViewLayer) -> int:
    """Hide what of the set this view layer shows; returns how many objects."""
    show(scene)
    there = set(layer.objects)
    wanted = [obj for obj in foreground.set_of(scene) if obj in there and not obj.hide_get(view_layer=layer)]
    wanted.sort(key=lambda obj: obj.name_full)
    if wanted:
        scene[_HIDDEN] = {"layer": layer.name, "objects": {str(index): obj for index, obj in enumerate(wanted)}}
    for obj in wanted:
        obj.hide_set(True, view_layer=layer)
    return len(wanted)


def show(scene: bpy.types.Scene) -> None:
    """Show again what we hid, and forget it."""
    layer = _layer(scene)
    if layer is not None:
        for obj in _noted(scene, layer):
            obj.hide_set(False, view_layer=layer)
    if _HIDDEN in scene:
        del scene[_HIDDEN]


def _layer(scene: bpy.types.Scene) -> bpy.types.ViewLayer | None:
    noted = scene.get(_HIDDEN)
    return scene.view_layers.get(noted.get("layer", "")) if hasattr(noted, "keys") else None


def _noted(scene: bpy.types.Scene, layer: bpy.types.ViewLayer) -> list[Any]:
    """What we hid and is still in the view layer."""
    group: Any = scene[_HIDDEN].get("objects")
    found = [obj for _, obj in group.items()] if hasattr(group, "items") else []
    there = set(layer.objects)
    return [obj for obj in found if obj is not None and obj in there]
