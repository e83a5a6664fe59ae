"""The loops over frames, rows and pixels on a CUDA device, one thread a pixel.

They call the functions that the processor's loops call (pixels.py), which numba compiles for the device.  A scene's
large arrays stay on the device between calls, so the passes of a clip send its world once.  Positions are float64 as
on the processor: a data-centre GPU computes those at half its float32 rate, a gamer's at 1/64.

Needs numba-cuda (`pip install "farplane[gpu-render]"`).  With NUMBA_ENABLE_CUDASIM=1 numba's simulator runs the kernels
on the processor, a thread of the system for each of theirs: for tests of a few hundred pixels.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numba import cuda
from numpy.typing import NDArray

from ...protocol.errors import FarplaneError
from .pixels import WORK, pixel_colour, pixel_depth, pixel_fall, pixel_surface
from .shading import Scene

THREADS = 128  # of a block
_KEPT = 12  # large arrays that stay on the device
_LARGE = 1 << 18  # bytes
SIMULATED = bool(numba.config.ENABLE_CUDASIM)  # type: ignore[attr-defined]
_uploads: dict[int, tuple[NDArray, object]] = {}


def require_device() -> None:
    """Raise FarplaneError where the kernels cannot run."""
    if SIMULATED:
        return
    if importlib.util.find_spec("numba_cuda") is None:
        raise FarplaneError(
            "device", "rendering the world on a GPU needs the package numba-cuda, which is not installed",
            'Install it by `pip install "farplane[gpu-render]"`, or leave the device at cpu.',
        )  # fmt: skip
    if not cuda.is_available():
        raise FarplaneError("device", "no CUDA device answers", "Check `nvidia-smi`, or leave the device at cpu.")


@cuda.jit(fastmath=True)
def _colour_kernel(scene, outs):
    (out,) = outs
    frames, height, width = out.shape[0], out.shape[1], out.shape[2]
    k = cuda.grid(1)  # type: ignore[call-arg]
    if k < frames * height * width:
        row = k // width
        work = cuda.local.array(WORK, numba.float64)
        pixel_colour(scene, row // height, row % height, k % width, work, out)


@cuda.jit
def _depth_kernel(scene, outs):
    (out,) = outs
    frames, height, width = out.shape
    k = cuda.grid(1)  # type: ignore[call-arg]
    if k < frames * height * width:
        row = k // width
        work = cuda.local.array(WORK, numba.float64)
        pixel_depth(scene, row // height, row % height, k % width, work, out)


@cuda.jit
def _surface_kernel(scene, outs):
    depth, normal, marks, objects, part_of = outs
    frames, height, width = depth.shape
    k = cuda.grid(1)  # type: ignore[call-arg]
    if k < frames * height * width:
        row = k // width
        work = cuda.local.array(WORK, numba.float64)
        pixel_surface(scene, row // height, row % height, k % width, depth, work, normal, marks, objects, part_of)


@cuda.jit(fastmath=True)
def _fall_kernel(outs, fall, bright, seed, times):
    (out,) = outs
    frames, height, width = out.shape[0], out.shape[1], out.shape[2]
    k = cuda.grid(1)  # type: ignore[call-arg]
    if k < frames * height * width:
        row = k // width
        f = row // height
        pixel_fall(f, row % height, k % width, fall, bright[0], seed, times[0][f], out)


KERNELS = {"colour": _colour_kernel, "depth": _depth_kernel, "surface": _surface_kernel, "fall": _fall_kernel}


def signatures(scene: Scene) -> dict[str, object]:
    """numba's types of each kernel's arguments, to compile them with no device."""
    floats, bytes_ = numba.float32, numba.uint8
    kind = numba.typeof(scene)
    colours, depth, marks = floats[:, :, :, ::1], floats[:, :, ::1], bytes_[:, :, ::1]
    vector, tuples = numba.float64[::1], numba.types.Tuple
    return {
        "colour": numba.void(kind, tuples((colours,))),
        "depth": numba.void(kind, tuples((depth,))),
        "surface": numba.void(kind, tuples((depth, colours, marks, marks, numba.int32[:, :, ::1]))),
        "fall": numba.void(tuples((colours,)), numba.int64, tuples((vector,)), numba.float64, tuples((vector,))),
    }


def shade_frames(scene: Scene, width: int, height: int) -> NDArray[np.float32]:
    """Colours [F, H, W, 3]."""
    frames = len(scene.inverse)
    (out,) = _run(_colour_kernel, scene, [np.zeros((frames, height, width, 3), np.float32)])
    return out


def depth_frames(scene: Scene, width: int, height: int) -> NDArray[np.float32]:
    """Depth [F, H, W]."""
    (out,) = _run(_depth_kernel, scene, [np.zeros((len(scene.inverse), height, width), np.float32)])
    return out


def surface_frames(
    scene: Scene, depth: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int32]]:
    """Normals [F, H, W, 3], materials, tones and movers' parts [F, H, W] at a depth."""
    normal = np.zeros((*depth.shape, 3), np.float32)
    marks, objects = np.zeros(depth.shape, np.uint8), np.zeros(depth.shape, np.uint8)
    part_of = np.zeros(depth.shape, np.int32)
    _, normal, marks, objects, part_of = _run(_surface_kernel, scene, [depth, normal, marks, objects, part_of])
    return normal, marks, objects, part_of


def fall_frames(frames: NDArray[np.float32], fall: int, bright: NDArray, seed: float, times: NDArray) -> None:
    """Rain (fall 1) or snow (2) over frames, in place."""
    count = frames.shape[0] * frames.shape[1] * frames.shape[2]
    outs = (_send(frames, keep=False),)
    kernel: Any = _fall_kernel
    kernel[-(-count // THREADS), THREADS](outs, fall, (_send(bright),), seed, (_send(times),))
    if not SIMULATED:
        outs[0].copy_to_host(frames)  # type: ignore[attr-defined]


def _run(kernel, scene: Scene, outs: Sequence[NDArray]) -> list[NDArray]:
    """The arrays after a kernel that writes them."""
    require_device()
    sent = Scene(*(_send(value) if isinstance(value, np.ndarray) else value for value in scene))
    held = tuple(_send(out, keep=False) for out in outs)
    count = outs[0].shape[0] * outs[0].shape[1] * outs[0].shape[2]
    kernel[-(-count // THREADS), THREADS](sent, held)
    return list(outs) if SIMULATED else [array.copy_to_host() for array in held]  # type: ignore[attr-defined]


def _send(array: NDArray, keep: bool = True):
    """The array on the device; large ones that are only read are sent once.  The simulator reads ours."""
    if SIMULATED:
        return array
    if not keep or array.nbytes < _LARGE:
        return cuda.to_device(array)
    if id(array) not in _uploads:
        while len(_uploads) >= _KEPT:
            _uploads.pop(next(iter(_uploads)))
        _uploads[id(array)] = (array, cuda.to_device(array))  # held here, so that its id stays its own
    return _uploads[id(array)][1]
