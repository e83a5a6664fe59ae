"""What the client says to the backend and makes of its answers.  No sockets, no threads, no bpy.

`Conversation` keeps one record per job that has not ended.  It outlives connections: after a break every job that
the backend has is attached to again and every one that it may not have is submitted again, so that a frame is
handed on once, whole and checked, whatever happened in between.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ..protocol import codec, events
from ..protocol.events import BackendMessage, Event, Item, ItemInfo, LocalProtocolError, Message
from ..protocol.schema import CHUNK, WINDOW
from ..protocol.session import Session
from ..protocol.shot import RenderSettings, Shot

MAX_TRIES = 3  # fetches of a result that arrives damaged


@dataclass
class _Arriving:
    """A result on its way.  data : as far as it is here.  asked : bytes that were asked for."""

    info: ItemInfo
    data: bytearray = field(default_factory=bytearray)
    asked: int = 0


@dataclass
class _Job:
    """One job that has not ended, as far as the caller knows.

    submit, buffers : what to send, until the backend has it.  digest : of what was submitted here, or empty.
    cancel : the caller wants it stopped.  known : results that the backend has named.
    delivered : SHA-256 of those that were handed on.  ending : what to say when the last result is here.
    enquiry : only the answer to its submit is wanted, with `look` also what the backend finds in its model's files.
    """

    id: str
    submit: events.Submit | None = None
    buffers: list[memoryview] = field(default_factory=list)
    digest: str = ""
    cancel: bool = False
    offered: bool = False
    known: dict[Item, ItemInfo] = field(default_factory=dict)
    wanted: dict[Item, ItemInfo] = field(default_factory=dict)
    arriving: dict[Item, _Arriving] = field(default_factory=dict)
    delivered: dict[Item, str] = field(default_factory=dict)
    tries: dict[Item, int] = field(default_factory=dict)
    last: dict[type, Event] = field(default_factory=dict)  # Accepted and Progress, for who attaches again
    ending: events.Finished | None = None
    enquiry: bool = False
    look: bool = False


class Conversation:
    """The client's side of everything that is said.

    emit : takes each event for the caller.
    room : whether a result may be fetched now, by the bytes on their way and its own.
    out : messages to send, in order.  restart : what is wanted needs a new connection.
    """

    def __init__(self, emit: Callable[[Event], None], room: Callable[[int, int], bool]) -> None:
        self.out: deque[list[bytes | memoryview]] = deque()
        self.is_open = False
        self.restart = False
        self._emit = emit
        self._room = room
        self._session: Session | None = None
        self._max_upload = 0
        self._takes: frozenset[str] = frozenset()
        self._jobs: dict[str, _Job] = {}
        self._digests: dict[str, str] = {}  # of jobs that ended; a UUID stays taken
        self._forget: set[str] = set()

    # -------------------------------------------------------------------------------------------------
    # What the caller wants

    def submit(self, job: str, shot: Shot, settings: RenderSettings) -> None:
        """Send a shot, now or when there is a connection."""
        submit, buffers = codec.describe(job, shot, settings)
        digest = codec.digest(submit)
        old = self._jobs.get(job)
        if (old.digest if old else self._digests.get(job, digest)) != digest:
            problem = "its UUID already belongs to another shot"
            self._emit(events.Failed(job, "job", problem, "Leave the UUID out, and a new one is made"))
        elif old is not None:
            self._replay(old)
        elif job in self._digests:
            self.attach(job)
        elif self._can_say(submit):
            self._jobs[job] = record = _Job(job, submit, buffers, digest)
            if self.is_open:
                self._begin(record)

    def _can_say(self, submit: events.Submit) -> bool:
        """Whether it keeps the wire's bounds; else its job has failed."""
        try:
            codec.encode(submit)
        except LocalProtocolError as error:
            self._emit(events.Failed(submit.job, "shot", str(error), "Check the shot's name and prompt"))
            return False
        return True

    def enquire(self, submit: events.Submit, look: bool) -> None:
        """Ask whether the backend would take such a shot (codec.outline): Admissible or Failed is the answer.

        look : wait until it has looked into the model's files, too.
        """
        record = _Job(submit.job, submit, enquiry=True, look=look)
        if self._can_say(submit):
            self._jobs[submit.job] = record
            if self.is_open:
                self._begin(record)

    def attach(self, job: str) -> None:
        """Hear everything about a job once more."""
        record = self._jobs.get(job)
        if record is None:
            self._jobs[job] = record = _Job(job, digest=self._digests.get(job, ""))
            if self.is_open:
                self._begin(record)
        else:
            record.delivered.clear()
            record.wanted = {item: info for item, info in record.known.items() if item not in record.arriving}
            self._replay(record)

    def cancel(self, job: str) -> None:
        """Have a job stopped."""
        record = self._jobs.get(job)
        if record is None:
            self.attach(job)
            record = self._jobs[job]
        record.cancel = True
        if record.submit is not None and not record.offered:
            self._end(record, events.Cancelled(job))
            self._digests.pop(job, None)  # it never left
        elif self.is_open:
            self._say_cancel(record)

    def forget(self, job: str) -> None:
        """Tell the backend that this job's results may be deleted."""
        self._forget.add(job)
        if self.is_open:
            self._say_forget(job)

    def _replay(self, record: _Job) -> None:
        for event in record.last.values():
            self._emit(event)

    # -------------------------------------------------------------------------------------------------
    # Connections come and go

    def connected(self) -> None:
        """The socket is through: introduce ourselves."""
        self._session = Session("client")
        self._say(events.Hello("farplane"))

    def lost(self) -> None:
        """The connection is gone, with all that was on its way."""
        self._session = None
        self.is_open = self.restart = False
        self.out.clear()
        for record in self._jobs.values():
            for arriving in record.arriving.values():
                arriving.asked = len(arriving.data)

    def receive(self, message: BackendMessage) -> None:
        """Take one message.  Raises RemoteProtocolError when the backend may not say it now."""
        assert self._session is not None
        self._session.receive(message)
        if isinstance(message, events.Welcome):
            self._welcome(message)
            return
        if message.job is None:
            return  # a refused connection; the caller ends it
        record = self._jobs.get(message.job)
        if isinstance(message, events.Forgotten):
            self._forget.discard(message.job)
        elif record is not None:
            self._about(record, message)
        elif isinstance(message, events.Refused):
            self._forget.discard(message.job)

    def _welcome(self, message: events.Welcome) -> None:
        self.is_open = True
        self._max_upload = message.max_upload
        self._takes = message.takes
        self._emit(events.Connected(message.models, message.version, message.max_upload, message.takes))
        for record in list(self._jobs.values()):
            self._begin(record)
        for job in list(self._forget):
            self._say_forget(job)

    def _begin(self, record: _Job) -> None:
        """Tell a new connection about a job."""
        assert self._session is not None
        if record.submit is not None:  # for good: whatever backend comes after this one, it stays the same shot
            record.submit, record.buffers = codec.known_to(self._takes, record.submit, record.buffers)
        submit = None if record.cancel and record.offered else record.submit
        message = submit or events.Attach(record.id)
        if not self._session.may_send(message):
            self.restart = True  # the backend still tells what was given up here, or the session is full
            return
        if submit is not None and (size := codec.upload_size(submit)) > self._max_upload:
            problem = f"{size / 2**20:.0f} MiB are more than the backend takes ({self._max_upload / 2**20:.0f} MiB)"
            self._end(record, events.Failed(record.id, "shot", problem, "Render fewer frames or lower the resolution"))
            return
        record.offered = record.offered or submit is not None
        self._say(message)
        if record.enquiry and not record.look:
            self._say_cancel(record)  # refused or cancelled is the answer, and comes at once

    # -------------------------------------------------------------------------------------------------
    # Messages about one job

    def _about(self, record: _Job, message: BackendMessage) -> None:
        if record.enquiry:
            self._about_enquiry(record, message)
        elif isinstance(message, events.Credit):
            self._upload(record, message)
        elif isinstance(message, events.Accepted):
            self._accepted(record, message)
        elif isinstance(message, events.Items):
            for info in message.items:
                self._named(record, info)
        elif isinstance(message, events.Chunk):
            self._chunk(record, message)
        elif isinstance(message, events.Finished):
            record.ending, record.cancel = message, False  # it was quicker than the wish
            self._perhaps_end(record)
        elif isinstance(message, events.Refused) and message.field == events.FETCH:
            self._end(record, events.Failed(record.id, "frame", message.problem, message.remedy))
        elif isinstance(message, events.Refused):
            if record.cancel:
                self._end(record, events.Cancelled(record.id))  # there is nothing left to stop
            else:
                self._end(record, events.Failed(record.id, message.field, message.problem, message.remedy))
            self._digests.pop(record.id, None)  # the backend does not have it; it may be sent again
        elif isinstance(message, events.Failed):
            if self._state(record.id) != "attaching":  # else it answers a fetch from before
                self._end(record, message)
        elif isinstance(message, events.Cancelled):
            self._end(record, message)
        elif isinstance(message, (events.Progress, events.Preview, events.Cancelling)):
            if isinstance(message, events.Progress):
                record.last[events.Progress] = message
            self._emit(message)

    def _about_enquiry(self, record: _Job, message: BackendMessage) -> None:
        """Credit is a yes: nothing goes up, and the job is taken back."""
        if isinstance(message, events.Credit):
            self._say_cancel(record)
        elif isinstance(message, events.Refused):
            self._end(record, events.Failed(record.id, message.field, message.problem, message.remedy))
        elif isinstance(message, events.Cancelled):
            self._end(record, events.Admissible(record.id))
            self.forget(record.id)  # of both sides' tables

    def _upload(self, record: _Job, credit: events.Credit) -> None:
        if record.submit is None or record.cancel:
            return
        total = codec.upload_size(record.submit)
        for offset, data in codec.pieces(record.buffers, credit.offset, credit.chunks):
            self._say(events.Upload(record.id, offset, data))
            self._emit(events.Uploading(record.id, offset + len(data), total))

    def _accepted(self, record: _Job, message: events.Accepted) -> None:
        record.submit, record.buffers = None, []
        record.last[events.Accepted] = message
        self._emit(message)
        if record.cancel:
            self._say_cancel(record)

    def _named(self, record: _Job, info: ItemInfo) -> None:
        """The backend has a result: want it unless it is here or on its way."""
        record.known[info.item] = info
        if record.delivered.get(info.item) == info.sha256:
            return
        arriving = record.arriving.get(info.item)
        if arriving is not None and arriving.info == info:
            return
        record.arriving.pop(info.item, None)
        record.wanted[info.item] = info

    def _chunk(self, record: _Job, chunk: events.Chunk) -> None:
        arriving = record.arriving.get(chunk.item)
        if arriving is None:
            return  # of a result that is not wanted any more
        offset, size = len(arriving.data), arriving.info.size
        if chunk.offset != offset or len(chunk.data) != min(CHUNK, size - offset):
            return  # of the same result in an earlier run
        arriving.data += chunk.data
        if len(arriving.data) < size:
            return
        del record.arriving[chunk.item]
        info = arriving.info
        if hashlib.sha256(arriving.data).hexdigest() != info.sha256:
            record.tries[info.item] = record.tries.get(info.item, 0) + 1
            if record.tries[info.item] >= MAX_TRIES:
                problem = f"{info.item} arrived damaged {MAX_TRIES} times"
                self._end(
                    record, events.Failed(record.id, "frame", problem, "Check the backend's disk and render again")
                )
            else:
                record.wanted[info.item] = info
            return
        record.delivered[info.item] = info.sha256
        data = bytes(arriving.data)
        if isinstance(info.item, int):
            self._emit(events.FrameReady(record.id, info.item, data, info.sha256))
        else:
            self._emit(events.ArtifactReady(record.id, info.item, data, info.sha256))
        self._perhaps_end(record)

    def _perhaps_end(self, record: _Job) -> None:
        if record.ending is None or record.wanted or record.arriving:
            return
        if len(record.known) != record.ending.items:
            problem = f"it announced {record.ending.items} results and named {len(record.known)}"
            self._end(record, events.Failed(record.id, "backend", problem, "Render the shot again"))
        else:
            self._end(record, record.ending)

    def _end(self, record: _Job, event: Event) -> None:
        self._jobs.pop(record.id, None)
        if record.digest:
            self._digests[record.id] = record.digest
        self._emit(event)

    # -------------------------------------------------------------------------------------------------
    # Saying

    def fetch(self) -> None:
        """Ask for results, as far as the window and the caller's room allow."""
        if not self.is_open:
            return
        on_the_way = sum(_chunks(a.asked - len(a.data)) for r in self._jobs.values() for a in r.arriving.values())
        for record in self._jobs.values():
            while on_the_way < WINDOW and not record.cancel:
                arriving = self._next(record)
                if arriving is None:
                    break
                left = arriving.info.size - arriving.asked
                count = min(WINDOW - on_the_way, _chunks(left))
                message = events.Fetch(record.id, arriving.info.item, arriving.asked, count)
                if not self._session or not self._session.may_send(message):
                    break
                arriving.asked += min(left, count * CHUNK)
                on_the_way += count
                self._say(message)

    def _next(self, record: _Job) -> _Arriving | None:
        """A result that is not fully asked for; begins the next wanted one when there is room."""
        for arriving in record.arriving.values():
            if arriving.asked < arriving.info.size:
                return arriving
        if not record.wanted:
            return None
        info = next(iter(record.wanted.values()))
        coming = sum(a.info.size for r in self._jobs.values() for a in r.arriving.values())
        if not self._room(coming, info.size):
            return None
        del record.wanted[info.item]
        record.arriving[info.item] = arriving = _Arriving(info)
        return arriving

    def _say_cancel(self, record: _Job) -> None:
        message = events.Cancel(record.id)
        if self._session and self._session.may_send(message):
            self._say(message)

    def _say_forget(self, job: str) -> None:
        message = events.Forget(job)
        if self._session and self._session.may_send(message):
            self._say(message)
        else:
            self._forget.discard(job)  # it has not ended

    def _say(self, message: Message) -> None:
        parts = codec.encode(message)
        assert self._session is not None
        self._session.send(message)
        self.out.append(parts)

    def _state(self, job: str) -> str:
        return self._session.job(job) if self._session else "none"


def _chunks(size: int) -> int:
    return -(-size // CHUNK)
