"""Depth edges against shapes whose outline is known, and the agreement against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from farplane.backend.pipeline.edges import _auc, depth_edges, edge_agreement, ridges


def card(height: int = 80, width: int = 101) -> tuple[np.ndarray, np.ndarray]:
    """A card at 5 m before a ground that runs to the horizon and a sky; its mask."""
    y = np.arange(height)[:, None] + 0.5
    ground = np.where(y > 40, 60.0 / np.maximum(y - 40, 1e-3), np.inf)
    depth = np.broadcast_to(ground, (height, width)).astype(np.float32).copy()
    mask = np.zeros((height, width), bool)
    mask[20:50, 30:60] = True
    depth[mask] = 2.0
    return depth, mask


def test_edges_are_the_outline_and_a_slanted_plane_has_none() -> None:
    depth, mask = card()
    edges = depth_edges(depth)
    outline = mask.copy()
    outline[21:49, 31:59] = False
    assert edges[outline].all()
    # Nothing else but the horizon's one row may count, and the ground's rows never.
    rest = edges & ~mask
    assert not rest[42:].any()
    assert not depth_edges(np.full((40, 50), 7.0, np.float32)).any()
    x = np.arange(64)[None, :] + 0.5
    slanted = np.broadcast_to(1.0 / (0.02 + 0.01 * x), (40, 64)).astype(np.float32)
    assert not depth_edges(slanted).any()
    assert not depth_edges(np.full((40, 50), np.inf, np.float32)).any()


@pytest.mark.parametrize("seed", range(3))
def test_the_auc_counts_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edge, other = rng.integers(0, 9, 37).astype(float), rng.integers(0, 7, 53).astype(float)
    wins = (edge[:, None] > other).sum() + 0.5 * (edge[:, None] == other).sum()
    assert _auc(edge, other) == pytest.approx(wins / (37 * 53))


def test_a_picture_of_the_depth_agrees_and_noise_does_not() -> None:
    depth, mask = card(128, 160)
    rng = np.random.default_rng(0)
    drawn = np.where(mask, 0.8, 0.2).astype(np.float32)
    agreed = edge_agreement(drawn, depth, rng)
    assert agreed is not None
    assert agreed.auc > 0.99
    assert agreed.recall > 0.95
    assert agreed.precision > 0.95
    noise = edge_agreement(rng.uniform(0, 1, depth.shape).astype(np.float32), depth, rng)
    assert noise is not None
    # 150 edge pixels: the AUC of noise scatters by .024.
    assert noise.auc == pytest.approx(0.5, abs=0.1)
    assert noise.recall < 0.5


def test_a_real_render_agrees_and_its_moved_edges_do_not(boxes) -> None:
    agreed = edge_agreement(boxes.rgb[0] @ [0.2, 0.7, 0.1], boxes.depth[0], np.random.default_rng(1))
    assert agreed is not None
    assert agreed.auc > 0.85
    assert agreed.shuffled == pytest.approx(0.5, abs=0.1)
    assert agreed.precision > 0.4
    assert agreed.recall > 0.5


def test_a_depth_without_silhouettes_gives_no_figure() -> None:
    flat = np.full((60, 60), 5.0, np.float32)
    assert edge_agreement(np.ones((60, 60), np.float32), flat, np.random.default_rng(0)) is None


def test_ridges_lie_on_the_step_and_are_as_many_as_asked_for() -> None:
    grey = np.zeros((40, 60), np.float32)
    grey[:, 30:] = 1.0
    found = ridges(grey, 30)
    assert found.sum() == 30
    assert set(np.nonzero(found)[1]) <= {29, 30}
    assert ridges(np.zeros((9, 9), np.float32), 5).sum() == 0
