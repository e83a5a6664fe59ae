"""The Backend panel: start and stop, pair with another machine, the queue, and what to do where it does not connect."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import Any

import bpy
from bpy.props import EnumProperty, StringProperty

from ...protocol import pairing
from ...protocol.errors import FarplaneError
from ...protocol.invitation import Invitation
from . import local_backend, preferences
from .message import Message
from .operators import FINISHED, _Operator, redraw
from .panels import ORDER, _draw_message, _Panel, is_narrow
from .session import Job, session
from .translations import say

# What the backend needs beforehand, by system.
NEEDS_NAMES = {
    "LINUX": "Debian or Ubuntu, with make and Python 3.11 or 3.13; 5 GB of disk",
    "WINDOWS": "Python 3.11 or 3.13 from python.org; 5 GB of disk",
    "MACOS": "Python 3.11 or 3.13 from python.org; 5 GB of disk",
}


@dataclass(frozen=True)
class Install:
    """How the backend is installed on a system.  lines : of a terminal.  program : what they make."""

    lines: tuple[str, ...]
    program: str
    is_tested: bool = False


# As README.md tells it; where there is no make, what `make demo` does first.
INSTALL = {
    "LINUX": Install(("make demo",), ".venv/bin/farplane", is_tested=True),
    "WINDOWS": Install(
        (r"py -3.11 -m venv .venv", r".venv\Scripts\python -m pip install .", r".venv\Scripts\farplane doctor"),
        r".venv\Scripts\farplane.exe",
    ),
    "MACOS": Install(
        ("python3.11 -m venv .venv", ".venv/bin/python -m pip install .", ".venv/bin/farplane doctor"),
        ".venv/bin/farplane",
    ),
}
SYSTEM_ITEMS = (("LINUX", "Linux", ""), ("WINDOWS", "Windows", ""), ("MACOS", "macOS", ""))

SHOWN_JOBS = 12
WATCH_SECONDS = 0.5  # between two looks at the backend that was started here


class FARPLANE_OT_connect(_Operator):
    """Connect to the backend again, with the preferences as they are now"""

    bl_idname = "farplane.connect"
    bl_label = "Connect"
    bl_options = {"REGISTER"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """The answer comes by the timer."""
        session.disconnect()
        try:
            session.connect()
        except FarplaneError as error:
            session.problem = Message.of(error)
            session.connection = "disconnected"
            return self.tell(error)
        redraw()
        return FINISHED


class FARPLANE_OT_start_backend(_Operator):
    """Start the backend on this machine. It ends with Blender"""

    bl_idname = "farplane.start_backend"
    bl_label = "Start Backend"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Once is enough."""
        if local_backend.is_running():
            cls.poll_message_set("It is running already")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """The client finds it by itself."""
        try:
            local_backend.start()
            session.connect()
        except FarplaneError as error:
            return self.tell(error)
        if not bpy.app.background and not bpy.app.timers.is_registered(_watch):
            bpy.app.timers.register(_watch, first_interval=WATCH_SECONDS, persistent=True)
        redraw()
        return FINISHED


class FARPLANE_OT_stop_backend(_Operator):
    """Stop the backend that was started from here. A job that runs is begun again at the next start"""

    bl_idname = "farplane.stop_backend"
    bl_label = "Stop Backend"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only what we started."""
        if not local_backend.is_running():
            cls.poll_message_set("No backend was started from here")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """It finishes what it writes, then ends."""
        local_backend.ask_to_stop()
        redraw()
        return FINISHED


class FARPLANE_OT_copy_text(_Operator):
    """Copy this line to the clipboard"""

    bl_idname = "farplane.copy_text"
    bl_label = "Copy Line"
    bl_options = {"INTERNAL"}

    text: StringProperty(options={"SKIP_SAVE", "HIDDEN"})  # type: ignore[valid-type]

    def execute(self, context: bpy.types.Context) -> set[str]:
        """As it stands."""
        context.window_manager.clipboard = self.text
        self.report({"INFO"}, say("Copied. Paste it into a terminal"))
        return FINISHED


class FARPLANE_OT_install_help(_Operator):
    """How to install the backend on this machine, or use one on another"""

    bl_idname = "farplane.install_help"
    bl_label = "Install the Backend"
    bl_options = {"INTERNAL"}

    system: EnumProperty(  # type: ignore[valid-type]
        name="System",
        items=SYSTEM_ITEMS,
        options={"SKIP_SAVE"},
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Begin with the system that this is."""
        self.system = {"win32": "WINDOWS", "darwin": "MACOS"}.get(sys.platform, "LINUX")
        return context.window_manager.invoke_props_dialog(self, width=480)

    def draw(self, context: bpy.types.Context) -> None:
        """Steps with their lines to copy; then where the program lies."""
        layout = self.layout
        layout.row().prop(self, "system", expand=True)
        install = INSTALL[self.system]
        layout.label(text="1. Get Farplane's repository: a zip of the add-on alone has no backend")
        layout.label(text=f"2. {say(NEEDS_NAMES[self.system])}", translate=False)
        layout.label(text="3. In a terminal, in the repository's folder:")
        column = layout.column(align=True)
        for line in install.lines:
            row = column.row(align=True)
            row.label(text=line, icon="CONSOLE", translate=False)
            row.operator("farplane.copy_text", text="", icon="COPYDOWN").text = line
        layout.label(text=f"4. {say('Choose the program that this made')}: {install.program}", translate=False)
        held = preferences.held()
        if held is not None:
            layout.prop(held, "executable", text="")
        if not install.is_tested:
            layout.label(text="Not tested on this system: please tell what does not work", icon="ERROR")
        layout.separator()
        layout.label(text="Or use a backend on another machine: there, 'farplane pair NAME' prints a line", icon="INFO")
        layout.operator("farplane.pair", icon="PASTEDOWN")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """It is read; what was chosen takes effect by itself."""
        redraw()
        return FINISHED


class FARPLANE_OT_pair(_Operator):
    """Use a backend on another machine: paste the line that 'farplane pair' printed there"""

    bl_idname = "farplane.pair"
    bl_label = "Pair with Backend"
    bl_options = {"INTERNAL"}  # the line holds a secret: not into the Info log, nor into F3's history

    line: StringProperty(  # type: ignore[valid-type]
        name="Pairing Line",
        description="The whole line, as 'farplane pair' printed it on the backend's machine",
        subtype="PASSWORD",
        options={"SKIP_SAVE"},
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the line, unless it waits in the clipboard."""
        window_manager = context.window_manager
        if not self.line and window_manager.clipboard.strip().startswith("farplane://"):
            self.line = window_manager.clipboard.strip()
        return window_manager.invoke_props_dialog(self, width=420)

    def draw(self, context: bpy.types.Context) -> None:
        """The line, and what it says."""
        layout = self.layout
        layout.label(text="On the backend's machine run: farplane pair NAME", icon="CONSOLE", translate=True)
        layout.prop(self, "line", text="", icon="PASTEDOWN")
        if not self.line:
            layout.label(text="Paste the line that it prints", icon="INFO")
            return
        try:
            layout.label(text=say("Backend at {}", Invitation.read(self.line).address), icon="CHECKMARK")
        except FarplaneError as error:
            told = Message.of(error)
            layout.label(text=f"{told.text}. {told.remedy}", icon="ERROR")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Keep address and keys, and connect."""
        try:
            invitation = Invitation.read(self.line)
            self._keep(invitation)
        except FarplaneError as error:
            return self.tell(error)
        try:
            session.connect()
        except FarplaneError as error:  # paired all the same: it works as soon as this is mended
            session.problem, session.connection = Message.of(error), "disconnected"
            self.report({"WARNING"}, f"{session.problem.text}. {session.problem.remedy}")
        else:
            self.report({"INFO"}, say("Paired with the backend at {}", invitation.address))
        redraw()
        return FINISHED

    @staticmethod
    def _keep(invitation: Invitation) -> None:
        try:
            import zmq
        except ImportError as error:
            problem = say("pyzmq is missing, without it there is no way to the backend")
            raise FarplaneError("add-on", problem, "Install Farplane's zip for this Blender again") from error
        invitation.keep(preferences.settings().config or pairing.config_dir(), zmq.curve_public)
        preferences.use_backend(invitation.address, invitation.server_key)


class FARPLANE_OT_unpair(_Operator):
    """Use the backend of this machine again. The other one still knows this Blender"""

    bl_idname = "farplane.unpair"
    bl_label = "Use This Machine"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only while another one is chosen."""
        return bool(preferences.settings().address)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """The timer connects."""
        try:
            preferences.use_backend("", "")
        except FarplaneError as error:
            return self.tell(error)
        redraw()
        return FINISHED


class FARPLANE_OT_copy_command(_Operator):
    """Copy the command that lets this Blender use the backend, to run on the backend's machine"""

    bl_idname = "farplane.copy_command"
    bl_label = "Copy Command"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is a key once there was an attempt."""
        return _is_unknown_there()

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Quoted: a key may hold what a shell would obey."""
        assert session.client is not None
        context.window_manager.clipboard = command_for(session.client.public_key)
        self.report({"INFO"}, say("Copied. Run it on the backend's machine"))
        return FINISHED


class FARPLANE_PT_backend(_Panel, bpy.types.Panel):
    """The connection, and what to do where there is none."""

    bl_label = "Backend"
    bl_order = ORDER["backend"]

    def draw(self, context: bpy.types.Context) -> None:
        """State, remedy, start and stop."""
        session.wanted = True
        if preferences.settings().address:
            _draw_remote(self.layout, context)
        else:
            _draw_local(self.layout, context)


class FARPLANE_PT_queue(_Panel, bpy.types.Panel):
    """The jobs that were asked for from here and have not ended."""

    bl_label = "Queue"
    bl_parent_id = "FARPLANE_PT_backend"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """An empty queue takes no room."""
        return bool(session.jobs)

    def draw(self, context: bpy.types.Context) -> None:
        """One line per job, in the backend's order."""
        column = self.layout.column(align=True)
        for job in sorted(session.jobs.values(), key=lambda job: job.position or 0)[:SHOWN_JOBS]:
            _draw_job(column, job)
        if len(session.jobs) > SHOWN_JOBS:
            column.label(text=say("and {} more", len(session.jobs) - SHOWN_JOBS))


def command_for(key: str) -> str:
    """What to run on the backend's machine so that it knows `key`."""
    return f"farplane clients add -- {shlex.quote(key)}"


def _is_unknown_there() -> bool:
    """Whether the backend does not know this client's key."""
    key = session.client.public_key if session.client is not None else ""
    return bool(key and session.problem is not None and key in session.problem.remedy)


def _draw_remote(layout: Any, context: bpy.types.Context) -> None:
    """A backend on another machine."""
    address = preferences.settings().address.removeprefix("tcp://")
    if session.connection == "connected":
        layout.label(text=say("Connected to {}", address), icon="CHECKMARK")
    elif session.connection == "connecting":
        layout.label(text=say("Connecting to {}", address), icon="SORTTIME")
    else:
        layout.label(text=say("Not connected to {}", address), icon="UNLINKED")
    if session.problem is not None and session.connection != "connected":
        _draw_problem(layout, context, session.problem)
    row = layout.row(align=True)
    if session.connection != "connected":
        row.operator("farplane.connect", icon="FILE_REFRESH")
    row.operator("farplane.unpair", icon="LOOP_BACK")


def _draw_problem(layout: Any, context: bpy.types.Context, problem: Message) -> None:
    """Why there is no connection, and the button that mends it where there is one."""
    if _is_unknown_there():
        remedy = say("Run a command on the backend's machine, or pair again with a new line from it")
        _draw_message(layout, context, Message(problem.text, remedy, True))
        row = layout.column(align=True) if is_narrow(context) else layout.row(align=True)
        row.operator("farplane.copy_command", icon="COPYDOWN")
        row.operator("farplane.pair", text="Pair", icon="PASTEDOWN")
        return
    _draw_message(layout, context, problem)
    if not preferences.may_go_online() and not bpy.app.online_access_override:
        layout.operator("extensions.userpref_show_online", text="Online Access", icon="INTERNET_OFFLINE")


def _draw_local(layout: Any, context: bpy.types.Context) -> None:
    """The backend of this machine: one that was started here, or elsewhere by the same user."""
    state = local_backend.state()
    if state == "stopping":
        layout.label(text="Stopping", icon="SORTTIME")
    elif session.connection == "connected":
        layout.label(text="Running on this machine", icon="CHECKMARK")
    elif state == "running":
        layout.label(text="Starting", icon="SORTTIME")
    else:
        layout.label(text="Not running", icon="UNLINKED")
        _draw_why_not(layout, context, state)
    if state in ("running", "stopping"):
        layout.operator("farplane.stop_backend", icon="PAUSE")
    elif session.connection != "connected":
        column = layout.column(align=True)
        column.operator("farplane.start_backend", icon="PLAY")
        column.operator("farplane.pair", icon="PASTEDOWN")


def _draw_why_not(layout: Any, context: bpy.types.Context, state: local_backend.State) -> None:
    """What keeps the backend of this machine from running, if anything does; the Start button says that nobody ran it."""
    if state == "failed":
        words = local_backend.last_words() or say("Run 'farplane doctor' in a terminal")
        _draw_message(layout, context, Message(say("It ended by itself"), words, True))
    elif state == "absent":
        problem, remedy = local_backend.not_found()
        _draw_message(layout, context, Message(problem, remedy, True))
        layout.operator("farplane.install_help", icon="QUESTION")
        held = preferences.held()
        if held is not None:
            layout.prop(held, "executable", text="")
    elif session.problem is not None and session.connection == "disconnected" and not session.nobody_here:
        _draw_message(layout, context, session.problem)


def _draw_job(column: Any, job: Job) -> None:
    """A job's shot and take, how far it is, and a button that stops it."""
    row = column.row(align=True)
    row.label(text=f"{job.take.folder.parent.name}, {job.take.name}", icon="SORTTIME" if job.position else "PLAY")
    row.label(text=job.line)
    part = row.row(align=True)
    part.enabled = not job.cancelling
    part.operator("farplane.cancel", text="", icon="CANCEL").job = job.id


def _watch() -> float | None:
    """Draw anew when the backend that was started here comes or goes; ends with it."""
    redraw()
    return WATCH_SECONDS if local_backend.is_running() else None


CLASSES: tuple[Any, ...] = (
    FARPLANE_OT_connect,
    FARPLANE_OT_start_backend,
    FARPLANE_OT_stop_backend,
    FARPLANE_OT_copy_text,
    FARPLANE_OT_install_help,
    FARPLANE_OT_pair,
    FARPLANE_OT_unpair,
    FARPLANE_OT_copy_command,
    FARPLANE_PT_backend,
    FARPLANE_PT_queue,
)


def unregister() -> None:
    """Remove them, and stop the backend that we started."""
    if bpy.app.timers.is_registered(_watch):
        bpy.app.timers.unregister(_watch)
    local_backend.stop()
