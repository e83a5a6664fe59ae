"""Do a picture's edges lie where the depth has its silhouettes?

Legend: H rows, W columns.  Depth in metres, `inf` for sky.

A depth edge is a step that the surfaces on neither side explain.  Inverse depth is linear across a plane, so its
slope on either side says how much of a difference between two neighbours is mere slant; what is over that, and over
10% of the nearer one, is a step.  A ground that runs to the horizon has none; a skyline has.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .lock import gradient
from .warp import inverse_depth

STEP = 0.10  # of the nearer inverse depth
REACH = 1  # px: an image edge this near counts for the AUC
GAP = 4  # px: pixels nearer than this to a depth edge, but not on it, count for neither side
HIT = 2  # px: how far an image edge may lie from its depth edge for precision and recall
SHUFFLES = 4


class EdgeAgreement(NamedTuple):
    """How well image gradient tells depth edges from other pixels.

    auc : probability that an edge pixel has more gradient than another; .5 is chance.  shuffled : the same for the
    depth edges moved to random places.  precision, recall : of the strongest image edges, as many pixels as the
    depth has edge pixels, the share within 2 px of a depth edge; of the depth edges, the share within 2 px of one.
    """

    auc: float
    shuffled: float
    precision: float
    recall: float


def depth_steps(depth: NDArray) -> NDArray[np.bool_]:
    """[H, W - 1]: between column j and j + 1 of a depth [H, W] lies a silhouette."""
    return _steps(inverse_depth(depth))


def _steps(w: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[H, W-1]: between column j and j+1 lies a step of inverse depth."""
    difference = np.abs(np.diff(w, axis=1))
    slant = np.zeros_like(difference)
    slant[:, 1:] = difference[:, :-1]
    slant[:, :-1] = np.maximum(slant[:, :-1], difference[:, 1:])
    return difference - slant > STEP * np.maximum(w[:, 1:], w[:, :-1])


def depth_edges(depth: NDArray, *, both_sides: bool = False) -> NDArray[np.bool_]:
    """[H, W]: pixels on the nearer side of a step in depth; with `both_sides` those on the farther side too."""
    w = inverse_depth(depth)
    edges = np.zeros(w.shape, bool)
    across, down = _steps(w), _steps(np.ascontiguousarray(w.T)).T
    edges[:, :-1] |= across & (both_sides | (w[:, :-1] >= w[:, 1:]))
    edges[:, 1:] |= across & (both_sides | (w[:, 1:] > w[:, :-1]))
    edges[:-1] |= down & (both_sides | (w[:-1] >= w[1:]))
    edges[1:] |= down & (both_sides | (w[1:] > w[:-1]))
    return edges


def _dilate(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0


def _auc(edge: NDArray, other: NDArray) -> float:
    """Mann-Whitney's statistic, ties counted half."""
    values = np.concatenate([edge, other])
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # the mean rank of each value, from 1
    n = len(edge)
    return float((rank[:n].sum() - n * (n + 1) / 2) / (n * len(other)))


def _thin(values: NDArray, most: int = 50_000) -> NDArray:
    """Every n-th value, so that at most `most` are sorted; their AUC is known to .003 then."""
    return values[:: -(-len(values) // most)]


def _score(strength: NDArray, edges: NDArray[np.bool_]) -> float | None:
    other = ~_dilate(edges, GAP)
    if edges.sum() < 20 or other.sum() < 20:
        return None
    return _auc(_thin(strength[edges]), _thin(strength[other]))


def ridges(grey: NDArray[np.float32], count: int) -> NDArray[np.bool_]:
    """The `count` strongest pixels [H, W] of those where the gradient peaks across its own direction."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 0.8)
    gx, gy = cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    size = cv2.magnitude(gx, gy)
    across = np.abs(gx) >= np.abs(gy)
    left, right = np.roll(size, 1, 1), np.roll(size, -1, 1)
    above, below = np.roll(size, 1, 0), np.roll(size, -1, 0)
    peak = np.where(across, (size >= left) & (size > right), (size >= above) & (size > below))
    peak[[0, -1]], peak[:, [0, -1]] = False, False
    strength = np.where(peak, size, 0).ravel()
    count = min(count, int((strength > 0).sum()))
    found = np.zeros(strength.size, bool)
    if count:
        found[np.argpartition(strength, -count)[-count:]] = True
    return found.reshape(grey.shape)


def edge_agreement(grey: NDArray[np.float32], depth: NDArray, rng: np.random.Generator) -> EdgeAgreement | None:
    """Compare one frame with its depth; None where the depth has too few edges to tell.

    grey [H, W] in any display encoding; depth [H, W] metres.
    """
    edges = depth_edges(depth)
    height, width = edges.shape
    strength = cv2.dilate(gradient(np.asarray(grey, np.float32)), np.ones((2 * REACH + 1,) * 2, np.uint8))
    auc = _score(strength, edges)
    if auc is None:
        return None
    moved = [
        _score(strength, np.roll(edges, (int(rng.integers(height)), int(rng.integers(width))), (0, 1)))
        for _ in range(SHUFFLES)
    ]
    found = ridges(np.asarray(grey, np.float32), int(edges.sum()))
    precision = float(_dilate(edges, HIT)[found].mean()) if found.any() else 0.0
    recall = float(_dilate(found, HIT)[edges].mean())
    return EdgeAgreement(auc, float(np.mean([m for m in moved if m is not None])), precision, recall)
