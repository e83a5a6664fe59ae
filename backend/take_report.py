"""What is told of a finished take (camera lock, files), and the measures taken anew: `farplane measure`."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def read_report(folder: Path) -> dict[str, Any]:
    """report.json of a take; empty when there is none to read."""
    try:
        report = json.loads((folder / "report.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def lock_table(report: dict[str, Any]) -> Table:
    """The camera lock of a plate in pixels, and beside it the real render's own, which is how well it can be read.

    A figure that was refused (too little detail to read it from) is a dash with the reason below the table; the
    feature matches beside it are a second opinion of their own, with how many there were.
    """
    name = escape(str(report.get("name", "the shot")))
    table = Table(title=f"Camera lock of {name}, pixels", title_justify="left", caption_justify="left")
    for column in ("frames apart", "plate", "95% below", "pixels read", "by matches", "the real render"):
        table.add_column(column, justify="right")
    reasons = []
    reference = _locks(report.get("reference"))
    for k, lock in _locks(report.get("plate")).items():
        if lock.get("possible") == 0:
            continue  # the shot is shorter than that
        beside = reference.get(k, {})
        share = f"{100 * float(lock.get('share') or 0):.0f}%"
        matches = "–" if lock.get("matches") is None else f"{_px(lock['matches'])} ({lock.get('match_count', 0)})"
        plate, p95, render = _px(lock.get("median")), _px(lock.get("p95")), _px(beside.get("median"))
        table.add_row(str(k), plate, p95, share, matches, render)
        if lock.get("median") is None and lock.get("reason"):
            reasons.append(str(lock["reason"]))
    from .pipeline.registration import registration_line  # it brings OpenCV along: 0.3 s

    lines = [registration_line(report.get("registration")), f"– : {reasons[0]}" if reasons else ""]
    table.caption = escape("\n".join(line for line in lines if line)) or None
    return table


def show_notes(report: dict[str, Any], console: Console) -> None:
    """What a report notes of the shot and its prompt, a line each: words the model lacks, contradictions, holes …"""
    notes = report.get("notes")
    for note in notes if isinstance(notes, list) else ():
        console.print(f"note: {escape(str(note))}", highlight=False, soft_wrap=True)


def _locks(measures: Any) -> dict[int, dict[str, Any]]:
    """{frames apart: figure} of one side of a report."""
    locks = measures.get("lock") if isinstance(measures, dict) else None
    return {int(lock["k"]): lock for lock in locks or () if isinstance(lock, dict) and "k" in lock}


def _px(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, (int, float)) else "–"


def files_table(folder: Path) -> Table:
    """The files of a take, sequences as one line."""
    table = Table("file", "what it is", "size", title=f"Files in {escape(str(folder))}", title_justify="left")
    table.columns[2].justify = "right"
    for pattern, what in FILES:
        paths = sorted(folder.glob(pattern))
        if paths:
            first, last = paths[0].name, paths[-1].name
            name = first if len(paths) == 1 else f"{first} … {last}"
            table.add_row(escape(name), what, _size(sum(path.stat().st_size for path in paths)))
    return table


FILES = (
    ("plate.*.exr", "the plate, scene-linear half float"),
    ("depth.*.exr", "the depth that was sent, metres"),
    ("base_colour.*.png", "the materials' base colours that were sent"),
    ("reference.*.exr", "the scene's own render, to compare"),
    ("shot.json", "cameras and prompt, all that was sent"),
    ("report.json", "the measures"),
    ("report.png", "the measures as a picture"),
    ("contact.png", "contact sheet"),
    ("preview.mp4", "film"),
    ("*_farplane.blend", "a copy of the scene with the plate landed"),
)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


# -- farplane measure ---------------------------------------------------------------------------------------------


def measure_again(folder: Path, console: Console) -> None:
    """Measure the plate in `folder` and write report.json, report.png and contact.png anew, each whole or not at all.

    What the old report says besides measures (model, seed, prompt …) is kept.  Raises FarplaneError for a folder
    that holds no whole take.
    """
    from .pipeline.measure import measure_plate
    from .pipeline.report import contact_png, report_png
    from .take_files import plate_made_at, read_plate, read_take_shot, with_reference

    shot = with_reference(folder, read_take_shot(folder))
    frames = read_plate(folder, shot)
    old = read_report(folder)
    report = measure_plate(frames, shot, made_at=plate_made_at(folder, shot))
    values = {**old, **report.to_json()}
    named = {"prompt": "", "model": "", "seed": "seed "}
    title = " · ".join(f"{before}{old[key]}" for key, before in named.items() if key in old) or shot.name
    write_whole(folder / "report.json", (json.dumps(values, indent=1) + "\n").encode())
    write_whole(folder / "report.png", report_png(report, title))
    write_whole(folder / "contact.png", contact_png(frames, shot, title))
    console.print(lock_table(values))
    show_notes(values, console)
    console.print(f"Written: report.json, report.png and contact.png in {escape(str(folder))}", soft_wrap=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with scratch.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
