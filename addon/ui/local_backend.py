"""The backend of this machine as a child process: found, started and stopped, never installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

import bpy

from ...protocol import pairing
from ...protocol.errors import FarplaneError
from .preferences import settings
from .translations import say

STOP_SECONDS = 12.0  # the backend gives its own worker 10 s
LOG_TAIL = 4000  # bytes of the log that the last words are looked for in
# Where installers put programs; a Blender that was started from a menu often has a shorter PATH than a terminal.
USUAL_PLACES = ("~/.local/bin", "/usr/local/bin", "/opt/homebrew/bin")

State = Literal["absent", "stopped", "running", "stopping", "failed"]

_process: subprocess.Popen[bytes] | None = None
_stopping = False


def executable() -> str:
    """The `farplane` program: the one in the preferences, else one on the PATH; empty if there is none."""
    chosen = settings().executable
    if not chosen:
        return shutil.which("farplane") or shutil.which("farplane", path=_usual_places()) or ""
    path = Path(bpy.path.abspath(chosen))
    if path.is_dir():  # a virtual environment, or the folder that the program lies in
        return (
            shutil.which("farplane", path=os.pathsep.join(str(path / part) for part in (".", "bin", "Scripts"))) or ""
        )
    return shutil.which(path) or ""


def state() -> State:
    """`absent` without the program; `failed` when the backend ended by itself."""
    if _process is None:
        return "stopped" if executable() else "absent"
    if _process.poll() is None:
        return "stopping" if _stopping else "running"
    return "stopped" if _stopping or _process.returncode == 0 else "failed"


def is_running() -> bool:
    """Whether the backend that we started still runs."""
    return _process is not None and _process.poll() is None


def log_path() -> Path:
    """What the backend that we started says."""
    return (settings().config or pairing.config_dir()) / "backend.log"


def last_words() -> str:
    """The last line that the backend said, without its `error: `; empty if it said nothing."""
    try:
        with log_path().open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL))
            text = log.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else ""


def start() -> None:
    """Start `farplane serve`; it ends with Blender.  Raises FarplaneError when it cannot be found or started."""
    global _process, _stopping
    if is_running():
        return
    program = executable()
    if not program:
        raise FarplaneError("backend", *not_found())
    config = settings().config
    # A free port: the client reads it where the backend publishes it.
    command = [program, "serve", "--port", "0", "--parent-pid", str(os.getpid())]
    if config is not None:
        command += ["--config", str(config)]
    # Blender's own Python settings would mislead the backend's.
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONHOME", "PYTHONPATH")}
    try:
        log_path().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with log_path().open("wb") as log:
            _process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                creationflags=subprocess.CREATE_NO_WINDOW if sys.platform == "win32" else 0,
            )
    except OSError as error:
        raise FarplaneError(
            "backend", say("{} cannot be run ({})", program, error.strerror), "Check its path"
        ) from error
    _stopping = False


def not_found() -> tuple[str, str]:
    """What to say where there is no program: (problem, remedy)."""
    chosen = settings().executable
    if chosen:
        return say("There is no 'farplane' program at {}", chosen), say("Choose the program, or the folder it lies in")
    return say("The 'farplane' program was not found"), say("Install the backend, or choose where its program lies")


def ask_to_stop() -> None:
    """Ask the backend that we started to end; returns at once."""
    global _stopping
    if is_running():
        assert _process is not None
        _stopping = True
        _process.terminate()


def stop() -> None:
    """End the backend that we started, and wait for it."""
    global _process
    process, _process = _process, None
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0)


def _usual_places() -> str:
    return os.pathsep.join(str(Path(place).expanduser()) for place in USUAL_PLACES)
