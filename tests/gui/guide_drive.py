"""Runs inside the GUI Blender: from a blockout to an accepted plate, a picture of each step for docs/artist-guide.md.

    blender --enable-event-simulate --python guide_drive.py -- FOLDER MODEL

FOLDER holds farplane.zip, scene.blend and drive.py, whose helpers do the work; scripts/artist_guide.py calls this.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import bpy
from mathutils import Vector

sys.path.insert(0, sys.argv[sys.argv.index("--") + 1])
from drive import MODEL, beside, click, drag, install, run, tab, ui, view
from stage import FOLDER, MODULE, picture, play, told, wait, wait_for

FRAMES = 9
# Pixels from the sidebar's upper edge down to the panels' headers, at the moment when they are pressed.
SETTINGS, DEPTH = 363, 391
SIDEBAR = 330  # pixels: wide enough to read a prompt
PROMPT = "a forest valley at noon, clear sky, in summer"
SECOND = PROMPT.replace("noon", "dusk")
VARIED = PROMPT.replace("noon", "{dawn|noon|night}")


def toggle(down: int) -> Iterator[None]:
    """Open or close the panel whose header lies so many pixels below the sidebar's upper edge."""
    region = tab()
    yield from click(region.x + 60, region.y + region.height - down)


def look(name: str, seconds: float = 1.0) -> Iterator[None]:
    """Let the window come to rest, then take its picture."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:  # panels glide to their places
        ui("operators").redraw()
        yield from wait(0.3)
    session = ui("session").session
    told.setdefault("connection", []).append([name, session.connection, len(session.models)])
    picture(name)


def tidy() -> Iterator[None]:
    """One 3D view over the timeline, seen through the camera."""
    preferences = bpy.context.preferences
    preferences.system.use_region_overlap = False  # the sidebar beside the view, not over it
    window = bpy.context.window_manager.windows[0]
    for kind in ("PROPERTIES", "OUTLINER"):
        area = next(area for area in window.screen.areas if area.type == kind)
        with bpy.context.temp_override(window=window, area=area):
            bpy.ops.screen.area_close()
        yield from wait(0.5)
    timeline = next(area for area in window.screen.areas if area.type == "DOPESHEET_EDITOR")
    region = next(region for region in timeline.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=timeline, region=region):
        bpy.ops.action.view_all()
    space = view()["area"].spaces.active
    space.region_3d.view_perspective = "CAMERA"
    space.shading.type = "SOLID"
    space.overlay.show_floor = space.overlay.show_axis_x = space.overlay.show_axis_y = False
    space.show_gizmo = False


def centre() -> Iterator[None]:
    """The camera's frame as large as the view allows."""
    yield from wait(0.5)
    run(bpy.ops.view3d.view_center_camera)
    yield from wait(0.5)


def generate(session: Any, seed: int) -> Iterator[None]:
    """Press Generate and wait for the picture to form; the take is still being made at the end of this."""
    bpy.context.scene.farplane.seed = seed
    run(bpy.ops.farplane.generate)
    yield from wait_for(lambda: session.job is not None or session.message is not None)


def _forms(job: Any) -> bool:
    return bool(job.preview) and job.stage == "denoise" and job.step >= 2


def arrive(session: Any) -> Iterator[None]:
    yield from wait_for(lambda: not session.jobs)
    told.setdefault("messages", []).append(str(session.message))
    yield from wait(1.5)


def begin(session: Any) -> Iterator[None]:
    """Steps 1 to 4: the blockout, the tab, the shot, its depth."""
    scene = bpy.context.scene
    scene["farplane_prompt"] = ""
    scene.farplane.model_name = MODEL
    scene.frame_end = FRAMES
    scene.frame_set(1)
    yield from tidy()
    yield from centre()
    yield from look("01-blockout")

    view()["area"].spaces.active.show_region_ui = True
    yield from wait(0.7)
    tab().active_panel_category = "Farplane"  # can be set only once the region has drawn
    yield from wait(0.5)
    region = tab()
    y = region.y + region.height // 2
    yield from drag((region.x, y), (region.x + region.width - SIDEBAR, y))
    yield from centre()
    yield from wait_for(lambda: session.connection == "connected")
    yield from look("02-tab")

    scene.farplane.prompt = PROMPT
    yield from toggle(SETTINGS)
    yield from look("03-shot")
    yield from toggle(SETTINGS)

    yield from toggle(DEPTH)
    bpy.context.window_manager.farplane.show_depth = True
    yield from wait_for(lambda: ui("depth_view").latest() is not None)
    yield from look("04-depth", 2)
    bpy.context.window_manager.farplane.show_depth = False
    yield from toggle(DEPTH)


def decide(session: Any) -> Iterator[None]:
    """Steps 5 to 9: Generate, the take, another one beside it, the decision, the landing."""
    shown = bpy.context.window_manager.farplane
    shown.live = "FRONT"
    yield from generate(session, 11)
    yield from wait_for(lambda: session.job is None or _forms(session.job))
    yield from look("05-generate", 0.3)
    yield from arrive(session)
    shown.live = "OFF"
    bpy.context.scene.frame_set(5)
    yield from look("06-take", 2)

    bpy.context.scene.farplane.prompt = SECOND
    yield from generate(session, 12)
    yield from arrive(session)
    run(bpy.ops.farplane.compare)
    yield from wait_for(lambda: ui("compare")._shown is not None)
    yield from look("07-compare", 2)
    run(bpy.ops.farplane.compare)
    yield from wait(1)

    shown.take_index = 1  # the first: the newest is on top
    shown.note = "the light is right"
    run(bpy.ops.farplane.accept)
    yield from look("08-accept", 2)
    take = session.takes[shown.take_index]
    told["decided"] = json.loads((take.folder / "take.json").read_text())["state"]
    run(bpy.ops.farplane.land, folder=str(take.folder), kinds={"background"})
    run(bpy.ops.farplane.hide_set)  # the blockout out of the way: the plate is seen
    hero()
    yield from look("09-land", 2)


def hero() -> None:
    """Something of the artist's own that stands in front of the plate: Foreground."""
    camera = bpy.context.scene.camera
    with bpy.context.temp_override(**view()):
        bpy.ops.mesh.primitive_monkey_add(size=3, location=camera.matrix_world @ Vector((2.6, -1.6, -14)))
    monkey = bpy.context.object
    monkey.rotation_euler = camera.matrix_world.to_euler()
    monkey.rotation_euler.x -= 1.57
    bpy.ops.object.shade_smooth()
    run(bpy.ops.farplane.foreground_add)
    monkey.select_set(False)
    bpy.context.view_layer.objects.active = None


def vary(session: Any) -> Iterator[None]:
    """Step 10: a grid of takes with one contact sheet."""
    bpy.context.scene.farplane.prompt, bpy.context.scene.farplane.quality = VARIED, "DRAFT"
    run(bpy.ops.farplane.variations)
    yield from wait_for(lambda: bool(session.jobs) or ui("operators").running_generation() is None)
    yield from arrive(session)
    yield from wait_for(lambda: list(FOLDER.rglob("variations*/contact.png")))
    yield from beside(next(FOLDER.rglob("variations*/contact.png")))
    yield from centre()
    yield from look("10-variations", 2)


def work() -> Iterator[None]:
    yield from install()
    bpy.context.preferences.addons[MODULE].preferences.author = "Ana"
    session = ui("session").session
    for part in (begin, decide, vary):
        yield from part(session)
    told["done"] = True


play(work(), bpy.ops.wm.quit_blender)
