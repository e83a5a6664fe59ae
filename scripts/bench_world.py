"""How fast the procedural world is drawn: on this machine's processor and, with --device cuda, on its GPU beside it.

    python scripts/bench_world.py                                   # processor alone
    python scripts/bench_world.py --device cuda --size 448x256      # both, and whether they draw the same

Needs `pip install -e ".[gpu-render]"` for cuda.  Every kind of place once, hour and weather turn by turn.  The first
frame of each device is drawn before the clock starts: it compiles.  A world is built on the processor in either case,
so its time is given apart: several clips of one world share it.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from farplane.backend.train.cameras import random_path
from farplane.backend.train.raymarch import blockout_depth, exact_depth, render
from farplane.backend.train.world import KINDS, SEASONS, TIMES, WEATHERS, Attributes, make_world


def main() -> None:
    """Print a row for each kind and the sums."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", default="112x64", help="WIDTHxHEIGHT")
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument("--samples", type=int, default=4)
    args = parser.parse_args()
    width, height = (int(n) for n in args.size.split("x"))
    devices = ["cpu"] if args.device == "cpu" else ["cpu", "cuda"]
    print(
        "kind       world s " + "".join(f"{d:>10} s" for d in devices) + ("   differing pixels" if devices[1:] else "")
    )
    sums = np.zeros(1 + len(devices))
    for number, kind in enumerate(KINDS):
        wanted = Attributes(
            kind, TIMES[number % len(TIMES)], WEATHERS[number % len(WEATHERS)], SEASONS[number % len(SEASONS)]
        )
        began = time.perf_counter()
        world = make_world(700 + number, wanted)
        row = [time.perf_counter() - began]
        path = random_path(world, 700 + number, args.frames, width, height)
        drawn = []
        for device in devices:
            if number == 0:
                everything(world, path.K[:1], path.world_from_camera[:1], 8, 8, 1, device)
            began = time.perf_counter()
            drawn.append(everything(world, path.K, path.world_from_camera, width, height, args.samples, device))
            row.append(time.perf_counter() - began)
        line = f"{kind:<10}" + "".join(f"{seconds:>10.3f}" for seconds in row)
        if len(drawn) > 1:
            differs = (np.abs(drawn[1] - drawn[0]) > 0.05 * (0.01 + drawn[0])).any(-1).mean()
            line += f"   {differs:.2%}"
        print(line, flush=True)
        sums += row
    rays = len(KINDS) * args.frames * width * height * (args.samples + 2)
    print("sum       " + "".join(f"{seconds:>10.3f}" for seconds in sums))
    for device, seconds in zip(devices, sums[1:], strict=True):
        print(f"{device}: {len(KINDS) / seconds:.1f} clips/s, {rays / seconds / 1e6:.2f} million rays/s")
    if len(devices) > 1:
        print(f"ratio {sums[1] / sums[2]:.1f}")


def everything(world, K, pose, width: int, height: int, samples: int, device: str) -> np.ndarray:
    """Colours and both depths, as a clip of the training data has them; the colours come back."""
    linear = render(world, K, pose, width, height, samples, device=device)
    blockout_depth(world, K, pose, width, height, device=device)
    exact_depth(world, K, pose, width, height, device=device)
    return linear


if __name__ == "__main__":
    main()
