"""The table's lines from rows whose answer is known by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from farplane.backend.train import figures
from farplane.backend.train.classifier import Judge
from farplane.backend.train.figures import Line
from farplane.backend.train.rows import Row
from farplane.backend.train.scorecard import badness, number, table, worst


def measures(**over: Any) -> dict[str, Any]:
    """One side's figures of pipeline.measure, as JSON gives them."""
    lock = {"median": 0.2, "p95": 0.8, "motion": 6.0, "detail": 0.7} | over.pop("lock", {})
    residual = {"psnr": 30.0, "shuffled": 20.0} | over.pop("residual", {})
    edges = {"auc": 0.8, "shuffled": 0.5, "precision": 0.6, "recall": 0.7}
    return {
        "lock": [{"k": k} | lock for k in (1, 4, 8)],
        "residual": [{"k": k} | residual for k in (1, 4, 8)],
        "edges": edges,
        "detail": 0.05,
        "flicker": 1.0,
    } | over


def row(
    plate: dict | None = None, render: dict | None = None, *, light: float = 1.0, seed: int = 0, **about: Any
) -> Row:
    rng = np.random.default_rng(seed)
    seen = rng.lognormal(-1, 1, 500).astype(np.float32)
    pictures = rng.random((3, 3, 64, 112)).astype(np.float16)
    base = {"section": "seeds", "name": f"seeds-{seed}", "prompt": "a village", "asked": None, "scale": 1.0}
    strip = np.zeros((128, 1120, 3), np.uint8)
    sides = plate or measures(), render or measures()
    return Row(base | about, *sides, pictures, pictures, seen * np.float32(light), seen, strip)


def named(lines: list[Line], start: str) -> Line:
    return next(line for line in lines if line.name.startswith(start))


def test_lock_is_in_pixels_of_the_shot_and_a_refused_clip_counts_for_the_share() -> None:
    refused = measures(lock={"median": None, "p95": None, "detail": 0.1})
    rows = [row(seed=1, scale=4.0), row(seed=2, scale=4.0), row(refused, seed=3, scale=4.0)]
    lines = figures.lock_lines(rows, 4)
    median, share = named(lines, "camera lock k=4, median"), named(lines, "camera lock k=4, visible")
    assert median.plate == pytest.approx(0.8)
    assert median.floor == pytest.approx(24)
    assert (median.clips, median.out_of) == (2, 3)
    assert median.met is False
    assert share.plate == pytest.approx(0.7)
    assert share.met is True
    assert named(figures.lock_lines(rows, 8), "camera lock k=8, median").met is None  # the target is for k = 4
    assert named(figures.lock_lines([row(refused)], 4), "camera lock k=4, median").plate is None


def test_a_tripod_shot_has_no_lock_to_lose() -> None:
    """Its plate may be anything that stands still; its share of readable surface counts all the same."""
    still = measures(lock={"median": 0.0, "motion": 0.2, "detail": 0.1})
    rows = [row(seed=1), row(still, still, seed=2), row(still, still, seed=3)]
    lines = figures.lock_lines(rows, 4)
    median = named(lines, "camera lock k=4, median")
    assert (median.plate, median.clips, median.out_of) == (0.2, 1, 3)
    assert named(lines, "camera lock k=4, visible").plate == pytest.approx(0.1)
    assert named(figures.lock_lines(rows[1:], 4), "camera lock k=4, median").met is None


def test_the_residuals_place_is_its_gap_over_the_renders() -> None:
    half = measures(residual={"psnr": 27.0, "shuffled": 22.0})
    tripod = measures(residual={"shuffled": None})
    lines = figures.residual_lines([row(half), row(half), row(tripod)], 4)
    share = named(lines, "warp gap")
    assert share.plate == pytest.approx(0.5)
    assert share.met is False
    assert (share.clips, share.out_of) == (2, 3)
    assert named(lines, "warp PSNR").floor == pytest.approx(22)


@pytest.mark.parametrize(("light", "met"), [(1.0, True), (1.08, True), (0.95, True), (1.2, False), (0.8, False)])
def test_luminance_percentiles_are_met_within_a_tenth(light: float, met: bool) -> None:
    lines = figures.light_lines([row(light=light, seed=s) for s in (1, 2)])
    middle = named(lines, "luminance, percentile 50")
    assert middle.plate is not None
    assert middle.render is not None
    assert middle.plate == pytest.approx(light * middle.render, rel=1e-5)
    assert middle.met is met
    assert named(lines, "brightness").plate == pytest.approx(abs(np.log2(light)), abs=2e-3)  # BLACK takes the rest


def test_few_clips_tell_a_percentile_of_light_within_bounds() -> None:
    alike = figures.ratios_told([row(light=1.2, seed=s) for s in range(5)])
    np.testing.assert_allclose(alike, 1.2, rtol=1e-3)  # BLACK takes the rest
    rng = np.random.default_rng(2)
    lights = np.exp(rng.normal(0, 0.5, 60))
    few, many = (figures.ratios_told([row(light=lights[s], seed=s) for s in range(n)]) for n in (6, 60))
    widths = [high - low for low, high in few], [high - low for low, high in many]
    # Errors go down as the square root of ten: by 3.2, give or take what six drawn clips happen to be.
    assert all(1.6 < a / b < 6 for a, b in zip(*widths, strict=True))
    line = named(figures.light_lines([row(light=lights[s], seed=s) for s in range(6)]), "luminance, percentile 95")
    low, high = few[2]
    assert line.target == f"within 10% ({low:.2f} to {high:.2f} of it)"


def test_detail_and_edges_and_flicker() -> None:
    soft = measures(detail=0.035, flicker=2.0, edges=None)
    lines = figures.picture_lines([row(soft), row()]) + figures.edge_lines([row(soft), row()])
    assert named(lines, "detail").plate == pytest.approx(0.85)
    assert named(lines, "detail").met is True
    assert named(lines, "flicker").plate == pytest.approx(1.5)
    assert named(lines, "depth-edge AUC").clips == 1
    assert named(lines, "depth-edge AUC").floor == 0.5


def test_attributes_are_counted_where_they_were_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge reads what the first number of a picture says."""
    values = ("alpine", "village")

    def read(_: Judge, pictures: np.ndarray) -> dict[str, str]:
        return {"kind": values[int(pictures[0, 0, 0, 0])], "time": "noon", "weather": "fog", "season": "summer"}

    monkeypatch.setattr(figures, "votes", read)
    rows = [row(seed=s, asked={"kind": values[s % 2], "time": "noon"}) for s in range(4)]
    for s, one in enumerate(rows):
        one.plate_pictures[0, 0, 0, 0] = s % 2 if s else 1  # one of four is wrong; the renders share its pictures
    lines = figures.attribute_lines([*rows, row(seed=9)], Judge())
    assert [line.name.split()[0] for line in lines] == ["kind", "time"]
    kind = named(lines, "kind")
    assert kind.plate == pytest.approx(0.75)
    assert kind.floor == pytest.approx(0.25)
    assert kind.met is False
    assert (kind.clips, kind.out_of) == (4, 4)
    assert figures.attribute_lines([row(seed=9)], Judge()) == []


def test_plates_that_are_renders_are_as_far_as_two_halves_and_flat_colour_is_farther() -> None:
    torch.manual_seed(1)
    judge = Judge().eval()
    rows = [row(seed=s) for s in range(8)]
    (line,) = figures.frechet_lines(rows, judge)
    assert line.plate == pytest.approx(line.render, rel=1e-6)
    assert line.floor is not None
    assert line.plate is not None
    assert line.floor > 3 * line.plate
    assert figures.frechet_lines(rows[:3], judge) == []


def test_a_plate_copied_from_training_is_flagged() -> None:
    torch.manual_seed(1)
    judge = Judge().eval()
    rows = [row(seed=s) for s in range(6)]
    training = np.random.default_rng(99).random((40, 3, 64, 112)).astype(np.float16)
    clean, _ = figures.likeness_lines(rows, judge, training)
    # Plate and render are the same picture here, so the plates lie as the renders do.
    assert named(clean, "nearest training frame by small pictures, plates").plate == pytest.approx(1 / 18, abs=1e-6)
    training[17] = np.random.default_rng(3).random((3, 3, 64, 112)).astype(np.float16)[0]
    copied = Row(**{**vars(rows[2]), "plate_pictures": training[16:19].copy()})
    lines, copies = figures.likeness_lines([*rows[:2], copied, *rows[3:]], judge, training)
    assert named(lines, "nearest training frame by features, plates").met is False
    assert copies is not None
    assert copies.distance.argmin() == 2
    assert copies.index[2] in (16, 17, 18)
    assert figures.likeness_lines(rows, judge, None) == ([], None)


def test_the_table_prints_every_line_and_the_worst_rows_are_found() -> None:
    text = table({"seeds": [Line("a", 0.5, None, 0.0, "%", "≥ 80%", False, 3, 4)]}, ["a note"])
    assert "- a note" in text
    assert "| a | 50% | – | 0% | ≥ 80% | no | 3 of 4 |" in text
    assert number(0.004, "%") == "0.4%"
    assert number(1.234, "px") == "1.23 px"
    slipped = measures(lock={"median": 3.0})
    rows = [row(seed=0), row(slipped, seed=1), row(measures(edges=None), light=4.0, seed=2)]
    bad = badness(None, rows)
    assert worst(bad["camera lock k=4, px"])[0] == 1
    assert worst(bad["brightness, stops from the render's"])[0] == 2
    assert 2 not in worst(bad["depth-edge AUC, under the render's"])
    assert worst(bad["nearness to a training frame"]) == []
