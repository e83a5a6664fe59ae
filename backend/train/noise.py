"""Periodic noise and small operations on square periodic fields [n, n] float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..pipeline.pattern import fractal_noise

__all__ = ["Field", "fractal_noise", "slope", "smooth"]

Field = NDArray[np.float32]


def smooth(field: Field, cells: float) -> Field:
    """Periodic Gaussian blur with a standard deviation in cells."""
    n = field.shape[0]
    k2 = np.fft.fftfreq(n)[:, None] ** 2 + np.fft.rfftfreq(n)[None] ** 2
    return np.fft.irfft2(np.fft.rfft2(field) * np.exp(-2 * (np.pi * cells) ** 2 * k2), s=(n, n)).astype(np.float32)


def slope(height: Field, cell: float) -> Field:
    """Steepness (rise over run) of a periodic heightfield whose cells are `cell` metres wide."""
    gy = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) / (2 * cell)
    gx = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / (2 * cell)
    return np.hypot(gx, gy).astype(np.float32)
