"""Jobs that were under way when Blender closed: found by what lies beside their takes, and followed again.

A take says in take.json which job makes it, which backend has that job, and how it ended.  One without an end is
looked for where the scene's takes lie and where those of unsaved files do: after the add-on was enabled and after a file was opened.
What its backend has accepted is asked for; what never got there is sent from the take's own files, under the same
UUID, so that however often this happens it stays one job.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ...protocol import pairing
from ...protocol.errors import FarplaneError
from ...protocol.shot import RenderSettings, Shot
from ...protocol.shotfile import (
    base_colour_name,
    base_colour_paths,
    depth_name,
    settings_from_json,
    shot_frames,
    shot_from_json,
)
from .. import takes
from ..base_colour import read_colours
from ..claim import Claims
from ..exr import read_channel
from ..takes import Take
from . import places, preferences
from .session import Job, session, user_folder

_wanted = False
_claims = Claims()


def step() -> None:
    """Called by the timer: look for jobs when that is due, and keep the claims on those that are followed."""
    global _wanted
    if _wanted:
        _wanted = False
        here, unsaved = set(places.roots(bpy.context.scene)), user_folder("takes")
        session.disk.do(lambda: unfinished(here | {unsaved, *takes.children(unsaved)}), _follow_all)
    folder = preferences.settings().config or pairing.config_dir()
    for job in session.jobs:
        _claims.take(folder, job)
    _claims.keep_only(set(session.jobs))


def unfinished(roots: Iterable[Path]) -> list[tuple[Take, tuple[Shot, RenderSettings] | None]]:
    """The takes under `roots` whose job has not ended, oldest first, each with its shot if that must be sent anew.

    roots : folders of shots' folders.  Reads files only: for the disk's thread.
    """
    found = []
    for take in (take for root in roots for shot in takes.children(root) for take in takes.takes_in(shot)):
        if take.job and not take.finished and not take.ended:
            try:
                found.append((take, None if take.backend else unsent(take)))
            except FarplaneError:
                continue  # Blender closed while its depth was written: there is no job, and nothing to send
    return sorted(found, key=lambda item: item[0].created)


def unsent(take: Take) -> tuple[Shot, RenderSettings]:
    """What to send for a take, from its files.  Raises FarplaneError when they are not whole."""
    data = take.shot()
    z = np.stack([read_channel(take.folder / depth_name(frame)) for frame in take.expected])
    told = base_colour_paths(shot_frames(data))
    colours = (
        np.stack([read_colours(take.folder / base_colour_name(frame)) for frame in take.expected]) if told else None
    )
    shot = shot_from_json(data, z, base_colour=colours)
    shot.validate()
    return shot, settings_from_json(data)


def _follow_all(found: Any) -> None:
    """Follow what another Blender on this machine does not follow already."""
    if not isinstance(found, list):
        return
    folder = preferences.settings().config or pairing.config_dir()
    for take, shot in found:
        if take.job not in session.jobs and _claims.take(folder, take.job):
            session.follow(Job(take.job, take, _scene_of(take), stage="resume", unsent=shot))


def _scene_of(take: Take) -> str:
    """The scene whose takes lie beside this one, else the one that is open."""
    scenes = [scene.name for scene in bpy.data.scenes if takes.folder_name(scene.name) == take.folder.parent.name]
    return scenes[0] if scenes else bpy.context.scene.name


@persistent
def _after_load(*_: Any) -> None:
    request()


def request() -> None:
    """Have the next `step` look."""
    global _wanted
    _wanted = True


def register() -> None:
    """Look after each file that is opened, and once now."""
    bpy.app.handlers.load_post.append(_after_load)
    request()


def unregister() -> None:
    """Stop looking; what is claimed is free for others."""
    global _wanted
    _wanted = False
    bpy.app.handlers.load_post.remove(_after_load)
    _claims.keep_only(set())
