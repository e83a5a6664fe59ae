"""What a shot asks that the model cannot know: told where it is so, and silent on training's own shots and words."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from farplane.backend.model import attributes
from farplane.backend.model.autoencoder import PixelCodec
from farplane.backend.model.config import PlateDiTConfig
from farplane.backend.model.dit import PlateDiT
from farplane.backend.model.phrases import PHRASES
from farplane.backend.model.presets import find_model
from farplane.backend.model.weights import Checkpoint, save_checkpoint
from farplane.backend.model.words import WordEncoder
from farplane.backend.pipeline import cautions
from farplane.backend.pipeline.cautions import prompt_cautions, shot_cautions
from farplane.backend.pipeline.pixel_conditioning import CAMERA_CHANNELS, CONTROL_CHANNELS
from farplane.backend.pipeline.render import make_plate
from farplane.backend.take_files import read_take_shot
from farplane.backend.train import cameras
from farplane.backend.train.cameras import MOVES, look, random_path
from farplane.backend.train.materials import SEASONS, TIMES, WEATHERS
from farplane.backend.train.prompts import FRESH, HELD_OUT, STYLES, WORDINGS, vocabulary, write_prompt
from farplane.backend.train.raymarch import blockout_depth, exact_depth
from farplane.backend.train.world import make_world, random_attributes
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, RenderSettings, Shot

W, H = 192, 108
EXAMPLES = Path(__file__).parents[3] / "examples"


# -- the prompt -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder():
    return WordEncoder(vocabulary(), 1)


CONTRADICTORY = {
    "a village at noon, at night": ("noon", "night", "time of day"),
    "sunrise over the hills, sunset": ("sunrise", "sunset", "time of day"),
    "a street in the dead of night, high sun": ("in the dead of night", "high sun", "time of day"),
    "at midday in blue hour": ("midday", "blue hour", "time of day"),
    "overcast morning, cloudless": ("overcast", "cloudless", "weather"),
    "sunny with a thunderstorm": ("sunny", "thunderstorm", "weather"),
    "clear skies and a downpour": ("clear skies", "downpour", "weather"),
    "rain, snow falling": ("rain", "snow falling", "weather"),
    "summer, dead of winter": ("summer", "dead of winter", "season"),
    "autumn woods, snow on the ground": ("autumn", "snow on the ground", "season"),
}


@pytest.mark.parametrize("prompt", CONTRADICTORY)
def test_a_contradiction_is_told_in_the_words_it_was_said_in(encoder, prompt):
    (note,) = prompt_cautions(encoder, prompt)
    one, other, attribute = CONTRADICTORY[prompt]
    assert note == (
        f'prompt: "{one}" and "{other}" exclude each other, a shot has one {attribute}; keep the one that is meant'
    )


def test_each_attribute_is_told_once(encoder):
    notes = prompt_cautions(encoder, "at dawn, noon, night, in heavy rain under a clear sky, cloudless, in summer")
    assert [note.rpartition("a shot has one ")[2].partition(";")[0] for note in notes] == ["time of day", "weather"]


@pytest.mark.parametrize(
    "prompt",
    [
        "a valley at dawn in the golden hour",  # which comes twice a day
        "evening light, twilight, moonlit",
        "a city at night, after the rain, clear sky",
        "clear sky, no rain",
        "between sunset and night",
        "midnight sun, bright daylight",
        "day for night, noon",
        "snowy peaks in summer",
        "falling snow, green summer grass",  # weather and season are drawn apart
        "a frosty autumn morning",
        "harsh light at night",  # read as midday, from a phrase that names none
        "long shadows at dawn",  # read as sunset
        "rain soaked street, clear night sky",
        "mist in the valley, clear sky",
        "storm clouds, heavy rain, overcast, fog",
        "dragons",
        "!!! ,,, ???",
    ],
)
def test_what_may_well_be_meant_is_no_contradiction(encoder, prompt):
    assert prompt_cautions(encoder, prompt) == ()


def test_no_prompt_of_training_or_evaluation_is_called_contradictory(encoder):
    """Every taught wording and every one by a stranger, of one value an attribute, in all orders."""
    said = set()
    for seed in range(400):
        rng = np.random.default_rng(seed)
        drawn, move = random_attributes(seed), str(rng.choice(MOVES))
        for strange in (False, True):
            prompt = write_prompt(drawn, move, rng, held_out=strange, complete=True)
            assert prompt_cautions(encoder, prompt) == (), prompt
            said.update(word for word in prompt.split(", ") if word in STYLES)
    assert said == set(STYLES)


@pytest.mark.parametrize("wordings", [WORDINGS, FRESH], ids=["taught", "strangers"])
def test_a_wording_names_no_value_but_its_own(encoder, wordings):
    named = 0
    for value, texts in wordings.items():
        for text in texts:
            found = cautions.named_values(encoder, text)
            assert all(value in name.values for name in found), (value, text, found)
            named += bool(found)
    # Half of a stranger's wordings of a time, a weather or a season, and most of the taught ones, say it outright.
    of = sum(len(texts) for value, texts in wordings.items() if value in (*TIMES, *WEATHERS, *SEASONS))
    assert named > (0.7 if wordings is WORDINGS else 0.45) * of


def test_the_table_is_of_taught_words():
    """Each name lies in a taught wording of its value and in none of a value that excludes it."""
    values = {value: names for table in attributes.NAMES.values() for value, names in table.items()}
    assert set(values) == {*TIMES, *WEATHERS, *SEASONS} - {"haze"}, "haze goes with every weather"
    assert {value for pair in attributes.EXCLUDING for value in pair} == set(values)

    def among(name, text):
        return f" {name} " in f" {' '.join(word for word in text.split() if word not in ('a', 'an', 'the'))} "

    for value, names in values.items():
        for name in names:
            assert any(among(name, text) for text in WORDINGS[value] if text not in HELD_OUT), (value, name)
            fits = attributes.values_of(name, value=value)
            for other in {*TIMES, *WEATHERS, *SEASONS} - fits:
                if attributes.exclude(fits, frozenset([other])):
                    assert not any(among(name, text) for text in WORDINGS[other]), (value, name, other)


def test_phrases_of_the_book_are_read_as_the_value_they_name(encoder):
    for value, phrases in attributes.SAID.items():
        for phrase in phrases:
            assert tuple(phrase.split()) in PHRASES, phrase
            assert [value in named.values for named in cautions.named_values(encoder, phrase)] == [True], phrase


# -- the shot ---------------------------------------------------------------------------------------------------------


def make_shot(z, pose, focal_mm=24.0, first=10, size=(W, H)):
    """A shot of depth [T, H, W]; focal_mm: one, or one a frame."""
    count, (width, height) = len(z), size
    focal = np.broadcast_to(focal_mm, count) / 36.0 * max(size)
    K = np.array([[[f, 0, width / 2], [0, f, height / 2], [0, 0, 1]] for f in focal])
    track = CameraTrack(K, np.broadcast_to(pose, (count, 4, 4)))
    frames = tuple(range(first, first + count))
    passes = DepthPass(np.asarray(z, np.float32), 0.1, 1000.0)
    return Shot("test", frames, size, Fraction(24), track, passes, Prompt("a valley")).validate()


def rays(pose, focal_mm=24.0):
    """[H, W, 3] world rays of camera z 1, so that the distance along one is depth."""
    f = focal_mm / 36.0 * W
    v, u = np.meshgrid(np.arange(H) + 0.5, np.arange(W) + 0.5, indexing="ij")
    return np.stack([(u - W / 2) / f, (v - H / 2) / f, np.ones_like(u)], -1) @ pose[:3, :3].T


def plane(pose, axis, at, keep=lambda point: True):
    """[H, W] depth of the plane where coordinate `axis` is `at`, of the points that `keep` says."""
    ray = rays(pose)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (at - pose[axis, 3]) / ray[..., axis]
        point = np.moveaxis(pose[:3, 3] + t[..., None] * ray, -1, 0)
        return np.where((t > 1e-6) & keep(point), t, np.inf)


EYE = look(np.array([0.0, 0.0, 2.0]), 0.0, -0.15)  # at 2 m, looking along +X and a little down


def ground(pose=EYE, reach=60.0, hole=None):
    """A square plane at z = 0, `reach` metres to every side; hole: ((x, y), half a side)."""

    def there(p):
        solid = (np.abs(p[0]) < reach) & (np.abs(p[1]) < reach)
        if hole is not None:
            (x, y), half = hole
            solid &= (np.abs(p[0] - x) > half) | (np.abs(p[1] - y) > half)
        return solid

    return plane(pose, 2, 0.0, there)


def test_plain_ground_says_nothing():
    """Also where it ends before the horizon, as a blockout's does: the gap is a part of the sky."""
    for reach in (20.0, 60.0, 1e6):
        assert shot_cautions(make_shot([ground(reach=reach)] * 4, EYE)) == ()


def told_share(note):
    """The share of the picture that a note names; it is written with two digits."""
    return float(note.partition("at most ")[2].partition("%")[0]) / 100


def test_holes_in_the_ground_are_told_with_frames_and_share():
    """One hole, and in frame 13 a second one: the share is that of both, as counted in the pictures themselves."""
    whole, broken = ground(), ground(hole=((8.0, 0.5), 1.0))
    worse = np.where(np.isinf(ground(hole=((6.0, -2.0), 0.6))), np.inf, broken)
    (note,) = shot_cautions(make_shot([whole, whole, broken, worse, broken, whole], EYE))
    assert note.startswith("depth: holes below the horizon, with surfaces all around them, in frames 12-14, ")
    assert "in frame 13: painted as sky" in note
    assert "pixel" not in note
    opened = (np.isinf(worse) & np.isfinite(whole)).mean()
    assert opened > (np.isinf(broken) & np.isfinite(whole)).mean()
    assert told_share(note) == pytest.approx(opened, rel=0.06)


def test_a_flicker_and_a_pinhole_are_not_told():
    whole, broken = ground(), ground(hole=((8.0, 0.5), 1.0))
    assert shot_cautions(make_shot([whole, broken, whole, whole], EYE)) == ()
    assert shot_cautions(make_shot([ground(hole=((12.0, 0.5), 0.05))] * 4, EYE)) == ()


def test_an_arch_and_windows_are_no_holes():
    """Sky through an arch, above ground that ends before the horizon; a room whose windows look into nothing."""
    arch = plane(EYE, 0, 9.0, lambda p: ~((np.abs(p[1]) < 1.5) & (p[2] < 3.0)) & (np.abs(p[1]) < 8) & (p[2] < 6))
    assert shot_cautions(make_shot([np.minimum(arch, ground(reach=40.0))] * 4, EYE)) == ()
    level = look(np.array([0.0, 0.0, 1.6]), 0.0, 0.0)
    wall = plane(level, 0, 5.0, lambda p: ~((np.abs(np.abs(p[1]) - 1.2) < 0.6) & (np.abs(p[2] - 1.6) < 0.7)))
    inner = [plane(level, 2, z, lambda p: p[0] < 5.0) for z in (0.0, 3.0)]
    room = np.minimum.reduce([wall, *inner])
    assert np.isinf(room).mean() > 0.02
    assert shot_cautions(make_shot([room] * 4, level)) == ()


def test_a_hole_is_found_at_any_size_and_lens():
    """The same picture four times as large, seen on every fourth pixel."""
    broken = ground(hole=((8.0, 0.5), 1.0))
    large = np.repeat(np.repeat(broken, 10, 0), 10, 1)
    (note,) = shot_cautions(make_shot([large] * 2, EYE, size=(10 * W, 10 * H)))
    assert told_share(note) == pytest.approx((np.isinf(broken) & np.isfinite(ground())).mean(), rel=0.06)
    assert "in all frames" in note


def test_against_a_wall_and_inside_a_box():
    """A camera that goes into a box of 0.3 m a side and comes out again."""
    open_, inside = ground(), np.full((H, W), 0.15)
    (note,) = shot_cautions(make_shot([open_, open_, inside, open_, inside, inside], EYE))
    assert note.startswith("camera: nearly all of the picture is nearer than 0.")
    assert "in frames 12 and 14-15, so the camera is inside a thing or against it" in note
    (note,) = shot_cautions(make_shot([inside] * 3, EYE))
    assert "nearer than 0.2 m in all frames" in note


def test_near_things_are_no_walls():
    """A post over half the picture; from a wide view into a small room; a table top."""
    post = ground()
    post[:, : W // 2] = 0.1
    room = np.minimum.reduce([plane(EYE, 0, 2.5), plane(EYE, 2, 0.5), plane(EYE, 2, 3.0)])
    assert shot_cautions(make_shot([ground(), post, post, ground()], EYE)) == ()
    assert shot_cautions(make_shot([ground(reach=900.0)] * 6 + [room] * 3, EYE)) == ()
    assert shot_cautions(make_shot([np.full((H, W), 0.4)] * 3, EYE)) == ()


def test_under_the_ground():
    low = look(np.array([0.0, 0.0, -2.0]), 0.0, 0.0)
    (note,) = shot_cautions(make_shot([plane(low, 2, 0.0)] * 3, low, focal_mm=24.0))
    assert "surfaces above the horizon and none below it in all frames" in note
    assert "raise the camera" in note


def test_only_sky_is_told_in_one_note():
    z = np.full((3, H, W), np.inf)
    (note,) = shot_cautions(make_shot(z, EYE))
    assert note.startswith("depth: no frame shows any surface")
    z[1, H // 2, W // 2] = 9.0  # sky in some frames is a pan over the sky
    assert shot_cautions(make_shot(z, EYE)) == ()


@pytest.mark.parametrize("size", [(192, 108), (108, 192)])
@pytest.mark.parametrize(("focal", "told"), [(12.0, ""), (200.0, ""), (11.9, "11.9 mm"), (300.0, "300 mm")])
def test_focal_lengths_are_of_the_longer_side(size, focal, told):
    shot = make_shot(np.full((3, size[1], size[0]), 6.0), look(np.array([0, 0, 2.0]), 0, -0.2), focal, size=size)
    notes = shot_cautions(shot)
    assert [note.partition(" (on")[0] for note in notes] == ([f"camera: {told}"] if told else [])


def test_focal_lengths_are_of_the_frame_that_is_seen():
    """A plate whose pixels are twice as wide as high shows a wide frame, though its longer side stands upright."""
    K = np.array([[11.0 / 36 * 96, 0, 48], [0, 22.0 / 36 * 96, 60], [0, 0, 1]])
    shot = make_shot(np.full((3, 120, 96), 6.0), look(np.array([0, 0, 2.0]), 0, -0.2), 20.0, size=(96, 120))
    shot = replace(shot, camera=CameraTrack(np.tile(K, (3, 1, 1)), shot.camera.world_from_camera))
    (note,) = shot_cautions(shot)
    assert note.startswith("camera: 11 mm (on")


def test_a_zoom_is_told_where_it_is_out():
    focal = [8.0, 9.0, 10.5, 14.0, 20.0, 35.0]
    (note,) = shot_cautions(make_shot(np.full((6, H, W), 6.0), EYE, np.array(focal)))
    assert note.startswith("camera: 8 to 10.5 mm (on a 36 mm sensor) in frames 10-12 is outside the 12 to 200 mm")


def test_the_lens_range_is_what_training_drew():
    rng = np.random.default_rng(3)
    drawn = [cameras._lens(rng) for _ in range(20_000)]
    # One in five is log-uniform over the range: of 4000, the outermost is within a percent of its end.
    np.testing.assert_allclose([min(drawn), max(drawn)], cautions.TRAINED_FOCAL, rtol=0.01)
    assert cameras.SENSOR == cautions.SENSOR


def test_many_frames_are_summed_up():
    whole, broken = ground(), ground(hole=((8.0, 0.5), 1.0))
    (note,) = shot_cautions(make_shot([whole, broken, broken] * 6, EYE))
    assert "in frames 11-12, 14-15, 17-18, 20-21 and others, at most " in note


def test_training_clips_say_nothing():
    """Blockouts and exact worlds from training's own cameras; notes on one in twenty would be too many."""
    told = []
    for seed in range(900, 940):
        world = make_world(seed)
        path = random_path(world, seed, 2, 112, 64)
        view = world, path.K, path.world_from_camera, 112, 64
        for depth in (blockout_depth(*view), exact_depth(*view)):
            shot = make_shot(depth, np.eye(4), size=(112, 64))
            notes = shot_cautions(replace(shot, camera=CameraTrack(path.K, path.world_from_camera)))
            told += [(seed, note) for note in notes if "mm sensor" not in note]
    assert len({seed for seed, _ in told}) <= 2, told


@pytest.mark.slow  # starts Blender three times
@pytest.mark.parametrize("name", ["valley_dolly", "street_push_in", "coast_crane"])
def test_the_examples_say_nothing(name, tmp_path, encoder):
    pytest.importorskip("bpy")
    words = ["shot", EXAMPLES / f"{name}.blend", "--out", tmp_path / "shot", "--frames", "1-9", "--no-colours"]
    subprocess.run([sys.executable, "-m", "farplane.backend.cli", *map(str, words)], check=True)
    shot = read_take_shot(tmp_path / "shot")
    assert np.isinf(shot.depth.z).any()
    assert np.isfinite(shot.depth.z).any()
    assert cautions.cautions(shot, encoder) == ()


def test_cost_of_frames_in_hd():
    """Eight of 1920x1080: 0.02 s where a render of them takes minutes; the bound leaves a busy machine room."""
    z = np.broadcast_to(np.repeat(np.repeat(ground(), 10, 0), 10, 1).astype(np.float32), (8, 10 * H, 10 * W))
    shot = make_shot(z, EYE, size=(10 * W, 10 * H))
    before = time.process_time()
    shot_cautions(shot)
    assert time.process_time() - before < 0.25


# -- the whole way ----------------------------------------------------------------------------------------------------


class Silent:
    """A sink that keeps nothing."""

    def progress(self, stage, step, total):
        pass

    def preview(self, step, png):
        pass


def test_notes_reach_the_plate_and_it_is_rendered_all_the_same(tmp_path):
    torch.manual_seed(2)
    config = PlateDiTConfig(
        patch_size=(1, 8, 8), num_attention_heads=2, attention_head_dim=12, in_channels=12, out_channels=12, text_dim=10,
        ffn_dim=20, num_layers=1, vace_layers=(0,), vace_in_channels=CONTROL_CHANNELS, camera_channels=CAMERA_CHANNELS,
        prediction="x0", pixel_head_channels=8,
    )  # fmt: skip
    text = WordEncoder(["noon", "night", "valley"], 10)
    save_checkpoint(tmp_path / "tiny", Checkpoint(PlateDiT(config), text, PixelCodec((0.3,) * 3, (0.1,) * 3)))
    found = find_model(str(tmp_path / "tiny"))
    found = replace(found, preset=replace(found.preset, max_pixels=64 * 40, steps=1, guidance=1.0))
    shot = make_shot([ground(hole=((8.0, 0.5), 1.0))] * 3, EYE, focal_mm=11.0)
    asked = replace(shot, prompt=Prompt("valley, noon, night", negative="noon, night"))
    plate = make_plate(asked, RenderSettings(seed=4), found, Silent(), lambda: None)
    assert plate.frames.shape[0] == 3
    assert np.isfinite(plate.frames).all()
    assert [note.partition(":")[0] for note in plate.notes] == ["prompt", "camera", "depth"]
    assert json.loads(json.dumps(plate.notes)) == list(plate.notes)
    plain = replace(make_shot([ground()] * 3, EYE), prompt=Prompt("valley, noon", negative="night"))
    assert make_plate(plain, RenderSettings(seed=4), found, Silent(), lambda: None).notes == ()
