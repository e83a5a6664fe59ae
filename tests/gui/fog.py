"""A stand-in for the model in the GUI's tests and pictures: the shot's own depth as coloured fog, as real EXR.

It follows camera and geometry to the pixel, so a picture shows whether a plate stands where it should.  The first
word of the prompt may be `slow`; `red`, a colour that no scene here has; or `dies`: the process is then killed as by a
system without memory.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import cv2
import numpy as np

from farplane.backend.pipeline.colour import linear_to_display
from farplane.backend.pipeline.exr import encode_exr
from farplane.backend.pipeline.job import Cancelled, Job, Sink

NEAR, FAR, SKY = (0.05, 0.09, 0.03), (0.45, 0.42, 0.5), (0.9, 0.55, 0.3)
STEPS = 8


def fog(z: np.ndarray, near: float, far: float, red: bool = False) -> np.ndarray:
    """[H, W, 3] float32 scene-linear from [H, W] metres."""
    hit = np.isfinite(z)
    share = np.where(hit, np.log(np.clip(z, near, far) / near) / np.log(far / near), 1.0)[..., None]
    picture = (1 - share) * np.array(NEAR) + share * np.array(FAR)
    picture[~hit] = SKY
    if red:
        picture = 0.1 * picture + np.array((0.5, 0.0, 0.0))
    return np.ascontiguousarray(picture, np.float32)


def paint(job: Job, sink: Sink, should_stop: Callable[[], bool]) -> None:
    """Every stage of a real job, quickly."""
    depth, manner = job.shot.depth, job.shot.prompt.text.split(" ")[0]
    first = fog(depth.z[0], depth.near, depth.far, manner == "red")
    noise = np.random.default_rng(job.settings.seed).random(first.shape, np.float32)
    sink.progress("conditioning", 1, 1)
    for step in range(1, STEPS + 1):
        if should_stop():
            raise Cancelled
        share = step / STEPS
        picture = linear_to_display(share * first + (1 - share) * noise)
        sink.preview(step, cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
        sink.progress("denoise", step, STEPS)
        time.sleep(4.0 if manner == "slow" else 0.3)
        if manner == "dies" and step == STEPS // 2:
            os.kill(os.getpid(), signal.SIGKILL)
    for index, frame in enumerate(job.shot.frames):
        picture = fog(depth.z[index], depth.near, depth.far, manner == "red")
        sink.frame(frame, encode_exr(picture, {}, job.settings.compression))
        sink.progress("write", index + 1, len(job.shot.frames))
    sink.progress("measure", 1, 1)
