"""addon/passes.py: metric depth against analytic geometry and ray casts, and an artist's scene left as it was."""

from __future__ import annotations

import math

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
from mathutils import Vector  # noqa: E402
from mathutils.bvhtree import BVHTree  # noqa: E402

from farplane.addon import camera as maths  # noqa: E402
from farplane.addon.passes import PassRenderer  # noqa: E402
from farplane.addon.scene import Extraction, plan_shots, read_camera  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402
from farplane.protocol.shot import Prompt  # noqa: E402

# Median relative error against exact geometry.  Cycles traces one float32 ray through the pixel's centre (2e-6
# seen on a grazing plane); Workbench reads a depth buffer whose steps grow with depth / clip_start (2e-5 seen on a grazing plane).
MEDIAN = {"CYCLES": 4e-6, "BLENDER_WORKBENCH": 3e-5}
WIDTH, HEIGHT = 96, 64


@pytest.fixture
def scene():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    camera = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    camera.data.lens = 30
    camera.location, camera.rotation_euler = (0, -10, 2), (math.radians(85), 0, 0)
    scene.collection.objects.link(camera)
    scene.camera = camera
    return scene


def depth_of(scene, engine="CYCLES", frame=1, size=(WIDTH, HEIGHT)):
    """Depth of one frame [H, W] in metres, and the camera it belongs to."""
    scene.frame_set(frame)
    view = read_camera(scene, scene.camera, frame)
    aspect = scene.render.pixel_aspect_x, scene.render.pixel_aspect_y
    eye = maths.pinhole(view.matrix_world, maths.intrinsics(view.lens, *size, *aspect))
    with PassRenderer(scene, *size, engine) as passes:
        passes.use_own_camera()
        return passes.depth(view) * eye.depth_scale, eye


def pixel_rays(eye, width=WIDTH, height=HEIGHT):
    """Origin and world directions [H, W, 3] through the pixel centres, of depth 1."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(eye.K).T
    return eye.world_from_camera[:3, 3], rays @ eye.world_from_camera[:3, :3].T


def add_mesh(scene, add, **kwargs):
    add(**kwargs)
    return bpy.context.object


def check(z, expected, tolerance):
    """Same pixels hit, but for silhouettes; median relative error within tolerance."""
    both = np.isfinite(z) & np.isfinite(expected)
    assert (np.isfinite(z) != np.isfinite(expected)).mean() < 0.005  # a pixel centre on an edge may fall either way
    assert both.mean() > 0.2
    assert np.median(np.abs(z - expected)[both] / expected[both]) <= tolerance


@pytest.mark.parametrize("engine", ["CYCLES", "BLENDER_WORKBENCH"])
@pytest.mark.parametrize("seed", range(4))
def test_tilted_plane_through_any_lens(scene, engine, seed):
    """An endless-looking tilted plane: depth in closed form; random shift, fit, pixel aspect, sheared rig."""
    rng = np.random.default_rng(seed)
    camera = scene.camera
    data = camera.data
    data.lens, data.sensor_fit = rng.uniform(18, 50), ["AUTO", "HORIZONTAL", "VERTICAL", "AUTO"][seed]
    data.shift_x, data.shift_y = rng.uniform(-0.2, 0.2, 2)
    data.clip_start, data.clip_end = 0.1, 1000
    if seed % 2:
        scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = 1.0, 1.6
        rig = bpy.data.objects.new("rig", None)
        rig.scale = (1.6, 0.7, 1.2)
        rig.rotation_euler = (0.0, 0.0, 0.5)
        scene.collection.objects.link(rig)
        camera.parent = rig
    tilt = rng.uniform(-0.3, 0.3, 2)
    add_mesh(scene, bpy.ops.mesh.primitive_plane_add, size=120, rotation=(*tilt, 0.0))
    z, eye = depth_of(scene, engine)
    origin, rays = pixel_rays(eye)
    normal = np.array(bpy.context.object.matrix_world)[:3, 2].astype(np.float64)
    with np.errstate(divide="ignore"):
        expected = -(origin @ normal) / (rays @ normal)
    hit = origin + rays * expected[..., None]
    local = hit @ np.array(bpy.context.object.matrix_world)[:3, :3]
    expected = np.where((expected > 0) & (np.abs(local[..., :2]).max(-1) < 60), expected, np.inf)
    check(z, expected, MEDIAN[engine])


@pytest.mark.parametrize("engine", ["CYCLES", "BLENDER_WORKBENCH"])
def test_boxes_and_spheres_against_ray_casts(scene, engine):
    """Blender's own BVH on the evaluated meshes, one ray a pixel centre, ray length turned into camera depth."""
    rng = np.random.default_rng(5)
    for add in (bpy.ops.mesh.primitive_cube_add, bpy.ops.mesh.primitive_uv_sphere_add) * 6:
        add_mesh(scene, add, location=rng.uniform((-4, -2, 0), (4, 8, 3)), rotation=rng.uniform(-1, 1, 3))
    z, eye = depth_of(scene, engine)
    depsgraph = scene.view_layers[0].depsgraph
    vertices, polygons = [], []
    for thing in (o for o in scene.objects if o.type == "MESH"):
        mesh = thing.evaluated_get(depsgraph).data
        polygons += [[i + len(vertices) for i in p.vertices] for p in mesh.polygons]
        vertices += [thing.matrix_world @ v.co for v in mesh.vertices]
    tree = BVHTree.FromPolygons(vertices, polygons)
    origin, rays = pixel_rays(eye)
    expected = np.full((HEIGHT, WIDTH), np.inf)
    forward = eye.world_from_camera[:3, 2]
    for row in range(HEIGHT):
        for column in range(WIDTH):
            hit = tree.ray_cast(Vector(origin), Vector(rays[row, column]))[0]
            if hit is not None:
                expected[row, column] = (np.array(hit) - origin) @ forward
    check(z, expected, MEDIAN[engine])
    sphere_centre = np.abs(z - expected) / expected
    assert np.quantile(sphere_centre[np.isfinite(z) & np.isfinite(expected)], 0.97) < 1e-3  # only edges may differ


def cube(scene, x, name, y=0.0):
    thing = add_mesh(scene, bpy.ops.mesh.primitive_cube_add, location=(x, y, 1), size=1.4)
    thing.name = name
    return thing


def seen(scene, xs, engine="CYCLES", frame=1):
    """Which of the spots (x, 0, 1) show something nearer than 12 m."""
    z, eye = depth_of(scene, engine, frame)
    pixels, _ = maths.project(np.array([(x, 0.0, 1.0) for x in xs]), eye.K, eye.world_from_camera)
    return [bool(z[int(v), int(u)] < 12) for u, v in pixels]


@pytest.mark.parametrize("engine", ["CYCLES", "BLENDER_WORKBENCH"])
def test_depth_shows_what_a_render_shows(scene, engine):
    """Render visibility counts, viewport visibility does not."""
    spots = {"plain": -4, "render_off": -2, "viewport_off": 0, "wire": 2, "instance": 4}
    made = {name: cube(scene, x, name) for name, x in spots.items() if name != "instance"}
    made["render_off"].hide_render = True
    made["viewport_off"].hide_viewport = True
    made["viewport_off"].hide_set(False)
    made["wire"].display_type = "WIRE"
    library = bpy.data.collections.new("library")  # linked nowhere: seen through its instance only
    inner = bpy.data.objects.new("inner", made["plain"].data)
    library.objects.link(inner)
    empty = bpy.data.objects.new("instance", None)
    empty.instance_type, empty.instance_collection, empty.location = "COLLECTION", library, (4, 0, 1)
    scene.collection.objects.link(empty)
    assert seen(scene, spots.values(), engine) == [True, False, True, True, True]


@pytest.mark.parametrize("engine", ["CYCLES", "BLENDER_WORKBENCH"])
def test_hidden_and_excluded_collections_are_left_out(scene, engine):
    for index, name in enumerate(("shown", "hidden", "excluded")):
        collection = bpy.data.collections.new(name)
        scene.collection.children.link(collection)
        thing = cube(scene, index * 2 - 2, name)
        scene.collection.objects.unlink(thing)
        collection.objects.link(thing)
    bpy.data.collections["hidden"].hide_render = True
    scene.view_layers[0].layer_collection.children["excluded"].exclude = True
    assert seen(scene, (-2, 0, 2), engine) == [True, False, False]


@pytest.mark.parametrize("engine", ["CYCLES", "BLENDER_WORKBENCH"])
def test_modifiers_and_animated_meshes(scene, engine):
    """An array that is on in renders only; a shape key that lifts a mesh out of the picture."""
    arrayed = cube(scene, -4, "arrayed")
    array = arrayed.modifiers.new("array", "ARRAY")
    array.count, array.relative_offset_displace = 2, (1.5, 0, 0)  # second cube 2.1 m to the right
    array.show_viewport = False
    lifted = cube(scene, 2, "lifted")
    lifted.shape_key_add(name="basis")
    key = lifted.shape_key_add(name="up")
    for point in key.data:
        point.co.z += 50
    for frame, value in ((1, 0.0), (5, 1.0)):
        key.value = value
        key.keyframe_insert("value", frame=frame)
    assert seen(scene, (-4, -1.9, 2), engine, frame=1) == [True, True, True]
    assert seen(scene, (-4, -1.9, 2), engine, frame=5) == [True, True, False]


def test_only_what_the_camera_sees_in_cycles(scene):
    """Ray visibility, which Workbench does not know: so AUTO takes Cycles for such a scene."""
    cube(scene, -2, "shown")
    cube(scene, 2, "unseen").visible_camera = False
    assert seen(scene, (-2, 2), "AUTO") == [True, False]


def test_nearest_of_several_view_layers(scene):
    """An artist renders foreground and background apart: the depth holds both."""
    for name, x in (("left", -2), ("right", 2)):
        collection = bpy.data.collections.new(name)
        scene.collection.children.link(collection)
        thing = cube(scene, x, name)
        scene.collection.objects.unlink(thing)
        collection.objects.link(thing)
    second = scene.view_layers.new("second")
    scene.view_layers[0].layer_collection.children["left"].exclude = True
    second.layer_collection.children["right"].exclude = True
    assert seen(scene, (-2, 2)) == [True, True]
    second.use = False
    assert seen(scene, (-2, 2)) == [False, True]


def test_depth_of_field_motion_blur_border_and_overrides_do_not_reach_the_depth(scene):
    cube(scene, 0, "box")
    sharp, _ = depth_of(scene)
    camera = scene.camera.data
    camera.dof.use_dof, camera.dof.focus_distance, camera.dof.aperture_fstop = True, 2.0, 0.1
    scene.render.use_motion_blur = scene.render.use_border = scene.render.use_crop_to_border = True
    scene.render.border_min_x, scene.render.border_max_x = 0.4, 0.6
    scene.render.use_multiview = scene.render.film_transparent = True
    scene.view_settings.exposure, scene.cycles.film_exposure = 3.0, 4.0
    scene.render.use_stamp = True
    again, _ = depth_of(scene)
    np.testing.assert_array_equal(sharp, again)


def test_clip_end_ends_the_depth(scene):
    add_mesh(scene, bpy.ops.mesh.primitive_plane_add, size=2000)
    scene.camera.data.clip_end = 60
    for engine in ("CYCLES", "BLENDER_WORKBENCH"):
        z, _ = depth_of(scene, engine)
        assert z[np.isfinite(z)].max() < 60
        assert np.isinf(z).any()
        assert np.isfinite(z).mean() > 0.3


def test_beauty_is_scene_linear(scene):
    """An emissive wall of 4.0, 0.5, 0.25 is read back as such, whatever the view transform."""
    wall = add_mesh(scene, bpy.ops.mesh.primitive_plane_add, size=60, location=(0, 5, 0), rotation=(math.pi / 2, 0, 0))
    material = bpy.data.materials.new("light")
    material.use_nodes = True
    material.node_tree.nodes.clear()
    emission = material.node_tree.nodes.new("ShaderNodeEmission")
    emission.inputs["Color"].default_value, emission.inputs["Strength"].default_value = (4.0, 0.5, 0.25, 1), 1
    output = material.node_tree.nodes.new("ShaderNodeOutputMaterial")
    material.node_tree.links.new(emission.outputs[0], output.inputs[0])
    wall.data.materials.append(material)
    scene.view_settings.exposure = 2.0
    view = read_camera(scene, scene.camera, 1)
    with PassRenderer(scene, WIDTH, HEIGHT) as passes:
        passes.use_own_camera()
        passes.depth(view)
        rgb = passes.beauty(view, samples=2)
    assert rgb.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(
        rgb[HEIGHT // 2, WIDTH // 2], (4.0, 0.5, 0.25), rtol=5e-3
    )  # the denoiser works in half floats


# -- the artist's scene afterwards -------------------------------------------------------------------------------------


def snapshot(block, depth=0):
    """Every RNA value below `block`, nested structs and collections included; IDs by name."""
    if depth > 4:
        return None
    values = {}
    for prop in block.bl_rna.properties:
        name = prop.identifier
        if name in ("rna_type", "depsgraph", "original"):
            continue
        value = getattr(block, name)
        if prop.type == "COLLECTION":
            values[name] = [
                item.name if isinstance(item, bpy.types.ID) else snapshot(item, depth + 1) for item in value
            ]
        elif prop.type == "POINTER":
            if isinstance(value, bpy.types.ID):
                values[name] = value.name
            else:
                values[name] = None if value is None else snapshot(value, depth + 1)
        else:
            values[name] = tuple(np.ravel(np.array(value, dtype=object))) if getattr(prop, "is_array", 0) else value
    return values


def everything(scene):
    """The scene with its render, Cycles, display, image and view layer settings; and all datablocks with users."""
    blocks = {
        (kind.identifier, block.name): block.users
        for kind in bpy.data.bl_rna.properties
        if kind.type == "COLLECTION"
        for block in getattr(bpy.data, kind.identifier)
        if block.name not in ("Render Result", "Viewer Node")
    }
    objects = {thing.name: snapshot(thing, depth=3) for thing in bpy.data.objects}
    return snapshot(scene), blocks, objects, [snapshot(camera) for camera in bpy.data.cameras]


@pytest.fixture
def fussy_scene(scene):
    """A scene whose artist has touched everything a pass might want to change."""
    red = bpy.data.materials.new("red")
    red.use_nodes = True
    red.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.8, 0.1, 0.1, 1)
    cube(scene, 0, "box").data.materials.append(red)
    scene.world = bpy.data.worlds.new("sky")
    scene.frame_start, scene.frame_end = 5, 8
    scene.frame_set(6)
    render = scene.render
    render.engine = "BLENDER_WORKBENCH"
    render.resolution_percentage, render.filepath = 50, "//shots/"
    render.use_border = render.use_stamp = render.use_motion_blur = render.use_freestyle = True
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGBA"
    scene.cycles.samples, scene.cycles.filter_width, scene.cycles.pixel_filter_type = 777, 2.5, "GAUSSIAN"
    scene.cycles.use_denoising, scene.cycles.max_bounces = True, 9
    scene.display.render_aa = "32"
    scene.view_layers[0].use_pass_mist = True
    scene.view_layers.new("second").use_pass_normal = True
    scene.timeline_markers.new("note", frame=7)
    scene.sequence_editor_create()
    camera = scene.camera.data
    camera.dof.use_dof = True
    camera.lens = 30
    camera.keyframe_insert("lens", frame=5)
    if hasattr(scene, "compositing_node_group"):
        scene.compositing_node_group = bpy.data.node_groups.new("look", "CompositorNodeTree")
    else:
        scene.use_nodes = True
    bpy.context.view_layer.update()
    return scene


@pytest.mark.parametrize("colours", [True, False])
@pytest.mark.parametrize("steps", [0, 2, 5, 9, None])
def test_every_setting_is_as_before_after_success_or_cancel(fussy_scene, steps, colours):
    """`steps` of the twelve are done, then the extraction is closed; None: all, and the shot is taken."""
    before = everything(fussy_scene)
    extraction = Extraction(
        fussy_scene, plan_shots(fussy_scene)[0], Prompt("x"), (64, 48), True, reference_samples=1, colours=colours
    )
    for _ in range(12 if steps is None else steps):
        extraction.step()
    if steps is None:
        assert (extraction.shot().base_colour is not None) == colours
    assert fussy_scene.frame_current == 6  # also while it runs
    extraction.close()
    extraction.close()
    assert everything(fussy_scene) == before


def test_every_setting_is_as_before_after_an_error(fussy_scene):
    """A rig that shrinks to nothing in the last frame: found before anything is rendered."""
    for frame, size in ((7, 1.0), (8, 0.0)):
        fussy_scene.camera.scale = (size, size, size)
        fussy_scene.camera.keyframe_insert("scale", frame=frame)
    fussy_scene.frame_set(6)
    before = everything(fussy_scene)
    with Extraction(fussy_scene, plan_shots(fussy_scene)[0], Prompt("x")) as extraction:
        for _ in range(3):
            extraction.step()
        with pytest.raises(FarplaneError, match="scaled to zero"):
            extraction.step()
        assert extraction.stage == "camera"
    assert everything(fussy_scene) == before


def test_a_stand_in_left_by_a_crash_is_removed_by_the_next_one(fussy_scene):
    before = everything(fussy_scene)
    abandoned = Extraction(fussy_scene, plan_shots(fussy_scene)[0], Prompt("x"))
    abandoned.step()
    assert everything(fussy_scene) != before
    Extraction(fussy_scene, plan_shots(fussy_scene)[0], Prompt("x")).close()
    assert everything(fussy_scene) == before
    abandoned.close()
