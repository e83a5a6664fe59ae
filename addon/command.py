"""`blender -b shot.blend -c farplane shot|render …`, and the same for a child process: reads a scene, renders, lands.

    farplane shot   --out DIR [--size WxH] [--frames A-B] …          cameras and depth: shot.json, depth.####.exr
    farplane render --out DIR --prompt "…" [--seed N] [--backend URL] …   the whole way, into a landed copy

Standard output holds JSON lines only (Blender's own chatter goes to standard error)::

    {"event": "progress", "stage": "depth", "step": 3, "total": 25}
    {"event": "queued", "position": 1}    {"event": "warning", "text": …}    {"event": "disconnected", …}
    {"event": "result", …}  or  {"event": "error", "field": …, "problem": …, "remedy": …}  or  {"event": "cancelled"}

Exit codes: 0 done, 1 a mistake that the artist can mend, 2 a fault of ours, 130 cancelled.  A command that fails
leaves the output folder as it was.
"""

from __future__ import annotations

import argparse
import os
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

import bpy

from ..protocol import events
from ..protocol.errors import FarplaneError
from ..protocol.shot import COMPRESSIONS, Prompt, RenderSettings, Shot, validate_resolution
from ..protocol.shotfile import shot_to_json, shots_to_json
from .client import Client
from .output import OutputFolder, StagedFiles
from .reporting import Cancelled, Reporter, Stop, own_stdout
from .scene import REFERENCE_SAMPLES, Extraction, ShotPlan, plan_shots
from .takes import Take

CONNECT_SECONDS = 12.0  # until a backend has answered at all
PATIENCE_SECONDS = 3.0  # after the client has said what is wrong
LOST_SECONDS = 30.0  # without a connection while a job runs
CANCEL_SECONDS = 15.0  # the backend kills a worker that does not stop within 10
POLL_SECONDS = 0.05


class Ended(FarplaneError):
    """The job is over on the backend, or cannot be reached: there is nothing left to cancel."""


# -- the two doors ----------------------------------------------------------------------------------------------------


def main(argv: Sequence[str], out: IO[str] | None = None) -> int:
    """Run `SCENE.blend shot|render …` in a Blender that has nothing open yet; return the exit code."""

    def work(options: argparse.Namespace, report: Reporter, stop: Stop) -> None:
        if options.with_parent:
            stop.when_parent_ends()
        with OutputFolder(options.out, overwrite=options.overwrite) as folder:
            open_scene(options.scene, report)
            _COMMANDS[options.command](bpy.context.scene, options, folder, report, stop)

    return _run(argv, True, work, out)


def execute(argv: Sequence[str]) -> int:
    """Run `shot|render …` on the scene that Blender has open: the registered command `-c farplane`."""

    def work(options: argparse.Namespace, report: Reporter, stop: Stop) -> None:
        with OutputFolder(options.out, overwrite=options.overwrite) as folder:
            _COMMANDS[options.command](bpy.context.scene, options, folder, report, stop)

    return _run(argv, False, work, None)


_registered: list[Any] = []


def register() -> None:
    """Let `blender -c farplane …` reach `execute` (Blender 4.2 and later)."""
    _registered.append(bpy.utils.register_cli_command("farplane", execute))


def unregister() -> None:
    """Take the command away again."""
    while _registered:
        bpy.utils.unregister_cli_command(_registered.pop())


def _run(
    argv: Sequence[str],
    with_scene: bool,
    work: Callable[[argparse.Namespace, Reporter, Stop], None],
    out: IO[str] | None,
) -> int:
    """Parse, work, and say how it ended."""
    stop = Stop()
    with own_stdout(out) as stream, stop.on_signals():
        report = Reporter(stream)
        try:
            work(_parse(argv, with_scene), report, stop)
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
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise FarplaneError("arguments", message, "See `farplane --help`")


def _parse(argv: Sequence[str], with_scene: bool) -> argparse.Namespace:
    parser = _Parser(prog="farplane", description="Background plates that stay locked to the Blender camera.")
    if with_scene:
        parser.add_argument("scene", type=Path, metavar="SCENE.blend")
        parser.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True)
    shot = commands.add_parser("shot", help="cameras and depth")
    render = commands.add_parser("render", help="a plate, landed in a copy of the scene")
    for command in (shot, render):
        command.add_argument("--out", type=Path, required=True, metavar="DIR")
        command.add_argument("--frames", type=_frames, metavar="A-B", help="the scene's own range if left out")
        command.add_argument("--size", type=_size, metavar="WxH", help="the scene's own resolution if left out")
        command.add_argument("--prompt", default=None, help="the scene's own if left out")
        command.add_argument("--negative", default=None)
        command.add_argument("--overwrite", action="store_true", help="replace a plate that DIR holds")
    render.add_argument("--seed", type=int, default=0)
    render.add_argument("--steps", type=int, default=0)
    render.add_argument("--guidance", type=float, default=0.0)
    render.add_argument("--model", default=RenderSettings.model)
    render.add_argument("--compression", default="ZIP", help=", ".join(COMPRESSIONS))
    render.add_argument("--backend", default="", metavar="URL", help="this machine's own if left out")
    render.add_argument("--server-key", default="", help="the backend's public key; not needed on the same machine")
    render.add_argument("--config", type=Path, default=None, metavar="FOLDER", help="keys and known clients")
    render.add_argument("--no-reference", dest="reference", action="store_false", help="do not render the scene itself")
    render.add_argument("--reference-samples", type=_samples, default=REFERENCE_SAMPLES, metavar="N")
    render.add_argument("--no-land", dest="land", action="store_false", help="write no copy of the scene")
    return parser.parse_args(list(argv))


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


# -- the scene --------------------------------------------------------------------------------------------------------


def open_scene(path: Path, report: Reporter) -> None:
    """Open a .blend with factory settings and its scripts off.

    Raises FarplaneError for a file that is missing, damaged, or from a newer Blender than this one.
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if not path.is_file():
        raise FarplaneError("scene", f"{path} does not exist", "Give the path of a .blend file")
    ours = bpy.app.version[:2]
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path.absolute()), load_ui=False, use_scripts=False)
    except RuntimeError as error:
        theirs = _header_version(path)
        if theirs > ours:
            raise _too_new(path, theirs) from error
        raise FarplaneError("scene", f"{path} is damaged or no .blend file", "Save the scene again") from error
    if bpy.data.version[:2] > ours:
        raise _too_new(path, bpy.data.version[:2])
    if bpy.app.autoexec_fail:
        text = f"Python in the file was not run ({bpy.app.autoexec_fail_message}): bake drivers that need it"
        report("warning", text=text)


def _too_new(path: Path, version: tuple[int, ...]) -> FarplaneError:
    theirs, ours = (".".join(str(part) for part in v[:2]) for v in (version, bpy.app.version))
    return FarplaneError(
        "scene",
        f"{path.name} was saved by Blender {theirs}, and this is {ours}",
        "Set FARPLANE_BLENDER to that Blender's program, or save the scene from an older one",
    )


def _header_version(path: Path) -> tuple[int, int]:
    """The Blender version in an uncompressed file's header; (0, 0) where there is none to read."""
    with path.open("rb") as stream:
        head = stream.read(17)
    # BLENDER-v405 until 4.5, BLENDER17-01v0500 since 5.0
    digits = head[9:12] if head[8:9] in (b"v", b"V") else head[13:17]
    if not head.startswith(b"BLENDER") or not digits.isdigit():
        return 0, 0
    return int(digits) // 100, int(digits) % 100


def scene_prompt(scene: bpy.types.Scene, options: argparse.Namespace) -> Prompt:
    """The prompt as given, else what the scene carries (custom properties farplane_prompt, farplane_negative)."""
    text = scene.get("farplane_prompt", "") if options.prompt is None else options.prompt
    negative = scene.get("farplane_negative", "") if options.negative is None else options.negative
    return Prompt(str(text), str(negative))


def extract(
    scene: bpy.types.Scene,
    plan: ShotPlan,
    prompt: Prompt | None,
    options: argparse.Namespace,
    report: Reporter,
    stop: Stop,
) -> Shot:
    """Read one shot, saying every step."""
    reference = bool(getattr(options, "reference", False))
    samples = getattr(options, "reference_samples", REFERENCE_SAMPLES)
    with Extraction(scene, plan, prompt, options.size, reference, reference_samples=samples) as extraction:
        finished = False
        while not finished:
            stop.check()
            stage, step = extraction.stage, extraction.done
            finished = extraction.step()
            report.progress(stage, step + 1, extraction.total)
        return extraction.shot()


def run_shot(
    scene: bpy.types.Scene, options: argparse.Namespace, folder: OutputFolder, report: Reporter, stop: Stop
) -> None:
    """`shot`: every shot of the scene into one shot.json, with its depth files beside it."""
    prompt = scene_prompt(scene, options)
    plans = plan_shots(scene, options.frames)
    shots = []
    with StagedFiles(folder.path) as files:
        for plan in plans:
            shot = extract(scene, plan, prompt if prompt.text else None, options, report, stop)
            files.add_depth(shot)
            shots.append(shot)
        data = shots_to_json(shots, [plan.camera for plan in plans], files.depth, name=shots[0].name)
        files.commit(data)
    folder.keep()
    report("result", command="shot", folder=str(folder.path), shots=[_told(shot, folder.path) for shot in shots])


def run_render(
    scene: bpy.types.Scene, options: argparse.Namespace, folder: OutputFolder, report: Reporter, stop: Stop
) -> None:
    """`render`: every shot of the scene through the backend, and all of them landed in a copy of the scene."""
    prompt = scene_prompt(scene, options)
    prompt.validate()
    settings = RenderSettings(options.model, options.seed, options.steps, options.guidance, options.compression.upper())
    settings.validate()
    plans = plan_shots(scene, options.frames)
    places = [folder.path if len(plans) == 1 else folder.path / _file_name(plan.name) for plan in plans]
    for place in places:
        folder.refuse_plate(place)
    client = Client(options.backend, options.server_key, options.config)
    client.start()
    done: list[tuple[ShotPlan, Path]] = []
    told = []
    try:
        check_model(connect(client, stop), settings)
        for plan, place in zip(plans, places, strict=True):
            shot = extract(scene, plan, prompt, options, report, stop)
            job = render_take(client, shot, settings, plan, place, options.overwrite, report, stop)
            folder.keep(place)
            done.append((plan, place))
            told.append({**_told(shot, place), "job": job})
    finally:
        client.close()
    blend = _land_all(scene, done, folder.path, report) if options.land else None
    folder.keep()
    report("result", command="render", folder=str(folder.path), shots=told, blend=blend)


_COMMANDS = {"shot": run_shot, "render": run_render}


def _told(shot: Shot, place: Path) -> dict[str, Any]:
    """What the result says of one shot."""
    first, last = shot.frames[0], shot.frames[-1]
    return {
        "name": shot.name,
        "folder": str(place),
        "first": first,
        "last": last,
        "frames": len(shot.frames),
        "resolution": list(shot.resolution),
    }


def _file_name(name: str) -> str:
    """A shot's name as a folder's: nothing that a file system gives a meaning to."""
    return "".join(c if c.isalnum() or c in " -_" else "_" for c in name).strip()[:80] or "shot"


# -- the backend ------------------------------------------------------------------------------------------------------


def connect(client: Client, stop: Stop) -> events.Connected:
    """Wait for the backend's answer.  Raises FarplaneError with what the client found wrong."""
    begin = time.monotonic()
    said: tuple[float, events.Disconnected] | None = None
    while time.monotonic() - begin < CONNECT_SECONDS:
        stop.check()
        for event in client.poll():
            if isinstance(event, events.Connected):
                return event
            if isinstance(event, events.Disconnected):
                said = (said[0] if said else time.monotonic(), event)
        if said and time.monotonic() - said[0] > PATIENCE_SECONDS:
            break
        time.sleep(POLL_SECONDS)
    if said is None:
        raise FarplaneError(
            "backend", "it does not answer", "Check that `farplane serve` runs and the address is right"
        )
    raise FarplaneError("backend", said[1].problem, said[1].remedy)


def check_model(connected: events.Connected, settings: RenderSettings) -> None:
    """Raise FarplaneError for a model that the backend does not have, before any work.  Paths it judges itself."""
    ready = [model.name for model in connected.models if model.state == "ready"]
    by_name = {model.name: model for model in connected.models}
    remedy = f"Use one of {', '.join(ready)}" if ready else "Install a model on the backend's machine"
    if settings.model in by_name:
        if settings.model not in ready:
            raise FarplaneError("model", f"{settings.model} is not on the backend's machine", remedy)
    elif not set(settings.model) & {"/", "\\"}:
        raise FarplaneError("model", f"{settings.model} is unknown to the backend", remedy)


def render_take(
    client: Client,
    shot: Shot,
    settings: RenderSettings,
    plan: ShotPlan,
    place: Path,
    overwrite: bool,
    report: Reporter,
    stop: Stop,
) -> str:
    """Send one shot and write what comes back as a take in `place`; return the job's UUID.

    Raises FarplaneError for what the backend or the disk reports, Cancelled after the job was stopped.
    """
    with StagedFiles(place) as files:
        files.add_depth(shot)
        files.add_reference(shot)
        take = Take.create(place, shot_to_json(shot, files.depth, plan.camera, settings), overwrite=overwrite)
        job = take.job = client.submit(shot, settings)
        try:
            _follow(client, job, take, report, stop)
            take.finish()
        except BaseException as error:
            take.abandon()
            if not isinstance(error, Ended):
                _cancel(client, job)
            raise
        files.commit()
    client.forget(job)
    return job


def _follow(client: Client, job: str, take: Take, report: Reporter, stop: Stop) -> None:
    """Take the job's events until it has finished."""
    lost_since: float | None = None
    while True:
        stop.check()
        for event in client.poll():
            if isinstance(event, events.Finished) and event.job == job:
                return
            if isinstance(event, events.Disconnected):
                lost_since = lost_since or time.monotonic()
                report("disconnected", problem=event.problem, remedy=event.remedy)
            elif isinstance(event, events.Connected):
                lost_since = None
            elif event.job == job:
                _take_event(event, take, report)
        if lost_since is not None and time.monotonic() - lost_since > LOST_SECONDS:
            raise Ended("backend", "the connection broke and did not come back", "Start the backend again")
        time.sleep(POLL_SECONDS)


def _take_event(event: Any, take: Take, report: Reporter) -> None:
    match event:
        case events.FrameReady():
            take.write_frame(event.frame, event.exr, event.sha256)
        case events.ArtifactReady():
            take.write_artifact(event.name, event.data, event.sha256)
        case events.Uploading():
            report.progress("upload", event.sent, event.total)
        case events.Accepted():
            report("queued", position=event.position)
        case events.Progress():
            report.progress(event.stage, event.step, event.total)
        case events.Failed():
            raise Ended(event.field, event.problem, event.remedy)
        case events.Cancelled():
            raise Ended("job", "it was cancelled on the backend", "Render again")


def _cancel(client: Client, job: str) -> None:
    """Stop a job that is still going, and wait until the backend says so."""
    client.cancel(job)
    deadline = time.monotonic() + CANCEL_SECONDS
    while time.monotonic() < deadline:
        for event in client.poll():
            if isinstance(event, events.Cancelled | events.Failed | events.Finished) and event.job == job:
                client.forget(job)
                return
            if isinstance(event, events.Disconnected):
                return
        time.sleep(POLL_SECONDS)


# -- landing ----------------------------------------------------------------------------------------------------------


def _land_all(scene: bpy.types.Scene, done: list[tuple[ShotPlan, Path]], folder: Path, report: Reporter) -> str | None:
    """Land the takes in a copy of the scene beside them; a copy that fails does not cost the plate."""
    from .landing import land

    stem = Path(bpy.data.filepath).stem or "untitled"
    target = folder / f"{stem}_farplane.blend"
    scratch = folder / f".{stem}_farplane.{os.getpid()}.blend"
    try:
        # Saved there first, so that paths relative to the file are already the ones of the copy when we land.
        _save(scratch)
        for step, (plan, place) in enumerate(done):
            land(scene, bpy.data.objects[plan.camera], place)
            report.progress("land", step + 1, len(done))
        _save(target)
    except (FarplaneError, RuntimeError) as error:
        report("warning", text=f"The plate is whole, but it could not be landed in a copy of the scene: {error}")
        return None
    finally:
        for path in (scratch, scratch.with_suffix(".blend1")):
            path.unlink(missing_ok=True)
    return str(target)


def _save(path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(path), check_existing=False, compress=True, relative_remap=True)
