"""addon/reporting.py: lines out, requests to stop in.  In processes of their own: it takes over descriptors and signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from farplane.addon.reporting import Cancelled, Stop

PATIENCE = 60.0  # seconds; a bound for a hang, not a measure


def start(code: str, **options) -> subprocess.Popen:
    arguments = [sys.executable, "-c", "from farplane.addon.reporting import *\n" + code]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_only_events_reach_standard_output():
    """Prints of Python, of a child process and of C go to standard error, also what C still holds in its buffer."""
    process = start(
        "import ctypes, os, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "with own_stdout(None) as out:\n"
        "    report = Reporter(out)\n"
        "    libc.printf(b'chatter of C\\n')\n"
        "    print('chatter of Python')\n"
        "    os.system('echo chatter of a child')\n"
        "    report.progress('depth', 1, 2)\n"
        "    report('warning', text='zwei Wörter\\nund noch eins')\n"
        "print('chatter afterwards')\n"
    )
    out, error = process.communicate(timeout=PATIENCE)
    assert [json.loads(line) for line in out.decode().splitlines()] == [
        {"event": "progress", "stage": "depth", "step": 1, "total": 2},
        {"event": "warning", "text": "zwei Wörter\nund noch eins"},
    ]
    assert error.count(b"chatter") == 4


LOOP = (
    "stop = Stop()\n"
    "with stop.on_signals():\n"
    "    print('ready', flush=True)\n"
    "    while not stop.requested: time.sleep(0.01)\n"
    "    print('asked', flush=True)\n"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_insists(number):
    process = start(LOOP + "    time.sleep(600)\n")
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert process.stdout.readline() == b"asked\n"
    process.send_signal(number)
    assert process.wait(PATIENCE) == 130
    process.communicate()


def test_a_signal_and_the_parents_end_together_are_one_request():
    """A parent that stops its child signals it and closes the pipe: the child may still clean up."""
    process = start(
        "stop = Stop()\nstop.when_parent_ends()\n" + LOOP.replace("stop = Stop()\n", "") + "print('clean')\n",
        stdin=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"ready\n"
    process.stdin.close()
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() in (b"asked\nclean\n",)
    process.stdin = None
    process.communicate(timeout=PATIENCE)


def test_the_parents_end_alone_is_a_request():
    process = start(
        "stop = Stop()\nstop.when_parent_ends()\n" + LOOP.replace("stop = Stop()\n", ""), stdin=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    out, error = process.communicate(timeout=PATIENCE)  # closes the pipe
    assert out == b"asked\n"
    assert process.returncode == 0, error


def test_a_request_is_looked_at_between_steps():
    stop = Stop()
    stop.check()
    stop.request()
    with pytest.raises(Cancelled):
        stop.check()
