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
    assert [event["event"] for event in told if event["event"] not in ("scene", "progress")] == ["error"]
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
        (["--size", "32x8192"], "resolution", "too far from the scene"),
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
    assert [event["event"] for event in told] == ["scene", "error"]
    assert told[1]["field"] == "backend"
    assert "farplane serve" in told[1]["remedy"]


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


def test_a_shot_is_replaced_only_with_overwrite(blend, tmp_path):
    out = tmp_path / "out"
    assert said(blend, "shot", "--out", out)[0] == 0
    before = (out / "shot.json").read_bytes()
    field, problem = refused(blend, "shot", "--out", out, "--size", "80x60")
    assert (field, problem) == ("output folder", f"{out} already holds a shot")
    assert (out / "shot.json").read_bytes() == before
    assert said(blend, "shot", "--out", out, "--size", "80x60", "--overwrite")[0] == 0
    assert json.loads((out / "shot.json").read_text())["resolution"] == [80, 60]


# -- which scene, which camera, and what of it ------------------------------------------------------------------------


@pytest.fixture
def two_scenes(tmp_path):
    """Saved with the wrong one open: `wide` has cameras A and B, of which A is active, and a hero."""
    path = build(tmp_path / "two.blend", frames=(1, 2))
    wide = bpy.data.scenes.new("wide")
    wide.frame_start, wide.frame_end = 3, 5
    wide.render.resolution_x, wide.render.resolution_y = 64, 48
    for name in "AB":
        camera = bpy.data.objects.new(name, bpy.data.cameras.new(name))
        camera.location = ("AB".index(name), 0, 10)
        wide.collection.objects.link(camera)
    wide.camera = wide.objects["A"]
    mesh = bpy.data.meshes["Plane"]
    for name, size, height in (("ground", 1, 0), ("hero", 0.01, 4)):
        thing = bpy.data.objects.new(name, mesh)
        thing.scale, thing.location.z = (size, size, 1), height
        wide.collection.objects.link(thing)
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    return path


def first_frame(out):
    """shot.json, and the depth of its first frame in the middle of the picture."""
    data = json.loads((out / "shot.json").read_text())
    (part,) = OpenEXR.File(str(out / data["frames"][0]["depth"]), separate_channels=True).parts
    return data, float(part.channels["Z"].pixels[24, 32])


def test_the_scene_that_was_open_is_read_unless_another_is_named(two_scenes, tmp_path):
    code, told = said(two_scenes, "shot", "--out", tmp_path / "open")
    assert code == 0
    assert (told[0]["event"], told[0]["scene"], told[0]["cameras"]) == ("scene", "Scene", ["cam 0"])
    assert told[0]["text"] == "Scene (one of 2), camera cam 0: 2 objects"
    code, told = said(two_scenes, "shot", "--out", tmp_path / "named", "--scene", "wide")
    assert code == 0
    assert (told[0]["scene"], told[0]["cameras"], told[-1]["scene"]) == ("wide", ["A"], "wide")
    data, z = first_frame(tmp_path / "named")
    assert [(entry["frame"], entry["camera"]) for entry in data["frames"]] == [(3, "A"), (4, "A"), (5, "A")]
    assert z == pytest.approx(6, rel=1e-5)  # the hero


def test_a_camera_that_is_named_goes_before_markers(two_scenes, tmp_path):
    bpy.ops.wm.open_mainfile(filepath=str(two_scenes))
    wide = bpy.data.scenes["wide"]
    wide.timeline_markers.new("cut", frame=3).camera = wide.objects["A"]
    bpy.ops.wm.save_mainfile()
    code, _ = said(two_scenes, "shot", "--out", tmp_path / "out", "--scene", "wide", "--camera", "B")
    assert code == 0
    data, _ = first_frame(tmp_path / "out")
    assert {entry["camera"] for entry in data["frames"]} == {"B"}
    assert data["frames"][0]["world_from_camera"][0][3] == 1


@pytest.mark.parametrize(
    ("arguments", "field", "names"),
    [
        (["--scene", "wid"], "scene", "'Scene', 'wide'"),
        (["--scene", ""], "scene", "'Scene', 'wide'"),
        (["--scene", "wide", "--camera", "C"], "camera", "'A', 'B'"),
        (["--scene", "wide", "--camera", "ground"], "camera", "'A', 'B'"),
        (["--camera", "A"], "camera", "'cam 0'"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(two_scenes, tmp_path, arguments, field, names):
    code, told = said(two_scenes, "shot", "--out", tmp_path / "out", *arguments)
    assert (code, [event["event"] for event in told]) == (1, ["error"])
    assert (told[0]["field"], told[0]["remedy"]) == (field, f"Choose one of {names}")
    assert not (tmp_path / "out").exists()


def test_a_linked_camera_and_its_twin(two_scenes, tmp_path):
    bpy.ops.wm.open_mainfile(filepath=str(two_scenes))
    bpy.data.libraries.write(str(tmp_path / "rig.blend"), {bpy.data.objects["A"]})
    with bpy.data.libraries.load(str(tmp_path / "rig.blend"), link=True) as (_, into):
        into.objects = ["A"]
    wide = bpy.data.scenes["wide"]
    wide.collection.objects.link(into.objects[0])
    wide.objects["A"].location.x = 3
    local = next(obj for obj in wide.objects if obj.name == "A" and obj.library is None)
    local.location.x = 7
    bpy.ops.wm.save_mainfile()
    for name, x in (("A", 7), ("A [rig.blend]", 0)):
        out = tmp_path / name
        assert said(two_scenes, "shot", "--out", out, "--scene", "wide", "--camera", name)[0] == 0
        assert first_frame(out)[0]["frames"][0]["world_from_camera"][0][3] == x


def test_the_foreground_that_the_panel_set_is_left_out_and_counted(two_scenes, tmp_path):
    from farplane.addon import scope

    bpy.ops.wm.open_mainfile(filepath=str(two_scenes))
    wide = bpy.data.scenes["wide"]
    scope.set_listed(wide, [wide.objects["hero"]])
    bpy.ops.wm.save_mainfile()
    code, told = said(two_scenes, "shot", "--out", tmp_path / "out", "--scene", "wide")
    assert code == 0
    assert told[0]["text"] == "wide (one of 2), camera A: 1 object, 1 left out"
    assert (told[0]["sent"], told[0]["left_out"]) == (1, 1)
    assert first_frame(tmp_path / "out")[1] == pytest.approx(10, rel=1e-5)  # the ground behind him


def test_one_frame_shots_are_named_and_left_out(tmp_path):
    """A marker on the last frame ended everything."""
    path = build(tmp_path / "cuts.blend", frames=(1, 4), cameras=2)  # markers at 1 and 4
    code, told = said(path, "shot", "--out", tmp_path / "out")
    assert code == 0
    (warning,) = [event["text"] for event in told if event["event"] == "warning"]
    assert warning == "The shot of marker shot 1 is left out: it has frame 4 only, and no motion to lock to"
    assert [shot["name"] for shot in told[-1]["shots"]] == ["shot 0"]


def test_missing_files_are_named_before_any_work_and_strict_refuses(tmp_path):
    path = build(tmp_path / "a.blend")
    material = bpy.data.materials.new("wood")
    material.use_nodes = True
    image = bpy.data.images.new("wood", 4, 4)
    image.filepath_raw, image.file_format = str(tmp_path / "wood.png"), "PNG"
    image.save()
    image.source = "FILE"
    material.node_tree.nodes.new("ShaderNodeTexImage").image = image
    bpy.data.objects["Plane"].data.materials.append(material)
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    assert said(path, "shot", "--out", tmp_path / "strict", "--strict")[0] == 0
    (tmp_path / "wood.png").unlink()
    words = "1 file is missing: wood.png (image wood)"
    code, told = said(path, "shot", "--out", tmp_path / "out")
    assert code == 0
    assert [event["event"] for event in told[:3]] == ["scene", "warning", "progress"]
    assert (told[1]["text"], told[1]["files"]) == (words, [str(tmp_path / "wood.png")])
    code, told = said(path, "shot", "--out", tmp_path / "again", "--strict")
    assert (code, [event["event"] for event in told]) == (1, ["scene", "error"])
    assert (told[1]["field"], told[1]["problem"]) == ("files", words)
    assert not (tmp_path / "again").exists()


def test_notes_are_said_once(tmp_path):
    """What the scene tells, before any work; what its depth tells, of each shot."""
    path = build(tmp_path / "a.blend", frames=(1, 6), cameras=2)
    bpy.context.scene.render.use_multiview = True
    for camera in bpy.data.cameras:
        camera.clip_end = 15
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    code, told = said(path, "shot", "--out", tmp_path / "out")
    assert code == 0
    assert [event["event"] for event in told[:2]] == ["scene", "note"]
    notes = [event["text"] for event in told if event["event"] == "note"]
    assert [note.split(":")[0] for note in notes] == ["stereo", "shot 0", "shot 1"]
    assert len(set(notes)) == 3


def test_the_version_is_said():
    import tomllib
    from pathlib import Path

    from farplane.addon.command import execute

    project = tomllib.loads((Path(command_use.__file__).parents[2] / "pyproject.toml").read_text())["project"]
    out = io.StringIO()
    assert execute(["--version"], out) == 0
    assert out.getvalue() == f"Farplane {project['version']}\n"


def test_a_failure_halfway_leaves_the_folder_as_it_was(tmp_path):
    """The second camera is nowhere: the first one's depth is not left behind."""
    path = build(tmp_path / "cuts.blend", frames=(1, 6), cameras=2)
    bpy.data.objects["cam 1"].delta_location.x = float("nan")
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert refused(path, "shot", "--out", out)[0] == "camera"
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
    assert [event["event"] for event in told] == ["scene", "error"]
    assert told[1]["field"] == "output folder"
    assert "MiB free, and the shot may need" in told[1]["problem"]
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
