"""A job's files: the upload as it comes in, and the results as they come out.

``DATA/jobs/UUID/`` holds::

    input.part      the upload, growing; gone unless it is finished
    input.bin       the arrays, whole and checked; gone when the job has ended
    submit.json     the submit message's header; written last, so with it the job is whole
    job.json        what the queue knew when the job ended (quarantine.py)
    attempt-N/      what the N-th run has made: frame.NUMBER.exr, report.json …

Every file is written beside its place, flushed to the disk and renamed: it is whole or it is absent.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ...protocol.codec import assemble, decode, encode, upload_layout
from ...protocol.events import Item, RemoteProtocolError, Submit
from ...protocol.schema import FROM_CLIENT
from ...protocol.shot import CameraTrack, Shot
from .folders import make_folder, open_private

SLAB = 64 << 20  # bytes of depth that are looked at together


def item_file(item: Item) -> str:
    """The file name of a result inside its attempt's folder."""
    return f"frame.{item}.exr" if isinstance(item, int) else item


def write_durable(path: Path, data: bytes | memoryview) -> None:
    """Write a whole file that survives a power cut, or none.  Raises OSError."""
    temporary = path.with_name(path.name + ".part")
    try:
        with open_private(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Flush a folder's own entries; on Windows the file system does it itself."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Upload:
    """The arrays of one submission on their way in.

    offset : bytes so far.  total : bytes in all.  No file is open before the first byte, and none while it rests.
    """

    def __init__(self, folder: Path, submit: Submit) -> None:
        self.submit = submit
        self.folder = folder
        self.offset = 0
        self._layout = upload_layout(submit)
        self.total = self._layout[-1][1] + self._layout[-1][2]
        self._hashes = [hashlib.sha256() for _ in self._layout]
        self._file: IO[bytes] | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Take the next chunk.  Raises FarplaneError for a camera that is none, OSError from the disk."""
        offset, view = self.offset, memoryview(data)
        if offset == 0:
            check_cameras(self.submit, view)
        if self._file is None:
            make_folder(self.folder)
            self._file = open_private(self.folder / "input.part", "ab" if offset else "wb")
        for digest, (_, start, size) in zip(self._hashes, self._layout, strict=True):
            digest.update(view[max(0, start - offset) : max(0, start + size - offset)])
        self._file.write(view)
        self.offset += len(data)

    def rest(self) -> None:
        """Nobody sends it just now: give its file handle back.  Raises OSError."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def finish(self) -> None:
        """Check and keep the whole upload; slow, so not for the thread that answers messages.

        Raises RemoteProtocolError for damaged bytes, FarplaneError for a shot that cannot be rendered, OSError.
        """
        assert self._file is not None, "finished before the last byte"
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rest()
        for digest, (info, _, _) in zip(self._hashes, self._layout, strict=True):
            if digest.hexdigest() != info.sha256:
                raise RemoteProtocolError(f"upload: {info.name} does not have the SHA-256 that was announced")
        part = self.folder / "input.part"
        validate_arrays(self.submit, map_arrays(self.submit, part))
        part.replace(self.folder / "input.bin")
        write_durable(self.folder / "submit.json", bytes(encode(self.submit)[0]))
        sync_folder(self.folder.parent)

    def abandon(self) -> None:
        """Close and delete everything."""
        with suppress(OSError):  # the last bytes of a full disk; they are not wanted
            self.rest()
        shutil.rmtree(self.folder, ignore_errors=True)


def check_cameras(submit: Submit, first: memoryview) -> None:
    """Look at the cameras, which lie in the stream's first chunk, whole.  Raises FarplaneError for what is none."""
    T = len(submit.frames)
    K = np.frombuffer(first, "<f8", 9 * T).reshape(T, 3, 3)
    CameraTrack(K, np.frombuffer(first, "<f8", 16 * T, K.nbytes).reshape(T, 4, 4)).validate(T)


def map_arrays(submit: Submit, path: Path) -> dict[str, NDArray]:
    """The arrays of a spooled upload by name, mapped, not read."""
    return {
        info.name: np.memmap(path, dtype=info.dtype, mode="r", offset=offset, shape=info.shape)
        for info, offset, _ in upload_layout(submit)
    }


def validate_arrays(submit: Submit, arrays: dict[str, NDArray]) -> None:
    """`Shot.validate` a few frames at a time, so that memory stays small.  Raises FarplaneError."""
    T, (W, H) = len(submit.frames), submit.resolution
    count = max(2, SLAB // (W * H * 4))
    for first in range(0, T, count):
        first = min(first, max(0, T - 2))  # two frames at least: one alone is no shot
        last = min(T, first + count)
        part = Submit(**{**vars(submit), "frames": submit.frames[first:last]})
        assemble(part, {name: array[first:last] for name, array in arrays.items()}).validate()


def read_submit(folder: Path) -> Submit:
    """What was asked for.  Raises OSError or ProtocolError (another version's file)."""
    submit = decode([(folder / "submit.json").read_bytes()], FROM_CLIENT)
    if not isinstance(submit, Submit):
        raise RemoteProtocolError("submit.json holds another message")
    return submit


def read_shot(folder: Path) -> tuple[Shot, Submit]:
    """The whole shot, arrays in memory."""
    submit = read_submit(folder)
    return assemble(submit, map_arrays(submit, folder / "input.bin")), submit
