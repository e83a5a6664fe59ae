"""Follow the Sun Lamp: which lamp it is, where it stands, and from the checkbox and the command line to the worker.

The worker (tests/backend/service/painter.py, asked for "sun") answers with the SHA-256 of the directions it got.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from farplane.addon.command import main  # noqa: E402
from farplane.addon.scene import Extraction, plan_shots  # noqa: E402
from farplane.addon.sun import has_sun  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.addon.ui import resume  # noqa: E402
from farplane.protocol import events  # noqa: E402
from farplane.protocol.shot import Prompt  # noqa: E402

FLOAT32 = 1e-6  # of Blender's own matrices


def add_sun(
    scene: Any, name: str = "sun", energy: float = 1.0, turn: tuple[float, float, float] = (0.9, 0, 2.1)
) -> Any:
    lamp = bpy.data.lights.new(name, "SUN")
    lamp.energy = energy
    thing = bpy.data.objects.new(name, lamp)
    thing.rotation_euler = turn
    scene.collection.objects.link(thing)
    return thing


def suns_of(scene: Any, **options: Any) -> Any:
    """What an extraction tells."""
    (plan,) = plan_shots(scene)
    with Extraction(scene, plan, Prompt("hills"), (64, 36), **options) as extraction:
        while not extraction.step():
            pass
        return extraction.shot().sun


def test_it_is_told_where_it_stands_in_every_frame(scene: Any) -> None:
    """Turned about x, then z, as its Euler angles say, while what carries it turns by a right angle and mirrors it."""
    sun = add_sun(scene)
    carrier = bpy.data.objects.new("carrier", None)
    scene.collection.objects.link(carrier)
    sun.parent = carrier
    carrier.scale = (1, 1, 3)
    for frame, angle in ((11, 0.0), (15, math.pi / 2)):
        carrier.rotation_euler = (0, 0, angle)
        carrier.keyframe_insert("rotation_euler", frame=frame)
    told = suns_of(scene)
    assert told.shape == (3, 3)
    for t, angle in ((0, 0.0), (2, math.pi / 2)):
        tilt, around = 0.9, 2.1
        own = np.array([math.sin(tilt) * math.sin(around), -math.sin(tilt) * math.cos(around), 3 * math.cos(tilt)])
        turned = [
            math.cos(angle) * own[0] - math.sin(angle) * own[1],
            math.sin(angle) * own[0] + math.cos(angle) * own[1],
        ]
        expected = np.array([*turned, own[2]]) / np.linalg.norm(own)
        np.testing.assert_allclose(told[t], expected, atol=10 * FLOAT32)
    assert suns_of(scene, sun=False) is None


def test_the_lit_side_of_a_ball_faces_what_is_told(scene: Any) -> None:
    """By Blender's own render of a matt ball under this lamp alone, seen from above."""
    add_sun(scene, turn=(0.5, 0.2, -2.4))
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    bpy.ops.mesh.primitive_uv_sphere_add(segments=96, ring_count=48, radius=2)
    bpy.ops.object.shade_smooth()
    (plan,) = plan_shots(scene)
    with Extraction(scene, plan, Prompt("a ball"), (64, 64), reference=True, reference_samples=4) as extraction:
        while not extraction.step():
            pass
        shot = extraction.shot()
    assert shot.sun is not None
    assert shot.reference is not None
    light, z, K = shot.reference[0].mean(-1), shot.depth.z[0], shot.camera.K[0]
    hit = np.isfinite(z)
    y, x = np.nonzero(hit)
    points = np.stack(
        [(x + 0.5 - K[0, 2]) / K[0, 0] * z[hit], -(y + 0.5 - K[1, 2]) / K[1, 1] * z[hit], 10 - z[hit]], -1
    )
    normals, lit = points / 2, light[hit] > 0.3 * light[hit].max()
    found = np.linalg.lstsq(normals[lit], light[hit][lit], rcond=None)[0]  # Lambert: light is normal times sun
    # Blender's own grey has a little gloss, which pulls the found direction towards the camera: 1.4 degrees here, of 2.
    assert float(found @ shot.sun[0]) / np.linalg.norm(found) > math.cos(math.radians(2))


@pytest.mark.parametrize("way", ["hidden", "collection", "excluded", "dark", "lamp", "none"])
def test_a_lamp_that_no_render_shows_does_not_count(scene: Any, way: str) -> None:
    if way == "none":
        assert not has_sun(scene)
        assert suns_of(scene) is None
        return
    _, sun = add_sun(scene, "weak", 0.5, (0, 0, 0)), add_sun(scene, "strong", 2.0, (math.pi / 2, 0, 0))
    weak_stands, strong_stands = (0, 0, 1), (0, -1, 0)  # a lamp shines along its -Z
    assert has_sun(scene)
    np.testing.assert_allclose(suns_of(scene), [strong_stands] * 3, atol=FLOAT32)
    if way == "hidden":
        sun.hide_render = True
    elif way in ("collection", "excluded"):
        rig = bpy.data.collections.new("rig")
        scene.collection.children.link(rig)
        scene.collection.objects.unlink(sun)
        rig.objects.link(sun)
        np.testing.assert_allclose(suns_of(scene), [strong_stands] * 3, atol=FLOAT32)
        if way == "collection":
            rig.hide_render = True
        else:
            scene.view_layers[0].layer_collection.children["rig"].exclude = True
    elif way == "dark":
        sun.data.energy = 0
    else:
        sun.data.type = "POINT"
    np.testing.assert_allclose(suns_of(scene), [weak_stands] * 3, atol=FLOAT32)


def test_the_strongest_of_the_shot_is_the_sun_of_all_its_frames(scene: Any) -> None:
    """One that flares up in one frame and one that is switched off in one, where it stands as in the frame beside it."""
    flash, sun = add_sun(scene, "flash", 0.0, (0, 0, 0)), add_sun(scene, "sun", 3.0, (math.pi / 2, 0, 0))
    for frame, energy, hidden in ((11, 0.0, False), (13, 5.0, False), (15, 0.0, True)):
        flash.data.energy, sun.hide_render = energy, hidden
        flash.data.keyframe_insert("energy", frame=frame)
        sun.keyframe_insert("hide_render", frame=frame)
    np.testing.assert_allclose(suns_of(scene), [(0, -1, 0)] * 3, atol=FLOAT32)


def test_among_many_instances_it_still_moves(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where instances are many they are walked through once: what is told must be the same as frame by frame."""
    from farplane.addon import sun as module

    lamp = add_sun(scene)
    for frame, angle in ((11, 0.0), (15, 1.0)):
        lamp.rotation_euler = (0.9, 0, angle)
        lamp.keyframe_insert("rotation_euler", frame=frame)
    plain = suns_of(scene)
    assert np.ptp(plain[:, 0]) > 0.1
    monkeypatch.setattr(module, "_MANY", 0)
    np.testing.assert_array_equal(suns_of(scene), plain)


def test_one_that_goes_while_it_is_read_or_has_no_size_is_left_out(scene: Any) -> None:
    sun = add_sun(scene)
    (plan,) = plan_shots(scene)
    with Extraction(scene, plan, Prompt("hills"), (64, 36)) as extraction:
        extraction.step()
        bpy.data.objects.remove(sun)
        while not extraction.step():
            pass
        assert extraction.shot().sun is None
    add_sun(scene).scale = (0, 0, 0)
    assert suns_of(scene) is None


# -- the panel and the command line -----------------------------------------------------------------------------------


@pytest.fixture
def sunny(connected: Any) -> Any:
    add_sun(connected)
    connected.farplane.prompt = "sun over hills"
    bpy.ops.wm.save_mainfile()
    return connected


def kept(folder: Path) -> str:
    """The digest of what the take has kept, or "none"."""
    frames = json.loads((folder / "shot.json").read_text())["frames"]
    told = [frame["sun"] for frame in frames if "sun" in frame]
    return hashlib.sha256(np.array(told, np.float64).tobytes()).hexdigest() if told else "none"


def sent(folder: Path) -> str:
    return (folder / "report.json").read_text()


def test_it_arrives_and_is_kept_beside_the_take(sunny: Any, made: Any) -> None:
    folder = made()
    assert sent(folder) == kept(folder) != "none"
    again, _ = resume.unsent(Take.open(folder))
    assert again.sun is not None
    assert hashlib.sha256(again.sun.tobytes()).hexdigest() == sent(folder), "what would be sent again is the same"


def test_the_checkbox_leaves_it_out_and_settings_used_again_know(sunny: Any, made: Any) -> None:
    asked, window_manager = sunny.farplane, bpy.context.window_manager.farplane
    assert asked.use_sun, "on, until somebody says otherwise"
    for on in (True, False):
        asked.use_sun = on
        folder = made()
        assert (sent(folder) == "none") == (kept(folder) == "none") == (not on)
        asked.use_sun = not on
        window_manager.take_index = next(i for i, t in enumerate(window_manager.takes) if Path(t.folder) == folder)
        bpy.ops.farplane.use_settings()
        assert asked.use_sun == on
    bpy.data.objects.remove(bpy.data.objects["sun"])  # without a lamp a take says nothing of what was wanted
    asked.use_sun = True
    bpy.ops.farplane.use_settings()
    assert asked.use_sun


def test_an_older_backend_gets_the_shot_without(sunny: Any, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events.Welcome, "takes", frozenset({"base_colour"}))
    assert sent(made()) == "none"


@pytest.mark.parametrize("words", [[], ["--no-sun"], ["panel"]])
def test_the_command_line_tells_it_unless_it_is_forbidden(sunny: Any, tmp_path: Path, words: list[str]) -> None:
    if words == ["panel"]:
        sunny.farplane.use_sun, words = False, []
        allowed = False
    else:
        allowed = not words
    bpy.ops.wm.save_mainfile()
    out = io.StringIO()
    assert main([bpy.data.filepath, "shot", "--out", str(tmp_path / "out"), *words], out) == 0, out.getvalue()
    assert (kept(tmp_path / "out") != "none") == allowed
