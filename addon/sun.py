"""The scene's sun, as a render has it: which lamp it is, and where it stands in every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .materials import reachable

Key = tuple[Any, ...]  # which lamp: its session_uid, and for an instance those of what makes it and its place in that
_MANY = 10_000  # instances, which take 20 to 50 ms to walk through
_REC709 = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class Sun:
    """A sun lamp in one frame.  strength : of its light, in W/m² as seen.  direction : [3] the unit vector to it."""

    strength: float
    direction: NDArray[np.float64]


@dataclass
class SunTrack:
    """Which suns the frames of a shot show; `see` every frame of it, then ask for `directions`."""

    frames: list[dict[Key, Sun]] = field(default_factory=list)
    _fixed: dict[Key, Any] | None = None  # where instances are many and none is a sun: the lamps that are

    def see(self, depsgraph: bpy.types.Depsgraph, index: int) -> None:
        """Take down the suns of frame `index` of the shot; several view layers may show one frame."""
        while len(self.frames) <= index:
            self.frames.append({})
        self.frames[index].update(self._suns(depsgraph))

    def directions(self) -> NDArray[np.float64] | None:
        """[T, 3] unit directions to the strongest sun of the shot, None where most frames show none.

        The strongest is that which gives most over all frames, so that it does not change within a shot.  In frames
        that do not show it, it stands where the nearest frame has it.
        """
        total: dict[Key, float] = {}
        for frame in self.frames:
            for key, sun in frame.items():
                total[key] = total.get(key, 0.0) + sun.strength
        for key in sorted(total, key=lambda key: (-total[key], str(key))):
            shown = np.array([index for index, frame in enumerate(self.frames) if key in frame])
            if 2 * len(shown) > len(self.frames):
                nearest = [int(shown[np.abs(shown - index).argmin()]) for index in range(len(self.frames))]
                return np.stack([self.frames[index][key].direction for index in nearest])
        return None

    def _suns(self, depsgraph: bpy.types.Depsgraph) -> dict[Key, Sun]:
        if not any(isinstance(block, bpy.types.SunLight) and block.energy > 0 for block in depsgraph.ids):
            return {}
        found: dict[Key, Sun] = {}
        if self._fixed is not None:
            for key, original in self._fixed.items():
                lamp = original.evaluated_get(depsgraph)
                if not lamp.hide_render:
                    _note(found, key, lamp, lamp.matrix_world)
            return found
        count, lamps = 0, {}
        for instance in depsgraph.object_instances:
            count += 1
            lamp = instance.object
            if lamp.type == "LIGHT" and lamp.data.type == "SUN":
                key = _key(instance)
                lamps[key] = lamp.original
                _note(found, key, lamp, instance.matrix_world)
        if count > _MANY and all(len(key) == 1 for key in lamps):
            self._fixed = lamps
        return found


def has_sun(scene: bpy.types.Scene) -> bool:
    """Whether the scene has a sun lamp at all, by itself, in an instance or in its Background Set: a quick look."""
    return any(
        thing.type == "LIGHT" and thing.data.type == "SUN" and thing.data.energy > 0 and not thing.hide_render
        for thing in reachable(scene)
    )


def _key(instance: bpy.types.DepsgraphObjectInstance) -> Key:
    uid = instance.object.original.session_uid
    if not instance.is_instance or instance.parent is None:
        return (uid,)
    return uid, instance.parent.original.session_uid, *instance.persistent_id


def _note(found: dict[Key, Sun], key: Key, lamp: bpy.types.Object, matrix: Any) -> None:
    """Add a lamp that gives light and has a direction; one that is scaled to nothing has none."""
    back = np.array(matrix, dtype=np.float64)[:3, 2]  # it shines along its -Z
    length = float(np.linalg.norm(back))
    strength = _strength(lamp)
    if strength > 0 and np.isfinite(length) and length > 1e-9:
        found[key] = Sun(strength, back / length)


def _strength(lamp: bpy.types.Object) -> float:
    """The light of a sun lamp on a surface that faces it, weighed as the eye does: energy, exposure, colour, and what
    its nodes give where that is a plain Emission."""
    light: Any = lamp.data
    colour = np.array(light.color, np.float64) * light.energy * 2.0 ** getattr(light, "exposure", 0.0)
    if getattr(light, "use_temperature", False):
        colour *= np.array(light.temperature_color, np.float64)
    if light.use_nodes and light.node_tree is not None:
        colour *= _emitted(light.node_tree)
    return float(colour @ _REC709) if lamp.visible_diffuse else 0.0


def _emitted(tree: Any) -> NDArray[np.float64]:
    """[3] what a lamp's nodes multiply its light by; where they are more than an Emission with set values, 1."""
    for shader in _emissions(tree):
        colour, strength = shader.inputs["Color"], shader.inputs["Strength"]
        factor = 1.0 if strength.is_linked else strength.default_value
        return factor * (np.ones(3) if colour.is_linked else np.array(colour.default_value, np.float64)[:3])
    return np.ones(3)


def _emissions(tree: Any) -> Iterator[Any]:
    """The Emission that a lamp's output takes its light from directly."""
    for node in tree.nodes:
        if node.bl_idname == "ShaderNodeOutputLight" and node.is_active_output:
            for link in node.inputs["Surface"].links:
                if link.from_node.bl_idname == "ShaderNodeEmission" and not link.from_node.mute:
                    yield link.from_node
