"""Words that name a time of day, a weather or a season outright, and which of those no shot can have together.

A world has one of each, so a prompt that names two which exclude each other was never trained on.  Most words fit
several ("evening light", "long shadows", "snow" in the air or on the ground) and are left out: a table of what can only
mean one thing, so that a caution is worth reading.
"""

from __future__ import annotations

# Taught phrases that name a value, without articles and prepositions where they mean the same.
NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "time of day": {
        "dawn": ("dawn", "sunrise", "first light", "morning", "sun rises"),
        "noon": ("noon", "midday", "daylight", "daytime", "by day", "middle of day"),
        "dusk": ("dusk", "sunset", "evening", "golden hour", "sun sets", "low golden sun"),
        "bluehour": ("blue hour", "twilight", "after sunset"),
        "night": ("night", "midnight", "nighttime", "moonlight", "moonlit", "under stars"),
    },
    "weather": {
        "clear": ("clear sky", "clear weather", "cloudless", "fine weather", "good weather"),
        "overcast": ("overcast", "cloudy", "grey sky"),
        "fog": ("thick fog", "foggy"),
        "rain": ("rain", "rainy", "wet weather"),
        "snowfall": (
            "snowfall", "falling snow", "snow falling", "snowstorm", "snowflakes", "snowing", "snow in air",
        ),
        "storm": ("storm", "stormy", "thunderstorm", "threatening sky", "storm coming"),
    },
    "season": {
        "summer": ("summer", "summertime", "warm season"),
        "autumn": ("autumn", "fall colors"),
        "winter": ("winter", "wintry", "covered in snow", "under snow", "deep snow", "snow on ground"),
    },
}  # fmt: skip
# Of the phrase book (phrases.py), whose own words are not taught: those that name the value they are read as.
SAID: dict[str, tuple[str, ...]] = {
    "dawn": ("sun is rising", "rising sun", "sun rising", "sun comes up", "sun coming up"),
    "noon": ("high sun", "sun overhead", "overhead sun", "sun directly overhead", "noonday sun", "zenith sun"),
    "dusk": ("setting sun", "sun is setting", "sun setting", "sun goes down", "sun going down"),
    "night": ("after dark", "starry sky", "under moon", "full moon", "milky way"),
    "clear": ("blue sky", "blue skies", "clear skies", "sunny", "no clouds", "without clouds", "cloud free"),
    "overcast": ("leaden sky", "grey skies", "gray skies", "gray sky", "blanket of clouds", "full cloud cover"),
    "fog": ("dense fog", "heavy fog", "pea soup", "zero visibility"),
    "rain": ("pouring down", "torrential", "bucketing down"),
    "snowfall": ("falling flakes", "flakes falling", "blizzard conditions"),
    "summer": ("june", "july", "august"),
    "autumn": ("september", "indian summer", "fall foliage", "fall season"),
    "winter": ("buried in snow", "blanket of snow", "blanketed in snow", "christmas"),
}
# What these fit as well; of phrases above, and of words that the thesaurus reads as one of them.
LOOSE: dict[str, tuple[str, ...]] = {
    "morning": ("noon",),
    "daylight": ("dawn", "dusk"),
    "daytime": ("dawn", "dusk"),
    "by day": ("dawn", "dusk"),
    "afternoon": ("dusk",),
    "golden hour": ("dawn",),
    "low golden sun": ("dawn",),
    "dusk": ("bluehour",),
    "evening": ("bluehour",),
    "moonlight": ("dawn", "dusk"),
    "moonlit": ("dawn", "dusk"),
    "full moon": ("dawn", "dusk"),
    "wet weather": ("snowfall",),
    "storm coming": ("clear",),
    "spring": ("autumn", "winter"),
    "frost": ("summer", "autumn"),
    "frosty": ("summer", "autumn"),
    "frosted": ("summer", "autumn"),
    "freezing": ("summer", "autumn"),
    "november": ("winter",),
}
# These name nothing, though a word of theirs does.
IDIOMS = ("midnight sun", "day for night", "rain forest", "rain soaked", "soaked in rain")
# Words before a name that take it back, or put it at another time than the shot's.
TAKES_BACK = frozenset(
    (
        "no", "not", "without", "never", "after", "before", "until", "between", "last", "from", "than", "like", "partly",
        "almost", "nearly",
    )
)  # fmt: skip
_EXCLUDING: dict[str, tuple[str, ...]] = {
    # Between dusk and night, and night and dawn, lies the blue hour, which goes with either.
    "dawn": ("noon", "dusk", "night"),
    "noon": ("dusk", "bluehour", "night"),
    "dusk": ("night",),
    # Haze goes with every weather; under clouds there may be fog, rain, snow and storm.
    "clear": ("overcast", "fog", "rain", "snowfall", "storm"),
    "rain": ("snowfall",),
    "summer": ("autumn", "winter"),
    "autumn": ("winter",),
}
EXCLUDING = frozenset(frozenset((one, other)) for one, others in _EXCLUDING.items() for other in others)


def values_of(*phrases: str, value: str) -> frozenset[str]:
    """What a name of `value` fits, given the phrases it was said in and read as."""
    return frozenset((value, *(more for phrase in phrases for more in LOOSE.get(phrase, ()))))


def exclude(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether no shot can have a value of `one` and a value of `other`."""
    return all(frozenset((a, b)) in EXCLUDING for a in one for b in other)
