"""What of a scene is sent: its Foreground and its Set.  left_out.py takes the rest out of a stand-in.

The plate is what stands behind a hero.  So a scene may name objects and collections that are its Foreground: they are
never sent, never projected on and never part of the plate, and they stay in the artist's own render.  It may name one
collection as its Set: then only what is in it is sent.  Both lie in the scene's custom properties as pointers to
datablocks, so that a rename, an undo, a deletion or a link from another file needs nothing of ours, and so that the
panel, the command line and a farm read the same.

Whatever the scene's view layers exclude, hold out or show indirectly only, and whatever is hidden from rendering,
counts as it does in a render: it is not sent either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np

FOREGROUND_KEY = "farplane_foreground"  # a group of pointers, "0", "1" …
SET_KEY = "farplane_set"  # a pointer to a collection

# Objects that a depth pass can show.  Volumes and grease pencil are no surfaces in it.
_SURFACES = {"MESH", "CURVE", "SURFACE", "META", "FONT", "CURVES", "POINTCLOUD"}
_SEEN = _SURFACES | {"VOLUME", "GPENCIL", "GREASEPENCIL"}


# -- what the scene carries -------------------------------------------------------------------------------------------


def listed(scene: bpy.types.Scene) -> list[Any]:
    """The objects and collections that the artist put into the Foreground, in their order.

    Without those that are gone since: an object that was deleted from the scene lives on where something points to it.
    """
    return [block for block in _pointed(scene) if _is_there(block, scene)]


def _pointed(scene: bpy.types.Scene) -> list[Any]:
    """What the property points to, in its order, None for what was deleted; a script may have written a list, or one alone."""
    value: Any = scene.get(FOREGROUND_KEY)
    if hasattr(value, "items") and not isinstance(value, bpy.types.ID):
        return [block for _, block in sorted(value.items(), key=lambda item: (len(item[0]), item[0]))]
    return list(value) if isinstance(value, list) else [value]


def _is_there(block: Any, scene: bpy.types.Scene) -> bool:
    """Whether a block that something points to is anywhere else, too; nodes may show what is in no scene at all."""
    if not isinstance(block, bpy.types.Object):
        return isinstance(block, bpy.types.Collection)
    return len(block.users_collection) > 0 or block.name in scene.collection.objects or len(block.users_scene) > 0


def set_listed(scene: bpy.types.Scene, blocks: Iterable[bpy.types.Object | bpy.types.Collection]) -> None:
    """Make these the Foreground, each once; none at all takes the property away."""
    each = list(dict.fromkeys(blocks))
    if each:
        scene[FOREGROUND_KEY] = {str(index): block for index, block in enumerate(each)}
    elif FOREGROUND_KEY in scene:
        del scene[FOREGROUND_KEY]


def set_collection(scene: bpy.types.Scene) -> bpy.types.Collection | None:
    """The collection that alone is sent, where the artist has named one."""
    found = scene.get(SET_KEY)
    return found if isinstance(found, bpy.types.Collection) else None


def set_set_collection(scene: bpy.types.Scene, collection: bpy.types.Collection | None) -> None:
    """Send only what is in this collection; None sends everything that renders again."""
    if collection is not None:
        scene[SET_KEY] = collection
    elif SET_KEY in scene:
        del scene[SET_KEY]


# -- what follows from it ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """How many objects of the scene are what; an object that instances a collection is one.

    sent : a render shows them and they are sent.  left_out : a render shows them, and they are Foreground or not in
    the Set.  unseen : they take part in a render and the camera does not see their surface: held out, indirect only,
    or not visible to the camera.
    """

    sent: int
    left_out: int
    unseen: int = 0

    def __str__(self) -> str:
        parts = [f"{self.sent} object" + ("s" if self.sent != 1 else "")]
        parts += [f"{self.left_out} left out"] if self.left_out else []
        parts += [f"{self.unseen} not seen by the camera"] if self.unseen else []
        return ", ".join(parts)


@dataclass
class Scope:
    """What is sent of a scene as it stands; read it once for many questions.

    barred : Foreground by themselves: in no collection and in no instance are they sent.
    outside : not in the Set, where there is one; instanced by something of the Set they would be sent.
    sent : objects of the scene that render and are sent.  instanced : those that are sent as part of an instance.
    left_out, unseen : as in Summary.
    """

    barred: set[bpy.types.Object]
    outside: set[bpy.types.Object]
    sent: list[bpy.types.Object] = field(default_factory=list)
    left_out: list[bpy.types.Object] = field(default_factory=list)
    unseen: list[bpy.types.Object] = field(default_factory=list)
    instanced: set[bpy.types.Object] = field(default_factory=set)

    @property
    def foreground(self) -> set[bpy.types.Object]:
        """Whatever must never be sent, projected on, or be part of the plate."""
        return self.barred | self.outside

    def is_sent(self, obj: bpy.types.Object) -> bool:
        """Whether a render shows this object, by itself or in an instance, and it is sent."""
        return obj in self.instanced or obj in self.sent


def read(scene: bpy.types.Scene) -> Scope:
    """What is sent of this scene as it stands."""
    barred, outside = left_out(scene)
    scope = Scope(barred, outside)
    gone = scope.foreground
    for obj, is_seen in _rendered(scene).items():
        if not _shows_surface(obj):
            continue
        if obj in gone:
            scope.left_out.append(obj)
        elif not is_seen:
            scope.unseen.append(obj)
        else:
            scope.sent.append(obj)
            if (inside := instanced_collection(obj)) is not None:
                _note_instanced(inside, barred, scope.instanced)
    return scope


def foreground(scene: bpy.types.Scene) -> set[bpy.types.Object]:
    """Objects that must never be sent, projected on, or be part of the plate: the Foreground, and what is not in the Set."""
    barred, outside = left_out(scene)
    return barred | outside


def sent(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Objects of the scene that a render shows and that are sent; an instance stands for what it holds."""
    return read(scene).sent


def is_sent(scene: bpy.types.Scene, obj: bpy.types.Object) -> bool:
    """Whether a render shows this object, by itself or in an instance, and it is sent.  `read` answers many at once."""
    return read(scene).is_sent(obj)


def summary(scene: bpy.types.Scene) -> Summary:
    """Counts for the panel and the command line."""
    scope = read(scene)
    return Summary(len(scope.sent), len(scope.left_out), len(scope.unseen))


def fingerprint(scene: bpy.types.Scene) -> tuple[Any, ...]:
    """Whatever decides what of the scene is seen, as values to compare: cheap, since it is asked for twice a second.

    Also of what Blender does not evaluate for the viewport, and so tells no edit of: flags, places, and which
    collection holds what.
    """
    chain = with_background(scene)
    layers = [
        (one.session_uid, layer.use, _uid(layer.material_override), _flags_of(layer.layer_collection))
        for one in chain
        for layer in one.view_layers
    ]
    collections = [
        (one.session_uid, one.hide_render, _values(one.objects, "session_uid"), _values(one.children, "session_uid"))
        for one in (*(one.collection for one in chain), *bpy.data.collections)
    ]
    objects = [_values(bpy.data.objects, name) for name in _SEEN_BY]
    instances = [inside.session_uid for obj in bpy.data.objects if (inside := obj.instance_collection) is not None]
    pointed = [_uid(block) for block in _pointed(scene)]
    used = [layer.name for layer in used_layers(scene)]
    return used, layers, collections, objects, instances, pointed, _uid(set_collection(scene))


_SEEN_BY = (
    "session_uid",
    "hide_render",
    "visible_camera",
    "is_holdout",
    "location",
    "rotation_euler",
    "rotation_quaternion",
    "scale",
)


def _uid(block: Any) -> int:
    return int(getattr(block, "session_uid", 0))


def _flags_of(layer: bpy.types.LayerCollection | None) -> tuple[Any, ...]:
    if layer is None:  # of a scene that was only just made (5.2)
        return ()
    own = layer.exclude, layer.holdout, layer.indirect_only
    return *own, tuple(_flags_of(child) for child in layer.children)


def _values(blocks: Any, name: str) -> bytes:
    """A property of all of them, in their order."""
    prop = bpy.types.Object.bl_rna.properties[name]
    kind = {"BOOLEAN": bool, "INT": np.int32, "FLOAT": np.float32}[prop.type]
    values = np.empty(len(blocks) * max(1, prop.array_length), kind)
    blocks.foreach_get(name, values)
    return values.tobytes()


def instanced_collection(obj: bpy.types.Object) -> bpy.types.Collection | None:
    """The collection that an empty instances, if it does."""
    return obj.instance_collection if obj.instance_type == "COLLECTION" else None


def left_out(scene: bpy.types.Scene) -> tuple[set[bpy.types.Object], set[bpy.types.Object]]:
    """`barred` and `outside` of a Scope."""
    if FOREGROUND_KEY not in scene and SET_KEY not in scene:
        return set(), set()
    everything = reachable(scene)
    barred = _barred(listed(scene), everything)
    return barred, _outside(set_collection(scene), barred, everything)


def _barred(blocks: list[Any], everything: set[Any]) -> set[bpy.types.Object]:
    """What is Foreground by itself, in a collection, or as an instance of nothing else."""
    collections: set[Any] = set()
    objects: set[Any] = set()
    for block in blocks:
        if isinstance(block, bpy.types.Collection):
            collections |= {block, *block.children_recursive}
            objects.update(block.all_objects)
        else:
            objects.add(block)
    repeat = {obj for obj in everything if obj.instance_type != "NONE"}
    may_go = repeat | {child for obj in repeat if obj.instance_type != "COLLECTION" for child in obj.children}
    while blocks:
        more = {obj for obj in may_go - objects if _goes_with(obj, objects, collections)}
        if not more:
            break
        objects |= more
    return {obj for obj in objects if obj.type != "CAMERA"}  # a camera shows nothing, and may be the shot's


def _goes_with(obj: Any, objects: set[Any], collections: set[Any]) -> bool:
    """Whether an object is only there to show what is Foreground: an instance of it, or what it is itself repeated by."""
    inside = instanced_collection(obj)
    if inside is not None:
        held = inside.all_objects
        return inside in collections or (len(held) > 0 and all(one in objects for one in held))
    parent = obj.parent
    return parent is not None and parent in objects and parent.instance_type in ("VERTS", "FACES")


def _outside(chosen: bpy.types.Collection | None, barred: set[Any], everything: set[Any]) -> set[bpy.types.Object]:
    """What has a surface and is not in the Set."""
    if chosen is None:
        return set()
    inside: set[Any] = set(chosen.all_objects)
    for obj in chosen.all_objects:
        if obj not in barred and (held := instanced_collection(obj)) is not None:
            _contents(held, inside)
    return {obj for obj in everything - inside - barred if _is_seen_type(obj)}


def reachable(scene: bpy.types.Scene) -> set[bpy.types.Object]:
    """All objects of the scene and its Background Sets, and all that their instances hold."""
    found: set[Any] = set()
    for one in with_background(scene):
        _contents(one.collection, found)
    return found


def _contents(collection: bpy.types.Collection, found: set[Any]) -> set[bpy.types.Object]:
    """Add objects of a collection, of its children, and of what those instance to `found`, and return it."""
    new = set(collection.all_objects) - found
    found |= new
    for obj in new:
        if (inside := instanced_collection(obj)) is not None:
            _contents(inside, found)
    return found


def with_background(scene: bpy.types.Scene) -> list[bpy.types.Scene]:
    """The scene, then its Background Set, then that one's."""
    chain: list[Any] = []
    one: Any = scene
    while one is not None and one not in chain:
        chain.append(one)
        one = one.background_set
    return chain


def _is_seen_type(obj: bpy.types.Object) -> bool:
    return obj.type in _SEEN or instanced_collection(obj) is not None


def _shows_surface(obj: bpy.types.Object) -> bool:
    return obj.type in _SURFACES or instanced_collection(obj) is not None


# -- what a render shows ----------------------------------------------------------------------------------------------


def _rendered(scene: bpy.types.Scene) -> dict[bpy.types.Object, bool]:
    """Objects that take part in a render of the scene, and whether the camera sees their surface."""
    found: dict[Any, bool] = {}
    for one in with_background(scene):
        for layer in used_layers(one) if one == scene else list(one.view_layers)[:1]:
            if layer.layer_collection is None:  # of a scene that was only just made (5.2)
                layer.update()
            for obj in objects_of(layer.layer_collection, False):
                if found.get(obj) or is_hidden_always(obj):
                    continue
                seen = obj.visible_camera and not obj.is_holdout
                found[obj] = (
                    seen and not obj.holdout_get(view_layer=layer) and not obj.indirect_only_get(view_layer=layer)
                )
    return found


def used_layers(scene: bpy.types.Scene) -> list[bpy.types.ViewLayer]:
    """The view layers that are rendered; Render Single Layer counts in the interface alone, as its own tooltip says."""
    if scene.render.use_single_layer and is_interface():
        for window in bpy.context.window_manager.windows:
            if window.scene == scene:
                return [window.view_layer]
    return [layer for layer in scene.view_layers if layer.use] or list(scene.view_layers)[:1]


def is_interface() -> bool:
    """Whether somebody sits before a window."""
    return not bpy.app.background


def objects_of(layer: bpy.types.LayerCollection, is_hidden: bool) -> Iterator[bpy.types.Object]:
    """Objects of a layer's collections that render; a hidden collection hides its children, an excluded one does not."""
    is_hidden = is_hidden or layer.collection.hide_render
    if is_hidden:
        return
    if not layer.exclude:
        yield from layer.collection.objects
    for child in layer.children:
        yield from objects_of(child, is_hidden)


def is_hidden_always(obj: bpy.types.Object) -> bool:
    """Whether the object is hidden from rendering at every frame."""
    return obj.hide_render and not is_animated(obj, "hide_render")


def is_animated(obj: bpy.types.Object, path: str) -> bool:
    """Whether a key, a driver or the NLA may change this property."""
    animation = obj.animation_data
    if animation is None:
        return False
    curves: list[Any] = list(animation.drivers)
    actions = [animation.action, *(strip.action for track in animation.nla_tracks for strip in track.strips)]
    for action in actions:
        if action is not None:
            curves += _curves(action)
    return any(curve.data_path == path for curve in curves)


def _curves(action: Any) -> list[Any]:
    """All F-curves of an action; until 4.3 and again by layers since 4.4."""
    if hasattr(action, "fcurves"):
        return list(action.fcurves)
    bags = (bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags)
    return [curve for bag in bags for curve in bag.fcurves]


def _note_instanced(collection: bpy.types.Collection, barred: set[Any], found: set[Any]) -> None:
    """Add what an instance of this collection shows to `found`."""
    if collection.hide_render:
        return
    for obj in collection.objects:
        if obj in found or obj in barred or is_hidden_always(obj):
            continue
        found.add(obj)
        if (inside := instanced_collection(obj)) is not None:
            _note_instanced(inside, barred, found)
    for child in collection.children:
        _note_instanced(child, barred, found)
