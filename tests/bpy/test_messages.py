"""What the panel says ends with its cause, and nothing that it says moves a button from under the mouse."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

from test_places import begin, listed, make  # noqa: E402

from farplane.addon import landing  # noqa: E402
from farplane.addon.ui import panels, takes_panel, view  # noqa: E402
from farplane.addon.ui.message import Message  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402
from farplane.protocol import events  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402


class Recorder:
    """Stands in for a UILayout: labels, buttons, properties and progress bars, in order."""

    def __init__(self) -> None:
        self.drawn: list[str] = []

    def label(self, *, text: str = "", **_: Any) -> None:
        self.drawn.append(text)

    def operator(self, name: str, **_: Any) -> Any:
        self.drawn.append(name)
        return SimpleNamespace()

    def prop(self, _: Any, name: str, **__: Any) -> None:
        self.drawn.append(name)

    def progress(self, *, factor: float, text: str = "", **_: Any) -> None:
        self.drawn.append(text)

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self


class Window:
    """A context whose sidebar is this wide."""

    def __init__(self, width: int = 300) -> None:
        self.region = SimpleNamespace(width=width)

    def __getattr__(self, name: str) -> Any:
        return getattr(bpy.context, name)


def drawn(panel: Any, width: int = 300) -> list[str]:
    layout = Recorder()
    panel.draw(SimpleNamespace(layout=layout), Window(width))
    return layout.drawn


@pytest.fixture
def takes(scene: Any, tmp_path: Path) -> list[Path]:
    """Two takes of the scene, the newer first."""
    begin()
    bpy.context.scene.farplane.prompt = "hills"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "takes.blend"))
    make()
    make()
    return listed()


def refused(action: Any, **values: Any) -> None:
    with pytest.raises(RuntimeError):
        action(**values)


def test_it_ends_with_the_landing(takes: list[Path]) -> None:
    """Taken back by the button or by undo: "is landed" would be a lie."""
    bpy.ops.farplane.land(folder=str(takes[0]), kinds={"strip"})
    assert session.message.text == "take 002 is landed"
    panels.tick()
    assert session.message is not None, "it is landed still"
    landing.remove(bpy.context.scene, "take 002")  # as an undo does: no operator of ours
    panels.tick()
    assert session.message is None


def test_it_ends_with_the_take(takes: list[Path]) -> None:
    session.message = Message("take 002 is here", take=takes[0])
    panels.tick()
    assert session.message is not None
    bpy.ops.farplane.delete_take(folder=str(takes[0]))
    panels.tick()
    assert session.message is None
    session.message = Message("take 001 is here", take=takes[1])
    bpy.ops.farplane.accept(folder=str(takes[1]))
    assert session.message is None, "it is decided: there is no more to ask"


def test_it_ends_with_the_next_thing_that_works(takes: list[Path]) -> None:
    """An error of the takes' buttons, and the button then pressed as the remedy says."""
    bpy.ops.farplane.land(folder=str(takes[0]), kinds={"strip"})
    refused(bpy.ops.farplane.land, folder=str(takes[1]), kinds={"strip"})
    assert "landed in its place" in session.message.text
    bpy.ops.farplane.accept(folder=str(takes[1]))
    assert session.message is None
    refused(bpy.ops.farplane.delete_take, folder=str(takes[0]))
    assert "is landed in" in session.message.text
    bpy.ops.farplane.remove(landing_id=landing.landed(bpy.context.scene)[0].id)
    assert session.message is None


def test_it_ends_with_the_file(takes: list[Path]) -> None:
    refused(bpy.ops.farplane.remove, landing_id="none")
    bpy.context.window_manager.farplane.compare = str(takes[0])
    assert session.message is not None
    begin()
    assert session.message is None
    assert bpy.context.window_manager.farplane.compare == ""
    assert listed() == []


def test_no_backend_ends_when_there_is_one(scene: Any) -> None:
    session.message = Message.of(FarplaneError("backend", "it does not answer", "Look at the Backend panel"))
    session._take(events.Connected((), "1"))
    assert session.message is None
    session.message = Message.of(FarplaneError("camera", "the scene has none", "Add one"))
    session._take(events.Connected((), "1"))
    assert session.message is not None, "that is another trouble"


def test_it_can_be_put_away(scene: Any) -> None:
    session.message = Message.of(FarplaneError("camera", "the scene has none", "Add one"))
    assert "farplane.dismiss" in drawn(panels.FARPLANE_PT_shot)
    bpy.ops.farplane.dismiss()
    assert session.message is None
    assert "farplane.dismiss" not in drawn(panels.FARPLANE_PT_shot)


@pytest.mark.parametrize("width", [180, 300])
def test_neither_accept_nor_a_message_moves_a_button(takes: list[Path], width: int) -> None:
    """What stands before a button is the same number of rows, whatever is decided, said or under way."""
    shown = bpy.context.window_manager.farplane
    panel = takes_panel.FARPLANE_PT_takes

    def place() -> tuple[int, int]:
        session.connection = "disconnected"  # nobody answers, whatever the timer is at
        shot, rows = drawn(panels.FARPLANE_PT_shot, width), drawn(panel, width)
        return len(shot), rows.index("farplane.accept")

    before = place()
    bpy.ops.farplane.accept()
    assert place() == before
    bpy.ops.farplane.accept()
    session.message = Message("take 002 is here", take=takes[0])
    assert place() == before, "a line and its x, in the place of the backend's state and its button"
    refused(bpy.ops.farplane.accept, folder=str(takes[0].with_name("nothing")))
    assert place() == before
    session.message = Message("The button said this", "And this", True, of_takes=True)
    assert place() == before
    assert drawn(takes_panel.FARPLANE_PT_take_words, width)[0].startswith("The button"), "it is said at the end"
    shown.take_index = 1
    assert place() == before


def test_a_text_is_wrapped_to_the_sidebar(scene: Any) -> None:
    text = "a word and then /a/very/long/path/without/a/single/space/in/all/of/its/letters.exr that ends"
    for width in (180, 300, 600):
        lines = panels._wrapped(Window(width), text, 20, 0)
        assert "".join(lines).replace(" ", "") == text.replace(" ", ""), "nothing is lost"
        points = bpy.context.preferences.ui_styles[0].widget.points
        assert max(panels._across(line, points) for line in lines) <= max(60, width - panels._MARGIN)
    assert len(panels._wrapped(Window(180), text, 2, 0)) == 2
    assert panels._wrapped(Window(180), text, 2, 0)[-1].endswith("…")


# ---- which shot ---------------------------------------------------------------------------------------------


def test_camera_markers_make_no_take_disappear(takes: list[Path]) -> None:
    scene = bpy.context.scene
    scene.frame_end = 4
    for name, frame in (("wide", 1), ("close", 3)):
        scene.timeline_markers.new(name, frame=frame).camera = scene.camera
    assert listed() == []
    assert session.shots == (("Scene", 2),)
    words = drawn(takes_panel.FARPLANE_PT_takes)
    assert "farplane.show_shot" in words, "it offers them"
    bpy.ops.farplane.show_shot(shot="Scene")
    assert listed() == takes
    made = make("close").folder
    scene.frame_set(3)
    bpy.ops.farplane.show_shot(shot="")
    assert listed() == [made], "the list follows the timeline again"
    assert session.shots == (("Scene", 2), ("close", 1))


def test_takes_differ_by_more_than_their_number(scene: Any) -> None:
    def item(number: int, prompt: str, seed: int = 7, steps: int = 0) -> Any:
        summary = SimpleNamespace(prompt=prompt, seed=seed, steps=steps, model="farplane-s")
        return SimpleNamespace(take=SimpleNamespace(folder=Path(str(number))), summary=summary)

    found = [item(1, "hills at dawn, snow"), item(2, "hills at dusk, snow"), item(3, "hills at dusk, snow", 9, 4)]
    told = view.distinctions(found)
    assert list(told.values()) == ["dawn  #7", "dusk  #7", "dusk  #9  draft"]
    assert view.distinctions(found[:2]) == {Path("1"): "dawn", Path("2"): "dusk"}, "one seed needs no telling"
    assert view.distinctions([]) == {}
