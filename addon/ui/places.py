"""Where the takes of a scene lie.

A saved file's takes lie beside it, in a folder called ``farplane``, or in the Takes Folder that the scene names.  A file
that was never saved has a folder of its own among this user's Blender files, so that no other file shows its takes;
carrying.py brings them along when it is saved.  The scene keeps in which folders takes of it were made: whatever
happens to the file's name and place, they stay in the list.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from .. import takes
from ..scene import plain_name
from .session import user_folder

BESIDE = "//farplane"  # where the takes of a saved file lie if nobody says otherwise
ROOTS = "farplane_roots"  # on the scene: folders in which takes of it were made, a line each
FOLDER = "farplane_folder"  # on the scene: what its own shot's folder is called
PREFIX = "unsaved "  # of an unsaved file's folder

_home: Path | None = None  # of the open file, while it has takes that were made before it was saved


def root(scene: bpy.types.Scene) -> Path:
    """The folder of the shots' folders, for takes that are made now."""
    chosen: str = scene.farplane.folder.strip()
    if not bpy.data.filepath and (not chosen or chosen.startswith("//")):  # there is nothing yet to lie beside
        return _own_home(scene)
    return Path(bpy.path.abspath(chosen or BESIDE)).absolute()


def shot_folder(scene: bpy.types.Scene, shot_name: str) -> Path:
    """Where new takes of a shot lie.  A scene without cuts keeps the name of its first take's folder when it is renamed."""
    return root(scene) / _name(scene, shot_name)


def places(scene: bpy.types.Scene, shot_name: str) -> tuple[Path, ...]:
    """Where takes of a shot may lie: first where new ones go, then where earlier ones went.  Not all need exist."""
    name = _name(scene, shot_name)
    return tuple(folder / name for folder in roots(scene))


def roots(scene: bpy.types.Scene) -> tuple[Path, ...]:
    """The folders of shots' folders, the one for new takes first."""
    return tuple(dict.fromkeys((root(scene), *kept_roots(scene), *filter(None, [_home]))))


def kept_roots(scene: bpy.types.Scene) -> list[Path]:
    """Those that are written down in the scene."""
    return [Path(line) for line in str(scene.get(ROOTS, "")).splitlines() if line]


def write_roots(scene: bpy.types.Scene, folders: list[Path]) -> None:
    """Write them down anew; none leaves no trace."""
    if folders:
        scene[ROOTS] = "\n".join(str(folder) for folder in dict.fromkeys(folders))
    elif ROOTS in scene:
        del scene[ROOTS]


def keep_folder(scene: bpy.types.Scene, shot_name: str) -> None:
    """Write into the scene where its takes lie, with the first of them."""
    if shot_name == plain_name(scene.name) and FOLDER not in scene:
        scene[FOLDER] = takes.folder_name(shot_name)
    here = root(scene)
    if here not in kept_roots(scene):
        write_roots(scene, [*kept_roots(scene), here])


def homes() -> list[Path]:
    """The folders of takes that were made before the open file was saved."""
    kept = [folder for scene in bpy.data.scenes for folder in kept_roots(scene)]
    inside = user_folder("takes")
    return [h for h in dict.fromkeys([*kept, *filter(None, [_home])]) if h.parent == inside and h.is_dir()]


def _name(scene: bpy.types.Scene, shot_name: str) -> str:
    if shot_name == plain_name(scene.name):
        kept = str(scene.get(FOLDER, ""))
        # A copy of a scene brings its property along, but its takes stay the first one's.
        of_another = any(s != scene and takes.folder_name(plain_name(s.name)) == kept for s in bpy.data.scenes)
        shot_name = kept if kept and not of_another else shot_name
    return takes.folder_name(shot_name)


def _own_home(scene: bpy.types.Scene) -> Path:
    """The unsaved file's own folder: the one it had when Blender recovered it, or a new one."""
    global _home
    inside = user_folder("takes")
    if _home is None:
        kept = [folder for folder in kept_roots(scene) if folder.parent == inside]
        name = f"{PREFIX}{datetime.now():%Y-%m-%d %H-%M-%S} {uuid.uuid4().hex[:4]}"
        _home = kept[-1] if kept else inside / name
    return _home


@persistent
def _forget_home(*_: Any) -> None:
    global _home
    _home = None


def register() -> None:
    """Each file that is opened has a folder of its own."""
    bpy.app.handlers.load_post.append(_forget_home)


def unregister() -> None:
    """No longer."""
    bpy.app.handlers.load_post.remove(_forget_home)
    _forget_home()
