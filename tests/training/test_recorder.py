"""What a training tells its recorders, and when."""

import os
import signal
from typing import Any

import numpy as np
import pytest
import torch
from trainings import Events, plan_of, scripted, tiny_batches, tiny_state, tiny_validator

from maskcls.interrupts import Interrupted, deferred, listening
from maskcls.training.collapse import Collapse, CollapsedError
from maskcls.training.loop import fit
from maskcls.training.recorder import Recorder
from maskcls.training.state import TrainingState


def test_the_events_come_in_order_with_what_they_are_about() -> None:
    state, events = tiny_state(), Events()
    fit(state, tiny_batches(18), tiny_validator(), plan_of(2), [events])
    first, second = events.results
    assert events.seen == [
        ("epoch_begins", 0),
        ("step_done", 1, 1),
        ("step_done", 2, 2),
        ("step_done", 3, 3),
        ("epoch_done", 1, first),
        ("epoch_begins", 1),
        ("step_done", 4, 1),
        ("step_done", 5, 2),
        ("step_done", 6, 3),
        ("epoch_done", 2, second),
        ("training_done", 2),
    ]
    assert [(result.row.epoch, result.row.step) for result in (first, second)] == [(1, 3), (2, 6)]
    assert state.rows == [first.row, second.row]
    validated = tiny_validator().validate(state)
    assert np.array_equal(second.validation.logits, validated.logits)
    assert second.row.val_loss == validated.loss
    assert second.train_seconds > 0
    assert second.row.seconds == pytest.approx(second.train_seconds + second.validate_seconds, abs=1e-3)


def test_all_recorders_are_told() -> None:
    one, other = Events(), Events()
    fit(tiny_state(), tiny_batches(12), tiny_validator(), plan_of(1), [one, Recorder(), other])
    assert one.names == other.names == ["epoch_begins", "step_done", "step_done", "epoch_done", "training_done"]


EVENTS = ["epoch_begins", "step_done", "epoch_done", "collapsed", "training_done"]


@pytest.mark.parametrize("event", EVENTS)
def test_what_a_recorder_raises_ends_the_training(event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class PrunedError(Exception):
        """As a tuner raises it."""

    def fail(*_: object) -> None:
        raise PrunedError

    recorder, events = Recorder(), Events()
    monkeypatch.setattr(recorder, event, fail)
    state = tiny_state()
    if event == "collapsed":
        kill(state)
    with pytest.raises(PrunedError):
        fit(state, tiny_batches(120), tiny_validator(), plan_of(1), [events, recorder])
    assert events.names[-1] == event  # the recorder before had been told, and nothing followed


def kill(state: TrainingState) -> None:
    """Let a network give all images the same logits, for good."""
    with torch.no_grad():
        for parameter in state.model.parameters():
            parameter.zero_()
    state.optimizer.param_groups[0]["lr"] = 0.0


@pytest.mark.parametrize(("action", "error"), [("warn", None), ("retry", CollapsedError)])
def test_a_collapse_is_told_before_anything_is_done_about_it(action: str, error: Any) -> None:
    state, events = tiny_state(), Events()
    kill(state)
    plan = plan_of(2, action=action)
    if error is None:
        fit(state, tiny_batches(120), tiny_validator(), plan, [events])
        assert events.names.count("collapsed") == events.names.count("epoch_done") == 2
    else:
        with pytest.raises(error):
            fit(state, tiny_batches(120), tiny_validator(), plan, [events])
        assert "epoch_done" not in events.names
    _, finished_epochs, told = next(event for event in events.seen if event[0] == "collapsed")
    chance = plan.collapse.chance_loss
    assert finished_epochs == 0
    assert told == Collapse(epoch=1, label=told.label, train_loss=told.train_loss, chance_loss=chance)
    assert told.train_loss == pytest.approx(chance, rel=0.01)
    assert events.names[:22] == ["epoch_begins", *["step_done"] * 20, "collapsed"]


def test_an_interruption_is_told_once_and_the_training_goes_on_from_there() -> None:
    class Kill(Events):
        def step_done(self, state: TrainingState) -> None:
            super().step_done(state)
            if state.progress.step == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    state, whole, events = tiny_state(), tiny_state(), Kill()
    fit(whole, tiny_batches(12), scripted((1.0, 0.5), (1.0, 0.5)), plan_of(2), [expected := Events()])
    with listening(), pytest.raises(Interrupted) as caught:
        fit(state, tiny_batches(12), scripted((1.0, 0.5)), plan_of(2), [events])
    assert caught.value.exit_status == 143
    assert events.seen[-2:] == [("step_done", 3, 1), ("interrupted", 3)]
    fit(state, tiny_batches(12), scripted((1.0, 0.5)), plan_of(2), [again := Events()])
    assert again.names == ["epoch_begins", "step_done", "epoch_done", "training_done"]
    assert again.results[0].row.train_loss == expected.results[1].row.train_loss


def test_a_signal_while_an_epoch_is_recorded_waits_until_all_have_recorded_it() -> None:
    class Kill(Events):
        def epoch_done(self, state: TrainingState, result: Any) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            super().epoch_done(state, result)

    first, second = Kill(), Events()
    with listening(), pytest.raises(Interrupted):
        fit(tiny_state(), tiny_batches(12), tiny_validator(), plan_of(2), [first, second])
    assert first.names[-2:] == second.names[-2:] == ["epoch_done", "interrupted"]


def test_all_recorders_are_told_of_an_interruption_although_one_must_not_be_interrupted() -> None:
    class Saving(Recorder):
        def step_done(self, state: TrainingState) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        def interrupted(self, state: TrainingState) -> None:
            with deferred():  # as a checkpoint is written
                pass

    last = Events()
    with listening(), pytest.raises(Interrupted):
        fit(tiny_state(), tiny_batches(12), tiny_validator(), plan_of(2), [Saving(), last])
    assert last.names[-1] == "interrupted"
