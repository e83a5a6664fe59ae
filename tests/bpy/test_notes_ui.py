"""Notes on a shot are kept with its take and stand in the panel, in the artist's language."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

from farplane.addon.takes import Take  # noqa: E402
from farplane.addon.ui import resume, translations  # noqa: E402
from farplane.addon.ui.summary import Summary  # noqa: E402


def test_they_are_kept_with_the_take_and_told_in_the_panel(connected: Any, made: Callable[[], Path]) -> None:
    """An unbaked cloth, two eyes, and a clip end before the square, of which the camera is 10 m away."""
    cube = bpy.data.objects["Cube"]
    cube.modifiers.new("folds", "CLOTH")
    connected.render.use_multiview = True
    connected.camera.data.clip_end = 9
    folder = made()
    kept = json.loads((folder / "shot.json").read_text())["notes"]
    assert [note.split()[0].rstrip(":") for note in kept] == ["physics", "stereo", "depth"]
    take = Take.open(folder)
    assert Summary.read(take).notes[:3] == tuple(kept)
    assert all(translations.template_of(note) or note in translations.LANGUAGES["id"][0] for note in kept)
    shot, _ = resume.unsent(take)
    assert len(shot.frames) == 3, "notes are no part of what is sent again"
