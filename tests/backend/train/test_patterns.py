"""What training clips are told of their pattern is what their renders were drawn with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from farplane.backend.pipeline.geometry import Look
from farplane.backend.pipeline.pattern import WALL, Pattern, pattern_channels
from farplane.backend.train import materials
from farplane.backend.train.albedo import facade
from farplane.backend.train.data import ClipStore, make_image_shard, render_clip
from farplane.backend.train.patterns import clip_pattern, house_bays
from farplane.backend.train.raymarch import trace_surfaces
from farplane.backend.train.train import Recipe, Shown, make_batch
from farplane.backend.train.world import Attributes

W, H = 96, 64


@pytest.mark.parametrize("kind", ["city", "village"])
def test_windows_are_where_the_world_draws_them(kind: str) -> None:
    """The facade's own function, asked at the point of each pixel of a wall."""
    clip = render_clip(77, 1, W, H, attributes=Attributes(kind, "night", "clear", "summer"), exact=True, moving=False)
    K, pose = clip.camera.K, clip.camera.world_from_camera
    assert clip.exact is not None
    told = clip_pattern(clip.world, clip.exact, K, pose)[0, 3]
    shown = trace_surfaces(clip.world, K, pose, W, H)
    agree, count, windows = 0, 0, 0
    for i, j in zip(
        *np.nonzero((shown.material[0] == materials.WALL) & (np.abs(shown.normal[0, :, :, 2]) < 0.3)), strict=True
    ):
        z = clip.exact[0, i, j]
        x, y, up = pose[0, :3, :3] @ (np.linalg.inv(K[0]) @ (j + 0.5, i + 0.5, 1.0)) * z + pose[0, :3, 3]
        nx, ny, _ = shown.normal[0, i, j]
        foot = float(z) / K[0, 0, 0]
        if foot > 0.5 or up < 3.4:  # far windows fade; a city's ground floor has shops
            continue
        out = np.zeros(7)
        facade(
            9 if kind == "city" else 8, float(shown.tone[0, i, j]), y if abs(nx) > abs(ny) else x, up, foot, 0.5, out
        )
        agree += (out[6] > 0.2) == (told[i, j] > 0)
        count, windows = count + 1, windows + (out[6] > 0.2)
    assert count > 100
    assert 0.05 < windows / count < 0.95
    # Normals told from depth differ from the world's at corners and roofs.
    assert agree / count > 0.85


def test_only_walls_have_a_house_of_their_own() -> None:
    material = np.array([[[materials.WALL, materials.ROCK]]], np.uint8)
    bays = house_bays("city", material, np.array([[[7, 7]]], np.uint8))
    assert bays[0, 0, 0, 3] == 7
    assert 3.0 <= bays[0, 0, 0, 0] <= 4.4
    np.testing.assert_array_equal(bays[0, 0, 1], np.float32(WALL))


def untold_of_clouds(seed: int) -> tuple[float, list[float]]:
    """Share of the variance of an overcast sky's brightness, beside what its height tells, that a linear fit to the
    told field leaves: to the world's own field, and to four others."""
    attributes = Attributes("sea", "noon", "overcast", "summer")
    clip = render_clip(seed, 1, W, H, attributes=attributes, exact=True, moving=False)
    assert clip.exact is not None
    sky = np.isinf(clip.exact[0])
    light = np.ma.array(np.log(clip.linear[0].mean(-1) + 1e-4), mask=~sky)
    bright = np.asarray((light - light.mean(1, keepdims=True))[sky])

    def untold(told: NDArray[np.float32]) -> float:
        design = np.stack([part for size in told[:3] for part in (size[sky], size[sky] ** 2)], 1)
        design = design - design.mean(0)
        left = bright - design @ np.linalg.lstsq(design, bright, rcond=None)[0]
        return float(left.var() / bright.var())

    seen = clip.exact, clip.camera.K, clip.camera.world_from_camera
    own = untold(clip_pattern(clip.world, *seen)[0])
    return own, [untold(pattern_channels(Pattern.of_seed(n), *seen)[0]) for n in range(4)]


def test_clouds_are_seen_where_the_render_has_them() -> None:
    """The field tells a good part of a cover's brightness, another field little.

    Clouds are also lit by their slope towards the sun, which no pixel of the field tells by itself, and a lens shows
    few of them: some other field fits one picture by chance, so six pictures are judged together.
    """
    own, others = (np.array(part) for part in zip(*map(untold_of_clouds, range(3, 9)), strict=True))
    assert own.mean() < 0.6
    assert own.mean() < 0.75 * others.mean()
    assert (own[:, None] < others).mean() > 0.85


def test_a_shard_keeps_it_and_a_batch_is_told_it(tmp_path: Path) -> None:
    make_image_shard(tmp_path, 1, size=(32, 16))
    store = ClipStore(tmp_path)
    kept = store.load_pattern(3)
    assert kept is not None
    assert kept.shape == (1, 4, 16, 32)
    recipe = Recipe(patch=8, dim=24, heads=2, ffn=32, layers=2, vace_layers=(0,), text_dim=8, head_channels=8, batch=2)
    for share in (0.0, 1.0):
        told = replace(recipe, pattern_dropout=share, depth_dropout=0.0, editing=0.0, reference=0.0)
        control = make_batch(store, store, told, np.random.default_rng(1)).condition.control
        planes = control.unflatten(1, (4, -1))[:, :, 17:]
        assert bool(planes.any()) is (share == 0.0)


def test_a_mirrored_clip_has_its_pattern_mirrored() -> None:
    clip = render_clip(9, 1, W, H, exact=True, moving=False)
    K, pose = clip.camera.K, clip.camera.world_from_camera
    assert clip.exact is not None
    chance = clip_pattern(clip.world, clip.exact, K, pose)
    shown = Shown(clip.linear, clip.exact, K, pose, Look(0.3, 0.5), chance).mirrored()
    assert shown.pattern is not None
    np.testing.assert_array_equal(shown.pattern, chance[..., ::-1])
    without = Shown(clip.linear, clip.exact, K, pose, Look(0.3, 0.5)).mirrored()
    assert without.pattern is None
