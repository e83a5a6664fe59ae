"""Runs inside the GUI Blender: Variations and Storyboard pressed, their takes awaited, what came of them looked at.

    blender --enable-event-simulate --python batch_drive.py -- FOLDER MODEL

FOLDER holds farplane.zip, scene.blend and drive.py, whose helpers do the work.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import bpy

sys.path.insert(0, sys.argv[sys.argv.index("--") + 1])
import pulse
from drive import MODEL, beside, install, look, open_tab, run, ui
from stage import FOLDER, picture, play, told, wait, wait_for

FRAMES = 3  # of each shot
PROMPT = "a forest valley at {noon|night}, clear sky, in summer"
SECOND = "a forest valley at dusk, snow"


def unfold(*folded: str) -> None:
    """All panels of the tab open but these: what is folded is the window's own, which Python cannot reach."""
    modules = [ui(name) for name in ("panels", "batch_panel", "takes_panel", "backend_panel")]
    panels = [cls for module in modules for cls in module.CLASSES if issubclass(cls, bpy.types.Panel)]
    for cls in reversed(panels):
        bpy.utils.unregister_class(cls)
    for cls in panels:  # in the order in which they stand in the tab
        cls.bl_options = {"DEFAULT_CLOSED"} if cls.__name__.rpartition("_")[2] in folded else set()
        bpy.utils.register_class(cls)


def second_camera(scene: Any) -> None:
    """Two shots: the valley from its camera, and from the same place with a longer lens."""
    close = scene.camera.copy()
    close.data = scene.camera.data.copy()
    close.data.lens *= 1.8
    close.name = "Close"
    scene.collection.objects.link(close)
    for name, frame, camera in (("wide", 1, scene.camera), ("close", 1 + FRAMES, close)):
        scene.timeline_markers.new(name, frame=frame).camera = camera
    ui("batch_panel").storyboard.set_marker_prompt(scene, "close", SECOND)


def make(operator: Any, kind: str, name: str) -> Iterator[None]:
    """Press the button, take a picture while it works, and wait until it is over and its sheet is written."""
    session = ui("session").session
    session.message = None
    yield from wait(1)
    pulse.begin(bpy.context.window_manager.windows[0])
    told[f"{kind} invoked"] = list(run(operator))
    yield from wait_for(lambda: session.message is not None or (session.job is not None and session.job.preview))
    yield from wait(0.4)
    picture(name)
    yield from wait_for(lambda: session.jobs or session.message is not None)
    yield from wait_for(lambda: not session.jobs and not ui("batch")._active)
    yield from wait(1.5)
    told.setdefault("main thread", {})[kind] = pulse.end()
    told[kind] = sheet(kind)


def sheet(kind: str) -> dict[str, Any]:
    """What lies on the disk of a batch; its contact sheet goes to the pictures."""
    (path,) = FOLDER.rglob(f"{kind} 001/contact.png")
    shutil.copy(path, FOLDER / f"{kind}-contact.png")
    record = json.loads(next(path.parent.glob("*.json")).read_text())
    takes = sorted(str(take.parent.relative_to(FOLDER)) for take in FOLDER.rglob("take.json"))
    return {"record": record, "takes": takes, "message": str(ui("session").session.message)}


def sequencer(scene: Any) -> Iterator[None]:
    """The same half as a sequencer, as an artist opens one: its picture above, its strips below."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "IMAGE_EDITOR")
    area.type = "SEQUENCE_EDITOR"
    area.spaces.active.view_type = "SEQUENCER_PREVIEW"
    yield from wait(0.7)
    told["sequencer scene"] = getattr(window.workspace, "sequencer_scene", scene) == scene
    for operator, kind in ((bpy.ops.sequencer.view_all, "WINDOW"), (bpy.ops.sequencer.view_all_preview, "PREVIEW")):
        region = next(region for region in area.regions if region.type == kind)
        with bpy.context.temp_override(window=window, area=area, region=region):
            operator()
    preview = next(region for region in area.regions if region.type == "PREVIEW")
    told["preview"] = [preview.x, window.height - preview.y - preview.height, preview.width, preview.height]


def strips(scene: Any) -> list[list[Any]]:
    """Kind, channel, first frame and the one after the last, of every strip."""
    editor = scene.sequence_editor
    if editor is None:
        return []
    every = editor.strips if hasattr(editor, "strips") else editor.sequences
    return sorted([s.type, s.channel, int(s.frame_final_start), int(s.frame_final_end)] for s in every)


def work() -> Iterator[None]:
    yield from install()
    scene = bpy.context.scene
    unfold()
    scene.farplane.model_name, scene.farplane.quality, scene.farplane.prompt = MODEL, "DRAFT", PROMPT
    scene.frame_end = FRAMES
    yield from open_tab()
    yield from look("1-panels")

    yield from make(bpy.ops.farplane.variations, "variations", "2-variations-run")
    yield from beside(FOLDER / "variations-contact.png")
    yield from look("3-variations")

    second_camera(scene)
    scene.frame_end = 2 * FRAMES
    yield from make(bpy.ops.farplane.storyboard, "storyboard", "4-storyboard-run")
    told["strips"] = strips(scene)
    yield from sequencer(scene)
    for frame, name in ((2, "5-animatic-wide"), (FRAMES + 2, "5-animatic-close")):
        scene.frame_set(frame)
        yield from look(name)

    (identity,) = ui("batch_panel").storyboard.laid(scene)
    run(bpy.ops.farplane.remove_storyboard, storyboard_id=identity)
    told["strips after removal"] = strips(scene)
    (FOLDER / "main-thread.json").write_text(json.dumps(told["main thread"], indent=1))
    told["done"] = True


if __name__ == "__main__":
    play(work(), bpy.ops.wm.quit_blender)
