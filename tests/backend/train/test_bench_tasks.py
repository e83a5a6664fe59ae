"""scripts/bench_tasks.py: what is measured is what was to be made, and a condition that helps reads as one."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def bench(script):
    return script("bench_tasks")


def test_every_task_leaves_something_to_make(bench):
    for seed in range(30):
        parts = bench.parts_known(np.random.default_rng(seed))
        assert {part for *_, part, _ in bench.TASKS} == set(parts)
        assert all((~parts[part][frames]).any() for *_, part, frames in bench.TASKS)
        assert parts[""].sum() == 0
        given = [np.flatnonzero(parts[name].all((1, 2))).tolist() for name in ("first", "both", "start", "region")]
        assert given == [[0], [0, 8], [0, 1, 2, 3], []]
        assert (~parts["region"]).mean() == 0.25
    # What is left out of a condition is one thing at a time, but for text and camera, which are put beside nothing; where
    # no depth is told pattern and base colours are not told either, whatever is asked.
    for name, told, without, *_ in bench.TASKS:
        differs = [field for field in vars(told) if getattr(told, field) != getattr(without, field)]
        assert len(differs) == (4 if without == bench.NOTHING else 1), name


def test_held_still_is_the_nearest_given_frame(bench):
    code = np.arange(9, dtype=np.float32)[:, None, None, None] * np.ones((9, 4, 6, 3), np.float32)
    known = np.zeros((9, 4, 6), bool)
    assert bench.held_still(code, known) is None
    known[[0, 8]] = True
    assert bench.held_still(code, known)[:, 0, 0, 0].tolist() == [0, 0, 0, 0, 0, 8, 8, 8, 8]


def test_a_condition_that_halves_the_error_reads_as_a_half(bench):
    rng = np.random.default_rng(2)
    without = rng.uniform(0.1, 0.9, (24, len(bench.TASKS), 1))
    noise = rng.normal(0, 0.02, without.shape)
    still = np.full_like(without, np.nan)
    errors = np.concatenate([without + 0.1, still, still, without, without * (0.5 + noise)], 2)
    text = bench.table(errors, np.random.default_rng(3))
    assert text == bench.table(errors, np.random.default_rng(3))
    for line in text.splitlines()[2:]:
        share, low, high = (
            float(n) for n in line.split("|")[7].replace("*", "").replace("…", "").strip(" )").replace("(", "").split()
        )
        # 24 clips of 0.02 each: the median's own deviation is 0.005.
        assert low <= share <= high
        assert abs(share - 0.5) < 0.025
        assert " – " in line
