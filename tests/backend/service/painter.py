"""A small real pipeline for the service's tests: paints gradients and encodes them as real EXR files.

What it does besides is said by the prompt's first word; a worker finds this module by PYTHONPATH.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import OpenEXR

from farplane.backend.pipeline.job import Cancelled, Job, Sink
from farplane.protocol.errors import FarplaneError

PNG = b"\x89PNG\r\n\x1a\n" + b"not a real picture, but real bytes" * 20
STEPS = 4


def gradient(frame: int, width: int, height: int, seed: int) -> np.ndarray:
    """[H, W, 3] float16, a function of nothing but its arguments; the noise makes files of some size."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    rgb = np.stack([x / width, y / height, np.full_like(x, (frame % 100) / 100)], -1)
    noise = np.random.default_rng([seed, frame & 0xFFFF]).random((height, width, 3), np.float32)
    return np.ascontiguousarray((rgb + noise).astype(np.float16))


def exr(pixels: np.ndarray) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.exr"
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        with OpenEXR.File(header, {"RGB": pixels}) as file:
            file.write(str(path))
        return path.read_bytes()


def expected(frame: int, width: int, height: int, seed: int) -> bytes:
    return exr(gradient(frame, width, height, seed))


def check_model(name: str) -> int | None:
    """What is found in a model's files, told by its name."""
    if name.endswith("/damaged"):
        raise FarplaneError("model", "model.safetensors is truncated or damaged", "Download the model again")
    return 3 if name.endswith("/three-frames") else None


def paint(job: Job, sink: Sink, should_stop: Callable[[], bool]) -> None:
    mode = job.shot.prompt.text.split()[0]
    width, height = job.shot.resolution
    total = 2000 if mode == "slow" else STEPS
    sink.progress("conditioning", 1, 1)
    for step in range(1, total + 1):
        if should_stop() and mode != "deaf":
            raise Cancelled
        sink.progress("denoise", step, total)
        sink.preview(step, PNG)
        trouble(mode)
        time.sleep(0.05 if mode in ("slow", "deaf") else 0.01)
        if mode == "deaf" and step == total:
            time.sleep(3600)
    for count, frame in enumerate(job.shot.frames, 1):
        sink.frame(frame, expected(frame, width, height, job.settings.seed))
        sink.progress("write", count, len(job.shot.frames))
        if mode == "steady":
            time.sleep(0.2)
        if mode == "halfway" and count == len(job.shot.frames) // 2:
            wait_for(Path(os.environ["PAINTER_GATE"]), should_stop)
    if mode in ("colours", "sun"):
        told = job.shot.base_colour if mode == "colours" else job.shot.sun
        sink.artifact("report.json", b"none" if told is None else hashlib.sha256(told.tobytes()).hexdigest().encode())
    else:
        sink.artifact("report.json", b'{"depth_mean": %f}' % job.shot.depth.z[np.isfinite(job.shot.depth.z)].mean())
    sink.progress("measure", 1, 1)


def wait_for(gate: Path, should_stop: Callable[[], bool]) -> None:
    while not gate.exists():
        if should_stop():
            raise Cancelled
        time.sleep(0.02)


def trouble(mode: str) -> None:
    if mode == "exit":
        os._exit(3)
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "memory":
        raise MemoryError
    if mode == "cuda":
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
    if mode == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    if mode == "mistake":
        raise FarplaneError("checkpoint", "it is missing", "Fetch it")
    if mode == "bug":
        raise ZeroDivisionError("a bug")
