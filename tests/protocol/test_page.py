"""docs/protocol.md says what the code does: its tables are the code's, its client runs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import page


def test_the_tables_are_the_codes_own() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.filled(text) == text, "run: python tests/protocol/page.py"
