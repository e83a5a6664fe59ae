"""What the panel says: one line with its remedy, names of stages, times in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...protocol.errors import FarplaneError
from .translations import filled, say

# What the command line says of a folder, as the panel says it: there it is set.
REMEDY_NAMES = {
    "Choose a folder that is yours": "Choose another Takes Folder in the Settings panel",
    "Choose another folder": "Choose another Takes Folder in the Settings panel",
    "Free some space, or choose another folder": "Free some space, or choose another Takes Folder in the Settings panel",
    "Free some space, choose another folder, or render fewer frames or a smaller size": (
        "Free some space, choose another Takes Folder in the Settings panel, or render fewer frames or a smaller size"
    ),
}


@dataclass(frozen=True)
class Message:
    """One line for the artist, and what to do about it.

    field : of an error, what it is about.  take, landing : the take's folder and the landing's id that it speaks of; with
    them it ends.  of_takes : it came of a button of the Takes panel, and is said there.
    """

    text: str
    remedy: str = ""
    is_error: bool = False
    field: str = ""
    take: Path | None = None
    landing: str = ""
    of_takes: bool = False

    @staticmethod
    def of(error: FarplaneError) -> Message:
        """An error, as the panel says it."""
        remedy = REMEDY_NAMES.get(error.remedy, error.remedy)
        return Message(f"{say(sentence(error.field))}: {filled(error.problem)}", filled(remedy), True, error.field)


STAGE_NAMES = {
    "resume": "Looking for the job",
    "connect": "Connecting",
    "enquire": "Asking the backend",
    "camera": "Reading cameras",
    "depth": "Rendering depth",
    "reference": "Rendering the scene",
    "files": "Writing depth",
    "upload": "Sending the shot",
    "conditioning": "Preparing",
    "denoise": "Denoising",
    "decode": "Decoding",
    "write": "Writing frames",
    "measure": "Measuring",
}


def duration(seconds: float) -> str:
    """``8 s``, ``3 min``, ``2 h``: as precise as an estimate deserves."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{round(seconds / 3600)} h"


def sentence(text: str) -> str:
    """With a capital first, and the rest as it is: names and addresses are not ours to change."""
    return text[:1].upper() + text[1:]
