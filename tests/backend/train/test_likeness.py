"""Fréchet distance and nearest neighbours, against scipy and against Gaussians whose distance is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from farplane.backend.train.likeness import frechet_distance, likeness, nearest, thumbnails


def test_frechet_is_the_textbook_formula() -> None:
    """With scipy's general matrix root, which takes another way to it."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=(400, 12)) @ rng.normal(size=(12, 12)) + 1.0
    b = rng.normal(size=(300, 12)) @ rng.normal(size=(12, 12))
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    shift = a.mean(0) - b.mean(0)
    expected = shift @ shift + np.trace(cov_a + cov_b - 2 * np.real(sqrtm(cov_a @ cov_b)))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)


def test_frechet_of_one_feature_is_the_gaussians_own() -> None:
    """(mean difference)^2 + (deviation difference)^2, exactly, whatever the samples."""
    x = np.array([[-1.0], [1.0]])  # mean 0, deviation sqrt 2
    assert frechet_distance(x, 3 * x + 5) == pytest.approx(25 + (2 * np.sqrt(2)) ** 2)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-12)


def test_frechet_takes_fewer_samples_than_features() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=(10, 40))
    # The roots of eigenvalues that are zero but for rounding add up to some 1e-6.
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-5)
    assert frechet_distance(a, a + 1) == pytest.approx(40, rel=1e-5)
    with pytest.raises(ValueError, match="two samples"):
        frechet_distance(a[:1], a)


@pytest.mark.parametrize("others", [7, 5000])  # more than one block of the search
def test_nearest_is_the_smallest_of_all_cosine_distances(others: int) -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(9, 6)), rng.normal(size=(others, 6))
    expected = cdist(a - b.mean(0), b - b.mean(0), "cosine")
    found = nearest(a, b)
    np.testing.assert_array_equal(found.index, expected.argmin(1))
    np.testing.assert_allclose(found.distance, expected.min(1), atol=1e-5)


def test_copies_show_and_new_pictures_do_not() -> None:
    rng = np.random.default_rng(4)
    training, renders = rng.normal(size=(500, 16)), rng.normal(size=(200, 16))
    fresh = rng.normal(size=(200, 16))
    honest, _ = likeness(fresh, renders, training)
    # A share of .01 of 200, give or take what 200 draws give.
    assert honest.copies <= 0.05
    assert honest.plate[2] == pytest.approx(honest.render[2], rel=0.2)
    fresh[::4] = training[:50] + 0.01 * rng.normal(size=(50, 16))
    caught, found = likeness(fresh, renders, training)
    assert caught.copies >= 0.25
    np.testing.assert_array_equal(found.index[::4], np.arange(50))
    assert caught.training == 500


def test_thumbnails_see_layout_and_not_the_mean_colour() -> None:
    rng = np.random.default_rng(5)
    pictures = rng.random((2, 3, 64, 112)).astype(np.float32)
    small = thumbnails(pictures)
    assert small.shape == (2, 3 * 16 * 28)
    np.testing.assert_allclose(small, thumbnails(pictures + np.float32(0.3)), atol=1e-5)
    first = pictures[0, 0, :4, :4].mean() - pictures[0, 0].mean()
    assert small[0, 0] == pytest.approx(first, abs=1e-5)
