"""Write docs/oddities.md: what maskcls does with each file of a folder of oddities.

    python scripts/oddities_reference.py

The four commands run on that folder, which takes half a minute.
"""

import os
import sys
import tempfile
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from torture.agreement import Oddities, Told, judge, run_commands
from torture.campaign import Options
from torture.oddities import Oddity
from torture.processes import Processes

PAGE = Path(__file__).resolve().parents[1] / "docs" / "oddities.md"
INTRODUCTION = """# Odd files

`scripts/oddities_reference.py` writes this page. It makes a class folder of odd files, as operating systems, phones,
downloads and people leave them. Then it runs `maskcls-train`, `maskcls-eval`, `maskcls-predict` and `maskcls-audit` on
the folder, with `data.on_bad_image=use`. The four commands do the same with each file, for the same reason. Only films
and animated GIFs differ: `maskcls-predict` reads them as videos.

- **used**: an image like any other. HEIC needs `pip install 'maskcls[heif]'`; without it, such a file is unreadable.
- **damaged**: only a part of the image is left. That part is used. `data.on_bad_image=skip` leaves the file out, and
  `error`, the default, ends the command.
- **unreadable**: a file with the name of an image that cannot be decoded. It is left out. With
  `data.on_bad_image=error`, the default, the command ends.
- **left out**: not an image, or not a photograph that somebody put there. It is counted and listed in `run.json`.
"""


def page(found: Oddities) -> str:
    """Return the page: a table of the files of each kind."""
    lines = [INTRODUCTION]
    for kind, members in groupby(found.written, key=lambda oddity: oddity.kind):
        lines += [f"## {kind.capitalize()}", "", "| file | what it is | maskcls |", "| --- | --- | --- |"]
        lines += [_row(oddity, found.told(oddity).values()) for oddity in members]
        lines.append("")
    return "\n".join(lines)


def _row(oddity: Oddity, told: Iterable[Told | None]) -> str:
    answer = next(filter(None, told))
    shown = oddity.name if len(oddity.name) < 60 else f"{oddity.name[:8]}...{oddity.name[-8:]}"
    name = "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)
    reason = answer.reason.partition(";")[0]  # behind it stands what to do
    return f"| `{name}` | {oddity.what} | {answer.fate}{reason and f': {reason}'} |"


def main() -> int:
    """Write the page; return 1 if the commands do not agree."""
    with tempfile.TemporaryDirectory(prefix="oddities_") as folder:
        os.environ["MASKCLS_CACHE"] = str(Path(folder) / "default_cache")
        found = run_commands(Options(Path(folder), seed=0, scale=1, jobs=1), Processes(Path(folder)))
    wrong = [line for oddity in found.written for line in judge(oddity, found.told(oddity))]
    print(*wrong, sep="\n", file=sys.stderr)
    PAGE.write_text(page(found), encoding="utf-8")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
