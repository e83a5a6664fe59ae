"""What the first stage paints of the training clips' large frames: what the detail stage learns from.

The detail stage is given the transformer's picture at work, with its soft edges and spilt colours; a render made
soft by a filter has other faults, and a network taught on it leaves these as they are.  So each large frame gets the
picture that the transformer makes of its clip, once told by the exact depth and once by the blockout's.

    python -m farplane.backend.train.drafts --run runs/farplane-s --data runs/data

writes `NNNNN.draft.npy` float16 [n, 2, H, W, 3] LogC3 code beside each shard; what is there is kept (`--again`).

Legend: T frames, H rows, W columns of the small picture; Q questions that guidance weighs.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...protocol.shot import CameraTrack
from ..model.autoencoder import unpack_time
from ..model.presets import PRESETS
from ..pipeline.geometry import Look
from ..pipeline.pixel_conditioning import Condition, make_condition, pack_frames
from ..pipeline.plate import Question, questions
from .data import ClipStore, is_untold
from .prompts import write_prompt
from .train import CODE_MEAN, CODE_STD, Model, Recipe
from .world import Attributes

BARE = 0.3  # drafts of blockouts without colours


def load_model(run: Path) -> Model:
    """The averaged weights of a run's first stage."""
    kept = torch.load(run / "base" / "last.pt", map_location="cpu", weights_only=True)
    model = Model(Recipe(**kept["recipe"] | {"vace_layers": tuple(kept["recipe"]["vace_layers"])}))
    model.load_state_dict(kept["ema"])
    return model.eval()


@torch.no_grad()
def draft_of(
    model: Model, store: ClipStore, index: int, exact: bool, rng: np.random.Generator, asked: list[Question]
) -> NDArray[np.float16]:
    """LogC3 code [H, W, 3] of a clip's large frame, at the small size, as the transformer paints it from noise."""
    code, depth, row = store.load(index, exact)
    K, pose, look = row["K"], row["world_from_camera"], Look(*row["look"])
    size, chance = (code.shape[1], code.shape[2]), store.load_pattern(index)
    base = None if is_untold(row, BARE, rng) else store.load_base(index, exact)
    conditions = [
        make_condition(
            depth if q.geometry else None,
            CameraTrack(K, pose),
            size,
            look=look,
            pattern=chance,
            base_colour=base,
            exact=exact,
        )
        for q in asked
    ]
    text = write_prompt(Attributes(**row["attributes"]), row["move"], rng)
    prompts = ["" if q.negative else text for q in asked]
    level = torch.ones(len(asked))  # at which it is shown no noise (pixel_conditioning.network_input)
    nothing = torch.zeros_like(pack_frames(code.astype(np.float32)))[None].expand(len(asked), -1, -1, -1, -1)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(nothing, level, prompts, Condition.stack(conditions)).float()
    x0 = torch.einsum("q,qctyx->ctyx", torch.tensor([q.weight for q in asked]), out)[None]
    picture = unpack_time(x0)[0, :, row["fine"]].permute(1, 2, 0).numpy()
    return (picture * CODE_STD + CODE_MEAN).astype(np.float16)


def write_drafts(run: Path, data: Path, *, again: bool = False) -> int:
    """Write every shard's drafts that are not there, or all `again`; how many shards were written."""
    model, store = load_model(run), ClipStore(data)
    asked = questions(PRESETS[0].guidance, PRESETS[0].geometry_guidance)
    shards: dict[str, list[int]] = {}
    for index, row in enumerate(store.rows):
        shards.setdefault(row["shard"], []).append(index)
    written = 0
    for shard, indices in shards.items():
        target = data / f"{shard}.draft.npy"
        if target.exists() and not again:
            continue
        rng = np.random.default_rng([int(shard), 7])
        drafts = [[draft_of(model, store, i, exact, rng, asked) for exact in (False, True)] for i in indices]
        scratch = target.with_suffix(".tmp")
        with scratch.open("wb") as file:
            np.save(file, np.stack([np.stack(pair) for pair in drafts]))
        os.replace(scratch, target)
        written += 1
        print(target, flush=True)
    return written


def main(argv: list[str] | None = None) -> None:
    """Entry of `python -m farplane.backend.train.drafts`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/farplane-s"), help="the run whose first stage draws")
    parser.add_argument("--data", type=Path, default=Path("runs/data"))
    parser.add_argument("--again", action="store_true", help="also where there are drafts")
    args = parser.parse_args(argv)
    write_drafts(args.run, args.data, again=args.again)


if __name__ == "__main__":
    main()
