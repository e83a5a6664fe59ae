"""addon/space.py: a disk without room for a take is told before any work."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from farplane.addon import space
from farplane.addon.exr import write_channel, write_rgb
from farplane.backend.pipeline.exr import encode_exr
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import COMPRESSIONS, exr_bytes, plate_bytes, png_bytes


def noise(shape: tuple[int, ...], bits: Any, values: Any) -> np.ndarray:
    """Every bit at random, which no compression makes smaller; finite."""
    rng = np.random.default_rng(3)
    raw = rng.integers(0, np.iinfo(bits).max, shape, dtype=bits, endpoint=True).view(values)
    return np.where(np.isfinite(raw), raw, values(1)).astype(np.float32)


@pytest.mark.parametrize("size", [(32, 32), (34, 130), (258, 62)])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_no_plate_is_larger_than_its_estimate(size: tuple[int, int], compression: str) -> None:
    width, height = size
    frame = len(encode_exr(noise((height, width, 3), np.uint16, np.float16), {}, compression))
    # Above: never more than estimated.  Below: the estimate is no wild one; what is over is the header's allowance.
    assert frame <= exr_bytes(1, width, height, 6)
    if compression == "ZIPS":
        assert frame > 0.95 * exr_bytes(1, width, height, 6) - 8192


def test_no_depth_or_own_render_is_larger_than_its_estimate() -> None:
    depth = len(write_channel(noise((62, 258), np.uint32, np.float32)))
    own = len(write_rgb(noise((62, 258, 3), np.uint16, np.float16)))
    assert 62 * 258 * 4 < depth <= exr_bytes(1, 258, 62, 4)
    assert 62 * 258 * 6 < own <= exr_bytes(1, 258, 62, 6)


def test_a_take_holds_plate_depth_render_and_what_comes_with_them() -> None:
    half, depth = exr_bytes(25, 1920, 1080, 6), exr_bytes(25, 1920, 1080, 4)
    assert space.shot_bytes(25, 1920, 1080) == depth
    assert space.take_bytes(25, 1920, 1080) == plate_bytes(25, 1920, 1080) + 2 * depth
    assert space.take_bytes(25, 1920, 1080, reference=True, landed=False) == plate_bytes(25, 1920, 1080) + depth + half
    told = png_bytes(25, 1920, 1080)
    assert space.shot_bytes(25, 1920, 1080, colours=True) == depth + told
    assert space.take_bytes(25, 1920, 1080, colours=True) == plate_bytes(25, 1920, 1080) + 2 * depth + told


def test_a_real_disk_is_asked(small_disk: Path) -> None:
    space.check_space(small_disk / "not" / "there" / "yet", 900_000)
    with pytest.raises(FarplaneError, match=r"has 1 MiB free, and the shot may need 2 MiB") as error:
        space.check_space(small_disk / "not" / "there" / "yet", 1_100_000)
    assert error.value.field == "output folder"
    assert list(small_disk.iterdir()) == []
    (small_disk / "fill").write_bytes(bytes(500_000))
    with pytest.raises(FarplaneError):
        space.check_space(small_disk, 900_000)


def test_what_is_free_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(place: Path) -> Any:
        if not Path(place).exists():  # as the real one
            raise FileNotFoundError(place)
        return type("usage", (), {"free": 5 << 30})

    monkeypatch.setattr(shutil, "disk_usage", usage)
    space.check_space(tmp_path / "later", 5 << 30)
    with pytest.raises(FarplaneError, match=r"5\.0 GiB free, and the shot may need 6\.0 GiB"):
        space.check_space(tmp_path / "later", 6 << 30)


def test_a_disk_that_says_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(place: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr(shutil, "disk_usage", closed)
    space.check_space(tmp_path, 1 << 60)
