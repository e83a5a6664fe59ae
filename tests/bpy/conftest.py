"""A scene to send, the add-on registered, and a real backend whose pipeline is the service tests' painter.

The first word of the prompt says what the painter does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PAINTER = Path(__file__).parent.parent / "backend" / "service"
BOUND = 240.0  # seconds; only ends a hang on a starved machine


@pytest.fixture(scope="module")
def backend() -> Iterator[Any]:
    pytest.importorskip("typer", reason="the backend is not installed for this Python")
    from farplane.backend.private import private_backend

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(PAINTER), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
        patch.setenv("OMP_NUM_THREADS", "1")
        with private_backend("painter:paint") as running:
            running.published()
            yield running


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A saved scene with a camera and a square, and the add-on registered; nobody to talk to."""
    bpy = pytest.importorskip("bpy")
    import farplane
    from farplane.addon.ui import catalogue, estimate

    monkeypatch.setenv("FARPLANE_CONFIG", str(tmp_path / "config"))
    for module in (catalogue, estimate):
        monkeypatch.setattr(module, "user_folder", lambda name: tmp_path / "user" / name)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location = (0, 0, 10)
    mesh = bpy.data.meshes.new("Cube")
    mesh.from_pydata([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], [], [(0, 1, 2, 3)])
    for obj in (camera, bpy.data.objects.new("Cube", mesh)):
        scene.collection.objects.link(obj)
    scene.camera = camera
    scene.frame_start, scene.frame_end, scene.frame_step = 11, 15, 2
    scene.render.resolution_x, scene.render.resolution_y = 64, 36
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    farplane.register()
    scene.farplane.prompt, scene.farplane.size = "plain hills", "SCENE"
    yield scene
    farplane.unregister()


@pytest.fixture
def connected(scene: Any, backend: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same with somebody to talk to."""
    monkeypatch.setenv("FARPLANE_CONFIG", str(backend.config))
    scene.farplane.model_name = "/painter"  # a path: the backend judges it, whatever is installed there
    return scene


@pytest.fixture
def poll_until() -> Callable[[Callable[[], bool]], None]:
    """What the timer does, until something is so."""
    from farplane.addon.ui import panels
    from farplane.addon.ui.session import session

    def poll(wanted: Callable[[], bool]) -> None:
        deadline = time.monotonic() + BOUND
        while not wanted():
            assert time.monotonic() < deadline, f"{session.job} {session.message} {session.problem}"
            panels.tick()
            time.sleep(0.01)

    return poll


@pytest.fixture
def made(poll_until: Callable[..., None]) -> Callable[[], Path]:
    """Generate as the button does; the folder of the take that comes of it."""
    bpy = pytest.importorskip("bpy")
    from farplane.addon.ui.session import session

    def make() -> Path:
        bpy.ops.farplane.generate()
        poll_until(lambda: session.job is None)
        assert session.message is not None
        assert not session.message.is_error, session.message
        return session.takes[0].folder

    return make


@pytest.fixture
def render(tmp_path: Path) -> Callable[..., Any]:
    """(scene, camera) -> [H, W, 3] scene-linear, row 0 at the top: one ray through each pixel's centre, by Cycles.

    camera : which one looks, the scene's own if left out.
    """
    bpy = pytest.importorskip("bpy")
    import numpy as np

    def picture(scene: Any, camera: Any = None) -> Any:
        scene.camera = camera or scene.camera
        scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
        scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BLACKMAN_HARRIS", 0.01
        settings = scene.render.image_settings
        if hasattr(settings, "media_type"):
            settings.media_type = "IMAGE"
        settings.file_format, settings.color_depth, settings.color_mode = "OPEN_EXR", "32", "RGB"
        scene.render.filepath = str(tmp_path / "render.exr")
        bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(scene.render.filepath)
        image.colorspace_settings.is_data = True
        width, height = image.size
        pixels = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(pixels)
        bpy.data.images.remove(image)
        return pixels.reshape(height, width, 4)[::-1, :, :3]

    return picture
