"""A take behind the camera: visible in the viewport when looking through it, never in a render."""

from __future__ import annotations

import re
from typing import Any

import bpy

from ...protocol.errors import FarplaneError
from . import set_view
from .plate import TAG, Plate, curve_collections, drop_action, follow, plate_image, tagged
from .record import Entry, entries

_SHOWN = "farplane_show_background_images"  # on the camera: the switch as the artist had it
_PATH = re.compile(r"background_images\[(\d+)\]\.image_user\.frame_offset")


def land(scene: bpy.types.Scene, camera: bpy.types.Object, plate: Plate) -> None:
    """Add the plate as the camera's background image, shown during the shot's frames only."""
    data: Any = camera.data
    if data.library is not None:  # a change to it would be lost when the file is opened again
        remedy = "Make it a library override: Object > Library Override > Make"
        raise FarplaneError("camera", f"{camera.name} is linked from another file", remedy)
    image = plate_image(plate)
    if _SHOWN not in data:
        data[_SHOWN] = data.show_background_images
    data.show_background_images = True
    background = data.background_images.new()
    background.image = image
    background.source = "IMAGE"
    background.alpha = 1.0
    background.display_depth = "BACK"
    background.frame_method = "STRETCH"  # the plate's frame is the camera's frame, whatever its pixel count
    index = len(data.background_images) - 1
    follow(background.image_user, data, f"background_images[{index}].image_user.frame_offset", plate)


def remove(scene: bpy.types.Scene, entry: Entry) -> None:
    """Take the background away again, from whichever camera shows it; with the last one the set is shown again."""
    if not any(other.kind == entry.kind for other in entries(scene)):
        set_view.show(scene)
    for data in bpy.data.cameras:
        ours = [i for i, bg in enumerate(data.background_images) if bg.image and tagged([bg.image], entry.id)]
        for index in reversed(ours):
            data.background_images[index].image = None  # removing alone leaves a user on the image
            data.background_images.remove(data.background_images[index])
            _close_gap(data, index)
        left = any(bg.image and TAG in bg.image for bg in data.background_images)
        if ours and not left and _SHOWN in data:
            data.show_background_images = bool(data[_SHOWN])
            del data[_SHOWN]


def _close_gap(data: bpy.types.Camera, removed: int) -> None:
    """Remove the keys of background `removed` and renumber those of the later ones (their paths hold an index)."""
    animation = data.animation_data
    if animation is None or animation.action is None:
        return
    for curves in curve_collections(animation.action):
        for curve in list(curves):
            match = _PATH.fullmatch(curve.data_path)
            if match and int(match[1]) == removed:
                curves.remove(curve)
            elif match and int(match[1]) > removed:
                curve.data_path = f"background_images[{int(match[1]) - 1}].image_user.frame_offset"
    empty = not any(len(curves) for curves in curve_collections(animation.action))
    if empty and not animation.drivers and not animation.nla_tracks:
        drop_action(data)
