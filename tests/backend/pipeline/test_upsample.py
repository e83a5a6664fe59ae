"""Guided enlargement: edges land on the full-size depth's edges, sky and lamps do not bleed, nothing is made up."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from farplane.backend.pipeline.colour import display_encode
from farplane.backend.pipeline.upsample import upsample_guided


def small_depth(full: np.ndarray, height: int, width: int) -> np.ndarray:
    """The depth at the centres of the small pixels, as a shot's depth is thinned for the model."""
    rows = ((np.arange(height) + 0.5) * full.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * full.shape[1] / width).astype(int)
    return full[rows][:, columns]


@pytest.mark.parametrize("edge", [150, 151, 153, 155, 157])
@pytest.mark.parametrize("far", [20.0, np.inf])
def test_an_edge_lands_on_the_guides_edge(edge: int, far: float) -> None:
    """A wall at 5 m before something far: the small picture's edge is a mixed pixel, anywhere within 8 full ones."""
    full = np.full((120, 320), 5.0, np.float32)
    full[:, edge:] = far
    picture = np.where(full == 5.0, np.float32(0.1), np.float32(0.9))[..., None].repeat(3, -1)
    low = cv2.resize(picture, (40, 15), interpolation=cv2.INTER_AREA)
    got = upsample_guided(low, small_depth(full, 15, 40), full)
    assert got.shape == (120, 320, 3)
    assert got.dtype == np.float32
    middle = got[60, :, 0]
    crossing = int(np.argmax(middle > 0.35))
    assert abs(crossing - edge) <= 1  # the softened pixel
    # Two pixels off the edge each side has its own colour; half a mixed small pixel would show as 0.3.
    assert middle[: edge - 2].max() < 0.15
    assert middle[edge + 2 :].min() > 0.75
    plain = cv2.resize(low, (320, 120), interpolation=cv2.INTER_CUBIC)[60, :, 0]
    assert np.abs(middle - picture[60, :, 0]).sum() < 0.5 * np.abs(plain - picture[60, :, 0]).sum()


def test_a_lamp_neither_rings_nor_bleeds() -> None:
    """4000 times as bright as what is beside it."""
    full = np.full((96, 160), 30.0, np.float32)
    full[:, 77:] = np.inf
    picture = np.where(np.isinf(full), np.float32(400.0), np.float32(0.1))[..., None].repeat(3, -1)
    low = cv2.resize(picture, (40, 24), interpolation=cv2.INTER_AREA)
    got = upsample_guided(low, small_depth(full, 24, 40), full)
    assert got.min() >= 0
    assert got.max() <= 400.1
    assert got[:, :74].max() < 0.2
    flat = np.full((24, 40, 3), 0.1, np.float32)
    flat[12, 20] = 1000
    flat[6, 20] = 0
    grown = upsample_guided(flat, np.full((24, 40), 3.0, np.float32), np.full((96, 160), 3.0, np.float32))
    assert np.isfinite(grown).all()
    assert grown.max() <= 1000.1
    assert grown[:20].max() < 0.11  # no overshoot beside the black pixel


def test_a_full_size_render_is_nearer_than_by_plain_enlargement(boxes, small) -> None:
    big = small(1344, 768, 1)
    got = upsample_guided(boxes.rgb[0], boxes.depth[0], big.depth[0])
    plain = cv2.resize(boxes.rgb[0], (1344, 768), interpolation=cv2.INTER_CUBIC)
    edges = np.abs(np.diff(np.minimum(big.depth[0], 500), axis=1, prepend=0)) > 1
    edges = cv2.dilate(edges.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    error, worse = (np.abs(display_encode(p) - display_encode(big.rgb[0])).mean(-1) for p in (got, plain))
    # Most of what is left is texture that neither can know.
    assert error[edges].mean() < 0.92 * worse[edges].mean()
    assert error.mean() < worse.mean()


def test_a_slanted_ground_is_enlarged_smoothly() -> None:
    """Its depth differs by far more than a surface's tolerance from row to row near the horizon."""
    y = np.arange(240)[:, None] + 0.5
    full = np.broadcast_to(200.0 / np.maximum(y - 20, 0.5), (240, 320)).astype(np.float32)
    full = np.where(y <= 20, np.inf, full).astype(np.float32)
    shade = (0.2 + 0.001 * y) * np.ones((240, 320))
    picture = shade[..., None].repeat(3, -1).astype(np.float32)
    low = cv2.resize(picture, (40, 30), interpolation=cv2.INTER_AREA)
    got = upsample_guided(low, small_depth(full, 30, 40), full)
    # Stairs would be .004 off: half a small pixel's shade.  By the skyline itself three small rows are allowed them.
    assert np.abs(got - picture)[48:-16].max() < 0.001
    assert np.abs(got - picture)[:48].max() < 0.009


@pytest.mark.parametrize(("h", "w"), [(48, 64), (60, 64), (96, 128), (97, 129)])
def test_other_ratios(h: int, w: int) -> None:
    rng = np.random.default_rng(h)
    rgb = rng.uniform(0, 2, (48, 64, 3)).astype(np.float32)
    depth = np.full((h, w), 4.0, np.float32)
    got = upsample_guided(rgb, small_depth(depth, 48, 64), depth)
    assert got.shape == (h, w, 3)
    if (h, w) == (48, 64):
        np.testing.assert_array_equal(got, rgb)
        assert got is not rgb
    # Geometric means lie under arithmetic ones: for values from 0 to 2, by a fifth at most.
    assert 0.75 * rgb.mean() < got.mean() < 1.02 * rgb.mean()


def test_a_smaller_shot_gets_the_mean() -> None:
    rgb = np.random.default_rng(0).uniform(0, 2, (48, 64, 3)).astype(np.float32)
    got = upsample_guided(rgb, np.ones((48, 64), np.float32), np.ones((24, 32), np.float32))
    np.testing.assert_allclose(got, rgb.reshape(24, 2, 32, 2, 3).mean((1, 3)), atol=1e-6)


@pytest.mark.parametrize("size", [(410, 66), (720, 64), (1715, 300), (401, 512)])
def test_a_slope_stays_where_it_is(size: tuple[int, int]) -> None:
    """A ramp in log light, enlarged by any ratio: read back as places, in pixels of the small picture."""
    width, height = size
    x, y = np.meshgrid(np.arange(400) + 0.5, np.arange(64) + 0.5)
    low = np.exp(np.stack([x / 100, y / 20, x / 200 + y / 50], -1)).astype(np.float32)
    got = upsample_guided(low, np.full((64, 400), 5.0, np.float32), np.full((height, width), 5.0, np.float32))
    inside = np.s_[height // 16 : -height // 16, width // 16 : -width // 16]
    u, v = np.meshgrid((np.arange(width) + 0.5) * 400 / width, (np.arange(height) + 0.5) * 64 / height)
    # OpenCV's own cubic is off by up to 0.048 here; float32 and the black that is added before the logarithm leave 2e-3.
    assert np.abs(np.log(got[..., 0]) * 100 - u)[inside].max() < 3e-3
    assert np.abs(np.log(got[..., 1]) * 20 - v)[inside].max() < 3e-3
