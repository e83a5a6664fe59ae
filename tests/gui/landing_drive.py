"""Runs inside the GUI Blender: two takes of a large shot, each way to look at them and to land them, and its holds.

    blender --enable-event-simulate --python landing_drive.py -- FOLDER MODEL

FOLDER holds farplane.zip, scene.blend and drive.py, whose helpers do the work.  MODEL is fog.py's, so that the shot can
be as large as a big model's.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import bpy
from bpy_extras import view3d_utils
from mathutils import Matrix, Vector

sys.path.insert(0, sys.argv[sys.argv.index("--") + 1])
import pulse
from drive import MODEL, install, look, open_tab, redraw, run, ui, view
from stage import FOLDER, MODULE, play, told, wait, wait_for

SIZE, FRAMES = (768, 448), 5
# In the shot's camera's own axes: to the right, up and back, turned to the left and down.
ASIDE = Matrix.Translation((12, 6, 4)) @ Matrix.Rotation(0.4, 4, "Y") @ Matrix.Rotation(-0.15, 4, "X")
STEP = 12  # pixels between the points of the screen that are looked at


def hold(name: str, act: Callable[[], Any], until: Callable[[], Any]) -> Iterator[None]:
    """Do it, wait until it is so and a moment longer, and note what held the window meanwhile."""
    pulse.begin(bpy.context.window_manager.windows[0])
    act()
    yield from wait_for(until)
    for _ in range(3):
        redraw()
        yield from wait(0.3)
    told.setdefault("holds", {})[name] = pulse.end()


def take(session: Any, prompt: str) -> Iterator[None]:
    """From Generate to the take, the picture that forms in front of the scene."""
    bpy.context.scene.farplane.prompt = prompt
    session.message = None

    def whole() -> bool:
        return session.message is not None and not session.jobs

    yield from hold(f"generate {len(session.takes) + 1}", lambda: run(bpy.ops.farplane.generate), whole)
    assert session.takes, session.message


def onlooker() -> None:
    """Look from aside of the shot's camera, freely."""
    camera, space = bpy.context.scene.camera, view()["area"].spaces.active
    space.region_3d.view_perspective = "PERSP"
    space.lens = camera.data.lens
    space.region_3d.view_matrix = (camera.matrix_world @ ASIDE).normalized().inverted()


def seen_by_camera(scene: Any, point: Vector, normal: Vector, graph: Any) -> bool:
    """Whether the shot's camera sees this point of a surface."""
    camera = scene.camera
    inside = camera.matrix_world.normalized().inverted() @ point
    corners = camera.data.view_frame(scene=scene)
    right, top = max(c.x / -c.z for c in corners), max(c.y / -c.z for c in corners)
    if inside.z >= 0 or abs(inside.x / inside.z) > right or abs(inside.y / inside.z) > top:
        return False
    centre = camera.matrix_world.translation
    way = point - centre
    if way.dot(normal) >= 0:
        return False
    hit, there, *_ = scene.ray_cast(graph, centre, way.normalized())
    return hit and (there - centre).length > way.length * 0.995


def seen() -> list[list[int]]:
    """[x, y, state] of points on the screen: 1 the shot's camera sees what is there, 0 it does not, -1 nothing is."""
    space, region = view()["area"].spaces.active, view()["region"]
    scene, graph = bpy.context.scene, bpy.context.evaluated_depsgraph_get()
    height = bpy.context.window_manager.windows[0].height
    found = []
    for y in range(STEP, region.height, STEP):
        for x in range(STEP, region.width, STEP):
            at = (x + 0.5, y + 0.5)
            origin = view3d_utils.region_2d_to_origin_3d(region, space.region_3d, at)
            way = view3d_utils.region_2d_to_vector_3d(region, space.region_3d, at)
            hit, point, normal, *_ = scene.ray_cast(graph, origin, way)
            state = -1
            if hit:
                state = int(seen_by_camera(scene, point, normal if normal.dot(way) < 0 else -normal, graph))
            found.append([region.x + x, height - 1 - (region.y + y), state])
    return found


def work() -> Iterator[None]:
    yield from install()
    session, shown, scene = ui("session").session, bpy.context.window_manager.farplane, bpy.context.scene
    landing = importlib.import_module(f"{MODULE}.addon.landing")
    scene.farplane.model_name, scene.farplane.size = MODEL, "SCENE"
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.frame_end = FRAMES
    scene.frame_set(1)
    yield from open_tab()
    bpy.context.preferences.system.use_region_overlap = False  # the view beside the sidebar, nothing over it
    space = view()["area"].spaces.active
    space.overlay.show_overlays = space.show_gizmo = False

    shown.live = "FRONT"
    yield from take(session, "fog")
    yield from take(session, "red fog")
    shown.live = "OFF"

    yield from hold("depth", lambda: setattr(shown, "show_depth", True), lambda: ui("overlay").shown("depth"))
    shown.show_depth = False
    yield from hold("compare", lambda: run(bpy.ops.farplane.compare), lambda: ui("compare")._shown is not None)
    run(bpy.ops.farplane.compare)
    shown.take_index = 0  # the newest
    yield from hold("accept", lambda: run(bpy.ops.farplane.accept), lambda: True)
    folder = str(session.takes[0].folder)

    space.shading.type = "MATERIAL"
    yield from look("1-material", 6)
    onlooker()
    yield from look("2-aside", 10)  # until EEVEE has its light and its samples: in 5.2 this picture is paler after 3 s
    told["seen"] = seen()
    space.region_3d.view_perspective = "CAMERA"
    space.shading.type = "SOLID"

    def landed(kind: str) -> Callable[[], bool]:
        return lambda: any(kind in item.kinds for item in landing.landed(scene))

    for kind in landing.KINDS:
        yield from hold(
            f"land {kind}", lambda k=kind: run(bpy.ops.farplane.land, folder=folder, kinds={k}), landed(kind)
        )
    space.shading.type = "MATERIAL"
    yield from look("3-projected", 3)
    onlooker()
    yield from look("4-projected-aside", 6)
    scene.frame_set(FRAMES)
    yield from look("5-projected-aside-last", 3)
    scene.frame_set(1)
    space.region_3d.view_perspective = "CAMERA"
    space.shading.type = "SOLID"
    for kind in landing.KINDS:
        (item,) = landing.landed(scene)
        act = lambda k=kind, i=item.id: run(bpy.ops.farplane.remove, landing_id=i, kinds={k})  # noqa: E731
        yield from hold(f"remove {kind}", act, lambda k=kind: not landed(k)())
    (FOLDER / "holds.json").write_text(json.dumps(told["holds"], indent=1))
    told["done"] = True


play(work(), bpy.ops.wm.quit_blender)
