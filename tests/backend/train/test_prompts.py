"""Prompts: varied, in the vocabulary, and with wordings that training never sees."""

import numpy as np

from farplane.backend.model.words import WordEncoder
from farplane.backend.train.prompts import HELD_OUT, WORDINGS, vocabulary, write_prompt
from farplane.backend.train.world import KINDS, SEASONS, TIMES, WEATHERS, random_attributes


def test_every_attribute_has_wordings():
    assert {*KINDS, *TIMES, *WEATHERS, *SEASONS} <= set(WORDINGS)
    assert {w for options in WORDINGS.values() for w in options} >= HELD_OUT


def test_training_prompts_are_many_and_known():
    rng = np.random.default_rng(3)
    texts = {write_prompt(random_attributes(i), "pan", rng) for i in range(3000)}
    assert len(texts) > 2500
    encoder = WordEncoder(vocabulary(), 8)
    assert not [text for text in texts if encoder.unknown_words(text)]
    assert not [text for text in texts if any(wording in text for wording in HELD_OUT - {"snowy"})]


def test_held_out_prompts_use_held_out_wordings():
    rng = np.random.default_rng(4)
    texts = [write_prompt(random_attributes(i), "pan", rng, held_out=True) for i in range(200)]
    assert np.mean([any(wording in text for wording in HELD_OUT) for text in texts]) > 0.9
