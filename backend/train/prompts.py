"""Prompts in free English from a world's attributes.

Every attribute value has several wordings; some of them are kept out of training (`HELD_OUT`), and others were written
by someone else (`FRESH`), so that an evaluation can tell whether the model knows the word or the meaning.  `HELD_OUT_PAIRS` are pairs of a kind and a time
that training never shows together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from .materials import WITHOUT_SEASON
from .movers import SEEN_AS
from .world import Attributes

WORDINGS: dict[str, tuple[str, ...]] = {
    "alpine": ("a mountain valley", "alpine peaks", "high mountains", "rocky mountains", "a rugged mountain range", "an alpine valley", "mountains and pine slopes", "snowy summits", "mountain ridges above a valley", "granite peaks", "a mountain pass", "the alps"),
    "desert": ("a desert", "sand dunes", "an arid desert", "dunes", "a sea of sand", "rolling sand dunes", "a sandy desert", "golden dunes", "desert sand and dunes", "the sahara", "an empty desert", "wind blown sand dunes"),
    "canyon": ("a canyon", "a desert canyon", "red rock mesas", "desert mesas", "sand dunes and red rock", "a red canyon", "dry badlands", "buttes and mesas", "a slot canyon", "sandstone cliffs", "a gorge between red walls", "layered red rock", "a western landscape of red buttes"),
    "coast": ("a rocky coast", "a sea coast with cliffs", "islands in the sea", "an ocean bay", "a shoreline", "cliffs above the sea", "a calm lake", "a beach", "a coastline with cliffs", "a sandy bay", "a seashore", "headlands and beaches"),
    "sea": ("the open sea", "open water", "the ocean", "the open ocean", "waves on the sea", "an endless ocean", "a wide sea and the horizon", "high seas", "ocean waves", "water to the horizon"),
    "hills": ("rolling hills", "green hills", "rolling grassland", "fields and meadows", "farmland", "rolling hills with trees", "meadows and hedges", "crop fields", "the countryside", "patchwork fields", "grassy hills", "pastures"),
    "forest": ("a forest", "wooded hills", "a dense forest", "hills covered in trees", "woodland", "a pine forest", "a wood", "deep woods", "trees", "a forest clearing", "tall trees", "the edge of a wood"),
    "arctic": ("an arctic plain", "the arctic", "polar ice", "icebergs", "a frozen sea", "pack ice", "an ice field", "a polar landscape", "drift ice and dark water", "a frozen wasteland", "the antarctic", "glacier ice"),
    "village": ("a village", "a small village with houses", "cottages on a hillside", "a country town", "farm houses in the fields", "old houses in the countryside", "a rural village", "a hamlet", "houses with red roofs", "a village with a church", "cottages", "a quaint village"),
    "city": ("a city street", "a city skyline", "downtown buildings", "office towers", "an urban street between tall buildings", "city blocks", "a street", "a city", "skyscrapers", "an avenue", "a downtown street", "tall buildings", "a metropolis"),
    "ruins": ("ruins", "ancient ruins", "a ruined temple", "broken columns", "crumbling walls", "the ruins of a town", "fallen columns and walls", "an abandoned temple", "antique ruins", "stone ruins", "old broken walls", "an archaeological site"),
    "interior": ("an interior", "a room", "a hall", "inside a large hall", "a room with furniture", "indoors", "an empty room", "a hall with pillars", "the inside of a house", "a living room", "an indoor scene", "a loft"),
    "sky": ("the sky", "clouds", "only sky", "a sky with clouds", "above the clouds", "a skyscape", "looking up at the sky", "the open sky", "a sea of clouds", "nothing but sky", "the heavens"),
    "dawn": ("at dawn", "at sunrise", "in the early morning", "at first light", "at daybreak", "in pink morning light", "dawn", "sunrise", "early morning", "as the sun rises", "in the morning"),
    "noon": ("at noon", "at midday", "in bright daylight", "in the middle of the day", "by day", "under a high sun", "noon", "midday", "daytime", "in full daylight", "daylight"),
    "dusk": ("at dusk", "at sunset", "in the golden hour", "in the evening", "in warm orange evening light", "at sundown", "sunset", "golden hour", "evening", "dusk", "as the sun sets", "in low golden sun"),
    "bluehour": ("at blue hour", "in the blue hour", "at twilight", "blue hour", "after sunset", "in blue twilight", "twilight", "at nightfall", "in the last blue light", "in deep blue light"),
    "night": ("at night", "by moonlight", "in the dark of night", "at midnight", "after dark", "on a moonlit night", "night", "midnight", "nighttime", "under the stars", "under a night sky", "in the dark"),
    "clear": ("clear sky", "clear weather", "a cloudless sky", "fair weather", "clear air", "few clouds", "a clear sky", "fine weather", "good weather", "crisp air"),
    "haze": ("haze", "hazy", "a light haze", "hazy air", "in soft haze", "dusty air", "atmospheric haze", "deep haze", "a hazy sky", "smoky air"),
    "overcast": ("overcast", "overcast sky", "a grey cloudy sky", "heavy clouds", "cloudy weather", "a dull grey sky", "cloudy", "a grey sky", "soft grey light", "a cloudy sky", "flat light"),
    "fog": ("fog", "thick fog", "foggy", "dense mist", "misty air", "in the mist", "mist", "in fog", "in thick fog", "misty", "a foggy day"),
    "rain": ("rain", "in the rain", "rainy weather", "heavy rain", "rainy", "pouring rain", "wet and rainy", "a downpour", "rain falling", "a rainy day", "wet weather", "a shower"),
    "snowfall": ("snowfall", "falling snow", "snow falling", "a snowstorm", "snowflakes", "heavy snowfall", "it is snowing", "snowing", "a blizzard", "snow in the air"),
    "storm": ("a storm", "stormy", "storm clouds", "dark storm clouds", "stormy weather", "a thunderstorm", "a storm coming", "storm light", "a dramatic stormy sky", "a threatening sky", "thunderclouds"),
    "summer": ("in summer", "summer", "green summer grass", "lush and green", "in the warm season", "summertime", "a summer day", "green leaves"),
    "autumn": ("in autumn", "autumn", "autumn colours", "orange leaves", "in the fall", "brown grass", "autumn colors", "red and orange foliage", "fall colors", "autumn leaves"),
    "winter": ("in winter", "winter", "covered in snow", "snow", "snowy", "deep snow", "under snow", "wintry", "a winter landscape", "snow on the ground", "snow covered"),
    "cars": ("cars", "cars in the street", "cars driving by", "parked cars", "with cars", "a car passing", "street traffic", "vehicles", "vehicles in the street"),
    "people": ("people", "people walking", "walking figures", "with people", "figures in the distance", "passers-by", "a few people walking", "pedestrians"),
    "dolly": ("slow dolly in", "the camera pushes forward", "push in", "dolly shot", "dolly in", "the camera moves forward"),
    "truck": ("trucking shot", "the camera slides sideways", "tracking shot", "lateral tracking shot", "slider shot"),
    "crane": ("crane shot", "the camera rises", "jib shot", "the camera cranes up", "boom up"),
    "orbit": ("orbiting camera", "arc shot", "the camera orbits", "the camera circles around"),
    "pan": ("slow pan", "panning shot", "the camera pans", "pan shot"),
    "tilt": ("tilt shot", "the camera tilts", "slow tilt"),
    "handheld": ("handheld camera", "handheld", "shaky handheld camera", "handheld shot"),
    "zoom": ("slow zoom", "zoom in", "zoom shot", "the lens zooms"),
    "dollyzoom": ("dolly zoom", "vertigo shot", "a dolly zoom shot", "vertigo effect"),
    "drone": ("drone shot", "aerial shot", "flying camera", "aerial view", "drone footage"),
    "static": ("static camera", "locked-off shot", "tripod shot", "fixed camera", "still camera"),
}  # fmt: skip
# Kinds of scene that training never shows, in words that its vocabulary need not have: the model says which it lacks.
NEW_KINDS: dict[str, tuple[str, ...]] = {
    "quarry": ("a quarry", "a stone quarry", "an open pit mine", "a terraced quarry", "an open cast mine", "quarry benches and spoil heaps"),
    "harbour": ("a harbour", "a container port", "a cargo port with cranes", "container ships at a quay", "a harbour with cranes and containers", "docks"),
}  # fmt: skip
HELD_OUT_KINDS = tuple(NEW_KINDS)
HELD_OUT = {
    "at daybreak", "after dark", "at sundown", "under a high sun", "at nightfall", "dense mist", "heavy clouds",
    "fair weather", "smoky air", "a downpour", "a blizzard", "thunderclouds", "snowy", "in the fall",
    "cliffs above the sea", "office towers", "dry badlands", "pastures", "a hamlet", "glacier ice", "the heavens",
    "street traffic", "pedestrians",
}  # fmt: skip
# Wordings for evaluations, by someone who knew neither the list above nor the thesaurus and the phrase book of the model;
# those that the list above teaches are left out.
FRESH: dict[str, tuple[str, ...]] = {
    "alpine": ("snow-capped peaks", "a jagged mountain range", "the swiss alps", "a high mountain pass", "towering craggy summits", "majestic mountaintops",),
    "desert": ("a vast desert", "endless rippling dunes", "a sandy wasteland", "desert dunes", "windswept arabian sands",),
    "canyon": ("a red rock canyon", "mesas and buttes", "monument valley", "a deep sandstone gorge", "grand canyon vista", "wild west buttes", "towering red sandstone cliffs", "red rock badlands",),
    "coast": ("a sandy beach", "a secluded bay", "rugged shoreline", "seaside cliffs", "waves crashing on the rocks", "a tropical beach with palms", "a hidden cove",),
    "sea": ("rolling ocean swell", "nothing but water", "in the middle of the atlantic", "endless waves to the horizon", "out on the high seas", "mid-ocean with no land",),
    "hills": ("rolling green hills", "patchwork fields and hedgerows", "gentle pastures", "grassy slopes with grazing sheep", "green hills and meadows", "wide open farm fields", "lush undulating pastureland",),
    "forest": ("deep in the woods", "among tall pine trees", "a grove of giant redwoods", "old-growth forest", "thick mossy woods", "a path through the trees",),
    "arctic": ("an arctic ice field", "frozen polar wasteland", "the north pole", "an endless plain of ice", "antarctica", "pack ice to the horizon", "a barren ice sheet", "polar ice cap",),
    "village": ("a sleepy little village", "a rural hamlet", "country cottages", "farmhouses along a country lane", "a cluster of thatched cottages", "small houses in the countryside", "a tiny rustic settlement",),
    "city": ("downtown", "a street lined with skyscrapers", "a big city avenue", "an urban street with high-rises", "between tall office towers", "a bustling metropolis", "manhattan",),
    "ruins": ("a crumbling greek temple", "broken marble columns", "overgrown temple ruins", "remains of a roman forum", "what's left of an ancient temple", "toppled pillars of a lost civilization", "a collapsed colonnade",),
    "interior": ("inside a grand hall", "a castle throne room", "an empty ballroom", "indoors in a large room", "an old living room", "a warehouse interior", "inside a cathedral", "a long vaulted corridor",),
    "sky": ("just sky and clouds", "a cloudscape", "nothing but clouds", "big puffy cumulus clouds", "a dramatic sky", "high up among the clouds", "view from an airplane window",),
    "dawn": ("at daybreak", "as the sun comes up", "at the crack of dawn", "just after sunup",),
    "noon": ("with the sun directly overhead", "high noon", "in harsh overhead sunlight", "in broad daylight", "with the sun at its highest",),
    "dusk": ("as the sun goes down", "at sundown", "in warm low evening sun", "in the last rays of sunlight", "with the sun setting",),
    "bluehour": ("just after sunset", "in deep blue evening light", "right after the sun has set", "in the gloaming", "with the last light fading", "in the blue of early evening",),
    "night": ("under a full moon", "in the dead of night", "long after dark", "under a starry sky", "in the small hours",),
    "clear": ("clear skies", "not a cloud in sight", "cloudless", "crystal clear", "bright blue sky", "sunny", "fair weather", "no clouds at all",),
    "haze": ("a bit of haze", "smoggy air", "dusty atmosphere", "milky air", "the distance softly washed out", "strong atmospheric perspective", "smog in the air",),
    "overcast": ("grey skies", "heavy cloud cover", "flat grey light", "under a blanket of clouds", "sun hidden behind clouds", "dull leaden sky",),
    "fog": ("shrouded in mist", "dense mist rolling in", "thick as pea soup", "mist hanging low", "lost in the mist",),
    "rain": ("raining", "a heavy downpour", "pouring down", "light drizzle", "scattered showers", "wet and drizzling", "bucketing down",),
    "snowfall": ("light snowfall", "snow flurries", "in a blizzard", "snowflakes drifting down", "snow coming down hard",),
    "storm": ("a storm rolling in", "thunder and lightning", "dark threatening clouds", "ominous black thunderheads", "brooding thunderclouds", "a raging tempest", "lightning crackling overhead",),
    "summer": ("midsummer", "in july", "in the dog days", "the hottest time of year", "august greenery", "lush green foliage", "during the warm months",),
    "autumn": ("in october", "golden leaves", "leaves turning red and orange", "autumnal", "in the fall", "fallen leaves everywhere",),
    "winter": ("snow-covered", "blanketed in white", "in january", "everything buried under snow", "the depths of winter", "covered in fresh snow",),
}  # fmt: skip
HELD_OUT_PAIRS = {
    ("alpine", "dusk"), ("coast", "dawn"), ("city", "bluehour"), ("desert", "night"), ("village", "noon"),
    ("ruins", "dawn"),
}  # fmt: skip
STYLES = (
    "cinematic", "photorealistic", "film still", "wide shot", "establishing shot", "background plate", "matte painting",
    "photograph", "realistic", "high detail", "35mm film", "anamorphic", "dramatic light", "natural light",
    "beautiful", "a plate for visual effects", "highly detailed", "movie scene", "landscape photography",
)  # fmt: skip
OPENINGS = (
    "",
    "",
    "",
    "",
    "a shot of ",
    "a view of ",
    "a photo of ",
    "a wide view of ",
    "footage of ",
    "a picture of ",
    "a scene with ",
)
WORD = re.compile(r"[a-z0-9]+")


def is_held_out(attributes: Attributes) -> bool:
    """Whether training must never show these attributes together."""
    return (attributes.kind, attributes.time) in HELD_OUT_PAIRS


def write_prompt(
    attributes: Attributes,
    move: str,
    rng: np.random.Generator,
    *,
    seen: Sequence[str] = (),
    held_out: bool = False,
    complete: bool = False,
) -> str:
    """One wording.  Each attribute may go unsaid in training; with `complete` all are said, with `held_out` too,
    and in wordings of FRESH where there are any.  seen: what moves in the picture ("cars", "people"), said last, so that the words
    before are the same with and without.

    Where a season does not show (WITHOUT_SEASON) it is never said.
    """

    def say(value: str) -> str:
        options = NEW_KINDS[value] if value in NEW_KINDS else WORDINGS[value]
        taught = [w for w in options if w not in HELD_OUT]
        unknown = FRESH.get(value) or [w for w in options if w in HELD_OUT]
        return str(rng.choice(unknown if held_out and unknown else taught))

    text = _wording(attributes, move, rng, say, held_out or complete)
    told = [say(value) for value in seen if held_out or complete or rng.random() < 0.85]
    return ", ".join([text, *told])


def _wording(
    attributes: Attributes, move: str, rng: np.random.Generator, say: Callable[[str], str], complete: bool
) -> str:
    """The place, its light and its weather, the camera and the style, in one of many orders."""
    subject = say(attributes.kind)
    indoors = attributes.kind == "interior"
    chances = [(attributes.time, 0.93), (attributes.weather, 0.4 if indoors else 0.9)]
    if attributes.kind not in WITHOUT_SEASON:
        chances.append((attributes.season, 0.85))
    rest = [say(value) for value, chance in chances if complete or rng.random() < chance]
    rng.shuffle(rest)
    if rng.random() < 0.35:
        rest.append(say(move))
    if rng.random() < 0.45:
        rest += [str(style) for style in rng.choice(STYLES, int(rng.integers(1, 3)), replace=False)]
    order = rng.random()
    if rest and order < 0.35:  # light first: "sunset, clear sky, a village"
        first = int(rng.integers(1, min(len(rest), 3) + 1))
        return ", ".join([*rest[:first], subject, *rest[first:]])
    subject = str(rng.choice(OPENINGS)) + subject
    if order < 0.55:  # one sentence: "a village at sunset with clear sky"
        return " ".join([subject, *rest[:1]]) + "".join(", " + part for part in rest[1:])
    if order < 0.62:
        return " ".join([subject, *rest])
    return ", ".join([subject, *rest])


def vocabulary(movers: bool = False) -> list[str]:
    """Every word the training prompts are made of, sorted; movers: those for what moves too, which a network trained
    without it has no place for."""
    said = [options for value, options in WORDINGS.items() if movers or value not in SEEN_AS.values()]
    texts = [w for options in said for w in options if w not in HELD_OUT] + [*STYLES, *OPENINGS]
    return sorted({word for text in texts for word in WORD.findall(text)})
