"""Notes of a shot, in one line each: physics without a bake, stereo, what the clip end and transparent bounces cut off.

Shares are held against Blender's own ray casts and renders of the same scene.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
from mathutils import Vector  # noqa: E402
from own_render import SIZE, box, empty_scene, f12, link, mesh, paint  # noqa: E402

from farplane.addon.notes import scene_notes  # noqa: E402
from farplane.addon.scene import Extraction, plan_shots  # noqa: E402


@pytest.fixture
def scene() -> Any:
    return empty_scene()


def read(scene: Any, **options: Any) -> tuple[list[str], Any]:
    """Notes, and the depth [T, H, W] that they are about."""
    with Extraction(scene, plan_shots(scene)[0], size=SIZE, **options) as extraction:
        while not extraction.step():
            pass
        return [*scene_notes(scene), *extraction.notes()], extraction.z


def share_in(note: str) -> float:
    """The percentage that a note names, as a share."""
    return float(note.partition("%")[0].split()[-1]) / 100


def test_a_plain_scene_has_none(scene: Any) -> None:
    box("box", 2, (0, 0, 1))
    notes, _ = read(scene)
    assert notes == []


# -- physics and stereo -----------------------------------------------------------------------------------------------


def cloth(scene: Any) -> str:
    box("curtain", 2, (0, 0, 1)).modifiers.new("folds", "CLOTH")
    return "curtain: folds"


def soft_body(scene: Any) -> str:
    box("jelly", 2, (0, 0, 1)).modifiers.new("soft", "SOFT_BODY")
    return "jelly: soft"


def fluid(scene: Any) -> str:
    box("sea", 2, (0, 0, 1)).modifiers.new("domain", "FLUID").fluid_type = "DOMAIN"
    return "sea: domain"


def particles(scene: Any) -> str:
    box("chimney", 2, (0, 0, 1)).modifiers.new("smoke", "PARTICLE_SYSTEM")
    return "chimney: smoke"


def moving_hair(scene: Any) -> str:
    thing = box("dog", 2, (0, 0, 1))
    thing.modifiers.new("fur", "PARTICLE_SYSTEM")
    thing.particle_systems[0].settings.type = "HAIR"
    assert scene_notes(scene) == []  # combed, and at rest
    thing.particle_systems[0].use_hair_dynamics = True
    return "dog: fur"


def rigid_body(scene: Any) -> str:
    bpy.ops.rigidbody.world_add()
    bodies = bpy.data.collections.new("bodies")
    scene.rigidbody_world.collection = bodies
    thing = box("crate", 2, (0, 0, 1))
    bodies.objects.link(thing)
    thing.rigid_body.type = "PASSIVE"
    assert scene_notes(scene) == []
    thing.rigid_body.type = "ACTIVE"
    return "rigid bodies"


def simulation_zone(scene: Any) -> str:
    tree = bpy.data.node_groups.new("zone", "GeometryNodeTree")
    for way in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
    first, last = tree.nodes.new("GeometryNodeSimulationInput"), tree.nodes.new("GeometryNodeSimulationOutput")
    first.pair_with_output(last)
    tree.links.new(tree.nodes.new("NodeGroupInput").outputs[0], first.inputs["Geometry"])
    tree.links.new(first.outputs["Geometry"], last.inputs["Geometry"])
    tree.links.new(last.outputs["Geometry"], tree.nodes.new("NodeGroupOutput").inputs[0])
    box("grass", 2, (0, 0, 1)).modifiers.new("grows", "NODES").node_group = tree
    return "grass: grows"


def in_an_instance(scene: Any) -> str:
    kit = bpy.data.collections.new("kit")
    box("flag", 2, (0, 0, 1), kit).modifiers.new("waves", "CLOTH")
    empty = link(bpy.data.objects.new("kit", None))
    empty.instance_type, empty.instance_collection = "COLLECTION", kit
    return "flag: waves"


LOOSE = [cloth, soft_body, fluid, particles, moving_hair, rigid_body, simulation_zone, in_an_instance]


@pytest.mark.parametrize("physics", LOOSE, ids=lambda physics: physics.__name__)
def test_physics_without_a_bake_are_named(scene: Any, physics: Any) -> None:
    name = physics(scene)
    (note,) = scene_notes(scene)
    assert name in note
    assert note.startswith("physics")
    assert "bake" in note
    for thing in bpy.data.objects:
        thing.hide_render = True
    assert scene_notes(scene) == ([note] if physics is rigid_body else []), "what does not render needs no note"


@pytest.mark.parametrize(
    "physics", [cloth, soft_body, particles, simulation_zone], ids=lambda physics: physics.__name__
)
def test_baked_physics_are_not(scene: Any, tmp_path: Path, physics: Any) -> None:
    """Baked as the artist's button does it."""
    physics(scene)
    scene.frame_start, scene.frame_end = 1, 3
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    scene = bpy.context.scene
    if physics is simulation_zone:
        thing = bpy.data.objects["grass"]
        modifier = thing.modifiers["grows"]
        if hasattr(modifier, "bake_target"):
            modifier.bake_target = "DISK"
        bpy.context.view_layer.objects.active = thing
        bpy.ops.object.geometry_node_bake_single(
            session_uid=thing.session_uid, modifier_name="grows", bake_id=modifier.bakes[0].bake_id
        )
    else:
        bpy.ops.ptcache.bake_all(bake=True)
    assert scene_notes(scene) == []


def test_many_simulations_are_one_line(scene: Any) -> None:
    for index in range(5):
        box(f"flag {index}", 1, (index, 0, 1)).modifiers.new("Cloth", "CLOTH")
    (note,) = scene_notes(scene)
    assert "physics without a bake (flag 0: Cloth, flag 1: Cloth, flag 2: Cloth and 2 more)" in note


def test_stereo_is_told_and_the_camera_between_the_eyes_is_sent(scene: Any) -> None:
    _, plain = read(scene)
    scene.render.use_multiview = True
    scene.camera.data.stereo.interocular_distance = 3.0
    notes, depth = read(scene)
    assert [note.partition(":")[0] for note in notes] == ["stereo"]
    np.testing.assert_array_equal(depth, plain)


# -- what is cut off --------------------------------------------------------------------------------------------------


def seen_share(scene: Any, nearest: float, far: float) -> float:
    """The share of pixels whose centre's ray meets something between these depths, by Blender's own ray cast."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    camera = scene.camera.evaluated_get(depsgraph)
    corner = [camera.matrix_world.to_3x3() @ point for point in camera.data.view_frame(scene=scene)]
    top_right, bottom_left, top_left = corner[0], corner[2], corner[3]
    eye, forward = camera.matrix_world.translation, camera.matrix_world.to_3x3() @ Vector((0, 0, -1))
    found = 0
    for row in range(SIZE[1]):
        for column in range(SIZE[0]):
            across, down = (column + 0.5) / SIZE[0], (row + 0.5) / SIZE[1]
            ray = (top_left + (top_right - top_left) * across + (bottom_left - top_left) * down).normalized()
            hit, place, *_ = scene.ray_cast(depsgraph, eye, ray)
            found += bool(hit and nearest <= (place - eye).dot(forward) < far)
    return found / (SIZE[0] * SIZE[1])


@pytest.mark.parametrize("engine", ["CYCLES", "BLENDER_WORKBENCH"])
def test_what_the_clip_end_cuts_off_is_told_as_a_share(scene: Any, engine: Any) -> None:
    box("tower", 8, (6, 30, 4))
    scene.camera.data.clip_end = 15
    notes, z = read(scene, engine=engine)
    assert np.isfinite(z).any()
    (note,) = notes
    assert "clip end (15)" in note
    # The share is written with two digits, and a pixel on an edge may fall either way.
    assert share_in(note) == pytest.approx(seen_share(scene, 15, math.inf), abs=0.01)
    scene.camera.data.clip_end = 1000
    assert read(scene, engine=engine)[0] == []


def test_cards_behind_more_cards_than_cycles_passes_are_told(scene: Any, tmp_path: Path) -> None:
    """Twelve cut-out cards before a wall: Cycles stops at the eighth or so, which its own depth has, too."""
    material = paint("leaf")
    material.node_tree.nodes["Principled BSDF"].inputs["Alpha"].default_value = 0.0
    for index in range(12):
        card = mesh(f"card {index}", [(-9, 0, 0), (0, 0, 0), (0, 0, 9), (-9, 0, 9)], [(0, 1, 2, 3)])
        card.location.y = -5 + 0.3 * index
        card.data.materials.append(material)
    mesh("wall", [(-30, 9, -1), (30, 9, -1), (30, 9, 40), (-30, 9, 40)], [(0, 1, 2, 3)])
    scene.cycles.transparent_max_bounces = 8
    notes, z = read(scene)
    own = f12(scene, 1, tmp_path)["z"]
    np.testing.assert_allclose(z[0], own, rtol=1e-5)
    (note,) = notes
    assert "more than 8 transparent surfaces" in note
    scene.cycles.transparent_max_bounces = 32
    stopped = (f12(scene, 1, tmp_path)["z"] > 1.01 * own).mean()
    assert 0.2 < stopped < 0.6
    assert share_in(note) == pytest.approx(stopped, abs=0.006)  # it is written to a percent
    assert read(scene)[0] == []
