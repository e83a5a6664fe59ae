"""Registering and unregistering, twice and half-way: nothing of the add-on is left in Blender."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

import farplane  # noqa: E402
from farplane.addon import registration  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402

spec = importlib.util.spec_from_file_location("traces", Path(__file__).with_name("traces.py"))
assert spec is not None
assert spec.loader is not None
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
traces = module.traces


class Window(ModuleType):
    """`bpy` as the modules of the add-on see it in a window: timers, previews and drawing are registered too."""

    def __init__(self) -> None:
        super().__init__("bpy")

    def __getattr__(self, name: str) -> Any:
        return App() if name == "app" else getattr(bpy, name)


class App:
    """`bpy.app`, not in background mode."""

    background = False

    def __getattr__(self, name: str) -> Any:
        return getattr(bpy.app, name)


@pytest.fixture(params=["background", "window"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    monkeypatch.setenv("FARPLANE_CONFIG", str(tmp_path / "config"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    if request.param == "window":
        window = Window()
        for name, found in list(sys.modules.items()):
            if name.startswith("farplane.addon.ui.") and getattr(found, "bpy", None) is bpy:
                monkeypatch.setattr(found, "bpy", window)
    yield request.param
    assert not bpy.app.timers.is_registered(registration.panels.timer)


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What is not the same, by kind."""
    return {kind: (before[kind], after[kind]) for kind in before if before[kind] != after[kind]}


def test_twice_leaves_nothing(mode: str) -> None:
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    before = traces("farplane")
    assert before["classes"] == []
    first: dict[str, Any] = {}
    for _ in range(2):
        farplane.register()
        there = traces("farplane")
        added = set(differences(before, there))
        assert {"classes", "operators", "attributes", "handlers", "handles"} <= added
        assert not added & {"keys", "menus", "data", "threads"}, "registering alone does none of this"
        assert ({"timers", "previews"} <= added) == (mode == "window")
        first = first or there
        # `is_translated` knows only where Blender was built with languages; the bpy module is not.
        assert not differences(first, there), "the second time as the first"
        session.connect()
        assert traces("farplane")["threads"] == ["farplane-client"]
        farplane.unregister()
        assert not differences(before, traces("farplane"))


@pytest.mark.parametrize("broken", [found.__name__.rsplit(".", 1)[1] for found in registration._MODULES])
def test_a_registration_that_fails_leaves_nothing(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    before = traces("farplane")
    found = next(m for m in registration._MODULES if m.__name__.endswith(f".{broken}"))
    monkeypatch.setattr(found, "register", lambda: 1 / 0, raising=False)  # some have classes alone
    with pytest.raises(ZeroDivisionError):
        farplane.register()
    assert not differences(before, traces("farplane"))
    monkeypatch.undo()
    farplane.register()
    farplane.unregister()
    assert not differences(before, traces("farplane"))


def test_a_class_that_blender_refuses_is_told() -> None:
    """Nothing is registered over a class of the same name that another add-on brought."""
    namespace = SimpleNamespace(count=0)

    class FARPLANE_OT_connect(bpy.types.Operator):
        """Somebody else's"""

        bl_idname = "farplane.connect"
        bl_label = "Somebody Else's"

    bpy.utils.register_class(FARPLANE_OT_connect)
    try:
        farplane.register()
        farplane.unregister()
    except (RuntimeError, ValueError):
        namespace.count += 1
    finally:
        if FARPLANE_OT_connect.is_registered:
            bpy.utils.unregister_class(FARPLANE_OT_connect)
    before = traces("farplane")
    assert before["classes"] == []
