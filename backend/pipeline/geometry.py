"""What farplane-s is told of a shot's geometry: surface channels, camera rays, and noise that clings to surfaces.

Legend: T frames, H rows, W columns; depth [T, H, W] camera-plane metres, inf for sky; K [T, 3, 3] pixels;
pose [T, 4, 4] world_from_camera in OpenCV axes.  All lengths are divided by the shot's own scale, so that a
blockout in metres and one in kilometres look the same to the network.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from ...protocol.shot import CameraTrack

PLAIN_CHANNELS = 10  # root of inverse depth, log depth, kind, normal (3), height; facing, towards, palette
PATTERN_CHANNELS = 4  # three sizes of clouds or grain, from the widest; windows (pattern.py)
BASE_CHANNELS = 4  # base colour (3), whether it is told (base_channels)
SURFACE_CHANNELS = PLAIN_CHANNELS + PATTERN_CHANNELS + BASE_CHANNELS
RAY_CHANNELS = 6  # direction (3), moment (3)
GROUP = 4  # frames to a latent frame
KEY_EVERY = 8  # frames between the frames that own noise
PLUMB = 0.02  # level part of a direction that stands upright: a degree off
BLOTCH, BLOTCH_SIGMA = 0.2, 2.5  # what is left of long waves; px of the Gaussian that tells them

Frames = NDArray[np.float32]


class Look(NamedTuple):
    """What neither depth nor words tell of a picture and chance decides: a seed's own light and colours.

    A network that is not told where the sun stands paints the mean of all suns, which is flat, and the mean of all
    palettes, which is brown.
    azimuth : of the sun or moon, radians about world +Z from +X; palette : 0 … 1, which of a kind's own colours.
    """

    azimuth: float
    palette: float

    @staticmethod
    def of_seed(seed: int) -> Look:
        """The look that a seed draws, any azimuth and any palette alike."""
        azimuth, palette = np.random.Generator(np.random.Philox([seed, 2])).random(2)
        return Look(float(2.0 * math.pi * azimuth), float(palette))

    def lit_from(self, sun: NDArray[np.float64] | None) -> Look:
        """The same under a shot's own sun (shot.Shot.sun), if it has an azimuth: a lamp that nobody has turned yet
        stands upright, and then the seed's stays."""
        azimuth = azimuth_of(sun)
        return self if azimuth is None else self._replace(azimuth=azimuth)


def azimuth_of(sun: NDArray[np.float64] | None) -> float | None:
    """Radians about +Z from +X, 0 … 2 pi, of the mean of directions [T, 3]; None where that stands upright (PLUMB), or
    there are none."""
    if sun is None:
        return None
    x, y = (float(part) for part in sun[:, :2].mean(0))
    return None if math.hypot(x, y) < PLUMB else math.atan2(y, x) % (2.0 * math.pi)


def shot_scale(depth: Frames) -> tuple[float, float]:
    """(near, typical) metres: the 1st percentile and the median of finite depth; (1, 1) where nothing is hit."""
    finite = depth[np.isfinite(depth)]
    if finite.size == 0:
        return 1.0, 1.0
    finite = finite[:: max(1, finite.size // 200_000)]
    near, typical = np.percentile(finite, [1, 50])
    return float(near), float(typical)


def base_channels(base_colour: NDArray[np.uint8]) -> Frames:
    """[T, 4, H, W] of base colours [T, H, W, 4] (shot.Shot.base_colour): their sRGB code in -1 … 1 and a 1, all four 0
    where nothing is told."""
    told = base_colour[..., 3:] > 0
    code = base_colour[..., :3].astype(np.float32) / 127.5 - 1.0
    return np.ascontiguousarray(
        np.concatenate([np.where(told, code, 0.0), told], -1, dtype=np.float32).transpose(0, 3, 1, 2)
    )


def surface_channels(
    depth: Frames,
    K: NDArray,
    pose: NDArray,
    *,
    scale: tuple[float, float] | None = None,
    like: CameraTrack | None = None,
    look: Look | None = None,
    pattern: Frames | None = None,
    base_colour: NDArray[np.uint8] | None = None,
    exact: bool = True,
) -> Frames:
    """[T, 18, H, W]: sqrt(near/z), log2(z/typical)/6, kind, world normal turned to the first camera's heading, height;
    then of the look: the level part of the normal along the sun's azimuth, that of the viewing ray, the palette in
    -1 … 1.  The last three are 0 without a look.  The kind is 1 for sky, and for a surface -1 if the depth is `exact`
    (the picture keeps its edges) and 0 if it is a rough blockout, which a picture may leave where a real scene would.

    pattern : [T, 4, H, W] of pattern.pattern_channels, the next four; None: 0.
    base_colour : [T, H, W, 4] of the shot, the last four (base_channels); None: 0.
    scale : (near, typical) of a longer shot these frames are from; like : its cameras, whose first one counts.
    """
    near, typical = shot_scale(depth) if scale is None else scale
    first = pose[0] if like is None else like.world_from_camera[0]
    heading = math.atan2(first[1, 2], first[0, 2])
    out = _surface(
        np.ascontiguousarray(depth),
        np.linalg.inv(K),
        np.ascontiguousarray(pose, np.float64),
        near,
        typical,
        heading,
        float(first[2, 3]),
        *((0.0, 0.0, 0.0) if look is None else (math.cos(look.azimuth), math.sin(look.azimuth), 2 * look.palette - 1)),
        -1.0 if exact else 0.0,
    )
    if pattern is not None:
        out[:, PLAIN_CHANNELS : PLAIN_CHANNELS + PATTERN_CHANNELS] = pattern
    if base_colour is not None:
        out[:, PLAIN_CHANNELS + PATTERN_CHANNELS :] = base_channels(base_colour)
    return out


def plucker_rays(K: NDArray, pose: NDArray, height: int, width: int, scale: float) -> Frames:
    """[T, 6, H, W] unit directions d and moments o x d, relative to frame 0's camera, origins in units of `scale`."""
    relative = np.linalg.inv(pose[0]) @ pose
    v, u = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    pixels = np.stack([u, v, np.ones_like(u)], -1)
    out = np.empty((len(K), RAY_CHANNELS, height, width), np.float32)
    for t, inverse in enumerate(np.linalg.inv(K)):
        d = pixels @ (relative[t, :3, :3] @ inverse).T
        d /= np.linalg.norm(d, axis=-1, keepdims=True)
        moment = np.cross(relative[t, :3, 3] / scale, d)
        out[t] = np.concatenate([d, moment], -1).transpose(2, 0, 1)
    return out


def warped_noise(fresh: Frames, depth: Frames | None, K: NDArray, pose: NDArray) -> Frames:
    """Unit Gaussian noise [T, H, W, 3] in which one world point carries one value through the shot.

    fresh : [T, H, W, 3] independent unit noise, used where a point is seen for the first time (and everywhere
    when depth is None).  Every KEY_EVERY-th frame and the last own noise; the frames between look their points up
    in them, by nearest pixel so that the values stay Gaussian, and check depth to 3% so that nothing leaks through
    occluders.  A shot that comes nearer is carried from its end to its start: seen from farther, noise stays noise,
    seen from nearer its pixels would become squares.
    """
    if depth is None:
        return fresh
    out = np.ascontiguousarray(fresh, np.float32).copy()
    count = len(out)
    inverse, camera_from_world = np.linalg.inv(K), np.linalg.inv(pose)
    depth = np.ascontiguousarray(depth, np.float32)

    def carry(target: int, sources: list[int]) -> None:
        done = np.zeros(depth.shape[1:], np.bool_)
        for source in sources:
            move = camera_from_world[source] @ pose[target]
            _gather(out[target], done, out[source], depth[target], depth[source], inverse[target], K[source], move)

    keys = sorted({*range(0, count, KEY_EVERY), count - 1})
    way = -1 if growth(depth, K, pose) > 1.0 else 1
    keys = keys[::way]
    for i, key in enumerate(keys[1:], 1):
        carry(key, keys[max(0, i - 3) : i][::-1])
    for before, after in pairwise(keys):
        for t in range(before + way, after, way):
            carry(t, [before, after, t - way])
    return out


def growth(depth: Frames, K: NDArray, pose: NDArray) -> float:
    """How many times as large the last frame [T, H, W] shows what the first one shows too; the median, 1 for nothing."""
    step = max(1, depth.shape[1] // 32)
    z = depth[-1, ::step, ::step]
    y, x = np.nonzero(np.isfinite(z))
    if not len(x):
        return 1.0
    z = z[y, x]
    pixel = np.stack([x * step + 0.5, y * step + 0.5, np.ones(len(x))])
    near = np.linalg.inv(K[-1]) @ pixel * z
    move = np.linalg.inv(pose[0]) @ pose[-1]
    far = move[:3, :3] @ near + move[:3, 3:]
    u, v, w = K[0] @ far
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = (w > 0) & (u >= 0) & (u < w * depth.shape[2]) & (v >= 0) & (v < w * depth.shape[1])
    if not seen.any():
        return 1.0
    return float(np.median(w[seen] / z[seen]) * K[-1, 0, 0] / K[0, 0, 0])


def without_blotches(noise: Frames) -> Frames:
    """Noise [T, H, W, 3] with its waves longer than about two patches turned down to BLOTCH.

    What a picture holds at that size (where sky, ground and shade lie) follows from the conditions; a small network
    that is shown strong noise there paints it in as blotches the size of a patch.  Grain, which it must invent, keeps
    its full strength; 1.3% of the variance goes.
    """
    blurred = [cv2.GaussianBlur(frame, (0, 0), BLOTCH_SIGMA, borderType=cv2.BORDER_REFLECT_101) for frame in noise]
    return noise - np.float32(1.0 - BLOTCH) * np.stack(blurred)


def pack_groups(frames: NDArray) -> NDArray:
    """[T, C, H, W] with T = 4n+1 to [4C, n+1, H, W]: frame 0 four times, then groups of four, frame-major channels."""
    count, channels, height, width = frames.shape
    padded = np.concatenate([np.repeat(frames[:1], GROUP - 1, 0), frames])
    grouped = padded.reshape((count + 3) // GROUP, GROUP * channels, height, width)
    return np.ascontiguousarray(grouped.transpose(1, 0, 2, 3))


@numba.njit(nogil=True, cache=True)
def _gather(target, done, source, depth_t, depth_s, inverse, K, move):
    """Fill target[i, j] from the source pixel that sees the same point (or the same piece of sky)."""
    height, width = depth_t.shape
    for i in range(height):
        for j in range(width):
            if done[i, j]:
                continue
            z = depth_t[i, j]
            x, y = pixel_ray(inverse, i, j)
            sky = not z < np.inf
            far = 0.0 if sky else 1.0
            z = 1.0 if sky else z
            px = (move[0, 0] * x + move[0, 1] * y + move[0, 2]) * z + far * move[0, 3]
            py = (move[1, 0] * x + move[1, 1] * y + move[1, 2]) * z + far * move[1, 3]
            pz = (move[2, 0] * x + move[2, 1] * y + move[2, 2]) * z + far * move[2, 3]
            if pz <= 1e-6:
                continue
            u = int(math.floor((K[0, 0] * px + K[0, 1] * py) / pz + K[0, 2]))
            v = int(math.floor((K[1, 0] * px + K[1, 1] * py) / pz + K[1, 2]))
            if u < 0 or v < 0 or u >= width or v >= height:
                continue
            seen = depth_s[v, u]
            if sky:
                if seen < np.inf:
                    continue
            elif not abs(seen - pz) < 0.03 * pz:
                continue
            for c in range(target.shape[2]):
                target[i, j, c] = source[v, u, c]
            done[i, j] = True


@numba.njit(nogil=True, cache=True)
def pixel_ray(inverse, i, j):
    """(x, y) of pixel (i, j) on the plane one metre ahead of the camera.  inverse [3, 3] of K."""
    x = inverse[0, 0] * (j + 0.5) + inverse[0, 1] * (i + 0.5) + inverse[0, 2]
    y = inverse[1, 0] * (j + 0.5) + inverse[1, 1] * (i + 0.5) + inverse[1, 2]
    return x, y


@numba.njit(nogil=True, cache=True)
def turned(pose, x, y, z):
    """A direction of camera axes in world axes.  pose [4, 4] world_from_camera."""
    return (
        pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z,
        pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z,
        pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z,
    )


@numba.njit(nogil=True, cache=True)
def camera_normal(depth, f, i, j, inverse, at):
    """The unit normal in camera axes at pixel (i, j) of frame f of depth [T, H, W] by its neighbours, zeros where they
    tell none.  inverse [3, 3] of K; at [2, 3] is working space."""
    height, width = depth.shape[1:]
    z = depth[f, i, j]
    x, y = pixel_ray(inverse, i, j)
    x, y = x * z, y * z
    # The smaller of the two one-sided differences does not step over a silhouette.
    for axis in range(2):
        best, step = np.inf, 1
        for s in (-1, 1):
            ii, jj = (i, j + s) if axis == 0 else (i + s, j)
            if 0 <= ii < height and 0 <= jj < width and abs(depth[f, ii, jj] - z) < best:
                best, step = abs(depth[f, ii, jj] - z), s
        if best == np.inf:
            return 0.0, 0.0, 0.0
        ii, jj = (i, j + step) if axis == 0 else (i + step, j)
        zz = depth[f, ii, jj]
        xx, yy = pixel_ray(inverse, ii, jj)
        at[axis, 0], at[axis, 1] = (xx * zz - x) * step, (yy * zz - y) * step
        at[axis, 2] = (zz - z) * step
    a, b = at[0], at[1]
    nx, ny, nz = b[1] * a[2] - b[2] * a[1], b[2] * a[0] - b[0] * a[2], b[0] * a[1] - b[1] * a[0]
    norm = math.sqrt(nx * nx + ny * ny + nz * nz)
    if norm <= 0.0:
        return 0.0, 0.0, 0.0
    return nx / norm, ny / norm, nz / norm


@numba.njit(nogil=True, cache=True)
def _surface(depth, inverse, pose, near, typical, heading, level, sun_x, sun_y, palette, kind):
    count, height, width = depth.shape
    out = np.zeros((count, SURFACE_CHANNELS, height, width), np.float32)
    ch, sh = math.cos(heading), math.sin(heading)
    at = np.zeros((2, 3))
    for f in range(count):
        m, k = pose[f], inverse[f]
        for i in range(height):
            for j in range(width):
                z = depth[f, i, j]
                rx, ry = pixel_ray(k, i, j)
                dx, dy, _ = turned(m, rx, ry, 1.0)
                out[f, 8, i, j] = (sun_x * dx + sun_y * dy) / math.sqrt(rx * rx + ry * ry + 1.0)
                out[f, 9, i, j] = palette
                if not z < np.inf:
                    out[f, 1, i, j] = 1.5
                    out[f, 2, i, j] = 1.0
                    continue
                out[f, 0, i, j] = min(math.sqrt(near / z), 1.25)
                out[f, 2, i, j] = kind
                out[f, 1, i, j] = min(max(math.log2(z / typical) / 6.0, -1.5), 1.5)
                wz = turned(m, rx * z, ry * z, z)[2] + m[2, 3] - level
                out[f, 6, i, j] = math.asinh(wz / (0.1 * typical)) / 4.0
                nx, ny, nz = camera_normal(depth, f, i, j, k, at)
                gx, gy, gz = turned(m, nx, ny, nz)
                out[f, 3, i, j] = ch * gx + sh * gy
                out[f, 4, i, j] = -sh * gx + ch * gy
                out[f, 5, i, j] = gz
                out[f, 7, i, j] = sun_x * gx + sun_y * gy
    return out
