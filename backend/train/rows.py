"""One case measured: a row of plain figures, and the small pictures that the measures over all cases need.

Legend: T frames, H rows, W columns; N pictures.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pipeline.colour import linear_to_display, luminance
from ..pipeline.measure import measure_plate
from .cases import Case
from .classifier import pictures_of

VERSION = 2  # of what a row holds; a new one measures again
PAIRS = 4  # of frames for each k: a table of many clips needs few of each
TILE = (224, 128)  # of a strip's pictures, width and height


@dataclass(frozen=True, eq=False)
class Row:
    """A measured case.

    about : section, name, prompt, asked (attribute values that can be seen, or None), move, size, scale, notes.
    plate, render : pipeline.measure's figures as plain JSON.
    plate_pictures, render_pictures : [N, 3, 64, 112] LogC3 code.  plate_light, render_light : luminance, thinned, flat.
    strip : [128, 1120, 3] uint8: depth, base colours, render, plate's first and last frame.
    """

    about: dict[str, Any]
    plate: dict[str, Any]
    render: dict[str, Any]
    plate_pictures: NDArray[np.float16]
    render_pictures: NDArray[np.float16]
    plate_light: NDArray[np.float32]
    render_light: NDArray[np.float32]
    strip: NDArray[np.uint8]

    def lock(self, side: str, k: int) -> dict[str, Any]:
        """The lock figure of "plate" or "render" for frames k apart, pixels of the size that was asked for."""
        figure = next(f for f in getattr(self, side)["lock"] if f["k"] == k)
        scale = self.about["scale"]
        pixels = {name: None if figure[name] is None else figure[name] * scale for name in ("median", "p95", "motion")}
        return figure | pixels

    def residual(self, side: str, k: int) -> dict[str, Any]:
        """The warp residual of "plate" or "render" for frames k apart."""
        return next(f for f in getattr(self, side)["residual"] if f["k"] == k)

    def gap(self, side: str, k: int) -> float | None:
        """How many dB the true camera explains better than a shuffled one."""
        found = self.residual(side, k)
        return None if found["psnr"] is None or found["shuffled"] is None else found["psnr"] - found["shuffled"]


def measure_case(case: Case, about: dict[str, Any]) -> Row:
    """Measure a plate against the depth it was sent, and the render against its own."""
    plate = measure_plate(case.plate, case.sent, most_pairs=PAIRS).to_json()["plate"]
    render = measure_plate(case.render, case.seen, most_pairs=PAIRS).to_json()["plate"]
    return Row(
        about=about | {"size": list(case.sent.resolution), "scale": case.scale},
        plate=plate,
        render=render,
        plate_pictures=pictures_of(case.plate).astype(np.float16),
        render_pictures=pictures_of(case.render).astype(np.float16),
        plate_light=_thinned_light(case.plate),
        render_light=_thinned_light(case.render),
        strip=_strip(case),
    )


def _thinned_light(frames: NDArray) -> NDArray[np.float32]:
    step = max(1, frames.shape[1] // 64)
    return luminance(np.asarray(frames[::4, ::step, ::step], np.float32)).ravel()


def _strip(case: Case) -> NDArray[np.uint8]:
    import cv2

    z = case.sent.depth.z[0]
    near = max(float(np.quantile(z, 0.02)), 1e-3) if np.isfinite(z).any() else 1.0
    grey = np.sqrt(np.clip(near / z, 0, 1))
    told = case.sent.base_colour
    parts = [
        (grey[..., None].repeat(3, -1) * 255).astype(np.uint8),
        np.zeros((*z.shape, 3), np.uint8) if told is None else told[0, ..., :3],
        *(linear_to_display(np.asarray(f, np.float32)) for f in (case.render[0], case.plate[0], case.plate[-1])),
    ]
    how = cv2.INTER_AREA if z.shape[1] > TILE[0] else cv2.INTER_NEAREST
    return np.concatenate([np.asarray(cv2.resize(p, TILE, interpolation=how), np.uint8) for p in parts], 1)


def save_row(row: Row, folder: Path, key: str) -> None:
    """Keep a row; the JSON comes last, so a row is whole or absent."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: getattr(row, name) for name in _ARRAYS}
    np.savez(folder / f"row-{key}.npz", **arrays)
    scratch = folder / f"row-{key}.tmp"
    scratch.write_text(json.dumps({"about": row.about, "plate": row.plate, "render": row.render}))
    os.replace(scratch, folder / f"row-{key}.json")


def load_row(folder: Path, key: str) -> Row | None:
    """The row of a key, or None."""
    path = folder / f"row-{key}.json"
    if not path.exists():
        return None
    values = json.loads(path.read_text())
    with np.load(path.with_suffix(".npz")) as arrays:
        return Row(**values, **{name: arrays[name] for name in _ARRAYS})


_ARRAYS = ("plate_pictures", "render_pictures", "plate_light", "render_light", "strip")
