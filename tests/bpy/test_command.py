"""addon/command.py: `shot` and `render` in this process, what they write and what they refuse."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
OpenEXR = pytest.importorskip("OpenEXR")

import command_use  # noqa: E402
from command_use import build  # noqa: E402

from farplane.addon.command import main  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402

blend = command_use.blend


def said(*arguments):
    """Run the command in this process: (exit code, the events it wrote)."""
    out = io.StringIO()
    code = main([str(a) for a in arguments], out)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def refused(*arguments):
    """The FarplaneError of a command that must fail for the artist's own mistake, as (field, problem, remedy)."""
    code, told = said(*arguments)
    assert code == 1, told
    assert [event["event"] for event in told if event["event"] != "progress"] == ["error"]
    assert told[-1]["remedy"]
    return told[-1]["field"], told[-1]["problem"]


# -- shot -------------------------------------------------------------------------------------------------------------


def test_shot_writes_json_and_float_depth(blend, tmp_path):
    out = tmp_path / "deep" / "out"
    code, told = said(blend, "shot", "--out", out, "--size", "80x60")
    assert code == 0
    assert told[-1]["event"] == "result"
    assert sorted(os.listdir(out)) == [f"depth.{n:04d}.exr" for n in range(1, 5)] + ["shot.json"]
    data = json.loads((out / "shot.json").read_text())
    assert data["resolution"] == [80, 60]
    assert data["fps"] == [24000, 1001]
    assert [entry["frame"] for entry in data["frames"]] == [1, 2, 3, 4]
    hits = []
    for entry in data["frames"]:
        assert entry["camera"] == "cam 0"
        (part,) = OpenEXR.File(str(out / entry["depth"]), separate_channels=True).parts
        assert list(part.channels) == ["Z"]
        z = part.channels["Z"].pixels
        assert z.dtype == np.float32
        assert z.shape == (60, 80)
        # The floor, in closed form: depth of the ray that meets z = 0.
        K, pose = np.array(entry["K"]), np.array(entry["world_from_camera"])
        ray = pose[:3, :3] @ np.linalg.solve(K, [2.5, 57.5, 1])
        assert z[57, 2] == pytest.approx(-pose[2, 3] / ray[2], rel=1e-5)
        hits.append(np.isfinite(z))
        assert z[hits[-1]].min() >= data["near"] > 0
        assert z[hits[-1]].max() <= data["far"]
    assert 0.2 < np.mean(hits) < 0.99  # sky above the horizon, floor below
    assert not np.isnan(np.array(hits)).any()


def test_shot_of_a_scene_with_cuts_holds_every_camera(tmp_path):
    path = build(tmp_path / "cuts.blend", frames=(1, 6), cameras=2)
    code, told = said(path, "shot", "--out", tmp_path / "out")
    assert code == 0
    data = json.loads((tmp_path / "out" / "shot.json").read_text())
    assert [entry["camera"] for entry in data["frames"]] == ["cam 0"] * 3 + ["cam 1"] * 3
    assert [(shot["name"], shot["first"], shot["last"]) for shot in data["shots"]] == [
        ("shot 0", 1, 3),
        ("shot 1", 4, 6),
    ]
    assert [shot["name"] for shot in told[-1]["shots"]] == ["shot 0", "shot 1"]
    x = [entry["world_from_camera"][0][3] for entry in data["frames"]]
    assert x[:3] == pytest.approx([0, 0.1, 0.35], abs=0.06)  # ease in
    assert min(x[3:]) > 1


def test_the_prompt_comes_from_the_scene_unless_given(tmp_path):
    path = build(tmp_path / "a.blend", frames=(1, 2))
    bpy.context.scene["farplane_prompt"] = "fog over a moor"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    said(path, "shot", "--out", tmp_path / "own")
    assert json.loads((tmp_path / "own" / "shot.json").read_text())["prompt"] == "fog over a moor"
    said(path, "shot", "--out", tmp_path / "given", "--prompt", "rain", "--negative", "sun")
    data = json.loads((tmp_path / "given" / "shot.json").read_text())
    assert (data["prompt"], data["negative"]) == ("rain", "sun")


def test_a_driver_that_was_not_run_is_told(tmp_path):
    """Python in a file is not run without the artist's leave; what stands still for it is not passed over."""
    path = build(tmp_path / "a.blend", frames=(1, 2))
    driver = bpy.data.objects["cam 0"].driver_add("rotation_euler", 2).driver
    driver.expression = "bpy.data.scenes[0].frame_current * 0.01"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    code, told = said(path, "shot", "--out", tmp_path / "out")
    assert code == 0
    (warning,) = [event["text"] for event in told if event["event"] == "warning"]
    assert "was not run" in warning


# -- refused, with nothing written ------------------------------------------------------------------------------------


def damage(path, kind):
    data = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "text":
        path.write_text("not a scene" * 100)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "missing":
        path.unlink()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kind", ["truncated", "text", "empty", "missing"])
def test_broken_scenes(tmp_path, kind, compress):
    path = build(tmp_path / "a.blend", frames=(1, 2), compress=compress)
    damage(path, kind)
    field, problem = refused(path, "shot", "--out", tmp_path / "out")
    assert field == "scene"
    assert ("does not exist" if kind == "missing" else "damaged") in problem
    assert not (tmp_path / "out").exists()


def test_a_scene_from_a_newer_blender(blend, tmp_path):
    """The header of a file that this Blender cannot read names a version two ahead."""
    data = blend.read_bytes()
    major, minor = bpy.app.version[:2]
    old, new = f"v{major:02d}{minor:02d}".encode(), f"v{major + 2:02d}{minor:02d}".encode()
    assert data[12:17] == old
    blend.write_bytes(data[:12] + new + data[17 : len(data) // 2])
    field, problem = refused(blend, "shot", "--out", tmp_path / "out")
    assert field == "scene"
    assert f"saved by Blender {major + 2}.{minor}" in problem


def test_a_whole_scene_from_a_newer_blender(tmp_path, blend):
    """One that this Blender opens all the same, compressed (by gzip, which it still reads, as it reads zstd)."""
    data = blend.read_bytes()
    major, minor = bpy.app.version[:2]
    path = tmp_path / "newer.blend"
    path.write_bytes(gzip.compress(data[:12] + f"v{major + 2:02d}{minor:02d}".encode() + data[17:]))
    field, problem = refused(path, "shot", "--out", tmp_path / "out")
    assert field == "scene"
    assert f"saved by Blender {major + 2}.{minor}" in problem


def test_blenders_own_word_for_a_newer_file():
    from farplane.addon.commands.reading import _version_in

    newer = "Error: a.blend: File saved by a newer version of Blender (6.1), Blender 6.0 or later is needed to open it."
    assert _version_in(newer) == (6, 1)
    assert _version_in("Error: Failed to read blend file 'a.blend', not a blend file") == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "field", "words"),
    [
        (["--frames", "1-1"], "frames", "1 frame"),
        (["--frames", "1-10000"], "frames", "10000 frames"),
        (["--frames", "nine"], "frames", "no range"),
        (["--size", "0x0"], "resolution", "out of range"),
        (["--size", "63x48"], "resolution", "odd"),
        (["--size", "32768x32768"], "resolution", "out of range"),
        (["--size", "large"], "resolution", "no size"),
        (["--prompt", "x" * 100_000], "prompt", "bytes long"),
        (["--wrong"], "arguments", "unrecognized"),
    ],
)
def test_bad_options(blend, tmp_path, arguments, field, words):
    told = refused(blend, "shot", "--out", tmp_path / "out", *arguments)
    assert told[0] == field
    assert words in told[1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ([], "prompt"),
        (["--prompt", "  "], "prompt"),
        (["--prompt", "fog", "--seed", "-1"], "seed"),
        (["--prompt", "fog", "--seed", "many"], "arguments"),
        (["--prompt", "fog", "--steps", "9999"], "steps"),
        (["--prompt", "fog", "--guidance", "nan"], "guidance"),
        (["--prompt", "fog", "--compression", "LZW"], "compression"),
        (["--prompt", "fog", "--backend", "tcp://127.0.0.1:9"], "backend key"),
    ],
)
def test_bad_render_options(blend, tmp_path, arguments, field):
    told = refused(blend, "render", "--out", tmp_path / "out", "--config", tmp_path / "config", *arguments)
    assert told[0] == field
    assert not (tmp_path / "out").exists()


def test_no_backend(blend, tmp_path):
    """Found out before the scene is rendered: no progress at all."""
    code, told = said(blend, "render", "--out", tmp_path / "out", "--prompt", "fog", "--config", tmp_path / "config")
    assert code == 1
    assert [event["event"] for event in told] == ["error"]
    assert told[0]["field"] == "backend"
    assert "farplane serve" in told[0]["remedy"]


def test_a_folder_that_holds_a_plate_is_left_alone(blend, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "plate.0001.exr").write_bytes(b"a plate")
    (out / "notes.txt").write_text("mine")
    assert refused(blend, "shot", "--out", out)[0] == "output folder"
    assert sorted(os.listdir(out)) == ["notes.txt", "plate.0001.exr"]
    code, _ = said(blend, "shot", "--out", out, "--overwrite")
    assert code == 0
    assert (out / "plate.0001.exr").read_bytes() == b"a plate"  # `shot` makes no plate, so it replaces none


def test_a_failure_halfway_leaves_the_folder_as_it_was(tmp_path):
    """The second camera has nothing in view: the first one's depth is not left behind."""
    path = build(tmp_path / "cuts.blend", frames=(1, 6), cameras=2)
    bpy.data.objects["cam 1"].rotation_euler = (3.0, 0, 0)
    bpy.data.objects["cam 1"].animation_data_clear()
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert refused(path, "shot", "--out", out)[0] == "depth"
    assert os.listdir(out) == ["notes.txt"]


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["shot"], 4 * (480 * (640 * 4 + 16))),
        (["render", "--prompt", "fog"], 4 * 480 * 640 * (6 + 2 * 4 + 6)),  # plate, depth twice, the scene's own render
        (["render", "--prompt", "fog", "--no-reference", "--no-land"], 4 * 480 * 640 * (6 + 4)),
        (["variations", "--prompt", "{fog|sun|rain}"], 3 * 4 * 480 * 640 * (6 + 4)),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_a_disk_without_room_is_told_before_any_work(tmp_path, monkeypatch, arguments, needed, there):
    """No progress, and no word of the backend that is not there: neither was looked at yet."""
    path = build(tmp_path / "a.blend", size=(640, 480))
    out = tmp_path / "out"
    if there:
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: type("usage", (), {"free": needed}))
    words = [path, *arguments, "--out", out]
    code, told = said(*words, *([] if arguments == ["shot"] else ["--config", tmp_path / "config"]))
    assert code == 1
    assert [event["event"] for event in told] == ["error"]
    assert told[0]["field"] == "output folder"
    assert "MiB free, and the shot may need" in told[0]["problem"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.blend", "out"][: 1 + there]
    assert not there or os.listdir(out) == ["notes.txt"]
    # Enough, with room for reports and files' own headers: the next thing that is missing is told, or the shot is read.
    monkeypatch.setattr(shutil, "disk_usage", lambda place: type("usage", (), {"free": needed + (3 * 65 << 20)}))
    code, told = said(*words, *([] if arguments == ["shot"] else ["--config", tmp_path / "config"]))
    assert code == (0 if arguments == ["shot"] else 1)
    assert told[-1].get("field") == (None if arguments == ["shot"] else "backend")


def test_a_shot_over_the_backends_limit_is_told_before_it_is_read():
    from farplane.addon.commands.link import check_upload
    from farplane.protocol.events import Connected

    largest = Connected((), "1", 16 << 30)
    check_upload(largest, 1440, (1920, 1080), reference=False)  # 11.9 GB of depth
    check_upload(Connected((), "1"), 1440, (4096, 4096), reference=True)  # it did not say
    with pytest.raises(FarplaneError, match=r"22781 MiB are more"):  # 11.9 GB of depth, and as much of base colours
        check_upload(largest, 1440, (1920, 1080), reference=False, colours=True)
    with pytest.raises(FarplaneError, match=r"45562 MiB are more than the backend takes .*--no-reference"):
        check_upload(largest, 1440, (1920, 1080), reference=True)


# -- in Blender's own dispatch ---------------------------------------------------------------------------------------


def test_registered_with_blender():
    """`blender -c farplane`: registered, listed, run by Blender's own dispatch, and taken away again."""
    from farplane.addon import command

    command.register()
    try:
        assert len(command._registered) == 1
        assert command.execute(["shot"]) == 1  # no --out: one clear error, no exception into Blender
    finally:
        command.unregister()
    assert command._registered == []
