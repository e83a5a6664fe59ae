"""Build the Blender extension: one zip per Python, by Blender's own builder, pyzmq the only wheel.

    python scripts/build_zip.py [--out DIR] [cp311] [cp312-abi3]

The builder is a part of the bpy module, so bpy must be installed.  The wheels come from the package index by pip,
unmodified and held to the hashes below; they wait in .cache/wheels and are never committed.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "wheels"
PYZMQ = "27.3.0"

# pip's platform tag -> SHA-256.  One row per Python: Blender takes from a zip the wheel that fits its machine.
WHEELS = {
    "cp311": {  # Blender 4.2 to 5.0
        "manylinux_2_28_x86_64": "477b8ad30d66fc905c5388351e83b9ac25824b00e82c0d052b72ea6392636dfd",
        "win_amd64": "df98c790f86b6aa2378b4bb94dec7b85b0adb195b880b41e429a4990aed2a8c9",
        "macosx_10_15_universal2": "86fb4408797aabb54a31e147176ae0f2474d99f1715a36a4564089eca9ef9ce8",
    },
    "cp312-abi3": {  # Blender 5.1 and later, and Linux distributions' own builds
        "manylinux_2_28_x86_64": "858fe25231e0fd8612da142efde019faa5ef63fa150a821a27870e791b38c798",
        "win_amd64": "3ea8e8fa5c097e68fef91d70b150fda96f307758103868018fc4deeb9c214122",
        "macosx_10_15_universal2": "15155fd8f308d3bd47f67a8f6cc809f9db90abbf63c514c384a17622e2cf080f",
    },
}
# What ships: the door, the add-on, the protocol.  addon/bootstrap.py is for a Blender without the extension.
FILES = ("__init__.py", "LICENSE", "blender_manifest.toml")
FOLDERS = ("addon", "protocol")
LEFT_OUT = {"addon/bootstrap.py"}


def main() -> int:
    """Build the zips that were asked for, all of them by default; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR")
    parser.add_argument("pythons", nargs="*", metavar="|".join(WHEELS))
    options = parser.parse_args()
    for python in options.pythons or WHEELS:
        if python not in WHEELS:
            parser.error(f"{python} is none of {', '.join(WHEELS)}")
        print(build(python, options.out))
    return 0


def build(python: str, out: Path) -> Path:
    """Build the zip for one row of WHEELS into `out` and return its path."""
    wheels = [fetch_wheel(python, platform, digest) for platform, digest in WHEELS[python].items()]
    with tempfile.TemporaryDirectory(prefix="farplane-zip-") as scratch:
        source = Path(scratch) / "farplane"
        stage(source, wheels)
        out.mkdir(parents=True, exist_ok=True)
        target = out / f"farplane-{version()}-{python}.zip"
        run_builder("build", "--source-dir", str(source), "--output-filepath", str(target))
        run_builder("validate", str(target))
    check_listing(target, wheels)
    return target


def version() -> str:
    """The version in the manifest."""
    return tomllib.loads((ROOT / "blender_manifest.toml").read_text())["version"]


def shipped() -> list[str]:
    """The repository's files that a zip holds, wheels aside, relative and with forward slashes."""
    modules = [path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return sorted({*FILES, *modules} - LEFT_OUT)


def stage(source: Path, wheels: list[Path]) -> None:
    """Lay out exactly what ships in a folder of its own: the builder takes whatever lies there."""
    for name in shipped():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    (source / "wheels").mkdir()
    for wheel in wheels:
        shutil.copyfile(wheel, source / "wheels" / wheel.name)
    manifest = source / "blender_manifest.toml"
    lines = "".join(f'  "./wheels/{wheel.name}",\n' for wheel in wheels)
    text = manifest.read_text()
    manifest.write_text(re.sub(r"(?m)^# `wheels`.*\n", lambda match: f"wheels = [\n{lines}]\n", text, count=1))


def fetch_wheel(python: str, platform: str, digest: str) -> Path:
    """Return pyzmq's wheel, downloaded once; pip refuses it unless its SHA-256 is `digest`."""
    interpreter, _, abi = python.partition("-")
    folder = CACHE / f"{python}-{platform}"
    found = sorted(folder.glob("*.whl"))
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as pinned:
            pinned.write(f"pyzmq=={PYZMQ} --hash=sha256:{digest}\n")
            pinned.flush()
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            command += ["--require-hashes", "--implementation", "cp", "--python-version", interpreter[2:]]
            command += ["--abi", abi or interpreter, "--platform", platform, "--dest", str(folder)]
            subprocess.run([*command, "--requirement", pinned.name], check=True)
        found = sorted(folder.glob("*.whl"))
    return found[0]


def run_builder(*arguments: str) -> None:
    """Run Blender's own extension tool, from the bpy module."""
    subprocess.run([sys.executable, str(builder()), *arguments], check=True, stdout=subprocess.DEVNULL)


def builder() -> Path:
    """The path of blender_ext.py.  Ends the program where bpy is not installed."""
    spec = importlib.util.find_spec("bpy")
    where = Path(spec.origin).parent if spec and spec.origin else Path()
    found = sorted(where.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py")) if spec else []
    if not found:
        sys.exit("bpy is not installed in this Python: its extension builder is needed.  Run `make setup`")
    return found[-1]


def check_listing(target: Path, wheels: list[Path]) -> None:
    """End the program unless the zip holds what should ship and nothing else."""
    expected = {*shipped(), *(f"wheels/{wheel.name}" for wheel in wheels)}
    with zipfile.ZipFile(target) as file:
        held = {name for name in file.namelist() if not name.endswith("/")}
    if held != expected:
        target.unlink()
        sys.exit(f"the zip is wrong: without {sorted(expected - held)}, but with {sorted(held - expected)}")


if __name__ == "__main__":
    sys.exit(main())
