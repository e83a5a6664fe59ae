"""The training loop, on a problem whose answer is known: resuming, starting from another run, several processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from farplane.backend.train.loop import Prefetcher, Run, load_matching, schedule

TRUE = torch.tensor([[2.0, -1.0, 0.5]])


class Line:
    """Least squares for a known line (loop.Plan)."""

    learning_rate, warmup, ema, seed = 0.05, 5, 0.9, 3

    def make_model(self) -> nn.Module:
        return nn.Linear(3, 1, bias=False)

    def optimisers(self, model: nn.Module) -> list[torch.optim.Optimizer]:
        return [torch.optim.AdamW(model.parameters(), lr=self.learning_rate, weight_decay=0.0)]

    def make_batch(self, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(rng.standard_normal((16, 3)).astype(np.float32))

    def to_device(self, batch: Tensor, device: str) -> Tensor:
        return batch.to(device)

    def loss(self, model: nn.Module, batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        error = (model(batch) - batch @ TRUE.T).square()[:, 0]
        return error.mean(), error.detach()

    def clips(self) -> int:
        return 16

    def draw(self, model: nn.Module, path: Path) -> None:
        path.write_bytes(b"drawn")

    def config(self) -> dict[str, Any]:
        return {"line": 3}


def ticks(a_step: float = 0.01) -> Callable[[], float]:
    """A clock by which every step takes as long, on any machine."""
    return (a_step * i for i in count()).__next__


def trained(out: Path, seconds: float, **kw: Any) -> Run:
    run = Run(out, Line(), "cpu", now=ticks(), **kw)
    run.train(seconds / 60)
    return run


def test_it_learns_saves_and_goes_on(tmp_path: Path) -> None:
    first = trained(tmp_path, 3.0)
    assert first.state.step == 301  # the first tick is the start
    assert first.state.clips == 16 * first.state.step
    # 300 steps of least squares on a noiseless line leave nothing but the last rate's jitter.
    torch.testing.assert_close(first.ema.weight, TRUE, rtol=0, atol=0.02)  # type: ignore[arg-type]
    again = Run(tmp_path, Line(), "cpu")
    assert again.state == first.state
    assert torch.equal(again.model.weight, first.model.weight)  # type: ignore[arg-type]
    again.train(3.0 / 60)  # spent already
    assert again.state == first.state
    assert json.loads((tmp_path / "recipe.json").read_text()) == {"line": 3}
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert len(rows) == first.state.step // 20


def test_a_run_starts_from_another(tmp_path: Path) -> None:
    first = trained(tmp_path / "a", 0.5)
    second = Run(tmp_path / "b", Line(), "cpu", tmp_path / "a")
    assert second.state.step == 0
    assert torch.equal(second.model.weight, first.ema.weight)  # type: ignore[arg-type]


def test_only_fitting_weights_are_taken() -> None:
    model = nn.Linear(3, 2)
    weights = {"weight": torch.ones(2, 3), "bias": torch.ones(5), "other": torch.ones(1)}
    assert load_matching(model, weights) == 1
    assert torch.equal(model.weight, torch.ones(2, 3))


def test_pictures_are_drawn_on_the_way(tmp_path: Path) -> None:
    run = Run(tmp_path, Line(), "cpu", now=ticks())
    run.train(1.0 / 60, sheet_every=0.3)
    assert list(tmp_path.glob("sheet-*.png"))
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_a_thread_that_fails_is_heard() -> None:
    def fail(rng: np.random.Generator) -> int:
        raise ValueError("no such shard")

    with pytest.raises(ValueError, match="no such shard"):
        Prefetcher(fail, (1,)).next()


def test_the_rate_warms_up_holds_and_falls() -> None:
    assert schedule(0, 100, 0, 10) == pytest.approx(0.1)
    assert schedule(30, 100, 50, 10) == pytest.approx(1.0)
    assert schedule(70, 100, 50, 10) == pytest.approx(0.03 + 0.97 * 0.5)
    assert schedule(100, 100, 50, 10) == pytest.approx(0.03)


def test_two_processes_learn_as_one(in_two_processes: Callable[[str], None], tmp_path: Path) -> None:
    """torchrun on the CPU: both end with the same weights, and clips are counted over both."""
    in_two_processes(
        "import torch\nfrom pathlib import Path\n"
        "from test_loop import Line, ticks\nfrom farplane.backend.train.loop import Run\n"
        "out = Path(sys.argv[1])\nrun = Run(out, Line(), 'cpu', now=ticks())\nrun.train(0.5 / 60)\n"
        "torch.save((run.model.state_dict(), run.state.clips, run.state.step), out / f'{run.processes.rank}.pt')\n"
    )
    (a, clips, step), (b, _, _) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert torch.equal(a["weight"], b["weight"])
    assert clips == 2 * 16 * step
    assert (tmp_path / "last.pt").is_file()
