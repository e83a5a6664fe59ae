"""Known pixels carried to other frames, beside the backward lookup of warp.py and a wall whose shift is known."""

from __future__ import annotations

import numpy as np
import pytest

from farplane.backend.pipeline.carrying import SOURCES, carried
from farplane.backend.pipeline.pixel_conditioning import SHOWN, make_condition
from farplane.backend.pipeline.warp import Camera, carry
from farplane.protocol.shot import CameraTrack

T, H, W, FOCAL = 5, 30, 46, 40.0


def track(move: tuple[float, float, float], count: int = T) -> CameraTrack:
    """`count` cameras side by side, each `move` metres (right, down, ahead) from the one before."""
    K = np.tile([[FOCAL, 0.0, W / 2], [0.0, FOCAL, H / 2], [0.0, 0.0, 1.0]], (count, 1, 1))
    pose = np.tile(np.eye(4), (count, 1, 1))
    pose[:, :3, 3] = np.arange(count)[:, None] * np.array(move)
    return CameraTrack(K, pose)


def box_before_sky(camera: CameraTrack, near: float = 4.0, far: float = 16.0) -> np.ndarray:
    """[T, H, W] depth of a wall at `far` with sky above 2 m and a post 1 m wide at `near`, by the rays' equations."""
    v, u = np.mgrid[:H, :W] + 0.5
    out = []
    for K, pose in zip(camera.K, camera.world_from_camera, strict=True):
        x, y, z = pose[:3, 3]
        right, down = (u - K[0, 2]) / FOCAL, (v - K[1, 2]) / FOCAL
        depth = np.where(y + down * (far - z) > -2.0, far - z, np.inf)
        out.append(np.where(np.abs(x + right * (near - z)) < 0.5, near - z, depth))
    return np.array(out, np.float32)


def pictures(count: int = T) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((count, H, W, 3)).astype(np.float32)


def only(*given: int, count: int = T) -> np.ndarray:
    known = np.zeros((count, H, W), bool)
    known[list(given)] = True
    return known


def test_a_wall_seen_by_a_camera_that_moves_a_pixel_a_frame_shifts_by_whole_pixels() -> None:
    depth, frames = np.full((T, H, W), 10.0, np.float32), pictures()
    shown, found = carried(frames, only(0), depth, track((10.0 / FOCAL, 0.0, 0.0)))
    assert not found[0].any()
    for t in range(1, T):
        np.testing.assert_array_equal(shown[t, :, : W - t], frames[0, :, t:])
        assert found[t, :, : W - t].all()
        assert not found[t, :, W - t :].any(), "never seen from the first camera"
        assert not shown[t, :, W - t :].any()


def test_the_nearest_known_frame_says_the_colour_and_the_others_what_it_does_not_see() -> None:
    depth, frames = np.full((T, H, W), 10.0, np.float32), pictures()
    shown, found = carried(frames, only(0, 4), depth, track((10.0 / FOCAL, 0.0, 0.0)))
    np.testing.assert_array_equal(shown[1, :, : W - 1], frames[0, :, 1:])
    np.testing.assert_array_equal(shown[1, :, W - 1], frames[4, :, W - 4], "beyond the first camera's edge")
    np.testing.assert_array_equal(shown[3, :, 1:], frames[4, :, :-1])
    assert found[1:4].all()


@pytest.mark.parametrize("move", [(0.11, 0.0, 0.0), (0.03, -0.05, 0.2), (-0.2, 0.02, -0.15)])
def test_it_finds_what_a_backward_lookup_finds_and_nothing_else(move: tuple[float, float, float]) -> None:
    """On a picture that varies slowly, whole pixels and bilinear reading differ by half a pixel of its slope."""
    camera = track(move)
    depth = box_before_sky(camera)
    v, u = np.mgrid[:H, :W] / np.float32(W)
    # the post has a colour of its own: what leaks from it into the wall is 3 away
    scene = np.stack([u, v, np.zeros_like(u)], -1)[None] + 3.0 * (depth < 8.0)[..., None]
    frames = scene.astype(np.float32)
    shown, found = carried(frames, only(2), depth, camera)
    source = Camera(camera.K[2], camera.world_from_camera[2])
    for t in (0, 1, 3, 4):
        target = Camera(camera.K[t], camera.world_from_camera[t])
        back = carry(frames[2], depth[2], source, depth[t], target, tolerance=0.03, border=0)
        both = found[t] & back.visible
        assert both.mean() > 0.6 * back.visible.mean(), "holes where the camera came nearer are the only ones"
        # Half a pixel either way (0.5 / W in u and v), and as much again where the bilinear one straddles a shade.
        assert np.abs(shown[t] - back.picture)[both].max() < 1.1 / W
        # Beside an edge the lookup reads a mean of two depths and says no; the splat knows which one it has.
        assert (found[t] & ~back.visible).mean() < 0.1


def test_what_a_near_thing_hides_is_not_carried_through_it() -> None:
    camera = track((0.4, 0.0, 0.0))
    depth = box_before_sky(camera)
    frames = np.broadcast_to((depth < 8.0)[..., None], (*depth.shape, 3)).astype(np.float32)
    shown, found = carried(frames, only(0), depth, camera)
    post = depth < 8.0
    assert found[1:][post[1:]].any(), "the post itself is seen again"
    assert (shown[found & post] == 1.0).all()
    assert (shown[found & ~post] == 0.0).all(), "no post on the wall, no wall on the post"
    assert (~found[1:] & ~post[1:])[:, H // 2 :].any(), "what stood behind it is not known"


def test_a_region_is_filled_from_frames_that_see_past_its_edge() -> None:
    depth, frames = np.full((T, H, W), 10.0, np.float32), pictures()
    known = np.ones((T, H, W), bool)
    known[:, 8:20, 10:13] = False
    shown, found = carried(frames, known, depth, track((10.0 / FOCAL, 0.0, 0.0)))
    assert not found[known].any(), "what is known is not carried as well"
    np.testing.assert_array_equal(shown[1, 8:20, 12], frames[0, 8:20, 13])
    assert found[0, 8:20, 10].all(), "seen in frame 3, three pixels on the other side"
    assert not shown[~found].any()


def test_sky_is_carried_to_sky_alone() -> None:
    camera = track((0.0, 0.0, 0.5))
    depth = box_before_sky(camera)
    frames = np.broadcast_to(np.isinf(depth)[..., None], (*depth.shape, 3)).astype(np.float32)
    shown, found = carried(frames, only(0), depth, camera)
    sky = np.isinf(depth)
    assert found[1:][sky[1:]].mean() > 0.9
    assert (shown[found & sky] == 1.0).all()
    assert (shown[found & ~sky] == 0.0).all()


def test_at_most_a_few_frames_are_asked() -> None:
    count = SOURCES + 4
    depth, frames = np.full((count, H, W), 10.0, np.float32), pictures(count)
    known = only(*range(1, count), count=count)
    still = track((0.0, 0.0, 0.0), count)
    shown, _ = carried(frames, known, depth, still)
    np.testing.assert_array_equal(shown[0], frames[1])
    depth[1 : SOURCES + 1] = 5.0  # another thing stands before it in all that are asked
    assert not carried(frames, known, depth, still)[1].any()


def test_the_condition_tells_what_was_carried_and_keeps_what_is_known() -> None:
    camera, frames = track((0.11, 0.0, 0.0)), pictures()
    depth = box_before_sky(camera)
    known = only(0)
    shown, found = carried(frames, known, depth, camera)
    control = make_condition(depth, camera, (H, W), known_frames=frames, known=known).control[0]
    planes = control[:, 1:].unflatten(0, (4, -1)).permute(2, 0, 1, 3, 4).flatten(0, 1).numpy()  # frames 1 to 4
    np.testing.assert_array_equal(planes[:, 3:6].transpose(0, 2, 3, 1), shown[1:])
    np.testing.assert_array_equal(planes[:, 6], np.where(found[1:], SHOWN, 1.0))
    first = control[:, 0].unflatten(0, (4, -1)).numpy()
    np.testing.assert_array_equal(first[0, :3], frames[0].transpose(2, 0, 1))
    assert not first[:, 3:7].any(), "kept: nothing to be made there"


def test_without_a_depth_nothing_is_carried() -> None:
    camera, frames = track((0.11, 0.0, 0.0)), pictures()
    control = make_condition(None, camera, (H, W), known_frames=frames, known=only(0)).control[0]
    planes = control.unflatten(0, (4, -1)).numpy()
    assert not planes[:, 3:6].any()
    assert set(np.unique(planes[:, 6])) == {0.0, 1.0}
