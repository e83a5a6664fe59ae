"""Windows that an artist made are found in the blockout's colours, and the shipped model lights these and no others."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from farplane.backend.model.presets import find_model
from farplane.backend.pipeline import plate
from farplane.backend.pipeline.canvas import fitted, whole
from farplane.backend.pipeline.detail import resampled_windows
from farplane.backend.pipeline.pattern import Pattern, pattern_channels
from farplane.backend.pipeline.plate import cropped, fit_shot, overscanned
from farplane.backend.pipeline.windows import PANE, WALL
from farplane.backend.train.cameras import look
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, RenderSettings, Shot

W, H, FOCAL = 448, 256, 400.0
BAY = 4.6, 4.2  # metres; a seed's bays (pattern.WALL) are 3.6 by 3.2
GROUND, PLASTER, GLASS = (90, 90, 88, 255), (200, 190, 170, 255), (28, 32, 40, 255)


def house(before: float = 0.0) -> tuple[Shot, NDArray[np.bool_], NDArray[np.bool_]]:
    """A house of 26 x 14 m, 30 m ahead on level ground, with windows; the panes [2, H, W], and the wall between them.

    before : metres before the wall at which a dark post of .3 m stands between two columns of windows; 0: none does.
    """
    pose = np.stack([look(np.array([0.5 * t, 0.0, 6.0]), np.pi / 2, 0.1) for t in range(2)])
    K = np.repeat([[[FOCAL, 0, W / 2], [0, FOCAL, H / 2], [0, 0, 1]]], 2, 0)
    v, u = np.mgrid[:H, :W] + 0.5
    pixels = np.stack([(u - W / 2) / FOCAL, (v - H / 2) / FOCAL, np.ones_like(u)], -1)
    depth, colours = np.empty((2, H, W)), np.zeros((2, H, W, 4), np.uint8)
    pane, between = np.zeros((2, 2, H, W), bool)
    for frame, (turn, eye) in enumerate(zip(pose[:, :3, :3], pose[:, :3, 3], strict=True)):
        d = pixels @ turn.T
        with np.errstate(divide="ignore", invalid="ignore"):
            wall, post = ((y - eye[1]) / d[..., 1] for y in (30.0, 30.0 - before))
            ground = np.where(d[..., 2] < 0, -eye[2] / d[..., 2], np.inf)
        x, z = eye[0] + wall * d[..., 0], eye[2] + wall * d[..., 2]
        front = (np.abs(x) < 13.0) & (z < 14.0) & (wall < ground)
        inner = front & (np.abs(x) < 2.5 * BAY[0]) & (z > 2.0)
        pane[frame] = inner & (np.abs((x + 2.5 * BAY[0]) % BAY[0] - BAY[0] / 2) < 0.9)
        pane[frame] &= np.abs((z - 2.0) % BAY[1] - BAY[1] / 2) < 0.95
        between[frame] = inner & ~pane[frame]
        depth[frame] = np.where(front, wall, ground)
        painted = colours[frame]
        painted[np.isfinite(depth[frame])], painted[front], painted[pane[frame]] = GROUND, PLASTER, GLASS
        if before:
            slender = (np.abs(eye[0] + post * d[..., 0] - BAY[0] / 2) < 0.15) & (post < ground)
            depth[frame][slender], painted[slender] = post[slender], GLASS
    camera, passes = CameraTrack(K, pose), DepthPass(depth.astype(np.float32), 1.0, 200.0)
    shot = Shot("house", (1, 2), (W, H), Fraction(24), camera, passes, Prompt(""), base_colour=colours)
    return shot, pane, between


def found(shot: Shot) -> NDArray[np.uint8]:
    windows = resampled_windows(shot, whole(shot.resolution, (W, H)), np.arange(2))
    assert windows is not None
    return windows


def test_every_pane_and_nothing_else() -> None:
    shot, pane, between = house()
    windows = found(shot)
    for frame in range(2):  # colours are means of three by three pixels: a pane's border may belong to either
        inside = cv2.erode(pane[frame].astype(np.uint8), np.ones((3, 3))) > 0
        assert (windows[frame][inside] == PANE).all()
        assert pane[frame][windows[frame] == PANE].all()
    assert (windows[between] == WALL).mean() > 0.97  # the bays' borders are as far from a pane as is allowed
    assert not windows[shot.depth.z == np.inf].any()
    x = np.unique(np.nonzero(windows[1])[1])
    assert x.size < 0.9 * W, "the ground beside the house is told nothing"


def test_both_stages_are_told_the_same_windows() -> None:
    """The small picture's at the middles of its pixels, also beyond the frame's border."""
    shot, preset = house()[0], find_model("farplane-s").preset
    small = overscanned(fit_shot(shot, fitted(shot, preset.max_pixels, 16), preset.clip), 16)
    assert small.windows is not None
    np.testing.assert_array_equal(cropped(small.windows, 64)[:2], found(shot))
    told = small.patterned(4).pattern
    assert told is not None
    middles = small.windows[:, 2::4, 2::4]
    assert (told[:, 3][middles == PANE] > 0).all()
    assert not told[:, 3][middles == WALL].any()
    assert (told[:, 3][:, 10:-10, 10:-10] > 0).any()


def painted(shot: Shot, where: NDArray[np.bool_], codes: NDArray[np.uint8]) -> Shot:
    """The shot with other sRGB codes [.., 3] at some pixels."""
    assert shot.base_colour is not None
    colours = shot.base_colour.copy()
    colours[where, :3] = codes
    return Shot(**vars(shot) | {"base_colour": colours})


def test_what_is_no_pane() -> None:
    """A plain wall, plaster with a strong texture, red bricks, a gate of four metres and more, and no colours at all."""
    shot, pane, between = house()
    plain = painted(shot, pane, np.uint8(PLASTER[:3]))
    assert not found(plain).any()
    texture = np.random.default_rng(3).integers(120, 235, (between.sum(), 1)).repeat(3, 1)
    assert not found(painted(plain, between, texture.astype(np.uint8))).any()
    assert not found(painted(shot, pane, np.uint8([120, 45, 35]))).any()
    rows, columns = np.mgrid[:H, :W]
    gate = between | pane
    gate &= (np.abs(columns - W / 2) < 35) & (rows > 130)  # 5.2 m wide, from the ground up
    assert not found(painted(plain, gate, np.uint8(GLASS[:3]))).any()
    assert resampled_windows(replace(shot, base_colour=None), whole((W, H), (W, H)), np.arange(2)) is None


def test_a_dark_post_before_the_wall_is_no_pane() -> None:
    shot, pane, _ = house(before=3.0)
    np.testing.assert_array_equal((found(shot) == PANE) & ~pane, False)


def test_a_window_keeps_its_number_while_the_camera_moves() -> None:
    """The number of a place on the wall, read by both cameras, half a metre apart."""
    shot = house()[0]
    windows, seen = found(shot), (shot.depth.z, shot.camera.K, shot.camera.world_from_camera)
    told = pattern_channels(Pattern.of_seed(4), *seen, made=windows)[:, 3]
    pane = windows == PANE
    assert (told[pane] >= 0.2).all()
    assert (told[windows == WALL] == 0).all()
    by_place: list[dict[tuple[int, int], float]] = []
    for frame in range(2):
        v, u = np.nonzero(pane[frame])
        ray = np.stack([(u + 0.5 - W / 2) / FOCAL, (v + 0.5 - H / 2) / FOCAL, np.ones(len(u))], -1)
        place = shot.camera.world_from_camera[frame, :3, :3] @ ray.T * shot.depth.z[frame][v, u]
        place += shot.camera.world_from_camera[frame, :3, 3:]
        # Places of 20 cm: those that a border of two bays crosses differ within themselves.
        keys = zip(*np.floor(place[[0, 2]] / 0.2).astype(int), strict=True)
        by_place.append(dict(zip(keys, told[frame][v, u].tolist(), strict=True)))
    both = by_place[0].keys() & by_place[1].keys()
    assert len(both) > 500
    assert np.mean([by_place[0][key] == pytest.approx(by_place[1][key], abs=1e-5) for key in both]) > 0.93
    assert len({round(value, 3) for value in by_place[0].values()}) > 10, "another number in another bay"


@pytest.mark.parametrize(("time", "lit"), [("night", True), ("noon", False)])
def test_windows_shine_by_night_and_are_dark_by_day(time: str, lit: bool) -> None:
    """A draft.  With a seed's windows the panes had .4 to .5 of the wall's light by night, and the light lay beside them."""
    shot, pane, between = house()
    shot = Shot(**vars(shot) | {"prompt": Prompt(f"a city street at {time}, clear sky")}).validate()
    frames, _ = plate.generate(shot, RenderSettings(seed=2, steps=1), find_model("farplane-s"), lambda *_: None)
    light = frames[1] @ [0.2126, 0.7152, 0.0722]
    share = light[pane[1]].mean() / light[between[1]].mean()
    assert share > 1.3 if lit else share < 0.7, share
