"""What an artist meets when it does not go well, in the real GUI Blender: Cancel pressed by the mouse, a job that dies;
and the question before a take is deleted.

Run by `make test-gui`, with fog.py in the model's place.  The pictures stay in out/gui-trouble for a person to look at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PICTURES = "gui-trouble"  # folder in out/

pytestmark = pytest.mark.gui


@pytest.fixture(scope="module")
def told(gui: Any, suite: str, out: Path) -> dict[str, Any]:
    return gui.drive(out, model=gui.FOG, script="trouble_drive.py", suite=suite)


def test_the_tour_ends_without_an_error(told: dict[str, Any]) -> None:
    assert told.get("error") is None, told.get("error")
    assert told["done"]


def test_cancel_by_the_mouse_ends_a_slow_job(told: dict[str, Any]) -> None:
    assert told["cancelling"], "the click reached the button"
    text, _, is_error, whole = told["cancelled"]
    assert (text, is_error) == ("Cancelled", False)
    assert not any(whole), "no take came of it"


def test_a_job_whose_process_dies_says_what_to_do(told: dict[str, Any]) -> None:
    text, remedy, is_error, whole = told["died"]
    assert is_error
    assert text == "Memory: the system killed the render process, most often because memory ran out"
    assert remedy.startswith("Lower the resolution")
    assert not any(whole)
    assert told["after it"][0] == "take 001 is here", (
        "the backend has started another process, and what did not come left nothing"
    )
    assert told["after it"][3][0]


def test_a_take_is_deleted_after_a_question_only(told: dict[str, Any]) -> None:
    assert told["delete"] == [True, True, True, False], "asked, kept by Esc; asked, deleted by Enter"


def test_a_backend_that_dies_is_told_beside_its_job(told: dict[str, Any]) -> None:
    text, remedy, jobs = told["gone"]
    assert text == "No backend is running on this machine"
    assert remedy == "Start it in the Backend panel, and the job goes on"
    assert jobs == 1, "it goes on when the backend is there again"
    assert told["jobs left"] == 0, "Cancel gives it up all the same"
