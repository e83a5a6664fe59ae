"""`blender -b shot.blend -c farplane …` in a real Blender program with the installed zip (`make test-gui`).

The bpy module has no command line of its own, and this way has traps of its own: no window, signal handlers of C.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
INSTALL = """
import bpy, sys
bpy.ops.extensions.package_install_files(filepath=sys.argv[-1], repo="user_default", enable_on_install=True)
bpy.ops.wm.save_userpref()
bpy.context.scene.frame_end = 4
bpy.context.scene.render.resolution_x, bpy.context.scene.render.resolution_y = 64, 48
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[-2])
"""

pytestmark = pytest.mark.gui
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(root: Path) -> Iterator[Path]:
    """A folder in the Debian tree, as the tree's own programs do not see ours."""
    made = Path(tempfile.mkdtemp(dir=root / "tmp", prefix="farplane-cli-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def blender(folder: Path) -> Run:
    root, inside = folder.parent.parent, Path("/tmp") / folder.name
    subprocess.run([sys.executable, ROOT / "scripts" / "build_zip.py", "--out", folder, "cp312-abi3"], check=True)
    (folder / "install.py").write_text(INSTALL)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = [f"HOME={inside}", f"BLENDER_USER_RESOURCES={inside}/user"]
        words = [argument.replace("HERE", str(inside)) for argument in arguments]
        return subprocess.run(
            ["chroot", str(root), "env", *environment, "blender", "--background", *words],
            capture_output=True,
            text=True,
            timeout=300,
        )

    (package,) = folder.glob("*.zip")
    done = run("--python", "HERE/install.py", "--", "HERE/scene.blend", f"HERE/{package.name}")
    assert (folder / "scene.blend").is_file(), done.stdout + done.stderr
    return run


def test_shot(blender: Run, folder: Path) -> None:
    done = blender("HERE/scene.blend", "--command", "farplane", "shot", "--json", "--out", "HERE/out")
    assert done.returncode == 0, done.stdout + done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]  # nothing else is on standard output
    assert told[-1]["event"] == "result"
    assert sorted(os.listdir(folder / "out")) == [f"depth.{n:04d}.exr" for n in range(1, 5)] + ["shot.json"]


def test_a_mistake(blender: Run, folder: Path) -> None:
    done = blender(
        "HERE/scene.blend", "--command", "farplane", "render", "--json", "--prompt", "fog", "--out", "HERE/none"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["event"], told["field"]) == ("error", "backend")
    assert not (folder / "none").exists()
