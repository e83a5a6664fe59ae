"""Frames on the disk: all of their space is there before the work, or there are words; never SIGBUS."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from farplane.backend.pipeline import scratch
from farplane.backend.pipeline.scratch import scratch_array, temporary_fault
from farplane.protocol.errors import FarplaneError

# A process that may write files of 1 MiB at most, as on a disk with that much room.
CODE = """
import os, resource, sys, tempfile
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
from farplane.backend.pipeline.scratch import scratch_array
{before}
try:
    with scratch_array(({frames}, 64, 64, 3), "<f2") as full:
        full[:] = 1.5
        assert full[-1, -1, -1, -1] == 1.5
        print("room")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(os.name != "posix", reason="a limit of POSIX")
@pytest.mark.parametrize("before", ["", "if hasattr(os, 'posix_fallocate'): del os.posix_fallocate"])
@pytest.mark.parametrize("frames", [42, 43])  # 24,576 bytes each: 1 MiB holds 42 of them
def test_a_scratch_file_that_does_not_fit_is_words(before: str, frames: int, tmp_path: Path) -> None:
    """With the system's own way to reserve space, and where there is none."""
    code = CODE.format(before=before, frames=frames)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    if frames == 42:
        assert done.stdout.strip() == "room"
    else:
        assert done.stdout.startswith("FarplaneError disk: there is no room")
        assert str(tmp_path) in done.stdout
        assert "TMPDIR" in done.stdout
    assert not list(tmp_path.iterdir())


def test_every_byte_of_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file system counts as taken is the whole file, while nothing was written to it yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for reserve in (scratch.reserve, None):
        with (tmp_path / "file").open("w+b") as file:
            if reserve is None:
                file.truncate(3 << 20)
            else:
                reserve(file, 3 << 20)
            taken = os.fstat(file.fileno()).st_blocks * 512
            assert (taken >= 3 << 20) == (reserve is not None)
    with scratch_array((3, 4, 5, 3), np.float16) as full:
        assert full.shape == (3, 4, 5, 3)
        assert not full.any()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no room for temporary files"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "no room for temporary files"),
        (OSError(errno.EROFS, "Read-only file system"), "cannot be written to"),
    ],
)
def test_what_is_said_names_the_folder_and_the_remedy(error: OSError, words: str) -> None:
    fault = temporary_fault(error)
    assert fault.field == "disk"
    assert words in fault.problem
    assert tempfile.gettempdir() in fault.problem
    assert "TMPDIR" in fault.remedy


def test_no_folder_for_temporary_files_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", none)
    with pytest.raises(FarplaneError, match="no folder for temporary files"), scratch_array((2, 4, 4, 3), np.float16):
        pass
