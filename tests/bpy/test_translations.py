"""Every text of the interface has its Indonesian, and every Indonesian has its text.

The texts are read from the sources: labels, tooltips, properties, enum items, buttons, messages, and the errors of
all rooms that the interface may show, with {} where a value stands.
"""

from __future__ import annotations

import ast
import re
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


# The command line speaks English, and nothing else shows what these raise.
COMMAND_LINE = {
    "addon/command.py",
    "addon/output.py",
    *(f"addon/commands/{n}.py" for n in ("single", "many", "reading", "choice")),
}
# What is no text of the add-on's own.  Each with its reason.
NOT_OURS = {
    "event.field": "the backend's word, which `filled` looks up",
    "event.problem": "the backend's",
    "event.remedy": "the backend's",
    "message.remedy": "the backend's",
    "why.remedy": "of a Note, read where that is written",
    "str(error)": "the wire's own words about a broken message",
    "said[1].problem": "the client's, read where it says it",
    "said[1].remedy": "the client's",
    "session.problem.text": "said already",
    "session.problem.remedy": "said already",
    "say('{} cannot be run ({})', program, error.strerror)": "said already",
    "say('pyzmq is missing, without it there is no way to the backend')": "said already",
    "UNKNOWN_KEY.format(key=self._client.public_key)": "below",
    "self._loop(dealer, monitor)": "read where it says it",
    "not_found()": "said already",
    "self._stage == 'open'": "no text",
    "name": "the field of a key, as the caller calls it: below",
    "what": "the field of a file, as the caller calls it: below",
    "remedy": "of a file, as the caller knows it: below",
    "problem": "the client's, read where it says it",
    "offline()": "said already",
}
# Texts that reach an error through a parameter, and the file that has them.
PASSED = {
    "addon/exr.py": {"Depth", "Plate", "Extract the shot again", "Render it again, with ZIP compression"},
    "addon/client.py": {"On the backend's machine run: farplane clients add -- '{}'"},
}
# Made by a programmer's mistake, or told to a person at a terminal: no artist meets them.
NOBODY_SEES = {"{} is no job's UUID", "Use what submit returned"}


class Errors(Reader):
    """Collects what FarplaneErrors say, and what a Problem of the client is, as templates with {}."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.unknown: list[str] = []
        self.scopes: list[ast.AST] = []

    @staticmethod
    def of_all() -> Errors:
        whole = Errors("")
        for path in sorted([*ADDON.rglob("*.py"), *(ADDON.parent / "protocol").glob("*.py")]):
            name = path.relative_to(ADDON.parent).as_posix()
            if name in COMMAND_LINE or path.name.startswith("translations"):
                continue
            one, source = Errors(name), path.read_text()
            one.visit(ast.parse(source))
            whole.found |= one.found
            whole.unknown += one.unknown
            for text in PASSED.get(name, ()):
                written = text.replace("{}", "{key}")
                assert written in source or f'"{text.lower()}"' in source, (name, text)
                whole.found.add((ANY, text))
        whole.found -= {(ANY, text) for text in NOBODY_SEES}
        return whole

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.scopes.append(node)
        self.generic_visit(node)
        self.scopes.pop()

    def visit_Return(self, node: ast.Return) -> None:
        """In the client, what is wrong and what to do are a tuple."""
        inside = self.scopes[-1]
        returned = ast.unparse(inside.returns) if isinstance(inside, ast.FunctionDef) and inside.returns else ""
        if returned.startswith(("Problem", "tuple[Problem")) and isinstance(node.value, ast.Tuple):
            self.say(node.value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if called(node) == "FarplaneError" and node.args:
            field, *rest = node.args
            if isinstance(field, ast.Constant):
                self.found.add((ANY, field.value[:1].upper() + field.value[1:]))
            else:
                self.say(field)
            for part in rest:
                self.say(part)
        elif called(node) in ("_mistake", "Note"):
            for part in node.args:
                self.say(part)
        self.generic_visit(node)

    def say(self, node: ast.expr) -> None:
        """A text, or what a name stands for in this function."""
        if isinstance(node, ast.Constant):
            self.add(node)
        elif isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            if is_words(text):
                self.found.add((ANY, text))
        elif isinstance(node, ast.IfExp):
            self.say(node.body)
            self.say(node.orelse)
        elif isinstance(node, ast.Tuple):
            for part in node.elts:
                self.say(part)
        elif isinstance(node, ast.Starred):
            self.say(node.value)
        elif isinstance(node, ast.BinOp):  # a text, and perhaps an addition for the command line
            self.say(node.left)
        elif isinstance(node, ast.Name) and (values := self.values_of(node.id)):
            for value in values:
                self.say(value)
        elif isinstance(node, ast.Name) and node.id.isupper():
            pass  # a constant of the client's, which its own reader finds
        elif ast.unparse(node) not in NOT_OURS:
            self.unknown.append(f"{self.name}:{node.lineno}: {ast.unparse(node)}")

    def values_of(self, name: str) -> list[ast.expr]:
        inside = self.scopes[-1] if self.scopes else ast.Module([], [])
        found = [n for n in ast.walk(inside) if isinstance(n, ast.Assign)]
        return [n.value for n in found if isinstance(n.targets[0], ast.Name) and n.targets[0].id == name]


def test_no_error_hides_its_words() -> None:
    unknown = Errors.of_all().unknown
    assert not unknown, "\n".join(unknown)


def test_an_error_with_values_finds_its_template() -> None:
    """Each of the errors' templates, filled in, is found again; a text of somebody else's is left as it is."""
    values = ("Scene.001", "24", "/home/a b/x.exr", "Camera")
    for text in translations.translations_id_errors.TEXTS:
        if translations.is_template(text):
            some = values[: text.count("{}")]
            found = translations.template_of(text.format(*some))
            assert found is not None, text
            assert found[0].format(*found[1]) == text.format(*some)
            assert found[0] == text or found[0].count("{}") < text.count("{}"), (text, found[0])
    assert translations.template_of("CUDA out of memory") is None
    assert translations.filled("CUDA out of memory") == "CUDA out of memory"
    assert translations.template_of("near 3 m is not before far 2 m") == (
        "near {} m is not before far {} m",
        ("3", "2"),
    )


def test_an_error_is_said_with_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through to the panel's message.  The bpy module has no languages; so Blender's look-up stands in."""
    from farplane.addon.ui.message import Message
    from farplane.protocol.errors import FarplaneError

    texts, _ = translations.LANGUAGES["id"]
    monkeypatch.setattr(translations, "pgettext_iface", lambda text: texts.get(text, text))
    error = FarplaneError("camera", "Cam.002 is gone from Night", "Choose another camera")
    told = Message.of(error)
    assert (told.text, told.remedy) == ("Kamera: Cam.002 sudah tidak ada di Night", "Pilih kamera lain")
    told = Message.of(FarplaneError("gpu", "it is {odd}", "Use `{}`"))
    assert (told.text, told.remedy) == ("Gpu: it is {odd}", "Use `{}`")


def readers() -> Iterator[Reader]:
    for path in sorted(UI.glob("*.py")):
        if not path.name.startswith("translations"):
            reader = Reader(path.name)
            reader.visit(ast.parse(path.read_text()))
            yield reader
    yield Errors.of_all()
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
    return sorted(re.findall(r"\{(\w*)(?::[^}]*)?\}", text))


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
STAGE_NAMES = {"a": "Stage"}
SOME_KINDS = (("k", "Kind", "Kind tip", "ICON", 1),)
m = Message("Message", "Remedy")
"""
    reader.visit(ast.parse(source))
    assert reader.found == {
        (ANY, "Tooltip of it"), (OPERATOR, "Label"), (ANY, "Name"), (ANY, "Describe"), (ANY, "Item"), (ANY, "Item tip"),
        (ANY, "{} of {}"), (ANY, "Plain"), (OPERATOR, "Button"), (ANY, "Stage"), (ANY, "Kind"),
        (ANY, "Kind tip"), (ANY, "Message"), (ANY, "Remedy"),
    }  # fmt: skip
    assert len(reader.wrong) == 1
    errors = Errors("example")
    errors.visit(
        ast.parse("""
def f():
    remedy = "A remedy" if a else f"{n} remedies"
    raise FarplaneError("some field", f"{n} of {m} problems", remedy)
    raise FarplaneError(field, "problem", hidden())
def g() -> Problem:
    return f"no such {thing}", "Look again"
""")
    )
    said = {"Some field", "{} of {} problems", "A remedy", "{} remedies", "problem", "no such {}", "Look again"}
    assert {text for _, text in errors.found} == said
    assert [line.rsplit(": ", 1)[1] for line in errors.unknown] == ["field", "hidden()"]


def test_say_fills_in_what_is_not_translated_too() -> None:
    assert translations.say("{} of {name}", 1, name=2) == "1 of 2"
    assert translations.say("{braces} stay where nothing is filled in") == "{braces} stay where nothing is filled in"
