"""Compositor nodes that say the same in Blender 4.2 to 5.2, where they differ by version, and what drives them.

What depends on the frame is driven by the scene's frame number and a curve, instead of keyed: keys are read at the
time that a time-stretched scene (frame_map) makes of its frames, and plates are numbered by frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import bpy

Socket = Any  # a node's output
_IS_5 = bpy.app.version >= (5, 0, 0)


def maths(tree: Any, operation: str, value: Socket, other: Socket | float, where: tuple[int, int]) -> Socket:
    """`operation` on an output and another one, or a number."""
    node = tree.nodes.new("ShaderNodeMath" if _IS_5 else "CompositorNodeMath")
    node.operation, node.location = operation, where
    for index, one in enumerate((value, other)):
        if isinstance(one, float):
            node.inputs[index].default_value = one
        else:
            tree.links.new(one, node.inputs[index])
    return node.outputs[0]


def separate(tree: Any, colour: Socket, where: tuple[int, int]) -> list[Socket]:
    """Red, green, blue and alpha of a picture."""
    node = tree.nodes.new("CompositorNodeSeparateColor")
    node.location = where
    tree.links.new(colour, node.inputs[0])
    return list(node.outputs)[:4]


def combine(tree: Any, channels: Iterable[Socket | float], where: tuple[int, int]) -> Socket:
    """A picture of red, green, blue and alpha."""
    node = tree.nodes.new("CompositorNodeCombineColor")
    node.location = where
    for socket, channel in zip(list(node.inputs)[:4], channels, strict=True):
        if isinstance(channel, float):
            socket.default_value = channel
        else:
            tree.links.new(channel, socket)
    return node.outputs[0]


def over(tree: Any, behind: Socket, before: Socket, where: tuple[int, int]) -> Socket:
    """A picture with premultiplied alpha over another one."""
    node = tree.nodes.new("CompositorNodeAlphaOver")
    node.location = where
    pictures = [socket for socket in node.inputs if socket.type == "RGBA"]
    tree.links.new(behind, pictures[0])
    tree.links.new(before, pictures[1])
    return node.outputs[0]


def opaque(tree: Any, picture: Socket, where: tuple[int, int]) -> Socket:
    """A picture divided by its alpha, which becomes 1."""
    straight, alpha = tree.nodes.new("CompositorNodePremulKey"), tree.nodes.new("CompositorNodeSetAlpha")
    straight.location, alpha.location = where, (where[0] + 180, where[1])
    if hasattr(straight, "mapping"):
        straight.mapping, alpha.mode = "PREMUL_TO_STRAIGHT", "REPLACE_ALPHA"
    else:  # sockets since 5.0
        straight.inputs["Type"].default_value = "To Straight"
        alpha.inputs["Type"].default_value = "Replace Alpha"
    alpha.inputs["Alpha"].default_value = 1.0
    tree.links.new(picture, straight.inputs["Image"])
    tree.links.new(straight.outputs[0], alpha.inputs["Image"])
    return alpha.outputs[0]


def during(tree: Any, first: int, last: int, otherwise: Socket, then: Socket, where: tuple[int, int]) -> Socket:
    """A picture from frame `first` to `last`, and another one at any other frame."""
    node = tree.nodes.new("CompositorNodeSwitch")
    node.location = where
    tree.links.new(otherwise, node.inputs["Off"])
    tree.links.new(then, node.inputs["On"])
    by_socket = "Switch" in node.inputs  # since 4.5
    path = f'nodes["{node.name}"].' + ("inputs[0].default_value" if by_socket else "check")
    drive_by_frame(tree, path, {first - 1: 0, first: 1, last + 1: 0})
    return node.outputs[0]


def drive_by_frame(tree: Any, path: str, values: Mapping[int, float]) -> None:
    """Give a property of the tree a value by the scene's frame number, held until the next one named."""
    curve = tree.driver_add(path)
    curve.driver.type = "SUM"
    read_scene(curve.driver, "frame", "frame_current")
    for modifier in list(curve.modifiers):
        curve.modifiers.remove(modifier)
    points = curve.keyframe_points
    while len(points):  # 5.0 makes some of its own
        points.remove(points[0])
    points.add(len(values))
    points.foreach_set("co", [float(number) for pair in sorted(values.items()) for number in pair])
    for point in points:
        point.interpolation = "CONSTANT"
    curve.update()


def read_scene(driver: Any, name: str, path: str) -> None:
    """Add a variable that is a property of the scene that is rendered."""
    variable = driver.variables.new()
    variable.name, variable.type = name, "CONTEXT_PROP"
    variable.targets[0].context_property = "ACTIVE_SCENE"
    variable.targets[0].data_path = path


def stretched(tree: Any, picture: Socket, size: tuple[int, int], smooth: bool, where: tuple[int, int]) -> Socket:
    """A picture of `size` pixels stretched over the render, centres on centres, its border pixels to the very edge.

    smooth : mixed of the nearest pixels; else the nearest one alone.
    """
    if _IS_5:
        return _scaled(tree, picture, smooth, where)
    if bpy.app.version < (4, 5, 0):  # there corners lie on corners, (scale - 1) / 2 pixels off to the lower left
        picture = _flipped(tree, _between(tree, picture, size, where), (where[0] + 200, where[1]))
        picture = _scaled(tree, picture, smooth, (where[0] + 400, where[1]))
        picture = _flipped(tree, picture, (where[0] + 600, where[1]))
    else:
        picture = _scaled(tree, picture, smooth, where)
    return opaque(tree, picture, (where[0] + 800, where[1])) if smooth else picture  # it fades at the border


def _scaled(tree: Any, picture: Socket, smooth: bool, where: tuple[int, int]) -> Socket:
    """Stretched to the render's size by Blender's own node."""
    node = tree.nodes.new("CompositorNodeScale")
    node.location = where
    filtering = "Bilinear" if smooth else "Nearest"
    if "Type" in node.inputs:  # sockets since 5.0
        node.inputs["Type"].default_value = "Render Size"
        node.inputs["Frame Type"].default_value = "Stretch"
        node.inputs["Interpolation"].default_value = filtering
        for axis in "XY":
            node.inputs[f"Extension {axis}"].default_value = "Extend"
    else:
        node.space, node.frame_method = "RENDER_SIZE", "STRETCH"
        if hasattr(node, "interpolation"):  # 4.5
            node.interpolation = filtering.upper()
    tree.links.new(picture, node.inputs["Image"])
    return node.outputs["Image"]


def _between(tree: Any, picture: Socket, size: tuple[int, int], where: tuple[int, int]) -> Socket:
    """The picture brought to 2 s / (s + 1) of its size, s being the whole scale.

    Scaled by (s + 1) / 2 after that, and mirrored in between, the two ways of being off undo each other.  An even
    number of pixels is added or taken away, for the node does so on both sides alike, and it rounds up.
    """
    node = tree.nodes.new("CompositorNodeScale")
    node.location, node.space = where, "ABSOLUTE"
    tree.links.new(picture, node.inputs["Image"])
    for axis, pixels, full in (("X", size[0], "resolution_x"), ("Y", size[1], "resolution_y")):
        index = 1 if axis == "X" else 2
        driver = tree.driver_add(f'nodes["{node.name}"].inputs[{index}].default_value').driver
        driver.type = "SCRIPTED"
        read_scene(driver, "full", f"render.{full}")
        read_scene(driver, "percent", "render.resolution_percentage")
        scale = f"(full * percent / 100 / {pixels})"
        between = f"{pixels} + 2 * round({pixels} * ({scale} - 1) / ({scale} + 1) / 2) - 0.002"
        driver.expression = f"{pixels} if {scale} == 1 else {between}"  # a plate of the frame's size stays as it is
    return node.outputs["Image"]


def _flipped(tree: Any, picture: Socket, where: tuple[int, int]) -> Socket:
    node = tree.nodes.new("CompositorNodeFlip")
    node.location, node.axis = where, "XY"
    tree.links.new(picture, node.inputs["Image"])
    return node.outputs["Image"]
