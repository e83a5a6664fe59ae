"""Every text of the interface has its Indonesian, and every Indonesian has its text.

The texts are read from the sources: labels, tooltips, properties, enum items, buttons, messages and errors.
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")

from farplane.addon.ui import translations  # noqa: E402

ADDON = Path(__file__).parents[2] / "addon"
UI = ADDON / "ui"
CLIENT = ("NOBODY", "NO_ANSWER", "WRONG_KEY", "LOST")  # what the client says about a connection, in addon/client.py
SHOWN = {"text", "heading", "placeholder", "title", "confirm_text"}  # keywords whose value a person reads
NAMED = {"name", "description"}  # the same, of properties
FIRST = {"say", "poll_message_set"}  # functions whose first argument is such a text
OPERATOR, ANY = translations.OPERATOR, "*"
Text = tuple[str, str]  # context, text


def is_words(text: str) -> bool:
    """Whether there is anything to translate: `{} x {} px` and `B` have nothing."""
    return bool(re.search(r"[A-Za-z]{3}|\b(of|to|in|as|is)\b", re.sub(r"\{[^}]*\}", "", text)))


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


class Reader(ast.NodeVisitor):
    """Collects the texts of one module, and the f-strings that stand where a template should."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: set[Text] = set()
        self.wrong: list[str] = []

    def add(self, node: ast.expr | None, context: str = ANY) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and is_words(node.value):
            self.found.add((context, node.value))
        elif isinstance(node, ast.IfExp):
            self.add(node.body, context)
            self.add(node.orelse, context)
        elif isinstance(node, ast.BoolOp):
            for value in node.values:
                self.add(value, context)
        elif isinstance(node, ast.JoinedStr):
            fixed = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
            if is_words(fixed):
                self.wrong.append(f"{self.name}:{node.lineno}: {ast.unparse(node)}")

    def add_items(self, node: ast.expr) -> None:
        """Enum items: (identifier, label, tooltip, …)."""
        for item in getattr(node, "elts", ()):
            if isinstance(item, ast.Tuple):
                for part in item.elts[1:3]:
                    self.add(part)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        kind = re.match(r"FARPLANE_(OT|MT|PT|UL)_", node.name)
        if kind:
            described = False
            for part in node.body:
                if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name):
                    if part.targets[0].id == "bl_label":
                        self.add(part.value, OPERATOR if kind[1] == "OT" else ANY)
                    elif part.targets[0].id == "bl_description":
                        self.add(part.value)
                        described = True
            tooltip = ast.get_docstring(node)
            if kind[1] in ("OT", "MT") and not described and tooltip:
                self.found.add((ANY, tooltip))
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        name = node.targets[0].id if isinstance(node.targets[0], ast.Name) else ""
        if name.endswith("_NAMES") and isinstance(node.value, ast.Dict):
            for value in node.value.values:
                self.add(value)
        elif name in CLIENT:
            for part in getattr(node.value, "elts", [node.value]):
                self.add(part)
        elif name.isupper() and name.endswith(("_KINDS", "_ITEMS")):
            self.add_items(node.value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = called(node)
        if name in FIRST and node.args:
            self.add(node.args[0])
        elif name == "Message":
            for argument in node.args[:2]:
                self.add(argument)
        elif name == "FarplaneError" and len(node.args) == 3:
            field, problem, remedy = node.args
            if isinstance(field, ast.Constant):
                self.found.add((ANY, field.value.capitalize()))
            if not isinstance(problem, ast.JoinedStr):  # what is filled in is named in English
                self.add(problem)
            self.add(remedy)
        elif name == "report" and len(node.args) == 2:
            self.add(node.args[1])
        is_property = name.endswith("Property")
        for keyword in node.keywords:
            if keyword.arg in SHOWN or (is_property and keyword.arg in NAMED):
                context = OPERATOR if name == "operator" and keyword.arg == "text" else ANY
                self.add(keyword.value, context)
            elif is_property and keyword.arg == "items":
                self.add_items(keyword.value)
        self.generic_visit(node)


def readers() -> Iterator[Reader]:
    for path in sorted(UI.glob("*.py")):
        if not path.name.startswith("translations"):
            reader = Reader(path.name)
            reader.visit(ast.parse(path.read_text()))
            yield reader
    client, whole = Reader("client.py"), ast.parse((ADDON / "client.py").read_text())
    for node in whole.body:
        if isinstance(node, ast.Assign):
            client.visit(node)
    yield client


def texts() -> set[Text]:
    return {text for reader in readers() for text in reader.found}


def held(language: str) -> dict[Text, str]:
    any_context, operators = translations.LANGUAGES[language]
    return {(ANY, text): said for text, said in any_context.items()} | {
        (OPERATOR, text): said for text, said in operators.items()
    }


def fields(text: str) -> list[str]:
    """The places that are filled in, in order of their names."""
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def test_what_is_put_together_is_a_template() -> None:
    wrong = [line for reader in readers() for line in reader.wrong]
    assert not wrong, "use say('…{}…', value):\n" + "\n".join(wrong)


@pytest.mark.parametrize("language", list(translations.LANGUAGES))
def test_every_text_is_translated(language: str) -> None:
    missing = sorted(texts() - set(held(language)))
    assert not missing, f"{len(missing)} missing:\n" + "\n".join(map(repr, missing))


@pytest.mark.parametrize("language", list(translations.LANGUAGES))
def test_no_entry_is_stale(language: str) -> None:
    stale = sorted(set(held(language)) - texts())
    assert not stale, f"{len(stale)} stale:\n" + "\n".join(map(repr, stale))


@pytest.mark.parametrize("language", list(translations.LANGUAGES))
def test_a_translation_keeps_its_form(language: str) -> None:
    """The same places to fill in, no other spaces at the ends, no full stop where the English has none."""
    for (_, text), said in held(language).items():
        assert said.strip(), text
        assert fields(said) == fields(text), text
        assert (said[0].isspace(), said[-1].isspace()) == (text[0].isspace(), text[-1].isspace()), text
        assert said.endswith(".") == text.endswith("."), text


def test_texts_follow_blenders_guidelines() -> None:
    """Tooltips and labels end without a full stop, and begin with a capital where they begin with a word."""
    for _, text in texts():
        assert not text.endswith("."), text
        assert "  " not in text, text


def test_the_reader_finds_what_it_is_for() -> None:
    """Each rule once, so that a change of the reader cannot make the tests above pass on nothing."""
    reader = Reader("example")
    source = """
class FARPLANE_OT_x(Operator):
    '''Tooltip of it'''
    bl_label = "Label"
    p: StringProperty(name="Name", description="Describe", items=(("A", "Item", "Item tip"),))
    def draw(self):
        layout.label(text=say("{} of {}", 1, 2) if a else "Plain")
        layout.operator("x", text="Button")
        layout.label(text=f"{a} frames")
        raise FarplaneError("field", "a problem", f"{n} remedies")
STAGE_NAMES = {"a": "Stage"}
SOME_KINDS = (("k", "Kind", "Kind tip", "ICON", 1),)
m = Message("Message", "Remedy")
"""
    reader.visit(ast.parse(source))
    assert reader.found == {
        (ANY, "Tooltip of it"), (OPERATOR, "Label"), (ANY, "Name"), (ANY, "Describe"), (ANY, "Item"), (ANY, "Item tip"),
        (ANY, "{} of {}"), (ANY, "Plain"), (OPERATOR, "Button"), (ANY, "Field"), (ANY, "a problem"), (ANY, "Stage"), (ANY, "Kind"),
        (ANY, "Kind tip"), (ANY, "Message"), (ANY, "Remedy"),
    }  # fmt: skip
    assert len(reader.wrong) == 2


def test_say_fills_in_what_is_not_translated_too() -> None:
    assert translations.say("{} of {name}", 1, name=2) == "1 of 2"
    assert translations.say("{braces} stay where nothing is filled in") == "{braces} stay where nothing is filled in"
