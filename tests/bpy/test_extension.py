"""The extension zip: what it holds, and its whole life in bpy 4.2, 4.5, 5.0 (Python 3.11) and 5.2 (Python 3.13)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")

from farplane.backend.private import PrivateBackend  # noqa: E402

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PAINTER = HERE.parent / "backend" / "service"

spec = importlib.util.spec_from_file_location("build_zip", ROOT / "scripts" / "build_zip.py")
assert spec is not None
assert spec.loader is not None
build_zip = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build_zip)


@pytest.fixture(scope="module")
def zips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both zips, by Blender's own builder; its `validate` runs inside."""
    out = tmp_path_factory.mktemp("dist")
    return {python: build_zip.build(python, out) for python in build_zip.WHEELS}


def names(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as file:
        return set(file.namelist())


@pytest.mark.parametrize("python", list(build_zip.WHEELS))
def test_the_zip_holds_the_add_on_and_nothing_else(zips: dict[str, Path], python: str) -> None:
    held = names(zips[python])
    assert {"__init__.py", "blender_manifest.toml", "LICENSE", "addon/registration.py", "protocol/shot.py"} <= held
    assert {"addon/ui/panels.py", "addon/landing/compositor.py"} <= held, "no folder ships empty"
    tops = {name.split("/")[0] for name in held}
    assert tops == {"__init__.py", "blender_manifest.toml", "LICENSE", "addon", "protocol", "wheels"}
    wheels = {name for name in held if name.startswith("wheels/")}
    tag = python.split("-")[0]
    assert all(name.startswith(f"wheels/pyzmq-{build_zip.PYZMQ}-{tag}-") for name in wheels)
    assert [any(part in name for name in wheels) for part in ("linux", "win_amd64", "macosx")] == [True] * 3
    assert not any(name.endswith(".pyc") or "test" in name for name in held)
    # every module of the two rooms, as git knows them: nothing forgotten
    listed = subprocess.run(
        ["git", "ls-files", "--", "addon", "protocol"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    if listed:
        assert {name for name in listed if name.endswith(".py")} - {"addon/bootstrap.py"} <= held


@pytest.mark.parametrize("python", list(build_zip.WHEELS))
def test_the_manifest_names_its_wheels_and_reasons(zips: dict[str, Path], python: str) -> None:
    with zipfile.ZipFile(zips[python]) as file:
        manifest = tomllib.loads(file.read("blender_manifest.toml").decode())
    assert (manifest["id"], manifest["blender_version_min"]) == ("farplane", "4.2.0")
    assert {f"./{name}" for name in names(zips[python]) if name.startswith("wheels/")} == set(manifest["wheels"])
    assert set(manifest["permissions"]) == {"network", "files"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert manifest["version"] == project["version"]
    assert [f"SPDX:{project['license']}"] == manifest["license"]


def test_a_stray_file_in_the_zip_ends_the_build(zips: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "stray.zip"
    path.write_bytes(zips["cp311"].read_bytes())
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("backend/cli.py", "")
    wheels = [Path(name) for name in names(path) if name.startswith("wheels/")]
    with pytest.raises(SystemExit, match=r"backend/cli\.py"):
        build_zip.check_listing(path, wheels)
    assert not path.exists()


@pytest.mark.parametrize("python", list(build_zip.WHEELS))
def test_blenders_own_validate_passes(zips: dict[str, Path], python: str) -> None:
    command = [sys.executable, str(build_zip.builder()), "validate", str(zips[python])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "error" not in (done.stdout + done.stderr).lower()


def test_the_zip_needs_no_code_outside_itself() -> None:
    """Blender's platform rules: no pip, no change of sys.path; and no import of ours by its absolute name."""
    for name in build_zip.shipped():
        if name.endswith(".py"):
            text = (ROOT / name).read_text()
            assert "sys.path" not in text, name
            assert "import farplane" not in text, name
            assert "from farplane" not in text, name


# Blender -> which zip it takes, the environment beside the repository's own that holds it, and a variable that names
# another Python for it.
BLENDERS = {
    "4.2": ("cp311", ".venv-42", "FARPLANE_BPY42"),
    "4.5": ("cp311", ".venv-45", "FARPLANE_BPY45"),
    "5.0": ("cp311", ".venv", "FARPLANE_BPY50"),
    "5.2": ("cp312-abi3", ".venv-313", "FARPLANE_PY313"),
}


def python_of(blender: str, *modules: str) -> str:
    """A Python with that bpy and `modules`; skips the test where there is none."""
    _, folder, variable = BLENDERS[blender]
    if bpy.app.version_string.startswith(f"{blender}."):
        return sys.executable
    chosen = os.environ.get(variable, str(ROOT / folder / "bin" / "python"))
    probe = (
        "import sys, importlib.metadata as m, importlib.util as u; "
        f"sys.exit(not m.version('bpy').startswith('{blender}.') or not all(u.find_spec(n) for n in {modules!r}))"
    )
    if not Path(chosen).exists() or subprocess.run([chosen, "-c", probe], capture_output=True).returncode:
        wanted = " and ".join([f"bpy {blender}", *modules])
        pytest.skip(f"no Python with {wanted}: `make setup` makes {folder} where it can, or set {variable}")
    return chosen


@pytest.mark.parametrize("blender", list(BLENDERS))
def test_installed_enabled_used_and_removed(
    zips: dict[str, Path], backend: PrivateBackend, tmp_path: Path, blender: str
) -> None:
    python = BLENDERS[blender][0]
    interpreter = python_of(blender)
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSTARTUP")}
    environment |= {"FARPLANE_CONFIG": str(backend.config), "HOME": str(tmp_path)}
    done = subprocess.run(
        [interpreter, str(HERE / "extension_use.py"), str(zips[python]), str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stdout[-3000:] + done.stderr[-3000:]
    told = json.loads(lines[0].removeprefix("RESULT "))
    assert told["blender"].startswith(f"{blender}.")
    assert told["zmq before"] == "hidden"
    assert told["enabled"]
    assert told["zmq"], "pyzmq comes from the zip"
    assert told["curve"]
    assert told["shot"] == 0
    passes = [f"{stem}.{n:04d}.{kind}" for stem, kind in (("base_colour", "png"), ("depth", "exr")) for n in (3, 4, 5)]
    assert told["shot files"] == [*passes, "shot.json"]
    assert "take 001 is here" in told["message"]
    assert told["in the extension's own folder"]
    assert told["landed"] == ["background", "projection", "compositor", "strip"]
    assert (told["take"]["state"], told["take"]["author"]) == ("accepted", "Ayu")
    assert told["left after disabling"] == {}
    assert told["gone"]
    shipped = {name for name in told["files"] if not name.endswith(".pyc")}
    assert shipped - names(zips[python]) <= {"wheels"}


PARTS_ELSEWHERE = (
    "landing",
    "landing_life",
    "projection",
    "bake",
    "undo",
    "faults",
    "threads",
    "base_colour",
    "scope",
    "missing",
    "what_renders",
    "volumes",
    "missing_images",
    "notes",
)


@pytest.mark.parametrize(
    "blender", [pytest.param("4.2", marks=pytest.mark.slow), pytest.param("4.5", marks=pytest.mark.slow), "5.2"]
)
def test_landing_and_undo_in_the_other_blenders(tmp_path: Path, blender: str) -> None:
    """The own tests of the parts that Blender changes most under."""
    interpreter = python_of(blender, "pytest", "OpenEXR")
    (tmp_path / "farplane").symlink_to(ROOT)
    command = [
        interpreter,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
        "-c",
        str(ROOT / "pyproject.toml"),
    ]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*command, "--rootdir", str(ROOT), *(str(HERE / f"test_{part}.py") for part in PARTS_ELSEWHERE)],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
