"""Who may say what, and when: transition tables for both sides of one connection.  No sockets.

A connection begins with `hello` and `welcome`; then every job on it walks through its own table.  The two sides
have a table each, because messages cross on their way: a backend that has already said `finished` may still read
a `cancel`.  What one side may send, the other may receive, in every interleaving (tests/protocol/test_session.py
walks through all of them).  docs/protocol.md prints these tables.

One word stands in two rows: `refused` with the field `fetch` answers a fetch that cannot be served, and leaves the job
as it is.  Any other `refused` about a job means that there is no such job here.

`Session` follows one connection from one side.  A message that is not in the table raises LocalProtocolError when
this side was about to send it, RemoteProtocolError when it arrived.
"""

from __future__ import annotations

from typing import Literal

from .events import FETCH, LocalProtocolError, Message, ProtocolError, Refused, RemoteProtocolError
from .schema import FROM_BACKEND, FROM_CLIENT, NAMES

Table = dict[str, dict[str, str]]  # state -> message -> state

MAX_JOBS = 4096  # jobs on one connection
REFUSED_FETCH = "refused (fetch)"

# Both sides.  refused: the one without a job, which ends the connection; from "new", the answer to what is no hello.
CONNECTION: Table = {
    "new": {"hello": "greeted", "refused": "closed"},
    "greeted": {"welcome": "open", "refused": "closed"},
    "open": {"refused": "closed"},
    "closed": {},
}

# A job as the client sees it on this connection.
CLIENT_JOB: Table = {
    "none": {"submit": "offered", "attach": "attaching", "forget": "forgetting"},
    "offered": {"credit": "uploading", "accepted": "queued", "refused": "none", "cancel": "cancelling"},
    "uploading": {
        "upload": "uploading",
        "credit": "uploading",
        "accepted": "queued",
        "refused": "none",
        "cancel": "cancelling",
    },
    # chunk, failed, refused (fetch): answers to a fetch that was under way when the ended job was attached to again.
    "attaching": {
        "accepted": "queued",
        "refused": "none",
        "chunk": "attaching",
        "failed": "attaching",
        REFUSED_FETCH: "attaching",
    },
    "queued": {
        "accepted": "queued",
        "progress": "running",
        "items": "queued",
        "fetch": "queued",
        "chunk": "queued",
        REFUSED_FETCH: "queued",
        "cancel": "cancelling",
        "cancelling": "cancelling",
        "finished": "finished",
        "failed": "failed",
        "cancelled": "cancelled",
    },
    "running": {
        "accepted": "queued",  # put back into the queue after the backend fell
        "progress": "running",
        "preview": "running",
        "items": "running",
        "fetch": "running",
        "chunk": "running",
        REFUSED_FETCH: "running",
        "cancel": "cancelling",
        "cancelling": "cancelling",
        "finished": "finished",
        "failed": "failed",
        "cancelled": "cancelled",
    },
    # All that was under way when the cancel left; a client that cancels fetches nothing until the job has ended.
    "cancelling": {
        "credit": "cancelling",
        "accepted": "cancelling",
        "progress": "cancelling",
        "preview": "cancelling",
        "items": "cancelling",
        "chunk": "cancelling",
        REFUSED_FETCH: "cancelling",
        "cancelling": "cancelling",
        "refused": "none",
        "finished": "finished",
        "failed": "failed",
        "cancelled": "cancelled",
    },
    **{
        ended: {
            "fetch": ended,
            "chunk": ended,
            REFUSED_FETCH: ended,
            "failed": "failed",
            "attach": "attaching",
            "forget": "forgetting",
        }
        for ended in ("finished", "failed", "cancelled")
    },
    "forgetting": {
        "forgotten": "none",
        "refused": "none",
        "chunk": "forgetting",
        "failed": "forgetting",
        REFUSED_FETCH: "forgetting",
    },
}

# The same job as the backend sees it.
BACKEND_JOB: Table = {
    # upload, cancel here and below: sent before the client read `refused` or `accepted`; passed over.
    "none": {"submit": "offered", "attach": "attaching", "forget": "forgetting", "upload": "none", "cancel": "none"},
    "offered": {"credit": "uploading", "accepted": "queued", "refused": "none", "cancel": "cancelling"},
    "uploading": {
        "upload": "uploading",
        "credit": "uploading",
        "accepted": "queued",
        "refused": "none",
        "cancel": "cancelling",
    },
    "attaching": {"accepted": "queued", "refused": "none", "upload": "attaching"},
    "queued": {
        "accepted": "queued",
        "progress": "running",
        "items": "queued",
        "fetch": "queued",
        "upload": "queued",
        "chunk": "queued",
        REFUSED_FETCH: "queued",
        "cancel": "cancelling",
        "cancelling": "cancelling",
        "finished": "finished",
        "failed": "failed",
        "cancelled": "cancelled",
    },
    "running": {
        "accepted": "queued",
        "progress": "running",
        "preview": "running",
        "items": "running",
        "fetch": "running",
        "upload": "running",
        "chunk": "running",
        REFUSED_FETCH: "running",
        "cancel": "cancelling",
        "cancelling": "cancelling",
        "finished": "finished",
        "failed": "failed",
        "cancelled": "cancelled",
    },
    "cancelling": {
        "progress": "cancelling",
        "preview": "cancelling",
        "items": "cancelling",
        "fetch": "cancelling",
        "upload": "cancelling",
        "chunk": "cancelling",
        REFUSED_FETCH: "cancelling",
        "cancel": "cancelling",
        "cancelling": "cancelling",
        "finished": "finished",
        "failed": "failed",
        "cancelled": "cancelled",
    },
    # cancel: sent before the client read how the job ended; it changes nothing.
    **{
        ended: {
            "fetch": ended,
            "upload": ended,
            "chunk": ended,
            REFUSED_FETCH: ended,
            "cancel": ended,
            "failed": "failed",
            "attach": "attaching",
            "forget": "forgetting",
        }
        for ended in ("finished", "failed", "cancelled")
    },
    "forgetting": {"forgotten": "none", "refused": "none", "upload": "forgetting"},
}

Side = Literal["client", "backend"]


def word(message: Message) -> str:
    """The name under which the tables know a message."""
    if isinstance(message, Refused) and message.job is not None and message.field == FETCH:
        return REFUSED_FETCH
    return NAMES[type(message)]


class Session:
    """One connection, followed from one side.  It holds two things: `connection` and the state of each job."""

    def __init__(self, side: Side) -> None:
        self.connection = "new"
        self._table = CLIENT_JOB if side == "client" else BACKEND_JOB
        self._sends = FROM_CLIENT if side == "client" else FROM_BACKEND
        self._jobs: dict[str, str] = {}  # those that are not in state "none"

    def job(self, job: str) -> str:
        """The state of a job on this connection."""
        return self._jobs.get(job, "none")

    @property
    def follows(self) -> bool:
        """Whether there is a job that this connection waits for."""
        return any(state not in ("finished", "failed", "cancelled") for state in self._jobs.values())

    def may_send(self, message: Message) -> bool:
        """Whether `send` would raise nothing."""
        try:
            self._next(message, LocalProtocolError)
        except LocalProtocolError:
            return False
        return NAMES[type(message)] in self._sends

    def send(self, message: Message) -> None:
        """Note that this side sends a message.  Raises LocalProtocolError, and changes nothing, if it may not."""
        if NAMES[type(message)] not in self._sends:
            raise LocalProtocolError(f"{NAMES[type(message)]} is for the other side to say")
        self._step(message, LocalProtocolError)

    def receive(self, message: Message) -> None:
        """Note that a message arrived.  Raises RemoteProtocolError, and changes nothing, if it may not."""
        if NAMES[type(message)] in self._sends:
            raise RemoteProtocolError(f"{NAMES[type(message)]} is for this side to say")
        self._step(message, RemoteProtocolError)

    def _step(self, message: Message, error: type[ProtocolError]) -> None:
        job, state = self._next(message, error)
        if job is None:
            self.connection = state
        elif state == "none":
            self._jobs.pop(job, None)
        else:
            self._jobs[job] = state

    def _next(self, message: Message, error: type[ProtocolError]) -> tuple[str | None, str]:
        """The job that a message is about (None: the connection) and the state it leads to."""
        name = word(message)
        job: str | None = getattr(message, "job", None)
        if job is None:
            if name not in CONNECTION[self.connection]:
                raise error(f"{name} may not come in a connection that is {self.connection}")
            return None, CONNECTION[self.connection][name]
        if self.connection != "open":
            raise error(f"{name} may not come in a connection that is {self.connection}")
        state = self.job(job)
        if name not in self._table[state]:
            raise error(f"{name} may not come for a job that is {state}")
        if job not in self._jobs and len(self._jobs) >= MAX_JOBS:
            raise error(f"more than {MAX_JOBS} jobs in one connection")
        return job, self._table[state][name]
