"""Figures of a run and of a data set: plain data in, one PNG file out.

Only matplotlib's object interface is used. pyplot keeps global state, which leaks from job to job in a sweep,
and the style below holds only while a figure is drawn, whatever the user's own matplotlibrc says.
"""

import math
import textwrap
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib import colormaps, font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from maskcls.files import replaced_atomically

TRAIN, VALIDATION = "#0072B2", "#D55E00"  # of Okabe and Ito: colour-blind readers can tell them apart
INK, MUTED, GRID = "#222222", "#666666", "#E3E3E3"

FONTS = (  # DejaVu Sans comes with matplotlib; the others bring Hangul and Han characters where it has none
    "DejaVu Sans", "Noto Sans CJK KR", "Noto Sans CJK JP", "Noto Sans KR", "NanumGothic", "NanumBarunGothic",
    "Malgun Gothic", "Apple SD Gothic Neo", "AppleGothic", "Arial Unicode MS",
)  # fmt: skip

# The second of these comes from matplotlib before 3.11.
NO_GLYPH = r"Glyph \d+ .* missing from|Matplotlib currently does not support \w+ natively"

STYLE = {
    "figure.dpi": 120,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a '$' in a class name is a dollar sign
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "legend.columnspacing": 1.2,
}

CELLS = colormaps["Blues"]
ROUND_STEPS = (1, 2, 5, 10)
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def learning_curves(rows: Sequence[Mapping[str, float]], path: Path, title: str) -> None:
    """Draw loss, accuracy and, where it varies, the learning rate over the epochs.

    Args:
        rows: A row an epoch with the keys `epoch`, `train_loss`, `train_accuracy`, `val_loss`, `val_accuracy`
            and `learning_rate`; accuracies from 0 to 1. Values that are not finite leave a gap.
        path: The PNG file to write.
        title: Heading of the figure.

    Raises:
        ValueError: There are no rows.
    """
    with _style():
        _write(_learning_curves_figure(rows, title), path)


def class_distribution(counts: Mapping[str, Mapping[str, int]], path: Path, title: str) -> None:
    """Draw how many images each split holds of each class, and their share of the split.

    Args:
        counts: Number of images by split, then class; a class that a split does not name has none there.
        path: The PNG file to write.
        title: Heading of the figure.

    Raises:
        ValueError: There are no splits or no classes.
    """
    with _style():
        _write(_class_distribution_figure(counts, title), path)


def side_lengths(lengths: Mapping[str, Sequence[int]], path: Path, title: str) -> None:
    """Draw how many images of each class have a side of which length.

    Args:
        lengths: Pixels of each image, by class.
        path: The PNG file to write.
        title: Heading of the figure.
    """
    with _style():
        _write(_side_lengths_figure(lengths, title), path)


def sample_grid(
    images: Sequence[np.ndarray], captions: Sequence[str], path: Path, title: str, columns: int = 8
) -> None:
    """Draw images in rows, each scaled to a square cell with its caption below.

    Args:
        images: RGB uint8 arrays [H, W, 3] of any sizes.
        captions: A caption an image, of one or more lines; long lines are shortened in the middle.
        path: The PNG file to write.
        title: Heading of the figure.
        columns: Images in a row.

    Raises:
        ValueError: There are no images, or not one caption for each.
    """
    with _style():
        _write(_sample_grid_figure(images, captions, title, columns), path)


def confusion_matrix(matrix: np.ndarray, classes: Sequence[str], path: Path, title: str) -> None:
    """Draw a confusion matrix, coloured by the share of the true class.

    Args:
        matrix: Counts [C, C]; rows are true classes, columns predicted ones.
        classes: Names of the C classes.
        path: The PNG file to write.
        title: Heading of the figure.

    Raises:
        ValueError: The matrix is not square, or does not fit the classes.
    """
    with _style():
        _write(_confusion_matrix_figure(matrix, classes, title), path)


def reliability_diagram(bins: Sequence[Mapping[str, float]], path: Path, title: str) -> None:
    """Draw how often a model is right that is so sure, and how many images there are of each confidence.

    Args:
        bins: Each with `images`, `confidence` and `accuracy`, the latter two from 0 to 1.
        path: The PNG file to write.
        title: Heading of the figure.
    """
    with _style():
        _write(_reliability_figure(bins, title), path)


def _write(figure: Figure, path: Path) -> None:
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, format="png")


@contextmanager
def _style() -> Iterator[None]:
    """Hold the project's style while a figure is built and drawn."""
    installed = set(font_manager.get_font_names())
    fonts = [name for name in FONTS if name in installed]  # matplotlib would log each missing one
    style = matplotlib.style.context({**STYLE, "font.family": fonts}, after_reset=True)
    with style, warnings.catch_warnings():
        # A letter that no installed font has is drawn as a box; a run must not fail over it.
        warnings.filterwarnings("ignore", NO_GLYPH, UserWarning)
        yield


def _new_figure(width: float, height: float, title: str) -> Figure:
    """A figure with the title at the top left, and `width` by `height` inches below it."""
    lines = [part for line in _encodable(title).splitlines() for part in _wrap(line, int(9 * width))]
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.05)
    figure = Figure(figsize=(width, height + 0.1 + 0.2 * len(lines)), layout=layout)
    figure.suptitle("\n".join(lines), x=0.08 / width, ha="left")
    return figure


def _encodable(text: str) -> str:
    """Replace the bytes of a file name that were no UTF-8, which matplotlib refuses to draw."""
    return text.encode(errors="replace").decode()


def _columns(text: str) -> int:
    """Width of a text as a terminal would set it: East Asian wide letters take two columns."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _inches(names: Iterable[str]) -> float:
    """Length of the longest name in the style's font."""
    return 0.08 * max(map(_columns, names))


def _wrap(text: str, limit: int) -> list[str]:
    """Break a text into lines of roughly `limit` columns; matplotlib's own wrapping would parse mathtext."""
    return textwrap.wrap(text, limit * len(text) // max(_columns(text), 1) or 1)


def _shorten(text: str, limit: int) -> str:
    """Replace the middle of a text by an ellipsis, so that it takes `limit` columns at most."""
    shortened = text = _encodable(text)
    keep = len(text)
    while _columns(shortened) > limit:
        keep -= 1
        shortened = f"{text[: (keep + 1) // 2]}…{text[len(text) - keep // 2 :]}"
    return shortened


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _learning_curves_figure(rows: Sequence[Mapping[str, float]], title: str) -> Figure:
    if not rows:
        raise ValueError("no epochs to plot")
    epochs = [row["epoch"] for row in rows]
    rates = [row["learning_rate"] for row in rows]
    with_rates = min(rates) < max(rates)
    figure = _new_figure(12 if with_rates else 9.5, 3.5, title)
    panels = figure.subplots(1, 2 + with_rates, width_ratios=[3, 3, 1.5][: 2 + with_rates])
    loss, accuracy = panels[:2]
    marker = "o" if len(rows) <= 40 else None
    for split, name, color in (("train", "training", TRAIN), ("val", "validation", VALIDATION)):
        look = {"label": name, "color": color, "marker": marker}
        loss.plot(epochs, [row[f"{split}_loss"] for row in rows], **look)
        accuracy.plot(epochs, [100 * row[f"{split}_accuracy"] for row in rows], **look)
    loss.set_ylabel("loss (cross-entropy, nats)")
    _use_log_scale_if_wide(loss, [row[key] for row in rows for key in ("train_loss", "val_loss")])
    accuracy.set_ylabel("accuracy (%)")
    low, high = accuracy.get_ylim()
    accuracy.set_ylim(low, min(high, 100 + 0.04 * (100 - low)))  # no tick above 100 %
    if with_rates:
        panels[2].plot(epochs, rates, color=INK, marker=marker)
        panels[2].set_ylabel("learning rate")
        panels[2].ticklabel_format(axis="y", scilimits=(-3, 4))
    if best := _best_row(rows):
        label = f"best: {100 * best['val_accuracy']:.2f} %, epoch {best['epoch']:.0f}"
        accuracy.plot(
            [best["epoch"]], [100 * best["val_accuracy"]], "o", label=label, color=INK, markersize=10,
            markeredgewidth=1.6, fillstyle="none", zorder=3, clip_on=False,
        )  # fmt: skip
        for panel in panels:
            panel.axvline(best["epoch"], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for panel in panels:
        panel.set_xlabel("epoch")
        panel.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5 + 0.015 * len(rows))
        panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=ROUND_STEPS, min_n_ticks=1))
    for panel in (loss, accuracy):  # above the axes, where a legend covers no curve
        panel.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=3)
    return figure


def _best_row(rows: Sequence[Mapping[str, float]]) -> Mapping[str, float] | None:
    """The epoch of the highest validation accuracy; among equals of the lowest loss, then the first."""
    finite = [row for row in rows if math.isfinite(row["val_accuracy"]) and math.isfinite(row["val_loss"])]
    return min(finite, key=lambda row: (-row["val_accuracy"], row["val_loss"]), default=None)


def _use_log_scale_if_wide(axes: Axes, values: Iterable[float]) -> None:
    positive = [value for value in values if 0 < value < math.inf]
    if not positive or max(positive) <= 50 * min(positive):
        return
    axes.set_yscale("log")
    few_decades = max(positive) < 1000 * min(positive)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few_decades else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(_log_label))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _log_label(value: float, _position: float) -> str:
    """Label of a tick; matplotlib's own needs the mathtext that the style turns off."""
    if 1e-4 <= value < 1e4:
        return f"{value:g}"
    mantissa, exponent = f"{value:.0e}".split("e")
    power = f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    return power if mantissa == "1" else f"{mantissa}×{power}"


def _class_distribution_figure(counts: Mapping[str, Mapping[str, int]], title: str) -> Figure:
    classes = list(dict.fromkeys(name for of_class in counts.values() for name in of_class))
    if not classes:
        raise ValueError("no classes to plot")
    names = [_shorten(name, 32) for name in classes]
    figure = _new_figure(0.3 + _inches(names) + 2.8 * len(counts), 0.9 + 0.3 * len(classes), title)
    panels = figure.subplots(1, len(counts), sharex=True, sharey=True, squeeze=False)[0]
    for panel, (split, of_class) in zip(panels, counts.items(), strict=True):
        images = [of_class.get(name, 0) for name in classes]
        total = sum(images)
        bars = panel.barh(range(len(classes)), images, height=0.72, color=TRAIN)
        panel.bar_label(bars, [f"{count:,} ({_share(count, total)})" for count in images], padding=4)
        panel.set(title=f"{_shorten(split, 24)} (n = {total:,})", xlabel="images (share of split)")
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="y", visible=False)
    largest = max(count for of_class in counts.values() for count in of_class.values())
    panels[0].set_xlim(0, 1.6 * max(largest, 1))  # leaves room for the labels
    panels[0].xaxis.set_major_locator(MaxNLocator(3, integer=True, steps=ROUND_STEPS, prune="upper"))
    panels[0].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    panels[0].set_yticks(range(len(classes)), names)
    panels[0].set_ylim(len(classes) - 0.5, -0.5)  # the first class on top
    return figure


def _reliability_figure(bins: Sequence[Mapping[str, float]], title: str) -> Figure:
    figure = _new_figure(4.2, 4.6, title)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    confidence = [part["confidence"] for part in bins]
    upper.plot((0, 1), (0, 1), color=MUTED, linewidth=1, linestyle="--", label="calibrated")
    upper.plot(confidence, [part["accuracy"] for part in bins], color=TRAIN, marker="o", label="this model")
    upper.set(xlim=(0, 1.02), ylim=(0, 1.02), ylabel="share that is right")
    upper.legend(loc="upper left")
    lower.bar(confidence, [part["images"] for part in bins], width=0.03, color=TRAIN)
    lower.set(xlabel="probability of the predicted class", ylabel="images", yscale="log")
    lower.yaxis.set_major_formatter(FuncFormatter(_log_label))
    lower.yaxis.set_minor_formatter(NullFormatter())
    return figure


def _side_lengths_figure(lengths: Mapping[str, Sequence[int]], title: str) -> Figure:
    figure = _new_figure(7, 0.8 + 1.3 * len(lengths), title)
    panels = figure.subplots(len(lengths), 1, sharex=True, squeeze=False)[:, 0]
    largest = max((max(values) for values in lengths.values() if len(values)), default=1)
    edges = np.linspace(0, largest + 1, 81)
    for panel, (name, values) in zip(panels, lengths.items(), strict=True):
        panel.hist(values, bins=edges, color=TRAIN)
        panel.set(title=f"{_shorten(name, 60)} (n = {len(values):,})", ylabel="images")
        panel.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    panels[-1].set(xlabel="pixels", xlim=(0, largest + 1))
    return figure


def _sample_grid_figure(images: Sequence[np.ndarray], captions: Sequence[str], title: str, columns: int) -> Figure:
    if not len(images) or len(images) != len(captions):
        raise ValueError(f"{len(images)} images, {len(captions)} captions: one for each, and at least one")
    columns = min(columns, len(images))
    texts = ["\n".join(_shorten(line, 18) for line in caption.splitlines()) for caption in captions]
    side, gap = 1.25, 0.12  # inches, the unit of the axes
    across, down = side + gap, side + gap + 0.14 * max(text.count("\n") + 1 for text in texts)
    width, height = columns * across - gap, math.ceil(len(images) / columns) * down
    figure = _new_figure(max(width, 4) + 0.2, height + 0.1, title)
    axes = figure.subplots()
    for index, (image, text) in enumerate(zip(images, texts, strict=True)):
        x, y = index % columns * across + side / 2, index // columns * down + side / 2  # the cell's centre
        half_height, half_width = (side / 2 * length / max(image.shape[:2]) for length in image.shape[:2])
        axes.imshow(image, extent=(x - half_width, x + half_width, y + half_height, y - half_height))
        axes.text(x, y + side / 2 + 0.04, text, size=7, ha="center", va="top", in_layout=False)
    axes.set(xlim=(0, width), ylim=(height, 0), anchor="NW")
    axes.set_axis_off()
    return figure


def _confusion_matrix_figure(matrix: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    size = len(classes)
    if matrix.shape != (size, size):
        raise ValueError(f"a matrix of shape {matrix.shape} for {size} classes")
    totals = matrix.sum(axis=1)
    shares = matrix / np.maximum(totals, 1)[:, np.newaxis]
    names = [_shorten(name, 24) for name in classes]
    cell = 0.62 if size > 5 else 1.3  # inches
    tilted = _inches(names) > cell
    below = 0.75 * _inches(names) if tilted else 0.2
    figure = _new_figure(size * cell + _inches(names) + 0.6, size * cell + below + 0.7, title)
    axes = figure.subplots()
    edges = np.arange(size + 1) - 0.5
    axes.pcolormesh(edges, edges, shares, cmap=CELLS, vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
    for (row, column), count in np.ndenumerate(matrix):
        luminance = np.dot(CELLS(shares[row, column])[:3], (0.2126, 0.7152, 0.0722))
        axes.text(
            column, row, f"{count:,}\n{_share(count, totals[row])}", size=7 if size > 5 else 10,
            ha="center", va="center", color="white" if luminance < 0.5 else INK, in_layout=False,
        )  # fmt: skip
    rotation, anchor = (45, "right") if tilted else (0, "center")
    axes.set_xticks(range(size), names, rotation=rotation, ha=anchor, rotation_mode="anchor")
    axes.set_yticks(range(size), names)
    axes.set(xlabel="predicted", ylabel="true", title="images and share of the true class")
    axes.set(aspect="equal", ylim=(size - 0.5, -0.5))  # the first class on top
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    return figure
