"""What the first stage is taught with: references, and that older recipes and weights go on."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from farplane.backend.pipeline.geometry import GROUP
from farplane.backend.train.data import ClipStore, make_shard
from farplane.backend.train.train import (
    REFERENCE_SHARE,
    BasePlan,
    Model,
    Recipe,
    draw_known,
    draw_reference,
    loss_of,
    make_batch,
)

RECIPE = Recipe(patch=8, dim=24, heads=2, ffn=32, layers=2, vace_layers=(0,), text_dim=8, head_channels=8, batch=2)
ALWAYS = replace(RECIPE, reference=1.0, image_batches=0.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    folder: Path = tmp_path_factory.mktemp("shards")
    make_shard(folder, 1, frames=5, size=(32, 16))
    return ClipStore(folder)


def level_one() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_reference_is_a_piece_of_one_picture() -> None:
    """On a picture whose colours tell the place, a reference spans what its share of the sides spans."""
    height, width = 45, 60
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    scene = np.stack([np.stack([rows, columns, np.full_like(rows, t)], -1) for t in range(3)])
    rng, shown, mirrored = np.random.default_rng(1), set(), set()
    for _ in range(60):
        one = draw_reference(rng, scene)
        assert one.shape == (1, height, width, 3)
        assert one.dtype == np.float32
        low, high = REFERENCE_SHARE
        for axis, side in ((0, height), (1, width)):
            span = (np.ptp(one[0, :, :, axis]) + 1) / side  # from the first pixel's centre to the last one's
            assert low - 0.51 / side <= span <= high + 0.51 / side  # the piece's sides are whole pixels
        assert one[0, 0, 0, 0] < one[0, -1, 0, 0], "never upside down"
        mirrored.add(bool(one[0, 0, 0, 1] > one[0, 0, -1, 1]))
        shown.add(float(one[0, 0, 0, 2]))
    assert shown == {0.0, 1.0, 2.0}, "any of the scene's pictures"
    assert mirrored == {False, True}


def test_a_single_frame_is_never_wholly_known() -> None:
    recipe, rng = Recipe(editing=1.0), np.random.default_rng(4)
    shares = np.array([draw_known(rng, (1, 16, 28), recipe).mean() for _ in range(400)])
    assert shares.max() < 1, "there is always something to make"
    # One task in four is a region; 400 draws have a standard deviation of 0.022, and four of them are allowed.
    assert abs((shares > 0).mean() - 0.25) < 0.09
    clips = [draw_known(rng, (9, 16, 28), recipe) for _ in range(200)]
    assert all(known.any() and not known.all() for known in clips)
    assert {tuple(np.flatnonzero(known.all((1, 2)))) for known in clips} >= {(), (0,), (0, 8), (0, 1), (0, 1, 2, 3, 4)}


@pytest.mark.parametrize("single", [0.0, 1.0])
def test_a_batch_has_references_throughout_or_not_at_all(store: ClipStore, single: float) -> None:
    groups = 1 if single else 2
    for share in (0.0, 1.0):
        recipe = replace(RECIPE, reference=share, image_batches=single, stills=0.5)
        batch = make_batch(store, store, recipe, np.random.default_rng(2))
        length = int(share) + groups
        assert batch.references == int(share)
        for volume in (batch.x0, batch.noise, batch.condition.control, batch.condition.camera):
            assert volume.shape[2:] == (length, 16, 32)


def test_the_shares_of_a_recipe_are_kept(store: ClipStore) -> None:
    recipe = replace(RECIPE, reference=0.3, image_batches=0.0, batch=1)
    rng = np.random.default_rng(3)
    given = sum(make_batch(store, store, recipe, rng).references for _ in range(150))
    assert 28 <= given <= 62  # 45 with a deviation of 5.6: three of them either way


def test_a_reference_is_of_its_own_clip_and_nothing_else_is_told_of_it(store: ClipStore) -> None:
    recipe = replace(ALWAYS, editing=0.0, depth_dropout=0.0, camera_dropout=0.0)
    batch = make_batch(store, store, recipe, np.random.default_rng(4))
    planes = batch.condition.control.unflatten(1, (GROUP, -1))  # [B, 4, 17, R+G, H, W]
    front = planes[:, :, :, 0]
    assert torch.equal(front[:, :, :3].flatten(1, 2), batch.x0[:, :, 0]), "the control shows what is kept"
    assert not front[:, :, 3:].any()
    assert (planes[:, :, 6, 1:] == 1).all(), "the clip itself is all to be made"
    assert not batch.condition.camera[:, :, 0].any()
    for clip in batch.x0:
        reference, made = (part.unflatten(0, (GROUP, 3)) for part in (clip[:, 0], clip[:, 1:]))
        # Enlarging averages neighbours: each colour stays within what its own clip has.
        assert (reference.amin((0, 2, 3)) >= made.amin((0, 2, 3, 4)) - 1e-5).all()
        assert (reference.amax((0, 2, 3)) <= made.amax((0, 2, 3, 4)) + 1e-5).all()


def test_the_light_is_often_left_for_the_reference_to_tell(store: ClipStore) -> None:
    def told(**shares: float) -> float:
        recipe = replace(ALWAYS, depth_dropout=0.0, batch=8, **shares)
        control = make_batch(store, store, recipe, np.random.default_rng(5)).condition.control
        return float((control.unflatten(1, (GROUP, -1))[:, 0, 16, -1].abs().amax((1, 2)) > 0).float().mean())

    assert told(reference_look_dropout=0.0) == 1.0
    assert told(reference_look_dropout=1.0) == 0.0
    assert told(reference=0.0, look_dropout=0.0, reference_look_dropout=1.0) == 1.0


def test_colours_that_were_painted_are_always_told(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else tells a network that a tree is blue."""
    recipe = replace(RECIPE, base_dropout=1.0, depth_dropout=0.0, reference=0.0, image_batches=0.0, batch=8)
    monkeypatch.setattr(store, "rows", [row | {"painted": index % 2 == 0} for index, row in enumerate(store.rows)])
    loads: list[int] = []
    load = store.load
    monkeypatch.setattr(store, "load", lambda index, exact: (loads.append(index), load(index, exact))[1])
    control = make_batch(store, store, recipe, np.random.default_rng(5)).condition.control
    told = control.unflatten(1, (GROUP, -1))[:, :, -1].amax((1, 2, 3, 4)) > 0  # the last plane: whether it is told
    seen = [bool(store.load_base(index)[..., 3].any() or store.load_base(index, True)[..., 3].any()) for index in loads]
    assert told.tolist() == [index % 2 == 0 and any_of_it for index, any_of_it in zip(loads, seen, strict=True)]
    assert told.any()


def test_the_loss_leaves_the_reference_out(store: ClipStore) -> None:
    """At the first step the network sees no latents, so another target there may change nothing at all."""
    torch.manual_seed(6)
    model, batch = Model(ALWAYS), make_batch(store, store, ALWAYS, np.random.default_rng(6))
    loss, error = loss_of(model, batch, ALWAYS, level_one())
    wrong = batch.x0.clone()
    wrong[:, :, 0] += 100.0
    other, _ = loss_of(model, replace(batch, x0=wrong), ALWAYS, level_one())
    assert float(other.detach()) == float(loss.detach())
    wrong = batch.x0.clone()
    wrong[:, :, 1] += 100.0
    other, _ = loss_of(model, replace(batch, x0=wrong), ALWAYS, level_one())
    assert float(other.detach()) > 100.0 * float(loss.detach())
    assert error.shape == (2,)


def test_what_is_made_hears_the_reference(store: ClipStore) -> None:
    torch.manual_seed(7)
    plan = BasePlan(ALWAYS, store, store)
    model, batch = plan.make_model(), make_batch(store, store, ALWAYS, np.random.default_rng(7))
    optims, generator = plan.optimisers(model), level_one()
    for _ in range(3):  # away from the zeros it starts with
        loss, _ = plan.loss(model, plan.to_device(batch, "cpu"), generator)
        loss.backward()
        for optim in optims:
            optim.step()
            optim.zero_grad()
    changed = batch.condition.control.clone()
    changed[:, :, 0] *= -1.0
    with torch.no_grad():
        level = torch.ones(2)
        a = model(batch.x0, level, batch.prompts, batch.condition)
        b = model(batch.x0, level, batch.prompts, replace(batch.condition, control=changed))
    assert a.shape == batch.x0.shape
    assert (a - b)[:, :, 1:].abs().max() > 1e-4  # float32 noise would be a thousand times less


def test_a_recipe_from_before_references_still_loads_and_needs_no_other_weights() -> None:
    kept = asdict(RECIPE)
    for name in ("reference", "reference_look_dropout"):
        del kept[name]
    old = Recipe(**kept)
    assert old.reference == Recipe().reference
    with torch.device("meta"):
        assert Model(old).state_dict().keys() == Model(replace(old, reference=0.0)).state_dict().keys()
