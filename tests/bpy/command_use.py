"""What the tests of the command share: a scene of a floor and a box, saved as a file."""

from __future__ import annotations

import pytest

bpy = pytest.importorskip("bpy")


def build(path, frames=(1, 4), cameras=1, size=(64, 48), compress=False):
    """A floor and a box under one camera, or one camera per marker; saved to `path`."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = frames
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.render.fps, scene.render.fps_base = 24, 1.001
    bpy.ops.mesh.primitive_plane_add(size=200)
    bpy.ops.mesh.primitive_cube_add(location=(0, 0, 1))
    for index in range(cameras):
        camera = bpy.data.objects.new(f"cam {index}", bpy.data.cameras.new(f"cam {index}"))
        camera.location, camera.rotation_euler = (index, -9, 3), (1.3, 0, 0)
        camera.keyframe_insert("location", frame=frames[0])
        camera.location.x += 1
        camera.keyframe_insert("location", frame=frames[1])
        scene.collection.objects.link(camera)
        scene.camera = scene.camera or camera
        if cameras > 1:
            scene.timeline_markers.new(f"shot {index}", frame=frames[0] + 3 * index).camera = camera
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=compress)
    return path


@pytest.fixture
def blend(tmp_path):
    return build(tmp_path / "street.blend")
