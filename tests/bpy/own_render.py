"""What the artist's own F12 shows, as the truth that a shot is held against: Cycles, one ray a pixel, nothing of ours.

Everything of the scene counts as it stands, but for the engine's sampling; the numbers come out of Blender's own file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from farplane.addon.exr import read_passes
from farplane.addon.scene import Extraction, ShotPlan, plan_shots
from farplane.protocol.shot import Prompt

SIZE = 64, 48
NOTHING = 1e9  # Blender writes 1e10 where nothing is hit


def empty_scene() -> Any:
    """A scene with a camera at (0, -8, 2) that looks at the origin, and a ground of 40 m."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.frame_start, scene.frame_end = 1, 2
    camera = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    camera.data.lens, camera.location, camera.rotation_euler = 30, (0, -8, 2), (math.radians(78), 0, 0)
    link(camera)
    scene.camera = camera
    ground(scene.collection)
    return scene


def link(thing: Any, collection: Any = None) -> Any:
    (collection or bpy.context.scene.collection).objects.link(thing)
    return thing


def ground(collection: Any) -> Any:
    return mesh("ground", [(-20, -20, 0), (20, -20, 0), (20, 20, 0), (-20, 20, 0)], [(0, 1, 2, 3)], collection)


def mesh(
    name: str, corners: Sequence[tuple[float, float, float]], faces: Sequence[tuple[int, ...]], into: Any = None
) -> Any:
    data = bpy.data.meshes.new(name)
    data.from_pydata(corners, [], faces)
    return link(bpy.data.objects.new(name, data), into)


def box(name: str, size: float, at: tuple[float, float, float], into: Any = None) -> Any:
    r = size / 2
    corners = [(x * r, y * r, z * r) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    thing = mesh(name, corners, faces, into)
    thing.location = at
    return thing


def paint(name: str, colour: tuple[float, float, float] = (0.8, 0.1, 0.05)) -> Any:
    """A material whose Principled BSDF has this base colour."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (*colour, 1)
    return material


def output_of(material: Any) -> Any:
    return next(node for node in material.node_tree.nodes if node.bl_idname == "ShaderNodeOutputMaterial")


def shot_of(scene: Any, plan: ShotPlan | None = None, **options: Any) -> Any:
    """What would be sent."""
    with Extraction(scene, plan or plan_shots(scene)[0], Prompt("hills"), **{"size": SIZE, **options}) as extraction:
        while not extraction.step():
            pass
        return extraction.shot()


def f12(scene: Any, frame: int, folder: Path, *passes: str) -> dict[str, Any]:
    """Render a frame of the artist's own scene as an animation; {"z": [H, W], pass: [C, H, W]}, row 0 at the top.

    Of several view layers z is that of the nearest surface, and the other passes are the first one's.
    """
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.samples, cycles.use_denoising, cycles.use_adaptive_sampling = 1, False, False
    cycles.pixel_filter_type, cycles.filter_width = "BLACKMAN_HARRIS", 0.01
    for layer in scene.view_layers:
        layer.use_pass_z = layer.use_pass_normal = True
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format, settings.color_depth, settings.exr_codec = "OPEN_EXR_MULTILAYER", "32", "NONE"
    if hasattr(settings, "use_exr_interleave"):
        settings.use_exr_interleave = True
    first, last = scene.frame_start, scene.frame_end
    scene.frame_start = scene.frame_end = frame
    scene.render.filepath = str(folder / "f12.####")
    bpy.ops.render.render(animation=True)
    scene.frame_start, scene.frame_end = first, last
    (path,) = folder.glob("f12.*")
    found = read_passes(path, (".Depth.Z", *(f".{name}.{channel}" for name in passes for channel in "RGBXYZ")))
    path.unlink()
    z = np.min([values for name, values in found.items() if name.endswith(".Depth.Z")], axis=0)
    planes: dict[str, Any] = {"z": np.where(z > NOTHING, np.inf, z)}
    for name in passes:
        planes[name] = np.stack([v for key, v in found.items() if f".{name}." in key][:3])
    return planes


def world_points(shot: Any, index: int) -> Any:
    """[N, 3] where the sent depth and camera put what the pixels show."""
    z, K, pose = shot.depth.z[index], shot.camera.K[index], shot.camera.world_from_camera[index]
    rows, columns = np.nonzero(np.isfinite(z))
    rays = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], -1) @ np.linalg.inv(K).T
    return (rays * z[rows, columns][:, None]) @ pose[:3, :3].T + pose[:3, 3]
