"""What is refused before any work: ranges, sizes, scenes, output folders; and that a failed run leaves no trace."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from farplane.backend import checks
from farplane.protocol.errors import FarplaneError
from farplane.protocol.pairing import Published, publish


@pytest.mark.parametrize(
    ("text", "want"),
    [("", None), ("1-24", (1, 24)), (" 101 - 149 ", (101, 149)), ("0-1", (0, 1))],
)
def test_frames_are_read(text: str, want: tuple[int, int] | None) -> None:
    assert checks.parse_frames(text) == want


@pytest.mark.parametrize("text", ["7", "a-b", "1-", "24-1", "-5-8", "1..24", "5-5", "1-99999999", "1-2-3", "1-2\n3"])
def test_frames_that_are_no_shot(text: str) -> None:
    with pytest.raises(FarplaneError) as error:
        checks.parse_frames(text)
    assert error.value.field == "frames"


@pytest.mark.parametrize(("text", "want"), [("", None), ("960x540", (960, 540)), ("64 × 32", (64, 32))])
def test_size_is_read(text: str, want: tuple[int, int] | None) -> None:
    assert checks.parse_size(text) == want


@pytest.mark.parametrize("text", ["960", "0x0", "32768x32768", "-2x4", "960x540x3", "8192x8192"])
def test_size_that_is_no_plate(text: str) -> None:
    with pytest.raises(FarplaneError) as error:
        checks.parse_size(text)
    assert error.value.field == "resolution"


def test_scene_file(tmp_path: Path) -> None:
    (tmp_path / "empty.blend").touch()
    for path in (tmp_path / "absent.blend", tmp_path, tmp_path / "empty.blend"):
        with pytest.raises(FarplaneError) as error:
            checks.check_scene(path)
        assert error.value.field == "scene"
    (tmp_path / "some.blend").write_bytes(b"BLENDER")
    checks.check_scene(tmp_path / "some.blend")


def test_output_folder_is_made_and_kept(tmp_path: Path) -> None:
    with checks.output_folder(tmp_path / "a" / "b", overwrite=False):
        (tmp_path / "a" / "b" / "plate.0001.exr").write_bytes(b"x")
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["plate.0001.exr"]


def broken_run(out: Path, names: tuple[str, ...], trouble: BaseException, text: str = "half a take") -> None:
    """A run that writes some files and then ends in `trouble`."""
    with checks.output_folder(out, overwrite=True):
        for name in names:
            (out / name).write_text(text)
        (out / ".farplane-0123").mkdir()
        raise trouble


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), FarplaneError("a", "b", "c"), OSError(28, "full")])
def test_a_failed_run_leaves_no_trace(tmp_path: Path, trouble: BaseException) -> None:
    out = tmp_path / "a" / "b"
    names = (
        "plate.0001.exr",
        "shot.json",
        "take.json",
        ".plate.0002.exr.0af.part",
        "x_farplane.blend",
        ".x_farplane.77.blend",
    )
    with pytest.raises(type(trouble)):
        broken_run(out, names, trouble)
    assert not (tmp_path / "a").exists()


def test_a_failed_run_touches_nothing_that_was_there(tmp_path: Path) -> None:
    for name in ("plate.0001.exr", "shot.json", "notes.txt", "shot.blend"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        broken_run(tmp_path, ("plate.0002.exr", "somebody.else"), KeyboardInterrupt())
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"plate.0001.exr", "shot.json", "notes.txt", "shot.blend", "somebody.else"}
    assert (tmp_path / "plate.0001.exr").read_text() == "mine"


def test_a_whole_take_stays_when_what_follows_fails(tmp_path: Path) -> None:
    names = ("plate.0001.exr", "report.json", ".x_farplane.77.blend", "take.json")
    with pytest.raises(KeyboardInterrupt):
        broken_run(tmp_path, names, KeyboardInterrupt(), '{"finished": "2026-11-01T10:00:00"}')
    assert {p.name for p in tmp_path.iterdir()} == {"plate.0001.exr", "report.json", "take.json"}


@pytest.mark.parametrize("address", ["http://a:1", "tcp://a", "tcp://a:0", "tcp://a:70000", "a:1", "tcp://a b:1"])
def test_a_backend_address_is_checked(address: str) -> None:
    with pytest.raises(FarplaneError) as error:
        checks.check_backend(address, "x" * 40)
    assert error.value.field == "backend"


def test_a_backend_address_and_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARPLANE_CONFIG", str(tmp_path))
    for address in ("tcp://localhost:46347", "tcp://[::1]:5", "tcp://10.0.0.7:65535", "tcp://node-1.farm:46347"):
        checks.check_backend(address, "x" * 40)
    checks.check_backend("", "")
    for address, key in (("tcp://a:1", "short"), ("", "x" * 40), ("tcp://127.0.0.1:46347", "")):
        with pytest.raises(FarplaneError) as error:
            checks.check_backend(address, key)
        assert error.value.field == "backend key"
    publish(tmp_path, Published("tcp://127.0.0.1:46347", "y" * 40, 1))
    checks.check_backend("tcp://127.0.0.1:46347", "")  # this machine's own: its key is known
    checks.check_backend("tcp://localhost:46347", "")
    with pytest.raises(FarplaneError, match="its key was not given"):
        checks.check_backend("tcp://10.0.0.7:46347", "")


def test_a_plate_is_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "plate.0001.exr").write_text("mine")
    with pytest.raises(FarplaneError, match="--overwrite"), checks.output_folder(tmp_path, overwrite=False):
        raise AssertionError("work began")
    with checks.output_folder(tmp_path, overwrite=True):
        pass
    assert (tmp_path / "plate.0001.exr").read_text() == "mine"


def test_output_that_is_a_file_or_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for out in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "link"):
        with pytest.raises(FarplaneError) as error, checks.output_folder(out, overwrite=False):
            raise AssertionError("work began")
        assert error.value.field == "output folder"


def test_output_through_a_link_to_a_folder(tmp_path: Path) -> None:
    """A show's root often is one; and `shot` replaces nothing unasked."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "show").symlink_to("disk")
    with checks.output_folder(tmp_path / "show", overwrite=False, for_shot=True):
        (tmp_path / "disk" / "shot.json").write_text("{}")
    with (
        pytest.raises(FarplaneError, match="already holds a shot"),
        checks.output_folder(tmp_path / "show", overwrite=False, for_shot=True),
    ):
        raise AssertionError("work began")
    assert (tmp_path / "disk" / "shot.json").exists()


def test_a_full_disk_is_said_before_any_work(small_disk: Path) -> None:
    with pytest.raises(FarplaneError, match="MiB free"), checks.output_folder(small_disk / "out", overwrite=False):
        raise AssertionError("work began")
    assert list(small_disk.iterdir()) == []
    (small_disk / "fill").write_bytes(bytes(2**20))
    with pytest.raises(FarplaneError, match="full"), checks.output_folder(small_disk / "out", overwrite=False):
        raise AssertionError("work began")


def test_a_read_only_disk_is_said_before_any_work(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for out in (small_disk, small_disk / "out"):
        with pytest.raises(FarplaneError, match="cannot be written"), checks.output_folder(out, overwrite=False):
            raise AssertionError("work began")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FarplaneError, match="cannot be written"), checks.output_folder(tmp_path, overwrite=False):
        raise AssertionError("work began")
