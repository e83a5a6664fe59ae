"""Runs inside the GUI Blender: a slow job cancelled by the mouse, a job whose process dies, a take deleted, a dead backend.

    blender --enable-event-simulate --python trouble_drive.py -- FOLDER MODEL

FOLDER holds farplane.zip, scene.blend, backend.pid and drive.py, whose helpers do the work.  MODEL is fog.py's.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import bpy
import numpy as np

sys.path.insert(0, sys.argv[sys.argv.index("--") + 1])
from drive import MODEL, click, install, look, mouse, open_tab, press, redraw, run, tab, ui
from stage import FOLDER, picture, play, told, wait, wait_for

FRAMES = 2
BAR = 19  # pixels from the sidebar's left edge: in the progress bar (from 17), left of what is blue in the list of takes (22)
BUTTON = 47  # pixels from its right edge, tabs and all: the middle of the button beside the bar


def cancel_button() -> tuple[int, int]:
    """The middle of the button beside the progress bar, whose blue is found in a picture of the screen."""
    picture("scratch")
    image = bpy.data.images.load(str(FOLDER / "scratch.png"), check_existing=False)
    width, height = image.size
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    column = pixels.reshape(height, width, 4)[:, tab().x + BAR]  # row 0 at the bottom, as events count
    (blue,) = np.nonzero((column[:, 2] > 0.6) & (column[:, 0] < 0.4))
    top = int(blue.max())
    bottom = top
    while bottom - 1 in blue:
        bottom -= 1
    return tab().x + tab().width - BUTTON, (top + bottom) // 2


def begin(session: Any, prompt: str) -> Iterator[None]:
    """Press Generate, and wait until the picture forms."""
    bpy.context.scene.farplane.prompt = prompt
    session.message = None
    told.setdefault("invoked", []).append(list(run(bpy.ops.farplane.generate)))
    yield from wait_for(lambda: session.message is not None or (session.job is not None and session.job.preview))


def ended(session: Any) -> Iterator[None]:
    yield from wait_for(lambda: session.message is not None and not session.jobs)


def delete(session: Any) -> Iterator[None]:
    """The take that is there: asked and left alone by Esc, asked again and deleted by Enter."""
    folder = session.takes[0].folder
    there = []
    for key in ("ESC", "RET"):
        mouse("MOUSEMOVE", "NOTHING", 400, 300)  # where the question comes
        yield from wait(0.3)
        run(bpy.ops.farplane.delete_take, folder=str(folder))
        yield from look(f"7-delete-{key.lower()}", 0.9)
        there.append((folder / "take.json").exists())
        yield from press(key)
        yield from wait(0.5)
        there.append((folder / "take.json").exists())
    told["delete"] = there


def said(session: Any) -> list[Any]:
    message = session.message
    whole = [item.take.whole for item in session.listed]
    return [message.text, message.remedy, message.is_error, whole]


def work() -> Iterator[None]:
    yield from install()
    session, scene = ui("session").session, bpy.context.scene
    scene.farplane.model_name = MODEL
    scene.frame_end = FRAMES
    yield from open_tab()

    yield from begin(session, "slow fog")
    yield from look("1-running", 0.6)
    yield from click(*cancel_button())
    told["cancelling"] = session.job is None or session.job.cancelling
    picture("2-cancelling")
    yield from ended(session)
    told["cancelled"] = said(session)
    yield from look("3-cancelled")

    yield from begin(session, "dies in the fog")
    yield from ended(session)
    told["died"] = said(session)
    yield from look("4-died")

    yield from begin(session, "fog over the hills")  # the backend is there again
    yield from ended(session)
    told["after it"] = said(session)

    yield from delete(session)

    yield from begin(session, "slow fog")
    os.kill(int((FOLDER / "backend.pid").read_text()), signal.SIGKILL)
    yield from wait_for(lambda: session.connection != "connected")
    yield from wait_for(lambda: session.problem is not None)
    yield from wait(3)
    redraw()
    told["gone"] = [session.lost.text, session.lost.remedy, len(session.jobs)]
    yield from look("5-gone")
    run(bpy.ops.farplane.cancel)
    yield from look("6-given-up")
    told["jobs left"] = len(session.jobs)
    told["done"] = True


play(work(), bpy.ops.wm.quit_blender)
