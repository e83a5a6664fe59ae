"""Inside the GUI Blender: does the window answer?  The gaps between the events it handles, and what filled them.

A modal operator of ours gets an event every 10 ms from a timer of the window and writes down when it came.  Blender's
loop handles events, runs timers and draws by turns, so whatever holds the main thread makes a gap between two of
these stamps.  What of a gap is the add-on's is measured beside it: every call from Blender into the add-on's code
(operators, panels' drawing, timers, handlers, properties) is timed from outside by sys.monitoring (Python 3.12),
without a line in the add-on.  Blender's own renders and frame changes are the add-on's `passes.blenders_own`.
"""

from __future__ import annotations

import importlib
import itertools
import sys
import threading
import time
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

import bpy
import stage
from stage import MODULE

INTERVAL = 0.01  # seconds between two events, when nothing holds the window
HELD = 0.05  # seconds: what an artist begins to feel

Stamp = tuple[float, float, float, float, float]  # the clock; seconds until then: ours, our work, renders, the driver


@dataclass
class Calls:
    """Seconds on the main thread in the add-on's code so far, Blender's own renders apart.

    clock : as time passed.  work : of them the thread's own processor time.  most : of one call the most work, and
    what was called.
    """

    clock: float = 0.0
    work: float = 0.0
    most: tuple[float, str] = (0.0, "")
    _frame: Any = None  # of the call from Blender that is under way
    _began: tuple[float, ...] = ()

    def watch(self) -> None:
        """From now on, until `leave`."""
        self._passes = importlib.import_module(f"{MODULE}.addon.passes")
        self._main = threading.main_thread().ident
        self._codes = _codes_of(MODULE)
        watch = sys.monitoring
        watch.use_tool_id(watch.PROFILER_ID, "pulse")
        for event, do in ((watch.events.PY_START, self._enter), (watch.events.PY_RETURN, self._return)):
            watch.register_callback(watch.PROFILER_ID, event, do)
        watch.register_callback(watch.PROFILER_ID, watch.events.PY_UNWIND, self._return)
        watch.set_events(watch.PROFILER_ID, watch.events.PY_UNWIND)  # cannot be asked for one function alone
        for code in self._codes:
            watch.set_local_events(watch.PROFILER_ID, code, watch.events.PY_START | watch.events.PY_RETURN)

    def leave(self) -> None:
        """Watch no longer."""
        for code in self._codes:
            sys.monitoring.set_local_events(sys.monitoring.PROFILER_ID, code, 0)
        sys.monitoring.set_events(sys.monitoring.PROFILER_ID, 0)
        sys.monitoring.free_tool_id(sys.monitoring.PROFILER_ID)

    def _now(self) -> tuple[float, ...]:
        clock, work = self._passes._in_blender
        return time.perf_counter() - clock, time.thread_time() - work

    def _enter(self, code: CodeType, offset: int) -> None:
        if self._frame is None and threading.get_ident() == self._main:
            self._frame, self._began = sys._getframe(1), self._now()

    def _return(self, code: CodeType, offset: int, result: object) -> None:
        if self._frame is not None and sys._getframe(1) is self._frame and threading.get_ident() == self._main:
            clock, work = self._now()
            self._frame = None
            self.clock += clock - self._began[0]
            self.work += work - self._began[1]
            self.most = max(self.most, (work - self._began[1], code.co_qualname))


def _codes_of(package: str) -> list[CodeType]:
    """Every function that is written in the package's modules."""
    found: dict[int, CodeType] = {}
    for name, module in list(sys.modules.items()):
        if name == package or name.startswith(f"{package}."):
            for function in _functions_of(module):
                found[id(function.__code__)] = function.__code__
    return list(found.values())


def _functions_of(module: ModuleType) -> list[FunctionType]:
    functions: list[FunctionType] = []
    classes = [thing for thing in vars(module).values() if isinstance(thing, type)]
    for thing in [*vars(module).values(), *(member for cls in classes for member in vars(cls).values())]:
        inside = [getattr(thing, name, None) for name in ("fget", "fset", "__func__", "__wrapped__")]
        for function in [thing, *inside]:
            if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                functions.append(function)
    return functions


calls = Calls()
_stamps: list[Stamp] | None = None


def _stamp() -> Stamp:
    return time.perf_counter(), calls.clock, calls.work, calls._passes._in_blender[0], stage.own_seconds()


class PULSE_OT_listen(bpy.types.Operator):
    """Write down when events come"""

    bl_idname = "pulse.listen"
    bl_label = "Listen"
    bl_options = {"INTERNAL"}

    def invoke(self, context: Any, event: Any) -> set[str]:
        """Until `_stamps` is another list, or none."""
        self._mine = _stamps
        self._timer = context.window_manager.event_timer_add(INTERVAL, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[str]:
        """Blender passes the events of all timers to all modal operators."""
        if _stamps is None or _stamps is not self._mine:
            context.window_manager.event_timer_remove(self._timer)
            return {"CANCELLED", "PASS_THROUGH"}
        if event.type == "TIMER":
            _stamps.append(_stamp())
        return {"PASS_THROUGH"}


def begin(window: Any) -> None:
    """Listen from now on."""
    global _stamps
    if not hasattr(bpy.types, "PULSE_OT_listen"):
        bpy.utils.register_class(PULSE_OT_listen)
    calls.watch()
    calls.most = (0.0, "")
    _stamps = [_stamp()]  # what the driver calls next is seen too
    with bpy.context.temp_override(window=window):
        bpy.ops.pulse.listen("INVOKE_DEFAULT")


def end() -> dict[str, Any]:
    """Listen no longer; what the gaps were."""
    global _stamps
    stamps, _stamps = _stamps or [], None
    calls.leave()
    seconds, called = calls.most
    return {**report(stamps), "call_most": round(1e3 * seconds, 1), "call": called}


def report(stamps: list[Stamp]) -> dict[str, float]:
    """Milliseconds.

    gap_* : between two events handled, with everything.  rest_* : without Blender's own renders and without this
    test's driver; the add-on, Blender's drawing and other programs of the machine are in it.  ours_most : the add-on's
    code alone between two events, as time passed.  our_work_most : of it the main thread's own processor time, which
    other programs do not lengthen.
    """
    gaps = [tuple(after - before for after, before in zip(b, a, strict=True)) for a, b in itertools.pairwise(stamps)]
    whole = sorted(gap[0] for gap in gaps)
    rest = sorted(max(0.0, clock - renders - driver) for clock, _, _, renders, driver in gaps)
    ms = {
        "gap_median": whole[len(whole) // 2],
        "gap_most": whole[-1],
        "rest_median": rest[len(rest) // 2],
        "rest_95": rest[int(0.95 * len(rest))],
        "rest_most": rest[-1],
        "ours_most": max(gap[1] for gap in gaps),
        "our_work_most": max(gap[2] for gap in gaps),
        "ours_all": sum(gap[1] for gap in gaps),
        "renders_all": sum(gap[3] for gap in gaps),
        "all": sum(whole),
    }
    held = {
        "events": len(stamps),
        "rest_over_50": sum(seconds > HELD for seconds in rest),
        "ours_over_50": sum(gap[1] > HELD for gap in gaps),
    }
    return {**held, **{name: round(1e3 * seconds, 1) for name, seconds in ms.items()}}
