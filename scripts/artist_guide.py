"""Take the pictures of docs/artist-guide.md anew, in the real GUI Blender with a real backend.

    python scripts/artist_guide.py [MODEL]        default: farplane-s

Needs root (scripts/gui_root.sh makes a Debian folder with Blender 4.3 in it).  tests/gui/guide_drive.py does what the
guide tells, step by step; the pictures go to docs/images/guide, small enough for a repository.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import gui_screenshot
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "images" / "guide"
SCREEN = "1280x900x24"  # the sidebar of a decided take in full
MAX_BYTES = 98_000  # of one picture
STEPS = 10


def small_jpeg(path: Path) -> bytes:
    """The picture as a JPEG as good as MAX_BYTES allows, its colours as fine as its light: letters stay clean."""
    picture = Image.open(path).convert("RGB")
    data = b""
    for quality in range(90, 40, -3):
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality, subsampling=0, optimize=True)
        data = stream.getvalue()
        if len(data) <= MAX_BYTES:
            break
    return data


def main() -> int:
    """Drive the ten steps and keep their pictures; return the exit code."""
    model = sys.argv[1] if len(sys.argv) > 1 else "farplane-s"
    out = ROOT / "out" / "guide"
    told = gui_screenshot.drive(out, model, "guide_drive.py", SCREEN)
    if not told.get("done"):
        print(told.get("error", told), file=sys.stderr)
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    taken = sorted(out.glob("[01][0-9]-*.png"))
    assert len(taken) == STEPS, [path.name for path in taken]
    for path in taken:
        data = small_jpeg(path)
        (PICTURES / path.with_suffix(".jpg").name).write_bytes(data)
        print(f"{path.stem}: {len(data) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
