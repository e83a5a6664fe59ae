"""A phrase book for the word encoder: everyday phrases whose words, read one by one, say something else or nothing.

"Under a high sun" is made of words that were taught in "under the stars", "high seas" and "as the sun rises"; read one by
one they are a night at sea.  A list written by hand says what the whole phrase means in words that were taught.  A plate's
report names every phrase that was read as another.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

# What is taught, then the phrases read as it.  Articles do not count, within a phrase or before it.
_BOOK = """
at dawn: break of day; crack of dawn; day breaks; first rays; first rays of sun; sun comes up; sun coming up; sun is
    rising; rising sun; sun just up; new day; first sun; early light; start of day; early hours; just after sunup;
    first light of day; day is breaking; day breaking; sun rising; sun climbing; sun creeping up; sun peeking over
    horizon; night gives way to day; morning twilight; morning glow; rosy light; pale morning; waking day; birth of
    day; before sunrise
at midday: high sun; sun overhead; overhead sun; sun high in sky; sun is high; sun at its peak; sun at its highest;
    sun at its zenith; zenith sun; high noon; noonday sun; noon sun; midday sun; broad daylight; full sun; bright sun;
    harsh sun; blazing sun; strong sun; hot sun; under sun; hard sunlight; harsh light; hard light; early afternoon;
    lunch time; bright afternoon; middle of afternoon; bright day; sun directly overhead; directly overhead sun;
    overhead sunlight; harsh overhead sunlight; overhead light; top light; sun straight up; sun beating down; sun at
    its height; peak of day; twelve o clock; brightest part of day; vertical sun; strong daylight; short shadows;
    glaring sun; sun blazing; sun burning down; glare of midday; strong sunlight; harsh sunlight; harsh daylight; sun
    right above; middle of day sun; hard shadows; sun up high
at sunset: sun goes down; sun going down; setting sun; sun is setting; low sun; sun low; sun low on horizon; sun on
    horizon; sinking sun; dying sun; last rays; last rays of sun; end of day; close of day; days end; late afternoon;
    late in day; magic hour; golden light; golden rays; evening sun; evening glow; red sun; warm evening light; late
    sun; sun touching horizon; long shadows; sun setting; last rays of sunlight; last rays of light; last rays of day;
    low evening sun; day draws to close; day ends; sunset glow; last sunlight; final rays; sun dipping below horizon;
    sun dipping; sun nearly down; raking light; golden backlight; warm backlight; sun slipping away; golden evening;
    sun melting; sun dropping; sun goes to sleep; day is done; warm low sun; glow of sunset; burning sky; orange
    light; amber light; late golden light; low warm light
in the blue hour: just after sunset; sun has set; sun is gone; sun has gone; sun already down; after sundown; night
    falls; falling dark; gathering dark; half light; last light; fading light; dying light; afterglow; between day and
    night; civil twilight; nautical twilight; blue dusk; blue evening; before night; first stars; blue dark; end of
    twilight; day fades; light fades; blue evening light; early evening blue; blue of early evening; last light
    fading; light fading; sun is down; sun below horizon; sun already gone; lamps come on; lights come on; dark is
    falling; darkness falling; darkness falls; evening dark; cobalt sky; indigo sky; deep blue sky; purple twilight;
    owl light; blue gloom; blue light after sunset; minutes after sunset; shortly after sunset; right after sunset;
    soon after sunset; sky turns blue; sky goes dark; sky still blue; before dark; just before dark; before full dark;
    edge of night; day turns to night; day becomes night; cool blue light; deep dusk; late dusk; light almost gone
at night: after dark; dead of night; middle of night; small hours; late at night; late night; under moon; full moon;
    under full moon; moon light; moon lit; starry night; starry sky; under starry sky; star lit; by starlight; milky
    way; pitch dark; pitch black; night time; in darkness; dark night; deep night; lit by moon; moon and stars;
    witching hour; black sky; moonless night; after midnight; past midnight; wee hours; lit only by moon; silver
    moonlight; star filled sky; field of stars; sky full of stars; beneath stars; long after dark; black of night;
    black night; heart of night; nocturnal; in moonlight; under moonlight; everyone asleep; total darkness; complete
    darkness; two in morning; three in morning; overnight; lit by lamps; lit by stars; quiet night
clear sky: blue sky; blue skies; clear blue sky; clear blue skies; clear skies; not cloud in sight; not cloud in sky;
    no clouds; no cloud; without clouds; without cloud; cloud free; free of clouds; good visibility; perfect
    visibility; sunny weather; fine day; clear day; clear and bright; bright and clear; perfect weather; lovely
    weather; crystal clear; spotless sky; empty blue sky; sunshine; bright blue sky; bright clear sky; no clouds at
    all; perfectly clear; open skies; pristine sky; clean air; pure sky; bright weather; unbroken blue; blue overhead;
    brilliant sky; no haze; visibility for miles; can see for miles; dry clear air; sunny; sunny sky; transparent air;
    sharp air; not single cloud; nice weather; beautiful weather; great weather; calm weather; sky without clouds; sky
    without cloud; sky is clear; unclouded sky; unlimited visibility
hazy air: heat haze; thin haze; dust in air; sand in air; air full of dust; smoke in air; smoky air; smoky; milky air;
    washed out distance; hazy distance; hazy horizon; heat shimmer; shimmering heat; polluted air; veil of haze;
    atmospheric perspective; aerial perspective; atmospheric depth; dusty haze; fading distance; bit of haze; dusty
    atmosphere; hazy atmosphere; distance washed out; softly washed out; strong atmospheric perspective; depth haze;
    aerial haze; faint haze; gauzy air; muted distance; pale distance; soft distance; wildfire smoke; smoke haze;
    smog; smoggy; hazy light; hazy sunlight; haze in distance; thick haze; heavy haze; hazy background; washed out
    background; dust haze; dust hanging in air; smoke hanging in air; particles in air; soft air; hazy view; blurred
    distance; faded distance; heat in air; misty distance
overcast sky: cloud cover; low cloud; low clouds; blanket of cloud; blanket of clouds; solid cloud; thick cloud; thick
    clouds; heavy cloud; heavy clouds; leaden sky; leaden skies; leaden clouds; grey day; gray day; gloomy; gloomy
    day; dull day; dull light; dull weather; no sun; no sunshine; cloudy day; grey skies; gray skies; gray sky; flat
    grey light; closed sky; covered sky; diffuse light; white sky; grey clouds; gray clouds; grey weather; heavy cloud
    cover; full cloud cover; total cloud cover; sun hidden behind clouds; sun hidden by clouds; hidden sun; sun behind
    clouds; unbroken cloud; unbroken clouds; solid grey sky; grey ceiling; ceiling of cloud; ceiling of clouds; blank
    sky; no shadows; without shadows; shadowless light; shadowless; flat lighting; cloud blanket; gray overcast;
    colourless sky; colorless sky; dreary; dreary day; drab day; drab; sombre sky; grey and dull; grey and flat; soft
    light from clouds; lid of cloud; uniform cloud; even light; soft even light; completely cloudy; full overcast;
    muted light; dim day; sunless day
thick fog: low visibility; poor visibility; no visibility; near zero visibility; zero visibility; pea soup; lost in
    mist; wrapped in mist; shrouded in mist; shrouded in fog; rolling fog; rolling mist; sea fret; veil of mist; bank
    of fog; wall of fog; can barely see; fog rolling in; mist rolling in; drifting mist; drifting fog; dense mist;
    mist hanging low; hanging mist; low mist; low fog; thick mist; heavy fog; heavy mist; dense fog; fog bank;
    fogbound; mist everywhere; fog everywhere; cannot see far; hard to see; swallowed by fog; swallowed by mist; soupy
    air; hidden in mist; hidden by fog; hidden in fog; veiled in mist; creeping fog; drowned in fog; fading into mist;
    fading into fog; smothered in fog; vanishing into fog; vanishing in mist; wreathed in mist; cloaked in fog;
    covered in fog; covered in mist; full of fog; everything in fog; like pea soup; white murk; fog so thick; heavy
    volumetric fog; volumetric fog; drifting banks of mist; very foggy; mist creeping; fog creeping; blanket of fog;
    blanket of mist
heavy rain: raining hard; raining cats and dogs; pouring down; it is raining; it is pouring; it rains; rain storm;
    cloud burst; steady rain; rain showers; rain shower; sheets of rain; coming down in sheets; bucketing down;
    soaking wet; wet day; drops of rain; driving rain; lashing rain; april showers; soaked in rain; streaks of rain;
    scattered showers; passing showers; raindrops falling; downpour; heavy downpour; torrential rain; torrential
    downpour; torrential; rain pouring; rain pouring down; rain streaks; falling rain; drenched in rain; drenching
    rain; wet through; rain soaked; rainswept; pelting rain; hammering rain; soft rain; gentle rain; fine drizzle;
    persistent rain; rain lashing down; rain beating down; rain coming down; rain hammering down; it is wet; drizzly;
    curtains of rain; curtain of rain; buckets of rain; rain bouncing; spring shower; spring rain; cold rain; warm
    rain; fine rain; thin rain; constant rain; endless rain; rain everywhere; water falling from sky
falling snow: snow coming down; snow flurries; snow flurry; snow is falling; flakes falling; flakes drifting; flakes
    in air; flakes drifting down; drifting flakes; falling flakes; big flakes; fat flakes; swirling snow; blowing
    snow; driving snow; white out; snowing hard; snows heavily; thick flakes; snowflakes drifting down; snowflakes
    drifting; snowflakes falling; snowflakes in air; snow coming down hard; heavy flakes; snow blowing; snow swirling;
    snow drifting down; first flakes; flakes of snow; snowing heavily; whirling snow; whirling flakes; driving
    blizzard; thick falling snow; snow squall; flakes swirling; flakes dancing; dancing flakes; flurries; light
    flurries; snow sifting down; sleet; powder falling; gently snowing; snow tumbling; flakes tumbling; snow drifting
    through air; snow from sky; blizzard conditions
storm clouds: storm brewing; brewing storm; gathering storm; before storm; approaching storm; storm approaching; storm
    front; angry sky; angry skies; angry clouds; black clouds; dark clouds; threatening clouds; menacing clouds;
    ominous clouds; ominous sky; lightning storm; thunder and lightning; electrical storm; rough weather; bad weather;
    wild weather; foul weather; heavy weather; dark heavy sky; about to storm; thunder clouds; thunder sky; raging
    storm; lightning crackling; lightning crackling overhead; lightning flashes; lightning flashing; flashes of
    lightning; rolling thunder; thunder rumbling; raging tempest; storm rolling in; stormy skies; stormy light;
    moments before storm; squall line; wall cloud; supercell; heavy dark clouds; brooding clouds; brooding sky;
    brooding skies; bruised sky; bruised clouds; darkening sky; sky about to break; turbulent sky; electric sky; dark
    dramatic sky; dramatic storm; clouds gathering; wind and thunder; thundery; thundery sky; thunder in air; storm is
    coming; storm overhead; storm about to break; dark moody sky; dark skies; dark menacing sky; wild sky; violent
    sky; violent storm; heavy storm; big storm; gale; strong wind; storm looming; looming storm; clouds churning;
    churning clouds; roiling clouds
in summer: high summer; july; august; june; hot day; warm day; heat of summer; height of summer; midsummer; lush
    green; everything green; in full leaf; full leaf; in bloom; green season; growing season; hot season; green and
    lush; green grass; long summer days; lush vegetation; fresh green; dog days; dog days of summer; hottest time of
    year; august greenery; lush green foliage; lush foliage; warm months; warmest months; green foliage; green trees;
    leafy; peak of summer; summer heat; full green; thick green leaves; verdant; in flower; wildflowers; in full
    bloom; fields in bloom; sultry; lush growth; rich green; everything in leaf; trees in leaf; mid july; long days;
    holiday season; summer months; vacation season; warm and green; lush greenery; greenery; hot months
in autumn: fall foliage; fall season; leaves turning; turning leaves; leaves have turned; golden leaves; red leaves;
    yellow leaves; rust leaves; fallen leaves; falling leaves; leaf fall; harvest time; harvest season; harvest;
    russet; russet tones; russet leaves; indian summer; rusty colours; september; golden foliage; red and gold; dry
    leaves; bare branches; leaves turning red and orange; fallen leaves everywhere; carpet of leaves; leaf litter;
    amber leaves; copper leaves; bronze leaves; red and yellow trees; golden trees; autumn tones; autumnal tones;
    pumpkin season; late october; late september; early november; leaves coming down; trees turning; colours of fall;
    colors of fall; leaves going gold; foliage turning; turning foliage; orange and red leaves; red and golden leaves;
    rusty leaves; rust and gold; changing leaves; leaves changing color; leaves changing; dying leaves; brown leaves;
    crisp leaves; rustling leaves; golden season; mid autumn; late autumn; season of falling leaves
covered in snow: snowy; snow cover; fresh snow; fresh powder; powder snow; blanket of snow; blanketed in snow; buried
    in snow; white with snow; white blanket; under white blanket; snowed in; snow lying; snow lies deep; thick snow;
    ankle deep snow; frozen ground; cold season; deep winter; dead of winter; depth of winter; depths of winter;
    bitter cold; ice and snow; christmas; ski season; dusting of snow; frost and snow; snow clad; snow drifts; white
    landscape; all white; blanketed in white; everything buried under snow; buried under snow; covered in fresh snow;
    everything white; white world; frozen landscape; snow everywhere; snow on everything; snow underfoot; snowy
    ground; carpet of snow; layer of snow; coat of snow; mantle of snow; coated in snow; cloaked in snow; wrapped in
    snow; packed snow; snow banks; snowfields; frost covered; frozen solid; icy ground; after heavy snow; thick
    blanket of snow; deep white snow; dressed in white; mid winter; midwinter; white season; coldest months; cold
    months; winter months; snow piled up; piled snow; knee deep snow; snow lies on ground; under thick snow; under
    deep snow; everything frozen; hard frost; frost on ground; ground is white; white ground
snowy summits: snowy summits; snowy peaks; snowy mountains; snow capped peaks; snow capped mountains; snow capped
    summits; snowcapped peaks; snowcapped mountains; white peaks
alpine peaks: mountain peaks; high peaks; jagged peaks; rocky peaks; rocky summits; mountain landscape; mountain
    scenery; big mountains; steep mountains; mountain wall; towering peaks; craggy peaks; high alps; mountain country;
    majestic mountaintops; mountaintops; mountain tops; mountain summits; swiss alps; summit ridge; dolomites;
    himalayan peaks; alpine ridge; mountain massif; rock faces; sheer peaks; mountain chain; chain of mountains; wall
    of mountains; soaring peaks; soaring mountains; lofty peaks; mountain ridge; sharp peaks; rugged peaks; rugged
    mountains; tall mountains; huge mountains; great mountains; alpine landscape; alpine scenery; alpine panorama;
    mountain panorama; roof of world; alpine massif; high ridges; alpine summits
sand dunes: desert dunes; shifting sands; endless sand; sea of dunes; ocean of sand; sand sea; empty quarter; sandy
    wasteland; dune field; waves of sand; dry wasteland; sandy waste; vast desert; rippling dunes; windswept sands;
    arabian sands; arabian desert; endless dunes; sand hills; erg; dune sea; sandscape; namib; gobi; sun scorched
    sand; hot sand; rolling dunes; dune landscape; desert landscape; desert of sand; nothing but sand; plain of sand;
    sand everywhere; dune crests; dune ridges; desert expanse; waterless desert; mountains of sand; great sand sea
a red canyon: grand canyon; monument valley; red rocks; red rock country; red cliffs; red stone cliffs; rock towers;
    stone towers; sandstone towers; rock spires; rock arches; hoodoos; canyon lands; canyonlands; wild west; red
    desert; table mountains; steep red walls; rocky desert; stone desert; river gorge; desert cliffs; red sandstone;
    red rock canyon; red sandstone cliffs; red sandstone canyon; red rock badlands; red rock buttes; rust coloured
    cliffs; layered cliffs; striped cliffs; painted desert; box canyon; canyon walls; canyon country; arizona; utah;
    rock pillars; rock formations; red rock formations; red bluffs; ochre cliffs; sandstone walls; sandstone buttes;
    sandstone mesas; flat topped mountains; red earth; red stone desert; rock buttes; eroded red rock; eroded rock;
    deep canyon; high canyon walls; canyon floor; red gorge; western desert; orange cliffs; orange rock
a rocky coast: sea cliffs; cliff top; cliff tops; rocky shore; rocky shores; by sea; by seaside; sandy shore; shore
    line; coast line; tidal pools; rock pools; cliffs by sea; cliffs above sea; where land meets sea; fishing bay;
    sandy cove; waves on rocks; sand and surf; ocean cliffs; ocean shore; ocean beach; tropical beach; tropical beach
    with palms; white sand beach; hidden cove; secluded cove; secluded bay; waves crashing on rocks; waves crashing on
    shore; waves breaking on shore; waves breaking on rocks; surf on rocks; rugged coast; rugged coastline; craggy
    coast; pebble beach; shingle beach; seaside cliffs; edge of sea; edge of ocean; sea shore; seafront; bay with
    cliffs; cliffs over ocean; cliffs over sea; cliffs and surf; headland; sea stacks; wild coast; atlantic coast;
    pacific coast; coastal cliffs; coastal bay; coastal landscape; coastal scenery; rocky beach; beach and sea; beach
    with rocks; ocean front; sandy coast; shallow bay; shore with rocks; stony beach
the open sea: out at sea; middle of ocean; middle of sea; nothing but water; only water; just water; endless water;
    mid ocean; deep water; deep sea; far from land; far from shore; no land in sight; rolling waves; ocean swell; blue
    water; water everywhere; wide ocean; open waters; seascape; water as far as eye can see; rolling sea; rolling
    swell; choppy water; no land; out on high seas; open swell; endless waves; vast ocean; empty ocean; empty sea;
    calm sea; calm ocean; rough sea; rough seas; heavy seas; sea to horizon; boundless ocean; boundless sea; expanse
    of water; expanse of ocean; expanse of sea; offshore; far offshore; far out at sea; far out to sea; surface of
    sea; surface of ocean; surface of water; blue ocean; deep blue sea; deep ocean; wide water; ocean surface; sea
    surface; water to every side; rolling ocean; rolling ocean swell; middle of atlantic; middle of pacific; sea as
    far as eye can see; ocean as far as eye can see
rolling hills: green fields; farm land; farming country; farm country; grazing land; green pastures; patchwork of
    fields; vineyards; tuscan hills; english countryside; gentle hills; soft hills; hill country; hillsides; grassy
    slopes; green slopes; moorland; moors; grassy knolls; sheep country; sheep fields; country side; green valley;
    green land; hedgerows; open country; gentle pastures; grazing sheep; grazing cows; undulating pastureland;
    undulating hills; undulating fields; undulating land; rolling fields; rolling farmland; rolling countryside;
    rolling pastures; lush pasture; green meadows; hedgerow fields; downland; soft green hills; grassy hillside; dairy
    country; hay fields; wheat fields; farm fields; cultivated land; ploughed fields; pastureland; pastoral landscape;
    pastoral hills; pastoral; gentle green hills; green rolling hills; grass covered hills; hilly farmland; hilly
    country; hilly landscape; hills and fields; hills and meadows; fields and hedges; tuscany; toscana; irish
    countryside; smooth green hills; low green hills; low hills
a forest: in woods; deep in woods; among trees; between trees; tall pines; pine trees; redwoods; redwood grove; giant
    trees; tree trunks; thick woods; dark woods; forest floor; forest path; woodland path; beech wood; birch wood; oak
    wood; leafy glade; glade; sea of trees; tree canopy; wall of trees; stand of trees; tangle of trees; old growth;
    tall pine trees; among tall pine trees; giant redwoods; old growth forest; mossy woods; mossy forest; path through
    trees; path through forest; deep forest; dense woodland; dense woods; thick forest; thick woodland; fir forest;
    spruce forest; conifer forest; oak forest; beech forest; primeval forest; enchanted forest; wooded slopes; wooded
    glade; undergrowth; under trees; under canopy; trees all around; pine woods; pine wood; evergreen forest;
    evergreens; ancient forest; wild forest; dark forest; forest glade; forest trail; forest interior; heart of
    forest; surrounded by trees; between tree trunks; big trees; full of trees; trees everywhere; mass of trees; wall
    of trunks; thick trees
polar ice: ice cap; ice sheet; ice shelf; ice plain; ice floe; ice floes; sea ice; north pole; south pole; frozen
    plain; frozen ocean; frozen north; frozen desert; ice desert; permafrost; endless ice; fields of ice; glacial
    plain; ice plains; arctic circle; barren ice sheet; polar ice cap; polar ice sheet; frozen wastes; frozen waste;
    frozen tundra; icy wasteland; ice wasteland; flat ice; arctic ice; arctic tundra; arctic waste; arctic wasteland;
    icescape; shelf ice; floating ice; glacial landscape; glacial ice; ice expanse; expanse of ice; white wasteland;
    antarctica; frozen expanse; frozen white plain; plain of ice; field of ice; frozen world; polar desert; polar
    plain; polar waste; ice as far as eye can see; top of world; end of world; eternal ice; antarctic ice; snow and
    ice desert; land of ice; icy plain; icy plains; icy desert
a village: small houses; little houses; rural houses; country village; country houses; houses in country; mountain
    village; fishing village; tiny town; small town; little town; village square; huddle of houses; cluster of houses;
    cluster of cottages; thatched cottages; thatched roofs; stone cottages; red tiled roofs; tiled roofs; church
    spire; church tower; country cottages; farmsteads; handful of houses; sleepy village; sleepy little village;
    cluster of thatched cottages; small houses in countryside; rustic settlement; rustic village; rustic houses;
    houses among fields; little hamlet; farming village; farm village; old village; alpine village; hillside village;
    stone houses; half timbered houses; rural settlement; rural community; village lane; village street; scattered
    houses; scattered farmhouses; village houses; tiny village; little village; pretty village; peaceful village;
    quiet village; medieval village; traditional village; handful of cottages; country hamlet; country lane with
    cottages; cottages and gardens; cottages in valley; farmhouses; small settlement; few houses; group of houses;
    rows of cottages; village in fields; rural homes; houses and fields
a city street: office blocks; office towers; office buildings; tower blocks; apartment blocks; apartment buildings;
    high rises; high rise; high rise buildings; high rise towers; city center; city centre; town centre; urban canyon;
    street canyon; concrete jungle; concrete canyon; big city; inner city; main street; shopping street; busy street;
    financial district; business district; glass towers; steel and glass; glass and steel; urban skyline; city lights;
    modern city; between skyscrapers; side street; back street; narrow street; urban landscape; manhattan; street
    lined with skyscrapers; street lined with towers; big city avenue; urban avenue; street with high rises; tall
    office towers; between tall office towers; bustling metropolis; bustling city; city block; city boulevard; city
    avenue; downtown avenue; downtown core; downtown towers; metropolitan street; urban jungle; street between towers;
    rows of skyscrapers; high rise city; new york street; new york; tokyo; hong kong; london; chicago; modern
    downtown; office district; urban scene; urban environment; urban block; avenue of skyscrapers; city of towers;
    skyscraper street; skyscraper canyon; street of towers; towering buildings; towering skyscrapers; tower lined
    avenue; boulevard; crossroads; intersection; busy avenue; busy city; street level city; street scene; metropolitan
    avenue; towers of glass
ancient ruins: broken pillars; fallen pillars; toppled columns; toppled pillars; roman ruins; roman columns; greek
    temple; greek columns; roman temple; roman forum; crumbling temple; ruined city; lost city; abandoned city; dead
    city; collapsed walls; old stones; remains of temple; ancient city; ancient temple; ancient columns; marble
    columns; stone columns; archeological site; overgrown temple; overgrown ruins; ancient stones; temple remains;
    forgotten temple; crumbling greek temple; broken marble columns; overgrown temple ruins; temple ruins; remains of
    roman forum; toppled pillars of lost civilization; lost civilization; collapsed colonnade; fallen temple; fallen
    stones; ruined columns; ruined pillars; broken colonnade; weathered columns; weathered stones; ancient site;
    antique temple; old temple; acropolis; pompeii; remnants of temple; remnants of columns; ruined sanctuary; ruined
    acropolis; ruined palace; ruined castle; crumbled walls; stone remains; vestiges; remains of columns; remains of
    city; ancient pillars; classical ruins; classical temple; classical columns; antique columns; marble ruins; column
    stumps; crumbling columns; crumbling pillars; old stone columns; temple with columns; row of broken columns;
    fallen empire; forgotten city; forgotten civilization; excavation site; ancient remains; historic ruins
a room: living space; great hall; throne room; dining room; inside building; inside house; big hall; banquet hall;
    waiting room; office interior; hotel lobby; hallway; vaulted hall; concert hall; grand hall; inside room; four
    walls; indoor space; bare room; drawing room; entrance hall; museum hall; interior space; building interior; house
    interior; conference room; inside grand hall; castle throne room; empty ballroom; warehouse interior; inside
    cathedral; cathedral interior; church interior; vaulted corridor; long corridor; castle hall; palace hall; hall
    interior; room interior; large room; big room; spacious room; empty interior; bedroom; lounge; apartment interior;
    inside hall; inside large room; ballroom; foyer; library; reading room; factory hall; hangar; inside apartment;
    inside palace; inside castle; inside church; inside warehouse; inside four walls; interior hall; interior room;
    interior set; indoor set; indoor hall; large indoor space; high ceilinged room; high ceiling; under roof; old
    hall; stone hall; pillared hall; hall of columns; hall with columns; assembly hall; sitting room; parlour; parlor;
    furnished room; house inside
only sky: clouds from above; endless sky; empty sky; just clouds; just sky; only clouds; cloudscape; cloud scape; high
    above clouds; up in air; in clouds; up in clouds; fluffy clouds; banks of cloud; cloud tops; cloud banks; nothing
    but clouds; through clouds; flying through clouds; sky replacement; vast sky; big sky; heavens; cloud deck; puffy
    clouds; big puffy clouds; cumulus clouds; high up among clouds; among clouds; view from airplane; airplane window;
    view from airplane window; plane window; from plane; cloud layer; cloud sea; sky and clouds; clean sky;
    cloudscapes; wispy clouds; ocean of clouds; over clouds; between clouds; sky full of clouds; nothing below;
    drifting clouds; passing clouds; cloud formations; cloud field; layers of cloud; billowing clouds; white clouds;
    just heavens; open heavens; view upward; upward view; sea of cloud; bed of clouds; carpet of clouds; sky dome;
    skydome; cloudy heavens; wide open sky; infinite sky; boundless sky; clouds and sky; clouds only; floating in sky;
    flying above clouds
"""
_ARTICLES = frozenset(("a", "an", "the"))
_LEADS = frozenset(("at", "in", "on", "under", "beneath", "below", "by", "with", "during", "into", "amid", "as"))


def _key(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in _ARTICLES)


def _read_book() -> dict[tuple[str, ...], tuple[str, ...]]:
    lines = _BOOK.strip().replace("\n    ", " ").splitlines()
    return {
        _key(phrase.split()): tuple(taught.split())
        for taught, _, phrases in (line.partition(":") for line in lines)
        for phrase in phrases.split(";")
    }


PHRASES = _read_book()
_LONGEST = max(map(len, PHRASES))


def split_phrases(
    words: Sequence[str], taught: Container[str]
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...] | None]]:
    """A prompt's words in order, as (what is said, what the phrase book has for it), the longest phrase first.

    Second is None for a word of no phrase.  A phrase is read only where all words that stand for it are in `taught`.
    Where they begin with a preposition, the one before the phrase goes with it: "in the dead of night" is "at night".
    """
    waiting: list[str] = []  # prepositions and articles, until it is seen whether a phrase follows
    at = 0
    while at < len(words):
        end, read = _longest_at(words, at, taught)
        if read is None:
            word = words[at]
            if word not in _LEADS and word not in _ARTICLES:
                yield from (((lead,), None) for lead in waiting)
                waiting = []
                yield (word,), None
            else:
                waiting.append(word)
            at += 1
            continue
        own = _LEADS | _ARTICLES if read[0] in _LEADS else _ARTICLES if read[0] in _ARTICLES else frozenset()
        keep = len(waiting)
        while keep and waiting[keep - 1] in own:
            keep -= 1
        yield from (((lead,), None) for lead in waiting[:keep])
        yield (*waiting[keep:], *words[at:end]), read
        waiting, at = [], end
    yield from (((lead,), None) for lead in waiting)


def _longest_at(words: Sequence[str], at: int, taught: Container[str]) -> tuple[int, tuple[str, ...] | None]:
    """Where the longest phrase that begins at a word ends, and what it is read as; (at, None) for none."""
    found: tuple[int, tuple[str, ...] | None] = (at, None)
    key: tuple[str, ...] = ()
    if words[at] in _ARTICLES:
        return found
    for end in range(at, len(words)):
        if words[end] in _ARTICLES:
            continue
        key = (*key, words[end])
        if len(key) > _LONGEST:
            break
        read = PHRASES.get(key)
        if read is not None and all(word in taught for word in read):
            found = end + 1, read
    return found
