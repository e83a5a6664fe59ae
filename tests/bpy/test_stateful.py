"""Random sequences of what an artist can do, in any order: no traceback, no orphaned datablock, no take lost.

The panels draw after every step, into a layout that draws nothing.  The backend is a stand-in in this process that
paints as the service tests' painter does, a little per poll: hundreds of jobs against a real one would take an hour,
and the ways to a real one have tests of their own (test_ui.py, test_resume.py).

What an artist does in a window is a step of its undo stack, and so it is here.  That is no nicety: what a script makes
without a step is freed by the next undo while the file still points to it, and Blender crashes, without any add-on
(docs/decisions/stand-in-scene.md has the ten lines that show it).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

bpy = pytest.importorskip("bpy")

from stateful_use import SIZE, Painter, artists_scenes, draw_all, ours, push  # noqa: E402

import farplane  # noqa: E402
from farplane.addon import landing, passes, storyboard, takes  # noqa: E402
from farplane.addon.takes import Take  # noqa: E402
from farplane.addon.ui import catalogue, depth_view, estimate, generate, panels  # noqa: E402
from farplane.addon.ui import session as session_module  # noqa: E402
from farplane.addon.ui.session import session  # noqa: E402
from farplane.protocol.errors import FarplaneError  # noqa: E402

NOBODY = 3  # as a take's number: none of those that there are
LANDINGS = st.sets(st.sampled_from(landing.KINDS), min_size=1)
NUMBER = st.integers(0, NOBODY)
NAMES = st.text(max_size=12)

DONE: Counter[str] = Counter()  # operators that did what they are for, in all sequences


class Artist(RuleBasedStateMachine):
    """What an artist does, with what must hold after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="farplane-artist-"))
        self.whole: set[Path] = set()
        self.scenes = 0

    def teardown(self) -> None:
        session.disk.flush()
        farplane.unregister()
        shutil.rmtree(self.folder, ignore_errors=True)

    @initialize(count=st.integers(1, 2))
    def begin(self, count: int) -> None:
        """A saved shot of two frames, and the takes of it that are there already."""
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        farplane.register()
        self.furnish(bpy.context.scene)
        push()
        bpy.ops.wm.save_as_mainfile(filepath=str(self.folder / "shot.blend"))
        self.scenes = len(artists_scenes())
        for _ in range(count):
            self.do("generate")
            self.wait(6)
        assert len(list(self.folder.rglob("plate.0001.exr"))) == count

    @staticmethod
    def furnish(scene: Any) -> None:
        camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
        mesh = bpy.data.meshes.new("Quad")
        mesh.from_pydata([(-1, -1, -5), (1, -1, -5), (1, 1, -5), (-1, 1, -6)], [], [(0, 1, 2, 3)])
        paint = bpy.data.materials.new("Paint")  # so that there are base colours to read
        paint.use_nodes = True
        paint.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.6, 0.05, 0.05, 1)
        mesh.materials.append(paint)
        for obj in (camera, bpy.data.objects.new("Quad", mesh)):
            scene.collection.objects.link(obj)
        scene.camera = camera
        scene.frame_start, scene.frame_end = 1, 2
        scene.render.resolution_x, scene.render.resolution_y = SIZE
        scene.farplane.prompt, scene.farplane.model_name = "plain hills", "painter"

    # ---- what every rule goes through -----------------------------------------------------------------------

    def do(self, operator: str, **values: Any) -> bool:
        """Call an operator; its own error is fine, a traceback is not.  Returns whether it did it."""
        try:
            done = getattr(bpy.ops.farplane, operator)("EXEC_DEFAULT", True, **values) == {"FINISHED"}  # with its step
            DONE[operator] += done
            return done
        except RuntimeError as error:
            text = str(error)
            assert "Traceback" not in text, text
            assert ".poll() " in text or text.startswith("Error: "), text
            return False

    def take(self, number: int) -> str:
        """One of the takes on the disk, or a folder that is none."""
        found = sorted(path.parent for path in self.folder.rglob("take.json"))
        return str(found[number % len(found)] if found and number != NOBODY else self.folder / "nothing")

    def batch(self, number: int) -> str:
        """The folder of a grid or a storyboard on the disk, or one that is none."""
        found = sorted(path.parent for path in self.folder.rglob("batch.json"))
        return str(found[number % len(found)] if found and number != NOBODY else self.folder / "nothing")

    # ---- the rules --------------------------------------------------------------------------------------------

    @rule(prompt=st.sampled_from(["plain hills", "{dawn|noon} hills", " ", "x" * 5000]))
    def write_a_prompt(self, prompt: str) -> None:
        bpy.context.scene.farplane.prompt = prompt
        push()

    @rule()
    def generate(self) -> None:
        self.do("generate")

    @rule(
        steps=st.integers(0, 5),
        then=st.sampled_from(
            ["save", "rename_the_scene", "delete_the_camera", "undo", "redo", "add_a_scene", "write_a_prompt", "push"]
        ),
    )
    def generate_and_meddle(self, steps: int, then: str) -> None:
        """As in a window: the scene changes while it is read."""
        meddle = {
            "rename_the_scene": lambda: self.rename_the_scene("Other"),
            "delete_the_camera": lambda: bpy.context.scene.camera and self.delete_the_camera(),
            "add_a_scene": lambda: self.add_a_scene(True),
            "write_a_prompt": lambda: self.write_a_prompt("other hills"),
        }.get(then, getattr(self, then))
        with suppress(FarplaneError):
            generation = generate.Generation(bpy.context.scene)
            try:
                done = any(generation.step() for _ in range(steps))
                meddle()
                if not done:
                    generation.run()
                DONE[f"meddle: {then}"] += 1
            finally:
                generation.close()

    @rule(times=st.integers(1, 6))
    def wait(self, times: int) -> None:
        for _ in range(times):
            session.wanted = True
            panels.tick()
            session.disk.flush()

    @rule()
    def cancel(self) -> None:
        self.do("cancel")

    @rule(number=NUMBER)
    def accept(self, number: int) -> None:
        self.do("accept", folder=self.take(number))

    @rule(number=NUMBER, note=NAMES)
    def reject(self, number: int, note: str) -> None:
        self.do("reject", folder=self.take(number), note=note)

    @rule(number=NUMBER, name=NAMES)
    def rename(self, number: int, name: str) -> None:
        self.do("rename_take", folder=self.take(number), name=name)

    @rule(number=NUMBER)
    def use_settings(self, number: int) -> None:
        self.do("use_settings", folder=self.take(number))

    @rule(number=NUMBER)
    def delete(self, number: int) -> None:
        folder = Path(self.take(number))
        if self.do("delete_take", folder=str(folder)):
            assert not (folder / "take.json").exists()
            self.whole.discard(folder)

    @rule(number=NUMBER, kinds=LANDINGS)
    def land(self, number: int, kinds: set[str]) -> None:
        self.do("land", folder=self.take(number), kinds=kinds)

    @rule(number=NUMBER)
    def remove(self, number: int) -> None:
        found = landing.landed(bpy.context.scene)
        identity = found[number % len(found)].id if found else "nothing"
        if self.do("remove", landing_id=identity):
            left = [item for item in ours() if item[landing.plate.TAG] == identity and item.users == 0]
            assert not left, "what is removed leaves no datablock that nobody uses"

    @rule(number=NUMBER, kinds=LANDINGS)
    def try_a_take(self, number: int, kinds: set[str]) -> None:
        """Landed, looked at, and away again."""
        self.land(number, kinds)
        self.panels_draw()
        for place in range(len(landing.landed(bpy.context.scene))):
            self.remove(place)

    @rule(number=NUMBER)
    def bake(self, number: int) -> None:
        self.do("land", folder=self.take(number), kinds={"projection"}, bake=True)

    @rule(number=NUMBER)
    def compare(self, number: int) -> None:
        """A take is chosen in the list and marked, or the comparison ends; the timer shows it."""
        bpy.context.window_manager.farplane.take_index = number
        self.do("compare")
        self.wait(2)

    @rule(shown=st.booleans(), by_hand=st.booleans(), far=st.sampled_from([0.0, 7.0, 100.0]))
    def look_at_the_depth(self, shown: bool, by_hand: bool, far: float) -> None:
        asked = bpy.context.scene.farplane
        asked.depth_auto, asked.near, asked.far = not by_hand, 1.0, far
        push()
        bpy.context.window_manager.farplane.show_depth = shown
        self.wait(2)

    # ---- several at once --------------------------------------------------------------------------------------

    @rule(seeds=st.booleans())
    def variations(self, seeds: bool) -> None:
        scene = bpy.context.scene
        scene.farplane.prompt, scene.farplane.vary_seed = "plain {dawn|noon} hills", seeds
        push()
        self.do("variations")

    @rule(name=NAMES)
    def add_a_marker(self, name: str) -> None:
        scene = bpy.context.scene
        scene.timeline_markers.new(name, frame=1).camera = scene.camera
        push()

    @rule()
    def storyboard(self) -> None:
        self.do("storyboard")

    @rule(number=NUMBER)
    def cancel_a_batch(self, number: int) -> None:
        self.do("cancel_batch", folder=self.batch(number))

    @rule(number=NUMBER)
    def lay_a_storyboard(self, number: int) -> None:
        self.do("lay_storyboard", folder=self.batch(number))

    @rule(number=NUMBER)
    def remove_a_storyboard(self, number: int) -> None:
        found = list(storyboard.laid(bpy.context.scene))
        self.do("remove_storyboard", storyboard_id=found[number % len(found)] if found else "nothing")

    # ---- the artist's own -------------------------------------------------------------------------------------

    @rule()
    def push(self) -> None:
        push()

    @rule()
    def undo(self) -> None:
        if bpy.ops.ed.undo.poll():
            bpy.ops.ed.undo()
            self.scenes = len(artists_scenes())

    @rule()
    def redo(self) -> None:
        if bpy.ops.ed.redo.poll():
            bpy.ops.ed.redo()
            self.scenes = len(artists_scenes())

    @rule()
    def save(self) -> None:
        bpy.ops.wm.save_mainfile()

    @rule()
    def load(self) -> None:
        bpy.ops.wm.open_mainfile(filepath=str(self.folder / "shot.blend"))
        push()  # a window does
        self.scenes = len(artists_scenes())

    @rule(furnished=st.booleans())
    def add_a_scene(self, furnished: bool) -> None:
        scene = bpy.data.scenes.new("Scene")
        if furnished:
            self.furnish(scene)
        bpy.context.window.scene = scene
        self.scenes += 1
        push()

    @precondition(lambda self: len(artists_scenes()) > 1)
    @rule()
    def delete_the_scene(self) -> None:
        bpy.data.scenes.remove(bpy.context.scene)
        bpy.context.window.scene = artists_scenes()[0]  # Blender may show one of ours
        self.scenes -= 1
        push()

    @rule(number=NUMBER)
    def choose_a_scene(self, number: int) -> None:
        found = artists_scenes()
        bpy.context.window.scene = found[number % len(found)]

    @rule(name=st.text("aä/.%\\ ", min_size=1, max_size=8))
    def rename_the_scene(self, name: str) -> None:
        bpy.context.scene.name = name
        push()

    @precondition(lambda self: bpy.context.scene.camera is not None)
    @rule()
    def delete_the_camera(self) -> None:
        bpy.data.objects.remove(bpy.context.scene.camera)
        push()

    @precondition(lambda self: bpy.context.scene.camera is None)
    @rule()
    def add_a_camera(self) -> None:
        camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
        bpy.context.scene.collection.objects.link(camera)
        bpy.context.scene.camera = camera
        push()

    # ---- what always holds ------------------------------------------------------------------------------------

    @invariant()
    def panels_draw(self) -> None:
        draw_all()

    @invariant()
    def takes_are_lost_by_delete_alone(self) -> None:
        if session.disk.busy:
            return
        now = {path.parent for path in self.folder.rglob("take.json") if Take.open(path.parent).finished}
        assert self.whole <= now, f"lost: {self.whole - now}"
        self.whole = now
        for folder in now:
            assert list(takes.plate_frames(folder)) == [1, 2]

    @invariant()
    def scenes_are_the_artists_own(self) -> None:
        stand_ins = sum(scene.name.startswith(passes.PREFIX) for scene in bpy.data.scenes)
        assert stand_ins <= depth_view.is_open(), "a stand-in scene is left"
        assert len(artists_scenes()) == self.scenes or not self.scenes


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No backend but the painter, no configuration but an empty one, and `undo` from a clean start."""
    monkeypatch.setenv("FARPLANE_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("BLENDER_USER_RESOURCES", str(tmp_path / "resources"))
    monkeypatch.setattr(session_module, "Client", Painter)
    for module in (catalogue, estimate):
        monkeypatch.setattr(module, "user_folder", lambda name: tmp_path / "user" / name)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # nobody pulls the plug here
    yield
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


def run(examples: int, steps: int, *, same: bool) -> None:
    """Run the machine: no deadline, since Blender's renders take what they take.

    same : the same sequences every time, for the check of every commit; else new ones.
    """
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Artist,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=checks,
            print_blob=True,
            derandomize=same,
        ),
    )


def _did(*operators: str) -> None:
    """Each was done: sequences that do nothing show nothing."""
    assert min(DONE[operator] for operator in operators) > 0, DONE


def test_forty_random_sequences(alone: None) -> None:
    DONE.clear()
    run(40, 20, same=True)
    # Whether anything was there to be removed is a matter of time.
    _did("generate", "accept", "delete_take", "land")


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(5))
def test_five_hundred_random_sequences(alone: None, hundred: int) -> None:
    DONE.clear()
    run(100, 30, same=False)
    _did("generate", "accept", "delete_take", "land", "remove")
