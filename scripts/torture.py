"""Faults injected on purpose: kills, signals, full disks, damaged files, hostile ones, and many processes at once.

    python scripts/torture.py                             # all campaigns, an hour or two on two cores
    python scripts/torture.py kill signals --scale 0.1    # some, a tenth of their cases

Each campaign draws its cases from --seed, runs maskcls as users do, in processes of its own, and holds what is left
against what has to be. The table says how many cases failed; each of these is told on standard error.
"""

import argparse
import contextlib
import csv
import json
import logging
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import cv2
import numpy as np

# a process that takes longer than this hangs
PATIENCE = 120.0
# figures that are allowed to differ between a run and its repetition
TIMINGS = ("seconds", "images_per_second", "data_wait", "waited")
MODELS = {
    "mycnn": ("model=mycnn", "optim=adam", "data.input_size=16", "augment=light", "ema_decay=0.9", "schedule=onecycle"),
    "resnet18": ("model=resnet18", "data.input_size=32", "augment=flip", "optim.lr=0.001"),
    "vgg16": ("model=vgg16", "data.input_size=32", "optim.lr=0.001"),
}
SETTINGS = ("data=folder", "data.batch_size=16", "epochs=3", "plots=false", "threads=1", "data.workers=1")


class Outcome(NamedTuple):
    """What a campaign found.

    Attributes:
        cases: how many were run.
        failures: what was wrong, a line each.
        remarks: what the cases were like, for the table.
    """

    cases: int
    failures: list[str]
    remarks: str


class Ended(NamedTuple):
    """How a process ended: its status as a shell sees it, its output, and the seconds from some moment on."""

    status: int
    output: str
    seconds: float


def call(arguments: Sequence[str], output: str, limits: dict[int, int]) -> None:
    """Run a command of maskcls in this process, with its output in a file."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))
    from maskcls import cli

    sys.exit(cli.main(arguments[0], list(arguments[1:])))


class Processes:
    """Starts commands in processes that have torch imported already: a second, rather than six."""

    def __init__(self, folder: Path) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(
            ["maskcls.commands.train", "maskcls.commands.evaluate", "maskcls.commands.predict"]
        )
        self.folder = folder
        self.count = 0

    def start(self, *arguments: str, limits: dict[int, int] | None = None) -> tuple[Any, Path]:
        self.count += 1
        output = self.folder / f"{self.count}.out"
        process = self.context.Process(target=call, args=(arguments, str(output), limits or {}))
        process.start()
        return process, output

    def finish(self, process: Any, output: Path) -> Ended:
        """Wait; a process that hangs is killed, and its status is 124."""
        start = time.monotonic()
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
            return Ended(124, text_of(output), time.monotonic() - start)
        status = process.exitcode if process.exitcode >= 0 else 128 - process.exitcode
        return Ended(status, text_of(output), time.monotonic() - start)

    def run(self, *arguments: str, limits: dict[int, int] | None = None) -> Ended:
        return self.finish(*self.start(*arguments, limits=limits))


def text_of(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def write_faces(root: Path, counts: dict[str, int]) -> Path:
    """A small data set of noise, bright where there is a mask."""
    generator = np.random.default_rng(0)
    for split, count in counts.items():
        for name, level in (("WithMask", 160), ("WithoutMask", 90)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = np.clip(generator.normal(level, 60, (24, 24, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / f"{number}.png"), image)
    return root


def differences(a: Any, b: Any, where: str = "") -> list[str]:
    """Where two structures of tensors and plain values differ, timings and settings aside."""
    import torch

    if where.endswith(tuple(f"/{name}" for name in (*TIMINGS, "config"))):
        return []
    if isinstance(a, torch.Tensor):
        return [] if a.dtype == b.dtype and torch.equal(a, b) else [where]
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [found for key in a for found in differences(a[key], b[key], f"{where}/{key}")]
    if isinstance(a, list | tuple) and len(a) == len(b):
        return [found for i in range(len(a)) for found in differences(a[i], b[i], f"{where}/{i}")]
    return [] if a == b else [where]


def contents(run: Path) -> dict[str, Any]:
    """Everything of a run that is to be the same however often it was broken off."""
    import torch

    names = ("last.pt", "best.pt")
    found: dict[str, Any] = {name: torch.load(run / "checkpoints" / name, weights_only=True) for name in names}
    with (run / "metrics.csv").open(newline="") as file:
        found["metrics"] = list(csv.DictReader(file))
    for path in sorted(run.glob("evaluation/*/*.csv")):
        found[path.relative_to(run).as_posix()] = path.read_text()
    record = json.loads((run / "run.json").read_text())
    return found | {key: record[key] for key in ("status", "best", "final", "test", "data")}


def train_command(root: Path, model: str, run: Path, cache: Path) -> list[str]:
    more = (f"data.root={root}", f"hydra.run.dir={run}", f"data.cache_dir={cache}")
    return ["train", *MODELS[model], *SETTINGS, *more]


def lines_in_error(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("maskcls-")]


def in_parallel(cases: Sequence[Any], run: Callable[[Any], list[str]], jobs: int) -> list[str]:
    """Run cases, some at a time; return their failures in order."""
    with ThreadPoolExecutor(jobs) as pool:
        return [failure for found in pool.map(run, cases) for failure in found]


# --- kills ---

# files whose appearance says that something is being written just now
TARGETS = {
    "checkpoint": "run/checkpoints/.*.tmp",
    "cache": "cache/.*.tmp",
    "evaluation": "run/evaluation/*",
    "table": "run/.metrics.csv.*.tmp",
}


def kill(options: argparse.Namespace, processes: Processes) -> Outcome:
    """SIGKILL at random moments, one in three while something is written; resumed, it ends bit for bit the same."""
    folder = options.folder / "kill"
    root = write_faces(folder / "data", {"Train": 40, "Validation": 12, "Test": 12})
    whole, seconds = {}, {}
    for model in MODELS:
        command = train_command(root, model, folder / f"whole_{model}", folder / f"cache_{model}")
        start = time.monotonic()
        ended = processes.run(*command)
        seconds[model] = time.monotonic() - start
        if ended.status:
            return Outcome(0, [f"{model}: {ended}"], "")
        whole[model] = contents(folder / f"whole_{model}")
    counts = {"mycnn": 150, "resnet18": 40, "vgg16": 10}
    models = [model for model, count in counts.items() for _ in range(max(1, round(count * options.scale)))]
    generator = random.Random(options.seed)
    cases = [
        (number, model, generator.random(), generator.choice([*TARGETS]) if generator.random() < 1 / 3 else None)
        for number, model in enumerate(models)
    ]
    phases: Counter[str] = Counter()

    def run_case(case: tuple[int, str, float, str | None]) -> list[str]:
        number, model, moment, target = case
        place = folder / f"case_{number}"
        place.mkdir()
        run = place / "run"
        command = [*train_command(root, model, run, place / "cache"), "checkpoint.every=2steps"]
        process, _ = processes.start(*command)
        start = time.monotonic()
        if target is None:
            process.join(moment * 1.2 * seconds[model])
        else:
            while process.exitcode is None and not list(place.glob(TARGETS[target])):
                process.join(0.001)
            process.join(moment * 0.02)
        was_running = process.exitcode is None
        process.kill()
        process.join()
        record = run / "run.json"
        if not was_running:
            phases["over already"] += 1
        elif not record.exists():
            phases["before run.json"] += 1
        else:
            phases[f"while writing: {target}" if target else "anywhere"] += 1
        for _ in range(3):
            ended = processes.run(*(["train", f"resume={run}"] if record.exists() else command))
            if ended.status == 0:
                break
        else:
            return [f"{number} {model} at {moment:.3f} ({target}): status {ended.status}: {ended.output[-500:]}"]
        wrong = differences(whole[model], contents(run))
        leftovers = [str(path.relative_to(place)) for path in place.rglob(".*.tmp")]
        shutil.rmtree(place)
        after = f"after {time.monotonic() - start:.1f} s"
        found = [f"{number} {model} at {moment:.3f} ({target}) {after}: differs in {wrong[:5]}"] if wrong else []
        return found + [f"{number} {model}: leaves {leftovers}"] * bool(leftovers)

    failures = in_parallel(cases, run_case, options.jobs)
    return Outcome(len(cases), failures, ", ".join(f"{count} {phase}" for phase, count in phases.most_common()))


# --- signals ---


def signals(options: argparse.Namespace, processes: Processes) -> Outcome:
    """SIGTERM, SIGINT and SIGUSR1 at random moments: the right status in time, and resumed the same."""
    folder = options.folder / "signals"
    root = write_faces(folder / "data", {"Train": 40, "Validation": 12, "Test": 12})
    start = time.monotonic()
    ended = processes.run(*train_command(root, "mycnn", folder / "whole", folder / "cache"))
    seconds = time.monotonic() - start
    if ended.status:
        return Outcome(0, [str(ended)], "")
    whole = contents(folder / "whole")
    generator = random.Random(options.seed)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    count = max(3, round(50 * options.scale))
    cases = [(number, numbers[number % 3], generator.random()) for number in range(count)]
    slowest = 0.0

    def run_case(case: tuple[int, int, float]) -> list[str]:
        nonlocal slowest
        number, sent, moment = case
        place = folder / f"case_{number}"
        place.mkdir()
        run = place / "run"
        command = train_command(root, "mycnn", run, place / "cache")
        process, output = processes.start(*command)
        while not output.exists():  # before, it is multiprocessing that is interrupted
            process.join(0.001)
        process.join(moment * seconds)
        if process.exitcode is None:
            os.kill(process.pid, sent)
        ended = processes.finish(process, output)
        slowest = max(slowest, ended.seconds)
        name = f"{number} {signal.Signals(sent).name} at {moment:.3f}"
        failures = []
        if ended.status not in (0, 128 + sent) or ended.seconds > 10:
            failures.append(f"{name}: status {ended.status} after {ended.seconds:.1f} s: {ended.output[-300:]}")
        if "Traceback" in ended.output:
            failures.append(f"{name}: a traceback: {ended.output[-300:]}")
        if ended.status and (run / "run.json").exists() and f"resume={run}" not in ended.output:
            failures.append(f"{name}: does not say how it goes on: {ended.output[-300:]}")
        if ended.status:
            again = processes.run(*(["train", f"resume={run}"] if (run / "run.json").exists() else command))
            if again.status or (wrong := differences(whole, contents(run))):
                failures.append(
                    f"{name}: resumed: status {again.status}, differs in {wrong[:5] if not again.status else ''}"
                )
        shutil.rmtree(place)
        return failures

    failures = in_parallel(cases, run_case, options.jobs)
    return Outcome(len(cases), failures, f"the slowest left after {slowest:.1f} s")


# --- full disks ---


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """A file system of so many bytes, where this process may mount one; else none, and False."""
    folder.mkdir(parents=True)
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    try:
        yield mount.returncode == 0
    finally:
        if mount.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def full(options: argparse.Namespace, processes: Processes) -> Outcome:
    """A disk that is full, or a limit on files, at random writes: nothing is lost, one line, status 5."""
    folder = options.folder / "full"
    root = write_faces(folder / "data", {"Train": 40, "Validation": 12, "Test": 12})
    command = train_command(root, "resnet18", folder / "whole", folder / "cache")
    ended = processes.run(*command)
    if ended.status:
        return Outcome(0, [str(ended)], "")
    whole = contents(folder / "whole")
    used = sum(path.stat().st_size for path in (folder / "whole").rglob("*") if path.is_file())
    largest = (folder / "whole" / "checkpoints" / "last.pt").stat().st_size
    generator = random.Random(options.seed)
    count = max(2, round(50 * options.scale))
    cases = [(number, number % 2 == 0, generator.random()) for number in range(count)]
    statuses: Counter[int] = Counter()

    def run_case(case: tuple[int, bool, float]) -> list[str]:
        number, is_disk, share = case
        place = folder / f"case_{number}"
        size = round(share * used * 1.1) if is_disk else 10**9
        with small_disk(place, max(size, 100_000)) as mounted:
            if not mounted:
                return [f"{number}: cannot mount a file system"]
            run = place / "run"
            limits = {} if is_disk else {resource.RLIMIT_FSIZE: round(share * largest * 1.1)}
            command = train_command(root, "resnet18", run, folder / "cache")
            ended = processes.run(*command, limits=limits)
            statuses[ended.status] += 1
            name = f"{number} {'disk' if is_disk else 'limit'} {share:.3f}"
            failures = []
            if ended.status not in (0, 5):
                failures.append(f"{name}: status {ended.status}: {ended.output[-500:]}")
            if "Traceback" in ended.output or (ended.status == 5 and len(lines_in_error(ended.output)) != 1):
                failures.append(f"{name}: not one line: {ended.output[-500:]}")
            checkpoints = run / "checkpoints"
            failures += [f"{name}: {fault}" for fault in whole_or_absent(checkpoints)]
            with contextlib.suppress(FileNotFoundError), (run / "metrics.csv").open(newline="") as file:
                if any(None in row.values() or None in row for row in csv.DictReader(file)):
                    failures.append(f"{name}: a torn row")
            if ended.status == 5:
                subprocess.run(["mount", "-o", "remount,size=1g", str(place)], check=True)
                again = processes.run(*(["train", f"resume={run}"] if (run / "run.json").exists() else command))
                wrong = differences(whole, contents(run)) if not again.status else []
                if again.status or wrong:
                    failures.append(f"{name}: resumed: {again.status}, {wrong[:5]}: {again.output[-500:]}")
        return failures

    failures = in_parallel(cases, run_case, options.jobs)
    return Outcome(len(cases), failures, ", ".join(f"{n} ended with {status}" for status, n in statuses.most_common()))


def whole_or_absent(checkpoints: Path) -> list[str]:
    """The checkpoints of a folder that are neither."""
    from maskcls.errors import UserError
    from maskcls.models.checkpoint import load_checkpoint

    faults = []
    for path in checkpoints.glob("*.pt"):
        try:
            load_checkpoint(path)
        except UserError as error:
            faults.append(str(error))
    return faults


# --- damaged checkpoints ---


def damage(options: argparse.Namespace, processes: Processes) -> Outcome:
    """Flipped bits and truncations of a checkpoint: each is noticed, and the one before is gone on from."""
    from maskcls.errors import UserError
    from maskcls.models.checkpoint import load_training
    from maskcls.training.checkpoints import latest

    folder = options.folder / "damage"
    root = write_faces(folder / "data", {"Train": 40, "Validation": 12})
    ended = processes.run(*train_command(root, "mycnn", folder / "run", folder / "cache"))
    if ended.status:
        return Outcome(0, [str(ended)], "")
    checkpoints = folder / "run" / "checkpoints"
    intact = (checkpoints / "last.pt").read_bytes()
    logging.disable(logging.CRITICAL)  # each damaged file would be told of
    generator = random.Random(options.seed)
    failures = []
    count = max(10, round(500 * options.scale))
    for number in range(count):
        damaged = bytearray(intact)
        if number % 2:
            what = f"cut to {generator.randrange(len(intact))} bytes"
            del damaged[int(what.split()[2]) :]
        else:
            position, bit = generator.randrange(len(intact)), generator.randrange(8)
            what = f"bit {bit} of byte {position}"
            damaged[position] ^= 1 << bit
        (checkpoints / "last.pt").write_bytes(damaged)
        try:
            load_training(checkpoints / "last.pt")
            failures.append(f"{what}: not noticed")
        except UserError as error:
            if "\n" in str(error):
                failures.append(f"{what}: several lines: {error}")
        found = latest(checkpoints)
        if found is None or found[1].name != "previous.pt":
            failures.append(f"{what}: the checkpoint before is not used")
    logging.disable(logging.NOTSET)
    ended = processes.run("train", f"resume={folder / 'run'}", "epochs=4")
    if ended.status or "going on from" not in ended.output:
        failures.append(f"resumed from the checkpoint before: {ended}")
    return Outcome(count, failures, "")


# --- images ---

FORMATS = (".png", ".jpg", ".webp", ".bmp", ".gif", ".tiff")


def mutated(content: bytes, generator: random.Random) -> bytes:
    """An image file with something wrong in it, in its header as often as in its body; or with nothing."""
    damaged = bytearray(content)
    for _ in range(generator.choice([0, 1, 1, 2, 5, 20])):
        if not damaged:
            break
        end = min(len(damaged), 64) if generator.random() < 0.5 else len(damaged)
        position = generator.randrange(end)
        match generator.randrange(6):
            case 0:
                damaged[position] = generator.randrange(256)
            case 1:
                damaged[position] ^= 1 << generator.randrange(8)
            case 2:
                del damaged[position : position + generator.randrange(1, 64)]
            case 3:
                damaged[position:position] = generator.randbytes(generator.randrange(1, 64))
            case 4:
                damaged[position : position + 4] = generator.choice(
                    [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"]
                )
            case 5 if generator.random() < 0.2:
                del damaged[position:]
    return bytes(damaged)


def images(options: argparse.Namespace, processes: Processes) -> Outcome:
    """Mutated image files through index, cache, training, evaluation and prediction: no crash, right denominators."""
    folder = options.folder / "images"
    generator = random.Random(options.seed)
    noise = np.random.default_rng(options.seed)
    total = max(600, round(10_000 * options.scale))
    per_set = 500
    failures, decoded = [], 0
    good = write_faces(folder / "good", {"Train": 20, "Validation": 8})
    trained = folder / "trained"
    ended = processes.run(*train_command(good, "mycnn", trained, folder / "cache"))
    if ended.status:
        return Outcome(0, [str(ended)], "")
    for number in range(0, total, per_set):
        root = folder / f"set_{number}"
        for i in range(per_set):
            suffix = FORMATS[i % len(FORMATS)]
            side = generator.choice([1, 7, 24, 40])
            image = noise.integers(0, 256, (side, generator.choice([1, 16, 33]), 3), dtype=np.uint8)
            content = mutated(cv2.imencode(suffix, image)[1].tobytes(), generator)
            split = ("Train", "Train", "Validation", "Test")[i // 4 % 4]
            path = root / split / ("WithMask", "WithoutMask")[i % 2] / f"{i}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for cache_gb in ("null", "0")[: 1 + (number == 0)]:
            run = folder / f"run_{number}_{cache_gb}"
            command = [*train_command(root, "mycnn", run, folder / "cache"), "epochs=1", "data.on_bad_image=skip"]
            ended = processes.run(*command, f"data.cache_gb={cache_gb}", "optim.lr=0.0001")
            if ended.status or "Traceback" in ended.output:
                failures.append(f"training {number}: {ended}"[-700:])
                continue
            data = json.loads((run / "run.json").read_text())["data"]
            used = sum(count for split in data["images"].values() for count in split.values())
            if used + len(data["skipped"]) != per_set:
                failures.append(f"training {number}: {used} used and {len(data['skipped'])} skipped of {per_set}")
        decoded += used
        found = {}
        evaluated, predicted = folder / f"eval_{number}", folder / f"predict_{number}"
        ended = processes.run(
            "eval", f"ckpt={trained}", f"data.root={root}", "split=all", "data.on_bad_image=skip", "plots=false",
            f"hydra.run.dir={evaluated}", f"data.cache_dir={folder / 'cache'}",
        )  # fmt: skip
        if ended.status:
            failures.append(f"evaluation {number}: {ended}"[-700:])
        else:
            found["evaluation"] = json.loads((evaluated / "evaluation/all/metrics.json").read_text())["images"]
        ended = processes.run("predict", f"ckpt={trained}", f"source={root}", f"hydra.run.dir={predicted}")
        if ended.status:
            failures.append(f"prediction {number}: {ended}"[-700:])
        else:
            record = json.loads((predicted / "run.json").read_text())
            found["prediction"] = record["images"]
            if record["images"] + len(record["unreadable"]) != per_set:
                failures.append(f"prediction {number}: {record['images']} and {len(record['unreadable'])} of {per_set}")
        failures += [f"{name} {number}: {n} images, training {used}" for name, n in found.items() if n != used]
        for path in (root, *folder.glob(f"*_{number}*")):
            shutil.rmtree(path, ignore_errors=True)
    if decoded < 0.3 * total:
        failures.append(f"only {decoded} of {total} decode")
    return Outcome(total, failures, f"{100 * decoded / total:.0f} % of them decode")


# --- command lines ---

VALUES = {
    "model": ["mycnn", "mycnn", "mycnn", "resnet18", "vgg17", "", "null"],
    "optim": ["sgd", "adam", "adamw", "lion", "[1]"],
    "schedule": ["constant", "onecycle", "cosine", "linear"],
    "augment": ["none", "flip", "light", "heavy"],
    "optim.lr": ["0.1", "1e-3", "1e-5", "0", "-1", "nan", "inf", "abc", "1e400", "true", "null", "[1]", "{a:1}"],
    "optim.weight_decay": ["0", "0.01", "-1", "x"],
    "optim.clip_norm": ["null", "1", "0", "1.5", "a"],
    "optim.momentum": ["0", "0.9", "1", "2"],
    "schedule.warmup_epochs": ["0", "0.5", "1", "-1"],
    "seed": ["0", "7", "-1", "1.5", "99999999999999999999", "x"],
    "epochs": ["1", "1", "0", "-3", "1.0", "2.5", "null", "many"],
    "precision": ["auto", "float32", "bfloat16", "float16", "int8", "16"],
    "label_smoothing": ["0", "0.1", "1", "-0.1"],
    "ema_decay": ["null", "0.9", "0", "1"],
    "early_stopping.patience": ["null", "1", "3", "0"],
    "evaluation.threshold": ["0.5", "youden", "recall@0.9", "fpr@0.1", "0.50", "2", "recall@", "x"],
    "evaluation.equalised_size": ["null", "8", "16", "4"],
    "data.positive_class": ["WithMask", "null", "Mask", "1"],
    "data.batch_size": ["8", "16", "1", "0", "x"],
    "data.input_size": ["16", "24", "32", "10", "7", "x"],
    "data.normalization": ["study", "dataset", "imagenet", "none"],
    "data.cache_gb": ["null", "0", "1", "-1"],
    "data.workers": ["null", "1", "2", "0"],
    "data.resident": ["auto", "true", "false", "maybe"],
    "data.sampling": ["auto", "files", "groups", "x"],
    "data.split": ["as_shipped", "grouped", "x"],
    "data.on_bad_image": ["error", "skip", "x"],
    "health.on_collapse": ["warn", "fail", "retry", "x"],
    "checkpoint.every": ["null", "1steps", "0.1min", "5", "x"],
    "test": ["best", "last", "both", "none", "x"],
    "plots": ["false", "false", "false", "x", "1"],
    "device": ["cpu", "auto", "tpu", "cuda:9"],
    "threads": ["1", "null", "0"],
    "unknown": ["1"],
    "optim.unknown": ["1"],
    "data.root": ["/none", "", "'"],
    "": ["1"],
}
ODD = (
    "epochs", "=", "a b=c", "epochs=", "++epochs=1", "~plots", "epochs=1,2", "model=mycnn,resnet18", "-x", "--cfg",
    "hydra.run.dir=", "hydra/launcher=none", "experiment=none", "a=${b}", "epochs=${seed}", "optim={lr:1}",
    "\u3142=1", "plots=false\x00", "'", "{", "epochs=[", "+new=1",
)  # fmt: skip


def commands(options: argparse.Namespace, processes: Processes) -> Outcome:
    """Generated command lines and configuration files: those that are right run, others end in a line and status 2."""
    import io

    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st

    from maskcls import cli

    folder = options.folder / "commands"
    root = write_faces(folder / "data", {"Train": 4, "Validation": 2, "Test": 2})
    total = max(100, round(5_000 * options.scale))
    statuses: Counter[int] = Counter()
    failures: list[str] = []

    def override_of(key: str) -> Any:
        # the first values of each are right more often than not
        return st.sampled_from(VALUES[key]).map(lambda value: f"{key}={value}")

    right = st.lists(
        st.sampled_from(sorted(VALUES)).flatmap(lambda key: st.just(f"{key}={VALUES[key][0]}")), max_size=6
    )
    anything = st.lists(
        st.one_of(st.sampled_from(sorted(VALUES)).flatmap(override_of), st.sampled_from(ODD)), min_size=1, max_size=4
    )

    @seed(options.seed)
    @settings(
        max_examples=total,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.one_of(right, right, anything), st.booleans())
    def one(overrides: list[str], as_file: bool) -> None:
        overrides = [o for o in overrides if not o.startswith(("unknown", "optim.unknown", "data.root", "="))] \
            if overrides and all(o.partition("=")[2] == VALUES.get(o.partition("=")[0], [None])[0] for o in overrides) \
            else overrides  # fmt: skip
        place = Path(tempfile.mkdtemp(dir=folder))
        base = ["model=mycnn", "data=folder", f"data.root={root}", "epochs=1", "plots=false", "threads=1",
                "data.input_size=16", "data.batch_size=8", f"data.cache_dir={folder / 'cache'}",
                "evaluation.equalised_size=null", "device=cpu"]  # fmt: skip
        arguments = [*base, *overrides, f"hydra.run.dir={place / 'run'}"]
        if as_file:
            (place / "experiment").mkdir()
            body = "\n".join(f"{o.partition('=')[0]}: {o.partition('=')[2]}" for o in overrides if "." not in o)
            (place / "experiment" / "own.yaml").write_text(f"# @package _global_\n{body}\n", errors="replace")
            arguments = [*base, "experiment=own", "--config-dir", str(place), f"hydra.run.dir={place / 'run'}"]
        out, err = io.StringIO(), io.StringIO()
        status = -1
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = cli.main("train", arguments)
        except BaseException as error:
            failures.append(f"{arguments}: {type(error).__name__}: {error}"[:500])
        statuses[status] += 1
        text = err.getvalue()
        if "Traceback" in text or "Traceback" in out.getvalue() or status not in (0, 2, 3):
            failures.append(f"{arguments}: status {status}: {text[-500:]}")
        elif status == 2 and len(lines_in_error(text)) != 1:
            failures.append(f"{arguments}: {len(lines_in_error(text))} lines: {text[-500:]}")
        elif status == 2 and (place / "run").exists():
            failures.append(f"{arguments}: leaves a directory")
        shutil.rmtree(place)

    one()
    valid = statuses[0] / max(1, sum(statuses.values()))
    if valid < 1 / 3:
        failures.append(f"only {100 * valid:.0f} % are right")
    return Outcome(
        sum(statuses.values()), failures, ", ".join(f"{n} ended with {status}" for status, n in statuses.most_common())
    )


# --- hostile files ---

TESTS = Path(__file__).resolve().parents[1] / "tests"


def hostile(options: argparse.Namespace, processes: Processes) -> Outcome:
    """Checkpoints and archives made to mislead, as the tests have them: nothing is run, nothing written outside."""
    report = options.folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "hostile", f"--junitxml={report}", str(TESTS)]
    result = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True)
    if not report.exists():
        return Outcome(0, [result.stdout[-500:]], "")
    cases = list(ElementTree.parse(report).iter("testcase"))
    failures = [f"{case.get('classname')}: {case.get('name')}" for case in cases if len(case)]
    archives = sum("archive_writes" in str(case.get("name")) for case in cases)
    remarks = f"{len(cases) - archives} checkpoints, {archives} archives"
    return Outcome(len(cases), failures if cases else ["no case was run"], remarks)


# --- many at once ---


def concurrency(options: argparse.Namespace, processes: Processes) -> Outcome:
    """Eight runs started at once on a cold cache, three of them killed: one build, five right results."""
    folder = options.folder / "concurrency"
    root = write_faces(folder / "data", {"Train": 400, "Validation": 40, "Test": 40})
    generator = random.Random(options.seed)
    rounds = max(1, round(5 * options.scale))
    failures: list[str] = []
    builds: list[int] = []
    reference: dict[str, Any] | None = None
    for number in range(rounds):
        place = folder / f"round_{number}"
        place.mkdir()
        started = [
            processes.start(*train_command(root, "mycnn", place / f"run_{i}", place / "cache")) for i in range(8)
        ]
        time.sleep(generator.uniform(0.2, 1.5))
        killed = generator.sample(range(8), 3)
        for i in killed:
            started[i][0].kill()
        ended = {i: processes.finish(*started[i]) for i in range(8)}
        for i in set(range(8)) - set(killed):
            if ended[i].status:
                failures.append(f"round {number}, run {i}: {ended[i]}"[-700:])
                continue
            found = contents(place / f"run_{i}")
            reference = reference or found
            if wrong := differences(reference, found):
                failures.append(f"round {number}, run {i}: differs in {wrong[:5]}")
        # three splits, and the test split at a low resolution; what a killed builder left is built by another
        builds.append(len(list((place / "cache").glob("*.npy"))))
        if builds[-1] != 4:
            failures.append(f"round {number}: {builds[-1]} files in the cache, expected 4")
        if left := [path.name for path in (place / "cache").glob(".*.tmp")]:
            failures.append(f"round {number}: leaves {left}")
    return Outcome(8 * rounds, failures, f"{rounds} rounds")


CAMPAIGNS: dict[str, Callable[[argparse.Namespace, Processes], Outcome]] = {
    "kill": kill,
    "signals": signals,
    "full": full,
    "damage": damage,
    "images": images,
    "commands": commands,
    "hostile": hostile,
    "concurrency": concurrency,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaigns", nargs="*", help=f"any of {', '.join(CAMPAIGNS)}; all where none is named")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--out", type=Path, help="JSON file of everything, written after each campaign")
    options = parser.parse_args()
    if unknown := set(options.campaigns) - set(CAMPAIGNS):
        parser.error(f"no campaign {', '.join(sorted(unknown))}; there are {', '.join(CAMPAIGNS)}")
    report = {}
    print("| campaign | cases | failed | minutes | remarks |\n| --- | --- | --- | --- | --- |", flush=True)
    for name in options.campaigns or CAMPAIGNS:
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"torture_{name}_") as folder:
            options.folder = Path(folder)
            os.environ["MASKCLS_CACHE"] = str(options.folder / "default_cache")
            outcome = CAMPAIGNS[name](options, Processes(options.folder))
        minutes = (time.monotonic() - start) / 60
        print(f"| {name} | {outcome.cases} | {len(outcome.failures)} | {minutes:.1f} | {outcome.remarks} |", flush=True)
        for failure in outcome.failures:
            print(re.sub(r"\s+", " ", f"    {failure}"), file=sys.stderr, flush=True)
        report[name] = {**outcome._asdict(), "minutes": minutes, "seed": options.seed}
        if options.out:
            options.out.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(any(entry["failures"] for entry in report.values()))


if __name__ == "__main__":
    main()
