"""What the random sequences stand on: a backend in this process, a layout that draws nothing, looks at the file."""

from __future__ import annotations

import hashlib
import importlib.util
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy

from farplane.addon import landing, passes, registration
from farplane.protocol import codec, events

PAINTER = Path(__file__).parent.parent / "backend" / "service" / "painter.py"
spec = importlib.util.spec_from_file_location("painter", PAINTER)
assert spec is not None
assert spec.loader is not None
painter = importlib.util.module_from_spec(spec)
spec.loader.exec_module(painter)

SIZE = (64, 36)
MODEL = events.ModelInfo("painter", "Painter", 0.1, "ready", (SIZE,), 1, 4, 1.0)


class Painter:
    """A `Client` whose backend lives in it: every job is painted, a few events per poll."""

    public_key = "k" * 40

    def __init__(self, *_: Any) -> None:
        self._coming: deque[events.Event] = deque([events.Connected((MODEL,), "test")])

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def target(self) -> tuple[str, str]:
        return "tcp://127.0.0.1:1", "s" * 40

    def submit(self, shot: Any, settings: Any, job: str | None = None) -> str:
        job = job or codec.new_job()
        shot.validate()
        if any(event.job == job for event in self._coming if not isinstance(event, events.Connected)):
            return job
        self._coming += [events.Accepted(job, 0), events.Progress(job, "denoise", 1, 4, 1.0)]
        self._coming.append(events.Preview(job, 1, painter.PNG))
        for frame in shot.frames:
            data = painter.expected(frame, *shot.resolution, settings.seed)
            self._coming.append(events.FrameReady(job, frame, data, hashlib.sha256(data).hexdigest()))
        self._coming.append(events.Finished(job, len(shot.frames)))
        return job

    def enquire(self, outline: events.Submit, *, look: bool) -> str:
        self._coming.append(events.Admissible(outline.job))
        return outline.job

    def attach(self, job: str) -> None:
        if not any(getattr(event, "job", "") == job for event in self._coming):
            self._coming.append(events.Failed(job, "job", "the backend does not know it", "Send the shot again"))

    def cancel(self, job: str) -> None:
        kept = [event for event in self._coming if getattr(event, "job", "") != job]
        self._coming = deque([*kept, events.Cancelling(job), events.Cancelled(job)])

    def forget(self, job: str) -> None:
        pass

    def poll(self) -> list[events.Event]:
        return [self._coming.popleft() for _ in range(min(3, len(self._coming)))]


class Layout:
    """Takes whatever a panel asks of it."""

    def __setattr__(self, name: str, value: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: Layout()


def draw_all() -> None:
    """Every panel, list and menu of the add-on that wants to be seen."""
    for module in registration._MODULES:
        for cls in getattr(module, "CLASSES", ()):
            if issubclass(cls, bpy.types.UIList):
                view = bpy.context.window_manager.farplane
                for index, item in enumerate(view.takes):
                    stand_in = SimpleNamespace(layout_type="DEFAULT", filter_name="", bitflag_filter_item=1)
                    cls.draw_item(stand_in, bpy.context, Layout(), view, item, 0, view, "take_index", index)
            elif (
                issubclass(cls, (bpy.types.Panel, bpy.types.Menu))
                and cls.draw.__module__.startswith("farplane")  # a menu of presets is drawn by Blender's own code
                and (not hasattr(cls, "poll") or cls.poll(bpy.context))
            ):
                own = {name: value for name, value in vars(cls).items() if isinstance(value, str)}
                cls.draw(SimpleNamespace(**own | {"layout": Layout()}), NO_REGION)


class NoRegion:
    """The context of a panel, without the region that a background Blender has not."""

    region = None
    preferences = None

    def __getattr__(self, name: str) -> Any:
        return getattr(bpy.context, name)


NO_REGION = NoRegion()


def ours() -> list[Any]:
    """Every datablock that the add-on made for a landing."""
    return [
        item
        for name in dir(bpy.data)
        if isinstance(collection := getattr(bpy.data, name), bpy.types.bpy_prop_collection)
        for item in collection
        if isinstance(item, bpy.types.ID) and landing.plate.TAG in item
    ]


def artists_scenes() -> list[Any]:
    """All but the stand-in, which no list of Blender's shows, and those that render a landed take's foreground."""
    mine = [scene for scene in bpy.data.scenes if not scene.name.startswith(passes.PREFIX)]
    return [scene for scene in mine if not landing.foreground.is_ours(scene)]


def push() -> None:
    """End what the artist did as Blender's own operators end: it can be undone."""
    bpy.ops.ed.undo_push(message="by the artist")
