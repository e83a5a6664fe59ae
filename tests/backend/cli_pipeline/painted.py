"""A pipeline without a network, for the end-to-end tests: the real stages after denoising, on a painted plate.

A worker finds this module by PYTHONPATH.  The prompt's first word says what goes wrong, if anything.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np

from farplane.backend.pipeline import render
from farplane.backend.pipeline.job import Cancelled, Job, Sink
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import Shot

STEPS = 3


def paint(shot: Shot) -> np.ndarray:
    """[T, H, W, 3] scene-linear: the scene's own render if it came along, else the materials' codes as they were sent, else
    depth as brightness; sky at 2."""
    if shot.reference is not None:
        return np.array(shot.reference)
    if shot.base_colour is not None:
        return np.where(shot.base_colour[..., 3:] > 0, shot.base_colour[..., :3] / np.float32(256), np.float32(2))
    near, far = np.log(shot.depth.near), np.log(shot.depth.far)
    grey = 0.9 - 0.8 * (np.log(np.minimum(shot.depth.z, shot.depth.far)) - near) / max(far - near, 1e-6)
    grey[np.isinf(shot.depth.z)] = 2.0
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.float32)


def run_job(job: Job, sink: Sink, should_stop: Callable[[], bool]) -> None:
    """Render a job as the real one does, but for the picture itself."""
    word = job.shot.prompt.text.split()[0]

    def check() -> None:
        if should_stop():
            raise Cancelled

    sink.progress("conditioning", 1, 1)
    for step in range(1, (10_000 if word == "slow" else STEPS) + 1):
        check()
        sink.progress("denoise", step, STEPS if word != "slow" else 10_000)
        time.sleep(0.02)
        if word == "dies":
            os._exit(9)
        if word == "refused":
            raise FarplaneError("model", "it is of another shape", "Use a checkpoint of this release")
    plate = render.Plate(paint(job.shot), "native", ("painted",))
    full = np.empty((*plate.frames.shape[:3], 3), np.float16)
    render._write(full, plate, job, sink, check)
    render._measure(full, plate, job, sink)
