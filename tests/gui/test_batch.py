"""Variations and Storyboard in the real GUI Blender, against a real backend with the default model.

Run by `make test-gui`.  The pictures, the contact sheets among them, stay in out/gui-batch for a person to look at.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

PICTURES = "gui-batch"  # folder in out/
SCREEN = "1280x1400x24"  # all panels at once
FRAMES = 3  # as in batch_drive.py

pytestmark = pytest.mark.gui


@pytest.fixture(scope="module")
def told(gui: Any, suite: str, out: Path) -> dict[str, Any]:
    return gui.drive(out, script="batch_drive.py", screen=SCREEN, suite=suite)


def test_the_tour_ends_without_an_error(told: dict[str, Any]) -> None:
    assert told.get("error") is None, told.get("error")
    assert told["done"]


def test_variations_become_takes_and_a_sheet(told: dict[str, Any], out: Path) -> None:
    assert told["variations invoked"] == ["RUNNING_MODAL"]
    assert "2 of 2 takes are here" in told["variations"]["message"]
    assert len(told["variations"]["takes"]) == 2
    sheet = cv2.imread(str(out / "variations-contact.png"))
    assert sheet is not None
    noon, night = np.array_split(sheet, 2, axis=0)  # the alternatives are the rows
    assert (
        noon.mean() > night.mean() + 20
    )  # of 255: with the default model 64 and 17, words and ground of the sheet in both


def test_every_camera_marker_becomes_a_draft_and_lies_in_the_sequencer(told: dict[str, Any], out: Path) -> None:
    assert told["storyboard invoked"] == ["RUNNING_MODAL"]
    assert "2 of 2 takes are here" in told["storyboard"]["message"]
    assert cv2.imread(str(out / "storyboard-contact.png")) is not None
    first, cut, stop = 1, 1 + FRAMES, 1 + 2 * FRAMES
    assert told["strips"] == [
        ["IMAGE", 1, first, cut],
        ["IMAGE", 1, cut, stop],
        ["TEXT", 2, first, cut],
        ["TEXT", 2, cut, stop],
    ]
    assert told["strips after removal"] == []


def test_the_animatic_is_seen(told: dict[str, Any], out: Path) -> None:
    """The sequencer's preview shows a picture, and another one after the cut."""
    assert told["sequencer scene"], "the sequencer shows another scene"
    left, top, width, height = told["preview"]
    shots = [cv2.imread(str(out / f"5-animatic-{name}.png")) for name in ("wide", "close")]
    wide, close = (shot[top : top + height, left : left + width].astype(float) for shot in shots)
    # Of 255, half and a third of what the default model's plates give (48, 43 and 16): black with its line of text
    # stays below, and so do two texts over the same picture.
    assert min(wide.std(), close.std()) > 20
    assert abs(wide - close).mean() > 6


def test_the_main_thread_is_not_held_by_us(told: dict[str, Any]) -> None:
    """As in test_panel.py, for a batch: all our code between two events, in the main thread's processor time."""
    print(json.dumps(told["main thread"], indent=1))
    for at_work in told["main thread"].values():
        assert at_work["ours_all"] > 0
        assert at_work["our_work_most"] < 50
