"""Bytes to messages and back; whatever else comes is a ProtocolError."""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
from strategies import any_message, messages

from farplane.protocol import codec, events, schema
from farplane.protocol.errors import FarplaneError
from farplane.protocol.events import LocalProtocolError, ProtocolError, RemoteProtocolError, VersionMismatch
from farplane.protocol.schema import CHUNK, FROM_BACKEND, FROM_CLIENT, SCHEMA
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, RenderSettings, SceneFrame, Shot

EVERYBODY = FROM_CLIENT | FROM_BACKEND


@given(any_message)
def test_what_is_encoded_is_decoded(message: events.Message) -> None:
    parts = [bytes(part) for part in codec.encode(message)]
    assert codec.decode(parts, EVERYBODY) == message
    assert len(parts[0]) <= schema.MAX_HEADER
    # Any JSON reader reads the header, and exact numbers stay exact.
    assert json.loads(parts[0])["v"] == 1


@given(any_message)
def test_only_the_right_side_may_say_it(message: events.Message) -> None:
    parts = codec.encode(message)
    allowed, other = (FROM_CLIENT, FROM_BACKEND) if type(message) in events.FROM_CLIENT else (FROM_BACKEND, FROM_CLIENT)
    assert codec.decode(parts, allowed) == message
    with pytest.raises(RemoteProtocolError):
        codec.decode(parts, other)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_any_bytes_give_a_protocol_error_at_worst(parts: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        codec.decode(parts, EVERYBODY)


@settings(max_examples=100)
@given(st.sampled_from(sorted(SCHEMA)), st.data())
def test_a_message_with_one_field_spoilt(name: str, data: st.DataObject) -> None:
    """Any field replaced by any JSON value: a message or a ProtocolError, never another error."""
    parts = codec.encode(data.draw(messages(name)))
    header = json.loads(bytes(parts[0]))
    for _ in range(data.draw(st.integers(1, 3))):
        spot, key = header, data.draw(st.sampled_from(sorted(header)))
        while isinstance(spot[key], (dict, list)) and spot[key] and data.draw(st.booleans()):
            spot = spot[key]
            key = data.draw(st.sampled_from(sorted(spot) if isinstance(spot, dict) else range(len(spot))))
        spot[key] = data.draw(json_values)
    spoilt = [json.dumps(header).encode("utf-8", "surrogatepass"), *parts[1:]]
    try:
        decoded = codec.decode(spoilt, EVERYBODY)
    except ProtocolError:
        return
    again = codec.encode(decoded)  # what was let in keeps every bound
    assert codec.decode(again, EVERYBODY) == decoded


@given(any_message, st.data())
def test_flipped_and_cut_bytes(message: events.Message, data: st.DataObject) -> None:
    parts = [bytearray(part) for part in codec.encode(message)]
    spot = data.draw(st.integers(0, len(parts[0]) - 1))
    if data.draw(st.booleans()):
        parts[0][spot] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del parts[0][spot:]
    with suppress(ProtocolError):
        codec.decode([bytes(part) for part in parts], EVERYBODY)


HELLO = b'{"v":1,"type":"hello","client":"x"}'


@pytest.mark.parametrize(
    "header",
    [
        b'{"v":1,"type":"hello","client":"x","client":"y"}',  # twice the same key
        b'{"v":1,"type":"progress","job":"%s","stage":"write","step":1,"total":1,"seconds_left":NaN}' % (b"0" * 36),
        b'{"v":true,"type":"hello","client":"x"}',
        b'{"v":1,"type":"hello","client":"\\ud800"}',  # a lone surrogate
        b'{"v":1,"type":["hello"],"client":"x"}',
        b'{"v":1,"type":"upload","job":"01234567-0123-0123-0123-0123456789ab","offset":' + b"9" * 5000 + b"}",
        b'{"v":1,"type":"hello","client":' + b"[" * 100_000 + b"}",
        HELLO.decode().encode("utf-16"),
        HELLO + b" " * schema.MAX_HEADER,
    ],
)
def test_json_with_a_trap(header: bytes) -> None:
    with pytest.raises(ProtocolError):
        codec.decode([header], EVERYBODY)


def test_numbers_of_hundreds_of_digits() -> None:
    submit, _ = codec.describe(JOB, small_shot(), RenderSettings())
    header = json.loads(bytes(codec.encode(submit)[0]))
    for bad in ("1e999", "-1e999", "9" * 400, "true", '"1"', "null"):
        header["near"] = "@"
        with pytest.raises(RemoteProtocolError):
            codec.decode([json.dumps(header).replace('"@"', bad).encode()], FROM_CLIENT)


def test_the_version_is_read_before_anything_else() -> None:
    with pytest.raises(VersionMismatch) as caught:
        codec.decode([b'{"v":2,"type":"no such thing","?":[]}'], FROM_CLIENT)
    assert caught.value.theirs == 2
    assert "version 2" in str(caught.value)


def test_nothing_is_said_that_would_be_refused() -> None:
    for message in (
        events.Hello("x" * 201),
        events.Upload(JOB, 0, b""),
        events.Upload(JOB, 0, bytes(CHUNK + 1)),
        events.Upload("../x", 0, b"1"),
        events.Fetch(JOB, "take.json", 0, 1),
        events.Progress(JOB, "thinking", 1, 2),
        events.Progress(JOB, "write", 1, 2, float("nan")),
        events.Failed(JOB, "x", "y" * 5000, "z"),
        events.Items(JOB, ()),
    ):
        with pytest.raises(LocalProtocolError):
            codec.encode(message)


JOB = "01234567-89ab-cdef-0123-456789abcdef"


def colours_of(frames: int) -> np.ndarray:
    """Random base colours, told for about half of the pixels."""
    rng = np.random.default_rng(frames + 100)
    colours = rng.integers(0, 256, (frames, 34, 48, 4), np.uint8)
    colours[..., 3] = rng.choice(np.array([0, 255], np.uint8), colours.shape[:3])
    return colours


def suns_of(frames: int) -> NDArray[np.float64]:
    """[T, 3] a sun that goes round, 30 degrees high."""
    around = 0.3 * np.arange(frames)
    return np.stack([np.cos(around), np.sin(around), np.full(frames, 1 / np.sqrt(3))], -1) * np.sqrt(3) / 2


def frame_of(frames: int) -> SceneFrame:
    K = np.tile(np.array([[2000.0, 0, 980], [0, 1600, 540], [0, 0, 1]]), (frames, 1, 1))
    K[:, 0, 0] += np.arange(frames)
    return SceneFrame((1920, 1080), 0.8, K)


def small_shot(
    frames: int = 3,
    reference: bool = False,
    base_colour: bool = False,
    sun: bool = False,
    frame: bool = False,
    **changes: object,
) -> Shot:
    rng = np.random.default_rng(frames)
    K = np.tile(np.array([[50.0, 0, 24.5], [0, 50, 17], [0, 0, 1]]), (frames, 1, 1))
    z = rng.uniform(0.5, 60, (frames, 34, 48)).astype(np.float32)
    z[0, 0, 0] = np.inf
    values: dict = {
        "name": "dolly",
        "frames": tuple(range(101, 101 + 3 * frames, 3)),
        "resolution": (48, 34),
        "fps": Fraction(24000, 1001),
        "camera": CameraTrack(K, np.tile(np.eye(4), (frames, 1, 1))),
        "depth": DepthPass(z, 0.1, 60),
        "prompt": Prompt("valley ⛰", "haze"),
        "reference": rng.random((frames, 34, 48, 3), np.float32) if reference else None,
        "base_colour": colours_of(frames) if base_colour else None,
        "sun": suns_of(frames) if sun else None,
        "frame": frame_of(frames) if frame else None,
    }
    return Shot(**{**values, **changes})


@pytest.mark.parametrize("frame", [False, True])
@pytest.mark.parametrize("sun", [False, True])
@pytest.mark.parametrize("base_colour", [False, True])
@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("frames", [2, 7])
def test_a_shot_survives_the_way(frames: int, reference: bool, base_colour: bool, sun: bool, frame: bool) -> None:
    shot = small_shot(frames, reference, base_colour, sun, frame).validate()
    submit, buffers = codec.describe(JOB, shot, RenderSettings(seed=2**53 - 1))
    again = codec.decode([bytes(part) for part in codec.encode(submit)], FROM_CLIENT)
    assert again == submit
    assert isinstance(again, events.Submit)
    stream = b"".join(bytes(data) for _, data in codec.pieces(buffers, 0, 10**6))
    expected = codec.expected_upload(frames, 48, 34, reference=reference, base_colour=base_colour)
    assert len(stream) == codec.upload_size(again) == expected + sun * frames * 3 * 8 + frame * frames * 12 * 8
    arrays = {}
    for info, offset, size in codec.upload_layout(again):
        data = stream[offset : offset + size]
        assert hashlib.sha256(data).hexdigest() == info.sha256
        arrays[info.name] = np.frombuffer(data, info.dtype).reshape(info.shape)
    back = codec.assemble(again, arrays).validate()
    for name in ("name", "frames", "resolution", "fps", "prompt", "operation"):
        assert getattr(back, name) == getattr(shot, name)
    assert (back.depth.near, back.depth.far) == (shot.depth.near, shot.depth.far)
    np.testing.assert_array_equal(back.depth.z, shot.depth.z)
    np.testing.assert_array_equal(back.camera.K, shot.camera.K)
    np.testing.assert_array_equal(back.camera.world_from_camera, shot.camera.world_from_camera)
    for name, sent in (("reference", reference), ("base_colour", base_colour), ("sun", sun)):
        told = getattr(back, name)
        assert (told is not None) == sent
        if sent:
            assert told.dtype == getattr(shot, name).dtype
            assert not told.flags.writeable
            np.testing.assert_array_equal(told, getattr(shot, name))
    assert (back.frame is not None) == frame
    if back.frame is not None and shot.frame is not None:
        assert (back.frame.resolution, back.frame.pixel_aspect) == (shot.frame.resolution, shot.frame.pixel_aspect)
        np.testing.assert_array_equal(back.frame.K, shot.frame.K)
        assert back.pixel_aspect == pytest.approx(0.8 * (1920 / 48) / (1080 / 34))


@pytest.mark.parametrize("reference", [False, True])
def test_a_backend_gets_the_shot_without_what_it_does_not_take(reference: bool) -> None:
    """To the last byte what is sent for the same shot without it."""
    submit, buffers = codec.describe(JOB, small_shot(3, reference, True, True, True), RenderSettings())
    plain, plain_buffers = codec.describe(JOB, small_shot(3, reference), RenderSettings())
    coloured = codec.describe(JOB, small_shot(3, reference, base_colour=True), RenderSettings())
    assert codec.known_to(frozenset({"base_colour"}), submit, buffers) == coloured
    assert codec.known_to(frozenset(), submit, buffers) == (plain, plain_buffers)
    assert codec.known_to(events.EXTENSIONS, submit, buffers) == (submit, buffers)
    assert codec.known_to(frozenset(), plain, plain_buffers) == (plain, plain_buffers)


@pytest.mark.parametrize(
    ("backend", "version", "takes"),
    [
        ("0.1.0", "0.1.0", set()),
        ("0.2.0+base_colour", "0.2.0", {"base_colour"}),
        ("0.2.0+base_colour.sun", "0.2.0", {"base_colour", "sun"}),
        ("0.4.0+base_colour.frame.sun", "0.4.0", {"base_colour", "frame", "sun"}),
        ("0.2.0+g12.base_colour.later", "0.2.0", {"base_colour"}),
        ("unknown+", "unknown", set()),
    ],
)
def test_a_welcome_says_what_is_taken(backend: str, version: str, takes: set[str]) -> None:
    welcome = events.Welcome(backend, (), 1)
    assert (welcome.version, welcome.takes) == (version, takes)


def test_an_outline_has_the_arrays_that_the_shot_will_have() -> None:
    for optional in (set(), {"reference"}, {"base_colour"}, {"reference", "base_colour"}):
        told = {name: name in optional for name in ("reference", "base_colour")}
        outline = codec.outline("x", 3, (48, 34), Prompt("p"), RenderSettings(), **told)
        shot, _ = codec.describe(JOB, small_shot(3, *told.values()), RenderSettings())
        assert [(a.name, a.dtype, a.shape) for a in outline.arrays] == [(a.name, a.dtype, a.shape) for a in shot.arrays]
        assert codec.upload_size(outline) == codec.upload_size(shot)
        assert codec.known_to(frozenset(), outline, [])[1] == []


@pytest.mark.parametrize(
    "arrays",
    [
        ["K", "world_from_camera", "z", "base_colour", "reference"],
        ["K", "world_from_camera", "z", "base_colour", "base_colour"],
        ["K", "world_from_camera", "base_colour"],
        ["K", "world_from_camera", "z", "sun", "base_colour"],
        ["K", "world_from_camera", "z", "frame", "sun"],
    ],
)
def test_arrays_in_another_order_are_refused(arrays: list[str]) -> None:
    submit, _ = codec.describe(JOB, small_shot(3, True, True, True, True), RenderSettings())
    by_name = {info.name: info for info in submit.arrays}
    with pytest.raises(RemoteProtocolError, match="do not fit"):
        codec.upload_layout(replace(submit, arrays=tuple(by_name[name] for name in arrays)))


def test_base_colours_are_judged() -> None:
    good = colours_of(3)
    for bad, problem in (
        (good[..., :3], "does not fit"),
        (good[:2], "does not fit"),
        (np.where(good == 255, np.uint8(254), good), "neither 0 nor 255"),
    ):
        with pytest.raises(FarplaneError, match=problem) as error:
            replace(small_shot(), base_colour=bad).validate()
        assert error.value.field == "base colour"


def test_suns_are_judged() -> None:
    good = suns_of(3)
    for bad, problem in (
        (good[:2], "does not fit"),
        (good[..., :2], "does not fit"),
        (1.01 * good, "not of length 1"),
        (np.where(np.arange(3) == 1, np.nan, good), "not of length 1"),
    ):
        with pytest.raises(FarplaneError, match=problem) as error:
            replace(small_shot(), sun=bad).validate()
        assert error.value.field == "sun"


def test_frames_are_judged() -> None:
    good = frame_of(3)
    flipped = good.K * [[1.0], [-1.0], [1.0]]
    for bad, problem in (
        (SceneFrame(good.resolution, 1.0, good.K[:2]), "does not fit"),
        (SceneFrame(good.resolution, 1.0, np.where(np.arange(3) == 1, np.nan, good.K)), "does not fit"),
        (SceneFrame(good.resolution, 1.0, flipped), "no camera's"),
        (SceneFrame((0, 1080), 1.0, good.K), "no frame"),
        (SceneFrame((1920, 1080), 0.0, good.K), "no frame"),
    ):
        with pytest.raises(FarplaneError, match=problem) as error:
            replace(small_shot(), frame=bad).validate()
        assert error.value.field == "frame"
    with pytest.raises(FarplaneError, match="NaN"):
        SceneFrame.from_array(np.full((3, 4, 3), np.nan))


def test_the_digest_knows_two_shots_apart_and_one_again() -> None:
    def digest(shot: Shot, job: str = JOB, **options: object) -> str:
        return codec.digest(codec.describe(job, shot, RenderSettings(**options))[0])  # type: ignore[arg-type]

    same = digest(small_shot())
    assert digest(small_shot(), "fedcba98-89ab-cdef-0123-456789abcdef") == same  # the UUID is not part of it
    assert digest(small_shot(), guidance=0) == same  # 0 and 0.0 are one number
    z = small_shot().depth.z.copy()
    z[2, 33, 47] = np.nextafter(z[2, 33, 47], np.float32(0))
    others = [
        digest(small_shot(depth=DepthPass(z, 0.1, 60))),
        digest(small_shot(prompt=Prompt("valley ⛰"))),
        digest(small_shot(fps=Fraction(24))),
        digest(small_shot(reference=True)),
        digest(small_shot(base_colour=True)),
        digest(small_shot(sun=True)),
        digest(small_shot(frame=True)),
        digest(small_shot(), seed=1),
    ]
    assert len({same, *others}) == 9


@given(st.lists(st.binary(max_size=3 * 1024), max_size=5), st.integers(0, 9), st.integers(1, 9))
def test_pieces_are_the_stream_cut_at_the_chunk(buffers: list[bytes], start: int, count: int) -> None:
    """With chunks of 1 KiB in place of 1 MiB, against slicing the joined bytes."""
    whole, size = b"".join(buffers), 1024
    original, codec.CHUNK = codec.CHUNK, size
    try:
        got = [
            (offset, bytes(data))
            for offset, data in codec.pieces([memoryview(b) for b in buffers], start * size, count)
        ]
    finally:
        codec.CHUNK = original
    spots = range(start * size, min(len(whole), (start + count) * size), size)
    assert got == [(spot, whole[spot : spot + size]) for spot in spots]
