"""Hashes that say what a plate was made from, written into its header.

A hash, not the text: a plate may leave the studio while the prompt does not; shot.json holds the prompt itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from ...protocol.shot import Prompt


def _plain(value: Any) -> Any:
    """A header value as JSON can say it, without loss."""
    if isinstance(value, Fraction):
        return [value.numerator, value.denominator]
    if isinstance(value, np.ndarray):
        return value.astype(np.float64).tolist()
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def canonical_json(value: Mapping[str, Any] | list[Any]) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8.  NaN and infinity raise ValueError."""
    plain = {k: _plain(v) for k, v in value.items()} if isinstance(value, Mapping) else _plain(value)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def prompt_hash(prompt: Prompt) -> str:
    """SHA-256 (hex) of the prompt and the negative prompt, told apart."""
    return hashlib.sha256(canonical_json([prompt.text, prompt.negative])).hexdigest()


def header_hash(header: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a plate header as `plate_header` makes it: equal for equal cameras, seed, model and prompt."""
    return hashlib.sha256(canonical_json(header)).hexdigest()
