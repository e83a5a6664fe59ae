"""Whether farplane-s uses each condition it was trained with: the error with it beside the same clip's without it.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python scripts/bench_tasks.py      # 24 held-out seeds, a minute of one core

At the transformer's own size (112 x 64, 9 frames), in one step from nothing, as a plate's first step is made.  An error
is the mean square of estimate less render in standardised LogC3 code, over what is to be made and not over what was
given.  The table has medians over clips, and their ratio clip by clip with a bootstrapped 95% interval: under 1 the
condition helps.  Beside them are three estimates that need no network: one flat colour, the mean of all training
renders; the nearest given frame held still; and what is given carried along the shot's own geometry, with the flat
colour where no given frame sees a place.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from farplane.backend.model.presets import find_model
from farplane.backend.model.weights import Checkpoint, load_checkpoint
from farplane.backend.pipeline.carrying import carried
from farplane.backend.pipeline.colour import logc3_encode
from farplane.backend.pipeline.pixel_conditioning import make_condition, network_time, unpack_frames
from farplane.backend.train.cases import specs_of
from farplane.backend.train.data import SIZE, Clip, look_of, render_clip
from farplane.backend.train.patterns import clip_pattern
from farplane.backend.train.prompts import write_prompt
from farplane.backend.train.told_colours import Manner
from farplane.backend.train.train import draw_reference

FRAMES, FIRST_CASE = 9, 5000  # far from the cases that `farplane evaluate` takes
RESAMPLES = 4000


@dataclass(frozen=True)
class Told:
    """What the network is told of a clip.  known: a key of `parts_known`; look: where the sun stands and the palette;
    pattern: of clouds, grain and windows, the render's own; base: the colours of the blockout's materials; shuffled: the
    prompt's words stand in another order."""

    text: bool = True
    depth: bool = True
    camera: bool = True
    look: bool = True
    pattern: bool = True
    base: bool = True
    known: str = ""
    reference: bool = False
    shuffled: bool = False


NOTHING = Told(text=False, depth=False, camera=False, look=False, pattern=False, base=False)
ALL = slice(None)
# Name, what is told, the same without the condition, what of the clip is given, and the frames that are measured.
TASKS: tuple[tuple[str, Told, Told, str, slice], ...] = (
    ("text only", Told(depth=False, camera=False), NOTHING, "", ALL),
    ("camera only", Told(text=False, depth=False), NOTHING, "", ALL),
    ("text + depth: the depth's part", Told(), Told(depth=False), "", ALL),
    ("text + depth: the text's part", Told(), Told(text=False), "", ALL),
    ("text + depth: the order of the words", Told(), Told(shuffled=True), "", ALL),
    ("text + depth: the camera's part", Told(), Told(camera=False), "", ALL),
    ("text + depth: the pattern's part", Told(), Told(pattern=False), "", ALL),
    ("text + depth: the base colours' part", Told(), Told(base=False), "", ALL),
    ("first frame", Told(known="first"), Told(), "first", ALL),
    ("first and last frame", Told(known="both"), Told(), "both", ALL),
    ("– frames 2 to 5, apart from the last in latent time", Told(known="both"), Told(), "both", slice(1, 5)),
    ("extend from 4 frames", Told(known="start"), Told(), "start", ALL),
    ("– frames 6 to 9, apart from those given", Told(known="start"), Told(), "start", slice(5, 9)),
    ("first frame, no depth", Told(depth=False, known="first"), Told(depth=False), "first", ALL),
    ("masked region", Told(known="region"), Told(), "region", ALL),
    ("reference beside a text", Told(look=False, reference=True), Told(look=False), "", ALL),
    (
        "reference instead of a text",
        Told(text=False, look=False, reference=True),
        Told(text=False, look=False),
        "",
        ALL,
    ),
)


def parts_known(rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """[T, H, W] what is given in each task; the region to be made anew has half the picture's sides."""
    (width, height), out = SIZE, {}
    for name, frames in (("", []), ("first", [0]), ("both", [0, -1]), ("start", [0, 1, 2, 3])):
        out[name] = np.zeros((FRAMES, height, width), bool)
        out[name][frames] = True
    top, left = int(rng.integers(height // 2)), int(rng.integers(width // 2))
    out["region"] = np.ones((FRAMES, height, width), bool)
    out["region"][:, top : top + height // 2, left : left + width // 2] = False
    return out


@torch.no_grad()
def estimate(model: Checkpoint, clip: Clip, code: NDArray, text: str, told: Told, known: NDArray, seed: int) -> NDArray:
    """Frames [T, H, W, 3] of standardised code, by the one step from nothing."""
    seen = clip.camera.K, clip.camera.world_from_camera
    chance = clip_pattern(clip.world, clip.exact, *seen) if told.pattern and clip.exact is not None else None
    reference = draw_reference(np.random.default_rng([seed, 21]), code) if told.reference else None
    condition = make_condition(
        clip.exact if told.depth else None, clip.camera, code.shape[1:3], known_frames=code, known=known,
        references=reference, with_camera=told.camera, look=look_of(clip.world, seed) if told.look else None,
        pattern=chance, base_colour=clip.base_colour(Manner(), exact=True) if told.base else None,
    )  # fmt: skip
    nothing = torch.zeros(1, 12, *condition.control.shape[2:])
    words = list(np.random.default_rng([seed, 22]).permutation(text.split())) if told.shuffled else [text]
    hidden, mask = model.text([" ".join(words) if told.text else ""])
    with torch.autocast("cpu", torch.bfloat16):
        out = model.transformer(
            nothing, network_time(torch.ones(1)), hidden, condition.control, camera=condition.camera, encoder_mask=mask
        )  # fmt: skip
    return unpack_frames(out[0, :, int(told.reference) :])


def held_still(code: NDArray, known: NDArray[np.bool_]) -> NDArray | None:
    """Each frame as the nearest given one; None where no whole frame is given."""
    given = np.flatnonzero(known.all((1, 2)))
    return code[given[np.abs(given - np.arange(len(code))[:, None]).argmin(1)]] if len(given) else None


def measured(model: Checkpoint, seed: int, spec_number: int) -> NDArray[np.float64]:
    """[tasks, 5] errors of a clip: the flat colour, the nearest given frame, what is given carried along, without the
    condition and with it."""
    (spec,) = specs_of("seeds", 1, FIRST_CASE + spec_number)
    clip = render_clip(spec.seed, FRAMES, *SIZE, attributes=spec.attributes, exact=True, samples=4, moving=False)
    mean, std = np.array(model.codec.mean, np.float32), np.array(model.codec.std, np.float32)
    code = ((logc3_encode(clip.linear) - mean) / std).astype(np.float32)
    rng = np.random.default_rng([spec.seed, 7, seed])
    text = write_prompt(spec.attributes, clip.move, rng, complete=True)
    known, done, rows = parts_known(rng), {}, []
    for _, told, without, part, frames in TASKS:
        made = np.zeros_like(known[part])
        made[frames] = ~known[part][frames]
        still = held_still(code, known[part])
        row = [np.square(code[made]).mean(), np.nan if still is None else np.square(still - code)[made].mean(), np.nan]
        if part and clip.exact is not None:
            row[2] = np.square(carried(code, known[part], clip.exact, clip.camera)[0] - code)[made].mean()
        for asked in (without, told):
            if asked not in done:
                done[asked] = estimate(model, clip, code, text, asked, known[asked.known], spec.seed)
            row.append(np.square(done[asked] - code)[made].mean())
        rows.append(row)
    return np.array(rows, np.float64)


def table(errors: NDArray[np.float64], rng: np.random.Generator) -> str:
    """Markdown of errors [clips, tasks, 5]."""
    lines = [
        "| task | flat colour | nearest given frame | given, carried | without | with | with / without (95%) |",
        "|---" * 7 + "|",
    ]
    picks = rng.integers(len(errors), size=(RESAMPLES, len(errors)))
    for (name, *_), part in zip(TASKS, errors.transpose(1, 0, 2), strict=True):
        (flat, still, along, without, told), ratio = np.median(part, 0), part[:, 4] / part[:, 3]
        low, high = np.percentile(np.median(ratio[picks], 1), (2.5, 97.5))
        copied, led = ("–" if np.isnan(value) else f"{value:.3f}" for value in (still, along))
        share = f"**{np.median(ratio):.2f}** ({low:.2f} … {high:.2f})"
        lines.append(f"| {name} | {flat:.3f} | {copied} | {led} | {without:.3f} | {told:.3f} | {share} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--model", type=Path, help="a checkpoint's folder; else the shipped farplane-s")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1, help="of wordings, regions and the bootstrap")
    args = parser.parse_args()
    model = load_checkpoint(args.model or find_model("farplane-s").folder)
    errors = np.stack([measured(model, args.seed, number) for number in range(args.clips)])
    print(f"{args.clips} clips, seed {args.seed}\n\n{table(errors, np.random.default_rng(args.seed))}")


if __name__ == "__main__":
    main()
