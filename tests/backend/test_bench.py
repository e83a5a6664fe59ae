"""The bench: medians without the first run, figures as plain JSON.  Times here only have a lower bound (sleeps)."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from farplane.backend import bench
from farplane.backend.pipeline.exr import encode_depth
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import CameraTrack, DepthPass, Prompt, Shot
from farplane.protocol.shotfile import depth_name, shot_to_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `farplane shot` writes: 3 frames of 34 x 32, no prompt."""
    K = np.tile(np.array([[30.0, 0, 17], [0, 30.0, 16], [0, 0, 1]]), (3, 1, 1))
    track = CameraTrack(K, np.tile(np.eye(4), (3, 1, 1)))
    z = np.full((3, 32, 34), 5.0, np.float32)
    shot = Shot("S", (1, 2, 3), (34, 32), Fraction(24), track, DepthPass(z, 1.0, 9.0), Prompt(""))
    names = {frame: depth_name(frame) for frame in shot.frames}
    (tmp_path / "shot.json").write_text(json.dumps(shot_to_json(shot, names)))
    for index, name in enumerate(names.values()):
        (tmp_path / name).write_bytes(encode_depth(z[index]))
    return tmp_path


def test_figures(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "cli_pipeline"))
    out = folder / "new" / "figures.json"
    assert bench.main([str(folder), "--runs", "3", "--pipeline", "counted:run_job", "--json", str(out)]) == 0
    import counted  # type: ignore[import-not-found]

    assert len(set(counted.runs)) == 4, "a warm-up and three runs, each a job of its own"
    figures = json.loads(out.read_text())
    assert (figures["resolution"], figures["frames"], figures["runs"]) == ([34, 32], 3, 3)
    assert figures["bytes"] == 3 * 5 + 2
    assert figures["first_run_s"] >= 0.2
    assert figures["stages"]["denoise"] >= 0.02
    assert figures["stages"]["write"] >= 0.01
    assert figures["peak_memory_mb"] > 10
    printed = capsys.readouterr().out
    assert "denoise" in printed
    assert f"{figures['median_s']:.2f}" in printed


def test_a_baseline_turns_seconds_into_ratios(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "cli_pipeline"))
    first, second = folder / "first.json", folder / "second.json"
    common = [str(folder), "--runs", "1", "--pipeline", "counted:run_job"]
    assert bench.main([*common, "--json", str(first)]) == 0
    assert "baseline" not in capsys.readouterr().out
    old = json.loads(first.read_text())
    old |= {"median_s": 1000.0, "resolution": [34, 30], "stages": {"denoise": 500.0, "gone": 3.0}}
    first.write_text(json.dumps(old))
    assert bench.main([*common, "--against", str(first), "--json", str(second)]) == 0
    figures = json.loads(second.read_text())
    against = figures["against"]
    assert against["median"] == pytest.approx(figures["median_s"] / 1000)
    assert against["stages"] == {"denoise": pytest.approx(figures["stages"]["denoise"] / 500)}
    assert against["differs"] == ["resolution"]
    printed = " ".join(capsys.readouterr().out.split())
    assert "the baseline is of another resolution" in printed
    assert "0.00 x" in printed


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"stages": 3, "median_s": 1}', '{"stages": {}, "median_s": 0}']
)
def test_a_baseline_that_is_none(folder: Path, text: str | None) -> None:
    path = folder / "old.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(FarplaneError, match="baseline"):
        bench.main([str(folder), "--against", str(path)])


@pytest.mark.parametrize("arguments", [["--steps", "5000"], ["--prompt", " "]])
def test_mistakes(folder: Path, arguments: list[str]) -> None:
    with pytest.raises(FarplaneError):
        bench.main([str(folder), *arguments])


def test_figures_that_cannot_be_written_are_told_before_any_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "measure", lambda *_: pytest.fail("work began"))
    (folder / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        bench.main([str(folder), "--pipeline", "counted:run_job", "--json", str(folder / "file" / "figures.json")])
