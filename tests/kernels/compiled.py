"""Compile Triton kernels for GPUs that are not here and read what they cost from the machine code."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARCHITECTURES = (80, 90, 100, 120)  # A100, H100/H200, B200, RTX 50 and RTX PRO 6000


@dataclass(frozen=True)
class Resources:
    """What `cuobjdump -res-usage` says of one kernel: 32-bit registers a thread; bytes of each memory."""

    registers: int
    stack: int
    local: int
    shared: int
    spill_instructions: int  # STL and LDL in the machine code


def compile_kernel(
    kernel: Callable[..., None],
    arguments: dict[str, str],
    constants: dict[str, Any],
    *,
    architecture: int,
    warps: int,
    folder: Path,
    aligned: bool,
) -> Resources:
    """Compile `kernel` and read its resources.

    arguments : Triton type of every argument that is not a constant, by name ("*bf16", "i32", "fp32").
    aligned : pointers and integers are multiples of 16, as the launcher finds them for usual sizes; then loads are wide.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from farplane.kernels.dispatch import jit

    fn = jit(kernel)
    signature = {name: arguments.get(name, "constexpr") for name in fn.arg_names}
    assert {n for n, kind in signature.items() if kind == "constexpr"} == set(constants), "an argument has no type"
    whole = [i for i, name in enumerate(fn.arg_names) if signature[name][0] in "*i"]
    attributes = {(i,): [["tt.divisibility", 16]] for i in whole} if aligned else {}
    compiled = triton.compile(
        ASTSource(fn=fn, signature=signature, constexprs=constants, attrs=attributes),
        target=GPUTarget("cuda", architecture, 32),
        options={"num_warps": warps},
    )
    binary = folder / "kernel.cubin"
    binary.write_bytes(compiled.asm["cubin"])
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    usage = _run(tools / "cuobjdump", "-res-usage", binary)
    number = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL|SHARED):(\d+)", usage)}
    machine_code = _run(tools / "nvdisasm", "-c", binary)
    spills = len(re.findall(r"\b(?:STL|LDL)\b", machine_code))
    return Resources(number["REG"], number["STACK"], number["LOCAL"], number["SHARED"], spills)


def _run(*command: object) -> str:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout
