"""The client's mind without a socket: what it says, what it hands on, and what it refuses to believe."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from farplane.addon import client as client_module
from farplane.addon.client import Client
from farplane.addon.conversation import MAX_TRIES, Conversation
from farplane.addon.event_queue import EventQueue
from farplane.protocol import codec, events
from farplane.protocol.errors import FarplaneError
from farplane.protocol.events import ItemInfo, RemoteProtocolError
from farplane.protocol.schema import CHUNK, FROM_CLIENT, WINDOW
from farplane.protocol.session import Session
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, RenderSettings, Shot

JOB = "01234567-89ab-cdef-0123-456789abcdef"


def shot(frames: int = 2, height: int = 32) -> Shot:
    K = np.tile(np.array([[50.0, 0, 16], [0, 50, 16], [0, 0, 1]]), (frames, 1, 1))
    z = np.random.default_rng(height).uniform(1, 9, (frames, height, 32)).astype(np.float32)
    camera = CameraTrack(K, np.tile(np.eye(4), (frames, 1, 1)))
    return Shot("s", tuple(range(1, frames + 1)), (32, height), Fraction(24), camera, DepthPass(z, 1, 9), Prompt("p"))


class Table:
    """A conversation and the other side of it, played by the test."""

    def __init__(
        self,
        room: Callable[[int, int], bool] = lambda coming, size: True,
        max_upload: int = 1 << 40,
        version: str = "1",
    ) -> None:
        self.heard: list[events.Event] = []
        self.talk = Conversation(self.heard.append, room)
        self.max_upload, self.version = max_upload, version
        self.connect()

    def connect(self) -> None:
        self.talk.lost()
        self.backend = Session("backend")
        self.talk.connected()
        assert self.said() == [events.Hello("farplane")]
        self.say(events.Welcome(self.version, (), self.max_upload))

    def said(self) -> list[events.Message]:
        """What the client has said since the last call; each word must be allowed."""
        self.talk.fetch()
        messages = []
        while self.talk.out:
            message = codec.decode([bytes(part) for part in self.talk.out.popleft()], FROM_CLIENT)
            self.backend.receive(message)
            messages.append(message)
        return messages

    def say(self, *messages: events.Message) -> None:
        for message in messages:
            self.backend.send(message)
            self.talk.receive(message)  # type: ignore[arg-type]

    def accepted(self, job: str = JOB) -> None:
        """Bring a job to where results may come."""
        self.talk.attach(job)
        assert self.said() == [events.Attach(job)]
        self.say(events.Accepted(job, 0))


def result(item: events.Item, data: bytes) -> ItemInfo:
    return ItemInfo(item, len(data), hashlib.sha256(data).hexdigest())


def deliver(table: Table, fetch: events.Message, data: bytes) -> None:
    """Answer one fetch as a backend would."""
    assert isinstance(fetch, events.Fetch)
    end = min(len(data), fetch.offset + fetch.chunks * CHUNK)
    for offset in range(fetch.offset, end, CHUNK):
        table.say(events.Chunk(fetch.job, fetch.item, offset, data[offset : min(end, offset + CHUNK)]))


def test_the_upload_keeps_to_its_credit() -> None:
    table, big = Table(), shot(frames=2, height=8192)  # 2 MiB of depth
    table.talk.submit(JOB, big, RenderSettings())
    (submit,) = table.said()
    assert isinstance(submit, events.Submit)
    assert table.said() == []  # not a byte without credit
    total = codec.upload_size(submit)
    table.say(events.Credit(JOB, 0, 1))
    (first,) = table.said()
    assert isinstance(first, events.Upload)
    assert (first.offset, len(first.data)) == (0, CHUNK)
    assert table.heard[-1] == events.Uploading(JOB, CHUNK, total)
    table.connect()  # a break: offered again, and it goes on where the backend says
    assert table.said() == [submit]
    table.say(events.Credit(JOB, CHUNK, 8))
    assert [message.offset for message in table.said()] == [CHUNK, 2 * CHUNK]  # type: ignore[union-attr]
    table.say(events.Accepted(JOB, 3))
    assert table.heard[-1] == events.Accepted(JOB, 3)
    table.connect()  # a later break: it is there, so only ask
    assert table.said() == [events.Attach(JOB)]


def test_a_shot_that_the_backend_will_not_take_is_not_sent() -> None:
    table = Table(max_upload=1000)
    table.talk.submit(JOB, shot(), RenderSettings())
    assert table.said() == []
    failed = table.heard[-1]
    assert isinstance(failed, events.Failed)
    assert failed.field == "shot"


def test_what_the_backend_takes_is_known_when_it_has_answered() -> None:
    table = Table(max_upload=1000)
    assert events.Connected((), "1", max_upload=1000) in table.heard


def test_base_colours_go_only_to_a_backend_that_takes_them() -> None:
    colours = np.full((2, 32, 32, 4), 255, np.uint8)
    for version, sent in (("1", ["K", "world_from_camera", "z"]), ("1+base_colour", [*"Kwzb"])):
        table = Table(version=version)
        assert events.Connected((), "1", 1 << 40, events.Welcome(version, (), 1).takes) in table.heard
        table.talk.submit(JOB, replace(shot(), base_colour=colours), RenderSettings())
        (submit,) = table.said()
        assert isinstance(submit, events.Submit)
        assert [info.name[0] for info in submit.arrays] == [name[0] for name in sent]
        table.say(events.Credit(JOB, 0, 1))
        (upload,) = table.said()
        assert isinstance(upload, events.Upload)
        assert len(upload.data) == codec.upload_size(submit)


def test_a_shot_once_told_without_base_colours_stays_that_shot() -> None:
    """Its UUID belongs to what the first backend was told; a newer one that comes after a break hears the same."""
    table = Table()
    table.talk.submit(JOB, replace(shot(), base_colour=np.full((2, 32, 32, 4), 255, np.uint8)), RenderSettings())
    (first,) = table.said()
    table.version = "2+base_colour"
    table.connect()
    assert table.said() == [first]


def test_no_more_than_a_window_is_asked_for() -> None:
    table = Table()
    table.accepted()
    frames = {number: bytes([number]) * (2 * CHUNK + 5) for number in range(1, 6)}  # 3 chunks each
    table.say(events.Items(JOB, tuple(result(number, data) for number, data in frames.items())))
    fetches = table.said()
    assert sum(fetch.chunks for fetch in fetches) == WINDOW  # type: ignore[union-attr]
    while fetches:
        deliver(table, fetches[0], frames[fetches[0].item])  # type: ignore[union-attr]
        fetches = fetches[1:] + table.said()
        asked = sum(fetch.chunks for fetch in fetches)  # type: ignore[union-attr]
        assert asked <= WINDOW
    got = {event.frame: event.exr for event in table.heard if isinstance(event, events.FrameReady)}
    assert got == frames


def test_a_break_in_the_middle_of_a_frame_costs_nothing_twice() -> None:
    table = Table()
    table.accepted()
    data = np.random.default_rng(1).bytes(4 * CHUNK)
    table.say(events.Items(JOB, (result(9, data), result("report.json", b"{}"))))
    frame, report = table.said()
    deliver(table, report, b"{}")
    deliver(table, events.Fetch(JOB, 9, 0, 3), data)  # three of four, then the line breaks
    assert frame == events.Fetch(JOB, 9, 0, 4)
    table.connect()
    assert table.said() == [events.Attach(JOB)]
    table.say(events.Accepted(JOB, 0), events.Items(JOB, (result(9, data), result("report.json", b"{}"))))
    (rest,) = table.said()
    assert rest == events.Fetch(JOB, 9, 3 * CHUNK, 1)
    deliver(table, rest, data)
    table.say(events.Finished(JOB, 2))
    kinds = [type(event).__name__ for event in table.heard]
    assert kinds[-2:] == ["FrameReady", "Finished"]
    assert kinds.count("FrameReady") == kinds.count("ArtifactReady") == kinds.count("Finished") == 1


def test_finished_waits_for_the_last_frame() -> None:
    table = Table()
    table.accepted()
    table.say(events.Items(JOB, (result(1, b"one"),)), events.Finished(JOB, 1))
    assert not any(isinstance(event, events.Finished) for event in table.heard)
    (fetch,) = table.said()
    deliver(table, fetch, b"one")
    assert [type(event) for event in table.heard[-2:]] == [events.FrameReady, events.Finished]


def test_a_damaged_frame_is_fetched_again_and_never_handed_on() -> None:
    table = Table()
    table.accepted()
    table.say(events.Items(JOB, (result(1, b"good"),)))
    for _ in range(MAX_TRIES - 1):
        (fetch,) = table.said()
        deliver(table, fetch, b"evil")
    (fetch,) = table.said()
    deliver(table, fetch, b"good")
    assert [event.exr for event in table.heard if isinstance(event, events.FrameReady)] == [b"good"]
    table.say(events.Items(JOB, (result(2, b"good"),)))
    for _ in range(MAX_TRIES):
        (fetch,) = table.said()
        deliver(table, fetch, b"evil")
    failed = table.heard[-1]
    assert isinstance(failed, events.Failed)
    assert "damaged" in failed.problem


def test_a_frame_that_is_made_anew_replaces_the_one_on_its_way() -> None:
    """A second attempt names the same frame with another digest while the old one's chunks still arrive."""
    table = Table()
    table.accepted()
    old, new = b"o" * (CHUNK + 1), b"n" * (2 * CHUNK + 7)
    table.say(events.Items(JOB, (result(1, old),)))
    (first,) = table.said()
    table.say(events.Items(JOB, (result(1, new),)))
    (second,) = table.said()
    deliver(table, first, old)
    deliver(table, second, new)
    for _ in range(MAX_TRIES):
        for fetch in table.said():
            deliver(table, fetch, new)
    assert [event.exr for event in table.heard if isinstance(event, events.FrameReady)] == [new]
    table.say(events.Items(JOB, (result(1, new),)))  # named again, but here already
    assert table.said() == []


def test_cancel_meets_what_is_under_way() -> None:
    table = Table()
    table.accepted()
    table.talk.cancel(JOB)
    table.say(events.Items(JOB, (result(1, b"one"),)))
    assert table.said() == [events.Cancel(JOB)]  # and no fetch
    table.say(events.Cancelling(JOB), events.Cancelled(JOB))
    assert table.heard[-2:] == [events.Cancelling(JOB), events.Cancelled(JOB)]


def test_a_job_that_was_quicker_than_its_cancel_is_finished() -> None:
    table = Table()
    table.accepted()
    table.talk.cancel(JOB)
    table.say(events.Items(JOB, (result(1, b"one"),)), events.Finished(JOB, 1))
    cancel, fetch = table.said()
    assert cancel == events.Cancel(JOB)
    deliver(table, fetch, b"one")
    assert isinstance(table.heard[-1], events.Finished)


def test_a_cancel_without_a_connection_is_kept() -> None:
    table = Table()
    table.accepted()
    table.talk.lost()
    table.talk.cancel(JOB)
    table.connect()
    assert table.said() == [events.Attach(JOB)]
    table.say(events.Accepted(JOB, 0))
    assert table.said() == [events.Cancel(JOB)]
    other = JOB.replace("0", "9")
    table.talk.lost()
    table.talk.submit(other, shot(), RenderSettings())
    table.talk.cancel(other)
    assert table.heard[-1] == events.Cancelled(other)  # it never left


def test_a_cancel_of_a_job_that_never_arrived() -> None:
    table = Table()
    table.talk.submit(JOB, shot(), RenderSettings())
    table.talk.lost()  # offered, but nobody knows whether it got there
    table.talk.cancel(JOB)
    table.connect()
    assert table.said() == [events.Attach(JOB)]
    table.say(events.Refused(JOB, "job", "unknown", "send it"))
    assert table.heard[-1] == events.Cancelled(JOB)


def test_nothing_is_fetched_while_the_caller_does_not_poll() -> None:
    held = 0
    limit = 2 * CHUNK
    table = Table(room=lambda coming, size: held + coming == 0 or held + coming + size <= limit)
    table.accepted()
    frames = {number: bytes([number]) * (CHUNK + 1) for number in range(1, 7)}
    table.say(events.Items(JOB, tuple(result(number, data) for number, data in frames.items())))
    (fetch,) = table.said()
    deliver(table, fetch, frames[1])
    held = CHUNK + 1
    assert table.said() == []
    held = 0  # polled
    assert len(table.said()) == 1


def test_words_out_of_place_are_refused() -> None:
    table = Table()
    with pytest.raises(RemoteProtocolError):
        table.talk.receive(events.Finished(JOB, 0))
    table.accepted()
    with pytest.raises(RemoteProtocolError):
        table.talk.receive(events.Credit(JOB, 0, 1))


def test_the_queue_keeps_the_newest_of_what_repeats_and_all_of_the_rest() -> None:
    queue = EventQueue()
    for step in range(1000):
        queue.put(events.Progress(JOB, "denoise", step, 1000))
        queue.put(events.Preview(JOB, step, b"png"))
        queue.put(events.Disconnected("a", "b"))
    queue.put(events.Progress(JOB, "decode", 1, 2))
    for frame in range(3):
        queue.put(events.FrameReady(JOB, frame, b"12345", "0" * 64))
    assert queue.size == 15
    taken = queue.take()
    assert len(taken) == 7
    assert events.Progress(JOB, "denoise", 999, 1000) in taken
    assert [event.frame for event in taken if isinstance(event, events.FrameReady)] == [0, 1, 2]
    assert queue.size == 0
    assert queue.take() == []


def test_without_pyzmq_there_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zmq", None)
    with pytest.raises(FarplaneError, match="pyzmq"):
        Client(config_dir=tmp_path).start()


def test_an_address_needs_its_key(tmp_path) -> None:
    with pytest.raises(FarplaneError, match="its key was not given"):
        Client("tcp://127.0.0.1:1", "", tmp_path).start()


def test_waiting_never_spins() -> None:
    assert client_module.milliseconds(0.0001) == 1
    assert client_module.milliseconds(-3) == 0


# ---------------------------------------------------------------------------------------------------------
# Enquiries: whether a shot would be taken, before there is one


def outline(frames: int = 9, model: str = "farplane-s") -> events.Submit:
    return codec.outline("s", frames, (64, 32), Prompt("p"), RenderSettings(model), reference=True)


@pytest.mark.parametrize("look", [False, True])
def test_an_enquiry_is_a_submit_that_is_taken_back(look: bool) -> None:
    """Without `look` the cancel goes out at once; with it, only when the backend has looked and gives credit."""
    table, asked = Table(), outline()
    table.talk.enquire(asked, look)
    assert table.said() == ([asked] if look else [asked, events.Cancel(asked.job)])
    table.say(events.Credit(asked.job, 0, 8)) if look else None
    assert table.said() == ([events.Cancel(asked.job)] if look else []), "and not a byte goes up"
    table.say(events.Cancelled(asked.job))
    assert table.heard[1:] == [events.Admissible(asked.job)]
    assert table.said() == [events.Forget(asked.job)]
    table.say(events.Forgotten(asked.job))
    assert table.backend.job(asked.job) == "none", "nothing of it stays in either side's table"
    assert not table.talk._jobs


@pytest.mark.parametrize("look", [False, True])
def test_a_refused_enquiry_says_why(look: bool) -> None:
    table, asked = Table(), outline()
    table.talk.enquire(asked, look)
    said = table.said()
    # The backend refuses before it has read the cancel, which it then passes over.
    table.backend = Session("backend")
    for message in (events.Hello("farplane"), asked):
        table.backend.receive(message)
        if isinstance(message, events.Hello):
            table.backend.send(events.Welcome("1", (), 1 << 40))
    table.say(events.Refused(asked.job, "frames", "9 are too many", "Shorten the range"))
    for message in said[1:]:
        table.backend.receive(message)
    assert table.heard[1:] == [events.Failed(asked.job, "frames", "9 are too many", "Shorten the range")]
    assert table.said() == []


def test_an_enquiry_outlives_a_break_and_can_be_taken_back() -> None:
    table, asked = Table(), outline()
    table.talk.enquire(asked, True)
    assert table.said() == [asked]
    table.connect()
    assert table.said() == [asked]
    table.talk.cancel(asked.job)
    assert table.said() == [events.Cancel(asked.job)]


def test_an_outline_is_a_submit_like_any_other() -> None:
    """What the backend reads of it: the frames, the size, and arrays that fit them."""
    asked = outline(17, "/models/one")
    message = codec.decode([bytes(part) for part in codec.encode(asked)], FROM_CLIENT)
    assert message == asked
    assert codec.upload_size(asked) == codec.expected_upload(17, 64, 32, reference=True)
    assert (len(asked.frames), asked.resolution, asked.settings.model) == (17, (64, 32), "/models/one")


def test_a_result_that_cannot_be_had_ends_the_job_here_and_may_be_asked_for_again() -> None:
    """The backend's own job is as it was: a fetch that is refused says nothing about it."""
    table = Table()
    table.talk.attach(JOB)
    assert table.said() == [events.Attach(JOB)]
    table.say(events.Accepted(JOB, 0))
    table.say(events.Items(JOB, (result(1, b"good"),)))
    table.say(events.Finished(JOB, 1))
    table.said()
    table.say(events.Refused(JOB, events.FETCH, "the backend cannot read 1 from its disk", "Fetch it again later"))
    failed = table.heard[-1]
    assert isinstance(failed, events.Failed)
    assert "cannot read 1" in failed.problem
    table.talk.attach(JOB)
    assert table.said()[-1] == events.Attach(JOB)
    table.say(events.Accepted(JOB, 0))
    table.say(events.Items(JOB, (result(1, b"good"),)))
    table.say(events.Finished(JOB, 1))
    (fetch,) = table.said()
    deliver(table, fetch, b"good")
    assert isinstance(table.heard[-1], events.Finished)
