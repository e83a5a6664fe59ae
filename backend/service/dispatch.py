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
from .incoming import Checked, Incoming, Uploads, Window, need_of
from .jobs import ENDED, JobRow, JobStore
from .listeners import Listeners
from .offers import Fault, Offers
from .peer import Peer, Sending
from .refusals import BROKEN, CONFUSED, MAX_UPLOAD, STOPPED, Need, check_submit, clip, disk_fault, mend
from .spool import Upload
from .supervisor import Heard, Worker

log = logging.getLogger("farplane.service")

KILL_SECONDS = 10.0  # from a cancel to the end of a worker that does not obey
KEEP_SECONDS = 14 * 86400.0  # results of an ended job
MAX_FETCHES = 64  # open fetches of one peer
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
        self.listeners = Listeners(store)
        self._store = store
        self._pipeline = pipeline
        self._offers = Offers(models, longest, may_name)
        self._version = version
        self._post = post
        self._kill_seconds = kill_seconds
        self._uploads = Uploads()
        self._needs: dict[str, tuple[str, Need]] = {}  # owner and disk space of each job that has not ended
        self._checker = ThreadPoolExecutor(1, "farplane-checker")
        self._asked: set[str] = set()  # models that the worker was asked about and has not answered for
        self._kill_at: float | None = None
        self._expire_at = 0.0
        self._progress: events.Progress | None = None  # of the running job
        self._stage_began = (0.0, 0)  # when, at which step
        try:
            store.recover()
        except sqlite3.Error as error:
            raise FarplaneError("disk", f"the queue's file cannot be written ({error})", "Free some space") from error
        for job, owner in store.unfinished().items():
            self._needs[job] = owner, need_of(store.folder(job))
        self._worker = self._new_worker()
        self._ask_about(self._offers.ready())
        self._run_next()

    def close(self) -> None:
        """Stop the worker; a job that runs waits for the next start."""
        job = self._worker.job
        self._worker.stop()
        try:
            if job is not None:
                self._store.put_back(job)
            self._store.settle()
        except sqlite3.Error as error:
            log.error("job %s is not back in the queue's file: %s", job, error)
        self._checker.shutdown(wait=True, cancel_futures=True)

    # -------------------------------------------------------------------------------------------------
    # Messages of clients

    def receive(self, peer: Peer, parts: Sequence[bytes | memoryview]) -> None:
        """Obey or refuse one message.  A broken rule ends the peer's session; others notice nothing."""
        if peer.ended:
            return
        peer.heard = time.monotonic()
        try:
            message = codec.decode(parts, FROM_CLIENT)
            peer.session.receive(message)
            self._handlers[type(message)](self, peer, message)
        except events.VersionMismatch as error:
            self.end_session(peer, "version", str(error), "Install the same Farplane version on both sides")
        except RemoteProtocolError as error:
            self.end_session(peer, "protocol", str(error), mend(peer.program))
        except sqlite3.Error as error:
            log.error("the queue's file: %s", error)
            self.end_session(peer, *disk_fault(error))
        except Exception:
            log.exception("unexpected, with a message of %s", peer.key[:8])
            self.end_session(peer, *BROKEN)

    def leave(self, peer: Peer) -> None:
        """The peer is gone, or its session is over: it listens to nothing and sends nothing from here on."""
        self.listeners.leave(peer)
        for coming, error in self._uploads.leave(peer):
            self._drop(coming, disk_fault(error))
        self._take_turns()

    def end_session(self, peer: Peer, name: str, problem: str, remedy: str) -> None:
        """Tell a peer why it is heard no more; the server closes its connection when that has left."""
        log.info("session of %s ended: %s: %s", peer.key[:8], name, problem)
        peer.end(name, problem, remedy)
        self.leave(peer)

    def _refuse(self, peer: Peer, job: str, name: str, problem: str, remedy: str) -> None:
        peer.say(events.Refused(job, *clip(name, problem, remedy)))

    def _on_hello(self, peer: Peer, message: events.Hello) -> None:
        peer.program = message.client
        log.info("hello from %s… (%r)", peer.key[:8], message.client)
        backend = "+".join((self._version.replace("+", "."), ".".join(sorted(events.EXTENSIONS))))
        peer.say(events.Welcome(backend, self._offers.told(), MAX_UPLOAD))
        self._ask_about(self._offers.ready())  # for the next one; this one is told with its shot

    def _on_submit(self, peer: Peer, message: events.Submit) -> None:
        job, digest = message.job, codec.digest(message)
        row, coming = self._store.get(job), self._uploads.get(job)
        known = row or coming
        if known is not None and (known.owner, known.digest) != (peer.key, digest):
            self._refuse(peer, job, "job", "its UUID already belongs to another shot", "Send the shot under a new UUID")
        elif row is not None:
            self._tell_all(peer, row)
        elif coming is not None:  # from another connection, most often of the same client after a break
            coming.senders[peer] = Window()
            coming.cancelled = False
            self._take_turns()
        else:
            try:
                self._offers.check(message.settings.model, len(message.frames), peer.key)
                need = check_submit(message, self._needs_of(peer.key), self._promised(), self._store.data)
            except FarplaneError as error:
                self._refuse(peer, job, error.field, error.problem, error.remedy)
            except OSError as error:
                self._refuse(peer, job, *disk_fault(error))
            else:
                coming = Incoming(Upload(self._store.folder(job), message), peer.key, digest, need)
                coming.senders[peer] = Window()
                self._uploads.add(coming)
                coming.asking = time.monotonic() if self._ask_about([message.settings.model]) else None
                self._take_turns()

    def _needs_of(self, owner: str) -> list[Need]:
        """What the unfinished jobs of one client take up, those included that still come."""
        waiting = [need for key, need in self._needs.values() if key == owner]
        return waiting + [coming.need for coming in self._uploads.of(owner)]

    def _promised(self) -> int:
        """Bytes of the disk that are free and will be wanted: by uploads that come and by plates that are not made."""
        coming = sum(c.need.upload - c.upload.offset + c.need.frames for c in self._uploads)
        return coming + sum(need.frames for _, need in self._needs.values())

    def _take_turns(self) -> None:
        """Give a first credit to all whose turn it is."""
        for coming, peer in self._uploads.turns():
            self._grant(coming, peer, WINDOW)

    def _grant(self, coming: Incoming, peer: Peer, chunks: int) -> None:
        offset, chunks = coming.grant(peer, chunks)
        if chunks:
            peer.tell(events.Credit(coming.job, offset, chunks))

    def _on_upload(self, peer: Peer, message: events.Upload) -> None:
        coming = self._uploads.get(message.job)
        window = coming.senders.get(peer) if coming is not None else None
        if coming is None or window is None or coming.checking:
            return  # sent before our last word arrived
        upload = coming.upload
        window.take(message.offset, len(message.data), upload.total)
        try:
            if message.offset == upload.offset:  # else another connection has sent it already
                upload.write(message.data)
        except FarplaneError as error:
            self._drop(coming, (error.field, error.problem, error.remedy))
            return
        except OSError as error:
            self._drop(coming, disk_fault(error))
            return
        if upload.offset == upload.total:
            coming.checking = True
            future = self._checker.submit(upload.finish)
            future.add_done_callback(lambda done: self._post(Checked(message.job, done.exception())))
        elif window.granted - window.at <= WINDOW // 2 * CHUNK:
            self._grant(coming, peer, WINDOW // 2)

    def _drop(self, coming: Incoming, fault: tuple[str, str, str]) -> None:
        """Delete an upload and tell those who wait for it."""
        self._uploads.remove(coming.job)
        coming.upload.abandon()
        for peer in coming.senders:
            if peer.session.job(coming.job) in ("offered", "uploading"):
                peer.tell(events.Refused(coming.job, *clip(*fault)))
            elif peer.session.job(coming.job) == "cancelling":
                peer.tell(events.Cancelled(coming.job))
        self._take_turns()

    def checked(self, done: Checked) -> None:
        """An upload is whole and was looked at: accept its job or refuse it."""
        coming = self._uploads.get(done.job)
        if coming is None:
            return
        error = done.error
        if error is None and not coming.cancelled:
            try:
                self._store.accept(done.job, coming.owner, coming.digest)
            except sqlite3.Error as problem:
                error = OSError(f"its queue: {problem}")
        if coming.cancelled:
            self._drop(coming, STOPPED)
        elif isinstance(error, FarplaneError):
            self._drop(coming, (error.field, error.problem, error.remedy))
        elif isinstance(error, RemoteProtocolError):
            self._drop(coming, ("upload", "it arrived damaged", "Send the shot again"))
        elif error is not None:
            self._drop(coming, disk_fault(error))
        else:
            log.info("job %s accepted, %d bytes", done.job, coming.upload.total)
            self._uploads.remove(done.job)
            self._needs[done.job] = coming.owner, coming.need
            accepted = events.Accepted(done.job, self._store.position(done.job))
            for peer in coming.senders:
                if peer.session.job(done.job) in ("offered", "uploading"):
                    peer.tell(accepted)
            self._take_turns()
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
        if (coming := self._uploads.get(job)) is not None:
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
            self._needs.pop(job, None)
            self.listeners.broadcast(events.Cancelled(job))
            self.listeners.move_up()
        elif job == self._worker.job:
            try:
                self._store.set_cancelling(job)
            except sqlite3.Error as error:  # it is obeyed all the same; only the next backend would not know of it
                log.error("the queue's file: %s", error)
            self.listeners.broadcast(events.Cancelling(job))
            if self._kill_at is None:
                self._worker.cancel()
                self._kill_at = time.monotonic() + self._kill_seconds

    def _on_fetch(self, peer: Peer, message: events.Fetch) -> None:
        found = self._store.item(message.job, message.item)
        if found is None:
            problem = f"this job has no result {message.item}, or it is not on the backend's disk any more"
            remedy = "Fetch what `items` has named, or render the shot again"
            self._refuse(peer, message.job, events.FETCH, problem, remedy)
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
            try:
                self._store.forget(message.job)
            except sqlite3.Error as error:
                self._refuse(peer, message.job, *disk_fault(error))
                return
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

    def _revive(self) -> bool:
        """Whether there is a worker; a new one is made for one that is gone, if the system lets us."""
        if not self._worker.usable and self._worker.job is None:
            try:
                self._worker = self._new_worker()
            except OSError as error:
                log.error("no render process can be started: %s", error)
        return self._worker.usable

    def _ask_about(self, models: Sequence[str]) -> bool:
        """Ask the worker whether models would load, since torch is there.  False when there is no worker to ask."""
        if not self._revive():
            return False
        for name in set(models) - self._asked:
            self._asked.add(name)
            self._worker.check(name)
        return True

    def _answered(self, model: str, fault: Fault | None, longest: int | None) -> None:
        """The worker knows whether a model loads, and its longest shot: go on with those that want it, or refuse."""
        self._asked.discard(model)
        self._offers.learn(model, fault)
        for coming in self._uploads:
            submit = coming.submit
            if coming.asking is None or submit.settings.model != model:
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
        coming.asking = None
        self._take_turns()

    def _run_next(self) -> None:
        """Give the next job to the worker if it is free."""
        if self._worker.job is not None:
            return
        waiting = self._store.queued()
        if not waiting or not self._revive():
            return  # `tick` tries again
        job = waiting[0]
        try:
            if not self._store.settle():
                return
            attempt = self._store.start(job)
        except sqlite3.Error as error:
            self._store.complain("job %s waits, the queue's file cannot be written: %s", job, error)
            return
        self._progress = None
        log.info("job %s runs, attempt %d", job, attempt)
        self._worker.run(job, attempt, self._store.folder(job))
        self.listeners.move_up()

    def hear(self, heard: Heard) -> None:
        """A worker said something, or ended."""
        worker, said = heard.worker, heard.said
        if said is None:
            worker.kill()  # its group may have outlived it
            worker.usable = False
            if worker is self._worker:
                self._asked.clear()
                for coming in self._uploads:
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
            self.listeners.broadcast(events.Preview(job, said["step"], png))
        elif what == "item":
            info = ItemInfo(said["item"], said["size"], said["sha256"])
            message = events.Items(job, (info,))
            codec.encode(message)  # what could not be said is not kept
            self._store.add_item(job, self._worker.attempt, info)
            self.listeners.broadcast(message)
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
        self.listeners.broadcast(self._progress)

    def _end(self, job: str, state: str, fault: tuple[str, str, str] = ("", "", "")) -> None:
        log.info("job %s %s %s", job, state, fault[0])
        self._worker.job = None
        self._kill_at = None
        self._needs.pop(job, None)
        self._store.end(job, state, clip(*fault))
        if (row := self._store.get(job)) is not None:
            self.listeners.broadcast(self._ending(row))
        self._run_next()

    def tick(self, now: float) -> None:
        """Called about once a second."""
        if self._kill_at is not None and now >= self._kill_at:
            log.warning("worker %d did not stop and is killed", self._worker.pid)
            self._worker.kill()  # its end is heard like any other
            self._kill_at = now + self._kill_seconds
        self._store.settle()
        self._run_next()
        if self._worker.usable and self._offers.faulty():
            self._ask_about(self._offers.faulty())  # somebody may have mended them
        for coming in self._uploads:
            if coming.asking is not None and now - coming.asking > CHECK_SECONDS:
                self._admit(coming)
        for coming in self._uploads.overdue(now):
            self._drop(coming, ("upload", "it has stood still for too long", "Send the shot again"))
        if now >= self._expire_at:
            self._expire_at = now + 3600
            self._store.forget_older(KEEP_SECONDS)
