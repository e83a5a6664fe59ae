"""The command line inside Blender, on the scene that is open or, in a child process, on a .blend that is named.

    blender -b shot.blend -c farplane render --prompt "a valley at dawn" --out DIR
    blender -b shot.blend -c farplane variations --prompt "a valley, {dawn|noon}, {snow|desert}" --out DIR
    blender -b shot.blend -c farplane storyboard --out DIR
    blender -b shot.blend -c farplane shot --out DIR

Standard output is ours alone (Blender's own chatter goes to standard error): lines for people, or with --json one
event a line::

    {"event": "scene", "scene": "Shot 010", "cameras": ["cam"], "sent": 63, "left_out": 1, …}
    {"event": "progress", "stage": "depth", "step": 3, "total": 25}
    {"event": "queued", "position": 1}    {"event": "warning", "text": …}    {"event": "disconnected", …}
    {"event": "done", "name": …, "folder": …}    {"event": "failed", "name": …, "field": …, …}      of a batch
    {"event": "result", …}  or  {"event": "error", "field": …, "problem": …, "remedy": …}  or  {"event": "cancelled"}

Exit codes: EXIT_CODES below.  A command that fails leaves the output folder as it was, but for takes that are whole.
docs/command-line.md is the page for users.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import IO, Any, NoReturn

import bpy

from ..protocol.errors import FarplaneError
from ..protocol.shot import COMPRESSIONS, validate_resolution
from ..protocol.version import version
from .commands.choice import choose_scene
from .commands.many import run_storyboard, run_variations
from .commands.reading import open_scene
from .commands.single import run_render, run_shot
from .output import OutputFolder
from .reporting import Cancelled, Reporter, Stop, own_stdout
from .scene import REFERENCE_SAMPLES

EXIT_CODES = """\
exit codes:
  0    done
  1    a mistake that you can mend; nothing was made
  2    a fault of Farplane's own
  3    some takes or landings failed, the rest is whole; the last line says which
  130  cancelled (Ctrl-C, SIGTERM); takes that were whole already stay
"""
PROGRAM = "blender -b SHOT.blend -c farplane"

_COMMANDS: dict[str, Callable[..., int | None]] = {
    "shot": run_shot,
    "render": run_render,
    "variations": run_variations,
    "storyboard": run_storyboard,
}
Work = Callable[[argparse.Namespace, Reporter, Stop], int | None]


# -- the two doors ----------------------------------------------------------------------------------------------------


def main(argv: Sequence[str], out: IO[str] | None = None) -> int:
    """Run `SCENE.blend shot|render|…` in a Blender that has nothing open yet; return the exit code.

    For a parent process: it says everything as JSON, unless it writes to a terminal.
    """

    def work(options: argparse.Namespace, report: Reporter, stop: Stop) -> int | None:
        if options.with_parent:
            stop.when_parent_ends()
        with _output(options) as folder:
            open_scene(options.file, report)
            return _COMMANDS[options.command](choose_scene(options.scene), options, folder, report, stop)

    return _run(argv, True, work, out, not (out or sys.stdout).isatty() or "--json" in argv)


def execute(argv: Sequence[str], out: IO[str] | None = None) -> int:
    """Run `shot|render|…` on the scene that Blender has open: the registered command `-c farplane`."""

    def work(options: argparse.Namespace, report: Reporter, stop: Stop) -> int | None:
        if getattr(options, "backend", ""):
            _check_online(options.backend)
        with _output(options) as folder:
            return _COMMANDS[options.command](choose_scene(options.scene), options, folder, report, stop)

    return _run(argv, False, work, out, "--json" in argv)


def _output(options: argparse.Namespace) -> OutputFolder:
    return OutputFolder(options.out, overwrite=options.overwrite, for_shot=options.command == "shot")


_registered: list[Any] = []


def register() -> None:
    """Let `blender -c farplane …` reach `execute` (Blender 4.2 and later)."""
    _registered.append(bpy.utils.register_cli_command("farplane", execute))


def unregister() -> None:
    """Take the command away again."""
    while _registered:
        bpy.utils.unregister_cli_command(_registered.pop())


def _run(argv: Sequence[str], with_scene: bool, work: Work, out: IO[str] | None, as_json: bool) -> int:
    """Parse, work, and say how it ended."""
    stop = Stop()
    with own_stdout(out) as stream, stop.on_signals():
        report = Reporter(stream, words=not as_json)
        try:
            with redirect_stdout(stream):  # for --help
                options = _parse(argv, with_scene)
            return work(options, report, stop) or 0
        except FarplaneError as error:
            report("error", field=error.field, problem=error.problem, remedy=error.remedy)
            return 1
        except (Cancelled, KeyboardInterrupt):
            report("cancelled")
            return 130
        except SystemExit as end:  # --help
            return int(end.code or 0)
        except Exception as error:
            traceback.print_exc()
            problem = f"{type(error).__name__}: {error}"
            report("error", field="farplane", problem=problem, remedy="This is a fault of ours: please report it")
            return 2


def _check_online(address: str) -> None:
    """An extension asks Blender before it talks to another machine."""
    from .ui.preferences import is_loopback

    if not is_loopback(address) and not bpy.app.online_access:
        remedy = "Start Blender with --online-mode, or allow it under Preferences > System > Network"
        raise FarplaneError("backend", "Blender's online access is off", remedy)


# -- the words --------------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise FarplaneError("arguments", message, f"See `{self.prog} --help`")


def _parse(argv: Sequence[str], with_scene: bool) -> argparse.Namespace:
    parser = _Parser(
        prog="farplane" if with_scene else PROGRAM,
        description="Background plates that stay locked to the Blender camera.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if with_scene:
        parser.add_argument("file", type=Path, metavar="SCENE.blend")
        parser.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"Farplane {version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, epilog: str = "") -> argparse.ArgumentParser:
        own = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=f"{epilog}\n\n{EXIT_CODES}".lstrip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add_common(own)
        return own

    shot = command("shot", "cameras and depth, for looking at or for another program")
    render = command("render", "a plate for every shot of the scene, landed in a copy of it")
    variations = command(
        "variations", "every combination of a prompt's alternatives, with a contact sheet", ALTERNATIVES
    )
    storyboard = command(
        "storyboard", "a draft of every camera marker's shot, laid as an animatic in a copy of the scene"
    )
    for one in (render, variations, storyboard):
        _add_render(one)
    storyboard.set_defaults(camera=None)
    for one in (shot, render, variations):
        text = "this one over the whole range, whatever markers say; the markers' or the active one if left out"
        one.add_argument("--camera", default=None, metavar="NAME", help=text)
    for one in (render, variations):
        one.add_argument("--draft", action="store_true", help="a third of the model's own steps")
    render.add_argument("--compression", default="ZIP", help=f"of the EXR files: {', '.join(COMPRESSIONS)}")
    render.add_argument(
        "--no-reference", dest="reference", action="store_false", help="do not render the scene itself, to measure by"
    )
    render.add_argument("--reference-samples", type=_samples, default=REFERENCE_SAMPLES, metavar="N")
    variations.add_argument("--vary-seed", action="store_true", help="another seed for each, counting up from --seed")
    storyboard.add_argument("--final", action="store_true", help="the model's own steps, not a draft's")
    for one in (variations, storyboard):
        one.set_defaults(compression="ZIP", reference=False)
    for one in (render, storyboard):
        one.add_argument("--no-land", dest="land", action="store_false", help="write no copy of the scene")
    return parser.parse_args(list(argv))


ALTERNATIVES = """\
alternatives:
  "a valley, {dawn|noon|night}, {snow|desert}" is a grid of six takes: the first braces make its rows, the others its
  columns.  An option may be empty: {fog|}.  Write \\{ \\} \\| for the characters themselves."""


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the folder for the result; made if absent"
    )
    command.add_argument(
        "--scene", default=None, metavar="NAME", help="of the file; the one that was open when it was saved if left out"
    )
    command.add_argument("--frames", type=_frames, metavar="A-B", help="the scene's own range if left out")
    command.add_argument(
        "--size", type=_size, metavar="WxH", help="pixels, of the scene's own frame; its resolution if left out"
    )
    command.add_argument("--prompt", default=None, help="the scene's own if left out")
    command.add_argument("--negative", default=None, help="what not to show; the scene's own if left out")
    command.add_argument(
        "--no-colours", dest="colours", action="store_false", help="leave out the base colours of the materials"
    )
    command.add_argument(
        "--no-sun", dest="sun", action="store_false", help="let the seed light the plate, not the scene's sun lamp"
    )
    command.add_argument("--overwrite", action="store_true", help="replace a plate or a shot that DIR holds")
    command.add_argument("--strict", action="store_true", help="refuse a scene of which files are missing")
    command.add_argument("--json", action="store_true", help="one event a line as JSON, instead of words")


def _add_render(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=int, default=None, help="same seed, same plate; the scene's own if left out")
    command.add_argument("--steps", type=int, default=None, help="denoise steps; 0 is the model's own number")
    command.add_argument("--guidance", type=float, default=0.0, help="text guidance; 0 is the model's own")
    command.add_argument("--model", default=None, help="a name that the backend offers; the scene's own if left out")
    command.add_argument("--backend", default="", metavar="URL", help="tcp://host:port; this machine's own if left out")
    command.add_argument(
        "--backend-key", "--server-key", dest="server_key", default="", metavar="KEY", help="its public key"
    )
    command.add_argument("--config", type=Path, default=None, metavar="FOLDER", help="keys and known clients")


def _frames(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not (dash and first.strip().isdecimal() and last.strip().isdecimal()):
        raise FarplaneError("frames", f"{text!r} is no range", "Write it as 1-24")
    return int(first), int(last)


def _samples(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 4096):
        raise FarplaneError("reference", f"{text!r} is no number of samples", "Use 1 to 4096")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    if not (cross and width.strip().isdecimal() and height.strip().isdecimal()):
        raise FarplaneError("resolution", f"{text!r} is no size", "Write it as 960x540")
    validate_resolution(int(width), int(height))
    return int(width), int(height)
