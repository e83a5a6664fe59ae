"""What the drivers in this folder share: told things, pictures of the screen, waiting, and a generator played by a timer.

A driver runs inside Blender as `--python driver.py -- FOLDER …`, with this file beside it in FOLDER.  Its work is a
generator, so that Blender's own loop runs between the steps.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

ARGUMENTS = sys.argv[sys.argv.index("--") + 1 :]
FOLDER = Path(ARGUMENTS[0])
MODULE = "bl_ext.user_default.farplane"
BOUND = 800.0  # seconds; only ends a hang
told: dict[str, Any] = {"blender": bpy.app.version_string}
_own = [0.0]  # seconds of the driver's steps


def picture(name: str) -> None:
    """What is on the screen; Blender's own screenshot operator gives black here."""
    command = f"xwd -root -silent -out {FOLDER}/r.xwd && convert xwd:{FOLDER}/r.xwd {FOLDER}/{name}.png"
    subprocess.run(command, shell=True, check=True)


def wait(seconds: float) -> Iterator[None]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield


def wait_for(what: Callable[[], Any]) -> Iterator[None]:
    until = time.monotonic() + BOUND
    while not what():
        if time.monotonic() > until:
            raise TimeoutError(str(what))
        yield


def own_seconds() -> float:
    """How long the driver itself has held the main thread: its pictures, and all that its steps call."""
    return _own[0]


def play(steps: Iterator[None], leave: Callable[[], object]) -> None:
    """Take one step a tick; at the end, or after an error, write result.json and leave Blender."""

    def advance() -> float | None:
        began = time.perf_counter()
        try:
            next(steps)
            _own[0] += time.perf_counter() - began
            return 0.05
        except StopIteration:
            pass
        except BaseException:
            told["error"] = traceback.format_exc()
            picture("error")
        (FOLDER / "result.json").write_text(json.dumps(told, indent=1, default=str))
        leave()
        return None

    bpy.context.preferences.view.show_splash = False  # now: in the first tick it is there already
    bpy.app.timers.register(advance, first_interval=2.0, persistent=True)
