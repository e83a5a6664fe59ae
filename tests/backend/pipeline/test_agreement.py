"""A shot that a client has misread is refused or noted; an honest one is not, whatever moves in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from farplane.backend.pipeline.agreement import check_agreement
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import CameraTrack, DepthPass, Shot

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # from a world with z up to one with y up


def with_poses(shot: Shot, poses: np.ndarray) -> Shot:
    return replace(shot, camera=CameraTrack(shot.camera.K, poses))


def with_depth(shot: Shot, z: np.ndarray) -> Shot:
    return replace(shot, depth=DepthPass(z.astype(np.float32), 0.5, 400.0))


def scaled(poses: np.ndarray, by: float) -> np.ndarray:
    out = poses.copy()
    out[:, :3, 3] *= by
    return out


def ray_lengths(shot: Shot) -> np.ndarray:
    """[T, H, W]: metres along the ray for a metre along the axis, from the pinhole alone."""
    (width, height), K = shot.resolution, shot.camera.K
    y, x = np.mgrid[0:height, 0:width] + 0.5
    return np.stack([np.sqrt(1 + ((x - k[0, 2]) / k[0, 0]) ** 2 + ((y - k[1, 2]) / k[1, 1]) ** 2) for k in K])


def inverted_z(shot: Shot) -> np.ndarray:
    return np.where(np.isfinite(shot.depth.z), 1 / shot.depth.z, np.inf)


def z_buffer(shot: Shot) -> np.ndarray:
    """0 … 1 between 0.5 and 400 m, as a graphics card keeps it."""
    w = inverted_z(shot)
    return np.where(np.isfinite(shot.depth.z), (1 / 0.5 - w) / (1 / 0.5 - 1 / 400) + 1e-6, np.inf)


REFUSED: list[tuple[str, str, str, Callable[[Shot], Shot]]] = [
    ("Nuke's axes", "camera", "y up", lambda s: with_poses(s, s.camera.world_from_camera @ FLIP)),
    ("inverted", "camera", "inverted", lambda s: with_poses(s, np.linalg.inv(s.camera.world_from_camera))),
    ("both", "camera", "inverted", lambda s: with_poses(s, np.linalg.inv(s.camera.world_from_camera @ FLIP))),
    ("depth in cm", "depth", "centimetres", lambda s: with_depth(s, s.depth.z * 100)),
    ("depth in mm", "depth", "millimetres", lambda s: with_depth(s, s.depth.z * 1000)),
    ("depth in feet", "depth", "feet", lambda s: with_depth(s, s.depth.z / 0.3048)),
    ("poses in cm", "depth", "centimetres", lambda s: with_poses(s, scaled(s.camera.world_from_camera, 100))),
    ("poses in mm", "depth", "millimetres", lambda s: with_poses(s, scaled(s.camera.world_from_camera, 1000))),
    ("rays", "depth", "length of the ray", lambda s: with_depth(s, s.depth.z * ray_lengths(s))),
    ("1/z", "depth", "inverse depth", lambda s: with_depth(s, inverted_z(s))),
    ("upside down", "depth", "bottom to the top", lambda s: with_depth(s, s.depth.z[:, ::-1])),
    ("y up and Nuke's axes", "camera", "y up", lambda s: with_poses(s, Y_UP @ s.camera.world_from_camera @ FLIP)),
]


@pytest.fixture(scope="module", params=[(96, 64, 3), (160, 90, 8)], ids=str)
def shape(request: pytest.FixtureRequest) -> tuple[int, int, int]:
    return request.param


@pytest.fixture(scope="module")
def shot(small: Callable, shape: tuple[int, int, int]) -> Shot:
    return small(*shape).shot


@pytest.mark.parametrize(("field", "words", "change"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_a_client_misreads_is_named(shot: Shot, field: str, words: str, change: Callable[[Shot], Shot]) -> None:
    with pytest.raises(FarplaneError) as caught:
        check_agreement(change(shot))
    assert caught.value.field == field
    assert words in caught.value.problem
    assert "version" not in caught.value.remedy


@pytest.mark.parametrize("kind", ["rays", "1/z"])
def test_a_static_camera_shows_what_its_depth_is_by_the_planes(shot: Shot, kind: str) -> None:
    still = held(shot)
    assert check_agreement(still) == ()
    change = next(row[3] for row in REFUSED if row[0] == kind)
    with pytest.raises(FarplaneError, match="are planes"):
        check_agreement(change(still))


def held(shot: Shot) -> Shot:
    """The first frame over and over: nothing moves, so nothing can be carried."""
    poses = np.repeat(shot.camera.world_from_camera[:1], len(shot.frames), 0)
    return with_depth(with_poses(shot, poses), np.repeat(shot.depth.z[:1], len(shot.frames), 0))


NOTED: list[tuple[str, str, Callable[[Shot], Shot]]] = [
    ("Nuke's axes of a static camera", "on its head", lambda s: with_poses(held(s), held(s).camera.world_from_camera @ FLIP)),
    ("z-buffer", "z-buffer", lambda s: with_depth(s, z_buffer(s))),
    ("0 … 1", "send metres", lambda s: with_depth(s, s.depth.z / s.depth.z[np.isfinite(s.depth.z)].max())),
    ("y up", "z up", lambda s: with_poses(s, Y_UP @ s.camera.world_from_camera)),
    ("all in cm", "centimetres", lambda s: with_depth(with_poses(s, scaled(s.camera.world_from_camera, 100)), s.depth.z * 100)),
    ("a half float's largest for the sky", "65504", lambda s: with_depth(s, np.nan_to_num(s.depth.z, posinf=65504))),
    ("another take's depth", "off by", lambda s: with_depth(s, np.random.default_rng(3).uniform(2, 60, s.depth.z.shape))),
]  # fmt: skip


@pytest.mark.parametrize(("words", "change"), [row[1:] for row in NOTED], ids=[row[0] for row in NOTED])
def test_what_may_be_meant_is_noted_and_not_refused(shot: Shot, words: str, change: Callable[[Shot], Shot]) -> None:
    notes = check_agreement(change(shot))
    assert any(words in note for note in notes), notes


def crowd(shot: Shot) -> np.ndarray:
    """Balls of half the picture's width that run towards the camera and past it, in front of everything."""
    T, H, W = shot.depth.z.shape
    y, x = np.mgrid[0:H, 0:W]
    z = shot.depth.z.copy()
    for t in range(T):
        for ball in range(3):
            near, at = 6.0 - 4.0 * t / T, (ball * W / 3 + 0.1 * W * t) % W
            z[t] = np.where(np.hypot(x - at, y - H / 2) < W / 4, np.minimum(z[t], near), z[t])
    return z


HONEST: list[tuple[str, Callable[[Shot], Shot]]] = [
    ("as it is", lambda s: s),
    ("moving things over most of the picture", lambda s: with_depth(s, crowd(s))),
    ("a wall that the camera passes", lambda s: with_depth(s, np.full_like(s.depth.z, 5.0))),
    ("nothing but sky", lambda s: with_depth(s, np.full_like(s.depth.z, np.inf))),
    ("the inside of a car", lambda s: with_depth(s, np.repeat(s.depth.z[:1], len(s.frames), 0))),
    ("half floats", lambda s: with_depth(s, s.depth.z.astype(np.float16))),
    ("eight bits", lambda s: with_depth(s, np.round(s.depth.z * 4) / 4 + 0.25)),
    ("leaves", lambda s: with_depth(s, np.where(np.random.default_rng(1).random(s.depth.z.shape) < 0.4, 3.0, s.depth.z))),
    ("another origin", lambda s: with_poses(s, s.camera.world_from_camera + np.pad(np.array([[9e4], [5e4], [2e3]]), ((0, 1), (3, 0))))),
]  # fmt: skip


@pytest.mark.parametrize("change", [row[1] for row in HONEST], ids=[row[0] for row in HONEST])
def test_an_honest_shot_is_not_refused(shot: Shot, change: Callable[[Shot], Shot]) -> None:
    check_agreement(change(shot))


def look_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """OpenCV pose of a level camera."""
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.stack([x, np.cross(z, x), z], 1), eye
    return pose


def moved(small: Callable, eyes: np.ndarray, targets: np.ndarray) -> Shot:
    """The boxes along another way of the camera; rendered by the scene's own ray caster."""
    poses = np.stack([look_at(eye, target) for eye, target in zip(eyes, targets, strict=True)])
    scene = replace(small(96, 64, len(eyes)).scene, pose=poses)
    return scene.shot(np.stack([scene.render(t, samples=1)[1] for t in range(len(eyes))]))


def line(a: tuple, b: tuple, count: int = 6) -> np.ndarray:
    return np.linspace(np.array(a, float), np.array(b, float), count)


AHEAD = (0.0, 12.0, 1.5)
WAYS = {
    "dolly in": (line((0, -20, 2), (0, 2, 2)), line(AHEAD, AHEAD)),
    "dolly out": (line((0, 2, 2), (0, -20, 2)), line(AHEAD, AHEAD)),
    "truck": (line((-9, -8, 2), (9, -8, 2)), line((-9, 12, 2), (9, 12, 2))),
    "crane": (line((0, -10, 0.5), (0, -10, 14)), line(AHEAD, AHEAD)),
    "whip pan": (line((0, -3, 2), (0, -3, 2)), line((-40, 0, 2), (40, 0, 2))),
    "drone from above": (line((-8, 10, 60), (8, 14, 50)), line((-8, 10.5, 0), (8, 14.5, 0))),
    "into the sky": (line((0, -3, 2), (0, -3, 2)), line((0, 20, 2), (0, 2, 90))),
    "hardly at all": (line((0, -8, 2), (0.01, -8, 2)), line(AHEAD, AHEAD)),
    "a jump": (np.array([[0, -8, 2.0], [6, -4, 3], [-7, -9, 1], [1, -2, 6]]), line(AHEAD, AHEAD, 4)),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_of_the_camera_raises_a_word(small: Callable, way: str) -> None:
    assert check_agreement(moved(small, *WAYS[way])) == ()


def test_a_render_says_it_before_the_model_is_asked(shot: Shot) -> None:
    """Through the job itself: refused before any frame, while the model has not been touched."""
    from farplane.backend.pipeline.job import Job
    from farplane.backend.pipeline.render import run_job
    from farplane.protocol.shot import RenderSettings

    said: list[tuple] = []

    class Sink:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *values: said.append((name, *values))

    bad = with_poses(shot, shot.camera.world_from_camera @ FLIP)
    with pytest.raises(FarplaneError, match="y up"):
        run_job(Job("0f8fad5b-d9cb-469f-a165-70867728950e", bad, RenderSettings()), Sink(), lambda: False)
    assert said == [("progress", "conditioning", 0, 1)]
