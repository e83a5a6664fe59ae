"""Runs addon/command.py in a Blender that has no Farplane installed:

    blender --background --factory-startup --python addon/bootstrap.py -- SCENE.blend shot --out DIR

The folder above this one is the package, whatever its name; here it becomes `farplane`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path


def load_package() -> None:
    """Make `farplane` importable from this file's own tree, unless it is already."""
    if importlib.util.find_spec("farplane") is not None:
        return
    root = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location(
        "farplane", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["farplane"] = module
    spec.loader.exec_module(module)


def borrow_pyzmq() -> None:
    """Where this Python has no pyzmq, look last of all in the folder of the parent's."""
    folder = os.environ.get("FARPLANE_PYZMQ", "")
    if folder and importlib.util.find_spec("zmq") is None:
        sys.path.append(folder)


if __name__ == "__main__":
    load_package()
    borrow_pyzmq()
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    sys.exit(importlib.import_module("farplane.addon.command").main(arguments))
