"""Messages to and from byte frames, and a shot to and from its upload.  Pure; no sockets.

A message is one part or two: a header, UTF-8 JSON ``{"v": 1, "type": ..., fields}`` of at most MAX_HEADER bytes,
and for ``upload``, ``chunk`` and ``preview`` a buffer of raw bytes.  Every field is bounded, every header has
exactly its fields (schema.py), and whatever breaks a rule raises ProtocolError and nothing else.  ``v`` and
``type`` keep their place and meaning in all versions, so that a stranger can be told which version is spoken.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .events import (
    EXTENSIONS,
    VERSION,
    ArrayInfo,
    LocalProtocolError,
    Message,
    RemoteProtocolError,
    Submit,
    VersionMismatch,
)
from .schema import CHUNK, JOB, MAX_HEADER, MAX_UPLOAD, NAMES, SCHEMA, Record
from .shot import CameraTrack, DepthPass, Operation, Prompt, RenderSettings, SceneFrame, Shot


def encode(message: Message) -> list[bytes | memoryview]:
    """The parts of a message.  Raises LocalProtocolError when a field breaks its bounds."""
    name = NAMES[type(message)]
    layout = SCHEMA[name]
    record = Record(name, layout.make, layout.fields)
    values = vars(message)
    try:
        fields = record.write(message)
        Record(name, dict, layout.fields).read(fields)  # never say what the other side must refuse
        header = _json({"v": VERSION, "type": name, **fields})  # type: ignore[dict-item]
    except (RemoteProtocolError, TypeError, ValueError, OverflowError) as error:
        raise LocalProtocolError(f"{name}: {error}") from error
    if len(header) > MAX_HEADER:
        raise LocalProtocolError(f"{name}: the header has {len(header)} bytes, over {MAX_HEADER}")
    if not layout.buffer:
        return [header]
    buffer = values[layout.buffer]
    if not 0 < len(buffer) <= layout.limit:
        raise LocalProtocolError(f"{name}: the buffer has {len(buffer)} bytes, expected 1 to {layout.limit}")
    return [header, buffer]


def decode(parts: Sequence[bytes | memoryview], allowed: frozenset[str]) -> Message:
    """The message in these parts.  allowed : FROM_CLIENT or FROM_BACKEND, what the other side may say.

    Raises VersionMismatch for another version, RemoteProtocolError for anything else that is wrong.
    """
    if not 1 <= len(parts) <= 2:
        raise RemoteProtocolError(f"a message has {len(parts)} parts, expected 1 or 2")
    if len(parts[0]) > MAX_HEADER:
        raise RemoteProtocolError(f"the header has {len(parts[0])} bytes, over {MAX_HEADER}")
    header = _header(bytes(parts[0]))
    name = header.pop("type", None)
    if not isinstance(name, str) or name not in allowed:
        raise RemoteProtocolError("the header's type is unknown")
    layout = SCHEMA[name]
    buffers: dict[str, Any] = {}
    if len(parts) != (2 if layout.buffer else 1):
        raise RemoteProtocolError(f"{name}: wrong number of parts")
    if layout.buffer:
        if not 0 < len(parts[1]) <= layout.limit:
            raise RemoteProtocolError(f"{name}: the buffer has {len(parts[1])} bytes")
        buffers[layout.buffer] = parts[1]
    try:
        return layout.make(**Record(name, dict, layout.fields).read(header), **buffers)
    except RemoteProtocolError as error:
        raise RemoteProtocolError(f"{name}: {error}") from None


def _header(data: bytes) -> dict[str, Any]:
    """The JSON object of a header, its version checked and taken out."""
    try:
        header = json.loads(data.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("the header is not JSON") from error
    version = header.pop("v", None) if type(header) is dict else None
    if type(version) is not int or not 0 < version < 1 << 31:
        raise RemoteProtocolError("the header has no version")
    if version != VERSION:
        raise VersionMismatch(version)
    return header


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("a key stands twice")
    return keys


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def check_job(job: str) -> str:
    """Return `job` when it is a UUID in canonical form, else raise LocalProtocolError."""
    try:
        return JOB.read(job)
    except RemoteProtocolError as error:
        raise LocalProtocolError(str(error)) from None


def new_job() -> str:
    """A fresh UUID string."""
    return str(uuid.uuid4())


# ---------------------------------------------------------------------------------------------------------
# A shot and its upload


def describe(job: str, shot: Shot, settings: RenderSettings) -> tuple[Submit, list[memoryview]]:
    """The Submit for a shot, and the buffers that make its upload stream, in order, without a copy."""
    arrays: dict[str, NDArray] = {
        "K": shot.camera.K,
        "world_from_camera": shot.camera.world_from_camera,
        "z": shot.depth.z,
    }
    if shot.reference is not None:
        arrays["reference"] = shot.reference
    if shot.base_colour is not None:
        arrays["base_colour"] = shot.base_colour
    if shot.sun is not None:
        arrays["sun"] = shot.sun
    if shot.frame is not None:
        arrays["frame"] = shot.frame.as_array()
    infos, buffers = [], []
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        buffer = little.reshape(-1).view(np.uint8).data
        infos.append(ArrayInfo(name, little.dtype.str, little.shape, hashlib.sha256(buffer).hexdigest()))
        buffers.append(buffer)
    submit = Submit(
        job=job,
        name=shot.name,
        frames=shot.frames,
        resolution=shot.resolution,
        fps=shot.fps,
        near=shot.depth.near,
        far=shot.depth.far,
        prompt=shot.prompt,
        operation=shot.operation,
        settings=settings,
        arrays=tuple(infos),
    )
    return submit, buffers


def known_to(takes: frozenset[str], submit: Submit, buffers: Sequence[memoryview]) -> tuple[Submit, list[memoryview]]:
    """The same without the optional arrays that the backend does not take (Welcome.takes)."""
    kept = [index for index, info in enumerate(submit.arrays) if info.name not in EXTENSIONS - takes]
    if len(kept) == len(submit.arrays):
        return submit, list(buffers)
    told = replace(submit, arrays=tuple(submit.arrays[index] for index in kept))
    return told, [buffers[index] for index in kept if index < len(buffers)]  # an outline has none


def outline(
    name: str,
    frames: int,
    size: tuple[int, int],
    prompt: Prompt,
    settings: RenderSettings,
    *,
    reference: bool,
    base_colour: bool = False,
) -> Submit:
    """A Submit that asks whether a shot of so many frames would be taken, before there is anything of it to send.

    Its job's UUID is its own, its frame numbers, range and rate are nobody's, and its arrays have no bytes: whoever
    gets credit for it cancels it (docs/protocol.md).
    """
    optional = [name for name, told in (("reference", reference), ("base_colour", base_colour)) if told]
    nothing = hashlib.sha256().hexdigest()
    return Submit(
        job=new_job(),
        name=name,
        frames=tuple(range(1, frames + 1)),
        resolution=size,
        fps=Fraction(24),
        near=1.0,
        far=2.0,
        prompt=prompt,
        operation=Operation(),
        settings=settings,
        arrays=tuple(ArrayInfo(*layout, nothing) for layout in _layouts(frames, *size, optional)),
    )


def digest(submit: Submit) -> str:
    """SHA-256 that two submissions share exactly when they ask for the same thing (the job's UUID aside)."""
    fields = {name: field.write(getattr(submit, name)) for name, field in SCHEMA["submit"].fields.items()}
    del fields["job"]
    return hashlib.sha256(_json(fields)).hexdigest()


def upload_layout(submit: Submit) -> list[tuple[ArrayInfo, int, int]]:
    """(array, offset, bytes) for each array of the stream.

    Raises RemoteProtocolError unless they are the arrays that this shot has.
    """
    optional = [info.name for info in submit.arrays[3:]]
    expected = _layouts(len(submit.frames), *submit.resolution, optional)
    if [(info.name, info.dtype, info.shape) for info in submit.arrays] != expected:
        raise RemoteProtocolError("submit: the arrays do not fit the frames and the resolution")
    layout, offset = [], 0
    for info in submit.arrays:
        size = math.prod(info.shape) * np.dtype(info.dtype).itemsize
        layout.append((info, offset, size))
        offset += size
    if offset > MAX_UPLOAD:
        raise RemoteProtocolError(f"submit: {offset} bytes are over {MAX_UPLOAD}")
    return layout


def _layouts(T: int, W: int, H: int, optional: Sequence[str]) -> list[tuple[str, str, tuple[int, ...]]]:
    """(name, dtype, shape) of a shot's arrays in the stream's order, with these optional ones."""
    every: list[tuple[str, str, tuple[int, ...]]] = [
        ("K", "<f8", (T, 3, 3)),
        ("world_from_camera", "<f8", (T, 4, 4)),
        ("z", "<f4", (T, H, W)),
        ("reference", "<f4", (T, H, W, 3)),
        ("base_colour", "|u1", (T, H, W, 4)),
        ("sun", "<f8", (T, 3)),
        ("frame", "<f8", (T, 4, 3)),
    ]
    return every[:3] + [layout for layout in every[3:] if layout[0] in optional]


def upload_size(submit: Submit) -> int:
    """Bytes of the whole upload stream."""
    _, offset, size = upload_layout(submit)[-1]
    return offset + size


def expected_upload(frames: int, width: int, height: int, *, reference: bool, base_colour: bool = False) -> int:
    """What `upload_size` will say of a shot that is not read yet, but for the few bytes of a sun and a frame."""
    return frames * (9 * 8 + 16 * 8 + width * height * (4 + 12 * reference + 4 * base_colour))


def assemble(submit: Submit, arrays: dict[str, NDArray]) -> Shot:
    """The shot again, from its Submit and its arrays by name.  Not validated."""
    return Shot(
        name=submit.name,
        frames=submit.frames,
        resolution=submit.resolution,
        fps=submit.fps,
        camera=CameraTrack(arrays["K"], arrays["world_from_camera"]),
        depth=DepthPass(arrays["z"], submit.near, submit.far),
        prompt=submit.prompt,
        operation=submit.operation,
        reference=arrays.get("reference"),
        base_colour=arrays.get("base_colour"),
        sun=arrays.get("sun"),
        frame=SceneFrame.from_array(arrays["frame"]) if "frame" in arrays else None,
    )


def pieces(buffers: Sequence[memoryview], offset: int, chunks: int) -> Iterator[tuple[int, memoryview | bytes]]:
    """(offset, data) of up to `chunks` chunks of the stream that these buffers make, from `offset` on."""
    total = sum(len(buffer) for buffer in buffers)
    for start in range(offset, min(total, offset + chunks * CHUNK), CHUNK):
        parts, at = [], 0
        for buffer in buffers:
            part = buffer[max(0, start - at) : max(0, start + CHUNK - at)]
            at += len(buffer)
            if len(part):
                parts.append(part)
        yield start, parts[0] if len(parts) == 1 else b"".join(parts)
