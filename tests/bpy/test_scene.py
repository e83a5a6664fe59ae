"""addon/scene.py: which shots a scene holds, and what is refused before any work."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
from farplane.addon.scene import (  # noqa: E402
    Extraction,
    metres_per_unit,
    one_frame_shots,
    plan_camera,
    plan_shots,
    scene_fps,
    scene_resolution,
)
from farplane.protocol.errors import FarplaneError  # noqa: E402
from farplane.protocol.shot import Prompt  # noqa: E402


@pytest.fixture
def scene():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = 64, 48
    scene.frame_start, scene.frame_end = 1, 10
    scene.camera = add_camera(scene, "main")
    bpy.ops.mesh.primitive_plane_add(size=50)
    return scene


def add_camera(scene, name, height=5.0):
    camera = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    camera.location.z = height
    scene.collection.objects.link(camera)
    return camera


def extract(scene, plan, **options):
    with Extraction(scene, plan, Prompt("a plain"), engine="CYCLES", **options) as extraction:
        while not extraction.step():
            pass
        return extraction.shot()


def mark(scene, frame, camera, name="cut"):
    scene.timeline_markers.new(name, frame=frame).camera = camera


def test_one_shot_of_the_active_camera(scene):
    scene.frame_step = 3
    (plan,) = plan_shots(scene)
    assert (plan.name, plan.camera, plan.frames) == ("Scene", "main", (1, 4, 7, 10))
    (plan,) = plan_shots(scene, (5, 9))
    assert plan.frames == (5, 8)


def test_one_shot_per_camera_marker(scene):
    for frame, name in ((4, "b"), (8, "c"), (20, "d")):
        mark(scene, frame, add_camera(scene, name), f"shot {name}")
    scene.timeline_markers.new("no camera", frame=6)
    plans = plan_shots(scene)
    assert [(plan.name, plan.camera, plan.frames) for plan in plans] == [
        ("shot b", "b", (1, 2, 3, 4, 5, 6, 7)),  # before the first marker Blender shows its camera already
        ("shot c", "c", (8, 9, 10)),
    ]


def test_markers_agree_with_the_camera_blender_switches_to(scene):
    """Frame by frame against Blender's own switch, with two markers of one name and a camera hidden from rendering."""
    for frame, name in ((3, "b"), (5, "hidden"), (7, "c")):
        mark(scene, frame, add_camera(scene, name))
    bpy.data.objects["hidden"].hide_render = True
    by_frame = {frame: plan.camera for plan in plan_shots(scene) for frame in plan.frames}
    for frame in range(1, 11):
        scene.frame_set(frame)
        assert by_frame[frame] == scene.camera.name
    assert len({plan.name for plan in plan_shots(scene)}) == 2


def test_each_marker_shot_is_seen_through_its_own_camera(scene):
    mark(scene, 1, scene.camera)
    mark(scene, 6, add_camera(scene, "high", height=20.0))
    low, high = (extract(scene, plan) for plan in plan_shots(scene))
    assert np.allclose(low.depth.z, 5)
    assert np.allclose(high.depth.z, 20)
    assert high.camera.world_from_camera[0, 2, 3] == 20
    assert scene.camera.name == "main"


@pytest.mark.parametrize(
    ("fps", "base", "expected"),
    [(24, 1.0, Fraction(24)), (24, 1.001, Fraction(24000, 1001)), (30, 1.001, Fraction(30000, 1001)),
     (60, 1.001, Fraction(60000, 1001)), (25, 0.5, Fraction(50)), (24, 3.0, Fraction(8))],
)  # fmt: skip
def test_fps_is_exact(scene, fps, base, expected):
    scene.render.fps, scene.render.fps_base = fps, base
    assert scene_fps(scene) == expected


def test_resolution_percentage_rounds_down_as_blender_does(scene):
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 1999, 1080, 37
    assert scene_resolution(scene) == (739, 399)


def test_units_become_metres(scene):
    """A scene in centimetres: camera and depth are told in metres, the picture is the same."""
    (plan,) = plan_shots(scene, (1, 2))
    metres = extract(scene, plan)
    scene.unit_settings.scale_length = 0.01
    assert metres_per_unit(scene) == pytest.approx(0.01)
    centimetres = extract(scene, plan)
    np.testing.assert_allclose(centimetres.depth.z, metres.depth.z * 0.01, rtol=1e-6)
    np.testing.assert_allclose(
        centimetres.camera.world_from_camera[:, :3, 3], metres.camera.world_from_camera[:, :3, 3] * 0.01, rtol=1e-6
    )
    np.testing.assert_array_equal(centimetres.camera.K, metres.camera.K)


def test_a_shot_without_a_prompt_is_extracted_but_not_renderable(scene):
    with Extraction(scene, plan_shots(scene, (1, 2))[0], engine="CYCLES") as extraction:
        while not extraction.step():
            pass
        shot = extraction.shot()
    with pytest.raises(FarplaneError, match="prompt"):
        shot.validate()


def test_progress_counts_every_frame_of_every_stage(scene):
    seen = []
    with Extraction(
        scene, plan_shots(scene, (1, 3))[0], Prompt("x"), (32, 32), True, reference_samples=1
    ) as extraction:
        while True:
            seen.append((extraction.stage, extraction.done, extraction.total, round(extraction.fraction * 9)))
            if extraction.step():
                break
        assert (extraction.stage, extraction.done, extraction.fraction) == ("reference", 3, 1.0)
        assert extraction.step()  # once more does nothing
        assert extraction.shot().reference.shape == (3, 32, 32, 3)
    stages = [(stage, index) for stage in ("camera", "depth", "reference") for index in range(3)]
    assert seen == [(stage, done, 3, index) for index, (stage, done) in enumerate(stages)]


def test_markers_that_give_one_frame_are_left_out_and_named(scene):
    """A marker on the last frame, two on neighbouring frames, one made so by the frame step: the others are shots."""
    scene.timeline_markers.clear()
    cameras = [add_camera(scene, f"c{i}") for i in range(4)]
    for frame, camera in zip((1, 5, 6, 10), cameras, strict=True):
        mark(scene, frame, camera)
    names = [marker.name for marker in sorted(scene.timeline_markers, key=lambda marker: marker.frame)]
    plans = plan_shots(scene, (1, 10))
    assert [(plan.camera, plan.frames[0], plan.frames[-1]) for plan in plans] == [("c0", 1, 4), ("c2", 6, 9)]
    assert one_frame_shots(scene, (1, 10)) == ((names[1], 5), (names[3], 10))
    scene.frame_step = 4
    assert [(plan.camera, plan.frames) for plan in plan_shots(scene, (1, 21))] == [("c3", (13, 17, 21))]
    assert one_frame_shots(scene, (1, 21)) == ((names[0], 1), (names[1], 5), (names[2], 9))
    scene.frame_step = 1
    assert one_frame_shots(scene, (1, 4)) == ()
    with pytest.raises(FarplaneError, match="frames: a shot of 1 frame"):
        plan_shots(scene, (10, 10))


def test_a_camera_that_is_named_and_one_of_the_same_name(scene, tmp_path):
    """Over the whole range, whatever markers say; and the linked twin is not the local one."""
    main, other = bpy.data.objects["main"], add_camera(scene, "other")
    mark(scene, 1, main)
    (plan,) = plan_shots(scene, (1, 8), other)
    assert (plan.camera, plan.frames) == ("other", tuple(range(1, 9)))
    assert plan_camera(scene, plan) == other
    bpy.data.libraries.write(str(tmp_path / "other.blend"), {other})
    with bpy.data.libraries.load(str(tmp_path / "other.blend"), link=True) as (_, into):
        into.objects = ["other"]
    twin = into.objects[0]
    scene.collection.objects.link(twin)
    assert twin.name == other.name
    for camera in (twin, other):
        assert plan_camera(scene, plan_shots(scene, (1, 8), camera)[0]) == camera


# -- refused before any work ------------------------------------------------------------------------------------------


def test_no_camera(scene):
    scene.camera = None
    with pytest.raises(FarplaneError, match="camera: the scene has none"):
        plan_shots(scene)


def test_a_thing_that_is_no_camera(scene):
    scene.camera = bpy.data.objects["Plane"]
    with pytest.raises(FarplaneError, match="Plane is not a camera"):
        plan_shots(scene)


@pytest.mark.parametrize("kind", ["ORTHO", "PANO"])
def test_orthographic_and_panoramic_cameras(scene, kind):
    scene.camera.data.type = kind
    with pytest.raises(FarplaneError, match="camera: main is no perspective camera"):
        plan_shots(scene)
    mark(scene, 1, add_camera(scene, "fine"))
    mark(scene, 5, bpy.data.objects["main"])  # not scene.camera: the first marker has switched it
    with pytest.raises(FarplaneError, match="camera: main is no perspective camera"):
        plan_shots(scene)


@pytest.mark.parametrize(("frames", "words"), [((1, 1), "1 frame"), ((1, 10_000), "more than"), ((5, 2), "empty")])
def test_one_frame_ten_thousand_frames_and_none(scene, frames, words):
    with pytest.raises(FarplaneError, match=f"frames: .*{words}"):
        plan_shots(scene, frames)
    if frames[1] >= frames[0]:
        scene.frame_start, scene.frame_end = frames
        with pytest.raises(FarplaneError, match=f"frames: .*{words}"):
            plan_shots(scene)


@pytest.mark.parametrize("size", [(0, 48), (64, 32768), (32768, 32768), (16, 16)])
def test_resolutions_no_plate_can_have(scene, size):
    (plan,) = plan_shots(scene)
    with pytest.raises(FarplaneError, match="resolution"):
        Extraction(scene, plan, Prompt("x"), size)
    assert len(bpy.data.scenes) == 1


def test_the_scenes_own_odd_resolution(scene):
    scene.render.resolution_x, scene.render.resolution_percentage = 129, 50
    with pytest.raises(FarplaneError, match="resolution: 64x24 is out of range"):
        Extraction(scene, plan_shots(scene)[0], Prompt("x"))


@pytest.mark.parametrize("text", ["", "   ", "x" * 100_000])
def test_prompts_that_say_nothing_or_everything(scene, text):
    with pytest.raises(FarplaneError, match="prompt"):
        Extraction(scene, plan_shots(scene)[0], Prompt(text))
    assert len(bpy.data.scenes) == 1


def test_a_matrix_of_nan(scene):
    scene.camera.delta_location[0] = float("nan")
    with Extraction(scene, plan_shots(scene)[0], Prompt("x")) as extraction, pytest.raises(FarplaneError, match="NaN"):
        extraction.step()


def test_nothing_in_front_of_the_camera_is_a_shot_of_sky(scene):
    bpy.data.objects["Plane"].hide_render = True
    assert np.isinf(extract(scene, plan_shots(scene, (1, 2))[0]).depth.z).all()


def test_an_undo_under_way_is_told(scene):
    """What an undo does to an extraction: its stand-in is gone."""
    with Extraction(scene, plan_shots(scene)[0], Prompt("x")) as extraction:
        extraction.step()
        from farplane.addon import passes

        passes.remove_leftovers()
        with pytest.raises(FarplaneError, match="undo"):
            extraction.step()
