"""Shader nodes that a landed plate is shown by: the sequence's own file, and values that change with the frame.

Legend: T frames, C components.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .plate import Plate, curve_collections, drop_action, follow, show_only

Socket = Any  # a node's output


def add_node(tree: Any, kind: str, where: tuple[float, float], operation: str = "") -> Any:
    """Add a node at a place of the tree's canvas."""
    node = tree.nodes.new(kind)
    node.location = where
    if operation:
        node.operation = operation
    return node


def maths(tree: Any, operation: str, value: Socket, other: Socket | float, where: tuple[int, int]) -> Socket:
    """`operation` on an output and another one, or a number."""
    node = add_node(tree, "ShaderNodeMath", where, operation)
    tree.links.new(value, node.inputs[0])
    if isinstance(other, float):
        node.inputs[1].default_value = other
    else:
        tree.links.new(other, node.inputs[1])
    return node.outputs[0]


def dot(tree: Any, vector: Socket, other: Any, moments: list[float], where: tuple[int, int]) -> Socket:
    """The product of `vector` with another output, or with an array [T, 3] of one vector per frame."""
    node = add_node(tree, "ShaderNodeVectorMath", where, "DOT_PRODUCT")
    tree.links.new(vector, node.inputs[0])
    if isinstance(other, np.ndarray):
        key(tree, node, other, moments)
    else:
        tree.links.new(other, node.inputs[1])
    return node.outputs["Value"]


def texture(
    tree: Any, plate: Plate, image: bpy.types.Image, where: Socket, baked: int | None, place: tuple[int, int]
) -> Socket:
    """The sequence's own file at every frame, or with `baked` that one, whatever frame the scene is at."""
    node = add_node(tree, "ShaderNodeTexImage", place)
    node.image, node.extension = image, "EXTEND"
    tree.links.new(where, node.inputs["Vector"])
    if baked is None:
        follow(node.image_user, tree, f'nodes["{node.name}"].image_user.frame_offset', plate)
    else:
        show_only(node.image_user, baked)
    return node.outputs["Color"]


def key(tree: Any, node: Any, values: NDArray[np.float64], moments: list[float]) -> None:
    """Give the node's second input `values` [T, C], one per moment (Plate.moment), each held until the next."""
    socket = node.inputs[1]
    socket.default_value = values[0] if hasattr(socket.default_value, "__len__") else values[0, 0]
    if (values == values[0]).all():
        return
    path = f'nodes["{node.name}"].inputs[1].default_value'
    tree.keyframe_insert(path, frame=moments[0])
    curves = [c for found in curve_collections(tree.animation_data.action) for c in found if c.data_path == path]
    for curve in curves:
        points = curve.keyframe_points
        points.add(len(moments) - len(points))
        points.foreach_set("co", np.stack([moments, values[:, curve.array_index]], axis=1).ravel())
        for point in points:
            point.interpolation = "CONSTANT"
        curve.update()


def remove_group(tree: Any) -> None:
    """Remove a group with its keys."""
    drop_action(tree)
    bpy.data.node_groups.remove(tree)
