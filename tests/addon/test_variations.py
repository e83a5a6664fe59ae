"""Alternatives in a prompt: every combination, in order, and every mistake told."""

from __future__ import annotations

import itertools
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farplane.addon.variations import MAX_VARIATIONS, expand, has_alternatives
from farplane.protocol.errors import FarplaneError


def texts(prompt: str) -> list[str]:
    return [cell.text for cell in expand(prompt).cells]


def test_the_issues_own_example() -> None:
    grid = expand("a valley, {dawn|noon|night}, {snow|desert}")
    assert [cell.text for cell in grid.cells] == [
        "a valley, dawn, snow",
        "a valley, dawn, desert",
        "a valley, noon, snow",
        "a valley, noon, desert",
        "a valley, night, snow",
        "a valley, night, desert",
    ]
    assert grid.rows == ("dawn", "noon", "night")
    assert grid.columns == ("snow", "desert")
    assert [(cell.row, cell.column) for cell in grid.cells] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert grid.cells[3].name == "noon, desert"


def test_three_groups_make_columns_of_the_last_two() -> None:
    grid = expand("{a|b} {c|d} {e|f|g}")
    assert grid.rows == ("a", "b")
    assert grid.columns == ("c, e", "c, f", "c, g", "d, e", "d, f", "d, g")
    assert grid.cells[10].text == "b d f"
    assert (grid.cells[10].row, grid.cells[10].column) == (1, 4)


def test_a_prompt_without_braces_is_a_grid_of_one() -> None:
    grid = expand("a | b, c\\d  with  gaps ")
    assert [cell.text for cell in grid.cells] == ["a | b, c\\d  with  gaps"]
    assert (grid.rows, grid.columns, grid.groups) == (("",), ("",), ())


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (r"a sign \{open\}", ["a sign {open}"]),
        (r"{a\|b|c\}}", ["a|b", "c}"]),
        (r"{\{|\\}", ["{", "\\"]),
        (r"\\{a|b}", ["\\a", "\\b"]),
        ("trailing \\", ["trailing \\"]),
        (r"{\n|x}", ["\\n", "x"]),
        ("{ dawn | noon }", ["dawn", "noon"]),
        ("pre{fix|amble}s", ["prefixs", "preambles"]),
        ("{only}", ["only"]),
        ("{夜|朝}の谷", ["夜の谷", "朝の谷"]),
    ],
)
def test_escapes_and_spaces(prompt: str, expected: list[str]) -> None:
    assert texts(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a {foggy|} valley", ["a foggy valley", "a valley"]),
        ("a valley, {fog|}", ["a valley, fog", "a valley"]),
        ("{fog, |}a valley", ["fog,a valley", "a valley"]),
        ("a valley, {fog|}, rain", ["a valley, fog, rain", "a valley, rain"]),
        ("{|old} town {|, rain}.", ["town.", "town, rain.", "old town.", "old town , rain."]),
    ],
)
def test_an_empty_option_leaves_no_gap(prompt: str, expected: list[str]) -> None:
    assert texts(prompt) == expected
    assert all("(nothing)" in cell.name for cell in expand(prompt).cells if "" in cell.words)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a {b {c|d}", "inside of braces"),
        ("a {b|{c|d}}", "inside of braces"),
        ("a {b|c", "not closed"),
        ("a }b", "has no {"),
        ("a {b}}", "has no {"),
        ("a {} b", "nothing between"),
        ("a { } b", "nothing between"),
        ("{dawn|noon|dawn}", "dawn stands twice"),
        ("{dawn||noon|}", "(nothing) stands twice"),
        ("", "empty"),
        ("{|fog}", "empty"),
        ("{a|b}" * 7, "= 128 variations"),
        ("{" + "|".join(map(str, range(65))) + "}", "65 variations"),
        ("{a|" + "x" * 9000 + "}", "bytes long"),
    ],
)
def test_mistakes_name_the_prompt_and_a_remedy(prompt: str, words: str) -> None:
    with pytest.raises(FarplaneError) as caught:
        expand(prompt)
    assert caught.value.field == "prompt"
    assert words in caught.value.problem
    assert caught.value.remedy


def test_the_limit_itself_is_allowed_and_counting_costs_nothing() -> None:
    assert len(texts("{a|b}" * 6)) == MAX_VARIATIONS
    with pytest.raises(FarplaneError, match="more than"):
        expand("{a|b|c|d|e|f|g|h|i|j}" * 300)  # 1e300 combinations: counted, never made


WORD = st.text(string.ascii_letters + "{}|\\é夜", min_size=1, max_size=6)


def escaped(word: str) -> str:
    return "".join("\\" + c if c in "{}|\\" else c for c in word)


@given(st.lists(st.lists(WORD, min_size=1, max_size=4, unique=True), min_size=1, max_size=3), WORD)
def test_whatever_is_escaped_comes_out_as_it_was(groups: list[list[str]], between: str) -> None:
    """Against itertools: the product of the groups, with the literal between them."""
    prompt = escaped(between).join("{" + "|".join(map(escaped, group)) + "}" for group in groups)
    assert texts(prompt) == [between.join(words) for words in itertools.product(*groups)]
    assert has_alternatives(prompt)


@pytest.mark.parametrize(("text", "so"), [("a|b", False), (r"\{a\}", False), (r"\\{a", True), ("a}", True)])
def test_whether_a_prompt_has_alternatives(text: str, so: bool) -> None:
    assert has_alternatives(text) == so
