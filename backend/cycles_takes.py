"""Example scenes by the whole way for `farplane evaluate --cycles`: Blender reads them, Cycles renders them, a plate
comes back.  It stands here because the training room may not know Blender."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from ..protocol.errors import FarplaneError
from ..protocol.shot import RenderSettings, Shot
from .pipeline.upsample import smaller
from .render_scene import Order, render
from .take_files import plate_made_at, read_plate, read_take_shot, with_reference

if TYPE_CHECKING:
    from .train.cases import Size


def take_of(scene: Path, folder: Path, settings: RenderSettings, size: Size) -> tuple[Shot, NDArray, NDArray]:
    """The shot of a scene, its plate [T, h, w, 3] at the size the model made it, and Cycles' own render [T, H, W, 3].

    A finished take in `folder` is read, not made again.
    """
    if not (folder / "report.json").is_file():
        order = Order(
            scene=scene,
            out=folder,
            prompt=None,
            settings=settings,
            frames=(1, size.frames),
            size=(size.width, size.height),
            overwrite=True,
        )
        render(order, Console(stderr=True))
    shot = with_reference(folder, read_take_shot(folder))
    if shot.reference is None:
        raise FarplaneError("reference", f"{folder} holds no render of {scene.name}", "Delete the folder and run again")
    plate, made_at = read_plate(folder, shot), plate_made_at(folder, shot)
    return shot, plate if made_at is None else smaller(plate, made_at), np.asarray(shot.reference)
