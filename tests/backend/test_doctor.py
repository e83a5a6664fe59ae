"""The doctor: every finding has a state and, unless it is well, a remedy; what is broken here is found."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from farplane.backend import doctor
from farplane.backend.doctor import Check
from farplane.backend.model import presets
from farplane.backend.service import server


def lines(check) -> list[Check]:
    return list(check())


@pytest.mark.parametrize("check", [c for c in doctor.CHECKS if c not in (doctor.blender, doctor.checkpoints)])
def test_what_this_suite_runs_on_is_not_failed(check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FARPLANE_CONFIG", str(tmp_path))
    for line in lines(check):
        assert line.state != "fail", line
        assert line.found
        assert bool(line.remedy) == (line.state != "ok"), line


def test_a_blender_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FARPLANE_BLENDER", str(tmp_path / "blender"))
    (line,) = lines(doctor.blender)
    assert line.state == "fail"
    assert line.remedy


def test_a_checkpoint_that_is_missing_or_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(presets, "CHECKPOINTS", tmp_path)
    monkeypatch.delenv(presets.MODELS_VARIABLE, raising=False)
    found = {line.name: line for line in lines(doctor.checkpoints)}
    assert found["farplane-s"].state == "fail"
    assert found["wan2.1-vace-14b"].state == "ok", "a model that was never asked for is no fault"
    (tmp_path / "farplane-s").mkdir()
    (tmp_path / "farplane-s" / "config.json").write_text("{")
    (line,) = [line for line in lines(doctor.checkpoints) if line.name == "farplane-s"]
    assert line.state == "fail"
    assert "config.json" in line.found


def test_keys_that_others_can_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FARPLANE_CONFIG", str(tmp_path))
    from farplane.backend.service.keys import backend_keys

    pair = backend_keys(tmp_path)
    (line,) = lines(doctor.keys)
    assert line.state == "ok"
    assert pair.public in line.found
    assert pair.secret not in line.found
    (tmp_path / "backend.key").chmod(0o644)
    (line,) = lines(doctor.keys)
    assert line.state == "fail"
    assert "chmod 600" in line.remedy


def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FARPLANE_CONFIG", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(server, "DEFAULT_PORT", taken.getsockname()[1])
        (line,) = lines(doctor.ports)
    assert line.state == "warn"
    assert "--port" in line.remedy


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_wheel() -> Iterator[Check]:
        raise ImportError("libGL.so.1: cannot open shared object file")
        yield

    monkeypatch.setattr(doctor, "CHECKS", (doctor.python, broken_wheel))
    out = io.StringIO()
    assert doctor.show(Console(file=out, width=200)) is False
    assert "FAIL broken wheel" in out.getvalue()
    assert "libGL.so.1" in out.getvalue()
    assert "make setup" in out.getvalue()


def test_all_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (doctor.python,))
    out = io.StringIO()
    assert doctor.show(Console(file=out, width=200)) is True
    assert "→" not in out.getvalue()


def test_missing_libraries_are_read_from_the_linker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ldd = tmp_path / "ldd"
    ldd.write_text("#!/bin/sh\necho '	libSM.so.6 => not found'\necho '	libc.so.6 => /lib/libc.so.6 (0x7f)'\n")
    ldd.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert doctor.missing_libraries(tmp_path / "any.so") == ["libSM.so.6"]
