"""`farplane bench`: seconds per stage of a render, median of several runs, on this machine.

The shot comes from a folder that `farplane shot` wrote, so that the same shot can be timed again elsewhere.  The
pipeline runs in this process, without the wire; the first run warms up and is told apart.  Seconds of one machine say
little by themselves: --against names the --json of an earlier run, and each figure is told as a ratio to that one's.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..protocol.errors import FarplaneError
from ..protocol.shot import Prompt, RenderSettings, Shot
from .pipeline.job import Job
from .service.server import PIPELINE
from .service.supervisor import THREADS
from .take_files import read_take_shot


@dataclass
class StageClock:
    """A Sink that keeps only times.  began, ended : seconds per stage, from the run's start."""

    start: float = field(default_factory=time.perf_counter)
    began: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    frames: int = 0
    bytes: int = 0

    def progress(self, stage: str, step: int, total: int) -> None:
        now = time.perf_counter() - self.start
        self.began.setdefault(stage, now)
        if step <= total:
            self.ended[stage] = now

    def preview(self, step: int, png: bytes) -> None:
        pass

    def frame(self, number: int, exr: bytes) -> None:
        self.frames += 1
        self.bytes += len(exr)

    def artifact(self, name: str, data: bytes) -> None:
        self.bytes += len(data)

    def seconds(self) -> dict[str, float]:
        return {stage: self.ended[stage] - began for stage, began in self.began.items()}


def main(arguments: list[str]) -> int:
    """Read the command line, run, print a table (and JSON with --json)."""
    parser = argparse.ArgumentParser(prog="farplane bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("folder", type=Path, help="a folder that `farplane shot` wrote")
    parser.add_argument("--runs", type=int, default=3, help="timed runs after the warm-up (3)")
    parser.add_argument("--model", default="farplane-s")
    parser.add_argument("--steps", type=int, default=0, help="denoise steps; 0 is the model's default")
    parser.add_argument("--prompt", default="a green valley at noon, clear weather")
    parser.add_argument("--pipeline", default=PIPELINE, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--against", type=Path, help="figures of an earlier run to tell these as ratios to")
    options = parser.parse_args(arguments)
    for name, value in THREADS.items():  # as a worker has them
        os.environ.setdefault(name, value)
    baseline = None if options.against is None else read_figures(options.against)
    settings = RenderSettings(model=options.model, steps=options.steps)
    settings.validate()
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)  # now, not after minutes of work
    shot = replace(read_take_shot(options.folder), prompt=Prompt(options.prompt)).validate()
    figures = measure(shot, settings, options.pipeline, max(options.runs, 1))
    if baseline is not None:
        figures["against"] = compare(figures, baseline)
    show(figures, Console())
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def measure(shot: Shot, settings: RenderSettings, pipeline: str, runs: int) -> dict[str, object]:
    """Render `shot` once to warm up and `runs` times for the figures; seconds, machine and versions as plain values."""
    module, _, name = pipeline.partition(":")
    run_job = getattr(importlib.import_module(module), name)
    stages: dict[str, list[float]] = defaultdict(list)
    totals: list[float] = []
    size = 0
    for _ in range(runs + 1):
        clock = StageClock()
        run_job(Job(str(uuid.uuid4()), shot, settings), clock, lambda: False)
        totals.append(time.perf_counter() - clock.start)
        size = clock.bytes
        for stage, seconds in clock.seconds().items():
            stages[stage].append(seconds)
    return {
        "machine": _machine(),
        "model": settings.model,
        "resolution": list(shot.resolution),
        "frames": len(shot.frames),
        "runs": runs,
        "bytes": size,
        "peak_memory_mb": _peak_memory_mb(),
        "first_run_s": totals[0],
        "median_s": statistics.median(totals[1:]),
        "stages": {stage: statistics.median(values[1:] or values) for stage, values in stages.items()},
    }


def read_figures(path: Path) -> dict:
    """What an earlier `--json` wrote.  Raises FarplaneError when it is something else."""
    try:
        figures = json.loads(path.read_bytes())
        whole = isinstance(figures["stages"], dict) and figures["median_s"] > 0
    except OSError as error:
        raise FarplaneError("baseline", f"{path}: {error.strerror}", "Name the --json of an earlier run") from error
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise FarplaneError("baseline", f"{path} holds no figures of a bench", "Name the --json of an earlier run")
    return figures


def compare(figures: dict, baseline: dict) -> dict[str, object]:
    """Ratios of these seconds to the baseline's, for the stages that both have, and what was not the same."""
    others = baseline["stages"]
    stages = {name: seconds / others[name] for name, seconds in figures["stages"].items() if others.get(name)}
    asked = ("model", "resolution", "frames", "machine")
    return {
        "stages": stages,
        "median": figures["median_s"] / baseline["median_s"],
        "differs": [name for name in asked if baseline.get(name) != figures[name]],
    }


def show(figures: dict, console: Console) -> None:
    """Print the figures as one table."""
    against = figures.get("against", {"stages": {}})
    ratio = "{:.2f} x".format
    width, height = figures["resolution"]
    title = f"{figures['model']}, {figures['frames']} frames {width}x{height}, median of {figures['runs']}"
    caption = ", ".join(f"{k} {v}" for k, v in figures["machine"].items())
    if against.get("differs"):
        caption += f"; the baseline is of another {', '.join(against['differs'])}"
    table = Table("stage", "seconds", "baseline" if "median" in against else "", title=title, caption=caption)
    table.columns[1].justify = table.columns[2].justify = "right"
    for stage, seconds in figures["stages"].items():
        table.add_row(stage, f"{seconds:.2f}", ratio(against["stages"][stage]) if stage in against["stages"] else "")
    table.add_section()
    table.add_row(
        "the whole render", f"{figures['median_s']:.2f}", ratio(against["median"]) if "median" in against else ""
    )
    table.add_row("the first one", f"{figures['first_run_s']:.2f}")
    table.add_row("peak memory, MB", f"{figures['peak_memory_mb']:.0f}")
    console.print(table)


def _machine() -> dict[str, str]:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU x {torch.get_num_threads()} threads"
    return {"device": device, "torch": torch.__version__, "Python": platform.python_version()}


def _peak_memory_mb() -> float:
    """The most memory the device held: CUDA's count, or this process's peak resident set."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return psutil.Process().memory_info().rss / 1e6
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
