"""A training that is captured, written, read and restored is the training that it was."""

import dataclasses
import math
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from configuration import config_of
from runs import interrupt_at, load, resume, rewrite, tensors_of, train
from safetensors.torch import load_file
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from trainings import (
    ABOUT,
    CPU,
    MODEL,
    plan_of,
    row,
    same_weights,
    scripted,
    tiny_batches,
    tiny_images,
    tiny_state,
    tiny_validator,
)

from maskcls.config import MyCNNConfig, ResNet18Config
from maskcls.config.types import PrecisionName
from maskcls.data.loaders import LabelledImages, Loader
from maskcls.data.statistics import STUDY
from maskcls.errors import UserError
from maskcls.models.architecture import build_model
from maskcls.models.calibration import Calibration
from maskcls.models.checkpoint import Checkpoint, Snapshot, load_training, save_checkpoint
from maskcls.models.document import Document
from maskcls.models.normalize import Normalize
from maskcls.models.precision import Precision
from maskcls.run import BEST, CHECKPOINTS, LAST, PREVIOUS, read_run
from maskcls.training.batches import TrainingBatches
from maskcls.training.build import build_state
from maskcls.training.checkpoints import latest
from maskcls.training.loop import fit, train_one_epoch
from maskcls.training.recorder import Recorder
from maskcls.training.snapshot import capture, restore
from maskcls.training.state import TrainingState, average_weights

RESNET = ResNet18Config("resnet18", default_input_size=32, pretrained=False)


class Saving(Recorder):
    """Writes a checkpoint after a step, or after an epoch that ends with it."""

    def __init__(self, step: int, path: Path, about: Document = ABOUT, *, at_end: bool = False) -> None:
        self.step, self.path, self.about, self.at_end = step, path, about, at_end

    def step_done(self, state: TrainingState) -> None:
        if state.progress.step == self.step and not self.at_end:
            save_checkpoint(self.path, capture(state, self.about))

    def epoch_done(self, state: TrainingState, result: object) -> None:
        if state.progress.step == self.step and self.at_end:
            save_checkpoint(self.path, capture(state, self.about))


def adam_state(precision: PrecisionName = "float32") -> TrainingState:
    """A training with everything that has a state."""
    state = tiny_state(precision)
    state.optimizer = torch.optim.Adam(state.model.parameters(), lr=0.01, fused=True)
    state.schedule = LambdaLR(state.optimizer, lambda step: 0.9**step)
    state.average = average_weights(state.model, 0.7)
    state.generator = torch.Generator().manual_seed(3)
    transform, generator = state.transform, state.generator
    state.transform = lambda images: transform(images) + torch.rand(1, generator=generator) * 0.1
    return state


def batches_for(state: TrainingState) -> TrainingBatches:
    return tiny_batches(18, changes=state.generator)


def tensors(state: TrainingState) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in tensors_of(capture(state, ABOUT)).items()}


def assert_same_training(one: TrainingState, other: TrainingState) -> None:
    a, b = tensors(one), tensors(other)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    documents = [capture(state, ABOUT).document.training for state in (one, other)]
    assert documents[0] is not None
    assert documents[1] is not None
    assert (documents[0].scaler, documents[0].random) == (documents[1].scaler, documents[1].random)
    figures = [[(r.epoch, r.step, r.learning_rate, r.train_loss, r.val_loss) for r in s.rows] for s in (one, other)]
    assert figures[0] == figures[1]
    assert one.calibration == other.calibration


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(("at", "at_end"), [(1, False), (3, False), (3, True), (5, False)])
def test_a_restored_training_goes_on_bit_for_bit(
    precision: PrecisionName, at: int, tmp_path: Path, *, at_end: bool
) -> None:
    whole, path = adam_state(precision), tmp_path / LAST
    about = dataclasses.replace(ABOUT, precision=precision)
    fit(whole, batches_for(whole), tiny_validator(), plan_of(2), [Saving(at, path, about, at_end=at_end)])
    restored = adam_state(precision)
    torch.rand(at)  # the global generators are restored, too
    restore(restored, load_training(path), path)
    assert restored.progress.step == at
    assert len(restored.rows) == at_end + at // 4
    fit(restored, batches_for(restored), tiny_validator(), plan_of(2), [])
    assert_same_training(whole, restored)


# --- ResNet-18 with momentum: its convolutions are channels_last ---


def resnet_state() -> TrainingState:
    torch.manual_seed(0)
    model = build_model(RESNET, 2, 32, pretrained=False).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    return tiny_state(model=model, forward=model, optimizer=optimizer, schedule=LambdaLR(optimizer, lambda _: 1.0))


def resnet_batches() -> TrainingBatches:
    order, small = torch.Generator(), tiny_images(8)
    images = LabelledImages(torch.from_numpy(small.images[:]).repeat(1, 4, 4, 1).numpy(), small.labels)
    return TrainingBatches(Loader(images, 4, CPU, shuffle=order), order, torch.Generator(), 5, [""] * 8)


# losses and accuracies of validations that do not take the time
FIGURES = ((1.0, 0.5), (1.0, 0.5))


class Keeping(Recorder):
    """Keeps a copy of all tensors of every step."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []

    def step_done(self, state: TrainingState) -> None:
        self.states.append(tensors(state))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[dict[str, Tensor]]]:
    """A training of two epochs of two steps: checkpoints of the first three steps, and the state after each."""
    folder, about = tmp_path_factory.mktemp("resnet"), dataclasses.replace(ABOUT, model=RESNET, input_size=32)
    paths, keeping = [folder / f"{step}.safetensors" for step in (1, 2, 3)], Keeping()
    savers = [Saving(step, path, about) for step, path in enumerate(paths, 1)]
    fit(resnet_state(), resnet_batches(), scripted(*FIGURES), plan_of(2), [keeping, *savers])
    return paths, keeping.states


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_restored_resnet_goes_on_bit_for_bit(steps: int, resnet: tuple[list[Path], list[dict[str, Tensor]]]) -> None:
    paths, expected = resnet
    state, keeping = resnet_state(), Keeping()
    restore(state, load_training(paths[steps - 1]), paths[steps - 1])
    fit(state, resnet_batches(), scripted(*FIGURES), plan_of(2), [keeping])
    for found, after in zip(keeping.states, expected[steps:], strict=True):
        assert [name for name in after if not torch.equal(found[name], after[name])] == []


def test_the_optimizers_state_keeps_the_memory_format_of_its_parameter(
    resnet: tuple[list[Path], list[dict[str, Tensor]]],
) -> None:
    path = resnet[0][0]
    checkpoint = load_training(path)
    assert checkpoint.snapshot is not None
    # the file has no memory formats
    assert all(state["momentum_buffer"].is_contiguous() for state in checkpoint.snapshot.optimizer.values())
    state = resnet_state()
    restore(state, checkpoint, path)
    seen = 0
    for position, parameter in enumerate(state.model.parameters()):
        momentum = state.optimizer.state[parameter]["momentum_buffer"]
        # a fused kernel walks the memory of both as one
        assert momentum.stride() == parameter.stride()
        assert torch.equal(momentum, checkpoint.snapshot.optimizer[position]["momentum_buffer"])
        seen += not parameter.is_contiguous()
    assert seen > 10


# --- what is captured ---


def test_everything_that_is_not_a_tensor_is_restored(tmp_path: Path) -> None:
    state = tiny_state()
    state.progress = dataclasses.replace(
        state.progress, epoch=1, step=8, best=row(), stopping_reference=0.25, epochs_without_improvement=2
    )
    state.rows, state.retries, state.has_collapsed = [row()], 1, True
    state.calibration = Calibration(1.5, 0.25)
    path = tmp_path / LAST
    save_checkpoint(path, capture(state, ABOUT))
    found = tiny_state()
    restore(found, load_training(path), path)
    for name in ("progress", "rows", "retries", "has_collapsed", "calibration", "sums"):
        assert getattr(found, name) == getattr(state, name)
    assert found.progress.best is not None


def test_what_all_checkpoints_have_in_common_is_kept() -> None:
    state = tiny_state()
    state.calibration = Calibration(2.0, 0.3)
    document = capture(state, dataclasses.replace(ABOUT, positive_class="B", data_fingerprint="abc")).document
    assert (document.positive_class, document.data_fingerprint) == ("B", "abc")
    assert (document.temperature, document.threshold) == (2.0, 0.3)
    assert document.model == MODEL


def test_settings_are_the_configurations_and_the_learning_rate_is_the_schedules(tmp_path: Path) -> None:
    state, path = adam_state(), tmp_path / LAST
    train_one_epoch(state, batches_for(state))
    save_checkpoint(path, capture(state, ABOUT))
    other = adam_state()
    group = other.optimizer.param_groups[0]
    group["weight_decay"], group["betas"] = 0.5, (0.8, 0.9)
    restore(other, load_training(path), path)
    group = other.optimizer.param_groups[0]
    assert (group["weight_decay"], group["betas"]) == (0.5, (0.8, 0.9))
    assert other.learning_rate == pytest.approx(0.01 * 0.9**3)
    assert other.schedule.get_last_lr() == [other.learning_rate]
    other.optimizer.step()
    other.schedule.step()
    assert other.learning_rate == pytest.approx(0.01 * 0.9**4)


def test_an_optimizer_without_state_is_restored(tmp_path: Path) -> None:
    state, path = tiny_state(), tmp_path / LAST
    train_one_epoch(state, tiny_batches())
    save_checkpoint(path, capture(state, ABOUT))
    checkpoint = load_training(path)
    assert checkpoint.snapshot is not None
    assert checkpoint.snapshot.optimizer == {}
    other = tiny_state()
    restore(other, checkpoint, path)
    assert same_weights(state.model, other.model)


# --- what is refused ---


def refusal(state: TrainingState, checkpoint: Checkpoint) -> str:
    with pytest.raises(UserError) as caught:
        restore(state, checkpoint, Path("last"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_optimizer_whose_state_a_checkpoint_cannot_keep_is_refused() -> None:
    state = adam_state()
    train_one_epoch(state, batches_for(state))
    next(iter(state.optimizer.state.values()))["extra"] = 3
    with pytest.raises(TypeError, match=r"^the optimizer's extra is no tensor, so a checkpoint cannot keep it$"):
        capture(state, ABOUT)


def test_an_average_that_the_configuration_contradicts_is_refused() -> None:
    with_average, without = adam_state(), adam_state()
    without.average = None
    against = "against the configuration's ema_decay"
    message = refusal(without, capture(with_average, ABOUT))
    assert message == f"ckpt=last: has an average of the weights, {against}"
    message = refusal(with_average, capture(without, ABOUT))
    assert message == f"ckpt=last: lacks an average of the weights, {against}"


@pytest.mark.hostile
@pytest.mark.parametrize("scaler", [{"magic": 1.0}, {"scale": 1.0}])
def test_a_scaler_of_another_kind_is_refused(scaler: dict[str, float]) -> None:
    checkpoint = capture(adam_state("float16"), ABOUT)
    assert checkpoint.document.training is not None
    training = dataclasses.replace(checkpoint.document.training, scaler=scaler)
    document = dataclasses.replace(checkpoint.document, training=training)
    message = refusal(adam_state("float16"), dataclasses.replace(checkpoint, document=document))
    assert message.startswith("ckpt=last: no training can resume from it: KeyError: ")


def test_a_checkpoint_of_another_network_is_refused_in_plain_words() -> None:
    other = build_model(MyCNNConfig("mycnn", 16, 0.0), 2, 16, pretrained=False)
    message = refusal(tiny_state(), capture(tiny_state(model=other), ABOUT))
    assert message == (
        "ckpt=last: its weights do not fit the model that it names: classifier.weight is (2, 128) torch.float32, "
        "expected (2, 32) torch.float32"
    )


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA error: unspecified launch failure")])
def test_a_failure_of_the_machine_is_not_the_fault_of_the_file(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    checkpoint = capture(adam_state(), ABOUT)
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", fail)
    with pytest.raises(type(error)):
        restore(adam_state(), checkpoint, Path("last"))


SETTINGS = (
    "model=mycnn", "optim=adam", "augment=light", "schedule=onecycle", "ema_decay=0.9", "data.input_size=16",
    "data.batch_size=8", "epochs=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def interrupted(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a training that was interrupted in its second epoch."""
    folder = tmp_path_factory.mktemp("interrupted")
    run = folder / "run"
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(7, signal.SIGTERM, patch)
        assert train(dataset, run, *SETTINGS, f"data.cache_dir={folder / 'cache'}") == 143
    (run / "checkpoints" / PREVIOUS).unlink()  # nothing to fall back to
    return run


def resumed_in_memory(path: Path) -> TrainingState:
    """Resume the interrupted training from a file, as far as its state goes."""
    config = config_of("train", "data=synthetic", *SETTINGS)
    changes, precision = torch.Generator(), Precision("float32", "cpu")
    state = build_state(config, 2, Normalize(STUDY), precision, changes, steps_per_epoch=6)
    found = latest(path.parent)
    assert found is not None
    restore(state, *found)
    return state


def with_tensors(change: Callable[[dict[str, Any]], object]) -> Callable[[Checkpoint], Checkpoint]:
    """Change the tensors of a checkpoint: weights, optimizer, average or random."""

    def changed(checkpoint: Checkpoint) -> Checkpoint:
        assert checkpoint.snapshot is not None
        snapshot = vars(checkpoint.snapshot)
        parts: dict[str, Any] = {"weights": dict(checkpoint.weights), **{k: dict(v) for k, v in snapshot.items()}}
        change(parts)
        weights = parts.pop("weights")
        return Checkpoint(weights, checkpoint.document, Snapshot(**parts))

    return changed


@pytest.mark.parametrize("model", ["mobilenet_v3_small", "efficientnet_b0"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_networks_that_draw_random_numbers_go_on_bit_for_bit(
    model: str, precision: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = (f"model={model}", "data.input_size=32", "data.batch_size=12", "epochs=2", "test=none", "device=cpu")
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert train(dataset, whole, *small, f"precision={precision}") == 0
    with monkeypatch.context() as patch:
        interrupt_at(6, signal.SIGTERM, patch)
        assert train(dataset, parted, *small, f"precision={precision}") == 143
    assert resume(parted) == 0
    one, other = tensors_of(load(whole)), tensors_of(load(parted))
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    # torchvision loads the weights by itself
    own = torchvision.models.get_model(model, num_classes=2)
    own.load_state_dict(load_file(whole / CHECKPOINTS / BEST))
    assert any(name.endswith("running_var") for name in one)


ONE = torch.zeros(1)
TENSORS: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "moments of another shape": lambda parts: parts["optimizer"][0].update(exp_avg=torch.zeros(7, 7)),
    "moments of a parameter that is not there": lambda parts: parts["optimizer"].update({99: {"exp_avg": ONE}}),
    "moments of one parameter are missing": lambda parts: parts["optimizer"].pop(0),
    "a generator of another size": lambda parts: parts["random"].update(cpu=torch.zeros(3, dtype=torch.uint8)),
    "no generators": lambda parts: parts["random"].clear(),
    "a generator of another kind": lambda parts: parts["random"].update(python=torch.rand(625)),
    "a short generator of Python": lambda parts: parts["random"].update(python=torch.ones(3, dtype=torch.int64)),
    "a short generator of NumPy": lambda parts: parts["random"].update(numpy=torch.ones(3, dtype=torch.int64)),
    "no average": lambda parts: parts["average"].clear(),
    "half an average": lambda parts: parts["average"].popitem(),
    "a weight is missing": lambda parts: parts["weights"].popitem(),
    "a weight too many": lambda parts: parts["weights"].update(more=ONE),
    "a weight of another type": lambda parts: parts["weights"].update(
        {"classifier.bias": parts["weights"]["classifier.bias"].double()}
    ),
    "a weight that is not a number": lambda parts: parts["weights"].update(
        {"classifier.bias": torch.tensor([0.0, float("nan")])}
    ),
}

DOCUMENTS: Mapping[str, dict[str, Any]] = {
    "steps that are no number": {"progress.step": "many"},
    "fewer than no epochs": {"progress.epoch": -1},
    "more epochs than rows": {"progress.epoch": 2},
    "no best": {"progress": {"epoch": 1, "step": 7}},
    "half a best": {"progress.best": {"epoch": 1}},
    "a best that is no row": {"progress.best.val_loss": 1e9},
    "a reference that is no accuracy": {"progress.stopping_reference": 1.5},
    "rows that are none": {"training.rows": [1]},
    "no rows": {"training.rows": []},
    "too many retries": {"training.retries": 400},
    "fewer than no retries": {"training.retries": -1},
    "a scaler of text": {"training.scaler": {"scale": "large"}},
    "an average without its updates": {"training.average_updates": None},
    "a position outside of NumPy's state": {"training.random.numpy": [10**9, 0, 0.0]},
    "a version that Python does not have": {"training.random.python": [99, None]},
    "an epoch that lacks its sums": {"training.partial_epoch": {"seen": 1}},
    "fewer images than batches": {"training.partial_epoch.seen": 0},
    "more right answers than images": {"training.partial_epoch.correct": 10**6},
    "seconds that are no number": {"training.partial_epoch.seconds": math.nan},
    "seconds without an end": {"training.partial_epoch.seconds": math.inf},
    "no training": {"training": None},
    "another format": {"version": 2},
}


def assert_refused_in_a_line(path: Path) -> None:
    with pytest.raises(UserError, match=f"^ckpt={path}: ") as caught:
        resumed_in_memory(path)
    assert "\n" not in str(caught.value)
    assert "a damaged file" not in str(caught.value)  # it is refused for its content


@pytest.mark.hostile
@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_make_no_sense_are_refused_in_a_line(name: str, interrupted: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / LAST, with_tensors(TENSORS[name])(load(interrupted)))
    assert_refused_in_a_line(tmp_path / LAST)


@pytest.mark.hostile
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_makes_no_sense_is_refused_in_a_line(name: str, interrupted: Path, tmp_path: Path) -> None:
    rewrite(tmp_path / LAST, interrupted / CHECKPOINTS / LAST, DOCUMENTS[name])
    assert_refused_in_a_line(tmp_path / LAST)


def test_what_is_refused_above_is_accepted_unchanged(interrupted: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / LAST, with_tensors(bool)(load(interrupted)))
    rewrite(tmp_path / LAST, tmp_path / LAST, {})
    state = resumed_in_memory(tmp_path / LAST)
    assert (state.progress.epoch, state.progress.step) == (1, 7)


@pytest.mark.hostile
@pytest.mark.parametrize("where", ["tensors", "document"])
def test_the_command_refuses_in_a_line_and_keeps_the_record(
    where: str, interrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(interrupted, tmp_path / "run"))
    path = run / "checkpoints" / LAST
    if where == "tensors":
        save_checkpoint(path, with_tensors(TENSORS["no generators"])(load(interrupted)))
    else:
        rewrite(path, path, DOCUMENTS["no rows"])
    before = read_run(run)["overrides"]
    capsys.readouterr()
    assert resume(run) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("maskcls-train: ")]
    assert line.startswith(f"maskcls-train: ckpt={path}: ")
    assert read_run(run)["overrides"] == before
