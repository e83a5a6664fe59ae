"""A contact sheet as a PNG file, made inside Blender or out of it: numpy and zlib only, no bpy, in any thread.

Legend: H rows, W columns.  Pictures are [H, W, 3]: scene-linear float32, or 8-bit sRGB once they are to be looked at.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import lettering
from .lettering import LINE

TILE, SMALLEST_TILE = 320, 120  # pixels across; many columns make tiles smaller
WIDEST = 6000  # pixels of a whole sheet, as long as tiles are not at their smallest
CAPTION_LINES = 3
BOXES = "□ is a letter that this sheet has not; each take's own contact.png and report.png can show it"

GROUND, INK, SOFT, EMPTY = (24, 26, 29), (235, 235, 232), (150, 152, 155), (44, 47, 51)
TROUBLE = (240, 150, 110)
_EDGE, _GAP = 24, 10
_ROW_LABEL = 130  # at most


@dataclass(frozen=True)
class Tile:
    """One cell.  picture : [H, W, 3] 8-bit sRGB, or None.  caption : beneath it.  trouble : in the place of a picture."""

    picture: NDArray[np.uint8] | None
    caption: str = ""
    trouble: str = ""


def codes_of(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear light (0 … 1, any shape) as display codes: sRGB (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.power(light, 1 / 2.4) - 0.055).astype(np.float32)


def display(linear: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scene-linear to 8-bit sRGB by the fixed curve of every Farplane picture (backend/pipeline/colour.py).

    Straight to 0.5, then a hyperbola of the same slope that reaches 1 at infinity; then the sRGB curve.
    """
    value = np.maximum(np.nan_to_num(np.asarray(linear, np.float32), nan=0.0, posinf=65504.0), 0.0)
    over = np.maximum(value - 0.5, 0.0) / 0.5
    shown = np.minimum(value, 0.5) + 0.5 * over / (1.0 + over)
    return np.rint(codes_of(shown) * 255.0).astype(np.uint8)


def resize(picture: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Return [height, width, 3]: every pixel the exact mean of the area it covers; enlarging shows the pixels."""
    for axis, size in ((0, height), (1, width)):
        picture = _resize_axis(picture, axis, size)
    return picture.astype(np.float32)


def _resize_axis(picture: NDArray, axis: int, size: int) -> NDArray:
    """The differences of a running sum, read between its samples."""
    moved = np.moveaxis(picture, axis, 0).astype(np.float64)
    count = moved.shape[0]
    total = np.concatenate([np.zeros_like(moved[:1]), np.cumsum(moved, 0)])
    edges = np.arange(size + 1) * (count / size)
    below = np.minimum(edges.astype(int), count - 1)
    share = (edges - below).reshape(-1, *[1] * (moved.ndim - 1))
    at = total[below] + share * moved[below]
    return np.moveaxis(np.diff(at, axis=0) * (size / count), 0, axis)


def thumbnail(linear: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A plate's frame [H, W, 3], scene-linear, as a tile's picture: TILE wide at most."""
    height, width = linear.shape[:2]
    across = min(width, TILE)
    finite = np.nan_to_num(linear, nan=0.0, posinf=65504.0, neginf=0.0)
    return display(resize(finite, across, max(1, round(height * across / width))))


def sheet(
    title: str, rows: Sequence[str], columns: Sequence[str], tiles: Sequence[Sequence[Tile]]
) -> NDArray[np.uint8]:
    """Return the sheet [H, W, 3]: a title, names of rows and columns (where there are any), and tiles[row][column].

    Every row of `tiles` is as long as `columns`; all pictures have one shape.
    """
    across = max(SMALLEST_TILE, min(TILE, WIDEST // max(1, len(columns)) - _GAP))
    shapes = [tile.picture.shape for line in tiles for tile in line if tile.picture is not None]
    down = max(1, round(across * shapes[0][0] / shapes[0][1])) if shapes else round(across * 9 / 16)
    left = _EDGE + (min(_ROW_LABEL, max(map(lettering.width, rows))) + _GAP if any(rows) else 0)
    full = max(left + len(columns) * (across + _GAP) - _GAP + _EDGE, 420)

    heads = lettering.wrap(title, full - 2 * _EDGE, 4)
    written = (title, *rows, *columns, *(tile.caption + tile.trouble for line in tiles for tile in line))
    boxes = lettering.wrap(BOXES, full - 2 * _EDGE, 4) if any(map(lettering.lacks, written)) else []
    names = [lettering.wrap(name, across, 2) for name in columns]
    captions = [[lettering.wrap(tile.caption, across - 8, CAPTION_LINES) for tile in line] for line in tiles]
    deep = [max((len(caption) for caption in line), default=0) * LINE for line in captions]
    top = _EDGE + (len(heads) + len(boxes)) * LINE + _GAP + max(map(len, names), default=0) * LINE
    out = np.empty((top + sum(down + 4 + text + _GAP for text in deep) - _GAP + _EDGE, full, 3), np.uint8)
    out[:] = GROUND

    _lines(out, _EDGE, _EDGE - 2, heads, INK)
    _lines(out, _EDGE, _EDGE - 2 + len(heads) * LINE, boxes, SOFT)
    for column, name in enumerate(names):
        _lines(out, left + column * (across + _GAP), top - len(name) * LINE - 3, name, INK)
    y = top
    for row, line in enumerate(tiles):
        label = lettering.wrap(rows[row], _ROW_LABEL, max(1, down // LINE))
        _lines(out, _EDGE, y + max(0, (down - len(label) * LINE) // 2), label, INK)
        for column, tile in enumerate(line):
            x = left + column * (across + _GAP)
            _draw_tile(out[y : y + down, x : x + across], tile)
            _lines(out, x, y + down + 3, captions[row][column], SOFT)
        y += down + 4 + deep[row] + _GAP
    return out


def _draw_tile(place: NDArray[np.uint8], tile: Tile) -> None:
    height, width = place.shape[:2]
    if tile.picture is None:
        place[:] = EMPTY
        _lines(place, 10, 8, lettering.wrap(tile.trouble, width - 20, max(1, (height - 16) // LINE)), TROUBLE)
    elif tile.picture.shape == place.shape:
        place[:] = tile.picture
    else:
        place[:] = np.rint(resize(tile.picture.astype(np.float32), width, height))


def _lines(out: NDArray[np.uint8], x: int, y: int, lines: Sequence[str], colour: tuple[int, int, int]) -> None:
    for index, line in enumerate(lines):
        lettering.draw(out, x, y + index * LINE, line, colour)


def png(picture: NDArray[np.uint8]) -> bytes:
    """Return a PNG file of an 8-bit sRGB picture [H, W, 3], or [H, W, 4] (PNG specification, ISO/IEC 15948)."""
    height, width, channels = picture.shape
    header = struct.pack(">IIBBBBB", width, height, 8, {3: 2, 4: 6}[channels], 0, 0, 0)
    before = np.concatenate([np.zeros_like(picture[:1]), picture[:-1]])
    rows = np.empty((height, 1 + channels * width), np.uint8)
    rows[:, 0] = 2  # filter "up": the difference to the row above, modulo 256
    rows[:, 1:] = (picture - before).reshape(height, -1)
    chunks = ((b"IHDR", header), (b"sRGB", b"\0"), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
