"""The shipped model lights a plate from where the scene's sun stands, whatever its seed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from farplane.backend.model.presets import find_model
from farplane.backend.pipeline import plate
from farplane.backend.train.cameras import look
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, RenderSettings, Shot

W, H, FOCAL = 448, 256, 400.0


def ball_on_ground() -> tuple[Shot, NDArray[np.bool_], NDArray[np.float64]]:
    """A ball of four metres' radius, 20 m ahead, over level ground; where the last frame shows it; and its columns."""
    pose = np.stack([look(np.array([0.02 * t, 0.0, 3.0]), np.pi / 2, -0.05) for t in range(2)])
    K = np.repeat([[[FOCAL, 0, W / 2], [0, FOCAL, H / 2], [0, 0, 1]]], 2, 0)
    v, u = np.mgrid[:H, :W] + 0.5
    pixels, frames = np.stack([(u - W / 2) / FOCAL, (v - H / 2) / FOCAL, np.ones_like(u)], -1), []
    hit = np.zeros((H, W), bool)
    for turn, eye in zip(pose[:, :3, :3], pose[:, :3, 3], strict=True):
        d, middle = pixels @ turn.T, np.array([0, 20.0, 3.0]) - eye
        along, length = d @ middle, (d * d).sum(-1)
        inside = along**2 - length * (middle @ middle - 16.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ball = np.where(inside > 0, (along - np.sqrt(inside)) / length, np.inf)
            ground = np.where(d[..., 2] < 0, -eye[2] / d[..., 2], np.inf)
        frames.append(np.minimum(ball, ground))
        hit = ball < ground
    depth, camera = DepthPass(np.stack(frames).astype(np.float32), 1.0, 100.0), CameraTrack(K, pose)
    prompt = Prompt("rolling hills at noon, clear sky, summer")
    return Shot("ball", (1, 2), (W, H), Fraction(24), camera, depth, prompt), hit, u


@pytest.mark.parametrize("seed", [4, 9])
def test_a_ball_is_lit_on_the_side_of_the_sun(seed: int) -> None:
    """A draft each: the first stage, which knows of the light, and one step of the second.  On the lit half a ball like
    this is two to three times as bright as on the other; half as much again is far from chance and from either."""
    shot, hit, u = ball_on_ground()
    middle = u[hit].mean()
    for side in (-1, 1):
        sun = np.tile(np.array([0.8 * side, -0.2, 0.5]) / np.linalg.norm([0.8, 0.2, 0.5]), (2, 1))
        lit = Shot(**vars(shot) | {"sun": sun}).validate()
        frames, _ = plate.generate(lit, RenderSettings(seed=seed, steps=1), find_model("farplane-s"), lambda *_: None)
        light = frames[1] @ [0.2126, 0.7152, 0.0722]
        left, right = light[hit & (u < middle - 8)].mean(), light[hit & (u > middle + 8)].mean()
        assert (right / left) ** side > 1.5, (left, right)
