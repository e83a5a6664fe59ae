"""The wire's bytes, pinned: whoever changes one raises VERSION, and the old file stays.

`python tests/protocol/test_golden.py` writes the file of a new version; it never replaces a row of one.  What came to a
version later (events.EXTENSIONS), and is said only to who knows it, stands in rows at the file's end.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np

from farplane.protocol import codec, events
from farplane.protocol.events import VERSION
from farplane.protocol.schema import FROM_BACKEND, FROM_CLIENT, NAMES, SCHEMA
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, RenderSettings, SceneFrame, Shot

GOLDEN = Path(__file__).parents[1] / "golden"
FILE = GOLDEN / f"wire-v{VERSION}.json"
JOB = "0f8fad5b-d9cb-469f-a165-70867728950e"
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def shot(base_colour: bool = False, sun: bool = False, frame: bool = False) -> Shot:
    """Two frames of 32x32 with a depth that counts up, one pixel of sky, and a reference; or with base colours, a sun or a frame."""
    K = np.array([[[40.0, 0, 16.25], [0, 40, 16], [0, 0, 1]]] * 2)
    pose = np.tile(np.eye(4), (2, 1, 1))
    pose[1, :3, 3] = 0.1, -2, 1e-3
    z = np.arange(1, 2 * 32 * 32 + 1, dtype=np.float32).reshape(2, 32, 32) / 8
    z[1, 0, 0] = np.inf
    reference = np.linspace(-0.25, 4, 2 * 32 * 32 * 3, dtype=np.float32).reshape(2, 32, 32, 3)
    colours = (np.arange(2 * 32 * 32 * 4) % 251).astype(np.uint8).reshape(2, 32, 32, 4)
    colours[..., 3] = 255 * (np.arange(32) % 3 > 0)
    prompt = Prompt('Alpine valley, "evening" \N{EM DASH} \N{SNOW CAPPED MOUNTAIN}', "people")
    fps = Fraction(24000, 1001)
    camera, depth = CameraTrack(K, pose), DepthPass(z, 0.1, 256)
    told = {"base_colour": colours} if base_colour else {"reference": reference}
    told |= {"sun": np.array([[0.6, 0, 0.8], [0, -1, 0]])} if sun else {}
    told |= {"frame": SceneFrame((1920, 1080), 1.25, K * [[60.0], [33.75], [1.0]])} if frame else {}
    return Shot("Täl_010", (-3, 1), (32, 32), fps, camera, depth, prompt, **told)


def examples() -> list[events.Message]:
    """One message of each type, and both forms of those that have two."""
    settings = RenderSettings("farplane-s", 2**53 - 1, 12, 3.5, "DWAB")
    model = events.ModelInfo("farplane-s", "Ships with Farplane", 31.5, "ready", ((224, 128), (128, 224)), 4, 12, 2.0)
    fault = ("prompt", "it is empty", "Describe the plate in a few words")
    return [
        events.Hello("farplane"),
        codec.describe(JOB, shot(), settings)[0],
        events.Upload(JOB, 1048576, b"\x00\x01\x02\xff"),
        events.Attach(JOB),
        events.Cancel(JOB),
        events.Fetch(JOB, -3, 2097152, 8),
        events.Fetch(JOB, "preview.mp4", 0, 1),
        events.Forget(JOB),
        events.Welcome("0.1.0", (model,), 17179869184),
        events.Credit(JOB, 8388608, 4),
        events.Accepted(JOB, 2),
        events.Progress(JOB, "denoise", 3, 12, 41.5),
        events.Progress(JOB, "conditioning", 0, 1, None),
        events.Preview(JOB, 3, b"\x89PNG"),
        events.Items(JOB, (events.ItemInfo(-3, 6600000, HASH), events.ItemInfo("report.json", 512, HASH))),
        events.Chunk(JOB, 1, 1048576, b"\x76\x2f\x31\x01"),
        events.Cancelling(JOB),
        events.Finished(JOB, 6),
        events.Failed(JOB, *fault),
        events.Cancelled(JOB),
        events.Forgotten(JOB),
        events.Refused(None, *fault),
        events.Refused(JOB, *fault),
        events.Welcome("0.2.0+base_colour", (model,), 17179869184),
        codec.describe(JOB, shot(base_colour=True), settings)[0],
        events.Welcome("0.3.0+base_colour.sun", (model,), 17179869184),
        codec.describe(JOB, shot(base_colour=True, sun=True), settings)[0],
        events.Welcome("0.4.0+base_colour.frame.sun", (model,), 17179869184),
        codec.describe(JOB, shot(base_colour=True, sun=True, frame=True), settings)[0],
    ]


def written() -> list[dict[str, str]]:
    """Each message's parts: the header as text, the buffer as hexadecimal digits."""
    rows = []
    for message in examples():
        header, *buffer = (bytes(part) for part in codec.encode(message))
        rows.append({"header": header.decode(), **({"buffer": buffer[0].hex()} if buffer else {})})
    return rows


def test_every_byte_is_as_it_was() -> None:
    assert written() == json.loads(FILE.read_text(encoding="utf-8"))


def test_the_pinned_bytes_are_understood() -> None:
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    for message, row in zip(examples(), rows, strict=True):
        parts = [row["header"].encode(), *([bytes.fromhex(row["buffer"])] if "buffer" in row else [])]
        assert codec.decode(parts, FROM_CLIENT | FROM_BACKEND) == message


def test_every_message_is_pinned() -> None:
    assert {NAMES[type(message)] for message in examples()} == set(SCHEMA)
    assert sorted(path.name for path in GOLDEN.glob("wire-v*.json")) == [
        f"wire-v{v}.json" for v in range(1, VERSION + 1)
    ]


if __name__ == "__main__":
    pinned = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else []
    assert written()[: len(pinned)] == pinned
    with FILE.open("w", encoding="utf-8") as file:
        json.dump(written(), file, indent=1, ensure_ascii=False)
        file.write("\n")
