"""The loop: precisions, clipping, averaging, progress and early stopping."""

import math
import os
import signal
from collections.abc import Callable, Iterable, Iterator

import pytest
import torch
from torch import nn

from maskcls.data.loaders import Batch
from maskcls.errors import TrainingError
from maskcls.interrupts import Interrupted, listening
from maskcls.models.precision import Precision
from maskcls.training import fit as loop
from maskcls.training.fit import NotFiniteError, Progress, Trainer, average_weights, fit, step, train_one_epoch

CPU = torch.device("cpu")
TRAINED = {
    "learning_rate": 0.1, "train_loss": 1.0, "train_accuracy": 0.5, "images_per_second": math.pi, "data_wait": 1 / 3,
    "seconds": 2.00049,
}  # fmt: skip


def tiny_trainer(precision: str = "float32", lr: float = 0.1, **changes: object) -> Trainer:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    parts = {
        "model": model,
        "forward": model,
        "optimizer": optimizer,
        "schedule": torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0),
        "transform": lambda images: images.float() / 255,
        "loss_function": nn.CrossEntropyLoss(),
        "precision": Precision(precision, "cpu"),
        "scaler": Precision(precision, "cpu").grad_scaler(),
    }
    return Trainer(**{**parts, **changes})


def batches(count: int = 8, size: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    made = []
    for _ in range(count):
        labels = torch.randint(0, 2, (size,), generator=generator)
        images = torch.randint(0, 100, (size, 3, 8, 8), generator=generator, dtype=torch.uint8)
        images[labels == 1] += 100
        made.append((images, labels))
    return made


def train_on(
    trainer: Trainer, data: Iterable[Batch], after_step: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """Train a new epoch on some batches."""
    trainer.epoch_so_far = None
    return train_one_epoch(trainer, lambda start: (batch for batch in list(data)[start:]), 48, "", after_step)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_each_precision_learns(precision: str) -> None:
    trainer = tiny_trainer(precision)
    losses = [train_on(trainer, batches())["train_loss"] for _ in range(6)]
    assert losses[-1] < 0.7 * losses[0]
    assert trainer.progress.step == 48
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_the_forward_pass_runs_in_the_precision(precision: str) -> None:
    seen = []
    trainer = tiny_trainer(precision)
    trainer.model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    step(trainer, *batches(1)[0])
    assert seen == [getattr(torch, precision)]


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_a_float16_gradient_that_stays_infinite_is_noticed_once_the_scale_does_not_explain_it() -> None:
    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (0 * logits).square().sum().sqrt() + 1  # finite, and its derivative is not a number

    trainer = tiny_trainer("float16", loss_function=loss)
    weights = [p.detach().clone() for p in trainer.model.parameters()]
    with pytest.raises(NotFiniteError) as caught:
        train_on(trainer, batches(30))
    assert caught.value.batch == 17  # from 2 ** 16 down to one half
    assert all(torch.equal(a, b) for a, b in zip(weights, trainer.model.parameters(), strict=True))


def test_float16_steps_match_float32_after_unscaling() -> None:
    full, half = tiny_trainer("float32"), tiny_trainer("float16")
    step(full, *batches(1)[0])
    step(half, *batches(1)[0])
    for p, q in zip(full.model.parameters(), half.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0.01, atol=1e-3)


def test_the_epoch_reports_means_over_images() -> None:
    trainer = tiny_trainer(lr=1e-12)
    data = [*batches(2, size=6), *batches(1, size=2)]
    stats = train_on(trainer, data)
    images, labels = (torch.cat(parts) for parts in zip(*data, strict=True))
    with torch.no_grad():
        logits = trainer.model(images.float() / 255)
    assert stats["train_loss"] == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert stats["train_accuracy"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())


def test_the_forward_pass_goes_through_the_compiled_form() -> None:
    plain, trainer = tiny_trainer(), tiny_trainer()
    seen = []

    def compiled(inputs: torch.Tensor) -> torch.Tensor:
        seen.append(inputs.shape)
        return trainer.model(inputs) * 3

    trainer.forward = compiled
    images, labels = batches(1)[0]
    _, logits, _ = step(trainer, images, labels)
    assert seen == [(6, 3, 8, 8)]
    torch.testing.assert_close(logits, step(plain, images, labels)[1] * 3)
    # what was compiled shares the weights that are updated
    assert not torch.equal(trainer.model[3].weight, tiny_trainer().model[3].weight)


class Clock:
    """Stands still, but for what is told to take time."""

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


def test_the_epoch_reports_its_speed_and_the_share_of_it_that_was_waiting(clock: Clock) -> None:
    data = batches(4)

    def slowly() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch in data:
            clock.take(0.5)
            yield batch

    trainer = tiny_trainer()
    forward = trainer.forward
    trainer.forward = lambda inputs: clock.take(1.5) or forward(inputs)
    stats = train_one_epoch(trainer, lambda start: slowly(), 24, "", lambda: None)
    assert stats["data_wait"] == 0.25
    assert stats["images_per_second"] == 3.0


def test_a_row_holds_the_figures_of_an_epoch_rounded_where_they_are_times(clock: Clock) -> None:
    def train(epoch: int) -> dict[str, float]:
        clock.take(2.00049)
        return TRAINED

    kept = []
    fit(
        tiny_trainer(),
        1,
        train,
        lambda: (clock.take(1) or 0.25, 0.75),
        lambda row, is_best: kept.append((row, is_best)),
        None,
        0.0,
    )
    ((row, is_best),) = kept
    assert is_best
    assert list(row.items()) == [
        ("epoch", 1), ("step", 0), ("learning_rate", 0.1), ("train_loss", 1.0), ("train_accuracy", 0.5),
        ("val_loss", 0.25), ("val_accuracy", 0.75), ("images_per_second", 3.14), ("seconds", 3.0),
        ("data_wait", 0.3333),
    ]  # fmt: skip


def test_the_gradient_is_clipped() -> None:
    trainer = tiny_trainer(lr=1.0, clip_norm=1e-3)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    step(trainer, *batches(1)[0])
    moved = torch.cat([(p - b).flatten() for p, b in zip(trainer.model.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    trainer = tiny_trainer(lr=1e30)
    with pytest.raises(NotFiniteError) as caught:
        train_on(trainer, batches())
    assert caught.value.batch > 0
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_the_average_follows_the_weights_and_is_what_is_evaluated() -> None:
    trainer = tiny_trainer()
    trainer.average = average_weights(trainer.model, 0.5)
    first = trainer.model[3].weight.detach().clone()
    step(trainer, *batches(1)[0])
    after_one = trainer.model[3].weight.detach().clone()
    step(trainer, *batches(2)[1])
    after_two = trainer.model[3].weight.detach().clone()
    # the first update copies the weights, each later one goes half way
    expected = 0.5 * after_one + 0.5 * after_two
    torch.testing.assert_close(trainer.evaluated_model[3].weight, expected)
    assert not torch.equal(first, after_two)
    assert average_weights(trainer.model, None) is None


@pytest.mark.parametrize("where", ["images", "weights"])
def test_a_step_that_is_not_finite_touches_no_weight(where: str) -> None:
    trainer = tiny_trainer()
    images, labels = batches(1)[0]
    if where == "images":
        trainer.transform = lambda x: x.float() * math.nan
    else:  # a finite loss whose gradient overflows
        trainer.loss_function = lambda logits, labels: (logits.sum() * 0).sqrt()
    before = [p.detach().clone() for p in trainer.model.parameters()]
    loss, _, is_finite = step(trainer, images, labels)
    assert not is_finite
    assert loss.isnan() == (where == "images")
    assert all(torch.equal(p, b) for p, b in zip(trainer.model.parameters(), before, strict=True))


def test_the_batch_that_is_not_finite_is_told() -> None:
    trainer = tiny_trainer()
    trainer.transform = lambda x: x.float() / (1.0 if trainer.progress.step < 5 else 0.0)
    with pytest.raises(NotFiniteError) as caught:
        train_on(trainer, batches())
    assert caught.value.batch == 5


def test_an_epoch_that_is_broken_off_goes_on_with_the_batches_that_are_left() -> None:
    whole, parted = tiny_trainer(), tiny_trainer()
    data = batches()
    expected = train_on(whole, data)

    def stop() -> None:
        if parted.progress.step == 3:
            raise Interrupted(signal.SIGTERM)

    with pytest.raises(Interrupted):
        train_on(parted, data, stop)
    assert parted.epoch_so_far.batches == 3
    found = train_one_epoch(parted, lambda start: (batch for batch in data[start:]), 48, "", lambda: None)
    for key in ("train_loss", "train_accuracy", "learning_rate"):
        assert found[key] == expected[key]
    for p, q in zip(whole.model.parameters(), parted.model.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_signal_waits_for_the_end_of_the_step() -> None:
    trainer = tiny_trainer()

    def send(images: torch.Tensor) -> torch.Tensor:
        if trainer.progress.step == 2:
            os.kill(os.getpid(), signal.SIGUSR1)
        return images.float() / 255

    trainer.transform = send
    with listening(), pytest.raises(Interrupted) as caught:
        train_on(trainer, batches())
    assert caught.value.exit_status == 128 + signal.SIGUSR1
    assert trainer.epoch_so_far.batches == trainer.progress.step == 3


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_precision_changes_no_pixel_of_the_input(precision: str) -> None:
    inputs = []
    for name in ("float32", precision):
        trainer = tiny_trainer(name, transform=lambda x: (x.float() / 255) @ torch.full((8, 8), 1 / 3))
        trainer.model[0].register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
        step(trainer, *batches(1)[0])
    assert torch.equal(inputs[0], inputs[1])


def test_a_validation_loss_that_is_not_finite_ends_the_training() -> None:
    trainer = tiny_trainer()
    with pytest.raises(TrainingError, match="epoch 1: the validation loss is nan"):
        fit(trainer, 3, lambda epoch: TRAINED, lambda: (math.nan, 0.5), pytest.fail, None, 0.0)
    assert trainer.progress.epoch == 0


def row(accuracy: float, loss: float = 1.0) -> dict[str, float]:
    return {"val_accuracy": accuracy, "val_loss": loss}


def test_best_is_the_highest_accuracy_and_of_equals_the_lowest_loss() -> None:
    progress = Progress()
    outcomes = [progress.record(r, 0) for r in (row(0.5), row(0.7, 0.4), row(0.7, 0.5), row(0.7, 0.3), row(0.6, 0.1))]
    assert outcomes == [True, True, False, True, False]
    assert progress.best == row(0.7, 0.3)
    assert progress.epoch == 5


def test_only_a_rise_of_accuracy_beyond_min_delta_resets_the_patience() -> None:
    progress = Progress()
    counts = []
    for r in (row(0.5), row(0.506), row(0.512), row(0.518), row(0.5)):
        progress.record(r, 0.01)
        counts.append(progress.epochs_without_improvement)
    # 0.512 is better than 0.5 by more than 0.01, though no epoch is better than the one before by as much
    assert counts == [0, 1, 0, 1, 2]


def epochs_of(accuracies: list[float], patience: int | None) -> list[tuple[int, bool]]:
    trainer = tiny_trainer()
    remaining, kept = iter(accuracies), []

    def keep(row: dict[str, float], is_best: bool) -> None:
        assert trainer.epoch_so_far is None
        kept.append((row["epoch"], is_best))

    fit(trainer, len(accuracies), lambda epoch: TRAINED, lambda: (0.5, next(remaining)), keep, patience, 0.0)
    return kept


def test_all_epochs_run_without_patience() -> None:
    assert epochs_of([0.6, 0.5, 0.7], None) == [(1, True), (2, False), (3, True)]


def test_training_stops_after_patience_epochs_without_improvement() -> None:
    assert epochs_of([0.6, 0.5, 0.5, 0.9], 2) == [(1, True), (2, False), (3, False)]
