"""Hypothesis strategies for every message, drawn from the schema's own bounds."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from farplane.protocol import schema
from farplane.protocol.events import Message
from farplane.protocol.schema import SCHEMA, Choice, Either, Int, List, OrNull, Pattern, Real, Record, Text

HEX = "0123456789abcdef"
jobs = st.uuids().map(str)
hashes = st.text(HEX, min_size=64, max_size=64)


def values(field: Any) -> st.SearchStrategy:
    """Python values that a field may hold."""
    if isinstance(field, Int):
        return st.integers(field.low, field.high)
    if isinstance(field, Real):
        return st.floats(allow_nan=False, allow_infinity=False)
    if isinstance(field, Text):
        texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=min(field.limit, 60))
        return texts.filter(lambda text: len(text.encode()) <= field.limit)
    if isinstance(field, Pattern):
        return jobs if field is schema.JOB else hashes
    if isinstance(field, Choice):
        return st.sampled_from(field.choices)
    if isinstance(field, Either):
        return values(field.number) | values(field.text)
    if isinstance(field, OrNull):
        return st.none() | values(field.of)
    if isinstance(field, List):
        return st.lists(values(field.of), min_size=field.low, max_size=min(field.high, field.low + 3)).map(tuple)
    if field is schema.FRAMES:
        return st.builds(field.make, st.integers(-(2**31), 2**31), st.integers(1, 2**31), st.integers(1, 40))
    if field is schema.FPS:
        return st.builds(Fraction, st.integers(0, 2**53), st.integers(1, 2**53))
    assert isinstance(field, Record)
    return st.builds(field.make, **{name: values(inner) for name, inner in field.fields.items()})


def messages(name: str) -> st.SearchStrategy[Message]:
    """Messages of one type that the schema allows."""
    layout = SCHEMA[name]
    fields = {key: values(field) for key, field in layout.fields.items()}
    if layout.buffer:
        fields[layout.buffer] = st.binary(min_size=1, max_size=200)
    return st.builds(layout.make, **fields)


any_message = st.sampled_from(sorted(SCHEMA)).flatmap(messages)
