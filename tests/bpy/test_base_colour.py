"""Base colours of a scene's materials, against the materials' own values and Blender's ray casts.

A colour's code may be 1 off: it is rounded to 8 bits after Cycles' float32 shading.  What an object shows at a pixel is
asked of Blender's own ray cast through the pixel's centre, which is no part of a render.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
from mathutils import Vector  # noqa: E402

from farplane.addon import camera as maths  # noqa: E402
from farplane.addon.materials import has_colours  # noqa: E402
from farplane.addon.passes import PassRenderer  # noqa: E402
from farplane.addon.scene import Extraction, plan_shots  # noqa: E402
from farplane.protocol.shot import Prompt  # noqa: E402

WIDTH, HEIGHT = 96, 64
ENGINES = ["CYCLES", "BLENDER_WORKBENCH"]  # of the depth, where there are no colours to read


@pytest.fixture
def scene():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.frame_start, scene.frame_end = 1, 2
    camera = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    camera.data.lens = 30
    camera.location, camera.rotation_euler = (0, -10, 2), (math.radians(85), 0, 0)
    scene.collection.objects.link(camera)
    scene.camera = camera
    return scene


def material(name="paint", colour=(0.8, 0.1, 0.05), **inputs):
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    surface = made.node_tree.nodes["Principled BSDF"]
    surface.inputs["Base Color"].default_value = (*colour, 1)
    for key, value in inputs.items():
        surface.inputs[key.replace("_", " ")].default_value = value
    return made


def dress(thing, *materials):
    for one in materials:
        thing.data.materials.append(one)
    return thing


def wall(y=2.0, size=60.0):
    """A plane that fills the view, straight before the camera's side of the world."""
    bpy.ops.mesh.primitive_plane_add(size=size, location=(0, y, 0), rotation=(math.pi / 2, 0, 0))
    return bpy.context.object


def read(scene, engine="CYCLES", **options):
    """The shot of frames 1 and 2, with base colours."""
    plan = plan_shots(scene)[0]
    with Extraction(scene, plan, Prompt("x"), engine=engine, **{"colours": True, **options}) as extraction:
        stages = []
        while True:
            stages.append(extraction.stage)
            if extraction.step():
                break
        shot = extraction.shot()
    return shot, stages


def code(colour):
    """8-bit sRGB codes by IEC 61966-2-1, in double precision."""
    c = np.clip(np.asarray(colour, np.float64), 0, 1)
    return np.rint(255 * np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055)).astype(int)


def seen_objects(scene, shot, index=0):
    """[H, W] names of what Blender's ray cast meets through each pixel's centre; "" for nothing."""
    scene.frame_set(shot.frames[index])
    depsgraph = bpy.context.evaluated_depsgraph_get()
    pose, K = shot.camera.world_from_camera[index], shot.camera.K[index]
    names = np.full((HEIGHT, WIDTH), "", dtype=object)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            ray = pose[:3, :3] @ np.linalg.inv(K) @ (column + 0.5, row + 0.5, 1)
            hit, *_, thing, _ = scene.ray_cast(depsgraph, Vector(pose[:3, 3]), Vector(ray / np.linalg.norm(ray)))
            if hit:
                names[row, column] = thing.name
    return names


def at(shot, point, index=0):
    """The base colour [R, G, B, A] at the pixel that shows a point of the world."""
    (pixel,), _ = maths.project(np.array([point]), shot.camera.K[index], shot.camera.world_from_camera[index])
    return shot.base_colour[index, int(pixel[1]), int(pixel[0])].astype(int)


def test_every_pixel_is_the_colour_of_the_object_that_a_ray_meets(scene):
    rng = np.random.default_rng(7)
    bpy.ops.mesh.primitive_plane_add(size=30)
    floor = dress(bpy.context.object, material("floor", (0.2, 0.3, 0.05)))
    expected = {"": None, floor.name: (0.2, 0.3, 0.05)}
    for index, add in enumerate((bpy.ops.mesh.primitive_cube_add, bpy.ops.mesh.primitive_uv_sphere_add) * 6):
        add(location=rng.uniform((-4, -2, 0), (4, 8, 3)), rotation=rng.uniform(-1, 1, 3))
        thing = bpy.context.object
        colour = tuple(rng.uniform(0, 1, 3))
        if index == 0:
            colour = None  # no material
        elif index == 1:
            dress(thing, material("new", (0.8, 0.8, 0.8)))
            colour = None  # one that nobody touched
        else:
            dress(thing, material("m", colour, Roughness=float(rng.uniform(0.1, 1))))
        expected[thing.name] = colour
    shot, _ = read(scene)
    names = seen_objects(scene, shot)
    assert len(set(names.ravel())) > 8
    right = np.zeros(names.shape, bool)
    for name, colour in expected.items():
        wanted = np.array([0, 0, 0, 0]) if colour is None else np.append(code(colour), 255)
        inside = names == name
        right[inside] = np.abs(shot.base_colour[0][inside].astype(int) - wanted).max(-1) <= 1
    # A pixel's centre on a silhouette may fall either way; a flat-sided ball of the ray cast is one of the render.
    assert right.mean() > 0.99
    untold = np.isin(names, [name for name, colour in expected.items() if colour is None])
    assert 0.02 < untold.mean() < 0.9


def test_nothing_is_mixed_at_edges_and_depth_has_the_same_ones(scene):
    """Black, white and sky only: any third code would be a mixture."""
    dress(wall(y=6, size=7), material("white", (1, 1, 1)))
    for x in np.linspace(-3, 3, 7):
        bpy.ops.mesh.primitive_uv_sphere_add(location=(x, 0, 2), radius=0.37)
        dress(bpy.context.object, material("black", (0, 0, 0)))
    shot, stages = read(scene)
    assert set(np.unique(shot.base_colour[..., :3])) == {0, 255}
    np.testing.assert_array_equal(shot.base_colour[..., 3] == 255, np.isfinite(shot.depth.z))
    near = np.isfinite(shot.depth.z) & (shot.depth.z < 13)
    assert 0.03 < near.mean() < 0.5
    np.testing.assert_array_equal(shot.base_colour[..., 0] == 0, near | np.isinf(shot.depth.z))
    assert stages == ["camera"] * 2 + ["depth"] * 2, "both are of one render"


def test_where_cycles_cannot_run_the_shot_goes_without(scene, monkeypatch):
    """From the first frame on, or from the second: depth is Workbench's then."""
    dress(wall(y=6, size=7), material())
    own, calls = PassRenderer._prepare, []

    def prepare(self, kind):
        if kind != "read":
            calls.append(kind)
        if kind == "surface" and calls.count(kind) > fails_after:
            raise RuntimeError("no Cycles in this build")
        own(self, kind)

    monkeypatch.setattr(PassRenderer, "_prepare", prepare)
    for fails_after in (0, 1):
        calls.clear()
        shot, stages = read(scene, "BLENDER_WORKBENCH")
        assert shot.base_colour is None
        assert np.isfinite(shot.depth.z).mean() > 0.1
        assert stages == ["camera"] * 2 + ["depth"] * 2
        assert calls == ["surface"] * (fails_after + 1) + ["depth"] * (2 - fails_after)


def test_depth_is_the_same_with_and_without_colours(scene):
    dress(wall(y=6, size=7), material())
    with_them, _ = read(scene)
    without, _ = read(scene, colours=False)
    assert without.base_colour is None
    np.testing.assert_array_equal(with_them.depth.z, without.depth.z)


@pytest.mark.parametrize(
    ("colour", "inputs", "tolerance"),
    [
        ((0.02, 0.3, 0.6), {"Roughness": 0.0}, 1),
        ((0.02, 0.3, 0.6), {"Roughness": 1.0}, 1),
        ((0.02, 0.3, 0.6), {"Coat_Weight": 1.0}, 1),
        ((0.02, 0.3, 0.6), {"Subsurface_Weight": 1.0}, 1),
        ((0.0, 0.0, 0.0), {}, 1),
        ((1.0, 1.0, 1.0), {}, 1),
        # A metal's colour is its gloss, which is brighter the more it is seen from the side: two codes straight on.
        ((0.9, 0.6, 0.2), {"Metallic": 1.0, "Roughness": 0.2}, 3),
        ((0.9, 0.6, 0.2), {"Metallic": 0.9}, 9),
    ],
)
def test_gloss_coat_and_metal_do_not_change_the_colour(scene, colour, inputs, tolerance):
    dress(wall(), material("m", colour, **inputs))
    shot, _ = read(scene)
    codes = shot.base_colour[0, HEIGHT // 2, WIDTH // 2].astype(int)
    assert codes[3] == 255
    assert np.abs(codes[:3] - code(colour)).max() <= tolerance


@pytest.mark.parametrize("roughness", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("colour", [(0.1, 0.25, 0.04), (0.02, 0.02, 0.03)])
def test_a_floor_at_a_grazing_angle_keeps_its_colour(scene, colour, roughness):
    """Where gloss takes the most of the light: by 85 degrees and more at the horizon."""
    bpy.ops.mesh.primitive_plane_add(size=2000)
    dress(bpy.context.object, material("m", colour, Roughness=roughness))
    shot, _ = read(scene)
    told = shot.base_colour[..., 3] == 255
    assert told.mean() > 0.3
    off = np.abs(shot.base_colour[told][:, :3].astype(int) - code(colour)).max(-1)
    assert (off <= 1).mean() > 0.99
    assert off.max() <= 40  # the last row before the horizon, where a floor of asphalt is nine tenths mirror


def test_a_texture_is_seen_through_its_coordinates(scene):
    """Four by four texels on a wall that faces the camera: closest texel, by the mesh's own unwrapping."""
    scene.camera.rotation_euler = (math.pi / 2, 0, 0)
    scene.camera.location = (0, -10, 0)
    rng = np.random.default_rng(2)
    texels = rng.integers(0, 256, (4, 4, 4))
    image = bpy.data.images.new("texels", 4, 4)
    image.pixels = np.dstack([texels[..., :3], np.full((4, 4), 255)]).ravel() / 255.0
    image.pack()
    made = material()
    nodes, links = made.node_tree.nodes, made.node_tree.links
    texture = nodes.new("ShaderNodeTexImage")
    texture.image, texture.interpolation = image, "Closest"
    links.new(texture.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    dress(wall(y=0, size=4), made)
    shot, _ = read(scene)
    for row in range(4):
        for column in range(4):
            # Blender's images begin at the bottom; the codes of an sRGB image come back as they were
            got = at(shot, (column - 1.5, 0, row - 1.5))
            assert np.abs(got - np.append(texels[row, column, :3], 255)).max() <= 1


def test_what_only_shines_tells_nothing(scene):
    dress(wall(y=6, size=7), material())
    bpy.ops.mesh.primitive_cube_add(location=(0, 0, 2))
    lamp = bpy.data.materials.new("lamp")
    lamp.use_nodes = True
    nodes = lamp.node_tree.nodes
    nodes.clear()
    emission, output = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeOutputMaterial")
    lamp.node_tree.links.new(emission.outputs[0], output.inputs[0])
    dress(bpy.context.object, lamp)
    shot, _ = read(scene)
    assert at(shot, (0, -1, 2)).tolist() == [0, 0, 0, 0]
    assert at(shot, (2.5, 6, 1))[3] == 255


def test_instances_of_a_collection_have_their_colours(scene):
    """Linked nowhere, seen through their instance only."""
    library, inner = bpy.data.collections.new("library"), bpy.data.collections.new("inner")
    library.children.link(inner)
    bpy.ops.mesh.primitive_cube_add()
    cube = dress(bpy.context.object, material("m", (0.1, 0.6, 0.2)))
    scene.collection.objects.unlink(cube)
    inner.objects.link(cube)
    assert not has_colours(scene)
    empty = bpy.data.objects.new("instance", None)
    empty.instance_type, empty.instance_collection, empty.location = "COLLECTION", library, (1, 0, 2)
    scene.collection.objects.link(empty)
    assert has_colours(scene)
    shot, _ = read(scene)
    assert np.abs(at(shot, (1, -1, 2)) - np.append(code((0.1, 0.6, 0.2)), 255)).max() <= 1


def test_the_nearest_of_several_view_layers(scene):
    for name, y, colour in (("near", 0, (0.7, 0.1, 0.1)), ("far", 4, (0.1, 0.1, 0.7))):
        collection = bpy.data.collections.new(name)
        scene.collection.children.link(collection)
        bpy.ops.mesh.primitive_cube_add(location=(0, y, 2), scale=(1, 1, 1) if name == "near" else (4, 1, 1))
        thing = dress(bpy.context.object, material(name, colour))
        scene.collection.objects.unlink(thing)
        collection.objects.link(thing)
    second = scene.view_layers.new("second, with a name of more than sixty letters in all, for files")
    scene.view_layers[0].layer_collection.children["near"].exclude = True
    second.layer_collection.children["far"].exclude = True
    shot, _ = read(scene)
    assert np.abs(at(shot, (0, -1, 2))[:3] - code((0.7, 0.1, 0.1))).max() <= 1
    assert np.abs(at(shot, (3, 3, 2))[:3] - code((0.1, 0.1, 0.7))).max() <= 1


def test_colours_that_move_and_change_follow_frame_by_frame(scene):
    """What Cycles keeps from one frame to the next must not outlive it: each frame as when read alone."""
    scene.frame_end = 4
    paint = material()
    socket = paint.node_tree.nodes["Principled BSDF"].inputs["Base Color"]
    bpy.ops.mesh.primitive_cube_add(location=(-2, 0, 2))
    thing = dress(bpy.context.object, paint)
    for frame, x, colour in ((1, -2, (0.9, 0.1, 0.1, 1)), (4, 2, (0.1, 0.1, 0.9, 1))):
        thing.location.x, socket.default_value = x, colour
        thing.keyframe_insert("location", frame=frame)
        socket.keyframe_insert("default_value", frame=frame)
    shot, _ = read(scene)
    for first in (1, 2, 3):
        scene.frame_start, scene.frame_end = first, first + 1
        alone, _ = read(scene)
        np.testing.assert_array_equal(alone.base_colour, shot.base_colour[first - 1 : first + 1])
        np.testing.assert_array_equal(alone.depth.z, shot.depth.z[first - 1 : first + 1])
    told = [shot.base_colour[i][shot.base_colour[i, ..., 3] > 0] for i in range(4)]
    assert np.abs(told[0][:, :3].astype(int) - code((0.9, 0.1, 0.1))).max() <= 1
    assert np.abs(told[3][:, :3].astype(int) - code((0.1, 0.1, 0.9))).max() <= 1


def test_a_scene_that_works_in_another_colour_space(scene):
    """Since 5.0 a file may work in ACEScg; what is sent stays Rec.709."""
    dress(wall(), material("m", (0.7, 0.15, 0.05)))
    if not hasattr(bpy.data, "colorspace"):
        pytest.skip("this Blender has one working space")
    bpy.ops.wm.set_working_color_space(working_space="ACEScg", convert_colors=True)
    assert bpy.data.colorspace.working_space == "ACEScg"
    shot, _ = read(scene)
    assert np.abs(shot.base_colour[0, 32, 48, :3].astype(int) - code((0.7, 0.15, 0.05))).max() <= 1


# -- a look before anything is rendered -------------------------------------------------------------------------------


def test_a_bare_blockout_pays_nothing(scene):
    bpy.ops.mesh.primitive_cube_add(location=(0, 0, 2))
    thing = bpy.context.object
    for engine in ENGINES:
        shot, stages = read(scene, engine)
        assert shot.base_colour is None
        assert stages == ["camera"] * 2 + ["depth"] * 2
    dress(thing, material("untouched", (0.8, 0.8, 0.8)))
    assert not has_colours(scene)
    hidden = material("hidden", (1, 0, 0))
    bpy.ops.mesh.primitive_cube_add()
    dress(bpy.context.object, hidden).hide_render = True
    assert not has_colours(scene)
    thing.material_slots[0].material = hidden
    assert has_colours(scene)


def test_where_every_told_colour_is_out_of_sight_nothing_is_sent(scene):
    bpy.ops.mesh.primitive_cube_add(location=(0, 0, 2))
    bpy.ops.mesh.primitive_cube_add(location=(0, -50, 2))
    dress(bpy.context.object, material())
    assert has_colours(scene)
    shot, _ = read(scene)
    assert shot.base_colour is None


def test_geometry_nodes_may_bring_any_material(scene):
    bpy.ops.mesh.primitive_cube_add(location=(0, 0, 2))
    bpy.context.object.modifiers.new("nodes", "NODES")
    assert not has_colours(scene)
    material("elsewhere").use_fake_user = True
    assert has_colours(scene)


@pytest.mark.parametrize("chosen", ["viewport", "linked", "diffuse"])
def test_other_ways_to_choose_a_colour(scene, chosen):
    bpy.ops.mesh.primitive_cube_add(location=(0, 0, 2))
    made = material("m", (0.8, 0.8, 0.8))
    dress(bpy.context.object, made)
    nodes, links = made.node_tree.nodes, made.node_tree.links
    if chosen == "viewport":
        made.use_nodes, made.diffuse_color = False, (0.1, 0.2, 0.9, 1)
        if made.use_nodes:
            pytest.skip("this Blender has materials of nodes only")
    elif chosen == "linked":
        links.new(nodes.new("ShaderNodeTexNoise").outputs[0], nodes["Principled BSDF"].inputs["Base Color"])
    else:
        nodes.clear()
        surface, output = nodes.new("ShaderNodeBsdfDiffuse"), nodes.new("ShaderNodeOutputMaterial")
        surface.inputs["Color"].default_value = (0.1, 0.2, 0.9, 1)
        links.new(surface.outputs[0], output.inputs[0])
    assert has_colours(scene)
    shot, _ = read(scene)
    assert shot.base_colour is not None
    if chosen != "linked":
        assert np.abs(at(shot, (0, -1, 2))[:3] - code((0.1, 0.2, 0.9))).max() <= 1
