"""Which implementation an op runs, and Triton kernels on machines that may not have Triton.

Kernels are plain functions in the file of their op.  `jit` turns one into a Triton kernel at its first launch, so that
importing farplane neither needs Triton nor pays for it (0.2-0.4 s).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Implementation = Literal["auto", "reference", "triton"]

MAX_CHANNELS = 8192
MAX_ROW_BYTES = 16384  # up to here a row fits the registers of one program without spilling


@dataclass(frozen=True)
class Launch:
    """A kernel's positional arguments, then its compile-time constants by name, and its warps."""

    kernel: Callable[..., None]
    arguments: tuple[Any, ...]
    constants: dict[str, Any]
    warps: int


_recording: list[Launch] | None = None


@contextmanager
def recorded_launches() -> Iterator[list[Launch]]:
    """Inside, ops take their Triton path on any tensor, but launches are noted instead of run: outputs hold rubbish."""
    global _recording
    _recording, before = [], _recording
    try:
        yield _recording
    finally:
        _recording = before


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
    """Whether the op on `x` launches its Triton kernel.  ValueError when one is forced that cannot run.

    Inside torch.compile "auto" takes the definition, which Inductor fuses by itself.
    """
    if _recording is not None:
        return True
    if implementation == "reference":
        return False
    if implementation == "auto":
        return x.is_cuda and not torch.compiler.is_compiling() and triton_available()
    if implementation != "triton":
        raise ValueError(f'implementation must be "auto", "reference" or "triton", got {implementation!r}')
    if not triton_available():
        raise ValueError("Triton is not installed; take implementation='reference'")
    if not x.is_cuda and not interpreted():
        raise ValueError(f"Triton kernels run on CUDA tensors, not on {x.device}; take implementation='reference'")
    return True


def use_triton_rows(x: Tensor, implementation: Implementation) -> bool:
    """`use_triton` for the kernels that hold a row of x [B, N, D] in registers and compute in float32.

    "auto" takes only rows that load in whole words and do not spill; every transformer's are such.
    """
    D = x.shape[2]
    if implementation == "auto" and (D % 16 or D * x.element_size() > MAX_ROW_BYTES or x.dtype == torch.float64):
        return False
    chosen = use_triton(x, implementation)
    if chosen and (D > MAX_CHANNELS or x.dtype == torch.float64):
        raise ValueError(f"the kernel takes up to {MAX_CHANNELS} channels and no float64, got {D} of {x.dtype}")
    return chosen and x.numel() > 0


def interpreted() -> bool:
    """Whether Triton runs kernels as Python on the CPU.  Set before Triton is first imported, for a whole process."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@functools.cache
def jit(kernel: Callable[..., None]) -> Any:
    """The Triton kernel of a plain function whose module knows `tl` only while types are checked."""
    import triton
    import triton.language

    kernel.__globals__["tl"] = triton.language
    return triton.jit(kernel)


def launch(
    kernel: Callable[..., None], grid: tuple[int, ...], *arguments: Any, num_warps: int, **constants: Any
) -> None:
    """Run `kernel` on a grid of programs, on the device of its first argument."""
    if _recording is not None:
        _recording.append(Launch(kernel, arguments, constants, num_warps))
        return
    with torch.cuda.device_of(arguments[0]):
        jit(kernel)[grid](*arguments, num_warps=num_warps, **constants)


def cdiv(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)


def row_block(channels: int) -> tuple[int, int]:
    """(columns, warps) of a program that holds whole rows: 8 columns a thread, 16 in the widest rows."""
    columns = max(32, 1 << (channels - 1).bit_length())
    return columns, min(max(columns // 256, 1), 16)


def rows_contiguous(x: Tensor) -> Tensor:
    """x itself if its channels lie side by side, else a copy; its other strides may be anything."""
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()
