"""Lens and axis maths: a Blender camera's numbers to the pinhole camera that goes on the wire.

numpy only.  Legend: T frames, H rows, W columns.  Blender's camera looks along its -z with +y up; ours (OpenCV)
looks along +z with +y down.  Pixel centres lie at +0.5; row 0 is the top of the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..protocol.errors import FarplaneError
from ..protocol.shot import MAX_SIDE, MIN_SIDE

SensorFit = Literal["AUTO", "HORIZONTAL", "VERTICAL"]

# Blender camera axes to OpenCV camera axes: y and z change sign.
_OPENCV_FROM_BLENDER = np.diag([1.0, -1.0, -1.0])

# Axes of an unsheared rig leave the evaluation in float32, at right angles to about 2e-7.  Below this bound an angle
# is rounding and is dropped (at most 0.001 px on a 2000 px lens); above it, it is shear and is kept.
_SHEAR_IS_ROUNDING = 5e-7

SKY_RANGE = (0.1, 1000.0)  # metres, of a shot that shows nothing but sky
_LONGEST_PIXEL = 200.0  # Blender's pixel aspect goes from 1 to this
_MORE_COSTS = 8.0  # pixels over the model's own area cost as much as eight below it: it would have to scale them
_SHAPE_COSTS = 20.0  # an error of a plate's shape by 1% counts as one of its area by 20%

# A stretch of the depth range by more than this, by under one pixel in a thousand, is an outlier.
_OUTLIER_STRETCH = 2.0
_OUTLIER_SHARE = 1e-3


@dataclass(frozen=True)
class Lens:
    """A perspective lens in Blender's own terms.

    focal, sensor_width, sensor_height : millimetres.
    shift_x, shift_y : in units of the side that the sensor is fitted to, positive right and up.
    """

    focal: float
    sensor_width: float
    sensor_height: float
    sensor_fit: SensorFit
    shift_x: float
    shift_y: float


@dataclass(frozen=True, eq=False)
class CameraView:
    """One frame's camera as Blender evaluated it.

    matrix_world : [4, 4] float64, Blender axes, may hold scale and shear.
    clip_start, clip_end : Blender units along the camera's axis.
    """

    frame: int
    lens: Lens
    matrix_world: NDArray[np.float64]
    clip_start: float
    clip_end: float


@dataclass(frozen=True, eq=False)
class Pinhole:
    """One frame's camera as the wire carries it.

    K : [3, 3] float64 pixels.  world_from_camera : [4, 4] float64, OpenCV axes, rigid, metres.
    depth_scale : what Blender's own depth is multiplied by to be metres along this camera's z; 1 without shear.
    """

    K: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]
    depth_scale: float


@dataclass(frozen=True)
class Frame:
    """What a scene renders: width x height pixels, each of which measures aspect_x by aspect_y.

    A plate of any size and shape shows this frame from edge to edge: it is the same camera through another K.
    """

    width: int
    height: int
    aspect_x: float = 1.0
    aspect_y: float = 1.0

    @staticmethod
    def of(render: Any) -> Frame:
        """The frame of a scene's render settings, percentage included, as Blender rounds it."""
        percent = render.resolution_percentage
        sides = render.resolution_x * percent // 100, render.resolution_y * percent // 100
        return Frame(*sides, render.pixel_aspect_x, render.pixel_aspect_y)

    @property
    def pixel_aspect(self) -> float:
        """The width of a pixel by its height."""
        return self.aspect_x / self.aspect_y

    @property
    def shape(self) -> float:
        """The frame's width by its height, as it is looked at."""
        return self.width * self.pixel_aspect / self.height

    def intrinsics(self, lens: Lens, size: tuple[int, int] | None = None) -> NDArray[np.float64]:
        """K [3, 3] in pixels of a plate of (w, h) = `size`, the frame's own where none is given."""
        K = intrinsics(lens, self.width, self.height, self.aspect_x, self.aspect_y)
        if size is None or size == (self.width, self.height):
            return K
        return np.diag([size[0] / self.width, size[1] / self.height, 1.0]) @ K

    def pixels_of(self, size: tuple[int, int]) -> tuple[float, float]:
        """Blender's pixel aspect (x, y), neither below 1, with which a render of `size` shows this frame.

        Raises FarplaneError for a size that is farther from the frame's shape than Blender's pixels can be.
        """
        if size == (self.width, self.height):
            return self.aspect_x, self.aspect_y
        x, y = self.width * self.aspect_x / size[0], self.height * self.aspect_y / size[1]
        x, y = x / min(x, y), y / min(x, y)
        if max(x, y) > _LONGEST_PIXEL:
            problem = f"{size[0]}x{size[1]} is too far from the scene's {self.width}x{self.height}"
            raise FarplaneError("resolution", problem, "Choose a size nearer to the scene's shape")
        return x, y

    def size_near(self, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """A plate's (w, h) of this frame's shape, pixels square to half a pixel of a side, for a model that renders
        `sizes` best.

        One side is a multiple of what those sides share, so that the frame fills the model's picture in that direction
        without being scaled; of these the one nearest to the largest size's area and to the frame's shape.
        """
        largest = max(sizes, key=lambda size: size[0] * size[1])
        step, area = math.gcd(*largest), largest[0] * largest[1]
        found = {(side, round(side / self.shape)) for side in range(step, MAX_SIDE + 1, step)}
        found |= {(round(side * self.shape), side) for side in range(step, MAX_SIDE + 1, step)}
        found = {size for size in found if min(size) >= MIN_SIDE and max(size) <= MAX_SIDE} or {largest}

        def cost(size: tuple[int, int]) -> float:
            shape, more = abs(math.log(size[0] / size[1] / self.shape)), math.log(size[0] * size[1] / area)
            return max(-more, _MORE_COSTS * more) + _SHAPE_COSTS * shape

        return min(found, key=cost)


def intrinsics(
    lens: Lens, width: int, height: int, aspect_x: float = 1.0, aspect_y: float = 1.0
) -> NDArray[np.float64]:
    """Return K [3, 3] in pixels of a `width` x `height` image whose pixels measure aspect_x by aspect_y.

    The lens is fitted as Blender fits it: the sensor's width spans the image's width (HORIZONTAL), its height spans
    the image's height (VERTICAL), or its *width* spans whichever side is longer once pixels are made square (AUTO).
    The shift is counted in the fitted side.  Tested against Object.calc_matrix_camera.
    """
    if not lens.focal > 0:
        raise FarplaneError("camera", f"its focal length is {lens.focal:g} mm", "Give the camera a lens above 1 mm")
    tall = aspect_y / aspect_x  # height of a pixel whose width is 1
    fit = lens.sensor_fit
    if fit == "AUTO":
        fit = "HORIZONTAL" if width * aspect_x >= height * aspect_y else "VERTICAL"
    fitted = width if fit == "HORIZONTAL" else height * tall  # the fitted side, in pixel widths
    sensor = lens.sensor_height if lens.sensor_fit == "VERTICAL" else lens.sensor_width
    focal = fitted * lens.focal / sensor  # in pixel widths
    return np.array(
        [
            [focal, 0.0, width / 2 - lens.shift_x * fitted],
            [0.0, focal / tall, height / 2 + lens.shift_y * fitted / tall],
            [0.0, 0.0, 1.0],
        ]
    )


def intrinsics_of(projection: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """K [3, 3] in pixels of a width x height image of Blender's projection [4, 4] (Object.calc_matrix_camera)."""
    P = projection
    return np.array(
        [
            [P[0, 0] * width / 2, 0.0, (1 - P[0, 2]) * width / 2],
            [0.0, P[1, 1] * height / 2, (1 + P[1, 2]) * height / 2],
            [0.0, 0.0, 1.0],
        ]
    )


def pinhole(matrix_world: NDArray, K: NDArray) -> Pinhole:
    """Turn Blender's evaluated camera `matrix_world` [4, 4] and K into a rigid camera.

    Blender normalises each axis of the matrix, which removes scale and keeps shear (from a parent that is rotated
    and scaled unevenly).  A sheared camera is still a pinhole: with axes M = R S, S upper triangular,
    K M^-1 = (K S^-1) R^T, so that R is the pose and the shear moves into K as skew.

    Raises FarplaneError for NaN, a vanishing axis, or a mirrored camera.
    """
    matrix = np.asarray(matrix_world, dtype=np.float64)
    if not np.isfinite(matrix).all():
        raise FarplaneError("camera", "its matrix holds NaN or infinity", "Check the camera's drivers and constraints")
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if lengths.min() < 1e-12:
        raise FarplaneError("camera", "it is scaled to zero", "Give the camera and its parents a scale above zero")
    axes = (matrix[:3, :3] / lengths) @ _OPENCV_FROM_BLENDER
    if np.linalg.det(axes) <= 1e-9:
        raise FarplaneError("camera", "it is mirrored or flattened by its scale", "Apply the scale of the camera rig")
    R, S = np.linalg.qr(axes)
    signs = np.sign(np.diag(S))
    R, S = R * signs, S * signs[:, None]  # positive diagonal: the decomposition is then unique
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = R, matrix[:3, 3]
    if np.abs(S - np.eye(3)).max() < _SHEAR_IS_ROUNDING:
        return Pinhole(np.asarray(K, dtype=np.float64), pose, 1.0)
    sheared = K @ np.linalg.inv(S)
    return Pinhole(sheared / sheared[2, 2], pose, float(S[2, 2]))


def project(points: NDArray, K: NDArray, world_from_camera: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project world points [N, 3]: pixel positions [N, 2] (x right, y down) and depth [N] along the camera's z."""
    R, t = world_from_camera[:3, :3], world_from_camera[:3, 3]
    seen = np.einsum("ni,ij->nj", np.asarray(points, dtype=np.float64) - t, R)  # rows: R^T (p - t)
    pixels = seen @ K.T
    return pixels[:, :2] / pixels[:, 2:], seen[:, 2]


def near_far(z: NDArray[np.float32]) -> tuple[float, float]:
    """Return one (near, far) in metres for the shot's depth z [T, H, W] (inf: nothing hit).

    Where nothing is hit in any frame it is SKY_RANGE.  Else it is the range of the finite depth, unless under a thousandth of its pixels stretch it to more than double at
    that end (a twig at the lens, a plane that runs to the horizon): then it ends where those pixels begin.
    """
    finite = z[np.isfinite(z)]
    if finite.size == 0:
        return SKY_RANGE
    # At most about 4 million samples: enough for a thousandth, and fast for a long shot.
    sample = finite[:: max(1, finite.size >> 22)]
    usual_near, usual_far = (float(q) for q in np.quantile(sample, [_OUTLIER_SHARE, 1 - _OUTLIER_SHARE]))
    near, far = float(finite.min()), float(finite.max())
    near = usual_near if near * _OUTLIER_STRETCH < usual_near else near
    far = usual_far if far > usual_far * _OUTLIER_STRETCH else far
    if far < near * 1.02:  # a flat wall seen square on: give the range some width
        near, far = near * 0.99, far * 1.01
    return near, far
