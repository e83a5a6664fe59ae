"""Depth, base colours and beauty of the artist's scene, rendered from a stand-in copy of it.

Nothing of the artist's is changed and put back: the scene is copied (its objects and collections are shared, its
settings are not), the copy gets a camera of our own and every setting a pass needs, and is removed at the end.  So
there is nothing to restore after an error, a cancel or a crash.  docs/decisions/stand-in-scene.md says what was
measured.

Legend: H rows, W columns; row 0 is the top of the image; pixel centres lie at +0.5.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..protocol.errors import FarplaneError
from . import evaluation, left_out, scope
from .base_colour import base_colours
from .camera import CameraView, Frame, intrinsics_of
from .exr import read_passes
from .materials import only_cycles_shows
from .pass_settings import prepare_cycles_beauty, prepare_cycles_depth, prepare_workbench, set_file_space
from .shader_edits import UNTOLD, mark_untold, only_solid, without_volumes

Engine = Literal["AUTO", "CYCLES", "BLENDER_WORKBENCH"]
Pass = Literal["read", "depth", "surface", "beauty"]
Surface = tuple[NDArray[np.float32], NDArray[np.uint8]]  # depth and base colours

# A leading dot keeps the datablocks out of Blender's own lists while they exist.
PREFIX = ".farplane pass"
_NO_HIT = 1e9  # Blender writes 1e10 where nothing is hit
_BEAUTY_BOUNCES = 4
_FAR, _MANY_BOUNCES = 1e7, 1024  # a clip end that nobody models beyond, in units; Cycles' own most
# What a surface sends back by its diffuse, glossy and transmissive closures; the later names are those until 4.5.
_SHARES = (("Diffuse Color", "DiffCol"), ("Glossy Color", "GlossCol"), ("Transmission Color", "TransCol"))
# How the channels' names end that are read of a render.
_DEPTH = (".Depth.Z",)
_BEAUTY = tuple(f".Combined.{channel}" for channel in "RGB")
_INDEX = ("Material Index", "IndexMA")  # as it is called since 5.0, and until then
_SURFACE = (
    *_DEPTH,
    *(f".{name}.X" for name in _INDEX),
    *(f".{name}.{channel}" for names in _SHARES for name in names for channel in "RGB"),
    *(f".{name}.{channel}" for name in ("Normal", "Position") for channel in "XYZ"),
)

_in_blender = [0.0, 0.0]  # seconds on the clock, and of them the main thread's own work


@contextmanager
def blenders_own() -> Iterator[None]:
    """Count the time within as Blender's: its renders and its evaluation of a frame."""
    began, worked = time.perf_counter(), time.thread_time()
    try:
        yield
    finally:
        _in_blender[0] += time.perf_counter() - began
        _in_blender[1] += time.thread_time() - worked


def seconds_in_blender() -> tuple[float, float]:
    """Seconds that were Blender's own, as far as they were counted: on the clock, and the main thread's work in them."""
    return _in_blender[0], _in_blender[1]


class PassRenderer:
    """Renders passes of `scene` at width x height: the scene's own frame from edge to edge, whatever its resolution.

    Use it as a context manager, or call `close()` in every case: that removes all it made.
    """

    def __init__(
        self,
        scene: bpy.types.Scene,
        width: int,
        height: int,
        engine: Engine = "AUTO",
        frame: Frame | None = None,
    ) -> None:
        """frame : what is shown; None takes what the scene renders just now."""
        remove_leftovers()
        self.width, self.height = width, height
        self._engines = _depth_engines(scene) if engine == "AUTO" else [engine]
        self._pass: Pass | None = None
        self._frame = 0  # the one to render
        self._had_result = "Render Result" in bpy.data.images
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="farplane-"))
        except OSError as error:
            raise FarplaneError(
                "output", "there is no room for temporary files", "Free some space for temporary files"
            ) from error
        try:
            self.scene = _copy_scene(scene, width, height, frame or Frame.of(scene.render))
            self._foreground = left_out.uids(scene)
            self._layers = _name_layers(self.scene, [layer.name for layer in scope.used_layers(scene)])
            self._use_volumes = [layer.use_volumes for layer in scene.view_layers]
            self._sky, self._device, self._bounces = scene.world, "CPU", _BEAUTY_BOUNCES
            if hasattr(scene, "cycles"):
                self._device = scene.cycles.device
                self._bounces = min(scene.cycles.max_bounces, _BEAUTY_BOUNCES)
            self._camera = _make_camera(self.scene)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> PassRenderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove every datablock and file this renderer made; safe to call twice.

        During a render of the artist's the datablocks stay, for the timer to remove (ui/panels.py): its thread goes
        through the file's lists, and Blender crashes when something is taken out of them meanwhile.
        """
        shutil.rmtree(self._folder, ignore_errors=True)
        if is_rendering():
            return
        remove_leftovers()
        result = bpy.data.images.get("Render Result")
        if result is not None and not self._had_result and not _is_looked_at(result):
            bpy.data.images.remove(result)

    def keep_result(self) -> None:
        """Leave Blender's Render Result at the end: the artist has rendered meanwhile."""
        self._had_result = True

    def use_own_camera(self) -> None:
        """Look through our own camera from now on, no longer through the one the stand-in inherited."""
        self.scene.camera = self._camera

    def read(self, frame: int, look: evaluation.Look) -> None:
        """Call `look` with what a render of this frame evaluates, once for each view layer; what it raises is raised."""
        self._prepare("read")
        self._frame = frame
        with evaluation.shown_to(look):
            self._render_frame()

    def depth(self, view: CameraView) -> NDArray[np.float32]:
        """Return [H, W] float32 depth along the camera's axis in Blender units, inf where nothing is hit.

        Objects hidden from rendering are not in it; of several view layers the nearest surface counts.
        """
        while True:
            try:
                self._prepare("depth")
                self._aim(view)
                found = self._render(_DEPTH)
                nearest = np.min([_depth(found, layer) for layer in self._layers], axis=0)
                break
            except RuntimeError as error:  # this build or machine cannot run the engine: try the next one
                self._engines.pop(0)
                self._pass = None
                if not self._engines:
                    raise FarplaneError(
                        "depth", f"Blender could not render it: {_one_line(error)}", "Enable Cycles in the preferences"
                    ) from error
        return _without_sky(nearest, view)

    def surface(self, view: CameraView) -> Callable[[], Surface] | None:
        """Render depth and base colours, by Cycles; return what reads them out of the file, in any thread.

        Both are of the same ray through the pixel's centre: depth as `depth` gives it, base colours [H, W, 4] uint8
        (base_colour.py).  None where Cycles cannot run.
        """
        try:
            self._prepare("surface")
            self._aim(view)
            path = self._render_file()
            mine = path.with_name(f"read {path.name}")  # the next frame's may have the same name
            return partial(_surface_of, path.replace(mine), tuple(self._layers), view)
        except RuntimeError:
            self._pass = None
            return None

    def without_limits(self, view: CameraView) -> NDArray[np.float32]:
        """Return [H, W] depth as the last pass has it, were there no clip end and no bound to transparent surfaces."""
        cycles, limits = getattr(self.scene, "cycles", None), 0
        self._aim(replace(view, clip_end=max(_FAR, 10 * view.clip_end)))
        if cycles is not None:
            limits, cycles.transparent_max_bounces = cycles.transparent_max_bounces, _MANY_BOUNCES
        try:
            found = self._render(_DEPTH)
        finally:
            if cycles is not None:
                cycles.transparent_max_bounces = limits
        nearest = np.min([_depth(found, layer) for layer in self._layers], axis=0)
        return np.where(nearest >= _NO_HIT, np.float32(np.inf), nearest)

    def beauty(self, view: CameraView, samples: int = 16) -> NDArray[np.float32]:
        """Return [H, W, 3] float32 scene-linear Rec.709: the blockout itself, by Cycles, denoised where it can."""
        try:
            self._prepare("beauty")
            self.scene.cycles.samples = samples
            self._aim(view)
            return np.ascontiguousarray(
                np.moveaxis(_colour(self._render(_BEAUTY), self._layers[0], ("Combined",)), 0, -1)
            )
        except (RuntimeError, TypeError) as error:
            raise FarplaneError(
                "reference", f"Blender could not render it: {_one_line(error)}", "Leave the reference render out"
            ) from error

    # -- one render ----------------------------------------------------------------------------------------------

    def projected(self, frame: Frame) -> NDArray[np.float64]:
        """K [3, 3] in pixels of `frame` as Blender itself projects the lens of the last pass there, a rig's shear aside."""
        matrix = self._camera.calc_matrix_camera(
            self.scene.view_layers[0].depsgraph,
            x=frame.width,
            y=frame.height,
            scale_x=frame.aspect_x,
            scale_y=frame.aspect_y,
        )
        return intrinsics_of(np.array(matrix, np.float64), frame.width, frame.height)

    def _aim(self, view: CameraView) -> None:
        """Put our camera where the artist's was at this frame, to the last bit, shear included."""
        data = self._camera.data
        data.lens = view.lens.focal
        data.sensor_fit = view.lens.sensor_fit
        data.sensor_width, data.sensor_height = view.lens.sensor_width, view.lens.sensor_height
        data.shift_x, data.shift_y = view.lens.shift_x, view.lens.shift_y
        data.clip_start, data.clip_end = view.clip_start, view.clip_end
        # A parent at rest and its inverse matrix carry any 4x4; matrix_world would lose the shear.
        self._camera.matrix_parent_inverse = Matrix(view.matrix_world.tolist())
        self._frame = view.frame
        with blenders_own():
            self.scene.frame_set(view.frame)

    def _render(self, endings: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
        """Render the stand-in at the frame that was aimed at; return [H, W] of channels by name, which end so."""
        return _read_once(self._render_file(), endings)

    def _render_file(self) -> Path:
        """Render the stand-in at the frame that was aimed at; return the file."""
        path = self._folder / f"pass{self._frame:04d}.exr"
        self.scene.render.filepath = str(self._folder / "pass####.exr")
        with evaluation.changed_by(self._change, self.scene):
            self._render_frame()
        if not path.exists():
            raise FarplaneError(
                "output", f"nothing was written to {self._folder}", "Free some space for temporary files"
            )
        return path

    def _render_frame(self) -> None:
        """Have Blender render the stand-in at the frame.

        As an animation of one frame: for a still the operator takes the frame number from the artist's scene.  Not under
        a temp_override, with which Blender under Python 3.11 crashes beside our threads (docs/decisions/random-sequences.md).
        """
        self.scene.frame_start = self.scene.frame_end = self._frame
        with blenders_own():
            bpy.ops.render.render(animation=True, scene=self.scene.name)

    def _change(self, depsgraph: bpy.types.Depsgraph) -> None:
        """Change what the render that begins has evaluated, for the pass that it is."""
        left_out.hide(depsgraph, self._foreground)
        if self._pass in ("depth", "surface"):
            without_volumes(depsgraph)
            if self.scene.render.engine == "BLENDER_WORKBENCH":
                only_solid(depsgraph)
        if self._pass == "surface":
            mark_untold(depsgraph)

    # -- settings of the stand-in --------------------------------------------------------------------------------

    def _prepare(self, kind: Pass) -> None:
        """Set the stand-in up for a pass, once per change.  Raises RuntimeError where its engine is not there."""
        if self._pass == kind:
            return
        if kind == "read":
            evaluation.enter()
        try:
            self.scene.render.engine = {"read": evaluation.ENGINE, "depth": self._engines[0]}.get(kind, "CYCLES")
        except TypeError as error:  # an engine whose add-on is off is no value of the enum
            raise RuntimeError(str(error)) from error
        if kind != "read":
            evaluation.leave()
        render = self.scene.render
        _set_size(render, 8, 8) if kind == "read" else _set_size(render, self.width, self.height)
        for layer, use_volumes in zip(self.scene.view_layers, self._use_volumes, strict=True):
            layer.use = layer.name in (self._layers[:1] if kind == "beauty" else self._layers)
            layer.use_volumes = use_volumes and kind == "beauty"
            layer.use_pass_combined = kind in ("read", "beauty")
            layer.use_pass_z = kind in ("depth", "surface")
            for name in ("diffuse_color", "glossy_color", "transmission_color", "normal", "position", "material_index"):
                setattr(layer, f"use_pass_{name}", kind == "surface")
        # What Blender has evaluated, and what Cycles has made of meshes and textures, stays from frame to frame: where
        # there are many, 0.4 s become 0.08.
        keeps = kind in ("read", "surface") and not evaluation.has_other_handlers()
        self.scene.render.use_persistent_data = keeps
        self.scene.world = self._sky if kind == "beauty" else None  # else there is no sky to load or sample
        if kind == "read":
            pass
        elif self.scene.render.engine == "BLENDER_WORKBENCH":
            prepare_workbench(self.scene)
        elif kind == "beauty":
            prepare_cycles_beauty(self.scene.cycles, self._device, self._bounces)
        else:
            prepare_cycles_depth(self.scene.cycles)
        self._pass = kind


def remove_leftovers() -> None:
    """Remove what a renderer made, also one that was killed before it could clean up."""
    scenes, others = _ours(bpy.data.scenes), []
    for blocks in (bpy.data.objects, bpy.data.cameras, bpy.data.collections):
        others += _ours(blocks)
    if scenes and len(scenes) == sum(scene.library is None for scene in bpy.data.scenes):
        bpy.data.scenes.new("Scene")  # the artist deleted the last one of theirs: Blender wants one to stay
    for scene in scenes:
        scene.render.use_persistent_data = False  # frees it
    if bpy.context.window is None:  # `blender -c`: there scenes.remove() looks for a window and crashes
        others += scenes
    else:
        for scene in scenes:
            bpy.data.scenes.remove(scene)
    if others:
        bpy.data.batch_remove(others)  # in one go: for each call Blender looks through the whole file for users
    evaluation.leave()


def _ours(collection: Any) -> list[Any]:
    return [block for block in collection if block.name.startswith(PREFIX)]


def _is_looked_at(image: bpy.types.Image) -> bool:
    """Whether an Image Editor shows it: the artist's own render, made meanwhile."""
    windows = bpy.context.window_manager.windows if bpy.context.window_manager else ()
    spaces = (area.spaces.active for window in windows for area in window.screen.areas)
    return any(space.type == "IMAGE_EDITOR" and space.image == image for space in spaces)


def is_rendering() -> bool:
    """Whether a render of the artist's is under way: a second one beside it is more than Blender can take."""
    return bpy.app.is_job_running("RENDER")


def _depth_engines(scene: bpy.types.Scene) -> list[str]:
    """Engines to try, best first.

    Cycles is the reference: it runs everywhere and knows ray visibility, holdouts and cut-out alpha.  In a window,
    Workbench draws the same depth off screen in a fraction of the time, so it goes first unless the scene uses
    something that only Cycles sees.
    """
    if not scope.is_interface() or only_cycles_shows(scene) or left_out.may_be_repeated(scene):
        return ["CYCLES", "BLENDER_WORKBENCH"]
    return ["BLENDER_WORKBENCH", "CYCLES"]


def _copy_scene(scene: bpy.types.Scene, width: int, height: int, frame: Frame) -> bpy.types.Scene:
    copy = scene.copy()
    copy.name = PREFIX
    left_out.leave_out(copy, scene, PREFIX)
    copy.timeline_markers.clear()  # a marker would swap our camera for its own
    copy.sequence_editor_clear()
    for layer in copy.view_layers:
        for name in list(layer.bl_rna.properties.keys()):
            if name.startswith("use_pass_"):
                setattr(layer, name, name == "use_pass_combined")
    render = copy.render
    aspect = frame.pixels_of((width, height))
    _set_size(render, width, height)
    render.pixel_aspect_x, render.pixel_aspect_y = aspect
    for name in (
        "use_border",
        "use_crop_to_border",
        "use_freestyle",
        "use_motion_blur",
        "use_multiview",
        "use_compositing",
        "use_placeholder",
        "use_sequencer",
        "use_single_layer",
        "use_stamp",
        "film_transparent",
        "use_file_extension",
    ):
        setattr(render, name, False)
    render.use_overwrite = True
    render.dither_intensity = 0.0
    settings = render.image_settings
    if hasattr(settings, "media_type"):  # 5.0
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    if hasattr(settings, "use_exr_interleave"):  # 5.0: one part, without which it cannot write uneven pixel aspects
        settings.use_exr_interleave = True
    settings.color_depth, settings.exr_codec = "32", "NONE"
    set_file_space(settings, "Linear Rec.709")  # of colours; depth is written as it is
    return copy


def _set_size(render: Any, width: int, height: int) -> None:
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100


def _name_layers(scene: bpy.types.Scene, rendered: list[str]) -> list[str]:
    """Give the stand-in's view layers plain short names, which files have room for; return those of the ones in `rendered`."""
    chosen = []
    for index, layer in enumerate(scene.view_layers):
        is_chosen = layer.name in rendered
        layer.name = f"farplane {index}"
        if is_chosen:
            chosen.append(layer.name)
    return chosen


def _make_camera(scene: bpy.types.Scene) -> bpy.types.Object:
    """Our camera, without depth of field or animation of its own, hung on an empty at rest."""
    camera = bpy.data.objects.new(f"{PREFIX} camera", bpy.data.cameras.new(f"{PREFIX} camera"))
    mount = bpy.data.objects.new(f"{PREFIX} mount", None)
    camera.parent = mount
    for block in (camera, mount):
        scene.collection.objects.link(block)
    return camera


def _read_once(path: Path, endings: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
    """What a render's file holds, which is deleted."""
    try:
        return read_passes(path, endings)
    finally:
        path.unlink(missing_ok=True)


def _surface_of(path: Path, layers: tuple[str, ...], view: CameraView) -> Surface:
    """Depth and base colours out of a render's file."""
    found = _read_once(path, _SURFACE)
    depths = np.stack([_depth(found, layer) for layer in layers])
    z = _without_sky(depths.min(axis=0), view)
    diffuse, glossy, transmitted = (
        _of_nearest(depths, [_colour(found, layer, names) for layer in layers]) for names in _SHARES
    )
    normal, place = (
        _of_nearest(depths, [_channels(found, f"{layer}.{name}", "XYZ") for layer in layers])
        for name in ("Normal", "Position")
    )
    index = _of_nearest(depths, [_plane(found, layer, _INDEX) for layer in layers])
    away = place - view.matrix_world[:3, 3].astype(np.float32)[:, None, None]
    lengths = np.sqrt((normal**2).sum(0) * (away**2).sum(0))
    facing = (normal * away).sum(0) / np.maximum(lengths, np.float32(1e-9))
    return z, base_colours(diffuse, glossy, transmitted, facing, np.isfinite(z) & (index != UNTOLD))


def _depth(found: dict[str, NDArray[np.float32]], layer: str) -> NDArray[np.float32]:
    return found[f"{layer}.Depth.Z"]


def _colour(found: dict[str, NDArray[np.float32]], layer: str, names: tuple[str, ...]) -> NDArray[np.float32]:
    """[3, H, W] of a pass that has one of these names."""
    return _channels(found, next(f"{layer}.{name}" for name in names if f"{layer}.{name}.R" in found), "RGB")


def _plane(found: dict[str, NDArray[np.float32]], layer: str, names: tuple[str, ...]) -> NDArray[np.float32]:
    """[H, W] of a pass of one channel that has one of these names."""
    return next(found[f"{layer}.{name}.X"] for name in names if f"{layer}.{name}.X" in found)


def _channels(found: dict[str, NDArray[np.float32]], name: str, channels: str) -> NDArray[np.float32]:
    return np.stack([found[f"{name}.{channel}"] for channel in channels])


def _of_nearest(depths: NDArray[np.float32], values: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """What the view layer with the nearest surface says.  depths : [L, H, W].  values : L times [H, W] or [C, H, W]."""
    if len(values) == 1:
        return values[0]
    nearest = depths.argmin(axis=0)
    picked = np.broadcast_to(nearest, (1, *values[0].shape))
    return np.take_along_axis(np.stack(values), picked, axis=0)[0]


def _without_sky(depth: NDArray[np.float32], view: CameraView) -> NDArray[np.float32]:
    """The same with inf where nothing is hit before the clip end."""
    beyond = (depth >= _NO_HIT) | (depth >= view.clip_end * (1 - 1e-6))
    return np.where(beyond, np.float32(np.inf), depth)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
