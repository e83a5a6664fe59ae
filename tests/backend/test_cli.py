"""The command line from outside: help, usage, exit codes, and one clear line for each mistake."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq

from farplane.backend import cli
from farplane.protocol.invitation import Invitation

COMMANDS = (
    "render",
    "shot",
    "measure",
    "serve",
    "pair",
    "clients",
    "models",
    "train",
    "evaluate",
    "world",
    "bench",
    "doctor",
)
# The client's public key of ZeroMQ's RFC 26 example.
KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def farplane(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """Run `farplane …` in this process (a process each would take half a minute of imports), no terminal."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FARPLANE_CONFIG", str(tmp_path / "config"))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["farplane", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return Said(int(end.value.code or 0), printed.out, printed.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def refused(farplane: Run) -> Callable[..., str]:
    """Run a command that must fail for the user's own mistake; return its one line."""

    def run(*arguments: str | Path) -> str:
        said = farplane(*arguments)
        assert said.code == 1, said.out + said.err
        assert said.err.startswith("error: ")
        assert len(said.err.strip().splitlines()) == 1, said.err
        return said.err

    return run


def test_the_installed_command_has_help_for_every_command() -> None:
    done = subprocess.run([Path(sys.executable).parent / "farplane", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert not [name for name in COMMANDS if f" {name} " not in done.stdout]


def test_the_version_is_the_projects(farplane: Run) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert farplane("--version") == Said(0, f"Farplane {project['version']}\n", "")


@pytest.mark.parametrize("arguments", [["nonsense"], ["render"], ["shot", "x.blend"], ["serve", "--port", "70000"]])
def test_wrong_usage_exits_2(farplane: Run, arguments: list[str]) -> None:
    assert farplane(*arguments).code == 2


def test_a_mistake_in_a_process_of_its_own_shows_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "farplane.backend.cli", *RENDER]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: scene: scene.blend does not exist.")
    assert done.stdout == ""


RENDER = ("render", "scene.blend", "--prompt", "a valley", "--out", "out")


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("scene", RENDER),
        ("scene", ("shot", "absent.blend", "--out", "out")),
        ("frames", (*RENDER, "--frames", "7")),
        ("frames", (*RENDER, "--frames", "9-3")),
        ("resolution", (*RENDER, "--size", "0x0")),
        ("resolution", (*RENDER, "--size", "32768x32768")),
        ("resolution", (*RENDER, "--size", "big")),
        ("seed", (*RENDER, "--seed", "-1")),
        ("steps", (*RENDER, "--steps", "1000")),
        ("guidance", (*RENDER, "--guidance", "nan")),
        ("compression", (*RENDER, "--compression", "RAR")),
        ("prompt", ("render", "scene.blend", "--prompt", " ", "--out", "out")),
        ("prompt", ("render", "scene.blend", "--prompt", "x" * 100_000, "--out", "out")),
        ("negative prompt", (*RENDER, "--negative", "y" * 100_000)),
    ],
)
def test_a_mistake_is_one_line_before_any_work(
    refused: Callable[..., str], field: str, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(*arguments).startswith(f"error: {field}: ")
    assert list(tmp_path.iterdir()) == []


def test_what_a_user_types_is_not_obeyed_by_the_terminal(refused: Callable[..., str]) -> None:
    line = refused("render", "a.blend", "--prompt", "p", "--out", "o", "--size", "[red]\x1b[31m7")
    assert "[red]" in line
    assert "\x1b" not in line


def test_clients_are_added_and_listed(farplane: Run) -> None:
    assert "No client" in farplane("clients", "list").out
    assert farplane("clients", "add", KEY, "--name", "render-node").code == 0
    listed = farplane("clients", "list").out
    assert "render-node" in listed
    assert KEY in listed


@pytest.mark.parametrize(("key", "name"), [("short", "a"), (KEY[:-1] + '"', "a"), (KEY, "../up")])
def test_a_wrong_key_or_name_is_refused(refused: Callable[..., str], tmp_path: Path, key: str, name: str) -> None:
    refused("clients", "add", key, "--name", name)
    assert not list(tmp_path.rglob("*.pub"))


def test_pair_prints_one_line_that_lets_its_owner_in(farplane: Run, tmp_path: Path) -> None:
    said = farplane("pair", "ayu", "--host", "render.studio")
    assert said.code == 0
    invitation = Invitation.read(said.out)
    assert said.out.count("\n") == 1, "the line alone, so that it can be piped"
    assert invitation.address == "tcp://render.studio:46347"
    allowed = (tmp_path / "config" / "clients" / "ayu.pub").read_text().strip()
    assert zmq.curve_public(invitation.secret.encode()).decode() == allowed
    assert "farplane serve --host" in said.err, "nobody listens there yet"
    assert invitation.secret not in said.err


def test_a_name_is_paired_once(farplane: Run, refused: Callable[..., str], tmp_path: Path) -> None:
    farplane("pair", "ayu", "--host", "render.studio")
    before = (tmp_path / "config" / "clients" / "ayu.pub").read_text()
    assert "paired already" in refused("pair", "ayu", "--host", "render.studio")
    assert (tmp_path / "config" / "clients" / "ayu.pub").read_text() == before
    refused("pair", "../up", "--host", "render.studio")
    refused("pair", "budi", "--host", "a b")
    assert [path.name for path in (tmp_path / "config" / "clients").iterdir()] == ["ayu.pub"]


def test_models_are_listed(farplane: Run) -> None:
    said = farplane("models")
    assert said.code == 0
    assert "farplane-s" in said.out
    assert "wan2.1-vace-14b" in said.out


def test_a_server_whose_port_is_taken_says_so(refused: Callable[..., str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused("serve", "--port", str(port), "--config", tmp_path / "c", "--data", tmp_path / "d")
    assert line.startswith(f"error: port: {port} is taken")
