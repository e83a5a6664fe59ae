"""The client: one thread that owns the socket to the backend, and two queues.  No bpy.

Usage, from any one thread (Blender's main thread, or the command line)::

    client = Client()              # the backend of this machine
    client.start()
    job = client.submit(shot, settings)
    ...
    for event in client.poll():    # from a timer; never blocks
        ...
    client.close()
"""

from __future__ import annotations

from pathlib import Path

from ..protocol.events import Event
from ..protocol.shot import RenderSettings, Shot


class Client:
    """A connection to one backend that looks after itself.

    Parameters
    ----------
    address : ``tcp://host:port``; empty for the backend of this machine, whose address and key are read from
        the configuration folder.
    server_key : the backend's public key (40 characters); empty together with `address`.
    config_dir : where this user's keys lie; the platform's own folder when None.
    """

    def __init__(self, address: str = "", server_key: str = "", config_dir: Path | None = None) -> None:
        raise NotImplementedError

    def start(self) -> None:
        """Begin to connect, in a thread.  Raises FarplaneError when pyzmq is missing or the keys are unusable."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop the thread and wait for it, 2 s at most.  Jobs on the backend go on."""
        raise NotImplementedError

    def submit(self, shot: Shot, settings: RenderSettings, job: str | None = None) -> str:
        """Queue a shot and return its job's UUID at once.  Raises FarplaneError for a shot that cannot be rendered."""
        raise NotImplementedError

    def cancel(self, job: str) -> None:
        """Ask for a job to be stopped; Cancelled comes by `poll`."""
        raise NotImplementedError

    def attach(self, job: str) -> None:
        """Ask again for everything of a job: its state, every frame and artifact so far, and all to come."""
        raise NotImplementedError

    def poll(self) -> list[Event]:
        """Everything since the last call, in order.  Never blocks."""
        raise NotImplementedError
