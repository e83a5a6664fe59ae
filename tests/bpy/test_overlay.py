"""What is drawn over the camera's frame."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
from mathutils import Color  # noqa: E402

from farplane.addon import registration  # noqa: E402
from farplane.addon.contact import png  # noqa: E402
from farplane.addon.ui import overlay  # noqa: E402
from farplane.addon.ui.overlay import Picture, light_of  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402


def test_display_code_becomes_light_as_blender_has_it() -> None:
    codes = np.linspace(0, 1, 23, dtype=np.float32)
    expected = [tuple(Color((code, code, code)).from_srgb_to_scene_linear()) for code in codes.tolist()]
    made = light_of(np.stack([codes, codes, codes], -1))
    # Half a step of the table's 16384 levels, times the curve's steepest slope, 2.3 at white: a fiftieth of an 8-bit step.
    np.testing.assert_allclose(made, np.array(expected), atol=7.1e-5)


def test_a_picture_is_drawn_as_this_blender_takes_it() -> None:
    """Display codes since 5.0, light before; what comes on the screen is seen in gui/test_render.py."""
    codes = np.linspace(0, 1, 23, dtype=np.float32)
    picture = Picture.of(light_of(np.stack([codes, codes, codes], -1)[None]))
    expected = codes if bpy.app.version >= (5, 0, 0) else picture.light[0, :, 0]
    # As above, times the inverse curve's steepest slope, 12.92 in black, where a table's level is no step: 1/16383 of it.
    np.testing.assert_allclose(picture.drawn[0, :, 1], expected, atol=1e-4)
    assert (picture.drawn[..., 3] == 1).all()


def test_light_is_shown_upright_within_what_a_screen_has() -> None:
    light = np.array([[[0.25, 2.0, -1.0]], [[np.nan, np.inf, 0.5]]], np.float32)
    made = Picture.of(light).light
    np.testing.assert_array_equal(made, [[[0.0, 1.0, 0.5, 1.0]], [[0.25, 1.0, 0.0, 1.0]]])


@pytest.fixture
def window() -> Iterator[Any]:
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    registration.register()
    yield bpy.context.window_manager.farplane
    session.jobs.clear()
    registration.unregister()


def job(png: bytes) -> Any:
    return SimpleNamespace(preview=png, position=None, unsent=None, outcome="", take=SimpleNamespace(folder=None))


def test_the_picture_that_forms_is_read_beside_the_window(window: Any) -> None:
    session.jobs["a"] = job(png(np.full((4, 6, 3), 255, np.uint8)))
    assert not overlay.refresh(), "the artist did not ask for it"
    window.live = "BACK"
    assert not overlay.refresh(), "the thread reads it"
    session.disk.flush()
    (layer,) = overlay.shown(overlay.FORMING)
    assert layer.behind
    assert layer.picture.light.shape == (4, 6, 4)
    assert layer.picture.light[0, 0] == pytest.approx([1, 1, 1, 1])
    assert not overlay.refresh(), "nothing changed"
    window.live, window.opacity = "FRONT", 0.25
    assert overlay.refresh()
    (same,) = overlay.shown(overlay.FORMING)
    assert (same.behind, same.opacity) == (False, 0.25)
    assert same.picture is layer.picture, "not read again, nor sent to the graphics card again"


def test_a_damaged_picture_leaves_the_last_one(window: Any) -> None:
    window.live = "FRONT"
    session.jobs["a"] = job(png(np.zeros((4, 6, 3), np.uint8)))
    overlay.refresh()
    session.disk.flush()
    (before,) = overlay.shown(overlay.FORMING)
    session.jobs["a"].preview = b"\x89PNG\r\n\x1a\n and no more"
    overlay.refresh()
    session.disk.flush()
    overlay.refresh()
    assert overlay.shown(overlay.FORMING) == [before]
    session.jobs.clear()
    assert overlay.refresh()
    assert overlay.shown(overlay.FORMING) == []


def test_a_picture_that_comes_too_late_is_not_shown(window: Any) -> None:
    window.live = "FRONT"
    session.jobs["a"] = job(png(np.zeros((4, 6, 3), np.uint8)))
    overlay.refresh()
    window.live = "OFF"
    overlay.refresh()
    session.disk.flush()
    assert overlay.shown(overlay.FORMING) == []
