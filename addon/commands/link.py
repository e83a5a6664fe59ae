"""A command's link to the backend: connect, send a shot, follow it to its end, cancel it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...protocol import codec, events
from ...protocol.errors import FarplaneError
from ...protocol.events import Event
from ...protocol.shot import RenderSettings, Shot
from ...protocol.shotfile import shot_to_json
from ..client import Client
from ..output import StagedFiles
from ..reporting import Reporter, Stop
from ..scene import ShotPlan
from ..takes import Take

CONNECT_SECONDS = 12.0  # until a backend has answered at all
PATIENCE_SECONDS = 3.0  # after the client has said what is wrong
LOST_SECONDS = 30.0  # without a connection while a job runs
ENQUIRY_SECONDS = 90.0  # for the backend to look into a model, which takes it 60 at most; then the shot itself tells
CANCEL_SECONDS = 15.0  # the backend kills a worker that does not stop within 10
POLL_SECONDS = 0.05
DRAFT_SHARE, DRAFT_LEAST = 3, 4  # a draft takes a third of the model's own steps, but not fewer than four


class Ended(FarplaneError):
    """The job is over on the backend, or cannot be reached: there is nothing left to cancel."""


def connect(client: Client, stop: Stop) -> events.Connected:
    """Wait for the backend's answer.  Raises FarplaneError with what the client found wrong."""
    begin = time.monotonic()
    said: tuple[float, events.Disconnected] | None = None
    while time.monotonic() - begin < CONNECT_SECONDS or client.is_waiting:
        stop.check()
        for event in client.poll():
            if isinstance(event, events.Connected):
                return event
            if isinstance(event, events.Disconnected):
                said = (said[0] if said else time.monotonic(), event)
        if said and time.monotonic() - said[0] > PATIENCE_SECONDS:
            break
        time.sleep(POLL_SECONDS)
    if said is None:
        raise FarplaneError(
            "backend", "it does not answer", "Check that `farplane serve` runs and the address is right"
        )
    raise FarplaneError("backend", said[1].problem, said[1].remedy)


def check_model(connected: events.Connected, settings: RenderSettings) -> None:
    """Raise FarplaneError for a model that the backend does not have, before any work.  Paths it judges itself."""
    ready = [model.name for model in connected.models if model.state == "ready"]
    by_name = {model.name: model for model in connected.models}
    remedy = f"Use one of {', '.join(ready)}" if ready else "Install a model on the backend's machine"
    if settings.model in by_name:
        if settings.model not in ready:
            if by_name[settings.model].size_mb:  # its weights are there
                problem = f"{settings.model} does not load on the backend's machine: {by_name[settings.model].title}"
                raise FarplaneError("model", problem, remedy)
            raise FarplaneError("model", f"{settings.model} is not on the backend's machine", remedy)
    elif not set(settings.model) & {"/", "\\"}:
        raise FarplaneError("model", f"{settings.model} is unknown to the backend", remedy)


def check_upload(
    connected: events.Connected, frames: int, size: tuple[int, int], *, reference: bool, colours: bool = False
) -> None:
    """Raise FarplaneError for a shot that is more than the backend takes, before it is read."""
    needed = codec.expected_upload(frames, *size, reference=reference, base_colour=colours)
    if 0 < connected.max_upload < needed:
        problem = f"{needed >> 20} MiB are more than the backend takes ({connected.max_upload >> 20} MiB)"
        remedy = "Render fewer frames or lower the resolution" + (", or add --no-reference" if reference else "")
        raise FarplaneError("shot", problem, remedy)


def takes_colours(connected: events.Connected, wanted: bool, report: Reporter) -> bool:
    """Whether to read base colours for this backend; one that is older than they are gets the shot without, and it is told."""
    takes = "base_colour" in connected.takes
    if wanted and not takes:
        report("warning", text="The backend is older than material colours: the shot goes without them")
    return wanted and takes


def must_look(address: str, settings: RenderSettings) -> bool:
    """Whether an enquiry should wait for what the backend finds in the model's files.

    It does where nobody has looked: in a folder, or on another machine, whose own list may be older than the files.
    """
    return bool(address) or bool(set(settings.model) & {"/", "\\"})


def enquire(client: Client, outline: events.Submit, look: bool, report: Reporter, stop: Stop) -> None:
    """Ask the backend whether it would take such a shot, before the scene is read.

    Raises FarplaneError when it would not, Cancelled on a request to stop, Ended when the connection stays away.
    """
    answered = False

    def receive(event: Event) -> None:
        nonlocal answered
        if getattr(event, "job", "") != outline.job:
            return
        answered = answered or isinstance(event, events.Admissible | events.Failed)
        if isinstance(event, events.Failed):
            raise FarplaneError(event.field, event.problem, event.remedy)

    client.enquire(outline, look=look)
    deadline = time.monotonic() + ENQUIRY_SECONDS
    try:
        follow(client, receive, lambda: answered or time.monotonic() > deadline, report, stop)
    finally:
        if not answered:
            client.cancel(outline.job)


def draft(connected: events.Connected, settings: RenderSettings) -> RenderSettings:
    """The same with a third of the model's own steps; as it was where the backend does not say how many those are."""
    model = next((model for model in connected.models if model.name == settings.model), None)
    if model is None or not model.steps:
        return settings
    return replace(settings, steps=draft_steps(model.steps))


def draft_steps(own: int) -> int:
    """Denoise steps of a draft with a model that takes `own` steps."""
    return max(DRAFT_LEAST, round(own / DRAFT_SHARE))


def render_take(
    client: Client,
    shot: Shot,
    settings: RenderSettings,
    plan: ShotPlan,
    place: Path,
    overwrite: bool,
    report: Reporter,
    stop: Stop,
) -> str:
    """Send one shot and write what comes back as a take in `place`; return the job's UUID.

    Raises FarplaneError for what the backend or the disk reports, Cancelled after the job was stopped.
    """
    with StagedFiles(place) as files:
        files.add_passes(shot)
        files.add_reference(shot)
        take = Take.create(place, shot_to_json(shot, files.depth, plan.camera, settings), overwrite=overwrite)
        job = take.job = client.submit(shot, settings)
        try:
            _follow(client, job, take, report, stop)
            take.finish()
        except BaseException as error:
            take.abandon()
            if not isinstance(error, Ended):
                _cancel(client, job)
            raise
        files.commit()
    client.forget(job)
    return job


def _follow(client: Client, job: str, take: Take, report: Reporter, stop: Stop) -> None:
    """Take the job's events until it has finished."""
    finished = False

    def receive(event: Event) -> None:
        nonlocal finished
        if getattr(event, "job", "") == job:
            finished = finished or isinstance(event, events.Finished)
            _take_event(event, take, report)

    follow(client, receive, lambda: finished, report, stop)


def follow(
    client: Client, receive: Callable[[Event], object], ended: Callable[[], bool], report: Reporter, stop: Stop
) -> None:
    """Hand every event to `receive` until `ended`.

    Raises Cancelled on a request to stop, Ended when the connection stays away.
    """
    listener = Listener(client, receive, report)
    while not ended():
        stop.check()
        listener.listen()
        if not ended():
            time.sleep(POLL_SECONDS)


class Listener:
    """Hands on a client's events, and knows how long there has been nobody to talk to."""

    def __init__(self, client: Client, receive: Callable[[Event], object], report: Reporter) -> None:
        self._client, self._receive, self._report = client, receive, report
        self._lost_since: float | None = None

    def listen(self) -> None:
        """Hand on everything since the last call.  Raises Ended when the connection stays away."""
        for event in self._client.poll():
            if isinstance(event, events.Disconnected):
                self._lost_since = self._lost_since or time.monotonic()
                self._report("disconnected", problem=event.problem, remedy=event.remedy)
            elif isinstance(event, events.Connected):
                self._lost_since = None
            else:
                self._receive(event)
        if self._lost_since is not None and time.monotonic() - self._lost_since > LOST_SECONDS:
            raise Ended("backend", "the connection broke and did not come back", "Start the backend again")


def _take_event(event: Any, take: Take, report: Reporter) -> None:
    match event:
        case events.FrameReady():
            take.write_frame(event.frame, event.exr, event.sha256)
        case events.ArtifactReady():
            take.write_artifact(event.name, event.data, event.sha256)
        case events.Uploading():
            report.progress("upload", event.sent, event.total)
        case events.Accepted():
            report("queued", position=event.position)
        case events.Progress():
            report.progress(event.stage, event.step, event.total)
        case events.Failed():
            raise Ended(event.field, event.problem, event.remedy)
        case events.Cancelled():
            raise Ended("job", "it was cancelled on the backend", "Render again")


def _cancel(client: Client, job: str) -> None:
    """Stop a job that is still going, and wait until the backend says so."""
    client.cancel(job)
    deadline = time.monotonic() + CANCEL_SECONDS
    while time.monotonic() < deadline:
        for event in client.poll():
            if isinstance(event, events.Cancelled | events.Failed | events.Finished) and event.job == job:
                client.forget(job)
                return
            if isinstance(event, events.Disconnected):
                return
        time.sleep(POLL_SECONDS)
