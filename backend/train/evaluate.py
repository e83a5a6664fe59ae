"""`farplane evaluate`: one table, one run: a model's plates on held-out worlds, with the real render's value and the
shuffled one beside each figure.

The worlds' seeds lie below TRAINING_SEED; the model gets the blockout's depth, as an artist would send it, and a
prompt; the renders are the ceiling; the floor is the same plate under another clip's depth or camera.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...protocol.shot import DepthPass, Prompt, RenderSettings, Shot
from ..model.presets import FoundModel, find_model
from ..pipeline.colour import luminance
from ..pipeline.measure import depth_edge_auc, high_pass_rms, measure_plate, warp_psnr
from ..pipeline.plate import generate
from .classifier import AttributeClassifier, classify, train_classifier
from .data import Clip, ClipStore, render_clip
from .prompts import write_prompt

HELD_OUT_SEED = 20_000
SIZE = (112, 64)  # farplane-s's own
FRAMES = 9
CARRY = 4  # frames between the two ends of a warp
GEOMETRY_ROWS = ("depth-edge AUC", "warp PSNR", "warp gap", "high-pass RMS")


@dataclass(frozen=True, eq=False)
class Case:
    """One held-out clip, the shot an artist would send of it, and what the model made of that."""

    clip: Clip
    shot: Shot
    plate: NDArray[np.float32]


def held_out_shot(seed: int, *, held_out_words: bool = False) -> tuple[Clip, Shot]:
    """The clip of a held-out seed and its shot; every attribute is in the prompt."""
    clip = render_clip(seed, FRAMES, *SIZE, exact=True, samples=4)
    rng = np.random.default_rng([seed, 7])
    text = ""
    while not _says_all(text := write_prompt(clip.attributes, clip.move, rng, held_out=held_out_words), held_out_words):
        pass
    finite = clip.depth[np.isfinite(clip.depth)]
    near, far = (float(finite.min()), float(finite.max()) + 1.0) if finite.size else (0.1, 1000.0)
    shot = Shot(
        name=f"seed {seed}",
        frames=tuple(range(1, FRAMES + 1)),
        resolution=SIZE,
        fps=Fraction(24),
        camera=clip.camera,
        depth=DepthPass(clip.depth, near, far),
        prompt=Prompt(text),
        reference=clip.linear,
    )
    return clip, shot.validate()


def _says_all(text: str, held_out: bool) -> bool:
    from .prompts import WORDINGS
    from .world import TIMES, WEATHERS

    said = [any(w in text for w in WORDINGS[value]) for values in (TIMES, WEATHERS) for value in values]
    return held_out or (any(said[: len(TIMES)]) and any(said[len(TIMES) :]))


def make_cases(
    found: FoundModel, count: int, settings: RenderSettings, words: bool, say: Callable[[str], None]
) -> list[Case]:
    """Render and generate `count` cases."""
    cases = []
    for i in range(count):
        clip, shot = held_out_shot(HELD_OUT_SEED + i, held_out_words=words)
        plate = generate(shot, settings, found, lambda *_: None)
        cases.append(Case(clip, shot, plate))
        say(f"{i + 1}/{count} {shot.prompt.text}")
    return cases


def geometry_figures(cases: list[Case]) -> dict[str, dict[str, float]]:
    """Depth-edge AUC, warp PSNR and detail: each {plate, render, shuffled} as means over the cases that have them.

    The plate is measured against the blockout it was sent, the render against its own exact geometry.  Clips whose
    camera hardly moves have no shuffled camera and no gap; they are left out of the warp rows alone.
    """
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in GEOMETRY_ROWS}
    for case in cases:
        camera, exact = case.clip.camera, case.clip.exact
        assert exact is not None
        plate_edges, render_edges = (
            depth_edge_auc(case.plate, case.shot.depth.z),
            depth_edge_auc(case.clip.linear, exact),
        )
        if plate_edges is not None and render_edges is not None:
            rows["depth-edge AUC"].append((plate_edges.auc, render_edges.auc, plate_edges.shuffled))
        plate = warp_psnr(case.plate, case.shot.depth.z, camera.K, camera.world_from_camera, CARRY)
        render = warp_psnr(case.clip.linear, exact, camera.K, camera.world_from_camera, CARRY)
        if plate and render and plate.gap is not None and render.gap is not None and plate.shuffled is not None:
            rows["warp PSNR"].append((plate.true, render.true, plate.shuffled))
            rows["warp gap"].append((plate.gap, render.gap, 0.0))
        rows["high-pass RMS"].append((high_pass_rms(case.plate), high_pass_rms(case.clip.linear), 0.0))
    return {
        name: dict(
            zip(("plate", "render", "shuffled", "clips"), [*np.mean(values, 0).tolist(), len(values)], strict=True)
        )
        for name, values in rows.items()
        if values
    }


def lock_figures(cases: list[Case]) -> dict[str, dict[str, float | None]]:
    """Camera lock at k = 4, in pixels: medians over the cases that had a figure, and how many had one."""
    out: dict[str, dict[str, float | None]] = {}
    for name in ("plate", "render"):
        figures = []
        for case in cases:
            if name == "plate":
                report = measure_plate(case.plate, replace(case.shot, reference=None))
            else:
                assert case.clip.exact is not None
                depth = DepthPass(case.clip.exact, case.shot.depth.near, case.shot.depth.far)
                report = measure_plate(case.clip.linear, replace(case.shot, reference=None, depth=depth))
            figures.append(next(lock for lock in report.plate.lock if lock.k == CARRY))
        given = [lock for lock in figures if lock.median is not None]

        def middle(values: list[float | None]) -> float | None:
            known = [v for v in values if v is not None]
            return float(np.median(known)) if known else None

        out[name] = {
            "median px": middle([lock.median for lock in given]),
            "p95 px": middle([lock.p95 for lock in given]),
            "share": middle([lock.share for lock in given]),
            "motion px": middle([lock.motion for lock in given]),
            "measured": len(given),
            "of": len(figures),
        }
    return out


def attribute_figures(cases: list[Case], judge: AttributeClassifier) -> dict[str, dict[str, float]]:
    """Share of cases in which the classifier reads the asked attribute: in the plate, in the render, by chance order."""
    out: dict[str, dict[str, float]] = {}
    plates = [asdict(classify(judge, case.plate)) for case in cases]
    renders = [asdict(classify(judge, case.clip.linear)) for case in cases]
    asked = [asdict(case.clip.attributes) for case in cases]
    for name in ("time", "weather", "kind", "season"):
        out[name] = {
            "plate": float(np.mean([p[name] == a[name] for p, a in zip(plates, asked, strict=True)])),
            "render": float(np.mean([r[name] == a[name] for r, a in zip(renders, asked, strict=True)])),
            "shuffled": float(
                np.mean([p[name] == a[name] for p, a in zip(plates[1:] + plates[:1], asked, strict=True)])
            ),
        }
    return out


def light_figures(cases: list[Case]) -> dict[str, dict[str, float]]:
    """HDR: luminance percentiles and the share of pixels above 1, over all cases."""
    out: dict[str, dict[str, float]] = {}
    for name, frames in (("plate", [c.plate for c in cases]), ("render", [c.clip.linear for c in cases])):
        y = np.concatenate([luminance(f[::4, ::2, ::2]).ravel() for f in frames])
        out[name] = {f"p{p}": float(np.percentile(y, p)) for p in (5, 50, 95, 99)} | {
            "share above 1": float((y > 1).mean())
        }
    return out


def draw_cases(cases: list[Case], path: Path, columns: int = 2) -> None:
    """Contact sheet: blockout depth, render, plate first and last frame, with the prompt."""
    from PIL import Image, ImageDraw

    from ..pipeline.colour import linear_to_display

    tiles = []
    for case in cases:
        depth = np.sqrt(np.clip(3 / case.shot.depth.z[0], 0, 1))[..., None].repeat(3, -1)
        row = [
            (depth * 255).astype(np.uint8),
            linear_to_display(case.clip.linear[0]),
            *linear_to_display(case.plate[[0, -1]]),
        ]
        strip = Image.fromarray(np.concatenate(row, 1)).resize(
            (SIZE[0] * len(row) * 2, SIZE[1] * 2), Image.Resampling.BICUBIC
        )
        picture = Image.new("RGB", (strip.width, strip.height + 18), (18, 18, 20))
        picture.paste(strip, (0, 18))
        ImageDraw.Draw(picture).text((4, 3), case.shot.prompt.text[:130], fill=(235, 235, 235))
        tiles.append(np.asarray(picture))
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    Image.fromarray(np.concatenate(rows)).save(path, optimize=True)


def table(figures: dict) -> str:
    """The figures as a Markdown table."""
    lines = ["| measure | plate | render (ceiling) | shuffled (floor) |", "|---|---|---|---|"]
    geometry = figures["geometry"]
    for name in GEOMETRY_ROWS:
        row = geometry[name]
        lines.append(f"| {name} | {row['plate']:.3f} | {row['render']:.3f} | {row['shuffled']:.3f} |")
    gap, detail = geometry["warp gap"], geometry["high-pass RMS"]
    lines.append(f"| warp gap, share of the render's | {gap['plate'] / gap['render']:.0%} | 100% | 0% |")
    lines.append(f"| detail, share of the render's | {detail['plate'] / detail['render']:.2f} | 1 | |")
    for part, title in (("attributes", ""), ("attributes, held-out wordings", ", held-out wordings")):
        for name, row in figures.get(part, {}).items():
            lines.append(f"| {name}{title} | {row['plate']:.0%} | {row['render']:.0%} | {row['shuffled']:.0%} |")
    for name, row in figures["camera lock, k=4"].items():
        value = "refused" if row["median px"] is None else f"{row['median px']:.2f} px (p95 {row['p95 px']:.2f})"
        lines.append(f"| camera lock k=4, {name} | {value} | {row['measured']} of {row['of']} clips gave a figure | |")
    for name in figures["light"]["plate"]:
        lines.append(
            f"| luminance {name} | {figures['light']['plate'][name]:.4f} | {figures['light']['render'][name]:.4f} | |"
        )
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Entry of `farplane evaluate`."""
    parser = argparse.ArgumentParser(prog="farplane evaluate", description="Measure a model on held-out worlds.")
    parser.add_argument("--model", default="farplane-s")
    parser.add_argument("--out", type=Path, default=Path("runs/evaluate"))
    parser.add_argument("--count", type=int, default=32, help="held-out clips")
    parser.add_argument("--words", type=int, default=16, help="clips with held-out wordings, 0 for none")
    parser.add_argument("--data", type=Path, default=Path("runs/data"), help="renders the classifier learns from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--guidance", type=float, default=0.0)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    found = find_model(args.model)
    settings = RenderSettings(model=args.model, seed=args.seed, steps=args.steps, guidance=args.guidance)
    cases = make_cases(found, args.count, settings, False, print)
    figures: dict = {
        "model": args.model,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "settings": asdict(settings),
        "clips": args.count,
        "geometry": geometry_figures(cases),
        "camera lock, k=4": lock_figures(cases),
        "light": light_figures(cases),
    }
    draw_cases(cases, args.out / "sheet.png")
    judge = _judge(args.data, args.out)
    figures["attributes"] = attribute_figures(cases, judge)
    if args.words:
        unheard = make_cases(found, args.words, settings, True, print)
        figures["attributes, held-out wordings"] = attribute_figures(unheard, judge)
    (args.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    (args.out / "table.md").write_text(table(figures))
    print(table(figures))


def _judge(data: Path, out: Path) -> AttributeClassifier:
    """The classifier, trained once a folder."""
    path = out / "classifier.pt"
    judge = AttributeClassifier().eval()
    if path.exists():
        judge.load_state_dict(torch.load(path, weights_only=True))
        return judge
    judge = train_classifier(ClipStore(data))
    torch.save(judge.state_dict(), path)
    return judge


if __name__ == "__main__":
    main()
