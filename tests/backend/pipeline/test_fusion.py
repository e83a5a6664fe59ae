"""Averaging along surfaces, on the ray-caster's exact geometry."""

from __future__ import annotations

import numpy as np

from farplane.backend.pipeline.fusion import Trail, fused
from farplane.backend.pipeline.measure import flicker
from farplane.backend.pipeline.warp import Camera


def test_pulsing_goes_and_the_texture_stays(boxes) -> None:
    rng = np.random.default_rng(2)
    count = len(boxes.rgb)
    pulse = rng.normal(0, 0.05, (count, 1, 1, 3)) + rng.normal(0, 0.05, boxes.rgb.shape)
    pulsing = (boxes.rgb + pulse).astype(np.float32)
    made = fused(pulsing, boxes.depth, boxes.scene.K, boxes.scene.pose)

    def error(frames) -> float:
        return float(np.sqrt(np.mean((frames - boxes.rgb)[np.isfinite(boxes.depth)] ** 2)))

    # The mean of nine independent offsets is a third of one; 0.6 leaves room for what other frames do not see.
    assert error(made) < 0.6 * error(pulsing)
    cameras = (boxes.depth, boxes.scene.K, boxes.scene.pose)
    before, after = flicker(np.maximum(pulsing, 0), *cameras), flicker(np.maximum(made, 0), *cameras)
    assert before is not None
    assert after is not None
    assert after < 0.4 * before

    def fine(frames) -> float:
        return float(np.abs(np.diff(frames, axis=2))[:, ::7].mean())

    # A still render comes out soft by bilinear reading only: its finest differences keep more than half.
    still = fused(boxes.rgb, boxes.depth, boxes.scene.K, boxes.scene.pose)
    assert 0.5 * fine(boxes.rgb) < fine(still) <= fine(boxes.rgb)


def test_nothing_is_taken_from_what_stands_before_it() -> None:
    depth = np.full((2, 24, 40), 10.0, np.float32)
    depth[0, :, :15] = 2.0  # frame 0 has a near wall there, frame 1 has not
    K = np.repeat([[[60.0, 0, 20.0], [0, 60.0, 12.0], [0, 0, 1]]], 2, 0)
    pose = np.repeat(np.eye(4)[None], 2, 0)
    frames = np.stack([np.full((24, 40, 3), 1.0), np.full((24, 40, 3), 4.0)]).astype(np.float32)
    made = fused(frames, depth, K, pose, reach=1)
    assert (made[0, :, :14] == 1).all()
    assert (made[1, :, :14] == 4).all()
    # One frame away within a reach of one weighs half: (1 + 0.5 * 4) / 1.5 and (4 + 0.5) / 1.5.
    np.testing.assert_allclose(made[:, :, 16:].mean((1, 2, 3)), [2.0, 3.0], rtol=1e-6)


def test_no_reach_and_a_single_frame_change_nothing(boxes) -> None:
    for count, reach in ((3, 0), (1, 16)):
        part = boxes.rgb[:count]
        made = fused(part, boxes.depth[:count], boxes.scene.K[:count], boxes.scene.pose[:count], reach=reach)
        np.testing.assert_array_equal(made, part)


def test_frames_one_by_one_agree_with_those_before(boxes) -> None:
    rng = np.random.default_rng(4)
    offsets = rng.normal(0, 0.05, (len(boxes.rgb), 1, 1, 3)).astype(np.float32)
    trail = Trail()
    made = np.stack(
        [
            trail.fused(boxes.rgb[t] + offsets[t], boxes.depth[t], Camera(boxes.scene.K[t], boxes.scene.pose[t]))
            for t in range(len(boxes.rgb))
        ]
    )
    np.testing.assert_array_equal(made[0], boxes.rgb[0] + offsets[0])  # the first has none before it
    # From the fourth on the offset of what all four see is the mean of four; the texture takes no part in a median.
    shift = np.median((made[6] - boxes.rgb[6]).reshape(-1, 3), 0)
    np.testing.assert_allclose(shift, offsets[3:7, 0, 0].mean(0), atol=0.005)
