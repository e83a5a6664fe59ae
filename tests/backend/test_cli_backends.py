"""`farplane render` against a backend of somebody else's, and with a Wan folder: the real pipeline in each.

Everything that is wrong ends as one line; what can be known before the scene is read is said before it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import OpenEXR
import pytest
import zmq

pytest.importorskip("bpy")
sys.path.append(str(Path(__file__).parent / "cli_pipeline"))
from model_folders import BAD, farplane_folder, saved_by_diffusers, wan_folder
from whole_way import BOUND, FRAMES, assert_nothing_is_left, farplane, refused, start
from whole_way import environment as environment
from whole_way import scenes as scenes

OFFERED = "wan2.1-vace-1.3b"


@dataclass
class Served:
    """A `farplane serve`.  environment : of a client that knows its keys."""

    process: subprocess.Popen[str]
    address: str
    key: str
    environment: dict[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        return "--backend", self.address, "--backend-key", self.key


@pytest.fixture(scope="module")
def served(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A backend with the real pipeline, and a damaged model among those it offers."""
    folder = tmp_path_factory.mktemp("served")
    BAD["truncated"][0](wan_folder(folder / "models" / OFFERED))
    (folder / "tmp").mkdir()
    own = {**environment, "FARPLANE_MODELS": str(folder / "models"), "TMPDIR": str(folder / "tmp")}
    process = start(own, "serve", "--port", 0, "--config", environment["FARPLANE_CONFIG"], "--data", folder / "data")
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    yield Served(process, ready["address"], ready["public_key"], environment)
    process.terminate()
    process.communicate(timeout=BOUND)


def test_a_wrong_key_is_one_line_before_the_scene_is_rendered(scenes: Path, served: Served, tmp_path: Path) -> None:
    began = time.monotonic()
    line = refused(served.environment, "render", scenes / "valley.blend", "--prompt", "x", "--out", tmp_path / "t",
                   "--backend", served.address, "--backend-key", zmq.curve_keypair()[0].decode())  # fmt: skip
    assert line.startswith("error: backend: "), line
    assert "key" in line
    # The child starts in seconds and the connection is given 12 s; the rest is for a starved machine.
    assert time.monotonic() - began < BOUND / 3
    assert list(tmp_path.iterdir()) == []
    assert_nothing_is_left(served.environment)


def test_a_key_that_the_backend_does_not_know_is_one_line(scenes: Path, served: Served, tmp_path: Path) -> None:
    stranger = {**served.environment, "FARPLANE_CONFIG": str(tmp_path / "another machine")}
    line = refused(stranger, "render", scenes / "valley.blend", "--prompt", "x", "--out", tmp_path / "t", *served.names)
    assert line.startswith("error: backend: "), line
    assert "does not know this client's key" in line
    assert "farplane clients add" in line
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("key", ["short", "x" * 41, "'" * 40])
def test_a_key_that_is_none_is_said_before_blender_starts(
    scenes: Path, served: Served, tmp_path: Path, key: str
) -> None:
    line = refused(served.environment, "render", scenes / "valley.blend", "--prompt", "x", "--out", tmp_path / "t",
                   "--backend", served.address, f"--backend-key={key}")  # fmt: skip
    assert line.startswith("error: backend key: "), line
    assert not (tmp_path / "t").exists()


def refused_before_the_scene(environment: dict[str, str], scene: Path, out: Path, *arguments: object) -> str:
    """Render, which must fail for the user's own mistake before depth was rendered; its one line."""
    done = farplane(environment, "render", scene, "--prompt", "x", "--out", out, *arguments)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(errors)) == (1, 1), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "Rendering depth" not in done.stdout
    assert not out.exists()
    return errors[0]


def test_a_backend_of_another_version_is_one_line(scenes: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """It answers every message with a welcome of version 9, whose fields nobody here knows."""
    context, ended = zmq.Context(), threading.Event()
    public, secret = zmq.curve_keypair()
    router = context.socket(zmq.ROUTER)
    router.curve_server, router.curve_secretkey, router.linger = True, secret, 0
    port = router.bind_to_random_port("tcp://127.0.0.1")

    def answer() -> None:
        while not ended.is_set():
            if router.poll(50):
                identity, *_ = router.recv_multipart()
                router.send_multipart([identity, b'{"v":9,"type":"welcome","all":"different"}'])
        router.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        line = refused_before_the_scene(
            environment, scenes / "valley.blend", tmp_path / "t",
            "--backend", f"tcp://127.0.0.1:{port}", "--backend-key", public.decode(),
        )  # fmt: skip
    finally:
        ended.set()
        thread.join()
        context.term()
    assert line.startswith("error: backend: the other side speaks version 9 of the protocol, this side version"), line
    assert "Install the same Farplane version on both sides" in line
    assert list(tmp_path.iterdir()) == []
    assert_nothing_is_left(environment)


def test_an_offered_model_that_does_not_load_is_said_before_the_scene_is_rendered(
    scenes: Path, served: Served, tmp_path: Path
) -> None:
    """Also by a backend that has just started and has not looked yet: it is waited for."""
    line = refused_before_the_scene(
        served.environment, scenes / "valley.blend", tmp_path / "t", "--model", OFFERED, *served.names
    )
    assert line.startswith("error: model: ")
    assert "safetensors is truncated or damaged" in line
    assert_nothing_is_left(served.environment)


@pytest.mark.parametrize(("case", "make"), [("another shape", farplane_folder), ("a pickle", wan_folder)])
def test_a_bad_folder_on_its_machine_is_said_before_the_scene_is_rendered(
    scenes: Path, served: Served, tmp_path: Path, case: str, make
) -> None:
    damage, words = BAD[case]
    damage(make(tmp_path / "tiny-model"))
    line = refused_before_the_scene(
        served.environment, scenes / "valley.blend", tmp_path / "t", "--model", tmp_path / "tiny-model", *served.names
    )
    with pytest.raises(RuntimeError, match=words):
        raise RuntimeError(line)


def test_a_folder_that_is_not_on_its_machine_is_said_before_the_scene_is_rendered(
    scenes: Path, served: Served, tmp_path: Path
) -> None:
    line = refused_before_the_scene(
        served.environment, scenes / "valley.blend", tmp_path / "t", "--model", "/not/there", *served.names
    )
    assert "'/not/there' is neither a model's name nor a folder" in line


@pytest.mark.parametrize("by", ["a folder there", "a folder here"])
def test_a_shot_too_long_for_its_model_is_said_before_the_scene_is_rendered(
    scenes: Path, served: Served, tmp_path: Path, by: str
) -> None:
    """Wan renders 81 frames in one piece, on somebody else's backend and on one of our own."""
    wan_folder(tmp_path / "tiny-wan")
    names = served.names if by == "a folder there" else ()
    line = refused_before_the_scene(
        served.environment, scenes / "valley.blend", tmp_path / "t",
        "--model", tmp_path / "tiny-wan", "--frames", "1-82", *names,
    )  # fmt: skip
    assert line.startswith("error: frames: 82 frames are more than the 81 that"), line
    assert "Shorten the range or raise the frame step" in line


def test_a_wan_folder_that_diffusers_saved_renders_the_whole_way(
    scenes: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    model, out = saved_by_diffusers(tmp_path / "tiny-vace"), tmp_path / "take"
    done = farplane(environment, "render", scenes / "valley.blend", "--prompt", "a valley at dusk", "--size", "64x48",
                    "--negative", "blur", "--steps", 2, "--guidance", 3, "--model", model, "--out", out)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["hdr"] == "display"  # an SDR model, linearised
    for frame in FRAMES:
        file = OpenEXR.File(str(out / f"plate.{frame:04d}.exr"))
        header, pixels = file.header(), file.channels()["RGB"].pixels
        assert pixels.shape == (48, 64, 3)
        assert header["farplane:model"] == str(model)
        assert header["farplane:hdr"] == "display"
        assert 0 <= pixels.min() < pixels.max() <= 1
    assert (out / "valley_farplane.blend").is_file()
    assert_nothing_is_left(environment)

    shutil.rmtree(out)
    BAD["truncated"][0](model / "vae")
    line = refused(environment, "render", scenes / "valley.blend", "--prompt", "x", "--model", model, "--out", out)
    assert "vae/diffusion_pytorch_model.safetensors is truncated or damaged" in line
    assert not out.exists()
