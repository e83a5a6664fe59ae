"""The light of a time of day under a weather: sun or moon, sky colours, haze, clouds.  Scene-linear Rec.709."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .materials import WITHOUT_SEASON
from .world import Attributes


@dataclass(frozen=True, eq=False)
class Light:
    """sun: unit vector towards the sun or moon; sun_colour, zenith, horizon: scene-linear, [3]; haze: extinction per
    metre; veil: optical thickness of the haze before the zenith sky; cover: share of the sky under cloud; lamps: how
    far lamps and windows are on; stars, storm, wet: 0 … 1; fall: 0 nothing, 1 rain, 2 snow; winter, autumn: 0 … 1;
    disc: radiance of the sun's or moon's disc over that of its colour, and disc_size: cosine of its radius."""

    sun: NDArray[np.float64]
    sun_colour: NDArray[np.float64]
    zenith: NDArray[np.float64]
    horizon: NDArray[np.float64]
    haze: float
    veil: float
    cover: float
    lamps: float
    stars: float
    storm: float
    wet: float
    fall: int
    winter: float
    autumn: float
    disc: float
    disc_size: float


# Altitude range (degrees), sun, zenith, horizon, tint of thick cloud.  The horizon is that away from a low sun, so it is
# also what haze and shaded surfaces take on; the warm band on the sun's side is sky()'s, of the sun's own colour.
_SKY = {
    "dawn": ((5, 14), (1.75, 1.08, 0.82), (0.14, 0.24, 0.50), (0.46, 0.42, 0.52), (1.0, 0.97, 1.06)),
    "noon": ((42, 70), (2.2, 2.04, 1.80), (0.065, 0.19, 0.57), (0.46, 0.61, 0.82), (1.0, 1.0, 1.05)),
    "dusk": ((3, 10), (2.7, 1.10, 0.29), (0.100, 0.165, 0.46), (0.40, 0.33, 0.44), (1.20, 0.96, 0.92)),
    "bluehour": ((2, 6), (0.19, 0.125, 0.10), (0.023, 0.068, 0.28), (0.085, 0.185, 0.40), (0.72, 0.95, 1.42)),
    "night": ((20, 55), (0.12, 0.16, 0.27), (0.007, 0.013, 0.042), (0.021, 0.035, 0.086), (0.85, 0.95, 1.25)),
}
_LAMPS = {"dawn": 0.15, "noon": 0.0, "dusk": 0.5, "bluehour": 0.9, "night": 1.0}
# Metres over which a kind's typical view extends: fog of one visual density for all.
_REACH = {
    "alpine": 420.0, "desert": 170.0, "canyon": 150.0, "coast": 190.0, "sea": 220.0, "hills": 170.0, "forest": 55.0,
    "arctic": 140.0, "village": 75.0, "city": 75.0, "ruins": 45.0, "interior": 60.0, "sky": 1000.0,
    "quarry": 110.0, "harbour": 110.0,
}  # fmt: skip
_WEATHER = {  # sun, greyness of the sky, brightness of the sky, haze over a reach, veil, cover
    "clear": (1.0, 0.0, 1.0, (0.01, 0.04), (0.0, 0.0), (0.0, 0.45)),
    "haze": (0.6, 0.35, 1.05, (0.16, 0.32), (0.10, 0.2), (0.0, 0.2)),
    "overcast": (0.10, 0.8, 1.10, (0.03, 0.10), (0.0, 0.02), (0.85, 1.0)),
    "fog": (0.12, 0.75, 1.05, (0.6, 1.15), (2.0, 4.0), (0.9, 1.0)),
    "rain": (0.05, 0.85, 0.92, (0.15, 0.32), (0.25, 0.6), (0.9, 1.0)),
    "snowfall": (0.10, 0.8, 1.05, (0.18, 0.36), (0.6, 1.2), (0.9, 1.0)),
    "storm": (0.40, 0.45, 0.78, (0.04, 0.10), (0.0, 0.0), (0.85, 1.0)),
}


_WIND = {"clear": 0.012, "haze": 0.008, "overcast": 0.016, "fog": 0.004, "rain": 0.03, "snowfall": 0.016, "storm": 0.06}


def make_wind(attributes: Attributes, seed: int) -> tuple[float, float]:
    """How far the wind carries a treetop, in x and y, metres for each metre of height."""
    rng = np.random.default_rng([seed, 8])
    towards, strength = rng.uniform(0, 2 * math.pi), _WIND[attributes.weather] * rng.uniform(0.5, 1.5)
    return strength * math.cos(towards), strength * math.sin(towards)


def make_light(attributes: Attributes, seed: int) -> Light:
    """The light of a time of day under a weather, varied by seed."""
    rng = np.random.default_rng([seed, 3])
    kind, time, weather = attributes.kind, attributes.time, attributes.weather
    (low, high), sun, zenith, horizon, cast = _SKY[time]
    altitude, azimuth = math.radians(rng.uniform(low, high)), rng.uniform(0, 2 * math.pi)
    tint, level = rng.uniform(0.93, 1.07, 3), rng.uniform(0.88, 1.12)
    sun_colour, zen, hor = (np.array(c) * tint * level for c in (sun, zenith, horizon))
    through, grey, bright, haze, veil, cover = _WEATHER[weather]
    if time == "night":
        bright *= 1.0 + 1.6 * grey  # low cloud throws the towns' light back
    pale = np.array(cast) * (0.35 * zen.mean() + 0.65 * hor.mean())
    # Grey weather keeps a share of the hour's own colour: an overcast sunset is not a noon.
    zen = bright * ((1 - grey) * zen + grey * (0.72 * pale + 0.28 * hor))
    hor = bright * ((1 - 0.8 * grey) * hor + 0.8 * grey * pale)
    haze_metre = rng.uniform(*haze) / _REACH[kind]
    season = "summer" if kind in WITHOUT_SEASON else attributes.season
    if season == "winter" or kind == "arctic":
        exposure = 0.72  # the photographer stops down for snow
    else:
        exposure = 1.0
    direction = (math.cos(altitude) * math.cos(azimuth), math.cos(altitude) * math.sin(azimuth), math.sin(altitude))
    moon = time == "night"
    return Light(
        sun=np.array(direction),
        sun_colour=sun_colour * through * exposure,
        zenith=zen * exposure,
        horizon=hor * exposure,
        haze=haze_metre,
        veil=rng.uniform(*veil),
        cover=max(rng.uniform(*cover), 0.22 if kind == "sky" else 0.0),
        lamps=max(_LAMPS[time], 0.3 if weather in ("storm", "rain") else 0.0),
        stars={"night": 1.0, "bluehour": 0.15}.get(time, 0.0),
        storm=float(weather == "storm"),
        wet=1.0 if weather == "rain" else 0.5 if weather == "storm" else 0.0,
        fall={"rain": 1, "snowfall": 2}.get(weather, 0) if kind != "interior" else 0,
        winter=1.0 if season == "winter" else 0.35 if weather == "snowfall" and kind not in WITHOUT_SEASON else 0.0,
        autumn=float(season == "autumn"),
        disc={"night": 16.0, "bluehour": 0.0}.get(time, 36.0) if weather in ("clear", "haze") else 0.0,
        disc_size=math.cos(math.radians(1.3 if moon else 0.9)),
    )
