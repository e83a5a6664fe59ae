"""The client that docs/protocol.md prints, run as it stands against a real backend."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import painter
from conftest import BOUND, Backend, make_shot
from raw import known

from farplane.backend.service import incoming, peer, refusals, server
from farplane.backend.service.dispatch import MAX_FETCHES
from farplane.protocol import shot

PAGE = Path(__file__).parents[3] / "docs" / "protocol.md"


def test_the_client_on_the_page_renders_a_shot(backend: Backend) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    page: dict = {}
    exec(compile(code, str(PAGE), "exec"), page)
    asked = make_shot(frames=3, size=(640, 480))  # frames of more than one chunk
    public, secret = known(backend.config)
    key = backend.server.public_key.encode()
    camera = asked.camera
    items = page["render"](
        backend.server.address, key, public, secret, camera.K, camera.world_from_camera, asked.depth.z, "plain cliff"
    )
    frames = {item: data for item, data in items.items() if isinstance(item, int)}
    assert frames == {number: painter.expected(number, 640, 480, 0) for number in (1, 2, 3)}
    assert max(len(data) for data in frames.values()) > 2**20
    assert "report.json" in items


def test_the_page_tells_the_true_limits() -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    for words in (
        f"| {server.PEERS_OF_KEY}, {server.MAX_PEERS}; the {server.PEERS_OF_KEY + 1}th is refused",
        f"| {refusals.MAX_WAITING}, and {refusals.MAX_BYTES >> 30} GiB of arrays |",
        f"with one key | {incoming.OPEN_OF_KEY};",
        f"ends after {incoming.REST_SECONDS / 60:.0f} minutes; with one that says nothing at all, after {incoming.SILENT_SECONDS / 60:.0f} |",
        f"open fetches in a connection | {MAX_FETCHES} |",
        f"{server.UNREAD_OF_KEY >> 20} MiB a key, {server.UNREAD_IN_ALL >> 20} MiB in all",
        f"{server.MAX_OUTBOX >> 20} MiB; then its connection is closed. So it is when it takes no byte for {server.STUCK_SECONDS:.0f} s",
        f"(it tries for {peer.READ_SECONDS:.0f} s)",
        f"| 1 to {shot.MAX_NAME} characters",
        f"| {shot.MIN_FRAMES} to {shot.MAX_FRAMES}, each number from -{shot.MAX_FRAME_NUMBER} to {shot.MAX_FRAME_NUMBER} |",
        f"sides from {shot.MIN_SIDE} to {shot.MAX_SIDE}, {shot.MAX_PIXELS} pixels at most",
        f"| 1/{shot.MAX_FPS} to {shot.MAX_FPS};",
    ):
        assert words in page, words


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
