"""Volumes never eat the depth: with any fog, depth and colours are those of the scene without it.

The truth is the artist's own F12 of the scene from which the fog is deleted (own_render.py), and the colour that the
materials were given.  Fog at one sample ends rays at random, so anything but an equal picture is a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
from own_render import SIZE, box, empty_scene, f12, link, mesh, output_of, paint, shot_of  # noqa: E402

from farplane.addon.materials import only_cycles_shows  # noqa: E402
from farplane.addon.passes import PassRenderer  # noqa: E402
from farplane.addon.scene import Extraction, plan_shots, read_camera  # noqa: E402

SAME_RAY = 1e-5  # one float32 ray through a pixel's centre in both renders
WORKBENCH = 1e-4  # steps of a depth buffer that begins at 0.1 m, at 30 m


@pytest.fixture
def scene() -> Any:
    """A ground and a box, painted; what is added to it is fog."""
    scene = empty_scene()
    bpy.data.objects["ground"].data.materials.append(paint("grass", (0.1, 0.5, 0.05)))
    box("house", 2, (0, 0, 1)).data.materials.append(paint("brick", (0.7, 0.1, 0.05)))
    return scene


def fog(density: float = 0.05, name: str = "fog", shader: str = "ShaderNodeVolumePrincipled") -> Any:
    """A material with this volume and no surface."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.remove(tree.nodes["Principled BSDF"])
    node = tree.nodes.new(shader)
    node.inputs["Density"].default_value = density
    tree.links.new(node.outputs[0], output_of(material).inputs["Volume"])
    return material


def around(material: Any, size: float = 30.0, name: str = "fog", into: Any = None) -> Any:
    """A box of fog; from 17 m up the camera stands in it."""
    thing = box(name, size, (0, 0, 0), into)
    thing.data.materials.append(material)
    return thing


def thin(scene: Any) -> None:
    around(fog(0.003))


def thick(scene: Any) -> None:
    around(fog(20.0))


def seen_from_outside(scene: Any) -> None:
    around(fog(0.5, shader="ShaderNodeVolumeScatter"), 5.0)


def nested(scene: Any) -> None:
    """Twenty boxes: more walls than a ray has transparent bounces."""
    scene.cycles.transparent_max_bounces = 4
    for index in range(20):
        around(fog(0.05, f"fog {index}"), 3.0 + index, f"fog {index}")


def animated(scene: Any) -> None:
    """Density by keys, and a box that drifts in front of the camera."""
    material = fog(0.0)
    density = next(n for n in material.node_tree.nodes if "Density" in n.inputs).inputs["Density"]
    thing = around(material, 6.0)
    for frame, value, y in ((1, 0.01, 3.0), (2, 3.0, -4.5)):
        density.default_value, thing.location.y = value, y
        density.keyframe_insert("default_value", frame=frame)
        thing.keyframe_insert("location", frame=frame)


def grouped(scene: Any) -> None:
    """The volume comes out of a node group, by way of noise and a reroute."""
    material = fog()
    tree = material.node_tree
    group = bpy.data.node_groups.new("mist", "ShaderNodeTree")
    group.interface.new_socket("Volume", in_out="OUTPUT", socket_type="NodeSocketShader")
    inner, noise = group.nodes.new("ShaderNodeVolumePrincipled"), group.nodes.new("ShaderNodeTexNoise")
    group.links.new(noise.outputs[0], inner.inputs["Density"])
    group.links.new(inner.outputs[0], group.nodes.new("NodeGroupOutput").inputs[0])
    node, reroute = tree.nodes.new("ShaderNodeGroup"), tree.nodes.new("NodeReroute")
    node.node_tree = group
    tree.links.new(node.outputs[0], reroute.inputs[0])
    tree.links.new(reroute.outputs[0], output_of(material).inputs["Volume"])
    around(material)


def instanced(scene: Any) -> None:
    kit = bpy.data.collections.new("weather")
    around(fog(0.1), into=kit)
    empty = link(bpy.data.objects.new("weather", None))
    empty.instance_type, empty.instance_collection, empty.scale = "COLLECTION", kit, (0.5, 1, 1)


def with_a_surface(scene: Any) -> None:
    """The house's own material gets a volume inside: it keeps its surface and its colour."""
    material = bpy.data.materials["brick"]
    tree = material.node_tree
    tree.links.new(tree.nodes.new("ShaderNodeVolumeScatter").outputs[0], output_of(material).inputs["Volume"])


def with_a_clear_surface(scene: Any) -> None:
    """A Transparent BSDF around it, which hides nothing."""
    material = fog(1.0)
    tree = material.node_tree
    clear = tree.nodes.new("ShaderNodeBsdfTransparent")
    tree.links.new(clear.outputs[0], output_of(material).inputs["Surface"])
    around(material, 5.0)


def by_the_layers_override(scene: Any) -> None:
    """A second view layer shows all in a material of fog: the first one's surfaces are the nearest."""
    scene.view_layers.new("mist").material_override = fog(0.1)


def some_faces(scene: Any) -> None:
    """One mesh, of which some faces are fog and the others are paint: the house has an open side of fog."""
    house = bpy.data.objects["house"]
    for at, one in (((0, -3, 1), "gone"), ((0, 8, 1), "gone too")):
        around(fog(0.3, one), 1.0, one).location = at
    house.data.materials.append(fog(2.0, "inside"))  # a second slot that no face shows


def by_nodes(scene: Any) -> None:
    """Volumes that geometry nodes make, which have no mesh: one with a material of theirs, one without."""
    for index, material in enumerate((None, fog(0.1))):
        tree = bpy.data.node_groups.new(f"cloud {index}", "GeometryNodeTree")
        tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
        cube, end = tree.nodes.new("GeometryNodeVolumeCube"), tree.nodes.new("NodeGroupOutput")
        cube.inputs["Min"].default_value, cube.inputs["Max"].default_value = (-15, -15, -5), (15, 15, 9)
        last = cube
        if material is not None:
            last = tree.nodes.new("GeometryNodeSetMaterial")
            last.inputs["Material"].default_value = material
            tree.links.new(cube.outputs[0], last.inputs[0])
        tree.links.new(last.outputs[0], end.inputs[0])
        data = bpy.data.volumes.new("cloud") if index else bpy.data.meshes.new("cloud")
        link(bpy.data.objects.new(f"fog {index}", data)).modifiers.new("cloud", "NODES").node_group = tree


def by_override(scene: Any) -> None:
    """The material comes by a node that sets it on a mesh."""
    material = fog(0.2)
    tree = bpy.data.node_groups.new("set", "GeometryNodeTree")
    for way in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
    begin, node, end = (tree.nodes.new(n) for n in ("NodeGroupInput", "GeometryNodeSetMaterial", "NodeGroupOutput"))
    node.inputs["Material"].default_value = material
    tree.links.new(begin.outputs[0], node.inputs["Geometry"])
    tree.links.new(node.outputs[0], end.inputs[0])
    box("fog", 30, (0, 0, 0)).modifiers.new("set", "NODES").node_group = tree


def of_the_world(scene: Any) -> None:
    scene.world = bpy.data.worlds.new("mist")
    scene.world.use_nodes = True
    tree = scene.world.node_tree
    output = next(node for node in tree.nodes if node.bl_idname == "ShaderNodeOutputWorld")
    tree.links.new(tree.nodes.new("ShaderNodeVolumeScatter").outputs[0], output.inputs["Volume"])


FOGS = [
    thin, thick, seen_from_outside, nested, animated, grouped, instanced, with_a_surface, with_a_clear_surface,
    by_the_layers_override, some_faces, by_nodes,
    by_override, of_the_world,
]  # fmt: skip


def named(function: Callable[..., Any]) -> str:
    return function.__name__


def check_depth(z: Any, truth: Any, tolerance: float) -> None:
    np.testing.assert_array_equal(np.isfinite(z), np.isfinite(truth))
    np.testing.assert_allclose(z, truth, rtol=tolerance)


@pytest.mark.parametrize("arrange", FOGS, ids=named)
def test_depth_and_colours_are_those_without(scene: Any, tmp_path: Path, arrange: Any) -> None:
    clear = {frame: f12(scene, frame, tmp_path)["z"] for frame in (1, 2)}
    plain = shot_of(scene, colours=True)
    codes = plain.base_colour[plain.base_colour[..., 3] > 0][:, :3]
    assert {tuple(code) for code in codes} == {(89, 188, 63), (218, 89, 63)}  # (.1, .5, .05) and (.7, .1, .05) in sRGB
    arrange(scene)
    shot = shot_of(scene, colours=True)
    for index, frame in enumerate((1, 2)):
        check_depth(shot.depth.z[index], clear[frame], SAME_RAY)
    np.testing.assert_array_equal(shot.base_colour, plain.base_colour)
    check_depth(shot_of(scene).depth.z[1], clear[2], SAME_RAY)  # without colours: another pass
    if arrange is not of_the_world:
        assert only_cycles_shows(scene), "in a window Cycles comes first"


@pytest.mark.parametrize("arrange", [thick, nested, animated, instanced, by_nodes, with_a_surface], ids=named)
def test_in_workbench_fog_is_no_wall(scene: Any, arrange: Any) -> None:
    """Where Cycles cannot run; of what an object tells."""
    view = read_camera(scene, scene.camera, 1)

    def depth() -> Any:
        with PassRenderer(scene, *SIZE, "BLENDER_WORKBENCH") as passes:
            passes.use_own_camera()
            return passes.depth(view)

    clear = depth()
    arrange(scene)
    bpy.context.view_layer.update()
    check_depth(depth(), clear, WORKBENCH)


def test_the_artists_materials_and_undo_know_nothing_of_it(scene: Any, tmp_path: Path) -> None:
    """Links and nodes are as they were, no step of undo is added, and F12 shows the fog as before."""
    thick(scene)
    with_a_surface(scene)
    trees = [material.node_tree for material in bpy.data.materials if material.node_tree] + list(bpy.data.node_groups)

    def wiring() -> Any:
        return [
            (
                [(node.name, node.mute) for node in tree.nodes],
                [(link.from_socket.path_from_id(), link.to_socket.path_from_id()) for link in tree.links],
            )
            for tree in trees
        ]

    indices = [material.pass_index for material in bpy.data.materials]
    before, seen = wiring(), f12(scene, 1, tmp_path)["z"]
    with Extraction(scene, plan_shots(scene)[0], size=SIZE, colours=True) as extraction:
        while not extraction.step():
            assert wiring() == before
    assert wiring() == before
    assert [material.pass_index for material in bpy.data.materials] == indices
    np.testing.assert_array_equal(f12(scene, 1, tmp_path)["z"], seen)
    assert np.isinf(seen).mean() > 0.7, "the fog ends most rays of the artist's own; the sky alone is a third"


def test_an_artists_own_handler_may_change_the_fog_every_frame(scene: Any, tmp_path: Path) -> None:
    clear = f12(scene, 2, tmp_path)["z"]
    material = fog()
    around(material)
    density = next(n for n in material.node_tree.nodes if "Density" in n.inputs).inputs["Density"]

    def handler(scene: Any, depsgraph: Any = None) -> None:
        density.default_value = scene.frame_current * 0.1

    bpy.app.handlers.frame_change_post.append(handler)
    try:
        shot = shot_of(scene, colours=True)
    finally:
        bpy.app.handlers.frame_change_post.remove(handler)
    check_depth(shot.depth.z[1], clear, SAME_RAY)


def test_a_mesh_of_fog_and_of_paint_shows_its_paint(scene: Any, tmp_path: Path) -> None:
    """A quad of paint beside a quad of fog, in one mesh and before the house."""
    corners = [(-2, -3, 0), (0, -3, 0), (0, -3, 3), (-2, -3, 3), (2, -3, 0), (2, -3, 3)]
    painted = mesh("paint", corners, [(0, 1, 2, 3)])
    painted.data.materials.append(bpy.data.materials["brick"])
    clear = f12(scene, 1, tmp_path)["z"]
    bpy.data.objects.remove(painted)
    both = mesh("both", corners, [(0, 1, 2, 3), (1, 4, 5, 2)])
    both.data.materials.append(bpy.data.materials["brick"])
    both.data.materials.append(fog(5.0))
    both.data.polygons[1].material_index = 1
    check_depth(shot_of(scene).depth.z[0], clear, SAME_RAY)
