"""Ctrl-C while the scene is read and while the plate is landed: nothing half-written, one line, nobody left.

tests/backend/test_cli_end_to_end.py presses it while Blender starts and while the backend renders.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("bpy")
sys.path.append(str(Path(__file__).parent / "cli_pipeline"))
from whole_way import BOUND, FRAMES, assert_nothing_is_left, start
from whole_way import environment as environment
from whole_way import scenes as scenes

LONG = "1-40"  # frames: seconds of depth, and more of Cycles, on any machine
COPY = ".valley_farplane.*.blend"


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What it prints up to the line that has `words`."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if words in line:
            return printed
    raise AssertionError(f"{words!r} never came: {printed}{process.communicate()[1]}")


def press_ctrl_c(process: subprocess.Popen[str]) -> str:
    """Returns all it prints from then on; it must end as a program that was interrupted, in a line."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=BOUND)
    assert process.returncode == 130, out + err
    assert "Traceback" not in out + err
    assert err == "cancelled by Ctrl-C\n"
    return out


@pytest.mark.parametrize(
    ("begun", "unfinished"),
    [
        ("Starting Blender", ("Rendering depth", "Rendering the scene itself", "Sending the shot")),
        ("Rendering depth", ("Rendering the scene itself", "Sending the shot")),
    ],
    ids=["depth", "reference"],
)
@pytest.mark.parametrize("earlier", [False, True], ids=["new folder", "folder with a file"])
def test_while_the_scene_is_read(
    scenes: Path, environment: dict[str, str], tmp_path: Path, begun: str, unfinished: tuple[str, ...], earlier: bool
) -> None:
    out = tmp_path / "new" / "take"
    if earlier:
        out.mkdir(parents=True)
        (out / "notes.txt").write_text("mine")
    process = start(environment, "render", scenes / "valley.blend", "--prompt", "x", "--pipeline", "painted:run_job",
                    "--frames", LONG, "--out", out)  # fmt: skip
    printed = read_until(process, begun)
    printed += press_ctrl_c(process)
    assert not [stage for stage in unfinished if stage in printed], printed
    left = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert left == ([Path("new/take/notes.txt")] if earlier else [])
    assert (tmp_path / "new").exists() == earlier
    assert_nothing_is_left(environment)


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + BOUND
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_while_the_plate_is_landed_the_plate_stays_and_no_half_copy(
    scenes: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "take"
    process = start(environment, "render", scenes / "valley.blend", "--prompt", "x", "--pipeline", "painted:run_job",
                    "--no-reference", "--out", out)  # fmt: skip
    wait_for(lambda: list(out.glob(COPY)), process)  # the copy that the plate is landed in
    printed = press_ctrl_c(process)
    assert "Landing the plate" not in printed
    names = {path.name for path in out.iterdir()}
    assert {f"plate.{frame:04d}.exr" for frame in FRAMES} <= names
    assert {"shot.json", "take.json", "report.json"} <= names
    assert json.loads((out / "take.json").read_text())["finished"]
    assert not [name for name in names if name.startswith(".") or name.endswith((".blend", ".part", "@", "1"))]
    assert_nothing_is_left(environment)
