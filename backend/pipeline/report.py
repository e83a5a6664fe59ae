"""The pictures beside a plate: the report, the contact sheet, the preview film.

Legend: T frames, H rows, W columns; frames [T, H, W, 3] scene-linear, shown through the fixed display curve.
All are bytes of finished files; nothing is written here but one temporary film, since MP4 wants a seekable file.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ...protocol.errors import FarplaneError
from ...protocol.shot import Shot
from .colour import linear_to_display
from .lettering import DEJAVU, Lettering
from .lock import LockFigure, spread
from .measure import Frames, Measures, PlateReport
from .registration import registration_line
from .scratch import temporary_fault

# A neutral dark grey, as grading rooms have it: coloured surroundings change what the eye sees in a plate.
GROUND, PANEL, LINE = "#1d1d1d", "#272727", "#3d3d3d"
INK, SOFT, FAINT = "#ececec", "#a8a8a8", "#737373"
COLOURS = {1: "#7cc4ff", 4: "#ffc46b", 8: "#f58aa0"}  # by k
RENDER = "#9bd49b"  # the scene's own render
CONTACT_COLUMNS = 6
CONTACT_TILE = 320
PREVIEW_WIDTH = 1920


def _number(value: float | None, digits: int = 2, unit: str = "") -> str:
    return "–" if value is None else f"{value:.{digits}f}{unit}"


def _pixels(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


def _per_cent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


# --- report.png ------------------------------------------------------------------------------------------------------


def report_png(report: PlateReport, title: str) -> bytes:
    """The report on one page, 1600 x 1060: key figures, lock by frame, residual, and the table behind them."""
    figure = Figure(figsize=(16, 10.6), dpi=100, facecolor=GROUND)
    FigureCanvasAgg(figure)
    _key_figures(figure, report)
    _lock_curves(figure.add_axes((0.065, 0.335, 0.545, 0.335)), report)
    _residual_bars(figure.add_axes((0.70, 0.335, 0.265, 0.335)), report)
    _table(figure, report)
    out = BytesIO()
    figure.savefig(out, format="png", facecolor=GROUND)
    page = Image.open(out).convert("RGB")
    _heading(page, report, title)
    out = BytesIO()
    page.save(out, "PNG", optimize=True)
    return out.getvalue()


def _text(where: Figure | Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Text as it stands: a dollar sign in a prompt is no formula."""
    style = {"color": INK, "fontsize": 11, "va": "baseline", "parse_math": False} | style
    where.text(x, y, text, **style)


def _heading(page: Image.Image, report: PlateReport, title: str) -> None:
    """What was asked for and of what, in the page's first 120 rows.  By Pillow, since it may be in any script."""
    width, height = report.resolution
    fps = report.fps[0] / report.fps[1]
    first, last = report.frames[0], report.frames[-1]
    facts = (
        f"{report.name}   ·   frames {first}–{last} ({len(report.frames)})   ·   {width} × {height}   ·   {fps:.6g} fps"
    )
    letters = Lettering(title, facts)
    draw, left = ImageDraw.Draw(page), round(0.035 * page.width)
    room = page.width - 2 * left
    y = 26
    for line in letters.wrap(title or report.name, 21, room, 2):
        letters.draw(draw, (left, y), line, 21, INK)
        y += 29
    letters.draw(draw, (left, y + 7), letters.wrap(facts, 15, room, 1)[0], 15, SOFT)
    letters.draw(draw, (left, y + 27), letters.note, 12, FAINT)


def _key_figures(figure: Figure, report: PlateReport) -> None:
    """Five panels: the figure, what it is, and the render's own beside it."""
    plate, render = report.plate, report.reference
    near, far = plate.lock[0], _longest(plate)
    edges = plate.edges
    tiles = [
        (_pixels(near.median), "px", "Camera lock, next frame", _lock_note(near, _same_k(render, near.k))),
        (_pixels(far.median), "px", f"Camera lock, {far.k} frames on", _lock_note(far, _same_k(render, far.k))),
        (
            _per_cent(report.gap_share(near.k)),
            "",
            "Of the render's warp gap",
            "0%: no better than a wrong camera\n100%: as the render"
            if render
            else "no render of the scene\nto compare with",
        ),
        (
            _number(edges and edges.auc),
            "",
            "Depth-edge agreement (AUC)",
            f"render {_number(render.edges and render.edges.auc)}\nchance 0.50" if render else "chance 0.50",
        ),
        (
            _number(report.detail_ratio) if render else _number(plate.detail, 3),
            "×" if render else "",
            "Detail, of the render's" if render else "Detail (high-pass RMS)",
            _flicker_note(plate, render),
        ),
    ]
    left, gap = 0.035, 0.0125
    wide = (0.93 - gap * (len(tiles) - 1)) / len(tiles)
    for i, (value, unit, name, note) in enumerate(tiles):
        panel = figure.add_axes((left + i * (wide + gap), 0.728, wide, 0.145), facecolor=PANEL)
        panel.set_xticks([])
        panel.set_yticks([])
        for spine in panel.spines.values():
            spine.set_visible(False)
        _text(panel, 0.06, 0.81, name, color=SOFT, fontsize=11)
        known = value != "–"
        shown = panel.text(0.06, 0.42, value if known else "no figure", fontsize=28 if known else 20, color=INK)
        if unit and known:
            panel.annotate(
                unit, (1, 0), xycoords=shown, xytext=(5, 4.5), textcoords="offset points", fontsize=15, color=SOFT
            )
        _text(panel, 0.06, 0.10, note, fontsize=9.5, color=FAINT, linespacing=1.45)


def _same_k(measures: Measures | None, k: int) -> LockFigure | None:
    return next((f for f in measures.lock if f.k == k), None) if measures else None


def _longest(measures: Measures) -> LockFigure:
    """The figure of the greatest k that the shot is long enough for."""
    return next((f for f in reversed(measures.lock) if f.possible), measures.lock[0])


def _lock_note(figure: LockFigure, render: LockFigure | None) -> str:
    if figure.median is None:
        return "too little detail to read" if figure.detail else "nothing to read"
    own = f"   ·   render {_pixels(render.median)}" if render else ""
    return f"95% under {_pixels(figure.p95)}{own}\nthe picture moves {_pixels(figure.motion)}"


def _flicker_note(plate: Measures, render: Measures | None) -> str:
    own = f"   ·   render {_number(render.flicker, 1)}" if render else ""
    return f"flicker {_number(plate.flicker, 1)}{own}\nin codes of 255"


def _axes(axes: Axes, title: str) -> None:
    axes.set_facecolor(GROUND)
    axes.tick_params(colors=SOFT, labelsize=10, length=0)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(LINE)
    axes.set_title(title, loc="left", color=INK, fontsize=12.5, pad=14)


def _lock_curves(axes: Axes, report: PlateReport) -> None:
    """Median error by frame for each k, on a logarithmic scale, the render's own dashed."""
    _axes(axes, "Camera lock by frame, median pixels left after the geometric warp")
    low, high = 0.05, 2.0
    for measures, style in ((report.reference, "render"), (report.plate, "plate")):
        for figure in measures.lock if measures else ():
            x = [pair.frame for pair in figure.frames]
            y = [math.nan if pair.median is None else max(pair.median, 0.02) for pair in figure.frames]
            known = [value for value in y if not math.isnan(value)]
            if not known:
                continue
            low, high = min(low, *known) if len(known) > 1 else min(low, known[0]), max(high, *known, 0)
            colour = COLOURS[figure.k]
            if style == "plate":
                dots = {"marker": "o", "markersize": 4 if len(x) > 12 else 6}
                axes.plot(x, y, color=colour, linewidth=2, label=f"{figure.k} frame{'s'[: figure.k > 1]} apart", **dots)
            else:
                dots = {"marker": "o", "markersize": 3} if len(x) == 1 else {}
                axes.plot(x, y, color=colour, linewidth=1.2, linestyle=(0, (2, 2)), alpha=0.75, **dots)
    axes.set_yscale("log")
    axes.set_ylim(low / 1.5, high * 1.6)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    ticks = [v for v in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low / 1.5 <= v <= high * 1.6]
    axes.set_yticks(ticks)
    axes.minorticks_off()
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.axhline(1.0, color=FAINT, linewidth=1.2)  # a whole pixel
    first, last = report.frames[0], report.frames[-1]
    axes.set_xlim(first - 0.02 * (last - first), last + 0.02 * (last - first))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
    axes.set_xlabel("frame", color=SOFT, fontsize=10, loc="left")
    if any(f.median is not None for f in report.plate.lock):
        if report.reference is not None:
            axes.plot([], [], color=SOFT, linewidth=1.2, linestyle=(0, (2, 2)), label="the scene's own render")
        legend = axes.legend(
            loc="upper right", bbox_to_anchor=(1.01, -0.09), ncols=4, frameon=False, fontsize=10, handlelength=1.6
        )
        for text in legend.get_texts():
            text.set_color(SOFT)
    else:
        if report.reference is None:
            axes.grid(visible=False)
            axes.set_yticks([])
        reason = report.plate.lock[0].reason or "nothing was measured"
        style = {"ha": "center", "va": "center", "color": SOFT, "fontsize": 13, "transform": axes.transAxes}
        _text(axes, 0.5, 0.6, "No figure for this plate", **(style | {"color": INK, "fontsize": 16}))
        _text(axes, 0.5, 0.48, reason, **style)


def _residual_bars(axes: Axes, report: PlateReport) -> None:
    """For each k a bar from the shuffled camera's floor to the render's ceiling, the plate's place marked on it."""
    _axes(axes, "Warp residual, dB (higher is better)")
    axes.set_yticks([])
    values = []
    rows = [r for r in report.plate.residual if r.psnr is not None]
    for at, residual in enumerate(rows):
        render = next((r for r in report.reference.residual if r.k == residual.k), None) if report.reference else None
        floor, ceiling = residual.shuffled, render.psnr if render else None
        assert residual.psnr is not None
        present = [v for v in (floor, residual.psnr, ceiling) if v is not None]
        values += present
        y = -float(at)
        axes.plot([min(present), max(present)], [y, y], color=LINE, linewidth=11, solid_capstyle="butt", zorder=1)
        if floor is not None:
            axes.plot(
                [floor, residual.psnr],
                [y, y],
                color=COLOURS[residual.k],
                linewidth=11,
                alpha=0.45,
                solid_capstyle="butt",
                zorder=2,
            )
            axes.plot([floor], [y], "|", color=SOFT, markersize=20, markeredgewidth=2, zorder=3)
            _text(axes, floor, y - 0.36, f"{floor:.1f}", ha="center", fontsize=9.5, color=FAINT)
        if ceiling is not None:
            axes.plot([ceiling], [y], "|", color=RENDER, markersize=20, markeredgewidth=2, zorder=3)
            _text(axes, ceiling, y - 0.36, f"{ceiling:.1f}", ha="center", fontsize=9.5, color=RENDER)
        axes.plot([residual.psnr], [y], "o", color=COLOURS[residual.k], markersize=11, zorder=4)
        _text(axes, residual.psnr, y + 0.22, f"{residual.psnr:.1f}", ha="center", fontsize=11, color=INK)
        name = f"{residual.k} frame{'s'[: residual.k > 1]}\napart"
        _text(
            axes, -0.02, y, name, ha="right", va="center", fontsize=10, color=SOFT, transform=axes.get_yaxis_transform()
        )
    if not values:
        _text(axes, 0.5, 0.5, "no pair shares a visible pixel", ha="center", color=SOFT, transform=axes.transAxes)
        axes.set_xticks([])
        return
    pad = max(2.0, 0.08 * (max(values) - min(values)))
    axes.set_xlim(min(values) - pad, max(values) + pad)
    axes.set_ylim(-len(rows) + 0.35, 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    key = [("| ", SOFT, "shuffled camera"), ("● ", INK, "plate")]
    key += [("| ", RENDER, "render")] if report.reference else []
    for i, (sign, colour, name) in enumerate(key):
        _text(
            axes,
            0.02 + 0.37 * i - 0.12 * (i == 2),
            -0.19,
            sign + name,
            fontsize=10,
            color=colour,
            transform=axes.transAxes,
        )


def _table(figure: Figure, report: PlateReport) -> None:
    """Every figure by k, plate and render, and what was read."""
    columns = [
        (0.035, "frames apart", "left"),
        (0.185, "lock, median px", "right"),
        (0.265, "95% px", "right"),
        (0.375, "SIFT px (matches)", "right"),
        (0.455, "picture moves", "right"),
        (0.535, "pixels read", "right"),
        (0.615, "with detail", "right"),
        (0.715, "1 px reads as", "right"),
        (0.795, "size read", "right"),
        (0.875, "residual dB", "right"),
        (0.965, "shuffled dB", "right"),
    ]
    y = 0.235
    for x, name, side in columns:
        _text(figure, x, y, name, fontsize=9.5, color=FAINT, ha=side)
    sides = [("", report.plate, INK)] + ([("  render", report.reference, RENDER)] if report.reference else [])
    for index, lock in enumerate(report.plate.lock):
        for suffix, measures, colour in sides:
            y -= 0.0235
            figure_k, residual = measures.lock[index], measures.residual[index]
            matches = f"{_pixels(figure_k.matches)} ({figure_k.match_count})"
            cells = [
                f"{lock.k}{suffix}",
                _pixels(figure_k.median),
                _pixels(figure_k.p95),
                matches if figure_k.possible else "–",
                _pixels(figure_k.motion) if figure_k.possible else "–",
                _per_cent(figure_k.share),
                _per_cent(figure_k.detail),
                _number(figure_k.response),
                "full" if figure_k.scale == 1 else f"{figure_k.scale:.0%}",
                _number(residual.psnr, 1),
                _number(residual.shuffled, 1),
            ]
            for (x, _, side), cell in zip(columns, cells):
                _text(figure, x, y, cell, fontsize=10.5, color=colour, ha=side)
    _text(figure, 0.035, 0.028, _footnote(report), fontsize=9.5, color=FAINT, linespacing=1.5)


def _footnote(report: PlateReport) -> str:
    pairs = ", ".join(f"{f.pairs} of {f.possible}" for f in report.plate.lock if f.possible)
    edges = report.plate.edges
    lines = [
        f"Pairs measured: {pairs}.   Lock is read on every visible surface pixel with fine detail in both "
        "directions; the sky is left out.   Pictures are compared as displayed (sRGB after a fixed tone curve)."
    ]
    if edges is not None:
        lines.append(
            f"Strongest image edges on a depth edge: {edges.precision:.0%} (precision).   Depth edges that show in the "
            f"picture: {edges.recall:.0%} (recall).   AUC with the depth's edges moved elsewhere: {edges.shuffled:.2f}."
        )
    if (placed := report.registration) is not None and (placed.lens or placed.picture):
        lines.append(registration_line(placed.to_json()))
    return "\n".join(lines)


# --- contact.png -----------------------------------------------------------------------------------------------------


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(DEJAVU.path, size)


def depth_picture(depth: NDArray, near: float, far: float) -> NDArray[np.uint8]:
    """Depth [H, W] as grey [H, W, 3]: logarithmic, near is white, far dark, the sky black."""
    hit = np.isfinite(depth)
    z = np.clip(np.where(hit, depth, far), near, far)
    place = 1 - (np.log(z) - math.log(near)) / (math.log(far) - math.log(near))
    grey = np.where(hit, np.rint(255 * (0.12 + 0.85 * place)), 0).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _depth_range(shot: Shot, chosen: Sequence[int]) -> tuple[float, float]:
    """What the chosen frames hold, rather than the clip range, so that the picture uses its greys."""
    z = np.concatenate([shot.depth.z[i][np.isfinite(shot.depth.z[i])][::17] for i in chosen])
    if not z.size:
        return shot.depth.near, shot.depth.far
    near, far = (float(v) for v in np.quantile(z, (0.002, 0.998)))
    return near, max(far, near * 1.01)


def contact_png(frames: Frames, shot: Shot, title: str) -> bytes:
    """The contact sheet: depth, plate and, where there is one, the render; at most six frames, by absolute number.

    frames : [T, H, W, 3] scene-linear, T as in the shot.
    """
    chosen = [int(i) for i in spread(len(shot.frames), CONTACT_COLUMNS)]
    width, height = shot.resolution
    tile = (CONTACT_TILE, max(1, round(CONTACT_TILE * height / (width * shot.pixel_aspect))))
    near, far = _depth_range(shot, chosen)
    rows: list[tuple[str, list[NDArray[np.uint8]]]] = [
        ("depth", [depth_picture(shot.depth.z[i], near, far) for i in chosen]),
        ("plate", [linear_to_display(np.asarray(frames[i])) for i in chosen]),
    ]
    if shot.reference is not None:
        rows.append(("render", [linear_to_display(shot.reference[i]) for i in chosen]))

    edge, gap, label = 28, 8, 74
    sheet_width = 2 * edge + label + len(chosen) * (tile[0] + gap) - gap
    letters = Lettering(title)
    lines = letters.wrap(title, 19, sheet_width - 2 * edge, 2)
    notes = letters.wrap(letters.note, 12, sheet_width - 2 * edge, 2) if letters.note else []
    top = edge + 27 * len(lines) + 16 * len(notes) + 14
    sheet = Image.new("RGB", (sheet_width, top + 26 + len(rows) * (tile[1] + gap) - gap + edge), GROUND)
    draw = ImageDraw.Draw(sheet)
    for n, line in enumerate(lines):
        letters.draw(draw, (edge, edge - 4 + 27 * n), line, 19, INK)
    for n, line in enumerate(notes):
        letters.draw(draw, (edge, edge + 27 * len(lines) + 16 * n), line, 12, FAINT)
    for column, i in enumerate(chosen):
        x = edge + label + column * (tile[0] + gap)
        draw.text((x + 1, top), str(shot.frames[i]), font=_font(14), fill=SOFT)
    for row, (name, pictures) in enumerate(rows):
        y = top + 26 + row * (tile[1] + gap)
        draw.text((edge, y + tile[1] // 2), name, font=_font(14), fill=SOFT, anchor="lm")
        for column, picture in enumerate(pictures):
            shrink = picture.shape[1] >= tile[0]
            how = Image.Resampling.LANCZOS if shrink else Image.Resampling.BICUBIC
            sheet.paste(Image.fromarray(picture).resize(tile, how), (edge + label + column * (tile[0] + gap), y))
    out = BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()


# --- preview.mp4 -----------------------------------------------------------------------------------------------------


def preview_mp4(frames: Frames, fps: Fraction, pixel_aspect: float = 1.0) -> bytes:
    """The plate as a film to look at: H.264, 4:2:0, sRGB, at the exact rate, at most 1920 wide, even sides, square pixels.

    Raises FarplaneError("preview") when the encoder cannot run.
    """
    height, width = frames[0].shape[0], frames[0].shape[1] * pixel_aspect
    scale = min(1.0, PREVIEW_WIDTH / width)
    size = (max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2))
    with _film_folder() as folder:
        film = folder / "preview.mp4"
        tags = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=iec61966-2-1:range=tv"
        # Called directly: imageio-ffmpeg's own writer rounds 24000/1001 to 23.98.
        command = [
            imageio_ffmpeg.get_ffmpeg_exe(),
            *("-hide_banner", "-loglevel", "error", "-y"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}"),
            *("-framerate", f"{fps.numerator}/{fps.denominator}", "-i", "-"),
            *("-vf", f"scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,{tags}"),
            *("-c:v", "libx264", "-preset", "medium", "-crf", "16", "-threads", "2", "-movflags", "+faststart"),
            str(film),
        ]
        try:
            _feed(command, frames, size)
        except (OSError, subprocess.SubprocessError) as error:
            if "No space left" in str(error):
                raise temporary_fault(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) from error
            raise FarplaneError(
                "preview", f"the film could not be made ({error})", "Reinstall imageio-ffmpeg; the EXR frames are whole"
            ) from error
        return film.read_bytes()


@contextmanager
def _film_folder() -> Iterator[Path]:
    try:
        folder = tempfile.mkdtemp(prefix="farplane-")
    except OSError as error:
        raise temporary_fault(error) from error
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _feed(command: list[str], frames: Frames, size: tuple[int, int]) -> None:
    """Run the encoder and give it every frame; its own words are the error."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)
        assert process.stdin is not None
        try:
            for index in range(len(frames)):
                picture = linear_to_display(np.asarray(frames[index]))
                if picture.shape[1::-1] != size:
                    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
                process.stdin.write(np.ascontiguousarray(picture).tobytes())
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has stopped: its exit status and words follow
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.wait():
            errors.seek(0)
            raise subprocess.SubprocessError(errors.read(2000).decode("utf-8", "replace").strip() or "no reason given")
