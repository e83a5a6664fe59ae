"""A take baked onto meshes: the picture where it belongs, grey where the camera did not see, and nothing left of it.

One frame of a plate whose pixels tell where they are (red is u, green is v), seen by a camera that is shifted and not
square on.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from bpy_extras.object_utils import world_to_camera_view  # noqa: E402

from farplane.addon import landing  # noqa: E402
from farplane.addon.camera import intrinsics, pinhole  # noqa: E402
from farplane.addon.exr import write_channel, write_rgb  # noqa: E402
from farplane.addon.landing import bake  # noqa: E402
from farplane.addon.scene import read_camera  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.addon.ui.places import shot_folder  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402

W, H = 64, 36
NEAR_WALL = 4.0  # metres: the depth that was sent in the left half of the frame


@pytest.fixture
def posed(scene: Any) -> Any:
    """A tilted, shifted camera over one large square, far larger than the frame."""
    camera = scene.camera
    camera.location, camera.rotation_euler = (1.0, -9.0, 4.0), (1.15, 0.05, 0.1)
    camera.data.lens, camera.data.shift_x = 40.0, 0.07
    scene.objects["Cube"].scale = (30, 30, 1)
    scene.world = None
    bpy.context.view_layer.update()
    return scene


def make_take(scene: Any, wall: bool = False) -> Take:
    camera = scene.camera
    view = read_camera(scene, camera, 11)
    sent = pinhole(view.matrix_world, intrinsics(view.lens, W, H))
    z = np.full((H, W), 1000.0, np.float32)
    if wall:
        z[:, : W // 2] = NEAR_WALL
    frames = [
        {"frame": n, "camera": "Camera", "K": sent.K.tolist(), "world_from_camera": sent.world_from_camera.tolist(),
         "depth": f"depth.{n:04d}.exr"}
        for n in (11, 13)
    ]  # fmt: skip
    take = Take.create(shot_folder(scene, "Scene") / "take 001", {"frames": frames, "resolution": [W, H]})
    row, column = np.mgrid[0:H, 0:W].astype(np.float32) + 0.5
    plate = np.stack([column / W, 1 - row / H, np.full((H, W), 0.5, np.float32)], axis=-1)
    for number in (11, 13):
        data = write_rgb(plate if number == 11 else plate * 0)
        take.write_frame(number, data, hashlib.sha256(data).hexdigest())
        (take.folder / f"depth.{number:04d}.exr").write_bytes(write_channel(z))
    take.finish()
    return take


def vertices(obj: Any) -> np.ndarray:
    """[N, 3]: what was baked."""
    mesh = obj.data
    out = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.attributes[bake.UVW].data.foreach_get("vector", out)
    return out.reshape(-1, 3)


def test_coordinates_are_blenders_own_projection(posed: Any) -> None:
    cube = posed.objects["Cube"]
    landing.land(posed, posed.camera, make_take(posed).folder, ["projection"], objects=[cube], baked=11)
    uvw = vertices(cube)
    for vertex, (u, v, w) in zip(cube.data.vertices, uvw, strict=True):
        wanted = world_to_camera_view(posed, posed.camera, cube.matrix_world @ vertex.co)
        assert w == pytest.approx(wanted.z, abs=1e-4)
        assert (u / w, v / w) == pytest.approx((wanted.x, wanted.y), abs=1e-4)


def test_the_picture_is_exact_on_a_face_that_is_larger_than_the_frame(posed: Any, render: Any) -> None:
    """Also at another frame of the scene: the baked one stays."""
    take = make_take(posed)
    landing.land(posed, posed.camera, take.folder, ["projection"], objects=[posed.objects["Cube"]], baked=11)
    posed.frame_set(13)
    seen = render(posed)
    row, column = np.mgrid[0:H, 0:W] + 0.5
    hit = seen[..., 2] > 0.25
    assert hit.sum() > 500
    # Inside the outermost pixels the plate is linear in u and v, so linear lookup gives them; half float has 11 bits.
    inner = hit & (column > 1) & (column < W - 1) & (row > 1) & (row < H - 1)
    assert np.abs(seen[..., 0] - column / W)[inner].max() < 2e-3
    assert np.abs(seen[..., 1] - (1 - row / H))[inner].max() < 2e-3


def test_what_the_camera_did_not_see_is_grey(posed: Any, render: Any) -> None:
    """Behind the wall that was sent, and outside the frame, looked at from farther back."""
    take = make_take(posed, wall=True)
    landing.land(posed, posed.camera, take.folder, ["projection"], objects=[posed.objects["Cube"]], baked=11)
    seen = render(posed)
    shown = seen[..., 2] > 0.25
    assert not shown[:, : W // 2 - 1].any(), "behind the wall"
    assert shown[H - 4 :, W // 2 + 1 :].all(), "beside it"
    posed.camera.data.lens = 20.0  # twice as wide
    wide = render(posed)[..., 2] > 0.25
    assert wide.sum() < 0.4 * shown.sum()
    assert not wide[:, : W // 4 - 1].any()
    assert not wide[:, 3 * W // 4 + 2 :].any()


def test_removal_leaves_the_mesh_as_before(posed: Any) -> None:
    cube = posed.objects["Cube"]
    cube.data.uv_layers.new(name="Own")
    before = [a.name for a in cube.data.attributes], [u.name for u in cube.data.uv_layers], len(cube.material_slots)
    folder = make_take(posed).folder
    landing.land(posed, posed.camera, folder, ["projection"], objects=[cube], baked=11)
    assert bake.UV_MAP in cube.data.uv_layers
    assert cube.data.uv_layers.active.name == "Own", "the artist's own map stays the active one"
    landing.land(posed, posed.camera, folder, ["projection"], objects=[cube])  # each frame again
    assert bake.UVW not in cube.data.attributes
    landing.land(posed, posed.camera, folder, ["projection"], objects=[cube], baked=13)
    landing.remove(posed, folder)
    after = [a.name for a in cube.data.attributes], [u.name for u in cube.data.uv_layers], len(cube.material_slots)
    assert after == before
    assert not [m for m in bpy.data.materials if "farplane_take" in m]
    assert not [i for i in bpy.data.images if "farplane_take" in i]


def test_what_cannot_be_baked_is_told_and_nothing_changes(posed: Any) -> None:
    cube, folder = posed.objects["Cube"], make_take(posed).folder
    twin = bpy.data.objects.new("Twin", cube.data)
    posed.collection.objects.link(twin)
    with pytest.raises(FarplaneError, match="shares its mesh"):
        landing.land(posed, posed.camera, folder, ["projection"], objects=[cube], baked=11)
    twin.data = cube.data.copy()
    with pytest.raises(FarplaneError, match="no camera for this frame"):
        landing.land(posed, posed.camera, folder, ["projection"], objects=[cube, twin], baked=12)
    assert landing.landed(posed) == []
    assert bake.UVW not in cube.data.attributes
    assert not [m for m in bpy.data.materials if "farplane_take" in m]


def test_the_button_bakes_the_current_frame(posed: Any) -> None:
    folder = make_take(posed).folder
    posed.frame_set(12)
    bpy.ops.farplane.land(folder=str(folder), kinds={"projection"}, bake=True)
    material = posed.objects["Cube"].material_slots[0].material
    assert material[bake.UVW] == 11
    posed.frame_set(200)
    bpy.ops.farplane.land(folder=str(folder), kinds={"projection"}, bake=True)
    assert posed.objects["Cube"].material_slots[0].material[bake.UVW] == 13
