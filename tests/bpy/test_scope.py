"""addon/scope.py: what is Foreground is not in the depth, to the bit as if it were deleted; nothing of it is written.

Each case builds a scene, says what is Foreground, and afterwards really deletes it: the depth that is sent must be
the depth of that scene, by Cycles at one sample.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from farplane.addon import scope  # noqa: E402
from farplane.addon.passes import PREFIX, PassRenderer, remove_leftovers  # noqa: E402
from farplane.addon.scene import read_camera  # noqa: E402

SIZE = (64, 40)


@pytest.fixture
def scene() -> Any:
    """A floor, a wall of the set in a collection, and a camera that looks at the middle."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    camera = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    camera.data.lens, camera.location, camera.rotation_euler = 24, (0, -12, 3), (math.radians(80), 0, 0)
    scene.collection.objects.link(camera)
    scene.camera = camera
    place = collection("Place")
    box("floor", (0, 0, -0.5), 0.5, place).scale = (40, 40, 1)
    box("wall", (0, 6, 2), 2, place).scale = (3, 0.2, 1)
    return scene


def collection(name: str, parent: Any = None) -> Any:
    made = bpy.data.collections.new(name)
    (parent or bpy.context.scene.collection).children.link(made)
    return made


def box(name: str, at: tuple[float, float, float], half: float = 0.8, into: Any = None) -> Any:
    mesh = bpy.data.meshes.new(name)
    corners = [(x * half, y * half, z * half) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh.from_pydata(corners, [], faces)
    obj = bpy.data.objects.new(name, mesh)
    obj.location = at
    (into or bpy.context.scene.collection).objects.link(obj)
    return obj


def instance(name: str, of: Any, at: tuple[float, float, float], into: Any = None) -> Any:
    empty = bpy.data.objects.new(name, None)
    empty.instance_type, empty.instance_collection, empty.location = "COLLECTION", of, at
    (into or bpy.context.scene.collection).objects.link(empty)
    return empty


def depth(scene: Any, frame: int = 1, engine: Any = "CYCLES") -> np.ndarray:
    """[H, W] of a frame as it is sent."""
    with PassRenderer(scene, *SIZE, engine) as passes:
        passes.scene.camera = scene.camera
        passes.scene.frame_set(frame)
        view = read_camera(passes.scene, scene.camera, frame)
        passes.use_own_camera()
        return passes.depth(view)


def one_object(scene: Any) -> tuple[list[Any], list[Any]]:
    hero = box("hero", (0, -4, 1))
    return [hero], [hero]


def one_of_a_shared_collection(scene: Any) -> tuple[list[Any], list[Any]]:
    hero = box("hero", (0, -4, 1), into=bpy.data.collections["Place"])
    return [hero], [hero]


def a_collection_and_its_children(scene: Any) -> tuple[list[Any], list[Any]]:
    hero = collection("Hero")
    parts = [box("body", (0, -4, 1), into=hero), box("hat", (0, -4, 2.4), 0.4, collection("Clothes", hero))]
    return [hero], parts


def also_in_another_collection(scene: Any) -> tuple[list[Any], list[Any]]:
    hero = collection("Hero")
    body = box("body", (0, -4, 1), into=hero)
    bpy.data.collections["Place"].objects.link(body)
    scene.collection.objects.link(body)
    return [hero], [body]


def a_child_collection_linked_twice(scene: Any) -> tuple[list[Any], list[Any]]:
    hero = collection("Hero")
    clothes = collection("Clothes", hero)
    bpy.data.collections["Place"].children.link(clothes)
    return [hero], [box("hat", (0, -4, 2), into=clothes)]


def an_instance_of_it(scene: Any) -> tuple[list[Any], list[Any]]:
    hero = bpy.data.collections.new("Hero")  # linked nowhere
    box("body", (0, 0, 1), into=hero)
    return [hero], [instance("hero here", hero, (0, -4, 0)), instance("hero there", hero, (3, -3, 0))]


def an_instance_of_one_that_holds_it(scene: Any) -> tuple[list[Any], list[Any]]:
    everything = bpy.data.collections.new("Everything")
    rock = box("rock", (2, 0, 1), into=everything)
    hero = bpy.data.collections.new("Hero")
    everything.children.link(hero)
    body = box("body", (0, 0, 1), into=hero)
    outer = instance("everything", everything, (0, -4, 0))
    outer.rotation_euler, outer.scale = (0, 0, 0.4), (0.8, 1.2, 1)
    assert rock
    return [hero], [body]


def an_instance_within_an_instance(scene: Any) -> tuple[list[Any], list[Any]]:
    props = bpy.data.collections.new("Props")
    box("table", (2, 0, 1), into=props)
    mug = box("mug", (0, 0, 2), 0.5, props)
    room = bpy.data.collections.new("Room")
    inner = instance("props", props, (0, 0.5, 0), room)
    inner.rotation_euler = (0, 0, 0.3)
    box("chair", (-3, 0, 0.6), into=room)
    instance("room", room, (0, -3, 0), bpy.data.collections["Place"]).scale = (1.1, 1, 0.9)
    return [mug], [mug]


def the_empty_that_instances(scene: Any) -> tuple[list[Any], list[Any]]:
    car = bpy.data.collections.new("Car")
    box("body", (0, 0, 1), into=car)
    mine = instance("my car", car, (0, -4, 0))
    instance("a parked car", car, (4, 0, 0))
    return [mine], [mine]


def its_particles(scene: Any) -> tuple[list[Any], list[Any]]:
    hero, flake = box("hero", (0, -4, 1)), box("flake", (0, 50, -30), 0.2)
    hero.modifiers.new("snow", "PARTICLE_SYSTEM")
    settings = hero.particle_systems[0].settings
    settings.count, settings.frame_start, settings.frame_end, settings.lifetime = 40, -20, 0, 200
    settings.render_type, settings.instance_object, settings.particle_size = "OBJECT", flake, 1.0
    return [hero], [hero]


def its_geometry_nodes(scene: Any) -> tuple[list[Any], list[Any]]:
    hero, leaf = box("hero", (0, -4, 1)), box("leaf", (0, 50, -30), 0.2)
    tree = bpy.data.node_groups.new("leaves", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    into, out = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    info, on = tree.nodes.new("GeometryNodeObjectInfo"), tree.nodes.new("GeometryNodeInstanceOnPoints")
    info.inputs["Object"].default_value = leaf
    tree.links.new(into.outputs[0], on.inputs["Points"])
    tree.links.new(info.outputs["Geometry"], on.inputs["Instance"])
    tree.links.new(on.outputs[0], out.inputs[0])
    hero.modifiers.new("leaves", "NODES").node_group = tree
    return [hero], [hero]


def what_it_repeats_on_its_faces(scene: Any) -> tuple[list[Any], list[Any]]:
    hero, spike = box("hero", (0, -4, 1)), box("spike", (0, 0, 0), 0.2)
    spike.parent, hero.instance_type = hero, "VERTS"
    return [hero], [hero, spike]


def scattered_by_the_set(scene: Any) -> tuple[list[Any], list[Any]]:
    """Hair of the floor that repeats an object, a collection of which a part is Foreground, and nodes that do the same."""
    leaf, clump = box("leaf", (0, 50, -30), 0.3), bpy.data.collections.new("clump")
    stone, flower = box("stone", (0, 0, 0), 0.3, clump), box("flower", (0, 0, 0.6), 0.3, clump)
    patch = plate_of_points("patch", (-3, -4, 0.2))
    patch.modifiers.new("leaves", "PARTICLE_SYSTEM")
    settings = patch.particle_systems[0].settings
    settings.type, settings.count, settings.use_advanced_hair, settings.render_type = "HAIR", 12, True, "OBJECT"
    settings.instance_object, settings.particle_size, settings.hair_length = leaf, 1.0, 1.0
    for name, kind, what, at in (
        ("leaves", "GeometryNodeObjectInfo", leaf, (0, -4, 0.2)),
        ("clumps", "GeometryNodeCollectionInfo", clump, (3, -4, 0.2)),
    ):
        tree = scatter_tree(name, kind, what)
        plate_of_points(name, at).modifiers.new(name, "NODES").node_group = tree
    assert stone
    return [leaf, flower], [leaf, flower]


def plate_of_points(name: str, at: tuple[float, float, float]) -> Any:
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(x, y, 0) for x in (-1, 0, 1) for y in (-1, 0, 1)], [], [(0, 1, 4, 3), (1, 2, 5, 4)])
    obj = bpy.data.objects.new(name, mesh)
    obj.location = at
    bpy.data.collections["Place"].objects.link(obj)
    return obj


def scatter_tree(name: str, kind: str, what: Any) -> Any:
    """Geometry nodes that put `what` on every point, and keep the points' own mesh."""
    tree = bpy.data.node_groups.new(name, "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    into, out = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    info, on = tree.nodes.new(kind), tree.nodes.new("GeometryNodeInstanceOnPoints")
    join = tree.nodes.new("GeometryNodeJoinGeometry")
    info.inputs[0].default_value = what
    if kind == "GeometryNodeObjectInfo":
        info.inputs["As Instance"].default_value = True
    tree.links.new(into.outputs[0], on.inputs["Points"])
    tree.links.new(info.outputs["Instances" if "Collection" in kind else "Geometry"], on.inputs["Instance"])
    tree.links.new(on.outputs[0], join.inputs[0])
    tree.links.new(into.outputs[0], join.inputs[0])
    tree.links.new(join.outputs[0], out.inputs[0])
    return tree


def of_several_view_layers(scene: Any) -> tuple[list[Any], list[Any]]:
    hero = collection("Hero")
    body = box("body", (0, -4, 1), into=hero)
    box("bush", (3, -3, 1), into=collection("Bushes"))
    second = scene.view_layers.new("second")
    scene.view_layers[0].layer_collection.children["Hero"].exclude = True
    second.layer_collection.children["Place"].exclude = True
    scene.view_layers[0].layer_collection.children["Bushes"].exclude = True
    return [hero], [body]


def beside_flags_of_layers(scene: Any) -> tuple[list[Any], list[Any]]:
    """One of the Foreground in every collection, so that all are rebuilt, and each keeps its own flag."""
    gone = []
    for index, flag in enumerate(("holdout", "indirect_only", "exclude", "hide_render", "")):
        own = collection(f"flag {flag}")
        inner = collection(f"inner {flag}", own)
        box(f"kept {flag}", (index * 2 - 4, -2, 1), 0.6, own)
        box(f"kept inside {flag}", (index * 2 - 4, -2, 3), 0.6, inner)
        gone.append(box(f"gone {flag}", (index * 2 - 4, -3, 1), 0.7, inner))
        layer = scene.view_layers[0].layer_collection.children[own.name]
        if flag == "hide_render":
            own.hide_render = True
        elif flag:
            setattr(layer, flag, True)
        if flag == "exclude":
            layer.children[inner.name].exclude = False  # under an excluded one, and shown
    return gone, gone


def of_the_background_set(scene: Any) -> tuple[list[Any], list[Any]]:
    behind = bpy.data.scenes.new("Behind")
    hills = bpy.data.collections.new("Hills")
    behind.collection.children.link(hills)
    box("hill", (-4, 2, 1), 1.5, hills)
    hero = box("extra", (2, -3, 1), into=hills)
    scene.background_set = behind
    return [hero], [hero]


CASES = (
    one_object,
    one_of_a_shared_collection,
    a_collection_and_its_children,
    also_in_another_collection,
    a_child_collection_linked_twice,
    an_instance_of_it,
    an_instance_of_one_that_holds_it,
    an_instance_within_an_instance,
    the_empty_that_instances,
    its_particles,
    its_geometry_nodes,
    what_it_repeats_on_its_faces,
    scattered_by_the_set,
    of_several_view_layers,
    beside_flags_of_layers,
    of_the_background_set,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_foreground_is_as_if_deleted(scene: Any, case: Any) -> None:
    foreground, objects = case(scene)
    whole = depth(scene)
    scope.set_listed(scene, foreground)
    before = state()
    found = depth(scene)
    assert state() == before
    scope.set_listed(scene, [])
    for obj in objects:
        bpy.data.objects.remove(obj)
    expected = depth(scene)
    np.testing.assert_array_equal(found, expected)
    assert (whole != expected).mean() > 0.005  # the case shows something at all


def state() -> Any:
    """What a stand-in could have touched of the artist's: every datablock's users, collections' and layers' contents."""
    blocks = {
        (kind.identifier, block.name): block.users
        for kind in bpy.data.bl_rna.properties
        if kind.type == "COLLECTION"
        for block in getattr(bpy.data, kind.identifier)
        if block.name != "Render Result"
        # 4.2 itself counts a user too many of what hangs directly in a scene that was copied and removed.
        and (kind.identifier not in ("objects", "collections") or bpy.app.version >= (4, 3))
    }
    collections = {c.name: ([o.name for o in c.objects], [k.name for k in c.children]) for c in bpy.data.collections}
    objects = {
        o.name: (o.hide_render, o.is_holdout, o.visible_camera, o.instance_type, o.location[:], str(o.parent))
        for o in bpy.data.objects
    }
    layers = [
        (scene.name, layer.name, flags(layer.layer_collection))
        for scene in bpy.data.scenes
        for layer in scene.view_layers
    ]
    return blocks, collections, objects, layers


def flags(layer: Any) -> Any:
    own = layer.name, layer.exclude, layer.holdout, layer.indirect_only, layer.hide_viewport
    return *own, [flags(child) for child in layer.children]


def test_what_hangs_on_the_foreground_stays_where_it_is(scene: Any) -> None:
    """A parent, a constraint, a driver and a modifier of the set that need something of the Foreground; animated."""
    hero = collection("Hero")
    rig, body, cutter = (
        box("rig", (0, -4, 1), 0.5, hero),
        box("body", (0, -5, 2), into=hero),
        box("cutter", (3, 5.6, 2), 1, hero),
    )
    for obj, far in ((rig, 3.0), (body, -2.0)):
        obj.keyframe_insert("location", frame=1)
        obj.location.x = far
        obj.keyframe_insert("location", frame=10)
    held, led, driven = box("held", (0, 0, 2), 0.5), box("led", (0, 0, 0), 0.4), box("driven", (-4, -2, 0), 0.5)
    held.parent = rig
    led.constraints.new("COPY_LOCATION").target = body
    led.constraints[0].use_offset = True
    led.location.y = 3
    variable = driven.driver_add("location", 2).driver.variables.new()
    variable.type = "TRANSFORMS"
    variable.targets[0].id, variable.targets[0].transform_type = rig, "LOC_X"
    driven.animation_data.drivers[0].driver.type = "SUM"
    cut = bpy.data.objects["wall"].modifiers.new("cut", "BOOLEAN")
    cut.object, cut.operation = cutter, "DIFFERENCE"
    scope.set_listed(scene, [hero])
    found = depth(scene, 10)
    scope.set_listed(scene, [])
    for obj in (rig, body, cutter):
        obj.visible_camera = False  # in Cycles nobody sees them, and everything else is evaluated as before
    np.testing.assert_array_equal(found, depth(scene, 10))
    held.hide_render = led.hide_render = driven.hide_render = True
    assert (found != depth(scene, 10)).mean() > 0.01


def test_a_camera_in_the_foreground_still_looks(scene: Any) -> None:
    hero = collection("Hero")
    body = box("body", (0, -4, 1), into=hero)
    carrier = box("carrier", (0, -12, 3), 0.1, hero)
    hero.objects.link(scene.camera)
    scene.camera.parent, scene.camera.location = carrier, (0, 0, 0)
    carrier.keyframe_insert("location", frame=1)
    carrier.location.x = 2
    carrier.keyframe_insert("location", frame=10)
    scope.set_listed(scene, [hero])
    found = depth(scene, 10)
    scope.set_listed(scene, [])
    body.visible_camera = carrier.visible_camera = False
    np.testing.assert_array_equal(found, depth(scene, 10))


def test_only_the_set_is_sent(scene: Any) -> None:
    """Objects beside the Set go, also those behind a flag; lights and cameras are no matter of it."""
    place = bpy.data.collections["Place"]
    tree = bpy.data.collections.new("Tree")
    trunk = box("trunk", (0, 0, 1), 0.5, tree)
    instance("a tree", tree, (3, -2, 0), place)
    scene.collection.children.link(tree)  # in the scene as well, where it is not of the Set
    prop = box("prop", (-3, -4, 1))
    lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "SUN"))
    scene.collection.objects.link(lamp)
    scope.set_set_collection(scene, place)
    found = depth(scene)
    read = scope.read(scene)
    assert lamp not in read.foreground
    assert scene.camera not in read.foreground
    assert read.is_sent(trunk)  # as a part of the tree that is of the Set
    assert {obj.name for obj in read.sent} == {"floor", "wall", "a tree", "trunk"}
    assert [obj.name for obj in read.left_out] == ["prop"]
    scope.set_set_collection(scene, None)
    bpy.data.objects.remove(prop)
    np.testing.assert_array_equal(found, depth(scene))


@pytest.mark.parametrize("engine", ["CYCLES", "BLENDER_WORKBENCH"])
def test_an_instance_that_comes_and_goes(scene: Any, engine: str) -> None:
    """An empty of which a part is Foreground is replaced: its keyed visibility and its path are followed."""
    both = bpy.data.collections.new("Both")
    box("rock", (2, 0, 1), into=both)
    body = box("body", (-1, 0, 1), into=both)
    empty = instance("both", both, (0, -4, 0))
    for frame, hidden, x in ((1, False, 0), (5, True, 0), (8, False, 2)):
        empty.hide_render, empty.location.x = hidden, x
        empty.keyframe_insert("hide_render", frame=frame)
        empty.keyframe_insert("location", frame=frame)
    scope.set_listed(scene, [body])
    found = [depth(scene, frame, engine) for frame in (1, 6, 8)]
    scope.set_listed(scene, [])
    bpy.data.objects.remove(body)
    expected = [depth(scene, frame, engine) for frame in (1, 6, 8)]
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(expected[0], expected[1])
    assert not np.array_equal(expected[0], expected[2])


def test_a_linked_collection_and_a_linked_instance(scene: Any, tmp_path: Any) -> None:
    """Datablocks of another file, which cannot be written at all."""
    kit = bpy.data.collections.new("Kit")
    box("crate", (2, 0, 1), into=kit)
    hero = bpy.data.collections.new("Hero")
    kit.children.link(hero)
    box("body", (-1, 0, 1), into=hero)
    bpy.data.libraries.write(str(tmp_path / "kit.blend"), {kit})
    for name in ("crate", "body"):
        bpy.data.objects.remove(bpy.data.objects[name])
    for name in ("Kit", "Hero"):
        bpy.data.collections.remove(bpy.data.collections[name])
    with bpy.data.libraries.load(str(tmp_path / "kit.blend"), link=True) as (_, into):
        into.collections = ["Kit"]
    kit = into.collections[0]
    scene.collection.children.link(kit)
    instance("kit here", kit, (1, -4, 0))
    hero = kit.children[0]
    assert hero.library is not None
    scope.set_listed(scene, [hero])
    found, whole = depth(scene), scope.read(scene)
    assert {obj.name for obj in whole.foreground} == {"body"}
    scope.set_listed(scene, [])
    bpy.data.objects.remove(bpy.data.objects["body"])
    np.testing.assert_array_equal(found, depth(scene))


def test_it_is_counted_as_a_render_shows_it(scene: Any) -> None:
    hero = collection("Hero")
    box("body", (0, -4, 1), into=hero)
    box("hidden hat", (0, -4, 3), into=hero).hide_render = True
    box("hole", (3, 0, 1)).is_holdout = True
    box("seen in mirrors only", (3, 0, 1)).visible_camera = False
    glow, off, gone = collection("Glow"), collection("Off"), collection("Gone")
    for each in (glow, off, gone):
        box(each.name, (0, 0, 9), into=each)
    layer = scene.view_layers[0].layer_collection
    layer.children["Glow"].indirect_only = True
    layer.children["Off"].exclude = True
    gone.hide_render = True
    tree = bpy.data.collections.new("Tree")
    for index in range(5):
        box(f"leaf {index}", (index, 0, 0), into=tree)
    instance("tree", tree, (0, 0, 0))
    assert scope.summary(scene) == scope.Summary(sent=4, left_out=0, unseen=3)  # floor, wall, body, tree
    scope.set_listed(scene, [hero])
    assert scope.summary(scene) == scope.Summary(sent=3, left_out=1, unseen=3)
    second = scene.view_layers.new("second")  # in which everything is seen but what does not render
    assert scope.summary(scene) == scope.Summary(sent=5, left_out=1, unseen=2)
    second.use = False
    assert scope.summary(scene) == scope.Summary(sent=3, left_out=1, unseen=3)


def test_it_is_kept_through_a_rename_a_deletion_a_save_and_a_link(scene: Any, tmp_path: Any) -> None:
    hero, other = collection("Hero"), box("other", (0, 0, 5))
    box("body", (0, -4, 1), into=hero)
    for by_script in ([hero, other], {"0": hero, "1": other}):
        scene[scope.FOREGROUND_KEY] = by_script
        assert scope.listed(scene) == [hero, other]
    scene[scope.FOREGROUND_KEY] = other
    assert scope.listed(scene) == [other]
    scene[scope.FOREGROUND_KEY] = "Hero"  # a name is no pointer
    assert scope.listed(scene) == []
    scope.set_listed(scene, [hero, other, hero])
    scope.set_set_collection(scene, bpy.data.collections["Place"])
    hero.name = "Heroine"
    assert scope.listed(scene) == [hero, other]
    with bpy.context.temp_override(selected_objects=[other]):
        bpy.ops.object.delete()  # as the artist does: what still points to it keeps it in the file
    assert scope.listed(scene) == [hero]
    path = str(tmp_path / "kept.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    scene = bpy.context.scene
    assert [block.name for block in scope.listed(scene)] == ["Heroine"]
    assert {obj.name for obj in scope.foreground(scene)} == {"body"}
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(path, link=True) as (_, into):
        into.scenes = ["Scene"]
    linked = into.scenes[0]
    assert [block.name for block in scope.listed(linked)] == ["Heroine"]
    assert scope.set_collection(linked).name == "Place"
    before = len(bpy.data.objects)
    depth(linked)
    remove_leftovers()
    assert len(bpy.data.objects) == before
    assert not [block for block in bpy.data.collections if block.name.startswith(PREFIX)]
