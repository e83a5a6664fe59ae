"""What a shot asks that farplane-s cannot know, told in the report: the shot is rendered all the same.

A prompt that names two times of day, holes in the depth, a camera inside the geometry, a lens outside the trained
range.  A caution that comes often is not read, so each of them is for what can hardly be meant.

Legend: T frames; h, w rows and columns of a grid of pixels, about GRID of them, which is what is looked at of a frame.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...protocol.shot import Shot
from ..model.attributes import IDIOMS, NAMES, SAID, TAKES_BACK, exclude, values_of
from ..model.synonyms import taught_word
from ..model.words import WordEncoder

SENSOR = 36.0  # millimetres across the picture's longer side
TRAINED_FOCAL = (12.0, 200.0)  # millimetres
ROUNDING = 1.002  # of a focal length through float32 rigs and pixels

GRID = 40_000
SMALLEST, LARGEST = 5e-4, 0.25  # of the picture: a hole; what is larger was left open on purpose
BELOW = math.sin(math.radians(1.0))  # under the horizon: the far end of a ground plane lies nearer to it than that
LASTS = 2  # frames in a row: less is seen between things that pass each other

CLOSE, NEARLY_ALL = 0.2, 95.0  # metres, twice Blender's own clip start; percent of the picture
CLOSER, CLOSE_AT_MOST = 1 / 30, 1.0  # of the shot's usual depth; metres: a room entered from outside is deeper
STEEP, ENOUGH, NEARLY_NONE = math.sin(math.radians(3.0)), 0.1, 0.03  # off the horizon; shares of the picture

_CLAUSE = re.compile(r"[,;:.!?()\[\]\n]")
_ARTICLES = frozenset(("a", "an", "the"))
_LOOK_BACK = 3  # words before a name in which one of TAKES_BACK counts


def cautions(shot: Shot, encoder: WordEncoder) -> tuple[str, ...]:
    """All notes on a shot and on its prompt as the model's encoder reads it; none for most."""
    return prompt_cautions(encoder, shot.prompt.text) + shot_cautions(shot)


# -- the prompt -------------------------------------------------------------------------------------------------------


class Named(NamedTuple):
    """What a prompt names: an attribute's name, the values that are meant, the words it was said in."""

    attribute: str
    values: frozenset[str]
    said: str


def prompt_cautions(encoder: WordEncoder, prompt: str) -> tuple[str, ...]:
    """One note for every attribute of which a prompt names two values that no shot can have together.

    Judged by what the words are read as; a phrase that is read as another counts only if it names the same itself.
    """
    notes, told = [], set()
    for one, other in combinations(named_values(encoder, prompt), 2):
        if one.attribute == other.attribute and one.attribute not in told and exclude(one.values, other.values):
            told.add(one.attribute)
            notes.append(
                f'prompt: "{one.said}" and "{other.said}" exclude each other, a shot has one {one.attribute}; '
                "keep the one that is meant"
            )
    return tuple(notes)


def named_values(encoder: WordEncoder, prompt: str) -> list[Named]:
    """What a prompt names outright, in order."""
    taught = frozenset(encoder.vocabulary)
    return [named for clause in _CLAUSE.split(prompt) for named in _named_in_clause(encoder, taught, clause)]


def _named_in_clause(encoder: WordEncoder, taught: frozenset[str], clause: str) -> Iterator[Named]:
    tokens, place = [], 0  # words as they are read, each with the said words it stands for
    for said, known in encoder.read(clause):
        part = range(place, place + len(said))
        tokens += [(word, part) for word in known if word is not None and word not in _ARTICLES]
        place += len(said)
    words = encoder.words(clause)
    idle = {i for idiom in IDIOMS for at in _places(words, idiom.split()) for i in range(at, at + len(idiom.split()))}
    at = 0
    while at < len(tokens):
        attribute, value, name = _longest_name([word for word, _ in tokens[at:]])
        length = max(len(name.split()), 1)
        parts = [part for _, part in tokens[at : at + length]]
        at += length
        if not name or idle & {i for part in parts for i in part}:
            continue
        first, last = parts[0][0], parts[-1][-1]
        said = words[first : last + 1]
        before = [word for word in words[:first] if word not in _ARTICLES][-_LOOK_BACK:]
        if TAKES_BACK.isdisjoint(before) and _says_it(said, name, value, taught):
            yield Named(attribute, values_of(name, " ".join(_bare(said)), value=value), " ".join(said))


def _longest_name(words: Sequence[str]) -> tuple[str, str, str]:
    """(attribute, value, phrase) of the longest phrase of NAMES that words begin with; three times "" for none."""
    found = ("", "", "")
    for attribute, values in NAMES.items():
        for value, phrases in values.items():
            for phrase in phrases:
                parts = phrase.split()
                if len(parts) > len(found[2].split()) and list(words[: len(parts)]) == parts:
                    found = attribute, value, phrase
    return found


def _says_it(said: Sequence[str], name: str, value: str, taught: frozenset[str]) -> bool:
    """Whether said words, read one by one, name the value that they are read as together."""
    plain = _bare(said)
    if any(_places(plain, phrase.split()) for phrase in SAID.get(value, ())):
        return True
    alone = [word if word in taught else taught_word(word, taught) or "" for word in plain]
    phrases = [name] if len(plain) < 2 else [p for values in NAMES.values() for p in values.get(value, ())]
    return any(_places(alone, phrase.split()) for phrase in phrases)


def _bare(words: Iterable[str]) -> list[str]:
    return [word for word in words if word not in _ARTICLES]


def _places(words: Sequence[str], part: Sequence[str]) -> list[int]:
    """Where `part` occurs in `words`."""
    return [i for i in range(len(words) - len(part) + 1) if list(words[i : i + len(part)]) == list(part)]


# -- the shot ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What the depth of a frame says.  holes : the share of the picture that is holes, 0 without one.
    reach : metres, nearer than which nearly all of the picture lies.  middle : the surfaces' median depth, NaN without
    any.  buried : surfaces above the horizon and nothing below it."""

    holes: float
    reach: float
    middle: float
    buried: bool


def shot_cautions(shot: Shot) -> tuple[str, ...]:
    """Notes on a shot's lens, its camera's place, holes in its depth, or that there is none."""
    frames = [_look_at(shot, t) for t in range(len(shot.frames))]
    return (*_lens(shot), *_place(shot, frames), *_holes(shot, frames), *nothing_but_sky(shot))


def nothing_but_sky(shot: Shot) -> tuple[str, ...]:
    """A note where no frame of the shot shows any surface."""
    if any(np.isfinite(z).any() for z in shot.depth.z):
        return ()
    return ("depth: no frame shows any surface, so the plate is sky alone and the camera lock has nothing to read",)


def _look_at(shot: Shot, t: int) -> Seen:
    width, height = shot.resolution
    step = max(1, round(math.sqrt(width * height / GRID)))
    rows, columns = np.arange(step // 2, height, step), np.arange(step // 2, width, step)
    depth = shot.depth.z[t, rows[0] :: step, columns[0] :: step]
    up = _elevation(shot.camera.K[t], shot.camera.world_from_camera[t], rows + 0.5, columns + 0.5)
    seen = np.isfinite(depth)
    return Seen(
        holes=_open_share(depth, up),
        reach=float(np.percentile(depth, NEARLY_ALL, method="lower")),
        middle=float(np.median(depth[seen])) if seen.any() else math.nan,
        buried=_buried(seen, up),
    )


def _elevation(K: NDArray, pose: NDArray, v: NDArray, u: NDArray) -> NDArray[np.float64]:
    """[h, w] sine of each ray's angle above the horizon, for pixel rows v [h] and columns u [w]."""
    rays = np.linalg.inv(K)
    x, y = rays[0, 0] * u + rays[0, 1] * v[:, None] + rays[0, 2], (rays[1, 1] * v + rays[1, 2])[:, None]
    return (pose[2, 0] * x + pose[2, 1] * y + pose[2, 2]) / np.sqrt(x * x + y * y + 1.0)


def _open_share(depth: NDArray, up: NDArray) -> float:
    """The share of a frame that is holes: no surface, surfaces all around, under the horizon altogether.

    An arch, a window or a gap between things shows some sky, or reaches the border of the picture.
    """
    empty = np.isinf(depth)
    if not (empty & (up < -BELOW)).any():
        return 0.0
    _, label, stats, _ = cv2.connectedComponentsWithStats(empty.astype(np.uint8), connectivity=8)
    (height, width), found = depth.shape, 0
    for i in 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA]):
        x, y, w, h, area = (int(n) for n in stats[i])
        if area < max(4, SMALLEST * empty.size):
            break
        if x == 0 or y == 0 or x + w == width or y + h == height or area > LARGEST * empty.size:
            continue
        inside = label[y : y + h, x : x + w] == i
        if up[y : y + h, x : x + w][inside].max() < -BELOW:
            found += area
    return found / empty.size


def _buried(seen: NDArray[np.bool_], up: NDArray) -> bool:
    """Whether a frame shows surfaces nearly everywhere above the horizon and nearly nothing below it."""
    above, below = up > STEEP, up < -STEEP
    if min(above.mean(), below.mean()) < ENOUGH:
        return False
    return float(seen[above].mean()) > 1.0 - NEARLY_NONE and float(seen[below].mean()) < NEARLY_NONE


def _lens(shot: Shot) -> Iterator[str]:
    width, height = shot.resolution
    wide = width * shot.pixel_aspect >= height
    focal = SENSOR * (shot.camera.K[:, 0, 0] / width if wide else shot.camera.K[:, 1, 1] / height)
    low, high = TRAINED_FOCAL
    out = (focal < low / ROUNDING) | (focal > high * ROUNDING)
    if out.any():
        least, most = focal[out].min(), focal[out].max()
        text = f"{least:.4g}" if f"{least:.4g}" == f"{most:.4g}" else f"{least:.4g} to {most:.4g}"
        yield (
            f"camera: {text} mm (on a {SENSOR:.0f} mm sensor) in {_frames(shot, out)} is outside the {low:.0f} to "
            f"{high:.0f} mm that the model was trained with: look closely there, or change the lens"
        )


def _place(shot: Shot, frames: list[Seen]) -> Iterator[str]:
    middles = np.array([frame.middle for frame in frames])
    usual = float(np.nanmedian(middles)) if np.isfinite(middles).any() else math.inf
    limit = max(CLOSE, min(CLOSER * usual, CLOSE_AT_MOST))
    close = np.array([frame.reach < limit for frame in frames])
    if close.any():
        yield (
            f"camera: nearly all of the picture is nearer than {limit:.2g} m in {_frames(shot, close)}, so the camera "
            "is inside a thing or against it: move it away, or hide the thing from rendering"
        )
    buried = _lasting([frame.buried for frame in frames])
    if buried.any():
        yield (
            f"camera: surfaces above the horizon and none below it in {_frames(shot, buried)}: it looks as from under "
            "the ground; raise the camera, or add what it stands on"
        )


def _holes(shot: Shot, frames: list[Seen]) -> Iterator[str]:
    shares = np.array([frame.holes for frame in frames])
    open_ = _lasting(list(shares > 0))
    if open_.any():
        worst = int(np.where(open_, shares, 0).argmax())
        yield (
            f"depth: holes below the horizon, with surfaces all around them, in {_frames(shot, open_)}, at most "
            f"{_share(shares[worst])} of the picture, in frame {shot.frames[worst]}: painted as sky; close the mesh "
            "there, or ignore this"
        )


def _share(share: float) -> str:
    return f"{100 * share:.2g}%"


def _lasting(flags: Sequence[bool]) -> NDArray[np.bool_]:
    """[T] where flags are set LASTS frames in a row."""
    out, run = np.array(flags, bool), 0
    for t, flag in enumerate([*flags, False]):
        if not flag and run < LASTS:
            out[t - run : t] = False
        run = run + 1 if flag else 0
    return out


def _frames(shot: Shot, chosen: NDArray[np.bool_], most: int = 4) -> str:
    """Chosen frames in words: "frame 7", "frames 1-9", "frames 1-9, 13 and 40-41", "all frames"."""
    if chosen.all():
        return "all frames"
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    runs = [(shot.frames[a], shot.frames[b - 1]) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    texts = [f"{a}" if a == b else f"{a}-{b}" for a, b in runs[:most]]
    if len(runs) > most:
        texts.append("others")
    listed = " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
    return ("frame " if len(runs) == 1 and runs[0][0] == runs[0][1] else "frames ") + listed
