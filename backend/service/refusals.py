"""What a shot is refused for before a byte of it is asked for, and the words that fit into a message.  No sockets."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ...protocol import codec
from ...protocol.errors import FarplaneError
from ...protocol.events import Submit
from ...protocol.schema import MAX_TEXT
from ...protocol.shot import (
    ARTIFACT_BYTES,
    plate_bytes,
    validate_frames,
    validate_name,
    validate_range,
    validate_rate,
    validate_resolution,
)
from .offers import Fault

MAX_WAITING = 100  # unfinished jobs of one client
MAX_UPLOAD = 16 << 30  # bytes of one job
MAX_BYTES = 64 << 30  # bytes of all unfinished jobs of one client
SPARE_DISK = 1 << 30  # bytes that a shot and its plate must leave free

# A backend that was made for one render keeps its data in the folder for temporary files.
ANOTHER_DISK = "give it a --data folder on another disk (TMPDIR where it was started for one render)"
STOPPED = ("job", "another connection stopped it", "Send the shot again")
BROKEN = ("backend", "it met an error of its own", "Connect again; the backend's own log says more")
CONFUSED = ("backend", "its render process said something that makes no sense", "Install Farplane anew there")


class Need(NamedTuple):
    """What a shot takes up on the backend's disk.  upload : bytes of its arrays.  plate : bytes of its results."""

    upload: int
    plate: int

    @property
    def frames(self) -> int:
        """Bytes of its frames and film: the reports beside them are far smaller than the most they may be."""
        return max(0, self.plate - ARTIFACT_BYTES)

    @staticmethod
    def of(message: Submit) -> Need:
        """Raises RemoteProtocolError for arrays that do not fit the shot."""
        return Need(codec.upload_size(message), plate_bytes(len(message.frames), *message.resolution))


def check_submit(message: Submit, own: Sequence[Need], promised: int, data: Path) -> Need:
    """What a shot needs; raises FarplaneError for what can be known to be wrong with it before its arrays come.

    own : of its client's unfinished jobs.  promised : free bytes that other shots will need.  data : the folder that it
    will lie in.
    """
    validate_header(message)
    need = Need.of(message)
    if need.upload > MAX_UPLOAD:
        limit = f"{need.upload / 2**30:.1f} GiB are over {MAX_UPLOAD / 2**30:.0f} GiB"
        raise FarplaneError("shot", limit, "Render fewer frames or lower the resolution")
    if len(own) >= MAX_WAITING:
        raise FarplaneError("queue", f"{MAX_WAITING} of your jobs are waiting", "Let some finish first, or cancel them")
    held = sum(other.upload for other in own)
    if held + need.upload > MAX_BYTES:
        problem = f"{held / 2**30:.1f} GiB of your jobs are waiting, with this one over {MAX_BYTES / 2**30:.0f} GiB"
        raise FarplaneError("queue", problem, "Let some finish first, or cancel them")
    needed = need.upload + need.plate + SPARE_DISK
    free = shutil.disk_usage(data).free - promised
    if free < needed:
        kept = f" beside the {promised >> 20} MiB for the shots before it" if promised else ""
        problem = f"the backend has {max(0, free) >> 20} MiB left{kept}, and the shot may need {needed >> 20} MiB there"
        raise FarplaneError("disk", problem, f"Free some space on its machine, or {ANOTHER_DISK}")
    return need


def validate_header(message: Submit) -> None:
    """Raise FarplaneError for what is wrong with a shot, its arrays aside: what `Shot.validate` says of the rest."""
    validate_frames(message.frames)
    validate_resolution(*message.resolution)
    validate_rate(message.fps)
    validate_name(message.name)
    validate_range(message.near, message.far)
    message.prompt.validate()
    message.settings.validate()


def clip(*texts: str) -> Fault:
    """Texts that fit into a message."""
    name, problem, remedy = (text.encode("utf-8", "replace") for text in texts)
    limits = itertools.chain([200], itertools.repeat(MAX_TEXT))
    clipped = [text[:limit].decode("utf-8", "ignore") for text, limit in zip((name, problem, remedy), limits)]
    return clipped[0], clipped[1], clipped[2]


def mend(program: str) -> str:
    """What the user of a client can do whose message broke a rule.  program : what it said in its hello."""
    if program.split(" ")[0].split("/")[0] == "farplane":
        return "Install the same Farplane version on both sides; if they are the same, please report this"
    return "This is a fault of the client's program: docs/protocol.md says what may be sent, and when"


def disk_fault(error: BaseException | None) -> Fault:
    """What a client is told when the disk does not take what must be kept."""
    return (
        "disk",
        f"the backend cannot write to its disk ({error})"[:500],
        f"Free some space on the backend's machine, or {ANOTHER_DISK}",
    )
