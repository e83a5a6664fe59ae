"""The GUI Blenders that the tests here run in; each is a Debian folder that scripts/gui_root.sh makes.

Every test runs in both.  Where a folder cannot be made (no root, no network, a day on which Debian sid has no
installable Blender), its tests are skipped and say why.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SUITES = {"trixie": "blender-4.3", "sid": "blender-5.2"}  # sid moves: what it had when this was written


@pytest.fixture(scope="session")
def gui() -> Any:
    """scripts/gui_screenshot.py."""
    spec = importlib.util.spec_from_file_location("gui_screenshot", ROOT / "scripts" / "gui_screenshot.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", params=list(SUITES), ids=list(SUITES.values()))
def suite(request: pytest.FixtureRequest, gui: Any) -> str:
    """The Debian suite; its folder is there."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("needs root: debootstrap, mount, chroot")
    _made(gui, request.param)
    return request.param


@pytest.fixture(scope="session")
def root(suite: str, gui: Any) -> Path:
    """The Debian folder."""
    return _made(gui, suite)


@pytest.fixture(scope="module")
def out(request: pytest.FixtureRequest, suite: str) -> Path:
    """Where the pictures of a module stay: out/PICTURES/SUITE."""
    return ROOT / "out" / request.module.PICTURES / suite


def _made(gui: Any, suite: str) -> Path:
    found, problem = _try_once(gui, suite)
    if found is None:
        pytest.skip(f"no GUI Blender from Debian {suite}: {problem}")
    return found


@functools.cache
def _try_once(gui: Any, suite: str) -> tuple[Path | None, str]:
    try:
        return gui.gui_root(suite), ""
    except gui.NoRoot as error:
        return None, str(error)
