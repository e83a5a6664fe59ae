"""What is evaluated: held-out clips as shots, the plates a model makes of them, and what is kept of each on disk.

A case is one shot.  Its render is kept once for all models, its plate once for each model and setting, its row of
measures beside the plate; an evaluation that was interrupted goes on from what is there.  A change of the world's
code, of the model's files or of a setting makes a new key, so nothing stale is read.

Legend: T frames, H rows, W columns.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...protocol.shot import CameraTrack, DepthPass, Prompt, RenderSettings, Shot
from ..model.presets import FoundModel
from ..pipeline.exr import HALF_MAX
from ..pipeline.render import framed, make_plate
from ..pipeline.upsample import smaller
from .data import render_clip
from .prompts import HELD_OUT_KINDS, HELD_OUT_PAIRS, is_held_out, write_prompt
from .told_colours import Manner
from .world import Attributes, random_attributes

HELD_OUT_SEED = 20_000  # and up to the judge's own: never trained on
SECTION_SEEDS = 10_000  # apart
IN_SIGHT = (22, 30, 33, 39, 45, 46, 47, 51, 54, 56)  # cases of "moving" that show some; most cameras see none
HASHED_WHOLE = 64 * 2**20  # bytes of a model's file; a larger one is known by its name, size and time

Frames = NDArray[np.float32]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Spec:
    """One case.  section: which part of the table; held_out_words: the prompt's wordings were never trained on; bare:
    the blockout's colours are not sent; moving: vehicles, people and trees in the wind move, or else nothing does."""

    section: str
    seed: int
    attributes: Attributes
    held_out_words: bool = False
    bare: bool = False
    moving: bool = False

    @property
    def name(self) -> str:
        return f"{self.section}-{self.seed}"


@dataclass(frozen=True)
class Size:
    """Of every plate: pixels and frames."""

    width: int
    height: int
    frames: int


@dataclass(frozen=True, eq=False)
class Case:
    """What a case is measured on, all at the size the model returned.

    plate, render : [T, h, w, 3] scene-linear.  sent : the shot the plate was made for; seen : the same with the
    render's own depth, which has the small things that the blockout lacks.  scale : pixels of the asked-for size to
    one pixel here.
    """

    plate: NDArray
    render: NDArray
    sent: Shot
    seen: Shot
    scale: float


@dataclass(frozen=True, eq=False)
class Footage:
    """A clip as it is kept: linear [T, H, W, 3] the render, depth [T, H, W] the blockout's, exact: the render's own,
    base_colour [T, H, W, 4] of the blockout's materials; seen: what moves in it, of movers.SEEN_AS."""

    linear: Frames
    depth: Frames
    exact: Frames
    base_colour: NDArray[np.uint8]
    camera: CameraTrack
    move: str
    seen: tuple[str, ...] = ()


# --- which -----------------------------------------------------------------------------------------------------------


def specs_of(section: str, count: int, first: int = 0) -> list[Spec]:
    """`count` cases of a section (seeds, bare, wordings, pairs, kinds or moving) from number `first` on; bare are the
    seeds once more, without the blockout's colours, and of moving there are no more than IN_SIGHT."""
    if section == "bare":
        return [replace(spec, section=section, bare=True) for spec in specs_of("seeds", count, first)]
    start = HELD_OUT_SEED + SECTION_SEEDS * ("seeds", "wordings", "pairs", "kinds", "moving").index(section)
    numbers = IN_SIGHT[first : first + count] if section == "moving" else range(first, first + count)
    return [_spec(section, start + i, i) for i in numbers]


def _spec(section: str, seed: int, index: int) -> Spec:
    if section == "pairs":
        pairs = sorted(HELD_OUT_PAIRS)
        kind, time = pairs[index % len(pairs)]
        return Spec(section, seed, replace(random_attributes(seed), kind=kind, time=time))
    if section == "kinds":
        return Spec(section, seed, replace(random_attributes(seed), kind=HELD_OUT_KINDS[index % len(HELD_OUT_KINDS)]))
    if section == "moving":  # streets and villages have vehicles; by day they are seen
        kind, time = ("city", "village")[index % 2], ("noon", "dawn", "dusk", "dusk")[index % 4]
        return Spec(section, seed, replace(random_attributes(seed), kind=kind, time=time), moving=True)
    drawn = (random_attributes(seed + attempt * 10**9) for attempt in range(1000))
    known = next(attributes for attributes in drawn if not is_held_out(attributes))
    return Spec(section, seed, known, held_out_words=section == "wordings")


def interleaved(sections: list[list[Spec]]) -> list[Spec]:
    """The sections' cases in such an order that, wherever it stops, each section has about the same share done."""
    ranked = [((i + 0.5) / len(part), spec) for part in sections for i, spec in enumerate(part)]
    return [spec for _, spec in sorted(ranked, key=lambda pair: pair[0])]


# --- shots -----------------------------------------------------------------------------------------------------------


def shot_of(spec: Spec, clip: Footage, size: Size) -> Shot:
    """The shot an artist would send: the blockout's depth and colours, a prompt that says every attribute."""
    rng = np.random.default_rng([spec.seed, 7])
    text = write_prompt(spec.attributes, clip.move, rng, seen=clip.seen, held_out=spec.held_out_words, complete=True)
    return Shot(
        name=spec.name,
        frames=tuple(range(1, size.frames + 1)),
        resolution=(size.width, size.height),
        fps=Fraction(24),
        camera=clip.camera,
        depth=_depth_pass(clip.depth),
        prompt=Prompt(text),
        base_colour=None if spec.bare else clip.base_colour,
    ).validate()


def _depth_pass(z: NDArray) -> DepthPass:
    finite = z[np.isfinite(z)]
    near, far = (float(finite.min()), float(finite.max()) + 1.0) if finite.size else (0.1, 1000.0)
    return DepthPass(np.ascontiguousarray(z, np.float32), near, far)


def kept_footage(folder: Path, spec: Spec, size: Size, fingerprint: str) -> Footage:
    """The footage of a case, rendered once for all models and kept in `folder`."""
    what = {"seed": spec.seed, "attributes": asdict(spec.attributes), "size": asdict(size), "world": fingerprint}
    what |= {"moving": True} if spec.moving else {}
    path = folder / f"{spec.seed}-{digest(what)}.npz"
    if path.exists():
        with np.load(path) as kept:
            track = CameraTrack(kept["K"], kept["world_from_camera"])
            light = kept["linear"].astype(np.float32)
            shown = light, kept["depth"], kept["exact"], kept["base_colour"]
            return Footage(*shown, track, str(kept["move"]), tuple(kept["seen"].tolist()) if spec.moving else ())
    samples = 4 if size.width < 300 else 2
    # The lock is measured on what stands: all but one section have nothing that moves by itself.
    clip = render_clip(
        spec.seed, size.frames, size.width, size.height, attributes=spec.attributes, exact=True, samples=samples,
        moving=spec.moving,
    )  # fmt: skip
    assert clip.exact is not None
    base_colour = clip.base_colour(Manner())
    folder.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp.npz")
    half = np.minimum(clip.linear, HALF_MAX).astype(np.float16)
    np.savez(
        scratch, linear=half, depth=clip.depth, exact=clip.exact, base_colour=base_colour, K=clip.camera.K,
        world_from_camera=clip.camera.world_from_camera, move=clip.move,
        seen=np.array(clip.seen, dtype=np.str_),
    )  # fmt: skip
    os.replace(scratch, path)
    return Footage(half.astype(np.float32), clip.depth, clip.exact, base_colour, clip.camera, clip.move, clip.seen)


class _Silent:
    """A sink for a plate that nobody waits for."""

    def progress(self, stage: str, step: int, total: int) -> None: ...
    def preview(self, step: int, png: bytes) -> None: ...
    def frame(self, number: int, exr: bytes) -> None: ...
    def artifact(self, name: str, data: bytes) -> None: ...


def sample_plate(shot: Shot, settings: RenderSettings, found: FoundModel) -> Frames:
    """The plate of a shot, [T, h, w, 3] scene-linear at whatever size the model makes its frame, by the pipeline's own
    way."""
    plate = make_plate(shot, settings, found, _Silent(), lambda: None)
    canvas = plate.placed(shot)
    if canvas.seen == canvas.resolution:  # nothing beside the frame to cut off
        return plate.frames
    frames = np.stack(list(framed(plate, shot, _Silent(), lambda: None)))
    return smaller(frames, canvas.frame_size) if canvas.frame_size < canvas.resolution else frames


def kept_plate(folder: Path, shot: Shot, settings: RenderSettings, found: FoundModel, key: str) -> Frames:
    """The plate, made once for a key."""
    path = folder / f"plate-{key}.npy"
    if path.exists():
        return np.load(path).astype(np.float32)
    frames = sample_plate(shot, settings, found)
    folder.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp.npy")
    half = np.minimum(frames, HALF_MAX).astype(np.float16)
    np.save(scratch, half)
    os.replace(scratch, path)
    return half.astype(np.float32)  # what a later run will read


def fitted_case(plate: Frames, render: Frames, sent: Shot, exact: NDArray) -> Case:
    """Bring render, depth and cameras to the plate's own size: areas for light, the nearest pixel for depth."""
    import cv2

    height, width = plate.shape[1:3]
    full_width, full_height = sent.resolution
    seen = replace(sent, depth=_depth_pass(exact))
    if (width, height) == (full_width, full_height):
        return Case(plate, render, sent, seen, 1.0)
    rows = ((np.arange(height) + 0.5) * full_height / height).astype(int)
    columns = ((np.arange(width) + 0.5) * full_width / width).astype(int)
    K = sent.camera.K * np.array([width / full_width, height / full_height, 1.0])[:, None]
    camera = CameraTrack(K, sent.camera.world_from_camera)

    def smaller(shot: Shot) -> Shot:
        depth = _depth_pass(shot.depth.z[:, rows][:, :, columns])
        told = None if shot.base_colour is None else shot.base_colour[:, rows][:, :, columns]
        return replace(shot, resolution=(width, height), camera=camera, depth=depth, base_colour=told)

    light = np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in render])
    return Case(plate, light, smaller(sent), smaller(seen), full_width / width)


# --- keys ------------------------------------------------------------------------------------------------------------

_NOT_THE_WORLD = {
    "__init__", "evaluate", "cases", "rows", "figures", "scorecard", "classifier", "likeness", "train", "loop",
    "detail_train", "adversary", "patterns", "drafts", "sheets", "preview", "data",
}  # fmt: skip


def digest(value: object) -> str:
    """A short name for a value of plain JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def world_fingerprint() -> str:
    """Changes whenever the code that makes worlds, cameras or prompts does."""
    files = sorted(p for p in Path(__file__).parent.glob("*.py") if p.stem not in _NOT_THE_WORLD)
    return digest([[p.name, hashlib.sha256(p.read_bytes()).hexdigest()] for p in files])


def model_fingerprint(folder: Path) -> str:
    """Changes whenever a file of the model does."""
    rows = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        about = path.stat()
        small = about.st_size <= HASHED_WHOLE
        rows.append(
            [
                str(path.relative_to(folder)),
                about.st_size,
                hashlib.sha256(path.read_bytes()).hexdigest() if small else about.st_mtime_ns,
            ]
        )
    return digest(rows)
