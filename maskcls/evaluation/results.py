"""The directory ``evaluation/SPLIT``: metrics.json, predictions.csv and plots."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskcls.evaluation.measure import EvaluationData
from maskcls.evaluation.metrics import classification_metrics, reliability, slices
from maskcls.evaluation.predictions import Predictions
from maskcls.files import write_json
from maskcls.inference.predictor import Predictor
from maskcls.models.document import Document
from maskcls.reporting.text import slice_title
from maskcls.wording import counted, named

log = logging.getLogger(__name__)

SYNTHETIC_NOTE = "synthetic faces: these figures prove that the program runs, and say nothing about masks"


def evaluate_checkpoint(
    directory: Path,
    document: Document,
    predictor: Predictor,
    data: EvaluationData,
    about: Mapping[str, Any],
    *,
    plot: bool,
) -> dict[str, Any]:
    """Measure a checkpoint, and write the files of the evaluation.

    Args:
        directory, about, plot: as `write_evaluation` takes them.
        document: what the checkpoint holds beside tensors.
        predictor: its network, perhaps with another threshold.
        data: the images to measure on.

    Returns:
        The content of ``metrics.json``.

    Raises:
        MachineError: if a batch does not fit in memory.
    """
    predictions, equalised = data.predicted_by(predictor)
    about = {
        "split": data.split,
        "epoch": document.progress.epoch,
        "temperature": predictor.calibration.temperature,
        "threshold": predictor.calibration.threshold,
        **about,
    }
    positive = document.positive_class
    return write_evaluation(directory, predictions, positive, about, plot=plot, equalised=equalised)


def write_evaluation(
    directory: Path,
    predictions: Predictions,
    positive_class: str | None,
    about: Mapping[str, Any],
    *,
    plot: bool,
    equalised: Predictions | None = None,
) -> dict[str, Any]:
    """Write the files of one evaluation.

    Args:
        directory: folder to write into; it is made.
        predictions: what the model predicted.
        positive_class: as `classification_metrics` takes it.
        about: what was evaluated on what; stands before the figures in ``metrics.json``.
        plot: draw the confusion matrix and the reliability diagram.
        equalised: predictions on the same images after all were reduced to one low resolution.

    Returns:
        The content of ``metrics.json``.
    """
    metrics = {
        **about,
        **classification_metrics(predictions, positive_class),
        "slices": slices(predictions, equalised),
    }
    directory.mkdir(parents=True, exist_ok=True)
    predictions.write(directory / "predictions.csv")
    if equalised is not None:
        equalised.write(directory / "predictions_equalised.csv")
    write_json(directory / "metrics.json", metrics)
    if plot:
        _plot(directory, predictions, metrics)
    return metrics


def _plot(directory: Path, predictions: Predictions, metrics: Mapping[str, Any]) -> None:
    from maskcls.reporting.plots import confusion_matrix, reliability_diagram

    confusion_matrix(
        np.array(metrics["confusion_matrix"]["counts"]),
        predictions.classes,
        directory / "confusion_matrix.png",
        f"{metrics.get('split', 'accuracy')}: {metrics['correct']} of {counted(metrics['images'], 'image')} right, "
        f"{metrics['accuracy']:.2%}",
    )
    reliability_diagram(
        reliability(predictions),
        directory / "reliability.png",
        f"expected calibration error {100 * metrics['expected_calibration_error']:.1f} %",
    )


def report_slices(name: str, metrics: Mapping[str, Any]) -> None:
    """Show the accuracy by slice as a table, and warn if it falls without differences in resolution.

    Args:
        name: what was evaluated, such as ``test``.
        metrics: the content of ``metrics.json``.
    """
    parts = metrics["slices"]
    if not parts:
        return
    log.info("%s accuracy by slice:", name)
    width = max(len(slice_title(part)) for part in parts)
    for part, figures in parts.items():
        log.info("  %-*s  %s", width, slice_title(part), _slice_text(figures))
    equalised = parts.get("equalised")
    if equalised and equalised["accuracy_interval_95"][1] < metrics["accuracy_interval_95"][0]:
        log.warning(
            "%s: the accuracy falls from %.2f to %.2f %% when all images have one low resolution: the model relies "
            "on resolution, in which the classes may differ by accident",
            name,
            100 * metrics["accuracy"],
            100 * equalised["accuracy"],
        )


def _slice_text(figures: Mapping[str, Any]) -> str:
    without = [named(name) for name, counts in figures["classes"].items() if not counts["images"]]
    lacking = f", none of {', '.join(without)}" if without else ""
    return f"{100 * figures['accuracy']:6.2f} % of {counted(figures['images'], 'image')}{lacking}"
