"""A take in the compositor: the plate, with the artist's foreground and its shadow over it.

One group node of ours (plate_group.py) is put in front of the scene's output: what came there before goes in as Image
and comes out again outside the shot's frames.  During them the foreground, rendered by a scene of ours
(foreground.py), lies over the plate: nothing of the set that the plate was made from is in the picture.

Where the artist's tree does nothing but work on the render's picture, node after node, the foreground takes the
render's place at its beginning: it is graded as the render was, and the plate is not.  Any other tree goes on as it is,
and its result is what is shown outside the shot's frames.
"""

from __future__ import annotations

from typing import Any

import bpy

from ...protocol.errors import FarplaneError
from .. import scope
from . import foreground, plate_group
from .plate import TAG, Plate, tagged
from .record import Entry, entries, recall, remember

KIND = "compositor"
_NO_SHADOW = "farplane_no_shadow"  # on a group node whose shadow is not linked, and not by the artist's wish
_OUTPUTS = ("NodeGroupOutput", "CompositorNodeComposite")
# Nodes after which a picture's alpha is no longer the render's.
_CHANGES_ALPHA = {
    "CompositorNodeAlphaOver",
    "CompositorNodeMixRGB",
    "CompositorNodePremulKey",
    "CompositorNodeSetAlpha",
    "CompositorNodeZcombine",
    "CompositorNodeSwitch",
    "ShaderNodeMix",
}


def land(scene: bpy.types.Scene, plate: Plate) -> None:
    """Put the foreground over the plate, in front of the scene's output.  Raises FarplaneError."""
    if foreground.is_ours(scene):
        raise FarplaneError("scene", f"{scene.name} is Farplane's own", "Land the take in the scene it was made for")
    ours = foreground.make(scene)
    tree, created = _scene_tree(scene)
    remember(scene, KIND, {"created": created})
    output = _output(tree)
    before = output.links[0].from_socket if output.links else None
    layers = _foreground_layers(tree, ours, plate)
    start = _beginning(tree, scene, output)
    if before is None:
        before = _render_layers(tree, scene, plate).outputs["Image"]
    node = _group_node(tree, plate, plate_group.picture(plate), (output.node.location.x - 260, output.node.location.y))
    source = layers.outputs["Image"]
    if start is not None:  # the artist works on the render: on the foreground's instead
        first = start.from_socket.node.location
        swap = _group_node(tree, plate, plate_group.beginning(plate), (first.x + 280, first.y))
        render, onward = start.from_socket, start.to_socket
        tree.links.new(render, swap.inputs["Image"])
        tree.links.new(source, swap.inputs["Foreground"])
        tree.links.new(swap.outputs["Image"], onward)
        source = _graded(tree, before)
    tree.links.new(before, node.inputs["Image"])
    tree.links.new(source, node.inputs["Foreground"])
    node[_NO_SHADOW] = True
    tree.links.new(node.outputs["Image"], output)
    _link_shadows(tree, layers)


def keep_up(scene: bpy.types.Scene) -> None:
    """Follow what the artist changed since, as `foreground.keep_up` does, and with the engine the shadow."""
    ours, tree = foreground.of(scene), _tree(scene)
    if ours is None or tree is None or scene.library is not None or tree.library is not None:
        return
    foreground.keep_up(scene)
    layers = next((node for node in tree.nodes if _shows(node, ours)), None)
    if layers is not None:
        _link_shadows(tree, layers)


def remove(scene: bpy.types.Scene, entry: Entry) -> None:
    """Take our nodes out, joining what they stood between, and with the last one all that they needed."""
    tree = _tree(scene)
    if tree is not None and not _is_shared(scene, tree, entry):
        ours = [node for node in tagged(tree.nodes, entry.id) if node.bl_idname == "CompositorNodeGroup"]
        for node in reversed(ours):  # from the render to the output, as an artist makes links
            feeding = node.inputs["Image"].links[0].from_socket if node.inputs["Image"].links else None
            targets = [link.to_socket for link in node.outputs["Image"].links]
            group = node.node_tree
            tree.nodes.remove(node)
            for target in targets if feeding is not None else ():
                tree.links.new(feeding, target)
            if group is not None and group.users == 0:
                plate_group.remove_group(group)
        _remove_render_layers(tree)
    recall(scene, KIND, lambda before: _restore(scene, before))


def _is_shared(scene: bpy.types.Scene, tree: Any, entry: Entry) -> bool:
    """Whether a copy of the scene has this landing in the same tree (5.0): it stays there."""
    others = [other for other in bpy.data.scenes if other != scene and _tree(other) == tree]
    return any(there.id == entry.id and there.kind == KIND for other in others for there in entries(other))


def _restore(scene: Any, before: dict[str, Any]) -> None:
    foreground.remove(scene)
    layer = scene.view_layers.get(before.get("layer", ""))  # of a landing by depth, as it once was
    if layer is not None:
        layer.use_pass_z = bool(before["use_pass_z"])
    tree = _tree(scene)
    if not before["created"] or tree is None:
        return
    is_shared = any(other != scene and _tree(other) == tree for other in bpy.data.scenes)
    if not is_shared and any(node.bl_idname not in _OUTPUTS for node in tree.nodes):
        return  # the artist built on it since
    if hasattr(scene, "compositing_node_group"):
        scene.compositing_node_group = None
        if tree.users == 0:
            bpy.data.node_groups.remove(tree)
    else:
        tree.nodes.clear()
        scene.use_nodes = False


# ---- the scene's tree, before and since 5.0 -----------------------------------------------------------------


def _tree(scene: Any) -> Any | None:
    if hasattr(scene, "compositing_node_group"):  # 5.0
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def _scene_tree(scene: Any) -> tuple[Any, bool]:
    """The scene's compositing tree, and whether it is of our making."""
    tree = _tree(scene)
    if tree is not None:
        return tree, False
    if hasattr(scene, "compositing_node_group"):
        tree = bpy.data.node_groups.new("Farplane Compositing", "CompositorNodeTree")
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        tree.nodes.new("NodeGroupOutput").location = (600, 0)
        scene.compositing_node_group = tree
        return tree, True
    # Switched off, a tree may still hold the artist's nodes: then it is theirs, and only switched on.
    had_nodes = scene.node_tree is not None and len(scene.node_tree.nodes) > 0
    scene.use_nodes = True
    tree: Any = scene.node_tree
    if not had_nodes:
        tree.nodes.clear()
        tree.nodes.new("CompositorNodeComposite").location = (600, 0)
    return tree, not had_nodes


def _output(tree: Any) -> Any:
    """The socket that the render's result is taken from."""
    outputs = [node for node in tree.nodes if node.bl_idname in _OUTPUTS]
    active = [n for n in outputs if getattr(n, "is_active_output", False) or tree.nodes.active == n]
    node = (active or outputs or [None])[0]
    if node is None:
        node = tree.nodes.new("CompositorNodeComposite" if tree.is_embedded_data else "NodeGroupOutput")
    if not any(socket.type == "RGBA" for socket in node.inputs):
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    return next(socket for socket in node.inputs if socket.type == "RGBA")


def _group_node(tree: Any, plate: Plate, group: Any, where: tuple[float, float]) -> Any:
    node = tree.nodes.new("CompositorNodeGroup")
    node.name = node.label = group.name
    node[TAG] = plate.id
    node.node_tree, node.width, node.location = group, 220, where
    return node


def _render_layers(tree: Any, scene: bpy.types.Scene, plate: Plate) -> Any:
    """The artist's Render Layers node for the first layer that renders, or one of ours."""
    layer = scope.used_layers(scene)[0]
    for node in tree.nodes:
        if _shows(node, scene) and node.layer == layer.name:
            return node
    return _new_layers(tree, scene, layer.name, plate, (-100, 0))


def _foreground_layers(tree: Any, ours: bpy.types.Scene, plate: Plate) -> Any:
    """The Render Layers node of our scene, one for all plates of the tree."""
    for node in tree.nodes:
        if _shows(node, ours):
            return node
    lowest = min((node.location.y for node in tree.nodes), default=0)
    return _new_layers(tree, ours, foreground.LAYER, plate, (-100, lowest - 400))


def _link_shadows(tree: Any, layers: Any) -> None:
    """Give each of our groups the shadow where the engine renders one: a pass that is not rendered counts as black."""
    shadow = layers.outputs.get("Shadow Catcher")
    has_shadow = shadow is not None and foreground.shows_shadow(layers.scene)
    for node in tree.nodes:
        if TAG not in node or "Shadow" not in node.inputs:
            continue
        if has_shadow and _NO_SHADOW in node:
            del node[_NO_SHADOW]
            tree.links.new(shadow, node.inputs["Shadow"])
        elif not has_shadow and _NO_SHADOW not in node:
            for link in [link for link in node.inputs["Shadow"].links if link.from_node == layers]:
                tree.links.remove(link)
                node[_NO_SHADOW] = True


def _new_layers(tree: Any, scene: bpy.types.Scene, layer: str, plate: Plate, where: tuple[float, float]) -> Any:
    node = tree.nodes.new("CompositorNodeRLayers")
    node.scene, node.layer = scene, layer
    node[TAG], node.location = plate.id, where
    return node


def _shows(node: Any, scene: bpy.types.Scene) -> bool:
    return node.bl_idname == "CompositorNodeRLayers" and node.scene == scene


def _beginning(tree: Any, scene: bpy.types.Scene, output: Any) -> Any | None:
    """The link out of the artist's Render Layers node by which a chain of nodes that only work on the render begins.

    None where there is no chain: no node between the render and the output, or one that mixes in something else.
    """
    names = {layer.name for layer in scope.used_layers(scene)}
    link, has_work, start = (output.links[0] if output.links else None), False, None
    while link is not None:
        node = link.from_node
        if node.bl_idname == "CompositorNodeRLayers":
            is_render = _shows(node, scene) and node.layer in names and link.from_socket.name == "Image"
            return (start or link) if is_render and has_work else None
        if TAG in node:  # of another plate
            inside = node.inputs["Image"].links
            start = start or (link if "Shadow" not in node.inputs else None)
        else:
            inside = [one for socket in node.inputs for one in socket.links]
            has_work, start = True, None
            if node.bl_idname in _CHANGES_ALPHA or len(inside) != 1:
                return None
        link = inside[0] if inside else None
    return None


def _graded(tree: Any, before: Any) -> Any:
    """Where the artist's chain ends: before the groups of other plates that stand between it and the output."""
    while TAG in before.node and before.node.bl_idname == "CompositorNodeGroup" and before.node.inputs["Image"].links:
        before = before.node.inputs["Image"].links[0].from_socket
    return before


def _remove_render_layers(tree: Any) -> None:
    """Remove Render Layers nodes of ours when no group of ours is left, unless the artist goes on from one."""
    if any(TAG in node and node.bl_idname == "CompositorNodeGroup" for node in tree.nodes):
        return
    for node in [n for n in tree.nodes if TAG in n and n.bl_idname == "CompositorNodeRLayers"]:
        targets = {link.to_node.bl_idname for socket in node.outputs for link in socket.links}
        if targets <= set(_OUTPUTS) or node.scene is None or foreground.is_ours(node.scene):
            tree.nodes.remove(node)
