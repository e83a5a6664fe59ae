"""The models as each backend told them last, so that their sizes and states are there before it answers.

A small JSON file in the extension's own folder: {address: [model, …]}, the address empty for this machine.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...protocol.events import ModelInfo
from . import preferences
from .session import keep_hint, session, user_folder

MAX_BACKENDS = 8  # the latest ones
# What the repository's own model tells of itself: its sizes are known before anybody was asked.
SHIPPED = ModelInfo(
    "farplane-s",
    "Farplane small: runs anywhere, ships with Farplane",
    0.0,
    "ready",
    ((448, 256), (256, 448)),
    4,
    12,
    1.15,
)

_told: dict[str, tuple[ModelInfo, ...]] | None = None


def models() -> tuple[ModelInfo, ...]:
    """What the backend offers, or what it offered when it was last asked; empty when it never was."""
    return session.models or _known().get(preferences.settings().address, ())


def model_info(name: str) -> ModelInfo | None:
    """The model called `name`, None while it is not known.  Before any backend was asked, ours is."""
    return next((model for model in models() or (SHIPPED,) if model.name == name), None)


def remember() -> None:
    """Keep what the backend has just told; the session calls it."""
    known, address = _known(), preferences.settings().address
    if not session.models or known.get(address) == session.models:
        return
    known.pop(address, None)
    known[address] = session.models
    for oldest in list(known)[:-MAX_BACKENDS]:
        del known[oldest]
    data = json.dumps({key: [asdict(model) for model in told] for key, told in known.items()}).encode()
    keep_hint(_path(), data)


def _known() -> dict[str, tuple[ModelInfo, ...]]:
    global _told
    if _told is None:
        _told = _read(_path())
    return _told


def _path() -> Path:
    return user_folder("history") / "models.json"


def _read(path: Path) -> dict[str, tuple[ModelInfo, ...]]:
    """What the file holds, nothing where it is damaged."""
    try:
        held: Any = json.loads(path.read_bytes()) if path.is_file() else {}
        return {str(address): tuple(_model(row) for row in rows) for address, rows in held.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _model(row: dict[str, Any]) -> ModelInfo:
    if row["state"] not in ("ready", "missing"):
        raise ValueError
    sizes = tuple((int(width), int(height)) for width, height in row["sizes"])
    return ModelInfo(
        str(row["name"]),
        str(row["title"]),
        float(row["size_mb"]),
        row["state"],
        sizes,
        int(row["frames_multiple"]),
        int(row["steps"]),
        float(row["guidance"]),
    )


def register() -> None:
    """Learn from every connection."""
    session.when_connected.append(remember)


def unregister() -> None:
    """No longer."""
    global _told
    _told = None
    if remember in session.when_connected:
        session.when_connected.remove(remember)
