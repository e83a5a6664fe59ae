"""What every message holds, field by field, and the limits.  One table; docs/protocol.md is made from it.

A field kind reads a JSON value into a Python one, or raises RemoteProtocolError, and writes it back.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from . import events
from .events import RemoteProtocolError
from .shot import COMPRESSIONS, MAX_FRAMES, MAX_PROMPT_BYTES, Operation, Prompt, RenderSettings

CHUNK = 1 << 20  # bytes in a full chunk
MAX_PART = 2 << 20  # bytes in any part; the socket cuts the line above it
MAX_PARTS = 8  # parts in any message, of this version or a later one
MAX_HEADER = 256 << 10  # bytes
WINDOW = 8  # chunks that may be on their way to one receiver
MAX_UPLOAD = 64 << 30  # bytes; a backend may want less, see Welcome
MAX_ITEM = 512 << 20  # bytes in a frame or an artifact
MAX_ITEMS = 512  # results in one `items` message
MAX_PREVIEW = 1 << 20  # bytes
MAX_TEXT = 4000  # bytes in a problem or a remedy
MAX_EXACT = 2**53  # whole numbers below it are exact in every JSON reader
MAX_FRAME_NUMBER = 2**31  # Blender's own is 1048574


class Plain:
    """A field whose Python value is its JSON value."""

    def write(self, value: Any) -> object:
        return value


# ---------------------------------------------------------------------------------------------------------
# What a field may hold: `read` checks a JSON value and makes the Python one, `write` goes back


@dataclass(frozen=True)
class Int(Plain):
    low: int
    high: int  # inclusive

    def read(self, value: object) -> int:
        if type(value) is not int or not self.low <= value <= self.high:
            raise RemoteProtocolError(f"expected a whole number from {self.low} to {self.high}")
        return value

    def write(self, value: Any) -> object:
        return operator.index(value)

    def __str__(self) -> str:
        return f"whole number, {self.low} … {self.high}"


@dataclass(frozen=True)
class Real(Plain):
    def read(self, value: object) -> float:
        try:
            if type(value) in (int, float) and math.isfinite(number := float(value)):  # type: ignore[arg-type]
                return number
        except OverflowError:  # an integer of hundreds of digits
            pass
        raise RemoteProtocolError("expected a finite number")

    def write(self, value: Any) -> object:
        return float(value)

    def __str__(self) -> str:
        return "finite number (double)"


@dataclass(frozen=True)
class Text(Plain):
    limit: int  # bytes of UTF-8

    def read(self, value: object) -> str:
        # A lone surrogate is legal JSON and no text.
        if type(value) is not str or len(value) > self.limit or len(_utf8(value)) > self.limit:
            raise RemoteProtocolError(f"expected text of at most {self.limit} bytes")
        return value

    def __str__(self) -> str:
        return f"text, at most {self.limit} bytes of UTF-8"


@dataclass(frozen=True)
class Pattern(Plain):
    pattern: str
    what: str

    def read(self, value: object) -> str:
        if type(value) is not str or not re.fullmatch(self.pattern, value):
            raise RemoteProtocolError(f"expected {self.what}")
        return value

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True)
class Choice(Plain):
    choices: tuple[str, ...]

    def read(self, value: object) -> str:
        if type(value) is not str or value not in self.choices:
            raise RemoteProtocolError(f"expected one of {', '.join(self.choices)}")
        return value

    def __str__(self) -> str:
        return "one of " + ", ".join(f"`{choice}`" for choice in self.choices)


@dataclass(frozen=True)
class Either:
    """A number of one kind or a text of another, told apart by their JSON type."""

    number: Int
    text: Choice

    def read(self, value: object) -> int | str:
        return self.text.read(value) if type(value) is str else self.number.read(value)

    def write(self, value: Any) -> object:
        return self.text.write(value) if type(value) is str else self.number.write(value)

    def __str__(self) -> str:
        return f"{self.number}, or {self.text}"


@dataclass(frozen=True)
class OrNull:
    of: Field

    def read(self, value: object) -> Any:
        return None if value is None else self.of.read(value)

    def write(self, value: Any) -> object:
        return None if value is None else self.of.write(value)

    def __str__(self) -> str:
        return f"{self.of}, or null"


@dataclass(frozen=True)
class List:
    of: Field
    low: int
    high: int

    def read(self, value: object) -> tuple:
        if type(value) is not list or not self.low <= len(value) <= self.high:
            raise RemoteProtocolError(f"expected a list of {self.low} to {self.high}")
        return tuple(self.of.read(entry) for entry in value)

    def write(self, value: Any) -> object:
        return [self.of.write(entry) for entry in value]

    def __str__(self) -> str:
        count = f"{self.low}" if self.low == self.high else f"{self.low} … {self.high}"
        return f"list of {count}: {self.of}"


@dataclass(frozen=True)
class Record:
    """A JSON object with exactly these keys, as a dataclass (or what `make` makes of them)."""

    name: str
    make: Callable[..., Any]
    fields: dict[str, Field]
    split: Callable[[Any], dict[str, Any]] = vars  # the way back

    def read(self, value: object) -> Any:
        if type(value) is not dict or value.keys() != self.fields.keys():
            raise RemoteProtocolError(f"expected an object with the keys {', '.join(self.fields)}")
        read = {}
        for key, field in self.fields.items():
            try:
                read[key] = field.read(value[key])
            except RemoteProtocolError as error:
                raise RemoteProtocolError(f"{key}: {error}") from None
        return self.make(**read)

    def write(self, value: Any) -> object:
        values = self.split(value)
        return {key: field.write(values[key]) for key, field in self.fields.items()}

    def __str__(self) -> str:
        return f"`{self.name}` object"


Field = Int | Real | Text | Pattern | Choice | Either | OrNull | List | Record


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise RemoteProtocolError("expected text, got a lone surrogate") from None


def _frames(first: int, step: int, count: int) -> tuple[int, ...]:
    return tuple(range(first, first + step * count, step))


def _split_frames(frames: tuple[int, ...]) -> dict[str, int]:
    if not frames:
        raise RemoteProtocolError("there are no frames")
    first, count = frames[0], len(frames)
    step = 1 if count == 1 else (frames[-1] - first) // (count - 1)
    if step < 1 or frames != _frames(first, step, count):
        raise RemoteProtocolError("frames do not rise evenly")
    return {"first": first, "step": step, "count": count}


def _split_fps(fps: Fraction) -> dict[str, int]:
    return {"numerator": fps.numerator, "denominator": fps.denominator}


def _fraction(numerator: int, denominator: int) -> Fraction:
    return Fraction(numerator, denominator)


JOB = Pattern(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "a UUID, lower case, 36 characters")
SHA256 = Pattern(r"[0-9a-f]{64}", "SHA-256, 64 lower-case hexadecimal digits")
ITEM = Either(Int(-MAX_FRAME_NUMBER, MAX_FRAME_NUMBER), Choice(events.ARTIFACTS))
FAULT: dict[str, Field] = {"field": Text(200), "problem": Text(MAX_TEXT), "remedy": Text(MAX_TEXT)}
COUNT = Int(0, MAX_EXACT)

FRAMES = Record(
    "frames",
    _frames,
    {
        "first": Int(-MAX_FRAME_NUMBER, MAX_FRAME_NUMBER),
        "step": Int(1, MAX_FRAME_NUMBER),
        "count": Int(1, MAX_FRAMES),
    },
    _split_frames,
)
FPS = Record("fps", _fraction, {"numerator": Int(0, MAX_EXACT), "denominator": Int(1, MAX_EXACT)}, _split_fps)
PROMPT = Record("prompt", Prompt, {"text": Text(MAX_PROMPT_BYTES), "negative": Text(MAX_PROMPT_BYTES)})
OPERATION = Record("operation", Operation, {"kind": Choice(("generate",))})
SETTINGS = Record(
    "settings",
    RenderSettings,
    {
        "model": Text(4096),
        "seed": Int(0, MAX_EXACT - 1),
        "steps": Int(0, 1000),
        "guidance": Real(),
        "compression": Choice(COMPRESSIONS),
    },
)
ARRAY = Record(
    "array",
    events.ArrayInfo,
    {
        "name": Choice(("K", "world_from_camera", "z", "reference", "base_colour", "sun", "frame")),
        "dtype": Choice(("<f8", "<f4", "|u1")),
        "shape": List(Int(1, 1 << 20), 2, 4),
        "sha256": SHA256,
    },
)
MODEL = Record(
    "model",
    events.ModelInfo,
    {
        "name": Text(200),
        "title": Text(1000),
        "size_mb": Real(),
        "state": Choice(("ready", "missing")),
        "sizes": List(List(Int(1, 1 << 16), 2, 2), 0, 32),
        "frames_multiple": Int(1, 1024),
        "steps": Int(0, 1000),
        "guidance": Real(),
    },
)
RESULT = Record("result", events.ItemInfo, {"item": ITEM, "size": Int(1, MAX_ITEM), "sha256": SHA256})


@dataclass(frozen=True)
class Layout:
    """One message type: its class, its header's fields, and the buffer's attribute and limit in bytes."""

    make: type
    fields: dict[str, Field]
    buffer: str = ""
    limit: int = 0


SCHEMA: dict[str, Layout] = {
    # client to backend
    "hello": Layout(events.Hello, {"client": Text(200)}),
    "submit": Layout(
        events.Submit,
        {
            "job": JOB,
            "name": Text(800),
            "frames": FRAMES,
            "resolution": List(Int(1, 1 << 16), 2, 2),
            "fps": FPS,
            "near": Real(),
            "far": Real(),
            "prompt": PROMPT,
            "operation": OPERATION,
            "settings": SETTINGS,
            "arrays": List(ARRAY, 3, 7),
        },
    ),
    "upload": Layout(events.Upload, {"job": JOB, "offset": Int(0, MAX_UPLOAD)}, "data", CHUNK),
    "attach": Layout(events.Attach, {"job": JOB}),
    "cancel": Layout(events.Cancel, {"job": JOB}),
    "fetch": Layout(events.Fetch, {"job": JOB, "item": ITEM, "offset": Int(0, MAX_ITEM), "chunks": Int(1, WINDOW)}),
    "forget": Layout(events.Forget, {"job": JOB}),
    # backend to client
    "welcome": Layout(
        events.Welcome, {"backend": Text(200), "models": List(MODEL, 0, 100), "max_upload": Int(0, MAX_UPLOAD)}
    ),
    "credit": Layout(events.Credit, {"job": JOB, "offset": Int(0, MAX_UPLOAD), "chunks": Int(1, WINDOW)}),
    "accepted": Layout(events.Accepted, {"job": JOB, "position": COUNT}),
    "progress": Layout(
        events.Progress,
        {
            "job": JOB,
            "stage": Choice(events.STAGES),
            "step": COUNT,
            "total": COUNT,
            "seconds_left": OrNull(Real()),
        },
    ),
    "preview": Layout(events.Preview, {"job": JOB, "step": COUNT}, "png", MAX_PREVIEW),
    "items": Layout(events.Items, {"job": JOB, "items": List(RESULT, 1, MAX_ITEMS)}),
    "chunk": Layout(events.Chunk, {"job": JOB, "item": ITEM, "offset": Int(0, MAX_ITEM)}, "data", CHUNK),
    "cancelling": Layout(events.Cancelling, {"job": JOB}),
    "finished": Layout(events.Finished, {"job": JOB, "items": COUNT}),
    "failed": Layout(events.Failed, {"job": JOB, **FAULT}),
    "cancelled": Layout(events.Cancelled, {"job": JOB}),
    "forgotten": Layout(events.Forgotten, {"job": JOB}),
    "refused": Layout(events.Refused, {"job": OrNull(JOB), **FAULT}),
}
NAMES: dict[type, str] = {layout.make: name for name, layout in SCHEMA.items()}
FROM_CLIENT = frozenset(NAMES[kind] for kind in events.FROM_CLIENT)
FROM_BACKEND = frozenset(NAMES[kind] for kind in events.FROM_BACKEND)
