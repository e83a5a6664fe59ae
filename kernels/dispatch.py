"""Which implementation an op runs, and Triton kernels on machines that may not have Triton.

Kernels are plain functions in the file of their op.  `jit` turns one into a Triton kernel at its first launch, so that
importing farplane neither needs Triton nor pays for it (0.2-0.4 s).
"""

from __future__ import annotations

import functools
import os
from typing import Literal

import torch
from torch import Tensor

Implementation = Literal["auto", "reference", "triton"]


def compute_dtype(x: Tensor) -> torch.dtype:
    """float32 for the tensors of a network, float64 for those of a gradient check."""
    return torch.promote_types(x.dtype, torch.float32)


@functools.cache
def triton_available() -> bool:
    """Whether Triton can be imported here; it has no wheel for macOS or Windows."""
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    return True


def use_triton(x: Tensor, implementation: Implementation) -> bool:
    """Whether the op on `x` runs its Triton kernel.  ValueError when one is forced that cannot run on x's device."""
    if implementation == "reference":
        return False
    if implementation == "auto":
        return x.is_cuda and x.dtype != torch.float64 and triton_available()
    if implementation != "triton":
        raise ValueError(f'implementation must be "auto", "reference" or "triton", got {implementation!r}')
    if not triton_available():
        raise ValueError("Triton is not installed; take implementation='reference'")
    if not x.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(f"Triton kernels run on CUDA tensors, not on {x.device}; take implementation='reference'")
    return True
