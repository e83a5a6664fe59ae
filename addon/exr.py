"""OpenEXR files, where the OpenEXR library cannot be: inside Blender.  numpy and zlib only.

Just what depth, plates to look at and Blender's own renders need: one part, scan lines, uncompressed or ZIP.  Written after the file
layout of openexr.com ("OpenEXR File Layout"): header attributes, a table of chunk offsets, then chunks of
(y, size, data).  Zipped data is the bytes of even positions, then those of odd ones, each as the difference to the one before.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..protocol.errors import FarplaneError
from ..protocol.shot import MAX_PIXELS, MAX_SIDE, ScreenWindow

_NO_CAMERA = ScreenWindow()
_MAGIC, _VERSION = 20000630, 2
_HTJ2K = (10, 11)  # blocks of 256 and of 32 lines
_LINES = {0: 1, 2: 1, 3: 16}  # compression -> scan lines in a chunk: NONE, ZIPS, ZIP
_ZIP = 3
_TYPES = {0: "<u4", 1: "<f2", 2: "<f4"}
_MAX_CHANNELS = 1024  # a render has fourteen for each view layer
_HALF_MAX = 65504.0
_DAMAGE = (struct.error, IndexError, KeyError, ValueError, OverflowError, zlib.error)


def write_channel(values: NDArray[np.float32], name: str = "Z", window: ScreenWindow = _NO_CAMERA) -> bytes:
    """Return an EXR file, ZIP compressed, with one float32 channel `name` holding `values` [H, W], seen through
    `window` (Shot.screen_window)."""
    return _encode((name,), np.asarray(values, dtype="<f4")[:, None], window)


def write_rgb(rgb: NDArray[np.float32], window: ScreenWindow = _NO_CAMERA) -> bytes:
    """Return an EXR file, ZIP compressed, with half-float R, G, B holding `rgb` [H, W, 3], clipped to half's range."""
    rows = np.clip(rgb, -_HALF_MAX, _HALF_MAX).astype("<f2").transpose(0, 2, 1)
    return _encode(("B", "G", "R"), rows[:, ::-1], window)


def _encode(names: tuple[str, ...], lines: NDArray, window: ScreenWindow) -> bytes:
    """An EXR file of `lines` [H, C, W], whose C channels carry `names`, in the alphabet's order as the format wants."""
    height, _, width = lines.shape
    rows = np.ascontiguousarray(lines)
    kind = next(key for key, dtype in _TYPES.items() if np.dtype(dtype) == rows.dtype)
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channels = b"".join(name.encode() + b"\0" + struct.pack("<iB3xii", kind, 0, 1, 1) for name in names) + b"\0"
    header = struct.pack("<iI", _MAGIC, _VERSION) + b"".join(
        attribute.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(data)) + data
        for attribute, kind, data in (
            ("channels", "chlist", channels),
            ("compression", "compression", bytes([_ZIP])),
            ("dataWindow", "box2i", box),
            ("displayWindow", "box2i", box),
            ("lineOrder", "lineOrder", b"\0"),
            ("pixelAspectRatio", "float", struct.pack("<f", window.pixel_aspect)),
            ("screenWindowCenter", "v2f", struct.pack("<2f", *window.centre)),
            ("screenWindowWidth", "float", struct.pack("<f", window.width)),
        )
    )
    header += b"\0"
    starts = range(0, height, _LINES[_ZIP])
    chunks = []
    for y in starts:
        data = _zip(rows[y : y + _LINES[_ZIP]].tobytes())
        chunks.append(struct.pack("<ii", y, len(data)) + data)
    sizes = [len(chunk) for chunk in chunks]
    offsets = len(header) + 8 * len(chunks) + np.cumsum([0, *sizes[:-1]])
    return header + offsets.astype("<u8").tobytes() + b"".join(chunks)


def read_channel(path: Path, name: str = "Z") -> NDArray[np.float32]:
    """Return channel `name` of an EXR file as [H, W] float32.

    Raises FarplaneError for a file that is missing, damaged, over-large, or not one part of scan lines with
    NONE, ZIPS or ZIP compression.
    """
    return _read(path, (name,), "depth", "Extract the shot again")[..., 0]


def read_rgb(path: Path) -> NDArray[np.float32]:
    """Return R, G, B of an EXR file as [H, W, 3] float32.  Raises FarplaneError as `read_channel` does."""
    return _read(path, ("R", "G", "B"), "plate", "Render it again, with ZIP compression")


def read_passes(path: Path, endings: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
    """Channels of a render of Blender's by their names (``ViewLayer.Depth.Z``), each [H, W] float32.

    endings : those whose names end so.

    Raises FarplaneError as `read_channel` does.
    """
    what, remedy = "passes", "Free some space for temporary files"
    data = _bytes_of(path, what, remedy)
    try:
        names = tuple(name for name, _ in _read_header(data).channels if name.endswith(endings))
        pixels = _decode(data, names)
    except _DAMAGE as error:
        raise FarplaneError(what, f"{path} is no {what} file: {error}", remedy) from error
    return {name: pixels[..., index] for index, name in enumerate(names)}


def _read(path: Path, names: tuple[str, ...], what: str, remedy: str) -> NDArray[np.float32]:
    data = _bytes_of(path, what, remedy)
    try:
        return _decode(data, names)
    except _DAMAGE as error:
        raise FarplaneError(what, f"{path} is no {what} file: {error}", remedy) from error


def _bytes_of(path: Path, what: str, remedy: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FarplaneError(what, f"{path}: {error.strerror}", remedy) from error


@dataclass(frozen=True)
class _Header:
    """What the pixels' layout follows from.  channels : (name, dtype) in file order.  table : its first byte."""

    width: int
    height: int
    top: int
    compression: int
    channels: list[tuple[str, str]]
    table: int


def _decode(data: bytes, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Channels `names` as [H, W, C]."""
    header = _read_header(data)
    line = np.dtype([(channel, kind, (header.width,)) for channel, kind in header.channels])
    for name in names:
        if name not in (line.names or ()):
            raise ValueError(f"it has no channel {name}")
    out = np.zeros((len(names), header.height, header.width), np.float32)
    lines = _LINES[header.compression]
    offsets = struct.unpack_from(f"<{-(-header.height // lines)}Q", data, header.table)
    whole = _plain_lines(data, header, line, offsets)
    if whole is not None:
        for index, name in enumerate(names):
            out[index] = whole[name]
        return out.transpose(1, 2, 0)
    seen = 0
    for offset in offsets:
        y, size = struct.unpack_from("<ii", data, offset)
        row = y - header.top
        count = min(lines, header.height - row)
        if row < 0 or count < 1 or row % lines or not 0 <= size <= len(data) - offset - 8:
            raise ValueError("a chunk lies outside the picture")
        raw = data[offset + 8 : offset + 8 + size]
        expected = count * line.itemsize
        if size < expected and header.compression:
            raw = _unzip(raw, expected)
        rows = np.frombuffer(raw, line, count)
        for index, name in enumerate(names):
            out[index, row : row + count] = rows[name]
        seen += count
    if seen != header.height:
        raise ValueError("chunks are missing")
    return out.transpose(1, 2, 0)


def _plain_lines(data: bytes, header: _Header, line: np.dtype, offsets: tuple[int, ...]) -> NDArray | None:
    """All lines at once, where they lie uncompressed one after the other, as Blender's renders do; else None."""
    chunk = np.dtype([("y", "<i4"), ("size", "<i4"), ("line", line)])
    first, count = offsets[0], header.height
    evenly = offsets == tuple(range(first, first + count * chunk.itemsize, chunk.itemsize))
    if header.compression or not evenly or first + count * chunk.itemsize > len(data):
        return None
    chunks = np.frombuffer(data, chunk, count, first)
    in_order = (chunks["y"] == np.arange(header.top, header.top + count)).all()
    return chunks["line"] if in_order and (chunks["size"] == line.itemsize).all() else None


def read_window(path: Path) -> ScreenWindow:
    """What a file says of the camera it was seen through; the format's own defaults where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            attributes, _ = _attributes(file.read(1 << 16))
        (aspect,), (width,) = (struct.unpack("<f", attributes[n]) for n in ("pixelAspectRatio", "screenWindowWidth"))
        return ScreenWindow(aspect, width, struct.unpack("<2f", attributes["screenWindowCenter"]))
    except (OSError, struct.error, IndexError, KeyError, ValueError):
        return _NO_CAMERA


def is_htj2k(path: Path) -> bool:
    """Whether a file is compressed as HTJ2K, which Blender reads from 5.2 on; False for what is no EXR file."""
    try:
        with Path(path).open("rb") as file:
            attributes, _ = _attributes(file.read(1 << 16))
        return attributes["compression"][0] in _HTJ2K
    except (OSError, struct.error, IndexError, KeyError, ValueError):
        return False


def _attributes(data: bytes) -> tuple[dict[str, bytes], int]:
    """The header's attributes, and the byte that ends them."""
    magic, version = struct.unpack_from("<iI", data, 0)
    if magic != _MAGIC or version & 0xFF != _VERSION or version & ~0x4FF:  # 0x400: long names, harmless
        raise ValueError("not a single part of scan lines")
    attributes: dict[str, bytes] = {}
    at = 8
    while data[at] != 0:
        key, at = _text(data, at)
        _, at = _text(data, at)
        (size,) = struct.unpack_from("<i", data, at)
        if size < 0:
            raise ValueError("a header attribute has a negative size")
        attributes[key] = data[at + 4 : at + 4 + size]
        at += 4 + size
    return attributes, at


def _read_header(data: bytes) -> _Header:
    attributes, at = _attributes(data)
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise ValueError(f"{width}x{height} pixels are out of range")
    compression = attributes["compression"][0]
    if compression not in _LINES:
        raise ValueError("only uncompressed, ZIPS and ZIP files are read here")
    return _Header(width, height, top, compression, list(_channels(attributes["channels"])), at + 1)


def _channels(data: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    for _ in range(_MAX_CHANNELS):
        if data[at] == 0:
            return
        name, at = _text(data, at)
        kind, x_sampling, y_sampling = struct.unpack_from("<i4xii", data, at)
        if (x_sampling, y_sampling) != (1, 1):
            raise ValueError("a channel is subsampled")
        yield name, _TYPES[kind]
        at += 16
    raise ValueError("too many channels")


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at, at + 257)
    return data[at:end].decode("latin-1"), end + 1


def _zip(raw: bytes) -> bytes:
    """Compress a chunk; where that gains nothing it is stored as it is, as readers expect."""
    source = np.frombuffer(raw, np.uint8)
    mixed = np.concatenate([source[0::2], source[1::2]])
    mixed[1:] = mixed[1:] - mixed[:-1] + np.uint8(128)  # modulo 256; the right side is computed first
    packed = zlib.compress(mixed.tobytes(), 4)
    return packed if len(packed) < len(raw) else raw


def _unzip(packed: bytes, size: int) -> bytes:
    """Undo `_zip`; `size` bytes must come out, not one more is made."""
    unpacker = zlib.decompressobj()
    mixed = np.frombuffer(unpacker.decompress(packed, size), np.uint8)
    if len(mixed) != size or unpacker.unconsumed_tail:
        raise ValueError("a chunk has a wrong size")
    steps = mixed.astype(np.int64)
    steps[1:] -= 128
    whole = np.cumsum(steps).astype(np.uint8)
    out = np.empty(size, np.uint8)
    half = (size + 1) // 2
    out[0::2], out[1::2] = whole[:half], whole[half:]
    return out.tobytes()
