"""What an artist asks for: a shot (camera, depth, prompt) and how to render it.

Legend: T frames, H rows, W columns.  Space is metres, right-handed, world Z up.  Cameras use OpenCV axes
(x right, y down, z forward); pixel centres lie at +0.5, so pixel column j spans [j, j+1).
Arrays are made read-only on construction: a Shot is a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import FarplaneError

MIN_FRAMES = 2
MAX_FRAMES = 1440  # 60 s at 24 fps
MAX_FRAME_NUMBER = 9_999_999  # of either sign; 24 hours of timecode at 100 fps end before it
MIN_SIDE = 32
MAX_SIDE = 8192
MAX_PIXELS = 4096 * 4096  # a frame
MAX_SCENE_SIDE = 1 << 20  # of a scene's own frame, which no plate need have
SQUARE = 1e-9  # a pixel's aspect nearer to 1 is rounding
MAX_PROMPT_BYTES = 8192
MAX_NAME = 200  # characters of a shot's name
MAX_FPS = 1000
MAX_DISTANCE = 1e9  # metres: what lies further is no place, and programs that write 1e10 mean that nothing is hit
MIN_DEPTH = 1e-9  # metres
MAX_K = 1e9  # pixels
MIN_FOCAL = 1e-3  # pixels
MAX_LIGHT = 1e9  # scene-linear
EXR_HEADER = 8192  # bytes; a plate's header is under 2 KiB
PNG_HEADER = 1024  # bytes; signature, header and the chunks' frames are 100
ARTIFACT_BYTES = 32 << 20  # of report.json, report.png and contact.png, which are a few MiB
COMPRESSIONS = ("ZIP", "ZIPS", "PIZ", "DWAA", "DWAB", "HTJ2K")

OperationKind = Literal["generate"]


def _readonly(array: NDArray, dtype: type) -> NDArray:
    out = np.ascontiguousarray(array, dtype=dtype)
    if out is array or out.base is not None:
        out = out.copy()
    out.flags.writeable = False
    return out


@dataclass(frozen=True, eq=False)
class CameraTrack:
    """One pinhole camera per frame.

    K : [T, 3, 3] float64, pixels of the shot's resolution; K[:, 2] = (0, 0, 1).
    world_from_camera : [T, 4, 4] float64, OpenCV camera axes to world, rigid (no scale), metres.
    """

    K: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", _readonly(self.K, np.float64))
        object.__setattr__(self, "world_from_camera", _readonly(self.world_from_camera, np.float64))

    def validate(self, frames: int) -> None:
        """Raise FarplaneError unless there are `frames` finite, invertible, rigid cameras."""
        if self.K.shape != (frames, 3, 3) or self.world_from_camera.shape != (frames, 4, 4):
            raise FarplaneError(
                "camera",
                f"expected {frames} matrices, got K {self.K.shape} and pose {self.world_from_camera.shape}",
                "Send one K (3x3) and one world_from_camera (4x4) per frame",
            )
        if not (np.isfinite(self.K).all() and np.isfinite(self.world_from_camera).all()):
            raise FarplaneError(
                "camera", "a matrix holds NaN or infinity", "Check the camera's drivers and constraints"
            )
        if (self.K[:, 0, 0] < MIN_FOCAL).any() or (self.K[:, 1, 1] < MIN_FOCAL).any():
            raise FarplaneError("camera", "a focal length is zero or negative", "Give the camera a lens above 1 mm")
        if (most := float(np.abs(self.K).max())) > MAX_K:
            raise FarplaneError(
                "camera", f"its K holds {most:.3g} pixels", "Send K in pixels of the shot's own resolution"
            )
        if (most := float(np.abs(self.world_from_camera[:, :3, 3]).max())) > MAX_DISTANCE:
            raise FarplaneError(
                "camera", f"it stands {most:.3g} m away from the world's origin", "Send its poses in metres"
            )
        if not np.allclose(self.K[:, 2], [0, 0, 1]) or not np.allclose(self.world_from_camera[:, 3], [0, 0, 0, 1]):
            raise FarplaneError(
                "camera", "a matrix has a wrong last row", "Send K ending in 0 0 1 and poses in 0 0 0 1"
            )
        R = self.world_from_camera[:, :3, :3]
        # 1e-4: what float32 rigs leave behind after normalising their axes.  No entry of a rotation is above 1.
        rigid = np.abs(R).max() < 2 and np.abs(R @ R.transpose(0, 2, 1) - np.eye(3)).max() <= 1e-4
        if not rigid or (np.linalg.det(R) < 0).any():
            raise FarplaneError("camera", "a pose is scaled, sheared or mirrored", "Send the rigid pose without scale")


@dataclass(frozen=True, eq=False)
class SceneFrame:
    """The frame of the scene that a plate lands in, whatever the plate's own size: what the plate is held against.

    resolution : (W, H) that the scene renders.  pixel_aspect : the width of its pixels by their height.
    K : [T, 3, 3] float64, in its pixels, as the program that has the scene projects them.
    """

    resolution: tuple[int, int]
    pixel_aspect: float
    K: NDArray[np.float64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", _readonly(self.K, np.float64))

    def validate(self, frames: int) -> None:
        """Raise FarplaneError unless it is the frame of a shot of so many frames."""
        if self.K.shape != (frames, 3, 3) or not np.isfinite(self.K).all():
            raise FarplaneError("frame", "its K does not fit the shot", "Send one finite K (3x3) per frame")
        if (self.K[:, 0, 0] <= 0).any() or (self.K[:, 1, 1] <= 0).any() or not np.allclose(self.K[:, 2], [0, 0, 1]):
            raise FarplaneError(
                "frame", "its K is no camera's", "Send focal lengths above zero and a last row of 0 0 1"
            )
        sides = self.resolution
        if not (min(sides) > 0 and max(sides) <= MAX_SCENE_SIDE and 1e-3 < self.pixel_aspect < 1e3):
            raise FarplaneError("frame", f"{sides[0]}x{sides[1]} is no frame", "Send the scene's resolution and pixels")

    def as_array(self) -> NDArray[np.float64]:
        """[T, 4, 3], as it is sent: each frame's K, and below it (W, H, pixel aspect)."""
        told = np.array([[(*self.resolution, self.pixel_aspect)]])
        return np.concatenate([self.K, np.repeat(told, len(self.K), 0)], 1)

    @staticmethod
    def from_array(array: NDArray[np.float64]) -> SceneFrame:
        """Undo `as_array`.  Raises FarplaneError for sides that are no numbers."""
        if not np.isfinite(array).all():
            raise FarplaneError("frame", "it holds NaN or infinity", "Send finite numbers")
        width, height, aspect = (float(value) for value in array[0, 3])
        return SceneFrame((round(width), round(height)), aspect, array[:, :3])


@dataclass(frozen=True, eq=False)
class DepthPass:
    """Camera-plane depth for the whole shot.

    z : [T, H, W] float32 metres along the camera's z, `inf` where nothing is hit.
    near, far : metres, one range for the shot; 0 < near < far.
    """

    z: NDArray[np.float32]
    near: float
    far: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "z", _readonly(self.z, np.float32))

    def validate(self, frames: int, width: int, height: int) -> None:
        """Raise FarplaneError unless z fits the shot and holds only positive metres or inf."""
        if self.z.shape != (frames, height, width):
            raise FarplaneError(
                "depth",
                f"expected shape {(frames, height, width)}, got {self.z.shape}",
                "Send one depth image per frame at the shot's resolution",
            )
        if np.isnan(self.z).any():
            raise FarplaneError("depth", "it holds NaN", "Use inf where nothing is hit")
        if (self.z < MIN_DEPTH).any():
            raise FarplaneError(
                "depth", "it holds zero or negative metres", "Depth is measured forward from the camera"
            )
        if ((self.z > MAX_DISTANCE) & (self.z < np.inf)).any():
            reached = float(self.z[np.isfinite(self.z)].max())
            raise FarplaneError("depth", f"it reaches {reached:.3g} m", "Use inf where nothing is hit")
        validate_range(self.near, self.far)


@dataclass(frozen=True)
class Prompt:
    """What the plate should show, and what it should not, in the artist's words."""

    text: str
    negative: str = ""

    def validate(self) -> None:
        """Raise FarplaneError for an empty or an over-long prompt."""
        if not self.text.strip():
            raise FarplaneError("prompt", "it is empty", "Describe the plate in a few words")
        for name, text in (("prompt", self.text), ("negative prompt", self.negative)):
            size = len(text.encode("utf-8", "replace"))
            if size > MAX_PROMPT_BYTES:
                raise FarplaneError(name, f"it is {size} bytes long", f"Keep it under {MAX_PROMPT_BYTES} bytes")


@dataclass(frozen=True)
class Operation:
    """What is done with the shot.  Version 1 of the wire knows `generate`."""

    kind: OperationKind = "generate"


@dataclass(frozen=True)
class RenderSettings:
    """How a shot is rendered.

    model : a preset's name (`farplane-s`) or the path of a Wan2.1-VACE folder on the backend's machine.
    seed : 0 … 2**53-1, exact in JSON.  steps : denoise steps, 0 = the model's own default.
    guidance : text guidance scale, 0 = the model's own default.
    compression : one of COMPRESSIONS, for the EXR files.
    """

    model: str = "farplane-s"
    seed: int = 0
    steps: int = 0
    guidance: float = 0.0
    compression: str = "ZIP"

    def validate(self) -> None:
        """Raise FarplaneError for a value out of range."""
        if not self.model or len(self.model) > 1024 or "\0" in self.model:
            raise FarplaneError("model", "the name is empty or over-long", "Name a model from `farplane models`")
        if not 0 <= self.seed < 2**53:
            raise FarplaneError("seed", f"{self.seed} is out of range", "Use a whole number from 0 to 2**53 - 1")
        if not 0 <= self.steps <= 200:
            raise FarplaneError("steps", f"{self.steps} is out of range", "Use 1 to 200, or 0 for the model's default")
        if not (np.isfinite(self.guidance) and 0 <= self.guidance <= 50):
            raise FarplaneError("guidance", f"{self.guidance} is out of range", "Use 0 to 50; 0 is the model's default")
        if self.compression not in COMPRESSIONS:
            raise FarplaneError(
                "compression", f"{self.compression!r} is unknown", f"Use one of {', '.join(COMPRESSIONS)}"
            )


@dataclass(frozen=True, eq=False)
class Shot:
    """One camera over one range of frames, with its depth and prompt.

    name : the shot's name, a plain label.
    frames : Blender's absolute frame numbers, ascending, evenly stepped.
    resolution : (W, H) pixels.  fps : frames a second, exact.
    reference : optional [T, H, W, 3] float32 scene-linear render of the same frames, only measured against.
    base_colour : optional [T, H, W, 4] uint8, what the surfaces' materials say: R, G, B the base colour (albedo) with
        Rec.709 primaries in the sRGB curve (IEC 61966-2-1), A 255 where it is told and 0 where it is not (the sky,
        surfaces whose colour nobody chose).
    sun : optional [T, 3] float64, the unit direction to the scene's sun in world axes (+Z up).
    frame : optional, the scene's frame that the plate lands in.
    """

    name: str
    frames: tuple[int, ...]
    resolution: tuple[int, int]
    fps: Fraction
    camera: CameraTrack
    depth: DepthPass
    prompt: Prompt
    operation: Operation = field(default_factory=Operation)
    reference: NDArray[np.float32] | None = None
    base_colour: NDArray[np.uint8] | None = None
    sun: NDArray[np.float64] | None = None
    frame: SceneFrame | None = None

    def __post_init__(self) -> None:
        if self.reference is not None:
            object.__setattr__(self, "reference", _readonly(self.reference, np.float32))
        if self.base_colour is not None:
            object.__setattr__(self, "base_colour", _readonly(self.base_colour, np.uint8))
        if self.sun is not None:
            object.__setattr__(self, "sun", _readonly(self.sun, np.float64))

    def validate(self) -> Shot:
        """Return self, or raise FarplaneError naming the first wrong field."""
        validate_frames(self.frames)
        validate_resolution(*self.resolution)
        validate_rate(self.fps)
        validate_name(self.name)
        self.prompt.validate()
        width, height = self.resolution
        self.camera.validate(len(self.frames))
        self.depth.validate(len(self.frames), width, height)
        if self.reference is not None:
            if self.reference.shape != (len(self.frames), height, width, 3):
                raise FarplaneError(
                    "reference", f"shape {self.reference.shape} does not fit the shot", "Send [T, H, W, 3]"
                )
            if not np.isfinite(self.reference).all():
                raise FarplaneError("reference", "it holds NaN or infinity", "Send finite scene-linear values")
            if (most := float(np.abs(self.reference).max())) > MAX_LIGHT:
                raise FarplaneError("reference", f"it holds {most:.3g}", "Send finite scene-linear values")
        if self.base_colour is not None:
            validate_base_colour(self.base_colour, len(self.frames), width, height)
        if self.sun is not None:
            validate_sun(self.sun, len(self.frames))
        if self.frame is not None:
            self.frame.validate(len(self.frames))
        return self

    @property
    def pixel_aspect(self) -> float:
        """The width of a pixel by its height, 1 where they are square: what the scene's frame says of a plate that fills
        it from edge to edge, else the focal lengths of K."""
        if self.frame is not None:
            (width, height), (wide, high) = self.resolution, self.frame.resolution
            aspect = self.frame.pixel_aspect * (wide * height) / (high * width)
        else:
            aspect = float(np.median(self.camera.K[:, 1, 1] / self.camera.K[:, 0, 0]))
        return 1.0 if abs(aspect - 1.0) < SQUARE else aspect

    def screen_window(self, index: int) -> ScreenWindow:
        """What a file of the shot's frame number `index` (0-based) says of the camera."""
        return screen_window(self.camera.K[index], *self.resolution, self.pixel_aspect)


class ScreenWindow(NamedTuple):
    """OpenEXR's own three attributes of a camera: the shape of a pixel (width by height), and the width and the centre
    (x right, y up) of what the display window shows at distance 1."""

    pixel_aspect: float = 1.0
    width: float = 1.0
    centre: tuple[float, float] = (0.0, 0.0)


def screen_window(K: NDArray[np.float64], width: int, height: int, pixel_aspect: float) -> ScreenWindow:
    """The screen window of a picture of width x height pixels seen by K."""
    centre = (width / 2 - K[0, 2]) / K[0, 0], (K[1, 2] - height / 2) / K[1, 1]
    return ScreenWindow(pixel_aspect, float(width / K[0, 0]), (float(centre[0]), float(centre[1])))


def validate_base_colour(colours: NDArray[np.uint8], frames: int, width: int, height: int) -> None:
    """Raise FarplaneError unless they fit the shot and each pixel's colour is told (255) or is not (0)."""
    if colours.shape != (frames, height, width, 4):
        raise FarplaneError("base colour", f"shape {colours.shape} does not fit the shot", "Send [T, H, W, 4]")
    alpha = colours[..., 3]
    if ((alpha != 0) & (alpha != 255)).any():
        raise FarplaneError(
            "base colour", "its alpha is neither 0 nor 255", "Send 255 where the colour is told, else 0"
        )


def validate_sun(sun: NDArray[np.float64], frames: int) -> None:
    """Raise FarplaneError unless it is one unit vector a frame, to 1e-3."""
    if sun.shape != (frames, 3):
        raise FarplaneError("sun", f"shape {sun.shape} does not fit the shot", "Send [T, 3]")
    if not (np.abs(np.linalg.norm(sun, axis=-1) - 1.0) < 1e-3).all():
        raise FarplaneError("sun", "a direction is not of length 1", "Send unit vectors that point to the sun")


def validate_name(name: str) -> None:
    """Raise FarplaneError for a name that no folder or title could carry."""
    if not name.strip():
        raise FarplaneError("name", "it is empty", "Rename the scene or marker")
    if len(name) > MAX_NAME:
        raise FarplaneError("name", f"it is longer than {MAX_NAME} characters", "Rename the scene or marker")
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029/\\]", name):
        raise FarplaneError("name", f"{name!r} holds a slash or a control character", "Rename the scene or marker")


def validate_rate(fps: Fraction) -> None:
    """Raise FarplaneError unless it is a rate that a film can have and an EXR header can hold."""
    if not Fraction(1, MAX_FPS) <= fps <= MAX_FPS or max(fps.numerator, fps.denominator) >= 1 << 31:
        raise FarplaneError("fps", f"{fps} is out of range", "Set the scene's frame rate above 0 and to 1000 at most")


def validate_range(near: float, far: float) -> None:
    """Raise FarplaneError unless 0 < near < far, both in metres."""
    if not MIN_DEPTH <= near < far <= MAX_DISTANCE:
        raise FarplaneError("depth", f"near {near:.6g} and far {far:.6g} are no range", "Give 0 < near < far")


def validate_frames(frames: tuple[int, ...]) -> None:
    """Raise FarplaneError unless there are 2 … 1440 evenly stepped ascending frame numbers of seven digits at most."""
    count = len(frames)
    if count < MIN_FRAMES:
        raise FarplaneError("frames", f"a shot of {count} frame has no motion to lock to", "Choose at least 2 frames")
    if count > MAX_FRAMES:
        raise FarplaneError(
            "frames", f"{count} frames are more than {MAX_FRAMES}", "Shorten the range or raise the frame step"
        )
    steps = set(np.diff(np.asarray(frames, dtype=np.int64)).tolist())
    if len(steps) != 1 or min(steps) < 1:
        raise FarplaneError("frames", "the numbers do not rise evenly", "Use start, end and a positive step")
    if max(-frames[0], frames[-1]) > MAX_FRAME_NUMBER:
        raise FarplaneError(
            "frames",
            f"{frames[0]} to {frames[-1]} are no frame numbers",
            f"Use numbers from {-MAX_FRAME_NUMBER} to {MAX_FRAME_NUMBER}",
        )


def validate_length(count: int, longest: int | None, model: str) -> None:
    """Raise FarplaneError for a shot of more frames than `longest`, what `model` renders in one piece (None: any)."""
    if longest is not None and count > longest:
        problem = f"{count} frames are more than the {longest} that {model} renders in one piece"
        raise FarplaneError("frames", problem, "Shorten the range or raise the frame step")


def validate_resolution(width: int, height: int) -> None:
    """Raise FarplaneError for a resolution that no plate can have (tiny, huge)."""
    for side in (width, height):
        if not MIN_SIDE <= side <= MAX_SIDE:
            raise FarplaneError(
                "resolution", f"{width}x{height} is out of range", f"Use sides from {MIN_SIDE} to {MAX_SIDE} pixels"
            )
    if width * height > MAX_PIXELS:
        raise FarplaneError(
            "resolution", f"{width}x{height} is over 16.7 megapixels", "Lower the resolution percentage"
        )


def exr_bytes(frames: int, width: int, height: int, pixel: int) -> int:
    """The most that `frames` EXR files take, of `pixel` bytes a pixel (half RGB is 6, float32 depth 4).

    Every compression of the format stores a block as it is where nothing is gained; a block is at least one line,
    with 16 bytes of its own (its place in the file, its line number and its length).
    """
    return frames * (height * (width * pixel + 16) + EXR_HEADER)


def png_bytes(frames: int, width: int, height: int) -> int:
    """The most that `frames` PNG files of 8-bit RGBA take: deflate stores what it cannot make smaller."""
    raw = height * (1 + 4 * width)
    return frames * (raw + (raw >> 10) + PNG_HEADER)


def plate_bytes(frames: int, width: int, height: int) -> int:
    """The most that a plate and what comes with it (report, sheets, preview) take on a disk."""
    film = frames * width * height  # H.264 at the preview's quality: pure noise takes 0.7 bytes a pixel
    return exr_bytes(frames, width, height, 6) + film + ARTIFACT_BYTES
