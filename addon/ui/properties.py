"""What the artist sets for a shot, kept in the scene."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from ...protocol.events import ModelInfo
from ...protocol.shot import RenderSettings
from . import catalogue
from .translations import say

LANDING_KINDS = (
    ("background", "Background", "Behind the camera in the viewport", "CAMERA_DATA", 1),
    (
        "projection",
        "Projection",
        "On the selected meshes, or on all of them, where the shot's camera saw them",
        "MOD_UVPROJECT",
        2,
    ),
    ("compositor", "Compositor", "The plate with the Foreground and its shadow over it, in F12", "NODE_COMPOSITING", 4),
    ("strip", "Strip", "In the scene's video sequencer", "SEQUENCE", 8),
)

# Blender keeps no copy of a dynamic enum's texts, and asks for them anew between taking them and drawing them: every
# text that was ever given stays as it is.
_given: dict[tuple[str, str, str], tuple[str, str, str]] = {}


def model_label(model: ModelInfo) -> str:
    """Name, size and state, as short as a menu wants it."""
    if model.damaged:
        return say("{} (damaged)", model.name)
    if model.state != "ready":
        return say("{} (not installed)", model.name)
    size = f"{model.size_mb / 1000:.1f} GB" if model.size_mb >= 1000 else f"{model.size_mb:.0f} MB"
    return f"{model.name} ({size})"


def model_trouble(model: ModelInfo) -> str:
    """Why it cannot be used now and what to do, empty when it can."""
    if model.damaged:
        return say("Its files on the backend's machine do not load. Install it there again")
    return "" if model.state == "ready" else say("Its weights are not on the backend's machine")


def _models(self: Any, context: Any) -> list[tuple[str, str, str]]:
    """The backend's models, ready ones first; while there is no connection, as it told them last."""
    told = catalogue.models()
    names = [
        (m.name, model_label(m), ". ".join(text for text in (m.title, model_trouble(m)) if text))
        for m in sorted(told, key=lambda model: model.state != "ready")
    ]
    chosen = self.model_name
    if chosen not in [name for name, *_ in names]:
        names.insert(0, (chosen, *_not_told(chosen, bool(told))))
    return [_given.setdefault(item, item) for item in names]


def _not_told(name: str, asked: bool) -> tuple[str, str]:
    """Label and tooltip of a model that the backend did not name, or was not `asked` for."""
    if asked:
        return say("{} (not offered)", name), say("Chosen for this scene, but the backend does not offer it")
    return name, say("The backend tells its size and state once it is connected")


def _model_index(self: Any) -> int:
    """The place of the chosen name in today's list: the name is kept, not the place."""
    names = [name for name, *_ in _models(self, None)]
    return names.index(self.model_name)


def _choose_model(self: Any, index: int) -> None:
    self.model_name = _models(self, None)[index][0]


# The prompt lies in the scene's own custom properties, where `farplane render` and scripts find it as well.
def _text(key: str) -> dict[str, Any]:
    def read(self: Any) -> str:
        return str(self.id_data.get(key, ""))

    def write(self: Any, value: str) -> None:
        self.id_data[key] = value

    return {"get": read, "set": write}


class Shot(bpy.types.PropertyGroup):
    """Scene.farplane."""

    prompt: StringProperty(  # type: ignore[valid-type]
        name="Prompt",
        description="What the plate should show",
        **_text("farplane_prompt"),
    )
    negative: StringProperty(  # type: ignore[valid-type]
        name="Negative",
        description="What the plate should not show",
        **_text("farplane_negative"),
    )
    model_name: StringProperty(default=RenderSettings.model, options={"HIDDEN"})  # type: ignore[valid-type]
    model: EnumProperty(  # type: ignore[valid-type]
        name="Model",
        description="Which of the backend's models makes the plate",
        items=_models,
        get=_model_index,
        set=_choose_model,
    )
    seed: IntProperty(  # type: ignore[valid-type]
        name="Seed",
        description="The same seed with the same shot gives the same plate",
        min=0,
        max=2**31 - 1,
    )
    seed_locked: BoolProperty(  # type: ignore[valid-type]
        name="Lock Seed",
        description="Keep the seed. Unlocked, each Generate takes another one",
        default=True,
    )
    vary_seed: BoolProperty(  # type: ignore[valid-type]
        name="Vary Seed",
        description="Give each variation another seed, counting up. Off, only the words differ",
    )
    quality: EnumProperty(  # type: ignore[valid-type]
        name="Quality",
        description="How many denoise steps the plate gets",
        items=(
            ("DRAFT", "Draft", "A third of the model's own steps: to judge the prompt and the framing"),
            ("FINAL", "Final", "The model's own number of steps"),
            ("CUSTOM", "Custom", "A number of your own"),
        ),
        default="FINAL",
    )
    steps: IntProperty(  # type: ignore[valid-type]
        name="Steps",
        description="Denoise steps. 0 uses the model's own number",
        min=0,
        max=200,
    )
    size: EnumProperty(  # type: ignore[valid-type]
        name="Size",
        description="Pixels of the plate",
        items=(
            ("MODEL", "Fit to Model", "The size that the model renders best, nearest to the scene's shape"),
            ("SCENE", "Scene", "The scene's own resolution"),
        ),
    )
    use_colours: BoolProperty(  # type: ignore[valid-type]
        name="Use Material Colours",
        description="Tell the backend the base colours of your materials: a red roof stays a roof and red",
        default=True,
    )
    use_sun: BoolProperty(  # type: ignore[valid-type]
        name="Follow the Sun Lamp",
        description="Light the plate from where the scene's sun lamp stands. Off, or without such a lamp, the seed decides",
        default=True,
    )
    folder: StringProperty(  # type: ignore[valid-type]
        name="Takes Folder",
        description="Where takes are kept, one folder a shot. Empty is 'farplane' beside the saved file; // is the file's own folder",
        subtype="DIR_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set(),
    )
    depth_auto: BoolProperty(  # type: ignore[valid-type]
        name="Automatic Range",
        description="Take near and far from the shot's own depth",
        default=True,
    )
    near: FloatProperty(  # type: ignore[valid-type]
        name="Near",
        description="Depth of what counts as nearest, along the camera's axis",
        subtype="DISTANCE",
        default=1.0,
        min=1e-4,
        soft_max=1000.0,
    )
    far: FloatProperty(  # type: ignore[valid-type]
        name="Far",
        description="Depth of what counts as farthest, along the camera's axis. What lies behind it is background",
        subtype="DISTANCE",
        default=100.0,
        min=1e-4,
        soft_max=10000.0,
    )
    kinds: EnumProperty(  # type: ignore[valid-type]
        name="Land As",
        description="How a take is put into the scene",
        items=LANDING_KINDS,
        options={"ENUM_FLAG"},
        default={"background"},
    )


CLASSES = (Shot,)


def register() -> None:
    """Add Scene.farplane."""
    bpy.types.Scene.farplane = PointerProperty(type=Shot)


def unregister() -> None:
    """Remove it; what it held stays in the file."""
    del bpy.types.Scene.farplane
