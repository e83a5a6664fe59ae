"""What is sent is what renders: camera, sun and visibility against the artist's own F12 of the same frames.

Every case differs between the viewport and a render, or comes in sideways.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
from own_render import SIZE, box, empty_scene, f12, link, mesh, output_of, paint, shot_of, world_points  # noqa: E402

from farplane.addon import evaluation  # noqa: E402
from farplane.addon.materials import has_colours, only_cycles_shows  # noqa: E402
from farplane.addon.scene import Extraction, plan_shots  # noqa: E402

# One float32 ray through a pixel's centre, in the artist's own render and in ours: the same but for the matrix that
# the ray starts from, which our camera carries to the last bit.
SAME_RAY = 1e-5


@pytest.fixture
def scene() -> Any:
    return empty_scene()


def check(scene: Any, folder: Path, frames: tuple[int, ...] = (1, 2), **options: Any) -> Any:
    """The shot's depth is the F12's in these frames, and its camera puts the lowest of it on the ground."""
    shot = shot_of(scene, **options)
    for frame in frames:
        index = shot.frames.index(frame)
        z = f12(scene, frame, folder)["z"]
        assert np.isfinite(z).mean() > 0.3, "the truth shows something"
        np.testing.assert_array_equal(np.isfinite(shot.depth.z[index]), np.isfinite(z))
        np.testing.assert_allclose(shot.depth.z[index], z, rtol=SAME_RAY)
        assert abs(np.quantile(world_points(shot, index)[:, 2], 0.2)) < 1e-3  # metres; the ground fills the lower half
    return shot


# -- the camera -------------------------------------------------------------------------------------------------------


def ramp(scene: Any) -> Any:
    """A mesh that a render lifts by 1.5 m and the viewport does not, far behind the camera."""
    thing = mesh("ramp", [(-2, -40, 0), (2, -40, 0), (2, -36, 0), (-2, -36, 0)], [(0, 1, 2, 3)])
    lift = thing.modifiers.new("lift", "DISPLACE")
    lift.direction, lift.strength, lift.mid_level = "Z", 1.5, 0.0
    lift.show_viewport = False
    return thing


def on_vertex(scene: Any) -> None:
    camera, thing = scene.camera, ramp(scene)
    camera.parent, camera.parent_type, camera.parent_vertices = thing, "VERTEX", (0, 0, 0)
    camera.location = (2, 32, 2)


def on_triangle(scene: Any) -> None:
    camera, thing = scene.camera, ramp(scene)
    camera.parent, camera.parent_type, camera.parent_vertices = thing, "VERTEX_3", (0, 1, 2)
    camera.location, camera.rotation_euler = (0, 30, 2), (math.radians(78), 0, 0)


def shrinkwrapped(scene: Any) -> None:
    """An empty on the surface, which the camera copies with an offset of its own."""
    empty = link(bpy.data.objects.new("foot", None))
    empty.location = (0, -38, 5)
    wrap = empty.constraints.new("SHRINKWRAP")
    wrap.target, wrap.shrinkwrap_type = ramp(scene), "NEAREST_SURFACE"
    child = scene.camera.constraints.new("COPY_LOCATION")
    child.target, child.use_offset, child.use_x, child.use_y = empty, True, False, False


def driven(scene: Any) -> None:
    """A driver that reads where a constraint has put something."""
    shrinkwrapped(scene)
    scene.camera.constraints.clear()
    driver = scene.camera.driver_add("location", 2).driver
    driver.type = "SUM"
    for kind, target in (
        ("TRANSFORMS", bpy.data.objects["foot"]),
        ("TRANSFORMS", link(bpy.data.objects.new("h", None))),
    ):
        variable = driver.variables.new()
        variable.type = kind
        variable.targets[0].id, variable.targets[0].transform_type = target, "LOC_Z"
    bpy.data.objects["h"].location.z = 2


def lifted_by_keys(scene: Any) -> None:
    """What only a render lifts, it lifts higher in the second frame."""
    on_vertex(scene)
    lift = bpy.data.objects["ramp"].modifiers["lift"]
    for frame, strength in ((1, 0.5), (2, 2.0)):
        lift.strength = strength
        lift.keyframe_insert("strength", frame=frame)


def viewport_only(scene: Any) -> None:
    on_vertex(scene)
    lift = bpy.data.objects["ramp"].modifiers["lift"]
    lift.show_viewport, lift.show_render = True, False


def other_levels(scene: Any) -> None:
    """On a corner of a cage that a render smooths three times and the viewport not at all."""
    on_vertex(scene)
    thing = bpy.data.objects["ramp"]
    thing.modifiers.clear()
    smooth = thing.modifiers.new("smooth", "SUBSURF")
    smooth.levels, smooth.render_levels = 0, 3
    smooth.boundary_smooth = "ALL"


def simplified(scene: Any) -> None:
    """The same, where the scene's Simplify holds renders down, not the viewport."""
    other_levels(scene)
    bpy.data.objects["ramp"].modifiers["smooth"].levels = 3
    scene.render.use_simplify, scene.render.simplify_subdivision_render = True, 0


def excluded(scene: Any) -> None:
    """The camera lies in a collection that the layer excludes, and hangs on a rig that is hidden from rendering."""
    rig = bpy.data.collections.new("rig")
    scene.collection.children.link(rig)
    empty = link(bpy.data.objects.new("rig", None), rig)
    empty.hide_render = empty.hide_viewport = True
    for frame, x in ((1, 0.0), (2, 1.0)):
        empty.location.x = x
        empty.keyframe_insert("location", frame=frame)
    scene.camera.parent = empty
    scene.collection.objects.unlink(scene.camera)
    rig.objects.link(scene.camera)
    scene.view_layers[0].layer_collection.children["rig"].exclude = True


def stretched(scene: Any) -> None:
    """Time runs at half speed: frame 2 shows what was keyed for frame 1."""
    for frame, x in ((1, 0.0), (2, 3.0)):
        scene.camera.location.x = x
        scene.camera.keyframe_insert("location", frame=frame)
    scene.render.frame_map_old, scene.render.frame_map_new = 100, 50


CAMERAS = [
    on_vertex, on_triangle, shrinkwrapped, driven, lifted_by_keys, viewport_only, other_levels, simplified, excluded, stretched,
]  # fmt: skip


@pytest.mark.parametrize("rig", CAMERAS, ids=lambda rig: rig.__name__)
def test_the_camera_is_the_renders(scene: Any, tmp_path: Path, rig: Any) -> None:
    rig(scene)
    check(scene, tmp_path)


def test_markers_switch_when_they_do_in_a_stretched_scene(scene: Any) -> None:
    """Blender looks for markers in stretched time; frame by frame against its own switch."""
    for frame, name in ((3, "b"), (7, "c")):
        other = link(bpy.data.objects.new(name, bpy.data.cameras.new(name)))
        scene.timeline_markers.new(name, frame=frame).camera = other
    scene.frame_start, scene.frame_end = 1, 24
    for old, new in ((100, 100), (100, 250), (100, 40), (24, 25)):
        scene.render.frame_map_old, scene.render.frame_map_new = old, new
        planned = {frame: plan.camera for plan in plan_shots(scene) for frame in plan.frames}
        for frame in planned:
            scene.frame_set(frame)
            assert planned[frame] == scene.camera.name, (old, new, frame)
        assert len(planned) > 20


# -- what is seen -----------------------------------------------------------------------------------------------------


def in_collection(scene: Any, name: str, *things: Any) -> Any:
    """The view layer's own handle on a new collection that holds these."""
    collection = bpy.data.collections.new(name)
    scene.collection.children.link(collection)
    for thing in things:
        scene.collection.objects.unlink(thing)
        collection.objects.link(thing)
    return scene.view_layers[0].layer_collection.children[name]


def held_out(scene: Any) -> None:
    in_collection(scene, "held out", box("box", 2, (0, 0, 1))).holdout = True


def indirect(scene: Any) -> None:
    in_collection(scene, "indirect", box("box", 2, (0, 0, 1))).indirect_only = True


def unseen_in_an_instance(scene: Any) -> None:
    """Hidden from the camera by the object that an instance shows."""
    kit = bpy.data.collections.new("kit")
    box("seen", 1, (-1.5, 0, 1), kit)
    box("unseen", 1, (1.5, 0, 1), kit).visible_camera = False
    empty = link(bpy.data.objects.new("kit", None))
    empty.instance_type, empty.instance_collection = "COLLECTION", kit


def held_out_by_material(scene: Any) -> None:
    thing = box("box", 2, (0, 0, 1))
    material = paint("hole")
    tree = material.node_tree
    tree.links.new(tree.nodes.new("ShaderNodeHoldout").outputs[0], output_of(material).inputs["Surface"])
    thing.data.materials.append(material)


def nested_and_hidden(scene: Any) -> None:
    """Hidden from rendering by a collection two above, and a child whose parent alone is hidden, which shows."""
    inner = bpy.data.collections.new("inner")
    outer = in_collection(scene, "outer").collection
    outer.children.link(inner)
    box("gone", 2, (1.5, 0, 1), inner)
    outer.hide_render = True
    parent = box("parent", 2, (-1.5, 0, 1))
    parent.hide_render = True
    box("child", 1, (0, -1, 0)).parent = parent


def background_set(scene: Any) -> None:
    """The set and its own Background Set, seen by a scene that holds a camera and one box."""
    sets = [bpy.data.scenes.new(name) for name in ("set", "far set")]
    box("near", 1, (1, 0, 1), sets[0].collection)
    box("far", 4, (-2, 6, 1), sets[1].collection)
    sets[0].background_set, scene.background_set = sets[1], sets[0]
    box("own", 0.7, (0, -2, 1))


def layers(scene: Any) -> None:
    """Two layers of which one is used, and the other would show more."""
    child = in_collection(scene, "left", box("left", 2, (-1.5, 0, 1)))
    scene.view_layers.new("not used").use = False
    child.exclude = True


def test_render_single_layer_counts_before_a_window_alone(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Blender's tooltip says; whether there is somebody before a window is said here, Blender's own answer is no."""
    from farplane.addon import scope

    layers(scene)
    second = scene.view_layers["not used"]
    bpy.context.window.view_layer = second
    scene.render.use_single_layer = True
    without = shot_of(scene).depth.z
    monkeypatch.setattr(scope, "is_interface", lambda: True)
    with_box = shot_of(scene).depth.z
    assert 0.01 < (with_box < without).mean() < 0.5


def overridden(scene: Any) -> None:
    """A layer's material override that cuts everything out."""
    box("box", 2, (0, 0, 1))
    material = paint("cut")
    tree = material.node_tree
    wave = tree.nodes.new("ShaderNodeTexChecker")
    wave.inputs["Scale"].default_value = 3
    wave.inputs["Color1"].default_value, wave.inputs["Color2"].default_value = (0, 0, 0, 1), (1, 1, 1, 1)
    tree.links.new(wave.outputs["Fac"], tree.nodes["Principled BSDF"].inputs["Alpha"])
    scene.view_layers[0].material_override = material


SEEN = [
    held_out, indirect, unseen_in_an_instance, held_out_by_material, nested_and_hidden, background_set, layers,
    overridden,
]  # fmt: skip


@pytest.mark.parametrize("arrange", SEEN, ids=lambda arrange: arrange.__name__)
def test_the_depth_is_the_renders(scene: Any, tmp_path: Path, arrange: Any) -> None:
    plain = shot_of(scene).depth.z
    arrange(scene)
    bpy.context.view_layer.update()
    shot = shot_of(scene, colours=True)
    z = f12(scene, 1, tmp_path)["z"]
    np.testing.assert_array_equal(np.isfinite(shot.depth.z[0]), np.isfinite(z))
    np.testing.assert_allclose(shot.depth.z[0], z, rtol=SAME_RAY)
    same = arrange in (indirect, layers)  # what they hold does not show
    assert np.array_equal(shot.depth.z, plain) == same


def fog(scene: Any) -> None:
    material = paint("fog")
    tree = material.node_tree
    tree.nodes.remove(tree.nodes["Principled BSDF"])
    tree.links.new(tree.nodes.new("ShaderNodeVolumeScatter").outputs[0], output_of(material).inputs["Volume"])
    box("fog", 3, (0, 0, 1)).data.materials.append(material)


WALLS = [held_out, indirect, unseen_in_an_instance, held_out_by_material, overridden, fog]  # as Workbench draws them


@pytest.mark.parametrize("arrange", WALLS, ids=lambda arrange: arrange.__name__)
def test_before_a_window_nothing_is_a_wall_that_the_render_does_not_show(
    scene: Any, monkeypatch: pytest.MonkeyPatch, arrange: Any
) -> None:
    """The engine that comes first before a window shows what the one does that comes first without."""
    from farplane.addon import scope

    box("plain", 1, (0, 4, 1)).data.materials.append(paint("plain"))
    assert not only_cycles_shows(scene)
    arrange(scene)
    bpy.context.view_layer.update()
    truth = shot_of(scene).depth.z
    monkeypatch.setattr(scope, "is_interface", lambda: True)
    np.testing.assert_array_equal(shot_of(scene).depth.z, truth)


def test_a_background_sets_flags_and_colours_count(scene: Any) -> None:
    other = bpy.data.scenes.new("set")
    thing = box("thing", 2, (0, 0, 1), other.collection)
    scene.background_set = other
    assert not has_colours(scene)
    assert not only_cycles_shows(scene)
    thing.data.materials.append(paint("red"))
    assert has_colours(scene)
    shot = shot_of(scene, colours=True)
    assert shot.base_colour is not None
    (row, column) = SIZE[1] // 2, SIZE[0] // 2
    assert tuple(shot.base_colour[0, row, column]) == (231, 89, 63, 255)  # (.8, .1, .05) in the sRGB curve
    thing.is_holdout = True
    assert only_cycles_shows(scene)


def test_colours_of_an_override_and_of_one_that_appears_later_are_told(scene: Any) -> None:
    thing = box("late", 2, (0, 0, 1))
    thing.data.materials.append(paint("red"))
    for frame, hidden in ((1, True), (2, False)):
        thing.hide_render = hidden
        thing.keyframe_insert("hide_render", frame=frame)
    scene.frame_set(1)
    assert has_colours(scene)
    told = shot_of(scene, colours=True).base_colour
    assert told[0, ..., 3].max() == 0
    assert told[1, ..., 3].max() == 255
    bpy.data.objects.remove(thing)
    assert not has_colours(scene)
    scene.view_layers[0].material_override = paint("over")
    assert has_colours(scene)
    assert shot_of(scene, colours=True).base_colour is not None


# -- the sun ----------------------------------------------------------------------------------------------------------


def ball(scene: Any) -> None:
    """A matt ball that the camera sees from above, and nothing else."""
    bpy.data.objects.remove(bpy.data.objects["ground"])
    scene.camera.location, scene.camera.rotation_euler = (0, 0, 10), (0, 0, 0)
    bpy.ops.mesh.primitive_uv_sphere_add(segments=48, ring_count=24, radius=2)
    bpy.ops.object.shade_smooth()
    material = paint("matt")
    tree = material.node_tree
    tree.links.new(tree.nodes.new("ShaderNodeBsdfDiffuse").outputs[0], output_of(material).inputs["Surface"])
    bpy.context.object.data.materials.append(material)


def sun(name: str, turn: tuple[float, float, float], energy: float = 1.0, into: Any = None) -> Any:
    lamp = bpy.data.lights.new(name, "SUN")
    lamp.energy, lamp.angle = energy, 0.0
    thing = link(bpy.data.objects.new(name, lamp), into)
    thing.rotation_euler = turn
    return thing


WEAK, STRONG = (0.6, 0, 0.4), (0.7, 0.1, 2.6)  # turns of two suns, more than 60 degrees apart


def instanced(scene: Any) -> None:
    rig = bpy.data.collections.new("rig")
    sun("key", WEAK, 100, rig)
    for name, turn in (("outer", (0, 0, 1.0)),):
        empty = link(bpy.data.objects.new(name, None))
        empty.instance_type, empty.instance_collection, empty.rotation_euler = "COLLECTION", rig, turn


def instanced_twice(scene: Any) -> None:
    """A rig in a rig, beside a lamp of the scene's own."""
    instanced(scene)
    outer = bpy.data.collections.new("outer")
    empty = bpy.data.objects["outer"]
    scene.collection.objects.unlink(empty)
    outer.objects.link(empty)
    top = link(bpy.data.objects.new("top", None))
    top.instance_type, top.instance_collection, top.rotation_euler = "COLLECTION", outer, (0.2, 0, 1.0)
    sun("own", STRONG, 1)


def instanced_by_nodes(scene: Any) -> None:
    """Geometry nodes bring the rig along, and turn it."""
    rig = bpy.data.collections.new("rig")
    sun("key", WEAK, 1, rig)
    tree = bpy.data.node_groups.new("rig", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    info, turn, end = (
        tree.nodes.new(name) for name in ("GeometryNodeCollectionInfo", "GeometryNodeTransform", "NodeGroupOutput")
    )
    info.inputs["Collection"].default_value, turn.inputs["Rotation"].default_value = rig, (0, 0, 1.0)
    tree.links.new(info.outputs[0], turn.inputs[0])
    tree.links.new(turn.outputs[0], end.inputs[0])
    mesh("holder", [(0, 0, 0)], []).modifiers.new("rig", "NODES").node_group = tree


def instanced_on_a_vertex(scene: Any) -> None:
    holder = mesh("holder", [(0, 0, 0)], [])
    holder.instance_type, holder.rotation_euler = "VERTS", (0, 0, 1.0)
    sun("key", WEAK, 1).parent = holder


def from_the_set(scene: Any) -> None:
    other = bpy.data.scenes.new("set")
    sun("key", STRONG, 100, other.collection)
    scene.background_set = other
    sun("own", WEAK, 1)


def by_nodes(scene: Any) -> None:
    """The lamp's own Emission makes it a thousand times as bright."""
    key = sun("key", STRONG, 1)
    key.data.use_nodes = True
    key.data.node_tree.nodes["Emission"].inputs["Strength"].default_value = 1000
    sun("own", WEAK, 10)


def by_colour(scene: Any) -> None:
    """Ten times the energy, and hardly any colour."""
    sun("dark", WEAK, 10).data.color = (0.0005, 0.0005, 0.0005)
    sun("key", STRONG, 1)


def by_exposure(scene: Any) -> None:
    sun("own", WEAK, 4)
    key = sun("key", STRONG, 1)
    if not hasattr(key.data, "exposure"):
        pytest.skip("lights have no exposure in this Blender")
    key.data.exposure = 10


def hidden_from_rendering(scene: Any) -> None:
    sun("own", STRONG, 1)
    hidden = sun("hidden", WEAK, 100)
    hidden.hide_render = True


def hidden_above(scene: Any) -> None:
    """In a nested collection of which the outer one does not render; and one that no layer used shows."""
    sun("own", STRONG, 1)
    inner = bpy.data.collections.new("inner")
    outer = in_collection(scene, "outer").collection
    outer.children.link(inner)
    sun("hidden", WEAK, 100, inner)
    outer.hide_render = True
    child = in_collection(scene, "excluded", sun("excluded", WEAK, 100))
    scene.view_layers.new("not used").use = False
    child.exclude = True


def visible_in_the_viewport_only(scene: Any) -> None:
    """A render-only modifier moves what the lamp points at."""
    thing = ramp(scene)
    thing.modifiers["lift"].strength = 40
    key = sun("key", (0, 0, 0), 1)
    key.location = (0, -30, 30)
    track = key.constraints.new("TRACK_TO")
    foot = link(bpy.data.objects.new("foot", None))
    foot.parent, foot.parent_type, foot.parent_vertices = thing, "VERTEX", (0, 0, 0)
    foot.location = (20, 60, -40)
    track.target, track.track_axis, track.up_axis = foot, "TRACK_NEGATIVE_Z", "UP_Y"


SUNS = [
    instanced, instanced_twice, instanced_by_nodes, instanced_on_a_vertex, from_the_set, by_nodes, by_colour, by_exposure, hidden_from_rendering, hidden_above,
    visible_in_the_viewport_only,
]  # fmt: skip


@pytest.mark.parametrize("arrange", SUNS, ids=lambda arrange: arrange.__name__)
def test_the_sun_is_the_one_that_lights_the_render(scene: Any, tmp_path: Path, arrange: Any) -> None:
    """By the lit side of a matt ball in the artist's own render: light is the cosine between normal and sun."""
    ball(scene)
    arrange(scene)
    told = shot_of(scene).sun
    assert told is not None
    scene.cycles.max_bounces = 0
    scene.world = None
    seen = f12(scene, 1, tmp_path, "Combined", "Normal")
    light, normals = seen["Combined"].mean(0), np.moveaxis(seen["Normal"], 0, -1)
    lit = np.isfinite(seen["z"]) & (light > 0.1 * light.max())
    assert lit.sum() > 100
    found = np.linalg.lstsq(normals[lit].astype(np.float64), light[lit].astype(np.float64), rcond=None)[0]
    # The weaker sun, a tenth to a thousandth as bright, pulls the direction that is found by a few degrees at most.
    assert float(found @ told[0]) / np.linalg.norm(found) > math.cos(math.radians(6))
    np.testing.assert_allclose(np.linalg.norm(told, axis=-1), 1, atol=1e-9)


def test_nothing_of_the_reading_stays(scene: Any) -> None:
    handlers = list(bpy.app.handlers.frame_change_post)
    box("fog", 2, (0, 0, 1))
    shot_of(scene)
    assert list(bpy.app.handlers.frame_change_post) == handlers
    assert not evaluation.ReadingEngine.is_registered


def test_an_add_on_that_goes_in_the_middle_takes_its_engine_along(scene: Any) -> None:
    import farplane

    farplane.register()
    with Extraction(scene, plan_shots(scene)[0], size=SIZE) as extraction:
        extraction.step()
        assert evaluation.ReadingEngine.is_registered
        farplane.unregister()
        assert not evaluation.ReadingEngine.is_registered


def test_what_goes_wrong_in_the_middle_of_a_render_is_told(scene: Any) -> None:
    """Blender itself would print it and render on."""
    from farplane.addon.passes import PassRenderer

    def look(depsgraph: Any) -> None:
        raise ValueError("seen")

    with PassRenderer(scene, *SIZE) as passes, pytest.raises(ValueError, match="seen"):
        passes.read(1, look)
    assert len(bpy.data.scenes) == 1
