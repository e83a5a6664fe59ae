"""`farplane evaluate`: one table, one run: a model's plates on shots it was not trained on, with the real render's
value (the ceiling) and a floor beside each figure.

Sections: seeds never trained on; kinds and pairs of attributes never trained on; wordings never trained on; clips with
traffic; the seeds once more without the blockout's colours; and, with --cycles, the example scenes rendered by
Blender's Cycles.  The model gets the blockout's depth, as an artist would send it, and a prompt.  Everything made is
kept under --out, so that an evaluation that was stopped, by --minutes, by Ctrl-C or by a crash, goes on where it was
when the same command is given again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from numpy.typing import NDArray

from ...protocol.errors import FarplaneError
from ...protocol.shot import RenderSettings, Shot, validate_resolution
from ..model.presets import FoundModel, find_model
from .cases import (
    SECTION_SEEDS,
    Footage,
    Size,
    Spec,
    digest,
    fitted_case,
    interleaved,
    kept_footage,
    kept_plate,
    model_fingerprint,
    shot_of,
    specs_of,
    world_fingerprint,
)
from .classifier import Judge, Reading, asked, ready_judge, shard_lessons, votes
from .data import ClipStore
from .figures import Copies, Line, likeness_lines, section_lines
from .rows import VERSION, Row, load_row, measure_case, save_row
from .scorecard import confusion_tables, draw_likeness, draw_sheet, table, write_failures

FULL, QUICK = Size(448, 256, 17), Size(112, 64, 9)
TRAINING_PICTURES = 6000  # of each folder of shards, compared with at most
Take = Callable[[Path, Path, RenderSettings, Size], tuple[Shot, NDArray, NDArray]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """What is evaluated, where everything is kept, and what names it."""

    out: Path
    found: FoundModel
    settings: RenderSettings
    size: Size
    world: str
    model: str

    @property
    def cases(self) -> Path:
        return self.out / "cases"

    def seeded(self, spec: Spec) -> Run:
        """The same with a seed of the case's own: under one for all, one sun and one pattern would be judged."""
        return replace(self, settings=replace(self.settings, seed=self.settings.seed + spec.seed))

    def key(self, prompt: str, what: object) -> str:
        """Names the plate of a prompt and of whatever else decides it."""
        settings = asdict(self.settings) | {"model": self.model}
        return digest([settings, asdict(self.size), prompt, what])


def measured(run: Run, spec: Spec) -> Row:
    """The row of a case: from disk if it is there, else rendered, sampled and measured."""
    run = run.seeded(spec)
    clip: Footage | None = None
    key = run.key("", [asdict(spec), run.world, VERSION])
    row = load_row(run.cases / spec.name, key)
    if row is not None:
        return row
    clip = kept_footage(run.out / "renders", spec, run.size, run.world)
    shot = shot_of(spec, clip, run.size)
    plate = kept_plate(
        run.cases / spec.name, shot, run.settings, run.found, run.key(shot.prompt.text, [spec.name, run.world])
    )
    row = measure_case(
        fitted_case(plate, clip.linear, shot, clip.exact),
        {
            "section": spec.section,
            "name": spec.name,
            "prompt": shot.prompt.text,
            "asked": asked(spec.attributes),
            "move": clip.move,
        },
    )
    save_row(row, run.cases / spec.name, key)
    return row


def measured_take(run: Run, scene: Path, take: Take) -> Row:
    """The row of a scene rendered by Cycles, by the whole way an artist goes."""
    name = f"cycles-{scene.stem}"
    key = run.key("", [scene.stem, hashlib.sha256(scene.read_bytes()).hexdigest(), VERSION])
    row = load_row(run.cases / name, key)
    if row is not None:
        return row
    shot, plate, render = take(scene, run.cases / name / f"take-{key}", run.settings, run.size)
    bare = replace(shot, reference=None)
    case = fitted_case(plate, render, bare, shot.depth.z)
    about = {"section": "cycles", "name": name, "prompt": shot.prompt.text, "asked": None, "move": scene.stem}
    row = measure_case(case, about)
    save_row(row, run.cases / name, key)
    return row


class Clock:
    """Tells whether another case fits into what is left of the minutes, by the longest that one took so far."""

    def __init__(self, minutes: float) -> None:
        self.began, self.last = monotonic(), monotonic()
        self.budget, self.longest = minutes * 60, 0.0

    def spent(self) -> float:
        return monotonic() - self.began

    def case_done(self) -> None:
        now = monotonic()
        self.longest, self.last = max(self.longest, now - self.last), now

    def another(self) -> bool:
        return not self.budget or self.spent() + self.longest < self.budget


def all_rows(
    run: Run, specs: Sequence[Spec], scenes: Sequence[Path], take: Take | None, clock: Clock, say: Say
) -> dict[str, list[Row]]:
    """Rows by section, as many as the clock allows."""
    rows: dict[str, list[Row]] = {}
    work: list[Callable[[], Row]] = [lambda spec=spec: measured(run, spec) for spec in specs]
    if take is not None:
        work += [lambda scene=scene, take=take: measured_take(run, scene, take) for scene in scenes]
    for done, make in enumerate(work, 1):
        if not clock.another():
            say(f"stopped after {clock.spent() / 60:.1f} minutes with {done - 1} of {len(work)} cases")
            break
        row = make()
        clock.case_done()
        rows.setdefault(row.about["section"], []).append(row)
        say(f"{done}/{len(work)} {row.about['name']}: {row.about['prompt']}")
    return rows


def training_pictures(folders: Sequence[Path]) -> NDArray | None:
    """Frames of the training shards [M, 3, 64, 112], the upright ones left out; None if there are none."""
    found = [shard_lessons(ClipStore(folder), TRAINING_PICTURES) for folder in folders]
    wide = [lessons.pictures[~lessons.turned] for lessons in found]
    return np.concatenate(wide) if sum(map(len, wide)) else None


def write_results(
    run: Run,
    rows: dict[str, list[Row]],
    wanted: dict[str, int],
    judge: tuple[Judge, Reading],
    data: Sequence[Path],
    notes: list[str],
) -> str:
    """figures.json, table.md, judge.md, sheet.png, failures.md, failures.png and likeness.png; returns the table."""
    network, reading = judge
    training = training_pictures(data)
    everything = [row for part in rows.values() for row in part]
    sections: dict[str, list[Line]] = {}
    for name, part in rows.items():
        sections[name] = section_lines(part, network, words=name == "wordings")
    copies: Copies | None = None
    ours = [row for row in everything if row.about["section"] not in ("cycles", "bare")]
    if ours:
        lines, copies = likeness_lines(ours, network, training)
        sections[ours[0].about["section"]] += lines
    short = {
        name: f"{len(rows.get(name, []))} of {count}"
        for name, count in wanted.items()
        if len(rows.get(name, [])) < count
    }
    size = run.size
    heading = [
        f"model {run.settings.model} ({run.model}), seeds {run.settings.seed} and the clip's number, steps and guidance "
        f"{run.settings.steps or 'its own'}, {run.settings.guidance or 'its own'}",
        f"shots of {size.width} x {size.height}, {size.frames} frames; plates came as "
        + ", ".join(sorted({"{} x {}".format(*row.about['size']) for row in everything}))
        + "; pixels are the shot's",
        f"the judge on {reading.clips} renders kept from it: "
        + ", ".join(f"{name} {value:.0%}" for name, value in reading.right.items())
        + " (what it takes for what: judge.md)",
        "features: the judge's last layer but one, taught on renders only",
        "likeness: not measured, no training shards were given" if training is None else
        f"likeness: against {len(training)} training frames, over all sections but Cycles and bare (in the first section's table)",
        *([f"stopped early: {', '.join(f'{n} {c}' for n, c in short.items())}"] if short else []),
        *notes,
    ]  # fmt: skip
    text = table(sections, heading)
    figures = {
        "model": run.settings.model, "fingerprint": {"model": run.model, "world": run.world}, "size": asdict(size),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "settings": asdict(run.settings), "judge": reading.right, "notes": heading, "complete": not short,
        "wanted": wanted, "sections": {name: [asdict(line) for line in lines] for name, lines in sections.items()},
        "rows": [{"about": r.about, "plate": r.plate, "render": r.render} for r in everything],
    }  # fmt: skip
    (run.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    (run.out / "table.md").write_text(text)
    (run.out / "judge.md").write_text(confusion_tables(reading))
    if everything:
        draw_sheet(everything, run.out / "sheet.png")
        write_failures(
            everything if copies is None else ours, copies, lambda row: votes(network, row.plate_pictures), run.out
        )
    if copies is not None and training is not None:
        draw_likeness(ours, copies, training, run.out / "likeness.png")
    return text


def parser() -> argparse.ArgumentParser:
    """The command line of `farplane evaluate`."""
    made = argparse.ArgumentParser(prog="farplane evaluate", description="Measure a model on shots it never saw.")
    made.add_argument("--model", default="farplane-s")
    made.add_argument("--out", type=Path, default=Path("runs/evaluate"), help="all that is made; run again to go on")
    made.add_argument("--quick", action="store_true", help="112x64, 9 frames, instead of 448x256, 17 frames")
    made.add_argument("--size", default="", metavar="WxH", help="of the shots")
    made.add_argument("--frames", type=int, default=0, help="of each shot, 4n+1")
    made.add_argument("--count", type=int, default=32, help="clips of held-out seeds")
    made.add_argument("--bare", type=int, default=8, help="of these clips, once more without the blockout's colours")
    made.add_argument("--pairs", type=int, default=12, help="clips of held-out pairs of attributes")
    made.add_argument("--kinds", type=int, default=12, help="clips of held-out kinds of scene")
    made.add_argument("--moving", type=int, default=6, help="clips in which vehicles and people move")
    made.add_argument("--words", type=int, default=16, help="clips with held-out wordings")
    made.add_argument(
        "--first", type=int, default=0, metavar="N", help="begin at case N of each section: choose settings on others"
    )
    made.add_argument(
        "--cycles", action="store_true", help="also the example scenes, rendered by Cycles (minutes each)"
    )
    made.add_argument("--scenes", type=Path, default=Path("examples"), help="folder of .blend files for --cycles")
    made.add_argument(
        "--minutes", type=float, default=0, help="stop before this is over, with fewer clips; 0: no limit"
    )
    made.add_argument(
        "--data", type=Path, nargs="+", default=[], help="folders of training shards, for the judge and the likeness"
    )
    made.add_argument("--judge", type=Path, default=None, help="folder of the judge and its renders; else --out")
    made.add_argument("--judge-clips", type=int, default=0, help="rendered for the judge; 0: 640, with --data 192")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--steps", type=int, default=0)
    made.add_argument("--guidance", type=float, default=0.0)
    return made


def size_of(args: argparse.Namespace) -> Size:
    """Raises FarplaneError for a size or a count of frames that no shot can have."""
    size = QUICK if args.quick else FULL
    if args.size:
        try:
            width, height = (int(side) for side in args.size.lower().split("x"))
        except ValueError:
            raise FarplaneError("size", f"{args.size!r} is no size", "Write it as 448x256") from None
        validate_resolution(width, height)
        size = replace(size, width=width, height=height)
    if args.frames:
        if args.frames < 9 or args.frames % 4 != 1:
            raise FarplaneError("frames", f"{args.frames} is not 9, 13, 17 …", "Give 4n+1 frames, 9 at least")
        size = replace(size, frames=args.frames)
    return size


def check(args: argparse.Namespace) -> None:
    """Raise FarplaneError for cases that no section has, or a folder without shards."""
    most = max(args.count, args.bare, args.pairs, args.kinds, args.words, args.moving)
    if not 0 <= args.first < SECTION_SEEDS - most:
        raise FarplaneError("first", f"a section has no case {args.first}", f"Give a number under {SECTION_SEEDS}")
    for folder in args.data:
        if not any(folder.glob("*.json")):
            raise FarplaneError(
                "data", f"{folder} holds no training shards", "Give a folder that farplane train filled"
            )


def main(argv: list[str] | None = None, take: Take | None = None) -> None:
    """Entry of `farplane evaluate`.  take : renders a scene by Cycles and a plate for it (backend/cycles_takes.py)."""
    args = parser().parse_args(argv)
    size = size_of(args)
    check(args)
    found = find_model(args.model)
    settings = RenderSettings(model=args.model, seed=args.seed, steps=args.steps, guidance=args.guidance)
    settings.validate()
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(args.out, found, settings, size, world_fingerprint(), model_fingerprint(found.folder))
    clock, wanted, parts = Clock(args.minutes), {}, []
    notes = [f"cases from number {args.first} of each section on"] if args.first else []
    for section, count in (
        ("seeds", args.count),
        ("bare", args.bare),
        ("pairs", args.pairs),
        ("kinds", args.kinds),
        ("wordings", args.words),
        ("moving", args.moving),
    ):
        specs = specs_of(section, count, args.first)
        if specs:
            parts.append(specs)
            wanted[section] = len(specs)
    scenes = sorted(args.scenes.glob("*.blend")) if args.cycles else []
    if args.cycles and (take is None or not scenes):
        raise FarplaneError("cycles", f"there is no .blend file in {args.scenes}", "Give the folder with --scenes")
    if scenes:
        wanted["cycles"] = len(scenes)
    judge_clips = args.judge_clips or (192 if args.data else 640)
    judge = ready_judge(args.judge or args.out, args.data, judge_clips, run.world, print)
    clock.last = monotonic()
    rows = all_rows(run, interleaved(parts), scenes, take, clock, print)
    if not rows:
        raise FarplaneError("minutes", "they were over before the first clip was done", "Give more, and run it again")
    print(write_results(run, rows, wanted, judge, args.data, notes))


if __name__ == "__main__":
    main()
