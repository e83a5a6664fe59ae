"""Base colours out of what Cycles says of a surface, and as files.  numpy only, no bpy.

Cycles gives no pass of the base colour itself.  It gives the share of light that a surface sends back by its diffuse,
glossy and transmissive closures, and of a Principled BSDF these are layers: what the gloss sends back (g, more at a
grazing angle) does not reach the colour below it, so that the diffuse share is b * (1 - g), with b the base colour.
A metal has no diffuse share; there the gloss is its colour.  It is told from lacquer on something dark, which hardly
has a diffuse share either, by a gloss that no lacquer has at that angle.

A surface that is half transparent comes out as dark as it is transparent: how much of it there is, is in none of the
passes at one sample.  Cut-out alpha is exact.

Legend: H rows, W columns; shares are [3, H, W], red, green and blue apart, scene-linear Rec.709, 0 … 1.
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
_LACQUER = 0.04  # what the gloss of a plastic sends back straight on; Schlick's curve tells it at other angles
_METAL = 0.1  # so much more gloss, with hardly a diffuse share, is a metal's

# The sRGB curve as a table, fine enough for 8 bits where it is steepest: 0.05 of a code from one entry to the next.
_CODES = np.rint(codes_of(np.linspace(0, 1, 1 << 16, dtype=np.float32)) * 255).astype(np.uint8)
_GREY = _CODES[round(DEFAULT * (len(_CODES) - 1))]


def base_colours(
    diffuse: NDArray[np.float32],
    glossy: NDArray[np.float32],
    transmitted: NDArray[np.float32],
    facing: NDArray[np.float32],
    hit: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Return [H, W, 4] uint8: the base colour in the sRGB curve, alpha 255 where it is told and 0 (then all 0) elsewhere.

    facing : [H, W], the cosine between the surface's normal and the way to the camera.  hit : [H, W], whether there is
    a surface.  Not told is what sends nothing back (an emitter), and Blender's own
    grey to 8 bits, which nobody chose.
    """
    below = diffuse + transmitted
    highest, most = np.maximum.reduce(glossy), np.maximum.reduce(below)
    lacquer = _LACQUER + (1 - _LACQUER) * (1 - np.clip(np.abs(facing), 0, 1)) ** 5
    metal = (most < 0.5 * highest) & (highest > lacquer + np.float32(_METAL))
    colour = np.where(metal, below + glossy, below / np.maximum(1 - highest, np.float32(1e-3)))
    codes = _CODES[(np.clip(colour, 0, 1) * np.float32(len(_CODES) - 1) + np.float32(0.5)).astype(np.uint16)]
    told = hit & (np.maximum(most, highest) > 0) & np.logical_or.reduce(codes != _GREY)
    return np.stack([*np.where(told, codes, np.uint8(0)), np.where(told, np.uint8(255), np.uint8(0))], axis=-1)


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
        raise FarplaneError(what, f"{path} is no {what} file: {colours.shape}", remedy)
    return colours
