"""Copies of what an empty instances, so that they can be painted where the originals cannot.

The empty is given a collection of ours: the painted objects in it are copies that share their originals' data and
animation, all else in it is the originals.  What a copy hangs on, parents and armatures, stays the original, which
Blender evaluates either way.  The empty keeps its own collection as a custom property.
"""

from __future__ import annotations

from typing import Any

import bpy

from .. import scope
from ..left_out import rebuilt
from .plate import TAG, Plate, tagged

_KEPT = "farplane_instance"  # on the empty: landing id, and the collection it instanced


def swap(plate: Plate, empties: list[Any], to_copy: set[Any]) -> list[Any]:
    """Let the empties instance copies of `to_copy`, and return the copies."""
    made: dict[Any, Any] = {}
    for empty in empties:
        restore_one(empty)
        own = empty.instance_collection
        empty[_KEPT] = {"id": plate.id, "collection": own}
        empty.instance_collection = _copied(own, plate, to_copy, made)
    return [made[obj] for obj in to_copy if obj in made]


def restore(identity: str) -> None:
    """Give the empties of a landing their own collections back, and remove the copies."""
    for obj in holders(identity):
        restore_one(obj)
    ours = [*tagged(bpy.data.collections, identity), *tagged(bpy.data.objects, identity)]
    if ours:
        bpy.data.batch_remove(ours)


def restore_one(empty: Any) -> None:
    """Give one empty its own collection back, unless the artist gave it another."""
    if _KEPT not in empty:
        return
    kept = empty[_KEPT]
    if empty.instance_collection is None or empty.instance_collection.get(TAG) == kept["id"]:
        empty.instance_collection = kept.get("collection")
    del empty[_KEPT]


def holders(identity: str) -> list[Any]:
    """The empties that show copies of a landing."""
    return [obj for obj in bpy.data.objects if _KEPT in obj and obj[_KEPT]["id"] == identity and TAG not in obj]


def _copied(collection: Any, plate: Plate, to_copy: set[Any], made: dict[Any, Any]) -> Any:
    """The collection with copies in it, or itself where it holds none."""
    if collection in made:
        return made[collection]
    made[collection] = collection  # also an end to instances that hold themselves
    objects = [_copy_of(obj, plate, to_copy, made) for obj in collection.objects]
    children = [_copied(child, plate, to_copy, made) for child in collection.children]
    if objects == list(collection.objects) and children == list(collection.children):
        return collection
    ours = made[collection] = rebuilt(collection, f"Farplane {collection.name}", objects, children)
    ours[TAG] = plate.id
    return ours


def _copy_of(obj: Any, plate: Plate, to_copy: set[Any], made: dict[Any, Any]) -> Any:
    if obj in made:
        return made[obj]
    inside = scope.instanced_collection(obj)
    rest = _copied(inside, plate, to_copy, made) if inside is not None else None
    if obj not in to_copy and rest is inside:
        return obj
    ours = made[obj] = obj.copy()
    ours.name, ours[TAG] = f"Farplane {obj.name}", plate.id
    ours.use_fake_user = False
    if ours.asset_data is not None:
        ours.asset_clear()
    if rest is not inside:
        ours.instance_collection = rest
    return ours
