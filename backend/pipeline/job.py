"""A job and the place its results go: what the worker hands to the pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ...protocol.shot import RenderSettings, Shot


@dataclass(frozen=True, eq=False)
class Job:
    """One shot to render.  id : a UUID string chosen by the client."""

    id: str
    shot: Shot
    settings: RenderSettings


class Sink(Protocol):
    """Receives what a running job makes, in order."""

    def progress(self, stage: str, step: int, total: int) -> None:
        """`step` of `total` done in a stage: conditioning, denoise, decode, write, measure."""
        ...

    def preview(self, step: int, png: bytes) -> None:
        """The picture forming at a denoise step, a small PNG."""
        ...

    def frame(self, number: int, exr: bytes) -> None:
        """A finished frame, by Blender's absolute frame number, as the bytes of an EXR file."""
        ...

    def artifact(self, name: str, data: bytes) -> None:
        """A finished side file: report.json, report.png, contact.png or preview.mp4."""
        ...


class Cancelled(Exception):
    """The job was asked to stop and did."""
