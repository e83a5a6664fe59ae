"""A take's own depth as a Blender image sequence, for combining by depth.

shot.json names one float32 EXR with a single channel Z per frame.  Blender before 5.2 shows such a file as
rubbish (it looks for colour channels), so its numbers are written once more beside it with a channel it knows.
"""

from __future__ import annotations

from pathlib import Path

import bpy

from ...protocol.errors import FarplaneError
from .. import takes
from ..exr import read_channel, write_channel
from .plate import TAG, Plate, load_sequence

FOLDER = takes.DEPTH_FOLDER  # inside the take's folder
NO_HIT = 8e9  # metres; where the plate shows sky it lies behind every surface, before Blender's own 1e10


def depth_image(plate: Plate) -> bpy.types.Image | None:
    """Return the take's depth, metres along the camera's axis, or None where the take has no usable depth files."""
    for image in bpy.data.images:
        if image.get(TAG) == plate.id and "farplane_depth" in image:
            return image
    try:
        first = _readable(plate)
    except FarplaneError:
        return None
    if first is None:
        return None
    image = load_sequence(plate, first, f"Farplane depth {plate.name}", lambda image: "Non-Color")
    image["farplane_depth"] = True
    return image


def _readable(plate: Plate) -> Path | None:
    """Write the files that Blender can read, unless they are there; return the first, or None without depth."""
    folder = plate.folder / FOLDER
    sources = _sources(plate)
    if set(sources) < set(plate.files):
        return None
    if folder.is_symlink():
        return None
    with takes.file_errors(folder, "write"):
        folder.mkdir(exist_ok=True)
    for number in plate.files:
        target = folder / f"depth.{number:04d}.exr"
        if target.exists() and target.stat().st_mtime >= sources[number].stat().st_mtime:
            continue
        z = read_channel(sources[number], "Z")
        takes.write_atomic(target, write_channel(z.clip(max=NO_HIT), "Y"))
    return folder / f"depth.{plate.first:04d}.exr"


def _sources(plate: Plate) -> dict[int, Path]:
    """{frame: depth file} as shot.json names them; only plain names inside the take's folder count."""
    found = {}
    for entry in takes.read_json(plate.folder / "shot.json").get("frames", []):
        name = entry.get("depth")
        if isinstance(name, str) and name and not Path(name).is_absolute() and ".." not in Path(name).parts:
            path = plate.folder / name
            if path.is_file() and not path.is_symlink():
                found[int(entry["frame"])] = path
    return found
