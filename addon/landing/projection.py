"""A take on the scene's own geometry, as seen through the shot's camera; what that did not see looks as before.

Each object gets the plate in copies of its materials (shading.py) on its own slots (linked to the object, not to its
data), so that other objects with the same mesh keep theirs and the original materials stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import bpy

from ...protocol.errors import FarplaneError
from ..scene import metres_per_unit
from . import bake, shading
from .plate import TAG, Plate
from .record import Entry

_KEPT = "farplane_projection"  # on the object: landing id, whether we added a slot, and the slots as they were
_SURFACES = {"MESH", "CURVE", "SURFACE", "FONT", "META"}


def surfaces(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The objects of the scene that a render shows and that can carry a material."""
    return [obj for obj in scene.objects if not obj.hide_render and _can_project(obj)]


def land(
    scene: bpy.types.Scene, plate: Plate, objects: Iterable[bpy.types.Object], baked: int | None = None
) -> Iterator[None]:
    """Give `objects` the plate in their materials, or with `baked` that frame in their own coordinates (bake.py).

    A little per step: a material's copy takes Blender a millisecond.  Raises FarplaneError when none of them can carry one.
    """
    chosen = [obj for obj in objects if _can_project(obj)]
    if not chosen:
        raise FarplaneError("objects", "there is no geometry to project on", "Select a mesh that you may edit")
    tree = shading.group(plate, metres_per_unit(scene), baked)
    if baked is not None:
        bake.bake(scene, plate, chosen, baked)
    copies: dict[Any, bpy.types.Material] = {}

    def projecting(own: bpy.types.Material | None) -> bpy.types.Material:
        if own not in copies:
            copies[own] = shading.material(plate, own, tree, baked)
        return copies[own]

    yield
    shown = {slot.material: None for obj in chosen if _KEPT not in obj for slot in obj.material_slots}
    for own in shown:
        projecting(own)
        yield
    for obj in chosen:
        _restore(obj, keep_baked=baked is not None)
        _replace_materials(obj, plate, projecting, baked is not None)
        yield


def remove(scene: bpy.types.Scene, entry: Entry) -> None:
    """Give every object its own materials back."""
    for obj in bpy.data.objects:
        if _KEPT in obj and obj[_KEPT]["id"] == entry.id:
            _restore(obj)
    shading.remove_unused(entry.id)


def projected(identity: str) -> list[bpy.types.Object]:
    """The objects that carry the projection of landing `identity`."""
    return [obj for obj in bpy.data.objects if _KEPT in obj and obj[_KEPT]["id"] == identity]


def _can_project(obj: Any) -> bool:
    """Whether we may change the object's materials: ours to edit, and with a slot or data we may add one to."""
    if obj.type not in _SURFACES or obj.data is None or not (obj.library is None or obj.override_library):
        return False
    return bool(obj.material_slots) or obj.data.library is None


def _replace_materials(
    obj: Any, plate: Plate, projecting: Callable[[bpy.types.Material | None], bpy.types.Material], baked: bool
) -> None:
    """Give each slot what `projecting` makes of the material that it shows."""
    added = not obj.material_slots
    if added:
        obj.data.materials.append(None)
    kept: dict[str, Any] = {"id": plate.id, "added": added, "baked": baked}
    for index, slot in enumerate(obj.material_slots):
        link, material = slot.link, projecting(slot.material)
        slot.link = "OBJECT"  # now slot.material is the object's own, perhaps none
        kept[f"link{index}"] = link
        if slot.material is not None:
            kept[f"material{index}"] = slot.material
        slot.material = material
    obj[_KEPT] = kept  # holding the materials here also keeps them from being purged on save


def _restore(obj: Any, keep_baked: bool = False) -> None:
    """Undo `_replace_materials`; slots that the artist changed or added since stay as they are."""
    if _KEPT not in obj:
        return
    kept = obj[_KEPT]
    if kept.get("baked") and not keep_baked:
        bake.unbake(obj)
    for index, slot in enumerate(obj.material_slots):
        ours = slot.link == "OBJECT" and slot.material is not None and slot.material.get(TAG) == kept["id"]
        if ours:
            slot.material = kept.get(f"material{index}")
            slot.link = kept.get(f"link{index}", "DATA")
    if kept["added"]:
        _remove_added_slot(obj)
    del obj[_KEPT]


def _remove_added_slot(obj: Any) -> None:
    """Take away the slot we gave to data without one, unless somebody uses it by now."""
    sharing = [other for other in bpy.data.objects if other.data == obj.data]
    projected_still = [other for other in sharing if _KEPT in other and other != obj]
    if projected_still:
        for other in projected_still:  # the last one to leave takes the slot with it
            other[_KEPT]["added"] = True
    elif len(obj.data.materials) == 1 and not any(slot.material for other in sharing for slot in other.material_slots):
        obj.data.materials.clear()
