"""The installed zip in the real GUI Blender: languages, the Backend panel without a backend, enabled and disabled twice.

Run by `make test-gui`.  The pictures stay in out/gui-backend for a person to look at.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OUT = ROOT / "out" / "gui-backend"
SCREEN = "1280x1600x24"  # all panels at once

pytestmark = [pytest.mark.gui, pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")]


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("gui_screenshot", ROOT / "scripts" / "gui_screenshot.py")
    assert spec is not None
    assert spec.loader is not None
    gui = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gui)
    made = subprocess.run([ROOT / "scripts" / "gui_root.sh"], check=True, capture_output=True, text=True)
    root, inside = Path(made.stdout.strip()), Path("/tmp/farplane-backend")
    folder = root / inside.relative_to("/")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(gui.load_build_zip().build("cp312-abi3", folder), folder / "farplane.zip")
    for name in ("stage.py", "backend_drive.py"):
        shutil.copy(HERE / name, folder)
    shutil.copy(HERE.parent / "bpy" / "traces.py", folder)
    gui.blender(
        root,
        "--factory-startup",
        "--offline-mode",
        *("-p", "0", "0", *SCREEN.split("x")[:2]),
        *("--python", f"{inside}/backend_drive.py", "--", str(inside)),
        display=SCREEN,
        FARPLANE_CONFIG=f"{inside}/config",
        BLENDER_USER_RESOURCES=f"{inside}/resources",
    )
    OUT.mkdir(parents=True, exist_ok=True)
    for path in [*folder.glob("*.png"), folder / "result.json"]:
        shutil.copy(path, OUT / path.name)
    return json.loads((OUT / "result.json").read_text())


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
