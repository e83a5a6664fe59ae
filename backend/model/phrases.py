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
    rising; rising sun; sun just up; new day; first sun; early light; start of day; early hours
at midday: high sun; sun overhead; overhead sun; sun high in sky; sun is high; sun at its peak; sun at its highest;
    sun at its zenith; zenith sun; high noon; noonday sun; noon sun; midday sun; broad daylight; full sun; bright sun;
    harsh sun; blazing sun; strong sun; hot sun; under sun; hard sunlight; harsh light; hard light; early afternoon;
    lunch time; bright afternoon; middle of afternoon; bright day
at sunset: sun goes down; sun going down; setting sun; sun is setting; low sun; sun low; sun low on horizon; sun on
    horizon; sinking sun; dying sun; last rays; last rays of sun; end of day; close of day; days end; late afternoon;
    late in day; magic hour; golden light; golden rays; evening sun; evening glow; red sun; warm evening light; late
    sun; sun touching horizon; long shadows
in the blue hour: just after sunset; sun has set; sun is gone; sun has gone; sun already down; after sundown; night
    falls; falling dark; gathering dark; half light; last light; fading light; dying light; afterglow; between day and
    night; civil twilight; nautical twilight; blue dusk; blue evening; before night; first stars; blue dark; end of
    twilight; day fades; light fades
at night: after dark; dead of night; middle of night; small hours; late at night; late night; under moon; full moon;
    under full moon; moon light; moon lit; starry night; starry sky; under starry sky; star lit; by starlight; milky
    way; pitch dark; pitch black; night time; in darkness; dark night; deep night; lit by moon; moon and stars;
    witching hour
clear sky: blue sky; blue skies; clear blue sky; clear blue skies; clear skies; not cloud in sight; not cloud in sky;
    no clouds; no cloud; without clouds; without cloud; cloud free; free of clouds; good visibility; perfect
    visibility; sunny weather; fine day; clear day; clear and bright; bright and clear; perfect weather; lovely
    weather; crystal clear; spotless sky; empty blue sky; sunshine
hazy air: heat haze; thin haze; dust in air; sand in air; air full of dust; smoke in air; smoky air; smoky; milky air;
    washed out distance; hazy distance; hazy horizon; heat shimmer; shimmering heat; polluted air; veil of haze;
    atmospheric perspective; aerial perspective; atmospheric depth; dusty haze; fading distance
overcast sky: cloud cover; low cloud; low clouds; blanket of cloud; blanket of clouds; solid cloud; thick cloud; thick
    clouds; heavy cloud; heavy clouds; leaden sky; leaden skies; leaden clouds; grey day; gray day; gloomy; gloomy
    day; dull day; dull light; dull weather; no sun; no sunshine; cloudy day; grey skies; gray skies; gray sky; flat
    grey light; closed sky; covered sky; diffuse light; white sky; grey clouds; gray clouds; grey weather
thick fog: low visibility; poor visibility; no visibility; near zero visibility; zero visibility; pea soup; lost in
    mist; wrapped in mist; shrouded in mist; shrouded in fog; rolling fog; rolling mist; sea fret; veil of mist; bank
    of fog; wall of fog; can barely see; fog rolling in; mist rolling in; drifting mist; drifting fog; dense mist
heavy rain: raining hard; raining cats and dogs; pouring down; it is raining; it is pouring; it rains; rain storm;
    cloud burst; steady rain; rain showers; rain shower; sheets of rain; coming down in sheets; bucketing down;
    soaking wet; wet day; drops of rain; driving rain; lashing rain; april showers; soaked in rain; streaks of rain
falling snow: snow coming down; snow flurries; snow flurry; snow is falling; flakes falling; flakes drifting; flakes
    in air; flakes drifting down; drifting flakes; falling flakes; big flakes; fat flakes; swirling snow; blowing
    snow; driving snow; white out; snowing hard; snows heavily; thick flakes
storm clouds: storm brewing; brewing storm; gathering storm; before storm; approaching storm; storm approaching; storm
    front; angry sky; angry skies; angry clouds; black clouds; dark clouds; threatening clouds; menacing clouds;
    ominous clouds; ominous sky; lightning storm; thunder and lightning; electrical storm; rough weather; bad weather;
    wild weather; foul weather; heavy weather; dark heavy sky; about to storm; thunder clouds; thunder sky
in summer: high summer; july; august; june; hot day; warm day; heat of summer; height of summer; midsummer; lush
    green; everything green; in full leaf; full leaf; in bloom; green season; growing season; hot season; green and
    lush; green grass; long summer days; lush vegetation; fresh green
in autumn: fall foliage; fall season; leaves turning; turning leaves; leaves have turned; golden leaves; red leaves;
    yellow leaves; rust leaves; fallen leaves; falling leaves; leaf fall; harvest time; harvest season; harvest;
    russet; russet tones; russet leaves; indian summer; rusty colours; september; golden foliage; red and gold; dry
    leaves; bare branches
covered in snow: snowy; snow cover; fresh snow; fresh powder; powder snow; blanket of snow; blanketed in snow; buried
    in snow; white with snow; white blanket; under white blanket; snowed in; snow lying; snow lies deep; thick snow;
    ankle deep snow; frozen ground; cold season; deep winter; dead of winter; depth of winter; depths of winter;
    bitter cold; ice and snow; christmas; ski season; dusting of snow; frost and snow; snow clad; snow drifts; white
    landscape; all white
snowy summits: snowy summits; snowy peaks; snowy mountains; snow capped peaks; snow capped mountains; snow capped
    summits; snowcapped peaks; snowcapped mountains; white peaks
alpine peaks: mountain peaks; high peaks; jagged peaks; rocky peaks; rocky summits; mountain landscape; mountain
    scenery; big mountains; steep mountains; mountain wall; towering peaks; craggy peaks; high alps; mountain country
sand dunes: desert dunes; shifting sands; endless sand; sea of dunes; ocean of sand; sand sea; empty quarter; sandy
    wasteland; dune field; waves of sand; dry wasteland; sandy waste
a red canyon: grand canyon; monument valley; red rocks; red rock country; red cliffs; red stone cliffs; rock towers;
    stone towers; sandstone towers; rock spires; rock arches; hoodoos; canyon lands; canyonlands; wild west; red
    desert; table mountains; steep red walls; rocky desert; stone desert; river gorge; desert cliffs; red sandstone
a rocky coast: sea cliffs; cliff top; cliff tops; rocky shore; rocky shores; by sea; by seaside; sandy shore; shore
    line; coast line; tidal pools; rock pools; cliffs by sea; cliffs above sea; where land meets sea; fishing bay;
    sandy cove; waves on rocks; sand and surf; ocean cliffs; ocean shore; ocean beach; tropical beach
the open sea: out at sea; middle of ocean; middle of sea; nothing but water; only water; just water; endless water;
    mid ocean; deep water; deep sea; far from land; far from shore; no land in sight; rolling waves; ocean swell; blue
    water; water everywhere; wide ocean; open waters; seascape; water as far as eye can see; rolling sea; rolling
    swell; choppy water
rolling hills: green fields; farm land; farming country; farm country; grazing land; green pastures; patchwork of
    fields; vineyards; tuscan hills; english countryside; gentle hills; soft hills; hill country; hillsides; grassy
    slopes; green slopes; moorland; moors; grassy knolls; sheep country; sheep fields; country side; green valley;
    green land; hedgerows; open country
a forest: in woods; deep in woods; among trees; between trees; tall pines; pine trees; redwoods; redwood grove; giant
    trees; tree trunks; thick woods; dark woods; forest floor; forest path; woodland path; beech wood; birch wood; oak
    wood; leafy glade; glade; sea of trees; tree canopy; wall of trees; stand of trees; tangle of trees; old growth
polar ice: ice cap; ice sheet; ice shelf; ice plain; ice floe; ice floes; sea ice; north pole; south pole; frozen
    plain; frozen ocean; frozen north; frozen desert; ice desert; permafrost; endless ice; fields of ice; glacial
    plain; ice plains; arctic circle
a village: small houses; little houses; rural houses; country village; country houses; houses in country; mountain
    village; fishing village; tiny town; small town; little town; village square; huddle of houses; cluster of houses;
    cluster of cottages; thatched cottages; thatched roofs; stone cottages; red tiled roofs; tiled roofs; church
    spire; church tower; country cottages; farmsteads; handful of houses
a city street: office blocks; office towers; office buildings; tower blocks; apartment blocks; apartment buildings;
    high rises; high rise; high rise buildings; high rise towers; city center; city centre; town centre; urban canyon;
    street canyon; concrete jungle; concrete canyon; big city; inner city; main street; shopping street; busy street;
    financial district; business district; glass towers; steel and glass; glass and steel; urban skyline; city lights;
    modern city; between skyscrapers; side street; back street; narrow street; urban landscape; manhattan
ancient ruins: broken pillars; fallen pillars; toppled columns; toppled pillars; roman ruins; roman columns; greek
    temple; greek columns; roman temple; roman forum; crumbling temple; ruined city; lost city; abandoned city; dead
    city; collapsed walls; old stones; remains of temple; ancient city; ancient temple; ancient columns; marble
    columns; stone columns; archeological site; overgrown temple; overgrown ruins; ancient stones; temple remains;
    forgotten temple
a room: living space; great hall; throne room; dining room; inside building; inside house; big hall; banquet hall;
    waiting room; office interior; hotel lobby; hallway; vaulted hall; concert hall; grand hall; inside room; four
    walls; indoor space; bare room; drawing room; entrance hall; museum hall; interior space; building interior; house
    interior; conference room
only sky: clouds from above; endless sky; empty sky; just clouds; just sky; only clouds; cloudscape; cloud scape; high
    above clouds; up in air; in clouds; up in clouds; fluffy clouds; banks of cloud; cloud tops; cloud banks; nothing
    but clouds; through clouds; flying through clouds; sky replacement; vast sky; big sky; heavens; cloud deck
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
