"""The plate on disk as a Blender image: one sequence datablock per take, every frame shown at its own number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ...protocol.errors import FarplaneError
from .. import takes
from ..exr import is_htj2k

CATCHER = "farplane_catcher"  # 1 on the empty whose instances catch the foreground's shadow (foreground.py)
TAG = "farplane_take"  # custom property on every datablock we make: the landing's id
# Blender's own name first, then what older and studio OCIO configurations call scene-linear Rec.709.
_COLOUR_SPACES = ("Linear Rec.709", "Linear Rec.709 (sRGB)", "lin_rec709_scene", "lin_rec709", "lin_srgb", "Linear")


@dataclass(frozen=True)
class Plate:
    """What lies in a take's folder.  files : by ascending frame number.  id : tags what is made from it in Blender.

    pace : the animation's time that passes in one of the scene's frames; 1 unless its time is stretched.
    """

    id: str
    folder: Path
    files: dict[int, Path]
    pace: float = 1.0

    @property
    def name(self) -> str:
        """Shot and take, as the artist sees them."""
        return f"{self.folder.parent.name}/{self.folder.name}" if self.folder.parent.name else self.folder.name

    @property
    def first(self) -> int:
        """The first frame."""
        return min(self.files)

    @property
    def last(self) -> int:
        """The last frame."""
        return max(self.files)

    def held(self) -> dict[int, int]:
        """Return {timeline frame: frame shown} from first to last; a gap (frame step) shows the frame before it."""
        shown, out = self.first, {}
        for number in range(self.first, self.last + 1):
            shown = number if number in self.files else shown
            out[number] = shown
        return out

    def moment(self, number: int) -> float:
        """Where a key must stand for its value to count from the scene's frame `number` on.

        Blender evaluates animation at the stretched time, frame x pace, in single precision: a key halfway from the
        frame before is passed whatever the rounding.
        """
        return float(number) if self.pace == 1.0 else (number - 0.5) * self.pace


def read_plate(take_folder: Path, identity: str, pace: float = 1.0) -> Plate:
    """Read the folder; pace : as `pace_of` tells it.  Raises FarplaneError if it is missing or holds no plate."""
    folder = Path(take_folder).absolute()
    files = takes.plate_frames(folder)
    if not files:
        raise FarplaneError("take", f"{folder} holds no plate", "Choose the folder with the plate.####.exr files")
    return Plate(identity, folder, files, pace)


def pace_of(scene: bpy.types.Scene) -> float:
    """The animation's time that passes in one frame of the scene: Old over New of its Time Stretching."""
    return scene.render.frame_map_old / scene.render.frame_map_new


def plate_image(plate: Plate) -> bpy.types.Image:
    """Return the take's image sequence, made on first use: linear Rec.709, path relative to a saved .blend."""
    for image in bpy.data.images:
        if image.get(TAG) == plate.id and "farplane_depth" not in image:
            return image
    return load_sequence(plate, plate.files[plate.first], f"Farplane {plate.name}", linear_name)


def load_sequence(plate: Plate, first_file: Path, name: str, colour: Any) -> bpy.types.Image:
    """Load a tagged image sequence; `colour(image)` names its colour space."""
    unreadable = FarplaneError("take", f"{first_file} cannot be read", "Render the take again")
    if is_htj2k(first_file):  # what to do where this Blender cannot read it
        problem = f"{first_file.parent.name} is compressed as HTJ2K, which Blender reads from 5.2 on"
        unreadable = FarplaneError("take", problem, "Generate it again with ZIP, or open the scene in Blender 5.2")
    try:
        image = bpy.data.images.load(str(first_file), check_existing=False)
    except RuntimeError as error:
        raise unreadable from error
    if not all(image.size):  # asking for its size makes Blender read it
        bpy.data.images.remove(image)
        raise unreadable
    image.name = name
    image[TAG] = plate.id
    image.source = "SEQUENCE"
    # After loading: 5.x takes the space from the header, older Blenders a default; neither is left to chance.
    image.colorspace_settings.name = colour(image)
    image.filepath = blend_path(first_file)
    return image


def linear_name(owner: Any) -> str:
    """The name of scene-linear Rec.709 in this Blender's OCIO configuration, for `owner.colorspace_settings`.

    Raises FarplaneError when the configuration has no such space.
    """
    settings = getattr(owner, "colorspace_settings", owner)
    known = settings.bl_rna.properties["name"].enum_items.keys()
    for name in _COLOUR_SPACES:
        if name in known:
            return name
    raise FarplaneError(
        "colour space", "this OCIO configuration has no linear Rec.709", "Use Blender's own, or add `Linear Rec.709`"
    )


def follow(user: Any, animated: bpy.types.ID, path: str, plate: Plate) -> None:
    """Make an image user show frame n's file at frame n, the first before and the last after the shot.

    Blender shows file number clamp(frame - frame_start + 1, 0, duration) + offset.  Where the shot has a frame
    step, the offset is keyed per frame so that a gap holds the frame before it.  Where the scene's time is
    stretched, Cycles counts `frame` in the scene's frames and EEVEE in stretched ones: then the offset alone tells
    the file, in keys that both evaluate alike.

    user : ImageUser, or a compositor's image node.  animated, path : the datablock and path of its frame_offset.
    """
    held = plate.held()
    if plate.pace != 1.0:
        show_only(user, plate.first)
        offsets = {number: shown - 1 for number, shown in held.items()}
    else:
        show_own_numbers(user, plate)
        if all(number == shown for number, shown in held.items()):
            return
        offsets = {number: shown - (number - plate.first) for number, shown in held.items()}
    for number, offset in offsets.items():
        user.frame_offset = offset
        animated.keyframe_insert(path, frame=plate.moment(number))
    hold(animated, path)


def hold(animated: Any, path: str) -> None:
    """Let each key of a property count until the next: Blender goes from one whole number to the next by degrees, too."""
    for curves in curve_collections(animated.animation_data.action):
        for curve in curves:
            if curve.data_path == path:
                for point in curve.keyframe_points:
                    point.interpolation = "CONSTANT"


def show_own_numbers(user: Any, plate: Plate) -> None:
    """Make an image user show frame n's file at frame n, the first before and the last after the shot; gaps are gaps."""
    user.frame_start = plate.first + 1
    user.frame_duration = max(1, plate.last - plate.first)
    user.frame_offset = plate.first
    user.use_cyclic, user.use_auto_refresh = False, True


def show_only(user: Any, number: int) -> None:
    """Make an image user show the file of one frame, whatever frame the scene is at."""
    # from the first frame that Blender has on, the file is 1 + offset
    user.frame_duration, user.frame_start, user.frame_offset = 1, -takes.MAX_FRAME, number - 1
    user.use_cyclic, user.use_auto_refresh = False, True  # or the viewport never learns which file it is


def drop_action(owner: bpy.types.ID) -> None:
    """Remove the animation of a datablock of ours, and its action if nobody else uses it."""
    data = owner.animation_data
    action = data.action if data else None
    owner.animation_data_clear()
    if action is not None and action.users == 0:
        bpy.data.actions.remove(action)


def curve_collections(action: Any) -> list[Any]:
    """The F-curve collections of an action: one before 4.4, one per slot in layered actions."""
    if hasattr(action, "layers"):
        return [bag.fcurves for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
    return [action.fcurves]


def blend_path(path: Path) -> str:
    """Return `path` relative to the saved .blend (``//…``), or absolute where that cannot be."""
    if bpy.data.filepath:
        try:
            return bpy.path.relpath(str(path))
        except ValueError:  # another drive on Windows
            pass
    return str(path)


def absolute(path: str, owner: bpy.types.ID | None = None) -> Path:
    """Undo `blend_path`.  owner : what holds the path; one that is linked counts from its own file."""
    library = owner.library if owner is not None else None
    return Path(bpy.path.abspath(path, library=library)).absolute()


def remove_images(identity: str) -> None:
    """Remove the images of a landing that nothing uses any more."""
    for image in tagged(bpy.data.images, identity):
        if image.users == 0:
            bpy.data.images.remove(image)


def tagged(blocks: Iterable[Any], identity: str) -> list[Any]:
    """Return those of `blocks` that the landing `identity` made."""
    return [block for block in blocks if block.get(TAG) == identity]
