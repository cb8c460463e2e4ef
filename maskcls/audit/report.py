"""The pictures of an audit: PNG plots, and one HTML page that holds everything."""

import base64
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskcls.audit.duplicates import EDITED, EVIDENCE, Link
from maskcls.audit.files import FileFacts
from maskcls.audit.findings import Labelled, conflicts
from maskcls.data.decode import UnreadableImageError, decode_image
from maskcls.files import replaced_atomically
from maskcls.reporting.plots import class_distribution, sample_grid, side_lengths

# pixels of a picture's longer side on the page
SHOWN_SIDE = 112
# pictures of one photograph, rows of them, and pairs that are shown of each kind
IN_A_ROW, ROWS, PAIRS = 10, 12, 24
SAMPLES = 32


def write_report(
    directory: Path,
    root: Path,
    content: Mapping[str, Any],
    facts: Sequence[FileFacts],
    links: Sequence[Link],
    files: Labelled,
) -> None:
    """Draw ``plots/*.png`` and write ``report.html``, which needs no other file.

    Args:
        root: of the data set, whose pictures are read again.
        content: of ``audit.json``.
    """
    import jinja2

    plots = directory / "plots"
    plots.mkdir(exist_ok=True)
    class_distribution(content["data"]["files"], plots / "class_distribution.png", "files by split and class")
    readable = np.array([i for i, fact in enumerate(facts) if fact.fault is None])
    if len(readable):
        sides = {
            name: [max(facts[i].width, facts[i].height) for i in readable if files.classes[i] == name]
            for name in content["data"]["classes"]
        }
        side_lengths(sides, plots / "side_lengths.png", "longer side of the files, pixels")
        chosen = readable[np.sort(np.random.default_rng(0).permutation(len(readable))[:SAMPLES])]
        images = [_shrunk(decode_image(root / facts[i].path)) for i in chosen]
        sample_grid(images, files.classes[chosen].tolist(), plots / "samples.png", "some of the files")

    def pictures(positions: Iterable[int]) -> list[dict[str, str]]:
        return [
            {"source": _picture(root / facts[i].path), "path": facts[i].path, "split": str(files.splits[i])}
            for i in positions
        ]

    def pairs(chosen: Iterable[Link]) -> list[dict[str, Any]]:
        return [
            {
                "pictures": pictures((link.first, link.second)),
                "evidence": link.evidence,
                "match": link.match,
            }
            for link in chosen
        ]

    matched = [link for link in links if link.match]
    across = [link for link in matched if files.splits[link.first] != files.splits[link.second]]
    doubtful = sorted(matched, key=lambda link: link.match.agreement if link.match else 1.0)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("maskcls.audit", ""), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("report.html").render(
        audit=content,
        plots=[
            (path.stem.replace("_", " "), _data_url(path.read_bytes(), "png")) for path in sorted(plots.glob("*.png"))
        ],
        evidence=EVIDENCE,
        largest=[
            pictures(part[:IN_A_ROW]) + [{"more": len(part) - IN_A_ROW}] * (len(part) > IN_A_ROW)
            for part in _largest(files)
        ],
        across=pairs(_spread(across)),
        edited=pairs(_spread([link for link in links if link.evidence == EDITED])),
        weakest=pairs(doubtful[:PAIRS]),
        conflicts=[pictures(part[:IN_A_ROW]) for part in conflicts(files)[:ROWS]],
        bad=pictures([i for i, fact in enumerate(facts) if fact.is_constant or fact.is_truncated][:PAIRS]),
    )
    with replaced_atomically(directory / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def _largest(files: Labelled) -> list[list[int]]:
    """Positions of the files of the photographs that most files show."""
    by_photograph: dict[int, list[int]] = defaultdict(list)
    for position, photograph in enumerate(files.duplicates.tolist()):
        by_photograph[photograph].append(position)
    largest = sorted(by_photograph.values(), key=lambda part: -len(part))[:ROWS]
    return [part for part in largest if len(part) > 1]


def _spread(links: Sequence[Link]) -> list[Link]:
    """Some links, from all over the list."""
    step = max(1, len(links) // PAIRS)
    return list(links[::step][:PAIRS])


def _picture(path: Path) -> str:
    """A small version of an image file as a data URL, an empty one where it cannot be read."""
    try:
        image = decode_image(path)
    except UnreadableImageError:
        return ""
    shown = cv2.cvtColor(_shrunk(image), cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return _data_url(encoded.tobytes(), "jpeg")


def _shrunk(image: np.ndarray) -> np.ndarray:
    """The image with its longer side `SHOWN_SIDE` pixels."""
    scale = SHOWN_SIDE / max(image.shape[:2])
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)


def _data_url(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
