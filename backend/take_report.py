"""What is told of a finished take: the camera lock beside the real render's own, and the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table


def read_report(folder: Path) -> dict[str, Any]:
    """report.json of a take; empty when there is none to read."""
    try:
        report = json.loads((folder / "report.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def lock_table(name: str, report: dict[str, Any]) -> Table:
    """The camera lock of a plate, and of the scene's own render beside it."""
    return Table(title=f"Camera lock of {escape(name)}, pixels", title_justify="left")


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
