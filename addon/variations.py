"""Alternatives in a prompt: ``a valley at {dawn|noon}, {snow|desert}`` is a grid of four prompts.  Pure text.

    {a|b|}     one of these; an option may be empty, spaces around it do not count
    \\{ \\} \\|   these characters themselves; a | outside of braces is only a |

The first group makes the grid's rows, all the others together its columns, in the order of reading.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass

from ..protocol.errors import FarplaneError
from ..protocol.shot import Prompt

MAX_VARIATIONS = 64

_SPECIAL = "{|}\\"
_NOTHING = "(nothing)"


@dataclass(frozen=True)
class Variation:
    """One cell of the grid.  text : the whole prompt.  words : the options chosen, one a group."""

    text: str
    words: tuple[str, ...]
    row: int
    column: int

    @property
    def name(self) -> str:
        """The chosen words, as a label."""
        return label(self.words)


@dataclass(frozen=True)
class Grid:
    """All that a prompt stands for.  groups : the options of each pair of braces.  cells : row by row."""

    groups: tuple[tuple[str, ...], ...]
    cells: tuple[Variation, ...]

    @property
    def rows(self) -> tuple[str, ...]:
        """What the rows are called: the options of the first group; one nameless row without any."""
        return tuple(label((word,)) for word in self.groups[0]) if self.groups else ("",)

    @property
    def columns(self) -> tuple[str, ...]:
        """What the columns are called: every combination of the other groups; one nameless column without any."""
        return tuple(label(words) for words in itertools.product(*self.groups[1:]))


def label(words: tuple[str, ...]) -> str:
    """Chosen words as one line; an empty option is named, so that every label says something."""
    return ", ".join(word or _NOTHING for word in words)


def expand(text: str) -> Grid:
    """Return every combination of the alternatives in `text`.

    Raises FarplaneError naming the prompt: braces that are not closed, not opened, nested or empty, an option that
    stands twice in its group, more than MAX_VARIATIONS combinations, or a combination that is no prompt.
    """
    literals, groups = _parse(text)
    count = math.prod(len(group) for group in groups)
    if count > MAX_VARIATIONS:
        sizes = " x ".join(str(len(group)) for group in groups)
        raise _mistake(f"{sizes} = {count} variations are more than {MAX_VARIATIONS}", "Leave out some alternatives")
    columns = max(1, count // len(groups[0])) if groups else 1
    cells = []
    for index, words in enumerate(itertools.product(*groups)):
        joined = literals[0] + "".join(word + literal for word, literal in zip(words, literals[1:], strict=True))
        whole = _tidy(joined) if "" in words else joined
        Prompt(whole).validate()
        cells.append(Variation(whole.strip(), words, *divmod(index, columns)))
    return Grid(tuple(groups), tuple(cells))


def has_alternatives(text: str) -> bool:
    """Whether `text` has a brace that is not escaped: it is for `expand`, not to be sent as it is."""
    return re.search(r"(?<!\\)(?:\\\\)*[{}]", text) is not None


def _parse(text: str) -> tuple[list[str], list[tuple[str, ...]]]:
    """The text before, between and after the groups, and the options of each group."""
    literals, groups = [""], []
    options: list[str] | None = None  # of the group that is open
    characters = iter(text)
    for character in characters:
        plain = character
        if character == "\\":
            following = next(characters, "")
            plain = following if following and following in _SPECIAL else "\\" + following
        elif character == "{":
            if options is not None:
                raise _mistake("a { stands inside of braces", "Write the combinations out; braces do not nest")
            options = [""]
            continue
        elif character == "}":
            if options is None:
                raise _mistake("a } has no { before it", "Remove it, or write \\} for the character itself")
            groups.append(_group(options))
            literals.append("")
            options = None
            continue
        elif character == "|" and options is not None:
            options.append("")
            continue
        if options is None:
            literals[-1] += plain
        else:
            options[-1] += plain
    if options is not None:
        raise _mistake("a { is not closed", "Add the }, or write \\{ for the character itself")
    return literals, groups


def _group(options: list[str]) -> tuple[str, ...]:
    stripped = tuple(option.strip() for option in options)
    if stripped == ("",):
        raise _mistake("there is nothing between a { and its }", "Write alternatives as {dawn|noon}")
    for option in stripped:
        if stripped.count(option) > 1:
            raise _mistake(f"{label((option,))} stands twice in one pair of braces", "Remove one of them")
    return stripped


def _tidy(text: str) -> str:
    """Close the gap that an empty option leaves: no double spaces, none before a comma, no comma alone."""
    text = re.sub(r"[ \t]{2,}", " ", text)
    text = re.sub(r" +([,.;:])", r"\1", text)
    return re.sub(r"(?:, ?)+(?=,)|^[, ]+|[, ]+$", "", text)


def _mistake(problem: str, remedy: str) -> FarplaneError:
    return FarplaneError("prompt", problem, remedy)
