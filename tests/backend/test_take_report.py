"""The closing tables: figures beside the render's own, refusals with their reason, sequences as one line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from farplane.backend.take_report import files_table, lock_table, read_report, show_notes


def printed(table: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(table)
    return out.getvalue()


def lock(k: int, median: float | None, **values: Any) -> dict[str, Any]:
    base = {"k": k, "median": median, "p95": median and 3 * median, "share": 0.25, "possible": 9, "reason": None}
    return base | {"matches": 0.456, "match_count": 77} | values


def test_the_plate_beside_the_render() -> None:
    report = {"name": "S", "plate": {"lock": [lock(1, 1.234), lock(8, 2.0)]}, "reference": {"lock": [lock(1, 0.05)]}}
    rows = [line for line in printed(lock_table(report)).splitlines() if line.startswith("│")]
    assert len(rows) == 2
    cells = [cell.strip() for cell in rows[0].strip("│").split("│")]
    assert cells == ["1", "1.23", "3.70", "25%", "0.46 (77)", "0.05"]
    assert rows[1].strip("│ ").endswith("–"), "no render to compare with at 8 frames apart"


def test_where_the_plate_lands_is_told_below_the_table() -> None:
    placed = {"resolution": [1920, 1080], "lens": {"median": 4.21, "worst": 8.57}, "picture": None, "pixel": 4.2857}
    text = " ".join(printed(lock_table({"plate": {"lock": [lock(1, 0.5)]}, "registration": placed})).split())
    assert "In the scene's frame (1920 x 1080, a pixel of the plate is 4.29)" in text
    assert "the camera 4.21 px off in the median, 8.57 px at the worst." in text
    for older in (None, {}, 3, {"lens": 3, "picture": None}, {"resolution": [1], "lens": None, "picture": None}):
        assert "scene's frame" not in printed(lock_table({"plate": {"lock": [lock(1, 0.5)]}, "registration": older}))


def test_a_refused_figure_says_why_and_never_reads_zero() -> None:
    reason = "only 7% of the surface shows enough detail"
    text = printed(lock_table({"plate": {"lock": [lock(1, None, reason=reason, share=0.0, matches=None)]}}))
    row = next(line for line in text.splitlines() if line.startswith("│"))
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["1", "–", "–", "0%", "–", "–"]
    assert reason in text


def test_what_the_shot_is_too_short_for_has_no_row() -> None:
    text = printed(lock_table({"plate": {"lock": [lock(1, 0.5), lock(8, None, possible=0, reason="short")]}}))
    assert len([line for line in text.splitlines() if line.startswith("│")]) == 1
    assert "short" not in text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"plate": 3}', '{"plate": {"lock": [1]}}'])
def test_a_report_that_is_none_does_not_break_the_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    assert "Camera lock" in printed(lock_table(read_report(tmp_path)))
    assert read_report(tmp_path / "absent") == {}


def test_notes_are_lines_of_their_own() -> None:
    out = io.StringIO()
    long = "camera: 8 mm in frames [1-9] " + "is outside " * 20
    show_notes({"notes": ["not in this model's vocabulary: dragons", long]}, Console(file=out, width=60))
    assert out.getvalue().splitlines() == ["note: not in this model's vocabulary: dragons", f"note: {long}"]


@pytest.mark.parametrize("report", [{}, {"notes": []}, {"notes": "text"}, {"notes": None}])
def test_no_notes_are_no_lines(report: dict[str, Any]) -> None:
    out = io.StringIO()
    show_notes(report, Console(file=out, width=60))
    assert out.getvalue() == ""


def test_sequences_are_one_line(tmp_path: Path) -> None:
    for frame in range(1, 12):
        (tmp_path / f"plate.{frame:04d}.exr").write_bytes(bytes(100_000))
    (tmp_path / "report.json").write_bytes(bytes(1500))
    text = printed(files_table(tmp_path))
    assert "plate.0001.exr … plate.0011.exr" in text
    assert "1.1 MB" in text
    assert "1.5 kB" in text
    assert "depth" not in text
