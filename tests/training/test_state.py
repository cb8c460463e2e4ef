"""The state of a training: running sums of an epoch, the average of the weights, and progress."""

import dataclasses
import math

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from trainings import CPU, batch_of, row, tiny_state

from maskcls.models.document import PartialEpoch, Progress
from maskcls.training.loop import step
from maskcls.training.state import EpochSums, after_epoch, average_weights

FINITE, BAD = torch.tensor([True, False])
LOGITS = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0]])


def sums_of(*steps: tuple[float, torch.Tensor]) -> EpochSums:
    """Sums over steps of three images, two of which are predicted right."""
    sums = EpochSums.on(CPU)
    for number, (loss, is_finite) in enumerate(steps, 1):
        sums.add(torch.tensor(loss), LOGITS, torch.tensor([0, 0, 0]), is_finite, 0.1 * number)
    return sums


def test_the_figures_are_means_over_images() -> None:
    sums = sums_of((1.0, FINITE))
    sums.add(torch.tensor(3.0), LOGITS[:1], torch.tensor([1]), FINITE, 0.05)
    assert (sums.seen, sums.batches, sums.learning_rate) == (4, 2, 0.05)
    assert sums.loss == (3 * 1.0 + 1 * 3.0) / 4
    assert sums.accuracy == 2 / 4


def test_the_loss_is_summed_in_float64() -> None:
    sums = sums_of(*[(0.1, FINITE)] * 1000)
    assert sums.loss_sum.dtype == torch.float64
    assert sums.loss == pytest.approx(float(torch.tensor(0.1) * 3) / 3, rel=1e-12)  # float32 would be wrong by 1e-6


def test_the_first_bad_batch_is_kept() -> None:
    assert int(sums_of((1.0, FINITE)).first_bad) == -1
    assert int(sums_of((1.0, FINITE), (1.0, BAD), (1.0, FINITE), (1.0, BAD)).first_bad) == 1


def test_an_interrupted_epoch_keeps_its_sums() -> None:
    sums = sums_of((1.0, FINITE), (0.5, FINITE))
    sums.seconds, sums.waited = 2.5, 0.5
    partial = sums.partial()
    assert partial == PartialEpoch(
        batches=2,
        seen=6,
        loss_sum=4.5,
        correct=4,
        learning_rate=0.2,
        seconds=2.5,
        waited=0.5,
        first_bad=-1,
    )
    restored = EpochSums.on(CPU, partial)
    assert restored.partial() == partial
    assert restored.loss_sum.dtype == torch.float64
    assert restored.correct.dtype == restored.first_bad.dtype == torch.int64


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1.0])
def test_an_interrupted_epoch_keeps_its_bad_batch(loss: float) -> None:
    partial = sums_of((0.5, FINITE), (loss, BAD)).partial()
    assert partial.first_bad == 1
    assert math.isfinite(partial.loss_sum)  # or no document could hold it
    assert int(EpochSums.on(CPU, partial).first_bad) == 1


def test_the_average_follows_the_weights_and_is_what_is_evaluated() -> None:
    state = tiny_state()
    assert state.evaluated_model is state.model
    state.average = average_weights(state.model, 0.5)
    assert state.average is not None

    def weight(model: torch.nn.Module) -> torch.Tensor:
        return model.state_dict()["classifier.weight"].clone()

    first = weight(state.model)
    step(state, *batch_of(seed=1))
    after_one = weight(state.model)
    step(state, *batch_of(seed=2))
    after_two = weight(state.model)
    # the first update copies the weights, each later one goes half way
    torch.testing.assert_close(weight(state.evaluated_model), 0.5 * after_one + 0.5 * after_two)
    assert not torch.equal(first, after_two)
    assert state.average.updates == 2


def test_the_average_includes_buffers() -> None:
    model = torch.nn.BatchNorm1d(2)
    average = average_weights(model, 0.5)
    assert average is not None
    average.update(model)
    model.running_mean, model.num_batches_tracked = torch.tensor([4.0, 8.0]), torch.tensor(3)
    average.update(model)
    buffers = average.module.state_dict()
    assert buffers["running_mean"].tolist() == [2.0, 4.0]
    assert int(buffers["num_batches_tracked"]) == 3  # a counter has no average
    assert model.running_mean.tolist() == [4.0, 8.0]


def test_the_average_is_that_of_torch() -> None:
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(1, 3, 2)
    model = torch.nn.Sequential(convolution, torch.nn.BatchNorm2d(3))
    own = average_weights(model, 0.9)
    reference = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    assert own is not None
    for _ in range(5):
        with torch.no_grad():
            convolution.weight.normal_()
        model(torch.rand(2, 1, 4, 4))
        own.update(model)
        reference.update_parameters(model)
    averages = {name: value for name, value in own.module.state_dict().items() if value.is_floating_point()}
    assert len(averages) == 6
    assert all(torch.equal(value, reference.module.state_dict()[name]) for name, value in averages.items())


def test_there_is_no_average_without_a_decay() -> None:
    assert average_weights(tiny_state().model, None) is None


def test_the_learning_rate_is_that_of_the_next_step() -> None:
    state = tiny_state(lr=0.4)
    state.schedule = torch.optim.lr_scheduler.LambdaLR(state.optimizer, lambda step: 0.5**step)
    assert state.learning_rate == 0.4
    assert [state.learning_rate_after(steps) for steps in (0, 1, 3)] == [0.4, 0.2, 0.05]
    step(state, *batch_of())
    assert state.learning_rate == 0.2
    assert state.device == CPU


def after(*figures: tuple[float, float], min_delta: float = 0.0) -> Progress:
    """The progress after epochs with these validation accuracies and losses."""
    progress = Progress()
    for number, (accuracy, loss) in enumerate(figures, start=1):
        line = row(number, val_accuracy=accuracy, val_loss=loss)
        progress = after_epoch(dataclasses.replace(progress, step=line.step), line, min_delta)
    return progress


def test_progress_counts_epochs_and_keeps_steps() -> None:
    progress = after((0.5, 1.0), (0.6, 1.0), (0.4, 1.0))
    assert (progress.epoch, progress.step) == (3, 24)


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ([(0.5, 1.0)], 1),
        ([(0.5, 1.0), (0.6, 9.0)], 2),
        ([(0.6, 1.0), (0.5, 0.1)], 1),
        ([(0.5, 1.0), (0.5, 0.9)], 2),  # of equal accuracies the lower loss
        ([(0.5, 1.0), (0.5, 1.0)], 1),  # of equal epochs the first
    ],
)
def test_the_best_epoch_has_the_highest_accuracy(figures: list[tuple[float, float]], best: int) -> None:
    found = after(*figures).best
    assert found is not None
    assert found.epoch == best


@pytest.mark.parametrize(
    ("accuracies", "min_delta", "reference", "without"),
    [
        ([0.5], 0.0, 0.5, 0),
        ([0.5, 0.5], 0.0, 0.5, 1),
        ([0.5, 0.6], 0.0, 0.6, 0),
        ([0.5, 0.625], 0.125, 0.5, 1),  # not by more than min_delta
        ([0.5, 0.55, 0.65], 0.1, 0.65, 0),  # slow improvements add up
        ([0.7, 0.6, 0.6, 0.7], 0.0, 0.7, 3),
    ],
)
def test_early_stopping_counts_epochs_without_improvement(
    accuracies: list[float], min_delta: float, reference: float, without: int
) -> None:
    progress = after(*((accuracy, 1.0) for accuracy in accuracies), min_delta=min_delta)
    assert (progress.stopping_reference, progress.epochs_without_improvement) == (reference, without)


def test_the_best_epoch_and_early_stopping_may_go_by_the_balanced_accuracy() -> None:
    first = row(1, val_accuracy=0.95, val_balanced_accuracy=0.5)
    second = row(2, val_accuracy=0.9, val_balanced_accuracy=0.75)
    progress = after_epoch(after_epoch(Progress(), first, 0.0, "balanced_accuracy"), second, 0.0, "balanced_accuracy")
    assert (progress.best, progress.stopping_reference, progress.epochs_without_improvement) == (second, 0.75, 0)
    progress = after_epoch(after_epoch(Progress(), first, 0.0), second, 0.0)
    assert (progress.best, progress.stopping_reference, progress.epochs_without_improvement) == (first, 0.95, 1)
