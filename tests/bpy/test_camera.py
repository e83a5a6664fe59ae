"""addon/camera.py against Blender's own projection, over random cameras and rigs."""

from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
from bpy_extras.object_utils import world_to_camera_view  # noqa: E402
from mathutils import Euler, Matrix, Vector  # noqa: E402

from farplane.addon import camera as maths  # noqa: E402
from farplane.addon.scene import Extraction, plan_shots, read_camera, scene_resolution  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402

# What the issue asks for.  Blender projects in float32, whose own noise is about focal length in pixels x distance
# from the origin / depth x 6e-8 x a few operations: the cameras below keep that under 1e-3, and are random otherwise.
PIXELS = 1e-3


@pytest.fixture
def scene():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene


def add_camera(scene, name="cam"):
    camera = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    scene.collection.objects.link(camera)
    scene.camera = camera
    return camera


def random_lens(rng, data):
    data.lens = rng.uniform(12, 80)
    data.sensor_fit = rng.choice(["AUTO", "HORIZONTAL", "VERTICAL"])
    data.sensor_width, data.sensor_height = rng.uniform(22, 40), rng.uniform(14, 30)
    data.shift_x, data.shift_y = rng.uniform(-0.4, 0.4, 2)


def random_render(rng, render):
    render.resolution_x, render.resolution_y = (int(v) * 2 for v in rng.integers(32, 640, 2))
    render.resolution_percentage = int(rng.choice([100, 100, 50, 37]))
    render.pixel_aspect_x, render.pixel_aspect_y = (1.0, 1.0) if rng.random() < 0.5 else rng.uniform(1.0, 2.0, 2)


def random_pose(rng, thing):
    thing.location = rng.uniform(-2, 2, 3)
    thing.rotation_euler = Euler(rng.uniform(-3, 3, 3))
    thing.scale = rng.uniform(0.3, 3, 3)


def points_in_view(rng, scene, view: maths.CameraView, count=20):
    """World points in the picture and a quarter of its size around it, 5 to 30 m away.  Farther out Blender's
    float32 projections have no thousandth of a pixel to compare with."""
    width, height = scene_resolution(scene)
    eye = maths.pinhole(view.matrix_world, maths.intrinsics(view.lens, width, height, *aspect(scene)))
    pixels = rng.uniform(-0.25, 1.25, (count, 2)) * (width, height)
    rays = np.c_[pixels, np.ones(count)] @ np.linalg.inv(eye.K).T
    return (rays * rng.uniform(5, 30, (count, 1))) @ eye.world_from_camera[:3, :3].T + eye.world_from_camera[:3, 3]


def aspect(scene):
    return scene.render.pixel_aspect_x, scene.render.pixel_aspect_y


def our_pixels(scene, view, points):
    width, height = scene_resolution(scene)
    eye = maths.pinhole(view.matrix_world, maths.intrinsics(view.lens, width, height, *aspect(scene)))
    pixels, depth = maths.project(points, eye.K, eye.world_from_camera)
    return pixels, depth / eye.depth_scale


def blender_pixels(scene, camera, points):
    width, height = scene_resolution(scene)
    seen = np.array([world_to_camera_view(scene, camera, Vector(p)) for p in points])
    return np.stack([seen[:, 0] * width, (1 - seen[:, 1]) * height], axis=1), seen[:, 2]


def whole_pixels(render):
    """Whether the percentage leaves whole pixels: world_to_camera_view frames the picture before rounding it down,
    a render (and calc_matrix_camera) after."""
    percent = render.resolution_percentage
    return render.resolution_x * percent % 100 == 0 and render.resolution_y * percent % 100 == 0


def check_against_blender(scene, camera, rng):
    """Our projection of random points, against world_to_camera_view and calc_matrix_camera."""
    view = read_camera(scene, camera, scene.frame_current)
    points = points_in_view(rng, scene, view)
    pixels, depth = our_pixels(scene, view, points)

    depsgraph = scene.view_layers[0].depsgraph
    expected, expected_depth = blender_pixels(scene, camera.evaluated_get(depsgraph), points)
    if whole_pixels(scene.render):
        np.testing.assert_allclose(pixels, expected, atol=PIXELS)
    np.testing.assert_allclose(depth, expected_depth, rtol=2e-6, atol=2e-6)

    width, height = scene_resolution(scene)
    aspect_x, aspect_y = aspect(scene)
    clip = np.array(
        camera.evaluated_get(depsgraph).calc_matrix_camera(
            depsgraph, x=width, y=height, scale_x=aspect_x, scale_y=aspect_y
        )
    )
    rigid = view.matrix_world.copy()
    rigid[:3, :3] /= np.linalg.norm(rigid[:3, :3], axis=0)
    ndc = np.c_[points, np.ones(len(points))] @ np.linalg.inv(rigid).T @ clip.T
    ndc = ndc[:, :2] / ndc[:, 3:]
    projected = np.stack([(ndc[:, 0] + 1) / 2 * width, (1 - ndc[:, 1]) / 2 * height], axis=1)
    np.testing.assert_allclose(pixels, projected, atol=PIXELS)


@pytest.mark.parametrize("seed", range(40))
def test_random_lenses_and_resolutions(scene, seed):
    rng = np.random.default_rng(seed)
    camera = add_camera(scene)
    random_lens(rng, camera.data)
    random_render(rng, scene.render)
    random_pose(rng, camera)
    scene.frame_set(1)
    check_against_blender(scene, camera, rng)


@pytest.mark.parametrize("seed", range(20))
def test_rigs_scaled_sheared_and_constrained(scene, seed):
    """A camera under two turned, unevenly scaled empties (so its axes are not square), aimed by a constraint."""
    rng = np.random.default_rng(1000 + seed)
    camera = add_camera(scene)
    random_lens(rng, camera.data)
    random_render(rng, scene.render)
    parent = camera
    for name in ("inner", "outer"):
        empty = bpy.data.objects.new(name, None)
        scene.collection.objects.link(empty)
        random_pose(rng, empty)
        parent.parent = empty
        parent = empty
    random_pose(rng, camera)
    if seed % 2:
        target = bpy.data.objects.new("target", None)
        target.location = rng.uniform(-9, 9, 3)
        scene.collection.objects.link(target)
        aim = camera.constraints.new("TRACK_TO")
        aim.target, aim.track_axis, aim.up_axis = target, "TRACK_NEGATIVE_Z", "UP_Y"
        aim.influence = rng.uniform(0.3, 1)
    scene.frame_set(1)
    check_against_blender(scene, camera, rng)


def test_shear_becomes_skew_and_the_pose_stays_rigid(scene):
    camera = add_camera(scene)
    empty = bpy.data.objects.new("empty", None)
    scene.collection.objects.link(empty)
    empty.scale = (2, 1, 1)
    camera.parent = empty
    camera.rotation_euler = (0.4, 0.7, 0.5)
    scene.frame_set(1)
    view = read_camera(scene, camera, 1)
    eye = maths.pinhole(view.matrix_world, maths.intrinsics(view.lens, 640, 360))
    R = eye.world_from_camera[:3, :3]
    np.testing.assert_allclose(R.T @ R, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1)
    assert abs(eye.K[0, 1]) > 1  # pixels of skew
    assert eye.K[2].tolist() == [0, 0, 1]


def test_animated_lens_and_shift_follow_the_frames(scene):
    """Keyed on the camera's data, driven by an empty: every frame differs and every frame agrees with Blender."""
    rng = np.random.default_rng(7)
    camera = add_camera(scene)
    driver_source = bpy.data.objects.new("source", None)
    scene.collection.objects.link(driver_source)
    for frame, lens, x in ((1, 24.0, 0.0), (9, 70.0, 0.3)):
        camera.data.lens = lens
        camera.data.keyframe_insert("lens", frame=frame)
        driver_source.location.x = x
        driver_source.keyframe_insert("location", index=0, frame=frame)
    driver = camera.data.driver_add("shift_x").driver
    variable = driver.variables.new()
    variable.type = "TRANSFORMS"
    variable.targets[0].id = driver_source
    variable.targets[0].transform_type = "LOC_X"
    driver.expression = "var"
    focals = []
    for frame in range(1, 10):
        scene.frame_set(frame)
        check_against_blender(scene, camera, rng)
        view = read_camera(scene, camera, frame)
        focals.append((view.lens.focal, view.lens.shift_x))
    assert focals == sorted(focals)
    assert len(set(focals)) == 9
    assert focals[-1] == pytest.approx((70.0, 0.3))


def test_extraction_reads_the_same_cameras_as_a_played_back_scene(scene):
    """The stand-in copy of the scene evaluates a constrained, animated rig exactly as the scene itself does."""
    rng = np.random.default_rng(3)
    bpy.ops.mesh.primitive_plane_add(size=400)
    camera = add_camera(scene)
    camera.location = (0, -8, 4)
    path = bpy.data.objects.new("dolly", None)
    target = bpy.data.objects.new("target", None)
    for empty in (path, target):
        scene.collection.objects.link(empty)
    path.scale = (0.5, 2.0, 1.5)
    for frame in (11, 20):
        path.location = rng.uniform(-2, 2, 3)
        path.keyframe_insert("location", frame=frame)
        camera.data.lens = rng.uniform(20, 60)
        camera.data.keyframe_insert("lens", frame=frame)
    camera.parent = path
    aim = camera.constraints.new("DAMPED_TRACK")
    aim.target, aim.track_axis = target, "TRACK_NEGATIVE_Z"
    scene.frame_start, scene.frame_end, scene.frame_step = 11, 20, 3
    scene.render.resolution_x, scene.render.resolution_y = 64, 48
    from farplane.protocol.shot import Prompt

    with Extraction(scene, plan_shots(scene)[0], Prompt("a plain")) as extraction:
        while not extraction.step():
            pass
        shot = extraction.shot()
    assert shot.frames == (11, 14, 17, 20)
    for index, frame in enumerate(shot.frames):
        scene.frame_set(frame)
        view = read_camera(scene, camera, frame)
        points = points_in_view(rng, scene, view)
        expected, _ = blender_pixels(scene, camera.evaluated_get(scene.view_layers[0].depsgraph), points)
        pixels, _ = maths.project(points, shot.camera.K[index], shot.camera.world_from_camera[index])
        np.testing.assert_allclose(pixels, expected, atol=PIXELS)


@pytest.mark.parametrize("kind", ["ORTHO", "PANO"])
def test_cameras_without_a_pinhole_are_refused(scene, kind):
    camera = add_camera(scene)
    camera.data.type = kind
    with pytest.raises(FarplaneError, match=r"camera: cam is no perspective camera but (orthographic|panoramic)"):
        read_camera(scene, camera, 1)
    with pytest.raises(FarplaneError, match="camera"):
        plan_shots(scene)


def test_mirrored_zero_and_nan_matrices_are_refused():
    K = maths.intrinsics(maths.Lens(50, 36, 24, "AUTO", 0, 0), 640, 480)
    mirrored = np.diag([-1.0, 1.0, 1.0, 1.0])
    flat = np.diag([1.0, 0.0, 1.0, 1.0])
    broken = np.array(Matrix.Identity(4))
    broken[0, 3] = np.nan
    for matrix, words in ((mirrored, "mirrored"), (flat, "scaled to zero"), (broken, "NaN")):
        with pytest.raises(FarplaneError, match=words):
            maths.pinhole(matrix, K)
    # Two mirrored axes are a turn by 180 degrees: a camera like any other.
    maths.pinhole(np.diag([-1.0, -1.0, 1.0, 1.0]), K)
