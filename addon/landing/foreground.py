"""A scene of ours that renders the foreground alone: the artist's foreground and lights, and the set as shadow catcher.

Catcher, holdout and transparent film change what every view layer of a scene shows, and catcher is a property of the
objects themselves.  So none of it is done in the artist's scene.  Ours holds the artist's own foreground and lights,
and one empty that instances all of the set and is itself the shadow catcher: Cycles takes an instance for a catcher
where what instances it is one.  No object, collection or view layer of the artist's is changed, linked ones serve as
well, and whatever is animated, moved or modelled later shows.  In EEVEE, which has no catcher, the set is held out.

The scene is a copy of the artist's, so that it renders alike; `keep_up` takes over what is changed later.  A Render
Layers node of the artist's compositing tree names it, and a render of the artist's scene renders it, too.
"""

from __future__ import annotations

from typing import Any

import bpy

from .. import scope
from .plate import CATCHER
from .shading import fills_only

LAYER = "Foreground"  # the view layer
_OURS = "farplane_foreground_scene"  # on the artist's scene: ours
_THEIRS = "farplane_foreground_of"  # on ours: the artist's
_PARTS = "farplane_foreground_parts"  # on ours: its collections and the empty, by these names:
_SHOWN, _HELD, _INDIRECT, _SET, _CATCHER = "Foreground", "Held Out", "Indirect", "Set", "Catcher"
_EEVEE = ("BLENDER_EEVEE", "BLENDER_EEVEE_NEXT")
_NO_SURFACE = {"LIGHT", "LIGHT_PROBE", "EMPTY", "ARMATURE", "LATTICE", "SPEAKER"}

# Settings that are not the artist's in our scene, by the struct that has them.
_NOT_TAKEN = {
    "RenderSettings": {
        "film_transparent",
        "use_compositing",
        "use_sequencer",
        "use_single_layer",
        "image_settings",
        "ffmpeg",
        "bake",
        "filepath",
        "use_lock_interface",
    },
    "ViewLayer": {"name", "use", "active_aov", "active_lightgroup", "layer_collection"},
}
_TAKEN = ("render", "eevee", "unit_settings", "world", "camera", "gravity", "use_gravity", "frame_start")
_STRUCTS = ("render", "eevee", "ray_tracing_options", "unit_settings")
_TAKEN += ("frame_end", "frame_step")


def of(scene: bpy.types.Scene) -> bpy.types.Scene | None:
    """Our scene beside this one, where there is one; a copy of the artist's scene has none of its own."""
    found = scene.get(_OURS)
    return found if isinstance(found, bpy.types.Scene) and found.get(_THEIRS) == scene else None


def is_ours(scene: bpy.types.Scene) -> bool:
    """Whether this is such a scene, and none of the artist's."""
    return _THEIRS in scene


def shows_shadow(scene: bpy.types.Scene) -> bool:
    """Whether the scene's engine gives the foreground's shadow on the set."""
    return scene.render.engine == "CYCLES"


def holds_out_set(scene: bpy.types.Scene) -> bool:
    """Whether the scene's engine hides what stands behind the set."""
    return scene.render.engine in ("CYCLES", *_EEVEE)


def set_of(scene: bpy.types.Scene) -> set[bpy.types.Object]:
    """The objects that are the set: they have a surface, take part in a render and are not in the Foreground."""
    return _sides(scene)[_SET]


def make(scene: bpy.types.Scene) -> bpy.types.Scene:
    """Return our scene beside this one, made at the first call, as the artist's is now."""
    ours = of(scene)
    if ours is None:
        ours = scene.copy()
        _empty(ours, scope.used_layers(scene)[0].name)
        ours.name = f"Farplane {scene.name}"
        ours[_THEIRS], scene[_OURS] = scene, ours
        ours[_PARTS] = _furnish(ours) | _split(scene)
    keep_up(scene)
    return ours


def keep_up(scene: bpy.types.Scene) -> None:
    """Take over what the artist changed since: settings, camera, objects that came, went, or changed sides.

    Makes and removes no datablock, so that it needs no step of the undo stack.  Does nothing without our scene.
    """
    ours = of(scene)
    if ours is None or ours.library is not None or not hasattr(ours.get(_PARTS), "keys"):
        return
    _take_settings(scene, ours)
    _take_markers(scene, ours)
    parts = ours[_PARTS]
    sides = _sides(scene)
    _part_instances(parts, sides)
    for name, objects in sides.items():
        collection = parts.get(name)
        if isinstance(collection, bpy.types.Collection):
            _settle(collection, objects)
    is_cycles = ours.render.engine == "CYCLES"
    catcher = parts.get(_CATCHER)
    if isinstance(catcher, bpy.types.Object) and catcher.hide_render == is_cycles:
        catcher.hide_render = not is_cycles
    layer = ours.view_layers[0]
    for child in layer.layer_collection.children:
        if child.collection == parts.get(_SET):
            _give(child, "exclude", ours.render.engine not in _EEVEE)
            _give(child, "holdout", True)
        elif child.collection in (parts.get(_HELD), parts.get(_INDIRECT)):
            _give(child, "holdout" if child.collection == parts.get(_HELD) else "indirect_only", True)
    if hasattr(layer, "cycles"):
        _give(layer.cycles, "use_pass_shadow_catcher", is_cycles)


def remove(scene: bpy.types.Scene) -> None:
    """Remove our scene with all that is its own."""
    ours = of(scene)
    if _OURS in scene:
        del scene[_OURS]
    if ours is None or ours.library is not None:
        return
    group = ours.get(_PARTS)
    named = list(group.items()) if hasattr(group, "items") else []
    parts = [block for name, block in named if block is not None and not name.startswith("parted ")]  # the artist's
    del ours[_PARTS]
    bpy.data.scenes.remove(ours)
    bpy.data.batch_remove(parts)


def _empty(ours: Any, layer: str) -> None:
    """Leave of a copied scene its settings, and one view layer."""
    for key in [key for key in ours.keys() if key.startswith("farplane_")]:  # noqa: SIM118
        del ours[key]
    for child in list(ours.collection.children):
        ours.collection.children.unlink(child)
    for obj in list(ours.collection.objects):
        ours.collection.objects.unlink(obj)
    for other in [other for other in ours.view_layers if other.name != layer]:
        ours.view_layers.remove(other)
    ours.view_layers[0].name, ours.view_layers[0].use = LAYER, True
    ours.background_set = None
    ours.sequence_editor_clear()
    if hasattr(ours, "compositing_node_group"):  # 5.0
        ours.compositing_node_group = None
    else:
        if ours.node_tree is not None:
            ours.node_tree.nodes.clear()
        ours.use_nodes = False
    render = ours.render
    render.film_transparent = True
    render.use_compositing = render.use_sequencer = render.use_single_layer = False


def _furnish(ours: Any) -> dict[str, Any]:
    """Our collections in it, and the empty that instances the set."""
    parts: dict[str, Any] = {}
    for name in (_SHOWN, _HELD, _INDIRECT, _SET):
        parts[name] = bpy.data.collections.new(f"Farplane {name}")
        ours.collection.children.link(parts[name])
    parts[_CATCHER] = catcher = bpy.data.objects.new("Farplane Set", None)
    catcher.instance_type, catcher.instance_collection = "COLLECTION", parts[_SET]
    catcher.is_shadow_catcher, catcher[CATCHER] = True, 1.0
    ours.collection.objects.link(catcher)
    return parts


# ---- what is on which side ----------------------------------------------------------------------------------


def _sides(scene: bpy.types.Scene) -> dict[str, set[Any]]:
    """Objects that take part in a render of the scene, by the collection of ours that they belong in."""
    foreground = scope.foreground(scene)
    sides: dict[str, set[Any]] = {name: set() for name in (_SHOWN, _HELD, _INDIRECT, _SET)}
    for one in scope.with_background(scene):
        for layer in scope.used_layers(one) if one == scene else list(one.view_layers)[:1]:
            if layer.layer_collection is None:  # of a scene that was only just made (5.2)
                layer.update()
            is_flagged = _is_flagged(layer.layer_collection)  # asking for each object costs as much as all the rest
            for obj in scope.objects_of(layer.layer_collection, False):
                side = _side(obj, layer if is_flagged else None, obj in foreground)
                if side:
                    sides[side].add(obj)
    sides[_SET] -= sides[_SHOWN]
    sides[_HELD] -= sides[_SHOWN] | sides[_SET]
    sides[_INDIRECT] -= sides[_SHOWN] | sides[_SET] | sides[_HELD]
    return sides


def _side(obj: Any, layer: Any, is_foreground: bool) -> str:
    """Where an object belongs, "" for nowhere: cameras, and the set's volumes, which the plate has.

    layer : the view layer, None where none of its collections is held out or indirect only.
    """
    if obj.type == "CAMERA":
        return ""
    if obj.type in _NO_SURFACE and scope.instanced_collection(obj) is None:
        return _SHOWN
    if layer is not None and not obj.is_holdout and obj.holdout_get(view_layer=layer):
        return _HELD
    if layer is not None and obj.indirect_only_get(view_layer=layer):
        return _INDIRECT
    if is_foreground:
        return _SHOWN
    return "" if obj.type == "VOLUME" or _is_mere_volume(obj) else _SET


def _is_flagged(layer: Any) -> bool:
    """Whether any collection of a view layer is held out or indirect only."""
    return layer.holdout or layer.indirect_only or any(_is_flagged(child) for child in layer.children)


def _is_mere_volume(obj: Any) -> bool:
    """Whether an object's materials fill it and give it no surface: fog, smoke."""
    materials = [slot.material for slot in obj.material_slots if slot.material is not None]
    return bool(materials) and all(fills_only(material) for material in materials)


def _settle(collection: bpy.types.Collection, wanted: set[Any]) -> None:
    """Have the collection hold these objects and no others."""
    held = set(collection.objects)
    for obj in held - wanted:
        collection.objects.unlink(obj)
    for obj in wanted - held:
        collection.objects.link(obj)


def _split(scene: Any) -> dict[str, Any]:
    """For each empty of the set whose instance holds foreground: two of ours that hang on it, one for either side.

    Returns parts of our scene by name: the artist's empty as `parted N`, ours as `set N` and `foreground N`.
    """
    foreground, parts = scope.foreground(scene), dict[str, Any]()
    for obj in sorted(_sides(scene)[_SET], key=lambda obj: obj.name_full):
        inside = scope.instanced_collection(obj)
        held = set(inside.all_objects) if inside is not None else set()
        if inside is None or not held & foreground:
            continue
        number = len(parts)
        parts[f"parted {number}"] = obj
        for side, objects in (("set", held - foreground), ("foreground", held & foreground)):
            collection = bpy.data.collections.new(f"Farplane {obj.name} {side}")
            collection.instance_offset = inside.instance_offset
            _settle(collection, objects)
            empty = bpy.data.objects.new(f"Farplane {obj.name} {side}", None)
            empty.parent, empty.instance_type, empty.instance_collection = obj, "COLLECTION", collection
            parts[f"{side} {number}"], parts[f"{side} {number} holds"] = empty, collection
    return parts


def _part_instances(parts: Any, sides: dict[str, set[Any]]) -> None:
    """Put ours in the place of the empties that `_split` has split."""
    for name, obj in parts.items():
        kind, _, number = name.partition(" ")
        if kind == "parted" and obj in sides[_SET]:
            sides[_SET].discard(obj)
            for side, into in (("set", _SET), ("foreground", _SHOWN)):
                empty = parts.get(f"{side} {number}")
                if isinstance(empty, bpy.types.Object):
                    sides[into].add(empty)
                    _give(empty, "hide_render", obj.hide_render)


# ---- settings -----------------------------------------------------------------------------------------------


def _take_settings(scene: Any, ours: Any) -> None:
    """Those that a render depends on, of every engine that Blender has."""
    for prop in scene.bl_rna.properties:
        name = prop.identifier
        is_added = prop.type == "POINTER" and isinstance(getattr(scene, name), bpy.types.PropertyGroup)
        if name in _TAKEN or (is_added and name != "farplane"):
            _take(scene, ours, prop)
    _take_all(scope.used_layers(scene)[0], ours.view_layers[0])


def _take_all(theirs: Any, ours: Any) -> None:
    for prop in theirs.bl_rna.properties:
        _take(theirs, ours, prop)


def _take(theirs: Any, ours: Any, prop: Any) -> None:
    name = prop.identifier
    if name == "rna_type" or name in _NOT_TAKEN.get(theirs.bl_rna.identifier, ()) or prop.type == "COLLECTION":
        return
    value = getattr(theirs, name)
    if prop.type == "POINTER" and prop.is_readonly:  # a struct within; many of them are no settings
        if (name in _STRUCTS or isinstance(value, bpy.types.PropertyGroup)) and getattr(ours, name) is not None:
            _take_all(value, getattr(ours, name))
    elif not prop.is_readonly:
        _give(ours, name, list(value) if getattr(prop, "is_array", False) else value)


def _give(struct: Any, name: str, value: Any) -> None:
    """Set a property that is another one: each write tells Blender of a change."""
    now = getattr(struct, name)
    if (list(now) if isinstance(value, list) else now) != value:
        setattr(struct, name, value)


def _take_markers(scene: Any, ours: Any) -> None:
    """Those that bind cameras."""
    theirs = [(marker.name, marker.frame, marker.camera) for marker in scene.timeline_markers if marker.camera]
    if [(marker.name, marker.frame, marker.camera) for marker in ours.timeline_markers] != theirs:
        ours.timeline_markers.clear()
        for name, frame, camera in theirs:
            ours.timeline_markers.new(name, frame=frame).camera = camera
