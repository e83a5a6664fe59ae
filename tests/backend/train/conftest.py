"""What several tests of the training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from farplane.backend.train.data import ClipStore, make_shard


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """A shard of real clips of one small frame each, with their large frames; each module has its own to write into."""
    folder: Path = tmp_path_factory.mktemp("shards")
    make_shard(folder, 1, frames=1, size=(32, 16))
    return ClipStore(folder)
