"""Runs inside the GUI Blender: install the zip, drive the panel like a person, take pictures, write result.json.

    blender --enable-event-simulate --python drive.py -- FOLDER MODEL

FOLDER holds farplane.zip and scene.blend; pictures and result.json go there.  The work is a generator that a timer
advances: each `yield` gives Blender the time to draw and to run its own timers.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
from bpy_extras import view3d_utils

sys.path.insert(0, sys.argv[sys.argv.index("--") + 1])
import pulse
from stage import ARGUMENTS, FOLDER, MODULE, picture, play, told, wait, wait_for

MODEL = ARGUMENTS[1]
FRAMES = 5  # a software renderer takes its time for each frame's depth
SHOWN = 4  # the frame that is compared on the screen


def ui(name: str) -> Any:
    """A module of the add-on's interface."""
    return importlib.import_module(f"{MODULE}.addon.ui.{name}")


def view() -> dict[str, Any]:
    """The 3D view, as a context for operators."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    return {"window": window, "area": area, "region": region}


def tab() -> Any:
    return next(region for region in view()["area"].regions if region.type == "UI")


def run(operator: Any, **values: Any) -> Any:
    """As a button does it: invoked, and with its step for Ctrl-Z."""
    with bpy.context.temp_override(**view()):
        return operator("INVOKE_DEFAULT", True, **values)


def press(key: str, **modifiers: bool) -> Iterator[None]:
    """A real key, over the 3D view."""
    window = bpy.context.window_manager.windows[0]
    window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=400, y=300)
    for value in ("PRESS", "RELEASE"):
        window.event_simulate(type=key, value=value, x=400, y=300, **modifiers)
    yield from wait(0.7)


def mouse(kind: str, value: str, x: int, y: int) -> None:
    """A real event of the mouse; y counts from below."""
    bpy.context.window_manager.windows[0].event_simulate(type=kind, value=value, x=x, y=y)


def drag(start: tuple[int, int], stop: tuple[int, int]) -> Iterator[None]:
    """Press the left button at one place of the window and let it go at another."""
    mouse("MOUSEMOVE", "NOTHING", *start)
    yield from wait(0.2)
    mouse("LEFTMOUSE", "PRESS", *start)
    for share in (0.25, 0.5, 0.75, 1.0):
        yield
        mouse("MOUSEMOVE", "NOTHING", *(round(a + share * (b - a)) for a, b in zip(start, stop, strict=True)))
    yield
    mouse("LEFTMOUSE", "RELEASE", *stop)
    yield from wait(0.4)
    mouse("MOUSEMOVE", "NOTHING", 300, 200)  # no tooltip, no hint of a region's edge in the picture
    yield from wait(0.4)


def click(x: int, y: int) -> Iterator[None]:
    yield from drag((x, y), (x, y))


def redraw() -> None:
    """The tab is drawn again, as under the artist's mouse."""
    tab().tag_redraw()


def look(name: str, seconds: float = 1.5) -> Iterator[None]:
    """Let the panels glide to their places, then take the picture."""
    for _ in range(round(seconds / 0.3)):
        redraw()
        yield from wait(0.3)
    picture(name)


def beside(path: Path) -> Iterator[None]:
    """A picture in an image editor in the view's left half."""
    window = bpy.context.window_manager.windows[0]
    with bpy.context.temp_override(**view()):
        bpy.ops.screen.area_split(direction="VERTICAL", factor=0.4)
    yield from wait(0.5)
    left = min((a for a in window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.x)
    left.type = "IMAGE_EDITOR"
    left.spaces.active.image = bpy.data.images.load(str(path))
    yield from wait(0.5)
    region = next(region for region in left.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=left, region=region):
        bpy.ops.image.view_all(fit_view=True)


def install() -> Iterator[None]:
    """The zip as an artist installs it, then the scene."""
    bpy.context.preferences.view.ui_scale = 1.0
    bpy.ops.extensions.package_install_files(
        filepath=str(FOLDER / "farplane.zip"), repo="user_default", enable_on_install=True
    )
    told["enabled"] = MODULE in bpy.context.preferences.addons
    bpy.ops.wm.open_mainfile(filepath=str(FOLDER / "scene.blend"))
    yield from wait(1)


def open_tab() -> Iterator[None]:
    """The tab beside the view through the camera; until the backend has answered."""
    space = view()["area"].spaces.active
    space.show_region_ui = True
    space.region_3d.view_perspective = "CAMERA"
    yield from wait(0.5)
    tab().active_panel_category = "Farplane"  # can be set only once the region has drawn
    run(bpy.ops.view3d.view_center_camera)
    yield from wait_for(lambda: ui("session").session.connection == "connected")


def camera_frame() -> list[int]:
    """Where the camera's frame lies on the screen: left, top, right, bottom in pixels."""
    region, space, camera = view()["region"], view()["area"].spaces.active, bpy.context.scene.camera
    corners = [camera.matrix_world @ corner for corner in camera.data.view_frame(scene=bpy.context.scene)]
    points = [view3d_utils.location_3d_to_region_2d(region, space.region_3d, corner) for corner in corners]
    x, y = ([region.x + p.x for p in points], [region.y + p.y for p in points])
    height = bpy.context.window_manager.windows[0].height
    return [round(v) for v in (min(x), height - max(y), max(x), height - min(y))]


def work() -> Iterator[None]:
    yield from install()
    session = ui("session").session
    landing = importlib.import_module(f"{MODULE}.addon.landing")
    operators, meter = ui("operators"), ui("meter").meter
    window = bpy.context.window_manager.windows[0]
    space = view()["area"].spaces.active
    space.shading.type = "SOLID"
    space.overlay.show_floor = False
    yield from open_tab()
    yield from wait(1)
    picture("1-shot")

    scene = bpy.context.scene
    scene.farplane.model_name = MODEL
    scene.frame_end = FRAMES
    pulse.begin(window)
    for _ in range(10):  # idle; the tab is drawn now and then, as while a job runs
        redraw()
        yield from wait(0.2)
    events = {"idle": pulse.end()}
    pulse.begin(window)
    meter.reset()
    told["invoke"] = list(run(bpy.ops.farplane.generate))
    yield from wait_for(
        lambda: operators.running_generation() is None or operators.running_generation().stage == "depth"
    )
    yield from wait(0.3)
    picture("2-passes")
    told["modal"] = operators.running_generation() is not None
    yield from wait_for(lambda: session.job is not None or session.message is not None)
    yield from wait_for(lambda: session.job is None or session.job.preview)
    yield from wait(0.4)
    picture("3-denoise")
    yield from wait_for(lambda: session.job is None)
    events["generate"] = pulse.end()
    told["message"] = str(session.message)
    told["frames"] = len(session.takes[0].frames())
    told["main thread"] = {**meter.report(), **events}
    (FOLDER / "main-thread.json").write_text(json.dumps(told["main thread"], indent=1))
    yield from look("4-take")

    bpy.context.scene.frame_set(SHOWN)
    yield from look("5-blockout")
    take = session.takes[0]
    shot = json.loads((take.folder / "shot.json").read_text())
    told["model"], told["sent colours"] = shot["settings"]["model"], [f.get("base_colour") for f in shot["frames"]]
    for name in (f"plate.{SHOWN:04d}.exr", f"depth.{SHOWN:04d}.exr", f"base_colour.{SHOWN:04d}.png"):
        shutil.copy(take.folder / name, FOLDER / name)
    bpy.context.window_manager.farplane.note = "as in the blockout"
    run(bpy.ops.farplane.accept)  # the chosen take: the one that has just come
    decided = json.loads((take.folder / "take.json").read_text())
    told["decided"] = [decided["state"], decided["note"], bool(decided["author"]), bool(decided["decided"])]
    run(bpy.ops.farplane.land, folder=str(take.folder))
    scene = bpy.context.scene
    told["landed"] = list(landing.landed(scene)[0].kinds)
    for obj in scene.objects:  # the blockout out of the way: the plate alone is seen
        obj.hide_set(obj.type == "MESH")
    yield from look("5-landed")
    told["frame"], told["sidebar"] = camera_frame(), tab().x
    told["image"] = [list(bg.image.size) for bg in scene.camera.data.background_images]

    # Ctrl-Z undoes a removal the landing back, and Shift-Ctrl-Z brings it again
    for obj in scene.objects:
        obj.hide_set(False)
    run(bpy.ops.farplane.remove, landing_id=landing.landed(scene)[0].id)
    told["removed"] = len(landing.landed(bpy.context.scene))
    yield from wait(0.3)
    yield from press("Z", ctrl=True)
    told["after undo"] = [list(item.kinds) for item in landing.landed(bpy.context.scene)]
    yield from press("Z", ctrl=True, shift=True)
    told["after redo"] = len(landing.landed(bpy.context.scene))
    yield from press("Z", ctrl=True)
    yield from press("Z", ctrl=True)
    told["before landing"] = [
        len(landing.landed(bpy.context.scene)),
        len(bpy.context.scene.camera.data.background_images),
        len([image for image in bpy.data.images if "farplane_take" in image]),
    ]

    # Esc while the passes are read, by a real key
    run(bpy.ops.farplane.generate)
    yield from wait_for(
        lambda: (
            operators.running_generation() is None or operators.running_generation().stage not in ("connect", "enquire")
        )
    )
    yield from press("ESC")
    yield from wait_for(lambda: operators.running_generation() is None)
    told["after esc"] = [str(session.message.text), session.job is None, len(bpy.data.scenes)]
    yield from look("6-cancelled")

    bpy.ops.preferences.addon_disable(module=MODULE)
    yield from wait(0.5)
    told["disabled"] = not hasattr(bpy.types.Scene, "farplane")
    told["done"] = True


if __name__ == "__main__":  # the guide's driver takes the helpers alone
    play(work(), bpy.ops.wm.quit_blender)
