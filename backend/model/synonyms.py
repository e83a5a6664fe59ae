"""A thesaurus for the word encoder: everyday words it was never taught, each read as one that it was.

A word list learned from a world's own prompts knows "dawn" and has no idea of "daybreak".  The network behind it
cannot tell; a list written by hand can.  A plate's report names every word that was read as another.
"""

from __future__ import annotations

from collections.abc import Container

# The word that is taught, then those read as it.
_GROUPS = """
dawn: daybreak sunup cockcrow aurora
morning: mornings breakfast
noon: noontime midafternoon afternoon lunchtime
daylight: sunlight sunlit sunny sunshine
dusk: sundown eventide gloaming
twilight: nightfall
night: nocturnal nightly nights nightscape
midnight: nighttide
dark: darkness
moonlight: moon moonshine moonbeams
stars: starlit starry starlight star constellations
clear: fair cloudfree unclouded azure
crisp: sharp
haze: smog vapour vapor
hazy: smoky smoggy
dusty: dust
overcast: clouded sunless
cloudy: cloud
fog: fogbank foggier murk
mist: mists brume
misty: fogged
rain: rainfall downpour downpours drizzle drizzling raining rainstorm deluge raindrops monsoon cloudburst showers
wet: soaked drenched puddles damp
snowfall: sleet hail hailstorm flurry flurries
snowstorm: blizzard blizzards whiteout
snowy: snowcapped
snow: snows snowbound snowdrift snowdrifts
storm: storms tempest gale hurricane squall typhoon cyclone tornado
stormy: tempestuous
thunderstorm: thunder lightning thunderclouds thundercloud thunderheads thunderstorms
dramatic: moody ominous epic
threatening: menacing brooding
summer: summery midsummer spring springtime
autumn: autumnal october november
winter: midwinter december january february frost frosty frosted freezing
mountain: mount alp
mountains: mountainous sierra massif himalaya himalayas andes rockies
peaks: peak pinnacle pinnacles crag crags
summits: summit
ridges: ridge ridgeline escarpment
valley: valleys vale glen dale fjord
slopes: slope mountainside
granite: basalt
rock: boulder boulders rocks bedrock outcrop
rocky: stony craggy
pine: pines fir firs spruce spruces conifer conifers larch
desert: deserts wilderness dunefield
dunes: dune
sand: sands
arid: dry parched barren drought
canyon: canyons gulch badlands badland
gorge: ravine ravines chasm
mesas: mesa plateau plateaus tableland
buttes: butte
coast: coasts coastal seaside seacoast cape
shoreline: shore shores waterfront
beach: sandbank strand
bay: bays harbor harbour cove lagoon inlet
cliffs: cliff bluff bluffs precipice
headlands: headland promontory
islands: island isle isles archipelago
lake: lakes pond reservoir loch
sea: maritime marine
ocean: oceans atlantic pacific
waves: wave swell surf breakers
water: river stream creek
hills: hill knolls hillocks downs
fields: acres paddock paddocks
meadows: meadow pasture pastures prairie steppe
grassland: savanna savannah grasslands
countryside: farmlands
farm: farms farmhouse barn barns ranch
crop: wheat corn barley crops
forest: forests jungle rainforest taiga
woods: grove groves copse thicket
trees: tree birches oaks oak birch
foliage: leaf
arctic: tundra
polar: antarctica greenland
ice: glacier glaciers icy floe floes icefield
icebergs: iceberg
village: villages hamlet hamlets settlement
cottages: cottage cabin cabins chalet chalets hut huts
houses: homes home farmhouses
church: chapel steeple cathedral
town: towns township
roofs: roof rooftops rooftop
city: cities metropolitan cityscape
cars: automobile automobiles traffic taxi taxis truck trucks
people: persons person pedestrian pedestrians crowd folk humans men women
street: streets road alley lane boulevard
avenue: avenues
downtown: midtown
skyscrapers: skyscraper highrise highrises tower towers
buildings: building office offices
tall: towering
ruins: ruin rubble remains
ruined: derelict decayed destroyed
crumbling: collapsing eroded
temple: temples shrine acropolis forum
columns: column colonnade
pillars: pillar
interior: interiors
room: rooms chamber bedroom kitchen bathroom
hall: halls corridor lobby atrium gallery ballroom
furniture: chairs chair table tables sofa
loft: attic
sky: skies heaven heavens
clouds: cumulus cirrus stratus
orange: amber
warm: glowing
blue: cobalt
green: verdant emerald
red: crimson scarlet ruddy
grey: gray
deep: profound
soft: gentle diffuse
old: aged historic
abandoned: deserted forsaken
aerial: overhead
drone: helicopter quadcopter
handheld: handycam
cinematic: filmic
photorealistic: photoreal hyperrealistic
wide: panoramic panorama expansive
calm: serene tranquil peaceful
"""
SYNONYMS = {
    word: known.strip() for line in _GROUPS.strip().splitlines() for known, _, words in [line.partition(":")]
    for word in words.split()
}  # fmt: skip
_ENDINGS = (("ies", "y"), ("es", ""), ("s", ""), ("", "s"), ("y", ""), ("", "y"), ("ing", ""), ("ed", ""))


def taught_word(word: str, taught: Container[str]) -> str | None:
    """A word of `taught` that says nearly the same: the thesaurus's, else the same stem with another ending."""
    if word in SYNONYMS and SYNONYMS[word] in taught:
        return SYNONYMS[word]
    for ending, other in _ENDINGS:
        stem = word.removesuffix(ending)
        if ending and stem == word:
            continue
        if len(stem) >= 3 and stem + other in taught:
            return stem + other
    return None
