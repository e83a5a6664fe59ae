"""Run by test_resume.py in a Blender of its own, which may be killed; prints JSON.

python resume_use.py BLEND begin FRAMES   ask for a plate, and be killed once FRAMES frames are on the disk;
                                          -1: before the shot has left for the backend
python resume_use.py BLEND again          open the file, and see what comes by itself
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import bpy

import farplane
from farplane.addon import client
from farplane.addon.ui import panels
from farplane.addon.ui.session import session

BLEND, PHASE = sys.argv[1:3]
BOUND = 240.0  # seconds; only ends a hang


def tick_until(wanted) -> None:
    deadline = time.monotonic() + BOUND
    while not wanted():
        assert time.monotonic() < deadline, f"{session.jobs} {session.message} {session.problem}"
        panels.tick()
        time.sleep(0.01)


farplane.register()
bpy.ops.wm.open_mainfile(filepath=BLEND)
if PHASE == "begin":
    frames = int(sys.argv[3])
    if frames < 0:
        client.Client.submit = lambda self, shot, settings, job=None: job
    bpy.ops.farplane.generate()
    tick_until(lambda: session.job is not None)
    job = session.job
    tick_until(lambda: frames < 0 or len(job.take.frames()) >= frames)
    session.disk.flush()
    print(json.dumps({"job": job.id, "take": str(job.take.folder)}), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
else:
    tick_until(lambda: session.jobs)
    followed = list(session.jobs)
    tick_until(lambda: not session.jobs and not session.disk.busy)
    print(json.dumps({"jobs": followed, "message": session.message.text, "listed": [t.name for t in session.takes]}))
    farplane.unregister()
