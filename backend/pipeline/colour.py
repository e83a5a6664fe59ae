"""Colour: scene-linear Rec.709 to the curves that a network, a screen and a measure want, and back.

Legend: every function works element by element on arrays of any shape [..., 3] or [...]; colour is the last axis.
Scene-linear values are relative exposure: 0.18 is mid grey, 1.0 a white card, a sky or a lamp lies above 1.

The LogC3 pair takes numpy arrays and torch tensors alike (torch is never imported here); the rest is numpy only.
"""

from __future__ import annotations

import sys
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = TypeVar("Array", bound=Any)

# ARRI LogC3, EI 800: "ALEXA Log C Curve, Usage in VFX", 2017, table of the scene-linear (not sensor) constants.
LOGC3_CUT = 0.010591
LOGC3_A = 5.555556
LOGC3_B = 0.052272
LOGC3_C = 0.247190
LOGC3_D = 0.385537
LOGC3_E = 5.367655
LOGC3_F = 0.092809
LOGC3_MAX = 55.079576  # the scene-linear value whose code is 1.0

# Rec. ITU-R BT.709-6: x, y of red, green, blue and of the D65 white point.
REC709_CHROMATICITIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
REC709_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)

# Where the preview's shoulder leaves the straight line (scene-linear).
SHOULDER_START = 0.5


def _library(array: Any) -> Any:
    """numpy, or torch when `array` is one of its tensors (then torch is loaded already)."""
    return sys.modules["torch"] if type(array).__module__.startswith("torch") else np


def logc3_encode(linear: Array) -> Array:
    """Scene-linear to LogC3 (EI 800) code values.

    linear : array or tensor of any shape and float type.  -0.0173 codes to 0, 0.18 to 0.391, 55.08 to 1; values
    outside are encoded too (the toe is a straight line, so negative values survive; the top goes above 1).
    """
    xp = _library(linear)
    # The log branch is computed everywhere: it gets the cut itself where it is not used, so no NaN, no bad gradient.
    bright = linear.clip(min=LOGC3_CUT)
    log = LOGC3_C * xp.log10(LOGC3_A * bright + LOGC3_B) + LOGC3_D
    return xp.where(linear > LOGC3_CUT, log, LOGC3_E * linear + LOGC3_F)


def logc3_decode(code: Array) -> Array:
    """LogC3 (EI 800) code values to scene-linear: the inverse of logc3_encode."""
    xp = _library(code)
    cut = LOGC3_E * LOGC3_CUT + LOGC3_F
    bright = code.clip(min=cut)
    linear = (10.0 ** ((bright - LOGC3_D) / LOGC3_C) - LOGC3_B) / LOGC3_A
    return xp.where(code > cut, linear, (code - LOGC3_F) / LOGC3_E)


def srgb_encode(linear: NDArray) -> NDArray[np.float32]:
    """Display-linear to sRGB code values (IEC 61966-2-1), odd about zero, float32; values above 1 pass through."""
    linear = np.asarray(linear, np.float32)
    size = np.abs(linear)
    curve = np.float32(1.055) * np.maximum(size, np.float32(0.0031308)) ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.copysign(np.where(size > 0.0031308, curve, size * np.float32(12.92)), linear)


def srgb_decode(code: NDArray) -> NDArray[np.float32]:
    """SRGB code values to display-linear: the inverse of srgb_encode."""
    code = np.asarray(code, np.float32)
    size = np.abs(code)
    curve = ((size + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.copysign(np.where(size > 0.04045, curve, size / np.float32(12.92)), code)


def display_encode(linear: NDArray) -> NDArray[np.float32]:
    """Scene-linear to sRGB code values in [0, 1], float32, through the fixed shoulder of the previews.

    Straight to 0.5, then a hyperbola of the same slope that reaches 1 at infinity: 1 becomes 0.75, 4 becomes 0.94.
    A channel is mapped by itself, so that very bright colours turn white, as film does.  Fixed: two takes compare.
    """
    linear = np.maximum(np.nan_to_num(np.asarray(linear, np.float32), nan=0.0, posinf=65504.0), 0.0)
    start, room = np.float32(SHOULDER_START), np.float32(1.0 - SHOULDER_START)
    over = np.maximum(linear - start, 0.0) / room
    return srgb_encode(np.minimum(linear, start) + room * over / (1.0 + over))


def linear_to_display(rgb: NDArray) -> NDArray[np.uint8]:
    """Scene-linear to 8-bit sRGB for previews and pictures; see display_encode for the tone map."""
    return np.round(display_encode(rgb) * np.float32(255.0)).astype(np.uint8)


def luminance(rgb: NDArray) -> NDArray[np.float32]:
    """Rec.709 relative luminance Y of scene-linear [..., 3], float32 [...]."""
    return np.asarray(rgb, np.float32) @ REC709_LUMINANCE
