"""Whether the artist has chosen a colour for anything that a shot could show: a look at slots, nothing is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from .base_colour import DEFAULT


def has_colours(scene: bpy.types.Scene) -> bool:
    """Whether a material in the scene may have a colour that is not Blender's own grey; a bare blockout has none.

    A material that geometry nodes bring along lies in no slot: where there are such nodes, all of the file's count.
    """
    seen: set[Any] = set()
    for thing in _objects(scene):
        if thing.hide_render:
            continue
        materials = {slot.material for slot in thing.material_slots} - {None}
        if any(modifier.type == "NODES" for modifier in thing.modifiers):
            materials |= set(bpy.data.materials)
        if any(_is_chosen(material) for material in materials - seen):
            return True
        seen |= materials
    return False


def _objects(scene: bpy.types.Scene) -> Iterator[Any]:
    """The scene's objects, and those of the collections that they are instances of."""
    entered: set[Any] = set()
    waiting = list(scene.objects)
    while waiting:
        thing = waiting.pop()
        yield thing
        inner = thing.instance_collection
        if inner is not None and inner not in entered:
            entered.add(inner)
            waiting += inner.all_objects


def _is_chosen(material: Any) -> bool:
    """Whether its colour may be another than Blender's grey: whatever is not surely untouched."""
    tree = material.node_tree
    if tree is None or not material.use_nodes:
        return not _is_default(material.diffuse_color)
    surfaces = [node for node in tree.nodes if node.bl_idname.startswith("ShaderNodeBsdf")]
    if len(surfaces) != 1 or surfaces[0].bl_idname != "ShaderNodeBsdfPrincipled":
        return True
    colour = surfaces[0].inputs["Base Color"]
    return bool(colour.is_linked) or not _is_default(colour.default_value)


def _is_default(colour: Any) -> bool:
    return all(abs(part - DEFAULT) < 1e-3 for part in tuple(colour)[:3])
