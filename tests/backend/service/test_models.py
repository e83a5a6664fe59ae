"""A model that would not load is refused before a byte of a shot is sent, by a worker with the real pipeline."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import BOUND, Backend, Caller, make_shot, start_backend

from farplane.addon.commands.link import check_model
from farplane.backend.model import presets
from farplane.backend.service.server import PIPELINE
from farplane.protocol import codec, events
from farplane.protocol.errors import FarplaneError
from farplane.protocol.shot import Prompt, RenderSettings

sys.path.append(str(Path(__file__).parents[1] / "cli_pipeline"))
from model_folders import BAD, farplane_folder, wan_folder

Make = Callable[..., Caller]
NAME = "wan2.1-vace-1.3b"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of models on the backend's machine, with a damaged one that is offered by its name."""
    folder = tmp_path_factory.mktemp("models")
    BAD["truncated"][0](wan_folder(folder / NAME))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(presets.MODELS_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Backend]:
    folder = tmp_path_factory.mktemp("backend")
    started = start_backend(
        folder / "config", folder / "data", pipeline=PIPELINE, models=presets.offered, longest=presets.longest_shot
    )
    yield started
    started.stop()


def refusal(backend: Backend, caller: Caller, model: str) -> events.Failed:
    """Submit a shot that must be refused before anything of it is sent; returns what the artist is told."""
    job = caller.client.submit(make_shot(), RenderSettings(model=model))
    failed = caller.end(job)
    assert isinstance(failed, events.Failed)
    assert failed.field == "model"
    assert failed.remedy
    assert not [event for event in caller.of(events.Uploading, job) if event.sent]
    assert not caller.of(events.Accepted, job)
    assert not (backend.server._store.data / "jobs" / job).exists()
    return failed


@pytest.mark.parametrize("make", [farplane_folder, wan_folder])
@pytest.mark.parametrize("case", BAD)
def test_a_bad_checkpoint_is_refused_before_the_shot_is_sent(
    backend: Backend, call: Make, tmp_path: Path, make: Callable[[Path], Path], case: str
) -> None:
    damage, words = BAD[case]
    damage(make(tmp_path / "tiny-model"))
    failed = refusal(backend, call(config=backend.config), str(tmp_path / "tiny-model"))
    with pytest.raises(FarplaneError, match=words):
        raise FarplaneError(failed.field, failed.problem, failed.remedy)


def test_a_folder_that_is_not_there_is_refused_too(backend: Backend, call: Make, tmp_path: Path) -> None:
    failed = refusal(backend, call(config=backend.config), str(tmp_path / "nothing"))
    assert "neither a model's name nor a folder" in failed.problem


def test_an_offered_model_that_does_not_load_is_told_before_any_work_and_may_be_mended(
    backend: Backend, call: Make, models: Path
) -> None:
    """What the panel and the command line look at when they are connected, before the scene is read."""

    def said() -> str:
        connected = call(config=backend.config).until(events.Connected)
        assert isinstance(connected, events.Connected)
        try:
            check_model(connected, RenderSettings(model=NAME))
        except FarplaneError as error:
            return f"{error.field}: {error.problem}"
        return ""

    def becomes(wanted: Callable[[str], bool]) -> None:
        deadline = time.monotonic() + BOUND
        while not wanted(words := said()):  # the worker looks beside its other work
            assert time.monotonic() < deadline, words
            time.sleep(0.2)

    becomes(lambda words: words.startswith(f"model: {NAME} does not load") and "safetensors is truncated" in words)
    assert "truncated" in refusal(backend, call(config=backend.config), NAME).problem
    shutil.rmtree(models / NAME)
    wan_folder(models / NAME)
    becomes(lambda words: words == "")


def test_a_worker_that_falls_while_it_is_asked_holds_nothing_up(
    tmp_path: Path, call: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shot goes up without the answer."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "falls.py").write_text(
        "import os, painter\npaint = painter.paint\ndef check_model(name):\n    os._exit(3)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'lib'}:{Path(__file__).parent}")
    backend = start_backend(tmp_path / "config", tmp_path / "data", pipeline="falls:paint")
    caller = call()
    assert isinstance(caller.end(caller.client.submit(make_shot(), RenderSettings(model="any"))), events.Finished)
    backend.stop()


# ---- before there is a shot -----------------------------------------------------------------------------------------


def asked(caller: Caller, model: str, frames: int = 5, *, look: bool) -> events.Event:
    """The answer to an enquiry; whatever it is, nothing of it stays."""
    outline = codec.outline("shot", frames, (96, 64), Prompt("a cliff"), RenderSettings(model), reference=False)
    job = caller.client.enquire(outline, look=look)
    return caller.until(lambda event: isinstance(event, events.Admissible | events.Failed) and event.job == job)


@pytest.mark.parametrize("make", [farplane_folder, wan_folder])
def test_a_folder_is_looked_into_before_there_is_a_shot(
    backend: Backend, call: Make, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    caller, model = call(config=backend.config), tmp_path / "tiny-model"
    weights = make(model)
    assert isinstance(asked(caller, str(model), look=True), events.Admissible)
    damage, words = BAD["truncated"]
    damage(weights)
    failed = asked(caller, str(model), look=True)
    assert isinstance(failed, events.Failed)
    assert failed.field == "model"
    with pytest.raises(RuntimeError, match=words):
        raise RuntimeError(failed.problem)
    gone = asked(caller, str(tmp_path / "nothing"), look=True)
    assert isinstance(gone, events.Failed)
    assert "neither a model's name nor a folder" in gone.problem
    assert not list((backend.server._store.data / "jobs").glob("*"))


def test_a_shot_too_long_for_its_model_is_refused_when_it_is_offered(
    backend: Backend, call: Make, models: Path, tmp_path: Path
) -> None:
    """Wan renders 81 frames in one piece: known at once by the model's name, by a folder once it is looked into."""
    caller, folder = call(config=backend.config), tmp_path / "tiny-wan"
    wan_folder(folder)
    shutil.rmtree(models / NAME, ignore_errors=True)
    wan_folder(models / NAME)
    for model, look in ((NAME, False), (str(folder), True)):
        assert isinstance(asked(caller, model, 81, look=look), events.Admissible)
        failed = asked(caller, model, 82, look=look)
        assert isinstance(failed, events.Failed)
        assert failed.field == "frames"
        assert "82 frames are more than the 81 that" in failed.problem
        assert failed.remedy == "Shorten the range or raise the frame step"
    assert isinstance(asked(caller, "farplane-s", 1440, look=False), events.Admissible)
    # And the shot itself, from a client that did not ask.
    failed = caller.end(caller.client.submit(make_shot(frames=82, size=(32, 32)), RenderSettings(model=NAME)))
    assert isinstance(failed, events.Failed)
    assert failed.field == "frames"


def test_many_enquiries_leave_nothing_behind(backend: Backend, call: Make) -> None:
    """Neither on the disk nor in a connection's tables, which hold 4096 jobs."""
    caller = call(config=backend.config)
    for _ in range(40):
        assert isinstance(asked(caller, "farplane-s", look=False), events.Admissible)
    deadline = time.monotonic() + BOUND
    while caller.client._conversation._session._jobs:  # type: ignore[union-attr]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not list((backend.config.parent / "data" / "jobs").iterdir())
