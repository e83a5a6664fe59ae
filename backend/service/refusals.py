"""What a shot is refused for before a byte of it is asked for, and the words that fit into a message.  No sockets."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

from ...protocol import codec
from ...protocol.errors import FarplaneError
from ...protocol.events import Submit
from ...protocol.schema import MAX_TEXT
from ...protocol.shot import plate_bytes, validate_frames, validate_resolution
from .offers import Fault

MAX_WAITING = 100  # unfinished jobs of one client
MAX_UPLOAD = 16 << 30  # bytes of one job
SPARE_DISK = 1 << 30  # bytes that a shot and its plate must leave free

STOPPED = ("job", "another connection stopped it", "Send the shot again")
CONFUSED = ("backend", "its render process said something that makes no sense", "Install Farplane anew there")


def check_submit(message: Submit, waiting: int, data: Path) -> None:
    """Raise FarplaneError for what can be known of a shot before its arrays come.

    waiting : unfinished jobs of its client.  data : the folder that it will lie in.
    """
    validate_frames(message.frames)
    validate_resolution(*message.resolution)
    message.prompt.validate()
    message.settings.validate()
    size = codec.upload_size(message)
    if size > MAX_UPLOAD:
        limit = f"{size / 2**30:.1f} GiB are over {MAX_UPLOAD / 2**30:.0f} GiB"
        raise FarplaneError("shot", limit, "Render fewer frames or lower the resolution")
    if waiting >= MAX_WAITING:
        raise FarplaneError("queue", f"{MAX_WAITING} of your jobs are waiting", "Let some finish first, or cancel them")
    needed = size + plate_bytes(len(message.frames), *message.resolution) + SPARE_DISK
    free = shutil.disk_usage(data).free
    if free < needed:
        problem = f"the backend has {free >> 20} MiB left, and the shot may need {needed >> 20} MiB there"
        raise FarplaneError("disk", problem, "Free some space on its machine")


def clip(*texts: str) -> Fault:
    """Texts that fit into a message."""
    name, problem, remedy = (text.encode("utf-8", "replace") for text in texts)
    limits = itertools.chain([200], itertools.repeat(MAX_TEXT))
    clipped = [text[:limit].decode("utf-8", "ignore") for text, limit in zip((name, problem, remedy), limits)]
    return clipped[0], clipped[1], clipped[2]


def disk_fault(error: BaseException | None) -> Fault:
    """What a client is told when the disk does not take what must be kept."""
    return "disk", f"the backend cannot write to its disk ({error})"[:500], "Free some space on the backend's machine"
