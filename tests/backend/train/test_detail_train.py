"""What the detail stage is taught with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from farplane.backend.model.detail import enlarge
from farplane.backend.model.words import WordEncoder
from farplane.backend.train.data import ClipStore, make_shard
from farplane.backend.train.detail_train import DetailPlan, DetailRecipe, halved, make_detail_batch, smoothed, worsen
from farplane.backend.train.prompts import vocabulary

RECIPE = DetailRecipe(channels=8, blocks=1, batch=6, crop=64, crops_a_frame=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    folder: Path = tmp_path_factory.mktemp("shards")
    make_shard(folder, 1, frames=1, size=(32, 16))
    return ClipStore(folder)


def test_crops_and_their_small_pictures_belong_together(store: ClipStore) -> None:
    rng = np.random.default_rng(4)
    exact = DetailRecipe(**{**RECIPE.__dict__, "radius": 0.0, "blur": 0.0, "noise": 0.0, "text_dropout": 0.0})
    encoder = WordEncoder(vocabulary(), 1)
    batch = make_detail_batch(store, encoder, exact, rng)
    assert batch.large.shape == (6, 3, 64, 64)
    assert batch.surface.shape == (6, 10, 64, 64)
    expected = torch.nn.functional.avg_pool2d(batch.large, 4)
    torch.testing.assert_close(batch.small, expected, rtol=0, atol=1e-5)  # float32 means in another order
    torch.testing.assert_close(batch.words.sum(1), torch.ones(6))
    assert not batch.words[:, :2].any()  # every word of a training prompt is known
    assert torch.equal(batch.words[0], batch.words[2]), "crops of one frame share its prompt"


def test_distrusted_pictures_are_worse() -> None:
    rng = np.random.default_rng(1)
    picture = rng.standard_normal((16, 28, 3)).astype(np.float32)
    guide = np.zeros((16, 28), np.float32)
    np.testing.assert_array_equal(worsen(picture, guide, 1.0, RECIPE, rng), picture)

    def error(trust: float) -> float:
        return float(np.mean([np.abs(worsen(picture, guide, trust, RECIPE, rng) - picture).mean() for _ in range(9)]))

    assert 0 < error(0.7) < error(0.1)


def test_smoothing_keeps_the_edges_of_depth_and_no_texture() -> None:
    rng = np.random.default_rng(3)
    guide = np.zeros((32, 32), np.float32)
    guide[:, 16:] = 0.5
    sides = np.where(guide > 0, 1.0, -1.0)[..., None].repeat(3, -1).astype(np.float32)
    made = smoothed(sides + rng.normal(0, 0.3, sides.shape).astype(np.float32), guide, 5)
    # Half a window of a side (5 x 11 pixels at the least, filtered twice) leaves 0.3 / sqrt(55) of the noise; 4 of it.
    assert np.abs(made - sides).max() < 4 * 0.3 / np.sqrt(55)
    flat = smoothed(sides, np.zeros_like(guide), 5)
    assert abs(flat[16, 16, 0]) < 0.2, "without an edge in the guide the picture's own goes"


def test_halving_is_the_mean_of_squares() -> None:
    picture = np.arange(8 * 12 * 3, dtype=np.float32).reshape(8, 12, 3)
    np.testing.assert_allclose(halved(picture)[1, 2], picture[4:8, 8:12].mean((0, 1)), rtol=1e-6)


def test_a_few_steps_lower_the_loss(store: ClipStore) -> None:
    plan = DetailPlan(RECIPE, store)
    torch.manual_seed(0)
    model = plan.make_model()
    optim = plan.optimisers(model)[0]
    batch = plan.make_batch(np.random.default_rng(2))
    base = enlarge(batch.small, (64, 64))
    assert base.shape == batch.large.shape
    losses = []
    for _ in range(30):
        loss, _ = plan.loss(model, batch, torch.Generator().manual_seed(7))  # the same noise levels throughout
        loss.backward()
        optim.step()
        optim.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
