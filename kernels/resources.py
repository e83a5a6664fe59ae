"""What the kernels cost on GPUs that are not here: registers and spills, read from the machine code.

Triton compiles for any NVIDIA architecture on any machine, and its wheel carries the tool that reads the binary.
Launches come from `dispatch.recorded_launches` around a public op: what is compiled is what a GPU would be given.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .dispatch import Launch, jit

ARCHITECTURES = (80, 90, 100, 120)  # A100, H100 and H200, B200, RTX 50 and RTX PRO 6000


@dataclass(frozen=True)
class Resources:
    """One compiled kernel: 32-bit registers a thread, bytes of shared memory a program, and bytes a thread that did not
    fit its registers (our kernels have no arrays of their own, so all of its stack is spills)."""

    registers: int
    shared: int
    spilled: int


def compile_launch(launch: Launch, architecture: int) -> Resources:
    """Compile a launch for sm_<architecture>, specialised as Triton would for these arguments."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    fn = jit(launch.kernel)
    kinds = [_kind(value) for value in launch.arguments]
    signature = dict(zip(fn.arg_names, kinds + ["constexpr"] * len(launch.constants), strict=True))
    ones = {name: 1 for name, kind in signature.items() if kind == "constexpr" and name not in launch.constants}
    attributes = {(i,): [["tt.divisibility", 16]] for i, value in enumerate(launch.arguments) if _divisible(value)}
    compiled = triton.compile(
        ASTSource(fn=fn, signature=signature, constexprs=launch.constants | ones, attrs=attributes),
        target=GPUTarget("cuda", architecture, 32),
        options={"num_warps": launch.warps},
    )
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "kernel.cubin"
        binary.write_bytes(compiled.asm["cubin"])
        command = [str(tools / "cuobjdump"), "-res-usage", str(binary)]
        usage = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    number = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL|SHARED):(\d+)", usage)}
    return Resources(number["REG"], number["SHARED"], number["STACK"] + number["LOCAL"])


_POINTERS = {
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.int64: "*i64",
    torch.bool: "*i1",
}


def _kind(value: Any) -> str:
    """Triton's type of an argument; an integer that is 1 is compiled in."""
    if isinstance(value, torch.Tensor):
        return _POINTERS[value.dtype]
    if isinstance(value, float):
        return "fp32"
    return "constexpr" if value == 1 else "i32" if -(2**31) <= value < 2**31 else "i64"


def _divisible(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.data_ptr() % 16 == 0
    return isinstance(value, int) and value != 1 and value % 16 == 0
