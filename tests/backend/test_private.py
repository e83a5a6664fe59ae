"""A backend for one render, where the folder for temporary files has no room."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from farplane.backend import private
from farplane.protocol.errors import FarplaneError


def test_a_full_folder_for_temporary_files_is_words_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(private, "MIN_FREE_BYTES", 1 << 60)  # no disk has as much
    with pytest.raises(FarplaneError) as caught, private.private_backend():
        pass
    assert caught.value.field == "disk"
    assert str(tmp_path) in caught.value.problem
    assert "TMPDIR" in caught.value.remedy
    assert not list(tmp_path.iterdir())


def test_a_folder_for_temporary_files_that_is_not_there_is_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(FarplaneError, match="temporary files cannot be written"), private.private_backend():
        pass
