"""Whether a shot's depth and camera agree, looked at before anything is made from them.

A client that sends its poses in another program's axes, or the ray's length for a depth, gets a plate that slides; the
network cannot tell.  What can be told from the numbers alone is told here, in a fraction of a second:

- Planes.  Inverse depth is linear across the picture of a plane, and every set has planes.  Where hardly anything is a
  plane as it was sent, and a quarter of the picture or more is one when the values are read as rays' lengths or as 1/z,
  they are that.
- Carrying.  The depth of one frame, carried by the cameras into another, must meet the depth that was sent there.  Where
  it does not, and does so when the poses are read as inverted, in other axes or in another unit, they are that.

A refusal needs both: that the shot does not fit as it was sent, and that one known mistake explains it much better.
What merely moves fits neither way: a shot may be full of moving things, or of a car that the camera sits in.  Such a shot
is rendered, with a note.

Legend: T frames; N sampled pixels.  p pixels, centres at +0.5; w inverse depth, 1/metres, 0 for sky.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...protocol.errors import FarplaneError
from ...protocol.shot import Shot

Array = NDArray[np.float64]

POINTS = 4000  # pixels of a frame that are carried
STRIDE = 0.02  # of the focal length: the arms of the stencil that looks for planes
FLAT = 0.1 * STRIDE**2  # of the inverse depth; a ray's length bends by ten times that (in the picture's middle)
MANY_PLANES, MORE_PLANES = 0.25, 3.0  # share of what is not sky; times as many as there are as it was sent
SEEN = 0.2  # share of the pixels that two frames must have in common
MOVES = 0.003  # of the inverse depth: less change than that says nothing
FITS, MISFITS = 0.02, 0.10  # median disagreement of a shot that agrees, of one that is worth a note
CLEARER = 5.0  # times by which a mistake must explain a shot better than the shot itself does
FAR_OFF, LONELY = 1000.0, 10.0  # metres; times the next depth: a value that stands for the sky
BACKGROUND = 0.01  # share of the picture
NEAR_BY = 100.0  # metres
GROUND = 0.15  # share of the planes
ON_ITS_HEAD = 0.3  # of a unit vector: so far down does the picture's upward direction point
BELOW = 0.1  # of a unit vector: that far below the horizon a ground has no end

AXES = np.diag([1.0, -1.0, -1.0, 1.0])
UNITS = {
    0.01: "the depth seems to be in centimetres and the poses in metres",
    0.001: "the depth seems to be in millimetres and the poses in metres",
    0.3048: "the depth seems to be in feet and the poses in metres",
    0.0254: "the depth seems to be in inches and the poses in metres",
    100.0: "the poses seem to be in centimetres and the depth in metres",
    1000.0: "the poses seem to be in millimetres and the depth in metres",
    1 / 0.3048: "the poses seem to be in feet and the depth in metres",
}


class Cameras(NamedTuple):
    """K [T, 3, 3], poses [T, 4, 4] as a reading has them."""

    K: Array
    poses: Array


@dataclass(frozen=True)
class Reading:
    """One way to take what was sent.

    problem, remedy : what to say where it is the right one.  depth : w of what was sent (depth, length of the rays).
    """

    field: str
    problem: str
    remedy: str
    cameras: Callable[[Cameras, int], Cameras] = lambda cameras, height: cameras
    depth: Callable[[Array, Array], Array] = lambda z, length: _inverse(z)


def _inverse(z: Array) -> Array:
    return np.where(np.isfinite(z), 1.0 / z, 0.0)


def _upside_down(cameras: Cameras, height: int) -> Cameras:
    turned = np.array([[1.0, 0, 0], [0, -1.0, height], [0, 0, 1.0]])
    return Cameras(turned @ cameras.K, cameras.poses)


SENT = Reading("", "", "")
STILL = Reading("", "", "", lambda cameras, _: Cameras(cameras.K, np.broadcast_to(np.eye(4), cameras.poses.shape)))
RAYS = Reading(
    "depth",
    "it seems to be the length of the ray, not the depth along the camera's axis",
    "Divide it by the length of K^-1 (x, y, 1)",
    depth=lambda z, length: _inverse(z) * length,
)
INVERTED_DEPTH = Reading(
    "depth",
    "it seems to be an inverse depth or a z-buffer, not metres",
    "Send metres along the camera's axis",
    depth=lambda z, length: np.where(np.isfinite(z), z, 0.0),
)
MISTAKES = (
    Reading(
        "camera",
        "its poses seem to have y up and to look along -z, as Nuke's, Maya's and Blender's own do",
        "Send OpenCV axes: x right, y down, z forward (multiply each pose by diag(1, -1, -1, 1) from the right)",
        lambda cameras, _: Cameras(cameras.K, cameras.poses @ AXES),
    ),
    Reading(
        "camera",
        "its poses seem to be inverted: from the world to the camera",
        "Send world_from_camera, which takes a point from camera axes to the world",
        lambda cameras, _: Cameras(cameras.K, np.linalg.inv(cameras.poses)),
    ),
    Reading(
        "camera",
        "its poses seem to be inverted, and to have y up and to look along -z",
        "Send world_from_camera in OpenCV axes: x right, y down, z forward",
        lambda cameras, _: Cameras(cameras.K, np.linalg.inv(cameras.poses) @ AXES),
    ),
    Reading(
        "depth",
        "its rows seem to run from the bottom to the top",
        "Send the picture's upper row first",
        _upside_down,
    ),
    RAYS,
    INVERTED_DEPTH,
    *(
        Reading("depth", problem, "Send both in metres", depth=lambda z, length, s=scale: _inverse(z * s))
        for scale, problem in UNITS.items()
    ),
)


def check_agreement(shot: Shot) -> tuple[str, ...]:
    """Notes for the report.  Raises FarplaneError where depth and camera disagree and a known mistake explains it."""
    _check_planes(shot)
    return (*_check_carrying(shot), *_background(shot), *_size(shot), *_world_up(shot))


# -- planes -----------------------------------------------------------------------------------------------------------


class Patch(NamedTuple):
    """Depth at a stencil's five places in many pixels of one frame: z, rays [5, N(, 3)]: middle, left, right, up, down."""

    z: Array
    rays: Array


def _some(count: int, most: int) -> list[int]:
    """Up to `most` of `count` frames, the first and the last among them."""
    return sorted({round(at) for at in np.linspace(0, count - 1, min(count, most))})


def _grid(width: int, height: int, margin: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and rows [N] of about POINTS pixels, `margin` pixels away from the edges."""
    step = max(1, int((width * height / POINTS) ** 0.5))
    x, y = np.arange(margin[0], width - margin[0], step), np.arange(margin[1], height - margin[1], step)
    columns, rows = np.meshgrid(x, y)
    return columns.ravel(), rows.ravel()


def _rays(K: Array, columns: NDArray, rows: NDArray) -> Array:
    """[N, 3], K^-1 (x, y, 1) of pixels' centres."""
    pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(len(columns))], -1)
    return pixels @ np.linalg.inv(K).T


def _patch(shot: Shot, t: int) -> Patch | None:
    """What the stencil sees in frame t; None where the picture is too small for it."""
    (width, height), K = shot.resolution, shot.camera.K[t]
    arms = [max(1, round(STRIDE * K[0, 0])), max(1, round(STRIDE * K[1, 1]))]
    if 3 * arms[0] > width or 3 * arms[1] > height:
        return None
    columns, rows = _grid(width, height, (arms[0], arms[1]))
    places = [(0, 0), (-arms[0], 0), (arms[0], 0), (0, -arms[1]), (0, arms[1])]
    z = np.stack([shot.depth.z[t][rows + y, columns + x] for x, y in places]).astype(np.float64)
    solid = np.isfinite(z).all(0)
    rays = np.stack([_rays(K, columns + x, rows + y) for x, y in places])
    return Patch(z[:, solid], rays[:, solid])


def _flat(patch: Patch, reading: Reading) -> NDArray[np.bool_]:
    """[N]: where the surface is a plane, to FLAT."""
    w = reading.depth(patch.z, np.linalg.norm(patch.rays, axis=-1))
    across, down = np.abs(w[1] + w[2] - 2 * w[0]), np.abs(w[3] + w[4] - 2 * w[0])
    return np.maximum(across, down) < FLAT * w[0]


def _check_planes(shot: Shot) -> None:
    """Raise FarplaneError where the geometry is flat only when the depth is read another way."""
    patches = [
        patch for t in _some(len(shot.frames), 3) if (patch := _patch(shot, t)) and patch.z.shape[1] > POINTS // 40
    ]
    if not patches:
        return
    shares = {
        name: float(np.mean(np.concatenate([_flat(patch, reading) for patch in patches])))
        for name, reading in (("sent", SENT), ("rays", RAYS), ("inverted", INVERTED_DEPTH))
    }
    for name, reading in (("rays", RAYS), ("inverted", INVERTED_DEPTH)):
        if shares[name] == max(shares.values()) and shares[name] > max(MANY_PLANES, MORE_PLANES * shares["sent"]):
            told = f"read so, {shares[name]:.0%} of the geometry are planes, as sent {shares['sent']:.0%}"
            raise FarplaneError(reading.field, f"{reading.problem}: {told}", reading.remedy)


# -- carrying ---------------------------------------------------------------------------------------------------------


def _pairs(count: int) -> Iterator[tuple[int, int]]:
    """Frames near to each other and far apart, from the shot's beginning and its end."""
    gap = 1
    while gap < count:
        yield 0, gap
        if gap < count - 1:
            yield count - 1 - gap, count - 1
        gap *= 2
    if count > 2:
        yield 0, count - 1


def _disagreement(shot: Shot, reading: Reading, a: int, b: int) -> tuple[float, float]:
    """(median disagreement 0 … 1, share of the pixels that both frames see) of frame a's depth carried into frame b."""
    width, height = shot.resolution
    columns, rows = _grid(width, height, (0, 0))
    K, poses = reading.cameras(Cameras(shot.camera.K[[a, b]], shot.camera.world_from_camera[[a, b]]), height)
    rays = _rays(K[0], columns, rows)
    w = reading.depth(shot.depth.z[a][rows, columns].astype(np.float64), np.linalg.norm(rays, axis=-1))
    b_from_a = np.linalg.inv(poses[1]) @ poses[0]
    moved = rays @ b_from_a[:3, :3].T + w[:, None] * b_from_a[:3, 3]
    front = moved[:, 2] > 1e-9
    moved, w = moved[front], w[front]
    pixels = moved @ K[1].T
    x, y = pixels[:, 0] / pixels[:, 2], pixels[:, 1] / pixels[:, 2]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    expected, found = (w / moved[:, 2])[inside], _between(shot, reading, b, K[1], x[inside], y[inside])
    most = np.maximum(expected, found)
    solid = most > 0
    if not solid.any():
        return 0.0, 0.0
    return float(np.median(np.abs(expected - found)[solid] / most[solid])), solid.sum() / len(columns)


def _between(shot: Shot, reading: Reading, t: int, K: Array, x: Array, y: Array) -> Array:
    """w [N] of frame t at places between its pixels: linear, as it is across a plane."""
    width, height = shot.resolution
    x, y = np.clip(x - 0.5, 0, width - 1), np.clip(y - 0.5, 0, height - 1)
    left, upper = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    found = np.zeros(len(x))
    for right, lower in ((0, 0), (1, 0), (0, 1), (1, 1)):
        columns, rows = left + right, upper + lower
        length = np.linalg.norm(_rays(K, columns, rows), axis=-1)
        w = reading.depth(shot.depth.z[t][rows, columns].astype(np.float64), length)
        found += w * np.abs(1 - right - (x - left)) * np.abs(1 - lower - (y - upper))
    return found


def _check_carrying(shot: Shot) -> tuple[str, ...]:
    """A note where the frames' depths do not meet; FarplaneError where they do when read another way."""
    told, apart = [], []  # (pair, as sent, without motion) where there is something to learn
    for pair in dict.fromkeys(_pairs(len(shot.frames))):
        sent, seen = _disagreement(shot, SENT, *pair)
        still, _ = _disagreement(shot, STILL, *pair)
        if seen >= SEEN and max(sent, still) > MOVES:
            told.append((pair, sent, still))
        elif seen < SEEN:
            apart.append((pair, 1.0, still))
    fly_apart = not told  # not even neighbours see the same, as the cameras were sent
    told = sorted(told, key=lambda one: -max(one[1:]))[:5] or apart[:2]
    if not told:
        return ()
    sent, still = (float(np.median([one[column] for one in told])) for column in (1, 2))
    if sent < MOVES:
        return ()
    pairs = [pair for pair, _, _ in told]
    errors = [_together(shot, reading, pairs) for reading in MISTAKES]
    best = int(np.argmin(errors))
    if errors[best] < FITS and errors[best] * CLEARER < min(sent, still):
        reading = MISTAKES[best]
        a, b = (shot.frames[t] for t in pairs[0])
        how = f"read so, the depth of frame {a} carried into frame {b} is off by {errors[best]:.1%}, as sent by {sent:.1%}"
        raise FarplaneError(reading.field, f"{reading.problem}: {how}", reading.remedy)
    if sent < MISFITS or fly_apart or _neighbours_agree(shot):  # far apart much is hidden that both frames show
        return ()
    if still * CLEARER < sent:
        return (
            "depth and camera: the camera moves and the depth hardly changes; right only where all that is seen moves "
            "with the camera",
        )
    a, b = (shot.frames[t] for t in pairs[0])
    return (
        f"depth and camera: the depth of frame {a}, carried into frame {b} by the cameras, is off by {sent:.0%} in the "
        "median; right only where most of what is seen moves by itself",
    )


def _neighbours_agree(shot: Shot) -> bool:
    """Whether each frame's depth meets the next one's, in most of the shot."""
    found = [_disagreement(shot, SENT, t, t + 1)[0] for t in _some(len(shot.frames) - 1, 12)]
    return float(np.median(found)) < FITS


def _together(shot: Shot, reading: Reading, pairs: Sequence[tuple[int, int]]) -> float:
    """The median over these pairs; 1 for a reading in which too little is seen twice."""
    found = [_disagreement(shot, reading, *pair) for pair in pairs]
    return float(np.median([error if seen >= SEEN / 2 else 1.0 for error, seen in found]))


# -- notes ------------------------------------------------------------------------------------------------------------


def _background(shot: Shot) -> tuple[str, ...]:
    """A value that many pixels share exactly, far beyond all others."""
    z = np.stack([shot.depth.z[t] for t in _some(len(shot.frames), 3)])
    z = z[np.isfinite(z)]
    if not z.size or (far := float(z.max())) < FAR_OFF:
        return ()
    rest = z[z < far]
    share = 1 - rest.size / z.size
    if share < BACKGROUND or not rest.size or rest.max() * LONELY > far:
        return ()
    return (f"depth: {share:.0%} of the geometry is exactly {far:.6g} m away; where that stands for the sky, send inf",)


def _size(shot: Shot) -> tuple[str, ...]:
    """A set in another unit, cameras and all, fits itself, and 0 … 1 may fit anything; only the size looks odd."""
    z = np.stack([shot.depth.z[t][::4, ::4] for t in _some(len(shot.frames), 3)])
    z = z[np.isfinite(z)]
    if not z.size:
        return ()
    near, middle, most = np.percentile(z, (1, 50, 100))
    if most <= 1.0 and shot.depth.far > LONELY * most:
        return (
            f"depth: nothing is further away than {most:.3g} m, though far is {shot.depth.far:.6g} m; if it is a z-buffer "
            "or was brought to 0 … 1, send metres",
        )
    if near < NEAR_BY or middle < FAR_OFF:
        return ()
    return (
        f"depth: nothing is nearer than {near:,.0f} m, and half of what is seen is further away than {middle:,.0f} m; if "
        "the set is in centimetres or millimetres, send depth and poses in metres",
    )


def _sky_below(shot: Shot) -> bool:
    """Whether there is sky where a world with z up has ground, and none where one with y up has it."""
    (width, height), below, count = shot.resolution, 0, 0
    columns, rows = _grid(width, height, (0, 0))
    for t in _some(len(shot.frames), 3):
        sky = ~np.isfinite(shot.depth.z[t][rows, columns])
        rays = _rays(shot.camera.K[t], columns[sky], rows[sky])
        rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True) @ shot.camera.world_from_camera[t, :3, :3].T
        if (rays[:, 1] < -BELOW).any():
            return False
        below, count = below + int((rays[:, 2] < -BELOW).sum()), count + len(sky)
    return below > BACKGROUND * count


def _world_up(shot: Shot) -> tuple[str, ...]:
    """A camera on its head; a world whose ground lies across y, seen by cameras that stand upright in it."""
    R = shot.camera.world_from_camera[:, :3, :3]
    right, up = R[:, :, 0], -R[:, :, 1]
    if up[:, 2].max() < -ON_ITS_HEAD:
        return (
            "camera: it stands on its head in every frame; if its poses have y up and look along -z, as Nuke's, Maya's and "
            "Blender's own do, send OpenCV axes: x right, y down, z forward",
        )
    if np.abs(right[:, 1]).max() > 0.02 or up[:, 1].min() < 0.5:
        return ()
    faces = []
    for t in _some(len(shot.frames), 3):
        if (patch := _patch(shot, t)) is None:
            return ()
        flat = _flat(patch, SENT)
        points = (patch.rays * patch.z[..., None])[:, flat]
        normals = np.cross(points[2] - points[1], points[4] - points[3])
        faces.append(normals / np.linalg.norm(normals, axis=-1, keepdims=True) @ R[t].T)
    normals = np.abs(np.concatenate(faces))
    if not len(normals):
        return ()
    across_y, across_z = (float((normals[:, axis] > 0.996).mean()) for axis in (1, 2))  # to 5 degrees
    if across_y < GROUND or (across_z > across_y / 2 and not _sky_below(shot)):
        return ()
    return (
        "camera: the ground seems to lie across y, and the cameras stand upright in a world with y up; Farplane's world "
        "has z up, so the sky and the light will come from the side",
    )
