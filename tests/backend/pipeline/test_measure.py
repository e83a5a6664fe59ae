"""The report's other measures, against scenes where the answer is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from farplane.backend.pipeline import measure
from farplane.backend.pipeline.colour import srgb_decode
from farplane.backend.pipeline.measure import depth_edge_auc, flicker, high_pass_rms, measure_plate, warp_psnr
from farplane.protocol.errors import FarplaneError


def arrays(rendered) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rendered.depth, rendered.scene.K, rendered.scene.pose


def test_the_report_of_a_clean_plate_beside_its_render(boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "MAX_PAIRS", 4)
    monkeypatch.setattr(measure, "MAX_FRAMES_READ", 3)
    # A night version, six stops down, as the memory-mapped half floats that the renderer keeps.
    plate = (boxes.rgb / 16).astype(np.float16)
    report = measure_plate(plate, boxes.shot_with_reference())
    assert [figure.k for figure in report.plate.lock] == [1, 4, 8]
    assert all(figure.median is not None and figure.median < 0.3 for figure in report.plate.lock)
    assert report.plate.lock[0].pairs == 4
    assert report.plate.lock[0].possible == 8
    assert [p.frame for p in report.plate.lock[0].frames] == [102, 104, 107, 109]
    assert [p.source for p in report.plate.lock[1].frames] == [101, 102, 104, 105]
    assert report.reference is not None
    assert report.plate.edges is not None
    assert report.plate.edges.auc > 0.85
    assert report.detail_ratio is not None
    assert 0.2 < report.detail_ratio < 1
    assert report.gap_share(1) == pytest.approx(1, abs=0.3)
    text = json.dumps(report.to_json(), allow_nan=False)
    assert json.loads(text)["plate"]["lock"][0]["frames"][0]["frame"] == 102
    assert "encoding" in text


def test_a_plate_that_shows_nothing_still_gets_a_report(small: Callable) -> None:
    rendered = small(96, 64, 2)
    report = measure_plate(np.zeros_like(rendered.rgb), rendered.shot)
    assert report.reference is None
    assert report.gap_share(1) is None
    assert report.detail_ratio is None
    assert all(figure.median is None and figure.reason for figure in report.plate.lock)
    assert report.plate.detail == 0
    json.dumps(report.to_json(), allow_nan=False)


def test_a_list_of_frames_is_as_good_as_an_array_and_a_misfit_is_refused(small: Callable) -> None:
    rendered = small(96, 64, 3)
    one, other = measure_plate(list(rendered.rgb), rendered.shot), measure_plate(rendered.rgb, rendered.shot)
    assert one.to_json() == other.to_json()
    with pytest.raises(FarplaneError, match="2 frames"):
        measure_plate(rendered.rgb[:2], rendered.shot)
    with pytest.raises(FarplaneError, match="plate"):
        measure_plate(rendered.rgb[:, :-2], rendered.shot)


def test_warp_psnr_stands_far_over_the_shuffled_camera(boxes) -> None:
    found = warp_psnr(boxes.rgb, *arrays(boxes), k=1)
    assert found is not None
    assert found.gap is not None
    assert found.gap > 10
    stuck = warp_psnr(np.repeat(boxes.rgb[:1], 9, 0), *arrays(boxes), k=1)
    assert stuck is not None
    assert stuck.true < found.true - 8


def test_blur_and_noise_each_deceive_one_measure_and_high_pass_tells(boxes) -> None:
    """Why the three stand together."""
    frames = boxes.rgb[:3]
    depth, K, pose = (a[:3] for a in arrays(boxes))
    soft = np.stack([cv2.GaussianBlur(f, (0, 0), 4) for f in frames])
    noise = np.clip(frames + np.random.default_rng(0).normal(0, 0.2, frames.shape), 0, None)
    real, blurred, noisy = (warp_psnr(f, depth, K, pose, 1) for f in (frames, soft, noise))
    assert real is not None
    assert blurred is not None
    assert noisy is not None
    assert noisy.gap is not None
    assert real.gap is not None
    assert noisy.gap < 0.4 * real.gap
    detail = high_pass_rms(frames)
    assert high_pass_rms(soft) < 0.5 * detail
    assert high_pass_rms(noise) > 1.2 * detail


def test_a_tripod_has_no_shuffled_floor(small: Callable) -> None:
    rendered = small(96, 64, 3)
    depth, K, pose = (np.repeat(a[:1], 3, axis=0) for a in arrays(rendered))
    found = warp_psnr(np.repeat(rendered.rgb[:1], 3, 0), depth, K, pose, 1)
    assert found is not None
    assert found.shuffled is None
    assert found.gap is None
    assert found.true > 60
    assert warp_psnr(rendered.rgb, depth, K, pose, 8) is None  # no pair is that far apart


def test_high_pass_of_a_checkerboard_is_its_amplitude() -> None:
    y, x = np.mgrid[0:64, 0:80]
    code = 0.4 + 0.1 * np.where((x + y) % 2, 1.0, -1.0)
    frames = np.repeat(srgb_decode(code)[None, ..., None], 3, axis=-1)  # below the display curve's shoulder
    # A Gaussian of 2 px leaves e^-20 of the highest frequency.
    assert high_pass_rms(frames) == pytest.approx(0.1, rel=1e-3)
    assert high_pass_rms(np.full((2, 64, 80, 3), 0.3)) == pytest.approx(0, abs=1e-6)


def test_flicker_reads_a_pulsing_light_and_no_slip(small: Callable) -> None:
    rendered = small(160, 96, 4)
    clean = flicker(rendered.rgb, *arrays(rendered))
    assert clean is not None
    still = [np.repeat(a[:1], 4, axis=0) for a in arrays(rendered)]
    pulsing = np.stack([np.full((96, 160, 3), srgb_decode(np.array(0.4 + 0.02 * (t % 2)))) for t in range(4)])
    # Every pair differs by 0.02 of 255 codes.
    assert flicker(pulsing, *still) == pytest.approx(5.1, rel=0.01)
    slipped = rendered.rgb.copy()
    slipped[1::2] = np.roll(slipped[1::2], 1, axis=2)
    slip = flicker(slipped, *arrays(rendered))
    assert slip is not None
    assert slip < 2 * max(clean, 1.0)


def test_edges_of_plain_arrays(boxes) -> None:
    found = depth_edge_auc(boxes.rgb[:2], boxes.depth[:2])
    assert found is not None
    assert found.auc > 0.85
    mirrored = depth_edge_auc(boxes.rgb[:2, :, ::-1], boxes.depth[:2])
    assert mirrored is not None
    assert mirrored.auc < found.auc - 0.1


def test_the_reference_is_measured_like_the_plate(small: Callable) -> None:
    rendered = small(128, 96, 3)
    report = measure_plate(rendered.rgb, replace(rendered.shot, reference=rendered.rgb))
    assert report.reference == report.plate
    assert report.detail_ratio == 1
    assert report.gap_share(1) == 1
