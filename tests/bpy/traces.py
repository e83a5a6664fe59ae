"""What an add-on can leave behind in Blender, as values to compare: before it was registered and after it has gone."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import bpy
import bpy.utils.previews


def traces(package: str) -> dict[str, Any]:
    """Everything in this Blender that a package could have added to, by kind.

    package : its name; functions of its modules are looked for among timers and handlers.
    """
    return {
        "types": sorted(dir(bpy.types)),
        "classes": sorted(cls.__name__ for cls in registered_classes() if cls.__module__.startswith(package)),
        "operators": sorted(f"{group}.{name}" for group in dir(bpy.ops) for name in dir(getattr(bpy.ops, group))),
        "properties": {name: sorted(getattr(bpy.types, name).bl_rna.properties.keys()) for name in ID_TYPES},
        "attributes": {name: sorted(vars(getattr(bpy.types, name))) for name in ID_TYPES},
        "handlers": {
            name: [f"{f.__module__}.{f.__name__}" for f in getattr(bpy.app.handlers, name)]
            for name in dir(bpy.app.handlers)
            if isinstance(getattr(bpy.app.handlers, name), list)
        },
        "timers": sorted(f.__name__ for f in functions(package) if bpy.app.timers.is_registered(f)),
        "handles": handles(package),
        "previews": len(bpy.utils.previews._uuid_open),
        "keys": [
            item.idname
            for config in bpy.context.window_manager.keyconfigs
            for keymap in config.keymaps
            for item in keymap.keymap_items
            if "farplane" in item.idname
        ],
        "menus": {
            name: [f.__name__ for f in getattr(getattr(bpy.types, name).draw, "_draw_funcs", ())]
            for name in dir(bpy.types)
            if hasattr(getattr(getattr(bpy.types, name), "draw", None), "_draw_funcs")
        },
        "translated": is_translated(package),
        "threads": sorted(thread.name for thread in threading.enumerate() if "farplane" in thread.name),
        "data": {
            name: len(getattr(bpy.data, name))
            for name in dir(bpy.data)
            if isinstance(getattr(bpy.data, name), bpy.types.bpy_prop_collection)
        },
    }


ID_TYPES = ("Scene", "Object", "Camera", "Image", "WindowManager", "Screen", "World", "Material", "Text", "ID")


def registered_classes() -> list[type]:
    """Every Python class that Blender knows."""
    bases = (
        bpy.types.Operator, bpy.types.Panel, bpy.types.PropertyGroup, bpy.types.AddonPreferences, bpy.types.UIList,
        bpy.types.Menu, bpy.types.Header,
    )  # fmt: skip
    found: list[type] = []
    waiting: list[type] = [*bases]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            if getattr(cls, "is_registered", False):
                found.append(cls)
    return found


def functions(package: str) -> list[Callable[..., Any]]:
    """The functions of the package's modules."""
    modules = [module for name, module in sys.modules.items() if name.startswith(package)]
    return [value for module in modules for value in vars(module).values() if isinstance(value, types.FunctionType)]


def handles(package: str) -> int:
    """How many of Blender's handles the package's modules hold: drawing callbacks, commands of `blender -c`."""
    modules = {name: module for name, module in sys.modules.items() if name.startswith(package)}
    held = [value for module in modules.values() for value in vars(module).values()]
    held += [item for value in held if isinstance(value, (list, tuple)) for item in value]
    return sum(type(value).__name__ == "PyCapsule" for value in held)


def is_translated(package: str) -> bool:
    """Whether Blender holds a dictionary of the package: it refuses a second one of the same name."""
    domain = f"{package}.addon.ui.translations"
    try:
        bpy.app.translations.register(domain, {})
    except ValueError:
        return True
    bpy.app.translations.unregister(domain)
    return False
