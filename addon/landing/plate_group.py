"""The compositing group of a landed plate: the foreground over the plate, and all that it is made of.

In: what is rendered otherwise, the foreground (premultiplied), and the share of its light that the foreground's shadow
leaves to the set, white where there is none.  Out: the picture, and plate, plate depth in metres, foreground, shadow
and mask for an artist who goes on from there.

The shadow is Cycles' own pass: where that is rendered, the foreground's alpha is free of it.  It has a colour (what
the sun no longer reaches is lit by the sky), which a shadow in the alpha would lose.
"""

from __future__ import annotations

from typing import Any

import bpy

from .comp_nodes import Socket, combine, drive_by_frame, during, maths, over, separate, stretched
from .depth import depth_image
from .plate import TAG, Plate, drop_action, plate_image, show_own_numbers

_OUTPUTS = ("Image", "Plate", "Plate Depth", "Foreground", "Shadow", "Mask")
_FLOATS = ("Plate Depth", "Mask")


def picture(plate: Plate) -> Any:
    """Make the group that stands before the scene's output."""
    tree = _new(plate, f"Farplane {plate.name}", ("Image", "Foreground", "Shadow"), _OUTPUTS)
    source, target = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    source.location, target.location = (-700, 400), (1250, 100)
    behind = _sequence(tree, plate, plate_image(plate), True, (-1300, -100))
    surfaces = depth_image(plate)
    before, shadow = source.outputs["Foreground"], source.outputs["Shadow"]
    whole = over(tree, _shaded(tree, behind, shadow), before, (700, 100))
    shown = during(tree, plate.first, plate.last, source.outputs["Image"], whole, (950, 100))
    mask = separate(tree, before, (700, -200))[3]
    out: dict[str, Socket] = {"Image": shown, "Plate": behind, "Foreground": before, "Shadow": shadow, "Mask": mask}
    if surfaces is not None:
        metres = _sequence(tree, plate, surfaces, False, (-1300, -500))
        out["Plate Depth"] = separate(tree, metres, (-400, -500))[0]
    for name, socket in out.items():
        tree.links.new(socket, target.inputs[name])
    return tree


def beginning(plate: Plate) -> Any:
    """Make the group that puts the foreground in the render's place, where the artist's tree works on that."""
    tree = _new(plate, f"Farplane foreground {plate.name}", ("Image", "Foreground"), ("Image",))
    source, target = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    source.location, target.location = (-300, 0), (300, 0)
    sockets = source.outputs["Image"], source.outputs["Foreground"]
    tree.links.new(during(tree, plate.first, plate.last, *sockets, (0, 0)), target.inputs["Image"])
    return tree


def remove_group(tree: Any) -> None:
    """Remove a group that nothing uses, with what animates it."""
    drop_action(tree)
    bpy.data.node_groups.remove(tree)


def _new(plate: Plate, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Any:
    tree: Any = bpy.data.node_groups.new(name, "CompositorNodeTree")
    tree[TAG] = plate.id
    for side, names in (("OUTPUT", outputs), ("INPUT", inputs)):
        for one in names:
            kind = "NodeSocketFloat" if one in _FLOATS else "NodeSocketColor"
            socket = tree.interface.new_socket(one, in_out=side, socket_type=kind)
            if side == "INPUT":
                socket.default_value = (1.0, 1.0, 1.0, 1.0) if one == "Shadow" else (0.0, 0.0, 0.0, 0.0)
    return tree


def _sequence(tree: Any, plate: Plate, image: bpy.types.Image, smooth: bool, where: tuple[int, int]) -> Socket:
    """The sequence's own file at every frame, stretched to the render's size."""
    node = tree.nodes.new("CompositorNodeImage")
    node.image, node.location = image, where
    show_own_numbers(node, plate)
    held = plate.held()
    if any(number != shown for number, shown in held.items()):
        offsets = {number: shown - (number - plate.first) for number, shown in held.items()}
        drive_by_frame(tree, f'nodes["{node.name}"].frame_offset', offsets)
    size = int(image.size[0]), int(image.size[1])
    return stretched(tree, node.outputs["Image"], size, smooth, (where[0] + 200, where[1]))


def _shaded(tree: Any, behind: Socket, shadow: Socket) -> Socket:
    """The plate times the light that the shadow leaves."""
    *channels, _ = separate(tree, behind, (0, -100))
    *lights, _ = separate(tree, shadow, (0, 300))
    shaded = [
        maths(tree, "MULTIPLY", channel, light, (250, 200 - 150 * index))
        for index, (channel, light) in enumerate(zip(channels, lights, strict=True))
    ]
    return combine(tree, [*shaded, 1.0], (450, 100))
