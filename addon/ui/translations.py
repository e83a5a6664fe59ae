"""The interface in the artist's language, by Blender's own `bpy.app.translations`.

Labels, tooltips and enum items are translated by Blender itself, wherever the dictionary has them.  A text that is
put together goes through `say`: its template is translated first, and filled in afterwards.

    layout.label(text=say("{} of {} frames", done, total))

A new language is a module like translations_id.py and one line in LANGUAGES.
"""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface

from . import translations_id, translations_id_batch

DOMAIN = __name__
OPERATOR = "Operator"  # Blender's context for the labels of operators; all else has "*"

LANGUAGES = {
    "id": (
        translations_id.TEXTS | translations_id_batch.TEXTS,
        translations_id.OPERATORS | translations_id_batch.OPERATORS,
    )
}


def say(template: str, *values: object, **named: object) -> str:
    """The template in the artist's language, filled in as by `str.format`."""
    said = pgettext_iface(template)
    return said.format(*values, **named) if values or named else said


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
