"""Draw what commands print as a picture of a terminal.

    python scripts/terminal_picture.py docs/images/terminal.png 'maskcls-audit data.root=faces' 'maskcls-train ...'

The commands run one after another in the current folder. The picture shows each of them and what it prints.
"""

import argparse
import subprocess
import textwrap
from pathlib import Path

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

COLUMNS, MARGIN, BAR, SIZE = 116, 36, 52, 26
BACKGROUND, FRAME, TEXT, STRONG = "#1e2128", "#2c3038", "#c8ccd4", "#ffffff"
COLOURS = {"severe": "#e06c75", "doubtful": "#e5c07b", "note": "#61afef", "test,": "#98c379", "$": "#98c379"}


def lines_of(command: str) -> list[str]:
    """Run a command, and return it and its output in lines of at most `COLUMNS` characters."""
    done = subprocess.run(command, shell=True, check=True, capture_output=True, text=True)
    lines = [f"$ {command}"]
    for line in (done.stdout + done.stderr).splitlines():
        first = line.split()[0] if line.strip() else ""
        indent = 12 if first in COLOURS and line.startswith("  ") else 2
        lines += textwrap.wrap(
            line, COLUMNS, subsequent_indent=" " * indent, drop_whitespace=False, replace_whitespace=False
        ) or [""]
    return [*lines, ""]


def draw(lines: list[str]) -> Image.Image:
    """Draw lines in the window of a terminal. The first word of a line decides its colour."""
    regular = ImageFont.truetype(font_manager.findfont("DejaVu Sans Mono"), SIZE)
    bold = ImageFont.truetype(font_manager.findfont("DejaVu Sans Mono:bold"), SIZE)
    step, width = round(SIZE * 1.35), round(regular.getlength("x") * COLUMNS) + 2 * MARGIN
    picture = Image.new("RGB", (width, BAR + 2 * MARGIN + step * (len(lines) - 1)), BACKGROUND)
    canvas = ImageDraw.Draw(picture)
    canvas.rectangle((0, 0, width, BAR), FRAME)
    for number, colour in enumerate(("#e06c75", "#e5c07b", "#98c379")):
        canvas.ellipse((MARGIN + 40 * number, BAR // 2 - 10, MARGIN + 40 * number + 20, BAR // 2 + 10), colour)
    for number, line in enumerate(lines):
        first, place = (line.split() or [""])[0], (MARGIN, BAR + MARGIN + step * number)
        if first == "test,":
            canvas.text(place, line, COLOURS[first], bold)
        elif first in COLOURS:
            start, _, rest = line.partition(first)
            canvas.text(place, start + first, COLOURS[first], bold)
            after = place[0] + regular.getlength(start + first)
            canvas.text((after, place[1]), rest, STRONG if first == "$" else TEXT, bold if first == "$" else regular)
        else:
            canvas.text(place, line, TEXT, regular)
    return picture


def main() -> None:
    """Run the commands and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("commands", nargs="+")
    arguments = parser.parse_args()
    lines = [line for command in arguments.commands for line in lines_of(command)]
    draw(lines).quantize(64).save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
