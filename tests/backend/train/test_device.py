"""The world's CUDA kernels: equal to the processor's loops in numba's simulator, compiled for real GPUs, run on one.

The simulator must be switched on before numba is imported, so each check is a child process.
"""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from farplane.backend.train import raymarch
from farplane.backend.train.cameras import random_path
from farplane.backend.train.raymarch import exact_depth, loops, render, trace_surfaces
from farplane.backend.train.world import Attributes, make_world
from farplane.protocol.errors import FarplaneError

SCENES = (
    ("coast", "dusk", "rain", "autumn"), ("city", "night", "clear", "summer"), ("interior", "noon", "clear", "summer"),
    ("forest", "dawn", "snowfall", "winter"), ("sky", "noon", "storm", "summer"),
    ("village", "noon", "haze", "summer"), ("ruins", "dusk", "clear", "autumn"),
)  # fmt: skip


def passes(scene, width, height, device):
    """Colours, depth, normals and materials of a scene's clip on a device."""
    world = make_world(61, Attributes(*scene))
    path = random_path(world, 61, 2, width, height)
    view = (world, path.K, path.world_from_camera, width, height)
    surfaces = trace_surfaces(*view, device=device)
    depth = exact_depth(*view, device=device)
    return (
        render(*view, 2, first=3, device=device), depth, surfaces.normal, surfaces.material, surfaces.tone,
        surfaces.part,
    )  # fmt: skip


def child(function, **environment):
    """Run a function of this file in a process of its own; its output."""
    code = (
        "import importlib.util, sys; s = importlib.util.spec_from_file_location('t', sys.argv[1]);"
        f"t = importlib.util.module_from_spec(s); s.loader.exec_module(t); t.{function}()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, __file__],
        env={**os.environ, "NUMBA_NUM_THREADS": "1", **environment}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def simulate():
    """In the child: every pass of every scene both ways."""
    from farplane.backend.train import device

    assert device.SIMULATED
    for scene in SCENES:
        want, got = (passes(scene, 11, 7, on) for on in ("cpu", "cuda"))
        # The simulator calls the same machine code pixel by pixel; only what LLVM fuses into the loop around it may
        # round otherwise.  A wrong index, size, frame or time shows in whole pixels.
        np.testing.assert_allclose(got[0], want[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(got[1], want[1], rtol=1e-6)
        np.testing.assert_allclose(got[2], want[2], rtol=0, atol=1e-5)
        for kept, other in zip(want[3:], got[3:]):
            np.testing.assert_array_equal(other, kept)
        assert want[0].std() > 0
        print(*scene)


def test_the_kernels_equal_the_loops_in_the_simulator():
    assert len(child("simulate", NUMBA_ENABLE_CUDASIM="1").splitlines()) == len(SCENES)


def compile_kernels():
    """In the child: PTX of every kernel for the GPU generation named by CC."""
    from types import SimpleNamespace

    import numba.cuda.dispatcher
    from numba import cuda

    from farplane.backend.train.device import KERNELS, signatures

    generation = (int(os.environ["CC"]), 0)
    # numba asks the driver for which GPU it compiles a function that a kernel calls; there is no driver here.
    numba.cuda.dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=generation)
    world = make_world(61, Attributes(*SCENES[0]))
    path = random_path(world, 61, 2, 11, 7)
    kinds = signatures(raymarch.scene_of(world, path.K, path.world_from_camera, 11, 7, np.zeros(2)))
    for name, kernel in KERNELS.items():
        ptx, _ = cuda.compile_ptx(kernel.py_func, kinds[name], cc=generation, fastmath=name in ("colour", "fall"))
        assert f".target sm_{generation[0]}0" in ptx
        assert ".entry" in ptx
        print(name, len(ptx))


def compiler():
    """Whether the parts that compile for CUDA without a GPU are installed."""
    try:
        return all(importlib.util.find_spec(name) for name in ("numba_cuda", "nvidia.cuda_nvcc", "nvidia.cuda_nvrtc"))
    except ModuleNotFoundError:
        return False


@pytest.mark.skipif(not compiler(), reason='needs `pip install -e ".[gpu-render]"`')
@pytest.mark.parametrize("generation", ["8", "9"])
def test_the_kernels_compile_for_real_gpus(generation):
    told = dict(line.split() for line in child("compile_kernels", CC=generation).splitlines())
    assert set(told) == {"colour", "depth", "surface", "fall"}
    assert int(told["colour"]) > 50_000  # the shading is in it, not a call to nothing


@pytest.mark.gpu
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene[0])
def test_a_gpu_draws_what_the_processor_draws(scene):
    """`pytest -m gpu tests/backend/train`: on a real device."""
    try:
        loops("cuda")
    except FarplaneError as error:
        pytest.skip(str(error))
    want, got = (passes(scene, 97, 55, on) for on in ("cpu", "cuda"))
    # The device fuses multiplications with additions and has its own sine, so a ray may end a step of the bisection
    # (4 mm on half-metre cells) away, and at a silhouette on the thing behind: those few pixels are counted, not
    # measured.  The others agree to what float32 shading at such a distance keeps.
    hit = np.isfinite(want[1]) & np.isfinite(got[1])
    assert (np.isfinite(want[1]) == np.isfinite(got[1])).mean() > 0.997
    assert (np.abs(got[1][hit] / want[1][hit] - 1) < 0.01).mean() > 0.99
    difference = np.abs(got[0] - want[0]) / (0.01 + want[0])
    assert np.median(difference) < 1e-3
    assert (difference.max(-1) < 0.05).mean() > 0.97
    assert (got[3] == want[3]).mean() > 0.99


def test_a_device_that_is_not_there_is_an_error(monkeypatch):
    with pytest.raises(FarplaneError, match="cpu or cuda"):
        loops("tpu")
    if importlib.util.find_spec("numba_cuda"):
        from farplane.backend.train import device

        monkeypatch.setattr(device.cuda, "is_available", lambda: False)
        with pytest.raises(FarplaneError, match="no CUDA device answers"):
            loops("cuda")
    else:
        with pytest.raises(FarplaneError, match="gpu-render"):
            loops("cuda")
