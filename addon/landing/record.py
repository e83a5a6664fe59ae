"""What is landed in a scene, kept in the scene itself, so that it goes with undo, save and copy.

``scene["farplane_landed"]`` holds one group per landed take and kind; ``scene["farplane_before"]`` holds, per
kind, the settings as they were before the first landing of that kind.  Both vanish with the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from .plate import Plate, absolute, blend_path

_LANDED = "farplane_landed"
_BEFORE = "farplane_before"


@dataclass(frozen=True)
class Entry:
    """One take landed in one way.  camera : None if it was deleted since."""

    id: str
    kind: str
    name: str
    folder: Path
    first: int
    last: int
    camera: bpy.types.Object | None

    def overlaps(self, plate: Plate) -> bool:
        """Whether the two share a frame."""
        return self.first <= plate.last and plate.first <= self.last


def entries(scene: bpy.types.Scene) -> list[Entry]:
    """Everything that is landed in `scene`."""
    groups = scene.get(_LANDED)
    if groups is None:
        return []
    found = []
    for key in groups.keys():  # noqa: SIM118  (an ID property group iterates in its own way)
        group = groups[key]
        identity, kind = key.split("/", 1)
        camera = group.get("camera")
        found.append(
            Entry(
                identity, kind, group["name"], absolute(group["folder"], scene), group["first"], group["last"], camera
            )
        )
    return found


def add(scene: bpy.types.Scene, plate: Plate, kind: str, camera: bpy.types.Object) -> Entry:
    """Write down that `plate` is landed as `kind`."""
    if _LANDED not in scene:
        scene[_LANDED] = {}
    scene[_LANDED][f"{plate.id}/{kind}"] = {
        "name": plate.name,
        "folder": blend_path(plate.folder),
        "first": plate.first,
        "last": plate.last,
        "camera": camera,
    }
    return Entry(plate.id, kind, plate.name, plate.folder, plate.first, plate.last, camera)


def discard(scene: bpy.types.Scene, entry: Entry) -> None:
    """Forget an entry."""
    groups = scene.get(_LANDED)
    key = f"{entry.id}/{entry.kind}"
    if groups is not None and key in groups:
        del groups[key]
        if not len(groups):
            del scene[_LANDED]


def remember(scene: bpy.types.Scene, kind: str, values: dict[str, Any]) -> None:
    """Keep settings as they were, unless an earlier landing of this kind already did."""
    if _BEFORE not in scene:
        scene[_BEFORE] = {}
    if kind not in scene[_BEFORE]:
        scene[_BEFORE][kind] = values


def recall(scene: bpy.types.Scene, kind: str, restore: Callable[[dict[str, Any]], None]) -> None:
    """Give the kept settings to `restore` once no landing of this kind is left, and forget them."""
    if any(entry.kind == kind for entry in entries(scene)):
        return
    before = scene.get(_BEFORE)
    if before is None or kind not in before:
        return
    restore(before[kind].to_dict())
    del before[kind]
    if not len(before):
        del scene[_BEFORE]
