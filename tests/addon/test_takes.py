"""A take on disk: whole files or none, only what was asked for, and nothing replaced unasked."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farplane.addon import takes
from farplane.addon.takes import Take, plate_frames, plate_name, write_atomic
from farplane.protocol.errors import FarplaneError

SHOT = {"resolution": [64, 32], "frames": [{"frame": number} for number in (10, 12, 14)]}
EXR = b"\x76\x2f\x31\x01"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fill(take: Take, tag: bytes = b"one") -> None:
    for number in take.expected:
        data = EXR + tag + str(number).encode()
        take.write_frame(number, data, digest(data))


def test_a_take_from_pending_to_accepted(tmp_path: Path) -> None:
    take = Take.create(tmp_path / "shots" / "take 1", SHOT, job="a-job")
    fill(take)
    report = b'{"lock": 0.3}'
    take.write_artifact("report.json", report, digest(report))
    assert take.state == "pending"
    assert not take.whole
    take.finish()
    take.accept("Warm, but good", author="Ayu")

    again = Take.open(take.folder)
    assert (again.state, again.author, again.note, again.job) == ("accepted", "Ayu", "Warm, but good", "a-job")
    assert again.whole
    assert again.decided >= again.finished >= again.created > ""
    assert list(again.frames()) == [10, 12, 14]
    assert again.shot() == SHOT
    # what take.json vouches for is what lies there
    for name, expected in again.files.items():
        assert digest((take.folder / name).read_bytes()) == expected
    assert {path.name for path in take.folder.iterdir()} == {*again.files, "take.json", "shot.json"}


def test_an_unfinished_take_is_not_accepted_and_says_what_is_missing(tmp_path: Path) -> None:
    take = Take.create(tmp_path, SHOT)
    data = EXR
    take.write_frame(10, data, digest(data))
    with pytest.raises(FarplaneError, match="2 of 3 are missing, the first is 12"):
        take.finish()
    with pytest.raises(FarplaneError, match="not finished"):
        take.accept()
    take.reject("Too dark")
    assert Take.open(tmp_path).state == "rejected"
    assert Take.open(tmp_path).author  # somebody's name is always written


def test_a_folder_with_a_plate_is_refused_and_untouched(tmp_path: Path) -> None:
    first = Take.create(tmp_path, SHOT)
    fill(first)
    first.finish()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FarplaneError, match="already holds a plate"):
        Take.create(tmp_path, SHOT)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_overwriting_replaces_only_when_the_new_plate_is_whole(tmp_path: Path) -> None:
    first = Take.create(tmp_path, SHOT)
    fill(first)
    first.write_artifact("report.json", b"{}", digest(b"{}"))
    first.finish()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "notes.txt").write_text("mine")

    shorter = {"frames": [{"frame": 12}, {"frame": 14}]}
    failed = Take.create(tmp_path, shorter, overwrite=True)
    failed.write_frame(12, EXR, digest(EXR))
    with pytest.raises(FarplaneError):
        failed.finish()
    assert {n: (tmp_path / n).read_bytes() for n in before} == before
    failed.abandon()
    assert {path.name for path in tmp_path.iterdir()} == {*before, "notes.txt"}

    # a killed process leaves its staged files; the next take sweeps them away
    Take.create(tmp_path, shorter, overwrite=True)
    second = Take.create(tmp_path, shorter, overwrite=True)
    fill(second, b"two")
    second.finish()
    assert {path.name for path in tmp_path.iterdir()} == {
        "notes.txt", "plate.0012.exr", "plate.0014.exr", "shot.json", "take.json",
    }  # fmt: skip
    assert (tmp_path / "plate.0012.exr").read_bytes() == EXR + b"two12"
    assert Take.open(tmp_path).state == "pending"


@pytest.mark.parametrize("number", [-1, 11, 1048575, 2**70, True, 10.0, "10", None])
def test_only_frames_that_were_asked_for_are_written(tmp_path: Path, number: object) -> None:
    take = Take.create(tmp_path, SHOT)
    with pytest.raises(FarplaneError):
        take.write_frame(number, EXR, digest(EXR))  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.iterdir()} == {"take.json", "shot.json"}


@settings(deadline=None, max_examples=40)  # each one writes to a disk that may be busy
@given(name=st.text(max_size=30) | st.sampled_from(["../x", "/etc/x", "plate.0010.exr", "take.json", "report.json\0"]))
def test_no_other_artifact_name_is_written(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("take")
    take = Take.create(folder, SHOT)
    with pytest.raises(FarplaneError):
        take.write_artifact(name if name not in takes.ARTIFACTS else name + "x", b"data", digest(b"data"))
    assert {path.name for path in folder.iterdir()} == {"take.json", "shot.json"}


@pytest.mark.parametrize(
    ("data", "sha"),
    [(EXR + b"x", digest(EXR + b"y")), (EXR, ""), (b"\x89PNG", digest(b"\x89PNG")), (b"", digest(b""))],
)
def test_damaged_bytes_are_refused(tmp_path: Path, data: bytes, sha: str) -> None:
    take = Take.create(tmp_path, SHOT)
    with pytest.raises(FarplaneError, match=r"damaged|no EXR"):
        take.write_frame(10, data, sha)
    assert not plate_frames(tmp_path)


def test_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"keep")
    real = tmp_path / "real"
    take = Take.create(real, SHOT)
    (real / "plate.0010.exr").symlink_to(secret)
    (real / "report.json").symlink_to(secret)
    take.write_frame(10, EXR, digest(EXR))
    take.write_artifact("report.json", b"{}", digest(b"{}"))
    assert secret.read_bytes() == b"keep"
    assert not (real / "plate.0010.exr").is_symlink()

    (real / "plate.0012.exr").symlink_to(secret)
    assert list(plate_frames(real)) == [10]
    (real / "take.json").unlink()
    (real / "take.json").symlink_to(secret)
    with pytest.raises(FarplaneError, match="symbolic link"):
        Take.open(real)
    (tmp_path / "link").symlink_to(real)
    for use in (Take.open, lambda folder: Take.create(folder, SHOT, overwrite=True)):
        with pytest.raises(FarplaneError, match="symbolic link"):
            use(tmp_path / "link")


@pytest.mark.parametrize("broken", [{}, {"frames": []}, {"frames": [{}]}, {"frames": [{"frame": -5}]}, {"frames": 3}])
def test_a_shot_without_frames_makes_no_take(tmp_path: Path, broken: dict) -> None:
    with pytest.raises(FarplaneError):
        Take.create(tmp_path / "new", broken)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"state": "lost"}', "[" * 100_000, "\ud800".encode("utf-8", "surrogatepass")]
)
def test_a_broken_take_json_is_one_clear_error(tmp_path: Path, text: str | bytes) -> None:
    Take.create(tmp_path, SHOT)
    (tmp_path / "take.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(FarplaneError, match=r"take\.json"):
        Take.open(tmp_path)


def test_opening_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(FarplaneError, match="does not exist"):
        Take.open(tmp_path / "absent")


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(FarplaneError, match="output folder"):
            Take.create(folder, SHOT)
    assert (tmp_path / "file").read_text() == "mine"


def test_plate_names_sort_and_round_trip() -> None:
    assert [plate_name(n) for n in (0, 7, 1001, 10000, 1048574)] == [
        "plate.0000.exr", "plate.0007.exr", "plate.1001.exr", "plate.10000.exr", "plate.1048574.exr",
    ]  # fmt: skip


def test_only_our_own_spelling_of_a_frame_is_a_plate(tmp_path: Path) -> None:
    for name in (
        "plate.0001.exr",
        "plate.00001.exr",
        "plate.1.exr",
        "plate.0002.EXR",
        "xplate.0003.exr",
        "plate.0004.exr~",
    ):
        (tmp_path / name).write_bytes(EXR)
    (tmp_path / "plate.0005.exr").mkdir()
    assert list(plate_frames(tmp_path)) == [1]


def _child(code: str, *arguments: str, **options: object) -> dict:
    """Run `code` in a process of its own and return the JSON it prints."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


_FILL_THE_DISK = """
import hashlib, json, sys
from pathlib import Path
from farplane.addon.takes import Take
from farplane.protocol.errors import FarplaneError
data = b"\\x76\\x2f\\x31\\x01" + bytes(4 << 20)
try:
    take = Take.create(Path(sys.argv[1]), {"frames": [{"frame": 1}]})
    take.write_frame(1, data, hashlib.sha256(data).hexdigest())
    print(json.dumps({"field": "none"}))
except FarplaneError as error:
    print(json.dumps({"field": error.field, "problem": error.problem, "remedy": error.remedy}))
"""


def test_a_full_disk_is_one_clear_error_and_leaves_no_half_file(tmp_path: Path) -> None:
    def limit() -> None:  # the file system's own "file too large", the nearest to ENOSPC without a disk of our own
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    error = _child(_FILL_THE_DISK, str(tmp_path), preexec_fn=limit)
    assert error["field"] == "output folder"
    assert "full" in error["problem"]
    assert {path.name for path in tmp_path.iterdir()} == {"take.json", "shot.json"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_enospc_itself_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open
    monkeypatch.setattr(takes.os, "open", lambda path, flags, *mode: real("/dev/full", os.O_WRONLY))
    with pytest.raises(FarplaneError, match="is full"):
        write_atomic(tmp_path / "plate.0001.exr", EXR)
    assert not list(tmp_path.iterdir())


def test_a_read_only_folder_is_one_clear_error(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IROTH | stat.S_IXOTH)
    root = os.geteuid() == 0  # root may write anywhere, nobody may not
    try:
        if root:
            os.seteuid(65534)
            with pytest.raises(FarplaneError, match="cannot be written to"):
                Take.create(folder, SHOT)  # pytest's own folders are closed to others: not even a look is allowed
            os.seteuid(0)
            for parent in (tmp_path, *tmp_path.parents[:2]):
                parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
            os.seteuid(65534)
        with pytest.raises(FarplaneError, match="cannot be written to") as caught:
            Take.create(folder, SHOT)
        with pytest.raises(FarplaneError, match="cannot be written to"):
            Take.create(folder / "below", SHOT)
    finally:
        if root:
            os.seteuid(0)
    assert caught.value.field == "output folder"
    assert not list(folder.iterdir())


def test_an_interrupted_write_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "take.json"
    write_atomic(path, b"before")

    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(takes.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_takes_are_numbered_and_listed_newest_first(tmp_path: Path) -> None:
    assert takes.next_folder(tmp_path / "absent").name == "take 001"
    for name in ("take 001", "take 007", "take x", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "take 900").write_text("a file, no take")
    assert takes.next_folder(tmp_path).name == "take 008"
    first, second = (Take.create(takes.next_folder(tmp_path), SHOT) for _ in range(2))
    first.created, second.created = "2026-01-02T00:00:00+00:00", "2026-01-01T00:00:00+00:00"
    for take in (first, second):
        take.save()
    assert [take.name for take in takes.takes_in(tmp_path)] == ["take 008", "take 009"]
    assert takes.takes_in(tmp_path / "absent") == []


@given(st.text())
def test_any_shot_name_makes_one_plain_folder(name: str) -> None:
    folder = takes.folder_name(name)
    assert 1 <= len(folder) <= 80
    assert not set(folder) & set('/\\:*?"<>|.\0\n')
    assert folder == folder.strip()


def test_a_take_without_frames_can_be_discarded_one_with_frames_stays(tmp_path: Path) -> None:
    empty = Take.create(tmp_path / "a", SHOT)
    (tmp_path / "a" / "depth.0010.exr").write_bytes(EXR)
    empty.discard()
    assert not (tmp_path / "a").exists()

    shared = Take.create(tmp_path / "b", SHOT)
    (tmp_path / "b" / "notes.txt").write_text("mine")
    shared.discard()
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["notes.txt"]

    begun = Take.create(tmp_path / "c", SHOT)
    begun.write_frame(10, EXR, digest(EXR))
    begun.discard()
    assert (tmp_path / "c" / "plate.0010.exr").exists()
    assert (tmp_path / "c" / "take.json").exists()


# ---- names, pictures, deletion ------------------------------------------------------------------------------


def test_a_title_and_a_note_are_no_decision(tmp_path: Path) -> None:
    take = Take.create(tmp_path / "t", SHOT)
    take.describe(title="  golden\n hour ", note="the light")
    again = Take.open(take.folder)
    assert (again.label, again.note, again.state, again.decided) == ("golden hour", "the light", "pending", "")
    again.describe(title="")
    assert Take.open(take.folder).label == "t"
    again.describe(title="x" * 999)
    assert len(Take.open(take.folder).title) == takes.MAX_TITLE


def test_a_decision_can_be_taken_back(tmp_path: Path) -> None:
    take = Take.create(tmp_path / "t", SHOT)
    take.reject("too dark", "Ana")
    take.undecide("Budi")
    again = Take.open(take.folder)
    assert (again.state, again.note, again.author) == ("pending", "too dark", "Budi")


def test_a_thumbnail_is_a_png_or_nothing(tmp_path: Path) -> None:
    take = Take.create(tmp_path / "t", SHOT)
    take.write_thumbnail(b"GIF89a")
    assert not (take.folder / takes.THUMBNAIL).exists()
    take.write_thumbnail(b"\x89PNG\r\n\x1a\n rest")
    assert (take.folder / takes.THUMBNAIL).read_bytes().startswith(b"\x89PNG")


def test_deleting_takes_only_what_is_ours(tmp_path: Path) -> None:
    take = Take.create(tmp_path / "t", SHOT)
    for name in ("plate.0001.exr", "depth.0001.exr", "base_colour.0001.png", "report.json", takes.THUMBNAIL):
        (take.folder / name).write_bytes(b"x")
    (take.folder / takes.DEPTH_FOLDER).mkdir()
    (take.folder / takes.DEPTH_FOLDER / "depth.0001.exr").write_bytes(b"x")
    own = take.folder / "plate.0001.psd"
    own.write_bytes(b"the artist's")
    take.delete()
    assert list(take.folder.iterdir()) == [own]
    own.unlink()
    whole = Take.create(tmp_path / "u", SHOT)
    whole.delete()
    assert not whole.folder.exists()


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_deleting_follows_no_link(tmp_path: Path) -> None:
    take = Take.create(tmp_path / "t", SHOT)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "depth.0001.exr").write_bytes(b"precious")
    (take.folder / takes.DEPTH_FOLDER).symlink_to(outside)
    (take.folder / "report.json").symlink_to(outside / "depth.0001.exr")
    take.delete()
    assert (outside / "depth.0001.exr").read_bytes() == b"precious"


@pytest.mark.parametrize("seconds", ["soon", -1, None, [], 1e300, True])
def test_a_damaged_time_is_no_time(tmp_path: Path, seconds: object) -> None:
    take = Take.create(tmp_path / "t", SHOT)
    raw = json.loads((take.folder / "take.json").read_text())
    (take.folder / "take.json").write_text(json.dumps(raw | {"seconds": seconds}))
    assert Take.open(take.folder).seconds in (0.0, 1.0)
