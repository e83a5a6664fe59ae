"""Which objects show the set in a render, by themselves or in instances, and how each can be given other materials.

An object may be seen in several places: in the scene, in instances of its collection, scattered by particles or by
geometry nodes.  What all of these show is projected on the object itself.  Where one of them must not show the plate
(the Foreground, an instance that was not chosen), or the object belongs to another file, the others may still show a
copy of it, where it is an empty of this file that instances its collection (copies.py).

Nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import bpy

from ...protocol.errors import FarplaneError
from .. import scope
from .shading import fills_only

_SLOTS = {"MESH", "CURVE", "SURFACE", "FONT", "META", "CURVES", "POINTCLOUD"}
_MODIFIED = {"MESH", "CURVE", "SURFACE", "FONT", "CURVES", "POINTCLOUD"}  # may carry geometry nodes
_GIVE_MATERIALS = {"NODES", "BOOLEAN"}  # modifiers whose result may have materials that the object has no slot for


@dataclass(frozen=True)
class Note:
    """Why something is left out, with a place for its names, and what to do about it."""

    text: str
    remedy: str


_HERO = Note(
    "Left out of the projection as Foreground: {}", "Take it out of the Foreground, or select something of the set"
)
_LINKED = Note(
    "Left out of the projection, linked from another file: {}",
    "Make it a library override: Object > Library Override > Make",
)
_ELSEWHERE = Note(
    "Left out of the projection, shown by the Foreground too: {}", "Give the Foreground a copy of its own"
)
_LOCKED = Note(
    "Left out of the projection, no material slot that may be changed: {}", "Give it a material, or make its data local"
)
_SKY = Note("There is no geometry: the plate's sky alone is projected", "")
_UNBAKED = Note(
    "Left out of the baking, no mesh of its own: {}", "Make its instances real: Object > Apply > Make Instances Real"
)


@dataclass
class Reach:
    """What a projection goes on, and how.

    slots : objects that get it in their material slots.  modified : by a modifier, for their slots are not theirs.
    copied : empties that show copies of what they instance; to_copy : which objects of that are copied.
    left_out : {why: objects} that show the set and cannot be painted.  is_all : all of the set was asked for.
    """

    slots: list[Any] = field(default_factory=list)
    modified: list[Any] = field(default_factory=list)
    copied: list[Any] = field(default_factory=list)
    to_copy: set[Any] = field(default_factory=set)
    left_out: dict[Note, list[Any]] = field(default_factory=dict)
    is_all: bool = False

    @property
    def is_sky(self) -> bool:
        """Whether the set is nothing but sky."""
        return self.is_all and self.is_empty and not self.left_out

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to paint."""
        return not (self.slots or self.modified or self.copied)

    def leave_out(self, why: Note, obj: Any) -> None:
        """Note an object that is not painted, once."""
        objects = self.left_out.setdefault(why, [])
        if obj not in objects:
            objects.append(obj)

    def notes(self) -> tuple[str, ...]:
        """A line for each reason why something is left out."""
        if self.is_sky:
            return (_SKY.text,)
        return tuple(why.text.format(_told(objects)) for why, objects in self.left_out.items())

    def error(self) -> FarplaneError:
        """Why there is nothing to paint."""
        if not self.left_out:
            return FarplaneError("objects", "there is no geometry to project on", "Select a mesh that you may edit")
        why, objects = next(iter(self.left_out.items()))
        problem = f"there is no geometry to project on but what is left out: {_told(objects)}"
        return FarplaneError("objects", problem, why.remedy)

    def bakeable(self) -> Reach:
        """What can be baked of it: what has slots.  The rest is left out."""
        baked = Reach(slots=self.slots, left_out={why: list(objects) for why, objects in self.left_out.items()})
        for obj in (*self.modified, *self.copied):
            baked.leave_out(_UNBAKED, obj)
        return baked


def find(scene: bpy.types.Scene, objects: Iterable[Any] | None) -> Reach:
    """What a projection on `objects` goes on; None is all of the set that a render shows."""
    known = scope.read(scene)
    gone = known.foreground
    chosen = list(known.sent if objects is None else dict.fromkeys(objects))
    reach = Reach(is_all=objects is None)
    for obj in chosen:
        if obj in gone and is_shown(obj):
            reach.leave_out(_HERO, obj)
    wanted = [obj for obj in chosen if obj not in gone]
    forbidden = known.barred | _shown_by(known.left_out)
    if objects is not None:
        forbidden |= _shown_by(root for root in known.sent if root not in wanted) - set(wanted)
    for root in wanted:
        for seen in _appearances(root, frozenset(known.barred)):
            _place(reach, seen, forbidden)
    reach.to_copy -= set(reach.slots) | set(reach.modified)
    return reach


def is_shown(obj: Any) -> bool:
    """Whether an object has a surface that can be painted, or shows others that may have one."""
    return obj.type in _SLOTS or any(True for _ in _shows(obj))


def way(obj: Any) -> str:
    """How an object's own materials can be changed: "slots", "modifier", or "" where they cannot."""
    if obj.library is not None or obj.type not in _SLOTS or obj.data is None:
        return ""
    override = obj.override_library
    if override is not None:  # slots that we change in it would be lost with our note of how they were
        editable = not getattr(override, "is_system_override", False)
        return "modifier" if editable and obj.type in _MODIFIED else ""
    if obj.material_slots or obj.data.library is None:
        return "slots"
    return "modifier" if obj.type in _MODIFIED else ""


def gives_materials(obj: Any) -> bool:
    """Whether a modifier of the object may bring materials of its own."""
    return any(modifier.type in _GIVE_MATERIALS for modifier in obj.modifiers)


def brought(obj: Any) -> set[Any]:
    """Materials that the object may show besides those in its slots: of its geometry nodes, and of what they refer to."""
    found = {block for block in _references(obj) if isinstance(block, bpy.types.Material)}
    for other in _by_nodes(obj):
        found.update(*(materials(seen.obj) for seen in _appearances(other, frozenset())))
    if gives_materials(obj):
        found.update(materials(obj))
        graph = bpy.context.evaluated_depsgraph_get()
        evaluated = obj.evaluated_get(graph)
        if evaluated.data is not None:
            found.update(material.original for material in getattr(evaluated.data, "materials", ()) if material)
    return found


def materials(obj: Any) -> set[Any]:
    """Those of its data and of its slots."""
    of_data = getattr(obj.data, "materials", None) or ()
    return {
        material for material in (*of_data, *(slot.material for slot in obj.material_slots)) if material is not None
    }


def _place(reach: Reach, seen: _Seen, forbidden: set[Any]) -> None:
    """Decide how one appearance of an object is painted."""
    obj = seen.obj
    if obj.type not in _SLOTS or obj.data is None or all_fill(obj):
        return
    how = way(obj)
    if how and obj not in forbidden:
        painted = reach.slots if how == "slots" else reach.modified
        if obj not in painted:
            painted.append(obj)
    elif seen.nodes is not None:  # our modifier on what scatters it replaces the materials of what is scattered, too
        return
    elif seen.top is not None and _may_be_copied(obj):
        reach.to_copy.add(obj)
        if seen.top not in reach.copied:
            reach.copied.append(seen.top)
    else:
        reach.leave_out(_ELSEWHERE if how else _LINKED if obj.library is not None else _LOCKED, obj)


def all_fill(obj: Any) -> bool:
    """Whether the object is fog: materials that fill it, none that gives it a surface."""
    materials = [slot.material for slot in obj.material_slots if slot.material is not None]
    return bool(materials) and all(fills_only(material) for material in materials)


def _may_be_copied(obj: Any) -> bool:
    """Whether a local copy of the object, with the same data, could be painted."""
    return bool(obj.material_slots) or obj.type in _MODIFIED


# ---- what shows what ----------------------------------------------------------------------------------------


def _shown_by(roots: Iterable[Any]) -> set[Any]:
    """All that these objects show, themselves too."""
    return {seen.obj for root in roots for seen in _appearances(root, frozenset())}


@dataclass(frozen=True)
class _Seen:
    """One way in which an object is shown.

    top : the empty of the scene that instances it and could show a copy instead.  nodes : the object whose geometry
    nodes show it, and could replace its materials.
    """

    obj: Any
    top: Any = None
    nodes: Any = None


def _appearances(root: Any, barred: frozenset[Any]) -> Iterator[_Seen]:
    """All that a root of the scene shows, itself first."""
    may_copy = root.library is None and root.override_library is None
    seen: set[_Seen] = set()
    waiting = [_Seen(root)]
    while waiting:
        one = waiting.pop(0)
        if one in seen or one.obj in barred:
            continue
        seen.add(one)
        yield one
        inside = scope.instanced_collection(one.obj)
        if inside is not None:
            top = one.obj if one.obj is root and may_copy else one.top
            waiting += [_Seen(other, top, one.nodes) for other in members(inside)]
        carrier = one.nodes or (one.obj if way(one.obj) else None)
        waiting += [_Seen(other, None, carrier) for other in _by_nodes(one.obj)]
        waiting += [_Seen(other) for other in _by_particles(one.obj)]


def members(collection: bpy.types.Collection) -> Iterator[Any]:
    """Objects that an instance of the collection shows."""
    if collection.hide_render:
        return
    for obj in collection.objects:
        if not obj.hide_render or obj.animation_data is not None:
            yield obj
    for child in collection.children:
        yield from members(child)


def _shows(obj: Any) -> Iterator[Any]:
    inside = scope.instanced_collection(obj)
    if inside is not None:
        yield from members(inside)
    yield from _scattered(obj)


def _scattered(obj: Any) -> Iterator[Any]:
    """Objects that its geometry nodes or its particles show, or may."""
    yield from _by_nodes(obj)
    yield from _by_particles(obj)


def _by_nodes(obj: Any) -> Iterator[Any]:
    yield from _objects_in(_references(obj))


def _by_particles(obj: Any) -> Iterator[Any]:
    for system in getattr(obj, "particle_systems", ()):
        settings = system.settings
        shown = {"OBJECT": settings.instance_object, "COLLECTION": settings.instance_collection}
        yield from _objects_in([shown.get(settings.render_type)])


def _objects_in(blocks: Iterable[Any]) -> Iterator[Any]:
    for block in blocks:
        if isinstance(block, bpy.types.Object):
            yield block
        elif isinstance(block, bpy.types.Collection):
            yield from members(block)


def _references(obj: Any) -> Iterator[Any]:
    """Datablocks that the object's geometry nodes name: in the modifier, in the tree and in groups inside."""
    seen: set[Any] = set()
    for modifier in obj.modifiers:
        if modifier.type == "NODES" and modifier.node_group is not None:
            yield from _inputs(modifier)
            yield from _named(modifier.node_group, seen)


def _inputs(modifier: Any) -> Iterator[Any]:
    inputs = getattr(getattr(modifier, "properties", None), "inputs", None)  # since 5.2
    if inputs is None:
        yield from (modifier[key] for key in modifier.keys())  # noqa: SIM118
        return
    for prop in inputs.bl_rna.properties:
        if prop.type == "POINTER":
            yield getattr(getattr(inputs, prop.identifier), "value", None)


def _named(tree: Any, seen: set[Any]) -> Iterator[Any]:
    if tree in seen:
        return
    seen.add(tree)
    for node in tree.nodes:
        if node.bl_idname == "GeometryNodeGroup" and node.node_tree is not None:
            yield from _named(node.node_tree, seen)
        for name in ("material", "object", "collection"):  # of input nodes
            yield getattr(node, name, None)
        for socket in node.inputs:
            if socket.type in ("MATERIAL", "OBJECT", "COLLECTION"):
                yield socket.default_value


def _told(objects: list[Any]) -> str:
    names = ", ".join(obj.name for obj in objects[:3])
    return names if len(objects) <= 3 else f"{len(objects)} objects ({names} …)"
