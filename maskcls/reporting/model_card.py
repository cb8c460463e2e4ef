"""``model_card.md``: what a trained model is, what its figures are, and what they are worth (Mitchell et al. 2019,
https://arxiv.org/abs/1810.03993)."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskcls.files import replaced_atomically


def write_model_card(directory: Path, record: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> None:
    """Write the card of a training.

    Args:
        directory: of the run.
        record: the content of its ``run.json``.
        metrics: on the test split, the content of ``metrics.json``; None where it was not tested.
    """
    parts = [_heading(record), _data(record["data"]), _figures(record, metrics), _limits(record, metrics)]
    with replaced_atomically(directory / "model_card.md") as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8", errors="backslashreplace")


def _heading(record: Mapping[str, Any]) -> str:
    command = shlex.join([record["command"], *record["overrides"]])
    return (
        f"# {record['model']}, {record['optimizer']}\n\n"
        f"Trained by maskcls {record['versions']['maskcls']} on {record['started']}, seed {record['seed']}, "
        f"{record['precision']} on {record['device']}:\n\n```\n{command}\n```"
    )


def _data(data: Mapping[str, Any]) -> str:
    rows = [
        f"| {split} | {_text(name)} | {count} | {seen} |"
        for split, counts in data["images"].items()
        for name, count in counts.items()
        for seen in [_seen(data, split, name)]
    ]
    return "\n".join(
        [
            "## Data",
            "",
            f"`{data['root']}`, split {data['split']}, fingerprint `{data['fingerprint']}`.",
            "",
            "| split | class | files | show photographs that were trained on |",
            "| --- | --- | --- | --- |",
            *rows,
        ]
    )


def _seen(data: Mapping[str, Any], split: str, name: str) -> str:
    if split == "train":
        return ""
    return "not known" if data["seen_in_training"] is None else str(data["seen_in_training"][split][name])


def _figures(record: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> str:
    best = record["best"]
    chosen = f"Validation, epoch {best['epoch']}, by which it was chosen: {_percent(best['val_accuracy'])}."
    lines = ["## Figures", "", chosen]
    if metrics is None:
        return "\n".join([*lines, "", "Not tested."])
    lines += [
        "",
        f"Test, the checkpoint of epoch {metrics['epoch']}: accuracy {_percent(metrics['accuracy'])}, "
        f"{_interval(metrics)}.",
        "",
        "| test images | | accuracy | 95 % interval |",
        "| --- | --- | --- | --- |",
        _row("all", metrics),
        *(_row(name, part) for name, part in metrics["slices"].items()),
        "",
        "| class | images | precision | recall | 95 % interval |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {_text(name)} | {c['images']} | {_percent(c['precision'])} | {_percent(c['recall'])} | "
            f"{_bounds(c['recall_interval_95'])} |"
            for name, c in metrics["classes"].items()
        ),
        "",
        f"Expected calibration error {_percent(metrics['expected_calibration_error'])}, Brier score "
        f"{metrics['brier']:.4f}, at a temperature of {metrics['temperature']:.3g}, fitted on validation.",
    ]
    if "positive_class" in metrics:
        positive = metrics["positive_class"]
        lines += [
            "",
            f"Positive class {_text(positive['name'])}, from a probability of {metrics['threshold']:.3g} on: "
            f"sensitivity {_percent(positive['sensitivity'])}, specificity {_percent(positive['specificity'])}.",
        ]
    return "\n".join(lines)


def _limits(record: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> str:
    seen = record["data"]["seen_in_training"]
    limits = []
    if seen is None:
        limits.append(
            "Which files show one photograph is not known: if some do across splits, the figures are too high."
        )
    elif any(count for counts in seen.values() for count in counts.values()):
        limits.append("Evaluated on photographs that were trained on, too: the figures say nothing about others.")
    if metrics and "note" in metrics:
        limits.append(f"Trained on {metrics['note']}.")
    limits += [
        "The figures hold for pictures like these. Other cameras, ages, masks, angles and lighting were not measured; "
        "`maskcls-eval data.root=FOLDER` measures them.",
        "It knows its classes alone: a hand, a scarf or a mask below the nose is put into one of them all the same.",
    ]
    return "\n".join(["## Limits", "", *(f"- {limit}" for limit in limits)])


def _row(name: str, part: Mapping[str, Any]) -> str:
    if not part["images"]:
        return f"| {name} | 0 | | |"
    return f"| {name} | {part['images']} | {_percent(part['accuracy'])} | {_bounds(part['accuracy_interval_95'])} |"


def _interval(metrics: Mapping[str, Any]) -> str:
    text = f"95 % interval {_bounds(metrics['accuracy_interval_95'])}"
    if "accuracy_interval_95_by_group" in metrics:
        text += f" ({_bounds(metrics['accuracy_interval_95_by_group'])} by photographs, of which there are "
        text += f"{metrics['groups']})"
    return text


def _percent(value: float | None) -> str:
    return "not defined" if value is None else f"{100 * value:.2f} %"


def _bounds(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"


def _text(name: str) -> str:
    """A class's name in a table of Markdown."""
    return name.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
