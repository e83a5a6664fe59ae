"""EXR files: pixels, headers and cameras round-trip; damage is refused; a second reader agrees."""

from __future__ import annotations

import struct
import subprocess
import sys
import textwrap
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import psutil
import pytest

from farplane.backend.pipeline.exr import (
    decode_depth,
    decode_exr,
    decode_plate,
    encode_depth,
    encode_exr,
    encode_in_order,
    encode_pool,
    made_at,
    plate_header,
    read_depth_exr,
    write_depth_exr,
)
from farplane.backend.pipeline.exr_layout import read_layout
from farplane.backend.pipeline.provenance import header_hash, prompt_hash
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import COMPRESSIONS, CameraTrack, DepthPass, Prompt, Shot


def random_shot(seed: int = 0, count: int = 3, width: int = 62, height: int = 46) -> Shot:
    rng = np.random.default_rng(seed)
    K = np.array([[70.0, 0.0, 33.0], [0.0, 68.0, 20.0], [0.0, 0.0, 1.0]]) + np.zeros((count, 1, 1))
    pose = np.tile(np.eye(4), (count, 1, 1))
    for t in range(count):
        q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        pose[t, :3, :3] = q * np.sign(np.linalg.det(q))
        pose[t, :3, 3] = rng.normal(size=3) * 5
    z = rng.uniform(1, 50, (count, height, width)).astype(np.float32)
    depth = DepthPass(z, 1.0, 50.0)
    frames = tuple(range(1001, 1001 + count))
    size = (width, height)
    return Shot("s", frames, size, Fraction(30000, 1001), CameraTrack(K, pose), depth, Prompt("a valley")).validate()


def header_of(shot: Shot, index: int = 0, **changes) -> dict:
    values = {"model": "farplane-s", "seed": 2**53 - 1, "job": "c0ffee", "hdr": "native", "made": (31, 23)}
    return plate_header(shot, index, **(values | changes))


def hdr_picture(shape=(46, 62), seed: int = 1) -> np.ndarray:
    """Smooth, so that the lossy codecs have an easy time; values from 0.01 to about 60."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] / 16
    phase = rng.uniform(0, 6, 3)
    return np.exp(2 * np.sin(x[..., None] + phase) + 2 * np.cos(y[..., None] - phase)).astype(np.float32)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("shape", [(46, 62), (33, 97), (1, 1), (257, 40)])
def test_pixels_round_trip(compression: str, shape: tuple[int, int]) -> None:
    rgb = hdr_picture(shape)
    _, back = decode_plate(encode_exr(rgb, {}, compression))
    half = rgb.astype(np.float16).astype(np.float32)
    if compression.startswith("DWA"):
        # Lossy: at level 45 the error is far under a visible step; 5% is a gross-mistake bound (wrong plane, flipped).
        np.testing.assert_allclose(back, half, rtol=0.05, atol=0.02)
    else:
        np.testing.assert_array_equal(back, half)


def test_any_memory_layout_is_written_as_the_same_picture() -> None:
    """OpenEXR writes a non-contiguous array as other pixels, in silence."""
    rgb = hdr_picture()
    want = encode_exr(rgb, {})
    rgba = np.concatenate([rgb, np.ones_like(rgb[..., :1])], -1)
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    wide = np.repeat(rgb, 2, axis=1)
    for layout in (rgba[..., :3], np.moveaxis(planes, 0, -1), wide[:, ::2], np.asfortranarray(rgb), rgb.astype(float)):
        assert encode_exr(layout, {}) == want
    depth = np.arange(46 * 62, dtype=np.float32).reshape(62, 46).T + 1
    np.testing.assert_array_equal(decode_depth(encode_depth(depth)), depth)


def test_half_limits_and_nan() -> None:
    rgb = np.zeros((4, 4, 3), np.float32)
    rgb[0, 0] = np.inf, 1e9, -np.inf
    rgb[1, 1] = 65504, 65519, 65520
    _, back = decode_plate(encode_exr(rgb, {}))
    assert back[0, 0].tolist() == [65504, 65504, -65504]
    assert back[1, 1].tolist() == [65504, 65504, 65504]
    rgb[2, 3, 1] = np.nan
    with pytest.raises(FarplaneError, match="NaN") as caught:
        encode_exr(rgb, {})
    assert caught.value.field == "plate"


def test_the_header_round_trips() -> None:
    shot = random_shot()
    sent = header_of(shot, 1)
    header, _ = decode_plate(encode_exr(hdr_picture(), sent))
    assert set(sent) <= set(header)
    for name in ("worldToCamera", "worldToNDC"):
        np.testing.assert_array_equal(header[name], sent[name])
    assert header["framesPerSecond"] == Fraction(30000, 1001)
    assert header["chromaticities"] == pytest.approx((0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290), abs=1e-6)
    assert OpenEXR.chromaticitiesToColorInteropID(header["chromaticities"]) == header["colorInteropID"]
    assert OpenEXR.checkColorMetadata(header) == 0
    assert int(header["farplane:seed"]) == 2**53 - 1
    strings = {k: header[k] for k in sent if k.startswith("farplane:")}
    assert strings == {k: sent[k] for k in strings}
    assert strings["farplane:hdr"] == "native"
    assert strings["farplane:upscaled"] == "guided 31x23 to 62x46"
    assert strings["farplane:prompt"] == prompt_hash(shot.prompt)
    assert made_at(header) == (31, 23)
    assert made_at({"farplane:upscaled": "guided 448x256"}) == (448, 256)  # as files until 0.3 say it
    reduced = header_of(shot, made=(248, 184))
    assert (reduced["farplane:reduced"], made_at(reduced)) == ("area 248x184 to 62x46", None)
    assert "farplane:upscaled" not in reduced
    assert "farplane:upscaled" not in header_of(shot, made=None)
    assert made_at(header_of(shot, made=None)) is None
    with pytest.raises(ValueError, match="native"):
        header_of(shot, hdr="scene")


def test_header_types_in_the_file_are_openexrs_own() -> None:
    """The bytes, since a reader other than this binding goes by the type names."""
    data = encode_exr(hdr_picture(), header_of(random_shot()))
    assert b"framesPerSecond\0rational\0\x08\0\0\0" + struct.pack("<iI", 30000, 1001) in data
    assert b"worldToCamera\0m44f\0" in data
    assert b"worldToNDC\0m44f\0" in data
    assert b"colorInteropID\0string\0" in data
    assert b"chromaticities\0chromaticities\0" in data


def test_a_reader_of_the_screen_window_gets_the_shots_lens_and_pixels() -> None:
    """OpenEXR's own camera: at distance 1 the display window is screenWindowWidth wide about screenWindowCenter, and its
    pixels are pixelAspectRatio times as wide as high."""
    shot = random_shot()
    K = np.array([[35.0, 0, 40.0], [0, 70.0, 20.0], [0, 0, 1]])  # pixels twice as wide as high, a shifted lens
    shot = replace(shot, camera=CameraTrack(np.tile(K, (3, 1, 1)), shot.camera.world_from_camera))
    header, rgb = decode_plate(encode_exr(hdr_picture(), header_of(shot)))
    height, width = rgb.shape[:2]
    assert header["pixelAspectRatio"] == pytest.approx(2.0)
    wide, (x, y) = header["screenWindowWidth"], header["screenWindowCenter"]
    high = wide * height / width / header["pixelAspectRatio"]
    for column, row in ((0, 0), (width, 0), (17.5, 31.25)):
        ray = np.linalg.inv(K) @ (column, row, 1.0)  # y down
        assert x + wide * (column / width - 0.5) == pytest.approx(ray[0], abs=1e-6)  # float32 in the file
        assert y - high * (row / height - 0.5) == pytest.approx(-ray[1], abs=1e-6)
    box = header["displayWindow"]
    np.testing.assert_array_equal(header["dataWindow"], box)  # Blender loads a smaller one as a smaller picture
    np.testing.assert_array_equal(box, ((0, 0), (width - 1, height - 1)))


@pytest.mark.parametrize("value", [True, 2**40, np.float32(1), b"bytes", None, [1, 2], np.eye(4)])
def test_a_value_that_openexr_would_mangle_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="note"):
        encode_exr(hdr_picture(), {"note": value})


@pytest.mark.parametrize("seed", range(4))
def test_the_files_matrices_project_a_point_as_openexr_says(seed: int) -> None:
    """ImfStandardAttributes.h: row vectors; camera space left-handed, y up; NDC (0,0) upper left, (1,1) lower right."""
    shot = random_shot(seed)
    header, _ = decode_plate(encode_exr(hdr_picture(), header_of(shot, 2)))
    width, height = shot.resolution
    K, pose = shot.camera.K[2], shot.camera.world_from_camera[2]
    for x, y, z in [(0.0, 0.0, 3.0), (1.0, -2.0, 9.0), (-4.0, 2.0, 49.0)]:  # OpenCV camera coordinates
        world = pose @ [x, y, z, 1.0]
        # float32 matrices and metres in tens: 1e-4 of a metre, 1e-5 of the frame.
        assert (world @ header["worldToCamera"])[:3] == pytest.approx((x, -y, z), abs=1e-4)
        nx, ny, _, w = world @ header["worldToNDC"]
        u, v, one = K @ [x, y, z] / z
        assert one == 1
        assert (nx / w, ny / w) == pytest.approx((u / width, v / height), abs=1e-5)
    near, far = pose @ [0, 0, shot.depth.near, 1], pose @ [0, 0, shot.depth.far, 1]
    for world, depth in ((near, 0.0), (far, 1.0)):
        _, _, nz, w = world @ header["worldToNDC"]
        assert nz / w == pytest.approx(depth, abs=1e-4)
    # Left-handed: the pose's own rotation is right-handed, so the matrix mirrors.
    assert np.linalg.det(header["worldToCamera"][:3, :3].astype(float)) == pytest.approx(-1, abs=1e-5)


def test_depth_keeps_infinity_and_every_bit(tmp_path: Path) -> None:
    z = np.random.default_rng(3).uniform(0.1, 1e4, (33, 51)).astype(np.float32)
    z[:7] = np.inf
    path = tmp_path / "depth.0001.exr"
    write_depth_exr(path, z)
    np.testing.assert_array_equal(read_depth_exr(path), z)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    file = OpenEXR.File(str(path), separate_channels=True)
    assert list(file.channels()) == ["Z"]
    assert file.channels()["Z"].pixels.dtype == np.float32
    z[4, 4] = np.nan
    with pytest.raises(FarplaneError, match="NaN"):
        write_depth_exr(path, z)


def test_a_file_of_another_kind_is_refused() -> None:
    with pytest.raises(FarplaneError, match="no channel Z"):
        decode_depth(encode_exr(hdr_picture(), {}))
    for junk in (b"", b"\x76\x2f\x31\x01", b"\x89PNG\r\n" + bytes(100), bytes(4000)):
        with pytest.raises(FarplaneError):
            decode_exr(junk)


def test_a_small_file_that_announces_a_huge_picture_is_refused_before_decoding() -> None:
    data = encode_exr(np.zeros((64, 64, 3), np.float32), {}, "DWAB")
    window = b"dataWindow\0box2i\0" + struct.pack("<I4i", 16, 0, 0, 63, 63)
    assert window in data
    huge = data.replace(window, b"dataWindow\0box2i\0" + struct.pack("<I4i", 16, 0, 0, 2**30, 2**30))
    with pytest.raises(FarplaneError, match="pixels"):
        decode_exr(huge)
    with pytest.raises(FarplaneError, match="4096"):
        decode_exr(encode_exr(np.zeros((65, 64, 3), np.float32), {}), max_pixels=4096)
    negative = data.replace(window, b"dataWindow\0box2i\0" + struct.pack("<I4i", 16, 0, 0, -2, -2))
    with pytest.raises(FarplaneError, match="impossible"):
        decode_exr(negative)


@pytest.mark.parametrize("compression", ["ZIP", "PIZ", "DWAB", "ZIPS"])
def test_every_truncation_is_refused(compression: str) -> None:
    data = encode_exr(hdr_picture(), header_of(random_shot()), compression)
    for cut in np.linspace(0, len(data) - 1, 120).astype(int):
        with pytest.raises(FarplaneError):
            decode_exr(data[:cut])


@pytest.mark.parametrize("seed", range(2))
def test_damage_is_refused_or_keeps_the_shape(seed: int) -> None:
    """Random bytes overwritten: an error of ours or a whole picture, never another exception or a missing part."""
    rng = np.random.default_rng(seed)
    clean = encode_exr(hdr_picture(), header_of(random_shot()), ("ZIP", "PIZ")[seed])
    refused = 0
    for _ in range(100):
        data = bytearray(clean)
        for at in rng.integers(0, len(data), 6):
            data[at] = rng.integers(256)
        try:
            layout = read_layout(bytes(data), max_pixels=10**6)
            _, channels = decode_exr(bytes(data), max_pixels=10**6)
            assert all(p.shape == (layout.height, layout.width) for p in channels.values())
        except FarplaneError as error:
            if error.field != "exr":
                raise
            refused += 1
    assert refused > 20


def test_hashes_tell_prompts_and_headers_apart() -> None:
    assert prompt_hash(Prompt("a", "b")) != prompt_hash(Prompt("a b")) != prompt_hash(Prompt("ab"))
    shot = random_shot()
    assert header_hash(header_of(shot)) == header_hash(header_of(shot))
    assert header_hash(header_of(shot)) != header_hash(header_of(shot, seed=1))
    assert header_hash(header_of(shot)) != header_hash(header_of(replace(shot, fps=Fraction(24))))


def test_a_pool_encodes_in_order_while_the_caller_works() -> None:
    pictures = [hdr_picture((40, 50), seed) for seed in range(7)]
    headers = [{"farplane:seed": str(i)} for i in range(7)]
    with encode_pool(1) as pool:
        files = list(encode_in_order(pool, zip(pictures, headers), "PIZ", ahead=2))
        with pytest.raises(FarplaneError, match="NaN"):  # an error crosses the process border as itself
            list(encode_in_order(pool, [(np.full((4, 4, 3), np.nan), {})]))
    assert files == [encode_exr(p, h, "PIZ") for p, h in zip(pictures, headers)]


def test_the_pool_dies_with_its_parent() -> None:
    """A killed worker must not leave encoders behind."""
    script = textwrap.dedent("""
        import os, time
        from farplane.backend.pipeline.exr import encode_pool
        if __name__ == "__main__":
            pool = encode_pool(1)
            print(pool.submit(os.getpid).result(), flush=True)
            time.sleep(60)
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert child.is_running()
    parent.kill()
    parent.wait()
    child_gone = psutil.wait_procs([child], timeout=30)[0]
    assert child_gone or not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_blenders_reader_sees_the_same_pixels(tmp_path: Path) -> None:
    """A second reader: Blender's image loader (OpenImageIO), in a process of its own.

    Not HTJ2K: Blender 5.0's OpenEXR is older than it.
    """
    pytest.importorskip("bpy")
    known = [c for c in COMPRESSIONS if c != "HTJ2K"]
    rgb = hdr_picture()
    for compression in known:
        (tmp_path / f"{compression}.exr").write_bytes(encode_exr(rgb, header_of(random_shot()), compression))
    script = textwrap.dedent("""
        import sys, bpy, numpy as np
        from pathlib import Path
        for path in sorted(Path(sys.argv[1]).glob("*.exr")):
            image = bpy.data.images.load(str(path))
            image.colorspace_settings.name = "Linear Rec.709"
            width, height = image.size
            pixels = np.empty(width * height * 4, np.float32)
            image.pixels.foreach_get(pixels)
            np.save(path.with_suffix(".npy"), pixels.reshape(height, width, 4)[::-1, :, :3])
    """)
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True, timeout=120)
    half = rgb.astype(np.float16).astype(np.float32)
    for compression in known:
        seen = np.load(tmp_path / f"{compression}.npy")
        tolerance = {"rtol": 0.05, "atol": 0.02} if compression.startswith("DWA") else {"rtol": 0, "atol": 0}
        np.testing.assert_allclose(seen, half, **tolerance)


def test_the_file_is_small_and_deterministic() -> None:
    rgb = hdr_picture((256, 448))
    first, again = encode_exr(rgb, {}), encode_exr(rgb, {})
    assert first == again
    assert len(first) < rgb.size * 2
