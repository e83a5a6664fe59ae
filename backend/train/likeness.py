"""How alike two sets of pictures are as a whole (Fréchet distance), and each picture to its nearest of another set.

Legend: N samples, D features.  Features come from the judge (classifier.py), a network that no plate ever taught.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERCENTILE = 1.0  # of the held-out renders' own distances: a plate nearer to training than that is called a copy


def frechet_distance(a: NDArray, b: NDArray) -> float:
    """Squared Fréchet distance between Gaussians fitted to features a [N, D] and b [M, D].

    |mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)) with the covariances A, B (Dowson & Landau 1982).  The root's trace
    is that of (A^(1/2) B A^(1/2))^(1/2), which is symmetric and takes covariances of any rank.

    Fewer samples than features leave it biased upwards: compare it with one of as many samples on both sides.
    """
    if len(a) < 2 or len(b) < 2:
        raise ValueError("a covariance needs two samples")
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ cov_b @ root)
    shift = a.mean(0) - b.mean(0)
    distance = shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(np.maximum(inner, 0)).sum()
    return float(max(distance, 0.0))


@dataclass(frozen=True, eq=False)
class Nearest:
    """For each of N samples: index of the nearest of the other set, and its distance."""

    index: NDArray[np.intp]
    distance: NDArray[np.float32]


def nearest(samples: NDArray, others: NDArray) -> Nearest:
    """Cosine distance (0 same direction … 2 opposite) to the nearest row; rows of both are centred on `others`' mean."""
    centre = others.mean(0)
    a, b = (_unit(np.asarray(x, np.float32) - centre) for x in (samples, others))
    index, best = np.zeros(len(a), np.intp), np.full(len(a), -np.inf, np.float32)
    for start in range(0, len(b), 4096):
        likeness = a @ b[start : start + 4096].T
        here = likeness.argmax(1)
        value = likeness[np.arange(len(a)), here]
        better = value > best
        index[better], best[better] = start + here[better], value[better]
    return Nearest(index, np.maximum(1.0 - best, 0.0))


def _unit(rows: NDArray) -> NDArray[np.float32]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)


def thumbnails(pictures: NDArray) -> NDArray[np.float32]:
    """Pictures [N, 3, 64, 112] as [N, D] values of 28 x 16 areas, each picture's own mean colour taken away.

    The second pair of eyes for copies: the judge's features may call two different valleys at dusk the same.
    """
    n, channels, height, width = pictures.shape
    small = np.asarray(pictures, np.float32).reshape(n, channels, height // 4, 4, width // 4, 4).mean((3, 5))
    return (small - small.mean((2, 3), keepdims=True)).reshape(n, -1)


@dataclass(frozen=True)
class Likeness:
    """Distances to the nearest training frame, as percentiles 1, 10, 50, for plates and for held-out renders.

    copies : share of plates nearer to a training frame than the renders' own first percentile; about .01 of renders
    are, by definition.
    """

    plate: tuple[float, float, float]
    render: tuple[float, float, float]
    copies: float
    training: int


def likeness(plates: NDArray, renders: NDArray, training: NDArray) -> tuple[Likeness, Nearest]:
    """Compare features of plates and of held-out renders [N, D] with those of training frames [M, D]."""
    found, own = nearest(plates, training), nearest(renders, training)
    at = (PERCENTILE, 10.0, 50.0)
    plate, render = (tuple(np.percentile(x.distance, at).tolist()) for x in (found, own))
    copies = float((found.distance < np.percentile(own.distance, PERCENTILE)).mean())
    return Likeness((plate[0], plate[1], plate[2]), (render[0], render[1], render[2]), copies, len(training)), found
