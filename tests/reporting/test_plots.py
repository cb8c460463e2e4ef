"""What the figures show."""

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from figures import assert_shows_something, drawn
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from maskcls.reporting import style
from maskcls.reporting.plots import (
    class_distribution,
    confusion_matrix,
    learning_curves,
    reliability_diagram,
    sample_grid,
    side_lengths,
)

KOREAN = "마스크 미착용"


def rows_of(
    val_accuracy: list[float],
    val_loss: list[float] | None = None,
    train_loss: float = 0.5,
    learning_rate: list[float] | None = None,
) -> list[dict[str, float]]:
    epochs = len(val_accuracy)
    columns = zip(val_accuracy, val_loss or [0.5] * epochs, learning_rate or [0.01] * epochs, strict=True)
    return [
        {
            "epoch": epoch,
            "train_loss": train_loss,
            "train_accuracy": 0.9,
            "val_loss": loss,
            "val_accuracy": accuracy,
            "learning_rate": rate,
        }
        for epoch, (accuracy, loss, rate) in enumerate(columns, start=1)
    ]


def curve_panels(rows: list[dict[str, float]]) -> list[Axes]:
    return drawn(learning_curves, rows).axes


def curve(panel: Axes, label: str) -> tuple[list[float], list[float]]:
    (line,) = [line for line in panel.lines if str(line.get_label()).startswith(label)]
    return list(np.asarray(line.get_xdata())), list(np.asarray(line.get_ydata()))


# Learning curves


def test_curves_hold_the_rows() -> None:
    loss, accuracy = curve_panels(rows_of([0.9, 0.98375, 0.97], [0.3463, 0.0427, 0.0521]))
    assert curve(loss, "validation") == ([1, 2, 3], [0.3463, 0.0427, 0.0521])
    assert curve(loss, "training") == ([1, 2, 3], [0.5, 0.5, 0.5])
    assert curve(accuracy, "validation") == ([1, 2, 3], [90, 98.375, 97])
    assert curve(accuracy, "training") == ([1, 2, 3], [90, 90, 90])
    assert loss.get_ylabel() == "loss (cross-entropy, nats)"
    assert accuracy.get_ylabel() == "accuracy (%)"
    assert {panel.get_xlabel() for panel in (loss, accuracy)} == {"epoch"}


@pytest.mark.parametrize("best", [1, 2])  # not always the highest accuracy: see select
def test_best_epoch_is_marked(best: int) -> None:
    val_accuracy = [0.9, 0.98, 0.97]
    rows = rows_of(val_accuracy)
    panels = drawn(partial(learning_curves, best=rows[best - 1]), rows).axes
    percent = 100 * val_accuracy[best - 1]
    label = f"best: {percent:.2f} %, epoch {best}"
    assert curve(panels[1], label) == ([best], [percent])
    legend = panels[1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation", label]
    for panel in panels:
        (upright,) = [line for line in panel.lines if line.get_linestyle() == "--"]
        assert list(np.asarray(upright.get_xdata())) == [best, best]


def test_no_best_epoch_is_marked_where_there_is_none() -> None:
    _, accuracy = curve_panels(rows_of([math.nan, 0.5], [0.1, math.nan]))
    assert [line.get_label() for line in accuracy.lines] == ["training", "validation"]


@pytest.mark.parametrize(
    ("val_loss", "scale"),
    [
        ([0.5, 0.01], "linear"),  # 50 times, not more
        ([0.5, 0.0099], "log"),
        ([0.5, 0.0], "linear"),  # the smallest positive loss counts
        ([0.5, math.nan], "linear"),
        ([0.5, math.inf], "linear"),
        ([math.nan, 871142677.656], "log"),
    ],
)
def test_loss_scale(val_loss: list[float], scale: str) -> None:
    loss, accuracy = curve_panels(rows_of([0.5, 0.5], val_loss))
    assert (loss.get_yscale(), accuracy.get_yscale()) == (scale, "linear")


def test_log_ticks_are_readable_without_mathtext() -> None:
    loss, _ = curve_panels(rows_of([0.5, 0.5], [0.69, 871142677.656]))
    labels = [label.get_text() for label in loss.get_yticklabels()]
    assert {"1", "100", "10⁴"} <= set(labels) or {"10", "1000", "10⁵"} <= set(labels), labels
    assert not any("$" in label for label in labels)


def test_learning_rate_has_a_panel_only_where_it_varies() -> None:
    assert len(curve_panels(rows_of([0.5, 0.6]))) == 2
    loss, accuracy, rate = curve_panels(rows_of([0.5, 0.6], learning_rate=[0.01, 0.001]))
    assert rate.get_ylabel() == "learning rate"
    assert list(np.asarray(rate.lines[0].get_ydata())) == [0.01, 0.001]
    assert rate.get_position().width < 0.6 * loss.get_position().width
    assert loss.get_position().width == pytest.approx(accuracy.get_position().width, rel=0.02)


@pytest.mark.parametrize("epochs", [1, 2, 200])
def test_any_number_of_epochs(epochs: int) -> None:
    _, accuracy = curve_panels(rows_of([1.0] * epochs))
    left, right = accuracy.get_xlim()
    ticks = [tick for tick in accuracy.get_xticks() if left <= tick <= right]
    assert 1 <= len(ticks) <= 12
    assert all(float(tick).is_integer() and 1 <= tick <= epochs for tick in ticks)
    assert all(tick <= 100 for tick in accuracy.get_yticks() if tick <= accuracy.get_ylim()[1])
    assert accuracy.get_ylim()[1] >= 100
    marker = accuracy.lines[0].get_marker()
    assert marker == ("None" if epochs == 200 else "o"), "a single epoch is seen by its dot alone"


# Class distribution


def test_bars_hold_counts_and_shares() -> None:
    counts = {
        "train": {"WithMask": 5000, "WithoutMask": 5000},
        "test": {"WithoutMask": 509, "WithMask": 483},
        "val": {"WithMask": 1},
        "empty": {},
    }
    figure = drawn(class_distribution, counts)
    shown = {
        panel.get_title(loc="left"): [
            (text.get_text(), bar.get_width())  # type: ignore[attr-defined]
            for text, bar in zip(panel.texts, panel.patches, strict=True)
        ]
        for panel in figure.axes
    }
    assert shown == {
        "train (n = 10,000)": [("5,000 (50.0 %)", 5000), ("5,000 (50.0 %)", 5000)],
        "test (n = 992)": [("483 (48.7 %)", 483), ("509 (51.3 %)", 509)],
        "val (n = 1)": [("1 (100.0 %)", 1), ("0 (0.0 %)", 0)],
        "empty (n = 0)": [("0 (–)", 0), ("0 (–)", 0)],
    }
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["WithMask", "WithoutMask"]
    assert len({panel.get_xlim() for panel in figure.axes}) == 1, "one scale for all splits"


@pytest.mark.parametrize("counts", [{}, {"train": {}}])
def test_distribution_of_nothing(counts: Mapping[str, Mapping[str, int]], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no classes"):
        class_distribution(counts, tmp_path / "x.png", "title")


# Sample grid


def test_images_keep_their_shape_and_do_not_overlap() -> None:
    sizes = [(20, 40), (40, 20), (7, 7), (1, 300), (64, 64)]
    images = [np.full((*size, 3), 10 * index, np.uint8) for index, size in enumerate(sizes)]
    captions = ["a", "two\nlines", "", "Augmented_4_9412325_some_long_name.png", KOREAN]
    (axes,) = drawn(partial(sample_grid, columns=3), images, captions).axes
    boxes = [picture.get_extent() for picture in axes.images]
    for (left, right, bottom, top), (height, width), picture, image in zip(
        boxes, sizes, axes.images, images, strict=True
    ):
        assert (right - left) / (bottom - top) == pytest.approx(width / height)
        assert max(right - left, bottom - top) == pytest.approx(1.25)
        assert np.array_equal(np.asarray(picture.get_array()), image)
    centres = [((left + right) / 2, (bottom + top) / 2) for left, right, bottom, top in boxes]
    assert centres[0][1] == centres[2][1] < centres[3][1] == centres[4][1], "three in the first row, two below"
    assert centres[0][0] == centres[3][0] < centres[1][0] == centres[4][0] < centres[2][0]
    shown = [text.get_text() for text in axes.texts]
    assert shown == ["a", "two\nlines", "", "Augmented…name.png", KOREAN]


def test_colours_of_an_image_reach_the_file(tmp_path: Path) -> None:
    red = np.zeros((30, 30, 3), np.uint8)
    red[..., 0] = 255
    sample_grid([red], ["red"], tmp_path / "x.png", "title")
    blue_green_red = assert_shows_something(tmp_path / "x.png")[..., :3]
    assert np.all(blue_green_red == (0, 0, 255), axis=-1).sum() > 100 * 100


@pytest.mark.parametrize(("images", "captions"), [(0, 0), (2, 1), (1, 2)])
def test_grid_needs_a_caption_for_each_image(images: int, captions: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{images} images, {captions} captions: expected one for each"):
        sample_grid([np.zeros((4, 4, 3), np.uint8)] * images, ["a"] * captions, tmp_path / "x.png", "title")


# Confusion matrix


def cells_of(matrix: Any) -> dict[tuple[int, int], tuple[str, str]]:
    """(true, predicted) -> text, its colour."""
    matrix = np.asarray(matrix)
    (axes,) = drawn(confusion_matrix, matrix, [f"c{index}" for index in range(len(matrix))]).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert axes.yaxis_inverted(), "first class on top, as in the array"
    return {
        (int(text.get_position()[1]), int(text.get_position()[0])): (
            text.get_text(),
            to_hex(text.get_color()),
        )
        for text in axes.texts
    }


def test_cells_hold_counts_and_row_shares() -> None:
    dark, light = style.INK, "#ffffff"
    assert cells_of([[97, 302], [12345, 0]]) == {
        (0, 0): ("97\n24.3 %", dark),
        (0, 1): ("302\n75.7 %", light),
        (1, 0): ("12,345\n100.0 %", light),
        (1, 1): ("0\n0.0 %", dark),
    }


def test_class_without_images_has_no_share() -> None:
    cells = cells_of([[0, 0, 0], [1, 2, 1], [0, 0, 5]])
    assert [cells[0, column][0] for column in range(3)] == ["0\n–"] * 3
    assert cells[1, 1][0] == "2\n50.0 %"


@pytest.mark.parametrize("share", range(0, 101, 10))
def test_text_stands_out_from_its_cell(share: int) -> None:
    def luminance(color: Any) -> float:  # WCAG 2
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    _, color = cells_of([[share, 100 - share], [0, 1]])[0, 0]
    text, cell = luminance(matplotlib.colors.to_rgb(color)), luminance(style.CELLS(share / 100))
    contrast = (max(text, cell) + 0.05) / (min(text, cell) + 0.05)
    assert contrast > 3.5


def test_names_that_do_not_fit_are_tilted() -> None:
    long = drawn(confusion_matrix, np.eye(2, dtype=int), ["a", "x" * 100]).axes[0]
    short = drawn(confusion_matrix, np.eye(2, dtype=int), ["WithMask", "WithoutMask"]).axes[0]
    assert {label.get_rotation() for label in long.get_xticklabels()} == {45}
    assert {label.get_rotation() for label in short.get_xticklabels()} == {0}
    assert [label.get_text() for label in long.get_yticklabels()] == ["a", "x" * 12 + "…" + "x" * 11]


@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (4,)])
def test_matrix_must_fit_the_classes(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="for 2 classes"):
        confusion_matrix(np.ones(shape, int), ["a", "b"], tmp_path / "x.png", "title")


# Side lengths


def test_each_class_has_a_histogram_on_one_scale() -> None:
    figure = drawn(side_lengths, {"A": [10, 10, 99], "B": [], "한글": [50]})
    heights = [[bar.get_height() for bar in panel.patches] for panel in figure.axes]  # type: ignore[attr-defined]
    assert [sum(of_class) for of_class in heights] == [3, 0, 1]
    assert max(heights[0]) == 2
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["A (n = 3)", "B (n = 0)", "한글 (n = 1)"]
    assert {panel.get_xlim() for panel in figure.axes} == {(0, 100)}


# Reliability


def test_accuracy_is_drawn_against_confidence() -> None:
    bins = [{"images": 3, "confidence": 0.6, "accuracy": 0.5}, {"images": 1000, "confidence": 0.95, "accuracy": 0.9}]
    upper, lower = drawn(reliability_diagram, bins).axes
    assert curve(upper, "this model") == ([0.6, 0.95], [0.5, 0.9])
    assert curve(upper, "perfectly calibrated") == ([0, 1], [0, 1])
    assert [bar.get_height() for bar in lower.patches] == [3, 1000]  # type: ignore[attr-defined]
    assert lower.get_yscale() == "log"


# Text and files


def test_any_name_is_drawn(tmp_path: Path) -> None:
    names = [KOREAN, "$x^$", r"$\frac{$", "a_{b}%", "😷", "தமிழ்", "bytes\udcff", "tab\t"]
    for index, name in enumerate(names):
        sample_grid([np.zeros((8, 8, 3), np.uint8)], [name], tmp_path / f"{index}.png", name)
        assert_shows_something(tmp_path / f"{index}.png")
    confusion_matrix(np.eye(len(names), dtype=int), names, tmp_path / "matrix.png", "title")
    assert_shows_something(tmp_path / "matrix.png")
    class_distribution({"$": dict.fromkeys(names, 3)}, tmp_path / "bars.png", "title")
    assert_shows_something(tmp_path / "bars.png")


def test_dollar_is_drawn_as_it_is() -> None:
    figure = drawn(confusion_matrix, np.eye(2, dtype=int), ["$a$", "b"], title="$title$")
    texts = [*figure.texts, *figure.axes[0].get_xticklabels(), *figure.axes[0].get_yticklabels()]
    assert not any(text.get_parse_math() for text in texts)
    assert "$title$" in [text.get_text() for text in texts]


def test_files_are_png_of_the_expected_size(tmp_path: Path) -> None:
    path = tmp_path / "curves.of.a.run"  # the name does not choose the format
    learning_curves(rows_of([0.9, 0.95]), path, "title")
    height, width = assert_shows_something(path).shape[:2]
    assert (width, height) == (round(9.5 * 120), round(3.8 * 120))


def test_no_epochs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no epochs"):
        learning_curves([], tmp_path / "x.png", "title")
