"""Contact sheets: the PNG, the curve and the resizing against other libraries; the layout by what lies where."""

from __future__ import annotations

import io

import cv2
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from farplane.addon import contact, lettering
from farplane.addon.contact import Tile
from farplane.addon.exr import read_rgb
from farplane.backend.pipeline.colour import linear_to_display
from farplane.protocol.errors import FarplaneError


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (64, 33), (101, 257)])
def test_png_is_read_back_by_another_library(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(shape[0]).integers(0, 256, (*shape, 3), np.uint8)
    image = Image.open(io.BytesIO(contact.png(picture)))
    assert image.info.get("srgb") == 0
    assert np.array_equal(np.asarray(image), picture)


def test_the_curve_is_the_one_of_every_other_picture() -> None:
    values = np.concatenate([np.linspace(-1, 2, 5000), np.geomspace(1e-6, 65504, 5000), [np.nan, np.inf, -np.inf]])
    ours, theirs = contact.display(values).astype(int), linear_to_display(values).astype(int)
    assert np.abs(ours - theirs).max() <= 1  # float32 in another order: a code may round the other way
    assert (ours != theirs).mean() < 0.001


@pytest.mark.parametrize(("source", "target"), [((64, 96), (32, 48)), ((50, 70), (17, 31)), ((9, 16), (9, 16))])
def test_shrinking_is_the_mean_of_the_area(source: tuple[int, int], target: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).random((*source, 3), np.float32)
    expected = cv2.resize(picture, target[::-1], interpolation=cv2.INTER_AREA)
    # 2e-3: OpenCV keeps the shares of cut pixels in float32 tables of its own.
    assert np.abs(contact.resize(picture, target[1], target[0]) - expected).max() < 2e-3
    assert contact.resize(picture, target[1], target[0]).mean() == pytest.approx(picture.mean(), rel=1e-5)


def test_enlarging_shows_the_pixels() -> None:
    picture = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    assert np.array_equal(contact.resize(picture, 6, 4), picture.repeat(2, 0).repeat(3, 1))


@pytest.mark.parametrize("compression", [OpenEXR.ZIP_COMPRESSION, OpenEXR.ZIPS_COMPRESSION, OpenEXR.NO_COMPRESSION])
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_a_plate_is_read_as_the_library_wrote_it(tmp_path, compression, kind) -> None:
    pixels = (np.random.default_rng(2).random((37, 53, 3)) * 9 - 1).astype(kind)
    with OpenEXR.File({"compression": compression, "type": OpenEXR.scanlineimage}, {"RGB": pixels}) as file:
        file.write(str(tmp_path / "plate.exr"))
    assert np.array_equal(read_rgb(tmp_path / "plate.exr"), pixels.astype(np.float32))


def test_a_compression_that_is_not_ours_is_told(tmp_path) -> None:
    pixels = np.zeros((8, 8, 3), np.float16)
    with OpenEXR.File({"compression": OpenEXR.PIZ_COMPRESSION, "type": OpenEXR.scanlineimage}, {"RGB": pixels}) as file:
        file.write(str(tmp_path / "plate.exr"))
    with pytest.raises(FarplaneError, match="ZIP"):
        read_rgb(tmp_path / "plate.exr")


def test_letters_are_there_and_differ() -> None:
    pictures = {}
    for character in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?{}|\\/éñğłЖΩ–…":
        place = np.zeros((24, 24, 3), np.uint8)
        lettering.draw(place, 4, 2, character, (255, 255, 255))
        assert place.max() > 120, character
        pictures[character] = place.tobytes()
    assert len(set(pictures.values())) == len(pictures)
    assert lettering.width("夜") == lettering.width("☃") > 0  # a box for each


@pytest.mark.parametrize("text", ["夜明けの谷", "سوق قديم", "पहाड़", "계곡", "a wave 🌊"])
def test_letters_that_a_sheet_has_not_are_said(text: str) -> None:
    """One line more, wherever such a letter stands; none for what can be read."""
    plain = contact.sheet("Thal bei Nacht, долина", ["a\nb"], ["x"], [[flat(COLOURS[0])]])
    assert not lettering.lacks("Thal bei Nacht, долина é …\n")
    tile = flat(COLOURS[0])
    for words in (
        (text, ["a"], ["x"], [[tile]]),
        ("t", [text], ["x"], [[tile]]),
        ("t", ["a"], [text], [[tile]]),
        ("t", ["a"], ["x"], [[Tile(tile.picture, text)]]),
        ("t", ["a"], ["x"], [[Tile(None, "", text)]]),
    ):
        out = contact.sheet(*words)
        assert out.shape[0] >= plain.shape[0] + lettering.LINE
        line = out[24 + lettering.LINE - 2 : 24 + 2 * lettering.LINE - 2]
        assert (line == contact.SOFT).all(-1).any()


def test_text_is_cut_at_the_border_and_nothing_else_changes() -> None:
    place = np.zeros((40, 60, 3), np.uint8)
    for x, y in ((-7, -9), (55, 30), (200, 0), (0, -100)):
        lettering.draw(place, x, y, "Wagtail", (10, 200, 30))
    assert (place[18:28, 10:50] == 0).all()


def test_wrapping() -> None:
    text = "a valley of very old stones at dawn, in snow, seen from far above"
    for pixels in (60, 100, 200):
        lines = lettering.wrap(text, pixels, 99)
        assert " ".join(lines) == text
        assert all(lettering.width(line) <= pixels for line in lines)
    assert lettering.wrap("x" * 100, 50, 3)[-1].endswith("…")
    assert "".join(lettering.wrap("x" * 30, 50, 99)) == "x" * 30
    assert lettering.wrap("  ", 50, 3) == []


COLOURS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [200, 200, 30], [30, 200, 200], [200, 30, 200]])


def flat(colour) -> Tile:
    return Tile(np.broadcast_to(np.uint8(colour), (45, 80, 3)), "take 001")


def spots(out: np.ndarray, colour: np.ndarray) -> tuple[slice, slice]:
    """Where a colour lies on the sheet: its bounding box."""
    y, x = np.nonzero((out == colour).all(-1))
    return slice(y.min(), y.max() + 1), slice(x.min(), x.max() + 1)


def test_tiles_lie_in_rows_and_columns() -> None:
    tiles = [[flat(COLOURS[3 * row + column]) for column in range(3)] for row in range(2)]
    out = contact.sheet("a valley", ["dawn", "noon"], ["snow", "desert", "rain"], tiles)
    boxes = [spots(out, colour) for colour in COLOURS]
    for y, x in boxes:
        assert (y.stop - y.start, x.stop - x.start) == (180, 320)  # 16:9 at TILE, none covered by another
    assert [box[0].start for box in boxes] == [boxes[0][0].start] * 3 + [boxes[3][0].start] * 3
    assert [box[1].start for box in boxes] == [boxes[0][1].start, boxes[1][1].start, boxes[2][1].start] * 2
    label = out[boxes[3][0], : boxes[3][1].start]
    assert (label.max(-1) > 200).any(), "the row's name stands beside it"
    above = out[boxes[0][0].start - lettering.LINE : boxes[0][0].start, boxes[2][1]]
    assert (above.max(-1) > 200).any(), "the column's name stands above it"


def test_what_failed_says_so_in_its_place() -> None:
    out = contact.sheet("t", [""], ["", ""], [[flat(COLOURS[0]), Tile(None, "", "The disk of the backend is full")]])
    y, _ = spots(out, COLOURS[0])
    assert (out[y] == contact.TROUBLE).all(-1).any()


def test_many_columns_make_small_tiles() -> None:
    out = contact.sheet("t", ["a"], [f"word {n}" for n in range(32)], [[flat(COLOURS[n % 6]) for n in range(32)]])
    assert out.shape[1] < contact.WIDEST + 200
    empty = contact.sheet("", [], [], [])
    assert min(empty.shape[:2]) > 0


def test_a_thumbnail_keeps_its_shape_and_light() -> None:
    linear = np.full((270, 480, 3), 0.18, np.float32)
    linear[0, 0] = np.nan
    linear[1, 1] = np.inf
    small = contact.thumbnail(linear)
    assert small.shape == (180, 320, 3)
    assert (small[100, 100] == linear_to_display(np.full(3, 0.18))).all()
