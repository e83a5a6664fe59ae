"""From the scene to submitted jobs, a little per step: the connection, cameras, depth, depth files, the wire.

The modal operator calls `step` within each tick's time; the background operator and tests call it until it is done.
What needs no Blender (checking the shot, writing its depth) is done by the session's disk thread.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import bpy

from ...protocol import codec
from ...protocol.errors import FarplaneError
from ...protocol.events import Connected, Failed
from ...protocol.shot import DepthPass, Prompt, RenderSettings, Shot, validate_resolution
from ...protocol.shotfile import base_colour_name, depth_name, shot_to_json
from .. import takes
from ..base_colour import write_colours
from ..camera import Frame
from ..commands.link import CONNECT_SECONDS, check_model, check_upload, must_look
from ..commands.link import draft_steps as steps_of_draft
from ..exr import write_channel
from ..materials import has_colours
from ..passes import is_rendering
from ..scene import Extraction, ShotPlan, metres_per_unit, plan_shots, scene_resolution
from ..space import check_space, take_bytes
from ..takes import Take
from ..variations import expand, has_alternatives
from . import estimate, preferences
from .catalogue import model_info
from .places import keep_folder, shot_folder
from .properties import Shot as ShotProperties
from .session import Job, session

Ask = tuple[Prompt, RenderSettings]


class Generation:
    """One shot on its way to the backend, once for each of `asks`.  `close` it in every case.

    stage, done, total : where it stands ("connect", "enquire", Extraction's stages, then "files").
    folder : where its takes go.  depth_range : (near, far) in metres as set by hand, None for automatic.
    jobs : what it became, once `step` has returned True.
    """

    def __init__(
        self,
        scene: bpy.types.Scene,
        *,
        plan: ShotPlan | None = None,
        asks: Sequence[Ask] | None = None,
        batch: str = "",
    ) -> None:
        """Check everything that can be checked, and begin.  Raises FarplaneError before any work.

        plan : which shot, the one at the current frame if left out.  asks : what to make of it, the panel's prompt
        and settings if left out; each becomes a job and a take.  batch : what these jobs belong to.
        """
        asked: ShotProperties = scene.farplane
        self.asks = list(asks) if asks is not None else [(panel_prompt(scene), panel_settings(scene))]
        for prompt, settings in self.asks:
            prompt.validate()
            settings.validate()
        self._is_draft = asks is None and asked.quality == "DRAFT"
        self.batch = batch
        self.plan = plan or current_plan(scene)
        self.scene_name = scene.name
        self._scene_uid = scene.session_uid
        self.depth_range = manual_range(scene)
        self.folder = shot_folder(scene, self.plan.name)
        bpy.context.window_manager.farplane.shot = ""  # the list shows what comes of it
        self._enquiries: list[str] = []
        self._size = (0, 0)  # of the plate, once it is checked
        self._colours = False  # whether base colours are read, once the backend has said what it takes
        self._extraction: Extraction | None = None
        self._read = False  # all of the shot
        self._files: _Files | None = None
        self.jobs: list[Job] = []
        session.connect()
        self._began = time.monotonic()
        self._deadline = self._began + CONNECT_SECONDS
        self._gave_way: float | None = None  # since when

    @property
    def job(self) -> Job | None:
        """The first job, once it is submitted."""
        return self.jobs[0] if self.jobs else None

    @property
    def stage(self) -> str:
        """The stage of the step that comes next."""
        if self._extraction is None:
            return "enquire" if self._enquiries else "connect"
        return self._extraction.stage if self._files is None else "files"

    @property
    def waits(self) -> bool:
        """Whether the next step only looks whether somebody else is done, or is a tick's work by itself: Blender takes 30 ms
        to remove the stand-in scene."""
        return self._extraction is None or self._read or is_rendering()

    @property
    def gives_way(self) -> bool:
        """Whether a render of the artist's goes first just now, as far as the last step knows."""
        return self._gave_way is not None

    @property
    def done(self) -> int:
        """Frames of this stage that are finished."""
        if self._extraction is None:
            return 0
        return self._extraction.done if self._files is None else self._files.written

    @property
    def total(self) -> int:
        """Frames of this stage."""
        return len(self.plan.frames) * (1 if self._files is None else len(self.asks))

    @property
    def reading(self) -> Generation:
        """The shot that is read: this one."""
        return self

    @property
    def wanted(self) -> estimate.Record:
        """What it asks for, for an estimate of its time."""
        settings = self.asks[0][1]
        return estimate.wanted(settings.model, settings.steps, self._size, len(self.plan.frames))

    @property
    def unsent(self) -> list[int]:
        """How many takes it will become, once it is read."""
        return [] if self.jobs else [len(self.asks)]

    def step(self) -> bool:
        """Do the next frame; return True once everything is submitted.  Raises FarplaneError."""
        if self._extraction is None:
            self._await_backend()
        elif self._files is None:
            if self._give_way():
                return False
            if not self._read:
                self._read = self._extraction.step()
                return False
            self._extraction.close()
            self._files = _Files(self._extraction, self)
            session.disk.do(self._files.write, self._files.done)
        else:
            session.disk.poll()
            return self._submit(self._files)
        return False

    def _submit(self, files: _Files) -> bool:
        """Hand over what the disk's thread has made, if it has.  Raises FarplaneError if it could not."""
        if files.error is not None:
            raise files.error
        if files.made is None:
            return False
        shot, opened = files.made
        for take, (prompt, settings) in zip(opened, self.asks, strict=True):
            asked_for = replace(shot, prompt=prompt)
            self.jobs.append(session.submit(take, asked_for, settings, self.scene_name, self.batch))
        self.jobs[0].prepared = time.monotonic() - self._began
        return True

    def _give_way(self) -> bool:
        """Let a render of the artist's go first; no estimate of a later take counts the time of it."""
        now = time.monotonic()
        if is_rendering():
            self._gave_way = self._gave_way or now
            if self._extraction is not None:
                self._extraction.keep_result()
            return True
        if self._gave_way is not None:
            self._began += now - self._gave_way
            self._gave_way = None
        return False

    def run(self) -> None:
        """All steps, one after the other: for background mode and scripts.  Raises FarplaneError."""
        try:
            while not self.step():
                if self.waits:
                    time.sleep(0.01)
        finally:
            self.close()

    def close(self) -> None:
        """Remove the stand-in scene, and the takes if they never became jobs.  Safe to call twice."""
        for enquiry in self._enquiries:
            session.drop_enquiry(enquiry)
        self._enquiries = []
        if self._extraction is not None:
            self._extraction.close()
        if not self.jobs and self._files is not None:
            self._files.stopped = True
            session.disk.do(self._files.discard)
            self._files = None

    def _await_backend(self) -> None:
        """Read nothing from the scene before somebody is there to send it to.  Raises FarplaneError when nobody is."""
        session.poll()
        if session.connection == "connected":
            scene = find_scene(self._scene_uid)
            if scene is None:
                raise FarplaneError("scene", f"{self.scene_name} is gone", "Start again")
            if not self._enquiries or not session.enquiries.keys() >= set(self._enquiries):
                self._size = self._checked_size(scene)
                self._enquiries = self._enquire(self._size)
            elif self._welcome() and not self._give_way():
                keep_folder(scene, self.plan.name)
                self._extraction = Extraction(
                    scene, self.plan, self.asks[0][0], self._size, colours=self._colours, sun=scene.farplane.use_sun
                )
        elif session.connection == "disconnected" and session.problem is not None:
            raise FarplaneError("backend", session.problem.text, session.problem.remedy)
        elif time.monotonic() > self._deadline and not session.is_waiting:
            raise FarplaneError("backend", "it does not answer", "Look at the Backend panel")

    def _checked_size(self, scene: bpy.types.Scene) -> tuple[int, int]:
        """The (W, H) to render, once all is checked that this side can tell.  Raises FarplaneError."""
        if self._is_draft:
            self.asks = [(p, replace(s, steps=draft_steps(s.model))) for p, s in self.asks]
        answer = Connected(session.models, session.version, session.max_upload, session.takes_also)
        for _, settings in self.asks:
            check_model(answer, settings)
        size = plate_size(scene, self.asks[0][1].model)
        validate_resolution(*size)
        asked: ShotProperties = scene.farplane
        self._colours = asked.use_colours and "base_colour" in session.takes_also and has_colours(scene)
        check_upload(answer, len(self.plan.frames), size, reference=False, colours=self._colours)
        takes.check_writable(self.folder)
        needed = take_bytes(len(self.plan.frames), *size, colours=self._colours)
        check_space(self.folder, len(self.asks) * needed)
        return size

    def _enquire(self, size: tuple[int, int]) -> list[str]:
        """Ask the backend whether it would take the shot, once for each model: the enquiries' UUIDs."""
        address, frames = preferences.settings().address, len(self.plan.frames)
        by_model = {settings.model: (prompt, settings) for prompt, settings in self.asks}
        return [
            session.enquire(
                codec.outline(
                    self.plan.name, frames, size, prompt, settings, reference=False, base_colour=self._colours
                ),
                look=must_look(address, settings),
            )
            for prompt, settings in by_model.values()
        ]

    def _welcome(self) -> bool:
        """Whether the backend has said of every model that it would take the shot.  Raises FarplaneError for a no."""
        answers = [session.enquiries.get(enquiry) for enquiry in self._enquiries]
        for event in answers:
            if isinstance(event, Failed):
                raise FarplaneError(event.field, event.problem, event.remedy)
        return None not in answers


class _Files:
    """The takes of a generation, made in the disk's thread.

    written : depth files so far.  made : the shot and its open takes, when all is there.
    """

    def __init__(self, extraction: Extraction, generation: Generation) -> None:
        self._extraction, self._plan = extraction, generation.plan
        self._asks, self._folder, self._range = list(generation.asks), generation.folder, generation.depth_range
        self._notes = [str(note) for note in (*extraction.scene_notes, *extraction.notes())]
        self._opened: list[Take] = []
        self.written = 0
        self.stopped = False
        self.made: tuple[Shot, list[Take]] | None = None
        self.error: FarplaneError | None = None

    def write(self) -> Shot:
        """Check the shot and write it once for each ask.  Raises FarplaneError."""
        shot = self._extraction.shot()
        if self._range is not None:
            shot = replace(shot, depth=DepthPass(shot.depth.z, *self._range)).validate()
        names = {frame: depth_name(frame) for frame in shot.frames}
        for prompt, settings in self._asks:
            data = shot_to_json(replace(shot, prompt=prompt), names, self._plan.camera, settings) | {
                "notes": self._notes
            }
            self._opened.append(Take.create(takes.next_folder(self._folder), data, job=codec.new_job()))
        for index, frame in enumerate(shot.frames):
            files = {names[frame]: write_channel(shot.depth.z[index], window=shot.screen_window(index))}
            if shot.base_colour is not None:
                files[base_colour_name(frame)] = write_colours(shot.base_colour[index])
            for take in self._opened:
                if self.stopped:
                    return shot
                for name, data in files.items():
                    takes.write_atomic(take.folder / name, data)
                self.written += 1
        return shot

    def done(self, result: Any) -> None:
        """What came of `write`, on the main thread."""
        if isinstance(result, FarplaneError):
            self.error = result
        else:
            self.made = result, self._opened

    def discard(self) -> None:
        """Delete what was begun."""
        for take in self._opened:
            take.discard()


def find_scene(uid: int) -> Any:
    """A scene of the open file, whatever it is called by now; None when it is gone."""
    return next((scene for scene in bpy.data.scenes if scene.session_uid == uid), None)


def panel_prompt(scene: bpy.types.Scene) -> Prompt:
    """The prompt as the panel has it."""
    asked: ShotProperties = scene.farplane
    text = asked.prompt.strip()
    if "\\" in text and not has_alternatives(text):
        text = expand(text).cells[0].text  # \\{ is the character itself
    return Prompt(text, asked.negative.strip())


def panel_settings(scene: bpy.types.Scene) -> RenderSettings:
    """How to render, as the panel has it."""
    asked: ShotProperties = scene.farplane
    model = asked.model_name or RenderSettings.model
    steps: int = asked.steps
    if asked.quality != "CUSTOM":
        steps = draft_steps(model) if asked.quality == "DRAFT" else 0
    return RenderSettings(model=model, seed=asked.seed, steps=steps)


def draft_steps(model: str) -> int:
    """Denoise steps of a draft; the model's own number where the model is not known yet."""
    found = model_info(model)
    return steps_of_draft(found.steps) if found is not None and found.steps else 0


def current_plan(scene: bpy.types.Scene) -> ShotPlan:
    """The shot at the current frame, the first one outside all of them.  Raises FarplaneError."""
    plans = plan_shots(scene)
    inside = [plan for plan in plans if plan.frames[0] <= scene.frame_current <= plan.frames[-1]]
    return (inside or list(plans))[0]


def manual_range(scene: bpy.types.Scene) -> tuple[float, float] | None:
    """(near, far) in metres as the artist set them, or None for automatic.  Raises FarplaneError for an empty one."""
    asked: ShotProperties = scene.farplane
    if asked.depth_auto:
        return None
    metres = metres_per_unit(scene)
    near, far = asked.near * metres, asked.far * metres
    if not 0 < near < far:
        raise FarplaneError("depth", f"near {near:.4g} m is not before far {far:.4g} m", "Raise Far, or use Automatic")
    return near, far


def plate_size(scene: bpy.types.Scene, model_name: str = "") -> tuple[int, int]:
    """The (W, H) to render: the scene's own, or one of the scene's shape and about as large as the model's sizes."""
    asked: ShotProperties = scene.farplane
    model = model_info(model_name or asked.model_name or RenderSettings.model)
    if asked.size == "SCENE" or model is None or not model.sizes:
        return scene_resolution(scene)
    return Frame.of(scene.render).size_near(model.sizes)
