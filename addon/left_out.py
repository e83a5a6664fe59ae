"""What is not sent, taken out of a stand-in of the scene (passes.py).

Nothing of the artist's is written: the stand-in's own tree gets collections of ours where something is left out, and
what nodes repeat all the same is hidden in a render's own dependency graph.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import bpy

from . import scope


def leave_out(copy: bpy.types.Scene, scene: bpy.types.Scene, prefix: str) -> None:
    """Take out of `copy`, a fresh copy of `scene`, what is not sent; all that is made is named with `prefix`.

    Objects and collections are the artist's own and stay as they are: a collection that holds something to leave out
    is replaced, in the copy alone, by one of ours that holds the rest, and an empty that instances such a collection
    by one of ours that hangs on it.  What is left out is still evaluated where something else depends on it.
    """
    barred, outside = scope.left_out(scene)
    if not barred and not outside:
        return
    own, theirs = copy, scene
    while True:
        _Pruning(barred, outside, prefix).prune(own, theirs)
        behind = theirs.background_set
        if behind is None or behind in (scene, theirs):
            return
        own.background_set = behind.copy()
        own, theirs = own.background_set, behind
        own.name = prefix


def uids(scene: bpy.types.Scene) -> set[int]:
    """The session_uid of everything that is Foreground by itself, for `hide`."""
    return {obj.session_uid for obj in scope.left_out(scene)[0]}


def may_be_repeated(scene: bpy.types.Scene) -> bool:
    """Whether nodes or particles of the set might repeat the Foreground, which Workbench would draw all the same."""
    barred, _ = scope.left_out(scene)
    makers = {"NODES", "PARTICLE_SYSTEM"}
    return bool(barred) and any(
        modifier.type in makers for obj in scope.reachable(scene) - barred for modifier in obj.modifiers
    )


def hide(depsgraph: bpy.types.Depsgraph, foreground: set[int]) -> None:
    """Hide in a render's own graph what geometry nodes or particles of the set repeat of the Foreground (evaluation.py).

    In the stand-in's collections it is no longer; what repeats it points to the object itself.
    """
    if not foreground:
        return
    for obj in bpy.data.objects:
        if obj.session_uid not in foreground:
            continue
        ours = obj.evaluated_get(depsgraph)  # not by depsgraph.ids, which lacks what only an instance shows
        if ours.is_evaluated:
            for name in _RAYS:
                setattr(ours, name, False)


_RAYS = tuple(f"visible_{kind}" for kind in ("camera", "diffuse", "glossy", "transmission", "volume_scatter", "shadow"))


def rebuilt(collection: Any, name: str, objects: Iterable[Any], children: Iterable[Any]) -> Any:
    """A new collection that a render takes as it takes `collection`, and that holds other things."""
    ours = bpy.data.collections.new(name)
    ours.hide_render, ours.hide_viewport = collection.hide_render, collection.hide_viewport
    ours.instance_offset = collection.instance_offset
    for obj in objects:
        ours.objects.link(obj)
    for child in children:
        ours.children.link(child)
    return ours


@dataclass
class _Pruning:
    """Replaces collections of one scene."""

    barred: set[Any]
    outside: set[Any]
    prefix: str
    _made: dict[tuple[Any, bool], Any] = field(default_factory=dict)

    def prune(self, copy: bpy.types.Scene, scene: bpy.types.Scene) -> None:
        """Rebuild what has to be of the copy's own tree, and give its view layers the flags of the artist's."""
        for obj in list(copy.collection.objects):
            if self._is_out(obj, False):
                copy.collection.objects.unlink(obj)
            elif (ours := self._instead(obj)) is not obj:
                copy.collection.objects.unlink(obj)
                copy.collection.objects.link(ours)
        for child in list(copy.collection.children):
            ours = self._pruned(child, False)
            if ours is not child:
                copy.collection.children.unlink(child)
                copy.collection.children.link(ours)
        for theirs, own in zip(scene.view_layers, copy.view_layers, strict=True):
            self._flag(theirs.layer_collection, own.layer_collection)

    def _is_out(self, obj: Any, is_instanced: bool) -> bool:
        return obj in self.barred or (not is_instanced and obj in self.outside)

    def _pruned(self, collection: Any, is_instanced: bool) -> Any:
        """The collection without what is left out: itself where it has nothing of that."""
        key = collection, is_instanced
        if key not in self._made:
            self._made[key] = collection  # also an end to instances that hold themselves
            objects = [self._instead(obj) for obj in collection.objects if not self._is_out(obj, is_instanced)]
            children = [self._pruned(child, is_instanced) for child in collection.children]
            if objects != list(collection.objects) or children != list(collection.children):
                name = f"{self.prefix} {len(self._made)}"
                self._made[key] = rebuilt(collection, name, objects, children)
        return self._made[key]

    def _instead(self, obj: Any) -> Any:
        """The object itself, or where it instances something to leave out, an empty of ours that instances the rest."""
        inside = scope.instanced_collection(obj)
        if inside is None:
            return obj
        rest = self._pruned(inside, True)
        if rest is inside:
            return obj
        key = obj, True
        if key not in self._made:
            self._made[key] = self._stand_for(obj, rest)
        return self._made[key]

    def _stand_for(self, obj: Any, rest: Any) -> Any:
        ours = bpy.data.objects.new(f"{self.prefix} instance", None)
        ours.parent = obj  # at rest: it is wherever the artist's goes
        ours.instance_type, ours.instance_collection = "COLLECTION", rest
        for name in ("hide_render", "hide_viewport", "is_holdout", "visible_camera"):
            setattr(ours, name, getattr(obj, name))
            if scope.is_animated(obj, name):
                _follow(ours, obj, name)
        return ours

    def _flag(self, theirs: Any, own: Any) -> None:
        """Give a layer's collections the artist's flags, from the top down: excluding one excludes its children."""
        for name in ("exclude", "holdout", "indirect_only", "hide_viewport"):
            if getattr(own, name) != getattr(theirs, name) and not (name == "exclude" and _is_master(theirs)):
                setattr(own, name, getattr(theirs, name))
        ours = {layer.collection: layer for layer in own.children}
        for layer in theirs.children:
            found = ours.get(self._made.get((layer.collection, False), layer.collection))
            if found is not None:
                self._flag(layer, found)


def _is_master(layer: bpy.types.LayerCollection) -> bool:
    return bool(layer.collection.is_embedded_data)


def _follow(ours: Any, theirs: Any, name: str) -> None:
    """Drive a property of ours by the artist's, without Python."""
    driver = ours.driver_add(name).driver
    driver.type = "SUM"
    variable = driver.variables.new()
    variable.type = "SINGLE_PROP"
    variable.targets[0].id, variable.targets[0].data_path = theirs, name
