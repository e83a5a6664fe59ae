"""The backend of this machine as a child process: found, started and stopped, never installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import bpy

from ...protocol.errors import FarplaneError
from .preferences import settings

STOP_SECONDS = 12.0  # the backend gives its own worker 10 s

_process: subprocess.Popen[bytes] | None = None


def executable() -> str:
    """The `farplane` program: the one in the preferences, else the one on the PATH; empty if there is none."""
    chosen = settings().executable
    if chosen:
        path = Path(bpy.path.abspath(chosen))
        return str(path) if path.is_file() else ""
    return shutil.which("farplane") or ""


def is_running() -> bool:
    """Whether the backend that we started still runs."""
    return _process is not None and _process.poll() is None


def start() -> None:
    """Start `farplane serve`; it ends with Blender.  Raises FarplaneError when it cannot be found or started."""
    global _process
    if is_running():
        return
    program = executable()
    if not program:
        raise FarplaneError(
            "backend", "the 'farplane' program was not found", "Install the backend, or set its path in the preferences"
        )
    command = [program, "serve", "--parent-pid", str(os.getpid())]
    config = settings().config
    if config is not None:
        command += ["--config", str(config)]
    # Blender's own Python settings would mislead the backend's.
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONHOME", "PYTHONPATH")}
    null = subprocess.DEVNULL
    try:
        _process = subprocess.Popen(command, env=environment, stdin=null, stdout=null, stderr=null)
    except OSError as error:
        raise FarplaneError("backend", f"{program} cannot be run ({error.strerror})", "Check its path") from error


def ask_to_stop() -> None:
    """Ask the backend that we started to end; returns at once."""
    if is_running():
        assert _process is not None
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
        process.wait()
