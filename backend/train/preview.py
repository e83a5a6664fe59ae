"""`farplane world preview`: a contact sheet of any part of the procedural world."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ..pipeline.colour import linear_to_display
from .data import render_clip
from .world import KINDS, SEASONS, TIMES, WEATHERS, Attributes, random_attributes


def main(argv: list[str] | None = None) -> None:
    """Entry of `farplane world preview`."""
    parser = argparse.ArgumentParser(prog="farplane world preview", description="Draw a sheet of worlds.")
    parser.add_argument("--out", type=Path, default=Path("world.png"))
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0, help="the first seed; each tile is one more")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--time", choices=TIMES)
    parser.add_argument("--weather", choices=WEATHERS)
    parser.add_argument("--season", choices=SEASONS)
    args = parser.parse_args(argv)
    if args.count < 1 or args.columns < 1:
        parser.error("--count and --columns must be 1 or more")
    tiles = []
    for seed in range(args.seed, args.seed + args.count):
        drawn = random_attributes(seed)
        wanted = Attributes(
            args.kind or drawn.kind, args.time or drawn.time, args.weather or drawn.weather, args.season or drawn.season
        )
        clip = render_clip(seed, 1, 224, 128, attributes=wanted, samples=4)
        tile = Image.fromarray(linear_to_display(clip.linear[0]))
        label = f"{seed}: {wanted.kind}, {wanted.time}, {wanted.weather}, {wanted.season}"
        ImageDraw.Draw(tile).text((4, 3), label, fill=(255, 255, 255), stroke_width=1, stroke_fill=(0, 0, 0))
        tiles.append(np.asarray(tile))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % args.columns)
    rows = [np.concatenate(tiles[i : i + args.columns], 1) for i in range(0, len(tiles), args.columns)]
    Image.fromarray(np.concatenate(rows)).save(args.out)
    print(args.out)


if __name__ == "__main__":
    main()
