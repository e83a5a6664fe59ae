"""A job from its shot to its files, stage by stage: conditioning, denoise, decode, write, measure.

Frames leave as they are finished: encoding runs in a process pool while the next ones are upscaled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from ...protocol.shot import RenderSettings, Shot
from ..model.presets import FoundModel, find_model
from .agreement import check_agreement
from .canvas import Canvas, depth_on, whole
from .job import Cancelled, Job, Sink
from .scratch import scratch_array

Frames = NDArray[np.float32]
PREVIEW_WIDTH = 480


@dataclass(frozen=True, eq=False)
class Plate:
    """frames : [T, h, w, 3] scene-linear, at the model's size.  hdr : native | display.  notes : for the report.

    canvas : where the shot's frame lies in them; None where they show the frame and nothing else.
    """

    frames: Frames
    hdr: str
    notes: tuple[str, ...]
    canvas: Canvas | None = None

    def placed(self, shot: Shot) -> Canvas:
        """Where the shot's frame lies in the frames."""
        return self.canvas or whole(shot.resolution, (self.frames.shape[2], self.frames.shape[1]))


def run_job(job: Job, sink: Sink, should_stop: Callable[[], bool]) -> None:
    """Render a job.  Raises FarplaneError for what the artist can mend, Cancelled when asked to stop."""

    def check() -> None:
        if should_stop():
            raise Cancelled

    found = find_model(job.settings.model)
    sink.progress("conditioning", 0, 1)
    notes = check_agreement(job.shot)
    width, height = job.shot.resolution
    # On disk, since a minute of HD in float32 is 36 GB; before the work begins, since there may be no room.
    with scratch_array((len(job.shot.frames), height, width, 3), np.float16) as full:
        plate = make_plate(job.shot, job.settings, found, sink, check)
        plate = replace(plate, notes=plate.notes + notes)
        _write(full, plate, job, sink, check)
        check()
        _measure(full, plate, job, sink)


def check_model(name: str) -> int | None:
    """Frames of the longest shot that this model renders, None for any.

    Raises the FarplaneError that a job with it would end with, from the headers of its files.  The worker asks this
    when a shot is offered, before it is uploaded.
    """
    from ..model.weights import check_weights

    found = find_model(name)
    check_weights(found.folder, found.preset.kind)
    if found.preset.kind == "farplane":
        from .plate import check_conditions

        check_conditions(found.folder)
    return found.preset.longest


def make_plate(shot: Shot, settings: RenderSettings, found: FoundModel, sink: Sink, check: Callable[[], None]) -> Plate:
    """Denoise a shot with whichever kind of model was found."""

    def on_step(step: int, total: int, preview: Callable[[], Frames]) -> None:
        check()
        if step == 1:
            sink.progress("conditioning", 1, 1)
        sink.progress("denoise", step, total)
        if total <= 8 or step % 2 == 0 or step == total:
            sink.preview(step, _preview_png(preview()))

    if found.preset.kind == "wan":
        from .cautions import nothing_but_sky
        from .wan import HDR, generate

        frames, canvas = generate(shot, settings, found, on_step)
        return Plate(frames, HDR, nothing_but_sky(shot), canvas)
    from . import plate
    from .cautions import cautions
    from .geometry import azimuth_of
    from .precipitation import asked_fall, draw_fall

    frames, canvas = plate.generate(shot, settings, found, on_step, check)
    notes = plate.prompt_notes(shot, found)
    notes += cautions(shot, plate.words_of(found))
    if azimuth_of(shot.sun) is not None:
        notes += ("the light comes from where the scene's sun stands; how high it stands follows the prompt",)
    if fall := asked_fall(plate.known_words(shot, found)):
        draw_fall(frames, shot, canvas, fall, settings.seed, check)
        notes += (f"{fall.name} that falls is drawn over the plate as particles, not painted by the network",)
    return Plate(frames, plate.HDR, notes, canvas)


def framed(plate: Plate, shot: Shot, sink: Sink, check: Callable[[], None]) -> Iterator[Frames]:
    """Each frame in the shot's own pixels, its edges on the edges of the shot's own depth, what is beside it cut off."""
    from .upsample import upsample_guided

    canvas = plate.placed(shot)
    for t, rgb in enumerate(plate.frames):
        check()
        depth = shot.depth.z[t]
        wide = upsample_guided(rgb, depth_on(canvas, depth[None])[0], canvas.widened(depth))
        yield np.ascontiguousarray(canvas.cut(wide))
        sink.progress("decode", t + 1, len(plate.frames))


def _write(full: NDArray[np.float16], plate: Plate, job: Job, sink: Sink, check: Callable[[], None]) -> None:
    """Upscale frame by frame into `full` while a process pool encodes those before; hand over in order."""
    from .exr import HALF_MAX, encode_in_order, encode_pool, plate_header

    canvas = plate.placed(job.shot)
    made = None if canvas.size == canvas.seen else canvas.frame_size
    hdr = "native" if plate.hdr == "native" else "display"
    settings = job.settings

    def finished() -> Iterator[tuple[Frames, dict]]:
        for t, rgb in enumerate(framed(plate, job.shot, sink, check)):
            full[t] = np.minimum(rgb, HALF_MAX)
            yield (
                rgb,
                plate_header(job.shot, t, model=settings.model, seed=settings.seed, job=job.id, hdr=hdr, made=made),
            )

    numbers = job.shot.frames
    with encode_pool() as pool:
        files = encode_in_order(pool, finished(), settings.compression)
        for t, (number, data) in enumerate(zip(numbers, files, strict=True)):
            check()
            sink.frame(number, data)
            sink.progress("write", t + 1, len(numbers))


def _measure(frames: NDArray, plate: Plate, job: Job, sink: Sink) -> None:
    """The report, its picture, the contact sheet and the preview film."""
    from .measure import measure_plate, placed_notes
    from .report import contact_png, preview_mp4, report_png

    total = 4
    sink.progress("measure", 0, total)
    report = measure_plate(frames, job.shot, made_at=plate.placed(job.shot).frame_size)
    values = report.to_json() | {
        "model": job.settings.model,
        "seed": job.settings.seed,
        "prompt": job.shot.prompt.text,
        "hdr": plate.hdr,
        "notes": [*plate.notes, *placed_notes(report)],
    }
    title = f"{job.shot.prompt.text} · {job.settings.model} · seed {job.settings.seed}"
    makers: list[tuple[str, Callable[[], bytes]]] = [
        ("report.json", lambda: (json.dumps(values, indent=1) + "\n").encode()),
        ("report.png", lambda: report_png(report, title)),
        ("contact.png", lambda: contact_png(frames, job.shot, title)),
        ("preview.mp4", lambda: preview_mp4(frames, job.shot.fps, job.shot.pixel_aspect)),
    ]
    for done, (name, make) in enumerate(makers, 1):
        sink.artifact(name, make())
        sink.progress("measure", done, total)


def _preview_png(rgb: Frames) -> bytes:
    from PIL import Image

    from .colour import linear_to_display

    picture = Image.fromarray(linear_to_display(rgb))
    scale = PREVIEW_WIDTH / picture.width
    picture = picture.resize((PREVIEW_WIDTH, round(picture.height * scale)), Image.Resampling.BICUBIC)
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
