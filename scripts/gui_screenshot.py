"""Drive Farplane's panel in the real GUI Blender and take its pictures.

    python scripts/gui_screenshot.py [OUT [MODEL [SUITE]]]        default: out/gui/SUITE farplane-s trixie

Needs root: scripts/gui_root.sh makes a Debian folder with Blender 4.3 (SUITE trixie) or 5.2 (sid) in it.  The
extension's zip is built and installed there; the backend runs on this side.  As MODEL, /fog is tests/gui/fog.py.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DRIVERS = ROOT / "tests" / "gui"
SCREEN = "1280x800x24"
MODEL = "farplane-s"
FOG = "/fog"  # no model of the backend's: tests/gui/fog.py
SECONDS = 1800  # only ends a hang


class NoRoot(Exception):
    """The folder with the GUI Blender cannot be made here; says why."""


def load_build_zip() -> Any:
    """The zip builder beside this script."""
    spec = importlib.util.spec_from_file_location("build_zip", ROOT / "scripts" / "build_zip.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def gui_root(suite: str = "trixie") -> Path:
    """The Debian folder with the GUI Blender, made if need be.  Raises NoRoot."""
    made = subprocess.run([ROOT / "scripts" / "gui_root.sh", suite], capture_output=True, text=True)
    if made.returncode != 0:
        said = [line for line in made.stderr.splitlines() if line.strip()]
        raise NoRoot(next((line for line in reversed(said) if line.startswith("gui_root:")), (said or ["?"])[-1]))
    return Path(made.stdout.strip())


def blender(root: Path, *arguments: str, display: str = "", **environment: str) -> None:
    """Run the folder's Blender; with a virtual display of this size if asked."""
    env = ["env", "LIBGL_ALWAYS_SOFTWARE=1", "HOME=/tmp", *(f"{key}={value}" for key, value in environment.items())]
    screen = ["xvfb-run", "-a", "-s", f"-screen 0 {display}"] if display else []
    # 5.2 takes Vulkan by itself, which this display does not have
    command = ["chroot", str(root), *env, *screen, "blender", "--gpu-backend", "opengl", *arguments]
    subprocess.run(command, check=True, timeout=SECONDS, stdout=subprocess.DEVNULL)


def install(root: Path, name: str, files: Iterable[Path]) -> tuple[Path, Path]:
    """A fresh folder with the zip and `files`: where it lies here, and where the folder's programs see it."""
    inside = Path("/tmp/farplane-tour") / name
    folder = root / inside.relative_to("/")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(load_build_zip().build("cp312-abi3", folder), folder / "farplane.zip")
    for path in files:
        shutil.copy(path, folder)
    return folder, inside


def show(root: Path, inside: Path, script: str, screen: str, *arguments: str, options: Iterable[str] = ()) -> None:
    """Run a driver in the GUI Blender, alone on a screen of its own.

    arguments : the driver's, after its folder.  options : Blender's.
    """
    blender(
        root,
        "--factory-startup",
        *options,
        *("-p", "0", "0", *screen.split("x")[:2]),
        *("--python", f"{inside}/{script}", "--", str(inside), *arguments),
        display=screen,
        FARPLANE_CONFIG=f"{inside}/config",
        BLENDER_USER_RESOURCES=f"{inside}/resources",
    )


def keep(folder: Path, out: Path) -> dict[str, Any]:
    """Pictures, figures and plates of a tour go to `out`; return what the driver told."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "error.png").unlink(missing_ok=True)  # of an earlier tour
    for pattern in ("*.png", "*.json", "*.exr"):
        for path in folder.glob(pattern):
            shutil.copy(path, out / path.name)
    return json.loads((out / "result.json").read_text())


def drive(
    out: Path, model: str = MODEL, script: str = "drive.py", screen: str = SCREEN, suite: str = "trixie"
) -> dict[str, Any]:
    """Do the whole tour against a backend; pictures and result.json lie in `out`.  Returns what the driver told.

    script : the driver, a file of tests/gui.  screen : width x height x bits of a pixel.  Raises NoRoot.
    """
    from farplane.backend.private import private_backend

    root = gui_root(suite)
    files = {DRIVERS / name for name in ("stage.py", "pulse.py", "drive.py", script)}
    folder, inside = install(root, Path(script).stem, [*files, ROOT / "examples" / "make_examples.py"])
    build = "import sys; sys.path.insert(0, '{0}'); import bpy, make_examples; make_examples.valley_dolly(); "
    build += "bpy.ops.wm.save_as_mainfile(filepath='{0}/scene.blend')"
    blender(root, "--background", "--factory-startup", "--python-exit-code", "1", "--python-expr", build.format(inside))

    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(part for part in (before, str(DRIVERS)) if part)  # where fog.py is
    try:
        with private_backend("fog:paint" if model == FOG else "") as backend:
            backend.published()
            (backend.config / "models.txt").write_text(f"{FOG}\n")  # the window's key is not the backend's own user's
            shutil.copytree(backend.config, folder / "config")  # the keys: two folders, one user
            clients = backend.config / "clients"
            shutil.rmtree(clients, ignore_errors=True)
            clients.symlink_to(folder / "config" / "clients")  # who is let in is read anew for each connection
            (folder / "config" / "clients").mkdir(exist_ok=True)
            (folder / "backend.pid").write_text(str(backend.process.pid))  # for a driver that ends it
            show(root, inside, script, screen, model, options=["--enable-event-simulate"])
    finally:
        os.environ["PYTHONPATH"] = before
    return keep(folder, out)


def main() -> int:
    """Run the tour and print what came of it; return the exit code."""
    suite = sys.argv[3] if len(sys.argv) > 3 else "trixie"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "out" / "gui" / suite
    told = drive(out, *sys.argv[2:3], suite=suite)
    print(json.dumps(told, indent=1))
    print(out)
    return 0 if told.get("done") else 1


if __name__ == "__main__":
    sys.exit(main())
