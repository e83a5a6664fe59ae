"""What the end-to-end tests share: a scene, an environment, `farplane` as a child process, and a look at what it left."""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

HERE = Path(__file__).parent
FRAMES = range(3, 7)
W, H = 192, 108
BOUND = 600.0  # seconds; only ends a hang

MAKE_SCENE = f"""
import bpy, sys
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.name = "Valley 010"
scene.frame_start, scene.frame_end = {FRAMES[0]}, {FRAMES[-1]}
scene.render.resolution_x, scene.render.resolution_y = {W}, {H}
scene.render.fps, scene.render.fps_base = 24, 1.001
camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
scene.collection.objects.link(camera)
scene.camera = camera
camera.rotation_euler = (1.45, 0, 0)
for frame, x in ((1, -0.6), (10, 0.6)):
    camera.location = (x, -8, 2)
    camera.keyframe_insert("location", frame=frame)
bpy.ops.mesh.primitive_plane_add(size=200)
ground = bpy.context.object
bpy.ops.mesh.primitive_cube_add(location=(-1.5, 2, 1))
bpy.ops.mesh.primitive_cube_add(location=(2, 4, 1.5), scale=(1, 1, 1.5))
bpy.ops.mesh.primitive_cube_add(location=(0, 0, 1))
bpy.context.object.hide_render = True
material = bpy.data.materials.new("Checks")
material.use_nodes = True
nodes, links = material.node_tree.nodes, material.node_tree.links
checks = nodes.new("ShaderNodeTexNoise")
checks.inputs["Scale"].default_value = 9.0
checks.inputs["Detail"].default_value = 4.0
ramp = nodes.new("ShaderNodeValToRGB")
ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[1].position = 0.4, 0.6
places = nodes.new("ShaderNodeNewGeometry")
links.new(places.outputs["Position"], checks.inputs["Vector"])
links.new(checks.outputs[0], ramp.inputs[0])
links.new(ramp.outputs[0], nodes["Principled BSDF"].inputs["Base Color"])
for block in bpy.data.objects:
    if block.type == "MESH":
        block.data.materials.append(material)
sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
sun.data.energy = 3
sun.rotation_euler = (0.7, 0.3, 0)
scene.collection.objects.link(sun)
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[-1], compress=False)
camera.data.type = "ORTHO"
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[-1].replace("valley", "ortho"), compress=False)
"""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with valley.blend (a camera that moves past boxes) and ortho.blend (the same, orthographic)."""
    folder = tmp_path_factory.mktemp("scenes")
    done = subprocess.run(
        [sys.executable, "-c", MAKE_SCENE, str(folder / "valley.blend")], capture_output=True, text=True, timeout=BOUND
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the worker finds the painted pipeline, and a models folder that says farplane-s is there."""
    folder = tmp_path_factory.mktemp("environment")
    (folder / "models" / "farplane-s").mkdir(parents=True)
    (folder / "models" / "farplane-s" / "config.json").write_text("{}")
    (folder / "tmp").mkdir()
    return {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "FARPLANE_MODELS": str(folder / "models"),
        "FARPLANE_CONFIG": str(folder / "config"),
        "TMPDIR": str(folder / "tmp"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }


ENDING = 10.0  # seconds: Python's resource tracker ends by itself when it sees that its parent has


def start(environment: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "farplane.backend.cli", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        # A shell's background jobs ignore Ctrl-C and so do their children; a person's terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def farplane(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    process = start(environment, *arguments)
    out, err = process.communicate(timeout=BOUND)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def refused(environment: dict[str, str], *arguments: object) -> str:
    """Run a command that must fail for the user's own mistake; return its one line."""
    done = farplane(environment, *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    return errors[0]


def assert_nothing_is_left(environment: dict[str, str]) -> None:
    """No temporary file and no process of a run remains."""
    files = [str(path) for path in Path(environment["TMPDIR"]).rglob("*")]
    # torch makes the folder of its compiler's cache, one for all processes of a user, when it is imported.
    assert not [path for path in files if not path.endswith(f"/torchinductor_{getpass.getuser()}")], files
    deadline = time.monotonic() + ENDING
    while (left := _running(environment["TMPDIR"])) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, left


def _running(marker: str) -> list[list[str]]:
    """Command lines of the processes whose temporary folder begins with `marker`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR", "").startswith(marker) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.cmdline())
        except psutil.Error:
            continue
    return found


def until_printed(process: subprocess.Popen[str], environment: dict[str, str], wanted: str) -> None:
    """Wait until the render of `process` has begun with what `wanted` names, seen in its worker's files."""
    deadline = time.monotonic() + BOUND
    while time.monotonic() < deadline:
        if any(Path(environment["TMPDIR"]).glob(wanted)):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"{wanted} never came")
