"""Words in a picture, in whatever script an artist writes: each letter in a font of this machine that has it.

Matplotlib brings DejaVu Sans, for Latin, Greek, Cyrillic, Hebrew and Arabic.  For other letters fontconfig is asked, then
Blender's own fonts where its Python module is installed, then the fonts that matplotlib finds on Windows and macOS.
Arabic is joined and runs from right to left, and Devanagari and its like are composed, where Pillow has Raqm.  What no
font has is a box, and `Lettering.note` says so.  A line as a whole runs from left to right.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import matplotlib
from PIL import ImageDraw, ImageFont, features

FONTCONFIG_SECONDS = 30.0  # its first call on a machine builds a cache
CJK = "Chinese, Japanese or Korean"
_CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "IDEOGRAPHIC", "FULLWIDTH", "HALFWIDTH", "BOPOMOFO", "KANGXI")
_UNSPACED = (CJK, "Thai", "Lao", "Khmer", "Myanmar", "Tibetan")  # lines may end between any two letters
_PLAIN = (CJK, "Latin", "Greek", "Cyrillic", "Hebrew", "Armenian", "Georgian", "symbols")  # a letter is a letter
_JOINERS = "\u200c\u200d"  # what shaping wants of the invisible signs; the others could turn a line around
_DOTS = "…"


class Face(NamedTuple):
    """A font file, and which of its faces."""

    path: str
    index: int = 0


DEJAVU = Face(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"))


class Lettering:
    """Fonts for the texts of one picture.  missing : the scripts that have letters in them which no font has."""

    def __init__(self, *texts: str) -> None:
        letters = sorted({c for text in texts for c in plain(text) if not _has(DEJAVU, c)})
        self._faces: dict[str, Face] = {}
        lost: list[str] = []
        scripts = {c: script_of(c) for c in letters}
        for script in dict.fromkeys(scripts.values()):
            found = faces_for(tuple(c for c in letters if scripts[c] == script))
            self._faces |= found
            lost += [script] * any(scripts[c] == script and c not in found for c in letters)
        self.missing = tuple(lost)
        written = {script_of(c) for text in texts for c in plain(text) if c.isalpha()}
        self._unjoined = () if _base() else tuple(sorted(written - set(_PLAIN) - set(lost)))

    @property
    def note(self) -> str:
        """What is not as it should be, in a line; nothing where every letter is."""
        said = []
        if self.missing:
            said.append(f"□ stands for letters ({', '.join(self.missing)}) that no font on the backend's machine has")
        if self._unjoined:
            said.append(f"{', '.join(self._unjoined)} is not joined: the backend's Pillow lacks Raqm")
        return "; ".join(said)

    def width(self, text: str, size: int) -> float:
        """Pixels that a line of text takes."""
        return sum(_font(face, size).getlength(run, direction=_base()) for face, run in self._runs(text))

    def draw(self, picture: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, size: int, fill: str) -> None:
        """Write one line; xy is its left end, at the height of the ascenders."""
        x, y = xy[0], xy[1] + _font(DEJAVU, size).getmetrics()[0]
        for face, run in self._runs(text):
            font = _font(face, size)
            picture.text((x, y), run, font=font, fill=fill, anchor="ls", direction=_base())
            x += font.getlength(run, direction=_base())

    def wrap(self, text: str, size: int, width: float, most: int) -> list[str]:
        """The text in at most `most` lines of `width` pixels, with dots where it was cut; one line at least."""
        lines = [""]
        for word in _pieces(plain(text)):
            longer = lines[-1] + word
            if self.width(longer.rstrip(), size) <= width or not lines[-1].strip():
                lines[-1] = longer
            elif len(lines) < most:
                lines.append(word.lstrip())
            else:
                lines[-1] = lines[-1].rstrip() + " " + _DOTS
                break
        return [self._cut(line.strip(), size, width) for line in lines]

    def _cut(self, line: str, size: int, width: float) -> str:
        while line and self.width(line, size) > width:
            line = line.removesuffix(_DOTS)[:-1].rstrip() + _DOTS if line != _DOTS else ""
        return line

    def _runs(self, text: str) -> Iterator[tuple[Face, str]]:
        """The text in pieces of one font each.  Marks, spaces and signs stay with the letter before them if they can, so
        that a run of Arabic words is one piece and is turned around as one."""
        run, face = "", DEJAVU
        for c in plain(text):
            clings = run and not c.isalnum() and (unicodedata.category(c)[0] in "MZPC") and _has(face, c)
            own = face if clings else self._faces.get(c, DEJAVU)
            if own != face and run:
                yield face, run
                run = ""
            run, face = run + c, own
        if run:
            yield face, run


def plain(text: str) -> str:
    """The text on one line, without signs that nobody sees."""
    kept = "".join(c for c in text if c in _JOINERS or c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join(kept.split())


def script_of(letter: str) -> str:
    """What a letter's script is called, for people."""
    if unicodedata.category(letter)[0] in "SN" and not letter.isalpha():
        return "symbols"
    first = unicodedata.name(letter, "unnamed").split()[0]
    return CJK if first.split("-")[0] in _CJK else first.capitalize()


def faces_for(letters: tuple[str, ...]) -> dict[str, Face]:
    """A font of this machine for each of these letters of one script; those that none has are left out."""
    found: dict[str, Face] = {}
    left = list(letters)
    for asked in (letters, *((letter,) for letter in letters)):  # all from one font, else what each can get
        if not set(asked) & set(left):
            continue
        for face in (*_from_fontconfig(asked), *(_others() if left else ())):
            has = [c for c in left if _has(face, c)]
            found |= dict.fromkeys(has, face)
            left = [c for c in left if c not in has]
            if not left:
                return found
    return found


@lru_cache(256)
def _from_fontconfig(letters: tuple[str, ...]) -> tuple[Face, ...]:
    """The font that fontconfig thinks best for these letters; it may lack some."""
    program = shutil.which("fc-match")
    if program is None:
        return ()
    names = {unicodedata.name(c, "").split()[0] for c in letters if unicodedata.name(c, "")}
    language = ":lang=ja" if names & {"HIRAGANA", "KATAKANA"} else ":lang=ko" if "HANGUL" in names else ""
    codes = " ".join(f"{ord(c):x}" for c in letters[:200])
    pattern = f"sans-serif:charset={codes}{language}:scalable=true:color=false"
    try:
        done = subprocess.run(
            [program, "-f", "%{file}\t%{index}", pattern],
            capture_output=True,
            text=True,
            timeout=FONTCONFIG_SECONDS,
            check=True,
        )
        path, index = done.stdout.split("\t")
        return (Face(path, int(index) & 0xFFFF),)
    except (OSError, ValueError, subprocess.SubprocessError):
        return ()


@cache
def _others() -> tuple[Face, ...]:
    """Blender's own fonts, and what lies where Windows and macOS keep theirs; plain ones first."""
    paths: list[str] = []
    spec = importlib.util.find_spec("bpy")  # looked for, not loaded
    for place in spec.submodule_search_locations or () if spec else ():
        paths += map(str, sorted(Path(place).glob("*/datafiles/fonts/*.woff2")))
    if shutil.which("fc-match") is None:
        from matplotlib.font_manager import findSystemFonts

        paths += sorted(findSystemFonts(), key=lambda path: (_is_fancy(path), path))
    return tuple(map(Face, paths))


def _is_fancy(path: str) -> bool:
    name = Path(path).name.lower()
    return any(word in name for word in ("bold", "italic", "oblique", "light", "black", "thin", "mono", "serif"))


@cache
def _base() -> str | None:
    """The direction of a line, in which words of the other one stand; it can only be told to Raqm."""
    return "ltr" if features.check("raqm") else None


@lru_cache(64)
def _font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(face.path, size, face.index)


@lru_cache(64)
def _probe(face: Face) -> tuple[ImageFont.FreeTypeFont, bytes] | None:
    """A font letter by letter, and what it draws for a letter that it has not; None for a file that is no font."""
    try:
        font = ImageFont.truetype(face.path, 24, face.index, layout_engine=ImageFont.Layout.BASIC)
        return font, _drawn(font, "\U0010fffe")
    except (OSError, ValueError):
        return None


@lru_cache(8192)
def _has(face: Face, letter: str) -> bool:
    """Whether a font has a letter.  What is never seen is in every font."""
    if letter.isspace() or letter in _JOINERS or unicodedata.category(letter)[0] == "C":
        return True
    probe = _probe(face)
    try:
        return probe is not None and _drawn(probe[0], letter) != probe[1]
    except (OSError, ValueError):  # a font of pictures, or a damaged one
        return False


def _drawn(font: ImageFont.FreeTypeFont, letter: str) -> bytes:
    mask = font.getmask(letter)
    return bytes(mask) + repr(mask.size).encode()  # type: ignore[arg-type]


def _pieces(text: str) -> Iterable[str]:
    """The text cut where a line may end: after spaces, and between letters of scripts that write no spaces."""
    ends: Sequence[int] = [
        at
        for at in range(1, len(text))
        if text[at - 1] == " "
        or (unicodedata.category(text[at])[0] not in "MP" and script_of(text[at]) in _UNSPACED)
        or (unicodedata.category(text[at])[0] not in "MP" and script_of(text[at - 1]) in _UNSPACED and text[at] != " ")
    ]
    return (text[first:last] for first, last in pairwise([0, *ends, len(text)]))
