"""The depth of the current frame as it will be sent, over the camera's frame.

It is the real pass, rendered at the plate's size from a stand-in of the scene (passes.py), a moment after the
camera, the frame or the geometry has come to rest.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent
from numpy.typing import NDArray

from ...protocol.errors import FarplaneError
from .. import camera as maths
from .. import scope
from ..passes import PREFIX, is_rendering
from ..scene import Extraction, metres_per_unit, plan_camera
from . import handlers, overlay
from .generate import current_plan, manual_range, plate_size
from .message import Message
from .operators import running_generation
from .session import session
from .view import redraw_views

OWNER = "depth"
REST_SECONDS = 0.3  # without a change before the depth is rendered anew
QUIET_LOOKS = 3
MOST_ECHOES = 4  # more kinds of edits that change nothing, one after the other, end our looking: no end of renders

# Of a render, what makes its depth another one: its shape, its time, and how finely it draws.
_SETTINGS = (
    "resolution_x",
    "resolution_y",
    "pixel_aspect_x",
    "pixel_aspect_y",
    "frame_map_old",
    "frame_map_new",
    "use_simplify",
    "simplify_subdivision_render",
    "simplify_child_particles_render",
    "hair_type",
    "hair_subdiv",
)

_SKY = (0.05, 0.06, 0.12)


@dataclass(frozen=True)
class DepthFrame:
    """One frame's depth, [H, W] metres, and the range that it has by itself."""

    frame: int
    z: NDArray[np.float32]
    near: float
    far: float


@dataclass
class _State:
    seen: Any = None  # what the last look at the scene found
    changed: float = 0.0  # when it last differed
    edits: int = 0  # of geometry
    ours: bool = False  # a stand-in is made, read or taken away just now: no edit of the artist's
    quiet: int = 0  # looks that are still to come before an edit of a collection counts: what we did looks like one
    last: frozenset[Any] | None = None  # what the edit that was counted last in quiet was of
    echoes: set[frozenset[Any]] = field(default_factory=set)  # edits in quiet that changed nothing: ours look so
    rendered: Any = None  # what `frame` was made from
    coloured: Any = None  # the range that the layer shows, or will once the thread has made it
    frame: DepthFrame | None = None
    reading: Extraction | None = None  # what `frame` was read from, until the next tick closes it


_state = _State()


def latest() -> DepthFrame | None:
    """The depth that is shown, for the panel."""
    return _state.frame


def is_open() -> bool:
    """Whether the stand-in that the depth was rendered from is still there."""
    return _state.reading is not None


def begin(scene: bpy.types.Scene, frame: int) -> Extraction:
    """What reads the depth of one frame as it would be sent; to be closed.  Raises FarplaneError."""
    plan = replace(current_plan(scene), frames=(frame,))
    return Extraction(scene, plan, size=plate_size(scene), look=True)


def read(reading: Extraction) -> DepthFrame:
    """Render it.  Raises FarplaneError."""
    while not reading.step():
        pass
    near, far = maths.near_far(reading.z)
    return DepthFrame(reading.plan.frames[0], reading.z[0], near, far)


def picture(z: NDArray[np.float32], near: float, far: float) -> overlay.Picture:
    """Near is white, far is black, as inverse depth; where nothing is hit, a blue of its own."""
    hit = np.isfinite(z)
    inverse = 1.0 / np.clip(np.where(hit, z, far), near, far)
    share = (inverse - 1.0 / far) / (1.0 / near - 1.0 / far)
    rgb = np.repeat(share[..., None], 3, axis=2).astype(np.float32)
    rgb[~hit] = _SKY
    return overlay.Picture.of(overlay.light_of(rgb))


def refresh() -> bool:
    """Bring the layer up to the scene, once it has come to rest; return whether it changed.  The timer calls it."""
    scene = bpy.context.scene
    if bpy.context.window_manager is None or scene is None:
        return False
    if _state.reading is not None:
        if not is_rendering():  # a tick's work by itself: in a large scene Blender takes 30 ms for it
            _close()
            return False
        _state.reading.keep_result()
    if not bpy.context.window_manager.farplane.show_depth:
        gone = bool(overlay.shown(OWNER))
        overlay.show(OWNER, [])
        _state.rendered = _state.frame = None
        return gone
    if running_generation() is not None or is_rendering():
        return False
    _state.quiet = max(0, _state.quiet - 1)
    try:
        seen = _look(scene)
        if seen != _state.seen:
            _state.seen, _state.changed = seen, time.monotonic()
        if seen != _state.rendered and (time.monotonic() - _state.changed > REST_SECONDS or _state.frame is None):
            _state.rendered = seen
            _render(scene)
        return _colour(scene)
    except FarplaneError as error:
        _close()
        session.message = Message.of(error)
        bpy.context.window_manager.farplane.show_depth = False
        return True


def _render(scene: bpy.types.Scene) -> None:
    """Read the current frame's depth; the stand-in stays until the next tick.  Raises FarplaneError."""
    before, _state.ours = _state.frame, True
    try:
        _state.reading = begin(scene, scene.frame_current)
        frame = _state.frame = read(_state.reading)
    finally:
        _state.ours = False
    if before is None or before.frame != frame.frame or not np.array_equal(before.z, frame.z):
        _state.echoes.clear()
    elif _state.last is not None:
        _state.echoes.add(_state.last)
    _state.last = None
    _state.coloured, _state.quiet = None, QUIET_LOOKS


def _close() -> None:
    """Take the stand-in away."""
    reading, _state.reading, _state.quiet = _state.reading, None, QUIET_LOOKS
    if reading is not None:
        _state.ours = True
        try:
            reading.close()
        finally:
            _state.ours = False


def _look(scene: bpy.types.Scene) -> Any:
    """Whatever the depth depends on, as far as it is cheap to see."""
    plan = current_plan(scene)
    camera = plan_camera(scene, plan)
    data: Any = camera.data
    lens = (data.lens, data.sensor_width, data.sensor_height, data.sensor_fit, data.shift_x, data.shift_y)
    matrix = tuple(round(value, 6) for row in camera.matrix_world for value in row)
    size = plate_size(scene)
    clip = data.clip_start, data.clip_end
    place = scene.session_uid, scene.frame_current, camera.session_uid, matrix
    settings = tuple(getattr(scene.render, name) for name in _SETTINGS)
    return *place, lens, clip, size, metres_per_unit(scene), settings, scope.fingerprint(scene), _state.edits


def _colour(scene: bpy.types.Scene) -> bool:
    """Have the frame shown in the range that will be sent; the disk's thread colours it."""
    frame = _state.frame
    if frame is None:
        return False
    wanted = manual_range(scene) or (frame.near, frame.far)
    if wanted == _state.coloured:
        return False
    _state.coloured = wanted

    def show(told: Any) -> None:
        still = _state.frame is frame and _state.coloured == wanted  # else another one is on its way, or none is wanted
        if still and not isinstance(told, FarplaneError):
            overlay.show(OWNER, [overlay.Layer(told)])
            redraw_views()

    session.disk.do(lambda: picture(frame.z, *wanted), show)
    return True


@persistent
def _edited(scene: bpy.types.Scene, depsgraph: Any = None) -> None:
    """Count the edits that move or shape something, or change a material: a leaf may be cut out of its card by one."""
    if depsgraph is None or _state.ours or scene.name.startswith(PREFIX) or _state.frame is None:
        return
    told = _told_by(depsgraph) if _state.quiet else None
    if told in _state.echoes or (_state.quiet and len(_state.echoes) > MOST_ECHOES):
        return
    for update in depsgraph.updates:
        is_echo = _state.quiet > 0 and isinstance(update.id, bpy.types.Collection)
        is_shaped = update.is_updated_geometry or update.is_updated_transform
        is_shaded = update.is_updated_shading and isinstance(update.id, (bpy.types.Material, bpy.types.NodeTree))
        if (is_shaped or is_shaded) and not is_echo:
            _state.edits += 1
            _state.last = told
            return


def _told_by(depsgraph: Any) -> frozenset[Any]:
    """What an edit is of, and how: to tell it from what we did; collections aside, which are told of either way."""
    return frozenset(
        (update.id.original.session_uid, update.is_updated_geometry, update.is_updated_transform)
        for update in depsgraph.updates
        if not isinstance(update.id, bpy.types.Collection)
    )


@persistent
def _undone(*_: object) -> None:
    """An undo or a redo may have changed anything."""
    _state.edits += 1


_HANDLERS = {"depsgraph_update_post": _edited, "undo_post": _undone, "redo_post": _undone}


def register() -> None:
    """Watch for edits, where there is a window."""
    if not bpy.app.background:
        handlers.add(_HANDLERS)


def unregister() -> None:
    """No longer."""
    global _state
    _close()
    _state = _State()
    handlers.remove(_HANDLERS)
