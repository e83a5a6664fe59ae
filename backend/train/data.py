"""Training clips on disk: rendered once by the world, read by the trainer while more are being made.

A shard is a folder entry of three files: `NNNNN.code.npy` float16 [n, T, H, W, 3] LogC3 code, `NNNNN.depth.npy`
float16 [n, T, H, W] log2 of the blockout's depth in metres (inf where nothing is hit), `NNNNN.json` the cameras and
attributes.  The JSON is written last and renamed into place, so a shard is whole or absent.

    python -m farplane.backend.train.data OUT --shards 0:100 --processes 2
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...protocol.shot import CameraTrack
from ..pipeline.colour import logc3_encode
from .world import KINDS, Attributes, World, make_world, random_attributes

CLIPS = 16  # a shard
TRAINING_SEED = 1_000_000  # training worlds start here; everything below is held out


@dataclass(frozen=True, eq=False)
class Clip:
    """linear: [T, H, W, 3] scene-linear render; depth: [T, H, W] the blockout's; exact: the render's own depth."""

    linear: NDArray[np.float32]
    depth: NDArray[np.float32]
    exact: NDArray[np.float32] | None
    camera: CameraTrack
    attributes: Attributes
    move: str


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
) -> Clip:
    """Render the clip of a seed (a world and a camera move)."""
    from .cameras import random_path
    from .raymarch import blockout_depth, render, trace_depth

    world = world or make_world(seed, attributes)
    path = random_path(world, seed, frames, width, height)
    linear = render(world, path.K, path.world_from_camera, width, height, samples)
    return Clip(
        linear=linear,
        depth=blockout_depth(world, path.K, path.world_from_camera, width, height),
        exact=trace_depth(world.height, world.extent, world.sea, path.K, path.world_from_camera, width, height)
        if exact
        else None,
        camera=CameraTrack(path.K, path.world_from_camera),
        attributes=world.attributes,
        move=path.move,
    )


def make_shard(folder: Path, index: int, frames: int = 9, width: int = 224, height: int = 128) -> Path:
    """Render CLIPS clips; two share a world's geometry under different light, so that light is not geometry's twin."""
    target = folder / f"{index:05d}.json"
    if target.exists():
        return target
    code = np.empty((CLIPS, frames, height, width, 3), np.float16)
    depth = np.empty((CLIPS, frames, height, width), np.float16)
    rows = []
    for i in range(CLIPS):
        seed = TRAINING_SEED + index * CLIPS + i
        kind = random_attributes(TRAINING_SEED + index * CLIPS + i // 2 * 2).kind
        drawn = random_attributes(seed)
        attributes = Attributes(kind, drawn.time, drawn.weather, drawn.season)
        clip = render_clip(seed, frames, width, height, attributes=attributes)
        code[i] = logc3_encode(clip.linear)
        with np.errstate(divide="ignore"):
            depth[i] = np.log2(clip.depth)
        rows.append(
            {
                "seed": seed,
                "attributes": asdict(attributes),
                "move": clip.move,
                "K": clip.camera.K.tolist(),
                "world_from_camera": clip.camera.world_from_camera.tolist(),
            }
        )
    np.save(folder / f"{index:05d}.code.npy", code)
    np.save(folder / f"{index:05d}.depth.npy", depth)
    scratch = target.with_suffix(".tmp")
    scratch.write_text(json.dumps(rows))
    os.replace(scratch, target)
    return target


class ClipStore:
    """Reads every finished shard of a folder; `refresh` picks up those made since."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.rows: list[dict] = []
        self._arrays: dict[str, tuple[NDArray, NDArray]] = {}
        self.refresh()

    def refresh(self) -> int:
        """Return the number of clips now available."""
        for path in sorted(self.folder.glob("*.json")):
            if path.stem in self._arrays:
                continue
            code = np.load(path.with_suffix(".code.npy"), mmap_mode="r")
            depth = np.load(path.with_suffix(".depth.npy"), mmap_mode="r")
            self._arrays[path.stem] = (code, depth)
            for i, row in enumerate(json.loads(path.read_text())):
                row["shard"], row["index"] = path.stem, i
                row["K"], row["world_from_camera"] = np.array(row["K"]), np.array(row["world_from_camera"])
                self.rows.append(row)
        return len(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, index: int) -> tuple[NDArray[np.float16], NDArray[np.float32], dict]:
        """(code [T, H, W, 3] float16, depth [T, H, W] float32 metres, row)."""
        row = self.rows[index]
        code, depth = self._arrays[row["shard"]]
        return code[row["index"]], np.exp2(depth[row["index"]].astype(np.float32)), row


def main(argv: list[str] | None = None) -> None:
    """Render shards with several processes; finished ones are kept, so it resumes anywhere."""
    parser = argparse.ArgumentParser(prog="farplane train --data-only", description=main.__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shards", default="0:50", help="FROM:TO")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args(argv)
    first, last = (int(part) for part in args.shards.split(":"))
    args.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    with ProcessPoolExecutor(args.processes) as pool:
        for path in pool.map(make_shard, [args.out] * (last - first), range(first, last)):
            print(path, flush=True)


__all__ = ["CLIPS", "KINDS", "TRAINING_SEED", "Clip", "ClipStore", "main", "make_shard", "render_clip"]

if __name__ == "__main__":
    main()
