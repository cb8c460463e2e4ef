"""The test split, used once, at the end of a training."""

import logging
from typing import Any

import torch

from maskcls.config import TrainConfig
from maskcls.data.cache import open_images
from maskcls.data.image_files import ImageFiles
from maskcls.evaluation.facts import file_facts
from maskcls.evaluation.measure import predict_split
from maskcls.evaluation.results import SYNTHETIC_NOTE, report_slices, write_evaluation
from maskcls.inference.predictor import Predictor
from maskcls.models.checkpoint import load_checkpoint
from maskcls.models.precision import Precision
from maskcls.run import Run
from maskcls.training.data import TrainingData

log = logging.getLogger(__name__)

BATCH_SIZE_KEY = "data.eval_batch_size"


def evaluate_on_test(
    config: TrainConfig, data: TrainingData, run: Run, device: torch.device, precision: Precision
) -> dict[str, dict[str, Any]]:
    """Evaluate the checkpoints that the configuration names on the test split.

    Returns:
        The content of ``metrics.json`` by checkpoint, best or last.
    """
    if "test" not in data.splits or config.test == "none":
        log.info("not tested: %s", "test=none" if "test" in data.splits else f"{data.index.root} has no test split")
        return {}
    files = data.index.splits["test"]
    trained_on = data.groups and {data.groups[path].group for path in data.index.splits["train"].paths}
    facts = file_facts(data.index.root, files, data.groups, trained_on)
    low = None
    if (size := config.evaluation.equalised_size) is not None:
        reduced = ImageFiles(data.index.root, files.paths, config.data.input_size, equalised_size=size)
        low = open_images({"test": reduced}, config.data)["test"]
    run.record["test"] = {}
    tested = {}
    for name in ("best", "last") if config.test == "both" else (config.test,):
        path = run.checkpoints / f"{name}.safetensors"
        checkpoint = load_checkpoint(path)
        predictor = Predictor.of(checkpoint, device, precision.name, config.data.eval_batch_size)
        predictions = predict_split(predictor, files, data.splits["test"].images, facts, BATCH_SIZE_KEY)
        equalised = None if low is None else predict_split(predictor, files, low, facts, BATCH_SIZE_KEY)
        about = {
            "split": "test",
            "checkpoint": str(path.relative_to(run.directory)),
            "epoch": checkpoint.document.progress.epoch,
            "temperature": predictor.calibration.temperature,
            "threshold": predictor.calibration.threshold,
            "data_split": config.data.split,
            **({"note": SYNTHETIC_NOTE} if data.is_synthetic else {}),
        }
        folder = run.directory / "evaluation" / ("test" if name == config.test or name == "best" else "test_last")
        positive = config.data.positive_class
        metrics = write_evaluation(folder, predictions, positive, about, plot=config.plots, equalised=equalised)
        report_slices("test" if name == "best" else f"test, {name} checkpoint,", metrics)
        keys = ("epoch", "accuracy", "accuracy_interval_95", "correct", "images", "loss")
        run.record["test"][name] = {key: metrics[key] for key in keys}
        tested[name] = metrics
    return tested
