"""Camera lock: how many pixels a plate slips against the camera and depth it was made for.

Legend: H rows, W columns.  Grey pictures are float32 [H, W] in 8-bit codes, 0 … 255.  t is carried to u = t + k.

Frame t is carried into frame u's camera through exact depth (warp.py).  If the plate follows the camera, the result
is frame u; the displacement that dense flow still finds between the two is the error.  It is read by OpenCV's DIS
flow at its finest scale, on every visible surface pixel that can be read: one whose neighbourhood has fine detail in
both directions, so that a slip either way would show.  SIFT matches carried through the same depth are the second
opinion.

Flow reads zero where there is nothing to move, so a plate must show enough fine detail to be given a figure.  One
that was enlarged is measured at the size it was made at; a large one that has detail only at a coarser size, at half
or quarter size.  The figure says so, and is in pixels of the full size all the same.
Measured on the tests' analytic scene (448x256): a clean render can be read on 81% of its surface; blurred by a
Gaussian of 2 px on 36%, of 3 px on 3%.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .warp import BORDER, Camera, Lookup, lookup, motion, sample, visible

DETAIL_SIGMA = 2.0  # px: detail is what is left after taking this Gaussian away
DETAIL_WINDOW = 9  # px a side: the flow's patch of 8, made odd
DETAIL_CODES = 0.5  # 8-bit codes a pixel: gradient of that detail, in its weaker direction, that can be read
MIN_DETAIL = 0.25  # of the visible surface must have it, or there is no figure
MIN_SURFACE = 400  # px of visible surface; fewer give no figure
MIN_ROWS = 200  # no coarser size is tried below this height
ERODE = 3  # px left out around hidden places, where a flow patch sees what the carried frame lacks
SIFT_RATIO = 0.75
SIFT_FEATURES = 1500
MIN_MATCHES = 20

Grey = NDArray[np.float32]
_cv2: Any = cv2  # its type stubs leave DIS and SIFT out


@dataclass(frozen=True)
class PairLock:
    """One pair's reading.

    frame, source : absolute numbers of u and t.  median, p95 : px at the shot's resolution, None where refused.
    share : of all pixels, those read.  detail : of the visible surface, the share read, which is all that can be.
    motion : median px by which the read pixels move between the two frames; what a texture stuck to the screen reads.
    """

    frame: int
    source: int
    median: float | None
    p95: float | None
    share: float
    detail: float
    motion: float


@dataclass(frozen=True)
class LockFigure:
    """The camera lock over all measured pairs k frames apart; px at the shot's resolution.

    median, p95 : None when refused, and `reason` says why.  pairs of possible: measured of all there are.
    matches : SIFT's median px and their number, over a few of the pairs.  response : what a known shift of 1 px,
    injected into this very plate, reads back as.  scale : of the shot's size, the size measured at.
    """

    k: int
    median: float | None
    p95: float | None
    share: float
    detail: float
    motion: float
    matches: float | None
    match_count: int
    response: float | None
    scale: float
    pairs: int
    possible: int
    reason: str | None
    frames: tuple[PairLock, ...]


@dataclass(frozen=True, eq=False)
class View:
    """One frame as the lock sees it: its picture, depth and camera, and what takes no part."""

    number: int
    grey: Grey
    depth: NDArray[np.float32]
    camera: Camera
    left_out: NDArray[np.bool_] | None


def gradient(grey: Grey) -> Grey:
    """Gradient magnitude [H, W], codes a pixel (Scharr's kernel)."""
    gx, gy = cv2.Scharr(grey, cv2.CV_32F, 1, 0, scale=1 / 32), cv2.Scharr(grey, cv2.CV_32F, 0, 1, scale=1 / 32)
    return np.asarray(cv2.magnitude(gx, gy), np.float32)


def fine_detail(grey: Grey) -> Grey:
    """[H, W] codes a pixel: RMS gradient of the fine detail around each pixel, in the direction that has least of it.

    The root of the smaller eigenvalue of the structure tensor (Shi & Tomasi 1994), of the picture less its Gaussian
    of 2 px: blur takes that away first, and along a lone edge it is zero, where flow cannot tell a slip.
    """
    fine = grey - cv2.GaussianBlur(grey, (0, 0), DETAIL_SIGMA)
    gx, gy = cv2.Scharr(fine, cv2.CV_32F, 1, 0, scale=1 / 32), cv2.Scharr(fine, cv2.CV_32F, 0, 1, scale=1 / 32)
    window = (DETAIL_WINDOW, DETAIL_WINDOW)
    xx, xy, yy = (np.asarray(cv2.blur(product, window)) for product in (gx * gx, gx * gy, gy * gy))
    smaller = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    return np.sqrt(np.maximum(smaller, 0)).astype(np.float32)


def _codes(grey: NDArray) -> NDArray[np.uint8]:
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _flow() -> Any:
    flow = _cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setFinestScale(0)
    return flow


def scaled(view: View, scale: float) -> View:
    """The view at a smaller size: grey averaged, depth and mask by the nearest pixel, K with them."""
    if scale == 1:
        return view
    height, width = (round(side * scale) for side in view.grey.shape)
    sx, sy = width / view.grey.shape[1], height / view.grey.shape[0]
    rows = ((np.arange(height) + 0.5) / sy).astype(int)
    columns = ((np.arange(width) + 0.5) / sx).astype(int)
    left_out = None if view.left_out is None else view.left_out[rows][:, columns]
    return View(
        view.number,
        np.asarray(cv2.resize(view.grey, (width, height), interpolation=cv2.INTER_AREA), np.float32),
        np.ascontiguousarray(view.depth[rows][:, columns]),
        Camera(np.diag([sx, sy, 1.0]) @ view.camera.K, view.camera.world_from_camera),
        left_out,
    )


@dataclass(frozen=True, eq=False)
class _Pair:
    """A carried pair and the pixels that are read.  surface [H, W]: visible, not sky; empty where it is too little.

    selected : of the surface, what has enough fine detail.

    detail : of the visible surface, the share selected.
    """

    t: View
    u: View
    at: Lookup
    carried: Grey
    usable: NDArray[np.bool_]
    surface: NDArray[np.bool_]
    selected: NDArray[np.bool_]
    detail: float


def _prepare(t: View, u: View) -> _Pair:
    at = lookup(t.camera, u.depth, u.camera)
    usable = visible(at, t.depth, border=BORDER)
    for view in (t, u):
        if view.left_out is not None:
            out = view.left_out.astype(np.float32)
            usable &= (sample(out, at) if view is t else out) == 0
    # The sky is left out of the lock: clouds drift by themselves, and a clear sky has nothing to read.
    surface = usable & np.isfinite(u.depth)
    surface &= cv2.erode(usable.astype(np.uint8), np.ones((2 * ERODE + 1, 2 * ERODE + 1), np.uint8)) > 0
    carried = sample(t.grey, at)
    if surface.sum() < MIN_SURFACE:
        nothing = np.zeros_like(surface)
        return _Pair(t, u, at, carried, usable, nothing, nothing, 0.0)
    selected = surface & (fine_detail(u.grey) >= DETAIL_CODES)
    return _Pair(t, u, at, carried, usable, surface, selected, float(selected.sum() / surface.sum()))


def _displacement(pair: _Pair, flow: Any, shift: float = 0.0) -> NDArray[np.float32]:
    """What is left between frame u and frame t carried to it, [N, 2] px on the selected pixels.

    shift : px by which the carried frame is moved first, to learn how the instrument answers.
    """
    carried: NDArray = pair.carried
    if shift:
        move = np.array([[1.0, 0.0, shift], [0.0, 1.0, 0.0]])
        carried = cv2.warpAffine(carried, move, carried.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    start = np.zeros((*carried.shape, 2), np.float32)
    return flow.calc(_codes(pair.u.grey), _codes(carried), start)[pair.selected]


def _matches(pair: _Pair, sift: Any) -> NDArray[np.float32]:
    """Errors [N] in px of features matched between the two real frames and carried through depth."""
    points_t, words_t = sift.detectAndCompute(_codes(pair.t.grey), None)
    points_u, words_u = sift.detectAndCompute(_codes(pair.u.grey), None)
    if words_t is None or words_u is None or len(words_t) < 2:
        return np.empty(0, np.float32)
    errors = []
    height, width = pair.usable.shape
    for best, second in cv2.BFMatcher(cv2.NORM_L2).knnMatch(words_u, words_t, k=2):
        if best.distance > SIFT_RATIO * second.distance:
            continue
        x, y = np.array(points_u[best.queryIdx].pt) + 0.5  # SIFT counts from pixel centres
        row, column = min(int(y), height - 1), min(int(x), width - 1)
        if not pair.usable[row, column] or np.isinf(pair.u.depth[row, column]):
            continue
        # Inside a pixel the shift is taken as constant: off by the change of scale times half a pixel at most.
        expected = (
            pair.at.x[row, column] + x - (column + 0.5),
            pair.at.y[row, column] + y - (row + 0.5),
        )
        found = np.array(points_t[best.trainIdx].pt) + 0.5
        errors.append(np.hypot(*(found - expected)))
    return np.array(errors, np.float32)


def spread(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 … count-1, evenly spread, the first and last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)}) if most > 1 else [count // 2]


def _choose_scale(starts: list[int], k: int, view: Callable[[int], View], made_at: float) -> float:
    """The largest of the size it was made at, half and quarter of that, at which the plate has enough detail."""
    probes = [starts[i] for i in spread(len(starts), 3)]
    height = view(probes[0]).grey.shape[0]
    for scale in (made_at, made_at / 2, made_at / 4):
        if scale < made_at and height * scale < MIN_ROWS:
            break
        details = [_prepare(scaled(view(t), scale), scaled(view(t + k), scale)).detail for t in probes]
        if np.median(details) >= MIN_DETAIL:
            return scale
    return made_at


def camera_lock(
    view: Callable[[int], View], count: int, k: int, *, most: int, most_matched: int = 6, made_at: float = 1.0
) -> LockFigure:
    """Measure the lock of frames k apart.

    view : gives frame i of `count` (0-based).  most, most_matched : pairs to measure, and to match, at most.
    made_at : the size the picture was made at, as a share of its own: 0.25 where it was enlarged four times.
    """
    possible = max(count - k, 0)
    if not possible:
        return LockFigure(k, None, None, 0, 0, 0, None, 0, None, 1, 0, 0, f"the shot has only {count} frames", ())
    starts = [int(t) for t in spread(possible, most)]
    scale = _choose_scale(starts, k, view, made_at)
    flow, sift = _flow(), _cv2.SIFT_create(SIFT_FEATURES)
    probe = {starts[i] for i in spread(len(starts), most_matched)}
    frames, sizes, matches, responses = [], [], [], []
    unseen = 0
    for t in starts:
        pair = _prepare(scaled(view(t), scale), scaled(view(t + k), scale))
        enough = pair.detail >= MIN_DETAIL
        unseen += not pair.surface.any()
        median = p95 = None
        if enough:
            left = _displacement(pair, flow)
            size = np.hypot(left[:, 0], left[:, 1]) / scale
            median, p95 = float(np.median(size)), float(np.percentile(size, 95))
            sizes.append(size[:: max(1, len(size) // 8192)])
            if t in probe and len(responses) < 2:
                answer = _displacement(pair, flow, shift=1.0)
                responses.append(float(np.median(answer[:, 0] - left[:, 0])))
        if t in probe:
            matches.append(_matches(pair, sift) / scale)
        moved = motion(pair.at)[pair.selected if enough else pair.surface]
        frames.append(
            PairLock(
                frame=pair.u.number,
                source=pair.t.number,
                median=median,
                p95=p95,
                share=float(pair.selected.mean()) if enough else 0.0,
                detail=pair.detail,
                motion=float(np.median(moved)) / scale if len(moved) else 0.0,
            )
        )
    return _figure(k, possible, scale, unseen, frames, sizes, np.concatenate(matches), responses)


def _figure(
    k: int,
    possible: int,
    scale: float,
    unseen: int,
    frames: list[PairLock],
    sizes: list[NDArray[np.float32]],
    matches: NDArray[np.float32],
    responses: list[float],
) -> LockFigure:
    """Pool the pairs; refuse when fewer than half of them had enough to read."""
    detail = float(np.median([f.detail for f in frames]))
    reason = None
    if len(sizes) * 2 < len(frames):
        reason = (
            "too little of one frame is visible in the other"
            if unseen * 2 > len(frames)
            else f"only {detail:.0%} of the surface shows enough detail to read ({MIN_DETAIL:.0%} are needed)"
        )
    pooled = np.concatenate(sizes) if sizes and reason is None else None
    return LockFigure(
        k=k,
        median=None if pooled is None else float(np.median(pooled)),
        p95=None if pooled is None else float(np.percentile(pooled, 95)),
        share=float(np.mean([f.share for f in frames])),
        detail=detail,
        motion=float(np.median([f.motion for f in frames])),
        matches=float(np.median(matches)) if len(matches) >= MIN_MATCHES else None,
        match_count=len(matches),
        response=float(np.median(responses)) if responses and reason is None else None,
        scale=scale,
        pairs=len(frames),
        possible=possible,
        reason=reason,
        frames=tuple(frames),
    )
