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
    "alpine": ("high mountain range", "jagged peaks", "alpine valley beneath towering summits", "craggy summits above the tree line", "steep mountain pass", "a wall of rocky mountains", "view from a high ridgeline", "himalayan massif", "the roof of the world, sheer pinnacles", "big mountains like in the alps",),
    "desert": ("endless desert", "rolling dunes to the horizon", "saharan wasteland", "wind-rippled sand, no vegetation", "empty quarter, arabia", "big sandy place with nothing around", "dune field", "barren sand planet landscape",),
    "canyon": ("red rock canyon", "mesas and buttes", "deep gorge with sandstone walls", "monument valley vista", "old western badlands with rock towers", "slot between layered red cliffs", "table mountains of red stone", "arizona red rocks", "a ravine cut through ochre rock", "grand canyon overlook",),
    "coast": ("rocky shoreline", "beach with waves breaking", "sea cliffs above the surf", "sheltered bay", "rugged coast", "where the land meets the sea", "sandy cove between headlands", "seaside with rocks", "tide pools along the shore", "irish coastal cliffs",),
    "sea": ("nothing but water to the horizon", "middle of the atlantic", "deep water far from any shore", "empty seascape, no land in sight", "vast expanse of water", "far out at sea", "ocean surface plate", "blue water far offshore", "waves and swell in every direction",),
    "hills": ("rolling green hills", "patchwork farmland", "gentle grassy slopes", "pastures and hedgerows", "tuscan farm fields, no buildings", "the shire, soft green knolls", "open meadows and fields", "undulating pastureland", "grazing land with low hills", "soft rounded downs",),
    "forest": ("dense woodland", "deep in the woods", "among tall pines", "old-growth forest", "a grove of ancient oaks", "redwood trunks all around", "thick jungle", "tangle of trees and undergrowth", "path through the trees", "under the forest canopy",),
    "arctic": ("polar ice plain", "frozen tundra wasteland", "antarctic ice sheet", "endless white ice field", "pack ice and pressure ridges", "arctic expanse", "glacier flats at the north pole", "ice planet surface", "icebergs and floes", "polar explorer's frozen plain",),
    "village": ("small countryside village", "cluster of thatched cottages", "rural hamlet", "farmhouses along a country lane", "sleepy little town with a steeple", "medieval peasant settlement", "a few houses in the country", "quaint cottages around a green", "hobbit-like country homes", "rustic stone houses and barns",),
    "city": ("skyscrapers on both sides", "urban canyon between high-rises", "big city avenue", "manhattan block", "metropolis seen from street level", "busy metropolitan boulevard with tall buildings", "concrete jungle", "modern cityscape", "office towers and traffic",),
    "ruins": ("crumbling greek temple", "remains of a lost civilization", "collapsed roman forum", "fallen marble pillars", "toppled colonnade overgrown with weeds", "weathered archaeological site", "what is left of an old temple", "shattered stones of a forgotten empire",),
    "interior": ("grand hall", "inside a room", "castle throne room", "interior set with windows", "cathedral nave, indoors", "long corridor with wooden floors", "empty ballroom", "library with high ceilings", "inside of a big house",),
    "sky": ("sky replacement plate", "cloudscape", "high above the earth, only air", "up in the air, no ground", "nothing but the heavens", "view from an airplane window", "the wide firmament, no horizon", "aerial backdrop among the clouds", "looking straight up into the air",),
    "dawn": ("at daybreak", "as the sun comes up", "at the crack of dawn", "when the day is just beginning", "at cockcrow", "with the sun just rising", "in the first rays of morning",),
    "noon": ("at high noon", "sun directly overhead", "at twelve o'clock in the day", "around lunchtime", "with the sun at its zenith", "when the sun is highest", "harsh top-down daylight", "in broad daylight",),
    "dusk": ("evening golden hour", "as the sun goes down", "at sundown", "in late evening sunlight", "low warm sun at day's end", "with the sun sinking in the west", "magic hour, setting sun", "in the last rays of the day", "when the sun is setting",),
    "bluehour": ("during the blue hour", "in the twilight after sunset", "just after the sun has set", "deep blue afterglow, sun already gone", "sun below the horizon, indigo evening light", "in the gloaming", "between sunset and night", "civil twilight, cool blue ambient", "when the last daylight is fading", "evening twilight, not yet dark",),
    "night": ("at the witching hour", "after dark", "in the moonlight", "in the dead of night", "in the pitch-dark hours", "in the small hours", "long after everyone is asleep", "when only the moon is up", "nocturnal scene",),
    "clear": ("clear skies", "cloudless", "not a cloud in the sky", "perfect visibility, no clouds", "crisp clean air", "unclouded heavens", "beautifully clear", "no clouds, no atmospherics",),
    "haze": ("light atmospheric haze", "soft aerial perspective, milky distance", "smoggy", "smoke hanging in the air", "thin veil softening the distance", "low contrast, washed-out distance", "faint smoky atmosphere", "air thick with dust particles",),
    "overcast": ("grey skies", "flat grey cloud cover", "under a blanket of clouds", "solid cloud deck, diffuse shadowless light", "leaden sky", "completely clouded over", "dull grey weather", "thick stratus layer overhead",),
    "fog": ("thick mist", "shrouded in mist", "pea soup", "can barely see ten meters ahead", "dense fog bank", "wrapped in a damp white murk", "low-lying ground mist", "everything fading into white vapor",),
    "rain": ("raining", "steady drizzle", "pouring down", "wet, with drops falling everywhere", "a downpour", "light showers", "bucketing down", "drenched by a passing shower", "water streaming from the sky",),
    "snowfall": ("big flakes drifting down", "snowflakes in the air", "blizzard", "flurries", "thick flakes coming down", "swirling white flakes", "whiteout conditions, flakes blowing sideways",),
    "storm": ("towering thunderclouds", "brewing tempest", "ominous black clouds gathering", "dark dramatic light, lightning flashes", "thunder rolling in", "menacing supercell overhead", "violent squall", "angry thundery sky",),
    "summer": ("midsummer", "in july", "during the hottest months", "height of the warm season", "in august", "june greenery", "in the long hot school holidays", "dog days", "vegetation at its fullest green",),
    "autumn": ("in the fall", "october colors", "fall foliage", "leaves turning red and gold", "in november", "harvest season", "russet and amber leaves", "when the leaves are falling", "autumnal palette",),
    "winter": ("in january", "wintertime", "under a thick white blanket of snow", "deep in the cold season", "snowbound", "frozen ground with settled snow", "around christmas, everything white",),
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


def vocabulary() -> list[str]:
    """Every word the training prompts are made of, sorted."""
    texts = [w for options in WORDINGS.values() for w in options if w not in HELD_OUT] + [*STYLES, *OPENINGS]
    return sorted({word for text in texts for word in WORD.findall(text)})
