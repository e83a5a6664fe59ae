"""Prompts: varied, in the vocabulary, and with wordings that training never sees."""

import numpy as np

from farplane.backend.model.phrases import PHRASES
from farplane.backend.model.synonyms import SYNONYMS, taught_word
from farplane.backend.model.words import WordEncoder
from farplane.backend.train.cameras import MOVES
from farplane.backend.train.prompts import (
    FRESH,
    HELD_OUT,
    HELD_OUT_PAIRS,
    WORDINGS,
    is_held_out,
    vocabulary,
    write_prompt,
)
from farplane.backend.train.world import KINDS, SEASONS, TIMES, WEATHERS, WITHOUT_SEASON, Attributes, random_attributes


def test_every_attribute_has_wordings():
    assert {*KINDS, *TIMES, *WEATHERS, *SEASONS, *MOVES} <= set(WORDINGS)
    assert {w for options in WORDINGS.values() for w in options} >= HELD_OUT


def test_training_prompts_are_many_and_known():
    rng = np.random.default_rng(3)
    texts = {write_prompt(random_attributes(i), "pan", rng) for i in range(3000)}
    assert len(texts) > 2500
    encoder = WordEncoder(vocabulary(), 8)
    assert not [text for text in texts if encoder.unknown_words(text)]
    assert not [text for text in texts if encoder.known_words(text) != encoder.words(text)], "no phrase is read there"
    assert not [text for text in texts if any(wording in text for wording in HELD_OUT - {"snowy"})]


def test_held_out_prompts_use_held_out_wordings():
    rng = np.random.default_rng(4)
    texts = [write_prompt(random_attributes(i), "pan", rng, held_out=True) for i in range(200)]
    fresh = {wording for options in FRESH.values() for wording in options}
    # A place, a time and a weather are always said, and most places have a season.
    assert min(sum(wording in text for wording in fresh) for text in texts) >= 3


def test_fresh_wordings_are_of_every_value_and_none_is_taught():
    assert set(FRESH) == {*KINDS, *TIMES, *WEATHERS, *SEASONS}
    taught = {w for options in WORDINGS.values() for w in options} - HELD_OUT
    fresh = [wording for options in FRESH.values() for wording in options]
    assert len(fresh) == len(set(fresh)) > 150
    assert not taught & set(fresh)


def test_one_scene_has_thousands_of_wordings():
    rng = np.random.default_rng(5)
    scene = Attributes("coast", "dusk", "storm", "autumn")
    assert len({write_prompt(scene, "crane", rng) for _ in range(4000)}) > 3000


def test_a_season_is_not_told_where_it_does_not_show():
    rng = np.random.default_rng(6)
    told = {w for season in SEASONS for w in WORDINGS[season]} - {"snow"}  # "snow" is also in "snow falling"
    for kind in WITHOUT_SEASON:
        for held_out in (False, True):
            for _ in range(50):
                scene = Attributes(kind, "noon", "clear", "winter")
                assert not told & set(write_prompt(scene, "pan", rng, held_out=held_out).split(", "))


def test_pairs_are_kept_from_training():
    assert all(is_held_out(Attributes(kind, time, "clear", "summer")) for kind, time in HELD_OUT_PAIRS)
    drawn = [random_attributes(i) for i in range(2000)]
    assert 0.05 < np.mean([is_held_out(a) for a in drawn]) < 0.13  # 6 of 65
    for values, place in ((KINDS, 0), (TIMES, 1)):
        kept = {pair[place] for pair in HELD_OUT_PAIRS}
        assert all(
            sum(p[place] == k for p in HELD_OUT_PAIRS) < (len(TIMES) if place == 0 else len(KINDS)) for k in kept
        )
        assert kept <= set(values)


def test_the_vocabulary_is_sorted_and_leaves_words_unknown():
    words = vocabulary()
    assert words == sorted(set(words))
    assert "sundown" not in words
    encoder = WordEncoder(words, 8)
    assert encoder.unknown_words("a village of dragons") == ["dragons"]
    assert encoder.replaced_words("a hamlet at sundown") == {"hamlet": "village", "sundown": "dusk"}
    assert encoder.replaced_words("a wood in the dead of night") == {"in the dead of night": "at night"}


def test_what_moves_is_said_last_and_only_where_it_is_seen():
    scene = Attributes("city", "noon", "haze", "summer")
    told = {name: set(WORDINGS[name]) for name in ("cars", "people")}
    kept, said = 0, 0
    for seed in range(300):
        plain = write_prompt(scene, "pan", np.random.default_rng(seed))
        assert not any(text in told["cars"] | told["people"] for text in plain.split(", "))
        text = write_prompt(scene, "pan", np.random.default_rng(seed), seen=("cars", "people"))
        kept += text.startswith(plain)
        said += any(text.endswith(", " + wording) for wording in told["people"])
        assert not any(wording in text for wording in HELD_OUT & (told["cars"] | told["people"]))
    assert kept == 300
    assert 0.75 < said / 300 < 0.95
    unknown = write_prompt(scene, "pan", np.random.default_rng(1), seen=("cars", "people"), held_out=True)
    assert unknown.endswith(", street traffic, pedestrians")
    encoder = WordEncoder(vocabulary(), 8)
    assert not encoder.unknown_words("people walking, cars in the street")
    assert encoder.replaced_words("street traffic, pedestrians") == {"traffic": "cars", "pedestrians": "people"}


def test_the_thesaurus_leads_to_words_that_are_taught():
    taught = vocabulary()
    assert set(SYNONYMS.values()) <= set(taught)
    assert not set(SYNONYMS) & set(taught), "a word that is taught needs no other"
    assert taught_word("villages", taught) == "village"  # from the thesaurus
    assert taught_word("cottage", taught) == "cottages"  # from the same stem
    assert taught_word("bus", taught) is None


def test_the_phrase_book_leads_to_words_that_are_taught():
    taught = set(vocabulary())
    assert {word for known in PHRASES.values() for word in known} <= taught
    known = {value: vocabulary_of(value) for value in ("dawn", "noon", "dusk", "bluehour", "night")}
    for phrase, value in (
        ("under a high sun", "noon"), ("with the sun going down", "dusk"), ("in the small hours", "night"),
        ("at the break of day", "dawn"), ("as night falls", "bluehour"),
    ):  # fmt: skip
        assert set(WordEncoder(vocabulary(), 8).known_words(phrase)) <= known[value], phrase


def vocabulary_of(value: str) -> set[str]:
    return {word for wording in WORDINGS[value] for word in wording.split()}
