"""The test split, used once, at the end of a training."""

import logging
from typing import Any

import torch

from maskcls.config import TrainConfig
from maskcls.data.image_files import ImageFiles
from maskcls.evaluation.facts import file_facts
from maskcls.evaluation.measure import EvaluationData, open_reduced
from maskcls.evaluation.results import SYNTHETIC_NOTE, evaluate_checkpoint, report_slices
from maskcls.inference.predictor import Predictor
from maskcls.models.opening import open_network
from maskcls.models.precision import Precision
from maskcls.run import EVALUATION, Run
from maskcls.training.data import TrainingData

log = logging.getLogger(__name__)


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
    facts = file_facts(data.index.root, files, data.groups, set(data.index.splits["train"].paths))
    image_files = ImageFiles(data.index.root, files.paths, config.data.input_size, resize=config.data.resize)
    reduced = open_reduced(image_files, config.evaluation.equalised_size, config.data)
    test = EvaluationData("test", files, data.splits["test"].images, reduced, facts)
    tested = {}
    for name in ("best", "last") if config.test == "both" else (config.test,):
        path = run.checkpoints / f"{name}.safetensors"
        trained = open_network(path, device=str(device), precision=precision.name)
        predictor = Predictor.of(trained, config.data.eval_batch_size, "data.eval_batch_size")
        about = {
            "checkpoint": path.relative_to(run.directory).as_posix(),
            "data_split": data.index.origin,
            **({"note": SYNTHETIC_NOTE} if data.is_synthetic else {}),
        }
        folder = run.directory / EVALUATION / ("test" if name == config.test or name == "best" else "test_last")
        tested[name] = evaluate_checkpoint(folder, trained.document, predictor, test, about, plot=config.plots)
        report_slices("test" if name == "best" else f"test, {name} checkpoint,", tested[name])
    keys = ("epoch", "accuracy", "balanced_accuracy", "accuracy_interval_95", "correct", "images", "loss")
    run.record["test"] = {name: {key: metrics[key] for key in keys} for name, metrics in tested.items()}
    return tested
