"""What an OpenEXR file's header promises, read before any of it is decoded.

A file of a few kilobytes may announce gigabytes, and a cut or damaged one is often decoded to wrong pixels without
a word.  This reads the bytes only: "OpenEXR File Layout" of the format's documentation, single-part scanline files.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from ...protocol.errors import FarplaneError

# Lines in a chunk by the file's compression byte: none, RLE, ZIPS, ZIP, PIZ, PXR24, DWAA, DWAB, HTJ2K256, HTJ2K32.
CHUNK_LINES = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 8: 32, 9: 256, 10: 256, 11: 32}
MAGIC = b"\x76\x2f\x31\x01"
LONG_NAMES = 0x400  # the one version flag that a plain file may carry
MAX_ATTRIBUTES = 512
MAX_NAME = 256


class Layout(NamedTuple):
    """Size, first line (y), channel names, lines in a chunk, and where the chunk table begins."""

    width: int
    height: int
    first_line: int
    channels: tuple[str, ...]
    chunk_lines: int
    table: int


def damaged(problem: str) -> FarplaneError:
    """The error for a file that cannot be trusted."""
    return FarplaneError("exr", problem, "Get the file again; it is damaged or not what was expected")


def _name(data: bytes, at: int) -> tuple[str, int]:
    """A null-terminated name at `at`, and the position after it."""
    end = data.find(b"\0", at, at + MAX_NAME)
    if end < 0:
        raise damaged("its header is cut short")
    return data[at:end].decode("latin-1"), end + 1


def _attributes(data: bytes) -> tuple[dict[str, bytes], int]:
    """The header's raw attributes, and the position after it."""
    if data[:4] != MAGIC or len(data) < 9:
        raise damaged("it is no OpenEXR file")
    (version,) = struct.unpack_from("<I", data, 4)
    if version & 0xFF != 2 or version & ~(0xFF | LONG_NAMES):
        raise damaged("it is not one part of scanlines")
    found: dict[str, bytes] = {}
    at = 8
    for _ in range(MAX_ATTRIBUTES):
        name, at = _name(data, at)
        if not name:
            return found, at
        _, at = _name(data, at)
        if at + 4 > len(data):
            raise damaged("its header is cut short")
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
        if at + size > len(data):
            raise damaged("its header is cut short")
        found[name] = data[at : at + size]
        at += size
    raise damaged("its header has no end")


def _channels(raw: bytes) -> tuple[str, ...]:
    """Channel names of a chlist; every channel must be sampled at each pixel."""
    names: list[str] = []
    at = 0
    while True:
        name, at = _name(raw, at)
        if not name:
            return tuple(names)
        if at + 16 > len(raw):
            raise damaged("its channel list is cut short")
        _, _, x_step, y_step = struct.unpack_from("<4i", raw, at)
        if (x_step, y_step) != (1, 1):
            raise damaged(f"its channel {name} is subsampled")
        names.append(name)
        at += 16


def read_layout(data: bytes, *, max_pixels: int) -> Layout:
    """Read the header; raise FarplaneError("exr") when it is damaged, or its image larger than `max_pixels`."""
    attributes, table = _attributes(data)
    try:
        x0, y0, x1, y1 = struct.unpack("<4i", attributes["dataWindow"])
        compression = attributes["compression"][0]
        channels = _channels(attributes["channels"])
    except (KeyError, IndexError, struct.error) as error:
        raise damaged("its header lacks its size, channels or compression") from error
    width, height = x1 - x0 + 1, y1 - y0 + 1
    if width < 1 or height < 1:
        raise damaged(f"its size {width}x{height} is impossible")
    if width * height > max_pixels:
        raise FarplaneError("exr", f"it holds {width}x{height} pixels, {max_pixels} are allowed", "Use a smaller image")
    if compression not in CHUNK_LINES:
        raise FarplaneError("exr", f"its compression {compression} is not read here", "Save it with ZIP or PIZ")
    return Layout(width, height, y0, channels, CHUNK_LINES[compression], table)


def check_chunks(data: bytes, layout: Layout) -> None:
    """Raise FarplaneError("exr") unless every chunk of lines is there, whole, and says its own first line."""
    count = -(-layout.height // layout.chunk_lines)
    if layout.table + 8 * count > len(data):
        raise damaged("its chunk table is cut short")
    offsets = np.frombuffer(data, "<u8", count, layout.table)
    for index, offset in enumerate(offsets.tolist()):
        if offset < layout.table + 8 * count or offset + 8 > len(data):
            raise damaged(f"chunk {index} of {count} is missing")
        line, size = struct.unpack_from("<iI", data, offset)
        if line != layout.first_line + index * layout.chunk_lines or offset + 8 + size > len(data):
            raise damaged(f"chunk {index} of {count} is damaged")
