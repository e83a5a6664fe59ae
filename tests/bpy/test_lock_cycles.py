"""The camera lock's calibration on pictures that Cycles rendered: a known error of the camera is read back.

Frames, depth and cameras come the way a reference render does (addon/passes.py, addon/scene.py); the error is a turn
of the camera that the picture knows of and the measure does not.  Eight renders, once a module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

bpy = pytest.importorskip("bpy")
pytest.importorskip("cv2")

from farplane.addon import camera as maths  # noqa: E402
from farplane.addon.passes import PassRenderer  # noqa: E402
from farplane.addon.scene import read_camera  # noqa: E402
from farplane.backend.pipeline.colour import display_encode, luminance  # noqa: E402
from farplane.backend.pipeline.lock import LockFigure, View, camera_lock  # noqa: E402
from farplane.backend.pipeline.warp import Camera  # noqa: E402

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 448, 256
LAST = 9
SAMPLES = 16  # as a reference gets, denoised
STEPS, ERRORS = (1, 4, 8), (0.5, 1.0, 2.0, 4.0)  # frames apart; px


@dataclass(frozen=True, eq=False)
class Street:
    """views : by frame number.  turned : the last frame's picture [H, W, 3] by the camera's error in px."""

    views: dict[int, View]
    turned: dict[float, NDArray[np.float32]]


def grey(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    return display_encode(luminance(rgb)) * np.float32(255)


def noise_material() -> bpy.types.Material:
    """Noise of high contrast in eight octaves, on the object's own coordinates."""
    material = bpy.data.materials.new("noise")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    noise, ramp, place = (nodes.new(f"ShaderNode{name}") for name in ("TexNoise", "ValToRGB", "NewGeometry"))
    noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = 1.5, 8.0
    noise.inputs["Roughness"].default_value = 0.75
    ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[1].position = 0.35, 0.65
    surface = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    surface.inputs["Roughness"].default_value = 1.0
    links.new(place.outputs["Position"], noise.inputs["Vector"])
    links.new(noise.outputs[0], ramp.inputs[0])
    links.new(ramp.outputs[0], surface.inputs["Base Color"])
    return material


def build() -> bpy.types.Scene:
    """Eighteen boxes on a floor under a sun; a camera that trucks, rises and pushes in over nine frames."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    rng = np.random.default_rng(5)
    material = noise_material()
    bpy.ops.mesh.primitive_plane_add(size=300)
    for _ in range(18):
        bpy.ops.mesh.primitive_cube_add(location=(rng.uniform(-9, 9), rng.uniform(4, 26), 0))
        bpy.context.object.scale = (*rng.uniform(0.5, 1.6, 2), rng.uniform(0.6, 5))
    for thing in scene.objects:
        thing.data.materials.append(material)
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy, sun.rotation_euler = 3.0, (0.7, 0.3, 0.5)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.lens = 34.0
    for thing in (sun, camera):
        scene.collection.objects.link(thing)
    scene.camera = camera
    scene.world = bpy.data.worlds.new("sky")
    for frame, place, turn in ((1, (-1.5, -6.0, 2.2), -0.12), (LAST, (0.1, -4.2, 2.6), 0.0)):
        camera.location, camera.rotation_euler = place, (math.radians(88), 0, turn)
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert("rotation_euler", frame=frame)
    scene.frame_start, scene.frame_end = 1, LAST
    return scene


def turned(view: maths.CameraView, pixels: float) -> maths.CameraView:
    """The camera turned about its own vertical by `pixels` at the middle of the picture."""
    focal = maths.intrinsics(view.lens, WIDTH, HEIGHT)[0, 0]
    angle = math.atan(pixels / focal)
    turn = np.eye(4)
    turn[0, 0] = turn[2, 2] = math.cos(angle)
    turn[0, 2], turn[2, 0] = math.sin(angle), -math.sin(angle)
    return replace(view, matrix_world=view.matrix_world @ turn)


@pytest.fixture(scope="module")
def street() -> Street:
    scene = build()
    with PassRenderer(scene, WIDTH, HEIGHT, "CYCLES") as passes:
        eyes = {}
        for frame in sorted({LAST, *(LAST - k for k in STEPS)}):
            scene.frame_set(frame)
            eyes[frame] = read_camera(scene, scene.camera, frame)
        passes.use_own_camera()
        views = {}
        for frame, eye in eyes.items():
            pin = maths.pinhole(eye.matrix_world, maths.intrinsics(eye.lens, WIDTH, HEIGHT))
            depth = passes.depth(eye) * np.float32(pin.depth_scale)
            picture = grey(passes.beauty(eye, SAMPLES))
            views[frame] = View(frame, picture, depth, Camera(pin.K, pin.world_from_camera), None)
        wrong = {error: passes.beauty(turned(eyes[LAST], error), SAMPLES) for error in ERRORS}
    return Street(views, wrong)


def lock(street: Street, k: int, error: float = 0.0) -> LockFigure:
    """The lock between the last frame, rendered by a camera that is off by `error` px, and the frame k before."""
    last = street.views[LAST]
    last = replace(last, grey=grey(street.turned[error])) if error else last
    return camera_lock([street.views[LAST - k], last].__getitem__, 2, 1, most=1)


@pytest.mark.parametrize("k", STEPS)
def test_a_clean_cycles_render_reads_under_a_third_of_a_pixel(street: Street, k: int) -> None:
    figure = lock(street, k)
    assert figure.median is not None
    assert figure.median < 0.3
    assert figure.matches is not None
    assert figure.matches < 0.5
    assert figure.detail >= 0.6  # of the visible surface was read
    assert figure.motion > 1  # the picture did move


@pytest.mark.parametrize("k", STEPS)
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_of_the_camera_is_read_back_within_a_fifth(street: Street, k: int, error: float) -> None:
    figure = lock(street, k, error)
    assert figure.median == pytest.approx(error, rel=0.2)
    assert figure.response == pytest.approx(1, abs=0.15)
