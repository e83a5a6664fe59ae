"""Everything that Blender knows about the open file, as data that can be compared: what a test left behind."""

from __future__ import annotations

import contextlib
from typing import Any

import bpy

_SKIP = {"rna_type", "id_data", "original", "depsgraph", "override_library", "asset_data", "library_weak_reference"}
_SKIP |= {"is_evaluated", "session_uid", "users", "tag", "is_library_indirect", "all_objects", "active", "cursor"}
# an image's pixels, and a mesh's arrays, come into being when somebody first looks
_SKIP |= {"storage_type", "has_data", "size", "depth", "channels", "bindcode", "is_dirty", "pixels", "is_float"}
_SKIP |= {"bl_rna", "filepath", "frame_current", "frame_float", "frame_subframe", "frame_current_final"}
if bpy.app.version < (4, 5, 0):  # 4.2 crashes when ToolSettings.uv_sculpt's brush, palette or curve is read
    _SKIP.add("uv_sculpt")


def dump(struct: Any, depth: int = 0) -> Any:
    """Everything RNA knows about a struct, other datablocks by name."""
    if depth > 7:
        return "…"
    out = {}
    for prop in struct.bl_rna.properties:
        if prop.identifier in _SKIP:
            continue
        try:
            value = getattr(struct, prop.identifier)
        except (AttributeError, RuntimeError):
            continue
        out[prop.identifier] = _value(prop, value, depth)
    if hasattr(struct, "keys"):
        with contextlib.suppress(TypeError):  # a struct that cannot have custom properties
            out["*"] = {key: str(struct[key]) for key in struct.keys()}  # noqa: SIM118
    return out


def _value(prop: Any, value: Any, depth: int) -> Any:
    if prop.type == "POINTER":
        if value is None or (isinstance(value, bpy.types.ID) and not value.is_embedded_data):
            return getattr(value, "name_full", None)
        if isinstance(value, bpy.types.Node | bpy.types.NodeSocket):  # they point to one another
            return value.name
        return dump(value, depth + 1)
    if prop.type == "COLLECTION":
        return [_item(item, depth) for item in value]
    return list(value) if getattr(prop, "is_array", False) else repr(value)


def whole_file() -> dict:
    """Every datablock of the file with all that RNA knows about it."""
    lists = [p.identifier for p in bpy.data.bl_rna.properties if p.type == "COLLECTION"]
    skipped = {"window_managers", "workspaces", "screens", "brushes", "palettes", "libraries"}
    return {
        name: {block.name_full: dump(block) for block in getattr(bpy.data, name) if block.name != "Render Result"}
        for name in lists
        if name not in skipped
    }


def _item(item: Any, depth: int) -> Any:
    if item is None or (isinstance(item, bpy.types.ID) and not item.is_embedded_data):
        return getattr(item, "name_full", None)
    return dump(item, depth + 1)


def changes(before: Any, after: Any = None, path: str = "") -> list[str]:
    """Where the file differs from an earlier `whole_file`, each as `path: before -> after`."""
    after = whole_file() if after is None and not path else after
    if isinstance(before, dict) and isinstance(after, dict):
        keys = list(before) + [key for key in after if key not in before]
        return [
            c for key in keys for c in changes(before.get(key, "absent"), after.get(key, "absent"), f"{path}/{key}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [c for i, (a, b) in enumerate(zip(before, after)) for c in changes(a, b, f"{path}/{i}")]
    return [] if before == after else [f"{path}: {str(before)[:200]} -> {str(after)[:200]}"]
