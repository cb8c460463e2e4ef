"""Figures of a run and of a data set: each function takes plain data and a title, and writes one PNG file."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from maskcls.reporting import style
from maskcls.reporting.palette import CLASS_COLOURS

# points of a line over the time of a video
TIMELINE_POINTS = 300


def learning_curves(
    rows: Sequence[Mapping[str, float]], path: Path, title: str, best: Mapping[str, float] | None = None
) -> None:
    """Draw loss, accuracy and, where it varies, the learning rate over the epochs.

    Args:
        rows: one row per epoch with the keys ``epoch``, ``train_loss``, ``train_accuracy``, ``val_loss``,
            ``val_accuracy`` and ``learning_rate``; accuracies are 0..1. Values that are not finite leave a gap.
        best: the row to mark as the best epoch, None for none.

    Raises:
        ValueError: There are no rows.
    """
    if not rows:
        raise ValueError("no epochs to plot")
    epochs = [row["epoch"] for row in rows]
    rates = [row["learning_rate"] for row in rows]
    with_rates = min(rates) < max(rates)
    marker = "o" if len(rows) <= 40 else None
    with style.drawing(path, title, width=12 if with_rates else 9.5, height=3.5) as figure:
        panels = figure.subplots(1, 2 + with_rates, width_ratios=[3, 3, 1.5][: 2 + with_rates])
        loss, accuracy = panels[:2]
        for split, name, color in (("train", "training", style.TRAIN), ("val", "validation", style.VALIDATION)):
            look = {"label": name, "color": color, "marker": marker}
            loss.plot(epochs, [row[f"{split}_loss"] for row in rows], **look)
            accuracy.plot(epochs, [100 * row[f"{split}_accuracy"] for row in rows], **look)
        loss.set_ylabel("loss (cross-entropy, nats)")
        style.use_log_scale_if_wide(loss, [row[key] for row in rows for key in ("train_loss", "val_loss")])
        accuracy.set_ylabel("accuracy (%)")
        low, high = accuracy.get_ylim()
        accuracy.set_ylim(low, min(high, 100 + 0.04 * (100 - low)))  # no tick above 100 %
        if with_rates:
            panels[2].plot(epochs, rates, color=style.INK, marker=marker)
            panels[2].set_ylabel("learning rate")
            panels[2].ticklabel_format(axis="y", scilimits=(-3, 4))
        if best is not None:
            _mark_best_epoch(best, accuracy, panels)
        for panel in panels:
            panel.set_xlabel("epoch")
            panel.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5 + 0.015 * len(rows))
            panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=style.ROUND_STEPS, min_n_ticks=1))
        for panel in (loss, accuracy):  # above the axes, where a legend covers no curve
            panel.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=3)


def _mark_best_epoch(best: Mapping[str, float], accuracy: Axes, panels: Sequence[Axes]) -> None:
    label = f"best: {100 * best['val_accuracy']:.2f} %, epoch {best['epoch']:.0f}"
    accuracy.plot(
        [best["epoch"]], [100 * best["val_accuracy"]], "o", label=label, color=style.INK, markersize=10,
        markeredgewidth=1.6, fillstyle="none", zorder=3, clip_on=False,
    )  # fmt: skip
    for panel in panels:
        panel.axvline(best["epoch"], color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)


def class_distribution(counts: Mapping[str, Mapping[str, int]], path: Path, title: str) -> None:
    """Draw the number of images in each split and class, and their share of the split.

    Args:
        counts: number of images by split and class; a class that a split does not name has no images there.

    Raises:
        ValueError: There are no splits or no classes.
    """
    classes = list(dict.fromkeys(name for by_class in counts.values() for name in by_class))
    if not classes:
        raise ValueError("no classes to plot")
    names = [style.shorten(name, 32) for name in classes]
    width, height = 0.3 + style.inches(names) + 2.8 * len(counts), 0.9 + 0.3 * len(classes)
    with style.drawing(path, title, width=width, height=height) as figure:
        panels = figure.subplots(1, len(counts), sharex=True, sharey=True, squeeze=False)[0]
        for panel, (split, by_class) in zip(panels, counts.items(), strict=True):
            images = [by_class.get(name, 0) for name in classes]
            total = sum(images)
            bars = panel.barh(range(len(classes)), images, height=0.72, color=style.TRAIN)
            panel.bar_label(bars, [f"{count:,} ({_share(count, total)})" for count in images], padding=4)
            panel.set(title=f"{style.shorten(split, 24)} (n = {total:,})", xlabel="images (share of split)")
            panel.tick_params(axis="y", length=0)
            panel.grid(axis="y", visible=False)
        largest = max(count for by_class in counts.values() for count in by_class.values())
        panels[0].set_xlim(0, 1.6 * max(largest, 1))  # leaves room for the labels
        panels[0].xaxis.set_major_locator(MaxNLocator(3, integer=True, steps=style.ROUND_STEPS, prune="upper"))
        panels[0].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        panels[0].set_yticks(range(len(classes)), names)
        panels[0].set_ylim(len(classes) - 0.5, -0.5)  # the first class on top


def side_lengths(lengths: Mapping[str, Sequence[int]], path: Path, title: str) -> None:
    """Draw a histogram of the images' sides for each class.

    Args:
        lengths: side of each image in pixels, by class.
    """
    largest = max((max(values) for values in lengths.values() if len(values)), default=1)
    edges = np.linspace(0, largest + 1, 81)
    with style.drawing(path, title, width=7, height=0.8 + 1.3 * len(lengths)) as figure:
        panels = figure.subplots(len(lengths), 1, sharex=True, squeeze=False)[:, 0]
        for panel, (name, values) in zip(panels, lengths.items(), strict=True):
            panel.hist(values, bins=edges, color=style.TRAIN)
            panel.set(title=f"{style.shorten(name, 60)} (n = {len(values):,})", ylabel="images")
            panel.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        panels[-1].set(xlabel="pixels", xlim=(0, largest + 1))


def sample_grid(
    images: Sequence[np.ndarray], captions: Sequence[str], path: Path, title: str, columns: int = 8
) -> None:
    """Draw images in rows, each scaled to a square cell with its caption below.

    Args:
        images: RGB uint8 [height, width, 3], of any sizes.
        captions: one caption per image, of one or more lines; long lines are shortened in the middle.
        columns: number of images in a row.

    Raises:
        ValueError: There are no images, or not one caption for each.
    """
    if not len(images) or len(images) != len(captions):
        raise ValueError(f"{len(images)} images, {len(captions)} captions: expected one for each, and at least one")
    columns = min(columns, len(images))
    texts = ["\n".join(style.shorten(line, 18) for line in caption.splitlines()) for caption in captions]
    side, gap = 1.25, 0.12  # inches, the unit of the axes
    across, down = side + gap, side + gap + 0.14 * max(text.count("\n") + 1 for text in texts)
    width, height = columns * across - gap, math.ceil(len(images) / columns) * down
    with style.drawing(path, title, width=max(width, 4) + 0.2, height=height + 0.1) as figure:
        axes = figure.subplots()
        for index, (image, text) in enumerate(zip(images, texts, strict=True)):
            x, y = index % columns * across + side / 2, index // columns * down + side / 2  # the cell's centre
            half_height, half_width = (side / 2 * length / max(image.shape[:2]) for length in image.shape[:2])
            axes.imshow(image, extent=(x - half_width, x + half_width, y + half_height, y - half_height))
            axes.text(x, y + side / 2 + 0.04, text, size=7, ha="center", va="top", in_layout=False)
        axes.set(xlim=(0, width), ylim=(height, 0), anchor="NW")
        axes.set_axis_off()


def confusion_matrix(matrix: np.ndarray, classes: Sequence[str], path: Path, title: str) -> None:
    """Draw a confusion matrix, coloured by the share of the true class.

    Args:
        matrix: int64 [classes, classes], number of images; rows are true classes, columns predicted ones.
        classes: names of the classes.

    Raises:
        ValueError: The matrix is not square, or does not fit the classes.
    """
    size = len(classes)
    if matrix.shape != (size, size):
        raise ValueError(f"a matrix of shape {matrix.shape} for {size} classes")
    totals = matrix.sum(axis=1)
    shares = matrix / np.maximum(totals, 1)[:, np.newaxis]
    names = [style.shorten(name, 24) for name in classes]
    cell = 0.62 if size > 5 else 1.3  # inches
    tilted = style.inches(names) > cell
    below = 0.75 * style.inches(names) if tilted else 0.2
    width, height = size * cell + style.inches(names) + 0.6, size * cell + below + 0.7
    edges = np.arange(size + 1) - 0.5
    with style.drawing(path, title, width=width, height=height) as figure:
        axes = figure.subplots()
        axes.pcolormesh(edges, edges, shares, cmap=style.CELLS, vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
        for (row, column), count in np.ndenumerate(matrix):
            luminance = np.dot(style.CELLS(shares[row, column])[:3], (0.2126, 0.7152, 0.0722))
            axes.text(
                column, row, f"{count:,}\n{_share(count, totals[row])}", size=7 if size > 5 else 10,
                ha="center", va="center", color="white" if luminance < 0.5 else style.INK, in_layout=False,
            )  # fmt: skip
        rotation, anchor = (45, "right") if tilted else (0, "center")
        axes.set_xticks(range(size), names, rotation=rotation, ha=anchor, rotation_mode="anchor")
        axes.set_yticks(range(size), names)
        axes.set(xlabel="predicted", ylabel="true", title="images and share of the true class")
        axes.set(aspect="equal", ylim=(size - 0.5, -0.5))  # the first class on top
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.grid(visible=False)


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def reliability_diagram(bins: Sequence[Mapping[str, float]], path: Path, title: str) -> None:
    """Draw accuracy against confidence, and the number of images at each confidence.

    Args:
        bins: ``images``, ``confidence`` and ``accuracy`` of each bin; the latter two are 0..1.
    """
    confidence = [part["confidence"] for part in bins]
    with style.drawing(path, title, width=4.2, height=4.6) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot((0, 1), (0, 1), color=style.MUTED, linewidth=1, linestyle="--", label="perfectly calibrated")
        upper.plot(confidence, [part["accuracy"] for part in bins], color=style.TRAIN, marker="o", label="this model")
        upper.set(xlim=(0, 1.02), ylim=(0, 1.02), ylabel="accuracy")
        upper.legend(loc="upper left")
        lower.bar(confidence, [part["images"] for part in bins], width=0.03, color=style.TRAIN)
        lower.set(xlabel="confidence (probability of the predicted class)", ylabel="images")
        style.use_log_scale(lower)


def timeline(
    seconds: np.ndarray, frames: np.ndarray, faces: np.ndarray, classes: Sequence[str], path: Path, title: str
) -> None:
    """Draw over the time of a video how many faces of each class are in a frame, and the share of each class.

    Args:
        seconds: int [n], seconds of the video in which frames were predicted.
        frames: int [n], the number of these frames.
        faces: int [n, classes], faces of each class in them.
        classes: names of the classes, in the order of the columns.

    Raises:
        ValueError: There are no seconds.
    """
    if not len(seconds):
        raise ValueError("no seconds to plot")
    length = int(seconds.max()) + 1
    step = -(-length // TIMELINE_POINTS)  # seconds in a point
    points = -(-length // step)
    unit, scale = ("minutes", 60) if length > 180 else ("seconds", 1)
    edges = step * np.arange(points + 1) / scale
    frames = np.bincount(seconds // step, frames, points)
    faces = np.stack([np.bincount(seconds // step, of_class, points) for of_class in faces.T], axis=1)
    # nothing is drawn where there is no frame, or no face
    per_frame = faces / np.where(frames, frames, np.nan)[:, None]
    shares = 100 * faces / np.where(faces.sum(axis=1), faces.sum(axis=1), np.nan)[:, None]
    with style.drawing(path, title, width=9.5, height=4.5) as figure:
        count, share = figure.subplots(2, 1, sharex=True)
        for number, name in enumerate(classes):
            look = {"color": CLASS_COLOURS[number % len(CLASS_COLOURS)], "linestyle": style.DASHES[number % 4]}
            for panel, values in ((count, per_frame), (share, shares)):
                panel.stairs(values[:, number], edges, label=style.shorten(name, 32), baseline=None, **look)
        count.set_ylabel("faces in a frame")
        count.set_ylim(bottom=0)
        share.set(ylabel="share of faces (%)", ylim=(-3, 103), xlabel=f"time ({unit})", xlim=(0, edges[-1]))
        count.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=4)
