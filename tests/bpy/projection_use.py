"""Run by test_projection_reach.py in each Blender: sets of every kind, projected on and rendered.

    python projection_use.py FOLDER CASE…

FOLDER/farplane must be this repository.  Prints one line, RESULT and a JSON object: for each case what share of the
geometry that was sent, and of its sky, is the plate where Cycles looks through the shot's camera at frames 1 and 2, what
was left out, and what was still there after the landing was removed.  The plate's pixels tell where they are.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER, WANTED = Path(sys.argv[1]), sys.argv[2:]
sys.path[:0] = [str(FOLDER), str(Path(__file__).parent)]

import bpy  # noqa: E402
import numpy as np  # noqa: E402
from mathutils import Vector  # noqa: E402
from whole_file import changes, whole_file  # noqa: E402

from farplane.addon import landing, scope  # noqa: E402
from farplane.addon.exr import write_channel, write_rgb  # noqa: E402
from farplane.addon.scene import Extraction, plan_shots  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.protocol.shotfile import depth_name, shot_to_json  # noqa: E402

W, H = 96, 64
BLUE = 0.25  # of the plate; red and green are u and v
EXACT = 4e-3  # half float keeps 11 bits of u and v; the own materials are black here, for nothing lights them
CASES: dict[str, Callable[[], Any]] = {}


def case(build: Callable[[], Any]) -> Callable[[], Any]:
    CASES[build.__name__] = build
    return build


# ---- parts --------------------------------------------------------------------------------------------------


def put(name: str, data: Any, at: Any = (0, 0, 0), collection: Any = None) -> Any:
    obj = bpy.data.objects.new(name, data)
    obj.location = at
    (collection or bpy.context.scene.collection).objects.link(obj)
    return obj


def ground(half: float = 20, collection: Any = None) -> Any:
    mesh = bpy.data.meshes.new("ground")
    mesh.from_pydata([(-half, -half, 0), (half, -half, 0), (half, half, 0), (-half, half, 0)], [], [(0, 1, 2, 3)])
    return put("ground", mesh, collection=collection)


def box(name: str, at: Any = (0, 0, 1), half: float = 1, collection: Any = None, paint: str = "") -> Any:
    corners = [(x * half, y * half, z * half) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(corners, [], sides)
    if paint:
        mesh.materials.append(material(paint))
    return put(name, mesh, at, collection)


def material(name: str) -> Any:
    made = bpy.data.materials.new(name)
    if made.node_tree is None:
        made.use_nodes = True
    return made


def collection_of(name: str, shown: bool = False) -> Any:
    made = bpy.data.collections.new(name)
    if shown:
        bpy.context.scene.collection.children.link(made)
    return made


def kit(shown: bool = False) -> Any:
    """A house without a material and a painted box."""
    made = collection_of("kit", shown)
    box("house", half=1.2, collection=made)
    box("red", (2, 1, 1), collection=made, paint="red")
    return made


def instance(collection: Any, name: str = "instance", at: Any = (0, 0, 0), into: Any = None) -> Any:
    empty = put(name, None, at, into)
    empty.instance_type, empty.instance_collection = "COLLECTION", collection
    return empty


def nodes(obj: Any, build: Callable[[Any, Any], Any]) -> None:
    """A geometry nodes modifier; `build` is given the tree and the socket of the object's own geometry."""
    tree = bpy.data.node_groups.new("nodes", "GeometryNodeTree")
    for way in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
    source, target = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    tree.links.new(build(tree, source.outputs[0]), target.inputs[0])
    obj.modifiers.new("nodes", "NODES").node_group = tree


def node(tree: Any, kind: str, **values: Any) -> Any:
    made = tree.nodes.new(kind)
    for name, value in values.items():
        made.inputs[name].default_value = value
    return made


def with_material(tree: Any, geometry: Any, name: str) -> Any:
    made = node(tree, "GeometryNodeSetMaterial", Material=material(name))
    tree.links.new(geometry, made.inputs[0])
    return made.outputs[0]


def joined(tree: Any, *geometries: Any) -> Any:
    made = tree.nodes.new("GeometryNodeJoinGeometry")
    for geometry in geometries:
        tree.links.new(geometry, made.inputs[0])
    return made.outputs[0]


def scattered(tree: Any, geometry: Any, what: Any) -> Any:
    """`what` on the corners of the geometry, which stays."""
    points, on = tree.nodes.new("GeometryNodeMeshToPoints"), tree.nodes.new("GeometryNodeInstanceOnPoints")
    tree.links.new(geometry, points.inputs[0])
    tree.links.new(points.outputs[0], on.inputs["Points"])
    tree.links.new(what, on.inputs["Instance"])
    return joined(tree, geometry, on.outputs[0])


def library(build: Callable[[], Any]) -> None:
    """Another file with what `build` makes; this one is empty again."""
    build()
    bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "library.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=True)


def linked(kind: str, name: str) -> Any:
    with bpy.data.libraries.load(str(FOLDER / "library.blend"), link=True) as (_, into):
        setattr(into, kind, [name])
    return getattr(into, kind)[0]


# ---- cases: each may return the objects to project on, as an artist selects them ----------------------------


@case
def all_instances() -> None:
    made = kit()
    ground(collection=made)
    instance(made)


@case
def nested_instances() -> None:
    outer = collection_of("outer")
    instance(kit(), into=outer)
    instance(outer, "top", (0, 1, 0))
    ground()


@case
def set_material() -> None:
    ground()
    nodes(box("box", paint="own"), lambda tree, geometry: with_material(tree, geometry, "given"))


@case
def made_by_nodes() -> None:
    """Geometry of the nodes' own, with a material and without."""

    def build(tree: Any, geometry: Any) -> Any:
        tower, slab = node(tree, "GeometryNodeMeshCube", Size=(2, 2, 4)), node(tree, "GeometryNodeMeshCube")
        slab.inputs["Size"].default_value = (6, 1, 1)
        return joined(tree, geometry, with_material(tree, tower.outputs[0], "tower"), slab.outputs[0])

    nodes(ground(), build)


@case
def scattered_geometry() -> None:
    def build(tree: Any, geometry: Any) -> Any:
        tower = node(tree, "GeometryNodeMeshCube", Size=(1, 1, 4))
        return scattered(tree, geometry, with_material(tree, tower.outputs[0], "tower"))

    ground()
    nodes(ground(3), build)


@case
def scattered_collection() -> None:
    made = kit()

    def build(tree: Any, geometry: Any) -> Any:
        return scattered(tree, geometry, node(tree, "GeometryNodeCollectionInfo", Collection=made).outputs[0])

    ground()
    nodes(ground(3), build)


@case
def scattered_linked_collection() -> None:
    library(lambda: kit(True))
    made = linked("collections", "kit")

    def build(tree: Any, geometry: Any) -> Any:
        return scattered(tree, geometry, node(tree, "GeometryNodeCollectionInfo", Collection=made).outputs[0])

    ground()
    nodes(ground(3), build)


@case
def particles() -> None:
    ground()
    emitter, tree = ground(4), box("tree", half=0.5, collection=collection_of("trees"), paint="tree")
    emitter.modifiers.new("particles", "PARTICLE_SYSTEM")
    settings = emitter.particle_systems[0].settings
    settings.type, settings.count, settings.particle_size = "HAIR", 20, 0.3
    settings.render_type, settings.instance_object = "OBJECT", tree


@case
def on_vertices() -> None:
    ground()
    parent = ground(3)
    parent.instance_type = "VERTS"
    box("child", (0, 0, 0)).parent = parent


@case
def curves_text_and_metaballs() -> None:
    ground()
    text = bpy.data.curves.new("text", "FONT")
    text.body, text.extrude = "ABC", 0.2
    put("text", text, (-1, 0, 0.2)).rotation_euler.x = 1.5
    ball = bpy.data.metaballs.new("ball")
    ball.elements.new().radius = 1.5
    put("ball", ball, (2, 1, 1))
    curve = bpy.data.curves.new("curve", "CURVE")
    curve.dimensions, curve.bevel_depth = "3D", 0.3
    spline = curve.splines.new("POLY")
    spline.points.add(1)
    spline.points[0].co, spline.points[1].co = (-3, 0, 0.5, 1), (-3, 2, 2, 1)
    put("curve", curve)


@case
def shared_mesh() -> None:
    ground()
    first = box("first", (-2, 0, 1), paint="shared")
    for index in range(3):
        put(f"twin {index}", first.data, (1.5 * index, 1, 1))


@case
def linked_kit() -> None:
    def build() -> None:
        instance(kit(), into=collection_of("outer", True))

    library(build)
    instance(linked("collections", "outer"))
    ground()


@case
def linked_meshes() -> None:
    library(lambda: kit(True))
    ground()
    put("house", linked("meshes", "house"), (0, 0, 1))
    put("red", linked("meshes", "red"), (2, 1, 1))


@case
def library_override() -> None:
    library(lambda: kit(True))
    scene, made = bpy.context.scene, linked("collections", "kit")
    scene.collection.children.link(made)
    bpy.context.view_layer.update()
    made.override_hierarchy_create(scene, bpy.context.view_layer, do_fully_editable=True)
    for child in [child for child in scene.collection.children if child.library]:
        scene.collection.children.unlink(child)
    ground()


@case
def linked_without_override() -> None:
    library(lambda: kit(True))
    bpy.context.scene.collection.children.link(linked("collections", "kit"))
    ground()


@case
def one_of_two_instances() -> Any:
    """The other one, and the ground, were not chosen."""
    made = kit()
    chosen = instance(made, "chosen", (-2, 0, 0))
    instance(made, "other", (2.5, 3, 0))
    ground()
    return [chosen]


@case
def hero_of_the_same_kit() -> None:
    """An instance of what the set is made of is Foreground."""
    made = kit()
    ground()
    instance(made, "set", (0, 2, 0))
    hero = instance(made, "hero", (-1, -4, 0))
    hero.scale = (0.2, 0.2, 0.2)
    scope.set_listed(bpy.context.scene, [hero])


@case
def fog() -> None:
    """A box that a material fills gets no surface by it."""
    ground()
    box("box")
    made = material("fog")
    made.node_tree.nodes.clear()
    volume = node(made.node_tree, "ShaderNodeVolumePrincipled", Density=0.0)
    output = made.node_tree.nodes.new("ShaderNodeOutputMaterial")
    made.node_tree.links.new(volume.outputs[0], output.inputs["Volume"])
    box("fog", half=5).data.materials.append(made)


# ---- measuring ----------------------------------------------------------------------------------------------


def furnish() -> Any:
    scene = bpy.context.scene
    camera = put("Camera", bpy.data.cameras.new("Camera"), (0, -8, 2))
    camera.data.lens, scene.camera = 35, camera
    camera.rotation_euler = (Vector((0, 0, 0.5)) - camera.location).to_track_quat("-Z", "Y").to_euler()
    for frame, x in ((1, 0.0), (2, 0.7)):
        camera.location.x = x
        camera.keyframe_insert("location", frame=frame)
    render, image = scene.render, scene.render.image_settings
    scene.frame_start, scene.frame_end = 1, 2
    render.resolution_x, render.resolution_y, render.engine = W, H, "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.filter_width = 1, False, 0.01
    if hasattr(image, "media_type"):
        image.media_type = "IMAGE"
    image.file_format, image.color_depth, image.color_mode = "OPEN_EXR", "32", "RGB"
    bpy.context.view_layer.update()
    return scene


def make_take(scene: Any, name: str) -> tuple[Path, np.ndarray]:
    """A take of the scene by the add-on's own reading, and its depth [T, H, W]."""
    (plan,) = plan_shots(scene)
    with Extraction(scene, plan, engine="CYCLES") as reading:
        while not reading.step():
            pass
        sent = reading.shot()
    names = {frame: depth_name(frame) for frame in sent.frames}
    take = Take.create(FOLDER / "takes" / name, shot_to_json(sent, names, plan.camera))
    row, column = np.mgrid[0:H, 0:W].astype(np.float32) + 0.5
    for index, frame in enumerate(sent.frames):
        data = write_rgb(np.stack([column / W, 1 - row / H, np.full((H, W), BLUE, np.float32)], axis=-1))
        take.write_frame(frame, data, hashlib.sha256(data).hexdigest())
        (take.folder / names[frame]).write_bytes(write_channel(sent.depth.z[index]))
    take.finish()
    return take.folder, sent.depth.z


def rendered(scene: Any) -> np.ndarray:
    scene.render.filepath = str(FOLDER / "render.exr")
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    image.colorspace_settings.is_data = True
    pixels = np.empty(W * H * 4, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(H, W, 4)[::-1, :, :3]


def measured(name: str) -> dict[str, Any]:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    chosen = CASES[name]()
    scene = furnish()
    folder, depth = make_take(scene, name)
    scene.frame_set(2)
    before = whole_file()
    landed = landing.land(scene, scene.camera, folder, ["projection"], objects=chosen)
    row, column = np.mgrid[0:H, 0:W] + 0.5
    plate = np.stack([column / W, 1 - row / H, np.full((H, W), BLUE)], axis=-1)
    told: dict[str, Any] = {"notes": landed.notes, "geometry": [], "sky": []}
    for frame in (1, 2):
        scene.frame_set(frame)
        is_plate = (np.abs(rendered(scene) - plate) < EXACT).all(axis=-1)
        hit = np.isfinite(depth[frame - 1])
        told["geometry"].append(float(is_plate[hit].mean()))
        told["sky"].append(float(is_plate[~hit].mean()))
    landing.remove(scene, folder)
    bpy.context.view_layer.update()  # or an object's dimensions are those that it had
    # hair that was rendered needs to be made anew, whoever rendered it
    told["left"] = [change for change in changes(before) if "outdated" not in change]
    return told


told = {name: measured(name) for name in WANTED or CASES}
print("\nRESULT " + json.dumps(told), flush=True)
