"""PNG files read without Blender: numpy and zlib, in any thread, while the window goes on.

What the wire carries as pictures: 8 bits a channel, grey or colour with or without alpha, not interlaced (PNG
specification, ISO/IEC 15948).

Legend: H rows, W columns, C channels; row 0 is the top.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from ..protocol.errors import FarplaneError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)  # filters


def read_png(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """Return [H, W, 3], or [H, W, 4] where the file has alpha.  Raises FarplaneError for anything else."""
    try:
        return _read(data, max_pixels)
    except (ValueError, struct.error, zlib.error) as error:
        raise FarplaneError("picture", f"it is no PNG that can be shown: {error}", "Update the backend") from error


def _read(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    if not data.startswith(SIGNATURE):
        raise ValueError("another signature")
    header, packed, at = b"", [], len(SIGNATURE)
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        at += size + 12
        if name == b"IHDR":
            header = body
        elif name == b"IDAT":
            packed.append(body)
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if bits != 8 or colour not in _CHANNELS or interlaced or not 0 < width * height <= max_pixels:
        raise ValueError(f"{width} x {height}, {bits} bits, colour type {colour}, interlaced {interlaced}")
    channels = _CHANNELS[colour]
    size = height * (1 + width * channels)
    rows = zlib.decompressobj().decompress(b"".join(packed), size)  # never more than the header says
    if len(rows) != size:
        raise ValueError("it ends early")
    lines = np.frombuffer(rows, np.uint8).reshape(height, -1)
    picture = _unfilter(lines[:, 0], lines[:, 1:].reshape(height, width, channels))
    if channels < 3:  # grey, and its alpha
        picture = np.concatenate([np.repeat(picture[..., :1], 3, -1), picture[..., 1:]], -1)
    return picture


def _unfilter(kinds: NDArray[np.uint8], coded: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo the rows' filters `kinds` [H]; each pixel was coded by the ones to its left and above, modulo 256.

    All pixels of a diagonal at once: what each needs lies on the two diagonals before.  A picture of 768 x 448 takes
    1215 short steps so, and 344064 long ones pixel by pixel.
    """
    if kinds.max(initial=0) > _PAETH:
        raise ValueError(f"filter {kinds.max()}")
    height, width, channels = coded.shape
    out = np.zeros((height + 1, width + 1, channels), np.int32)  # a border of zeros above and to the left
    kind = kinds.astype(np.int32)[:, None]
    for diagonal in range(height + width - 1):
        y = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        x = diagonal - y
        left, up, corner = out[y + 1, x], out[y, x + 1], out[y, x]
        # Paeth: of the three the one nearest to left + up - corner, the first of equals
        to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
        nearest = np.where(to_up <= to_corner, up, corner)
        nearest = np.where((to_left <= to_up) & (to_left <= to_corner), left, nearest)
        guess = np.choose(kind[y], [np.zeros_like(left), left, up, (left + up) >> 1, nearest])
        out[y + 1, x + 1] = (coded[y, x] + guess) & 255
    return out[1:, 1:].astype(np.uint8)
