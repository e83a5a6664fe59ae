"""The Model menu before the backend has answered: what it told last, or that it was not asked yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

import farplane  # noqa: E402
from farplane.addon.ui import catalogue, generate, preferences, properties  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402
from farplane.protocol.events import ModelInfo  # noqa: E402


def menu(scene: Any) -> dict[str, str]:
    """{identifier: label}"""
    return {item[0]: item[1] for item in properties._models(scene.farplane, bpy.context)}


def tooltip(scene: Any) -> str:
    return next(i[2] for i in properties._models(scene.farplane, bpy.context) if i[0] == scene.farplane.model_name)


def test_before_anybody_was_asked_the_tooltip_says_so(scene: Any) -> None:
    assert menu(scene) == {"farplane-s": "farplane-s"}, "no longer than its field"
    assert "once it is connected" in tooltip(scene)
    assert scene.farplane.model == "farplane-s"


def test_what_a_backend_told_is_there_at_the_next_start(connected: Any, poll_until: Any, tmp_path: Path) -> None:
    session.connect()
    poll_until(lambda: session.connection == "connected")
    told, labels = session.models, menu(connected)
    assert told
    assert {m.name for m in told} < set(labels), "and the scene's own, which it does not offer"
    assert labels["/painter"] == "/painter (not offered)"
    assert all(
        ("MB" in label or "GB" in label or "not installed" in label) for k, label in labels.items() if k[0] != "/"
    )
    session.disk.flush()
    session.disconnect()
    assert session.models == ()
    assert menu(connected) == labels
    farplane.unregister()  # as when Blender is closed and opened again
    farplane.register()
    assert session.models == ()
    assert catalogue.models() == told
    assert menu(bpy.context.scene) == labels
    assert json.loads((tmp_path / "user" / "history" / "models.json").read_bytes()).keys() == {""}


def test_each_backend_has_its_own(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = (ModelInfo(name, "A model", 1500.0, "ready", ((64, 36),), 1, 4, 1.0) for name in ("here", "there"))
    away = ModelInfo("away", "Another", 0.0, "missing", (), 4, 4, 1.0)
    for address, models in (("", (here,)), ("tcp://render:5555", (away, there))):
        monkeypatch.setattr(preferences, "settings", lambda address=address: preferences.Settings(address=address))
        session.models = models
        catalogue.remember()
        session.models = ()
    assert list(menu(scene).values()) == ["farplane-s (not offered)", "there (1.5 GB)", "away (not installed)"]
    assert catalogue.model_info("away") == away
    monkeypatch.setattr(preferences, "settings", preferences.Settings)
    assert list(menu(scene)) == ["farplane-s", "here"]


def test_a_damaged_model_is_told_from_one_that_is_not_there(scene: Any) -> None:
    """The label says which, and the tooltip and the panel what to do."""
    why = "model-00001-of-00003.safetensors is truncated or damaged"
    session.models = (
        ModelInfo("broken", why, 1500.0, "missing", (), 4, 4, 1.0),
        ModelInfo("away", "Another", 0.0, "missing", (), 4, 4, 1.0),
    )
    texts = {name: (label, tip) for name, label, tip in properties._models(scene.farplane, bpy.context)}
    assert texts["broken"][0] == "broken (damaged)"
    assert texts["broken"][1] == f"{why}. Its files on the backend's machine do not load. Install it there again"
    assert texts["away"] == ("away (not installed)", "Another. Its weights are not on the backend's machine")
    assert properties.model_trouble(session.models[0]) == texts["broken"][1].removeprefix(f"{why}. ")


def test_a_text_that_blender_was_given_stays_where_it_is(scene: Any) -> None:
    """Blender points at the texts of a menu while it asks for them anew; one that is freed shows as another text."""
    session.models = tuple(ModelInfo(f"m{n}", "A model", 32.0, "ready", (), 1, 4, 1.0) for n in range(3))
    first = properties._models(scene.farplane, bpy.context)
    again = properties._models(scene.farplane, bpy.context)
    assert [[id(text) for text in item] for item in first] == [[id(text) for text in item] for item in again]


@pytest.mark.parametrize("text", ["", "[]", '{"": [{}]}', '{"": [{"name": "x", "state": "odd"}]}', "{", "null"])
def test_a_damaged_file_tells_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "models.json"
    path.write_text(text)
    assert catalogue._read(path) == {}


def test_what_ships_is_known_before_anybody_was_asked(scene: Any) -> None:
    """Its sizes and steps as the backend's own table has them, so that the panel says at once what will be made."""
    presets = pytest.importorskip(
        "farplane.backend.model.presets", reason="the backend is not installed for this Python"
    )
    own = next(preset for preset in presets.PRESETS if preset.name == catalogue.SHIPPED.name)
    told = catalogue.SHIPPED
    assert (told.title, told.sizes, told.steps, told.guidance) == (own.title, own.sizes, own.steps, own.guidance)
    assert catalogue.model_info("farplane-s") == told
    scene.farplane.size, scene.render.resolution_x, scene.render.resolution_y = "MODEL", 1920, 1080
    before = generate.plate_size(scene)
    session.models = (ModelInfo(own.name, own.title, 32.0, "ready", own.sizes, 4, own.steps, own.guidance),)
    assert generate.plate_size(scene) == before != (1920, 1080)
    session.models = (ModelInfo("other", "Another", 1.0, "ready", (), 1, 4, 1.0),)
    assert catalogue.model_info("farplane-s") is None, "this backend does not offer it"
