"""What the whole tree promises: lazy imports, file sizes, relative imports, packaging, nothing of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("protocol", "addon", "backend", "kernels")
MAX_LINES = 500  # of a source file
MAX_TEST_LINES = 620  # of a file of tests, which is read a test at a time
MAX_TREE_BYTES = 56 * 2**20
TEXT = {".py", ".md", ".toml", ".sh", ".txt", ".json", ".cfg", ".yml", ""}


def tracked() -> list[Path]:
    """The files git tracks; without git (an unpacked archive), those that the rooms hold."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listing.returncode == 0:
        files = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    else:
        files = [p for room in (*ROOMS, "tests", "docs", "examples", "scripts") for p in (ROOT / room).rglob("*")]
        files = [p for p in files if "__pycache__" not in p.parts]
    return [p for p in files if p.is_file()]


def package_sources() -> list[Path]:
    return [ROOT / "__init__.py"] + [p for room in ROOMS for p in sorted((ROOT / room).rglob("*.py"))]


def python(code: str) -> str:
    """What a fresh interpreter prints for `code`."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = "sorted({'torch', 'bpy', 'diffusers', 'transformers', 'cv2', 'matplotlib', 'triton'} & set(sys.modules))"


@pytest.mark.parametrize(
    "module",
    [
        "farplane",
        "farplane.backend.service.server",
        "farplane.backend.service.jobs",
        "farplane.backend.blender",
        "farplane.backend.cli",
    ],
)
def test_light_modules_load_nothing_heavy(module: str) -> None:
    assert python(f"import sys, {module}; print({HEAVY})").strip() == "[]"


def test_the_protocol_needs_numpy_only() -> None:
    names = ", ".join(
        f"farplane.protocol.{p.stem}" for p in sorted((ROOT / "protocol").glob("*.py")) if p.stem[0] != "_"
    )
    others = "{'torch', 'bpy', 'zmq', 'OpenEXR', 'cv2', 'typer', 'rich'}"
    assert python(f"import sys, {names}; print(sorted({others} & set(sys.modules)))").strip() == "[]"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom farplane.backend.cli import main\nsys.argv = ['farplane', '--help']\n"
        f"try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\nprint('heavy:', {HEAVY})"
    )
    assert "heavy: []" in python(code)


def test_the_extension_door_needs_no_blender() -> None:
    out = python("import sys, farplane; print(callable(farplane.register), 'bpy' in sys.modules)")
    assert out.split() == ["True", "False"]


def test_files_stay_readable_in_one_sitting() -> None:
    long = {
        str(p.relative_to(ROOT)): lines
        for p in tracked()
        if p.suffix in {".py", ".sh"}
        and (lines := len(p.read_text().splitlines())) > (MAX_TEST_LINES if "tests" in p.parts else MAX_LINES)
    }
    assert not long, f"split these: {long}"


def test_the_package_imports_itself_relatively() -> None:
    """In Blender the same tree is bl_ext.user_default.farplane: an absolute `farplane.` import would break there."""
    wrong = []
    for path in package_sources():
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            wrong += [f"{path.relative_to(ROOT)}:{node.lineno}" for n in names if n.split(".")[0] == "farplane"]
    assert not wrong, f"write these as relative imports: {wrong}"


def test_every_package_is_shipped() -> None:
    """setuptools ships what pyproject lists, although the editable install finds more."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {p.parent for p in package_sources()}
    there = {".".join(("farplane", *folder.relative_to(ROOT).parts)) for folder in folders}
    assert there == set(config["packages"])
    where = {name: Path(config["package-dir"][name]) for name in there}
    assert {ROOT / folder for folder in where.values()} == folders


def test_every_folder_of_sources_is_a_package() -> None:
    assert not [p for p in package_sources() if not (p.parent / "__init__.py").is_file()]


MACHINE_PATH = re.compile(r"(?<![\w.~}$/-])/(?:work|root|home/\w+|Users/\w+)/")


def test_nothing_of_one_machine_is_tracked() -> None:
    wrong = []
    for path in tracked():
        if path.suffix in TEXT:
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                if MACHINE_PATH.search(line):
                    wrong.append(f"{path.relative_to(ROOT)}:{number}")
    assert not wrong, f"paths of one machine: {wrong}"


def test_the_machine_path_pattern_finds_what_it_is_for() -> None:
    # Put together here, so that this file holds no such path itself.
    work, root = ("/".join(("", name, "x")) for name in ("work", "root"))
    assert MACHINE_PATH.search(f'open("{work}")')
    assert MACHINE_PATH.search(f"cd {root}")
    assert not MACHINE_PATH.search(f"docs{work}")
    assert not MACHINE_PATH.search(f"$ROOT{root}")


def test_the_tree_stays_small_enough_to_travel() -> None:
    sizes = {p: p.stat().st_size for p in tracked()}
    assert sum(sizes.values()) < MAX_TREE_BYTES
    shards = {str(p.relative_to(ROOT)): s for p, s in sizes.items() if p.suffix == ".safetensors"}
    assert all(size <= 15 * 2**20 for size in shards.values()), shards
    assert sum(shards.values()) <= 36 * 2**20
