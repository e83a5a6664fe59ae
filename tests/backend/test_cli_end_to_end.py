"""`farplane` from outside, the whole way: Blender as a child, a private backend, real files, a landed copy.

Everything is real but the network: the worker runs tests/backend/cli_pipeline/painted.py, which paints the plate with
the scene's own render and then encodes and measures it as the real pipeline does.  A camera lock read from it must
therefore be the real render's own.
"""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import OpenEXR
import psutil
import pytest

from farplane.backend.pipeline.exr import read_depth_exr
from farplane.backend.take_files import read_take_shot

pytest.importorskip("bpy")
sys.path.append(str(Path(__file__).parent / "cli_pipeline"))
from whole_way import (
    BOUND,
    FRAMES,
    H,
    W,
    assert_nothing_is_left,
    farplane,
    refused,
    start,
    until_printed,
)
from whole_way import environment as environment
from whole_way import scenes as scenes


@pytest.fixture(scope="module")
def whole(scenes: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished `farplane render`; what it printed is in printed.txt."""
    out = tmp_path_factory.mktemp("whole") / "new" / "take"
    before = hashlib.sha256((scenes / "valley.blend").read_bytes()).hexdigest()
    done = farplane(
        environment, "render", scenes / "valley.blend", "--prompt", "a valley\nat noon", "--negative=-fog", "--seed", 7,
        "--pipeline", "painted:run_job", "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert hashlib.sha256((scenes / "valley.blend").read_bytes()).hexdigest() == before
    assert_nothing_is_left(environment)
    (out.parent / "printed.txt").write_text(done.stdout)
    return out


def test_the_folder_holds_everything(whole: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    assert {f"plate.{frame:04d}.exr" for frame in FRAMES} <= names
    assert {f"depth.{frame:04d}.exr" for frame in FRAMES} <= names
    assert {"shot.json", "report.json", "report.png", "contact.png", "preview.mp4", "valley_farplane.blend"} <= names
    assert not [name for name in names if name.startswith(".") or name.endswith(".part")]
    assert (whole / "report.png").read_bytes().startswith(b"\x89PNG")
    assert (whole / "contact.png").read_bytes().startswith(b"\x89PNG")
    assert (whole / "preview.mp4").read_bytes()[4:8] == b"ftyp"


def test_shot_json_says_what_was_sent(whole: Path) -> None:
    shot = json.loads((whole / "shot.json").read_text())
    assert shot["resolution"] == [W, H]
    assert shot["fps"] == [24000, 1001]
    assert shot["prompt"] == "a valley\nat noon"
    assert shot["negative"] == "-fog"
    assert shot["settings"]["seed"] == 7
    assert [frame["frame"] for frame in shot["frames"]] == list(FRAMES)
    for frame in shot["frames"]:
        z = read_depth_exr(whole / frame["depth"])
        assert z.shape == (H, W)
        assert np.isinf(z[0, 0]), "the sky is above"
        assert shot["near"] <= z[np.isfinite(z)].min()
        # the hidden box stands 7 m before the camera, the visible ones 9 m and more
        centre = z[H // 2, W // 2 - 3 : W // 2 + 3]
        assert (centre > 8).all()


def test_plates_say_how_they_were_made(whole: Path) -> None:
    shot, jobs = json.loads((whole / "shot.json").read_text()), set()
    for entry in shot["frames"]:
        file = OpenEXR.File(str(whole / f"plate.{entry['frame']:04d}.exr"))  # `with` would empty the header
        header, pixels = file.header(), file.channels()["RGB"].pixels
        assert pixels.shape == (H, W, 3)
        assert pixels.dtype == np.float16
        assert header["farplane:model"] == "farplane-s"
        assert header["farplane:seed"] == "7"
        assert header["farplane:hdr"] == "native"
        assert header["colorInteropID"] == "lin_rec709_scene"
        assert header["compression"] == OpenEXR.ZIP_COMPRESSION
        jobs.add(header["farplane:job"])
        # the plate was painted with the reference, which went over the wire as float32 and was kept as half
        reference = OpenEXR.File(str(whole / f"reference.{entry['frame']:04d}.exr"))
        np.testing.assert_array_equal(pixels, reference.channels()["RGB"].pixels)
    assert len(jobs) == 1


@pytest.mark.parametrize("colours", [True, False])
def test_the_materials_colours_reach_the_backend(
    scenes: Path, environment: dict[str, str], tmp_path: Path, colours: bool
) -> None:
    """The plate is painted with what came over the wire; beside it lies what the scene was read as."""
    out = tmp_path / "take"
    done = farplane(
        environment, "render", scenes / "valley.blend", "--prompt", "a valley", "--no-reference", "--frames", "3-4",
        "--pipeline", "painted:run_job", "--out", out, *([] if colours else ["--no-colours"]),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    shot = read_take_shot(out)
    assert (shot.base_colour is not None) == colours
    assert bool(list(out.glob("base_colour.*"))) == colours
    if shot.base_colour is None:
        return
    told = shot.base_colour[..., 3] == 255
    assert (told == np.isfinite(shot.depth.z)).mean() > 0.99, "all that stands there has a colour, but for a grey speck"
    for index, frame in enumerate(shot.frames):
        plate = OpenEXR.File(str(out / f"plate.{frame:04d}.exr")).channels()["RGB"].pixels
        codes = shot.base_colour[index, ..., :3] / np.float32(256)  # exact in half float
        np.testing.assert_array_equal(plate, np.where(told[index, ..., None], codes, 2).astype(np.float16))


def test_the_plate_locks_as_the_render_does(whole: Path) -> None:
    report = json.loads((whole / "report.json").read_text())
    plate, reference = (report[side]["lock"][0] for side in ("plate", "reference"))
    assert plate["k"] == 1
    # A clean render reads under 0.3 px (shared facts); the plate is that render, rounded to half.
    assert plate["median"] is not None
    assert plate["median"] < 0.3
    assert abs(plate["median"] - reference["median"]) < 0.05
    assert report["seed"] == 7


def test_it_ends_with_a_table(whole: Path) -> None:
    text = (whole.parent / "printed.txt").read_text()
    report = json.loads((whole / "report.json").read_text())
    stages = ("Rendering depth", "Denoising", "Writing EXR", "Measuring", "Landing", "the whole way")
    table = text[text.index("Time") :]
    assert not [stage for stage in stages if not re.search(rf"{stage}.*\d+\.\d", table)]
    assert f"{report['plate']['lock'][0]['median']:.2f}" in table
    assert f"{report['reference']['lock'][0]['median']:.2f}" in table
    assert "plate.0003.exr … plate.0006.exr" in table
    assert str(whole) in table.replace("\n", "")


LOOK_AT_COPY = """
import bpy, json, sys
bpy.ops.wm.open_mainfile(filepath=sys.argv[-1])
images = [{"path": bpy.path.abspath(i.filepath), "source": i.source, "space": i.colorspace_settings.name}
          for i in bpy.data.images if "plate." in i.filepath]
scene = bpy.context.scene
print("FOUND " + json.dumps({"images": images, "background": scene.camera.data.show_background_images,
                             "frames": [scene.frame_start, scene.frame_end]}))
"""


def test_the_copy_has_the_plate_landed(whole: Path) -> None:
    command = [sys.executable, "-c", LOOK_AT_COPY, str(whole / "valley_farplane.blend")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND)
    found = json.loads(re.search(r"^FOUND (.*)$", done.stdout, re.M)[1])  # type: ignore[index]
    assert found["images"]
    assert {Path(image["path"]).parent.resolve() for image in found["images"]} == {whole.resolve()}
    assert {image["space"] for image in found["images"]} == {"Linear Rec.709"}
    assert found["background"]
    assert found["frames"] == [FRAMES[0], FRAMES[-1]]


def test_a_plate_is_not_overwritten_unasked(whole: Path, scenes: Path, environment: dict[str, str]) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in whole.iterdir()}
    line = refused(environment, "render", scenes / "valley.blend", "--prompt", "x", "--pipeline", "painted:run_job",
                   "--out", whole)  # fmt: skip
    assert "already holds a plate" in line
    assert "--overwrite" in line
    assert {path.name: path.stat().st_mtime_ns for path in whole.iterdir()} == before


def test_measure_reads_the_same_again(whole: Path, environment: dict[str, str]) -> None:
    before = json.loads((whole / "report.json").read_text())
    (whole / "report.png").unlink()
    done = farplane(environment, "measure", whole)
    assert done.returncode == 0, done.stderr
    after = json.loads((whole / "report.json").read_text())
    assert (whole / "report.png").read_bytes().startswith(b"\x89PNG")
    assert {k: v for k, v in after.items() if k not in ("plate", "reference", "gap_share", "detail_ratio")} == {
        k: v for k, v in before.items() if k not in ("plate", "reference", "gap_share", "detail_ratio")
    }
    # The plate is the same half floats; the reference comes back rounded to half (relative error 2**-11).
    assert after["plate"] == before["plate"]
    for new, old in zip(after["reference"]["lock"], before["reference"]["lock"], strict=True):
        if old["median"] is not None:
            assert abs(new["median"] - old["median"]) < 0.02


@pytest.mark.parametrize(
    ("number", "code", "when"),
    [
        (signal.SIGINT, 130, "farplane-backend-*/data/**/attempt-*"),  # while denoising
        (signal.SIGINT, 130, "farplane-backend-*/config/backend.json"),  # while Blender starts
        pytest.param(signal.SIGTERM, 143, "farplane-backend-*/data/**/attempt-*", marks=pytest.mark.slow),
    ],
)
def test_stopped_at_any_stage_nothing_is_left(
    scenes: Path, environment: dict[str, str], tmp_path: Path, number: int, code: int, when: str
) -> None:
    process = start(environment, "render", scenes / "valley.blend", "--prompt", "slow", "--pipeline", "painted:run_job",
                    "--no-reference", "--out", tmp_path / "take")  # fmt: skip
    until_printed(process, environment, when)
    process.send_signal(number)
    out, err = process.communicate(timeout=BOUND)
    assert process.returncode == code, out + err
    assert "Traceback" not in out + err
    assert err == f"cancelled by {'Ctrl-C' if code == 130 else 'a signal to end'}\n"
    assert list(tmp_path.iterdir()) == []
    assert_nothing_is_left(environment)


def test_killed_the_children_end_by_themselves(scenes: Path, environment: dict[str, str], tmp_path: Path) -> None:
    process = start(environment, "render", scenes / "valley.blend", "--prompt", "slow", "--pipeline", "painted:run_job",
                    "--no-reference", "--out", tmp_path / "take")  # fmt: skip
    until_printed(process, environment, "farplane-backend-*/data/**/attempt-*")
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 3, "Blender, the server and its worker"
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=120)
    assert not alive
    assert not list(tmp_path.glob("take/plate.*"))
    for left in Path(environment["TMPDIR"]).iterdir():  # nobody was there to remove the private backend's folder
        subprocess.run(["rm", "-r", left], check=True)


@pytest.mark.parametrize(("word", "field"), [("dies", "backend"), ("refused", "model")])
def test_a_render_that_fails_is_one_line(
    scenes: Path, environment: dict[str, str], tmp_path: Path, word: str, field: str
) -> None:
    line = refused(environment, "render", scenes / "valley.blend", "--prompt", word, "--pipeline", "painted:run_job",
                   "--no-reference", "--out", tmp_path / "take")  # fmt: skip
    assert line.startswith(f"error: {field}: "), line
    assert list(tmp_path.iterdir()) == []
    assert_nothing_is_left(environment)


def test_shot_stops_after_extraction(scenes: Path, environment: dict[str, str], tmp_path: Path) -> None:
    asked = ["shot", scenes / "valley.blend", "--size", "64x36", "--frames", "4-5", "--out"]
    done = farplane(environment, *asked, tmp_path / "s")
    assert done.returncode == 0, done.stderr
    depths, colours = {"depth.0004.exr", "depth.0005.exr"}, {"base_colour.0004.png", "base_colour.0005.png"}
    assert {p.name for p in (tmp_path / "s").iterdir()} == {"shot.json"} | depths | colours
    bare = farplane(environment, *asked, tmp_path / "bare", "--no-colours", "--no-sun")
    assert bare.returncode == 0, bare.stderr
    assert {p.name for p in (tmp_path / "bare").iterdir()} == {"shot.json"} | depths
    shot = json.loads((tmp_path / "s" / "shot.json").read_text())
    assert shot["resolution"] == [64, 36]
    frame, (plain, _) = shot["frames"][0], json.loads((tmp_path / "bare" / "shot.json").read_text())["frames"]
    assert set(plain) == {"frame", "camera", "K", "world_from_camera", "depth", "frame_K"}
    assert set(frame) == {*plain, "base_colour", "sun"}
    # Blender's default lens: 50 mm on a 36 mm sensor, so fx = 64 * 50 / 36; the axis through the middle.
    np.testing.assert_allclose(frame["K"], [[64 * 50 / 36, 0, 32], [0, 64 * 50 / 36, 18], [0, 0, 1]], atol=1e-4)
    # Linear from x = -0.6 at frame 1 to 0.6 at frame 10 would be -0.2 at 4; Bezier ease keeps the middle symmetric.
    pose = np.array(frame["world_from_camera"])
    np.testing.assert_allclose(pose[1:3, 3], [-8, 2], atol=1e-6)
    assert -0.6 < pose[0, 3] < 0


def newer(path: Path) -> bytes:
    """The scene with a header that claims Blender 9.9."""
    data = bytearray(path.read_bytes())
    assert data.startswith(b"BLENDER")
    at = data.index(b"v", 7) + 1
    while not data[at : at + 1].isdigit():
        at += 1
    width = 4 if data[at : at + 4].isdigit() else 3
    data[at : at + width] = b"909".rjust(width, b"0")
    return bytes(data)


@pytest.mark.parametrize(("what", "field"), [("cut", "scene"), ("newer", "scene"), ("ortho", "camera")])
def test_scenes_that_cannot_be_read(
    scenes: Path, environment: dict[str, str], tmp_path: Path, what: str, field: str
) -> None:
    scene = tmp_path / "scene.blend"
    whole = (scenes / "valley.blend").read_bytes()
    data = {"cut": lambda: whole[: len(whole) // 3], "newer": lambda: newer(scenes / "valley.blend"),
            "ortho": lambda: (scenes / "ortho.blend").read_bytes()}[what]()  # fmt: skip
    scene.write_bytes(data)
    line = refused(environment, "shot", scene, "--out", tmp_path / "s")
    assert line.startswith(f"error: {field}: "), line
    assert not (tmp_path / "s").exists()


def test_a_backend_that_is_not_there(scenes: Path, environment: dict[str, str], tmp_path: Path) -> None:
    line = refused(environment, "render", scenes / "valley.blend", "--prompt", "x", "--out", tmp_path / "t",
                   "--backend", "tcp://127.0.0.1:9", "--backend-key", "x" * 40)  # fmt: skip
    assert line.startswith("error: backend"), line
    assert not (tmp_path / "t").exists()


def test_a_model_that_is_not_there_is_said_before_blender_starts(
    scenes: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    line = refused(environment, "render", scenes / "valley.blend", "--prompt", "x", "--out", tmp_path / "t", "--model",
                   "wan2.1-vace-14b")  # fmt: skip
    assert line.startswith("error: model: the weights of wan2.1-vace-14b are not on this machine"), line
    assert tempfile.gettempdir() != environment["TMPDIR"]
    assert_nothing_is_left(environment)
