"""Metrics of a classifier, as pure functions of `Predictions`. They return plain values, ready for JSON."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from maskcls.evaluation.predictions import Predictions

# bins of equal width between 0 and 1 in the expected calibration error
CALIBRATION_BINS = 15
# resamples of a bootstrap
RESAMPLES = 2000
# bounds of the slices by size: longer side in pixels
SIDE_EDGES = (64, 128, 224)


def proportion_interval(correct: int, *, total: int) -> tuple[float, float]:
    """Compute Wilson's 95 % score interval of a proportion (Wilson 1927, https://doi.org/10.2307/2276774).

    It assumes independent images, and is too narrow where several images show one photograph.
    """
    from scipy.stats import binomtest

    interval = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def resamples(count: int, *, seed: int) -> Iterator[np.ndarray]:
    """Draw `RESAMPLES` times as many of ``count`` groups, with replacement; int64 [count], one after another."""
    generator = np.random.default_rng(seed)
    for _ in range(RESAMPLES):
        yield generator.integers(count, size=count)


def bootstrapped_interval(values: np.ndarray, *, groups: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Compute the 95 % interval of a mean by a bootstrap over groups (Efron and Tibshirani 1993, chapter 13).

    Args:
        values: bool or float [images], such as whether each prediction is correct.
        groups: [images], equal for images that show one photograph.
    """
    _, group = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(group, values), np.bincount(group)
    means = [sums[drawn].sum() / counts[drawn].sum() for drawn in resamples(len(counts), seed=seed)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def accuracy_interval_by_group(values: np.ndarray, *, groups: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Compute the 95 % interval of an accuracy by `bootstrapped_interval`.

    Where all predictions are correct, or all wrong, every resample is the same, and the bootstrap would claim
    certainty. The interval is Wilson's then, with the groups in place of the images; and so it is where no two images
    share a group, because it is more exact for few images.

    Args:
        values: bool or float [images], whether each prediction is correct, or the share of several runs that are.
        groups: [images], equal for images that show one photograph.
    """
    count = len(np.unique(groups))
    if values.min() == values.max() and values[0] in (0, 1):
        return proportion_interval(count * int(values[0]), total=count)
    if count == len(values) and np.isin(values, (0, 1)).all():
        return proportion_interval(int(values.sum()), total=count)
    return bootstrapped_interval(values, groups=groups, seed=seed)


def balanced_accuracy(is_correct: np.ndarray, *, labels: np.ndarray) -> float:
    """Compute the mean of the classes' recalls, over the classes that have images. Both arrays are [images]."""
    return float(np.mean([is_correct[labels == label].mean() for label in np.unique(labels)]))


def classification_metrics(predictions: Predictions, positive_class: str | None) -> dict[str, Any]:
    """Compute all metrics with their intervals.

    Args:
        positive_class: class that sensitivity, specificity, ROC AUC and PR AUC refer to; None leaves them out.

    Returns:
        Metrics by name. A metric that is not defined, such as the recall of a class without images, is None. ``loss``
        is the cross-entropy of the network's own probabilities, ``log_loss`` that of the calibrated ones.
    """
    from sklearn.metrics import confusion_matrix

    metrics = accuracy_metrics(predictions)
    matrix = confusion_matrix(predictions.labels, predictions.predicted, labels=range(len(predictions.classes)))
    metrics |= {
        "loss": predictions.loss,
        "log_loss": log_loss(predictions),
        "brier": brier_score(predictions),
        "expected_calibration_error": expected_calibration_error(predictions),
        "expected_calibration_error_interval_95": calibration_interval(predictions),
        "confusion_matrix": {"rows": "true", "columns": "predicted", "counts": matrix.tolist()},
    }
    if positive_class is not None:
        metrics["positive_class"] = _positive_class_metrics(predictions, positive_class)
    return metrics


def accuracy_metrics(predictions: Predictions) -> dict[str, Any]:
    """Compute the accuracy with its intervals, and precision, recall and F1 of each class."""
    from sklearn.metrics import precision_recall_fscore_support

    is_correct = predictions.labels == predictions.predicted
    count, correct = len(is_correct), int(is_correct.sum())
    precision, recall, f1, support = precision_recall_fscore_support(
        predictions.labels, predictions.predicted, labels=range(len(predictions.classes)), zero_division=np.nan
    )
    groups = predictions.facts.get("group")
    metrics: dict[str, Any] = {
        "images": count,
        "correct": correct,
        "accuracy": correct / count,
        "balanced_accuracy": balanced_accuracy(is_correct, labels=predictions.labels),
        "accuracy_interval_95": proportion_interval(correct, total=count),
    }
    if groups is not None:
        metrics["groups"] = len(np.unique(groups))
        metrics["accuracy_interval_95_by_group"] = accuracy_interval_by_group(is_correct, groups=groups)
    metrics["classes"] = {
        name: {
            "images": int(support[i]),
            "precision": _defined(precision[i]),
            "recall": _defined(recall[i]),
            "recall_interval_95": (
                proportion_interval(round(recall[i] * support[i]), total=int(support[i])) if support[i] else None
            ),
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
    """Compute the mean negative log of the true class's calibrated probability, with 1e-300 in place of zero."""
    true = predictions.probabilities[np.arange(len(predictions.labels)), predictions.labels]
    return float(-np.log(np.maximum(true, 1e-300)).mean())


def brier_score(predictions: Predictions) -> float:
    """Compute half the squared error of the probabilities, summed over classes and averaged over images (Brier 1950).

    Returns:
        0..1. For two classes it is the mean squared error of one class's probability.
    """
    wanted = np.eye(len(predictions.classes))[predictions.labels]
    return float(np.square(predictions.probabilities - wanted).sum(axis=1).mean() / 2)


def reliability(predictions: Predictions) -> list[dict[str, float]]:
    """Compute the points of a reliability diagram.

    Returns:
        For each of `CALIBRATION_BINS` bins of confidence (the probability of the most probable class) that is not
        empty: number of ``images``, mean ``confidence`` and ``accuracy``.
    """
    confidence, is_correct, bins = _confidence(predictions)
    return [
        {
            "images": int((bins == number).sum()),
            "confidence": float(confidence[bins == number].mean()),
            "accuracy": float(is_correct[bins == number].mean()),
        }
        for number in np.unique(bins)
    ]


def expected_calibration_error(predictions: Predictions) -> float:
    """Compute the mean distance between confidence and accuracy (Guo et al. 2017, https://arxiv.org/abs/1706.04599)."""
    bins = reliability(predictions)
    total = sum(part["images"] for part in bins)
    return float(sum(part["images"] * abs(part["confidence"] - part["accuracy"]) for part in bins) / total)


def calibration_interval(predictions: Predictions, seed: int = 0) -> tuple[float, float] | None:
    """Compute the 95 % interval of the expected calibration error by the basic bootstrap over groups, or over images.

    The error of a sample is on average larger than that of all images, since noise in a bin counts as an error. The
    basic bootstrap (Davison and Hinkley 1997, section 5.2) takes most of this off. The interval may lie
    below the error.

    Returns:
        None if all resamples are alike, which says nothing.
    """
    confidence, is_correct, bins = _confidence(predictions)
    groups = predictions.facts.get("group", np.arange(len(bins)))
    _, group = np.unique(groups, return_inverse=True)
    count = group.max() + 1
    gaps = np.zeros((count, CALIBRATION_BINS))
    np.add.at(gaps, (group, bins), confidence - is_correct)
    images, errors = np.bincount(group), []
    for drawn in resamples(count, seed=seed):
        times = np.bincount(drawn, minlength=count)
        errors.append(np.abs(times @ gaps).sum() / (times @ images))
    if np.ptp(errors) < 1e-9:
        return None
    twice = 2 * expected_calibration_error(predictions)
    low, high = np.clip(twice - np.percentile(errors, [97.5, 2.5]), 0, 1)
    return float(low), float(high)


def _confidence(predictions: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The probability of the most probable class of each image, whether this class is right, and the bin it is in."""
    confidence = predictions.probabilities.max(axis=1)
    is_correct = predictions.probabilities.argmax(axis=1) == predictions.labels
    return confidence, is_correct, np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)


def slices(predictions: Predictions, equalised: Predictions | None = None) -> dict[str, Any]:
    """Compute `accuracy_metrics` on parts of the images, as far as the facts about the files distinguish them.

    Args:
        equalised: predictions for the same images after all were reduced to one low resolution.

    Returns:
        Metrics by slice: ``originals`` (no augmented copies), ``in_train`` and ``unseen`` (photographs that were
        trained on or not), ``face_found`` and ``no_face_found``, ``side_...`` (longer side in pixels), ``equalised``.
        Slices without images are left out.
    """
    facts = predictions.facts
    chosen: dict[str, np.ndarray] = {}
    if "original" in facts:
        chosen["originals"] = facts["original"] == 1
    if "in_train" in facts:
        chosen["in_train"] = facts["in_train"] == 1
        chosen["unseen"] = facts["in_train"] == 0
    if "face" in facts:
        chosen["face_found"] = facts["face"] != "none"
        chosen["no_face_found"] = facts["face"] == "none"
    if "side" in facts:
        edges = (0, *SIDE_EDGES, np.inf)
        for low, high in itertools.pairwise(edges):
            name = f"side_{low}_up" if high == np.inf else f"side_{low}_to_{high - 1:.0f}"
            chosen[name] = (facts["side"] >= low) & (facts["side"] < high)
    result = {name: accuracy_metrics(predictions.part(rows)) for name, rows in chosen.items() if rows.any()}
    if equalised is not None:
        result["equalised"] = accuracy_metrics(equalised)
    return result


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def percent_with_interval(metrics: dict[str, Any]) -> str:
    """Format an accuracy as in ``98.50 % (197 of 200, 95 % interval 95.69 to 99.49)``.

    The balanced accuracy stands beside it where the two differ.
    """
    low, high = metrics["accuracy_interval_95"]
    text = (
        f"{100 * metrics['accuracy']:.2f} % ({metrics['correct']} of {metrics['images']}, "
        f"95 % interval {100 * low:.2f} to {100 * high:.2f})"
    )
    balanced: float | None = metrics.get("balanced_accuracy")
    if balanced is not None and differ(metrics["accuracy"], balanced):
        text += f", balanced accuracy {100 * balanced:.2f} %"
    return text


def differ(accuracy: float, balanced: float | None) -> bool:
    """Whether a balanced accuracy, if it is known, is another number than the accuracy, to 0.01 %."""
    return balanced is not None and round(10_000 * balanced) != round(10_000 * accuracy)
