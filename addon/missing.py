"""Files that a scene names and that are not there: textures, libraries, caches, fonts.

Blender renders a missing texture in pink and a missing library as nothing at all, and says neither.  What is looked at
is what the scene uses, by Blender's own map of who uses what: a brush's texture or another scene's is no matter of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import bpy

from .passes import PREFIX

TAKE_TAG = "farplane_take"  # on what we landed ourselves (landing/plate.py)
_SHOWN = 5


@dataclass(frozen=True)
class Wanted:
    """A file that the scene wants.

    what : the kind and the name of the datablock, e.g. "image wood".  path : of the file, absolute; empty where a
    datablock is lost out of a library that is there.
    """

    what: str
    path: str

    def is_missing(self) -> bool:
        """Whether it is not there; asks the disk."""
        return not self.path or not os.path.exists(self.path)

    def __str__(self) -> str:
        return f"{os.path.basename(self.path.rstrip(os.sep))} ({self.what})" if self.path else self.what


def missing(scene: bpy.types.Scene, frames: Iterable[int] = ()) -> list[Wanted]:
    """What the scene wants and is not there, in order of its name; an image sequence is looked for at these frames."""
    return [wanted for wanted in wanted_files(scene, frames) if wanted.is_missing()]


def in_words(found: list[Wanted]) -> str:
    """One line that names them, or an empty text."""
    if not found:
        return ""
    names = ", ".join(str(wanted) for wanted in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{'1 file is' if len(found) == 1 else f'{len(found)} files are'} missing: {names}{more}"


def wanted_files(scene: bpy.types.Scene, frames: Iterable[int] = ()) -> list[Wanted]:
    """Every file that the scene wants, without looking for it; and linked datablocks that their library has lost."""
    numbers = sorted(set(frames)) or [scene.frame_current]
    used = _used_by(scene)
    sequences = dict(_sequences(used, numbers))
    found: set[Wanted] = set()
    for block in used:
        if block.library is not None:
            found |= _libraries(block.library)
        if block.is_missing:
            if block.library is not None and not _is_lost(block.library):
                found.add(Wanted(f"{_kind(block)} {block.name} of {os.path.basename(block.library.filepath)}", ""))
        elif TAKE_TAG not in block:
            for path in _paths(block, numbers, sequences):
                found.add(Wanted(f"{_kind(block)} {block.name}", path))
    return sorted(found, key=lambda wanted: (wanted.path, wanted.what))


def _used_by(scene: bpy.types.Scene) -> list[Any]:
    """All datablocks that the scene needs, directly or through others."""
    uses: dict[Any, set[Any]] = {}
    for block, users in bpy.data.user_map().items():
        for user in users:
            uses.setdefault(user, set()).add(block)
    found: set[Any] = set()
    waiting: list[Any] = [scene]
    while waiting:
        block = waiting.pop()
        if block in found or (block is not scene and block.name.startswith(PREFIX)):
            continue
        found.add(block)
        if not isinstance(block, bpy.types.Scene) or block in (scene, scene.background_set):
            waiting += uses.get(block, ())
    return list(found)


def _kind(block: Any) -> str:
    return block.bl_rna.name.lower() if not isinstance(block, bpy.types.VectorFont) else "font"


def _libraries(library: bpy.types.Library | None) -> set[Wanted]:
    """A library's file, and that of the one it is linked through."""
    found: set[Wanted] = set()
    while library is not None:
        if library.packed_file is None and not getattr(library, "is_archive", False):  # 5.0 packs linked data
            found.add(Wanted("library", _absolute(library.filepath, library.parent)))
        library = library.parent
    return found


def _is_lost(library: bpy.types.Library | None) -> bool:
    """Whether the library itself is missing: then its datablocks need not be named as well."""
    return any(wanted.is_missing() for wanted in _libraries(library))


def _absolute(path: str, library: bpy.types.Library | None) -> str:
    return os.path.normpath(bpy.path.abspath(path, library=library)) if path else ""


# -- the files of one datablock ---------------------------------------------------------------------------------------


def _paths(block: Any, frames: list[int], sequences: dict[Any, set[int]]) -> Iterator[str]:
    """Absolute paths of the files that a datablock reads."""
    if isinstance(block, bpy.types.Image):
        yield from _image_paths(block, sequences.get(block, set()))
    elif isinstance(block, bpy.types.MovieClip):
        if block.source == "MOVIE":
            yield from _path(block, block.filepath)
        else:
            yield from _numbered(
                block, block.filepath, {n - block.frame_start + _number(block.filepath) for n in frames}
            )
    elif isinstance(block, (bpy.types.CacheFile, bpy.types.Volume)):
        if getattr(block, "packed_file", None) is None:
            yield from _path(block, block.filepath)
    elif isinstance(block, bpy.types.VectorFont):
        if block.packed_file is None and block.filepath != "<builtin>":
            yield from _path(block, block.filepath)
    elif isinstance(block, bpy.types.Object):
        for modifier in block.modifiers:
            if modifier.type == "MESH_CACHE" and modifier.show_render:
                yield from _path(block, modifier.filepath)


def _path(block: Any, path: str) -> Iterator[str]:
    if path:
        yield _absolute(path, block.library)


def _image_paths(image: bpy.types.Image, numbers: set[int]) -> Iterator[str]:
    if image.packed_file is not None or len(image.packed_files) > 0 or not image.filepath:
        return
    if image.source == "TILED":
        for tile in image.tiles:
            column, row = (tile.number - 1001) % 10, (tile.number - 1001) // 10
            name = image.filepath.replace("<UDIM>", str(tile.number)).replace("<UVTILE>", f"u{column + 1}_v{row + 1}")
            yield from _path(image, name)
    elif image.source == "SEQUENCE":
        yield from _numbered(image, image.filepath, numbers or {_number(image.filepath)})
    elif image.source in ("FILE", "MOVIE"):
        yield from _path(image, image.filepath)


def _numbered(block: Any, path: str, numbers: set[int]) -> Iterator[str]:
    """The files of a sequence: the last digits of the file's name are its number, filled up to as many digits."""
    head, digits, tail = _split(path)
    if not digits:
        yield from _path(block, path)
        return
    for number in sorted(numbers):
        yield from _path(block, f"{head}{number:0{len(digits)}d}{tail}")


def _split(path: str) -> tuple[str, str, str]:
    """A path before, at and behind the last digits of its file's name."""
    folder = len(path) - len(path.replace("\\", "/").rpartition("/")[2])
    end = len(path)
    while end > folder and not path[end - 1].isdecimal():
        end -= 1
    start = end
    while start > folder and path[start - 1].isdecimal():
        start -= 1
    return path[:start], path[start:end], path[end:]


def _number(path: str) -> int:
    return int(_split(path)[1] or 0)


def _sequences(used: list[Any], frames: list[int]) -> Iterator[tuple[Any, set[int]]]:
    """Which files of an image sequence these frames show, by the settings of each node that has it."""
    found: dict[Any, set[int]] = {}
    for block in used:
        tree: Any = block if isinstance(block, bpy.types.NodeTree) else getattr(block, "node_tree", None)
        for node in tree.nodes if tree is not None else ():
            image, user = getattr(node, "image", None), getattr(node, "image_user", None)
            if image is not None and user is not None and image.source == "SEQUENCE":
                shown = _frame_numbers(user)
                found.setdefault(image, set()).update(shown(frame) for frame in frames)
    yield from found.items()


def _frame_numbers(user: bpy.types.ImageUser) -> Callable[[int], int]:
    """Frame of the scene -> number of the file, as Blender reckons it."""
    length, first, offset, is_cyclic = user.frame_duration, user.frame_start, user.frame_offset, user.use_cyclic

    def number(frame: int) -> int:
        at = frame - first + 1
        if is_cyclic and length > 0:
            at = (at - 1) % length + 1
        return (
            min(max(at, 0), max(length, 1)) + offset
        )  # before its start Blender asks for number 0, which is seldom there

    return number
