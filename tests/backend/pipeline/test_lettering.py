"""Prompts in any script: each letter from a font that has it, shaped where the script wants it, or it is said."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, features

from farplane.backend.pipeline import lettering
from farplane.backend.pipeline.lettering import CJK, Lettering, plain, script_of

PROMPTS = {
    "Chinese": "清晨的山谷，有薄雾和松树",
    "Japanese": "夕暮れの海岸、灯台と波",
    "Korean": "안개 낀 새벽의 계곡",
    "Arabic": "سوق قديم عند الفجر، ضباب",
    "Devanagari": "पहाड़ों में सुबह की धुंध और किला",
    "Thai": "ตลาดน้ำยามเช้าที่มีหมอก",
    "Hebrew": "עמק ערפילי עם שחר",
    "Greek and Cyrillic": "ομιχλώδης κοιλάδα, туманная долина",
    "Tamil and Bengali": "காலை மூடுபனி, সকালের কুয়াশা",
    "emoji": "a wave 🌊 and a mountain 🏔️",
}
SIZE = 24


def picture(letters: Lettering, text: str) -> np.ndarray:
    """Ink 0 … 255 of a line, with room around it."""
    image = Image.new("L", (round(letters.width(text, SIZE)) + 40, 60))
    letters.draw(ImageDraw.Draw(image), (20, 10), text, SIZE, "#ffffff")
    return np.asarray(image)


def columns(ink: np.ndarray) -> np.ndarray:
    return np.flatnonzero((ink > 128).any(0))


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the fonts that matplotlib brings and no others."""
    monkeypatch.setattr(lettering, "_from_fontconfig", lambda letters: ())
    monkeypatch.setattr(lettering, "_others", lambda: ())


@pytest.mark.parametrize("name", PROMPTS)
def test_every_letter_has_a_shape_of_its_own(name: str) -> None:
    """No two letters look the same, and none like the box of a font that lacks it."""
    text = PROMPTS[name]
    letters = Lettering(text)
    if letters.missing:
        pytest.skip(f"no font here has {', '.join(letters.missing)}")
    assert letters.note == ""
    single = sorted({c for c in text if c.isalpha() or script_of(c) == "symbols"} - {"️"})
    shapes = {picture(letters, c)[:, 20:].tobytes() for c in single}
    assert len(shapes) >= len(single) - 1  # Greek o and Cyrillic о are one shape
    # The whole line is as wide as it says, and nothing of it is cut off.
    found = columns(picture(letters, text))
    assert found[0] >= 18
    assert found[-1] <= 20 + letters.width(text, SIZE) + 2


@pytest.mark.skipif(not features.check("raqm"), reason="this Pillow has no Raqm")
def test_arabic_runs_from_right_to_left_and_is_joined() -> None:
    """Alef, the tall stroke, is written first and stands on the right; two behs in a word touch each other."""
    ink = picture(Lettering("ا"), "ابب")
    tall = np.flatnonzero((ink > 128).sum(0) > 12)
    assert tall.min() > columns(ink).mean()
    joined = columns(picture(Lettering("ب"), "بب"))
    assert (np.diff(joined) == 1).all()
    apart = columns(picture(Lettering("ب"), "ب ب"))
    assert (np.diff(apart) > 1).any()


@pytest.mark.skipif(not features.check("raqm"), reason="this Pillow has no Raqm")
def test_devanagari_is_composed() -> None:
    """The vowel sign I is written after its consonant and stands before it; conjuncts are narrower than their letters."""
    letters = Lettering("कि क्ष")
    if letters.missing:
        pytest.skip("no font here has Devanagari")
    ka, ki = picture(letters, "क"), picture(letters, "कि")
    # The consonant is where it was in the picture of it alone, moved to the right by the sign's width.
    moved = ki.shape[1] - ka.shape[1]
    assert moved > 3
    body = slice(24, 40)  # below the line on top that joins letters
    assert np.abs(ki[body, 20 + moved : 20 + moved + 8].astype(int) - ka[body, 20:28]).mean() < 40
    assert letters.width("क्ष", SIZE) < letters.width("क", SIZE) + letters.width("ष", SIZE)


@pytest.mark.skipif(not features.check("raqm"), reason="this Pillow has no Raqm")
def test_a_line_runs_from_left_to_right_around_words_that_do_not() -> None:
    letters = Lettering("ا")
    ink = picture(letters, "ا · MMMM")  # a thin word, then a wide one
    found = columns(ink)
    assert (np.diff(found) > 4).nonzero()[0][0] < len(found) / 4
    invisible = picture(letters, "ab\u202ecd")  # a sign that would turn the rest of the line around
    assert np.array_equal(invisible, picture(letters, "abcd"))


def test_fonts_of_this_machine_are_used() -> None:
    """What fontconfig names for a letter is what the letter is drawn with."""
    if shutil.which("fc-match") is None:
        pytest.skip("no fontconfig")
    faces = lettering._from_fontconfig(("谷",))
    if not faces or not lettering._has(faces[0], "谷"):
        pytest.skip("fontconfig knows no Chinese font")
    font = ImageFont.truetype(faces[0].path, SIZE, faces[0].index)
    image = Image.new("L", (64, 60))
    baseline = 10 + ImageFont.truetype(lettering.DEJAVU.path, SIZE).getmetrics()[0]
    ImageDraw.Draw(image).text((20, baseline), "谷", font=font, fill=255, anchor="ls")
    ours = picture(Lettering("谷"), "谷")
    assert np.array_equal(ours[:, :44], np.asarray(image)[:, :44])


@pytest.mark.usefixtures("no_fonts")
def test_where_no_font_has_them_it_is_said() -> None:
    letters = Lettering("清晨 dawn हिन्दी 🌊 سوق ж")
    assert set(letters.missing) == {CJK, "Devanagari", "symbols"}  # DejaVu has Arabic and Cyrillic
    assert "Devanagari" in letters.note
    assert "no font" in letters.note
    assert Lettering("a valley at dawn, ж é ا").note == ""
    box, other = picture(letters, "清"), picture(letters, "晨")
    assert np.array_equal(box, other)
    assert box.any()


def test_a_pillow_without_raqm_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_base", lambda: None)
    assert "Arabic is not joined" in Lettering("سوق dawn").note
    assert Lettering("עמק долина").note == ""


@pytest.mark.parametrize("text", [*PROMPTS.values(), "x" * 300, "word " * 60, "a" + "谷" * 200, "", " ", "\x00\x07"])
def test_lines_fit_and_lose_nothing_until_they_are_cut(text: str) -> None:
    letters = Lettering(text)
    for width in (30, 90, 400):
        lines = letters.wrap(text, SIZE, width, 3)
        assert 1 <= len(lines) <= 3
        assert all(letters.width(line, SIZE) <= width for line in lines)
    whole = letters.wrap(text, SIZE, 260, 99)
    if "x" * 20 not in text:  # one word without an end is cut
        assert "".join(whole).replace(" ", "") == plain(text).replace(" ", "")


def test_a_broken_font_is_passed_over(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "font.ttf").write_bytes(b"no font")
    monkeypatch.setattr(lettering, "_from_fontconfig", lambda letters: (lettering.Face(str(tmp_path / "font.ttf")),))
    monkeypatch.setattr(lettering, "_others", lambda: ())
    assert Lettering("谷").missing == (CJK,)
    monkeypatch.undo()
    lettering._from_fontconfig.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))  # no fontconfig
    assert lettering._from_fontconfig(("谷",)) == ()
    lettering._from_fontconfig.cache_clear()
