"""What the tests of landing share: a scene, takes of it, and renders of it.

The sequences are 4 frames of half-float EXR, each with its own grey and one pixel at 4.0.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
OpenEXR = pytest.importorskip("OpenEXR")

from farplane.addon import takes  # noqa: E402
from farplane.addon.camera import intrinsics, pinhole  # noqa: E402
from farplane.addon.exr import write_channel  # noqa: E402
from farplane.addon.scene import read_camera  # noqa: E402

W, H = 48, 32
HOT = (7, 5)  # x, y from the top: the pixel at 4.0
ROUNDING = 3e-7  # the last bit of float32, from weights in linear texture lookup that add up to nearly 1
STEPPED = (100, 103, 106, 109)  # frames of a shot with a frame step of 3


@pytest.fixture
def scene() -> Any:
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location = (0, 0, 10)
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.world = None
    if bpy.app.version < (5, 0, 0):  # before 5.0 a scene's compositing tree, once made, can only be emptied
        scene.use_nodes = True
        scene.node_tree.nodes.clear()
        scene.use_nodes = False
    quad("Ground", z=0, size=20)
    scene.frame_start, scene.frame_end = 1, 250
    render = scene.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = W, H, 100
    scene.cycles.samples, scene.cycles.use_denoising = 1, False
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BOX", 0.01
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format = "OPEN_EXR"
    render.image_settings.color_depth = "32"
    render.image_settings.color_mode = "RGB"
    bpy.context.view_layer.update()
    return scene


def quad(name: str, z: float, size: float, x: float = 0.0, emission: float | None = None) -> Any:
    mesh = bpy.data.meshes.new(name)
    h = size / 2
    mesh.from_pydata([(-h, -h, 0), (h, -h, 0), (h, h, 0), (-h, h, 0)], [], [(0, 1, 2, 3)])
    obj = bpy.data.objects.new(name, mesh)
    obj.location = (x, 0, z)
    bpy.context.scene.collection.objects.link(obj)
    if emission is not None:
        mesh.materials.append(glow(f"{name} material", emission))
    return obj


def glow(name: str, strength: float) -> Any:
    material = bpy.data.materials.new(name)
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    shader, output = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeOutputMaterial")
    shader.inputs["Strength"].default_value = strength
    shader.inputs["Color"].default_value = (1, 1, 1, 1)
    tree.links.new(shader.outputs[0], output.inputs[0])
    return material


def grey(number: int) -> float:
    """The value of a frame, exact in half float."""
    return number / 128


def plate_pixels(number: int, width: int = W, height: int = H) -> np.ndarray:
    rgb = np.full((height, width, 3), grey(number), np.float16)
    rgb[HOT[1], HOT[0]] = 4.0
    return rgb


def exr(rgb: np.ndarray, path: Path, **header: Any) -> bytes:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    OpenEXR.File(header, {"RGB": np.ascontiguousarray(rgb)}).write(str(path))
    data = path.read_bytes()
    path.unlink()
    return data


def make_take(
    folder: Path,
    frames: tuple[int, ...] = (11, 12, 13, 14),
    accepted: bool = False,
    depth: float | None = None,
    **more: Any,
) -> Path:
    entries = [{"frame": n} | sent_camera(n) | ({"depth": f"depth.{n:04d}.exr"} if depth else {}) for n in frames]
    take = takes.Take.create(folder, {"frames": entries, "resolution": [W, H]})
    for number in frames:
        data = exr(plate_pixels(number, **more), folder / "scratch.exr", colorInteropID="lin_ap1_scene")
        take.write_frame(number, data, hashlib.sha256(data).hexdigest())
        if depth:
            z = np.full((H, W), depth, np.float32)
            z[:, W // 2 :] = np.inf
            (folder / f"depth.{number:04d}.exr").write_bytes(write_channel(z))
    take.finish()
    if accepted:
        take.accept()
    return folder


def sent_camera(frame: int, width: int = W, height: int = H) -> dict[str, Any]:
    """The scene's camera as shot.json has it."""
    scene = bpy.context.scene
    view = read_camera(scene, scene.camera, frame)
    sent = pinhole(view.matrix_world, intrinsics(view.lens, width, height))
    return {"K": sent.K.tolist(), "world_from_camera": sent.world_from_camera.tolist()}


def rendered(scene: Any, frame: int, tmp_path: Path) -> np.ndarray:
    """Render one frame to EXR and return [H, W, 3]."""
    scene.frame_set(frame)
    scene.render.filepath = str(tmp_path / "out.exr")
    bpy.ops.render.render(write_still=True)
    channels = OpenEXR.File(scene.render.filepath).channels()
    return next(channels[name].pixels for name in ("RGB", "RGBA") if name in channels)[..., :3]
