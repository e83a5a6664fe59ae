"""Takes of 768 x 448 pixels in the real GUI Blender: how long each landing holds the window, and what a projection hides.

Run by `make test-gui`, with fog.py in the model's place.  The pictures stay in out/gui-landing for a person to look at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

PICTURES = "gui-landing"  # folder in out/
STEP = 12  # pixels between the points, as in landing_drive.py

pytestmark = pytest.mark.gui


@pytest.fixture(scope="module")
def told(gui: Any, suite: str, out: Path) -> dict[str, Any]:
    return gui.drive(out, model=gui.FOG, script="landing_drive.py", suite=suite)


def test_the_tour_ends_without_an_error(told: dict[str, Any]) -> None:
    assert told.get("error") is None, told.get("error")
    assert told["done"]


def test_no_landing_holds_the_window(told: dict[str, Any]) -> None:
    """Nor any other thing that is done with a take: between two events, 50 ms of processor time in our code at most.

    All our calls in between are added up; what they have Blender compile or upload is in it, its renders are not.  The
    clock's figures are reported: other programs of the machine and a software renderer's redraws lengthen those.
    """
    names = ("events", "gap_most", "rest_most", "ours_most", "ours_over_50", "our_work_most", "call_most", "call")
    for name, held in told["holds"].items():
        print(f"{name:20}", {key: held[key] for key in names})
    assert {name: held["our_work_most"] for name, held in told["holds"].items() if held["our_work_most"] >= 50} == {}
    assert all(held["ours_all"] > 0 for held in told["holds"].values())


def test_a_projection_is_seen_only_where_the_camera_saw(told: dict[str, Any], out: Path) -> None:
    """From aside: what the shot's camera sees has become the plate, which is red, everything else is as it was."""
    before, after = (cv2.imread(str(out / name)).astype(int) for name in ("2-aside.png", "4-projected-aside.png"))
    grid = {(x, y): state for x, y, state in told["seen"]}
    hidden, painted = [], []
    for x, y in grid:
        around = {grid.get((x + dx, y + dy)) for dx in (-STEP, 0, STEP) for dy in (-STEP, 0, STEP)}
        if around == {0}:  # away from the borders of what is seen
            hidden.append(float(abs(after[y, x] - before[y, x]).max()))
        elif around == {1}:
            painted.append(float(after[y, x, 2] - after[y, x, 1]))
    print({"hidden": np.percentile(hidden, [50, 95, 99]).round(1), "points": [len(hidden), len(painted)]})
    print({"painted": np.percentile(painted, [0, 1, 5, 50]).round(1)})
    assert min(len(hidden), len(painted)) > 100
    assert (np.array(hidden) < 8).mean() > 0.98
    assert (np.array(painted) > 40).mean() > 0.98
