"""The training loop that both stages share: time budget, schedule, averaged weights, checkpoints, log, pictures.

It runs as one process or as several under torchrun (one a device): gradients are averaged over all of them, and the
first one writes the files.  Every file is replaced in one step, so a run resumes from wherever it was stopped.
"""

from __future__ import annotations

import atexit
import csv
import json
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from .adversary import Duel

Batch = TypeVar("Batch")
SAVE_EVERY = 90.0  # seconds


class Plan(Protocol[Batch]):
    """What a stage brings.  config : plain values, written beside the checkpoint."""

    learning_rate: float
    warmup: int
    ema: float
    seed: int

    def make_model(self) -> nn.Module: ...
    def optimisers(self, model: nn.Module) -> list[torch.optim.Optimizer]: ...
    def make_batch(self, rng: np.random.Generator) -> Batch: ...
    def to_device(self, batch: Batch, device: str) -> Batch: ...
    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(loss to descend, x0 error of each clip)."""
        ...

    def clips(self) -> int:
        """Clips on disk by now."""
        ...

    def draw(self, model: nn.Module, path: Path) -> None:
        """A sheet of samples."""
        ...

    def exported(self, folder: Path) -> dict[str, Any]:
        """What an exported checkpoint holds of this stage, as last.pt has it: `ema` and perhaps `duel`; FarplaneError
        where it holds nothing."""
        ...

    def config(self) -> dict[str, Any]: ...


class Prefetcher(Generic[Batch]):
    """Makes batches in a thread; the heavy parts release the interpreter's lock."""

    def __init__(self, make: Callable[[np.random.Generator], Batch], seed: Sequence[int]) -> None:
        self._make, self._rng = make, np.random.default_rng(seed)
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(3)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            while True:
                self._ready.put(self._make(self._rng))
        except Exception as error:  # told by next(): a thread's own traceback would leave the loop waiting
            self._ready.put(error)

    def next(self) -> Batch:
        """The next batch."""
        made = self._ready.get()
        if isinstance(made, BaseException):
            raise made
        return made


@dataclass
class State:
    """Where a run stands.  clips : clip passes over all processes."""

    step: int = 0
    seconds: float = 0.0
    clips: int = 0


@dataclass(frozen=True)
class Processes:
    """This process among those of torchrun."""

    rank: int = 0
    count: int = 1

    @staticmethod
    def join(device: str) -> Processes:
        """Meet the others, if torchrun started this."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return Processes()
        if not dist.is_initialized():
            backend = "nccl" if device.startswith("cuda") else "gloo"
            dist.init_process_group(backend, timeout=timedelta(hours=12))  # one alone may draw drafts for long
            atexit.register(_leave)
        return Processes(dist.get_rank(), count)

    def meet(self) -> None:
        """Wait until all have come here."""
        if self.count > 1:
            dist.barrier()

    def average(self, model: nn.Module) -> None:
        """Replace every gradient by its mean over the processes."""
        if self.count > 1:
            for parameter in model.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)
                parameter.grad /= self.count

    def agree(self, value: float, device: str) -> float:
        """The first process's value."""
        if self.count == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=device)
        dist.broadcast(shared, 0)
        return float(shared)


def _leave() -> None:
    """End the connections before the interpreter goes: torn down with it, they now and then abort the process."""
    if dist.is_initialized():
        dist.destroy_process_group()


def schedule(seconds: float, budget: float, step: int, warmup: int) -> float:
    """Learning-rate factor: warm-up, then flat, then a cosine over the last 60% of the time."""
    done = min(seconds / budget, 1.0)
    decay = 1.0 if done < 0.4 else 0.5 + 0.5 * math.cos(math.pi * (done - 0.4) / 0.6)
    return min(1.0, (step + 1) / warmup) * (0.03 + 0.97 * decay)


def load_matching(model: nn.Module, weights: dict[str, Tensor]) -> int:
    """Start from another run's weights where name and shape agree; how many did."""
    own = model.state_dict()
    fitting = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    model.load_state_dict(own | fitting)
    return len(fitting)


class Run:
    """One stage being trained in a folder."""

    def __init__(
        self,
        out: Path,
        plan: Plan,
        device: str,
        start_from: Path | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.out, self.plan, self.device, self._now = out, plan, device, now
        self.processes = Processes.join(device)
        self.duel: Duel | None = getattr(plan, "duel", None)  # a critic in training beside the network
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(plan.seed)
        self.model, self.ema = plan.make_model().to(device), plan.make_model().to(device)
        self.ema.load_state_dict(self.model.state_dict())
        self.optims = plan.optimisers(self.model)
        self.state = State()
        if (out / "last.pt").exists():
            self._resume()
        elif start_from is not None:
            if (start_from / "last.pt").exists():
                kept = torch.load(start_from / "last.pt", map_location=device, weights_only=True)
            else:
                kept = plan.exported(start_from)
            weights = kept["ema"]
            count = load_matching(self.model, weights)
            self.ema.load_state_dict(self.model.state_dict())
            print(f"{count} of {len(weights)} weights from {start_from}", flush=True)
            if self.duel is not None and self.duel.fits(kept.get("duel")):
                self.duel.resume(kept["duel"])
                print(f"its critic too, margin {self.duel.told:.2f}", flush=True)

    def _resume(self) -> None:
        kept = torch.load(self.out / "last.pt", map_location=self.device, weights_only=True)
        self.model.load_state_dict(kept["model"])
        self.ema.load_state_dict(kept["ema"])
        for optim, values in zip(self.optims, kept["optimisers"], strict=True):
            optim.load_state_dict(values)
        self.state = State(**kept["state"])
        if self.duel is not None and "duel" in kept:
            self.duel.resume(kept["duel"])

    def save(self) -> None:
        """Write the checkpoint beside the old one, then replace it."""
        if self.processes.rank:
            return
        kept = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimisers": [o.state_dict() for o in self.optims],
            "state": asdict(self.state),
            "recipe": self.plan.config(),
        }
        if self.duel is not None:
            kept["duel"] = self.duel.kept()
        torch.save(kept, self.out / "last.tmp")
        os.replace(self.out / "last.tmp", self.out / "last.pt")

    def train(self, minutes: float, sheet_every: float = 600.0) -> None:
        """Train until `minutes` of computing are spent in all, over any number of runs."""
        torch.set_flush_denormal(True)  # a CPU multiplies vanishing momenta a hundred times slower otherwise
        try:
            self._train(minutes, sheet_every)
        finally:
            torch.set_flush_denormal(False)

    def _train(self, minutes: float, sheet_every: float) -> None:
        plan, first = self.plan, self.processes.rank == 0
        seed = (plan.seed, self.state.step, self.processes.rank)
        batches = Prefetcher(plan.make_batch, seed)
        generator = torch.Generator().manual_seed(hash(seed) % 2**31)
        (self.out / "recipe.json").write_text(json.dumps(plan.config(), indent=1))
        size = sum(p.numel() for p in self.model.parameters()) / 1e6
        print(f"{size:.2f}M parameters, {plan.clips()} clips, from step {self.state.step}", flush=True)
        budget, clock = minutes * 60, self._now()
        saved = sheet = self.state.seconds
        recent: list[tuple[float, float]] = []
        while self._agreed() < budget:
            rate = plan.learning_rate * schedule(self.state.seconds, budget, self.state.step, plan.warmup)
            loss, error, norm = self._step(plan.to_device(batches.next(), self.device), generator, rate)
            now = self._now()
            clips = len(error) * self.processes.count
            self.state = State(self.state.step + 1, self.state.seconds + now - clock, self.state.clips + clips)
            clock = now
            recent.append((loss, float(error.mean())))
            if self.state.step % 20 == 0 and first:
                self._log(np.mean(recent, 0), norm, rate)
                recent.clear()
            if self.state.seconds - sheet > sheet_every and first:
                sheet = saved = self.state.seconds
                self.save()
                self.draw()
                clock = self._now()
            elif self.state.seconds - saved > SAVE_EVERY:
                saved = self.state.seconds
                self.save()
        self.save()

    def _agreed(self) -> float:
        """Computing seconds so far, the same in every process: the learning rate follows from them."""
        self.state.seconds = self.processes.agree(self.state.seconds, self.device)
        return self.state.seconds

    def _step(self, batch: Any, generator: torch.Generator, rate: float) -> tuple[float, Tensor, float]:
        for optim in self.optims:
            for group in optim.param_groups:
                group["lr"] = rate
        loss, error = self.plan.loss(self.model, batch, generator)
        loss.backward()
        self.processes.average(self.model)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if torch.isfinite(norm):
            for optim in self.optims:
                optim.step()
        for optim in self.optims:
            optim.zero_grad(set_to_none=True)
        keep = min(self.plan.ema, (self.state.step + 1) / (self.state.step + 20))
        with torch.no_grad():
            for a, b in zip(self.ema.parameters(), self.model.parameters(), strict=True):
                a.lerp_(b, 1 - keep)
        return float(loss.detach()), error, float(norm)

    def _log(self, mean: np.ndarray, norm: float, rate: float) -> None:
        state = self.state
        row = [state.step, round(state.seconds, 1), state.clips, round(mean[0], 5), round(mean[1], 5), round(norm, 3)]
        with (self.out / "log.csv").open("a") as file:
            csv.writer(file).writerow([*row, f"{rate:.2e}"])
        margin = () if self.duel is None else (f"critic's margin {self.duel.told:.2f}",)
        print(*row, f"{rate:.2e}", f"{self.plan.clips()} clips", *margin, flush=True)

    def draw(self) -> None:
        """Samples and curves, as pictures in the run's folder."""
        from .sheets import draw_curves

        threads = torch.get_num_threads()  # rendering in parallel sets OpenMP's own count, which torch would keep
        self.ema.eval()
        self.plan.draw(self.ema, self.out / f"sheet-{self.state.step:06d}.png")
        self.ema.train()
        if (self.out / "log.csv").exists():
            draw_curves(self.out / "log.csv", self.out / "curves.png")
        torch.set_num_threads(threads)
