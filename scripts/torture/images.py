"""Mutated image files through index, cache, training, evaluation and prediction: no crash, and every file counted."""

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from torture.campaign import Options, Outcome
from torture.processes import Processes
from torture.trainings import Trainings, write_faces

FORMATS = (".png", ".jpg", ".webp", ".bmp", ".gif", ".tiff")
# images that one training reads
PER_SET = 500
# if a smaller share of the images can be decoded, the mutations are too coarse to test anything
DECODABLE = 0.3


def mutated(content: bytes, generator: random.Random) -> bytes:
    """An image file with up to 20 mutations, which hit its header as often as its body."""
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


def write_mutated(root: Path, generator: random.Random, noise: np.random.Generator) -> None:
    """Write a data set of `PER_SET` mutated image files."""
    for i in range(PER_SET):
        suffix = FORMATS[i % len(FORMATS)]
        side = generator.choice([1, 7, 24, 40])
        image = noise.integers(0, 256, (side, generator.choice([1, 16, 33]), 3), dtype=np.uint8)
        split = ("Train", "Train", "Validation", "Test")[i // 4 % 4]
        path = root / split / ("WithMask", "WithoutMask")[i % 2] / f"{i}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutated(cv2.imencode(suffix, image)[1].tobytes(), generator))


@dataclass(frozen=True)
class MutatedImages:
    """Runs the three commands on a set of mutated images.

    Attributes:
        folder: gets the run directories.
        root: the mutated images.
        trained: run directory of a trained model.
        processes: starts the commands.
    """

    folder: Path
    root: Path
    trained: Path
    processes: Processes

    def train(self, cache_gb: str) -> tuple[int | None, list[str]]:
        """Train on the images; return how many it used, and what is wrong."""
        run = self.folder / f"run_{cache_gb}"
        command = Trainings(self.root, self.processes).command("mycnn", run, self.folder / "cache", epochs=1)
        ended = self.processes.run(*command, "data.on_bad_image=use", f"data.cache_gb={cache_gb}", "optim.lr=0.0001")
        if ended.status or ended.has_traceback:
            return None, [f"training: {ended}"[-700:]]
        data = json.loads((run / "run.json").read_text())["data"]
        used = sum(count for split in data["images"].values() for count in split.values())
        return used, miscounted("training", used, len(data["skipped"]))

    def evaluate(self) -> tuple[int | None, list[str]]:
        """Evaluate the model on the images; return how many it used, and what is wrong."""
        run = self.folder / "evaluate"
        ended = self.processes.run(
            "eval", f"ckpt={self.trained}", f"data.root={self.root}", "split=all", "data.on_bad_image=use",
            "plots=false", f"hydra.run.dir={run}", f"data.cache_dir={self.folder / 'cache'}",
        )  # fmt: skip
        if ended.status:
            return None, [f"evaluation: {ended}"[-700:]]
        return json.loads((run / "evaluation/all/metrics.json").read_text())["images"], []

    def predict(self) -> tuple[int | None, list[str]]:
        """Classify the images; return how many it used, and what is wrong."""
        run = self.folder / "predict"
        ended = self.processes.run("predict", f"ckpt={self.trained}", f"source={self.root}", f"hydra.run.dir={run}")
        if ended.status:
            return None, [f"prediction: {ended}"[-700:]]
        record = json.loads((run / "run.json").read_text())
        return record["images"], miscounted("prediction", record["images"], len(record["unreadable"]))


def miscounted(name: str, used: int, left_out: int) -> list[str]:
    """A line if images were lost."""
    return [] if used + left_out == PER_SET else [f"{name}: {used} used and {left_out} left out of {PER_SET}"]


def campaign(options: Options, processes: Processes) -> Outcome:
    """Let all three commands read mutated images, and compare which they could read."""
    folder = options.folder
    trained = folder / "trained"
    good = write_faces(folder / "good", {"Train": 20, "Validation": 8})
    Trainings(good, processes).train("mycnn", trained, folder / "cache")
    generator, noise = random.Random(options.seed), np.random.default_rng(options.seed)
    total, decoded = 0, 0
    failures: list[str] = []
    for first in range(0, options.cases(10_000, at_least=600), PER_SET):
        place = folder / f"set_{first}"
        write_mutated(place / "data", generator, noise)
        commands = MutatedImages(place, place / "data", trained, processes)
        results = [commands.train("null"), commands.evaluate(), commands.predict()]
        if first == 0:  # once with images that are decoded at each read
            results.append(commands.train("0"))
        used = {count for count, _ in results if count is not None}
        problems = [problem for _, found in results for problem in found]
        if len(used) > 1:
            problems.append(f"the commands could read {sorted(used)} images")
        failures += [f"set {first}: {problem}" for problem in problems]
        total, decoded = total + PER_SET, decoded + max(used, default=0)
        shutil.rmtree(place)
    if decoded < DECODABLE * total:
        failures.append(f"only {decoded} of {total} can be decoded")
    return Outcome(total, failures, f"{100 * decoded / total:.0f} % of them can be decoded")
