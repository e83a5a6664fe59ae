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
        description="The backend's public key, 40 characters, as printed by 'farplane serve' there",
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
        description="Path of the 'farplane' program that runs the local backend. Empty searches the PATH",
        subtype="FILE_PATH",
    )
    author: StringProperty(  # type: ignore[valid-type]
        name="Author",
        description="Name written beside accepted and rejected takes. Empty uses the login name",
    )

    def draw(self, context: bpy.types.Context) -> None:
        """Two groups: this machine's backend, and one elsewhere."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "author")
        layout.prop(self, "executable")
        layout.prop(self, "config_folder")
        column = layout.column(heading="Remote")
        column.prop(self, "address")
        row = column.row()
        row.active = bool(self.address)
        row.prop(self, "server_key")
        if self.address and not is_loopback(self.address) and not bpy.app.online_access:
            layout.label(text="Online access is off: allow it under System > Network", icon="INTERNET_OFFLINE")


def settings() -> Settings:
    """Return the preferences, or the defaults where the add-on is not enabled as one (bpy scripts, tests)."""
    preferences = bpy.context.preferences
    addon = preferences.addons.get(PACKAGE) if preferences else None
    held: Any = addon.preferences if addon else None
    if held is None or not hasattr(held, "server_key"):
        return Settings()
    return Settings(
        held.address.strip(), held.server_key.strip(), held.config_folder, held.executable, held.author.strip()
    )


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
        raise FarplaneError(
            "backend", "Blender's online access is off", "Allow it under Preferences > System > Network"
        )


CLASSES = (FarplanePreferences,)


def register() -> None:
    """Register the preferences."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Remove them."""
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
