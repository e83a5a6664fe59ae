"""The shapes of open country.  Every builder takes a generator and a cell's width and returns a Draft."""

from __future__ import annotations

import numpy as np

from .baking import Draft, build, scatter
from .materials import FIELD, GROUND, ICE, ROCK, SAND, SNOW, STONE
from .noise import fractal_noise, slope, smooth

CELLS = 1024


def alpine(rng: np.random.Generator, cell: float) -> Draft:
    """Ridged peaks over a valley floor with conifers."""
    n = CELLS
    shape = fractal_noise(rng, n, 3.8, longest=1.5)
    ridges = 1.0 - np.abs(fractal_noise(rng, n, 3.2, longest=2.5))
    height = 150 * shape + 140 * ridges * np.clip(shape + 0.6, 0, 2) + 6 * fractal_noise(rng, n, 2.2, longest=20)
    floor = np.percentile(height, 35)
    height = np.where(height < floor, floor + (height - floor) * 0.12, height).astype(np.float32)
    draft = Draft(rng, cell, height, smooth(height, 5.0))
    steep = slope(height, cell)
    draft.material[steep > 0.62] = ROCK
    # Snow lies deeper, and on steeper ground, the higher it is; its lower edge is ragged.
    above = (height - np.percentile(height, 76)) / (np.percentile(height, 99) - np.percentile(height, 76))
    above += 0.10 * fractal_noise(rng, n, 1.8)
    draft.material[(above > 0) & (steep < 0.9 + 0.7 * np.clip(above, 0, 1))] = SNOW
    draft.material[(above <= 0) & (steep > 1.0)] = ROCK
    low = (height < np.percentile(height, 58)) & (slope(draft.simplified, cell) < 0.55)
    low &= fractal_noise(rng, n, 2.2) > -0.2
    scatter(draft, low, int(rng.integers(2500, 9000)), 8.0, 22.0, 0.97, kept=0.5)
    return draft


def desert(rng: np.random.Generator, cell: float) -> Draft:
    """Dunes with sharp crests, here and there a rock."""
    n = CELLS
    wind = fractal_noise(rng, n, 2.8, longest=3.0)
    large = fractal_noise(rng, n, 3.4, longest=1.5)
    count = int(rng.integers(6, 13))
    phase = np.linspace(0, 2 * np.pi * count, n, endpoint=False)[None] + 2.2 * wind
    saw = (phase / (2 * np.pi)) % 1.0
    crest = np.where(saw < 0.72, saw / 0.72, (1 - saw) / 0.28)  # a long windward side and a short slip face
    height = 24 * (0.5 + 0.35 * np.clip(large, -1, 2)) * crest**1.4 + 14 * large
    height = smooth(height.astype(np.float32), 1.2)
    draft = Draft(rng, cell, height, smooth(height, 4.0))
    draft.material[:] = SAND
    rocks = rng.uniform(0, n, (int(rng.integers(0, 30)), 2))
    size = rng.uniform(2, 9, (len(rocks), 2)) / cell
    boxes = np.concatenate([rocks, rocks + size, rng.uniform(2, 9, (len(rocks), 1)), np.zeros((len(rocks), 1))], 1)
    build(draft, boxes, mark=ROCK, blockout=False)
    return draft


def canyon(rng: np.random.Generator, cell: float) -> Draft:
    """Red layered rock: terraced mesas and buttes, or a slot between high walls."""
    n = CELLS
    field = fractal_noise(rng, n, 2.9, longest=2.0)
    ragged = 0.07 * fractal_noise(rng, n, 1.8)
    if rng.random() < 0.4:  # a slot: high ground cut by a winding gap
        field = np.abs(field) * 2.2 - rng.uniform(0.5, 0.9)
    height = np.zeros((n, n), np.float32)
    for level, rise in ((0.35, 42.0), (0.75, 46.0), (1.3, 50.0)):
        height += rise * np.clip((field + ragged - level) * 9, 0, 1)
    rock = height > 3
    height += np.where(rock, 2.4, 0.7) * fractal_noise(rng, n, 1.8) + 3.0 * fractal_noise(rng, n, 3.0)
    height = smooth(height, 0.6)
    draft = Draft(rng, cell, height, smooth(height, 4.0))
    draft.material[:] = np.where(rock, ROCK, GROUND)
    scatter(draft, ~rock, int(rng.integers(100, 900)), 1.6, 1.8, 0.0, kept=0.2)
    return draft


def coast(rng: np.random.Generator, cell: float) -> Draft:
    """Cliffs, beaches and islands at a sea."""
    n = CELLS
    height = 30 * fractal_noise(rng, n, 3.3, longest=1.2) + 1.6 * fractal_noise(rng, n, 1.8, longest=12) - 9
    height = np.where(height > 4, 4 + (height - 4) * 1.5 + 18 * np.clip((height - 4) / 5, 0, 1), height)
    height = height.astype(np.float32)
    draft = Draft(rng, cell, height, smooth(height, 3.5))
    steep = slope(height, cell)
    draft.material[steep > 0.6] = ROCK
    draft.material[(height < 5) & (steep < 0.75)] = SAND
    scatter(draft, (height > 12) & (steep < 0.6), int(rng.integers(100, 1600)), 5.0, 9.0, 0.3)
    return draft


def sea(rng: np.random.Generator, cell: float) -> Draft:
    """Open water, sometimes a rock or a low island."""
    n = CELLS
    height = np.full((n, n), -30.0, np.float32)
    if rng.random() < 0.45:
        y, x = np.mgrid[:n, :n].astype(np.float32)
        rough = 5.0 * fractal_noise(rng, n, 2.2)
        for _ in range(int(rng.integers(1, 4))):
            cx, cy, wide = rng.uniform(200, 824), rng.uniform(200, 824), rng.uniform(12, 60)
            bump = rng.uniform(30, 60) * np.exp(-((np.hypot(x - cx, y - cy) / wide) ** 2))
            height = np.maximum(height, -30 + bump + np.where(bump > 5, rough, 0)).astype(np.float32)
    draft = Draft(rng, cell, height, smooth(height, 3.0))
    draft.material[:] = ROCK
    return draft


def hills(rng: np.random.Generator, cell: float) -> Draft:
    """Smooth grassland with fields in crop colours, hedges and a few trees."""
    n = CELLS
    height = 26 * fractal_noise(rng, n, 4.4, longest=1.6) + 5 * fractal_noise(rng, n, 3.6, longest=5)
    height = height.astype(np.float32)
    draft = Draft(rng, cell, height, smooth(height, 6.0))
    # Fields: a grid bent by noise, so that borders follow the country.
    bend = 40 * fractal_noise(rng, n, 3.6, longest=2), 40 * fractal_noise(rng, n, 3.6, longest=2)
    side = n / int(rng.integers(7, 13))
    v, u = np.mgrid[:n, :n].astype(np.float32)
    gu, gv = (u + bend[0]) % n / side, (v + bend[1]) % n / side
    count = round(n / side)
    numbers = rng.integers(0, 256, (count, count)).astype(np.uint8)
    draft.tone[:] = numbers[gv.astype(int) % count, gu.astype(int) % count]
    farmed = (numbers / 255.0 < rng.uniform(0.25, 0.85))[gv.astype(int) % count, gu.astype(int) % count]
    draft.material[:] = np.where(farmed, FIELD, GROUND)
    border = (np.minimum(gu % 1, 1 - gu % 1) < 0.022) | (np.minimum(gv % 1, 1 - gv % 1) < 0.022)
    scatter(draft, border, int(rng.integers(0, 5000)), 1.8, 2.2, 0.0, kept=0.2)
    scatter(draft, border, int(rng.integers(40, 300)), 4.0, 9.0, 0.0, kept=0.7)
    scatter(draft, ~farmed, int(rng.integers(0, 90)), 4.5, 10.0, 0.1, kept=0.7)
    return draft


def forest(rng: np.random.Generator, cell: float) -> Draft:
    """Close trees, clearings between."""
    n = CELLS
    height = 13 * fractal_noise(rng, n, 3.5, longest=1.5) + 0.5 * fractal_noise(rng, n, 1.8, longest=20)
    draft = Draft(rng, cell, height.astype(np.float32), smooth(height.astype(np.float32), 5.0))
    patches = fractal_noise(rng, n, 2.2) > rng.uniform(-1.2, -0.2)
    conifers = float(rng.choice([0.03, 0.97, rng.random()]))
    scatter(draft, patches, int(rng.integers(5000, 11000)), 3.4, 13.0, conifers, kept=0.75)
    scatter(draft, patches, 3000, 0.9, 1.3, 0.0, kept=0.0)
    return draft


def arctic(rng: np.random.Generator, cell: float) -> Draft:
    """A plain of snow on the sea, with leads of dark water, pressure ridges and icebergs."""
    n = CELLS
    crack = np.abs(fractal_noise(rng, n, 2.9, longest=2.0))
    lead = crack < rng.uniform(0.04, 0.2)
    drift = 0.25 * fractal_noise(rng, n, 2.6, longest=6)
    ridge = np.clip(1 - 9 * np.abs(fractal_noise(rng, n, 2.6, longest=5)), 0, 1)
    rough = np.abs(fractal_noise(rng, n, 1.6))
    height = 1.3 + drift + rng.uniform(2, 7) * ridge * (0.4 + 0.6 * rough)
    height = np.where(lead, -6.0, height).astype(np.float32)
    berg = fractal_noise(rng, n, 2.7, longest=4.0) + 0.04 * fractal_noise(rng, n, 1.6)
    high = np.clip((berg - rng.uniform(1.7, 2.3)) * 10, 0, 1)
    height += high * (rng.uniform(8, 24) + 5 * fractal_noise(rng, n, 3.4, longest=5))
    draft = Draft(rng, cell, height.astype(np.float32), smooth(height.astype(np.float32), 3.0))
    draft.material[:] = SNOW
    draft.material[(high > 0.05) | (ridge * rough > 0.35)] = ICE
    return draft


def ruins(rng: np.random.Generator, cell: float) -> Draft:
    """Broken walls, rows of columns and fallen blocks on grass or dust."""
    n = CELLS
    height = 1.6 * fractal_noise(rng, n, 3.8, longest=1.5) + 0.10 * fractal_noise(rng, n, 1.8, longest=20)
    draft = Draft(rng, cell, height.astype(np.float32), smooth(height.astype(np.float32), 5.0))
    walls, columns, blocks = [], [], []
    for _ in range(int(rng.integers(18, 34))):  # temples and houses
        x, y = rng.uniform(0, n, 2)
        w, d = rng.uniform(12, 34, 2) / cell
        tall = rng.uniform(3, 11)
        if rng.random() < 0.55:
            step, thick = rng.uniform(3.0, 4.6) / cell, rng.uniform(0.9, 1.5) / cell
            for sx, sy, length, along in ((x, y, w, 0), (x, y + d, w, 0), (x, y, d, 1), (x + w, y, d, 1)):
                for k in range(int(length / step) + 1):
                    left = 1.0 if rng.random() < 0.65 else rng.uniform(0.1, 0.7)
                    px, py = (sx + k * step, sy) if along == 0 else (sx, sy + k * step)
                    columns.append((px, py, px + thick, py + thick, tall * left, 0))
            if rng.random() < 0.6:  # an architrave is left on some
                columns.append((x, y, x + w, y + thick, tall * 0.35, 0))
        else:
            thick = rng.uniform(0.7, 1.3) / cell
            for sx, sy, length, along in ((x, y, w, 0), (x, y + d, w, 0), (x, y, d, 1), (x + w, y, d, 1)):
                at = 0.0
                while at < length:  # pieces of uneven height: a broken edge, with gaps
                    piece = rng.uniform(1.0, 3.5) / cell
                    left = 0.0 if rng.random() < 0.22 else rng.uniform(0.25, 1.0)
                    a, b = at, min(at + piece, length)
                    box = (sx + a, sy, sx + b, sy + thick) if along == 0 else (sx, sy + a, sx + thick, sy + b)
                    walls.append((*box, tall * left, 0))
                    at += piece
    for _ in range(int(rng.integers(100, 400))):
        x, y = rng.uniform(0, n, 2)
        w, d = rng.uniform(0.5, 2.2, 2) / cell
        blocks.append((x, y, x + w, y + d, rng.uniform(0.3, 1.1), 0))
    build(draft, np.array(walls + columns), mark=STONE, blockout=False)
    build(draft, np.array(blocks), mark=STONE)
    scatter(draft, draft.material == GROUND, int(rng.integers(20, 260)), 2.2, 5.0, 0.2, kept=0.5)
    return draft


def sky(rng: np.random.Generator, cell: float) -> Draft:
    """Nothing but air: the ground lies out of every ray's reach."""
    flat = np.full((CELLS, CELLS), -1e5, np.float32)
    return Draft(rng, cell, flat, flat.copy())
