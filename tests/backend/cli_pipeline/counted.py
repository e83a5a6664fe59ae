"""A pipeline that takes a known time in each stage, for the bench's test."""

from __future__ import annotations

import time
from collections.abc import Callable

from farplane.backend.pipeline.job import Job, Sink

runs: list[str] = []


def run_job(job: Job, sink: Sink, should_stop: Callable[[], bool]) -> None:
    """Sleeps; the first run is slower, as a first run is."""
    runs.append(job.id)
    assert not should_stop()
    for stage, seconds in (("denoise", 0.2 if len(runs) == 1 else 0.02), ("write", 0.01)):
        sink.progress(stage, 0, 2)
        time.sleep(seconds)
        sink.progress(stage, 2, 2)
    sink.preview(1, b"png")
    for frame in job.shot.frames:
        sink.frame(frame, b"12345")
    sink.artifact("report.json", b"{}")
