"""What the backend does about each message and each word of its worker.  No sockets.

`Dispatch` is driven from one thread: `receive` for a client's message, `hear` for a worker's line, `checked` for an
upload that was looked at in a helper thread, `tick` for the time.  What is to be said waits in each `Peer` until
the server sends it.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ...protocol import codec, events
from ...protocol.errors import FarplaneError
from ...protocol.events import ItemInfo, Message, ModelInfo, ProtocolError, RemoteProtocolError
from ...protocol.schema import CHUNK, FROM_CLIENT, MAX_ITEMS, WINDOW
from ...protocol.shot import validate_length
from .incoming import Checked, Incoming
from .jobs import ENDED, JobRow, JobStore
from .offers import Fault, Offers
from .peer import Peer, Sending
from .refusals import CONFUSED, MAX_UPLOAD, STOPPED, check_submit, clip, disk_fault
from .spool import Upload
from .supervisor import Heard, Worker

log = logging.getLogger("farplane.service")

KILL_SECONDS = 10.0  # from a cancel to the end of a worker that does not obey
KEEP_SECONDS = 14 * 86400.0  # results of an ended job
MAX_FETCHES = 64  # open fetches of one peer
IDLE_SECONDS = 3600.0  # an upload whose sender has gone
CHECK_SECONDS = 60.0  # for the worker to say whether a shot's model loads; a cold start of it is most of that


class Dispatch:
    """The backend's mind: the queue, the uploads, the worker and the peers."""

    def __init__(
        self,
        store: JobStore,
        pipeline: str,
        models: Callable[[], Sequence[ModelInfo]],
        longest: Callable[[str], int | None],
        version: str,
        post: Callable[[object], None],
        kill_seconds: float = KILL_SECONDS,
        may_name: Callable[[str, str], bool] = lambda key, path: False,
    ) -> None:
        self.peers: list[Peer] = []
        self._store = store
        self._pipeline = pipeline
        self._offers = Offers(models, longest, may_name)
        self._version = version
        self._post = post
        self._kill_seconds = kill_seconds
        self._incoming: dict[str, Incoming] = {}
        self._checker = ThreadPoolExecutor(1, "farplane-checker")
        self._asked: set[str] = set()  # models that the worker was asked about and has not answered for
        self._worker = self._new_worker()
        self._ask_about(self._offers.ready())
        self._kill_at: float | None = None
        self._expire_at = 0.0
        self._progress: events.Progress | None = None  # of the running job
        self._stage_began = (0.0, 0)  # when, at which step
        store.recover()
        self._run_next()

    def close(self) -> None:
        """Stop the worker; a job that runs waits for the next start."""
        job = self._worker.job
        self._worker.stop()
        if job is not None:
            self._store.put_back(job)
        self._checker.shutdown(wait=True, cancel_futures=True)

    # -------------------------------------------------------------------------------------------------
    # Messages of clients

    def receive(self, peer: Peer, parts: Sequence[bytes | memoryview]) -> None:
        """Obey or refuse one message.  A broken rule ends the peer's session; others notice nothing."""
        if peer.session.connection == "closed":
            return
        try:
            message = codec.decode(parts, FROM_CLIENT)
            peer.session.receive(message)
            self._handlers[type(message)](self, peer, message)
        except events.VersionMismatch as error:
            self._end_session(peer, "version", str(error), "Install the same Farplane version on both sides")
        except RemoteProtocolError as error:
            self._end_session(peer, "protocol", str(error), "Install the same Farplane version on both sides")
        except sqlite3.Error as error:
            log.error("the queue's file: %s", error)
            self._end_session(
                peer, "disk", f"the backend cannot write its queue ({error})", "Free some disk space there"
            )

    def leave(self, peer: Peer) -> None:
        """The peer is gone."""
        if peer in self.peers:
            self.peers.remove(peer)
        peer.outbox.clear()
        peer.fetches.clear()
        for coming in self._incoming.values():
            if peer in coming.peers:
                sender = coming.peers[-1]
                coming.peers.remove(peer)
                if peer is sender:
                    self._grant_anew(coming)

    def _end_session(self, peer: Peer, name: str, problem: str, remedy: str) -> None:
        log.info("session ended: %s: %s", name, problem)
        peer.fetches.clear()
        peer.say(events.Refused(None, *clip(name, problem, remedy)))

    def _refuse(self, peer: Peer, job: str, name: str, problem: str, remedy: str) -> None:
        peer.say(events.Refused(job, *clip(name, problem, remedy)))

    def _on_hello(self, peer: Peer, message: events.Hello) -> None:
        log.info("hello from %s… (%s)", peer.key[:8], message.client)
        backend = "+".join((self._version.replace("+", "."), ".".join(sorted(events.EXTENSIONS))))
        peer.say(events.Welcome(backend, self._offers.told(), MAX_UPLOAD))
        self._ask_about(self._offers.ready())  # for the next one; this one is told with its shot

    def _on_submit(self, peer: Peer, message: events.Submit) -> None:
        job, digest = message.job, codec.digest(message)
        row, coming = self._store.get(job), self._incoming.get(job)
        known = row or coming
        if known is not None and (known.owner, known.digest) != (peer.key, digest):
            self._refuse(peer, job, "job", "its UUID already belongs to another shot", "Send the shot under a new UUID")
        elif row is not None:
            self._tell_all(peer, row)
        elif coming is not None:
            self._take_over(coming, peer)
        else:
            try:
                self._offers.check(message.settings.model, len(message.frames), peer.key)
                coming = sum(other.owner == peer.key for other in self._incoming.values())
                check_submit(message, self._store.waiting_of(peer.key) + coming, self._store.data)
                upload = Upload(self._store.folder(job), message)
            except FarplaneError as error:
                self._refuse(peer, job, error.field, error.problem, error.remedy)
            except OSError as error:
                self._refuse(peer, job, *disk_fault(error))
            else:
                self._incoming[job] = coming = Incoming(upload, peer.key, digest, [peer])
                coming.asking = self._ask_about([message.settings.model])
                self._grant_anew(coming)

    def _take_over(self, coming: Incoming, peer: Peer) -> None:
        """The same shot from another connection, most often of the same client after a break: it sends the rest."""
        if peer in coming.peers:
            coming.peers.remove(peer)
        coming.peers.append(peer)
        coming.cancelled = False
        self._grant_anew(coming)

    def _grant_anew(self, coming: Incoming) -> None:
        """Forget the credit of a sender that was replaced, and give the new one its own."""
        coming.upload.rewind()
        if coming.peers and not (coming.checking or coming.asking):
            self._grant(coming, WINDOW)

    def _grant(self, coming: Incoming, chunks: int) -> None:
        offset = coming.upload.grant(chunks)
        if offset < coming.upload.total:
            coming.peers[-1].say(events.Credit(coming.upload.submit.job, offset, chunks))

    def _on_upload(self, peer: Peer, message: events.Upload) -> None:
        coming = self._incoming.get(message.job)
        if coming is None or coming.peers[-1:] != [peer] or coming.checking:
            return  # sent before our last word arrived
        upload, coming.touched = coming.upload, time.monotonic()
        try:
            upload.write(message.offset, message.data)
        except RemoteProtocolError:
            self._drop(coming, ("upload", "another connection broke it off", "Send the shot again"), but=peer)
            raise
        except OSError as error:
            self._drop(coming, disk_fault(error))
            return
        if upload.offset == upload.total:
            coming.checking = True
            future = self._checker.submit(upload.finish)
            future.add_done_callback(lambda done: self._post(Checked(message.job, done.exception())))
        elif upload.granted - upload.offset <= WINDOW // 2 * CHUNK:
            self._grant(coming, WINDOW // 2)

    def _drop(self, coming: Incoming, fault: tuple[str, str, str], but: Peer | None = None) -> None:
        """Delete an upload and tell those who wait for it, `but` one."""
        job = coming.upload.submit.job
        self._incoming.pop(job, None)
        coming.upload.abandon()
        for peer in coming.peers:
            if peer is not but and peer.session.job(job) in ("offered", "uploading"):
                self._refuse(peer, job, *fault)

    def checked(self, done: Checked) -> None:
        """An upload is whole and was looked at: accept its job or refuse it."""
        coming = self._incoming.get(done.job)
        if coming is None:
            return
        error = done.error
        if error is None and not coming.cancelled:
            try:
                self._store.accept(done.job, coming.owner, coming.digest)
            except sqlite3.Error as problem:
                error = OSError(f"its queue: {problem}")
        if coming.cancelled:
            for peer in coming.peers:
                if peer.session.job(done.job) == "cancelling":
                    peer.say(events.Cancelled(done.job))
            self._drop(coming, STOPPED)
        elif isinstance(error, FarplaneError):
            self._drop(coming, (error.field, error.problem, error.remedy))
        elif isinstance(error, RemoteProtocolError):
            self._drop(coming, ("upload", "it arrived damaged", "Send the shot again"))
        elif error is not None:
            self._drop(coming, disk_fault(error))
        else:
            log.info("job %s accepted, %d bytes", done.job, coming.upload.total)
            del self._incoming[done.job]
            for peer in coming.peers:
                if peer.session.job(done.job) in ("offered", "uploading"):
                    peer.say(events.Accepted(done.job, self._store.position(done.job)))
            self._run_next()

    def _on_attach(self, peer: Peer, message: events.Attach) -> None:
        row = self._store.get(message.job)
        if row is None or row.owner != peer.key:
            self._refuse(peer, message.job, "job", "the backend does not know it", "Send the shot again")
        else:
            self._tell_all(peer, row)

    def _tell_all(self, peer: Peer, row: JobRow) -> None:
        """Everything about a job: where it stands, what it made, how it ended."""
        peer.say(events.Accepted(row.id, self._store.position(row.id)))
        items = self._store.items(row.id)
        for first in range(0, len(items), MAX_ITEMS):
            peer.say(events.Items(row.id, tuple(items[first : first + MAX_ITEMS])))
        if row.state in ("running", "cancelling") and self._progress and self._progress.job == row.id:
            peer.say(self._progress)
        if row.state == "cancelling":
            peer.say(events.Cancelling(row.id))
        if row.state in ENDED:
            peer.say(self._ending(row))

    def _ending(self, row: JobRow) -> Message:
        if row.state == "finished":
            return events.Finished(row.id, len(self._store.items(row.id)))
        return events.Failed(row.id, *row.fault) if row.state == "failed" else events.Cancelled(row.id)

    def _on_cancel(self, peer: Peer, message: events.Cancel) -> None:
        job = message.job
        if peer.session.job(job) != "cancelling":
            return  # it had ended, or was refused, before the wish arrived
        if (coming := self._incoming.get(job)) is not None:
            if coming.checking:
                coming.cancelled = True
                peer.say(events.Cancelling(job))
            else:
                peer.say(events.Cancelled(job))
                self._drop(coming, STOPPED)
            return
        row = self._store.get(job)
        if row is None or row.state in ENDED:
            peer.say(events.Cancelled(job) if row is None else self._ending(row))
        elif row.state == "queued":
            self._store.end(job, "cancelled")
            self._broadcast(events.Cancelled(job))
            self._tell_positions()
        else:
            self._store.set_cancelling(job)
            self._broadcast(events.Cancelling(job))
            if self._kill_at is None:
                self._worker.cancel()
                self._kill_at = time.monotonic() + self._kill_seconds

    def _on_fetch(self, peer: Peer, message: events.Fetch) -> None:
        found = self._store.item(message.job, message.item)
        if found is None:
            problem = f"{message.item} is not on the backend's disk any more"
            peer.say(events.Failed(message.job, "job", problem, "Render the shot again"))
            return
        path, size = found
        if message.offset >= size or len(peer.fetches) >= MAX_FETCHES:
            raise RemoteProtocolError("fetch: beyond the item's end, or too many at once")
        left = min(size - message.offset, message.chunks * CHUNK)
        peer.fetches.append(Sending(message.job, message.item, path, message.offset, left))

    def _on_forget(self, peer: Peer, message: events.Forget) -> None:
        row = self._store.get(message.job)
        if row is not None and row.owner == peer.key and row.state not in ENDED:
            self._refuse(peer, message.job, "job", "it has not ended yet", "Cancel it first")
            return
        peer.fetches = deque(sending for sending in peer.fetches if sending.job != message.job)
        if row is not None and row.owner == peer.key:
            self._store.forget(message.job)
        peer.say(events.Forgotten(message.job))

    _handlers: dict[type, Callable[[Dispatch, Peer, Any], None]] = {
        events.Hello: _on_hello,
        events.Submit: _on_submit,
        events.Upload: _on_upload,
        events.Attach: _on_attach,
        events.Cancel: _on_cancel,
        events.Fetch: _on_fetch,
        events.Forget: _on_forget,
    }

    # -------------------------------------------------------------------------------------------------
    # The queue and the worker

    def _new_worker(self) -> Worker:
        self._asked.clear()
        return Worker(self._pipeline, self._store.data / "worker.log", self._post)

    def _ask_about(self, models: Sequence[str]) -> bool:
        """Ask the worker whether models would load, since torch is there.  False when there is no worker to ask."""
        if not self._worker.usable and self._worker.job is None:
            self._worker = self._new_worker()
        if not self._worker.usable:
            return False
        for name in set(models) - self._asked:
            self._asked.add(name)
            self._worker.check(name)
        return True

    def _answered(self, model: str, fault: Fault | None, longest: int | None) -> None:
        """The worker knows whether a model loads, and its longest shot: go on with those that want it, or refuse."""
        self._asked.discard(model)
        self._offers.learn(model, fault)
        for coming in list(self._incoming.values()):
            submit = coming.upload.submit
            if not coming.asking or submit.settings.model != model:
                continue
            try:
                if fault is not None:
                    raise FarplaneError(*fault)
                validate_length(len(submit.frames), longest, "this model")
            except FarplaneError as error:
                self._drop(coming, (error.field, error.problem, error.remedy))
            else:
                self._admit(coming)

    def _admit(self, coming: Incoming) -> None:
        """Ask for a shot's bytes; if its model is at fault after all, its job will tell."""
        if coming.asking:
            coming.asking, coming.touched = False, time.monotonic()
            self._grant_anew(coming)

    def _run_next(self) -> None:
        """Give the next job to the worker if it is free."""
        if self._worker.job is not None:
            return
        waiting = self._store.queued()
        if not waiting:
            return
        if not self._worker.usable:
            self._worker = self._new_worker()  # should it fail, the job still waits, and `tick` tries again
        job = waiting[0]
        attempt = self._store.start(job)
        self._progress = None
        log.info("job %s runs, attempt %d", job, attempt)
        self._worker.run(job, attempt, self._store.folder(job))
        self._tell_positions()

    def _tell_positions(self) -> None:
        for job in self._store.queued():
            message = events.Accepted(job, self._store.position(job))
            for peer in self.peers:
                if peer.session.job(job) == "queued":
                    peer.say(message)

    def _broadcast(self, message: Message) -> None:
        """Say it to every peer that follows the job."""
        for peer in self.peers:
            if isinstance(message, events.Preview) and len(peer.outbox) >= WINDOW:
                continue  # it does not keep up; a picture that is late is worth nothing
            if peer.session.job(message.job) in ("queued", "running", "cancelling") and peer.session.may_send(message):  # type: ignore[union-attr]
                peer.say(message)

    def hear(self, heard: Heard) -> None:
        """A worker said something, or ended."""
        worker, said = heard.worker, heard.said
        if said is None:
            worker.kill()  # its group may have outlived it
            worker.usable = False
            if worker is self._worker:
                self._asked.clear()
                for coming in list(self._incoming.values()):
                    self._admit(coming)
        if worker is self._worker and said is not None and said.get("what") == "model":
            fault = said["fault"] and (said["fault"][0], said["fault"][1], said["fault"][2])
            self._answered(said["model"], fault, said["longest"])
            return
        if worker is not self._worker or worker.job is None:
            return
        job = worker.job
        if said is None:
            if self._kill_at is not None:
                self._end(job, "cancelled")
            else:
                self._end(job, "failed", worker.last_words())
            return
        if said.get("job") != job or said.get("attempt") != worker.attempt:
            return
        try:
            self._obey(job, said)
        except (KeyError, TypeError, ValueError, OSError, ProtocolError, sqlite3.Error) as error:
            log.error("worker's word on %s: %r", job, error)
            worker.kill()
            self._end(job, "failed", disk_fault(error) if isinstance(error, (OSError, sqlite3.Error)) else CONFUSED)

    def _obey(self, job: str, said: dict[str, Any]) -> None:
        what = said["what"]
        if what == "progress":
            self._on_progress(job, said["stage"], said["step"], said["total"])
        elif what == "preview":
            path = self._store.folder(job) / f"attempt-{self._worker.attempt}" / Path(said["file"]).name
            png = path.read_bytes()
            path.unlink()
            self._broadcast(events.Preview(job, said["step"], png))
        elif what == "item":
            info = ItemInfo(said["item"], said["size"], said["sha256"])
            message = events.Items(job, (info,))
            codec.encode(message)  # what could not be said is not kept
            self._store.add_item(job, self._worker.attempt, info)
            self._broadcast(message)
        elif what == "failed":
            self._worker.usable = not said["leaving"]
            self._end(job, "failed", (said["field"], said["problem"], said["remedy"]))
        elif what in ("finished", "cancelled"):
            self._end(job, what)

    def _on_progress(self, job: str, stage: str, step: int, total: int) -> None:
        now = time.monotonic()
        if self._progress is None or self._progress.stage != stage:
            self._stage_began = (now, step)
        began, first = self._stage_began
        done = step - first
        left = (now - began) / done * (total - step) if done > 0 else None
        self._progress = events.Progress(job, stage, step, total, None if left is None else round(left, 1))
        self._broadcast(self._progress)

    def _end(self, job: str, state: str, fault: tuple[str, str, str] = ("", "", "")) -> None:
        log.info("job %s %s %s", job, state, fault[0])
        self._worker.job = None
        self._kill_at = None
        try:
            self._store.end(job, state, clip(*fault))
            self._broadcast(self._ending(self._store.get(job)))  # type: ignore[arg-type]
        except sqlite3.Error as error:  # a full disk: the job counts as running until the next start
            log.error("the queue's file: %s", error)
            self._broadcast(events.Failed(job, *disk_fault(error)))
        self._run_next()

    def tick(self, now: float) -> None:
        """Called about once a second."""
        if self._kill_at is not None and now >= self._kill_at:
            log.warning("worker %d did not stop and is killed", self._worker.pid)
            self._worker.kill()  # its end is heard like any other
            self._kill_at = now + self._kill_seconds
        self._run_next()
        if self._worker.usable and self._offers.faulty():
            self._ask_about(self._offers.faulty())  # somebody may have mended them
        for coming in list(self._incoming.values()):
            if coming.asking and now - coming.touched > CHECK_SECONDS:
                self._admit(coming)
            if not coming.checking and now - coming.touched > IDLE_SECONDS:
                self._drop(coming, ("upload", "it has stood still for too long", "Send the shot again"))
        if now >= self._expire_at:
            self._expire_at = now + 3600
            self._store.forget_older(KEEP_SECONDS)
