"""The Farplane tab in the real GUI Blender, on a screen of 1920 x 1080 and in Blender's own layout.

Run by `make test-gui`, with fog.py in the model's place.  The pictures stay in out/gui-layout for a person to look at:
each state of the tab, a sidebar of 180 pixels, a UI scale of 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

PICTURES = "gui-layout"  # folder in out/
SCREEN = "1920x1080x24"

pytestmark = pytest.mark.gui


@pytest.fixture(scope="module")
def told(gui: Any, suite: str, out: Path) -> dict[str, Any]:
    return gui.drive(out, model=gui.FOG, script="layout_drive.py", screen=SCREEN, suite=suite)


def tab(told: dict[str, Any], out: Path, name: str) -> np.ndarray:
    """The tab in a picture [H, W, 3]; the window is as high as the screen, and y counts from below."""
    left, width, height, bottom = told["tab"]
    screen = cv2.imread(str(out / f"{name}.png")).astype(int)
    top = screen.shape[0] - bottom - height
    return screen[top : top + height, left : left + width]


def test_the_tour_ends_without_an_error(told: dict[str, Any]) -> None:
    assert told.get("error") is None, told.get("error")
    assert told["done"]


def test_the_decision_and_the_landing_are_seen_without_scrolling(told: dict[str, Any], out: Path) -> None:
    """With a take chosen: turning the wheel to its end moves the tab by less than the Backend panel at its end is high."""
    above, end = (tab(told, out, f"03-take-{name}") for name in ("top", "end"))
    moved = next(
        (by for by in range(0, len(above), 1) if abs(above[60 + by : -40] - end[60 : len(end) - 40 - by]).mean() < 3),
        len(above),
    )
    assert moved < 60


def test_accept_moves_nothing(told: dict[str, Any], out: Path) -> None:
    """From the tab's top to below the buttons, rows stay where they were: only colours and words change."""
    before, after = (tab(told, out, name) for name in ("03-take-top", "04-accepted"))
    changed = (abs(before - after).max(axis=-1) > 24).any(axis=-1)  # by row; the view behind shines through the tab
    assert changed.mean() < 0.2


def test_the_picture_that_forms_is_no_blue_block(told: dict[str, Any], out: Path) -> None:
    """With the mouse over it; noise is grey."""
    x, y = told["picture"]
    screen = cv2.imread(str(out / "02-forming.png")).astype(int)
    b, _, r = np.moveaxis(screen[y - 8 : y + 8, x - 20 : x + 20], -1, 0)
    assert abs(b - r).mean() < 40
    assert (b + r).mean() / 2 > 90, "there is a picture"


def test_how_a_take_ended_is_told_in_blenders_own_log(told: dict[str, Any]) -> None:
    assert "take 001 is here" in told["log"]


def test_messages_end_with_their_landing(told: dict[str, Any]) -> None:
    assert "is landed" in told["landed"]
    assert told["after removal"] == "None"


def test_markers_make_no_take_disappear(told: dict[str, Any]) -> None:
    assert told["shots"] == [[["valley_dolly", 2]], 2]


def test_the_sidebar_was_as_narrow_as_it_should(told: dict[str, Any]) -> None:
    assert told["widths"][0] == 180
