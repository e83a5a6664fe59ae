"""Every kernel compiles for the GPUs there are, and keeps its rows in registers there."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch

from farplane.kernels import modulated_layer_norm, qk_norm_rope, reproject, residual_modulated_layer_norm
from farplane.kernels.dispatch import MAX_ROW_BYTES, Launch, recorded_launches
from farplane.kernels.resources import ARCHITECTURES, compile_launch

pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing")

BF16, FP32 = torch.bfloat16, torch.float32


def norm(dtype: torch.dtype, *, per_token: bool, residual: bool) -> torch.Tensor:
    D = MAX_ROW_BYTES // dtype.itemsize  # the widest row that "auto" takes: what fits there fits below
    x = torch.zeros(1, 48, D, dtype=dtype, requires_grad=True)
    modulation = torch.zeros(1, 48 if per_token else 1, D)
    if not residual:
        return modulated_layer_norm(x, modulation, modulation)
    return residual_modulated_layer_norm(x, x, modulation, modulation, modulation)[1]


def rope(dtype: torch.dtype) -> torch.Tensor:
    D = MAX_ROW_BYTES // dtype.itemsize
    x, table = torch.zeros(1, 48, D, dtype=dtype, requires_grad=True), torch.zeros(48, 64)
    return qk_norm_rope(x, torch.zeros(D, dtype=dtype), table, table, 1e-6, D // 128)


def picture() -> torch.Tensor:
    color = torch.zeros(1, 3, 48, 64, requires_grad=True)
    K, pose = torch.eye(3)[None], torch.eye(4)[None]
    return reproject(torch.zeros(1, 48, 64), color, K, pose, K, pose).color


OPS: dict[str, Callable[[], torch.Tensor]] = {
    "norm, bfloat16, per clip": lambda: norm(BF16, per_token=False, residual=False),
    "norm, float32, per token": lambda: norm(FP32, per_token=True, residual=False),
    "residual norm, bfloat16, per token": lambda: norm(BF16, per_token=True, residual=True),
    "rope, bfloat16": lambda: rope(BF16),
    "rope, float32": lambda: rope(FP32),
    "reproject": picture,
}


def launches_of(op: Callable[[], torch.Tensor]) -> list[Launch]:
    with recorded_launches() as launches:
        op().sum().backward()
    return launches


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("op", OPS)
def test_nothing_spills(op, architecture, record_property):
    launches = launches_of(OPS[op])
    assert len(launches) == 2  # forward and backward, or splat and resolve
    for launch in launches:
        resources = compile_launch(launch, architecture)
        record_property(launch.kernel.__name__, resources.registers)
        print(f"sm_{architecture} {op} {launch.kernel.__name__}: {resources}")
        assert resources.spilled == 0
        assert resources.registers * 32 * launch.warps <= 65536  # else it could not start


def test_a_kernel_that_spills_is_found_out():
    """The same kernel on a single warp, whose 32 threads have 255 registers each and the row 4096 columns."""
    backward = launches_of(OPS["norm, float32, per token"])[1]
    crowded = Launch(backward.kernel, backward.arguments, backward.constants, warps=1)
    assert compile_launch(crowded, 90).spilled > 0
