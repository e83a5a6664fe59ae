"""Base colours out of what Cycles says of a surface, and as files.  numpy only, no bpy.

Cycles gives no pass of the base colour itself.  It gives the share of light that a surface sends back by its diffuse,
glossy and transmissive closures, and of a Principled BSDF these are layers: what the gloss sends back (g, more at a
grazing angle) does not reach the colour below it, so that the diffuse share is c * b * (1 - g), with b the base colour
and c the coverage (the material's alpha).  A metal has no diffuse share; there the gloss is its colour.

Legend: H rows, W columns; shares are [H, W, 3] scene-linear Rec.709, 0 … 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..protocol.errors import FarplaneError
from ..protocol.shot import MAX_PIXELS
from .contact import codes_of, png
from .png import read_png

DEFAULT = 0.8  # Blender's grey: of surfaces without a material, and of a new material
_METAL_GLOSS = 0.15  # a gloss above it, with hardly a diffuse share, is a metal's colour; below it, lacquer on black
_COVERED = 0.05  # a surface that is less there than this tells nothing


def base_colours(
    diffuse: NDArray[np.float32],
    glossy: NDArray[np.float32],
    transmitted: NDArray[np.float32],
    coverage: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """Return [H, W, 4] uint8: the base colour in the sRGB curve, alpha 255 where it is told and 0 (then all 0) elsewhere.

    coverage : [H, W], 0 where nothing is hit … 1.  Not told is what sends nothing back (an emitter), and Blender's own
    grey to 8 bits, which nobody chose.
    """
    cover = np.maximum(coverage, _COVERED)[..., None]
    below, gloss = (diffuse + transmitted) / cover, glossy / cover
    highest = gloss.max(-1, keepdims=True)
    metal = (below.max(-1, keepdims=True) < 0.5 * highest) & (highest > _METAL_GLOSS)
    colour = np.where(metal, below + gloss, below / np.maximum(1 - highest, 1e-3))
    codes = np.rint(codes_of(np.clip(colour, 0, 1)) * 255).astype(np.uint8)
    grey = round(float(codes_of(np.array(DEFAULT, np.float32))) * 255)
    told = (coverage > _COVERED) & ((below + gloss).max(-1) > 0) & (codes != grey).any(-1)
    return np.where(told[..., None], np.dstack([codes, np.full_like(codes[..., :1], 255)]), np.uint8(0))


def write_colours(colours: NDArray[np.uint8]) -> bytes:
    """A PNG file of base colours [H, W, 4]."""
    return png(colours)


def read_colours(path: Path) -> NDArray[np.uint8]:
    """Base colours [H, W, 4] from a file of `write_colours`.  Raises FarplaneError for a missing or damaged one."""
    what, remedy = "base colour", "Extract the shot again"
    try:
        colours = read_png(path.read_bytes(), MAX_PIXELS)
    except OSError as error:
        raise FarplaneError(what, f"{path}: {error.strerror}", remedy) from error
    except FarplaneError as error:
        raise FarplaneError(what, f"{path} is no {what} file: {error.problem}", remedy) from error
    if colours.shape[-1] != 4:
        raise FarplaneError(what, f"{path} is no {what} file: no alpha", remedy)
    return colours
