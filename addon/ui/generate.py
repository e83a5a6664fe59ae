"""From the scene to a submitted job, a little per step: the connection, cameras, depth, depth files, the wire.

The modal operator calls `step` within each tick's time; the background operator and tests call it until it is done.
"""

from __future__ import annotations

import time

import bpy

from ...protocol.errors import FarplaneError
from ...protocol.events import Connected
from ...protocol.shot import Prompt, RenderSettings, Shot
from ...protocol.shotfile import depth_name, shot_to_json
from .. import takes
from ..command import CONNECT_SECONDS, check_model
from ..exr import write_channel
from ..scene import Extraction, ShotPlan, plan_shots, scene_resolution
from ..takes import Take
from .properties import Shot as ShotProperties
from .session import Job, session, shot_folder


class Generation:
    """One shot on its way to the backend.  `close` it in every case.

    stage, done, total : where it stands ("connect", Extraction's stages, then "files").
    """

    def __init__(self, scene: bpy.types.Scene) -> None:
        """Check everything that can be checked, and begin.  Raises FarplaneError before any work."""
        if session.job is not None:
            raise FarplaneError("job", "one is running already", "Wait for it, or cancel it")
        asked: ShotProperties = scene.farplane
        self.settings = RenderSettings(model=asked.model or RenderSettings.model, seed=asked.seed, steps=asked.steps)
        self.settings.validate()
        self._prompt = Prompt(asked.prompt.strip(), asked.negative.strip())
        self._prompt.validate()
        self.plan = current_plan(scene)
        self.scene_name = scene.name
        self._folder = shot_folder(scene, self.plan.name)
        self._extraction: Extraction | None = None
        self._shot: Shot | None = None
        self._take: Take | None = None
        self._written = 0
        self.job: Job | None = None
        session.connect()
        self._deadline = time.monotonic() + CONNECT_SECONDS

    @property
    def stage(self) -> str:
        """The stage of the step that comes next."""
        if self._extraction is None:
            return "connect"
        return self._extraction.stage if self._shot is None else "files"

    @property
    def done(self) -> int:
        """Frames of this stage that are finished."""
        if self._extraction is None:
            return 0
        return self._extraction.done if self._shot is None else self._written

    @property
    def total(self) -> int:
        """Frames of this stage."""
        return len(self.plan.frames)

    def step(self) -> bool:
        """Do the next frame; return True once the job is submitted.  Raises FarplaneError."""
        if self._extraction is None:
            self._await_backend()
            return False
        if self._shot is None:
            if self._extraction.step():
                self._shot = self._extraction.shot()
                self._extraction.close()
            return False
        if self._take is None:
            depth = {frame: depth_name(frame) for frame in self._shot.frames}
            data = shot_to_json(self._shot, depth, self.plan.camera, self.settings)
            self._take = Take.create(takes.next_folder(self._folder), data)
        if self._written < self.total:
            frame = self._shot.frames[self._written]
            takes.write_atomic(self._take.folder / depth_name(frame), write_channel(self._shot.depth.z[self._written]))
            self._written += 1
            return False
        self.job = session.submit(self._take, self._shot, self.settings, self.scene_name)
        return True

    def close(self) -> None:
        """Remove the stand-in scene, and the take if it never became a job.  Safe to call twice."""
        if self._extraction is not None:
            self._extraction.close()
        if self.job is None and self._take is not None:
            self._take.discard()
            self._take = None

    def _await_backend(self) -> None:
        """Read nothing from the scene before somebody is there to send it to.  Raises FarplaneError when nobody is."""
        session.poll()
        if session.connection == "connected":
            check_model(Connected(session.models, session.version), self.settings)
            scene = bpy.data.scenes.get(self.scene_name)
            if scene is None:
                raise FarplaneError("scene", f"{self.scene_name} is gone", "Start again")
            self._extraction = Extraction(scene, self.plan, self._prompt, plate_size(scene))
        elif session.connection == "disconnected" and session.problem is not None:
            raise FarplaneError("backend", session.problem.text, session.problem.remedy)
        elif time.monotonic() > self._deadline:
            raise FarplaneError("backend", "it does not answer", "Look at the Backend panel")


def current_plan(scene: bpy.types.Scene) -> ShotPlan:
    """The shot at the current frame, the first one outside all of them.  Raises FarplaneError."""
    plans = plan_shots(scene)
    inside = [plan for plan in plans if plan.frames[0] <= scene.frame_current <= plan.frames[-1]]
    return (inside or list(plans))[0]


def plate_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """The (W, H) to render: of the model's own sizes the one nearest to the scene's shape, or the scene's own."""
    width, height = scene_resolution(scene)
    asked: ShotProperties = scene.farplane
    model = next((m for m in session.models if m.name == (asked.model or RenderSettings.model)), None)
    if asked.size == "SCENE" or model is None or not model.sizes:
        return width, height
    render = scene.render
    shape = width * render.pixel_aspect_x / (height * render.pixel_aspect_y)
    return min(model.sizes, key=lambda size: max(shape * size[1] / size[0], size[0] / size[1] / shape))
