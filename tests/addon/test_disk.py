"""The thread that waits for disks: order, errors, nothing blocks, nothing is lost at the end."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from farplane.addon.ui.disk import Disk
from farplane.protocol.errors import FarplaneError


@pytest.fixture
def disk() -> Any:
    made = Disk()
    yield made
    made.close()
    assert "farplane-disk" not in [thread.name for thread in threading.enumerate()]


def test_work_is_done_elsewhere_in_order_and_handed_over_here(disk: Disk) -> None:
    here, told = threading.get_ident(), []
    for number in range(50):
        disk.do(
            lambda n=number: (n, threading.get_ident()), lambda result: told.append((result, threading.get_ident()))
        )
    disk.flush()
    assert [result[0] for result, _ in told] == list(range(50))
    assert all(worker != here and handed == here for (_, worker), handed in told)
    assert not disk.busy


def test_polling_never_waits(disk: Disk) -> None:
    gate, told = threading.Event(), []
    disk.do(gate.wait, told.append, size=10)
    assert not disk.poll()
    assert (disk.busy, disk.held, told) == (True, 10, [])
    gate.set()
    disk.flush()
    assert (disk.busy, disk.held, told) == (False, 0, [True])


def test_errors_are_handed_over_and_the_thread_goes_on(disk: Disk) -> None:
    told: list[Any] = []

    def full() -> None:
        raise FarplaneError("output folder", "the disk is full", "Free some space")

    disk.do(full, told.append)
    disk.do(lambda: 1 / 0, told.append)  # a fault of ours
    disk.do(lambda: "after", told.append)
    disk.flush()
    assert told[0].problem == "the disk is full"
    assert "ZeroDivisionError" in told[1].problem
    assert told[2] == "after"


def test_an_error_that_nobody_waits_for_is_not_swallowed(disk: Disk) -> None:
    disk.do(lambda: 1 / 0)
    with pytest.raises(FarplaneError, match="ZeroDivisionError"):
        disk.flush()
    assert not disk.busy


def test_closing_finishes_what_was_given(disk: Disk) -> None:
    done: list[int] = []
    for number in range(20):
        disk.do(lambda n=number: done.append(n))
    disk.close()
    assert done == list(range(20))
    assert not disk.poll()
    disk.do(lambda: "again", done.append)  # type: ignore[arg-type]
    disk.flush()
    assert done[-1] == "again"
