"""A take behind the render in the compositor, combined with it by depth.

One group node of ours is put in front of the scene's output: what came there before goes in as Image, the
render's depth as Depth.  Inside, the plate (stretched to the render's size) is combined by depth, during the
shot's frames only.  The plate lies behind everything the render shows; where the take has depth files
(`farplane.addon.landing.depth`), it lies on its own surfaces instead, so that the blockout gives way to the plate
while whatever stands before it stays in front.
"""

from __future__ import annotations

from typing import Any

import bpy

from .depth import depth_image
from .plate import TAG, Plate, drop_action, follow, plate_image, tagged
from .record import Entry, recall, remember

KIND = "compositor"
BEHIND = 9e9  # nearer than Blender's 1e10 where nothing was hit, farther than anything hit
# The plate's surfaces lie this much nearer than the blockout they were made from, so that they win over it.  The
# engines' depths agree to 1e-5; edges of antialiased pixels and thin slopes need some more.
_LEAD = 0.995


def land(scene: bpy.types.Scene, plate: Plate, metres_per_depth: float) -> None:
    """Put the plate behind the render.  metres_per_depth : metres that 1 of the render's depth pass is."""
    tree, created = _scene_tree(scene)
    layer = _view_layer(scene)
    remember(scene, KIND, {"created": created, "layer": layer.name, "use_pass_z": layer.use_pass_z})
    layer.use_pass_z = True
    output = _output(tree)
    before = output.links[0].from_socket if output.links else None
    render = _render_layers(tree, scene, layer, plate)
    node = tree.nodes.new("CompositorNodeGroup")
    node.name = node.label = f"Farplane {plate.name}"
    node[TAG] = plate.id
    node.node_tree = _group(plate, metres_per_depth)
    node.width = 220
    node.location = (output.node.location.x - 260, output.node.location.y)
    tree.links.new(before or render.outputs["Image"], node.inputs["Image"])
    tree.links.new(render.outputs["Depth"], node.inputs["Depth"])
    tree.links.new(node.outputs["Image"], output)


def remove(scene: bpy.types.Scene, entry: Entry) -> None:
    """Take our nodes out, joining what they stood between, and with the last one the settings."""
    tree = _tree(scene)
    if tree is not None:
        for node in [node for node in tagged(tree.nodes, entry.id) if node.bl_idname == "CompositorNodeGroup"]:
            feeding = node.inputs["Image"].links[0].from_socket if node.inputs["Image"].links else None
            targets = [link.to_socket for link in node.outputs["Image"].links]
            group = node.node_tree
            tree.nodes.remove(node)
            for target in targets if feeding is not None else ():
                tree.links.new(feeding, target)
            if group is not None and group.users == 0:
                drop_action(group)
                bpy.data.node_groups.remove(group)
        _remove_render_layers(scene, tree)
    recall(scene, KIND, lambda before: _restore(scene, before))


def _restore(scene: Any, before: dict[str, Any]) -> None:
    layer = scene.view_layers.get(before["layer"])
    if layer is not None:
        layer.use_pass_z = bool(before["use_pass_z"])
    tree = _tree(scene)
    if not before["created"] or tree is None:
        return
    if any(node.bl_idname not in ("NodeGroupOutput", "CompositorNodeComposite") for node in tree.nodes):
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
    kinds = ("NodeGroupOutput", "CompositorNodeComposite")
    outputs = [node for node in tree.nodes if node.bl_idname in kinds]
    active = [n for n in outputs if getattr(n, "is_active_output", False) or tree.nodes.active == n]
    node = (active or outputs or [None])[0]
    if node is None:
        node = tree.nodes.new("CompositorNodeComposite" if tree.is_embedded_data else "NodeGroupOutput")
    if not any(socket.type == "RGBA" for socket in node.inputs):
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    return next(socket for socket in node.inputs if socket.type == "RGBA")


def _view_layer(scene: bpy.types.Scene) -> bpy.types.ViewLayer:
    return next((layer for layer in scene.view_layers if layer.use), scene.view_layers[0])


def _render_layers(tree: Any, scene: bpy.types.Scene, layer: bpy.types.ViewLayer, plate: Plate) -> Any:
    """The artist's Render Layers node for `layer`, or one of ours."""
    for node in tree.nodes:
        if node.bl_idname == "CompositorNodeRLayers" and node.scene == scene and node.layer == layer.name:
            return node
    node = tree.nodes.new("CompositorNodeRLayers")
    node.scene, node.layer = scene, layer.name
    node[TAG] = plate.id
    node.location = (-100, 0)
    return node


def _remove_render_layers(scene: bpy.types.Scene, tree: Any) -> None:
    """Remove Render Layers nodes of ours whose only use was our group node or an output that had nothing."""
    if any(TAG in node and node.bl_idname == "CompositorNodeGroup" for node in tree.nodes):
        return
    for node in [n for n in tree.nodes if TAG in n and n.bl_idname == "CompositorNodeRLayers"]:
        targets = {link.to_node.bl_idname for socket in node.outputs for link in socket.links}
        if targets <= {"NodeGroupOutput", "CompositorNodeComposite"}:
            tree.nodes.remove(node)


# ---- our group ----------------------------------------------------------------------------------------------


def _group(plate: Plate, metres_per_depth: float) -> Any:
    """Image and Depth in, Image out: the plate combined by depth, during the shot."""
    tree: Any = bpy.data.node_groups.new(f"Farplane {plate.name}", "CompositorNodeTree")
    tree[TAG] = plate.id
    tree.interface.new_socket("Image", in_out="INPUT", socket_type="NodeSocketColor")
    tree.interface.new_socket("Depth", in_out="INPUT", socket_type="NodeSocketFloat")
    tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    source, target = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    source.location, target.location = (-600, 300), (700, 100)
    combine = _z_combine(tree)
    images = [socket for socket in combine.inputs if socket.type == "RGBA"]
    depths = [socket for socket in combine.inputs if socket.type == "VALUE"]
    tree.links.new(source.outputs["Image"], images[0])
    tree.links.new(source.outputs["Depth"], depths[0])
    tree.links.new(_stretched(tree, plate, plate_image(plate), "Bilinear", (-600, 0)), images[1])
    surfaces = depth_image(plate)
    if surfaces is None:
        depths[1].default_value = BEHIND
    else:
        metres = _stretched(tree, plate, surfaces, "Nearest", (-600, -300))
        nearer = _maths(tree, "MULTIPLY", metres, _LEAD / metres_per_depth, (-100, -200))
        tree.links.new(_maths(tree, "MINIMUM", nearer, BEHIND, (50, -100)), depths[1])
    switch = _during_shot(tree, plate)
    tree.links.new(source.outputs["Image"], switch.inputs["Off"])
    tree.links.new(combine.outputs[0], switch.inputs["On"])
    tree.links.new(switch.outputs[0], target.inputs["Image"])
    return tree


def _z_combine(tree: Any) -> Any:
    node = tree.nodes.new("CompositorNodeZcombine")
    node.location = (150, 200)
    if "Use Alpha" in node.inputs:  # sockets since 4.5
        node.inputs["Use Alpha"].default_value = True
    if hasattr(node, "use_alpha"):
        node.use_alpha = True
    return node


def _stretched(tree: Any, plate: Plate, image: bpy.types.Image, filtering: str, where: tuple[int, int]) -> Any:
    """An image sequence stretched to the render's size; returns its output socket."""
    node = tree.nodes.new("CompositorNodeImage")
    node.image, node.location = image, where
    follow(node, tree, f'nodes["{node.name}"].frame_offset', plate)
    scale = tree.nodes.new("CompositorNodeScale")
    scale.location = (where[0] + 250, where[1])
    if "Type" in scale.inputs:  # sockets since 5.0
        scale.inputs["Type"].default_value = "Render Size"
        scale.inputs["Frame Type"].default_value = "Stretch"
        scale.inputs["Interpolation"].default_value = filtering
        for axis in "XY":  # or the border fades to black
            scale.inputs[f"Extension {axis}"].default_value = "Extend"
    else:
        scale.space, scale.frame_method = "RENDER_SIZE", "STRETCH"
        if hasattr(scale, "interpolation"):  # 4.5
            scale.interpolation = filtering.upper()
    tree.links.new(node.outputs["Image"], scale.inputs["Image"])
    return scale.outputs["Image"]


def _during_shot(tree: Any, plate: Plate) -> Any:
    """A switch that is on from the shot's first frame to its last: other shots' plates keep their own ranges."""
    node = tree.nodes.new("CompositorNodeSwitch")
    node.location = (450, 100)
    socket = node.inputs.get("Switch")
    for frame, on in ((plate.first - 1, False), (plate.first, True), (plate.last + 1, False)):
        if socket is not None:
            socket.default_value = on
            tree.keyframe_insert(f'nodes["{node.name}"].inputs[0].default_value', frame=frame)
        else:
            node.check = on
            tree.keyframe_insert(f'nodes["{node.name}"].check', frame=frame)
    return node


def _maths(tree: Any, operation: str, value: Any, other: float, where: tuple[int, int]) -> Any:
    """`operation` on an output socket and a number; returns the result's socket."""
    node = tree.nodes.new("ShaderNodeMath" if bpy.app.version >= (5, 0, 0) else "CompositorNodeMath")
    node.operation, node.location = operation, where
    tree.links.new(value, node.inputs[0])
    node.inputs[1].default_value = other
    return node.outputs[0]
