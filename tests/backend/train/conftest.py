"""What several tests of the training share."""

from __future__ import annotations

import importlib.util
import subprocess
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


@pytest.fixture
def in_two_processes(tmp_path: Path) -> Callable[[str], None]:
    """Runs a program under torchrun on the CPU, twice; it finds the tests' modules, and `tmp_path` as its argument."""

    def run(program: str) -> None:
        path = tmp_path / "both.py"
        path.write_text(f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n" + program)
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", str(path)]
        done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-2000:]

    return run
