"""The Backend panel: start and stop, pairing by one line, online access, the queue, and what it says when it fails.

The panels draw into a layout that writes down what it is asked for: bpy has no window.
"""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

import farplane  # noqa: E402
from farplane.addon.ui import backend_panel, local_backend, panels, preferences  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402
from farplane.backend.private import PrivateBackend  # noqa: E402
from farplane.backend.service import keys  # noqa: E402
from farplane.protocol import pairing  # noqa: E402
from farplane.protocol.invitation import Invitation  # noqa: E402

PAINTER = Path(__file__).parent.parent / "backend" / "service"
PROGRAM = Path(sys.executable).parent / "farplane"
NO_WINDOW = SimpleNamespace(region=None, preferences=None)
BOUND = 240.0  # seconds; only ends a hang on a starved machine


class Recorder:
    """Stands in for a UILayout: texts of labels and buttons, in order."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.buttons: list[str] = []

    def label(self, *, text: str = "", **_: Any) -> None:
        self.texts.append(text)

    def operator(self, name: str, **_: Any) -> Any:
        self.buttons.append(name)
        return SimpleNamespace()

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self


def drawn(panel: Any) -> Recorder:
    """What a panel shows now."""
    layout = Recorder()
    panel.draw(SimpleNamespace(layout=layout), NO_WINDOW)
    return layout


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The add-on enabled with preferences of its own, on an empty configuration folder and an empty PATH."""
    monkeypatch.setenv("FARPLANE_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(local_backend, "USUAL_PLACES", ())
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    addons = bpy.context.preferences.addons
    addon = addons.new()
    addon.module = preferences.PACKAGE
    farplane.register()
    yield addon.preferences
    farplane.unregister()
    addons.remove(addon)


def poll_until(wanted: Callable[[], Any]) -> None:
    """What the timer does, until something is so."""
    deadline = time.monotonic() + BOUND
    while not wanted():
        assert time.monotonic() < deadline, f"{session.connection} {session.problem} {local_backend.last_words()}"
        session.wanted = True
        panels.tick()
        time.sleep(0.01)


def program(folder: Path, text: str) -> Path:
    """A stand-in for the `farplane` program."""
    folder.mkdir(exist_ok=True)
    path = folder / "farplane"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


# ---- this machine's backend ---------------------------------------------------------------------------------


def test_the_backend_starts_from_a_found_program_and_stops(held: Any, tmp_path: Path) -> None:
    held.executable = str(PROGRAM)
    assert drawn(backend_panel.FARPLANE_PT_backend).buttons == ["farplane.start_backend", "farplane.pair"]
    bpy.ops.farplane.start_backend()
    assert not bpy.ops.farplane.start_backend.poll(), "once is enough"
    assert drawn(backend_panel.FARPLANE_PT_backend).texts == ["Starting"]
    poll_until(lambda: session.connection == "connected")
    shown = drawn(backend_panel.FARPLANE_PT_backend)
    assert (shown.texts, shown.buttons) == (["Running on this machine"], ["farplane.stop_backend"])
    assert stat.S_IMODE(local_backend.log_path().parent.stat().st_mode) == 0o700
    bpy.ops.farplane.stop_backend()
    assert drawn(backend_panel.FARPLANE_PT_backend).texts == ["Stopping"]
    poll_until(lambda: local_backend.state() == "stopped" and session.connection == "disconnected")
    poll_until(lambda: drawn(backend_panel.FARPLANE_PT_backend).texts == ["Not running"])  # the button says the rest
    assert "farplane.start_backend" in drawn(backend_panel.FARPLANE_PT_backend).buttons


@pytest.mark.parametrize("where", ["path", "program", "folder", "environment", "usual place"])
def test_the_program_is_found(held: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    folder = {"path": "bin", "environment": "venv"}.get(where, "elsewhere")
    (tmp_path / folder).mkdir()
    place = tmp_path / folder / ("bin" if where == "environment" else "")
    expected = program(place, "exit 0")
    if where == "usual place":
        monkeypatch.setattr(local_backend, "USUAL_PLACES", (str(place),))
    elif where != "path":
        held.executable = str(expected if where == "program" else tmp_path / folder)
    assert Path(local_backend.executable()).resolve() == expected


@pytest.mark.parametrize("chosen", ["", "nothing", "text", "empty folder"])
def test_without_the_program_the_panel_says_where_to_choose_it(held: Any, tmp_path: Path, chosen: str) -> None:
    (tmp_path / "text").write_text("no program")
    (tmp_path / "empty folder").mkdir()
    held.executable = chosen and str(tmp_path / chosen)
    with pytest.raises(RuntimeError, match="'farplane' program"):
        bpy.ops.farplane.start_backend()
    assert any("'farplane'" in text for text in drawn(backend_panel.FARPLANE_PT_backend).texts)
    assert local_backend.state() == "absent"


def test_a_backend_that_ends_by_itself_is_quoted(held: Any, tmp_path: Path) -> None:
    held.executable = str(program(tmp_path / "bin", "echo 'error: data: another backend is using it' >&2; exit 1"))
    bpy.ops.farplane.start_backend()
    poll_until(lambda: local_backend.state() == "failed")
    shown = " ".join(drawn(backend_panel.FARPLANE_PT_backend).texts)
    assert "It ended by itself" in shown
    assert "data: another backend is using it" in shown
    assert "error" not in shown
    held.executable = str(PROGRAM)  # mended
    bpy.ops.farplane.start_backend()
    poll_until(lambda: session.connection == "connected")


def test_it_ends_with_the_add_on(held: Any) -> None:
    held.executable = str(PROGRAM)
    bpy.ops.farplane.start_backend()
    process = local_backend._process
    farplane.unregister()
    assert process.poll() is not None
    farplane.register()  # the fixture unregisters


# ---- another machine's --------------------------------------------------------------------------------------


def test_one_line_pairs(held: Any, backend: PrivateBackend, tmp_path: Path) -> None:
    """Nothing of the backend's folder is shared: the line alone lets this client in."""
    address = pairing.find_backend(backend.config).address
    line = keys.invite(backend.config, address, "ayu").line()
    assert bpy.ops.farplane.pair(line=f"  {line[:70]}\n{line[70:]} ") == {"FINISHED"}
    assert held.address == address
    poll_until(lambda: session.connection == "connected")
    kept = [path.name for path in (tmp_path / "config").glob("*.key")]
    assert kept == [pairing.remote_client(held.server_key) + ".key"]
    assert stat.S_IMODE((tmp_path / "config" / kept[0]).stat().st_mode) == 0o600
    shown = drawn(backend_panel.FARPLANE_PT_backend)
    assert shown.texts == [f"Connected to {address.removeprefix('tcp://')}"]
    assert shown.buttons == ["farplane.unpair"]
    bpy.ops.farplane.unpair()
    assert (held.address, held.server_key) == ("", "")
    assert not bpy.ops.farplane.unpair.poll()


def test_a_line_that_is_none_changes_nothing(held: Any) -> None:
    held.address, held.server_key = "tcp://127.0.0.1:9", "k"
    for text in ("", "tcp://127.0.0.1:9", Invitation("tcp://h:1", "0" * 40).line()[:-2]):
        with pytest.raises(RuntimeError, match="Copy"):
            bpy.ops.farplane.pair(line=text)
    assert (held.address, held.server_key) == ("tcp://127.0.0.1:9", "k")


def test_a_key_that_the_backend_does_not_know_is_told_with_the_command(held: Any, backend: PrivateBackend) -> None:
    published = pairing.find_backend(backend.config)
    preferences.use_backend(published.address, published.public_key)
    assert not bpy.ops.farplane.copy_command.poll()
    poll_until(lambda: session.connection == "disconnected")
    shown = drawn(backend_panel.FARPLANE_PT_backend)
    assert "does not know this client's key" in " ".join(shown.texts)
    assert {"farplane.copy_command", "farplane.pair", "farplane.connect"} <= set(shown.buttons)
    bpy.ops.farplane.copy_command()
    keys.add_client(backend.config, session.client.public_key, "typed")
    bpy.ops.farplane.connect()
    poll_until(lambda: session.connection == "connected")
    assert not bpy.ops.farplane.copy_command.poll()


@pytest.mark.parametrize("key", ["-" + "a" * 39, "$HOME&(x)" + "b" * 31])
def test_the_command_is_quoted_for_a_shell(key: str) -> None:
    import shlex

    assert shlex.split(backend_panel.command_for(key)) == ["farplane", "clients", "add", "--", key]


def test_another_machine_needs_online_access(held: Any) -> None:
    """Paired all the same: it works as soon as the artist allows it.  Until then not one packet leaves."""
    if bpy.app.online_access:
        pytest.skip("this Blender is online")
    line = Invitation("tcp://192.0.2.1:46347", "0" * 40).line()
    assert bpy.ops.farplane.pair(line=line) == {"FINISHED"}
    assert held.address == "tcp://192.0.2.1:46347"
    assert session.client is None
    shown = drawn(backend_panel.FARPLANE_PT_backend)
    assert "online access is off" in " ".join(shown.texts)
    assert "extensions.userpref_show_online" in shown.buttons
    assert "extensions" in dir(bpy.ops)
    assert "userpref_show_online" in dir(bpy.ops.extensions), "Blender's own operator for it"
    panels.tick()
    assert session.client is None


def test_the_preferences_draw(held: Any) -> None:
    for address in ("", "tcp://192.0.2.1:1", "tcp://127.0.0.1:1"):
        held.address = address
        layout = Recorder()
        preferences.FarplanePreferences.draw(SimpleNamespace(layout=layout, address=address), bpy.context)
        assert layout.buttons == ["farplane.pair", "farplane.unpair"]
        assert any("online access" in text for text in layout.texts) == (
            address == "tcp://192.0.2.1:1" and not bpy.app.online_access
        )


# ---- the queue ----------------------------------------------------------------------------------------------


def test_the_queue_shows_this_clients_jobs_and_stops_one(
    held: Any, backend: PrivateBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARPLANE_CONFIG", str(backend.config))
    scene = bpy.context.scene
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    mesh = bpy.data.meshes.new("Quad")
    mesh.from_pydata([(-1, -1, -5), (1, -1, -5), (1, 1, -5)], [], [(0, 1, 2)])
    for obj in (camera, bpy.data.objects.new("Quad", mesh)):
        scene.collection.objects.link(obj)
    scene.camera, scene.frame_end = camera, 2
    scene.render.resolution_x, scene.render.resolution_y = 64, 36
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "queue.blend"))
    scene.farplane.prompt, scene.farplane.model_name = "slow river", "/painter"
    assert not backend_panel.FARPLANE_PT_queue.poll(bpy.context)
    bpy.ops.farplane.generate()
    poll_until(lambda: session.job is not None and session.job.stage == "denoise")
    assert backend_panel.FARPLANE_PT_queue.poll(bpy.context)
    shown = drawn(backend_panel.FARPLANE_PT_queue)
    assert shown.texts[0] == "Scene, take 001"
    assert "Denoising" in shown.texts[1]
    assert shown.buttons == ["farplane.cancel"]
    bpy.ops.farplane.cancel(job=session.job.id)
    poll_until(lambda: session.job is None)
    assert not backend_panel.FARPLANE_PT_queue.poll(bpy.context)


# ---- how it is installed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["LINUX", "WINDOWS", "MACOS"])
def test_the_way_to_a_backend_is_a_page(held: Any, system: str) -> None:
    """Reached from both panels; each system's lines can be copied, and what was never tried says so."""
    assert "farplane.install_help" in drawn(backend_panel.FARPLANE_PT_backend).buttons
    layout = Recorder()
    stand_in = SimpleNamespace(layout=layout, system=system)
    backend_panel.FARPLANE_OT_install_help.draw(stand_in, bpy.context)
    install = backend_panel.INSTALL[system]
    assert set(install.lines) <= set(layout.texts)
    assert layout.buttons.count("farplane.copy_text") == len(install.lines)
    assert any("Not tested" in text for text in layout.texts) == (system != "LINUX")
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert "\ndemo:" in makefile, "what the page tells is there"
