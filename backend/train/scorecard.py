"""What `farplane evaluate` writes: table.md, judge.md, sheet.png, failures.md with failures.png, likeness.png."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..pipeline.colour import linear_to_display, logc3_decode
from .classifier import HEADS, Reading
from .figures import Copies, Line, brightness_error
from .rows import Row

TITLES = {
    "seeds": "Held-out seeds",
    "bare": "Held-out seeds, the blockout's colours not sent",
    "pairs": "Held-out pairs of kind and time",
    "kinds": "Held-out kinds of scene",
    "wordings": "Held-out wordings",
    "moving": "Clips in which vehicles and people move",
    "cycles": "Scenes rendered by Cycles (the examples)",
}
WORST = 3  # rows shown for each measure
SHOWN = 24  # strips of the sheet, at most
CAPTION = 18  # px


# --- the table -------------------------------------------------------------------------------------------------------


def number(value: float | None, unit: str) -> str:
    """A figure as the table prints it."""
    if value is None:
        return "–"
    if unit == "%":
        return f"{value:.0%}" if value >= 0.1 or value == 0 else f"{value:.1%}"
    if unit:
        return f"{value:.2f} {unit}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def table(sections: dict[str, list[Line]], heading: Sequence[str]) -> str:
    """Markdown: heading lines, then one table for each section."""
    out = ["# Evaluation", "", *(f"- {line}" for line in heading)]
    for section, lines in sections.items():
        out += ["", f"## {TITLES[section]}", ""]
        out += [
            "| measure | plate | render (ceiling) | floor | target | met | clips |",
            "|---|---|---|---|---|---|---|",
        ]
        for line in lines:
            met = "" if line.met is None else "yes" if line.met else "no"
            values = (number(value, line.unit) for value in (line.plate, line.render, line.floor))
            clips = f"{line.clips}" if line.clips == line.out_of else f"{line.clips} of {line.out_of}"
            out.append(f"| {line.name} | {' | '.join(values)} | {line.target} | {met} | {clips} |")
    return "\n".join(out) + "\n"


def confusion_tables(reading: Reading) -> str:
    """Markdown: for each of the judge's heads what the renders kept from it show, and what it reads in them."""
    out = ["# What the judge reads in real renders", ""]
    out += [
        f"{reading.clips} clips kept from it, three pictures and one vote each; it learned from {reading.taught} pictures."
    ]
    for name, counts in reading.tables.items():
        if name not in reading.right:
            continue
        out += ["", f"## {name}: {reading.right[name]:.0%}", "", "Rows: what a clip shows. Columns: what was read.", ""]
        out += [f"| | {' | '.join(HEADS[name])} |", "|---" * (len(HEADS[name]) + 1) + "|"]
        for value, row in zip(HEADS[name], counts, strict=True):
            out.append(f"| {value} | {' | '.join(str(n) if n else '' for n in row)} |")
    return "\n".join(out) + "\n"


# --- pictures --------------------------------------------------------------------------------------------------------


def captioned(strip: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """A strip with a line of text over it."""
    picture = Image.new("RGB", (strip.shape[1], strip.shape[0] + CAPTION), (18, 18, 20))
    picture.paste(Image.fromarray(strip), (0, CAPTION))
    letters = "".join(c if " " <= c <= "~" else "?" for c in text)  # what Pillow's own font has
    ImageDraw.Draw(picture).text((4, 3), letters[: strip.shape[1] // 6], fill=(235, 235, 235))
    return np.asarray(picture)


def draw_sheet(rows: Sequence[Row], path: Path, columns: int = 2) -> None:
    """The blockout's depth and colours, the render, the plate's first and last frame, under the prompt; evenly drawn."""
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int))]
    tiles = [captioned(row.strip, f"{row.about['name']}: {row.about['prompt']}") for row in chosen]
    _grid(tiles, columns, path)


def _grid(tiles: list[NDArray[np.uint8]], columns: int, path: Path) -> None:
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    lines = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    Image.fromarray(np.concatenate(lines)).save(path, optimize=True)


# --- failures --------------------------------------------------------------------------------------------------------


def badness(copies: Copies | None, rows: Sequence[Row]) -> dict[str, list[float | None]]:
    """For each measure, how bad each row is (higher is worse); None where the row has no figure."""

    def over(row: Row, name: str) -> float | None:
        plate, render = row.plate[name], row.render[name]
        return None if plate is None or render is None else plate - render

    def edge(row: Row) -> float | None:
        plate, render = row.plate["edges"], row.render["edges"]
        return None if not plate or not render else render["auc"] - plate["auc"]

    def gap(row: Row) -> float | None:
        plate, render = row.gap("plate", 4), row.gap("render", 4)
        return None if plate is None or not render or render <= 0 else 1 - plate / render

    def detail(row: Row) -> float | None:
        render = row.render["detail"]
        return abs(np.log2(max(row.plate["detail"], 1e-6) / render)) if render else None

    return {
        "camera lock k=4, px": [row.lock("plate", 4)["median"] for row in rows],
        "surface that could not be measured": [1 - row.lock("plate", 4)["detail"] for row in rows],
        "warp gap, missing of the render's": [gap(row) for row in rows],
        "depth-edge AUC, under the render's": [edge(row) for row in rows],
        "flicker, codes over the render's": [over(row, "flicker") for row in rows],
        "detail, octaves from the render's": [detail(row) for row in rows],
        "brightness, stops from the render's": [brightness_error(r.plate_light, r.render_light) for r in rows],
        "nearness to a training frame": [None] * len(rows) if copies is None else [-float(d) for d in copies.distance],
    }


def worst(values: Sequence[float | None], count: int = WORST) -> list[int]:
    """Indices of the `count` highest values, the highest first."""
    known = [i for i, v in enumerate(values) if v is not None]
    return sorted(known, key=lambda i: -(values[i] or 0.0))[:count]


def write_failures(
    rows: Sequence[Row], copies: Copies | None, read: Callable[[Row], dict[str, str]], folder: Path
) -> None:
    """failures.md and failures.png: the worst rows by each measure, and every row whose attributes were misread.

    read : what the judge reads in a row's plate.
    """
    lines = ["# Where it fails", "", "The worst of each measure; failures.png shows them in this order.", ""]
    lines += ["| measure | how bad | case | prompt |", "|---|---|---|---|"]
    tiles = []
    for measure, values in badness(copies, rows).items():
        for i in worst(values):
            about, value = rows[i].about, values[i] or 0.0
            shown = f"{-value:.3f} away" if measure.startswith("nearness") else f"{value:.3f}"
            lines.append(f"| {measure} | {shown} | {about['name']} | {about['prompt'].replace('|', ' ')} |")
            tiles.append(captioned(rows[i].strip, f"{measure}: {shown}, {about['name']}: {about['prompt']}"))
    lines += ["", "## Misread attributes", "", "| case | asked | read | prompt |", "|---|---|---|---|"]
    for row in rows:
        asked = row.about.get("asked") or {}
        seen = read(row) if asked else {}
        wrong = {name: value for name, value in asked.items() if seen[name] != value}
        if wrong:
            said = ", ".join(seen[name] for name in wrong)
            lines.append(f"| {row.about['name']} | {', '.join(wrong.values())} | {said} | {row.about['prompt']} |")
    (folder / "failures.md").write_text("\n".join(lines) + "\n")
    if tiles:
        _grid(tiles, 2, folder / "failures.png")


def draw_likeness(rows: Sequence[Row], copies: Copies, training: NDArray, path: Path, count: int = 12) -> None:
    """The plates that lie nearest to a training frame, each beside that frame."""
    tiles = []
    for i in np.argsort(copies.distance)[:count]:
        pair = np.concatenate(
            [_shown(np.asarray(p, np.float32)) for p in (rows[i].plate_pictures[0], training[copies.index[i]])], 1
        )
        tiles.append(captioned(pair, f"{rows[i].about['name']}, {copies.distance[i]:.3f} away"))
    _grid(tiles, 3, path)


def _shown(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    display = linear_to_display(np.maximum(logc3_decode(picture.transpose(1, 2, 0)), 0))
    return np.asarray(Image.fromarray(display).resize((224, 128), Image.Resampling.BICUBIC))
