"""Measure the time and the memory that maskcls-audit takes for more and more images.

    python scripts/benchmark_audit.py --data FOLDER --images 2700 10800 43200 --out audit.json

FOLDER holds class folders, or splits that hold class folders. For more images than FOLDER has, its images are copied.
Each copy is turned, moved, zoomed, mirrored and recoloured at random. For fewer images, some are drawn at random.

    python scripts/benchmark_audit.py --data FOLDER --images 10800 --beside 2

measures beside two processes that compute all the time, as a training does. Compare with --beside 0, the default.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from benchmark import Row, describe_machine, measure
from tqdm import tqdm

from maskcls.data.index import index_folder

# phases of the audit whose seconds are shown
PHASES = ("read", "compare", "shortcuts", "write")


def main() -> None:
    """Audit as many images as each number on the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of images")
    parser.add_argument("--images", type=int, nargs="+", required=True, help="numbers of images; each gets an audit")
    parser.add_argument("--beside", type=int, default=0, help="number of other processes that compute meanwhile")
    parser.add_argument("--out", type=Path, help="JSON file for the results, written after each audit")
    args = parser.parse_args()
    report: Row = {"machine": describe_machine(), "audits": []}
    for count in args.images:
        with TemporaryDirectory() as folder:
            enlarge(args.data, count, Path(folder) / "data")
            with busy(args.beside):
                report["audits"].append(audit(Path(folder), count))
        if args.out:
            args.out.write_text(json.dumps(report, indent=2) + "\n")
        print(markdown(report), flush=True)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many cores busy during the block."""
    workers = [get_context("spawn").Process(target=compute, daemon=True) for _ in range(processes)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def compute() -> None:
    """Multiply matrices for ever, in one thread."""
    import torch

    torch.set_num_threads(1)
    matrix = torch.randn(512, 512)
    while True:
        matrix = torch.nn.functional.normalize(matrix @ matrix)


def enlarge(source: Path, count: int, target: Path) -> None:
    """Make a folder of ``count`` images from the images of another folder. The result is the same each time."""
    index = index_folder(source)
    paths = sorted(index.all_images().paths)
    random.Random(0).shuffle(paths)
    for number in tqdm(range(count), desc=f"make {count}", leave=False, disable=None):
        original = index.root / paths[number % len(paths)]
        version = number // len(paths)
        file = target / Path(paths[number % len(paths)]).parent / f"{version}_{original.name}"
        file.parent.mkdir(parents=True, exist_ok=True)
        if version == 0:
            file.write_bytes(original.read_bytes())
        else:
            image = cv2.imread(str(original))
            if image is None:
                sys.exit(f"{original}: not an image")
            cv2.imwrite(str(file), changed(image, np.random.default_rng([number, version])))


def changed(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A copy as offline augmentation makes it: turned by up to 20 degrees, moved, zoomed, mirrored, recoloured."""
    height, width = image.shape[:2]
    angle, scale = generator.uniform(-20, 20), generator.uniform(1, 1.3)
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale), dtype=np.float64)
    matrix[:, 2] += generator.uniform(-0.1, 0.1, size=2) * (width, height)
    if generator.random() < 0.5:
        image = image[:, ::-1]
    moved = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return cv2.convertScaleAbs(moved, alpha=generator.uniform(0.8, 1.2), beta=generator.uniform(-20, 20))


def audit(folder: Path, count: int) -> Row:
    """Audit ``folder/data``; return seconds, peak memory and what was found."""
    run = folder / "audit"
    command = [sys.executable, "-m", "maskcls", "audit", f"data.root={folder / 'data'}", f"hydra.run.dir={run}"]
    measured = measure(command, folder)
    if measured.pop("status") != 0:
        sys.exit((folder / "stderr").read_text())
    seconds = json.loads((run / "run.json").read_text())["seconds"]
    groups = json.loads((run / "audit.json").read_text())["groups"]
    return {"images": count, **measured, "phases": seconds, "groups": groups}


def markdown(report: Row) -> str:
    """A table with a row for each number of images."""
    head = ("images", "seconds", *PHASES, "milliseconds an image", "peak memory, MB", "groups", "links")
    lines: list[Sequence[str]] = [head, ["---"] * len(head)]
    for row in report["audits"]:
        each = 1000 * row["seconds"] / row["images"]
        found = row["groups"]
        lines.append(
            [
                f"{row['images']:,}",
                f"{row['seconds']:.0f}",
                *(f"{row['phases'].get(phase, 0):.0f}" for phase in PHASES),
                f"{each:.1f}",
                f"{row['peak_memory_mb']:,.0f}",
                f"{found['all']:,}",
                f"{sum(found['links'].values()):,}",
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
