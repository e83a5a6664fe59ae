"""Run by test_compositor.py in each Blender: a hero in front of a set and one behind it, landed and rendered.

    python compositor_use.py FOLDER WIDTH HEIGHT SAMPLES ENGINE

FOLDER/farplane must be this repository.  Prints one line, RESULT and what was measured as JSON; FOLDER/picture.png is
what an artist gets.  The truths are renders of the artist's own scene before anything is landed: the heroes with the
set held out, and the set with and without a hero whom the camera does not see.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import OpenEXR

FOLDER, W, H, SAMPLES, ENGINE = Path(sys.argv[1]), *(int(n) for n in sys.argv[2:5]), sys.argv[5]
sys.path.insert(0, str(FOLDER))
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from whole_file import changes, whole_file  # noqa: E402

from farplane.addon import landing, scope, takes  # noqa: E402

FRAME = 12


def box(name: str, at: tuple[float, float, float], size: tuple[float, float, float], paint: Any) -> Any:
    corners = [(x * size[0], y * size[1], z * size[2]) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(corners, [], sides)
    mesh.materials.append(paint)
    obj = bpy.data.objects.new(name, mesh)
    obj.location = at
    return obj


def paint(name: str, rgb: tuple[float, float, float]) -> Any:
    material = bpy.data.materials.new(name)
    if material.node_tree is None:
        material.use_nodes = True
    shader = next(node for node in material.node_tree.nodes if node.bl_idname == "ShaderNodeBsdfPrincipled")
    shader.inputs["Base Color"].default_value = (*rgb, 1)
    return material


def scene_with_heroes() -> Any:
    """A street of houses in loud magenta, a sun, a sky; one hero stands on the ground, one behind the houses."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    loud, skin = paint("Blockout", (0.9, 0.1, 0.7)), paint("Hero", (0.8, 0.5, 0.2))
    street = bpy.data.collections.new("Street")
    scene.collection.children.link(street)
    street.objects.link(box("Ground", (0, 0, -0.1), (30, 30, 0.1), loud))
    street.objects.link(box("House", (0.5, 4, 2), (2.5, 1, 2), loud))
    for index in range(14):
        tower = box(f"Tower {index}", (-14 + 2.2 * index, 10 + 3 * (index % 3), 2 + index % 4), (0.8, 0.8, 4), loud)
        tower.rotation_euler.z = 0.3 * index
        street.objects.link(tower)
    cast = bpy.data.collections.new("Cast")
    scene.collection.children.link(cast)
    hero = box("Hero", (-1.0, -2.0, 0.85), (0.35, 0.25, 0.85), skin)
    hero.rotation_euler.z = 0.5
    cast.objects.link(hero)
    cast.objects.link(box("Hidden hero", (0.5, 8.0, 0.9), (0.5, 0.3, 0.9), skin))
    sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    sun.data.energy, sun.data.angle, sun.rotation_euler = 4.0, 0.03, (0.9, 0.3, 0.5)
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location, camera.rotation_euler, camera.data.lens = (0, -8, 2), (1.4, 0, 0), 35
    for obj in (sun, camera):
        scene.collection.objects.link(obj)
    scene.camera = camera
    world = bpy.data.worlds.new("World")
    if world.node_tree is None:
        world.use_nodes = True
    background = next(node for node in world.node_tree.nodes if node.bl_idname == "ShaderNodeBackground")
    background.inputs["Color"].default_value = (0.25, 0.45, 0.9, 1)
    background.inputs["Strength"].default_value = 0.6
    scene.world = world
    render = scene.render
    render.engine = ENGINE
    render.resolution_x, render.resolution_y = W, H
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.use_adaptive_sampling = SAMPLES, False, False
    if hasattr(scene, "eevee"):
        scene.eevee.taa_render_samples = SAMPLES
    if bpy.app.version < (5, 0, 0):  # a compositing tree, once made, can only be emptied
        scene.use_nodes = True
        scene.node_tree.nodes.clear()
        scene.use_nodes = False
    scope.set_listed(scene, [cast])
    return scene


def rendered(scene: Any, frame: int = FRAME, name: str = "out.exr") -> np.ndarray:
    """[H, W, 4], row 0 at the top."""
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_mode, settings.color_depth = "OPEN_EXR", "RGBA", "32"
    scene.frame_set(frame)
    scene.render.filepath = str(FOLDER / name)
    bpy.ops.render.render(write_still=True)
    return read(FOLDER / name)


def read(path: Path) -> np.ndarray:
    image = bpy.data.images.load(str(path))
    image.alpha_mode = "PREMUL" if image.alpha_mode == "STRAIGHT" else image.alpha_mode
    pixels = np.empty(image.size[0] * image.size[1] * 4, np.float32)
    image.pixels.foreach_get(pixels)
    shape = image.size[1], image.size[0], 4
    bpy.data.images.remove(image)
    return pixels.reshape(shape)[::-1]


def truths(scene: Any) -> dict[str, np.ndarray]:
    """The heroes alone with the set held out, and how much of its light the shadow leaves to the set [H, W]."""
    street, heroes = bpy.data.collections["Street"].objects, bpy.data.collections["Cast"].objects
    scene.render.film_transparent = True
    for obj in street:
        obj.is_holdout = True
    alone = rendered(scene)
    for obj in street:
        obj.is_holdout = False
    scene.render.film_transparent = False
    scene.render.use_compositing = False
    for obj in heroes:
        obj.visible_camera = False
    shaded = rendered(scene)
    for obj in heroes:
        obj.hide_render = True
    bare = rendered(scene)
    for obj in heroes:
        obj.hide_render, obj.visible_camera = False, True
    scene.render.use_compositing = True
    return {"alone": alone, "left": shaded[..., :3] / np.maximum(bare[..., :3], 1e-4)}


def plate_of(scene: Any) -> np.ndarray:
    """[H, W, 3] a plate: the same street in stone and grass, without heroes, as a model might have painted it."""
    shader = next(
        n for n in bpy.data.materials["Blockout"].node_tree.nodes if n.bl_idname == "ShaderNodeBsdfPrincipled"
    )
    loud = tuple(shader.inputs["Base Color"].default_value)
    shader.inputs["Base Color"].default_value = (0.3, 0.33, 0.28, 1)
    cast = bpy.data.collections["Cast"]
    cast.hide_render = True
    plate = rendered(scene)[..., :3]
    cast.hide_render = False
    shader.inputs["Base Color"].default_value = loud
    return plate


def write(path: Path, rgb: np.ndarray) -> None:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": np.ascontiguousarray(rgb.astype(np.float16))}).write(str(path))


def take_of(plate: np.ndarray) -> Path:
    folder = FOLDER / "shot" / "take"
    take = takes.Take.create(folder, {"frames": [{"frame": n} for n in (11, FRAME, 13)], "resolution": [W, H]})
    for number in (11, FRAME, 13):
        write(FOLDER / "scratch.exr", plate)
        data = (FOLDER / "scratch.exr").read_bytes()
        take.write_frame(number, data, hashlib.sha256(data).hexdigest())
    take.finish()
    return folder


def main() -> None:
    scene = scene_with_heroes()
    truth = truths(scene)
    plate = plate_of(scene).astype(np.float16).astype(np.float32)
    otherwise = rendered(scene, 30)
    other_layer = scene.view_layers.new("Artist's other layer")
    before = whole_file()
    take = take_of(plate)
    landing.land(scene, scene.camera, take, ["compositor"])
    got = rendered(scene)
    save_png(scene)
    after = rendered(scene, 30)
    black = black_plate(scene, take)
    landing.remove(scene, take)
    told = {"blender": bpy.app.version_string, "changes": changes(before), "layer": other_layer.name}
    told |= compare(got, truth, plate) | {"black": float(np.abs(black - truth["alone"])[..., :3].max())}
    told |= {"outside": float(np.abs(after - otherwise).max())}
    print("RESULT " + json.dumps(told))


def black_plate(scene: Any, take: Path) -> np.ndarray:
    """The picture with every pixel of the plate black."""
    write(take / "plate.0012.exr", np.zeros((H, W, 3)))
    bpy.data.images["Farplane shot/take"].reload()
    return rendered(scene)


def save_png(scene: Any) -> None:
    scene.render.image_settings.file_format, scene.render.image_settings.color_depth = "PNG", "8"
    bpy.data.images["Render Result"].save_render(str(FOLDER / "picture.png"), scene=scene)


def compare(got: np.ndarray, truth: dict[str, np.ndarray], plate: np.ndarray) -> dict[str, Any]:
    """Against the hero alone over the plate in his shadow, pixel for pixel, in each part of the picture."""
    alone, left = truth["alone"], truth["left"]
    alpha = alone[..., 3]
    wrong = np.abs(got[..., :3] - (alone[..., :3] + (1 - alpha[..., None]) * plate * left)).max(-1)
    parts = {
        "hero": alpha == 1.0,
        "edge": (alpha > 0) & (alpha < 1),
        "lit": (alpha == 0) & (np.abs(left - 1).max(-1) < 1e-3),
        "shadow": (alpha == 0) & (left.mean(-1) < 0.6),
        "all": alpha >= 0,
    }
    dark = parts["shadow"]
    return {f"{name} pixels": int(part.sum()) for name, part in parts.items()} | {
        **{name: float(wrong[part].max(initial=0)) for name, part in parts.items()},
        "left in shadow": float((got[..., :3][dark] / np.maximum(plate[dark], 1e-4)).mean()),
        "opaque": float(got[..., 3].min()),
    }


main()
