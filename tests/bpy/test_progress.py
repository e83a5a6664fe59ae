"""One figure for everything that was asked for: it begins at 0 once, never goes back, and ends with the last file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")

from farplane.addon.ui import batch, estimate, generate, operators, panels, progress  # noqa: E402
from farplane.addon.ui.estimate import Record  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402


@pytest.fixture(autouse=True)
def fresh() -> None:
    progress._state = progress._State()


def watch(seen: list[tuple[float, str]]) -> None:
    found = progress.overall()
    if found is not None:
        seen.append((found.fraction, found.doing))


def test_one_take_from_its_first_frame_to_its_last_file(
    connected: Any, monkeypatch: pytest.MonkeyPatch, poll_until: Any
) -> None:
    connected.farplane.prompt = "steady hills"
    seen: list[tuple[float, str]] = []
    generation = generate.Generation(connected)
    monkeypatch.setattr(operators, "_generation", generation)
    while not generation.step():
        watch(seen)
    monkeypatch.setattr(operators, "_generation", None)
    poll_until(lambda: watch(seen) or not session.jobs)
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions), "it never goes back"
    assert fractions[0] < 0.05
    assert fractions[-1] > 0.7, "the painter does not measure"
    words = " ".join(dict.fromkeys(doing for _, doing in seen))
    for stage in ("Reading cameras", "Rendering depth", "Denoising", "Writing frames"):
        assert stage in words
    assert progress.overall() is None
    assert progress._state.asked == 0


def test_variations_are_one_whole(connected: Any, poll_until: Any) -> None:
    connected.farplane.prompt = "plain {a|b|c}"
    bpy.ops.farplane.variations()
    seen: list[tuple[float, str]] = []
    poll_until(lambda: watch(seen) or not (session.jobs or batch.active("variations")))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert any("take 1 of 3" in doing for _, doing in seen)
    assert any("take 3 of 3" in doing for _, doing in seen)
    poll_until(lambda: not session.disk.busy)
    assert [message.text for message in session.notices] in ([], ["3 of 3 takes are here"])


def test_a_take_that_has_come_is_told_once(connected: Any, monkeypatch: pytest.MonkeyPatch, poll_until: Any) -> None:
    """By an operator, since Blender shows what those report; in a window gui/test_layout.py shows it."""
    told: list[str] = []
    monkeypatch.setattr(operators, "tell_notices", lambda: told.extend(m.text for m in session.notices))
    monkeypatch.setattr(panels.operators, "tell_notices", operators.tell_notices)
    bpy.ops.farplane.generate()
    poll_until(lambda: session.job is None)
    assert set(told) == {"take 001 is here"}


def test_what_each_stage_took_is_learned(connected: Any, poll_until: Any) -> None:
    connected.farplane.prompt = "steady hills"  # 0.2 s a frame
    bpy.ops.farplane.generate()
    poll_until(lambda: session.job is None)
    stages = estimate.history()[-1].stages
    assert stages["reading"] > 0
    assert stages["write"] > 0.2
    shares = progress._shares()
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["write"] > progress.SHARES["write"], "the painter's way is mostly writing"


def test_the_time_left_is_the_histories_first_and_then_its_own(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record("", "small", 100, 3, 4, 0.0)
    monkeypatch.setattr(estimate, "_history", [Record("", "small", 100, 3, 4, 100.0)])
    monkeypatch.setattr(progress, "_expected", lambda: estimate.estimate(estimate.history(), record).seconds)
    progress._state = progress._State(began=1000.0, asked=1, most=0.0)
    assert progress._left(1000.0) == pytest.approx(100)
    progress._state.most = 0.5
    assert progress._left(1050.0) == pytest.approx(50), "as foreseen"
    assert 50 < progress._left(1100.0) < 100, "twice as slow so far"
    monkeypatch.setattr(progress, "_expected", lambda: None)
    assert progress._left(1100.0) == pytest.approx(100), "without a history, by what it took so far"
    progress._state.most = 0.01
    assert progress._left(1100.0) is None, "too early to tell"


def test_an_older_history_is_read(tmp_path: Path) -> None:
    path = tmp_path / "takes.json"
    old = '{"backend": "", "model": "x", "pixels": 4, "frames": 2, "steps": 3, "seconds": 5.0'
    path.write_text(f'[{old}}}, {old}, "stages": {{"write": "long"}}}}, {old}, "stages": {{"write": 2.0}}}}]')
    assert [row.stages for row in estimate._read(path)] == [{}, {"write": 2.0}]
