"""The plate on materials that no slot of ours can hold: those that geometry nodes bring, and those of linked data.

A geometry nodes modifier of ours stands last on the object and replaces each of them by its copy with the plate in it
(shading.py), in instances that the nodes make as well.  It is the object's own and changes no data, so that objects
with linked data and library overrides can have it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy

from .plate import TAG, Plate, tagged

Paint = Callable[[Any], bpy.types.Material]  # a material, or None for none, to its copy with the plate


def replacing(plate: Plate, materials: list[Any], kept: list[Any], paint: Paint, fills: bool) -> Any:
    """Make the node group that replaces `materials`, of which None is an empty slot, and leaves `kept` as they are.

    fills : for meshes; geometry without any material then gets the one that stands for none, in instances as well.
    """
    tree, sockets = _new(plate, "materials")
    geometry = sockets[0]
    for index, own in enumerate(materials):
        node = tree.nodes.new("GeometryNodeReplaceMaterial")
        node.location = (200 * index, 0)
        if own is not None:
            node.inputs["Old"].default_value = own
        node.inputs["New"].default_value = paint(own)
        tree.links.new(geometry, node.inputs["Geometry"])
        geometry = node.outputs["Geometry"]
    if fills:
        geometry = _filled(tree, geometry, [*(paint(own) for own in materials), *kept], paint(None))
    tree.links.new(geometry, sockets[1])
    return tree


def _filled(tree: Any, geometry: Any, known: list[Any], material: bpy.types.Material) -> Any:
    """The geometry, with `material` on faces that have none of those that are known."""
    has_one = None
    for index, one in enumerate(known):
        selection = tree.nodes.new("GeometryNodeMaterialSelection")
        selection.location = (200 * index, -300)
        selection.inputs["Material"].default_value = one
        has_one = selection.outputs[0] if has_one is None else _logic(tree, "OR", has_one, selection.outputs[0], index)
    node = tree.nodes.new("GeometryNodeSetMaterial")
    node.location = (2700, 0)
    node.inputs["Material"].default_value = material
    tree.links.new(geometry, node.inputs["Geometry"])
    if has_one is not None:
        tree.links.new(_logic(tree, "NOT", has_one, None, len(known)), node.inputs["Selection"])
    return node.outputs["Geometry"]


def _logic(tree: Any, operation: str, value: Any, other: Any, index: int) -> Any:
    node = tree.nodes.new("FunctionNodeBooleanMath")
    node.operation, node.location = operation, (200 * index, -500)
    tree.links.new(value, node.inputs[0])
    if other is not None:
        tree.links.new(other, node.inputs[1])
    return node.outputs[0]


def giving(plate: Plate, material: bpy.types.Material) -> Any:
    """Make the node group that gives one material to geometry without a slot."""
    tree, sockets = _new(plate, "material")
    node = tree.nodes.new("GeometryNodeSetMaterial")
    node.inputs["Material"].default_value = material
    tree.links.new(sockets[0], node.inputs["Geometry"])
    tree.links.new(node.outputs["Geometry"], sockets[1])
    return tree


def put_on(obj: Any, tree: Any) -> None:
    """Add the modifier, last."""
    active = next((modifier.name for modifier in obj.modifiers if modifier.is_active), "")
    modifier = obj.modifiers.new("Farplane", "NODES")
    modifier.node_group = tree
    modifier.show_expanded = False
    if active:
        obj.modifiers[active].is_active = True


def take_off(obj: Any, identity: str = "") -> None:
    """Remove the modifiers of a landing, of any where none is named."""
    for modifier in _ours(obj, identity):
        obj.modifiers.remove(modifier)


def holders(identity: str) -> list[Any]:
    """The objects that carry a modifier of the landing."""
    return [obj for obj in bpy.data.objects if obj.library is None and TAG not in obj and _ours(obj, identity)]


def remove_groups(identity: str) -> None:
    """Remove the groups of a landing that no object uses any more."""
    for tree in tagged(bpy.data.node_groups, identity):
        if tree.bl_idname == "GeometryNodeTree" and tree.users == 0:
            bpy.data.node_groups.remove(tree)


def identity_on(obj: Any) -> str:
    """The landing whose modifier the object carries, "" for none."""
    return next((str(modifier.node_group[TAG]) for modifier in _ours(obj, "")), "")


def _ours(obj: Any, identity: str) -> list[Any]:
    found = []
    for modifier in obj.modifiers:
        tree = modifier.node_group if modifier.type == "NODES" else None
        if tree is not None and TAG in tree and identity in ("", tree[TAG]):
            found.append(modifier)
    return found


def _new(plate: Plate, what: str) -> tuple[Any, tuple[Any, Any]]:
    tree: Any = bpy.data.node_groups.new(f"Farplane {what} {plate.name}", "GeometryNodeTree")
    tree[TAG] = plate.id
    for way in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
    source, target = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    source.location, target.location = (-300, 0), (3000, 0)
    return tree, (source.outputs[0], target.inputs[0])
