"""The configuration folder: keys are private, whole, and made once."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
import zmq

from farplane.protocol import pairing
from farplane.protocol.errors import FarplaneError
from farplane.protocol.pairing import Published

KEY = zmq.curve_keypair()[0].decode()


def test_a_pair_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "config"
    pair = pairing.key_pair(folder, "client", zmq.curve_keypair)
    assert zmq.curve_public(pair.secret.encode()).decode() == pair.public
    assert pairing.key_pair(folder, "client", lambda: pytest.fail("made twice")) == pair
    assert pair.secret not in repr(pair)
    if os.name == "posix":
        assert stat.S_IMODE((folder / "client.key").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["client.key"]  # no temporary files left


def test_many_first_starts_at_once_end_with_one_pair(tmp_path: Path) -> None:
    barrier, pairs = threading.Barrier(8), []

    def start() -> None:
        barrier.wait()
        pairs.append(pairing.key_pair(tmp_path, "client", zmq.curve_keypair))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pairs) == 8
    assert len(set(pairs)) == 1


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    pairing.key_pair(tmp_path, "backend", zmq.curve_keypair)
    (tmp_path / "backend.key").chmod(0o644)
    with pytest.raises(FarplaneError, match="chmod 600"):
        pairing.key_pair(tmp_path, "backend", zmq.curve_keypair)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"public": 1, "secret": 2}', '{"public": "short", "secret": "short"}', "[" * 5000]
)
def test_a_damaged_key_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "client.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(FarplaneError, match="damaged"):
        pairing.key_pair(tmp_path, "client", zmq.curve_keypair)


def test_a_backend_is_found_until_it_withdraws(tmp_path: Path) -> None:
    assert pairing.find_backend(tmp_path) is None
    ours, later = Published("tcp://127.0.0.1:1", KEY, 11), Published("tcp://127.0.0.1:2", KEY, 22)
    pairing.publish(tmp_path, ours)
    assert pairing.find_backend(tmp_path) == ours
    pairing.publish(tmp_path, later)
    pairing.withdraw(tmp_path, 11)  # not ours any more
    assert pairing.find_backend(tmp_path) == later
    pairing.withdraw(tmp_path, 22)
    assert pairing.find_backend(tmp_path) is None
    (tmp_path / "backend.json").write_text('{"address": 1}')
    assert pairing.find_backend(tmp_path) is None


def test_clients_come_and_go_by_their_files(tmp_path: Path) -> None:
    assert pairing.allowed_clients(tmp_path) == set()
    path = pairing.allow_client(tmp_path, KEY, "laptop")
    assert path == tmp_path / "clients" / "laptop.pub"
    unnamed = pairing.allow_client(tmp_path, KEY)
    assert pairing.allow_client(tmp_path, KEY) == unnamed
    other = zmq.curve_keypair()[0].decode()
    pairing.allow_client(tmp_path, other)
    (tmp_path / "clients" / "rubbish.pub").write_bytes(b"\xff" * 100)
    assert pairing.allowed_clients(tmp_path) == {KEY, other}
    path.unlink()
    unnamed.unlink()
    assert pairing.allowed_clients(tmp_path) == {other}


@pytest.mark.parametrize(("key", "name"), [("short", ""), (KEY + "x", ""), (KEY, "../up"), (KEY, "a b")])
def test_what_is_no_key_or_no_name_is_refused(tmp_path: Path, key: str, name: str) -> None:
    with pytest.raises(FarplaneError):
        pairing.allow_client(tmp_path, key, name)


def test_the_folder_is_the_users_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARPLANE_CONFIG", str(tmp_path / "mine"))
    assert pairing.config_dir() == tmp_path / "mine"
    monkeypatch.delenv("FARPLANE_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("sys.platform", "linux")
    assert pairing.config_dir() == tmp_path / "xdg" / "farplane"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FarplaneError, match="FARPLANE_CONFIG"):
        pairing.key_pair(tmp_path / "file" / "config", "client", zmq.curve_keypair)
