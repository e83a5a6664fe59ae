"""The client that docs/protocol.md prints, run as it stands against a real backend."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import painter
from conftest import BOUND, Backend, make_shot
from raw import known

PAGE = Path(__file__).parents[3] / "docs" / "protocol.md"


def test_the_client_on_the_page_renders_a_shot(backend: Backend) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    page: dict = {}
    exec(compile(code, str(PAGE), "exec"), page)
    shot = make_shot(frames=3, size=(640, 480))  # frames of more than one chunk
    public, secret = known(backend.config)
    key = backend.server.public_key.encode()
    camera = shot.camera
    items = page["render"](
        backend.server.address, key, public, secret, camera.K, camera.world_from_camera, shot.depth.z, "plain cliff"
    )
    frames = {item: data for item, data in items.items() if isinstance(item, int)}
    assert frames == {number: painter.expected(number, 640, 480, 0) for number in (1, 2, 3)}
    assert max(len(data) for data in frames.values()) > 2**20
    assert "report.json" in items


def test_the_served_process_maps_no_torch(tmp_path: Path) -> None:
    """`farplane serve` itself, as the command line starts it: no torch library in its address space."""
    command = [sys.executable, "-m", "farplane.backend.cli", "serve", "--port", "0", "--pipeline", "painter:paint"]
    folders = ["--config", str(tmp_path / "config"), "--data", str(tmp_path / "data")]
    process = subprocess.Popen([*command, *folders], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert '"ready": true' in process.stdout.readline()
        maps = Path(f"/proc/{process.pid}/maps")
        if maps.exists():
            assert "libtorch" not in maps.read_text()
    finally:
        process.terminate()
        assert process.wait(BOUND) in (0, -15, 143)
