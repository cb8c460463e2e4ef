"""``model_card.md``: what a trained model is, its figures and their limits.

The idea is that of Mitchell et al. 2019, https://arxiv.org/abs/1810.03993.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maskcls.files import replaced_atomically
from maskcls.reporting.text import slice_title
from maskcls.run import CHECKPOINTS
from maskcls.wording import counted

# the file in a run directory
MODEL_CARD = "model_card.md"


def write_model_card(directory: Path, record: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> None:
    """Write the model card of a training.

    Args:
        directory: run directory of the training.
        record: content of its ``run.json``.
        metrics: content of ``metrics.json`` on the test split; None where the model was not tested.
    """
    parts = [_heading(record), _data(record["data"]), _figures(record, metrics), _limits(record, metrics)]
    with replaced_atomically(directory / MODEL_CARD) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8", errors="backslashreplace")


def read_model_card(checkpoint: Path) -> str | None:
    """The model card beside a checkpoint; None if there is none: a checkpoint may have been moved out of its run."""
    folder = checkpoint.absolute().parent
    card = folder.parent / MODEL_CARD
    is_there = folder.name == CHECKPOINTS and card.is_file()
    return card.read_text(encoding="utf-8", errors="replace") if is_there else None


def _heading(record: Mapping[str, Any]) -> str:
    resumed = [changes for item in record.get("resumed", []) if len(changes := item["overrides"]) > 1]
    commands = [_command(record["command"], overrides) for overrides in (record["overrides"], *resumed)]
    parts = [
        f"# {record['model']}, {record['optimizer']}",
        f"Trained with maskcls {record['versions']['maskcls']} on {record['started']}, seed {record['seed']}, "
        f"{record['precision']} on {record['device']}:",
        "\n".join(["```", *commands, "```"]),
        _trained(record["trained"]),
    ]
    if record["pretrained"]:
        parts.append("Started from torchvision's ImageNet weights.")
    if (init := record.get("init")) is not None:
        parts.append(f"Started from the weights of `{init['path']}`, epoch {init['epoch']}, sha256 `{init['sha256']}`.")
    return "\n\n".join(parts)


def _command(name: str, overrides: Iterable[str]) -> str:
    """What to type in a shell. Overrides are recorded in the quotes of Hydra's grammar, which the program adds."""
    words = [name]
    for override in overrides:
        key, _, value = override.partition("=")
        if len(value) > 1 and value[0] == value[-1] == "'":
            value = re.sub(r"(\\+)('|$)", lambda m: m[1][: len(m[1]) // 2] + m[2], value[1:-1])
        words.append(f"{key}={shlex.quote(value)}")
    return " ".join(words)


def _trained(trained: Mapping[str, Any]) -> str:
    """The values that a training ended with, which a resumption or a collapse may have changed."""
    optim, schedule = trained["optim"], trained["schedule"]
    text = (
        f"In the end: {counted(trained['epochs'], 'epoch')}, batches of {counted(trained['batch_size'], 'image')}, "
        f"{optim['name']} with a learning rate of {optim['lr']:g}, schedule {schedule['name']}."
    )
    if tries := trained["retries"]:
        text += f" The training collapsed and was started again ({counted(tries, 'time')}), at a lower learning rate"
        text += f" and with a warm-up of {schedule['warmup_epochs']:g} epochs." if "warmup_epochs" in schedule else "."
    return text


def _data(data: Mapping[str, Any]) -> str:
    rows = (
        (split, _text(name), count, _seen(data, split, name))
        for split, counts in data["images"].items()
        for name, count in counts.items()
    )
    about = f"`{data['root']}`, split {data['split']}, fingerprint `{data['fingerprint']}`."
    reasons = {"skipped": "could not be read", "damaged": "damaged and used in part", "left_out": "left out"}
    if unused := [f"{counted(len(data[key]), 'file')} {reason}" for key, reason in reasons.items() if data.get(key)]:
        about += f" Beside these: {', '.join(unused)}; `run.json` lists them."
    if made := [f"{count} with {what}" for what, count in data.get("made", {}).items()]:
        about += f" Training images were also {', '.join(made)}, made of the training files."
    return f"## Data\n\n{about}\n\n{_table('split | class | files | files whose image is also in train', rows)}"


def _seen(data: Mapping[str, Any], split: str, name: str) -> str:
    if split == "train":
        return ""
    return "not known" if data["seen_in_training"] is None else str(data["seen_in_training"][split][name])


def _figures(record: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> str:
    best = record["validation"]["best"]
    by = record["selected_by"]
    why = "the last" if by == "last" else f"which was chosen by its {by}: expect less on new images"
    chosen = (
        f"Validation accuracy {_accuracy(best)}, 95 % interval {_bounds(best['accuracy_interval_95'])}, in epoch "
        f"{best['epoch']}, {why}."
    )
    parts = ["## Figures", chosen]
    if metrics is None:
        return "\n\n".join([*parts, "Not tested."])
    slices = (_slice(name, part) for name, part in {"all": metrics, **metrics["slices"]}.items())
    classes = (
        (_text(name), c["images"], _percent(c["precision"]), _percent(c["recall"]), _bounds(c["recall_interval_95"]))
        for name, c in metrics["classes"].items()
    )
    parts += [
        f"Test accuracy of the checkpoint of epoch {metrics['epoch']}: {_accuracy(metrics)}, {_interval(metrics)}.",
        _table("test images | number | accuracy | 95 % interval", slices),
        _table("class | images | precision | recall | 95 % interval of the recall", classes),
        f"Expected calibration error {_percent(metrics['expected_calibration_error'])}"
        f"{_calibration_interval(metrics)}, Brier score "
        f"{metrics['brier']:.4f}, with a temperature of {metrics['temperature']:.3g} that was fitted on validation.",
    ]
    if "positive_class" in metrics:
        positive = metrics["positive_class"]
        parts.append(
            f"Positive class {_text(positive['name'])}, predicted at a probability of {metrics['threshold']:.3g} or "
            f"more: sensitivity {_percent(positive['sensitivity'])}, specificity {_percent(positive['specificity'])}."
        )
    return "\n\n".join(parts)


def _limits(record: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> str:
    seen = record["data"]["seen_in_training"]
    limits = []
    if seen is None:
        limits.append("Which files show one image is not known. Figures are too high if one is in two splits.")
    elif any(count for counts in seen.values() for count in counts.values()):
        limits.append("Some evaluated images were trained on: the figures say nothing about new ones.")
    init = record.get("init")
    if init is not None and init["data_fingerprint"] != record["data"]["fingerprint"]:
        limits.append(
            "The initial weights were trained on other data. Whether that holds images that are tested here is not "
            "known."
        )
    if metrics and "note" in metrics:
        limits.append(f"Trained on {metrics['note']}.")
    classes = ", ".join(_text(name) for name in record["data"]["images"]["train"])
    limits += [
        "The figures hold for pictures like these. Other pictures were not measured (other cameras, objects, angles or "
        "lighting); `maskcls-eval data.root=FOLDER` measures them.",
        f"The model knows only its classes ({classes}). It puts every picture into one of them, whatever it shows.",
    ]
    return "\n".join(["## Limits", "", *(f"- {limit}" for limit in limits)])


def _table(heading: str, rows: Iterable[Sequence[object]]) -> str:
    lines = [heading.split(" | "), ["---"] * (1 + heading.count(" | ")), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _slice(name: str, part: Mapping[str, Any]) -> Sequence[object]:
    return slice_title(name), part["images"], _percent(part["accuracy"]), _bounds(part["accuracy_interval_95"])


def _calibration_interval(metrics: Mapping[str, Any]) -> str:
    bounds = metrics["expected_calibration_error_interval_95"]
    return f" (95 % interval {_bounds(bounds)})" if bounds else ""


def _interval(metrics: Mapping[str, Any]) -> str:
    text = f"95 % interval {_bounds(metrics['accuracy_interval_95'])}"
    if "accuracy_interval_95_by_group" in metrics:
        by_group = _bounds(metrics["accuracy_interval_95_by_group"])
        text += f" over files, {by_group} over the {metrics['groups']} different images that they show"
    return text


def _accuracy(metrics: Mapping[str, Any]) -> str:
    text, balanced = _percent(metrics["accuracy"]), _percent(metrics["balanced_accuracy"])
    # older versions did not measure the balanced accuracy
    return text if metrics["balanced_accuracy"] is None or balanced == text else f"{text} (balanced {balanced})"


def _percent(value: float | None) -> str:
    return "not defined" if value is None else f"{100 * value:.2f} %"


def _bounds(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"


def _text(name: str) -> str:
    """Escape a class's name for Markdown tables."""
    return name.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
