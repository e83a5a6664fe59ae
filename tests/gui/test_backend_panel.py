"""The installed zip in the real GUI Blender: languages, the Backend panel without a backend, enabled and disabled twice.

Run by `make test-gui`.  The pictures stay in out/gui-backend for a person to look at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PICTURES = "gui-backend"  # folder in out/
SCREEN = "1280x1600x24"  # all panels at once

pytestmark = pytest.mark.gui


@pytest.fixture(scope="module")
def told(gui: Any, root: Path, out: Path) -> dict[str, Any]:
    files = [HERE / "stage.py", HERE / "backend_drive.py", HERE.parent / "bpy" / "traces.py"]
    folder, inside = gui.install(root, "backend", files)
    gui.show(root, inside, "backend_drive.py", SCREEN, options=["--offline-mode"])
    return gui.keep(folder, out)


def test_the_tour_ends_without_an_error(told: dict[str, Any]) -> None:
    assert told.get("error") is None, told.get("error")
    assert told["done"]


def test_blender_shows_the_artists_language(told: dict[str, Any]) -> None:
    assert told["translated"] == {
        "en_US": ["Connected to x", "Start Backend", "Start the backend on this machine. It ends with Blender"],
        "id_ID": ["Tersambung ke x", "Jalankan Backend", "Jalankan backend di mesin ini. Ia berakhir bersama Blender"],
    }


def test_another_machine_is_not_spoken_to_offline(told: dict[str, Any]) -> None:
    assert told["online"] is False
    assert "offline mode" in told["problem"] or "luring" in told["problem"]


def test_enabled_and_disabled_twice_leaves_nothing(told: dict[str, Any]) -> None:
    assert {"classes", "handlers", "timers", "previews", "translated", "attributes"} <= set(told["added"])
    assert told["left"] == {}
