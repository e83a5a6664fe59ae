"""From rows to the table's lines: each measure with the render's value, the floor's, the target and whether it is met.

A measure is the mean or median over the clips that have it; how many have is beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .classifier import Judge, look, votes
from .likeness import frechet_distance, likeness, thumbnails
from .rows import Row

LOCK_PX, LOCK_SHARE, GAP_SHARE, ATTRIBUTES, WORDINGS, LIGHT = 0.5, 0.6, 0.8, 0.9, 0.8, 0.1
DETAIL = (0.8, 1.2)
PERCENTILES = (5, 50, 95, 99)
MIN_MOTION = 1.0  # px: a picture that moves less has no lock to lose
BLACK = 1e-4  # added to luminance before a logarithm


@dataclass(frozen=True)
class Line:
    """One measure.  plate, render (the ceiling), floor: None where there is none.  unit: "", "px", "dB", "%" or "codes".

    target : in words, empty for none; met : whether the plate reaches it.  clips of out_of : those with a figure.
    """

    name: str
    plate: float | None
    render: float | None
    floor: float | None
    unit: str = ""
    target: str = ""
    met: bool | None = None
    clips: int = 0
    out_of: int = 0


def _known(values: Sequence[float | None]) -> list[float]:
    return [v for v in values if v is not None and math.isfinite(v)]


def _over(values: Sequence[float | None], how: Callable = np.mean) -> float | None:
    known = _known(values)
    return float(how(known)) if known else None


def _judged(value: float | None, good: Callable[[float], bool]) -> bool | None:
    return None if value is None else bool(good(value))


# --- geometry --------------------------------------------------------------------------------------------------------


def lock_lines(rows: Sequence[Row], k: int) -> list[Line]:
    """Camera lock: medians over clips; the floor is what a texture stuck to the screen would read.

    Clips in which the picture hardly moves give no pixels: what sticks to the screen would read as locked.  A refused
    clip gives none either, but its share counts: the share is over all clips.
    """
    moving = [row for row in rows if row.lock("render", k)["motion"] >= MIN_MOTION]
    plate, render = ([row.lock(side, k) for row in moving] for side in ("plate", "render"))
    clips = len(_known([f["median"] for f in plate]))

    def middle(figures: list[dict], name: str) -> float | None:
        return _over([f[name] for f in figures], np.median)

    median = middle(plate, "median")
    share, own_share = (middle([row.lock(side, k) for row in rows], "detail") for side in ("plate", "render"))
    aims = k == 4
    return [
        Line(
            f"camera lock k={k}, median", median, middle(render, "median"), middle(plate, "motion"), "px",
            f"≤ {LOCK_PX} px" if aims else "", _judged(median, lambda v: v <= LOCK_PX) if aims else None, clips=clips, out_of=len(rows),
        ),
        Line(f"camera lock k={k}, 95% of pixels under", middle(plate, "p95"), middle(render, "p95"), None, "px", clips=clips, out_of=len(rows)),
        Line(
            f"camera lock k={k}, visible surface measured", share, own_share, 0.0, "%",
            f"≥ {LOCK_SHARE:.0%}" if aims else "", _judged(share, lambda v: v >= LOCK_SHARE) if aims else None,
            clips=len(rows), out_of=len(rows),
        ),
    ]  # fmt: skip


def residual_lines(rows: Sequence[Row], k: int) -> list[Line]:
    """Warp residual over the clips whose camera moves enough to have a shuffled one, plate and render both."""
    have = [r for r in rows if r.gap("plate", k) is not None and (r.gap("render", k) or 0) > 0]
    clips = len(have)

    def mean(side: str, name: str) -> float | None:
        return _over([r.residual(side, k)[name] for r in have])

    plate, render = (_over([r.gap(side, k) for r in have]) for side in ("plate", "render"))
    share = None if plate is None or not render else plate / render
    return [
        Line(f"warp PSNR k={k}", mean("plate", "psnr"), mean("render", "psnr"), mean("plate", "shuffled"), "dB", clips=clips, out_of=len(rows)),
        Line(
            f"warp gap to a shuffled camera k={k}, of the render's", share, None if share is None else 1.0, 0.0, "%",
            f"≥ {GAP_SHARE:.0%}", _judged(share, lambda v: v >= GAP_SHARE), clips=clips, out_of=len(rows),
        ),
    ]  # fmt: skip


def edge_lines(rows: Sequence[Row]) -> list[Line]:
    """Depth edges over the clips whose depth has silhouettes; the AUC's floor is the plate on edges moved elsewhere."""
    have = [r for r in rows if r.plate["edges"] and r.render["edges"]]
    out = []
    for name, title in (
        ("auc", "depth-edge AUC"),
        ("precision", "depth-edge precision"),
        ("recall", "depth-edge recall"),
    ):
        plate, render = (_over([getattr(r, side)["edges"][name] for r in have]) for side in ("plate", "render"))
        floor = _over([r.plate["edges"]["shuffled"] for r in have]) if name == "auc" else None
        unit = "" if name == "auc" else "%"
        out.append(Line(title, plate, render, floor, unit, clips=len(have), out_of=len(rows)))
    return out


def picture_lines(rows: Sequence[Row]) -> list[Line]:
    """Flicker of static pixels, and detail as a share of the render's."""
    pulse, own = (_over([getattr(r, s)["flicker"] for r in rows]) for s in ("plate", "render"))
    seen = len(_known([r.plate["flicker"] for r in rows]))
    plate, render = (_over([getattr(r, s)["detail"] for r in rows]) for s in ("plate", "render"))
    ratio = None if plate is None or not render else plate / render
    low, high = DETAIL
    return [
        Line("flicker of static pixels", pulse, own, None, "codes", clips=seen, out_of=len(rows)),
        Line(
            "detail (high-pass RMS), of the render's", ratio, None if ratio is None else 1.0, 0.0, "",
            f"{low} to {high}", _judged(ratio, lambda v: low <= v <= high), clips=len(rows), out_of=len(rows),
        ),
    ]  # fmt: skip


# --- light -----------------------------------------------------------------------------------------------------------


def brightness_error(light: NDArray, other: NDArray) -> float:
    """Stops between the geometric means of two luminances."""
    a, b = (float(np.log2(np.maximum(x, 0) + BLACK).mean()) for x in (light, other))
    return abs(a - b)


def ratios_told(rows: Sequence[Row], draws: int = 200, most: int = 500) -> list[tuple[float, float]]:
    """For each of PERCENTILES, plate over render: where two thirds of other draws of so many clips would lie.

    A few bright skies decide a percentile over some forty clips.  The bootstrap (Efron 1979) draws clips with
    replacement; `most` values of each are enough for that.
    """
    rng = np.random.default_rng(0)
    thinned = [slice(None, None, max(1, len(r.plate_light) // most)) for r in rows]
    plates = [r.plate_light[some] for r, some in zip(rows, thinned, strict=True)]
    renders = [r.render_light[some] for r, some in zip(rows, thinned, strict=True)]
    found = []
    for _ in range(draws):
        drawn = rng.integers(len(rows), size=len(rows))
        plate, render = (
            np.percentile(np.concatenate([side[i] for i in drawn]), PERCENTILES) for side in (plates, renders)
        )
        found.append((plate + BLACK) / (render + BLACK))
    low, high = np.percentile(found, [16, 84], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def light_lines(rows: Sequence[Row]) -> list[Line]:
    """HDR: percentiles of luminance over all clips, and how far each clip is from its own render.

    Beside their target stands how far these clips tell it (ratios_told).  The floor of the last is the plate against the
    next clip's render.
    """
    clips = len(rows)
    plate, render = (np.concatenate([getattr(r, f"{s}_light") for r in rows]) for s in ("plate", "render"))
    out = []
    for p, (low, high) in zip(PERCENTILES, ratios_told(rows), strict=True):
        a, b = (float(np.percentile(y, p)) for y in (plate, render))
        near = abs(a / b - 1) <= LIGHT if b > 0 else None
        target = f"within {LIGHT:.0%} ({low:.2f} to {high:.2f} of it)"
        out.append(Line(f"luminance, percentile {p}", a, b, None, "", target, near, clips=clips, out_of=len(rows)))
    above, own_above = (float((y > 1).mean()) for y in (plate, render))
    out.append(Line("luminance, share above 1", above, own_above, None, "%", clips=clips, out_of=len(rows)))
    own = [brightness_error(r.plate_light, r.render_light) for r in rows]
    next_one = [brightness_error(r.plate_light, rows[(i + 1) % len(rows)].render_light) for i, r in enumerate(rows)]
    floor = float(np.median(next_one)) if len(rows) > 1 else None
    return [
        *out,
        Line(
            "brightness against its own render, stops",
            float(np.median(own)),
            0.0,
            floor,
            "",
            clips=clips,
            out_of=len(rows),
        ),
    ]


# --- what the judge sees ---------------------------------------------------------------------------------------------


def attribute_lines(rows: Sequence[Row], judge: Judge, target: float = ATTRIBUTES) -> list[Line]:
    """Share of clips in which the judge reads what was asked; the floor is the next clip's plate for this prompt."""
    have = [r for r in rows if r.about.get("asked")]
    if not have:
        return []
    plates, renders = ([votes(judge, getattr(r, f"{s}_pictures")) for r in have] for s in ("plate", "render"))
    out = []
    for name in ("kind", "time", "weather", "season"):
        said = [i for i, r in enumerate(have) if name in r.about["asked"]]
        if not said:
            continue
        right = [have[i].about["asked"][name] for i in said]

        def share(found: list[dict[str, str]], shift: int = 0, said=said, right=right, name=name) -> float:
            return float(
                np.mean([found[(i + shift) % len(found)][name] == v for i, v in zip(said, right, strict=True)])
            )

        plate = share(plates)
        out.append(
            Line(
                f"{name} read by the judge", plate, share(renders), share(plates, 1), "%", f"≥ {target:.0%}",
                plate >= target, clips=len(said), out_of=len(have),
            )
        )  # fmt: skip
    return out


def frechet_lines(rows: Sequence[Row], judge: Judge) -> list[Line]:
    """Fréchet distance of plates to the other half of the renders; the ceiling is half to half, the floor flat colour."""
    if len(rows) < 4:
        return []

    def features(pictures: Sequence[NDArray]) -> NDArray:
        return look(judge, np.concatenate([np.asarray(p, np.float32) for p in pictures]))[1]

    halves = rows[::2], rows[1::2]
    real = [features([r.render_pictures for r in half]) for half in halves]
    made = [features([r.plate_pictures for r in half]) for half in halves]
    flat = [features([_flat(r.render_pictures) for r in half]) for half in halves]
    plate = (frechet_distance(made[0], real[1]) + frechet_distance(made[1], real[0])) / 2
    floor = (frechet_distance(flat[0], real[1]) + frechet_distance(flat[1], real[0])) / 2
    name = "Fréchet distance to renders (the judge's features)"
    return [Line(name, plate, frechet_distance(real[0], real[1]), floor, "", clips=len(rows), out_of=len(rows))]


def _flat(pictures: NDArray) -> NDArray[np.float32]:
    pictures = np.asarray(pictures, np.float32)
    return np.broadcast_to(pictures.mean((2, 3), np.float32, keepdims=True), pictures.shape)


@dataclass(frozen=True, eq=False)
class Copies:
    """For each row: distance to the nearest training frame by the judge's features, and which frame that is."""

    distance: NDArray[np.float32]
    index: NDArray[np.intp]


def likeness_lines(rows: Sequence[Row], judge: Judge, training: NDArray | None) -> tuple[list[Line], Copies | None]:
    """Nearest training frame by the judge's features and by small pictures; training pictures [M, 3, 64, 112]."""
    if training is None or not len(training) or len(rows) < 2:
        return [], None
    plates, renders = (np.concatenate([getattr(r, f"{s}_pictures") for r in rows]) for s in ("plate", "render"))
    out, copies = [], None
    for title, seen in (("features", lambda p: look(judge, p)[1]), ("small pictures", thumbnails)):
        found, nearest = likeness(seen(plates), seen(renders), seen(training))
        name = f"nearest training frame by {title}"
        clips = len(rows)
        out += [
            Line(f"{name}, median distance", found.plate[2], found.render[2], None, "", clips=clips, out_of=len(rows)),
            Line(
                f"{name}, plates nearer than the renders' 1%", found.copies, 0.01, None, "%", "≤ 1%",
                found.copies <= 0.01, clips=clips, out_of=len(rows),
            ),
        ]  # fmt: skip
        if copies is None:
            each = len(plates) // len(rows)
            by_row = nearest.distance.reshape(len(rows), each)
            best = by_row.argmin(1)
            copies = Copies(by_row.min(1), nearest.index.reshape(len(rows), each)[np.arange(len(rows)), best])
    return out, copies


def section_lines(rows: Sequence[Row], judge: Judge, *, words: bool = False) -> list[Line]:
    """Every line of a section but likeness, which needs the training set."""
    lines = [line for k in (4, 1, 8) for line in lock_lines(rows, k)]
    lines += residual_lines(rows, 4) + edge_lines(rows) + picture_lines(rows) + light_lines(rows)
    lines += attribute_lines(rows, judge, WORDINGS if words else ATTRIBUTES)
    return lines + frechet_lines(rows, judge)
