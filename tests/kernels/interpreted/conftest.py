"""Tests of the Triton kernels in Triton's interpreter, which must be chosen before Triton is imported.

So they run in a process of their own: tests/kernels/test_interpreted.py starts it.  By hand:

    TRITON_INTERPRET=1 .venv/bin/python -m pytest tests/kernels/interpreted
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

if os.environ.get("TRITON_INTERPRET") != "1":
    collect_ignore_glob = ["test_*.py"]

GUARD = 64  # elements on either side of an output


@pytest.fixture(autouse=True)
def poisoned_outputs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every fresh tensor holds NaN and stands between guards: what a kernel forgets to write or writes beside shows."""
    buffers: list[Tensor] = []

    def empty(shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        size = torch.Size(shape)
        # A bool has no NaN, so its guards are True, and what is not written stays True.
        buffer = torch.full((size.numel() + 2 * GUARD,), True if dtype == torch.bool else torch.nan, dtype=dtype)
        buffers.append(buffer)
        return buffer[GUARD:-GUARD].view(size)

    monkeypatch.setattr(torch, "empty", empty)
    yield
    assert buffers, "no kernel ran"
    for buffer in buffers:
        guards = torch.cat((buffer[:GUARD], buffer[-GUARD:]))
        assert (guards if guards.dtype == torch.bool else guards.isnan()).all(), "written beside an output"


@pytest.fixture
def random() -> Callable[..., Tensor]:
    """random(*shape): normal numbers, as a strided view whose surroundings are NaN: what is read beside it shows."""
    generator = torch.Generator().manual_seed(7)

    def make(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        surrounded = torch.full((*shape[:-1], shape[-1] + 10), torch.nan, dtype=dtype)
        view = surrounded[..., 5:-5]
        view.copy_(torch.randn(shape, generator=generator))
        return view.requires_grad_()

    return make


@pytest.fixture
def close() -> Callable[[Tensor, Tensor, str], None]:
    """close(kernel's, expected, name): equal to rounding, for a float32 computation whatever the result is stored in.

    16 roundings of float32 (2**-24 of the largest value each): a value goes through about 20 operations, and sums over
    up to 130 channels or 74 tokens are of terms of either sign, so that roundings mostly cancel; 4.3 were seen at most.
    A bfloat16 result may be one step (2**-7) beside, because the interpreter truncates where a GPU rounds.
    """

    def check(actual: Tensor, expected: Tensor, name: str) -> None:
        expected = expected.double()
        step = 2.0**-7 * expected.abs() if actual.dtype == torch.bfloat16 else 0.0
        allowed = step + 16 * 2.0**-24 * expected.abs().max()
        assert actual.shape == expected.shape, name
        error = (actual.double() - expected).abs()
        assert (error <= allowed).all(), f"{name}: off by up to {error.max():.3g}"  # a NaN fails too

    return check
