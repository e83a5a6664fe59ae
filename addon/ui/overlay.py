"""Pictures over the camera's frame in the viewport: the one that is forming, the depth, two takes side by side.

Nothing of the file is touched: they are drawn, not put into the scene.  A layer is a picture and how it is shown;
its owner (this module for the forming picture, depth_view.py, compare.py) sets it and takes it away.  Pictures are
made in the disk's thread: what is left for the window is to hand them to the graphics card, once each.

Legend: H rows, W columns; row 0 is the top unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ...protocol.errors import FarplaneError
from ..contact import codes_of
from ..png import read_png
from .session import session
from .view import redraw_views

Rectangle = tuple[float, float, float, float]  # x0, y0, x1, y1

MAX_PREVIEW_PIXELS = 1 << 22  # of the picture that is forming
_LABEL_SIZE = 12
_MARGIN = 10


_LEVELS = 1 << 14  # of a display code; a step is under a half-float's own step of light in all but the deepest black


def _decoded() -> NDArray[np.float32]:
    """Linear light of each level: sRGB (IEC 61966-2-1) undone."""
    code = np.linspace(0.0, 1.0, _LEVELS)
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LIGHT = _decoded()


def light_of(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Display codes (sRGB, 0 … 1, any shape) as linear light."""
    levels = np.clip(codes, 0.0, 1.0) * np.float32(_LEVELS - 1) + np.float32(0.5)
    return np.take(_LIGHT, levels.astype(np.intp))


# Before Blender 5.0 the viewport encodes what a script draws on it; since then it takes that for display codes.
_TAKES_CODES = bpy.app.version >= (5, 0, 0)


@dataclass(eq=False)
class Picture:
    """What a layer shows.

    light : [H, W, 4] float32 linear light and opacity, row 0 at the bottom.  drawn : the same as the viewport takes it.
    """

    light: NDArray[np.float32]
    drawn: NDArray[np.float32]
    _texture: Any = field(default=None, repr=False)

    @staticmethod
    def of(light: NDArray[np.float32]) -> Picture:
        """Of linear light [H, W, 3], row 0 at the top; what is over the screen's white is white.  In any thread."""
        made = np.ones((*light.shape[:2], 4), np.float32)
        made[..., :3] = np.clip(np.nan_to_num(light[::-1], nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
        return Picture(made, np.dstack([codes_of(made[..., :3]), made[..., 3]]) if _TAKES_CODES else made)

    @staticmethod
    def of_png(png: bytes) -> Picture:
        """Of a file off the wire.  In any thread; raises FarplaneError."""
        codes = read_png(png, MAX_PREVIEW_PIXELS)[..., :3].astype(np.float32) / 255.0
        return Picture.of(light_of(codes))

    def texture(self) -> Any:
        """The picture on the graphics card; made when it is first drawn: 2 to 8 ms for 768 x 448 pixels."""
        import gpu

        if self._texture is None:
            height, width = self.drawn.shape[:2]
            buffer = gpu.types.Buffer("FLOAT", self.drawn.size, self.drawn.ravel())
            self._texture = gpu.types.GPUTexture((width, height), format="RGBA16F", data=buffer)
        return self._texture


@dataclass
class Layer:
    """One picture in the camera's frame.

    left, right : which part of the frame it covers, 0 … 1.  behind : the scene stays in front of it.
    label : a word in its lower corner.
    """

    picture: Picture
    left: float = 0.0
    right: float = 1.0
    behind: bool = False
    opacity: float = 1.0
    label: str = ""


_layers: dict[str, list[Layer]] = {}
_handles: list[Any] = []
_png: bytes = b""  # the picture that is forming, as far as it was asked for
_unwarmed = [True, False]  # ways to draw, behind the scene and before it, that were not tried yet
_warming: bool | None = None  # the one that the next redraw tries
FORMING = "forming"
_ORDER = (FORMING, "depth", "compare")  # of the owners, from below


def show(owner: str, layers: Sequence[Layer]) -> None:
    """Show these layers in place of what `owner`, one of _ORDER, showed before."""
    if layers:
        _layers[owner] = list(layers)
    else:
        _layers.pop(owner, None)


def shown(owner: str) -> list[Layer]:
    """What `owner` shows."""
    return _layers.get(owner, [])


def part(frame: Rectangle, layer: Layer) -> Rectangle:
    """The part of the camera's frame that a layer covers."""
    x0, y0, x1, y1 = frame
    return x0 + layer.left * (x1 - x0), y0, x0 + layer.right * (x1 - x0), y1


def camera_frame(context: bpy.types.Context) -> Rectangle | None:
    """The camera's frame in the region's pixels; None unless the view looks through a camera."""
    from bpy_extras.view3d_utils import location_3d_to_region_2d

    region, space = context.region, context.space_data
    view = context.region_data
    if region is None or view is None or view.view_perspective != "CAMERA":
        return None
    camera = space.camera if space.use_local_camera else context.scene.camera
    if camera is None or camera.type != "CAMERA":
        return None
    matrix = camera.matrix_world.normalized()
    corners = [location_3d_to_region_2d(region, view, matrix @ c) for c in camera.data.view_frame(scene=context.scene)]
    if any(corner is None for corner in corners):
        return None
    xs, ys = [c.x for c in corners], [c.y for c in corners]
    return min(xs), min(ys), max(xs), max(ys)


# ---- drawing ------------------------------------------------------------------------------------------------


def _current() -> list[Layer]:
    return [layer for owner in sorted(_layers, key=_ORDER.index) for layer in _layers[owner]]


def refresh() -> bool:
    """Show the picture that is forming, if the artist wants it live; return whether anything changed.  In the timer."""
    global _png
    wanted, job = bpy.context.window_manager.farplane, session.job
    png = job.preview if wanted.live != "OFF" and job is not None else b""
    if png != _png:
        _png = png
        if png:
            session.disk.do(lambda: Picture.of_png(png), lambda told: _formed(png, told))
    before = shown(FORMING)
    if not before:
        return _warm()
    layer = before[0]
    if not png:
        show(FORMING, [])
        return True
    as_wanted = wanted.live == "BACK", wanted.opacity
    if (layer.behind, layer.opacity) == as_wanted:
        return False
    layer.behind, layer.opacity = as_wanted
    return True


def _formed(png: bytes, told: Any) -> None:
    """The thread has read a picture: shown unless another one is wanted by now.  One that is none is left out."""
    if png == _png and not isinstance(told, FarplaneError):
        wanted = bpy.context.window_manager.farplane
        show(FORMING, [Layer(told, behind=wanted.live == "BACK", opacity=wanted.opacity)])
        redraw_views()


def _warm() -> bool:
    """Somebody looks at the panel: have Blender compile what drawing a picture needs, one way of it per tick.

    With a software renderer that takes 40 ms once, as much as all the rest of a first picture.
    """
    global _warming
    if _warming is not None or not _unwarmed or not session.wanted:
        return False
    _warming = _unwarmed.pop()
    return True


def _draw_behind() -> None:
    _draw([layer for layer in _current() if layer.behind], behind=True)


def _draw_in_front() -> None:
    _draw([layer for layer in _current() if not layer.behind], behind=False)


def _draw(layers: list[Layer], *, behind: bool) -> None:
    global _warming
    context = bpy.context
    frame = camera_frame(context) if layers else None
    if _warming == behind:  # a pixel that nobody sees
        nothing = np.zeros((1, 1, 4), np.float32)
        layers, frame = [Layer(Picture(nothing, nothing))], (0.0, 0.0, 1.0, 1.0)
        _warming = None
    if frame is None:
        return
    import gpu

    size = context.region.width, context.region.height
    gpu.state.blend_set("ALPHA")
    gpu.state.depth_test_set("LESS_EQUAL" if behind else "NONE")
    gpu.state.depth_mask_set(False)
    with gpu.matrix.push_pop(), gpu.matrix.push_pop_projection():
        gpu.matrix.load_identity()
        gpu.matrix.load_projection_matrix(_pixels(size))
        for layer in layers:
            _draw_layer(layer, part(frame, layer), depth=-0.99999 if behind else 0.0)
        if not behind:
            _draw_marks(frame, layers)
    gpu.state.depth_test_set("NONE")
    gpu.state.blend_set("NONE")


def _pixels(size: tuple[int, int]) -> Any:
    """A projection from the region's pixels, z from 1 (near) to -1 (far)."""
    from mathutils import Matrix

    width, height = size
    return Matrix(((2 / width, 0, 0, -1), (0, 2 / height, 0, -1), (0, 0, -1, 0), (0, 0, 0, 1)))


def _draw_layer(layer: Layer, where: Rectangle, depth: float) -> None:
    import gpu
    from gpu_extras.batch import batch_for_shader

    x0, y0, x1, y1 = where
    if x1 - x0 < 1:
        return
    shader = gpu.shader.from_builtin("IMAGE_COLOR")
    positions = [(x0, y0, depth), (x1, y0, depth), (x1, y1, depth), (x0, y1, depth)]
    corners = [(layer.left, 0), (layer.right, 0), (layer.right, 1), (layer.left, 1)]
    batch = batch_for_shader(shader, "TRI_FAN", {"pos": positions, "texCoord": corners})
    shader.bind()
    shader.uniform_sampler("image", layer.picture.texture())
    shader.uniform_float("color", (1.0, 1.0, 1.0, layer.opacity))
    batch.draw(shader)


def _draw_marks(frame: Rectangle, layers: list[Layer]) -> None:
    """A line where two layers meet, and their labels."""
    import blf
    import gpu
    from gpu_extras.batch import batch_for_shader

    for layer in layers:
        x0, y0, x1, y1 = part(frame, layer)
        if layer.left > 0:
            shader = gpu.shader.from_builtin("UNIFORM_COLOR")
            batch = batch_for_shader(shader, "LINES", {"pos": [(x0, y0, 0), (x0, y1, 0)]})
            shader.uniform_float("color", (1.0, 1.0, 1.0, 0.9))
            batch.draw(shader)
        if layer.label:
            blf.size(0, _LABEL_SIZE)
            width, _ = blf.dimensions(0, layer.label)
            if width + 2 * _MARGIN < x1 - x0:
                x = x0 + _MARGIN
                blf.enable(0, blf.SHADOW)
                blf.shadow(0, 5, 0, 0, 0, 1)
                blf.color(0, 1, 1, 1, 1)
                blf.position(0, x, y0 + _MARGIN, 0)
                blf.draw(0, layer.label)
                blf.disable(0, blf.SHADOW)


def register() -> None:
    """Draw in every 3D view, where there is a window."""
    if not bpy.app.background:
        add = bpy.types.SpaceView3D.draw_handler_add
        _handles.append(add(_draw_behind, (), "WINDOW", "POST_VIEW"))
        _handles.append(add(_draw_in_front, (), "WINDOW", "POST_PIXEL"))


def unregister() -> None:
    """No longer."""
    global _png, _warming
    _layers.clear()
    _png, _warming = b"", None
    _unwarmed[:] = [True, False]
    while _handles:
        bpy.types.SpaceView3D.draw_handler_remove(_handles.pop(), "WINDOW")
