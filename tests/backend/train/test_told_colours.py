"""What training blockouts say of colour is the world's own albedo, coarsened as an artist would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from farplane.backend.pipeline.colour import srgb_decode
from farplane.backend.train import materials
from farplane.backend.train.albedo import surface_colour
from farplane.backend.train.data import PAINTED, Clip, ClipStore, make_image_shard, render_clip, training_world
from farplane.backend.train.raymarch import scene_of, trace_surfaces
from farplane.backend.train.shading import WET, WINTER
from farplane.backend.train.told_colours import Manner
from farplane.backend.train.world import Attributes, make_world

W, H = 96, 64
OWN = Manner(one_ground=False, one_tree=-1)


def clip_of(kind: str, season: str = "summer", seed: int = 13, weather: str = "clear", paint: int = 0) -> Clip:
    world = replace(make_world(seed, Attributes(kind, "noon", weather, season)), paint=paint)
    return render_clip(seed, 1, W, H, world=world, exact=True, moving=False)


@pytest.mark.parametrize(
    ("kind", "season", "paint"),
    [("village", "winter", 0), ("alpine", "summer", 0), ("city", "autumn", 0), ("village", "autumn", 77)],
)
@pytest.mark.parametrize("seasonal", [False, True])
def test_each_pixel_has_the_albedo_of_its_object(kind: str, season: str, seasonal: bool, paint: int) -> None:
    """Against the world's own function, asked pixel by pixel from what trace_surfaces finds there."""
    clip = clip_of(kind, season, paint=paint)
    K, pose = clip.camera.K, clip.camera.world_from_camera
    told = clip.base_colour(replace(OWN, seasonal=seasonal), exact=True)[0]
    shown = trace_surfaces(clip.world, K, pose, W, H)
    params = scene_of(clip.world, K, pose, W, H, np.zeros(1)).params[0].copy()
    params[WET] = 0.0
    if not seasonal:
        params[WINTER : WINTER + 2] = 0.0
    np.testing.assert_array_equal(told[..., 3] == 255, shown.material[0] != materials.NOTHING)
    rng = np.random.default_rng(3)
    for i, j in rng.permutation(np.argwhere(shown.material[0] < materials.WATER))[:60]:
        z = float(shown.depth[0, i, j])
        x, y, _ = pose[0, :3, :3] @ (np.linalg.inv(K[0]) @ (j + 0.5, i + 0.5, 1.0)) * z + pose[0, :3, 3]
        out = np.zeros(7)
        mark, tone = shown.material[0, i, j], shown.tone[0, i, j]
        normal = map(float, shown.normal[0, i, j])
        surface_colour(mark, tone, *normal, x, y, 2.0, 0.0, 0.0, 1e3, params, out)  # at one height: no beds of rock
        # Half a step of 8 bits on a curve that is nowhere steeper than 12.92; fastmath's last bits at its knee.
        np.testing.assert_allclose(srgb_decode(told[i, j, :3] / 255), np.clip(out[:3], 0, 1), atol=0.006)


def test_snow_is_told_only_by_who_paints_it() -> None:
    clip = clip_of("hills", "winter")
    summer, winter = (clip.base_colour(replace(OWN, seasonal=s), exact=True)[0] for s in (False, True))
    ground = summer[..., 3] > 0
    assert (winter[ground][:, 2] > 200).mean() > 0.5, "hills under snow are white"
    assert (summer[ground][:, 2] > 200).mean() < 0.05


def test_the_usual_blockout_has_one_ground_and_one_green() -> None:
    clip = clip_of("coast", seed=14)
    marks = trace_surfaces(clip.world, clip.camera.K, clip.camera.world_from_camera, W, H).material[0]
    told = clip.base_colour(Manner(), exact=True)[0]
    for alike in (
        np.isin(marks, (materials.GROUND, materials.ROCK, materials.SAND)),
        marks == materials.CONIFER,
        marks == materials.TREE,
    ):
        assert len(np.unique(told[alike], axis=0)) <= 1


def test_roofs_and_walls_of_one_colour() -> None:
    clip = clip_of("village")
    shown = trace_surfaces(clip.world, clip.camera.K, clip.camera.world_from_camera, W, H)
    walls = shown.material[0] == materials.WALL
    assert walls.any()
    apart, alike = (
        clip.base_colour(replace(OWN, one_house=7, roofs=roofs), exact=True)[0][walls] for roofs in (True, False)
    )
    assert len(np.unique(apart, axis=0)) > len(np.unique(alike, axis=0)) == 1


def test_a_blockout_without_a_tree_shows_ground_there() -> None:
    """Of a blockout as high as the world its trees are told, of one three metres lower everywhere none is."""
    clip = clip_of("forest")
    greens = np.isin(clip.world.material, (materials.TREE, materials.CONIFER))
    assert greens.any()

    def tree_pixels(lower: float) -> float:
        world = replace(clip.world, simplified=clip.world.height - np.float32(lower) * greens)
        told = replace(clip, world=world, depth=clip.exact).base_colour(OWN)[0]  # type: ignore[arg-type]
        ground = replace(clip.world, material=np.full_like(world.material, materials.GROUND))
        bare = replace(clip, world=replace(ground, simplified=world.simplified), depth=clip.exact).base_colour(OWN)[0]  # type: ignore[arg-type]
        return float((told != bare).any(-1).mean())

    assert tree_pixels(0.0) > 0.3
    assert tree_pixels(3.0) == 0.0
    rough = clip.base_colour(OWN)
    np.testing.assert_array_equal(rough[..., 3] == 255, np.isfinite(clip.depth))


def test_silence_and_gain() -> None:
    clip = clip_of("village")
    marks = trace_surfaces(clip.world, clip.camera.K, clip.camera.world_from_camera, W, H).material[0]
    silent = np.zeros(18, bool)
    silent[materials.WALL] = True
    told = clip.base_colour(replace(OWN, silent=silent), exact=True)[0]
    assert not told[marks == materials.WALL].any()
    gain = np.ones((18, 3))
    gain[materials.WALL] = 0.5
    plain, darker = (clip.base_colour(replace(OWN, gain=g), exact=True)[0] for g in (np.ones((18, 3)), gain))
    walls = marks == materials.WALL
    # Two roundings to 8 bits, see above.
    np.testing.assert_allclose(
        srgb_decode(darker[walls, :3] / 255), 0.5 * srgb_decode(plain[walls, :3] / 255), atol=0.009
    )
    np.testing.assert_array_equal(darker[~walls], plain[~walls])


def test_manners_differ_and_repeat() -> None:
    drawn = [Manner.of_seed(seed) for seed in range(200)]
    for name in ("seasonal", "textured", "one_ground", "roofs"):
        assert 0.05 < np.mean([getattr(manner, name) for manner in drawn]) < 0.95, name
    assert 0.02 < np.mean([manner.silent.any() for manner in drawn]) < 0.5
    np.testing.assert_array_equal(drawn[3].gain, Manner.of_seed(3).gain)


def test_what_is_painted_is_told_and_seen() -> None:
    """The same light falls on the same places, so render and told colour change by the same factor.  Of roofs and ground in
    sight; not of leaves and windows, which shine as well, nor of what the haze has taken."""
    plain, painted = clip_of("village"), clip_of("village", paint=77)
    manner = Manner.of_world(painted.world)
    own = replace(manner, gain=np.ones_like(manner.gain), textured=False)
    shown = trace_surfaces(plain.world, plain.camera.K, plain.camera.world_from_camera, W, H)
    matt = np.isin(shown.material[0], (materials.GROUND, materials.FIELD, materials.WALL)) & (shown.depth[0] < 150)
    matt &= (shown.material[0] != materials.WALL) | (shown.normal[0, ..., 2] > 0.5)
    before, after = (
        srgb_decode(clip.base_colour(own, exact=True)[0, ..., :3] / 255)[matt] for clip in (plain, painted)
    )
    told, seen = after / before, (painted.linear[0] / plain.linear[0])[matt]
    changed = np.abs(np.log(told)).max(-1) > 0.2
    assert 0.2 < changed.mean() < 1, "two things of five keep their own colour"
    # Pixels at an edge show two things, and air lies before all: hence medians.
    assert np.median(np.abs(np.log(seen[changed] / told[changed]))) < 0.1
    assert np.median(np.abs(np.log(seen[~changed]))) < 0.02


def test_a_share_of_the_worlds_is_painted_and_told_without_coarsening() -> None:
    worlds = [training_world(seed, Attributes("sky", "noon", "clear", "summer")) for seed in range(60)]
    painted = [world for world in worlds if world.paint]
    assert abs(len(painted) / 60 - PAINTED) < 0.19, "three deviations of sixty draws"
    assert len({world.paint for world in painted}) > len(painted) // 2
    for world in painted:
        manner = Manner.of_world(world)
        assert (manner.one_ground, manner.one_tree, manner.one_house, manner.silent.any()) == (False, -1, -1, False)
    assert make_world(5).paint == 0, "what is evaluated is as nature has it"


def test_a_shard_keeps_them(tmp_path: Path) -> None:
    make_image_shard(tmp_path, 0, (32, 32), moving=False)
    store = ClipStore(tmp_path)
    told = [store.load_base(index, exact) for index in range(len(store)) for exact in (False, True)]
    assert all(base.shape == (1, 32, 32, 4) and base.dtype == np.uint8 for base in told)
    _, depth, _ = store.load(5, exact=True)
    seen = np.isfinite(depth)
    assert not store.load_base(5, exact=True)[~seen].any()
    assert np.mean([(base[..., 3] > 0).mean() for base in told]) > 0.3


def test_what_stands_beside_the_ground_has_its_own_colour() -> None:
    """A harbour's cranes and containers: the look of the very part that each pixel shows, wherever its mates are."""
    clip = clip_of("harbour", seed=50_004)
    assert clip.world.structures is not None
    shown = trace_surfaces(clip.world, clip.camera.K, clip.camera.world_from_camera, W, H)
    told, parts = clip.base_colour(OWN, exact=True), shown.part
    assert (parts >= 0).sum() > 50
    looks = clip.world.structures.look[parts[parts >= 0], :3]
    # Half a step of 8 bits, see above.
    np.testing.assert_allclose(srgb_decode(told[parts >= 0][:, :3] / 255), np.clip(looks, 0, 1), atol=0.006)
