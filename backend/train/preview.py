"""`farplane world preview`: a contact sheet of any part of the procedural world."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ...protocol.errors import FarplaneError
from ..pipeline.colour import linear_to_display
from .cameras import SENSOR, ground, look
from .data import render_clip, seen_movers
from .prompts import HELD_OUT_KINDS
from .raymarch import loops, render, trace_surfaces
from .world import KINDS, SEASONS, TIMES, WEATHERS, Attributes, World, make_world, random_attributes

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
    parser.add_argument(
        "--movers", action="store_true", help="look at a vehicle or a figure of each world; of worlds that have some"
    )
    parser.add_argument("--kind", choices=(*KINDS, *HELD_OUT_KINDS), help="the last two are never drawn unasked")
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
    if movers:
        world = make_world(seed, wanted)
        view = facing_a_mover(world, width, height)
        if view is None:
            return None
        linear, seen = render(world, *view, width, height, 4, device=device), seen_movers(world, *view, width, height)
    else:
        clip = render_clip(seed, 1, width, height, attributes=wanted, samples=4, device=device)
        linear, seen = clip.linear, clip.seen
    tile = Image.fromarray(linear_to_display(linear[0]))
    label = f"{seed}: {wanted.kind}, {wanted.time}, {wanted.weather}, {wanted.season}"
    label += "".join(f", {name}" for name in seen)
    ImageDraw.Draw(tile).text((4, 3), label, fill=(255, 255, 255), stroke_width=1, stroke_fill=(0, 0, 0))
    return np.asarray(tile)


def facing_a_mover(world: World, width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """K [1, 3, 3] and world_from_camera [1, 4, 4] of a 35 mm lens at eye's height before one of the world's movers: of
    a dozen tries the one that shows most of any; None where there is nothing to see."""
    if world.movers is None:
        return None
    rng = np.random.default_rng([world.seed, 9])
    movers, best, most = world.movers, None, 0.002
    focal = 35.0 / SENSOR * max(width, height)
    K = np.array([[[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]])
    for _ in range(12):
        number = int(rng.choice(np.flatnonzero(movers.kind == rng.choice(np.unique(movers.kind)))))
        place = movers.positions(np.zeros(1))[0, number]
        distance = (2.0 + 2.8 * movers.half[number].max()) * rng.uniform(1.0, 1.4)
        turn = movers.heading[number] + rng.choice([-1, 1]) * rng.uniform(0.4, 1.3)
        eye = place + np.array([distance * np.cos(turn), distance * np.sin(turn), 1.6])
        if ground(world, eye[0], eye[1]) > eye[2] - 1.0:
            continue
        pose = look(eye, turn + np.pi, -0.06)[None]
        alone = replace(world, movers=movers.clear_of(eye[None], np.zeros(1), world.extent))
        share = float((trace_surfaces(alone, K, pose, width, height).part >= 0).mean())
        if most < share < 0.5:
            best, most = pose, share
    return None if best is None else (K, best)


if __name__ == "__main__":
    main()
