"""How much faster the Triton kernels are than torch, on the CUDA device of this machine.

    python scripts/bench_kernels.py               # the sizes of Wan2.1-VACE at 480p and 720p
    python scripts/bench_kernels.py --resources   # no device needed: registers and spills on four GPUs

Every kernel is first compared with the definition in float64; one that is wrong gets no figure.  Times are the median
of 30 calls by CUDA events, the 50 MB and more that each reads out of the cache between calls.  "eager" is what
diffusers' Wan blocks do; "compiled" is the same through torch.compile.  A microbenchmark flatters: the gain on a whole
denoising step is 1-3% over a compiled one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from farplane.kernels import modulated_layer_norm, qk_norm_rope, reproject, residual_modulated_layer_norm, rope3d_tables
from farplane.kernels.dispatch import recorded_launches, triton_available
from farplane.kernels.resources import ARCHITECTURES, compile_launch

EPS = 1e-6
DTYPE = torch.bfloat16
# (name, latent frames, rows and columns of patches, heads): tokens as in Wan2.1-VACE, 81 frames.
MODELS = {
    "VACE-1.3B 480x832": (21, 30, 52, 12),
    "VACE-14B 720x1280": (21, 45, 80, 40),
}


@dataclass
class Case:
    """One op at one size: three ways to compute it, what they differentiate, and the true result."""

    name: str
    kernel: Callable[[], Tensor]
    eager: Callable[[], Tensor]
    leaves: tuple[Tensor, ...]
    truth: Callable[[], Tensor]
    bytes_moved: int  # by a forward pass that reads and writes everything once


def eager_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return (F.layer_norm(x.float(), x.shape[-1:], None, None, EPS) * (1 + scale) + shift).type_as(x)


def eager_residual_norm(x: Tensor, branch: Tensor, gate: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return eager_norm((x.float() + branch * gate).type_as(x), scale, shift)


def eager_rope(x: Tensor, weight: Tensor, cos: Tensor, sin: Tensor, heads: int) -> Tensor:
    y = F.rms_norm(x, x.shape[-1:], weight, EPS).unflatten(2, (heads, -1))
    even, odd = y.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[:, None], sin[:, None]
    out = torch.empty_like(y)
    out[..., 0::2], out[..., 1::2] = even * cos - odd * sin, even * sin + odd * cos
    return out


def row_cases(device: str) -> Iterator[Case]:
    for model, (T, H, W, heads) in MODELS.items():
        N, D = T * H * W, heads * 128
        x, branch = (torch.randn(1, N, D, device=device, dtype=DTYPE, requires_grad=True) for _ in range(2))
        gate, scale, shift = (torch.randn(1, 1, D, device=device, requires_grad=True) for _ in range(3))
        weight = torch.randn(D, device=device, dtype=DTYPE, requires_grad=True)
        cos, sin = rope3d_tables(T, H, W, 128, device=device)
        size = x.numel() * x.element_size()
        yield Case(
            f"{model} norm",
            lambda x=x, scale=scale, shift=shift: modulated_layer_norm(x, scale, shift, EPS, implementation="triton"),
            lambda x=x, scale=scale, shift=shift: eager_norm(x, scale, shift),
            (x, scale, shift),
            lambda x=x, scale=scale, shift=shift: modulated_layer_norm(
                x.double(), scale.double(), shift.double(), EPS, implementation="reference"
            ),
            2 * size,
        )
        yield Case(
            f"{model} residual norm",
            lambda t=(x, branch, gate, scale, shift): residual_modulated_layer_norm(*t, EPS, implementation="triton")[
                1
            ],
            lambda t=(x, branch, gate, scale, shift): eager_residual_norm(*t),
            (x, branch, gate, scale, shift),
            lambda t=(x, branch, gate, scale, shift): eager_residual_norm(*t),
            4 * size,
        )
        yield Case(
            f"{model} QK-norm + RoPE",
            lambda t=(x, weight, cos, sin), heads=heads: qk_norm_rope(*t, EPS, heads, implementation="triton"),
            lambda t=(x, weight, cos, sin), heads=heads: eager_rope(*t, heads),
            (x, weight),
            lambda t=(x, weight, cos, sin), heads=heads: qk_norm_rope(
                t[0].double(), t[1].double(), t[2], t[3], EPS, heads, implementation="reference"
            ),
            2 * size,
        )


def reprojection_case(device: str) -> Case:
    H, W = 1080, 1920
    depth = 2 + 6 * torch.rand(1, H, W, device=device)
    color = torch.randn(1, 3, H, W, device=device, requires_grad=True)
    K = torch.tensor([[[1800.0, 0, W / 2], [0, 1800, H / 2], [0, 0, 1]]], device=device)
    pose = torch.eye(4, device=device)[None]
    target = pose.clone()
    target[0, :3, 3] = torch.tensor([0.3, -0.1, 0.4])

    def run(implementation: str) -> Tensor:
        return reproject(depth, color, K, pose, K, target, implementation=implementation).color  # type: ignore[arg-type]

    # Depth, colour in and out, depth out, and a key written, lowered and read.
    moved = H * W * (4 + 12 + 12 + 4 + 1 + 3 * 8)
    return Case(
        "reproject 1080p", lambda: run("triton"), lambda: run("reference"), (color,), lambda: run("reference"), moved
    )


def milliseconds(run: Callable[[], object], calls: int = 30) -> float:
    flush = torch.empty(64 * 2**20, dtype=torch.float32, device="cuda")  # more than any GPU's cache
    times = []
    for call in range(calls + 5):
        flush.zero_()
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        stop.record()
        torch.cuda.synchronize()
        if call >= 5:
            times.append(start.elapsed_time(stop))
    return statistics.median(times)


def with_gradients(case: Case, forward: Callable[[], Tensor], upstream: Tensor) -> Callable[[], object]:
    return lambda: torch.autograd.grad(forward(), case.leaves, upstream)


def is_right(case: Case) -> bool:
    """Within one step of bfloat16 of the definition: 2**-7 of the value, or of the typical value near zero.

    The eager form rounds two or three times on the way, hence three such steps where it is the yardstick.
    """
    with torch.no_grad():
        actual, true = case.kernel().double(), case.truth().double()
    return bool(((actual - true).abs() <= 3 * 2.0**-7 * (true.abs() + true.std())).all())


def measure(case: Case) -> None:
    if not is_right(case):
        raise SystemExit(f"{case.name}: the kernel's result is wrong; no figure")
    upstream = torch.randn_like(case.kernel())
    compiled = torch.compile(case.eager) if not case.name.startswith("reproject") else case.eager
    with torch.no_grad():
        ours, eager, fused = milliseconds(case.kernel), milliseconds(case.eager), milliseconds(compiled)
    both = [milliseconds(with_gradients(case, f, upstream)) for f in (case.kernel, case.eager, compiled)]
    rate = case.bytes_moved / ours / 1e6
    print(
        f"{case.name:34s} {ours:8.3f} ms {rate:6.0f} GB/s  {eager / ours:5.2f}x eager  {fused / ours:5.2f}x compiled"
        f"   with gradients {both[0]:8.3f} ms  {both[1] / both[0]:5.2f}x  {both[2] / both[0]:5.2f}x"
    )


def print_resources() -> None:
    """Registers of every kernel at the sizes above; nothing is allocated but two rows."""
    print("registers a thread (bytes spilled), by architecture:", *(f"sm_{a}" for a in ARCHITECTURES))
    for heads, dtype in ((12, torch.bfloat16), (40, torch.bfloat16), (12, torch.float32)):
        D = heads * 128
        x = torch.zeros(1, 16, D, dtype=dtype, requires_grad=True)
        row, table = torch.zeros(1, 1, D), torch.zeros(16, 64)
        ops = {
            "norm": lambda x=x, row=row: modulated_layer_norm(x, row, row),
            "residual norm": lambda x=x, row=row: residual_modulated_layer_norm(x, x, row, row, row)[1],
            "QK-norm + RoPE": lambda x=x, t=table, h=heads: qk_norm_rope(x, x.new_zeros(x.shape[2]), t, t, EPS, h),
        }
        for name, op in ops.items():
            report(f"{name}, {D} x {str(dtype).removeprefix('torch.')}", op)
    color, K, pose = torch.zeros(1, 3, 48, 64, requires_grad=True), torch.eye(3)[None], torch.eye(4)[None]
    report("reproject", lambda: reproject(color[:, 0].detach(), color, K, pose, K, pose).color)


def report(name: str, op: Callable[[], Tensor]) -> None:
    with recorded_launches() as launches:
        op().sum().backward()
    for launch in launches:
        found = [compile_launch(launch, architecture) for architecture in ARCHITECTURES]
        cells = "  ".join(f"{r.registers:3d} ({r.spilled})" for r in found)
        print(
            f"{name:32s} {launch.kernel.__name__.strip('_').removesuffix('_kernel'):9s} {launch.warps:2d} warps  {cells}"
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--resources", action="store_true", help="compile only: registers and spills, no timing")
    options = arguments.parse_args()
    if not triton_available():
        sys.exit("Triton is not installed here (it has wheels for Linux only): there is nothing to measure.")
    if options.resources:
        print_resources()
        return
    if not torch.cuda.is_available():
        sys.exit("No CUDA device here, so there is nothing to time.  --resources works without one.")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}, bfloat16")
    for case in row_cases("cuda"):
        measure(case)
    measure(reprojection_case("cuda"))
    print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
