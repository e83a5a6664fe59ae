"""Runs inside the GUI Blender: the artist's own render (F12) before Generate, between its passes, and beside the depth.

    blender --enable-event-simulate --python render_drive.py -- FOLDER MODEL

FOLDER holds farplane.zip, scene.blend and drive.py, whose helpers do the work.  MODEL is fog.py's.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import bpy
import numpy as np

sys.path.insert(0, sys.argv[sys.argv.index("--") + 1])
from drive import MODEL, camera_frame, install, look, mouse, open_tab, run, ui
from stage import FOLDER, picture, play, told, wait, wait_for

FRAMES = 6
NO_LIMIT = 1e6  # a clip end beyond this is none
MISSED = 30.0  # seconds; an edit that is not seen by then never is
SAMPLES = 24  # some seconds of rendering; always as many, so that the same picture comes of it


def renders() -> bool:
    return bpy.app.is_job_running("RENDER")


def key(name: str) -> None:
    window = bpy.context.window_manager.windows[0]
    mouse("MOUSEMOVE", "NOTHING", 400, 300)
    for value in ("PRESS", "RELEASE"):
        window.event_simulate(type=name, value=value, x=400, y=300)


def leftovers() -> list[str]:
    blocks = (bpy.data.scenes, bpy.data.objects, bpy.data.cameras, bpy.data.node_groups)
    return [block.name for kind in blocks for block in kind if block.name.startswith(".farplane")]


class Renders:
    """What Blender tells of every render: "init", "complete" or "cancel", and whether it is of the artist's scene.

    Two kinds of renders of the stand-in are no passes and are left out: those that only read what a render evaluates, and
    the look at what lies beyond the camera's clip end.  beside : whether one of them came during the artist's own.
    """

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []
        self.beside = False
        self._artists = bpy.context.scene.session_uid
        for name in ("init", "complete", "cancel"):
            getattr(bpy.app.handlers, f"render_{name}").append(self._note(name))

    def _note(self, name: str) -> Callable[..., None]:
        def note(scene: Any, *_: object) -> None:
            is_own = scene.session_uid == self._artists
            if is_own or (scene.render.engine != "FARPLANE_READING" and scene.camera.data.clip_end < NO_LIMIT):
                self.told.append((name, is_own))
            elif self.told and self.told[-1] == ("init", True):
                self.beside = True

        return note

    def take(self) -> list[tuple[str, bool]]:
        """Those since the last call."""
        found, self.told = self.told, []
        return found


def depth_on_screen() -> list[list[int]]:
    """[x, y, code] where the depth preview has one shade for some pixels around: what a picture should show there."""
    frame, (left, top, right, bottom) = ui("depth_view").latest(), camera_frame()
    drawn = ui("depth_view").picture(frame.z, frame.near, frame.far).light[::-1, :, 0]  # row 0 at the top
    height, width = drawn.shape
    found = []
    for row in range(4, height - 4, 8):
        for column in range(4, width - 4, 8):
            near = drawn[row - 3 : row + 4, column - 3 : column + 4]
            if np.isfinite(frame.z[row, column]) and np.ptp(near) < 0.004:
                light = float(near[3, 3])
                code = light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
                x = left + (column + 0.5) / width * (right - left)
                y = top + (row + 0.5) / height * (bottom - top)
                found.append([round(x), round(y), round(255 * code)])
    return found


def keep_render(name: str) -> None:
    """The artist's picture as it is now, for a comparison."""
    scene = bpy.context.scene
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_depth, settings.exr_codec = "OPEN_EXR", "32", "NONE"
    bpy.data.images["Render Result"].save_render(str(FOLDER / f"render-{name}.exr"), scene=scene)


def unread(generation: Any) -> bool:
    """Whether a pass is rendered whose file a thread still reads, so that it is not counted as done."""
    extraction = generation._extraction
    return extraction is not None and extraction._reading is not None


def f12(
    meanwhile: Callable[[], object] | None = None, shown: str = "", watch: Callable[[], object] | None = None
) -> Iterator[None]:
    """Press it, do something while it renders, and wait for its end; told["seen"] is where Generate stood meanwhile.

    shown : the name of a picture of that.  watch : called again and again while it renders; the add-on's own timer may
    come first once it has ended.
    """
    operators = ui("operators")
    seen: list[Any] = []

    def note() -> None:
        g = operators.running_generation()
        where = None if g is None else (g.stage, g.done, g.gives_way, unread(g))
        if where not in seen:
            seen.append(where)

    key("F12")
    yield from wait_for(renders)
    if operators.running_generation() is not None:
        note()  # before a save takes the stand-in away
    if meanwhile is not None:
        meanwhile()
    if shown:
        yield from wait(0.6)
        picture(shown)
    while renders():
        note()
        if watch is not None:
            watch()
        yield
    told["seen"] = seen


def ended(session: Any) -> Iterator[None]:
    yield from wait_for(lambda: session.message is not None and not session.jobs)


def until_a_pass_is_read() -> Iterator[None]:
    operators = ui("operators")
    run(bpy.ops.farplane.generate)
    yield from wait_for(
        lambda: (g := operators.running_generation()) is None or (g.stage == "depth" and 0 < g.done < FRAMES - 1)
    )


def cancel() -> None:
    run(bpy.ops.farplane.cancel)
    told["stays"] = leftovers()


def begin(session: Any, prompt: str) -> None:
    bpy.context.scene.farplane.prompt, session.message = prompt, None


def conclude(name: str, session: Any, rendered: Renders) -> None:
    """What came of one part of the tour."""
    message = session.message
    told[name] = {
        "seen": told.pop("seen"),
        "rendered": rendered.take(),
        "said": message and message.text,
        "whole": [item.take.whole for item in session.listed],
        "left": leftovers(),
    }
    keep_render(name)
    if message is not None and not message.is_error and session.takes and message.text != "Cancelled":
        for pattern in ("depth.*.exr", "base_colour.*.png"):
            for path in session.takes[0].folder.glob(pattern):
                shutil.copy(path, FOLDER / f"{name}-{path.name}")


def work() -> Iterator[None]:
    yield from install()
    session, scene, shown = ui("session").session, bpy.context.scene, bpy.context.window_manager.farplane
    scene.farplane.model_name = MODEL
    scene.frame_end = FRAMES
    scene.render.engine, cycles = "CYCLES", scene.cycles
    # Debian's Blenders are built without the denoiser that a new scene asks for: in 4.3 such a render ends at once
    cycles.samples, cycles.use_adaptive_sampling, cycles.use_denoising = SAMPLES, False, False
    bpy.ops.wm.save_mainfile()
    yield from open_tab()
    rendered = Renders()

    yield from f12()
    picture("1-alone")
    conclude("alone", session, rendered)
    bpy.context.preferences.view.render_display_type = "NONE"  # the window that came covers the panel
    for window in list(bpy.context.window_manager.windows)[1:]:
        with bpy.context.temp_override(window=window):
            bpy.ops.wm.window_close()
    yield from wait(0.5)

    begin(session, "fog in the morning")
    yield from f12(lambda: run(bpy.ops.farplane.generate))
    yield from ended(session)
    conclude("first", session, rendered)

    begin(session, "fog at noon")
    yield from until_a_pass_is_read()
    yield from f12(shown="2-between")
    yield from ended(session)
    conclude("between", session, rendered)

    begin(session, "fog at tea time")
    yield from until_a_pass_is_read()
    yield from f12(lambda: key("ESC"))
    yield from ended(session)
    conclude("escaped", session, rendered)

    begin(session, "fog in the evening")
    yield from until_a_pass_is_read()
    yield from f12(bpy.ops.wm.save_mainfile)
    yield from ended(session)
    conclude("saved", session, rendered)

    begin(session, "fog at night")
    yield from until_a_pass_is_read()
    yield from f12(cancel)
    yield from wait_for(lambda: not leftovers())
    conclude("cancelled", session, rendered)

    session.message = None
    views: list[bool] = []
    timer = ui("depth_view")
    yield from f12(lambda: setattr(shown, "show_depth", True), watch=lambda: views.append(timer.latest() is not None))
    yield from wait_for(lambda: ui("overlay").shown("depth"))
    told["shades"] = depth_on_screen()
    yield from look("3-depth")
    conclude("depth", session, rendered)
    told["depth"]["before the end"] = sorted(set(views))
    told["beside"] = rendered.beside

    # moved at once after each update, when Blender still tells of the stand-in that went
    told["moved"] = []
    for pause in (0.0, 0.2, 0.5, 0.8, 1.1):
        last = timer.latest()
        scene.objects["house 0"].location.z += 0.5
        until = time.monotonic() + MISSED
        while timer.latest() is last and time.monotonic() < until:
            yield
        told["moved"].append(timer.latest() is not last)
        yield from wait(pause)
    settled = timer.latest()
    yield from wait(6)
    told["settled"] = timer.latest() is settled
    told["done"] = True


play(work(), bpy.ops.wm.quit_blender)
