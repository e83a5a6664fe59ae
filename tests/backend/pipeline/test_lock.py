"""The camera lock's calibration: what is injected is read back, what cannot be read is refused, cheats are caught."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import pytest

from farplane.backend.pipeline.colour import display_encode, luminance
from farplane.backend.pipeline.lock import DETAIL_CODES, MIN_DETAIL, LockFigure, View, camera_lock, fine_detail, spread
from farplane.backend.pipeline.warp import Camera


def lock(rendered, frames: np.ndarray, k: int, *, most: int = 2, mask: np.ndarray | None = None, **how) -> LockFigure:
    """The lock of `frames` against the scene's true cameras and depth."""
    scene = rendered.scene

    def view(t: int) -> View:
        grey = display_encode(luminance(frames[t])) * np.float32(255)
        out = None if mask is None else mask[t]
        return View(101 + t, grey, rendered.depth[t], Camera(scene.K[t], scene.pose[t]), out)

    return camera_lock(view, len(frames), k, most=most, most_matched=most, **how)


def blurred(frames: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in frames])


@pytest.mark.parametrize("k", [1, 4, 8])
def test_a_clean_render_reads_under_a_third_of_a_pixel(boxes, k: int) -> None:
    figure = lock(boxes, boxes.rgb, k)
    assert figure.reason is None
    assert figure.median is not None
    assert figure.median < 0.3
    assert figure.matches is not None
    assert figure.matches < 0.5
    assert figure.response == pytest.approx(1, abs=0.05)
    assert figure.motion > 1  # it did move
    assert figure.scale == 1


@pytest.mark.parametrize("k", [1, 4, 8])
@pytest.mark.parametrize("injected", [0.5, 1.0, 2.0, 4.0])
def test_an_injected_camera_error_is_read_back_within_a_fifth(boxes, k: int, injected: float) -> None:
    """The last frame is rendered by a camera that is turned by so many pixels; the sent camera is the true one."""
    frames = boxes.rgb[[8 - k, 8]].copy()
    frames[1] = boxes.scene.render(8, yaw_px=injected)[0]
    scene = boxes.scene
    views = [
        View(t, display_encode(luminance(f)) * np.float32(255), boxes.depth[t], Camera(scene.K[t], scene.pose[t]), None)
        for t, f in zip((8 - k, 8), frames)
    ]
    figure = camera_lock(views.__getitem__, 2, 1, most=1)
    assert figure.median == pytest.approx(injected, rel=0.2)
    # The second opinion is coarser: SIFT's own error on this scene is .15 to .3 px.
    assert figure.matches == pytest.approx(injected, rel=0.2, abs=0.3)


def test_fine_detail_of_waves_is_their_gradient_and_of_stripes_nothing() -> None:
    """Waves of 9 px, as long as the window: their RMS gradient is A sin(a)/sqrt 2 times what a Gaussian leaves over."""
    y, x = np.mgrid[0:72, 0:90].astype(np.float32)
    a, amplitude = 2 * np.pi / 9, 20.0
    expected = amplitude * np.sin(a) / np.sqrt(2) * (1 - np.exp(-2 * a**2))
    waves = (128 + amplitude * (np.sin(a * x) + np.sin(a * y))).astype(np.float32)
    # The Gaussian is cut off at four sigma; the border, where the window is mirrored, is left out.
    np.testing.assert_allclose(fine_detail(waves)[16:-16, 16:-16], expected, rtol=0.01)
    # In float32 the smaller eigenvalue of stripes is rounding noise, far under what counts.
    stripes = (128 + amplitude * np.sin(a * (x + y))).astype(np.float32)
    assert fine_detail(stripes)[16:-16, 16:-16].max() < 0.1 * DETAIL_CODES


def test_what_has_detail_one_way_only_takes_no_part(boxes) -> None:
    """The surfaces brushed into long streaks: along them a slip cannot be seen, so it is not claimed to be none."""
    streaks = cv2.blur(boxes.rgb[0], (301, 1))
    figure = lock(boxes, np.stack([streaks] * 9), 4)
    assert figure.detail < MIN_DETAIL
    assert figure.median is None


def test_every_pixel_that_can_be_read_is_read(boxes) -> None:
    """A render with detail everywhere gives a figure for most of its visible surface, not for the best of it."""
    figure = lock(boxes, boxes.rgb, 4)
    assert figure.detail > 0.6
    surface = np.isfinite(boxes.depth[4:]).mean()
    assert figure.share > 0.6 * 0.75 * surface  # of what is visible, three quarters stay visible over four frames


def test_a_blank_plate_is_refused_a_figure(boxes) -> None:
    figure = lock(boxes, np.full_like(boxes.rgb, 0.3), 1)
    assert figure.median is None
    assert figure.p95 is None
    assert figure.matches is None
    assert figure.reason is not None
    assert "detail" in figure.reason
    assert figure.detail == 0
    assert all(pair.median is None for pair in figure.frames)


@pytest.mark.parametrize("sigma", [4.0, 8.0])
def test_a_blurred_plate_is_refused_a_figure(boxes, sigma: float) -> None:
    figure = lock(boxes, blurred(boxes.rgb, sigma), 1)
    assert figure.median is None
    assert figure.detail < MIN_DETAIL / 2  # well off the threshold, not by luck


def test_a_slightly_soft_plate_is_still_read(boxes) -> None:
    figure = lock(boxes, blurred(boxes.rgb, 1.0), 1)
    assert figure.median is not None
    assert figure.median < 0.3


@pytest.mark.parametrize("k", [1, 4])
def test_a_texture_stuck_to_the_screen_reads_as_the_cameras_own_motion(boxes, k: int) -> None:
    stuck = np.repeat(boxes.rgb[:1], 9, axis=0)
    figure, clean = lock(boxes, stuck, k), lock(boxes, boxes.rgb, k)
    assert figure.median is not None
    assert clean.median is not None
    # Parallax tears the carried frame, so flow finds the motion to about a third.
    assert figure.median == pytest.approx(figure.motion, rel=0.35)
    assert figure.median > 20 * clean.median
    assert figure.matches is not None
    assert figure.matches > 0.5 * figure.motion


def test_noise_never_reads_as_locked(boxes) -> None:
    noise = np.random.default_rng(0).uniform(0, 1, boxes.rgb.shape).astype(np.float32)
    figure = lock(boxes, noise, 1)
    assert figure.median is None or figure.median > 2
    assert figure.matches is None  # no feature finds its like


def test_what_moves_by_itself_is_left_out_by_a_mask(boxes) -> None:
    """A third of the picture slides sideways, as water may."""
    frames, mask = boxes.rgb.copy(), np.zeros(boxes.depth.shape, bool)
    for t in range(9):
        frames[t, 150:] = np.roll(boxes.rgb[t, 150:], 5 * t, axis=1)
        mask[t, 148:] = True
    spoiled, masked = lock(boxes, frames, 1), lock(boxes, frames, 1, mask=mask)
    assert spoiled.median is not None
    assert masked.median is not None
    assert spoiled.median > 1
    assert masked.median < 0.3
    assert masked.share < spoiled.share


def test_a_small_picture_blown_up_is_read_at_a_coarser_size(small: Callable) -> None:
    """Four times enlarged there is no fine detail left; at half the size there is, and pixels stay pixels."""
    rendered = small(200, 126, 3)
    big = small(800, 504, 3)
    enlarge = partial(cv2.resize, dsize=(800, 504), interpolation=cv2.INTER_CUBIC)
    frames = np.stack([enlarge(f) for f in rendered.rgb])
    figure = lock(big, frames, 1, most=1)
    assert figure.scale < 1
    assert figure.median is not None
    assert figure.median < 0.3 * 4  # what a clean render reads, in the small picture's pixels
    frames[1] = np.roll(frames[1], 8, axis=1)
    assert lock(big, frames, 1, most=1).median == pytest.approx(8, rel=0.2)


def test_a_plate_known_to_be_enlarged_is_read_at_the_size_it_was_made_at(boxes, small: Callable) -> None:
    """A small model's plate: at its full size a blur, at its own size a picture.  Errors stay in full-size pixels."""
    rendered = small(112, 64, 9)
    enlarge = partial(cv2.resize, dsize=(448, 256), interpolation=cv2.INTER_CUBIC)
    frames = np.stack([enlarge(f) for f in rendered.rgb])
    assert lock(boxes, frames, 4).median is None
    figure = lock(boxes, frames, 4, made_at=0.25)
    assert figure.scale == 0.25
    assert figure.median is not None
    assert figure.median < 0.3 * 4
    frames[4:] = np.roll(frames[4:], 4, axis=2)
    slipped = lock(boxes, frames, 4, most=1, made_at=0.25).median
    # One small pixel, read to a fifth beside what a clean one reads.
    assert slipped == pytest.approx(4, rel=0.2, abs=figure.median)


def test_frames_too_far_apart_or_seeing_nothing_in_common_are_said_so(boxes) -> None:
    assert lock(boxes, boxes.rgb[:3], 4).reason == "the shot has only 3 frames"
    scene = boxes.scene
    away = np.diag([-1.0, 1, -1, 1])

    def view(t: int) -> View:
        pose = scene.pose[0] @ (away if t else np.eye(4))
        return View(t, luminance(boxes.rgb[0]) * np.float32(255), boxes.depth[0], Camera(scene.K[0], pose), None)

    figure = camera_lock(view, 2, 1, most=4)
    assert figure.median is None
    assert figure.reason is not None
    assert "visible" in figure.reason


def test_pairs_are_spread_evenly_with_both_ends() -> None:
    assert spread(5, 10) == [0, 1, 2, 3, 4]
    chosen = spread(1439, 48)
    assert chosen[0] == 0
    assert chosen[-1] == 1438
    assert len(chosen) == 48
    assert max(np.diff(chosen)) - min(np.diff(chosen)) <= 1
    assert spread(7, 1) == [3]
