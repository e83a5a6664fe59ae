"""A take on the scene's set, as seen through the shot's camera; what that did not see looks as before.

Each object gets the plate in copies of its materials (shading.py) on its own slots (linked to the object, not to its
data), so that other objects with the same mesh keep theirs and the original materials stay where they are.  Materials
that have no such slot are replaced by a modifier (carry.py), instances that cannot be painted show copies that can
(copies.py), and where no geometry is, the world shows the plate's sky (sky.py).  What is left out is told.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import bpy

from .. import scope
from ..scene import metres_per_unit
from . import bake, carry, copies, reach, shading, sky
from .plate import TAG, Plate
from .reach import Reach
from .record import Entry

KIND = "projection"
_KEPT = "farplane_projection"  # on the object: landing id, whether we added a slot, and the slots as they were


def surfaces(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The objects of the set that a render shows and that carry a material of their own."""
    return [obj for obj in scope.sent(scene) if reach.way(obj) == "slots"]


def land(
    scene: bpy.types.Scene, plate: Plate, found: Reach, baked: int | None = None
) -> Generator[None, None, tuple[str, ...]]:
    """Give what was found the plate in its materials, or with `baked` that frame in the meshes' coordinates (bake.py).

    A little per step: a material's copy takes Blender a millisecond.  Returns a line for each reason why something is
    left out.  Raises FarplaneError when there is nothing to project on.
    """
    if baked is not None:
        found = found.bakeable()
    if found.is_empty and not found.is_sky:
        raise found.error()
    tree = shading.group(plate, metres_per_unit(scene), baked)
    if baked is not None:
        bake.bake(scene, plate, found.slots, baked)
    made: dict[Any, bpy.types.Material] = {}

    def projecting(own: bpy.types.Material | None) -> bpy.types.Material:
        if own not in made:
            made[own] = own if shading.fills_only(own) else shading.material(plate, own, tree, baked)
        return made[own]

    yield
    added = copies.swap(plate, found.copied, found.to_copy)
    slots = found.slots + [obj for obj in added if obj.material_slots]
    modified = found.modified + [obj for obj in added if not obj.material_slots]  # their data is not theirs to change
    carried = _carried(slots, modified)
    shown = {slot.material: None for obj in slots if _KEPT not in obj for slot in obj.material_slots}
    for own in [*shown, *carried[0]]:
        projecting(own)
        yield
    for obj in slots:
        _restore(obj, keep_baked=baked is not None)
        _replace_materials(obj, plate, projecting, baked is not None)
        yield
    yield from _carry(plate, slots, modified, carried, projecting)
    sky.land(scene, plate, KIND, baked)
    return (*found.notes(), *sky.notes(scene))


def remove(scene: bpy.types.Scene, entry: Entry) -> None:
    """Give every object its own materials back."""
    for obj in bpy.data.objects:
        if _KEPT in obj and obj[_KEPT]["id"] == entry.id and TAG not in obj:
            _restore(obj)
    for obj in carry.holders(entry.id):
        carry.take_off(obj, entry.id)
    copies.restore(entry.id)
    carry.remove_groups(entry.id)
    sky.remove(scene, entry.id, KIND)
    shading.remove_unused(entry.id)


def projected(identity: str) -> list[bpy.types.Object]:
    """The objects that carry the projection of landing `identity`."""
    by_slots = [obj for obj in bpy.data.objects if _KEPT in obj and obj[_KEPT]["id"] == identity]
    return [*by_slots, *carry.holders(identity), *copies.holders(identity)]


def _carried(slots: list[Any], modified: list[Any]) -> tuple[list[Any], list[Any]]:
    """Materials that a modifier must replace, None for an empty slot among them; and those that it must leave."""
    found: dict[Any, None] = {}
    for obj in slots:
        if reach.gives_materials(obj):
            found.update(dict.fromkeys([*reach.brought(obj), None]))
    for obj in modified:
        found.update(dict.fromkeys([*reach.brought(obj), *reach.materials(obj), None]))
    kept = [own for own in found if own is not None and (TAG in own or shading.fills_only(own))]
    return [own for own in found if own not in kept], kept


def _carry(
    plate: Plate,
    slots: list[Any],
    modified: list[Any],
    carried: tuple[list[Any], list[Any]],
    projecting: Callable[[bpy.types.Material | None], bpy.types.Material],
) -> Generator[None, None, None]:
    """Put our modifiers on the objects that need one: a mesh's own, a bare curve's, and one for any other."""
    trees: dict[str, Any] = {}
    for obj in (*modified, *(obj for obj in slots if reach.gives_materials(obj))):
        is_bare = obj in modified and not obj.data.materials and not reach.gives_materials(obj)
        kind = "mesh" if obj.type == "MESH" else "bare" if is_bare else "other"
        if kind not in trees and kind == "bare":
            trees[kind] = carry.giving(plate, projecting(None))
        elif kind not in trees:
            trees[kind] = carry.replacing(plate, *carried, projecting, kind == "mesh")
        carry.put_on(obj, trees[kind])
        yield


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
        if material == slot.material:  # it has no surface to paint
            continue
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
