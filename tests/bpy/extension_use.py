"""Run by test_extension.py in a Python of its own: install the zip, use it, remove it; prints JSON.

    python extension_use.py ZIP FOLDER

The environment's own pyzmq and farplane are hidden: only what the zip brings can be imported.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ZIP, FOLDER = Path(sys.argv[1]), Path(sys.argv[2])
MODULE = "bl_ext.user_default.farplane"
TOLD = os.fdopen(os.dup(1), "w", encoding="utf-8")  # the command keeps standard output to itself
OWN = tuple(sys.path)  # as this Python starts: its site-packages among them


class Hide:
    """Finds `zmq` in the folders that Blender adds for an extension only, and `farplane` nowhere."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        if name == "farplane":
            raise ModuleNotFoundError(name)
        if name != "zmq":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, [p for p in sys.path if p not in OWN])
        if spec is None:
            raise ModuleNotFoundError("zmq is hidden", name=name)
        return spec


sys.meta_path.insert(0, Hide)  # type: ignore[arg-type]
os.environ["BLENDER_USER_RESOURCES"] = str(FOLDER / "resources")

import bpy  # noqa: E402

told: dict[str, Any] = {"blender": bpy.app.version_string, "python": sys.version.split()[0]}


def make_scene() -> Any:
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location = (0, 0, 10)
    mesh = bpy.data.meshes.new("Quad")
    mesh.from_pydata([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], [], [(0, 1, 2, 3)])
    paint = bpy.data.materials.new("Paint")  # so that there are base colours to read
    paint.use_nodes = True
    paint.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.6, 0.05, 0.05, 1)
    mesh.materials.append(paint)
    for obj in (camera, bpy.data.objects.new("Quad", mesh)):
        scene.collection.objects.link(obj)
    scene.camera = camera
    scene.frame_start, scene.frame_end = 3, 5
    scene.render.resolution_x, scene.render.resolution_y = 64, 36
    return scene


try:
    import zmq
except ModuleNotFoundError:
    told["zmq before"] = "hidden"

bpy.ops.extensions.package_install_files(filepath=str(ZIP), repo="user_default", enable_on_install=True)
installed = FOLDER / "resources" / "extensions" / "user_default" / "farplane"
told["files"] = sorted(p.relative_to(installed).as_posix() for p in installed.rglob("*") if p.is_file())
told["enabled"] = MODULE in bpy.context.preferences.addons
import zmq  # noqa: E402

told["zmq"] = Path(zmq.__file__).is_relative_to(FOLDER / "resources" / "extensions")
told["curve"] = zmq.has("curve")

# the command, on the scene that is open
scene = make_scene()
addon = importlib.import_module(f"{MODULE}.addon.command")
told["shot"] = addon.execute(["shot", "--out", str(FOLDER / "shot")])
told["shot files"] = sorted(path.name for path in (FOLDER / "shot").iterdir())

# the panel's way, to a backend that runs elsewhere; unsaved, so takes go to the extension's own folder
session = importlib.import_module(f"{MODULE}.addon.ui.session").session
panels = importlib.import_module(f"{MODULE}.addon.ui.panels")
preferences = bpy.context.preferences.addons[MODULE].preferences
preferences.author = "Ayu"
scene.farplane.prompt, scene.farplane.model_name = "plain dunes", "/painter"
bpy.ops.farplane.generate()
deadline = time.monotonic() + 240  # only ends a hang
while session.job is not None and time.monotonic() < deadline:
    panels.tick()
    time.sleep(0.02)
told["message"] = str(session.message)
take = session.takes[0]
told["in the extension's own folder"] = take.folder.is_relative_to(FOLDER / "resources")
bpy.ops.farplane.accept(folder=str(take.folder))
bpy.ops.farplane.land(folder=str(take.folder), kinds={"background", "projection", "compositor", "strip"})
landing = importlib.import_module(f"{MODULE}.addon.landing")
told["landed"] = list(landing.landed(scene)[0].kinds)
told["take"] = json.loads((take.folder / "take.json").read_text())
bpy.ops.farplane.remove(landing_id=landing.landed(scene)[0].id)

# away again, twice on and off first
sys.path.insert(0, str(Path(__file__).parent))
from traces import traces  # noqa: E402

bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
bpy.ops.preferences.addon_disable(module=MODULE)
clean = traces(MODULE)
for _ in range(2):
    bpy.ops.preferences.addon_enable(module=MODULE)
    bpy.ops.preferences.addon_disable(module=MODULE)
    now = traces(MODULE)
    told["left after disabling"] = {kind: [clean[kind], now[kind]] for kind in clean if clean[kind] != now[kind]}
assert not hasattr(bpy.types.Scene, "farplane")
assert not dir(bpy.ops.farplane)
bpy.ops.preferences.addon_enable(module=MODULE)
repos = bpy.context.preferences.extensions.repos
index = next(i for i, repo in enumerate(repos) if repo.module == "user_default")
bpy.ops.extensions.package_uninstall(repo_index=index, pkg_id="farplane")
told["gone"] = not installed.exists() and not hasattr(bpy.types.Scene, "farplane")
print("\nRESULT " + json.dumps(told), file=TOLD, flush=True)
