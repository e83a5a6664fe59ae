"""A shot through a small farplane checkpoint: windows, noise, guidance, stopping."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from farplane.backend.model.autoencoder import PixelCodec, pack_time, unpack_time
from farplane.backend.model.config import PlateDiTConfig
from farplane.backend.model.detail import DetailConfig, DetailNet
from farplane.backend.model.dit import PlateDiT
from farplane.backend.model.presets import find_model
from farplane.backend.model.weights import Checkpoint, save_checkpoint
from farplane.backend.model.words import WordEncoder
from farplane.backend.pipeline import plate
from farplane.backend.pipeline.canvas import fitted as fitted_to
from farplane.backend.pipeline.geometry import Look
from farplane.backend.pipeline.job import Cancelled
from farplane.backend.pipeline.pixel_conditioning import CAMERA_CHANNELS, CONTROL_CHANNELS, network_time
from farplane.backend.pipeline.render import check_model
from farplane.backend.train.cameras import look
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, RenderSettings, Shot

CONFIG = PlateDiTConfig(
    patch_size=(1, 8, 8),
    num_attention_heads=2,
    attention_head_dim=12,
    in_channels=12,
    out_channels=12,
    text_dim=10,
    ffn_dim=20,
    num_layers=2,
    vace_layers=(0,),
    vace_in_channels=CONTROL_CHANNELS,
    camera_channels=CAMERA_CHANNELS,
    prediction="x0",
    pixel_head_channels=8,
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A random network in the layout of the shipped one."""
    torch.manual_seed(11)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    text = WordEncoder(["valley", "dusk"], 10)
    save_checkpoint(folder, Checkpoint(PlateDiT(CONFIG), text, PixelCodec((0.3,) * 3, (0.1,) * 3)))
    model = find_model(str(folder))
    return replace(
        model, preset=replace(model.preset, max_pixels=64 * 40, clip=9, steps=2, guidance=1.0, geometry_guidance=1.0)
    )


def make_shot(frames=9, width=128, height=80):
    pose = np.stack([look(np.array([0.1 * t, 0, 2.0]), 0.3, -0.2) for t in range(frames)])
    K = np.repeat([[[100.0, 0, width / 2], [0, 100.0, height / 2], [0, 0, 1]]], frames, 0)
    z = np.full((frames, height, width), 6.0, np.float32)
    z[:, : height // 3] = np.inf
    return Shot(
        "test", tuple(range(10, 10 + frames)), (width, height), Fraction(24), CameraTrack(K, pose),
        DepthPass(z, 1.0, 10.0), Prompt("a valley at dusk"),
    )  # fmt: skip


def nothing(*_):
    pass


def fit(shot, found):
    return plate.fit_shot(shot, fitted_to(shot, found.preset.max_pixels, 8), found.preset.clip)


def test_shapes_seeds_and_range(found):
    shot = make_shot()
    first = plate.generate(shot, RenderSettings(seed=5), found, nothing)[0]
    assert first.shape == (9, 40, 64, 3)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert (first >= 0).all()
    np.testing.assert_array_equal(first, plate.generate(shot, RenderSettings(seed=5), found, nothing)[0])
    assert not np.array_equal(first, plate.generate(shot, RenderSettings(seed=6), found, nothing)[0])


def test_a_shots_own_sun_lights_it_whatever_the_seed(found):
    """To the last bit the plate of a seed that has the light there; straight up says nothing."""
    shot = make_shot()
    azimuth = Look.of_seed(5).azimuth

    def lit(around, high=0.6):
        sun = np.tile([np.cos(around) * np.cos(high), np.sin(around) * np.cos(high), np.sin(high)], (9, 1))
        return plate.generate(replace(shot, sun=sun).validate(), RenderSettings(seed=5), found, nothing)[0]

    own = plate.generate(shot, RenderSettings(seed=5), found, nothing)[0]
    np.testing.assert_array_equal(lit(azimuth), own)
    np.testing.assert_array_equal(lit(azimuth + 2.0, np.pi / 2), own)
    assert not np.array_equal(lit(azimuth + 2.0), own)


@pytest.mark.parametrize("frames", [2, 9, 10, 14, 27])
def test_any_length(found, frames):
    assert len(plate.generate(make_shot(frames), RenderSettings(steps=1), found, nothing)[0]) == frames


@pytest.mark.parametrize("count", [9, 10, 13, 14, 40])
def test_windows_cover_every_frame(count):
    starts = plate.window_starts(count, 9)
    seen = np.zeros(count, int)
    for start in starts:
        assert 0 <= start <= count - 9
        seen[start : start + 9] += 1
    assert seen.min() >= 1
    assert starts == sorted(set(starts))


def test_one_step_of_one_window_is_the_network_itself(found):
    shot = make_shot()
    fitted = plate.overscanned(fit(shot, found), 8).patterned(3)
    noise = plate.shot_noise(fitted, 3)
    checkpoint = plate.loaded(found.folder, "cpu")
    condition = plate.window_condition(fitted, 0, 9, Look.of_seed(3))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        hidden, mask = checkpoint.text(["a valley at dusk"])
        x0 = checkpoint.transformer(
            # Noise alone says nothing, so the network is not shown it.
            torch.zeros_like(pack_time(torch.from_numpy(noise.transpose(3, 0, 1, 2)[None]))),
            network_time(torch.ones(1)), hidden,
            condition.control, camera=condition.camera, encoder_mask=mask,
        ).float()  # fmt: skip
    kept = []
    plate.generate(shot, RenderSettings(seed=3, steps=1), found, lambda step, total, preview: kept.append(preview()))
    from farplane.backend.pipeline.colour import logc3_decode

    code = plate.cropped(unpack_time(x0)[0, :, 4], 8).permute(1, 2, 0).numpy() * np.float32(0.1) + np.float32(0.3)
    # The same sum in another order of dimensions: float32 rounding.
    np.testing.assert_allclose(kept[0], np.maximum(logc3_decode(code), 0), rtol=1e-3, atol=1e-5)


def test_text_and_depth_are_guided_apart(found):
    """Against the formula: full + .5 (full - empty prompt) + 1.5 (full - no depth), each asked by hand."""
    shot = make_shot()
    guided = replace(found, preset=replace(found.preset, geometry_guidance=2.5))
    fitted = plate.overscanned(fit(shot, found), 8).patterned(RenderSettings().seed)
    checkpoint = plate.loaded(found.folder, "cpu")

    def ask(text, with_depth):
        condition = plate.window_condition(fitted, 0, 9, Look.of_seed(RenderSettings().seed), with_depth=with_depth)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            hidden, mask = checkpoint.text([text])
            return checkpoint.transformer(
                torch.zeros(1, 12, 3, *fitted.depth.shape[1:]), network_time(torch.ones(1)), hidden, condition.control,
                camera=condition.camera, encoder_mask=mask,
            ).float()  # fmt: skip

    full, plain, bare = ask("a valley at dusk", True), ask("", True), ask("a valley at dusk", False)
    assert (full - bare).abs().max() > 1e-3
    expected = unpack_time(full + 0.5 * (full - plain) + 1.5 * (full - bare))
    from farplane.backend.pipeline.colour import logc3_decode

    made = plate.generate(shot, RenderSettings(steps=1, guidance=1.5), guided, nothing)[0]
    alone = expected[0].permute(1, 2, 3, 0).numpy()
    track = fitted.camera
    locked = plate.fused(alone, fitted.depth, track.K, track.world_from_camera)[:, 8:-8, 8:-8]
    code = locked * np.float32(0.1) + np.float32(0.3)
    # bfloat16 of a batch of three against three of one: 2**-8 of a value near 1, in code.
    np.testing.assert_allclose(made, np.maximum(logc3_decode(code), 0), rtol=0.05, atol=0.01)


def test_guidance_and_negative_prompt_matter(found):
    shot = make_shot()
    plain = plate.generate(shot, RenderSettings(guidance=1.0), found, nothing)[0]
    guided = plate.generate(shot, RenderSettings(guidance=4.0), found, nothing)[0]
    negative = plate.generate(
        replace(shot, prompt=Prompt("a valley at dusk", "dusk")), RenderSettings(guidance=4.0), found, nothing
    )[0]
    assert not np.array_equal(plain, guided)
    assert not np.array_equal(guided, negative)


def test_base_colours_reach_every_window(found):
    """A colour that changes in the last frames alone changes the last window's condition alone, and the plate."""
    shot = make_shot(14)
    base = np.full((14, 80, 128, 4), 255, np.uint8)
    base[..., :3] = (200, 40, 30)
    told = replace(shot, base_colour=base)
    fitted, bare = (plate.overscanned(fit(s, found), 8) for s in (told, shot))
    assert fitted.base_colour.shape == (*fitted.depth.shape, 4)
    late = base.copy()
    late[12:, ..., :3] = (20, 60, 200)
    changed = plate.overscanned(fit(replace(shot, base_colour=late), found), 8)
    for start, alike in ((0, True), (5, False)):
        conditions = [plate.window_condition(s, start, 9).control for s in (fitted, changed, bare)]
        assert conditions[0].equal(conditions[1]) is alike
        assert not conditions[0].equal(conditions[2])
    settings = RenderSettings(seed=1, steps=1)
    plates = [plate.generate(s, settings, found, nothing)[0] for s in (told, shot)]
    assert not np.array_equal(*plates)


def test_stops_between_windows(found):
    calls = 0

    def check():
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        plate.generate(make_shot(40), RenderSettings(), found, nothing, check)
    assert calls == 3


def test_depth_is_taken_at_pixel_centres(found):
    shot = make_shot(width=192, height=120)
    fitted = fit(shot, found)
    assert fitted.depth.shape == (9, 40, 64)
    np.testing.assert_array_equal(fitted.depth, shot.depth.z[:, 1::3, 1::3])
    np.testing.assert_allclose(fitted.camera.K[:, 0], shot.camera.K[:, 0] / 3)


def test_overscan_sees_the_same_and_more(found):
    fitted = fit(make_shot(), found)
    wide = plate.overscanned(fitted, 8)
    assert wide.depth.shape == (9, 56, 80)
    # Two divisions in float32.
    np.testing.assert_allclose(plate.cropped(torch.from_numpy(wide.depth), 8).numpy(), fitted.depth, rtol=1e-6)
    assert np.isinf(wide.depth[:, 0]).all(), "above the sky is sky"
    # A point of the world lies 8 pixels farther right and down.
    point = np.array([0.4, -0.3, 5.0])
    seen = [(track.K[4] @ point)[:2] / 5.0 for track in (fitted.camera, wide.camera)]
    np.testing.assert_allclose(seen[1] - seen[0], [8, 8])


def test_overscan_goes_on_along_a_plane():
    """The ground under a level camera at 2 m: z = 2 f / (row - middle)."""
    row = np.arange(40) + 0.5
    z = np.broadcast_to((100.0 / np.maximum(row - 12, 1e-9))[None, :, None], (3, 40, 64)).astype(np.float32).copy()
    z[:, row < 13] = np.inf
    K = np.repeat(np.diag([50.0, 50, 1])[None], 3, 0)
    wide = plate.overscanned(plate.ModelShot(3, z, CameraTrack(K, np.repeat(np.eye(4)[None], 3, 0)), 10.0), 8)
    beyond = 100.0 / (np.arange(40, 48) + 0.5 - 12)
    np.testing.assert_allclose(wide.depth[1, 48:, 5], beyond, rtol=1e-4)  # float32 of 1 / z, doubled and taken off
    np.testing.assert_allclose(wide.depth[1, 30, :], z[1, 22, 0], rtol=1e-5)


def test_unknown_words_are_told(found):
    shot = replace(make_shot(), prompt=Prompt("a valley of dragons"))
    assert plate.prompt_notes(shot, found) == ("not in this model's vocabulary: a, of, dragons",)
    assert plate.prompt_notes(replace(shot, prompt=Prompt("Valley, dusk")), found) == ()
    read = plate.prompt_notes(replace(shot, prompt=Prompt("glen, sundown, Glen")), found)
    assert read == ("read as: glen as valley, sundown as dusk",)


@pytest.mark.parametrize(("control", "surface"), [(84, 14), (100, 14)])
def test_a_model_of_another_version_is_refused_by_name(tmp_path, control, surface):
    """As version 6 was, whose surfaces had no base colours; or its detail stage alone."""
    config = replace(CONFIG, vace_in_channels=control)
    codec, text = PixelCodec((0.3,) * 3, (0.1,) * 3), WordEncoder(["valley"], 10)
    detail = DetailNet(DetailConfig(channels=8, blocks=1, full_channels=4, surface_channels=surface, words=3))
    save_checkpoint(tmp_path / "version-6", Checkpoint(PlateDiT(config), text, codec, detail))
    with pytest.raises(FarplaneError, match=r"version-6 takes \d+ channels of conditions.*has (100|18)") as caught:
        plate.loaded(tmp_path / "version-6", "cpu")
    assert caught.value.field == "model"
    with pytest.raises(FarplaneError, match="version-6 takes"):  # what a backend asks before a shot is sent
        check_model(str(tmp_path / "version-6"))
