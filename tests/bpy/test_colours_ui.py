"""Use Material Colours: from the panel and the command line to the backend's worker, and back out of a take's files.

The worker (tests/backend/service/painter.py, asked for "colours") answers with the SHA-256 of the base colours it got.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from farplane.addon.base_colour import read_colours  # noqa: E402
from farplane.addon.command import main  # noqa: E402
from farplane.addon.commands.link import takes_colours  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.addon.ui import generate, resume  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402
from farplane.protocol import events  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402

FRAMES = (11, 13, 15)  # of the scene


@pytest.fixture
def coloured(connected: Any) -> Any:
    """The scene with a red square, and the painter asked for its colours."""
    red = bpy.data.materials.new("red")
    red.use_nodes = True
    red.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.6, 0.05, 0.05, 1)
    bpy.data.objects["Cube"].data.materials.append(red)
    connected.farplane.prompt = "colours of hills"
    bpy.ops.wm.save_mainfile()
    return connected


def kept(folder: Path) -> str:
    """The digest of what the take has kept, or "none"."""
    files = [folder / f"base_colour.{frame:04d}.png" for frame in FRAMES]
    if not any(path.exists() for path in files):
        return "none"
    return hashlib.sha256(np.stack([read_colours(path) for path in files]).tobytes()).hexdigest()


def sent(folder: Path) -> str:
    return (folder / "report.json").read_text()


def test_they_arrive_and_are_kept_beside_the_take(coloured: Any, made: Any) -> None:
    folder = made()
    assert sent(folder) == kept(folder) != "none"
    colours = read_colours(folder / "base_colour.0013.png")
    assert set(map(tuple, colours.reshape(-1, 4).tolist())) == {(0, 0, 0, 0), (203, 63, 63, 255)}  # the curve by hand
    shot, _ = resume.unsent(Take.open(folder))
    assert shot.base_colour is not None
    assert hashlib.sha256(shot.base_colour.tobytes()).hexdigest() == sent(folder), (
        "what would be sent again is the same"
    )


def test_the_checkbox_leaves_them_out(coloured: Any, made: Any) -> None:
    assert coloured.farplane.use_colours, "on, until somebody says otherwise"
    coloured.farplane.use_colours = False
    folder = made()
    assert sent(folder) == kept(folder) == "none"
    assert resume.unsent(Take.open(folder))[0].base_colour is None


def test_an_older_backend_gets_the_shot_without(coloured: Any, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events.Welcome, "takes", frozenset())
    folder = made()
    assert sent(folder) == kept(folder) == "none"
    assert session.takes_also == frozenset()


def test_settings_used_again_know_whether_colours_were_sent(coloured: Any, made: Any) -> None:
    asked, window_manager = coloured.farplane, bpy.context.window_manager.farplane
    for on in (True, False):
        asked.use_colours = on
        folder = made()
        asked.use_colours = not on
        window_manager.take_index = next(i for i, t in enumerate(window_manager.takes) if Path(t.folder) == folder)
        bpy.ops.farplane.use_settings()
        assert asked.use_colours == on
    bpy.data.objects["Cube"].data.materials.clear()  # a bare blockout says nothing of what was wanted
    asked.use_colours = True
    bpy.ops.farplane.use_settings()
    assert asked.use_colours


def test_room_and_upload_count_them(coloured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = {}
    monkeypatch.setattr(generate, "check_space", lambda folder, needed: counted.setdefault("disk", needed))
    generation = generate.Generation(coloured)
    try:
        while generation._extraction is None:
            generation.step()
        (asked,) = generation._enquiries
        assert asked in session.enquiries
        with_them = counted.pop("disk")
    finally:
        generation.close()
    coloured.farplane.use_colours = False
    generation = generate.Generation(coloured)
    try:
        while generation._extraction is None:
            generation.step()
    finally:
        generation.close()
    raw = len(FRAMES) * 64 * 36 * 4
    assert raw < with_them - counted["disk"] < raw + len(FRAMES) * 2000


@pytest.mark.parametrize("damage", ["gone", "cut", "some"])
def test_a_damaged_file_is_not_sent_again(coloured: Any, made: Any, damage: str) -> None:
    folder = made()
    path = folder / "base_colour.0013.png"
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        data = json.loads((folder / "shot.json").read_text())
        del data["frames"][1]["base_colour"]
        (folder / "shot.json").write_text(json.dumps(data))
    with pytest.raises(FarplaneError) as error:
        resume.unsent(Take.open(folder))
    assert error.value.field in ("base colour", "shot.json")


# -- the command line -------------------------------------------------------------------------------------------------


def command(*words: object) -> list[dict[str, Any]]:
    """What a command tells, which must end well."""
    out = io.StringIO()
    code = main([str(word) for word in words], out)
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert code == 0, told
    return told


@pytest.mark.parametrize("words", [[], ["--no-colours"]])
def test_the_command_sends_them_unless_told_not_to(
    coloured: Any, backend: Any, tmp_path: Path, words: list[str]
) -> None:
    out = tmp_path / "out"
    command(
        bpy.data.filepath, "render", "--out", out, "--config", backend.config, "--model", "/painter", "--no-reference",
        "--no-land", "--size", "64x36", *words,
    )  # fmt: skip
    assert sent(out) == kept(out)
    assert (sent(out) == "none") == bool(words)


def test_the_command_does_as_the_scenes_panel_says(coloured: Any, tmp_path: Path) -> None:
    coloured.farplane.use_colours = False
    bpy.ops.wm.save_mainfile()
    command(bpy.data.filepath, "shot", "--out", tmp_path / "out")
    assert kept(tmp_path / "out") == "none"


def test_variations_share_one_reading(coloured: Any, backend: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command(
        bpy.data.filepath, "variations", "--out", out, "--config", backend.config, "--model", "/painter",
        "--prompt", "colours {dawn|noon}", "--size", "64x36",
    )  # fmt: skip
    folders = [out / "01 dawn", out / "02 noon"]
    assert len({sent(folder) for folder in folders} | {kept(folder) for folder in folders}) == 1
    assert kept(folders[1]) != "none"


def test_an_older_backend_is_told_of_once() -> None:
    told: list[tuple[str, dict[str, Any]]] = []

    def report(event: str, **fields: Any) -> None:
        told.append((event, fields))

    old, new = events.Connected((), "0.1.0"), events.Connected((), "0.2.0", takes=frozenset({"base_colour"}))
    assert takes_colours(new, True, report)  # type: ignore[arg-type]
    assert not takes_colours(new, False, report)  # type: ignore[arg-type]
    assert not takes_colours(old, False, report)  # type: ignore[arg-type]
    assert not told
    assert not takes_colours(old, True, report)  # type: ignore[arg-type]
    assert [event for event, _ in told] == ["warning"]
