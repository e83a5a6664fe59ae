"""`farplane evaluate` from its cases to its files, on footage whose plate is known; what is kept and what is made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from farplane.backend.model.presets import PRESETS, FoundModel
from farplane.backend.train import cases, evaluate
from farplane.backend.train.cases import Size, Spec, interleaved, model_fingerprint, specs_of
from farplane.backend.train.classifier import HEADS, Judge, Reading
from farplane.backend.train.data import TRAINING_SEED, render_clip
from farplane.backend.train.evaluate import Clock, Run, all_rows, check, parser, size_of, write_results
from farplane.backend.train.prompts import HELD_OUT_PAIRS, WORDINGS, is_held_out
from farplane.backend.train.world import Attributes
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import CameraTrack, RenderSettings, Shot

SIZE = Size(112, 64, 9)
QUIET: Callable[[str], None] = lambda _: None  # noqa: E731
READING = Reading(64, 1000, {name: (9 * np.eye(len(v), dtype=int) + 1).tolist() for name, v in HEADS.items()})


def wall(seed: int, frames: int, width: int, height: int, moving: bool = False, **_: object) -> SimpleNamespace:
    """A textured wall ten metres off with a pillar's depth before it; the camera slides two pixels a frame."""
    rng = np.random.default_rng(seed)
    wide = width + 2 * frames
    texture = cv2.GaussianBlur(rng.random((height, wide, 3)), (0, 0), 1.0).astype(np.float32)
    texture = 0.2 + 2 * (texture - texture.mean()) + 0.1 * (seed % 5)
    linear = np.stack([texture[:, 2 * t : 2 * t + width] for t in range(frames)]).clip(0)
    z = np.full((frames, height, width), 10.0, np.float32)
    K = np.tile(np.array([[100.0, 0, width / 2], [0, 100.0, height / 2], [0, 0, 1]]), (frames, 1, 1))
    pose = np.tile(np.eye(4), (frames, 1, 1))
    pose[:, 0, 3] = np.arange(frames) * 0.2  # 2 px at 10 m and 100 px of focal length
    base = np.full((*z.shape, 4), 255, np.uint8)
    return SimpleNamespace(
        linear=linear, depth=z, exact=z, camera=CameraTrack(K, pose), move="truck", base_colour=lambda manner: base,
        seen=("cars",) if moving else (),
    )  # fmt: skip


class Painter:
    """Paints the very render of the shot it is given, `shrink` times smaller; counts its plates."""

    def __init__(self, shrink: int = 1, fail_at: int = -1) -> None:
        self.shots: list[str] = []
        self.shrink, self.fail_at = shrink, fail_at

    def __call__(self, shot: Shot, settings: RenderSettings, found: FoundModel) -> np.ndarray:
        if len(self.shots) == self.fail_at:
            raise KeyboardInterrupt
        self.shots.append(shot.name)
        frames = wall(int(shot.name.split("-")[1]), len(shot.frames), *shot.resolution).linear
        size = (shot.resolution[0] // self.shrink, shot.resolution[1] // self.shrink)
        return np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(cases, "render_clip", wall)
    settings = RenderSettings(seed=3)
    return Run(tmp_path, FoundModel(PRESETS[0], tmp_path), settings, SIZE, "world", "model")


def specs(count: int) -> list[Spec]:
    return specs_of("seeds", count)


def test_cases_are_new_to_the_model() -> None:
    seeds, pairs, words = (specs_of(section, 20) for section in ("seeds", "pairs", "wordings"))
    everything = [*seeds, *pairs, *words]
    assert len({spec.seed for spec in everything}) == 60
    assert all(spec.seed < TRAINING_SEED for spec in everything)
    assert not any(is_held_out(spec.attributes) for spec in [*seeds, *words])
    assert all(is_held_out(spec.attributes) for spec in pairs)
    assert {(s.attributes.kind, s.attributes.time) for s in pairs} == set(HELD_OUT_PAIRS)
    assert all(spec.held_out_words for spec in words)
    assert not any(spec.held_out_words for spec in [*seeds, *pairs])
    assert specs_of("seeds", 20) == seeds
    assert specs_of("seeds", 12, 8) == seeds[8:]  # the same cases, whichever is the first


def test_wherever_it_stops_each_section_has_its_share() -> None:
    order = interleaved([specs_of("seeds", 16), specs_of("pairs", 4)])
    assert len(order) == 20
    for stop in (5, 10, 15):
        assert sum(spec.section == "pairs" for spec in order[:stop]) == stop // 5


def test_a_plate_that_is_the_render_scores_as_the_render(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "sample_plate", Painter())
    torch.manual_seed(0)
    rows = all_rows(run, specs(4), [], None, Clock(0), QUIET)
    text = write_results(run, rows, {"seeds": 4}, (Judge().eval(), READING), [], ["a note"])
    values = json.loads((run.out / "figures.json").read_text())
    assert values["complete"] is True
    lines = {line["name"]: line for line in values["sections"]["seeds"]}
    for line in lines.values():
        if line["plate"] is not None and line["render"] is not None and not line["name"].startswith("Fr"):
            # float16 on disk: one part in two thousand of each value.
            assert line["plate"] == pytest.approx(line["render"], rel=0.02, abs=0.02), line["name"]
    lock = lines["camera lock k=4, median"]
    assert lock["plate"] < 0.1
    assert lock["floor"] == pytest.approx(8, abs=0.01)  # what sticks to the screen slips by the camera's own motion
    assert lock["met"] is True
    assert lines["warp gap to a shuffled camera k=4, of the render's"]["met"] is True
    assert lines["detail (high-pass RMS), of the render's"]["met"] is True
    assert "- a note" in text
    assert "likeness: not measured" in text
    assert "the judge on 64 renders kept from it" in text
    assert values["judge"]["season"] == pytest.approx(10 / 12)
    assert {p.name for p in run.out.iterdir() if p.is_file()} == {
        "figures.json", "table.md", "judge.md", "sheet.png", "failures.md", "failures.png",
    }  # fmt: skip


def test_the_bare_section_sends_the_same_shots_without_colours(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Shot] = []
    painter = Painter()

    def paint(shot: Shot, settings: RenderSettings, found: FoundModel) -> np.ndarray:
        sent.append(shot)
        return painter(shot, settings, found)

    monkeypatch.setattr(cases, "sample_plate", paint)
    rows = all_rows(run, [*specs(2), *specs_of("bare", 2)], [], None, Clock(0), QUIET)
    assert {name: len(part) for name, part in rows.items()} == {"seeds": 2, "bare": 2}
    told, bare = sent[:2], sent[2:]
    for one, other in zip(told, bare, strict=True):
        assert one.prompt == other.prompt
        np.testing.assert_array_equal(one.depth.z, other.depth.z)
        assert one.base_colour is not None
        assert other.base_colour is None
    assert len(list((run.out / "renders").iterdir())) == 2, "the same renders stand beside both"


def test_each_case_has_a_seed_of_its_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with and without colours, so that these can be compared."""
    drawn: dict[str, int] = {}
    painter = Painter()

    def paint(shot: Shot, settings: RenderSettings, found: FoundModel) -> np.ndarray:
        drawn[shot.name] = settings.seed
        return painter(shot, settings, found)

    monkeypatch.setattr(cases, "sample_plate", paint)
    all_rows(run, [*specs(2), *specs_of("bare", 2)], [], None, Clock(0), QUIET)
    assert drawn == {"seeds-20000": 20_003, "seeds-20001": 20_004, "bare-20000": 20_003, "bare-20001": 20_004}


def test_only_the_moving_section_has_traffic_and_its_prompts_say_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, str] = {}
    painter = Painter()

    def paint(shot: Shot, settings: RenderSettings, found: FoundModel) -> np.ndarray:
        sent[shot.name] = shot.prompt.text
        return painter(shot, settings, found)

    monkeypatch.setattr(cases, "sample_plate", paint)
    moving = specs_of("moving", 8)
    assert len(moving) == 8
    assert len(specs_of("moving", 99)) == len(cases.IN_SIGHT)
    assert {spec.attributes.kind for spec in moving} == {"city", "village"}
    assert not any(is_held_out(spec.attributes) for spec in moving)
    assert "night" not in {spec.attributes.time for spec in moving}
    for _ in range(2):  # the second time what was kept is read
        all_rows(run, [*specs(2), *moving[:2]], [], None, Clock(0), QUIET)
        for folder in (run.out / "cases").iterdir():
            for file in folder.iterdir():
                file.unlink()
        said = {name.split("-")[0]: text for name, text in sent.items()}
        assert any(said["moving"].endswith(", " + wording) for wording in WORDINGS["cars"])
        assert not any(wording in said["seeds"] for wording in WORDINGS["cars"])
        sent.clear()


def test_clips_of_the_moving_section_show_what_moves() -> None:
    for spec in specs_of("moving", 2):
        clip = render_clip(spec.seed, 9, 112, 64, attributes=spec.attributes, samples=1)
        assert clip.seen, spec.name


def test_an_interrupted_run_goes_on_where_it_was(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Painter(fail_at=2)
    monkeypatch.setattr(cases, "sample_plate", first)
    with pytest.raises(KeyboardInterrupt):
        all_rows(run, specs(3), [], None, Clock(0), QUIET)
    second = Painter()
    monkeypatch.setattr(cases, "sample_plate", second)
    rows = all_rows(run, specs(3), [], None, Clock(0), QUIET)
    assert [*first.shots, *second.shots] == [spec.name for spec in specs(3)]
    kept = all_rows(run, specs(3), [], None, Clock(0), QUIET)
    assert len(second.shots) == 1
    assert [r.about for r in kept["seeds"]] == [r.about for r in rows["seeds"]]
    np.testing.assert_array_equal(kept["seeds"][2].plate_light, rows["seeds"][2].plate_light)
    # The rows alone are lost: the plates are measured again, not made again.
    for path in run.cases.rglob("row-*"):
        path.unlink()
    again = all_rows(run, specs(3), [], None, Clock(0), QUIET)
    assert len(second.shots) == 1
    assert again["seeds"][0].plate["lock"] == rows["seeds"][0].plate["lock"]
    # Another seed is another plate.
    other = Run(run.out, run.found, RenderSettings(seed=4), run.size, run.world, run.model)
    all_rows(other, specs(1), [], None, Clock(0), QUIET)
    assert len(second.shots) == 2


def test_a_smaller_plate_is_compared_at_its_own_size_in_pixels_of_the_shot(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = Run(run.out, run.found, run.settings, Size(224, 128, 9), run.world, run.model)
    monkeypatch.setattr(cases, "sample_plate", Painter(shrink=2))
    (row,) = all_rows(big, specs(1), [], None, Clock(0), QUIET)["seeds"]
    assert row.about["size"] == [112, 64]
    assert row.about["scale"] == 2
    assert row.lock("plate", 4)["motion"] == pytest.approx(8, abs=0.01)  # of the shot's pixels; 4 of the plate's
    assert row.plate["detail"] == pytest.approx(row.render["detail"], rel=0.01)


def test_minutes_end_a_run_with_fewer_clips_and_say_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "sample_plate", Painter())
    now = [0.0]
    monkeypatch.setattr(evaluate, "monotonic", lambda: now[0])
    clock = Clock(1.0)
    told: list[str] = []

    def say(text: str) -> None:
        told.append(text)
        now[0] += 25  # each case takes so many seconds

    measured = all_rows(run, specs(4), [], None, clock, say)
    # Two are done at 50 seconds; a third would take 25 more.
    assert len(measured["seeds"]) == 2
    assert "stopped" in told[-1]
    torch.manual_seed(0)
    text = write_results(run, measured, {"seeds": 4}, (Judge().eval(), READING), [], [])
    assert "stopped early: seeds 2 of 4" in text
    assert json.loads((run.out / "figures.json").read_text())["complete"] is False


def test_a_scene_of_cycles_is_measured_against_its_own_render(run: Run) -> None:
    calls = []

    def take(scene: Path, folder: Path, settings: RenderSettings, size: Size) -> tuple[Shot, np.ndarray, np.ndarray]:
        calls.append(folder)
        spec = Spec("seeds", 5, Attributes("village", "noon", "clear", "summer"))
        made = wall(5, size.frames, size.width, size.height)
        footage = cases.Footage(made.linear, made.depth, made.exact, made.base_colour(None), made.camera, "truck")
        return cases.shot_of(spec, footage, size), made.linear, made.linear

    scene = run.out / "street.blend"
    scene.write_bytes(b"x")
    rows = all_rows(run, [], [scene], take, Clock(0), QUIET)
    again = all_rows(run, [], [scene], take, Clock(0), QUIET)
    assert len(calls) == 1
    (row,) = again["cycles"]
    assert row.about == rows["cycles"][0].about
    assert row.about["asked"] is None
    assert row.plate["lock"] == row.render["lock"]
    scene.write_bytes(b"y")  # of the same size, and another scene
    all_rows(run, [], [scene], take, Clock(0), QUIET)
    assert len(calls) == 2
    assert len(set(calls)) == 2


def test_a_change_of_a_models_file_changes_its_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "a.safetensors").write_bytes(b"1")
    before = model_fingerprint(tmp_path)
    assert model_fingerprint(tmp_path) == before
    (tmp_path / "a.safetensors").write_bytes(b"2")
    assert model_fingerprint(tmp_path) != before


@pytest.mark.parametrize(
    ("words", "field"),
    [(["--size", "wide"], "size"), (["--size", "3x3"], "resolution"), (["--frames", "12"], "frames"), (["--frames", "5"], "frames")],
)  # fmt: skip
def test_a_size_no_shot_can_have_is_refused(words: list[str], field: str) -> None:
    with pytest.raises(FarplaneError) as caught:
        size_of(parser().parse_args(words))
    assert caught.value.field == field


@pytest.mark.parametrize(("words", "field"), [(["--first", "9990"], "first"), (["--data", "nowhere"], "data")])
def test_cases_that_are_none_and_folders_without_shards_are_refused(words: list[str], field: str) -> None:
    with pytest.raises(FarplaneError) as caught:
        check(parser().parse_args(words))
    assert caught.value.field == field
    check(parser().parse_args(["--first", "100"]))


def test_sizes_of_the_command_line() -> None:
    assert size_of(parser().parse_args([])) == Size(448, 256, 17)
    assert size_of(parser().parse_args(["--quick"])) == Size(112, 64, 9)
    assert size_of(parser().parse_args(["--size", "256x448", "--frames", "33"])) == Size(256, 448, 33)
