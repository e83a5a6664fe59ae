"""From a .blend to what is sent: the file opened, its prompt and settings, its shots read."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import bpy

from ...protocol.errors import FarplaneError
from ...protocol.shot import Prompt, RenderSettings, Shot, validate_resolution
from ..materials import has_colours
from ..missing import in_words, missing
from ..notes import scene_notes
from ..reporting import Reporter, Stop
from ..scene import REFERENCE_SAMPLES, Extraction, ShotPlan, one_frame_shots, plan_shots, scene_resolution
from ..scope import summary
from ..space import check_space, shot_bytes, take_bytes
from .choice import artists_scenes, choose_camera, label


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
        theirs = max(_header_version(path), _version_in(str(error)))
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


def _version_in(words: str) -> tuple[int, int]:
    """The version of a file too new for this Blender, as Blender's own error tells it; (0, 0) in any other error.

    It is the only one to know where the file is compressed.
    """
    told = re.search(r"newer version of Blender \((\d+)\.(\d+)", words)
    return (int(told[1]), int(told[2])) if told else (0, 0)


def _header_version(path: Path) -> tuple[int, int]:
    """The Blender version in an uncompressed file's header; (0, 0) where there is none to read."""
    with path.open("rb") as stream:
        head = stream.read(17)
    # BLENDER-v405 until 4.5, BLENDER17-01v0500 since 5.0
    digits = head[9:12] if head[8:9] in (b"v", b"V") else head[13:17]
    if not head.startswith(b"BLENDER") or not digits.isdigit():
        return 0, 0
    return int(digits) // 100, int(digits) % 100


def planned(scene: bpy.types.Scene, options: argparse.Namespace, report: Reporter) -> tuple[ShotPlan, ...]:
    """The shots of the scene as asked for, once it is said what is read.  Raises FarplaneError, as `say_what_is_read` does."""
    camera = choose_camera(scene, options.camera)
    plans = plan_shots(scene, options.frames, camera)
    say_what_is_read(scene, plans, options, report, with_markers=camera is None)
    return plans


def say_what_is_read(
    scene: bpy.types.Scene,
    plans: Sequence[ShotPlan],
    options: argparse.Namespace,
    report: Reporter,
    *,
    with_markers: bool = True,
) -> None:
    """Tell the scene, its cameras, what is sent of it, and what is not as the artist may think; before any work.

    Raises FarplaneError for files that are missing, where --strict was given.
    """
    counts, cameras, scenes = summary(scene), list(dict.fromkeys(plan.camera for plan in plans)), len(artists_scenes())
    among = f" (one of {scenes})" if scenes > 1 else ""
    report(
        "scene",
        scene=label(scene),
        cameras=cameras,
        sent=counts.sent,
        left_out=counts.left_out,
        unseen=counts.unseen,
        text=f"{label(scene)}{among}, camera {', '.join(cameras)}: {counts}",
    )
    for marker, frame in one_frame_shots(scene, options.frames) if with_markers else ():
        text = f"The shot of marker {marker} is left out: it has frame {frame} only, and no motion to lock to"
        report("warning", text=text)
    lost = missing(scene, {frame for plan in plans for frame in plan.frames})
    if lost and options.strict:
        remedy = "Find them with File > External Data > Find Missing Files, or leave out --strict"
        raise FarplaneError("files", in_words(lost), remedy)
    if lost:
        report("warning", text=in_words(lost), files=[wanted.path or wanted.what for wanted in lost])
    for note in scene_notes(scene):
        report.note(str(note))


def scene_prompt(scene: bpy.types.Scene, options: argparse.Namespace) -> Prompt:
    """The prompt as given, else what the scene carries (custom properties farplane_prompt, farplane_negative)."""
    text = scene.get("farplane_prompt", "") if options.prompt is None else options.prompt
    negative = scene.get("farplane_negative", "") if options.negative is None else options.negative
    return Prompt(str(text), str(negative))


def scene_settings(scene: bpy.types.Scene, options: argparse.Namespace) -> RenderSettings:
    """How to render: as given, else as the scene's own panel says, else the defaults.  Raises FarplaneError."""
    panel = getattr(scene, "farplane", None)  # only where the add-on is enabled
    own = {
        "model": getattr(panel, "model_name", "") or RenderSettings.model,
        "seed": getattr(panel, "seed", 0),
        "steps": getattr(panel, "steps", 0) if getattr(panel, "quality", "CUSTOM") == "CUSTOM" else 0,
    }
    given = {key: own[key] if getattr(options, key) is None else getattr(options, key) for key in own}
    settings = RenderSettings(**given, guidance=options.guidance, compression=options.compression.upper())
    settings.validate()
    return settings


def wants_colours(scene: bpy.types.Scene, options: argparse.Namespace) -> bool:
    """Whether base colours are to be read: not where --no-colours or the scene's panel forbids it, or there are none."""
    return bool(options.colours and panel_allows(scene, "use_colours") and has_colours(scene))


def panel_allows(scene: bpy.types.Scene, name: str) -> bool:
    """Whether a checkbox of the scene's panel is on; where the add-on is not enabled there is no panel to forbid it."""
    return bool(getattr(getattr(scene, "farplane", None), name, True))


def check_room(
    scene: bpy.types.Scene, plans: Sequence[ShotPlan], options: argparse.Namespace, folder: Path, takes: int = 1
) -> tuple[int, int]:
    """The (W, H) of the shots.

    Raises FarplaneError where no plate can have that size, or the disk has no room for `takes` of each shot.
    """
    width, height = options.size or scene_resolution(scene)
    validate_resolution(width, height)
    frames, colours = [len(plan.frames) for plan in plans], bool(options.colours)
    if options.command == "shot":
        check_space(folder, sum(shot_bytes(count, width, height, colours=colours) for count in frames))
        return width, height
    landed = bool(getattr(options, "land", False))
    each = (take_bytes(n, width, height, reference=options.reference, landed=landed, colours=colours) for n in frames)
    copies = 2 * os.path.getsize(bpy.data.filepath) if landed and os.path.isfile(bpy.data.filepath) else 0
    check_space(folder, takes * sum(each) + copies)  # the copy of the scene is saved beside its place first
    return width, height


def extract(
    scene: bpy.types.Scene,
    plan: ShotPlan,
    prompt: Prompt | None,
    options: argparse.Namespace,
    report: Reporter,
    stop: Stop,
    between: Callable[[], object] = lambda: None,
) -> Shot:
    """Read one shot, saying every step.  between : called before each of them."""
    reference = bool(getattr(options, "reference", False))
    samples = getattr(options, "reference_samples", REFERENCE_SAMPLES)
    with Extraction(
        scene,
        plan,
        prompt,
        options.size,
        reference,
        reference_samples=samples,
        colours=options.colours,
        sun=options.sun and panel_allows(scene, "use_sun"),
    ) as extraction:
        finished = False
        while not finished:
            stop.check()
            between()
            stage, step = extraction.stage, extraction.done
            finished = extraction.step()
            report.progress(stage, step + 1, extraction.total)
        for note in extraction.notes():
            report.note(f"{plan.name}: {note}")
        return extraction.shot()
