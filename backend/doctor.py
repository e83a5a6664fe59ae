"""`farplane doctor`: what works on this machine, and what to do about what does not.

Each check is a function that returns lines; it never raises.  `fail` stops a render, `warn` does not.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape

from ..protocol.errors import FarplaneError
from ..protocol.pairing import allowed_clients, config_dir, find_backend

State = Literal["ok", "warn", "fail"]

MIN_FREE_BYTES = 2 * 2**30  # a 1080p take of 100 frames with its depth is about 1.5 GB
MIN_MEMORY_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report.  remedy : what to do, empty when nothing needs doing."""

    name: str
    state: State
    found: str
    remedy: str = ""


def examine(report: Callable[[Check], None]) -> bool:
    """Run every check, hand each line to `report` as it comes; True when nothing failed."""
    good = True
    for check in CHECKS:
        try:
            lines = list(check())
        except Exception as error:  # a doctor that falls ill helps nobody: any surprise is a finding
            name = check.__name__.replace("_", " ").strip()
            lines = [Check(name, "fail", f"{type(error).__name__}: {error}", "Run `make setup` again")]
        for line in lines:
            report(line)
            good = good and line.state != "fail"
    return good


def python() -> Iterator[Check]:
    version = platform.python_version()
    if sys.version_info[:2] in ((3, 11), (3, 13)):
        yield Check("Python", "ok", version)
    else:
        yield Check("Python", "warn", version, "Blender's module exists for Python 3.11 and 3.13 only")


def packages() -> Iterator[Check]:
    from importlib.metadata import PackageNotFoundError, version

    for name, wanted in (("torch", "2.13.0"), ("OpenEXR", "3.5.3"), ("pyzmq", "27.3.0"), ("safetensors", "0.8.0")):
        try:
            found = version(name).split("+")[0]
        except PackageNotFoundError:
            yield Check(name, "fail", "not installed", f"pip install {name}=={wanted}")
            continue
        if found != wanted:
            yield Check(name, "warn", f"{found}, tested with {wanted}", f"pip install {name}=={wanted}")
    try:
        yield Check("Wan models", "ok", f"diffusers {version('diffusers')}, transformers {version('transformers')}")
    except PackageNotFoundError:
        yield Check("Wan models", "warn", "diffusers or transformers is missing", 'pip install "farplane[wan]"')


def device() -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        total = torch.cuda.get_device_properties(0).total_memory / 2**30
        yield Check("Device", "ok", f"{name}, {total:.0f} GiB, torch {torch.__version__}")
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check("Device", "ok", f"CPU, {cores} cores, torch {torch.__version__} (farplane-s runs here, slowly)")
    if shutil.which("nvidia-smi") and torch.version.cuda is None:
        yield Check("GPU", "warn", "there is an NVIDIA driver, but torch is a CPU build", "Install torch's CUDA build")


def memory() -> Iterator[Check]:
    import psutil

    free = psutil.virtual_memory().available
    state: State = "ok" if free >= MIN_MEMORY_BYTES else "warn"
    remedy = "" if state == "ok" else "Close other programs: a render needs about 4 GiB"
    yield Check("Memory", state, f"{free / 2**30:.1f} GiB free", remedy)


def kernels() -> Iterator[Check]:
    import torch

    try:
        import triton
    except ImportError:
        yield Check("Kernels", "warn", "triton is not installed", "The torch reference is used; pip install triton")
        return
    used = "Triton" if torch.cuda.is_available() else "torch reference (Triton needs a CUDA device)"
    yield Check("Kernels", "ok", f"triton {triton.__version__}; in use: {used}")


def video() -> Iterator[Check]:
    import imageio_ffmpeg

    exe = imageio_ffmpeg.get_ffmpeg_exe()
    done = subprocess.run([exe, "-version"], capture_output=True, text=True, timeout=30)
    line = done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else ""
    if line:
        yield Check("ffmpeg", "ok", " ".join(line.split()[:3]))
    else:
        yield Check("ffmpeg", "fail", f"{exe} does not run", "pip install --force-reinstall imageio-ffmpeg")


def disk() -> Iterator[Check]:
    for name, folder in (("Disk here", Path.cwd()), ("Temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        writable = os.access(folder, os.W_OK)
        text = f"{free / 2**30:.1f} GiB free in {folder}"
        if not writable:
            yield Check(name, "warn", f"{folder} is read-only", "Render with --out to a folder that can be written")
        elif free < MIN_FREE_BYTES:
            yield Check(name, "warn", text, "Free some space: a 1080p take of 100 frames needs about 1.5 GB")
        else:
            yield Check(name, "ok", text)


def missing_libraries(binary: Path) -> list[str]:
    """Shared libraries that `binary` wants and the system has not (Linux; empty where ldd is missing)."""
    ldd = shutil.which("ldd")
    if ldd is None:
        return []
    done = subprocess.run([ldd, str(binary)], capture_output=True, text=True, timeout=60)
    return sorted(set(re.findall(r"(\S+) => not found", done.stdout)))


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def blender() -> Iterator[Check]:
    from .blender import find_blender

    try:
        found = find_blender()
    except FarplaneError as error:
        yield Check("Blender", "fail", error.problem, error.remedy)
        return
    if found.kind == "module":
        done = subprocess.run([sys.executable, "-c", "import bpy"], capture_output=True, text=True, timeout=300)
        if done.returncode:
            missing = [name for binary in found.path.glob("*.so") for name in missing_libraries(binary)]
            said = ", ".join(missing) or (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            yield Check("Blender", "fail", f"the bpy module does not load: {said}", "Run `make setup`")
            return
    yield Check("Blender", "ok", str(found))


def checkpoints() -> Iterator[Check]:
    """farplane-s is loaded for real; the large models, where they are, only listed."""
    from .model.presets import PRESETS, folder_of
    from .model.weights import load_checkpoint

    for preset in PRESETS:
        folder = folder_of(preset)
        if folder is None:
            optional = preset.kind != "farplane"
            found = "not on this machine" + (" (optional)" if optional else "")
            yield Check(preset.name, "ok" if optional else "fail", found, "" if optional else "Install Farplane again")
            continue
        shards = sorted(folder.rglob("*.safetensors"))
        size = sum(path.stat().st_size for path in shards) / 1e6
        try:
            if preset.kind == "farplane":
                load_checkpoint(folder)
        except FarplaneError as error:
            yield Check(preset.name, "fail", error.problem, error.remedy)
            continue
        digests = ", ".join(_digest(path) for path in shards[:4]) if preset.kind == "farplane" else str(folder)
        yield Check(preset.name, "ok", f"{size:.1f} MB in {len(shards)} files, SHA-256 {digests}")


def keys() -> Iterator[Check]:
    from .service.keys import backend_keys

    folder = config_dir()
    try:
        if not (folder / "backend.key").exists():
            yield Check("Keys", "ok", f"none yet; `farplane serve` makes them in {folder}")
            return
        pair = backend_keys(folder)
    except FarplaneError as error:
        yield Check("Keys", "fail", error.problem, error.remedy)
        return
    yield Check("Keys", "ok", f"public key {pair.public}, {len(allowed_clients(folder))} known clients, in {folder}")


def ports() -> Iterator[Check]:
    from .service.keys import holds_key
    from .service.server import DEFAULT_PORT

    running = find_backend(config_dir())
    if running is not None and holds_key(running.address, running.public_key):
        yield Check("Backend", "ok", f"running at {running.address} (process {running.pid})")
        return
    if running is not None and _process_runs(running.pid):
        # Any process may have this number by now, so nothing is said of what it is.
        found = f"process {running.pid} was a backend, but nothing with its key answers at {running.address}"
        remedy = "`farplane serve` starts another; should that say one is using the configuration, end the process"
        yield Check("Backend", "warn", found, remedy)
    elif port_is_free(DEFAULT_PORT):
        yield Check("Backend", "ok", f"none running; its port {DEFAULT_PORT} is free")
    else:
        remedy = f"`farplane serve --port N` with another number; {DEFAULT_PORT} belongs to another program"
        yield Check("Backend", "warn", f"port {DEFAULT_PORT} is taken", remedy)


def set_aside() -> Iterator[Check]:
    """What the backend keeps for a while before it deletes it (service/quarantine.py)."""
    from .checks import data_dir
    from .service.keys import data_of
    from .service.quarantine import NAME, batches

    places = dict.fromkeys((data_of(config_dir()) or data_dir(), data_dir()))  # where it ran last, and by default
    found = [(data, batch) for data in places for batch in batches(data)]
    for data, batch in found:
        jobs = f"{batch.jobs} job{'s'[: batch.jobs != 1]}, " if batch.jobs else ""
        what = f"{jobs}{batch.size / 2**20:.0f} MiB in {batch.folder}: {batch.why}"
        remedy = (
            f"Stop the backend, move what you want back into {data / 'jobs'} and start it; frames are "
            f"attempt-*/frame.*.exr. Else it is deleted after {batch.left / 86400:.1f} more days of the backend's running"
        )
        yield Check("Set aside", "warn", what, remedy)
    if not found:
        yield Check("Set aside", "ok", f"nothing in {' or '.join(str(data / NAME) for data in places)}")


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:12]


def _process_runs(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid)


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    python,
    packages,
    blender,
    device,
    memory,
    kernels,
    checkpoints,
    keys,
    ports,
    set_aside,
    video,
    disk,
)


def show(console: Console) -> bool:
    """Print every line as it is found; True when nothing failed."""
    marks = {"ok": "[green]ok  [/green]", "warn": "[yellow]warn[/yellow]", "fail": "[red]FAIL[/red]"}

    def line(check: Check) -> None:
        console.print(f"{marks[check.state]} {check.name:<17}{escape(check.found)}", highlight=False, soft_wrap=True)
        if check.remedy:
            console.print(f"                      → {escape(check.remedy)}", highlight=False, soft_wrap=True)

    good = examine(line)
    console.print("Everything a render needs is here." if good else "A render will not work until FAIL is mended.")
    return good
