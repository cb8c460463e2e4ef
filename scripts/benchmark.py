"""Train the same network on the same images with maskcls and with other tools, in turn, and compare their speed.

    python scripts/benchmark.py --data FOLDER --model resnet18 --images 1280 --out docs/benchmarks/NAME.json
    python scripts/benchmark.py --table docs/benchmarks/*.json
    python scripts/benchmark.py --plot docs/benchmarks/NAME.json NAME.png

Each contender is one process: a script in ``scripts/contenders``, or ``maskcls-train``. All train for the same epochs
on the same files, evaluate after each epoch, and have the same input size, batch size, optimizer and learning rate.
Only ``maskcls_fast`` has the settings of ``experiment=fast``. The script needs Linux: it reads memory from ``/proc``.
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
    """A contender that is a script in ``scripts/contenders``.

    Attributes:
        package: package whose version the table shows.
        file: name of the script.
        precision: number format; None for that of ``--precision``.
    """

    package: str
    file: str
    precision: str | None = None
    has_own_settings = False

    def command(self, args: argparse.Namespace, folder: Path) -> list[str]:
        """The command that runs it on the images in ``folder/data``."""
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
        """What `contenders.common.summarize` returned in its process."""
        row: Row = json.loads(output.splitlines()[-1])
        return row


@dataclass(frozen=True)
class Maskcls:
    """A contender that is ``maskcls-train``.

    Attributes:
        starts_cold: whether the cache of decoded images is emptied before.
        has_own_settings: whether it has the settings of ``experiment=fast``.
    """

    starts_cold: bool
    has_own_settings: bool = False
    package = "maskcls"

    def command(self, args: argparse.Namespace, folder: Path) -> list[str]:
        """The command that runs it on the images in ``folder/data``."""
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
        """What `contenders.common.summarize` returns for the run, and the settings that the run had."""
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
# values of --contenders; maskcls runs twice, and the second run finds the images that the first has decoded
CHOICES = {
    **{name: [name] for name, contender in CONTENDERS.items() if isinstance(contender, Script)},
    "maskcls": ["maskcls_cold", "maskcls_warm"],
    "maskcls_fast": ["maskcls_fast_cold", "maskcls_fast_warm"],
}


def main() -> None:
    """Compare the contenders, or show an earlier comparison."""
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
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--data", type=Path, help="folder that holds Train and Validation, each with class folders")
    action.add_argument("--table", type=Path, nargs="+", metavar="JSON", help="print the tables of earlier comparisons")
    action.add_argument("--plot", nargs=2, metavar=("JSON", "PNG"), help="draw the training speeds of one")
    parser.add_argument("--model", choices=["resnet18", "mycnn"], default="resnet18")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--optim", choices=["sgd", "adam"], default="sgd", help="optimizer; its learning rate is 0.01")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--images", type=int, default=1280, help="training images; 0: all")
    parser.add_argument("--workers", type=int, default=2, help="loader processes of the contenders that have them")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--contenders", default=",".join(CHOICES), help=f"any of {','.join(CHOICES)}")
    parser.add_argument("--repeats", type=int, default=1, help="rounds through all contenders")
    parser.add_argument(
        "--extrapolate",
        type=int,
        nargs=2,
        metavar=("EPOCHS", "IMAGES"),
        help="project how long such a training takes",
    )
    parser.add_argument("--out", type=Path, help="JSON file for the results, written after each run")
    args = parser.parse_args()
    if unknown := set(args.contenders.split(",")) - set(CHOICES):
        parser.error(f"--contenders: no {', '.join(sorted(unknown))}; expected any of {', '.join(CHOICES)}")
    return args


def compare(args: argparse.Namespace) -> Row:
    """Run all contenders, as often as ``--repeats`` says; write and return the report that `markdown` shows."""
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
    """The version of a package, or the problem that it is not installed."""
    try:
        return {"version": version(package)}
    except PackageNotFoundError:
        return {"version": None, "problem": "not installed"}


def link_images(data: Path, split: str, images: int, folder: Path) -> int:
    """Link randomly drawn images of a split. The draw is the same each time, and keeps the shares of the classes.

    Each image is read once, so that the first contender finds the files in the system's memory as all others do.

    Args:
        data: folder of the data set.
        split: a key of `SPLITS`.
        images: how many; 0 for all.
        folder: gets ``SPLIT/CLASS/FILE``.

    Returns:
        How many images were linked. Rounding may add or drop a few.
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
    """Run a contender, and add the result or the problem to its row."""
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
        row["problem"] = f"failed: {errors[-1] if errors else 'no message'}"
        print(*errors, sep="\n", file=sys.stderr)


def measure(command: list[str], folder: Path) -> Row:
    """Run a command. Its output goes to ``folder/stdout`` and ``folder/stderr``.

    Returns:
        Its exit status, its wall-clock seconds, and the CPU seconds and the peak memory in MB of the process and all
        its descendants.
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
    """The ids of a process and all its descendants."""
    yield pid
    try:
        children = [
            child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
        ]
    except OSError:  # the process has ended
        return
    for child in children:
        yield from descendants(int(child))


def memory(pid: int) -> int:
    """Memory of a process in bytes, without cached files. Shared memory counts in equal parts."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # the process has ended
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def describe_machine() -> Row:
    """What the speeds depend on. The speed of matrix products is the upper bound of a training's speed."""
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
    """The highest speed of a matrix product in a second of trials, on the device that the contenders use."""
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
    """The median over the epochs of a run. The first epoch, which starts everything, counts only if it is alone."""
    return median(run[name][1:] or run[name])


def figures(row: Row, report: Row) -> Row:
    """The medians over a contender's runs, and how long the training of ``--extrapolate`` would take."""
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
    settings, machine, images = report["settings"], report["machine"], report["settings"]["images"]
    speeds = ", ".join(f"{name} {speed:,.1f}" for name, speed in machine["matmul_gflops"].items())
    repeats = f"; median of {settings['repeats']}" if settings["repeats"] > 1 else ""
    notes = [
        f"{row['name']} has settings of its own: {describe(row['runs'][0]['settings'])}."
        for row in report["contenders"]
        if "problem" not in row and CONTENDERS[row["name"]].has_own_settings
    ]
    return "\n".join(
        [
            f"{settings['model']}, {settings['optim']}; {describe(settings)}; {images['train']:,} training and "
            f"{images['val']:,} validation images{repeats}.",
            "",
            *(f"| {' | '.join(cells)} |" for cells in table(report)),
            "",
            *notes,
            f"{machine['gpu'] or machine['cpu']}, {machine['cores']} cores ({', '.join(machine['flags'])}), "
            f"{machine['memory_gb']:.0f} GB; matrix products, GFLOP/s: {speeds}; Python {machine['python']}, "
            f"torch {machine['torch']}; {report['date'][:10]}.",
        ]
    )


def table(report: Row) -> list[list[str]]:
    """The cells of the table: a row of headers, a rule, and a row for each contender."""
    extrapolated = report["settings"]["extrapolate"]
    headers = ["contender", "version", "precision", "whole process, s", "÷ plain", "training, images/s", "÷ plain"]
    headers += ["evaluation, images/s", "CPU, s", "peak memory, MB", "validation accuracy"]
    if extrapolated:
        headers.append("projected, s: {} epochs of {:,} images".format(*extrapolated))
    results = {row["name"]: figures(row, report) for row in report["contenders"] if "problem" not in row}
    lines = [headers, ["---"] * len(headers)]
    for row in report["contenders"]:
        cells = [row["name"], row["version"] or "–"]
        if result := results.get(row["name"]):
            cells += [row["runs"][0]["precision"], *cells_of(result, results.get("plain"))]
            if extrapolated:
                is_comparable = not CONTENDERS[row["name"]].has_own_settings
                cells.append(f"{result['projected_seconds']:,.0f}" if is_comparable else "–")
        else:
            cells.append(row["problem"].replace("|", "\\|"))
        lines.append(cells + [""] * (len(headers) - len(cells)))
    return lines


def cells_of(result: Row, plain: Row | None) -> list[str]:
    """The figures of a contender as text; ``plain`` are the figures that some of them are divided by."""

    def ratio(name: str) -> str:
        return f"{result[name] / plain[name]:.2f}" if plain else "–"

    return [
        f"{result['seconds']:.1f}",
        ratio("seconds"),
        _rate(result["train_images_per_second"]),
        ratio("train_images_per_second"),
        _rate(result["eval_images_per_second"]),
        f"{result['cpu_seconds']:.1f}",
        f"{result['peak_memory_mb']:,.0f}",
        f"{result['val_accuracy']:.2%}",
    ]


def describe(settings: Row) -> str:
    """The settings that a contender may choose by itself."""
    return "{size} px, batch size {batch}, epochs: {epochs}".format(**settings)


def _rate(images_per_second: float) -> str:
    return f"{images_per_second:.1f}" if images_per_second < 100 else f"{images_per_second:,.0f}"


def plot(report: Row, path: Path) -> None:
    """Draw the training speed of each contender as a horizontal bar."""
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
