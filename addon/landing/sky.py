"""The plate's sky behind a projection: what the camera sees where no geometry is, during the shot's frames.

A node group of ours stands before the Surface of the world.  It shows the plate to rays from the camera, by the
direction that each pixel of it was seen in, and lets through what the world made of everything else: the artist's
world stays for lighting and reflections, for other frames, and for what lies outside the plate.

Where the world is the scene's own it stays the artist's, with one node more.  One that is linked, shared with another
scene or without nodes is copied for as long as a plate is projected; a scene without a world gets a black one.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ...protocol.errors import FarplaneError
from . import foreground
from .nodes import Socket, add_node, dot, key, maths, remove_group, texture
from .plate import TAG, Plate, plate_image, tagged
from .reach import Note
from .record import recall, remember
from .sent import sent_frames
from .shading import in_frame

_OUTPUT = "ShaderNodeOutputWorld"
_IS_5 = bpy.app.version >= (5, 0, 0)  # nodes cannot be switched off any more


def land(scene: bpy.types.Scene, plate: Plate, kind: str, baked: int | None = None) -> None:
    """Put the plate behind everything; with `baked` that frame alone, at any time.

    kind : the landing that this is a part of, under which the world is kept.
    """
    world = _editable(scene, plate, kind)
    tree: Any = world.node_tree
    group = _group(plate, baked)
    for output in [node for node in tree.nodes if node.bl_idname == _OUTPUT]:
        surface = output.inputs["Surface"]
        feeding = surface.links[0].from_socket if surface.links else None
        node = add_node(tree, "ShaderNodeGroup", (output.location.x, output.location.y + 160))
        node[TAG], node.node_tree, node.label = plate.id, group, group.name
        if feeding is not None:
            tree.links.new(feeding, node.inputs[0])
        tree.links.new(node.outputs[0], surface)


def remove(scene: bpy.types.Scene, identity: str, kind: str) -> None:
    """Take the landing's nodes out of every world, and with the last landing of this kind give the scene its own back."""
    for world in bpy.data.worlds:
        if world.node_tree is not None and world.library is None:
            _take_out(world.node_tree, identity)
    for tree in tagged(bpy.data.node_groups, identity):
        if tree.users == 0 and tree.get("farplane_sky"):
            remove_group(tree)

    def restore(before: dict[str, Any]) -> None:
        made = before.get("made")
        if not isinstance(made, bpy.types.World):  # the artist deleted it since
            return
        for other in bpy.data.scenes:
            if other.world == made and other.library is None:
                other.world = before.get("world")
        bpy.data.worlds.remove(made)

    recall(scene, kind, restore)


def notes(scene: bpy.types.Scene) -> tuple[str, ...]:
    """What there is to know of it."""
    clear = Note("The film is transparent, so that the plate's sky does not show", "Render > Film > Transparent")
    return (clear.text,) if scene.render.film_transparent else ()


def _take_out(tree: Any, identity: str) -> None:
    for node in tagged(tree.nodes, identity):
        feeding = node.inputs[0].links[0].from_socket if node.inputs[0].links else None
        targets = [link.to_socket for link in node.outputs[0].links]
        tree.nodes.remove(node)
        for target in targets if feeding is not None else ():
            tree.links.new(feeding, target)


def _editable(scene: Any, plate: Plate, kind: str) -> Any:
    """The scene's world where it may take a node, else one of ours in its place."""
    own: Any = scene.world
    if own is not None and (TAG in own or any(TAG in node for node in (own.node_tree.nodes if own.node_tree else ()))):
        return own  # of an earlier landing
    is_shared = any(other.world == own for other in bpy.data.scenes if other != scene and not foreground.is_ours(other))
    has_nodes = own is not None and own.node_tree is not None and (_IS_5 or own.use_nodes)
    if own is not None and has_nodes and own.library is None and own.override_library is None and not is_shared:
        return own
    made: Any = bpy.data.worlds.new("") if own is None else own.copy()
    made.name, made[TAG] = f"Farplane {scene.name if own is None else own.name}", plate.id
    made.use_fake_user = False
    if made.asset_data is not None:
        made.asset_clear()
    if not has_nodes:
        _plain(made, (0.0, 0.0, 0.0) if own is None else own.color)
    remember(scene, kind, {"made": made} if own is None else {"world": own, "made": made})
    scene.world = made
    return made


def _plain(made: Any, colour: Any) -> None:
    """Nodes for a world that has none: the one colour it showed."""
    if made.node_tree is None or not (_IS_5 or made.use_nodes):
        made.use_nodes = True
    tree: Any = made.node_tree
    tree.nodes.clear()
    light, output = add_node(tree, "ShaderNodeBackground", (-300, 0)), add_node(tree, _OUTPUT, (0, 0))
    light.inputs["Color"].default_value = (*colour, 1.0)
    tree.links.new(light.outputs[0], output.inputs["Surface"])


def _group(plate: Plate, baked: int | None) -> Any:
    """Surface in and out: the plate to the camera's rays, during the shot."""
    tree: Any = bpy.data.node_groups.new(f"Farplane sky {plate.name}", "ShaderNodeTree")
    tree[TAG], tree["farplane_sky"] = plate.id, True
    tree.interface.new_socket("Surface", in_out="INPUT", socket_type="NodeSocketShader")
    tree.interface.new_socket("Surface", in_out="OUTPUT", socket_type="NodeSocketShader")
    before, after = add_node(tree, "NodeGroupInput", (700, -100)), add_node(tree, "NodeGroupOutput", (1250, 0))
    light, mix = add_node(tree, "ShaderNodeBackground", (700, 200)), add_node(tree, "ShaderNodeMixShader", (1000, 0))
    where, seen = _by_direction(tree, plate, sorted(plate.files) if baked is None else [baked])
    tree.links.new(texture(tree, plate, plate_image(plate), where, baked, (300, 300)), light.inputs["Color"])
    during = add_node(tree, "ShaderNodeMath", (400, -300), "MULTIPLY")
    tree.links.new(add_node(tree, "ShaderNodeLightPath", (100, -300)).outputs["Is Camera Ray"], during.inputs[0])
    if baked is None:
        moments = [plate.moment(number) for number in (plate.first - 1, plate.first, plate.last + 1)]
        key(tree, during, np.array([[0.0], [1.0], [0.0]]), moments)
    else:
        during.inputs[1].default_value = 1.0
    shown = during.outputs[0] if seen is None else maths(tree, "MULTIPLY", during.outputs[0], seen, (550, -200))
    tree.links.new(shown, mix.inputs[0])
    tree.links.new(before.outputs[0], mix.inputs[1])
    tree.links.new(light.outputs[0], mix.inputs[2])
    tree.links.new(mix.outputs[0], after.inputs[0])
    return tree


def _by_direction(tree: Any, plate: Plate, frames: list[int]) -> tuple[Socket, Socket | None]:
    """Place in the plate of the direction that is looked in, and 1 where it lies in it.

    A take that tells no cameras is shown through whichever looks.
    """
    coordinates = add_node(tree, "ShaderNodeTexCoord", (-1600, 0))
    try:
        cameras = sent_frames(plate, frames)
    except FarplaneError:
        return coordinates.outputs["Window"], None
    way, moments = coordinates.outputs["Generated"], [plate.moment(number) for number in frames]
    rows = np.stack([sent.rows for sent in cameras])
    x, y, w = (dot(tree, way, rows[:, index], moments, (-1400, -200 * index)) for index in range(3))
    return in_frame(tree, x, y, w, cameras[0].size)
