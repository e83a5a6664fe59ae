"""Presets of the Shot panel, by Blender's own system: files that the artist can copy and share."""

from __future__ import annotations

from typing import Any

import bpy
from bl_operators.presets import AddPresetBase
from bl_ui.utils import PresetPanel

FOLDER = "farplane/shot"


class FARPLANE_MT_shot_presets(bpy.types.Menu):
    """Presets of prompt and settings"""

    bl_label = "Shot Presets"
    preset_subdir = FOLDER
    preset_operator = "script.execute_preset"
    draw = bpy.types.Menu.draw_preset


class FARPLANE_OT_shot_preset_add(AddPresetBase, bpy.types.Operator):
    """Add or remove a preset of prompt, model, colours, size, quality and depth range"""

    bl_idname = "farplane.shot_preset_add"
    bl_label = "Add Shot Preset"
    preset_menu = "FARPLANE_MT_shot_presets"
    preset_subdir = FOLDER
    preset_defines = ["shot = bpy.context.scene.farplane"]
    preset_values = [
        f"shot.{name}"
        for name in (
            "prompt", "negative", "model_name", "use_colours", "use_sun", "size", "quality", "steps", "depth_auto", "near",
            "far", "seed_locked",
        )
    ]  # fmt: skip


class FARPLANE_PT_shot_presets(PresetPanel, bpy.types.Panel):
    """Presets of prompt and settings"""

    bl_label = "Shot Presets"
    preset_subdir = FOLDER
    preset_operator = "script.execute_preset"
    preset_add_operator = "farplane.shot_preset_add"

    def draw(self, context: bpy.types.Context) -> None:
        """Blender's own menu says "* Missing Paths *" before the first one is kept."""
        if bpy.utils.preset_paths(FOLDER):
            PresetPanel.draw(self, context)
            return
        window_manager, layout = context.window_manager, self.layout
        layout.label(text="No presets yet. Name the first one", icon="INFO")
        row = layout.row()
        row.operator_context = "EXEC_DEFAULT"
        row.prop(window_manager, "preset_name", text="")
        row.operator(self.preset_add_operator, text="", icon="ADD").name = window_manager.preset_name


def draw_header(layout: Any) -> None:
    """The button in a panel's header."""
    FARPLANE_PT_shot_presets.draw_panel_header(layout)


CLASSES = (FARPLANE_MT_shot_presets, FARPLANE_OT_shot_preset_add, FARPLANE_PT_shot_presets)
