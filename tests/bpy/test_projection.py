"""The plate on the geometry, looked at from elsewhere: where the shot's camera saw it, and nowhere else.

A shot of a floor, a wall and a box by a camera that moves and zooms; the plate's pixels tell where they are (red is u,
green is v).  What another camera then sees is compared, pixel for pixel, with Blender's own projection
(world_to_camera_view) and Blender's own ray casts from the shot's camera.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from bpy_extras.object_utils import world_to_camera_view  # noqa: E402
from mathutils import Matrix, Vector  # noqa: E402

from farplane.addon import landing  # noqa: E402
from farplane.addon.exr import write_channel, write_rgb  # noqa: E402
from farplane.addon.scene import Extraction, plan_shots  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.addon.ui.places import shot_folder  # noqa: E402
from farplane.protocol.shotfile import depth_name, shot_to_json  # noqa: E402

W, H = 64, 36
OWN = 0.75  # blue of the objects' own material; the plate's is 0.25 there, and nothing else is blue


@pytest.fixture
def shot(scene: Any) -> Any:
    """The scene of the conftest, furnished, with a camera that moves and zooms over frames 11, 13, 15."""
    bpy.data.objects.remove(scene.objects["Cube"])
    scene.world = None
    scene.unit_settings.system, scene.unit_settings.scale_length = "METRIC", 0.5
    add("Floor", [(-9, -9, 0), (9, -9, 0), (9, 9, 0), (-9, 9, 0)], [(0, 1, 2, 3)])
    add("Wall", [(-9, 6, 0), (9, 6, 0), (9, 6, 6), (-9, 6, 6)], [(0, 1, 2, 3)])  # its normal points away from the shot
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (0, 2)]
    add("Box", corners, [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])
    camera = scene.camera
    for frame, x, lens in ((11, -3.0, 24.0), (15, 2.0, 30.0)):
        camera.location, camera.rotation_euler, camera.data.lens = (x, -8.0, 3.0), (1.35, 0.02, -x / 20), lens
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert("rotation_euler", frame=frame)
        camera.data.keyframe_insert("lens", frame=frame)
    camera.data.shift_x = 0.05
    other = bpy.data.objects.new("Other", bpy.data.cameras.new("Other"))
    other.data.lens = 20
    # From high on the right: the box's hidden side, what lies in its shadow, and floor outside the frame.
    other.matrix_world = (
        Matrix.Translation((7, -3, 5)) @ Vector((-0.75, 0.45, -0.55)).to_track_quat("-Z", "Y").to_matrix().to_4x4()
    )
    scene.collection.objects.link(other)
    bpy.context.view_layer.update()
    return scene


def add(name: str, corners: list, faces: list) -> Any:
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(corners, [], faces)
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(obj)
    mesh.materials.append(own_material())
    return obj


def own_material() -> Any:
    """Blue light, the same everywhere."""
    found = bpy.data.materials.get("Own")
    if found is not None:
        return found
    made = bpy.data.materials.new("Own")
    if made.node_tree is None:
        made.use_nodes = True
    nodes = made.node_tree.nodes
    nodes.clear()
    light, output = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeOutputMaterial")
    light.inputs["Color"].default_value = (0, 0, OWN, 1)
    made.node_tree.links.new(light.outputs[0], output.inputs["Surface"])
    return made


def take_of(scene: Any, depth: bool = True) -> Path:
    """A finished take of the scene as it is, its depth read by the add-on itself."""
    (plan,) = plan_shots(scene)
    with Extraction(scene, plan) as reading:
        while not reading.step():
            pass
        sent = reading.shot()
    names = {frame: depth_name(frame) for frame in sent.frames} if depth else None
    take = Take.create(shot_folder(scene, "Scene") / "take 001", shot_to_json(sent, names, plan.camera))
    row, column = np.mgrid[0:H, 0:W].astype(np.float32) + 0.5
    for index, frame in enumerate(sent.frames):
        plate = np.stack([column / W, 1 - row / H, np.full((H, W), 0.25, np.float32)], axis=-1)
        data = write_rgb(plate)
        take.write_frame(frame, data, hashlib.sha256(data).hexdigest())
        if names is not None:
            (take.folder / names[frame]).write_bytes(write_channel(sent.depth.z[index]))
    take.finish()
    return take.folder


def looked_at(scene: Any, camera: Any) -> list[tuple[int, int, Vector, Vector]]:
    """(row, column, point, normal of the visible side) of every pixel of `camera` that shows geometry."""
    graph = bpy.context.evaluated_depsgraph_get()
    origin = camera.matrix_world.translation
    corner = camera.data.view_frame(scene=scene)  # top right, bottom right, bottom left, top left
    right, down = corner[0] - corner[3], corner[2] - corner[3]
    found = []
    for row in range(H):
        for column in range(W):
            local = corner[3] + right * ((column + 0.5) / W) + down * ((row + 0.5) / H)
            way = (camera.matrix_world.to_3x3() @ local).normalized()
            hit, point, normal, *_ = scene.ray_cast(graph, origin, way)
            if hit:
                found.append((row, column, point, normal if normal.dot(way) < 0 else -normal))
    return found


def sight(scene: Any, camera: Any, point: Vector, normal: Vector) -> tuple[str, float, float]:
    """("seen", "unseen" or "unsure", u, v): whether `camera` sees that side of the point, by Blender's own means.

    Unsure is what lies within two of the plate's pixels of where that changes, or is seen at under 4 degrees.
    """
    graph = bpy.context.evaluated_depsgraph_get()
    u, v, w = world_to_camera_view(scene, camera, point)
    origin = camera.matrix_world.translation
    way = point - origin
    edge = max((abs(u - 0.5) - 0.5) * W, (abs(v - 0.5) - 0.5) * H)  # pixels over the frame's edge, negative inside
    facing = -way.normalized().dot(normal)
    if w < 0 or edge > 2 or facing < -0.07:
        return "unseen", u, v
    side, up = camera.matrix_world.to_3x3().col[0].normalized(), camera.matrix_world.to_3x3().col[1].normalized()
    step = 2 * w / W / (camera.data.lens / camera.data.sensor_width)  # two pixels at that depth
    hidden = []
    for right, upward in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
        along = (point + side * (right * step) + up * (upward * step) - origin).normalized()
        hit, at, *_ = scene.ray_cast(graph, origin, along)
        surface = way.dot(normal) / along.dot(normal)  # how far the point's own plane is along this ray
        hidden.append(hit and (at - origin).length < 0.9 * surface)
    if abs(edge) <= 2 or abs(facing) <= 0.07 or len(set(hidden)) > 1:
        return "unsure", u, v
    return ("unseen" if hidden[0] else "seen"), u, v


def compare(scene: Any, shot_camera: Any, looking: Any, picture: np.ndarray) -> dict[str, int]:
    """Check every pixel of what `looking` shows; return how many were seen, unseen, unsure."""
    count = {"seen": 0, "unseen": 0, "unsure": 0}
    for row, column, point, normal in looked_at(scene, looking):
        said, u, v = sight(scene, shot_camera, point, normal)
        count[said] += 1
        shown = picture[row, column]
        where = f"{said} at row {row}, column {column}: {shown}, u {u:.3f}, v {v:.3f}"
        if said == "seen":
            # Half float keeps 11 bits, and a ray cast's point is good to 1e-4 of the scene's size.
            assert np.abs(shown - (u, v, 0.25)).max() < 2e-3, where
        elif said == "unseen":
            np.testing.assert_allclose(shown, (0, 0, OWN), atol=1e-6, err_msg=where)
    return count


def test_only_what_the_shots_camera_saw_is_painted(shot: Any, render: Any) -> None:
    """From another camera, at a frame of the shot, one between, and one after it; wherever the shot's own goes."""
    ours, other = shot.camera, shot.objects["Other"]
    landing.land(shot, ours, take_of(shot), ["projection"])
    for frame, held in ((11, 11), (14, 13), (20, 15)):
        shot.frame_set(held)
        stays = ours.copy()  # where the shot's camera stood, without its animation
        stays.animation_data_clear()
        stays.data = ours.data.copy()
        stays.data.animation_data_clear()
        shot.collection.objects.link(stays)
        stays.matrix_world = ours.matrix_world.copy()
        shot.frame_set(frame)
        count = compare(shot, stays, other, render(shot, other))
        assert count["seen"] > 300, (frame, count)
        assert count["unseen"] > 300, (frame, count)
        assert count["unsure"] < 0.3 * sum(count.values()), (frame, count)


def test_through_the_shots_own_camera_all_of_it_is_the_plate(shot: Any, render: Any) -> None:
    """Also on the slopes of the floor far away, on faces that point away, and at the frame's edge."""
    landing.land(shot, shot.camera, take_of(shot), ["projection"])
    row, column = np.mgrid[0:H, 0:W] + 0.5
    for frame in (11, 13, 15):
        shot.frame_set(frame)
        picture = render(shot, shot.camera)
        hit = picture[..., 2] > 0.1
        assert hit.sum() > 1000
        assert picture[hit][:, 2].max() < 0.26, "the own material shows"
        assert np.abs(picture[..., 0] - column / W)[hit].max() < 2e-3
        assert np.abs(picture[..., 1] - (1 - row / H))[hit].max() < 2e-3


def test_without_depth_the_frame_and_the_side_still_count(shot: Any, render: Any) -> None:
    folder = take_of(shot, depth=False)
    ours, other = shot.camera, shot.objects["Other"]
    landing.land(shot, ours, folder, ["projection"])
    shot.frame_set(11)
    picture = render(shot, other)
    sides = outside = 0
    for row, column, point, normal in looked_at(shot, other):
        u, v, w = world_to_camera_view(shot, ours, point)
        facing = (ours.matrix_world.translation - point).normalized().dot(normal)
        beyond = w < 0 or max(abs(u - 0.5), abs(v - 0.5)) > 0.5 + 2 / H
        if facing < -0.07 or beyond:
            assert picture[row, column, 2] == pytest.approx(OWN)
            sides, outside = sides + (facing < -0.07), outside + beyond
    assert min(sides, outside) > 20


def test_the_camera_may_go(shot: Any, render: Any) -> None:
    """The cameras that were sent are in the material: the shot's own may move, or be deleted."""
    ours, other = shot.camera, shot.objects["Other"]
    folder = take_of(shot)
    landing.land(shot, ours, folder, ["projection"])
    shot.frame_set(13)
    before = render(shot, other)
    bpy.data.objects.remove(ours)
    np.testing.assert_array_equal(render(shot, other), before)


def names() -> dict[str, list[str]]:
    kinds = ("materials", "node_groups", "actions", "images")
    return {kind: sorted({block.name for block in getattr(bpy.data, kind)} - {"Render Result"}) for kind in kinds}


def test_reopened_it_is_the_same_and_goes_without_a_trace(shot: Any, render: Any) -> None:
    had = names()
    folder = take_of(shot)
    landing.land(shot, shot.camera, folder, ["projection"])
    shot.frame_set(13)
    before = render(shot, shot.objects["Other"])
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    scene = bpy.context.scene
    np.testing.assert_array_equal(render(scene, scene.objects["Other"]), before)
    landing.remove(scene, folder)
    assert names() == had
    assert all(obj.material_slots[0].material.name == "Own" for obj in scene.objects if obj.type == "MESH")


def test_undo_takes_it_back_and_redo_brings_it_again(shot: Any, render: Any) -> None:
    folder = take_of(shot)
    had = names()
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.farplane.land(folder=str(folder), kinds={"projection"})
    bpy.ops.ed.undo_push(message="landed")
    if not bpy.ops.ed.undo.poll():
        pytest.skip("this Blender has no undo in the background")
    shot.frame_set(13)
    with_it = render(shot, shot.objects["Other"])
    bpy.ops.ed.undo()
    scene = bpy.context.scene
    assert names() == had
    assert all(obj.material_slots[0].material.name == "Own" for obj in scene.objects if obj.type == "MESH")
    scene.frame_set(13)
    assert (render(scene, scene.objects["Other"])[..., 0] == 0).all(), "nothing of the plate is seen"
    bpy.ops.ed.redo()
    scene = bpy.context.scene
    scene.frame_set(13)
    np.testing.assert_array_equal(render(scene, scene.objects["Other"]), with_it)


def test_the_artists_own_material_is_not_touched(shot: Any) -> None:
    """Its nodes, its keys and its users: what shows where the camera did not see is a copy."""
    own = own_material()
    own.use_fake_user = True
    strength = own.node_tree.nodes["Emission"].inputs["Strength"]
    strength.keyframe_insert("default_value", frame=1)
    action = own.node_tree.animation_data.action
    users = action.users
    bpy.data.materials.remove(own.copy())
    miscounted = action.users - users  # by Blender itself: 4.2 counts a copy twice
    before = len(own.node_tree.nodes), action.users + miscounted, own.users
    folder = take_of(shot)
    landing.land(shot, shot.camera, folder, ["projection"])
    copy = shot.objects["Box"].material_slots[0].material
    assert copy != own
    assert copy == shot.objects["Wall"].material_slots[0].material, "one copy for all that share a material"
    assert len(own.node_tree.nodes) == before[0]
    landing.remove(shot, folder)
    assert (len(own.node_tree.nodes), action.users, own.users) == before
    assert [m.name for m in bpy.data.materials] == ["Own"]
