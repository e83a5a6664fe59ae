"""Two takes in one frame: left of the split the one that was marked, right of it the chosen one.

The frames are read by the disk's thread, those of a few frames are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import bpy

from ...protocol.errors import FarplaneError
from .. import takes
from ..exr import read_rgb
from . import overlay
from .message import Message
from .operators import FINISHED, _Operator
from .session import session
from .takes_operators import selected
from .view import redraw_views

OWNER = "compare"
MAX_KEPT = 16  # pictures

Key = tuple[str, int]
_kept: OrderedDict[Key, overlay.Picture] = OrderedDict()
_asked: set[Key] = set()
_shown: tuple[Key, Key, float] | None = None


class FARPLANE_OT_compare(_Operator):
    """Compare this take with another: mark it, then choose the other one. Once more ends it"""

    of_takes = True
    bl_idname = "farplane.compare"
    bl_label = "Compare"
    bl_options = {"REGISTER"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Mark the chosen take, or end the comparison."""
        view = context.window_manager.farplane
        if view.compare:
            view.compare = ""
        else:
            found = selected()
            if found is None or not found.take.whole:
                return self.tell(FarplaneError("take", "none is chosen that is whole", "Choose one in the list"))
            view.compare = str(found.take.folder)
            _choose_another(view)
        refresh()
        redraw_views()
        return FINISHED


def refresh() -> bool:
    """Show the two takes at the scene's frame, or nothing; return whether that changed.  The timer calls it."""
    global _shown
    window_manager, scene = bpy.context.window_manager, bpy.context.scene
    if window_manager is None or scene is None:
        return False
    view = window_manager.farplane
    other = selected() if view.compare else None
    if other is None or not other.take.whole:
        changed, _shown = _shown is not None, None
        overlay.show(OWNER, [])
        if not view.compare:
            _kept.clear()
        return changed
    marked = session.find(Path(view.compare))
    left = (view.compare, _nearest(Path(view.compare), scene.frame_current))
    right = (str(other.take.folder), _nearest(other.take.folder, scene.frame_current))
    if _shown == (left, right, view.split):
        return False
    pictures = [_picture(key) for key in (left, right)]
    if pictures[0] is None or pictures[1] is None:
        return False  # still being read: what was shown stays
    _shown = (left, right, view.split)
    labels = ("" if marked is None else marked.take.label, other.take.label)
    overlay.show(OWNER, layers(pictures[0], pictures[1], view.split, labels))
    return True


def layers(
    left: overlay.Picture, right: overlay.Picture, split: float, labels: tuple[str, str] = ("", "")
) -> list[overlay.Layer]:
    """Two layers that meet at `split`, 0 … 1 of the frame's width."""
    return [
        overlay.Layer(left, 0.0, split, label=labels[0]),
        overlay.Layer(right, split, 1.0, label=labels[1]),
    ]


def _choose_another(view: Any) -> None:
    """Choose the take below the marked one, or above the last: a comparison needs two."""
    if len(view.takes) > 1:
        view.take_index += 1 if view.take_index + 1 < len(view.takes) else -1


def _nearest(folder: Path, frame: int) -> int:
    """The take's frame that is shown at `frame`: the last one not after it, else its first."""
    found = session.find(folder)
    numbers = found.take.expected if found is not None else ()
    return max((n for n in numbers if n <= frame), default=min(numbers, default=frame))


def _picture(key: Key) -> overlay.Picture | None:
    """From memory, or asked for: then None until it is there."""
    if key in _kept:
        _kept.move_to_end(key)
        return _kept[key]
    if key not in _asked:
        _asked.add(key)
        session.disk.do(lambda: _read(key), lambda told: _keep(key, told))
    return None


def _read(key: Key) -> overlay.Picture:
    """In the disk's thread.  Raises FarplaneError."""
    folder, frame = key
    return overlay.Picture.of(read_rgb(Path(folder) / takes.plate_name(frame)))


def _keep(key: Key, told: Any) -> None:
    _asked.discard(key)
    if isinstance(told, FarplaneError):
        session.message = Message.of(told)
        bpy.context.window_manager.farplane.compare = ""
        return
    _kept[key] = told
    while len(_kept) > MAX_KEPT:
        _kept.popitem(last=False)


CLASSES = (FARPLANE_OT_compare,)


def unregister() -> None:
    """Remove it."""
    global _shown
    _kept.clear()
    _asked.clear()
    _shown = None
