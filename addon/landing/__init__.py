"""Landing: a take put into the artist's scene, frame-exact, in linear light, and removable again.

Four kinds: ``background`` (behind the camera in the viewport), ``projection`` (on the geometry, seen through the
camera), ``compositor`` (behind the render, combined by depth) and ``strip`` (in the sequencer).

Each kind stands or falls alone: one that cannot be made says why, and the others are there.

What is landed is written in the scene (record.py); what is made carries the landing's id (plate.py).  Removing a
landing leaves the scene as it was: settings, materials, nodes, and no datablock that nobody uses.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import bpy

from ...protocol.errors import FarplaneError
from .. import takes
from . import background, compositor, depth, projection, reach, sequencer
from .plate import TAG, Plate, pace_of, plate_image, read_plate, remove_images
from .record import Entry, add, discard, entries

KINDS = ("background", "projection", "compositor", "strip")


@dataclass(frozen=True)
class Landed:
    """A take that is landed in a scene.

    id : tags its datablocks (custom property ``farplane_take``).  name : shot/take.  folder : the take's.
    kinds : the ways it is landed, in the order of KINDS.  camera : None if it was deleted since.
    failed : the ways that were asked for and could not be made, and why.  notes : a line for each thing to know of
    those that were, such as objects that are left out.  Both are told once, by `land`.
    """

    id: str
    name: str
    folder: Path
    kinds: tuple[str, ...]
    camera: bpy.types.Object | None
    failed: dict[str, FarplaneError] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def land(
    scene: bpy.types.Scene,
    camera: bpy.types.Object | None,
    take_folder: Path,
    kinds: Iterable[str] = KINDS,
    *,
    objects: Iterable[bpy.types.Object] | None = None,
    baked: int | None = None,
) -> Landed:
    """Land the take in `take_folder` in the given ways and return what is landed of it now.

    objects : what the projection goes on; None for all of the set that renders.  baked : the frame that is baked onto
    them instead of projecting every frame, None for the latter.
    A take that is landed already in one of the ways is landed anew in it.  Another take that stands in the same
    place gives way, but only to a take that was accepted.  A way that cannot be made leaves the scene as before, and
    its reason is in what is returned; the others are there.

    Raises FarplaneError: no camera, an unknown kind, a folder without a plate, a take not accepted that would
    replace another, a plate that Blender cannot read, or none of the ways could be made: then the first one's reason.
    """
    steps = land_in_steps(scene, camera, take_folder, kinds, objects=objects, baked=baked)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def land_in_steps(
    scene: bpy.types.Scene,
    camera: bpy.types.Object | None,
    take_folder: Path,
    kinds: Iterable[str] = KINDS,
    *,
    objects: Iterable[bpy.types.Object] | None = None,
    baked: int | None = None,
) -> Generator[None, None, Landed]:
    """`land`, some milliseconds per step, for a window: nothing else may change the file in between."""
    wanted = _kinds(kinds)
    if camera is None or camera.type != "CAMERA":
        raise FarplaneError("camera", "there is none to land the take for", "Give the scene an active camera")
    folder = Path(take_folder).absolute()
    same = next((entry for entry in entries(scene) if entry.folder == folder), None)
    plate = read_plate(folder, same.id if same else uuid.uuid4().hex, pace_of(scene))
    chosen = None if objects is None else [obj for obj in objects if TAG not in obj]
    found = reach.find(scene, chosen) if "projection" in wanted else reach.Reach()
    in_the_way = [e for e in entries(scene) if e.kind in wanted and _same_place(e, plate, camera, found)]
    others = [entry for entry in in_the_way if entry.id != plate.id]
    if others and _state(folder) != "accepted":
        raise FarplaneError(
            "take", f"{others[0].name} is landed in its place", "Accept this take first, or remove the other one"
        )
    plate_image(plate)  # raises for all of them before anything changes
    failed: dict[str, FarplaneError] = {}
    notes: list[str] = []
    done: list[Entry] = []
    try:
        for entry in in_the_way:
            _remove_entry(scene, entry)
        if in_the_way:  # with them went what they had made, and the image of this take
            plate_image(plate)
            found = reach.find(scene, chosen) if "projection" in wanted else found
        for kind in wanted:
            done.append(add(scene, plate, kind, camera))
            try:
                notes += yield from _land_one(scene, camera, plate, kind, found, baked)
            except (FarplaneError, RuntimeError) as error:
                _remove_entry(scene, done.pop())
                failed[kind] = error if isinstance(error, FarplaneError) else _refused(error)
            yield
    except BaseException:
        for entry in reversed(done):
            _remove_entry(scene, entry)
        remove_images(plate.id)
        raise
    remove_images(plate.id)  # where none of them shows it as an image
    if not done:
        raise next(iter(failed.values()))
    landing = next(item for item in landed(scene) if item.id == plate.id)
    return replace(landing, failed=failed, notes=tuple(notes))


def _refused(error: RuntimeError) -> FarplaneError:
    """What Blender itself refused."""
    problem = f"Blender refuses it: {str(error).strip().rstrip('.')}"
    return FarplaneError("landing", problem, "Land it in another way, and tell us of this scene")


def unprepared(take_folder: Path, kinds: Iterable[str]) -> list[Callable[[], None]]:
    """What must be written before the take can land in these ways, a frame each; empty when all is there.

    `land` does it by itself.  A window has a thread do it first, as it takes seconds: nothing in it needs Blender.
    Each raises FarplaneError.
    """
    if not {"projection", "compositor"} & set(_kinds(kinds)):
        return []
    plate = read_plate(take_folder, "")
    return [partial(depth.make_readable, plate, number) for number in depth.missing(plate)]


def remove(scene: bpy.types.Scene, which: Path | str, kinds: Iterable[str] = KINDS) -> None:
    """Remove a landed take, by its folder, its name (``shot/take`` or ``take``) or its landing's id.

    Raises FarplaneError when no such take is landed.
    """
    wanted = _kinds(kinds)
    found = [entry for entry in entries(scene) if _is(entry, which)]
    if not found:
        raise FarplaneError("take", f"{which} is not landed in {scene.name}", "Choose one that is")
    for entry in found:
        if entry.kind in wanted:
            _remove_entry(scene, entry)


def landed(scene: bpy.types.Scene) -> list[Landed]:
    """Return the takes that are landed in `scene`, oldest first."""
    by_id: dict[str, list[Entry]] = {}
    for entry in entries(scene):
        by_id.setdefault(entry.id, []).append(entry)
    return [
        Landed(
            identity,
            group[0].name,
            group[0].folder,
            tuple(kind for kind in KINDS if any(entry.kind == kind for entry in group)),
            group[0].camera,
        )
        for identity, group in by_id.items()
    ]


def _kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    asked = {kinds} if isinstance(kinds, str) else set(kinds)
    unknown = sorted(asked - set(KINDS))
    if unknown or not asked:
        raise FarplaneError(
            "landing", f"{', '.join(unknown) or 'nothing'} is no way to land", f"Use one of {', '.join(KINDS)}"
        )
    return tuple(kind for kind in KINDS if kind in asked)


def _state(folder: Path) -> str:
    """The take's state; a folder without take.json (the command line's own output) is pending."""
    return takes.Take.open(folder).state if (folder / "take.json").is_file() else "pending"


def _same_place(entry: Entry, plate: Plate, camera: bpy.types.Object, found: reach.Reach) -> bool:
    """Whether the landed `entry` stands where `plate` would go."""
    if entry.id == plate.id:
        return True
    if entry.kind == "projection":
        there = {*found.slots, *found.modified, *found.copied}
        return any(obj in there for obj in projection.projected(entry.id))
    if entry.kind == "compositor":
        return entry.overlaps(plate)
    return entry.camera == camera and entry.overlaps(plate)


def _land_one(
    scene: bpy.types.Scene,
    camera: bpy.types.Object,
    plate: Plate,
    kind: str,
    found: reach.Reach,
    baked: int | None,
) -> Generator[None, None, tuple[str, ...]]:
    """Land in one way; returns what there is to know of it."""
    if kind == "projection":
        return (yield from projection.land(scene, plate, found, baked))
    if kind == "background":
        background.land(scene, camera, plate)
    elif kind == "compositor":
        compositor.land(scene, plate)
    else:
        sequencer.land(scene, plate)
    return ()


def _remove_entry(scene: bpy.types.Scene, entry: Entry) -> None:
    discard(scene, entry)
    {"background": background, "projection": projection, "compositor": compositor, "strip": sequencer}[
        entry.kind
    ].remove(scene, entry)
    if not any(other.id == entry.id for other in entries(scene)):
        remove_images(entry.id)


def _is(entry: Entry, which: Path | str) -> bool:
    if isinstance(which, Path):
        return entry.folder == which.absolute()
    return which in (entry.id, entry.name, entry.name.rsplit("/", 1)[-1]) or entry.folder == Path(which).absolute()
