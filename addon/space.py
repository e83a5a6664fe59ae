"""Room on the disk for takes, judged before work starts.  No bpy."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from ..protocol.errors import FarplaneError
from ..protocol.shot import exr_bytes, plate_bytes, png_bytes


def shot_bytes(frames: int, width: int, height: int, *, colours: bool = False) -> int:
    """The most that a shot's depth takes on a disk, and with `colours` its base colours."""
    return exr_bytes(frames, width, height, 4) + (png_bytes(frames, width, height) if colours else 0)


def take_bytes(
    frames: int, width: int, height: int, *, reference: bool = False, landed: bool = True, colours: bool = False
) -> int:
    """The most that a take takes on a disk.

    Its plate and artifacts, its depth, with `colours` its base colours, with `reference` the scene's own render, and
    if it gets `landed` the depth once more, as Blender reads it.
    """
    passes = shot_bytes(frames, width, height, colours=colours)
    again = shot_bytes(frames, width, height) if landed else 0
    own_render = exr_bytes(frames, width, height, 6) if reference else 0
    return plate_bytes(frames, width, height) + passes + again + own_render


def check_space(folder: Path, needed: int) -> None:
    """Raise FarplaneError when the disk that `folder` is on, or will be, has fewer than `needed` bytes free.

    A disk that does not say how much is free (some network ones) is taken at its word later, when it is written to.
    """
    free = _free(folder)
    if free is not None and free < needed:
        raise FarplaneError(
            "output folder",
            f"the disk of {folder} has {_told(free)} free, and the shot may need {_told(needed)}",
            "Free some space, choose another folder, or render fewer frames or a smaller size",
        )


def _free(folder: Path) -> int | None:
    for place in (folder, *folder.absolute().parents):
        with suppress(FileNotFoundError, NotADirectoryError):
            try:
                return shutil.disk_usage(place).free
            except PermissionError:
                return None
    return None


def _told(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{-(-size // 2**20)} MiB"
