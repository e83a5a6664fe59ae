"""addon/camera.py by itself; against Blender's own projection in tests/bpy/test_camera.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farplane.addon import camera as maths
from farplane.protocol.errors import FarplaneError


def lens(**changes):
    values = {"focal": 50.0, "sensor_width": 36.0, "sensor_height": 24.0, "sensor_fit": "AUTO", "shift_x": 0.0}
    return maths.Lens(**{**values, "shift_y": 0.0, **changes})


def test_a_known_lens():
    """50 mm on 36 mm over 720 px: 1000 px of focal length, the principal point in the middle."""
    assert maths.intrinsics(lens(), 720, 480).tolist() == [[1000, 0, 360], [0, 1000, 240], [0, 0, 1]]


@pytest.mark.parametrize(
    ("fit", "width", "height", "focal"),
    [
        ("AUTO", 480, 720, 1000),  # portrait: the sensor's width lies along the longer side
        ("HORIZONTAL", 480, 720, 480 * 50 / 36),
        ("VERTICAL", 480, 720, 720 * 50 / 24),
        ("VERTICAL", 720, 480, 480 * 50 / 24),
    ],
)
def test_sensor_fit(fit, width, height, focal):
    K = maths.intrinsics(lens(sensor_fit=fit), width, height)
    assert (K[0, 0], K[1, 1]) == pytest.approx((focal, focal))


def test_shift_moves_the_principal_point_against_the_view():
    """Shift is counted in the fitted side: 0.1 of 720 px, also vertically."""
    K = maths.intrinsics(lens(shift_x=0.1, shift_y=0.1), 720, 480)
    assert K[:2, 2].tolist() == pytest.approx([360 - 72, 240 + 72])


def test_pixel_aspect_makes_a_wide_picture_tall():
    """400 x 300 pixels twice as high as wide show a portrait of 400 x 600."""
    K = maths.intrinsics(lens(), 400, 300, 1.0, 2.0)
    square = maths.intrinsics(lens(), 400, 600)
    np.testing.assert_allclose(K[0], square[0])
    np.testing.assert_allclose(K[1] * 2, square[1])


def test_a_focal_length_of_nothing_is_refused():
    for focal in (0.0, -3.0, float("nan")):
        with pytest.raises(FarplaneError, match="focal length"):
            maths.intrinsics(lens(focal=focal), 64, 64)


@given(st.integers(0, 2**32 - 1))
def test_any_invertible_matrix_projects_as_itself(seed):
    """K R^T of the decomposition is K M^-1 of the matrix, up to the depth's scale: shear included."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(3, 3))
    if np.linalg.det(axes) < 0:
        axes[:, 0] *= -1
    if np.linalg.cond(axes / np.linalg.norm(axes, axis=0)) > 100:
        return
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes, rng.normal(size=3)
    K = maths.intrinsics(lens(shift_x=0.2), 640, 360)
    eye = maths.pinhole(matrix, K)
    R = eye.world_from_camera[:3, :3]
    np.testing.assert_allclose(R.T @ R, np.eye(3), atol=1e-12)
    points = matrix[:3, 3] + rng.normal(size=(20, 3)) @ axes.T
    normal = axes / np.linalg.norm(axes, axis=0) @ np.diag([1, -1, -1])
    seen = np.linalg.solve(normal, (points - matrix[:3, 3]).T).T
    straight = seen @ K.T
    in_front = np.abs(seen[:, 2]) > 0.1
    pixels, depth = maths.project(points, eye.K, eye.world_from_camera)
    np.testing.assert_allclose(pixels[in_front], (straight[:, :2] / straight[:, 2:])[in_front], rtol=1e-7, atol=1e-6)
    np.testing.assert_allclose(depth, seen[:, 2] * eye.depth_scale, rtol=1e-8, atol=1e-9)


def depth_like(*values, count=20_000):
    z = np.full((2, 100, count // 200), np.inf, np.float32)
    flat = z.reshape(-1)
    flat[: len(flat) // 2] = np.linspace(5, 40, len(flat) // 2)
    flat[-len(values) :] = values
    return z


def test_near_and_far_are_the_finite_range():
    near, far = maths.near_far(depth_like(4.0, 45.0))
    assert (near, far) == (4.0, 45.0)


def test_a_few_outliers_do_not_stretch_the_range():
    """A twig at the lens and a far speck, two of ten thousand finite pixels: the range ends where the rest begins."""
    near, far = maths.near_far(depth_like(0.01, 9000.0))
    assert near == pytest.approx(5, abs=0.1)
    assert far == pytest.approx(40, abs=0.1)


def test_a_flat_wall_still_has_a_range():
    near, far = maths.near_far(np.full((1, 4, 4), 3.0, np.float32))
    assert 0 < near < 3 < far


def test_a_shot_of_nothing_but_sky_has_a_range():
    near, far = maths.near_far(np.full((2, 4, 4), np.inf, np.float32))
    assert 0 < near < far < np.inf
    z = np.full((2, 4, 4), np.inf, np.float32)
    z[1, 2:] = 7.0  # sky in the first frame only
    assert maths.near_far(z) == pytest.approx((7.0, 7.0), rel=0.011)


def test_a_plate_of_any_size_is_the_frames_own_camera():
    """The ray through a place of the frame is the same one, whatever pixels the frame is cut into."""
    frame = maths.Frame(1920, 1080, 1.0, 1.25)
    seen = lens(shift_x=0.1, shift_y=-0.2, sensor_fit="AUTO")
    own = frame.intrinsics(seen)
    for size in ((448, 252), (96, 96), (90, 400), (1920, 1080), (33, 8191)):
        K = frame.intrinsics(seen, size)
        for place in ((0.0, 0.0), (0.3, 0.9), (1.0, 0.5)):
            rays = [np.linalg.inv(k) @ (*np.multiply(place, s), 1.0) for k, s in ((own, (1920, 1080)), (K, size))]
            np.testing.assert_allclose(*rays, rtol=1e-12, atol=1e-12)
        if size[1] < 8191:
            x, y = frame.pixels_of(size)
            assert min(x, y) == 1 or size == (1920, 1080)
            assert x / y * size[0] / size[1] == pytest.approx(frame.shape)
    with pytest.raises(FarplaneError, match="too far from the scene's 1920x1080"):
        frame.pixels_of((33, 8191))


SHAPES = [(1920, 1080), (1440, 1080), (2048, 857), (1080, 1080), (1080, 1920), (4096, 1716), (1998, 1080), (160, 90)]
SIZES = [((448, 256), (256, 448)), ((832, 480), (480, 832)), ((1280, 720), (720, 1280), (832, 480), (480, 832))]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("aspect", [1.0, 2.0, 1.0940])
@pytest.mark.parametrize("shape", SHAPES)
def test_sizes_that_are_offered_have_the_frames_shape(shape, aspect, sizes):
    frame = maths.Frame(*shape, aspect, 1.0)
    width, height = frame.size_near(sizes)
    assert min(abs(width - height * frame.shape), abs(height - width / frame.shape)) <= 0.5  # half a pixel of a side
    assert 0.75 < width * height / np.prod(sizes[0]) < 1.25  # about as many pixels as the model likes


def test_a_frame_of_a_models_own_shape_takes_its_size():
    assert maths.Frame(1792, 1024).size_near(SIZES[0]) == (448, 256)
    assert maths.Frame(1024, 1792).size_near(SIZES[0]) == (256, 448)
    assert maths.Frame(3840, 2160).size_near(SIZES[2]) == (1280, 720)
