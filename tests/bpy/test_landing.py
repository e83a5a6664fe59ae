"""A take landed in a scene: real pixels read back, frame for frame, and the scene as before once it is removed.

The sequences are 4 frames of half-float EXR, each with its own grey and one pixel at 4.0.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
OpenEXR = pytest.importorskip("OpenEXR")

from farplane.addon import landing, takes  # noqa: E402
from farplane.addon.camera import intrinsics, pinhole  # noqa: E402
from farplane.addon.exr import write_channel  # noqa: E402
from farplane.addon.landing import KINDS, land, landed, remove, unprepared  # noqa: E402
from farplane.addon.scene import read_camera  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402

spec = importlib.util.spec_from_file_location("whole_file", Path(__file__).with_name("whole_file.py"))
assert spec is not None
assert spec.loader is not None
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
whole_file, changes = module.whole_file, module.changes

W, H = 48, 32
HOT = (7, 5)  # x, y from the top: the pixel at 4.0
ROUNDING = 3e-7  # the last bit of float32, from weights in linear texture lookup that add up to nearly 1
NEXT_TO_HOT_IN_WINDOW = 0.01  # Cycles' pixel filter is 0.01 px wide: linear texture lookup mixes that much in


# ---- a scene and a take -------------------------------------------------------------------------------------


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


def sent_camera(frame: int) -> dict[str, Any]:
    """The scene's camera as shot.json has it."""
    scene = bpy.context.scene
    view = read_camera(scene, scene.camera, frame)
    sent = pinhole(view.matrix_world, intrinsics(view.lens, W, H))
    return {"K": sent.K.tolist(), "world_from_camera": sent.world_from_camera.tolist()}


def rendered(scene: Any, frame: int, tmp_path: Path) -> np.ndarray:
    """Render one frame to EXR and return [H, W, 3]."""
    scene.frame_set(frame)
    scene.render.filepath = str(tmp_path / "out.exr")
    bpy.ops.render.render(write_still=True)
    channels = OpenEXR.File(scene.render.filepath).channels()
    return next(channels[name].pixels for name in ("RGB", "RGBA") if name in channels)[..., :3]


# ---- each kind, by its pixels -------------------------------------------------------------------------------


def test_projection_shows_each_frame_exactly(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["projection"])
    for frame, shown in ((2, 11), (10, 11), (11, 11), (12, 12), (13, 13), (14, 14), (15, 14), (99, 14)):
        picture = rendered(scene, frame, tmp_path)
        # grey pixels away from the hot one: the same half-float value comes back
        np.testing.assert_allclose(picture[20:, 20:], grey(shown), rtol=ROUNDING)
        assert picture[HOT[1], HOT[0]] == pytest.approx(4.0, abs=4 * NEXT_TO_HOT_IN_WINDOW)


def test_a_take_that_tells_no_camera_is_seen_through_whichever_looks(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    (take / "shot.json").write_text(json.dumps({"frames": [{"frame": n} for n in (11, 12, 13, 14)]}))
    land(scene, scene.camera, take, ["projection"])
    scene.camera.location.x = 1.0
    np.testing.assert_allclose(rendered(scene, 12, tmp_path)[20:, 20:], grey(12), rtol=ROUNDING)


def test_projection_goes_on_what_was_chosen_only(scene: Any, tmp_path: Path) -> None:
    near = quad("Near", z=5, size=0.6, emission=0.25)
    twin = bpy.data.objects.new("Twin", near.data)  # shares the mesh and its material
    twin.location = (1.2, 0, 5)
    scene.collection.objects.link(twin)
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["projection"], objects=[twin, bpy.data.objects["Ground"]])
    assert near.active_material.name == "Near material"
    picture = rendered(scene, 12, tmp_path)
    assert picture[H // 2, W // 2, 0] == 0.25
    assert picture[H // 2, W - 8, 0] == pytest.approx(grey(12), rel=ROUNDING)


def test_compositor_puts_the_plate_behind_the_render(scene: Any, tmp_path: Path) -> None:
    bpy.data.objects.remove(bpy.data.objects["Ground"])
    quad("Hero", z=5, size=0.6, emission=0.25)
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["compositor"])
    for frame in (11, 13, 14):
        picture = rendered(scene, frame, tmp_path)
        assert picture[H // 2, W // 2, 0] == 0.25
        assert picture[HOT[1], HOT[0], 0] == 4.0
        np.testing.assert_array_equal(picture[20:, 32:], grey(frame))
    for frame in (10, 15):  # not the shot's: the render as it was
        assert not rendered(scene, frame, tmp_path)[20:, 32:].any()


@pytest.mark.parametrize("metres", [1.0, 0.001, 1000.0])
def test_compositor_combines_with_the_takes_own_depth(scene: Any, tmp_path: Path, metres: float) -> None:
    """The blockout gives way to the plate that was made from it; what stands before it stays; so in any unit."""
    scene.unit_settings.system, scene.unit_settings.scale_length = "METRIC", metres
    bpy.data.objects["Ground"].data.materials.append(glow("Grey", 0.75))
    quad("Hero", z=5, size=0.6, x=-1.2, emission=0.25)
    take = make_take(tmp_path / "take", depth=10.0 * metres)  # left half: the ground's own depth; right half: sky
    land(scene, scene.camera, take, ["compositor"])
    picture = rendered(scene, 12, tmp_path)
    assert picture[H // 2, 8, 0] == 0.25, "the hero stands before the plate"
    np.testing.assert_array_equal(picture[24:, : W // 2 - 2], grey(12))  # the plate stands for the blockout
    np.testing.assert_array_equal(picture[24:, W // 2 + 2 :], 0.75)  # a surface before the plate's sky stays
    assert picture[HOT[1], HOT[0], 0] == 4.0
    remove(scene, take)


def test_compositor_stretches_a_plate_of_another_size(scene: Any, tmp_path: Path) -> None:
    bpy.data.objects.remove(bpy.data.objects["Ground"])
    take = make_take(tmp_path / "take", width=W // 2, height=H // 2)
    land(scene, scene.camera, take, ["compositor"])
    picture = rendered(scene, 12, tmp_path)
    # before 5.0 Blender's own Scale node fades half a plate pixel at the border
    inset = 1 if bpy.app.version >= (5, 0, 0) else 3
    assert picture[-inset, -inset, 0] == pytest.approx(grey(12), abs=1e-6)
    hottest = np.unravel_index(picture[..., 0].argmax(), (H, W))
    # pixel (x, y) of the half-size plate covers 2x .. 2x+1: bilinear enlarging keeps its peak inside
    assert abs(hottest[1] - (2 * HOT[0] + 0.5)) <= 1
    assert abs(hottest[0] - (2 * HOT[1] + 0.5)) <= 1


def test_compositor_keeps_what_the_artist_built(scene: Any, tmp_path: Path) -> None:
    """An existing tree goes on working, with the plate behind its result; taken out, its links are as they were."""
    bpy.data.objects.remove(bpy.data.objects["Ground"])
    quad("Hero", z=5, size=0.6, emission=0.25)
    tree = artists_tree(scene)
    before = whole_file()
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["compositor"])
    picture = rendered(scene, 12, tmp_path)
    # the artist's exposure node doubles the render; the plate is not doubled
    assert picture[H // 2, W // 2, 0] == 0.5
    assert picture[20, 40, 0] == grey(12)
    remove(scene, take)
    assert changes(before) == []
    assert len(tree.links) == 2


def artists_tree(scene: Any) -> Any:
    if hasattr(scene, "compositing_node_group"):
        tree = bpy.data.node_groups.new("Artist", "CompositorNodeTree")
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        scene.compositing_node_group = tree
        output = tree.nodes.new("NodeGroupOutput")
    else:
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
        output = tree.nodes.new("CompositorNodeComposite")
    layers, exposure = tree.nodes.new("CompositorNodeRLayers"), tree.nodes.new("CompositorNodeExposure")
    exposure.inputs["Exposure"].default_value = 1.0
    tree.links.new(layers.outputs["Image"], exposure.inputs["Image"])
    tree.links.new(exposure.outputs["Image"], output.inputs[0])
    return tree


def test_strip_plays_each_frame_exactly(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["strip"])
    assert not scene.render.use_sequencer, "a scene without strips goes on rendering its 3D view"
    scene.render.use_sequencer = True
    for frame in (11, 12, 14):
        picture = rendered(scene, frame, tmp_path)
        np.testing.assert_array_equal(picture, plate_pixels(frame).astype(np.float32))
    for frame in (10, 15):
        assert not rendered(scene, frame, tmp_path).any()


def test_strip_leaves_an_edit_its_channels(scene: Any, tmp_path: Path) -> None:
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strips.new_effect(name="Mine", type="COLOR", channel=1, frame_start=1, **length(40))
    before = whole_file()
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["strip"])
    assert scene.render.use_sequencer
    ours = next(strip for strip in strips if strip.name != "Mine")
    assert (ours.channel, ours.frame_final_start, ours.frame_final_end) == (2, 11, 15)
    remove(scene, take)
    assert changes(before) == []


def length(frames: int) -> dict:
    return {"length": frames} if bpy.app.version >= (5, 0, 0) else {"frame_end": 1 + frames}


def evaluated_background(scene: Any, frame: int, index: int = 0) -> tuple[int, bool]:
    """(file number, shown) of the camera's background at a frame, by Blender's own rule (image.cc)."""
    scene.frame_set(frame)
    camera = scene.camera.evaluated_get(bpy.context.evaluated_depsgraph_get())
    user = camera.data.background_images[index].image_user
    inside = 0 <= frame - user.frame_start + 1 <= user.frame_duration
    clamped = min(max(frame - user.frame_start + 1, 0), user.frame_duration)
    return clamped + user.frame_offset, inside


def test_background_follows_the_shot(scene: Any, tmp_path: Path) -> None:
    """Background images draw in a window only; what Blender computes their file from is read here (gui/ looks)."""
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["background"])
    data = scene.camera.data
    image = data.background_images[0].image
    assert data.show_background_images
    assert image.source == "SEQUENCE"
    assert image.colorspace_settings.name == "Linear Rec.709", "whatever the file's header says"
    assert [evaluated_background(scene, n) for n in (10, 11, 12, 13, 14, 15)] == [
        (11, False), (11, True), (12, True), (13, True), (14, True), (14, False),
    ]  # fmt: skip


# ---- frame step, ranges -------------------------------------------------------------------------------------

STEPPED = (100, 103, 106, 109)


def test_a_frame_step_holds_each_frame_until_the_next(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take", STEPPED)
    land(scene, scene.camera, take, ["projection", "background", "strip"])
    expected = [(99, 100), (100, 100), (101, 100), (102, 100), (103, 103), (107, 106), (109, 109), (110, 109)]
    for frame, shown in expected:
        assert rendered(scene, frame, tmp_path)[20, 20, 0] == pytest.approx(grey(shown), rel=ROUNDING), (
            f"projection at {frame}"
        )
        assert evaluated_background(scene, frame)[0] == shown, f"background at {frame}"
    scene.render.use_sequencer = True
    for frame, shown in expected[1:-1]:
        assert rendered(scene, frame, tmp_path)[20, 20, 0] == grey(shown), f"strip at {frame}"
    scene.render.use_sequencer = False
    remove(scene, take)
    bpy.data.objects.remove(bpy.data.objects["Ground"])
    land(scene, scene.camera, take, ["compositor"])
    for frame, shown in expected[1:-1]:
        assert rendered(scene, frame, tmp_path)[20, 20, 0] == grey(shown), f"compositor at {frame}"


def test_two_shots_of_one_camera_share_a_scene(scene: Any, tmp_path: Path) -> None:
    bpy.data.objects.remove(bpy.data.objects["Ground"])
    kinds = ["background", "compositor", "strip"]
    before = whole_file()
    first = make_take(tmp_path / "shot 1" / "a", (1, 3, 5))
    second = make_take(tmp_path / "shot 2" / "a", (8, 10, 12))
    land(scene, scene.camera, first, kinds)
    land(scene, scene.camera, second, kinds)
    for frame, shown in ((1, 1), (4, 3), (5, 5), (9, 8), (12, 12)):
        assert rendered(scene, frame, tmp_path)[20, 20, 0] == grey(shown)
        assert (shown, True) in (evaluated_background(scene, frame, 0), evaluated_background(scene, frame, 1))
    assert not rendered(scene, 7, tmp_path).any()
    remove(scene, first)  # the second one's keys move up with its background image
    assert evaluated_background(scene, 11) == (10, True)
    assert rendered(scene, 9, tmp_path)[20, 20, 0] == grey(8)
    remove(scene, second)
    assert changes(before) == []


# ---- removal, replacement, mistakes -------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [(11, 12, 13, 14), STEPPED])
@pytest.mark.parametrize("kinds", [*[(kind,) for kind in KINDS], KINDS])
def test_removal_leaves_the_scene_as_before(scene: Any, tmp_path: Path, kinds: tuple, frames: tuple) -> None:
    furnished(scene)
    before = whole_file()
    take = make_take(tmp_path / "take", frames)
    result = land(scene, scene.camera, take, kinds)
    assert result.kinds == tuple(kinds)
    assert [item.id for item in landed(scene)] == [result.id]
    assert changes(before)
    remove(scene, take)
    assert not landed(scene)
    assert changes(before) == []


def furnished(scene: Any) -> None:
    """Objects with the ways a material can be bound, and a camera with animation and a picture of its own."""
    scene.camera.data.lens = 35
    scene.camera.data.keyframe_insert("lens", frame=1)
    picture = bpy.data.images.new("Artist's", 4, 4)
    scene.camera.data.background_images.new().image = picture
    scene.camera.data.show_background_images = False
    on_data = quad("On data", z=1, size=1, emission=0.5)
    twin = bpy.data.objects.new("Twin", on_data.data)
    on_object = quad("On object", z=1, size=1, emission=0.5)
    on_object.material_slots[0].link = "OBJECT"
    on_object.material_slots[0].material = glow("Own", 1)
    on_object.data.materials.append(None)
    bare = quad("Bare", z=1, size=1)
    bare_twin = bpy.data.objects.new("Bare twin", bare.data)
    text = bpy.data.objects.new("Text", bpy.data.curves.new("Text", "FONT"))
    for obj in (twin, bare_twin, text):
        scene.collection.objects.link(obj)
    bpy.context.view_layer.update()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[::2])
def test_takes_of_several_cameras_come_and_go_in_any_order(scene: Any, tmp_path: Path, order: tuple) -> None:
    furnished(scene)
    before = whole_file()
    takes_made = []
    for index in range(3):
        camera = bpy.data.objects.new(f"Camera {index}", scene.camera.data if index else bpy.data.cameras.new("C"))
        takes_made.append(make_take(tmp_path / f"{index}", tuple(range(10 * index + 1, 10 * index + 5))))
        objects = [bpy.data.objects[("On data", "Bare", "Bare twin")[index]]]
        land(scene, camera, takes_made[-1], objects=objects)
    for index in order:
        remove(scene, takes_made[index])
    for obj in [obj for obj in bpy.data.objects if obj.users == 0]:
        data = obj.data
        bpy.data.objects.remove(obj)
        if data.users == 0:
            bpy.data.cameras.remove(data)
    assert changes(before) == []


def test_landing_again_is_the_same_landing(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    before = whole_file()
    first = land(scene, scene.camera, take, ["background"])
    second = land(scene, scene.camera, take, KINDS)
    third = land(scene, scene.camera, take, KINDS)
    assert first.id == second.id == third.id
    assert len(scene.camera.data.background_images) == 1
    assert len([image for image in bpy.data.images if "farplane_take" in image]) == 1
    remove(scene, take, ["background", "strip"])
    assert landed(scene)[0].kinds == ("projection", "compositor")
    remove(scene, first.id)
    assert changes(before) == []


def test_only_an_accepted_take_replaces_another(scene: Any, tmp_path: Path) -> None:
    before = whole_file()
    old = make_take(tmp_path / "shot" / "old")
    land(scene, scene.camera, old)
    with_old = whole_file()
    new = make_take(tmp_path / "shot" / "new")
    with pytest.raises(FarplaneError, match="shot/old is landed in its place"):
        land(scene, scene.camera, new)
    assert changes(with_old) == []
    takes.Take.open(new).accept()
    land(scene, scene.camera, new)
    assert [item.folder for item in landed(scene)] == [new]
    assert len(scene.camera.data.background_images) == 1
    remove(scene, "shot/new")
    assert changes(before) == []


def test_mistakes_change_nothing(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    (tmp_path / "empty").mkdir()
    before = whole_file()
    camera, ground = scene.camera, bpy.data.objects["Ground"]
    wrong: dict[str, Callable[[], Any]] = {
        "camera": lambda: land(scene, None, take),
        "active camera": lambda: land(scene, ground, take),
        "holds no plate": lambda: land(scene, camera, tmp_path / "empty"),
        "does not exist": lambda: land(scene, camera, tmp_path / "absent"),
        "no way to land": lambda: land(scene, camera, take, ["hologram"]),
        "nothing is no way": lambda: land(scene, camera, take, []),
        "no geometry": lambda: land(scene, camera, take, objects=[camera]),  # after the background had landed
        "not landed": lambda: remove(scene, take),
    }
    for words, action in wrong.items():
        with pytest.raises(FarplaneError, match=words):
            action()
        assert changes(before) == [], words


def test_an_artists_changes_are_kept_on_removal(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take)
    ground = bpy.data.objects["Ground"]
    ground.material_slots[0].material = glow("Chosen since", 1)
    scene.sequencer_colorspace_settings.name = "ACEScg"
    bpy.data.objects.remove(scene.camera)
    remove(scene, take)
    assert ground.material_slots[0].material.name == "Chosen since"
    assert scene.sequencer_colorspace_settings.name == "ACEScg"
    assert not landed(scene)


def test_a_saved_scene_finds_its_plate_on_another_disk(scene: Any, tmp_path: Path) -> None:
    """Saved beside its takes, the whole folder can move."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(here / "shot.blend"))
    take = make_take(here / "farplane" / "Scene" / "take")
    land(scene, scene.camera, take)
    bpy.ops.wm.save_as_mainfile(filepath=str(here / "shot.blend"))
    os.rename(here, there)
    bpy.ops.wm.open_mainfile(filepath=str(there / "shot.blend"))
    scene = bpy.context.scene
    assert landed(scene)[0].folder == there / "farplane" / "Scene" / "take"
    image = scene.camera.data.background_images[0].image
    assert image.filepath.startswith("//")
    assert rendered(scene, 12, tmp_path)[20, 20, 0] == pytest.approx(grey(12), rel=ROUNDING)
    scene.render.use_sequencer = True
    assert rendered(scene, 13, tmp_path)[20, 20, 0] == grey(13)
    remove(scene, "Scene/take")
    assert not [image for image in bpy.data.images if "farplane_take" in image]
    assert bpy.data.objects["Ground"].material_slots[:] == []


def test_unused_originals_survive_a_save(scene: Any, tmp_path: Path) -> None:
    """While a projection stands in, Blender would purge an own material that nothing else uses."""
    ground = bpy.data.objects["Ground"]
    ground.data.materials.append(None)
    ground.material_slots[0].link = "OBJECT"
    ground.material_slots[0].material = glow("Only here", 1)
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["projection"])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    remove(bpy.context.scene, take)
    slot = bpy.data.objects["Ground"].material_slots[0]
    assert (slot.link, slot.material.name) == ("OBJECT", "Only here")


def test_landing_reads_depth_only_from_inside_the_take(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take", depth=10.0)
    outside = tmp_path / "outside.exr"
    outside.write_bytes((take / "depth.0011.exr").read_bytes())
    for name in ("../outside.exr", str(outside), "link.exr", 5, None):
        shot = {"frames": [{"frame": n, "depth": name} for n in (11, 12, 13, 14)]}
        (take / "shot.json").write_text(json.dumps(shot))
        if not (take / "link.exr").is_symlink():
            (take / "link.exr").symlink_to(outside)
        land(scene, scene.camera, take, ["compositor"])
        assert len([image for image in bpy.data.images if "farplane_depth" in image]) == 0
        remove(scene, take)


def test_a_take_that_cannot_be_written_to_lands_without_its_depth(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take", depth=10.0)
    (take / "blender").write_text("a file where the folder would be")
    result = land(scene, scene.camera, take, ["compositor"])
    assert result.kinds == ("compositor",)
    assert not [image for image in bpy.data.images if "farplane_depth" in image]


def test_what_a_landing_by_depth_needs_can_be_written_by_a_thread(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take", depth=10.0)
    assert unprepared(take, ["background", "strip"]) == []
    for kind in ("projection", "compositor"):
        assert len(unprepared(take, [kind])) == 4
    needed = unprepared(take, ["projection", "strip"])
    with ThreadPoolExecutor(1) as thread:
        for write in needed[1:]:
            thread.submit(write).result()
    assert len(unprepared(take, ["compositor"])) == 1
    needed[0]()
    written = {path: path.stat().st_mtime_ns for path in (take / "blender").iterdir()}
    assert len(written) == 4
    needed[0]()  # asked for twice, written once
    land(scene, scene.camera, take, ["projection", "compositor"])
    assert {path: path.stat().st_mtime_ns for path in (take / "blender").iterdir()} == written
    (take / "depth.0012.exr").unlink()
    assert unprepared(take, ["compositor"]) == [], "without all of its depth it lands without any"


def test_a_broken_frame_is_told_before_anything_changes(scene: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    (take / "plate.0011.exr").write_bytes(struct.pack("<I", 20000630) + b"rubbish")
    before = whole_file()
    with pytest.raises(FarplaneError, match="cannot be read"):
        land(scene, scene.camera, take)
    assert changes(before) == []


def test_kinds_are_what_the_design_says() -> None:
    assert landing.KINDS == ("background", "projection", "compositor", "strip")
