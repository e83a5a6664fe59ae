"""Which Farplane this is."""

from __future__ import annotations

import tomllib
from pathlib import Path


def version() -> str:
    """What the extension's manifest says, which lies in the package's own folder; where pip installed it, pip's word."""
    manifest = Path(__file__).resolve().parent.parent / "blender_manifest.toml"
    try:
        return str(tomllib.loads(manifest.read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError):
        from importlib.metadata import version as installed

        return installed("farplane")
