"""The artist's own render, F12, beside Generate and the depth preview, in the real GUI Blender: it goes first.

Run by `make test-gui`, with fog.py in the model's place.  The pictures stay in out/gui-render for a person to look at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR
import pytest

PICTURES = "gui-render"  # folder in out/
FRAMES = 6  # of the shot; as in render_drive.py
BESIDE = ("first", "between", "escaped", "saved", "cancelled", "depth")  # parts of the tour in which both happen

OWN = [["init", True], ["complete", True]]  # of the artist's scene
PASS = [["init", False], ["complete", False]]  # of the stand-in

pytestmark = pytest.mark.gui


@pytest.fixture(scope="module")
def told(gui: Any, suite: str, out: Path) -> dict[str, Any]:
    return gui.drive(out, model=gui.FOG, script="render_drive.py", suite=suite)


def pixels(path: Path) -> np.ndarray:
    return next(iter(OpenEXR.File(str(path)).channels().values())).pixels


def test_the_tour_ends_without_an_error(told: dict[str, Any]) -> None:
    assert told.get("error") is None, told.get("error")
    assert told["done"]


def test_generate_during_a_render_reads_nothing_before_its_end(told: dict[str, Any]) -> None:
    part = told["first"]
    assert part["seen"], "it was rendering when Generate was pressed"
    assert {stage for stage, *_ in part["seen"]} <= {"connect", "enquire"}, "there is no stand-in yet"
    assert part["rendered"] == OWN + FRAMES * PASS
    assert part["said"] == "take 001 is here"
    assert all(part["whole"])
    assert told["beside"] is False, "nothing else is rendered meanwhile either"


@pytest.mark.parametrize("name", ["between", "escaped", "saved"])
def test_a_render_between_two_passes_is_waited_for(told: dict[str, Any], name: str) -> None:
    """Then the rest is read; Esc, meant for the render, or Ctrl-S meanwhile change nothing of it."""
    part = told[name]
    (done,) = {done for _, done, *_ in part["seen"]}
    assert {stage for stage, *_ in part["seen"]} == {"depth"}
    assert part["seen"][-1][2], "it says what it waits for"
    # A pass is done once a thread has read its file.  A save takes the stand-in out of the file, and with it a pass that
    # was not read yet: that one is rendered again.
    unread = int(any(unread for *_, unread in part["seen"]))
    rest = FRAMES - done if name == "saved" else FRAMES - done - unread
    assert part["rendered"] == (done + unread) * PASS + OWN + rest * PASS
    assert part["said"].endswith("is here")
    assert all(part["whole"])


def test_generate_can_be_cancelled_during_a_render(told: dict[str, Any]) -> None:
    part = told["cancelled"]
    assert part["said"] == "Cancelled"
    assert part["rendered"][-2:] == OWN, "the render goes on, and nothing is read after it"
    assert told["stays"], (
        "Blender crashes when something is taken out of the file during a render: docs/artist-checks.md"
    )


def test_the_depth_preview_waits_for_a_render(told: dict[str, Any]) -> None:
    part = told["depth"]
    assert part["before the end"] == [False]
    assert part["rendered"] == OWN + PASS


def test_the_depth_follows_every_move(told: dict[str, Any]) -> None:
    """Also one right after an update; and without a move it is left alone."""
    assert told["moved"] == [True] * 5
    assert told["settled"]


def test_the_depth_is_seen_in_its_own_shades(told: dict[str, Any], out: Path) -> None:
    """On the screen, in either Blender: 5.0 began to take what a script draws for display codes, no longer for light.

    Taken for the wrong one a code of 40 is 35 off, and one of 128 is 73.  The software renderer blends in 8 bits of light,
    whose first step is 13 codes: what is nearly black comes out up to 9 codes brighter, in 4.3 as in 5.2.
    """
    screen = cv2.imread(str(out / "3-depth.png"))
    inside = [(x, y, code) for x, y, code in told["shades"] if 60 < x < 660 and 80 < y < 670]  # no tool, no gizmo
    off = np.array([abs(int(screen[y, x, 1]) - code) for x, y, code in inside])
    bright = np.array([code for *_, code in inside]) > 32
    assert bright.sum() > 20
    assert np.percentile(off, 95) <= 10
    assert np.percentile(off[bright], 95) <= 6


@pytest.mark.parametrize("name", BESIDE)
def test_neither_takes_anything_from_the_other(told: dict[str, Any], out: Path, name: str) -> None:
    """To the bit: the artist's picture as without us, every pass as without their render, and no stand-in left."""
    assert np.array_equal(pixels(out / f"render-{name}.exr"), pixels(out / "render-alone.exr"))
    assert told[name]["left"] == []
    for path in (*out.glob(f"{name}-depth.*.exr"), *out.glob(f"{name}-base_colour.*.png")):
        assert path.read_bytes() == (out / path.name.replace(name, "first")).read_bytes()


@pytest.mark.parametrize("name", ["first", "between", "escaped", "saved"])
def test_every_pass_was_there_to_compare(told: dict[str, Any], out: Path, name: str) -> None:
    assert len(list(out.glob(f"{name}-depth.*.exr"))) == FRAMES
    assert len(list(out.glob(f"{name}-base_colour.*.png"))) == FRAMES
