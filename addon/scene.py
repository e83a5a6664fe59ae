"""A Blender scene to Shots: which cameras over which frames, and the step-by-step extraction of one of them.

The window's modal operator and the command line drive the same `Extraction`, one frame per `step()`.
"""

from __future__ import annotations

import math
import re
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..protocol.errors import FarplaneError
from ..protocol.shot import CameraTrack, DepthPass, Prompt, SceneFrame, Shot, validate_frames, validate_resolution
from . import camera as maths
from .materials import has_colours, has_openings
from .notes import Beyond, Note, beyond, depth_notes, scene_notes
from .passes import Engine, PassRenderer, Surface
from .sun import SunTrack

MOMENT = 0.005  # seconds that a step waits for a thread
REFERENCE_SAMPLES = 12  # with the denoiser: a render that the lock reads to 0.03 px, in a third of the time of 32
MAX_FRAME = 1048574  # Blender's own
_LONG = 24  # frames, from which on what is cut off may differ between the ends of a shot
_NO_PROMPT = "none"  # stands in while all the rest of a shot without a prompt is validated


@dataclass(frozen=True)
class ShotPlan:
    """What one Shot will be read from.

    name : the scene's name, or the timeline marker's where the scene has cuts.
    camera : the camera object's name.  frames : absolute frame numbers.
    uid : the camera's session_uid, since a linked one may share its name with a local one; 0 where only the name is known.
    """

    name: str
    camera: str
    frames: tuple[int, ...]
    uid: int = field(default=0, compare=False)


def plan_shots(
    scene: bpy.types.Scene, frames: tuple[int, int] | None = None, camera: bpy.types.Object | None = None
) -> tuple[ShotPlan, ...]:
    """Return one plan per timeline camera marker in the range, or a single one for the scene's active camera.

    frames : first and last frame, both included; without it the scene's own range.  The scene's frame step counts
    from the first frame of the range, as in a render.  camera : this one over the whole range, whatever the markers say.
    A marker whose shot has one frame only is left out; `one_frame_shots` names them.

    Raises FarplaneError when there is no camera, or a shot has too many frames, or none has two.
    """
    first, last = frames or (scene.frame_start, scene.frame_end)
    if last < first:
        raise FarplaneError("frames", f"the range {first}-{last} is empty", "Give the first frame before the last")
    if not 0 <= first <= last <= MAX_FRAME:
        raise FarplaneError("frames", f"{first}-{last} is out of range", f"Move the shot to frames 0 to {MAX_FRAME}")
    numbers = range(first, last + 1, scene.frame_step)
    if camera is not None:
        return (_planned(plain_name(scene.name), camera, tuple(numbers)),)
    cuts = _camera_cuts(scene)
    if not cuts:
        if scene.camera is None:
            raise FarplaneError("camera", "the scene has none", "Add a camera and make it the scene's active one")
        return (_planned(plain_name(scene.name), scene.camera, tuple(numbers)),)
    shots = list(_cut(scene, cuts, numbers))
    plans = [_planned(plain_name(marker.name), marker.camera, inside) for marker, inside in shots if len(inside) > 1]
    if not plans:  # not one shot that could be rendered: say what is wrong with the first
        validate_frames(next((inside for _, inside in shots), ()))
    return _unique(plans)


def one_frame_shots(scene: bpy.types.Scene, frames: tuple[int, int] | None = None) -> tuple[tuple[str, int], ...]:
    """Return (marker, frame) of the camera markers whose shot has one frame only; plan_shots leaves them out."""
    first, last = frames or (scene.frame_start, scene.frame_end)
    shots = _cut(scene, _camera_cuts(scene), range(first, last + 1, scene.frame_step))
    return tuple((marker.name, inside[0]) for marker, inside in shots if len(inside) == 1)


def _cut(
    scene: bpy.types.Scene, cuts: list[bpy.types.TimelineMarker], numbers: range
) -> Iterator[tuple[bpy.types.TimelineMarker, tuple[int, ...]]]:
    """Each marker whose camera is seen at all, and its frames; those before the first marker show its camera, as in Blender."""
    times = {number: _scene_time(scene, number) for number in numbers}
    for index, marker in enumerate(cuts):
        start = marker.frame if index else -math.inf
        stop = cuts[index + 1].frame if index + 1 < len(cuts) else math.inf
        inside = tuple(number for number in numbers if start <= times[number] < stop)
        if inside:
            yield marker, inside


def _scene_time(scene: bpy.types.Scene, frame: int) -> int:
    """The whole frame of the scene's animation that Blender holds against markers: time may be stretched (frame_map_*)."""
    render = scene.render
    return int(np.float32(frame) * np.float32(render.frame_map_old / render.frame_map_new))


def _planned(name: str, camera: bpy.types.Object, frames: tuple[int, ...]) -> ShotPlan:
    _require_perspective(camera)
    validate_frames(frames)
    return ShotPlan(name, camera.name, frames, camera.session_uid)


def plan_camera(scene: bpy.types.Scene, plan: ShotPlan) -> bpy.types.Object:
    """The camera object of a plan.  Raises FarplaneError when it is gone since the plan was made."""
    bound = [marker.camera for marker in _camera_cuts(scene)]
    there = [camera for camera in (scene.camera, *bound, *scene.objects) if camera and camera.type == "CAMERA"]
    named = [camera for camera in there if camera.name == plan.camera]
    for camera in named:
        if camera.session_uid == plan.uid:
            return camera
    if named:  # an undo gives every datablock another uid
        return named[0]
    raise FarplaneError("camera", f"{plan.camera} is gone from {scene.name}", "Choose another camera")


def scene_resolution(scene: bpy.types.Scene) -> tuple[int, int]:
    """Return the (W, H) that Blender would render, percentage included."""
    frame = maths.Frame.of(scene.render)
    return frame.width, frame.height


def scene_fps(scene: bpy.types.Scene) -> Fraction:
    """Return frames a second, exact: fps / fps_base (24 / 1.001 is 24000/1001)."""
    base = Fraction(scene.render.fps_base).limit_denominator(10_000)  # the float32 nearest to 1001/1000 is 1001/1000
    return Fraction(scene.render.fps) / base


def metres_per_unit(scene: bpy.types.Scene) -> float:
    """Return how many metres a Blender unit is in this scene."""
    units = scene.unit_settings
    return 1.0 if units.system == "NONE" else float(units.scale_length)


_open: weakref.WeakSet[Extraction] = weakref.WeakSet()  # those that were not closed yet


def pause_all() -> None:
    """Take every stand-in out of the file, before it is saved; each comes back with its extraction's next step."""
    for extraction in list(_open):
        extraction.pause()


def end_all() -> None:
    """Take every stand-in out of the file for good, before an undo or redo: the next step of each tells it."""
    for extraction in list(_open):
        extraction.end()


class Extraction:
    """Reads one Shot out of a scene, a frame per step: all cameras first, then depth with base colours, then the
    reference render.

    step() until it returns True, then shot().  Call close() in every case (or use it as a context manager): the
    scene is never changed, but a stand-in copy of it lives in the file until then, or until pause() or end().

    Between two steps the artist goes on working, and an undo may free all that Blender has: what is kept from one
    stand-in to the next is numbers, never a datablock.

    scene_notes : what the scene itself tells the artist, a line each (notes.py); `notes()` has what its depth does.
    stage, done, total : where the work stands; stage is "camera", "depth" or "reference".
    """

    def __init__(
        self,
        scene: bpy.types.Scene,
        plan: ShotPlan,
        prompt: Prompt | None = None,
        size: tuple[int, int] | None = None,
        reference: bool = False,
        engine: Engine = "AUTO",
        reference_samples: int = REFERENCE_SAMPLES,
        look: bool = False,
        colours: bool = False,
        sun: bool = True,
    ) -> None:
        """Raises FarplaneError for a frame range, resolution or prompt that no plate can have.

        Without a prompt the shot is only good for being looked at or measured, not for being rendered.
        look : the depth alone is wanted, of one frame, say; no shot comes of it.
        colours : read base colours too, where a material has one that somebody chose.  Cycles then renders them and
            the depth together, whatever `engine` says; where it cannot run, the shot goes without them.
        sun : tell where the scene's sun lamp stands, if it has one.
        """
        if prompt is not None:
            prompt.validate()
        if not look:
            validate_frames(plan.frames)
        self.resolution = size or scene_resolution(scene)
        validate_resolution(*self.resolution)
        self.plan, self.prompt = plan, prompt
        self.fps, self._metres = scene_fps(scene), metres_per_unit(scene)
        self._frame = maths.Frame.of(scene.render)
        self._frame.pixels_of(self.resolution)
        self._blenders_K = np.zeros((len(plan.frames), 3, 3))  # of the scene's own frame
        self._samples = reference_samples
        self._views: list[maths.CameraView] = []
        self._pinholes: list[maths.Pinhole] = []
        self._suns = SunTrack() if sun and not look else None
        self.scene_notes = [] if look else scene_notes(scene)
        self._has_openings = not look and has_openings(scene)
        self._bounces = scene.cycles.transparent_max_bounces if hasattr(scene, "cycles") else 0
        self._probed = set() if look else _probed(len(plan.frames))
        self._beyond: list[Beyond] = []
        width, height = self.resolution
        count = len(plan.frames)
        self._z = np.empty((count, height, width), np.float32)
        self._reference = np.empty((count, height, width, 3), np.float32) if reference else None
        self._colours = np.zeros((count, height, width, 4), np.uint8) if colours and has_colours(scene) else None
        self._reader: ThreadPoolExecutor | None = None  # of a render's file, so that a window waits for Blender alone
        self._reading: Future[Surface] | None = None
        self._steps = [("camera", index) for index in range(count)] + [("depth", index) for index in range(count)]
        self._steps += [("reference", index) for index in range(count)] if reference else []
        self._at = 0
        self.total = count
        self._scene_uid, self._camera_uid = scene.session_uid, plan_camera(scene, plan).session_uid
        self._engine: Engine = engine
        self._passes: PassRenderer | None = None
        self._ended = False
        self._stand_in()
        _open.add(self)

    def __enter__(self) -> Extraction:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def stage(self) -> str:
        """The stage of the frame that comes next."""
        return self._steps[min(self._at, len(self._steps) - 1)][0]

    @property
    def done(self) -> int:
        """Frames of this stage that are finished."""
        return self._steps[self._at][1] if self._at < len(self._steps) else self.total

    @property
    def fraction(self) -> float:
        """Share of all steps that are finished, 0 … 1."""
        return self._at / len(self._steps)

    def step(self) -> bool:
        """Do the next frame, or in a window wait for it a moment; return True once everything is read.

        Raises FarplaneError.
        """
        if self._at == len(self._steps):
            return True
        if self._ended:
            raise _gone()
        stage, index = self._steps[self._at]
        try:
            passes = self._passes or self._stand_in()  # it was paused
            if stage == "camera":
                self._read_camera(passes, index)
            elif stage == "depth":
                if not self._read_depth(passes, index):
                    return False
                self._look_beyond(passes, index)
            elif self._reference is not None:
                self._reference[index] = passes.beauty(self._views[index], self._samples)
        except ReferenceError as error:  # the camera was deleted, or somebody took the stand-in away
            raise _gone() from error
        self._at += 1
        return self._at == len(self._steps)

    @property
    def z(self) -> NDArray[np.float32]:
        """[T, H, W] metres along the camera's axis, inf where nothing is hit; of the frames whose depth was read."""
        return self._z

    def shot(self) -> Shot:
        """Return the validated Shot."""
        assert self._at == len(self._steps), "step() until it returns True"
        near, far = maths.near_far(self._z)
        shot = Shot(
            name=self.plan.name,
            frames=self.plan.frames,
            resolution=self.resolution,
            fps=self.fps,
            camera=CameraTrack(
                np.stack([pinhole.K for pinhole in self._pinholes]),
                np.stack([pinhole.world_from_camera for pinhole in self._pinholes]),
            ),
            depth=DepthPass(self._z, near, far),
            prompt=self.prompt or Prompt(_NO_PROMPT),
            reference=self._reference,
            base_colour=self._told_colours(),
            sun=None if self._suns is None else self._suns.directions(),
            frame=SceneFrame((self._frame.width, self._frame.height), self._frame.pixel_aspect, self._blenders_K),
        ).validate()
        return shot if self.prompt else replace(shot, prompt=Prompt(""))

    def notes(self) -> list[Note]:
        """What the depth read so far tells the artist, a line each."""
        clip_end = self._views[0].clip_end if self._views else 0.0
        return depth_notes(self._beyond, clip_end, self._bounces)

    def keep_result(self) -> None:
        """Leave Blender's Render Result at the end: the artist has rendered meanwhile."""
        if self._passes is not None:
            self._passes.keep_result()

    def pause(self) -> None:
        """Take the stand-in out of the file; the next step makes it anew, from the scene as it then is.

        During a render of the artist's it stays in it until that is over.
        """
        self._reading = None  # its file goes too; that frame is rendered again
        passes, self._passes = self._passes, None
        if passes is not None:
            passes.close()

    def end(self) -> None:
        """Take the stand-in out of the file; the next step, if there is one to do, says so with a FarplaneError."""
        self._ended = True
        self.pause()

    def close(self) -> None:
        """Remove the stand-in; safe to call twice, at any time."""
        _open.discard(self)
        self.pause()
        if self._reader is not None:
            self._reader.shutdown(wait=False)

    def _stand_in(self) -> PassRenderer:
        """Make it from the scene as it is now.  Raises FarplaneError where that, or a camera still to be read, is gone."""
        scene = _with_uid(bpy.data.scenes, self._scene_uid)
        camera = self._camera() if self.stage == "camera" else None
        if scene is None:
            raise _gone()
        for other in _open - {self}:  # a new renderer takes the stand-in of another one for a leftover
            other.pause()
        self._passes = made = PassRenderer(scene, *self.resolution, self._engine, self._frame)
        if camera is not None:
            made.scene.camera = camera
        else:
            made.use_own_camera()
        return made

    def _camera(self) -> bpy.types.Object:
        camera = _with_uid(bpy.data.objects, self._camera_uid)
        if camera is None:
            raise _gone()
        return camera

    def _read_camera(self, passes: PassRenderer, index: int) -> None:
        """Read the camera and the suns of a frame as its render has them."""
        camera, frame = self._camera(), self.plan.frames[index]
        views: list[maths.CameraView] = []

        def look(depsgraph: bpy.types.Depsgraph) -> None:
            views.append(_view(camera.evaluated_get(depsgraph), frame))
            if self._suns is not None:
                self._suns.see(depsgraph, index)

        passes.read(frame, look)
        view = views[0]
        pinhole = maths.pinhole(view.matrix_world, self._frame.intrinsics(view.lens, self.resolution))
        pinhole.world_from_camera[:3, 3] *= self._metres
        self._views.append(view)
        self._pinholes.append(pinhole)

    def _read_depth(self, passes: PassRenderer, index: int) -> bool:
        """Render a frame's depth, with its colours where they are told; whether it is read."""
        if self._reading is None:
            if index == 0:
                passes.use_own_camera()
            read = passes.surface(self._views[index]) if self._colours is not None else None
            if read is None:
                self._colours = None
                z = passes.depth(self._views[index])
                self._keep_projection(index, passes)
                self._keep_depth(index, z)
                return True
            self._keep_projection(index, passes)
            self._reader = self._reader or ThreadPoolExecutor(1, "farplane passes")
            self._reading = self._reader.submit(read)
        try:
            z, colours = self._reading.result(None if bpy.app.background else MOMENT)
        except TimeoutError:
            return False
        except BaseException:
            self._reading = None
            raise
        self._reading = None
        if self._colours is not None:
            self._colours[index] = colours
        self._keep_depth(index, z)
        return True

    def _look_beyond(self, passes: PassRenderer, index: int) -> None:
        """See in some frames what is missing in the depth though there is geometry; where all is filled and solid, nothing."""
        if index in self._probed and (self._has_openings or np.isinf(self._z[index]).any()):
            view, scale = self._views[index], np.float32(self._metres * self._pinholes[index].depth_scale)
            whole = passes.without_limits(view) * scale
            self._beyond.append(beyond(view.frame, self._z[index], whole, float(view.clip_end * scale)))

    def _keep_projection(self, index: int, passes: PassRenderer) -> None:
        """Keep what Blender itself makes of the lens in the scene's frame, which the shot's K is held against."""
        K = passes.projected(self._frame)
        self._blenders_K[index] = maths.pinhole(self._views[index].matrix_world, K).K

    def _keep_depth(self, index: int, z: NDArray[np.float32]) -> None:
        if np.isnan(z).any() or (z <= 0).any():
            raise FarplaneError(
                "depth",
                f"frame {self.plan.frames[index]} holds NaN or nothing in front of the camera",
                "Look for broken geometry or a clip start of zero",
            )
        self._z[index] = z * np.float32(self._metres * self._pinholes[index].depth_scale)

    def _told_colours(self) -> NDArray[np.uint8] | None:
        """Base colours, unless nothing at all is told."""
        return self._colours if self._colours is not None and self._colours[..., 3].any() else None


def _probed(count: int) -> set[int]:
    """Which frames of a shot are looked at once more, without limits: a render each, so few, and one of a short shot."""
    return {0, count // 2, count - 1} if count >= _LONG else {count // 2}


def _with_uid(blocks: Any, uid: int) -> Any:
    """The datablock with this session_uid, which no other gets before Blender ends; None when it is gone."""
    return next((block for block in blocks if block.session_uid == uid), None)


def _gone() -> FarplaneError:
    return FarplaneError("scene", "its camera was deleted or undone while it was read", "Start again")


def read_camera(scene: bpy.types.Scene, camera: bpy.types.Object, frame: int) -> maths.CameraView:
    """Read `camera` as the viewport's dependency graph of `scene` evaluates it at the scene's current frame.

    Raises FarplaneError unless it is a perspective camera with a finite matrix.
    """
    layer = scene.view_layers[0]
    if layer.depsgraph is None:  # a scene that was only just opened
        layer.update()
    return _view(camera.evaluated_get(layer.depsgraph), frame)


def _view(camera: bpy.types.Object, frame: int) -> maths.CameraView:
    """What an evaluated camera shows.  Raises FarplaneError as read_camera does."""
    _require_perspective(camera)
    data = camera.data
    lens = maths.Lens(data.lens, data.sensor_width, data.sensor_height, data.sensor_fit, data.shift_x, data.shift_y)
    matrix = np.array(camera.matrix_world, dtype=np.float64)
    return maths.CameraView(frame, lens, matrix, data.clip_start, data.clip_end)


def _camera_cuts(scene: bpy.types.Scene) -> list[bpy.types.TimelineMarker]:
    """Markers that bind a camera, by frame; Blender passes over cameras that are hidden from rendering."""
    bound = [m for m in scene.timeline_markers if m.camera is not None and not m.camera.hide_render]
    return sorted(bound, key=lambda marker: marker.frame)


def _require_perspective(camera: bpy.types.Object) -> None:
    if camera.type != "CAMERA":
        raise FarplaneError("camera", f"{camera.name} is not a camera", "Make a camera the scene's active one")
    if camera.data.type != "PERSP":
        kind = {"ORTHO": "orthographic", "PANO": "panoramic"}.get(camera.data.type, camera.data.type.lower())
        raise FarplaneError(
            "camera", f"{camera.name} is no perspective camera but {kind}", "Set the camera's lens to Perspective"
        )


def plain_name(name: str) -> str:
    """A name that may be a file's or a shot's: no slashes, no control characters."""
    return re.sub(r"[\x00-\x1f/\\]", "_", name).strip()[:200] or "shot"


def _unique(plans: list[ShotPlan]) -> tuple[ShotPlan, ...]:
    """Number shots whose markers carry the same name."""
    names = [plan.name for plan in plans]
    return tuple(
        replace(plan, name=f"{plan.name} {plan.frames[0]}") if names.count(plan.name) > 1 else plan for plan in plans
    )
