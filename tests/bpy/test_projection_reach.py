"""What a projection reaches: instances, materials of geometry nodes, linked data; and the plate's sky behind all of it.

projection_use.py builds the sets, lands a plate on each, renders it by Cycles and counts the pixels that are the plate.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("bpy")

from test_extension import BLENDERS, ROOT, python_of

HERE = Path(__file__).parent
WHOLE = [
    "all_instances",
    "nested_instances",
    "set_material",
    "made_by_nodes",
    "scattered_geometry",
    "scattered_collection",
    "scattered_linked_collection",
    "particles",
    "on_vertices",
    "curves_text_and_metaballs",
    "shared_mesh",
    "linked_kit",
    "linked_meshes",
    "library_override",
    "fog",
]
PARTLY = ["linked_without_override", "one_of_two_instances", "hero_of_the_same_kit"]
QUICK = ["all_instances", "made_by_nodes", "scattered_linked_collection", "linked_kit", "library_override", *PARTLY]
ALL = 0.999  # a pixel on the silhouette of something round may see its far side


def use(python: Path | str, folder: Path, *cases: str) -> dict[str, Any]:
    (folder / "farplane").symlink_to(ROOT, target_is_directory=True)
    command = [str(python), str(HERE / "projection_use.py"), str(folder), *cases]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=900
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(lines[0].removeprefix("RESULT "))


def check(told: dict[str, Any]) -> None:
    for name in [name for name in told if name not in PARTLY]:
        assert min(told[name]["geometry"]) > ALL, (name, told[name])
        assert told[name]["notes"] == [], (name, told[name])
    for name, one in told.items():
        assert one["sky"] == [1.0, 1.0], (name, one)
        assert one["left"] == [], (name, one)
    # the boxes of the linked kit, a third of the geometry, are named
    assert told["linked_without_override"]["notes"] == [
        "Left out of the projection, linked from another file: house, red"
    ]
    assert 0.5 < min(told["linked_without_override"]["geometry"]) < 0.8
    # neither the ground nor the other instance, which were not chosen
    assert 0.2 < min(told["one_of_two_instances"]["geometry"]) < 0.45
    # all but what the hero covers, and nothing of him
    shares = told["hero_of_the_same_kit"]["geometry"]
    assert 0.9 < min(shares) < max(shares) < 1.0


def test_all_of_the_set_is_painted_or_named(tmp_path: Path) -> None:
    check(use(python_of("5.0"), tmp_path, *QUICK))


@pytest.mark.slow
@pytest.mark.parametrize("blender", list(BLENDERS))
def test_all_of_the_set_is_painted_or_named_in_every_blender(blender: str, tmp_path: Path) -> None:
    check(use(python_of(blender), tmp_path, *WHOLE, *PARTLY))
