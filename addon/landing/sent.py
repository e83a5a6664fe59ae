"""The cameras of a take as they were sent: where a point of the scene lay in the plate, and how deep.

Legend: N points; K [3, 3] pixels; world_from_camera [4, 4], OpenCV axes, metres.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...protocol.errors import FarplaneError
from .. import takes
from .plate import Plate


@dataclass(frozen=True)
class SentFrame:
    """The camera of one frame of a shot, as it was sent.  size : (W, H) of the plate in pixels."""

    K: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]
    size: tuple[int, int]

    @property
    def centre(self) -> NDArray[np.float64]:
        """[3] where the camera stood, in metres."""
        return self.world_from_camera[:3, 3]

    @property
    def rows(self) -> NDArray[np.float64]:
        """[3, 3]: times (point - centre) in metres it gives (u w, v w, w), u right and v up over the frame, w depth."""
        width, height = self.size
        over_frame = np.stack([self.K[0] / width, self.K[2] - self.K[1] / height, self.K[2]])
        return over_frame @ self.world_from_camera[:3, :3].T

    @property
    def pixel(self) -> float:
        """The widest angle of a pixel, in radians."""
        return float(1.0 / min(self.K[0, 0], self.K[1, 1]))

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Project points [N, 3] in metres: (u w, v w, w) [N, 3], w the depth in metres."""
        return (points - self.centre) @ self.rows.T


def sent_frames(plate: Plate, frames: Iterable[int]) -> list[SentFrame]:
    """Read what was sent for `frames`.  Raises FarplaneError where the take does not tell."""
    data = takes.read_json(plate.folder / "shot.json")
    try:
        entries = {int(item["frame"]): item for item in data["frames"]}
        width, height = (int(value) for value in data["resolution"])
        found = [
            SentFrame(
                np.array(entries[frame]["K"], np.float64),
                np.array(entries[frame]["world_from_camera"], np.float64),
                (width, height),
            )
            for frame in frames
        ]
        if min(width, height) < 1 or not all(_is_camera(sent) for sent in found):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise FarplaneError(
            "take", "its shot.json tells no camera for this frame", "Generate the take again"
        ) from error
    return found


def _is_camera(sent: SentFrame) -> bool:
    if sent.K.shape != (3, 3) or sent.world_from_camera.shape != (4, 4):
        return False
    numbers = np.concatenate([sent.K.ravel(), sent.world_from_camera.ravel()])
    return bool(np.isfinite(numbers).all() and min(sent.K[0, 0], sent.K[1, 1]) > 0)
