"""Pictures over the camera's frame in the viewport: the one that is forming, the depth, two takes side by side.

Nothing of the file is touched: they are drawn, not put into the scene.  A layer is a picture and how it is shown;
its owner (this module for the forming picture, depth_view.py, compare.py) sets it and takes it away.

Legend: pictures are [H, W, 4] float32 as the screen shows them (sRGB), row 0 at the bottom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from . import thumbnails
from .session import session

Picture = NDArray[np.float32]
Rectangle = tuple[float, float, float, float]  # x0, y0, x1, y1

_LABEL_SIZE = 12
_MARGIN = 10


_LEVELS = 1 << 14  # of a display code; a step is under a half-float's own step of light in all but the deepest black


def _decoded() -> NDArray[np.float32]:
    """Linear light of each level: sRGB (IEC 61966-2-1) undone."""
    code = np.linspace(0.0, 1.0, _LEVELS)
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LIGHT = _decoded()


def linear_of(picture: Picture) -> Picture:
    """Display-coded (sRGB) red, green and blue [H, W, 4] as linear light; the viewport encodes what is drawn on it.

    By a table: the window waits meanwhile, and 768 x 448 powers take 11 ms.
    """
    levels = np.clip(picture, 0.0, 1.0) * np.float32(_LEVELS - 1) + np.float32(0.5)
    out = np.take(_LIGHT, levels.astype(np.intp))
    out[..., 3] = picture[..., 3]
    return out


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
    _texture: Any = field(default=None, repr=False)

    def texture(self) -> Any:
        """The picture on the graphics card; made when it is first drawn."""
        import gpu

        if self._texture is None:
            height, width = self.picture.shape[:2]
            flat = linear_of(np.asarray(self.picture, np.float32)).ravel()
            buffer = gpu.types.Buffer("FLOAT", flat.size, flat)
            self._texture = gpu.types.GPUTexture((width, height), format="RGBA16F", data=buffer)
        return self._texture


_layers: dict[str, list[Layer]] = {}
_handles: list[Any] = []
_forming: tuple[bytes, Any] = (b"", None)  # the picture that is shown live, and how
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


def rgba(rgb: NDArray[Any]) -> Picture:
    """[H, W, 3] with row 0 at the top, as a layer's picture."""
    out = np.ones((*rgb.shape[:2], 4), np.float32)
    out[..., :3] = rgb[::-1]
    return out


def display(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scene-linear to the screen's sRGB, clipped: Blender's Standard view transform."""
    value = np.clip(np.nan_to_num(linear, nan=0.0, posinf=1.0), 0.0, 1.0)
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055).astype(np.float32)


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
    """Show the picture that is forming, if the artist wants it live; return whether that changed.  In the timer."""
    global _forming
    wanted, job = bpy.context.window_manager.farplane, session.job
    png = job.preview if wanted.live != "OFF" and job is not None else b""
    settings = (wanted.live, wanted.opacity)
    if (png, settings) == _forming:
        return False
    before, _forming = _forming[0], (png, settings)
    old = shown(FORMING)
    picture = old[0].picture if old and png == before else thumbnails.read_picture(png) if png else None
    show(FORMING, [] if picture is None else [Layer(picture, behind=wanted.live == "BACK", opacity=wanted.opacity)])
    return True


def _draw_behind() -> None:
    _draw([layer for layer in _current() if layer.behind], behind=True)


def _draw_in_front() -> None:
    _draw([layer for layer in _current() if not layer.behind], behind=False)


def _draw(layers: list[Layer], *, behind: bool) -> None:
    context = bpy.context
    frame = camera_frame(context) if layers else None
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
    shader.uniform_sampler("image", layer.texture())
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
    global _forming
    _layers.clear()
    _forming = (b"", None)
    while _handles:
        bpy.types.SpaceView3D.draw_handler_remove(_handles.pop(), "WINDOW")
