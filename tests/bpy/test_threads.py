"""Blender renders our passes while threads of ours run Python: the two must not meet without Python's lock.

Under Python 3.11 (Blender 4.2 to 5.0) an operator that is called in a `temp_override` asks Python for the context
without that lock, once another thread of Python runs (docs/decisions/random-sequences.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

from farplane.addon.scene import Extraction, plan_shots  # noqa: E402

USE = Path(__file__).parent / "threads_use.py"


def test_a_shot_is_read_beside_a_busy_thread() -> None:
    """With the override it was: one of the first renders ended it."""
    environment = {**os.environ, "PYTHONMALLOC": "debug", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(USE)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1])["rounds"] > 50, "the thread had its turns"


def test_no_render_under_an_override(scene: Any) -> None:
    """What a handler sees as the context while a pass is rendered: the artist's scene, at the artist's frame."""
    seen: list[tuple[str, int]] = []
    rendered: list[int] = []

    def look(rendering: Any, *_: Any) -> None:
        seen.append((bpy.context.scene.name, bpy.context.scene.frame_current))
        rendered.append(rendering.frame_current)

    scene.frame_set(14)
    bpy.app.handlers.render_pre.append(look)
    try:
        with Extraction(scene, plan_shots(scene)[0]) as extraction:
            while not extraction.step():
                pass
    finally:
        bpy.app.handlers.render_pre.remove(look)
    assert set(seen) == {(scene.name, 14)}
    assert rendered == [11, 13, 15, 11, 13, 13, 15]  # cameras, depths; and the middle one without limits, for the notes
