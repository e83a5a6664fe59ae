"""Makes the three example scenes: blockouts as an artist would leave them, 25 frames at 24 fps, 448 x 256.

    python examples/make_examples.py [FOLDER]

valley_dolly     a valley with a hamlet; the camera dollies past conifers
coast_crane      a cliff coast with a lighthouse; a crane with a Track To aim, focal length 28 to 40 mm
street_push_in   a street of plain boxes; a push-in with a slight turn

Everything follows from the seeds below: the same script makes the same scenes.  No textures, no downloads.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector
from numpy.typing import NDArray

FRAMES = 25
Colour = tuple[float, float, float]


# -- building blocks --------------------------------------------------------------------------------------------------


def new_scene(name: str, prompt: str, negative: str = "") -> bpy.types.Scene:
    """An empty scene at 448 x 256, 24 fps, frames 1 to 25, that carries its prompt."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.name = name
    scene.frame_start, scene.frame_end = 1, FRAMES
    render = scene.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.fps = 448, 256, 24
    scene.cycles.samples = 64
    scene["farplane_prompt"], scene["farplane_negative"] = prompt, negative
    return scene


def smooth_noise(x: NDArray, y: NDArray, seed: int, octaves: int = 5, fade: float = 0.5) -> NDArray:
    """Value noise at points (x, y): [-1, 1] in the first octave, each next one twice as fine and `fade` as strong."""
    total = np.zeros_like(x)
    for octave in range(octaves):
        table = np.random.default_rng([seed, octave]).uniform(-1, 1, (256, 256))
        u, v = x * 2**octave + 37.0 * octave, y * 2**octave + 91.0 * octave
        i, j = np.floor(u).astype(int), np.floor(v).astype(int)
        s, t = u - i, v - j
        s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
        corners = [table[(j + dj) % 256, (i + di) % 256] for dj in (0, 1) for di in (0, 1)]
        total += fade**octave * (
            (corners[0] * (1 - s) + corners[1] * s) * (1 - t) + (corners[2] * (1 - s) + corners[3] * s) * t
        )
    return total


def add_object(name: str, mesh: bpy.types.Mesh, location: Sequence[float] = (0, 0, 0), turn: float = 0.0) -> Any:
    thing = bpy.data.objects.new(name, mesh)
    thing.location, thing.rotation_euler.z = location, turn
    bpy.context.scene.collection.objects.link(thing)
    return thing


def add_mesh(
    name: str, vertices: Any, faces: Any, material: bpy.types.Material, smooth: bool = False
) -> bpy.types.Mesh:
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([tuple(v) for v in vertices], [], [tuple(f) for f in faces])
    mesh.materials.append(material)
    if smooth:
        mesh.polygons.foreach_set("use_smooth", np.ones(len(mesh.polygons), bool))
    mesh.update()
    return mesh


def add_terrain(
    name: str,
    height: Callable[[NDArray, NDArray], NDArray],
    xs: NDArray,
    ys: NDArray,
    material: bpy.types.Material,
    levels: int = 0,
) -> bpy.types.Object:
    """A grid over xs, ys (metres, which may be uneven: finer near the camera), lifted by `height`, then rounded."""
    x, y = np.meshgrid(xs, ys)
    vertices = np.stack([x, y, height(x, y)], -1).reshape(-1, 3)
    first = (np.arange(len(ys) - 1)[:, None] * len(xs) + np.arange(len(xs) - 1)).ravel()
    faces = np.stack([first, first + 1, first + len(xs) + 1, first + len(xs)], -1).tolist()
    terrain = add_object(name, add_mesh(name, vertices.tolist(), faces, material, smooth=True))
    if levels:
        rounded = terrain.modifiers.new("rounded", "SUBSURF")  # keeps the file small, too
        rounded.levels = rounded.render_levels = levels
    return terrain


def spaced(near: float, far: float, count: int, power: float = 2.0) -> NDArray:
    """Positions from near to far whose steps grow with distance."""
    return near + (far - near) * np.linspace(0, 1, count) ** power


def box(name: str, size: Sequence[float], material: bpy.types.Material) -> bpy.types.Mesh:
    """A box that stands on z = 0, centred in x and y."""
    x, y, z = size[0] / 2, size[1] / 2, size[2]
    vertices = [(sx * x, sy * y, h) for h in (0, z) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    faces = [(3, 2, 1, 0), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]
    return add_mesh(name, vertices, faces, material)


def roof(name: str, size: Sequence[float], material: bpy.types.Material) -> bpy.types.Mesh:
    """A gable roof over a box of this size, its ridge along y, with eaves."""
    x, y, z = size[0] / 2 + 0.5, size[1] / 2 + 0.5, size[2]
    vertices = [(-x, -y, 0), (x, -y, 0), (x, y, 0), (-x, y, 0), (0, -y, z), (0, y, z)]
    faces = [(0, 1, 4), (2, 3, 5), (1, 2, 5, 4), (3, 0, 4, 5), (3, 2, 1, 0)]
    return add_mesh(name, vertices, faces, material)


def cylinder(
    name: str, rings: Sequence[tuple[float, float]], material: bpy.types.Material, sides: int = 12
) -> bpy.types.Mesh:
    """A surface of revolution through rings of (height, radius); a radius of 0 closes it in a point."""
    angles = np.linspace(0, 2 * math.pi, sides, endpoint=False)
    vertices = [(r * math.cos(a), r * math.sin(a), h) for h, r in rings for a in angles]
    faces = []
    for ring in range(len(rings) - 1):
        for i in range(sides):
            a, b = ring * sides + i, ring * sides + (i + 1) % sides
            faces.append((a, b, b + sides, a + sides))
    return add_mesh(name, vertices, faces, material)


def material(
    name: str, dark: Colour, light: Colour, scale: float, *, detail: float = 5.0, stretch: Sequence[float] = (1, 1, 1)
) -> bpy.types.Material:
    """A matt surface, mottled between two colours by noise in the object's own metres (1 / scale: size of a patch)."""
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    nodes, links = made.node_tree.nodes, made.node_tree.links
    surface = next(node for node in nodes if node.bl_idname == "ShaderNodeBsdfPrincipled")
    surface.inputs["Roughness"].default_value = 0.95
    place = nodes.new("ShaderNodeTexCoord")
    mapping = nodes.new("ShaderNodeMapping")
    mapping.inputs["Scale"].default_value = stretch
    noise = nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = scale, detail
    noise.inputs["Roughness"].default_value = 0.65
    ramp = nodes.new("ShaderNodeValToRGB")
    for stop, at, colour in zip(ramp.color_ramp.elements, (0.38, 0.62), (dark, light), strict=True):
        stop.position, stop.color = at, (*colour, 1)
    links.new(place.outputs["Object"], mapping.inputs["Vector"])
    links.new(mapping.outputs["Vector"], noise.inputs["Vector"])
    links.new(noise.outputs[0], ramp.inputs[0])
    links.new(ramp.outputs[0], surface.inputs["Base Color"])
    made.diffuse_color = (*(0.5 * (a + b) for a, b in zip(dark, light, strict=True)), 1)
    return made


def light_scene(sun: Colour, strength: float, height: float, around: float, zenith: Colour, horizon: Colour) -> None:
    """A sun (degrees above the horizon, degrees around) and a sky that blends from horizon to zenith."""
    lamp = bpy.data.lights.new("sun", "SUN")
    lamp.color, lamp.energy, lamp.angle = sun, strength, math.radians(1)
    thing = bpy.data.objects.new("sun", lamp)
    thing.rotation_euler = (math.radians(90 - height), 0, math.radians(around))
    thing.location.z = 60
    bpy.context.scene.collection.objects.link(thing)
    world = bpy.data.worlds.new("sky")
    world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    place, split = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeSeparateXYZ")
    ramp = nodes.new("ShaderNodeValToRGB")
    for stop, at, colour in zip(ramp.color_ramp.elements, (0.0, 0.45), (horizon, zenith), strict=True):
        stop.position, stop.color = at, (*colour, 1)
    links.new(place.outputs["Generated"], split.inputs[0])
    links.new(split.outputs["Z"], ramp.inputs[0])
    background = next(node for node in nodes if node.bl_idname == "ShaderNodeBackground")
    links.new(ramp.outputs[0], background.inputs["Color"])
    world.cycles.sampling_method = "NONE"  # an even sky: bounced rays find it, a map of it costs a second a frame
    bpy.context.scene.world = world


def add_camera(lens: float, clip_end: float) -> bpy.types.Object:
    data = bpy.data.cameras.new("camera")
    data.lens, data.clip_start, data.clip_end = lens, 0.5, clip_end
    thing = bpy.data.objects.new("camera", data)
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.scene.camera = thing
    return thing


def key_location(thing: bpy.types.Object, keys: dict[int, Sequence[float]]) -> None:
    for frame, location in keys.items():
        thing.location = location
        thing.keyframe_insert("location", frame=frame)


def look(thing: bpy.types.Object, frame: int, at: Sequence[float]) -> None:
    """Key the rotation that aims a camera at a point from where it is at `frame`."""
    bpy.context.scene.frame_set(frame)
    direction = Vector(at) - thing.matrix_world.translation
    thing.rotation_euler = direction.to_track_quat("-Z", "Y").to_euler()
    thing.keyframe_insert("rotation_euler", frame=frame)


def conifers(seed: int, count: int, leaves: bpy.types.Material) -> list[bpy.types.Mesh]:
    """Meshes of conifers of different heights, three tiers of cones each."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        h, r = rng.uniform(7, 13), rng.uniform(1.6, 2.6)
        tiers = [(0.0, 0.3), (1.2, 0.3), (1.2, r), (0.45 * h, 0.45 * r), (0.45 * h, 0.75 * r)]
        tiers += [(0.72 * h, 0.25 * r), (0.72 * h, 0.5 * r), (h, 0.0)]
        made.append(cylinder(f"conifer {index}", tiers, leaves, sides=9))
    return made


def hamlet(rng: np.random.Generator, walls: bpy.types.Material, tiles: bpy.types.Material, places: Any) -> None:
    """Houses (a box and a gable roof) at (x, y, z, turn)."""
    for index, (x, y, z, turn) in enumerate(places):
        size = (rng.uniform(7, 9), rng.uniform(10, 14), rng.uniform(4, 6))
        add_object(f"house {index}", box(f"walls {index}", size, walls), (x, y, z - 0.6), turn)
        cap = roof(f"roof {index}", (size[0], size[1], rng.uniform(3, 4.5)), tiles)
        add_object(f"roof {index}", cap, (x, y, z - 0.6 + size[2]), turn)


# -- the scenes -------------------------------------------------------------------------------------------------------


def valley_dolly() -> None:
    """A dolly of 6 m to the right and 5 m forward past conifers; a hamlet on the valley floor, slopes, peaks."""
    new_scene("valley_dolly", "a village in the snow, at sunset, clear sky, winter")
    light_scene((1.0, 0.8, 0.56), 5.5, 27, -38, (0.18, 0.34, 0.62), (0.95, 0.72, 0.52))
    grass = material("grass", (0.035, 0.05, 0.012), (0.24, 0.27, 0.07), 0.35)
    leaves = material("needles", (0.01, 0.025, 0.012), (0.07, 0.12, 0.05), 1.6)
    walls = material("plaster", (0.30, 0.25, 0.2), (0.75, 0.68, 0.56), 0.7)
    tiles = material("tiles", (0.12, 0.04, 0.025), (0.38, 0.15, 0.08), 1.2, stretch=(1, 1, 3))

    def height(x: NDArray, y: NDArray) -> NDArray:
        bend = 22 * np.sin(y / 90)
        side = np.abs(x - bend)
        slope = 0.55 * np.maximum(side - 46, 0) ** 1.1
        peaks = (0.45 + 0.55 * np.clip(y / 320, 0, 1)) * np.minimum(slope, 150)
        rough = smooth_noise(x / 70, y / 70, 3) * (0.9 + 0.2 * np.minimum(slope, 100))
        end = 105 * np.clip((y - 260) / 240, 0, 1) ** 1.4 * (1 + 0.5 * smooth_noise(x / 110, y / 110, 4))
        return peaks + rough + end

    # Denser towards the middle of the valley and towards the camera.
    steps = np.linspace(-1, 1, 65)
    across = 330 * np.sign(steps) * np.abs(steps) ** 1.5
    add_terrain("valley", height, across, spaced(-25, 560, 56, 1.7), grass, levels=2)
    ground = lambda x, y: float(height(np.array([x], float), np.array([y], float))[0])  # noqa: E731

    rng = np.random.default_rng(11)
    homes = [
        (-21, 74, 0.35),
        (-2, 92, 1.35),
        (29, 84, 0.9),
        (38, 112, 0.2),
        (0, 128, 1.1),
        (24, 138, 0.5),
        (-24, 106, 2.2),
    ]
    hamlet(rng, walls, tiles, [(x, y, ground(x, y), turn) for x, y, turn in homes])
    tower = box("bell tower", (4, 4, 15), walls)
    add_object("bell tower", tower, (15, 103, ground(15, 103) - 0.5), 0.4)
    spire = cylinder("spire", [(0, 3.2), (7, 0)], tiles, sides=4)
    add_object("spire", spire, (15, 103, ground(15, 103) + 14.5), 0.4 + math.pi / 4)

    trees = conifers(5, 6, leaves)
    near = [(-8.5, 18), (-13, 29), (11, 24), (15, 33), (-19, 40), (25, 42), (-27, 52), (30, 55), (8, 58)]
    far = [(x, y) for x, y in zip(rng.uniform(-80, 90, 110), rng.uniform(50, 330, 110), strict=True)]
    far = [(x, y) for x, y in far if abs(x - 22 * math.sin(y / 90)) > 30 or y > 185]
    for index, (x, y) in enumerate(near + far):
        tree = add_object(
            f"tree {index}", trees[index % len(trees)], (x, y, ground(x, y) - 0.3), float(rng.uniform(0, 6))
        )
        tree.scale = (1, 1, 1) if index < len(near) else (float(rng.uniform(0.8, 1.5)),) * 3

    camera = add_camera(30, 900)
    floor = ground(0, 0)
    key_location(camera, {1: (-3, -5, floor + 7.5), FRAMES: (3, 0, floor + 8.5)})
    look(camera, 1, (4, 100, floor + 7))
    look(camera, FRAMES, (7, 100, floor + 8))


def coast_crane() -> None:
    """A crane rises 14 m and swings out, aimed at a lighthouse by a constraint, while the lens goes from 28 to 40 mm."""
    new_scene("coast_crane", "a rocky coast with cliffs and a lighthouse, the sea, at noon, clear sky, summer")
    light_scene((1.0, 0.95, 0.86), 5.0, 42, 50, (0.12, 0.3, 0.65), (0.62, 0.74, 0.85))
    rock = material("rock", (0.045, 0.04, 0.035), (0.36, 0.31, 0.25), 0.22, stretch=(1, 1, 2.4))
    water = material("water", (0.012, 0.05, 0.075), (0.09, 0.22, 0.26), 0.16, stretch=(0.6, 1.6, 1))
    white = material("whitewash", (0.5, 0.48, 0.45), (0.85, 0.83, 0.8), 0.9)
    red = material("red paint", (0.25, 0.03, 0.02), (0.5, 0.08, 0.05), 0.9)
    turf = material("turf", (0.04, 0.055, 0.015), (0.2, 0.24, 0.07), 0.3)

    def height(x: NDArray, y: NDArray) -> NDArray:
        shore = 6 + 10 * smooth_noise(x / 60, y / 45 + 9, 21, 3) + 14 * np.sin(y / 38)
        inland = -x - shore  # metres behind the cliff's edge, the sea lies at positive x
        step = 1 / (1 + np.exp(-np.clip(inland / 2.2, -40, 40)))
        top = 15 + 3 * smooth_noise(x / 40, y / 40, 22) + 0.05 * np.maximum(inland, 0)
        bottom = -2.5 + 2.2 * smooth_noise(x / 9, y / 9, 23, 3)
        return bottom + (top - bottom) * step + 0.8 * smooth_noise(x / 5, y / 5, 24, 3) * step

    cliff = add_terrain("cliff", height, np.sort(spaced(30, -150, 50, 1.4)), np.linspace(-20, 320, 78), rock, levels=2)
    cliff.data.materials.append(turf)
    centres = np.array([[*p.center, p.normal.z] for p in cliff.data.polygons])
    grassy = (centres[:, 2] > 11) & (centres[:, 3] > 0.8)
    cliff.data.polygons.foreach_set("material_index", grassy.astype(np.int32))
    sea = add_terrain("sea", lambda x, y: 0 * x, np.array([-60, 60, 700.0]), np.array([-30, 200, 900.0]), water)
    sea.location.z = -1.0

    ground = lambda x, y: float(height(np.array([x], float), np.array([y], float))[0])  # noqa: E731
    home = (-22.0, 78.0)
    base = ground(*home) - 1.5
    shaft = cylinder("lighthouse", [(0, 3.2), (8, 2.7), (8, 2.8), (19, 2.0)], white, sides=24)
    add_object("lighthouse", shaft, (*home, base))
    lamp_room = cylinder("gallery", [(0, 3.0), (0.8, 3.0), (0.8, 1.6), (3.6, 1.6), (3.6, 2.1), (5.6, 0)], red, sides=24)
    add_object("gallery", lamp_room, (*home, base + 19))
    hut = box("keeper's house", (8, 6, 4), white)
    add_object("keeper's house", hut, (home[0] - 11, home[1] + 5, ground(home[0] - 11, home[1] + 5) - 0.4), 0.3)
    add_object(
        "keeper's roof",
        roof("keeper's roof", (8, 6, 3), red),
        (home[0] - 11, home[1] + 5, ground(home[0] - 11, home[1] + 5) + 3.6),
        0.3,
    )
    rng = np.random.default_rng(7)
    for index in range(34):
        x, y = rng.uniform(-2, 42), rng.uniform(22, 170)
        size = rng.uniform(1.2, 4.5)
        high = float(rng.uniform(0.5, 1.4))
        profile = [
            (-2, size),
            (0.4 * high * size, 0.9 * size),
            (0.8 * high * size, 0.65 * size),
            (high * size, 0.3 * size),
        ]
        profile.append((1.06 * high * size, 0))
        stack = cylinder(f"stack {index}", profile, rock, sides=int(rng.integers(5, 9)))
        add_object(f"stack {index}", stack, (x, y, -1.2), float(rng.uniform(0, 6)))

    target = bpy.data.objects.new("aim", None)
    bpy.context.scene.collection.objects.link(target)
    target.location = (home[0] + 10, home[1], base + 3.5)
    arm = bpy.data.objects.new("crane", None)
    bpy.context.scene.collection.objects.link(arm)
    arm.scale = (1.2, 1.2, 1.2)  # a rig that was scaled, as rigs are
    key_location(arm, {1: (26, -10, 8.0), FRAMES: (31, -5, 22.0)})
    camera = add_camera(28, 1500)
    camera.parent = arm
    aim = camera.constraints.new("TRACK_TO")
    aim.target, aim.track_axis, aim.up_axis = target, "TRACK_NEGATIVE_Z", "UP_Y"
    for frame, lens in ((1, 28), (FRAMES, 40)):
        camera.data.lens = lens
        camera.data.keyframe_insert("lens", frame=frame)


def street_push_in() -> None:
    """A push-in of 10 m down a street of boxes with windows, lamps, trees and parked cars."""
    new_scene("street_push_in", "a city street between tall buildings, overcast, in autumn, by day")
    light_scene((1.0, 0.96, 0.9), 3.0, 50, -35, (0.45, 0.52, 0.6), (0.8, 0.82, 0.84))
    asphalt = material("asphalt", (0.02, 0.02, 0.022), (0.13, 0.13, 0.135), 0.8)
    paving = material("paving", (0.12, 0.115, 0.11), (0.4, 0.38, 0.35), 0.9)
    facades = [
        material("brick", (0.12, 0.045, 0.03), (0.36, 0.17, 0.11), 1.0, stretch=(1, 1, 3)),
        material("sandstone", (0.22, 0.17, 0.11), (0.62, 0.52, 0.38), 0.6),
        material("concrete", (0.16, 0.16, 0.16), (0.46, 0.45, 0.43), 0.5),
        material("render", (0.3, 0.27, 0.2), (0.7, 0.66, 0.55), 0.7),
    ]
    glass = material("dark windows", (0.01, 0.012, 0.018), (0.06, 0.07, 0.09), 0.8)
    metal = material("iron", (0.015, 0.015, 0.015), (0.08, 0.08, 0.08), 2.0)
    leaves = material("autumn leaves", (0.16, 0.05, 0.01), (0.55, 0.26, 0.06), 1.8)
    paint = [
        material("car red", (0.2, 0.02, 0.02), (0.4, 0.06, 0.05), 0.8),
        material("car blue", (0.02, 0.04, 0.12), (0.06, 0.12, 0.3), 0.8),
        material("car white", (0.45, 0.45, 0.45), (0.75, 0.75, 0.73), 0.8),
    ]

    add_terrain("ground", lambda x, y: 0.0 * x, np.array([-120, 0, 120.0]), np.array([-30, 150, 400.0]), asphalt)
    for side in (-1, 1):
        kerb = box("pavement", (4.2, 360, 0.18), paving)
        add_object(f"pavement {side}", kerb, (side * 7.1, 150, 0))
    rng = np.random.default_rng(3)
    for side in (-1, 1):
        y, index = -14.0, 0
        while y < 210:
            width, depth = float(rng.uniform(11, 19)), float(rng.uniform(10, 16))
            floors = int(rng.integers(3, 8))
            setback = float(rng.choice([0, 0, 0.8, 1.6]))
            if y > 60 and side > 0 and index == 6:
                y += 9  # a side street
            facade = facades[int(rng.integers(len(facades)))]
            add_building(f"{side} {index}", side * (9.2 + setback), y, width, depth, floors, side, facade, glass)
            y, index = y + width, index + 1
    add_object("end of the street", box("end of the street", (44, 14, 34), facades[1]), (0, 232, 0))
    add_object("tower at the end", box("tower at the end", (7, 7, 52), facades[2]), (6, 224, 0))

    lamp = cylinder(
        "lamp", [(0, 0.16), (0.8, 0.16), (0.8, 0.08), (5.2, 0.06), (5.2, 0.4), (5.7, 0.25), (5.9, 0)], metal, 8
    )
    crown = cylinder("crown", [(2.2, 0.9), (3.2, 1.9), (4.6, 2.1), (5.8, 1.3), (6.4, 0)], leaves, 9)
    trunk = cylinder("trunk", [(0, 0.22), (2.6, 0.15)], metal, 7)
    for index, y in enumerate(np.arange(9, 150, 15.0)):
        for side in (-1, 1):
            add_object(f"lamp {index} {side}", lamp, (side * 5.6, y, 0.18))
            place = (side * 6.4, y + 7.5, 0.18)
            add_object(f"trunk {index} {side}", trunk, place)
            tree = add_object(f"crown {index} {side}", crown, place, float(rng.uniform(0, 6)))
            tree.scale.z = float(rng.uniform(0.85, 1.2))
    for index, y in enumerate((7.5, 14.0, 27.0, 33.5, 52.0, 70.0, 77.0)):
        side = -1 if index % 3 else 1
        body = cylinder("car", [(0.25, 1.0), (0.85, 1.05), (0.9, 0.85), (1.45, 0.6), (1.5, 0)], paint[index % 3], 4)
        car = add_object(f"car {index}", body, (side * 3.9, y, 0), math.pi / 4)
        car.data.transform(Matrix.Rotation(math.pi / 4, 4, "Z"))
        car.rotation_euler.z, car.scale = 0.0, (1.25, 3.0, 1.0)

    camera = add_camera(32, 800)
    key_location(camera, {1: (-1.4, -9, 1.9), FRAMES: (0.6, 1.5, 2.3)})
    look(camera, 1, (-0.5, 60, 7.5))
    look(camera, FRAMES, (1.5, 60, 7.0))


def add_building(
    name: str,
    face: float,
    y: float,
    width: float,
    depth: float,
    floors: int,
    side: int,
    facade: bpy.types.Material,
    glass: bpy.types.Material,
) -> None:
    """A box whose street side lies at x = face, with a cornice and rows of windows."""
    tall = 4.2 + 3.3 * floors
    centre = (face + side * depth / 2, y + width / 2, 0)
    add_object(f"building {name}", box(f"building {name}", (depth, width - 0.15, tall), facade), centre)
    cornice = box(f"cornice {name}", (depth + 0.9, width - 0.1, 0.6), facade)
    add_object(f"cornice {name}", cornice, (centre[0], centre[1], tall - 0.9))
    columns = max(2, int((width - 2) / 2.6))
    pitch = (width - 1.6) / columns
    # One pane standing a hand's breadth out of the wall, and a sill below it: arrays make the rows.
    pane = box(f"windows {name}", (0.16, 1.25, 1.9), glass)
    sill = box(f"sills {name}", (0.5, 1.6, 0.16), facade)
    for mesh, lift in ((pane, 5.0), (sill, 4.8)):
        row = add_object(mesh.name, mesh, (face, y + 0.8 + pitch / 2, lift))
        for count, offset in ((columns, (0, pitch, 0)), (floors, (0, 0, 3.3))):
            array = row.modifiers.new("array", "ARRAY")
            array.use_relative_offset, array.use_constant_offset = False, True
            array.count, array.constant_offset_displace = count, offset
    shop = box(f"shop {name}", (0.3, width - 2.0, 3.0), glass)
    add_object(f"shop {name}", shop, (face, y + width / 2, 0.3))


SCENES = {"valley_dolly": valley_dolly, "coast_crane": coast_crane, "street_push_in": street_push_in}


def main(folder: Path) -> None:
    """Write every scene into `folder`, compressed."""
    for name, build in SCENES.items():
        build()
        bpy.context.scene.frame_set(1)
        path = folder / f"{name}.blend"
        bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=True, check_existing=False)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
