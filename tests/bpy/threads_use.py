"""A shot is read beside a busy thread of Python, as the add-on's own are; run by test_threads.py in a Blender that dies of it.

    python threads_use.py

With PYTHONMALLOC=debug Python ends the process when Blender asks it for memory without holding its lock.
"""

import json
import threading

import bpy

from farplane.addon.scene import Extraction, plan_shots

FRAMES = 60
TEXT = json.dumps([{"frame": i, "name": "x" * 30, "values": [1, 2, 3.5]} for i in range(300)])


def main() -> None:
    """Read a shot of 60 frames; print how often the thread came round meanwhile."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    mesh = bpy.data.meshes.new("Quad")
    mesh.from_pydata([(-1, -1, -5), (1, -1, -5), (1, 1, -5), (-1, 1, -6)], [], [(0, 1, 2, 3)])
    for obj in (bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera")), bpy.data.objects.new("Quad", mesh)):
        scene.collection.objects.link(obj)
    scene.camera = bpy.data.objects["Camera"]
    scene.frame_start, scene.frame_end = 1, FRAMES
    scene.render.resolution_x, scene.render.resolution_y = 64, 36
    rounds, over = [0], threading.Event()

    def work() -> None:
        while not over.wait(0.0002):
            json.loads(TEXT)
            rounds[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with Extraction(scene, plan_shots(scene)[0]) as extraction:
            while not extraction.step():
                pass
            extraction.shot()
    finally:
        over.set()
        thread.join()
    print(json.dumps({"rounds": rounds[0]}), flush=True)


main()
