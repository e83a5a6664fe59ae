"""What an artist can get wrong, on the command line: one clear error, nothing rendered or sent, nothing written.

The panel's side of the same list is test_ui_mistakes.py; what is wrong with the command's own words, the file or the
folder, test_command.py, tests/backend/test_cli.py and test_checks.py.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")
pytest.importorskip("zmq")

from command_use import build  # noqa: E402
from mistakes import Change, camera, depth_with, frames, lens, size  # noqa: E402

from farplane.addon.command import main  # noqa: E402
from farplane.addon.passes import PassRenderer  # noqa: E402


def refusal(scene: Path, out: Path, backend: Any, *arguments: str) -> str:
    """Render the scene, which must fail for its own sake: ``field: problem``.

    Nothing but reading cameras may have begun, and no file be made.
    """
    before = sorted(scene.parent.iterdir())
    told = io.StringIO()
    words = ["render", "--prompt", "plain hills", "--model", "/painter", "--config", str(backend.config), *arguments]
    code = main([str(scene), *words, "--out", str(out)], told)
    lines = [line for line in map(json.loads, told.getvalue().splitlines()) if line["event"] != "scene"]
    assert code == 1, lines
    assert {line["event"] for line in lines[:-1]} <= {"progress"}
    assert {line["stage"] for line in lines[:-1]} <= {"camera"}
    assert lines[-1]["event"] == "error"
    assert lines[-1]["remedy"]
    assert sorted(scene.parent.iterdir()) == before
    return f"{lines[-1]['field']}: {lines[-1]['problem']}"


MISTAKES: dict[str, tuple[Change, str]] = {
    "no camera": (lambda scene: setattr(scene, "camera", None), "camera: the scene has none"),
    "orthographic": (lens("ORTHO"), "camera: cam 0 is no perspective camera but orthographic"),
    "panoramic": (lens("PANO"), "camera: cam 0 is no perspective camera but panoramic"),
    "one frame": (frames(5, 5), "frames: a shot of 1 frame"),
    "ten thousand frames": (frames(1, 10_000), "frames: 10000 frames"),
    "no side at all": (size(4, 4, 1), "resolution: "),  # Blender's own smallest
    "a huge side": (size(32768, 36), "resolution: 32768x36 is out of range"),
    "NaN in the matrix": (camera(delta_location=(float("nan"), 0, 0)), "camera: "),
    "zero in the matrix": (camera(delta_scale=(0, 0, 0)), "camera: "),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_the_scene(tmp_path: Path, backend: Any, what: str) -> None:
    change, words = MISTAKES[what]
    path = build(tmp_path / "a.blend")
    change(bpy.context.scene)
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    path.with_suffix(".blend1").unlink(missing_ok=True)
    assert refusal(path, tmp_path / "out", backend).startswith(words)


@pytest.mark.parametrize("value", [float("nan"), 0.0, -1.0])
def test_depth_that_is_none(tmp_path: Path, backend: Any, monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    """Found in the first frame in which it stands, before anything is sent."""

    monkeypatch.setattr(PassRenderer, "depth", depth_with(value, 64, 48))
    path = build(tmp_path / "a.blend")
    assert refusal(path, tmp_path / "out", backend).startswith("depth: frame 1 holds NaN or nothing in front")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "/models/damaged"], "model: model.safetensors is truncated or damaged"),
        (["--model", "/models/three-frames"], "frames: 4 frames are more than the 3 that this model renders"),
        (["--model", "nobody's"], "model: nobody's is unknown to the backend"),
    ],
)
def test_what_only_the_backend_can_tell(tmp_path: Path, backend: Any, arguments: list[str], words: str) -> None:
    """It is asked before the scene is read."""
    path = build(tmp_path / "a.blend")
    assert refusal(path, tmp_path / "out", backend, *arguments).startswith(words)


@pytest.mark.parametrize("command", ["variations", "storyboard"])
def test_a_batch_asks_too(tmp_path: Path, backend: Any, command: str) -> None:
    path, told = build(tmp_path / "a.blend", frames=(1, 8), cameras=2), io.StringIO()
    words = ["--prompt", "{plain|dark} hills", "--model", "/models/three-frames", "--config", str(backend.config)]
    assert main([str(path), command, *words, "--out", str(tmp_path / "out")], told) == 1
    _, line = map(json.loads, told.getvalue().splitlines())  # the first says what is read
    assert line["problem"] == "5 frames are more than the 3 that this model renders in one piece"
    assert not (tmp_path / "out").exists()
