"""A take's folder read back into arrays: the shot with its depth, the plate, the scene's own render beside it.

Legend: T frames, H rows, W columns.  Files here are the ones addon/command.py and addon/takes.py write.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocol.errors import FarplaneError
from ..protocol.shot import MAX_PIXELS, Shot, validate_base_colour, validate_frames, validate_resolution
from ..protocol.shotfile import base_colour_paths, shot_frames, shot_from_json, shot_names
from .pipeline.exr import decode_plate, made_at, read_depth_exr

MAX_JSON = 64 * 2**20


def read_shot_json(folder: Path) -> dict[str, Any]:
    """The shot.json of `folder`.  Raises FarplaneError when it is missing or damaged."""
    path = folder / "shot.json"
    if not folder.is_dir():
        raise FarplaneError("take", f"{folder} is no folder", "Give a folder that `farplane render` or `shot` wrote")
    if not path.is_file():
        raise FarplaneError("take", f"{path} does not exist", "Give a folder that `farplane render` or `shot` wrote")
    if path.stat().st_size > MAX_JSON:
        raise FarplaneError("shot.json", "it is over 64 MiB long", "Extract the shot again")
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FarplaneError("shot.json", f"{path} is not readable as JSON", "Extract the shot again") from error
    if not isinstance(data, dict):
        raise FarplaneError("shot.json", f"{path} is no object", "Extract the shot again")
    return data


def read_take_shot(folder: Path, name: str | None = None) -> Shot:
    """The shot `name` of a take (the first when None), with its depth and base colours, validated but for its prompt."""
    data = read_shot_json(folder)
    name = name if name is not None else next(iter(shot_names(data)), "")
    entries = shot_frames(data, name)
    # The geometry is judged before a byte of depth is read: a hand-made file may promise any size.
    try:
        width, height = (int(side) for side in data["resolution"])
        validate_frames(tuple(int(entry["frame"]) for entry in entries))
        paths = [_beside(folder, str(entry["depth"])) for entry in entries]
        colour_paths = [_beside(folder, path) for path in base_colour_paths(entries)]
    except (KeyError, TypeError, ValueError) as error:
        raise FarplaneError("shot.json", f"it is damaged: {error!r}", "Extract the shot again") from error
    validate_resolution(width, height)
    z = np.empty((len(paths), height, width), np.float32)
    for index, path in enumerate(paths):
        if not path.is_file():
            raise FarplaneError("depth", f"{path} does not exist", "Extract the shot again")
        depth = read_depth_exr(path, max_pixels=MAX_PIXELS)
        if depth.shape != (height, width):
            raise FarplaneError("depth", f"{path.name} is not {width}x{height}", "Extract the shot again")
        z[index] = depth
    colours = _read_colours(colour_paths, (width, height)) if colour_paths else None
    shot = shot_from_json(data, z, name, colours)
    if colours is not None:
        validate_base_colour(colours, len(shot.frames), width, height)
    shot.camera.validate(len(shot.frames))
    if shot.frame is not None:
        shot.frame.validate(len(shot.frames))
    shot.depth.validate(len(shot.frames), width, height)
    return shot


def _read_colours(paths: list[Path], size: tuple[int, int]) -> NDArray[np.uint8]:
    """[T, H, W, 4] of PNG files.  Raises FarplaneError for one that is missing, damaged or of another kind."""
    from PIL import Image

    colours = np.empty((len(paths), size[1], size[0], 4), np.uint8)
    for index, path in enumerate(paths):
        try:
            with Image.open(path, formats=["PNG"]) as picture:  # only its header, so far
                if picture.size != size or picture.mode != "RGBA":
                    problem = f"{path.name} is no RGBA picture of {size[0]}x{size[1]}"
                    raise FarplaneError("base colour", problem, "Extract the shot again")
                colours[index] = np.asarray(picture)
        except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for damaged files
            raise FarplaneError("base colour", f"{path} cannot be read: {error}", "Extract the shot again") from error
    return colours


def read_plate(folder: Path, shot: Shot) -> NDArray[np.float32]:
    """The plate of a take as [T, H, W, 3] scene-linear.  Raises FarplaneError naming what is missing or damaged."""
    return _read_frames(folder, "plate", shot)


def plate_made_at(folder: Path, shot: Shot) -> tuple[int, int] | None:
    """(w, h) the plate was enlarged from, as its first frame's header says; None where it was made at its own size."""
    header, _ = decode_plate((folder / f"plate.{shot.frames[0]:04d}.exr").read_bytes(), max_pixels=MAX_PIXELS)
    return made_at(header)


def with_reference(folder: Path, shot: Shot) -> Shot:
    """The shot with the scene's own render, where the take kept it (reference.####.exr); else as it came."""
    if not (folder / f"reference.{shot.frames[0]:04d}.exr").is_file():
        return shot
    return replace(shot, reference=_read_frames(folder, "reference", shot))


def _read_frames(folder: Path, stem: str, shot: Shot) -> NDArray[np.float32]:
    width, height = shot.resolution
    frames = np.empty((len(shot.frames), height, width, 3), np.float32)
    for index, number in enumerate(shot.frames):
        path = folder / f"{stem}.{number:04d}.exr"
        if not path.is_file():
            raise FarplaneError(stem, f"{path} does not exist", "Render the take again")
        try:
            _, rgb = decode_plate(path.read_bytes(), max_pixels=MAX_PIXELS)
        except FarplaneError as error:
            raise FarplaneError(
                stem, f"{path.name} cannot be read: {error.problem}", "Render the take again"
            ) from error
        if rgb.shape != (height, width, 3):
            raise FarplaneError(stem, f"{path.name} is not {width}x{height}", "Render the take again")
        frames[index] = rgb
    return frames


def _beside(folder: Path, relative: str) -> Path:
    """A path of a shot.json, which stays inside its folder."""
    path = Path(relative)
    if path.is_absolute() or ".." in path.parts:
        raise FarplaneError("shot.json", f"the path {relative!r} leaves the folder", "Extract the shot again")
    return folder / path
