"""Metrics against values worked out by hand."""

import math

import numpy as np
import pytest
from predictions import predictions_of

from maskcls.evaluation.metrics import (
    CALIBRATION_BINS,
    RESAMPLES,
    accuracy_interval_by_group,
    accuracy_metrics,
    bootstrapped_interval,
    calibration_interval,
    classification_metrics,
    expected_calibration_error,
    percent_with_interval,
    proportion_interval,
    reliability,
    slices,
)

# 3 masked (2 found), 5 bare (4 found)
EXAMPLE = predictions_of([0, 0, 0, 1, 1, 1, 1, 1], [0.9, 0.8, 0.3, 0.6, 0.1, 0.2, 0.35, 0.4])


def test_accuracy_loss_and_confusion() -> None:
    metrics = classification_metrics(EXAMPLE, "WithMask")
    assert (metrics["images"], metrics["correct"], metrics["accuracy"]) == (8, 6, 0.75)
    assert metrics["confusion_matrix"]["counts"] == [[2, 1], [1, 4]]
    right = [0.9, 0.8, 0.3, 0.4, 0.9, 0.8, 0.65, 0.6]
    assert metrics["loss"] == pytest.approx(-sum(map(math.log, right)) / 8)


def test_precision_recall_and_f1_of_each_class() -> None:
    classes = classification_metrics(EXAMPLE, None)["classes"]
    masked, bare = classes["WithMask"], classes["WithoutMask"]
    assert masked.pop("recall_interval_95") == proportion_interval(2, total=3)
    assert bare.pop("recall_interval_95") == proportion_interval(4, total=5)
    assert masked == pytest.approx({"images": 3, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3})
    assert bare == pytest.approx({"images": 5, "precision": 0.8, "recall": 0.8, "f1": 0.8})


def test_the_positive_class_is_the_one_that_is_named() -> None:
    masked = classification_metrics(EXAMPLE, "WithMask")["positive_class"]
    bare = classification_metrics(EXAMPLE, "WithoutMask")["positive_class"]
    assert masked["sensitivity"] == bare["specificity"] == pytest.approx(2 / 3)
    assert masked["specificity"] == bare["sensitivity"] == pytest.approx(0.8)
    # of 15 pairs of a masked and a bare face, 12 are in the right order
    assert masked["roc_auc"] == bare["roc_auc"] == pytest.approx(12 / 15)
    assert "positive_class" not in classification_metrics(EXAMPLE, None)


def test_what_is_not_defined_is_none() -> None:
    metrics = classification_metrics(predictions_of([0, 0], [0.9, 0.8]), "WithMask")
    assert metrics["classes"]["WithoutMask"] == {
        "images": 0,
        "precision": None,
        "recall": None,
        "recall_interval_95": None,
        "f1": None,
    }
    assert metrics["positive_class"] == {
        "name": "WithMask",
        "sensitivity": 1.0,
        "specificity": None,
        "roc_auc": None,
        "pr_auc": 1.0,
    }


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"), [(989, 992, 0.9911, 0.9990), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0)]
)
def test_wilsons_interval(correct: int, count: int, low: float, high: float) -> None:
    z, p = 1.959964, correct / count
    centre, half = p + z * z / (2 * count), z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    by_formula = [(centre + sign * half) / (1 + z * z / count) for sign in (-1, 1)]
    assert proportion_interval(correct, total=count) == pytest.approx(by_formula, abs=1e-6)
    assert proportion_interval(correct, total=count) == pytest.approx((low, high), abs=1e-4)


def test_an_accuracy_is_shown_with_its_interval() -> None:
    shown = percent_with_interval(classification_metrics(EXAMPLE, None))
    assert shown == "75.00 % (6 of 8, 95 % interval 40.93 to 92.85), balanced accuracy 73.33 %"


CASES = {
    "random": (
        [int(x) for x in np.random.default_rng(0).integers(0, 2, 60)],
        np.random.default_rng(1).uniform(size=60),
    ),
    "ties": ([0, 1] * 20, np.random.default_rng(2).integers(0, 5, 40) / 4),
    "all right": ([0, 0, 1, 1], np.array([0.9, 0.8, 0.1, 0.0])),
    "all wrong": ([0, 0, 1, 1], np.array([0.1, 0.2, 0.7, 1.0])),
    "one class": ([0, 0, 0], np.array([0.9, 0.2, 0.5])),
    "one image": ([1], np.array([0.3])),
    "certain and wrong": ([1], np.array([1.0])),
}


@pytest.mark.parametrize("case", CASES)
def test_figures_are_those_of_their_definitions(case: str) -> None:
    labels, positive = CASES[case]
    predictions = predictions_of(labels, positive.tolist())
    metrics = classification_metrics(predictions, "WithMask")
    truth = np.array(labels) == 0

    # each written out anew, from the definition
    assert metrics["brier"] == pytest.approx(np.mean((positive - truth) ** 2), abs=1e-9)
    of_truth = np.where(truth, positive, 1 - positive)
    assert metrics["log_loss"] == pytest.approx(np.mean([-math.log(max(p, 1e-300)) for p in of_truth]), abs=1e-9)
    error = 0.0
    confidence, right = np.maximum(positive, 1 - positive), (positive >= 0.5) == truth
    for number in range(CALIBRATION_BINS):
        low, high = number / CALIBRATION_BINS, (number + 1) / CALIBRATION_BINS
        inside = (confidence >= low) & ((confidence < high) | (number == CALIBRATION_BINS - 1))
        if inside.any():
            error += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert metrics["expected_calibration_error"] == pytest.approx(error, abs=1e-9)

    pairs = [(p > n) + (p == n) / 2 for p in positive[truth] for n in positive[~truth]]
    auc = metrics["positive_class"]["roc_auc"]
    assert auc is None if not pairs else auc == pytest.approx(np.mean(pairs), abs=1e-9)
    precision = 0.0
    for threshold in np.unique(positive)[::-1]:
        found = positive >= threshold
        newly = (positive == threshold) & truth
        precision += newly.sum() / max(truth.sum(), 1) * truth[found].mean()
    area = metrics["positive_class"]["pr_auc"]
    assert area is None if not truth.any() else area == pytest.approx(precision, abs=1e-9)


@pytest.mark.parametrize(("correct", "count"), [(0, 1), (1, 1), (3, 7), (396, 400), (0, 50), (50, 50)])
def test_the_interval_is_that_of_statsmodels(correct: int, count: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    assert proportion_interval(correct, total=count) == pytest.approx(
        proportion_confint(correct, count, alpha=0.05, method="wilson"), abs=1e-9
    )


def test_the_bootstrap_over_groups_is_wider_where_copies_agree() -> None:
    correct = np.random.default_rng(0).uniform(size=60) < 0.8
    alone = bootstrapped_interval(correct, groups=np.arange(60))
    copied = bootstrapped_interval(np.repeat(correct, 10), groups=np.repeat(np.arange(60), 10))
    assert copied == pytest.approx(alone, abs=1e-12)  # ten copies of each say nothing more
    independent = bootstrapped_interval(np.repeat(correct, 10), groups=np.arange(600))
    assert independent[1] - independent[0] < 0.5 * (copied[1] - copied[0])
    assert alone[0] < correct.mean() < alone[1]
    # close to the normal approximation
    error = 1.96 * math.sqrt(correct.mean() * (1 - correct.mean()) / 60)
    assert alone == pytest.approx((correct.mean() - error, correct.mean() + error), abs=0.03)
    assert bootstrapped_interval(np.array([True]), groups=np.array(["a"])) == (1, 1)


def test_slices_are_parts_of_the_images() -> None:
    facts = {
        "side": np.array([30, 64, 100, 300]),
        "group": np.array(["a", "a", "b", "c"], dtype=object),
        "original": np.array([1, 0, 1, 1]),
        "in_train": np.array([1, 1, 1, 1]),
    }
    predictions = predictions_of([0, 1, 1, 1], [0.9, 0.9, 0.1, 0.1], facts)
    found = slices(predictions, equalised=predictions)
    assert {name: (part["images"], part["correct"]) for name, part in found.items()} == {
        "originals": (3, 3),
        "in_train": (4, 3),
        "side_0_to_63": (1, 1),
        "side_64_to_127": (2, 1),
        "side_224_up": (1, 1),
        "equalised": (4, 3),
    }
    assert found["originals"]["groups"] == 3
    assert slices(EXAMPLE) == {}


@pytest.mark.parametrize("right", [0, 1])
def test_answers_that_are_all_alike_are_not_certain(right: int) -> None:
    # six files of three groups count as three
    low, high = accuracy_interval_by_group(np.full(6, right), groups=np.array([0, 0, 1, 1, 1, 2]))
    assert (low, high) == proportion_interval(3 * right, total=3)
    assert high - low > 0.5


def test_answers_that_are_all_half_right_are_not_taken_for_wrong() -> None:
    # of two runs each is right about every file that the other is wrong about
    assert accuracy_interval_by_group(np.full(4, 0.5), groups=np.arange(4)) == (0.5, 0.5)


def test_the_interval_by_group_stands_where_the_groups_are_known() -> None:
    metrics = accuracy_metrics(predictions_of([0, 0, 1], [0.9, 0.2, 0.4], {"group": np.array(["a", "a", "b"])}))
    assert metrics["groups"] == 2
    assert metrics["accuracy_interval_95_by_group"] == (0.5, 1.0)
    assert "groups" not in accuracy_metrics(EXAMPLE)


def test_a_reliability_diagram_has_a_point_for_each_bin_with_images() -> None:
    # confidences 0.9, 0.9 and 0.6, the first of which is wrong
    points = reliability(predictions_of([1, 0, 1], [0.9, 0.9, 0.4]))
    assert [point["images"] for point in points] == [1, 2]
    assert [point["confidence"] for point in points] == pytest.approx([0.6, 0.9])
    assert [point["accuracy"] for point in points] == [1, 0.5]


def test_the_interval_of_the_calibration_error_comes_from_resampled_photographs() -> None:
    labels = [int(x) for x in np.random.default_rng(0).integers(0, 2, 50)]
    positive = np.random.default_rng(1).uniform(size=50)
    groups = np.arange(50) // 2
    predictions = predictions_of(labels, positive.tolist(), {"group": groups})
    generator, errors = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        rows = np.concatenate([np.flatnonzero(groups == group) for group in generator.integers(25, size=25)])
        errors.append(expected_calibration_error(predictions.part(rows)))
    expected = 2 * expected_calibration_error(predictions) - np.percentile(errors, [97.5, 2.5])
    assert calibration_interval(predictions) == pytest.approx(tuple(np.maximum(expected, 0)))


def test_the_interval_of_a_calibrated_network_is_not_shifted_upwards() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        positive = rng.random(400)
        predictions = predictions_of((rng.random(400) >= positive).astype(int).tolist(), positive.tolist())
        interval = calibration_interval(predictions)
        assert interval is not None
        assert interval[0] < expected_calibration_error(predictions) / 2


def test_resamples_that_are_alike_give_no_interval() -> None:
    assert calibration_interval(predictions_of([0, 0, 1], [0.75, 0.75, 0.25])) is None
