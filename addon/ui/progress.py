"""How far everything is that was asked for: one figure from Generate to the last file, and the time that is left.

A take's way has stages that take very different times.  How much of the whole each of them is comes from this machine's
own history (estimate.py), and before there is one from a plate of 448 x 256 on two cores.  The figure never goes back,
unless more is asked for meanwhile.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import bpy

from . import estimate
from .message import STAGE_NAMES, duration
from .operators import generation_line, running_generation
from .session import Job, session
from .translations import say

# Shares of a take's whole time.  Reading the scene is the first four.
SHARES = {
    "connect": 0.0, "camera": 0.02, "depth": 0.20, "files": 0.03, "upload": 0.03,
    "conditioning": 0.03, "denoise": 0.42, "decode": 0.15, "write": 0.06, "measure": 0.06,
}  # fmt: skip
READING = ("connect", "camera", "depth", "files")
EARLIEST = 0.04  # of the whole: what came before is too little to tell the time that is left by
OWN_TOOLS = {f"FARPLANE_OT_{name}" for name in ("generate", "variations", "storyboard", "notice")}
STATUS_SECONDS = 1.0  # between two writings of the same line into the status bar, which other tools clear


@dataclass
class _State:
    began: float = 0.0  # time.monotonic of the first look at work
    ended: int = 0  # takes of which nothing more comes
    asked: int = 0  # takes in all
    most: float = 0.0
    line: str = ""  # in the status bar
    written: float = 0.0
    wanted: tuple[str, estimate.Record] | None = None  # a job and what it asks for


@dataclass(frozen=True)
class Overall:
    """fraction : of everything, 0 … 1.  seconds_left : None where nobody can know.  doing : the stage, in words."""

    fraction: float
    seconds_left: float | None
    doing: str

    @property
    def short(self) -> str:
        """For a narrow sidebar."""
        return f"{self.percent}%" if self.seconds_left is None else f"{self.percent}%, {duration(self.seconds_left)}"

    @property
    def line(self) -> str:
        """The whole in one line."""
        line = f"{self.percent}%  {self.doing}"
        return line if self.seconds_left is None else say("{}, {} left", line, duration(self.seconds_left))

    @property
    def percent(self) -> int:
        """Whole percents; all of it is said when it is here."""
        return min(99, int(100 * self.fraction))


_state = _State()


def overall() -> Overall | None:
    """Everything that was asked for and has not ended; None when nothing is under way."""
    global _state
    jobs = [job for job in session.jobs.values() if not job.outcome]
    parts = [of_job(job) for job in jobs] + _unsent()
    if not parts:
        if _state.asked:
            _state = _State(line=_state.line)
        return None
    now = time.monotonic()
    _state.began = _state.began or now
    asked = _state.ended + len(parts)
    fraction = (_state.ended + sum(parts)) / asked
    if asked > _state.asked:
        _state.most = fraction  # more was asked for: another whole
    _state.asked = asked
    _state.most = max(_state.most, fraction)
    return Overall(_state.most, _left(now), _doing(jobs))


def of_job(job: Job) -> float:
    """How far a take is, 0 … 1."""
    return 0.0 if job.stage == "resume" else of_stage(job.stage, job.fraction)


def of_stage(stage: str, share: float) -> float:
    """How far a take is that is `share`, 0 … 1, through a stage; stages of other programs count as none."""
    shares, before = _shares(), 0.0
    for name, size in shares.items():
        if name == stage:
            return min(1.0, before + size * share)
        before += size
    return 0.0


def _unsent() -> list[float]:
    """How far the takes are whose shots are still being read."""
    generation = running_generation()
    if generation is None:
        return []
    share = generation.done / max(1, generation.total)
    first, *others = generation.unsent or [0]
    stage = "connect" if generation.stage == "enquire" else generation.stage
    return [of_stage(stage, share)] * first + [0.0] * sum(others)


def _left(now: float) -> float | None:
    """Seconds: what the history says at first, what this time took later on."""
    done, elapsed = _state.most, now - _state.began
    told = _expected()
    if told is None:
        return elapsed * (1.0 - done) / done if done > EARLIEST else None
    whole = told * (1.0 - done) + (elapsed if done > 0 else 0.0)  # elapsed / done, as far as it is done
    return whole * (1.0 - done)


def _expected() -> float | None:
    """What all takes that were asked for should take, by this machine's history; None without one."""
    generation, first = running_generation(), next(iter(session.jobs.values()), None)
    if first is not None:
        if _state.wanted is None or _state.wanted[0] != first.id:
            _state.wanted = first.id, estimate.wanted_of(first.take)  # reads its files: once
        record = _state.wanted[1]
    elif generation is not None:
        record = generation.reading.wanted
    else:
        return None
    found = estimate.estimate(estimate.history(), record)
    return None if found is None else found.seconds * _state.asked


def _doing(jobs: list[Job]) -> str:
    generation = running_generation()
    if generation is not None:
        return generation_line(generation)
    shown = session.job
    if shown is None or shown.cancelling:
        return say("Cancelling")
    if shown.position:
        return say("Waiting, {} ahead", shown.position)
    stage = say(STAGE_NAMES.get(shown.stage, shown.stage.capitalize()))
    if _state.asked > 1:
        return say("{}, take {} of {}", stage, min(_state.asked, _state.ended + 1), _state.asked)
    return stage


def _shares() -> dict[str, float]:
    """Each stage's share: of the latest take whose stages were timed, else SHARES."""
    timed = next((r for r in reversed(estimate.history()) if r.backend == estimate.backend() and r.stages), None)
    if timed is None:
        return SHARES
    reading = max(0.0, timed.stages.get("reading", 0.0))
    told = {name: max(0.0, timed.stages.get(name, 0.0)) for name in SHARES if name not in READING}
    whole = reading + sum(told.values())
    if whole <= 0:
        return SHARES
    usual = sum(SHARES[name] for name in READING)
    return {name: SHARES[name] / usual * reading / whole for name in READING} | {n: s / whole for n, s in told.items()}


def show_status() -> None:
    """Write the line into the status bar of every window, unless a tool of Blender's says something there."""
    found, generation = overall(), running_generation()
    line = "" if found is None else f"Farplane  {found.line}"
    if generation is not None and found is not None:
        bpy.context.window_manager.progress_update(found.percent)  # beside the mouse
        line = line if generation.gives_way else f"{line}    |    {say('Esc: Cancel')}"
    now = time.monotonic()
    if line == _state.line and (not line or now - _state.written < STATUS_SECONDS):
        return
    _state.line, _state.written = line, now
    for window in bpy.context.window_manager.windows:
        if all(tool.bl_idname in OWN_TOOLS for tool in window.modal_operators):
            window.workspace.status_text_set(line or None)


def _note_end(job: Job) -> None:
    _state.ended += 1


def register() -> None:
    """Count the jobs that end."""
    session.when_ended.append(_note_end)


def unregister() -> None:
    """No longer."""
    global _state
    _state = _State()
    if _note_end in session.when_ended:
        session.when_ended.remove(_note_end)
