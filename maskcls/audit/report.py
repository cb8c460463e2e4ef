"""The pictures of an audit: PNG plots, and one HTML page that contains everything."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskcls.audit.duplicates import EDITED, EVIDENCE, Link
from maskcls.audit.issues import Issue
from maskcls.audit.labelled import Labelled, conflicts, groups_of
from maskcls.audit.results import AuditResult
from maskcls.data.decode import UnreadableImageError, decode_image
from maskcls.files import replaced_atomically
from maskcls.progress import progress
from maskcls.reporting.plots import class_distribution, sample_grid, side_lengths
from maskcls.wording import counted

# longer side in pixels of a picture on the page
SHOWN_SIDE = 112
# largest number of pictures in a row, of rows, and of pairs, in each section
IN_A_ROW, ROWS, PAIRS = 10, 12, 24
# largest number of leaked files that are shown as pictures; a table lists all of them
LEAKS = 200
# what is written above the pictures of a fault
FAULTS = {
    "cut_off": "The end of the file is missing",
    "single_colour": "A single colour",
    "dark": "Dark",
    "bright": "Bright",
    "low_contrast": "Little contrast",
    "blurred": "Blurred",
    "odd_size": "An unusual size",
    "odd_aspect": "An unusual shape",
    "no_face": "No face was found",
}
# number of pictures in the plot of samples
SAMPLES = 32


def write_report(directory: Path, result: AuditResult, content: Mapping[str, Any]) -> None:
    """Draw ``plots/*.png`` and write ``report.html``, which needs no other file.

    Args:
        directory: run directory of the audit.
        result: everything that the audit found; some of the pictures are read again.
        content: content of ``audit.json``.
    """
    import jinja2

    plots = directory / "plots"
    plots.mkdir(exist_ok=True)
    _draw_plots(plots, result)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("maskcls.audit", ""), autoescape=True, undefined=jinja2.StrictUndefined
    )
    matched = [link for link in result.links if link.match]
    leaked = [issue for issue in result.issues if issue.kind == "leak"]
    page = environment.get_template("report.html").render(
        audit=content,
        counted=counted,
        plots=[(path.stem.replace("_", " "), _data_url(path.read_bytes(), "png")) for path in sorted(plots.glob("*"))],
        evidence=EVIDENCE,
        largest=_rows(result, _largest(result.files)),
        leaked=_leaks(result, progress(leaked[:LEAKS], total=len(leaked[:LEAKS]), phase="draw", unit="pairs")),
        all_leaked=[(result.facts[one.image].path, result.facts[one.related or 0].path, one) for one in leaked],
        edited=_pairs(result, _spread([link for link in matched if link.evidence == EDITED])),
        weakest=_pairs(result, sorted(matched, key=lambda link: link.match.agreement if link.match else 1.0)[:PAIRS]),
        conflicts=_rows(result, conflicts(result.files)[:ROWS]),
        faults=[(title, *_faulty(result, fault)) for fault, title in FAULTS.items()],
    )
    with replaced_atomically(directory / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def _draw_plots(directory: Path, result: AuditResult) -> None:
    index, facts, files = result.index, result.facts, result.files
    class_distribution(index.counts(), directory / "class_distribution.png", "files by split and class")
    readable = np.array([i for i, fact in enumerate(facts) if fact.fault is None])
    if not len(readable):
        return
    sides = {
        name: [max(facts[i].width, facts[i].height) for i in readable if files.classes[i] == name]
        for name in index.classes
    }
    side_lengths(sides, directory / "side_lengths.png", "longer side of the files, pixels")
    chosen = readable[np.sort(np.random.default_rng(0).permutation(len(readable))[:SAMPLES])]
    images = [_shrunk(decode_image(index.root / facts[i].path)) for i in chosen]
    sample_grid(images, files.classes[chosen].tolist(), directory / "samples.png", "some of the files")


def _pictures(result: AuditResult, positions: Iterable[int]) -> list[dict[str, str]]:
    paths = [result.facts[position].path for position in positions]
    return [{"source": _small_version(result.index.root / path), "path": path, "detail": ""} for path in paths]


def _faulty(result: AuditResult, fault: str) -> tuple[list[dict[str, str]], int]:
    """Return the pictures of the worst files with a fault, each with what is said of it, and the number of others."""
    issues = [issue for issue in result.issues if issue.fault == fault]
    pictures = _pictures(result, [issue.image for issue in issues[:PAIRS]])
    shown = [{**picture, "detail": issue.detail} for picture, issue in zip(pictures, issues, strict=False)]
    return shown, len(issues[PAIRS:])


def _leaks(result: AuditResult, issues: Iterable[Issue]) -> list[dict[str, Any]]:
    return [
        {"pictures": _pictures(result, (one.image, one.related or 0)), "text": f"{one.detail}, {one.score:.2f}"}
        for one in issues
    ]


def _rows(result: AuditResult, parts: Iterable[Sequence[int]]) -> list[dict[str, Any]]:
    """Return the first pictures of each part, and the number of further ones."""
    return [{"pictures": _pictures(result, part[:IN_A_ROW]), "more": len(part[IN_A_ROW:])} for part in parts]


def _pairs(result: AuditResult, links: Iterable[Link]) -> list[dict[str, Any]]:
    return [{"pictures": _pictures(result, (link.first, link.second)), "text": _agreement(link)} for link in links]


def _agreement(link: Link) -> str:
    """Say how well the files of a link agree."""
    if link.match is None:
        return link.evidence
    features = f"{link.match.inliers} features agree, " if link.match.inliers else ""
    mirrored = ", mirrored" if link.match.is_mirrored else ""
    return f"{link.evidence}: {features}correlation {link.match.agreement:.2f}{mirrored}"


def _largest(files: Labelled) -> list[list[int]]:
    """Return the positions of the files in each of the largest groups."""
    largest = sorted(groups_of(files.groups.unedited), key=lambda part: (-len(part), part))[:ROWS]
    return [part for part in largest if len(part) > 1]


def _spread(links: Sequence[Link]) -> list[Link]:
    """Choose at most `PAIRS` links from all over the list."""
    step = max(1, len(links) // PAIRS)
    return list(links[::step][:PAIRS])


def _small_version(path: Path) -> str:
    """Return a small version of an image file as a data URL, "" where the file cannot be read."""
    try:
        image = decode_image(path)
    except UnreadableImageError:
        return ""
    shown = cv2.cvtColor(_shrunk(image), cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return _data_url(encoded.tobytes(), "jpeg")


def _shrunk(image: np.ndarray) -> np.ndarray:
    """Resize an image to a longer side of `SHOWN_SIDE` pixels."""
    scale = SHOWN_SIDE / max(image.shape[:2])
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)


def _data_url(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
