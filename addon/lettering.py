"""Words in a picture, where no font library can be: inside Blender, in any thread.  numpy only.

Letters outside of Latin, Greek and Cyrillic are drawn as an empty box, and `lacks` tells that there are some.  Blender's
own text drawing has more letters, but neither joins Arabic, nor composes Devanagari, nor may be called from a thread.
"""

from __future__ import annotations

import base64
import functools
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import lettering_data

LINE = 19  # rows from one line of text to the next
_RECORD = struct.Struct("<HBbbBB")
_DOTS = "…"


@dataclass(frozen=True)
class Glyph:
    """One letter.  cover : [h, w] float32, 0 … 1.  left, top : where it goes, from the pen and the line's top."""

    advance: int
    left: int
    top: int
    cover: NDArray[np.float32]


@functools.cache
def _glyphs() -> dict[str, Glyph]:
    data = zlib.decompress(base64.b64decode(lettering_data.DATA))
    found: dict[str, Glyph] = {}
    at = 0
    while at < len(data):
        code, advance, left, top, width, height = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        size = (width * height + 1) // 2
        packed = np.frombuffer(data, np.uint8, size, at)
        levels = np.stack([packed >> 4, packed & 15], -1).ravel()[: width * height]
        found[chr(code)] = Glyph(advance, left, top, np.asarray(levels.reshape(height, width) / 15, np.float32))
        at += size
    return found


@functools.cache
def _box() -> Glyph:
    """What stands for a letter that is not there."""
    cover = np.ones((11, 8), np.float32)
    cover[1:-1, 1:-1] = 0
    return Glyph(11, 1, lettering_data.BASELINE - 11, cover)


def _glyph(character: str) -> Glyph:
    return _glyphs().get(character) or _box()


def lacks(text: str) -> bool:
    """Whether some letter of the text is drawn as a box."""
    return any(character not in _glyphs() for character in " ".join(text.split()))


def width(text: str) -> int:
    """Pixels that a line of text takes."""
    return sum(_glyph(character).advance for character in text)


def draw(picture: NDArray[np.uint8], x: int, y: int, text: str, colour: tuple[int, int, int]) -> None:
    """Write one line into `picture` [H, W, 3]; (x, y) is its top left corner.  What lies outside is cut off."""
    height, full, _ = picture.shape
    for character in text:
        glyph = _glyph(character)
        rows, columns = glyph.cover.shape
        top, left = y + glyph.top, x + glyph.left
        x += glyph.advance
        y0, y1, x0, x1 = max(top, 0), min(top + rows, height), max(left, 0), min(left + columns, full)
        if y0 >= y1 or x0 >= x1:
            continue
        cover = glyph.cover[y0 - top : y1 - top, x0 - left : x1 - left, None]
        under = picture[y0:y1, x0:x1]
        under[:] = np.rint(under + cover * (np.array(colour, np.float32) - under))


def wrap(text: str, pixels: int, lines: int) -> list[str]:
    """`text` in at most `lines` lines of `pixels`; what is left over ends in dots.  Long words are broken."""
    done: list[str] = []
    line = ""
    words = text.split()
    while words:
        word = words.pop(0)
        longer = f"{line} {word}".strip()
        if width(longer) <= pixels:
            line = longer
            continue
        if not line:  # the word alone is too long
            fits = max(1, sum(width(word[: n + 1]) <= pixels for n in range(len(word))))
            line, rest = word[:fits], word[fits:]
            words[:0] = [rest] if rest else []
        else:
            words.insert(0, word)
        done.append(line)
        line = ""
    done += [line] if line else []
    if len(done) <= lines:
        return done
    last = done[lines - 1]
    while last and width(last + _DOTS) > pixels:
        last = last[:-1]
    return [*done[: lines - 1], last.rstrip() + _DOTS]
