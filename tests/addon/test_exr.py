"""The small EXR writer and reader against the OpenEXR library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from farplane.addon.exr import read_channel, read_window, write_channel, write_rgb
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import ScreenWindow

OpenEXR = pytest.importorskip("OpenEXR")


def depth(height: int, width: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    z = np.cumsum(random.uniform(0, 1, (height, width)), axis=1).astype(np.float32)
    z[random.uniform(size=z.shape) < 0.2] = np.inf
    return z


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 33), (15, 7), (16, 16), (17, 5), (90, 161)])
def test_the_library_reads_what_we_write(tmp_path: Path, height: int, width: int) -> None:
    z = depth(height, width, seed=height)
    (tmp_path / "depth.exr").write_bytes(write_channel(z))
    file = OpenEXR.File(str(tmp_path / "depth.exr"), separate_channels=True)
    assert list(file.channels()) == ["Z"]
    np.testing.assert_array_equal(file.channels()["Z"].pixels, z)
    np.testing.assert_array_equal(read_channel(tmp_path / "depth.exr"), z)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 5), (90, 161)])
def test_the_library_reads_our_colours(tmp_path: Path, height: int, width: int) -> None:
    """Three channels of half, in the right order; what half cannot hold is clipped, not made infinite."""
    rgb = np.random.default_rng(height).normal(size=(height, width, 3)).astype(np.float32)
    rgb[0, 0] = (1e9, -1e9, 0.5)
    (tmp_path / "rgb.exr").write_bytes(write_rgb(rgb))
    pixels = OpenEXR.File(str(tmp_path / "rgb.exr")).channels()["RGB"].pixels
    assert pixels.dtype == np.float16
    np.testing.assert_array_equal(pixels, rgb.clip(-65504, 65504).astype(np.float16))


@pytest.mark.parametrize("write", [write_channel, write_rgb])
def test_the_camera_that_a_file_was_seen_through_is_read_by_the_library(tmp_path: Path, write) -> None:
    window = ScreenWindow(1.5, 0.75, (0.125, -0.25))
    pixels = np.ones((5, 7) if write is write_channel else (5, 7, 3), np.float32)
    (tmp_path / "a.exr").write_bytes(write(pixels, window=window))
    header = OpenEXR.File(str(tmp_path / "a.exr")).header()
    assert (header["pixelAspectRatio"], header["screenWindowWidth"]) == window[:2]
    assert tuple(header["screenWindowCenter"]) == window.centre
    np.testing.assert_array_equal(header["dataWindow"], header["displayWindow"])
    assert read_window(tmp_path / "a.exr") == window
    (tmp_path / "b.exr").write_bytes(write(pixels))
    assert read_window(tmp_path / "b.exr") == ScreenWindow()
    assert read_window(tmp_path / "none.exr") == ScreenWindow()


@pytest.mark.parametrize("compression", ["NO_COMPRESSION", "ZIPS_COMPRESSION", "ZIP_COMPRESSION"])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_we_read_what_the_library_writes(tmp_path: Path, compression: str, kind: type) -> None:
    z = np.ascontiguousarray(depth(37, 50, seed=1).astype(kind))
    colour = np.ascontiguousarray(depth(37, 50, seed=2).astype(np.float16))
    path = tmp_path / "depth.exr"
    header = {"compression": getattr(OpenEXR, compression), "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"Z": z, "R": colour, "A": colour}).write(str(path))
    np.testing.assert_array_equal(read_channel(path), z.astype(np.float32))
    np.testing.assert_array_equal(read_channel(path, "R"), colour.astype(np.float32))


def test_noise_that_does_not_compress_survives(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 2**32, (33, 9), dtype=np.uint32).view(np.float32)
    (tmp_path / "n.exr").write_bytes(write_channel(noise, "Y"))
    read = read_channel(tmp_path / "n.exr", "Y")
    np.testing.assert_array_equal(read.view(np.uint32), noise.view(np.uint32))


def test_every_truncation_and_flip_is_an_error_or_a_picture(tmp_path: Path) -> None:
    data = write_channel(depth(20, 12, seed=4))
    path = tmp_path / "broken.exr"
    random = np.random.default_rng(5)
    for trial in range(600):
        broken = bytearray(data)
        if trial % 2:
            broken[random.integers(len(data))] = random.integers(256)
        else:
            del broken[random.integers(len(data)) :]
        path.write_bytes(broken)
        try:
            read = read_channel(path)
        except FarplaneError:
            continue
        assert read.ndim == 2


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "piz.exr"
    z = np.ones((8, 8), np.float32)
    OpenEXR.File({"compression": OpenEXR.PIZ_COMPRESSION, "type": OpenEXR.scanlineimage}, {"Z": z}).write(str(path))
    with pytest.raises(FarplaneError, match="ZIP"):
        read_channel(path)
    (tmp_path / "y.exr").write_bytes(write_channel(z, "Y"))
    with pytest.raises(FarplaneError, match="no channel Z"):
        read_channel(tmp_path / "y.exr")
    with pytest.raises(FarplaneError, match="absent"):
        read_channel(tmp_path / "absent.exr")
