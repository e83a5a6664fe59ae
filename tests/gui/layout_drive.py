"""Runs inside the GUI Blender: the Farplane tab as an artist finds it, a picture of each state of it.

    blender --enable-event-simulate --python layout_drive.py -- FOLDER MODEL

FOLDER holds farplane.zip, scene.blend and drive.py, whose helpers do the work.  MODEL is fog.py's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import bpy

sys.path.insert(0, sys.argv[sys.argv.index("--") + 1])
from drive import MODEL, click, drag, install, look, mouse, open_tab, press, run, tab, ui
from stage import picture, play, told, wait, wait_for

FRAMES = 3
NARROW = 180  # pixels
PICTURE = 426  # pixels from the tab's upper edge down to the chosen take's picture


def make(session: Any, prompt: str, seed: int, shown: str = "") -> Iterator[None]:
    """A take; with a picture of the window while its own forms."""
    asked = bpy.context.scene.farplane
    asked.prompt, asked.seed, session.message = prompt, seed, None
    run(bpy.ops.farplane.generate)
    if shown:
        yield from wait_for(lambda: session.message or (session.job and session.job.step > 1))
        region = tab()
        over = region.x + 60, region.y + region.height - PICTURE  # the picture that forms
        mouse("MOUSEMOVE", "NOTHING", *over)
        told["picture"] = [over[0], bpy.context.window_manager.windows[0].height - over[1]]
        yield from look(shown, 0.9)
    yield from wait_for(lambda: session.message is not None and not session.jobs)
    yield from wait(0.6)
    assert session.takes, session.message


def wheel(kind: str, times: int) -> Iterator[None]:
    """Turn the mouse's wheel over the tab."""
    region = tab()
    for _ in range(times):
        for value in ("PRESS", "RELEASE"):
            mouse(kind, value, region.x + region.width // 2, region.y + region.height // 2)
        yield from wait(0.05)
    yield from wait(0.6)


def below_the_fold(name: str) -> Iterator[None]:
    """Two pictures of the tab: as it is, and with the wheel turned to its end."""
    mouse("MOUSEMOVE", "NOTHING", 300, 300)
    yield from look(f"{name}-top")
    yield from wheel("WHEELDOWNMOUSE", 40)
    mouse("MOUSEMOVE", "NOTHING", 300, 300)
    yield from look(f"{name}-end")
    yield from wheel("WHEELUPMOUSE", 60)


def reports() -> str:
    """What Blender's Info editor has logged."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "OUTLINER")
    area.type = "INFO"
    with bpy.context.temp_override(window=window, area=area, region=area.regions[-1]):
        bpy.ops.info.select_all(action="SELECT")
        bpy.ops.info.report_copy()
    area.type = "OUTLINER"
    return bpy.context.window_manager.clipboard


def widen(width: int) -> Iterator[None]:
    """Drag the tab's edge until it is as wide."""
    region = tab()
    y = region.y + region.height // 2
    yield from drag((region.x, y), (region.x + region.width - width, y))
    told.setdefault("widths", []).append(tab().width)


def work() -> Iterator[None]:
    yield from install()
    session, scene, shown = ui("session").session, bpy.context.scene, bpy.context.window_manager.farplane
    scene.farplane.model_name, scene.frame_end = MODEL, FRAMES
    yield from open_tab()
    yield from look("01-first")
    told["tab"] = [tab().x, tab().width, tab().height, tab().y]

    yield from make(session, "slow fog over the hills at dawn", 7, "02-forming")
    yield from make(session, "fog over the hills at dusk, snow", 8)
    yield from below_the_fold("03-take")
    told["log"] = reports()
    run(bpy.ops.farplane.accept)
    yield from look("04-accepted")
    run(bpy.ops.farplane.land, folder=str(session.takes[0].folder), kinds={"background"})
    yield from look("05-landed")
    told["landed"] = str(session.message)
    shown.take_index = 1
    with suppress(RuntimeError):  # another one is landed in its place
        run(bpy.ops.farplane.land, folder=str(session.takes[1].folder), kinds={"background"})
    yield from look("06-refused")
    run(bpy.ops.farplane.remove, landing_id=ui("takes_panel").landing.landed(scene)[0].id)
    told["after removal"] = str(session.message)

    region = tab()
    yield from click(region.x + 60, region.y + region.height - PICTURE)
    picture("06-gallery")
    yield from press("ESC")

    scene.farplane.prompt = "fog at {dawn|noon|night}"
    yield from look("07-alternatives")
    run(bpy.ops.farplane.generate)
    yield from wait(0.5)
    picture("08-which")
    yield from press("ESC")
    scene.farplane.prompt = "fog at noon"

    run(bpy.ops.farplane.install_help)
    yield from wait(0.7)
    picture("09-install")
    yield from press("ESC")

    close = scene.camera.copy()
    scene.collection.objects.link(close)
    for name, frame, camera in (("wide", 1, scene.camera), ("close", 3, close)):
        scene.timeline_markers.new(name, frame=frame).camera = camera
    scene.frame_end, told["markers"] = 5, [marker.name for marker in scene.timeline_markers]
    yield from wait(1.5)
    yield from look("10-markers")
    run(bpy.ops.farplane.show_shot, shot=session.shots[0][0])
    yield from wait(1)
    yield from look("11-shot")
    told["shots"] = [list(session.shots), len(session.takes)]
    scene.timeline_markers.clear()
    run(bpy.ops.farplane.show_shot, shot="")

    bpy.context.preferences.system.use_region_overlap = False  # else the edge is not where the region says
    yield from wait(0.5)
    yield from widen(NARROW)
    yield from below_the_fold("12-narrow")
    yield from widen(330)
    bpy.context.preferences.view.ui_scale = 2.0
    yield from wait(1)
    yield from below_the_fold("13-large")
    told["done"] = True


if __name__ == "__main__":
    play(work(), bpy.ops.wm.quit_blender)
