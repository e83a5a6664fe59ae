"""What is only the backend's own user's: naming models by path, reading its files, running on its configuration."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import BOUND, SETTINGS, Backend, Caller, Child, make_shot, start_backend
from raw import Raw, known

from farplane.backend import doctor
from farplane.backend.model import presets
from farplane.backend.service import keys
from farplane.backend.service.server import Server
from farplane.protocol import codec, events, pairing
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import RenderSettings

Make = Callable[..., Caller]
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")


# ---- models by path -------------------------------------------------------------------------------------------------


@pytest.fixture
def offering(tmp_path: Path) -> Iterator[Backend]:
    """A backend that offers its models by name."""
    started = start_backend(tmp_path / "config", tmp_path / "data", models=presets.offered)
    yield started
    started.stop()


def answer_to(backend: Backend, model: str) -> events.Message | None:
    """What a client of another machine hears when it names this model; nothing of the shot is sent."""
    peer = Raw(backend.server.address, backend.server.public_key, known(backend.config, "laptop"))
    try:
        peer.greet()
        submit, _ = codec.describe(codec.new_job(), make_shot(), RenderSettings(model=model))
        peer.say(submit)
        return peer.hear()
    finally:
        peer.close()


def refusal(backend: Backend, model: str) -> str:
    answer = answer_to(backend, model)
    assert isinstance(answer, events.Refused)
    assert answer.field == "model"
    assert repr(model) in answer.problem
    return (answer.problem + answer.remedy).replace(repr(model), "PATH")


def test_another_client_learns_nothing_of_the_backends_folders(offering: Backend, tmp_path: Path) -> None:
    """The same words for a folder, a file, a link, a secret place and nothing at all."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    named = [str(tmp_path / name) for name in ("folder", "file", "link", "nothing", "folder/damaged", "folder/../file")]
    named += [
        "/etc/passwd",
        "/root",
        "~/x",
        "./x",
        "../../etc",
        r"C:\Windows",
        r"\\server\share",
        "//server/share",
        "/",
    ]
    assert len({refusal(offering, model) for model in named}) == 1


def test_models_txt_allows_folders_and_nothing_beside_them(offering: Backend, tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / "one").mkdir(parents=True)
    (tmp_path / "models-of-others").mkdir()
    (models / "out").symlink_to(tmp_path / "models-of-others")
    text = f"# what anybody may use\n{models}   # all of it\nnot/absolute\n\n"
    (offering.config / keys.ALLOWED_MODELS).write_text(text)
    assert isinstance(answer_to(offering, str(models / "one")), events.Credit)  # the painter loads any model
    damaged = answer_to(offering, str(models / "damaged"))
    assert isinstance(damaged, events.Refused)
    assert "truncated" in damaged.problem  # inside, the worker looks and says
    outside = [tmp_path / "models-of-others", models / ".." / "data", models / "out", Path(f"{models}x")]
    assert len({refusal(offering, str(path)) for path in outside}) == 1
    (offering.config / keys.ALLOWED_MODELS).unlink()  # read anew for every shot
    refusal(offering, str(models / "one"))


def test_the_backends_own_user_may_name_any_folder(offering: Backend, call: Make, tmp_path: Path) -> None:
    caller = call()
    job = caller.client.submit(make_shot(), RenderSettings(model=str(tmp_path / "anything")))
    assert isinstance(caller.end(job), events.Finished)


def test_a_copied_list_of_clients_makes_nobody_the_owner(tmp_path: Path) -> None:
    assert not keys.may_name_model(tmp_path, "", "/x")  # no client has ever run here
    public, _ = known(tmp_path)
    assert not keys.may_name_model(tmp_path, public.decode(), "/x")


# ---- permissions ----------------------------------------------------------------------------------------------------


def open_to_others(*folders: Path) -> list[str]:
    """Everything in these folders, and they themselves, whose mode is not 0700 or 0600."""
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    wanted = {path: 0o700 if path.is_dir() else 0o600 for path in paths if not path.is_symlink()}
    return [f"{path} {path.stat().st_mode:o}" for path in wanted if stat.S_IMODE(path.stat().st_mode) != wanted[path]]


@pytest.fixture
def loose() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@posix
@pytest.mark.usefixtures("loose")
def test_all_that_a_backend_makes_is_its_users_alone(spawn: Callable[..., Child], call: Make, tmp_path: Path) -> None:
    """Under the loosest umask, in folders whose parents are not there either: while a job runs, and after it."""
    child, caller = spawn(), call()
    running = caller.client.submit(make_shot("halfway", frames=4), SETTINGS)
    caller.until(events.FrameReady)
    caller.client.submit(make_shot(), SETTINGS)
    caller.until(events.Accepted)
    names = {path.name for path in (tmp_path / "data").rglob("*")}
    assert {"jobs.sqlite", "jobs.sqlite-wal", "worker.log", "lock", "input.bin", "attempt-1"} <= names
    assert open_to_others(tmp_path / "config", tmp_path / "data") == []
    (tmp_path / "gate").touch()
    caller.end(running)
    assert open_to_others(tmp_path / "config", tmp_path / "data") == []
    child.process.send_signal(signal.SIGTERM)
    child.process.wait(BOUND)
    pairing.allow_client(tmp_path / "new" / "farplane", "x" * 40)
    assert open_to_others(tmp_path / "new") == []


@posix
def test_an_older_versions_folders_are_closed_at_the_start(
    spawn: Callable[..., Child], call: Make, tmp_path: Path
) -> None:
    child, caller = spawn(), call()
    job = caller.client.submit(make_shot(), SETTINGS)
    caller.end(job)
    child.kill()
    config, data = tmp_path / "config", tmp_path / "data"
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "elsewhere").chmod(0o644)
    (data / "jobs" / job / "link").symlink_to(tmp_path / "elsewhere")
    for path in (config, *config.rglob("*"), data, *data.rglob("*")):
        if path.suffix != ".key" and not path.is_symlink():  # a key that others could read is refused, not mended
            path.chmod(0o755 if path.is_dir() else 0o644)
    spawn()
    assert open_to_others(config, data) == []
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o644  # a link is not followed


@posix
def test_a_folder_that_holds_other_things_keeps_its_mode(tmp_path: Path) -> None:
    """`--data /tmp` does not take /tmp from everybody."""
    data = tmp_path / "share"
    (data / "theirs").mkdir(parents=True)
    for path in (data, data / "theirs"):
        path.chmod(0o777)
    start_backend(tmp_path / "config", data).stop()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (data, data / "theirs")] == [0o777, 0o777]
    assert stat.S_IMODE((data / "jobs").stat().st_mode) == 0o700


# ---- one backend a configuration ------------------------------------------------------------------------------------


def second(config: Path, data: Path) -> subprocess.CompletedProcess[str]:
    """`farplane serve` as somebody types it."""
    command = [sys.executable, "-m", "farplane.backend.cli", "serve", "--port", "0", "--pipeline", "painter:paint"]
    command += ["--config", str(config), "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=BOUND)


def test_a_second_backend_on_a_configuration_ends_with_one_line(
    spawn: Callable[..., Child], call: Make, tmp_path: Path
) -> None:
    child = spawn()
    published = (tmp_path / "config" / "backend.json").read_bytes()
    done = second(tmp_path / "config", tmp_path / "other-data")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert f"another backend (process {child.process.pid} at {child.ready['address']}) is using" in line
    assert "--config" in line
    assert done.stdout == ""
    assert (tmp_path / "config" / "backend.json").read_bytes() == published
    assert not (tmp_path / "other-data").exists()
    call().until(events.Connected)  # by what is published


def test_the_claim_ends_with_its_process(spawn: Callable[..., Child], tmp_path: Path) -> None:
    """Killed while its worker is still there, or refused for another reason: the next one may start."""
    spawn().kill()
    child = spawn()
    child.kill()
    (tmp_path / "file").write_bytes(b"")
    refused = Server("127.0.0.1", 0, tmp_path / "config", tmp_path / "file")
    with pytest.raises(FarplaneError, match="cannot be used"):
        refused.open()  # it had the claim, and gave it back
    child = spawn()
    assert json.loads((tmp_path / "config" / "backend.json").read_bytes())["pid"] == child.process.pid


# ---- what the doctor believes ---------------------------------------------------------------------------------------


def test_the_doctor_knows_a_backend_by_its_key(
    spawn: Callable[..., Child], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    monkeypatch.setenv("FARPLANE_CONFIG", str(config))
    child = spawn()
    (line,) = doctor.ports()
    assert (line.state, line.found) == ("ok", f"running at {child.ready['address']} (process {child.process.pid})")

    # It was killed, and its number belongs to somebody else by now: this very process.
    text = (config / "backend.json").read_text()
    child.kill()
    (config / "backend.json").write_text(text.replace(str(child.process.pid), str(os.getpid())))
    (line,) = doctor.ports()
    assert line.state == "warn"
    assert f"process {os.getpid()} was a backend, but nothing with its key answers" in line.found

    # Another backend has its port: another key.
    other = start_backend(tmp_path / "other", tmp_path / "other-data")
    port = other.server.address
    pairing.publish(config, pairing.Published(port, pairing.find_backend(config).public_key, os.getpid()))  # type: ignore[union-attr]
    (line,) = doctor.ports()
    assert line.state == "warn"
    pairing.publish(config, pairing.Published(port, other.server.public_key, os.getpid()))
    (line,) = doctor.ports()
    assert line.state == "ok"
    other.stop()

    # Nobody has that number.
    pairing.publish(config, pairing.Published(port, other.server.public_key, 2**22 + 1))
    assert "none running" in next(doctor.ports()).found or "taken" in next(doctor.ports()).found


# ---- listening beyond this machine ----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "lo", "::ffff:127.0.0.1"])
def test_listening_here_alone_needs_no_word(host: str) -> None:
    assert keys.exposure(host, 1) == ""


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("0.0.0.0", "on every network"),
        ("::", "on every network"),
        ("*", "on every network"),
        ("::ffff:0.0.0.0", "on every network"),
        ("192.0.2.7", "on 192.0.2.7"),
        ("fe80::1%eth0", "on fe80::1%eth0"),
        ("eth0", "on eth0"),
        ("studio-gpu", "on studio-gpu"),
    ],
)
def test_listening_beyond_this_machine_is_said(host: str, where: str) -> None:
    said = keys.exposure(host, 46347)
    assert where in said
    assert "port 46347" in said
    assert "\n" not in said


def test_the_warning_is_in_what_serve_says(tmp_path: Path) -> None:
    """For one moment: it ends with a parent that has ended."""
    parent = subprocess.Popen([sys.executable, "-c", ""])
    parent.wait()
    command = [sys.executable, "-m", "farplane.backend.cli", "serve", "--host", "0.0.0.0", "--port", "0"]
    command += ["--config", str(tmp_path / "config"), "--data", str(tmp_path / "data"), "--pipeline", "painter:paint"]
    command += ["--parent-pid", str(parent.pid)]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND)
    assert done.returncode == 0, time.monotonic() - began
    assert "listening on every network of this machine" in done.stderr
