"""The scene's sun: which lamp it is, and where it stands."""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import numpy as np
from numpy.typing import NDArray


def find_sun(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The strongest sun lamp that a render of the scene would show, None where there is none.

    Lamps that are hidden from rendering, or lie only in collections that are or that the first view layer excludes, do
    not count; nor does one without power.
    """
    shown = {thing for thing in _rendered(scene.view_layers[0].layer_collection) if _is_lit_sun(thing)}
    return max(shown, key=lambda lamp: (lamp.data.energy, lamp.name), default=None)


def _rendered(layer: bpy.types.LayerCollection) -> Iterator[bpy.types.Object]:
    """The objects that a render of this branch shows.  Not view_layer.objects: that lags behind what was just linked."""
    if layer.exclude or layer.collection.hide_render:
        return
    yield from (thing for thing in layer.collection.objects if not thing.hide_render)
    for child in layer.children:
        yield from _rendered(child)


def _is_lit_sun(thing: bpy.types.Object) -> bool:
    return bool(thing.type == "LIGHT" and thing.data.type == "SUN" and thing.data.energy > 0)


def direction_to(scene: bpy.types.Scene, lamp: bpy.types.Object) -> NDArray[np.float64] | None:
    """[3] the unit direction to a sun lamp in world axes, as the scene's current frame has it; it shines along its -Z.

    None for a lamp that is scaled to nothing.
    """
    layer = scene.view_layers[0]
    if layer.depsgraph is None:  # a scene that was only just opened
        layer.update()
    back = np.array(lamp.evaluated_get(layer.depsgraph).matrix_world, dtype=np.float64)[:3, 2]
    length = float(np.linalg.norm(back))
    return back / length if np.isfinite(length) and length > 1e-9 else None
