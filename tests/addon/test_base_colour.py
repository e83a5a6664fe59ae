"""addon/base_colour.py: Cycles' layers taken apart again, against layers put together here; and the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from farplane.addon.base_colour import base_colours, read_colours, write_colours
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import png_bytes

unit = st.floats(0, 1, width=32)


def srgb(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, 0 … 255, not rounded."""
    linear = np.asarray(linear, np.float64)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def told(diffuse, glossy, transmitted=(0, 0, 0), facing=1.0, hit=True) -> np.ndarray:
    """One pixel's [R, G, B, A]."""
    shares = [np.array(share, np.float32).reshape(3, 1, 1) for share in (diffuse, glossy, transmitted)]
    return base_colours(*shares, np.full((1, 1), facing, np.float32), np.full((1, 1), hit))[0, 0].astype(int)


@given(st.tuples(unit, unit, unit), st.floats(0, 0.14), st.booleans())
def test_a_lacquered_colour_is_the_one_below_the_lacquer(colour, gloss, glass) -> None:
    """Half a code by rounding, and a little for a table of 65536 entries where the curve is steep."""
    below = np.array(colour) * (1 - gloss)
    got = told((0, 0, 0) if glass else below, [gloss] * 3, below if glass else (0, 0, 0))
    codes = srgb(np.array(colour))
    if np.float32(max(*below, gloss)) == 0:
        assert got.tolist() == [0, 0, 0, 0], "it sends nothing back"
    elif (np.abs(codes - srgb(np.array(0.8))) < 1.1).all():
        assert got[3] == 0 or np.abs(got[:3] - codes).max() < 0.7  # Blender's grey, or next to it
    else:
        assert got[3] == 255
        assert np.abs(got[:3] - codes).max() < 0.7


@pytest.mark.parametrize("gloss", [0.0, 0.04, 0.3])
def test_blenders_own_grey_was_chosen_by_nobody(gloss: float) -> None:
    facing = 0.3 if gloss > 0.2 else 1.0
    assert told([0.8 * (1 - gloss)] * 3, [gloss] * 3, facing=facing).tolist() == [0, 0, 0, 0]
    assert told([0.81 * (1 - gloss)] * 3, [gloss] * 3, facing=facing)[3] == 255
    assert told([0.8 * (1 - gloss)] * 2 + [0.7 * (1 - gloss)], [gloss] * 3, facing=facing)[3] == 255


def test_a_metal_is_its_gloss_and_dark_lacquer_is_dark_from_the_side_too() -> None:
    gold = (0.9, 0.6, 0.2)
    assert np.abs(told((0, 0, 0), gold)[:3] - srgb(np.array(gold))).max() < 0.7
    for cosine in (1.0, 0.5, 0.26, 0.17):
        mirror = 0.04 + 0.96 * (1 - cosine) ** 5  # Schlick, for a plastic
        assert told((0, 0, 0), [mirror] * 3, facing=cosine).tolist() == [0, 0, 0, 255]
        assert told([0.02 * (1 - mirror)] * 3, [mirror] * 3, facing=-cosine)[0] == round(float(srgb(np.array(0.02))))
        steel = 0.55 + 0.45 * (1 - cosine) ** 5
        assert told((0, 0, 0), [steel] * 3, facing=cosine)[0] >= round(float(srgb(np.array(0.55))))


def test_what_is_not_hit_or_sends_nothing_back_tells_nothing() -> None:
    assert told((0.5, 0.1, 0.1), (0.04,) * 3, hit=False).tolist() == [0, 0, 0, 0]
    assert told((0, 0, 0), (0, 0, 0)).tolist() == [0, 0, 0, 0]
    assert told((3.0, 0.1, 0.1), (0, 0, 0)).tolist()[0] == 255  # a colour above 1 is possible, and clipped


def picture(height: int = 33, width: int = 50) -> np.ndarray:
    rng = np.random.default_rng(4)
    colours = rng.integers(0, 256, (height, width, 4), np.uint8)
    colours[..., 3] = 255 * (rng.random((height, width)) > 0.4)
    return colours


def test_a_file_holds_them_to_the_bit_for_any_reader(tmp_path: Path) -> None:
    colours, path = picture(), tmp_path / "base_colour.0001.png"
    path.write_bytes(write_colours(colours))
    np.testing.assert_array_equal(read_colours(path), colours)
    with Image.open(path) as opened:
        assert opened.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(opened), colours)  # under alpha 0 too: nothing was multiplied


def test_no_file_is_larger_than_its_estimate() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (270, 480, 4), np.uint8)
    size = len(write_colours(noise))
    assert 0.98 * png_bytes(1, 480, 270) < size <= png_bytes(1, 480, 270)
    assert len(write_colours(noise[:32, :32])) <= png_bytes(1, 32, 32)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "base_colour.0001.png"
    Image.fromarray(picture()[..., :3]).save(path)
    whole = write_colours(picture())
    for data in (b"", whole[:100], b"no PNG", path.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(FarplaneError, match=r"is no base colour file") as error:
            read_colours(path)
        assert error.value.field == "base colour"
    with pytest.raises(FarplaneError, match="No such file"):
        read_colours(tmp_path / "absent.png")
