"""The directory ``evaluation/SPLIT``: metrics.json, predictions.csv and plots."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from maskcls.evaluation.metrics import classification_metrics, reliability, slices
from maskcls.evaluation.predictions import Predictions
from maskcls.files import write_json

log = logging.getLogger(__name__)

SYNTHETIC_NOTE = "synthetic faces: these figures prove that the program runs, and say nothing about masks"


def write_evaluation(
    directory: Path,
    predictions: Predictions,
    positive_class: str | None,
    about: dict[str, Any],
    plot: bool,
    equalised: Predictions | None = None,
) -> dict[str, Any]:
    """Write the files of one evaluation.

    Args:
        about: what was evaluated on what; put before the figures in ``metrics.json``.
        plot: draw the confusion matrix and the reliability of the probabilities.
        equalised: the answers on the same images, brought to one low resolution first.

    Returns:
        The content of ``metrics.json``.
    """
    metrics = about | classification_metrics(predictions, positive_class) | {"slices": slices(predictions, equalised)}
    directory.mkdir(parents=True, exist_ok=True)
    predictions.write(directory / "predictions.csv")
    if equalised is not None:
        equalised.write(directory / "predictions_equalised.csv")
    write_json(directory / "metrics.json", metrics)
    if plot:
        from maskcls.reporting.plots import confusion_matrix, reliability_diagram

        confusion_matrix(
            np.array(metrics["confusion_matrix"]["counts"]),
            predictions.classes,
            directory / "confusion_matrix.png",
            f"{metrics['accuracy']:.2%} of {metrics['images']} images",
        )
        reliability_diagram(
            reliability(predictions),
            directory / "reliability.png",
            f"expected calibration error {100 * metrics['expected_calibration_error']:.1f} %",
        )
    return metrics


def report_slices(name: str, metrics: dict[str, Any]) -> None:
    """Show what an accuracy is made of, and say it where parts of it differ beyond doubt."""
    low = metrics["accuracy_interval_95"][0]
    for part, figures in metrics["slices"].items():
        if not figures["images"]:
            log.info("%s, %s: no image is left", name, part)
            continue
        without = [of_class for of_class, counts in figures["classes"].items() if not counts["images"]]
        lacking = f", none of {', '.join(without)}" if without else ""
        log.info("%s, %s: %.2f %% of %d%s", name, part, 100 * figures["accuracy"], figures["images"], lacking)
    equalised = metrics["slices"].get("equalised")
    if equalised and equalised["accuracy_interval_95"][1] < low:
        log.warning(
            "%s: the accuracy falls from %.2f to %.2f %% where all images have one low resolution: the model relies on "
            "resolution, by which the classes may differ for no reason of their own",
            name,
            100 * metrics["accuracy"],
            100 * equalised["accuracy"],
        )
