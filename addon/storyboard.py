"""A storyboard: every camera marker of the timeline is a shot, and their drafts lie in the sequencer as an animatic.

The strips carry everything that is known about a storyboard (its id and its name), so it goes with undo, save and
copy, and is removed as a whole.  It gets two channels of its own above all that are used; nothing else is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ..protocol.errors import FarplaneError
from .batch import Record
from .landing.plate import TAG, Plate, read_plate
from .landing.sequencer import add_pictures, prepare, release, remove_tagged, strips_of
from .scene import ShotPlan, one_frame_shots, plan_shots
from .scene import _camera_cuts as camera_cuts
from .variations import expand, has_alternatives

PROMPTS = "farplane_marker_prompts"  # on the scene: {marker's name: prompt}; markers themselves hold no properties
TITLE = "farplane_storyboard"  # on our strips: the storyboard's name
MAX_SHOTS = 512
MAX_TEXT = 500  # bytes that a text strip holds in every Blender
TEXT_SIZE = 1 / 24  # of the picture's height
_CHANNELS = 32  # channels that every Blender has


@dataclass(frozen=True)
class BoardShot:
    """One shot of a storyboard.  marker : its name.  prompt : the marker's own, else the scene's.  stop : where it ends."""

    plan: ShotPlan
    marker: str
    prompt: str
    stop: int


@dataclass(frozen=True)
class Frame:
    """What is laid for one shot: pictures from `take` (None: there are none) from `first` to before `stop`."""

    name: str
    prompt: str
    take: Path | None
    first: int
    stop: int


def frames_of(record: Record) -> list[Frame]:
    """What to lay for a storyboard's record, as its takes are now."""
    return [Frame(one.name, one.prompt, one.take if one.whole else None, one.first, one.stop) for one in record.entries]


def marker_prompt(scene: bpy.types.Scene, marker: str) -> str:
    """The prompt that a marker has of its own, or an empty text."""
    prompts = scene.get(PROMPTS)
    return str(prompts.get(marker, "")) if prompts is not None else ""


def set_marker_prompt(scene: bpy.types.Scene, marker: str, prompt: str) -> None:
    """Give a marker a prompt of its own; an empty one takes it away."""
    if PROMPTS not in scene:
        scene[PROMPTS] = {}
    if prompt.strip():
        scene[PROMPTS][marker] = prompt
    elif marker in scene[PROMPTS]:
        del scene[PROMPTS][marker]
    if not len(scene[PROMPTS]):
        del scene[PROMPTS]


def board_shots(
    scene: bpy.types.Scene, scene_prompt: str, frames: tuple[int, int] | None = None
) -> tuple[BoardShot, ...]:
    """Return the shots of the timeline's camera markers.  Of alternatives in a prompt each takes the first.

    Raises FarplaneError where there are no such markers, or plan_shots or a prompt's braces are wrong.
    """
    cuts = camera_cuts(scene)
    if not cuts:
        remedy = "Select a camera, go to a frame, and choose Marker > Bind Camera to Markers in the timeline"
        raise FarplaneError("storyboard", "no marker of the timeline has a camera", remedy)
    plans = plan_shots(scene, frames)
    if len(plans) > MAX_SHOTS:
        raise FarplaneError("storyboard", f"{len(plans)} shots are more than {MAX_SHOTS}", "Choose a range of frames")
    starts = [plan.frames[0] for plan in plans] + [frame for _, frame in one_frame_shots(scene, frames)]
    end = (frames[1] if frames else scene.frame_end) + 1
    shots = []
    for plan in plans:
        stop = min((start for start in starts if start > plan.frames[0]), default=end)
        before = [cut for cut in cuts if cut.frame <= plan.frames[0]]
        marker = (before or cuts)[-1 if before else 0].name
        prompt = marker_prompt(scene, marker) or scene_prompt
        if has_alternatives(prompt):
            prompt = expand(prompt).cells[0].text
        shots.append(BoardShot(plan, marker, prompt, stop))
    return tuple(shots)


def lay(scene: bpy.types.Scene, frames: Sequence[Frame], identity: str, title: str) -> int:
    """Lay pictures and prompts of every shot into the sequencer; return the channel of the pictures.

    identity : tags the strips, for `remove`.  A shot without a take gets its prompt alone.  On an error the
    sequencer is as before.  Raises FarplaneError when a take holds no plate, or all channels are used.
    """
    if not frames or any(frame.stop <= frame.first for frame in frames):  # a grid of variations has none
        raise FarplaneError("storyboard", "it has no shots", "Render its drafts first")
    plates = [read_plate(frame.take, identity) if frame.take is not None else None for frame in frames]
    editor = prepare(scene)
    try:
        channel = _channels_above(editor, min(f.first for f in frames), max(f.stop for f in frames))
        for frame, plate in zip(frames, plates, strict=True):
            if plate is not None:
                _mark(_add_plate(editor, frame, plate, channel), identity, title)
            _mark(_add_text(scene, editor, frame, channel + 1), identity, title)
    except BaseException:
        remove(scene, identity)
        raise
    return channel


def remove(scene: bpy.types.Scene, identity: str) -> None:
    """Take a storyboard out of the sequencer again; its takes stay."""
    remove_tagged(scene, identity)
    release(scene)


def laid(scene: bpy.types.Scene) -> dict[str, str]:
    """Return {id: name} of the storyboards that lie in the sequencer."""
    editor = scene.sequence_editor
    strips = strips_of(editor) if editor is not None else ()
    return {str(strip[TAG]): str(strip[TITLE]) for strip in strips if TITLE in strip and TAG in strip}


def _mark(strip: Any, identity: str, title: str) -> None:
    strip[TAG], strip[TITLE] = identity, title
    strip.select = False


def _add_plate(editor: Any, frame: Frame, plate: Plate, channel: int) -> Any:
    return add_pictures(editor, plate, frame.name, channel, max(frame.stop, plate.last + 1))


def _add_text(scene: bpy.types.Scene, editor: Any, frame: Frame, channel: int) -> Any:
    """The prompt at the picture's foot, on a dark ground."""
    strips = strips_of(editor)
    new = {"name": f"{frame.name} prompt", "type": "TEXT", "channel": channel, "frame_start": frame.first}
    length = frame.stop - frame.first
    by_length = "length" in strips.bl_rna.functions["new_effect"].parameters.keys()  # noqa: SIM118  (bpy's own kind)
    strip = strips.new_effect(**new, **({"length": length} if by_length else {"frame_end": frame.stop}))
    strip.text = _cut(frame.prompt, MAX_TEXT)
    strip.font_size = max(8, round(scene.render.resolution_y * TEXT_SIZE))
    strip.wrap_width = 0.92
    strip.location = (0.5, 0.04)
    for name, value in (
        ("anchor_x", "CENTER"), ("anchor_y", "BOTTOM"), ("alignment_x", "CENTER"),  # 4.3 and later
        ("align_x", "CENTER"), ("align_y", "BOTTOM"),  # before
    ):  # fmt: skip
        if hasattr(strip, name):
            setattr(strip, name, value)
    strip.use_box, strip.box_color, strip.box_margin = True, (0.0, 0.0, 0.0, 0.55), 0.012
    return strip


def _channels_above(editor: Any, first: int, stop: int) -> int:
    """The lower of two channels that are above everything between `first` and `stop`."""
    taken = [
        strip.channel for strip in strips_of(editor) if strip.frame_final_start < stop and strip.frame_final_end > first
    ]
    channel = max(taken, default=0) + 1
    if channel + 1 > _CHANNELS:
        raise FarplaneError("storyboard", "the sequencer's channels are full", "Move strips to lower channels")
    return channel


def _cut(text: str, size: int) -> str:
    """The text's beginning in at most `size` bytes."""
    data = text.encode()
    return text if len(data) <= size else data[: size - 3].decode(errors="ignore") + "…"
