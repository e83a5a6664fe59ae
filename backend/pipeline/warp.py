"""Carrying a picture from one camera to another through exact depth.

Legend: H rows, W columns, C channels.  Depth is camera-plane z in metres, `inf` for sky.  K in pixels, centres at
+0.5; world_from_camera has OpenCV axes (x right, y down, z forward).  float32 pictures, float64 matrices.

A pixel p = (x, y, 1) of camera u with inverse depth w = 1/z lies, in camera t's picture, at

    q = K_t R K_u^-1 p + w K_t T        with camera_t_from_camera_u = [R | T]

so that sky (w = 0) needs no case of its own, and 1/z' = w / (R K_u^-1 p + w T)_z is the inverse depth that camera t
must have seen there, if nothing stood before it.  Inverse depth is linear across a plane, which is why it, and not
depth, is what gets interpolated.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Z_TOLERANCE = 0.02  # of the depth: past this another surface was seen
BORDER = 8  # pixels along the frame's edge that take no part


class Camera(NamedTuple):
    """One pinhole camera.  K [3, 3] pixels; world_from_camera [4, 4], rigid, metres."""

    K: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]


class Carried(NamedTuple):
    """A picture seen from another camera.  picture [H, W(, C)] float32; visible [H, W] bool."""

    picture: NDArray[np.float32]
    visible: NDArray[np.bool_]


class Lookup(NamedTuple):
    """Where camera u's pixels lie in camera t's picture.

    x, y : [H, W] float32, pixels of t, centres at +0.5.
    inverse_depth : [H, W] float32, 1/metres that t must see there; 0 for sky; negative behind camera t.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    inverse_depth: NDArray[np.float32]


def inverse_depth(depth: NDArray) -> NDArray[np.float32]:
    """1/z [H, W] float32: 0 for sky.  A depth that is not above zero counts as sky."""
    depth = np.asarray(depth, np.float32)
    with np.errstate(divide="ignore"):
        return np.where(depth > 0, 1.0 / depth, 0.0).astype(np.float32)


def lookup(camera_t: Camera, depth_u: NDArray, camera_u: Camera) -> Lookup:
    """Where each pixel of camera u, at its own depth, lies in camera t's picture."""
    height, width = depth_u.shape
    # float64 up to here: world coordinates may be kilometres from the origin, the difference of two cameras is not.
    t_from_u = np.linalg.inv(camera_t.world_from_camera) @ camera_u.world_from_camera
    ray = t_from_u[:3, :3] @ np.linalg.inv(camera_u.K)
    image, shift = camera_t.K @ ray, camera_t.K @ t_from_u[:3, 3]
    x = np.arange(width, dtype=np.float64) + 0.5
    y = np.arange(height, dtype=np.float64)[:, None] + 0.5
    w = inverse_depth(depth_u)

    def row(coefficients: NDArray, move: float) -> NDArray[np.float32]:
        flat = (coefficients[0] * x + (coefficients[1] * y + coefficients[2])).astype(np.float32)
        return flat + np.float32(move) * w

    z = row(ray[2], t_from_u[2, 3])  # depth in t as a multiple of the depth in u
    front = z > 1e-6
    safe = np.where(front, z, 1.0)
    return Lookup(
        x=np.where(front, row(image[0], shift[0]) / safe, -1e6).astype(np.float32),
        y=np.where(front, row(image[1], shift[1]) / safe, -1e6).astype(np.float32),
        inverse_depth=np.where(front, w / safe, -1.0).astype(np.float32),
    )


def sample(picture: NDArray, at: Lookup) -> NDArray[np.float32]:
    """Bilinear picture [H, W(, C)] at the looked-up places; the edge is repeated outside."""
    picture = np.ascontiguousarray(picture, np.float32)
    # remap counts from pixel centres, and rounds its weights to 1/32 pixel: 0.016 px at most.
    found = cv2.remap(picture, at.x - 0.5, at.y - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)


def visible(at: Lookup, depth_t: NDArray, *, tolerance: float = Z_TOLERANCE, border: int = BORDER) -> NDArray[np.bool_]:
    """[H, W]: camera t saw the same point, and neither pixel lies within `border` of its frame's edge."""
    height, width = depth_t.shape
    seen = sample(inverse_depth(depth_t), at)
    same = np.abs(seen - at.inverse_depth) <= tolerance * at.inverse_depth  # sky: 0 <= 0
    inside = (at.x >= border) & (at.x <= width - border) & (at.y >= border) & (at.y <= height - border)
    same &= inside & (at.inverse_depth >= 0)
    if border:
        same[:border], same[-border:] = False, False
        same[:, :border], same[:, -border:] = False, False
    return same


def carry(
    frame_t: NDArray,
    depth_t: NDArray,
    camera_t: Camera,
    depth_u: NDArray,
    camera_u: Camera,
    *,
    tolerance: float = Z_TOLERANCE,
    border: int = BORDER,
) -> Carried:
    """Frame t as camera u sees it: backward lookup through u's own depth, with a z-test for visibility.

    frame_t [H, W(, C)] any float encoding; depths [H, W] metres.  All of one size.  What is not visible in t holds
    whatever t shows at that place: use it only under the mask.
    """
    at = lookup(camera_t, depth_u, camera_u)
    return Carried(sample(frame_t, at), visible(at, depth_t, tolerance=tolerance, border=border))


def motion(at: Lookup) -> NDArray[np.float32]:
    """How far each pixel moves between the two pictures, [H, W] pixels."""
    height, width = at.x.shape
    x = np.arange(width, dtype=np.float32) + np.float32(0.5)
    y = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
    return np.hypot(at.x - x, at.y - y)
