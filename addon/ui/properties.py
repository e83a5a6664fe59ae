"""What the artist sets for a shot, kept in the scene."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import EnumProperty, IntProperty, PointerProperty, StringProperty

from ...protocol.shot import RenderSettings
from .session import session

LANDING_KINDS = (
    ("background", "Background", "Behind the camera in the viewport", "CAMERA_DATA", 1),
    (
        "projection",
        "Projection",
        "On the selected meshes, or on all of them, seen through the camera",
        "MOD_UVPROJECT",
        2,
    ),
    ("compositor", "Compositor", "Behind the render, combined with it by depth", "NODE_COMPOSITING", 4),
    ("strip", "Strip", "In the scene's video sequencer", "SEQUENCE", 8),
)

# Blender frees the texts of a dynamic enum unless Python holds them.
_model_items: list[tuple[str, str, str]] = []


def _models(self: Any, context: Any) -> list[tuple[str, str, str]]:
    """The backend's models, ready ones first; the default alone while there is no connection."""
    names = [
        (m.name, m.name, m.title if m.state == "ready" else f"{m.title}. Its weights are missing on the backend")
        for m in sorted(session.models, key=lambda model: model.state != "ready")
    ]
    chosen = self.model_name
    if chosen not in [name for name, *_ in names]:
        names.insert(0, (chosen, chosen, "Chosen for this scene"))
    _model_items[:] = names
    return _model_items


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
            ("MODEL", "Model's Best", "The size that the model renders best, nearest to the scene's shape"),
            ("SCENE", "Scene", "The scene's own resolution"),
        ),
    )
    kinds: EnumProperty(  # type: ignore[valid-type]
        name="Land As",
        description="How a take is put into the scene",
        items=LANDING_KINDS,
        options={"ENUM_FLAG"},
        default={"background"},
    )


def register() -> None:
    """Register Scene.farplane."""
    bpy.utils.register_class(Shot)
    bpy.types.Scene.farplane = PointerProperty(type=Shot)


def unregister() -> None:
    """Remove it; what it held stays in the file."""
    del bpy.types.Scene.farplane
    bpy.utils.unregister_class(Shot)
