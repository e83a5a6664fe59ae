"""What a render shows while it runs and when it is done: a bar per stage, then one table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

TITLES = {
    "start": "Starting Blender and the backend",
    "camera": "Reading the camera",
    "depth": "Rendering depth",
    "reference": "Rendering the scene itself",
    "upload": "Sending the shot",
    "queue": "Waiting in the queue",
    "conditioning": "Preparing what the model sees",
    "denoise": "Denoising",
    "decode": "Decoding frames",
    "write": "Writing EXR",
    "measure": "Measuring the camera lock",
    "land": "Landing the plate in a copy of the scene",
}
QUIET_SECONDS = 20.0


@dataclass
class _Stage:
    began: float
    ended: float
    step: int = 0
    total: int = 0
    bar: TaskID | None = None


@dataclass
class StageBoard:
    """A progress bar per stage, and the seconds each took.  Use it as a context manager.

    On a terminal the bars move; elsewhere (a log, a farm) each stage is one line when it is done, and one every
    QUIET_SECONDS while it goes on.
    clock : for tests.
    """

    console: Console
    clock: Callable[[], float] = time.monotonic
    stages: dict[str, _Stage] = field(default_factory=dict)
    _bars: Progress | None = None
    _said: set[str] = field(default_factory=set)
    _said_at: float = float("-inf")
    _heard: float | None = None

    def __enter__(self) -> StageBoard:
        if self.console.is_terminal:
            self._bars = Progress(
                SpinnerColumn(finished_text="✓"),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self.console,
            )
            self._bars.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()
        elif kind is None:
            for name in list(self.stages):
                self._say(name)

    def update(self, name: str, step: int, total: int) -> None:
        """`step` of `total` done in stage `name`.

        A stage begins with its first update; one that is heard of only when a step is done began with the last
        thing heard before.  Stages may overlap.
        """
        now = self.clock()
        if name not in self.stages:
            bar = self._bars.add_task(TITLES.get(name, name), total=max(total, 1)) if self._bars else None
            began = self._heard if step and self._heard is not None else now
            self.stages[name] = _Stage(began, now, bar=bar)
        self._heard = now
        stage = self.stages[name]
        if stage.total and stage.step >= stage.total and step >= total:
            return  # said twice: it ended the first time
        stage.step, stage.total, stage.ended = step, total, now
        if self._bars is not None and stage.bar is not None:
            self._bars.update(stage.bar, completed=step, total=max(total, 1))
        elif step >= total:
            self._say(name)
        elif name not in self._said and now - max(stage.began, self._said_at) >= QUIET_SECONDS:
            self._said_at = now
            self.console.print(f"{TITLES.get(name, name)}: {step}/{total} …", highlight=False)

    def seconds(self) -> dict[str, float]:
        """Wall seconds per stage, in the order they began."""
        return {name: stage.ended - stage.began for name, stage in self.stages.items()}

    def _say(self, name: str) -> None:
        if name not in self._said:
            self._said.add(name)
            stage = self.stages[name]
            self.console.print(
                f"{TITLES.get(name, name)}: {stage.step}/{stage.total}, {stage.ended - stage.began:.1f} s",
                highlight=False,
            )


def seconds_table(seconds: dict[str, float], total: float) -> Table:
    """The stages and their seconds, the whole way last (stages overlap, so it is no sum)."""
    table = Table("stage", "seconds", title="Time", title_justify="left")
    table.columns[1].justify = "right"
    for name, value in seconds.items():
        table.add_row(TITLES.get(name, name), f"{value:.1f}")
    table.add_section()
    table.add_row("the whole way", f"{total:.1f}")
    return table
