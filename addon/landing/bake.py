"""A take baked onto meshes: one frame of it in each mesh's own coordinates, masked where the camera did not see.

The window projection follows whichever camera looks; baked, the picture sticks to the surface and can be looked at
from anywhere.  Positions are projected with the camera that was sent (shot.json).  The attribute ``farplane_uvw``
holds (u w, v w, w) per vertex: linear over a face, and divided in the shader, so that the picture is exact however
large the face is.  The UV map ``Farplane`` holds u, v for other programs.  The shader shows the picture where w, the
surface's own depth, is the depth that was sent, and grey where something stood before it or the frame ends.

Legend: N points; K [3, 3] pixels; world_from_camera [4, 4], OpenCV axes, metres.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ...protocol.errors import FarplaneError
from .. import takes
from ..scene import metres_per_unit
from .depth import depth_image
from .plate import TAG, Plate, plate_image, tagged

UVW, UV_MAP = "farplane_uvw", "Farplane"
_SLACK = 1.02  # a surface may lie this much behind what was sent: slopes change that much within a pixel
_UNSEEN = 0.18  # grey
_NEAREST = 1e-6  # metres before the camera below which nothing can be seen


@dataclass(frozen=True)
class SentFrame:
    """The camera of one frame of a shot, as it was sent."""

    K: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]
    size: tuple[int, int]


def sent_frame(plate: Plate, frame: int) -> SentFrame:
    """Read what was sent for `frame`.  Raises FarplaneError where the take does not tell."""
    data = takes.read_json(plate.folder / "shot.json")
    try:
        entry = next(item for item in data["frames"] if int(item["frame"]) == frame)
        K, pose = np.array(entry["K"], np.float64), np.array(entry["world_from_camera"], np.float64)
        width, height = (int(value) for value in data["resolution"])
        if K.shape != (3, 3) or pose.shape != (4, 4) or min(width, height) < 1:
            raise ValueError
        np.linalg.inv(pose)
    except (KeyError, TypeError, ValueError, StopIteration, np.linalg.LinAlgError) as error:
        raise FarplaneError(
            "take", "its shot.json tells no camera for this frame", "Generate the take again"
        ) from error
    return SentFrame(K, pose, (width, height))


def project(points: NDArray[np.float64], sent: SentFrame) -> NDArray[np.float64]:
    """Project points [N, 3] in metres: (u w, v w, w) [N, 3], u right and v up over the frame, w the depth in metres."""
    width, height = sent.size
    world = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    camera = (world @ np.linalg.inv(sent.world_from_camera).T)[:, :3]
    x, y, w = (camera @ sent.K.T).T
    return np.stack([x / width, w - y / height, w], axis=1)


def bake(scene: bpy.types.Scene, plate: Plate, objects: Iterable[bpy.types.Object], frame: int) -> None:
    """Write the coordinates of `frame` on the meshes of `objects`.  Raises FarplaneError, then nothing changed."""
    sent, metres = sent_frame(plate, frame), metres_per_unit(scene)
    chosen = list(objects)
    for obj in chosen:
        _check(obj)
    try:
        for obj in chosen:
            uvw = project(_positions(obj) * metres, sent)
            mesh: Any = obj.data
            _write(mesh, uvw)
            _write_uv_map(mesh, uvw)
    except BaseException:
        for obj in chosen:
            unbake(obj)
        raise


def unbake(obj: bpy.types.Object) -> None:
    """Take the coordinates off again."""
    mesh: Any = obj.data
    if obj.type != "MESH" or mesh is None or mesh.library is not None:
        return
    found = mesh.attributes.get(UVW)
    if found is not None:
        mesh.attributes.remove(found)
    layer = mesh.uv_layers.get(UV_MAP)
    if layer is not None:
        mesh.uv_layers.remove(layer)


def _check(obj: bpy.types.Object) -> None:
    """Raise FarplaneError for an object whose mesh is not its own to write on."""
    if obj.type != "MESH" or obj.data is None:
        raise FarplaneError("objects", f"{obj.name} is no mesh", "Convert it: Object > Convert > Mesh")
    if obj.data.library is not None:
        raise FarplaneError("objects", f"{obj.name} is linked from another file", "Make its data local first")
    if obj.data.users > 1:
        remedy = "Make it single-user: Object > Relations > Make Single User"
        raise FarplaneError("objects", f"{obj.name} shares its mesh with others", remedy)
    if obj.mode == "EDIT":
        raise FarplaneError("objects", f"{obj.name} is in edit mode", "Leave it with Tab")


def _positions(obj: bpy.types.Object) -> NDArray[np.float64]:
    """World positions of the mesh's own vertices, deformed by modifiers that keep their number; Blender units."""
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh: Any = evaluated.data
    if len(mesh.vertices) != len(obj.data.vertices):
        mesh = obj.data
    local = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", local)
    matrix = np.array(evaluated.matrix_world, np.float64)
    return local.reshape(-1, 3).astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


def _write(mesh: Any, uvw: NDArray[np.float64]) -> None:
    existing = mesh.attributes.get(UVW)
    if existing is not None:
        mesh.attributes.remove(existing)
    attribute = mesh.attributes.new(UVW, "FLOAT_VECTOR", "POINT")
    attribute.data.foreach_set("vector", uvw.astype(np.float32).ravel())


def _write_uv_map(mesh: Any, uvw: NDArray[np.float64]) -> None:
    layer = mesh.uv_layers.get(UV_MAP) or mesh.uv_layers.new(name=UV_MAP, do_init=False)
    if layer is None:
        raise FarplaneError("objects", f"{mesh.name} has eight UV maps already", "Remove one of them")
    corners = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", corners)
    w = np.where(np.abs(uvw[:, 2:]) < _NEAREST, _NEAREST, uvw[:, 2:])
    uv = np.clip(uvw[:, :2] / w, -1e4, 1e4)
    layer.uv.foreach_set("vector", uv[corners].astype(np.float32).ravel())


# ---- the material -------------------------------------------------------------------------------------------


def material(plate: Plate, frame: int) -> bpy.types.Material:
    """The plate's `frame` as emission by the baked coordinates, grey where the camera did not see."""
    for existing in tagged(bpy.data.materials, plate.id):
        if existing.get(UVW) == frame:
            return existing
    made = bpy.data.materials.new(f"Farplane {plate.name} baked")
    made[TAG], made[UVW] = plate.id, frame
    if made.node_tree is None:  # before 5.0
        made.use_nodes = True
    tree: Any = made.node_tree
    tree.nodes.clear()
    source = _node(tree, "ShaderNodeAttribute", (-1200, 0))
    source.attribute_name = UVW
    parts = _node(tree, "ShaderNodeSeparateXYZ", (-1000, 0))
    tree.links.new(source.outputs["Vector"], parts.inputs[0])
    x, y, w = parts.outputs
    u, v = _maths(tree, "DIVIDE", x, w, (-800, 100)), _maths(tree, "DIVIDE", y, w, (-800, -100))
    where = _node(tree, "ShaderNodeCombineXYZ", (-600, 0))
    tree.links.new(u, where.inputs["X"])
    tree.links.new(v, where.inputs["Y"])
    picture = _texture(tree, plate_image(plate), where, frame, (-350, 200))
    picture.extension = "EXTEND"
    seen = _maths(tree, "GREATER_THAN", w, 0.0, (-400, -600))
    for index, value in enumerate((u, v)):
        distance = _maths(
            tree,
            "ABSOLUTE",
            _maths(tree, "SUBTRACT", value, 0.5, (-600, -300 - 150 * index)),
            0.0,
            (-450, -300 - 150 * index),
        )
        inside = _maths(tree, "LESS_THAN", distance, 0.5, (-300, -300 - 150 * index))
        seen = _maths(tree, "MULTIPLY", seen, inside, (-100, -400 - 100 * index))
    depth = depth_image(plate)
    if depth is not None:
        sent = _texture(tree, depth, where, frame, (-350, -800))
        sent.extension, sent.interpolation = "EXTEND", "Closest"
        limit = _maths(tree, "MULTIPLY", sent.outputs["Color"], _SLACK, (-100, -800))
        seen = _maths(tree, "MULTIPLY", seen, _maths(tree, "LESS_THAN", w, limit, (50, -700)), (200, -500))
    _mix(tree, picture, seen)
    if hasattr(made, "cycles"):
        made.cycles.emission_sampling = "NONE"  # a picture of light, not a lamp to sample
    return made


def _mix(tree: Any, picture: Any, seen: Any) -> None:
    """The picture where it was seen, grey elsewhere."""
    light, grey = _node(tree, "ShaderNodeEmission", (200, 200)), _node(tree, "ShaderNodeBsdfDiffuse", (200, 0))
    mix, output = _node(tree, "ShaderNodeMixShader", (450, 100)), _node(tree, "ShaderNodeOutputMaterial", (650, 100))
    grey.inputs["Color"].default_value = (_UNSEEN, _UNSEEN, _UNSEEN, 1.0)
    tree.links.new(picture.outputs["Color"], light.inputs["Color"])
    tree.links.new(seen, mix.inputs[0])
    tree.links.new(grey.outputs[0], mix.inputs[1])
    tree.links.new(light.outputs[0], mix.inputs[2])
    tree.links.new(mix.outputs[0], output.inputs["Surface"])


def _node(tree: Any, kind: str, where: tuple[int, int]) -> Any:
    node = tree.nodes.new(kind)
    node.location = where
    return node


def _maths(tree: Any, operation: str, value: Any, other: Any, where: tuple[int, int]) -> Any:
    node = _node(tree, "ShaderNodeMath", where)
    node.operation = operation
    tree.links.new(value, node.inputs[0])
    if isinstance(other, float):
        node.inputs[1].default_value = other
    else:
        tree.links.new(other, node.inputs[1])
    return node.outputs[0]


def _texture(tree: Any, image: bpy.types.Image, where: Any, frame: int, place: tuple[int, int]) -> Any:
    """The image sequence's one file for `frame`, whatever frame the scene is at."""
    node = _node(tree, "ShaderNodeTexImage", place)
    node.image = image
    user = node.image_user
    # Blender shows file clamp(frame - frame_start + 1, 0, duration) + offset: from the first frame on that is 1 + offset
    user.frame_duration, user.frame_start, user.frame_offset = 1, -takes.MAX_FRAME, frame - 1
    user.use_cyclic, user.use_auto_refresh = False, True  # or the viewport never learns which file it is
    tree.links.new(where.outputs[0], node.inputs["Vector"])
    return node
