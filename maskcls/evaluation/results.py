"""The directory ``evaluation/SPLIT``: metrics.json, predictions.csv and the confusion matrix."""

from pathlib import Path
from typing import Any

import numpy as np

from maskcls.evaluation.metrics import classification_metrics
from maskcls.evaluation.predictions import Predictions
from maskcls.run import write_json

SYNTHETIC_NOTE = "synthetic faces: these figures prove that the program runs, and say nothing about masks"


def write_evaluation(
    directory: Path, predictions: Predictions, positive_class: str | None, about: dict[str, Any], plot: bool
) -> dict[str, Any]:
    """Write the files of one evaluation.

    Args:
        about: what was evaluated on what; put before the figures in ``metrics.json``.
        plot: draw the confusion matrix.

    Returns:
        The content of ``metrics.json``.
    """
    metrics = about | classification_metrics(predictions, positive_class)
    directory.mkdir(parents=True, exist_ok=True)
    predictions.write(directory / "predictions.csv")
    write_json(directory / "metrics.json", metrics)
    if plot:
        from maskcls.reporting.plots import confusion_matrix

        confusion_matrix(
            np.array(metrics["confusion_matrix"]["counts"]),
            predictions.classes,
            directory / "confusion_matrix.png",
            f"{metrics['accuracy']:.2%} of {metrics['images']} images",
        )
    return metrics
