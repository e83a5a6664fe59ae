"""A take's own depth as a Blender image sequence, for combining by depth.

shot.json names one float32 EXR with a single channel Z per frame.  Blender before 5.2 shows such a file as
rubbish (it looks for colour channels), so its numbers are written once more beside it with a channel it knows.
"""

from __future__ import annotations

from pathlib import Path

import bpy

from ...protocol.errors import FarplaneError
from .. import takes
from ..exr import read_channel, read_window, write_channel
from .plate import TAG, Plate, load_sequence

FOLDER = takes.DEPTH_FOLDER  # inside the take's folder
NO_HIT = 8e9  # metres; where the plate shows sky it lies behind every surface, before Blender's own 1e10


def depth_image(plate: Plate) -> bpy.types.Image | None:
    """Return the take's depth, metres along the camera's axis, or None where the take has no usable depth files."""
    for image in bpy.data.images:
        if image.get(TAG) == plate.id and "farplane_depth" in image:
            return image
    try:
        for number in missing(plate):
            make_readable(plate, number)
    except FarplaneError:
        return None
    first = plate.folder / FOLDER / _name(plate.first)
    if not first.is_file() or not _has_depth(plate, _sources(plate)):
        return None
    image = load_sequence(plate, first, f"Farplane depth {plate.name}", lambda image: "Non-Color")
    image["farplane_depth"] = True
    return image


def missing(plate: Plate) -> list[int]:
    """Frames whose depth Blender cannot read yet; none for a take without depth for each of its frames.

    Some milliseconds; this and `make_readable` need no Blender and may run in any thread.
    """
    sources = _sources(plate)
    if not _has_depth(plate, sources):
        return []
    return [number for number in plate.files if not _is_current(plate, number, sources[number])]


def make_readable(plate: Plate, number: int) -> None:
    """Write one frame's depth so that Blender can read it, unless it is there: 45 ms for 768 x 448 pixels.

    Raises FarplaneError for a damaged file, and where nothing can be written.
    """
    source = _sources(plate)[number]
    if _is_current(plate, number, source):
        return
    folder = plate.folder / FOLDER
    with takes.file_errors(folder, "write"):
        folder.mkdir(exist_ok=True)
    z = read_channel(source, "Z").clip(max=NO_HIT)
    takes.write_atomic(folder / _name(number), write_channel(z, "Y", read_window(source)))


def _has_depth(plate: Plate, sources: dict[int, Path]) -> bool:
    return set(sources) >= set(plate.files) and not (plate.folder / FOLDER).is_symlink()


def _is_current(plate: Plate, number: int, source: Path) -> bool:
    target = plate.folder / FOLDER / _name(number)
    return target.exists() and target.stat().st_mtime >= source.stat().st_mtime


def _name(number: int) -> str:
    return f"depth.{number:04d}.exr"


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
