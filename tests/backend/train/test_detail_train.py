"""What the detail stage is taught with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from farplane.backend.model.detail import enlarge
from farplane.backend.model.words import WordEncoder
from farplane.backend.pipeline.geometry import SURFACE_CHANNELS
from farplane.backend.train.data import ClipStore
from farplane.backend.train.detail_train import (
    DetailPlan,
    DetailRecipe,
    drawn_noise,
    halved,
    make_detail_batch,
    recoloured,
    smoothed,
    worsen,
)
from farplane.backend.train.drafts import write_drafts
from farplane.backend.train.loop import Run
from farplane.backend.train.prompts import vocabulary
from farplane.backend.train.train import BasePlan, Recipe, loss_of, make_batch

RECIPE = DetailRecipe(channels=8, blocks=1, batch=6, crop=64, crops_a_frame=3)


def test_crops_and_their_small_pictures_belong_together(store: ClipStore) -> None:
    rng = np.random.default_rng(4)
    exact = DetailRecipe(**{**RECIPE.__dict__, "radius": 0.0, "blur": 0.0, "noise": 0.0, "text_dropout": 0.0})
    encoder = WordEncoder(vocabulary(), 1)
    batch = make_detail_batch(store, encoder, exact, rng)
    assert batch.large.shape == (6, 3, 64, 64)
    assert batch.surface.shape == (6, SURFACE_CHANNELS, 64, 64)
    expected = torch.nn.functional.avg_pool2d(batch.large, 4)
    torch.testing.assert_close(batch.small, expected, rtol=0, atol=1e-5)  # float32 means in another order
    torch.testing.assert_close(batch.words.sum(1), torch.ones(6))
    assert not batch.words[:, :2].any()  # every word of a training prompt is known
    assert torch.equal(batch.words[0], batch.words[2]), "crops of one frame share its prompt"


@pytest.fixture(scope="module")
def drafted(store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipStore, Path]:
    """The store with drafts of a tiny first stage, trained for a moment, and that stage's run."""
    run: Path = tmp_path_factory.mktemp("run")
    recipe = Recipe(patch=8, dim=24, heads=2, ffn=32, layers=2, vace_layers=(0,), text_dim=8, head_channels=8, batch=2)
    stage = Run(run / "base", BasePlan(recipe, store, store), "cpu")
    batch, generator = make_batch(store, store, recipe, np.random.default_rng(0)), torch.Generator().manual_seed(0)
    for _ in range(10):
        loss, _ = loss_of(stage.model, batch, recipe, generator)
        loss.backward()
        for optim in stage.optims:
            optim.step()
            optim.zero_grad()
    stage.ema.load_state_dict(stage.model.state_dict())
    stage.save()
    assert write_drafts(run, store.folder) == 1
    return ClipStore(store.folder), run


def test_drafts_are_the_first_stages_pictures(drafted: tuple[ClipStore, Path]) -> None:
    store, run = drafted
    one, rough = store.load_draft(3, exact=True), store.load_draft(3, exact=False)
    assert one is not None
    assert rough is not None
    assert one.shape == store.load(3)[0].shape[1:]
    assert np.isfinite(one).all()
    assert one.std() > 0
    assert not np.array_equal(one, rough), "the exact depth and the blockout's are told apart"
    assert write_drafts(run, store.folder) == 0, "what is there is kept"
    before = one.copy()
    assert write_drafts(run, store.folder, again=True) == 1
    again = ClipStore(store.folder).load_draft(3, exact=True)
    assert again is not None
    np.testing.assert_array_equal(again, before)  # the same seeds, the same weights


def test_drafted_crops_have_the_drafts_shapes_and_the_renders_colours(drafted: tuple[ClipStore, Path]) -> None:
    recipe = DetailRecipe(**{**RECIPE.__dict__, "drafted": 1.0, "corrected": (1e-3, 1e-3)})
    batch = make_detail_batch(drafted[0], WordEncoder(vocabulary(), 1), recipe, np.random.default_rng(4))
    assert not batch.trust.any()
    # A blur of no width brings the draft to the render itself: the crops lie where they should, mirrored or not.
    torch.testing.assert_close(batch.small, torch.nn.functional.avg_pool2d(batch.large, 4), rtol=0, atol=1e-5)
    wide = DetailRecipe(**{**recipe.__dict__, "corrected": (4.0, 4.0)})
    batch = make_detail_batch(drafted[0], WordEncoder(vocabulary(), 1), wide, np.random.default_rng(4))
    assert (batch.small - torch.nn.functional.avg_pool2d(batch.large, 4)).abs().mean() > 0.01


def test_recolouring_moves_colours_and_leaves_edges() -> None:
    draft, small = np.zeros((24, 40, 3), np.float32), np.full((24, 40, 3), 0.7, np.float32)
    draft[:, 20:] += 0.5
    small[:, 24:] += 0.5  # the same edge, four pixels aside
    made = recoloured(draft, small, 8.0)
    assert abs(made[:, :8].mean() - 0.7) < 0.05  # 12 px from the wrong strip, whose 4 px weigh little there
    assert made[12, 20, 0] - made[12, 19, 0] > 0.45  # the draft's own edge is where it was


def test_noise_seen_from_nearer_is_the_same_noise_in_larger_pieces() -> None:
    rng = np.random.default_rng(6)
    always = DetailRecipe(magnified=1.0)
    pictures = [drawn_noise((64, 64, 3), always, rng) for _ in range(20)]
    assert abs(np.std(pictures) - 1) < 0.05  # at the least 20 * 64 * 64 * 3 / 9 values: 5% is many deviations
    repeated = np.mean([(p[:, 1:] == p[:, :-1]).mean() for p in pictures])
    assert 0.2 < repeated < 0.7  # on average 1 - 1 / size, sizes from 1 to 3
    assert (drawn_noise((64, 64, 3), DetailRecipe(magnified=0.0), rng)[:, 1:, 0] != 0).all()


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
