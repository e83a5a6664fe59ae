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
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .events import VERSION, ArrayInfo, LocalProtocolError, Message, RemoteProtocolError, Submit, VersionMismatch
from .schema import CHUNK, JOB, MAX_HEADER, MAX_UPLOAD, NAMES, SCHEMA, Record
from .shot import CameraTrack, DepthPass, Operation, Prompt, RenderSettings, Shot


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


def outline(
    name: str, frames: int, size: tuple[int, int], prompt: Prompt, settings: RenderSettings, *, reference: bool
) -> Submit:
    """A Submit that asks whether a shot of so many frames would be taken, before there is anything of it to send.

    Its job's UUID is its own, its frame numbers, range and rate are nobody's, and its arrays have no bytes: whoever
    gets credit for it cancels it (docs/protocol.md).
    """
    (W, H), T = size, frames
    shapes: dict[str, tuple[int, ...]] = {"K": (T, 3, 3), "world_from_camera": (T, 4, 4), "z": (T, H, W)}
    if reference:
        shapes["reference"] = (T, H, W, 3)
    nothing = hashlib.sha256().hexdigest()
    return Submit(
        job=new_job(),
        name=name,
        frames=tuple(range(1, T + 1)),
        resolution=size,
        fps=Fraction(24),
        near=1.0,
        far=2.0,
        prompt=prompt,
        operation=Operation(),
        settings=settings,
        arrays=tuple(
            ArrayInfo(name, "<f4" if name in ("z", "reference") else "<f8", shape, nothing)
            for name, shape in shapes.items()
        ),
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
    T, (W, H) = len(submit.frames), submit.resolution
    expected: list[tuple[str, str, tuple[int, ...]]] = [
        ("K", "<f8", (T, 3, 3)),
        ("world_from_camera", "<f8", (T, 4, 4)),
        ("z", "<f4", (T, H, W)),
    ]
    if len(submit.arrays) == 4:
        expected.append(("reference", "<f4", (T, H, W, 3)))
    if [(info.name, info.dtype, info.shape) for info in submit.arrays] != expected:
        raise RemoteProtocolError("submit: the arrays do not fit the frames and the resolution")
    layout, offset = [], 0
    for info in submit.arrays:
        size = math.prod(info.shape) * (8 if info.dtype == "<f8" else 4)
        layout.append((info, offset, size))
        offset += size
    if offset > MAX_UPLOAD:
        raise RemoteProtocolError(f"submit: {offset} bytes are over {MAX_UPLOAD}")
    return layout


def upload_size(submit: Submit) -> int:
    """Bytes of the whole upload stream."""
    _, offset, size = upload_layout(submit)[-1]
    return offset + size


def expected_upload(frames: int, width: int, height: int, *, reference: bool) -> int:
    """What `upload_size` will say of a shot that is not read yet."""
    return frames * (9 * 8 + 16 * 8 + width * height * (4 + (12 if reference else 0)))


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
