"""Frames on the disk while a job works on them: more than memory holds, gone with the process.

Writing to a mapped file whose space was never reserved ends a process with SIGBUS when the disk is full, and no words.
So the space is taken first, where running out of it is an error like any other.
"""

from __future__ import annotations

import errno
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...protocol.errors import FarplaneError

BLOCK = 8 << 20  # bytes of zeros that are written at a time where the system cannot reserve space
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, no quota, no larger file


@contextmanager
def scratch_array(shape: tuple[int, ...], dtype: DTypeLike) -> Iterator[NDArray]:
    """An array of zeros in a nameless file in the folder for temporary files; all of its space is reserved.

    Raises FarplaneError("disk") when there is no room for it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 (closed below)
    except OSError as error:  # no candidate for the folder takes even a few bytes
        raise temporary_fault(error, size) from error
    with file:
        try:
            reserve(file, size)
        except OSError as error:
            raise temporary_fault(error, size) from error
        yield np.memmap(file, dtype, "r+", shape=shape)


def reserve(file: IO[bytes], size: int) -> None:
    """Make a file `size` bytes long, every one of them on the disk.  Raises OSError when they do not fit."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
    file.seek(0)
    zeros = bytes(BLOCK)
    for first in range(0, size, BLOCK):
        file.write(zeros[: size - first])
    file.flush()
    os.fsync(file.fileno())


def temporary_fault(error: OSError, size: int = 0) -> FarplaneError:
    """What to say when the folder for temporary files cannot be used.  size : bytes that were wanted, if known."""
    remedy = "Free some space there, or start the backend with TMPDIR set to a folder on a disk with more room"
    try:
        folder = tempfile.gettempdir()
    except OSError:  # there is none at all
        return FarplaneError("disk", "no folder for temporary files can be written to", remedy)
    if error.errno not in _FULL:
        return FarplaneError("disk", f"temporary files cannot be written to {folder} ({error.strerror})", remedy)
    wanted = f", and {max(1, size >> 20)} MiB are needed there" if size else ""
    return FarplaneError("disk", f"there is no room for temporary files in {folder}{wanted}", remedy)
