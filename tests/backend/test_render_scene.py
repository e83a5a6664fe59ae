"""`farplane render` looks at the model's files before a minute goes into the scene."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from farplane.backend import render_scene
from farplane.backend.render_scene import Order
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import Prompt, RenderSettings

sys.path.append(str(Path(__file__).parent / "cli_pipeline"))
from model_folders import BAD, farplane_folder, wan_folder


@pytest.mark.parametrize("make", [farplane_folder, wan_folder])
@pytest.mark.parametrize("case", BAD)
def test_a_bad_checkpoint_is_told_before_blender_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path], case: str
) -> None:
    def begun(*_: object) -> None:
        raise AssertionError("work began")

    monkeypatch.setattr(render_scene.blender, "find_blender", begun)
    (tmp_path / "scene.blend").write_bytes(b"BLENDER")
    inner = make(tmp_path / "model")
    settings = RenderSettings(model=str(tmp_path / "model"))
    order = Order(tmp_path / "scene.blend", tmp_path / "out", Prompt("fog"), settings)
    order.validate()  # as it is, nothing is wrong with it
    damage, words = BAD[case]
    damage(inner)
    with pytest.raises(FarplaneError, match=words) as caught:
        render_scene.render(order, None)  # type: ignore[arg-type]  nothing may be printed yet
    assert caught.value.field == "model"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", ["tokenizer", "text_encoder", "vae"])
def test_a_wan_folder_that_lacks_a_part(tmp_path: Path, part: str) -> None:
    wan_folder(tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / part)
    (tmp_path / "scene.blend").write_bytes(b"BLENDER")
    order = Order(tmp_path / "scene.blend", tmp_path / "out", None, RenderSettings(model=str(tmp_path / "model")))
    with pytest.raises(FarplaneError, match=f"has no {part} folder"):
        order.validate()


def test_colours_are_left_out_where_the_user_says_so(tmp_path: Path) -> None:
    order = Order(tmp_path / "scene.blend", tmp_path / "out", None, RenderSettings())
    assert "--no-colours" not in order.arguments()
    assert "--no-colours" in replace(order, colours=False).arguments()


def test_the_scene_the_camera_and_strictness_reach_the_child(tmp_path: Path) -> None:
    order = Order(tmp_path / "scene.blend", tmp_path / "out", None, RenderSettings())
    assert not [word for word in order.arguments() if word.startswith(("--scene", "--camera", "--strict"))]
    chosen = replace(order, scene_name="Shot 010", camera="-main", strict=True).arguments()
    assert {"--scene=Shot 010", "--camera=-main", "--strict"} <= set(chosen)


def test_a_negative_prompt_beside_the_scenes_own_prompt_reaches_the_child(tmp_path: Path) -> None:
    (tmp_path / "scene.blend").write_bytes(b"BLENDER")
    order = Order(tmp_path / "scene.blend", tmp_path / "out", None, RenderSettings(), pipeline="x:y", negative="people")
    order.validate()
    assert "--negative=people" in order.arguments()
    assert not [word for word in order.arguments() if word.startswith("--prompt")]
    with pytest.raises(FarplaneError, match="prompt"):
        Order(
            tmp_path / "scene.blend", tmp_path / "o", None, RenderSettings(), pipeline="x:y", negative="x" * 100_000
        ).validate()
