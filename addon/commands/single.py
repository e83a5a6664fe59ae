"""`shot` and `render`: each shot of the scene by itself, and the landed copy."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy

from ...protocol import codec
from ...protocol.errors import FarplaneError
from ...protocol.shot import Shot
from ...protocol.shotfile import shots_to_json
from .. import takes, variations
from ..client import Client
from ..output import OutputFolder, StagedFiles
from ..reporting import Reporter, Stop
from ..scene import ShotPlan, plan_camera
from .choice import label
from .link import check_model, check_upload, connect, draft, enquire, must_look, render_take, takes_colours
from .reading import check_room, extract, planned, scene_prompt, scene_settings, wants_colours

PARTLY = 3  # exit code: some takes or landings failed, the rest is whole


def run_shot(
    scene: bpy.types.Scene, options: argparse.Namespace, folder: OutputFolder, report: Reporter, stop: Stop
) -> None:
    """`shot`: every shot of the scene into one shot.json, with its depth files beside it."""
    prompt = scene_prompt(scene, options)
    plans = planned(scene, options, report)
    options.colours = wants_colours(scene, options)
    check_room(scene, plans, options, folder.path)
    shots = []
    with StagedFiles(folder.path) as files:
        for plan in plans:
            shot = extract(scene, plan, prompt if prompt.text else None, options, report, stop)
            files.add_passes(shot)
            shots.append(shot)
        data = shots_to_json(shots, [plan.camera for plan in plans], files.depth, name=shots[0].name)
        files.commit(data)
    folder.keep()
    told = [told_of(shot, folder.path) for shot in shots]
    report("result", command="shot", scene=label(scene), folder=str(folder.path), shots=told)


def run_render(
    scene: bpy.types.Scene, options: argparse.Namespace, folder: OutputFolder, report: Reporter, stop: Stop
) -> int:
    """`render`: every shot of the scene through the backend, and all of them landed in a copy of the scene."""
    prompt = scene_prompt(scene, options)
    prompt.validate()
    if variations.has_alternatives(prompt.text):
        report("warning", text="The braces in the prompt are sent as they stand; `variations` renders each alternative")
    settings = scene_settings(scene, options)
    plans = planned(scene, options, report)
    places = [folder.path if len(plans) == 1 else folder.path / takes.folder_name(plan.name) for plan in plans]
    for place in places:
        folder.begin(place)
    options.colours = wants_colours(scene, options)
    size = check_room(scene, plans, options, folder.path)
    client = Client(options.backend, options.server_key, options.config)
    client.start()
    done: list[tuple[ShotPlan, Path]] = []
    told = []
    try:
        connected = connect(client, stop)
        check_model(connected, settings)
        longest = max(plans, key=lambda plan: len(plan.frames))
        options.colours = takes_colours(connected, options.colours, report)
        check_upload(connected, len(longest.frames), size, reference=options.reference, colours=options.colours)
        asked = codec.outline(
            longest.name,
            len(longest.frames),
            size,
            prompt,
            settings,
            reference=options.reference,
            base_colour=options.colours,
        )
        enquire(client, asked, must_look(options.backend, settings), report, stop)
        if options.draft:
            settings = draft(connected, settings)
        for plan, place in zip(plans, places, strict=True):
            shot = extract(scene, plan, prompt, options, report, stop)
            job = render_take(client, shot, settings, plan, place, options.overwrite, report, stop)
            folder.keep(place)
            done.append((plan, place))
            told.append({**told_of(shot, place), "job": job})
    finally:
        client.close()
    landed = land_copy(scene, done, folder.path, report, stop) if options.land else Copy()
    folder.keep()
    report(
        "result",
        command="render",
        scene=label(scene),
        folder=str(folder.path),
        shots=told,
        blend=landed.path,
        not_landed=landed.problems,
    )
    return PARTLY if landed.problems else 0


def told_of(shot: Shot, place: Path) -> dict[str, Any]:
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


@dataclass
class Copy:
    """A copy of the scene with something put into it.

    path : of the file, None where there is none.  problems : what could not be put into it, each as
    {"name": of the shot, "kind": of the landing, or empty for all of them, "problem", "remedy", "text": all of it}.
    """

    path: str | None = None
    problems: list[dict[str, str]] = field(default_factory=list)

    def note(self, error: FarplaneError | RuntimeError, name: str = "", kind: str = "") -> None:
        """Keep what went wrong."""
        problem, remedy = (error.problem, error.remedy) if isinstance(error, FarplaneError) else (str(error), "")
        of = ", ".join(word for word in (name, kind) if word) or "the copy of the scene"
        text = f"{of}: {problem}" + (f". {remedy}" if remedy else "")
        self.problems.append({"name": name, "kind": kind, "problem": problem, "remedy": remedy, "text": text})


def land_copy(
    scene: bpy.types.Scene, done: list[tuple[ShotPlan, Path]], folder: Path, report: Reporter, stop: Stop
) -> Copy:
    """Land the takes in a copy of the scene beside them.  Cancelled leaves the takes and no copy.

    A landing that cannot be made leaves the others; where none at all can be, there is no copy.
    """
    from ..landing import land

    def land_all(copy: Copy) -> bool:
        some = False
        for step, (plan, place) in enumerate(done):
            stop.check()
            try:
                landed = land(scene, plan_camera(scene, plan), place)
                some = True
                for kind, error in landed.failed.items():
                    copy.note(error, plan.name, kind)
                for note in landed.notes:
                    report.note(f"{plan.name}: {note}")
            except (FarplaneError, RuntimeError) as error:
                copy.note(error, plan.name)
            report.progress("land", step + 1, len(done))
        stop.check()
        return some

    return save_copy(folder, "farplane", land_all)


def save_copy(folder: Path, suffix: str, fill: Callable[[Copy], bool]) -> Copy:
    """Save what `fill` makes of the open file as ``NAME_suffix.blend`` in `folder`; it returns whether there is something to save.

    A copy that fails does not cost the plates: then the problem is in what is returned.
    """
    stem = Path(bpy.data.filepath).stem or "untitled"
    target = folder / f"{stem}_{suffix}.blend"
    scratch = folder / f".{stem}_{suffix}.{os.getpid()}.blend"
    copy = Copy()
    try:
        # Saved there first, so that paths relative to the file are already the ones of the copy when we land.
        _save(scratch)
        if fill(copy):
            _save(target)
            copy.path = str(target)
    except (FarplaneError, RuntimeError) as error:
        copy.note(error)
    finally:
        for path in (scratch, scratch.with_suffix(".blend1")):
            path.unlink(missing_ok=True)
    return copy


def _save(path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(path), check_existing=False, compress=True, relative_remap=True)
