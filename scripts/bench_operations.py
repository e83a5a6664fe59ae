"""What a plate of farplane-s costs in operations, and how near the machine's own matrix rate it comes.

    python scripts/bench_operations.py [--frames 33] [--threads 2]

Counts the multiplications and additions of the convolutions, products and attention of a whole plate at 448 x 256 (all of
them in bfloat16), times the plate and, before and after it, products of 2048 x 2048 bfloat16 matrices, and prints one
line of each.  The plate's seconds hold all that is not arithmetic of the networks as well: carried noise, averages
along surfaces.
"""

from __future__ import annotations

import argparse
import resource
from fractions import Fraction
from time import perf_counter

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from farplane.backend.model.presets import find_model
from farplane.backend.pipeline.plate import generate
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, RenderSettings, Shot

SIDE, TIMES = 2048, 8


def made_shot(frames: int) -> Shot:
    """A push over a plane with a wall behind it."""
    width, height = 448, 256
    K = np.repeat([[[400.0, 0, width / 2], [0, 400.0, height / 2], [0, 0, 1]]], frames, 0)
    pose = np.repeat(np.array([[[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.7], [0, 0, 0, 1]]]), frames, 0)
    pose[:, 1, 3] = 0.05 * np.arange(frames)
    down = (np.arange(height) + 0.5 - height / 2) / 400.0
    ground = np.where(down > 0, 1.7 / np.maximum(down, 1e-6), np.inf)[None, :, None]
    wall = 30.0 - pose[:, 1, 3][:, None, None]
    z = np.broadcast_to(np.minimum(ground, wall), (frames, height, width)).astype(np.float32)
    depth = DepthPass(z, 1.0, 40.0)
    return Shot(
        "push", tuple(range(frames)), (width, height), Fraction(24), CameraTrack(K, pose), depth, Prompt("a village")
    )


def matrix_rate() -> float:
    """Operations a second of bfloat16 matrix products."""
    a, b = (torch.randn(SIDE, SIDE, dtype=torch.bfloat16) for _ in range(2))
    torch.mm(a, b)
    began = perf_counter()
    for _ in range(TIMES):
        torch.mm(a, b)
    return TIMES * 2 * SIDE**3 / (perf_counter() - began)


def main() -> None:
    """Count, time, print."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=0, help="of the detail stage; 0 is the model's own")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found, settings = find_model("farplane-s"), RenderSettings(seed=1, steps=args.steps)
    generate(made_shot(3), settings, found, lambda *_: None)  # loads and compiles
    with FlopCounterMode(display=False) as counter:
        generate(made_shot(9), settings, found, lambda *_: None)
    short = counter.get_total_flops()
    before = matrix_rate()
    shot, began = made_shot(args.frames), perf_counter()
    with FlopCounterMode(display=False) as counter:
        generate(shot, settings, found, lambda *_: None)
    seconds, operations = perf_counter() - began, counter.get_total_flops()
    after = matrix_rate()
    share = operations / seconds / max(before, after)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"9 frames: {short / 9e9:.1f} thousand million operations a frame")
    print(f"{args.frames} frames: {operations / args.frames / 1e9:.1f}, {seconds:.1f} s on {args.threads} threads")
    print(
        f"matrix rate {before / 1e9:.0f} and {after / 1e9:.0f} thousand million a second; the plate runs at {share:.0%}"
    )
    print(f"resident at most {memory:.2f} GB; torch {torch.__version__}")


if __name__ == "__main__":
    main()
