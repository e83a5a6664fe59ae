"""scripts/bench_prediction.py: both predictions mean the same residual, and a network that knows it reads as no error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from farplane.backend.train.data import ClipStore, make_shard
from farplane.backend.train.detail_train import DetailPlan, DetailRecipe


@pytest.fixture(scope="module")
def bench(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("bench_prediction")


@pytest.mark.parametrize("kind", ["x0", "velocity"])
def test_who_knows_the_residual_has_no_error_and_all_of_the_detail(
    bench: ModuleType, store: ClipStore, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = DetailPlan(DetailRecipe(crop=16, batch=4), store)
    (crops,) = bench.drawn(plan, 1, 3)

    def knows(net: object, crops: object, noisy: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        residual, s = crops.residual, level[:, None, None, None]  # type: ignore[attr-defined]
        return residual if kind == "x0" else (noisy - residual) / s

    monkeypatch.setattr(bench, "predict", knows)
    *errors, detail = bench.measured(object(), kind, [crops])
    # Taking the coarse part off twice is not quite taking it off once, least of all on crops of two squares a side.
    assert max(errors) < 0.1
    assert abs(detail - 1) < 0.05


def test_both_are_taught_and_the_table_has_them(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for shard in (1, 2):
        make_shard(tmp_path, shard, frames=1, size=(32, 16))
    bench.main(["--data", str(tmp_path), "--steps", "3", "--channels", "8", "--crop", "32"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in lines] == ["predicts", "---", "x0", "velocity"]
    values = np.array([[float(cell) for cell in line.split("|")[2:-1]] for line in lines[2:]])
    assert values.shape == (2, 6)
    assert np.isfinite(values).all()
    assert (values[0] != values[1]).any()
