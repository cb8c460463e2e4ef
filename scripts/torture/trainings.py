"""Trainings on a small data set, as they are without any fault, and resumed after one."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from torture.campaign import CampaignError
from torture.checkpoints import differences
from torture.processes import Ended, Processes

MODELS = {
    "mycnn": ("model=mycnn", "optim=adam", "data.input_size=16", "augment=light", "ema_decay=0.9", "schedule=onecycle"),
    "resnet18": ("model=resnet18", "data.input_size=32", "augment=flip", "optim.lr=0.001"),
    "vgg16": ("model=vgg16", "data.input_size=32", "optim.lr=0.001"),
}
SETTINGS = ("data=folder", "data.batch_size=16", "plots=false", "threads=1", "data.workers=1")


def write_faces(root: Path, counts: Mapping[str, int]) -> Path:
    """Write a data set of noise, brighter where there is a mask: ``counts[SPLIT]`` images of each class."""
    generator = np.random.default_rng(0)
    for split, count in counts.items():
        for name, level in (("WithMask", 160), ("WithoutMask", 90)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = np.clip(generator.normal(level, 60, (24, 24, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / f"{number}.png"), image)
    return root


class Undisturbed(NamedTuple):
    """A training that met no fault.

    Attributes:
        run: its directory.
        seconds: how long it took.
    """

    run: Path
    seconds: float


@dataclass(frozen=True)
class Trainings:
    """Trainings on one data set.

    Attributes:
        root: the data set.
        processes: starts them.
    """

    root: Path
    processes: Processes

    def command(self, model: str, run: Path, cache: Path, epochs: int = 3) -> list[str]:
        """The command that trains a model of `MODELS`."""
        places = (f"data.root={self.root}", f"hydra.run.dir={run}", f"data.cache_dir={cache}")
        return ["train", *MODELS[model], *SETTINGS, f"epochs={epochs}", *places]

    def train(self, model: str, run: Path, cache: Path) -> float:
        """Train a model, and return how many seconds it took.

        Raises:
            CampaignError: if the training fails.
        """
        start = time.monotonic()
        ended = self.processes.run(*self.command(model, run, cache))
        if ended.status:
            raise CampaignError(f"{model}: the training without a fault failed: {ended}")
        return time.monotonic() - start

    def undisturbed(self, model: str, run: Path, cache: Path) -> Undisturbed:
        """Train a model, to compare others with it; raises as `train` does."""
        self.processes.run("train", "--version")  # the imports, which only the first process waits for
        return Undisturbed(run, self.train(model, run, cache))

    def resume(self, run: Path, command: Sequence[str]) -> Ended:
        """Resume a run, or start it again if it had not written its record yet."""
        return self.processes.run(*(["train", f"resume={run}"] if (run / "run.json").exists() else command))

    def problems_after_resuming(self, run: Path, command: Sequence[str], whole: Undisturbed) -> list[str]:
        """Resume a run, and say in what it differs from the undisturbed one."""
        ended = self.resume(run, command)
        if ended.status:
            return [f"resumed: status {ended.status}: {ended.output[-500:]}"]
        wrong = differences(whole.run, run)
        return [f"resumed: differs in {wrong[:5]}"] if wrong else []
