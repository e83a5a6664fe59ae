"""A take baked onto meshes: one frame of it in each mesh's own coordinates, masked where the camera did not see.

Projected, each frame of the picture stands where its camera put it; baked, one frame sticks to the surface however
that moves.  Positions are projected with the camera that was sent (shot.json).  The attribute ``farplane_uvw``
holds (u w, v w, w) per vertex: linear over a face, and divided in the shader, so that the picture is exact however
large the face is.  The UV map ``Farplane`` holds u, v for other programs.  The shader (shading.py) shows the picture
where w, the surface's own depth, is the depth that was sent.

Legend: N points.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ...protocol.errors import FarplaneError
from ..scene import metres_per_unit
from .plate import Plate
from .sent import sent_frames
from .shading import UVW

UV_MAP = "Farplane"
_NEAREST = 1e-6  # metres before the camera below which nothing can be seen


def bake(scene: bpy.types.Scene, plate: Plate, objects: Iterable[bpy.types.Object], frame: int) -> None:
    """Write the coordinates of `frame` on the meshes of `objects`.  Raises FarplaneError, then nothing changed."""
    (sent,), metres = sent_frames(plate, [frame]), metres_per_unit(scene)
    chosen = list(objects)
    for obj in chosen:
        _check(obj)
    try:
        for obj in chosen:
            uvw = sent.project(_positions(obj) * metres)
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
