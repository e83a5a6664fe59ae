"""How a landed plate is shaded on geometry: as light where the shot's camera saw the point, as before elsewhere.

One node group per landing does it.  It stands before the Surface of a copy of each material that an object had: what
the material made goes in, and comes out again wherever the camera did not see.  It did not see what lies outside its
frame, behind it or behind another surface (the take's own depth tells), or the side that is turned away from it.
The cameras are those that were sent: keyed in the group, so that the picture stays on the geometry whatever becomes
of the scene's camera, and from whichever camera it is looked at.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ...protocol.errors import FarplaneError
from .depth import depth_image
from .nodes import Socket, add_node, dot, key, maths, remove_group, texture
from .plate import CATCHER, TAG, Plate, plate_image, tagged
from .sent import sent_frames

UVW = "farplane_uvw"  # bake.py's attribute; on a material, the frame that is baked
_SLACK = 1.02  # a surface may lie this much behind what was sent
_SLOPE = 1.5  # and this many pixels' slope of it, for a pixel of the depth stands for all the slope within it
_STEEPEST = 0.002  # cosine below which a slope counts as no steeper
_IS_5 = bpy.app.version >= (5, 0, 0)  # nodes cannot be switched off any more
_BARE = 0.8  # grey of an object without a material, in Blender's own renders


def group(plate: Plate, metres: float, baked: int | None) -> Any:
    """Make the node group, Surface in and out.

    metres : of a Blender unit.  baked : the one frame to show by the meshes' attribute UVW, None for every frame
    by its camera.  A take that tells no cameras is shown through whichever camera looks, without a mask.
    """
    tree: Any = bpy.data.node_groups.new(f"Farplane {plate.name}", "ShaderNodeTree")
    tree[TAG] = plate.id
    tree.interface.new_socket("Surface", in_out="INPUT", socket_type="NodeSocketShader")
    tree.interface.new_socket("Surface", in_out="OUTPUT", socket_type="NodeSocketShader")
    before, after = add_node(tree, "NodeGroupInput", (700, -100)), add_node(tree, "NodeGroupOutput", (1250, 0))
    light, mix = add_node(tree, "ShaderNodeEmission", (700, 200)), add_node(tree, "ShaderNodeMixShader", (1000, 0))
    try:
        where, seen = _by_attribute(tree, plate, baked) if baked is not None else _by_camera(tree, plate, metres)
    except FarplaneError:
        if baked is not None:
            remove_group(tree)
            raise
        where, seen = add_node(tree, "ShaderNodeTexCoord", (-600, 0)).outputs["Window"], None
    picture = texture(tree, plate, plate_image(plate), where, baked, (300, 300))
    tree.links.new(picture, light.inputs["Color"])
    catches = add_node(tree, "ShaderNodeAttribute", (300, 600))  # light shows no shadow: there it is the surface again
    catches.attribute_type, catches.attribute_name = "INSTANCER", CATCHER
    shown = maths(tree, "LESS_THAN", catches.outputs["Fac"], 0.5, (500, 600))
    tree.links.new(shown if seen is None else maths(tree, "MULTIPLY", seen, shown, (700, 500)), mix.inputs[0])
    tree.links.new(before.outputs[0], mix.inputs[1])
    tree.links.new(light.outputs[0], mix.inputs[2])
    tree.links.new(mix.outputs[0], after.inputs[0])
    return tree


def material(plate: Plate, own: bpy.types.Material | None, tree: Any, baked: int | None) -> bpy.types.Material:
    """Return a copy of `own` with the group `tree` before its surface; None is an object without a material."""
    made: Any = bpy.data.materials.new("") if own is None else own.copy()
    made.name = f"Farplane {plate.name}" if own is None else f"{own.name} Farplane {plate.name}"
    made[TAG] = plate.id
    if baked is not None:
        made[UVW] = baked
    made.use_fake_user = False
    if made.asset_data is not None:
        made.asset_clear()
    if own is None or made.node_tree is None or not (_IS_5 or made.use_nodes):
        _plain(made, (_BARE, _BARE, _BARE, 1.0) if own is None else made.diffuse_color)
    shaders: Any = made.node_tree  # there is one: its own, or the plain one just made
    nodes, links = shaders.nodes, shaders.links
    for output in [node for node in nodes if node.bl_idname == "ShaderNodeOutputMaterial"]:
        surface = output.inputs["Surface"]
        feeding = surface.links[0].from_socket if surface.links else None
        node = add_node(made.node_tree, "ShaderNodeGroup", (output.location.x, output.location.y + 160))
        node.node_tree, node.label = tree, tree.name
        if feeding is not None:
            links.new(feeding, node.inputs[0])
        links.new(node.outputs[0], surface)
    if hasattr(made, "cycles"):
        made.cycles.emission_sampling = "NONE"  # a picture of light, not a lamp to sample
    return made


def fills_only(own: bpy.types.Material | None) -> bool:
    """Whether a material fills its object and gives it no surface, as fog does: painted, it would become a wall."""
    tree: Any = own.node_tree if own is not None and (_IS_5 or own.use_nodes) else None
    outputs = [node for node in tree.nodes if node.bl_idname == "ShaderNodeOutputMaterial"] if tree is not None else []
    return any(node.inputs["Volume"].is_linked for node in outputs) and not any(
        node.inputs["Surface"].is_linked for node in outputs
    )


def remove_unused(identity: str) -> None:
    """Remove the materials and groups of a landing that nothing uses any more."""
    unused = [made for made in tagged(bpy.data.materials, identity) if made.users == 0]
    if unused:
        bpy.data.batch_remove(unused)  # in one go: for each call Blender looks through the whole file for users
    for tree in tagged(bpy.data.node_groups, identity):
        if tree.bl_idname == "ShaderNodeTree" and tree.users == 0:
            remove_group(tree)


def _plain(made: Any, colour: Any) -> None:
    """Nodes for a material that has none: the one colour it showed."""
    if made.node_tree is None or not (_IS_5 or made.use_nodes):
        made.use_nodes = True
    tree: Any = made.node_tree
    tree.nodes.clear()
    shader, output = (
        add_node(tree, "ShaderNodeBsdfDiffuse", (-300, 0)),
        add_node(tree, "ShaderNodeOutputMaterial", (0, 0)),
    )
    shader.inputs["Color"].default_value = tuple(colour)
    tree.links.new(shader.outputs[0], output.inputs["Surface"])


# ---- where a point lay in the plate, and whether it was seen ------------------------------------------------


def _by_attribute(tree: Any, plate: Plate, frame: int) -> tuple[Socket, Socket]:
    """By what is baked on the mesh: no camera to look from any more, so that sides cannot be told."""
    source, parts = (
        add_node(tree, "ShaderNodeAttribute", (-1400, 0)),
        add_node(tree, "ShaderNodeSeparateXYZ", (-1200, 0)),
    )
    source.attribute_name = UVW
    tree.links.new(source.outputs["Vector"], parts.inputs[0])
    x, y, w = parts.outputs
    (sent,) = sent_frames(plate, [frame])
    where, seen = in_frame(tree, x, y, w, sent.size)
    return where, _in_sight(tree, plate, where, seen, w, _SLACK, frame, sent.size)


def _by_camera(tree: Any, plate: Plate, metres: float) -> tuple[Socket, Socket]:
    """By the cameras that were sent, one per frame."""
    frames = sorted(plate.files)
    cameras, moments = sent_frames(plate, frames), [plate.moment(number) for number in frames]
    point = add_node(tree, "ShaderNodeNewGeometry", (-1800, 0))
    way = add_node(tree, "ShaderNodeVectorMath", (-1600, 0), "SUBTRACT")  # from the camera to the point
    tree.links.new(point.outputs["Position"], way.inputs[0])
    key(tree, way, np.stack([sent.centre / metres for sent in cameras]), moments)
    rows = np.stack([sent.rows * metres for sent in cameras])
    x, y, w = (dot(tree, way.outputs[0], rows[:, index], moments, (-1400, -200 * index)) for index in range(3))
    where, seen = in_frame(tree, x, y, w, cameras[0].size)
    normal = point.outputs["True Normal"]  # of the side that is looked at
    towards = dot(tree, way.outputs[0], normal, moments, (-1400, -700))
    seen = maths(tree, "MULTIPLY", seen, maths(tree, "LESS_THAN", towards, 0.0, (-100, -700)), (100, -500))
    slope = _slope(tree, way.outputs[0], normal, moments)
    limit = add_node(tree, "ShaderNodeMath", (-400, -1000), "MULTIPLY_ADD")
    tree.links.new(slope, limit.inputs[0])
    key(tree, limit, np.array([[_SLOPE * sent.pixel] for sent in cameras]), moments)
    limit.inputs[2].default_value = _SLACK
    return where, _in_sight(tree, plate, where, seen, w, limit.outputs[0], None, cameras[0].size)


def in_frame(tree: Any, x: Socket, y: Socket, w: Socket, size: tuple[int, int]) -> tuple[Socket, Socket]:
    """Place (u, v, 0) of a point in the frame, and 1 where that is before the camera and inside.

    A render's own filter looks a little over the frame's edge, so the frame counts as one pixel wider on each side.
    """
    where = add_node(tree, "ShaderNodeCombineXYZ", (-700, 0))
    seen = maths(tree, "GREATER_THAN", w, 0.0, (-700, -300))
    for index, value in enumerate((x, y)):
        place = maths(tree, "DIVIDE", value, w, (-900, -200 * index))
        tree.links.new(place, where.inputs[index])
        row = -300 - 150 * index
        distance = maths(tree, "ABSOLUTE", maths(tree, "SUBTRACT", place, 0.5, (-700, row)), 0.0, (-500, row))
        inside = maths(tree, "LESS_THAN", distance, 0.5 + 1.0 / size[index], (-300, row))
        seen = maths(tree, "MULTIPLY", seen, inside, (-100, row))
    return where.outputs[0], seen


def _in_sight(
    tree: Any,
    plate: Plate,
    where: Socket,
    seen: Socket,
    w: Socket,
    limit: Socket | float,
    baked: int | None,
    size: tuple[int, int],
) -> Socket:
    """`seen`, and not behind another surface: no deeper than the deepest of the four depths around the point.

    Four, as the picture's own lookup mixes four of its pixels.  Without depth files nothing hides anything.
    """
    depth = depth_image(plate)
    if depth is None:
        return seen
    deepest: Socket | None = None
    for index, (right, up) in enumerate(((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5))):
        aside = add_node(tree, "ShaderNodeVectorMath", (-500, -1200 - 300 * index), "ADD")
        aside.inputs[1].default_value = (right / size[0], up / size[1], 0.0)
        tree.links.new(where, aside.inputs[0])
        sent = texture(tree, plate, depth, aside.outputs[0], baked, (-300, -1200 - 300 * index))
        sent.node.interpolation = "Closest"
        deepest = sent if deepest is None else maths(tree, "MAXIMUM", deepest, sent, (0, -1200 - 200 * index))
    allowed = maths(tree, "MULTIPLY", deepest, limit, (200, -1000))
    return maths(tree, "MULTIPLY", seen, maths(tree, "LESS_THAN", w, allowed, (350, -800)), (500, -500))


def _slope(tree: Any, way: Socket, normal: Socket, moments: list[float]) -> Socket:
    """Tangent of the angle between the way to the point and the surface's normal."""
    along = add_node(tree, "ShaderNodeVectorMath", (-1400, -1000), "NORMALIZE")
    tree.links.new(way, along.inputs[0])
    cosine = maths(tree, "ABSOLUTE", dot(tree, along.outputs[0], normal, moments, (-1200, -1000)), 0.0, (-1000, -1000))
    square = add_node(tree, "ShaderNodeMath", (-1000, -1150), "MULTIPLY_ADD")  # 1 - cosine^2
    tree.links.new(cosine, square.inputs[0])
    tree.links.new(maths(tree, "MULTIPLY", cosine, -1.0, (-1150, -1200)), square.inputs[1])
    square.inputs[2].default_value = 1.0
    sine = maths(tree, "SQRT", square.outputs[0], 0.0, (-800, -1150))
    return maths(tree, "DIVIDE", sine, maths(tree, "MAXIMUM", cosine, _STEEPEST, (-800, -1000)), (-600, -1000))
