"""The add-on's preferences, and what the rest of the interface reads from them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty

from ...protocol.errors import FarplaneError
from .translations import say

# The extension's package: `bl_ext.user_default.farplane` in Blender, `farplane` where it was installed by pip.
PACKAGE = (__package__ or "").rsplit(".addon", 1)[0]
_ADDRESS = re.compile(r"tcp://(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})")


@dataclass(frozen=True)
class Settings:
    """Where the backend is and who the artist is.  Empty texts mean: the backend of this machine, the default."""

    address: str = ""
    server_key: str = ""
    config_folder: str = ""
    executable: str = ""
    author: str = ""

    @property
    def config(self) -> Path | None:
        """The configuration folder, None for the platform's own."""
        return Path(bpy.path.abspath(self.config_folder)) if self.config_folder else None


def _reconnect(self: Any, context: Any) -> None:
    """A changed address takes effect at once."""
    from .session import session

    session.disconnect()


class FarplanePreferences(bpy.types.AddonPreferences):
    """Shown under Preferences > Add-ons > Farplane."""

    bl_idname = PACKAGE

    address: StringProperty(  # type: ignore[valid-type]
        name="Backend",
        description="Address of a backend on another machine, as tcp://host:port. Empty uses the one on this machine",
        update=_reconnect,
    )
    server_key: StringProperty(  # type: ignore[valid-type]
        name="Backend Key",
        description="The backend's public key, 40 characters. Pair with Backend fills it in",
        update=_reconnect,
    )
    config_folder: StringProperty(  # type: ignore[valid-type]
        name="Keys Folder",
        description="Folder of this user's keys. Empty uses the system's own place for settings",
        subtype="DIR_PATH",
        update=_reconnect,
    )
    executable: StringProperty(  # type: ignore[valid-type]
        name="Farplane Program",
        description="The 'farplane' program that runs the local backend, or its folder. Empty searches the PATH",
        subtype="FILE_PATH",
    )
    author: StringProperty(  # type: ignore[valid-type]
        name="Author",
        description="Name written beside accepted and rejected takes. Empty uses the login name",
    )

    def draw(self, context: bpy.types.Context) -> None:
        """Who, then this machine's backend, then one elsewhere."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "author")
        layout.separator()
        layout.label(text="This Machine", icon="DESKTOP")
        column = layout.column()
        column.prop(self, "executable")
        column.prop(self, "config_folder")
        layout.separator()
        layout.label(text="Another Machine", icon="NETWORK_DRIVE")
        column = layout.column()
        column.prop(self, "address")
        row = column.row()
        row.active = bool(self.address)
        row.prop(self, "server_key")
        row = column.row(align=True)
        row.operator("farplane.pair", icon="PASTEDOWN")
        row.operator("farplane.unpair", icon="LOOP_BACK")
        if not may_go_online():
            problem, remedy = offline()
            layout.label(text=problem, icon="INTERNET_OFFLINE")
            layout.label(text=remedy, icon="BLANK1")


def settings() -> Settings:
    """Return the preferences, or the defaults where the add-on is not enabled as one (bpy scripts, tests)."""
    kept = held()
    if kept is None:
        return Settings()
    return Settings(
        kept.address.strip(), kept.server_key.strip(), kept.config_folder, kept.executable, kept.author.strip()
    )


def held() -> Any:
    """Return the FarplanePreferences that Blender keeps, or None where the add-on is not enabled as one."""
    preferences = bpy.context.preferences
    addon = preferences.addons.get(PACKAGE) if preferences else None
    kept = addon.preferences if addon else None
    return kept if hasattr(kept, "server_key") else None


def use_backend(address: str, server_key: str) -> None:
    """Use the backend with this address and public key from now on; the one of this machine if both are empty.

    Raises FarplaneError where the add-on is not enabled as one.
    """
    kept = held()
    if kept is None:
        raise FarplaneError("preferences", "the add-on is not enabled", "Enable it under Preferences > Add-ons")
    kept.address, kept.server_key = address, server_key
    bpy.context.preferences.is_dirty = True  # saved with the others when Blender closes


def may_go_online() -> bool:
    """Whether the chosen backend may be spoken to: one on another machine needs Blender's online access."""
    address = settings().address
    return bpy.app.online_access or not address or is_loopback(address)


def offline() -> tuple[str, str]:
    """Why another machine may not be spoken to: (problem, remedy)."""
    if bpy.app.online_access_override:
        return say("Blender was started in offline mode"), say("Start it without --offline-mode")
    return say("Blender's online access is off"), say("Allow it under Preferences > System > Network")


def is_loopback(address: str) -> bool:
    """Whether `tcp://host:port` stays on this machine."""
    match = _ADDRESS.fullmatch(address)
    if not match:
        return False
    host = match[1].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(chosen: Settings) -> None:
    """Raise FarplaneError for an address that is none, or one that Blender's online access forbids."""
    if not chosen.address:
        return
    match = _ADDRESS.fullmatch(chosen.address)
    if not match or not 0 < int(match[2]) < 65536:
        raise FarplaneError("backend", f"{chosen.address} is no address", "Write it as tcp://host:port")
    if not is_loopback(chosen.address) and not bpy.app.online_access:
        raise FarplaneError("backend", *offline())


CLASSES = (FarplanePreferences,)
