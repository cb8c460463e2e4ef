"""The model card says what was trained on what, what its figures are, and what they are not."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from predictions import predictions_of

from maskcls.cli.arguments import read_arguments
from maskcls.evaluation.metrics import classification_metrics, slices
from maskcls.reporting.model_card import read_model_card, write_model_card

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
        "selected_by": "accuracy",
        "pretrained": False,
        "validation": {
            "best": {
                "epoch": 3,
                "accuracy": 0.875,
                "balanced_accuracy": 0.875,
                "accuracy_interval_95": (0.5291, 0.9776),
            },
        },
        "trained": {
            "epochs": 5,
            "batch_size": 32,
            "retries": 0,
            "optim": {"name": "adam", "lr": 0.001},
            "schedule": {"name": "cosine", "warmup_epochs": 1.0},
        },
        "data": {
            "root": "/faces",
            "split": "as_shipped",
            "fingerprint": "abc",
            "images": {"train": counts, "val": counts, "test": counts},
            "seen_in_training": seen,
        },
    }


def metrics() -> dict[str, Any]:
    facts = {"group": np.array(list("aabcdefg"), dtype=object), "original": np.array([1] * 4 + [0] * 4)}
    predictions = predictions_of([0] * 4 + [1] * 4, [0.8] * 5 + [0.2] * 3, facts, CLASSES)
    about = {"epoch": 3, "temperature": 1.5, "threshold": 0.5}
    return about | classification_metrics(predictions, CLASSES[0]) | {"slices": slices(predictions)}


def card(tmp_path: Path, record: dict[str, Any], metrics: dict[str, Any] | None) -> str:
    write_model_card(tmp_path, record, metrics)
    return (tmp_path / "model_card.md").read_text(encoding="utf-8")


def test_it_says_what_was_trained_and_measured(tmp_path: Path) -> None:
    text = card(tmp_path, record({"val": dict.fromkeys(CLASSES, 0), "test": dict.fromkeys(CLASSES, 0)}), metrics())
    assert "maskcls-train model=mycnn data.root=/faces" in text
    assert "on 2026-01-02T03:04:05+00:00, seed 7, float32 on cpu" in text
    assert "`/faces`, split as_shipped, fingerprint `abc`" in text
    assert "| test | With\\|Mask | 4 | 0 |" in text
    chosen = "in epoch 3, which was chosen by its accuracy: expect less on new images."
    assert f"Validation accuracy 87.50 %, 95 % interval 52.91 to 97.76, {chosen}" in text
    assert "5 epochs, batches of 32 images, adam with a learning rate of 0.001, schedule cosine.\n" in text
    assert "collapsed" not in text
    assert "Started from" not in text
    assert "run.json" not in text
    assert "Test accuracy of the checkpoint of epoch 3: 87.50 %, 95 % interval 52.91 to 97.76 over files, " in text
    assert " over the 7 different images that they show." in text
    assert "| originals | 4 | 100.00 % | 51.01 to 100.00 |" in text
    assert "| &lt;b> | 4 | 100.00 % | 75.00 % | 30.06 to 95.44 |" in text
    assert "with a temperature of 1.5 that was fitted on validation" in text
    assert "sensitivity 100.00 %, specificity 75.00 %" in text
    assert "were trained on" not in text
    assert "knows only its classes (With\\|Mask, &lt;b>)" in text
    assert "predicted at a probability of 0.5 or more" in text


def test_a_leak_is_among_the_limits(tmp_path: Path) -> None:
    seen = {"val": dict.fromkeys(CLASSES, 0), "test": {CLASSES[0]: 3, CLASSES[1]: 0}}
    text = card(tmp_path, record(seen), metrics())
    assert "| test | With\\|Mask | 4 | 3 |" in text
    assert "Some evaluated images were trained on" in text


def test_what_is_not_known_or_done_is_said(tmp_path: Path) -> None:
    text = card(tmp_path, record(None), None)
    assert "Not tested." in text
    assert "| val | &lt;b> | 4 | not known |" in text
    assert "Which files show one image is not known" in text


def test_a_note_is_a_limit(tmp_path: Path) -> None:
    text = card(tmp_path, record(None), metrics() | {"note": "synthetic faces"})
    assert "- Trained on synthetic faces.\n" in text


def test_a_balanced_accuracy_that_was_not_measured_is_not_mentioned(tmp_path: Path) -> None:
    content = record(None)
    content["validation"]["best"]["balanced_accuracy"] = None
    assert "balanced" not in card(tmp_path, content, None)


def test_every_table_has_as_many_cells_as_columns(tmp_path: Path) -> None:
    rows = [line for line in card(tmp_path, record(None), metrics()).splitlines() if line.startswith("|")]
    counts = [line.replace("\\|", "").count("|") for line in rows]
    # train, val and test of two classes; all images and the originals; two classes
    assert counts == [5] * (2 + 6) + [5] * (2 + 2) + [6] * (2 + 2)


def test_without_groups_and_a_positive_class_it_does_not_speak_of_them(tmp_path: Path) -> None:
    predictions = predictions_of([0, 1], [0.9, 0.1], classes=CLASSES)
    about = {"epoch": 3, "temperature": 1.0, "threshold": 0.5, "slices": {}}
    text = card(tmp_path, record(None), about | classification_metrics(predictions, None))
    assert "accuracy of the checkpoint of epoch 3: 100.00 %, 95 % interval 34.24 to 100.00." in text
    assert "Positive class" not in text


def test_it_says_what_was_typed_once_quoted_and_what_was_changed_later(tmp_path: Path) -> None:
    typed = {
        "overrides": [r"data.root='/my faces/it\'s'", "optim.lr=0.1", "data.positive_class='A B'"],
        "resumed": [{"overrides": ["resume='/run'"]}, {"overrides": ["resume='/run'", "epochs=5"]}],
    }
    text = card(tmp_path, record(None) | typed, None)
    block = text.split("```")[1].strip().splitlines()
    assert [shlex.split(line) for line in block] == [
        ["maskcls-train", "data.root=/my faces/it's", "optim.lr=0.1", "data.positive_class=A B"],
        ["maskcls-train", "resume=/run", "epochs=5"],
    ]


@pytest.mark.parametrize("path", ["/a", "/a b", "/it's", "/back\\", "/a\\'b", "/한글", "/a=b,[c]"])
def test_a_path_of_any_letters_can_be_typed_as_the_card_says(path: str, tmp_path: Path) -> None:
    recorded = read_arguments([f"data.root={path}"]).overrides
    line = card(tmp_path, record(None) | {"overrides": list(recorded)}, None).split("```")[1].strip()
    assert shlex.split(line) == ["maskcls-train", f"data.root={path}"]


def test_pretrained_weights_are_said(tmp_path: Path) -> None:
    text = "Started from torchvision's ImageNet weights."
    assert text in card(tmp_path, record(None) | {"pretrained": True}, None)
    assert text not in card(tmp_path, record(None), None)


def test_another_try_is_said(tmp_path: Path) -> None:
    trained = record(None)["trained"] | {"retries": 1}
    text = card(tmp_path, record(None) | {"trained": trained}, None)
    assert "started again (1 time), at a lower learning rate and with a warm-up of 1 epochs." in text


def test_files_that_are_not_used_are_counted(tmp_path: Path) -> None:
    about = record(None)
    about["data"] |= {"skipped": {"a.png": "empty"}, "left_out": {"b.txt": "no image", "c.txt": "no image"}}
    text = card(tmp_path, about, None)
    assert "fingerprint `abc`. Beside these: 1 file could not be read, 2 files left out; `run.json` lists them" in text


def test_images_that_were_made_of_faces_are_counted(tmp_path: Path) -> None:
    about = record(None)
    about["data"]["made"] = {"a drawn mask": 40, "another mouth": 30}
    text = "Training images were also 40 with a drawn mask, 30 with another mouth, made of the training files."
    assert text in card(tmp_path, about, None)


def test_a_balanced_accuracy_stands_beside_an_accuracy_that_differs(tmp_path: Path) -> None:
    about = record(None)
    about["validation"]["best"]["balanced_accuracy"] = 0.5
    assert "Validation accuracy 87.50 % (balanced 50.00 %), 95 %" in card(tmp_path, about, None)


def test_the_card_of_a_checkpoint_is_that_of_its_run(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run" / "checkpoints" / "best.safetensors"
    assert read_model_card(checkpoint) is None
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model_card.md").write_bytes(b"# a card \xff")
    assert read_model_card(checkpoint) == "# a card \ufffd"
    assert read_model_card(tmp_path / "run" / "moved" / "best.safetensors") is None
