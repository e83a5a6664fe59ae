"""What an artist can get wrong, through the panel's own button: told at once, nothing read, made or sent."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy")
zmq = pytest.importorskip("zmq")

from mistakes import Change, camera, depth_with, frames, lens, size  # noqa: E402

import farplane  # noqa: E402
from farplane.addon.passes import PassRenderer  # noqa: E402
from farplane.addon.ui import generate, operators, preferences  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402
from farplane.protocol import pairing  # noqa: E402


def refusal(scene: Any) -> str:
    """Press Generate, which must fail; returns what is told."""
    before = len(bpy.data.scenes), len(bpy.data.objects), len(bpy.data.images)
    with pytest.raises(RuntimeError) as caught:
        bpy.ops.farplane.generate()
    assert (len(bpy.data.scenes), len(bpy.data.objects), len(bpy.data.images)) == before, "a stand-in is left"
    assert session.job is None
    assert session.message.is_error
    return str(caught.value)


MISTAKES: dict[str, tuple[Change, str]] = {
    "no camera": (lambda scene: setattr(scene, "camera", None), "Add a camera"),
    "orthographic": (lens("ORTHO"), "orthographic"),
    "panoramic": (lens("PANO"), "panoramic"),
    "one frame": (frames(5, 5), "1 frame"),
    "ten thousand frames": (frames(1, 10_000), "10000 frames"),
    "a prompt of 100 kB": (lambda scene: setattr(scene.farplane, "prompt", "x" * 100_000), "100000 bytes"),
    "no side at all": (size(4, 4, 1), "out of range"),  # Blender's own smallest
    "a huge side": (size(32768, 36), "32768x36 is out of range"),
    "NaN in the matrix": (camera(delta_location=(float("nan"), 0, 0)), "NaN"),
    "zero in the matrix": (camera(scale=(0, 0, 0)), "scaled to zero"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_the_scene(connected: Any, what: str) -> None:
    change, words = MISTAKES[what]
    connected.farplane.size = "SCENE"
    change(connected)
    assert words in refusal(connected)
    assert not (Path(bpy.data.filepath).parent / "farplane").exists()


def test_without_a_prompt_there_is_no_button(connected: Any) -> None:
    connected.farplane.prompt = "  "
    assert not bpy.ops.farplane.generate.poll()


@pytest.mark.parametrize("how", ["a read-only disk", "a file in the way"])
def test_takes_cannot_be_written(connected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(generate, "Extraction", lambda *_: pytest.fail("the scene was read"))
    place = tmp_path / "farplane"
    if how == "a file in the way":
        place.write_text("mine")
        assert "Output folder: " in refusal(connected)
        assert place.read_text() == "mine"
        return
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=100m", "none", place], capture_output=True).returncode:
        pytest.skip("only root may mount a disk")
    try:
        assert "cannot be written to" in refusal(connected)
        assert not list(place.iterdir())
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_model_that_does_not_load_there(connected: Any, poll_until: Any) -> None:
    session.connect()
    poll_until(lambda: session.connection == "connected")
    damaged = replace(
        session.models[0], state="missing", size_mb=30.0, title="farplane-s/model.safetensors is truncated"
    )
    session.models = (damaged, *session.models[1:])
    connected.farplane.model_name = damaged.name
    words = refusal(connected)
    assert f"{damaged.name} does not load on the backend's machine: farplane-s/model.safetensors is truncated" in words


@pytest.mark.parametrize("value", [float("nan"), 0.0, -1.0])
def test_depth_that_is_none(connected: Any, monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    """Found in the first frame in which it stands, before a take is begun."""

    monkeypatch.setattr(PassRenderer, "depth", depth_with(value, 64, 36))
    connected.farplane.size = "SCENE"
    assert "Depth: frame 11 holds NaN or nothing in front of the camera" in refusal(connected)
    assert not (Path(bpy.data.filepath).parent / "farplane").exists()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("/models/damaged", "Model: model.safetensors is truncated or damaged"),
        ("/models/three-frames", "Frames: 4 frames are more than the 3 that this model renders in one piece"),
    ],
)
def test_what_only_the_backend_can_tell_is_asked_before_the_scene_is_read(
    connected: Any, monkeypatch: pytest.MonkeyPatch, model: str, words: str
) -> None:
    """A model named by its folder there, and the longest shot that it renders."""
    monkeypatch.setattr(generate, "Extraction", lambda *_: pytest.fail("the scene was read"))
    connected.farplane.model_name = model
    connected.frame_step, connected.frame_start, connected.frame_end = 1, 1, 4
    assert words in refusal(connected)
    assert not (Path(bpy.data.filepath).parent / "farplane").exists()
    assert not session.enquiries


# ---- cancelled --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["connect", "enquire", "camera", "depth", "files"])
def test_cancel_while_the_scene_is_read_leaves_nothing(
    connected: Any, monkeypatch: pytest.MonkeyPatch, poll_until: Any, stage: str
) -> None:
    """The panel's Cancel at any stage before the shot is sent; in a window Esc takes the same way (tests/gui)."""
    before = len(bpy.data.scenes), len(bpy.data.objects), len(bpy.data.cameras)
    generation = generate.Generation(connected)
    monkeypatch.setattr(operators, "_generation", generation)
    while generation.stage != stage:
        assert not generation.step()
    assert bpy.ops.farplane.cancel() == {"FINISHED"}
    assert operators.running_generation() is None
    poll_until(lambda: not session.disk.busy)
    assert (len(bpy.data.scenes), len(bpy.data.objects), len(bpy.data.cameras)) == before, "a stand-in is left"
    assert not session.jobs
    assert not session.enquiries
    assert not list((Path(bpy.data.filepath).parent / "farplane").glob("*/take*"))
    bpy.ops.farplane.generate()  # and the next one works
    poll_until(lambda: session.job is None)
    assert session.takes[0].whole


# ---- the backend ------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(scene: Any) -> Iterator[Callable[[str, str], None]]:
    """Choose a backend by its address and key in the preferences."""
    addons = bpy.context.preferences.addons
    farplane.unregister()
    addon = addons.new()
    addon.module = preferences.PACKAGE
    farplane.register()
    bpy.context.scene.farplane.prompt = "plain hills"
    yield preferences.use_backend
    preferences.use_backend("", "")
    addons.remove(addon)


def test_a_backend_with_another_key(scene: Any, backend: Any, elsewhere: Callable[[str, str], None]) -> None:
    published = pairing.find_backend(backend.config)
    assert published is not None
    elsewhere(published.address, zmq.curve_keypair()[0].decode())
    assert "does not have the expected key" in refusal(bpy.context.scene)


def test_a_backend_that_is_not_there(scene: Any, elsewhere: Callable[[str, str], None]) -> None:
    elsewhere("tcp://127.0.0.1:9", zmq.curve_keypair()[0].decode())
    assert "nothing answers at tcp://127.0.0.1:9" in refusal(bpy.context.scene).replace("Nothing", "nothing")


def test_a_backend_of_another_version(scene: Any, elsewhere: Callable[[str, str], None]) -> None:
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    public, secret = zmq.curve_keypair()
    router.curve_server, router.curve_secretkey, router.linger = True, secret, 0
    port = router.bind_to_random_port("tcp://127.0.0.1")
    elsewhere(f"tcp://127.0.0.1:{port}", public.decode())
    try:
        session.connect()
        identity, _ = router.recv_multipart()
        router.send_multipart([identity, b'{"v":9,"type":"welcome","all":"different"}'])
        words = refusal(bpy.context.scene)
        assert "version 9" in words
        assert "same Farplane version" in words
    finally:
        session.disconnect()
        router.close()
        context.term()
