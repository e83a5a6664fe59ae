"""addon/output.py: an output folder is whole or as it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from farplane.addon.base_colour import read_colours
from farplane.addon.exr import read_channel
from farplane.addon.output import OutputFolder, StagedFiles
from farplane.addon.takes import Take
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, Shot


def make_shot(frames=(3, 4), reference=False):
    count = len(frames)
    z = np.random.default_rng(0).uniform(1, 9, (count, 32, 34)).astype(np.float32)
    z[:, :4] = np.inf
    camera = CameraTrack(np.tile(np.eye(3), (count, 1, 1)), np.tile(np.eye(4), (count, 1, 1)))
    beauty = np.ones((count, 32, 34, 3), np.float32) if reference else None
    return Shot("s", frames, (34, 32), Fraction(24), camera, DepthPass(z, 1, 9), Prompt("x"), reference=beauty)


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_committed_files_are_whole(tmp_path):
    shot = make_shot(reference=True)
    with OutputFolder(tmp_path / "a" / "b") as folder, StagedFiles(folder.path) as files:
        files.add_passes(shot)
        files.add_reference(shot)
        assert not [name for name in listing(folder.path) if not name.startswith(".farplane-stage")]
        files.commit({"frames": [1]})
    assert listing(tmp_path / "a" / "b") == [
        "depth.0003.exr",
        "depth.0004.exr",
        "reference.0003.exr",
        "reference.0004.exr",
        "shot.json",
    ]
    assert json.loads((tmp_path / "a" / "b" / "shot.json").read_text()) == {"frames": [1]}
    np.testing.assert_array_equal(read_channel(tmp_path / "a" / "b" / "depth.0004.exr"), shot.depth.z[1])


def test_base_colours_lie_beside_the_depth_and_are_shared_with_it(tmp_path):
    colours = np.random.default_rng(2).integers(0, 256, (2, 32, 34, 4), np.uint8)
    colours[..., 3] = 255
    shot = replace(make_shot(), base_colour=colours)
    expected = [
        f"{stem}.{frame:04d}.{kind}" for stem, kind in (("base_colour", "png"), ("depth", "exr")) for frame in (3, 4)
    ]
    with (
        OutputFolder(tmp_path / "out") as folder,
        StagedFiles(folder.path / "a") as first,
        StagedFiles(folder.path / "b") as other,
    ):
        first.add_passes(shot)
        other.share_passes(first)
        assert other.depth == first.depth
        first.commit()
        other.commit()
        folder.keep()
    for place in ("a", "b"):
        assert listing(tmp_path / "out" / place) == expected
        np.testing.assert_array_equal(read_colours(tmp_path / "out" / place / "base_colour.0004.png"), colours[1])


@pytest.mark.parametrize("error", [FarplaneError("a", "b", "c"), KeyboardInterrupt(), ZeroDivisionError()])
@pytest.mark.parametrize("existing", [False, True])
def test_a_failure_leaves_the_folder_as_it_was(tmp_path, error, existing):
    out = tmp_path / "new" / "out"
    if existing:
        (out / "mine").mkdir(parents=True)
        (out / "mine" / "plate.0001.exr").write_bytes(b"elsewhere")
        (out / "shot.json").write_text("older")
    before = listing(tmp_path)

    def work() -> None:
        with OutputFolder(out) as folder, StagedFiles(folder.path) as files:
            files.add_passes(replace(make_shot(), base_colour=np.zeros((2, 32, 34, 4), np.uint8)))
            (folder.path / "plate.0003.exr").write_bytes(b"half a plate")
            (folder.path / "second shot").mkdir()
            (folder.path / "second shot" / "take.json").write_text("{}")
            raise error

    with pytest.raises(type(error)):
        work()
    assert listing(tmp_path) == before


def test_what_was_declared_whole_survives_a_later_failure(tmp_path):
    """The first of two shots is done when the second one fails."""

    def work() -> None:
        with OutputFolder(tmp_path / "out") as folder:
            for name in ("one", "two"):
                (folder.path / name).mkdir()
                (folder.path / name / "plate.0001.exr").write_bytes(b"plate")
                if name == "one":
                    folder.keep(folder.path / name)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert listing(tmp_path / "out") == ["one", "one/plate.0001.exr"]


def test_files_that_are_not_ours_stay(tmp_path):
    """What somebody else puts there while we work is not ours to remove."""

    def work() -> None:
        with OutputFolder(tmp_path / "out") as folder:
            (folder.path / "notes.txt").write_text("mine")
            (folder.path / "plate.0001.exr").write_bytes(b"ours")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert listing(tmp_path / "out") == ["notes.txt"]


def test_a_plate_is_refused_and_untouched(tmp_path):
    (tmp_path / "plate.0001.exr").write_bytes(b"plate")
    with pytest.raises(FarplaneError, match="already holds a plate"):
        OutputFolder(tmp_path).__enter__()
    assert listing(tmp_path) == ["plate.0001.exr"]
    with OutputFolder(tmp_path, overwrite=True) as folder:
        folder.refuse_plate(tmp_path)
    assert (tmp_path / "plate.0001.exr").read_bytes() == b"plate"


def test_a_file_and_a_link_to_nothing_are_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "to file").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("file", "file/below", "nowhere", "to file", "loop"):
        with pytest.raises(FarplaneError, match="output folder"):
            OutputFolder(tmp_path / name).__enter__()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop", "nowhere", "to file"]


def test_a_link_to_a_folder_is_followed(tmp_path):
    """A show's root often is one, also through several links; what fails leaves the real folder as it was."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "notes.txt").write_text("mine")
    (tmp_path / "show").symlink_to("disk")
    (tmp_path / "today").symlink_to(tmp_path / "show")
    with OutputFolder(tmp_path / "today") as folder:
        assert folder.path == tmp_path / "disk"
        (folder.path / "plate.0001.exr").write_bytes(b"x")
        folder.keep()
    with pytest.raises(FarplaneError, match="already holds a plate"):
        OutputFolder(tmp_path / "show").__enter__()
    with pytest.raises(FarplaneError, match="no frames"), OutputFolder(tmp_path / "show" / "deeper") as folder:
        Take.create(folder.path, {})
    assert sorted(os.listdir(tmp_path / "disk")) == ["notes.txt", "plate.0001.exr"]


def test_a_shot_is_replaced_only_if_it_may_be(tmp_path):
    (tmp_path / "shot.json").write_text("{}")
    with pytest.raises(FarplaneError, match="already holds a shot"):
        OutputFolder(tmp_path, for_shot=True).__enter__()
    with OutputFolder(tmp_path, for_shot=True, overwrite=True):
        pass
    with OutputFolder(tmp_path):  # of a render: its plate is what counts
        pass


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="mounts need root")
@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_a_full_disk_and_a_read_only_one(tmp_path, kind):
    """Real ones: a file system of 64 kB with nothing left, and one mounted read-only."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = "size=64k" if kind == "full" else "ro"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        if kind == "full":
            with pytest.raises(OSError, match="No space"):
                (disk / "ballast").write_bytes(bytes(200_000))
        with pytest.raises(FarplaneError, match="is full" if kind == "full" else "cannot be written"):
            OutputFolder(disk / "out").__enter__()
        assert not (disk / "out").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_while_depth_is_written(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounts need root")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        frames = tuple(range(1, 200))
        with (
            pytest.raises(FarplaneError, match="is full"),
            OutputFolder(disk / "out") as folder,
            StagedFiles(folder.path) as files,
        ):
            files.add_passes(make_shot(frames))
        assert listing(disk) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
