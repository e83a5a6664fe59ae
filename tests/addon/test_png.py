"""Pictures off the wire, against Pillow's and OpenCV's writers."""

from __future__ import annotations

import contextlib
import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from farplane.addon.contact import png
from farplane.addon.png import SIGNATURE, read_png
from farplane.protocol.errors import FarplaneError

ROOM = 10**6


def smooth(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """What a real picture has: neighbours alike, so that a writer takes every filter."""
    noise = np.random.default_rng(seed).random((height, width, channels)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2).reshape(height, width, channels)
    return ((blurred - blurred.min()) / np.ptp(blurred) * 255).astype(np.uint8)


def written(picture: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(picture.squeeze() if picture.shape[2] == 1 else picture).save(out, "PNG")
    return out.getvalue()


def with_filters(picture: np.ndarray, kinds: list[int]) -> bytes:
    """A file whose row n is filtered as kinds[n] says, pixel by pixel as the specification has it."""
    height, width, channels = picture.shape
    p = np.zeros((height + 1, width + 1, channels), int)
    p[1:, 1:] = picture
    rows = bytearray()
    for y, kind in enumerate(kinds, 1):
        rows.append(kind)
        for x in range(1, width + 1):
            for c in range(channels):
                a, b, d = int(p[y, x - 1, c]), int(p[y - 1, x, c]), int(p[y - 1, x - 1, c])
                paeth = min((a, b, d), key=lambda value: abs(a + b - d - value))
                rows.append((int(p[y, x, c]) - (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(rows))),
        (b"IEND", b""),
    ]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in chunks
    )


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (37, 61), (90, 160)])
@pytest.mark.parametrize("channels", [3, 4])
def test_read_as_it_was_written(height: int, width: int, channels: int) -> None:
    picture = smooth(height, width, channels, seed=height * width)
    np.testing.assert_array_equal(read_png(written(picture), ROOM), picture)
    order = [2, 1, 0, 3][:channels]
    by_opencv = cv2.imencode(".png", picture[..., order])[1].tobytes()
    np.testing.assert_array_equal(read_png(by_opencv, ROOM), picture)


@pytest.mark.parametrize("kinds", [[n] * 6 for n in range(5)] + [[3, 4, 1, 2, 0, 4], [4, 3, 2, 1, 4, 3]])
def test_each_filter_and_their_mixture(kinds: list[int]) -> None:
    picture = np.random.default_rng(sum(kinds)).integers(0, 256, (6, 7, 3), np.uint8)
    data = with_filters(picture, kinds)
    np.testing.assert_array_equal(np.array(Image.open(BytesIO(data))), picture)  # the test's own writer is right
    np.testing.assert_array_equal(read_png(data, ROOM), picture)


def test_grey_and_our_own_writer() -> None:
    grey = smooth(20, 30, 1)
    np.testing.assert_array_equal(read_png(written(grey), ROOM), np.repeat(grey, 3, -1))
    picture = smooth(20, 30, 3)
    np.testing.assert_array_equal(read_png(png(picture), ROOM), picture)


def test_what_is_no_picture_is_refused() -> None:
    good = written(smooth(20, 30, 3))
    sixteen = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint16))[1].tobytes()
    out = BytesIO()
    Image.fromarray(smooth(20, 30, 3)).quantize(8).save(out, "PNG")
    bomb = with_filters(np.zeros((2, 2, 3), np.uint8), [0, 0])[:16] + struct.pack(">II", 60000, 60000) + good[24:]
    for bad in (b"", b"GIF89a", good[:20], good[: len(good) // 2], sixteen, out.getvalue(), bomb):
        with pytest.raises(FarplaneError):
            read_png(bad, ROOM)
    with pytest.raises(FarplaneError):
        read_png(good, max_pixels=599)
    damaged = bytearray(good)
    for position in np.random.default_rng(0).integers(0, len(good), 200):
        damaged[position] ^= 0x5A
        with contextlib.suppress(FarplaneError):
            read_png(bytes(damaged), ROOM)
