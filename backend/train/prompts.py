"""Prompts in free English from a world's attributes.

Every attribute value has several wordings; some of them are kept out of training (`HELD_OUT`) so that an
evaluation can tell whether the model knows the word or the meaning.
"""

from __future__ import annotations

import re

import numpy as np

from .world import Attributes

WORDINGS: dict[str, tuple[str, ...]] = {
    "alpine": ("a mountain valley", "alpine peaks", "high mountains", "rocky mountains", "a rugged mountain range", "an alpine valley", "mountains and pine slopes"),
    "desert": ("a desert canyon", "desert mesas", "sand dunes and red rock", "an arid desert", "a canyon", "red rock mesas", "dry badlands", "dunes"),
    "coast": ("a rocky coast", "a sea coast with cliffs", "islands in the sea", "an ocean bay", "a shoreline", "cliffs above the sea", "a calm lake"),
    "forest": ("a forest", "wooded hills", "rolling hills with trees", "a dense forest", "hills covered in trees", "woodland", "green hills"),
    "village": ("a village", "a small village with houses", "cottages on a hillside", "a country town", "farm houses in the fields", "old houses in the countryside"),
    "city": ("a city street", "a city skyline", "downtown buildings", "office towers", "an urban street between tall buildings", "city blocks", "a street"),
    "dawn": ("at dawn", "at sunrise", "in the early morning", "at first light", "at daybreak", "in pink morning light", "dawn"),
    "noon": ("at noon", "at midday", "in bright daylight", "in the middle of the day", "by day", "under a high sun", "noon"),
    "dusk": ("at dusk", "at sunset", "in the golden hour", "in the evening", "in warm orange evening light", "at sundown", "sunset"),
    "night": ("at night", "by moonlight", "in the dark of night", "at midnight", "after dark", "on a moonlit night", "night"),
    "clear": ("clear sky", "clear weather", "a cloudless sky", "fair weather", "clear air", "few clouds"),
    "overcast": ("overcast", "overcast sky", "a grey cloudy sky", "heavy clouds", "cloudy weather", "a dull grey sky"),
    "fog": ("fog", "thick fog", "foggy", "dense mist", "misty air", "in the mist", "deep haze"),
    "summer": ("in summer", "summer", "green summer grass", "lush and green", "in the warm season"),
    "autumn": ("in autumn", "autumn", "autumn colours", "orange leaves", "in the fall", "brown grass"),
    "winter": ("in winter", "winter", "covered in snow", "snow", "snowy", "deep snow", "under snow"),
    "dolly": ("slow dolly in", "the camera pushes forward", "push in"),
    "truck": ("trucking shot", "the camera slides sideways", "tracking shot"),
    "crane": ("crane shot", "the camera rises"),
    "orbit": ("orbiting camera", "arc shot"),
    "pan": ("slow pan", "panning shot"),
    "tilt": ("tilt shot", "the camera tilts"),
    "handheld": ("handheld camera", "handheld"),
    "zoom": ("slow zoom", "zoom in"),
    "drone": ("drone shot", "aerial shot"),
    "static": ("static camera", "locked-off shot"),
}  # fmt: skip
HELD_OUT = {
    "at daybreak", "after dark", "at sundown", "under a high sun", "dense mist", "heavy clouds", "fair weather",
    "snowy", "in the fall", "cliffs above the sea", "office towers", "dry badlands",
}  # fmt: skip
STYLES = ("cinematic", "photorealistic", "film still", "wide shot", "establishing shot", "background plate", "")
WORD = re.compile(r"[a-z0-9]+")


def write_prompt(attributes: Attributes, move: str, rng: np.random.Generator, *, held_out: bool = False) -> str:
    """One wording.  Each attribute may go unsaid in training; with `held_out` all are said, unknown wordings first."""

    def say(value: str) -> str:
        options = WORDINGS[value]
        kept = [w for w in options if (w in HELD_OUT) == held_out] or [w for w in options if w not in HELD_OUT]
        return str(rng.choice(kept))

    parts = [say(attributes.kind)]
    rest = [
        say(value)
        for value, chance in ((attributes.time, 0.93), (attributes.weather, 0.9), (attributes.season, 0.85))
        if held_out or rng.random() < chance
    ]
    rng.shuffle(rest)
    if rng.random() < 0.35:
        rest.append(say(move))
    style = str(rng.choice(STYLES))
    if style and rng.random() < 0.5:
        rest.append(style)
    if rest and rng.random() < 0.4:
        # Light first: "sunset, clear sky, a village".
        return ", ".join([*rest[:2], parts[0], *rest[2:]])
    joiner = ", " if rng.random() < 0.7 else " "
    return ", ".join([joiner.join([parts[0], *rest[:1]]), *rest[1:]])


def vocabulary() -> list[str]:
    """Every word the training prompts are made of, sorted."""
    texts = [w for options in WORDINGS.values() for w in options if w not in HELD_OUT] + list(STYLES)
    return sorted({word for text in texts for word in WORD.findall(text)})
