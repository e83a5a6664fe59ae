"""What a world is made of: the number of each material in a world's material map, and what the words of its attributes are."""

from __future__ import annotations

KINDS = (
    "alpine", "desert", "canyon", "coast", "sea", "hills", "forest",
    "arctic", "village", "city", "ruins", "interior", "sky",
)  # fmt: skip
TIMES = ("dawn", "noon", "dusk", "bluehour", "night")
WEATHERS = ("clear", "haze", "overcast", "fog", "rain", "snowfall", "storm")
SEASONS = ("summer", "autumn", "winter")
# Here a season would not show, so neither the picture nor the prompt tells it.
WITHOUT_SEASON = ("sea", "interior", "sky", "desert", "arctic")

GROUND, ROCK, SAND, TREE, WALL, ROAD, CONIFER, PAVING, FIELD, SNOW, ICE, STONE, FLOOR, WOOD = range(14)
WATER, CEILING, VEHICLE, FIGURE, NOTHING = 14, 15, 16, 17, 255  # not in the material map: planes, movers, the sky
