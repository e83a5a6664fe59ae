"""What an artist should know of a shot before looking at its plate, in one line each.

None of it is a mistake: the shot is sent as Blender renders it.  Part can be told by a look at the scene (`scene_notes`),
part only from what was rendered (`depth_notes`, which scene.Extraction.notes tells once its depth is read).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .materials import reachable
from .scope import is_hidden_always

MOST_NAMED = 3
_SAME = 1e-4  # of a depth: Workbench's buffer steps by less, and two leaves lie farther apart
SMALLEST_SHARE = 1e-3  # of a frame; less is a pixel at an edge


class Note(str):
    """One line, in English with its values; the panel looks for its template (ui/translations.filled)."""


def scene_notes(scene: bpy.types.Scene) -> list[Note]:
    """Notes that a look at the scene tells: physics without a bake, stereo."""
    notes: list[Note] = []
    loose = sorted(set(_unbaked(scene)))
    if loose:
        names = _named(loose)
        notes.append(
            Note(
                f"physics without a bake ({names}): sent as Blender renders it now, and another render may differ; "
                "bake it first"
            )
        )
    packed = sorted(set(_perhaps_packed(scene)))
    if packed:
        names = _named(packed)
        notes.append(
            Note(
                f"physics of simulation nodes ({names}): another render may differ where they are not baked; bake them "
                "first"
            )
        )
    if scene.render.use_multiview:
        notes.append(Note("stereo: the scene renders two eyes, and the plate is made for the camera between them"))
    return notes


@dataclass(frozen=True)
class Beyond:
    """What of a frame is not in its depth though there is geometry, as shares of the frame.

    clipped : it begins behind the camera's clip end.  veiled : it lies behind more transparent surfaces than Cycles
    passes through; the last of these is in the depth instead.
    """

    frame: int
    clipped: float
    veiled: float


def beyond(frame: int, sent: NDArray[np.float32], whole: NDArray[np.float32], clip_end: float) -> Beyond:
    """Compare a frame's depth [H, W] as sent with `whole`, its depth without limits; all in one unit, inf for nothing."""
    clipped = np.isinf(sent) & np.isfinite(whole) & (whole >= clip_end * (1 - 1e-6))
    with np.errstate(invalid="ignore"):  # inf by inf
        differs = ~(np.abs(whole / sent - 1) < _SAME) & ~(np.isinf(sent) & np.isinf(whole))
    return Beyond(frame, float(clipped.mean()), float((differs & ~clipped).mean()))


def depth_notes(found: list[Beyond], clip_end: float, bounces: int) -> list[Note]:
    """Notes on the frames that were looked at: the worst one is named.

    clip_end : in Blender's units, as the camera's panel shows it.  bounces : Cycles' transparent bounces.
    """
    notes: list[Note] = []
    clipped = max(found, key=lambda one: one.clipped, default=None)
    if clipped is not None and clipped.clipped > SMALLEST_SHARE:
        share, end = _share(clipped.clipped), f"{clip_end:g}"
        notes.append(
            Note(
                f"depth: in {share} of frame {clipped.frame} geometry lies beyond the camera's clip end ({end}), and is "
                "sky in the plate; raise Clip End, or hide it"
            )
        )
    veiled = max(found, key=lambda one: one.veiled, default=None)
    if veiled is not None and veiled.veiled > SMALLEST_SHARE:
        share = _share(veiled.veiled)
        notes.append(
            Note(
                f"depth: {share} of frame {veiled.frame} lies behind more than {bounces} transparent surfaces: Cycles "
                "renders it black, and the plate has a wall there; raise Light Paths > Transparent"
            )
        )
    return notes


def _share(share: float) -> str:
    return f"{100 * share:.1f}%" if share < 0.1 else f"{100 * share:.0f}%"


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


# -- physics ----------------------------------------------------------------------------------------------------------


def _unbaked(scene: bpy.types.Scene) -> Iterator[str]:
    """What is simulated while it renders, by the names that the artist gave."""
    world = scene.rigidbody_world
    if world is not None and world.enabled and world.collection is not None and not world.point_cache.is_baked:
        bodies = [thing.rigid_body for thing in world.collection.objects if thing.rigid_body is not None]
        if any(body.type == "ACTIVE" and body.enabled and not body.kinematic for body in bodies):
            yield "rigid bodies"
    for modifier in _modifiers(scene):
        if _is_loose(modifier):
            yield f"{modifier.id_data.name}: {modifier.name}"


def _is_loose(modifier: Any) -> bool:
    """Whether a modifier simulates and its result lies in no cache."""
    match modifier.type:
        case "CLOTH" | "SOFT_BODY":
            return not modifier.point_cache.is_baked
        case "FLUID":
            return modifier.fluid_type == "DOMAIN" and not modifier.domain_settings.has_cache_baked_any
        case "DYNAMIC_PAINT":
            canvas = modifier.canvas_settings
            surfaces = canvas.canvas_surfaces if modifier.ui_type == "CANVAS" and canvas is not None else ()
            return any(
                one.is_active and one.surface_format == "VERTEX" and not one.point_cache.is_baked for one in surfaces
            )
        case "PARTICLE_SYSTEM":
            return _is_loose_particles(modifier.particle_system)
        case "NODES":
            return any(
                not _may_be_packed(bake, modifier) and not _is_on_disk(bake, modifier) for bake in _zones(modifier)
            )
    return False


def _is_loose_particles(particles: Any) -> bool:
    settings = particles.settings
    if settings.type == "HAIR":
        return bool(particles.use_hair_dynamics) and not particles.point_cache.is_baked
    return settings.physics_type != "NO" and not particles.point_cache.is_baked


def _perhaps_packed(scene: bpy.types.Scene) -> Iterator[str]:
    """Simulation zones whose bake would lie in the file, where no script can see it (since 5.0)."""
    for modifier in _modifiers(scene):
        zones = _zones(modifier) if modifier.type == "NODES" else []
        if any(_may_be_packed(bake, modifier) and not _is_on_disk(bake, modifier) for bake in zones):
            yield f"{modifier.id_data.name}: {modifier.name}"


def _modifiers(scene: bpy.types.Scene) -> Iterator[Any]:
    """Those that a render of the scene may show."""
    for thing in reachable(scene):
        if not is_hidden_always(thing):
            yield from (modifier for modifier in thing.modifiers if modifier.show_render)


def _zones(modifier: Any) -> list[Any]:
    """The bakes of a modifier's simulation zones, nested groups' as well."""
    zones = (bake for bake in modifier.bakes if bake.node is not None)
    return [bake for bake in zones if bake.node.bl_idname == "GeometryNodeSimulationOutput"]


def _may_be_packed(bake: Any, modifier: Any) -> bool:
    target = getattr(bake, "bake_target", "DISK")
    return (getattr(modifier, "bake_target", "DISK") if target == "INHERIT" else target) == "PACKED"


def _is_on_disk(bake: Any, modifier: Any) -> bool:
    """Whether the folder of a zone's bake holds one."""
    library = modifier.id_data.library
    if bake.use_custom_path:
        folder = bpy.path.abspath(bake.directory, library=library)
    elif modifier.bake_directory:
        folder = os.path.join(bpy.path.abspath(modifier.bake_directory, library=library), str(bake.bake_id))
    else:
        return False
    meta = os.path.join(folder, "meta")
    return os.path.isdir(meta) and any(os.scandir(meta))
