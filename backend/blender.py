"""Blender as a child process: found, started with an argument list and a scrubbed environment, gone when we are gone.

The child runs addon/command.py.  It says what it does as JSON lines on its standard output, and stops by itself when
its standard input ends, which is when this process does, however it ends.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..protocol.errors import FarplaneError

BOOTSTRAP = Path(__file__).resolve().parent.parent / "addon" / "bootstrap.py"
PARTLY = 3  # the child's exit code for a result of which a part failed
STOP_SECONDS = 25.0  # the child's own patience with its backend is 15 s
VERSION_SECONDS = 60.0
OLDEST = (4, 2)  # the first with registered commands and the extension format

# What a child needs from our environment; everything else (tokens, proxies, PYTHONPATH …) stays here.
_ENVIRONMENT = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|TMP|TEMP|LD_LIBRARY_PATH|DISPLAY|WAYLAND_DISPLAY|XAUTHORITY"
    r"|XDG_\w+|FARPLANE_\w+|BLENDER_\w+|OCIO|OMP_NUM_THREADS|CUDA_VISIBLE_DEVICES|LIBGL_ALWAYS_SOFTWARE"
    r"|SYSTEMROOT|SYSTEMDRIVE|WINDIR|APPDATA|LOCALAPPDATA|USERPROFILE|PROGRAMDATA|COMSPEC|PATHEXT|NUMBER_OF_PROCESSORS"
)

Event = dict[str, Any]


class Cancelled(Exception):
    """The child was told to stop, and did."""


@dataclass(frozen=True)
class Blender:
    """A Blender that can be started.

    command : the arguments that run addon/command.py, to which the command's own are added.
    version : of Blender.  path : the program, or the bpy module's folder.
    """

    command: tuple[str, ...]
    version: str
    path: Path
    kind: str  # "program" or "module"

    def __str__(self) -> str:
        what = "the bpy module" if self.kind == "module" else "the program"
        return f"{self.version}, {what} at {self.path}"


def find_blender() -> Blender:
    """Return the Blender to use: $FARPLANE_BLENDER, else this Python's own bpy module, else `blender` on the PATH.

    The module goes before the PATH because it is the version that this Farplane was tested with, and because pyzmq
    is certainly beside it.

    Raises FarplaneError when there is none, or the one that was named does not run.
    """
    named = os.environ.get("FARPLANE_BLENDER", "")
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise FarplaneError(
                "Blender", f"FARPLANE_BLENDER names {named}, which is no file", "Name Blender's program"
            )
        return _program(path)
    if (module := _module()) is not None:
        return module
    if found := shutil.which("blender"):
        return _program(Path(found))
    raise FarplaneError(
        "Blender",
        "neither the bpy module nor a Blender was found",
        "Run `make setup`, or set FARPLANE_BLENDER to Blender's program",
    )


def run_command(
    arguments: Sequence[str | os.PathLike[str]],
    on_event: Callable[[Event], None],
    *,
    extra_environment: dict[str, str] | None = None,
    blender: Blender | None = None,
) -> Event:
    """Run addon/command.py with `arguments` (SCENE.blend shot|render …) and return its result event.

    on_event : takes every other event as it comes; what it raises stops the child.
    extra_environment : added to the scrubbed one, e.g. FARPLANE_CONFIG.

    Raises FarplaneError with the child's own words, Cancelled when the child was stopped by a signal.  On Ctrl-C
    the child ends in order (its job is cancelled, its files are removed) before the exception goes on.
    """
    blender = blender or find_blender()
    command = [*blender.command, "--with-parent", *(os.fspath(a) for a in arguments)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_environment(extra_environment or {}),
            # Ctrl-C in the terminal reaches us, and we stop the child in order.
            start_new_session=True,
        )
        try:
            last = _listen(process, on_event)
            process.wait()
        except BaseException:
            _stop(process)
            raise
        finally:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        return _conclude(last, process.returncode, log)


def _listen(process: subprocess.Popen[bytes], on_event: Callable[[Event], None]) -> Event | None:
    """Hand on events until the child closes its output; return the one that ends it, if it said one."""
    last: Event | None = None
    assert process.stdout is not None
    for line in process.stdout:
        event = _event(line)
        if event is None:
            continue
        if event["event"] in ("result", "error", "cancelled"):
            last = event
        else:
            on_event(event)
    return last


def _event(line: bytes) -> Event | None:
    """An event, or None for a line that is not ours: Blender prints before we have its output to ourselves."""
    if not line.startswith(b'{"event"'):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def _conclude(last: Event | None, code: int, log: IO[bytes]) -> Event:
    kind = last["event"] if last else ""
    if last and kind == "result" and code in (0, PARTLY):
        return last
    if last and kind == "error":
        raise FarplaneError(*(str(last.get(key, "")) for key in ("field", "problem", "remedy")))
    if kind == "cancelled" or code in (130, -signal.SIGINT, -signal.SIGTERM):
        raise Cancelled
    how = f"it was ended by signal {-code}" if code < 0 else f"it ended with code {code}"
    remedy = "Save the scene again and retry; if it stays, close other programs (memory) and run `farplane doctor`"
    raise FarplaneError("Blender", f"{how}: {_last_words(log)}", remedy)


def _last_words(log: IO[bytes]) -> str:
    """The last line of the child's log that says something."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - 4000))
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the child to end, wait, then insist."""
    if process.poll() is None:
        process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                # Its output must be taken meanwhile, or it waits for room in the pipe.
                process.communicate(timeout=STOP_SECONDS)
        except KeyboardInterrupt:  # a second Ctrl-C: no more patience
            process.kill()
            raise
    if process.poll() is None:
        process.kill()
        process.wait()


def _environment(extra: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if _ENVIRONMENT.fullmatch(name.upper())}
    spec = importlib.util.find_spec("zmq")
    if spec is not None and spec.origin:
        kept["FARPLANE_PYZMQ"] = str(Path(spec.origin).parent.parent)
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1", **extra}


def _module() -> Blender | None:
    spec = importlib.util.find_spec("bpy")
    if spec is None or not spec.origin:
        return None
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("bpy")
    except PackageNotFoundError:
        number = "of unknown version"
    # -P: the folder of the script is not searched for modules (addon/ holds a scene.py, a client.py …).
    return Blender((sys.executable, "-P", str(BOOTSTRAP)), number, Path(spec.origin).parent, "module")


def _program(path: Path) -> Blender:
    """Ask a Blender program for its version.  Raises FarplaneError when it does not run or is too old."""
    remedy = "Set FARPLANE_BLENDER to the program of a Blender 4.2 or later"
    try:
        done = subprocess.run(
            [str(path), "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, env=_environment({})
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FarplaneError("Blender", f"{path} does not run ({error})", remedy) from error
    match = re.search(r"Blender (\d+)\.(\d+)(\.\d+)?", done.stdout)
    if match is None:
        raise FarplaneError("Blender", f"{path} does not say its version", remedy)
    if (int(match[1]), int(match[2])) < OLDEST:
        raise FarplaneError("Blender", f"{path} is version {match[1]}.{match[2]}", remedy)
    command = (str(path), "--background", "--factory-startup", "--python-exit-code", "2", "--python", str(BOOTSTRAP))
    return Blender((*command, "--"), match[0].removeprefix("Blender "), path, "program")
