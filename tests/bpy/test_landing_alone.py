"""Landings that stand or fall alone, at the right frame, size and place: stretched time, linked scenes and cameras,
plates of any pixel count, the foreground and the sky.

The scene and its takes are those of landing_scene.py.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
pytest.importorskip("OpenEXR")

import landing_scene  # noqa: E402
from landing_scene import ROUNDING, H, W, grey, make_take, quad, rendered  # noqa: E402
from whole_file import changes, whole_file  # noqa: E402

from farplane.addon import scope  # noqa: E402
from farplane.addon.exr import write_rgb  # noqa: E402
from farplane.addon.landing import KINDS, background, compositor, land, landed, projection, remove, sequencer  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402

scene = landing_scene.scene

MODULES = {"background": background, "projection": projection, "compositor": compositor, "strip": sequencer}


# ---- each kind by itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [FarplaneError("landing", "it cannot be made", "Leave it"), RuntimeError("No.")])
def test_one_that_cannot_be_made_leaves_the_others(
    scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, error: Exception
) -> None:
    """Whatever ends it, and after it has done its work: nothing of it stays."""
    before = whole_file()
    take, made = make_take(tmp_path / "take"), MODULES[kind].land

    def fails(*arguments: Any) -> Any:
        made(*arguments)
        raise error

    def fails_late(*arguments: Any) -> Any:
        yield from made(*arguments)
        raise error

    monkeypatch.setattr(MODULES[kind], "land", fails_late if kind == "projection" else fails)
    result = land(scene, scene.camera, take)
    assert result.kinds == tuple(other for other in KINDS if other != kind)
    assert list(result.failed) == [kind]
    assert result.failed[kind].remedy
    assert landed(scene)[0].kinds == result.kinds
    with_others = whole_file()
    with pytest.raises(FarplaneError):  # nothing else was asked for
        land(scene, scene.camera, take, [kind])
    assert changes(with_others) == []
    remove(scene, take)
    assert changes(before) == []


def test_a_shot_of_sky_lands_in_every_way(scene: Any, tmp_path: Path) -> None:
    """Nothing to project on is no error then: the plate stands behind everything, and it is said."""
    bpy.data.objects.remove(bpy.data.objects["Ground"])
    result = land(scene, scene.camera, make_take(tmp_path / "take"))
    assert result.kinds == ("background", "projection", "compositor", "strip")
    assert not result.failed
    assert any("sky alone" in note for note in result.notes)
    remove(scene, tmp_path / "take", ["compositor", "strip"])
    picture = rendered(scene, 12, tmp_path)
    assert picture[H // 2, W // 2, 0] == pytest.approx(grey(12), rel=ROUNDING)


def test_baking_and_a_selection_need_geometry(scene: Any, tmp_path: Path) -> None:
    ground, take = bpy.data.objects["Ground"], make_take(tmp_path / "take")
    with pytest.raises(FarplaneError, match="no geometry"):
        land(scene, scene.camera, take, ["projection"], objects=[scene.camera])
    bpy.data.objects.remove(ground)
    with pytest.raises(FarplaneError, match="no geometry"):
        land(scene, scene.camera, take, ["projection"], baked=12)


# ---- foreground and sky -------------------------------------------------------------------------------------


def test_the_foreground_is_never_projected_on(scene: Any, tmp_path: Path) -> None:
    hero = quad("Hero", z=5, size=0.6, emission=0.25)
    scope.set_listed(scene, [hero])
    take = make_take(tmp_path / "take")
    for objects in (None, [hero, bpy.data.objects["Ground"]]):
        result = land(scene, scene.camera, take, ["projection"], objects=objects)
        picture = rendered(scene, 12, tmp_path)
        assert picture[H // 2, W // 2, 0] == 0.25
        assert picture[H - 4, W // 2, 0] == pytest.approx(grey(12), rel=ROUNDING)
        assert len(result.notes) == (0 if objects is None else 1), "it was selected, so it is said"
    remove(scene, take)
    with pytest.raises(FarplaneError, match="but what is left out: Hero"):
        land(scene, scene.camera, take, ["projection"], objects=[hero])


@pytest.mark.parametrize("own", ["none", "its own", "shared"])
def test_the_plates_sky_is_behind_the_projection(scene: Any, tmp_path: Path, own: str) -> None:
    """In the shot's frames, to the camera; for lighting and at other frames the artist's world stays."""
    bpy.data.objects["Ground"].location.x = 20  # covers the right half
    bpy.data.objects["Ground"].scale.x = 2
    if own != "none":
        scene.world = world(0.5)
    if own == "shared":
        bpy.data.scenes.new("Other").world = scene.world
    bpy.context.view_layer.update()
    before = whole_file()
    pictures = {frame: rendered(scene, frame, tmp_path) for frame in (9, 16)}
    hero = quad("Diffuse", z=5, size=0.6)  # not projected on: it shows what lights it, half of it 0.8 of the world
    scope.set_listed(scene, [hero])
    land(scene, scene.camera, make_take(tmp_path / "take"), ["projection"])
    for frame in (11, 14):
        picture = rendered(scene, frame, tmp_path)
        np.testing.assert_allclose(picture[H - 8 :], grey(frame), rtol=ROUNDING)
    scene.cycles.samples = 256  # 0.4 to a few per cent; lit by the plate it would be below 0.1
    lit = rendered(scene, 12, tmp_path)[H // 2, W // 2]
    scene.cycles.samples = 1
    assert lit == pytest.approx(0.0 if own == "none" else 0.4, abs=0.02)
    if own == "shared":
        assert bpy.data.scenes["Other"].world != scene.world
    bpy.data.objects.remove(hero)
    bpy.data.meshes.remove(bpy.data.meshes["Diffuse"])
    scope.set_listed(scene, [])
    for frame, picture in pictures.items():
        np.testing.assert_array_equal(rendered(scene, frame, tmp_path)[:, : W // 2 - 2], picture[:, : W // 2 - 2])
    remove(scene, tmp_path / "take")
    assert changes(before) == []


def world(strength: float) -> Any:
    made: Any = bpy.data.worlds.new("Own")
    if made.node_tree is None:
        made.use_nodes = True
    tree: Any = made.node_tree
    tree.nodes.clear()
    light, output = tree.nodes.new("ShaderNodeBackground"), tree.nodes.new("ShaderNodeOutputWorld")
    light.inputs["Color"].default_value = (strength, strength, strength, 1)
    tree.links.new(light.outputs[0], output.inputs["Surface"])
    return made


# ---- time ---------------------------------------------------------------------------------------------------

RATIOS = ((100, 200), (100, 77), (90, 7))


@pytest.mark.parametrize(
    ("old", "new"), [(100, 50), (24, 25), *(pytest.param(*p, marks=pytest.mark.slow) for p in RATIOS)]
)
def test_stretched_time_holds_still(scene: Any, tmp_path: Path, old: int, new: int) -> None:
    """The scene's frames are the plate's, in every landing that renders; what was sent moves fast.

    Its place is told by the plate's own pixels, u in red and v in green: 0.1 px are 1 / 480 of u.
    """
    scene.render.frame_map_old, scene.render.frame_map_new = old, new
    camera, pace = scene.camera, old / new
    for number in range(10, 17):  # 0.3 px at the ground between one frame and the next would be seen
        camera.location = (0.4 * (number - 10), 0.1 * number, 10)
        camera.keyframe_insert("location", frame=number * pace)
    frames = (11, 12, 13, 14)
    folder = where_take(tmp_path / "take", frames)
    land(scene, camera, folder, ["projection", "strip"])
    row, column = np.mgrid[0:H, 0:W] + 0.5
    u, v = column / W, 1 - row / H
    for with_strip in (False, True):
        scene.render.use_sequencer = with_strip
        for number in frames[1:3]:
            picture = rendered(scene, number, tmp_path)
            assert np.abs(picture[..., 0] - u).max() < 0.1 / W, (number, with_strip)
            assert np.abs(picture[..., 1] - v).max() < 0.1 / H, (number, with_strip)
            np.testing.assert_allclose(picture[..., 2], grey(number), rtol=1e-5)


def where_take(folder: Path, frames: tuple[int, ...]) -> Path:
    """Of the scene as it is: pixels tell where they are, and of which frame."""
    entries = []
    for number in frames:
        bpy.context.scene.frame_set(number)
        entries.append({"frame": number} | landing_scene.sent_camera(number))
    take = Take.create(folder, {"frames": entries, "resolution": [W, H]})
    row, column = np.mgrid[0:H, 0:W].astype(np.float32) + 0.5
    for number in frames:
        plate = np.stack([column / W, 1 - row / H, np.full((H, W), grey(number), np.float32)], axis=-1)
        data = landing_scene.exr(plate.astype(np.float32), folder / "scratch.exr")
        take.write_frame(number, data, hashlib.sha256(data).hexdigest())
    take.finish()
    return folder


# ---- other files --------------------------------------------------------------------------------------------


def test_a_landed_scene_that_is_linked_keeps_its_plate(scene: Any, tmp_path: Path) -> None:
    """From a file in another folder, whose paths are its own."""
    there = tmp_path / "shots" / "a"
    there.mkdir(parents=True)
    bpy.data.objects["Ground"].location.x, bpy.data.objects["Ground"].scale.x = 20, 2
    bpy.ops.wm.save_as_mainfile(filepath=str(there / "shot.blend"))
    take = make_take(there / "farplane" / "take")
    land(scene, scene.camera, take)
    scene.name = "Landed"
    bpy.ops.wm.save_mainfile()
    frames = (11, 13)
    expected = {(frame, strip): shown(scene, frame, strip, tmp_path) for frame in frames for strip in (False, True)}
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "edit.blend"))
    with bpy.data.libraries.load(str(there / "shot.blend"), link=True, relative=True) as (_, into):
        into.scenes = ["Landed"]
    linked: Any = into.scenes[0]
    bpy.context.window.scene = linked
    for (frame, strip), picture in expected.items():
        np.testing.assert_array_equal(shown(linked, frame, strip, tmp_path), picture, err_msg=f"{frame} {strip}")
    (item,) = landed(linked)
    assert item.folder == take
    assert item.kinds == KINDS
    image = linked.camera.data.background_images[0].image
    assert Path(bpy.path.abspath(image.filepath, library=image.library)).is_file()


def shown(scene: Any, frame: int, strip: bool, tmp_path: Path) -> np.ndarray:
    scene.render.use_sequencer = strip
    return rendered(scene, frame, tmp_path)


def test_a_linked_camera_is_landed_on_and_its_twin_is_not(scene: Any, tmp_path: Path) -> None:
    """A landing writes on no data of another file: what would have to says so, and the others are there."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "rig.blend"), copy=True)
    local = scene.camera
    with bpy.data.libraries.load(str(tmp_path / "rig.blend"), link=True) as (_, into):
        into.objects = ["Camera"]
    linked: Any = into.objects[0]
    scene.collection.objects.link(linked)
    scene.camera = linked
    assert linked.name == local.name
    before = whole_file()
    result = land(scene, linked, make_take(tmp_path / "take"))
    assert {"projection", "compositor", "strip"} <= set(result.kinds)
    assert result.camera == linked
    assert not local.data.background_images
    assert not linked.data.background_images
    assert rendered(scene, 12, tmp_path)[20, 20, 0] == pytest.approx(grey(12), rel=ROUNDING)
    remove(scene, result.id)
    assert changes(before) == []


# ---- place --------------------------------------------------------------------------------------------------

SIZES = {
    "16:9": ((480, 270), (448, 256)),
    "4:3": ((360, 270), (448, 256)),
    "2.39:1": ((478, 200), (224, 96)),
    "1:1": ((256, 256), (448, 256)),
    "upright": ((270, 480), (256, 448)),
    "larger": ((480, 270), (960, 540)),
}
MEDIAN, WORST = 0.05, 0.2  # pixels of the scene: what every landing registers to


@pytest.mark.parametrize(
    "shape",
    ["16:9", "upright", *(pytest.param(s, marks=pytest.mark.slow) for s in SIZES if s not in ("16:9", "upright"))],
)
def test_dots_of_a_plate_of_any_size_are_where_they_belong(scene: Any, tmp_path: Path, shape: str) -> None:
    """Dots at known places of the frame, in the projection with its sky and in the strip."""
    (width, height), size = SIZES[shape]
    render = scene.render
    render.resolution_x, render.resolution_y = width, height
    scene.camera.rotation_euler = (0.9, 0.1, 0.2)
    scene.camera.data.shift_x = 0.04
    bpy.context.view_layer.update()
    folder, places = dotted_take(tmp_path / "take", (width, height), size)
    land(scene, scene.camera, folder, ["projection", "strip"])
    for with_strip in (False, True):
        picture = shown(scene, 11, with_strip, tmp_path)[..., 0]
        off = [np.hypot(*(centre(picture, place) - place)) for place in places]
        assert np.median(off) < MEDIAN, (with_strip, np.median(off))
        assert max(off) < WORST, (with_strip, max(off))


def dotted_take(folder: Path, frame: tuple[int, int], size: tuple[int, int]) -> tuple[Path, np.ndarray]:
    """A plate of `size` for a scene of `frame` pixels, K scaled as the wire has it; places [N, 2] in the scene's pixels."""
    sent = landing_scene.sent_camera(11, *frame)
    scale = np.array([size[0] / frame[0], size[1] / frame[1]])
    K = np.diag([*scale, 1.0]) @ np.array(sent["K"])
    entry = {"frame": 11, "K": K.tolist(), "world_from_camera": sent["world_from_camera"]}
    take = Take.create(folder, {"frames": [entry, entry | {"frame": 12}], "resolution": list(size)})
    x, y = np.meshgrid((np.arange(9) + 0.5) / 9, (np.arange(7) + 0.5) / 7)
    places = np.stack([x.ravel(), y.ravel()], axis=1)
    row, column = np.mgrid[0 : size[1], 0 : size[0]] + 0.5
    # 1.5 pixels wide in the coarser of the two, so that neither samples it too rarely to be measured
    spread = 1.5 * np.maximum(scale, 1.0)
    dots = sum(
        np.exp(-0.5 * (((column - u * size[0]) / spread[0]) ** 2 + ((row - v * size[1]) / spread[1]) ** 2))
        for u, v in places
    )
    data = write_rgb(np.repeat(np.asarray(dots, np.float32)[..., None], 3, axis=2))
    for number in (11, 12):
        take.write_frame(number, data, hashlib.sha256(data).hexdigest())
    take.finish()
    return folder, places * np.array(frame)


def centre(picture: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Of the light within 10 pixels of a place."""
    height, width = picture.shape
    column, row = (int(n) for n in place)
    top, bottom = max(0, row - 10), min(height, row + 11)
    left, right = max(0, column - 10), min(width, column + 11)
    light = picture[top:bottom, left:right].astype(np.float64)
    rows, columns = np.mgrid[top:bottom, left:right] + 0.5
    return np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()
