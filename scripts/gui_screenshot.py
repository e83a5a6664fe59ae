"""Drive Farplane's panel in the real GUI Blender and take its pictures.

    python scripts/gui_screenshot.py [OUT [MODEL]]        default: out/gui

Needs root (scripts/gui_root.sh makes a Debian folder with Blender 4.3 in it).  The extension's zip is built and
installed there; the backend runs on this side, with tests/gui/fog.py in the model's place unless MODEL names one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SCREEN = "1280x800x24"
FOG = "/fog"  # no model of the backend's: tests/gui/fog.py
SECONDS = 1800  # only ends a hang


def load_build_zip() -> Any:
    """The zip builder beside this script."""
    spec = importlib.util.spec_from_file_location("build_zip", ROOT / "scripts" / "build_zip.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blender(root: Path, *arguments: str, display: str = "", **environment: str) -> None:
    """Run the folder's Blender; with a virtual display of this size if asked."""
    env = ["env", "LIBGL_ALWAYS_SOFTWARE=1", "HOME=/tmp", *(f"{key}={value}" for key, value in environment.items())]
    screen = ["xvfb-run", "-a", "-s", f"-screen 0 {display}"] if display else []
    command = ["nice", "-n", "5", "chroot", str(root), *env, *screen, "blender", *arguments]
    subprocess.run(command, check=True, timeout=SECONDS, stdout=subprocess.DEVNULL)


def drive(out: Path, model: str = FOG, script: str = "drive.py", screen: str = SCREEN) -> dict[str, Any]:
    """Do the whole tour; pictures and result.json lie in `out`.  Returns what the driver told.

    script : the driver, a file of tests/gui.  screen : width x height x bits of a pixel.
    """
    from farplane.backend.private import private_backend

    root = Path(
        subprocess.run([ROOT / "scripts" / "gui_root.sh"], check=True, capture_output=True, text=True).stdout.strip()
    )
    inside = Path("/tmp/farplane-tour") / Path(script).stem  # as Blender sees it
    folder = root / inside.relative_to("/")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(load_build_zip().build("cp312-abi3", folder), folder / "farplane.zip")
    shutil.copy(ROOT / "examples" / "make_examples.py", folder)
    for name in {"stage.py", "drive.py", script}:
        shutil.copy(ROOT / "tests" / "gui" / name, folder)
    build = "import sys; sys.path.insert(0, '{0}'); import bpy, make_examples; make_examples.valley_dolly(); "
    build += "bpy.ops.wm.save_as_mainfile(filepath='{0}/scene.blend')"
    blender(root, "--background", "--factory-startup", "--python-exit-code", "1", "--python-expr", build.format(inside))

    os.environ["PYTHONPATH"] = str(ROOT / "tests" / "gui")
    with private_backend("fog:paint" if model == FOG else "") as backend:
        backend.published()
        shutil.copytree(backend.config, folder / "config")  # the keys: two folders, one user
        clients = backend.config / "clients"
        shutil.rmtree(clients, ignore_errors=True)
        clients.symlink_to(folder / "config" / "clients")  # who is let in is read anew for each connection
        (folder / "config" / "clients").mkdir(exist_ok=True)
        blender(
            root,
            "--factory-startup",
            "--enable-event-simulate",
            *("-p", "0", "0", *screen.split("x")[:2]),
            *("--python", f"{inside}/{script}", "--", str(inside), model),
            display=screen,
            FARPLANE_CONFIG=f"{inside}/config",
            BLENDER_USER_RESOURCES=f"{inside}/resources",
        )
    out.mkdir(parents=True, exist_ok=True)
    for path in [*folder.glob("*.png"), folder / "result.json"]:
        if path.exists():
            shutil.copy(path, out / path.name)
    return json.loads((out / "result.json").read_text())


def main() -> int:
    """Run the tour and print what came of it; return the exit code."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "out" / "gui"
    told = drive(out, *sys.argv[2:3])
    print(json.dumps(told, indent=1))
    print(out)
    return 0 if told.get("done") else 1


if __name__ == "__main__":
    sys.exit(main())
