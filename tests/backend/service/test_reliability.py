"""Ill-treatment, counted: what docs/reliability.md says is measured here.

    make test-chaos        the full counts, some minutes; writes the table of docs/reliability.md
    make test              the same scenarios, a few times each; figures are not written

Everything is on the loopback, bounded in count and time, and ends by itself.  Times are recorded, never judged: a busy
machine is slow.  R… and S… are the requirements of that page.
"""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import painter
import psutil
import pytest
from conftest import BOUND, SETTINGS, Backend, Caller, Child, make_shot, start_backend
from ill_treatment import Line, Watch
from raw import Raw, known

from farplane.backend.pipeline.exr import decode_plate
from farplane.backend.service import refusals
from farplane.protocol import codec, events
from farplane.protocol.errors import FarplaneError
from farplane.protocol.schema import FROM_BACKEND, MAX_PART
from farplane.protocol.shot import RenderSettings

Make = Callable[..., Caller]
Note = Callable[[str, str, str], None]

FULL = os.environ.get("FARPLANE_CHAOS") == "1"
PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"
BEGIN, END = "<!-- begin figures: make test-chaos -->", "<!-- end figures -->"
full_only = pytest.mark.skipif(not FULL, reason="run by `make test-chaos`")


def many(few: int, full: int) -> int:
    """How often: a few times in `make test`."""
    return full if FULL else few


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Iterator[dict[str, list[tuple[str, str]]]]:
    """What was measured, by requirement; written to the page when all is over and this was the full run."""
    found: dict[str, list[tuple[str, str]]] = {}
    began = time.monotonic()
    yield found
    if not FULL or not found or request.session.testsfailed:
        return
    lines = [BEGIN, "| | treatment | measured |", "| --- | --- | --- |"]
    lines += [f"| {row} | {what} | {said} |" for row in sorted(found) for what, said in found[row]]
    lines += [
        "",
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores shared with other work (load {os.getloadavg()[1]:.1f}), "
        f"{platform.system()}, Python {platform.python_version()}, {(time.monotonic() - began) / 60:.0f} minutes.",
        END,
    ]
    text = PAGE.read_text("utf-8")
    PAGE.write_text(text[: text.index(BEGIN)] + "\n".join(lines) + text[text.index(END) + len(END) :], "utf-8")


@pytest.fixture
def note(figures: dict[str, list[tuple[str, str]]]) -> Note:
    def add(row: str, what: str, said: str) -> None:
        figures.setdefault(row, []).append((what, said))
        print(f"\n{row} {what}: {said}")

    return add


def centiles(seconds: list[float]) -> str:
    ms = np.array(seconds) * 1000
    return f"p50 {np.quantile(ms, 0.5):.0f} ms, p99 {np.quantile(ms, 0.99):.0f} ms, longest {ms.max():.0f} ms"


def right(caller: Caller, job: str, frames: tuple[int, ...], seed: int = SETTINGS.seed) -> None:
    """Every frame once, and the bytes of an undisturbed run."""
    assert caller.frames(job) == {number: painter.expected(number, 96, 64, seed) for number in frames}


def whole(caller: Caller, shot: object = None) -> str:
    """Render a shot to its end."""
    shot = shot or make_shot()
    job = caller.client.submit(shot, SETTINGS)  # type: ignore[arg-type]
    assert isinstance(caller.end(job), events.Finished)
    right(caller, job, shot.frames)  # type: ignore[attr-defined]
    return job


# ---- R1: whatever is killed -----------------------------------------------------------------------------------------


def test_r1_killed_workers_lose_no_frame(spawn: Callable[..., Child], call: Make, note: Note) -> None:
    """SIGKILL of the render process at a random moment; the job ends in words, and sent again it is whole."""
    rng, child, caller = random.Random(1), spawn(), call()
    killed = fallen = 0
    for _ in range(many(1, 20)):
        shot = make_shot("steady", frames=3)
        job = caller.client.submit(shot, SETTINGS)
        caller.until(events.Accepted)
        time.sleep(rng.uniform(0, 0.8))
        for worker in psutil.Process(child.process.pid).children():
            worker.kill()
            killed += 1
        if isinstance(end := caller.end(job), events.Failed):
            fallen += 1
            assert end.remedy
        else:
            right(caller, job, shot.frames)
        whole(caller)
    what = "render process killed at random, 3 frames a job; the shot sent again"
    note(
        "R1",
        what,
        f"{killed} kills, {fallen} jobs ended in words, {killed - fallen} had finished; 0 frames lost or torn",
    )


@full_only
def test_r1_killed_servers_and_vanishing_clients(spawn: Callable[..., Child], call: Make, note: Note) -> None:
    rng, kills, vanished, frames = random.Random(2), 0, 0, 0
    for seed in range(12):
        child, caller = spawn(), call()
        shot = make_shot("steady", frames=4)
        job = caller.client.submit(shot, RenderSettings(seed=seed))
        got: dict[int, bytes] = {}
        caller.until(events.Accepted)
        for action in rng.sample(["kill", "kill", "vanish", "vanish"], 3):
            time.sleep(rng.uniform(0.05, 0.9))
            if action == "kill":
                child.kill()
                child = spawn()
                kills += 1
            else:
                got |= caller.frames(job)
                caller.client.close()
                caller = call()
                caller.client.attach(job)
                vanished += 1
        assert isinstance(caller.end(job), events.Finished)
        right(caller, job, shot.frames, seed)
        assert got.items() <= caller.frames(job).items()
        frames += len(shot.frames)
        caller.client.close()
        child.kill()
    what = "backend killed, client gone and back, at random; 12 jobs of 4 frames"
    note("R1", what, f"{kills} and {vanished} times; {frames} frames, 0 lost, doubled or torn; bytes equal")


# ---- R4: a full disk ------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_r4_a_full_disk(small_disk: Path, tmp_path: Path, call: Make, note: Note, monkeypatch) -> None:
    """ENOSPC from a real disk, wherever it comes: in the upload, the queue, a frame, the report, or not at all."""
    monkeypatch.setattr(refusals, "SPARE_DISK", -(1 << 40))  # else nothing is begun on so small a disk
    backend = start_backend(tmp_path / "config", small_disk / "data")
    caller, shot = call(), make_shot(frames=6)
    whole(caller, shot)
    ends = {"finished": 0, "failed": 0, "waited": 0}
    steps = many(3, 40)
    for step in range(steps):
        for path in (small_disk / "data" / "jobs").iterdir():  # what earlier rounds left
            caller.client.forget(path.name)
        while any((small_disk / "data" / "jobs").iterdir()):
            caller.client.poll()
            time.sleep(0.01)
        free = shutil.disk_usage(small_disk).free
        leave = round((step + 0.5) / steps * 600) >> 2 << 12  # KiB in pages; a job takes about 450 with its upload
        (small_disk / "filler").write_bytes(bytes(max(0, free - leave)))
        caller.heard.clear()
        job = caller.client.submit(shot, SETTINGS)
        try:  # a job whose place in the queue cannot be written waits for room
            end = caller.until(lambda event: isinstance(event, (events.Finished, events.Failed)), seconds=4)
            how = "finished" if isinstance(end, events.Finished) else "failed"
        except AssertionError:
            how = "waited"
        (small_disk / "filler").unlink()
        end = end if how != "waited" else caller.end(job)
        for number, exr in caller.frames(job).items():
            assert exr == painter.expected(number, 96, 64, SETTINGS.seed)
        if isinstance(end, events.Failed):
            assert end.field == "disk", end
        else:
            right(caller, job, shot.frames)
        ends[how] += 1
        whole(caller, shot)
    backend.stop()
    what = "disk of 8 MiB, filled to another place each time; freed, the shot sent again"
    said = (
        f"{steps} times: {ends['failed']} jobs ended in words, {ends['waited']} waited and went on, {ends['finished']} "
    )
    note("R4", what, said + f"fitted; 0 torn; {steps} of {steps} next jobs whole")


# ---- R5: poison -----------------------------------------------------------------------------------------------------


def test_r5_poison(spawn: Callable[..., Child], call: Make, note: Note) -> None:
    child, caller = spawn(), call()
    whole(caller)
    before = psutil.Process(child.process.pid).memory_info().rss
    rounds = many(1, 12)
    for _ in range(rounds):
        for mode in ("killed", "exit", "memory", "bug"):
            end = caller.end(caller.client.submit(make_shot(mode), SETTINGS))
            assert isinstance(end, events.Failed)
            assert end.remedy
            whole(caller)
    after = psutil.Process(child.process.pid).memory_info().rss
    what = "jobs that kill their render process, leave it, run out of memory or raise"
    said = f"{4 * rounds} jobs failed at their first attempt, {4 * rounds} of {4 * rounds} next jobs whole; "
    note("R5", what, said + f"the server's memory {(after - before) / 2**20:+.1f} MiB")


# ---- R7: cancelling -------------------------------------------------------------------------------------------------


def test_r7_cancelling(spawn: Callable[..., Child], call: Make, note: Note) -> None:
    spawn()
    caller = call()
    told: list[float] = []
    over: list[float] = []
    for _ in range(many(2, 60)):
        job = caller.client.submit(make_shot("slow"), SETTINGS)
        caller.until(lambda event, job=job: isinstance(event, events.Progress) and event.job == job and event.step > 1)
        began = time.monotonic()
        caller.client.cancel(job)
        caller.until(lambda event: isinstance(event, (events.Cancelling, events.Cancelled)))
        told.append(time.monotonic() - began)
        if not caller.of(events.Cancelled, job):
            assert caller.end(job) == events.Cancelled(job)
        over.append(time.monotonic() - began)
    what = "cancel of a running job whose steps take 50 ms; heard by a client that looks every 10 ms"
    note("R7", what, f"{len(told)} times: acknowledged p99 and stopped: {centiles(told)}; {centiles(over)}")


@full_only
def test_r7_a_render_process_that_does_not_obey(spawn: Callable[..., Child], call: Make, note: Note) -> None:
    spawn()
    caller = call()
    job = caller.client.submit(make_shot("deaf"), SETTINGS)
    caller.until(lambda event: isinstance(event, events.Progress) and event.step > 1)
    began = time.monotonic()
    caller.client.cancel(job)
    assert caller.end(job) == events.Cancelled(job)
    note("R7", "cancel of a render process that does not listen", f"killed after {time.monotonic() - began:.1f} s")
    whole(caller)


# ---- R8: lines ------------------------------------------------------------------------------------------------------


def test_r8_lines_that_break(spawn: Callable[..., Child], call: Make, tmp_path: Path, note: Note) -> None:
    rng, child = random.Random(8), spawn()
    call().until(events.Connected)  # makes this user's key known
    line = Line(tmp_path / "config")
    caller = call(line.address, child.ready["public_key"])
    counts = {"cut": 0, "reset": 0, "silent": 0}
    frames = 0
    for round_ in range(many(1, 8)):
        shot = make_shot("steady", frames=many(3, 10))
        job = caller.client.submit(shot, RenderSettings(seed=round_))
        for _ in range(2):
            action = rng.choice(["cut", "reset", "silent"] if FULL else ["cut", "reset"])
            time.sleep(rng.uniform(0.1, 0.6))
            counts[action] += 1
            if action == "silent":
                line.open.clear()
                time.sleep(rng.choice([1, 4, 18]))  # under and over what a heartbeat waits
                line.open.set()
            else:
                line.cut(reset=action == "reset")
        assert isinstance(caller.end(job), events.Finished)
        right(caller, job, shot.frames, round_)
        frames += len(shot.frames)
    what = "lines cut, reset, silent for 1, 4 or 18 s"
    note(
        "R8", what, f"{counts['cut']}, {counts['reset']}, {counts['silent']} times; {frames} frames, 0 doubled or lost"
    )


# ---- S1, S5: hostile messages ---------------------------------------------------------------------------------------


def spoiled(rng: random.Random, parts: list[bytes]) -> list[bytes]:
    """A message that was good."""
    parts = [bytes(part) for part in parts]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(parts))
        data = bytearray(parts[at])
        how = rng.randrange(6)
        if how == 0 and data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif how == 1:
            del data[rng.randrange(len(data) + 1) :]
        elif how == 2:
            data[rng.randrange(len(data) + 1) :] = rng.randbytes(rng.randrange(64))
        elif how == 3:
            parts.insert(at, rng.randbytes(rng.randrange(200)))
            continue
        elif how == 4:
            words = [b"null", b"-1", b"1e999", b"[]", b"{}", b'"\\ud800"', b"9" * 400, b"[" * 500, b"true"]
            data = bytearray(bytes(data).replace(rng.choice([b"1", b'"', b"0", b"{"]), rng.choice(words), 1))
        else:
            data = bytearray(rng.randbytes(rng.randrange(2000)))
        parts[at] = bytes(data)
    return parts


def messages() -> list[list[bytes]]:
    """One good message of each kind."""
    job = codec.new_job()
    submit, buffers = codec.describe(job, make_shot(frames=2), SETTINGS)
    said = [events.Hello("a test"), submit, events.Upload(job, 0, bytes(buffers[0])[:1000]), events.Attach(job)]
    said += [events.Cancel(job), events.Fetch(job, 1, 0, 4), events.Forget(job)]
    return [[bytes(part) for part in codec.encode(message)] for message in said]


def test_s1_fuzzed_messages(backend: Backend, call: Make, note: Note) -> None:
    rng, good = random.Random(3), messages()
    watcher = call(config=backend.config)
    watcher.until(events.Connected)
    key = known(backend.config)
    slowest, sent, raw = 0.0, 0, None
    for count in range(many(60, 6000)):
        if raw is None or rng.random() < 0.2:
            if raw is not None:
                raw.close()
            raw = Raw(backend.server.address, backend.server.public_key, key)
            if rng.random() < 0.8:
                raw.greet()
        raw.send(*spoiled(rng, rng.choice(good)))
        sent += 1
        if count % 20 == 0:  # does it still answer another one?
            began = time.monotonic()
            job = codec.new_job()
            watcher.client.attach(job)
            watcher.end(job)
            slowest = max(slowest, time.monotonic() - began)
    raw.close()
    whole(watcher)
    what = "good messages spoiled (bits, lengths, JSON, parts), on new and old connections"
    note("S1", what, f"{sent} messages, 0 crashes; another client's slowest answer {slowest * 1000:.0f} ms")


def test_s5_hostile_messages_beside_a_job(spawn: Callable[..., Child], call: Make, tmp_path: Path, note: Note) -> None:
    child, caller = spawn(), call()
    shot = make_shot("steady", frames=many(4, 60))
    job = caller.client.submit(shot, SETTINGS)
    caller.until(events.Accepted)
    key = known(tmp_path / "config")
    header = json.loads(bytes(codec.encode(events.Hello("x"))[0]))
    submit, _ = codec.describe(codec.new_job(), make_shot(frames=2), SETTINGS)
    big = events.Submit(**{**vars(submit), "frames": tuple(range(2000))})
    attacks = [
        [b"[" * 200_000],
        [json.dumps({**header, "client": "x" * 200_000}).encode()],
        [b"{" + b'"a":1,' * 30_000 + b'"v":1}'],
        [bytes(MAX_PART - 1)] * 8,
        [b"x"] * 5000,
        [b"x" * (MAX_PART + 1)],
        [bytes(part) for part in codec.encode(submit)],
        [json.dumps({**json.loads(bytes(codec.encode(submit)[0])), "frames": list(range(big.frames[-1]))}).encode()],
    ]
    sent = 0
    with Watch(child.process.pid) as watch:
        for _ in range(many(1, 25)):
            for parts in attacks:
                raw = Raw(child.ready["address"], child.ready["public_key"], key)
                raw.greet()
                raw.send(*parts)
                raw.hear(200)
                raw.close()
                sent += 1
        assert isinstance(caller.end(job), events.Finished)
    right(caller, job, shot.frames)
    assert watch.added < 1024
    what = "deep, long and many-parted messages beside a running job"
    note(
        "S5",
        what,
        f"{sent} messages: process tree {watch.added:+d} MiB at most; the job's {len(shot.frames)} frames right",
    )


# ---- S2, S3: files --------------------------------------------------------------------------------------------------

READ = """
import random, sys, time
from farplane.backend.pipeline.exr import decode_plate
from farplane.protocol.errors import FarplaneError
good, longest, refused = open(sys.argv[1], "rb").read(), 0.0, 0
rng = random.Random(5)
for count in range(int(sys.argv[2])):
    data = bytearray(good)
    for _ in range(rng.randint(1, 4)):
        how, at = rng.randrange(4), rng.randrange(min(len(data), 600) if rng.random() < 0.7 else len(data))
        if how == 0: data[at] ^= 1 << rng.randrange(8)
        elif how == 1: data[at : at + 4] = rng.choice([b"\\xff\\xff\\xff\\x7f", b"\\0\\0\\0\\x80", bytes(4)])
        elif how == 2 and len(data) > 700: del data[rng.randrange(600, len(data)) :]
        else: data[at:at] = rng.randbytes(rng.randrange(40))
    began = time.monotonic()
    try: decode_plate(bytes(data))
    except FarplaneError: refused += 1
    longest = max(longest, time.monotonic() - began)
# Its own peak: getrusage's is the parent's where that was larger, for it outlives exec.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(refused, longest, int(peak.split()[1]) >> 10)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process's peak is read in /proc")
def test_s2_spoiled_exr_files(tmp_path: Path, note: Note) -> None:
    good = painter.expected(1, 96, 64, 7)
    assert decode_plate(good)[1].shape == (64, 96, 3)
    (tmp_path / "good.exr").write_bytes(good)
    count = many(60, 4000)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "good.exr"), str(count)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    refused, longest, memory = done.stdout.splitlines()[-1].split()  # OpenEXR prints too
    assert int(memory) < 1024
    what = "frames with bits, lengths and sizes changed, read in a child process"
    said = f"{count} files, {refused} refused in words, 0 crashes; the longest {float(longest) * 1000:.0f} ms, {memory} MiB"
    note("S2", what, said + " (damage inside a chunk may pass here; a client compares SHA-256 first)")


@full_only
def test_s3_bad_checkpoints(tmp_path: Path, note: Note) -> None:
    import pickle

    sys.path.append(str(Path(__file__).parents[1] / "cli_pipeline"))
    from model_folders import BAD, farplane_folder, wan_folder

    from farplane.backend.pipeline.render import check_model

    refused = 0
    for number, (make, (damage, _)) in enumerate((m, b) for m in (farplane_folder, wan_folder) for b in BAD.values()):
        damage(make(tmp_path / f"model-{number}"))
        with pytest.raises(FarplaneError):
            check_model(str(tmp_path / f"model-{number}"))
        refused += 1
    rng, fuzzed = random.Random(4), 0
    inner = farplane_folder(tmp_path / "whole")
    weights = next(inner.glob("*.safetensors"))
    check_model(str(tmp_path / "whole"))  # as it was made, it is taken
    good = weights.read_bytes()
    for _ in range(300):  # the header is at the front
        data = bytearray(good)
        for _ in range(rng.randint(1, 5)):
            data[rng.randrange(min(len(data), 2000))] = rng.randrange(256)
        weights.write_bytes(data)
        try:
            check_model(str(tmp_path / "whole"))
        except FarplaneError:
            fuzzed += 1
    pickles = 0

    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "opened",))

    for name in ("model.safetensors", "pytorch_model.bin", "model.pt", "model.ckpt"):
        weights.unlink(missing_ok=True)
        (inner / name).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(FarplaneError):
            check_model(str(tmp_path / "whole"))
        pickles += 1
        (inner / name).unlink()
    assert not (tmp_path / "opened").exists()
    said = f"{refused} refused in words; of 300 with a spoiled header {fuzzed} refused"
    note("S3", "checkpoints: cut, wrong shapes, duplicate keys …; random bytes", f"{said}, 0 crashes")
    note("S3", "pickles, by their own names and as safetensors", f"{pickles} of {pickles} refused, none opened")


# ---- S4: strangers --------------------------------------------------------------------------------------------------


def test_s4_strangers(spawn: Callable[..., Child], call: Make, note: Note) -> None:
    child, caller = spawn(), call()
    port = int(child.ready["address"].rsplit(":", 1)[1])

    def timed() -> float:
        began = time.monotonic()
        whole(caller, make_shot(frames=3))
        return time.monotonic() - began

    rounds = many(1, 5)
    quiet = min(timed() for _ in range(rounds + 1))
    crowd = many(40, 1500)
    strangers = [socket.create_connection(("127.0.0.1", port)) for _ in range(crowd)]
    crowded = min(timed() for _ in range(rounds))
    said, longest, began = 0, 0.0, time.monotonic()
    for number, line in enumerate(strangers):
        line.settimeout(BOUND)
        try:
            if number % 2:
                line.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while data := line.recv(4096):
                said = max(said, len(data))
        except OSError:
            pass
        line.close()
    longest = time.monotonic() - began
    assert said <= 64
    what = f"{crowd} connections at once without a key, silent or HTTP"
    words = f"at most {said} bytes to each (a greeting); all closed {longest:.1f} s after the last job; "
    note("S4", what, words + f"the best of {rounds} jobs {(crowded - quiet) * 1000:+.0f} ms against none")


# ---- S6: paths ------------------------------------------------------------------------------------------------------

PATHS = (
    "../../escaped", "/tmp/farplane-escaped", "..\\..\\escaped", "C:\\escaped", "\\\\server\\share\\escaped", "a/b", "nul", "CON",
    "frame.exr:stream", "frame\0.exr", ".", "..", "", "~/escaped", "file:///tmp/farplane-escaped", "\u202egnp.exe", "x" * 5000,
)  # fmt: skip


def test_s6_paths(backend: Backend, tmp_path: Path, note: Note) -> None:
    """In every place of a message where a text stands, to the backend and from it."""
    outside = tmp_path / "outside"
    outside.mkdir()

    def listing() -> set[str]:
        inside = (backend.server._store.data, backend.config)
        return {str(p) for p in tmp_path.rglob("*") if not any(p.is_relative_to(folder) for folder in inside)}

    before, tried = listing(), 0
    headers = [json.loads(parts[0]) for parts in messages()]
    key = known(backend.config)
    for header in headers:
        for name in places(header):
            for path in PATHS[:: many(6, 1)]:
                raw = Raw(backend.server.address, backend.server.public_key, key)
                if header["type"] != "hello":
                    raw.greet()
                raw.send(json.dumps(put(header, name, path)).encode())
                raw.hear(many(20, 40))
                raw.close()
                tried += 1
    for path in PATHS:  # and what a client would be told to write
        for message in (
            {"v": 1, "type": "items", "job": codec.new_job(), "items": [{"item": path, "size": 1, "sha256": "0" * 64}]},
            {"v": 1, "type": "accepted", "job": path, "position": 0},
        ):
            with pytest.raises(events.ProtocolError):
                codec.decode([json.dumps(message).encode()], FROM_BACKEND)
            tried += 1
    assert listing() == before
    assert not Path("/tmp/farplane-escaped").exists()
    assert all(len(path.name) == 36 for path in (backend.server._store.data / "jobs").iterdir())
    what = "paths, drives, streams, NUL and device names in every text of every message"
    note("S6", what, f"{tried} messages, 0 files outside the backend's folders")


def places(value: object, at: tuple = ()) -> list[tuple]:
    """Where texts stand in a header."""
    if isinstance(value, str):
        return [at]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for name, part in inner for place in places(part, (*at, name))]


def put(value: object, at: tuple, text: str) -> object:
    if not at:
        return text
    parts = dict(value) if isinstance(value, dict) else list(value)  # type: ignore[call-overload]
    parts[at[0]] = put(parts[at[0]], at[1:], text)
    return parts
