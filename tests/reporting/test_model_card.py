"""The model card says what was trained on what, what its figures are, and what they are not."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskcls.evaluation.metrics import classification_metrics, slices
from maskcls.evaluation.predictions import Predictions
from maskcls.reporting.model_card import write_model_card

CLASSES = ("With|Mask", "<b>")


def record(seen: dict[str, dict[str, int]] | None) -> dict[str, Any]:
    counts = dict.fromkeys(CLASSES, 4)
    return {
        "command": "maskcls-train",
        "overrides": ["model=mycnn", "data.root=/faces"],
        "versions": {"maskcls": "1.2.3"},
        "started": "2026-01-02T03:04:05+00:00",
        "model": "mycnn",
        "optimizer": "adam",
        "seed": 7,
        "device": "cpu",
        "precision": "float32",
        "best": {"epoch": 3, "val_accuracy": 0.875},
        "data": {
            "root": "/faces",
            "split": "as_shipped",
            "fingerprint": "abc",
            "images": {"train": counts, "val": counts, "test": counts},
            "seen_in_training": seen,
        },
    }


def metrics() -> dict[str, Any]:
    logits = torch.tensor([[2.0, 0.0]] * 5 + [[0.0, 2.0]] * 3)
    facts = {"group": np.array(list("aabcdefg"), dtype=object), "original": np.array([1] * 4 + [0] * 4)}
    names = [str(number) for number in range(8)]
    predictions = Predictions.from_logits(names, CLASSES, [0] * 4 + [1] * 4, logits, facts=facts)
    about = {"epoch": 3, "temperature": 1.5, "threshold": 0.5}
    return about | classification_metrics(predictions, CLASSES[0]) | {"slices": slices(predictions)}


def card(tmp_path: Path, *arguments: Any) -> str:
    write_model_card(tmp_path, *arguments)
    return (tmp_path / "model_card.md").read_text(encoding="utf-8")


def test_it_says_what_was_trained_and_measured(tmp_path: Path) -> None:
    text = card(tmp_path, record({"val": dict.fromkeys(CLASSES, 0), "test": dict.fromkeys(CLASSES, 0)}), metrics())
    assert "maskcls-train model=mycnn data.root=/faces" in text
    assert "on 2026-01-02T03:04:05+00:00, seed 7, float32 on cpu" in text
    assert "`/faces`, split as_shipped, fingerprint `abc`" in text
    assert "| test | With\\|Mask | 4 | 0 |" in text
    assert "epoch 3, by which it was chosen: 87.50 %" in text
    assert "Test, the checkpoint of epoch 3: accuracy 87.50 %, 95 % interval 52.91 to 97.76 (" in text
    assert "by photographs, of which there are 7)" in text
    assert "| originals | 4 | 100.00 % | 51.01 to 100.00 |" in text
    assert "| &lt;b> | 4 | 100.00 % | 75.00 % | 30.06 to 95.44 |" in text
    assert "at a temperature of 1.5, fitted on validation" in text
    assert "sensitivity 100.00 %, specificity 75.00 %" in text
    assert "trained on, too" not in text


def test_a_leak_is_among_the_limits(tmp_path: Path) -> None:
    seen = {"val": dict.fromkeys(CLASSES, 0), "test": {CLASSES[0]: 3, CLASSES[1]: 0}}
    text = card(tmp_path, record(seen), metrics())
    assert "| test | With\\|Mask | 4 | 3 |" in text
    assert "Evaluated on photographs that were trained on, too" in text


def test_what_is_not_known_or_done_is_said(tmp_path: Path) -> None:
    text = card(tmp_path, record(None), None)
    assert "Not tested." in text
    assert "| val | &lt;b> | 4 | not known |" in text
    assert "Which files show one photograph is not known" in text
