"""scripts/bench_codecs.py: PCA against its own theory, a training that goes on where it stopped, figures that are
perfect for the picture itself, and a probe that finds what is there to be found."""

import importlib
import itertools
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from farplane.backend.pipeline.colour import logc3_decode
from farplane.backend.train.cases import Footage
from farplane.backend.train.data import write_shard
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, Shot

SCRIPTS = Path(__file__).parents[3] / "scripts"
FORWARD = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 2.0], [0, 0, 0, 1]])  # two metres up, looking along +y


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(SCRIPTS))
        yield importlib.import_module("bench_codecs")
    for name in ("bench_codecs", "codec_candidates"):
        sys.modules.pop(name, None)


def level_ground(height, width, forward=0.0):
    """(K [3, 3], pose [4, 4], depth [H, W] metres, world x and y of each pixel) over a ground that runs to the sky."""
    K = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    pose = FORWARD.copy()
    pose[1, 3] = forward
    below = np.arange(height) + 0.5 - height / 2
    away = np.where(below > 0, 2.0 * width / np.where(below > 0, below, 1.0), np.inf)
    depth = np.repeat(away[:, None], width, 1).astype(np.float32)
    x = (np.arange(width) + 0.5 - width / 2) / width * np.where(below > 0, away, 0.0)[:, None]
    y = np.broadcast_to(np.where(below > 0, away + forward, 0.0)[:, None], x.shape)
    return K, pose, depth, x, y


def pillar(depth, x, y, away):
    """Put a wall two metres wide and four high into a depth, in place; x and y with its own instead of the ground's."""
    height, width = depth.shape
    u = (np.arange(width) + 0.5 - width / 2)[None] / width * away + 0 * x
    v = (np.arange(height) + 0.5 - height / 2)[:, None] / width * away + 0 * y
    inside = (np.abs(u) < 1) & (np.abs(v) < 2) & (away < depth)
    depth[inside] = away
    return np.where(inside, u, x), np.where(inside, v, y)


def code_of(rng, x, y, depth):
    """LogC3 code [H, W, 3]: waves of several lengths on the ground, a brighter sky."""
    out = np.zeros((*x.shape, 3))
    for length in (0.15, 0.4, 1.0, 3.0, 9.0):
        a, b, c = rng.normal(size=(3, 3)) / length
        seen = np.exp(-depth / (40 * length))[..., None]  # finer than a pixel: gone
        out += 0.03 * np.nan_to_num(seen) * np.sin(x[..., None] * a + y[..., None] * b + c)
    return (np.where(np.isfinite(depth)[..., None], 0.35, 0.55) + out).astype(np.float32)


@pytest.fixture(scope="module")
def pictures(bench, tmp_path_factory):
    """Three shards of eight large frames of 128 x 64, written as the trainer's are: two are kept back."""
    folder, rng = tmp_path_factory.mktemp("shards"), np.random.default_rng(11)
    K, pose, depth, x, y = level_ground(64, 128)
    K[:2] /= 4
    for name in ("00001", "00002", "00003"):
        code = np.stack([code_of(rng, x, y, depth) for _ in range(8)]).astype(np.float16)
        deep = np.repeat(np.log2(depth)[None], 8, 0).astype(np.float16)
        base = np.zeros((8, 64, 128, 4), np.uint8)
        base[:, 32:] = 255
        arrays = {"code": code[:, None, ::4, ::4], "fine.code": code, "fine.exactbase": base}
        arrays |= {"fine.depth": deep, "fine.exact": deep}
        attributes = {"kind": "hills", "time": "noon", "weather": "clear", "season": "summer"}
        row = {"attributes": attributes, "look": [0.3, 0.5], "K": [K.tolist()], "fine": 0}
        write_shard(folder / f"{name}.json", arrays, [row | {"world_from_camera": [pose.tolist()]} for _ in range(8)])
    return bench.Pictures(folder)


@pytest.fixture(scope="module")
def fitted(bench, pictures):
    return {factor: bench.principal(map(pictures.picture, pictures.taught), factor) for factor in (4, 8)}


@pytest.fixture(scope="module")
def clip():
    """Footage of a dolly over level ground, 9 frames of 112 x 64, and its shot."""
    rng = np.random.default_rng(4)
    grain = cv2.GaussianBlur(rng.normal(size=(400, 400)).astype(np.float32), (0, 0), 1.0) * 0.3
    K, poses, depths, frames = [], [], [], []
    for t in range(9):
        k, pose, depth, x, y = level_ground(64, 112, forward=0.1 * t)
        x, y = pillar(depth, x, y, 12.0 - 0.1 * t)
        code = code_of(np.random.default_rng(5), x, y, depth)
        at = (np.clip(a * 16 + 200, 0, 399).astype(np.float32) for a in (x, y))
        code += np.where(np.isfinite(depth), cv2.remap(grain, *at, cv2.INTER_LINEAR), 0.0)[..., None]
        K, poses, depths, frames = [*K, k], [*poses, pose], [*depths, depth], [*frames, logc3_decode(code)]
    linear, depth, camera = (
        np.stack(frames).astype(np.float32),
        np.stack(depths),
        CameraTrack(np.array(K), np.array(poses)),
    )
    shot = Shot(
        name="ground", frames=tuple(range(1, 10)), resolution=(112, 64), fps=Fraction(24), camera=camera,
        depth=DepthPass(depth, 1.0, 500.0), prompt=Prompt("hills at noon"),
    ).validate()  # fmt: skip
    return Footage(linear, depth, depth, np.zeros((9, 64, 112, 4), np.uint8), camera, "dolly"), shot


def test_what_pca_leaves_out_is_its_error(bench, pictures, fitted):
    taught = torch.stack([pictures.picture(i) for i in pictures.taught])
    for factor, (mean, basis, deviation) in fitted.items():
        whole = bench.Patches(factor, mean, basis)
        # Float32 sums of up to 192 products of numbers of size 1 … 10.
        assert torch.allclose(whole.decode(whole.encode(taught)), taught, atol=1e-4)
        assert (deviation.diff() <= 1e-6).all()
        for count in (4, 16):
            few = bench.Patches(factor, mean, basis[:, :count])
            assert few.encode(taught).shape == (len(taught), count, 64 // factor, 128 // factor)
            error = (few.decode(few.encode(taught)) - taught).square().mean()
            assert float(error) == pytest.approx(float(deviation[count:].square().sum() / len(basis)), rel=1e-3)
    # And the deviations are those of numpy's own decomposition of the same patches.
    patches = torch.nn.functional.pixel_unshuffle(taught, 4).permute(0, 2, 3, 1).reshape(-1, 48).double().numpy()
    values = np.linalg.svd(patches - patches.mean(0), compute_uv=False) / np.sqrt(len(patches))
    assert np.allclose(fitted[4][2].numpy()[:40], values[:40], rtol=1e-3, atol=1e-4)


def test_an_autoencoder_starts_at_pca_and_improves_on_it(bench, pictures, fitted, tmp_path, monkeypatch):
    ticks = itertools.count()  # a step of any machine takes 20 ms
    monkeypatch.setitem(bench.train.__globals__, "process_time", lambda: 0.02 * next(ticks))
    mean, basis, deviation = fitted[8]
    torch.manual_seed(0)
    net = bench.Autoencoder(8, mean, basis[:, :4].contiguous(), deviation[:4])
    assert 0.25e6 < sum(weights.numel() for weights in net.parameters()) < 0.4e6
    crops = pictures.crops(8, 64, np.random.default_rng(1))

    def error() -> float:
        with torch.no_grad():
            return float((net.decode(net.encode(crops)) - crops).square().mean())

    before, plain = error(), bench.Patches(8, mean, basis[:, :4])
    assert before == pytest.approx(float((plain.decode(plain.encode(crops)) - crops).square().mean()), rel=1e-3)
    recipe, path = bench.Recipe(2.0, batch=2, side=64), tmp_path / "ae.pt"
    with pytest.raises(bench.OutOfTime):  # at once, after one step
        bench.train(net, pictures, recipe, path, lambda: -1.0)
    assert torch.load(path, weights_only=True)["step"] == 1
    curve = bench.train(net, pictures, recipe, path, lambda: 1.0)
    kept = torch.load(path, weights_only=True)
    assert kept["step"] == 100
    assert kept["spent"] == pytest.approx(2.0)
    assert len(curve) == 10
    # The same few pictures again and again: seconds take a tenth off what four components lose.
    assert error() < 0.9 * before
    again = bench.Autoencoder(8, mean, basis[:, :4].contiguous(), deviation[:4])
    assert bench.train(again, pictures, recipe, path, lambda: 1.0) == curve  # done: read, not trained
    assert torch.equal(again.analysis, net.analysis)


def test_the_picture_itself_is_perfect_and_four_components_are_not(bench, clip, fitted):
    footage, seen = clip
    render = bench.figures_of(footage.linear, seen)
    exact = bench.row_of(bench.Pixels(), footage, seen)
    assert exact.pop("error") == 0.0
    for name, value in render.items():
        # LogC3 and back in float32; the lock's flow reads 8-bit pictures, where a code may flip.
        assert exact[name] == pytest.approx(value, rel=1e-3, abs=2e-3 if name == "lock" else 0), name
    mean, basis, _ = fitted[8]
    coarse = bench.row_of(bench.Patches(8, mean, basis[:, :4]), footage, seen)
    assert coarse["detail"] < 0.9 * render["detail"]
    assert coarse["error"] > 1e-5
    line = bench.line_of([exact | {"error": 0.0}, coarse], [render, render])
    assert line[0] == f"{-10 * np.log10(coarse['error'] / 2):.1f}"
    assert bench.line_of([exact | {"error": 0.0}], [render])[:4] == ["exact", "1.000", "+0.0000", "1.000"]


def test_cells_hold_their_own_pixels(bench):
    for factor, channels in ((1, 3), (4, 5), (8, 7)):
        latents = torch.randn(channels, 24 // factor, 40 // factor)
        cells = bench.cells_of(latents, factor)
        assert cells.shape == (3 * 5, channels * (8 // factor) ** 2)
        assert torch.equal(bench.latents_of(cells, factor, 40)[0], latents)
        changed = latents.clone()
        changed[:, 8 // factor : 16 // factor, 16 // factor : 24 // factor] += 1  # second row, third column
        assert (bench.cells_of(changed, factor) != cells).any(1).nonzero().flatten().tolist() == [7]


def test_the_probe_finds_what_follows_from_the_conditions(bench, fitted):
    """Pictures that are a linear mix of three conditions: ridge finds all of it, and through PCA all but what PCA
    itself loses."""
    generator = torch.Generator().manual_seed(7)
    conditions = torch.randn(24, 24, 64, 96, generator=generator)
    mix = torch.randn(3, 3, generator=generator)

    class Mixed:
        def picture(self, index):
            return torch.einsum("ij,jyx->iyx", mix, conditions[index, :3])

    shown, told = Mixed(), torch.zeros(2)
    taught, asked = list(range(20)), [20, 21]
    places = torch.stack([torch.randperm(96, generator=generator) for _ in taught]).repeat(1, 2)[:, :160]
    features = torch.cat([bench.features_of(conditions[i], told)[p] for i, p in zip(taught, places, strict=True)])
    tests = [bench.features_of(conditions[i], told) for i in asked]
    lessons = bench.Lessons(taught, asked, places, features, tests)
    found = bench.probe(bench.Pixels(), lessons, shown, steps=40)
    assert found["codec"] == 0.0
    variance = float(torch.stack([shown.picture(i) for i in asked]).var())
    assert found["mean"] == pytest.approx(variance, rel=0.1)
    # 1,920 different cells tell 1,536 weights and 624 that should be none, with a ridge of a hundredth.
    assert found["ridge"] < 0.35 * variance
    assert found["network"] < found["mean"] * 1.1
    mean, basis, _ = fitted[8]
    through = bench.probe(bench.Patches(8, mean, basis[:, :16].contiguous()), lessons, shown, steps=40)
    assert through["codec"] < through["ridge"] < through["codec"] + found["ridge"]


def test_conditions_of_a_frame_reach_the_probe(bench, pictures):
    lessons = bench.lessons_of(pictures, 2, 1, np.random.default_rng(0))
    assert lessons.features.shape[0] == 2 * bench.SAMPLES
    assert lessons.features.shape[1] == lessons.tests[0].shape[1]
    assert len(lessons.tests[0]) == 8 * 16
    assert torch.isfinite(lessons.features).all()
    assert float(lessons.features.std()) > 0.5
    found = pictures.conditions(pictures.taught[0])
    assert found.shape == (24, 64, 128)
    _, depth, _ = pictures.store.load_fine(pictures.taught[0], exact=True)
    assert torch.equal(found[0] > 0, torch.from_numpy(np.isfinite(depth)))  # root of inverse depth
    assert torch.equal(found[17] > 0, torch.from_numpy(np.isfinite(depth)))  # where a base colour is told


def test_a_folder_without_shards_is_told(bench, tmp_path):
    with pytest.raises(FarplaneError, match="holds 0 training shards"):
        bench.Pictures(tmp_path)
    with pytest.raises(ValueError):
        bench.autoencoder("5x16:2")
    assert bench.autoencoder("8x16:2.5") == (8, 16, 2.5)
