"""Trains the study's four rows on your copy of the data, and writes a page that sets each figure beside the study's.

    python scripts/study.py                                    # data: $MASKCLS_DATA, else data/facemask12k
    python scripts/study.py --rows mycnn_adam --seeds 0,1,2 data.root=FOLDER device=cuda
    python scripts/study.py --page                             # write the page only, from the runs that are there

Each row and seed is a run of maskcls-train in OUT/ROW_seedN. The same command again goes on after an interruption: it
skips what is finished and resumes the rest. OUT/study.md and OUT/study.png are written after each run, from all runs
in OUT. KEY=VALUE sets where to compute and where the data is; the study's settings cannot be changed here.
"""

import argparse
import csv
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as students_t

from maskcls.cli.resumption import CHANGEABLE
from maskcls.evaluation.metrics import proportion_interval
from maskcls.files import replaced_atomically
from maskcls.reporting import style
from maskcls.run import read_run

# exit statuses of a training that was asked to stop, and of a process that such a signal ended
STOPPED = {129, 130, 138, 143, -1, -2, -10, -15}
# keys that leave the study's settings as they are, and the one of them that only a new run takes
FIRST = "data.download"
KEYS = (FIRST, *(key for key in CHANGEABLE if key not in ("epochs", "test")))
# images that the study validated and tested on
VALIDATED, TESTED = 800, 992


@dataclass(frozen=True)
class Study:
    """A row of the study.

    Attributes:
        title: the model and the optimizer.
        epochs: training loss, validation loss, and validation accuracy in percent, by epoch.
        test: test images that the last epoch got right, of `TESTED`; None if there was no test figure.
    """

    title: str
    epochs: tuple[tuple[float, float, float], ...]
    test: int | None


STUDY = {
    "resnet18_sgd": Study(
        "ResNet-18, SGD 0.01",
        (
            (0.2307, 0.3463, 90.00), (0.0902, 0.0427, 98.38), (0.0524, 0.0521, 98.00), (0.0375, 0.0856, 97.12),
            (0.0325, 0.0405, 98.88), (0.0199, 0.0374, 98.62), (0.0180, 0.0244, 98.88), (0.0076, 0.0072, 99.88),
            (0.0116, 0.0087, 99.50), (0.0093, 0.0049, 99.75),
        ),
        989,
    ),
    "resnet18_adam": Study(
        "ResNet-18, Adam 0.01",
        (
            (0.2917, 0.1073, 97.00), (0.1398, 0.0731, 98.25), (0.0960, 0.0747, 98.00), (0.0732, 0.0868, 97.62),
            (0.0677, 0.0577, 98.00), (0.0589, 0.0847, 97.00), (0.0545, 0.0382, 98.62), (0.0476, 0.0489, 98.12),
            (0.0395, 0.0935, 96.50), (0.0422, 0.0394, 98.62),
        ),
        975,
    ),
    "vgg16_adam": Study(
        "VGG-16, Adam 0.01",
        (
            (871142677.6560, 0.6933, 50.00), (0.6998, 0.6936, 50.00), (0.6969, 0.6933, 50.00),
            (0.6954, 0.6932, 50.00), (0.6942, 0.6933, 50.00),
        ),
        None,
    ),
    "mycnn_adam": Study(
        "MyCNN, Adam 0.01",
        (
            (0.2665, 0.2006, 93.38), (0.2072, 0.1017, 96.75), (0.1881, 0.1543, 93.50), (0.1706, 0.1449, 93.00),
            (0.1741, 0.1584, 94.62), (0.2099, 0.1593, 93.75), (0.1817, 0.1125, 96.00), (0.1790, 0.1265, 94.12),
            (0.1827, 0.1081, 95.12), (0.2176, 0.1406, 94.62),
        ),
        None,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """A run of maskcls.

    Attributes:
        seed: its seed.
        record: the content of ``run.json``.
        epochs: rows of ``metrics.csv``.
    """

    seed: int
    record: dict[str, Any]
    epochs: list[dict[str, float]]


def main() -> int:
    """Train what is missing, and write the page. Returns the exit status."""
    arguments = parse_arguments()
    highest = 0
    for row in [] if arguments.page else arguments.rows:
        for seed in arguments.seeds:
            directory = run_directory(arguments.out, row, seed)
            command = command_of(directory, row, seed, arguments.keys)
            if command is None:
                print(f"{directory}: finished already")
                continue
            print(shlex.join(["maskcls-train", *command]), flush=True)
            status = subprocess.run([sys.executable, "-m", "maskcls", "train", *command], check=False).returncode
            write_page(arguments.out)
            if status in STOPPED:
                print(f"stopped in {directory}; the same command goes on from there", file=sys.stderr)
                return status if status > 0 else 128 - status
            highest = max(highest, status)
    if not write_page(arguments.out):
        print(
            f"study.py: {arguments.out}: holds no epoch of any run yet; without --page, they are made", file=sys.stderr
        )
        return highest or 2
    print(f"the page is {arguments.out / 'study.md'}")
    return highest


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=named_rows, default=list(STUDY), help=f"some of {','.join(STUDY)}")
    parser.add_argument("--seeds", type=numbers, default=[0], help="such as 0,1,2")
    parser.add_argument("--out", type=Path, default=Path("outputs/study"), help="folder of the runs and the page")
    parser.add_argument("--page", action="store_true", help="train nothing, write the page only")
    parser.add_argument("keys", nargs="*", type=setting, metavar="KEY=VALUE", help=f"one of {', '.join(KEYS)}")
    return parser.parse_args()


def setting(text: str) -> str:
    """An override of maskcls-train that leaves the study's settings as they are."""
    if text.partition("=")[0] not in KEYS or "=" not in text:
        raise argparse.ArgumentTypeError(f"{text}: expected KEY=VALUE, with one of these keys: {', '.join(KEYS)}")
    return text


def named_rows(text: str) -> list[str]:
    """The rows that ``--rows`` names, in the study's order."""
    names = text.replace(",", " ").split()
    unknown = sorted(set(names) - STUDY.keys())
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{' '.join(unknown) or 'nothing'}: expected some of {','.join(STUDY)}")
    return [row for row in STUDY if row in names]


def numbers(text: str) -> list[int]:
    """The seeds that ``--seeds`` names, each once."""
    names = text.replace(",", " ").split()
    if not names or not all(name.isascii() and name.isdigit() for name in names):
        raise argparse.ArgumentTypeError(f"{text!r}: expected whole numbers, such as 0,1,2")
    return list(dict.fromkeys(map(int, names)))


def run_directory(out: Path, row: str, seed: int) -> Path:
    """The directory of a run."""
    return out / f"{row}_seed{seed}"


def command_of(directory: Path, row: str, seed: int, keys: Sequence[str]) -> list[str] | None:
    """The arguments of maskcls-train that begin a run or go on with it; None if it has finished."""
    record = read_run(directory)
    if record.get("status") == "finished":
        return None
    if record:
        return [f"resume={directory}", *(text for text in keys if not text.startswith(FIRST))]
    return [f"experiment=study/{row}", f"seed={seed}", *keys, f"hydra.run.dir={directory}"]


def read_runs(out: Path, row: str) -> list[Measured]:
    """The runs of a row that have finished an epoch, by seed."""
    found = []
    for directory in out.glob(f"{row}_seed*"):
        seed = directory.name.removeprefix(f"{row}_seed")
        table = directory / "metrics.csv"
        if not seed.isdigit() or not table.is_file():
            continue
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = [{key: float(value) for key, value in line.items() if value} for line in csv.DictReader(file)]
        if rows:
            found.append(Measured(int(seed), read_run(directory), rows))
    return sorted(found, key=lambda run: run.seed)


def write_page(out: Path) -> bool:
    """Write ``study.md`` and ``study.png`` from the runs in a folder. Returns whether there was an epoch to show."""
    runs = {row: found for row in STUDY if (found := read_runs(out, row))}
    if not runs:
        return False
    with replaced_atomically(out / "study.md") as temporary:
        temporary.write_text(page(runs), encoding="utf-8")
    draw(runs, out / "study.png")
    return True


def page(runs: dict[str, list[Measured]]) -> str:
    """The page, in Markdown."""
    missing = [row for row in STUDY if row not in runs]
    lines = [
        "# The study's figures beside those of maskcls",
        "",
        "Every training has the study's settings (`experiment=study/ROW`). The accuracies are those after the last",
        "epoch, on validation, and on test where there is such a split. One seed stands with Wilson's 95 % interval",
        "over the images; several with mean, standard deviation, and Student's 95 % interval over the seeds. The",
        "study's figures come from one run each; their interval is Wilson's.",
        "",
        "| row | seeds | epochs | figure | the study | maskcls |",
        "| --- | --- | --- | --- | --- | --- |",
        *(line for row, found in runs.items() for line in summary(row, found)),
        "",
        *([f"Not trained yet: {', '.join(missing)}.", ""] if missing else []),
        "![validation accuracy by epoch](study.png)",
    ]
    for row, found in runs.items():
        lines += ["", f"## {STUDY[row].title} (`study/{row}`)", "", *epochs_of(row, found)]
    return "\n".join(lines) + "\n"


def summary(row: str, runs: Sequence[Measured]) -> list[str]:
    """Lines of the first table: a row's validation and test accuracy."""
    study = STUDY[row]
    done = [run for run in runs if len(run.epochs) >= len(study.epochs)]
    seeds = ", ".join(str(run.seed) for run in (done or runs))
    shown = str(len(study.epochs)) if done else f"{max(len(run.epochs) for run in runs)} of {len(study.epochs)}"
    counts = [counts_after(run, len(study.epochs)) for run in done]
    right = round(study.epochs[-1][2] / 100 * VALIDATED)
    lines = [f"| {study.title} | {seeds} | {shown} | validation | {share(right, VALIDATED)} | {pooled(counts)} |"]
    tests = [run.record["test"]["last"] for run in done if "last" in run.record.get("test", {})]
    if study.test is not None or tests:
        theirs = "none" if study.test is None else share(study.test, TESTED)
        own = pooled([(test["correct"], test["images"]) for test in tests])
        lines.append(f"| | {seeds} | {shown} | test | {theirs} | {own} |")
    return lines


def counts_after(run: Measured, epoch: int) -> tuple[int, int]:
    """Validation images that were right after an epoch, and all of them."""
    images = sum(run.record["data"]["images"]["val"].values())
    return round(run.epochs[epoch - 1]["val_accuracy"] * images), images


def share(right: int, images: int) -> str:
    """An accuracy with Wilson's interval."""
    low, high = proportion_interval(right, total=images)
    return f"{100 * right / images:.2f} % ({right} of {images}; {100 * low:.2f} to {100 * high:.2f})"


def pooled(counts: Sequence[tuple[int, int]]) -> str:
    """The accuracy of one run, or the mean over several, each with its interval."""
    if not counts:
        return "not yet"
    if len(counts) == 1:
        return share(*counts[0])
    values = [100 * right / images for right, images in counts]
    half = students_t.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5
    low, high = max(0.0, mean(values) - half), min(100.0, mean(values) + half)
    return f"{mean(values):.2f} % ± {stdev(values):.2f} ({low:.2f} to {high:.2f})"


def epochs_of(row: str, runs: Sequence[Measured]) -> list[str]:
    """The table of a row by epoch, and what is to be said of its runs."""
    study = STUDY[row]
    several = len(runs) > 1
    head = ("epoch", "train loss", "val loss", "val accuracy", "its interval" if not several else "its range", "seeds")
    theirs = ("study: train loss", "val loss", "val accuracy")
    lines = ["| " + " | ".join([*head, *theirs]) + " |", "| " + " | ".join(["---"] * 9) + " |"]
    for epoch in range(1, max(len(study.epochs), *(len(run.epochs) for run in runs)) + 1):
        reached = [run for run in runs if len(run.epochs) >= epoch]
        cells = [str(epoch), *figures_after(reached, epoch, several=several), str(len(reached))]
        if epoch <= len(study.epochs):
            train, validation, accuracy = study.epochs[epoch - 1]
            cells += [loss(train), loss(validation), f"{accuracy:.2f} %"]
        else:
            cells += [""] * 3
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, "", *(said_of(run) for run in runs)]


def figures_after(runs: Sequence[Measured], epoch: int, *, several: bool) -> list[str]:
    """Cells of an epoch: means over the runs, and an interval or a range."""
    if not runs:
        return [""] * 4
    rows = [run.epochs[epoch - 1] for run in runs]
    accuracies = [row["val_accuracy"] for row in rows]
    right, images = counts_after(runs[0], epoch)
    low, high = (min(accuracies), max(accuracies)) if several else proportion_interval(right, total=images)
    losses = [loss(mean(row[key] for row in rows)) for key in ("train_loss", "val_loss")]
    return [*losses, f"{100 * mean(accuracies):.2f} %", f"{100 * low:.2f} to {100 * high:.2f}"]


def loss(value: float) -> str:
    """A loss as the study printed it; a huge one in short."""
    return f"{value:.4f}" if value < 1000 else f"{value:.3g}"


def said_of(run: Measured) -> str:
    """A line about a run: how it ended, where it ran, and whether it collapsed."""
    record = run.record
    parts = [f"- seed {run.seed}: {record.get('status', 'unknown')}"]
    if total := record.get("seconds", {}).get("total"):
        parts.append(f"{total:,.0f} seconds")
    parts += [str(record[key]) for key in ("device", "precision") if key in record]
    if "collapses" in record:
        parts.append("collapsed: one class for every image, at the loss of guessing")
    if record.get("error", "interrupted") != "interrupted":
        parts.append(record["error"])
    return ", ".join(parts)


def draw(runs: dict[str, list[Measured]], path: Path) -> None:
    """Draw the validation accuracies by epoch, a panel for each row."""
    with style.drawing(path, "Validation accuracy by epoch", width=4 * len(runs) + 0.5, height=3.2) as figure:
        panels = figure.subplots(1, len(runs), squeeze=False)[0]
        for panel, (row, found) in zip(panels, runs.items(), strict=True):
            study = STUDY[row]
            for number, run in enumerate(found):
                label = "maskcls" if number == 0 else None
                accuracies = [100 * epoch["val_accuracy"] for epoch in run.epochs]
                panel.plot(range(1, len(accuracies) + 1), accuracies, color=style.VALIDATION, marker="o", label=label)
            theirs = [accuracy for _, _, accuracy in study.epochs]
            panel.plot(range(1, len(theirs) + 1), theirs, color=style.INK, linestyle="--", label="the study")
            panel.set_title(study.title)
            panel.set_xlabel("epoch")
        panels[0].set_ylabel("validation accuracy (%)")
        panels[0].legend()


if __name__ == "__main__":
    sys.exit(main())
