"""Trains the same network on the same images with maskcls and with other tools, in turn, and compares their speed.

    python scripts/benchmark.py --data FOLDER --model resnet18 --images 1280 --out docs/benchmarks/NAME.json
    python scripts/benchmark.py --table docs/benchmarks/*.json
    python scripts/benchmark.py --plot docs/benchmarks/NAME.json NAME.png

Each contender is one process: a script of ``scripts/contenders``, or ``maskcls-train``. All train the same epochs on
the very same files, evaluate after each, and have the same input size, batch size, optimizer and learning rate, except
for those of ``maskcls_fast``, which are those of ``experiment=fast``. Linux only: memory is read from ``/proc``.
"""

import argparse
import csv
import json
import os
import platform
import random
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

SCRIPTS = Path(__file__).resolve().parent
SPLITS = {"Train": ("train",), "Validation": ("validation", "val", "valid")}
TRAIN_IMAGES_PER_VAL_IMAGE = 12.5  # as in the Face Mask Detection ~12K data set
SAMPLING_SECONDS = 0.25

Row = dict[str, Any]


@dataclass(frozen=True)
class Script:
    """A contender that is a script of ``scripts/contenders``.

    Attributes:
        package: whose version it is.
        precision: None for what ``--precision`` says.
    """

    package: str
    file: str
    precision: str | None = None
    has_own_settings = False

    def command(self, args: argparse.Namespace, folder: Path) -> list[str]:
        options = {
            "data": folder / "data",
            "model": args.model,
            "size": args.size,
            "batch": args.batch,
            "epochs": args.epochs,
            "optim": args.optim,
            "workers": args.workers,
            "precision": self.precision or args.precision,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [sys.executable, str(SCRIPTS / "contenders" / self.file), *words]

    def result(self, folder: Path, output: str) -> Row:
        return json.loads(output.splitlines()[-1])


@dataclass(frozen=True)
class Maskcls:
    """maskcls-train.

    Attributes:
        starts_cold: without the images that an earlier run has decoded.
        has_own_settings: those of ``experiment=fast``.
    """

    starts_cold: bool
    has_own_settings: bool = False
    package = "maskcls"

    def command(self, args: argparse.Namespace, folder: Path) -> list[str]:
        if self.starts_cold:
            shutil.rmtree(folder / "cache", ignore_errors=True)
        shutil.rmtree(folder / "run", ignore_errors=True)
        overrides = {
            "model": args.model,
            "data": "facemask12k",
            "data.root": folder / "data",
            "data.cache_dir": folder / "cache",
            "precision": args.precision,
            "hydra.run.dir": folder / "run",
        }
        if self.has_own_settings:
            overrides["experiment"] = "fast"
        else:
            overrides |= {
                "optim": args.optim,
                "optim.lr": 0.01,
                "epochs": args.epochs,
                "data.input_size": args.size,
                "data.batch_size": args.batch,
                "data.eval_batch_size": args.batch,
            }
        words = [f"{name}={value}" for name, value in overrides.items()]
        return [sys.executable, "-m", "maskcls", "train", *words]

    def result(self, folder: Path, output: str) -> Row:
        import yaml
        from contenders.common import Epoch, summarize

        record = json.loads((folder / "run" / "run.json").read_text())
        config = yaml.safe_load((folder / "run" / "config.yaml").read_text())
        images = {split: sum(counts.values()) for split, counts in record["data"]["images"].items()}
        epochs = []
        with (folder / "run" / "metrics.csv").open() as file:
            for row in csv.DictReader(file):
                train_seconds = images["train"] / float(row["images_per_second"])
                epochs.append(Epoch(train_seconds, float(row["seconds"]) - train_seconds, float(row["val_accuracy"])))
        return {
            **summarize(record["precision"], images["train"], images["val"], epochs, record["seconds"]["data"]),
            "settings": {
                "size": config["data"]["input_size"],
                "batch": config["data"]["batch_size"],
                "epochs": config["epochs"],
            },
        }


CONTENDERS: dict[str, Script | Maskcls] = {
    "plain": Script("torch", "plain.py", "float32"),
    "plain_bf16": Script("torch", "plain.py", "bfloat16"),
    "lightning": Script("lightning", "lightning_trainer.py"),
    "timm": Script("timm", "timm_loop.py"),
    "ultralytics": Script("ultralytics", "ultralytics_trainer.py"),
    "maskcls_cold": Maskcls(starts_cold=True),
    "maskcls_warm": Maskcls(starts_cold=False),
    "maskcls_fast_cold": Maskcls(starts_cold=True, has_own_settings=True),
    "maskcls_fast_warm": Maskcls(starts_cold=False, has_own_settings=True),
}
# what --contenders takes: those of maskcls are two runs, of which the second finds the decoded images of the first
CHOICES = {
    **{name: [name] for name, contender in CONTENDERS.items() if isinstance(contender, Script)},
    "maskcls": ["maskcls_cold", "maskcls_warm"],
    "maskcls_fast": ["maskcls_fast_cold", "maskcls_fast_warm"],
}


def main() -> None:
    args = parse_arguments()
    if args.table:
        for path in args.table:
            print(f"{path.stem}\n\n{markdown(json.loads(path.read_text()))}\n")
    elif args.plot:
        plot(json.loads(Path(args.plot[0]).read_text()), Path(args.plot[1]))
    else:
        report = compare(args)
        print(f"\n{markdown(report)}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--data", type=Path, help="folder that holds Train and Validation, each with class folders")
    action.add_argument("--table", type=Path, nargs="+", metavar="JSON", help="print the tables of earlier comparisons")
    action.add_argument("--plot", nargs=2, metavar=("JSON", "PNG"), help="draw the training speeds of one")
    parser.add_argument("--model", choices=["resnet18", "mycnn"], default="resnet18")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--optim", choices=["sgd", "adam"], default="sgd", help="at a learning rate of 0.01")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--images", type=int, default=1280, help="to train on, the same for all; 0: all")
    parser.add_argument("--workers", type=int, default=2, help="loader processes of those that have some")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--contenders", default=",".join(CHOICES), help=f"any of {','.join(CHOICES)}")
    parser.add_argument("--repeats", type=int, default=1, help="rounds through all contenders")
    parser.add_argument(
        "--extrapolate", type=int, nargs=2, metavar=("EPOCHS", "IMAGES"), help="also project how long that would take"
    )
    parser.add_argument("--out", type=Path, help="JSON file of everything, written after each run")
    args = parser.parse_args()
    if unknown := set(args.contenders.split(",")) - set(CHOICES):
        parser.error(f"--contenders: no {', '.join(sorted(unknown))}; there are {', '.join(CHOICES)}")
    return args


def compare(args: argparse.Namespace) -> Row:
    """Run all contenders, as often as asked for; write and return what `markdown` shows."""
    names = [name for choice in args.contenders.split(",") for name in CHOICES[choice]]
    settings = ("model", "size", "batch", "optim", "epochs", "workers", "precision", "repeats", "extrapolate")
    report: Row = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "settings": {name: getattr(args, name) for name in settings},
        "contenders": [{"name": name, **installed_version(CONTENDERS[name].package), "runs": []} for name in names],
    }
    with TemporaryDirectory() as name:
        folder = Path(name)
        report["settings"]["images"] = {
            "train": link_images(args.data, "Train", args.images, folder / "data"),
            "val": link_images(
                args.data, "Validation", round(args.images / TRAIN_IMAGES_PER_VAL_IMAGE), folder / "data"
            ),
        }
        for number in range(1, args.repeats + 1):
            for row in report["contenders"]:
                if "problem" not in row:
                    print(f"{row['name']}, {number} of {args.repeats}", file=sys.stderr)
                    run_contender(row, args, folder)
                if args.out:
                    args.out.parent.mkdir(parents=True, exist_ok=True)
                    args.out.write_text(json.dumps(report, indent=2) + "\n")
    return report


def installed_version(package: str) -> Row:
    try:
        return {"version": version(package)}
    except PackageNotFoundError:
        return {"version": None, "problem": "not installed"}


def link_images(data: Path, split: str, images: int, folder: Path) -> int:
    """Link some images of a split, drawn at random and the same each time, with the split's shares of the classes.

    Each is read once, so that the first contender finds the files in the system's memory as all others do.

    Args:
        images: how many; 0 for all.
        folder: gets ``SPLIT/CLASS/FILE``.

    Returns:
        How many there are; rounding may add or take a few.
    """
    source = next(path for path in sorted(data.iterdir()) if path.name.lower() in SPLITS[split])
    classes = {path.name: sorted(path.iterdir()) for path in sorted(source.iterdir()) if path.is_dir()}
    available = sum(map(len, classes.values()))
    share = min(images or available, available) / available
    generator = random.Random(0)
    for name, files in classes.items():
        target = folder / split / name
        target.mkdir(parents=True)
        for file in generator.sample(files, round(share * len(files))):
            file.read_bytes()
            (target / file.name).symlink_to(file.absolute())
    return len(list((folder / split).glob("*/*")))


def run_contender(row: Row, args: argparse.Namespace, folder: Path) -> None:
    """Add a run to the contender's row, or the problem that it had."""
    contender = CONTENDERS[row["name"]]
    command = contender.command(args, folder)
    neutral = {sys.executable: "python", str(folder): "$FOLDER", f"{SCRIPTS.parent}/": ""}
    row["command"] = shlex.join(command)
    for path, name in neutral.items():
        row["command"] = row["command"].replace(path, name)
    measured = measure(command, folder)
    if measured.pop("status") == 0:
        row["runs"].append({**measured, **contender.result(folder, (folder / "stdout").read_text())})
    else:
        errors = (folder / "stderr").read_text().strip().splitlines()
        row["problem"] = f"failed: {errors[-1] if errors else 'without a word'}"
        print(*errors, sep="\n", file=sys.stderr)


def measure(command: list[str], folder: Path) -> Row:
    """Run a command, with its output in the files ``stdout`` and ``stderr``.

    Returns:
        Its exit status; wall-clock seconds; CPU seconds and peak memory, in MB, of it and all its descendants.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = 0
    with (folder / "stdout").open("w") as stdout, (folder / "stderr").open("w") as stderr:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL)
        while process.poll() is None:
            peak = max(peak, sum(memory(pid) for pid in descendants(process.pid)))
            try:
                process.wait(SAMPLING_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "status": process.returncode,
        "seconds": seconds,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_memory_mb": peak / 1e6,
    }


def descendants(pid: int) -> Iterator[int]:
    """A process and all that it has started, and they."""
    yield pid
    try:
        children = [
            child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
        ]
    except OSError:  # ended meanwhile
        return
    for child in children:
        yield from descendants(int(child))


def memory(pid: int) -> int:
    """Bytes of a process that are no cached files; of those that it shares with others, its share."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # ended meanwhile
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def describe_machine() -> Row:
    """What the speeds depend on, with the speeds of matrix products, which bound those of training."""
    import torch

    lines = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    cpuinfo = {name.strip(): value.strip() for name, value in lines.items()}
    flags = set(cpuinfo.get("flags", "").split())
    return {
        "cpu": cpuinfo.get("model name", platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "flags": sorted(flags & {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("torch", "torchvision")},
        "matmul_gflops": {name: matmul_gflops(getattr(torch, name)) for name in ("float32", "bfloat16")},
    }


def matmul_gflops(dtype: Any, size: int = 1024) -> float:
    """The best speed of a product of two square matrices, in a second, on the device that the contenders take."""
    import torch
    from contenders.common import DEVICE

    matrix = torch.ones(size, size, dtype=dtype, device=DEVICE)
    seconds: list[float] = []
    while sum(seconds) < 1:
        start = time.perf_counter()
        (matrix @ matrix)[0, 0].item()  # waits for a GPU
        seconds.append(time.perf_counter() - start)
    return round(2 * size**3 / min(seconds) / 1e9, 1)


def steady(run: Row, name: str) -> float:
    """The median over epochs of a run, without the first, which starts everything, where there are others."""
    return median(run[name][1:] or run[name])


def figures(row: Row, report: Row) -> Row:
    """The medians of a contender's runs, and how long those of ``--extrapolate`` would take."""
    runs = row["runs"]
    result = {name: median(run[name] for run in runs) for name in ("seconds", "cpu_seconds", "peak_memory_mb")}
    speeds = ("train_images_per_second", "eval_images_per_second")
    result |= {name: median(steady(run, name) for run in runs) for name in speeds}
    result["val_accuracy"] = median(run["val_accuracy"][-1] for run in runs)
    if report["settings"]["extrapolate"]:
        epochs, images = report["settings"]["extrapolate"]
        growth = images / report["settings"]["images"]["train"]
        preparation = median(run["preparation_seconds"] for run in runs)
        startup = median(run["seconds"] - sum(run["train_seconds"]) - sum(run["eval_seconds"]) for run in runs)
        val_images = growth * report["settings"]["images"]["val"]
        epoch = images / result["train_images_per_second"] + val_images / result["eval_images_per_second"]
        result["projected_seconds"] = startup + (growth - 1) * preparation + epochs * epoch
    return result


def markdown(report: Row) -> str:
    """What was compared, a table of the contenders, and the machine."""
    settings, machine = report["settings"], report["machine"]
    results = {row["name"]: figures(row, report) for row in report["contenders"] if "problem" not in row}
    plain = results.get("plain")

    def ratio(result: Row, name: str) -> str:
        return f"{result[name] / plain[name]:.2f}" if plain else "–"

    headers = ["contender", "version", "precision", "whole process, s", "÷ plain", "training, images/s", "÷ plain"]
    headers += ["evaluation, images/s", "CPU, s", "peak memory, MB", "validation accuracy"]
    if settings["extrapolate"]:
        headers.append("projected, s: {} epochs of {:,} images".format(*settings["extrapolate"]))
    lines = [headers, ["---"] * len(headers)]
    notes = []
    for row in report["contenders"]:
        cells = [row["name"], row["version"] or "–"]
        if result := results.get(row["name"]):
            has_own_settings = CONTENDERS[row["name"]].has_own_settings
            cells += [
                row["runs"][0]["precision"],
                f"{result['seconds']:.1f}",
                ratio(result, "seconds"),
                _rate(result["train_images_per_second"]),
                ratio(result, "train_images_per_second"),
                _rate(result["eval_images_per_second"]),
                f"{result['cpu_seconds']:.1f}",
                f"{result['peak_memory_mb']:,.0f}",
                f"{result['val_accuracy']:.2%}",
            ]
            if settings["extrapolate"]:
                cells.append("–" if has_own_settings else f"{result['projected_seconds']:,.0f}")
            if has_own_settings:
                notes.append(f"{row['name']} has settings of its own: {describe(row['runs'][0]['settings'])}.")
        else:
            cells.append(row["problem"].replace("|", "\\|"))
        lines.append(cells + [""] * (len(headers) - len(cells)))

    images = settings["images"]
    speeds = ", ".join(f"{name} {speed:,.1f}" for name, speed in machine["matmul_gflops"].items())
    median = f"; median of {settings['repeats']}" if settings["repeats"] > 1 else ""
    return "\n".join(
        [
            f"{settings['model']}, {settings['optim']}; {describe(settings)}; {images['train']:,} training and "
            f"{images['val']:,} validation images{median}.",
            "",
            *(f"| {' | '.join(cells)} |" for cells in lines),
            "",
            *notes,
            f"{machine['gpu'] or machine['cpu']}, {machine['cores']} cores ({', '.join(machine['flags'])}), "
            f"{machine['memory_gb']:.0f} GB; matrix products, GFLOP/s: {speeds}; Python {machine['python']}, "
            f"torch {machine['torch']}; {report['date'][:10]}.",
        ]
    )


def describe(settings: Row) -> str:
    return "{size} px, batch size {batch}, epochs: {epochs}".format(**settings)


def _rate(images_per_second: float) -> str:
    return f"{images_per_second:.1f}" if images_per_second < 100 else f"{images_per_second:,.0f}"


def plot(report: Row, path: Path) -> None:
    """Draw the training images per second of each contender as horizontal bars."""
    from matplotlib.figure import Figure

    rows = [row for row in reversed(report["contenders"]) if "problem" not in row]
    speeds = [figures(row, report)["train_images_per_second"] for row in rows]
    colors = ["tab:orange" if row["name"].startswith("maskcls") else "tab:gray" for row in rows]
    settings = report["settings"]
    figure = Figure(figsize=(8, 0.9 + 0.4 * len(rows)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh([row["name"] for row in rows], speeds, color=colors)
    axes.bar_label(bars, fmt=_rate, padding=3)
    axes.margins(x=0.1)
    axes.set_xlabel("training images per second")
    axes.set_title(f"{settings['model']}, {settings['size']} px, batch size {settings['batch']}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
