"""Runs inside the GUI Blender: the Backend panel and the preferences in two languages, enabled and disabled twice.

    blender --python backend_drive.py -- FOLDER

FOLDER holds farplane.zip and traces.py; pictures and result.json go there.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import bpy

sys.path.insert(0, sys.argv[sys.argv.index("--") + 1])
from stage import FOLDER, MODULE, picture, play, told, wait


def sidebar(window: Any) -> Any:
    """The 3D view's sidebar, opened."""
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    area.spaces.active.show_region_ui = True
    return next(region for region in area.regions if region.type == "UI")


def work() -> Iterator[None]:
    preferences = bpy.context.preferences
    preferences.view.ui_scale = 1.0
    window = bpy.context.window_manager.windows[0]
    bpy.ops.extensions.package_install_files(
        filepath=str(FOLDER / "farplane.zip"), repo="user_default", enable_on_install=True
    )
    traces = importlib.import_module("traces").traces

    region = sidebar(window)
    yield from wait(1)
    region.active_panel_category = "Farplane"  # can be set only once the region has drawn
    yield from wait(2)
    picture("english")
    held = preferences.addons[MODULE].preferences
    panel = importlib.import_module(f"{MODULE}.addon.ui.backend_panel")
    session = importlib.import_module(f"{MODULE}.addon.ui.session").session
    told["translated"] = {}
    for language in ("en_US", "id_ID"):
        preferences.view.language = language
        preferences.view.use_translate_interface = preferences.view.use_translate_tooltips = True
        told["translated"][language] = [
            panel.say("Connected to {}", "x"),
            bpy.app.translations.pgettext_iface("Start Backend", "Operator"),
            bpy.app.translations.pgettext_tip("Start the backend on this machine. It ends with Blender"),
        ]
        yield from wait(1)
    picture("indonesian")
    held.address, held.server_key = "tcp://192.0.2.1:46347", "0" * 40
    told["online"] = bpy.app.online_access
    yield from wait(3)
    picture("remote")
    told["problem"] = session.problem.text if session.problem else None
    held.address = held.server_key = ""

    preferences.view.language = "en_US"
    bpy.ops.screen.userpref_show(section="ADDONS")
    yield from wait(1)
    bpy.ops.preferences.addon_expand(module=MODULE)
    bpy.context.window_manager.addon_search = "Farplane"
    yield from wait(0.5)
    for area in bpy.context.window_manager.windows[-1].screen.areas:  # 5.2 does not draw it anew by itself
        area.tag_redraw()
    yield from wait(2)
    picture("preferences")
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[-1]):
        bpy.ops.wm.window_close()
    bpy.ops.preferences.addon_disable(module=MODULE)
    yield from wait(0.5)
    clean = traces(MODULE)
    for _ in range(2):
        bpy.ops.preferences.addon_enable(module=MODULE)
        yield from wait(1)
        there = traces(MODULE)
        told["added"] = sorted(kind for kind in clean if clean[kind] != there[kind])
        bpy.ops.preferences.addon_disable(module=MODULE)
        yield from wait(0.5)
        now = traces(MODULE)
        told["left"] = {kind: [clean[kind], now[kind]] for kind in clean if clean[kind] != now[kind]}

    # last of all: Blender cannot survive an add-on that goes while its dialog is open
    bpy.ops.preferences.addon_enable(module=MODULE)
    with bpy.context.temp_override(window=window, area=window.screen.areas[0]):
        bpy.ops.farplane.pair("INVOKE_DEFAULT")
    yield from wait(1)
    picture("pair")
    told["done"] = True


play(work(), lambda: os._exit(0))
