"""The loop: precisions, clipping, steps that are not finite, interruptions, rows and early stopping."""

import copy
import dataclasses
import itertools
import logging
import math
import os
import re
import signal
from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from trainings import (
    SIZE,
    Events,
    batch_of,
    copy_of,
    plan_of,
    same_weights,
    scripted,
    tiny_batches,
    tiny_state,
    tiny_validator,
)

from maskcls.config import LightAugmentConfig
from maskcls.config.types import PrecisionName
from maskcls.data.augment import LightAugment
from maskcls.data.loaders import Batch
from maskcls.errors import TrainingError
from maskcls.interrupts import Interrupted, listening
from maskcls.models.document import EpochRow, PartialEpoch
from maskcls.models.precision import DTYPES
from maskcls.training import loop
from maskcls.training.batches import TrainingBatches
from maskcls.training.loop import NotFiniteError, fit, step, train_one_epoch
from maskcls.training.recorder import Recorder
from maskcls.training.state import EpochSums, TrainingState, average_weights

PRECISIONS: list[PrecisionName] = ["float32", "bfloat16", "float16"]


def close(state: TrainingState) -> EpochSums:
    """End an epoch as `fit` does; return its sums."""
    sums = state.sums
    assert sums is not None
    state.sums = None
    state.progress = dataclasses.replace(state.progress, epoch=state.progress.epoch + 1)
    return sums


def train_on(state: TrainingState, batches: TrainingBatches) -> EpochSums:
    """Train a whole epoch."""
    train_one_epoch(state, batches)
    return close(state)


def first_layer(state: TrainingState) -> nn.Module:
    return next(module for module in state.model.modules() if isinstance(module, nn.Conv2d))


# --- a step ---


@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_precision_learns(precision: PrecisionName) -> None:
    state, batches = tiny_state(precision), tiny_batches()
    losses = [train_on(state, batches).loss for _ in range(6)]
    assert losses[-1] < 0.7 * losses[0]
    assert state.progress.step == 48
    assert all(parameter.dtype == torch.float32 for parameter in state.model.parameters())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_forward_pass_runs_in_the_precision(precision: PrecisionName) -> None:
    seen = []
    state = tiny_state(precision)
    first_layer(state).register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    step(state, *batch_of())
    assert seen == [DTYPES[precision]]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_precision_changes_no_pixel_of_the_input(precision: PrecisionName) -> None:
    inputs: list[Tensor] = []
    names: list[PrecisionName] = ["float32", precision]
    for name in names:
        state = tiny_state(name, transform=lambda x: (x.float() / 255) @ torch.full((SIZE, SIZE), 1 / 3))
        first_layer(state).register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
        step(state, *batch_of())
    assert torch.equal(inputs[0], inputs[1])


def test_float16_steps_match_float32_after_unscaling() -> None:
    full, half = tiny_state("float32"), tiny_state("float16")
    before = copy_of(full.model)
    step(full, *batch_of())
    step(half, *batch_of())
    for start, p, q in zip(before, full.model.parameters(), half.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0.01, atol=1e-3)
        assert not torch.equal(start, q)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_a_float16_gradient_that_stays_infinite_is_noticed_once_the_scale_does_not_explain_it() -> None:
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return (0 * logits).square().sum().sqrt() + 1  # finite, and its derivative is not a number

    state = tiny_state("float16", loss_function=loss)
    weights = copy_of(state.model)
    with pytest.raises(NotFiniteError) as caught:
        train_on(state, tiny_batches(180))
    assert caught.value.batch == 18  # the scale falls from 2 ** 16 in the first batch to one half
    assert all(torch.equal(a, b) for a, b in zip(weights, state.model.parameters(), strict=True))


def test_the_forward_pass_goes_through_the_compiled_form() -> None:
    plain, state = tiny_state(), tiny_state()
    seen = []

    def compiled(inputs: Tensor) -> Tensor:
        seen.append(inputs.shape)
        logits: Tensor = state.model(inputs) * 3
        return logits

    state.forward = compiled
    done = step(state, *batch_of())
    assert seen == [(6, 3, SIZE, SIZE)]
    torch.testing.assert_close(done.logits, step(plain, *batch_of()).logits * 3)
    # the compiled form shares the weights that are updated
    assert not same_weights(state.model, tiny_state().model)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_gradient_is_clipped(precision: PrecisionName) -> None:
    state = tiny_state(precision, lr=1.0, clip_norm=1e-3)
    before = copy_of(state.model)
    step(state, *batch_of())
    moved = torch.cat([(p - b).flatten() for p, b in zip(state.model.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("where", ["images", "weights"])
def test_a_step_that_is_not_finite_touches_no_weight(where: str) -> None:
    state = tiny_state()
    if where == "images":
        state.transform = lambda images: images.float() * math.nan
    else:  # a finite loss whose gradient overflows
        state.loss_function = lambda logits, labels: (logits.sum() * 0).sqrt()
    before = copy_of(state.model)
    done = step(state, *batch_of())
    assert not done.is_finite
    assert not state.is_sound
    assert done.loss.isnan() == (where == "images")
    assert all(torch.equal(p, b) for p, b in zip(state.model.parameters(), before, strict=True))


OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, fused=True),
    "momentum": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=True),
    "adam": lambda model: torch.optim.Adam(model.parameters(), lr=0.01, fused=True),
    "adamw": lambda model: torch.optim.AdamW(model.parameters(), lr=0.01, fused=True),
    "not fused": lambda model: torch.optim.Adam(model.parameters(), lr=0.01),
}


def with_optimizer(name: str, precision: PrecisionName = "float32", **changes: Any) -> TrainingState:
    state = tiny_state(precision, **changes)
    state.optimizer = OPTIMIZERS[name](state.model)
    state.schedule = torch.optim.lr_scheduler.LambdaLR(state.optimizer, lambda _: 1.0)
    return state


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_after_a_step_that_is_not_finite_no_later_one_changes_anything(name: str) -> None:
    state = with_optimizer(name)
    step(state, *batch_of(seed=1))
    weights, moments = copy_of(state.model), copy.deepcopy(state.optimizer.state_dict()["state"])
    transform, state.transform = state.transform, lambda images: images.float() * math.nan
    step(state, *batch_of(seed=2))
    state.transform = transform
    assert step(state, *batch_of(seed=3)).is_finite
    assert all(torch.equal(a, b) for a, b in zip(weights, state.model.parameters(), strict=True))
    after = state.optimizer.state_dict()["state"]
    assert moments.keys() == after.keys()
    for number, values in moments.items():
        for moment, value in values.items():
            assert value is None or torch.equal(value, after[number][moment])


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
def test_steps_are_those_of_the_optimizer(name: str) -> None:
    state, plain = with_optimizer(name), with_optimizer(name)
    for seed in range(3):
        images, labels = batch_of(seed=seed)
        step(state, images, labels)
        plain.optimizer.zero_grad()
        plain.loss_function(plain.model(plain.transform(images)), labels).backward()
        plain.optimizer.step()
    assert same_weights(state.model, plain.model)


class Waits(TorchDispatchMode):
    """Notes what makes the host wait for a GPU: reading a number, and making a tensor from numbers of the host."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.lift_fresh):
            self.seen.add(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_a_step_does_not_wait_for_the_device(name: str, precision: PrecisionName) -> None:
    state = with_optimizer(name, precision, clip_norm=1.0)
    light = LightAugmentConfig("light", 0.5, 0.1, 10, 0.1, 0.2, 0.2, 0.2)
    augment, normalize = LightAugment(light, torch.Generator()), state.transform
    state.transform = lambda images: normalize(augment(images))
    state.average = average_weights(state.model, 0.9)
    sums, (images, labels) = EpochSums.on(state.device), batch_of()
    with Waits() as waits:
        for _ in range(2):
            done = step(state, images, labels)
            sums.add(done.loss, done.logits, labels, done.is_finite, 0.1)
    assert waits.seen == set()
    with waits:
        assert sums.loss > 0
    assert waits.seen == {"aten._local_scalar_dense.default"}


# --- an epoch ---


def test_the_epoch_reports_means_over_images() -> None:
    state = tiny_state(lr=1e-12)
    sums = train_on(state, tiny_batches(14, size=6))
    images, labels = batch_of(14)
    with torch.no_grad():
        logits = state.model(state.transform(images))
    assert (sums.seen, sums.batches) == (14, 3)
    assert sums.loss == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert sums.accuracy == pytest.approx((logits.argmax(1) == labels).float().mean().item())


class Clock:
    """Stands still, except for what is told to take time."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def take(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(loop, "time", clock)
    return clock


@dataclass(frozen=True)
class SlowBatches(TrainingBatches):
    """Batches that take half a second each to arrive."""

    clock: Clock

    def remaining(self, epoch: int, start: int) -> Generator[Batch, None, None]:
        for batch in super().remaining(epoch, start):
            self.clock.take(0.50001)
            yield batch


def test_a_row_holds_the_figures_of_an_epoch_rounded_where_they_are_times(clock: Clock) -> None:
    state, events = tiny_state(lr=0.25), Events()
    batches = SlowBatches(**vars(tiny_batches(24)), clock=clock)
    transform = state.transform

    def slowly(images: Tensor) -> Tensor:
        clock.take(1.0)
        return transform(images)

    state.transform = slowly
    reference = train_on(tiny_state(lr=0.25), tiny_batches(24))

    validator = scripted((0.125, 0.75), meanwhile=lambda: clock.take(0.25))
    fit(state, batches, validator, plan_of(1), [events])
    (result,) = events.results
    # 4 batches of 6 images, 1.50001 seconds each
    assert result.row == EpochRow(
        epoch=1,
        step=4,
        learning_rate=0.25,
        train_loss=reference.loss,
        train_accuracy=reference.accuracy,
        val_loss=0.125,
        val_accuracy=0.75,
        images_per_second=4.0,
        seconds=6.25,
        data_wait=0.3333,
        val_balanced_accuracy=0.75,
        val_never_predicted=0,
    )
    assert result.train_seconds == pytest.approx(6.00004)
    assert result.validate_seconds == 0.25
    assert state.rows == [result.row]


class Bar:
    """Stands in for the progress bar of a terminal."""

    disable = False

    def __init__(self, **options: object) -> None:
        self.options = options
        self.shown: list[tuple[str, bool]] = []
        self.updates: list[int] = []

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def set_postfix_str(self, figures: str, *, refresh: bool) -> None:
        self.shown.append((figures, refresh))

    def update(self, images: int) -> None:
        self.updates.append(images)


def test_a_progress_bar_shows_the_running_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[Bar] = []

    def bar(**options: object) -> Bar:
        bars.append(Bar(**options))
        return bars[-1]

    monkeypatch.setattr("tqdm.tqdm", bar)
    monkeypatch.setattr(loop, "REFRESH_SECONDS", -1)
    state = tiny_state()
    with pytest.raises(Interrupted):
        train_one_epoch(state, tiny_batches(14), [StopAt(1)], "epoch 1/2")
    train_one_epoch(state, tiny_batches(14), [], "epoch 1/2")
    first, second = bars
    assert (first.options["total"], first.options["initial"], first.options["desc"]) == (14, 0, "epoch 1/2")
    # a step that the interruption comes after is counted when the epoch goes on
    assert (first.updates, second.updates, second.options["initial"]) == ([], [6, 2], 6)
    sums = state.sums
    assert sums is not None
    assert second.shown[-1] == (f"loss {sums.loss:.4f}, accuracy {sums.accuracy:.2%}", False)


def test_without_a_terminal_a_long_epoch_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = itertools.count(0, 25)  # seconds, a step each
    monkeypatch.setattr("maskcls.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(loop, "REFRESH_SECONDS", -1)
    train_one_epoch(tiny_state(), tiny_batches(38), [], "epoch 1/2")
    lines = [re.sub(r"\d+\.\d+", "N", message) for message in caplog.messages]
    assert lines == [f"epoch 1/2: {images} of 38 images, loss N, accuracy N%" for images in (18, 36)]


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    state = tiny_state(lr=1e30)
    with pytest.raises(NotFiniteError, match=r"a lower optim\.lr or optim\.clip_norm=1 usually helps$") as caught:
        train_on(state, tiny_batches())
    assert caught.value.batch > 1
    assert all(torch.isfinite(parameter).all() for parameter in state.model.parameters())


def test_the_batch_that_is_not_finite_is_named() -> None:
    state, batches = tiny_state(), tiny_batches()
    train_on(state, batches)
    state.transform = lambda images: images.float() / (1.0 if state.progress.step < 8 + 5 else 0.0)
    with pytest.raises(NotFiniteError) as caught:
        train_on(state, batches)
    error = caught.value
    assert (error.epoch, error.batch, error.learning_rate) == (2, 6, 0.1)
    assert error.files == batches.files(1, 5)
    assert len(set(error.files)) == 6
    named = ", ".join(error.files[:3])
    assert str(error).startswith(
        "epoch 2, step 14: the loss or its gradient is not finite, at a learning rate of 0.1, on the batch of "
        f"{named}, ... (run.json lists all files); "
    )


def test_a_bad_batch_is_noticed_at_the_end_of_the_epoch_at_the_latest() -> None:
    state, batches = tiny_state(), tiny_batches()
    partial = PartialEpoch(8, 48, loss_sum=1.0, correct=9, learning_rate=0.1, seconds=1.0, waited=0.0, first_bad=2)
    # no step is left, as on a GPU if an interruption came before the host looked
    state.sums = EpochSums.on(state.device, partial)
    with pytest.raises(NotFiniteError) as caught:
        train_one_epoch(state, batches)
    assert (caught.value.batch, caught.value.files) == (3, batches.files(0, 2))


class StopAt(Recorder):
    """Interrupts a training after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def step_done(self, state: TrainingState) -> None:
        if state.progress.step == self.step:
            raise Interrupted(signal.SIGTERM)


@pytest.mark.parametrize("at", [1, 3, 8])
def test_an_interrupted_epoch_goes_on_with_the_remaining_batches(at: int) -> None:
    whole, parted = tiny_state(), tiny_state()
    expected = train_on(whole, tiny_batches())
    with pytest.raises(Interrupted):
        train_one_epoch(parted, tiny_batches(), [StopAt(at)])
    assert parted.sums is not None
    assert parted.sums.batches == at
    parted.sums = EpochSums.on(parted.device, parted.sums.partial())
    found = train_on(parted, tiny_batches())
    assert (found.loss, found.accuracy, found.seen) == (expected.loss, expected.accuracy, 48)
    assert same_weights(whole.model, parted.model)


def test_a_signal_waits_for_the_end_of_the_step() -> None:
    state = tiny_state()

    def send(images: Tensor) -> Tensor:
        if state.progress.step == 2:
            os.kill(os.getpid(), signal.SIGUSR1)
        return images.float() / 255

    state.transform = send
    with listening(), pytest.raises(Interrupted) as caught:
        train_on(state, tiny_batches())
    assert caught.value.exit_status == 128 + signal.SIGUSR1
    assert state.sums is not None
    assert state.sums.batches == state.progress.step == 3


def test_an_epoch_counts_as_begun_once_its_changes_are_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    state, batches, events = tiny_state(), tiny_batches(), Events()
    monkeypatch.setattr(TrainingBatches, "begin", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with listening(), pytest.raises(Interrupted):
        fit(state, batches, tiny_validator(), plan_of(1), [events])
    assert state.sums is None  # or the resumed training would not seed them
    assert events.names == ["epoch_begins", "interrupted"]


# --- a training ---


def test_the_changes_of_each_epoch_begin_with_the_seed_of_that_epoch() -> None:
    state, batches = tiny_state(), tiny_batches(12)
    drawn: list[Tensor] = []
    transform = state.transform

    def change(images: Tensor) -> Tensor:
        drawn.append(torch.rand(1, generator=batches.changes))
        return transform(images)

    state.transform = change
    fit(state, batches, scripted((1.0, 0.5), (1.0, 0.5)), plan_of(2), [])
    expected: list[Tensor] = []
    for epoch in (0, 1):
        batches.begin(epoch)
        expected += [torch.rand(1, generator=batches.changes) for _ in range(2)]
    assert drawn == expected
    assert len(set(map(float, drawn))) == 4


def test_an_interruption_of_the_validation_repeats_the_validation_only() -> None:
    whole, parted = tiny_state(), tiny_state()
    fit(whole, tiny_batches(), tiny_validator(), plan_of(2), [expected := Events()])

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    events = Events()
    with listening(), pytest.raises(Interrupted):
        fit(parted, tiny_batches(), scripted(meanwhile=interrupt), plan_of(2), [events])
    assert events.names == ["epoch_begins", *["step_done"] * 8, "interrupted"]
    fit(parted, tiny_batches(), tiny_validator(), plan_of(2), [again := Events()])
    assert again.names == ["epoch_begins", "epoch_done", *expected.names[10:]]
    assert same_weights(whole.model, parted.model)
    losses = [[(row.train_loss, row.val_loss) for row in state.rows] for state in (whole, parted)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_validation_loss_that_is_not_finite_ends_the_training(loss: float) -> None:
    state, events = tiny_state(), Events()
    with pytest.raises(TrainingError, match=f"^epoch 1: the validation loss is {loss} at a learning rate of 0.1; "):
        fit(state, tiny_batches(), scripted((loss, 0.5)), plan_of(3), [events])
    assert state.progress.epoch == 0
    assert "epoch_done" not in events.names
    assert "training_done" not in events.names


def test_best_is_the_highest_accuracy_and_among_ties_the_lowest_loss() -> None:
    state, events = tiny_state(), Events()
    validator = scripted((1.0, 0.5), (0.4, 0.7), (0.5, 0.7), (0.3, 0.7), (0.1, 0.6), (0.3, 0.7))
    fit(state, tiny_batches(12), validator, plan_of(6), [events])
    assert [result.is_best for result in events.results] == [True, True, False, True, False, False]
    assert state.progress.best == events.results[3].row
    assert [result.row.epoch for result in events.results] == [1, 2, 3, 4, 5, 6]
    assert (state.progress.epoch, state.progress.step) == (6, 12)


def test_only_a_rise_of_accuracy_beyond_min_delta_resets_the_patience() -> None:
    state, counts = tiny_state(), []

    class Counts(Recorder):
        def epoch_done(self, state: TrainingState, result: object) -> None:
            counts.append(state.progress.epochs_without_improvement)

    accuracies = (0.5, 0.506, 0.512, 0.518, 0.5)
    validator = scripted(*((1.0, accuracy) for accuracy in accuracies))
    fit(state, tiny_batches(12), validator, plan_of(5, min_delta=0.01), [Counts()])
    # 0.512 is better than 0.5 by more than 0.01, though no epoch is better than the one before by as much
    assert counts == [0, 1, 0, 1, 2]


@pytest.mark.parametrize(
    ("patience", "accuracies", "expected"),
    [
        (None, (0.6, 0.5, 0.7), [True, False, True]),
        (2, (0.6, 0.5, 0.5, 0.9), [True, False, False]),  # ends before the fourth
        (2, (0.6, 0.5, 0.7, 0.6, 0.6, 0.9), [True, False, True, False, False]),
    ],
)
def test_training_stops_after_patience_epochs_without_improvement(
    patience: int | None, accuracies: tuple[float, ...], expected: list[bool]
) -> None:
    events = Events()
    validator = scripted(*((0.5, accuracy) for accuracy in accuracies))
    fit(tiny_state(), tiny_batches(12), validator, plan_of(len(accuracies), patience), [events])
    assert [result.is_best for result in events.results] == expected
    assert events.seen[-1] == ("training_done", len(expected))


def test_a_finished_training_does_nothing_but_end() -> None:
    state, events = tiny_state(), Events()
    state.progress = dataclasses.replace(state.progress, epoch=3)
    weights = copy_of(state.model)
    fit(state, tiny_batches(), scripted(), plan_of(3), [events])
    assert events.seen == [("training_done", 3)]
    assert all(torch.equal(a, b) for a, b in zip(weights, state.model.parameters(), strict=True))


def test_what_is_validated_is_calibrated() -> None:
    state, validator = tiny_state(), tiny_validator(positive=1, rule="recall@1")
    state.average = average_weights(state.model, 0.5)
    fit(state, tiny_batches(), validator, plan_of(1), [])
    assert state.calibration == validator.calibrate(validator.validate(state))
    assert state.calibration.threshold != 0.5
