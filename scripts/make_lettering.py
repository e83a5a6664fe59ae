"""Make addon/lettering_data.py: the letters of contact sheets, as small pictures, from DejaVu Sans.

    python scripts/make_lettering.py

The font comes with matplotlib.  Run it again only to change the size or the characters.
"""

from __future__ import annotations

import base64
import struct
import textwrap
import zlib
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

TARGET = Path(__file__).resolve().parent.parent / "addon" / "lettering_data.py"
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
SIZE = 15
BASELINE = 15  # rows from the top of a line
RANGES = ((0x20, 0x7F), (0xA0, 0x180), (0x370, 0x400), (0x400, 0x460), (0x1EA0, 0x1EFA))
SINGLE = "–—‘’“”„†•…‰€→×−"

HEAD = '''"""Letters as small pictures: made by scripts/make_lettering.py, not by hand.

From DejaVu Sans, a free font: (c) 2003 Bitstream, Inc., and (c) 2006 Tavmjong Bah; its changes are in the public
domain.  Per letter: code point, advance, left, top, width, height (pixels), then 4 bits of coverage a pixel.
"""

PIXELS = {size}  # of the font
BASELINE = {baseline}  # rows from the top of a line

DATA = """
{data}
"""
'''


def glyph(font: ImageFont.FreeTypeFont, character: str) -> bytes:
    """One letter's record."""
    box = font.getbbox(character, anchor="ls")
    left, top, width, height = int(box[0]), int(box[1]) + BASELINE, int(box[2] - box[0]), int(box[3] - box[1])
    record = struct.pack(
        "<HBbbBB", ord(character), round(font.getlength(character)), left, top, max(width, 0), max(height, 0)
    )
    if width <= 0 or height <= 0:
        return record
    picture = Image.new("L", (width, height))
    ImageDraw.Draw(picture).text((-left, BASELINE - top), character, font=font, fill=255, anchor="ls")
    levels = [round(value / 17) for value in picture.tobytes()]
    levels += [0] * (len(levels) % 2)
    return record + bytes(16 * a + b for a, b in zip(levels[::2], levels[1::2]))


def main() -> None:
    """Write the module."""
    font = ImageFont.truetype(str(FONT), SIZE)
    missing = font.getmask(chr(0x10FFFF)).getbbox()
    characters = [chr(code) for first, last in RANGES for code in range(first, last)] + list(SINGLE)
    drawn = [c for c in characters if c.isspace() or (font.getmask(c).getbbox() or (0,)) != missing]
    data = zlib.compress(b"".join(glyph(font, character) for character in drawn), 9)
    lines = "\n".join(textwrap.wrap(base64.b64encode(data).decode(), 116))
    TARGET.write_text(HEAD.format(size=SIZE, baseline=BASELINE, data=lines))
    print(f"{TARGET}: {len(drawn)} letters, {len(data)} bytes")


if __name__ == "__main__":
    main()
