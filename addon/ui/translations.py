"""The interface in the artist's language, by Blender's own `bpy.app.translations`.

Labels, tooltips and enum items are translated by Blender itself, wherever the dictionary has them.  A text that is
put together goes through `say`: its template is translated first, and filled in afterwards.

    layout.label(text=say("{} of {} frames", done, total))

Errors are raised in English, complete with their values, by code that knows no interface (and by the backend).
`filled` finds the template that such a text was made from, and says that one.

A new language is a module like translations_id.py and one line in LANGUAGES.
"""

from __future__ import annotations

import functools
import re

import bpy
from bpy.app.translations import pgettext_iface

from . import (
    translations_id,
    translations_id_batch,
    translations_id_errors,
    translations_id_panel,
    translations_id_scope,
)

DOMAIN = __name__
OPERATOR = "Operator"  # Blender's context for the labels of operators; all else has "*"

LANGUAGES = {
    "id": (
        translations_id.TEXTS
        | translations_id_batch.TEXTS
        | translations_id_errors.TEXTS
        | translations_id_panel.TEXTS
        | translations_id_scope.TEXTS,
        translations_id.OPERATORS
        | translations_id_batch.OPERATORS
        | translations_id_panel.OPERATORS
        | translations_id_scope.OPERATORS,
    )
}


def say(template: str, *values: object, **named: object) -> str:
    """The template in the artist's language, filled in as by `str.format`."""
    said = pgettext_iface(template)
    return said.format(*values, **named) if values or named else said


def filled(text: str) -> str:
    """A text that was put together elsewhere, in the artist's language; as it is where nobody translated it."""
    said = pgettext_iface(text)
    if said != text:
        return said
    found = template_of(text)
    return text if found is None else pgettext_iface(found[0]).format(*found[1])


def template_of(text: str) -> tuple[str, tuple[str, ...]] | None:
    """The template in the dictionaries that `text` was made from, with its values; None for a text without one.

    Of several that fit, the one with the most letters of its own.
    """
    for template, pattern in _patterns():
        match = pattern.fullmatch(text)
        if match:
            return template, match.groups()
    return None


@functools.cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    templates = {text for texts, _ in LANGUAGES.values() for text in texts if is_template(text)}
    ordered = sorted(templates, key=lambda text: (-len(text.replace("{}", "")), text))
    return tuple((t, re.compile("(.*?)".join(map(re.escape, t.split("{}"))), re.DOTALL)) for t in ordered)


def is_template(text: str) -> bool:
    """Whether values go into a text, with words around them to know it by."""
    fixed = text.replace("{}", "")
    return fixed != text and not {"{", "}"} & set(fixed) and re.search(r"[A-Za-z]{3}", fixed) is not None


def register() -> None:
    """Give Blender the dictionary."""
    bpy.app.translations.register(
        DOMAIN,
        {
            language: {("*", text): said for text, said in texts.items()}
            | {(OPERATOR, text): said for text, said in operators.items()}
            for language, (texts, operators) in LANGUAGES.items()
        },
    )


def unregister() -> None:
    """Take it away."""
    bpy.app.translations.unregister(DOMAIN)
