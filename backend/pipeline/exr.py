"""OpenEXR files in memory: plates (half RGB) and depth (float Z), with headers that say where the camera stood.

Legend: H rows, W columns; rgb [H, W, 3] scene-linear Rec.709; z [H, W] metres, `inf` where nothing is hit.

pixelAspectRatio, screenWindowWidth and screenWindowCenter say of each frame's K what OpenEXR's own camera can say: the
shape of a pixel, and what the display window shows at distance 1.  The data window is the display window: Blender loads
a smaller one as a smaller picture.

worldToCamera and worldToNDC follow OpenEXR's ImfStandardAttributes.h: Imath *row vectors* (p' = p M, translation in
the last row), a *left-handed* camera space (x right, y up, z forward), and an NDC whose (0, 0) and (1, 1) are the
display window's upper left and lower right corners, after division by w.  They are float32 in the file; shot.json
holds the cameras in full precision.

OpenEXR writes a non-contiguous array as wrong pixels and reads a damaged file as fewer parts or wrong pixels, both
in silence.  So arrays are made contiguous here, and a file's header and chunk table are checked before it is decoded.
"""

from __future__ import annotations

import io
import multiprocessing
import multiprocessing.connection
import os
import re
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from ...protocol.errors import FarplaneError
from ...protocol.shot import COMPRESSIONS, MAX_PIXELS, Shot
from .colour import REC709_CHROMATICITIES
from .exr_layout import check_chunks, damaged, read_layout
from .provenance import prompt_hash

HALF_MAX = 65504.0
HDR_KINDS = ("native", "display")

_COMPRESSION = {
    "ZIP": OpenEXR.ZIP_COMPRESSION,
    "ZIPS": OpenEXR.ZIPS_COMPRESSION,
    "PIZ": OpenEXR.PIZ_COMPRESSION,
    "DWAA": OpenEXR.DWAA_COMPRESSION,
    "DWAB": OpenEXR.DWAB_COMPRESSION,
    # Blocks of 32 lines.  OpenEXR 3.4 or later reads it, Blender from 5.2 on; OpenImageIO knows it as htj2k32 only.
    "HTJ2K": OpenEXR.HTJ2K32_COMPRESSION,
}
assert tuple(_COMPRESSION) == COMPRESSIONS


# --- headers ---------------------------------------------------------------------------------------------------------


def world_to_camera(world_from_camera: NDArray) -> NDArray[np.float32]:
    """OpenEXR's worldToCamera [4, 4] (row vectors, y up, z forward) of an OpenCV pose."""
    y_up = np.diag([1.0, -1.0, 1.0, 1.0])
    return np.ascontiguousarray((y_up @ np.linalg.inv(world_from_camera)).T, dtype=np.float32)


def world_to_ndc(
    K: NDArray, world_from_camera: NDArray, width: int, height: int, near: float, far: float
) -> NDArray[np.float32]:
    """OpenEXR's worldToNDC [4, 4] (row vectors) of an OpenCV camera; z runs from 0 at `near` to 1 at `far`."""
    projection = np.zeros((4, 4))
    projection[:2, :3] = K[:2] / np.array([[width], [height]])
    projection[2, 2:] = far / (far - near), -far * near / (far - near)
    projection[3, 2] = 1.0
    return np.ascontiguousarray((projection @ np.linalg.inv(world_from_camera)).T, dtype=np.float32)


def plate_header(
    shot: Shot,
    index: int,
    *,
    model: str,
    seed: int,
    job: str,
    hdr: Literal["native", "display"],
    made: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """The header of the shot's frame number `index` (0-based), as `encode_exr` takes it.

    hdr : `native` when the model itself made values above 1, `display` when an SDR model's picture was linearised.
    made : (w, h) of the frame in the model's picture, None where that had the shot's own pixels.
    """
    if hdr not in HDR_KINDS:
        raise ValueError(f"hdr is one of {HDR_KINDS}, not {hdr!r}")
    width, height = shot.resolution
    K, pose, window = shot.camera.K[index], shot.camera.world_from_camera[index], shot.screen_window(index)
    header: dict[str, Any] = {
        "worldToCamera": world_to_camera(pose),
        "worldToNDC": world_to_ndc(K, pose, width, height, shot.depth.near, shot.depth.far),
        "pixelAspectRatio": window.pixel_aspect,
        "screenWindowCenter": window.centre,
        "screenWindowWidth": window.width,
        "framesPerSecond": Fraction(shot.fps),
        "chromaticities": REC709_CHROMATICITIES,
        "colorInteropID": "lin_rec709_scene",
        "farplane:model": model,
        "farplane:seed": str(int(seed)),  # a string: OpenEXR's int has 32 bits and turns 2**40 into 0
        "farplane:job": job,
        "farplane:hdr": hdr,
        "farplane:prompt": prompt_hash(shot.prompt),
    }
    if made is not None:
        smaller = made[0] >= width and made[1] >= height
        how = ("farplane:reduced", "area") if smaller else ("farplane:upscaled", "guided")
        header[how[0]] = f"{how[1]} {made[0]}x{made[1]} to {width}x{height}"
    return header


def made_at(header: Mapping[str, Any]) -> tuple[int, int] | None:
    """(w, h) that a plate was enlarged from, by its header; None where it was made at its own size."""
    found = re.search(r"(\d{1,5})x(\d{1,5})", str(header.get("farplane:upscaled", "")))
    return (int(found[1]), int(found[2])) if found else None


def _attribute(name: str, value: Any) -> Any:
    """A header value of a type that OpenEXR's Python binding keeps; TypeError for any other (it drops or mangles)."""
    if isinstance(value, (str, Fraction)):
        return value
    if name in ("chromaticities", "screenWindowCenter"):
        return tuple(float(v) for v in value)
    if isinstance(value, np.ndarray) and value.shape in ((3, 3), (4, 4)) and value.dtype == np.float32:
        return np.ascontiguousarray(value)
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31:
        return value
    raise TypeError(f"{name}: OpenEXR would not keep {value!r} ({type(value).__name__})")


def _write(header: Mapping[str, Any], channels: dict[str, NDArray], compression: str) -> bytes:
    if compression not in _COMPRESSION:
        raise FarplaneError("compression", f"{compression!r} is unknown", f"Use one of {', '.join(COMPRESSIONS)}")
    attributes = {name: _attribute(name, value) for name, value in header.items()}
    attributes |= {"compression": _COMPRESSION[compression], "type": OpenEXR.scanlineimage}
    out = io.BytesIO()
    OpenEXR.File(attributes, {k: np.ascontiguousarray(v) for k, v in channels.items()}, 0).write(out)
    return out.getvalue()


# --- plates ----------------------------------------------------------------------------------------------------------


def encode_exr(rgb: NDArray, header: Mapping[str, Any], compression: str = "ZIP") -> bytes:
    """A plate's file: half-float R, G, B.

    rgb : [H, W, 3] scene-linear of any float type and memory layout.  Values beyond half's range, infinity included,
    become +-65504.  Raises FarplaneError("plate") for NaN, which no later step of a comp survives.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"rgb is [H, W, 3], not {rgb.shape}")
    if np.isnan(rgb).any():
        raise FarplaneError("plate", "the model made NaN pixels", "Render again with another seed or a lower guidance")
    half = np.clip(np.asarray(rgb, np.float32), -HALF_MAX, HALF_MAX).astype(np.float16)
    return _write(header, {"RGB": half}, compression)


def decode_plate(data: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Header and rgb [H, W, 3] float32 of a file that `encode_exr` wrote.  Raises FarplaneError("exr")."""
    header, channels = decode_exr(data, max_pixels=max_pixels, channels=("R", "G", "B"))
    return header, np.stack([channels[c] for c in "RGB"], axis=-1).astype(np.float32)


# --- depth -----------------------------------------------------------------------------------------------------------


def encode_depth(z: NDArray, header: Mapping[str, Any] | None = None, compression: str = "ZIP") -> bytes:
    """A depth file: one float32 channel Z, metres, `inf` kept.  Raises FarplaneError("depth") for NaN."""
    if z.ndim != 2:
        raise ValueError(f"z is [H, W], not {z.shape}")
    if np.isnan(z).any():
        raise FarplaneError("depth", "it holds NaN", "Use inf where nothing is hit")
    return _write(header or {}, {"Z": np.asarray(z, np.float32)}, compression)


def decode_depth(data: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.float32]:
    """z [H, W] float32 of a file that has a channel Z.  Raises FarplaneError("exr")."""
    return decode_exr(data, max_pixels=max_pixels, channels=("Z",))[1]["Z"].astype(np.float32)


def write_depth_exr(path: Path, z: NDArray, header: Mapping[str, Any] | None = None) -> None:
    """Write z [H, W] to `path`, whole or not at all."""
    data = encode_depth(z, header)
    handle, name = tempfile.mkstemp(prefix=".depth-", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_depth_exr(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.float32]:
    """z [H, W] float32 of a depth file.  Raises FarplaneError naming the file."""
    try:
        return decode_depth(path.read_bytes(), max_pixels=max_pixels)
    except FarplaneError as error:
        raise FarplaneError("depth", f"{path.name} cannot be read: {error.problem}", error.remedy) from error


# --- reading ---------------------------------------------------------------------------------------------------------


def decode_exr(
    data: bytes, *, max_pixels: int = MAX_PIXELS, channels: Collection[str] | None = None
) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """Header attributes and channels {name: [H, W]} of a single-part scanline file, in the file's own types.

    The header's size and the chunk table are checked before anything is decoded.  `channels`: those that must be
    there.  Raises FarplaneError("exr") for whatever cannot be read whole.  Damage inside a compressed chunk can pass:
    whoever has the file's SHA-256 compares that first.
    """
    layout = read_layout(data, max_pixels=max_pixels)
    missing = set(channels or ()) - set(layout.channels)
    if missing:
        raise FarplaneError("exr", f"it has no channel {', '.join(sorted(missing))}", "Use a file of the right kind")
    check_chunks(data, layout)
    try:
        file = OpenEXR.File(io.BytesIO(data), True, False, 0)  # separate channels, with pixels, no threads
        parts = file.parts
        found = {name: channel.pixels for name, channel in file.channels().items()} if parts else {}
        header = dict(file.header()) if parts else {}
    except Exception as error:  # the binding raises RuntimeError, UnicodeDecodeError, ValueError …: all mean one thing
        raise damaged(f"OpenEXR cannot decode it ({type(error).__name__})") from error
    if set(found) != set(layout.channels) or any(p.shape != (layout.height, layout.width) for p in found.values()):
        raise damaged("OpenEXR decoded only a part of it")
    return header, found


# --- encoding beside other work --------------------------------------------------------------------------------------


def _follow_parent() -> None:
    """Make this pool process leave with its parent, however that ends, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def encode_pool(workers: int | None = None) -> ProcessPoolExecutor:
    """A pool of processes for `encode_exr`; use it as a context manager.

    Processes, since EXR's compression holds Python's lock; spawned, since a forked child of a process with torch's
    threads or a CUDA context may hang.  workers: None takes the cores less one, 1 to 4.
    """
    count = workers or max(1, min(4, (os.cpu_count() or 2) - 1))
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_follow_parent)


def encode_in_order(
    pool: Executor, frames: Iterable[tuple[NDArray, Mapping[str, Any]]], compression: str = "ZIP", ahead: int = 8
) -> Iterator[bytes]:
    """Encode (rgb, header) pairs in the pool and give the files back in order.

    At most `ahead` frames wait in the pool, so that a long shot does not pile up in memory; while the caller makes
    the next frame, the pool encodes those before it.
    """
    waiting: deque[Future[bytes]] = deque()
    try:
        for rgb, header in frames:
            waiting.append(pool.submit(encode_exr, np.ascontiguousarray(rgb, np.float32), dict(header), compression))
            while waiting and (waiting[0].done() or len(waiting) > ahead):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
