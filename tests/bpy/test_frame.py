"""A plate of any size shows the scene's own frame from edge to edge, in Blender's own projection and in its renders."""

from __future__ import annotations

import math

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
from bpy_extras.object_utils import world_to_camera_view  # noqa: E402
from mathutils import Vector  # noqa: E402

from farplane.addon import camera as maths  # noqa: E402
from farplane.addon.camera import Frame  # noqa: E402
from farplane.addon.passes import PassRenderer  # noqa: E402
from farplane.addon.scene import Extraction, plan_shots, read_camera  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402
from farplane.protocol.shot import Prompt, Shot  # noqa: E402

SIZES = ((448, 256), (256, 448))  # of the default model
# (W, H, pixel aspect x and y, percentage, sensor fit)
SCENES = {
    "16:9": (1920, 1080, 1.0, 1.0, 100, "AUTO"),
    "4:3": (1440, 1080, 1.0, 1.0, 100, "AUTO"),
    "2.39:1": (2048, 857, 1.0, 1.0, 100, "HORIZONTAL"),
    "1:1": (1080, 1080, 1.0, 1.0, 100, "AUTO"),
    "upright": (1080, 1920, 1.0, 1.0, 100, "AUTO"),
    "upright, fitted to its height": (1080, 1920, 1.0, 1.0, 100, "VERTICAL"),
    "anamorphic": (1440, 1080, 2.0, 1.0, 100, "AUTO"),
    "tall pixels": (720, 576, 1.0, 1.0667, 50, "AUTO"),
}


@pytest.fixture
def scene():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    camera = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    camera.data.lens, camera.data.sensor_width, camera.data.sensor_height = 31.0, 34.0, 22.0
    camera.data.shift_x, camera.data.shift_y = 0.06, -0.03
    camera.location, camera.rotation_euler = (0.3, -9, 2.2), (math.radians(84), 0.02, 0.1)
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.frame_start, scene.frame_end = 1, 2
    return scene


def set_up(scene, which: str) -> Frame:
    width, height, x, y, percent, fit = SCENES[which]
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, percent
    render.pixel_aspect_x, render.pixel_aspect_y = x, y
    scene.camera.data.sensor_fit = fit
    scene.frame_set(1)
    return Frame.of(render)


def sizes_of(frame: Frame) -> list[tuple[int, int]]:
    """What the panel offers (the model's and the scene's own), a square, another shape, odd sides."""
    return [frame.size_near(SIZES), (frame.width, frame.height), (96, 96), (90, 160), (2048, 857)]


def read(scene, size: tuple[int, int]) -> Shot:
    with Extraction(scene, plan_shots(scene)[0], Prompt("a plain"), size) as extraction:
        while not extraction.step():
            pass
        return extraction.shot()


@pytest.mark.parametrize("which", SCENES)
def test_a_grid_of_points_lands_where_blender_projects_it(scene, which: str) -> None:
    """In pixels of the scene's own resolution.  The issue asks for 0.05 and 0.2; Blender's float32 knows 0.001."""
    frame = set_up(scene, which)
    rng = np.random.default_rng(3)
    view = read_camera(scene, scene.camera, 1)
    own = maths.pinhole(view.matrix_world, frame.intrinsics(view.lens))
    u, v = (a.ravel() for a in np.meshgrid(np.linspace(0, frame.width, 7), np.linspace(0, frame.height, 7)))
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(own.K).T * rng.uniform(4, 20, (len(u), 1))
    points = rays @ own.world_from_camera[:3, :3].T + own.world_from_camera[:3, 3]
    seen = [world_to_camera_view(scene, scene.camera, Vector(p)) for p in points]
    truth = np.array([(p.x * frame.width, (1 - p.y) * frame.height) for p in seen])
    for w, h in sizes_of(frame):
        K = maths.pinhole(view.matrix_world, frame.intrinsics(view.lens, (w, h))).K
        pixels, _ = maths.project(points, K, own.world_from_camera)
        off = np.hypot(*(pixels * (frame.width / w, frame.height / h) - truth).T)
        assert off.max() < 0.005, (w, h)


def cast(scene, size: tuple[int, int]) -> np.ndarray:
    """[h, w] depth along the camera by Blender's own ray casts, through the places of the scene's frame that the pixels
    of a picture of this size cover; the frame's corners are Blender's own too."""
    layer = scene.view_layers[0]
    layer.update()
    camera = scene.camera.evaluated_get(layer.depsgraph)
    corners = np.array(
        camera.data.view_frame(scene=scene)
    )  # top right, bottom right, bottom left, top left; at distance 1
    right, top, left, bottom = corners[0][0], corners[0][1], corners[2][0], corners[2][1]
    matrix = np.array(camera.matrix_world)
    origin, forward = matrix[:3, 3], -matrix[:3, 2]
    out = np.full((size[1], size[0]), np.inf)
    for i in range(size[1]):
        for j in range(size[0]):
            x = left + (right - left) * (j + 0.5) / size[0]
            y = top + (bottom - top) * (i + 0.5) / size[1]
            ray = matrix[:3, :3] @ (x, y, corners[0][2])
            hit, place, *_ = scene.ray_cast(layer.depsgraph, Vector(origin), Vector(ray).normalized())
            if hit:
                out[i, j] = (np.array(place) - origin) @ forward
    return out


def furnish(scene) -> None:
    rng = np.random.default_rng(8)
    bpy.ops.mesh.primitive_plane_add(size=60)
    for _ in range(14):
        bpy.ops.mesh.primitive_cube_add(location=rng.uniform((-5, -4, 0), (5, 9, 3)), rotation=rng.uniform(-1, 1, 3))


@pytest.mark.parametrize("engine", ["CYCLES", "BLENDER_WORKBENCH"])
@pytest.mark.parametrize(("which", "size"), [("16:9", (48, 48)), ("upright", (64, 36)), ("anamorphic", (45, 33))])
def test_the_depth_of_a_plate_is_that_of_the_scenes_frame(scene, which: str, size: tuple, engine) -> None:
    """The stand-in renders other pixels of the same frame, odd ones too."""
    set_up(scene, which)
    furnish(scene)
    with PassRenderer(scene, *size, engine) as passes:
        passes.use_own_camera()
        z = passes.depth(read_camera(scene, scene.camera, 1))
    truth = cast(scene, size)
    both = np.isfinite(z) & np.isfinite(truth)
    assert (np.isfinite(z) != np.isfinite(truth)).mean() < 0.005  # a pixel's centre on an edge may fall either way
    off = np.abs(z[both] - truth[both]) / truth[both]
    assert np.median(off) < 3e-5  # Workbench's depth buffer; Cycles 4e-6
    # A shift of the frame by a hundredth of its width would move one pixel in fifty over an edge.
    assert (off > 1e-3).mean() < 0.01


@pytest.mark.parametrize(("which", "size"), [("16:9", None), ("2.39:1", (101, 57)), ("tall pixels", None)])
def test_a_shot_tells_its_frame_as_blender_projects_it(scene, which: str, size) -> None:
    frame = set_up(scene, which)
    bpy.ops.mesh.primitive_plane_add(size=60)
    for number, lens in ((1, 28.0), (2, 45.0)):
        scene.camera.data.lens = lens
        scene.camera.data.keyframe_insert("lens", frame=number)
    size = size or frame.size_near(SIZES)
    shot = read(scene, size)
    assert shot.resolution == size
    assert shot.frame is not None
    assert shot.frame.resolution == (frame.width, frame.height)
    assert shot.pixel_aspect == pytest.approx(frame.shape * size[1] / size[0])
    scale = np.array([[frame.width / size[0]], [frame.height / size[1]], [1.0]])
    np.testing.assert_allclose(shot.camera.K * scale, shot.frame.K, atol=2e-3)  # Blender's float32 at 4,000 pixels
    assert shot.camera.K[1, 0, 0] == pytest.approx(shot.camera.K[0, 0, 0] * 45 / 28)
    # From Blender, and not from the numbers that the shot's own K was made of.
    scene.frame_set(2)
    depsgraph = scene.view_layers[0].depsgraph
    P = np.array(
        scene.camera.evaluated_get(depsgraph).calc_matrix_camera(
            depsgraph, x=frame.width, y=frame.height, scale_x=frame.aspect_x, scale_y=frame.aspect_y
        )
    )
    assert shot.frame.K[1, 0, 0] == pytest.approx(P[0, 0] * frame.width / 2, rel=1e-6)
    assert shot.frame.K[1, 1, 2] == pytest.approx((1 + P[1, 2]) * frame.height / 2, rel=1e-6)


def test_a_sheared_rig_keeps_its_frame_and_its_pixels(scene) -> None:
    """The shear lies in K; the shape of a pixel is the scene's all the same."""
    set_up(scene, "16:9")
    bpy.ops.mesh.primitive_plane_add(size=60)
    rig = bpy.data.objects.new("rig", None)
    rig.scale, rig.rotation_euler = (1.6, 0.7, 1.2), (0.0, 0.0, 0.6)
    scene.camera.rotation_euler = (1.3, 0.2, 0.5)
    scene.collection.objects.link(rig)
    scene.camera.parent = rig
    shot = read(scene, (448, 252))
    assert abs(shot.camera.K[0, 0, 1]) > 5  # pixels of skew
    assert abs(shot.camera.K[0, 1, 1] / shot.camera.K[0, 0, 0] - 1) > 1e-3  # the focal lengths would misread them
    assert shot.pixel_aspect == 1.0
    assert shot.frame is not None
    scale = np.array([[1920 / 448], [1080 / 252], [1.0]])
    np.testing.assert_allclose(shot.camera.K * scale, shot.frame.K, atol=2e-3)


def test_a_resolution_changed_meanwhile_changes_nothing(scene) -> None:
    """The stand-in is made anew from the scene as it then is; the shot's frame stays the one it began with."""
    set_up(scene, "16:9")
    furnish(scene)
    expected = read(scene, (64, 36))
    with Extraction(scene, plan_shots(scene)[0], Prompt("a plain"), (64, 36)) as extraction:
        for _ in range(3):
            extraction.step()
        scene.render.resolution_x, scene.render.resolution_y = 500, 500
        extraction.pause()
        while not extraction.step():
            pass
        shot = extraction.shot()
    np.testing.assert_array_equal(shot.camera.K, expected.camera.K)
    np.testing.assert_allclose(shot.depth.z, expected.depth.z, rtol=1e-6)


@pytest.mark.parametrize("hidden", [True, False])
def test_nothing_but_sky_is_a_shot(scene, hidden: bool) -> None:
    """In all frames, or until the camera turns down."""
    set_up(scene, "16:9")
    bpy.ops.mesh.primitive_plane_add(size=60)
    plane = bpy.context.object
    plane.hide_render = True
    plane.keyframe_insert("hide_render", frame=1)
    plane.hide_render = hidden
    plane.keyframe_insert("hide_render", frame=2)
    shot = read(scene, (65, 37))
    assert np.isinf(shot.depth.z[0]).all()
    assert np.isfinite(shot.depth.z[1]).any() != hidden
    assert 0 < shot.depth.near < shot.depth.far


def test_a_size_that_blender_cannot_frame_is_refused_before_any_work(scene) -> None:
    set_up(scene, "16:9")
    with pytest.raises(FarplaneError, match="too far from the scene's 1920x1080"):
        Extraction(scene, plan_shots(scene)[0], Prompt("a plain"), (32, 8192))
    assert [s.name for s in bpy.data.scenes] == [scene.name]
