"""What a plate is worth, in numbers: camera lock, place in the scene's frame, warp residual, depth edges, detail, flicker.

Legend: T frames, H rows, W columns; frames [T, H, W, 3] scene-linear Rec.709; depth [T, H, W] metres, inf for sky;
K [T, 3, 3]; world_from_camera [T, 4, 4] OpenCV.

Every picture is measured as it is seen: through the previews' fixed display curve (colour.display_encode).  In
scene-linear a lamp outweighs a landscape; LogC3 gives half of its codes to values above white, of which flow at
8 bits would see nothing.  For the camera lock alone the shot is first graded by one factor so that its geometric
mean luminance is mid grey, at most four stops either way: a night plate slips as much as a day plate does.

No network takes part.  A long shot is sampled: at most MAX_PAIRS pairs for each k and MAX_FRAMES_READ single frames,
evenly spread, fewer above about half a megapixel; the report says how many of how many.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...protocol.errors import FarplaneError
from ...protocol.shot import Shot
from .colour import REC709_LUMINANCE, display_encode, luminance
from .edges import EdgeAgreement, edge_agreement
from .lock import LockFigure, View, camera_lock, spread
from .registration import Registration, registration, registration_notes
from .warp import Camera, Lookup, lookup, sample, visible

STEPS = (1, 4, 8)  # k, frames apart
MAX_PAIRS = 48
MAX_FRAMES_READ = 16
PIXEL_BUDGET = 24e6  # pixels of pairs for each k: 48 pairs at half a megapixel, 11 at 1080p
HIGH_PASS_SIGMA = 2.0  # px
BLANK = 1e-4  # detail of a picture that has none: an empty scene's render, in 8-bit codes a fortieth
FLICKER_SIGMA = 8.0  # px
MID_GREY = 0.18
MAX_STOPS = 4.0
ENCODING = "sRGB of the previews' fixed tone curve; the lock on a shot graded to mid grey (4 stops at most)"

Frames = NDArray[Any] | Sequence[NDArray[Any]]


class WarpPsnr(NamedTuple):
    """PSNR (dB, peak 1.0 of the display encoding) of frame t carried to t+k against the real frame t+k.

    true : with the shot's cameras.  shuffled : with the cameras of other frames, on the same pixels; None where the
    camera hardly moves, or nothing stays in frame.
    """

    true: float
    shuffled: float | None

    @property
    def gap(self) -> float | None:
        """How many dB the true camera explains better than a wrong one."""
        return None if self.shuffled is None else self.true - self.shuffled


@dataclass(frozen=True)
class Residual:
    """Warp residual at k: psnr and shuffled in dB, pairs measured.  See WarpPsnr."""

    k: int
    psnr: float | None
    shuffled: float | None
    pairs: int


@dataclass(frozen=True)
class Measures:
    """Everything measured on one sequence.

    lock, residual : one for each k.  edges : mean over frames, None where the depth has no silhouettes.
    detail : high-pass RMS, 0 … 1 (see high_pass_rms).  flicker : 8-bit codes (see flicker).
    """

    lock: tuple[LockFigure, ...]
    residual: tuple[Residual, ...]
    edges: EdgeAgreement | None
    detail: float
    flicker: float | None


@dataclass(frozen=True)
class PlateReport:
    """A plate's measures, and the same on the scene's own render where there is one.

    frames : absolute numbers.  resolution (W, H).  fps (numerator, denominator).  registration : how far from its place
    in the scene the plate lands.
    """

    name: str
    frames: tuple[int, ...]
    resolution: tuple[int, int]
    fps: tuple[int, int]
    plate: Measures
    reference: Measures | None
    registration: Registration | None = None

    def gap_share(self, k: int) -> float | None:
        """The plate's warp gap to a shuffled camera, as a share of the render's own gap: 0 floor, 1 as good."""
        plate, reference = (_gap(m, k) for m in (self.plate, self.reference))
        return None if plate is None or reference is None or reference <= 0 else plate / reference

    @property
    def detail_ratio(self) -> float | None:
        """The plate's high-pass detail as a share of the render's: under 1 softer, over 1 busier; None for a blank render."""
        if self.reference is None or self.reference.detail < BLANK:
            return None
        return self.plate.detail / self.reference.detail

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, None for what could not be measured; no NaN, no infinity."""
        return _finite(
            {
                "version": 1,
                "name": self.name,
                "frames": list(self.frames),
                "resolution": list(self.resolution),
                "fps": list(self.fps),
                "encoding": ENCODING,
                "units": {
                    "lock": "pixels",
                    "registration": "pixels of its resolution",
                    "residual": "dB",
                    "flicker": "8-bit codes",
                    "detail": "RMS, 0 to 1",
                },
                "gap_share": {str(r.k): self.gap_share(r.k) for r in self.plate.residual},
                "detail_ratio": self.detail_ratio,
                "registration": None if self.registration is None else self.registration.to_json(),
                "plate": _measures_json(self.plate),
                "reference": None if self.reference is None else _measures_json(self.reference),
            }
        )


def _measures_json(measures: Measures) -> dict[str, Any]:
    edges = None if measures.edges is None else measures.edges._asdict()
    return asdict(measures) | {"edges": edges}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def _gap(measures: Measures | None, k: int) -> float | None:
    for r in measures.residual if measures else ():
        if r.k == k and r.psnr is not None and r.shuffled is not None:
            return r.psnr - r.shuffled
    return None


# --- one sequence, frame by frame ------------------------------------------------------------------------------------


class _Sequence:
    """Frames with their depth and cameras; encoded when asked for, the last few kept."""

    def __init__(
        self,
        frames: Frames,
        depth: NDArray,
        K: NDArray,
        world_from_camera: NDArray,
        mask: NDArray | None = None,
        most_pairs: int | None = None,
    ) -> None:
        self.frames, self.depth, self.mask = frames, depth, mask
        self.most_pairs = most_pairs or MAX_PAIRS
        self.cameras = [Camera(k, pose) for k, pose in zip(np.asarray(K, float), np.asarray(world_from_camera, float))]
        self.height, self.width = depth.shape[1:]
        self.kept: OrderedDict[int, NDArray[np.float32]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def pairs(self) -> int:
        """How many pairs may be measured for one k."""
        return int(min(self.most_pairs, max(4, PIXEL_BUDGET / (self.height * self.width))))

    def linear(self, t: int) -> NDArray[np.float32]:
        return np.asarray(self.frames[t], np.float32)

    def display(self, t: int) -> NDArray[np.float32]:
        """[H, W, 3] display codes, 0 … 1."""
        if t not in self.kept:
            self.kept[t] = display_encode(self.linear(t))
            if len(self.kept) > 10:
                self.kept.popitem(last=False)
        self.kept.move_to_end(t)
        return self.kept[t]

    def grey(self, t: int) -> NDArray[np.float32]:
        """[H, W] luma of the display codes, 0 … 1."""
        return self.display(t) @ REC709_LUMINANCE

    def left_out(self, t: int) -> NDArray[np.bool_] | None:
        return None if self.mask is None else np.asarray(self.mask[t], bool)

    def seen(self, at: Lookup, t: int, u: int) -> NDArray[np.bool_]:
        """Pixels of u that t saw too and that no mask leaves out."""
        found = visible(at, self.depth[t])
        for index in (t, u):
            out = self.left_out(index)
            if out is not None:
                found &= (sample(out, at) if index == t else out) == 0
        return found


def _exposure(sequence: _Sequence) -> float:
    """The factor that brings the shot's geometric mean luminance to mid grey, at most four stops."""
    chosen = spread(len(sequence), 6)
    mean = np.mean([np.log(np.maximum(luminance(sequence.linear(t)), 1e-4)).mean() for t in chosen])
    return float(np.clip(MID_GREY / np.exp(mean), 2.0**-MAX_STOPS, 2.0**MAX_STOPS))


def _lock(sequence: _Sequence, numbers: Sequence[int], k: int, gain: float, made_at: float = 1.0) -> LockFigure:
    kept: OrderedDict[int, View] = OrderedDict()

    def view(t: int) -> View:
        if t not in kept:
            grey = display_encode(luminance(sequence.linear(t)) * np.float32(gain)) * np.float32(255)
            kept[t] = View(numbers[t], grey, sequence.depth[t], sequence.cameras[t], sequence.left_out(t))
            if len(kept) > 10:
                kept.popitem(last=False)
        return kept[t]

    return camera_lock(view, len(sequence), k, most=sequence.pairs, made_at=made_at)


# --- warp residual ---------------------------------------------------------------------------------------------------


def _shuffle(count: int) -> NDArray[np.intp]:
    """A fixed permutation of the frames that leaves none in its place."""
    rng = np.random.default_rng(20261)
    order = np.arange(count)
    if count > 1:
        while (order == np.arange(count)).any():
            order = rng.permutation(count)
    return order


def _residual(sequence: _Sequence, k: int) -> tuple[WarpPsnr | None, int]:
    """PSNR with the true and with shuffled cameras over the same pixels, and the pairs measured."""
    count = len(sequence)
    order = _shuffle(count)
    total, errors, wrong_total, wrong_errors, pairs, moved = 0, 0.0, 0, 0.0, 0, 0.0
    for t in spread(max(count - k, 0), sequence.pairs):
        u = t + k
        at = lookup(sequence.cameras[t], sequence.depth[u], sequence.cameras[u])
        seen = sequence.seen(at, t, u)
        if seen.mean() < 0.01:
            continue
        source, target = sequence.display(t), sequence.display(u)
        errors += float(((sample(source, at) - target)[seen] ** 2).mean(-1).sum())
        total, pairs = total + int(seen.sum()), pairs + 1
        wrong = lookup(
            Camera(sequence.cameras[t].K, sequence.cameras[order[t]].world_from_camera),
            sequence.depth[u],
            Camera(sequence.cameras[u].K, sequence.cameras[order[u]].world_from_camera),
        )
        inside = seen & (wrong.x >= 0) & (wrong.x <= sequence.width) & (wrong.y >= 0) & (wrong.y <= sequence.height)
        if inside.mean() < 0.01:
            continue
        moved = max(moved, float(np.abs(wrong.x - at.x)[inside].mean()), float(np.abs(wrong.y - at.y)[inside].mean()))
        wrong_errors += float(((sample(source, wrong) - target)[inside] ** 2).mean(-1).sum())
        wrong_total += int(inside.sum())
    if not total:
        return None, 0
    # Under a tenth of a pixel the shuffled cameras are the same camera: a tripod shot has no floor to stand on.
    shuffled = _psnr(wrong_errors, wrong_total) if wrong_total and moved > 0.1 else None
    return WarpPsnr(_psnr(errors, total), shuffled), pairs


def _psnr(errors: float, count: int) -> float:
    return -10 * math.log10(max(errors / count, 1e-9))


def warp_psnr(frames: Frames, depth: NDArray, K: NDArray, world_from_camera: NDArray, k: int = 1) -> WarpPsnr | None:
    """Warp residual of plain arrays; None where no pair k apart shares a visible pixel.

    frames [T, H, W, 3] scene-linear; depth [T, H, W]; K [T, 3, 3]; world_from_camera [T, 4, 4].
    A high figure alone rewards blur, and the gap to `shuffled` alone rewards noise: read both beside high_pass_rms.
    """
    return _residual(_Sequence(frames, depth, K, world_from_camera), k)[0]


# --- single frames ---------------------------------------------------------------------------------------------------


def _high_pass(sequence: _Sequence) -> float:
    squares = []
    for t in spread(len(sequence), MAX_FRAMES_READ):
        grey = sequence.grey(t)
        squares.append(float(((grey - cv2.GaussianBlur(grey, (0, 0), HIGH_PASS_SIGMA)) ** 2).mean()))
    return math.sqrt(float(np.mean(squares)))


def high_pass_rms(frames: Frames) -> float:
    """The picture's detail: RMS over all pixels of display luma less its Gaussian of 2 px, on a scale of 0 to 1.

    frames [T, H, W, 3] scene-linear.  At most 16 frames are read, evenly spread.
    """
    count, (height, width) = len(frames), frames[0].shape[:2]
    empty = np.broadcast_to(np.float32(np.inf), (count, height, width))
    return _high_pass(_Sequence(frames, empty, np.tile(np.eye(3), (count, 1, 1)), np.tile(np.eye(4), (count, 1, 1))))


def _edges(grey: Callable[[int], NDArray[np.float32]], depth: NDArray) -> EdgeAgreement | None:
    rng = np.random.default_rng(7)
    found = [edge_agreement(grey(t), depth[t], rng) for t in spread(len(depth), MAX_FRAMES_READ)]
    known = [f for f in found if f is not None]
    return EdgeAgreement(*np.mean(known, axis=0).tolist()) if known else None


def depth_edge_auc(frames: Frames, depth: NDArray) -> EdgeAgreement | None:
    """Image gradient as a score for exact depth edges, mean over frames; None where the depth has no silhouettes.

    frames [T, H, W, 3] scene-linear; depth [T, H, W] metres.  At most 16 frames are read, evenly spread.
    """
    return _edges(lambda t: display_encode(np.asarray(frames[t])) @ REC709_LUMINANCE, depth)


def flicker(frames: Frames, depth: NDArray, K: NDArray, world_from_camera: NDArray) -> float | None:
    """Pulsing of world points from one frame to the next, in 8-bit display codes; None where nothing stays visible.

    RMS, over visible pixels and channels, of (frame t+1 less frame t carried to it) after a Gaussian of 8 px: slips
    of a pixel cancel in it, changes of light and colour stay.
    """
    return _flicker(_Sequence(frames, depth, K, world_from_camera))


def _flicker(sequence: _Sequence) -> float | None:
    squares, total = 0.0, 0
    blur = partial(cv2.GaussianBlur, ksize=(0, 0), sigmaX=FLICKER_SIGMA)
    for t in spread(len(sequence) - 1, min(MAX_FRAMES_READ, sequence.pairs)):
        at = lookup(sequence.cameras[t], sequence.depth[t + 1], sequence.cameras[t + 1])
        seen = sequence.seen(at, t, t + 1)
        if not seen.any():
            continue
        weight = blur(seen.astype(np.float32))
        change = blur((sample(sequence.display(t), at) - sequence.display(t + 1)) * seen[..., None])
        change = change[seen] / weight[seen][:, None]
        squares, total = squares + float((change**2).sum()), total + change.size
    return 255 * math.sqrt(squares / total) if total else None


# --- the report ------------------------------------------------------------------------------------------------------


def _measures(sequence: _Sequence, numbers: Sequence[int], made_at: float) -> Measures:
    gain = _exposure(sequence)
    residuals = []
    for k in STEPS:
        psnr, pairs = _residual(sequence, k)
        residuals.append(Residual(k, psnr and psnr.true, psnr and psnr.shuffled, pairs))
    return Measures(
        lock=tuple(_lock(sequence, numbers, k, gain, made_at) for k in STEPS),
        residual=tuple(residuals),
        edges=_edges(sequence.grey, sequence.depth),
        detail=_high_pass(sequence),
        flicker=_flicker(sequence),
    )


def placed_notes(report: PlateReport) -> tuple[str, ...]:
    """What to tell of where the plate lands; nothing where it lies in its place."""
    return () if report.registration is None else registration_notes(report.registration)


def _check(frames: Frames, shot: Shot, what: str) -> None:
    width, height = shot.resolution
    if len(frames) != len(shot.frames):
        raise FarplaneError(what, f"it has {len(frames)} frames, the shot {len(shot.frames)}", "Render the shot again")
    if tuple(frames[0].shape) != (height, width, 3):
        raise FarplaneError(what, f"a frame is {frames[0].shape}, the shot {height}x{width}x3", "Render the shot again")


def measure_plate(
    frames: Frames,
    shot: Shot,
    *,
    mask: NDArray | None = None,
    made_at: tuple[int, int] | None = None,
    most_pairs: int | None = None,
) -> PlateReport:
    """Measure a plate against its shot, and the shot's own reference render beside it.

    frames : [T, H, W, 3] scene-linear of any float type, an array or anything that gives frame i for [i].
    mask : [T, H, W], true where something moves by itself (water, people) and takes no part.
    made_at : (w, h) the model rendered at, where the frames are an enlargement of that.  The lock, the render's own
    too, is then read at that size, still in pixels of the shot: between a small model's pixels is nothing to read.
    most_pairs : pairs for each k at most; None takes MAX_PAIRS.
    Raises FarplaneError when the frames do not fit the shot.
    """
    _check(frames, shot, "plate")
    make = partial(
        _Sequence,
        depth=shot.depth.z,
        K=shot.camera.K,
        world_from_camera=shot.camera.world_from_camera,
        mask=mask,
        most_pairs=most_pairs,
    )
    scale = 1.0 if made_at is None else min(1.0, max(made_at[0] / shot.resolution[0], made_at[1] / shot.resolution[1]))
    reference = None if shot.reference is None else _measures(make(shot.reference), shot.frames, scale)
    fps = (shot.fps.numerator, shot.fps.denominator)
    sequence = make(frames)
    placed = registration(shot, sequence.grey)
    return PlateReport(
        shot.name, shot.frames, shot.resolution, fps, _measures(sequence, shot.frames, scale), reference, placed
    )
