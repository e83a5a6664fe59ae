"""What the two sides say: one frozen value per message or happening.  No sockets, no bytes, no bpy.

Three families, told apart by the tuples at the end of the file:

- ``FROM_CLIENT`` messages travel from the add-on (or the command line) to the backend,
- ``FROM_BACKEND`` messages travel back,
- ``Event`` is what ``addon.client.Client.poll`` hands to the caller: some messages as they came, and the
  happenings that the client makes out of several of them (a whole frame out of its chunks).

A job is named by a UUID string that the client chose (lower case, 36 characters).  An *item* is a result that
can be fetched: a frame, by its absolute frame number (int), or an artifact, by a name in ``ARTIFACTS`` (str).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from .shot import Operation, Prompt, RenderSettings

VERSION = 1  # of the wire; any change of a byte that tests/golden/ pins raises it

STAGES = ("conditioning", "denoise", "decode", "write", "measure")
# Arrays that came after version 1, sent only to who says that it takes them.
EXTENSIONS = frozenset({"base_colour", "sun", "frame"})
ARTIFACTS = ("report.json", "report.png", "contact.png", "preview.mp4")
FETCH = "fetch"  # the field of a `refused` that answers a fetch: the job is as it was

Item = int | str
ModelState = Literal["ready", "missing"]


class ProtocolError(Exception):
    """The conversation broke a rule of docs/protocol.md: a fault of a program, never of an artist."""


class LocalProtocolError(ProtocolError):
    """This side was about to say something that it may not say now."""


class RemoteProtocolError(ProtocolError):
    """The other side said something that it may not say, or that cannot be read."""


class VersionMismatch(RemoteProtocolError):
    """The other side speaks another version of the wire.  theirs : which."""

    def __init__(self, theirs: int) -> None:
        super().__init__(f"the other side speaks version {theirs} of the protocol, this side version {VERSION}")
        self.theirs = theirs


@dataclass(frozen=True)
class ModelInfo:
    """One model that the backend offers.

    name : what a shot's settings name as their model.  title : one line for the artist.  size_mb : weights, megabytes.
    state : `ready`, or `missing` when its weights are not on the backend's machine (size_mb 0) or do not load (then
    its title says why).
    sizes : (W, H) pairs that it renders best.  frames_multiple : n of its n*k + 1 frames.
    steps, guidance : its defaults.
    """

    name: str
    title: str
    size_mb: float
    state: ModelState
    sizes: tuple[tuple[int, int], ...]
    frames_multiple: int
    steps: int
    guidance: float

    @property
    def damaged(self) -> bool:
        """Whether its weights are there and do not load."""
        return self.state == "missing" and self.size_mb > 0


# ---------------------------------------------------------------------------------------------------------
# From the client to the backend


@dataclass(frozen=True)
class Hello:
    """The first message of a connection.  client : the program and its version, for the log."""

    client: str


@dataclass(frozen=True)
class ArrayInfo:
    """One array of an upload.

    name : `K`, `world_from_camera`, `z`, `reference`, `base_colour`, `sun` or `frame`.
    dtype : `<f8` or `<f4`, little-endian, or `|u1`, bytes.
    shape : C order.  sha256 : hex digest of its bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Submit:
    """A shot without its arrays, and the list of arrays that follow as one stream, in this order.

    frames : absolute frame numbers (on the wire: first, step, count).  near, far : metres.
    """

    job: str
    name: str
    frames: tuple[int, ...]
    resolution: tuple[int, int]
    fps: Fraction
    near: float
    far: float
    prompt: Prompt
    operation: Operation
    settings: RenderSettings
    arrays: tuple[ArrayInfo, ...]


@dataclass(frozen=True)
class Upload:
    """A piece of the upload stream, sent only against a credit.  offset : bytes from the stream's start."""

    job: str
    offset: int
    data: bytes | memoryview = field(repr=False)


@dataclass(frozen=True)
class Attach:
    """Tell me everything about this job again, and go on telling me."""

    job: str


@dataclass(frozen=True)
class Cancel:
    """Stop this job."""

    job: str


@dataclass(frozen=True)
class Fetch:
    """Credit for results: send up to `chunks` chunks of `item` from byte `offset` on."""

    job: str
    item: Item
    offset: int
    chunks: int


@dataclass(frozen=True)
class Forget:
    """I have everything: this job's results may be deleted."""

    job: str


# ---------------------------------------------------------------------------------------------------------
# From the backend to the client


@dataclass(frozen=True)
class Welcome:
    """The answer to hello.  max_upload : bytes that one job may send.

    backend : its version, and after a `+` what it takes beside what version 1 began with: `0.2.0+base_colour.frame.sun`.
    """

    backend: str
    models: tuple[ModelInfo, ...]
    max_upload: int

    @property
    def version(self) -> str:
        """The backend's version alone."""
        return self.backend.partition("+")[0]

    @property
    def takes(self) -> frozenset[str]:
        """The optional arrays that it says it takes; none where it is older than they are."""
        return frozenset(self.backend.partition("+")[2].split(".")) & EXTENSIONS


@dataclass(frozen=True)
class Credit:
    """Send up to `chunks` chunks of this job's upload from byte `offset` on."""

    job: str
    offset: int
    chunks: int


@dataclass(frozen=True)
class Accepted:
    """The job is on the backend's disk.  position : jobs ahead of it (0: it is next, or running, or done).

    Comes again when the queue moves.
    """

    job: str
    position: int


@dataclass(frozen=True)
class Progress:
    """`step` of `total` done in `stage`.  seconds_left : of this stage, null when unknown."""

    job: str
    stage: str
    step: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True)
class Preview:
    """The picture forming at a denoise step, a small PNG.  Sent once, to whoever is connected."""

    job: str
    step: int
    png: bytes = field(repr=False)


@dataclass(frozen=True)
class ItemInfo:
    """A result that can be fetched.  size : bytes.  sha256 : hex digest."""

    item: Item
    size: int
    sha256: str


@dataclass(frozen=True)
class Items:
    """Results that are on the backend's disk now.  The same item again with another digest replaces it."""

    job: str
    items: tuple[ItemInfo, ...]


@dataclass(frozen=True)
class Chunk:
    """A piece of an item, sent only against a fetch.  offset : bytes from the item's start."""

    job: str
    item: Item
    offset: int
    data: bytes | memoryview = field(repr=False)


@dataclass(frozen=True)
class Cancelling:
    """The cancel arrived; cancelled follows within a denoise step (after 10 s the worker is killed)."""

    job: str


@dataclass(frozen=True)
class Finished:
    """The job is done; in `poll` it comes after the last frame and artifact.  items : how many there are."""

    job: str
    items: int = 0


@dataclass(frozen=True)
class Failed:
    """The job ended without a plate.  The three texts are FarplaneError's."""

    job: str
    field: str
    problem: str
    remedy: str


@dataclass(frozen=True)
class Cancelled:
    """The job was stopped; frames that were done stay fetchable."""

    job: str


@dataclass(frozen=True)
class Forgotten:
    """The job and its results are gone from the backend."""

    job: str


@dataclass(frozen=True)
class Refused:
    """A message was not obeyed.

    job : the one it was about, or null when the connection itself is refused.
    field : `fetch` where one result cannot be had and the job is as it was.
    """

    job: str | None
    field: str
    problem: str
    remedy: str


# ---------------------------------------------------------------------------------------------------------
# What Client.poll gives besides: made by the client, never on the wire


@dataclass(frozen=True)
class Connected:
    """The backend answered.  version : its own, as text.  max_upload : bytes that one job may send, 0 unknown.

    takes : the optional arrays that it knows (EXTENSIONS); the client leaves the others out of what it sends.
    """

    models: tuple[ModelInfo, ...]
    version: str
    max_upload: int = 0
    takes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Disconnected:
    """There is no backend to talk to just now; the client keeps trying.  Said once per problem."""

    problem: str
    remedy: str


@dataclass(frozen=True)
class Admissible:
    """The answer to an enquiry: the backend would take such a shot.  Where it would not, Failed says why."""

    job: str


@dataclass(frozen=True)
class Uploading:
    """`sent` of `total` bytes of the shot's arrays are on their way."""

    job: str
    sent: int
    total: int


@dataclass(frozen=True)
class FrameReady:
    """A whole frame, checked.  frame : absolute frame number.  exr : the file's bytes.  sha256 : hex digest."""

    job: str
    frame: int
    exr: bytes = field(repr=False)
    sha256: str


@dataclass(frozen=True)
class ArtifactReady:
    """A whole side file, checked.  name : one of ARTIFACTS."""

    job: str
    name: str
    data: bytes = field(repr=False)
    sha256: str


FROM_CLIENT = (Hello, Submit, Upload, Attach, Cancel, Fetch, Forget)
FROM_BACKEND = (
    Welcome,
    Credit,
    Accepted,
    Progress,
    Preview,
    Items,
    Chunk,
    Cancelling,
    Finished,
    Failed,
    Cancelled,
    Forgotten,
    Refused,
)

ClientMessage = Hello | Submit | Upload | Attach | Cancel | Fetch | Forget
BackendMessage = (
    Welcome
    | Credit
    | Accepted
    | Progress
    | Preview
    | Items
    | Chunk
    | Cancelling
    | Finished
    | Failed
    | Cancelled
    | Forgotten
    | Refused
)
Message = ClientMessage | BackendMessage

Event = (
    Connected
    | Disconnected
    | Admissible
    | Uploading
    | Accepted
    | Progress
    | Preview
    | FrameReady
    | ArtifactReady
    | Cancelling
    | Finished
    | Failed
    | Cancelled
)
