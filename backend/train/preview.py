"""`farplane world preview`: a contact sheet of any part of the procedural world."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ...protocol.errors import FarplaneError
from ..pipeline.colour import linear_to_display
from .data import render_clip
from .raymarch import loops
from .world import KINDS, SEASONS, TIMES, WEATHERS, Attributes, random_attributes

_AXES = {"time": TIMES, "weather": WEATHERS, "season": SEASONS}


def main(argv: list[str] | None = None) -> None:
    """Entry of `farplane world preview`."""
    parser = argparse.ArgumentParser(prog="farplane world preview", description="Draw a sheet of worlds.")
    parser.add_argument("--out", type=Path, default=Path("world.png"), help="a .png or .jpg")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0, help="the first seed; each tile is one more")
    parser.add_argument("--size", default="224x128", help="of a tile, WIDTHxHEIGHT")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what the frames are drawn on")
    parser.add_argument("--movers", action="store_true", help="only tiles in which vehicles or people are seen, named")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--time", choices=TIMES)
    parser.add_argument("--weather", choices=WEATHERS)
    parser.add_argument("--season", choices=SEASONS)
    parser.add_argument(
        "--grid", choices=_AXES, help="every kind, a row each, at every time, weather or season; a row is one place"
    )
    args = parser.parse_args(argv)
    if args.count < 1 or args.columns < 1:
        parser.error("--count and --columns must be 1 or more")
    try:
        width, height = (int(n) for n in args.size.split("x"))
    except ValueError:
        parser.error(f"--size is WIDTHxHEIGHT in pixels, such as 224x128; got {args.size}")
    if width < 8 or height < 8:
        parser.error("--size must be at least 8x8")
    fixed = {name: getattr(args, name) for name in ("kind", "time", "weather", "season")}
    if args.grid:
        columns = len(_AXES[args.grid])
        plan = _grid(args.grid, args.seed, {name: value for name, value in fixed.items() if value})
    else:
        columns, plan = args.columns, []
        for seed in range(args.seed, args.seed + args.count):
            drawn = vars(random_attributes(seed))
            plan.append((seed, Attributes(**{name: fixed[name] or drawn[name] for name in fixed})))
    try:
        loops(args.device)
    except FarplaneError as error:
        parser.error(str(error))
    drawn = ((_tile(seed, wanted, width, height, args.device, args.movers)) for seed, wanted in plan)
    tiles = [tile for tile in drawn if tile is not None]
    if not tiles:
        parser.error("nothing moves in any of these worlds: more of them (--count), or --kind city")
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    Image.fromarray(np.concatenate(rows)).save(args.out, quality=82)  # a PNG knows no quality
    print(args.out)


def _grid(axis: str, seed: int, fixed: dict[str, str]) -> list[tuple[int, Attributes]]:
    """Seed and attributes of every kind by every value of an axis; what is not given is the plainest."""
    plain = {"time": "noon", "weather": "clear", "season": "summer", **fixed}
    kinds = [fixed["kind"]] if "kind" in fixed else KINDS
    return [
        (seed + i, Attributes(**{**plain, "kind": kind, axis: value}))
        for i, kind in enumerate(kinds)
        for value in _AXES[axis]
    ]


def _tile(
    seed: int, wanted: Attributes, width: int, height: int, device: str, movers: bool
) -> NDArray[np.uint8] | None:
    """A labelled frame [H, W, 3]; with `movers` None where none is seen."""
    clip = render_clip(seed, 1, width, height, attributes=wanted, samples=4, device=device)
    if movers and not clip.seen:
        return None
    tile = Image.fromarray(linear_to_display(clip.linear[0]))
    label = f"{seed}: {wanted.kind}, {wanted.time}, {wanted.weather}, {wanted.season}"
    label += "".join(f", {name}" for name in clip.seen)
    ImageDraw.Draw(tile).text((4, 3), label, fill=(255, 255, 255), stroke_width=1, stroke_fill=(0, 0, 0))
    return np.asarray(tile)


if __name__ == "__main__":
    main()
