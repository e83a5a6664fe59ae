"""The worker process: owns the device, renders one job after another, and dies with the server.

    python -m farplane.backend.service.worker --pipeline module:function

Commands come as JSON lines on standard input, answers leave as JSON lines on what was standard output (prints of
libraries go to the log instead).  Besides jobs there is a question, answered while a job runs too: whether a model
would load, and of how many frames its longest shot is.  It goes to the function `check_model(name)` of the pipeline's
module, if it has one.

The shot is read from its spool folder; frames and artifacts are written there, flushed and renamed, and only then
named to the server.

Standard input's end means that the server is gone: the whole process group ends at once.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import importlib
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from ...protocol.errors import FarplaneError
from ...protocol.events import ARTIFACTS, STAGES, Item
from ...protocol.schema import MAX_ITEM, MAX_PREVIEW
from ..pipeline.job import Cancelled, Job, Sink
from .folders import make_folder, open_private
from .spool import item_file, read_shot, write_durable

Pipeline = Callable[[Job, Sink, Callable[[], bool]], None]
Check = Callable[[str], int | None]  # frames of the longest shot, None for any; FarplaneError for a faulty model
Say = Callable[..., None]

PROGRESS_SECONDS = 0.05  # between two reports of one stage; the last of a stage always goes out


class SpoolSink:
    """Writes what a job makes into its attempt's folder and tells the server.  May be called from any thread."""

    def __init__(self, folder: Path, frames: tuple[int, ...], say: Say) -> None:
        self._folder = folder
        self._frames = frozenset(frames)
        self._say = say
        self._stage = ""
        self._said = 0.0

    def progress(self, stage: str, step: int, total: int) -> None:
        if stage not in STAGES:
            raise ValueError(f"{stage!r} is not one of {STAGES}")
        now = time.monotonic()
        if stage == self._stage and step < total and now - self._said < PROGRESS_SECONDS:
            return
        self._stage, self._said = stage, now
        self._say("progress", stage=stage, step=int(step), total=int(total))

    def preview(self, step: int, png: bytes) -> None:
        if not 0 < len(png) <= MAX_PREVIEW:
            raise ValueError(f"a preview of {len(png)} bytes")
        path = self._folder / f"preview.{int(step)}.png"
        with suppress(OSError):  # neither flushed nor worth a failure; the server deletes it
            with open_private(path, "wb") as file:
                file.write(png)
            self._say("preview", step=int(step), file=path.name)

    def frame(self, number: int, exr: bytes) -> None:
        if number not in self._frames:
            raise ValueError(f"frame {number} is not in the shot")
        self._item(int(number), exr)

    def artifact(self, name: str, data: bytes) -> None:
        if name not in ARTIFACTS:
            raise ValueError(f"{name!r} is not one of {ARTIFACTS}")
        self._item(name, data)

    def _item(self, item: Item, data: bytes) -> None:
        if not 0 < len(data) <= MAX_ITEM:
            raise ValueError(f"{item} has {len(data)} bytes")
        write_durable(self._folder / item_file(item), data)
        self._say("item", item=item, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def main() -> None:
    """Serve jobs until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pipeline", required=True)
    pipeline = parser.parse_args().pipeline
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    speak = _channel_of(channel)
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    stop = threading.Event()
    questions: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs, stop, questions), daemon=True).start()
    render: Pipeline | BaseException
    check: Check = _no_check
    try:
        module, _, name = pipeline.partition(":")
        loaded = importlib.import_module(module)
        render, check = getattr(loaded, name), getattr(loaded, "check_model", _no_check)
    except BaseException as error:
        traceback.print_exc()
        render = error
    threading.Thread(target=_answer, args=(questions, check, speak), daemon=True).start()
    while True:
        command = jobs.get()
        say = partial(speak, job=command["job"], attempt=command["attempt"])
        leaving = _run(command, render, stop, say)
        if leaving:
            _end_group()


def _no_check(name: str) -> int | None:
    """A pipeline that cannot tell beforehand."""


def _answer(questions: queue.SimpleQueue[str], check: Check, say: Say) -> None:
    """Say of each model that was asked about what is wrong with it."""
    while True:
        name = questions.get()
        fault = longest = None
        try:
            longest = check(name)
        except FarplaneError as error:
            fault = [text[:1000] for text in (error.field, error.problem, error.remedy)]
        except Exception:  # not the model's fault: its job will tell
            traceback.print_exc()
        say("model", model=name, fault=fault, longest=longest)


def _listen(jobs: queue.SimpleQueue[dict[str, Any]], stop: threading.Event, questions: queue.SimpleQueue[str]) -> None:
    """Read commands.  `stop` belongs to the last job that came; the server gives one only after the last ended."""
    for line in sys.stdin.buffer:
        command = json.loads(line)
        if command["do"] == "run":
            stop.clear()
            jobs.put(command)
        elif command["do"] == "cancel":
            stop.set()
        elif command["do"] == "check":
            questions.put(command["model"])
    _end_group()


def _end_group() -> None:
    """End this process and whatever it started."""
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _channel_of(channel: BinaryIO) -> Say:
    """Write a whole line at a time, from any thread."""
    lock = threading.Lock()

    def say(what: str, **values: object) -> None:
        line = json.dumps({"what": what, **values}).encode() + b"\n"
        with lock:
            view = memoryview(line)
            while view:
                view = view[channel.write(view) :]

    return say


def _run(command: dict[str, Any], render: Pipeline | BaseException, stop: threading.Event, say: Say) -> bool:
    """Run one job and say how it ended.  True when this process should not be trusted with another."""
    try:
        if isinstance(render, BaseException):
            raise render
        spool = Path(command["folder"])
        shot, submit = read_shot(spool)
        folder = spool / f"attempt-{command['attempt']}"
        make_folder(folder)
        sink = SpoolSink(folder, shot.frames, say)
        render(Job(command["job"], shot, submit.settings), sink, stop.is_set)
    except Cancelled:
        say("cancelled")
    except BaseException as error:
        if not isinstance(error, FarplaneError):
            with suppress(OSError):  # worker.log's own disk may be the one that is full
                traceback.print_exc()
        field, problem, remedy = (text[:1000] for text in in_words(error))
        leaving = not isinstance(error, Exception) or field == "memory"  # a new process has its memory whole
        say("failed", field=field, problem=problem, remedy=remedy, leaving=leaving)
        return leaving
    else:
        say("finished")
    return False


def in_words(error: BaseException) -> tuple[str, str, str]:
    """(field, problem, remedy) in the artist's words for whatever a pipeline raised."""
    if isinstance(error, FarplaneError):
        return error.field, error.problem, error.remedy
    if out_of_memory(error):
        problem = "the shot did not fit into the backend's memory"
        return "memory", problem, "Lower the resolution, render fewer frames or choose a smaller model"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            "disk",
            "the backend's disk is full",
            "Free some space there, in its data folder and its TMPDIR, and render again",
        )
    if isinstance(error, ImportError):
        return "backend", f"its pipeline cannot be loaded ({error})", "Run `farplane doctor` on the backend's machine"
    text = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    problem = f"the render stopped with an error ({text})"
    return "backend", problem, "Render again; if it fails again, worker.log in the backend's data folder says more"


def out_of_memory(error: BaseException) -> bool:
    """Whether this is one of the ways in which Python and torch say so (torch need not be imported to ask)."""
    if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "BrokenProcessPool"):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


if __name__ == "__main__":
    main()
