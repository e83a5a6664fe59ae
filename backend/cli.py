"""The command line: one function per command, thin.  Heavy libraries load only inside the command that needs them.

Whatever the user can mend ends as one line, `field: problem. remedy`, with exit code 1; wrong usage with 2; a plate
that could not be landed with 3; Ctrl-C with 130.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..protocol.errors import FarplaneError
from ..protocol.shot import COMPRESSIONS, Prompt, RenderSettings
from ..protocol.version import version as our_version
from . import checks

app = typer.Typer(
    name="farplane",
    help="Background plates that stay locked to the Blender camera.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
clients = typer.Typer(help="Who may use this machine's backend.", no_args_is_help=True)
world = typer.Typer(help="The procedural world that farplane-s learns from.", no_args_is_help=True)
app.add_typer(clients, name="clients")
app.add_typer(world, name="world")

# Commands that hand their whole command line on to a module of their own.
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

STOPPED = {130: "Ctrl-C", 128 + signal.SIGTERM: "a signal to end"}  # by exit code

Scene = Annotated[Path, typer.Argument(metavar="SCENE.blend", help="The scene, as saved.")]
Out = Annotated[Path, typer.Option("--out", help="The folder for the result; made if absent.")]
Frames = Annotated[str, typer.Option("--frames", metavar="A-B", help="Frame range; the scene's own if left out.")]
Size = Annotated[
    str,
    typer.Option(
        "--size",
        metavar="WxH",
        help="Pixels of the plate, which shows the scene's own frame at any size; the scene's own if left out.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a plate or shot that DIR already holds.")]
Colours = Annotated[bool, typer.Option("--colours/--no-colours", help="Send the base colours of the materials.")]
Sun = Annotated[bool, typer.Option("--sun/--no-sun", help="Light the plate from where the scene's sun lamp stands.")]
SceneName = Annotated[
    str, typer.Option("--scene", metavar="NAME", help="Of the file; the one that was open when saved if left out.")
]
Camera = Annotated[
    str,
    typer.Option("--camera", metavar="NAME", help="Over the whole range; the markers' or the active one if left out."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse a scene of which files are missing.")]
Pipeline = Annotated[str, typer.Option("--pipeline", metavar="MODULE:FUNCTION", help="What the worker runs (tests).")]
Config = Annotated[Path | None, typer.Option("--config", help="Folder of keys and known clients.")]


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"Farplane {our_version()}")
        raise typer.Exit


@app.callback()
def whole(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version, and end.")
    ] = False,
) -> None:
    """Background plates that stay locked to the Blender camera."""


@app.command()
def render(
    scene: Scene,
    out: Out,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="What the plate should show; the scene's own if left out.")
    ] = None,
    negative: Annotated[
        str | None, typer.Option("--negative", help="What it should not show; without --prompt, the scene's own.")
    ] = None,
    frames: Frames = "",
    size: Size = "",
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same plate.")] = 0,
    steps: Annotated[int, typer.Option("--steps", help="Denoise steps; 0 is the model's default.")] = 0,
    guidance: Annotated[float, typer.Option("--guidance", help="Text guidance; 0 is the model's default.")] = 0.0,
    model: Annotated[str, typer.Option("--model", help="A name from `farplane models`, or a folder.")] = "farplane-s",
    compression: Annotated[str, typer.Option("--compression", help=f"Of the EXR: {', '.join(COMPRESSIONS)}.")] = "ZIP",
    backend: Annotated[
        str, typer.Option("--backend", metavar="URL", help="A running backend, tcp://host:port; else a private one.")
    ] = "",
    backend_key: Annotated[
        str, typer.Option("--backend-key", help="Its public key; not needed on the same machine.")
    ] = "",
    reference: Annotated[
        bool, typer.Option("--reference/--no-reference", help="Also render the scene, to measure beside the plate.")
    ] = True,
    colours: Colours = True,
    sun: Sun = True,
    scene_name: SceneName = "",
    camera: Camera = "",
    strict: Strict = False,
    overwrite: Overwrite = False,
    pipeline: Annotated[str, typer.Option("--pipeline", hidden=True)] = "",
) -> None:
    """Render a plate for SCENE.blend and land it in a copy of the scene."""
    from . import render_scene

    settings = RenderSettings(model, seed, steps, guidance, compression.upper())
    order = render_scene.Order(
        scene=scene,
        out=out,
        prompt=None if prompt is None else Prompt(prompt, negative or ""),
        negative=negative,
        settings=settings,
        frames=checks.parse_frames(frames),
        size=checks.parse_size(size),
        reference=reference,
        overwrite=overwrite,
        colours=colours,
        sun=sun,
        backend=backend,
        backend_key=backend_key,
        pipeline=pipeline,
        scene_name=scene_name,
        camera=camera,
        strict=strict,
    )
    raise typer.Exit(render_scene.render(order, Console()))


@app.command()
def shot(
    scene: Scene,
    out: Out,
    frames: Frames = "",
    size: Size = "",
    colours: Colours = True,
    sun: Sun = True,
    scene_name: SceneName = "",
    camera: Camera = "",
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """Read the shot of SCENE.blend (cameras, depth, base colours, sun) into DIR and stop there."""
    from . import render_scene

    render_scene.extract(
        scene,
        out,
        checks.parse_frames(frames),
        checks.parse_size(size),
        overwrite=overwrite,
        colours=colours,
        sun=sun,
        scene_name=scene_name,
        camera=camera,
        strict=strict,
        console=Console(),
    )


@app.command()
def measure(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A take: shot.json, its depth, its plate.")],
) -> None:
    """Measure a plate again: report.json, report.png and contact.png in DIR are made anew."""
    from .take_report import measure_again

    measure_again(folder, Console())


@app.command()
def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = None,
    config: Config = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the queue and the results.")] = None,
    pipeline: Pipeline = "",
    parent_pid: Annotated[int | None, typer.Option("--parent-pid", help="End when this process has ended.")] = None,
) -> None:
    """Run a backend until Ctrl-C."""
    from ..protocol.pairing import config_dir
    from .model.presets import longest_shot, offered
    from .service import server

    folder = config or config_dir()
    server.serve(
        host,
        server.DEFAULT_PORT if port is None else port,
        folder,
        data or checks.data_dir(),
        pipeline or server.PIPELINE,
        offered,
        parent_pid,
        longest_shot,
    )


@app.command()
def pair(
    name: Annotated[str, typer.Argument(help="Whom the line is for: letters, digits, - and _.")],
    host: Annotated[
        str, typer.Option("--host", help="This machine's name or address for the others; found out if left out.")
    ] = "",
    config: Config = None,
) -> None:
    """Print the one line that pairs a Blender on another machine with this backend."""
    from ..protocol.pairing import config_dir
    from .service import keys, server

    folder = config or config_dir()
    address = keys.outer_address(folder, server.DEFAULT_PORT, host)
    invitation = keys.invite(folder, address, name)
    told = Console(stderr=True)
    told.print(f"In Blender: Farplane tab > Backend > Pair, and paste the line below.  {address}", highlight=False)
    told.print(f"Whoever has it can use this backend as '{name}': send it like a password.", highlight=False)
    if not keys.answers(address):
        told.print(f"Nothing answers there yet: run `farplane serve --host {host or '0.0.0.0'}`.", highlight=False)
    print(invitation.line())


@clients.command("add")
def clients_add(
    key: Annotated[str, typer.Argument(help="The client's public key, 40 characters.")],
    name: Annotated[str, typer.Option("--name", help="A name to know it by.")] = "",
    config: Config = None,
) -> None:
    """Let a client on another machine use this backend."""
    from ..protocol.pairing import allow_client, config_dir

    path = allow_client(config or config_dir(), key, name)
    Console().print(f"{path.stem} may connect now; delete {path} to end that", highlight=False)


@clients.command("list")
def clients_list(config: Config = None) -> None:
    """Show who may use this backend."""
    from ..protocol.pairing import KEY, config_dir

    table = Table("name", "public key")
    for path in sorted(((config or config_dir()) / "clients").glob("*.pub")):
        key = path.read_text(errors="replace").strip()
        table.add_row(path.stem, key if KEY.fullmatch(key) else "(not a key: ignored)")
    console = Console()
    console.print(table if table.row_count else "No client is known yet; one on this machine adds itself.")


@app.command()
def models() -> None:
    """Show the models this machine can run, and what is missing for the others."""
    from .model.presets import PRESETS, offered

    table = Table("name", "what it is", "weights", "renders best", "steps, guidance")
    table.columns[0].no_wrap = True
    for info, preset in zip(offered(), PRESETS, strict=True):
        table.add_row(
            info.name,
            info.title,
            f"here, {info.size_mb:.0f} MB" if info.state == "ready" else f"not here: {preset.source}",
            " ".join(f"{w}x{h}" for w, h in info.sizes),
            f"{info.steps}, {info.guidance:g}",
        )
    Console().print(table)


@app.command(context_settings=PASS_ON)
def train(context: typer.Context) -> None:
    """Train farplane-s on worlds made here (`farplane train --help`)."""
    from .train import train as module

    pass_on(module.main, context)


@app.command(context_settings=PASS_ON)
def evaluate(context: typer.Context) -> None:
    """Measure a checkpoint on worlds it was not trained on (`farplane evaluate --help`)."""
    from functools import partial

    from . import cycles_takes
    from .train import evaluate as module

    pass_on(partial(module.main, take=cycles_takes.take_of), context)


@world.command("preview", context_settings=PASS_ON)
def world_preview(context: typer.Context) -> None:
    """Draw a sheet of procedural worlds (`farplane world preview --help`)."""
    from .train import preview as module

    pass_on(module.main, context)


@app.command(context_settings=PASS_ON)
def bench(context: typer.Context) -> None:
    """Time each stage of a render on this machine (`farplane bench --help`)."""
    from . import bench as module

    pass_on(module.main, context)


@app.command()
def doctor() -> None:
    """Say what works on this machine, and what to do about what does not."""
    from . import doctor as module

    raise typer.Exit(0 if module.show(Console()) else 1)


def pass_on(module_main: Callable[[list[str]], int | None], context: typer.Context) -> None:
    """Run a module that reads its own command line; its return value is the exit code."""
    raise typer.Exit(module_main(list(context.args)) or 0)


def main() -> None:
    """The entry point of `farplane`."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except SystemExit as end:
        if end.code in STOPPED:  # typer says nothing of a Ctrl-C
            Console(stderr=True).print(f"cancelled by {STOPPED[end.code]}", highlight=False)
        raise
    except FarplaneError as error:
        _fail(str(error))
    except BrokenPipeError:  # `farplane … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}. Check the path, its permissions and the free space")


def _fail(line: str) -> None:
    Console(stderr=True).print(f"[red]error:[/red] {_plain(line)}", highlight=False, soft_wrap=True)
    sys.exit(1)


def _plain(text: str) -> str:
    """One line, with nothing in it that Rich or a terminal would obey."""
    from rich.markup import escape

    return escape("".join(c if c.isprintable() else " " for c in text))


def _terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM runs the same clean-up as Ctrl-C."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
