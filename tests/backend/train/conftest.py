"""What several tests of the training share."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from farplane.backend.train.data import ClipStore, make_shard

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture(scope="module")
def script() -> Callable[[str], ModuleType]:
    """Loads a script of the scripts folder by its name, as a module."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        with pytest.MonkeyPatch.context() as patched:
            patched.setitem(sys.modules, name, module)  # where dataclasses look their module up
            spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """A shard of real clips of one small frame each, with their large frames; each module has its own to write into."""
    folder: Path = tmp_path_factory.mktemp("shards")
    make_shard(folder, 1, frames=1, size=(32, 16))
    return ClipStore(folder)
