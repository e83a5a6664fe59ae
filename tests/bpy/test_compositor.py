"""A take landed in the compositor: the artist's foreground with its shadow over the plate, and nothing of the set.

Small scenes here in this Blender, by their pixels; a street with two heroes in every Blender there is (compositor_use.py).
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
OpenEXR = pytest.importorskip("OpenEXR")

import landing_scene  # noqa: E402
from landing_scene import HOT, H, W, exr, glow, grey, make_take, quad, rendered  # noqa: E402
from test_extension import BLENDERS, ROOT, python_of  # noqa: E402
from whole_file import changes, whole_file  # noqa: E402

from farplane.addon import scope  # noqa: E402
from farplane.addon.landing import compositor, foreground, land, remove  # noqa: E402

scene = landing_scene.scene

HERE = Path(__file__).parent
HERO = (H // 2, W // 2)  # a pixel of his
MEDIAN, WORST = 0.05, 0.2  # pixels of the render: what every landing registers to


@pytest.fixture
def hero(scene: Any) -> Any:
    """Stands in the middle, lit by himself, over a ground that glows as well; in the Foreground."""
    bpy.data.objects["Ground"].data.materials.append(glow("Ground material", 0.75))
    obj = quad("Hero", z=5, size=0.6, emission=0.25)
    scope.set_listed(scene, [obj])
    return obj


# ---- what is in the picture ---------------------------------------------------------------------------------


def test_the_hero_stands_before_the_plate(scene: Any, hero: Any, tmp_path: Path) -> None:
    before = rendered(scene, 20, tmp_path)
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["compositor"])
    for frame in (11, 13, 14):
        picture = rendered(scene, frame, tmp_path)
        assert picture[HERO][0] == 0.25
        assert picture[HOT[1], HOT[0], 0] == 4.0
        np.testing.assert_array_equal(picture[20:, 32:], grey(frame))
    for frame in (10, 15, 20):  # not the shot's: the render as it was
        np.testing.assert_array_equal(rendered(scene, frame, tmp_path), before)
    remove(scene, take)
    np.testing.assert_array_equal(rendered(scene, 12, tmp_path), before)


def test_without_a_foreground_the_plate_fills_the_picture(scene: Any, hero: Any, tmp_path: Path) -> None:
    scope.set_listed(scene, [])
    land(scene, scene.camera, make_take(tmp_path / "take", depth=10.0), ["compositor"])
    np.testing.assert_array_equal(rendered(scene, 12, tmp_path), landing_scene.plate_pixels(12).astype(np.float32))


def test_a_hero_behind_the_set_is_hidden_and_one_half_behind_it_half(scene: Any, hero: Any, tmp_path: Path) -> None:
    wall = quad("Wall", z=6, size=1.0, x=0.5, emission=0.75)  # before his right half, from the middle on
    land(scene, scene.camera, make_take(tmp_path / "take"), ["compositor"])
    picture = rendered(scene, 12, tmp_path)
    assert picture[H // 2, W // 2 - 1, 0] == 0.25
    np.testing.assert_array_equal(picture[H // 2, W // 2 + 1 :], grey(12))
    wall.location.x = 0.0
    np.testing.assert_array_equal(rendered(scene, 12, tmp_path), landing_scene.plate_pixels(12).astype(np.float32))


def test_only_the_set_counts_where_there_is_one(scene: Any, hero: Any, tmp_path: Path) -> None:
    """Whatever is not in the Set was not sent: it is in the picture."""
    street = bpy.data.collections.new("Street")
    scene.collection.children.link(street)
    street.objects.link(bpy.data.objects["Ground"])
    scene.collection.objects.unlink(bpy.data.objects["Ground"])
    scope.set_listed(scene, [])
    scope.set_set_collection(scene, street)
    land(scene, scene.camera, make_take(tmp_path / "take"), ["compositor"])
    picture = rendered(scene, 12, tmp_path)
    assert picture[HERO][0] == 0.25
    np.testing.assert_array_equal(picture[20:, 32:], grey(12))


def test_the_set_may_come_in_sideways(scene: Any, hero: Any, tmp_path: Path) -> None:
    """As an instance, from another file, from a Background Set: none of it shows, all of it hides."""
    library = tmp_path / "library.blend"
    wall = quad("Wall", z=6, size=0.3, emission=0.75)
    bpy.data.libraries.write(str(library), {wall})
    bpy.data.objects.remove(wall)
    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.objects = ["Wall"]
    linked = wanted.objects[0]
    inside = bpy.data.collections.new("Inside")
    inside.objects.link(linked)
    instance = bpy.data.objects.new("Instance", None)
    instance.instance_type, instance.instance_collection = "COLLECTION", inside
    scene.collection.objects.link(instance)
    behind = bpy.data.scenes.new("Behind")
    far = bpy.data.objects.new("Far", bpy.data.objects["Ground"].data)
    far.location = (0, 0, -3)
    behind.collection.objects.link(far)
    scene.background_set = behind
    land(scene, scene.camera, make_take(tmp_path / "take"), ["compositor"])
    picture = rendered(scene, 12, tmp_path)
    np.testing.assert_array_equal(picture[HERO], grey(12))
    assert picture[H // 2 - 2, W // 2 + 2, 0] == 0.25, "he looks over the wall"
    np.testing.assert_array_equal(picture[20:, 32:], grey(12))


def test_an_instance_may_hold_both_sides(scene: Any, hero: Any, tmp_path: Path) -> None:
    """The hero is shown, the ground is not, and both go where the artist's empty goes."""
    both = bpy.data.collections.new("Both")
    for obj in (hero, bpy.data.objects["Ground"]):
        both.objects.link(obj)
        scene.collection.objects.unlink(obj)
    instance = bpy.data.objects.new("Instance", None)
    instance.instance_type, instance.instance_collection = "COLLECTION", both
    scene.collection.objects.link(instance)
    before = whole_file()
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["compositor"])
    assert rendered(scene, 12, tmp_path)[HERO][0] == 0.25
    instance.location.x = 1.2
    picture = rendered(scene, 12, tmp_path)
    np.testing.assert_array_equal(picture[HERO], grey(12))
    assert picture[H // 2, W // 2 + 16, 0] == 0.25
    instance.location.x = 0.0
    remove(scene, take)
    assert changes(before) == []


def test_the_heros_own_view_layer_is_a_render_too(scene: Any, hero: Any, tmp_path: Path) -> None:
    """As crews do it: one layer for the set, one for the hero with the set held out."""
    layer, other = scene.view_layers[0], scene.view_layers.new("Hero")
    for name, obj in (("Sets", bpy.data.objects["Ground"]), ("Heroes", hero)):
        collection = bpy.data.collections.new(name)
        scene.collection.children.link(collection)
        collection.objects.link(obj)
        scene.collection.objects.unlink(obj)
    layer.layer_collection.children["Heroes"].exclude = True
    other.layer_collection.children["Sets"].holdout = True
    land(scene, scene.camera, make_take(tmp_path / "take"), ["compositor"])
    picture = rendered(scene, 12, tmp_path)
    assert picture[HERO][0] == 0.25
    np.testing.assert_array_equal(picture[20:, 32:], grey(12))
    assert (layer.layer_collection.children["Heroes"].exclude, other.layer_collection.children["Sets"].holdout) == (
        True,
        True,
    )


def test_markers_borders_and_sizes_are_the_artists(scene: Any, hero: Any, tmp_path: Path) -> None:
    """The hero is where the artist's own render has him, whatever camera looks, at half the size and in a border."""
    second = bpy.data.objects.new("Second", bpy.data.cameras.new("Second"))
    second.location, second.rotation_euler = (0.4, 0.2, 9), (0.05, 0.1, 0.3)
    scene.collection.objects.link(second)
    for frame, camera in ((1, scene.camera), (12, second)):
        scene.timeline_markers.new(camera.name, frame=frame).camera = camera
    land(scene, scene.camera, make_take(tmp_path / "take"), ["compositor"])
    for frame, percent in ((11, 100), (12, 100), (12, 50), (12, 150)):
        scene.render.resolution_percentage = percent
        compositor.keep_up(scene)
        here = rendered(scene, frame, tmp_path)[..., 0] == 0.25
        scene.render.use_compositing = False
        there = rendered(scene, frame, tmp_path)[..., 0] == 0.25
        scene.render.use_compositing = True
        np.testing.assert_array_equal(here, there)
        assert here.any()
    whole = rendered(scene, 12, tmp_path)
    render = scene.render
    render.use_border, render.border_min_x, render.border_max_x = True, 0.25, 0.75
    compositor.keep_up(scene)
    inside = slice(whole.shape[1] // 4, whole.shape[1] * 3 // 4)
    np.testing.assert_array_equal(rendered(scene, 12, tmp_path)[:, inside], whole[:, inside])


def test_a_copy_of_the_scene_can_lose_its_plate_alone(scene: Any, hero: Any, tmp_path: Path) -> None:
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["compositor"])
    copy = scene.copy()
    compositor.keep_up(copy)
    remove(copy, take)
    assert rendered(scene, 12, tmp_path)[HERO][0] == 0.25


def test_what_is_hidden_from_rendering_or_excluded_hides_nothing(scene: Any, hero: Any, tmp_path: Path) -> None:
    shut = quad("Shut", z=6, size=1.0, emission=0.75)
    shut.hide_render = True
    for frame, hidden in ((11, True), (13, False)):  # a door that closes
        shut.hide_render = hidden
        shut.keyframe_insert("hide_render", frame=frame)
    hidden, excluded = bpy.data.collections.new("Hidden"), bpy.data.collections.new("Excluded")
    for collection in (hidden, excluded):
        scene.collection.children.link(collection)
        wall = quad(collection.name, z=7, size=1.0, emission=0.75)
        scene.collection.objects.unlink(wall)
        collection.objects.link(wall)
    hidden.hide_render = True
    scene.view_layers[0].layer_collection.children["Excluded"].exclude = True
    land(scene, scene.camera, make_take(tmp_path / "take"), ["compositor"])
    assert rendered(scene, 12, tmp_path)[HERO][0] == 0.25
    np.testing.assert_array_equal(rendered(scene, 13, tmp_path)[HERO], grey(13))


def test_what_the_artist_changes_later_shows(scene: Any, hero: Any, tmp_path: Path) -> None:
    land(scene, scene.camera, make_take(tmp_path / "take"), ["compositor"])
    hero.location.x = 1.2
    second = quad("Second", z=5, size=0.6, emission=0.5)
    scope.set_listed(scene, [hero, second])
    scene.cycles.samples, scene.render.use_motion_blur = 3, True
    other = bpy.data.objects.new("Other", bpy.data.cameras.new("Other"))
    scene.collection.objects.link(other)
    scene.camera = other
    compositor.keep_up(scene)
    ours = foreground.of(scene)
    assert ours is not None
    assert (ours.cycles.samples, ours.render.use_motion_blur, ours.camera) == (3, True, other)
    assert ours.render.film_transparent
    assert not scene.render.film_transparent
    scene.camera, scene.render.use_motion_blur = bpy.data.objects["Camera"], False
    compositor.keep_up(scene)
    picture = rendered(scene, 12, tmp_path)
    assert picture[HERO][0] == 0.5
    assert picture[H // 2, W // 2 + 16, 0] == 0.25
    bpy.data.objects.remove(second)
    compositor.keep_up(scene)
    np.testing.assert_array_equal(rendered(scene, 12, tmp_path)[HERO], grey(12))


def test_another_engine_has_the_plate_as_well(scene: Any, hero: Any, tmp_path: Path) -> None:
    """A pass that is not rendered would be a black shadow on all of the plate."""
    land(scene, scene.camera, make_take(tmp_path / "take"), ["compositor"])
    for engine in ("BLENDER_WORKBENCH", "CYCLES", "BLENDER_WORKBENCH", "CYCLES"):
        scene.render.engine = engine
        compositor.keep_up(scene)
        # Where Workbench of 4.2 draws nothing its alpha is 1/2048 and not 0.
        np.testing.assert_allclose(rendered(scene, 12, tmp_path)[24:, 4], grey(12), atol=1e-3)
    assert rendered(scene, 12, tmp_path)[HERO][0] == 0.25


# ---- the artist's own -----------------------------------------------------------------------------------------


def test_an_artists_nodes_go_on_working_on_the_foreground(scene: Any, hero: Any, tmp_path: Path) -> None:
    """The render is graded and the plate is not; outside the shot and after removal all is as it was."""
    tree = artists_tree(scene)
    before, otherwise = whole_file(), rendered(scene, 20, tmp_path)
    first, second = (make_take(tmp_path / str(n), (n, n + 1)) for n in (11, 13))
    land(scene, scene.camera, first, ["compositor"])
    land(scene, scene.camera, second, ["compositor"])
    for frame in (11, 12, 13, 14):
        picture = rendered(scene, frame, tmp_path)
        assert picture[HERO][0] == 0.5  # the artist's exposure node doubles it
        assert picture[20, 40, 0] == grey(frame)
    np.testing.assert_array_equal(rendered(scene, 20, tmp_path), otherwise)
    remove(scene, first)
    assert rendered(scene, 13, tmp_path)[HERO][0] == 0.5
    np.testing.assert_array_equal(rendered(scene, 12, tmp_path), otherwise)
    remove(scene, second)
    assert changes(before) == []
    assert len(tree.links) == 2


def test_a_tree_that_mixes_layers_is_kept_as_it_is(scene: Any, hero: Any, tmp_path: Path) -> None:
    """Its picture holds the set: during the shot the foreground over the plate takes its place."""
    scene.view_layers.new("Beauty")
    tree = artists_tree(scene)
    layers = next(node for node in tree.nodes if node.bl_idname == "CompositorNodeRLayers")
    more, mix = tree.nodes.new("CompositorNodeRLayers"), tree.nodes.new("CompositorNodeAlphaOver")
    more.layer = "Beauty"
    sockets = [socket for socket in mix.inputs if socket.type == "RGBA"]
    exposure = next(node for node in tree.nodes if node.bl_idname == "CompositorNodeExposure")
    tree.links.new(layers.outputs["Image"], sockets[0])
    tree.links.new(more.outputs["Image"], sockets[1])
    tree.links.new(mix.outputs[0], exposure.inputs["Image"])
    linked = {(link.from_node.name, link.to_node.name) for link in tree.links}
    before, otherwise = whole_file(), rendered(scene, 20, tmp_path)
    take = make_take(tmp_path / "take")
    land(scene, scene.camera, take, ["compositor"])
    picture = rendered(scene, 12, tmp_path)
    assert picture[HERO][0] == 0.25
    np.testing.assert_array_equal(picture[20:, 32:], grey(12))
    np.testing.assert_array_equal(rendered(scene, 20, tmp_path), otherwise)
    remove(scene, take)
    assert [change for change in changes(before) if "/links/" not in change] == []
    assert {(link.from_node.name, link.to_node.name) for link in tree.links} == linked, "in whatever order"


def artists_tree(scene: Any) -> Any:
    """Exposure of one stop on the render."""
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


@pytest.mark.parametrize("socket", ["Plate", "Plate Depth", "Foreground", "Shadow", "Mask"])
def test_what_the_picture_is_made_of_can_be_taken_from_the_group(
    scene: Any, hero: Any, tmp_path: Path, socket: str
) -> None:
    land(scene, scene.camera, make_take(tmp_path / "take", depth=7.0), ["compositor"])
    tree = scene.compositing_node_group if hasattr(scene, "compositing_node_group") else scene.node_tree
    group = next(node for node in tree.nodes if node.bl_idname == "CompositorNodeGroup")
    output = next(node for node in tree.nodes if node.bl_idname in ("NodeGroupOutput", "CompositorNodeComposite"))
    tree.links.new(group.outputs[socket], output.inputs[0])
    picture = rendered(scene, 12, tmp_path)
    expected = {"Plate": grey(12), "Plate Depth": 7.0, "Foreground": 0.0, "Shadow": 1.0, "Mask": 0.0}
    on_hero = {"Plate": grey(12), "Plate Depth": 8e9, "Foreground": 0.25, "Mask": 1.0}
    assert picture[24, 4, 0] == expected[socket]
    if socket in on_hero:
        assert picture[HERO][0] == on_hero[socket]


# ---- frames --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stretch", [(100, 50), (100, 200), (30, 48)])
@pytest.mark.parametrize("frames", [(11, 12, 13, 14), (11, 13, 15)])
def test_a_time_stretched_scene_has_every_frames_own_plate(
    scene: Any, hero: Any, tmp_path: Path, stretch: tuple[int, int], frames: tuple[int, ...]
) -> None:
    before = rendered(scene, 30, tmp_path)
    scene.render.frame_map_old, scene.render.frame_map_new = stretch
    land(scene, scene.camera, make_take(tmp_path / "take", frames), ["compositor"])
    for frame in range(frames[0], frames[-1] + 1):
        shown = max(number for number in frames if number <= frame)
        assert rendered(scene, frame, tmp_path)[20, 40, 0] == grey(shown), frame
    for frame in (frames[0] - 1, frames[-1] + 1):
        np.testing.assert_array_equal(rendered(scene, frame, tmp_path), before)
    scene.render.frame_map_old = scene.render.frame_map_new = 100  # and when it is no longer
    assert rendered(scene, 12, tmp_path)[20, 40, 0] == grey(max(number for number in frames if number <= 12))


# ---- registration -------------------------------------------------------------------------------------------

SHAPES = {
    "16:9": ((320, 180), [(224, 128), (160, 90), (96, 96), (448, 256), (320, 180)]),
    "4:3": ((240, 180), [(224, 128), (128, 96)]),
    "2.39:1": ((382, 160), [(224, 128), (256, 108)]),
    "1:1": ((200, 200), [(224, 128), (96, 96)]),
    "upright": ((180, 320), [(224, 128), (128, 224)]),
}


@pytest.mark.parametrize("shape", list(SHAPES))
def test_the_plate_registers_on_the_frame(scene: Any, tmp_path: Path, shape: str) -> None:
    """Dots in the plate, each where Blender's own projection puts a point of the scene, come to lie there."""
    (width, height), sizes = SHAPES[shape]
    scene.render.resolution_x, scene.render.resolution_y = width, height
    places = projected_grid(scene)
    for size in sizes:
        take = make_take(tmp_path / f"{size[0]}x{size[1]}", (11,))
        (take / "plate.0011.exr").write_bytes(exr(dots(places, *size), tmp_path / "scratch.exr"))
        land(scene, scene.camera, take, ["compositor"])
        picture = rendered(scene, 11, tmp_path)
        assert picture.min() > 0.24, "the plate reaches every border"
        off = np.linalg.norm(found(picture[..., 0] - 0.25, places) - places * (width, height), axis=1)
        assert np.median(off) < MEDIAN, size
        assert off.max() < WORST, size
        remove(scene, take)


def projected_grid(scene: Any) -> np.ndarray:
    """[N, 2] where points of the ground lie in the frame, 0 to 1, from the top left."""
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    bpy.context.view_layer.update()
    points = [Vector((x, y, 0)) for x in np.linspace(-3, 3, 9) for y in np.linspace(-3, 3, 9)]
    seen = [world_to_camera_view(scene, scene.camera, point) for point in points]
    # A dot's whole disc must be in the picture for its centre of mass to be its centre.
    inside = [(p.x, 1 - p.y) for p in seen if 0.06 < p.x < 0.94 and 0.06 < p.y < 0.94]
    assert len(inside) >= 12
    return np.array(inside)


def dots(places: np.ndarray, width: int, height: int) -> np.ndarray:
    """[height, width, 3]: a soft dot of 1.5 pixels at each place, on a grey of 0.25."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    picture: Any = sum(np.exp(-((x - u * width) ** 2 + (y - v * height) ** 2) / 4.5) for u, v in places)
    return np.repeat((picture + 0.25)[..., None], 3, axis=2).astype(np.float32)


def found(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """[N, 2] centres of mass around each place, in pixels.  Half the distance of two dots is looked at."""
    height, width = picture.shape
    size = np.array([width, height])
    apart = np.abs(places[1:] - places[:-1]) * size
    reach = apart.max(axis=1).min() / 2
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    out = []
    for u, v in places * size:
        weight = picture * ((abs(x - u) < reach) & (abs(y - v) < reach)).clip(0)
        out.append(((weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()))
    return np.array(out)


# ---- another file ----------------------------------------------------------------------------------------------


def test_a_landed_scene_that_is_linked_keeps_its_plate(scene: Any, hero: Any, tmp_path: Path) -> None:
    land(scene, scene.camera, make_take(tmp_path / "take"), ["compositor"])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.context.scene.name = "Local"
    with bpy.data.libraries.load(str(tmp_path / "shot.blend"), link=True) as (_, wanted):
        wanted.scenes = ["Scene"]
    linked: Any = wanted.scenes[0]
    bpy.context.window.scene = linked
    linked.frame_set(12)
    linked.render.filepath = str(tmp_path / "linked.exr")  # not kept, and good for this render
    bpy.ops.render.render(write_still=True, scene=linked.name)
    channels = OpenEXR.File(str(tmp_path / "linked.exr")).channels()
    picture = next(channels[name].pixels for name in ("RGB", "RGBA") if name in channels)
    assert picture[HERO][0] == 0.25
    np.testing.assert_array_equal(picture[20:, 32:, 0], grey(12))


# ---- every Blender -----------------------------------------------------------------------------------------------


def in_blender(blender: str, folder: Path, width: int, height: int, samples: int, engine: str) -> dict[str, Any]:
    """What compositor_use.py measured there."""
    (folder / "farplane").symlink_to(ROOT)
    command = [python_of(blender, "OpenEXR"), str(HERE / "compositor_use.py"), str(folder)]
    command += [str(width), str(height), str(samples), engine]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stdout[-3000:] + done.stderr[-3000:]
    told = json.loads(lines[0].removeprefix("RESULT "))
    assert told["blender"].startswith(f"{blender}.")
    return told


def check(told: dict[str, Any], pixels: int) -> None:
    """Against renders of the artist's own scene, which see the same rays as ours."""
    assert told["changes"] == []
    assert told["outside"] == 0.0, "a frame outside the shot is the render as it was"
    assert min(told[f"{part} pixels"] for part in ("hero", "edge", "lit", "shadow")) > pixels / 1000
    assert told["opaque"] == 1.0
    # Half float plates are exact here: what is left is the order in which float32 is summed.
    assert told["hero"] < 1e-5
    assert told["lit"] < 1e-3, "where the shadow leaves 99.9% and more of the light, as `lit` is chosen"
    assert told["shadow"] < 1e-4
    assert told["black"] < 1e-5, "over black, the hero alone is left: edges, motion and all"
    assert told["left in shadow"] < 0.6


@pytest.mark.parametrize("blender", list(BLENDERS))
def test_a_hero_in_the_street(tmp_path: Path, blender: str) -> None:
    check(in_blender(blender, tmp_path, 96, 54, 4, "CYCLES"), 96 * 54)


@pytest.mark.slow
@pytest.mark.parametrize("blender", list(BLENDERS))
def test_eevee_has_the_hero_whole_and_no_shadow(tmp_path: Path, blender: str) -> None:
    told = in_blender(
        blender, tmp_path, 96, 54, 8, "BLENDER_EEVEE_NEXT" if blender in ("4.2", "4.5") else "BLENDER_EEVEE"
    )
    assert told["changes"] == []
    assert (told["hero"], told["black"]) == (0.0, 0.0), "held out by the set as by himself"
    assert told["left in shadow"] == 1.0
    assert told["lit"] < 1e-3, "as `lit` is chosen"
    assert told["outside"] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("blender", list(BLENDERS))
def test_a_hero_in_the_street_in_hd(tmp_path: Path, blender: str) -> None:
    check(in_blender(blender, tmp_path, 1920, 1080, 4, "CYCLES"), 1920 * 1080)
