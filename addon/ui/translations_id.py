"""Indonesian (Bahasa Indonesia).  tests/bpy/test_translations.py finds what is missing here and what is stale."""

OPERATORS: dict[str, str] = {}

TEXTS: dict[str, str] = {}
