"""Training clips on disk: rendered once by the world, read by the trainer while more are being made.

A shard is a folder entry of these files: `NNNNN.code.npy` float16 [n, T, H, W, 3] LogC3 code, `NNNNN.depth.npy`
float16 [n, T, H, W] log2 of the blockout's depth in metres (inf where nothing is hit), `NNNNN.exact.npy` that of the
render's own, `NNNNN.pattern.npy` float16 [n, T, P, H, W] what chance decides (patterns.py), `NNNNN.base.npy` and
`NNNNN.exactbase.npy` uint8 [n, T, H, W, 4] base colours at the two depths (told_colours.py), `NNNNN.fine.*.npy` the same for one frame of each clip at FACTOR times the size [n, 4H, 4W(, 3)], `NNNNN.json` the cameras and attributes.  The JSON is
written last and renamed into place, so a shard is whole or absent.  Every fourth shard is upright.  Shards of single
frames (`--images`; T = 1, nothing fine) show many more places and lights for the same time: what a word looks like
takes thousands of them to learn.

    python -m farplane.backend.train.data OUT --shards 0:100 --processes 2 [--images] [--still] [--device cuda]
"""

from __future__ import annotations

import argparse
import json
import math
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

from ...protocol.shot import CameraTrack
from ..model.detail import FACTOR
from ..pipeline.colour import logc3_encode
from ..pipeline.geometry import Look
from ..pipeline.pattern import PATTERN_CHANNELS
from .light import make_light
from .movers import SEEN_AS
from .patterns import clip_pattern
from .prompts import is_held_out
from .told_colours import Manner, told_colours
from .world import KINDS, Attributes, World, make_world, random_attributes

CLIPS = 16  # a shard
PAINTED = 0.35  # share of the worlds whose things have other hues than nature's
SIZE = (112, 64)  # of a clip, width and height
UPRIGHT_EVERY = 4  # shards
WORLDS, VIEWS = 8, 12  # of a shard of single frames
IMAGE_SEED = 100_000_000  # their worlds start here, their views follow in steps of VIEW_STEP
VIEW_STEP = 10**9
PARTS = ("code", "depth", "exact", "pattern", "base", "exactbase")
TRAINING_SEED = 1_000_000  # training worlds start here; everything below is held out


@dataclass(frozen=True, eq=False)
class Clip:
    """linear: [T, H, W, 3] scene-linear render; depth: [T, H, W] the blockout's; exact: the render's own depth; seen:
    what a viewer sees move, of movers.SEEN_AS; first: the number of the first frame."""

    linear: NDArray[np.float32]
    depth: NDArray[np.float32]
    exact: NDArray[np.float32] | None
    camera: CameraTrack
    attributes: Attributes
    move: str
    world: World
    seen: tuple[str, ...] = ()
    first: int = 0

    def base_colour(self, manner: Manner, exact: bool = False, device: str = "cpu") -> NDArray[np.uint8]:
        """[T, H, W, 4] what the materials of the blockout say of its colours, or with `exact` those of the world."""
        depth = self.exact if exact else self.depth
        assert depth is not None
        view = depth, self.camera.K, self.camera.world_from_camera
        return told_colours(self.world, *view, manner, simplified=not exact, first=self.first, device=device)


def render_clip(
    seed: int,
    frames: int,
    width: int,
    height: int,
    *,
    world: World | None = None,
    attributes: Attributes | None = None,
    exact: bool = False,
    samples: int = 2,
    device: str = "cpu",
    moving: bool = True,
) -> Clip:
    """Render the clip of a seed (a world and a camera move) on a device, cpu or cuda; without `moving` there are no
    vehicles and people and no wind in the trees, and all else is the same."""
    from .cameras import random_path
    from .raymarch import STEP, blockout_depth, exact_depth, render

    world = world or make_world(seed, attributes)
    path = random_path(world, seed, frames, width, height)
    if not moving:
        world = replace(world, movers=None, crown=None)
    if world.movers is not None:  # nothing walks into the lens
        times = np.arange(frames, dtype=np.float64) * STEP
        world = replace(world, movers=world.movers.clear_of(path.world_from_camera[:, :3, 3], times, world.extent))
    if world.structures is not None:  # nor does the camera go through what stands there
        eyes = path.world_from_camera[:, :3, 3]
        world = replace(world, structures=world.structures.clear_of(eyes, np.zeros(frames), world.extent))
    view = (world, path.K, path.world_from_camera, width, height)
    return Clip(
        linear=render(*view, samples, device=device),
        depth=blockout_depth(*view, device=device),
        exact=exact_depth(*view, device=device) if exact else None,
        camera=CameraTrack(path.K, path.world_from_camera),
        attributes=world.attributes,
        move=path.move,
        world=world,
        seen=seen_movers(*view),
    )


SEEN = 0.002  # of a picture's pixels: from there on a prompt may name it
THROUGH = 0.2  # share of a thing's light that the haze before it must let pass


def seen_movers(world: World, K: NDArray, world_from_camera: NDArray, width: int, height: int) -> tuple[str, ...]:
    """The names of what moves and takes up some of the first, the middle or the last frame."""
    from .raymarch import trace_surfaces

    if world.movers is None or not len(world.movers):
        return ()
    found, haze = set(), make_light(world.attributes, world.seed).haze
    for frame in sorted({0, len(K) // 2, len(K) - 1}):
        one = slice(frame, frame + 1)
        shown = trace_surfaces(world, K[one], world_from_camera[one], width, height, first=frame)
        clear = np.exp(-haze * shown.depth) > THROUGH
        found |= {name for mark, name in SEEN_AS.items() if ((shown.material == mark) & clear).mean() > SEEN}
    return tuple(sorted(found))


def make_shard(
    folder: Path,
    index: int,
    frames: int = 9,
    size: tuple[int, int] = SIZE,
    device: str = "cpu",
    moving: bool = True,
) -> Path:
    """Render CLIPS clips, as render_clip does; two share a world's geometry under different light, so that light is not
    geometry's twin."""
    target = folder / f"{index:05d}.json"
    if target.exists():
        return target
    width, height = size if index % UPRIGHT_EVERY else size[::-1]
    large = (CLIPS,), FACTOR * height, FACTOR * width
    arrays = _empty((CLIPS, frames), height, width)
    arrays |= {f"fine.{part}": array for part, array in _empty(*large).items()}
    rows: list[dict] = []
    for i in range(CLIPS):
        seed = TRAINING_SEED + index * CLIPS + i
        wanted = shard_attributes(index, i)
        world = training_world(seed, wanted)
        clip = render_clip(
            seed, frames, width, height, world=world, exact=True, samples=4, device=device, moving=moving
        )
        chosen = int(np.random.default_rng([seed, 5]).integers(frames))
        fine = render_frame(clip, chosen, FACTOR, samples=2, device=device)
        fill(arrays, i, "", clip, device)
        fill(arrays, i, "fine.", fine, device)
        rows.append(clip_row(clip, seed) | {"fine": chosen})
    return write_shard(target, arrays, rows)


def _empty(count: tuple[int, ...], height: int, width: int) -> dict[str, NDArray]:
    """Room for the PARTS of `count` pictures."""
    shapes = {"code": (height, width, 3), "pattern": (PATTERN_CHANNELS, height, width), "base": (height, width, 4)}
    shapes["exactbase"] = shapes["base"]
    kinds = {"base": np.uint8, "exactbase": np.uint8}
    return {n: np.empty((*count, *shapes.get(n, (height, width))), kinds.get(n, np.float16)) for n in PARTS}


def make_image_shard(
    folder: Path, index: int, size: tuple[int, int] = SIZE, device: str = "cpu", moving: bool = True
) -> Path:
    """Render WORLDS * VIEWS single frames: each world from many places, every time under another light."""
    target = folder / f"{index:05d}.json"
    if target.exists():
        return target
    width, height = size if index % UPRIGHT_EVERY else size[::-1]
    count = WORLDS * VIEWS
    arrays = _empty((count, 1), height, width)
    rows: list[dict] = []
    for i in range(WORLDS):
        world = training_world(IMAGE_SEED + index * WORLDS + i)
        for view in range(VIEWS):
            seed = world.seed + view * VIEW_STEP
            lit = replace(world, seed=seed, attributes=training_attributes(seed, world.attributes.kind))
            clip = render_clip(seed, 1, width, height, world=lit, exact=True, samples=4, device=device, moving=moving)
            fill(arrays, i * VIEWS + view, "", clip, device)
            rows.append(clip_row(clip, seed))
    return write_shard(target, arrays, rows)


def fill(arrays: dict[str, NDArray], i: int, which: str, clip: Clip, device: str = "cpu") -> None:
    """Put a clip with its exact depth at place `i` of a shard's arrays; `which`: "" or "fine." (its one frame)."""
    assert clip.exact is not None
    part = 0 if which else slice(None)
    arrays[which + "code"][i] = logc3_encode(clip.linear[part])
    arrays[which + "depth"][i], arrays[which + "exact"][i] = log_depth(clip.depth[part]), log_depth(clip.exact[part])
    chance = clip_pattern(clip.world, clip.exact, clip.camera.K, clip.camera.world_from_camera, clip.first)
    arrays[which + "pattern"][i] = chance[part]
    manner = Manner.of_world(clip.world)
    for name, exact in (("base", False), ("exactbase", True)):
        arrays[which + name][i] = clip.base_colour(manner, exact, device)[part]


def is_untold(row: dict, share: float, rng: np.random.Generator) -> bool:
    """Whether a clip is shown without its base colours, as `share` of them are; never one that was painted, whose
    colours nothing else tells."""
    return rng.random() < share and not row.get("painted")


def clip_row(clip: Clip, seed: int) -> dict:
    """What is kept of a clip beside its pictures."""
    return {
        "seed": seed,
        "attributes": asdict(clip.attributes),
        "move": clip.move,
        "seen": list(clip.seen),
        "painted": bool(clip.world.paint),
        "look": list(look_of(clip.world, seed)),
        "K": clip.camera.K.tolist(),
        "world_from_camera": clip.camera.world_from_camera.tolist(),
    }


def look_of(world: World, seed: int) -> Look:
    """The sun's azimuth and the palette that a world is rendered with, under the light of `seed`."""
    x, y, _ = make_light(world.attributes, seed).sun
    return Look(math.atan2(y, x), world.style)


def write_shard(target: Path, arrays: dict[str, NDArray], rows: list[dict]) -> Path:
    """The arrays first, the JSON last and in one step."""
    for name, array in arrays.items():
        np.save(target.with_suffix(f".{name}.npy"), array)
    scratch = target.with_suffix(".tmp")
    scratch.write_text(json.dumps(rows))
    os.replace(scratch, target)
    return target


def shard_attributes(index: int, i: int) -> Attributes:
    """What clip `i` of a shard shows; two neighbours are of one kind."""
    kind = random_attributes(TRAINING_SEED + index * CLIPS + i // 2 * 2).kind
    return training_attributes(TRAINING_SEED + index * CLIPS + i, kind)


def training_attributes(seed: int, kind: str) -> Attributes:
    """A light and a season for a kind of place: never a pair that is kept for evaluation."""
    for attempt in range(100):
        attributes = replace(random_attributes(seed + attempt * VIEW_STEP), kind=kind)
        if not is_held_out(attributes):
            return attributes
    raise AssertionError(f"every pair with {kind} is held out")


def training_world(seed: int, attributes: Attributes | None = None) -> World:
    """make_world's, PAINTED of them in hues that nature does not have.  Blockouts have such too, and a network that
    never saw any paints a red car black."""
    world, rng = make_world(seed, attributes), np.random.default_rng([seed, 12])
    return replace(world, paint=int(rng.integers(1, 1000))) if rng.random() < PAINTED else world


def log_depth(depth: NDArray[np.float32]) -> NDArray[np.float16]:
    """log2 of metres; inf stays."""
    with np.errstate(divide="ignore"):
        return np.log2(depth).astype(np.float16)


def render_frame(clip: Clip, frame: int, factor: int, samples: int = 2, device: str = "cpu") -> Clip:
    """One frame of a clip again, `factor` times as large."""
    from .raymarch import blockout_depth, exact_depth, render

    height, width = (factor * n for n in clip.depth.shape[1:])
    K = clip.camera.K[frame : frame + 1] * np.array([factor, factor, 1.0])[:, None]
    pose = clip.camera.world_from_camera[frame : frame + 1]
    view = (clip.world, K, pose, width, height)
    linear = render(*view, samples, first=frame, device=device)
    depth = blockout_depth(*view, first=frame, device=device)
    exact = exact_depth(*view, first=frame, device=device)
    return replace(clip, linear=linear, depth=depth, exact=exact, camera=CameraTrack(K, pose), first=frame)


class ClipStore:
    """Reads every finished shard of a folder; `refresh` picks up those made since."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.rows: list[dict] = []
        self._arrays: dict[str, dict[str, NDArray]] = {}
        self.refresh()

    def refresh(self) -> int:
        """Return the number of clips now available."""
        for path in sorted(self.folder.glob("*.json")):
            if path.stem in self._arrays:
                continue
            files = {n: path.with_suffix(f".{n}.npy") for n in (*PARTS, *(f"fine.{part}" for part in PARTS), "draft")}
            self._arrays[path.stem] = {n: np.load(f, mmap_mode="r") for n, f in files.items() if f.exists()}
            for i, row in enumerate(json.loads(path.read_text())):
                row["shard"], row["index"] = path.stem, i
                row["K"], row["world_from_camera"] = np.array(row["K"]), np.array(row["world_from_camera"])
                self.rows.append(row)
        return len(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, index: int, exact: bool = False) -> tuple[NDArray[np.float16], NDArray[np.float32], dict]:
        """(code [T, H, W, 3] float16, depth [T, H, W] float32 metres, row); the blockout's depth, or the exact one."""
        return self._load(index, "", exact)

    def load_fine(self, index: int, exact: bool = False) -> tuple[NDArray[np.float16], NDArray[np.float32], dict]:
        """(code [H, W, 3] float16, depth [H, W] float32 metres, row) of the clip's large frame."""
        return self._load(index, "fine.", exact)

    def load_pattern(self, index: int, fine: bool = False) -> NDArray[np.float32] | None:
        """What chance decides of a clip [T, P, H, W], or of its large frame [P, H, W]; None where it was not kept."""
        row = self.rows[index]
        kept = self._arrays[row["shard"]].get("fine.pattern" if fine else "pattern")
        return None if kept is None else kept[row["index"]].astype(np.float32)

    def load_base(self, index: int, exact: bool = False, fine: bool = False) -> NDArray[np.uint8]:
        """Base colours [T, H, W, 4] of a clip at the blockout's depth or the exact one, or [H, W, 4] of its large frame."""
        row = self.rows[index]
        part = ("fine." if fine else "") + ("exactbase" if exact else "base")
        return self._arrays[row["shard"]][part][row["index"]]

    def load_draft(self, index: int, exact: bool = False) -> NDArray[np.float16] | None:
        """What the first stage painted of the clip's large frame (drafts.py), LogC3 code [h, w, 3]; None: not drawn."""
        row = self.rows[index]
        drafts = self._arrays[row["shard"]].get("draft")
        return None if drafts is None else drafts[row["index"], int(exact)]

    def _load(self, index: int, which: str, exact: bool) -> tuple[NDArray[np.float16], NDArray[np.float32], dict]:
        row = self.rows[index]
        arrays, i = self._arrays[row["shard"]], row["index"]
        depth = arrays[which + ("exact" if exact else "depth")][i]
        return arrays[which + "code"][i], np.exp2(depth.astype(np.float32)), row

    def upright(self, index: int) -> bool:
        """Whether a clip is higher than wide."""
        shape = self._arrays[self.rows[index]["shard"]]["code"].shape
        return shape[2] > shape[3]


def main(argv: list[str] | None = None) -> None:
    """Render shards with several processes; finished ones are kept, so it resumes anywhere."""
    parser = argparse.ArgumentParser(prog="farplane train --data-only", description=main.__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shards", default="0:50", help="FROM:TO")
    parser.add_argument("--images", action="store_true", help="single frames of many places instead of clips")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--still", action="store_true", help="no vehicles, no people, no wind in the trees")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what the frames are drawn on")
    args = parser.parse_args(argv)
    first, last = (int(part) for part in args.shards.split(":"))
    args.out.mkdir(parents=True, exist_ok=True)
    # A process of CUDA must not be forked from one that has asked for the device.
    context = get_context("spawn" if args.device == "cuda" else None)
    if args.device == "cuda":
        from .raymarch import loops

        loops(args.device)  # says now what is missing
    with ProcessPoolExecutor(args.processes, context, numba.set_num_threads, (1,)) as pool:
        shard = make_image_shard if args.images else make_shard
        make = partial(shard, args.out, device=args.device, moving=not args.still)
        for path in pool.map(make, range(first, last)):
            print(path, flush=True)


__all__ = ["CLIPS", "KINDS", "TRAINING_SEED", "Clip", "ClipStore", "main", "make_shard", "render_clip"]

if __name__ == "__main__":
    main()
