"""Figures of merit, pure functions of `Predictions`."""

import itertools
from typing import Any

import numpy as np

from maskcls.evaluation.predictions import Predictions

# of the expected calibration error: bins of equal width between 0 and 1
CALIBRATION_BINS = 15
# of the bootstrap
RESAMPLES = 2000
# of the longer side, in pixels: slices by size are between these
SIDE_EDGES = (64, 128, 224)


def proportion_interval(correct: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion (Wilson 1927, https://doi.org/10.2307/2276774).

    It supposes independent images; several pictures of one photograph make it too narrow.
    """
    from scipy.stats import binomtest

    interval = binomtest(correct, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrapped_interval(values: np.ndarray, photographs: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of a mean over images; photographs are drawn, each with all of its files.

    See Efron and Tibshirani 1993, chapter 13.

    Args:
        values: [images], such as whether each answer is right.
        photographs: [images], equal for files that show the same.
    """
    _, cluster = np.unique(photographs, return_inverse=True)
    sums, counts = np.bincount(cluster, values), np.bincount(cluster)
    generator = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for sample in range(RESAMPLES):  # one at a time: memory need not grow with the number of images
        drawn = generator.integers(len(counts), size=len(counts))
        means[sample] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def accuracy_interval_by_group(values: np.ndarray, photographs: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """`bootstrapped_interval` of an accuracy.

    Where all answers are right, or all wrong, every resample says the same, as if that were certain: then it is
    Wilson's interval, of as many images as there are photographs.

    Args:
        values: [images], whether each answer is right; of several runs, the share of them that are.
    """
    if values.min() == values.max() and values[0] in (0, 1):
        count = len(np.unique(photographs))
        return proportion_interval(count * int(values[0]), count)
    return bootstrapped_interval(values, photographs, seed)


def classification_metrics(predictions: Predictions, positive_class: str | None) -> dict[str, Any]:
    """All figures of merit, with intervals.

    Args:
        positive_class: the class that sensitivity, specificity, ROC AUC and PR AUC speak of; None leaves them out.

    Returns:
        Plain values, for JSON. A figure that is not defined, such as the recall of a class without images, is None.
        ``loss`` is the cross-entropy of the network's own probabilities, ``log_loss`` that of the calibrated ones.
    """
    from sklearn.metrics import confusion_matrix

    metrics = accuracy_metrics(predictions)
    matrix = confusion_matrix(predictions.labels, predictions.predicted, labels=range(len(predictions.classes)))
    metrics |= {
        "loss": predictions.loss,
        "log_loss": log_loss(predictions),
        "brier": brier_score(predictions),
        "expected_calibration_error": expected_calibration_error(predictions),
        "confusion_matrix": {"rows": "true", "columns": "predicted", "counts": matrix.tolist()},
    }
    if positive_class is not None:
        metrics["positive_class"] = _positive_class_metrics(predictions, positive_class)
    return metrics


def accuracy_metrics(predictions: Predictions) -> dict[str, Any]:
    """Accuracy with its intervals, and each class's precision, recall and F1."""
    from sklearn.metrics import precision_recall_fscore_support

    is_correct = predictions.labels == predictions.predicted
    count, correct = len(is_correct), int(is_correct.sum())
    precision, recall, f1, support = precision_recall_fscore_support(
        predictions.labels, predictions.predicted, labels=range(len(predictions.classes)), zero_division=np.nan
    )
    photographs = predictions.facts.get("group")
    metrics: dict[str, Any] = {
        "images": count,
        "correct": correct,
        "accuracy": correct / count,
        "accuracy_interval_95": proportion_interval(correct, count),
    }
    if photographs is not None:
        metrics["groups"] = len(np.unique(photographs))
        metrics["accuracy_interval_95_by_group"] = accuracy_interval_by_group(is_correct, photographs)
    metrics["classes"] = {
        name: {
            "images": int(support[i]),
            "precision": _defined(precision[i]),
            "recall": _defined(recall[i]),
            "recall_interval_95": proportion_interval(round(recall[i] * support[i]), int(support[i]))
            if support[i]
            else None,
            "f1": _defined(f1[i]),
        }
        for i, name in enumerate(predictions.classes)
    }
    return metrics


def _positive_class_metrics(predictions: Predictions, name: str) -> dict[str, Any]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    positive = predictions.classes.index(name)
    is_positive, found = predictions.labels == positive, predictions.predicted == positive
    scores = predictions.probabilities[:, positive]
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    return {
        "name": name,
        "sensitivity": float(found[is_positive].mean()) if positives else None,
        "specificity": float((~found)[~is_positive].mean()) if negatives else None,
        "roc_auc": float(roc_auc_score(is_positive, scores)) if positives and negatives else None,
        "pr_auc": float(average_precision_score(is_positive, scores)) if positives else None,
    }


def log_loss(predictions: Predictions) -> float:
    """Mean negative logarithm of the true class's calibrated probability; infinitely small ones count as 1e-300."""
    true = predictions.probabilities[np.arange(len(predictions.labels)), predictions.labels]
    return float(-np.log(np.maximum(true, 1e-300)).mean())


def brier_score(predictions: Predictions) -> float:
    """Mean over images of the squared errors of all probabilities, halved (Brier 1950), which is 0..1.

    Of two classes it is the mean squared error of either one's probability.
    """
    wanted = np.eye(len(predictions.classes))[predictions.labels]
    return float(np.square(predictions.probabilities - wanted).sum(axis=1).mean() / 2)


def reliability(predictions: Predictions) -> list[dict[str, float]]:
    """Mean confidence and accuracy by bins of the most probable class's probability; empty bins are left out."""
    confidence = predictions.probabilities.max(axis=1)
    is_correct = predictions.probabilities.argmax(axis=1) == predictions.labels
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return [
        {
            "images": int((bins == number).sum()),
            "confidence": float(confidence[bins == number].mean()),
            "accuracy": float(is_correct[bins == number].mean()),
        }
        for number in np.unique(bins)
    ]


def expected_calibration_error(predictions: Predictions) -> float:
    """Mean distance of confidence and accuracy, by bins (Guo et al. 2017, https://arxiv.org/abs/1706.04599)."""
    bins = reliability(predictions)
    total = sum(part["images"] for part in bins)
    return float(sum(part["images"] * abs(part["confidence"] - part["accuracy"]) for part in bins) / total)


def slices(predictions: Predictions, equalised: Predictions | None = None) -> dict[str, Any]:
    """The accuracy on parts of the images, as far as the facts about the files tell them apart.

    Args:
        equalised: the answers on the same images, brought to one low resolution first.

    Returns:
        By name: ``originals`` (no augmented copies), ``unseen`` (photographs that were not trained on), ``face_found``
        and ``no_face_found``, ``side_...`` by the longer side in pixels, ``equalised``. A slice without images has
        ``images`` 0 and nothing else.
    """
    facts = predictions.facts
    chosen: dict[str, np.ndarray] = {}
    if "original" in facts:
        chosen["originals"] = facts["original"] == 1
    if "in_train" in facts:
        chosen["unseen"] = facts["in_train"] == 0
    if "face" in facts:
        chosen["face_found"] = facts["face"] != "none"
        chosen["no_face_found"] = facts["face"] == "none"
    if "side" in facts:
        edges = (0, *SIDE_EDGES, np.inf)
        for low, high in itertools.pairwise(edges):
            name = f"side_{low}_up" if high == np.inf else f"side_{low}_to_{high - 1:.0f}"
            chosen[name] = (facts["side"] >= low) & (facts["side"] < high)
    result: dict[str, Any] = {
        name: accuracy_metrics(predictions.part(rows)) if rows.any() else {"images": 0} for name, rows in chosen.items()
    }
    if equalised is not None:
        result["equalised"] = accuracy_metrics(equalised)
    return result


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def percent_with_interval(metrics: dict[str, Any]) -> str:
    """``98.50 % (197 of 200, 95 % interval 95.69 to 99.49)``."""
    low, high = metrics["accuracy_interval_95"]
    return (
        f"{100 * metrics['accuracy']:.2f} % ({metrics['correct']} of {metrics['images']}, "
        f"95 % interval {100 * low:.2f} to {100 * high:.2f})"
    )
