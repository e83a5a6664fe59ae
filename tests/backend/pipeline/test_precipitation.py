"""Rain and snow as particles: what asks for them, where they are drawn, what hides them."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from farplane.backend.model.words import WordEncoder
from farplane.backend.pipeline.canvas import whole
from farplane.backend.pipeline.precipitation import RAIN, SNOW, Fall, _cover, asked_fall, draw_fall
from farplane.backend.train.prompts import vocabulary
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, Shot

SMALL = whole((112, 64), (112, 64))
FACING = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.7], [0, 0, 0, 1]])  # along +Y, 1.7 m above the ground


def still_shot(depth: float, frames: int = 3, width: int = 112, height: int = 64) -> Shot:
    K = np.repeat([[[0.9 * width, 0, width / 2], [0, 0.9 * width, height / 2], [0, 0, 1]]], frames, 0)
    z = np.full((frames, height, width), depth, np.float32)
    return Shot(
        "still", tuple(range(1, frames + 1)), (width, height), Fraction(24),
        CameraTrack(K, np.repeat(FACING[None], frames, 0)), DepthPass(z, 0.05, 1e4), Prompt("snow falling"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "fall"),
    [
        ("a village, snow falling, at dusk", SNOW),
        ("alpine peaks in a blizzard", SNOW),
        ("a forest with snow in the air", SNOW),
        ("a village covered in snow, winter", None),
        ("deep snow", None),
        ("a city street in a downpour", RAIN),
        ("a harbour in the rain", RAIN),
        ("a living room, a blizzard", None),
        ("a desert, clear sky", None),
        ("", None),
    ],
)
def test_words_ask_for_it(prompt: str, fall: Fall | None) -> None:
    encoder = WordEncoder(vocabulary(), 1)
    words = encoder.known_words(prompt)
    assert asked_fall(words) is fall


@pytest.mark.parametrize("fall", [SNOW, RAIN])
def test_it_shows_moves_and_is_the_same_again(fall: Fall) -> None:
    shot = still_shot(np.inf, width=448, height=256)
    made, again, other = (np.full((3, 256, 448, 3), 0.2, np.float32) for _ in range(3))
    for frames, seed in ((made, 3), (again, 3), (other, 4)):
        draw_fall(frames, shot, whole(shot.resolution, (448, 256)), fall, seed)
    np.testing.assert_array_equal(made, again)
    assert (made != other).any()
    changed = (np.abs(made[0] - 0.2) > 0.02).any(-1).mean()  # by a tenth of the light there was
    assert 0.02 < changed < 0.6  # there, and not a curtain
    assert np.abs(made[1] - made[0]).max() > 0.01
    assert (made >= np.float32(0.2) - 1e-6).all()  # particles here are lighter than what they hide
    assert made.max() <= np.float32(fall.glow * 0.2) + 1e-6  # and never brighter than their own light


def test_what_stands_before_it_hides_it() -> None:
    near = np.full((3, 64, 112, 3), 0.2, np.float32)
    draw_fall(near, still_shot(0.3), SMALL, SNOW, 3)  # a wall before the nearest particle
    assert (near == np.float32(0.2)).all()
    far, half = near.copy(), near.copy()
    draw_fall(far, still_shot(np.inf), SMALL, SNOW, 3)
    draw_fall(half, still_shot(4.0), SMALL, SNOW, 3)
    assert 0 < (half != near).sum() < (far != near).sum()


def test_a_particle_is_drawn_where_a_camera_sees_it() -> None:
    """Against OpenCV's own projection; half a pixel for drawing in sixteenths and the centroid of a disk of pixels."""
    shot = still_shot(np.inf, width=224, height=128)
    place, later = np.array([[0.6, 5.0, 2.4]]), np.array([[0.6, 5.0, 2.35]])
    alone = Fall("one", 0, 0, 0, 0.05, 0, 10, 1.0, 1.0)
    cover = _cover((place, later), shot.camera, shot.depth.z[0], np.array([0.05]), 20.0, alone)
    y, x = np.mgrid[:128, :224] + 0.5
    found = np.array([(cover * x).sum(), (cover * y).sum()]) / cover.sum()
    world_to_camera = np.linalg.inv(FACING)
    turned, _ = cv2.Rodrigues(world_to_camera[:3, :3])
    middle = 0.5 * (place + later)  # the shutter is open from one to the other
    seen, _ = cv2.projectPoints(middle, turned, world_to_camera[:3, 3], shot.camera.K[0], np.zeros(4))
    np.testing.assert_allclose(found, seen[0, 0], atol=0.5)


def test_it_can_be_stopped() -> None:
    class Stopped(Exception):
        pass

    def check() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        draw_fall(np.zeros((3, 64, 112, 3), np.float32), still_shot(np.inf), SMALL, RAIN, 1, check)
