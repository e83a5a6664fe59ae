"""shot.json: what was read from a scene, as plain JSON.  Pure both ways; files are opened at the two ends.

::

    {"version": 1, "name": …, "resolution": [W, H], "fps": [24000, 1001], "near": 0.5, "far": 80.0,
     "prompt": …, "negative": …, "settings": {…},
     "frame": {"resolution": [W, H], "pixel_aspect": 1.0},
     "shots": [{"name": …, "camera": …, "first": 1, "last": 24, "near": …, "far": …}, …],
     "frames": [{"frame": 1, "camera": "Camera", "K": [[…]×3]×3, "world_from_camera": [[…]×4]×4,
                 "depth": "depth.0001.exr", "base_colour": "base_colour.0001.png", "sun": [x, y, z],
                 "frame_K": [[…]×3]×3}, …]}

K is in pixels of the resolution, centres at +0.5; world_from_camera has OpenCV axes, metres.  `depth` is a path
relative to the file, of a float32 EXR with one channel Z: metres along the camera's axis, inf where nothing is hit.
`base_colour`, which a frame need not have, is one of an 8-bit RGBA PNG: what the materials say, in the sRGB curve,
alpha 255 where it is told and 0 where it is not.  `sun`, which all frames have or none, points to the scene's sun.
The outer `frame` and each frame's `frame_K` are there or not together: the scene's own frame, in which the plate lands,
and its K in that frame's pixels as Blender projects (shot.SceneFrame); a plate of any size fills it from edge to edge.
A program may add `notes`, a list of lines on the shot for people; nothing is read from them.
`shots` tells the cuts apart where timeline markers change the camera; near and far hold for one of them, and the
outer near and far for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import FarplaneError
from .shot import CameraTrack, DepthPass, Prompt, RenderSettings, SceneFrame, Shot

VERSION = 1


def depth_name(frame: int) -> str:
    """The file name of a frame's depth: ``depth.0012.exr``."""
    return f"depth.{frame:04d}.exr"


def base_colour_name(frame: int) -> str:
    """The file name of a frame's base colours: ``base_colour.0012.png``."""
    return f"base_colour.{frame:04d}.png"


def shot_to_json(
    shot: Shot, depth_paths: Mapping[int, str] | None = None, camera: str = "", settings: RenderSettings | None = None
) -> dict[str, Any]:
    """Return shot.json for one shot.

    depth_paths : {frame: path relative to the file}; without it the frames carry no files.  Base colours, where the shot
    has them, lie beside the depth by the names of `base_colour_name`.
    camera : the camera object's name.  settings : how it was rendered, if it was.
    """
    return shots_to_json([shot], [camera], depth_paths, settings)


def shots_to_json(
    shots: Sequence[Shot],
    cameras: Sequence[str],
    depth_paths: Mapping[int, str] | None = None,
    settings: RenderSettings | None = None,
    name: str = "",
) -> dict[str, Any]:
    """Return one shot.json for the shots of one scene: the same resolution, rate and prompt, no frame in two."""
    first = shots[0]
    return {
        "version": VERSION,
        "name": name or first.name,
        "resolution": list(first.resolution),
        "fps": [first.fps.numerator, first.fps.denominator],
        "near": min(shot.depth.near for shot in shots),
        "far": max(shot.depth.far for shot in shots),
        "prompt": first.prompt.text,
        "negative": first.prompt.negative,
        **({} if settings is None else {"settings": asdict(settings)}),
        **_frame_of(first),
        "shots": [
            {
                "name": shot.name,
                "camera": camera,
                "first": shot.frames[0],
                "last": shot.frames[-1],
                "near": shot.depth.near,
                "far": shot.depth.far,
            }
            for shot, camera in zip(shots, cameras, strict=True)
        ],
        "frames": [
            {
                "frame": frame,
                "camera": camera,
                "K": shot.camera.K[index].tolist(),
                "world_from_camera": shot.camera.world_from_camera[index].tolist(),
                **({} if shot.sun is None else {"sun": shot.sun[index].tolist()}),
                **({} if shot.frame is None else {"frame_K": shot.frame.K[index].tolist()}),
                **({} if depth_paths is None else _files_of(shot, frame, depth_paths[frame])),
            }
            for shot, camera in zip(shots, cameras, strict=True)
            for index, frame in enumerate(shot.frames)
        ],
    }


def _frame_of(shot: Shot) -> dict[str, Any]:
    if shot.frame is None:
        return {}
    return {"frame": {"resolution": list(shot.frame.resolution), "pixel_aspect": shot.frame.pixel_aspect}}


def _files_of(shot: Shot, frame: int, depth: str) -> dict[str, str]:
    if shot.base_colour is None:
        return {"depth": depth}
    folder, slash, _ = depth.rpartition("/")
    return {"depth": depth, "base_colour": f"{folder}{slash}{base_colour_name(frame)}"}


def shot_names(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the shots in a shot.json, in order.  Raises FarplaneError for a file that is none."""
    try:
        return tuple(str(entry["name"]) for entry in data["shots"])
    except (KeyError, TypeError) as error:
        raise _damaged(error) from error


def shot_frames(data: Mapping[str, Any], name: str | None = None) -> list[dict[str, Any]]:
    """Return the frame entries of the shot `name` (the only one when None).  Raises FarplaneError."""
    entry = _pick(data, name)
    try:
        return [frame for frame in data["frames"] if entry["first"] <= frame["frame"] <= entry["last"]]
    except (KeyError, TypeError) as error:
        raise _damaged(error) from error


def base_colour_paths(frames: Sequence[Mapping[str, Any]]) -> list[str]:
    """The relative paths of the base colours of these frame entries (`shot_frames`), none where the shot has none.

    Raises FarplaneError where some of the frames have them and others do not.
    """
    paths = [str(frame["base_colour"]) for frame in frames if "base_colour" in frame]
    if len(paths) not in (0, len(frames)):
        problem = f"it is damaged: {len(paths)} of {len(frames)} frames have base colours"
        raise FarplaneError("shot.json", problem, "Extract the shot again")
    return paths


def shot_from_json(
    data: Mapping[str, Any],
    z: NDArray[np.float32],
    name: str | None = None,
    base_colour: NDArray[np.uint8] | None = None,
) -> Shot:
    """Return the Shot `name` (the only one when None) with its depth z [T, H, W] in metres and, if it has them, its
    base colours [T, H, W, 4].  Not yet validated: a shot that was only extracted has no prompt.

    Raises FarplaneError for a missing or malformed field.
    """
    entry, frames = _pick(data, name), shot_frames(data, name)
    try:
        width, height = (int(side) for side in data["resolution"])
        numerator, denominator = (int(part) for part in data["fps"])
        return Shot(
            name=str(entry["name"]),
            frames=tuple(int(frame["frame"]) for frame in frames),
            resolution=(width, height),
            fps=Fraction(numerator, denominator),
            camera=CameraTrack(
                np.array([frame["K"] for frame in frames], dtype=np.float64),
                np.array([frame["world_from_camera"] for frame in frames], dtype=np.float64),
            ),
            depth=DepthPass(z, float(entry["near"]), float(entry["far"])),
            prompt=Prompt(str(data.get("prompt", "")), str(data.get("negative", ""))),
            base_colour=base_colour,
            sun=_sun_of(frames),
            frame=_scene_frame(data.get("frame"), frames),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise _damaged(error) from error


def _sun_of(frames: Sequence[Mapping[str, Any]]) -> NDArray[np.float64] | None:
    """[T, 3], None where the frames do not tell it; KeyError where only some do."""
    return np.array([frame["sun"] for frame in frames], np.float64) if any("sun" in frame for frame in frames) else None


def _scene_frame(told: Mapping[str, Any] | None, frames: Sequence[Mapping[str, Any]]) -> SceneFrame | None:
    """The scene's frame, None in a file that does not tell it; KeyError where it does so by half."""
    if told is None:
        return None
    width, height = (int(side) for side in told["resolution"])
    K = np.array([frame["frame_K"] for frame in frames], np.float64)
    return SceneFrame((width, height), float(told["pixel_aspect"]), K)


def settings_from_json(data: Mapping[str, Any]) -> RenderSettings:
    """Return how the shot was rendered; the defaults where the file says nothing.  Raises FarplaneError."""
    try:
        return RenderSettings(**data.get("settings", {}))
    except TypeError as error:
        raise _damaged(error) from error


def _pick(data: Mapping[str, Any], name: str | None) -> dict[str, Any]:
    names = shot_names(data)
    if name is None and len(names) > 1:
        raise FarplaneError("shot", f"the file holds {len(names)} shots", f"Name one of {', '.join(names)}")
    for entry in data["shots"]:
        if name is None or entry["name"] == name:
            return entry
    raise FarplaneError("shot", f"{name or 'any'} is not in the file", f"Name one of {', '.join(names)}")


def _damaged(error: Exception) -> FarplaneError:
    what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
    return FarplaneError("shot.json", f"it is damaged: {what}", "Extract the shot again")
