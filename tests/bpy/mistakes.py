"""What can be wrong with a scene: changes that make it so, for the panel's tests and the command line's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Change = Callable[[Any], object]


def frames(first: int, last: int) -> Change:
    """Another range."""

    def change(scene: Any) -> None:
        scene.frame_step, scene.frame_start, scene.frame_end = 1, first, last

    return change


def size(width: int, height: int, percentage: int = 100) -> Change:
    """Another resolution."""

    def change(scene: Any) -> None:
        render = scene.render
        render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, percentage

    return change


def camera(**values: Any) -> Change:
    """Other values of the camera's object."""
    return lambda scene: [setattr(scene.camera, name, value) for name, value in values.items()]


def lens(kind: str) -> Change:
    """Another kind of camera."""
    return lambda scene: setattr(scene.camera.data, "type", kind)


def depth_with(value: float, width: int, height: int) -> Callable[[Any, Any], NDArray[np.float32]]:
    """What stands in for PassRenderer.depth: 5 m everywhere but in one pixel."""

    def depth(self: Any, view: Any) -> NDArray[np.float32]:
        z = np.full((height, width), 5.0, np.float32)
        z[3, 4] = value
        return z

    return depth
