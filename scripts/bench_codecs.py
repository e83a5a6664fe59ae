"""What a codec alone loses on renders that no training saw, and how well its latents follow from the conditions: the
picture itself, PCA of patches and a small autoencoder, at equal numbers of values a pixel.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python scripts/bench_codecs.py --data runs/data-3 --out runs/codecs

--data is a folder of training shards (`farplane train` fills it); without one, three shards are rendered under --out.
All that is made is kept there, and the same command goes on where it was stopped, by Ctrl-C or by --minutes, which
counts the processor time of one start.  Everything works on standardised LogC3 code, one frame at a time: along time
nothing is compressed, as in farplane-s itself.

Legend: T frames, H rows, W columns; C latent channels; N cells of 8 x 8 pixels, K latent values of one, F features, A
attributes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from codec_candidates import (
    KEPT_BACK,
    Autoencoder,
    Codec,
    OutOfTime,
    Patches,
    Pictures,
    Pixels,
    Recipe,
    principal,
    standard,
    train,
)
from numpy.typing import NDArray
from torch import Tensor, nn

from farplane.backend.model.presets import find_model
from farplane.backend.model.weights import load_checkpoint
from farplane.backend.pipeline.colour import logc3_decode, logc3_encode, luminance
from farplane.backend.pipeline.measure import measure_plate
from farplane.backend.pipeline.pixel_conditioning import network_time
from farplane.backend.train.cases import (
    Footage,
    Size,
    digest,
    fitted_case,
    kept_footage,
    shot_of,
    specs_of,
    world_fingerprint,
)
from farplane.backend.train.data import make_shard
from farplane.backend.train.train import CODE_MEAN, CODE_STD
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import Shot

SIZE = Size(448, 256, 9)
FIRST_CASE = 7000  # far from the cases that `farplane evaluate` and bench_tasks.py take
CELL = 8  # px: what the probe predicts at once, whatever the codec
REACH = 2  # cells on every side whose mean conditions the probe sees
SAMPLES = 160  # cells of a frame that the probe learns from

# --- what a codec alone loses ----------------------------------------------------------------------------------------


@torch.no_grad()
def there_and_back(codec: Codec, linear: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """(scene-linear frames [T, H, W, 3] after the codec, mean square of its error in LogC3 code)."""
    out, squares = [], []
    for frame in linear:
        given = standard(logc3_encode(frame))[None]
        back = codec.decode(codec.encode(given))
        squares.append(float((back - given).square().mean()) * float(CODE_STD) ** 2)
        code = back[0].permute(1, 2, 0).numpy() * np.float32(CODE_STD) + np.float32(CODE_MEAN)
        out.append(np.maximum(logc3_decode(code), 0.0).astype(np.float32))
    return np.stack(out), statistics.mean(squares)


def figures_of(frames: NDArray[np.float32], seen: Shot) -> dict[str, float | None]:
    """The plate's own measures of frames [T, H, W, 3]: detail, depth-edge AUC, 99th percentile of luminance, and the
    camera lock for frames 4 apart (median, px)."""
    found = measure_plate(frames, seen, most_pairs=2).plate
    lock = next(figure for figure in found.lock if figure.k == 4)
    return {
        "detail": found.detail,
        "edges": None if found.edges is None else found.edges.auc,
        "bright": float(np.percentile(luminance(frames), 99)),
        "lock": lock.median,
    }


def row_of(codec: Codec, footage: Footage, seen: Shot) -> dict[str, float | None]:
    """Figures of one clip after the codec, `error` (mean square in LogC3 code) among them."""
    frames, error = there_and_back(codec, footage.linear)
    return figures_of(frames, seen) | {"error": error}


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """Plain JSON, made once."""
    if not path.exists():
        value = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".tmp")
        scratch.write_text(json.dumps(value))
        os.replace(scratch, path)
    return json.loads(path.read_text())


def line_of(rows: list[dict[str, float | None]], renders: list[dict[str, float | None]]) -> list[str]:
    """Table cells over clips: PSNR of the mean error (dB, peak 1 of the code), medians of detail, AUC less the render's,
    brightness and lock beside the render's."""
    pairs = list(zip(rows, renders, strict=True))

    def median(name: str, join: Callable[[float, float], float]) -> float:
        both = [(a[name], b[name]) for a, b in pairs]
        found = [join(a, b) for a, b in both if a is not None and b is not None]
        return statistics.median(found) if found else float("nan")

    error = statistics.mean(row["error"] or 0.0 for row in rows)
    return [
        f"{-10 * np.log10(error):.1f}" if error > 1e-12 else "exact",
        f"{median('detail', lambda a, b: a / b):.3f}",
        f"{median('edges', lambda a, b: a - b):+.4f}",
        f"{median('bright', lambda a, b: a / b):.3f}",
        f"{median('lock', lambda a, b: a):.3f} ({median('lock', lambda a, b: b):.3f})",
    ]


# --- how long it takes -----------------------------------------------------------------------------------------------


@torch.no_grad()
def seconds_of(work: Callable[[], object], times: int = 5) -> float:
    """Median processor seconds, after one run to warm up."""
    work()
    spent = []
    for _ in range(times):
        began = process_time()
        work()
        spent.append(process_time() - began)
    return statistics.median(spent)


def step_seconds(size: Size) -> float:
    """Processor seconds of farplane-s's transformer for a frame: one step over a window of nine at this size."""
    model = load_checkpoint(find_model("farplane-s").folder)
    places = ((size.frames - 1) // 4 + 1, size.height, size.width)
    noisy, control, camera = (torch.randn(1, c, *places) for c in (12, 100, 24))
    hidden, mask = model.text(["a valley at noon"])

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            model.transformer(noisy, network_time(torch.ones(1)), hidden, control, camera=camera, encoder_mask=mask)

    return seconds_of(step, 3) / size.frames


# --- the probe: do latents follow from the conditions? ---------------------------------------------------------------


def cells_of(latents: Tensor, factor: int) -> Tensor:
    """Latents [C, h, w] to cells [N, K]: all that belongs to each square of 8 x 8 pixels."""
    return F.pixel_unshuffle(latents[None], CELL // factor)[0].flatten(1).T


def latents_of(cells: Tensor, factor: int, width: int) -> Tensor:
    """The inverse for pictures `width` pixels wide: [1, C, h, w]."""
    return F.pixel_shuffle(cells.T.unflatten(1, (-1, width // CELL))[None], CELL // factor)


def features_of(conditions: Tensor, told: Tensor) -> Tensor:
    """[N, F] what a cell is predicted from: its conditions [24, H, W] at every pixel, the means of the cells about it,
    and the attributes told [A]."""
    own = F.pixel_unshuffle(conditions[None], CELL)
    means = F.pad(F.avg_pool2d(conditions[None], CELL), [REACH] * 4, mode="replicate")
    around = F.unfold(means, 2 * REACH + 1)[0].T
    return torch.cat([own[0].flatten(1).T, around, told.expand(len(around), -1)], 1)


@dataclass(frozen=True, eq=False)
class Lessons:
    """features [N, F] of sampled cells of the frames `taught`, `places` [frames, SAMPLES] which cells; `tests`: all
    cells' features of each of the frames `asked`."""

    taught: list[int]
    asked: list[int]
    places: Tensor
    features: Tensor
    tests: list[Tensor]


def lessons_of(pictures: Pictures, taught: int, asked: int, rng: np.random.Generator) -> Lessons:
    """Draw frames and cells, and scale every feature to a deviation of 1 over the cells drawn."""
    chosen = rng.choice(pictures.taught, min(taught, len(pictures.taught)), replace=False).tolist()
    tests = pictures.kept_back[:: max(1, len(pictures.kept_back) // asked)][:asked]
    values = sorted({value for i in pictures.taught for value in pictures.attributes(i)})

    def features(index: int) -> Tensor:
        told = torch.tensor([float(value in pictures.attributes(index)) for value in values])
        return features_of(pictures.conditions(index), told)

    places, parts = [], []
    for index in chosen:
        whole = features(index)
        place = torch.from_numpy(rng.choice(len(whole), SAMPLES))
        places.append(place)
        parts.append(whole[place])
    drawn = torch.cat(parts)
    mean, deviation = drawn.mean(0), drawn.std(0).clamp(min=1e-3)

    def scaled(part: Tensor) -> Tensor:
        return ((part - mean) / deviation).clamp(-8, 8)

    return Lessons(chosen, tests, torch.stack(places), scaled(drawn), [scaled(features(i)) for i in tests])


@torch.no_grad()
def decoded_error(codec: Codec, predict: Callable[[Tensor], Tensor], lessons: Lessons, pictures: Pictures) -> float:
    """Mean square, in standardised code, of the pictures decoded from what is predicted less the renders."""
    errors = []
    for index, given in zip(lessons.asked, lessons.tests, strict=True):
        wanted = pictures.picture(index)
        back = codec.decode(latents_of(predict(given), codec.factor, wanted.shape[2]))[0]
        errors.append(float((back - wanted).square().mean()))
    return statistics.mean(errors)


def probe(codec: Codec, lessons: Lessons, pictures: Pictures, steps: int, seed: int = 4) -> dict[str, float]:
    """Decoded errors (decoded_error) of one mean for all cells, a ridge regression, and a small network after a quarter
    and the whole of its steps; `codec`: of the codec alone.  The network is the same for all but in its last layer."""
    with torch.no_grad():
        whole = [cells_of(codec.encode(pictures.picture(i)[None])[0], codec.factor) for i in lessons.taught]
    target = torch.cat([part[place] for part, place in zip(whole, lessons.places, strict=True)])
    mean, deviation = target.mean(0), (target - target.mean(0)).square().mean().sqrt()
    target, given = (target - mean) / deviation, lessons.features
    gram = given.T @ given + 0.01 * len(given) * torch.eye(given.shape[1])
    linear = torch.linalg.solve(gram, given.T @ target)
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(given.shape[1], 256), nn.GELU(), nn.Linear(256, 256), nn.GELU(), nn.Linear(256, target.shape[1])
    )
    optimiser, drawn = torch.optim.Adam(network.parameters()), torch.Generator().manual_seed(seed)

    def read(predict: Callable[[Tensor], Tensor]) -> float:
        return decoded_error(codec, lambda x: predict(x) * deviation + mean, lessons, pictures)

    out = {"mean": read(lambda x: torch.zeros(len(x), target.shape[1])), "ridge": read(lambda x: x @ linear)}
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = torch.randint(len(given), (256,), generator=drawn)
        loss = (network(given[rows]) - target[rows]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step + 1 == steps // 4:
            out["quarter"] = read(network)
    with torch.no_grad():
        pairs = [(codec.decode(codec.encode(p)), p) for p in (pictures.picture(i)[None] for i in lessons.asked)]
    out["codec"] = statistics.mean(float((back - p).square().mean()) for back, p in pairs)
    return out | {"network": read(network)}


# --- all of it -------------------------------------------------------------------------------------------------------


class Bench:
    """Everything that is measured, each part kept under `out` as soon as it is done."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.out = args, args.out
        self.until = lambda: args.minutes * 60 - process_time() if args.minutes else 1.0
        folder = args.data or self._rendered()
        # The folder may be filled further between two starts.
        found = sorted(path.stem for path in folder.glob("*.json"))[: args.shards or None]
        self.pictures = Pictures(folder, kept(self.out / "shards.json", lambda: found))
        self.codecs: dict[str, Codec] = {"pixels": Pixels()}

    def _rendered(self) -> Path:
        folder = self.out / "data"
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(1, 2 + KEPT_BACK):
            self.check()
            make_shard(folder, index, moving=False)
        return folder

    def check(self) -> None:
        """Raise OutOfTime."""
        if self.until() < 0:
            raise OutOfTime

    def fit(self) -> None:
        """PCA of both sizes, then the autoencoders."""
        fitted = {factor: self._principal(factor) for factor in (4, 8)}
        for factor, (mean, basis, _) in fitted.items():
            for count in (4, 8, 16, 32):
                name = f"PCA {factor} x {factor}, {count} components"
                self.codecs[name] = Patches(factor, mean, basis[:, :count].contiguous())
        for asked in self.args.autoencoders:
            factor, count, minutes = asked
            mean, basis, deviation = fitted[factor]
            torch.manual_seed(0)
            net = Autoencoder(factor, mean, basis[:, :count].contiguous(), deviation[:count])
            name = f"autoencoder {factor} x {factor}, {count} channels, {minutes:g} minutes"
            path = self.out / f"{name.replace(' ', '')}.pt"
            curve = train(net, self.pictures, Recipe(60 * minutes), path, self.until)
            size = sum(weights.numel() for weights in net.parameters())
            print(f"{name}: {size / 1e6:.2f}M parameters, loss {' '.join(f'{value:.4f}' for value in curve)}")
            self.codecs[name] = net.eval().requires_grad_(False)  # type: ignore[assignment]

    def _principal(self, factor: int) -> tuple[Tensor, Tensor, Tensor]:
        path = self.out / f"pca{factor}.pt"
        if not path.exists():
            taught = self.pictures.taught
            torch.save(principal(map(self.pictures.picture, taught[:: 1 + len(taught) // 200]), factor), path)
        return torch.load(path, weights_only=True)

    def losses(self) -> dict[str, list[dict[str, float | None]]]:
        """Figures of every held-out clip by codec, "render" among them."""
        rows: dict[str, list[dict[str, float | None]]] = {}
        world = world_fingerprint()
        for spec in specs_of("seeds", self.args.clips, FIRST_CASE):
            self.check()
            footage = kept_footage(self.out / "renders", spec, SIZE, world)
            sent = shot_of(spec, footage, SIZE)
            seen = fitted_case(footage.linear, footage.linear, sent, footage.exact).seen
            folder = self.out / f"{spec.name}-{digest(world)}"
            render = kept(folder / "render.json", lambda footage=footage, seen=seen: figures_of(footage.linear, seen))
            rows.setdefault("render", []).append(render)
            for name, codec in self.codecs.items():
                self.check()
                path = folder / f"{name.replace(' ', '')}.json"
                row = kept(path, lambda codec=codec, footage=footage, seen=seen: row_of(codec, footage, seen))
                rows.setdefault(name, []).append(row)
        return rows

    def shares(self) -> dict[str, float]:
        """Seconds of encoding and decoding a frame by codec, over the transformer's step's."""
        picture = torch.randn(1, 3, SIZE.height, SIZE.width)
        step = kept(self.out / "step.json", lambda: step_seconds(SIZE))
        print(f"the transformer's step: {step:.2f} s a frame")
        out = {}
        for name, codec in self.codecs.items():
            seconds = seconds_of(lambda codec=codec: codec.decode(codec.encode(picture)))
            out[name] = seconds / step
        return out

    def probes(self) -> dict[str, dict[str, float]]:
        """The probe's errors for the codecs of --probe."""
        out: dict[str, dict[str, float]] = {}
        lessons: Lessons | None = None
        for name, codec in self.codecs.items():
            budget = codec.channels / codec.factor**2
            if codec.factor > 1 and budget != self.args.probe:
                continue
            path = self.out / f"probe-{name.replace(' ', '')}.json"
            if not path.exists():
                self.check()
                drawn = np.random.default_rng(5)
                lessons = lessons or lessons_of(self.pictures, self.args.probe_frames, 16, drawn)
            out[name] = kept(path, lambda c=codec, on=lessons: self._probed(c, on))
        return out

    def _probed(self, codec: Codec, lessons: Lessons | None) -> dict[str, float]:
        assert lessons is not None
        return probe(codec, lessons, self.pictures, self.args.probe_steps)


def loss_table(bench: Bench) -> str:
    """Markdown of what each codec alone loses."""
    rows, shares = bench.losses(), bench.shares()
    lines = [
        "| codec | values a pixel | values a token of 16 px | PSNR, dB | detail | edge AUC | p99 | lock, px | time |",
        "|---" * 9 + "|",
    ]
    for name, codec in bench.codecs.items():
        budget = codec.channels / codec.factor**2
        cells = " | ".join(line_of(rows[name], rows["render"]))
        lines.append(f"| {name} | {budget:g} | {budget * 4 * 16**2:g} | {cells} | {shares[name]:.3f} |")
    return "\n".join(lines)


def probe_table(found: dict[str, dict[str, float]]) -> str:
    """Markdown of the probe's errors."""
    lines = ["| codec | the codec alone | one mean | ridge | network, a quarter | network |", "|---" * 6 + "|"]
    for name, row in found.items():
        cells = (f"{row[key]:.3f}" for key in ("codec", "mean", "ridge", "quarter", "network"))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def autoencoder(text: str) -> tuple[int, int, float]:
    """8x16:12 is three strided convolutions (8 x 8 pixels to a cell), 16 channels, 12 minutes."""
    sides, minutes = text.split(":")
    factor, count = (int(part) for part in sides.split("x"))
    if factor not in (4, 8) or not 0 < count <= 3 * factor**2 or not float(minutes) > 0:
        raise ValueError(text)
    return factor, count, float(minutes)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, help="a folder of training shards; else a few are rendered")
    parser.add_argument("--out", type=Path, default=Path("runs/codecs"), help="all that is made; run again to go on")
    parser.add_argument("--shards", type=int, default=0, help="take the first so many; 0: all that are there")
    parser.add_argument("--clips", type=int, default=8, help="held-out renders")
    parser.add_argument(
        "--autoencoders", type=autoencoder, nargs="*", default=[(8, 16, 6.0), (8, 16, 12.0)],
        metavar="PxC:MINUTES", help="of processor time",
    )  # fmt: skip
    parser.add_argument("--probe", type=float, default=0.25, help="values a pixel of the codecs that are probed")
    parser.add_argument("--probe-frames", type=int, default=240)
    parser.add_argument("--probe-steps", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=0, help="of processor time for this start; 0: no limit")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        bench = Bench(args)
        bench.fit()
        print(f"{args.clips} clips of {SIZE.width} x {SIZE.height}; shards {', '.join(bench.pictures.names)}\n")
        print(loss_table(bench) + "\n\n" + probe_table(bench.probes()))
    except OutOfTime:
        print("stopped: --minutes are over; the same command goes on from here")
    except FarplaneError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
