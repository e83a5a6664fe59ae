"""The generated parts of docs/protocol.md: limits, fields and states, straight from the code.

`python tests/protocol/page.py` puts them between the page's markers; a test holds the page to them.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

from farplane.protocol import schema, session
from farplane.protocol.events import ARTIFACTS, STAGES, VERSION
from farplane.protocol.schema import FROM_BACKEND, FROM_CLIENT, SCHEMA, Record

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
RECORDS = (
    schema.FRAMES,
    schema.FPS,
    schema.PROMPT,
    schema.OPERATION,
    schema.SETTINGS,
    schema.ARRAY,
    schema.MODEL,
    schema.RESULT,
)


def limits() -> str:
    rows = [
        ("version (`v`)", f"{VERSION}"),
        ("a part, of any message", f"{schema.MAX_PART} bytes; libzmq cuts the connection above it"),
        ("parts of a message", f"{schema.MAX_PARTS} at most; version {VERSION} uses one or two"),
        ("a header", f"{schema.MAX_HEADER} bytes"),
        ("a full chunk", f"{schema.CHUNK} bytes"),
        ("chunks under way to one receiver", f"{schema.WINDOW}"),
        ("a preview", f"{schema.MAX_PREVIEW} bytes"),
        ("a frame or an artifact", f"{schema.MAX_ITEM} bytes"),
        ("results in one `items`", f"{schema.MAX_ITEMS}"),
        ("one upload", f"{schema.MAX_UPLOAD} bytes; what a backend takes is in `welcome`"),
        ("jobs in one connection", f"{session.MAX_JOBS}"),
        ("stages", ", ".join(f"`{stage}`" for stage in STAGES)),
        ("artifacts", ", ".join(f"`{name}`" for name in ARTIFACTS)),
    ]
    return table(("what", "limit"), rows)


def messages(names: frozenset[str]) -> str:
    blocks = []
    for name, layout in SCHEMA.items():
        if name not in names:
            continue
        rows = [(f"`{key}`", str(field)) for key, field in layout.fields.items()]
        if layout.buffer:
            rows.append(("*buffer*", f"the second part: 1 … {layout.limit} raw bytes"))
        blocks.append(f"**`{name}`** — {meaning(layout.make)}\n\n{table(('field', 'holds'), rows)}")
    return "\n\n".join(blocks)


def objects() -> str:
    blocks = []
    for record in RECORDS:
        assert isinstance(record, Record)
        rows = [(f"`{key}`", str(field)) for key, field in record.fields.items()]
        told = meaning(record.make) if isinstance(record.make, type) and record.make is not Fraction else ""
        blocks.append(f"**`{record.name}`**{told and f' — {told}'}\n\n{table(('field', 'holds'), rows)}")
    return "\n\n".join(blocks)


def meaning(kind: type) -> str:
    """A message's docstring as one paragraph."""
    return " ".join((kind.__doc__ or "").split())


def states(rows: session.Table) -> str:
    def of(row: dict[str, str], names: frozenset[str]) -> str:
        found = [f"`{name}` → {state}" for name, state in row.items() if name in names]
        return ", ".join(found) or "–"

    lines = [(f"**{state}**", of(row, FROM_CLIENT), of(row, FROM_BACKEND)) for state, row in rows.items()]
    return table(("state", "client says", "backend says"), lines)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


PARTS = {
    "limits": limits,
    "from the client": lambda: messages(FROM_CLIENT),
    "from the backend": lambda: messages(FROM_BACKEND),
    "objects": objects,
    "connection": lambda: states(session.CONNECTION),
    "client's job": lambda: states(session.CLIENT_JOB),
    "backend's job": lambda: states(session.BACKEND_JOB),
}


def filled(text: str) -> str:
    """The page with every generated part in its place."""
    for name, make in PARTS.items():
        pattern = re.compile(rf"(<!-- begin {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        assert len(pattern.findall(text)) == 1, f"docs/protocol.md has no one place for {name!r}"
        made = make()
        text = pattern.sub(lambda match, made=made: f"{match[1]}{made}\n{match[2]}", text)
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
