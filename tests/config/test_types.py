"""Texts that have to have some form: devices, thresholds, times between checkpoints."""

from typing import Any

import pytest

from maskcls.config.engine import convert, describe
from maskcls.config.types import BatchSize, Device, Interval, Threshold
from maskcls.errors import UserError


def assert_refused(value: Any, annotation: Any) -> None:
    shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
    with pytest.raises(UserError) as caught:
        convert(value, annotation, "key")
    assert str(caught.value) == f"key={shown}: expected {describe(annotation)}"


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:13", "mps"])
def test_a_device_is_accepted(device: str) -> None:
    assert convert(device, Device, "device") == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1.0", "cpu:0", "mps:0", "CPU", "", 0])
def test_another_device_is_refused(device: Any) -> None:
    assert_refused(device, Device)


@pytest.mark.parametrize("value", ["10min", "0.5min", "0.01min", "1steps", "500steps"])
def test_an_interval_is_accepted(value: str) -> None:
    assert convert(value, Interval, "checkpoint.every") == value


@pytest.mark.parametrize(
    "value", ["10", "min", "0min", "0.0min", "0steps", "-1min", "1.5steps", "10 min", "1h", "", 10]
)
def test_another_interval_is_refused(value: Any) -> None:
    assert_refused(value, Interval | None)


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        (0.5, "0.5"), (0, "0"), (1, "1"), ("0.25", "0.25"), ("youden", "youden"),
        ("recall@0.99", "recall@0.99"), ("fpr@0.01", "fpr@0.01"), ("fpr@0", "fpr@0"), ("recall@1", "recall@1"),
    ],
)  # fmt: skip
def test_a_threshold_is_a_number_or_a_rule(value: Any, parsed: str) -> None:
    assert convert(value, Threshold, "evaluation.threshold") == parsed


@pytest.mark.parametrize(
    "value", [-0.1, 1.1, "jouden", "recall", "recall@", "recall@2", "fpr@-1", "recall@0.9x", True, None]
)
def test_another_threshold_is_refused(value: Any) -> None:
    assert_refused(value, Threshold)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Device, "auto, cpu, cuda, cuda:N or mps"),
        (Interval | None, "a time or a count, such as 10min or 500steps, or null"),
        (Threshold, "a number from 0 to 1, youden, recall@R or fpr@F, such as recall@0.99"),
        (BatchSize, "a whole number, at least 1, or auto"),
    ],
)
def test_people_are_told_what_is_allowed(annotation: Any, words: str) -> None:
    assert describe(annotation) == words
