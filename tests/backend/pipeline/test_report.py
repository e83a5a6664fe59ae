"""The pictures beside a plate: right sizes, right content where it can be told, no failure on poor input."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from farplane.backend.pipeline import measure
from farplane.backend.pipeline.colour import linear_to_display
from farplane.backend.pipeline.measure import measure_plate
from farplane.backend.pipeline.report import contact_png, depth_picture, preview_mp4, report_png
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import CameraTrack

ODD_TITLE = (
    "a valley at $5 a head, 100% _mist_ ^2 \\frac{1} " + "very " * 90 + "long · 谷 · farplane-s · seed 9007199254740991"
)


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def test_the_report_is_one_page_and_changes_with_the_figures(small: Callable, monkeypatch) -> None:
    monkeypatch.setattr(measure, "MAX_PAIRS", 2)
    rendered = small(160, 112, 6)
    good = measure_plate(rendered.rgb, rendered.shot_with_reference())
    bad = measure_plate(np.roll(rendered.rgb, 3, axis=0), rendered.shot_with_reference())
    page, other = opened(report_png(good, ODD_TITLE)), opened(report_png(bad, ODD_TITLE))
    assert page.shape == (1060, 1600, 3)
    assert (page != other).any(-1).mean() > 0.005
    # Nothing runs into the page's edge.
    assert (page[:, :8] == page[0, 0]).all()
    assert (page[:, -8:] == page[0, 0]).all()
    assert (page[-8:] == page[0, 0]).all()


def test_a_plate_without_a_figure_still_gets_its_page(small: Callable) -> None:
    rendered = small(96, 64, 2)
    report = measure_plate(np.zeros_like(rendered.rgb), rendered.shot)
    assert opened(report_png(report, "")).shape == (1060, 1600, 3)
    sky = replace(rendered.shot, depth=replace(rendered.shot.depth, z=np.full_like(rendered.depth, np.inf)))
    report = measure_plate(rendered.rgb, sky)
    assert report.plate.edges is None
    assert opened(report_png(report, "only sky")).shape == (1060, 1600, 3)


def test_the_contact_sheet_shows_depth_plate_and_render(small: Callable) -> None:
    rendered = small(96, 64, 9)
    red = np.zeros_like(rendered.rgb)
    red[..., 0] = 0.5
    sheet = opened(contact_png(red, rendered.shot_with_reference(), ODD_TITLE))
    colour = linear_to_display(np.array([0.5, 0, 0]))
    share = (np.abs(sheet.astype(int) - colour).max(-1) <= 1).sum() / (320 * 213)
    assert share == pytest.approx(6, rel=0.02)  # six whole plates of nine, and nothing else is red
    without = opened(contact_png(red, rendered.shot, "t"))
    assert sheet.shape[0] - without.shape[0] >= 213
    assert sheet.shape[1] == without.shape[1]
    two = small(96, 64, 2)
    assert opened(contact_png(two.rgb, two.shot, "t")).shape[1] < without.shape[1]


def test_the_depth_picture_is_ordered_and_knows_the_sky() -> None:
    z = np.array([[0.5, 1.0, 4.0, 50.0, 100.0, 900.0, np.inf]], np.float32)
    grey = depth_picture(z, 1.0, 100.0)[0, :, 0].astype(int)
    assert grey[0] == grey[1] > grey[2] > grey[3] > grey[4] == grey[5] > grey[6] == 0


def probe(data: bytes, folder: Path) -> tuple[str, np.ndarray]:
    """What ffmpeg says of a film, and its frames as RGB [T, H, W, 3]."""
    path = folder / "film.mp4"
    path.write_bytes(data)
    exe = imageio_ffmpeg.get_ffmpeg_exe()
    said = subprocess.run([exe, "-hide_banner", "-i", str(path)], capture_output=True, text=True).stderr
    width, height = (int(v) for v in re.search(r", (\d+)x(\d+)", said).groups())
    command = [exe, "-loglevel", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return said, np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


@pytest.mark.parametrize(("fps", "said_fps"), [(Fraction(24000, 1001), "23.98 fps"), (Fraction(25), "25 fps")])
def test_the_film_has_every_frame_at_the_exact_rate(tmp_path: Path, fps: Fraction, said_fps: str) -> None:
    levels = np.array([0.02, 0.1, 0.18, 0.4, 0.9, 3.0, 0.5])
    frames = np.broadcast_to(levels[:, None, None, None], (7, 64, 98, 3)).astype(np.float16)
    said, film = probe(preview_mp4(frames, fps), tmp_path)
    assert "h264" in said
    assert "yuv420p" in said
    assert "bt709" in said
    assert said_fps in said
    assert film.shape == (7, 64, 98, 3)
    # 4:2:0, limited range and CRF 16 move a flat grey by 2 codes or so.
    assert np.abs(film.mean((1, 2)).astype(float) - linear_to_display(levels)[:, None]).max() < 4


def test_a_large_plate_is_shown_smaller_and_odd_sides_made_even(tmp_path: Path) -> None:
    _, film = probe(preview_mp4(np.full((2, 35, 2401, 3), 0.2, np.float32), Fraction(24)), tmp_path)
    assert film.shape == (2, 28, 1920, 3)


def test_pixels_that_are_not_square_are_shown_as_they_are_looked_at(small: Callable, tmp_path: Path) -> None:
    """A plate of 48 x 64 pixels, each twice as wide as high: three to two, in the film and on the sheet."""
    _, film = probe(preview_mp4(np.full((2, 64, 48, 3), 0.2, np.float32), Fraction(24), 2.0), tmp_path)
    assert film.shape == (2, 64, 96, 3)
    wide = small(96, 64, 2)
    K = wide.shot.camera.K * [[0.5], [1.0], [1.0]]
    shot = replace(
        wide.shot, resolution=(48, 64), camera=CameraTrack(K, wide.shot.camera.world_from_camera),
        depth=replace(wide.shot.depth, z=wide.shot.depth.z[:, :, ::2]),
    ).validate()  # fmt: skip
    assert shot.pixel_aspect == pytest.approx(2.0 * wide.shot.pixel_aspect)
    sheets = [opened(contact_png(rgb, told, "t")) for rgb, told in ((wide.rgb, wide.shot), (wide.rgb[:, :, ::2], shot))]
    assert sheets[0].shape == sheets[1].shape


def test_an_encoder_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.full((3, 64, 64, 3), 0.2, np.float32)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: "/no/such/ffmpeg")
    with pytest.raises(FarplaneError) as caught:
        preview_mp4(frames, Fraction(24))
    assert caught.value.field == "preview"
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: "/bin/false")
    with pytest.raises(FarplaneError, match="film"):
        preview_mp4(frames, Fraction(24))
