"""The example scenes: small files that the add-on reads, whose cameras move as their names say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
from farplane.addon.scene import Extraction, plan_shots  # noqa: E402

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
NAMES = ("valley_dolly", "coast_crane", "street_push_in")


def read(name, size=(56, 32)):
    bpy.ops.wm.open_mainfile(filepath=str(EXAMPLES / f"{name}.blend"), load_ui=False)
    scene = bpy.context.scene
    (plan,) = plan_shots(scene)
    with Extraction(scene, plan, None, size, engine="BLENDER_WORKBENCH") as extraction:
        while not extraction.step():
            pass
        return scene, extraction.shot()


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_a_shot(name):
    path = EXAMPLES / f"{name}.blend"
    assert path.stat().st_size < 300_000
    scene, shot = read(name)
    assert (scene.render.resolution_x, scene.render.resolution_y) == (448, 256)
    assert shot.frames == tuple(range(1, 26))
    assert shot.fps == 24
    assert scene["farplane_prompt"]
    assert not [image for image in bpy.data.images if image.source == "FILE"]  # nothing from outside
    hit = np.isfinite(shot.depth.z)
    assert 0.25 < hit.mean() < 0.98  # a blockout with sky above it
    # Parallax: the camera's path is a fair part of the distance to what is near.
    path_length = np.linalg.norm(np.diff(shot.camera.world_from_camera[:, :3, 3], axis=0), axis=1).sum()
    assert path_length > 0.15 * np.quantile(shot.depth.z[hit], 0.1)


def test_the_crane_changes_its_focal_length():
    _, shot = read("coast_crane")
    focal = shot.camera.K[:, 0, 0]
    assert (np.diff(focal) > 0).all()
    assert focal[-1] / focal[0] == pytest.approx(40 / 28)
    rise = np.diff(shot.camera.world_from_camera[:, 2, 3])
    assert (rise > 0).all()


def test_the_script_makes_what_stands_beside_it():
    """The street, made anew, has the file's cameras and depth."""
    spec = importlib.util.spec_from_file_location("make_examples", EXAMPLES / "make_examples.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _, kept = read("street_push_in")
    module.SCENES["street_push_in"]()
    scene = bpy.context.scene
    with Extraction(scene, plan_shots(scene)[0], None, (56, 32), engine="BLENDER_WORKBENCH") as extraction:
        while not extraction.step():
            pass
        made = extraction.shot()
    np.testing.assert_allclose(made.camera.K, kept.camera.K)
    np.testing.assert_allclose(made.camera.world_from_camera, kept.camera.world_from_camera, atol=1e-6)
    np.testing.assert_allclose(made.depth.z, kept.depth.z, rtol=1e-4)
