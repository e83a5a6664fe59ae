"""Stages, their seconds, and what is shown where no bar can move."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from rich.console import Console

from farplane.backend.progress import StageBoard, seconds_table


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_seconds_per_stage_even_when_stages_overlap() -> None:
    clock = Clock()
    script = [
        (0, "denoise", 0),
        (3, "denoise", 4),
        (3, "decode", 0),
        (4, "write", 0),
        (6, "decode", 4),
        (7, "write", 4),
    ]
    with StageBoard(Console(file=io.StringIO()), clock) as board:
        for second, stage, step in script:
            clock.now = 100.0 + second
            board.update(stage, step, 4)
    assert board.seconds() == {"denoise": 3.0, "decode": 3.0, "write": 3.0}


def test_a_stage_that_is_heard_of_after_its_first_step_began_before_it() -> None:
    clock = Clock()
    with StageBoard(Console(file=io.StringIO()), clock) as board:
        for now, stage, step in [(100, "depth", 2), (101, "depth", 4), (104, "denoise", 1), (113, "denoise", 4)]:
            clock.now = now
            board.update(stage, step, 4)
    assert board.seconds() == {"depth": 1.0, "denoise": 12.0}


def test_a_stage_ends_once() -> None:
    clock = Clock()
    with StageBoard(Console(file=io.StringIO()), clock) as board:
        for now, step in [(100, 0), (102, 5), (150, 5)]:
            clock.now = now
            board.update("depth", step, 5)
    assert board.seconds() == {"depth": 2.0}


def test_without_a_terminal_each_stage_is_one_line() -> None:
    clock, out = Clock(), io.StringIO()
    with StageBoard(Console(file=out, width=100), clock) as board:
        for step in range(5):
            clock.now += 1
            board.update("denoise", step, 4)
            board.update("made up", 0, 0)
    lines = out.getvalue().splitlines()
    assert lines == ["made up: 0/0, 0.0 s", "Denoising: 4/4, 4.0 s"]


def test_without_a_terminal_a_long_stage_is_heard_of_now_and_then() -> None:
    clock, out = Clock(), io.StringIO()
    with StageBoard(Console(file=out, width=100), clock) as board:
        for step in range(101):
            board.update("denoise", step, 100)
            clock.now += 0.5
    # 50 s in all: heard after 20 and after 40, and at the end
    assert out.getvalue().splitlines() == ["Denoising: 40/100 …", "Denoising: 80/100 …", "Denoising: 100/100, 50.0 s"]


def test_on_a_terminal_the_bars_move() -> None:
    out = io.StringIO()
    with StageBoard(Console(file=out, width=100, force_terminal=True)) as board:
        board.update("denoise", 3, 4)
        board.update("decode", 0, 0)
    assert "Denoising" in out.getvalue()
    assert "3/4" in out.getvalue()


@pytest.mark.parametrize("width", [40, 120])
def test_the_table_names_every_stage_and_the_whole(width: int) -> None:
    out = io.StringIO()
    Console(file=out, width=width).print(seconds_table({"depth": 1.25, "write": 0.0}, 2.5))
    text = out.getvalue()
    places = [text.index(part) for part in ("Rendering depth", "Writing EXR", "the whole way")]
    assert all(a < b for a, b in pairwise(places))
    assert "2.5" in text
