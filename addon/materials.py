"""What can be told of the materials of a scene by a look at them, before anything is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from .base_colour import DEFAULT
from .scope import is_hidden_always, with_background

# Shaders that let the camera see through a surface, or that take it out of the picture.
_OPEN_SHADERS = {"ShaderNodeBsdfTransparent", "ShaderNodeHoldout", "ShaderNodeBsdfRayPortal"}
_MAKERS = {"NODES", "PARTICLE_SYSTEM"}  # modifiers that bring along objects and materials that lie in no slot


def has_colours(scene: bpy.types.Scene) -> bool:
    """Whether a material in the scene may have a colour that is not Blender's own grey; a bare blockout has none."""
    return any(_is_chosen(material) for material in materials_of(scene))


def only_cycles_shows(scene: bpy.types.Scene) -> bool:
    """Whether the scene has something that Workbench would draw as a wall and Cycles does not: what the camera does not
    see, what is held out or indirect only, cut-outs, volumes; or that it would not draw: displacement."""
    for one in with_background(scene):
        for layer in one.view_layers:
            if layer.use and any(child.holdout or child.indirect_only for child in _below(layer.layer_collection)):
                return True
    if any(not thing.visible_camera or thing.is_holdout or thing.type == "VOLUME" for thing in reachable(scene)):
        return True
    return has_openings(scene)


def has_openings(scene: bpy.types.Scene) -> bool:
    """Whether a material in the scene may not cover what it is on, or not where its mesh is."""
    return any(not _is_solid(material) for material in materials_of(scene))


def materials_of(scene: bpy.types.Scene) -> Iterator[Any]:
    """Materials that a render of the scene may show, each once.

    A material that geometry nodes or particles bring along lies in no slot: where there are such, all of the file's
    count.
    """
    seen: set[Any] = {None}
    for layer in (layer for one in with_background(scene) for layer in one.view_layers):
        if layer.material_override not in seen:
            seen.add(layer.material_override)
            yield layer.material_override
    for thing in reachable(scene):
        if is_hidden_always(thing):
            continue
        found = {slot.material for slot in thing.material_slots}
        if any(modifier.type in _MAKERS for modifier in thing.modifiers):
            found |= set(bpy.data.materials)
        yield from found - seen
        seen |= found


def reachable(scene: bpy.types.Scene) -> Iterator[Any]:
    """Objects of the scene and its Background Sets, and of the collections that they are instances of, each once."""
    seen: set[Any] = set()
    waiting = [thing for one in with_background(scene) for thing in one.objects]
    while waiting:
        thing = waiting.pop()
        if thing in seen:
            continue
        seen.add(thing)
        yield thing
        inner = thing.instance_collection
        if inner is not None and inner not in seen:
            seen.add(inner)
            waiting += inner.all_objects


def _below(layer: bpy.types.LayerCollection | None) -> Iterator[bpy.types.LayerCollection]:
    """A layer's collections; there are none yet in a scene that was only just made (5.2)."""
    if layer is None:
        return
    yield layer
    for child in layer.children:
        yield from _below(child)


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


def _is_solid(material: Any) -> bool:
    """Whether it covers what it is on, wholly and where the mesh is; what only groups know counts as not."""
    if material.node_tree is None or not material.use_nodes:
        return True
    for node in material.node_tree.nodes:
        if node.bl_idname in _OPEN_SHADERS or node.bl_idname == "ShaderNodeGroup":
            return False
        if node.bl_idname == "ShaderNodeOutputMaterial":
            if node.inputs["Volume"].is_linked or node.inputs["Displacement"].is_linked:
                return False
        elif node.bl_idname == "ShaderNodeBsdfPrincipled":
            alpha = node.inputs["Alpha"]
            if alpha.is_linked or alpha.default_value < 1:
                return False
    return True
