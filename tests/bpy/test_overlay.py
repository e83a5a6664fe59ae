"""What is drawn over the camera's frame."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("bpy")
from mathutils import Color

from farplane.addon.ui.overlay import linear_of


def test_display_code_becomes_light_as_blender_has_it() -> None:
    codes = np.linspace(0, 1, 23, dtype=np.float32)
    picture = np.stack([codes, codes[::-1], codes * 0.5, codes], -1)[None]
    expected = [Color(pixel[:3]).from_srgb_to_scene_linear() for pixel in picture[0].tolist()]
    made = linear_of(picture)
    # Half a step of the table's 16384 levels, times the curve's steepest slope, 2.3 at white: a fiftieth of an 8-bit step.
    np.testing.assert_allclose(made[0, :, :3], np.array([tuple(c) for c in expected]), atol=7.1e-5)
    np.testing.assert_array_equal(made[..., 3], picture[..., 3])  # opacity is no light
