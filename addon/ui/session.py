"""What the interface knows: the connection, the job that runs, the takes that are there.

`Session.poll` is the one place where the backend's events arrive.  The window's timer calls it, and so do tests;
it never blocks.  There is one session per Blender, and it is no part of the file: undo does not touch it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import bpy

from ...protocol import events
from ...protocol.errors import FarplaneError
from ...protocol.events import Event, ModelInfo
from ...protocol.shot import RenderSettings, Shot
from .. import takes
from ..client import Client
from ..takes import Take
from . import preferences

Connection = Literal["off", "connecting", "connected", "disconnected"]


@dataclass(frozen=True)
class Message:
    """One line for the artist, and what to do about it."""

    text: str
    remedy: str = ""
    is_error: bool = False

    @staticmethod
    def of(error: FarplaneError) -> Message:
        """An error, as the panel says it."""
        return Message(f"{error.field.capitalize()}: {error.problem}", error.remedy, True)


@dataclass
class Job:
    """The job that runs.  step of total in stage; position : jobs ahead of it, None once it runs.

    unsent : what was asked for, until the backend has it; a new connection then sends it anew.
    """

    id: str
    take: Take
    scene: str
    stage: str = "upload"
    step: int = 0
    total: int = 0
    seconds_left: float | None = None
    position: int | None = None
    cancelling: bool = False
    unsent: tuple[Shot, RenderSettings] | None = field(default=None, repr=False)
    preview: bytes = field(default=b"", repr=False)

    @property
    def fraction(self) -> float:
        """Share of this stage that is done, 0 … 1."""
        return min(1.0, self.step / self.total) if self.total else 0.0

    @property
    def line(self) -> str:
        """The stage in the artist's words, with its count and the time it still needs."""
        if self.cancelling:
            return "Cancelling"
        if self.position:
            return f"Waiting, {self.position} ahead"
        count = "" if self.stage == "upload" or not self.total else f" {self.step} of {self.total}"
        left = "" if self.seconds_left is None else f", {duration(self.seconds_left)} left"
        return f"{STAGE_NAMES.get(self.stage, self.stage.capitalize())}{count}{left}"


STAGE_NAMES = {
    "connect": "Connecting",
    "camera": "Reading cameras",
    "depth": "Rendering depth",
    "reference": "Rendering the scene",
    "files": "Writing depth",
    "upload": "Sending the shot",
    "conditioning": "Preparing",
    "denoise": "Denoising",
    "decode": "Decoding",
    "write": "Writing frames",
    "measure": "Measuring",
}


def duration(seconds: float) -> str:
    """``8 s``, ``3 min``, ``2 h``: as precise as an estimate deserves."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{round(seconds / 3600)} h"


class Session:
    """The connection, the running job and the list of takes."""

    def __init__(self) -> None:
        self.client: Client | None = None
        self.connection: Connection = "off"
        self.version = ""
        self.models: tuple[ModelInfo, ...] = ()
        self.problem: Message | None = None  # why there is no connection
        self.message: Message | None = None  # what happened last
        self.job: Job | None = None
        self.wanted = False  # the panel was drawn: somebody wants to know
        self.takes: list[Take] = []
        self._listed: Path | None = None

    # ---- connection --------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Start the client, unless it runs.  Raises FarplaneError for wrong preferences or without pyzmq."""
        if self.client is not None:
            return
        chosen = preferences.settings()
        preferences.check_address(chosen)
        client = Client(chosen.address, chosen.server_key, chosen.config)
        client.start()
        self.client = client
        self.connection, self.problem = "connecting", None
        if self.job is None:
            return
        if self.job.unsent is not None:
            client.submit(*self.job.unsent, self.job.id)
        else:
            client.attach(self.job.id)

    def disconnect(self) -> None:
        """Stop the client; a job goes on at the backend and is asked for on the next `connect`."""
        client, self.client = self.client, None
        self.connection, self.models, self.version, self.problem = "off", (), "", None
        if client is not None:
            client.close()

    # ---- the job -----------------------------------------------------------------------------------------

    def submit(self, take: Take, shot: Shot, settings: RenderSettings, scene: str) -> Job:
        """Send a shot whose take is open, and follow it from now on.  Raises FarplaneError."""
        self.connect()
        assert self.client is not None
        take.job = self.client.submit(shot, settings)
        take.save()
        self.job = Job(take.job, take, scene, unsent=(shot, settings))
        self.message = None
        return self.job

    def cancel(self) -> None:
        """Ask for the running job to be stopped."""
        if self.job is not None and self.client is not None:
            self.job.cancelling = True
            self.client.cancel(self.job.id)

    def poll(self) -> bool:
        """Take everything that has come since the last call; return whether anything changed.  Never blocks."""
        if self.client is None:
            return False
        changed = False
        for event in self.client.poll():
            changed = True
            try:
                self._take(event)
            except FarplaneError as error:  # a damaged frame, a full disk: this job is over
                self.cancel()
                self._end(Message.of(error))
        return changed

    def _take(self, event: Event) -> None:
        match event:
            case events.Connected():
                self.connection, self.problem = "connected", None
                self.models, self.version = event.models, event.version
            case events.Disconnected():
                self.connection = "disconnected"
                self.problem = Message(event.problem.capitalize(), event.remedy, True)
            case _ if self.job is not None and event.job == self.job.id:
                self._take_of_job(self.job, event)

    def _take_of_job(self, job: Job, event: Event) -> None:
        match event:
            case events.Uploading():
                job.stage, job.step, job.total = "upload", event.sent, event.total
            case events.Accepted():
                job.position, job.unsent = event.position or None, None
            case events.Progress():
                job.position = None
                job.stage, job.step, job.total = event.stage, event.step, event.total
                job.seconds_left = event.seconds_left
            case events.Preview():
                job.preview = event.png
            case events.FrameReady():
                job.take.write_frame(event.frame, event.exr, event.sha256)
            case events.ArtifactReady():
                job.take.write_artifact(event.name, event.data, event.sha256)
            case events.Cancelling():
                job.cancelling = True
            case events.Finished():
                job.take.finish()
                self._forget(job)
                self._end(Message(f"{job.take.name} is here", "Land it, or reject it"))
            case events.Cancelled():
                self._forget(job)
                self._end(Message("Cancelled"))
            case events.Failed():
                self._end(Message(f"{event.field.capitalize()}: {event.problem}", event.remedy, True))

    def _forget(self, job: Job) -> None:
        if self.client is not None:
            self.client.forget(job.id)

    def _end(self, message: Message) -> None:
        job, self.job = self.job, None
        self.message = message
        if job is not None:
            job.take.discard()
            self.list_takes(job.take.folder.parent)

    # ---- takes -------------------------------------------------------------------------------------------

    def list_takes(self, shot_folder: Path | None, *, unless_listed: bool = False) -> None:
        """Read the takes of a shot from the disk, newest first."""
        if shot_folder is not None and not (unless_listed and shot_folder == self._listed):
            self._listed = shot_folder
            self.takes = takes.takes_in(shot_folder)


session = Session()


def shot_folder(scene: bpy.types.Scene, shot_name: str) -> Path:
    """Where the takes of a shot lie: beside the saved .blend, else in the extension's own folder."""
    name = takes.folder_name(shot_name)
    if bpy.data.filepath:
        return Path(bpy.path.abspath("//farplane")) / name
    if preferences.PACKAGE.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(preferences.PACKAGE, path="takes", create=True)) / name
    return Path(bpy.utils.user_resource("DATAFILES", path="farplane", create=True)) / "takes" / name
