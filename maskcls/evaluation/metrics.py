"""Figures of merit, pure functions of `Predictions`."""

from typing import Any

import numpy as np

from maskcls.evaluation.predictions import Predictions


def accuracy_interval(correct: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927, https://doi.org/10.2307/2276774).

    It supposes independent images; several pictures of one photograph make it too narrow.
    """
    from scipy.stats import binomtest

    interval = binomtest(correct, count).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def classification_metrics(predictions: Predictions, positive_class: str | None) -> dict[str, Any]:
    """Accuracy with its interval, loss, each class's precision, recall and F1, and the confusion matrix.

    Args:
        positive_class: the class that sensitivity, specificity and ROC AUC speak of; None leaves them out.

    Returns:
        Plain values, for JSON. A figure that is not defined, such as the recall of a class without images, is None.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

    labels, predicted = predictions.labels, predictions.predicted
    count, correct = len(labels), int((labels == predicted).sum())
    each_class = range(len(predictions.classes))
    matrix = confusion_matrix(labels, predicted, labels=each_class)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=each_class, zero_division=np.nan
    )
    metrics: dict[str, Any] = {
        "images": count,
        "correct": correct,
        "accuracy": correct / count,
        "accuracy_interval_95": accuracy_interval(correct, count),
        "loss": predictions.loss,
        "classes": {
            name: {
                "images": int(support[i]),
                "precision": _defined(precision[i]),
                "recall": _defined(recall[i]),
                "f1": _defined(f1[i]),
            }
            for i, name in enumerate(predictions.classes)
        },
        "confusion_matrix": {"rows": "true", "columns": "predicted", "counts": matrix.tolist()},
    }
    if positive_class is not None:
        positive = predictions.classes.index(positive_class)
        is_positive = labels == positive
        negatives = int((~is_positive).sum())
        both = 0 < negatives < count
        metrics["positive_class"] = {
            "name": positive_class,
            "sensitivity": _defined(recall[positive]),
            "specificity": float((predicted != positive)[~is_positive].mean()) if negatives else None,
            "roc_auc": float(roc_auc_score(is_positive, predictions.probabilities[:, positive])) if both else None,
        }
    return metrics


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def percent_with_interval(metrics: dict[str, Any]) -> str:
    """``98.50 % (197 of 200, 95 % interval 95.69 to 99.49)``."""
    low, high = metrics["accuracy_interval_95"]
    return (
        f"{metrics['accuracy']:.2%} ({metrics['correct']} of {metrics['images']}, "
        f"95 % interval {100 * low:.2f} to {100 * high:.2f})"
    ).replace("%", " %", 1)
