"""What the interface knows: the connection, the jobs that run, the takes that are there.

`Session.poll` is the one place where the backend's events arrive.  The window's timer calls it, and so do tests;
it never blocks: files are written and read by a thread of their own (disk.py).  There is one session per Blender,
and it is no part of the file: undo does not touch it.

What it says (`Message`) ends with its cause: a take that is gone, a landing that was taken back, a connection that is
there again, another file.  places.py knows where takes lie.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import bpy

from ...protocol import codec, events
from ...protocol.errors import FarplaneError
from ...protocol.events import Event, ModelInfo
from ...protocol.shot import RenderSettings, Shot
from .. import takes
from ..client import NO_ANSWER, NOBODY, Client
from ..takes import Take
from . import preferences
from .disk import Disk
from .message import STAGE_NAMES, Message, duration, sentence
from .summary import Listed, Shelf
from .translations import filled, say

Connection = Literal["off", "connecting", "connected", "disconnected"]
Outcome = Literal["", "finished", "cancelled", "failed"]
Answer = events.Admissible | events.Failed  # to an enquiry

MAX_WAITING = 64 << 20  # bytes that wait for the disk; above it nothing more is taken from the client


@dataclass
class Job:
    """A job that was asked for and has not ended.  step of total in stage; position : jobs ahead, None once it runs.

    seconds : what each stage took.  batch : what it belongs to, empty for a job of its own.  unsent : what was asked for, until the backend has it; a
    new connection then sends it anew.  prepared : seconds that reading the scene took.  began : when the backend
    started on it (time.monotonic), 0 before.  outcome : empty while it runs.
    """

    id: str
    take: Take
    scene: str
    batch: str = ""
    stage: str = "upload"
    step: int = 0
    total: int = 0
    seconds_left: float | None = None
    position: int | None = None
    cancelling: bool = False
    unsent: tuple[Shot, RenderSettings] | None = field(default=None, repr=False)
    preview: bytes = field(default=b"", repr=False)
    prepared: float = 0.0
    began: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict, repr=False)
    _stage_began: float = field(default_factory=time.monotonic, repr=False)
    outcome: Outcome = ""

    def enter(self, stage: str) -> None:
        """It is in this stage now: what the one before took is known."""
        now = time.monotonic()
        if not self.position:  # waiting in the queue is no stage's time
            self.seconds[self.stage] = self.seconds.get(self.stage, 0.0) + now - self._stage_began
        self.stage, self._stage_began = stage, now

    @property
    def fraction(self) -> float:
        """Share of this stage that is done, 0 … 1."""
        return min(1.0, self.step / self.total) if self.total and not self.position else 0.0

    @property
    def line(self) -> str:
        """The stage in the artist's words, with its count and the time it still needs."""
        if self.cancelling:
            return say("Cancelling")
        if self.position:
            return say("Waiting, {} ahead", self.position)
        stage = say(STAGE_NAMES.get(self.stage, self.stage.capitalize()))
        if self.stage != "upload" and self.total:
            stage = say("{} {} of {}", stage, self.step, self.total)
        return stage if self.seconds_left is None else say("{}, {} left", stage, duration(self.seconds_left))


class Session:
    """The connection, the jobs and the list of takes.

    jobs : by UUID, in the order they were asked for.  when_ended : called on the main thread with each job whose
    `outcome` was just decided; its take is on the disk then.  when_connected : called when the backend has told its
    models.
    """

    def __init__(self) -> None:
        self.client: Client | None = None
        self.connection: Connection = "off"
        self.version = ""
        self.max_upload = 0
        self.takes_also: frozenset[str] = frozenset()  # optional parts of a shot that the backend knows
        self.models: tuple[ModelInfo, ...] = ()
        self.problem: Message | None = None  # why there is no connection
        self.message: Message | None = None  # what happened last
        self.notices: list[Message] = []  # how something ended, to be told in the status bar as well
        self.jobs: dict[str, Job] = {}
        self.enquiries: dict[str, Answer | None] = {}  # by UUID; None while there is no answer
        self.when_ended: list[Callable[[Job], None]] = []
        self.when_connected: list[Callable[[], None]] = []
        self.wanted = False  # the panel was drawn: somebody wants to know
        self.listed: list[Listed] = []
        self.shot: Path | None = None  # whose takes are listed: where new ones go
        self.also: tuple[Path, ...] = ()  # where earlier ones of it went
        self.shots: tuple[tuple[str, int], ...] = ()  # all shots that have takes, and how many
        self.disk = Disk()
        self._shelf = Shelf()
        self._read_of: Path | None = None  # the shot that `listed` was read of

    @property
    def job(self) -> Job | None:
        """The job that the backend works on, else the first that waits."""
        running = (job for job in self.jobs.values() if not job.position and job.unsent is None)
        return next(running, next(iter(self.jobs.values()), None))

    @property
    def nobody_here(self) -> bool:
        """Whether all that is wrong is that no backend runs on this machine, or that it has ended."""
        told = self.problem
        ended = told is not None and told.remedy == filled(NO_ANSWER) and not preferences.settings().address
        return ended or (told is not None and told.text == sentence(filled(NOBODY[0])))

    @property
    def lost(self) -> Message | None:
        """Why nothing is heard of the jobs, and what to do; None while all is well."""
        if not self.jobs or self.connection != "disconnected":
            return None
        if self.nobody_here:
            remedy = say("Start it in the Backend panel, and the job goes on")
            return Message(sentence(filled(NOBODY[0])), remedy, True)
        return self.problem

    @property
    def is_waiting(self) -> bool:
        """Whether a backend is there that has not answered yet: its machine may be busy."""
        return self.client is not None and self.client.is_waiting

    @property
    def takes(self) -> list[Take]:
        """The takes of the shot, newest first."""
        return [item.take for item in self.listed]

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
        for job in self.jobs.values():
            self._ask_for(job)

    def disconnect(self) -> None:
        """Stop the client; jobs go on at the backend and are asked for on the next `connect`."""
        client, self.client = self.client, None
        self.connection, self.models, self.version, self.problem = "off", (), "", None
        self.enquiries.clear()
        if client is not None:
            client.close()

    def close(self) -> None:
        """Stop everything: the add-on is going.  What has arrived is still written."""
        self.disconnect()
        self.disk.close()
        self.jobs.clear()
        self.forget_list()
        self.message, self.wanted = None, False

    # ---- enquiries ---------------------------------------------------------------------------------------

    def enquire(self, outline: events.Submit, *, look: bool) -> str:
        """Ask whether the backend would take such a shot (codec.outline); `enquiries` has the answer once it came."""
        self.connect()
        assert self.client is not None
        self.enquiries[outline.job] = None
        return self.client.enquire(outline, look=look)

    def drop_enquiry(self, job: str) -> None:
        """Its answer was read, or is not wanted any more."""
        if job in self.enquiries and self.enquiries.pop(job) is None and self.client is not None:
            self.client.cancel(job)

    # ---- jobs --------------------------------------------------------------------------------------------

    def submit(self, take: Take, shot: Shot, settings: RenderSettings, scene: str, batch: str = "") -> Job:
        """Send a shot whose take is open, and follow it from now on.  Raises FarplaneError without a connection.

        take.job : the UUID to use, written on the disk already, or empty.
        """
        self.connect()
        fresh = not take.job
        take.job = take.job or codec.new_job()
        job = Job(take.job, take, scene, batch, unsent=(shot, settings))
        if fresh:
            self.disk.do(take.save, lambda told: self._unless_error(job, told))
        self.message = None
        return self.follow(job)

    def follow(self, job: Job) -> Job:
        """Take part in a job from now on: send it if it is unsent, else ask for all that it has made so far."""
        self.jobs[job.id] = job
        if self.client is not None:
            self._ask_for(job)
        if self._is_listed(job.take.folder.parent):
            self.list_takes(self.shot or job.take.folder.parent, self.also)  # in the list from now on, as being made
        return job

    def cancel(self, which: str | None = None) -> None:
        """Ask for a job to be stopped, by its UUID, or for every job.  Without a connection it ends here and now."""
        for job in [job for job in self.jobs.values() if which in (None, job.id)]:
            self._stop(job)
            if self.connection == "disconnected":
                self._end(job, "cancelled", Message(say("Cancelled"), say("The backend hears of it once it is back")))

    def _stop(self, job: Job) -> None:
        job.cancelling = True
        if self.client is not None:
            self.client.cancel(job.id)

    def _ask_for(self, job: Job) -> None:
        client = self.client
        assert client is not None
        if job.unsent is None:
            client.attach(job.id)
            return
        shot, settings = job.unsent
        # Checking every pixel of a long shot's depth takes its time.
        self.disk.do(lambda: client.submit(shot, settings, job.id), lambda told: self._unless_error(job, told))

    def poll(self) -> bool:
        """Take everything that has come since the last call; return whether anything changed.  Never blocks."""
        changed = self.disk.poll()
        if self.client is None or self.disk.held > MAX_WAITING:
            return changed
        for event in self.client.poll():
            changed = True
            self._take(event)
        return changed

    def _take(self, event: Event) -> None:
        match event:
            case events.Connected():
                self.connection, self.problem = "connected", None
                if self.message is not None and self.message.field == "backend":
                    self.message = None
                self.models, self.version, self.max_upload = event.models, event.version, event.max_upload
                self.takes_also = event.takes
                for listener in list(self.when_connected):
                    listener()
            case events.Disconnected():
                self.connection = "disconnected"
                self.problem = Message(sentence(filled(event.problem)), filled(event.remedy), True)
            case _ if event.job in self.jobs:
                self._take_of_job(self.jobs[event.job], event)
            case events.Admissible() | events.Failed() if event.job in self.enquiries:
                self.enquiries[event.job] = event

    def _take_of_job(self, job: Job, event: Event) -> None:
        match event:
            case events.Uploading():
                job.enter("upload")
                job.step, job.total = event.sent, event.total
            case events.Accepted():
                job.position, job.unsent = event.position or None, None
                self._note_backend(job)
            case events.Progress():
                job.began = job.began or time.monotonic()
                job.enter(event.stage)
                job.position = job.unsent = None
                job.step, job.total = event.step, event.total
                job.seconds_left = event.seconds_left
            case events.Preview():
                job.preview = event.png
            case events.FrameReady():
                self._write(job, len(event.exr), job.take.write_frame, event.frame, event.exr, event.sha256)
            case events.ArtifactReady():
                self._write(job, len(event.data), job.take.write_artifact, event.name, event.data, event.sha256)
            case events.Cancelling():
                job.cancelling = True
            case events.Finished():
                job.enter(job.stage)
                self.disk.do(lambda: _finish(job), lambda told: self._finished(job, told))
            case events.Cancelled():
                self._forget(job)
                self._end(job, "cancelled", Message(say("Cancelled")))
            case events.Failed():
                self._end(job, "failed", Message.of(FarplaneError(event.field, event.problem, event.remedy)))

    def _write(self, job: Job, size: int, write: Callable[..., Any], *values: Any) -> None:
        self.disk.do(lambda: job.outcome or write(*values), lambda told: self._unless_error(job, told), size)

    def _unless_error(self, job: Job, told: Any) -> bool:
        """A damaged frame or a full disk ends the job.  Returns whether all is well."""
        if not isinstance(told, FarplaneError):
            return True
        if job.id in self.jobs:
            self._stop(job)
            self._end(job, "failed", Message.of(told))
        return False

    def _finished(self, job: Job, told: Any) -> None:
        if self._unless_error(job, told) and job.id in self.jobs:
            self._forget(job)
            name = job.take.label
            if not self._is_listed(job.take.folder.parent):
                name = f"{job.take.folder.parent.name}/{name}"
            self._end(job, "finished", Message(say("{} is here", name), take=job.take.folder))

    def _backend_key(self) -> str:
        """The public key of the backend that is spoken to; empty when there is none."""
        target = self.client.target() if self.client is not None else None
        return target[1] if target else ""

    def _note_backend(self, job: Job) -> None:
        """Write down who has the job, so that it is found there after Blender was closed (resume.py)."""
        key = self._backend_key()
        if key and job.take.backend != key:
            job.take.backend = key
            self.disk.do(job.take.save, lambda told: self._unless_error(job, told))

    def _forget(self, job: Job) -> None:
        if self.client is not None:
            self.client.forget(job.id)

    def _end(self, job: Job, outcome: Outcome, message: Message) -> None:
        """The job is over once its take is as it stays, and the list knows it.  What comes after the first end is none."""
        if job.outcome:
            return
        job.outcome = outcome
        shot_folder = job.take.folder.parent
        elsewhere = outcome == "failed" and job.take.backend not in ("", self._backend_key())
        if elsewhere:
            problem = say("{} is made by another backend", job.take.label)
            message = Message(problem, say("Connect to that one again"), True)

        listed = self._is_listed(shot_folder)
        folders = (self.shot or shot_folder, *self.also)

        def tidy() -> _Listing | None:
            if not elsewhere:
                job.take.end(outcome)
            return self._read(folders) if listed else None

        def tell(told: Any) -> None:
            self.jobs.pop(job.id, None)
            self.message = message
            if outcome != "cancelled" and not job.batch:
                self.notices.append(message)
            if isinstance(told, _Listing) and self.shot in (None, folders[0]):
                self._show(told)
            for listener in list(self.when_ended):
                listener(job)

        self.disk.do(tidy, tell)

    # ---- takes -------------------------------------------------------------------------------------------

    def find(self, folder: Path) -> Listed | None:
        """The listed take in `folder`."""
        return next((item for item in self.listed if item.take.folder == folder), None)

    def is_being_made(self, folder: Path) -> bool:
        """Whether a job still writes into this take."""
        return any(job.take.folder == folder for job in self.jobs.values())

    def reread(self, shot_folder: Path) -> None:
        """Show at once what was just changed on the disk."""
        if self._is_listed(shot_folder):
            self._show(self._read((self.shot or shot_folder, *self.also)))

    def list_takes(self, shot_folder: Path | None, also: tuple[Path, ...] = (), *, unless_listed: bool = False) -> None:
        """Read the takes of a shot from the disk; the list is another one when that is done.

        also : folders of earlier takes of the same shot.
        """
        if shot_folder is None or (unless_listed and (shot_folder, also) == (self.shot, self.also)):
            return
        self.shot, self.also = shot_folder, also

        def show(told: Any) -> None:
            if isinstance(told, _Listing) and self.shot == shot_folder:
                self._show(told)

        self.disk.do(lambda: self._read((shot_folder, *also)), show)

    def forget_list(self) -> None:
        """It is of another file, or lies elsewhere now: the next look finds it anew."""
        self.listed, self.shot, self.also, self.shots = [], None, (), ()

    def _is_listed(self, shot_folder: Path) -> bool:
        return self.shot is None or shot_folder == self.shot or shot_folder in self.also

    def _read(self, folders: tuple[Path, ...]) -> _Listing:
        roots = tuple(dict.fromkeys(folder.parent for folder in folders))
        return _Listing(folders[0], self._shelf.read(*folders), self._shelf.shots(*roots))

    def _show(self, found: _Listing) -> None:
        self.shot = self._read_of = found.shot
        self.listed, self.shots = found.takes, found.shots

    # ---- what is said ------------------------------------------------------------------------------------

    def outlived(self, landed: Callable[[], set[str]]) -> bool:
        """Whether the cause of the message is gone.  landed : the ids of all landings of the file."""
        told = self.message
        if told is None:
            return False
        if told.landing:
            return told.landing not in landed()
        if told.take is None or self._read_of != self.shot or told.take.parent not in (self.shot, *self.also):
            return False
        return self.find(told.take) is None and not self.is_being_made(told.take)


@dataclass(frozen=True)
class _Listing:
    """What was read from the disk: the takes of a shot, and which other shots have takes."""

    shot: Path
    takes: list[Listed]
    shots: tuple[tuple[str, int], ...]


def _finish(job: Job) -> None:
    """The last files of a take.  In the disk's thread."""
    if job.outcome:
        return
    job.take.write_thumbnail(job.preview)
    if job.began:
        job.take.seconds = round(time.monotonic() - job.began, 2)
    job.take.finish()


session = Session()


def user_folder(name: str) -> Path:
    """A folder of ours among this user's Blender files."""
    if preferences.PACKAGE.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(preferences.PACKAGE, path=name, create=True))
    return Path(bpy.utils.user_resource("DATAFILES", path="farplane", create=True)) / name


def keep_hint(path: Path, data: bytes) -> None:
    """Have the disk's thread write what makes the next time easier; never worth an error."""

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        takes.write_atomic(path, data)

    session.disk.do(write, lambda told: None)
