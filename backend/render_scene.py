"""`farplane render` and `farplane shot`: Blender as a child, a backend of our own if none is named, one table at the end.

The child (addon/command.py) reads the scene, talks to the backend and writes the take; here its events become bars.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from ..protocol.errors import FarplaneError
from ..protocol.shot import Prompt, RenderSettings
from . import blender, checks
from .model.presets import find_model
from .private import PrivateBackend, private_backend
from .progress import StageBoard, seconds_table
from .take_report import files_table, lock_table, read_report, show_notes


@dataclass(frozen=True)
class Order:
    """What the command line asked for.

    prompt : None takes the scene's own.  negative : beside the scene's own prompt; None takes the scene's own.
    frames, size : None takes the scene's own.
    backend : tcp://host:port, or empty for a private one.  backend_key : its public key, or empty.
    pipeline : what a private backend's worker runs instead of the real one; for tests.
    colours, sun : send the base colours of the materials, and where the sun lamp stands.
    scene_name, camera : which of the file's; empty takes the open one, and the markers' or the active one.
    strict : refuse a scene of which files are missing.
    """

    scene: Path
    out: Path
    prompt: Prompt | None
    settings: RenderSettings
    frames: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    reference: bool = True
    overwrite: bool = False
    backend: str = ""
    backend_key: str = ""
    pipeline: str = ""
    negative: str | None = None
    colours: bool = True
    sun: bool = True
    scene_name: str = ""
    camera: str = ""
    strict: bool = False

    def validate(self) -> None:
        """Raise FarplaneError for the first thing that no render can have."""
        if self.prompt is not None:
            self.prompt.validate()
        elif self.negative is not None:
            Prompt("the scene's own", self.negative).validate()
        self.settings.validate()
        checks.check_scene(self.scene)
        checks.check_backend(self.backend, self.backend_key)
        if self.backend and self.pipeline:
            raise FarplaneError("pipeline", "it is for a private backend", "Leave out --backend or --pipeline")
        if not (self.backend or self.pipeline):
            _check_model(self.settings.model)

    def arguments(self) -> list[str]:
        """The command line of the child."""
        settings = self.settings
        words = _scene_arguments(
            self.scene,
            "render",
            self.out,
            self.frames,
            self.size,
            overwrite=self.overwrite,
            colours=self.colours,
            sun=self.sun,
            scene_name=self.scene_name,
            camera=self.camera,
            strict=self.strict,
        )
        if self.prompt is not None:
            words += [f"--prompt={self.prompt.text}", f"--negative={self.prompt.negative}"]
        elif self.negative is not None:
            words.append(f"--negative={self.negative}")
        words += [f"--seed={settings.seed}", f"--steps={settings.steps}", f"--guidance={settings.guidance}"]
        words += [f"--model={settings.model}", f"--compression={settings.compression}"]
        if self.backend:
            words += [f"--backend={self.backend}", f"--server-key={self.backend_key}"]
        return words if self.reference else [*words, "--no-reference"]


def render(order: Order, console: Console) -> int:
    """The whole way; prints bars and the closing table, and returns the exit code: 3 where a plate could not be landed.

    Raises FarplaneError before any work where it can.
    """
    order.validate()
    found = blender.find_blender()
    began = time.monotonic()
    with checks.output_folder(order.out, overwrite=order.overwrite):
        own = nullcontext() if order.backend else private_backend(order.pipeline)
        with own as backend, StageBoard(console) as board:
            board.update("start", 0, 1)
            environment = _environment(backend)
            watcher = Watcher(board, console, backend)
            result = _run(order.arguments(), watcher, environment, found)
            seconds = board.seconds()
    _show_result(result, seconds, time.monotonic() - began, console)
    return blender.PARTLY if result.get("not_landed") else 0


def extract(
    scene: Path,
    out: Path,
    frames: tuple[int, int] | None,
    size: tuple[int, int] | None,
    *,
    overwrite: bool,
    colours: bool = True,
    sun: bool = True,
    scene_name: str = "",
    camera: str = "",
    strict: bool = False,
    console: Console,
) -> None:
    """Read the shot of a scene into `out` and stop there."""
    checks.check_scene(scene)
    found = blender.find_blender()
    with checks.output_folder(out, overwrite=overwrite, for_shot=True), StageBoard(console) as board:
        board.update("start", 0, 1)
        watcher = Watcher(board, console, None)
        words = _scene_arguments(
            scene,
            "shot",
            out,
            frames,
            size,
            overwrite=overwrite,
            colours=colours,
            sun=sun,
            scene_name=scene_name,
            camera=camera,
            strict=strict,
        )
        result = _run(words, watcher, {}, found)
    for shot in result.get("shots", []):
        width, height = shot["resolution"]
        text = f"{shot['name']}: frames {shot['first']}-{shot['last']}, {width}x{height}"
        console.print(escape(text), highlight=False, soft_wrap=True)
    console.print(escape(str(out / "shot.json")), highlight=False, soft_wrap=True)


def _check_model(name: str) -> None:
    """Raise FarplaneError for a model that is not there or does not load, before minutes go into its scene."""
    find_model(name)  # a name that is none is told at once
    from .pipeline.render import check_model  # it brings torch along: 2 s

    check_model(name)


@dataclass
class Watcher:
    """Turns the child's events into bars and lines."""

    board: StageBoard
    console: Console
    backend: PrivateBackend | None
    _heard: bool = False

    def __call__(self, event: blender.Event) -> None:
        if not self._heard:
            self._heard = True
            self.board.update("start", 1, 1)
        match event["event"]:
            case "progress":
                self.board.update(str(event["stage"]), int(event["step"]), int(event["total"]))
            case "queued" if event.get("position"):
                self._say(f"{event['position']} jobs are before this one")
            case "warning":
                self._say(f"warning: {event.get('text', '')}")
            case "note":
                self._say(f"note: {event.get('text', '')}")
            case "scene":
                self._say(f"scene {event.get('text', '')}")
            case "disconnected":
                if self.backend is not None:
                    self.backend.check()
                self._say(f"backend: {event.get('problem', '')}. {event.get('remedy', '')}")

    def _say(self, text: str) -> None:
        self.console.print(escape(text), highlight=False, soft_wrap=True)


def _run(words: list[str], watcher: Watcher, environment: dict[str, str], found: blender.Blender) -> dict[str, Any]:
    # A Blender that is stopped while it starts leaves its own temporary folder: it gets one inside ours.
    with tempfile.TemporaryDirectory(prefix="farplane-", ignore_cleanup_errors=True) as folder:
        try:
            extra = environment | {"TMPDIR": folder, "TEMP": folder}
            return blender.run_command(words, watcher, extra_environment=extra, blender=found)
        except blender.Cancelled as error:
            raise KeyboardInterrupt from error


def _environment(backend: PrivateBackend | None) -> dict[str, str]:
    """What the child needs to find a private backend."""
    if backend is None:
        return {}
    backend.published()
    return {"FARPLANE_CONFIG": str(backend.config)}


def _scene_arguments(
    scene: Path,
    command: str,
    out: Path,
    frames: tuple[int, int] | None,
    size: tuple[int, int] | None,
    *,
    overwrite: bool,
    colours: bool,
    sun: bool,
    scene_name: str,
    camera: str,
    strict: bool,
) -> list[str]:
    words = [str(scene.absolute()), command, f"--out={out.absolute()}"]
    if frames is not None:
        words.append(f"--frames={frames[0]}-{frames[1]}")
    if size is not None:
        words.append(f"--size={size[0]}x{size[1]}")
    words += [] if colours else ["--no-colours"]
    words += [] if sun else ["--no-sun"]
    words += [f"--scene={scene_name}"] if scene_name else []
    words += [f"--camera={camera}"] if camera else []
    words += ["--strict"] if strict else []
    return [*words, "--overwrite"] if overwrite else words


# -- the closing table ------------------------------------------------------------------------------------------------


def _show_result(result: dict[str, Any], seconds: dict[str, float], total: float, console: Console) -> None:
    console.print(seconds_table(seconds, total))
    for shot in result.get("shots", []):
        folder = Path(shot["folder"])
        report = read_report(folder)
        console.print(lock_table(report))
        show_notes(report, console)
        console.print(files_table(folder))
    if result.get("blend"):
        console.print(f"The plate is landed in {escape(str(result['blend']))}", highlight=False, soft_wrap=True)
    for one in result.get("not_landed", ()):  # last, since it is what is to be mended
        console.print(f"not landed: {escape(str(one.get('text', '')))}", highlight=False, soft_wrap=True)
